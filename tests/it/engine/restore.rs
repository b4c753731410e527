//! Restore: a process dies, and the next one goes on with its calls and rooms.

mod pairs;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::ErrorKind,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use conflow::{
    accounts::Accounts,
    base::{
        boot_clock::BootClock,
        ids::{AccountId, CallId, Dialect, MemberId, RoomId, RoomKey},
    },
    call::{Call, CallDirection, CallPlaceRow, CallSession, CallStateRow, Party},
    cdr::store::CachedCdrStore,
    conference::{
        Ask, ConferenceAnswer, ConferenceRoster, Kick, MemberSelector, Outcome, Settings,
    },
    documents::{DocumentFetch, DocumentStore, LocalFlow, OnDocument},
    engine::{
        ban_list::BanList,
        inbound::wall_clock,
        journal::Journal,
        recorder::RestoreAttempt,
        registry::{Registry, RegistryPorts},
        restore::{RestoreFacts, RestorePlan, Restored},
        scheduler::Scheduler,
    },
    flow::{Fetched, Flow, RowError},
    media::{
        AudioEngine, AudioOrder, CannotDial, LegEvent, MemberAudio, Report, SignallingBackend,
        SignallingOrder, SoundKind,
    },
    state_log::{Opened, RowRecord, StateLog, StateLogSettings},
    webhooks::dispatcher::webhook_queue,
};
use parking_lot::Mutex;
use tempfile::{TempDir, tempdir};
use tokio::sync::oneshot::Receiver;

use crate::harness::Counter;

/// What outlives the processes.
pub(super) struct World {
    pub(super) folder: TempDir,
    pub(super) now: Instant,
    clock: BootClock,
    rooms: Arc<AtomicU64>,
    members: Arc<Counter>,
    callees: Arc<AtomicU64>,
    epoch: u64,
    /// Calls that kill the process when they are told to play something.
    deadly: BTreeSet<CallId>,
}

/// A process, and what its media engine and its documents were told.
pub(super) struct Process {
    log: Arc<StateLog>,
    registry: Arc<Registry>,
    scheduler: Scheduler,
    told: Arc<Told>,
}

#[derive(Default)]
struct Told {
    audio: Mutex<Vec<AudioOrder>>,
    signals: Mutex<Vec<SignallingOrder>>,
    fetches: Mutex<Vec<DocumentFetch>>,
    deadly: Mutex<BTreeSet<CallId>>,
}

