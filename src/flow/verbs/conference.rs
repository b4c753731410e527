//! `<Conference>`: moves the call into a room.

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

/// Higher values of `maxMembers` are errors: no room of this engine is larger.
const MEMBERS_MAX: u32 = 10_000;
/// Many times the longest call (contract 7).
const TIME_LIMIT_MAX: u32 = 10_000_000;

verb! {
    /// Moves the call into the room that its text names. The flow continues when it leaves.
    ///
    /// If the call is still up then, it continues at the element that the branch for this exit
    /// names (`onKick`, …), otherwise with the response of `action`, otherwise at the next element.
    ///
    /// ```xml
    /// <Response>
    ///   <Conference endConferenceOnExit="true">weekly</Conference>
    ///   <Speak>You have left the meeting.</Speak>
    /// </Response>
    /// ```
    pub struct ConferenceVerb {
        /// Name within the call's account.
        pub room: ConferenceName,
        /// From the attributes and the dialect's defaults.
        pub options: Arc<JoinOptions>,
    }
    "Conference", Vendors::Both, text Room, holds &[], answers true;

    /// The call enters muted: the other members do not hear it.
    muted: bool = "muted" [AttrKind::Bool] or false, like "true";
    /// Played to the room when this call enters. Empty: no sound and no beep.
    enter_sound: Stated<Option<ConferenceSound>> = "enterSound" [AttrKind::Sound(true)], like "beep:1";
    /// Played to the remaining members when this call leaves. Empty: no sound and no beep.
    exit_sound: Stated<Option<ConferenceSound>> = "exitSound" [AttrKind::Sound(true)], like "beep:2";
    /// Beeps when this call enters and leaves, unless `enterSound` or `exitSound` is stated.
    beep: bool = "beep" [AttrKind::Bool] or false / true, like "false";
    /// The room starts when this call enters. Until it starts, members wait.
    starts: bool = "startConferenceOnEnter" [AttrKind::Bool] or true, like "false";
    /// The room ends when this call leaves.
    ends: bool = "endConferenceOnExit" [AttrKind::Bool] or false, like "true";
    /// The call stays in the room when all others have left.
    stays_alone: bool = "stayAlone" [AttrKind::Bool] or true / false, like "true";
    /// Played to this call, repeatedly, while it waits or is alone.
    wait_sound: Option<ConferenceSound> = "waitSound" [AttrKind::Sound(false)], like "sound:hold";
    /// Size limit of the room; the first member that states one decides. Plivo's name.
    members_max: Option<u32> = "maxMembers" [AttrKind::Number(1, MEMBERS_MAX)], like "20";
    /// Size limit of the room; the first member that states one decides. Vobiz' name.
    participants_max: Option<u32> = "maxParticipants" [AttrKind::Number(1, MEMBERS_MAX)], like "20";
    /// Records the conversation in the room.
    records: bool = "record" [AttrKind::Bool] or false, like "true";
    /// Continues the recording while one call is left. If false, that time is not in the file.
    records_alone: bool = "recordWhenAlone" [AttrKind::Bool] or false, like "true";
    /// File format of the recording. Without an encoder on the server, the file is WAV in any case.
    recording_format: RecordingFormat = "recordFileFormat" [AttrKind::Choice(&["mp3", "wav"])] or "mp3",
        like "wav";
    /// The room ends this many seconds after its creation. The earliest limit holds; 0 is none.
    time_limit: Stated<u32> = "timeLimit" [AttrKind::Seconds(0, TIME_LIMIT_MAX)] or 86400 / 14400,
        like "3600";
    /// The key `*` takes this call out of the room.
    leaves_on_star: bool = "hangupOnStar" [AttrKind::Bool] or false, like "true";
    /// Requested when this call has left.
    action: Option<Arc<str>> = "action" [AttrKind::Target], like "https://example.com/left";
    /// HTTP method for `action`.
    method: RequestMethod = "method" [METHOD] or "POST", like "GET";
    /// The response of `action` is the next document. If false, it is ignored.
    redirects: bool = "redirect" [AttrKind::Bool] or true, like "false";
    /// URL that receives events: this call enters, leaves, presses keys, gets the floor.
    callback_url: Option<Arc<str>> = "callbackUrl" [AttrKind::Web],
        like "https://example.com/conference";
    /// HTTP method for `callbackUrl`.
    callback_method: RequestMethod = "callbackMethod" [METHOD] or "POST", like "GET";
    /// Order of callbacks: of the `room`, one at a time, or of each `call`, several at a time. An
    /// extension.
    callback_order: Arc<str> = "callbackOrder" [AttrKind::Choice(&["room", "call"])] or "room",
        like "call";
    /// Keys that are reported to `callbackUrl`: patterns, separated by commas.
    digits_match: Patterns = "digitsMatch" [AttrKind::Patterns], like "1,2,99#";
    /// Reports to `callbackUrl` when this call gets the floor.
    reports_floor: bool = "floorEvent" [AttrKind::Bool] or false, like "true";
    /// The other members hear the keys that this call presses.
    relays_digits: bool = "relayDTMF" [AttrKind::Bool] or true / false, like "true";
    /// Admits only members of this group, by the trusted identity of the caller. A caller who is
    /// removed from the group leaves the room. The first call in a room decides its group; a call
    /// that states another one is not admitted. An extension.
    group: Stated<Arc<str>> = "group" [AttrKind::Text], like "6000001";
    /// With `group`: members of at least this rank start the room (not `startConferenceOnEnter`),
    /// and it ends when the last of them leaves. The rank at entry counts. An extension.
    moderators: Option<Rank> = "moderators" [AttrKind::Choice(&Rank::NAMES)], like "admin";

    idle {
        /// HTTP method for `waitSound`.
        "waitMethod" [METHOD] or "POST", like "GET": "it is requested by POST";
        /// Keys to press when the call enters.
        "sendDigits" [AttrKind::Text], like "1234": "no vendor documents it";
        /// How the recording is transcribed.
        "transcriptionType" [AttrKind::Choice(&["auto", "hybrid", "manual"])], like "auto":
            "nothing is transcribed";
        /// URL that receives the transcription.
        "transcriptionUrl" [AttrKind::Web], like "https://example.com/text": "nothing is transcribed";
        /// HTTP method for `transcriptionUrl`.
        "transcriptionMethod" [METHOD] or "POST", like "GET": "nothing is transcribed";
    }

    branches {
        /// Id of a later element at which the call continues after a kick.
        "onKick", like "kicked";
        /// … when the room ended because another member left, or the engine shuts down.
        "onEnd", like "goodbye";
        /// … when the room reached its time limit.
        "onTimeUp", like "goodbye";
        /// … when all others have left.
        "onAlone", like "goodbye";
        /// … when the caller pressed `*` with `hangupOnStar`.
        "onStar", like "menu";
        /// … when the room is full.
        "onFull", like "later";
        /// … when the caller is not admitted: banned, or not a member of the room's group.
        "onBan", like "sorry";
        /// … when the document of `action` cannot be fetched. Without it, the call ends.
        "onError", like "sorry";
    }
}

