//! The flow language's reference, made of the verbs' tables: for people, programs and editors.

mod json;
mod markdown;
mod xsd;

pub use self::{json::json, markdown::markdown, xsd::xsd};
use super::{
    Attr, Kind,
    verbs::{ALL, RESPONSE, Text, Vendors, VerbInfo},
};

/// The root, then every element.
fn elements() -> impl Iterator<Item = &'static VerbInfo> {
    [&RESPONSE].into_iter().chain(ALL)
}

/// A text as its author meant it: rows of documentation begin with a blank each.
fn doc(text: &str) -> String {
    let lines = text.lines().map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end());
    lines.collect::<Vec<_>>().join("\n").trim().to_owned()
}

/// The same, in one line.
fn line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What kind of thing a value is, in a word.
fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Audio => "audio",
        Kind::Bool => "boolean",
        Kind::Choice(_) => "choice",
        Kind::Key => "key",
        Kind::Keys => "keys",
        Kind::Milliseconds(..) => "milliseconds",
        Kind::Number(..) => "number",
        Kind::Patterns => "patterns",
        Kind::Seconds(..) => "seconds",
        Kind::SecondsOrAuto(..) => "seconds or auto",
        Kind::Sound(_) => "sound",
        Kind::Target | Kind::Web => "url",
        Kind::Element => "element",
        Kind::Id => "id",
        Kind::Text => "text",
    }
}

/// The least and the greatest number, where there are such.
fn bounds(kind: Kind) -> Option<(u32, Option<u32>)> {
    let (min, max) = match kind {
        Kind::Milliseconds(min, max) | Kind::Number(min, max) => (min, max),
        Kind::Seconds(min, max) | Kind::SecondsOrAuto(min, max) => (min, max),
        Kind::Audio | Kind::Bool | Kind::Choice(_) | Kind::Key | Kind::Keys => return None,
        Kind::Patterns | Kind::Sound(_) | Kind::Target | Kind::Text => return None,
        Kind::Element | Kind::Id | Kind::Web => return None,
    };
    Some((min, Some(max).filter(|max| *max != u32::MAX)))
}

/// The words that are possible, where they can be listed.
fn words(kind: Kind) -> Option<&'static [&'static str]> {
    match kind {
        Kind::Bool => Some(&["true", "false"]),
        Kind::Choice(words) => Some(words),
        Kind::Audio | Kind::Key | Kind::Keys | Kind::Milliseconds(..) | Kind::Number(..) => None,
        Kind::Patterns | Kind::Seconds(..) | Kind::SecondsOrAuto(..) | Kind::Sound(_) => None,
        Kind::Target | Kind::Text | Kind::Web => None,
        Kind::Element | Kind::Id => None,
    }
}

fn vendors(vendors: Vendors) -> (&'static [&'static str], Option<&'static str>) {
    match vendors {
        Vendors::Both => (&["plivo", "vobiz"], None),
        Vendors::Plivo(instead) => (&["plivo"], Some(instead)),
        Vendors::Vobiz(instead) => (&["vobiz"], Some(instead)),
    }
}

fn text_name(text: Text) -> Option<&'static str> {
    match text {
        Text::Digits => Some("keys: 0123456789*#, w (half a second), W (a second)"),
        Text::None => None,
        Text::Room => Some("the room's name, of 1 to 256 characters"),
        Text::Url => Some("a URL"),
        Text::Words => Some("words"),
    }
}

/// Why an attribute does nothing yet, if it does nothing.
fn idle(element: &VerbInfo, attr: &Attr) -> Option<&'static str> {
    match element.is_run {
        true => attr.idle,
        false => Some("the element is not run yet"),
    }
}
