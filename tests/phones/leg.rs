//! Test phone that keeps every received packet in order, with marks for events that the test knows
//! of. The order in which the kernel queued them shows which packets were sent before and after a
//! response, so no clock is needed.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use conflow::{
    audio::{dtmf::KeyPress, tone::amplitude},
    rtp::{
        g711::{FRAME, Law, RATE},
        packet::{self, Packet, RtpStream},
    },
};
use parking_lot::Mutex;

use crate::{
    ear,
    phone::{self, Phone},
    program::eventually,
};

const TICK: Duration = conflow::media::TICK;

/// Sockets are checked for their close at this interval.
const READ_WAIT: Duration = Duration::from_millis(50);

/// An item received on the RTP port.
#[derive(Clone, Debug)]
pub(crate) enum RtpItem {
    Sound(Sound),
    /// Sent by [`Leg::mark`].
    Mark(&'static str),
}

/// A packet of sound.
#[derive(Clone, Debug)]
pub(crate) struct Sound {
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) ssrc: u32,
    pub(crate) samples: Vec<i16>,
}

impl Sound {
    /// The amplitude of a tone in the packet; full scale is 1.
    pub(crate) fn amplitude(&self, frequency: f64) -> f64 {
        amplitude(&self.samples, RATE, frequency)
    }
}

/// Options of the offer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LegOptions {
    /// The tone that it sends, in Hz; None for silence.
    pub(crate) tone: Option<f64>,
    /// The address in its SDP; None for its own.
    pub(crate) sdp: Option<&'static str>,
}

pub(crate) struct Leg {
    pub(crate) user: &'static str,
    phone: Phone,
    sip: Arc<UdpSocket>,
    server: SocketAddr,
    rtp: Arc<UdpSocket>,
    sdp: String,
    state: Arc<LegState>,
    threads: Vec<JoinHandle<()>>,
}

/// State shared by the threads.
#[derive(Default)]
struct LegState {
    is_over: AtomicBool,
    received: Mutex<Vec<RtpItem>>,
    /// Received requests and replies, in order.
    messages: Mutex<Vec<String>>,
    /// Keys still to be pressed.
    keys: Mutex<Vec<char>>,
    is_talking: AtomicBool,
}

impl Leg {
    /// Calls and waits for the answer.
    #[track_caller]
    pub(crate) fn call(
        server: SocketAddr,
        to: &'static str,
        user: &'static str,
        options: LegOptions,
    ) -> Self {
        let sip = Arc::new(UdpSocket::bind("127.0.0.1:0").unwrap());
        let rtp = Arc::new(UdpSocket::bind("127.0.0.1:0").unwrap());
        sip.connect(server).unwrap();
        let address = sip.local_addr().unwrap().to_string();
        let name = format!("{user}-{}", rtp.local_addr().unwrap().port());
        let mut phone = Phone::new(&name, &address);
        (phone.to, phone.from) = (to, user);
        let sdp = offer(options.sdp.unwrap_or("127.0.0.1"), rtp.local_addr().unwrap().port());
        let state = Arc::new(LegState::default());
        state.is_talking.store(true, Ordering::Relaxed);
        let mut leg = Self { user, phone, sip, server, rtp, sdp, state, threads: Vec::new() };
        leg.spawn(LegSockets::signal);
        let answer = leg.invite("sendrecv");
        leg.spawn(LegSockets::listen);
        let to = media_address(&answer);
        leg.spawn(move |it| it.talk(to, options.tone));
        leg
    }

