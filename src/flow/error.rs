//! What can be wrong with a document, and what can be odd: where, what, and what to do.

use std::fmt;

use super::{AttrKind, TextPosition};
use crate::base::ids::Dialect;

/// Why a document is not a flow, and where.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{at}: {error}")]
pub struct FlowError {
    /// Line and column.
    pub at: TextPosition,
    /// What is wrong.
    pub error: FlowErrorKind,
}

/// What leaves a document without a meaning: nothing of it runs.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum FlowErrorKind {
    /// A branch to where the flow has been already.
    #[error(
        "{name}={id:?} leads back to {to}, and a branch leads forwards only: name an element \
         further on, or go to one with <Redirect>"
    )]
    BranchBack {
        /// The attribute.
        name: &'static str,
        /// The element's id.
        id: String,
        /// Where that stands.
        to: TextPosition,
    },
    /// A branch to an element that is not there.
    #[error(
        "{name}={id:?} leads nowhere{}: give an element further on that id",
        DidYouMean(&near.as_deref())
    )]
    BranchNowhere {
        /// The attribute.
        name: &'static str,
        /// The id that no element has.
        id: String,
        /// One that is close to it.
        near: Option<String>,
    },
    /// An element in one that has no place for it.
    #[error("{}", ChildNotAllowed { parent, tag, allowed })]
    Child {
        /// The element around it.
        parent: &'static str,
        /// The element.
        tag: String,
        /// What the element around it holds.
        allowed: &'static [&'static str],
    },
    /// A document type, which could define entities without end.
    #[error("a flow has no DOCTYPE: leave it out")]
    DocumentType,
    /// The declaration names another encoding.
    #[error("a flow is written in UTF-8, not in {name:?}: save it as UTF-8 and declare that")]
    Encoding {
        /// As declared.
        name: String,
    },
    /// Two elements of one name.
    #[error("the id {id:?} is taken by the element at {first}: give each element its own")]
    IdTwice {
        /// The name.
        id: String,
        /// Where the other one stands.
        first: TextPosition,
    },
    /// One of the document's limits.
    #[error("a flow has at most {max} {what}: {advice}")]
    Limit {
        /// Of what it has too many.
        what: &'static str,
        /// How many are allowed.
        max: usize,
        /// What to do about it.
        advice: &'static str,
    },
    /// An element that belongs into others, at the top level.
    #[error("<{tag}> does not stand in <Response> itself: put it into {}", TagList(parents))]
    Nested {
        /// The element.
        tag: &'static str,
        /// Where it belongs.
        parents: Vec<&'static str>,
    },
    /// A conference without a usable name.
    #[error("{text:?} names no conference: write 1 to 256 characters, none a control character")]
    Room {
        /// What stands there.
        text: String,
    },
    /// A root of another name.
    #[error("a flow begins with <Response>, not with <{tag}>")]
    Root {
        /// Its name.
        tag: String,
    },
    /// No root.
    #[error("there is no <Response>: the document is empty")]
    RootMissing,
    /// Another root.
    #[error(
        "a document has one root, and this <{tag}> is a second: merge the two, or leave it out"
    )]
    RootSecond {
        /// Its name.
        tag: String,
    },
    /// Text before or behind the root.
    #[error("text outside of <Response>: move it into an element, or leave it out")]
    RootText,
    /// An element that is none of ours.
    #[error("there is no element <{tag}>{}", UnknownElementHint(near, allowed))]
    Unknown {
        /// Its name.
        tag: String,
        /// The name it is close to.
        near: Option<&'static str>,
        /// The elements that may be there.
        allowed: &'static [&'static str],
    },
    /// Bytes that are no text.
    #[error("a flow is written in UTF-8, and this byte is not: save the file as UTF-8")]
    Utf8,
    /// Not XML.
    #[error("{what}")]
    Xml {
        /// What is wrong with it, and what to do.
        what: String,
    },
}

/// Something odd in a flow that runs all the same.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FlowWarning {
    /// Line and column.
    pub at: TextPosition,
    /// What is odd.
    pub warning: FlowWarningKind,
}

impl fmt::Display for FlowWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.warning)
    }
}

