//! Removal from a room, checked packet by packet: by a kick of one member, of a list or of all, by
//! `*`, by the room's time limit, and by the end of the room.

use crate::{
    ear::loudness,
    leg::{Leg, LegOptions, MARKS, RtpItem, Sound},
    program::{Conflow, beside_others},
};

/// The talker's tone in Hz: high, where speech has little energy.
const TONE: f64 = 3_400.0;

/// Amplitude at [`TONE`] in a packet of speech: less than this.
const IN_SPEECH_MAX: f64 = 0.06;

/// Amplitude at [`TONE`] in a silent packet.
const IN_SILENCE_MAX: f64 = 0.001;

/// A room, then a second of silence or nothing, and a goodbye.
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

/// A listener who hears a talker in the room of one of the flows.
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

    /// Waits until the talker has been heard for some time.
    fn wait_for_tone(&self) {
        let heard = self.listener.hear(1_000);
        assert!(crate::ear::hears("lena", &heard[4_000..], TONE), "before the cut");
    }

    /// Sends the request and waits for the response, with marks around both.
    fn order(&self, method: &str, path: &str) {
        self.listener.mark("ordered");
        self.conflow.order(method, "room", path);
        self.listener.mark("answered");
    }
}

/// The packets before the request, between it and the response, and after it.
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

/// Checks that the stream has one source, no gap and no step in its numbers.
#[track_caller]
fn check_stream(sounds: &[Sound]) {
    for pair in sounds.windows(2) {
        let [one, next] = pair else { unreachable!() };
        assert_eq!(next.ssrc, one.ssrc);
        assert_eq!(next.sequence, one.sequence.wrapping_add(1));
        assert_eq!(next.timestamp, one.timestamp.wrapping_add(160), "{}", next.sequence);
    }
}

/// Checks that from here on there is no tone, then the goodbye, then the hang-up.
#[track_caller]
fn check_goodbye(leg: &Leg, after: &[Sound], tone_max: f64) {
    for (n, sound) in after.iter().enumerate() {
        let tone = sound.amplitude(TONE);
        // The goodbye begins later than a second after the cut.
        let max = if n < 45 { tone_max } else { IN_SPEECH_MAX };
        assert!(tone < max, "packet {n} of {}: {tone}", after.len());
    }
    let samples: Vec<i16> = after.iter().flat_map(|it| it.samples.clone()).collect();
    assert!(16_000 < samples.len(), "a goodbye takes some seconds: {}", samples.len());
    assert!(0.02 < loudness(&samples), "{} hears {}", leg.user, loudness(&samples));
}

/// Checks a requested cut: nothing of the room after the response, nor three ticks after the
/// request.
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
fn members_kicked_in_a_list_or_with_all_hear_nothing_of_the_room_either() {
    check_order("pause", "POST", |it| format!("Member/{},{}/Kick/", it.talker_id, it.listener_id));
    check_order("pause", "POST", |_| "Member/all/Kick/".to_owned());
}

/// Checks a cut without a response: once the tone has ended, it does not come back.
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
fn a_star_removes_the_member_who_presses_it() {
    check_cut("guest", "talker", |it| {
        it.listener.press('*');
        let [_] = it.conflow.wait_members("room", ["tina"]);
    });
}

#[test]
fn the_time_limit_removes_all() {
    check_cut("short", "talker", |it| {
        it.talker.wait_for("BYE");
        assert!(it.conflow.members("room").is_empty());
    });
}

#[test]
fn a_member_who_ends_the_conference_on_exit_removes_all() {
    check_cut("guest", "host", |it| {
        it.order("POST", &format!("Member/{}/Kick/", it.talker_id));
    });
}
