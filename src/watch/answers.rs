//! What the API answers, as far as the watch looks at it. Unknown keys are passed over.

use serde::Deserialize;

use crate::base::ids::{CallId, ConferenceName, MemberId};

/// `GET …/Conference/` (contract 2.3).
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct WatchedRooms {
    /// Their names.
    pub conferences: Vec<ConferenceName>,
}

/// `GET …/Conference/{name}/` (contract 2.3).
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
pub struct WatchedRoster {
    /// Who is in it.
    pub members: Vec<WatchedMember>,
}

/// One who is in a room.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct WatchedMember {
    /// A number, as text.
    pub member_id: String,
    /// His call.
    pub call_uuid: CallId,
    /// Whence he calls.
    #[serde(default)]
    pub from: String,
    /// What he called.
    #[serde(default)]
    pub to: String,
    /// What his phone calls him.
    #[serde(default)]
    pub caller_name: String,
    /// The others do not hear him.
    #[serde(default)]
    pub muted: bool,
    /// He does not hear the others.
    #[serde(default)]
    pub deaf: bool,
}

impl WatchedMember {
    /// His number; None if it is none.
    pub fn id(&self) -> Option<MemberId> {
        self.member_id.parse().ok()
    }
}

/// `GET /sim/v1/Account/{auth_id}/Phone/{call_uuid}/`: a simulated phone.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub struct WatchedPhone {
    /// Whence it calls.
    pub from: String,
    /// What it called.
    pub to: String,
    /// `ringing`, `in-progress` or `completed`.
    pub state: String,
    /// What ended the call.
    pub hangup_cause_name: Option<String>,
    /// What it has heard.
    pub timeline: Vec<HeardEntry>,
}

/// Something that was heard.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub struct HeardEntry {
    /// Since the phone dialled in.
    pub from_ms: u64,
    /// None while it lasts.
    pub to_ms: Option<u64>,
    /// `beep`, `room`, `silence`, `sound`, `speech` or `wait`.
    pub heard: String,
    /// Of `room`.
    pub conference: Option<String>,
    /// Of `sound`, or of a wait sound.
    pub url: Option<String>,
    /// Of `speech`, or of a wait sound.
    pub text: Option<String>,
}

/// The `data` of an event; a room's have other fields than a call's.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, rename_all = "PascalCase")]
pub struct WatchedEvent {
    /// What happened: `ConferenceEnter`, `Hangup` …
    pub event: String,
    /// To whom.
    #[serde(rename = "CallUUID")]
    pub call: Option<CallId>,
    /// Whence he calls.
    pub from: String,
    /// What he called.
    pub to: String,
    /// What his phone calls him.
    pub caller_name: String,
    /// In which room.
    #[serde(rename = "ConferenceName")]
    pub room: Option<ConferenceName>,
    /// His number in it.
    #[serde(rename = "ConferenceMemberID")]
    pub member: String,
    /// `kicked` and the like.
    #[serde(rename = "ConferenceExitCause")]
    pub exit_cause: String,
    /// What the kick said.
    #[serde(rename = "ConferenceExitReason")]
    pub exit_reason: String,
    /// Of a call that is over.
    pub hangup_cause_name: String,
}
