//! SIP sockets: UDP in and out, and the table of TCP connections.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::{TcpListener, UdpSocket},
    sync::mpsc,
    time::Instant,
};

use super::{
    message::SipMessage,
    request::{Hop, Transport},
    settings::Settings,
    stream::{self, SipStream},
    throttle::{SOURCES_MAX, Throttle},
};

/// A received message and its hop.
#[derive(Debug)]
pub struct Incoming {
    /// The hop on which it came.
    pub hop: Hop,
    /// The message, parsed; it may have an error in it.
    pub message: SipMessage,
}

/// Counters of messages that were dropped outside of the agent.
#[derive(Debug, Default)]
pub struct Losses {
    /// Messages from sources above their rate limit.
    pub throttled: AtomicU64,
    /// Datagrams and frames that were not messages.
    pub unreadable: AtomicU64,
    /// Messages dropped because the inbox was full; senders repeat them.
    pub overrun: AtomicU64,
    /// Messages that could not be sent.
    pub unsent: AtomicU64,
}

/// All SIP sockets of the process.
pub struct SipSockets {
    pub(super) settings: Arc<Settings>,
    pub(super) inbox: mpsc::Sender<Incoming>,
    pub(super) losses: Losses,
    pub(super) streams: Mutex<BTreeMap<u64, SipStream>>,
    pub(super) stream_last: AtomicU64,
    datagrams: Vec<Arc<UdpSocket>>,
    routes: Mutex<BTreeMap<IpAddr, IpAddr>>,
}

/// A bound address, for UDP and TCP.
pub struct Listener {
    /// The bound address, with the port that port 0 became.
    pub address: SocketAddr,
    udp: Arc<UdpSocket>,
    tcp: TcpListener,
}

/// Buffer size of UDP sockets. With the default of some 200 kB, the kernel drops packets in a burst
/// of a thousand calls.
const SOCKET_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// Largest datagram that UDP allows.
const DATAGRAM_BYTES_MAX: usize = 65_536;

/// Tries to find a free port for port 0: UDP picks it, and TCP may find it taken.
const FREE_PORT_TRIES: usize = 16;

/// Limit of cached routes; peers are few. A full cache is emptied.
const ROUTES_MAX: usize = 1_024;

impl Listener {
    /// Binds UDP and TCP to one address. Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// The address is in use, not ours, or not permitted.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let mut tries = if address.port() == 0 { FREE_PORT_TRIES } else { 1 };
        loop {
            let udp = socket(address, Type::DGRAM, Protocol::UDP)?;
            udp.bind(&address.into())?;
            let udp = UdpSocket::from_std(udp.into())?;
            let bound = udp.local_addr()?;
            let tcp = socket(bound, Type::STREAM, Protocol::TCP)?;
            tcp.set_reuse_address(true)?;
            tries -= 1;
            match tcp.bind(&bound.into()) {
                Ok(()) => {
                    tcp.listen(stream::BACKLOG)?;
                    let tcp = TcpListener::from_std(tcp.into())?;
                    return Ok(Self { address: bound, udp: Arc::new(udp), tcp });
                }
                Err(error) if tries == 0 => return Err(error),
                Err(_) => {}
            }
        }
    }
}

impl SipSockets {
    /// Collects the sockets. They are read from [`SipSockets::listen`] on.
    pub fn new(
        settings: Arc<Settings>,
        inbox: mpsc::Sender<Incoming>,
        listeners: &[Listener],
    ) -> Self {
        Self {
            settings,
            inbox,
            losses: Losses::default(),
            streams: Mutex::default(),
            stream_last: AtomicU64::new(0),
            datagrams: listeners.iter().map(|it| it.udp.clone()).collect(),
            routes: Mutex::default(),
        }
    }

    /// Starts to read messages. Dropping the returned tasks stops it.
    pub fn listen(self: &Arc<Self>, listeners: Vec<Listener>) -> tokio::task::JoinSet<()> {
        let mut tasks = tokio::task::JoinSet::new();
        for (link, listener) in listeners.into_iter().enumerate() {
            tasks.spawn(self.clone().read_datagrams(link as u64, listener.address));
            tasks.spawn(stream::accept(self.clone(), listener.tcp));
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
            Transport::Tcp => stream::send(self, hop, bytes),
        };
        if !is_sent {
            self.losses.unsent.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn read_datagrams(self: Arc<Self>, link: u64, bound: SocketAddr) {
        let Some(socket) = self.datagrams.get(link as usize).cloned() else { return };
        let mut throttle = Throttle::new(SOURCES_MAX);
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        loop {
            // An error here is an ICMP answer to an earlier message; reading continues.
            let Ok((len, remote)) = socket.recv_from(&mut buffer).await else { continue };
            let rate = self.settings.rate_of(remote.ip());
            if !throttle.admit(Instant::now().into_std(), remote.ip(), rate) {
                self.losses.throttled.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let local = SocketAddr::new(self.local_for(bound.ip(), remote), bound.port());
            let hop = Hop { transport: Transport::Udp, link, local, remote };
            match SipMessage::parse(&buffer[..len]) {
                Ok(Some(message)) => self.take_in(Incoming { hop, message }),
                Ok(None) => {}
                Err(_) => {
                    self.losses.unreadable.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }

    fn take_in(&self, incoming: Incoming) {
        if self.inbox.try_send(incoming).is_err() {
            self.losses.overrun.fetch_add(1, Ordering::Relaxed);
        }
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

fn socket(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if kind == Type::DGRAM {
        // The kernel grants what it allows; a smaller buffer is slower, not wrong.
        let _ = socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
        let _ = socket.set_send_buffer_size(SOCKET_BUFFER_BYTES);
    }
    Ok(socket)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_holds_as_many_datagrams_for_us_as_it_allows() {
        let allowed = std::fs::read_to_string("/proc/sys/net/core/rmem_max").unwrap();
        let allowed: usize = allowed.trim().parse().unwrap();
        let here = SocketAddr::from(([127, 0, 0, 1], 0));
        let socket = socket(here, Type::DGRAM, Protocol::UDP).unwrap();
        assert!(socket.recv_buffer_size().unwrap() >= SOCKET_BUFFER_BYTES.min(allowed));
    }
}
