//! Address guard: allows requests to public addresses, and to those that the operator allows.
//!
//! URLs are written by callers, customers, and servers of customers. Without a guard they could
//! reach whatever conflow can: its cloud's metadata, databases, its own ports.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};
use parking_lot::RwLock;

use crate::base::network::IpNetwork;

/// Checks addresses after name resolution, so that no notation and no name bypasses it.
#[derive(Debug, Default)]
pub struct AddressGuard {
    allow: RwLock<Vec<IpNetwork>>,
}

impl AddressGuard {
    /// A guard that refuses all addresses except public ones and `allow` (`fetch.allow`).
    pub fn new(allow: Vec<IpNetwork>) -> Self {
        Self { allow: RwLock::new(allow) }
    }

    /// Replaces the networks that are allowed in addition to public addresses.
    pub fn set_allowed(&self, allow: Vec<IpNetwork>) {
        *self.allow.write() = allow;
    }

    /// Checks whether conflow may connect to an address.
    ///
    /// An IPv6 form of an IPv4 address (mapped, compatible, translated, NAT64) counts as that IPv4
    /// address.
    ///
    /// # Errors
    ///
    /// [`RefusedAddress`]: the address is neither public nor allowed.
    pub fn check(&self, address: IpAddr) -> Result<(), RefusedAddress> {
        let bare = embedded_ipv4(address);
        let is_allowed = |it: &IpNetwork| it.contains(address) || it.contains(bare);
        let Some(range) = range(bare).filter(|_| !self.allow.read().iter().any(is_allowed)) else {
            return Ok(());
        };
        Err(RefusedAddress { address, range })
    }
}

/// Refusal of an address.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "{address} is {range}, which may not be reached; if it should be, add it to fetch.allow \
     (CONFLOW_FETCH_ALLOW)"
)]
pub struct RefusedAddress {
    /// The address as it was resolved.
    pub address: IpAddr,
    /// Kind of address, with its article.
    pub range: &'static str,
}

/// The IPv4 address in an IPv6 one, or else the address itself.
fn embedded_ipv4(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    if v6.is_unspecified() || v6.is_loopback() {
        return address;
    }

    match WRAPPINGS.iter().any(|it| it.contains(&v6)) {
        true => {
            let [.., a, b, c, d] = v6.octets();
            Ipv4Addr::new(a, b, c, d).into()
        }
        false => address,
    }
}

/// Kind of an address that is not public; None if it is.
fn range(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => V4.iter().find(|(it, _)| it.contains(&address)).map(|row| row.1),
        IpAddr::V6(address) => match V6.iter().find(|(it, _)| it.contains(&address)) {
            Some((_, what)) => Some(what),
            None => (!GLOBAL.contains(&address)).then_some("not a public address"),
        },
    }
}

/// IPv6 forms that contain an IPv4 address in their last 32 bits.
const WRAPPINGS: &[Ipv6Net] = &[
    // Compatible (RFC 4291, 2.5.5.1), mapped (2.5.5.2).
    v6([0, 0, 0, 0, 0, 0], 96),
    v6([0, 0, 0, 0, 0, 0xffff], 96),
    // Translated (RFC 2765), NAT64 (RFC 6052).
    v6([0, 0, 0, 0, 0xffff, 0], 96),
    v6([0x64, 0xff9b, 0, 0, 0, 0], 96),
];

/// Addresses that the special-purpose registry (RFC 6890) excludes from public use.
const V4: &[(Ipv4Net, &str)] = &[
    (v4([0, 0, 0, 0], 8), "an unspecified address"),
    (v4([10, 0, 0, 0], 8), "a private address"),
    (v4([100, 64, 0, 0], 10), "a carrier's private address (CGNAT)"),
    (v4([127, 0, 0, 0], 8), "a loopback address"),
    // A public address that only guests of the Azure cloud can reach.
    (v4([168, 63, 129, 16], 32), "a cloud's metadata address"),
    (v4([169, 254, 0, 0], 16), "a link-local or metadata address"),
    (v4([172, 16, 0, 0], 12), "a private address"),
    (v4([192, 0, 0, 0], 24), "an address kept for protocols"),
    (v4([192, 0, 2, 0], 24), "a documentation address"),
    (v4([192, 88, 99, 0], 24), "a 6to4 relay"),
    (v4([192, 168, 0, 0], 16), "a private address"),
    (v4([198, 18, 0, 0], 15), "a benchmarking address"),
    (v4([198, 51, 100, 0], 24), "a documentation address"),
    (v4([203, 0, 113, 0], 24), "a documentation address"),
    (v4([224, 0, 0, 0], 4), "a multicast address"),
    (v4([255, 255, 255, 255], 32), "the broadcast address"),
    (v4([240, 0, 0, 0], 4), "a reserved address"),
];

