//! Phone scripts: key presses, talk, hold and hang-up.

use std::{fmt, str::FromStr};

use serde::Deserialize;

/// Limit of keys in one action, more than any menu or card number needs.
pub const KEYS_MAX: usize = 64;

/// An action that a phone performs by itself after it was answered.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(try_from = "ScriptItemBody")]
pub struct ScriptItem {
    /// Delay in milliseconds after the action before it has finished (last key pressed, talk over);
    /// for the first action, after the answer.
    pub after_ms: u32,
    /// The action to perform after the delay.
    pub action: PhoneAction,
}

/// An action of a phone's user.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PhoneAction {
    /// Hangs up: `{"hang_up": true}`.
    HangUp,
    /// Holds the engine, `{"hold": true}`, or resumes, `{"hold": false}`.
    Hold(bool),
    /// Presses keys: `{"press": "1#"}`.
    Press(PressedKeys),
    /// Talks for some time: `{"talk_ms": 500}`.
    Talk {
        /// Duration of the talk, in milliseconds.
        ms: u32,
    },
}

/// Keys to press in order: 1 to [`KEYS_MAX`] of `0-9*#ABCD`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(try_from = "String")]
pub struct PressedKeys(Box<str>);

impl PressedKeys {
    /// Returns the keys in the order in which they are pressed.
    pub fn iter(&self) -> impl Iterator<Item = char> {
        self.0.chars()
    }
}

impl FromStr for PressedKeys {
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

impl TryFrom<String> for PressedKeys {
    type Error = BadKeys;

    fn try_from(keys: String) -> Result<Self, BadKeys> {
        keys.parse()
    }
}

impl fmt::Display for PressedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A number of milliseconds. JSON may write it as `5.0`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(try_from = "f64")]
pub struct WholeNumber(pub u32);

impl TryFrom<f64> for WholeNumber {
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

/// The reason why keys are invalid.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BadKeys {
    /// The text contains no keys.
    #[error("no keys to press: give 1 to {KEYS_MAX} of 0-9, *, #, A-D")]
    None,
    /// The character is not a key of a phone.
    #[error("{0:?} is not a key of a phone: keys are 0-9, *, #, A-D")]
    NotAKey(char),
    /// The text has more than [`KEYS_MAX`] keys.
    #[error("{count} keys at once are too many: press {KEYS_MAX} at most")]
    TooMany {
        /// Number of keys in the text.
        count: usize,
    },
}

/// A script item in JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScriptItemBody {
    #[serde(default)]
    after_ms: WholeNumber,
    hang_up: Option<bool>,
    hold: Option<bool>,
    press: Option<PressedKeys>,
    talk_ms: Option<WholeNumber>,
}

impl TryFrom<ScriptItemBody> for ScriptItem {
    type Error = &'static str;

    fn try_from(written: ScriptItemBody) -> Result<Self, &'static str> {
        let ScriptItemBody { after_ms, hang_up, hold, press, talk_ms } = written;
        let action = match (hang_up, hold, press, talk_ms) {
            (Some(true), None, None, None) => PhoneAction::HangUp,
            (Some(false), ..) => return Err("\"hang_up\" can only be true"),
            (None, Some(on), None, None) => PhoneAction::Hold(on),
            (None, None, Some(keys), None) => PhoneAction::Press(keys),
            (None, None, None, Some(WholeNumber(ms))) => PhoneAction::Talk { ms },
            (None, None, None, None) | (Some(_), ..) | (_, Some(_), ..) | (_, _, Some(_), _) => {
                return Err("a script item has one of \"press\", \"talk_ms\", \"hold\" and \
                            \"hang_up\" beside \"after_ms\"");
            }
        };
        Ok(Self { after_ms: after_ms.0, action })
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
        check(r#"{"after_ms":5,"press":"1#"}"#, 5, PhoneAction::Press("1#".parse().unwrap()));
        check(r#"{"after_ms":0,"talk_ms":500}"#, 0, PhoneAction::Talk { ms: 500 });
        check(r#"{"after_ms":5.0,"talk_ms":4294967295.0}"#, 5, PhoneAction::Talk { ms: u32::MAX });
        check(r#"{"after_ms":1,"hold":true}"#, 1, PhoneAction::Hold(true));
        check(r#"{"after_ms":1,"hold":false}"#, 1, PhoneAction::Hold(false));
        check(r#"{"after_ms":9,"hang_up":true}"#, 9, PhoneAction::HangUp);
        check(r#"{"hang_up":true}"#, 0, PhoneAction::HangUp);
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

    fn check(json: &str, after_ms: u32, action: PhoneAction) {
        let act: ScriptItem = serde_json::from_str(json).unwrap();
        assert_eq!(act, ScriptItem { after_ms, action });
    }

    fn refuse(json: &str, expected: &str) {
        let why = serde_json::from_str::<ScriptItem>(json).unwrap_err().to_string();
        assert!(why.contains(expected), "{json}: {why}");
    }
}
