//! SIP over TCP and TLS: one task reads each connection and another writes to it.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

#[cfg(target_os = "linux")]
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::mpsc,
    time::{Instant, sleep_until, timeout, timeout_at},
};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use super::{
    error::SipError,
    keep_alive::{KeepAlive, KeepAliveStep, PING, PONG},
    message::{Frame, SipMessage, StartLine},
    name::{HeaderName, SipMethod},
    note::MessageDrop,
    request::{Hop, Transport, reply, top_via},
    sockets::{Incoming, KnownServer, SipSockets, SipStream, TlsPeer},
    throttle::Throttle,
};
use crate::tls::{HANDSHAKE_WAIT_MAX, ServerTls};

/// Limit of connections. Each costs two tasks and its buffers, some 20 kB.
const STREAMS_MAX: usize = 4_096;

/// Limit per source address: an office behind one address. Trunks and loopback are exempt.
const STREAMS_PER_SOURCE_MAX: usize = 64;

/// Messages queued for a slow reader; with more, sending fails.
const OUT_MAX: usize = 512;

/// Time for the first message after the connection, and for the rest of a message after its first
/// byte.
const MESSAGE_WAIT_MAX: Duration = Duration::from_secs(30);

/// Time in which nothing comes, not even the answer to a ping.
const IDLE_MAX: Duration = Duration::from_secs(900);

/// Time for the far end's system to confirm what was sent, such as a ping; then it is gone.
#[cfg(target_os = "linux")]
const CONFIRM_WAIT_MAX: Duration = Duration::from_secs(30);

/// Time after which a peer that reads nothing is gone.
const WRITE_WAIT_MAX: Duration = Duration::from_secs(10);

/// Buffer space for each read: one message of usual size.
const READ_BYTES: usize = 2_048;

/// Time to connect, short enough that a request still arrives in time.
const CONNECT_WAIT_MAX: Duration = Duration::from_secs(5);

/// Limit of servers whose connections are known; beyond it, those without one are forgotten.
const PEERS_MAX: usize = 1_024;

/// How a new connection becomes a secure one.
enum Handshake {
    Accept(TlsAcceptor),
    Connect(TlsPeer),
}

type Outbox = (mpsc::Sender<Arc<[u8]>>, mpsc::Receiver<Arc<[u8]>>);

/// Accepts connections for as long as it is polled.
pub async fn accept(sockets: Arc<SipSockets>, listener: TcpListener, tls: Option<Arc<ServerTls>>) {
    loop {
        let Ok((stream, remote)) = listener.accept().await else {
            // Out of file descriptors: other connections must end first.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        match has_room(&sockets, remote.ip()) {
            true => {
                let handshake = tls.as_ref().map(|it| Handshake::Accept(it.acceptor()));
                // It counts from before its handshake.
                let link = new_link(&sockets);
                let outbox = open(&sockets, link, remote.ip());
                let sockets = sockets.clone();
                drop(tokio::spawn(
                    async move { run(&sockets, stream, link, handshake, outbox).await },
                ));
            }
            false => sockets.note_drop(remote, MessageDrop::TooManyStreams, ""),
        }
    }
}

fn has_room(sockets: &SipSockets, source: IpAddr) -> bool {
    let streams = sockets.streams.lock();
    let is_known =
        source.to_canonical().is_loopback() || sockets.settings.read().trunk_at(source).is_some();
    let of_source = || streams.values().filter(|it| it.source == source).count();
    streams.len() < STREAMS_MAX && (is_known || of_source() < STREAMS_PER_SOURCE_MAX)
}

/// Writes to the hop's connection, or opens one. Returns false if the message cannot be sent.
pub fn send(sockets: &Arc<SipSockets>, hop: &Hop, bytes: Arc<[u8]>) -> bool {
    if let Some(stream) = sockets.streams.lock().get(&hop.link) {
        return stream.out.try_send(bytes).is_ok();
    }
    // Who is at the address of a closed TLS connection of theirs has proven nothing (RFC 5626); one
    // of ours is opened again, and proves it again.
    let known = sockets.peers.lock().values().find(|it| it.link == hop.link).cloned();
    let peer = known.as_ref().and_then(|it| it.peer.clone());
    if hop.transport == Transport::Tls && peer.is_none() {
        return false;
    }
    // Only our requests justify a new connection; a reply's far end has gone.
    if bytes.starts_with(b"SIP/2.0 ") || !has_room(sockets, hop.remote.ip()) {
        return false;
    }
    let from = known.map_or(hop.local, |it| it.local).ip();
    let Ok((socket, local)) = leave_from(from, hop.remote) else { return false };
    for it in sockets.peers.lock().values_mut().filter(|it| it.link == hop.link) {
        it.local = local;
    }
    // The connection has the number of the one that it replaces, and messages wait for it.
    connect(sockets, hop.link, (socket, hop.remote), peer.map(Handshake::Connect), Some(bytes));
    true
}