impl ConferenceVerb {
    pub(super) fn parse(reading: &mut ElementReader<'_, '_>) -> Result<Self, FlowError> {
        let text = reading.element.normalized_text();
        let room = text.parse::<ConferenceName>();
        let room = room.map_err(|_| FlowError {
            at: reading.text_at(),
            error: FlowErrorKind::Room { text: clip(&text) },
        })?;
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
            time_limit: rows.time_limit.stated,
            time_limit_default: rows.time_limit.default,
            members_max: own.or(other),
            enter_sound: rows.enter_sound.stated.unwrap_or_else(|| beep(1)),
            exit_sound: rows.exit_sound.stated.unwrap_or_else(|| beep(2)),
            wait_sound: rows.wait_sound,
            digits_match: rows.digits_match.0,
            callback: rows.callback_url.map(|url| {
                Arc::new(CallbackTarget {
                    url,
                    method: rows.callback_method,
                    by_call: &*rows.callback_order == "call",
                    reports_floor: rows.reports_floor,
                })
            }),
            action: reading.action(rows.action, rows.method, rows.redirects),
            guard: guard(reading, rows.group.stated, rows.moderators),
            records: rows.records,
            records_alone: rows.records_alone,
            recording_format: rows.recording_format,
        };
        Ok(Self { room, options: Arc::new(options) })
    }

    pub(super) fn begin(&self) -> VerbStart {
        VerbStart::Join { room: self.room.clone(), options: self.options.clone() }
    }
}

/// An invalid group has no members: to admit everyone would be the worse mistake.
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
