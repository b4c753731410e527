//! Between entry and exit: time limits, waiting, sounds, announcements, digits, the floor.

use super::*;

// Time limits.

#[test]
fn the_earliest_stated_limit_holds() {
    let mut bench = Bench::with(&[limited(30), limited(50), plain()]);
    assert_eq!(bench.deadline_seconds(), Some(30));
    bench.advance(10);
    // From the creation of the room, not from the entry.
    bench.enter(&limited(25));
    assert_eq!(bench.deadline_seconds(), Some(25));
    assert!(bench.advance(14).is_empty());
    let effects = bench.advance(1);
    has(&effects, "release 2 time-up");
    has(&effects, "stop");
    assert_eq!(bench.deadline_seconds(), None);
}

#[test]
fn time_limit_against_a_new_joiner_is_never_extended() {
    let mut bench = Bench::with(&[limited(30)]);
    bench.advance(29);
    bench.enter(&limited(30));
    has(&bench.advance(1), "release 2 time-up");
}

#[test]
fn a_default_is_not_a_statement() {
    // Calls end after 14,400 s here; the room's own default is far beyond.
    let long = Duration::from_secs(1_000_000);
    let mut bench = Bench::new();
    bench.enter_limited(&plain(), long);
    assert_eq!(bench.deadline_seconds(), Some(86_400));
    let mut bench = Bench::new();
    bench.enter_limited(&plain(), long);
    bench.enter_limited(&limited(100_000), long);
    assert_eq!(bench.deadline_seconds(), Some(100_000));
    let mut bench = Bench::new();
    bench.enter_limited(&limited(0), long);
    assert_eq!(bench.deadline_seconds(), Some(1_000_000));
    bench.enter_limited(&limited(60), long);
    bench.enter_limited(&limited(0), long);
    assert_eq!(bench.deadline_seconds(), Some(60));
}

// Waiting and company.

#[test]
fn a_waiting_member_is_a_member_and_hears_its_wait_sound() {
    let hold =
        JoinOptions { wait_sound: Some(ConferenceSound::BuiltIn("sound:hold".into())), ..guest() };
    let mut bench = Bench::new();
    assert_eq!(bench.enter(&hold), ["#1 entered 1 first", "wait 1 sound:hold"]);
    assert_eq!(bench.enter(&guest()), ["#2 entered 2", "wait 2 silence"]);
    assert_eq!(bench.ask(Ask::Roster), ["roster 0s: 1 0s, 2 0s"]);
    let starter = bench.enter(&plain());
    assert_eq!(starter, ["#3 entered 3", "#4 started", "room 1,2,3"]);
    // A room that has started never waits again.
    bench.kick(these(&[3]));
    assert_eq!(bench.enter(&guest()), ["#6 entered 4", "room 4"]);
}

#[test]
fn flags_set_while_waiting_apply_at_the_start() {
    let mut bench = Bench::with(&[guest()]);
    assert_eq!(bench.ask(mute(these(&[1]), true)), ["mute 1 true", "reply 1"]);
    assert_eq!(bench.ask(Ask::Roster), ["roster 0s: 1 0s muted"]);
    let effects = bench.enter(&plain());
    has(&effects, "room 1,2");
    has_not(&effects, "mute");
}

#[test]
fn a_member_alone_hears_the_wait_sound_until_somebody_enters() {
    let hold =
        JoinOptions { wait_sound: Some(ConferenceSound::BuiltIn("sound:hold".into())), ..plain() };
    let mut bench = Bench::new();
    let effects = bench.enter(&hold);
    assert_eq!(effects, ["#1 entered 1 first", "#2 started", "wait 1 sound:hold", "#3 floor 1"]);
    assert_eq!(bench.enter(&plain()), ["#4 entered 2", "room 1,2"]);
    let effects = bench.kick(these(&[2]));
    assert_eq!(
        effects,
        ["remove 2", "wait 1 sound:hold", "#5 exited 2 kicked", "release 2 kicked", "reply 2"]
    );
}

#[test]
fn a_wait_sound_that_is_a_document_is_fetched_once_and_played_when_it_arrives() {
    let music =
        JoinOptions { wait_sound: Some(ConferenceSound::Document("flow:music".into())), ..plain() };
    let mut bench = Bench::new();
    let effects = bench.enter(&music);
    assert_eq!(effects[2..4], ["wait 1 silence", "fetch 1 flow:music for 1"]);
    // A wait sound is never too late.
    bench.advance(60);
    let program: Program = [SoundKind::Url("https://example.com/a.mp3".into()).into()].into();
    let came = Command::Sounds { number: 1, program };
    assert_eq!(bench.handle(came), ["wait 1 https://example.com/a.mp3"]);
    bench.enter(&plain());
    has(&bench.kick(these(&[2])), "wait 1 https://example.com/a.mp3");
}

