//! Options of elements: requests, actions, and the terms of a conference.

use std::{fmt, sync::Arc};

use crate::group::{GroupId, Rank};

/// A request for a document.
#[derive(Clone, Eq, PartialEq)]
pub struct DocumentRequest {
    /// `http(s)://…` or `flow:NAME`; as the author wrote it.
    pub url: Arc<str>,
    /// GET or POST.
    pub method: RequestMethod,
    /// What the document is for: it decides how a failure ends the call.
    pub purpose: Purpose,
    /// Fields beside the standard ones, in order (`Digits`, `ConferenceName`, …).
    pub fields: Vec<(&'static str, String)>,
    /// The fields' values belong into no log and no trace (`log="false"`); Debug leaves them out.
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

/// How a URL is requested.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum RequestMethod {
    /// The fields are in the query.
    Get,
    /// The fields are in the body.
    #[default]
    Post,
}

/// What a document is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Purpose {
    /// An element's `action`.
    Action,
    /// The call's first document.
    Answer,
    /// Whoever kicks a call names it; a failure leads to the next element.
    Kick,
    /// `<Redirect>`.
    Redirect,
    /// A conference's sound; a failure is silence, and ends no call.
    Sound,
    /// A REST transfer.
    Transfer,
}

/// On what terms a call is in a conference: `<Conference>`'s attributes (contract 3.3), with the
/// defaults of the document's dialect.
#[derive(Clone, Debug, PartialEq)]
pub struct JoinOptions {
    /// `muted`: enters unable to speak.
    pub muted: bool,
    /// `startConferenceOnEnter`: the room starts when this call enters.
    pub starts: bool,
    /// `endConferenceOnExit`: the room ends when this call leaves.
    pub ends: bool,
    /// `stayAlone`: stays when all others have left.
    pub stays_alone: bool,
    /// `hangupOnStar`: `*` takes the call out.
    pub leaves_on_star: bool,
    /// `relayDTMF`: the others hear this member's key presses.
    pub relays_digits: bool,
    /// `floorEvent`: told when this member gets the floor.
    pub reports_floor: bool,
    /// `timeLimit` in seconds from the room's creation, if stated; 0 is none.
    pub time_limit: Option<u32>,
    /// What holds, in seconds, while no member states a limit.
    pub time_limit_default: u32,
    /// `maxMembers` or `maxParticipants`, if stated.
    pub members_max: Option<u32>,
    /// Heard by the room when this member enters (`enterSound`, `beep`).
    pub enter_sound: Option<ConferenceSound>,
    /// Heard by those who remain when this member leaves (`exitSound`, `beep`).
    pub exit_sound: Option<ConferenceSound>,
    /// Heard by this member while it waits, or is alone (`waitSound`).
    pub wait_sound: Option<ConferenceSound>,
    /// `digitsMatch`: patterns of keys, none empty.
    pub digits_match: Vec<Arc<str>>,
    /// `callbackUrl`, `callbackMethod`, `callbackOrder`: where this member's events go.
    pub callback: Option<CallbackTarget>,
    /// `action`, `method`, `redirect`: what is asked when this member has left.
    pub action: Option<Action>,
    /// `group`, `moderators`: whom the room is for.
    pub guard: Option<RoomGuard>,
    /// `record`: the room is recorded.
    pub records: bool,
    /// `recordFileFormat`.
    pub recording_format: RecordingFormat,
}

/// A group that guards a room.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RoomGuard {
    /// `group`: only its members come in. [`RoomGuard::NOBODY`] has none.
    pub group: GroupId,
    /// `moderators`: those of this rank or above start the room, and the last of them ends it.
    pub moderators: Option<Rank>,
}

impl RoomGuard {
    /// The number of no group: what an author has written there is none.
    pub const NOBODY: GroupId = GroupId(0);
}

/// A sound of a conference.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ConferenceSound {
    /// `beep:1` or `beep:2`.
    Beep(u8),
    /// A sound in itself: `sound:hold|ring|beep`.
    BuiltIn(Arc<str>),
    /// A document of Play, Speak and Wait: `http(s)://…` or `flow:NAME`.
    Document(Arc<str>),
}

/// Where a member's events go.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CallbackTarget {
    /// `callbackUrl`.
    pub url: Arc<str>,
    /// `callbackMethod`.
    pub method: RequestMethod,
    /// `callbackOrder="call"`: in order per call only, and more at a time.
    pub by_call: bool,
}

/// What an element asks when it is over.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Action {
    /// `action`.
    pub url: Arc<str>,
    /// `method`.
    pub method: RequestMethod,
    /// `redirect`: the answer is the next document; else it is let be.
    pub redirects: bool,
}

/// `recordFileFormat`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum RecordingFormat {
    /// `mp3`.
    #[default]
    Mp3,
    /// `wav`.
    Wav,
}
