//! SIP over TLS: calls and registrations, keys of their sound, and connections that never shake hands.

use conflow::{
    base::ids::AccountId,
    media::{DialOrigin, Dialling},
    rtp::sdp::crypto::SrtpPolicy,
    sip::{
        SipTrunk,
        request::{Hop, Transport},
        settings::SipEndpoint,
        sockets::{Incoming, SipSockets, TlsPeer},
        stream::{link_to, send},
        trunk::OutboundTrunk,
    },
    tls::ServerTls,
};
use rustls::pki_types::ServerName;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::*;
use crate::{authority::Authority, phone::headers};

const KEY: &str = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 \
                   inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\r\n";

/// A harness with TLS, and the authority that signed its certificate.
fn secure(settings: Settings) -> (SipHarness, Authority) {
    let authority = Authority::new();
    let tls = ServerTls::open(authority.sign("127.0.0.1", 2_100), &[]).unwrap();
    let here = SocketAddr::from(([127, 0, 0, 1], 0));
    let settings = Settings { bind: vec![here], tls: Some(here), ..settings };
    (SipHarness::with_tls(settings, Some(Arc::new(tls))), authority)
}

/// The phone's end of a TLS connection.
struct SecureLine {
    stream: TlsStream<TcpStream>,
    bytes: Vec<u8>,
}

impl SecureLine {
    async fn connect(harness: &SipHarness, authority: &Authority) -> (Self, Phone) {
        let stream = TcpStream::connect(harness.sip.tls_address().unwrap()).await.unwrap();
        let address = stream.local_addr().unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let connector = TlsConnector::from(authority.trusted());
        let stream = connector.connect(name, stream).await.unwrap();
        let mut phone = Phone::new(&format!("s{}", address.port()), &address.to_string());
        phone.via = format!("TLS {address}");
        phone.contact = format!("Contact: <sip:anna@{address};transport=tls>\r\n");
        (Self { stream, bytes: Vec::new() }, phone)
    }

    async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    async fn receive(&mut self) -> String {
        timeout(WAIT_MAX, async {
            loop {
                let text = String::from_utf8_lossy(&self.bytes).into_owned();
                if let Some((head, rest)) = text.split_once("\r\n\r\n") {
                    let len = header(&text, "Content-Length").map_or(0, |it| it.parse().unwrap());
                    if len <= rest.len() {
                        let message = text[..head.len() + 4 + len].to_owned();
                        self.bytes.drain(..message.len());
                        return message;
                    }
                }
                assert_ne!(self.stream.read_buf(&mut self.bytes).await.unwrap(), 0, "{text}");
            }
        })
        .await
        .unwrap()
    }

    async fn ask(&mut self, text: &str) -> String {
        self.send(text).await;
        loop {
            let reply = self.receive().await;
            if !brief(&reply).starts_with('1') {
                return reply;
            }
        }
    }
}

fn invite(phone: &mut Phone, profile: &str, key: &str) -> String {
    let headers = format!("{}{SDP}", phone.contact.clone());
    let offer = OFFER.replace("RTP/AVP", profile) + key;
    phone.request("INVITE", &headers, &offer)
}

#[tokio::test]
async fn a_call_over_tls_is_answered_over_tls_with_a_key_and_ended_by_us_on_its_connection() {
    let (mut harness, authority) = secure(Settings::default());
    let (mut line, mut phone) = SecureLine::connect(&harness, &authority).await;
    let ok = line.ask(&invite(&mut phone, "RTP/SAVP", KEY)).await;
    assert_eq!(brief(&ok), "200", "{ok}");
    let port = harness.sip.tls_address().unwrap().port();
    let contact = format!("<sip:conflow@127.0.0.1:{port};transport=tls>");
    assert_eq!(header(&ok, "Contact"), Some(&*contact));
    assert!(body(&ok).contains("m=audio 20000 RTP/SAVP 0 8 101\r\n"), "{ok}");
    assert_eq!(body(&ok).matches("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:").count(), 1, "{ok}");
    phone.learn(&ok);
    line.send(&phone.ack()).await;
    harness
        .expect(&["arrive sip:anna@127.0.0.1 weekly", "agree 127.0.0.1:40000 from 127.0.0.1"])
        .await;
    assert_eq!(harness.sip.losses().clear_keys.load(std::sync::atomic::Ordering::Relaxed), 0);

    let call = *harness.open.lock().first().unwrap();
    harness.sip.signal(end(call, HangupCause::EndOfXml));
    let bye = line.receive().await;
    assert_eq!(brief(&bye), "BYE");
    assert!(headers(&bye, "Via").next().unwrap().starts_with("SIP/2.0/TLS 127.0.0.1"), "{bye}");
    line.send(&bye.replace("BYE sip:", "SIP/2.0 200 OK\r\nX: ")).await;
    line.send("\r\n\r\n").await;
    let mut pong = [0; 2];
    timeout(WAIT_MAX, line.stream.read_exact(&mut pong)).await.unwrap().unwrap();
    assert_eq!(&pong, b"\r\n");
}

