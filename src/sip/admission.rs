//! Admission: which callers are let in, and the identity that each one gets.

use std::{net::IpAddr, sync::Arc, time::Instant};

use super::{
    agent::{Agent, ExtraHeaders, warning},
    digest::{DigestCredentials, DigestResult},
    header_value::{NameAddr, parse_number},
    name::{HeaderName, is_token},
    request::{Hop, SipRequest, Transport},
    text::readable,
    trunk::SipTrunk,
    uri::{SipUri, Uri},
};
use crate::{
    base::{
        ids::{AccountId, CallId, Trusted},
        user_part::UserPart,
    },
    media::{Arrival, Diversion},
    rtp::sdp::crypto::SrtpPolicy,
};

/// The identity with which a caller is let in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum SipCaller {
    /// A configured endpoint, proven by digest.
    Endpoint(Arc<str>),
    /// A gateway, known by its address, or by the Contact that we have registered at it; with what it
    /// wants of its sound.
    Trunk(SrtpPolicy),
    /// A caller without proof of identity.
    Anonymous,
}

/// Limit of custom headers. No flow uses more, and each is kept for the length of the call.
const CUSTOM_HEADERS_MAX: usize = 32;

/// Limit of a custom header's value: the most that a callback field carries.
const CUSTOM_BYTES_MAX: usize = 1_024;

impl Agent {
    /// Decides whether a caller is let in.
    ///
    /// # Errors
    ///
    /// They must authenticate first; the value is the headers of a 401.
    pub(super) fn admit(
        &mut self,
        now: Instant,
        hop: &Hop,
        request: &SipRequest,
    ) -> Result<SipCaller, ExtraHeaders> {
        let trunk = self.settings.trunk_at(hop.remote.ip());
        if let Some(trunk) = trunk.or_else(|| self.trunk_registered_as(&request.uri)) {
            return Ok(SipCaller::Trunk(trunk.srtp));
        }
        let user = request.from.uri.sip().and_then(SipUri::user_unescaped);
        // Nobody may use an endpoint's name without its password.
        let is_named = user.is_some_and(|user| self.settings.endpoint(&user).is_some());
        if self.settings.is_open() && !is_named && self.credentials(request).is_none() {
            return Ok(SipCaller::Anonymous);
        }
        self.authenticate(now, hop, request).map(SipCaller::Endpoint)
    }

    /// Decides whether a caller's sound is encrypted.
    ///
    /// # Errors
    ///
    /// It must be, and they call without TLS; the value is the headers of a 488.
    pub(super) fn srtp_policy(
        &self,
        hop: &Hop,
        caller: &SipCaller,
    ) -> Result<SrtpPolicy, ExtraHeaders> {
        let of_caller = match caller {
            SipCaller::Endpoint(user) => self.settings.endpoint(user).map(|it| it.srtp),
            SipCaller::Trunk(srtp) => Some(*srtp),
            SipCaller::Anonymous => None,
        };
        let policy = of_caller.unwrap_or_default();
        match policy {
            _ if hop.transport == Transport::Tls => Ok(policy),
            // A key that we offer in the clear protects nothing.
            SrtpPolicy::Offer => Ok(SrtpPolicy::Allow),
            SrtpPolicy::Require => {
                Err(vec![warning(hop, "calls must be encrypted: call over TLS, with SRTP")])
            }
            SrtpPolicy::Off | SrtpPolicy::Allow => Ok(policy),
        }
    }

    /// Returns the user that a REGISTER is for, if it may come. Where anybody may call, anybody may
    /// register with a name that is not an endpoint's: there is no password to ask for.
    ///
    /// # Errors
    ///
    /// They must authenticate first; the value is the headers of a 401.
    pub(super) fn admit_registration(
        &mut self,
        now: Instant,
        hop: &Hop,
        request: &SipRequest,
        user: &str,
    ) -> Result<Arc<str>, ExtraHeaders> {
        let is_free = !user.is_empty() && self.settings.endpoint(user).is_none();
        match self.settings.is_open() && is_free {
            true => Ok(user.into()),
            false => self.authenticate(now, hop, request),
        }
    }

    /// Returns the user whose password the request proves.
    ///
    /// # Errors
    ///
    /// The request proves none; the value is the headers of a 401.
    pub(super) fn authenticate(
        &mut self,
        now: Instant,
        hop: &Hop,
        request: &SipRequest,
    ) -> Result<Arc<str>, ExtraHeaders> {
        let source = hop.remote.ip();
        let mut is_stale = false;
        if let Some(credentials) = self.credentials(request) {
            let endpoint = self.settings.endpoint(&credentials.username).cloned();
            // A client that guesses too often is answered like somebody who has not tried.
            let endpoint = endpoint.filter(|it| self.guesses.may_try(now, source, &it.user));
            let password = endpoint.as_ref().map(|it| it.password.reveal());
            let method = request.method.as_str();
            let verdict = match self.nonces.is_ours(now, source, &credentials) {
                // The password is not compared: the answer would tell, and forged addresses could
                // have their guesses counted.
                false => DigestResult::Stale,
                true => self.nonces.verify(now, source, method, &credentials, password),
            };
            match (verdict, endpoint) {
                (DigestResult::Good, Some(endpoint)) => return Ok(endpoint.user),
                (DigestResult::Stale, _) => is_stale = true,
                (DigestResult::Bad, Some(endpoint)) => {
                    self.guesses.failed(now, source, &endpoint.user);
                }
                (DigestResult::Good | DigestResult::Bad, _) => {}
            }
        }
        Err(self.challenges(now, source, is_stale))
    }

