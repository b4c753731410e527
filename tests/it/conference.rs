//! The conference machine: a test per row of what a conference does.
//!
//! Commands go in, effects come out as short lines; the n-th call that enters has the number n,
//! as a call and as a member.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use conflow::{
    call::{Call, Direction, Party, Session},
    conference::{
        Answer, Ask, Being, Command, Conference, Effect, News, Notice, Settings, Ticket, Who,
    },
    flow::{Cause, Cue, Entry, Guard, RecordFormat},
    group::{Expulsion, GroupId, Pass, PersonId, Rank},
    ids::{CallId, Dialect, MemberId, RoomId},
    media::{AnnouncementKind, Heard, Hears, Order, Program, What},
};

struct Bench {
    room: Conference,
    start: Instant,
    now: Instant,
    member_last: u64,
}

impl Bench {
    #[expect(clippy::disallowed_methods, reason = "a place to start; any will do")]
    fn new() -> Self {
        let now = Instant::now();
        let settings = Settings { members_max: 4, ..Settings::default() };
        let room = Conference::new(now, RoomId::of(7), "weekly".parse().unwrap(), settings);
        Self { room, start: now, now, member_last: 0 }
    }

    fn with(entries: &[Entry]) -> Self {
        let mut bench = Self::new();
        entries.iter().for_each(|entry| drop(bench.enter(entry)));
        bench
    }

    fn enter(&mut self, entry: &Entry) -> Vec<String> {
        self.enter_limited(entry, Duration::from_secs(14_400))
    }

    /// Somebody comes in whom the room's group lets in.
    fn enter_with(&mut self, entry: &Entry, person: u64, revision: u64) -> Vec<String> {
        let pass = Pass { person: PersonId(person), rank: Rank::Member, revision };
        self.enter_as(entry, Duration::from_secs(14_400), Some(Box::new(pass)))
    }

    fn expel(&mut self, people: &[u64], revision: u64) -> Vec<String> {
        let people = people.iter().copied().map(PersonId).collect();
        let reason = Some("loud".into());
        self.ask(Ask::Expel(Expulsion { group: GroupId(6), revision, people, reason }))
    }

    fn enter_limited(&mut self, entry: &Entry, limit: Duration) -> Vec<String> {
        self.enter_as(entry, limit, None)
    }

    fn enter_as(&mut self, entry: &Entry, limit: Duration, pass: Option<Box<Pass>>) -> Vec<String> {
        self.member_last += 1;
        let id = CallId::of(self.member_last.into());
        let party = Party {
            from: "14155550100".into(),
            to: "weekly".into(),
            caller_name: "Anna".into(),
            direction: Direction::Inbound,
            dialect: Dialect::Plivo,
            trusted: None,
            session: Session::at(SystemTime::UNIX_EPOCH),
        };
        let mut call = Call::new(self.now, id, "MA1".parse().unwrap(), Arc::new(party), limit);
        call.pass = pass;
        let (member, entry) = (MemberId(self.member_last), Arc::new(entry.clone()));
        self.handle(Command::Enter { member, call, entry })
    }

    fn ask(&mut self, ask: Ask) -> Vec<String> {
        self.handle(Command::Ask { ticket: Ticket(1), ask })
    }

    fn kick(&mut self, who: Who) -> Vec<String> {
        self.ask(Ask::Kick { who, reason: None })
    }

    fn heard(&mut self, member: u64, heard: Heard) -> Vec<String> {
        self.handle(Command::Report { member: MemberId(member), heard })
    }

    /// Presses keys, one after the other; what comes out of it all.
    fn press(&mut self, member: u64, keys: &str) -> Vec<String> {
        keys.chars().flat_map(|key| self.heard(member, Heard::Digit(key))).collect()
    }

    fn pass(&mut self, seconds: u64) -> Vec<String> {
        self.now += Duration::from_secs(seconds);
        match self.room.deadline().is_some_and(|at| at <= self.now) {
            true => self.handle(Command::Tick),
            false => vec![],
        }
    }

