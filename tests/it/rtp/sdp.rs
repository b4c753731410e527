//! SDP: offers as phones make them, and our answers.

use std::net::IpAddr;

use conflow::rtp::{
    g711::Law,
    sdp::{BYTES_MAX, LINES_MAX, LocalMedia, MediaDirection, Negotiation, Payload, Refusal},
};

/// As the signalling routes: it knows no networks here.
fn route(named: Option<IpAddr>) -> IpAddr {
    named.filter(IpAddr::is_ipv4).unwrap_or_else(|| IpAddr::from([203, 0, 113, 1]))
}

const ORIGIN: &str = "v=0\no=- 1 1 IN IP4 192.0.2.7\ns=-\n";
const SESSION: &str = "v=0\no=- 1 1 IN IP4 192.0.2.7\ns=-\nc=IN IP4 192.0.2.7\nt=0 0\n";

fn negotiation() -> Negotiation {
    at("198.51.100.1")
}

fn at(address: &str) -> Negotiation {
    Negotiation::new(LocalMedia { address: address.parse().unwrap(), port: 20_000, session: 77 })
}

/// Compares the answer to these lines after a usual session, without its constant lines.
#[track_caller]
fn check(offer: &str, expected: &str) {
    let (answer, _) = negotiation().answer(format!("{SESSION}{offer}").as_bytes(), &route).unwrap();
    let head = "v=0\r\no=conflow 77 1 IN IP4 198.51.100.1\r\ns=-\r\nc=IN IP4 198.51.100.1\r\n\
                t=0 0\r\n";
    assert_eq!(answer.strip_prefix(head).unwrap().replace("\r\n", "\n"), expected);
}

#[track_caller]
fn check_refusal(offer: &str, expected: Refusal, warning: u16) {
    let mut negotiation = negotiation();
    let refusal = negotiation.answer(offer.as_bytes(), &route).unwrap_err();
    assert_eq!((refusal.warning(), &refusal), (warning, &expected), "{refusal}");
    assert_eq!(negotiation.agreed(), None);
}

#[test]
fn the_order_and_payload_types_of_the_offer_are_kept() {
    check(
        "m=audio 4000 RTP/AVP 9 8 0 101\na=rtpmap:101 telephone-event/8000\na=ptime:20\n",
        "m=audio 20000 RTP/AVP 8 0 101\na=rtpmap:8 PCMA/8000\na=rtpmap:0 PCMU/8000\n\
         a=rtpmap:101 telephone-event/8000\na=fmtp:101 0-15\na=ptime:20\na=sendrecv\n",
    );
    check(
        "m=audio 4000 RTP/AVP 96 97 0\na=rtpmap:96 Telephone-Event/8000/1\n\
         a=rtpmap:97 pcma/8000\na=rtpmap:0 PCMU/8000\n",
        "m=audio 20000 RTP/AVP 96 97 0\na=rtpmap:96 telephone-event/8000\na=fmtp:96 0-15\n\
         a=rtpmap:97 PCMA/8000\na=rtpmap:0 PCMU/8000\na=ptime:20\na=sendrecv\n",
    );
}

#[test]
fn unsupported_codecs_are_left_out() {
    let expected = "m=audio 20000 RTP/AVP 0\na=rtpmap:0 PCMU/8000\na=ptime:20\na=sendrecv\n";
    // Opus and its events, wideband A-law, a reused number, a number too high, a duplicate.
    check(
        "m=audio 4000 RTP/AVP 96 100 97 8 300 128 0 0 13 x\na=rtpmap:96 opus/48000/2\n\
         a=rtpmap:100 telephone-event/48000\na=rtpmap:97 PCMA/16000\na=rtpmap:8 speex/8000\n\
         a=rtpmap:0 PCMU/8000\na=rtpmap:128 PCMA/8000\n",
        expected,
    );
    check("m=audio 4000 RTP/AVP 0 99\na=rtpmap:99 PCMU/8000\n", expected);
    check("m=audio 4000/2 rtp/avp 0 8\na=rtpmap:8 PCMA/8000/2\n", expected);
}

#[test]
fn the_first_usable_line_is_taken_and_the_others_are_declined() {
    check(
        "m=video 4002 RTP/AVP 31\nm=audio 4004 RTP/SAVP 0\na=crypto:1 x\nm=audio 0 RTP/AVP 0\n\
         m=audio 4000 RTP/AVP 0\nm=audio 4006 RTP/AVP 0\nm=application 9 TCP/BFCP *\n",
        "m=video 0 RTP/AVP 31\nm=audio 0 RTP/SAVP 0\nm=audio 0 RTP/AVP 0\n\
         m=audio 20000 RTP/AVP 0\na=rtpmap:0 PCMU/8000\na=ptime:20\na=sendrecv\n\
         m=audio 0 RTP/AVP 0\nm=application 0 TCP/BFCP *\n",
    );
}

