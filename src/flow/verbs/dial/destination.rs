//! Destinations of `<Dial>`: `<Number>` and `<User>`.

use std::sync::Arc;

use crate::{
    flow::{
        AttrKind, FlowError, FlowErrorKind, FlowWarningKind,
        attrs::{ElementReader, verb},
        dial::{DialDestination, DialHeaders},
        error::clip,
        verbs::{Vendors, VerbInfo},
    },
    media::DialCredentials,
};

mod number {
    use super::{Arc, AttrKind, ElementReader, Vendors, verb};

    verb! {
        /// A phone number that `<Dial>` calls.
        pub struct NumberPart {
            pub(in crate::flow::verbs::dial) rows: super::PartRows,
        }
        "Number", Vendors::Both, text Words, holds &[], answers false;

        /// Keys to press when the call is answered: `w` is half a second, `W` a second.
        digits: Option<Arc<str>> = "sendDigits" [AttrKind::Text], like "wW1";
        /// Presses the keys as soon as the destination sends early media.
        sends_early: bool = "sendOnPreanswer" [AttrKind::Bool] or false, like "true";
        /// SIP headers to send, as `name=value`, separated by commas.
        headers: Option<Arc<str>> = "sipHeaders" [AttrKind::Text], like "Ticket=42";

        idle {
            /// Transport of the keys.
            "sendDigitsMode" [AttrKind::Text] or "rfc2833", like "rfc2833":
                "keys are telephone events";
        }
    }

    impl NumberPart {
        pub(in crate::flow::verbs::dial) fn read(reading: &mut ElementReader<'_, '_>) -> Self {
            let Rows { digits, sends_early, headers } = Rows::read(reading);
            Self { rows: super::PartRows { digits, sends_early, headers, credentials: None } }
        }
    }
}

mod user {
    use super::{Arc, AttrKind, ElementReader, Vendors, verb};

    verb! {
        /// A SIP user that `<Dial>` calls.
        pub struct UserPart {
            pub(in crate::flow::verbs::dial) rows: super::PartRows,
        }
        "User", Vendors::Both, text Words, holds &[], answers false;

        /// Keys to press when the call is answered: `w` is half a second, `W` a second.
        digits: Option<Arc<str>> = "sendDigits" [AttrKind::Text], like "wW1";
        /// Presses the keys as soon as the destination sends early media.
        sends_early: bool = "sendOnPreanswer" [AttrKind::Bool] or false, like "true";
        /// SIP headers to send, as `name=value`, separated by commas.
        headers: Option<Arc<str>> = "sipHeaders" [AttrKind::Text], like "Ticket=42";
        /// User name for a host of `sip.dial_allow` that asks for one. Trunks and endpoints have
        /// their own passwords, and are sent neither.
        username: Option<Arc<str>> = "sipAuthUsername" [AttrKind::Text], like "alice";
        /// The password that goes with it: 8 to 128 characters.
        password: Option<Arc<str>> = "sipAuthPassword" [AttrKind::Text], like "correct horse";
    }

    impl UserPart {
        pub(in crate::flow::verbs::dial) fn read(reading: &mut ElementReader<'_, '_>) -> Self {
            let Rows { digits, sends_early, headers, username, password } = Rows::read(reading);
            let credentials = super::credentials(reading, username, password);
            Self { rows: super::PartRows { digits, sends_early, headers, credentials } }
        }
    }
}

pub use self::{number::NumberPart, user::UserPart};

/// The elements inside `<Dial>`.
pub(in crate::flow::verbs) const PARTS: &[VerbInfo] = &[NumberPart::INFO, UserPart::INFO];

/// The attributes of a destination.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PartRows {
    digits: Option<Arc<str>>,
    sends_early: bool,
    headers: Option<Arc<str>>,
    credentials: Option<Arc<DialCredentials>>,
}

