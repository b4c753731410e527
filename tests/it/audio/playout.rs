//! Playout: what one leg hears under each kind of order.

use std::{sync::Arc, time::Duration};

use conflow::{
    audio::{
        cursor::{SoundLookup, SoundState},
        mix::{self, Mixer, Slot},
        playout::{
            self, ANNOUNCEMENTS_MAX, DtmfMode, OutgoingAudio, Playout, RELAYS_MAX, SENDS_MAX,
        },
        tone::{Tones, key_in},
    },
    media::{AnnouncementAddress, AnnouncementKind, MemberAudio, Program, Sound, SoundKind},
    rtp::g711::FRAME,
};

/// `flow:LxN` is N ticks of samples with the value L. Some other sounds load late, some never.
struct TestSounds {
    tones: Tones,
    has_come: bool,
}

impl SoundLookup for TestSounds {
    fn find(&mut self, what: &SoundKind) -> SoundState {
        let SoundKind::Url(url) = what else { return SoundState::Failed };
        let Some(name) = url.strip_prefix("flow:") else { return SoundState::Failed };
        let (level, ticks) = name.split_once('x').unwrap();
        let ticks: f64 = ticks.trim_end_matches('?').parse().unwrap();
        match name.ends_with('?') && !self.has_come {
            true => SoundState::Loading,
            false => {
                let len = (ticks * FRAME as f64) as usize;
                SoundState::Ready(vec![level.parse().unwrap(); len].into())
            }
        }
    }

    fn key(&mut self, key: char) -> Option<Arc<[i16]>> {
        self.tones.key(key).cloned()
    }
}

/// A leg, and a room in which one other leg constantly sends the sample 1,000.
struct PlayoutLeg {
    playout: Playout,
    sounds: TestSounds,
    mixer: Mixer,
    slot: Slot,
    other: Slot,
    is_in: bool,
    over: Vec<u32>,
    /// Samples sent since the last look.
    samples: Vec<i16>,
    events: Vec<(u8, bool, bool, u16)>,
}

const ROOM: i16 = 1_000;

impl PlayoutLeg {
    fn new(keys: DtmfMode) -> Self {
        let mut mixer = Mixer::new(mix::Settings::default());
        let (slot, other) = (mixer.add(), mixer.add());
        Self {
            playout: Playout::new(playout::Settings { rate: 8_000, dtmf_mode: keys }),
            sounds: TestSounds { tones: Tones::new(8_000), has_come: false },
            mixer,
            slot,
            other,
            is_in: false,
            over: Vec::new(),
            samples: Vec::new(),
            events: Vec::new(),
        }
    }

    fn in_room() -> Self {
        let mut leg = Self::new(DtmfMode::Events);
        leg.place(MemberAudio::Room);
        leg.heard(3);
        leg
    }

    fn place(&mut self, hears: MemberAudio) {
        self.is_in = true;
        self.mixer.flags(self.slot).waiting = matches!(hears, MemberAudio::Wait(_));
        self.playout.place(hears);
    }

    fn remove(&mut self) {
        self.is_in = false;
        self.playout.remove();
    }

    fn relay(&mut self, key: char) {
        self.playout.relay(key, &mut self.sounds).unwrap();
    }

    /// Runs one tick and returns what the leg sent.
    fn tick(&mut self) -> OutgoingAudio {
        let mut out = [0x55; FRAME];
        self.mixer.put_samples(self.other, &[ROOM; FRAME]);
        self.mixer.mix(&mut Vec::new());
        let mut leg_mix = self.is_in.then(|| self.mixer.leg_mix(self.slot));
        let outgoing =
            self.playout.tick(leg_mix.as_mut(), &mut self.sounds, &mut out, &mut self.over);
        match outgoing {
            OutgoingAudio::Room => out.copy_from_slice(leg_mix.unwrap().samples()),
            OutgoingAudio::Samples => (),
            OutgoingAudio::Silence => out.fill(0),
            OutgoingAudio::Event(update) => {
                let it = update.event;
                self.events.push((it.code, update.marker, it.end, it.duration));
                out.fill(0);
            }
        }
        self.samples.extend(out);
        outgoing
    }

