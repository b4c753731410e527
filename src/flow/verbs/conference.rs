//! `<Conference>`: puts the call into a room.

use std::sync::Arc;

use super::{Start, Vendors};
use crate::{
    flow::{
        Callback, Cue, Entry, Fault, FlowError, Kind, Method, RecordFormat,
        attrs::{METHOD, Reading, verb},
        fault::clip,
        field::{Patterns, Said},
    },
    ids::{ConferenceName, Dialect},
};

/// More calls than this are in no room, whatever its members say.
const MEMBERS_MAX: u32 = 10_000;
/// The longest a call can last (contract 7) many times over; a limit beyond it is none.
const TIME_LIMIT_MAX: u32 = 10_000_000;

verb! {
    /// Puts the call into the room that its text names, and holds the flow there for as long as
    /// the call is in it.
    ///
    /// However the call gets out, if it is still up the flow goes on: with the answer of
    /// `action`, if there is one, else at the next element.
    ///
    /// ```xml
    /// <Response>
    ///   <Conference endConferenceOnExit="true">weekly</Conference>
    ///   <Speak>You have left the meeting.</Speak>
    /// </Response>
    /// ```
    pub struct Conference {
        /// Which room.
        pub room: ConferenceName,
        /// On what terms.
        pub entry: Arc<Entry>,
    }
    "Conference", Vendors::Both, text Room, holds &[], answers true;

    /// Enters unable to speak.
    muted: bool = "muted" [Kind::Bool] or false, like "true";
    /// Heard by the room when this call enters. Empty is no sound, and no beep.
    enter_sound: Said<Option<Cue>> = "enterSound" [Kind::Sound(true)], like "beep:1";
    /// Heard by those who remain when this call leaves. Empty is no sound, and no beep.
    exit_sound: Said<Option<Cue>> = "exitSound" [Kind::Sound(true)], like "beep:2";
    /// Beeps when this call enters and leaves, where `enterSound` or `exitSound` does not say
    /// otherwise.
    beep: bool = "beep" [Kind::Bool] or false / true, like "false";
    /// The room starts when this call enters. Until it starts, members wait.
    starts: bool = "startConferenceOnEnter" [Kind::Bool] or true, like "false";
    /// The room ends when this call leaves.
    ends: bool = "endConferenceOnExit" [Kind::Bool] or false, like "true";
    /// Stays when all others have left.
    stays_alone: bool = "stayAlone" [Kind::Bool] or true / false, like "true";
    /// Heard by this call while it waits or is alone, over and over.
    wait_sound: Option<Cue> = "waitSound" [Kind::Sound(false)], like "sound:hold";
    /// How many calls the room holds: the first that a member states. Plivo's name.
    members_max: Option<u32> = "maxMembers" [Kind::Number(1, MEMBERS_MAX)], like "20";
    /// How many calls the room holds: the first that a member states. Vobiz' name.
    participants_max: Option<u32> = "maxParticipants" [Kind::Number(1, MEMBERS_MAX)], like "20";
    /// Records the room.
    records: bool = "record" [Kind::Bool] or false, like "true", idle "nothing is recorded";
    /// The recording's format.
    record_format: RecordFormat = "recordFileFormat" [Kind::Choice(&["mp3", "wav"])] or "mp3",
        like "wav", idle "nothing is recorded";
    /// The room ends this long after it was made; of several, the earliest holds. 0 is never.
    time_limit: Said<u32> = "timeLimit" [Kind::Seconds(0, TIME_LIMIT_MAX)] or 86400 / 14400,
        like "3600";
    /// The key `*` takes this call out of the room.
    leaves_on_star: bool = "hangupOnStar" [Kind::Bool] or false, like "true";
    /// Asked when this call has left.
    action: Option<Arc<str>> = "action" [Kind::Target], like "https://example.com/left";
    /// How `action` is asked.
    method: Method = "method" [METHOD] or "POST", like "GET";
    /// The answer of `action` is the next document; else it is only told.
    redirects: bool = "redirect" [Kind::Bool] or true, like "false";
    /// Told of this call's entering, leaving, digits and floor.
    callback_url: Option<Arc<str>> = "callbackUrl" [Kind::Web],
        like "https://example.com/conference";
    /// How `callbackUrl` is told.
    callback_method: Method = "callbackMethod" [METHOD] or "POST", like "GET";
    /// In what order `callbackUrl` is told: that of the room, one at a time, or that of each call,
    /// several at a time. An extension.
    callback_order: Arc<str> = "callbackOrder" [Kind::Choice(&["room", "call"])] or "room",
        like "call";
    /// Keys that `callbackUrl` is told of, with commas between the patterns.
    digits_match: Patterns = "digitsMatch" [Kind::Patterns], like "1,2,99#";
    /// `callbackUrl` is told when this call gets the floor.
    tells_floor: bool = "floorEvent" [Kind::Bool] or false, like "true";
    /// The others hear the keys that this call presses.
    relays_digits: bool = "relayDTMF" [Kind::Bool] or true / false, like "true";

    idle {
        /// How `waitSound` is asked.
        "waitMethod" [METHOD] or "POST", like "GET": "it is asked by POST";
        /// Records on while one call is left.
        "recordWhenAlone" [Kind::Bool] or false, like "true": "nothing is recorded";
        /// Keys to press on entering.
        "sendDigits" [Kind::Text], like "1234": "no vendor documents it";
        /// How the recording is transcribed.
        "transcriptionType" [Kind::Choice(&["auto", "hybrid", "manual"])], like "auto":
            "nothing is transcribed";
        /// Where the transcription goes.
        "transcriptionUrl" [Kind::Web], like "https://example.com/text": "nothing is transcribed";
        /// How the transcription is told.
        "transcriptionMethod" [METHOD] or "POST", like "GET": "nothing is transcribed";
    }
}

impl Conference {
    pub(super) fn parse(reading: &mut Reading<'_, '_>) -> Result<Self, FlowError> {
        let text = reading.element.words();
        let room = text.parse::<ConferenceName>();
        let room = room.map_err(|_| reading.fault(Fault::Room { text: clip(&text) }))?;
        let rows = Rows::read(reading);
        let beep = |beep| rows.beep.then_some(Cue::Beep(beep));
        let (own, other) = match reading.dialect {
            Dialect::Plivo => (rows.members_max, rows.participants_max),
            Dialect::Vobiz => (rows.participants_max, rows.members_max),
        };
        let entry = Entry {
            muted: rows.muted,
            starts: rows.starts,
            ends: rows.ends,
            stays_alone: rows.stays_alone,
            leaves_on_star: rows.leaves_on_star,
            relays_digits: rows.relays_digits,
            tells_floor: rows.tells_floor,
            time_limit: rows.time_limit.stated,
            time_limit_default: rows.time_limit.default,
            members_max: own.or(other),
            enter_sound: rows.enter_sound.stated.unwrap_or_else(|| beep(1)),
            exit_sound: rows.exit_sound.stated.unwrap_or_else(|| beep(2)),
            wait_sound: rows.wait_sound,
            digits_match: rows.digits_match.0,
            callback: rows.callback_url.map(|url| Callback {
                url,
                method: rows.callback_method,
                by_call: &*rows.callback_order == "call",
            }),
            action: reading.action(rows.action, rows.method, rows.redirects),
            records: rows.records,
            record_format: rows.record_format,
        };
        Ok(Self { room, entry: Arc::new(entry) })
    }

    pub(super) fn begin(&self) -> Start {
        Start::Join { room: self.room.clone(), entry: self.entry.clone() }
    }
}