#[test]
fn the_agreement_has_what_the_leg_needs() {
    let offer =
        format!("{SESSION}m=audio 4000 RTP/AVP 101 8 0\na=rtpmap:101 telephone-event/8000\n");
    let (_, agreed) = negotiation().answer(offer.as_bytes(), &route).unwrap();
    assert_eq!(agreed.remote.unwrap().to_string(), "192.0.2.7:4000");
    assert_eq!(agreed.remote_rtcp.unwrap().to_string(), "192.0.2.7:4001");
    assert_eq!((agreed.law, agreed.payload_type, agreed.events), (Law::A, 8, Some(101)));
    assert_eq!((agreed.direction, agreed.held), (MediaDirection::SendRecv, false));
    let payloads = [0, 8, 101, 9].map(|it| agreed.payload(it));
    let sound = |law| Some(Payload::Sound(law));
    assert_eq!(payloads, [sound(Law::Mu), sound(Law::A), Some(Payload::Events), None]);
}

/// Lines after `m=audio 4000 RTP/AVP 0`; then our direction, held, the RTP and RTCP addresses.
#[track_caller]
fn check_line(lines: &str, direction: MediaDirection, held: bool, rtp: &str, rtcp: &str) {
    let offer = format!("{ORIGIN}{lines}");
    let (answer, agreed) = negotiation().answer(offer.as_bytes(), &route).unwrap();
    assert!(answer.contains(&format!("a={}\r\n", direction.name())), "{answer}");
    assert_eq!((agreed.direction, agreed.held), (direction, held), "{lines}");
    let text =
        |it: Option<std::net::SocketAddr>| it.map_or_else(|| "-".into(), |it| it.to_string());
    assert_eq!((&*text(agreed.remote), &*text(agreed.remote_rtcp)), (rtp, rtcp), "{lines}");
    assert_eq!(answer.contains("a=rtcp-mux\r\n"), agreed.rtcp_mux);
}

#[test]
fn directions_are_reversed_and_holds_recognized() {
    use MediaDirection::{Inactive, RecvOnly, SendOnly, SendRecv};
    let audio = "c=IN IP4 192.0.2.7\nm=audio 4000 RTP/AVP 0\n";
    let (rtp, rtcp) = ("192.0.2.7:4000", "192.0.2.7:4001");
    for (attribute, direction, held) in [
        ("", SendRecv, false),
        ("a=sendrecv\n", SendRecv, false),
        ("a=sendonly\n", RecvOnly, true),
        ("a=recvonly\n", SendOnly, false),
        ("a=inactive\n", Inactive, true),
    ] {
        check_line(&format!("{audio}{attribute}"), direction, held, rtp, rtcp);
        let of_session = format!("c=IN IP4 192.0.2.7\n{attribute}m=audio 4000 RTP/AVP 0\n");
        check_line(&of_session, direction, held, rtp, rtcp);
    }
    let both = "c=IN IP4 192.0.2.7\na=inactive\nm=audio 4000 RTP/AVP 0\na=sendrecv\n";
    check_line(both, SendRecv, false, rtp, rtcp);
    let old = "c=IN IP4 0.0.0.0\nm=audio 4000 RTP/AVP 0\n";
    check_line(old, RecvOnly, true, "-", "-");
    check_line(&format!("{old}a=inactive\n"), Inactive, true, "-", "-");
}

#[test]
fn addresses_and_ports_are_found_where_they_are() {
    use MediaDirection::SendRecv;
    let of_line = "c=IN IP4 192.0.2.9\nm=audio 4000 RTP/AVP 0\nc=IN IP4 192.0.2.7\n";
    check_line(of_line, SendRecv, false, "192.0.2.7:4000", "192.0.2.7:4001");
    for (attribute, rtcp) in [
        ("a=rtcp:5001\n", "192.0.2.9:5001"),
        ("a=rtcp:5001 IN IP4 203.0.113.1\n", "192.0.2.9:5001"),
        ("a=rtcp:0\n", "192.0.2.9:4001"),
        ("a=rtcp\n", "192.0.2.9:4001"),
        ("a=rtcp-mux\na=rtcp:5001\n", "192.0.2.9:4000"),
    ] {
        let lines = format!("c=IN IP4 192.0.2.9\nm=audio 4000 RTP/AVP 0\n{attribute}");
        check_line(&lines, SendRecv, false, "192.0.2.9:4000", rtcp);
    }
    let last = "c=IN IP4 192.0.2.9\nm=audio 65535 RTP/AVP 0\n";
    check_line(last, SendRecv, false, "192.0.2.9:65535", "192.0.2.9:65535");
}

