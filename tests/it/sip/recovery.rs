//! Answered calls over real sockets that survive their process: signalling and sound on the same ports.

use std::{
    collections::BTreeMap,
    net::UdpSocket as StdSocket,
    os::fd::{BorrowedFd, OwnedFd},
};

use conflow::{
    base::{boot_clock::BootClock, ids::AccountId},
    holder::{HeldSockets, names},
    media::{
        AudioEngine, AudioOrder, BackendRow, BackendRowKind, BackendRows, Dialling, Program,
        SoundKind,
    },
    rtp::packet::{Packet, RtpStream},
    rtp_engine::{self, OnSoundLoaded, RtpEngine, SoundLoader},
    sip::{SipTrunk, trunk::OutboundTrunk},
};
use tokio::task::JoinHandle;

use super::*;
use crate::authority::Authority;

/// The rows that are alive.
#[derive(Default)]
struct RowsInMemory(Mutex<BTreeMap<(BackendRowKind, u128), Vec<u8>>>);

impl BackendRows for RowsInMemory {
    fn write(&self, rows: &[BackendRow]) {
        let mut alive = self.0.lock();
        for BackendRow { kind, id, body } in rows {
            match body {
                Some(body) => alive.insert((*kind, *id), body.clone()),
                None => alive.remove(&(*kind, *id)),
            };
        }
    }
}

impl RowsInMemory {
    fn alive(&self) -> Vec<BackendRow> {
        let row = |((kind, id), body): (&(BackendRowKind, u128), &Vec<u8>)| BackendRow {
            kind: *kind,
            id: *id,
            body: Some(body.clone()),
        };
        self.0.lock().iter().map(row).collect()
    }

    fn count(&self, kind: BackendRowKind) -> usize {
        self.0.lock().keys().filter(|it| it.0 == kind).count()
    }
}

struct NoSounds;

impl SoundLoader for NoSounds {
    fn load(&self, _: CallId, what: &SoundKind, done: OnSoundLoaded) {
        done(Err(format!("{what:?} does not exist")));
    }
}

/// One process: signalling and sound.
struct Life {
    harness: SipHarness,
    driver: JoinHandle<()>,
    legs: Arc<RtpEngine>,
    standing: BTreeSet<CallId>,
}

impl Life {
    /// Begins with the rows of the earlier process. The port of SIP may be taken for a moment.
    async fn new(rows: &Arc<RowsInMemory>, clock: BootClock, bind: SocketAddr) -> Self {
        let settings = Settings { bind: vec![bind], ..Settings::default() };
        Self::with(rows, clock, settings, None, |_| ()).await
    }

    /// As `new`; the earlier process has handed over if it has left sockets.
    async fn after(
        rows: &Arc<RowsInMemory>,
        clock: BootClock,
        bind: SocketAddr,
        held: Option<HeldSockets>,
    ) -> Self {
        let settings = Settings { bind: vec![bind], ..Settings::default() };
        Self::with(rows, clock, settings, held, |_| ()).await
    }

    /// With settings. `meanwhile` is called with the addresses before the rows are read.
    async fn with(
        rows: &Arc<RowsInMemory>,
        clock: BootClock,
        settings: Settings,
        held: Option<HeldSockets>,
        meanwhile: impl FnOnce(&[SocketAddr]),
    ) -> Self {
        let (is_handed_over, held) = (held.is_some(), held.unwrap_or_default());
        let sip_settings = settings;
        let settings = rtp_engine::Settings { threads: 1, ..Default::default() };
        let mut legs = RtpEngine::start(settings, Arc::new(NoSounds)).unwrap();
        legs.keep_rows(rows.clone(), clock).unwrap();
        let legs = Arc::new(legs);
        let (sip, driver) = loop {
            match SipBackend::bind(sip_settings.clone(), legs.clone(), SipSecret([9; 32])) {
                Ok(bound) => break bound,
                Err(_) => tokio::task::yield_now().await,
            }
        };
        meanwhile(sip.addresses());
        let mut driver = driver.keeping(rows.clone(), clock);
        let alive = rows.alive();
        let ports = legs.restore_held(&alive, clock, is_handed_over, &held, &|_| ());
        assert_eq!(held.count(), 0, "all sockets are taken");
        if is_handed_over {
            driver.trust_far_ends();
        }
        let standing = driver.restore(&alive, &ports, clock, &|_| ());
        let (sip, (sender, events)) = (Arc::new(sip), mpsc::unbounded_channel());
        assert!(sip.restores(CallId::of(1)));
        let engine = Engine { sip: OnceLock::from(Arc::clone(&sip)), events: sender };
        let driver = tokio::spawn(driver.run(Arc::new(engine)));
        let harness = SipHarness { sip, events, open: Arc::default() };
        Self { harness, driver, legs, standing }
    }

