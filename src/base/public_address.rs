//! Public addresses: which addresses belong to the Internet, and the kinds of all others.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

/// The IPv4 address in an IPv6 one, or else the address itself.
pub fn embedded_ipv4(address: IpAddr) -> IpAddr {
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

/// Kind of an address that is not public, with its article; None if it is public. Give it what
/// [`embedded_ipv4`] returns.
pub fn range(address: IpAddr) -> Option<&'static str> {
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