    /// What came out, in short; the calls that came out are ended.
    fn handle(&mut self, command: Command) -> Vec<String> {
        let mut effects = VecDeque::new();
        self.room.handle(self.now, command, &mut effects);
        self.room.check();
        effects.into_iter().map(brief).collect()
    }

    fn deadline_seconds(&self) -> Option<u64> {
        self.room.deadline().map(|at| (at - self.start).as_secs())
    }
}

/// A room that is let go of holds live calls; a test that ends well ends them.
impl Drop for Bench {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.handle(Command::Close);
        }
    }
}

fn brief(effect: Effect) -> String {
    match effect {
        Effect::Fetch { number, url, call, .. } => format!("fetch {number} {url} for {}", n(call)),
        Effect::Media(order) => brief_order(order),
        Effect::Publish(Notice { sequence, news, .. }) => match news {
            News::Entered { who, is_first } => {
                let first = if is_first { " first" } else { "" };
                format!("#{sequence} entered {}{first}", who.member)
            }
            News::Exited { who: Being { member, .. }, exit, is_last } => {
                let last = if is_last { " last" } else { "" };
                let reason = exit.reason.map_or_else(String::new, |it| format!(" ({it})"));
                format!("#{sequence} exited {member} {}{reason}{last}", exit.cause.text())
            }
            News::DigitsMatched { who: Being { member, .. }, digits } => {
                format!("#{sequence} digits {member} {digits}")
            }
            News::FloorTaken { who } => format!("#{sequence} floor {}", who.member),
            News::Over => format!("#{sequence} over"),
            News::Started => format!("#{sequence} started"),
        },
        Effect::Release { call, exit, .. } => {
            let brief = format!("release {} {}", n(call.id), exit.cause.text());
            call.end();
            brief
        }
        Effect::Reply { outcome: Ok(Answer::Members(members)), .. } => {
            format!("reply {}", list(members.iter().map(|it| it.0)))
        }
        Effect::Reply { outcome: Ok(Answer::Roster(roster)), .. } => {
            let member = |it: &conflow::conference::Present| {
                let flags = [(it.muted, " muted"), (it.deaf, " deaf")];
                let flags: String = flags.iter().filter(|it| it.0).map(|it| it.1).collect();
                format!("{} {}s{flags}", it.member, it.join_seconds)
            };
            let members: Vec<_> = roster.members.iter().map(member).collect();
            format!("roster {}s: {}", roster.run_seconds, members.join(", "))
        }
        Effect::Reply { outcome: Err(refusal), .. } => format!("reply: {refusal}"),
        Effect::Stop => "stop".to_owned(),
        Effect::Unname => "unname".to_owned(),
    }
}

fn brief_order(order: Order) -> String {
    let calls = |calls: Vec<CallId>| list(calls.into_iter().map(|it| it.0.as_u128()));
    match order {
        Order::Announce { calls: to, program, address, .. } => {
            let kind = address.map_or_else(String::new, |it| format!(" {:?}", it.kind));
            format!("announce{kind} {} to {}", sounds(&program), calls(to))
        }
        Order::Deafen { calls: whom, on, .. } => format!("deafen {} {on}", calls(whom)),
        Order::Hush { calls: whom, address, .. } => match &address.members {
            None => format!("hush {:?} of all at {}", address.kind, calls(whom)),
            Some(ids) => {
                let ids = list(ids.iter().map(|it| it.0));
                format!("hush {:?} of {ids} at {}", address.kind, calls(whom))
            }
        },
        Order::Mute { calls: whom, on, .. } => format!("mute {} {on}", calls(whom)),
        Order::Place { calls: whom, hears: Hears::Room, .. } => format!("room {}", calls(whom)),
        Order::Place { calls: whom, hears: Hears::Wait(sound), .. } => {
            let sound = sound.map_or_else(|| "silence".to_owned(), |it| sounds(&it));
            format!("wait {} {sound}", calls(whom))
        }
        Order::RelayDigit { calls: to, digit, .. } => format!("relay {digit} to {}", calls(to)),
        Order::Remove { calls: whom, .. } => format!("remove {}", calls(whom)),
        Order::Answer { .. }
        | Order::Dial { .. }
        | Order::EarlyMedia { .. }
        | Order::End { .. }
        | Order::Play { .. }
        | Order::PlayOver { .. }
        | Order::StopOver { .. }
        | Order::Prepare { .. }
        | Order::SendDigits { .. }
        | Order::Stop { .. } => unreachable!("no order of a room: {order:?}"),
    }
}

