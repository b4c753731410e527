//! One phone: each rule as a short life with its timeline and reports.

use std::fmt::Write;

use super::*;
use crate::{
    base::ids::Dialect,
    media::{
        ANNOUNCEMENTS_MAX, AnnouncementAddress, AnnouncementKind, HangupCause, HangupSource, Sound,
        SoundKind,
    },
    sim_phones::details::transcript,
};

const CALL: CallId = CallId::of(1);
const ROOM: RoomId = RoomId::of(1);
const OTHER: RoomId = RoomId::of(2);

#[test]
fn a_program_is_heard_sound_by_sound_and_its_end_is_reported() {
    check(&[(10, answer()), (10, play(7, &[say("Hello"), beep(), url("flow:a"), pause(50)]))])
        .hears("10-310 speech \"Hello\", 310-510 beep, 510-1510 sound flow:a, 1510- silence")
        .reports("1560 Finished(7)");
    check(&[(0, answer()), (0, play(1, &[say("äöü€")])), (0, stop()), (5, play(2, &[]))])
        .hears("0-0 speech \"äöü€\", 0- silence")
        .reports("5 Finished(2)");
    check(&[(0, answer()), (0, play(1, &[url("sound:beep"), url("sound:hold")]))])
        .hears("0-200 sound sound:beep, 200-1200 sound sound:hold, 1200- silence")
        .reports("1200 Finished(1)");
}

#[test]
fn a_sound_is_repeated_as_often_as_ordered() {
    let beeps = |times| Sound { times, ..beep() };
    check(&[(0, answer()), (0, play(1, &[beeps(2), url("x")]))])
        .hears("0-200 beep, 200-400 beep, 400-1400 sound x, 1400- silence")
        .reports("1400 Finished(1)");
    check(&[(0, answer()), (0, play(1, &[beeps(0), url("x")]))]).hears("0- beep").reports("");
    // A sound of zero length is heard once, however often it is repeated.
    check(&[(0, answer()), (0, play(1, &[Sound { times: u32::MAX, ..say("") }, beep()]))])
        .hears("0-0 speech \"\", 0-200 beep, 200- silence")
        .reports("200 Finished(1)");
}

#[test]
fn a_program_ends_the_one_before_and_a_place_ends_both_in_silence() {
    check(&[(0, answer()), (0, play(1, &[url("a")])), (100, play(2, &[url("b")]))])
        .hears("0-100 sound a, 100-1100 sound b, 1100- silence")
        .reports("1100 Finished(2)");
    check(&[(0, answer()), (0, play(1, &[url("a")])), (100, place(ROOM))])
        .hears("0-100 sound a, 100- room weekly")
        .reports("");
    check(&[(0, answer()), (0, play(1, &[url("a")])), (2_000, stop())])
        .hears("0-1000 sound a, 1000- silence")
        .reports("1000 Finished(1)");
}

#[test]
fn announcements_lie_over_the_room_and_wait_for_each_other() {
    let steps = [(0, answer()), (0, place(ROOM)), (0, beep_over(ROOM)), (5, announce("Hello"))];
    check(&steps).hears("0-200 beep, 200-500 speech \"Hello\", 500- room weekly").reports("");
    check(&[&steps[..], &[(300, remove(ROOM))]].concat())
        .hears("0-200 beep, 200-300 speech \"Hello\", 300- silence");
    check(&[(0, answer()), (0, place(OTHER)), (0, announce("Hello"))]).hears("0- room daily");
}

#[test]
fn an_enter_sound_that_plays_or_waits_is_not_queued_again() {
    let start = [(0, answer()), (0, place(ROOM)), (5, announce("Hello"))];
    let beeps = [(10, beep_over(ROOM)), (20, beep_over(ROOM)), (400, beep_over(ROOM))];
    check(&[&start[..], &beeps, &[(600, beep_over(ROOM))]].concat()).hears(
        "0-5 room weekly, 5-305 speech \"Hello\", 305-505 beep, 505-600 room weekly, \
         600-800 beep, 800- room weekly",
    );
}

