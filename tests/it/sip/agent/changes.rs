//! Changes within a call: hold, address, keys, session timers.

use super::*;

#[test]
fn a_phone_holds_resumes_and_moves() {
    let (mut harness, mut phone) = (AgentHarness::new(), phone());
    harness.up(&mut phone);
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
        assert_eq!(harness.receive(&phone.request(method, &headers, offer)), expected, "{method}");
        if method == "INVITE" {
            assert_eq!(harness.receive(&phone.ack()), [""; 0]);
        }
    }
    assert_eq!(harness.agent.gauges().calls, 1);
    assert_eq!(harness.arrivals.len(), 1);
}

#[test]
fn a_held_call_answers_recvonly_with_a_higher_version() {
    let (mut harness, mut phone) = (AgentHarness::new(), phone());
    harness.up(&mut phone);
    let version = |message: &str| {
        let origin = body(message).split("o=").nth(1).unwrap().to_owned();
        origin.split(' ').nth(2).unwrap().parse::<u64>().unwrap()
    };
    let before = version(&harness.sent.iter().rev().find(|it| !body(&it.1).is_empty()).unwrap().1);
    let headers = format!("{}{SDP}", phone.contact.clone());
    harness.receive(&phone.request("INVITE", &headers, &OFFER.replace("sendrecv", "sendonly")));
    assert!(body(harness.last()).contains("a=recvonly"), "{}", harness.last());
    assert_eq!(version(harness.last()), before + 1);
}

#[test]
fn a_re_invite_without_an_offer_gets_ours() {
    let (mut harness, mut phone) = (AgentHarness::new(), phone());
    harness.up(&mut phone);
    let contact = phone.contact.clone();
    assert_eq!(harness.receive(&phone.request("INVITE", &contact, "")), ["200"]);
    assert!(body(harness.last()).contains("m=audio 20000"));
    let moved = OFFER.replace("40000", "41000");
    assert_eq!(harness.receive(&phone.ack_with(SDP, &moved)), ["agree 127.0.0.1:41000"]);
}

#[test]
fn a_re_invite_that_cannot_be_agreed_to_leaves_the_call_unchanged() {
    let (mut harness, mut phone) = (AgentHarness::new(), phone());
    harness.up(&mut phone);
    let headers = format!("{}{SDP}", phone.contact.clone());
    let video = OFFER.replace("m=audio", "m=video");
    assert_eq!(harness.receive(&phone.request("INVITE", &headers, &video)), ["488"]);
    harness.receive(&phone.same_branch("ACK"));
    assert_eq!(harness.receive(&phone.request("INFO", "", "")), ["200"]);
}

#[test]
fn overlapping_changes_are_put_off() {
    let (mut harness, mut phone) = (AgentHarness::new(), phone());
    harness.receive(&phone.invite());
    phone.learn(harness.last());
    let headers = format!("{}{SDP}", phone.contact.clone());
    // Before the first one is answered.
    assert_eq!(harness.receive(&phone.request("INVITE", &headers, OFFER)), ["500"]);
    assert!(header(harness.last(), "Retry-After").unwrap().parse::<u8>().unwrap() <= 10);
    harness.receive(&phone.same_branch("ACK"));
    assert_eq!(harness.receive(&phone.request("UPDATE", &headers, OFFER)), ["500"]);

    let (mut harness, mut phone) = (AgentHarness::new(), self::phone());
    harness.up(&mut phone);
    // The second arrives before the ACK of the first.
    assert_eq!(harness.receive(&phone.request("INVITE", &headers, OFFER))[0], "200");
    assert_eq!(harness.receive(&phone.request("INVITE", &headers, OFFER)), ["500"]);
    assert!(header(harness.last(), "Retry-After").is_some());
}

#[test]
fn keys_come_by_info_once_each() {
    let (mut harness, mut phone) = (AgentHarness::new(), phone());
    harness.up(&mut phone);
    let relay = "Content-Type: application/dtmf-relay\r\n";
    let press = phone.request("INFO", relay, "Signal=5\r\nDuration=160\r\n");
    assert_eq!(harness.receive(&press), ["200", "press 5"]);
    assert_eq!(harness.receive(&press), ["200"]);
    let plain = "Content-Type: application/dtmf\r\n";
    assert_eq!(harness.receive(&phone.request("INFO", plain, "#")), ["200", "press #"]);
    let text = "Content-Type: text/plain\r\n";
    assert_eq!(harness.receive(&phone.request("INFO", text, "5")), ["415"]);
}

#[test]
fn we_refresh_a_session_by_update_or_by_re_invite() {
    for (allow, method) in [("Allow: INVITE, UPDATE\r\n", "UPDATE"), ("", "INVITE")] {
        let (mut harness, mut phone) = (AgentHarness::new(), phone());
        let timer = "Supported: timer\r\nSession-Expires: 120;refresher=uas\r\n";
        let headers = format!("{}{SDP}{timer}{allow}", phone.contact.clone());
        let invite = phone.request("INVITE", &headers, OFFER);
        harness.up_by(&mut phone, &invite);
        let ok = &harness.sent.iter().rev().find(|it| brief(&it.1) == "200").unwrap().1;
        assert_eq!(header(ok, "Session-Expires"), Some("120;refresher=uas"));
        assert_eq!(header(ok, "Require"), None);
        assert_eq!(harness.wait(Duration::from_secs(60)), [method]);
        let refresh = harness.last().to_owned();
        assert_eq!(header(&refresh, "Session-Expires"), Some("120;refresher=uac"));
        assert_eq!(body(&refresh).is_empty(), method == "UPDATE");
        let granted = "Session-Expires: 120;refresher=uac\r\n";
        let said = harness.receive(&reply_to(&refresh, 200, granted, ""));
        let acks: &[&str] = if method == "INVITE" { &["ACK"] } else { &[] };
        assert_eq!(said, acks, "{method}");
        // Again, and this time the phone does not answer.
        assert_eq!(harness.wait(Duration::from_secs(60)), [method]);
        let said = harness.wait(Duration::from_secs(40));
        let is_end = |it: &[String]| it == ["close", "HungUp", "BYE"];
        assert!(said.windows(3).any(is_end), "{method}: {said:?}");
        harness.ends_empty();
    }
}

