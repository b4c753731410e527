//! SIP over real sockets on loopback, with hand-written messages.

mod agent;
mod mutations;
mod recovery;
mod resolve;
mod streams;
mod tls;
mod torture;
mod trunks;

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    sync::{Arc, OnceLock},
    time::Duration,
};

use conflow::{
    base::ids::CallId,
    media::{
        Arrival, Ending, Exchange, HangupCause, HangupSource, LegEvent, NoFlow, Report,
        SignallingBackend, SignallingOrder,
        legs::{LegSession, LegSummary, Legs, NoPort},
    },
    sip::{
        BindError, Settings, SipBackend, SipSecret, agent::SipGauges, note::MessageDrop,
        throttle::Rate,
    },
    tls::ServerTls,
};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    sync::mpsc,
    time::timeout,
};

use crate::phone::{OFFER, Phone, SDP, body, brief, header};

/// Longer than any reply takes, even on a busy machine.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// An engine that answers calls to `weekly`, and legs that log their orders.
struct SipHarness {
    sip: Arc<SipBackend>,
    events: mpsc::UnboundedReceiver<String>,
    open: Arc<Mutex<BTreeSet<CallId>>>,
}

struct Engine {
    sip: OnceLock<Arc<SipBackend>>,
    events: mpsc::UnboundedSender<String>,
}

struct RecordingLegs {
    open: Arc<Mutex<BTreeSet<CallId>>>,
    events: mpsc::UnboundedSender<String>,
}

impl SipHarness {
    fn new() -> Self {
        Self::with(Settings {
            bind: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
            ..Settings::default()
        })
    }

    fn with(settings: Settings) -> Self {
        Self::with_tls(settings, None)
    }

    fn with_tls(settings: Settings, tls: Option<Arc<ServerTls>>) -> Self {
        Self::with_key(settings, tls, SipSecret([9; 32]))
    }

    fn with_key(settings: Settings, tls: Option<Arc<ServerTls>>, key: SipSecret) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let open = Arc::new(Mutex::default());
        let legs = Arc::new(RecordingLegs { open: Arc::clone(&open), events: sender.clone() });
        let (sip, driver) = SipBackend::bind_with(settings, tls, legs, key).unwrap();
        let sip = Arc::new(sip);
        let engine = Engine { sip: OnceLock::from(Arc::clone(&sip)), events: sender };
        tokio::spawn(driver.run(Arc::new(engine)));
        Self { sip, events, open }
    }

    fn address(&self) -> SocketAddr {
        self.sip.addresses()[0]
    }

    async fn event(&mut self) -> String {
        timeout(WAIT_MAX, self.events.recv()).await.unwrap().unwrap()
    }

    async fn expect(&mut self, events: &[&str]) {
        for event in events {
            assert_eq!(self.event().await, *event);
        }
    }
}

impl Legs for RecordingLegs {
    fn open(&self, call: CallId, local: IpAddr) -> Result<SocketAddr, NoPort> {
        assert!(self.open.lock().insert(call), "opened once");
        Ok(SocketAddr::new(local, 20_000))
    }

    fn agree(&self, call: CallId, session: LegSession) {
        assert!(self.open.lock().contains(&call), "not after the end");
        let remote = session.agreed.remote.unwrap();
        self.events.send(format!("agree {remote} from {}", session.source)).unwrap();
    }

    fn press(&self, _: CallId, key: char) {
        self.events.send(format!("press {key}")).unwrap();
    }

    fn end(&self, _: CallId) {
        self.events.send("End".to_owned()).unwrap();
    }

    fn close(&self, call: CallId) -> LegSummary {
        assert!(self.open.lock().remove(&call), "closed once");
        self.events.send("close".to_owned()).unwrap();
        LegSummary::default()
    }
}

fn end(call: CallId, cause: HangupCause) -> SignallingOrder {
    SignallingOrder::End { call, ending: Ending { cause, source: HangupSource::AnswerXml } }
}

impl Exchange for Engine {
    fn arrive(&self, arrival: Arrival) -> Result<(), NoFlow> {
        let (call, sip) = (arrival.call, self.sip.get().unwrap());
        self.events.send(format!("arrive {} {}", arrival.from, arrival.to)).unwrap();
        match &*arrival.to {
            "weekly" => sip.signal(SignallingOrder::Answer { call }),
            "early" => {
                sip.signal(SignallingOrder::EarlyMedia { call });
                sip.signal(SignallingOrder::Answer { call });
            }
            "busy" => sip.signal(end(call, HangupCause::Busy)),
            "ring" => {}
            _ => return Err(NoFlow { to: arrival.to, hint: String::new(), is_temporary: false }),
        }
        Ok(())
    }

