//! SIP settings: `[sip]`, `[[endpoint]]` and `[[trunk]]` of the configuration.

use std::{collections::BTreeMap, net::IpAddr, net::SocketAddr, sync::Arc, time::Duration};

use super::{
    digest::{Algorithm, SipPassword},
    request::Hop,
    throttle::Rate,
    trunk::{DialHost, SipTrunk},
};
use crate::{
    base::{ids::AccountId, network::IpNetwork},
    rtp::sdp::crypto::SrtpPolicy,
};

/// The settings of `[sip]`, with its endpoints and trunks.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Addresses to listen on, each over UDP and TCP. Port 0 takes any port, the same for both.
    pub bind: Vec<SocketAddr>,
    /// Address to listen on for TLS. None: there is none.
    pub tls: Option<SocketAddr>,
    /// Our public address, if it is not the bound one. Contact and SDP name it to all who are not
    /// in a local network.
    pub advertise: Option<IpAddr>,
    /// Names of ours in SIP URIs, besides the addresses and the realm; in lower case.
    pub domains: Vec<String>,
    /// Networks that reach us without NAT. Loopback always does.
    pub local_networks: Vec<IpNetwork>,
    /// Name servers that are asked for the addresses of hosts. Empty: those of the system.
    pub nameservers: Vec<SocketAddr>,
    /// Whether callers without credentials are let in. None: only if all binds are loopback.
    pub open: Option<bool>,
    /// The account whose flows callers on loopback reach by name, when no number row matches.
    pub loopback_account: Option<AccountId>,
    /// Realm of challenges and passwords.
    pub realm: String,
    /// Algorithms of the challenges, best first. Only MD5 by default: baresip 1.0 and sipp 3.6 give
    /// up on a challenge that they do not know, even if one follows that they do.
    pub algorithms: Vec<Algorithm>,
    /// Phones that may register and call, from `[[endpoint]]`.
    pub endpoints: Vec<SipEndpoint>,
    /// Servers that call us, and through which calls leave, from `[[trunk]]`.
    pub trunks: Vec<SipTrunk>,
    /// Hosts that may be called without a trunk, by any account.
    pub dial_allow: Vec<DialHost>,
    /// Rate limit of unknown sources.
    pub rate: Rate,
    /// Rate limit of loopback and trunks.
    pub rate_trusted: Rate,
    /// Limit of simultaneous calls; beyond it, new ones get a 503.
    pub calls_max: usize,
    /// Bounds of a registration's lifetime. Longer wishes are shortened, shorter ones refused.
    pub register_for: (Duration, Duration),
    /// The shortest session interval that we accept (RFC 4028: at least 90 s).
    pub session_min: Duration,
    /// Far ends of restored calls that are asked in a second whether they are still there; 1 or more.
    pub checks_per_second: u32,
}

/// Those who may call, which a reload replaces.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SipPeers {
    /// Phones that may register and call, as in [`Settings`].
    pub endpoints: Vec<SipEndpoint>,
    /// Servers that call us, and through which calls leave, as in [`Settings`].
    pub trunks: Vec<SipTrunk>,
    /// Hosts that may be called without a trunk, as in [`Settings`].
    pub dial_allow: Vec<DialHost>,
    /// The account of callers on loopback, as in [`Settings`].
    pub loopback_account: Option<AccountId>,
}

/// A user whose phones, one or several, may register and call.
#[derive(Clone, Debug, PartialEq)]
pub struct SipEndpoint {
    /// User name in REGISTER and From.
    pub user: Arc<str>,
    /// Password of digest authentication.
    pub password: SipPassword,
    /// The account whose flows and numbers it reaches.
    pub account: Option<AccountId>,
    /// Whether the sound of its calls is encrypted.
    pub srtp: SrtpPolicy,
}