    /// What is heard in each tick, taken from the samples after the fade; `*` is a mixture.
    fn heard(&mut self, ticks: usize) -> String {
        self.samples.clear();
        (0..ticks).for_each(|_| _ = self.tick());
        let frames = self.samples.chunks(FRAME).map(|frame| {
            let middle = &frame[40..];
            match middle.iter().all(|it| *it == middle[0]) {
                false => "*".to_owned(),
                true => middle[0].to_string(),
            }
        });
        frames.collect::<Vec<_>>().join(" ")
    }

    /// The largest step between adjacent samples since the last look.
    fn step(&self) -> u16 {
        self.samples.windows(2).map(|it| it[0].abs_diff(it[1])).max().unwrap()
    }
}

fn program(urls: &[&str]) -> Program {
    urls.iter().map(|url| Sound::from(SoundKind::Url((*url).into()))).collect()
}

fn address(kind: AnnouncementKind) -> Option<Arc<AnnouncementAddress>> {
    Some(Arc::new(AnnouncementAddress { kind, members: None }))
}

#[test]
fn a_program_is_played_and_its_end_is_reported_with_its_last_frame() {
    let mut leg = PlayoutLeg::new(DtmfMode::Events);
    assert_eq!(leg.tick(), OutgoingAudio::Silence);
    let pause = Sound::from(SoundKind::Silence(Duration::from_millis(40)));
    let sounds = [program(&["flow:7x2"]).to_vec(), vec![pause]].concat();
    leg.playout.play(4, sounds.into());
    assert_eq!((leg.heard(3), leg.over.clone()), ("7 7 0".to_owned(), vec![]));
    assert_eq!((leg.heard(2), leg.over.clone()), ("0 0".to_owned(), vec![4]));
    leg.playout.play(5, program(&[]));
    assert_eq!((leg.heard(2), leg.over.clone()), ("0 0".to_owned(), vec![4, 5]));
}

#[test]
fn a_program_that_is_stopped_or_replaced_ends_unreported_and_without_a_click() {
    let mut leg = PlayoutLeg::new(DtmfMode::Events);
    leg.playout.play(1, program(&["flow:8000x9"]));
    leg.heard(2);
    leg.playout.play(2, program(&["flow:-8000x9"]));
    assert_eq!(leg.heard(2), "-8000 -8000");
    assert_eq!(leg.samples[0], -8_000 + 7_800, "a fade leads to it");
    leg.playout.stop();
    assert_eq!(leg.heard(3), "0 0 0");
    assert!(leg.step() <= 200);
    assert_eq!(leg.tick(), OutgoingAudio::Silence);
    leg.playout.stop();
    assert!(leg.over.is_empty());
}

#[test]
fn a_sound_that_is_still_loading_is_silence() {
    let mut leg = PlayoutLeg::new(DtmfMode::Events);
    leg.playout.play(1, program(&["gone", "flow:5x1", "flow:7x1?"]));
    assert_eq!(leg.heard(4), "5 0 0 0");
    leg.sounds.has_come = true;
    assert_eq!((leg.heard(2), leg.over), ("7 0".to_owned(), vec![1]));
}

#[test]
fn the_room_is_heard_unchanged() {
    let mut leg = PlayoutLeg::in_room();
    assert_eq!(leg.tick(), OutgoingAudio::Room);
    assert_eq!(leg.heard(2), "1000 1000");
    leg.mixer.flags(leg.slot).deaf = true;
    assert_eq!(leg.heard(2), "0 0");
    assert!(leg.step() <= 26, "deafened without a click");
    assert_eq!(leg.tick(), OutgoingAudio::Silence);
    leg.mixer.flags(leg.slot).deaf = false;
    assert_eq!(leg.heard(1), "1000");
}