/// IPv6 counterpart of [`V4`]. Addresses that are neither here nor in [`GLOBAL`] are not public
/// either.
const V6: &[(Ipv6Net, &str)] = &[
    (v6([0, 0, 0, 0, 0, 0], 128), "an unspecified address"),
    (Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128), "a loopback address"),
    (v6([0x64, 0xff9b, 1, 0, 0, 0], 48), "a local NAT64 address"),
    (v6([0x2001, 0, 0, 0, 0, 0], 32), "a Teredo address"),
    (v6([0x2001, 2, 0, 0, 0, 0], 48), "a benchmarking address"),
    (v6([0x2001, 0, 0, 0, 0, 0], 23), "an address kept for protocols"),
    (v6([0x2001, 0xdb8, 0, 0, 0, 0], 32), "a documentation address"),
    (v6([0x2002, 0, 0, 0, 0, 0], 16), "a 6to4 address"),
    (v6([0x3fff, 0, 0, 0, 0, 0], 20), "a documentation address"),
    (v6([0xfc00, 0, 0, 0, 0, 0], 7), "a private address (ULA)"),
    (v6([0xfe80, 0, 0, 0, 0, 0], 10), "a link-local address"),
    (v6([0xff00, 0, 0, 0, 0, 0], 8), "a multicast address"),
];

/// Global unicast (RFC 4291, 2.4): all that is allocated.
const GLOBAL: Ipv6Net = v6([0x2000, 0, 0, 0, 0, 0], 3);

const fn v4([a, b, c, d]: [u8; 4], bits: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), bits)
}