impl Default for Settings {
    /// For a softphone on this machine, and nothing else.
    fn default() -> Self {
        Self {
            bind: vec![SocketAddr::from(([127, 0, 0, 1], super::PORT_DEFAULT))],
            tls: None,
            advertise: None,
            domains: Vec::new(),
            local_networks: Vec::new(),
            nameservers: Vec::new(),
            open: None,
            loopback_account: None,
            realm: "conflow".to_owned(),
            algorithms: vec![Algorithm::Md5],
            endpoints: Vec::new(),
            trunks: Vec::new(),
            dial_allow: Vec::new(),
            rate: Rate { per_second: 200, burst: 1_000 },
            rate_trusted: Rate { per_second: 50_000, burst: 100_000 },
            calls_max: 10_000,
            register_for: (Duration::from_secs(60), Duration::from_secs(3_600)),
            session_min: Duration::from_secs(90),
            checks_per_second: 200,
        }
    }
}

impl Settings {
    /// Replaces those who may call and be called.
    pub fn set_peers(&mut self, peers: SipPeers) {
        let SipPeers { endpoints, trunks, dial_allow, loopback_account } = peers;
        (self.endpoints, self.trunks, self.dial_allow) = (endpoints, trunks, dial_allow);
        self.loopback_account = loopback_account;
    }

    /// The users whose phones have to register again if these endpoints replace the present ones:
    /// another password or account, or an endpoint that has come or gone.
    pub(super) fn users_to_forget(&self, endpoints: &[SipEndpoint]) -> Vec<Arc<str>> {
        let proof = |it: &SipEndpoint| (it.user.clone(), (it.password.clone(), it.account.clone()));
        let before: BTreeMap<_, _> = self.endpoints.iter().map(proof).collect();
        let after: BTreeMap<_, _> = endpoints.iter().map(proof).collect();
        let differs = |user: &&Arc<str>| before.get(*user) != after.get(*user);
        before.keys().chain(after.keys()).filter(differs).cloned().collect()
    }

    fn binds(&self) -> impl Iterator<Item = &SocketAddr> {
        self.bind.iter().chain(&self.tls)
    }

    /// Whether callers without credentials are let in.
    pub fn is_open(&self) -> bool {
        let is_loopback = || self.binds().all(|it| it.ip().is_loopback());
        self.open.unwrap_or_else(is_loopback)
    }

    /// Whether an address is reached without NAT.
    pub fn is_local(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_loopback() || self.local_networks.iter().any(|it| it.contains(address))
    }

    /// Returns the address under which `remote` reaches us; `local` is the one that it used.
    pub fn address_for(&self, local: IpAddr, remote: IpAddr) -> IpAddr {
        match self.advertise {
            Some(advertise) if !self.is_local(remote) => advertise,
            Some(_) | None => local,
        }
    }

    /// Returns our address as the far end of a hop reaches it.
    pub fn address(&self, hop: &Hop) -> SocketAddr {
        SocketAddr::new(self.address_for(hop.local.ip(), hop.remote.ip()), hop.local.port())
    }

    /// Returns the value of Via for a request of ours.
    pub fn via(&self, hop: &Hop, branch: &str) -> String {
        let us = self.address(hop);
        format!("SIP/2.0/{} {us};branch={branch};rport", hop.transport.as_str())
    }

    /// Returns the address to send sound to, for the one that SDP names. If that cannot be read or
    /// reached from here while `source`, where the signalling comes from, can be, the far end is
    /// taken for a phone behind NAT: another IP version, a private address, a host name.
    pub fn media_address(&self, named: Option<IpAddr>, source: IpAddr) -> IpAddr {
        let source = source.to_canonical();
        let can_reach = |named: &IpAddr| {
            if named.is_ipv4() != source.is_ipv4() {
                return false;
            }
            match named.is_loopback() || source.is_loopback() {
                // A socket on loopback reaches nothing else.
                true => named.is_loopback() && source.is_loopback(),
                false => {
                    let is_public = |it| !super::network::is_private(it);
                    is_public(*named) || !is_public(source) || self.is_local(*named)
                }
            }
        };
        named.map(|it| it.to_canonical()).filter(can_reach).unwrap_or(source)
    }

