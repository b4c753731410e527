//! Address guard: allows requests to public addresses, and to those that the operator allows.
//!
//! URLs are written by callers, customers, and servers of customers. Without a guard they could
//! reach whatever conflow can: its cloud's metadata, databases, its own ports.

use std::net::IpAddr;

use parking_lot::RwLock;

use crate::base::{
    network::IpNetwork,
    public_address::{embedded_ipv4, range},
};

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
