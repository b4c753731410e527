//! The conference machine: one test per rule of a conference.
//!
//! Commands go in, effects come out as short lines. The n-th call that enters has the number n, as
//! call and as member.

mod dial;
mod invite;
mod record;
mod stay;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use conflow::{
    base::ids::{CallId, Dialect, Incarnation, MemberId, RoomId},
    call::{Call, CallDirection, CallSession, Party},
    conference::{
        Ask, AskTicket, Command, Conference, ConferenceAnswer, ConferenceEvent, Effect, Kick,
        MemberInfo, MemberSelector, Notice, Settings,
    },
    flow::{AfterExit, Cause, ConferenceSound, JoinOptions, RecordingFormat, RoomGuard},
    group::{Admission, Expulsion, GroupId, PersonId, Rank},
    media::{
        AnnouncementKind, AudioOrder, LegEvent, MemberAudio, Program, SignallingOrder, SoundKind,
        SoundToAll,
    },
};

struct Bench {
    room: Conference,
    start: Instant,
    now: Instant,
    member_last: u64,
}

impl Bench {
    #[expect(clippy::disallowed_methods, reason = "a place to start; any will do")]
    fn of_size(members_max: usize) -> Self {
        let now = Instant::now();
        let settings = Settings { members_max, ..Settings::default() };
        let room = Conference::new(now, Incarnation::of(RoomId::of(7), "weekly"), &settings);
        Self { room, start: now, now, member_last: 0 }
    }

    fn new() -> Self {
        Self::of_size(4)
    }

    fn with(entries: &[JoinOptions]) -> Self {
        let mut bench = Self::new();
        entries.iter().for_each(|entry| drop(bench.enter(entry)));
        bench
    }

    fn enter(&mut self, entry: &JoinOptions) -> Vec<String> {
        self.enter_limited(entry, Duration::from_secs(14_400))
    }

    /// A call enters whose person the room's group admits.
    fn enter_with(&mut self, entry: &JoinOptions, person: u64, revision: u64) -> Vec<String> {
        let admission = Admission { person: PersonId(person), rank: Rank::Member, revision };
        self.enter_as(entry, Duration::from_secs(14_400), Some(Box::new(admission)))
    }

    fn expel(&mut self, people: &[u64], revision: u64) -> Vec<String> {
        let people = people.iter().copied().map(PersonId).collect();
        let reason = Some("loud".into());
        self.ask(Ask::Expel(Expulsion { group: GroupId(6), revision, people, reason }))
    }

    fn enter_limited(&mut self, entry: &JoinOptions, limit: Duration) -> Vec<String> {
        self.enter_as(entry, limit, None)
    }

    fn enter_as(
        &mut self,
        entry: &JoinOptions,
        limit: Duration,
        admission: Option<Box<Admission>>,
    ) -> Vec<String> {
        let entry = self.entry_as(entry, limit, admission);
        self.handle(entry)
    }

    /// The entry of a new call.
    fn entry(&mut self, entry: &JoinOptions) -> Command {
        self.entry_as(entry, Duration::from_secs(14_400), None)
    }

    fn entry_as(
        &mut self,
        entry: &JoinOptions,
        limit: Duration,
        admission: Option<Box<Admission>>,
    ) -> Command {
        self.member_last += 1;
        let id = CallId::of(self.member_last.into());
        let party = Party {
            from: "14155550100".into(),
            to: "weekly".into(),
            caller_name: "Anna".into(),
            direction: CallDirection::Inbound,
            dialect: Dialect::Plivo,
            trusted: None,
            session: CallSession::at(SystemTime::UNIX_EPOCH),
        };
        let mut call = Call::new(self.now, id, "MA1".parse().unwrap(), Arc::new(party), limit);
        call.admission = admission;
        let (member, entry) = (MemberId(self.member_last), Arc::new(entry.clone()));
        Command::Enter { member, call, entry }
    }

