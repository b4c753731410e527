//! SIP streams and line ends: where a message ends, over UDP and TCP.

use super::*;

/// RFC 3261, section 7 asks for CR LF.
#[tokio::test]
async fn bare_line_ends_are_read_over_udp_and_refused_over_tcp() {
    let mut harness = SipHarness::new();
    let (mut line, mut phone) = Connection::udp(harness.address()).await;
    let bare = |text: String| text.replace("\r\n", "\n");
    assert_eq!(brief(&line.ask(&bare(phone.request("OPTIONS", "", ""))).await), "200");
    let ok = line.ask(&bare(phone.invite())).await;
    assert_eq!(brief(&ok), "200");
    phone.learn(&ok);
    line.send(&bare(phone.ack())).await;
    let agree = "agree 127.0.0.1:40000 from 127.0.0.1";
    harness.expect(&["arrive sip:anna@127.0.0.1 weekly", agree]).await;

    let (mut line, mut phone) = Connection::tcp(harness.address()).await;
    let refused = line.ask(&bare(phone.request("OPTIONS", "", ""))).await;
    assert!(refused.starts_with("SIP/2.0 400 lines end in LF"), "{refused}");
    assert_eq!(line.receive().await, None, "the connection is closed");
    assert_eq!(harness.sip.losses().dropped(MessageDrop::Unreadable), 1);
}

#[tokio::test]
async fn a_stream_whose_framing_is_lost_is_answered_and_closed() {
    let harness = SipHarness::new();
    for (from, to, code) in [
        ("Content-Length: 0", "Content-Length: x".to_owned(), "400"),
        ("Content-Length: 0", "Content-Length: 9999999".to_owned(), "513"),
        ("Content-Length: 0", format!("X: {}\r\nContent-Length: 0", "x".repeat(40_000)), "513"),
    ] {
        let (mut line, mut phone) = Connection::tcp(harness.address()).await;
        let text = phone.request("OPTIONS", "", "").replace(from, &to);
        let refused = line.ask(&text).await;
        assert_eq!(brief(&refused), code, "{refused}");
        assert_eq!(header(&refused, "Call-ID"), Some(&*text).and_then(|it| header(it, "Call-ID")));
        assert_eq!(line.receive().await, None, "the connection is closed");
    }
}

#[tokio::test]
async fn a_stream_may_be_cut_anywhere_and_a_ping_gets_its_pong() {
    let harness = SipHarness::new();
    let (mut line, mut phone) = Connection::tcp(harness.address()).await;
    let text = phone.request("OPTIONS", "", "") + &phone.request("OPTIONS", "", "");
    for piece in text.as_bytes().chunks(7) {
        line.send(std::str::from_utf8(piece).unwrap()).await;
    }
    for _ in 0..2 {
        assert_eq!(brief(&line.receive().await.unwrap()), "200");
    }
    line.send("\r\n\r\n").await;
    let Connection::Tcp(stream, _) = &mut line else { unreachable!("the connection is TCP") };
    let mut pong = [0; 2];
    timeout(WAIT_MAX, stream.read_exact(&mut pong)).await.unwrap().unwrap();
    assert_eq!(&pong, b"\r\n");
}
