//! Verb info: what the table of verbs says of one element.

use std::fmt;

use super::attr::Attr;

/// Description of an element, for the parser and the reference.
#[derive(Clone, Copy, PartialEq)]
pub struct VerbInfo {
    /// Tag name, which is case-sensitive.
    pub tag: &'static str,
    /// Documentation in Markdown, with an example.
    pub doc: &'static str,
    /// Vendors that document it. It works in documents of both.
    pub vendors: Vendors,
    /// What its text means.
    pub text: TextKind,
    /// Tags of the elements that it may hold.
    pub children: &'static [&'static str],
    /// Whether it answers an unanswered call, unless it is inside `<PreAnswer>`.
    pub answers: bool,
    /// If false, the engine skips the element.
    pub is_run: bool,
    /// Its attributes, without `id`.
    pub attrs: &'static [Attr],
}

/// Vendors that document an element.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Vendors {
    /// Both Plivo and Vobiz.
    Both,
    /// Plivo; Vobiz has this instead.
    Plivo(&'static str),
    /// Vobiz; Plivo has this instead.
    Vobiz(&'static str),
}

/// Meaning of a verb's text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TextKind {
    /// Keys to press: `0-9*#`, `w` (half a second) and `W` (a second).
    Digits,
    /// Text is ignored, with a warning.
    None,
    /// Name of a conference.
    Room,
    /// URL of a document or sound.
    Url,
    /// Words that are spoken.
    Words,
}

impl fmt::Debug for VerbInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VerbInfo").field(&self.tag).finish()
    }
}
