//! `<Conference>`: puts the call into a room.

use std::sync::Arc;

use super::{Vendors, VerbStart};
use crate::{
    base::ids::{ConferenceName, Dialect},
    flow::{
        AttrKind, CallbackTarget, ConferenceSound, FlowError, FlowErrorKind, FlowWarningKind,
        JoinOptions, RecordingFormat, RequestMethod, RoomGuard,
        attr::METHOD,
        attrs::{ElementReader, verb},
        error::clip,
        field::{Patterns, Stated},
    },
    group::Rank,
};

/// More calls than this are in no room, whatever its members say.
const MEMBERS_MAX: u32 = 10_000;
/// The longest a call can last (contract 7) many times over; a limit beyond it is none.
const TIME_LIMIT_MAX: u32 = 10_000_000;

verb! {
    /// Puts the call into the room that its text names, and holds the flow there for as long as
    /// the call is in it.
    ///
    /// However the call gets out, if it is still up the flow goes on: at the element that the
    /// branch for that names (`onKick`, …), else with the answer of `action`, if there is one,
    /// else at the next element.
    ///
    /// ```xml
    /// <Response>
    ///   <Conference endConferenceOnExit="true">weekly</Conference>
    ///   <Speak>You have left the meeting.</Speak>
    /// </Response>
    /// ```
    pub struct ConferenceVerb {
        /// Which room.
        pub room: ConferenceName,
        /// On what terms.
        pub options: Arc<JoinOptions>,
    }
    "Conference", Vendors::Both, text Room, holds &[], answers true;

    /// Enters unable to speak.
    muted: bool = "muted" [AttrKind::Bool] or false, like "true";
    /// Heard by the room when this call enters. Empty is no sound, and no beep.
    enter_sound: Stated<Option<ConferenceSound>> = "enterSound" [AttrKind::Sound(true)], like "beep:1";
    /// Heard by those who remain when this call leaves. Empty is no sound, and no beep.
    exit_sound: Stated<Option<ConferenceSound>> = "exitSound" [AttrKind::Sound(true)], like "beep:2";
    /// Beeps when this call enters and leaves, where `enterSound` or `exitSound` does not say
    /// otherwise.
    beep: bool = "beep" [AttrKind::Bool] or false / true, like "false";
    /// The room starts when this call enters. Until it starts, members wait.
    starts: bool = "startConferenceOnEnter" [AttrKind::Bool] or true, like "false";
    /// The room ends when this call leaves.
    ends: bool = "endConferenceOnExit" [AttrKind::Bool] or false, like "true";
    /// Stays when all others have left.
    stays_alone: bool = "stayAlone" [AttrKind::Bool] or true / false, like "true";
    /// Heard by this call while it waits or is alone, over and over.
    wait_sound: Option<ConferenceSound> = "waitSound" [AttrKind::Sound(false)], like "sound:hold";
    /// How many calls the room holds: the first that a member states. Plivo's name.
    members_max: Option<u32> = "maxMembers" [AttrKind::Number(1, MEMBERS_MAX)], like "20";
    /// How many calls the room holds: the first that a member states. Vobiz' name.
    participants_max: Option<u32> = "maxParticipants" [AttrKind::Number(1, MEMBERS_MAX)], like "20";
    /// Records the room.
    records: bool = "record" [AttrKind::Bool] or false, like "true", idle "nothing is recorded";
    /// The recording's format.
    recording_format: RecordingFormat = "recordFileFormat" [AttrKind::Choice(&["mp3", "wav"])] or "mp3",
        like "wav", idle "nothing is recorded";
    /// The room ends this long after it was made; of several, the earliest holds. 0 is never.
    time_limit: Stated<u32> = "timeLimit" [AttrKind::Seconds(0, TIME_LIMIT_MAX)] or 86400 / 14400,
        like "3600";
    /// The key `*` takes this call out of the room.
    leaves_on_star: bool = "hangupOnStar" [AttrKind::Bool] or false, like "true";
    /// Asked when this call has left.
    action: Option<Arc<str>> = "action" [AttrKind::Target], like "https://example.com/left";
    /// How `action` is asked.
    method: RequestMethod = "method" [METHOD] or "POST", like "GET";
    /// The answer of `action` is the next document; else it is only told.
    redirects: bool = "redirect" [AttrKind::Bool] or true, like "false";
    /// Told of this call's entering, leaving, digits and floor.
    callback_url: Option<Arc<str>> = "callbackUrl" [AttrKind::Web],
        like "https://example.com/conference";
    /// How `callbackUrl` is told.
    callback_method: RequestMethod = "callbackMethod" [METHOD] or "POST", like "GET";
    /// In what order `callbackUrl` is told: that of the room, one at a time, or that of each call,
    /// several at a time. An extension.
    callback_order: Arc<str> = "callbackOrder" [AttrKind::Choice(&["room", "call"])] or "room",
        like "call";
    /// Keys that `callbackUrl` is told of, with commas between the patterns.
    digits_match: Patterns = "digitsMatch" [AttrKind::Patterns], like "1,2,99#";
    /// `callbackUrl` is told when this call gets the floor.
    reports_floor: bool = "floorEvent" [AttrKind::Bool] or false, like "true";
    /// The others hear the keys that this call presses.
    relays_digits: bool = "relayDTMF" [AttrKind::Bool] or true / false, like "true";
    /// Only members of this group come in, as whom the engine trusts them to be; who is removed
    /// from it is taken out. The first call in a room says which group guards it, if any, and one
    /// that says otherwise is not let in. An extension.
    group: Stated<Arc<str>> = "group" [AttrKind::Text], like "6000001";
    /// With `group`: its members of this rank or above start the room, in place of
    /// `startConferenceOnEnter`, and the room ends when the last of them leaves. A rank is
    /// that of the moment of entering. An extension.
    moderators: Option<Rank> = "moderators" [AttrKind::Choice(&Rank::NAMES)], like "admin";

    idle {
        /// How `waitSound` is asked.
        "waitMethod" [METHOD] or "POST", like "GET": "it is asked by POST";
        /// Records on while one call is left.
        "recordWhenAlone" [AttrKind::Bool] or false, like "true": "nothing is recorded";
        /// Keys to press on entering.
        "sendDigits" [AttrKind::Text], like "1234": "no vendor documents it";
        /// How the recording is transcribed.
        "transcriptionType" [AttrKind::Choice(&["auto", "hybrid", "manual"])], like "auto":
            "nothing is transcribed";
        /// Where the transcription goes.
        "transcriptionUrl" [AttrKind::Web], like "https://example.com/text": "nothing is transcribed";
        /// How the transcription is told.
        "transcriptionMethod" [METHOD] or "POST", like "GET": "nothing is transcribed";
    }

    branches {
        /// Where this call goes on when it was kicked: the id of an element further on.
        "onKick", like "kicked";
        /// … when the room has ended because somebody else left, or the engine shuts down.
        "onEnd", like "goodbye";
        /// … when the room's time is up.
        "onTimeUp", like "goodbye";
        /// … when all others have left.
        "onAlone", like "goodbye";
        /// … when it has pressed `*` with `hangupOnStar`.
        "onStar", like "menu";
        /// … when the room is full.
        "onFull", like "later";
        /// … when it may not come in: it is banned, or not a member of the room's group.
        "onBan", like "sorry";
        /// … when the document of `action` cannot be had. Without it, that ends the call.
        "onError", like "sorry";
    }
}