    /// The number of steps that a command's effects take.
    fn steps(&mut self, command: Command) -> usize {
        let mut effects = VecDeque::new();
        self.room.handle(self.now, command, &mut effects);
        let steps = effects.iter().map(Effect::steps).sum();
        self.finish(effects);
        steps
    }

    fn ask(&mut self, ask: Ask) -> Vec<String> {
        self.handle(Command::Ask { ticket: AskTicket(1), ask })
    }

    fn kick(&mut self, who: MemberSelector) -> Vec<String> {
        self.ask(Ask::Kick { who, kick: Kick::default() })
    }

    fn heard(&mut self, member: u64, heard: LegEvent) -> Vec<String> {
        self.handle(Command::Report { member: MemberId(member), heard })
    }

    /// Presses keys one after another and returns all effects.
    fn press(&mut self, member: u64, keys: &str) -> Vec<String> {
        keys.chars().flat_map(|key| self.heard(member, LegEvent::Digit(key))).collect()
    }

    fn advance(&mut self, seconds: u64) -> Vec<String> {
        self.now += Duration::from_secs(seconds);
        match self.room.deadline().is_some_and(|at| at <= self.now) {
            true => self.handle(Command::Tick),
            false => vec![],
        }
    }

    /// Returns the effects in short form. Calls that come out are ended.
    fn handle(&mut self, command: Command) -> Vec<String> {
        let mut effects = VecDeque::new();
        self.room.handle(self.now, command, &mut effects);
        self.finish(effects)
    }

    fn finish(&mut self, effects: VecDeque<Effect>) -> Vec<String> {
        self.room.check();
        let each = effects.into_iter().flat_map(|effect| {
            if let Effect::Leave(leave) = effect { leave.collect() } else { vec![effect] }
        });
        let mut exits = BTreeMap::new();
        let check = |effect: &Effect| {
            if let Effect::Publish(Notice {
                sequence,
                event: ConferenceEvent::Exited { who, .. },
            }) = effect
            {
                exits.insert(who.member, *sequence);
            }
            if let Effect::Release { member, sequence, .. } = effect {
                assert_eq!(*sequence, exits.remove(member), "the number of its exit");
            }
        };
        each.inspect(check).map(brief).collect()
    }

    fn deadline_seconds(&self) -> Option<u64> {
        self.room.deadline().map(|at| (at - self.start).as_secs())
    }
}

/// A room must not be dropped with live calls, so a test that passes ends them.
impl Drop for Bench {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.handle(Command::Close);
        }
    }
}

