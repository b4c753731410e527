//! Odd messages: what is odd in one costs itself, and no more. What is refused is answered, and what
//! is dropped is noted.

use super::*;

/// Texts that stand in the headers of an INVITE, each with a place where a byte may go.
const PLACES: [&str; 12] = [
    "User-Agent: B",
    "Subject: B",
    "Organization: B",
    "Supported: timer, B",
    "Allow: UPDATE, B",
    "X-PH-Name: B",
    "P-Asserted-Identity: \"B",
    "Session-Expires: 1800;B",
    "Expires: B",
    "Date: B",
    "Accept-Language: B",
    "Record-Route: <sip:127.0.0.1;lr>;B",
];

fn rich_invite(phone: &mut Phone) -> String {
    let headers = format!(
        "{}{SDP}User-Agent: Buero 1.0\r\nSubject: Buero\r\nOrganization: Buero\r\n\
         Supported: timer, Buero\r\nAllow: UPDATE, Buero\r\nX-PH-Name: Buero\r\n\
         P-Asserted-Identity: \"Buero\" <sip:x@127.0.0.1>\r\nSession-Expires: 1800;Buero\r\n\
         Expires: Buero\r\nDate: Buero\r\nAccept-Language: Buero\r\n\
         Record-Route: <sip:127.0.0.1;lr>;Buero\r\n",
        phone.contact.clone()
    );
    phone.request("INVITE", &headers, OFFER)
}

/// The message with a byte in the place of the `e` that follows `place`.
fn with_byte(text: &str, place: &str, byte: u8) -> Vec<u8> {
    let at = text.find(place).unwrap_or_else(|| panic!("{place} in {text}")) + place.len();
    let mut bytes = text.as_bytes().to_vec();
    bytes[at] = byte;
    bytes
}

const TAKEN: [&str; 4] = ["100", "open", "arrive", "180"];

/// doubango#333, opensips#1408, heplify-server#26.
#[test]
fn a_byte_of_another_encoding_costs_nothing() {
    for transport in [Transport::Udp, Transport::Tcp] {
        for place in PLACES {
            for byte in [0xfc, 0x80, 0xff] {
                let (mut harness, mut phone) = (AgentHarness::new(), phone());
                harness.transport = transport;
                let invite = with_byte(&rich_invite(&mut phone), place, byte);
                assert_eq!(harness.receive_bytes(&invite), TAKEN, "{place} {byte:x}");
            }
        }
    }
}

#[test]
fn names_of_another_encoding_are_readable_and_go_back_unchanged() {
    let (mut harness, mut phone) = (AgentHarness::new(), phone());
    let invite = phone.invite().replace("From: <", "From: \"J!rgen\" <");
    let invite = with_byte(&invite, "From: \"J", 0xfc);
    assert_eq!(harness.receive_bytes(&invite), TAKEN);
    assert_eq!(&*harness.arrivals[0].caller_name, "J\u{fc}rgen");

    let message = SipMessage::parse(&invite).unwrap().unwrap();
    let mut effects = VecDeque::new();
    let hop = Hop {
        transport: Transport::Udp,
        link: 0,
        local: "127.0.0.1:5060".parse().unwrap(),
        remote: HERE.parse().unwrap(),
    };
    let mut agent = AgentHarness::new();
    agent.agent.handle(agent.now, Command::Received { hop, message }, &mut effects);
    let Some(Effect::Send { bytes, .. }) = effects.front() else { panic!("{effects:?}") };
    let from = b"From: \"J\xfcrgen\" <sip:anna@127.0.0.1>;tag=fp\r\n";
    assert!(bytes.windows(from.len()).any(|it| it == from), "{}", String::from_utf8_lossy(bytes));
}

/// A called user, too, may have letters of another encoding.
#[test]
fn a_called_name_of_another_encoding_is_readable() {
    let (mut harness, mut phone) = (AgentHarness::new(), phone());
    let invite = with_byte(&phone.invite(), "INVITE sip:w", 0xfc);
    assert_eq!(harness.receive_bytes(&invite), TAKEN);
    assert_eq!(&*harness.arrivals[0].to, "w\u{fc}ekly");
}

