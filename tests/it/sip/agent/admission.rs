//! Admission: who is let in, and what is refused.

use conflow::{base::ids::Trusted, media::Diversion, sip::settings::SipPeers};

use super::*;

/// A phone's answer to the challenges of a 401.
fn credentials(reply: &str, which: usize, password: &str, method: &str) -> String {
    credentials_with(reply, which, password, method, true)
}

fn credentials_with(
    reply: &str,
    which: usize,
    password: &str,
    method: &str,
    has_qop: bool,
) -> String {
    let challenge = headers(reply, "WWW-Authenticate").nth(which).unwrap();
    let part = |name: &str| {
        let rest = challenge.split_once(&format!("{name}=")).unwrap().1;
        rest.trim_start_matches('"').split(['"', ',']).next().unwrap().to_owned()
    };
    let (realm, nonce, algorithm) = (part("realm"), part("nonce"), part("algorithm"));
    let hash = |text: String| match algorithm.as_str() {
        "MD5" => hex(&<md5::Md5 as md5::Digest>::digest(text)),
        _ => hex(&<sha2::Sha256 as sha2::Digest>::digest(text)),
    };
    let (a1, a2) = (hash(format!("anna:{realm}:{password}")), hash(format!("{method}:sip:x")));
    let (middle, qop) = match has_qop {
        true => (":00000001:abc:auth", ", qop=auth, nc=00000001, cnonce=\"abc\""),
        false => ("", ""),
    };
    let response = hash(format!("{a1}:{nonce}{middle}:{a2}"));
    format!(
        "Authorization: Digest username=\"anna\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"sip:x\", \
         response=\"{response}\", algorithm={algorithm}{qop}\r\n"
    )
}

/// RFC 2617, section 3.2.2.1: pyVoIP 1.6.8 and old phones answer without qop.
#[test]
fn an_answer_without_qop_is_good_for_one_request() {
    for method in ["REGISTER", "INVITE"] {
        let (mut harness, mut phone) = (AgentHarness::with(closed()), phone());
        if method == "REGISTER" {
            phone.to = "anna";
        }
        let headers = format!("{}{SDP}", phone.contact.clone());
        assert_eq!(harness.receive(&phone.request(method, &headers, OFFER)), ["401"]);
        let challenged = harness.last().to_owned();
        for (password, stale) in [("guess", false), ("secret", false), ("secret", true)] {
            let given = credentials_with(&challenged, 0, password, method, false);
            let request = phone.request(method, &format!("{headers}{given}"), OFFER);
            let said = harness.receive(&request);
            match (password, stale) {
                ("secret", false) => assert_ne!(said, ["401"], "{method}"),
                _ => {
                    assert_eq!(said, ["401"], "{method}");
                    assert_eq!(harness.last().contains("stale=true"), stale, "{method}");
                }
            }
        }
    }
}

/// README: "a softphone on the same machine, without an account".
#[test]
fn where_anybody_may_call_anybody_may_register_but_not_as_an_endpoint() {
    let (mut harness, mut phone) = (AgentHarness::new(), phone());
    phone.to = "zoe";
    let contact = format!("{}Expires: 600\r\n", phone.contact.clone());
    assert_eq!(harness.receive(&phone.request("REGISTER", &contact, "")), ["200"]);
    let bound = "<sip:anna@127.0.0.1:5070>;expires=600";
    assert_eq!(header(harness.last(), "Contact"), Some(bound));
    assert_eq!(harness.agent.gauges().registered, 1);
    // They are as anonymous as before.
    phone.to = "weekly";
    harness.receive(&phone.invite());
    assert_eq!(harness.arrivals[0].trusted, None);

    let open = Settings { open: Some(true), ..closed() };
    let mut harness = AgentHarness::with(open);
    for (to, expected) in [("anna", "401"), ("zoe", "200")] {
        phone.to = to;
        assert_eq!(harness.receive(&phone.request("REGISTER", &contact, "")), [expected], "{to}");
    }
    assert_eq!(harness.agent.gauges().registered, 1);
}

