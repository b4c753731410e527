//! Finding codes: the table of everything that `conflow check` can report, one row for each code.

use crate::flow::{FlowErrorKind, FlowWarningKind};

/// Severity of a finding.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Severity {
    /// A call does less than the author wrote: the document does not run, a call ends here, or something
    /// of it has no effect.
    Error,
    /// The document runs, perhaps not as its author expects.
    Warning,
    /// Worth a thought: the document does what it says.
    Hint,
}

impl Severity {
    /// `error`, `warning` or `hint`: in the text for people, and as `level` in JSON.
    pub fn text(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Hint => "hint",
        }
    }

    /// `fault` or `remark`: the old names, which `severity` has in JSON.
    pub fn old_text(self) -> &'static str {
        match self {
            Self::Error => "fault",
            Self::Hint | Self::Warning => "remark",
        }
    }
}

/// Declares [`Code`]: a row is `Variant = "text", Severity, "advice";`.
macro_rules! codes {
    ($( $(#[doc = $doc:literal])+ $name:ident = $text:literal, $severity:ident, $advice:literal; )*) => {
        /// Kind of a finding. The texts are stable, so scripts may look for them.
        #[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
        pub enum Code { $( $(#[doc = $doc])+ $name, )* }

        impl Code {
            /// All codes, in the order of the reference.
            pub const ALL: &[Self] = &[ $( Self::$name, )* ];

            /// Stable name in kebab case, such as `not-xml`.
            pub fn text(self) -> &'static str {
                match self { $( Self::$name => $text, )* }
            }

            /// The code of this text; None if there is none.
            pub fn named(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|code| code.text() == text)
            }

            /// The level by default.
            pub fn severity(self) -> Severity {
                match self { $( Self::$name => Severity::$severity, )* }
            }

            /// Meaning of the code, for the reference.
            pub fn doc(self) -> &'static str {
                match self { $( Self::$name => concat!($($doc),+), )* }
            }

            /// What the author can do; printed as help.
            pub fn advice(self) -> &'static str {
                match self { $( Self::$name => $advice, )* }
            }
        }
    };
}

codes! {
    /// A comment `conflow-check` names no code or no level.
    BadLevel = "bad-level", Error,
        "write <!-- conflow-check CODE=LEVEL -->, with a level of error, warning, hint and off";
    /// The bytes are not valid UTF-8.
    NotUtf8 = "not-utf8", Error, "save the file as UTF-8";
    /// The XML declaration names an encoding that is not read.
    OtherEncoding = "other-encoding", Error, "save the file as UTF-8, and declare UTF-8 or nothing (ASCII and ISO-8859-1 are read, too)";
    /// The text is not well-formed XML.
    NotXml = "not-xml", Error,
        "the document does not run until it is well-formed XML; write &amp; for & and &lt; for <";
    /// A document type, which could define entities without end.
    DocumentType = "document-type", Error, "delete the <!DOCTYPE …>";
    /// The document exceeds a limit of size, depth or number.
    Limit = "limit", Error, "make the document smaller, or split it and continue with <Redirect>";
    /// The root is missing, or is not `<Response>`.
    NoResponse = "no-response", Error, "put all elements into one <Response>…</Response>";
    /// There is a second root element.
    SecondRoot = "second-root", Error, "put all elements into one <Response>…</Response>";
    /// There is text before or after the root.
    TextOutside = "text-outside", Error, "put all elements into one <Response>…</Response>";
    /// The element is unknown.
    UnknownElement = "unknown-element", Error,
        "names are case-sensitive; conflow reference lists all elements";
    /// A branch leads to an earlier element.
    BranchBack = "branch-back", Error,
        "move the element after the one that leads to it, or go back with <Redirect>";
    /// A branch leads to an id that no element has.
    BranchNowhere = "branch-nowhere", Error, "add id=\"…\" to the target element";
    /// Two elements have the same id.
    IdTwice = "id-twice", Error, "give one of the elements another id";
    /// An element is not allowed at this place.
    MisplacedElement = "misplaced-element", Error,
        "move the element, or close its parent before it";
    /// A `<Dial>`, `<Number>` or `<User>` names nobody to call.
    NoDestination = "no-destination", Error,
        "write a number, a SIP URI or the name of an endpoint into the element";
    /// A conference has no usable name.
    BadRoom = "bad-room", Error, "write the room's name between <Conference> and </Conference>";
    /// A `flow:` link leads to a file that is missing in the folder.
    MissingLink = "missing-link", Error,
        "correct the name, or add the file; without it, a call ends here, and a sound is silent";
    /// Documents redirect to each other or to themselves in silence.
    SilentLoop = "silent-loop", Error,
        "the engine ends such a call (2060, Loop Detected): add an element that plays or waits";
    /// The element has no such attribute.
    UnknownAttribute = "unknown-attribute", Error,
        "correct the name (it is case-sensitive), or delete the attribute, which has no effect";
    /// A value is invalid or out of range.
    BadValue = "bad-value", Error, "write a value of the expected type, or delete the attribute";
    /// An attribute that should be stated is missing.
    MissingAttribute = "missing-attribute", Warning, "add the attribute, even if it only states the default";
    /// An attribute is read but has no effect.
    IdleAttribute = "idle-attribute", Error, "do not rely on it";
    /// A `${` is not closed.
    UnclosedVariable = "unclosed-variable", Warning,
        "add the }, or write $ and { apart from each other";
    /// `${kick.reason}` is empty after a kick without a reason.
    BareVariable = "bare-variable", Hint, "say what stands for it: ${kick.reason:-no reason was given}";
    /// The variable is unknown.
    UnknownVariable = "unknown-variable", Warning,
        "correct the name, or write the text without ${…}";
    /// There is text where the element reads none.
    StrayText = "stray-text", Error, "delete the text, or put it into a comment or a <Speak>";
    /// A URL cannot be fetched.
    BadUrl = "bad-url", Error, "write the complete URL, or flow: and the name of a document";
    /// An element has no effect as written.
    IdleElement = "idle-element", Error, "correct the element, or delete it: it is skipped";
    /// The engine does not run this element yet.
    UnsupportedElement = "unsupported-element", Error,
        "the call continues as if the element were not there";
    /// Only the other vendor has this element.
    ForeignElement = "foreign-element", Warning,
        "it works here; write the vendor's own if the flow must run there too";
    /// Only the other vendor has this attribute.
    ForeignAttribute = "foreign-attribute", Warning,
        "it works here; write the vendor's own if the flow must run there too";
    /// No element follows the `<Conference>`.
    KickEndsCall = "kick-ends-call", Warning,
        "add an element after it, such as <Speak>You have been removed.</Speak>";
    /// The room ends when one member leaves, and no element follows for the others.
    EndEndsCalls = "end-ends-calls", Warning,
        "add an element after the <Conference> of the others";
    /// No call can reach this element.
    DeadElement = "dead-element", Error, "move it before the element that leads away, or delete it";
    /// An `action` can fail, and `onError` is missing.
    ActionWithoutOnError = "action-without-on-error", Warning,
        "name an element to continue at with onError, or ignore the response: redirect=\"false\"";
    /// Documents redirect to each other whatever the caller does.
    EndlessLoop = "endless-loop", Warning,
        "callers can only hang up: offer a key, or lead elsewhere after some rounds";
    /// An element of a sound document is neither Play, Speak nor Wait.
    NotASound = "not-a-sound", Error, "use only <Play>, <Speak> and <Wait> in a sound document";
    /// A sound attribute leads to a sound file.
    SoundIsAudio = "sound-is-audio", Warning,
        "it works here; for the vendor, name a document that plays the file: <Response><Play>…</Play></Response>";
    /// A pattern begins with `*`, the key that takes the caller out of the room.
    StarInDigitsMatch = "star-in-digits-match", Error,
        "begin the pattern with another key, or delete hangupOnStar";
    /// `stayAlone` is missing, and Vobiz removes the last member then.
    AloneUnderVobiz = "alone-under-vobiz", Hint,
        "add stayAlone=\"true\" if the member should stay, or stayAlone=\"false\" if not";
    /// The vendor allows fewer members.
    VendorMembersMax = "vendor-members-max", Warning,
        "it works here; the vendor refuses the twenty-first member";
    /// The text is longer than the vendors allow.
    LongSpeak = "long-speak", Warning, "split it into several <Speak>";
    /// No branch leads to this `id`.
    UnusedId = "unused-id", Warning, "add a branch that leads to it (onKick=\"…\"), or delete it";
}

impl From<&FlowErrorKind> for Code {
    fn from(error: &FlowErrorKind) -> Self {
        match error {
            FlowErrorKind::Audio => Self::NotXml,
            FlowErrorKind::BranchBack { .. } => Self::BranchBack,
            FlowErrorKind::BranchNowhere { .. } => Self::BranchNowhere,
            FlowErrorKind::Child { .. } | FlowErrorKind::Nested { .. } => Self::MisplacedElement,
            FlowErrorKind::DocumentType => Self::DocumentType,
            FlowErrorKind::Encoding { .. } => Self::OtherEncoding,
            FlowErrorKind::IdTwice { .. } => Self::IdTwice,
            FlowErrorKind::Limit { .. } => Self::Limit,
            FlowErrorKind::Nobody { .. } => Self::NoDestination,
            FlowErrorKind::Room { .. } => Self::BadRoom,
            FlowErrorKind::Root { .. } | FlowErrorKind::RootMissing => Self::NoResponse,
            FlowErrorKind::RootSecond { .. } => Self::SecondRoot,
            FlowErrorKind::RootText => Self::TextOutside,
            FlowErrorKind::Unknown { .. } => Self::UnknownElement,
            FlowErrorKind::Utf8 => Self::NotUtf8,
            FlowErrorKind::Xml { .. } => Self::NotXml,
        }
    }
}

impl From<&FlowWarningKind> for Code {
    fn from(warning: &FlowWarningKind) -> Self {
        match warning {
            FlowWarningKind::AttributeAlone { .. } | FlowWarningKind::AttributeIdle { .. } => {
                Self::IdleAttribute
            }
            FlowWarningKind::AttributeMissing { .. } => Self::MissingAttribute,
            FlowWarningKind::AttributeUnknown { .. } => Self::UnknownAttribute,
            FlowWarningKind::AttributeValue { .. } | FlowWarningKind::NoGroup { .. } => {
                Self::BadValue
            }
            FlowWarningKind::Foreign { .. } => Self::ForeignElement,
            FlowWarningKind::Idle { .. } => Self::IdleElement,
            FlowWarningKind::Skipped { .. } => Self::UnsupportedElement,
            FlowWarningKind::StrayText { .. } => Self::StrayText,
            FlowWarningKind::Url { .. } => Self::BadUrl,
            FlowWarningKind::VariableUnclosed => Self::UnclosedVariable,
            FlowWarningKind::VariableUnknown { .. } => Self::UnknownVariable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_unique_in_kebab_case_and_has_advice() {
        let mut texts: Vec<_> = Code::ALL.iter().map(|code| code.text()).collect();
        for code in Code::ALL {
            let text = code.text();
            let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            assert!(text.chars().all(fits), "{text}");
            assert!(code.doc().trim_end().ends_with('.'), "{text}");
            assert!(!code.advice().is_empty() && !code.advice().ends_with('.'), "{text}");
        }
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), Code::ALL.len());
    }
}
