//! Attribute types: how each parses a value and a default.

use std::{sync::Arc, time::Duration};

use super::{AttrKind, ConferenceSound, RecordingFormat, RequestMethod, url};
use crate::group::Rank;

/// A type that an attribute can have.
pub(super) trait AttrValue: Sized {
    /// Form of a default in a table row.
    type Default;

    fn of(default: Self::Default) -> Self;

    /// None if the text is invalid.
    fn read(text: &str, kind: AttrKind) -> Option<Self>;

    /// For a type that keeps the default next to the stated value.
    fn with_default(self, _default: impl FnOnce() -> Self) -> Self {
        self
    }
}

/// The stated value, if any, and the default.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Stated<T> {
    pub(super) stated: Option<T>,
    pub(super) default: T,
}

/// A set of keys.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct KeySet(u16);

/// All keys of a telephone.
const KEYS: &str = "0123456789*#ABCD";

impl KeySet {
    pub(super) const ALL: Self = Self(u16::MAX);
    pub(super) const NONE: Self = Self(0);

    pub(super) fn has(self, key: char) -> bool {
        KEYS.find(key).is_some_and(|bit| self.0 >> bit & 1 == 1)
    }
}

/// The key that ends an input; None if no key does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct FinishKey(pub(super) Option<char>);

/// The keys that end a recording; maybe none.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct FinishKeys(pub(super) KeySet);

/// A number of seconds; None is `auto`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct SecondsOrAuto(pub(super) Option<Duration>);

/// Patterns of keys, none of them empty.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Patterns(pub(super) Vec<Arc<str>>);

impl AttrValue for bool {
    type Default = Self;

    fn of(default: Self) -> Self {
        default
    }

    fn read(text: &str, _: AttrKind) -> Option<Self> {
        match text {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }
}

impl AttrValue for u32 {
    type Default = Self;

    fn of(default: Self) -> Self {
        default
    }

    fn read(text: &str, kind: AttrKind) -> Option<Self> {
        let (min, max) = match kind {
            AttrKind::Milliseconds(min, max) | AttrKind::Number(min, max) => (min, max),
            AttrKind::Seconds(min, max) | AttrKind::SecondsOrAuto(min, max) => (min, max),
            AttrKind::Audio
            | AttrKind::Bool
            | AttrKind::Choice(_)
            | AttrKind::Key
            | AttrKind::Keys
            | AttrKind::KeysOrNone => return None,
            AttrKind::Element | AttrKind::Id => return None,
            AttrKind::Patterns | AttrKind::Sound(_) | AttrKind::Target | AttrKind::Text => {
                return None;
            }
            AttrKind::Web => return None,
        };
        let text = text.trim();
        // `parse` would accept a sign.
        let number = text.bytes().all(|it| it.is_ascii_digit()).then(|| text.parse().ok())??;
        (min..=max).contains(&number).then_some(number)
    }
}

impl AttrValue for Duration {
    type Default = u32;

    fn of(seconds: u32) -> Self {
        Self::from_secs(seconds.into())
    }

    fn read(text: &str, kind: AttrKind) -> Option<Self> {
        u32::read(text, kind).map(Self::of)
    }
}

impl AttrValue for SecondsOrAuto {
    type Default = &'static str;

    fn of(_auto: &'static str) -> Self {
        Self(None)
    }

    fn read(text: &str, kind: AttrKind) -> Option<Self> {
        match text {
            "auto" => Some(Self(None)),
            _ => Duration::read(text, kind).map(|it| Self(Some(it))),
        }
    }
}

impl AttrValue for Arc<str> {
    type Default = &'static str;

    fn of(default: &'static str) -> Self {
        default.into()
    }

    fn read(text: &str, kind: AttrKind) -> Option<Self> {
        let fits = match kind {
            AttrKind::Audio => url::is_audio(text),
            AttrKind::Choice(words) => words.contains(&text),
            AttrKind::Element | AttrKind::Id => is_id(text),
            AttrKind::Web => url::is_web(text),
            AttrKind::Bool | AttrKind::Key | AttrKind::Keys | AttrKind::KeysOrNone => true,
            AttrKind::Milliseconds(..) => true,
            AttrKind::Number(..) | AttrKind::Patterns | AttrKind::Seconds(..) => true,
            AttrKind::SecondsOrAuto(..) | AttrKind::Sound(_) | AttrKind::Target => true,
            AttrKind::Text => true,
        };
        fits.then(|| text.into())
    }
}

/// Ids follow XML names, restricted to ASCII.
fn is_id(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=ID_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_part)
}

/// Ids appear in messages and traces.
const ID_BYTES_MAX: usize = 64;

/// An empty text means "none" where a URL or a sound is expected.
impl<T: AttrValue> AttrValue for Option<T> {
    type Default = T::Default;

