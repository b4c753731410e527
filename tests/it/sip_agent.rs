//! The signalling machine on a clock of its own: what is said, when, and what follows.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use conflow::{
    ids::CallId,
    media::{
        Arrival, Ending, HangupCause, HangupSource, Heard,
        sip::{
            Endpoint, NoPort, Password, Session, Settings, Trunk,
            agent::{Agent, Gauges},
            digest::Algorithm,
            effect::{Command, Effect},
            message::Message,
            request::{Hop, Transport},
        },
    },
};

use crate::phone::{OFFER, Phone, SDP, body, brief, header, headers};

/// A machine, and what has come out of it.
struct Bench {
    agent: Agent,
    now: Instant,
    remote: SocketAddr,
    transport: Transport,
    has_flow: bool,
    has_port: bool,
    sent: Vec<(SocketAddr, String)>,
    arrivals: Vec<Arrival>,
    agreed: Vec<Session>,
}

const HERE: &str = "127.0.0.1:5070";

impl Bench {
    fn new() -> Self {
        Self::with(Settings::default())
    }

    #[expect(clippy::disallowed_methods, reason = "where the clock begins matters to nothing")]
    fn with(settings: Settings) -> Self {
        let now = Instant::now();
        Self {
            agent: Agent::new(now, Arc::new(settings), [7; 32]),
            now,
            remote: HERE.parse().unwrap(),
            transport: Transport::Udp,
            has_flow: true,
            has_port: true,
            sent: Vec::new(),
            arrivals: Vec::new(),
            agreed: Vec::new(),
        }
    }

    /// A message comes in; what follows, in brief.
    fn receive(&mut self, text: &str) -> Vec<String> {
        let Some(message) = Message::parse(text.as_bytes()).unwrap() else { return vec![] };
        let (transport, remote) = (self.transport, self.remote);
        let local = "127.0.0.1:5060".parse().unwrap();
        let hop = Hop { transport, link: 0, local, remote };
        self.handle(Command::Received { hop, message })
    }

    fn handle(&mut self, command: Command) -> Vec<String> {
        let (mut effects, mut brief) = (VecDeque::new(), Vec::new());
        self.agent.handle(self.now, command, &mut effects);
        while let Some(effect) = effects.pop_front() {
            let (said, command) = self.perform(effect);
            brief.push(said);
            if let Some(command) = command {
                self.agent.handle(self.now, command, &mut effects);
            }
        }
        brief
    }

    fn perform(&mut self, effect: Effect) -> (String, Option<Command>) {
        match effect {
            Effect::Send { hop, bytes } => {
                let text = String::from_utf8(bytes.to_vec()).unwrap();
                let said = brief(&text);
                self.sent.push((hop.remote, text));
                (said, None)
            }
            Effect::Open { call, .. } => {
                let port = "127.0.0.1:20000".parse().unwrap();
                let port = if self.has_port { Ok(port) } else { Err(NoPort) };
                ("open".to_owned(), Some(Command::Opened { call, port }))
            }
            Effect::Agree { session, .. } => {
                let said = format!("agree {}", session.agreed.remote.unwrap());
                self.agreed.push(session);
                (said, None)
            }
            Effect::Close { .. } => ("close".to_owned(), None),
            Effect::Arrive(arrival) => {
                let call = arrival.call;
                self.arrivals.push(arrival);
                let command = Command::Arrived { call, has_flow: self.has_flow };
                ("arrive".to_owned(), Some(command))
            }
            Effect::Report(report) => (format!("{:?}", report.heard), None),
        }
    }

    /// Time passes, with all that is due in between.
    fn wait(&mut self, wait: Duration) -> Vec<String> {
        let (until, mut brief) = (self.now + wait, Vec::new());
        while let Some(at) = self.agent.deadline().filter(|at| *at <= until) {
            self.now = at;
            brief.extend(self.handle(Command::Tick));
        }
        self.now = until;
        brief
    }

    fn call(&self) -> CallId {
        self.arrivals.last().unwrap().call
    }

    fn answer(&mut self) -> Vec<String> {
        self.handle(Command::Answer(self.call()))
    }

    fn end(&mut self, cause: HangupCause) -> Vec<String> {
        self.handle(Command::End(self.call(), Ending { cause, source: HangupSource::AnswerXml }))
    }

    fn last(&self) -> &str {
        &self.sent.last().unwrap().1
    }

