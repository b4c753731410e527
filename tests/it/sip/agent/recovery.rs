//! Calls and registrations that survive their agent: rows, restored dialogs, liveness checks.

use conflow::{
    base::boot_clock::BootClock,
    media::{BackendRow, BackendRowKind},
    sip::{
        dialog_row::DialogRow,
        recovery::{DialogToRestore, call_of},
    },
};

use super::{outgoing::Outgoing, *};
use crate::corpus;

/// What an agent has left, and the port of each call's sound.
struct Remains {
    rows: Vec<BackendRow>,
    clock: BootClock,
}

const PORT: &str = "127.0.0.1:20000";

impl AgentHarness {
    /// An agent that keeps rows.
    fn keeping() -> Self {
        let mut it = Self::new();
        it.agent.keep_rows();
        it
    }

    fn clock(&self) -> BootClock {
        BootClock::new(self.now, 7_000_000_000_000)
    }

    /// The rows as of now.
    fn remains(&mut self) -> Remains {
        let clock = self.clock();
        Remains { rows: self.agent.take_rows(clock), clock }
    }

    fn dialogs(&mut self) -> Vec<bool> {
        let rows = self.remains().rows;
        let dialogs = rows.iter().filter(|it| it.kind == BackendRowKind::Dialog);
        dialogs.map(|it| it.body.is_some()).collect()
    }

    /// The process dies, and another one goes on after a while, with this port for the sound. Returns
    /// what it sends at once, and how many calls stand.
    fn crash(&mut self, away: Duration, port: Option<&str>) -> (Vec<String>, usize) {
        self.crash_into(Settings::default(), away, port)
    }

    /// The process hands its calls over to another one, with this port for the sound.
    fn hand_over(&mut self, port: &str) -> Vec<String> {
        let (said, standing) =
            self.succeed(Settings::default(), Duration::from_millis(150), Some(port), false);
        assert_eq!((said, standing), (vec![], 1));
        self.agent.check_restored(self.now);
        self.wait(Duration::ZERO)
    }

    /// [`Self::crash`], with the settings of the other process.
    fn crash_into(
        &mut self,
        settings: Settings,
        away: Duration,
        port: Option<&str>,
    ) -> (Vec<String>, usize) {
        self.succeed(settings, away, port, true)
    }

    fn succeed(
        &mut self,
        settings: Settings,
        away: Duration,
        port: Option<&str>,
        is_checked: bool,
    ) -> (Vec<String>, usize) {
        let Remains { rows, clock } = self.remains();
        self.now += away;
        // A later process reads the clock at another time.
        let later = BootClock::new(self.now, clock.nanos(self.now));
        self.agent = Agent::new(self.now, Arc::new(settings), SipSecret([8; 32]));
        self.agent.keep_rows();
        let (mut effects, mut standing) = (VecDeque::new(), 0);
        for row in &rows {
            let Some(body) = &row.body else { continue };
            if row.kind == BackendRowKind::Registration {
                let way = |hop: &Hop| Some(*hop);
                self.agent.restore_registration(self.now, body, &way, later).unwrap();
                continue;
            }
            let local = "127.0.0.1:5060".parse().unwrap();
            let hop = Hop { transport: self.transport, link: 0, local, remote: self.remote };
            let port = port.map(|it| it.parse().unwrap());
            let dialog = DialogToRestore {
                call: call_of(row),
                row: DialogRow::read(body).unwrap(),
                hop,
                port,
                is_checked,
            };
            let stands = self.agent.restore(self.now, dialog, later, &mut effects).unwrap();
            standing += usize::from(stands);
        }
        let said = effects.into_iter().map(|it| self.perform(it).0).collect();
        (said, standing)
    }

    /// A crash after which the far ends are asked if they are still there.
    fn recover(&mut self, port: &str) -> Vec<String> {
        let (said, standing) = self.crash(Duration::from_secs(3), Some(port));
        assert_eq!((said, standing), (vec![], 1));
        self.agent.check_restored(self.now);
        self.wait(Duration::ZERO)
    }
}