impl World {
    #[expect(clippy::disallowed_methods, reason = "a place to start; any will do")]
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            folder: tempdir().unwrap(),
            now,
            clock: BootClock::new(now, 60_000_000_000),
            rooms: Arc::default(),
            members: Arc::default(),
            callees: Arc::default(),
            epoch: 0,
            deadly: BTreeSet::new(),
        }
    }

    fn open(&mut self) -> Opened {
        self.epoch += 1;
        let settings = StateLogSettings {
            folder: self.folder.path().to_owned(),
            segment_bytes: 1 << 20,
            bytes_max: 1 << 30,
            keep_micros: u64::MAX,
            held_max: 4,
        };
        StateLog::open(settings, self.epoch, 1).unwrap()
    }

    /// A process that restores the calls of the last one, whose phones all stand but for `gone`.
    pub(super) fn start(&mut self, gone: &[CallId]) -> (Process, Restored) {
        self.try_start(gone).expect("it survives its start")
    }

    /// [`Self::start`]; the attempt that the process has died of.
    fn try_start(&mut self, gone: &[CallId]) -> Result<(Process, Restored), RestoreAttempt> {
        let Opened { log, rows, last_sign, .. } = self.open();
        let log = Arc::new(log);
        let (queue, _) = webhook_queue();
        let accounts = Arc::new(Accounts::new([0; 32]));
        let cdrs = Arc::new(CachedCdrStore::default());
        let journal = Arc::new(Journal::new(UNIX_EPOCH, Some(log.clone()), accounts, queue, cdrs));
        let (told, scheduler) = (Arc::<Told>::default(), Scheduler::default());
        let (rooms, callees) = (self.rooms.clone(), self.callees.clone());
        let links = RegistryPorts {
            media: told.clone(),
            documents: told.clone(),
            ban_list: Arc::new(BanList::in_memory(self.now, SystemTime::UNIX_EPOCH)),
            member_ids: self.members.clone(),
            room_id: Box::new(move || {
                RoomId::of((rooms.fetch_add(1, Ordering::Relaxed) + 1).into())
            }),
            call_id: Box::new(move || {
                CallId::of(u128::from(callees.fetch_add(1, Ordering::Relaxed)) + CALLEE_FIRST)
            }),
            observer: {
                let journal = journal.clone();
                Box::new(move |observed| journal.note(&observed))
            },
            spawner: Box::new(scheduler.spawner()),
        };
        let registry = Registry::new(Settings::default(), links);
        registry.keep_rows(self.clock);
        told.deadly.lock().clone_from(&self.deadly);
        let last = RestoreAttempt::of(&rows);
        let attempt = last.map_or(1, |it| it.attempt + 1);
        let plan = RestorePlan::of(&rows, self.clock, |id| last.is_some_and(|it| it.unit == id));
        let calls = plan.places().map(|(call, _)| call.id);
        let stands: BTreeSet<_> = calls.filter(|it| !gone.contains(it)).collect();
        let (_, sequences) = journal.resume_but(&plan, rows, last_sign);
        let facts = RestoreFacts { stands: &stands, sequences: &sequences, attempt };
        let restore = AssertUnwindSafe(|| registry.restore(self.now, plan, facts));
        let restored = catch_unwind(restore);
        let mut process = Process { log, registry, scheduler, told };
        let Ok(restored) = restored else {
            // Nothing of it happens any more, and its calls are not dropped.
            process.log.inject(Some(ErrorKind::Interrupted));
            mem::forget(process);
            let Opened { log, rows, .. } = self.open();
            drop(log.close());
            return Err(RestoreAttempt::of(&rows).unwrap());
        };
        process.run(self.now);
        // It has survived.
        journal.write_rows(&[RestoreAttempt::gone()]);
        Ok((process, restored))
    }

    pub(super) fn call(&self, process: &mut Process, n: u128, elements: &str) -> CallId {
        let party = Party {
            from: "14155550100".into(),
            to: "weekly".into(),
            caller_name: "Anna".into(),
            direction: CallDirection::Inbound,
            dialect: Dialect::Plivo,
            trusted: None,
            session: CallSession::at(wall_clock()),
        };
        let limit = Duration::from_secs(14_400);
        let call = Call::new(self.now, CallId::of(n), account(), Arc::new(party), limit);
        let document = format!("<Response>{elements}</Response>");
        let flow = Flow::parse(&document, Dialect::Plivo).unwrap();
        process.registry.begin(self.now, call, "flow:weekly", Ok(Arc::new(flow)));
        process.run(self.now);
        CallId::of(n)
    }

    /// The process is killed. Its calls are ended since none may be dropped alive; nobody sees it.
    pub(super) fn kill(&self, mut process: Process) {
        process.log.inject(Some(ErrorKind::Interrupted));
        process.log.append(&[], |_| ());
        process.registry.close();
        for call in process.registry.calls() {
            process.registry.report(Report { call, event: LegEvent::HungUp });
        }
        process.run(self.now);
        assert_eq!(process.registry.calls(), []);
        drop(process.log.close());
    }

    /// The rows that are in the log, by the numbers of their kinds.
    fn rows(&mut self, process: Process) -> BTreeMap<u8, Vec<RowRecord>> {
        self.kill(process);
        let mut kinds: BTreeMap<u8, Vec<RowRecord>> = BTreeMap::new();
        let Opened { log, rows, .. } = self.open();
        rows.into_iter().for_each(|it| kinds.entry(it.key.kind).or_default().push(it));
        drop(log.close());
        kinds
    }
}