#[test]
fn headers_that_no_call_needs_may_be_junk() {
    for junk in [
        "Max-Forwards: many",
        "Max-Forwards: 256",
        "Max-Forwards:",
        "Expires: never\r\nExpires: 1",
        "Session-Expires: soon",
        "Session-Expires:",
        "Supported: timer\r\nSession-Expires: 1800;refresher=me",
        "Min-SE: x",
        "Record-Route: <sip:",
        "Record-Route: ;;,,\"",
        "Route: \"",
        "Accept: ;;",
        "Accept:",
        "Allow: ,,;",
        "Supported: ;,\"",
        "Content-Disposition: \"",
        "Date: x\r\nDate: y",
        "User-Agent:",
        "P-Asserted-Identity: <<",
        "X-PH-A: \x01",
        "Subject: a\rb\0c",
        "no colon at all",
        "bad name: x\r\n and more of it",
        ": x",
        "Subject: folded\r\n\t \r\n over lines",
        "Contact: \"A\" <sip:anna@127.0.0.1>;;",
        "Contact: <sip:anna@[fe80::1%eth0]>",
        "m: sip:anna@127.0.0.1?x=y",
        "Content-Length:",
    ] {
        let (mut harness, mut phone) = (AgentHarness::new(), phone());
        let (name, _) = junk.split_once(':').unwrap_or((junk, ""));
        let text = match name {
            "Contact" | "m" => phone.request("INVITE", &format!("{junk}\r\n{SDP}"), OFFER),
            _ => {
                let headers = format!("{}{SDP}{junk}\r\n", phone.contact.clone());
                phone.request("INVITE", &headers, OFFER)
            }
        };
        let text =
            if name == "Max-Forwards" { text.replace("Max-Forwards: 70\r\n", "") } else { text };
        assert_eq!(harness.receive(&text), TAKEN, "{junk:?}");
        // And the call can be ended by either side.
        harness.answer();
        phone.learn(harness.last());
        harness.receive(&phone.ack());
        assert_eq!(harness.end(HangupCause::EndOfXml), ["close", "BYE"], "{junk:?}");
        assert_eq!(harness.sent.last().unwrap().0, HERE.parse().unwrap(), "{junk:?}");
    }
}

#[test]
fn requests_in_a_call_may_have_junk_too() {
    let (mut harness, mut phone) = (AgentHarness::new(), phone());
    harness.up(&mut phone);
    let junk = "Max-Forwards: x\r\nSession-Expires: x\r\nAccept: ;\r\nContact: <\r\nno colon\r\n";
    let update = phone.request("UPDATE", &format!("{junk}{SDP}"), OFFER);
    assert_eq!(harness.receive(&update), ["200", "agree 127.0.0.1:40000"]);
    let invite = phone.request("INVITE", &format!("{junk}{SDP}"), OFFER);
    assert_eq!(harness.receive(&invite), ["200", "agree 127.0.0.1:40000"]);
    harness.receive(&phone.ack());
    let info = phone.request("INFO", &format!("{junk}c: audio/telephone-event\r\n"), "5");
    assert_eq!(harness.receive(&info), ["200", "press 5"]);
    assert_eq!(harness.receive(&phone.request("BYE", junk, "")), ["200", "close", "HungUp"]);
    harness.ends_empty();
}

/// Every byte of a message's head, replaced: always an answer, a note, or a counted drop.
#[test]
fn a_message_with_any_byte_changed_is_answered_or_noted() {
    let mut phone = phone();
    let plain = phone.request("OPTIONS", "User-Agent: x\r\n", "");
    for text in [rich_invite(&mut phone), plain] {
        let head = text.find("\r\n\r\n").unwrap();
        for at in 0..head {
            for byte in [0xfc, 0, b'\n', b'"', b';'] {
                let mut bytes = text.clone().into_bytes();
                bytes[at] = byte;
                let mut harness = AgentHarness::new();
                match SipMessage::parse(&bytes) {
                    // The reader counts it, and tells the log.
                    Err(_) => continue,
                    Ok(None) => panic!("not a keep-alive"),
                    Ok(Some(_)) => {}
                }
                let said = harness.receive_bytes(&bytes);
                let is_answered = said.iter().any(|it| it.parse::<u16>().is_ok());
                let shown = String::from_utf8_lossy(&bytes);
                assert!(is_answered || !harness.notes.is_empty(), "{at} {byte}: {shown}");
                if said.first().is_some_and(|it| it == "400") {
                    let is_told = |it: &SipNote| matches!(it, SipNote::Refused { code: 400, .. });
                    assert!(harness.notes.iter().any(is_told), "{at} {byte}: {shown}");
                }
            }
        }
    }
}