#[test]
fn a_call_has_a_row_from_its_answer_until_the_far_end_knows_that_it_is_over() {
    let (mut harness, mut phone) = (AgentHarness::keeping(), phone());
    harness.receive(&phone.invite());
    assert_eq!(harness.dialogs(), [true], "it rings");
    assert_eq!(harness.dialogs(), [false; 0]);
    harness.answer();
    assert_eq!(harness.dialogs(), [true]);
    phone.learn(harness.last());
    harness.receive(&phone.ack());
    assert_eq!(harness.dialogs(), [true], "nothing awaits the ACK any more");
    assert_eq!(harness.dialogs(), [false; 0]);
    harness.end(HangupCause::EndOfXml);
    assert_eq!(harness.dialogs(), [true], "the BYE may be lost");
    let bye = harness.last().to_owned();
    harness.receive(&reply_to(&bye, 200, "", ""));
    assert_eq!(harness.dialogs(), [false]);
    harness.ends_empty();
}

#[test]
fn a_call_of_ours_that_rings_and_a_call_that_nobody_keeps_have_no_row() {
    let (mut harness, mut phone) = (AgentHarness::new(), phone());
    harness.up(&mut phone);
    assert_eq!(harness.dialogs(), [false; 0]);
    let mut it = Outgoing::with_phones(&["127.0.0.1:5071"]);
    it.bench.agent.keep_rows();
    it.dial();
    assert_eq!(it.bench.dialogs(), [false; 0]);
}

#[test]
fn a_call_that_rang_is_refused_until_its_caller_knows() {
    let (mut harness, mut phone) = (AgentHarness::keeping(), phone());
    harness.receive(&phone.invite());
    let mut rows = harness.remains().rows;
    let row = rows.pop().unwrap();
    assert_eq!(rows, []);
    harness.agent = Agent::new(harness.now, Arc::new(Settings::default()), SipSecret([8; 32]));
    let mut effects = VecDeque::new();
    let (agent, body) = (&mut harness.agent, row.body.as_ref().unwrap());
    let nowhere = agent.refuse_unanswered(harness.now, body, &|_| None, &mut effects);
    assert_eq!(nowhere, Err("no socket reaches its far end".to_owned()));
    for count in [1, 0] {
        let way = |hop: &Hop| Some(*hop);
        harness.agent.refuse_unanswered(harness.now, body, &way, &mut effects).unwrap();
        assert_eq!(effects.len(), count, "once");
        for effect in std::mem::take(&mut effects) {
            assert_eq!(harness.perform(effect).0, "503");
        }
    }
    let refused = harness.last().to_owned();
    assert_eq!(header(&refused, "Retry-After"), Some("5"));
    assert_eq!(header(&refused, "CSeq"), Some("1 INVITE"));
    assert_eq!(harness.wait(Duration::from_millis(500)), ["503"], "it may have been lost");
    phone.learn(&refused);
    assert!(phone.to_tag.is_some());
    assert_eq!(harness.receive(&phone.same_branch("INVITE")), ["503"], "so may the INVITE");
    assert_eq!(harness.receive(&phone.same_branch("ACK")), [""; 0]);
    assert_eq!(harness.wait(Duration::from_secs(40)), [""; 0]);
    let later = [&[body[0] + 1], &body[1..]].concat();
    let refused = harness.agent.refuse_unanswered(harness.now, &later, &|_| None, &mut effects);
    assert_eq!(refused, Err("its version is 130, and this release reads 129".to_owned()));
    harness.ends_empty();
}

