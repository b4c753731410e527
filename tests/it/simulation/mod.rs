//! Simulation: thousands of seeded lives of a registry, with promises checked in each.
//!
//! Rooms and calls are the real actors on the real queues, without a runtime: the seed picks
//! who gets the next turn, what phones do, what is asked, and when documents arrive. A failure
//! prints its seed; `SEED=7 cargo test simulation` replays that life, and `LIVES=100000` plays more
//! of them. In the lives of the second test, the process dies again and again.

mod crashes;
mod flows;
mod groups;
mod pairs;
mod told;
mod world;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
    panic,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use conflow::{
    base::ids::{CallId, Dialect, MemberId, RoomId, RoomKey, Trusted},
    call::{
        AnswerUrls, Call, CallDirection, CallSession, Hook, OutgoingCall, Party, SessionDetails,
    },
    conference::{Ask, ConferenceAnswer, INJECTED_FAULT, MemberSelector, Outcome, Settings},
    documents::{DocumentFetch, OnDocument},
    engine::{
        ban_list::BanList,
        inbound::wall_clock,
        registry::{AskError, PendingTransfer, Registry, RegistryPorts},
        restore::RestoreFacts,
        scheduler::Scheduler,
    },
    flow::{Cause, DocumentRequest, Fetched, Purpose, RequestMethod},
    group::PersonId,
    media::{
        AnnouncementKind, DialFailure, DialFailureSource, HangupCause, LegEvent, Report, SoundKind,
    },
};
use fastrand::Rng;
use parking_lot::Mutex;
use tokio::sync::oneshot::{Receiver, error::TryRecvError};

use self::{
    crashes::{Durable, Found, is_dead},
    world::{Observer, World},
};
use crate::{
    harness::{Counter, callee_ids},
    lives,
};

const LIVES: RangeInclusive<u64> = 3_500..=6_000;
const LIVES_WITH_CRASHES: RangeInclusive<u64> = 200..=1_500;
const STEPS: usize = 150;
/// Far more than the longest flow needs.
const LAST_STEPS_MAX: usize = 50_000;
const ROOMS: usize = 3;

#[test]
fn every_life_keeps_the_promises() {
    silence_injected_faults();
    let mut counts = BTreeMap::new();
    let is_whole = lives::play("engine", LIVES, |seed| {
        let lived = Life::new(seed, false).play();
        lived.into_iter().for_each(|what| *counts.entry(what).or_insert(0) += 1);
    });
    // If nothing happens, no promise is tested.
    if is_whole {
        let others = [
            "answered",
            "busy",
            "digits",
            "floor",
            "passed on",
            "fetched",
            "missing",
            "branched",
            "moved",
            "spared",
            "done",
            "not done",
            "unwritten",
            "back",
            "back in the room",
        ];
        // The process of a life does not die, and its flows do not dial.
        let causes = Cause::ALL
            .iter()
            .filter(|it| **it != Cause::Crashed && !it.text().starts_with("dial-"));
        let causes = causes.map(|cause| cause.text()).chain(others);
        causes.for_each(|it| assert!(counts.get(it).is_some_and(|n| 10 < *n), "{it}: {counts:?}"));
    }
}

/// What somebody was told or answered before a crash is true after it, and the end of everything that
/// died is told.
#[test]
fn every_life_with_crashes_keeps_what_was_told() {
    silence_injected_faults();
    let (mut counts, mut crashes) = (BTreeMap::new(), 0);
    let is_whole = lives::play("crashes", LIVES_WITH_CRASHES, |seed| {
        let mut life = Life::new(seed, true);
        let lived = life.play();
        lived.into_iter().for_each(|what| *counts.entry(what).or_insert(0) += 1);
        crashes += life.durable.as_ref().map_or(0, |it| it.crashes);
    });
    if is_whole {
        let cases = [
            "crash",
            "crash again",
            "power lost",
            "calls left",
            "callbacks left",
            "crashed",
            "restored",
            "restored in a room",
            "restored once out",
            "restored to hang up",
            "resumed",
            "repeated",
            "gap after cleaning",
            "gap after a loss of power",
        ];
        cases.iter().for_each(|it| assert!(counts.get(it).is_some_and(|n| 10 < *n), "{counts:?}"));
        let steps: usize = counts["life"] * STEPS;
        assert!(steps <= 20 * crashes, "{crashes} crashes in {steps} steps");
    }
}