impl Process {
    pub(super) fn run(&mut self, now: Instant) {
        self.scheduler.add_new_actors();
        self.scheduler.wake();
        while let Some(n) = { self.scheduler.busy().next() } {
            self.scheduler.turn(n, now, || 64);
            self.scheduler.add_new_actors();
        }
    }

    pub(super) fn report(&mut self, now: Instant, call: CallId, event: LegEvent) {
        self.registry.report(Report { call, event });
        self.run(now);
    }

    pub(super) fn ask(&mut self, now: Instant, ask: Ask) -> ConferenceAnswer {
        let key = RoomKey { account: account(), name: "weekly".parse().unwrap() };
        let mut answer: Receiver<Outcome> = self.registry.ask(&key, ask).unwrap();
        self.run(now);
        answer.try_recv().unwrap().unwrap()
    }

    pub(super) fn roster(&mut self, now: Instant) -> ConferenceRoster {
        let ConferenceAnswer::Roster(roster) = self.ask(now, Ask::Roster) else { panic!() };
        *roster
    }

    /// The texts that a call was told to play, with the numbers of the orders.
    pub(super) fn spoken(&self, call: CallId) -> Vec<(u32, String)> {
        let audio = self.told.audio.lock();
        let orders = audio.iter().filter_map(|order| {
            let (AudioOrder::Play { call: it, number, program }
            | AudioOrder::PlayOn { call: it, number, program, .. }) = order
            else {
                return None;
            };
            let SoundKind::Speech { text, .. } = &program[0].what else { return None };
            (*it == call).then(|| (*number, text.to_string()))
        });
        orders.collect()
    }

    /// Each fetched document: its call, which attempt, and the digits.
    pub(super) fn fetched(&self) -> Vec<(CallId, u8, Option<String>)> {
        let digits = |it: &DocumentFetch| {
            let field = it.request.fields.iter().find(|it| it.0 == "Digits");
            field.map(|it| it.1.clone())
        };
        let fetches = self.told.fetches.lock();
        fetches.iter().map(|it| (it.call, it.attempt, digits(it))).collect()
    }

    fn hears_room(&self, call: CallId) -> bool {
        let audio = self.told.audio.lock();
        audio.iter().any(|it| {
            matches!(it, AudioOrder::Place { calls, hears: MemberAudio::Room, .. }
                if calls.contains(&call))
        })
    }
}

impl SignallingBackend for Told {
    fn signal(&self, order: SignallingOrder) {
        self.signals.lock().push(order);
    }

    fn restores(&self, call: CallId) -> bool {
        // The others are simulated.
        call.0.as_u128() < 100
    }

    fn can_dial(&self, _: &AccountId, _: &str) -> Result<(), CannotDial> {
        Ok(())
    }
}

impl AudioEngine for Told {
    fn send(&self, order: AudioOrder) {
        if let AudioOrder::Play { call, .. } | AudioOrder::PlayOn { call, .. } = &order {
            assert!(!self.deadly.lock().contains(call), "{call} is deadly");
        }
        self.audio.lock().push(order);
    }
}

impl DocumentStore for Told {
    fn fetch(&self, fetch: DocumentFetch, _: OnDocument) {
        self.fetches.lock().push(fetch);
    }

    fn local(&self, _: &LocalFlow) -> Option<Fetched> {
        None
    }
}

/// The id of the first callee of a world.
const CALLEE_FIRST: u128 = 20;

fn account() -> AccountId {
    "MA1".parse().unwrap()
}

pub(super) const CONFERENCE: &str = "<Conference>weekly</Conference><Speak>goodbye</Speak>";

