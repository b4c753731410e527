//! Trunks: the settings of other servers, which call us and through which our calls leave.

use std::{fmt, net::IpAddr, str::FromStr, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    digest_client::DigestAccount,
    ids::SipIds,
    request::Transport,
    resolve::{NameQuery, by_priority_and_weight},
    uri::{SipUri, Uri},
};
use crate::{
    base::{ids::AccountId, network::IpNetwork},
    rtp::{g711::Law, sdp::crypto::SrtpPolicy},
};

/// A gateway or another server, from `[[trunk]]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SipTrunk {
    /// The name in log lines and traces; of trunks with a way out, it is unique.
    pub name: Arc<str>,
    /// Source addresses of its calls. The caller identity that it asserts is trusted. Empty: it
    /// makes none.
    pub addresses: Vec<IpNetwork>,
    /// Whether the sound of its calls is encrypted.
    pub srtp: SrtpPolicy,
    /// How calls leave through it. None: they do not.
    pub outbound: Option<Arc<OutboundTrunk>>,
}

/// How calls leave through a trunk.
#[derive(Clone, Debug, PartialEq)]
pub struct OutboundTrunk {
    /// Those who may call out through it.
    pub accounts: Vec<AccountId>,
    /// Its servers; at least one.
    pub targets: Vec<TrunkTarget>,
    /// Its place among the trunks of an account; lower first.
    pub order: u32,
    /// Host of Request-URI, To and From, and the name that TLS verifies. None: each target's host.
    pub domain: Option<Arc<str>>,
    /// Prefixes of numbers that may be called, as digits or `*`; at least one.
    pub allow: Vec<Box<str>>,
    /// Prefixes of numbers that may not be called.
    pub deny: Vec<Box<str>>,
    /// Digits that are taken off the start of a number.
    pub strip: usize,
    /// Digits that are then put before it.
    pub prefix: Box<str>,
    /// Whether the number is sent with a `+`.
    pub plus: bool,
    /// For its challenges. None: it knows us by our address.
    pub account: Option<DigestAccount>,
    /// Whether we register at it.
    pub register: bool,
    /// Lifetime of a registration that we ask for.
    pub expires: Duration,
    /// Wait before another try to register.
    pub retry: Duration,
    /// Interval of OPTIONS to each address. None: there are none.
    pub options_interval: Option<Duration>,
    /// The headers that have the caller's number.
    pub caller_id: CallerIdHeader,
    /// The numbers that callers may be shown with. Empty: any.
    pub caller_ids: Vec<Box<str>>,
    /// What Privacy says of a caller who wants to be anonymous.
    pub privacy: TrunkPrivacy,
    /// Whether a forwarded call says which number was called first (RFC 5806).
    pub diversion: bool,
    /// The codecs that we offer, the preferred one first.
    pub codecs: Vec<Law>,
    /// Domains whose SIP URIs are called through this trunk; in lower case.
    pub hosts: Vec<Box<str>>,
    /// Limit of simultaneous calls.
    pub calls_max: u32,
    /// Limit of new calls in a second.
    pub calls_per_second: u32,
    /// Minutes that an account may call within 24 hours. None: there is no limit.
    pub minutes_per_day: Option<u32>,
    /// Wait for the first response of a target, if there is another one.
    pub silence_wait: Duration,
    /// Statuses after which the next target is tried.
    pub retry_on: Vec<u16>,
    /// Session interval that we ask for, in seconds (RFC 4028).
    pub session_expires: u32,
    /// The shortest session interval that we accept, in seconds.
    pub min_se: u32,
    /// Certificates of the authorities that are trusted over TLS, in PEM. Empty: the public ones.
    pub tls_ca: Arc<[u8]>,
}

/// A server of a trunk.
#[derive(Clone, Debug, PartialEq)]
pub struct TrunkTarget {
    /// Its address: a host, perhaps a port and a transport; never a user.
    pub uri: SipUri,
    /// Lower ones are tried first.
    pub priority: u16,
    /// Its share of the calls among those of the same priority.
    pub weight: u16,
}

/// The headers that have the caller's number.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CallerIdHeader {
    /// From alone; no header that only servers read.
    From,
    /// From and P-Asserted-Identity (RFC 3325).
    #[default]
    Pai,
    /// From and P-Preferred-Identity (RFC 3325).
    Ppi,
    /// From and Remote-Party-ID, as older servers want it.
    Rpid,
}

/// What Privacy says of a caller who wants to be anonymous (RFC 3323).
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TrunkPrivacy {
    /// `Privacy: id`, and the number in the identity header, for the trunk alone.
    #[default]
    Id,
    /// No Privacy, and no number at all.
    None,
}

/// A host that accounts may call without a trunk, from `dial_allow`.
#[derive(Clone, Debug, PartialEq)]
pub enum DialHost {
    /// Each address in a network, even a private one.
    Network(IpNetwork),
    /// A name, in lower case, if it has public addresses.
    Name(Box<str>),
}

