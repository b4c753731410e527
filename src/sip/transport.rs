//! Transport: messages out over a datagram or a stream, and datagrams in.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, atomic::Ordering},
};

use rustls::{ClientConfig, pki_types::ServerName};
use tokio::time::Instant;

use super::{
    effect::TlsName,
    message::SipMessage,
    note::{MessageDrop, SipNote},
    request::{Hop, Transport},
    resolve::ResolvedAddress,
    sockets::{Incoming, Listener, SipSockets, TlsListener, TlsPeer},
    stream,
    throttle::{SOURCES_MAX, Throttle},
};

/// Largest datagram that UDP allows.
const DATAGRAM_BYTES_MAX: usize = 65_536;

/// Limit of cached routes; peers are few. A full cache is emptied.
const ROUTES_MAX: usize = 1_024;

/// Limit of texts whose trust is kept; a trunk has one. A full table is emptied.
const TRUSTS_MAX: usize = 64;

impl SipSockets {
    /// Starts to read messages. Dropping the returned tasks stops it.
    pub fn listen(
        self: &Arc<Self>,
        listeners: Vec<Listener>,
        secure: Option<TlsListener>,
    ) -> tokio::task::JoinSet<()> {
        let mut tasks = tokio::task::JoinSet::new();
        for (link, listener) in listeners.into_iter().enumerate() {
            tasks.spawn(self.clone().read_datagrams(link as u64, listener.address));
            tasks.spawn(stream::accept(self.clone(), listener.tcp, None));
        }
        if let Some(listener) = secure {
            tasks.spawn(stream::accept(self.clone(), listener.tcp, Some(listener.tls.clone())));
            tasks.spawn(listener.tls.watch());
        }
        tasks
    }

    /// Sends a message, or drops it if the network does not take it: whatever matters is sent
    /// again.
    pub fn send(self: &Arc<Self>, hop: &Hop, bytes: Arc<[u8]>) {
        let is_sent = match hop.transport {
            Transport::Udp => match self.datagrams.get(hop.link as usize) {
                Some(socket) => socket.try_send_to(&bytes, hop.remote).is_ok(),
                None => false,
            },
            Transport::Tcp | Transport::Tls => stream::send(self, hop, bytes),
        };
        if !is_sent {
            self.losses.unsent.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns the way to a server that we call, with a connection, which is opened if there is none.
    /// None if no socket of ours reaches it.
    pub(super) fn way_to(
        self: &Arc<Self>,
        to: ResolvedAddress,
        tls: Option<TlsName>,
    ) -> Option<Hop> {
        let (transport, remote) = (to.transport, to.address);
        let is_near = |bound: IpAddr| bound.is_unspecified() || bound.is_loopback();
        let bound = self.datagrams.iter().map(|it| it.local_addr().ok());
        let bound = bound.enumerate().filter_map(|(link, it)| Some((link as u64, it?)));
        // From loopback, nothing but loopback is reached.
        let bound = bound.filter(|(_, it)| {
            let is_loopback = it.ip().is_loopback();
            it.is_ipv4() == remote.is_ipv4() && (!is_loopback || remote.ip().is_loopback())
        });
        let (link, bound) =
            bound.max_by_key(|(_, it)| is_near(it.ip()) == remote.ip().is_loopback())?;
        let from = self.local_for(bound.ip(), remote);
        let (link, port) = match (transport, tls) {
            (Transport::Udp, _) => (link, bound.port()),
            (Transport::Tcp, _) => (stream::link_to(self, from, remote, None)?.link, bound.port()),
            (Transport::Tls, Some(name)) => {
                let domain = ServerName::try_from(name.domain.to_string()).ok()?;
                let peer = TlsPeer { domain, trust: self.trust(&name.authorities)? };
                let own = stream::link_to(self, from, remote, Some(peer))?;
                // Where nobody listens for TLS, we are reached over this connection alone: the far end
                // finds it by the address that it sees.
                let listener = self.settings.read().tls;
                (own.link, listener.unwrap_or(own.local).port())
            }
            (Transport::Tls, None) => return None,
        };
        Some(Hop { transport, link, local: SocketAddr::new(from, port), remote })
    }

    /// What a client trusts that is given these authorities.
    fn trust(&self, authorities: &Arc<[u8]>) -> Option<Arc<ClientConfig>> {
        let mut trusts = self.trusts.lock();
        if let Some(config) = trusts.get(authorities) {
            return Some(config.clone());
        }
        let config = crate::tls::client_config_of(authorities).ok()?;
        if TRUSTS_MAX <= trusts.len() {
            trusts.clear();
        }
        trusts.insert(authorities.clone(), config.clone());
        Some(config)
    }

    async fn read_datagrams(self: Arc<Self>, link: u64, bound: SocketAddr) {
        let Some(socket) = self.datagrams.get(link as usize).cloned() else { return };
        let mut throttle = Throttle::new(SOURCES_MAX);
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        loop {
            // An error here is an ICMP answer to an earlier message; reading continues.
            let Ok((len, remote)) = socket.recv_from(&mut buffer).await else { continue };
            let rate = self.settings.read().rate_of(remote.ip());
            if !throttle.admit(Instant::now().into_std(), remote.ip(), rate) {
                self.note_drop(remote, MessageDrop::Throttled, "");
                continue;
            }
            let local = SocketAddr::new(self.local_for(bound.ip(), remote), bound.port());
            let hop = Hop { transport: Transport::Udp, link, local, remote };
            match SipMessage::parse(&buffer[..len]) {
                Ok(Some(message)) => self.take_in(hop, message),
                Ok(None) => {}
                Err(error) => self.note_drop(remote, MessageDrop::Unreadable, error.reason),
            }
        }
    }

    fn take_in(&self, hop: Hop, message: SipMessage) {
        if self.inbox.try_send(Incoming::Message { hop, message: Box::new(message) }).is_err() {
            self.note_drop(hop.remote, MessageDrop::Overrun, "");
        }
    }

    /// Counts a message that is dropped, and tells the log.
    pub(super) fn note_drop(&self, peer: SocketAddr, why: MessageDrop, error: &'static str) {
        self.note(&SipNote::Dropped { peer, why, error });
    }

    /// Our address towards a peer, for a socket that is bound to all addresses.
    fn local_for(&self, bound: IpAddr, remote: SocketAddr) -> IpAddr {
        if !bound.is_unspecified() {
            return bound;
        }
        let mut routes = self.routes.lock();
        if let Some(local) = routes.get(&remote.ip()) {
            return *local;
        }
        let local = route_to(remote).unwrap_or(bound);
        if routes.len() >= ROUTES_MAX {
            routes.clear();
        }
        routes.insert(remote.ip(), local);
        local
    }
}

/// Asks the kernel which of our addresses it would send from. Nothing is sent.
fn route_to(remote: SocketAddr) -> io::Result<IpAddr> {
    let any: IpAddr = match remote {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = std::net::UdpSocket::bind((any, 0))?;
    socket.connect(remote)?;
    Ok(socket.local_addr()?.ip())
}
