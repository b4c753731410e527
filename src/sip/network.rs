//! Private addresses, as NAT has them.

use std::net::IpAddr;

/// Whether an address has meaning only in its own network, so that a far end that gives it from
/// elsewhere is behind NAT (RFC 1918, 3927, 4193, 6598; loopback and unspecified).
pub fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(it) => {
            let is_shared = it.octets()[0] == 100 && it.octets()[1] & 0xc0 == 64;
            it.is_private()
                || it.is_loopback()
                || it.is_link_local()
                || it.is_unspecified()
                || is_shared
        }
        IpAddr::V6(it) => {
            let top = it.segments()[0];
            it.is_loopback()
                || it.is_unspecified()
                || top & 0xfe00 == 0xfc00
                || top & 0xffc0 == 0xfe80
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_and_public_addresses_differ() {
        for (address, expected) in [
            ("10.1.1.1", true),
            ("172.16.0.1", true),
            ("192.168.3.4", true),
            ("100.64.0.1", true),
            ("169.254.1.1", true),
            ("127.0.0.1", true),
            ("0.0.0.0", true),
            ("fd00::1", true),
            ("fe80::1", true),
            ("192.0.2.1", false),
            ("100.128.0.1", false),
            ("2001:db8::1", false),
        ] {
            assert_eq!(is_private(address.parse().unwrap()), expected, "{address}");
        }
    }
}
