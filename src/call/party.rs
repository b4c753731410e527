//! Parties of a call: from, to, direction, session and status.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

use crate::{
    base::{
        ids::{CallId, Dialect, Trusted},
        traceparent::Traceparent,
    },
    flow::RequestMethod,
    media::{DialCredentials, DialOrigin, Dialling, Diversion, Ending, HangupCause},
};

/// The facts of a call that do not change.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Party {
    /// A number without `+`, or a SIP URI.
    pub from: Arc<str>,
    /// A number without `+`, or a SIP URI.
    pub to: Arc<str>,
    /// The caller's display name; may be empty.
    pub caller_name: Arc<str>,
    /// Inbound or outbound, seen from conflow.
    pub direction: CallDirection,
    /// The vendor whose defaults and field names apply.
    pub dialect: Dialect,
    /// The identity of the far end; None if nobody vouches for it.
    pub trusted: Option<Box<Trusted>>,
    /// The start time, headers and hooks of the call.
    pub session: CallSession,
}

/// The start time of a call, and the details that few calls have.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct CallSession {
    /// `SessionStart`: the time when the call arrived or was requested.
    pub began_at: SystemTime,
    /// None of most inbound calls, to save memory.
    details: Option<Box<SessionDetails>>,
}

// One machine holds a million of them.
const _: () = assert!(size_of::<Party>() <= 88);

/// Details of requested calls, and of calls with hooks or headers.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct SessionDetails {
    /// `sip_headers`: names without the vendor's prefix, and values.
    pub headers: Headers,
    /// `ring_url`: requested when the far end rings.
    pub ring: Option<Hook>,
    /// `hangup_url`: requested when the call ends.
    pub hangup: Option<Hook>,
    /// `parent_call_uuid` of the request that made the call.
    pub parent: Option<CallId>,
    /// The trace context of the request that made the call.
    pub trace: Option<Traceparent>,
    /// `sip_auth_username` and `sip_auth_password`. No row has them.
    #[serde(skip)]
    pub credentials: Option<Arc<DialCredentials>>,
    /// Whether `from` is the number of a caller who does not want it to be shown to callees. No row has
    /// it: after a crash, the call is gone.
    #[serde(skip)]
    pub is_private: bool,
    /// Who had forwarded the call before it came to us. No row has it.
    #[serde(skip)]
    pub diversion: Option<Arc<Diversion>>,
}

impl CallSession {
    /// A session without details.
    pub fn at(began_at: SystemTime) -> Self {
        Self { began_at, details: None }
    }

    /// A session with details, which may be empty.
    pub fn new(began_at: SystemTime, details: SessionDetails) -> Self {
        let is_plain = details == SessionDetails::default();
        Self { began_at, details: (!is_plain).then(|| Box::new(details)) }
    }

    /// The details; None if they are all empty.
    pub fn details(&self) -> Option<&SessionDetails> {
        self.details.as_deref()
    }

    /// `parent_call_uuid` of the request that made the call.
    pub fn parent(&self) -> Option<CallId> {
        self.details()?.parent
    }

    /// `sip_headers`: names without the vendor's prefix, and values.
    pub fn headers(&self) -> &[(Arc<str>, Arc<str>)] {
        self.details().map_or(&[], |it| &it.headers)
    }

    /// Whether `from` is the number of a caller who does not want it to be shown to callees.
    pub fn is_private(&self) -> bool {
        self.details().is_some_and(|it| it.is_private)
    }

    /// Who had forwarded the call before it came to us.
    pub fn diversion(&self) -> Option<Arc<Diversion>> {
        self.details()?.diversion.clone()
    }

    /// The trace context of the request that made the call, else one made from the call's id.
    pub fn trace(&self, call: CallId) -> Traceparent {
        self.details().and_then(|it| it.trace).unwrap_or_else(|| Traceparent::of(call.0))
    }
}

/// Beginnings of header names, in lower case, that the far end must not get (contract 11): each is of
/// the platform's own, or would set credentials.
const HEADERS_RESERVED: [&str; 6] = ["ph-", "plivo", "fs-", "sipauth", "zt-", "twilio"];

/// A header name that is reserved as a whole.
const HEADER_RESERVED: &str = "clientregion";

/// The longest value of a header that the far end gets, in characters.
const HEADER_CHARS_MAX: usize = 120;