    fn of(default: T::Default) -> Self {
        Some(T::of(default))
    }

    fn read(text: &str, kind: AttrKind) -> Option<Self> {
        let may_be_empty = match kind {
            AttrKind::Audio
            | AttrKind::Sound(_)
            | AttrKind::Target
            | AttrKind::Text
            | AttrKind::Web => true,
            AttrKind::Bool
            | AttrKind::Choice(_)
            | AttrKind::Id
            | AttrKind::Key
            | AttrKind::Keys
            | AttrKind::KeysOrNone => false,
            AttrKind::Element => true,
            AttrKind::Milliseconds(..) | AttrKind::Number(..) | AttrKind::Patterns => false,
            AttrKind::Seconds(..) | AttrKind::SecondsOrAuto(..) => false,
        };
        let text = text.trim();
        match text.is_empty() && may_be_empty {
            true => Some(None),
            false => T::read(text, kind).map(Some),
        }
    }
}

impl<T: AttrValue + Default> AttrValue for Stated<T> {
    type Default = T::Default;

    fn of(default: T::Default) -> Self {
        Self { stated: None, default: T::of(default) }
    }

    fn read(text: &str, kind: AttrKind) -> Option<Self> {
        T::read(text, kind).map(|value| Self { stated: Some(value), default: T::default() })
    }

    fn with_default(self, default: impl FnOnce() -> Self) -> Self {
        Self { default: default().default, ..self }
    }
}

impl AttrValue for RequestMethod {
    type Default = &'static str;

    fn of(default: &'static str) -> Self {
        match default {
            "GET" => Self::Get,
            _ => Self::Post,
        }
    }

    fn read(text: &str, _: AttrKind) -> Option<Self> {
        match text {
            "GET" => Some(Self::Get),
            "POST" => Some(Self::Post),
            _ => None,
        }
    }
}

impl AttrValue for Rank {
    type Default = Self;

    fn of(default: Self) -> Self {
        default
    }

    fn read(text: &str, _: AttrKind) -> Option<Self> {
        Self::named(text)
    }
}

impl AttrValue for RecordingFormat {
    type Default = &'static str;

    fn of(default: &'static str) -> Self {
        match default {
            "wav" => Self::Wav,
            _ => Self::Mp3,
        }
    }

    fn read(text: &str, _: AttrKind) -> Option<Self> {
        match text {
            "mp3" => Some(Self::Mp3),
            "wav" => Some(Self::Wav),
            _ => None,
        }
    }
}

impl AttrValue for ConferenceSound {
    type Default = &'static str;

    fn of(default: &'static str) -> Self {
        Self::BuiltIn(default.into())
    }

    fn read(text: &str, kind: AttrKind) -> Option<Self> {
        match text {
            "beep:1" if kind == AttrKind::Sound(true) => Some(Self::Beep(1)),
            "beep:2" if kind == AttrKind::Sound(true) => Some(Self::Beep(2)),
            _ if url::is_built_in(text) => Some(Self::BuiltIn(text.into())),
            _ if url::is_target(text) => Some(Self::Document(text.into())),
            _ => None,
        }
    }
}

impl AttrValue for KeySet {
    type Default = &'static str;

    fn of(keys: &'static str) -> Self {
        Self::read(keys, AttrKind::Keys).unwrap_or(Self::ALL)
    }

    fn read(text: &str, _: AttrKind) -> Option<Self> {
        let mut keys = 0;
        for key in text.chars() {
            keys |= 1 << KEYS.find(key)?;
        }
        (keys != 0).then_some(Self(keys))
    }
}

impl AttrValue for FinishKey {
    type Default = char;

    fn of(key: char) -> Self {
        Self(Some(key))
    }

    fn read(text: &str, _: AttrKind) -> Option<Self> {
        let mut chars = text.chars();
        match (chars.next(), chars.next()) {
            (None, _) => Some(Self(None)),
            (Some(key), None) if KEYS.contains(key) => Some(Self(Some(key))),
            _ => (text == "none").then_some(Self(None)),
        }
    }
}

impl AttrValue for FinishKeys {
    type Default = &'static str;

    fn of(keys: &'static str) -> Self {
        Self(KeySet::of(keys))
    }

    fn read(text: &str, kind: AttrKind) -> Option<Self> {
        match text {
            "" | "none" => Some(Self(KeySet::NONE)),
            _ => KeySet::read(text, kind).map(Self),
        }
    }
}

impl AttrValue for Patterns {
    type Default = &'static str;

    fn of(_none: &'static str) -> Self {
        Self::default()
    }

    fn read(text: &str, _: AttrKind) -> Option<Self> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let read = |part: &str| part.chars().all(|key| KEYS.contains(key)).then(|| part.into());
        parts.map(read).collect::<Option<_>>().map(Self)
    }
}