/// Injected faults panic by the thousand; other panics are still printed.
fn silence_injected_faults() {
    let loud = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        let payload = panic.payload();
        if payload.downcast_ref::<String>().is_none_or(|text| text != INJECTED_FAULT) {
            loud(panic);
        }
    }));
}

/// One life: the registry, its spawner, and the observations.
struct Life {
    rng: Rng,
    now: Instant,
    registry: Arc<Registry>,
    document: Fetched,
    scheduler: Scheduler,
    asked: Vec<(Ask, Receiver<Outcome>)>,
    transferring: Vec<(CallId, PendingTransfer)>,
    call_last: u128,
    groups: groups::GroupWriterDriver,
    world: Arc<Mutex<World>>,
    settings: Settings,
    numbers: Numbers,
    /// None: the process does not die.
    durable: Option<Durable>,
}

/// Sources of ids, which are never used twice.
#[derive(Clone, Default)]
struct Numbers {
    rooms: Arc<AtomicU64>,
    members: Arc<Counter>,
}

impl Life {
    #[expect(clippy::disallowed_methods, reason = "a place to start; any will do")]
    fn new(seed: u64, crashes: bool) -> Self {
        let (mut rng, now) = (Rng::with_seed(seed), Instant::now());
        let durable = crashes.then(|| Durable::new(&mut rng, now));
        let settings = Settings {
            members_max: rng.usize(1..6),
            asks_max: rng.usize(1..5),
            inject_fault_after: rng.bool().then(|| rng.u32(0..60)),
        };
        let mut world = World::default();
        world.may_inject_faults = settings.inject_fault_after.is_some();
        durable.iter().for_each(|it| world.begin(it.log()));
        let (world, numbers) = (Arc::new(Mutex::new(world)), Numbers::default());
        let scheduler = Scheduler::default();
        let registry = registry(now, &settings, &numbers, &world, &scheduler, durable.as_ref());
        durable.iter().for_each(|it| registry.keep_rows(it.clock));
        let document = Ok(Arc::new(flows::flow(&mut rng)));
        Self {
            rng,
            groups: groups::GroupWriterDriver::new(registry.clone()),
            now,
            registry,
            document,
            scheduler,
            asked: Vec::new(),
            transferring: Vec::new(),
            call_last: 0,
            world,
            settings,
            numbers,
            durable,
        }
    }

