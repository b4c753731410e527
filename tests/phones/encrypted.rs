//! Phones that register over TLS and encrypt their sound: what they hear, and what is on the wire.

use std::{
    collections::BTreeMap,
    io::Read,
    net::{Ipv4Addr, SocketAddr},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use conflow::{
    audio::tone::amplitude,
    rtp::{
        g711::{FRAME, Law, RATE},
        packet::{self, Packet},
    },
};
use parking_lot::Mutex;
use socket2::{Domain, Protocol, Socket, Type};

use crate::{
    authority::Authority,
    baresip::{Baresip, samples},
    called::{ending, make_call},
    ear::{TONE, hears},
    program::{Conflow, ID, address, beside_others},
};

const ROOM: [(&str, &str); 1] =
    [("room", "<Response><Conference stayAlone=\"true\">room</Conference></Response>")];

const TONES: [f64; 2] = [500.0, 1_100.0];

/// How long both phones are listened to, and how long a change takes to arrive in a recording.
const LISTEN_MS: usize = 3_000;
const ARRIVE_MS: usize = 400;

/// A server at its own address of this machine, with a certificate for this name.
fn conflow(host: Ipv4Addr, authority: &Authority, name: &str, srtp: &str) -> Conflow {
    let files = authority.sign(name, 2_100);
    let mut config = format!(
        "[sip]\nopen = false\ntls = \"{host}:0\"\ntls_cert = {:?}\ntls_key = {:?}\n",
        files.certificate, files.key
    );
    for user in ["anna", "bert"] {
        config += &format!(
            "[[endpoint]]\nuser = \"{user}\"\npassword = \"hush\"\naccount = \"{ID}\"\n\
             srtp = \"{srtp}\"\n"
        );
    }
    Conflow::configured(&ROOM, &config)
}

/// The address of SIP over TLS.
fn secure_address(conflow: &Conflow) -> SocketAddr {
    let words = "SIP over TLS on ";
    address(&conflow.wait_for(words), words)
}

/// A phone that trusts one authority, with parameters of its account.
pub(crate) fn phone(
    conflow: &Conflow,
    authority: &Authority,
    (user, tone): (&'static str, f64),
    account: &str,
) -> Baresip {
    let server = secure_address(conflow);
    let account = format!("regint=60;auth_pass=hush;answermode=auto{account}");
    let settings = format!("sip_cafile {}\nmodule srtp.so\n", authority.file().display());
    Baresip::start(server, "tls", user, tone, &account, &settings)
}

/// Two phones talk, the one called by the API, the other by its own call. Returns what an
/// eavesdropper has of each stream of RTP.
fn overheard(host: Ipv4Addr, srtp: &str, account: &str) -> Vec<Vec<i16>> {
    let authority = Authority::new();
    let conflow = conflow(host, &authority, &host.to_string(), srtp);
    let tap = Wiretap::start(host);
    let anna = phone(&conflow, &authority, ("anna", TONES[0]), account);
    let mut bert = phone(&conflow, &authority, ("bert", TONES[1]), account);
    for it in [&anna, &bert] {
        it.wait_for("{0/TLS/v4} 200 OK");
    }
    make_call(&conflow, "anna", "room", &[]);
    anna.wait_for("CALL_ESTABLISHED");
    bert.dial(conflow.sip, "room");
    conflow.wait_members("room", ["4930555010", "bert"]);

    let from = [&anna, &bert].map(|it| it.received() + samples(ARRIVE_MS));
    for (listener, other, from) in [(&anna, &bert, from[0]), (&bert, &anna, from[1])] {
        let heard = listener.listen(from, LISTEN_MS);
        assert!(hears(listener.user, &heard, other.tone), "{} over {srtp}", listener.user);
        assert!(!hears(listener.user, &heard, listener.tone), "{} over {srtp}", listener.user);
    }
    tap.streams()
}

/// Whether a tone is in a second of an overheard stream. Ciphertext, heard as sound, is noise.
#[track_caller]
fn has_tone(stream: &[i16], tone: f64) -> bool {
    let seconds = stream.chunks_exact(RATE as usize);
    let loudest = seconds.map(|it| amplitude(it, RATE, tone)).fold(0.0, f64::max);
    assert!(!(TONE * 0.1..=TONE * 0.5).contains(&loudest), "{tone} Hz: {loudest:.3}");
    TONE * 0.5 < loudest
}

#[test]
fn encrypted_phones_hear_each_other_and_an_eavesdropper_hears_noise() {
    let _share = beside_others();
    let plain = overheard(Ipv4Addr::new(127, 0, 0, 78), "off", "");
    let secret = overheard(Ipv4Addr::new(127, 0, 0, 77), "require", ";mediaenc=srtp-mand");
    assert_eq!((plain.len(), secret.len()), (4, 4), "both ways of two calls");
    for tone in TONES {
        let with_tone =
            |streams: &[Vec<i16>]| streams.iter().filter(|it| has_tone(it, tone)).count();
        assert_eq!(with_tone(&plain), 2, "{tone} Hz: to conflow, and on to the other phone");
        assert_eq!(with_tone(&secret), 0, "{tone} Hz");
    }
}

/// Connects as openssl does, which takes part only in what it can verify. (baresip 1.0 takes any
/// certificate.)
fn believes(server: SocketAddr, authority: &Authority, name: &str) -> bool {
    let status = Command::new("openssl")
        .args(["s_client", "-verify_return_error", "-verify_hostname", name, "-CAfile"])
        .arg(authority.file())
        .args(["-connect", &server.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.expect("openssl is installed").success()
}

#[test]
fn a_client_that_verifies_refuses_another_name_and_an_unknown_authority() {
    let _share = beside_others();
    let (host, authority, name) =
        (Ipv4Addr::new(127, 0, 0, 79), Authority::new(), "sip.example.com");
    let conflow = conflow(host, &authority, name, "require");
    let server = secure_address(&conflow);
    assert!(believes(server, &authority, name));
    assert!(!believes(server, &authority, "sip.example.net"));
    assert!(!believes(server, &Authority::new(), name));
}

#[test]
fn a_phone_that_encrypts_is_not_called_in_the_clear() {
    let _share = beside_others();
    let (host, authority) = (Ipv4Addr::new(127, 0, 0, 80), Authority::new());
    let conflow = conflow(host, &authority, &host.to_string(), "require");
    let anna = Baresip::register(conflow.sip, "udp", "anna", "hush");
    anna.wait_for("{0/UDP/v4} 200 OK");
    let call = make_call(&conflow, "anna", "room", &[]);
    assert_eq!(ending(&conflow, &call).0, "2020");
}

/// A copy of all RTP packets to and from one address of this machine.
struct Wiretap {
    packets: Arc<Mutex<Vec<Vec<u8>>>>,
    is_over: Arc<AtomicBool>,
    reader: JoinHandle<()>,
}

/// The protocol number of IPv4 in a packet socket.
const ETH_P_IP: u16 = 0x0800;

/// The least lengths of the headers of IPv4 and UDP, and the protocol number of UDP.
const IP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;
const UDP: u8 = 17;

impl Wiretap {
    fn start(host: Ipv4Addr) -> Self {
        let protocol = Protocol::from(i32::from(ETH_P_IP.to_be()));
        let mut socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(protocol))
            .expect("this test listens to the network: run it as root, or with CAP_NET_RAW");
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let (packets, is_over) = (Arc::<Mutex<Vec<_>>>::default(), Arc::<AtomicBool>::default());
        let (kept, ends) = (Arc::clone(&packets), Arc::clone(&is_over));
        let reader = thread::spawn(move || {
            let mut bytes = [0; 2_048];
            while !ends.load(Ordering::Relaxed) {
                let Ok(len) = socket.read(&mut bytes) else { continue };
                kept.lock().extend(datagram(&bytes[..len], host).map(<[u8]>::to_vec));
            }
        });
        Self { packets, is_over, reader }
    }

    /// The sound of each stream, as if it were not encrypted.
    fn streams(self) -> Vec<Vec<i16>> {
        self.is_over.store(true, Ordering::Relaxed);
        self.reader.join().unwrap();
        let mut streams = BTreeMap::<u32, Vec<i16>>::new();
        for bytes in &*self.packets.lock() {
            let packet = Packet::parse(bytes).unwrap();
            let (mut samples, law) = ([0; FRAME], Law::of_payload_type(packet.payload_type));
            // What follows the sound is the proof of authenticity.
            law.unwrap().decode(&packet.payload[..FRAME], &mut samples);
            streams.entry(packet.ssrc).or_default().extend(samples);
        }
        streams.into_values().collect()
    }
}

/// The contents of an IPv4 packet, if it is RTP to or from this address.
fn datagram(ip: &[u8], host: Ipv4Addr) -> Option<&[u8]> {
    let addresses = ip.get(12..IP_HEADER)?;
    let is_ours = addresses.chunks(4).any(|it| it == host.octets());
    let udp = ip.get(usize::from(ip[0] & 0xF) * 4..)?;
    let datagram = udp.get(UDP_HEADER..)?;
    let is_sound = ip[9] == UDP && FRAME < datagram.len() && !packet::is_rtcp(datagram);
    (is_ours && is_sound).then_some(datagram)
}