/// Reads one destination of the `<Dial>`, whose headers are shared.
pub(super) fn destination(
    part: &mut ElementReader<'_, '_>,
    rows: PartRows,
    shared: &DialHeaders,
) -> Result<DialDestination, FlowError> {
    let text = part.element.normalized_text();
    if text.is_empty() {
        let error = FlowErrorKind::Nobody { tag: part.info.tag };
        return Err(FlowError { at: part.element.at, error });
    }
    let to = if part.info.tag == "User" { user(&text) } else { number(&text) };
    let is_key = |it: char| matches!(it, '0'..='9' | '*' | '#' | 'w' | 'W');
    let digits = rows.digits.filter(|it| {
        let fits = it.chars().all(is_key);
        if !fits {
            let (name, value) = ("sendDigits", clip(it));
            let (wanted, default) = (AttrKind::Keys, None);
            part.warn_attribute(
                name,
                FlowWarningKind::AttributeValue { name, value, wanted, default },
            );
        }
        fits
    });
    // Those of the destination win.
    let mut all = headers(part, rows.headers);
    for (name, value) in shared {
        if !all.iter().any(|(it, _)| it.eq_ignore_ascii_case(name)) {
            all.push((name.clone(), value.clone()));
        }
    }
    let PartRows { sends_early, credentials, .. } = rows;
    Ok(DialDestination { to, digits, sends_early, headers: all, credentials })
}

/// The credentials of a `<User>`. No warning shows a password.
fn credentials(
    reading: &mut ElementReader<'_, '_>,
    username: Option<Arc<str>>,
    password: Option<Arc<str>>,
) -> Option<Arc<DialCredentials>> {
    let both = username.as_ref().zip(password.as_ref());
    if let Some(it) = both.and_then(|(name, password)| DialCredentials::new(name, password)) {
        return Some(Arc::new(it));
    }
    let (name, note) = match (username, password) {
        (None, None) => return None,
        (Some(_), None) => ("sipAuthUsername", "sipAuthPassword is missing"),
        (None, Some(_)) => ("sipAuthPassword", "sipAuthUsername is missing"),
        (Some(_), Some(_)) => ("sipAuthPassword", "a password has 8 to 128 characters"),
    };
    reading.warn_attribute(name, FlowWarningKind::AttributeIdle { name, note });
    None
}

/// A number without what people write between its digits, or another address as it is.
pub(super) fn number(text: &str) -> Arc<str> {
    let is_number = |it: char| it.is_ascii_digit() || " -.()+".contains(it);
    match text.chars().all(is_number) {
        true => text.chars().filter(char::is_ascii_digit).collect::<String>().into(),
        false => text.into(),
    }
}

/// The address of a user: the bare name of an endpoint is one of this server's.
fn user(text: &str) -> Arc<str> {
    match (text.contains(':'), text.contains('@')) {
        (true, _) => text.into(),
        (false, true) => format!("sip:{text}").into(),
        (false, false) => format!("sip:{text}@localhost").into(),
    }
}

/// Reads `name=value,name=value`. Plivo drops names of its own silently; here they get a warning.
pub(super) fn headers(reading: &mut ElementReader<'_, '_>, text: Option<Arc<str>>) -> DialHeaders {
    let mut found = DialHeaders::new();
    let Some(text) = text else { return found };
    for part in text.split(',').filter(|it| !it.trim().is_empty()) {
        match part.split_once('=').map(|(name, value)| (name.trim(), value.trim())) {
            Some((name, value)) if is_header(name, value) => {
                found.push((name.into(), value.into()));
            }
            Some(_) | None => {
                let (name, value) = ("sipHeaders", clip(part.trim()));
                let (wanted, default) = (AttrKind::Text, None);
                reading.warn_attribute(
                    name,
                    FlowWarningKind::AttributeValue { name, value, wanted, default },
                );
            }
        }
    }
    found
}

/// The vendors' limits: names of up to 24 letters and digits, values of up to 120 characters.
fn is_header(name: &str, value: &str) -> bool {
    let taken = ["ph-", "plivo", "fs-", "sipauth", "zt-", "twilio"];
    let lower = name.to_ascii_lowercase();
    (1..=24).contains(&name.len())
        && name.bytes().all(|it| it.is_ascii_alphanumeric())
        && value.len() <= 120
        && value.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'%')
        && !taken.iter().any(|it| lower.starts_with(it))
        && lower != "clientregion"
}
