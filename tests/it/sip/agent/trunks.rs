//! Calls through trunks: routes, the order of servers, failover, and what is never called.

use conflow::{
    media::{DialCredentials, DialOrigin, Dialling},
    sip::{
        digest_client::DigestAccount,
        trunk::{OutboundTrunk, TrunkTarget},
    },
};

use super::{
    outgoing::{Outgoing, SECOND, failed},
    *,
};

pub(super) const ONE: &str = "127.0.0.1:5081";
pub(super) const TWO: &str = "127.0.0.1:5082";
const THREE: &str = "127.0.0.1:5083";

/// A trunk with these servers, the first of which is tried first.
pub(super) fn trunk(name: &str, servers: &[&str], set: impl Fn(&mut OutboundTrunk)) -> SipTrunk {
    let target = |(n, uri): (usize, &&str)| TrunkTarget {
        priority: n as u16,
        ..format!("sip:{uri}").parse().unwrap()
    };
    let targets = servers.iter().enumerate().map(target).collect();
    let mut out = OutboundTrunk::new(vec!["MA1".parse().unwrap()], targets, &["49"]);
    out.options_interval = None;
    set(&mut out);
    SipTrunk { name: name.into(), outbound: Some(Arc::new(out)), ..SipTrunk::default() }
}

pub(super) fn with_trunks(trunks: Vec<SipTrunk>) -> Outgoing {
    let loopback_account = Some("MA1".parse().unwrap());
    Outgoing::with(Settings { loopback_account, trunks, ..Settings::default() })
}

pub(super) fn dialling(to: &str) -> Dialling {
    Dialling {
        from: "4930".into(),
        to: to.into(),
        caller_name: "Support".into(),
        headers: vec![("X-PH-Ticket".into(), "42".into())],
        origin: DialOrigin::Request,
        ..Dialling::default()
    }
}

fn dial(it: &mut Outgoing, to: &str) -> Vec<String> {
    it.dial_with(dialling(to))
}

pub(super) const NUMBER: &str = "+49 (89) 1234";

#[test]
fn a_number_leaves_through_the_trunk_and_is_answered() {
    let mut it = with_trunks(vec![trunk("carrier", &[ONE], |_| {})]);
    assert_eq!(dial(&mut it, NUMBER), [&format!("route UDP {ONE}"), "open", "INVITE"]);
    let invite = it.sent("INVITE", ONE);
    for line in [
        "INVITE sip:+49891234@127.0.0.1 SIP/2.0\r\n",
        "\r\nFrom: \"Support\" <sip:+4930@127.0.0.1>;tag=",
        "\r\nTo: <sip:+49891234@127.0.0.1>\r\n",
        "\r\nP-Asserted-Identity: \"Support\" <sip:+4930@127.0.0.1>\r\n",
        "\r\nContact: <sip:conflow@127.0.0.1:5060>\r\n",
        "\r\nX-PH-Ticket: 42\r\n",
        "m=audio 20000 RTP/AVP 0 8 101\r\n",
    ] {
        assert!(invite.contains(line), "{line}\n{invite}");
    }
    it.reply(ONE, "INVITE", 100, "", "");
    assert_eq!(it.reply(ONE, "INVITE", 180, "t", ""), ["Ringing"]);
    let said = it.reply(ONE, "INVITE", 200, "t", OFFER);
    assert_eq!(said, ["ACK", "attempted answered", "agree 127.0.0.1:40000", "Answered"]);
    assert_eq!(it.end(), ["close", "BYE"]);
    it.reply(ONE, "BYE", 200, "t", "");
    it.ends_empty();
}

