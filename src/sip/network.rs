//! IP networks, as the configuration writes them: `10.0.0.0/8`, `2001:db8::/32`, `192.0.2.7`.

use std::{fmt, net::IpAddr, str::FromStr};

/// An address and the number of its leading bits that count.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct IpNetwork {
    address: IpAddr,
    prefix: u8,
}

/// A text that is not a network.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a network: {0:?} (an address, or an address and a prefix length, such as 10.0.0.0/8)")]
pub struct BadNetwork(String);

impl IpNetwork {
    /// Whether the network contains an address. IPv4-mapped IPv6 addresses count as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                let shift = 32 - u32::from(self.prefix);
                let top = |it: u32| it.checked_shr(shift).unwrap_or(0);
                top(ours.to_bits()) == top(theirs.to_bits())
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => {
                let shift = 128 - u32::from(self.prefix);
                let top = |it: u128| it.checked_shr(shift).unwrap_or(0);
                top(ours.to_bits()) == top(theirs.to_bits())
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

impl FromStr for IpNetwork {
    type Err = BadNetwork;

    fn from_str(text: &str) -> Result<Self, BadNetwork> {
        let bad = || BadNetwork(text.to_owned());
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.trim().parse().map_err(|_| bad())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(longest), |it| it.trim().parse().map_err(|_| bad()))?;
        match prefix <= longest {
            true => Ok(Self { address, prefix }),
            false => Err(bad()),
        }
    }
}

impl fmt::Display for IpNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

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
    fn a_network_knows_its_own() {
        for (network, address, expected) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.8", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "::1", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("2001:db8::/32", "2001:db8:1::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("::/0", "::1", true),
        ] {
            let network: IpNetwork = network.parse().unwrap();
            assert_eq!(network.contains(address.parse().unwrap()), expected, "{network} {address}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in ["", "10.0.0.0/33", "::/129", "10.0.0/8", "host", "10.0.0.0/-1"] {
            assert!(text.parse::<IpNetwork>().is_err(), "{text:?}");
        }
    }

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
