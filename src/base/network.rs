//! Networks, as the configuration names them: `10.0.0.0/8`, `2001:db8::/32`, `192.0.2.7`.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
};

use ipnet::IpNet;
use serde::{Deserialize, Serialize, Serializer};

/// A range of addresses with a common prefix.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(try_from = "String")]
pub struct IpNetwork(IpNet);

/// A text that names no network.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("write a network, such as 10.0.0.0/8, 2001:db8::/32 or 192.0.2.7, not {0:?}")]
pub struct BadNetwork(String);

impl IpNetwork {
    /// Whether an address lies in the network. IPv4 addresses never lie in a network of IPv6 ones,
    /// nor mapped ones (`::ffff:10.0.0.1`) in a network of IPv4 ones.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }
}

impl FromStr for IpNetwork {
    type Err = BadNetwork;

    /// Reads an address, or an address of the network and the length of the prefix. What follows
    /// the prefix does not count: `10.0.0.1/8` is `10.0.0.0/8`, as an interface has it.
    fn from_str(text: &str) -> Result<Self, BadNetwork> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        // The address by std: the parser of ipnet takes 010.0.0.0 for 10.0.0.0.
        let network = address.trim().parse().ok().and_then(|address: IpAddr| match prefix {
            Some(prefix) => IpNet::new(address, prefix.trim().parse().ok()?).ok(),
            None => Some(address.into()),
        });
        network.map(|it| Self(it.trunc())).ok_or_else(|| BadNetwork(text.to_owned()))
    }
}

impl TryFrom<String> for IpNetwork {
    type Error = BadNetwork;

    fn try_from(text: String) -> Result<Self, BadNetwork> {
        text.parse()
    }
}

impl fmt::Display for IpNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for IpNetwork {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What limits count a source by: an IPv4 address, or the /64 of an IPv6 one, since a host of IPv6
/// has all addresses of its /64 to send from.
pub fn limited_source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_its_addresses_and_no_others() {
        for (network, address, expected) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.8", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "::1", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", false),
            ("::ffff:0:0/96", "::ffff:10.1.2.3", true),
            ("2001:db8::/32", "2001:db8:1::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("::/0", "::1", true),
        ] {
            let network: IpNetwork = network.parse().unwrap();
            assert_eq!(network.contains(address.parse().unwrap()), expected, "{network} {address}");
        }
    }

    #[test]
    fn what_follows_the_prefix_does_not_count() {
        for (text, expected) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("10.0.0.1/8", "10.0.0.0/8"),
            ("fd12::7/8", "fd00::/8"),
            (" 127.0.0.1 ", "127.0.0.1/32"),
            ("::1", "::1/128"),
            ("192.0.2.7/0", "0.0.0.0/0"),
        ] {
            let network: IpNetwork = text.parse().unwrap();
            assert_eq!(network.to_string(), expected, "{text}");
        }
    }

    #[test]
    fn a_text_that_names_no_network_is_refused() {
        for text in [
            "",
            "/",
            "10.0.0.0/33",
            "::/129",
            "::/x",
            "10.0.0/8",
            "host",
            "10.0.0.0/-1",
            "10.0.0.0/",
            "10.0.0.0/8/8",
            "010.0.0.0/8",
            "localhost",
        ] {
            let error = text.parse::<IpNetwork>().unwrap_err().to_string();
            let expected = "write a network, such as 10.0.0.0/8, 2001:db8::/32 or 192.0.2.7, not";
            assert_eq!(error, format!("{expected} {text:?}"));
        }
    }

    #[test]
    fn a_source_is_an_ipv4_address_or_a_network_of_ipv6() {
        for (address, expected) in [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ] {
            let expected: IpAddr = expected.parse().unwrap();
            assert_eq!(limited_source(address.parse().unwrap()), expected, "{address}");
        }
    }
}
