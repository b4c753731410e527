//! Many phones: accounts, limits, deadlines, and random lives.

use std::time::Duration;

use fastrand::Rng;

use super::*;
use crate::{
    base::ids::{Dialect, Incarnation, RoomId},
    media::{
        AnnouncementAddress, AnnouncementKind, Ending, HangupCause, HangupSource, MemberAudio,
        Program, Sound, SoundKind,
    },
    sim_phones::{HeardSound, PhoneState, room_sounds::SOUNDS_KEPT},
};

#[test]
fn one_account_knows_nothing_of_the_phones_of_another() {
    let (mut phones, now, mine) = (PhoneTable::new(Settings::default()), now(), account("MA1"));
    let (call, keys) = (CallId::of(1), "1".parse().unwrap());
    phones.dial(now, call, &mine, Dial::to("weekly")).unwrap();

    for (account, call) in [(account("MA2"), call), (mine, CallId::of(2))] {
        let unknown = Err(PhoneError::Unknown);
        assert_eq!(phones.press(now, &account, call, &keys), unknown);
        assert_eq!(phones.talk(now, &account, call, 1), unknown);
        assert_eq!(phones.hold(now, &account, call, true), unknown);
        assert_eq!(phones.hang_up(now, &account, call), unknown);
        assert_eq!(phones.details(now, &account, call), Err(PhoneError::Unknown));
    }
    let mut reports = Vec::new();
    phones.tick(now, &mut reports);
    assert_eq!(reports, []);
}

#[test]
fn a_phone_that_has_ended_does_nothing_more() {
    let (mut phones, now, mine) = (PhoneTable::new(Settings::default()), now(), account("MA1"));
    let (call, keys) = (CallId::of(1), "1".parse().unwrap());
    phones.dial(now, call, &mine, Dial::to("weekly")).unwrap();
    assert_eq!(phones.hang_up(now, &mine, call), Ok(()));

    let ended = Err(PhoneError::Ended);
    assert_eq!(phones.press(now, &mine, call, &keys), ended);
    assert_eq!(phones.talk(now, &mine, call, 1), ended);
    assert_eq!(phones.hold(now, &mine, call, true), ended);
    assert_eq!(phones.hang_up(now, &mine, call), ended);
    assert_eq!(phones.details(now, &mine, call).unwrap().state, PhoneState::Completed);
    assert_eq!((phones.take_ended(), phones.take_ended()), (vec![call], vec![]));
    assert!(phones.forget(call) && !phones.forget(call));
    assert_eq!(phones.details(now, &mine, call), Err(PhoneError::Unknown));
}

#[test]
fn what_a_phone_does_not_say_is_made_up() {
    let mut phones = PhoneTable::new(Settings::default());
    let mut dial = |call, dial| phones.dial(now(), CallId::of(call), &account("MA1"), dial);

    let made_up = dial(12_345, Dial::to("weekly")).unwrap();
    assert_eq!((&*made_up.from, &*made_up.caller_name), ("15550012345", ""));
    let (from, caller_name) = (Some("1".into()), Some("Ann".into()));
    let told = dial(2, Dial { from, caller_name, ..Dial::to("weekly") }).unwrap();
    assert_eq!((&*told.from, &*told.caller_name), ("1", "Ann"));
    assert_eq!(dial(3, Dial::to("")), Err(BadDial::Empty));
    assert_eq!(phones.len(), 2);
}

#[test]
fn keys_that_find_no_room_are_refused() {
    let (mut phones, now, mine) = (PhoneTable::new(Settings::default()), now(), account("MA1"));
    let (call, keys) = (CallId::of(1), "1".repeat(64).parse().unwrap());
    phones.dial(now, call, &mine, Dial::to("weekly")).unwrap();

    for _ in 0..4 {
        assert_eq!(phones.press(now, &mine, call, &keys), Ok(()));
    }
    let refused = Err(PhoneError::TooManyKeys { max: 256 });
    assert_eq!(phones.press(now, &mine, call, &keys), refused);
    assert!(phones.forget(call));
    phones.check();
}

/// A table with this many phones in a room, answered and placed at the same time.
fn room_of(phones_count: u128, now: Instant) -> PhoneTable {
    let mut phones = PhoneTable::new(Settings::default());
    for call in (0..phones_count).map(CallId::of) {
        phones.dial(now, call, &account("MA1"), Dial::to("weekly")).unwrap();
        phones.signal(now, &SignallingOrder::Answer { call });
        let (room, hears) = (Incarnation::of(ROOM, "weekly"), MemberAudio::Room);
        phones.order(now, &AudioOrder::Place { room, calls: vec![call], hears });
    }
    phones
}

const ROOM: RoomId = RoomId::of(1);