    fn report(&self, report: Report) {
        self.events.send(format!("{:?}", report.event)).unwrap();
        match report.event {
            LegEvent::HungUp => {
                self.sip.get().unwrap().signal(end(report.call, HangupCause::Normal));
            }
            LegEvent::Digit(_)
            | LegEvent::Hold(_)
            | LegEvent::MediaLost
            | LegEvent::Finished(_)
            | LegEvent::Talk(_) => {}
            LegEvent::Answered | LegEvent::EarlyMedia | LegEvent::EarlyMediaOver => {}
            LegEvent::Failed(_) => {}
            LegEvent::Ringing | LegEvent::Waits(_) => {}
        }
    }
}

/// The phone's end of the connection.
enum Connection {
    Udp(UdpSocket),
    Tcp(TcpStream, Vec<u8>),
}

impl Connection {
    async fn udp(to: SocketAddr) -> (Self, Phone) {
        let socket = UdpSocket::bind((to.ip(), 0)).await.unwrap();
        socket.connect(to).await.unwrap();
        let address = socket.local_addr().unwrap();
        (Self::Udp(socket), Phone::new(&format!("u{}", address.port()), &address.to_string()))
    }

    async fn tcp(to: SocketAddr) -> (Self, Phone) {
        let stream = TcpStream::connect(to).await.unwrap();
        let address = stream.local_addr().unwrap();
        let mut phone = Phone::new(&format!("t{}", address.port()), &address.to_string());
        phone.via = format!("TCP {address}");
        phone.contact = format!("Contact: <sip:anna@{address};transport=tcp>\r\n");
        (Self::Tcp(stream, Vec::new()), phone)
    }

    async fn send(&mut self, text: &str) {
        match self {
            Self::Udp(socket) => drop(socket.send(text.as_bytes()).await.unwrap()),
            Self::Tcp(stream, _) => stream.write_all(text.as_bytes()).await.unwrap(),
        }
    }

    /// The next message, or None if the connection has ended.
    async fn receive(&mut self) -> Option<String> {
        timeout(WAIT_MAX, self.receive_slowly()).await.unwrap()
    }

    async fn receive_slowly(&mut self) -> Option<String> {
        match self {
            Self::Udp(socket) => {
                let mut buffer = vec![0; 65_536];
                let len = socket.recv(&mut buffer).await.unwrap();
                buffer.truncate(len);
                Some(String::from_utf8(buffer).unwrap())
            }
            Self::Tcp(stream, bytes) => loop {
                let text = String::from_utf8_lossy(bytes).into_owned();
                if let Some((head, rest)) = text.split_once("\r\n\r\n") {
                    let len = header(&text, "Content-Length").map_or(0, |it| it.parse().unwrap());
                    if rest.len() >= len {
                        let message = text[..head.len() + 4 + len].to_owned();
                        bytes.drain(..message.len());
                        return Some(message);
                    }
                }
                if stream.read_buf(bytes).await.unwrap_or(0) == 0 {
                    return None;
                }
            },
        }
    }

    /// Sends a request and receives until its final reply.
    async fn ask(&mut self, text: &str) -> String {
        self.send(text).await;
        loop {
            let reply = self.receive().await.unwrap();
            if !brief(&reply).starts_with('1') {
                return reply;
            }
        }
    }
}

async fn lines(harness: &SipHarness) -> [(Connection, Phone); 2] {
    [Connection::udp(harness.address()).await, Connection::tcp(harness.address()).await]
}

