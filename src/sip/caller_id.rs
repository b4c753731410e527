//! Caller id: what an INVITE through a trunk says of the caller and the callee (contract of calling
//! out, section 11).

use super::{
    header_value::NameAddr,
    name::HeaderName,
    route::TrunkCallee,
    trunk::{CallerIdHeader, OutboundTrunk, TrunkPrivacy},
    trunk_plan::CurrentTrunk,
};
use crate::{
    base::user_part::bare_number,
    media::{DialOrigin, Dialling},
    rtp::g711::Law,
};

/// The parts of an INVITE that a trunk decides.
#[derive(Clone, Debug, PartialEq)]
pub struct InviteLook {
    /// The number that is shown instead of the caller's. None: the caller's is.
    pub replaced: Option<Box<str>>,
    /// The value of From, without a tag.
    pub from: String,
    /// The value of To.
    pub to: String,
    /// Headers that follow them: the caller's identity and privacy.
    pub extra: Vec<(HeaderName, String)>,
    /// The session interval to ask for, and the shortest acceptable, in seconds.
    pub session: (u32, u32),
    /// The codecs to offer, the preferred one first.
    pub codecs: Vec<Law>,
}

/// The From of those who do not want to be known (RFC 3323).
pub(super) const ANONYMOUS_FROM: &str = "\"Anonymous\" <sip:anonymous@anonymous.invalid>";

/// Whether a trunk may not show this number, and may not show another one instead.
pub(super) fn refuses(trunk: &OutboundTrunk, dialling: &Dialling) -> bool {
    let is_inherited = match dialling.origin {
        DialOrigin::Request => false,
        DialOrigin::Dial { is_inherited, .. } => is_inherited,
    };
    !owns(trunk, dialling) && !is_inherited
}

/// Whether a trunk may show the number of a call; it always may hide it.
fn owns(trunk: &OutboundTrunk, Dialling { from, .. }: &Dialling) -> bool {
    let number = bare_number(from);
    let number = number.as_deref().unwrap_or(from);
    let is_own = || trunk.caller_ids.iter().any(|it| **it == *number);
    trunk.caller_ids.is_empty() || &**from == ANONYMOUS || is_own()
}

impl InviteLook {
    /// The look of a call through this trunk; `domain` is the host of its From and To.
    pub fn new(dialling: &Dialling, current: &CurrentTrunk, domain: &str) -> Self {
        let trunk = &current.route.trunk;
        let is_anonymous = is_hidden(dialling);
        // The trunk still has to know who pays; and it shows no number that it does not know.
        let bare = bare_number(&dialling.from);
        let own = bare.as_deref().unwrap_or(&dialling.from);
        let is_owned = owns(trunk, dialling);
        let is_replaced = !is_owned && !is_anonymous;
        let first = trunk.caller_ids.first().map(|it| &**it);
        let number = match (is_anonymous, is_owned) {
            // What is withheld may be no number at all.
            (true, true) => bare.as_deref().or(first),
            (true | false, false) => first,
            (false, true) => Some(own),
        };
        let sent = |number: &str| match number.bytes().all(|it| it.is_ascii_digit()) {
            true if trunk.plus => format!("+{number}"),
            true | false => number.to_owned(),
        };
        let name = if is_anonymous { "" } else { &*dialling.caller_name };
        let identity = number.map(|it| caller(&sent(it), name, domain));
        let from = match &identity {
            Some(identity) if !is_anonymous => identity.clone(),
            Some(_) | None => ANONYMOUS_FROM.to_owned(),
        };
        let mut extra = Vec::new();
        let is_known_to_trunk = !is_anonymous || trunk.privacy == TrunkPrivacy::Id;
        if let Some(identity) = identity.filter(|_| is_known_to_trunk) {
            let other = |name: &str| HeaderName::Other(name.into());
            match trunk.caller_id {
                CallerIdHeader::From => {}
                CallerIdHeader::Pai => extra.push((HeaderName::PAssertedIdentity, identity)),
                CallerIdHeader::Ppi => extra.push((other("P-Preferred-Identity"), identity)),
                CallerIdHeader::Rpid => {
                    let privacy = if is_anonymous { "full" } else { "off" };
                    let value = format!("{identity};party=calling;screen=yes;privacy={privacy}");
                    extra.push((other("Remote-Party-ID"), value));
                }
            }
        }
        if is_anonymous && trunk.privacy == TrunkPrivacy::Id {
            extra.push((HeaderName::Privacy, "id".to_owned()));
        }
        if trunk.diversion {
            let value = diversion(dialling, |from| caller(&sent(from), "", domain));
            extra.extend(value.map(|value| (HeaderName::Diversion, value)));
        }
        Self {
            replaced: number.filter(|_| is_replaced).map(Into::into),
            from,
            to: match &current.route.callee {
                TrunkCallee::Number(number) => format!("<sip:{number}@{domain}>"),
                TrunkCallee::Uri(uri) => format!("<{uri}>"),
            },
            extra,
            session: (trunk.session_expires, trunk.min_se),
            codecs: trunk.codecs.clone(),
        }
    }
}

