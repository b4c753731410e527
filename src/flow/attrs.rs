//! Attribute tables: one row for each attribute of a verb.
//!
//! A row of [`verb!`] generates the field, the parser, the warnings and the reference.

use std::{slice, sync::Arc};

use super::{
    Action, FlowWarning, FlowWarningKind, RequestMethod, TextPosition,
    attr::Attr,
    branch,
    element::{XmlAttribute, XmlElement},
    error::{clip, nearest},
    field::AttrValue,
    twiml, url,
    verb_info::VerbInfo,
};
use crate::base::ids::Dialect;

/// One element, and the state that a verb needs to read it.
pub(super) struct ElementReader<'r, 'd> {
    pub(super) dialect: Dialect,
    pub(super) info: &'static VerbInfo,
    pub(super) element: &'r XmlElement<'d>,
    /// Whether it is a direct child of `<Response>`.
    pub(super) is_top: bool,
    pub(super) warnings: &'r mut Vec<FlowWarning>,
}

impl<'r, 'd> ElementReader<'r, 'd> {
    pub(super) fn children(&self) -> slice::Iter<'r, XmlElement<'d>> {
        self.element.children.iter()
    }

    /// Value of the attribute; the default if it is missing or invalid (with a warning).
    pub(super) fn value<T: AttrValue>(
        &mut self,
        attr: &'static Attr,
        default: impl FnOnce(Dialect) -> T,
    ) -> T {
        let Some(attribute) = self.find(attr.name) else { return default(self.dialect) };
        self.warn_idle_attribute(attr, attribute);
        if let Some(value) = T::read(&attribute.value, attr.kind) {
            return value.with_default(|| default(self.dialect));
        }
        let warning = FlowWarningKind::AttributeValue {
            name: attr.name,
            value: clip(&attribute.value),
            wanted: attr.kind,
            default: attr.default(self.dialect),
        };
        self.warn(attribute.at, warning);
        default(self.dialect)
    }

    /// Warns about an attribute that has no effect yet.
    pub(super) fn warn_if_stated(&mut self, attr: &'static Attr) {
        if let Some(attribute) = self.find(attr.name) {
            self.warn_idle_attribute(attr, attribute);
        }
    }

    /// Combines `action`, `method` and `redirect`.
    pub(super) fn action(
        &mut self,
        url: Option<Arc<str>>,
        method: RequestMethod,
        redirects: bool,
    ) -> Option<Action> {
        let url = url?;
        if !url::is_target(&url) {
            self.warn_attribute("action", FlowWarningKind::Url { url: clip(&url) });
        }
        Some(Action { url, method, redirects })
    }

    /// Warns if the attribute is missing.
    pub(super) fn warn_if_missing(&mut self, name: &'static str, note: &'static str) {
        if self.find(name).is_none() {
            let warning = FlowWarningKind::AttributeMissing { tag: self.info.tag, name, note };
            self.warn(self.element.at, warning);
        }
    }

    /// Warns that the element has no effect.
    pub(super) fn warn_idle_element(&mut self, why: &'static str) {
        let warning = FlowWarningKind::Idle { tag: self.info.tag, why };
        self.warn(self.element.at, warning);
    }

    /// Position of the element's text; of the element if it has none.
    pub(super) fn text_at(&self) -> TextPosition {
        self.element.text_at.first().copied().unwrap_or(self.element.at)
    }

    /// Warns about the attribute, if it is present.
    pub(super) fn warn_attribute(&mut self, name: &str, warning: FlowWarningKind) {
        if let Some(attribute) = self.find(name) {
            self.warn(attribute.at, warning);
        }
    }

    /// Warns that an attribute of the table has no effect here, if it is present and not the default.
    pub(super) fn warn_without_effect(&mut self, name: &'static str, note: &'static str) {
        let default = self.info.attrs.iter().find(|it| it.name == name);
        let default = default.and_then(|it| it.default(self.dialect));
        if self.find(name).is_some_and(|it| default != Some(&*it.value)) {
            self.warn_attribute(name, FlowWarningKind::AttributeIdle { name, note });
        }
    }

    pub(super) fn warn(&mut self, at: TextPosition, warning: FlowWarningKind) {
        self.warnings.push(FlowWarning { at, warning });
    }

    /// Warns about attributes that are not in the verb's table.
    pub(super) fn warn_unknown_attributes(&mut self) {
        let info = self.info;
        for attribute in &self.element.attributes {
            let id = self.is_top.then_some(branch::ID.name);
            let names = || info.attrs.iter().map(|attr| attr.name).chain(id);
            if names().any(|name| name == attribute.name) {
                continue;
            }
            let near = twiml::attribute(attribute.name, names());
            let near = near.or_else(|| nearest(attribute.name, names()));
            let (tag, name) = (info.tag, clip(attribute.name));
            self.warn(attribute.at, FlowWarningKind::AttributeUnknown { tag, name, near });
        }
    }

    /// Whether the attribute is present.
    pub(super) fn is_stated(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    fn find(&self, name: &str) -> Option<&'r XmlAttribute<'d>> {
        self.element.attributes.iter().find(|it| it.name == name)
    }

    /// Does not warn if the value equals the default.
    fn warn_idle_attribute(&mut self, attr: &'static Attr, attribute: &XmlAttribute<'_>) {
        let Some(note) = attr.idle else { return };
        if attr.default(self.dialect) != Some(&attribute.value) {
            self.warn(attribute.at, FlowWarningKind::AttributeIdle { name: attr.name, note });
        }
    }
}

/// Declares a verb: what its text and its children may be, and one row for each attribute.
///
/// A row is `field: type = "name" [kind] or default, like "example";`. Different defaults of Plivo
/// and Vobiz are written `or this / that`; `none`, or no `or`, is the type's own default. A row
/// that ends in `, idle "note"` has no effect yet, and one in `idle` has no field either. The rows
/// in `branches` name later elements; they are resolved when all elements are read.
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
            /// Tag, attributes and documentation, for the parser and the reference.
            pub const INFO: $crate::flow::verbs::VerbInfo = $crate::flow::verbs::VerbInfo {
                tag: $tag,
                doc: concat!($($doc, "\n"),+),
                vendors: $vendors,
                text: $crate::flow::verbs::TextKind::$text,
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
                        $branch [$crate::flow::AttrKind::Element] $branch_example; $($branch_row)+; ;
                    }, )*)?
                ],
            };
        }

        /// Values of the attributes, as stated or by default.
        struct Rows { $( $field: $type, )* }

        impl Rows {
            fn read(reading: &mut $crate::flow::attrs::ElementReader<'_, '_>) -> Self {
                $($( reading.warn_if_stated(const { &$crate::flow::attrs::row! {
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

/// Builds one [`Attr`] from the parts of a row.
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
        $crate::flow::Attr {
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

/// A default as text.
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

/// A default as a value of the row's type.
macro_rules! default {
    () => {
        |_| Default::default()
    };
    (none) => {
        |_| Default::default()
    };
    ($both:literal) => {
        |_| $crate::flow::field::AttrValue::of($both)
    };
    ($plivo:tt / $vobiz:tt) => {
        |dialect| match dialect {
            $crate::base::ids::Dialect::Plivo => $crate::flow::attrs::default!($plivo)(dialect),
            $crate::base::ids::Dialect::Vobiz => $crate::flow::attrs::default!($vobiz)(dialect),
        }
    };
}
pub(super) use {default, row, text, verb};