impl TrunkTarget {
    /// The transport: that of the URI, TLS for `sips:`, else UDP. None if it names one that we do
    /// not speak.
    pub fn transport(&self) -> Option<Transport> {
        transport_of(&self.uri)
    }

    /// Returns what is to be asked for its addresses.
    pub fn query(&self) -> NameQuery {
        let host = self.uri.host.to_string().into();
        let is_named = self.uri.is_secure || self.uri.params.get("transport").is_some();
        let transport = self.transport().filter(|_| is_named);
        NameQuery { host, port: self.uri.port, transport }
    }
}

/// As [`TrunkTarget::transport`], of any URI.
pub fn transport_of(uri: &SipUri) -> Option<Transport> {
    match uri.params.get("transport").map(str::to_ascii_lowercase).as_deref() {
        _ if uri.is_secure => Some(Transport::Tls),
        None | Some("udp") => Some(Transport::Udp),
        Some("tcp") => Some(Transport::Tcp),
        Some("tls") => Some(Transport::Tls),
        Some(_) => None,
    }
}

impl FromStr for TrunkTarget {
    type Err = String;

    /// Reads a URI, with the default priority and weight.
    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = "write the address of a server, such as sip:192.0.2.9:5060 or \
            sip:sbc.example;transport=tls";
        let uri = match Uri::parse(text) {
            Ok(Uri::Sip(uri)) if uri.user.is_none() && uri.headers.is_none() => uri,
            Ok(_) | Err(_) => return Err(format!("{wanted}, not {text:?}")),
        };
        let it = Self { uri, priority: 10, weight: 1 };
        match it.transport() {
            Some(_) => Ok(it),
            None => Err(format!("write transport=udp, transport=tcp or transport=tls in {text:?}")),
        }
    }
}

impl FromStr for DialHost {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(network) = text.parse() {
            return Ok(Self::Network(network));
        }
        let name = text.trim().to_ascii_lowercase();
        let is_name = |it: u8| it.is_ascii_alphanumeric() || b"-._".contains(&it);
        match !name.is_empty() && !name.contains("..") && name.bytes().all(is_name) {
            true => Ok(Self::Name(name.into())),
            false => Err(format!(
                "write a host name or a network, such as agent.example or 192.0.2.0/24, not {text:?}"
            )),
        }
    }
}

impl fmt::Display for DialHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(network) => network.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl DialHost {
    /// Whether this entry has an address.
    pub fn has_address(&self, address: IpAddr) -> bool {
        match self {
            Self::Network(network) => network.contains(address.to_canonical()),
            Self::Name(_) => false,
        }
    }
}

impl OutboundTrunk {
    /// Returns the targets in the order in which to try them now (RFC 2782).
    pub fn in_order(&self, ids: &mut SipIds) -> Vec<TrunkTarget> {
        let rank = |it: &TrunkTarget| (it.priority, it.weight);
        let below = |max: u64| ids.below(u32::try_from(max + 1).unwrap_or(u32::MAX)).into();
        by_priority_and_weight(self.targets.clone(), rank, below)
    }

    /// Returns the host of Request-URI, To and From at one of its targets, and the name that TLS
    /// verifies.
    pub fn domain_of(&self, target: &TrunkTarget) -> String {
        let domain = self.domain.as_ref().map(ToString::to_string);
        domain.unwrap_or_else(|| target.uri.host.to_string())
    }

    /// A trunk with these targets and prefixes, and the defaults of the configuration.
    pub fn new(accounts: Vec<AccountId>, targets: Vec<TrunkTarget>, allow: &[&str]) -> Self {
        Self {
            accounts,
            targets,
            order: 10,
            domain: None,
            allow: allow.iter().map(|it| Box::from(*it)).collect(),
            deny: Vec::new(),
            strip: 0,
            prefix: "".into(),
            plus: true,
            account: None,
            register: false,
            expires: Duration::from_secs(3_600),
            retry: Duration::from_secs(60),
            options_interval: Some(Duration::from_secs(30)),
            caller_id: CallerIdHeader::default(),
            caller_ids: Vec::new(),
            privacy: TrunkPrivacy::default(),
            diversion: false,
            codecs: vec![Law::Mu, Law::A],
            hosts: Vec::new(),
            calls_max: 30,
            calls_per_second: 2,
            minutes_per_day: None,
            silence_wait: Duration::from_secs(4),
            retry_on: RETRY_ON.to_vec(),
            session_expires: 1_800,
            min_se: 90,
            tls_ca: Arc::from([]),
        }
    }
}

/// Statuses that say that a server has a problem, not the callee.
pub const RETRY_ON: [u16; 5] = [408, 500, 502, 503, 504];