/// Issue 18, its core: a caller in a room survives kill -9, hears the room again, is kicked, and hears
/// the next element.
#[test]
fn a_member_is_back_in_the_room_and_a_kick_goes_on_at_the_next_element() {
    let mut world = World::new();
    let (mut process, _) = world.start(&[]);
    let (anna, ben) = (
        world.call(&mut process, 1, CONFERENCE),
        world.call(&mut process, 2, &CONFERENCE.replace("goodbye", "so long")),
    );
    world.now += Duration::from_secs(7);
    let who = MemberSelector::These(vec![MemberId(2)]);
    process.ask(world.now, Ask::Mute { who: who.clone(), on: true });
    process.ask(world.now, Ask::Deafen { who, on: true });
    let before = process.roster(world.now);
    assert_eq!(before.members.iter().map(|it| it.muted).collect::<Vec<_>>(), [false, true]);
    world.kill(process);

    let (mut process, restored) = world.start(&[]);
    assert_eq!(restored, Restored { calls: 2, left: 0, rooms: 1 });
    assert!(process.hears_room(anna) && process.hears_room(ben));
    let room = RoomId::of(1);
    let audio = process.told.audio.lock().clone();
    let (mute, deafen) = (
        AudioOrder::Mute { room, calls: vec![ben], on: true },
        AudioOrder::Deafen { room, calls: vec![ben], on: true },
    );
    assert!(audio.contains(&mute) && audio.contains(&deafen), "{audio:?}");
    assert_eq!(process.roster(world.now), before);

    let kick = Ask::Kick { who: MemberSelector::These(vec![MemberId(1)]), kick: Kick::default() };
    process.ask(world.now, kick);
    process.run(world.now);
    let spoken = process.spoken(anna);
    let [(number, text)] = &spoken[..] else { panic!("{spoken:?}") };
    assert_eq!(text, "goodbye");
    assert!(1_000 < *number, "no late report fits: {number}");
    assert_eq!(process.roster(world.now).members.len(), 1);
    // It dies again: one speaks, one is in the room.
    world.kill(process);
    let (mut process, restored) = world.start(&[]);
    assert_eq!(restored, Restored { calls: 2, left: 0, rooms: 1 });
    assert_eq!(process.roster(world.now).members.len(), 1);
    let (number, text) = process.spoken(anna).pop().unwrap();
    assert_eq!(text, "goodbye");
    process.report(world.now, anna, LegEvent::Finished(number));
    assert_eq!(process.registry.calls(), [ben], "it has ended after its last element");
    process.report(world.now, ben, LegEvent::HungUp);
    let kinds = world.rows(process);
    assert!([14, 15, 16, 20].iter().all(|it| !kinds.contains_key(it)), "{:?}", kinds.keys());
}

#[test]
fn keys_typed_before_the_crash_count_and_private_ones_are_written_nowhere() {
    let digits = |log: &str| {
        format!(
            "<GetDigits numDigits='4' timeout='20' action='flow:next'{log}>\
            <Speak>your pin</Speak></GetDigits>"
        )
    };
    let mut world = World::new();
    let (mut process, _) = world.start(&[]);
    let anna = world.call(&mut process, 1, &digits(""));
    let ben = world.call(&mut process, 2, &digits(" log='false'"));
    for call in [anna, ben] {
        ['7', '3'].iter().for_each(|key| process.report(world.now, call, LegEvent::Digit(*key)));
    }
    world.kill(process);
    let (process, _) = world.start(&[]);
    world.kill(process);
    let (mut process, _) = world.start(&[]);
    assert_eq!(process.spoken(anna), [], "it has begun to type");
    assert_eq!(process.spoken(ben).len(), 1, "the prompt begins again");
    for call in [anna, ben] {
        ['5', '9'].iter().for_each(|key| process.report(world.now, call, LegEvent::Digit(*key)));
    }
    let typed = |call| {
        let fetches = process.told.fetches.lock();
        let of_call = fetches.iter().find(|it: &&DocumentFetch| it.call == call);
        of_call.map(|it| it.request.fields.clone())
    };
    assert_eq!(typed(anna).unwrap(), [("Digits", "7359".to_owned())]);
    assert_eq!(typed(ben), None, "two of four are missing");
    ['1', '2'].iter().for_each(|key| process.report(world.now, ben, LegEvent::Digit(*key)));
    let private = process.told.fetches.lock().last().unwrap().clone();
    assert_eq!((private.call, private.attempt), (ben, 1));
    assert_eq!(private.request.fields, [("Digits", "5912".to_owned())]);

    // Both wait for their documents.
    let kinds = world.rows(process);
    let has = |it: &RowRecord, text: &str| it.body.windows(4).any(|it| it == text.as_bytes());
    let rows = || kinds.values().flatten();
    assert!(rows().any(|it| has(it, "7359")));
    assert!(!rows().any(|it| has(it, "5912")), "private keys are in a row");
    let (process, _) = world.start(&[]);
    let fetches = process.told.fetches.lock().clone();
    let [again] = &fetches[..] else { panic!("{fetches:?}") };
    assert_eq!((again.call, again.attempt), (anna, 2));
    assert_eq!(again.request.fields, [("Digits", "7359".to_owned())]);
    assert_eq!(process.spoken(ben).len(), 1, "the keys are typed once more");
    world.kill(process);
}