#[tokio::test]
async fn a_call_is_taken_and_ended_by_either_side_over_udp_and_tcp() {
    for ip in ["127.0.0.1", "::1"] {
        let bind = vec![SocketAddr::new(ip.parse().unwrap(), 0)];
        let mut harness = SipHarness::with(Settings { bind, ..Settings::default() });
        let description = OFFER.replace(
            "IN IP4 127.0.0.1",
            &match ip {
                "::1" => "IN IP6 ::1".to_owned(),
                ip => format!("IN IP4 {ip}"),
            },
        );
        for (mut line, mut phone) in lines(&harness).await {
            let agree = format!("agree {} from {ip}", SocketAddr::new(ip.parse().unwrap(), 40_000));
            for who in ["caller", "engine"] {
                phone.to_tag = None;
                let headers = format!("{}{SDP}", phone.contact.clone());
                let ok = line.ask(&phone.request("INVITE", &headers, &description)).await;
                assert_eq!(brief(&ok), "200", "{ok}");
                phone.learn(&ok);
                line.send(&phone.ack()).await;
                harness.expect(&["arrive sip:anna@127.0.0.1 weekly", &agree]).await;
                if who == "caller" {
                    assert_eq!(brief(&line.ask(&phone.request("BYE", "", "")).await), "200");
                    harness.expect(&["close", "HungUp", "End"]).await;
                    continue;
                }
                let relay = "Content-Type: application/dtmf-relay\r\n";
                line.send(&phone.request("INFO", relay, "Signal=#")).await;
                harness.expect(&["press #"]).await;
                let call = *harness.open.lock().first().unwrap();
                harness.sip.signal(end(call, HangupCause::EndOfXml));
                harness.expect(&["End", "close"]).await;
                assert_eq!(brief(&line.receive().await.unwrap()), "200");
                let bye = line.receive().await.unwrap();
                assert_eq!(brief(&bye), "BYE");
                line.send(&bye.replace("BYE sip:", "SIP/2.0 200 OK\r\nX: ")).await;
            }
        }
        assert_eq!(harness.open.lock().len(), 0);
    }
}

#[tokio::test]
async fn a_caller_cancels_and_a_flow_refuses() {
    let mut harness = SipHarness::new();
    for (mut line, mut phone) in lines(&harness).await {
        phone.to = "ring";
        line.send(&phone.invite()).await;
        for code in ["100", "180"] {
            assert_eq!(brief(&line.receive().await.unwrap()), code);
        }
        line.send(&phone.same_branch("CANCEL")).await;
        assert_eq!(brief(&line.receive().await.unwrap()), "200");
        let refused = line.receive().await.unwrap();
        assert_eq!((&*brief(&refused), header(&refused, "CSeq")), ("487", Some("1 INVITE")));
        phone.learn(&refused);
        line.send(&phone.same_branch("ACK")).await;
        harness.expect(&["arrive sip:anna@127.0.0.1 ring", "close", "HungUp", "End"]).await;

        for (to, code) in [("busy", "486"), ("nobody", "404")] {
            phone.to = to;
            phone.to_tag = None;
            let refused = line.ask(&phone.invite()).await;
            assert_eq!(brief(&refused), code);
            phone.learn(&refused);
            line.send(&phone.same_branch("ACK")).await;
            harness.event().await;
            while harness.event().await != "close" {}
        }
    }
}

#[tokio::test]
async fn early_media_and_a_late_offer() {
    let mut harness = SipHarness::new();
    let (mut line, mut phone) = Connection::udp(harness.address()).await;
    phone.to = "early";
    line.send(&phone.invite()).await;
    let mut said = Vec::new();
    while said.last().is_none_or(|it: &String| brief(it) != "200") {
        said.push(line.receive().await.unwrap());
    }
    assert_eq!(said.iter().map(|it| brief(it)).collect::<Vec<_>>(), ["100", "180", "183", "200"]);
    assert_eq!(body(&said[2]), body(&said[3]));
    phone.learn(&said[3]);
    line.send(&phone.ack()).await;
    let agree = "agree 127.0.0.1:40000 from 127.0.0.1";
    harness.expect(&["arrive sip:anna@127.0.0.1 early", agree]).await;

    let (mut line, mut phone) = Connection::udp(harness.address()).await;
    let contact = phone.contact.clone();
    let ok = line.ask(&phone.request("INVITE", &contact, "")).await;
    assert!(body(&ok).contains("m=audio 20000 RTP/AVP 0 8 101"), "{ok}");
    phone.learn(&ok);
    line.send(&phone.ack_with(SDP, OFFER)).await;
    harness.expect(&["arrive sip:anna@127.0.0.1 weekly", agree]).await;
}

#[tokio::test]
async fn a_phone_holds_and_resumes() {
    let mut harness = SipHarness::new();
    for (mut line, mut phone) in lines(&harness).await {
        let ok = line.ask(&phone.invite()).await;
        phone.learn(&ok);
        line.send(&phone.ack()).await;
        let agree = "agree 127.0.0.1:40000 from 127.0.0.1";
        harness.expect(&["arrive sip:anna@127.0.0.1 weekly", agree]).await;
        let headers = format!("{}{SDP}", phone.contact.clone());
        for (direction, report) in [("sendonly", "Hold(true)"), ("sendrecv", "Hold(false)")] {
            let offer = OFFER.replace("sendrecv", direction);
            let ok = line.ask(&phone.request("INVITE", &headers, &offer)).await;
            assert_eq!(brief(&ok), "200");
            line.send(&phone.ack()).await;
            harness.expect(&[agree, report]).await;
        }
    }
}