    fn challenges(&mut self, now: Instant, source: IpAddr, is_stale: bool) -> ExtraHeaders {
        let settings = self.settings.clone();
        let challenge = |algorithm| {
            let value = self.nonces.challenge(now, source, algorithm, is_stale);
            (HeaderName::WwwAuthenticate, value)
        };
        settings.algorithms.iter().copied().map(challenge).collect()
    }

    /// Returns the credentials for our realm. Others are meant for another server.
    fn credentials(&self, request: &SipRequest) -> Option<DigestCredentials> {
        let mut all =
            request.message.all(&HeaderName::Authorization).filter_map(DigestCredentials::parse);
        all.find(|it| it.realm() == self.settings.realm)
    }

    /// Describes a call to the engine.
    pub(super) fn arrival(
        &self,
        call: CallId,
        hop: &Hop,
        request: &SipRequest,
        caller: &SipCaller,
    ) -> Arrival {
        let asserted = match caller {
            SipCaller::Trunk(_) => asserted(request),
            SipCaller::Endpoint(_) | SipCaller::Anonymous => None,
        };
        let from = asserted.as_ref().unwrap_or(&request.from);
        let trusted = match caller {
            SipCaller::Endpoint(user) => Some(Trusted::SipUser(user.clone())),
            SipCaller::Trunk(_) => asserted.as_ref().and_then(asserted_number),
            SipCaller::Anonymous => None,
        };
        // A call to our Contact at a trunk has the called number in To.
        let called = match self.trunk_registered_as(&request.uri) {
            Some(_) => &request.to.uri,
            None => &request.uri,
        };
        Arrival {
            call,
            account: self.account(hop, caller),
            from: caller_number(&from.uri).into(),
            to: called_number(called).into(),
            caller_name: readable(&from.display).into(),
            headers: custom_headers(request),
            trusted,
            is_private: is_private(request, from),
            diversion: match caller {
                SipCaller::Trunk(_) => diversion(request).map(Arc::new),
                SipCaller::Endpoint(_) | SipCaller::Anonymous => None,
            },
        }
    }

    /// The trunk at which we are registered with a Contact that has this user.
    fn trunk_registered_as(&self, uri: &Uri) -> Option<&SipTrunk> {
        let name = self.trunk_of_contact(uri.sip()?.user.as_deref()?)?;
        self.settings.trunks.iter().find(|it| it.name == *name && it.outbound.is_some())
    }

    /// The account whose flows a caller reaches by name. A trunk reaches flows by number rows only.
    fn account(&self, hop: &Hop, caller: &SipCaller) -> Option<AccountId> {
        let is_loopback = hop.remote.ip().to_canonical().is_loopback();
        let loopback_account = || self.settings.loopback_account.clone().filter(|_| is_loopback);
        match caller {
            SipCaller::Endpoint(user) => {
                let endpoint = self.settings.endpoint(user);
                endpoint.and_then(|it| it.account.clone()).or_else(loopback_account)
            }
            SipCaller::Trunk(_) => None,
            SipCaller::Anonymous => loopback_account(),
        }
    }
}

/// The caller identity that a trusted peer asserts (RFC 3325).
fn asserted(request: &SipRequest) -> Option<NameAddr> {
    let mut all = request.message.all(&HeaderName::PAssertedIdentity);
    all.find_map(|text| NameAddr::parse_list(text).ok()?.into_iter().next())
}

/// The number that the assertion vouches for. None if it is withheld (RFC 3323).
fn asserted_number(asserted: &NameAddr) -> Option<Trusted> {
    (!is_withheld(&asserted.uri)).then(|| Trusted::Number(caller_number(&asserted.uri).into()))
}

fn is_withheld(uri: &Uri) -> bool {
    let user = uri.sip().and_then(SipUri::user_unescaped).unwrap_or_default();
    WITHHELD.iter().any(|it| user.eq_ignore_ascii_case(it))
}

/// Whether a caller does not want to be shown: they say so (RFC 3323, RFC 3325), or their From or the
/// identity that counts says nothing.
fn is_private(request: &SipRequest, identity: &NameAddr) -> bool {
    let mut words = request.message.all(&HeaderName::Privacy).flat_map(|it| it.split([';', ',']));
    let asks = words.any(|it| PRIVACY.iter().any(|word| it.trim().eq_ignore_ascii_case(word)));
    asks || is_withheld(&request.from.uri) || is_withheld(&identity.uri)
}

