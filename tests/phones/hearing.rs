//! Hearing in difficult cases: hold and resume, an unreachable address in the SDP, relayed keys.

use conflow::audio::tone::key_in;

use crate::{
    ear::hears,
    leg::{Leg, LegOptions},
    program::{Conflow, beside_others},
};

const ROOM: [(&str, &str); 1] = [(
    "room",
    "<Response><Conference stayAlone=\"true\" relayDTMF=\"true\">room</Conference></Response>",
)];

/// An address for documentation (RFC 5737): no host has it.
const NOWHERE: &str = "203.0.113.7";

const ANNA: f64 = 500.0;
const BERT: f64 = 1_100.0;

fn talking(tone: f64) -> LegOptions {
    LegOptions { tone: Some(tone), ..LegOptions::default() }
}

/// Whether the listener hears a tone, once packets in transit have arrived.
#[track_caller]
fn hears_now(listener: &Leg, tone: f64) -> bool {
    listener.hear(300);
    hears(listener.user, &listener.hear(600), tone)
}

#[test]
fn a_holding_phone_is_not_heard_and_hears_again_once_back() {
    let _share = beside_others();
    let conflow = Conflow::start(&ROOM);
    let mut anna = Leg::call(conflow.sip, "room", "anna", talking(ANNA));
    let bert = Leg::call(conflow.sip, "room", "bert", talking(BERT));
    assert!(hears_now(&anna, BERT) && hears_now(&bert, ANNA));

    let answer = anna.invite("sendonly");
    assert!(answer.contains("a=recvonly"), "{answer}");
    assert!(!hears_now(&bert, ANNA), "a holding phone is not heard");
    let before = anna.sounds();
    bert.hear(200);
    assert_eq!(anna.sounds().len(), before.len(), "a holding phone is sent nothing");

    let answer = anna.invite("sendrecv");
    assert!(answer.contains("a=sendrecv"), "{answer}");
    assert!(hears_now(&anna, BERT) && hears_now(&bert, ANNA));
    let sounds = anna.sounds();
    let [last, next] = [&sounds[before.len() - 1], &sounds[before.len()]];
    assert_eq!(next.ssrc, last.ssrc, "the same stream continues");
    assert_eq!(next.sequence, last.sequence.wrapping_add(1));
    let away = next.timestamp.wrapping_sub(last.timestamp);
    assert!((160 * 30..8_000 * 60).contains(&away), "its timestamps have advanced: {away}");
}

#[test]
fn a_phone_behind_nat_whose_description_names_another_address_hears_and_is_heard() {
    let _share = beside_others();
    let conflow = Conflow::start(&ROOM);
    let anna =
        Leg::call(conflow.sip, "room", "anna", LegOptions { sdp: Some(NOWHERE), ..talking(ANNA) });
    let bert = Leg::call(conflow.sip, "room", "bert", talking(BERT));
    assert!(hears_now(&anna, BERT), "it hears");
    assert!(hears_now(&bert, ANNA), "it is heard");
}

#[test]
fn a_key_is_relayed_as_a_tone_and_the_presser_hears_none() {
    let _share = beside_others();
    let conflow = Conflow::start(&ROOM);
    let anna = Leg::call(conflow.sip, "room", "anna", LegOptions::default());
    let bert = Leg::call(conflow.sip, "room", "bert", LegOptions::default());
    let _both = conflow.wait_members("room", ["anna", "bert"]);
    let from = [&anna, &bert].map(|it| it.sounds().len());
    anna.press('7');
    bert.hear(1_000);
    let keys = [&anna, &bert].map(Leg::sounds).into_iter().zip(from).map(|(sounds, from)| {
        let heard: Vec<i16> = sounds[from..].iter().flat_map(|it| it.samples.clone()).collect();
        let mut keys: Vec<char> =
            heard.chunks_exact(400).filter_map(|it| key_in(it, 8_000)).collect();
        keys.dedup();
        keys
    });
    assert_eq!(keys.collect::<Vec<_>>(), [vec![], vec!['7']]);
}
