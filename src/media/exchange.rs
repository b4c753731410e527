//! Exchange: what backends tell the engine.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{ending::DialFailure, legs::LegSummary};
use crate::base::ids::{AccountId, CallId, Trusted};

/// The engine, as a backend sees it.
pub trait Exchange: Send + Sync + 'static {
    /// A call comes in. It is ringing. Orders for it may come before this returns, so the backend
    /// must know the id first.
    ///
    /// # Errors
    ///
    /// The called number has no flow. The engine has not taken the call and sends no order for it.
    fn arrive(&self, arrival: Arrival) -> Result<(), NoFlow>;

    /// Something happened on a call. A report for a call that is over changes nothing.
    fn report(&self, report: Report);

    /// The packet counts of a call that is over or about to be, for its call detail record. Calls
    /// without sound have none.
    fn media_ended(&self, call: CallId, sound: LegSummary) {
        tracing::debug!(%call, ?sound, "nobody keeps how it sounded");
    }

    /// One attempt to reach the far end of a call that we make is over, for the call's trace. The
    /// call itself may be over, too.
    fn attempted(&self, call: CallId, attempt: Arc<DialAttempt>) {
        tracing::debug!(%call, ?attempt, "nobody keeps the attempt");
    }
}

/// An attempt to reach the far end of a call, at one of its addresses.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct DialAttempt {
    /// The address, such as `sip:anna@192.0.2.7:5060 over UDP`.
    pub target: Arc<str>,
    /// Each response to it, in order.
    pub responses: Vec<DialResponse>,
    /// How it ended, such as `answered` or `called off`.
    pub outcome: Arc<str>,
    /// Its length in milliseconds. (A step of a trace has it as two times.)
    #[serde(skip)]
    pub took_ms: u32,
}

/// A response to a call that we make.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct DialResponse {
    /// The SIP status, 100 to 699.
    pub status: u16,
    /// Milliseconds since the attempt began.
    pub at_ms: u32,
}

/// A call that comes in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Arrival {
    /// Made by the backend: random, never used before.
    pub call: CallId,
    /// None where the called number decides whose call it is.
    pub account: Option<AccountId>,
    /// The caller's number without `+`, or their SIP URI.
    pub from: Arc<str>,
    /// The called number or name.
    pub to: Arc<str>,
    /// The caller's display name; empty if they have none.
    pub caller_name: Arc<str>,
    /// `X-PH-…` and `X-VH-…` headers of the caller's signalling, which become callback fields.
    pub headers: Vec<(Arc<str>, Arc<str>)>,
    /// The caller's proven identity; None if they only claim one.
    pub trusted: Option<Trusted>,
    /// Whether the caller does not want to be shown to whom they are connected with.
    pub is_private: bool,
    /// Who has forwarded the call before it came to us, as a trunk says; None if nobody has.
    pub diversion: Option<Arc<Diversion>>,
}

/// What a call that has been forwarded says about it (RFC 5806).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Diversion {
    /// The number without `+`, or the SIP URI, that was called before.
    pub from: Arc<str>,
    /// The reason, a token such as `unconditional` or `user-busy`.
    pub reason: Arc<str>,
    /// How often the call has been forwarded; 1 or more.
    pub counter: u8,
    /// Whether that number is to be shown to nobody.
    pub is_private: bool,
}

/// The called number has no flow, or none that can be read now.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{} {to:?}: {hint}", self.problem())]
pub struct NoFlow {
    /// The called number or name.
    pub to: Arc<str>,
    /// What the operator or caller can do about it.
    pub hint: String,
    /// Whether a later call may find a flow: the caller should try again.
    pub is_temporary: bool,
}

impl NoFlow {
    fn problem(&self) -> &'static str {
        if self.is_temporary { "at present no flow for" } else { "no flow for" }
    }
}

/// Something that happened on a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Report {
    /// The call's id, as in its [`Arrival`] or in the order that dialled.
    pub call: CallId,
    /// Reports of one call come in the order in which the events happened.
    pub event: LegEvent,
}

/// An event on a call's leg.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LegEvent {
    /// The far end, which we have called, has picked up.
    Answered,
    /// The far end pressed a key: one of `0-9*#ABCD`.
    Digit(char),
    /// The far end, which we have called, sends sound before it answers (SIP 183).
    EarlyMedia,
    /// What sent that sound has refused, and the far end rings on elsewhere.
    EarlyMediaOver,
    /// The far end, which we have called, did not answer, or could not be called.
    Failed(DialFailure),
    /// The far end holds us (true: sendonly, inactive), or is back.
    Hold(bool),
    /// The far end has hung up.
    HungUp,
    /// The call carries no media any more, or no backend has the call.
    MediaLost,
    /// The order with this number has come to its end.
    Finished(u32),
    /// The far end, which we have called, rings.
    Ringing,
    /// The far end is called later, after so many seconds at most. The ring timeout counts from then
    /// on, or from a later report.
    Waits(u16),
    /// The far end began (true) or ceased to talk, muted or not.
    Talk(bool),
}