/// The words of Privacy that ask for the identity to be withheld.
const PRIVACY: [&str; 3] = ["id", "user", "header"];

/// What the trunk says of earlier forwardings: the last one, and how many there were.
fn diversion(request: &SipRequest) -> Option<Diversion> {
    let all = request.message.all(&HeaderName::Diversion);
    let all: Vec<_> = all.filter_map(|it| NameAddr::parse_list(it).ok()).flatten().collect();
    let last = all.first()?;
    let count = |it: &NameAddr| it.params.get("counter").and_then(parse_number).unwrap_or(1).max(1);
    let counter = all.iter().map(count).fold(0, u32::saturating_add);
    let reason = last.params.get("reason").map(|it| it.trim_matches('"'));
    let reason = reason.filter(|it| is_token(it) && it.len() <= REASON_BYTES_MAX);
    Some(Diversion {
        from: caller_number(&last.uri).into(),
        reason: reason.unwrap_or("unknown").into(),
        counter: u8::try_from(counter).unwrap_or(u8::MAX),
        is_private: last.params.get("privacy").is_some_and(|it| !it.eq_ignore_ascii_case("off")),
    })
}

/// The longest reason of a Diversion that is passed on.
const REASON_BYTES_MAX: usize = 64;

/// User parts that peers send for a withheld number.
const WITHHELD: [&str; 4] = ["anonymous", "restricted", "unavailable", "unknown"];

/// Returns the number without `+`, or the URI without its parameters.
fn caller_number(uri: &Uri) -> String {
    let part = UserPart::read(&uri.to_string());
    match uri {
        _ if part.is_number => part.user,
        Uri::Sip(uri) => {
            let user = uri.user.as_deref().map_or(String::new(), |user| format!("{user}@"));
            readable(&format!("sip:{user}{}", uri.host))
        }
        Uri::Other { .. } => readable(&uri.to_string()),
    }
}

/// Returns the called user: a number without `+`, or a name.
fn called_number(uri: &Uri) -> String {
    match uri {
        Uri::Sip(SipUri { user: None, .. }) => String::new(),
        Uri::Sip(_) | Uri::Other { .. } => readable(&UserPart::read(&uri.to_string()).user),
    }
}

/// Returns the `X-PH-…` and `X-VH-…` headers, which become callback fields, after the facts of number
/// portability (RFC 4694) that the Request-URI has.
fn custom_headers(request: &SipRequest) -> Vec<(Arc<str>, Arc<str>)> {
    let called = UserPart::read(&request.uri.to_string());
    let routing = called.routing_number.map(|it| (ROUTING_NUMBER.into(), it.into()));
    let looked_up = called.is_looked_up.then(|| (LOOKED_UP.into(), "yes".into()));
    let rows = request.message.headers.iter().filter_map(|(name, value)| {
        let name = name.as_str();
        let (prefix, own) = (name.get(..5)?, name.get(5..)?);
        let is_ours = ["X-PH-", "X-VH-"].iter().any(|it| prefix.eq_ignore_ascii_case(it));
        // A fact is not for the caller to claim.
        let is_fact =
            [ROUTING_NUMBER, LOOKED_UP].iter().any(|it| it[5..].eq_ignore_ascii_case(own));
        (is_ours && !is_fact && value.len() <= CUSTOM_BYTES_MAX)
            .then(|| (name.into(), readable(value).into()))
    });
    let facts = routing.into_iter().chain(looked_up);
    facts.chain(rows).take(CUSTOM_HEADERS_MAX).collect()
}

/// The number that a call to a ported number is routed by, without `+`.
const ROUTING_NUMBER: &str = "X-PH-rn";

/// `yes`: the database of ported numbers has been asked.
const LOOKED_UP: &str = "X-PH-npdi";

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
            ("sip:+49-30-123@127.0.0.1", "4930123"),
            ("sip:+4930123;npdi;rn=+4930999@127.0.0.1", "4930123"),
            ("tel:anna", "tel:anna"),
            ("sip:example.com", "sip:example.com"),
            ("mailto:anna@example.com", "mailto:anna@example.com"),
        ] {
            assert_eq!(caller_number(&Uri::parse(uri).unwrap()), expected, "{uri}");
        }
    }

    #[test]
    fn the_called_is_the_user_part() {
        for (uri, expected) in [
            ("sip:weekly@127.0.0.1", "weekly"),
            ("sip:+14155550100@x", "14155550100"),
            ("sip:sip%3Auser%40x@x", "sip:user@x"),
            ("sip:127.0.0.1", ""),
            ("sip:+1(415)555-0100;npdi=yes;rn=+14155559999@x", "14155550100"),
            ("tel:+1-415-555-0100", "14155550100"),
        ] {
            assert_eq!(called_number(&Uri::parse(uri).unwrap()), expected, "{uri}");
        }
    }
}
