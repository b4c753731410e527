//! Bodies of the API, limited to the fields that the watch shows. Unknown keys are ignored.

use serde::Deserialize;

use crate::base::ids::{CallId, ConferenceName, MemberId};

/// Response to `GET …/Conference/` (contract 2.3).
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct WatchedRooms {
    /// Names of the account's rooms.
    pub conferences: Vec<ConferenceName>,
}

/// Response to `GET …/Conference/{name}/` (contract 2.3).
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
pub struct WatchedRoster {
    /// Members in the order of joining.
    pub members: Vec<WatchedMember>,
}

/// A member of a room.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct WatchedMember {
    /// Member id, a decimal number as text.
    pub member_id: String,
    /// Id of the member's call.
    pub call_uuid: CallId,
    /// Number or URI of the caller.
    #[serde(default)]
    pub from: String,
    /// Number or URI that was called.
    #[serde(default)]
    pub to: String,
    /// Display name that the phone sends.
    #[serde(default)]
    pub caller_name: String,
    /// Whether others cannot hear them.
    #[serde(default)]
    pub muted: bool,
    /// Whether they cannot hear others.
    #[serde(default)]
    pub deaf: bool,
}

impl WatchedMember {
    /// The member id; None if it is not a number.
    pub fn id(&self) -> Option<MemberId> {
        self.member_id.parse().ok()
    }
}

/// Response to `GET /sim/v1/Account/{auth_id}/Phone/{call_uuid}/`: a simulated phone.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub struct WatchedPhone {
    /// Number or URI of the phone.
    pub from: String,
    /// Number or URI that it called.
    pub to: String,
    /// One of `ringing`, `in-progress` and `completed`.
    pub state: String,
    /// Hang-up cause; None while the call lasts.
    pub hangup_cause_name: Option<String>,
    /// Sounds that it has heard, in order.
    pub timeline: Vec<HeardEntry>,
}

/// A sound that a simulated phone heard.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub struct HeardEntry {
    /// Begin, in milliseconds since the phone called.
    pub from_ms: u64,
    /// End, in milliseconds; None while it lasts.
    pub to_ms: Option<u64>,
    /// One of `beep`, `room`, `silence`, `sound`, `speech` and `wait`.
    pub heard: String,
    /// Name of the room, for `room`.
    pub conference: Option<String>,
    /// URL of the sound, for `sound` and `wait`.
    pub url: Option<String>,
    /// Text that was spoken, for `speech` and `wait`.
    pub text: Option<String>,
}

/// The `data` of an event. Events of rooms and of calls have different fields.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, rename_all = "PascalCase")]
pub struct WatchedEvent {
    /// Type of the event: `ConferenceEnter`, `Hangup`, …
    pub event: String,
    /// Call that the event is about.
    #[serde(rename = "CallUUID")]
    pub call: Option<CallId>,
    /// Number or URI of the caller.
    pub from: String,
    /// Number or URI that was called.
    pub to: String,
    /// Display name that the phone sends.
    pub caller_name: String,
    /// Room that the event is about.
    #[serde(rename = "ConferenceName")]
    pub room: Option<ConferenceName>,
    /// Member id in the room, as text.
    #[serde(rename = "ConferenceMemberID")]
    pub member: String,
    /// Exit cause, such as `kicked`.
    #[serde(rename = "ConferenceExitCause")]
    pub exit_cause: String,
    /// Reason that the kick request gave.
    #[serde(rename = "ConferenceExitReason")]
    pub exit_reason: String,
    /// Hang-up cause of a call that has ended.
    pub hangup_cause_name: String,
}