#[test]
fn a_waiting_member_hears_the_wait_sound_in_a_loop_and_nobody_else() {
    let mut leg = PlayoutLeg::new(DtmfMode::Events);
    leg.playout.play(1, program(&["flow:9x99"]));
    leg.heard(1);
    leg.place(MemberAudio::Wait(Some(program(&["flow:3x1", "flow:4x1"]))));
    assert_eq!((leg.heard(5), leg.over.clone()), ("3 4 3 4 3".to_owned(), vec![]));
    leg.playout.announce(None, program(&["flow:8x1"])).unwrap();
    assert_eq!(leg.heard(3), "8 4 3", "interrupted, then continued");
    leg.place(MemberAudio::Wait(None));
    assert_eq!(leg.heard(1), "0");
    leg.place(MemberAudio::Room);
    assert_eq!(leg.heard(2), "1000 1000");
}

#[test]
fn announcements_are_heard_over_the_room_one_after_another() {
    let mut leg = PlayoutLeg::in_room();
    leg.playout.announce(None, program(&["flow:5x2"])).unwrap();
    leg.playout.announce(None, program(&["flow:6x1.5"])).unwrap();
    assert_eq!(leg.heard(5), "5 5 6 * 1000");
    let back = &leg.samples[4 * FRAME..][..41];
    assert!(back.is_sorted() && back[0] == 0 && back[40] == ROOM, "it fades in: {back:?}");
    assert_eq!(leg.tick(), OutgoingAudio::Room);
    leg.mixer.flags(leg.slot).deaf = true;
    leg.playout.announce(None, program(&["flow:5x1"])).unwrap();
    assert_eq!(leg.heard(2), "5 0", "deaf legs hear it as well");
}

#[test]
fn the_room_is_heard_until_an_announcement_has_loaded() {
    let mut leg = PlayoutLeg::in_room();
    leg.playout.announce(None, program(&["flow:5x1?", "gone"])).unwrap();
    leg.playout.announce(None, program(&["flow:6x1"])).unwrap();
    assert_eq!(leg.heard(2), "1000 1000");
    leg.sounds.has_come = true;
    assert_eq!(leg.heard(3), "5 6 1000");
}

#[test]
fn a_stop_ends_every_announcement_of_its_address_and_no_other() {
    let (play, speak) = (AnnouncementKind::Play, AnnouncementKind::Speak);
    let mut leg = PlayoutLeg::in_room();
    for (address, url) in [
        (address(play), "flow:3x2"),
        (address(speak), "flow:4x2"),
        (None, "flow:5x1"),
        (address(play), "flow:6x2"),
    ] {
        leg.playout.announce(address, program(&[url])).unwrap();
    }
    assert_eq!(leg.heard(1), "3");
    leg.playout.hush(&address(play).unwrap());
    assert_eq!(leg.heard(4), "4 4 5 1000");
    leg.playout.hush(&address(speak).unwrap());
    let members = Some(vec![]);
    leg.playout.announce(address(speak), program(&["flow:4x2"])).unwrap();
    leg.playout.hush(&AnnouncementAddress { kind: speak, members });
    assert_eq!(leg.heard(3), "4 4 1000", "the address must be equal");
}

#[test]
fn a_removed_leg_hears_nothing_of_the_room_from_the_next_tick_on() {
    let mut leg = PlayoutLeg::in_room();
    leg.heard(1);
    leg.remove();
    leg.playout.play(3, program(&["flow:50x2"]));
    let before = leg.samples.clone();
    assert_eq!(leg.heard(3), "50 50 0");
    assert_eq!(before.last(), Some(&ROOM));
    let rest: Vec<i16> = (0..40).map(|at| 50 + ROOM / 40 * (39 - at)).collect();
    assert_eq!(leg.samples[..40], rest);
    assert_eq!(leg.over, [3]);
}

#[test]
fn the_private_sounds_of_a_room_do_not_outlive_it() {
    let mut leg = PlayoutLeg::in_room();
    leg.playout.announce(None, program(&["flow:5x9"])).unwrap();
    leg.playout.announce(None, program(&["flow:6x9"])).unwrap();
    leg.relay('5');
    leg.heard(1);
    let key = *leg.samples.last().unwrap();
    assert!(1_000 < key.unsigned_abs(), "{key}");
    leg.remove();
    assert_eq!(leg.heard(2), "0 0");
    assert!(key.abs_diff(leg.samples[0]) <= key.unsigned_abs() / 40 + 1, "the key fades, too");
    leg.place(MemberAudio::Room);
    assert_eq!(leg.heard(1), "1000");
    leg.remove();
    leg.place(MemberAudio::Room);
    assert_eq!(leg.tick(), OutgoingAudio::Samples, "it may move to another room in between");
}