#[test]
fn an_ipv6_offer_gets_an_ipv6_answer() {
    let offer = "v=0\no=- 1 1 IN IP6 2001:db8::7\ns=-\nc=IN IP6 2001:db8::7\nt=0 0\n\
                 m=audio 4000 RTP/AVP 0\n";
    let (answer, agreed) = at("2001:db8::1").answer(offer.as_bytes(), &|it| it.unwrap()).unwrap();
    assert!(answer.contains("c=IN IP6 2001:db8::1\r\n"), "{answer}");
    assert!(answer.contains("o=conflow 77 1 IN IP6 2001:db8::1\r\n"), "{answer}");
    assert_eq!(agreed.remote.unwrap().to_string(), "[2001:db8::7]:4000");
}

/// A phone behind NAT cannot name an address that reaches it, whatever is wrong with the one it names:
/// the signalling says where the sound goes. linphone names IPv6 on a dual-stack host.
#[test]
fn an_address_that_cannot_be_used_costs_nothing_but_itself() {
    for c in [
        "c=IN IP6 2001:db8::7\n",
        "c=IN IP4 phone.example\n",
        "c=IN IP4 239.1.2.3/127\n",
        "c=IN IP4 255.255.255.255\n",
        "c=IN IP4 1.2.3\n",
        "c=IN\n",
        "c=\n",
        "",
    ] {
        let offer = format!("{ORIGIN}{c}m=audio 4000 RTP/AVP 0\n");
        let (answer, agreed) = negotiation().answer(offer.as_bytes(), &route).unwrap();
        assert!(answer.contains("c=IN IP4 198.51.100.1\r\n"), "{answer}");
        assert_eq!(agreed.remote, Some("203.0.113.1:4000".parse().unwrap()), "{c}");
        assert!(!agreed.held);
    }
}

/// RFC 3264, section 6: a line that is not taken is declined in its place, whatever is wrong with it
/// (pjproject#1233).
#[test]
fn an_odd_media_line_costs_its_own_line() {
    let audio = "m=audio 20000 RTP/AVP 0\na=rtpmap:0 PCMU/8000\na=ptime:20\na=sendrecv\n";
    for (line, declined) in [
        ("m=video 0 RTP/AVP", "m=video 0 RTP/AVP 0"),
        ("m=application 9 TCP/MRCPv2\na=setup:active", "m=application 0 TCP/MRCPv2 *"),
        ("m=audio 0 RTP/AVP", "m=audio 0 RTP/AVP 0"),
        ("m=audio 4000 RTP/AVP", "m=audio 0 RTP/AVP 0"),
        ("m=audio 4000", "m=audio 0 RTP/AVP 0"),
        ("m=video 70000 RTP/AVP 31", "m=video 0 RTP/AVP 31"),
        ("m=video  4002   RTP/AVP 31 32 ", "m=video 0 RTP/AVP 31 32"),
        ("m=vid\u{e9}o 1 RTP/\u{e9} \u{e9}", "m=application 0 RTP/AVP 0"),
        ("m=", "m=application 0 RTP/AVP 0"),
        ("m=image 0 udptl t38\nc=IN IP4 x\na=T38FaxVersion:0\nb=\ni=", "m=image 0 udptl t38"),
    ] {
        check(&format!("m=audio 4000 RTP/AVP 0\n{line}\n"), &format!("{audio}{declined}\n"));
        check(&format!("{line}\nm=audio 4000 RTP/AVP 0\n"), &format!("{declined}\n{audio}"));
    }
}