#[test]
fn a_row_of_a_restored_call_is_the_row_that_it_was_made_of() {
    let timer = "Supported: timer\r\nSession-Expires: 120;refresher=uas\r\nAllow: UPDATE\r\n";
    let route = "Record-Route: <sip:127.0.0.1:5070;lr>\r\n";
    let hold = OFFER.replace("sendrecv", "sendonly");
    for (headers, offer) in [("", OFFER), (timer, OFFER), (route, hold.as_str())] {
        for is_acked in [false, true] {
            let (mut harness, mut phone) = (AgentHarness::keeping(), phone());
            let headers = format!("{}{SDP}{headers}", phone.contact.clone());
            harness.receive(&phone.request("INVITE", &headers, offer));
            harness.answer();
            phone.learn(harness.last());
            if is_acked {
                harness.receive(&phone.ack());
            }
            let before = harness.remains().rows;
            let mut other = AgentHarness::keeping();
            other.now = harness.now;
            let clock = harness.clock();
            let row = DialogRow::read(before[0].body.as_ref().unwrap()).unwrap();
            let local = "127.0.0.1:5060".parse().unwrap();
            let hop = Hop { transport: Transport::Udp, link: 0, local, remote: other.remote };
            let call = call_of(&before[0]);
            let port = Some(PORT.parse().unwrap());
            let dialog = DialogToRestore { call, row, hop, port, is_checked: true };
            let stands = other.agent.restore(other.now, dialog, clock, &mut VecDeque::new());
            assert_eq!(stands, Ok(true));
            assert_eq!(other.agent.take_rows(clock), [], "{headers} {is_acked}");
            assert_eq!(other.agent.gauges().calls, 1);
        }
    }
}

#[test]
fn a_restored_call_goes_on_in_its_dialog() {
    let (mut harness, mut phone) = (AgentHarness::keeping(), phone());
    harness.up(&mut phone);
    assert_eq!(harness.recover(PORT), ["INVITE"]);
    let check = harness.last().to_owned();
    assert_eq!(header(&check, "CSeq"), Some("1 INVITE"));
    assert_eq!(header(&check, "Call-ID"), Some("p"));
    assert!(header(&check, "To").unwrap().ends_with(";tag=fp"));
    let ok = harness.sent.iter().find(|it| brief(&it.1) == "200").unwrap().1.clone();
    let tag = |it: &str| it.split_once(";tag=").unwrap().1.to_owned();
    assert_eq!(tag(header(&check, "From").unwrap()), tag(header(&ok, "To").unwrap()));
    assert_eq!(body(&check), body(&ok), "the same description, of the same version");
    assert_eq!(harness.receive(&reply_to(&check, 200, SDP, OFFER)), ["ACK"]);

    // Hold, a late CSeq, the engine's order, and the far end's BYE.
    let headers = format!("{}{SDP}", phone.contact.clone());
    let hold = OFFER.replace("sendrecv", "sendonly");
    let said = harness.receive(&phone.request("INVITE", &headers, &hold));
    assert_eq!(said, ["200", "agree 127.0.0.1:40000", "Hold(true)"]);
    harness.receive(&phone.ack());
    // A second crash: CSeq goes on.
    assert_eq!(harness.recover(PORT), ["INVITE"]);
    assert_eq!(header(harness.last(), "CSeq"), Some("2 INVITE"));
    let check = harness.last().to_owned();
    assert_eq!(harness.receive(&reply_to(&check, 200, SDP, &hold)), ["ACK"]);
    let mut earlier = phone.clone();
    earlier.cseq = 0;
    let old = earlier.request("INFO", "", "");
    assert_eq!(harness.receive(&old), ["500"]);
    assert_eq!(harness.receive(&phone.request("BYE", "", "")), ["200", "close", "HungUp"]);
    assert_eq!(harness.dialogs(), [false]);
    harness.ends_empty();
}

#[test]
fn an_order_ends_a_restored_call_with_a_bye() {
    let (mut harness, mut phone) = (AgentHarness::keeping(), phone());
    harness.up(&mut phone);
    assert_eq!(harness.crash(Duration::from_secs(3), Some(PORT)), (vec![], 1));
    assert_eq!(harness.end(HangupCause::Internal), ["close", "BYE"]);
    assert_eq!(header(harness.last(), "CSeq"), Some("1 BYE"));
    harness.agent.check_restored(harness.now);
    assert_eq!(harness.wait(Duration::ZERO), [""; 0], "nobody wants to know");
    let bye = harness.last().to_owned();
    harness.receive(&reply_to(&bye, 200, "", ""));
    harness.ends_empty();
}

