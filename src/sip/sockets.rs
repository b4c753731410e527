//! SIP sockets: UDP in and out, and the table of TCP connections.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
    os::fd::{AsFd, BorrowedFd},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::{Mutex, RwLock};
use rustls::{ClientConfig, pki_types::ServerName};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::{TcpListener, UdpSocket},
    sync::mpsc,
    time::Instant,
};

use super::{
    message::SipMessage,
    note::{Losses, NoteLimit, SipNote},
    request::Hop,
    settings::Settings,
};
use crate::{
    holder::{HeldSockets, names},
    tls::ServerTls,
};

/// What the network tells the agent.
#[derive(Debug)]
pub enum Incoming {
    /// A message was received.
    Message {
        /// The hop on which it came.
        hop: Hop,
        /// The message, parsed; it may have an error in it.
        message: Box<SipMessage>,
    },
    /// A connection has ended, or could not be opened.
    Closed {
        /// Its number, as in [`Hop::link`].
        link: u64,
    },
}

/// All SIP sockets of the process.
pub struct SipSockets {
    pub(super) settings: RwLock<Arc<Settings>>,
    pub(super) inbox: mpsc::Sender<Incoming>,
    pub(super) losses: Losses,
    pub(super) told: Mutex<NoteLimit>,
    pub(super) streams: Mutex<BTreeMap<u64, SipStream>>,
    pub(super) stream_last: AtomicU64,
    /// Connections to servers that we call, by address and verified name; that is empty over TCP.
    pub(super) peers: Mutex<BTreeMap<(SocketAddr, String), KnownServer>>,
    /// What clients over TLS trust, by the PEM text that says so.
    pub(super) trusts: Mutex<BTreeMap<Arc<[u8]>, Arc<ClientConfig>>>,
    pub(super) datagrams: Vec<Arc<UdpSocket>>,
    pub(super) routes: Mutex<BTreeMap<IpAddr, IpAddr>>,
}

/// Write end of a connection, and its far end's address.
#[derive(Debug)]
pub struct SipStream {
    pub(super) out: mpsc::Sender<Arc<[u8]>>,
    pub(super) source: IpAddr,
}

/// Whom a connection of ours must reach: a SIP domain, never the host that a look-up gave for it
/// (RFC 5922, section 7), and who may certify that.
#[derive(Clone, Debug)]
pub struct TlsPeer {
    /// The domain, or an address.
    pub domain: ServerName<'static>,
    /// The authorities that are trusted.
    pub trust: Arc<ClientConfig>,
}

/// A server that we have opened a connection to.
#[derive(Clone, Debug)]
pub struct KnownServer {
    pub(super) link: u64,
    /// The address that the connection leaves from.
    pub(super) local: SocketAddr,
    /// None over TCP.
    pub(super) peer: Option<TlsPeer>,
}

/// A bound address, for UDP and TCP.
pub struct Listener {
    /// The bound address, with the port that port 0 became.
    pub address: SocketAddr,
    pub(super) udp: Arc<UdpSocket>,
    pub(super) tcp: TcpListener,
}

/// A bound address for TLS, and the certificate that it shows.
pub struct TlsListener {
    /// The bound address, with the port that port 0 became.
    pub address: SocketAddr,
    pub(super) tcp: TcpListener,
    pub(super) tls: Arc<ServerTls>,
}

impl TlsListener {
    /// Takes the listener of an address that a holder has kept, or binds TCP to it. Must be called within
    /// a tokio runtime.
    ///
    /// # Errors
    ///
    /// The address is in use, not ours, or not permitted.
    pub fn bind(address: SocketAddr, tls: Arc<ServerTls>, held: &HeldSockets) -> io::Result<Self> {
        let tcp = listen_held(address, names::SIP_TLS, held)?;
        Ok(Self { address: tcp.local_addr()?, tcp, tls })
    }

    /// Its socket, with its name at a holder.
    pub fn descriptor(&self) -> (&'static str, BorrowedFd<'_>) {
        (names::SIP_TLS, self.tcp.as_fd())
    }
}

