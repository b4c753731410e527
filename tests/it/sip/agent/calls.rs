//! Whole calls: answered, refused, cancelled, lost.

use super::*;

#[test]
fn a_call_rings_is_answered_and_is_hung_up_by_the_caller() {
    let (mut harness, mut phone) = (AgentHarness::new(), phone());
    assert_eq!(harness.receive(&phone.invite()), ["100", "open", "arrive", "180"]);
    let arrival = &harness.arrivals[0];
    assert_eq!((&*arrival.from, &*arrival.to), ("sip:anna@127.0.0.1", "weekly"));
    assert_eq!(arrival.trusted, None);
    assert_eq!(harness.answer(), ["200", "agree 127.0.0.1:40000"]);
    let ok = harness.last().to_owned();
    assert!(body(&ok).contains("m=audio 20000 RTP/AVP 0"), "{ok}");
    assert_eq!(header(&ok, "Contact"), Some("<sip:conflow@127.0.0.1:5060>"));
    phone.learn(&ok);
    assert_eq!(harness.receive(&phone.ack()), [""; 0]);
    assert_eq!(harness.receive(&phone.request("BYE", "", "")), ["200", "close", "HungUp"]);
    assert_eq!(harness.end(HangupCause::Normal), [""; 0]);
    harness.ends_empty();
}

#[test]
fn the_engine_hangs_up() {
    let (mut harness, mut phone) = (AgentHarness::new(), phone());
    harness.up(&mut phone);
    assert_eq!(harness.end(HangupCause::EndOfXml), ["close", "BYE"]);
    let bye = harness.last().to_owned();
    let reason = "Q.850;cause=16;text=\"End Of XML Instructions\"";
    assert_eq!(header(&bye, "Reason"), Some(reason));
    assert_eq!(harness.agent.gauges().calls, 1);
    harness.receive(&reply_to(&bye, 200, "", ""));
    assert_eq!(harness.agent.gauges().calls, 0);
    harness.ends_empty();
}

#[test]
fn a_bye_without_an_answer_is_retransmitted_and_then_given_up() {
    let (mut harness, mut phone) = (AgentHarness::new(), phone());
    harness.up(&mut phone);
    harness.end(HangupCause::EndOfXml);
    let byes = harness.wait(Duration::from_secs(33));
    // At 0.5, 1.5, 3.5 s, then every 4 s up to 32 s (RFC 3261, 17.1.2.2).
    assert_eq!(byes, ["BYE"; 10]);
    harness.ends_empty();
}

#[test]
fn the_200_is_retransmitted_until_its_ack() {
    let (mut harness, mut phone) = (AgentHarness::new(), phone());
    harness.receive(&phone.invite());
    harness.answer();
    let ok = harness.last().to_owned();
    assert_eq!(harness.wait(Duration::from_secs(4)), ["200"; 3]);
    assert_eq!(harness.last(), ok);
    phone.learn(&ok);
    harness.receive(&phone.ack());
    assert_eq!(harness.wait(Duration::from_secs(60)), [""; 0]);
}

#[test]
fn a_call_whose_200_is_never_acknowledged_ends() {
    let (mut harness, mut phone) = (AgentHarness::new(), phone());
    harness.receive(&phone.invite());
    harness.answer();
    let said = harness.wait(Duration::from_secs(32));
    assert_eq!(said.iter().filter(|it| *it == "200").count(), 10);
    assert_eq!(said[said.len() - 3..], ["close", "HungUp", "BYE"]);
    harness.ends_empty();
}

#[test]
fn over_a_stream_only_the_200_is_retransmitted() {
    let (mut harness, mut phone) = (AgentHarness::new(), phone());
    harness.transport = Transport::Tcp;
    harness.receive(&phone.invite());
    harness.answer();
    assert!(harness.last().contains("Contact: <sip:conflow@127.0.0.1:5060;transport=tcp>"));
    assert_eq!(harness.wait(Duration::from_millis(600)), ["200"]);
    phone.learn(harness.last());
    harness.receive(&phone.ack());
    assert_eq!(harness.end(HangupCause::EndOfXml), ["close", "BYE"]);
    assert_eq!(harness.wait(Duration::from_secs(60)), [""; 0]);
    harness.ends_empty();
}

