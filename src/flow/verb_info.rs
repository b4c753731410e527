//! Verb info: what the table of verbs says of one element.

use std::fmt;

use super::attr::Attr;

/// What the reference says of a verb; the parser goes by it, too.
#[derive(Clone, Copy, PartialEq)]
pub struct VerbInfo {
    /// Its name; case counts.
    pub tag: &'static str,
    /// What it does, in Markdown, with an example.
    pub doc: &'static str,
    /// Whose it is. It works in documents of both.
    pub vendors: Vendors,
    /// What its text is.
    pub text: TextKind,
    /// The elements that it may hold.
    pub children: &'static [&'static str],
    /// An unanswered call is answered by it, unless it stands in `<PreAnswer>`.
    pub answers: bool,
    /// False: it is passed over.
    pub is_run: bool,
    /// Its attributes.
    pub attrs: &'static [Attr],
}

/// Who has a verb.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Vendors {
    /// Plivo and Vobiz.
    Both,
    /// Plivo; Vobiz has this instead.
    Plivo(&'static str),
    /// Vobiz; Plivo has this instead.
    Vobiz(&'static str),
}

/// What a verb's text is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TextKind {
    /// Keys to press: `0-9*#`, `w` (half a second) and `W` (a second).
    Digits,
    /// Nothing.
    None,
    /// A conference's name.
    Room,
    /// A URL.
    Url,
    /// Words.
    Words,
}

impl fmt::Debug for VerbInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VerbInfo").field(&self.tag).finish()
    }
}