    /// Ends as at an upgrade; returns the sockets of its legs.
    async fn hand_over(self) -> HeldSockets {
        self.harness.sip.hand_over();
        self.driver.await.unwrap();
        let given = Arc::<Mutex<Vec<OwnedFd>>>::default();
        let (legs, all) = (self.legs, given.clone());
        let stopped = tokio::task::spawn_blocking(move || {
            legs.hand_over(Box::new(move |sockets: &[BorrowedFd<'_>]| {
                for socket in sockets {
                    all.lock().push(socket.try_clone_to_owned()?);
                }
                Ok(())
            }))
        });
        assert_eq!(stopped.await.unwrap().unwrap().count, 1);
        let held = HeldSockets::default();
        for socket in given.lock().drain(..) {
            held.add_udp(names::RTP, socket.into()).unwrap();
        }
        held
    }

    /// Nobody is told.
    async fn crash(self) {
        self.driver.abort();
        assert!(self.driver.await.unwrap_err().is_cancelled());
    }
}

/// The sound of a phone.
struct Line {
    socket: StdSocket,
    stream: RtpStream,
}

/// What a packet says of itself, and where it has come from.
#[derive(Clone, Copy, Debug)]
struct Heard {
    from: SocketAddr,
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    marker: bool,
}

impl Line {
    fn new() -> Self {
        let socket = StdSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(WAIT_MAX)).unwrap();
        Self { socket, stream: RtpStream::new(77, 1, 1) }
    }

    fn offer(&self) -> String {
        OFFER.replace("40000", &self.socket.local_addr().unwrap().port().to_string())
    }

    fn hear(&self) -> Heard {
        let mut buffer = [0; 2_048];
        let (len, from) = self.socket.recv_from(&mut buffer).unwrap();
        let Packet { ssrc, sequence, timestamp, marker, .. } =
            Packet::parse(&buffer[..len]).unwrap();
        Heard { from, ssrc, sequence, timestamp, marker }
    }

    /// Drops what has come, and waits for the next packet.
    fn hear_next(&self) -> Heard {
        self.socket.set_nonblocking(true).unwrap();
        while self.socket.recv(&mut [0; 2_048]).is_ok() {}
        self.socket.set_nonblocking(false).unwrap();
        self.hear()
    }

    fn say(&mut self, to: SocketAddr) {
        let mut out = [0; 200];
        let len = self.stream.write(0, &[255; 160], 160, &mut out).unwrap();
        self.socket.send_to(&out[..len], to).unwrap();
    }
}

#[expect(clippy::disallowed_methods, reason = "a beat has it, too")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "it stands for the start of the machine")]
fn clock() -> BootClock {
    BootClock::new(std::time::Instant::now(), 5_000_000_000)
}

