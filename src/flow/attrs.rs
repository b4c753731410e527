//! Attributes, as a table.
//!
//! A verb states each attribute once, in a row of [`verb!`]; the field, the parser, the remarks on
//! it and the reference all come from that row.

use std::{fmt, slice, sync::Arc};

use super::{
    Action, Fault, FlowError, Method, Oddity, Place, Remark, branch,
    element::{Attribute, Element},
    error::{clip, nearest},
    field::Field,
    url,
    verbs::VerbInfo,
};
use crate::base::ids::Dialect;

/// One row of a verb's table.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Attr {
    /// As it is written; case counts.
    pub name: &'static str,
    /// What it does.
    pub doc: &'static str,
    /// What its value may be.
    pub kind: Kind,
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
pub enum Kind {
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

impl fmt::Display for Kind {
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

const BUILT_IN: &str = "sound:hold|ring|beep";
/// How a URL is requested.
pub(super) const METHOD: Kind = Kind::Choice(&["GET", "POST"]);

/// An element, as one verb reads it.
pub(super) struct Reading<'r, 'd> {
    pub(super) dialect: Dialect,
    pub(super) info: &'static VerbInfo,
    pub(super) element: &'r Element<'d>,
    /// It stands in `<Response>` itself.
    pub(super) is_top: bool,
    pub(super) remarks: &'r mut Vec<Remark>,
}

impl<'r, 'd> Reading<'r, 'd> {
    /// The elements in it.
    pub(super) fn children(&self) -> slice::Iter<'r, Element<'d>> {
        self.element.children.iter()
    }

    /// What stands in the element, if it is stated and makes sense; else the default.
    pub(super) fn value<T: Field>(
        &mut self,
        attr: &'static Attr,
        default: impl FnOnce(Dialect) -> T,
    ) -> T {
        let Some(attribute) = self.find(attr.name) else { return default(self.dialect) };
        self.remark_idle(attr, attribute);
        if let Some(value) = T::read(&attribute.value, attr.kind) {
            return value.beside(|| default(self.dialect));
        }
        let oddity = Oddity::AttributeValue {
            name: attr.name,
            value: clip(&attribute.value),
            wanted: attr.kind,
            default: attr.default(self.dialect),
        };
        self.remark(attribute.at, oddity);
        default(self.dialect)
    }

    /// For an attribute that has no effect yet.
    pub(super) fn pass_over(&mut self, attr: &'static Attr) {
        if let Some(attribute) = self.find(attr.name) {
            self.remark_idle(attr, attribute);
        }
    }

    /// What `action`, `method` and `redirect` say together.
    pub(super) fn action(
        &mut self,
        url: Option<Arc<str>>,
        method: Method,
        redirects: bool,
    ) -> Option<Action> {
        let url = url?;
        if !url::is_target(&url) {
            self.remark_on("action", Oddity::Url { url: clip(&url) });
        }
        Some(Action { url, method, redirects })
    }

    /// An element without this attribute is remarked upon.
    pub(super) fn expect(&mut self, name: &'static str, note: &'static str) {
        if self.find(name).is_none() {
            let oddity = Oddity::AttributeMissing { tag: self.info.tag, name, note };
            self.remark(self.element.at, oddity);
        }
    }

    /// The element does nothing.
    pub(super) fn is_idle(&mut self, why: &'static str) {
        let oddity = Oddity::Idle { tag: self.info.tag, why };
        self.remark(self.element.at, oddity);
    }

    /// On an attribute, if it is stated.
    pub(super) fn remark_on(&mut self, name: &str, oddity: Oddity) {
        if let Some(attribute) = self.find(name) {
            self.remark(attribute.at, oddity);
        }
    }

    pub(super) fn remark(&mut self, at: Place, oddity: Oddity) {
        self.remarks.push(Remark { at, oddity });
    }

    pub(super) fn fault(&self, fault: Fault) -> FlowError {
        FlowError { at: self.element.at, fault }
    }

    /// Remarks on the attributes that are not in the verb's table.
    pub(super) fn remark_unknown(&mut self) {
        let info = self.info;
        for attribute in &self.element.attributes {
            let id = self.is_top.then_some(branch::ID.name);
            let names = || info.attrs.iter().map(|attr| attr.name).chain(id);
            if names().any(|name| name == attribute.name) {
                continue;
            }
            let near = nearest(attribute.name, names());
            let (tag, name) = (info.tag, clip(attribute.name));
            self.remark(attribute.at, Oddity::AttributeUnknown { tag, name, near });
        }
    }

    fn find(&self, name: &str) -> Option<&'r Attribute<'d>> {
        self.element.attributes.iter().find(|it| it.name == name)
    }

