//! Calls that we make: ringing, answers, refusals, forks, CANCEL, challenges of session intervals.

use conflow::media::Dialling;

use super::*;

pub(super) const SECOND: Duration = Duration::from_secs(1);

/// An agent with registered phones and one call to them.
pub(super) struct Outgoing {
    pub(super) bench: AgentHarness,
    pub(super) call: CallId,
    /// CSeq of the phones' REGISTERs.
    registrations: u32,
}

impl Outgoing {
    pub(super) fn new() -> Self {
        let loopback_account = Some("MA1".parse().unwrap());
        Self::with(Settings { loopback_account, ..Settings::default() })
    }

    pub(super) fn with(settings: Settings) -> Self {
        let call = CallId(uuid::Uuid::from_u128(7));
        Self { bench: AgentHarness::with(settings), call, registrations: 0 }
    }

    /// Registers a phone of anna's at this address.
    pub(super) fn register(&mut self, address: &str) {
        self.registrations += 1;
        let n = self.registrations;
        let before = self.bench.remote;
        self.bench.remote = address.parse().unwrap();
        let transport = match self.bench.transport {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
            Transport::Tls => "TLS",
        };
        let said = self.bench.receive(&format!(
            "REGISTER sip:conflow SIP/2.0\r\nVia: SIP/2.0/{transport} {address};rport;branch=z9hG4bKr{n}\r\n\
             From: <sip:anna@conflow>;tag=r\r\nTo: <sip:anna@conflow>\r\nCall-ID: r{n}\r\n\
             CSeq: {n} REGISTER\r\nContact: <sip:anna@{address};x=1>\r\nContent-Length: 0\r\n\r\n"
        ));
        assert_eq!(said, ["200"]);
        self.bench.remote = before;
    }

    pub(super) fn with_phones(addresses: &[&str]) -> Self {
        let mut it = Self::new();
        addresses.iter().for_each(|address| it.register(address));
        it
    }

    pub(super) fn dial(&mut self) -> Vec<String> {
        self.dial_as("4930", "Support")
    }

    pub(super) fn dial_as(&mut self, from: &str, caller_name: &str) -> Vec<String> {
        let dialling = Dialling {
            from: from.into(),
            to: "sip:anna@conflow".into(),
            caller_name: caller_name.into(),
            headers: vec![("X-PH-Ticket".into(), "42".into())],
            ..Dialling::default()
        };
        self.dial_with(dialling)
    }

    pub(super) fn dial_with(&mut self, dialling: Dialling) -> Vec<String> {
        let (call, account) = (self.call, "MA1".parse().unwrap());
        self.bench.handle(Command::Dial { call, account, dialling: Arc::new(dialling) })
    }

    /// The last message of this kind to this address.
    pub(super) fn sent(&self, kind: &str, to: &str) -> String {
        let to: SocketAddr = to.parse().unwrap();
        let mut all = self.bench.sent.iter().rev();
        let found = all.find(|(remote, text)| *remote == to && brief(text) == kind);
        found.unwrap_or_else(|| panic!("no {kind} to {to}")).1.clone()
    }

    /// A phone's reply to the last request of a kind that it got.
    pub(super) fn reply(
        &mut self,
        from: &str,
        to: &str,
        code: u16,
        tag: &str,
        body: &str,
    ) -> Vec<String> {
        self.reply_with(from, to, code, tag, "", body)
    }

    pub(super) fn reply_with(
        &mut self,
        from: &str,
        to: &str,
        code: u16,
        tag: &str,
        headers: &str,
        body: &str,
    ) -> Vec<String> {
        let request = self.sent(to, from);
        let extra = format!("Contact: <sip:anna@{from}>\r\n{headers}");
        let extra = if body.is_empty() { extra } else { format!("{extra}{SDP}") };
        let reply = reply_to(&request, code, &extra, body);
        let reply = match header(&request, "To").unwrap().contains(";tag=") || tag.is_empty() {
            true => reply,
            false => reply.replacen("\r\nCall-ID", &format!(";tag={tag}\r\nCall-ID"), 1),
        };
        self.receive(from, &reply)
    }

    pub(super) fn receive(&mut self, from: &str, text: &str) -> Vec<String> {
        self.bench.remote = from.parse().unwrap();
        self.bench.receive(text)
    }

