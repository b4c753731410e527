//! Many callers in one thread: each sends INVITE, ACK and BYE, and calls again.

use std::{
    fmt::Write,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    ops::Range,
    time::{Duration, Instant},
};

use socket2::SockRef;

use crate::measure::now;

/// The result of a round of calls.
pub(crate) struct Outcome {
    /// From the first INVITE to the last reply to a BYE.
    pub(crate) took: Duration,
    /// Retransmitted messages, from either side.
    pub(crate) again: u32,
}

/// One caller, and the reply that it waits for.
struct Caller {
    number: u32,
    is_leaving: bool,
    said: String,
    said_at: Instant,
}

/// A request that is not answered within this time is retransmitted (RFC 3261, T1).
const T1: Duration = Duration::from_millis(500);
/// A round takes seconds; one that takes longer is stuck.
const ROUND_MAX: Duration = Duration::from_secs(60);
/// Marks a caller that has made its last call.
const NOBODY: u32 = u32::MAX;
const RECEIVE_BUFFER: usize = 4 << 20;

const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
    m=audio 40000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
    a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=sendrecv\r\n";

/// Makes the calls of these numbers, `at_once` of them at a time. Each number is used for one call.
pub(crate) fn call(to: SocketAddr, mut numbers: Range<u32>, at_once: usize) -> Outcome {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER).expect("it is a socket");
    socket.connect(to).expect("loopback");
    socket.set_read_timeout(Some(T1 / 10)).expect("it is a socket");
    let local = socket.local_addr().expect("it is bound");
    let begun = now();
    let mut begin = |number| {
        let said = invite(number, local, to);
        socket.send(said.as_bytes()).expect("loopback takes it");
        Caller { number, is_leaving: false, said, said_at: now() }
    };
    let (n_calls, mut done, mut again) = (numbers.len(), 0, 0);
    let mut callers: Vec<_> = numbers.by_ref().take(at_once).map(&mut begin).collect();
    let mut buffer = [0; 4_096];
    while done < n_calls {
        let Ok(len) = socket.recv(&mut buffer) else {
            assert!(begun.elapsed() < ROUND_MAX, "{done} of {n_calls} calls came to their end");
            let late = |it: &&mut Caller| it.number != NOBODY && T1 < it.said_at.elapsed();
            for caller in callers.iter_mut().filter(late) {
                socket.send(caller.said.as_bytes()).expect("loopback takes it");
                caller.said_at = now();
                again += 1;
            }
            continue;
        };
        let reply = Reply::of(std::str::from_utf8(&buffer[..len]).expect("text"));
        if reply.code < 200 {
            continue;
        }
        assert_eq!(reply.code, 200, "no call was to be refused");
        let caller = callers.iter_mut().find(|it| it.number == reply.number);
        let Some(caller) = caller.filter(|it| it.is_leaving == reply.is_of_bye) else {
            again += 1;
            continue;
        };
        if reply.is_of_bye {
            done += 1;
            caller.number = NOBODY;
            if let Some(number) = numbers.next() {
                *caller = begin(number);
            }
            continue;
        }
        socket.send(within(&reply, local, "ACK", 1).as_bytes()).expect("loopback takes it");
        caller.said = within(&reply, local, "BYE", 2);
        socket.send(caller.said.as_bytes()).expect("loopback takes it");
        (caller.is_leaving, caller.said_at) = (true, now());
    }
    Outcome { took: begun.elapsed(), again }
}

fn invite(number: u32, local: SocketAddr, to: SocketAddr) -> String {
    let mut text = String::with_capacity(1_024);
    write!(
        text,
        "INVITE sip:weekly@{to} SIP/2.0\r\nVia: SIP/2.0/UDP {local};rport;branch=z9hG4bK-{number}-1\r\n\
         Max-Forwards: 70\r\nFrom: \"Anna\" <sip:anna@{local}>;tag=f{number}\r\n\
         To: <sip:weekly@{to}>\r\nCall-ID: call-{number}-\r\nCSeq: 1 INVITE\r\n\
         Contact: <sip:anna@{local}>\r\nUser-Agent: bench\r\nContent-Type: application/sdp\r\n\
         Content-Length: {}\r\n\r\n{OFFER}",
        OFFER.len()
    )
    .expect("memory");
    text
}

/// An ACK or a BYE within the dialog.
fn within(reply: &Reply<'_>, local: SocketAddr, method: &str, cseq: u32) -> String {
    let Reply { number, target, to, .. } = reply;
    let mut text = String::with_capacity(512);
    write!(
        text,
        "{method} {target} SIP/2.0\r\nVia: SIP/2.0/UDP {local};rport;branch=z9hG4bK-{number}-{method}\r\n\
         Max-Forwards: 70\r\nFrom: \"Anna\" <sip:anna@{local}>;tag=f{number}\r\n\
         To: {to}\r\nCall-ID: call-{number}-\r\nCSeq: {cseq} {method}\r\nContent-Length: 0\r\n\r\n"
    )
    .expect("memory");
    text
}

/// The parts of a reply that a caller needs.
struct Reply<'a> {
    code: u16,
    number: u32,
    is_of_bye: bool,
    to: &'a str,
    target: &'a str,
}

impl<'a> Reply<'a> {
    fn of(text: &'a str) -> Self {
        let between = |begin: &str, end: &str| {
            let (_, rest) = text.split_once(begin)?;
            rest.split_once(end).map(|(it, _)| it)
        };
        Self {
            code: between("SIP/2.0 ", " ").and_then(|it| it.parse().ok()).expect("a reply"),
            number: between(": call-", "-").and_then(|it| it.parse().ok()).expect("a Call-ID"),
            is_of_bye: between("CSeq: ", "\r\n").expect("a CSeq").ends_with("BYE"),
            to: between("\r\nTo: ", "\r\n").expect("a To"),
            target: between("\r\nContact: <", ">").unwrap_or_default(),
        }
    }
}
