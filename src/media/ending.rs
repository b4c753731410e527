//! How calls end: causes and sources, by the vendors' words (contract 3.14).

use crate::base::ids::Dialect;

/// How a call came to its end, as its record and the `hangup_url` have it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ending {
    /// What ended it.
    pub cause: HangupCause,
    /// Who ended it.
    pub source: HangupSource,
}

/// Who ended a call (contract 3.14).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HangupSource {
    /// A REST command.
    ApiRequest,
    /// The flow said so, or came to its end of its own accord.
    AnswerXml,
    /// The far end, which we had called.
    Callee,
    /// The caller.
    Caller,
    /// The way to the far end.
    Carrier,
    /// The flow, or what it names, was at fault.
    Error,
    /// We did: a limit, the end of the instructions, a shutdown. Each dialect says its own name.
    Platform(Dialect),
}

impl HangupSource {
    /// Every one.
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

    /// The one that has this text.
    pub fn of_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.text() == text)
    }

    /// As callbacks and records have it.
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
    /// Called off before the answer.
    Canceled = 1000, "Canceled";
    /// Nobody can have such a number.
    DestinationInvalid = 2000, "Invalid Destination Address";
    /// There is nobody there.
    DestinationOut = 2010, "Destination Out Of Service";
    /// A loop of documents in which nothing is heard, or too many transfers.
    LoopDetected = 2060, "Loop Detected";
    /// The far end rang, and nobody picked up.
    NoAnswer = 3000, "No Answer";
    /// The far end was busy; or `<Hangup reason="busy">` before the answer.
    Busy = 3010, "Busy Line";
    /// The far end did not want it; or `<Hangup reason="rejected">` before the answer.
    Rejected = 3020, "Rejected";
    /// Somebody hung up.
    Normal = 4000, "Normal Hangup";
    /// No element was left.
    EndOfXml = 4010, "End Of XML Instructions";
    /// A fault of ours.
    Internal = 5010, "Internal Error";
    /// The call's time limit, or `<Hangup schedule>`.
    Scheduled = 6000, "Scheduled Hangup";
    /// Nobody picked up in the time that was given.
    RingTimeout = 6010, "Ring Timeout Reached";
    /// No media for too long.
    MediaTimeout = 6020, "Media Timeout";
    /// The answer document cannot be had.
    AnswerUrlUnreachable = 7011, "Error Reaching Answer URL";
    /// The action document cannot be had.
    ActionUrlUnreachable = 7012, "Error Reaching Action URL";
    /// The transfer document cannot be had.
    TransferUrlUnreachable = 7013, "Error Reaching Transfer URL";
    /// The redirect document cannot be had.
    RedirectUrlUnreachable = 7014, "Error Reaching Redirect URL";
    /// The action's URL is none.
    ActionUrlInvalid = 7022, "Invalid Action URL";
    /// The transfer's URL is none.
    TransferUrlInvalid = 7023, "Invalid Transfer URL";
    /// The redirect's URL is none.
    RedirectUrlInvalid = 7024, "Invalid Redirect URL";
    /// The answer document is no flow.
    AnswerXmlInvalid = 8011, "Invalid Answer XML";
    /// The action document is no flow.
    ActionXmlInvalid = 8012, "Invalid Action XML";
    /// The transfer document is no flow.
    TransferXmlInvalid = 8013, "Invalid Transfer XML";
    /// The redirect document is no flow.
    RedirectXmlInvalid = 8014, "Invalid Redirect XML";
}

macro_rules! hangup_causes {
    ($( $(#[$doc:meta])* $name:ident = $code:literal, $text:literal; )*) => {
        /// What ended a call, by the vendors' code and name (contract 3.14).
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub enum HangupCause {
            $( $(#[$doc])* $name, )*
        }

        impl HangupCause {
            /// `HangupCauseCode`.
            pub fn code(self) -> u16 {
                match self { $( Self::$name => $code, )* }
            }

            /// The one that has this code.
            pub fn of_code(code: u16) -> Option<Self> {
                match code {
                    $( $code => Some(Self::$name), )*
                    _ => None,
                }
            }

            /// `HangupCauseName`.
            pub fn name(self) -> &'static str {
                match self { $( Self::$name => $text, )* }
            }

            /// `HangupCause`: what telephone networks call it.
            pub fn signal(self) -> &'static str {
                match self.code() {
                    1_000 => "ORIGINATOR_CANCEL",
                    2_000 | 2_010 => "NO_ROUTE_DESTINATION",
                    3_000 | 6_010 => "NO_ANSWER",
                    3_010 => "USER_BUSY",
                    3_020 => "CALL_REJECTED",
                    5_010 => "NORMAL_TEMPORARY_FAILURE",
                    6_020 => "MEDIA_TIMEOUT",
                    _ => "NORMAL_CLEARING",
                }
            }
        }
    };
}
use hangup_causes;