#[test]
fn an_announcement_too_many_is_dropped() {
    let crowd = vec![(0, announce("12345")); ANNOUNCEMENTS_MAX + 3];
    let steps = [&[(0, answer()), (0, place(ROOM))], &crowd[..]].concat();
    let end = 300 * u32::try_from(ANNOUNCEMENTS_MAX).unwrap();
    let heard = transcript(&check(&steps).details().timeline);
    assert!(heard.ends_with(&format!("-{end} speech \"12345\", {end}- room weekly")), "{heard}");
}

#[test]
fn a_hush_takes_all_that_has_its_address_and_nothing_else() {
    let start = [(0, answer()), (0, place(ROOM)), (10, announce("Hello"))];
    let steps = |more: &[(u32, PhoneOrder)]| [&start[..], more].concat();

    check(&steps(&[(20, announce("World")), (30, hush(AnnouncementKind::Speak))]))
        .hears("0-10 room weekly, 10-30 speech \"Hello\", 30- room weekly");
    check(&steps(&[(20, beep_over(ROOM)), (30, hush(AnnouncementKind::Speak))]))
        .hears("0-10 room weekly, 10-30 speech \"Hello\", 30-230 beep, 230- room weekly");
    check(&steps(&[(20, beep_over(ROOM)), (30, hush(AnnouncementKind::Play))]))
        .hears("0-10 room weekly, 10-310 speech \"Hello\", 310-510 beep, 510- room weekly");
}

#[test]
fn a_wait_sound_needs_no_timer() {
    let wait = |sounds: &[Sound]| hears(ROOM, MemberAudio::Wait(Some(sounds.into())));
    let start = |order| check(&[(0, answer()), (0, order)]);

    start(wait(&[url("sound:hold"), say("Soon")]))
        .hears("0-1000 wait sound:hold, 1000-1240 wait \"Soon\", 1240- wait sound:hold")
        .sleeps();
    start(wait(&[pause(9), say("Soon")]))
        .hears("0-9 silence, 9-249 wait \"Soon\", 249- wait \"Soon\"")
        .sleeps();
    start(wait(&[beep()])).hears("0- wait").sleeps();
    start(wait(&[])).hears("0- silence").sleeps();
    start(hears(ROOM, MemberAudio::Wait(None))).hears("0- silence").sleeps();
    check(&[(0, answer()), (0, wait(&[url("a")])), (9, announce("Hi")), (400, place(ROOM))])
        .hears("0-9 wait a, 9-129 speech \"Hi\", 129-400 wait a, 400- room weekly")
        .sleeps();
}

#[test]
fn the_deaf_hear_announcements_and_the_wait_sound_but_not_the_room() {
    let deafen = |room, on| Audio(AudioOrder::Deafen { room, calls: vec![CALL], on });
    let start = [(0, answer()), (0, place(ROOM)), (10, deafen(ROOM, true))];
    let steps = |more: &[(u32, PhoneOrder)]| [&start[..], more].concat();

    check(&steps(&[(20, announce("Hi")), (200, deafen(ROOM, false))])).hears(
        "0-10 room weekly, 10-20 silence, 20-140 speech \"Hi\", 140-200 silence, \
         200- room weekly",
    );
    check(&steps(&[(20, place(ROOM))])).hears("0-10 room weekly, 10- silence");
    check(&steps(&[(20, deafen(OTHER, false))])).hears("0-10 room weekly, 10- silence");
    check(&steps(&[(20, hears(ROOM, MemberAudio::Wait(Some([url("a")].into()))))]))
        .hears("0-10 room weekly, 10-20 silence, 20- wait a");
    check(&steps(&[(20, remove(ROOM)), (20, place(ROOM))]))
        .hears("0-10 room weekly, 10-20 silence, 20- room weekly");
    check(&steps(&[(20, place(OTHER))])).hears("0-10 room weekly, 10-20 silence, 20- room daily");
}

