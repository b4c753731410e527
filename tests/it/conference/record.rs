//! `record="true"`: when a room is recorded, and for whom.

use super::*;

fn recorder() -> JoinOptions {
    JoinOptions { records: true, ..plain() }
}

/// The effects that are about the recording.
fn recorded(effects: Vec<String>) -> Vec<String> {
    effects.into_iter().filter(|it| it.contains("record")).collect()
}

#[test]
fn a_recording_begins_with_the_second_member_and_leaves_out_who_is_alone() {
    let mut bench = Bench::new();
    assert_eq!(recorded(bench.enter(&recorder())), [""; 0]);
    assert_eq!(recorded(bench.enter(&plain())), ["record for 1"]);
    assert_eq!(recorded(bench.enter(&recorder())), ["record for 3"], "who is told as well");
    assert_eq!(recorded(bench.kick(these(&[2]))), [""; 0]);
    assert_eq!(recorded(bench.kick(these(&[3]))), ["cut recording true"]);
    assert_eq!(recorded(bench.enter(&plain())), ["cut recording false"]);
    assert_eq!(recorded(bench.kick(these(&[1]))), ["cut recording true"]);
    assert_eq!(recorded(bench.kick(MemberSelector::All)), [""; 0], "it ends with the room");
}

#[test]
fn who_says_so_is_recorded_alone() {
    let mut bench = Bench::new();
    let alone = JoinOptions { records_alone: true, ..recorder() };
    assert_eq!(recorded(bench.enter(&alone)), ["record for 1"]);
    assert_eq!(recorded(bench.enter(&plain())), [""; 0]);
    assert_eq!(recorded(bench.kick(these(&[2]))), [""; 0]);
}

#[test]
fn a_room_is_recorded_only_if_somebody_asks() {
    let mut bench = Bench::with(&[plain(), plain(), plain()]);
    assert_eq!(recorded(bench.kick(these(&[1]))), [""; 0]);
    assert_eq!(recorded(bench.kick(these(&[2]))), [""; 0]);
}
