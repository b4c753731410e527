//! SIP over TCP: one task reads each connection and another writes to it.

use std::{
    net::IpAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
    time::{Instant, timeout},
};

use super::{
    error::SipError,
    message::{Frame, SipMessage, StartLine},
    name::{HeaderName, SipMethod},
    note::MessageDrop,
    request::{Hop, Transport, reply, top_via},
    sockets::{Incoming, SipSockets, SipStream},
    throttle::Throttle,
};

/// Limit of connections. Each costs two tasks and its buffers, some 20 kB.
const STREAMS_MAX: usize = 4_096;

/// Limit per source address: an office behind one address. Trunks and loopback are exempt.
const STREAMS_PER_SOURCE_MAX: usize = 64;

/// Messages queued for a slow reader; with more, sending fails.
const OUT_MAX: usize = 512;

/// Time for the first message after the connection, and for the rest of a message after its first
/// byte.
const MESSAGE_WAIT_MAX: Duration = Duration::from_secs(30);

/// Time without a message. Phones send a keep-alive every minute or two (RFC 5626).
const IDLE_MAX: Duration = Duration::from_secs(900);

/// Time after which a peer that reads nothing is gone.
const WRITE_WAIT_MAX: Duration = Duration::from_secs(10);

/// Buffer space for each read: one message of usual size.
const READ_BYTES: usize = 2_048;

/// Time to connect, short enough that a request still arrives in time.
const CONNECT_WAIT_MAX: Duration = Duration::from_secs(5);

/// Accepts connections for as long as it is polled.
pub async fn accept(sockets: Arc<SipSockets>, listener: TcpListener) {
    loop {
        let Ok((stream, remote)) = listener.accept().await else {
            // Out of file descriptors: other connections must end first.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        match has_room(&sockets, remote.ip()) {
            true => drop(tokio::spawn(serve(sockets.clone(), stream))),
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
    // Only our requests justify a new connection; a reply's far end has gone.
    if bytes.starts_with(b"SIP/2.0 ") || !has_room(sockets, hop.remote.ip()) {
        return false;
    }
    // The connection has the number of the one that it replaces, and messages wait for it.
    let (sockets, hop) = (sockets.clone(), *hop);
    let (out, outbox) = open(&sockets, &hop);
    // A new channel has room.
    let _ = out.try_send(bytes);
    tokio::spawn(async move {
        match timeout(CONNECT_WAIT_MAX, TcpStream::connect(hop.remote)).await {
            Ok(Ok(stream)) => run(&sockets, stream, hop, out, outbox).await,
            Ok(Err(_)) | Err(_) => {
                sockets.losses.unsent.fetch_add(1, Ordering::Relaxed);
            }
        }
        close(&sockets, hop.link).await;
    });
    true
}

type Outbox = (mpsc::Sender<Arc<[u8]>>, mpsc::Receiver<Arc<[u8]>>);

/// Puts a connection into the table, so that messages can be queued for it.
fn open(sockets: &SipSockets, hop: &Hop) -> Outbox {
    let (out, outbox) = mpsc::channel(OUT_MAX);
    let stream = SipStream { out: out.clone(), source: hop.remote.ip() };
    sockets.streams.lock().insert(hop.link, stream);
    (out, outbox)
}

/// Takes a connection out of the table, and tells the agent.
async fn close(sockets: &SipSockets, link: u64) {
    sockets.streams.lock().remove(&link);
    // Nobody listens once the driver has stopped.
    let _ = sockets.inbox.send(Incoming::Closed { link }).await;
}

/// Serves a connection that a far end has opened, until it ends.
async fn serve(sockets: Arc<SipSockets>, stream: TcpStream) {
    let (Ok(local), Ok(remote)) = (stream.local_addr(), stream.peer_addr()) else { return };
    let link = sockets.stream_last.fetch_add(1, Ordering::Relaxed) + 1;
    let hop = Hop { transport: Transport::Tcp, link, local, remote };
    let (out, outbox) = open(&sockets, &hop);
    run(&sockets, stream, hop, out, outbox).await;
    close(&sockets, link).await;
}

/// Reads and writes until the connection ends.
async fn run(
    sockets: &SipSockets,
    stream: TcpStream,
    hop: Hop,
    out: mpsc::Sender<Arc<[u8]>>,
    outbox: mpsc::Receiver<Arc<[u8]>>,
) {
    // Messages are small and urgent.
    let _ = stream.set_nodelay(true);
    let (reader, writer) = stream.into_split();
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
    mut reader: OwnedReadHalf,
    out: &mpsc::Sender<Arc<[u8]>>,
) {
    let (mut bytes, mut throttle) = (Vec::new(), Throttle::new(1));
    let mut is_new = true;
    loop {
        loop {
            let message = match take_message(&mut bytes) {
                Ok(NextMessage::Nothing) => break,
                // A double CRLF is a ping and gets a pong (RFC 5626, 3.5.1).
                Ok(NextMessage::Blank(len)) if len >= 4 => {
                    match out.try_send(b"\r\n".as_slice().into()) {
                        Ok(()) => continue,
                        Err(_) => return,
                    }
                }
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
        let more = tokio::select! {
            more = timeout(wait, reader.read_buf(&mut bytes)) => more,
            () = sockets.inbox.closed() => return,
        };
        match more {
            Ok(Ok(len)) if len > 0 => {}
            Ok(_) | Err(_) => return,
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

async fn write(mut writer: OwnedWriteHalf, mut outbox: mpsc::Receiver<Arc<[u8]>>) {
    while let Some(bytes) = outbox.recv().await {
        match timeout(WRITE_WAIT_MAX, writer.write_all(&bytes)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return,
        }
    }
}