#[tokio::test]
async fn sips_is_accepted_on_tls_and_nowhere_else() {
    let (harness, authority) = secure(Settings::default());
    let as_sips = |text: String| text.replacen(" sip:", " sips:", 1);
    let (mut line, mut phone) = SecureLine::connect(&harness, &authority).await;
    phone.contact = phone.contact.replace("<sip:", "<sips:");
    assert_eq!(brief(&line.ask(&as_sips(phone.invite())).await), "200");
    let contact = phone.contact.clone();
    let ok = line.ask(&as_sips(Phone::new("r", "1.2.3.4").request("REGISTER", &contact, ""))).await;
    assert_eq!(brief(&ok), "200", "{ok}");
    assert!(header(&ok, "Contact").unwrap().starts_with("<sips:anna@127.0.0.1"), "{ok}");
    let (mut line, mut phone) = Connection::tcp(harness.address()).await;
    assert_eq!(brief(&line.ask(&as_sips(phone.invite())).await), "416");
}

#[tokio::test]
async fn the_setting_srtp_decides_which_offers_are_taken() {
    let endpoint = |user: &str, srtp| SipEndpoint {
        user: user.into(),
        password: conflow::sip::SipPassword::new("hush"),
        account: None,
        srtp,
    };
    let settings = Settings {
        trunks: vec![SipTrunk {
            name: "here".into(),
            addresses: vec!["127.0.0.1".parse().unwrap()],
            srtp: SrtpPolicy::Require,
            ..Default::default()
        }],
        endpoints: vec![endpoint("otto", SrtpPolicy::Off)],
        ..Settings::default()
    };
    let (harness, authority) = secure(settings);
    let (mut line, mut phone) = SecureLine::connect(&harness, &authority).await;
    let refused = line.ask(&invite(&mut phone, "RTP/AVP", "")).await;
    assert_eq!(brief(&refused), "488");
    let warning = header(&refused, "Warning").unwrap();
    assert!(warning.contains("audio must be encrypted"), "{warning}");
    phone.to_tag = None;
    let ok = line.ask(&invite(&mut phone, "RTP/AVP", KEY)).await;
    assert_eq!(brief(&ok), "200", "{ok}");
    let (mut line, mut phone) = Connection::tcp(harness.address()).await;
    let refused = line.ask(&invite(&mut phone, "RTP/SAVP", KEY)).await;
    assert_eq!(brief(&refused), "488", "its key came in the clear");
    assert!(header(&refused, "Warning").unwrap().contains("over TLS"), "{refused}");
}

#[tokio::test]
async fn a_key_that_comes_in_the_clear_is_taken_and_counted() {
    let mut harness = SipHarness::new();
    let (mut line, mut phone) = Connection::udp(harness.address()).await;
    let ok = line.ask(&invite(&mut phone, "RTP/SAVP", KEY)).await;
    assert_eq!(brief(&ok), "200", "{ok}");
    harness.expect(&["arrive sip:anna@127.0.0.1 weekly"]).await;
    harness.event().await;
    assert_eq!(harness.sip.losses().clear_keys.load(std::sync::atomic::Ordering::Relaxed), 1);
    phone.to_tag = None;
    let refused = line.ask(&invite(&mut phone, "RTP/SAVP", "")).await;
    assert_eq!(brief(&refused), "488");
    assert!(header(&refused, "Warning").unwrap().contains("no key in common"), "{refused}");
}

