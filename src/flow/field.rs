//! The types that an attribute can have: how each reads a value, and what a default makes of it.

use std::{sync::Arc, time::Duration};

use super::{Cue, Kind, Method, RecordFormat, url};
use crate::group::Rank;

/// The type of an attribute.
pub(super) trait Field: Sized {
    /// What a default is written as in a row.
    type Default;

    fn of(default: Self::Default) -> Self;

    /// None if the text makes no sense.
    fn read(text: &str, kind: Kind) -> Option<Self>;

    /// For a type that keeps the default beside what was read.
    fn beside(self, _default: impl FnOnce() -> Self) -> Self {
        self
    }
}

/// A value if the author wrote one, and what holds if not.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Said<T> {
    pub(super) stated: Option<T>,
    pub(super) default: T,
}

/// Keys that may be pressed, as a set.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Keys(u16);

/// The keys of a telephone.
const KEYS: &str = "0123456789*#ABCD";

impl Keys {
    pub(super) const ALL: Self = Self(u16::MAX);

    pub(super) fn has(self, key: char) -> bool {
        KEYS.find(key).is_some_and(|bit| self.0 >> bit & 1 == 1)
    }
}

/// The key that ends an input, if any does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct FinishKey(pub(super) Option<char>);

/// Seconds; None is `auto`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct SecondsOrAuto(pub(super) Option<Duration>);

/// Patterns of keys, none empty.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Patterns(pub(super) Vec<Arc<str>>);

impl Field for bool {
    type Default = Self;

    fn of(default: Self) -> Self {
        default
    }

    fn read(text: &str, _: Kind) -> Option<Self> {
        match text {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }
}

impl Field for u32 {
    type Default = Self;

    fn of(default: Self) -> Self {
        default
    }

    fn read(text: &str, kind: Kind) -> Option<Self> {
        let (min, max) = match kind {
            Kind::Milliseconds(min, max) | Kind::Number(min, max) => (min, max),
            Kind::Seconds(min, max) | Kind::SecondsOrAuto(min, max) => (min, max),
            Kind::Audio | Kind::Bool | Kind::Choice(_) | Kind::Key | Kind::Keys => return None,
            Kind::Element | Kind::Id => return None,
            Kind::Patterns | Kind::Sound(_) | Kind::Target | Kind::Text => return None,
            Kind::Web => return None,
        };
        let text = text.trim();
        // Parsing would take a sign.
        let number = text.bytes().all(|it| it.is_ascii_digit()).then(|| text.parse().ok())??;
        (min..=max).contains(&number).then_some(number)
    }
}

impl Field for Duration {
    type Default = u32;

    fn of(seconds: u32) -> Self {
        Self::from_secs(seconds.into())
    }

    fn read(text: &str, kind: Kind) -> Option<Self> {
        u32::read(text, kind).map(Self::of)
    }
}

impl Field for SecondsOrAuto {
    type Default = &'static str;

    fn of(_auto: &'static str) -> Self {
        Self(None)
    }

    fn read(text: &str, kind: Kind) -> Option<Self> {
        match text {
            "auto" => Some(Self(None)),
            _ => Duration::read(text, kind).map(|it| Self(Some(it))),
        }
    }
}

impl Field for Arc<str> {
    type Default = &'static str;

    fn of(default: &'static str) -> Self {
        default.into()
    }

    fn read(text: &str, kind: Kind) -> Option<Self> {
        let fits = match kind {
            Kind::Audio => url::is_audio(text),
            Kind::Choice(words) => words.contains(&text),
            Kind::Element | Kind::Id => is_id(text),
            Kind::Web => url::is_web(text),
            Kind::Bool | Kind::Key | Kind::Keys | Kind::Milliseconds(..) => true,
            Kind::Number(..) | Kind::Patterns | Kind::Seconds(..) => true,
            Kind::SecondsOrAuto(..) | Kind::Sound(_) | Kind::Target => true,
            Kind::Text => true,
        };
        fits.then(|| text.into())
    }
}

/// A name for an element; as in XML, but for letters beyond ASCII.
fn is_id(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=ID_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_part)
}

/// A name is read in messages and traces.
const ID_BYTES_MAX: usize = 64;

