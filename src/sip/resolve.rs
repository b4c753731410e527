//! Name resolution: what to ask the DNS about a SIP host, and in which order to try what it says
//! (RFC 3263, RFC 2782). Nothing is asked here; `resolver.rs` does that.
//!
//! - An IP address means itself.
//! - A name with a port means its A and AAAA records.
//! - Any other name means its SRV records: `_sips._tcp` for TLS, `_sip._tcp`, `_sip._udp`. Where no
//!   transport is given, UDP comes first, and TCP counts only if there is no service over UDP. NAPTR
//!   records are not asked for.
//! - A name without SRV records means its A and AAAA records, with the default port.

use std::net::{IpAddr, SocketAddr};

use super::{
    PORT_DEFAULT,
    request::{Hop, Transport},
};

/// A host of a SIP URI whose addresses are wanted.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct NameQuery {
    /// A name or an IP address; IPv6 with or without brackets.
    pub host: Box<str>,
    /// The port that the URI gives.
    pub port: Option<u16>,
    /// The transport that the URI gives. None: UDP, unless the DNS has a service over TCP only.
    pub transport: Option<Transport>,
}

/// An address that a host was resolved to, and the transport to be used.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ResolvedAddress {
    /// The transport, from the query or from the SRV record.
    pub transport: Transport,
    /// The address with its port.
    pub address: SocketAddr,
}

impl ResolvedAddress {
    /// The far end of a hop.
    pub fn of(hop: &Hop) -> Self {
        Self { transport: hop.transport, address: hop.remote }
    }
}

/// An SRV record (RFC 2782).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServiceRecord {
    /// Records of a lower one come first.
    pub priority: u16,
    /// The share among those of one priority.
    pub weight: u16,
    /// The port of the service.
    pub port: u16,
    /// The host that offers it; `.` says that there is no such service.
    pub target: String,
}

/// Limit of the addresses of one name. Each may cost a call several seconds.
pub const ADDRESSES_MAX: usize = 8;

impl NameQuery {
    /// Returns the address that the host is by itself. None: the DNS has to be asked.
    pub fn literal(&self) -> Option<ResolvedAddress> {
        let host = self.host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
        let ip: IpAddr = host.unwrap_or(&self.host).parse().ok()?;
        let (transport, port) = self.without_service();
        Some(ResolvedAddress { transport, address: SocketAddr::new(ip, port) })
    }

    /// Returns the names of the SRV records to ask for, the best first. None are needed for a host
    /// with a port.
    pub fn services(&self) -> Vec<(Transport, String)> {
        if self.port.is_some() {
            return Vec::new();
        }
        let transports = match &self.transport {
            Some(transport) => std::slice::from_ref(transport),
            None => &[Transport::Udp, Transport::Tcp],
        };
        let host = self.host.trim_end_matches('.');
        let name = |it: &Transport| (*it, format!("{}.{host}.", it.service()));
        transports.iter().map(name).collect()
    }

    /// Returns the transport and port of a host without SRV records.
    pub fn without_service(&self) -> (Transport, u16) {
        let transport = self.transport.unwrap_or(Transport::Udp);
        (transport, self.port.unwrap_or_else(|| transport.default_port()))
    }
}

impl Transport {
    /// Returns the port where a URI gives none (RFC 3261, 19.1.2).
    pub fn default_port(self) -> u16 {
        match self {
            Self::Udp | Self::Tcp => PORT_DEFAULT,
            Self::Tls => PORT_DEFAULT + 1,
        }
    }

    fn service(self) -> &'static str {
        match self {
            Self::Udp => "_sip._udp",
            Self::Tcp => "_sip._tcp",
            Self::Tls => "_sips._tcp",
        }
    }
}