/// A connection to a server of ours.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct OwnLink {
    /// The number of the connection.
    pub link: u64,
    /// The address that it leaves from, with a port that nobody listens on.
    pub local: SocketAddr,
}

/// A socket that leaves from an address of ours, with any free port.
fn leave_from(from: IpAddr, remote: SocketAddr) -> io::Result<(TcpSocket, SocketAddr)> {
    let socket = if remote.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.bind((from, 0).into())?;
    let local = socket.local_addr()?;
    Ok((socket, local))
}

/// Returns the connection to a server of ours to call: the one that is open, or a new one, which leaves
/// from this address. None if there are too many. If the server turns out to be somebody else, the
/// connection closes, and nothing has been sent.
pub fn link_to(
    sockets: &Arc<SipSockets>,
    from: IpAddr,
    remote: SocketAddr,
    peer: Option<TlsPeer>,
) -> Option<OwnLink> {
    let domain = peer.as_ref().map(|it| it.domain.to_str().into_owned());
    let name = (remote, domain.unwrap_or_default());
    let mut peers = sockets.peers.lock();
    if let Some(known) = peers.get(&name) {
        let is_open = sockets.streams.lock().contains_key(&known.link);
        if is_open {
            return Some(OwnLink { link: known.link, local: known.local });
        }
    }
    if !has_room(sockets, remote.ip()) {
        return None;
    }
    if PEERS_MAX <= peers.len() {
        let streams = sockets.streams.lock();
        peers.retain(|_, it| streams.contains_key(&it.link));
    }
    let (socket, local) = leave_from(from, remote).ok()?;
    let link = new_link(sockets);
    connect(sockets, link, (socket, remote), peer.clone().map(Handshake::Connect), None);
    peers.insert(name, KnownServer { link, local, peer });
    Some(OwnLink { link, local })
}

/// Opens a connection, and sends a message on it once it is open.
fn connect(
    sockets: &Arc<SipSockets>,
    link: u64,
    (socket, remote): (TcpSocket, SocketAddr),
    handshake: Option<Handshake>,
    first: Option<Arc<[u8]>>,
) {
    let outbox = open(sockets, link, remote.ip());
    if let Some(first) = first {
        // A new channel has room.
        let _ = outbox.0.try_send(first);
    }
    let sockets = sockets.clone();
    tokio::spawn(async move {
        match timeout(CONNECT_WAIT_MAX, socket.connect(remote)).await {
            Ok(Ok(stream)) => run(&sockets, stream, link, handshake, outbox).await,
            Ok(Err(_)) | Err(_) => {
                sockets.losses.unsent.fetch_add(1, Ordering::Relaxed);
                close(&sockets, link).await;
            }
        }
    });
}

/// The number of a new connection.
pub(super) fn new_link(sockets: &SipSockets) -> u64 {
    sockets.stream_last.fetch_add(1, Ordering::Relaxed) + 1
}

/// Takes a connection out of the table, and tells the agent.
async fn close(sockets: &SipSockets, link: u64) {
    sockets.streams.lock().remove(&link);
    // Nobody listens once the driver has stopped.
    let _ = sockets.inbox.send(Incoming::Closed { link }).await;
}

/// Puts a connection into the table, so that messages can be queued for it.
fn open(sockets: &SipSockets, link: u64, source: IpAddr) -> Outbox {
    let (out, outbox) = mpsc::channel(OUT_MAX);
    sockets.streams.lock().insert(link, SipStream { out: out.clone(), source });
    (out, outbox)
}