#[test]
fn a_call_without_sound_or_that_was_being_ended_gets_a_bye() {
    let (mut harness, mut phone) = (AgentHarness::keeping(), phone());
    harness.up(&mut phone);
    assert_eq!(harness.crash(Duration::from_secs(3), None), (vec!["BYE".to_owned()], 0));
    // Nobody answers it, and the process dies again.
    let again = harness.crash(Duration::from_secs(3), Some(PORT));
    assert_eq!(again, (vec!["BYE".to_owned()], 0));
    assert_eq!(header(harness.last(), "CSeq"), Some("2 BYE"));
    let bye = harness.last().to_owned();
    harness.receive(&reply_to(&bye, 481, "", ""));
    assert_eq!(harness.dialogs(), [false]);
    harness.ends_empty();
}

#[test]
fn an_answer_that_was_not_confirmed_is_sent_again_until_it_is() {
    let (mut harness, mut phone) = (AgentHarness::keeping(), phone());
    harness.receive(&phone.invite());
    harness.answer();
    let ok = harness.last().to_owned();
    phone.learn(&ok);
    assert_eq!(harness.crash(Duration::from_secs(3), Some(PORT)), (vec![], 1));
    harness.agent.check_restored(harness.now);
    assert_eq!(harness.wait(Duration::from_millis(400)), ["200"]);
    assert_eq!(harness.last(), ok);
    assert_eq!(harness.receive(&phone.ack()), [""; 0]);
    assert_eq!(harness.wait(Duration::from_secs(1)), ["INVITE"], "the question comes after it");
}

#[test]
fn sound_on_another_port_is_offered_with_a_higher_version() {
    let timer = "Allow: INVITE, UPDATE\r\n";
    let (mut harness, mut phone) = (AgentHarness::keeping(), phone());
    let headers = format!("{}{SDP}{timer}", phone.contact.clone());
    let invite = phone.request("INVITE", &headers, OFFER);
    harness.up_by(&mut phone, &invite);
    assert_eq!(harness.recover(PORT), ["UPDATE"]);
    assert_eq!(body(harness.last()), "");
    let check = harness.last().to_owned();
    assert_eq!(harness.receive(&reply_to(&check, 200, "", "")), [""; 0]);
    assert_eq!(harness.recover("127.0.0.1:20100"), ["INVITE"]);
    let offer = body(harness.last());
    assert!(offer.contains("m=audio 20100 ") && offer.contains(" 2 IN IP4 "), "{offer}");
}

#[test]
fn the_answer_to_the_question_says_whether_the_call_stands() {
    let end = ["close", "HungUp", "BYE"];
    for (code, headers, said, later) in [
        (481, "", &["ACK", "close", "HungUp", "BYE"][..], None),
        (408, "", &["ACK", "close", "HungUp", "BYE"], None),
        (491, "", &["ACK"], Some("INVITE")),
        (500, "Retry-After: 2\r\n", &["ACK"], Some("INVITE")),
        (500, "", &["ACK"], Some("")),
        (488, "", &["ACK"], Some("")),
        (401, "WWW-Authenticate: Digest realm=\"r\", nonce=\"1\"\r\n", &["ACK"], Some("")),
        (503, "Retry-After: 2\r\n", &["ACK"], Some("")),
    ] {
        let (mut harness, mut phone) = (AgentHarness::keeping(), phone());
        harness.up(&mut phone);
        harness.recover(PORT);
        let check = harness.last().to_owned();
        assert_eq!(harness.receive(&reply_to(&check, code, headers, "")), said, "{code}");
        let Some(later) = later else { continue };
        let next = harness.wait(Duration::from_secs(4));
        assert_eq!(next.first().map_or("", String::as_str), later, "{code} {headers}");
        assert_eq!(harness.agent.gauges().calls, 1, "{code}");
    }
    // Silence: over UDP the far end has left, over a connection it may not be reachable.
    for (transport, is_over) in [(Transport::Udp, true), (Transport::Tcp, false)] {
        let mut harness = AgentHarness::keeping();
        harness.transport = transport;
        let mut phone = phone();
        phone.via = format!("{} {HERE};rport", transport.as_str());
        harness.up(&mut phone);
        assert_eq!(harness.recover(PORT), ["INVITE"]);
        let said = harness.wait(Duration::from_secs(33));
        assert_eq!(said.windows(3).any(|it| it == end), is_over, "{said:?}");
        let info = phone.request("INFO", "", "");
        assert_eq!(harness.receive(&info), [if is_over { "481" } else { "200" }]);
    }
}

