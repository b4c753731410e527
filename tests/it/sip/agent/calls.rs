//! Calls from the first word to the last: answered, refused, cancelled, lost.

use super::*;

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
    phone.learn(bench.last());
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
    phone.learn(bench.last());
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
    phone.learn(bench.last());
    assert_eq!(bench.receive(&phone.request("BYE", "", "")), ["200", "close", "HungUp", "487"]);

    let mut second = Phone::new("second", HERE);
    bench.receive(&second.invite());
    bench.answer();
    second.learn(bench.last());
    assert_eq!(bench.receive(&second.request("BYE", "", "")), ["200", "close", "HungUp"]);
    assert!(!bench.wait(Duration::from_secs(40)).contains(&"200".to_owned()));
    bench.ends_empty();
}

#[test]
fn a_call_that_ends_before_its_ack_says_bye_after_it() {
    let (mut bench, mut phone) = (Bench::new(), phone());
    bench.receive(&phone.invite());
    bench.answer();
    phone.learn(bench.last());
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
        phone.learn(bench.last());
        let said = bench.receive(&phone.ack_with(SDP, answer));
        assert_eq!(said, ["close", "HungUp", "BYE"], "{answer:?}");
        bench.ends_empty();
    }
}

#[test]
fn replies_follow_the_via_and_requests_the_nat() {
    let (mut bench, mut phone) = (Bench::new(), phone());
    bench.remote = "203.0.113.9:40001".parse().unwrap();
    let advertise = Some("198.51.100.5".parse().unwrap());
    let settings = Settings { advertise, ..Settings::default() };
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