#[expect(clippy::too_many_lines, reason = "a row for each effect")]
fn brief(effect: Effect) -> String {
    match effect {
        Effect::Admit { member, call, .. } => {
            call.end();
            format!("admit {member}")
        }
        Effect::Ban { member, who, length, .. } => format!("ban {member} {who} {length:?}"),
        Effect::Call { call, event, .. } => format!("{} {event:?}", n(call)),
        Effect::End { call, ending, .. } => {
            let brief =
                format!("end {} {} {}", n(call.id), ending.cause.code(), ending.source.text());
            call.end();
            brief
        }
        Effect::Signal(order) => match order {
            SignallingOrder::Answer { call } => format!("answer {}", n(call)),
            SignallingOrder::Dial { call, dialling, .. } => {
                format!("dial {} {}", n(call), dialling.to)
            }
            SignallingOrder::EarlyMedia { call } => format!("early {}", n(call)),
            SignallingOrder::End { .. } => unreachable!("a room ends calls by `End`"),
        },
        Effect::Tell { event, .. } => dial::brief_event(&event),
        Effect::Fetch { number, url, call, .. } => format!("fetch {number} {url} for {}", n(call)),
        Effect::Leave(_) => unreachable!("handled above"),
        Effect::Media(order) => brief_order(order),
        Effect::Publish(Notice { sequence, event: news, .. }) => match news {
            ConferenceEvent::Entered { who, is_first, .. } => {
                let first = if is_first { " first" } else { "" };
                format!("#{sequence} entered {}{first}", who.member)
            }
            ConferenceEvent::Exited {
                who: MemberInfo { member, .. },
                cause,
                reason,
                is_last,
                ..
            } => {
                let last = if is_last { " last" } else { "" };
                let reason = reason.map_or_else(String::new, |it| format!(" ({it})"));
                format!("#{sequence} exited {member} {}{reason}{last}", cause.text())
            }
            ConferenceEvent::DigitsMatched { who: MemberInfo { member, .. }, digits } => {
                format!("#{sequence} digits {member} {digits}")
            }
            ConferenceEvent::FloorTaken { who } => format!("#{sequence} floor {}", who.member),
            ConferenceEvent::Over => format!("#{sequence} over"),
            ConferenceEvent::Started => format!("#{sequence} started"),
        },
        Effect::Record { who, .. } => format!("record for {}", n(who.call)),
        Effect::RecordDialled { who, pending } => {
            let id = pending.id.map_or_else(String::new, |it| format!(" as {}", it.0.as_u128()));
            format!("record {} {:?}{id}", n(who.call), pending.options.kind)
        }
        Effect::StopDialled { call } => format!("stop recording {}", n(call)),
        Effect::CutRecording { on } => format!("cut recording {on}"),
        Effect::Release { call, exit, .. } => {
            let result = exit.dialled.as_ref().map_or_else(String::new, |it| {
                format!(" {} {} {}", it.status.text(), it.has_rung, it.cause.code())
            });
            let ending = if let AfterExit::End(it) = exit.then {
                format!(" {} {}", it.cause.code(), it.source.text())
            } else {
                String::new()
            };
            let brief = format!("release {} {}{ending}{result}", n(call.id), exit.cause.text());
            call.end();
            brief
        }
        Effect::Reply { outcome: Ok(ConferenceAnswer::Members(members)), .. } => {
            format!("reply {}", list(members.iter().map(|it| it.0)))
        }
        Effect::Reply { outcome: Ok(ConferenceAnswer::Banned { members, unknown }), .. } => {
            let [members, unknown] = [members, unknown].map(|it| list(it.iter().map(|it| it.0)));
            format!("reply {members}, not banned {unknown}")
        }
        Effect::Reply { outcome: Ok(ConferenceAnswer::Departures(departures)), .. } => {
            let leaves = departures.iter().map(|it| format!("{} {}", it.member, it.cause.text()));
            format!("would leave: {}", leaves.collect::<Vec<_>>().join(", "))
        }
        Effect::Reply { outcome: Ok(ConferenceAnswer::Callee(call)), .. } => {
            format!("reply callee {}", n(call))
        }
        Effect::Reply { outcome: Ok(ConferenceAnswer::Roster(roster)), .. } => {
            let member = |it: &conflow::conference::RosterEntry| {
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

fn brief_order(order: AudioOrder) -> String {
    let calls = |calls: Vec<CallId>| list(calls.into_iter().map(|it| it.0.as_u128()));
    match order {
        AudioOrder::Announce { calls: to, program, address, .. } => {
            format!("announce {:?} {} to {}", address.kind, sounds(&program), calls(to))
        }
        AudioOrder::Deafen { calls: whom, on, .. } => format!("deafen {} {on}", calls(whom)),
        AudioOrder::Hush { calls: whom, address, .. } => match &address.members {
            None => unreachable!("it is for all of the room"),
            Some(ids) => {
                let ids = list(ids.iter().map(|it| it.0));
                format!("hush {:?} of {ids} at {}", address.kind, calls(whom))
            }
        },
        AudioOrder::Mute { calls: whom, on, .. } => format!("mute {} {on}", calls(whom)),
        AudioOrder::Place { calls: whom, hears: MemberAudio::Room, .. } => {
            format!("room {}", calls(whom))
        }
        AudioOrder::Place { calls: whom, hears: MemberAudio::Wait(sound), .. } => {
            let sound = sound.map_or_else(|| "silence".to_owned(), |it| sounds(&it));
            format!("wait {} {sound}", calls(whom))
        }
        AudioOrder::Record { .. } | AudioOrder::StopRecording { .. } => {
            unreachable!("a room does not record by itself")
        }
        AudioOrder::ToRoom { sound, .. } => match &*sound {
            SoundToAll::Play { address, program, .. } => {
                let kind =
                    address.as_ref().map_or_else(String::new, |it| format!(" {:?}", it.kind));
                format!("announce{kind} {} to all", sounds(program))
            }
            SoundToAll::Hush { address } => format!("hush {:?} of all", address.kind),
            SoundToAll::RelayDigit { from, digit } => {
                format!("relay {digit} to all but {}", n(*from))
            }
        },
        AudioOrder::Remove { calls: whom, .. } => format!("remove {}", calls(whom)),
        AudioOrder::Play { call, number, program } => {
            format!("play {} {number} {}", n(call), sounds(&program))
        }
        AudioOrder::SendDigits { call, number, digits } => {
            format!("keys {} {number} {digits}", n(call))
        }
        AudioOrder::PlayOver { .. }
        | AudioOrder::StopOver { .. }
        | AudioOrder::Prepare { .. }
        | AudioOrder::PlayOn { .. }
        | AudioOrder::Stop { .. } => unreachable!("no order of a room: {order:?}"),
    }
}

fn sounds(program: &Program) -> String {
    let sound = |it: &conflow::media::Sound| match &it.what {
        SoundKind::Beep(number) => format!("beep:{number}"),
        SoundKind::Silence(length) => format!("silence {length:?}"),
        SoundKind::Speech { text, .. } => format!("{text:?}"),
        SoundKind::Url(url) => url.to_string(),
    };
    program.iter().map(sound).collect::<Vec<_>>().join("+")
}

fn n(call: CallId) -> u128 {
    call.0.as_u128()
}

fn list(items: impl Iterator<Item = impl ToString>) -> String {
    items.map(|it| it.to_string()).collect::<Vec<_>>().join(",")
}

fn these(ids: &[u64]) -> MemberSelector {
    MemberSelector::These(ids.iter().copied().map(MemberId).collect())
}

fn announce(bench: &mut Bench, who: MemberSelector, url: &str) -> Vec<String> {
    let sound = SoundKind::Url(url.into()).into();
    bench.ask(Ask::Announce { who, kind: AnnouncementKind::Play, sound })
}

/// A member with Plivo's defaults.
fn plain() -> JoinOptions {
    JoinOptions {
        guard: None,
        muted: false,
        starts: true,
        ends: false,
        stays_alone: true,
        leaves_on_star: false,
        relays_digits: false,
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
        records_alone: false,
        recording_format: RecordingFormat::Mp3,
    }
}

fn ender() -> JoinOptions {
    JoinOptions { ends: true, ..plain() }
}

fn leaves_alone() -> JoinOptions {
    JoinOptions { stays_alone: false, ..plain() }
}

fn guest() -> JoinOptions {
    JoinOptions { starts: false, ..plain() }
}

fn limited(seconds: u32) -> JoinOptions {
    JoinOptions { time_limit: Some(seconds), ..plain() }
}

fn typing(patterns: &[&str]) -> JoinOptions {
    JoinOptions { digits_match: patterns.iter().map(|&it| it.into()).collect(), ..plain() }
}

#[track_caller]
fn has(effects: &[String], expected: &str) {
    assert!(effects.iter().any(|it| it == expected), "{expected:?} is not in {effects:#?}");
}

#[track_caller]
fn has_not(effects: &[String], part: &str) {
    assert!(!effects.iter().any(|it| it.contains(part)), "{part:?} is in {effects:#?}");
}

// Causes of leaving.

#[test]
fn a_kicked_member_continues_and_the_others_stay() {
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
    let effects =
        bench.ask(Ask::Kick { who: these(&[1]), kick: Kick { reason, ..Kick::default() } });
    has(&effects, "#5 exited 1 kicked (too loud)");
}

#[test]
fn a_bulk_kick_has_phases_and_its_targets_come_first() {
    let mut bench = Bench::with(&[leaves_alone(), plain(), ender()]);
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
fn kick_all_releases_all_even_when_one_of_them_ends_the_room() {
    let mut bench = Bench::with(&[plain(), ender(), leaves_alone(), plain()]);
    let effects = bench.kick(MemberSelector::All);
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
    has(&bench.heard(1, LegEvent::HungUp), "release 1 caller-left");
    assert_eq!(bench.kick(these(&[1])), ["reply: member not found"]);
    has(&bench.kick(these(&[2])), "release 2 kicked");
    assert!(bench.heard(2, LegEvent::HungUp).is_empty(), "it is gone");
}

#[test]
fn kick_of_a_waiting_member_lets_it_continue() {
    let mut bench = Bench::with(&[guest(), guest()]);
    assert_eq!(
        bench.kick(these(&[1])),
        ["remove 1", "#3 exited 1 kicked", "release 1 kicked", "reply 1"]
    );
}

#[test]
fn kick_against_hold_takes_the_held_member_out() {
    let mut bench = Bench::with(&[leaves_alone(), plain()]);
    assert!(bench.heard(1, LegEvent::Hold(true)).is_empty(), "no cause fires");
    assert!(bench.heard(2, LegEvent::Hold(true)).is_empty(), "a held member is company");
    has(&bench.kick(these(&[2])), "release 2 kicked");
    assert!(bench.heard(2, LegEvent::Hold(false)).is_empty(), "it is gone");
}

#[test]
fn kick_during_a_sound_stops_the_sound() {
    let mut bench = Bench::with(&[plain(), plain()]);
    announce(&mut bench, these(&[2]), "a");
    let effects = bench.kick(these(&[2]));
    // Removal ends every sound, queued announcements included; no separate stop is sent.
    assert_eq!(effects, ["remove 2", "#5 exited 2 kicked", "release 2 kicked", "reply 2"]);
}

#[test]
fn the_star_key_releases_the_member_who_pressed_it() {
    let star = JoinOptions { leaves_on_star: true, ..plain() };
    let mut bench = Bench::with(&[star.clone(), plain()]);
    assert!(bench.press(2, "*").is_empty());
    has(&bench.press(1, "*"), "release 1 starred");
}

#[test]
fn the_first_ender_that_leaves_ends_the_room() {
    for heard in [LegEvent::HungUp, LegEvent::MediaLost] {
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
fn only_a_member_who_had_company_is_alone() {
    let mut bench = Bench::with(&[leaves_alone()]);
    assert_eq!(bench.kick(these(&[2])), ["reply: member not found"]);
    bench.enter(&plain());
    let effects = bench.kick(these(&[2]));
    has(&effects, "release 1 alone");
}

#[test]
fn ended_is_decided_before_alone() {
    let mut bench = Bench::with(&[leaves_alone(), ender()]);
    has(&bench.kick(these(&[2])), "release 1 ended");
}

#[test]
fn a_caller_who_finds_the_room_full_was_never_a_member() {
    let mut bench = Bench::with(&[ender(), plain(), plain(), plain()]);
    assert_eq!(bench.enter(&ender()), ["release 5 full"]);
    assert_eq!(bench.ask(Ask::Roster).len(), 1);
}

#[test]
fn the_first_member_that_states_a_limit_sets_the_size_of_the_room() {
    let two = JoinOptions { members_max: Some(2), ..plain() };
    let mut bench = Bench::with(&[plain(), two, JoinOptions { members_max: Some(9), ..plain() }]);
    // The limit is two; three members were possible before it was stated.
    assert_eq!(bench.ask(Ask::Roster), ["roster 0s: 1 0s, 2 0s"]);
    let over_the_cap = JoinOptions { members_max: Some(99), ..plain() };
    let mut bench = Bench::with(&[over_the_cap, plain(), plain(), plain()]);
    assert_eq!(bench.enter(&plain()), ["release 5 full"]);
}

#[test]
fn a_person_removed_from_the_group_leaves_the_room_with_all_their_calls() {
    let mut bench = Bench::new();
    for (person, entry) in [(1, leaves_alone()), (2, plain()), (2, plain())] {
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
fn an_expulsion_spares_a_person_readmitted_later_and_refuses_one_admitted_before() {
    let mut bench = Bench::new();
    bench.enter_with(&plain(), 1, 5);
    // Admitted again before the room learns of the removal.
    bench.enter_with(&plain(), 2, 7);
    assert_eq!(bench.expel(&[2], 6), ["reply: member not found"]);
    let expected = ["release 3 not-member"];
    assert_eq!(bench.enter_with(&plain(), 1, 5), expected, "the admission may be outdated");
    has(&bench.enter_with(&plain(), 1, 6), "#5 entered 4");
    has(&bench.expel(&[2], 8), "#6 exited 2 group-kicked (loud)");
}

#[test]
fn the_first_moderator_starts_the_room_and_the_last_one_ends_it() {
    let guard = |moderators| Some(RoomGuard { group: GroupId(6), moderators });
    let ranked = JoinOptions { guard: guard(Some(Rank::Member)), ..plain() };
    // This member may not start it.
    let other = JoinOptions { guard: guard(Some(Rank::Owner)), ..plain() };
    let mut bench = Bench::new();
    has_not(&bench.enter_with(&other, 1, 5), "started");
    has(&bench.enter_with(&JoinOptions { starts: false, ..ranked.clone() }, 2, 5), "#3 started");
    bench.enter_with(&ranked, 3, 5);
    has_not(&bench.heard(2, LegEvent::HungUp), "ended");
    let effects = bench.expel(&[3], 6);
    has(&effects, "release 3 group-kicked");
    has(&effects, "release 1 ended");
}

#[test]
fn calls_with_lost_media_and_calls_that_hung_up_do_not_continue() {
    let mut bench = Bench::with(&[plain(), plain(), plain()]);
    has(&bench.heard(1, LegEvent::MediaLost), "release 1 media-lost");
    let effects = bench.handle(Command::HangUp { member: MemberId(2), cause: Cause::HungUpByApi });
    has(&effects, "release 2 hung-up-by-api");
    has(&bench.ask(Ask::HangUp { who: MemberSelector::All }), "release 3 hung-up-by-api");
}

#[test]
fn a_calls_own_limit_ends_it_in_the_room() {
    let mut bench = Bench::with(&[plain()]);
    bench.enter_limited(&plain(), Duration::from_secs(30));
    assert!(bench.advance(29).is_empty());
    has(&bench.advance(1), "release 2 call-time-up");
}

#[test]
fn a_planned_shutdown_drains() {
    let mut bench = Bench::with(&[guest(), ender()]);
    let effects = bench.handle(Command::Close);
    has(&effects, "release 1 drained");
    has(&effects, "release 2 drained");
}

// Commands for members who have left.

#[test]
fn reports_about_members_who_have_left_change_nothing() {
    let mut bench = Bench::with(&[plain(), plain()]);
    bench.kick(these(&[1]));
    for heard in
        [LegEvent::Digit('1'), LegEvent::Talk(true), LegEvent::Hold(true), LegEvent::Finished(1)]
    {
        assert!(bench.heard(1, heard).is_empty(), "{heard:?}");
    }
}