const fn v6([a, b, c, d, e, f]: [u16; 6], bits: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, 0, 0), bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRIVATE: Option<&str> = Some("a private address");
    const LOOPBACK: Option<&str> = Some("a loopback address");
    const LINK: Option<&str> = Some("a link-local or metadata address");
    const DOC: Option<&str> = Some("a documentation address");

    const ADDRESSES: &[(&str, Option<&str>)] = &[
        ("0.0.0.0", Some("an unspecified address")),
        ("0.255.255.255", Some("an unspecified address")),
        ("1.0.0.0", None),
        ("9.255.255.255", None),
        ("10.0.0.0", PRIVATE),
        ("10.255.255.255", PRIVATE),
        ("11.0.0.0", None),
        ("100.63.255.255", None),
        ("100.64.0.0", Some("a carrier's private address (CGNAT)")),
        ("100.100.100.200", Some("a carrier's private address (CGNAT)")),
        ("100.127.255.255", Some("a carrier's private address (CGNAT)")),
        ("100.128.0.0", None),
        ("126.255.255.255", None),
        ("127.0.0.1", LOOPBACK),
        ("127.255.255.255", LOOPBACK),
        ("128.0.0.0", None),
        ("168.63.129.15", None),
        ("168.63.129.16", Some("a cloud's metadata address")),
        ("169.253.255.255", None),
        ("169.254.169.254", LINK),
        ("169.255.0.0", None),
        ("172.15.255.255", None),
        ("172.16.0.0", PRIVATE),
        ("172.31.255.255", PRIVATE),
        ("172.32.0.0", None),
        ("192.0.0.192", Some("an address kept for protocols")),
        ("192.0.1.0", None),
        ("192.0.2.1", DOC),
        ("192.88.99.1", Some("a 6to4 relay")),
        ("192.167.255.255", None),
        ("192.168.0.1", PRIVATE),
        ("192.169.0.0", None),
        ("198.17.255.255", None),
        ("198.18.0.0", Some("a benchmarking address")),
        ("198.19.255.255", Some("a benchmarking address")),
        ("198.20.0.0", None),
        ("198.51.100.7", DOC),
        ("203.0.113.7", DOC),
        ("223.255.255.255", None),
        ("224.0.0.1", Some("a multicast address")),
        ("239.255.255.255", Some("a multicast address")),
        ("240.0.0.1", Some("a reserved address")),
        ("255.255.255.255", Some("the broadcast address")),
        ("::", Some("an unspecified address")),
        ("::1", LOOPBACK),
        ("::2", Some("an unspecified address")),
        ("::127.0.0.1", LOOPBACK),
        ("::ffff:127.0.0.1", LOOPBACK),
        ("::ffff:169.254.169.254", LINK),
        ("::ffff:8.8.8.8", None),
        ("::ffff:0:127.0.0.1", LOOPBACK),
        ("64:ff9b::10.0.0.1", PRIVATE),
        ("64:ff9b::a9fe:a9fe", LINK),
        ("64:ff9b::8.8.8.8", None),
        ("64:ff9b:1::8.8.8.8", Some("a local NAT64 address")),
        ("100::1", Some("not a public address")),
        ("1fff:ffff::1", Some("not a public address")),
        ("2000::1", None),
        ("2001::1", Some("a Teredo address")),
        ("2001:2::1", Some("a benchmarking address")),
        ("2001:20::1", Some("an address kept for protocols")),
        ("2001:200::1", None),
        ("2001:db8::1", DOC),
        ("2002:7f00:1::1", Some("a 6to4 address")),
        ("2003::1", None),
        ("2606:4700:4700::1111", None),
        ("3fff:fff::1", DOC),
        ("3fff:1000::1", None),
        ("4000::1", Some("not a public address")),
        ("5f00::1", Some("not a public address")),
        ("fbff::1", Some("not a public address")),
        ("fc00::1", Some("a private address (ULA)")),
        ("fd00:ec2::254", Some("a private address (ULA)")),
        ("fe80::1", Some("a link-local address")),
        ("febf::1", Some("a link-local address")),
        ("fec0::1", Some("not a public address")),
        ("ff02::1", Some("a multicast address")),
    ];

    fn guard(allow: &[&str]) -> AddressGuard {
        AddressGuard::new(allow.iter().map(|it| it.parse().unwrap()).collect())
    }

    #[test]
    fn every_address_that_is_not_public_is_refused_and_its_neighbours_are_not() {
        let check = |address: &str, expected: Option<&str>| {
            let found = guard(&[]).check(address.parse().unwrap()).err().map(|it| it.range);
            assert_eq!(found, expected, "{address}");
        };

        for (address, expected) in ADDRESSES {
            check(address, *expected);
        }
    }

    #[test]
    fn what_the_operator_allows_passes_in_every_form_and_nothing_else_does() {
        let check = |allow: &[&str], address: &str, expected: bool| {
            let passes = guard(allow).check(address.parse().unwrap()).is_ok();
            assert_eq!(passes, expected, "{allow:?} {address}");
        };

        check(&["127.0.0.0/8"], "127.0.0.1", true);
        check(&["127.0.0.0/8"], "::ffff:127.9.9.9", true);
        check(&["127.0.0.0/8"], "::1", false);
        check(&["127.0.0.0/8"], "10.0.0.1", false);
        check(&["10.1.0.0/16", "::1"], "::1", true);
        check(&["10.1.0.0/16", "::1"], "10.1.255.255", true);
        check(&["10.1.0.0/16", "::1"], "10.2.0.0", false);
        check(&["64:ff9b::/96"], "64:ff9b::10.0.0.1", true);
        check(&["64:ff9b::/96"], "10.0.0.1", false);
        check(&["0.0.0.0/0"], "255.255.255.255", true);
        check(&["0.0.0.0/0"], "fd00::1", false);
        check(&["::/0"], "fd00::1", true);
        check(&["::/0"], "10.0.0.1", false);
        check(&[], "93.184.215.14", true);
    }

    #[test]
    fn a_refusal_names_the_address_and_the_setting() {
        let refused = guard(&[]).check("::ffff:10.0.0.1".parse().unwrap()).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "::ffff:10.0.0.1 is a private address, which may not be reached; if it should be, add \
             it to fetch.allow (CONFLOW_FETCH_ALLOW)"
        );
    }
}
