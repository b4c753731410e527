//! Sockets: datagrams in and out, and the table of streams.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, atomic::AtomicU64},
};

use parking_lot::Mutex;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::{TcpListener, UdpSocket},
    sync::mpsc,
};

use super::{message::SipMessage, request::Hop, settings::Settings};

/// A message, and the way it came.
#[derive(Debug)]
pub struct Incoming {
    /// The way.
    pub hop: Hop,
    /// The message.
    pub message: SipMessage,
}

/// What has been turned away before it reached the machine.
#[derive(Debug, Default)]
pub struct Losses {
    /// Messages of sources that send too much.
    pub throttled: AtomicU64,
    /// What was no message.
    pub unreadable: AtomicU64,
    /// Messages that found the machine busy: senders repeat them.
    pub overrun: AtomicU64,
    /// What could not be sent.
    pub unsent: AtomicU64,
}

/// All sockets of ours.
pub struct SipSockets {
    pub(super) settings: Arc<Settings>,
    pub(super) inbox: mpsc::Sender<Incoming>,
    pub(super) losses: Losses,
    pub(super) streams: Mutex<BTreeMap<u64, SipStream>>,
    pub(super) stream_last: AtomicU64,
    pub(super) datagrams: Vec<Arc<UdpSocket>>,
    pub(super) routes: Mutex<BTreeMap<IpAddr, IpAddr>>,
}

/// How a connection is written to.
#[derive(Debug)]
pub struct SipStream {
    pub(super) out: mpsc::Sender<Arc<[u8]>>,
    pub(super) source: IpAddr,
}

/// One bound address, over both transports.
pub struct Listener {
    /// As bound.
    pub address: SocketAddr,
    pub(super) udp: Arc<UdpSocket>,
    pub(super) tcp: TcpListener,
}

/// With the default of some 200 kB, a burst of a thousand calls loses packets in the kernel.
const SOCKET_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// Connections that the kernel holds for us until we take them.
const BACKLOG: i32 = 1_024;

/// Port 0 is taken from UDP first; TCP may be taken there, and then another one is tried.
const FREE_PORT_TRIES: usize = 16;

impl Listener {
    /// Binds UDP and TCP to one address. Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// The address is taken, not ours, or not allowed.
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
                    tcp.listen(BACKLOG)?;
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
    /// All sockets, which listen when [`SipSockets::listen`] is called.
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
}

fn socket(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if kind == Type::DGRAM {
        // The kernel gives what it allows; less is slower, not wrong.
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