// Entry and exit sounds.

#[test]
fn the_room_hears_entries_and_only_those_who_stay_hear_exits() {
    let beeping = JoinOptions {
        enter_sound: Some(ConferenceSound::Beep(1)),
        exit_sound: Some(ConferenceSound::Beep(2)),
        ..plain()
    };
    let mut bench = Bench::with(&[plain(), plain()]);
    has(&bench.enter(&beeping), "announce beep:1 to all");
    has(&bench.enter(&beeping), "announce beep:1 to all");
    // Equal sounds of one step are played once.
    let effects = bench.kick(these(&[3, 4]));
    assert_eq!(effects[..2], ["remove 3,4", "announce beep:2 to all"]);
    assert_eq!(effects.iter().filter(|it| it.contains("announce")).count(), 1);
}

/// Issue 14, B1: with enter and exit sounds, each join cost as much as the room was large. What a
/// room does "to all" is one order without a list of calls.
#[test]
fn what_happens_in_a_room_costs_the_same_however_large_it_is() {
    let beeping = JoinOptions {
        enter_sound: Some(ConferenceSound::Beep(1)),
        exit_sound: Some(ConferenceSound::Beep(2)),
        relays_digits: true,
        ..plain()
    };
    let costs = [10, 500].map(|size| {
        let mut bench = Bench::of_size(size + 1);
        (0..size).for_each(|_| drop(bench.enter(&beeping)));
        bench.heard(1, LegEvent::Talk(true));
        let kind = AnnouncementKind::Speak;
        let sound = SoundKind::Beep(1).into();
        let all = || MemberSelector::All;
        let who = MemberId(size as u64 + 1);
        let commands = [
            bench.entry(&beeping),
            Command::Report { member: who, heard: LegEvent::Digit('5') },
            Command::Report { member: who, heard: LegEvent::Talk(true) },
            Command::Report { member: who, heard: LegEvent::Hold(true) },
            asked(Ask::Announce { who: all(), kind, sound }),
            asked(Ask::Hush { who: all(), kind }),
            asked(Ask::Mute { who: MemberSelector::These(vec![who]), on: true }),
            Command::HangUp { member: who, cause: Cause::CallerLeft },
        ];
        commands.map(|command| bench.steps(command))
    });
    assert_eq!(costs[0], costs[1]);
    assert!(costs[0].iter().all(|steps| *steps <= 6), "{costs:?}");
}

fn asked(ask: Ask) -> Command {
    Command::Ask { ticket: AskTicket(1), ask }
}

#[test]
fn nobody_hears_beeps_before_the_start_or_in_an_empty_room() {
    let beeping = |entry| JoinOptions {
        enter_sound: Some(ConferenceSound::Beep(1)),
        exit_sound: Some(ConferenceSound::Beep(2)),
        ..entry
    };
    let mut bench = Bench::with(&[guest()]);
    has_not(&bench.enter(&beeping(guest())), "announce");
    has_not(&bench.kick(these(&[2])), "announce");
    has_not(&bench.kick(these(&[1])), "announce");
}

#[test]
fn a_sound_document_for_the_room_is_dropped_when_it_is_late() {
    let jingle = JoinOptions {
        enter_sound: Some(ConferenceSound::Document("flow:jingle".into())),
        ..plain()
    };
    let came = |number| {
        let program = [SoundKind::Beep(1).into()].into();
        Command::Sounds { number, program }
    };
    let mut bench = Bench::new();
    has(&bench.enter(&jingle), "fetch 1 flow:jingle for 1");
    bench.advance(4);
    assert_eq!(bench.handle(came(1)), ["announce beep:1 to all"]);
    has(&bench.enter(&jingle), "fetch 2 flow:jingle for 2");
    bench.advance(5);
    assert!(bench.handle(came(2)).is_empty(), "five seconds are too late");
    has(&bench.enter(&jingle), "fetch 3 flow:jingle for 3");
    let nothing = Command::Sounds { number: 3, program: [].into() };
    assert!(bench.handle(nothing).is_empty(), "an unreachable sound is silence");
}

// Mute, deaf, announcements.

fn mute(who: MemberSelector, on: bool) -> Ask {
    Ask::Mute { who, on }
}

#[test]
fn mute_and_deaf_are_reported_once_and_always_answered() {
    let mut bench = Bench::with(&[JoinOptions { muted: true, ..plain() }, plain()]);
    assert_eq!(bench.ask(mute(MemberSelector::All, true)), ["mute 2 true", "reply 1,2"]);
    assert_eq!(bench.ask(mute(these(&[2]), true)), ["reply 2"]);
    assert_eq!(bench.ask(mute(these(&[1]), false)), ["mute 1 false", "reply 1"]);
    let deafen = |on| Ask::Deafen { who: these(&[2, 7]), on };
    assert_eq!(bench.ask(deafen(true)), ["deafen 2 true", "reply 2"]);
    assert_eq!(bench.ask(Ask::Roster), ["roster 0s: 1 0s, 2 0s muted deaf"]);
    assert_eq!(bench.ask(deafen(false)), ["deafen 2 false", "reply 2"]);
}