#[test]
fn the_next_server_is_tried_after_an_error_of_this_one_and_of_no_other() {
    let (try_two, next) = (format!("route UDP {TWO}"), "INVITE".to_owned());
    for (status, cause, does_retry) in [
        (408, HangupCause::RequestTimeout, true),
        (500, HangupCause::CarrierError, true),
        (502, HangupCause::CarrierError, true),
        (503, HangupCause::CarrierCongestion, true),
        (504, HangupCause::RequestTimeout, true),
        (302, HangupCause::RoutingError, false),
        (403, HangupCause::Forbidden, false),
        (404, HangupCause::Unallocated, false),
        (480, HangupCause::NoAnswer, false),
        (486, HangupCause::Busy, false),
        (487, HangupCause::RoutingError, false),
        (488, HangupCause::RoutingError, false),
        (501, HangupCause::RoutingError, false),
        (600, HangupCause::BusyEverywhere, false),
        (603, HangupCause::Declined, false),
        (604, HangupCause::NobodyThere, false),
    ] {
        let mut it = with_trunks(vec![trunk("carrier", &[ONE, TWO], |_| {})]);
        dial(&mut it, NUMBER);
        let first = it.sent("INVITE", ONE);
        it.reply(ONE, "INVITE", 100, "", "");
        let said = it.reply(ONE, "INVITE", status, "t", "");
        let refused = format!("attempted refused with {status}");
        if !does_retry {
            let failed = failed(cause, "Carrier", &format!("Some({status})"));
            assert_eq!(said, ["ACK", &refused, "close", &failed]);
            it.ends_empty();
            continue;
        }
        assert_eq!(said, ["ACK", &refused, &try_two, &next], "{status}");
        let second = it.sent("INVITE", TWO);
        for name in ["Call-ID", "Via", "From"] {
            assert_ne!(header(&first, name), header(&second, name), "a merged request (482)");
        }
        let said = it.reply(TWO, "INVITE", status, "t", "");
        let failed = failed(cause, "Carrier", &format!("Some({status})"));
        assert_eq!(said, ["ACK", &refused, "close", &failed]);
        it.ends_empty();
    }
}

#[test]
fn a_server_that_rings_or_answers_is_the_last_one() {
    for status in [180, 183] {
        let mut it = with_trunks(vec![trunk("carrier", &[ONE, TWO], |_| {})]);
        dial(&mut it, NUMBER);
        it.reply(ONE, "INVITE", status, "t", "");
        let said = it.reply(ONE, "INVITE", 503, "t", "");
        let failed = failed(HangupCause::CarrierCongestion, "Carrier", "Some(503)");
        assert_eq!(said, ["ACK", "attempted refused with 503", "close", &failed]);
        it.ends_empty();
    }
    let mut it = with_trunks(vec![trunk("carrier", &[ONE, TWO], |_| {})]);
    dial(&mut it, NUMBER);
    let said = it.reply(ONE, "INVITE", 200, "t", "");
    let failed = failed(HangupCause::RoutingError, "Carrier", "Some(200)");
    let why = "attempted answered without a description of its sound";
    assert_eq!(said, ["ACK", why, "close", &failed, "BYE"]);
    it.reply(ONE, "BYE", 200, "t", "");
    it.ends_empty();
}

#[test]
fn silence_is_waited_for_briefly_and_at_the_last_server_for_32_seconds() {
    let mut it = with_trunks(vec![trunk("carrier", &[ONE, TWO], |_| {})]);
    dial(&mut it, NUMBER);
    let said = it.bench.wait(4 * SECOND);
    let passed = "attempted no response; the next one is tried";
    let expected = ["INVITE", "INVITE", "INVITE", passed, &format!("route UDP {TWO}"), "INVITE"];
    assert_eq!(said, expected);
    let before = it.bench.sent.len();
    let said = it.bench.wait(31 * SECOND + SECOND / 2);
    assert!(said.iter().all(|it| it == "INVITE"), "{said:?}");
    let to_one = it.bench.sent[before..].iter().filter(|it| it.0.port() == 5081).count();
    assert_eq!(to_one, 0, "it is not sent to the first one again");
    let said = it.bench.wait(SECOND / 2);
    let failed = failed(HangupCause::RequestTimeout, "Carrier", "None");
    assert_eq!(said, ["attempted no response", "close", &failed]);
    it.ends_empty();
}