#[tokio::test]
async fn the_200_is_retransmitted_until_its_ack() {
    let harness = SipHarness::new();
    for (mut line, mut phone) in lines(&harness).await {
        let first = line.ask(&phone.invite()).await;
        assert_eq!(line.receive().await.unwrap(), first);
        phone.learn(&first);
        line.send(&phone.ack()).await;
        // Whatever else was in transit, the reply to this request arrives at last.
        while brief(&line.ask(&phone.request("INFO", "", "")).await) != "200" {}
    }
}

#[tokio::test]
async fn bytes_that_are_not_sip_disturb_nobody() {
    let harness = SipHarness::new();
    let (mut line, mut phone) = Connection::udp(harness.address()).await;
    for noise in ["", "\r\n\r\n", "hello", "INVITE\r\n\r\n", "SIP/2.0 200 OK\r\n\r\n", "\0\0\0"] {
        line.send(noise).await;
    }
    assert_eq!(brief(&line.ask(&phone.request("OPTIONS", "", "")).await), "200");
    for noise in ["INVITE\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "x y SIP/2.0\r\nl: -1\r\n\r\n"] {
        let (mut line, _) = Connection::tcp(harness.address()).await;
        line.send(noise).await;
        assert!(line.receive().await.is_none_or(|it| brief(&it) == "400"), "{noise:?}");
    }
    assert_eq!(harness.sip.gauges(), SipGauges::default());
}

#[tokio::test]
async fn bound_to_all_addresses_it_names_the_one_that_was_called() {
    let bind = vec![SocketAddr::from(([0, 0, 0, 0], 0))];
    let harness = SipHarness::with(Settings { bind, open: Some(true), ..Settings::default() });
    let port = harness.address().port();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    for (mut line, mut phone) in [Connection::udp(address).await, Connection::tcp(address).await] {
        let ok = line.ask(&phone.invite()).await;
        let contact = header(&ok, "Contact").unwrap();
        assert!(contact.starts_with(&format!("<sip:conflow@127.0.0.1:{port}")), "{contact}");
        assert!(body(&ok).contains("c=IN IP4 127.0.0.1"), "{ok}");
    }
}

#[tokio::test]
async fn a_flood_is_throttled_before_it_is_parsed() {
    let rate_trusted = Rate { per_second: 1, burst: 5 };
    let bind = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
    let harness = SipHarness::with(Settings { bind, rate_trusted, ..Settings::default() });
    let (mut line, mut phone) = Connection::udp(harness.address()).await;
    for _ in 0..5 {
        assert_eq!(brief(&line.ask(&phone.request("OPTIONS", "", "")).await), "200");
    }
    for _ in 0..100 {
        line.send(&phone.request("OPTIONS", "", "")).await;
    }
    let throttled = || harness.sip.losses().dropped(MessageDrop::Throttled);
    timeout(WAIT_MAX, async {
        while throttled() < 90 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_busy_port_is_distinguished_from_other_errors() {
    let harness = SipHarness::new();
    let bind = |address| {
        let (events, _) = mpsc::unbounded_channel();
        let legs = RecordingLegs { open: Arc::default(), events };
        let settings = Settings { bind: vec![address], ..Settings::default() };
        SipBackend::bind(settings, Arc::new(legs), SipSecret([1; 32])).err()
    };
    assert!(bind(harness.address()).as_ref().is_some_and(BindError::is_busy));
    let foreign = bind("192.0.2.77:5060".parse().unwrap()).unwrap();
    assert!(!foreign.is_busy());
    assert!(foreign.to_string().contains("192.0.2.77:5060"), "{foreign}");
}

#[tokio::test]
async fn the_driver_stops_on_request_and_frees_its_port() {
    let mut harness = SipHarness::new();
    let address = harness.address();
    let (mut line, mut phone) = Connection::tcp(address).await;
    assert_eq!(brief(&line.ask(&phone.request("OPTIONS", "", "")).await), "200");
    assert_eq!(harness.sip.streams(), 1);
    harness.sip.drain();
    assert_eq!(brief(&line.ask(&phone.request("OPTIONS", "", "")).await), "503");
    harness.sip.stop();
    drop(harness.sip);
    // The engine and the legs are dropped with it.
    assert_eq!(timeout(WAIT_MAX, harness.events.recv()).await.unwrap(), None);
    assert_eq!(line.receive().await, None);
    assert!(UdpSocket::bind(address).await.is_ok());
}
