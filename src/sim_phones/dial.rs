//! What a phone dials with, and why something cannot be done with a phone.

use std::sync::Arc;

use serde::Deserialize;

use super::script::{Act, BadKeys};
use crate::media::NoFlow;

/// No number, SIP URI or display name that is meant is longer.
pub const NUMBER_CHARS_MAX: usize = 256;

/// A longer script is better written as several calls of the API.
pub const SCRIPT_ACTS_MAX: usize = 256;

/// A phone that dials in. Deserialized, it is the body of `POST …/Phone/`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Dial {
    /// Who is called.
    pub to: Arc<str>,
    /// The phone's own number; else one is made up: `1555` and seven digits.
    #[serde(default)]
    pub from: Option<Arc<str>>,
    /// The phone's display name; else it has none.
    #[serde(default)]
    pub caller_name: Option<Arc<str>>,
    /// Who holds it, for the engine to trust in: a user's name.
    #[serde(default)]
    pub user: Option<Arc<str>>,
    /// What it does by itself once it is answered.
    #[serde(default)]
    pub script: Vec<Act>,
}

impl Dial {
    /// Calls somebody, and does nothing by itself.
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

/// No phone can dial with this.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BadDial {
    /// `to`, or a `from` that is given, is empty.
    #[error("\"to\" and \"from\" cannot be empty; leave \"from\" out to have one made up")]
    Empty,
    /// More than [`SCRIPT_ACTS_MAX`] acts.
    #[error("a script of {count} items is too long: {SCRIPT_ACTS_MAX} at most")]
    Script {
        /// So many.
        count: usize,
    },
    /// Too long, or not printable.
    #[error("{field:?} is longer than {NUMBER_CHARS_MAX} characters, or has control characters")]
    Text {
        /// Which one.
        field: &'static str,
    },
}

/// A phone could not dial in. There is no such phone.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DialError {
    /// What it would dial with cannot be.
    #[error(transparent)]
    Bad(#[from] BadDial),
    /// The called number leads nowhere.
    #[error(transparent)]
    NoFlow(#[from] NoFlow),
    /// There are as many phones as can be.
    #[error("there are {max} phones already: hang some up")]
    TooManyPhones {
        /// So many.
        max: usize,
    },
    /// The engine is not there (yet, or any more).
    #[error("the engine takes no calls")]
    Unconnected,
}

/// Something cannot be done with a phone.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PhoneError {
    /// No phone has such keys.
    #[error(transparent)]
    BadKeys(#[from] BadKeys),
    /// Its call is over.
    #[error("the call has ended")]
    Ended,
    /// Keys pressed earlier wait for their turn.
    #[error("{max} keys wait to be pressed already: try again in some seconds")]
    TooManyKeys {
        /// So many.
        max: usize,
    },
    /// The account has no such phone, or has it no more.
    #[error("phone not found")]
    Unknown,
}

fn is_printable(text: &str) -> bool {
    text.chars().count() <= NUMBER_CHARS_MAX && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim_phones::Deed;

    #[test]
    fn a_body_is_read_as_it_is_written() {
        let dial: Dial = serde_json::from_str(
            r#"{"to":"weekly","from":"123","script":[{"after_ms":5,"hang_up":true}]}"#,
        )
        .unwrap();
        let script = vec![Act { after_ms: 5, deed: Deed::HangUp }];
        assert_eq!(dial, Dial { from: Some("123".into()), script, ..Dial::to("weekly") });
        let bare: Dial = serde_json::from_str(r#"{"to":"weekly"}"#).unwrap();
        assert_eq!(bare, Dial::to("weekly"));
        assert!(serde_json::from_str::<Dial>(r#"{"to":"weekly","form":"1"}"#).is_err());
    }

    #[test]
    fn what_no_phone_can_dial_with_is_refused() {
        let act = Act { after_ms: 0, deed: Deed::HangUp };
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
