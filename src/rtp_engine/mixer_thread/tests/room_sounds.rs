//! Sounds to whole rooms: one command, whose sound each leg hears once.

use super::*;

#[test]
fn a_sound_to_a_room_is_heard_by_all_but_the_deaf_also_on_their_way_to_it() {
    for threads in [1, 2] {
        let (mut harness, [a, b, c]) = three(threads);
        harness.send(AudioOrder::Deafen { room: ROOM, calls: vec![a], on: true });
        let d = harness.dial(None);
        harness.send(place(ROOM, &[d], MemberAudio::Room));
        harness.send(to_room(play(d, Some(address()), 1)));
        harness.ticks(8);
        let beeps =
            |harness: &EngineHarness, call| 0.05 < amplitude(&harness.heard(call, 5), 8_000, 880.0);
        let heard = [a, b, c, d].map(|it| beeps(&harness, it));
        assert_eq!(heard, [false, true, true, true], "{threads} threads");
        harness.send(to_room(SoundToAll::Hush { address: address() }));
        harness.ticks(8);
        assert_eq!([a, b, c, d].map(|it| beeps(&harness, it)), [false; 4]);
        harness.send(remove(ROOM, &[a, b, c, d]));
        harness.send(to_room(play(a, None, 1)));
        harness.ticks(8);
        assert_eq!([a, b, c, d].map(|it| beeps(&harness, it)), [false; 4]);
    }
}

/// Issue 14, B1: joins that come within the length of an enter sound share it.
#[test]
fn an_enter_sound_that_plays_in_the_room_is_not_queued_again() {
    let (mut harness, [a, b, c]) = three(1);
    harness.send(to_room(play(a, None, 1)));
    harness.ticks(5);
    let d = harness.dial(None);
    harness.send(place(ROOM, &[d], MemberAudio::Room));
    harness.send(to_room(play(d, None, 1)));
    let beeps = |harness: &EngineHarness, calls: &[CallId], ticks| -> Vec<bool> {
        let is = |it: &CallId| 0.05 < amplitude(&harness.heard(*it, ticks), 8_000, 880.0);
        calls.iter().map(is).collect()
    };
    harness.ticks(4);
    assert_eq!(beeps(&harness, &[a, b, c, d], 3), [true; 4]);
    harness.ticks(3);
    assert_eq!(beeps(&harness, &[a, b, c, d], 2), [false, false, false, true]);
    harness.ticks(20);
    assert_eq!(beeps(&harness, &[a, b, c, d], 2), [false; 4]);
    harness.send(to_room(play(a, None, 1)));
    harness.ticks(5);
    assert_eq!(beeps(&harness, &[a, b, c, d], 3), [true; 4], "when it is over, it is played again");
}

pub(super) fn to_room(sound: SoundToAll) -> AudioOrder {
    AudioOrder::ToRoom { room: ROOM, sound: Arc::new(sound) }
}

fn play(member: CallId, address: Option<Arc<AnnouncementAddress>>, times: u32) -> SoundToAll {
    let program = [Sound { what: SoundKind::Beep(1), times }].into();
    SoundToAll::Play { member, address, program }
}

pub(super) fn address() -> Arc<AnnouncementAddress> {
    Arc::new(AnnouncementAddress { kind: AnnouncementKind::Play, members: None })
}