fn sounds(program: &Program) -> String {
    let sound = |it: &conflow::media::Sound| match &it.what {
        What::Beep(number) => format!("beep:{number}"),
        What::Silence(length) => format!("silence {length:?}"),
        What::Speech { text, .. } => format!("{text:?}"),
        What::Url(url) => url.to_string(),
    };
    program.iter().map(sound).collect::<Vec<_>>().join("+")
}

fn n(call: CallId) -> u128 {
    call.0.as_u128()
}

fn list(items: impl Iterator<Item = impl ToString>) -> String {
    items.map(|it| it.to_string()).collect::<Vec<_>>().join(",")
}

fn these(ids: &[u64]) -> Who {
    Who::These(ids.iter().copied().map(MemberId).collect())
}

/// A member as Plivo's defaults make it.
fn plain() -> Entry {
    Entry {
        guard: None,
        muted: false,
        starts: true,
        ends: false,
        stays_alone: true,
        leaves_on_star: false,
        relays_digits: false,
        tells_floor: false,
        time_limit: None,
        time_limit_default: 86_400,
        members_max: None,
        enter_sound: None,
        exit_sound: None,
        wait_sound: None,
        digits_match: vec![],
        callback: None,
        action: None,
        records: false,
        record_format: RecordFormat::Mp3,
    }
}

fn ender() -> Entry {
    Entry { ends: true, ..plain() }
}

fn shy() -> Entry {
    Entry { stays_alone: false, ..plain() }
}

fn guest() -> Entry {
    Entry { starts: false, ..plain() }
}

fn limited(seconds: u32) -> Entry {
    Entry { time_limit: Some(seconds), ..plain() }
}

fn typing(patterns: &[&str]) -> Entry {
    Entry { digits_match: patterns.iter().map(|&it| it.into()).collect(), ..plain() }
}

#[track_caller]
fn has(effects: &[String], expected: &str) {
    assert!(effects.iter().any(|it| it == expected), "{expected:?} is not in {effects:#?}");
}

#[track_caller]
fn has_not(effects: &[String], part: &str) {
    assert!(!effects.iter().any(|it| it.contains(part)), "{part:?} is in {effects:#?}");
}

// Why a member leaves.

#[test]
fn a_kicked_member_goes_on_and_the_others_stay() {
    let mut bench = Bench::with(&[plain(), plain(), plain()]);
    assert_eq!(
        bench.kick(these(&[2])),
        ["remove 2", "#6 exited 2 kicked", "release 2 kicked", "reply 2"]
    );
    assert_eq!(bench.ask(Ask::Roster), ["reply roster"].map(|_| "roster 0s: 1 0s, 3 0s"));
}

#[test]
fn a_kick_carries_its_reason() {
    let mut bench = Bench::with(&[plain(), plain()]);
    let reason = Some("too loud".into());
    let effects = bench.ask(Ask::Kick { who: these(&[1]), reason });
    has(&effects, "#5 exited 1 kicked (too loud)");
}