    fn play(&mut self) -> BTreeSet<&'static str> {
        for _ in 0..STEPS {
            match self.rng.u8(0..34) {
                26..29 => self.groups.somebody_asks(&mut self.rng),
                29..34 => self.step_groups(),
                24 => self.transfer(),
                25 => self.far_end(),
                0..2 => self.call(),
                2..5 => self.ask(),
                5 => self.hang_up(),
                6..8 => self.phone(),
                8 => self.over(),
                9 => self.fetched(),
                10 => self.now += Duration::from_millis(self.rng.u64(0..20_000)),
                _ => self.turn(),
            }
            self.look();
            self.survive();
        }
        self.durable.iter().for_each(Durable::spare);
        self.registry.close();
        for _ in 0..LAST_STEPS_MAX {
            if self.scheduler.is_empty() && self.groups.is_idle() {
                return self.finish();
            }
            self.turn();
            self.step_groups();
            // Events arrive no faster than they are handled.
            match self.rng.u8(0..24) {
                0..3 => self.over(),
                3 => self.fetched(),
                4 => self.now += Duration::from_millis(self.rng.u64(0..20_000)),
                _ => (),
            }
            self.look();
        }
        panic!("the registry does not come to rest")
    }

    /// Whatever outlives the process takes a step; if the process dies of it, another one starts.
    fn survive(&mut self) {
        let Some(durable) = &mut self.durable else { return };
        if !durable.step(&mut self.rng, self.now) {
            return;
        }
        // What nobody has been answered may have been done or not.
        let is_settled =
            self.asked.iter().all(|(ask, _)| !matches!(ask, Ask::Mute { .. } | Ask::Deafen { .. }));
        self.bury();
        let mut lived = Vec::new();
        for death in 1.. {
            if self.revive(death, is_settled && death == 1, &mut lived) {
                break;
            }
            self.bury();
        }
        self.world.lock().lived.extend(lived);
    }

    /// The next process starts, and restores the calls whose phones stand. False: it has died of that.
    fn revive(&mut self, death: usize, is_settled: bool, lived: &mut Vec<&'static str>) -> bool {
        let Some(durable) = &mut self.durable else { return true };
        let found = durable.restart(&mut self.rng, death, lived);
        if is_dead(&durable.log()) {
            return false;
        }
        let stands: BTreeSet<_> = found.plan.places().map(|(call, _)| call.id).collect();
        let hung_up = self.world.lock().hung_up.clone();
        let stands = stands.into_iter().filter(|it| !hung_up.contains(it));
        let stands: BTreeSet<_> = stands.filter(|_| self.rng.u8(0..8) != 0).collect();
        self.world.lock().revive(durable.log(), &found, &stands, is_settled);
        let clock = durable.clock;
        self.registry = registry(
            self.now,
            &self.settings,
            &self.numbers,
            &self.world,
            &self.scheduler,
            self.durable.as_ref(),
        );
        self.registry.keep_rows(clock);
        self.groups.restart(self.registry.clone());
        let Found { plan, sequences, .. } = found;
        let facts = RestoreFacts { stands: &stands, sequences: &sequences, attempt: 1 };
        self.registry.restore(self.now, plan, facts);
        // Rooms say first what their members hear, and who must leave.
        self.scheduler.add_new_actors();
        for n in (0..self.scheduler.len()).rev() {
            self.scheduler.turn(n, self.now, || usize::MAX);
        }
        self.look();
        let Some(durable) = &mut self.durable else { return true };
        if is_dead(&durable.log()) {
            return false;
        }
        durable.started(&mut self.rng);
        true
    }

    /// Ends the calls of a dead process, since none may be dropped alive. Nobody sees it.
    fn bury(&mut self) {
        self.registry.close();
        self.asked.clear();
        self.transferring.clear();
        self.world.lock().pending_fetches.clear();
        while !self.scheduler.is_empty() {
            let calls = self.registry.calls();
            calls.iter().for_each(|call| self.registry.hang_up(*call, Cause::HungUpByApi));
            for n in (0..self.scheduler.len()).rev() {
                self.scheduler.turn(n, self.now, || usize::MAX);
            }
            self.scheduler.add_new_actors();
        }
    }

    fn step_groups(&mut self) {
        let lived = self.groups.step(&mut self.rng, true);
        self.world.lock().lived.extend(lived);
    }

    fn call(&mut self) {
        self.call_last += 1;
        // Some callers have no identity, and some are in no group.
        let person = match self.rng.u8(0..12) {
            0 => 0,
            1 => groups::PEOPLE + 1,
            _ => self.rng.u64(1..=groups::PEOPLE),
        };
        let trusted = (0 < person).then(|| Trusted::User(format!("user{person}").into()));
        let is_out = self.rng.u8(0..4) == 0;
        let direction = if is_out { CallDirection::Outbound } else { CallDirection::Inbound };
        let party = Party {
            from: "100".into(),
            to: "200".into(),
            caller_name: "".into(),
            direction,
            dialect: Dialect::Vobiz,
            trusted: trusted.map(Box::new),
            session: CallSession::new(wall_clock(), self.hooks()),
        };
        let seconds = if self.rng.bool() { self.rng.u64(1..200) } else { 14_400 };
        let limit = Duration::from_secs(seconds);
        let id = CallId::of(self.call_last);
        let call = Call::new(self.now, id, account(), Arc::new(party), limit);
        let mut world = self.world.lock();
        let seen = world.calls.entry(id).or_default();
        seen.is_out = is_out;
        seen.stands = self.durable.is_some() && self.rng.u8(0..3) != 0;
        seen.person = (1..=groups::PEOPLE).contains(&person).then_some(PersonId(person));
        seen.flow = self.document.clone().ok().filter(|_| !is_out);
        drop(world);
        match is_out {
            true => {
                let out = self.outgoing();
                self.registry.dial(self.now, vec![(call, out)], None);
            }
            false => self.registry.begin(self.now, call, "flow:first", self.document.clone()),
        }
    }

    /// The hooks of some calls.
    fn hooks(&mut self) -> SessionDetails {
        let hook = Hook { url: "http://receiver-0.example/".into(), method: RequestMethod::Post };
        let hook = self.rng.bool().then_some(hook);
        SessionDetails { ring: hook.clone(), hangup: hook, ..SessionDetails::default() }
    }

    fn outgoing(&mut self) -> OutgoingCall {
        let mut hook =
            || Hook { url: flows::url(&mut self.rng).into(), method: RequestMethod::Post };
        let answer = AnswerUrls { hook: hook(), fallback: Some(hook()) };
        let ring_timeout = Duration::from_secs(self.rng.u64(1..120));
        OutgoingCall { answer, ring_timeout, ring_max: None, digits: None, sends_early: false }
    }

    /// Far ends ring, answer or refuse, in any order and repeatedly.
    fn far_end(&mut self) {
        for _ in 0..3 {
            let call = CallId::of(self.rng.u128(0..=self.call_last));
            let event = match self.rng.u8(0..10) {
                0..2 => LegEvent::Ringing,
                2 => {
                    LegEvent::Failed(DialFailure::new(HangupCause::Busy, DialFailureSource::Callee))
                }
                3 => LegEvent::EarlyMedia,
                4 => LegEvent::EarlyMediaOver,
                _ => LegEvent::Answered,
            };
            if let Some(seen) = self.world.lock().calls.get_mut(&call) {
                seen.picked_up |= event == LegEvent::Answered;
            }
            self.registry.report(Report { call, event });
        }
    }

    fn transfer(&mut self) {
        let call = CallId::of(self.rng.u128(0..=self.call_last));
        let is_out = self.world.lock().calls.get(&call).is_none_or(|it| it.is_out);
        if is_out {
            return;
        }
        let request = DocumentRequest {
            url: flows::url(&mut self.rng).into(),
            method: RequestMethod::Post,
            purpose: Purpose::Transfer,
            fields: Vec::new(),
            is_private: false,
        };
        match self.registry.transfer(call, request.into(), None) {
            Ok(transferring) => self.transferring.push((call, transferring)),
            Err(AskError::Busy | AskError::Gone) => (),
            Err(error) => panic!("not at once: {error}"),
        }
    }

    fn ask(&mut self) {
        let member_last = self.world.lock().members.last_key_value().map_or(1, |(id, _)| id.0);
        let who = match self.rng.u8(0..4) {
            0 => MemberSelector::All,
            n => MemberSelector::These(
                (0..n).map(|_| MemberId(self.rng.u64(0..=member_last))).collect(),
            ),
        };
        let on = self.rng.bool();
        let kind = AnnouncementKind::Play;
        let ask = match self.rng.u8(0..11) {
            0..3 => Ask::Kick { who, kick: flows::kick(&mut self.rng) },
            3..5 => Ask::Mute { who, on },
            5 => Ask::Deafen { who, on },
            6 => Ask::Announce { who, kind, sound: SoundKind::Beep(1).into() },
            7 => Ask::Hush { who, kind },
            8 => Ask::Roster,
            9 => Ask::Hold { who, on, sound: flows::hold_sound(&mut self.rng) },
            _ => Ask::HangUp { who },
        };
        let name = format!("room-{}", self.rng.usize(0..ROOMS)).parse().unwrap();
        match self.registry.ask(&RoomKey { account: account(), name }, ask.clone()) {
            Ok(answer) => self.asked.push((ask, answer)),
            Err(AskError::Busy) => drop(self.world.lock().lived.insert("busy")),
            Err(AskError::Gone) => (),
            Err(error) => panic!("not at once: {error}"),
        }
    }

    fn hang_up(&mut self) {
        let call = CallId::of(self.rng.u128(0..=self.call_last));
        if self.world.lock().calls.contains_key(&call) {
            self.world.lock().hung_up.insert(call);
        }
        match self.rng.u8(0..4) {
            0 => self.registry.hang_up(call, Cause::HungUpByApi),
            1 => self.registry.report(Report { call, event: LegEvent::MediaLost }),
            _ => self.registry.report(Report { call, event: LegEvent::HungUp }),
        }
    }

    /// A phone presses a key, talks or holds, in any state.
    fn phone(&mut self) {
        let call = CallId::of(self.rng.u128(0..=self.call_last));
        let on = self.rng.bool();
        let event = match self.rng.u8(0..6) {
            0..3 => LegEvent::Digit(self.rng.choice(['1', '2', '*', '#']).unwrap()),
            3..5 => LegEvent::Talk(on),
            _ => LegEvent::Hold(on),
        };
        self.registry.report(Report { call, event });
    }

    /// Reports that a program was played; also stale reports and reports of programs that never
    /// were.
    fn over(&mut self) {
        let playing = self.rng.choice(self.world.lock().playing.clone());
        if let Some((call, number)) = playing {
            let stale = [number + 100, number - 1];
            let twice = self.rng.bool().then_some(number);
            self.world.lock().played.insert((call, number));
            for number in stale.into_iter().chain([number]).chain(twice) {
                self.registry.report(Report { call, event: LegEvent::Finished(number) });
            }
        }
    }

    /// Delivers a document, in any order; some arrive twice.
    fn fetched(&mut self) {
        let mut pending_fetches = std::mem::take(&mut self.world.lock().pending_fetches);
        if !pending_fetches.is_empty() {
            let (fetch, done): (DocumentFetch, OnDocument) =
                pending_fetches.swap_remove(self.rng.usize(0..pending_fetches.len()));
            let document = flows::document(&fetch.request.url);
            self.world.lock().fetched(&fetch, &document);
            done(fetch, document, None);
        }
        self.world.lock().pending_fetches.append(&mut pending_fetches);
    }

    fn turn(&mut self) {
        if !self.scheduler.is_empty() {
            let n = self.rng.usize(0..self.scheduler.len());
            self.scheduler.turn(n, self.now, || self.rng.usize(1..4));
        }
    }

    /// Takes in new actors, and checks each reply as soon as it can be seen.
    fn look(&mut self) {
        self.scheduler.add_new_actors();
        // Nobody gets what a dead process has answered.
        if self.durable.as_ref().is_some_and(|it| is_dead(&it.log())) {
            return;
        }
        let (mut world, mut left) = (self.world.lock(), Vec::new());
        self.groups.answer(&mut world);
        self.asked.retain_mut(|(ask, answer)| match answer.try_recv() {
            Ok(outcome) => {
                world.check_reply(ask, &outcome);
                left.extend(members_who_left(ask, &outcome));
                false
            }
            Err(TryRecvError::Empty) => true,
            Err(TryRecvError::Closed) => false,
        });
        self.transferring.retain_mut(|(call, transferring)| {
            let answer = match transferring {
                PendingTransfer::Call(answer) => answer.try_recv().map(|()| true),
                PendingTransfer::InTransit => return false,
                PendingTransfer::Room(answer) => answer.try_recv().map(|it| it.is_ok()),
            };
            if let Ok(true) = answer {
                world.check_transferred(*call);
            }
            answer == Err(TryRecvError::Empty)
        });
        drop(world);
        if !left.is_empty() {
            self.durable.iter_mut().for_each(|it| it.answered(&left));
        }
    }

    fn finish(&mut self) -> BTreeSet<&'static str> {
        assert!(self.asked.is_empty(), "no ask is left without an answer: {:?}", self.asked);
        assert!(self.transferring.is_empty(), "no transfer is left: {:?}", self.transferring);
        assert!(self.registry.calls().is_empty(), "no call is left: {:?}", self.registry.calls());
        assert!(self.registry.conferences(&account()).is_empty(), "no name is left");
        let mut world = self.world.lock();
        assert_eq!(world.calls.len() as u128, self.call_last);
        world.check_end();
        world.lived.insert("life");
        if let Some(durable) = &mut self.durable {
            world.lived.extend(durable.finish(&mut self.rng, self.now));
        }
        world.lived.clone()
    }
}