#[test]
fn a_caller_that_does_not_refresh_is_hung_up_on() {
    let (mut harness, mut phone) = (AgentHarness::new(), phone());
    let timer = "Supported: timer\r\nSession-Expires: 90\r\n";
    let headers = format!("{}{SDP}{timer}", phone.contact.clone());
    let invite = phone.request("INVITE", &headers, OFFER);
    harness.up_by(&mut phone, &invite);
    let ok = &harness.sent.iter().rev().find(|it| brief(&it.1) == "200").unwrap().1;
    assert_eq!(header(ok, "Session-Expires"), Some("90;refresher=uac"));
    assert_eq!(header(ok, "Require"), Some("timer"));
    assert_eq!(harness.wait(Duration::from_secs(50)), [""; 0]);
    assert_eq!(harness.receive(&phone.request("UPDATE", timer, "")), ["200"]);
    assert_eq!(header(harness.last(), "Session-Expires"), Some("90;refresher=uac"));
    assert_eq!(harness.wait(Duration::from_secs(59)), [""; 0]);
    assert_eq!(harness.wait(Duration::from_secs(1)), ["close", "HungUp", "BYE"]);
    harness.ends_empty();
}

#[test]
fn changes_from_both_sides_at_once_are_put_off() {
    let (mut harness, mut phone, headers) = timed();
    assert_eq!(harness.wait(Duration::from_secs(60)), ["INVITE"]);
    let ours = harness.last().to_owned();
    assert_eq!(harness.receive(&phone.request("INVITE", &headers, OFFER)), ["491"]);
    assert_eq!(harness.receive(&phone.same_branch("ACK")), [""; 0]);
    assert_eq!(harness.receive(&reply_to(&ours, 491, "", "")), ["ACK"]);
    // We do not own the Call-ID: 2 s at most.
    let again = harness.wait(Duration::from_secs(2));
    assert_eq!(again.first().map(String::as_str), Some("INVITE"));
}

#[test]
fn a_200_to_our_re_invite_that_comes_again_is_acknowledged_again() {
    let (mut harness, ..) = timed();
    harness.wait(Duration::from_secs(60));
    let ok = reply_to(harness.last(), 200, "", "");
    assert_eq!(harness.receive(&ok), ["ACK"]);
    let ack = harness.last().to_owned();
    assert_eq!(harness.receive(&ok), ["ACK"]);
    assert_eq!(harness.last(), ack);
}

#[test]
fn an_answer_to_our_re_invite_may_move_the_sound() {
    let (mut harness, ..) = timed();
    harness.wait(Duration::from_secs(60));
    let moved = OFFER.replace("40000", "41000");
    let ok = reply_to(harness.last(), 200, SDP, &moved);
    assert_eq!(harness.receive(&ok), ["ACK", "agree 127.0.0.1:41000"]);
}

#[test]
fn a_hold_is_reported_to_the_engine() {
    let (mut harness, mut phone) = (AgentHarness::new(), phone());
    let headers = format!("{}{SDP}", phone.contact.clone());
    let invite = phone.request("INVITE", &headers, &OFFER.replace("sendrecv", "inactive"));
    harness.receive(&invite);
    let held = format!("{:?}", LegEvent::Hold(true));
    assert_eq!(harness.answer(), ["200", "agree 127.0.0.1:40000", &held]);
}

#[test]
fn our_requests_follow_a_phone_that_moves() {
    let (mut harness, mut phone) = (AgentHarness::new(), phone());
    harness.up(&mut phone);
    harness.remote = "127.0.0.9:6000".parse().unwrap();
    let headers = format!("Contact: <sip:anna@127.0.0.9:6001>\r\n{SDP}");
    assert_eq!(harness.receive(&phone.request("INVITE", &headers, OFFER))[0], "200");
    harness.receive(&phone.ack());
    harness.end(HangupCause::EndOfXml);
    let (to, bye) = harness.sent.last().unwrap();
    assert_eq!(*to, "127.0.0.9:6001".parse().unwrap());
    assert!(bye.starts_with("BYE sip:anna@127.0.0.9:6001 SIP/2.0"), "{bye}");
}

#[test]
fn a_request_out_of_order_changes_nothing() {
    let (mut harness, mut phone) = (AgentHarness::new(), phone());
    harness.up(&mut phone);
    let info = "Content-Type: application/dtmf\r\n";
    let old = phone.clone().request("INFO", info, "1");
    phone.request("OPTIONS", "", "");
    assert_eq!(harness.receive(&phone.request("INFO", info, "2")), ["200", "press 2"]);
    assert_eq!(harness.receive(&old), ["500"]);
}

/// An active call whose session we refresh every minute, and the headers that asked for it.
fn timed() -> (AgentHarness, Phone, String) {
    let (mut harness, mut phone) = (AgentHarness::new(), phone());
    let timer = "Supported: timer\r\nSession-Expires: 120;refresher=uas\r\n";
    let headers = format!("{}{SDP}{timer}", phone.contact.clone());
    let invite = phone.request("INVITE", &headers, OFFER);
    harness.up_by(&mut phone, &invite);
    (harness, phone, headers)
}