/// Serves one connection until it ends.
async fn run(
    sockets: &SipSockets,
    stream: TcpStream,
    link: u64,
    handshake: Option<Handshake>,
    outbox: Outbox,
) {
    let ends = stream.local_addr().and_then(|local| Ok((local, stream.peer_addr()?)));
    // Messages are small and urgent.
    let _ = stream.set_nodelay(true);
    #[cfg(target_os = "linux")]
    let _ = SockRef::from(&stream).set_tcp_user_timeout(Some(CONFIRM_WAIT_MAX));
    let hop = |(local, remote), transport| Hop { transport, link, local, remote };
    match (ends, handshake) {
        (Ok(ends), None) => {
            let halves = stream.into_split();
            serve(sockets, hop(ends, Transport::Tcp), halves, outbox).await;
        }
        (Ok(ends), Some(handshake)) => {
            let shaken = timeout(HANDSHAKE_WAIT_MAX, async {
                match handshake {
                    Handshake::Accept(acceptor) => {
                        Ok(TlsStream::from(acceptor.accept(stream).await?))
                    }
                    Handshake::Connect(TlsPeer { domain, trust }) => {
                        let connector = TlsConnector::from(trust);
                        Ok(TlsStream::from(connector.connect(domain, stream).await?))
                    }
                }
            });
            match shaken.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                Ok(stream) => {
                    serve(sockets, hop(ends, Transport::Tls), split(stream), outbox).await;
                }
                Err::<_, io::Error>(error) => {
                    tracing::debug!(peer = %ends.1, %error, "a TLS handshake of SIP failed");
                    sockets.note_drop(ends.1, MessageDrop::Handshake, "");
                }
            }
        }
        (Err(_), _) => {}
    }
    close(sockets, link).await;
}

/// Reads and writes messages until the connection ends.
async fn serve(
    sockets: &SipSockets,
    hop: Hop,
    (reader, writer): (impl AsyncRead + Send + Unpin, impl AsyncWrite + Send + Unpin + 'static),
    (out, outbox): Outbox,
) {
    let writing = tokio::spawn(write(writer, outbox));
    read(sockets, hop, reader, &out).await;
    sockets.streams.lock().remove(&hop.link);
    drop(out);
    // Queued messages are still written; then the connection closes.
    let _ = writing.await;
}

async fn read(
    sockets: &SipSockets,
    hop: Hop,
    mut reader: impl AsyncRead + Unpin,
    out: &mpsc::Sender<Arc<[u8]>>,
) {
    let (mut bytes, mut throttle) = (Vec::new(), Throttle::new(1));
    let mut is_new = true;
    let mut heard_at = Instant::now();
    let mut keep_alive = KeepAlive::new(heard_at.into_std(), hop.link);
    loop {
        loop {
            let message = match take_message(&mut bytes) {
                Ok(NextMessage::Nothing) => break,
                // A double CRLF is a ping and gets a pong (RFC 5626, 3.5.1).
                Ok(NextMessage::Blank(len)) if len >= 4 => match out.try_send(PONG.into()) {
                    Ok(()) => continue,
                    Err(_) => return,
                },
                Ok(NextMessage::Blank(_)) => continue,
                Ok(NextMessage::Message(message)) => message,
                Err(error) => {
                    sockets.note_drop(hop.remote, MessageDrop::Unreadable, error.reason);
                    // The connection ends once this is written.
                    return refusal(&bytes, &hop, error).map_or((), |it| _ = out.try_send(it));
                }
            };
            is_new = false;
            let rate = sockets.settings.read().rate_of(hop.remote.ip());
            if !throttle.admit(Instant::now().into_std(), hop.remote.ip(), rate) {
                return sockets.note_drop(hop.remote, MessageDrop::Throttled, "");
            }
            // A full inbox blocks this connection only.
            if sockets.inbox.send(Incoming::Message { hop, message }).await.is_err() {
                return;
            }
        }
        let wait = if is_new || !bytes.is_empty() { MESSAGE_WAIT_MAX } else { IDLE_MAX };
        bytes.reserve(READ_BYTES);
        tokio::select! {
            more = timeout_at(heard_at + wait, reader.read_buf(&mut bytes)) => match more {
                Ok(Ok(len)) if len > 0 => {
                    heard_at = Instant::now();
                    keep_alive.heard(bytes == PONG);
                }
                Ok(_) | Err(_) => return,
            },
            () = sleep_until(keep_alive.deadline().into()) => {
                match keep_alive.tick(Instant::now().into_std()) {
                    KeepAliveStep::Wait => {}
                    KeepAliveStep::Ping if out.try_send(PING.into()).is_ok() => {}
                    KeepAliveStep::Ping | KeepAliveStep::Close => return,
                }
            }
            () = sockets.inbox.closed() => return,
        }
    }
}

/// The first item of a stream's buffer, taken out of it.
enum NextMessage {
    Nothing,
    Blank(usize),
    Message(Box<SipMessage>),
}

fn take_message(bytes: &mut Vec<u8>) -> Result<NextMessage, SipError> {
    let (len, cut) = match SipMessage::frame(bytes)? {
        Frame::Partial => return Ok(NextMessage::Nothing),
        Frame::Blank(len) => (len, NextMessage::Blank(len)),
        Frame::Whole(len) => match SipMessage::parse(&bytes[..len])? {
            // A message without Via cannot be answered: the peer speaks another protocol.
            Some(message) if message.get(&HeaderName::Via).is_none() => {
                return Err(SipError::bad_request("no Via"));
            }
            Some(message) => (len, NextMessage::Message(Box::new(message))),
            None => (len, NextMessage::Blank(len)),
        },
    };
    bytes.drain(..len);
    Ok(cut)
}

/// Answers the request at the beginning of a stream whose framing is lost, if it can be answered.
fn refusal(bytes: &[u8], hop: &Hop, error: SipError) -> Option<Arc<[u8]>> {
    let message = SipMessage::parse(bytes).ok()??;
    let StartLine::Request { method, .. } = &message.start else { return None };
    top_via(&message).ok().filter(|_| *method != SipMethod::Ack)?;
    // Nothing is kept, and no other message of this connection is answered.
    let tag = format!("{:x}-{:x}", hop.link, hop.remote.port());
    Some(reply(&message, hop, error.code, error.reason, &tag).to_bytes().into())
}

async fn write(mut writer: impl AsyncWrite + Unpin, mut outbox: mpsc::Receiver<Arc<[u8]>>) {
    while let Some(bytes) = outbox.recv().await {
        let written = async {
            writer.write_all(&bytes).await?;
            writer.flush().await
        };
        match timeout(WRITE_WAIT_MAX, written).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return,
        }
    }
    // It tells TLS that nothing was cut off. A peer that has gone does not matter.
    let _ = timeout(WRITE_WAIT_MAX, writer.shutdown()).await;
}

