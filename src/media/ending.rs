//! Endings: causes and sources of hang-ups, in the vendors' words (contract 3.14).

use serde::{Deserialize, Serialize};

use crate::base::ids::Dialect;

/// The end of a call, as its call detail record and the `hangup_url` callback show it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Ending {
    /// `HangupCauseCode` and its names.
    pub cause: HangupCause,
    /// Written as `HangupSource` in callbacks.
    pub source: HangupSource,
}

/// The reason why a call that we made was not answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DialFailure {
    /// `HangupCauseCode` and its names.
    pub cause: HangupCause,
    /// The party that `HangupSource` names.
    pub source: DialFailureSource,
    /// Status of the final SIP response. None if there was none.
    pub sip_status: Option<u16>,
}

/// The party because of which a call that we made was not answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DialFailureSource {
    /// The phone, or its user.
    Callee,
    /// The network or a trunk.
    Carrier,
    /// We did not reach anybody, or did not try.
    Platform,
}

impl DialFailure {
    /// A failure without a SIP response.
    pub fn new(cause: HangupCause, source: DialFailureSource) -> Self {
        Self { cause, source, sip_status: None }
    }

    /// The ending of the call, in the words of its dialect.
    pub fn ending(self, dialect: Dialect) -> Ending {
        let source = match self.source {
            DialFailureSource::Callee => HangupSource::Callee,
            DialFailureSource::Carrier => HangupSource::Carrier,
            DialFailureSource::Platform => HangupSource::Platform(dialect),
        };
        Ending { cause: self.cause, source }
    }
}

/// The party that ended a call (contract 3.14).
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum HangupSource {
    /// A REST command ended the call.
    ApiRequest,
    /// The flow hung up, or had no element left.
    AnswerXml,
    /// The far end of a call that we made.
    Callee,
    /// The far end of a call that came in.
    Caller,
    /// The network between us and the far end.
    Carrier,
    /// An error in the flow, or in a document that it names.
    Error,
    /// We did: a limit, the end of the flow, a shutdown. The text is the dialect's vendor.
    Platform(Dialect),
}

impl HangupSource {
    /// Every source, for tables and lookups by text.
    pub const ALL: [Self; 8] = [
        Self::ApiRequest,
        Self::AnswerXml,
        Self::Callee,
        Self::Caller,
        Self::Carrier,
        Self::Error,
        Self::Platform(Dialect::Plivo),
        Self::Platform(Dialect::Vobiz),
    ];

    /// The source with this [`HangupSource::text`]; None if there is none.
    pub fn of_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.text() == text)
    }

    /// The value of `HangupSource` in callbacks and call detail records.
    pub fn text(self) -> &'static str {
        match self {
            Self::ApiRequest => "API Request",
            Self::AnswerXml => "Answer XML",
            Self::Callee => "Callee",
            Self::Caller => "Caller",
            Self::Carrier => "Carrier",
            Self::Error => "Error",
            Self::Platform(Dialect::Plivo) => "Plivo",
            Self::Platform(Dialect::Vobiz) => "Vobiz",
        }
    }
}