#[test]
fn a_retransmitted_invite_gets_the_same_answer() {
    let (mut harness, mut phone) = (AgentHarness::new(), phone());
    let invite = phone.invite();
    harness.receive(&invite);
    assert_eq!(harness.receive(&invite), ["180"]);
    harness.answer();
    // The call itself retransmits the 200 (RFC 6026).
    assert_eq!(harness.receive(&invite), [""; 0]);
    assert_eq!(harness.arrivals.len(), 1);
}

#[test]
fn a_caller_cancels() {
    let (mut harness, mut phone) = (AgentHarness::new(), phone());
    harness.receive(&phone.invite());
    let cancel = phone.same_branch("CANCEL");
    assert_eq!(harness.receive(&cancel), ["200", "close", "HungUp", "487"]);
    assert_eq!(harness.receive(&cancel), ["200"]);
    // The 487 is retransmitted until its ACK.
    assert_eq!(harness.wait(Duration::from_secs(2)), ["487"; 2]);
    phone.learn(harness.last());
    assert_eq!(harness.receive(&phone.same_branch("ACK")), [""; 0]);
    assert_eq!(harness.wait(Duration::from_secs(2)), [""; 0]);
    assert_eq!(harness.answer(), [""; 0]);
    harness.ends_empty();
}

#[test]
fn a_late_cancel_changes_nothing() {
    let (mut harness, mut phone) = (AgentHarness::new(), phone());
    harness.receive(&phone.invite());
    harness.answer();
    assert_eq!(harness.receive(&phone.same_branch("CANCEL")), ["200"]);
    assert_eq!(harness.agent.gauges().calls, 1);
    let mut other = Phone::new("other", HERE);
    other.request("INVITE", "", "");
    assert_eq!(harness.receive(&other.same_branch("CANCEL")), ["481"]);
}

#[test]
fn a_bye_may_come_before_the_ack_and_before_the_answer() {
    let (mut harness, mut phone) = (AgentHarness::new(), phone());
    harness.receive(&phone.invite());
    phone.learn(harness.last());
    assert_eq!(harness.receive(&phone.request("BYE", "", "")), ["200", "close", "HungUp", "487"]);

    let mut second = Phone::new("second", HERE);
    harness.receive(&second.invite());
    harness.answer();
    second.learn(harness.last());
    assert_eq!(harness.receive(&second.request("BYE", "", "")), ["200", "close", "HungUp"]);
    assert!(!harness.wait(Duration::from_secs(40)).contains(&"200".to_owned()));
    harness.ends_empty();
}

#[test]
fn a_call_that_ends_before_its_ack_sends_bye_after_it() {
    let (mut harness, mut phone) = (AgentHarness::new(), phone());
    harness.receive(&phone.invite());
    harness.answer();
    phone.learn(harness.last());
    assert_eq!(harness.end(HangupCause::EndOfXml), ["close"]);
    assert_eq!(harness.receive(&phone.ack()), ["BYE"]);
    let bye = harness.last().to_owned();
    harness.receive(&reply_to(&bye, 200, "", ""));
    harness.ends_empty();
}

#[test]
fn byes_that_cross_are_both_answered() {
    let (mut harness, mut phone) = (AgentHarness::new(), phone());
    harness.up(&mut phone);
    harness.end(HangupCause::EndOfXml);
    let bye = harness.last().to_owned();
    assert_eq!(harness.receive(&phone.request("BYE", "", "")), ["200"]);
    harness.receive(&reply_to(&bye, 481, "", ""));
    harness.ends_empty();
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
        let (mut harness, mut phone) = (AgentHarness::new(), phone());
        harness.receive(&phone.invite());
        assert_eq!(harness.end(cause), ["close", code], "{cause:?}");
        harness.receive(&phone.same_branch("ACK"));
        harness.ends_empty();
    }
}