#[test]
fn a_server_that_wakes_up_late_gets_its_cancel_or_its_bye() {
    let passed = || {
        let mut it = with_trunks(vec![trunk("carrier", &[ONE, TWO], |_| {})]);
        dial(&mut it, NUMBER);
        it.bench.wait(4 * SECOND);
        it
    };
    let mut it = passed();
    assert_eq!(it.reply(ONE, "INVITE", 180, "late", ""), ["CANCEL"]);
    it.reply(ONE, "CANCEL", 200, "late", "");
    assert_eq!(it.reply(ONE, "INVITE", 487, "late", ""), ["ACK"]);
    let said = it.reply(TWO, "INVITE", 200, "t", OFFER);
    assert_eq!(said, ["ACK", "attempted answered", "agree 127.0.0.1:40000", "Answered"]);

    let mut it = passed();
    assert_eq!(it.reply(ONE, "INVITE", 200, "late", OFFER), ["ACK", "BYE"]);
    it.reply(ONE, "BYE", 200, "late", "");
    assert_eq!(it.reply(TWO, "INVITE", 180, "t", ""), ["Ringing"]);
    assert_eq!(it.end(), ["close", "attempted called off", "CANCEL"]);
}

#[test]
fn nothing_is_tried_after_a_call_is_called_off() {
    let mut it = with_trunks(vec![trunk("carrier", &[ONE, TWO], |_| {})]);
    dial(&mut it, NUMBER);
    assert_eq!(it.end(), ["close", "attempted called off"]);
    assert_eq!(it.reply(ONE, "INVITE", 503, "t", ""), ["ACK"]);
    assert!(it.bench.sent.iter().all(|(remote, _)| remote.port() == 5081));
    it.ends_empty();
}

#[test]
fn a_connection_that_fails_leads_to_the_next_server() {
    let servers = [&format!("{ONE};transport=tcp"), TWO];
    let mut it = with_trunks(vec![trunk("carrier", &servers, |_| {})]);
    assert_eq!(dial(&mut it, NUMBER), [&format!("route TCP {ONE}"), "open", "INVITE"]);
    let said = it.bench.handle(Command::Closed { link: 5081 });
    let closed = "attempted the connection is closed";
    assert_eq!(said, [closed, &format!("route UDP {TWO}"), "INVITE"]);

    let mut it = with_trunks(vec![trunk("carrier", &servers[..1], |_| {})]);
    dial(&mut it, NUMBER);
    let said = it.bench.handle(Command::Closed { link: 5081 });
    assert_eq!(said, [closed, "close", &failed(HangupCause::NetworkError, "Platform", "None")]);
    it.ends_empty();
}

#[test]
fn a_server_out_of_reach_is_left_out_and_eight_addresses_are_enough() {
    let far: Vec<String> = (0..12).map(|n| format!("127.0.0.1:60{n:02}")).collect();
    let servers: Vec<&str> = far.iter().map(String::as_str).collect();
    let mut it = with_trunks(vec![trunk("carrier", &servers, |_| {})]);
    it.bench.unreachable = far.iter().map(|it| it.parse().unwrap()).collect();
    let said = dial(&mut it, NUMBER);
    assert_eq!(said.iter().filter(|it| it.starts_with("route")).count(), 8);
    let failed = failed(HangupCause::NetworkError, "Platform", "None");
    assert_eq!(said.last(), Some(&failed), "and no port is closed that was never open");
    assert!(!said.contains(&"close".to_owned()));
    it.ends_empty();
}