#[test]
fn a_bulk_has_phases_and_its_targets_come_first() {
    let mut bench = Bench::with(&[shy(), plain(), ender()]);
    assert_eq!(
        bench.kick(these(&[3, 9, 2, 3])),
        [
            "remove 3,2,1",
            "#6 exited 3 kicked",
            "#7 exited 2 kicked",
            "#8 exited 1 ended last",
            "#9 over",
            "unname",
            "release 3 kicked",
            "release 2 kicked",
            "release 1 ended",
            "reply 3,2",
            "stop",
        ]
    );
}

#[test]
fn kick_all_resumes_all_even_when_one_of_them_ends_the_room() {
    let mut bench = Bench::with(&[plain(), ender(), shy(), plain()]);
    let effects = bench.kick(Who::All);
    for member in 1..=4 {
        has(&effects, &format!("release {member} kicked"));
    }
    has_not(&effects, "ended");
    has(&effects, "#10 exited 4 kicked last");
}

#[test]
fn kick_against_kick_is_a_refusal_that_changes_nothing() {
    let mut bench = Bench::with(&[plain(), plain()]);
    bench.kick(these(&[1]));
    assert_eq!(bench.kick(these(&[1])), ["reply: member not found"]);
}

#[test]
fn kick_against_hang_up_ends_the_call_once() {
    let mut bench = Bench::with(&[plain(), plain()]);
    has(&bench.heard(1, Heard::HungUp), "release 1 caller-left");
    assert_eq!(bench.kick(these(&[1])), ["reply: member not found"]);
    has(&bench.kick(these(&[2])), "release 2 kicked");
    assert!(bench.heard(2, Heard::HungUp).is_empty(), "it is gone");
}

#[test]
fn kick_of_a_waiting_member_lets_it_go_on() {
    let mut bench = Bench::with(&[guest(), guest()]);
    assert_eq!(
        bench.kick(these(&[1])),
        ["remove 1", "#3 exited 1 kicked", "release 1 kicked", "reply 1"]
    );
}

#[test]
fn kick_against_hold_takes_the_held_member_out() {
    let mut bench = Bench::with(&[shy(), plain()]);
    assert!(bench.heard(1, Heard::Hold(true)).is_empty(), "no cause fires");
    assert!(bench.heard(2, Heard::Hold(true)).is_empty(), "the held are company");
    has(&bench.kick(these(&[2])), "release 2 kicked");
    assert!(bench.heard(2, Heard::Hold(false)).is_empty(), "it is gone");
}

#[test]
fn kick_while_a_sound_plays_takes_the_sound_along() {
    let mut bench = Bench::with(&[plain(), plain()]);
    announce(&mut bench, these(&[2]), "a");
    let effects = bench.kick(these(&[2]));
    // Removal ends what was played, queued announcements included: there is no hush.
    assert_eq!(effects, ["remove 2", "#5 exited 2 kicked", "release 2 kicked", "reply 2"]);
}

#[test]
fn the_star_takes_out_who_asked_for_it() {
    let star = Entry { leaves_on_star: true, ..plain() };
    let mut bench = Bench::with(&[star.clone(), plain()]);
    assert!(bench.press(2, "*").is_empty());
    has(&bench.press(1, "*"), "release 1 starred");
}

#[test]
fn the_first_ender_that_leaves_ends_the_room() {
    for heard in [Heard::HungUp, Heard::Lost] {
        let mut bench = Bench::with(&[ender(), plain(), ender()]);
        let effects = bench.heard(1, heard);
        has(&effects, "release 2 ended");
        has(&effects, "release 3 ended");
        assert_eq!(effects.last().unwrap(), "stop");
    }
}

#[test]
fn a_kicked_ender_ends_the_room_and_is_itself_kicked() {
    let mut bench = Bench::with(&[plain(), ender(), plain()]);
    let effects = bench.kick(these(&[2]));
    has(&effects, "release 2 kicked");
    has(&effects, "release 1 ended");
    has(&effects, "release 3 ended");
}