/// What is odd.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum FlowWarningKind {
    /// An attribute that does nothing without another.
    #[error("{name} has no effect without {needs}")]
    AttributeAlone {
        /// Its name.
        name: &'static str,
        /// The other's name.
        needs: &'static str,
    },
    /// An attribute that does nothing yet.
    #[error("{name} is accepted, and has no effect yet: {note}")]
    AttributeIdle {
        /// Its name.
        name: &'static str,
        /// What there is instead.
        note: &'static str,
    },
    /// An attribute that an element should have.
    #[error("<{tag}> has no {name}: {note}")]
    AttributeMissing {
        /// The element.
        tag: &'static str,
        /// The attribute.
        name: &'static str,
        /// What holds without it.
        note: &'static str,
    },
    /// An attribute that an element does not know.
    #[error("<{tag}> has no attribute {name:?}{}; it is ignored", DidYouMean(near))]
    AttributeUnknown {
        /// The element.
        tag: &'static str,
        /// The attribute.
        name: String,
        /// The name it is close to.
        near: Option<&'static str>,
    },
    /// A value that makes no sense.
    #[error("{name}={value:?} is ignored{}: write {wanted}", DefaultNote(*default))]
    AttributeValue {
        /// The attribute.
        name: &'static str,
        /// The value.
        value: String,
        /// What is expected.
        wanted: AttrKind,
        /// What holds instead.
        default: Option<&'static str>,
    },
    /// A verb that only the other vendor has.
    #[error("<{tag}> works, but a {dialect} flow has {instead}")]
    Foreign {
        /// The element.
        tag: &'static str,
        /// The document's dialect.
        dialect: Dialect,
        /// What that dialect has.
        instead: &'static str,
    },
    /// An element that cannot do anything.
    #[error("<{tag}> is passed over: {why}")]
    Idle {
        /// The element.
        tag: &'static str,
        /// What is amiss, and what to do.
        why: &'static str,
    },
    /// `group` is not the number of one.
    #[error("group={text:?} names no group, and nobody is let in: write its number")]
    NoGroup {
        /// As written.
        text: String,
    },
    /// A verb that the engine does not run yet.
    #[error("<{tag}> is not run yet and is passed over")]
    Skipped {
        /// The element.
        tag: &'static str,
    },
    /// Text where none is read.
    #[error("text that <{tag}> has no use for is ignored")]
    StrayText {
        /// The element.
        tag: &'static str,
    },
    /// Something like a variable.
    #[error("${{{name}}} is no variable{}: it is read as it stands", DidYouMean(near))]
    VariableUnknown {
        /// Its name.
        name: String,
        /// The name it is close to.
        near: Option<&'static str>,
    },
    /// A URL that cannot be asked.
    #[error(
        "{url:?} cannot be asked, and the call ends where it should be: write http://, https:// or flow:NAME"
    )]
    Url {
        /// As written.
        url: String,
    },
}

/// As much of a text as a message shows of it; no more is kept.
pub(super) fn clip(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A message is read in a terminal or a log line.
const SHOWN_CHARS_MAX: usize = 60;

/// The name that was probably meant, if one is close.
pub(super) fn nearest<'n>(written: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let close = names.filter_map(|name| {
        let distance = distance(written, name)?;
        (distance <= name.len() / 3).then_some((distance, name))
    });
    close.min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
}

/// More changes than this make another word.
const CHANGES_MAX: usize = 3;

/// How many bytes must be put in, taken out or changed; a change of case costs nothing. None
/// beyond [`CHANGES_MAX`].
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
    allowed: &'a [&'static str],
}

impl fmt::Display for ChildNotAllowed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { parent, tag, allowed } = self;
        match allowed.is_empty() {
            true => write!(f, "<{parent}> holds no elements: close it before <{tag}>"),
            false => write!(f, "<{parent}> holds no <{tag}>, only {}", TagList(allowed)),
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
        let error =
            |allowed| FlowErrorKind::Child { parent: "A", tag: "B".into(), allowed }.to_string();
        assert_eq!(error(&[]), "<A> holds no elements: close it before <B>");
        assert_eq!(error(&["C"]), "<A> holds no <B>, only <C>");
        assert_eq!(error(&["C", "D", "E"]), "<A> holds no <B>, only <C>, <D> or <E>");
    }
}