#[test]
fn a_pause_that_a_server_asks_for_is_kept_and_300_seconds_at_most() {
    for (header, pause) in [("Retry-After: 30 (busy)\r\n", 30), ("Retry-After: 900\r\n", 300)] {
        let mut it = with_trunks(vec![trunk("carrier", &[ONE, TWO], |_| {})]);
        dial(&mut it, NUMBER);
        it.reply_with(ONE, "INVITE", 503, "t", header, "");
        it.reply(TWO, "INVITE", 486, "t", "");
        it.bench.wait((pause - 1) * SECOND);
        let said = dial(&mut it, NUMBER);
        let left_out = "attempted left out: it has asked for a pause (Retry-After)";
        assert_eq!(said[..2], [left_out.to_owned(), format!("route UDP {TWO}")]);
        it.reply(TWO, "INVITE", 486, "t", "");
        it.bench.wait(SECOND);
        assert_eq!(dial(&mut it, NUMBER)[0], format!("route UDP {ONE}"));
    }
}

#[test]
fn a_wrong_password_skips_the_rest_of_the_trunk() {
    let account = |it: &mut OutboundTrunk| {
        let (username, password) = ("acme".into(), SipPassword::new("hush"));
        it.account = Some(DigestAccount { username, password, realm: None });
    };
    let first = trunk("first", &[ONE, TWO], account);
    let mut it = with_trunks(vec![first, trunk("second", &[THREE], |_| {})]);
    dial(&mut it, NUMBER);
    let challenge = "WWW-Authenticate: Digest realm=\"r\", nonce=\"1\"\r\n";
    assert_eq!(it.reply_with(ONE, "INVITE", 401, "t", challenge, ""), ["ACK", "INVITE"]);
    let again = it.sent("INVITE", ONE);
    assert!(again.contains("Authorization: Digest username=\"acme\"") && !again.contains("hush"));
    let said = it.reply_with(ONE, "INVITE", 401, "t", challenge, "");
    assert_eq!(
        said,
        ["ACK", "attempted refused with 401", &format!("route UDP {THREE}"), "INVITE"]
    );
    let said = it.reply(THREE, "INVITE", 407, "t", "");
    let failed = failed(HangupCause::SipAuthFailed, "Carrier", "Some(407)");
    assert_eq!(said.last(), Some(&failed));
    it.ends_empty();
}

/// A call that has a password for the server that asks for one.
fn with_password(to: &str) -> Dialling {
    let credentials = DialCredentials::new("anna", "correct horse").map(Arc::new);
    Dialling { credentials, ..dialling(to) }
}

#[test]
fn a_host_without_a_trunk_gets_the_password_of_the_call_and_nobody_else_does() {
    let challenge = "WWW-Authenticate: Digest realm=\"r\", nonce=\"1\"\r\n";
    let agent = || {
        let settings = Settings {
            loopback_account: Some("MA1".parse().unwrap()),
            trunks: vec![trunk("carrier", &[ONE], |_| {})],
            dial_allow: vec!["127.0.0.2".parse().unwrap()],
            ..Settings::default()
        };
        Outgoing::with(settings)
    };
    let host = "127.0.0.2:5060";
    for status in [401, 407] {
        let mut it = agent();
        it.dial_with(with_password("sip:x@127.0.0.2"));
        let name = if status == 401 { "WWW-Authenticate" } else { "Proxy-Authenticate" };
        let challenge = challenge.replace("WWW-Authenticate", name);
        assert_eq!(it.reply_with(host, "INVITE", status, "t", &challenge, ""), ["ACK", "INVITE"]);
        let again = it.sent("INVITE", host);
        assert!(again.contains("uthorization: Digest username=\"anna\""), "{again}");
        assert!(!again.contains("correct horse"));
        let said = it.reply_with(host, "INVITE", status, "t", &challenge, "");
        let failed = failed(HangupCause::SipAuthFailed, "Carrier", &format!("Some({status})"));
        assert_eq!(said.last(), Some(&failed), "a wrong password");
        it.ends_empty();
    }
    // Without one, the challenge is not answered.
    let mut it = agent();
    dial(&mut it, "sip:x@127.0.0.2");
    let said = it.reply_with(host, "INVITE", 401, "t", challenge, "");
    assert_eq!(said.last(), Some(&failed(HangupCause::SipAuthFailed, "Carrier", "Some(401)")));
    // A trunk never gets it, and the trace says so.
    let mut it = agent();
    let said = it.dial_with(with_password(NUMBER));
    assert_eq!(said[1], "attempted not sent: they are for no trunk");
    let said = it.reply_with(ONE, "INVITE", 401, "t", challenge, "");
    assert_eq!(said.last(), Some(&failed(HangupCause::SipAuthFailed, "Carrier", "Some(401)")));
    it.ends_empty();
}