#[test]
fn only_who_has_had_company_is_alone() {
    let mut bench = Bench::with(&[shy()]);
    assert_eq!(bench.kick(these(&[2])), ["reply: member not found"]);
    bench.enter(&plain());
    let effects = bench.kick(these(&[2]));
    has(&effects, "release 1 alone");
}

#[test]
fn ended_comes_before_alone() {
    let mut bench = Bench::with(&[shy(), ender()]);
    has(&bench.kick(these(&[2])), "release 1 ended");
}

#[test]
fn who_finds_the_room_full_was_never_a_member() {
    let mut bench = Bench::with(&[ender(), plain(), plain(), plain()]);
    assert_eq!(bench.enter(&ender()), ["release 5 full"]);
    assert_eq!(bench.ask(Ask::Roster).len(), 1);
}

#[test]
fn the_first_member_that_states_it_settles_how_many_there_may_be() {
    let two = Entry { members_max: Some(2), ..plain() };
    let mut bench = Bench::with(&[plain(), two, Entry { members_max: Some(9), ..plain() }]);
    // Three were in question when two were the limit.
    assert_eq!(bench.ask(Ask::Roster), ["roster 0s: 1 0s, 2 0s"]);
    let over_the_cap = Entry { members_max: Some(99), ..plain() };
    let mut bench = Bench::with(&[over_the_cap, plain(), plain(), plain()]);
    assert_eq!(bench.enter(&plain()), ["release 5 full"]);
}

#[test]
fn who_is_out_of_the_group_is_out_of_the_room_with_all_his_calls() {
    let mut bench = Bench::new();
    for (person, entry) in [(1, shy()), (2, plain()), (2, plain())] {
        bench.enter_with(&entry, person, 5);
    }
    let expected = [
        "remove 2,3,1",
        "#6 exited 2 group-kicked (loud)",
        "#7 exited 3 group-kicked (loud)",
        "#8 exited 1 alone last",
        "#9 over",
        "unname",
        "release 2 group-kicked",
        "release 3 group-kicked",
        "release 1 alone",
        "reply 2,3",
        "stop",
    ];
    assert_eq!(bench.expel(&[2, 9], 6), expected);
}

#[test]
fn an_expulsion_spares_who_has_come_back_and_keeps_out_who_was_let_in_before() {
    let mut bench = Bench::new();
    bench.enter_with(&plain(), 1, 5);
    // Let in again before the room hears of the removal.
    bench.enter_with(&plain(), 2, 7);
    assert_eq!(bench.expel(&[2], 6), ["reply: member not found"]);
    let expected = ["release 3 not-member"];
    assert_eq!(bench.enter_with(&plain(), 1, 5), expected, "nobody knows whether that holds");
    has(&bench.enter_with(&plain(), 1, 6), "#5 entered 4");
    has(&bench.expel(&[2], 8), "#6 exited 2 group-kicked (loud)");
}

#[test]
fn the_first_moderator_starts_the_room_and_the_last_one_ends_it() {
    let guard = |moderators| Some(Guard { group: GroupId(6), moderators });
    let ranked = Entry { guard: guard(Some(Rank::Member)), ..plain() };
    // To start it is not for him.
    let other = Entry { guard: guard(Some(Rank::Owner)), ..plain() };
    let mut bench = Bench::new();
    has_not(&bench.enter_with(&other, 1, 5), "started");
    has(&bench.enter_with(&Entry { starts: false, ..ranked.clone() }, 2, 5), "#3 started");
    bench.enter_with(&ranked, 3, 5);
    has_not(&bench.heard(2, Heard::HungUp), "ended");
    let effects = bench.expel(&[3], 6);
    has(&effects, "release 3 group-kicked");
    has(&effects, "release 1 ended");
}