impl Party {
    /// The call to make, as a backend needs to know it. Reserved headers are left out.
    pub fn dialling(&self, origin: DialOrigin) -> Dialling {
        let is_reserved = |name: &str| {
            let name = name.to_ascii_lowercase();
            name == HEADER_RESERVED || HEADERS_RESERVED.iter().any(|it| name.starts_with(it))
        };
        let prefix = self.dialect.header_prefix();
        let headers = self.session.headers().iter().filter(|(name, _)| !is_reserved(name));
        let header = |(name, value): &(Arc<str>, Arc<str>)| {
            let value: String = value.chars().take(HEADER_CHARS_MAX).collect();
            (format!("{prefix}{name}").into(), value.into())
        };
        let details = self.session.details();
        Dialling {
            from: self.from.clone(),
            to: self.to.clone(),
            caller_name: self.caller_name.clone(),
            headers: headers.map(header).collect(),
            origin,
            credentials: details.and_then(|it| it.credentials.clone()),
            is_private: self.session.is_private(),
            diversion: self.session.diversion(),
        }
    }
}

/// Headers for the far end: names without the vendor's prefix, and values.
pub type Headers = Arc<[(Arc<str>, Arc<str>)]>;

/// A URL and the method of its request.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Hook {
    /// The text as the author wrote it.
    pub url: Arc<str>,
    /// GET or POST; the fields go into the query or the body.
    pub method: RequestMethod,
}

/// The URLs of a call's first document.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AnswerUrls {
    /// `answer_url` and `answer_method`: requested first.
    pub hook: Hook,
    /// `fallback_url`: requested if the first brings no document.
    pub fallback: Option<Hook>,
}

/// The parameters of an outgoing call.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OutgoingCall {
    /// The source of the document that it runs once it is answered.
    pub answer: AnswerUrls,
    /// `ring_timeout`: the longest time until the answer.
    pub ring_timeout: Duration,
    /// `hangup_on_ring`: the longest time from the first ring to the answer.
    pub ring_max: Option<Duration>,
    /// `send_digits`: DTMF sent on the answer.
    pub digits: Option<Arc<str>>,
    /// `send_on_preanswer`: they are sent at early media, if that comes before the answer.
    pub sends_early: bool,
}

/// The direction of a call, seen from conflow.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum CallDirection {
    /// The far end called us.
    Inbound,
    /// We called the far end.
    Outbound,
}

impl CallDirection {
    /// The direction with this [`CallDirection::text`].
    pub fn of_text(text: &str) -> Option<Self> {
        [Self::Inbound, Self::Outbound].into_iter().find(|it| it.text() == text)
    }

    /// `inbound` or `outbound`, in the API and in callbacks.
    pub fn text(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        }
    }
}

/// `CallStatus` of callbacks and the API (contract 4.2).
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum CallStatus {
    /// The far end was busy.
    Busy,
    /// Cancelled before the answer.
    Cancel,
    /// Answered before it ended.
    Completed,
    /// Never answered, for another reason.
    Failed,
    /// Answered and not ended.
    InProgress,
    /// The far end did not answer.
    NoAnswer,
    /// Requested; it does not ring yet.
    Queued,
    /// It rings and is not answered yet.
    Ringing,
    /// Not answered within `ring_timeout`.
    Timeout,
}

impl CallStatus {
    /// The status of an ended call.
    pub fn at_end(ending: Ending, is_answered: bool) -> Self {
        match ending.cause {
            _ if is_answered => Self::Completed,
            HangupCause::Busy | HangupCause::BusyEverywhere => Self::Busy,
            HangupCause::Canceled | HangupCause::Normal => Self::Cancel,
            HangupCause::NoAnswer => Self::NoAnswer,
            HangupCause::RingTimeout => Self::Timeout,
            HangupCause::ActionUrlInvalid
            | HangupCause::ActionUrlUnreachable
            | HangupCause::ActionXmlInvalid
            | HangupCause::AnswerUrlUnreachable
            | HangupCause::AnswerXmlInvalid
            | HangupCause::CallerUnknown
            | HangupCause::CarrierCongestion
            | HangupCause::CarrierError
            | HangupCause::ConfirmFailed
            | HangupCause::Declined
            | HangupCause::DestinationBarred
            | HangupCause::DestinationInvalid
            | HangupCause::DestinationOut
            | HangupCause::DialLimit
            | HangupCause::EndOfXml
            | HangupCause::Forbidden
            | HangupCause::Internal
            | HangupCause::LoopDetected
            | HangupCause::LostRace
            | HangupCause::MediaTimeout
            | HangupCause::NetworkError
            | HangupCause::NobodyThere
            | HangupCause::NotRegistered
            | HangupCause::RedirectUrlInvalid
            | HangupCause::RedirectUrlUnreachable
            | HangupCause::RedirectXmlInvalid
            | HangupCause::Rejected
            | HangupCause::RequestTimeout
            | HangupCause::RoutingError
            | HangupCause::Scheduled
            | HangupCause::SipAuthFailed
            | HangupCause::SipAuthTimeout
            | HangupCause::SpamBlock
            | HangupCause::TransferUrlInvalid
            | HangupCause::TransferUrlUnreachable
            | HangupCause::TransferXmlInvalid
            | HangupCause::Unallocated => Self::Failed,
        }
    }

    /// The text in callbacks and the API, such as `in-progress`.
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
