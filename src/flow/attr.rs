//! Attributes: one row of an element's table.

use std::fmt;

use crate::base::ids::Dialect;

const BUILT_IN: &str = "sound:hold|ring|beep";

/// One row of a verb's table.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Attr {
    /// As it is written; case counts.
    pub name: &'static str,
    /// What it does.
    pub doc: &'static str,
    /// What its value may be.
    pub kind: AttrKind,
    /// What holds in a Plivo document that does not state it; None is nothing.
    pub plivo: Option<&'static str>,
    /// What holds in a Vobiz document that does not state it; None is nothing.
    pub vobiz: Option<&'static str>,
    /// A value worth showing.
    pub example: &'static str,
    /// Why it has no effect yet, if it has none.
    pub idle: Option<&'static str>,
}

impl Attr {
    /// What holds where it is not stated.
    pub fn default(&self, dialect: Dialect) -> Option<&'static str> {
        match dialect {
            Dialect::Plivo => self.plivo,
            Dialect::Vobiz => self.vobiz,
        }
    }
}

/// What an attribute's value may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AttrKind {
    /// A sound in itself: a file's URL or a built-in one.
    Audio,
    /// Exactly `true` or `false`.
    Bool,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// The id of an element further on.
    Element,
    /// A name for an element.
    Id,
    /// One key, or none.
    Key,
    /// Keys, one after the other.
    Keys,
    /// Milliseconds within these bounds.
    Milliseconds(u32, u32),
    /// A whole number within these bounds.
    Number(u32, u32),
    /// Patterns of keys with commas between them.
    Patterns,
    /// Whole seconds within these bounds.
    Seconds(u32, u32),
    /// Whole seconds within these bounds, or `auto`.
    SecondsOrAuto(u32, u32),
    /// A sound document's URL, a built-in sound, or nothing; if true, a beep too.
    Sound(bool),
    /// A URL that is asked when the time comes. One that cannot be asked is kept: it ends the call.
    Target,
    /// Any text.
    Text,
    /// `http://…` or `https://…`.
    Web,
}

impl fmt::Display for AttrKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, min, max) = match self {
            Self::Audio => return write!(f, "http://, https://, flow:FILE or {BUILT_IN}"),
            Self::Bool => return f.write_str("true or false"),
            Self::Choice(words) => return f.write_str(&words.join(" or ")),
            Self::Element => return f.write_str("the id of an element further on"),
            Self::Id => return f.write_str("1 to 64 of the letters A to Z, digits, and . _ -"),
            Self::Key => return f.write_str("one of 0123456789*# or none"),
            Self::Keys => return f.write_str("keys out of 0123456789*#"),
            Self::Patterns => return f.write_str("keys out of 0123456789*#, such as 1,2,99#"),
            Self::Sound(false) => return write!(f, "http://, https://, flow:NAME or {BUILT_IN}"),
            Self::Sound(true) => {
                return write!(f, "beep:1, beep:2, http://, https://, flow:NAME or {BUILT_IN}");
            }
            Self::Target => return f.write_str("http://, https:// or flow:NAME"),
            Self::Text => return f.write_str("a text"),
            Self::Web => return f.write_str("http:// or https://"),
            Self::Milliseconds(min, max) => ("milliseconds", min, max),
            Self::Number(min, max) => ("a whole number", min, max),
            Self::Seconds(min, max) => ("whole seconds", min, max),
            Self::SecondsOrAuto(min, max) => ("auto, or whole seconds", min, max),
        };
        match *max {
            u32::MAX => write!(f, "{unit} from {min} on"),
            max => write!(f, "{unit} from {min} to {max}"),
        }
    }
}

/// How a URL is requested.
pub(super) const METHOD: AttrKind = AttrKind::Choice(&["GET", "POST"]);