/// RFC 3966 and RFC 4694, as carriers send them.
#[test]
fn numbers_arrive_without_separators_and_with_their_facts() {
    let addresses = vec!["127.0.0.1".parse().unwrap()];
    let trunks = vec![SipTrunk { name: "carrier".into(), addresses, ..SipTrunk::default() }];
    for (uri, facts) in [
        ("sip:+1-415-555-0100@127.0.0.1", vec![]),
        ("tel:+1-415-555-0100", vec![]),
        ("sip:+14155550100;npdi@127.0.0.1;user=phone", vec![("X-PH-npdi", "yes")]),
        (
            "sip:+14155550100;npdi=yes;rn=+1-415-555-9999@127.0.0.1",
            vec![("X-PH-rn", "14155559999"), ("X-PH-npdi", "yes")],
        ),
    ] {
        let mut harness = AgentHarness::with(Settings { trunks: trunks.clone(), ..closed() });
        let mut phone = phone();
        phone.contact += "P-Asserted-Identity: <sip:+49-30-123;npdi;rn=+49@127.0.0.1;user=phone>\r\n\
            X-PH-rn: 1\r\nx-vh-npdi: 1\r\n";
        let invite = phone.invite().replacen("sip:weekly@127.0.0.1", uri, 1);
        assert_eq!(harness.receive(&invite), ["100", "open", "arrive", "180"], "{uri}");
        let arrival = &harness.arrivals[0];
        assert_eq!((&*arrival.to, &*arrival.from), ("14155550100", "4930123"), "{uri}");
        assert_eq!(arrival.trusted, Some(Trusted::Number("4930123".into())));
        let headers: Vec<_> = arrival.headers.iter().map(|(name, it)| (&**name, &**it)).collect();
        assert_eq!(headers, facts, "{uri}");
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn an_endpoint_shows_its_password_and_is_trusted() {
    for which in [0, 1] {
        let algorithms = vec![Algorithm::Sha256, Algorithm::Md5];
        let mut harness = AgentHarness::with(Settings { algorithms, ..closed() });
        let mut phone = phone();
        harness.receive(&phone.invite());
        let challenged = harness.last().to_owned();
        assert_eq!(brief(&challenged), "401");
        assert_eq!(harness.receive(&phone.same_branch("ACK")), [""; 0]);
        let headers = format!(
            "{}{SDP}{}",
            phone.contact.clone(),
            credentials(&challenged, which, "secret", "INVITE")
        );
        let invite = phone.request("INVITE", &headers, OFFER);
        assert_eq!(harness.receive(&invite), ["100", "open", "arrive", "180"]);
        let arrival = &harness.arrivals[0];
        assert_eq!(arrival.trusted, Some(Trusted::SipUser("anna".into())));
        assert_eq!(arrival.account, "MA1".parse().ok());

        // The same credentials are worthless in another call.
        let mut thief = Phone::new("thief", HERE);
        assert_eq!(harness.receive(&thief.request("INVITE", &headers, OFFER)), ["401"]);
        assert!(header(harness.last(), "WWW-Authenticate").unwrap().contains("stale=true"));
    }
}

#[test]
fn a_wrong_password_and_an_unknown_user_get_the_same_reply() {
    let mut replies = Vec::new();
    for (user, password) in [("anna", "guess"), ("nobody", "secret")] {
        let mut harness = AgentHarness::with(closed());
        let mut phone = phone();
        harness.receive(&phone.invite());
        let given = credentials(harness.last(), 0, password, "INVITE");
        let given = given.replace("\"anna\"", &format!("\"{user}\""));
        let headers = format!("{}{SDP}{given}", phone.contact.clone());
        assert_eq!(harness.receive(&phone.request("INVITE", &headers, OFFER)), ["401"]);
        assert!(!harness.last().contains("stale=true"));
        replies.push(harness.last().to_owned());
    }
    assert_eq!(replies[0], replies[1]);
}

/// OWASP ASVS 4.0.3, 2.2.1; issue 14, A3.
#[test]
fn guesses_of_a_password_are_limited_by_address_and_the_limit_does_not_show() {
    let mut harness = AgentHarness::with(closed());
    let mut count = 0;
    let mut attempt = |harness: &mut AgentHarness, password: &str| {
        count += 1;
        let mut phone = Phone::new(&format!("p{count}"), HERE);
        harness.receive(&phone.invite());
        let given = credentials(harness.last(), 0, password, "INVITE");
        harness.receive(&phone.same_branch("ACK"));
        let headers = format!("{}{SDP}{given}", phone.contact.clone());
        harness.receive(&phone.request("INVITE", &headers, OFFER)).remove(0)
    };
    for _ in 0..9 {
        assert_eq!(attempt(&mut harness, "guess"), "401");
    }
    assert_eq!(attempt(&mut harness, "secret"), "100");
    assert_eq!(attempt(&mut harness, "guess"), "401");
    assert_eq!(attempt(&mut harness, "secret"), "401", "ten were wrong");
    assert!(!harness.last().contains("stale=true"));
    harness.remote = "192.0.2.7:5060".parse().unwrap();
    assert_eq!(attempt(&mut harness, "secret"), "100", "from elsewhere");
}

/// A nonce that is not ours must not tell whether the password is right.
#[test]
fn a_made_up_nonce_tells_nothing_about_a_password() {
    for password in ["secret", "guess"] {
        let mut harness = AgentHarness::with(closed());
        let mut phone = phone();
        harness.receive(&phone.invite());
        let nonce = harness.last().split_once("nonce=\"").unwrap().1.split('"').next().unwrap();
        let challenged = harness.last().replace(nonce, &"0".repeat(nonce.len()));
        let given = credentials(&challenged, 0, password, "INVITE");
        let headers = format!("{}{SDP}{given}", phone.contact.clone());
        assert_eq!(harness.receive(&phone.request("INVITE", &headers, OFFER)), ["401"]);
        assert!(harness.last().contains("stale=true"), "{password}");
    }
}

#[test]
fn nobody_calls_in_the_name_of_an_endpoint_even_if_anonymous_calls_are_allowed() {
    let mut harness = AgentHarness::with(Settings { open: Some(true), ..closed() });
    assert_eq!(harness.receive(&phone().invite()), ["401"]);
    let mut stranger = Phone::new("stranger", HERE);
    stranger.from = "zoe";
    assert_eq!(harness.receive(&stranger.invite()), ["100", "open", "arrive", "180"]);
    assert_eq!(harness.arrivals[0].trusted, None);
    assert_eq!(harness.arrivals[0].account, "MA1".parse().ok(), "on loopback");

    // After a reload, the flows of another account.
    let loopback_account = "MA2".parse().ok();
    let peers = SipPeers { loopback_account, ..SipPeers::default() };
    harness.handle(Command::Configure(peers));
    let mut other = Phone::new("other", HERE);
    other.from = "zoe";
    assert_eq!(harness.receive(&other.invite()), ["100", "open", "arrive", "180"]);
    assert_eq!(harness.arrivals[1].account, "MA2".parse().ok());

    let mut harness = AgentHarness::with(Settings { open: Some(true), ..closed() });
    harness.remote = "192.0.2.7:5060".parse().unwrap();
    assert_eq!(harness.receive(&stranger.invite()), ["100", "open", "arrive", "180"]);
    assert_eq!(harness.arrivals[0].account, None, "from afar");
}

#[test]
fn a_trunk_is_known_by_its_address_and_trusted_in_what_it_asserts() {
    let addresses = vec!["192.0.2.0/24".parse().unwrap()];
    let trunks = vec![SipTrunk { name: "carrier".into(), addresses, ..SipTrunk::default() }];
    let settings = Settings { trunks, ..closed() };
    let mut phone = phone();
    phone.contact += "P-Asserted-Identity: \"Zoe\" <sip:+14155550123@carrier.example>\r\n\
                      X-PH-Room: blue\r\nx-vh-colour: red\r\nX-Other: no\r\n";
    let mut harness = AgentHarness::with(settings.clone());
    harness.remote = "192.0.2.7:5060".parse().unwrap();
    assert_eq!(harness.receive(&phone.invite()), ["100", "open", "arrive", "180"]);
    let arrival = &harness.arrivals[0];
    assert_eq!((&*arrival.from, &*arrival.caller_name), ("14155550123", "Zoe"));
    assert_eq!(arrival.trusted, Some(Trusted::Number("14155550123".into())));
    assert_eq!(arrival.account, None);
    // An identity that only the phone itself asserts, or a private one, is not trusted.
    for asserted in ["", "P-Asserted-Identity: <sip:anonymous@anonymous.invalid>\r\n"] {
        let mut bare = self::phone();
        bare.contact += asserted;
        let mut harness = AgentHarness::with(settings.clone());
        harness.remote = "192.0.2.7:5060".parse().unwrap();
        assert_eq!(harness.receive(&bare.invite()), ["100", "open", "arrive", "180"]);
        assert_eq!(harness.arrivals[0].trusted, None, "{asserted:?}");
    }
    let custom: Vec<_> = arrival.headers.iter().map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(custom, [("X-PH-Room", "blue"), ("x-vh-colour", "red")]);

    let mut harness = AgentHarness::with(settings.clone());
    harness.remote = "198.51.100.7:5060".parse().unwrap();
    assert_eq!(harness.receive(&phone.invite()), ["401"]);

    // A trunk on this machine is still a trunk: it reaches numbers, not names.
    let addresses = vec!["127.0.0.1".parse().unwrap()];
    let trunks = vec![SipTrunk { name: "here".into(), addresses, ..SipTrunk::default() }];
    let mut harness = AgentHarness::with(Settings { trunks, ..settings });
    assert_eq!(harness.receive(&phone.invite()), ["100", "open", "arrive", "180"]);
    assert_eq!(harness.arrivals[0].account, None);
}

/// What a call with these headers says of its caller and of its way here.
fn arrived(headers: &str, by_trunk: bool) -> Arrival {
    let addresses = vec!["192.0.2.0/24".parse().unwrap()];
    let trunks = vec![SipTrunk { name: "carrier".into(), addresses, ..SipTrunk::default() }];
    let mut phone = phone();
    phone.contact += headers;
    let mut harness = AgentHarness::with(Settings { trunks, ..Settings::default() });
    if by_trunk {
        harness.remote = "192.0.2.7:5060".parse().unwrap();
    }
    assert_eq!(harness.receive(&phone.invite()), ["100", "open", "arrive", "180"], "{headers}");
    harness.arrivals.remove(0)
}

#[test]
fn a_caller_who_withholds_their_number_is_private() {
    let known = "P-Asserted-Identity: <sip:+4930@carrier.example>\r\n";
    for (headers, expected) in [
        (known, false),
        ("Privacy: none\r\n", false),
        ("Privacy: session\r\n", false),
        ("Privacy: id\r\n", true),
        ("Privacy: critical;ID\r\n", true),
        ("Privacy: user; header\r\n", true),
        ("P-Asserted-Identity: <sip:anonymous@anonymous.invalid>\r\n", true),
    ] {
        assert_eq!(arrived(headers, true).is_private, expected, "{headers}");
    }
    let arrival = arrived(&format!("{known}Privacy: id\r\n"), true);
    assert_eq!(&*arrival.from, "4930", "the flow still knows it");
    assert!(arrived("Privacy: id\r\n", false).is_private, "a phone may ask for it, too");
}

#[test]
fn earlier_forwardings_are_taken_from_a_trunk_and_from_nobody_else() {
    let one = "Diversion: <sip:+4960@10.0.0.9:5070>;reason=user-busy;counter=2;privacy=full\r\n";
    let diversion = arrived(one, true).diversion.unwrap();
    let expected =
        Diversion { from: "4960".into(), reason: "user-busy".into(), counter: 2, is_private: true };
    assert_eq!(*diversion, expected);
    assert_eq!(arrived(one, false).diversion, None);
    for (headers, from, reason, counter) in [
        ("diversion: <tel:+4961>\r\n", "4961", "unknown", 1),
        ("Diversion: <sip:a@b>;reason=\"deflection\";privacy=off\r\n", "sip:a@b", "deflection", 1),
        (
            "Diversion: <sip:49@b>;counter=3, <sip:50@b>;counter=9\r\nDiversion: <sip:51@b>\r\n",
            "49",
            "unknown",
            13,
        ),
        ("Diversion: <sip:49@b>;counter=4000000000;reason=\"a b\"\r\n", "49", "unknown", 255),
    ] {
        let it = arrived(headers, true).diversion.unwrap();
        assert_eq!((&*it.from, &*it.reason, it.counter), (from, reason, counter), "{headers}");
        assert!(!it.is_private);
    }
    assert_eq!(arrived("Diversion: <<\r\n", true).diversion, None);
}

#[test]
fn a_phone_registers_with_its_password_and_goes() {
    let (mut harness, mut phone) = (AgentHarness::with(closed()), phone());
    phone.to = "anna";
    let contact = format!("{}Expires: 600\r\n", phone.contact.clone());
    assert_eq!(harness.receive(&phone.request("REGISTER", &contact, "")), ["401"]);
    let given = credentials(harness.last(), 0, "secret", "REGISTER");
    let register = phone.request("REGISTER", &format!("{contact}{given}"), "");
    assert_eq!(harness.receive(&register), ["200"]);
    let bound = "<sip:anna@127.0.0.1:5070>;expires=600";
    assert_eq!(header(harness.last(), "Contact"), Some(bound));
    // The REGISTER is retransmitted, because its reply was lost.
    assert_eq!(harness.receive(&register), ["200"]);
    assert_eq!(harness.agent.gauges().registered, 1);
    assert_eq!(harness.wait(Duration::from_secs(601)), [""; 0]);
    harness.ends_empty();
}

#[test]
fn a_phone_does_not_register_for_another() {
    let (mut harness, mut phone) = (AgentHarness::with(closed()), phone());
    phone.to = "zoe";
    let contact = phone.contact.clone();
    harness.receive(&phone.request("REGISTER", &contact, ""));
    let given = credentials(harness.last(), 0, "secret", "REGISTER");
    assert_eq!(
        harness.receive(&phone.request("REGISTER", &format!("{contact}{given}"), "")),
        ["403"]
    );
    assert_eq!(harness.agent.gauges().registered, 0);
}

#[test]
fn a_register_that_is_too_short_gets_a_423() {
    let (mut harness, mut phone) = (AgentHarness::with(closed()), phone());
    phone.to = "anna";
    let contact = format!("{}Expires: 5\r\n", phone.contact.clone());
    harness.receive(&phone.request("REGISTER", &contact, ""));
    let given = credentials(harness.last(), 0, "secret", "REGISTER");
    assert_eq!(
        harness.receive(&phone.request("REGISTER", &format!("{contact}{given}"), "")),
        ["423"]
    );
    assert_eq!(header(harness.last(), "Min-Expires"), Some("60"));
}

#[test]
fn a_refusal_leaves_nothing_behind() {
    let mut harness = AgentHarness::with(closed());
    for n in 0..1_000 {
        let mut phone = Phone::new(&format!("p{n}"), HERE);
        assert_eq!(harness.receive(&phone.invite()), ["401"]);
    }
    assert_eq!(harness.agent.gauges(), SipGauges::default());
}

#[test]
fn while_draining_new_calls_are_refused_and_existing_ones_kept() {
    let (mut harness, mut phone) = (AgentHarness::new(), phone());
    harness.up(&mut phone);
    let mut other = Phone::new("other", HERE);
    assert_eq!(harness.receive(&other.request("OPTIONS", "", "")), ["200"]);
    assert!(header(harness.last(), "Allow").is_some());
    harness.handle(Command::Drain);
    assert_eq!(harness.receive(&other.request("OPTIONS", "", "")), ["503"]);
    assert_eq!(harness.receive(&other.invite()), ["503"]);
    assert!(header(harness.last(), "Retry-After").is_some());
    assert_eq!(harness.receive(&phone.request("BYE", "", "")), ["200", "close", "HungUp"]);
}

#[test]
fn calls_beyond_the_limit_get_a_503() {
    let mut harness = AgentHarness::with(Settings { calls_max: 1, ..Settings::default() });
    harness.receive(&phone().invite());
    assert_eq!(harness.receive(&Phone::new("other", HERE).invite()), ["503"]);
}

#[test]
fn requests_outside_of_a_call_are_refused() {
    let wrong_tag = |phone: &mut Phone| phone.to_tag = Some("wrong".to_owned());
    for (method, headers, expected) in [
        ("BYE", "", "481"),
        ("INFO", "", "481"),
        ("UPDATE", "", "481"),
        ("INVITE", "Contact: <sip:a@127.0.0.1>\r\n", "481"),
        ("MESSAGE", "", "405"),
        ("SUBSCRIBE", "", "405"),
        ("PRACK", "", "405"),
        ("PUBLISH", "", "405"),
    ] {
        let (mut harness, mut phone) = (AgentHarness::new(), phone());
        wrong_tag(&mut phone);
        assert_eq!(harness.receive(&phone.request(method, headers, "")), [expected], "{method}");
        harness.ends_empty();
    }
}

/// An INVITE with each possible defect.
#[test]
fn an_invite_with_a_defect_is_refused() {
    let contact = "Contact: <sip:anna@127.0.0.1:5070>\r\n";
    let check = |change: &dyn Fn(String) -> String, expected: &str, hint: Option<(&str, &str)>| {
        let (mut harness, mut phone) = (AgentHarness::new(), phone());
        let text = change(phone.invite());
        assert_eq!(harness.receive(&text), [expected], "{text}");
        if let Some((name, value)) = hint {
            assert_eq!(header(harness.last(), name), Some(value), "{}", harness.last());
        }
        harness.ends_empty();
    };
    let swap = |from: &'static str, to: &'static str| move |text: String| text.replace(from, to);
    check(&swap(contact, ""), "400", None);
    check(&swap(contact, "Contact: *\r\n"), "400", None);
    check(&swap(contact, "Contact: <tel:+1>\r\n"), "400", None);
    check(&swap("Max-Forwards: 70", "Max-Forwards: 0"), "483", None);
    check(&swap("INVITE sip:weekly", "INVITE sips:weekly"), "416", None);
    check(&swap("INVITE sip:weekly@127.0.0.1", "INVITE isbn:2983792873"), "416", None);
    let require = "Require: 100rel, timer\r\nRequire: foo\r\nContent-Type: application/sdp";
    let unsupported = Some(("Unsupported", "100rel, foo"));
    check(&swap("Content-Type: application/sdp", require), "420", unsupported);
    let accept = Some(("Accept", "application/sdp, multipart/mixed, multipart/alternative"));
    check(&swap("application/sdp", "text/html"), "415", accept);
    let zip = "application/sdp\r\nContent-Encoding: gzip";
    check(&swap("application/sdp", zip), "415", Some(("Accept-Encoding", "identity")));
    let unwanted = "application/sdp\r\nAccept: text/nobody-knows";
    check(&swap("application/sdp", unwanted), "406", None);
    let soon = "application/sdp\r\nSupported: timer\r\nSession-Expires: 30";
    check(&swap("application/sdp", soon), "422", Some(("Min-SE", "90")));
    check(&swap("SIP/2.0\r\n", "SIP/3.0\r\n"), "505", None);
    let allow = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, REGISTER, REFER";
    check(&swap("INVITE", "NEWMETHOD"), "405", Some(("Allow", allow)));
    check(&swap("INVITE", "REFER"), "603", None);
}

#[test]
fn an_offer_that_cannot_be_agreed_to_is_refused() {
    let (mut harness, mut phone) = (AgentHarness::new(), phone());
    let headers = format!("{}{SDP}", phone.contact.clone());
    let text = phone.request("INVITE", &headers, &OFFER.replace("m=audio", "m=video"));
    assert_eq!(harness.receive(&text), ["100", "open", "close", "488"]);
    assert!(header(harness.last(), "Warning").unwrap().starts_with("304 127.0.0.1 \""));
    harness.ends_empty();
}

#[test]
fn an_invite_that_arrives_by_two_paths_is_one_call() {
    let (mut harness, mut phone) = (AgentHarness::new(), phone());
    let invite = phone.invite();
    harness.receive(&invite);
    assert_eq!(harness.receive(&invite.replace("branch=z9hG4bK", "branch=z9hG4bKother")), ["482"]);
    assert_eq!(harness.arrivals.len(), 1);
}

#[test]
fn an_ack_is_never_answered_even_if_it_is_malformed() {
    let (mut harness, mut phone) = (AgentHarness::new(), phone());
    phone.to_tag = Some("wrong".to_owned());
    let ack = phone.request("ACK", "", "");
    assert_eq!(harness.receive(&ack), [""; 0]);
    assert_eq!(harness.receive(&ack.replace("Call-ID: p", "Call-ID: ")), [""; 0]);
    assert_eq!(harness.receive(&ack.replace("Content-Length: 0", "Content-Length: 9")), [""; 0]);
}
