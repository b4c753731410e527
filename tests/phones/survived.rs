//! Calls of baresips that outlive a process: it is killed and started again.

use crate::{
    baresip::samples,
    ear::loudness,
    meeting::Meeting,
    program::{beside_others, eventually},
};

#[test]
fn callers_are_back_in_their_room_after_a_kill_and_a_kicked_one_hears_the_next_element() {
    let _share = beside_others();
    let mut meeting = Meeting::begin();
    meeting.order("POST", 2, "Mute");
    let muted = [[false, true, false], [true, false, false], [true, true, false]];
    meeting.check("before the kill", &muted);
    let (users, before) = (meeting.phones.each_ref().map(|it| it.user), meeting.ids.clone());

    for life in ["a kill", "another kill"] {
        meeting.conflow.kill_and_restart();
        let ids = meeting.conflow.wait_members("meeting", users);
        assert_eq!(ids, before, "{life}: the members have the same ids");
        meeting.check(life, &muted);
    }

    meeting.order("DELETE", 2, "Mute");
    meeting.check("no longer muted", &[[false, true, true], [true, false, true]]);
    let [anna, ..] = &meeting.phones;
    let from = anna.received();
    meeting.order("POST", 0, "Kick");
    anna.wait_for("CALL_CLOSED");
    let heard = &anna.heard()[from..];
    assert!(samples(2_000) < heard.len(), "the goodbye takes some seconds: {}", heard.len());
    assert!(0.02 < loudness(&heard[samples(400)..]), "the goodbye: {}", loudness(heard));
    let _left = meeting.conflow.wait_members("meeting", ["bert", "carl"]);
    // The far ends have answered that they are still there.
    let log = eventually("the end of anna's call", || {
        let log = meeting.conflow.log();
        log.contains("End Of XML Instructions").then_some(log)
    });
    assert!(!log.contains("Internal Error"), "{log}");
}