/// Buffer size of UDP sockets. With the default of some 200 kB, the kernel drops packets in a burst
/// of a thousand calls.
const SOCKET_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// Connections that the kernel queues before we accept them.
const BACKLOG: i32 = 1_024;

/// Tries to find a free port for port 0: UDP picks it, and TCP may find it taken.
const FREE_PORT_TRIES: usize = 16;

impl Listener {
    /// Takes the sockets of an address that a holder has kept, or binds UDP and TCP to it. Must be called
    /// within a tokio runtime.
    ///
    /// # Errors
    ///
    /// The address is in use, not ours, or not permitted.
    pub fn bind(address: SocketAddr, held: &HeldSockets) -> io::Result<Self> {
        if let Some(udp) = held.take_udp(names::SIP_UDP, address) {
            let (address, udp) = (udp.local_addr()?, Arc::new(UdpSocket::from_std(udp)?));
            return Ok(Self { address, udp, tcp: listen_held(address, names::SIP_TCP, held)? });
        }
        let mut tries = if address.port() == 0 { FREE_PORT_TRIES } else { 1 };
        loop {
            let udp = socket(address, Type::DGRAM, Protocol::UDP)?;
            udp.bind(&address.into())?;
            let udp = UdpSocket::from_std(udp.into())?;
            let bound = udp.local_addr()?;
            tries -= 1;
            match listen(bound) {
                Ok(tcp) => return Ok(Self { address: bound, udp: Arc::new(udp), tcp }),
                Err(error) if tries == 0 => return Err(error),
                Err(_) => {}
            }
        }
    }

    /// Its sockets, with their names at a holder.
    pub fn descriptors(&self) -> [(&'static str, BorrowedFd<'_>); 2] {
        [(names::SIP_UDP, self.udp.as_fd()), (names::SIP_TCP, self.tcp.as_fd())]
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
            settings: RwLock::new(settings),
            inbox,
            losses: Losses::default(),
            told: Mutex::default(),
            streams: Mutex::default(),
            stream_last: AtomicU64::new(0),
            peers: Mutex::default(),
            trusts: Mutex::default(),
            datagrams: listeners.iter().map(|it| it.udp.clone()).collect(),
            routes: Mutex::default(),
        }
    }
}

impl SipSockets {
    /// Counts what a note says, and writes it to the log, unless that has just been done.
    pub(super) fn note(&self, note: &SipNote) {
        match note {
            SipNote::Dropped { why, .. } => self.losses.count(*why),
            SipNote::KeyInClear { .. } => {
                self.losses.clear_keys.fetch_add(1, Ordering::Relaxed);
            }
            SipNote::Refused { .. }
            | SipNote::LeftOut { .. }
            | SipNote::ForeignAck { .. }
            | SipNote::Trunk { .. }
            | SipNote::KeysByInfoOnly { .. } => {}
        }
        if !self.told.lock().admits(Instant::now().into_std(), note) {
            return;
        }
        match note {
            SipNote::KeysByInfoOnly { call } | SipNote::KeyInClear { call } => {
                tracing::info!(%call, "{note}");
            }
            SipNote::Trunk { trunk, is_warning: true, .. } => tracing::warn!(%trunk, "{note}"),
            SipNote::Trunk { trunk, .. } => tracing::info!(%trunk, "{note}"),
            SipNote::Dropped { peer, .. }
            | SipNote::Refused { peer, .. }
            | SipNote::LeftOut { peer, .. }
            | SipNote::ForeignAck { peer, .. } => match note.is_warning() {
                true => tracing::warn!(%peer, "{note}"),
                false => tracing::info!(%peer, "{note}"),
            },
        }
    }
}

fn listen_held(address: SocketAddr, name: &str, held: &HeldSockets) -> io::Result<TcpListener> {
    match held.take_tcp(name, address) {
        Some(listener) => TcpListener::from_std(listener),
        None => listen(address),
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let tcp = socket(address, Type::STREAM, Protocol::TCP)?;
    tcp.set_reuse_address(true)?;
    tcp.bind(&address.into())?;
    tcp.listen(BACKLOG)?;
    TcpListener::from_std(tcp.into())
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