    /// To state what holds anyway is not worth a remark.
    fn remark_idle(&mut self, attr: &'static Attr, attribute: &Attribute<'_>) {
        let Some(note) = attr.idle else { return };
        if attr.default(self.dialect) != Some(&attribute.value) {
            self.remark(attribute.at, Oddity::AttributeIdle { name: attr.name, note });
        }
    }
}

/// Declares a verb: what its text and its children are, and one row for each attribute.
///
/// A row is `field: type = "name" [kind] or default, like "example";`. The default of Plivo and
/// that of Vobiz are `or this / that`; `none`, or no `or`, is the type's own default. A row that
/// ends in `, idle "note"` has no effect yet, and one in `idle` has no field either. The rows in
/// `branches` name elements further on: they are read once all elements are.
macro_rules! verb {
    (
        $(#[doc = $doc:literal])+
        pub struct $name:ident { $($fields:tt)* }
        $tag:literal, $vendors:expr, text $text:ident, holds $children:expr, answers $answers:literal;
        $(
            $(#[doc = $row:literal])+
            $field:ident: $type:ty = $attr:literal [$kind:expr] $(or $plivo:tt $(/ $vobiz:tt)?)?,
                like $example:literal $(, idle $note:literal)?;
        )*
        $(idle {
            $(
                $(#[doc = $idle_row:literal])+
                $idle:literal [$idle_kind:expr] $(or $idle_plivo:tt $(/ $idle_vobiz:tt)?)?,
                    like $idle_example:literal: $idle_note:literal;
            )*
        })?
        $(branches {
            $( $(#[doc = $branch_row:literal])+ $branch:literal, like $branch_example:literal; )*
        })?
    ) => {
        $(#[doc = $doc])+
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name { $($fields)* }

        impl $name {
            /// What the reference says of it.
            pub const INFO: $crate::flow::verbs::VerbInfo = $crate::flow::verbs::VerbInfo {
                tag: $tag,
                doc: concat!($($doc, "\n"),+),
                vendors: $vendors,
                text: $crate::flow::verbs::Text::$text,
                children: $children,
                answers: $answers,
                is_run: true,
                attrs: &[
                    $( $crate::flow::attrs::row! {
                        $attr [$kind] $example; $($row)+; $($plivo $(/ $vobiz)?)?; $($note)?
                    }, )*
                    $($( $crate::flow::attrs::row! {
                        $idle [$idle_kind] $idle_example; $($idle_row)+;
                        $($idle_plivo $(/ $idle_vobiz)?)?; $idle_note
                    }, )*)?
                    $($( $crate::flow::attrs::row! {
                        $branch [$crate::flow::Kind::Element] $branch_example; $($branch_row)+; ;
                    }, )*)?
                ],
            };
        }

        /// The attributes, as stated or by default.
        struct Rows { $( $field: $type, )* }

        impl Rows {
            fn read(reading: &mut $crate::flow::attrs::Reading<'_, '_>) -> Self {
                $($( reading.pass_over(const { &$crate::flow::attrs::row! {
                    $idle [$idle_kind] $idle_example; $($idle_row)+;
                    $($idle_plivo $(/ $idle_vobiz)?)?; $idle_note
                } }); )*)?
                $( let $field: $type = reading.value(
                    const { &$crate::flow::attrs::row! {
                        $attr [$kind] $example; $($row)+; $($plivo $(/ $vobiz)?)?; $($note)?
                    } },
                    $crate::flow::attrs::default! { $($plivo $(/ $vobiz)?)? },
                ); )*
                Self { $( $field, )* }
            }
        }
    };
}

/// One [`Attr`] of its parts.
macro_rules! row {
    ($name:literal [$kind:expr] $example:literal; $($doc:literal)+; ; $($note:literal)?) => {
        $crate::flow::attrs::row! { $name [$kind] $example; $($doc)+; none / none; $($note)? }
    };
    ($name:literal [$kind:expr] $example:literal; $($doc:literal)+; $both:tt; $($note:literal)?) => {
        $crate::flow::attrs::row! { $name [$kind] $example; $($doc)+; $both / $both; $($note)? }
    };
    (
        $name:literal [$kind:expr] $example:literal; $($doc:literal)+;
        $plivo:tt / $vobiz:tt; $($note:literal)?
    ) => {
        $crate::flow::attrs::Attr {
            name: $name,
            doc: concat!($($doc),+),
            kind: $kind,
            plivo: $crate::flow::attrs::text!($plivo),
            vobiz: $crate::flow::attrs::text!($vobiz),
            example: $example,
            idle: $crate::flow::attrs::text!($($note)?),
        }
    };
}

/// A default, in words.
macro_rules! text {
    () => {
        None
    };
    (none) => {
        None
    };
    ($value:literal) => {
        Some(concat!($value))
    };
}

/// A default, as a value of the row's type.
macro_rules! default {
    () => {
        |_| Default::default()
    };
    (none) => {
        |_| Default::default()
    };
    ($both:literal) => {
        |_| $crate::flow::field::Field::of($both)
    };
    ($plivo:tt / $vobiz:tt) => {
        |dialect| match dialect {
            $crate::base::ids::Dialect::Plivo => $crate::flow::attrs::default!($plivo)(dialect),
            $crate::base::ids::Dialect::Vobiz => $crate::flow::attrs::default!($vobiz)(dialect),
        }
    };
}
pub(super) use {default, row, text, verb};