#[test]
fn a_session_timer_goes_on() {
    let timer = "Supported: timer\r\nSession-Expires: 120;refresher=uac\r\n";
    let (mut harness, mut phone) = (AgentHarness::keeping(), phone());
    let headers = format!("{}{SDP}{timer}", phone.contact.clone());
    let invite = phone.request("INVITE", &headers, OFFER);
    harness.up_by(&mut phone, &invite);
    harness.recover(PORT);
    let check = harness.last().to_owned();
    assert_eq!(header(&check, "Session-Expires"), Some("120;refresher=uas"), "as it was");
    harness.receive(&reply_to(&check, 503, "", ""));
    let said = harness.wait(Duration::from_secs(85));
    assert_eq!(said, ["close", "HungUp", "BYE"], "{said:?}");
}

#[test]
fn a_late_answer_to_a_re_invite_of_the_earlier_process_is_acknowledged() {
    let timer = "Supported: timer\r\nSession-Expires: 120;refresher=uas\r\n";
    let (mut harness, mut phone) = (AgentHarness::keeping(), phone());
    let headers = format!("{}{SDP}{timer}", phone.contact.clone());
    let invite = phone.request("INVITE", &headers, OFFER);
    harness.up_by(&mut phone, &invite);
    assert_eq!(harness.wait(Duration::from_secs(60)), ["INVITE"]);
    let early = harness.last().to_owned();
    assert_eq!(harness.recover(PORT), ["INVITE"]);
    let check = harness.last().to_owned();
    assert_eq!(harness.receive(&reply_to(&early, 200, SDP, OFFER)), ["ACK"]);
    assert_eq!(header(harness.last(), "CSeq"), Some("1 ACK"));
    let foreign = reply_to(&early, 200, SDP, OFFER).replace("1 INVITE", "7 INVITE");
    assert_eq!(harness.receive(&foreign), [""; 0], "we have not sent that");
    assert_eq!(harness.receive(&reply_to(&check, 200, SDP, OFFER)), ["ACK"]);
    assert_eq!(header(harness.last(), "CSeq"), Some("2 ACK"));
}

#[test]
fn so_many_far_ends_are_asked_in_a_second() {
    for (checks_per_second, expected) in
        [(None, 200), (Some(1), 1), (Some(25), 30), (Some(9_999), 450)]
    {
        let mut harness = AgentHarness::keeping();
        for n in 0..450 {
            let mut phone = Phone::new(&format!("p{n}"), HERE);
            harness.up(&mut phone);
        }
        let mut settings = Settings::default();
        settings.checks_per_second = checks_per_second.unwrap_or(settings.checks_per_second);
        let (said, standing) = harness.crash_into(settings, Duration::from_secs(3), Some(PORT));
        assert_eq!((said.len(), standing), (0, 450));
        harness.agent.check_restored(harness.now);
        harness.sent.clear();
        harness.wait(Duration::from_millis(999));
        let asked = |harness: &AgentHarness| {
            let calls = harness.sent.iter().map(|it| header(&it.1, "Call-ID").unwrap().to_owned());
            calls.collect::<std::collections::BTreeSet<_>>().len()
        };
        assert_eq!(asked(&harness), expected, "{checks_per_second:?}");
        if checks_per_second.is_none() {
            harness.wait(Duration::from_secs(2));
            assert_eq!(asked(&harness), 450);
        }
    }
}

