//! Media properties: network input of the RTP engine, for a fuzzer, and for the mutation test that
//! runs with every build. Nothing may panic, whatever the bytes.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use conflow::{
    audio::{
        dtmf,
        jitter::{Jitter, PACKET_MAX, Pulled, Pushed},
    },
    rtp::{
        g711::Law,
        latching::RtpSource,
        packet::{Packet, ReceptionStats, RtpStream, is_rtcp},
        rtcp::{REPORT_MAX, RtcpSession},
        sdp::{BYTES_MAX, LocalMedia, Negotiation},
    },
};

/// The bytes are an offer, and then an answer to an offer of ours.
pub(crate) fn sdp(bytes: &[u8]) {
    let local = LocalMedia { address: [198, 51, 100, 1].into(), port: 20_000, session: 1 };
    let route = |named: Option<IpAddr>| named.unwrap_or_else(|| [192, 0, 2, 1].into());
    let mut negotiation = Negotiation::new(local);
    if let Ok((answer, agreed)) = negotiation.answer(bytes, &route) {
        assert!(bytes.len() <= BYTES_MAX);
        assert!(answer.len() <= bytes.len() + 1_024, "an answer is hardly longer than its offer");
        assert!(agreed.payload(agreed.payload_type).is_some());
        assert!(agreed.events.is_none_or(|it| agreed.payload(it).is_some()));
        assert!(agreed.remote.is_none_or(|it| it.port() != 0 && !it.ip().is_multicast()));
        assert!(agreed.remote.is_some() || !agreed.direction.sends());
        // We understand our own answer.
        let mut far_end = Negotiation::new(local);
        let (_, again) =
            far_end.answer(answer.as_bytes(), &route).expect("an answer of ours is SDP");
        assert_eq!((again.law, again.payload_type), (agreed.law, agreed.payload_type));
        assert_eq!(again.rtcp_mux, agreed.rtcp_mux);
    }
    let mut negotiation = Negotiation::new(local);
    negotiation.offer();
    if let Ok(agreed) = negotiation.accept(bytes, &route) {
        assert!(agreed.payload(agreed.payload_type).is_some());
    }
}

/// The datagrams of one leg. Each is preceded by its length in two bytes; a length above 0x8000 is
/// a tick.
pub(crate) fn datagrams(start: Instant, mut bytes: &[u8]) {
    let hosts = [[192, 0, 2, 7].into(), [192, 0, 2, 1].into()];
    let mut source = RtpSource::new(start, ([192, 0, 2, 7], 4_000).into(), hosts);
    let (mut jitter, mut received) = (Jitter::default(), ReceptionStats::default());
    let (mut receiver, mut control) = (dtmf::DtmfReceiver::default(), RtcpSession::new("x"));
    let mut ticks = 0;
    while let Some(([high, low], rest)) = bytes.split_first_chunk() {
        if 0x80 <= *high {
            ticks += 1;
            if let Pulled::Frame(law, frame) | Pulled::Concealed(law, frame) = jitter.pull() {
                assert!(law.level(frame) <= 127);
            }
            bytes = rest;
            continue;
        }
        let len = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        let (datagram, rest) = rest.split_at(len);
        bytes = rest;
        let now = start + Duration::from_millis(20 * ticks);
        if is_rtcp(datagram) {
            source.receive_rtcp(now, ([192, 0, 2, 1], 4_001).into());
            rtcp(&mut control, datagram);
        } else if let Ok(packet) = Packet::parse(datagram) {
            source.receive(now, ([192, 0, 2, 1], packet.sequence).into(), &packet);
            same_again(&packet);
            received.count(&packet, 160 * ticks as u32);
            if let Some(key) = receiver.receive(&packet) {
                assert!("0123456789*#ABCD".contains(key));
            }
            let pushed = jitter.push(&packet, Law::Mu);
            assert!(pushed != Pushed::Kept || packet.payload.len() <= PACKET_MAX);
        }
    }
    let quality = received.quality();
    let stream = RtpStream::new(1, 0, 0);
    let mut out = [0; REPORT_MAX];
    let len = control.compose(0, &stream, &mut received, true, &mut out);
    assert!(len.is_some_and(|len| is_rtcp(&out[..len]) && len % 4 == 0));
    assert!(received.quality() == quality);
}

fn rtcp(control: &mut RtcpSession, datagram: &[u8]) {
    let before = control.far_end_report();
    match control.receive(1 << 40, 1, datagram) {
        Ok(received) => {
            assert!(received.far_end_report.is_none() || control.far_end_report().is_some());
        }
        Err(_) => assert!(control.far_end_report() == before, "a broken report changes nothing"),
    }
}

fn same_again(packet: &Packet<'_>) {
    let mut out = [0; 2_048];
    if let Some(len) = packet.write(&mut out) {
        assert_eq!(Packet::parse(&out[..len]), Ok(*packet));
    }
}
