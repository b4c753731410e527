//! People who are dialled: three at once, of whom one confirms; and one into a conference where others
//! talk, who is kicked there.

use serde_json::{Value, json};

use crate::{
    baresip::{Baresip, samples},
    called::ARRIVE_MS,
    callee::Callee,
    ear::{has_tone, hears},
    leg::{Leg, LegOptions},
    program::{Conflow, beside_others, eventually},
    web::{Server, wait_for_tone},
};

/// What the phones send, and what the flows play.
const ANNA: f64 = 500.0;
const BERT: f64 = 700.0;
const CARL: f64 = 1_100.0;
const ERNA: f64 = 900.0;
const FRED: f64 = 1_300.0;
const GINA: f64 = 1_500.0;
const CONFIRM: f64 = 1_900.0;
const NEXT: f64 = 2_300.0;
const GOODBYE: f64 = 2_700.0;

/// Registers a phone that answers by itself.
fn answering(conflow: &Conflow, user: &'static str, tone: f64) -> Baresip {
    let account = "regint=60;answermode=auto";
    let phone = Baresip::start(conflow.sip, "udp", user, tone, account, "");
    phone.wait_for("{0/UDP/v4} 200 OK");
    phone
}

#[track_caller]
fn wait_until_heard(phone: &Baresip, tone: f64) {
    eventually(&format!("{tone} Hz for {}", phone.user), || {
        has_tone(&phone.heard(), tone).then_some(())
    });
}

/// Whether a phone hears these tones from now on, once packets in transit have arrived.
#[track_caller]
fn hears_now<const N: usize>(phone: &Baresip, tones: [f64; N]) -> [bool; N] {
    let heard = phone.listen(phone.received() + samples(ARRIVE_MS), 1_000);
    tones.map(|it| hears(phone.user, &heard, it))
}

/// Of three callees the first that presses the key is connected; the others stop. Later somebody is
/// dialled into a room where others talk, is kicked, and hears the next document.
#[test]
fn one_of_three_confirms_and_somebody_is_dialled_into_a_room_and_kicked() {
    let _share = beside_others();
    let web = Server::start();
    let play = |tone: f64| format!("<Play>{}</Play>", web.url(&format!("{tone}.wav")));
    let flows = [
        (
            "dial",
            format!(
                "<Response><Dial confirmSound=\"flow:confirm\" confirmKey=\"1\"><User>bert</User>\
                 <User>carl</User><User>dora</User></Dial>{}</Response>",
                play(NEXT)
            ),
        ),
        ("confirm", format!("<Response>{}</Response>", play(CONFIRM))),
        (
            "room",
            "<Response><Conference stayAlone=\"true\" enterSound=\"\" exitSound=\"\">room\
             </Conference></Response>"
                .to_owned(),
        ),
        ("goodbye", format!("<Response>{}</Response>", play(GOODBYE))),
    ];
    let conflow = Conflow::start(&flows.each_ref().map(|(name, text)| (*name, text.as_str())));

    one_of_three_confirms(&conflow);
    one_is_dialled_into_a_room(&conflow);
}

fn one_of_three_confirms(conflow: &Conflow) {
    let bert = answering(conflow, "bert", BERT);
    let mut carl = answering(conflow, "carl", CARL);
    let dora = Callee::registered(conflow, "dora", "unanswered", "");
    let mut anna = Baresip::start(conflow.sip, "udp", "anna", ANNA, "regint=0", "");
    anna.tell("dial", &format!("sip:dial@{}", conflow.sip));

    // Both have answered, and are asked; nobody is connected.
    wait_until_heard(&bert, CONFIRM);
    wait_until_heard(&carl, CONFIRM);
    assert_eq!(hears_now(&carl, [ANNA, BERT]), [false; 2]);
    carl.tell("sndcode", "1");
    bert.wait_for("CALL_CLOSED");
    dora.ends_well("dora rings until carl has confirmed");
    anna.wait_for("CALL_ESTABLISHED");
    wait_until_heard(&anna, CARL);
    wait_until_heard(&carl, ANNA);
    assert_eq!(hears_now(&anna, [CARL, BERT, ANNA]), [true, false, false]);
    assert_eq!(hears_now(&carl, [ANNA, BERT, CARL]), [true, false, false]);

    carl.tell("hangup", "");
    anna.wait_for("CALL_CLOSED");
    assert!(has_tone(&anna.heard(), NEXT), "the next element");
}

fn one_is_dialled_into_a_room(conflow: &Conflow) {
    let talking = |tone| LegOptions { tone: Some(tone), ..LegOptions::default() };
    let erna = Leg::call(conflow.sip, "room", "erna", talking(ERNA));
    let fred = Leg::call(conflow.sip, "room", "fred", talking(FRED));
    wait_for_tone(&erna, FRED);
    wait_for_tone(&fred, ERNA);

    let gina = answering(conflow, "gina", GINA);
    let body = json!({
        "from": "4930555010",
        "to": format!("sip:gina@{}", conflow.sip),
        "on_exit_action_url": "flow:goodbye",
    });
    let path = "Conference/room/Member/";
    let (status, text) = conflow.ask("POST", "api/v1", path, &body.to_string());
    assert_eq!(status, 200, "{text}");
    let started: Value = serde_json::from_str(&text).unwrap();
    let member = started["calls"][0]["member_id"].as_str().unwrap();
    [ERNA, FRED].into_iter().for_each(|it| wait_until_heard(&gina, it));
    wait_for_tone(&erna, GINA);
    wait_for_tone(&fred, GINA);
    assert_eq!(hears_now(&gina, [ERNA, FRED, GINA]), [true, true, false]);

    conflow.order("POST", "room", &format!("Member/{member}/Kick/"));
    let from = gina.received() + samples(ARRIVE_MS);
    gina.wait_for("CALL_CLOSED");
    let after = &gina.heard()[from..];
    assert!(has_tone(after, GOODBYE), "the document after the room");
    for tone in [ERNA, FRED] {
        assert!(!hears("gina, kicked", after, tone), "{tone} Hz");
    }
    erna.hear(300);
    let heard = erna.hear(600);
    assert!(hears("erna", &heard, FRED) && !hears("erna", &heard, GINA), "the others talk on");
}
