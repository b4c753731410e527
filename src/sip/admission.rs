//! Who may call, and whom we take a caller to be.

use std::{net::IpAddr, sync::Arc, time::Instant};

use super::{
    agent::{Agent, Extra},
    digest::{Credentials, Verdict},
    name::Name,
    request::{Hop, Request},
    uri::{SipUri, Uri},
    value::NameAddr,
};
use crate::{
    base::ids::{AccountId, CallId, Trusted},
    media::Arrival,
};

/// As whom a caller is let in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Caller {
    /// A user of ours, by digest.
    Endpoint(Arc<str>),
    /// Through a gateway that is known by its address.
    Trunk,
    /// Anybody.
    Stranger,
}

/// No flow uses more; each is kept for as long as the call.
const CUSTOM_HEADERS_MAX: usize = 32;

/// What a callback field carries at most.
const CUSTOM_BYTES_MAX: usize = 1_024;

impl Agent {
    /// Lets a caller in.
    ///
    /// # Errors
    ///
    /// It must show credentials first: the headers of a 401.
    pub(super) fn admit(
        &mut self,
        now: Instant,
        hop: &Hop,
        request: &Request,
    ) -> Result<Caller, Extra> {
        if self.settings.trunk_at(hop.remote.ip()).is_some() {
            return Ok(Caller::Trunk);
        }
        let user = request.from.uri.sip().and_then(SipUri::user_plain);
        // Nobody speaks in the name of an endpoint without its password.
        let is_named = user.is_some_and(|user| self.settings.endpoint(&user).is_some());
        if self.settings.is_open() && !is_named && self.credentials(request).is_none() {
            return Ok(Caller::Stranger);
        }
        self.authenticate(now, hop, request).map(Caller::Endpoint)
    }

    /// The user who has shown its password.
    ///
    /// # Errors
    ///
    /// Nobody has: the headers of a 401.
    pub(super) fn authenticate(
        &mut self,
        now: Instant,
        hop: &Hop,
        request: &Request,
    ) -> Result<Arc<str>, Extra> {
        let source = hop.remote.ip();
        let mut is_stale = false;
        if let Some(credentials) = self.credentials(request) {
            let endpoint = self.settings.endpoint(&credentials.username).cloned();
            let password = endpoint.as_ref().map(|it| it.password.reveal());
            let method = request.method.as_str();
            match (self.nonces.judge(now, source, method, &credentials, password), endpoint) {
                (Verdict::Good, Some(endpoint)) => return Ok(endpoint.user),
                (Verdict::Stale, _) => is_stale = true,
                (Verdict::Good | Verdict::Bad, _) => {}
            }
        }
        Err(self.challenges(now, source, is_stale))
    }

    fn challenges(&mut self, now: Instant, source: IpAddr, is_stale: bool) -> Extra {
        let settings = self.settings.clone();
        let challenge = |algorithm| {
            let value = self.nonces.challenge(now, source, algorithm, is_stale);
            (Name::WwwAuthenticate, value)
        };
        settings.algorithms.iter().copied().map(challenge).collect()
    }

    /// The credentials for our realm; others are for somebody else on the way.
    fn credentials(&self, request: &Request) -> Option<Credentials> {
        let mut all = request.message.all(&Name::Authorization).filter_map(Credentials::parse);
        all.find(|it| it.realm() == self.settings.realm)
    }

    /// How the engine is told of a call.
    pub(super) fn arrival(
        &self,
        call: CallId,
        hop: &Hop,
        request: &Request,
        caller: &Caller,
    ) -> Arrival {
        let asserted = match caller {
            Caller::Trunk => asserted(request),
            Caller::Endpoint(_) | Caller::Stranger => None,
        };
        let from = asserted.as_ref().unwrap_or(&request.from);
        let trusted = match caller {
            Caller::Endpoint(user) => Some(Trusted::SipUser(user.clone())),
            Caller::Trunk => asserted.as_ref().and_then(number),
            Caller::Stranger => None,
        };
        Arrival {
            call,
            account: self.account(hop, caller),
            from: party(&from.uri).into(),
            to: called(&request.uri).into(),
            caller_name: from.display.as_str().into(),
            headers: custom_headers(request),
            trusted,
        }
    }

