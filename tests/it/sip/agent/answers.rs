//! Answers to calls of ours: early media, descriptions, session intervals, routes; and changes later.

use super::{
    outgoing::{OTHER, Outgoing, SECOND, failed},
    *,
};

#[test]
fn early_media_comes_from_the_first_description_and_the_answer_decides() {
    let early = OFFER.replace("40000", "41000");
    let mut it = Outgoing::with_phones(&[HERE]);
    it.dial();
    assert_eq!(
        it.reply(HERE, "INVITE", 183, "a", &early),
        ["Ringing", "agree 127.0.0.1:41000", "EarlyMedia"]
    );
    assert!(it.bench.agreed[0].is_early);
    assert_eq!(it.reply(HERE, "INVITE", 183, "a", &early), [""; 0], "reported once");
    let other = OFFER.replace("40000", "42000");
    assert_eq!(it.reply(HERE, "INVITE", 183, "b", &other), [""; 0]);
    let said = it.reply(HERE, "INVITE", 200, "b", OFFER);
    assert_eq!(said[1..], ["attempted answered", "agree 127.0.0.1:40000", "Answered"]);
    assert!(!it.bench.agreed[1].is_early);

    // A 2xx without a description: that of its own tag counts, and no other.
    let mut it = Outgoing::with_phones(&[HERE]);
    it.dial();
    it.reply(HERE, "INVITE", 180, "a", &early);
    let said = it.reply(HERE, "INVITE", 200, "a", "");
    assert_eq!(said[1..], ["attempted answered", "agree 127.0.0.1:41000", "Answered"]);
    let mut it = Outgoing::with_phones(&[HERE]);
    it.dial();
    it.reply(HERE, "INVITE", 180, "a", &early);
    let said = it.reply(HERE, "INVITE", 200, "b", "");
    let no_sound = failed(HangupCause::RoutingError, "Callee", "Some(200)");
    let outcome = "attempted answered without a description of its sound";
    assert_eq!(said, ["ACK", outcome, "close", &no_sound, "BYE"]);
    it.ends_empty();
}

/// Of several phones, the first that sends sound is heard, and another one once that has refused.
#[test]
fn early_media_of_another_phone_is_heard_once_the_first_has_refused() {
    let early = |port: &str| OFFER.replace("40000", port);
    let mut it = Outgoing::with_phones(&[HERE, OTHER]);
    it.dial();
    let said = it.reply(HERE, "INVITE", 183, "a", &early("41000"));
    assert_eq!(said, ["Ringing", "agree 127.0.0.1:41000", "EarlyMedia"]);
    assert_eq!(it.reply(OTHER, "INVITE", 183, "b", &early("42000")), [""; 0]);
    it.reply(HERE, "INVITE", 486, "a", "");
    let said = it.reply(OTHER, "INVITE", 183, "b", &early("42000"));
    assert_eq!(said, ["agree 127.0.0.1:42000", "EarlyMedia"]);
}

#[test]
fn a_phone_that_was_heard_and_refuses_leaves_the_others_ringing() {
    let (one, two) = ("127.0.0.1:5071", "127.0.0.1:5072");
    let early = |port: &str| OFFER.replace("40000", port);
    let mut it = Outgoing::with_phones(&[one, two]);
    it.dial();
    let said = it.reply(one, "INVITE", 183, "a", &early("41000"));
    assert_eq!(said, ["Ringing", "agree 127.0.0.1:41000", "EarlyMedia"]);
    it.reply(two, "INVITE", 180, "b", "");
    let said = it.reply(one, "INVITE", 486, "a", "");
    assert_eq!(said, ["ACK", "attempted refused with 486", "EarlyMediaOver"]);
    let said = it.reply(two, "INVITE", 183, "b", &early("42000"));
    assert_eq!(said, ["agree 127.0.0.1:42000", "EarlyMedia"], "it is heard in its turn");
    let said = it.reply(two, "INVITE", 486, "b", "");
    assert!(!said.contains(&"EarlyMediaOver".to_owned()), "the call is over: {said:?}");

    // Nobody has heard the one that refuses.
    let mut it = Outgoing::with_phones(&[one, two]);
    it.dial();
    it.reply(one, "INVITE", 183, "a", &early("41000"));
    it.reply(two, "INVITE", 180, "b", "");
    let said = it.reply(two, "INVITE", 486, "b", "");
    assert_eq!(said, ["ACK", "attempted refused with 486"]);
}

#[test]
fn an_answer_that_declines_the_sound_is_hung_up() {
    let mut it = Outgoing::with_phones(&[HERE]);
    it.dial();
    let said = it.reply(HERE, "INVITE", 200, "t", &OFFER.replace("40000", "0"));
    let no_sound = failed(HangupCause::RoutingError, "Callee", "Some(200)");
    let outcome = "attempted answered, but no audio offered; offer m=audio with a port";
    assert_eq!(said, ["ACK", outcome, "close", &no_sound, "BYE"]);
    it.ends_empty();
}

#[test]
fn a_phone_that_hangs_up_before_its_answer_arrives_is_not_connected() {
    let mut it = Outgoing::with_phones(&[HERE]);
    it.dial();
    it.reply(HERE, "INVITE", 180, "t", "");
    let invite = it.sent("INVITE", HERE);
    let early = |method: &str, cseq: u32| {
        let get = |name| header(&invite, name).unwrap();
        format!(
            "{method} sip:conflow@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {HERE};branch=z9hG4bKe{cseq}\r\n\
             From: {};tag=t\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\n\r\n",
            get("To"),
            get("From"),
            get("Call-ID")
        )
    };
    assert_eq!(it.receive(HERE, &early("UPDATE", 1)), ["491"]);
    assert_eq!(it.receive(HERE, &early("BYE", 2)), ["200"]);
    let said = it.reply(HERE, "INVITE", 200, "t", OFFER);
    let gone = failed(HangupCause::Normal, "Callee", "Some(200)");
    let outcome = "attempted answered after it had hung up";
    assert_eq!(said, ["ACK", outcome, "close", &gone, "BYE"]);
    it.ends_empty();
}