#[test]
fn a_sound_goes_on_where_it_was_and_a_prompt_for_private_keys_begins_again() {
    let prompt = |log: &str| {
        format!("<GetDigits action='flow:next'{log}><Speak>your pin</Speak></GetDigits>")
    };
    let mut world = World::new();
    let (mut process, _) = world.start(&[]);
    let anna = world.call(&mut process, 1, "<Speak>one</Speak><Speak>two</Speak>");
    let (first, _) = process.spoken(anna)[0];
    process.report(world.now, anna, LegEvent::Finished(first));
    let ben = world.call(&mut process, 2, &prompt(""));
    let carla = world.call(&mut process, 3, &prompt(" log='false'"));
    let last = |process: &Process, call| process.spoken(call).pop().unwrap().0;
    let before = [anna, ben].map(|it| last(&process, it));
    world.kill(process);
    let (process, _) = world.start(&[]);
    let goes_on = |call: CallId| {
        let audio = process.told.audio.lock();
        let orders = audio.iter().filter(|it| it.calls() == [call]);
        let before = orders.map(|it| {
            let AudioOrder::PlayOn { before, .. } = it else { return None };
            Some(*before)
        });
        before.collect::<Vec<_>>()
    };
    assert_eq!(goes_on(anna), [Some(before[0])]);
    assert_eq!(goes_on(ben), [Some(before[1])]);
    assert_eq!(goes_on(carla), [None]);
    assert_eq!(process.spoken(anna)[0].1, "two");
    world.kill(process);
}

#[test]
fn a_caller_who_has_left_meanwhile_ends_with_all_that_follows() {
    let mut world = World::new();
    let (mut process, _) = world.start(&[]);
    let moderator = CONFERENCE.replace("<Conference>", "<Conference endConferenceOnExit='true'>");
    let anna = world.call(&mut process, 1, &moderator);
    let ben = world.call(&mut process, 2, CONFERENCE);
    let carla = world.call(&mut process, 3, "<Speak>welcome</Speak>");
    // It lives in the process.
    let simulated = world.call(&mut process, 100, CONFERENCE);
    world.kill(process);
    let (mut process, restored) = world.start(&[anna, carla]);
    assert_eq!(restored, Restored { calls: 1, left: 2, rooms: 1 });
    process.run(world.now);
    assert_eq!(process.registry.calls(), [ben], "{simulated} has ended with its process");
    assert_eq!(process.spoken(ben).len(), 1, "the room has ended with its moderator");
    world.kill(process);
}