/// Issue 14, B1: each join beeped at each member, so that it cost as much as the room was large.
#[test]
fn a_sound_to_a_room_touches_no_phone() {
    for size in [10, 1_000] {
        let (mut phones, start) = (room_of(size, now()), now());
        phones.looks = 0;
        for n in 0..1_000 {
            phones.order(start + Duration::from_secs(n), &to_room(ROOM, enter_sound(0)));
        }
        assert_eq!((phones.looks, phones.deadline()), (0, None), "in a room of {size}");
        let kept = phones.rooms.get(ROOM).unwrap().since(0).1.count();
        assert_eq!(kept, SOUNDS_KEPT, "and the room keeps no more than a timeline shows");
        let at = start + Duration::from_secs(1_000);
        let heard = phones.details(at, &account("MA1"), CallId::of(0)).unwrap();
        assert_eq!(heard.timeline_dropped as usize, 1_000 - SOUNDS_KEPT);
        let beeps = heard.timeline.iter().filter(|it| it.heard == HeardSound::Beep);
        assert_eq!(beeps.count(), SOUNDS_KEPT);
    }
}

#[test]
fn a_phone_that_sleeps_hears_each_sound_of_its_room_at_its_time() {
    let (start, mine) = (now(), account("MA1"));
    let mut phones = room_of(2, start);
    let at = |ms| start + Duration::from_millis(ms);
    let mut order = |ms, order| phones.order(at(ms), &order);
    let (room, address, program) = (ROOM, address(), [SoundKind::Beep(2).into()].into());
    order(10, to_room(ROOM, enter_sound(0)));
    order(20, AudioOrder::Deafen { room, calls: vec![CallId::of(1)], on: true });
    let member = CallId::of(0);
    order(300, to_room(ROOM, SoundToAll::Play { member, address: Some(address.clone()), program }));
    order(350, to_room(ROOM, SoundToAll::Hush { address }));
    order(500, to_room(ROOM, SoundToAll::RelayDigit { from: CallId::of(1), digit: '5' }));
    order(700, AudioOrder::Remove { room, calls: vec![CallId::of(0), CallId::of(1)] });
    order(800, to_room(ROOM, enter_sound(0)));
    let mut heard = |call| phones.details(at(900), &mine, CallId::of(call)).unwrap().transcript();
    assert_eq!(
        heard(0),
        "0-10 room weekly, 10-210 beep, 210-300 room weekly, 300-350 beep, 350-500 room weekly, \
         500-600 sound dtmf:5, 600-700 room weekly, 700- silence"
    );
    assert_eq!(heard(1), "0-10 room weekly, 10-210 beep, 210- silence");
    assert_eq!(phones.rooms.len(), 0, "a room without phones is forgotten");
}

/// Joins that come within the length of an enter sound share it. Who comes hears it from its start.
#[test]
fn an_enter_sound_that_plays_in_the_room_is_shared() {
    let (start, mine) = (now(), account("MA1"));
    let mut phones = room_of(3, start);
    for (ms, call) in [(0, 0), (50, 1), (150, 2), (190, 1), (400, 2)] {
        let sound = to_room(ROOM, enter_sound(call));
        phones.order(start + Duration::from_millis(ms), &sound);
    }
    let at = start + Duration::from_secs(1);
    let mut heard = |call| phones.details(at, &mine, CallId::of(call)).unwrap().transcript();
    let expected = "0-200 beep, 200-400 room weekly, 400-600 beep, 600- room weekly";
    assert_eq!([0, 1, 2].map(&mut heard), [expected; 3]);
    let (call, room) = (CallId::of(9), Incarnation::of(ROOM, "weekly"));
    let at = at + Duration::from_secs(1);
    phones.order(at, &to_room(ROOM, enter_sound(0)));
    phones.dial(at, call, &mine, Dial::to("weekly")).unwrap();
    let at = at + Duration::from_millis(100);
    phones.signal(at, &SignallingOrder::Answer { call });
    phones.order(at, &AudioOrder::Place { room, calls: vec![call], hears: MemberAudio::Room });
    phones.order(at, &to_room(ROOM, enter_sound(9)));
    let at = at + Duration::from_secs(1);
    let heard = phones.details(at, &mine, call).unwrap().transcript();
    assert_eq!(heard, "100-300 beep, 300- room weekly");
}

fn enter_sound(member: u128) -> SoundToAll {
    let program = [SoundKind::Beep(1).into()].into();
    SoundToAll::Play { member: CallId::of(member), address: None, program }
}

/// Two tables get the same orders; one looks at every deadline, the other now and then.
#[test]
fn whoever_looks_late_sees_the_same_life() {
    for seed in 0..300 {
        let (exact, late) = (live(seed, true), live(seed, false));
        assert_eq!(exact, late, "seed {seed}");
    }
}

const CALLS: u128 = 3;

