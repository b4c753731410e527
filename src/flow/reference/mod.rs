//! Language reference, generated from the tables of the verbs: for people, programs and editors.

mod json;
mod markdown;
mod xsd;

pub use self::{json::json, markdown::markdown, xsd::xsd};
use super::{
    Attr, AttrKind,
    verbs::{ALL, RESPONSE, TextKind, Vendors, VerbInfo},
};

/// The root and all elements.
fn elements() -> impl Iterator<Item = &'static VerbInfo> {
    [&RESPONSE].into_iter().chain(ALL)
}

/// Removes the leading space that each line of a doc attribute has.
fn doc(text: &str) -> String {
    let lines = text.lines().map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end());
    lines.collect::<Vec<_>>().join("\n").trim().to_owned()
}

/// A doc text as one line.
fn line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Short name of a value's type.
fn kind_name(kind: AttrKind) -> &'static str {
    match kind {
        AttrKind::Audio => "audio",
        AttrKind::Bool => "boolean",
        AttrKind::Choice(_) => "choice",
        AttrKind::Key => "key",
        AttrKind::Keys => "keys",
        AttrKind::KeysOrNone => "keys or none",
        AttrKind::Milliseconds(..) => "milliseconds",
        AttrKind::Number(..) => "number",
        AttrKind::Patterns => "patterns",
        AttrKind::Seconds(..) => "seconds",
        AttrKind::SecondsOrAuto(..) => "seconds or auto",
        AttrKind::Sound(_) => "sound",
        AttrKind::Target | AttrKind::Web => "url",
        AttrKind::Element => "element",
        AttrKind::Id => "id",
        AttrKind::Text => "text",
    }
}

/// Minimum and maximum, for types that have them.
fn bounds(kind: AttrKind) -> Option<(u32, Option<u32>)> {
    let (min, max) = match kind {
        AttrKind::Milliseconds(min, max) | AttrKind::Number(min, max) => (min, max),
        AttrKind::Seconds(min, max) | AttrKind::SecondsOrAuto(min, max) => (min, max),
        AttrKind::Audio | AttrKind::Bool | AttrKind::Choice(_) | AttrKind::Key => return None,
        AttrKind::Keys | AttrKind::KeysOrNone => return None,
        AttrKind::Patterns | AttrKind::Sound(_) | AttrKind::Target | AttrKind::Text => return None,
        AttrKind::Element | AttrKind::Id | AttrKind::Web => return None,
    };
    Some((min, Some(max).filter(|max| *max != u32::MAX)))
}

/// The allowed words, if they can be listed.
fn words(kind: AttrKind) -> Option<&'static [&'static str]> {
    match kind {
        AttrKind::Bool => Some(&["true", "false"]),
        AttrKind::Choice(words) => Some(words),
        AttrKind::Audio
        | AttrKind::Key
        | AttrKind::Keys
        | AttrKind::KeysOrNone
        | AttrKind::Milliseconds(..)
        | AttrKind::Number(..) => None,
        AttrKind::Patterns
        | AttrKind::Seconds(..)
        | AttrKind::SecondsOrAuto(..)
        | AttrKind::Sound(_) => None,
        AttrKind::Target | AttrKind::Text | AttrKind::Web => None,
        AttrKind::Element | AttrKind::Id => None,
    }
}

fn vendors(vendors: Vendors) -> (&'static [&'static str], Option<&'static str>) {
    match vendors {
        Vendors::Both => (&["plivo", "vobiz"], None),
        Vendors::Plivo(instead) => (&["plivo"], Some(instead)),
        Vendors::Vobiz(instead) => (&["vobiz"], Some(instead)),
    }
}

fn text_name(text: TextKind) -> Option<&'static str> {
    match text {
        TextKind::Digits => Some("keys: 0123456789*#, w (half a second), W (a second)"),
        TextKind::None => None,
        TextKind::Room => Some("the room's name, of 1 to 256 characters"),
        TextKind::Url => Some("a URL"),
        TextKind::Words => Some("words"),
    }
}

/// Why the attribute has no effect yet; None if it has one.
fn idle(element: &VerbInfo, attr: &Attr) -> Option<&'static str> {
    match element.is_run {
        true => attr.idle,
        false => Some("the element is not run yet"),
    }
}
