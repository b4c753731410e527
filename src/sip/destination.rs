//! Destinations: which registered phone an address means, and who may call it.

use std::sync::Arc;

use super::{
    settings::Settings,
    uri::{Host, SipUri, Uri},
};
use crate::{
    base::ids::AccountId,
    media::{CannotDial, HangupCause},
};

impl Settings {
    /// Returns the user of the endpoint that an address means, if this account may call it. Where
    /// anybody may register, a name without an endpoint may be that of a phone on this machine.
    ///
    /// # Errors
    ///
    /// The address is no address of an endpoint, or of none of this account's.
    pub fn endpoint_at(&self, account: &AccountId, to: &str) -> Result<Arc<str>, CannotDial> {
        let no_way = |cause, hint: &str| CannotDial {
            to: to.into(),
            hint: hint.to_owned(),
            cause,
            is_foreign: false,
        };
        if to.starts_with("sim:") {
            let error = no_way(HangupCause::DestinationOut, "simulated phones are off (sim.on)");
            return Err(CannotDial { is_foreign: true, ..error });
        }
        if !to.contains(':') || to.starts_with("tel:") {
            let hint = "give a number, or the address of a phone as sip:USER@HOST";
            return Err(no_way(HangupCause::DestinationInvalid, hint));
        }
        let bad = |_| no_way(HangupCause::DestinationInvalid, "not a SIP URI; write sip:USER@HOST");
        let uri = match Uri::parse(to).map_err(bad)? {
            Uri::Sip(uri) if !uri.is_secure => uri,
            Uri::Sip(_) => {
                let hint =
                    "write sip:USER@HOST: a phone that registers over TLS is called over TLS";
                return Err(no_way(HangupCause::DestinationOut, hint));
            }
            Uri::Other { .. } => {
                let hint = "a phone is called as sip:USER@HOST";
                return Err(no_way(HangupCause::DestinationInvalid, hint));
            }
        };
        if !self.is_own(&uri) {
            let hint = format!(
                "{} is not this server (its names are sip.domains), nor one that this account may \
                 call (hosts of a [[trunk]], or sip.dial_allow)",
                uri.host
            );
            return Err(no_way(HangupCause::DestinationOut, &hint));
        }
        let user = uri.user_unescaped().unwrap_or_default();
        match self.may_call(account, &user) {
            true => Ok(user.into()),
            false => {
                let hint = format!("this account has no [[endpoint]] {user:?}");
                Err(no_way(HangupCause::NotRegistered, &hint))
            }
        }
    }

    /// Whether an account may call the phones that are registered under this name. Where anybody may
    /// register, a name without an endpoint belongs to the account of callers on this machine.
    pub fn may_call(&self, account: &AccountId, user: &str) -> bool {
        let loopback_account = self.loopback_account.as_ref();
        match self.endpoint(user) {
            Some(endpoint) => endpoint.account.as_ref().or(loopback_account) == Some(account),
            None => !user.is_empty() && self.is_open() && loopback_account == Some(account),
        }
    }

    /// Whether a URI names this server.
    pub(super) fn is_own(&self, uri: &SipUri) -> bool {
        let is_bound_port = |port: u16| self.bind.iter().any(|it| it.port() == port);
        match &uri.host {
            Host::Name(name) => {
                let is_realm = name.eq_ignore_ascii_case(&self.realm);
                is_realm || name == "localhost" || self.domains.contains(name)
            }
            Host::Address(address) => {
                let address = address.to_canonical();
                let is_bound = self.bind.iter().any(|it| {
                    let any = it.ip().is_unspecified() && address.is_loopback();
                    any || it.ip().to_canonical() == address
                });
                let is_own = is_bound || self.advertise == Some(address);
                let is_domain = || self.domains.contains(&uri.host.to_string());
                uri.port.is_none_or(is_bound_port) && (is_own || is_domain())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        rtp::sdp::crypto::SrtpPolicy,
        sip::{SipEndpoint, SipPassword},
    };

    fn settings() -> Settings {
        let endpoint = |user: &str, account: &str| SipEndpoint {
            user: user.into(),
            password: SipPassword::new("pw"),
            account: Some(account.parse().unwrap()),
            srtp: SrtpPolicy::default(),
        };
        Settings {
            bind: vec!["192.0.2.5:5060".parse().unwrap()],
            advertise: Some("203.0.113.5".parse().unwrap()),
            domains: vec!["phone.plivo.com".to_owned(), "192.0.2.77".to_owned()],
            endpoints: vec![endpoint("anna", "MA1"), endpoint("bo b", "MA2")],
            loopback_account: Some("MA1".parse().unwrap()),
            ..Settings::default()
        }
    }

    fn at(settings: &Settings, account: &str, to: &str) -> Result<String, (u16, String)> {
        let found = settings.endpoint_at(&account.parse().unwrap(), to);
        found.map(|it| it.to_string()).map_err(|it| (it.cause.code(), it.hint))
    }

    #[test]
    fn an_endpoint_has_the_addresses_of_this_server() {
        let settings = settings();
        for (account, to, expected) in [
            ("MA1", "sip:anna@192.0.2.5", "anna"),
            ("MA1", "SIP:anna@192.0.2.5:5060;transport=tcp", "anna"),
            ("MA1", "sip:%61nna@203.0.113.5", "anna"),
            ("MA1", "sip:anna@Phone.Plivo.com", "anna"),
            ("MA1", "sip:anna@192.0.2.77", "anna"),
            ("MA1", "sip:anna@conflow", "anna"),
            ("MA1", "sip:anna@localhost", "anna"),
            ("MA2", "sip:bo%20b@conflow", "bo b"),
        ] {
            assert_eq!(at(&settings, account, to), Ok(expected.to_owned()), "{to}");
        }
    }

    #[test]
    fn each_refusal_has_its_own_cause_and_says_why() {
        let settings = settings();
        for (account, to, code, hint) in [
            ("MA1", "sip:carl@conflow", 2020, "no [[endpoint]] \"carl\""),
            ("MA2", "sip:anna@conflow", 2020, "no [[endpoint]] \"anna\""),
            ("MA1", "sip:conflow", 2020, "no [[endpoint]] \"\""),
            ("MA1", "sip:anna@192.0.2.5:5080", 2010, "192.0.2.5 is not this server"),
            ("MA1", "sip:anna@evil.example", 2010, "evil.example is not this server"),
            ("MA1", "sip:anna@127.0.0.1", 2010, "127.0.0.1 is not this server"),
            ("MA1", "sips:anna@conflow", 2010, "TLS"),
            ("MA1", "anna", 2000, "give a number, or the address"),
            ("MA1", "sip:anna@a@b", 2000, "not a SIP URI"),
            ("MA1", "http://a.example", 2000, "sip:USER@HOST"),
            ("MA1", "sim:anna", 2010, "sim.on"),
        ] {
            let (cause, text) = at(&settings, account, to).unwrap_err();
            assert!(cause == code && text.contains(hint), "{to}: {cause} {text}");
        }
    }

    #[test]
    fn names_without_an_endpoint_are_called_only_where_anybody_may_register() {
        let open = Settings { open: Some(true), ..settings() };
        assert_eq!(at(&open, "MA1", "sip:carl@conflow"), Ok("carl".to_owned()));
        assert_eq!(at(&open, "MA2", "sip:carl@conflow").unwrap_err().0, 2020);
        assert_eq!(at(&open, "MA2", "sip:anna@conflow").unwrap_err().0, 2020);
    }
}