impl ConferenceVerb {
    pub(super) fn parse(reading: &mut ElementReader<'_, '_>) -> Result<Self, FlowError> {
        let text = reading.element.normalized_text();
        let room = text.parse::<ConferenceName>();
        let room = room.map_err(|_| reading.error(FlowErrorKind::Room { text: clip(&text) }))?;
        let rows = Rows::read(reading);
        let beep = |beep| rows.beep.then_some(ConferenceSound::Beep(beep));
        let (own, other) = match reading.dialect {
            Dialect::Plivo => (rows.members_max, rows.participants_max),
            Dialect::Vobiz => (rows.participants_max, rows.members_max),
        };
        let options = JoinOptions {
            muted: rows.muted,
            starts: rows.starts,
            ends: rows.ends,
            stays_alone: rows.stays_alone,
            leaves_on_star: rows.leaves_on_star,
            relays_digits: rows.relays_digits,
            reports_floor: rows.reports_floor,
            time_limit: rows.time_limit.stated,
            time_limit_default: rows.time_limit.default,
            members_max: own.or(other),
            enter_sound: rows.enter_sound.stated.unwrap_or_else(|| beep(1)),
            exit_sound: rows.exit_sound.stated.unwrap_or_else(|| beep(2)),
            wait_sound: rows.wait_sound,
            digits_match: rows.digits_match.0,
            callback: rows.callback_url.map(|url| CallbackTarget {
                url,
                method: rows.callback_method,
                by_call: &*rows.callback_order == "call",
            }),
            action: reading.action(rows.action, rows.method, rows.redirects),
            guard: guard(reading, rows.group.stated, rows.moderators),
            records: rows.records,
            recording_format: rows.recording_format,
        };
        Ok(Self { room, options: Arc::new(options) })
    }

    pub(super) fn begin(&self) -> VerbStart {
        VerbStart::Join { room: self.room.clone(), options: self.options.clone() }
    }
}

/// What is no group has no members: to let everybody in would be the worse mistake.
fn guard(
    reading: &mut ElementReader<'_, '_>,
    group: Option<Arc<str>>,
    moderators: Option<Rank>,
) -> Option<RoomGuard> {
    let Some(text) = group else {
        let (name, needs) = ("moderators", "group");
        reading.warn_attribute(name, FlowWarningKind::AttributeAlone { name, needs });
        return None;
    };
    let group = text.trim().parse().ok().filter(|it| *it != RoomGuard::NOBODY);
    if group.is_none() {
        reading.warn_attribute("group", FlowWarningKind::NoGroup { text: clip(&text) });
    }
    Some(RoomGuard { group: group.unwrap_or(RoomGuard::NOBODY), moderators })
}

#[cfg(test)]
mod tests;