#[test]
fn relayed_keys_are_heard_over_everything() {
    let mut leg = PlayoutLeg::in_room();
    leg.relay('5');
    leg.relay('x');
    assert_eq!(leg.heard(6), "* * * * * 1000");
    assert_eq!(key_in(&leg.samples[..5 * FRAME], 8_000), Some('5'));
    let mean: i32 = leg.samples[..800].iter().map(|it| i32::from(*it)).sum::<i32>() / 800;
    assert!((990..1_010).contains(&mean), "the room continues below: {mean}");
    leg.remove();
    leg.heard(2);
    leg.relay('#');
    leg.heard(5);
    assert_eq!(key_in(&leg.samples, 8_000), Some('#'), "in silence too");
}

#[test]
fn keys_are_sent_as_events_with_pauses_and_the_end_is_reported() {
    let mut leg = PlayoutLeg::in_room();
    leg.playout.send_digits(8, "1w?#".into()).unwrap();
    leg.heard(10);
    let press = |code| -> Vec<_> {
        (1..=7).map(|at: u16| (code, at == 1, 5 <= at, at.min(5) * 160)).collect()
    };
    assert_eq!(leg.events, press(1));
    let pause = leg.heard(25);
    assert_eq!(pause, vec!["1000"; 25].join(" "), "half a second of the room");
    leg.events.clear();
    leg.heard(10);
    assert_eq!((&leg.events, &leg.over), (&press(11), &vec![]));
    assert_eq!(leg.heard(2), "1000 1000");
    assert_eq!(leg.over, [8]);
}

#[test]
fn keys_are_sent_as_tones_where_events_are_not_agreed_on() {
    let mut leg = PlayoutLeg::new(DtmfMode::Events);
    leg.playout.set_dtmf_mode(DtmfMode::Tones);
    leg.playout.play(1, program(&["flow:9x4"]));
    leg.heard(2);
    leg.playout.send_digits(2, "4".into()).unwrap();
    leg.playout.send_digits(3, "2".into()).unwrap();
    for key in ['4', '2'] {
        leg.heard(5);
        assert_eq!(key_in(&leg.samples, 8_000), Some(key));
        assert_eq!(leg.heard(5), "0 0 0 0 0");
    }
    assert_eq!(leg.heard(3), "9 9 0", "the program was paused");
    assert_eq!((leg.over, leg.events), (vec![2, 3, 1], vec![]));
}

#[test]
fn the_queue_is_bounded() {
    let mut leg = PlayoutLeg::in_room();
    for _ in 0..ANNOUNCEMENTS_MAX {
        leg.playout.announce(None, program(&["flow:5x1"])).unwrap();
    }
    assert!(leg.playout.announce(None, program(&["flow:5x1"])).is_err());
    (0..SENDS_MAX).for_each(|_| leg.playout.send_digits(1, "".into()).unwrap());
    assert!(leg.playout.send_digits(1, "".into()).is_err());
    (0..RELAYS_MAX).for_each(|_| leg.relay('1'));
    assert!(leg.playout.relay('1', &mut leg.sounds).is_err());
    leg.tick();
    assert_eq!(leg.over.len(), SENDS_MAX);
}

const PLAY: AnnouncementKind = AnnouncementKind::Play;
const SPEAK: AnnouncementKind = AnnouncementKind::Speak;
const TICK: Duration = Duration::from_millis(20);

