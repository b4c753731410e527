//! Errors and warnings about a document: where, what, and what to do.

use std::fmt;

use super::{AttrKind, TextPosition};
use crate::base::ids::Dialect;

/// Why a document is not a flow, and where.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{at}: {error}")]
pub struct FlowError {
    /// Position of the error in the document.
    pub at: TextPosition,
    /// The error, whose text says what to do.
    pub error: FlowErrorKind,
}

/// Errors: no element of such a document runs.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum FlowErrorKind {
    /// A sound file where a document is expected.
    #[error("this is a sound file, not a document: play it with <Play>")]
    Audio,
    /// A branch to an element that is not later in the flow.
    #[error(
        "{name}={id:?} leads back to {to}: name a later element, or go back with \
         <Redirect>"
    )]
    BranchBack {
        /// Name of the attribute, such as `onKick`.
        name: &'static str,
        /// Id of the target element.
        id: String,
        /// Position of the target element.
        to: TextPosition,
    },
    /// A branch to an id that no element has.
    #[error(
        "{name}={id:?} leads nowhere{}: give a later element that id",
        DidYouMean(&near.as_deref())
    )]
    BranchNowhere {
        /// Name of the attribute, such as `onKick`.
        name: &'static str,
        /// The id that no element has.
        id: String,
        /// The most similar id in the document, if one is close.
        near: Option<String>,
    },
    /// An element inside a parent that may not hold it.
    #[error("{}", ChildNotAllowed { parent, tag, near: *near, allowed })]
    Child {
        /// Tag of the parent.
        parent: &'static str,
        /// Tag of the child, as written.
        tag: String,
        /// The tag that was meant, if one is close.
        near: Option<&'static str>,
        /// Tags that the parent may hold.
        allowed: &'static [&'static str],
    },
    /// A document type, which could define entities without end.
    #[error("a flow has no DOCTYPE: leave it out")]
    DocumentType,
    /// The XML declaration names an encoding that is not read.
    #[error("a flow is written in UTF-8, ASCII or ISO-8859-1, not in {name:?}: save it as UTF-8")]
    Encoding {
        /// The encoding as declared.
        name: String,
    },
    /// Two elements with one id.
    #[error("the id {id:?} is taken by the element at {first}: give each element its own")]
    IdTwice {
        /// The id that both elements have.
        id: String,
        /// Position of the first element with it.
        first: TextPosition,
    },
    /// The document exceeds a limit.
    #[error("a flow has at most {max} {what}: {advice}")]
    Limit {
        /// What is limited, such as `elements`.
        what: &'static str,
        /// The largest allowed number.
        max: usize,
        /// What the author can do about it.
        advice: &'static str,
    },
    /// A direct child of `<Response>` that belongs inside another element.
    #[error("<{tag}> cannot be a direct child of <Response>: put it into {}", TagList(parents))]
    Nested {
        /// Tag of the element.
        tag: &'static str,
        /// Tags that may hold it.
        parents: Vec<&'static str>,
    },
    /// A `<Dial>` without a destination, or a destination without an address.
    #[error("<{tag}> names nobody to call: write a number, a SIP URI or the name of an endpoint")]
    Nobody {
        /// Tag of the empty element.
        tag: &'static str,
    },
    /// A conference without a usable name.
    #[error("{text:?} names no conference: write 1 to 256 characters, none a control character")]
    Room {
        /// Text of the element, possibly empty.
        text: String,
    },
    /// The root element is not `<Response>`.
    #[error(
        "a flow begins with <Response>, not with <{tag}>{}",
        if *is_near { ": did you mean <Response>?" } else { "" }
    )]
    Root {
        /// Tag of the root, as written.
        tag: String,
        /// Whether it is a misspelt `Response`.
        is_near: bool,
    },
    /// The document has no element.
    #[error("there is no <Response>: the document is empty")]
    RootMissing,
    /// The document has more than one root element.
    #[error(
        "a document has one root, and this <{tag}> is a second: merge the two, or leave it out"
    )]
    RootSecond {
        /// Tag of the second root.
        tag: String,
    },
    /// Text before or after the root.
    #[error("text outside of <Response>: move it into an element, or leave it out")]
    RootText,
    /// An element that does not exist.
    #[error("there is no element <{tag}>{}", UnknownElementHint(near, allowed))]
    Unknown {
        /// Tag as written in the document.
        tag: String,
        /// The most similar known tag, if one is close.
        near: Option<&'static str>,
        /// The elements that may be there.
        allowed: &'static [&'static str],
    },
    /// The document is not valid UTF-8.
    #[error("a flow is written in UTF-8, and this byte is not: save the file as UTF-8")]
    Utf8,
    /// The document is not well-formed XML.
    #[error("{what}")]
    Xml {
        /// Says what is wrong with it, and what to do.
        what: String,
    },
}