hangup_causes! {
    /// The caller gave up before the answer.
    Canceled = 1000, "Canceled";
    /// A limit of ours on simultaneous calls.
    DialLimit = 1020, "Canceled (Simultaneous dial limit reached)";
    /// The address is malformed, or no backend can dial it.
    DestinationInvalid = 2000, "Invalid Destination Address";
    /// Nobody is reachable at the address.
    DestinationOut = 2010, "Destination Out Of Service";
    /// The endpoint has no registered phone.
    NotRegistered = 2020, "Endpoint Not Registered";
    /// No trunk may call a number with this beginning (`allow` and `deny`).
    DestinationBarred = 2050, "Destination Prefix Barred";
    /// Documents that refer to each other without any sound, or too many transfers; or a loop among
    /// the servers on the way (SIP 482, 483).
    LoopDetected = 2060, "Loop Detected";
    /// The far end rang and gave up before our own limit.
    NoAnswer = 3000, "No Answer";
    /// The far end was busy; or `<Hangup reason="busy">` before the answer.
    Busy = 3010, "Busy Line";
    /// The far end declined; or `<Hangup reason="rejected">` before the answer.
    Rejected = 3020, "Rejected";
    /// The far end's server does not accept the caller's number (SIP 428, 436 to 438).
    CallerUnknown = 3030, "Unknown Caller ID";
    /// The far end's server does not allow the call (SIP 403).
    Forbidden = 3040, "Forbidden";
    /// The number is assigned to nobody (SIP 404).
    Unallocated = 3050, "Unallocated number";
    /// No response in time (SIP 408, 504, or none at all).
    RequestTimeout = 3070, "Request timeout";
    /// An error of the far end's server (SIP 500 and others).
    CarrierError = 3080, "Internal server error from carrier";
    /// The far end's server is overloaded (SIP 503).
    CarrierCongestion = 3090, "Network congestion from carrier";
    /// Busy, at every phone that the far end has (SIP 600).
    BusyEverywhere = 3100, "Busy everywhere";
    /// The far end of a trunk declined (SIP 603).
    Declined = 3110, "Declined";
    /// The far end's server knows that there is no such user (SIP 604).
    NobodyThere = 3120, "User does not exist anywhere";
    /// The far end blocks unwanted calls (SIP 607, 608).
    SpamBlock = 3130, "Spam block";
    /// A party hung up.
    Normal = 4000, "Normal Hangup";
    /// The flow had no element left.
    EndOfXml = 4010, "End Of XML Instructions";
    /// The far end asks for a password, and we have none or the wrong one.
    SipAuthFailed = 4240, "sip_auth_failed";
    /// No response to the call with its password.
    SipAuthTimeout = 4250, "sip_auth_timeout";
    /// The far end cannot be reached: its connection is closed or refused.
    NetworkError = 5000, "Network Error";
    /// An error inside conflow, such as a panic of the room.
    Internal = 5010, "Internal Error";
    /// A response that fits no other cause, or without a usable description of its sound.
    RoutingError = 5020, "Routing Error";
    /// The call's time limit, or `<Hangup schedule>`.
    Scheduled = 6000, "Scheduled Hangup";
    /// Nobody picked up within our ring timeout.
    RingTimeout = 6010, "Ring Timeout Reached";
    /// No media came for too long, or no backend has the call.
    MediaTimeout = 6020, "Media Timeout";
    /// Another destination of the dial was connected.
    LostRace = 9000, "Lost Race";
    /// The callee pressed a wrong key, or none in time.
    ConfirmFailed = 9110, "Confirm Key Challenge Failed";
    /// The answer document cannot be fetched.
    AnswerUrlUnreachable = 7011, "Error Reaching Answer URL";
    /// The action document cannot be fetched.
    ActionUrlUnreachable = 7012, "Error Reaching Action URL";
    /// The transfer document cannot be fetched.
    TransferUrlUnreachable = 7013, "Error Reaching Transfer URL";
    /// The redirect document cannot be fetched.
    RedirectUrlUnreachable = 7014, "Error Reaching Redirect URL";
    /// The action's URL is malformed.
    ActionUrlInvalid = 7022, "Invalid Action URL";
    /// The transfer's URL is malformed.
    TransferUrlInvalid = 7023, "Invalid Transfer URL";
    /// The redirect's URL is malformed.
    RedirectUrlInvalid = 7024, "Invalid Redirect URL";
    /// The answer document is not a valid flow.
    AnswerXmlInvalid = 8011, "Invalid Answer XML";
    /// The action document is not a valid flow.
    ActionXmlInvalid = 8012, "Invalid Action XML";
    /// The transfer document is not a valid flow.
    TransferXmlInvalid = 8013, "Invalid Transfer XML";
    /// The redirect document is not a valid flow.
    RedirectXmlInvalid = 8014, "Invalid Redirect XML";
}

impl From<HangupCause> for u16 {
    fn from(cause: HangupCause) -> Self {
        cause.code()
    }
}

impl TryFrom<u16> for HangupCause {
    type Error = String;

    fn try_from(code: u16) -> Result<Self, String> {
        Self::of_code(code).ok_or_else(|| format!("no hang-up cause has the code {code}"))
    }
}

macro_rules! hangup_causes {
    ($( $(#[$doc:meta])* $name:ident = $code:literal, $text:literal; )*) => {
        /// The cause of a hang-up, with the vendors' code and names (contract 3.14).
        #[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
        #[serde(into = "u16", try_from = "u16")]
        pub enum HangupCause {
            $( $(#[$doc])* $name, )*
        }

        impl HangupCause {
            /// The number in `HangupCauseCode`.
            pub fn code(self) -> u16 {
                match self { $( Self::$name => $code, )* }
            }

            /// The cause with this [`HangupCause::code`]; None if there is none.
            pub fn of_code(code: u16) -> Option<Self> {
                match code {
                    $( $code => Some(Self::$name), )*
                    _ => None,
                }
            }

            /// The text in `HangupCauseName`.
            pub fn name(self) -> &'static str {
                match self { $( Self::$name => $text, )* }
            }

            /// Whether a document that the call needed was not available, or no flow.
            pub fn is_of_document(self) -> bool {
                (7_000..9_000).contains(&self.code())
            }

            /// The text in `HangupCause`, which is the telephone networks' name.
            pub fn signal(self) -> &'static str {
                match self.code() {
                    1_000 => "ORIGINATOR_CANCEL",
                    2_000 | 2_010 | 5_020 => "NO_ROUTE_DESTINATION",
                    2_020 => "SUBSCRIBER_ABSENT",
                    2_050 => "OUTGOING_CALL_BARRED",
                    3_000 | 6_010 => "NO_ANSWER",
                    3_010 | 3_100 => "USER_BUSY",
                    3_020 | 3_030 | 3_040 | 3_110 | 3_130 | 4_240 => "CALL_REJECTED",
                    3_050 | 3_120 => "UNALLOCATED_NUMBER",
                    3_070 | 4_250 => "RECOVERY_ON_TIMER_EXPIRE",
                    3_080 | 5_010 => "NORMAL_TEMPORARY_FAILURE",
                    3_090 => "NORMAL_CIRCUIT_CONGESTION",
                    5_000 => "NETWORK_OUT_OF_ORDER",
                    6_020 => "MEDIA_TIMEOUT",
                    9_000 => "LOSE_RACE",
                    9_110 => "CALL_REJECTED",
                    _ => "NORMAL_CLEARING",
                }
            }
        }
    };
}
use hangup_causes;