/// Whether the callee is not to know who calls.
pub(super) fn is_hidden(dialling: &Dialling) -> bool {
    &*dialling.from == ANONYMOUS || dialling.is_private
}

/// The Diversion of a forwarded call. What came with the call is passed on, with one forwarding more;
/// after too many of them, nothing is said. `address` writes a number or a URI.
fn diversion(dialling: &Dialling, address: impl Fn(&str) -> String) -> Option<String> {
    let DialOrigin::Dial { forwarded: Some(called), .. } = &dialling.origin else { return None };
    let Some(before) = &dialling.diversion else {
        return Some(format!("{};reason=unconditional;counter=1", address(called)));
    };
    let counter = before.counter.saturating_add(1);
    let privacy = if before.is_private { ";privacy=full" } else { "" };
    (counter <= DIVERSIONS_MAX).then(|| {
        format!("{};reason={};counter={counter}{privacy}", address(&before.from), before.reason)
    })
}

/// Limit of forwardings that a Diversion counts; a call that has been forwarded more often has none.
const DIVERSIONS_MAX: u8 = 5;

/// The caller id of those who do not want to be known (RFC 3323).
pub(super) const ANONYMOUS: &str = "anonymous";

/// The value of From for a number or a SIP URI.
pub(super) fn caller(from: &str, name: &str, us: &str) -> String {
    let given = format!("<{from}>");
    let uri = match NameAddr::parse(&given) {
        Ok(it) if it.uri.sip().is_some_and(|it| it.headers.is_none()) => it.uri.to_string(),
        Ok(_) | Err(_) => format!("sip:{}@{us}", escape(from)),
    };
    let name: String = name.chars().filter(|it| !it.is_control()).collect();
    match name.is_empty() {
        true => format!("<{uri}>"),
        false => format!("\"{}\" <{uri}>", name.replace('\\', "\\\\").replace('"', "\\\"")),
    }
}

/// Escapes what a user part must not hold (RFC 3261, 25.1).
pub(super) fn escape(user: &str) -> String {
    let is_plain = |it: &u8| it.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/".contains(it);
    let escaped = |byte: u8| match is_plain(&byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    user.bytes().map(escaped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caller_is_a_number_a_name_or_an_address() {
        for (from, name, expected) in [
            ("4930", "", "<sip:4930@10.0.0.1>"),
            ("4930", "Support", "\"Support\" <sip:4930@10.0.0.1>"),
            ("4930", "a \"b\"\r\nX: y", "\"a \\\"b\\\"X: y\" <sip:4930@10.0.0.1>"),
            ("Front desk", "", "<sip:Front%20desk@10.0.0.1>"),
            ("sip:anna@example.org", "", "<sip:anna@example.org>"),
            (
                "sip:anna@example.org>\r\nX: y",
                "",
                "<sip:sip%3Aanna%40example.org%3E%0D%0AX%3A%20y@10.0.0.1>",
            ),
        ] {
            assert_eq!(caller(from, name, "10.0.0.1"), expected);
        }
    }
}