/// RFC 8866 demands some lines and an order, which no call needs.
#[test]
fn odd_lines_cost_nothing() {
    let expected = "m=audio 20000 RTP/AVP 0\na=rtpmap:0 PCMU/8000\na=ptime:20\na=sendrecv\n";
    for offer in [
        "v=0\nc=IN IP4 192.0.2.7\nm=audio 4000 RTP/AVP 0\n",
        "m=audio 4000 RTP/AVP 0\nc=IN IP4 192.0.2.7",
        "v=0\no=\ns=\nt=\nb=x\nr=\nz=\nk=\ne=\np=\nu= \nm=audio 4000 RTP/AVP 0\n",
        "v=1\no=J\u{fc}rgen 1 x IN IP4\nt=-1 z\nm=audio 4000 RTP/AVP 0\n",
        "v=0\n\nhello\n=\nX=1\na\na=\na=:\n;\nm=audio 4000 RTP/AVP 0\n",
        " v=0 \n m = audio 4000 RTP/AVP 0 \n",
        "v=0\nm=audio 4000 RTP/AVP 0\na=rtpmap:\na=rtpmap:0\na=rtpmap:x y\na=ptime:\na=fmtp\na=maxptime:x\n",
        "v=0\rm=audio 4000 RTP/AVP 0\r",
    ] {
        let (answer, agreed) = negotiation().answer(offer.as_bytes(), &route).unwrap();
        assert!(answer.replace("\r\n", "\n").ends_with(expected), "{offer}\n{answer}");
        assert_eq!(agreed.remote.unwrap().port(), 4_000);
    }
    let latin1 = b"v=0\ns=B\xfcro\nm=audio 4000 RTP/AVP 0\na=\xfc\n";
    assert!(negotiation().answer(latin1, &route).is_ok());
}

/// RFC 4585, section 5: plain RTP, and feedback that may be ignored (linphone-android#1246).
#[test]
fn the_profile_of_the_offer_is_that_of_the_answer() {
    for profile in ["RTP/AVP", "RTP/AVPF"] {
        check(
            &format!("m=audio 4000 {profile} 0\na=rtcp-fb:* trr-int 5000\n"),
            &format!("m=audio 20000 {profile} 0\na=rtpmap:0 PCMU/8000\na=ptime:20\na=sendrecv\n"),
        );
    }
    let offer = |profile: &str| format!("{SESSION}m=audio 4000 {profile} 0\n");
    for profile in ["RTP/SAVP", "RTP/SAVPF"] {
        check_refusal(&offer(profile), Refusal::Encrypted, 302);
    }
    for profile in ["UDP/TLS/RTP/SAVPF", "TCP/RTP/AVP"] {
        check_refusal(&offer(profile), Refusal::Transport(profile.into()), 302);
    }
    let mut it = negotiation();
    assert!(it.offer().contains(" RTP/AVP "));
    assert!(it.accept(offer("RTP/AVPF").as_bytes(), &route).is_ok());
}

/// RFC 8866, section 6.5.
#[test]
fn packets_are_never_longer_than_maxptime() {
    for (max, expected) in [
        ("40", 20),
        ("20", 20),
        ("19", 10),
        ("10", 10),
        ("10.0", 10),
        ("5", 5),
        ("0", 20),
        ("-1", 20),
    ] {
        let line = format!("m=audio 4000 RTP/AVP 0\na=maxptime:{max}\n");
        for offer in [
            format!("{SESSION}{line}"),
            format!("{ORIGIN}a=maxptime:{max}\nm=audio 4000 RTP/AVP 0\n"),
        ] {
            let (answer, agreed) = negotiation().answer(offer.as_bytes(), &route).unwrap();
            assert!(answer.contains(&format!("a=ptime:{expected}\r\n")), "{answer}");
            assert_eq!(agreed.packet_ms, expected, "{max}");
        }
        let mut it = negotiation();
        it.offer();
        let answer = format!("{SESSION}{line}");
        assert_eq!(it.accept(answer.as_bytes(), &route).unwrap().packet_ms, expected);
    }
}

#[test]
fn a_refusal_has_its_reason() {
    let offer = |lines: &str| format!("{SESSION}{lines}");
    check_refusal(&offer(""), Refusal::NoAudio, 304);
    check_refusal(&offer("m=video 4000 RTP/AVP 31\n"), Refusal::NoAudio, 304);
    check_refusal(&offer("m=audio 0 RTP/AVP 0\n"), Refusal::NoAudio, 304);
    check_refusal(&offer("m=audio 4000 RTP/AVP 9 18\n"), Refusal::Codec, 305);
    let events = "m=audio 4000 RTP/AVP 101\na=rtpmap:101 telephone-event/8000\n";
    check_refusal(&offer(events), Refusal::Codec, 305);
    let secure = "m=audio 4000 RTP/SAVP 0\nm=audio 4000 RTP/AVP 9\n";
    check_refusal(&offer(secure), Refusal::Encrypted, 302);
    check_refusal(&"x".repeat(BYTES_MAX + 1), Refusal::TooLong, 399);
    check_refusal(&offer(&"m=audio 0 RTP/AVP 0\n".repeat(LINES_MAX + 1)), Refusal::TooLong, 399);
    for (text, expected) in [
        ("", Refusal::Malformed),
        ("hello", Refusal::Malformed),
        ("s=-\nt=0 0\n", Refusal::Malformed),
        ("v=0\n", Refusal::NoAudio),
        ("v=0\nm=audio\n", Refusal::NoAudio),
        ("v=0\nm=audio 70000 RTP/AVP 0\n", Refusal::NoAudio),
    ] {
        let refusal = negotiation().answer(text.as_bytes(), &route).unwrap_err();
        assert_eq!(refusal, expected, "{text:?}: {refusal}");
    }
}