#[test]
fn an_order_for_another_room_changes_nothing() {
    for order in [remove(OTHER), beep_over(OTHER), relay(OTHER, '5')] {
        check(&[(0, answer()), (0, place(ROOM)), (10, order)]).hears("0- room weekly");
    }
    check(&[(0, answer()), (0, place(ROOM)), (5, announce("Hello")), (9, place(OTHER))])
        .hears("0-5 room weekly, 5-9 speech \"Hello\", 9- room daily");
}

#[test]
fn keys_are_heard_as_tones() {
    let send = |digits: &str| {
        Audio(AudioOrder::SendDigits { call: CALL, number: 3, digits: digits.into() })
    };
    check(&[(0, answer()), (0, send("1wW#"))])
        .hears("0-100 sound dtmf:1, 100-1600 silence, 1600-1700 sound dtmf:#, 1700- silence")
        .reports("1700 Finished(3)");
    check(&[(0, answer()), (0, play(1, &[url("a")])), (100, send("1")), (150, place(ROOM))])
        .hears("0-100 sound a, 100-200 sound dtmf:1, 200- room weekly")
        .reports("200 Finished(3)");
    check(&[(0, answer()), (0, place(ROOM)), (50, relay(ROOM, '5')), (60, relay(ROOM, '6'))])
        .hears("0-50 room weekly, 50-150 sound dtmf:5, 150-250 sound dtmf:6, 250- room weekly");
}

#[test]
fn a_phone_that_holds_hears_silence_while_programs_run_on() {
    let script = vec![act(100, PhoneAction::Hold(true)), act(1_000, PhoneAction::Hold(false))];
    check_with(script, &[(0, answer()), (0, play(1, &[url("a"), url("b")]))])
        .hears("0-100 sound a, 100-1100 silence, 1100-2000 sound b, 2000- silence")
        .reports("100 Hold(true), 1100 Hold(false), 2000 Finished(1)");
    check_with(vec![act(0, PhoneAction::Hold(false))], &[(0, answer())]).reports("");
    let script = vec![act(0, PhoneAction::Hold(true))];
    check_with(script, &[(0, answer())]).hears("0- silence").reports("0 Hold(true)");
}

#[test]
fn a_script_counts_from_the_answer_and_from_the_end_of_the_act_before() {
    let script = || {
        vec![
            act(10, PhoneAction::Press("1#".parse().unwrap())),
            act(5, PhoneAction::Press("2".parse().unwrap())),
            act(0, PhoneAction::Talk { ms: 500 }),
            act(7, PhoneAction::Press("3".parse().unwrap())),
            act(0, PhoneAction::HangUp),
        ]
    };
    check_with(script(), &[(1_000, answer())]).reports(
        "1010 Digit('1'), 1110 Digit('#'), 1210 Digit('2'), 1210 Talk(true), \
         1710 Talk(false), 1717 Digit('3'), 1717 HungUp",
    );
    check_with(script(), &[]).reports("").sleeps();
    let again = [(0, answer()), (900, answer())];
    let run = check_with(vec![act(1_000, PhoneAction::Talk { ms: 5 })], &again)
        .reports("1000 Talk(true), 1005 Talk(false)");
    assert!(run.phone.user.is_none());
    check_with(script(), &[(0, answer()), (205, end())]).reports("10 Digit('1'), 110 Digit('#')");
}

#[test]
fn nothing_is_heard_before_the_answer_but_early_media() {
    check(&[(0, play(1, &[url("a")])), (300, answer())])
        .hears("300-1000 sound a, 1000- silence")
        .reports("1000 Finished(1)");
    let early = Signal(SignallingOrder::EarlyMedia { call: CALL });
    check(&[(5, early.clone()), (5, play(1, &[url("a")])), (300, answer())])
        .hears("5-1005 sound a, 1005- silence")
        .is(PhoneState::InProgress);
    check(&[(5, early.clone())]).hears("5- silence").is(PhoneState::Ringing);
    check(&[(5, answer()), (9, early)]).hears("5- silence").is(PhoneState::InProgress);
    check(&[]).hears("").is(PhoneState::Ringing).sleeps();
}