    /// A call that is up.
    fn up(&mut self, phone: &mut Phone) {
        let invite = phone.invite();
        self.up_by(phone, &invite);
    }

    fn up_by(&mut self, phone: &mut Phone, invite: &str) {
        self.receive(invite);
        self.answer();
        let ok = self.last().to_owned();
        assert_eq!(brief(&ok), "200");
        phone.learn(&ok);
        let ack = phone.ack();
        self.receive(&ack);
    }

    /// Everything is over, and nothing is left of it.
    fn ends_empty(mut self) {
        self.wait(Duration::from_secs(64));
        assert_eq!(self.agent.gauges(), Gauges::default());
        assert_eq!(self.agent.deadline(), None);
    }
}

fn phone() -> Phone {
    Phone::new("p", HERE)
}

#[test]
fn a_call_rings_is_answered_and_is_hung_up_by_the_caller() {
    let (mut bench, mut phone) = (Bench::new(), phone());
    assert_eq!(bench.receive(&phone.invite()), ["100", "open", "arrive", "180"]);
    let arrival = &bench.arrivals[0];
    assert_eq!((&*arrival.from, &*arrival.to), ("sip:anna@127.0.0.1", "weekly"));
    assert_eq!(arrival.trusted, None);
    assert_eq!(bench.answer(), ["200", "agree 127.0.0.1:40000"]);
    let ok = bench.last().to_owned();
    assert!(body(&ok).contains("m=audio 20000 RTP/AVP 0"), "{ok}");
    assert_eq!(header(&ok, "Contact"), Some("<sip:conflow@127.0.0.1:5060>"));
    phone.learn(&ok);
    assert_eq!(bench.receive(&phone.ack()), [""; 0]);
    assert_eq!(bench.receive(&phone.request("BYE", "", "")), ["200", "close", "HungUp"]);
    assert_eq!(bench.end(HangupCause::Normal), [""; 0]);
    bench.ends_empty();
}

#[test]
fn the_engine_hangs_up() {
    let (mut bench, mut phone) = (Bench::new(), phone());
    bench.up(&mut phone);
    assert_eq!(bench.end(HangupCause::EndOfXml), ["close", "BYE"]);
    let bye = bench.last().to_owned();
    let reason = "Q.850;cause=16;text=\"End Of XML Instructions\"";
    assert_eq!(header(&bye, "Reason"), Some(reason));
    assert_eq!(bench.agent.gauges().calls, 1);
    bench.receive(&reply_to(&bye, 200, "", ""));
    assert_eq!(bench.agent.gauges().calls, 0);
    bench.ends_empty();
}