#[test]
fn a_call_of_ours_is_restored_with_its_role() {
    let mut it = Outgoing::with_phones(&["127.0.0.1:5071"]);
    it.bench.agent.keep_rows();
    it.bench.remote = "127.0.0.1:5071".parse().unwrap();
    it.dial();
    let invite = it.sent("INVITE", "127.0.0.1:5071");
    let ok = reply_to(&invite, 200, &format!("Contact: <sip:anna@127.0.0.1:5071>\r\n{SDP}"), OFFER);
    let to = format!("To: {}", header(&invite, "To").unwrap());
    let ok = ok.replace(&to, &format!("{to};tag=t"));
    assert!(it.bench.receive(&ok).contains(&"Answered".to_owned()));
    assert_eq!(it.bench.recover(PORT), ["INVITE"]);
    let check = it.bench.last().to_owned();
    assert_eq!(header(&check, "CSeq"), Some("2 INVITE"), "after the first INVITE");
    assert_eq!(header(&check, "Call-ID"), header(&invite, "Call-ID"));
    assert_eq!(header(&check, "From"), header(&invite, "From"));
    assert_eq!(it.bench.receive(&reply_to(&check, 200, SDP, OFFER)), ["ACK"]);
}

#[test]
fn a_phone_that_was_reachable_is_reachable() {
    let mut it = Outgoing::new();
    it.bench.agent.keep_rows();
    it.register("127.0.0.1:5071");
    it.bench.transport = Transport::Tcp;
    it.register("127.0.0.1:5072");
    it.bench.transport = Transport::Udp;
    it.bench.crash(Duration::from_secs(3), Some(PORT));
    assert_eq!(it.bench.agent.gauges().registered, 1, "a connection has ended with the process");
    // It expires as if nothing had been.
    assert_eq!(it.bench.remains().rows.len(), 1);
    it.bench.wait(Duration::from_secs(3_600));
    assert_eq!(it.bench.agent.gauges().registered, 0);
    let rows = it.bench.remains().rows;
    assert!(rows.iter().all(|it| it.body.is_none()) && rows.len() == 1);
}

#[test]
fn a_row_that_cannot_be_read_says_why() {
    for (body, expected) in
        [(&[][..], "it is empty"), (&[9, 1, 2], "its version is 9, and this release reads 1")]
    {
        assert_eq!(DialogRow::read(body).err().unwrap(), expected);
    }
    assert!(DialogRow::read(&[1, 200, 200]).is_err());
}

#[test]
fn a_phone_whose_connection_has_ended_is_asked_once_it_connects_again() {
    for by_register in [true, false] {
        let mut harness = AgentHarness::keeping();
        harness.transport = Transport::Tcp;
        let mut phone = phone();
        phone.via = format!("TCP {HERE};rport");
        phone.contact = "Contact: <sip:anna@10.9.9.9:5070;transport=tcp>\r\n".to_owned();
        harness.up(&mut phone);
        assert_eq!(harness.recover(PORT), ["INVITE"]);
        harness.wait(Duration::from_secs(40));
        // From another port than before.
        harness.remote = "127.0.0.1:5099".parse().unwrap();
        let request = match by_register {
            true => "REGISTER sip:conflow SIP/2.0\r\nVia: SIP/2.0/TCP 10.9.9.9;branch=z9hG4bKr\r\n\
                From: <sip:anna@conflow>;tag=r\r\nTo: <sip:anna@conflow>\r\nCall-ID: r\r\n\
                CSeq: 1 REGISTER\r\nContact: <sip:anna@10.9.9.9:5090;transport=tcp>\r\n\
                Content-Length: 0\r\n\r\n"
                .to_owned(),
            false => phone.request("OPTIONS", "", ""),
        };
        assert_eq!(harness.receive(&request), ["200"], "{by_register}");
        assert_eq!(harness.wait(Duration::ZERO), ["INVITE"], "{by_register}");
        assert_eq!(harness.sent.last().unwrap().0, harness.remote);
        let check = harness.last().to_owned();
        assert_eq!(harness.receive(&reply_to(&check, 200, SDP, OFFER)), ["ACK"]);
        assert_eq!(harness.receive(&phone.request("OPTIONS", "", "")), ["200"]);
        assert_eq!(harness.wait(Duration::ZERO), [""; 0], "once");
    }
}