#[test]
fn a_sound_played_over_a_call_alone_replaces_all_else() {
    let mut leg = PlayoutLeg::in_room();
    leg.playout.announce(None, program(&["flow:300x2"])).unwrap();
    leg.playout.play_over(PLAY, program(&["flow:500x3"]), false, None);
    assert_eq!(leg.heard(6), "500 500 500 300 300 1000");
    leg.playout.play_over(PLAY, program(&["flow:500x9"]), false, None);
    assert_eq!(leg.heard(2), "500 500");
    leg.playout.play_over(PLAY, program(&["flow:600x9"]), false, None);
    assert_eq!(leg.heard(1), "600", "it ends the earlier one");
    leg.remove();
    assert_eq!(leg.heard(1), "600", "it belongs to the call, not to the room");
    leg.playout.stop_over(SPEAK);
    assert_eq!(leg.heard(1), "600", "the other kind is stopped separately");
    leg.playout.stop_over(PLAY);
    assert_eq!(leg.heard(2), "0 0");
}

#[test]
fn a_mixed_sound_is_heard_with_everything_else() {
    let mut leg = PlayoutLeg::in_room();
    leg.playout.play_over(PLAY, program(&["flow:500x3"]), true, None);
    assert_eq!(leg.heard(4), "1500 1500 1500 1000");
    leg.playout.play_over(PLAY, program(&["flow:500x9"]), true, None);
    leg.playout.play_over(SPEAK, program(&["flow:200x2"]), true, None);
    assert_eq!(leg.heard(3), "1700 1700 1500", "a Play and a Speak");
    leg.playout.announce(None, program(&["flow:300x1"])).unwrap();
    assert_eq!(leg.heard(2), "800 1500", "with an announcement, in place of the room");
    leg.remove();
    assert_eq!(leg.heard(1), "500");
    leg.playout.play(1, program(&["flow:100x1"]));
    assert_eq!(leg.heard(2), "600 500");
    assert_eq!(leg.over, [1]);
    leg.playout.stop_over(PLAY);
    assert_eq!(leg.heard(2), "0 0");
    assert_eq!(leg.tick(), OutgoingAudio::Silence);

    leg.playout.play_over(PLAY, program(&["flow:32000x2"]), true, None);
    leg.playout.play_over(SPEAK, program(&["flow:32000x2"]), true, None);
    assert_eq!(leg.heard(1), "32767", "it does not wrap");
}

#[test]
fn a_late_sound_leaves_the_rest_unchanged_and_a_missing_one_is_over() {
    for mixes in [true, false] {
        let mut leg = PlayoutLeg::in_room();
        leg.playout.play_over(PLAY, program(&["flow:500x2?"]), mixes, Some(TICK));
        assert_eq!(leg.heard(2), "1000 1000", "mixed: {mixes}");
        leg.sounds.has_come = true;
        let heard = if mixes { "1500 1000" } else { "500 1000" };
        assert_eq!(leg.heard(2), heard, "its length counts from its first sound");
        leg.playout.play_over(PLAY, program(&["http://nowhere"]), mixes, None);
        assert_eq!(leg.heard(2), "1000 1000");
        assert_eq!(leg.tick(), OutgoingAudio::Room, "nothing is added");
    }
}

#[test]
fn a_sound_played_over_a_call_is_faded_out_at_its_length() {
    let (over_and_over, length) =
        (Sound { what: SoundKind::Url("flow:9000x1".into()), times: 0 }, 3);
    for mixes in [true, false] {
        let mut leg = PlayoutLeg::in_room();
        let program: Program = [over_and_over.clone()].into();
        leg.playout.play_over(PLAY, program, mixes, Some(length * TICK));
        let on = if mixes { "10000 10000 10000" } else { "9000 9000 9000" };
        assert_eq!(leg.heard(5), format!("{on} 1000 1000"));
        // It begins at once, as sounds do; the fade-out takes 40 samples.
        leg.samples.drain(..FRAME);
        assert!(leg.step() <= 9_000 / 40 + 1_000, "{}", leg.step());
        leg.playout.play_over(PLAY, [over_and_over.clone()].into(), mixes, None);
        leg.heard(2);
        leg.playout.stop_over(PLAY);
        leg.samples.drain(..2 * FRAME - 1);
        (0..2).for_each(|_| _ = leg.tick());
        assert!(leg.step() <= 9_000 / 40 + 1_000, "stopped: {}", leg.step());
    }
}
