//! How sharply a member is cut out of a room, judged packet by packet: by a kick of one, of a
//! list or of all, by `*`, by the room's time limit, and by the end of the room.

use crate::{
    ear::loudness,
    leg::{Leg, LegOptions, MARKS, RtpItem, Sound},
    program::{Conflow, beside_others},
};

/// The others' tone: high, where speech has little.
const TONE: f64 = 3_400.0;

/// Of the tone: of speech in a packet there is less at this frequency.
const IN_SPEECH_MAX: f64 = 0.06;

/// Of the tone, in silence.
const IN_SILENCE_MAX: f64 = 0.001;

/// A room, a second of nothing or no wait at all, and a goodbye.
fn flows() -> [(&'static str, &'static str); 5] {
    [
        ("talker", "<Response><Conference stayAlone=\"true\">room</Conference></Response>"),
        (
            "guest",
            "<Response><Conference stayAlone=\"true\" hangupOnStar=\"true\">room</Conference>\
             <Speak>You have been disconnected from the conference</Speak></Response>",
        ),
        (
            "pause",
            "<Response><Conference stayAlone=\"true\" hangupOnStar=\"true\">room</Conference>\
             <Wait length=\"1\"/>\
             <Speak>You have been disconnected from the conference</Speak></Response>",
        ),
        (
            "host",
            "<Response><Conference stayAlone=\"true\" endConferenceOnExit=\"true\">room\
             </Conference></Response>",
        ),
        (
            "short",
            "<Response><Conference stayAlone=\"true\" timeLimit=\"4\">room</Conference>\
             <Speak>You have been disconnected from the conference</Speak></Response>",
        ),
    ]
}

/// A listener who hears a talker, in a room of a flow.
struct Scene {
    listener: Leg,
    talker: Leg,
    listener_id: String,
    talker_id: String,
    conflow: Conflow,
}

impl Scene {
    fn begin(listener: &'static str, talker: &'static str) -> Self {
        let conflow = Conflow::start(&flows());
        let options = LegOptions { tone: Some(TONE), ..LegOptions::default() };
        let talker = Leg::call(conflow.sip, talker, "tina", options);
        let [_] = conflow.wait_members("room", ["tina"]);
        let listener = Leg::call(conflow.sip, listener, "lena", LegOptions::default());
        let [listener_id, talker_id] = conflow.wait_members("room", ["lena", "tina"]);
        let scene = Self { listener, talker, listener_id, talker_id, conflow };
        scene.wait_for_tone();
        scene
    }

    /// Until the talker has been heard for some time.
    fn wait_for_tone(&self) {
        let heard = self.listener.hear(1_000);
        assert!(crate::ear::hears("lena", &heard[4_000..], TONE), "before the cut");
    }

    /// The order goes out and is answered, with marks around it.
    fn order(&self, method: &str, path: &str) {
        self.listener.mark("ordered");
        self.conflow.order(method, "room", path);
        self.listener.mark("answered");
    }
}

/// The packets before the order, between it and the answer, and after it.
fn split_at_marks(received: Vec<RtpItem>) -> [Vec<Sound>; 3] {
    let (mut parts, mut at) = ([const { Vec::new() }; 3], 0);
    for it in received {
        match it {
            RtpItem::Sound(sound) => parts[at].push(sound),
            RtpItem::Mark(mark) => {
                assert_eq!(mark, MARKS[at]);
                at += 1;
            }
        }
    }
    parts
}

/// A stream from the first packet to the last: one source, no gap, no step.
#[track_caller]
fn check_stream(sounds: &[Sound]) {
    for pair in sounds.windows(2) {
        let [one, next] = pair else { unreachable!() };
        assert_eq!(next.ssrc, one.ssrc);
        assert_eq!(next.sequence, one.sequence.wrapping_add(1));
        assert_eq!(next.timestamp, one.timestamp.wrapping_add(160), "{}", next.sequence);
    }
}

/// From here on: no tone, then the goodbye, then the hang-up.
#[track_caller]
fn check_goodbye(leg: &Leg, after: &[Sound], tone_max: f64) {
    for (n, sound) in after.iter().enumerate() {
        let tone = sound.amplitude(TONE);
        // Speech of its own comes later than a second.
        let max = if n < 45 { tone_max } else { IN_SPEECH_MAX };
        assert!(tone < max, "packet {n} of {}: {tone}", after.len());
    }
    let samples: Vec<i16> = after.iter().flat_map(|it| it.samples.clone()).collect();
    assert!(16_000 < samples.len(), "a goodbye takes some seconds: {}", samples.len());
    assert!(0.02 < loudness(&samples), "{} hears {}", leg.user, loudness(&samples));
}

/// A cut that is ordered: nothing of the room after the answer, nor three ticks after the order.
#[track_caller]
fn check_order(listener: &'static str, method: &str, path: impl Fn(&Scene) -> String) {
    let _share = beside_others();
    let scene = Scene::begin(listener, "talker");
    scene.order(method, &path(&scene));
    scene.listener.wait_for("BYE");
    let received = scene.listener.received();
    check_stream(&scene.listener.sounds());
    let [before, between, after] = split_at_marks(received);
    let last = before.last().unwrap().timestamp;
    for sound in &between {
        let ticks = sound.timestamp.wrapping_sub(last) / 160;
        assert!(ticks <= 3 || sound.amplitude(TONE) < IN_SPEECH_MAX, "{ticks} ticks after");
    }
    let max = if listener == "pause" { IN_SILENCE_MAX } else { IN_SPEECH_MAX };
    check_goodbye(&scene.listener, &after, max);
}

#[test]
fn a_kicked_member_hears_nothing_of_the_room_once_the_kick_is_answered() {
    check_order("guest", "POST", |it| format!("Member/{}/Kick/", it.listener_id));
    check_order("pause", "POST", |it| format!("Member/{}/Kick/", it.listener_id));
}

#[test]
fn nor_does_who_is_kicked_in_a_list_or_with_all() {
    check_order("pause", "POST", |it| format!("Member/{},{}/Kick/", it.talker_id, it.listener_id));
    check_order("pause", "POST", |_| "Member/all/Kick/".to_owned());
}

/// A cut without an answer: when the tone has ended, it has ended.
#[track_caller]
fn check_cut(listener: &'static str, talker: &'static str, cut: impl Fn(&Scene)) {
    let _share = beside_others();
    let scene = Scene::begin(listener, talker);
    cut(&scene);
    scene.listener.wait_for("BYE");
    let sounds = scene.listener.sounds();
    check_stream(&sounds);
    let last = sounds.iter().rposition(|it| IN_SPEECH_MAX < it.amplitude(TONE)).unwrap();
    let (until, after) = sounds.split_at(last + 1);
    // It was there all the time until then.
    let tone = &until[until.len() - 25..until.len() - 1];
    assert!(tone.iter().all(|it| 0.2 < it.amplitude(TONE)));
    check_goodbye(&scene.listener, after, IN_SPEECH_MAX);
}

#[test]
fn a_star_takes_the_one_who_presses_it_out() {
    check_cut("guest", "talker", |it| {
        it.listener.press('*');
        let [_] = it.conflow.wait_members("room", ["tina"]);
    });
}

#[test]
fn the_time_limit_takes_all_out() {
    check_cut("short", "talker", |it| {
        it.talker.wait_for("BYE");
        assert!(it.conflow.members("room").is_empty());
    });
}

#[test]
fn who_ends_the_conference_on_leaving_takes_all_out() {
    check_cut("guest", "host", |it| {
        it.order("POST", &format!("Member/{}/Kick/", it.talker_id));
    });
}
