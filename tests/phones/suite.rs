//! Suite of scenarios for simulated and real phones: both hear the same, in the same order.

use std::time::Instant;

use conflow::{audio::tone::amplitude, rtp::g711::RATE};
use serde_json::Value;

use crate::{
    ear::loudness,
    leg::{Leg, LegOptions, Sound},
    program::{Conflow, beside_others, eventually},
};

/// A kind of sound, as a word.
type Word = &'static str;

/// One action or wait. Phones are named.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A phone calls a flow.
    Dial(&'static str, &'static str),
    /// Waits until the phone hears this.
    Hears(&'static str, Word),
    /// A request about a member: method, phone, action, body.
    Order(&'static str, &'static str, &'static str, &'static str),
    /// A phone presses a key.
    Press(&'static str, char),
    /// A phone hangs up.
    HangUp(&'static str),
    /// Waits until the engine has hung up.
    Over(&'static str),
}
use Step::{Dial, HangUp, Hears, Order, Over, Press};

const FLOWS: [(&str, &str); 4] = [
    (
        "room",
        "<Response><Speak>Welcome to the room.</Speak>\
         <Conference stayAlone=\"true\" hangupOnStar=\"true\" waitSound=\"sound:beep\" \
         enterSound=\"beep:1\" exitSound=\"beep:2\">room</Conference>\
         <Wait length=\"2\"/><Speak>You have left the room.</Speak></Response>",
    ),
    (
        "guest",
        "<Response><Conference stayAlone=\"true\" startConferenceOnEnter=\"false\" \
         waitSound=\"sound:beep\" enterSound=\"\">room</Conference><Speak>It is over.</Speak></Response>",
    ),
    (
        "host",
        "<Response><Conference stayAlone=\"true\" endConferenceOnExit=\"true\" \
         enterSound=\"\">room</Conference></Response>",
    ),
    (
        "digits",
        "<Response><Gather inputType=\"dtmf\" numDigits=\"1\" action=\"flow:host\" \
         executionTimeout=\"20\"><Speak>Press any key to enter the conference, or wait, and hear more of this.</Speak>\
         </Gather></Response>",
    ),
];

/// Name, steps, and what anna hears.
const SCENARIOS: [(&str, &[Step], &str); 6] = [
    (
        "a kick lets the flow continue",
        &[
            Dial("anna", "room"),
            Hears("anna", "wait"),
            Dial("bert", "room"),
            Hears("anna", "room"),
            Order("POST", "anna", "Kick", "{}"),
            Over("anna"),
        ],
        "speech beep wait beep room silence speech",
    ),
    (
        "so does the key *, and the other member hears a beep",
        &[
            Dial("anna", "room"),
            Hears("anna", "wait"),
            Dial("bert", "room"),
            Hears("anna", "room"),
            Press("bert", '*'),
            Hears("anna", "wait"),
            Press("anna", '*'),
            Over("anna"),
        ],
        "speech beep wait beep room beep wait silence speech",
    ),
    (
        "guests wait for the host, and leave with the host",
        &[
            Dial("anna", "guest"),
            Hears("anna", "wait"),
            Dial("bert", "host"),
            Hears("anna", "room"),
            HangUp("bert"),
            Over("anna"),
        ],
        "wait room speech",
    ),
    (
        "the deaf hear nothing until they hear again",
        &[
            Dial("anna", "host"),
            Dial("bert", "host"),
            Hears("anna", "room"),
            Order("POST", "anna", "Deaf", "{}"),
            Hears("anna", "silence"),
            Order("DELETE", "anna", "Deaf", ""),
            Hears("anna", "room"),
        ],
        "room silence room",
    ),
    (
        "an announcement is heard over the room",
        &[
            Dial("anna", "host"),
            Dial("bert", "host"),
            Hears("anna", "room"),
            Order("POST", "anna", "Speak", r#"{"text":"A word for Anna alone."}"#),
            Hears("anna", "speech"),
            Hears("anna", "room"),
        ],
        "room speech room",
    ),
    (
        "a key cuts a prompt off and leads on",
        &[
            Dial("bert", "host"),
            Dial("anna", "digits"),
            Hears("anna", "speech"),
            Press("anna", '5'),
            Hears("anna", "room"),
            HangUp("anna"),
        ],
        "speech room",
    ),
];

/// One kind of phone.
trait Phone: Sized {
    fn dial(conflow: &Conflow, name: &'static str, flow: &'static str) -> Self;
    fn press(&self, conflow: &Conflow, key: char);
    fn hang_up(&mut self, conflow: &Conflow);
    fn is_over(&self, conflow: &Conflow) -> bool;
    fn heard(&self, conflow: &Conflow) -> Vec<Word>;
}

/// A room or wait sound shorter than this is hidden by a beep or an announcement that begins with
/// it.
const BENEATH_MIN_MS: u64 = 20;

/// Shorter silence is a pause between words, or the time to generate a sound.
const SILENCE_MIN_MS: u64 = 1_200;

#[track_caller]
fn check<P: Phone>((name, steps, expected): (&str, &[Step], &str)) {
    let _share = beside_others();
    let conflow = Conflow::start(&FLOWS);
    let mut phones: Vec<(&str, P)> = Vec::new();
    for step in steps {
        let phone =
            |phones: &[(&str, P)], name: &str| phones.iter().position(|it| it.0 == name).unwrap();
        match *step {
            Dial(name, flow) => phones.push((name, P::dial(&conflow, name, flow))),
            Hears(name, word) => {
                let phone = &phones[phone(&phones, name)].1;
                eventually(&format!("{step:?}"), || {
                    (phone.heard(&conflow).last() == Some(&word)).then_some(())
                });
            }
            Order(method, name, action, body) => {
                let members = conflow.members("room");
                let id = &members.iter().find(|it| it.0 == name).unwrap().1;
                let path = format!("Conference/room/Member/{id}/{action}/");
                let (status, body) = conflow.ask(method, "api/v1", &path, body);
                assert!((200..300).contains(&status), "{step:?}: {status} {body}");
            }
            Press(name, key) => phones[phone(&phones, name)].1.press(&conflow, key),
            HangUp(name) => {
                let at = phone(&phones, name);
                phones[at].1.hang_up(&conflow);
            }
            Over(name) => {
                let phone = &phones[phone(&phones, name)].1;
                eventually(&format!("{step:?}"), || phone.is_over(&conflow).then_some(()));
            }
        }
    }
    let anna = &phones.iter().find(|it| it.0 == "anna").unwrap().1;
    assert_eq!(anna.heard(&conflow).join(" "), expected, "{name}");
}

/// A simulated phone: its call, and when it dialled.
struct Simulated(String, Instant);

impl Simulated {
    fn state(&self, conflow: &Conflow) -> Value {
        let (status, body) = conflow.ask("GET", "sim/v1", &format!("Phone/{}/", self.0), "");
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }
}

impl Phone for Simulated {
    fn dial(conflow: &Conflow, name: &'static str, flow: &'static str) -> Self {
        let body = serde_json::json!({ "to": flow, "from": name }).to_string();
        let (status, body) = conflow.ask("POST", "sim/v1", "Phone/", &body);
        assert_eq!(status, 201, "{body}");
        let dialled: Value = serde_json::from_str(&body).unwrap();
        Self(dialled["call_uuid"].as_str().unwrap().to_owned(), Instant::now())
    }

    fn press(&self, conflow: &Conflow, key: char) {
        let body = serde_json::json!({ "digits": key }).to_string();
        let (status, body) =
            conflow.ask("POST", "sim/v1", &format!("Phone/{}/Press/", self.0), &body);
        assert_eq!(status, 202, "{body}");
    }

    fn hang_up(&mut self, conflow: &Conflow) {
        let path = format!("Phone/{}/", self.0);
        assert_eq!(conflow.ask("DELETE", "sim/v1", &path, "").0, 204);
    }

    fn is_over(&self, conflow: &Conflow) -> bool {
        self.state(conflow)["state"] == "completed"
    }

    fn heard(&self, conflow: &Conflow) -> Vec<Word> {
        let state = self.state(conflow);
        let timeline = state["timeline"].as_array().unwrap();
        let heard = timeline.iter().filter_map(|it| {
            let word = ["beep", "room", "silence", "speech", "wait"]
                .into_iter()
                .find(|word| it["heard"] == *word)?;
            let to = it["to_ms"].as_u64().unwrap_or_else(|| self.1.elapsed().as_millis() as u64);
            let ms = to.saturating_sub(it["from_ms"].as_u64().unwrap());
            // A sound that is covered by another within a millisecond was not heard.
            let least = if word == "silence" { SILENCE_MIN_MS } else { BENEATH_MIN_MS };
            (["beep", "speech"].contains(&word) || least <= ms).then_some(word)
        });
        let mut heard: Vec<Word> = heard.collect();
        heard.dedup();
        heard
    }
}

impl Phone for Option<Leg> {
    fn dial(conflow: &Conflow, name: &'static str, flow: &'static str) -> Self {
        // So that there is something to hear in a room.
        let options = LegOptions { tone: Some(OTHERS), ..LegOptions::default() };
        Some(Leg::call(conflow.sip, flow, name, options))
    }

    fn press(&self, _: &Conflow, key: char) {
        self.as_ref().unwrap().press(key);
    }

    fn hang_up(&mut self, _: &Conflow) {
        self.as_mut().unwrap().hang_up();
    }

    fn is_over(&self, _: &Conflow) -> bool {
        self.as_ref().unwrap().is_over()
    }

    fn heard(&self, _: &Conflow) -> Vec<Word> {
        words(&self.as_ref().unwrap().sounds())
    }
}

/// The tone of the others in Hz: high, where speech and beeps have little energy.
const OTHERS: f64 = 3_400.0;

/// A piece shorter than this is the edge of another.
const PIECE_MIN: usize = 4;

/// The same limit in packets of 20 ms.
const SILENCE_MIN: usize = SILENCE_MIN_MS as usize / 20;

/// Classifies the packets, one word for each piece.
fn words(sounds: &[Sound]) -> Vec<Word> {
    let all: Vec<Word> = sounds.iter().map(word).collect();
    let mut words: Vec<Word> = Vec::new();
    for piece in all.chunk_by(|a, b| a == b) {
        let min = if piece[0] == "silence" { SILENCE_MIN } else { PIECE_MIN };
        if min <= piece.len() && words.last() != Some(&piece[0]) {
            words.push(piece[0]);
        }
    }
    words
}

/// Classifies a packet. The wait sound of [`FLOWS`] is a tone too.
fn word(sound: &Sound) -> Word {
    let has = |frequency| 0.04 < amplitude(&sound.samples, RATE, frequency);
    let loud = loudness(&sound.samples);
    // The loudness of a pure tone is its amplitude divided by √2; speech has only a part there.
    let is = |frequency| {
        let tone = amplitude(&sound.samples, RATE, frequency);
        0.04 < tone && loud * 1.2 < tone
    };
    match () {
        () if loud < 0.002 => "silence",
        () if is(1_000.0) => "wait",
        () if is(880.0) || is(660.0) => "beep",
        () if has(OTHERS) && (has(880.0) || has(660.0)) => "beep",
        () if is(OTHERS) => "room",
        () => "speech",
    }
}

#[test]
fn simulated_phones_hear_what_they_should() {
    SCENARIOS.into_iter().for_each(check::<Simulated>);
}

#[test]
fn real_phones_hear_the_same() {
    SCENARIOS.into_iter().for_each(check::<Option<Leg>>);
}
