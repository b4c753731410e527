//! What can be found in a document, as a table: one row for each code.

use crate::flow::{FlowErrorKind, FlowWarningKind};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Severity {
    /// The document does not run, or a call that comes to this place dies of it.
    Error,
    /// The document runs, and perhaps not as its author thinks.
    Warning,
}

impl Severity {
    /// `error` or `warning`: in the text for people, and as `level` in JSON.
    pub fn text(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }

    /// `fault` or `remark`: the old names, which `severity` has in JSON.
    pub fn old_text(self) -> &'static str {
        match self {
            Self::Error => "fault",
            Self::Warning => "remark",
        }
    }
}

/// Declares [`Code`]: a row is `Variant = "text", Severity, "advice";`.
macro_rules! codes {
    ($( $(#[doc = $doc:literal])+ $name:ident = $text:literal, $severity:ident, $advice:literal; )*) => {
        /// What a finding is about. The texts are stable: scripts may look for them.
        #[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
        pub enum Code { $( $(#[doc = $doc])+ $name, )* }

        impl Code {
            /// Every code, for tables and tests.
            pub const ALL: &[Self] = &[ $( Self::$name, )* ];

            /// As it is printed.
            pub fn text(self) -> &'static str {
                match self { $( Self::$name => $text, )* }
            }

            /// How bad it is.
            pub fn severity(self) -> Severity {
                match self { $( Self::$name => Severity::$severity, )* }
            }

            /// What it means, for the reference.
            pub fn doc(self) -> &'static str {
                match self { $( Self::$name => concat!($($doc),+), )* }
            }

            /// What to do about it.
            pub fn advice(self) -> &'static str {
                match self { $( Self::$name => $advice, )* }
            }
        }
    };
}

codes! {
    /// The bytes are no UTF-8.
    NotUtf8 = "not-utf8", Error, "save the file as UTF-8, without other encodings in it";
    /// The declaration names another encoding.
    OtherEncoding = "other-encoding", Error, "save the file as UTF-8, and declare that or nothing";
    /// The text is not well-formed XML.
    NotXml = "not-xml", Error,
        "nothing of the document runs until it is well-formed; & is written &amp;, < is &lt;";
    /// A document type, which could define entities without end.
    DocumentType = "document-type", Error, "delete the <!DOCTYPE …>";
    /// A limit of size, depth or number is passed.
    Limit = "limit", Error, "make the document smaller, or split it and lead on by <Redirect>";
    /// The root is missing, or is not `<Response>`.
    NoResponse = "no-response", Error, "put everything into one <Response>…</Response>";
    /// There is another root behind the first.
    SecondRoot = "second-root", Error, "put everything into one <Response>…</Response>";
    /// There is text before or behind the root.
    TextOutside = "text-outside", Error, "put everything into one <Response>…</Response>";
    /// There is no such element.
    UnknownElement = "unknown-element", Error,
        "names are as the vendors write them, and case counts: see conflow reference";
    /// A branch leads to an element that comes before it.
    BranchBack = "branch-back", Error,
        "put the element behind the one that leads to it, or go back by <Redirect>";
    /// A branch leads to an id that no element has.
    BranchNowhere = "branch-nowhere", Error, "write id=\"…\" on the element that is meant";
    /// Two elements have one id.
    IdTwice = "id-twice", Error, "a branch leads to one element: give the other another id";
    /// An element stands where it must not.
    MisplacedElement = "misplaced-element", Error,
        "move the element, or close the one around it before it";
    /// A conference without a usable name.
    BadRoom = "bad-room", Error, "write the room's name between <Conference> and </Conference>";
    /// A `flow:` link leads to no file of the folder.
    MissingLink = "missing-link", Error,
        "correct the name, or write the file: a call that comes here ends, a sound is silence";
    /// Documents redirect to each other, or to themselves, and nothing is heard between.
    SilentLoop = "silent-loop", Error,
        "the engine ends such a call (2060, Loop Detected): say or wait for something on the way";
    /// An attribute that the element does not know.
    UnknownAttribute = "unknown-attribute", Warning,
        "correct the name (case counts), or leave the attribute out: it does nothing";
    /// A value that makes no sense, or is out of range.
    BadValue = "bad-value", Warning, "write a value of the kind that is named, or leave it out";
    /// An attribute that should be stated.
    MissingAttribute = "missing-attribute", Warning, "state it, if only to say what holds anyway";
    /// An attribute that is read and has no effect.
    IdleAttribute = "idle-attribute", Warning, "do not count on it";
    /// A variable that there is not.
    UnknownVariable = "unknown-variable", Warning,
        "correct the name, or write the text without ${…}";
    /// Text where none is read.
    StrayText = "stray-text", Warning, "delete the text, or make it a comment or a <Speak>";
    /// A URL that cannot be asked.
    BadUrl = "bad-url", Warning, "write the whole URL, or flow: and the name of a document";
    /// An element that cannot do anything as it stands.
    IdleElement = "idle-element", Warning, "correct it, or leave it out: it is passed over";
    /// An element that the engine does not run yet.
    UnsupportedElement = "unsupported-element", Warning,
        "the call goes on behind it as if it were not there";
    /// An element that only the other vendor has.
    ForeignElement = "foreign-element", Warning,
        "it works here; write the vendor's own if the flow is to run there, too";
    /// An attribute that only the other vendor has.
    ForeignAttribute = "foreign-attribute", Warning,
        "it works here; write the vendor's own if the flow is to run there, too";
    /// Behind a `<Conference>` there is nothing to go on with.
    KickEndsCall = "kick-ends-call", Warning,
        "put what a caller is to hear behind it, such as <Speak>You have been removed.</Speak>";
    /// When one member leaves, the room ends, and for others there is nothing to go on with.
    EndEndsCalls = "end-ends-calls", Warning,
        "put what the others are to hear behind their <Conference>";
    /// An element that no call can come to.
    DeadElement = "dead-element", Warning, "move it before what leads away, or leave it out";
    /// An `action` that can fail, and nothing is said for that case.
    ActionWithoutOnError = "action-without-on-error", Warning,
        "name an element to go on at with onError, or only tell the URL: redirect=\"false\"";
    /// Documents lead back to each other whatever the caller does.
    EndlessLoop = "endless-loop", Warning,
        "callers get out by hanging up only: offer a key, or lead elsewhere after some rounds";
    /// An element of a sound document that is neither Play, Speak nor Wait.
    NotASound = "not-a-sound", Warning, "a sound document holds <Play>, <Speak> and <Wait>";
    /// A pattern with `*` at its beginning, where `*` takes the caller out.
    StarInDigitsMatch = "star-in-digits-match", Warning,
        "begin the pattern with another key, or leave hangupOnStar out";
    /// Whether the last member stays is left to the vendor, and Vobiz throws it out.
    AloneUnderVobiz = "alone-under-vobiz", Warning,
        "write stayAlone=\"true\" if it is to stay, or stayAlone=\"false\" if not";
    /// More members than the vendor takes.
    VendorMembersMax = "vendor-members-max", Warning,
        "it works here; the vendor refuses who comes after the twentieth";
    /// A text that is longer than the vendors take.
    LongSpeak = "long-speak", Warning, "split it into several <Speak>";
    /// An `id` that no branch leads to.
    UnusedId = "unused-id", Warning, "lead a branch to it (onKick=\"…\"), or leave it out";
}

impl From<&FlowErrorKind> for Code {
    fn from(error: &FlowErrorKind) -> Self {
        match error {
            FlowErrorKind::BranchBack { .. } => Self::BranchBack,
            FlowErrorKind::BranchNowhere { .. } => Self::BranchNowhere,
            FlowErrorKind::Child { .. } | FlowErrorKind::Nested { .. } => Self::MisplacedElement,
            FlowErrorKind::DocumentType => Self::DocumentType,
            FlowErrorKind::Encoding { .. } => Self::OtherEncoding,
            FlowErrorKind::IdTwice { .. } => Self::IdTwice,
            FlowErrorKind::Limit { .. } => Self::Limit,
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
            FlowWarningKind::VariableUnknown { .. } => Self::UnknownVariable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_one_of_its_own_in_kebab_case_and_says_what_to_do() {
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