/// A call that is up, heard both ways, and has its rows.
async fn up(life: &mut Life, rows: &RowsInMemory) -> (Connection, Phone, Line, Heard) {
    let (mut line, mut phone) = Connection::udp(life.harness.address()).await;
    let mut sound = Line::new();
    let calls = rows.count(BackendRowKind::Dialog) + 1;
    let headers = format!("{}{SDP}", phone.contact.clone());
    let ok = line.ask(&phone.request("INVITE", &headers, &sound.offer())).await;
    assert_eq!(brief(&ok), "200", "{ok}");
    assert_eq!(rows.count(BackendRowKind::Dialog), calls, "it is written before the 200 leaves");
    phone.learn(&ok);
    line.send(&phone.ack()).await;
    let first = sound.hear();
    while rows.count(BackendRowKind::Leg) != calls {
        sound.hear();
    }
    // Its address is settled from the first packet on, and the row says so.
    let before = rows.alive();
    sound.say(first.from);
    let mut last = sound.hear();
    while rows.alive() == before {
        last = sound.hear();
    }
    (line, phone, sound, last)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_goes_on_on_the_same_ports_in_the_same_dialog() {
    let (rows, clock) = (Arc::new(RowsInMemory::default()), clock());
    let mut life = Life::new(&rows, clock, "127.0.0.1:0".parse().unwrap()).await;
    let at = life.harness.address();
    let (mut line, mut phone, mut sound, mut last) = up(&mut life, &rows).await;
    for cseq in 1..=2 {
        life.crash().await;
        while sound.socket.set_nonblocking(true).is_ok() && sound.socket.peek(&mut [0]).is_ok() {
            last = sound.hear();
        }
        sound.socket.set_nonblocking(false).unwrap();
        life = Life::new(&rows, clock, at).await;
        assert_eq!(life.standing.len(), 1);

        let next = sound.hear();
        assert_eq!((next.from, next.ssrc), (last.from, last.ssrc));
        assert!(next.marker, "a new talkspurt");
        let ahead = next.sequence.wrapping_sub(last.sequence);
        let later = next.timestamp.wrapping_sub(last.timestamp);
        assert!((1..3_000).contains(&ahead) && 160 <= later, "{last:?} {next:?}");
        // A sender that is silent for a while counts fewer packets than frames.
        assert!(u32::from(ahead).abs_diff(later / 160) <= 60, "{last:?} {next:?}");
        assert_eq!(sound.hear().sequence, next.sequence.wrapping_add(1));

        let check = line.receive().await.unwrap();
        assert_eq!(header(&check, "CSeq"), Some(&*format!("{cseq} INVITE")));
        let port = format!("m=audio {} ", last.from.port());
        assert!(body(&check).contains(&port), "{check}");
        line.send(&agent::reply_to(&check, 200, SDP, &sound.offer())).await;
        assert_eq!(brief(&line.receive().await.unwrap()), "ACK");
    }
    // A stranger does not take the leg, and the phone still has it.
    let mut stranger = Line::new();
    stranger.say(last.from);
    sound.say(last.from);
    for _ in 0..5 {
        assert_eq!(sound.hear_next().ssrc, last.ssrc);
    }

    assert_eq!(brief(&line.ask(&phone.request("BYE", "", "")).await), "200");
    life.harness.expect(&["HungUp"]).await;
    assert_eq!(rows.count(BackendRowKind::Dialog), 0);
    while rows.count(BackendRowKind::Leg) != 0 {
        tokio::task::yield_now().await;
    }
    life.crash().await;
}

/// The number of the program that a call hears, and since when it does.
fn playing(rows: &RowsInMemory) -> Option<(u32, u64)> {
    let alive = rows.0.lock();
    let of_call = |it: &&(BackendRowKind, u128)| it.0 == BackendRowKind::Playing && it.1 != 0;
    let (_, number, since) =
        postcard::from_bytes::<(u8, u32, u64)>(&alive[alive.keys().find(of_call)?]).unwrap();
    Some((number, since))
}

/// The last time at which some call heard something.
fn beat(rows: &RowsInMemory) -> u64 {
    let alive = rows.0.lock();
    let body = alive.get(&(BackendRowKind::Playing, 0));
    body.map_or(0, |it| postcard::from_bytes::<(u8, u32, u64)>(it).unwrap().2)
}

/// Nanoseconds of a sound that were heard before a crash, at least.
const HEARD: u64 = 500_000_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sound_goes_on_where_it_was() {
    let (rows, clock) = (Arc::new(RowsInMemory::default()), clock());
    let life = Life::new(&rows, clock, "127.0.0.1:0".parse().unwrap()).await;
    let (mut life, at) = (life, Duration::from_millis(1));
    let address = life.harness.address();
    let _phone = up(&mut life, &rows).await;
    let call = rows.alive().iter().find(|it| it.kind == BackendRowKind::Leg).unwrap().id;
    let call = CallId(uuid::Uuid::from_u128(call));
    let program: Program = [SoundKind::Silence(Duration::from_secs(3_600)).into()].into();
    life.legs.send(AudioOrder::Play { call, number: 7, program: program.clone() });
    while playing(&rows).is_none() {
        tokio::time::sleep(at).await;
    }
    assert_eq!(playing(&rows).unwrap().0, 7);
    // A program without the number of before begins at its start, and one with it goes on.
    for (before, number) in [(7, 1_007), (7, 2_007), (1_007, 3_007)] {
        let heard_from = playing(&rows).unwrap();
        while beat(&rows) < heard_from.1 + HEARD {
            tokio::time::sleep(at).await;
        }
        life.crash().await;
        let crashed_at = clock.nanos(now());
        life = Life::new(&rows, clock, address).await;
        let program = program.clone();
        life.legs.send(AudioOrder::PlayOn { call, number, before, program });
        while playing(&rows).is_none_or(|it| it.0 != number) {
            tokio::time::sleep(at).await;
        }
        let (_, begins) = playing(&rows).unwrap();
        match before == heard_from.0 {
            true => assert!(begins + HEARD <= clock.nanos(now()), "{begins}"),
            false => assert!(crashed_at < begins, "{begins}"),
        }
    }
    life.crash().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_handed_over_goes_on_with_the_next_packet_and_is_not_asked() {
    let (rows, clock) = (Arc::new(RowsInMemory::default()), clock());
    let mut life = Life::new(&rows, clock, "127.0.0.1:0".parse().unwrap()).await;
    let at = life.harness.address();
    let (mut line, mut phone, mut sound, mut last) = up(&mut life, &rows).await;
    for _ in 0..3 {
        let held = life.hand_over().await;
        // It waits in the socket.
        sound.say(last.from);
        while sound.socket.set_nonblocking(true).is_ok() && sound.socket.peek(&mut [0]).is_ok() {
            last = sound.hear();
        }
        sound.socket.set_nonblocking(false).unwrap();
        life = Life::after(&rows, clock, at, Some(held)).await;
        assert_eq!(life.standing.len(), 1);
        let next = sound.hear();
        assert_eq!((next.from, next.ssrc), (last.from, last.ssrc));
        assert_eq!(next.sequence, last.sequence.wrapping_add(1), "{last:?} {next:?}");
        let later = next.timestamp.wrapping_sub(last.timestamp);
        assert!(160 <= later && later % 160 == 0, "{last:?} {next:?}");
        last = sound.hear();
        assert_eq!(brief(&line.ask(&phone.request("OPTIONS", "", "")).await), "200");
    }
    assert_eq!(brief(&line.ask(&phone.request("BYE", "", "")).await), "200");
    life.harness.expect(&["HungUp"]).await;
    life.crash().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sound_moves_to_another_port_if_its_own_is_taken() {
    let (rows, clock) = (Arc::new(RowsInMemory::default()), clock());
    let mut life = Life::new(&rows, clock, "127.0.0.1:0".parse().unwrap()).await;
    let at = life.harness.address();
    let (mut line, _, sound, last) = up(&mut life, &rows).await;
    life.crash().await;
    let thief = loop {
        match StdSocket::bind(last.from) {
            Ok(thief) => break thief,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    let life = Life::new(&rows, clock, at).await;
    assert_eq!(life.standing.len(), 1);
    let check = line.receive().await.unwrap();
    let offer = body(&check);
    let port = offer.split("m=audio ").nth(1).unwrap().split(' ').next().unwrap();
    assert_ne!(port, last.from.port().to_string());
    assert!(offer.contains(" 2 IN IP4 "), "another version: {offer}");
    let next = std::iter::repeat_with(|| sound.hear()).find(|it| it.from != last.from).unwrap();
    assert_eq!((next.from.port().to_string().as_str(), next.ssrc), (port, last.ssrc));
    life.crash().await;
    drop(thief);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_halves_neither_goes_on_without_the_other() {
    let (rows, clock) = (Arc::new(RowsInMemory::default()), clock());
    let mut life = Life::new(&rows, clock, "127.0.0.1:0".parse().unwrap()).await;
    let at = life.harness.address();
    let (mut line, ..) = up(&mut life, &rows).await;
    let _second = up(&mut life, &rows).await;
    life.crash().await;
    // The first call loses its leg, and the second one its dialog.
    let ids: Vec<_> = rows.alive().into_iter().map(|it| (it.kind, it.id)).collect();
    let is_of = |id: u128, local: &Connection| {
        let Connection::Udp(socket) = local else { unreachable!("over UDP") };
        let name = format!("u{}", socket.local_addr().unwrap().port());
        let dialog = rows.0.lock()[&(BackendRowKind::Dialog, id)].clone();
        String::from_utf8_lossy(&dialog).contains(&name)
    };
    for (_, id) in ids.iter().filter(|it| it.0 == BackendRowKind::Dialog) {
        let lost = match is_of(*id, &line) {
            true => BackendRowKind::Leg,
            false => BackendRowKind::Dialog,
        };
        rows.0.lock().remove(&(lost, *id));
    }
    let life = Life::new(&rows, clock, at).await;
    assert!(life.standing.is_empty());
    assert_eq!(brief(&line.receive().await.unwrap()), "BYE");
    while rows.count(BackendRowKind::Leg) != 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(life.legs.gauges().legs.load(std::sync::atomic::Ordering::Relaxed), 0);
    life.crash().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_hears_ringing_is_refused_and_one_who_calls_meanwhile_is_answered() {
    let (rows, clock) = (Arc::new(RowsInMemory::default()), clock());
    let life = Life::new(&rows, clock, "127.0.0.1:0".parse().unwrap()).await;
    let at = life.harness.address();
    let (mut line, mut phone) = Connection::udp(at).await;
    phone.to = "ring";
    line.send(&phone.invite()).await;
    for code in ["100", "180"] {
        assert_eq!(brief(&line.receive().await.unwrap()), code);
    }
    life.crash().await;
    assert_eq!(rows.count(BackendRowKind::Dialog), 1);

    let (mut other, sound) = (Phone::new("meanwhile", "127.0.0.1:1"), Line::new());
    let invite =
        other.request("INVITE", &format!("{}{SDP}", other.contact.clone()), &sound.offer());
    let socket = StdSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(WAIT_MAX)).unwrap();
    let settings = Settings { bind: vec![at], ..Settings::default() };
    let life = Life::with(&rows, clock, settings, None, |addresses| {
        // Nobody reads it yet.
        socket.send_to(invite.as_bytes(), addresses[0]).unwrap();
    })
    .await;
    assert!(life.standing.is_empty());
    let refused = line.receive().await.unwrap();
    assert_eq!((&*brief(&refused), header(&refused, "Retry-After")), ("503", Some("5")));
    phone.learn(&refused);
    line.send(&phone.same_branch("ACK")).await;
    let hear = || {
        let mut buffer = [0; 4_096];
        let len = socket.recv(&mut buffer).unwrap();
        brief(&String::from_utf8_lossy(&buffer[..len]))
    };
    assert_eq!((hear(), hear(), hear()), ("100".into(), "180".into(), "200".into()));
    // The row of the call that rang has gone; that of the other is there.
    assert_eq!(rows.count(BackendRowKind::Dialog), 1);
    life.crash().await;
}

/// The next message of a stream.
async fn next_message(
    stream: &mut (impl tokio::io::AsyncRead + Unpin),
    bytes: &mut Vec<u8>,
) -> String {
    loop {
        let text = String::from_utf8_lossy(bytes).into_owned();
        if let Some((head, rest)) = text.trim_start().split_once("\r\n\r\n") {
            let len =
                header(text.trim_start(), "Content-Length").map_or(0, |it| it.parse().unwrap());
            if len <= rest.len() {
                let message = format!("{head}\r\n\r\n{}", &rest[..len]);
                *bytes = rest.as_bytes()[len..].to_vec();
                return message;
            }
        }
        let read = timeout(WAIT_MAX, stream.read_buf(bytes)).await.unwrap().unwrap();
        assert_ne!(read, 0, "the connection has ended: {text}");
    }
}

/// A carrier that is called over TCP or TLS, at one address.
struct Carrier {
    listener: tokio::net::TcpListener,
    tls: Option<Arc<ServerTls>>,
}

/// One of its connections.
struct CarrierLine {
    stream: Box<dyn ReadWrite>,
    bytes: Vec<u8>,
}

trait ReadWrite: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin> ReadWrite for T {}

impl Carrier {
    async fn accept(&self) -> CarrierLine {
        let (stream, _) = timeout(WAIT_MAX, self.listener.accept()).await.unwrap().unwrap();
        let stream: Box<dyn ReadWrite> = match &self.tls {
            Some(tls) => Box::new(tls.acceptor().accept(stream).await.unwrap()),
            None => Box::new(stream),
        };
        CarrierLine { stream, bytes: Vec::new() }
    }
}

impl CarrierLine {
    /// Waits for an INVITE, answers it, and waits for the ACK. Returns Call-ID and CSeq.
    async fn answer(&mut self, sound: &Line) -> (String, String) {
        let invite = next_message(&mut self.stream, &mut self.bytes).await;
        assert_eq!(brief(&invite), "INVITE", "{invite}");
        let headers = format!("Contact: <sip:x@127.0.0.1>\r\n{SDP}");
        let ok = agent::reply_to(&invite, 200, &headers, &sound.offer());
        self.stream.write_all(ok.as_bytes()).await.unwrap();
        let ack = next_message(&mut self.stream, &mut self.bytes).await;
        assert_eq!(brief(&ack), "ACK");
        let [id, cseq] = ["Call-ID", "CSeq"].map(|it| header(&invite, it).unwrap().to_owned());
        (id, cseq)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_connection_to_a_trunk_is_opened_again_for_a_restored_call() {
    for transport in ["tcp", "tls"] {
        let authority = Authority::new();
        let tls = ServerTls::open(authority.sign("127.0.0.1", 2_100), &[]).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let carrier = Carrier { listener, tls: (transport == "tls").then(|| Arc::new(tls)) };
        let account: AccountId = "MA1".parse().unwrap();
        let targets = [
            "sip:other.example;transport=tls".to_owned(),
            format!("sip:127.0.0.1:{port};transport={transport}"),
        ]
        .map(|it| it.parse().unwrap());
        let mut out = OutboundTrunk::new(vec![account.clone()], targets[1..].to_vec(), &["*"]);
        out.tls_ca = authority.pem.as_bytes().into();
        out.options_interval = None;
        // The one that is called is not the first one.
        let called_alone = Arc::new(out.clone());
        out.targets = targets.to_vec();
        let trunk = |outbound| SipTrunk {
            name: "carrier".into(),
            outbound: Some(outbound),
            ..SipTrunk::default()
        };
        let settings =
            |trunk, bind| Settings { bind: vec![bind], trunks: vec![trunk], ..Settings::default() };

        let (rows, clock, sound) = (Arc::new(RowsInMemory::default()), clock(), Line::new());
        let first = settings(trunk(called_alone), "127.0.0.1:0".parse().unwrap());
        let mut life = Life::with(&rows, clock, first, None, |_| ()).await;
        let at = life.harness.address();
        let dialling = Dialling { from: "4930".into(), to: "4989".into(), ..Dialling::default() };
        let (call, dialling) = (CallId::of(1), Arc::new(dialling));
        life.harness.sip.signal(SignallingOrder::Dial { call, account, dialling });
        let mut line = carrier.accept().await;
        let (id, _) = line.answer(&sound).await;
        while life.harness.event().await != "Answered" {}
        while rows.count(BackendRowKind::Leg) != 1 {
            sound.hear();
        }
        life.crash().await;
        drop(line);

        let life = Life::with(&rows, clock, settings(trunk(Arc::new(out)), at), None, |_| ()).await;
        assert_eq!(life.standing.len(), 1, "{transport}");
        let mut line = carrier.accept().await;
        assert_eq!(line.answer(&sound).await, (id, "2 INVITE".to_owned()), "{transport}");
        life.harness.sip.signal(end(call, HangupCause::Normal));
        assert_eq!(brief(&next_message(&mut line.stream, &mut line.bytes).await), "BYE");
        life.crash().await;
    }
}