#[test]
fn what_is_dropped_has_its_reason() {
    let mut harness = AgentHarness::new();
    let mut phone = phone();
    phone.to_tag = Some("wrong".to_owned());
    let stray = |text: &str| text.replace("OPTIONS sip:weekly@127.0.0.1 SIP/2.0", "SIP/2.0 200 OK");
    for (text, why) in [
        (phone.request("ACK", "", ""), MessageDrop::StrayAck),
        (phone.request("ACK", "", "").replace("CSeq: 2", "CSeq: x"), MessageDrop::StrayAck),
        (stray(&phone.request("OPTIONS", "", "")), MessageDrop::StrayResponse),
        (stray(&phone.request("OPTIONS", "", "")).replace("CSeq", "X"), MessageDrop::StrayResponse),
        (phone.request("OPTIONS", "", "").replace("SIP/2.0/UDP", "?"), MessageDrop::NoVia),
    ] {
        assert_eq!(harness.receive(&text), [""; 0], "{text}");
        let Some(SipNote::Dropped { why: noted, .. }) = harness.notes.pop() else {
            panic!("{text}")
        };
        assert_eq!(noted, why);
    }
}

/// pyVoIP#178, #272, #312: an ACK with a To tag of its own invention.
#[test]
fn an_ack_with_a_foreign_tag_confirms_the_call() {
    let (mut harness, mut phone) = (AgentHarness::new(), phone());
    harness.receive(&phone.invite());
    harness.answer();
    phone.to_tag = Some("invented".to_owned());
    // A description, or another INVITE's number, is taken from nobody.
    harness.receive(&phone.ack_with(SDP, OFFER));
    let other = phone.ack().replace("CSeq: 1", "CSeq: 2");
    harness.receive(&other);
    harness.receive(&phone.ack().replace("tag=fp", "tag=other"));
    assert!(!harness.wait(Duration::from_millis(600)).is_empty(), "the 200 is repeated");

    harness.receive(&phone.ack_with("User-Agent: pyVoIP\r\n", ""));
    let is_foreign = |it: &&SipNote| matches!(it, SipNote::ForeignAck { .. });
    assert_eq!(harness.notes.iter().filter(is_foreign).count(), 1);
    assert_eq!(harness.wait(Duration::from_secs(40)), [""; 0], "it is repeated no more");
    // All else needs the exact dialog.
    for method in ["BYE", "INFO", "INVITE", "UPDATE"] {
        let headers = format!("{}{SDP}", phone.contact.clone());
        assert_eq!(harness.receive(&phone.request(method, &headers, OFFER)), ["481"], "{method}");
    }
    assert_eq!(harness.end(HangupCause::EndOfXml), ["close", "BYE"]);
}

#[test]
fn an_ack_with_the_tag_of_another_call_confirms_neither() {
    let mut harness = AgentHarness::new();
    let (mut one, mut two) = (phone(), Phone::new("two", HERE));
    harness.up(&mut two);
    harness.receive(&one.invite());
    harness.answer();
    one.to_tag = two.to_tag.clone();
    harness.receive(&one.ack());
    assert_eq!(harness.end(HangupCause::EndOfXml), ["close"], "the BYE waits for the ACK");
    one.to_tag = None;
    assert_eq!(harness.receive(&one.ack()), ["BYE"], "none is foreign, too");
}

/// hass-sip#24: the log says what the phone cannot do.
#[test]
fn a_phone_without_key_events_is_told_of_once() {
    let is_told = |it: &&SipNote| matches!(it, SipNote::KeysByInfoOnly { .. });
    for (offer, expected) in [(OFFER.replace(" 101\r\n", "\r\n"), 1), (OFFER.to_owned(), 0)] {
        let (mut harness, mut phone) = (AgentHarness::new(), phone());
        let headers = format!("{}{SDP}", phone.contact.clone());
        let invite = phone.request("INVITE", &headers, &offer);
        harness.up_by(&mut phone, &invite);
        harness.receive(&phone.request("INVITE", &headers, &offer));
        assert_eq!(harness.agreed.len(), 2);
        assert_eq!(harness.notes.iter().filter(is_told).count(), expected);
    }
}