#[test]
fn an_announcement_to_an_id_reaches_the_deaf_and_one_to_all_does_not() {
    let mut bench = Bench::with(&[plain(), plain(), guest()]);
    bench.ask(Ask::Deafen { who: these(&[2]), on: true });
    let effects = announce(&mut bench, MemberSelector::All, "a");
    assert_eq!(effects, ["announce Play a to all", "reply 1,2,3"]);
    let effects = announce(&mut bench, these(&[2, 1]), "b");
    assert_eq!(effects, ["announce Play b to 2,1", "reply 2,1"]);
}

#[test]
fn a_stop_has_the_address_of_the_start() {
    let mut bench = Bench::with(&[plain(), plain()]);
    let hush = |who| Ask::Hush { who, kind: AnnouncementKind::Play };
    // A member who has left in between still belongs to the address.
    let effects = bench.ask(hush(these(&[2, 9, 1, 2])));
    assert_eq!(effects, ["hush Play of 1,2,9 at 2,1", "reply 2,1"]);
    assert_eq!(bench.ask(hush(MemberSelector::All)), ["hush Play of all", "reply 1,2"]);
    assert_eq!(bench.ask(hush(these(&[9]))), ["reply: member not found"]);
}

// Digits.

#[test]
fn the_longest_pattern_that_ends_the_input_matches_and_clears_it() {
    let mut bench = Bench::with(&[typing(&["1", "21", "321"]), plain()]);
    assert_eq!(bench.press(1, "91"), ["#5 digits 1 1"]);
    assert_eq!(bench.press(1, "321"), ["#6 digits 1 321"]);
    assert_eq!(bench.press(1, "2"), [""; 0]);
    bench.advance(2);
    assert_eq!(bench.press(1, "1"), ["#7 digits 1 21"]);
    // Three seconds without a key clear the input.
    bench.press(1, "2");
    bench.advance(3);
    assert_eq!(bench.press(1, "1"), ["#8 digits 1 1"]);
}

#[test]
fn the_digits_of_the_muted_and_waiting_count() {
    let waiting = JoinOptions { starts: false, muted: true, ..typing(&["55"]) };
    let mut bench = Bench::with(&[waiting]);
    assert_eq!(bench.press(1, "55"), ["#2 digits 1 55"]);
}

#[test]
fn the_star_wins_over_a_pattern_that_begins_with_it() {
    let both = JoinOptions { leaves_on_star: true, ..typing(&["*9", "1*"]) };
    let mut bench = Bench::with(&[plain(), both.clone(), both]);
    has(&bench.press(2, "*"), "release 2 starred");
    // A pattern that has begun is completed.
    assert_eq!(bench.press(3, "1*"), ["#7 digits 3 1*"]);
}

#[test]
fn a_relayed_key_is_heard_by_the_others() {
    let relaying = JoinOptions { relays_digits: true, ..plain() };
    let mut bench = Bench::with(&[relaying, plain(), plain()]);
    assert_eq!(bench.press(1, "5"), ["relay 5 to all but 1"]);
    assert!(bench.press(2, "5").is_empty());
    bench.ask(mute(these(&[1]), true));
    assert!(bench.press(1, "5").is_empty(), "a muted member is not heard");
}

// The floor.

#[test]
fn the_floor_goes_to_a_member_who_talks_while_its_holder_is_silent() {
    let mut bench = Bench::new();
    has(&bench.enter(&plain()), "#3 floor 1");
    bench.enter(&plain());
    bench.enter(&plain());
    assert!(bench.heard(1, LegEvent::Talk(true)).is_empty(), "it has the floor already");
    assert!(bench.heard(2, LegEvent::Talk(true)).is_empty(), "the holder talks");
    assert!(bench.heard(3, LegEvent::Talk(true)).is_empty());
    assert_eq!(bench.heard(1, LegEvent::Talk(false)), ["#6 floor 2"]);
    bench.ask(mute(these(&[2]), true));
    // A muted or held member cannot have the floor.
    assert!(bench.heard(1, LegEvent::Talk(true)).is_empty());
    assert_eq!(bench.heard(3, LegEvent::Hold(true)), ["#8 floor 1"]);
    has_not(&bench.kick(these(&[1])), "floor");
    assert_eq!(bench.ask(mute(these(&[2]), false)), ["mute 2 false", "#10 floor 2", "reply 2"]);
}

// Hold.