#[test]
fn a_longer_session_interval_is_asked_for_twice_at_most() {
    let mut it = Outgoing::with_phones(&[HERE]);
    it.dial();
    for (min_se, expires) in [("3600", "3600"), ("1000", "3600")] {
        let said = it.reply_with(HERE, "INVITE", 422, "t", &format!("Min-SE: {min_se}\r\n"), "");
        assert_eq!(said, ["ACK", "INVITE"]);
        let invite = it.sent("INVITE", HERE);
        assert_eq!(header(&invite, "Session-Expires"), Some(expires));
        assert_eq!(header(&invite, "Min-SE"), Some("3600"));
        assert!(!header(&invite, "To").unwrap().contains("tag"), "{invite}");
    }
    assert!(it.sent("INVITE", HERE).contains("CSeq: 3 INVITE\r\n"));
    let said = it.reply_with(HERE, "INVITE", 422, "t", "Min-SE: 7200\r\n", "");
    let failure = failed(HangupCause::RoutingError, "Callee", "Some(422)");
    assert_eq!(said, ["ACK", "attempted refused with 422", "close", &failure]);
    it.ends_empty();
}

#[test]
fn both_sides_refresh_the_session_and_a_glare_ends() {
    // We refresh, as the 2xx says; the owner of the Call-ID waits longer after a glare.
    let mut it = Outgoing::with_phones(&[HERE]);
    it.dial();
    let headers = "Session-Expires: 1800;refresher=uac\r\nRequire: timer\r\n";
    it.reply_with(HERE, "INVITE", 200, "t", headers, OFFER);
    assert_eq!(it.bench.wait(SECOND * 900), ["INVITE"]);
    let refresh = it.sent("INVITE", HERE);
    assert!(refresh.contains("CSeq: 2 INVITE\r\n") && refresh.contains(";tag=t\r\n"), "{refresh}");
    assert_eq!(it.reply(HERE, "INVITE", 491, "", ""), ["ACK"]);
    assert_eq!(it.bench.wait(Duration::from_millis(2_099)), [""; 0]);
    let again = it.bench.wait(Duration::from_millis(1_901));
    assert_eq!(again.first().map(String::as_str), Some("INVITE"));
    assert_eq!(it.reply_with(HERE, "INVITE", 200, "", headers, OFFER), ["ACK"]);
    // It holds, and we follow.
    let hold = OFFER.replace("sendrecv", "sendonly");
    let contact = format!("Contact: <sip:anna@{HERE}>\r\n");
    let invite = it.request(HERE, "INVITE", 1, &format!("{contact}{SDP}"), &hold);
    assert_eq!(it.receive(HERE, &invite), ["200", "agree 127.0.0.1:40000", "Hold(true)"]);
    it.end();

    // A phone without session timers is not refreshed.
    let mut it = Outgoing::up();
    assert_eq!(it.bench.wait(SECOND * 4_000), [""; 0]);
    assert_eq!(it.bench.agent.gauges().calls, 1);

    // The phone refreshes; without it, the call ends a little before the interval.
    let mut it = Outgoing::with_phones(&[HERE]);
    it.dial();
    let headers = "Session-Expires: 1800;refresher=uas\r\nRequire: timer\r\n";
    it.reply_with(HERE, "INVITE", 200, "t", headers, OFFER);
    assert_eq!(it.bench.wait(SECOND * 1_700), [""; 0]);
    let update = it.request(
        HERE,
        "UPDATE",
        1,
        "Supported: timer\r\nSession-Expires: 1800;refresher=uac\r\n",
        "",
    );
    assert_eq!(it.receive(HERE, &update), ["200"]);
    assert_eq!(it.bench.wait(SECOND * 1_767), [""; 0]);
    assert_eq!(it.bench.wait(SECOND), ["close", "HungUp", "BYE"]);
    it.ends_empty();
}

#[test]
fn the_route_of_the_answer_is_kept_in_reverse() {
    let mut it = Outgoing::with_phones(&[HERE]);
    it.dial();
    let routes = "Record-Route: <sip:p2.invalid;lr>, <sip:127.0.0.1:5071;lr>\r\n";
    it.reply_with(HERE, "INVITE", 200, "t", routes, OFFER);
    let ack = it.sent("ACK", "127.0.0.1:5071");
    let all: Vec<_> = headers(&ack, "Route").collect();
    assert_eq!(all, ["<sip:127.0.0.1:5071;lr>", "<sip:p2.invalid;lr>"]);
    assert!(ack.starts_with("ACK sip:anna@127.0.0.1:5070 SIP/2.0\r\n"), "{ack}");
}

#[test]
fn limits_of_calls_hold_for_calls_of_ours() {
    let mut it = Outgoing::new();
    let loopback_account = Some("MA1".parse().unwrap());
    let settings = Settings { calls_max: 1, loopback_account, ..Settings::default() };
    it.bench = AgentHarness::with(settings);
    it.register(HERE);
    it.dial();
    it.call = CallId(uuid::Uuid::from_u128(8));
    assert_eq!(it.dial(), [failed(HangupCause::DialLimit, "Platform", "None")]);
}
