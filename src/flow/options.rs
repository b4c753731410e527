//! Options of elements: requests, actions, and the terms of a conference.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::group::{GroupId, Rank};

/// A request for a document.
#[derive(Clone, Eq, PartialEq)]
pub struct DocumentRequest {
    /// `http(s)://…` or `flow:NAME`, as written.
    pub url: Arc<str>,
    /// Sends the fields in the query (GET) or in the body (POST).
    pub method: RequestMethod,
    /// Decides how a failure ends the call.
    pub purpose: Purpose,
    /// Fields in addition to the standard ones, in order (`Digits`, `ConferenceName`, …).
    pub fields: Vec<(&'static str, String)>,
    /// Keeps the fields' values out of logs, traces and Debug output (`log="false"`).
    pub is_private: bool,
}

impl fmt::Debug for DocumentRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, method, purpose, fields, is_private } = self;
        let mut request = f.debug_struct("DocumentRequest");
        request.field("url", url).field("method", method).field("purpose", purpose);
        match is_private {
            true => request.field("fields", &"private"),
            false => request.field("fields", fields),
        };
        request.finish()
    }
}

/// HTTP method of a request.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub enum RequestMethod {
    /// Sends the fields in the query.
    Get,
    /// Sends the fields in the body.
    #[default]
    Post,
}

impl RequestMethod {
    /// The name in the request line.
    pub fn text(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }
}

/// What a document is fetched for.
///
/// Rows of the state log have the number of a variant: new ones come last.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Purpose {
    /// Response of an element's `action`.
    Action,
    /// First document of the call.
    Answer,
    /// Document named by a kick; if it fails, the flow continues at the next element.
    Kick,
    /// Document named by a `<Redirect>`.
    Redirect,
    /// Sound of a conference; if it fails, there is silence, and the call continues.
    Sound,
    /// Document named by a REST transfer.
    Transfer,
}

impl Purpose {
    /// The name in traces and the log.
    pub fn text(self) -> &'static str {
        match self {
            Self::Action => "action",
            Self::Answer => "answer",
            Self::Kick => "kick",
            Self::Redirect => "redirect",
            Self::Sound => "sound",
            Self::Transfer => "transfer",
        }
    }
}

/// Options of a call in a conference: the attributes of `<Conference>` (contract 3.3), with the
/// defaults of the document's dialect.
#[derive(Clone, Debug, PartialEq)]
pub struct JoinOptions {
    /// `muted`: the member enters muted, so the others do not hear it.
    pub muted: bool,
    /// `startConferenceOnEnter`: the room starts when this call enters.
    pub starts: bool,
    /// `endConferenceOnExit`: the room ends when this call leaves.
    pub ends: bool,
    /// `stayAlone`: the member stays when all others have left.
    pub stays_alone: bool,
    /// `hangupOnStar`: the key `*` takes the call out of the room.
    pub leaves_on_star: bool,
    /// `relayDTMF`: the others hear this member's key presses.
    pub relays_digits: bool,
    /// `timeLimit` in seconds from the creation of the room, if stated; 0 is no limit.
    pub time_limit: Option<u32>,
    /// Limit in seconds if no member states one.
    pub time_limit_default: u32,
    /// `maxMembers` or `maxParticipants`, if stated: the size limit of the room.
    pub members_max: Option<u32>,
    /// Played to the room when this member enters (`enterSound`, `beep`).
    pub enter_sound: Option<ConferenceSound>,
    /// Played to the remaining members when this one leaves (`exitSound`, `beep`).
    pub exit_sound: Option<ConferenceSound>,
    /// Played to this member while it waits or is alone (`waitSound`).
    pub wait_sound: Option<ConferenceSound>,
    /// `digitsMatch`: patterns of keys, none of them empty.
    pub digits_match: Vec<Arc<str>>,
    /// `callbackUrl` and what goes with it: receiver of this member's events.
    pub callback: Option<Arc<CallbackTarget>>,
    /// `action`, `method`, `redirect`: the request when this member has left.
    pub action: Option<Action>,
    /// `group`, `moderators`: restricts the room to a group.
    pub guard: Option<RoomGuard>,
    /// `record`: the room is recorded.
    pub records: bool,
    /// `recordWhenAlone`: also while one member is left.
    pub records_alone: bool,
    /// `recordFileFormat`: the format that the recording will have.
    pub recording_format: RecordingFormat,
}

impl JoinOptions {
    /// Options of a member of a room without a name: no sounds, no limits, nobody is told.
    pub fn private() -> Self {
        Self {
            muted: false,
            starts: false,
            ends: false,
            stays_alone: true,
            leaves_on_star: false,
            relays_digits: false,
            time_limit: None,
            time_limit_default: 0,
            members_max: None,
            enter_sound: None,
            exit_sound: None,
            wait_sound: None,
            digits_match: Vec::new(),
            callback: None,
            action: None,
            guard: None,
            records: false,
            records_alone: false,
            recording_format: RecordingFormat::default(),
        }
    }
}

/// The group that guards a room.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RoomGuard {
    /// `group`: only members of this group are admitted. [`RoomGuard::NOBODY`] has no members.
    pub group: GroupId,
    /// `moderators`: members of this rank or above start the room; it ends when the last one
    /// leaves.
    pub moderators: Option<Rank>,
}

impl RoomGuard {
    /// Group number that stands for an invalid `group` attribute; the group has no members.
    pub const NOBODY: GroupId = GroupId(0);
}

/// A sound of a conference.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ConferenceSound {
    /// `beep:1` or `beep:2`: one beep or two.
    Beep(u8),
    /// A built-in sound: `sound:hold`, `sound:ring` or `sound:beep`; on hold also the URL of a file.
    BuiltIn(Arc<str>),
    /// URL of a document of Play, Speak and Wait: `http(s)://…` or `flow:NAME`.
    Document(Arc<str>),
}

/// Receiver of a member's events.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct CallbackTarget {
    /// `callbackUrl`: `http(s)://…`, as written.
    pub url: Arc<str>,
    /// `callbackMethod`: GET or POST.
    pub method: RequestMethod,
    /// `callbackOrder="call"`: callbacks are in order per call only, and several are sent at a
    /// time.
    pub by_call: bool,
    /// `floorEvent`: it is told when the member gets the floor.
    pub reports_floor: bool,
}

/// Request at the end of an element.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Action {
    /// `action`: `http(s)://…` or `flow:NAME`, as written.
    pub url: Arc<str>,
    /// `method`: GET or POST.
    pub method: RequestMethod,
    /// `redirect`: the response is the next document; if false, it is ignored.
    pub redirects: bool,
}

impl Action {
    /// Its request, with these fields.
    pub(super) fn request(
        self,
        fields: Vec<(&'static str, String)>,
        is_private: bool,
    ) -> DocumentRequest {
        let Self { url, method, redirects: _ } = self;
        DocumentRequest { url, method, purpose: Purpose::Action, fields, is_private }
    }
}

/// `recordFileFormat`: file format of a recording.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum RecordingFormat {
    /// MPEG-1/2 audio layer III.
    #[default]
    Mp3,
    /// Uncompressed samples in a RIFF WAVE file.
    Wav,
}
