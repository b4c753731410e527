//! Dialling: the parameters of a new phone, and the errors of phone operations.

use std::sync::Arc;

use serde::Deserialize;

use super::script::{BadKeys, ScriptItem};
use crate::media::NoFlow;

/// Longest number, SIP URI or display name, in characters.
pub const NUMBER_CHARS_MAX: usize = 256;

/// Limit of script items; for more, use several calls of the API.
pub const SCRIPT_ACTS_MAX: usize = 256;

/// The parameters of a phone that dials in. Deserialized, it is the body of `POST …/SimPhone/`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Dial {
    /// The number that the phone calls.
    pub to: Arc<str>,
    /// The phone's own number. None: `1555` and seven digits.
    #[serde(default)]
    pub from: Option<Arc<str>>,
    /// The phone's display name. None: empty.
    #[serde(default)]
    pub caller_name: Option<Arc<str>>,
    /// Name of the user who has the phone, which the engine trusts.
    #[serde(default)]
    pub user: Option<Arc<str>>,
    /// Actions of the phone after it is answered.
    #[serde(default)]
    pub script: Vec<ScriptItem>,
}

impl Dial {
    /// Creates a call to a number, without a script.
    pub fn to(number: &str) -> Self {
        let (from, caller_name, user) = (None, None, None);
        Self { to: number.into(), from, caller_name, user, script: Vec::new() }
    }

    pub(super) fn check(&self) -> Result<(), BadDial> {
        let is_empty = self.to.is_empty() || self.from.as_deref() == Some("");
        let mut texts = [("to", Some(&self.to)), ("from", self.from.as_ref())]
            .into_iter()
            .chain([("caller_name", self.caller_name.as_ref()), ("user", self.user.as_ref())]);
        let bad = texts.find(|(_, text)| text.is_some_and(|text| !is_printable(text)));

        match bad {
            Some((field, _)) => Err(BadDial::Text { field }),
            None if is_empty => Err(BadDial::Empty),
            None if self.script.len() > SCRIPT_ACTS_MAX => {
                Err(BadDial::Script { count: self.script.len() })
            }
            None => Ok(()),
        }
    }
}

/// Parameters with which no phone can dial.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BadDial {
    /// `to` is empty, or `from` is given and empty.
    #[error("\"to\" and \"from\" cannot be empty; leave \"from\" out to have one made up")]
    Empty,
    /// The script has more than [`SCRIPT_ACTS_MAX`] items.
    #[error("a script of {count} items is too long: {SCRIPT_ACTS_MAX} at most")]
    Script {
        /// Number of items in the script.
        count: usize,
    },
    /// A text is too long, or contains control characters.
    #[error("{field:?} is longer than {NUMBER_CHARS_MAX} characters, or has control characters")]
    Text {
        /// Name of the parameter.
        field: &'static str,
    },
}

/// The reason why a phone could not dial in. The phone does not exist afterwards.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DialError {
    /// The parameters are invalid.
    #[error(transparent)]
    Bad(#[from] BadDial),
    /// The called number leads to no flow.
    #[error(transparent)]
    NoFlow(#[from] NoFlow),
    /// The limit of phones is reached.
    #[error("there are already {max} phones: hang some up")]
    TooManyPhones {
        /// The limit, ended phones included.
        max: usize,
    },
    /// No engine is connected, or it has been dropped.
    #[error("the engine takes no calls")]
    Unconnected,
}

/// The reason why a phone operation failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PhoneError {
    /// The keys are invalid.
    #[error(transparent)]
    BadKeys(#[from] BadKeys),
    /// The phone's call has ended.
    #[error("the call has ended")]
    Ended,
    /// Too many earlier keys still wait to be pressed.
    #[error("{max} keys are already waiting to be pressed: try again in some seconds")]
    TooManyKeys {
        /// Limit of waiting keys.
        max: usize,
    },
    /// The account has no such phone, or it has been forgotten.
    #[error("phone not found")]
    Unknown,
}

fn is_printable(text: &str) -> bool {
    text.chars().count() <= NUMBER_CHARS_MAX && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim_phones::PhoneAction;

    #[test]
    fn a_body_is_read_as_it_is_written() {
        let dial: Dial = serde_json::from_str(
            r#"{"to":"weekly","from":"123","script":[{"after_ms":5,"hang_up":true}]}"#,
        )
        .unwrap();
        let script = vec![ScriptItem { after_ms: 5, action: PhoneAction::HangUp }];
        assert_eq!(dial, Dial { from: Some("123".into()), script, ..Dial::to("weekly") });
        let bare: Dial = serde_json::from_str(r#"{"to":"weekly"}"#).unwrap();
        assert_eq!(bare, Dial::to("weekly"));
        assert!(serde_json::from_str::<Dial>(r#"{"to":"weekly","form":"1"}"#).is_err());
    }

    #[test]
    fn what_no_phone_can_dial_with_is_refused() {
        let act = ScriptItem { after_ms: 0, action: PhoneAction::HangUp };
        let script = |count| Dial { script: vec![act.clone(); count], ..Dial::to("1") };
        let from = |from: &str| Dial { from: Some(from.into()), ..Dial::to("1") };
        let named = |name: &str| Dial { caller_name: Some(name.into()), ..Dial::to("1") };

        check(&Dial::to("weekly"), Ok(()));
        check(&Dial::to(&"ü".repeat(256)), Ok(()));
        check(&Dial::to(&"ü".repeat(257)), Err(BadDial::Text { field: "to" }));
        check(&Dial::to(""), Err(BadDial::Empty));
        check(&from(""), Err(BadDial::Empty));
        check(&from("1\n"), Err(BadDial::Text { field: "from" }));
        check(&named(""), Ok(()));
        check(&named("\0"), Err(BadDial::Text { field: "caller_name" }));
        let held = |user: &str| Dial { user: Some(user.into()), ..Dial::to("1") };
        check(&held("anna"), Ok(()));
        check(&held("anna\n"), Err(BadDial::Text { field: "user" }));
        check(&script(256), Ok(()));
        check(&script(257), Err(BadDial::Script { count: 257 }));
    }

    fn check(dial: &Dial, expected: Result<(), BadDial>) {
        assert_eq!(dial.check(), expected);
    }
}
