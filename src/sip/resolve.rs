//! Resolution: the addresses of a server that a SIP URI names (RFC 3263), as the agent asks for them.

use std::net::SocketAddr;

use super::request::Transport;

/// A server to find, as a URI names it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NameQuery {
    /// A host name; never an address.
    pub host: Box<str>,
    /// The port of the URI. With one, only addresses are looked up.
    pub port: Option<u16>,
    /// The transport of the URI. None: any.
    pub transport: Option<Transport>,
}

/// An address at which a server may be reached.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct ResolvedAddress {
    /// How it speaks SIP there.
    pub transport: Transport,
    /// Where it listens.
    pub address: SocketAddr,
}