    /// Sends an INVITE or re-INVITE with `sendrecv` or `sendonly`, acknowledges the answer and
    /// returns it.
    #[track_caller]
    pub(crate) fn invite(&mut self, direction: &str) -> String {
        let contact = self.phone.contact.clone();
        let body = format!("{}a={direction}\r\n", self.sdp);
        let request = self.phone.request("INVITE", &format!("{contact}{}", phone::SDP), &body);
        self.sip.send(request.as_bytes()).unwrap();
        let wanted = format!("{} INVITE", self.phone.cseq);
        let answer = eventually(&format!("the answer for {}", self.user), || {
            let messages = self.state.messages.lock();
            let is_final = |it: &&String| {
                it.starts_with("SIP/2.0 ")
                    && !it.starts_with("SIP/2.0 1")
                    && phone::header(it, "CSeq") == Some(&wanted)
            };
            messages.iter().find(is_final).cloned()
        });
        assert_eq!(phone::brief(&answer), "200", "{answer}");
        self.phone.learn(&answer);
        let ack = self.phone.ack();
        self.sip.send(ack.as_bytes()).unwrap();
        answer
    }

    /// Puts a mark among the packets: those before it were sent before this returns, and those
    /// after it were sent after this was called.
    pub(crate) fn mark(&self, mark: &'static str) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.send_to(mark.as_bytes(), self.rtp.local_addr().unwrap()).unwrap();
    }

    /// Presses a key by RFC 4733.
    pub(crate) fn press(&self, key: char) {
        self.state.keys.lock().push(key);
    }

    /// Everything received so far.
    pub(crate) fn received(&self) -> Vec<RtpItem> {
        self.state.received.lock().clone()
    }

    /// The sound received so far.
    pub(crate) fn sounds(&self) -> Vec<Sound> {
        let sound = |it| match it {
            RtpItem::Sound(sound) => Some(sound),
            RtpItem::Mark(_) => None,
        };
        self.received().into_iter().filter_map(sound).collect()
    }

    /// Waits for `ms` more milliseconds of sound, and returns them.
    #[track_caller]
    pub(crate) fn hear(&self, ms: usize) -> Vec<i16> {
        let from = self.sounds().len();
        let to = from + ms / 20;
        eventually(&format!("{ms} ms of sound for {}", self.user), || {
            (to <= self.state.received.lock().len() && to <= self.sounds().len()).then_some(())
        });
        self.sounds()[from..to].iter().flat_map(|it| it.samples.clone()).collect()
    }

    /// Waits for a request from conflow, such as `BYE`, and returns it.
    #[track_caller]
    pub(crate) fn wait_for(&self, method: &str) -> String {
        eventually(&format!("{method} for {}", self.user), || {
            let messages = self.state.messages.lock();
            messages.iter().find(|it| phone::brief(it) == method).cloned()
        })
    }

    pub(crate) fn is_over(&self) -> bool {
        self.state.messages.lock().iter().any(|it| phone::brief(it) == "BYE")
    }

    /// Hangs up, unless conflow has.
    pub(crate) fn hang_up(&mut self) {
        if !self.is_over() {
            let bye = self.phone.request("BYE", "", "");
            _ = self.sip.send(bye.as_bytes());
        }
    }

    fn spawn(&mut self, run: impl FnOnce(&LegSockets) + Send + 'static) {
        let ends = LegSockets {
            sip: Arc::clone(&self.sip),
            rtp: Arc::clone(&self.rtp),
            state: Arc::clone(&self.state),
            server: self.server,
        };
        self.threads.push(thread::spawn(move || run(&ends)));
    }
}

impl Drop for Leg {
    fn drop(&mut self) {
        self.hang_up();
        self.state.is_over.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|it| drop(it.join()));
    }
}

/// The sockets and state for the threads of a leg.
struct LegSockets {
    sip: Arc<UdpSocket>,
    rtp: Arc<UdpSocket>,
    state: Arc<LegState>,
    server: SocketAddr,
}

impl LegSockets {
    fn is_over(&self) -> bool {
        self.state.is_over.load(Ordering::Relaxed)
    }