#[test]
fn the_end_ends_everything_and_the_first_ending_is_kept() {
    let again = Ending { cause: HangupCause::Internal, source: HangupSource::Error };
    let again = Signal(SignallingOrder::End { call: CALL, ending: again });
    let run = check(&[
        (0, answer()),
        (0, play(1, &[url("a")])),
        (50, end()),
        (60, again),
        (60, answer()),
    ]);
    let record = run.is(PhoneState::Completed).hears("0-50 sound a").reports("").details();
    assert_eq!(record.hangup_cause_name, Some("End Of XML Instructions"));
    assert_eq!(record.hangup_cause_code, Some(4010));
    assert_eq!(record.hangup_source, Some("Vobiz"));

    let script = vec![act(50, PhoneAction::HangUp)];
    let run = check_with(script, &[(0, answer()), (0, place(ROOM)), (60, beep_over(ROOM))]);
    let record =
        run.is(PhoneState::Completed).hears("0-50 room weekly").reports("50 HungUp").details();
    assert_eq!(record.hangup_cause_code, None);
}

#[test]
fn talk_lasts_until_the_last_of_it_and_is_reported_once() {
    let mut run = check(&[(0, answer())]);
    let mut heard = Vec::new();
    for (at, ms) in [(60_000, 100), (60_020, 200), (60_030, 20)] {
        run.phone.talk(at, ms, &mut |it| heard.push(it));
    }
    assert_eq!(heard, [LegEvent::Talk(true)]);
    run.advance_to(61_000);
    run.reports("60220 Talk(false)");
}

#[test]
fn a_script_waits_for_keys_that_were_pressed_by_hand() {
    let script =
        vec![act(0, PhoneAction::Press("2".parse().unwrap())), act(0, PhoneAction::HangUp)];
    let mut run = check_with(script, &[]);
    run.phone.press(60_000, &"11".parse().unwrap()).unwrap();
    run.carry_out(60_000, &answer());
    run.advance_to(61_000);
    run.reports("60000 Digit('1'), 60100 Digit('1'), 60200 Digit('2'), 60200 HungUp");
}

#[test]
fn a_phone_in_a_room_is_small() {
    let run = check(&[(0, answer()), (0, place(ROOM)), (0, beep_over(ROOM))]);
    let strings = 2 * (2 * size_of::<usize>() + 16);
    let row = size_of::<CallId>() + 2 * size_of::<u32>();
    let total = size_of::<SimPhone>() + run.phone.timeline.heap() + strings + row;
    assert!(run.phone.sounds.is_none() && run.phone.user.is_none());
    assert!(total <= 312, "{total} bytes");
}

/// An order of either kind.
#[derive(Clone)]
enum PhoneOrder {
    Audio(AudioOrder),
    Signal(SignallingOrder),
    ToRoom(RoomId, SoundToAll),
}
use PhoneOrder::{Audio, Signal, ToRoom};

/// A phone's life so far, and its reports.
struct PhoneRun {
    phone: SimPhone,
    reports: String,
}

impl PhoneRun {
    fn advance_to(&mut self, now: u32) {
        while let Some(due) = self.phone.due().filter(|due| *due <= now) {
            let reports = &mut self.reports;
            self.phone.advance_to(due, &Settings::default(), &mut |heard| {
                let comma = if reports.is_empty() { "" } else { ", " };
                write!(reports, "{comma}{due} {heard:?}").unwrap();
            });
        }
    }

    fn carry_out(&mut self, now: u32, order: &PhoneOrder) {
        match order {
            Audio(order) => self.phone.apply(now, order, &Settings::default()),
            Signal(order) => self.phone.signal(now, order),
            ToRoom(room, sound) if self.phone.is_in(*room) => {
                self.phone.hear_with_all(now, CALL, sound, &Settings::default());
            }
            ToRoom(..) => {}
        }
    }