#[test]
fn media_that_are_lost_and_calls_that_are_hung_up_go_nowhere() {
    let mut bench = Bench::with(&[plain(), plain(), plain()]);
    has(&bench.heard(1, Heard::Lost), "release 1 media-lost");
    let effects = bench.handle(Command::HangUp { member: MemberId(2), cause: Cause::HungUpByApi });
    has(&effects, "release 2 hung-up-by-api");
    has(&bench.ask(Ask::HangUp { who: Who::All }), "release 3 hung-up-by-api");
}

#[test]
fn a_calls_own_limit_ends_it_in_the_room() {
    let mut bench = Bench::with(&[plain()]);
    bench.enter_limited(&plain(), Duration::from_secs(30));
    assert!(bench.pass(29).is_empty());
    has(&bench.pass(1), "release 2 call-time-up");
}

#[test]
fn a_planned_shutdown_drains() {
    let mut bench = Bench::with(&[guest(), ender()]);
    let effects = bench.handle(Command::Close);
    has(&effects, "release 1 drained");
    has(&effects, "release 2 drained");
}

// Time limits.

#[test]
fn the_earliest_limit_that_is_stated_holds() {
    let mut bench = Bench::with(&[limited(30), limited(50), plain()]);
    assert_eq!(bench.deadline_seconds(), Some(30));
    bench.pass(10);
    // From the room's creation, not from the entry.
    bench.enter(&limited(25));
    assert_eq!(bench.deadline_seconds(), Some(25));
    assert!(bench.pass(14).is_empty());
    let effects = bench.pass(1);
    has(&effects, "release 2 time-up");
    has(&effects, "stop");
    assert_eq!(bench.deadline_seconds(), None);
}

#[test]
fn time_limit_against_a_new_joiner_is_never_extended() {
    let mut bench = Bench::with(&[limited(30)]);
    bench.pass(29);
    bench.enter(&limited(30));
    has(&bench.pass(1), "release 2 time-up");
}

