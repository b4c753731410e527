//! Who speaks with whom, on what terms, and how far they have come.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use crate::{
    base::{
        ids::{CallId, Dialect, Trusted},
        traceparent::Traceparent,
    },
    flow::Method,
    media::{Ending, HangupCause},
};

/// What does not change about a call.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Party {
    /// A number without `+`, or a SIP URI.
    pub from: Arc<str>,
    /// As `from`.
    pub to: Arc<str>,
    /// The display name, or nothing.
    pub caller_name: Arc<str>,
    /// Who called whom.
    pub direction: Direction,
    /// Whose defaults and manners hold for the call.
    pub dialect: Dialect,
    /// Who the far end is beyond doubt, if anybody vouches for it.
    pub trusted: Option<Box<Trusted>>,
    /// What is told of it, and to whom.
    pub session: Session,
}

/// What is told of a call, and to whom.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Session {
    /// `SessionStart`: when the call came in, or was asked for.
    pub began_at: SystemTime,
    /// None of most calls that come in: there is nothing to say.
    details: Option<Box<Details>>,
}

// A million parties are on one machine.
const _: () = assert!(size_of::<Party>() <= 88);

/// What calls have that were asked for, or for which somebody wants to be told.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Details {
    /// `sip_headers`: names without their prefix, and values.
    pub headers: Headers,
    /// `ring_url`: told when the far end rings.
    pub ring: Option<Hook>,
    /// `hangup_url`: told when the call is over.
    pub hangup: Option<Hook>,
    /// `parent_call_uuid`.
    pub parent: Option<CallId>,
    /// What the request belongs to that has made the call.
    pub trace: Option<Traceparent>,
}

impl Session {
    /// One of which nobody is told.
    pub fn at(began_at: SystemTime) -> Self {
        Self { began_at, details: None }
    }

    /// One with all that is to be said of it.
    pub fn new(began_at: SystemTime, details: Details) -> Self {
        let is_plain = details == Details::default();
        Self { began_at, details: (!is_plain).then(|| Box::new(details)) }
    }

    /// What there is beside the time.
    pub fn details(&self) -> Option<&Details> {
        self.details.as_deref()
    }

    /// `parent_call_uuid`.
    pub fn parent(&self) -> Option<CallId> {
        self.details()?.parent
    }

    /// `sip_headers`: names without their prefix, and values.
    pub fn headers(&self) -> &[(Arc<str>, Arc<str>)] {
        self.details().map_or(&[], |it| &it.headers)
    }

    /// What the call belongs to: its request's, or a trace of its own.
    pub fn trace(&self, call: CallId) -> Traceparent {
        self.details().and_then(|it| it.trace).unwrap_or_else(|| Traceparent::of(call.0))
    }
}

/// Headers for the far end, without the vendor's prefix: names and values.
pub type Headers = Arc<[(Arc<str>, Arc<str>)]>;

/// A URL, and how it is requested.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Hook {
    /// As its author wrote it.
    pub url: Arc<str>,
    /// GET or POST.
    pub method: Method,
}

/// Where a call's first document comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Answer {
    /// `answer_url`.
    pub hook: Hook,
    /// `fallback_url`: asked once the first has brought no document.
    pub fallback: Option<Hook>,
}

/// What a call that we make is made with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Outgoing {
    /// Whose document it runs once it is answered.
    pub answer: Answer,
    /// `ring_timeout`: so long it may take to be answered.
    pub ring_timeout: Duration,
    /// `hangup_on_ring`: hangs up so long after the first ring.
    pub ring_max: Option<Duration>,
    /// `send_digits`: pressed on the answer.
    pub digits: Option<Arc<str>>,
}

/// Who called whom.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Direction {
    /// The far end called us.
    Inbound,
    /// We called the far end.
    Outbound,
}

impl Direction {
    /// The one that has this text.
    pub fn of_text(text: &str) -> Option<Self> {
        [Self::Inbound, Self::Outbound].into_iter().find(|it| it.text() == text)
    }

    /// As the API and callbacks have it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        }
    }
}

/// `CallStatus` (contract 4.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CallStatus {
    /// The far end was busy.
    Busy,
    /// Called off before the answer.
    Cancel,
    /// It was answered, and is over.
    Completed,
    /// It was never answered, for another reason.
    Failed,
    /// Answered.
    InProgress,
    /// Nobody answered.
    NoAnswer,
    /// Asked for; it does not ring yet.
    Queued,
    /// Not answered yet.
    Ringing,
    /// Nobody answered in the time that we gave it.
    Timeout,
}

impl CallStatus {
    /// Of a call that is over.
    pub fn at_end(ending: Ending, is_answered: bool) -> Self {
        match ending.cause {
            _ if is_answered => Self::Completed,
            HangupCause::Busy => Self::Busy,
            HangupCause::Canceled | HangupCause::Normal => Self::Cancel,
            HangupCause::NoAnswer => Self::NoAnswer,
            HangupCause::RingTimeout => Self::Timeout,
            HangupCause::ActionUrlInvalid
            | HangupCause::ActionUrlUnreachable
            | HangupCause::ActionXmlInvalid
            | HangupCause::AnswerUrlUnreachable
            | HangupCause::AnswerXmlInvalid
            | HangupCause::DestinationInvalid
            | HangupCause::DestinationOut
            | HangupCause::EndOfXml
            | HangupCause::Internal
            | HangupCause::LoopDetected
            | HangupCause::MediaTimeout
            | HangupCause::RedirectUrlInvalid
            | HangupCause::RedirectUrlUnreachable
            | HangupCause::RedirectXmlInvalid
            | HangupCause::Rejected
            | HangupCause::Scheduled
            | HangupCause::TransferUrlInvalid
            | HangupCause::TransferUrlUnreachable
            | HangupCause::TransferXmlInvalid => Self::Failed,
        }
    }

    /// As callbacks and the API have it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Cancel => "cancel",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::InProgress => "in-progress",
            Self::NoAnswer => "no-answer",
            Self::Queued => "queued",
            Self::Ringing => "ringing",
            Self::Timeout => "timeout",
        }
    }
}