/// A reply of the phone to a request of ours.
fn reply_to(request: &str, code: u16, extra: &str, body: &str) -> String {
    let copy = |name: &str| {
        headers(request, name).map(|it| format!("{name}: {it}\r\n")).collect::<String>()
    };
    let copied: String = ["Via", "From", "To", "Call-ID", "CSeq"].map(copy).concat();
    format!("SIP/2.0 {code} x\r\n{copied}{extra}Content-Length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn a_bye_without_an_answer_is_sent_again_and_then_given_up() {
    let (mut bench, mut phone) = (Bench::new(), phone());
    bench.up(&mut phone);
    bench.end(HangupCause::EndOfXml);
    let byes = bench.wait(Duration::from_secs(33));
    // 0.5, 1.5, 3.5, then every 4 s up to 32 s (RFC 3261, 17.1.2.2).
    assert_eq!(byes, ["BYE"; 10]);
    bench.ends_empty();
}

#[test]
fn the_200_is_sent_again_until_its_ack() {
    let (mut bench, mut phone) = (Bench::new(), phone());
    bench.receive(&phone.invite());
    bench.answer();
    let ok = bench.last().to_owned();
    assert_eq!(bench.wait(Duration::from_secs(4)), ["200"; 3]);
    assert_eq!(bench.last(), ok);
    phone.learn(&ok);
    bench.receive(&phone.ack());
    assert_eq!(bench.wait(Duration::from_secs(60)), [""; 0]);
}

#[test]
fn a_call_whose_200_is_never_acknowledged_ends() {
    let (mut bench, mut phone) = (Bench::new(), phone());
    bench.receive(&phone.invite());
    bench.answer();
    let said = bench.wait(Duration::from_secs(32));
    assert_eq!(said.iter().filter(|it| *it == "200").count(), 10);
    assert_eq!(said[said.len() - 3..], ["close", "HungUp", "BYE"]);
    bench.ends_empty();
}

#[test]
fn over_a_stream_only_the_200_is_sent_again() {
    let (mut bench, mut phone) = (Bench::new(), phone());
    bench.transport = Transport::Tcp;
    bench.receive(&phone.invite());
    bench.answer();
    assert!(bench.last().contains("Contact: <sip:conflow@127.0.0.1:5060;transport=tcp>"));
    assert_eq!(bench.wait(Duration::from_millis(600)), ["200"]);
    phone.learn(&bench.last().to_owned());
    bench.receive(&phone.ack());
    assert_eq!(bench.end(HangupCause::EndOfXml), ["close", "BYE"]);
    assert_eq!(bench.wait(Duration::from_secs(60)), [""; 0]);
    bench.ends_empty();
}

#[test]
fn an_invite_that_comes_again_is_answered_as_before() {
    let (mut bench, mut phone) = (Bench::new(), phone());
    let invite = phone.invite();
    bench.receive(&invite);
    assert_eq!(bench.receive(&invite), ["180"]);
    bench.answer();
    // The call itself sends the 200 again (RFC 6026).
    assert_eq!(bench.receive(&invite), [""; 0]);
    assert_eq!(bench.arrivals.len(), 1);
}

#[test]
fn a_caller_cancels() {
    let (mut bench, mut phone) = (Bench::new(), phone());
    bench.receive(&phone.invite());
    let cancel = phone.same_branch("CANCEL");
    assert_eq!(bench.receive(&cancel), ["200", "close", "HungUp", "487"]);
    assert_eq!(bench.receive(&cancel), ["200"]);
    // The 487 is sent again until its ACK.
    assert_eq!(bench.wait(Duration::from_secs(2)), ["487"; 2]);
    phone.learn(&bench.last().to_owned());
    assert_eq!(bench.receive(&phone.same_branch("ACK")), [""; 0]);
    assert_eq!(bench.wait(Duration::from_secs(2)), [""; 0]);
    assert_eq!(bench.answer(), [""; 0]);
    bench.ends_empty();
}

#[test]
fn a_cancel_that_comes_too_late_changes_nothing() {
    let (mut bench, mut phone) = (Bench::new(), phone());
    bench.receive(&phone.invite());
    bench.answer();
    assert_eq!(bench.receive(&phone.same_branch("CANCEL")), ["200"]);
    assert_eq!(bench.agent.gauges().calls, 1);
    let mut other = Phone::new("other", HERE);
    other.request("INVITE", "", "");
    assert_eq!(bench.receive(&other.same_branch("CANCEL")), ["481"]);
}

#[test]
fn a_bye_may_come_before_the_ack_and_before_the_answer() {
    let (mut bench, mut phone) = (Bench::new(), phone());
    bench.receive(&phone.invite());
    phone.learn(&bench.last().to_owned());
    assert_eq!(bench.receive(&phone.request("BYE", "", "")), ["200", "close", "HungUp", "487"]);

    let mut second = Phone::new("second", HERE);
    bench.receive(&second.invite());
    bench.answer();
    second.learn(&bench.last().to_owned());
    assert_eq!(bench.receive(&second.request("BYE", "", "")), ["200", "close", "HungUp"]);
    assert!(!bench.wait(Duration::from_secs(40)).contains(&"200".to_owned()));
    bench.ends_empty();
}

#[test]
fn a_call_that_ends_before_its_ack_says_bye_after_it() {
    let (mut bench, mut phone) = (Bench::new(), phone());
    bench.receive(&phone.invite());
    bench.answer();
    phone.learn(&bench.last().to_owned());
    assert_eq!(bench.end(HangupCause::EndOfXml), ["close"]);
    assert_eq!(bench.receive(&phone.ack()), ["BYE"]);
    let bye = bench.last().to_owned();
    bench.receive(&reply_to(&bye, 200, "", ""));
    bench.ends_empty();
}

#[test]
fn byes_that_cross_are_both_answered() {
    let (mut bench, mut phone) = (Bench::new(), phone());
    bench.up(&mut phone);
    bench.end(HangupCause::EndOfXml);
    let bye = bench.last().to_owned();
    assert_eq!(bench.receive(&phone.request("BYE", "", "")), ["200"]);
    bench.receive(&reply_to(&bye, 481, "", ""));
    bench.ends_empty();
}

#[test]
fn the_flow_decides_how_a_call_is_refused() {
    for (cause, code) in [
        (HangupCause::Busy, "486"),
        (HangupCause::Rejected, "603"),
        (HangupCause::EndOfXml, "480"),
        (HangupCause::AnswerUrlUnreachable, "480"),
        (HangupCause::AnswerXmlInvalid, "500"),
    ] {
        let (mut bench, mut phone) = (Bench::new(), phone());
        bench.receive(&phone.invite());
        assert_eq!(bench.end(cause), ["close", code], "{cause:?}");
        bench.receive(&phone.same_branch("ACK"));
        bench.ends_empty();
    }
}

#[test]
fn a_number_without_a_flow_is_not_found_and_a_house_without_ports_is_busy() {
    let (mut bench, mut phone) = (Bench::new(), phone());
    bench.has_flow = false;
    assert_eq!(bench.receive(&phone.invite()), ["100", "open", "arrive", "close", "404"]);
    bench.ends_empty();

    let (mut bench, mut phone) = (Bench::new(), self::phone());
    bench.has_port = false;
    assert_eq!(bench.receive(&phone.invite()), ["100", "open", "503"]);
    assert!(header(bench.last(), "Retry-After").is_some());
    bench.ends_empty();
}

#[test]
fn early_media_is_described_in_a_183_and_stands_in_the_200() {
    let (mut bench, mut phone) = (Bench::new(), phone());
    bench.receive(&phone.invite());
    let call = bench.call();
    assert_eq!(bench.handle(Command::EarlyMedia(call)), ["183", "agree 127.0.0.1:40000"]);
    let early = body(bench.last()).to_owned();
    assert!(early.starts_with("v=0"));
    assert_eq!(bench.handle(Command::EarlyMedia(call)), [""; 0]);
    assert_eq!(bench.wait(Duration::from_secs(60)), ["183"]);
    assert_eq!(bench.answer(), ["200"]);
    assert_eq!(body(bench.last()), early);
}

#[test]
fn a_late_offer_is_answered_in_the_ack() {
    let (mut bench, mut phone) = (Bench::new(), phone());
    let contact = phone.contact.clone();
    bench.receive(&phone.request("INVITE", &contact, ""));
    assert_eq!(bench.answer(), ["200"]);
    let ok = bench.last().to_owned();
    assert!(body(&ok).contains("m=audio 20000 RTP/AVP 0 8"), "{ok}");
    phone.learn(&ok);
    assert_eq!(bench.receive(&phone.ack_with(SDP, OFFER)), ["agree 127.0.0.1:40000"]);
}

#[test]
fn a_late_offer_without_an_answer_ends_the_call() {
    for answer in ["", "v=0\r\nnonsense"] {
        let (mut bench, mut phone) = (Bench::new(), phone());
        let contact = phone.contact.clone();
        bench.receive(&phone.request("INVITE", &contact, ""));
        bench.answer();
        phone.learn(&bench.last().to_owned());
        let said = bench.receive(&phone.ack_with(SDP, answer));
        assert_eq!(said, ["close", "HungUp", "BYE"], "{answer:?}");
        bench.ends_empty();
    }
}

#[test]
fn a_phone_holds_resumes_and_moves() {
    let (mut bench, mut phone) = (Bench::new(), phone());
    bench.up(&mut phone);
    let contact = phone.contact.clone();
    let headers = format!("{contact}{SDP}");
    let hold = OFFER.replace("sendrecv", "sendonly");
    let moved = OFFER.replace("40000", "41000");
    for (method, offer, expected) in [
        ("INVITE", hold.as_str(), vec!["200", "agree 127.0.0.1:40000", "Hold(true)"]),
        ("INVITE", OFFER, vec!["200", "agree 127.0.0.1:40000", "Hold(false)"]),
        ("UPDATE", hold.as_str(), vec!["200", "agree 127.0.0.1:40000", "Hold(true)"]),
        ("UPDATE", hold.as_str(), vec!["200", "agree 127.0.0.1:40000"]),
        ("INVITE", moved.as_str(), vec!["200", "agree 127.0.0.1:41000", "Hold(false)"]),
    ] {
        assert_eq!(bench.receive(&phone.request(method, &headers, offer)), expected, "{method}");
        if method == "INVITE" {
            assert_eq!(bench.receive(&phone.ack()), [""; 0]);
        }
    }
    assert_eq!(bench.agent.gauges().calls, 1);
    assert_eq!(bench.arrivals.len(), 1);
}

#[test]
fn a_held_call_answers_recvonly_with_a_higher_version() {
    let (mut bench, mut phone) = (Bench::new(), phone());
    bench.up(&mut phone);
    let version = |message: &str| {
        let origin = body(message).split("o=").nth(1).unwrap().to_owned();
        origin.split(' ').nth(2).unwrap().parse::<u64>().unwrap()
    };
    let before = version(&bench.sent.iter().rev().find(|it| body(&it.1) != "").unwrap().1);
    let headers = format!("{}{SDP}", phone.contact.clone());
    bench.receive(&phone.request("INVITE", &headers, &OFFER.replace("sendrecv", "sendonly")));
    assert!(body(bench.last()).contains("a=recvonly"), "{}", bench.last());
    assert_eq!(version(bench.last()), before + 1);
}

#[test]
fn a_re_invite_without_an_offer_gets_ours() {
    let (mut bench, mut phone) = (Bench::new(), phone());
    bench.up(&mut phone);
    let contact = phone.contact.clone();
    assert_eq!(bench.receive(&phone.request("INVITE", &contact, "")), ["200"]);
    assert!(body(bench.last()).contains("m=audio 20000"));
    let moved = OFFER.replace("40000", "41000");
    assert_eq!(bench.receive(&phone.ack_with(SDP, &moved)), ["agree 127.0.0.1:41000"]);
}

#[test]
fn a_re_invite_that_cannot_be_agreed_to_leaves_the_call_as_it_was() {
    let (mut bench, mut phone) = (Bench::new(), phone());
    bench.up(&mut phone);
    let headers = format!("{}{SDP}", phone.contact.clone());
    let video = OFFER.replace("m=audio", "m=video");
    assert_eq!(bench.receive(&phone.request("INVITE", &headers, &video)), ["488"]);
    bench.receive(&phone.same_branch("ACK"));
    assert_eq!(bench.receive(&phone.request("INFO", "", "")), ["200"]);
}

#[test]
fn overlapping_changes_are_put_off() {
    let (mut bench, mut phone) = (Bench::new(), phone());
    bench.receive(&phone.invite());
    phone.learn(&bench.last().to_owned());
    let headers = format!("{}{SDP}", phone.contact.clone());
    // Before the first one is answered.
    assert_eq!(bench.receive(&phone.request("INVITE", &headers, OFFER)), ["500"]);
    assert!(header(bench.last(), "Retry-After").unwrap().parse::<u8>().unwrap() <= 10);
    bench.receive(&phone.same_branch("ACK"));
    assert_eq!(bench.receive(&phone.request("UPDATE", &headers, OFFER)), ["500"]);

    let (mut bench, mut phone) = (Bench::new(), self::phone());
    bench.up(&mut phone);
    // The second before the ACK of the first.
    assert_eq!(bench.receive(&phone.request("INVITE", &headers, OFFER))[0], "200");
    assert_eq!(bench.receive(&phone.request("INVITE", &headers, OFFER)), ["500"]);
    assert!(header(bench.last(), "Retry-After").is_some());
}

#[test]
fn keys_come_by_info_once_each() {
    let (mut bench, mut phone) = (Bench::new(), phone());
    bench.up(&mut phone);
    let relay = "Content-Type: application/dtmf-relay\r\n";
    let press = phone.request("INFO", relay, "Signal=5\r\nDuration=160\r\n");
    assert_eq!(bench.receive(&press), ["200", "Digit('5')"]);
    assert_eq!(bench.receive(&press), ["200"]);
    let plain = "Content-Type: application/dtmf\r\n";
    assert_eq!(bench.receive(&phone.request("INFO", plain, "#")), ["200", "Digit('#')"]);
    let text = "Content-Type: text/plain\r\n";
    assert_eq!(bench.receive(&phone.request("INFO", text, "5")), ["415"]);
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
fn a_refusal_leaves_nothing_behind() {
    let mut bench = Bench::with(closed());
    for n in 0..1_000 {
        let mut phone = Phone::new(&format!("p{n}"), HERE);
        assert_eq!(bench.receive(&phone.invite()), ["401"]);
    }
    assert_eq!(bench.agent.gauges(), Gauges::default());
}

fn closed() -> Settings {
    Settings {
        open: Some(false),
        loopback_account: Some("MA1".parse().unwrap()),
        endpoints: vec![Endpoint {
            user: "anna".into(),
            password: Password::new("secret"),
            account: None,
        }],
        ..Settings::default()
    }
}

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
        assert_eq!(arrival.trusted.as_deref(), Some("anna"));
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
        let given = credentials(&bench.last().to_owned(), 0, password, "INVITE");
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
    assert_eq!(arrival.trusted.as_deref(), Some("14155550123"));
    assert_eq!(arrival.account, None);
    let custom: Vec<_> = arrival.headers.iter().map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(custom, [("X-PH-Room", "blue"), ("x-vh-colour", "red")]);

    let mut bench = Bench::with(settings);
    bench.remote = "198.51.100.7:5060".parse().unwrap();
    assert_eq!(bench.receive(&phone.invite()), ["401"]);
}

#[test]
fn a_phone_registers_with_its_password_and_goes() {
    let (mut bench, mut phone) = (Bench::with(closed()), phone());
    phone.to = "anna";
    let contact = format!("{}Expires: 600\r\n", phone.contact.clone());
    assert_eq!(bench.receive(&phone.request("REGISTER", &contact, "")), ["401"]);
    let given = credentials(&bench.last().to_owned(), 0, "secret", "REGISTER");
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
    let given = credentials(&bench.last().to_owned(), 0, "secret", "REGISTER");
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
    let given = credentials(&bench.last().to_owned(), 0, "secret", "REGISTER");
    assert_eq!(
        bench.receive(&phone.request("REGISTER", &format!("{contact}{given}"), "")),
        ["423"]
    );
    assert_eq!(header(bench.last(), "Min-Expires"), Some("60"));
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
fn we_refresh_a_session_by_update_or_by_re_invite() {
    for (allow, method) in [("Allow: INVITE, UPDATE\r\n", "UPDATE"), ("", "INVITE")] {
        let (mut bench, mut phone) = (Bench::new(), phone());
        let timer = "Supported: timer\r\nSession-Expires: 120;refresher=uas\r\n";
        let headers = format!("{}{SDP}{timer}{allow}", phone.contact.clone());
        let invite = phone.request("INVITE", &headers, OFFER);
        bench.up_by(&mut phone, &invite);
        let ok = &bench.sent.iter().rev().find(|it| brief(&it.1) == "200").unwrap().1;
        assert_eq!(header(ok, "Session-Expires"), Some("120;refresher=uas"));
        assert_eq!(header(ok, "Require"), None);
        assert_eq!(bench.wait(Duration::from_secs(60)), [method]);
        let refresh = bench.last().to_owned();
        assert_eq!(header(&refresh, "Session-Expires"), Some("120;refresher=uac"));
        assert_eq!(body(&refresh).is_empty(), method == "UPDATE");
        let granted = "Session-Expires: 120;refresher=uac\r\n";
        let said = bench.receive(&reply_to(&refresh, 200, granted, ""));
        let acks: &[&str] = if method == "INVITE" { &["ACK"] } else { &[] };
        assert_eq!(said, acks, "{method}");
        // Again, and this time nobody is there.
        assert_eq!(bench.wait(Duration::from_secs(60)), [method]);
        let said = bench.wait(Duration::from_secs(40));
        let is_end = |it: &[String]| it == ["close", "HungUp", "BYE"];
        assert!(said.windows(3).any(is_end), "{method}: {said:?}");
        bench.ends_empty();
    }
}

#[test]
fn a_caller_that_does_not_refresh_is_hung_up_on() {
    let (mut bench, mut phone) = (Bench::new(), phone());
    let timer = "Supported: timer\r\nSession-Expires: 90\r\n";
    let headers = format!("{}{SDP}{timer}", phone.contact.clone());
    let invite = phone.request("INVITE", &headers, OFFER);
    bench.up_by(&mut phone, &invite);
    let ok = &bench.sent.iter().rev().find(|it| brief(&it.1) == "200").unwrap().1;
    assert_eq!(header(ok, "Session-Expires"), Some("90;refresher=uac"));
    assert_eq!(header(ok, "Require"), Some("timer"));
    assert_eq!(bench.wait(Duration::from_secs(50)), [""; 0]);
    assert_eq!(bench.receive(&phone.request("UPDATE", timer, "")), ["200"]);
    assert_eq!(header(bench.last(), "Session-Expires"), Some("90;refresher=uac"));
    assert_eq!(bench.wait(Duration::from_secs(59)), [""; 0]);
    assert_eq!(bench.wait(Duration::from_secs(1)), ["close", "HungUp", "BYE"]);
    bench.ends_empty();
}

#[test]
fn changes_from_both_sides_at_once_are_put_off() {
    let (mut bench, mut phone) = (Bench::new(), phone());
    let timer = "Supported: timer\r\nSession-Expires: 120;refresher=uas\r\n";
    let headers = format!("{}{SDP}{timer}", phone.contact.clone());
    let invite = phone.request("INVITE", &headers, OFFER);
    bench.up_by(&mut phone, &invite);
    assert_eq!(bench.wait(Duration::from_secs(60)), ["INVITE"]);
    let ours = bench.last().to_owned();
    assert_eq!(bench.receive(&phone.request("INVITE", &headers, OFFER)), ["491"]);
    assert_eq!(bench.receive(&phone.same_branch("ACK")), [""; 0]);
    assert_eq!(bench.receive(&reply_to(&ours, 491, "", "")), ["ACK"]);
    assert_eq!(bench.wait(Duration::from_secs(1)), ["INVITE"]);
}

#[test]
fn a_200_to_our_re_invite_that_comes_again_is_acknowledged_again() {
    let (mut bench, mut phone) = (Bench::new(), phone());
    let timer = "Supported: timer\r\nSession-Expires: 120;refresher=uas\r\n";
    let headers = format!("{}{SDP}{timer}", phone.contact.clone());
    let invite = phone.request("INVITE", &headers, OFFER);
    bench.up_by(&mut phone, &invite);
    bench.wait(Duration::from_secs(60));
    let ok = reply_to(&bench.last().to_owned(), 200, "", "");
    assert_eq!(bench.receive(&ok), ["ACK"]);
    let ack = bench.last().to_owned();
    assert_eq!(bench.receive(&ok), ["ACK"]);
    assert_eq!(bench.last(), ack);
}

#[test]
fn an_answer_to_our_re_invite_may_move_the_sound() {
    let (mut bench, mut phone) = (Bench::new(), phone());
    let timer = "Supported: timer\r\nSession-Expires: 120;refresher=uas\r\n";
    let headers = format!("{}{SDP}{timer}", phone.contact.clone());
    let invite = phone.request("INVITE", &headers, OFFER);
    bench.up_by(&mut phone, &invite);
    bench.wait(Duration::from_secs(60));
    let moved = OFFER.replace("40000", "41000");
    let ok = reply_to(&bench.last().to_owned(), 200, SDP, &moved);
    assert_eq!(bench.receive(&ok), ["ACK", "agree 127.0.0.1:41000"]);
}

#[test]
fn replies_follow_the_via_and_requests_the_nat() {
    let (mut bench, mut phone) = (Bench::new(), phone());
    bench.remote = "203.0.113.9:40001".parse().unwrap();
    let mut settings = Settings::default();
    settings.advertise = Some("198.51.100.5".parse().unwrap());
    let mut bench = Bench { agent: Bench::with(settings).agent, ..bench };
    phone.via = "UDP 10.0.0.5:5060;rport".to_owned();
    phone.contact = "Contact: <sip:anna@10.0.0.5>\r\n".to_owned();
    bench.up(&mut phone);
    let (to, ok) = bench.sent.iter().rev().find(|it| brief(&it.1) == "200").unwrap();
    assert_eq!(*to, bench.remote);
    assert!(header(ok, "Via").unwrap().ends_with(";received=203.0.113.9;rport=40001"));
    assert_eq!(header(ok, "Contact"), Some("<sip:conflow@198.51.100.5:5060>"));
    assert!(body(ok).contains("c=IN IP4 198.51.100.5"), "{ok}");
    bench.end(HangupCause::EndOfXml);
    assert_eq!(bench.sent.last().unwrap().0, bench.remote);
    assert_eq!(bench.agreed[0].source, bench.remote.ip());
}

#[test]
fn a_hold_is_reported_as_the_engine_knows_it() {
    let (mut bench, mut phone) = (Bench::new(), phone());
    let headers = format!("{}{SDP}", phone.contact.clone());
    let invite = phone.request("INVITE", &headers, &OFFER.replace("sendrecv", "inactive"));
    bench.receive(&invite);
    let held = format!("{:?}", Heard::Hold(true));
    assert_eq!(bench.answer(), ["200", "agree 127.0.0.1:40000", &held]);
}