#[test]
fn later_calls_answer_the_challenge_of_the_first_one_at_once() {
    let account = |it: &mut OutboundTrunk| {
        let (username, password) = ("acme".into(), SipPassword::new("hush"));
        it.account = Some(DigestAccount { username, password, realm: None });
        it.calls_per_second = 100;
    };
    let challenge = |nonce: u8, stale: &str| {
        format!("WWW-Authenticate: Digest realm=\"r\", nonce=\"{nonce}\", qop=\"auth\"{stale}\r\n")
    };
    let answer = |it: &Outgoing| {
        let invite = it.sent("INVITE", ONE);
        let answer = header(&invite, "Authorization")?;
        let part = |name: &str| {
            answer.split(&format!("{name}=")).nth(1).unwrap().split(',').next().unwrap().to_owned()
        };
        Some((part(" nonce"), part(" nc")))
    };
    let with = |nonce: u8, count: u8| Some((format!("\"{nonce}\""), format!("{count:08x}")));
    let mut it = with_trunks(vec![trunk("carrier", &[ONE], account)]);
    dial(&mut it, NUMBER);
    assert_eq!(answer(&it), None);
    it.reply_with(ONE, "INVITE", 401, "t", &challenge(1, ""), "");
    assert_eq!(answer(&it), with(1, 1));
    it.reply(ONE, "INVITE", 486, "t", "");
    dial(&mut it, NUMBER);
    assert_eq!(answer(&it), with(1, 2), "one round for the call");
    // The server says that the nonce is out of date, or that is all it can be.
    for (nonce, stale) in [(2, ", stale=true"), (3, "")] {
        it.reply_with(ONE, "INVITE", 401, "t", &challenge(nonce, stale), "");
        assert_eq!(answer(&it), with(nonce, 1));
        it.reply(ONE, "INVITE", 486, "t", "");
        dial(&mut it, NUMBER);
        assert_eq!(answer(&it), with(nonce, 2));
    }
    // Another password now: one more try, and no other. The next call begins without an answer.
    it.reply_with(ONE, "INVITE", 401, "t", &challenge(4, ""), "");
    let said = it.reply_with(ONE, "INVITE", 401, "t", &challenge(5, ""), "");
    assert_eq!(said.last(), Some(&failed(HangupCause::SipAuthFailed, "Carrier", "Some(401)")));
    dial(&mut it, NUMBER);
    assert_eq!(answer(&it), None);
    it.reply(ONE, "INVITE", 486, "t", "");
    it.ends_empty();
}

#[test]
fn silence_after_an_answer_that_nobody_asked_for_is_silence() {
    let account = |it: &mut OutboundTrunk| {
        let (username, password) = ("acme".into(), SipPassword::new("hush"));
        it.account = Some(DigestAccount { username, password, realm: None });
    };
    let mut it = with_trunks(vec![trunk("carrier", &[ONE], account)]);
    dial(&mut it, NUMBER);
    let challenge = "WWW-Authenticate: Digest realm=\"r\", nonce=\"1\"\r\n";
    it.reply_with(ONE, "INVITE", 401, "t", challenge, "");
    it.reply(ONE, "INVITE", 486, "t", "");
    dial(&mut it, NUMBER);
    assert!(it.sent("INVITE", ONE).contains("Authorization"));
    let said = it.bench.wait(32 * SECOND);
    assert_eq!(said.last(), Some(&failed(HangupCause::RequestTimeout, "Carrier", "None")));
}