    /// Returns the trunk that has this address.
    pub fn trunk_at(&self, address: IpAddr) -> Option<&SipTrunk> {
        let address = address.to_canonical();
        self.trunks.iter().find(|it| it.addresses.iter().any(|it| it.contains(address)))
    }

    /// Whether a trunk has a target with this address, so that its responses come from there.
    fn is_server(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let outbound = self.trunks.iter().filter_map(|it| it.outbound.as_ref());
        let mut hosts = outbound.flat_map(|it| &it.targets).map(|it| &it.uri.host);
        hosts.any(|it| it.address().is_some_and(|it| it.to_canonical() == address))
    }

    /// Returns the endpoint with this user name.
    pub fn endpoint(&self, user: &str) -> Option<&SipEndpoint> {
        self.endpoints.iter().find(|it| &*it.user == user)
    }

    /// Returns the rate limit of a source.
    pub fn rate_of(&self, source: IpAddr) -> Rate {
        let is_known = || self.trunk_at(source).is_some() || self.is_server(source);
        match source.to_canonical().is_loopback() || is_known() {
            true => self.rate_trusted,
            false => self.rate,
        }
    }

    /// Returns warnings about these settings, for the log at start-up.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        for bind in self.binds().filter(|it| !it.ip().is_loopback()) {
            if self.advertise.is_none() && super::network::is_private(bind.ip()) {
                warnings.push(format!(
                    "[sip] listens on {bind} and advertises nothing: phones behind another router \
                     cannot reach it; set `advertise` to the public address"
                ));
            }
        }
        if self.open == Some(true) && self.binds().any(|it| !it.ip().is_loopback()) {
            warnings.push("[sip] open = true: anybody who reaches this port can call".to_owned());
        }
        for SipTrunk { name, outbound, .. } in &self.trunks {
            let Some(outbound) = outbound else { continue };
            if outbound.accounts.is_empty() {
                warnings
                    .push(format!("the [[trunk]] {name} has no accounts: nobody calls through it"));
            } else if outbound.minutes_per_day.is_none() {
                warnings.push(format!(
                    "the [[trunk]] {name} has no minutes_per_day: a stolen token can call without end"
                ));
            }
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_loopback_bind_is_open_by_itself() {
        for (bind, open, expected) in [
            ("127.0.0.1:5060", None, true),
            ("[::1]:5060", None, true),
            ("0.0.0.0:5060", None, false),
            ("192.0.2.1:5060", None, false),
            ("192.0.2.1:5060", Some(true), true),
            ("127.0.0.1:5060", Some(false), false),
        ] {
            let bind = vec![bind.parse().unwrap()];
            let settings = Settings { bind, open, ..Settings::default() };
            assert_eq!(settings.is_open(), expected, "{:?} {open:?}", settings.bind);
        }
    }

    #[test]
    fn a_tls_address_that_others_reach_is_not_open_by_itself() {
        let tls = Some("0.0.0.0:5061".parse().unwrap());
        assert!(!Settings { tls, ..Settings::default() }.is_open());
    }

    #[test]
    fn strangers_get_the_advertised_address_and_neighbours_the_real_one() {
        let settings = Settings {
            advertise: Some("203.0.113.5".parse().unwrap()),
            local_networks: vec!["10.0.0.0/8".parse().unwrap()],
            ..Settings::default()
        };
        for (remote, expected) in
            [("198.51.100.1", "203.0.113.5"), ("10.9.9.9", "10.0.0.1"), ("127.0.0.1", "10.0.0.1")]
        {
            let local = "10.0.0.1".parse().unwrap();
            let address = settings.address_for(local, remote.parse().unwrap());
            assert_eq!(address, expected.parse::<IpAddr>().unwrap(), "{remote}");
        }
    }

    /// RFC 3264 and RFC 4961: a phone sends from where it can be reached, whatever it names.
    #[test]
    fn sound_goes_to_the_source_of_the_signalling_if_sdp_names_what_cannot_be_reached() {
        let settings =
            Settings { local_networks: vec!["10.0.0.0/8".parse().unwrap()], ..Settings::default() };
        for (named, source, expected) in [
            (Some("198.51.100.7"), "203.0.113.1", "198.51.100.7"),
            (Some("192.168.1.5"), "203.0.113.1", "203.0.113.1"),
            (Some("10.0.0.7"), "203.0.113.1", "10.0.0.7"),
            (Some("192.168.1.5"), "192.168.1.1", "192.168.1.5"),
            (Some("198.51.100.7"), "192.168.1.1", "198.51.100.7"),
            (Some("127.0.0.1"), "203.0.113.1", "203.0.113.1"),
            (Some("127.0.0.2"), "127.0.0.1", "127.0.0.2"),
            (Some("192.168.1.5"), "127.0.0.1", "127.0.0.1"),
            (Some("fd00::2"), "127.0.0.1", "127.0.0.1"),
            (Some("2001:db8::2"), "203.0.113.1", "203.0.113.1"),
            (Some("203.0.113.1"), "2001:db8::2", "2001:db8::2"),
            (Some("203.0.113.7"), "::ffff:203.0.113.1", "203.0.113.7"),
            (Some("fe80::1"), "2001:db8::2", "2001:db8::2"),
            (None, "203.0.113.1", "203.0.113.1"),
        ] {
            let named = named.map(|it| it.parse().unwrap());
            let address = settings.media_address(named, source.parse().unwrap());
            assert_eq!(address, expected.parse::<IpAddr>().unwrap(), "{named:?} from {source}");
        }
    }

    #[test]
    fn an_ipv4_address_counts_where_a_socket_shows_it_as_ipv6() {
        let addresses = vec!["192.0.2.0/24".parse().unwrap()];
        let settings = Settings {
            local_networks: vec!["10.0.0.1/8".parse().unwrap()],
            trunks: vec![SipTrunk { name: "carrier".into(), addresses, ..SipTrunk::default() }],
            ..Settings::default()
        };
        assert!(settings.is_local("::ffff:10.2.3.4".parse().unwrap()));
        assert!(settings.trunk_at("::ffff:192.0.2.9".parse().unwrap()).is_some());
        assert!(settings.trunk_at("::ffff:192.0.3.9".parse().unwrap()).is_none());
    }

    #[test]
    fn phones_of_an_endpoint_that_is_another_one_now_are_forgotten() {
        let endpoint = |user: &str, password: &str, account: &str, srtp| SipEndpoint {
            user: user.into(),
            password: SipPassword::new(password),
            account: Some(account.parse().unwrap()),
            srtp,
        };
        let (allow, require) = (SrtpPolicy::Allow, SrtpPolicy::Require);
        let endpoints = vec![
            endpoint("anna", "1", "MA1", allow),
            endpoint("bert", "1", "MA1", allow),
            endpoint("carl", "1", "MA1", allow),
            endpoint("dora", "1", "MA1", allow),
        ];
        let settings = Settings { endpoints, ..Settings::default() };
        let users = settings.users_to_forget(&[
            endpoint("anna", "1", "MA1", require),
            endpoint("bert", "2", "MA1", allow),
            endpoint("carl", "1", "MA2", allow),
            endpoint("emil", "1", "MA1", allow),
        ]);
        let mut users: Vec<_> = users.iter().map(|it| &**it).collect();
        users.sort_unstable();
        users.dedup();
        assert_eq!(users, ["bert", "carl", "dora", "emil"]);
    }

    #[test]
    fn a_password_is_not_shown() {
        let password = SipPassword::new("hush");
        assert!(!format!("{password:?}").contains("hush"));
    }

    #[test]
    fn a_private_bind_without_an_advertised_address_is_warned_about() {
        let bind = vec!["10.0.0.1:5060".parse().unwrap()];
        let settings = Settings { bind, ..Settings::default() };
        assert_eq!(settings.warnings().len(), 1);
        assert_eq!(Settings::default().warnings(), Vec::<String>::new());
    }
}