#[test]
fn a_default_is_no_statement() {
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

// Waiting, company.

#[test]
fn who_waits_is_a_member_and_hears_its_wait_sound() {
    let hold = Entry { wait_sound: Some(Cue::BuiltIn("sound:hold".into())), ..guest() };
    let mut bench = Bench::new();
    assert_eq!(bench.enter(&hold), ["#1 entered 1 first", "wait 1 sound:hold"]);
    assert_eq!(bench.enter(&guest()), ["#2 entered 2", "wait 2 silence"]);
    assert_eq!(bench.ask(Ask::Roster), ["roster 0s: 1 0s, 2 0s"]);
    let starter = bench.enter(&plain());
    assert_eq!(starter, ["#3 entered 3", "#4 started", "room 1,2,3"]);
    // Starting is one-way.
    bench.kick(these(&[3]));
    assert_eq!(bench.enter(&guest()), ["#6 entered 4", "room 4"]);
}

#[test]
fn flags_that_are_set_while_waiting_apply_at_the_start() {
    let mut bench = Bench::with(&[guest()]);
    assert_eq!(bench.ask(mute(these(&[1]), true)), ["mute 1 true", "reply 1"]);
    assert_eq!(bench.ask(Ask::Roster), ["roster 0s: 1 0s muted"]);
    let effects = bench.enter(&plain());
    has(&effects, "room 1,2");
    has_not(&effects, "mute");
}

#[test]
fn who_is_alone_hears_the_wait_sound_until_somebody_comes() {
    let hold = Entry { wait_sound: Some(Cue::BuiltIn("sound:hold".into())), ..plain() };
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
fn a_wait_sound_that_is_a_document_is_fetched_once_and_heard_when_it_comes() {
    let music = Entry { wait_sound: Some(Cue::Document("flow:music".into())), ..plain() };
    let mut bench = Bench::new();
    let effects = bench.enter(&music);
    assert_eq!(effects[2..4], ["wait 1 silence", "fetch 1 flow:music for 1"]);
    // However late.
    bench.pass(60);
    let program: Program = [What::Url("https://example.com/a.mp3".into()).into()].into();
    let came = Command::Sounds { number: 1, program };
    assert_eq!(bench.handle(came), ["wait 1 https://example.com/a.mp3"]);
    bench.enter(&plain());
    has(&bench.kick(these(&[2])), "wait 1 https://example.com/a.mp3");
}

// Sounds of coming and going.

#[test]
fn the_room_hears_who_comes_and_only_those_who_remain_hear_who_goes() {
    let beeping =
        Entry { enter_sound: Some(Cue::Beep(1)), exit_sound: Some(Cue::Beep(2)), ..plain() };
    let mut bench = Bench::with(&[plain(), plain()]);
    has(&bench.enter(&beeping), "announce beep:1 to 1,2,3");
    has(&bench.enter(&beeping), "announce beep:1 to 1,2,3,4");
    // Equal sounds of one step play once.
    let effects = bench.kick(these(&[3, 4]));
    assert_eq!(effects[..2], ["remove 3,4", "announce beep:2 to 1,2"]);
    assert_eq!(effects.iter().filter(|it| it.contains("announce")).count(), 1);
}

#[test]
fn nobody_hears_beeps_before_the_start_or_in_an_empty_room() {
    let beeping =
        |entry| Entry { enter_sound: Some(Cue::Beep(1)), exit_sound: Some(Cue::Beep(2)), ..entry };
    let mut bench = Bench::with(&[guest()]);
    has_not(&bench.enter(&beeping(guest())), "announce");
    has_not(&bench.kick(these(&[2])), "announce");
    has_not(&bench.kick(these(&[1])), "announce");
}

#[test]
fn a_sound_document_for_the_room_is_dropped_when_it_is_late() {
    let jingle = Entry { enter_sound: Some(Cue::Document("flow:jingle".into())), ..plain() };
    let came = |number| {
        let program = [What::Beep(1).into()].into();
        Command::Sounds { number, program }
    };
    let mut bench = Bench::new();
    has(&bench.enter(&jingle), "fetch 1 flow:jingle for 1");
    bench.pass(4);
    assert_eq!(bench.handle(came(1)), ["announce beep:1 to 1"]);
    has(&bench.enter(&jingle), "fetch 2 flow:jingle for 2");
    bench.pass(5);
    assert!(bench.handle(came(2)).is_empty(), "five seconds are too late");
    has(&bench.enter(&jingle), "fetch 3 flow:jingle for 3");
    let nothing = Command::Sounds { number: 3, program: [].into() };
    assert!(bench.handle(nothing).is_empty(), "what cannot be had is silence");
}

// Mute, deaf, announcements.

fn mute(who: Who, on: bool) -> Ask {
    Ask::Mute { who, on }
}

fn announce(bench: &mut Bench, who: Who, url: &str) -> Vec<String> {
    let sound = What::Url(url.into()).into();
    bench.ask(Ask::Announce { who, kind: AnnouncementKind::Play, sound })
}

#[test]
fn mute_and_deaf_are_told_once_and_answered_always() {
    let mut bench = Bench::with(&[Entry { muted: true, ..plain() }, plain()]);
    assert_eq!(bench.ask(mute(Who::All, true)), ["mute 2 true", "reply 1,2"]);
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
    let effects = announce(&mut bench, Who::All, "a");
    assert_eq!(effects, ["announce Play a to 1,3", "reply 1,2,3"]);
    let effects = announce(&mut bench, these(&[2, 1]), "b");
    assert_eq!(effects, ["announce Play b to 2,1", "reply 2,1"]);
}

#[test]
fn a_stop_has_the_words_of_the_start() {
    let mut bench = Bench::with(&[plain(), plain()]);
    let hush = |who| Ask::Hush { who, kind: AnnouncementKind::Play };
    // Who has left in between belongs to the set all the same.
    let effects = bench.ask(hush(these(&[2, 9, 1, 2])));
    assert_eq!(effects, ["hush Play of 1,2,9 at 2,1", "reply 2,1"]);
    assert_eq!(bench.ask(hush(Who::All)), ["hush Play of all at 1,2", "reply 1,2"]);
    assert_eq!(bench.ask(hush(these(&[9]))), ["reply: member not found"]);
}

// Digits.

#[test]
fn the_longest_pattern_that_ends_the_input_fires_and_clears_it() {
    let mut bench = Bench::with(&[typing(&["1", "21", "321"]), plain()]);
    assert_eq!(bench.press(1, "91"), ["#5 digits 1 1"]);
    assert_eq!(bench.press(1, "321"), ["#6 digits 1 321"]);
    assert_eq!(bench.press(1, "2"), [""; 0]);
    bench.pass(2);
    assert_eq!(bench.press(1, "1"), ["#7 digits 1 21"]);
    // Three seconds of nothing clear it.
    bench.press(1, "2");
    bench.pass(3);
    assert_eq!(bench.press(1, "1"), ["#8 digits 1 1"]);
}

#[test]
fn the_digits_of_the_muted_and_waiting_count() {
    let waiting = Entry { starts: false, muted: true, ..typing(&["55"]) };
    let mut bench = Bench::with(&[waiting]);
    assert_eq!(bench.press(1, "55"), ["#2 digits 1 55"]);
}

#[test]
fn the_star_wins_over_a_pattern_that_begins_with_it() {
    let both = Entry { leaves_on_star: true, ..typing(&["*9", "1*"]) };
    let mut bench = Bench::with(&[plain(), both.clone(), both]);
    has(&bench.press(2, "*"), "release 2 starred");
    // One that has been begun is finished.
    assert_eq!(bench.press(3, "1*"), ["#7 digits 3 1*"]);
}

#[test]
fn a_relayed_key_is_heard_by_the_others() {
    let relaying = Entry { relays_digits: true, ..plain() };
    let mut bench = Bench::with(&[relaying, plain(), plain()]);
    assert_eq!(bench.press(1, "5"), ["relay 5 to 2,3"]);
    assert!(bench.press(2, "5").is_empty());
    bench.ask(mute(these(&[1]), true));
    assert!(bench.press(1, "5").is_empty(), "who is muted is not heard");
}

// The floor.

#[test]
fn the_floor_goes_to_whoever_talks_while_its_holder_is_silent() {
    let mut bench = Bench::new();
    has(&bench.enter(&plain()), "#3 floor 1");
    bench.enter(&plain());
    bench.enter(&plain());
    assert!(bench.heard(1, Heard::Talk(true)).is_empty(), "it has the floor already");
    assert!(bench.heard(2, Heard::Talk(true)).is_empty(), "the holder talks");
    assert!(bench.heard(3, Heard::Talk(true)).is_empty());
    assert_eq!(bench.heard(1, Heard::Talk(false)), ["#6 floor 2"]);
    bench.ask(mute(these(&[2]), true));
    // Who is muted or held has no floor.
    assert!(bench.heard(1, Heard::Talk(true)).is_empty());
    assert_eq!(bench.heard(3, Heard::Hold(true)), ["#8 floor 1"]);
    has_not(&bench.kick(these(&[1])), "floor");
    assert_eq!(bench.ask(mute(these(&[2]), false)), ["mute 2 false", "#10 floor 2", "reply 2"]);
}

// What arrives for nobody.

#[test]
fn reports_on_who_has_left_change_nothing() {
    let mut bench = Bench::with(&[plain(), plain()]);
    bench.kick(these(&[1]));
    for heard in [Heard::Digit('1'), Heard::Talk(true), Heard::Hold(true), Heard::Over(1)] {
        assert!(bench.heard(1, heard).is_empty(), "{heard:?}");
    }
}