fn hold(bench: &mut Bench, who: MemberSelector, url: Option<&str>) -> Vec<String> {
    let sound = url.map(|url| match url.starts_with("sound:") {
        true => ConferenceSound::BuiltIn(url.into()),
        false => ConferenceSound::Document(url.into()),
    });
    bench.ask(Ask::Hold { who, on: true, sound })
}

fn unhold(bench: &mut Bench, who: MemberSelector) -> Vec<String> {
    // A sound means nothing here.
    let sound = Some(ConferenceSound::BuiltIn("sound:hold".into()));
    bench.ask(Ask::Hold { who, on: false, sound })
}

#[test]
fn a_member_on_hold_is_out_of_the_mix_and_stays_a_member() {
    let music =
        JoinOptions { wait_sound: Some(ConferenceSound::BuiltIn("sound:ring".into())), ..plain() };
    let mut bench = Bench::with(&[leaves_alone(), music]);
    assert_eq!(hold(&mut bench, these(&[2, 9]), None), ["wait 2 sound:ring", "reply 2"]);
    // Repeated, it changes nothing; with a sound, it plays that.
    assert_eq!(hold(&mut bench, these(&[2]), None), ["reply 2"]);
    assert_eq!(hold(&mut bench, these(&[2]), Some("sound:hold")), ["wait 2 sound:hold", "reply 2"]);
    // Flags that are set meanwhile hold afterwards; the other one has company.
    assert_eq!(bench.ask(Ask::Mute { who: these(&[2]), on: true }), ["mute 2 true", "reply 2"]);
    assert_eq!(bench.ask(Ask::Roster), ["roster 0s: 1 0s, 2 0s muted"]);
    assert_eq!(unhold(&mut bench, MemberSelector::All), ["room 2", "reply 1,2"]);
    assert_eq!(hold(&mut bench, these(&[7]), None), ["reply: member not found"]);
}

#[test]
fn a_document_of_a_hold_is_for_those_who_are_still_on_that_hold() {
    let mut bench = Bench::with(&[plain(), plain(), plain(), plain()]);
    assert_eq!(
        hold(&mut bench, these(&[1, 2, 3]), Some("flow:music")),
        ["wait 1,2,3 silence", "fetch 1 flow:music for 1", "reply 1,2,3"]
    );
    unhold(&mut bench, these(&[2]));
    assert_eq!(hold(&mut bench, these(&[3]), Some("sound:ring")), ["wait 3 sound:ring", "reply 3"]);
    let program = || [SoundKind::Beep(1).into()].into();
    let come = |number| Command::Sounds { number, program: program() };
    assert_eq!(bench.handle(come(1)), ["wait 1 beep:1"]);
    assert_eq!(unhold(&mut bench, these(&[1, 3])), ["room 1,3", "reply 1,3"]);
    // A kick, a transfer and the end work as on every other member.
    hold(&mut bench, MemberSelector::All, Some("flow:music"));
    has(&bench.kick(these(&[1])), "release 1 kicked");
    assert_eq!(bench.handle(come(2)), ["wait 2,3,4 beep:1"]);
    has(&bench.kick(MemberSelector::All), "stop");
}

#[test]
fn hold_by_request_and_hold_by_the_phone_are_two_flags() {
    let mut bench = Bench::with(&[plain(), plain()]);
    bench.heard(1, LegEvent::Talk(true));
    bench.heard(2, LegEvent::Talk(true));
    has(&hold(&mut bench, these(&[1]), None), "#5 floor 2");
    bench.heard(1, LegEvent::Hold(true));
    has_not(&unhold(&mut bench, these(&[1])), "floor");
    bench.ask(Ask::Mute { who: these(&[2]), on: true });
    has(&bench.heard(1, LegEvent::Hold(false)), "#6 floor 1");
}

#[test]
fn a_member_on_hold_waits_on_when_the_room_starts_or_the_others_leave() {
    let mut bench = Bench::with(&[guest()]);
    hold(&mut bench, these(&[1]), Some("sound:ring"));
    assert_eq!(bench.enter(&plain()), ["#2 entered 2", "#3 started", "room 2"]);
    has_not(&bench.kick(these(&[2])), "wait 1");
    let alone = unhold(&mut bench, these(&[1]));
    assert_eq!(alone, ["room 1", "#5 floor 1", "reply 1"]);
}

#[test]
fn a_wait_sound_that_comes_late_does_not_replace_that_of_a_hold() {
    let music =
        JoinOptions { wait_sound: Some(ConferenceSound::Document("flow:music".into())), ..plain() };
    let mut bench = Bench::with(&[music]);
    hold(&mut bench, these(&[1]), Some("sound:ring"));
    let program = [SoundKind::Beep(1).into()].into();
    assert!(bench.handle(Command::Sounds { number: 1, program }).is_empty());
    assert_eq!(unhold(&mut bench, these(&[1])), ["wait 1 beep:1", "#4 floor 1", "reply 1"]);
}