    pub(super) fn end(&mut self) -> Vec<String> {
        let ending = Ending { cause: HangupCause::Normal, source: HangupSource::ApiRequest };
        self.bench.handle(Command::End(self.call, ending))
    }

    /// A request of the phone in the dialog of its answer.
    pub(super) fn request(
        &mut self,
        from: &str,
        method: &str,
        cseq: u32,
        headers: &str,
        body: &str,
    ) -> String {
        let ack = self.sent("ACK", from);
        let get = |name| header(&ack, name).unwrap();
        format!(
            "{method} sip:conflow@127.0.0.1:5060 SIP/2.0\r\n\
             Via: SIP/2.0/UDP {from};rport;branch=z9hG4bKp{cseq}{method}\r\nFrom: {}\r\nTo: {}\r\n\
             Call-ID: {}\r\nCSeq: {cseq} {method}\r\nMax-Forwards: 70\r\n{headers}\
             Content-Length: {}\r\n\r\n{body}",
            get("To"),
            get("From"),
            get("Call-ID"),
            body.len()
        )
    }

    /// Sets up an answered call with the phone at [`HERE`].
    pub(super) fn up() -> Self {
        let mut it = Self::with_phones(&[HERE]);
        it.dial();
        let said = it.reply_with(HERE, "INVITE", 200, "t", "Allow: UPDATE\r\n", OFFER);
        assert_eq!(said, ["ACK", "attempted answered", "agree 127.0.0.1:40000", "Answered"]);
        it
    }

    pub(super) fn ends_empty(mut self) {
        // The registrations end, too.
        self.bench.wait(Duration::from_secs(3_600));
        self.bench.ends_empty();
    }
}

pub(super) const OTHER: &str = "127.0.0.1:5090";

pub(super) fn failed(cause: HangupCause, by: &str, status: &str) -> String {
    format!("Failed(DialFailure {{ cause: {cause:?}, source: {by}, sip_status: {status} }})")
}

#[test]
fn a_registered_phone_is_called_and_hangs_up() {
    let mut it = Outgoing::with_phones(&[HERE]);
    assert_eq!(it.dial(), ["open", "INVITE"]);
    let invite = it.sent("INVITE", HERE);
    for line in [
        "INVITE sip:anna@127.0.0.1:5070;x=1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK",
        ";rport\r\nMax-Forwards: 70\r\nFrom: \"Support\" <sip:4930@127.0.0.1:5060>;tag=",
        "\r\nTo: <sip:anna@conflow>\r\n",
        "\r\nContact: <sip:conflow@127.0.0.1:5060>\r\n",
        "\r\nX-PH-Ticket: 42\r\n",
        "\r\nCSeq: 1 INVITE\r\n",
        "\r\nSupported: timer\r\nSession-Expires: 1800\r\nMin-SE: 90\r\n",
        "m=audio 20000 RTP/AVP 0 8 101\r\n",
    ] {
        assert!(invite.contains(line), "{line}\n{invite}");
    }
    assert_eq!(it.reply(HERE, "INVITE", 100, "", ""), [""; 0]);
    assert_eq!(it.reply(HERE, "INVITE", 180, "t", ""), ["Ringing"]);
    assert_eq!(it.reply(HERE, "INVITE", 183, "t", ""), [""; 0], "reported once");
    let said = it.reply(HERE, "INVITE", 200, "t", OFFER);
    assert_eq!(said, ["ACK", "attempted answered", "agree 127.0.0.1:40000", "Answered"]);
    let ack = it.sent("ACK", HERE);
    assert!(ack.starts_with("ACK sip:anna@127.0.0.1:5070 SIP/2.0\r\n"), "{ack}");
    assert!(ack.contains("CSeq: 1 ACK\r\n") && ack.contains(";tag=t\r\n"), "{ack}");
    assert_ne!(header(&ack, "Via"), header(&invite, "Via"));
    assert_eq!(it.bench.attempts, ["[100, 180, 183, 200] answered"]);
    assert_eq!(it.bench.agent.gauges().calls, 1);

    // Our ACK was lost.
    assert_eq!(it.reply(HERE, "INVITE", 200, "t", OFFER), ["ACK"]);
    assert_eq!(it.sent("ACK", HERE), ack);

    let bye = it.request(HERE, "BYE", 0, "", "");
    assert_eq!(it.receive(HERE, &bye), ["200", "close", "HungUp"]);
    assert_eq!(it.reply(HERE, "INVITE", 200, "t", OFFER), ["ACK"], "after the BYE, too");
    it.ends_empty();
}