#[test]
fn the_far_end_of_a_call_that_was_handed_over_is_asked_nothing_unless_the_port_is_another_one() {
    let (mut harness, mut phone) = (AgentHarness::keeping(), phone());
    harness.up(&mut phone);
    assert_eq!(harness.hand_over(PORT), [""; 0]);
    assert_eq!(harness.wait(Duration::from_secs(120)), [""; 0]);
    assert_eq!(harness.receive(&phone.request("OPTIONS", "", "")), ["200"]);
    assert_eq!(harness.hand_over("127.0.0.1:20002"), ["INVITE"]);
    let check = harness.last().to_owned();
    assert!(body(&check).contains("m=audio 20002 "), "{check}");
    assert_eq!(harness.receive(&reply_to(&check, 200, SDP, OFFER)), ["ACK"]);
    assert_eq!(harness.hand_over("127.0.0.1:20002"), [""; 0]);
    harness.end(HangupCause::EndOfXml);
    assert_eq!(header(harness.last(), "CSeq"), Some("2 BYE"));
    let bye = harness.last().to_owned();
    harness.receive(&reply_to(&bye, 200, "", ""));
    harness.ends_empty();
}

#[test]
fn a_handed_over_call_whose_connection_has_ended_goes_on_over_the_next_one_and_is_not_asked() {
    let mut harness = AgentHarness::keeping();
    harness.transport = Transport::Tcp;
    let mut phone = phone();
    phone.via = format!("TCP {HERE};rport");
    phone.contact = "Contact: <sip:anna@10.9.9.9:5070;transport=tcp>\r\n".to_owned();
    harness.up(&mut phone);
    assert_eq!(harness.hand_over(PORT), [""; 0]);
    harness.remote = "127.0.0.1:5099".parse().unwrap();
    assert_eq!(harness.receive(&phone.request("OPTIONS", "", "")), ["200"]);
    assert_eq!(harness.wait(Duration::from_secs(60)), [""; 0]);
    harness.end(HangupCause::EndOfXml);
    assert_eq!(harness.sent.last().unwrap().0, harness.remote, "over the new connection");
}

/// What each release has written, every later one reads.
#[test]
fn rows_of_earlier_releases_are_read() {
    let (mut harness, mut phone) = (AgentHarness::keeping(), phone());
    let timer = "Supported: timer\r\nSession-Expires: 120;refresher=uas\r\nAllow: UPDATE\r\n";
    let headers = format!("{}{SDP}{timer}", phone.contact.clone());
    harness.receive(&phone.request("INVITE", &headers, OFFER));
    let row = |it: &mut AgentHarness| it.remains().rows[0].body.clone().unwrap();
    corpus::check("ringing", &row(&mut harness));
    harness.answer();
    corpus::check("dialog", &row(&mut harness));
    let mut it = Outgoing::new();
    it.bench.agent.keep_rows();
    it.register("127.0.0.1:5071");
    corpus::check("registration", &row(&mut it.bench));

    let (way, clock) = (|hop: &Hop| Some(*hop), harness.clock());
    for (release, row) in corpus::of_all_releases("ringing") {
        let mut effects = VecDeque::new();
        harness.agent = AgentHarness::keeping().agent;
        let refused = harness.agent.refuse_unanswered(harness.now, &row, &way, &mut effects);
        assert_eq!((refused, effects.len()), (Ok(()), 1), "{release}");
    }
    for (release, row) in corpus::of_all_releases("dialog") {
        assert!(DialogRow::read(&row).is_ok(), "{release}");
    }
    for (release, row) in corpus::of_all_releases("registration") {
        let restored = harness.agent.restore_registration(harness.now, &row, &way, clock);
        assert_eq!(restored, Ok(()), "{release}");
    }
}