    /// Keeps received messages and answers every request with 200.
    fn signal(&self) {
        self.sip.set_read_timeout(Some(READ_WAIT)).unwrap();
        let mut bytes = [0; 8_192];
        while !self.is_over() {
            let Ok(len) = self.sip.recv(&mut bytes) else { continue };
            let message = String::from_utf8_lossy(&bytes[..len]).into_owned();
            if !message.starts_with("SIP/2.0 ") && !message.starts_with("ACK ") {
                _ = self.sip.send(ok(&message).as_bytes());
            }
            self.state.messages.lock().push(message);
        }
    }

    /// Keeps marks, and RTP from the server's host.
    fn listen(&self) {
        self.rtp.set_read_timeout(Some(READ_WAIT)).unwrap();
        let mut bytes = [0; 2_048];
        while !self.is_over() {
            let Ok((len, from)) = self.rtp.recv_from(&mut bytes) else { continue };
            let datagram = &bytes[..len];
            let item = match MARKS.iter().find(|it| it.as_bytes() == datagram) {
                Some(mark) => Some(RtpItem::Mark(mark)),
                None => sound(datagram).map(RtpItem::Sound),
            };
            assert_eq!(from.ip(), self.server.ip());
            self.state.received.lock().extend(item);
        }
    }

    /// Sends one packet per tick, with a tone or silence, and keys.
    fn talk(&self, to: SocketAddr, tone: Option<f64>) {
        let tone = tone.map(|it| ear::tone(it, 1));
        let mut stream = RtpStream::new(u32::from(to.port()), 1, 1_000);
        let (start, mut press) = (Instant::now(), None::<KeyPress>);
        for n in 0.. {
            thread::sleep((start + TICK * n).saturating_duration_since(Instant::now()));
            if self.is_over() {
                return;
            }
            press = press.or_else(|| {
                let key = self.state.keys.lock().pop()?;
                KeyPress::new(key, 5, FRAME as u16)
            });
            let (mut payload, mut packet) = ([Law::Mu.silence(); FRAME], [0; 256]);
            let update = press.as_mut().and_then(KeyPress::tick);
            let len = match update {
                Some(it) => {
                    let event = it.event.bytes();
                    stream.write_aged(it.age, it.marker, 101, &event, &mut packet)
                }
                None => {
                    press = None;
                    if let Some(tone) = &tone {
                        let at = n as usize * FRAME % tone.len();
                        Law::Mu.encode(&tone[at..at + FRAME], &mut payload);
                    }
                    stream.write(0, &payload, FRAME as u32, &mut packet)
                }
            };
            if update.is_some() {
                stream.skip(FRAME as u32);
            }
            // The other end may have closed its port.
            _ = self.rtp.send_to(&packet[..len.unwrap()], to);
        }
    }
}

/// The values for [`Leg::mark`], in the order of use.
pub(crate) const MARKS: [&str; 2] = ["ordered", "answered"];

pub(crate) fn sound(datagram: &[u8]) -> Option<Sound> {
    if packet::is_rtcp(datagram) {
        return None;
    }
    let packet = Packet::parse(datagram).unwrap();
    let law = Law::of_payload_type(packet.payload_type)?;
    let mut samples = vec![0; packet.payload.len()];
    law.decode(packet.payload, &mut samples);
    let Packet { sequence, timestamp, ssrc, .. } = packet;
    Some(Sound { sequence, timestamp, ssrc, samples })
}

fn offer(address: &str, port: u16) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\n\
         a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n"
    )
}

/// The address at which the answer expects sound.
fn media_address(answer: &str) -> SocketAddr {
    let lines = || phone::body(answer).lines();
    let ip = lines().find_map(|it| it.strip_prefix("c=IN IP4 ")).unwrap();
    let media = lines().find_map(|it| it.strip_prefix("m=audio ")).unwrap();
    format!("{ip}:{}", media.split(' ').next().unwrap()).parse().unwrap()
}

fn ok(request: &str) -> String {
    let mut reply = "SIP/2.0 200 OK\r\n".to_owned();
    for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
        for value in phone::headers(request, name) {
            reply += &format!("{name}: {value}\r\n");
        }
    }
    reply + "Content-Length: 0\r\n\r\n"
}