#[test]
fn we_hang_up_and_the_phone_answers_or_not() {
    for answers in [true, false] {
        let mut it = Outgoing::up();
        assert_eq!(it.end(), ["close", "BYE"]);
        let bye = it.sent("BYE", HERE);
        assert!(bye.contains("CSeq: 2 BYE\r\n") && bye.contains("Reason: Q.850;cause=16"), "{bye}");
        if answers {
            assert_eq!(it.reply(HERE, "BYE", 200, "", ""), [""; 0]);
            assert_eq!(it.bench.agent.gauges().calls, 0);
        }
        it.ends_empty();
    }
}

#[test]
fn the_caller_is_shown_as_asked() {
    let mut it = Outgoing::with_phones(&[HERE]);
    it.dial_as("anonymous", "Anna");
    let invite = it.sent("INVITE", HERE);
    assert!(
        invite.contains("From: \"Anonymous\" <sip:anonymous@anonymous.invalid>;tag="),
        "{invite}"
    );
    assert!(invite.contains("\r\nPrivacy: id\r\n") && !invite.contains("Anna"), "{invite}");
}

#[test]
fn who_is_not_registered_or_not_of_the_account_is_not_called() {
    let by_us = |cause| [failed(cause, "Platform", "None")];
    let mut it = Outgoing::new();
    it.bench = AgentHarness::with(closed());
    assert_eq!(it.dial(), by_us(HangupCause::NotRegistered));
    for (to, cause) in [
        ("sip:bert@conflow", HangupCause::NotRegistered),
        ("sip:anna@192.0.2.1", HangupCause::DestinationOut),
        ("4930", HangupCause::DestinationOut),
    ] {
        let (from, caller_name) = ("1".into(), "".into());
        let dialling = Dialling {
            from,
            to: to.into(),
            caller_name,
            headers: Vec::new(),
            ..Dialling::default()
        };
        assert_eq!(it.dial_with(dialling), by_us(cause), "{to}");
    }
    it.ends_empty();

    let mut it = Outgoing::with_phones(&[HERE]);
    it.bench.has_port = false;
    assert_eq!(it.dial(), ["open".to_owned(), by_us(HangupCause::Internal)[0].clone()]);
    it.bench.wait(Duration::from_secs(3_600));
    assert_eq!(it.dial(), by_us(HangupCause::NotRegistered), "the registration has ended");
}

#[test]
fn an_invite_is_repeated_over_udp_until_a_response_comes() {
    let mut it = Outgoing::with_phones(&[HERE]);
    it.dial();
    assert_eq!(it.bench.wait(SECOND / 2), ["INVITE"]);
    assert_eq!(it.bench.wait(SECOND), ["INVITE"]);
    it.reply(HERE, "INVITE", 100, "", "");
    let before = it.bench.sent.len();
    assert_eq!(it.bench.wait(Duration::from_secs(600)), [""; 0], "the engine limits the ringing");
    assert_eq!(it.bench.sent.len(), before);
    assert_eq!(it.end(), ["close", "attempted called off", "CANCEL"]);
    it.ends_empty();

    let mut it = Outgoing::with_phones(&[HERE]);
    it.dial();
    let said = it.bench.wait(Duration::from_secs(32));
    let timed_out = failed(HangupCause::RequestTimeout, "Callee", "None");
    assert_eq!(said[..6], ["INVITE"; 6]);
    assert_eq!(said[6..], ["attempted no response", "close", &timed_out]);
    assert_eq!(it.end(), [""; 0]);
    it.ends_empty();
}