/// A warning: the document runs, perhaps not as its author expects.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FlowWarning {
    /// Position of the element, attribute or text.
    pub at: TextPosition,
    /// The warning, whose text says what to do.
    pub warning: FlowWarningKind,
}

impl fmt::Display for FlowWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.warning)
    }
}

/// Kind of a warning, with the details for its text.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum FlowWarningKind {
    /// An attribute that has no effect without another one.
    #[error("{name} has no effect without {needs}")]
    AttributeAlone {
        /// Name of the ineffective attribute.
        name: &'static str,
        /// Name of the missing attribute.
        needs: &'static str,
    },
    /// An attribute that has no effect yet.
    #[error("{name} is accepted, and has no effect yet: {note}")]
    AttributeIdle {
        /// Name of the attribute.
        name: &'static str,
        /// What the engine does instead.
        note: &'static str,
    },
    /// An attribute that the element should have.
    #[error("<{tag}> has no {name}: {note}")]
    AttributeMissing {
        /// Tag of the element.
        tag: &'static str,
        /// Name of the missing attribute.
        name: &'static str,
        /// What happens without it.
        note: &'static str,
    },
    /// An attribute that the element does not have.
    #[error("<{tag}> has no attribute {name:?}{}; it is ignored", DidYouMean(near))]
    AttributeUnknown {
        /// Tag of the element.
        tag: &'static str,
        /// Name as written in the document.
        name: String,
        /// The most similar known name, if one is close.
        near: Option<&'static str>,
    },
    /// A value of the wrong type, or out of range.
    #[error("{name}={value:?} is ignored{}: write {wanted}", DefaultNote(*default))]
    AttributeValue {
        /// Name of the attribute.
        name: &'static str,
        /// The value as written.
        value: String,
        /// The expected type and range.
        wanted: AttrKind,
        /// The default that is used instead; None if there is none.
        default: Option<&'static str>,
    },
    /// An element that only the other vendor documents.
    #[error("<{tag}> works, but a {dialect} flow has {instead}")]
    Foreign {
        /// Tag of the element.
        tag: &'static str,
        /// Dialect of the document.
        dialect: Dialect,
        /// The element that this dialect has instead.
        instead: &'static str,
    },
    /// An element that has no effect as written.
    #[error("<{tag}> is skipped: {why}")]
    Idle {
        /// Tag of the element.
        tag: &'static str,
        /// The reason, and what to do.
        why: &'static str,
    },
    /// `group` is not a group's number.
    #[error("group={text:?} names no group, and nobody is admitted: write its number")]
    NoGroup {
        /// Value as written in the document.
        text: String,
    },
    /// An element that the engine does not run yet.
    #[error("<{tag}> is not run yet and is skipped")]
    Skipped {
        /// Tag of the element.
        tag: &'static str,
    },
    /// Text where the element reads none.
    #[error("<{tag}> ignores this text")]
    StrayText {
        /// Tag of the element.
        tag: &'static str,
    },
    /// `${` without its `}`.
    #[error("this ${{ is not closed: it stays as written")]
    VariableUnclosed,
    /// `${…}` with an unknown name.
    #[error("${{{name}}} is not a variable{}: it stays as written", DidYouMean(near))]
    VariableUnknown {
        /// Name as written, without `${` and `}`.
        name: String,
        /// The most similar variable, if one is close.
        near: Option<&'static str>,
    },
    /// A URL that cannot be fetched.
    #[error(
        "{url:?} cannot be fetched, and the call ends here: write http://, https:// or flow:NAME"
    )]
    Url {
        /// URL as written in the document.
        url: String,
    },
}

impl FlowWarningKind {
    /// Whether an element or an attribute is read, and has no effect.
    pub(super) fn is_about_effect(&self) -> bool {
        match self {
            Self::AttributeAlone { .. }
            | Self::AttributeIdle { .. }
            | Self::Idle { .. }
            | Self::Skipped { .. } => true,
            Self::AttributeMissing { .. }
            | Self::AttributeUnknown { .. }
            | Self::AttributeValue { .. }
            | Self::Foreign { .. } => false,
            Self::NoGroup { .. } | Self::StrayText { .. } | Self::Url { .. } => false,
            Self::VariableUnclosed | Self::VariableUnknown { .. } => false,
        }
    }
}