#[tokio::test]
async fn a_connection_without_a_handshake_is_closed_and_counted() {
    let (harness, _) = secure(Settings::default());
    let mut stream = TcpStream::connect(harness.sip.tls_address().unwrap()).await.unwrap();
    stream.write_all(b"OPTIONS sip:here SIP/2.0\r\n\r\n").await.unwrap();
    let mut bytes = Vec::new();
    // It ends by an alert of TLS, or a reset.
    let _ = timeout(WAIT_MAX, stream.read_to_end(&mut bytes)).await.unwrap();
    timeout(WAIT_MAX, async {
        while harness.sip.losses().dropped(MessageDrop::Handshake) == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    assert_eq!(harness.sip.streams(), 0);
}

#[tokio::test]
async fn our_own_connections_reach_the_verified_domain_alone_and_are_used_again() {
    let (harness, authority) = secure(Settings::default());
    let (inbox, mut received) = mpsc::channel(8);
    let sockets = Arc::new(SipSockets::new(Arc::new(Settings::default()), inbox, &[]));
    let remote = harness.sip.tls_address().unwrap();
    let mut phone = Phone::new("us", "127.0.0.1:5061");
    phone.via = "TLS 127.0.0.1:5061".to_owned();
    let mut send = |domain: &str| {
        let domain = ServerName::try_from(domain.to_owned()).unwrap();
        let peer = TlsPeer { domain, trust: authority.trusted() };
        let request = phone.request("OPTIONS", "", "");
        let link = link_to(&sockets, remote.ip(), remote, Some(peer)).unwrap().link;
        let hop = Hop { transport: Transport::Tls, link, local: remote, remote };
        assert!(send(&sockets, &hop, request.as_bytes().into()));
        link
    };
    let mut links = Vec::new();
    for _ in 0..2 {
        let link = send("127.0.0.1");
        let received = timeout(WAIT_MAX, received.recv()).await.unwrap().unwrap();
        let Incoming::Message { hop, message } = received else { panic!("{received:?}") };
        assert_eq!((hop.transport, hop.link, hop.remote), (Transport::Tls, link, remote));
        assert!(message.to_bytes().starts_with(b"SIP/2.0 200 "));
        links.push(link);
    }
    assert_eq!(links[0], links[1]);

    assert_ne!(send("sip.example.com"), links[0]);
    timeout(WAIT_MAX, async {
        while harness.sip.losses().dropped(MessageDrop::Handshake) == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    while let Ok(received) = received.try_recv() {
        assert!(
            matches!(received, Incoming::Closed { .. }),
            "somebody else answered: {received:?}"
        );
    }
}

#[tokio::test]
async fn a_trunk_over_tls_is_called_if_it_proves_its_domain() {
    for (name, domain) in [("proven", None), ("somebody else", Some("sip.example.com"))] {
        let (mut carrier, authority) = secure(Settings::default());
        let port = carrier.sip.tls_address().unwrap().port();
        let target = format!("sip:127.0.0.1:{port};transport=tls").parse().unwrap();
        let account: AccountId = "MA1".parse().unwrap();
        let mut out = OutboundTrunk::new(vec![account.clone()], vec![target], &["*"]);
        out.tls_ca = authority.pem.as_bytes().into();
        out.domain = domain.map(Into::into);
        out.hosts = vec!["127.0.0.1".into()];
        let trunk = SipTrunk {
            name: name.into(),
            srtp: SrtpPolicy::Require,
            outbound: Some(Arc::new(out)),
            ..SipTrunk::default()
        };
        let bind = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
        let mut customer =
            SipHarness::with(Settings { bind, trunks: vec![trunk], ..Settings::default() });
        let dialling = Dialling {
            from: "4930".into(),
            to: format!("sip:weekly@127.0.0.1:{port}").into(),
            caller_name: "".into(),
            headers: Vec::new(),
            origin: DialOrigin::Request,
            ..Dialling::default()
        };
        let call = CallId(uuid::Uuid::from_u128(1));
        let dialling = Arc::new(dialling);
        customer.sip.signal(SignallingOrder::Dial { call, account, dialling });
        if domain.is_some() {
            customer.expect(&["close"]).await;
            let failed = customer.event().await;
            assert!(failed.contains("NetworkError"), "{failed}");
            continue;
        }
        customer.expect(&["Ringing", "agree 127.0.0.1:20000 from 127.0.0.1", "Answered"]).await;
        carrier.expect(&["arrive 4930 weekly"]).await;
        customer.sip.signal(end(call, HangupCause::Normal));
        customer.expect(&["End", "close"]).await;
        while carrier.event().await != "HungUp" {}
    }
}

/// The Contact of a call that leaves over TLS, and the address that it comes from.
async fn contact_of_call(tls: Option<SocketAddr>) -> (String, SocketAddr) {
    let authority = Authority::new();
    let open = |n| Arc::new(ServerTls::open(authority.sign("127.0.0.1", n), &[]).unwrap());
    let carrier = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = carrier.local_addr().unwrap().port();
    let target = format!("sip:127.0.0.1:{port};transport=tls").parse().unwrap();
    let account: AccountId = "MA1".parse().unwrap();
    let mut out = OutboundTrunk::new(vec![account.clone()], vec![target], &["*"]);
    out.tls_ca = authority.pem.as_bytes().into();
    out.options_interval = None;
    let outbound = Some(Arc::new(out));
    let trunk = SipTrunk { name: "carrier".into(), outbound, ..SipTrunk::default() };
    let bind = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
    let settings = Settings { bind, tls, trunks: vec![trunk], ..Settings::default() };
    let customer = SipHarness::with_tls(settings, tls.map(|_| open(2_101)));
    let dialling = Dialling { from: "4930".into(), to: "4989".into(), ..Dialling::default() };
    let (call, dialling) = (CallId(uuid::Uuid::from_u128(1)), Arc::new(dialling));
    customer.sip.signal(SignallingOrder::Dial { call, account, dialling });
    let (stream, from) = timeout(WAIT_MAX, carrier.accept()).await.unwrap().unwrap();
    let mut stream = open(2_100).acceptor().accept(stream).await.unwrap();
    let mut bytes = Vec::new();
    while !String::from_utf8_lossy(&bytes).contains("\r\n\r\n") {
        timeout(WAIT_MAX, stream.read_buf(&mut bytes)).await.unwrap().unwrap();
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let contact = header(&text, "Contact").unwrap().to_owned();
    let listener = customer.sip.tls_address();
    (contact, listener.unwrap_or(from))
}

#[tokio::test]
async fn a_call_over_tls_names_where_it_can_be_reached() {
    // The listener for TLS, or else the connection itself; never the port for plain text.
    for tls in [Some(SocketAddr::from(([127, 0, 0, 1], 0))), None] {
        let (contact, expected) = contact_of_call(tls).await;
        assert_eq!(contact, format!("<sip:conflow@{expected};transport=tls>"), "{tls:?}");
    }
}
