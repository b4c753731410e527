//! State logs of every release: their calls go on in this one.

use std::fs;

use conflow::{
    base::ids::{CallId, MemberId},
    conference::{Ask, Kick, MemberSelector},
    engine::restore::Restored,
    media::LegEvent,
};

use super::restore::{CONFERENCE, World};
use crate::corpus;

/// A file of a state log that has all kinds of rows of calls, made by a process that was killed.
const FILE: &str = "0000000001.log";

/// Two members of whom one is muted, a call that speaks, one that collects digits, one that waits, and one that
/// fetches a document.
fn state_log() -> Vec<u8> {
    let mut world = World::new();
    let (mut process, _) = world.start(&[]);
    world.call(&mut process, 1, CONFERENCE);
    world.call(&mut process, 2, CONFERENCE);
    let who = || MemberSelector::These(vec![MemberId(2)]);
    process.ask(world.now, Ask::Mute { who: who(), on: true });
    world.call(&mut process, 3, "<Speak>welcome</Speak>");
    let digits = "<GetDigits numDigits='4' timeout='20' action='flow:next'/>";
    let typing = world.call(&mut process, 4, digits);
    ['7', '3'].iter().for_each(|key| process.report(world.now, typing, LegEvent::Digit(*key)));
    for (n, element) in [(5, "<Wait length='600'/>"), (6, "<Redirect>flow:next</Redirect>")] {
        let call = world.call(&mut process, n, &format!("<Speak>hello</Speak>{element}"));
        let (number, _) = process.spoken(call)[0];
        process.report(world.now, call, LegEvent::Finished(number));
    }
    world.kill(process);
    fs::read(world.folder.path().join(FILE)).unwrap()
}

#[test]
fn calls_of_every_release_go_on() {
    corpus::write("state-log", &state_log());
    for (release, log) in corpus::of_all_releases("state-log") {
        let mut world = World::new();
        fs::write(world.folder.path().join(FILE), log).unwrap();
        let (mut process, restored) = world.start(&[]);
        assert_eq!(restored, Restored { calls: 6, left: 0, rooms: 1 }, "{release}");
        let members = process.roster(world.now).members;
        let members: Vec<_> = members.iter().map(|it| (it.member, it.muted)).collect();
        assert_eq!(members, [(MemberId(1), false), (MemberId(2), true)], "{release}");
        let who = MemberSelector::These(vec![MemberId(1)]);
        process.ask(world.now, Ask::Kick { who, kick: Kick::default() });
        process.run(world.now);
        assert_eq!(process.spoken(CallId::of(1)).pop().unwrap().1, "goodbye", "{release}");
        assert_eq!(process.spoken(CallId::of(3)).pop().unwrap().1, "welcome", "{release}");
        ['5', '9'].iter().for_each(|it| {
            process.report(world.now, CallId::of(4), LegEvent::Digit(*it));
        });
        let fetched: Vec<_> = process.fetched();
        let expected = [(CallId::of(6), 2, None), (CallId::of(4), 1, Some("7359".to_owned()))];
        assert_eq!(fetched, expected, "{release}");
        world.kill(process);
    }
}