#[test]
fn over_a_stream_nothing_is_repeated_and_its_end_is_a_failure() {
    for (transport, name) in [(Transport::Tcp, "tcp"), (Transport::Tls, "tls")] {
        let mut it = Outgoing::new();
        it.bench.transport = transport;
        it.register(HERE);
        assert_eq!(it.dial(), ["open", "INVITE"]);
        let contact = format!("Contact: <sip:conflow@127.0.0.1:5060;transport={name}>");
        assert!(it.sent("INVITE", HERE).contains(&contact));
        assert_eq!(it.bench.wait(SECOND * 10), [""; 0]);
        let network = failed(HangupCause::NetworkError, "Platform", "None");
        let said = it.bench.handle(Command::Closed { link: 0 });
        assert_eq!(said, ["attempted the connection is closed", "close", &network]);
        assert_eq!(it.bench.agent.gauges().registered, 0, "the binding is gone");
        it.ends_empty();
    }
}

#[test]
fn refusals_are_acknowledged_and_reported_with_their_causes() {
    for (code, headers, cause) in [
        (486, "", HangupCause::Busy),
        (603, "", HangupCause::Rejected),
        (480, "", HangupCause::NoAnswer),
        (302, "", HangupCause::RoutingError),
        (401, "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\"\r\n", HangupCause::SipAuthFailed),
        (500, "Reason: Q.850;cause=17\r\n", HangupCause::Busy),
    ] {
        let mut it = Outgoing::with_phones(&[HERE]);
        it.dial();
        let said = it.reply_with(HERE, "INVITE", code, "t", headers, "");
        let failure = failed(cause, "Callee", &format!("Some({code})"));
        let outcome = format!("attempted refused with {code}");
        assert_eq!(said, ["ACK", &outcome, "close", &failure]);
        let (invite, ack) = (it.sent("INVITE", HERE), it.sent("ACK", HERE));
        assert_eq!(header(&ack, "Via"), header(&invite, "Via"));
        assert!(ack.contains(";tag=t\r\n") && ack.contains("CSeq: 1 ACK\r\n"), "{ack}");
        assert_eq!(it.reply(HERE, "INVITE", code, "t", ""), ["ACK"], "timer D");
        it.bench.wait(SECOND * 32);
        assert_eq!(it.reply(HERE, "INVITE", code, "t", ""), [""; 0]);
        it.ends_empty();
    }
}

#[test]
fn a_call_is_called_off_when_that_is_allowed() {
    // No response yet: the CANCEL waits for one.
    let mut it = Outgoing::with_phones(&[HERE]);
    it.dial();
    assert_eq!(it.end(), ["close", "attempted called off"]);
    assert_eq!(it.reply(HERE, "INVITE", 180, "t", ""), ["CANCEL"]);
    let (invite, cancel) = (it.sent("INVITE", HERE), it.sent("CANCEL", HERE));
    assert!(cancel.starts_with("CANCEL sip:anna@127.0.0.1:5070;x=1 SIP/2.0\r\n"), "{cancel}");
    assert_eq!(header(&cancel, "Via"), header(&invite, "Via"));
    assert!(cancel.contains("CSeq: 1 CANCEL\r\n") && !cancel.contains("Reason"), "{cancel}");
    assert_eq!(it.reply(HERE, "INVITE", 180, "t", ""), [""; 0], "once");
    assert_eq!(it.reply(HERE, "CANCEL", 200, "", ""), [""; 0]);
    assert_eq!(it.reply(HERE, "INVITE", 487, "t", ""), ["ACK"]);
    it.ends_empty();

    // A refusal comes before the CANCEL is allowed.
    let mut it = Outgoing::with_phones(&[HERE]);
    it.dial();
    it.end();
    assert_eq!(it.reply(HERE, "INVITE", 486, "t", ""), ["ACK"]);
    it.ends_empty();

    // Nothing comes at all, before the CANCEL or after it.
    let mut it = Outgoing::with_phones(&[HERE]);
    it.dial();
    it.end();
    it.ends_empty();
    let mut it = Outgoing::with_phones(&[HERE]);
    it.dial();
    it.reply(HERE, "INVITE", 180, "t", "");
    assert_eq!(it.end(), ["close", "attempted called off", "CANCEL"]);
    it.ends_empty();
}

