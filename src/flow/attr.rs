//! Attributes: one row of an element's table.

use std::fmt;

use crate::base::ids::Dialect;

const BUILT_IN: &str = "sound:hold|ring|beep";

/// One row of a verb's table.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Attr {
    /// Exact spelling: names are case-sensitive.
    pub name: &'static str,
    /// Its effect in one paragraph of Markdown; the reference prints it.
    pub doc: &'static str,
    /// Type and range of the value.
    pub kind: AttrKind,
    /// Default in a Plivo document; None if there is no default.
    pub plivo: Option<&'static str>,
    /// Default in a Vobiz document; None if there is no default.
    pub vobiz: Option<&'static str>,
    /// A valid value, for the reference.
    pub example: &'static str,
    /// The reason why the engine ignores the attribute; None if it has an effect.
    pub idle: Option<&'static str>,
}

impl Attr {
    /// Default in a document of this dialect; None if there is none.
    pub fn default(&self, dialect: Dialect) -> Option<&'static str> {
        match dialect {
            Dialect::Plivo => self.plivo,
            Dialect::Vobiz => self.vobiz,
        }
    }
}

/// Type of an attribute's value, with its bounds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AttrKind {
    /// A sound that is played directly: the URL of a file, or a built-in sound.
    Audio,
    /// Exactly `true` or `false`.
    Bool,
    /// One of these words, exactly.
    Choice(&'static [&'static str]),
    /// The id of a later element.
    Element,
    /// The id of this element.
    Id,
    /// One key, or the word `none`.
    Key,
    /// Keys without separators, such as `12#`.
    Keys,
    /// Keys without separators, the word `none`, or empty for none.
    KeysOrNone,
    /// Milliseconds, from minimum to maximum.
    Milliseconds(u32, u32),
    /// A whole number, from minimum to maximum.
    Number(u32, u32),
    /// Patterns of keys, separated by commas.
    Patterns,
    /// Whole seconds, from minimum to maximum.
    Seconds(u32, u32),
    /// Whole seconds from minimum to maximum, or `auto`.
    SecondsOrAuto(u32, u32),
    /// URL of a sound document, a built-in sound, or empty for none; if true, a beep is allowed
    /// too.
    Sound(bool),
    /// URL of a document that is fetched when the element runs. An invalid one is kept, and ends
    /// the call then.
    Target,
    /// Text without any restrictions.
    Text,
    /// URL of a web server: `http://…` or `https://…`.
    Web,
}

impl fmt::Display for AttrKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, min, max) = match self {
            Self::Audio => return write!(f, "http://, https://, flow:FILE or {BUILT_IN}"),
            Self::Bool => return f.write_str("true or false"),
            Self::Choice(words) => return f.write_str(&words.join(" or ")),
            Self::Element => return f.write_str("the id of a later element"),
            Self::Id => return f.write_str("1 to 64 of the letters A to Z, digits, and . _ -"),
            Self::Key => return f.write_str("one of 0123456789*# or none"),
            Self::Keys => return f.write_str("keys out of 0123456789*#"),
            Self::KeysOrNone => return f.write_str("keys out of 0123456789*#, or none"),
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

/// HTTP method of a request.
pub(super) const METHOD: AttrKind = AttrKind::Choice(&["GET", "POST"]);