/// Puts rows into the order in which to try them, as RFC 2782 wants it: a lower priority first, and
/// rows of one priority by chance, each with its weight's share of first places. `rank` gives the
/// priority and weight; `draw(n)` must return any number from 0 to `n`, each as often as another.
pub fn by_priority_and_weight<T>(
    mut rows: Vec<T>,
    rank: impl Fn(&T) -> (u16, u16),
    mut draw: impl FnMut(u64) -> u64,
) -> Vec<T> {
    let mut ordered = Vec::with_capacity(rows.len());
    // Rows without weight come first, so that they are taken only for a draw of 0.
    rows.sort_by_key(&rank);
    while let Some(priority) = rows.first().map(|it| rank(it).0) {
        let same = rows.iter().take_while(|it| rank(it).0 == priority);
        let weights: Vec<u64> = same.map(|it| rank(it).1.into()).collect();
        // Only a weight of zero is drawn by zero: equal weights have equal shares.
        let sum: u64 = weights.iter().sum();
        let drawn = match weights.first() {
            Some(0) | None => draw(sum),
            Some(_) => 1 + draw(sum - 1),
        };
        let mut sum = 0;
        let reached = weights.iter().position(|weight| {
            sum += weight;
            drawn <= sum
        });
        ordered.push(rows.remove(reached.unwrap_or(0)));
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(host: &str, port: Option<u16>, transport: Option<Transport>) -> NameQuery {
        NameQuery { host: host.into(), port, transport }
    }

    #[test]
    fn an_address_means_itself() {
        for (host, port, transport, expected) in [
            ("192.0.2.1", None, None, Some((Transport::Udp, "192.0.2.1:5060"))),
            ("192.0.2.1", None, Some(Transport::Tls), Some((Transport::Tls, "192.0.2.1:5061"))),
            (
                "192.0.2.1",
                Some(5080),
                Some(Transport::Tcp),
                Some((Transport::Tcp, "192.0.2.1:5080")),
            ),
            ("[2001:db8::1]", None, None, Some((Transport::Udp, "[2001:db8::1]:5060"))),
            ("2001:db8::1", None, None, Some((Transport::Udp, "[2001:db8::1]:5060"))),
            ("192.0.2.example", None, None, None),
        ] {
            let expected = expected.map(|(transport, address)| ResolvedAddress {
                transport,
                address: address.parse().unwrap(),
            });
            assert_eq!(query(host, port, transport).literal(), expected, "{host}");
        }
    }

    #[test]
    fn a_name_without_a_port_means_its_services() {
        let names = |it: NameQuery| it.services().into_iter().map(|it| it.1).collect::<Vec<_>>();
        for (transport, expected) in [
            (None, &["_sip._udp.a.example.", "_sip._tcp.a.example."][..]),
            (Some(Transport::Udp), &["_sip._udp.a.example."]),
            (Some(Transport::Tcp), &["_sip._tcp.a.example."]),
            (Some(Transport::Tls), &["_sips._tcp.a.example."]),
        ] {
            assert_eq!(names(query("a.example", None, transport)), expected);
            assert_eq!(names(query("a.example.", None, transport)), expected);
            assert_eq!(names(query("a.example", Some(5060), transport)), [""; 0]);
        }
        assert_eq!(query("a", None, Some(Transport::Tls)).without_service().1, 5061);
        assert_eq!(query("a", None, None).without_service(), (Transport::Udp, 5060));
        assert_eq!(query("a", Some(7), Some(Transport::Tcp)).without_service().1, 7);
    }

    #[test]
    fn a_lower_priority_comes_first_and_weights_are_shares_of_first_places() {
        let rows = vec![("d", 20, 9), ("a", 10, 60), ("b", 10, 20), ("c", 10, 0)];
        let mut rng = fastrand::Rng::with_seed(3263);
        let mut first = std::collections::BTreeMap::new();
        for _ in 0..8_100 {
            let rank = |it: &(&str, u16, u16)| (it.1, it.2);
            let ordered = by_priority_and_weight(rows.clone(), rank, |max| rng.u64(..=max));
            assert_eq!(ordered.len(), 4);
            assert_eq!(ordered[3].0, "d", "the other priority comes last");
            *first.entry(ordered[0].0).or_insert(0) += 1;
        }
        // Of 81 numbers that may be drawn, 0 means c, 1 to 20 b, 21 to 80 a.
        for (name, expected) in [("a", 6_000_i32), ("b", 2_000), ("c", 100)] {
            let got: i32 = first[name];
            assert!((got - expected).abs() < 200, "{name}: {got}");
        }
    }

    #[test]
    fn equal_weights_have_equal_shares() {
        let mut rng = fastrand::Rng::with_seed(2782);
        let mut first = || by_priority_and_weight(vec![0, 1], |_| (1, 1), |max| rng.u64(..=max))[0];
        let firsts = (0..2_000).filter(|_| first() == 0).count();
        assert!((900..1_100).contains(&firsts), "{firsts}");
    }

    #[test]
    fn a_row_without_weight_is_not_shut_out_and_nothing_is_lost() {
        let rows = vec![(5_u16, 0_u16), (5, 0), (1, 65_535), (5, 65_535)];
        for drawn in [0, u64::MAX] {
            let draw = |max: u64| drawn.min(max);
            let ordered = by_priority_and_weight(rows.clone(), |it| *it, draw);
            assert_eq!(ordered.len(), rows.len());
            assert_eq!(ordered[0], (1, 65_535));
            assert_eq!(ordered[1].1, if drawn == 0 { 0 } else { 65_535 });
        }
    }
}