/// Shortens a text to the length that messages show.
pub(super) fn clip(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Messages are read in a terminal or a log line.
const SHOWN_CHARS_MAX: usize = 60;

/// The most similar name, if one is close.
pub(super) fn nearest<'n>(written: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let close = names.filter_map(|name| {
        let distance = distance(written, name)?;
        (distance <= name.len() / 3).then_some((distance, name))
    });
    close.min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
}

/// Names that differ by more changes are not considered similar.
const CHANGES_MAX: usize = 3;

/// Number of bytes to insert, delete or change; a change of case is free. None above
/// [`CHANGES_MAX`].
fn distance(from: &str, to: &str) -> Option<usize> {
    let to = to.as_bytes();
    if CHANGES_MAX < from.len().abs_diff(to.len()) {
        return None;
    }
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let changed = diagonal + usize::from(!a.eq_ignore_ascii_case(b));
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row.pop().filter(|distance| *distance <= CHANGES_MAX)
}

struct DidYouMean<'a>(&'a Option<&'a str>);

impl fmt::Display for DidYouMean<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |name| write!(f, " (did you mean {name}?)"))
    }
}

struct UnknownElementHint<'a>(&'a Option<&'static str>, &'static [&'static str]);

impl fmt::Display for UnknownElementHint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(near) => write!(f, ": did you mean <{near}>?"),
            None => write!(f, ": write {}", TagList(self.1)),
        }
    }
}

struct DefaultNote(Option<&'static str>);

impl fmt::Display for DefaultNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(default) => write!(f, ", and the default {default:?} holds"),
            None => Ok(()),
        }
    }
}

struct TagList<'a>(&'a [&'static str]);

impl fmt::Display for TagList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, tag) in self.0.iter().enumerate() {
            let between = match i {
                0 => "",
                _ if i + 1 == self.0.len() => " or ",
                _ => ", ",
            };
            write!(f, "{between}<{tag}>")?;
        }
        Ok(())
    }
}

struct ChildNotAllowed<'a> {
    parent: &'a str,
    tag: &'a str,
    near: Option<&'static str>,
    allowed: &'a [&'static str],
}

impl fmt::Display for ChildNotAllowed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { parent, tag, near, allowed } = self;
        match (allowed.is_empty(), near) {
            (true, _) => write!(f, "<{parent}> holds no elements: close it before <{tag}>"),
            (false, Some(near)) => {
                write!(f, "<{parent}> holds no <{tag}>: did you mean <{near}>?")
            }
            (false, None) => write!(f, "<{parent}> holds no <{tag}>, only {}", TagList(allowed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(written: &str, expected: Option<&str>) {
        let names = ["muted", "method", "startConferenceOnEnter", "endConferenceOnExit", "id"];
        assert_eq!(nearest(written, names.into_iter()), expected, "{written}");
    }

    #[test]
    fn a_typo_finds_the_name_that_was_meant() {
        check("mutd", Some("muted"));
        check("Muted", Some("muted"));
        check("metod", Some("method"));
        check("startConferenceonenter", Some("startConferenceOnEnter"));
        check("startConferenceEnter", Some("startConferenceOnEnter"));
    }

    #[test]
    fn another_word_finds_none() {
        check("colour", None);
        check("x", None);
        check("", None);
        check(&"muted".repeat(1_000), None);
        check("é", None);
    }

    #[test]
    fn shows_long_texts_in_part() {
        assert_eq!(clip(&"é".repeat(60)), "é".repeat(60));
        assert_eq!(clip(&"é".repeat(61)), "é".repeat(60) + "…");
    }

    #[test]
    fn lists_what_is_allowed() {
        let error = |allowed| {
            FlowErrorKind::Child { parent: "A", tag: "B".into(), near: None, allowed }.to_string()
        };
        assert_eq!(error(&[]), "<A> holds no elements: close it before <B>");
        assert_eq!(error(&["C"]), "<A> holds no <B>, only <C>");
        assert_eq!(error(&["C", "D", "E"]), "<A> holds no <B>, only <C>, <D> or <E>");
    }
}
