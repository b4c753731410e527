//! A trunk over real sockets: a conflow that registers at another one, and is called there.

use conflow::{
    media::{DialOrigin, Dialling},
    sip::{SipEndpoint, SipPassword, SipTrunk, digest_client::DigestAccount, trunk::OutboundTrunk},
};

use super::*;
use crate::dns::DnsServer;

const SECOND: Duration = Duration::from_secs(1);

/// A server at which `weekly` may register, even for a second. Each has a key of its own, as each
/// process has.
fn registrar(bind: SocketAddr, key: u8) -> SipHarness {
    let endpoint = SipEndpoint {
        user: "weekly".into(),
        password: SipPassword::new("hush"),
        account: Some("MA1".parse().unwrap()),
        srtp: Default::default(),
    };
    let settings = Settings {
        bind: vec![bind],
        open: Some(false),
        endpoints: vec![endpoint],
        register_for: (SECOND, 3_600 * SECOND),
        ..Settings::default()
    };
    SipHarness::with_key(settings, None, SipSecret([key; 32]))
}

/// A server that registers at this target as `weekly`, and lets nobody else in.
fn registering(target: &str, dns: &DnsServer) -> SipHarness {
    let mut outbound = OutboundTrunk::new(Vec::new(), vec![target.parse().unwrap()], &["*"]);
    outbound.register = true;
    (outbound.expires, outbound.retry) = (2 * SECOND, SECOND);
    outbound.options_interval = Some(SECOND);
    let (username, password) = ("weekly".into(), SipPassword::new("hush"));
    outbound.account = Some(DigestAccount { username, password, realm: None });
    let outbound = Some(Arc::new(outbound));
    let trunk = SipTrunk { name: "carrier".into(), outbound, ..SipTrunk::default() };
    let settings = Settings {
        bind: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
        open: Some(false),
        nameservers: vec![dns.address],
        trunks: vec![trunk],
        ..Settings::default()
    };
    SipHarness::with_key(settings, None, SipSecret([5; 32]))
}

async fn until(is_so: impl Fn() -> bool) {
    let poll = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(WAIT_MAX, poll).await.unwrap();
}

/// Calls the phone that is registered as `weekly`, and hangs up.
async fn call(registrar: &mut SipHarness, phone: &mut SipHarness, n: u128) {
    let call = CallId(uuid::Uuid::from_u128(n));
    let dialling = Dialling {
        from: "4930".into(),
        to: format!("sip:weekly@{}", registrar.address()).into(),
        caller_name: "".into(),
        headers: Vec::new(),
        origin: DialOrigin::Request,
        ..Dialling::default()
    };
    let account = "MA1".parse().unwrap();
    registrar.sip.signal(SignallingOrder::Dial { call, account, dialling: Arc::new(dialling) });
    let agree = "agree 127.0.0.1:20000 from 127.0.0.1";
    registrar.expect(&["Ringing", agree, "Answered"]).await;
    phone.expect(&["arrive 4930 weekly", agree]).await;
    registrar.sip.signal(end(call, HangupCause::Normal));
    registrar.expect(&["End", "close"]).await;
    phone.expect(&["close", "HungUp", "End"]).await;
}

#[tokio::test]
async fn a_server_registers_is_called_and_registers_again_after_a_restart() {
    for transport in ["udp", "tcp"] {
        let dns = DnsServer::start().await;
        let mut first = registrar(SocketAddr::from(([127, 0, 0, 1], 0)), 6);
        let address = first.address();
        dns.service(
            &format!("_sip._{transport}.carrier.example."),
            (1, 1),
            ("a.example.", address.port()),
        );
        dns.host("a.example.", 60, "127.0.0.1");
        let mut phone = registering(&format!("sip:carrier.example;transport={transport}"), &dns);
        let trunk = |phone: &SipHarness| phone.sip.trunks()[0].clone();
        until(|| first.sip.gauges().registered == 1).await;
        until(|| trunk(&phone).is_registered == Some(true)).await;
        call(&mut first, &mut phone, 1).await;

        first.sip.stop();
        drop(first.sip);
        while timeout(WAIT_MAX, first.events.recv()).await.unwrap().is_some() {}
        let mut second = registrar(address, 7);
        until(|| second.sip.gauges().registered == 1).await;
        call(&mut second, &mut phone, 2).await;
        until(|| trunk(&phone).targets.iter().all(|it| it.1)).await;

        phone.sip.stop();
        until(|| second.sip.gauges().registered == 0).await;
    }
}
