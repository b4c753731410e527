//! What a phone's owner does: key presses, talk, hold, hanging up.

use std::{fmt, str::FromStr};

use serde::Deserialize;

/// More than any menu or card number asks for.
pub const KEYS_MAX: usize = 64;

/// Something a phone does by itself, some time after it was answered.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(try_from = "Written")]
pub struct Act {
    /// How long after the act before it was done (its last key pressed, its talk over), or, for
    /// the first, after the answer.
    pub after_ms: u32,
    /// What.
    pub deed: Deed,
}

/// What a phone does.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Deed {
    /// `{"hang_up": true}`.
    HangUp,
    /// `{"hold": true}` holds the engine, `{"hold": false}` is back.
    Hold(bool),
    /// `{"press": "1#"}`.
    Press(Keys),
    /// `{"talk_ms": 500}`.
    Talk {
        /// For how long.
        ms: u32,
    },
}

/// Keys to press, one after the other: 1 to [`KEYS_MAX`] of `0-9*#ABCD`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(try_from = "String")]
pub struct Keys(Box<str>);

impl Keys {
    /// In the order in which they are pressed.
    pub fn iter(&self) -> impl Iterator<Item = char> {
        self.0.chars()
    }
}

impl FromStr for Keys {
    type Err = BadKeys;

    fn from_str(keys: &str) -> Result<Self, BadKeys> {
        if let Some(key) = keys.chars().find(|key| !is_key(*key)) {
            return Err(BadKeys::NotAKey(key));
        }
        match keys.len() {
            0 => Err(BadKeys::None),
            1..=KEYS_MAX => Ok(Self(keys.into())),
            count => Err(BadKeys::TooMany { count }),
        }
    }
}

impl TryFrom<String> for Keys {
    type Error = BadKeys;

    fn try_from(keys: String) -> Result<Self, BadKeys> {
        keys.parse()
    }
}

impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A number of milliseconds. To JSON, `5.0` is as whole as `5`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(try_from = "f64")]
pub struct Whole(pub u32);

impl TryFrom<f64> for Whole {
    type Error = String;

    fn try_from(number: f64) -> Result<Self, String> {
        let is_good = number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is in range"
        )]
        let whole = number as u32;
        match is_good {
            true => Ok(Self(whole)),
            false => Err(format!("{number} is no whole number from 0 to {}", u32::MAX)),
        }
    }
}

/// These keys cannot be pressed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BadKeys {
    /// There are none.
    #[error("no keys to press: give 1 to {KEYS_MAX} of 0-9, *, #, A-D")]
    None,
    /// No phone has such a key.
    #[error("{0:?} is not a key of a phone: keys are 0-9, *, #, A-D")]
    NotAKey(char),
    /// More than [`KEYS_MAX`].
    #[error("{count} keys at once are too many: press {KEYS_MAX} at most")]
    TooMany {
        /// So many.
        count: usize,
    },
}

/// An act as it is written down.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    after_ms: Whole,
    hang_up: Option<bool>,
    hold: Option<bool>,
    press: Option<Keys>,
    talk_ms: Option<Whole>,
}

impl TryFrom<Written> for Act {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, &'static str> {
        let Written { after_ms, hang_up, hold, press, talk_ms } = written;
        let deed = match (hang_up, hold, press, talk_ms) {
            (Some(true), None, None, None) => Deed::HangUp,
            (Some(false), ..) => return Err("\"hang_up\" can only be true"),
            (None, Some(on), None, None) => Deed::Hold(on),
            (None, None, Some(keys), None) => Deed::Press(keys),
            (None, None, None, Some(Whole(ms))) => Deed::Talk { ms },
            (None, None, None, None) | (Some(_), ..) | (_, Some(_), ..) | (_, _, Some(_), _) => {
                return Err("a script item has one of \"press\", \"talk_ms\", \"hold\" and \
                            \"hang_up\" beside \"after_ms\"");
            }
        };
        Ok(Self { after_ms: after_ms.0, deed })
    }
}

fn is_key(key: char) -> bool {
    matches!(key, '0'..='9' | '*' | '#' | 'A'..='D')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_item_is_read_as_it_is_written() {
        check(r#"{"after_ms":5,"press":"1#"}"#, 5, Deed::Press("1#".parse().unwrap()));
        check(r#"{"after_ms":0,"talk_ms":500}"#, 0, Deed::Talk { ms: 500 });
        check(r#"{"after_ms":5.0,"talk_ms":4294967295.0}"#, 5, Deed::Talk { ms: u32::MAX });
        check(r#"{"after_ms":1,"hold":true}"#, 1, Deed::Hold(true));
        check(r#"{"after_ms":1,"hold":false}"#, 1, Deed::Hold(false));
        check(r#"{"after_ms":9,"hang_up":true}"#, 9, Deed::HangUp);
        check(r#"{"hang_up":true}"#, 0, Deed::HangUp);
    }

    #[test]
    fn a_bad_script_item_is_refused_with_a_reason() {
        refuse(r#"{"after_ms":5}"#, "has one of");
        refuse(r#"{"press":"1","hold":true}"#, "has one of");
        refuse(r#"{"talk_ms":1,"hold":true}"#, "has one of");
        refuse(r#"{"hang_up":true,"talk_ms":5}"#, "has one of");
        refuse(r#"{"hang_up":false}"#, "can only be true");
        refuse(r#"{"press":""}"#, "no keys");
        refuse(r#"{"press":"1x"}"#, "'x' is not a key");
        refuse(r#"{"press":"a"}"#, "'a' is not a key");
        refuse(&format!(r#"{{"press":"{}"}}"#, "1".repeat(65)), "65 keys at once are too many");
        refuse(r#"{"pres":"1"}"#, "unknown field");
        refuse(r#"{"after_ms":-1,"hold":true}"#, "-1 is no whole number");
        refuse(r#"{"talk_ms":0.5}"#, "0.5 is no whole number");
        refuse(r#"{"talk_ms":4294967296}"#, "4294967296 is no whole number");
    }

    fn check(json: &str, after_ms: u32, deed: Deed) {
        let act: Act = serde_json::from_str(json).unwrap();
        assert_eq!(act, Act { after_ms, deed });
    }

    fn refuse(json: &str, expected: &str) {
        let why = serde_json::from_str::<Act>(json).unwrap_err().to_string();
        assert!(why.contains(expected), "{json}: {why}");
    }
}