#[test]
fn an_answer_that_crosses_the_cancel_is_hung_up() {
    let mut it = Outgoing::with_phones(&[HERE]);
    it.dial();
    it.reply(HERE, "INVITE", 180, "t", "");
    assert_eq!(it.end(), ["close", "attempted called off", "CANCEL"]);
    assert_eq!(it.reply(HERE, "INVITE", 200, "t", OFFER), ["ACK", "BYE"]);
    assert_eq!(it.reply(HERE, "INVITE", 200, "t", OFFER), ["ACK"]);
    let bye = it.sent("BYE", HERE);
    assert!(bye.contains("CSeq: 2 BYE\r\n") && bye.contains(";tag=t\r\n"), "{bye}");
    assert_eq!(it.reply(HERE, "BYE", 200, "", ""), [""; 0]);
    assert_eq!(it.reply(HERE, "CANCEL", 481, "", ""), [""; 0]);
    it.ends_empty();
}

#[test]
fn all_phones_of_a_user_ring_and_the_first_that_answers_wins() {
    let mut it = Outgoing::with_phones(&[HERE, OTHER]);
    assert_eq!(it.dial(), ["open", "INVITE", "INVITE"]);
    let invites = [it.sent("INVITE", HERE), it.sent("INVITE", OTHER)];
    assert_ne!(header(&invites[0], "Call-ID"), header(&invites[1], "Call-ID"));
    assert_eq!(it.reply(HERE, "INVITE", 180, "a", ""), ["Ringing"]);
    assert_eq!(it.reply(OTHER, "INVITE", 180, "b", ""), [""; 0]);
    let said = it.reply(OTHER, "INVITE", 200, "b", OFFER);
    let up = ["ACK", "attempted answered", "agree 127.0.0.1:40000", "Answered"];
    assert_eq!(said[..4], up);
    assert_eq!(said[4..], ["attempted another phone answered", "CANCEL"]);
    let reason = "Reason: SIP;cause=200;text=\"Call completed elsewhere\"\r\n";
    assert!(it.sent("CANCEL", HERE).contains(reason));
    // Its answer crosses the CANCEL.
    assert_eq!(it.reply(HERE, "INVITE", 200, "a", OFFER), ["ACK", "BYE"]);
    assert_eq!(it.bench.agent.gauges().calls, 1);
    assert_eq!(it.end(), ["close", "BYE"]);
    assert_eq!(it.bench.sent.last().unwrap().0, OTHER.parse().unwrap());
    it.ends_empty();
}

#[test]
fn the_failure_of_all_phones_is_that_of_the_weightiest() {
    for (first, second, cause, status) in [
        (486, 480, HangupCause::Busy, 486),
        (480, 486, HangupCause::Busy, 486),
        (603, 486, HangupCause::Rejected, 603),
        (480, 404, HangupCause::Unallocated, 404),
    ] {
        let mut it = Outgoing::with_phones(&[HERE, OTHER]);
        it.dial();
        let said = it.reply(HERE, "INVITE", first, "a", "");
        assert_eq!(said.len(), 2, "the other still rings: {said:?}");
        let said = it.reply(OTHER, "INVITE", second, "b", "");
        assert_eq!(said[2..], ["close", &failed(cause, "Callee", &format!("Some({status})"))]);
        it.ends_empty();
    }
}

#[test]
fn a_second_answer_of_a_fork_is_hung_up() {
    let mut it = Outgoing::with_phones(&[HERE]);
    it.dial();
    assert_eq!(it.reply(HERE, "INVITE", 180, "a", ""), ["Ringing"]);
    assert_eq!(it.reply(HERE, "INVITE", 180, "b", ""), [""; 0]);
    assert_eq!(it.reply(HERE, "INVITE", 200, "b", OFFER).last().unwrap(), "Answered");
    assert_eq!(it.reply(HERE, "INVITE", 200, "a", OFFER), ["ACK", "BYE"]);
    let bye = it.sent("BYE", HERE);
    assert!(header(&bye, "To").unwrap().ends_with(";tag=a"), "{bye}");
    assert_eq!(it.reply(HERE, "INVITE", 200, "a", OFFER), ["ACK"]);
    assert_eq!(it.reply(HERE, "BYE", 200, "", ""), [""; 0]);
    assert_eq!(it.bench.agent.gauges().calls, 1, "the call of the first answer goes on");
    assert_eq!(it.end(), ["close", "BYE"]);
    it.ends_empty();
}
