//! Who is let in, and what is refused.

use conflow::base::ids::Trusted;

use super::*;

/// What a phone answers to the challenges of a 401.
fn credentials(reply: &str, which: usize, password: &str, method: &str) -> String {
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
    let response = hash(format!("{a1}:{nonce}:00000001:abc:auth:{a2}"));
    format!(
        "Authorization: Digest username=\"anna\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"sip:x\", \
         response=\"{response}\", algorithm={algorithm}, qop=auth, nc=00000001, cnonce=\"abc\"\r\n"
    )
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn an_endpoint_shows_its_password_and_is_trusted() {
    for which in [0, 1] {
        let algorithms = vec![Algorithm::Sha256, Algorithm::Md5];
        let mut bench = Bench::with(Settings { algorithms, ..closed() });
        let mut phone = phone();
        bench.receive(&phone.invite());
        let challenged = bench.last().to_owned();
        assert_eq!(brief(&challenged), "401");
        assert_eq!(bench.receive(&phone.same_branch("ACK")), [""; 0]);
        let headers = format!(
            "{}{SDP}{}",
            phone.contact.clone(),
            credentials(&challenged, which, "secret", "INVITE")
        );
        let invite = phone.request("INVITE", &headers, OFFER);
        assert_eq!(bench.receive(&invite), ["100", "open", "arrive", "180"]);
        let arrival = &bench.arrivals[0];
        assert_eq!(arrival.trusted, Some(Trusted::SipUser("anna".into())));
        assert_eq!(arrival.account, "MA1".parse().ok());

        // The same credentials are worth nothing in another call.
        let mut thief = Phone::new("thief", HERE);
        assert_eq!(bench.receive(&thief.request("INVITE", &headers, OFFER)), ["401"]);
        assert!(header(bench.last(), "WWW-Authenticate").unwrap().contains("stale=true"));
    }
}

#[test]
fn a_wrong_password_and_an_unknown_user_look_the_same() {
    let mut replies = Vec::new();
    for (user, password) in [("anna", "guess"), ("nobody", "secret")] {
        let mut bench = Bench::with(closed());
        let mut phone = phone();
        bench.receive(&phone.invite());
        let given = credentials(bench.last(), 0, password, "INVITE");
        let given = given.replace("\"anna\"", &format!("\"{user}\""));
        let headers = format!("{}{SDP}{given}", phone.contact.clone());
        assert_eq!(bench.receive(&phone.request("INVITE", &headers, OFFER)), ["401"]);
        assert!(!bench.last().contains("stale=true"));
        replies.push(bench.last().to_owned());
    }
    assert_eq!(replies[0], replies[1]);
}

#[test]
fn nobody_calls_in_the_name_of_an_endpoint_even_if_the_house_is_open() {
    let mut bench = Bench::with(Settings { open: Some(true), ..closed() });
    assert_eq!(bench.receive(&phone().invite()), ["401"]);
    let mut stranger = Phone::new("stranger", HERE);
    stranger.from = "zoe";
    assert_eq!(bench.receive(&stranger.invite()), ["100", "open", "arrive", "180"]);
    assert_eq!(bench.arrivals[0].trusted, None);
    assert_eq!(bench.arrivals[0].account, "MA1".parse().ok(), "on loopback");

    let mut bench = Bench::with(Settings { open: Some(true), ..closed() });
    bench.remote = "192.0.2.7:5060".parse().unwrap();
    assert_eq!(bench.receive(&stranger.invite()), ["100", "open", "arrive", "180"]);
    assert_eq!(bench.arrivals[0].account, None, "from afar");
}

#[test]
fn a_trunk_is_known_by_its_address_and_trusted_in_what_it_asserts() {
    let addresses = vec!["192.0.2.0/24".parse().unwrap()];
    let trunks = vec![Trunk { name: "carrier".into(), addresses }];
    let settings = Settings { trunks, ..closed() };
    let mut phone = phone();
    phone.contact += "P-Asserted-Identity: \"Zoe\" <sip:+14155550123@carrier.example>\r\n\
                      X-PH-Room: blue\r\nx-vh-colour: red\r\nX-Other: no\r\n";
    let mut bench = Bench::with(settings.clone());
    bench.remote = "192.0.2.7:5060".parse().unwrap();
    assert_eq!(bench.receive(&phone.invite()), ["100", "open", "arrive", "180"]);
    let arrival = &bench.arrivals[0];
    assert_eq!((&*arrival.from, &*arrival.caller_name), ("14155550123", "Zoe"));
    assert_eq!(arrival.trusted, Some(Trusted::Number("14155550123".into())));
    assert_eq!(arrival.account, None);
    // What it only says of itself, or keeps for itself, nobody vouches for.
    for asserted in ["", "P-Asserted-Identity: <sip:anonymous@anonymous.invalid>\r\n"] {
        let mut bare = self::phone();
        bare.contact += asserted;
        let mut bench = Bench::with(settings.clone());
        bench.remote = "192.0.2.7:5060".parse().unwrap();
        assert_eq!(bench.receive(&bare.invite()), ["100", "open", "arrive", "180"]);
        assert_eq!(bench.arrivals[0].trusted, None, "{asserted:?}");
    }
    let custom: Vec<_> = arrival.headers.iter().map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(custom, [("X-PH-Room", "blue"), ("x-vh-colour", "red")]);

    let mut bench = Bench::with(settings.clone());
    bench.remote = "198.51.100.7:5060".parse().unwrap();
    assert_eq!(bench.receive(&phone.invite()), ["401"]);

    // A trunk on this machine is a trunk all the same: it reaches numbers, no names.
    let addresses = vec!["127.0.0.1".parse().unwrap()];
    let trunks = vec![Trunk { name: "here".into(), addresses }];
    let mut bench = Bench::with(Settings { trunks, ..settings });
    assert_eq!(bench.receive(&phone.invite()), ["100", "open", "arrive", "180"]);
    assert_eq!(bench.arrivals[0].account, None);
}

#[test]
fn a_phone_registers_with_its_password_and_goes() {
    let (mut bench, mut phone) = (Bench::with(closed()), phone());
    phone.to = "anna";
    let contact = format!("{}Expires: 600\r\n", phone.contact.clone());
    assert_eq!(bench.receive(&phone.request("REGISTER", &contact, "")), ["401"]);
    let given = credentials(bench.last(), 0, "secret", "REGISTER");
    let register = phone.request("REGISTER", &format!("{contact}{given}"), "");
    assert_eq!(bench.receive(&register), ["200"]);
    let bound = "<sip:anna@127.0.0.1:5070>;expires=600";
    assert_eq!(header(bench.last(), "Contact"), Some(bound));
    // The same REGISTER again: its reply was lost.
    assert_eq!(bench.receive(&register), ["200"]);
    assert_eq!(bench.agent.gauges().registered, 1);
    assert_eq!(bench.wait(Duration::from_secs(601)), [""; 0]);
    bench.ends_empty();
}

#[test]
fn a_phone_does_not_register_for_another() {
    let (mut bench, mut phone) = (Bench::with(closed()), phone());
    phone.to = "zoe";
    let contact = phone.contact.clone();
    bench.receive(&phone.request("REGISTER", &contact, ""));
    let given = credentials(bench.last(), 0, "secret", "REGISTER");
    assert_eq!(
        bench.receive(&phone.request("REGISTER", &format!("{contact}{given}"), "")),
        ["403"]
    );
    assert_eq!(bench.agent.gauges().registered, 0);
}

#[test]
fn a_register_that_is_too_short_is_told_so() {
    let (mut bench, mut phone) = (Bench::with(closed()), phone());
    phone.to = "anna";
    let contact = format!("{}Expires: 5\r\n", phone.contact.clone());
    bench.receive(&phone.request("REGISTER", &contact, ""));
    let given = credentials(bench.last(), 0, "secret", "REGISTER");
    assert_eq!(
        bench.receive(&phone.request("REGISTER", &format!("{contact}{given}"), "")),
        ["423"]
    );
    assert_eq!(header(bench.last(), "Min-Expires"), Some("60"));
}

#[test]
fn a_refusal_leaves_nothing_behind() {
    let mut bench = Bench::with(closed());
    for n in 0..1_000 {
        let mut phone = Phone::new(&format!("p{n}"), HERE);
        assert_eq!(bench.receive(&phone.invite()), ["401"]);
    }
    assert_eq!(bench.agent.gauges(), Gauges::default());
}

#[test]
fn a_house_that_drains_takes_no_calls_but_keeps_those_it_has() {
    let (mut bench, mut phone) = (Bench::new(), phone());
    bench.up(&mut phone);
    let mut other = Phone::new("other", HERE);
    assert_eq!(bench.receive(&other.request("OPTIONS", "", "")), ["200"]);
    assert!(header(bench.last(), "Allow").is_some());
    bench.handle(Command::Drain);
    assert_eq!(bench.receive(&other.request("OPTIONS", "", "")), ["503"]);
    assert_eq!(bench.receive(&other.invite()), ["503"]);
    assert!(header(bench.last(), "Retry-After").is_some());
    assert_eq!(bench.receive(&phone.request("BYE", "", "")), ["200", "close", "HungUp"]);
}

#[test]
fn calls_beyond_the_limit_are_put_off() {
    let mut bench = Bench::with(Settings { calls_max: 1, ..Settings::default() });
    bench.receive(&phone().invite());
    assert_eq!(bench.receive(&Phone::new("other", HERE).invite()), ["503"]);
}

#[test]
fn requests_that_are_not_of_a_call_are_refused() {
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
        let (mut bench, mut phone) = (Bench::new(), phone());
        wrong_tag(&mut phone);
        assert_eq!(bench.receive(&phone.request(method, headers, "")), [expected], "{method}");
        bench.ends_empty();
    }
}