/// An empty text states that there is none, where a URL or a sound could stand.
impl<T: Field> Field for Option<T> {
    type Default = T::Default;

    fn of(default: T::Default) -> Self {
        Some(T::of(default))
    }

    fn read(text: &str, kind: Kind) -> Option<Self> {
        let may_be_empty = match kind {
            Kind::Audio | Kind::Sound(_) | Kind::Target | Kind::Text | Kind::Web => true,
            Kind::Bool | Kind::Choice(_) | Kind::Id | Kind::Key | Kind::Keys => false,
            Kind::Element => true,
            Kind::Milliseconds(..) | Kind::Number(..) | Kind::Patterns => false,
            Kind::Seconds(..) | Kind::SecondsOrAuto(..) => false,
        };
        let text = text.trim();
        match text.is_empty() && may_be_empty {
            true => Some(None),
            false => T::read(text, kind).map(Some),
        }
    }
}

impl<T: Field + Default> Field for Said<T> {
    type Default = T::Default;

    fn of(default: T::Default) -> Self {
        Self { stated: None, default: T::of(default) }
    }

    fn read(text: &str, kind: Kind) -> Option<Self> {
        T::read(text, kind).map(|value| Self { stated: Some(value), default: T::default() })
    }

    fn beside(self, default: impl FnOnce() -> Self) -> Self {
        Self { default: default().default, ..self }
    }
}

impl Field for Method {
    type Default = &'static str;

    fn of(default: &'static str) -> Self {
        match default {
            "GET" => Self::Get,
            _ => Self::Post,
        }
    }

    fn read(text: &str, _: Kind) -> Option<Self> {
        match text {
            "GET" => Some(Self::Get),
            "POST" => Some(Self::Post),
            _ => None,
        }
    }
}

impl Field for Rank {
    type Default = Self;

    fn of(default: Self) -> Self {
        default
    }

    fn read(text: &str, _: Kind) -> Option<Self> {
        Self::named(text)
    }
}

impl Field for RecordFormat {
    type Default = &'static str;

    fn of(default: &'static str) -> Self {
        match default {
            "wav" => Self::Wav,
            _ => Self::Mp3,
        }
    }

    fn read(text: &str, _: Kind) -> Option<Self> {
        match text {
            "mp3" => Some(Self::Mp3),
            "wav" => Some(Self::Wav),
            _ => None,
        }
    }
}

impl Field for Cue {
    type Default = &'static str;

    fn of(default: &'static str) -> Self {
        Self::BuiltIn(default.into())
    }

    fn read(text: &str, kind: Kind) -> Option<Self> {
        match text {
            "beep:1" if kind == Kind::Sound(true) => Some(Self::Beep(1)),
            "beep:2" if kind == Kind::Sound(true) => Some(Self::Beep(2)),
            _ if url::is_built_in(text) => Some(Self::BuiltIn(text.into())),
            _ if url::is_target(text) => Some(Self::Document(text.into())),
            _ => None,
        }
    }
}

impl Field for Keys {
    type Default = &'static str;

    fn of(keys: &'static str) -> Self {
        Self::read(keys, Kind::Keys).unwrap_or(Self::ALL)
    }

    fn read(text: &str, _: Kind) -> Option<Self> {
        let mut keys = 0;
        for key in text.chars() {
            keys |= 1 << KEYS.find(key)?;
        }
        (keys != 0).then_some(Self(keys))
    }
}

impl Field for FinishKey {
    type Default = char;

    fn of(key: char) -> Self {
        Self(Some(key))
    }

    fn read(text: &str, _: Kind) -> Option<Self> {
        let mut chars = text.chars();
        match (chars.next(), chars.next()) {
            (None, _) => Some(Self(None)),
            (Some(key), None) if KEYS.contains(key) => Some(Self(Some(key))),
            _ => (text == "none").then_some(Self(None)),
        }
    }
}

impl Field for Patterns {
    type Default = &'static str;

    fn of(_none: &'static str) -> Self {
        Self::default()
    }

    fn read(text: &str, _: Kind) -> Option<Self> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let read = |part: &str| part.chars().all(|key| KEYS.contains(key)).then(|| part.into());
        parts.map(read).collect::<Option<_>>().map(Self)
    }
}