#[test]
fn a_number_without_a_flow_is_not_found_and_an_engine_without_ports_is_busy() {
    let (mut harness, mut phone) = (AgentHarness::new(), phone());
    harness.has_flow = false;
    assert_eq!(harness.receive(&phone.invite()), ["100", "open", "arrive", "close", "404"]);
    harness.ends_empty();

    let (mut harness, mut phone) = (AgentHarness::new(), self::phone());
    harness.has_port = false;
    assert_eq!(harness.receive(&phone.invite()), ["100", "open", "503"]);
    assert!(header(harness.last(), "Retry-After").is_some());
    harness.ends_empty();
}

#[test]
fn early_media_is_described_in_a_183_and_repeated_in_the_200() {
    let (mut harness, mut phone) = (AgentHarness::new(), phone());
    harness.receive(&phone.invite());
    let call = harness.call();
    assert_eq!(harness.handle(Command::EarlyMedia(call)), ["183", "agree 127.0.0.1:40000"]);
    let early = body(harness.last()).to_owned();
    assert!(early.starts_with("v=0"));
    assert_eq!(harness.handle(Command::EarlyMedia(call)), [""; 0]);
    assert_eq!(harness.wait(Duration::from_secs(60)), ["183"]);
    assert_eq!(harness.answer(), ["200"]);
    assert_eq!(body(harness.last()), early);
}

#[test]
fn a_late_offer_is_answered_in_the_ack() {
    let (mut harness, mut phone) = (AgentHarness::new(), phone());
    let contact = phone.contact.clone();
    harness.receive(&phone.request("INVITE", &contact, ""));
    assert_eq!(harness.answer(), ["200"]);
    let ok = harness.last().to_owned();
    assert!(body(&ok).contains("m=audio 20000 RTP/AVP 0 8"), "{ok}");
    phone.learn(&ok);
    assert_eq!(harness.receive(&phone.ack_with(SDP, OFFER)), ["agree 127.0.0.1:40000"]);
}

#[test]
fn a_late_offer_without_an_answer_ends_the_call() {
    for answer in ["", "v=0\r\nnonsense"] {
        let (mut harness, mut phone) = (AgentHarness::new(), phone());
        let contact = phone.contact.clone();
        harness.receive(&phone.request("INVITE", &contact, ""));
        harness.answer();
        phone.learn(harness.last());
        let said = harness.receive(&phone.ack_with(SDP, answer));
        assert_eq!(said, ["close", "HungUp", "BYE"], "{answer:?}");
        harness.ends_empty();
    }
}

#[test]
fn replies_follow_the_via_and_requests_the_nat() {
    let (mut harness, mut phone) = (AgentHarness::new(), phone());
    harness.remote = "203.0.113.9:40001".parse().unwrap();
    let advertise = Some("198.51.100.5".parse().unwrap());
    let settings = Settings { advertise, ..Settings::default() };
    let mut harness = AgentHarness { agent: AgentHarness::with(settings).agent, ..harness };
    phone.via = "UDP 10.0.0.5:5060;rport".to_owned();
    phone.contact = "Contact: <sip:anna@10.0.0.5>\r\n".to_owned();
    harness.up(&mut phone);
    let (to, ok) = harness.sent.iter().rev().find(|it| brief(&it.1) == "200").unwrap();
    assert_eq!(*to, harness.remote);
    assert!(header(ok, "Via").unwrap().ends_with(";received=203.0.113.9;rport=40001"));
    assert_eq!(header(ok, "Contact"), Some("<sip:conflow@198.51.100.5:5060>"));
    assert!(body(ok).contains("c=IN IP4 198.51.100.5"), "{ok}");
    harness.end(HangupCause::EndOfXml);
    assert_eq!(harness.sent.last().unwrap().0, harness.remote);
    assert_eq!(harness.agreed[0].source, harness.remote.ip());
}