/// A refused INVITE, by what is wrong with it.
#[test]
fn what_an_invite_must_be() {
    let contact = "Contact: <sip:anna@127.0.0.1:5070>\r\n";
    let check = |change: &dyn Fn(String) -> String, expected: &str, hint: Option<(&str, &str)>| {
        let (mut bench, mut phone) = (Bench::new(), phone());
        let text = change(phone.invite());
        assert_eq!(bench.receive(&text), [expected], "{text}");
        if let Some((name, value)) = hint {
            assert_eq!(header(bench.last(), name), Some(value), "{}", bench.last());
        }
        bench.ends_empty();
    };
    let swap = |from: &'static str, to: &'static str| move |text: String| text.replace(from, to);
    check(&swap(contact, ""), "400", None);
    check(&swap(contact, "Contact: *\r\n"), "400", None);
    check(&swap(contact, "Contact: <tel:+1>\r\n"), "400", None);
    check(&swap("Max-Forwards: 70", "Max-Forwards: 0"), "483", None);
    check(&swap("Max-Forwards: 70", "Max-Forwards: 256"), "400", None);
    check(&swap("INVITE sip:weekly", "INVITE sips:weekly"), "416", None);
    check(&swap("INVITE sip:weekly@127.0.0.1", "INVITE tel:+14155550100"), "416", None);
    let require = "Require: 100rel, timer\r\nRequire: foo\r\nContent-Type: application/sdp";
    let unsupported = Some(("Unsupported", "100rel, foo"));
    check(&swap("Content-Type: application/sdp", require), "420", unsupported);
    let accept = Some(("Accept", "application/sdp"));
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
    let (mut bench, mut phone) = (Bench::new(), phone());
    let headers = format!("{}{SDP}", phone.contact.clone());
    let text = phone.request("INVITE", &headers, &OFFER.replace("m=audio", "m=video"));
    assert_eq!(bench.receive(&text), ["100", "open", "close", "488"]);
    assert!(header(bench.last(), "Warning").unwrap().starts_with("304 127.0.0.1 \""));
    bench.ends_empty();
}

#[test]
fn an_invite_that_comes_over_two_ways_is_one_call() {
    let (mut bench, mut phone) = (Bench::new(), phone());
    let invite = phone.invite();
    bench.receive(&invite);
    assert_eq!(bench.receive(&invite.replace("branch=z9hG4bK", "branch=z9hG4bKother")), ["482"]);
    assert_eq!(bench.arrivals.len(), 1);
}

#[test]
fn an_ack_is_never_answered_whatever_is_wrong_with_it() {
    let (mut bench, mut phone) = (Bench::new(), phone());
    phone.to_tag = Some("wrong".to_owned());
    let ack = phone.request("ACK", "", "");
    assert_eq!(bench.receive(&ack), [""; 0]);
    assert_eq!(bench.receive(&ack.replace("Call-ID: p", "Call-ID: ")), [""; 0]);
    assert_eq!(bench.receive(&ack.replace("Content-Length: 0", "Content-Length: 9")), [""; 0]);
}