    fn hears(self, expected: &str) -> Self {
        assert_eq!(transcript(&self.details().timeline), expected);
        self
    }

    fn reports(self, expected: &str) -> Self {
        assert_eq!(self.reports, expected);
        self
    }

    fn is(self, expected: PhoneState) -> Self {
        assert_eq!(self.details().state, expected);
        self
    }

    fn sleeps(self) -> Self {
        assert_eq!(self.phone.due(), None);
        self
    }

    fn details(&self) -> PhoneDetails {
        self.phone.details(100_000, CALL)
    }
}

fn check(orders: &[(u32, PhoneOrder)]) -> PhoneRun {
    check_with(Vec::new(), orders)
}

/// Gives a phone orders, each at its millisecond, and then lets a minute pass.
fn check_with(script: Vec<ScriptItem>, orders: &[(u32, PhoneOrder)]) -> PhoneRun {
    let now = tokio::time::Instant::now().into_std();
    let phone = SimPhone::new(now, "MA1".parse().unwrap(), "1".into(), "2".into(), script);
    let mut run = PhoneRun { phone, reports: String::new() };
    for (at, order) in orders {
        run.advance_to(*at);
        run.carry_out(*at, order);
    }
    run.advance_to(60_000);
    run
}

fn act(after_ms: u32, action: PhoneAction) -> ScriptItem {
    ScriptItem { after_ms, action }
}

fn answer() -> PhoneOrder {
    Signal(SignallingOrder::Answer { call: CALL })
}

fn end() -> PhoneOrder {
    let source = HangupSource::Platform(Dialect::Vobiz);
    Signal(SignallingOrder::End {
        call: CALL,
        ending: Ending { cause: HangupCause::EndOfXml, source },
    })
}

fn play(number: u32, sounds: &[Sound]) -> PhoneOrder {
    Audio(AudioOrder::Play { call: CALL, number, program: sounds.into() })
}

fn stop() -> PhoneOrder {
    Audio(AudioOrder::Stop { call: CALL })
}

fn place(room: RoomId) -> PhoneOrder {
    hears(room, MemberAudio::Room)
}

fn hears(room: RoomId, hears: MemberAudio) -> PhoneOrder {
    let name = if room == ROOM { "weekly" } else { "daily" };
    Audio(AudioOrder::Place { room: Incarnation::of(room, name), calls: vec![CALL], hears })
}

fn remove(room: RoomId) -> PhoneOrder {
    Audio(AudioOrder::Remove { room, calls: vec![CALL] })
}

fn beep_over(room: RoomId) -> PhoneOrder {
    ToRoom(room, SoundToAll::Play { member: CALL, address: None, program: [beep()].into() })
}

fn announce(text: &str) -> PhoneOrder {
    let address = address(AnnouncementKind::Speak);
    Audio(AudioOrder::Announce {
        room: ROOM,
        calls: vec![CALL],
        address,
        program: [say(text)].into(),
    })
}

fn hush(kind: AnnouncementKind) -> PhoneOrder {
    Audio(AudioOrder::Hush { room: ROOM, calls: vec![CALL], address: address(kind) })
}

fn relay(room: RoomId, digit: char) -> PhoneOrder {
    ToRoom(room, SoundToAll::RelayDigit { from: CallId::of(2), digit })
}

fn address(kind: AnnouncementKind) -> Arc<AnnouncementAddress> {
    Arc::new(AnnouncementAddress { kind, members: None })
}

fn beep() -> Sound {
    SoundKind::Beep(1).into()
}

fn pause(ms: u64) -> Sound {
    SoundKind::Silence(Duration::from_millis(ms)).into()
}

fn say(text: &str) -> Sound {
    let (voice, language) = ("WOMAN".into(), "en-US".into());
    SoundKind::Speech { text: text.into(), voice, language }.into()
}

fn url(url: &str) -> Sound {
    SoundKind::Url(url.into()).into()
}