/// The registry of a new process.
fn registry(
    now: Instant,
    settings: &Settings,
    numbers: &Numbers,
    world: &Arc<Mutex<World>>,
    scheduler: &Scheduler,
    durable: Option<&Durable>,
) -> Arc<Registry> {
    let (rooms, journal) = (numbers.rooms.clone(), durable.map(Durable::journal));
    let links = RegistryPorts {
        media: Arc::new(Observer(world.clone())),
        documents: Arc::new(Observer(world.clone())),
        ban_list: Arc::new(BanList::in_memory(now, SystemTime::UNIX_EPOCH)),
        member_ids: numbers.members.clone(),
        room_id: Box::new(move || RoomId::of((rooms.fetch_add(1, Ordering::Relaxed) + 1).into())),
        call_id: callee_ids(),
        observer: Box::new({
            let world = world.clone();
            move |observed| {
                journal.iter().for_each(|it| it.note(&observed));
                observed.each(|it| world.lock().see(it));
            }
        }),
        spawner: Box::new(scheduler.spawner()),
    };
    Registry::new(settings.clone(), links)
}

/// The members of whom an answer says that they have left.
fn members_who_left(ask: &Ask, outcome: &Outcome) -> Vec<MemberId> {
    if let Ask::Kick { .. } | Ask::HangUp { .. } = ask
        && let Ok(ConferenceAnswer::Members(members) | ConferenceAnswer::Banned { members, .. }) =
            outcome
    {
        return members.clone();
    }
    Vec::new()
}

fn account() -> conflow::base::ids::AccountId {
    "MA1".parse().unwrap()
}