#[test]
fn names_are_looked_up_and_their_addresses_tried_in_order() {
    let servers = ["sbc.example;transport=tls", "two.example:5070"];
    let mut it = with_trunks(vec![trunk("carrier", &servers, |_| {})]);
    let address =
        |transport, address: &str| ResolvedAddress { transport, address: address.parse().unwrap() };
    let tls = Transport::Tls;
    it.bench.names.insert("sbc.example".to_owned(), vec![address(tls, ONE), address(tls, TWO)]);
    let said = dial(&mut it, NUMBER);
    let resolve = "resolve sbc.example None Some(Tls)";
    assert_eq!(said, [resolve, &format!("route TLS {ONE} as sbc.example"), "open", "INVITE"]);
    assert!(it.sent("INVITE", ONE).starts_with("INVITE sip:+49891234@sbc.example SIP/2.0\r\n"));
    let said = it.bench.handle(Command::Closed { link: 5081 });
    assert_eq!(said[1], format!("route TLS {TWO} as sbc.example"));
    let said = it.bench.handle(Command::Closed { link: 5082 });
    assert_eq!(
        said[1..3],
        ["resolve two.example Some(5070) None", "attempted its name has no address"]
    );
    let failed = failed(HangupCause::NetworkError, "Platform", "None");
    assert_eq!(said.last(), Some(&failed));
    it.ends_empty();
}

#[test]
fn nothing_is_sent_to_where_an_account_may_not_call() {
    let allow = ["bot.example", "127.0.0.0/30"];
    let loopback_account = Some("MA1".parse().unwrap());
    let agent = || {
        let dial_allow = allow.iter().map(|it| it.parse().unwrap()).collect();
        let trunks = vec![trunk("carrier", &[ONE], |_| {})];
        let settings = Settings {
            loopback_account: loopback_account.clone(),
            trunks,
            dial_allow,
            ..Settings::default()
        };
        Outgoing::with(settings)
    };
    for (to, cause) in [
        ("33123456", HangupCause::DestinationBarred),
        ("49", HangupCause::DestinationInvalid),
        ("sip:x@evil.example", HangupCause::DestinationOut),
        ("sip:x@127.0.0.9", HangupCause::DestinationOut),
        ("sip:+4989@carrier.example", HangupCause::DestinationOut),
        ("sips:x@127.0.0.9:5081", HangupCause::DestinationOut),
        // Names of allowed hosts that lead inside.
        ("sip:x@bot.example", HangupCause::DestinationOut),
    ] {
        let mut it = agent();
        let inside = ["10.0.0.1:5060", "169.254.169.254:5060", "127.0.0.9:5060", "[::1]:5060"];
        let udp =
            |it: &&str| ResolvedAddress { transport: Transport::Udp, address: it.parse().unwrap() };
        it.bench.names.insert("bot.example".to_owned(), inside.iter().map(udp).collect());
        let said = dial(&mut it, to);
        assert_eq!(said.last(), Some(&failed(cause, "Platform", "None")), "{to}");
        assert!(
            it.bench.sent.is_empty() && !said.iter().any(|it| it.starts_with("route")),
            "{said:?}"
        );
        it.ends_empty();
    }
    for (to, address) in
        [("sip:x@127.0.0.2", "127.0.0.2:5060"), ("sip:x@bot.example", "127.0.0.3:5060")]
    {
        let mut it = agent();
        let udp = ResolvedAddress { transport: Transport::Udp, address: address.parse().unwrap() };
        it.bench.names.insert("bot.example".to_owned(), vec![udp]);
        let said = dial(&mut it, to);
        assert!(said.contains(&format!("route UDP {address}")), "{said:?}");
        assert!(it.sent("INVITE", address).starts_with(&format!("INVITE {to} SIP/2.0\r\n")));
    }
}