#[cfg(test)]
mod tests {
    use tokio::io::{DuplexStream, duplex};

    use super::*;
    use crate::sip::{Settings, request::tests::hop};

    /// The far end of a connection, over which one message has come, and what is written to it.
    async fn connection() -> (DuplexStream, mpsc::Receiver<Arc<[u8]>>, mpsc::Receiver<Incoming>) {
        let (inbox, incoming) = mpsc::channel(8);
        let sockets = SipSockets::new(Arc::new(Settings::default()), inbox, &[]);
        let (mut far, near) = duplex(1_024);
        let (out, outbox) = mpsc::channel(8);
        tokio::spawn(async move { read(&sockets, hop(), near, &out).await });
        let message = b"OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/TCP b\r\nContent-Length: 0\r\n\r\n";
        far.write_all(message).await.unwrap();
        (far, outbox, incoming)
    }

    #[tokio::test(start_paused = true)]
    async fn a_far_end_that_answers_pings_no_more_is_gone() {
        let (mut far, mut outbox, _incoming) = connection().await;
        let began = Instant::now();
        for _ in 0..20 {
            assert_eq!(outbox.recv().await.as_deref(), Some(PING));
            far.write_all(PONG).await.unwrap();
        }
        assert!(IDLE_MAX < began.elapsed(), "answers keep it open");
        assert_eq!(outbox.recv().await.as_deref(), Some(PING));
        let pinged = Instant::now();
        assert_eq!(outbox.recv().await, None, "it is closed");
        assert_eq!(pinged.elapsed().as_secs(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_far_end_without_pongs_stays_as_long_as_before_and_a_part_of_a_message_does_not() {
        let (_far, mut outbox, _incoming) = connection().await;
        let began = Instant::now();
        let mut pings = 0;
        while let Some(ping) = outbox.recv().await {
            assert_eq!(&*ping, PING);
            pings += 1;
        }
        assert!((10..=15).contains(&pings), "{pings}");
        assert_eq!(began.elapsed(), IDLE_MAX);

        let (mut far, mut outbox, _incoming) = connection().await;
        let began = Instant::now();
        far.write_all(b"OPTIONS").await.unwrap();
        assert_eq!(outbox.recv().await, None);
        assert_eq!(began.elapsed(), MESSAGE_WAIT_MAX);
    }
}