    /// Whose flows a caller reaches by name; a trunk reaches those of number rows only.
    fn account(&self, hop: &Hop, caller: &Caller) -> Option<AccountId> {
        let is_loopback = hop.remote.ip().to_canonical().is_loopback();
        let by_place = || self.settings.loopback_account.clone().filter(|_| is_loopback);
        match caller {
            Caller::Endpoint(user) => {
                let endpoint = self.settings.endpoint(user);
                endpoint.and_then(|it| it.account.clone()).or_else(by_place)
            }
            Caller::Trunk => None,
            Caller::Stranger => by_place(),
        }
    }
}

/// What a trusted peer asserts about the caller (RFC 3325).
fn asserted(request: &Request) -> Option<NameAddr> {
    let mut all = request.message.all(&Name::PAssertedIdentity);
    all.find_map(|text| NameAddr::parse_list(text).ok()?.into_iter().next())
}

/// Whom that vouches for; nobody, if the number is withheld (RFC 3323).
fn number(asserted: &NameAddr) -> Option<Trusted> {
    let user = asserted.uri.sip().and_then(SipUri::user_plain).unwrap_or_default();
    let is_withheld = WITHHELD.iter().any(|it| user.eq_ignore_ascii_case(it));
    (!is_withheld).then(|| Trusted::Number(party(&asserted.uri).into()))
}

/// What peers write for a number that they do not tell.
const WITHHELD: [&str; 4] = ["anonymous", "restricted", "unavailable", "unknown"];

/// A number without its `+`, or the URI without its parameters.
fn party(uri: &Uri) -> String {
    match uri {
        Uri::Sip(uri) => match uri.user_plain() {
            Some(user) if is_number(&user) => user.trim_start_matches('+').to_owned(),
            Some(_) | None => {
                let user = uri.user.as_deref().map_or(String::new(), |user| format!("{user}@"));
                format!("sip:{user}{}", uri.host)
            }
        },
        Uri::Other { scheme, rest } => {
            let number =
                rest.split(';').next().unwrap_or_default().replace(['-', '.', '(', ')'], "");
            match scheme == "tel" && is_number(&number) {
                true => number.trim_start_matches('+').to_owned(),
                false => uri.to_string(),
            }
        }
    }
}

/// The called user: a number, or a name.
fn called(uri: &Uri) -> String {
    let user = uri.sip().and_then(SipUri::user_plain).unwrap_or_default();
    match is_number(&user) {
        true => user.trim_start_matches('+').to_owned(),
        false => user,
    }
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

/// `X-PH-…` and `X-VH-…`, which become callback fields.
fn custom_headers(request: &Request) -> Vec<(Arc<str>, Arc<str>)> {
    let rows = request.message.headers.iter().filter_map(|(name, value)| {
        let name = name.as_str();
        let prefix = name.get(..5)?;
        let is_ours = ["X-PH-", "X-VH-"].iter().any(|it| prefix.eq_ignore_ascii_case(it));
        (is_ours && value.len() <= CUSTOM_BYTES_MAX).then(|| (name.into(), value.as_str().into()))
    });
    rows.take(CUSTOM_HEADERS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_is_a_number_or_a_uri() {
        for (uri, expected) in [
            ("sip:+14155550100@example.com;user=phone", "14155550100"),
            ("sip:14155550100@example.com:5061", "14155550100"),
            ("sip:anna@example.com:5061;transport=tcp", "sip:anna@example.com"),
            ("tel:+1-415-555-0100;phone-context=x", "14155550100"),
            ("sip:example.com", "sip:example.com"),
            ("mailto:anna@example.com", "mailto:anna@example.com"),
        ] {
            assert_eq!(party(&Uri::parse(uri).unwrap()), expected, "{uri}");
        }
    }

    #[test]
    fn the_called_is_the_user_part() {
        for (uri, expected) in [
            ("sip:weekly@127.0.0.1", "weekly"),
            ("sip:+14155550100@x", "14155550100"),
            ("sip:sip%3Auser%40x@x", "sip:user@x"),
            ("sip:127.0.0.1", ""),
        ] {
            assert_eq!(called(&Uri::parse(uri).unwrap()), expected, "{uri}");
        }
    }
}