#[test]
fn what_was_due_while_nobody_was_there_is_done_at_once() {
    let mut world = World::new();
    let (mut process, _) = world.start(&[]);
    let anna = world.call(
        &mut process,
        1,
        "<Speak>hello</Speak><Wait length='5'/><Speak>it is time</Speak>",
    );
    let (number, _) = process.spoken(anna)[0];
    process.report(world.now, anna, LegEvent::Finished(number));
    let ben = world.call(&mut process, 2, "<Conference timeLimit='60'>weekly</Conference>");
    let carla = world.call(&mut process, 3, "<DTMF async='false'>12</DTMF><Speak>sent</Speak>");
    world.kill(process);
    world.now += Duration::from_secs(60);
    let (process, _) = world.start(&[]);
    assert_eq!(process.spoken(anna).len(), 1);
    assert!(!process.registry.calls().contains(&ben), "the time of the room is up");
    assert_eq!(process.spoken(carla).len(), 1, "keys are not sent twice");
    world.kill(process);
}

#[test]
fn a_call_that_kills_its_process_when_it_is_restored_is_left_out_and_the_others_come_back() {
    let mut world = World::new();
    let (mut process, _) = world.start(&[]);
    let anna = world.call(&mut process, 1, CONFERENCE);
    let speaking = |world: &World, process: &mut Process, n| {
        world.call(process, n, &format!("<Speak>{n}</Speak>"))
    };
    let others = [2, 3, 4, 5].map(|n| speaking(&world, &mut process, n));
    world.kill(process);

    world.deadly.insert(others[1]);
    let attempt = world.try_start(&[]).err().unwrap();
    assert_eq!(attempt, RestoreAttempt { attempt: 1, unit: others[1].0.as_u128() });
    // Another one kills the next process, too.
    world.deadly.insert(others[3]);
    let attempt = world.try_start(&[]).err().unwrap();
    assert_eq!(attempt, RestoreAttempt { attempt: 2, unit: others[3].0.as_u128() });
    let (process, restored) = world.start(&[]);
    assert_eq!(restored, Restored { calls: 3, left: 0, rooms: 1 });
    let live: BTreeSet<_> = process.registry.calls().into_iter().collect();
    assert_eq!(live, BTreeSet::from([anna, others[0], others[2]]));
    assert_eq!(process.spoken(others[0]).len(), 1);
    world.kill(process);
    let (process, restored) = world.start(&[]);
    assert_eq!(restored.calls, 3, "the next restore is the first one again");
    world.kill(process);
}

#[test]
fn a_call_is_never_resumed_at_another_element() {
    let world = World::new();
    let party = Party {
        from: "1".into(),
        to: "2".into(),
        caller_name: "".into(),
        direction: CallDirection::Inbound,
        dialect: Dialect::Plivo,
        trusted: None,
        session: CallSession::at(UNIX_EPOCH),
    };
    let flow = |text: &str| Some(Arc::new(Flow::parse(text, Dialect::Plivo).unwrap()));
    let text = "<Response><Speak>a</Speak><Speak>b</Speak></Response>";
    let limit = Duration::from_secs(60);
    let mut call = Call::new(world.now, CallId::of(1), account(), Arc::new(party), limit);
    call.begin(world.now, Ok(flow(text).unwrap()), &mut Vec::new());
    let row = call.row(world.clock, CallPlaceRow::Alone).unwrap();
    call.end();
    for other in [
        "<Response>\n<Speak>a</Speak><Speak>b</Speak></Response>",
        "<Response><Play>a</Play></Response>",
        "<Response/>",
    ] {
        let restored = CallStateRow::read(&row).unwrap().restore(world.clock, flow(other));
        assert_eq!(restored, Err(RowError::Element { step: 0 }), "{other}");
    }
    let restored = CallStateRow::read(&row).unwrap().restore(world.clock, None);
    assert_eq!(restored, Err(RowError::Document));
    let later = [&[row[0] + 1], &row[1..]].concat();
    assert!(matches!(CallStateRow::read(&later), Err(RowError::Format { version: 2, .. })));
    let call = CallStateRow::read(&row).unwrap().restore(world.clock, flow(text)).unwrap();
    assert_eq!(call.deadline(), world.now + limit);
    call.end();
}