/// A random life: each phone's reports and details.
fn live(seed: u64, is_exact: bool) -> Vec<(Vec<LegEvent>, PhoneDetails)> {
    let (mut rng, mut phones) = (Rng::with_seed(seed), PhoneTable::new(Settings::default()));
    let (mut looks, mut reports) = (Rng::with_seed(seed), Vec::new());
    let (start, mine) = (now(), account("MA1"));
    for call in 0..CALLS {
        phones.dial(start, CallId::of(call), &mine, Dial::to("weekly")).unwrap();
    }

    let mut now = start;
    for _ in 0..60 {
        now += Duration::from_micros(rng.u64(0..400_000));
        while let Some(due) = phones.deadline().filter(|due| is_exact && *due <= now) {
            phones.tick(due, &mut reports);
        }
        if !is_exact && looks.u8(0..8) == 0 {
            phones.tick(now, &mut reports);
        }
        happen(&mut rng, &mut phones, now, &mine);
        phones.check();
    }
    now += Duration::from_secs(600);
    while phones.deadline().is_some_and(|due| due <= now) {
        phones.tick(now, &mut reports);
    }

    let calls = (0..CALLS).map(CallId::of);
    let heard = |call| reports.iter().filter(move |it: &&Report| it.call == call);
    calls
        .map(|call| {
            let record = phones.details(now, &mine, call).unwrap();
            let gaps = record.timeline.windows(2).filter(|it| it[0].to_ms != Some(it[1].from_ms));
            assert_eq!(gaps.count(), 0, "seed {seed}: {}", record.transcript());
            (heard(call).map(|report| report.event).collect(), record)
        })
        .collect()
}

fn happen(rng: &mut Rng, phones: &mut PhoneTable, now: Instant, mine: &AccountId) {
    let call = CallId::of(rng.u128(0..CALLS));
    // The error of an ended phone does not matter here.
    let _ = match rng.u8(0..32) {
        0 | 1 => phones.press(now, mine, call, &"12#".parse().unwrap()),
        2 | 3 => phones.talk(now, mine, call, rng.u32(0..2_000)),
        4 | 5 => phones.hold(now, mine, call, rng.bool()),
        6 => phones.hang_up(now, mine, call),
        7..12 => {
            phones.signal(now, &signalling_order(rng, call));
            Ok(())
        }
        _ => {
            phones.order(now, &audio_order(rng, call));
            Ok(())
        }
    };
}

fn signalling_order(rng: &mut Rng, call: CallId) -> SignallingOrder {
    match rng.u8(0..24) {
        0 => {
            let source = HangupSource::Platform(Dialect::Vobiz);
            SignallingOrder::End { call, ending: Ending { cause: HangupCause::EndOfXml, source } }
        }
        1..16 => SignallingOrder::Answer { call },
        _ => SignallingOrder::EarlyMedia { call },
    }
}

fn audio_order(rng: &mut Rng, call: CallId) -> AudioOrder {
    let calls: Vec<_> = (0..CALLS).map(CallId::of).filter(|_| rng.bool()).collect();
    let room = RoomId::of(rng.u128(1..=2));
    let number = rng.u32(..);
    let program: Program = (0..rng.usize(0..3)).map(|_| sound(rng)).collect();
    match rng.u8(0..12) {
        0 => AudioOrder::Play { call, number, program },
        1 => AudioOrder::Stop { call },
        2 => AudioOrder::SendDigits { call, number, digits: "1w2".into() },
        3 => AudioOrder::Remove { room, calls },
        4 => AudioOrder::Deafen { room, calls, on: rng.bool() },
        5 => to_room(room, SoundToAll::RelayDigit { from: call, digit: '5' }),
        6 => to_room(room, SoundToAll::Play { member: call, address: None, program }),
        7 => to_room(room, SoundToAll::Play { member: call, address: Some(address()), program }),
        8 => to_room(room, SoundToAll::Hush { address: address() }),
        9 => AudioOrder::Announce { room, calls, address: address(), program },
        _ => {
            let hears =
                if rng.bool() { MemberAudio::Room } else { MemberAudio::Wait(Some(program)) };
            AudioOrder::Place { room: Incarnation::of(room, "weekly"), calls, hears }
        }
    }
}

fn to_room(room: RoomId, sound: SoundToAll) -> AudioOrder {
    AudioOrder::ToRoom { room, sound: Arc::new(sound) }
}

fn address() -> Arc<AnnouncementAddress> {
    Arc::new(AnnouncementAddress { kind: AnnouncementKind::Speak, members: None })
}

fn sound(rng: &mut Rng) -> Sound {
    let what = match rng.bool() {
        true => SoundKind::Beep(1),
        false => SoundKind::Silence(Duration::from_millis(rng.u64(0..700))),
    };
    Sound { what, times: rng.u32(0..4) }
}

fn account(name: &str) -> AccountId {
    name.parse().unwrap()
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl PhoneTable {
    /// Each deadline has its row, and there are no other rows.
    fn check(&self) {
        let calls = self.phones.calls().into_iter();
        let rows = calls.filter_map(|call| Some((self.phones.get(call)?.deadline()?, call)));
        assert!(rows.collect::<BTreeSet<_>>() == self.deadlines);
    }
}
