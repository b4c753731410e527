//! Calls at a fixed rate to a server that answers at once. conflow hangs up after a second.

use std::{
    collections::HashSet,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use socket2::SockRef;

use crate::{
    measure::now,
    phone::{brief, header, headers},
    program::Program,
};

/// The result of all calls.
pub(crate) struct Outcome {
    pub(crate) calls: u32,
    /// Calls a second.
    pub(crate) rate: f64,
    /// Requests that the server has received again, and answers of its own that were not acknowledged.
    pub(crate) again: usize,
}

const FLOW: &str = "<Response><Wait length=\"1\"/></Response>";
const RECEIVE_BUFFER: usize = 4 << 20;
/// Until the last call has ended.
const ENDING: Duration = Duration::from_secs(3);
/// How often a server looks whether it is over.
const LOOK: Duration = Duration::from_millis(50);

/// Makes calls for this time.
pub(crate) fn measure(per_second: u32, time: Duration) -> Outcome {
    let server = AnsweringServer::start();
    let mut program = Program::start(server.address, FLOW);
    let calls = per_second * u32::try_from(time.as_secs()).expect("seconds");
    let pause = Duration::from_secs(1) / per_second;
    let begun = now();
    for n in 0..calls {
        thread::sleep((begun + pause * n).saturating_duration_since(now()));
        program.call(4_900_000_000 + u64::from(n));
    }
    let rate = f64::from(calls) / begun.elapsed().max(time).as_secs_f64();
    thread::sleep(ENDING);
    let seen = server.stop();
    assert_eq!(seen.invites.len(), calls as usize, "every call reaches the server");
    assert_eq!(seen.byes.len(), calls as usize, "every call is hung up");
    let unacknowledged = calls as usize - seen.acks.len();
    Outcome { calls, rate, again: seen.again + unacknowledged }
}

/// The branches of all requests.
#[derive(Default)]
struct Seen {
    invites: HashSet<String>,
    acks: HashSet<String>,
    byes: HashSet<String>,
    again: usize,
}

/// A server that answers every call at once.
struct AnsweringServer {
    address: SocketAddr,
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<Seen>,
}

impl AnsweringServer {
    fn start() -> Self {
        let socket = socket();
        socket.set_read_timeout(Some(LOOK)).expect("it is a socket");
        let address = socket.local_addr().expect("it is bound");
        let is_over = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&is_over);
        let thread = thread::spawn(move || {
            let (mut seen, mut bytes) = (Seen::default(), [0; 4_096]);
            while !until.load(Ordering::Relaxed) {
                let Ok((len, from)) = socket.recv_from(&mut bytes) else { continue };
                let request = String::from_utf8_lossy(&bytes[..len]).into_owned();
                let via = header(&request, "Via").unwrap_or_default().to_owned();
                let (kind, replies) = match brief(&request).as_str() {
                    "INVITE" => (&mut seen.invites, ringing_and_answer(&request, address)),
                    "ACK" => (&mut seen.acks, Vec::new()),
                    "BYE" => (&mut seen.byes, vec![reply(&request, "200 OK", "")]),
                    other => panic!("an unexpected {other}"),
                };
                seen.again += usize::from(!kind.insert(via));
                for reply in replies {
                    socket.send_to(reply.as_bytes(), from).expect("loopback takes it");
                }
            }
            seen
        });
        Self { address, is_over, thread }
    }

    fn stop(self) -> Seen {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.join().expect("it does not fail")
    }
}

fn ringing_and_answer(invite: &str, address: SocketAddr) -> Vec<String> {
    // Nobody listens at this port.
    let answer = answer(invite, address, 9);
    vec![reply(invite, "180 Ringing", &format!("Contact: <sip:{address}>\r\n")), answer]
}

/// The 200 to an INVITE, with sound at this port.
pub(crate) fn answer(invite: &str, address: SocketAddr, port: u16) -> String {
    let description = description(port);
    let more = format!(
        "Contact: <sip:{address}>\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n\
         {description}",
        description.len()
    );
    reply(invite, "200 OK", &more)
}

/// A description of sound at this port.
pub(crate) fn description(port: u16) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=sendrecv\r\n"
    )
}

/// A reply with the headers of its request. `more` has further ones, and may have a body.
pub(crate) fn reply(request: &str, status: &str, more: &str) -> String {
    let mut text = format!("SIP/2.0 {status}\r\n");
    for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
        for value in headers(request, name) {
            let tag = if name == "To" && !value.contains(";tag=") { ";tag=t" } else { "" };
            text += &format!("{name}: {value}{tag}\r\n");
        }
    }
    match more.contains("\r\n\r\n") {
        true => text + more,
        false => text + more + "Content-Length: 0\r\n\r\n",
    }
}

/// A socket that loses nothing while its thread is busy.
pub(crate) fn socket() -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER).expect("it is a socket");
    socket
}