#[test]
fn a_version_rises_only_with_a_change() {
    let mut it = negotiation();
    let mut version = |lines: &str| {
        let answer = it.answer(format!("{SESSION}{lines}").as_bytes(), &route).map(|it| it.0);
        answer.map(|it| it.split(' ').nth(2).unwrap().parse::<u32>().unwrap())
    };
    let audio = "m=audio 4000 RTP/AVP 0\n";
    assert_eq!(version(audio), Ok(1));
    assert_eq!(version(audio), Ok(1), "a refresh");
    assert_eq!(version("m=audio 5000 RTP/AVP 0\n"), Ok(1), "only the far end has moved");
    assert_eq!(version(&format!("{audio}a=sendonly\n")), Ok(2), "a hold");
    assert_eq!(version("m=audio 4000 RTP/AVP 9\n"), Err(Refusal::Codec));
    assert_eq!(version(audio), Ok(3), "a resume");
    assert_eq!(version(&format!("{audio}m=video 0 RTP/AVP 31\n")), Ok(4));
}

#[test]
fn a_refused_offer_leaves_the_agreement_unchanged() {
    let mut it = negotiation();
    let offer = format!("{SESSION}m=audio 4000 RTP/AVP 0\n");
    let (answer, agreed) = it.answer(offer.as_bytes(), &route).unwrap();
    it.answer(b"v=0\n", &route).unwrap_err();
    assert_eq!(it.agreed(), Some(&agreed));
    assert_eq!(it.offer(), answer);
}

#[test]
fn we_offer_when_the_caller_does_not() {
    let mut it = negotiation();
    let offer = it.offer();
    let expected = "m=audio 20000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\n\
                    a=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\n\
                    a=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n";
    assert!(offer.ends_with(expected), "{offer}");
    assert_eq!(it.offer(), offer, "a repeated offer is equal");

    let answer = format!(
        "{SESSION}m=audio 4000 RTP/AVP 8 96\na=rtpmap:96 telephone-event/8000\na=sendonly\n"
    );
    let agreed = it.accept(answer.as_bytes(), &route).unwrap();
    assert_eq!((agreed.law, agreed.payload_type, agreed.events), (Law::A, 8, Some(96)));
    assert_eq!((agreed.direction, agreed.held), (MediaDirection::RecvOnly, true));
    let payloads = [8, 96, 101, 0].map(|it| agreed.payload(it));
    let (sound, events) = (Some(Payload::Sound(Law::A)), Some(Payload::Events));
    assert_eq!(payloads, [sound, events, events, None], "ours and theirs");
    assert_eq!(it.agreed(), Some(&agreed));
}

#[test]
fn an_answer_must_fit_its_offer() {
    let mut it = negotiation();
    it.offer();
    for (lines, expected) in [
        ("", Refusal::Lines { offered: 1, answered: 0 }),
        ("m=audio 0 RTP/AVP 0\n", Refusal::NoAudio),
        ("m=audio 4000 RTP/AVP 9\n", Refusal::Codec),
        (
            "m=audio 4000 RTP/AVP 0\nm=audio 4000 RTP/AVP 0\n",
            Refusal::Lines { offered: 1, answered: 2 },
        ),
    ] {
        let answer = format!("{SESSION}{lines}");
        assert_eq!(it.accept(answer.as_bytes(), &route), Err(expected), "{lines}");
    }
    assert_eq!(it.agreed(), None);
}

#[test]
fn our_offers_and_theirs_may_alternate() {
    let mut it = negotiation();
    let theirs = format!("{SESSION}m=video 4002 RTP/AVP 31\nm=audio 4000 RTP/AVP 8\n");
    let (answer, _) = it.answer(theirs.as_bytes(), &route).unwrap();
    assert_eq!(it.offer(), answer, "our refresh repeats the agreement");
    let agreed = it.accept(theirs.replace("4002", "0").as_bytes(), &route).unwrap();
    assert_eq!((agreed.law, agreed.direction), (Law::A, MediaDirection::SendRecv));
    let answer = theirs.replace("AVP 8", "AVP 0");
    assert_eq!(it.accept(answer.as_bytes(), &route), Err(Refusal::Codec), "not what was offered");
}
