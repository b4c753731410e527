//! Options and result of `<Dial>` (contract of calling, section 13).

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Action, CallbackTarget, ConferenceSound, record::RecordOptions};
use crate::{
    base::ids::CallId,
    media::{DialCredentials, HangupCause, HangupSource},
};

/// Names without the vendor's prefix, and values.
pub type DialHeaders = Vec<(Arc<str>, Arc<str>)>;

/// The most destinations of one `<Dial>`, or of one request that calls somebody into a conference.
pub const DESTINATIONS_MAX: usize = 20;

/// Options of a `<Dial>`: its attributes and its destinations.
#[derive(Clone, Debug, PartialEq)]
pub struct DialOptions {
    /// They ring at once; 1 to 20.
    pub destinations: Vec<DialDestination>,
    /// How each destination is called and accepts. `timeLimit` is that of the conversation.
    pub terms: Arc<CalleeTerms>,
    /// `action`, `method`, `redirect`: the request when the dial is over.
    pub action: Option<Action>,
    /// `record`, or a `<Record>` inside: how the conversation is recorded; None: it is not.
    pub recording: Option<Arc<RecordOptions>>,
    /// `callerId`: the number that the callees see; None: the caller's own.
    pub caller_id: Option<Arc<str>>,
    /// `callerName`: the name that the callees see; None: the caller's own.
    pub caller_name: Option<Arc<str>>,
    /// `hangupOnStar`: the caller's `*` ends the dial, and the flow continues.
    pub leaves_on_star: bool,
    /// `dialMusic`: what the caller hears until somebody is connected.
    pub music: ConferenceSound,
    /// `dialMusic="real"` and one destination: the caller hears its early media.
    pub hears_early_media: bool,
    /// `digitsMatch`: patterns of the caller's keys, none of them empty.
    pub digits_match: Vec<Arc<str>>,
    /// `digitsMatchBLeg`: patterns of the connected callee's keys, none of them empty.
    pub callee_digits_match: Vec<Arc<str>>,
}

/// How callees that are called together ring and accept.
#[derive(Clone, Debug, PartialEq)]
pub struct CalleeTerms {
    /// `timeout`: the longest time from the start to an answer.
    pub ring_timeout: Duration,
    /// `timeLimit`: the longest conversation; the longest call of somebody who is called into a
    /// conference, from the answer.
    pub time_limit: Duration,
    /// `confirmSound`: played to a callee that has answered, before it is connected.
    pub confirm_sound: Option<Arc<str>>,
    /// `confirmKey`: the key with which a callee accepts.
    pub confirm_key: Option<char>,
    /// `confirmTimeout`: the longest time from a callee's answer to the key.
    pub confirm_timeout: Duration,
    /// `callbackUrl` and `callbackMethod`: receiver of events about the callees.
    pub callback: Option<Arc<CallbackTarget>>,
}

/// One destination of a `<Dial>`: a `<Number>` or a `<User>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DialDestination {
    /// A number, a SIP URI, the name of an endpoint, or `sim:NAME`.
    pub to: Arc<str>,
    /// `sendDigits`: keys that are pressed once it has answered, before it is connected.
    pub digits: Option<Arc<str>>,
    /// `sendOnPreanswer`: they are pressed once it sends early media, if it does so before its answer.
    pub sends_early: bool,
    /// `sipHeaders` of the destination and of the `<Dial>`.
    pub headers: DialHeaders,
    /// `sipAuthUsername` and `sipAuthPassword` of a `<User>`.
    pub credentials: Option<Arc<DialCredentials>>,
}

/// The result of a `<Dial>`, for its `action`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct DialResult {
    /// `DialStatus`: how the dial went.
    pub status: DialStatus,
    /// Whether a callee rang.
    pub has_rung: bool,
    /// How the callee that counts ended: the connected one, else the last.
    pub cause: HangupCause,
    /// The callee that was connected.
    pub callee: Option<CallId>,
}

/// `DialStatus` of the `action` (contract of calling, section 12).
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum DialStatus {
    /// A callee was busy, or declined on its phone.
    Busy,
    /// Called off before anybody was connected.
    Cancel,
    /// A callee was connected.
    Completed,
    /// No destination can be reached.
    Failed,
    /// A callee's network gave up.
    NoAnswer,
    /// Nobody answered within `timeout`.
    Timeout,
}

impl DialStatus {
    /// The status of a dial whose last callee ended like this without being connected.
    pub fn of(cause: HangupCause, source: HangupSource) -> Self {
        match cause.code() {
            1_000 | 4_000 => Self::Cancel,
            3_000 => Self::NoAnswer,
            3_010 | 3_100 => Self::Busy,
            // An endpoint's user has declined.
            3_020 if source == HangupSource::Callee => Self::Busy,
            4_250 | 6_010 => Self::Timeout,
            _ => Self::Failed,
        }
    }

    /// The value of the field.
    pub fn text(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Cancel => "cancel",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::NoAnswer => "no-answer",
            Self::Timeout => "timeout",
        }
    }
}

impl DialResult {
    /// Of a dial that could not begin.
    pub fn not_begun() -> Self {
        let (status, cause) = (DialStatus::Failed, HangupCause::Internal);
        Self { status, has_rung: false, cause, callee: None }
    }

    /// The fields of the `action`, but for the id of the call itself.
    pub(super) fn fields(&self) -> Vec<(&'static str, String)> {
        vec![
            ("Event", "Dial".to_owned()),
            ("DialStatus", self.status.text().to_owned()),
            ("DialRingStatus", self.has_rung.to_string()),
            ("DialHangupCause", self.cause.signal().to_owned()),
            ("DialBLegUUID", self.callee.map_or_else(String::new, |it| it.to_string())),
        ]
    }
}
