//! Lives of dialled pairs: callers run `<Dial>`, and conferences call people, while phones answer, press
//! keys and hang up, requests transfer, kick and hang up, and time passes.
//!
//! The promises: of callees that are dialled together one wins at most, every callee ends or is let in,
//! and a caller who leaves a dial alive goes on exactly once.

mod crashes;

use conflow::{
    call::CallEvent,
    conference::{ConferenceEvent, DialEvent, DialStep, Kick, LegTransfer},
    documents::{DocumentStore, LocalFlow},
    engine::{
        invite::{InviteRequest, InvitedCallee},
        recorder::AskedBy,
        registry::Observed,
    },
    flow::{AfterExit, CalleeTerms, DocumentError, Flow, verbs::VerbKind},
    media::{AudioEngine, AudioOrder, CannotDial, SignallingBackend, SignallingOrder},
    state_log::StateLog,
};

use self::crashes::PairLog;
use super::*;

const LIVES: RangeInclusive<u64> = 300..=300;
const LIVES_WITH_CRASHES: RangeInclusive<u64> = 300..=600;
const STEPS: usize = 250;

/// The ids of invited calls begin here; those of the callees of a `<Dial>` are above a million.
const INVITED: u128 = 500_000;

#[test]
fn every_pair_keeps_the_promises() {
    silence_injected_faults();
    let mut counts = BTreeMap::new();
    let is_whole = lives::play("pairs", LIVES, |seed| {
        let lived = PairLife::new(seed, false).play();
        lived.into_iter().for_each(|what| *counts.entry(what).or_insert(0) += 1);
    });
    if is_whole {
        let cases = [
            "connected",
            "let in",
            "full",
            "invited",
            "lost the race",
            "timed out",
            "wrong key",
            "cancelled by request",
            "cancelled by the caller",
            "room over",
            "went on",
            "ended",
            "transferred",
            "B went on",
            "kicked",
        ];
        cases.iter().for_each(|it| assert!(counts.get(it).is_some_and(|n| 10 < *n), "{counts:?}"));
    }
}

/// The process of these lives dies again and again. Pairs whose phones stand go on.
#[test]
fn every_pair_outlives_crashes() {
    silence_injected_faults();
    let mut counts = BTreeMap::new();
    let is_whole = lives::play("pairs with crashes", LIVES_WITH_CRASHES, |seed| {
        let lived = PairLife::new(seed, true).play();
        lived.into_iter().for_each(|what| *counts.entry(what).or_insert(0) += 1);
    });
    if is_whole {
        let cases = [
            "crash",
            "crash again",
            "restored caller who dials",
            "restored pair",
            "restored once out",
            "restored to hang up",
            "restored callee",
            "called again",
            "connected",
            "went on",
            "ended",
        ];
        cases.iter().for_each(|it| assert!(counts.get(it).is_some_and(|n| 10 < *n), "{counts:?}"));
    }
}

/// Callees that are dialled together.
#[derive(Debug, Default)]
struct Race {
    /// None: a conference has called them.
    caller: Option<CallId>,
    callees: Vec<CallId>,
    winner: Option<CallId>,
    /// The caller has left the dial.
    is_over: bool,
    /// A crash may have come between what was decided and what was seen.
    is_revived: bool,
}

#[derive(Debug, Default)]
struct PairCall {
    /// Of a callee: its race. Of a caller: that of its current `<Dial>`.
    race: Option<usize>,
    is_callee: bool,
    picked_up: bool,
    /// It has pressed the key that confirms, after its answer.
    has_confirmed: bool,
    is_dialled: bool,
    ended: bool,
    end_ordered: bool,
    /// It has left a room alive, and has not continued.
    must_go_on: bool,
    /// The element that must begin next.
    next: u32,
    room: Option<RoomId>,
    /// Its phone outlives the process, unless it hangs up.
    stands: bool,
    has_hung_up: bool,
    is_answered: bool,
}

/// What is seen of a life from outside.
#[derive(Default)]
struct Pairs {
    calls: BTreeMap<CallId, PairCall>,
    races: Vec<Race>,
    members: Vec<MemberId>,
    playing: Vec<(CallId, u32)>,
    fetches: Vec<(DocumentFetch, OnDocument)>,
    lived: BTreeSet<&'static str>,
    has_key: bool,
    may_inject_faults: bool,
    /// None: the process does not die.
    log: Option<Arc<StateLog>>,
}

impl Pairs {
    #[expect(clippy::too_many_lines, reason = "an arm for each event")]
    fn see(&mut self, seen: Observed) {
        if self.is_dead() {
            return;
        }
        match seen {
            Observed::Call { call, party, event, .. } => {
                self.call(call, party.session.parent(), event);
            }
            Observed::Began { call, step, element } => {
                self.began(call, step);
                if element.verb == VerbKind::Dial {
                    self.dials(call);
                }
            }
            Observed::Dialled { call, event, .. } => self.dialled(call, &event),
            Observed::Fetching { call, purpose, .. } => {
                let it = self.calls.get_mut(&call).unwrap();
                // The document of a sound is none of its own.
                if purpose != Purpose::Sound {
                    assert!(!it.ended, "{call} reads after its end");
                    if purpose == Purpose::Transfer && it.is_callee && it.must_go_on {
                        self.lived.insert("B went on");
                    }
                    if purpose == Purpose::Transfer {
                        self.lived.insert("transferred");
                    }
                    (it.must_go_on, it.next) = (false, 0);
                }
            }
            Observed::Left { call, exit, .. } => {
                let goes_on = !matches!(exit.then, AfterExit::End(_) | AfterExit::HangUp);
                if exit.cause == Cause::Kicked {
                    self.lived.insert("kicked");
                }
                let it = self.calls.get_mut(&call).unwrap();
                assert!(!it.ended && !it.must_go_on, "{call} leaves once");
                assert_eq!(it.room, None, "{call} is still in the mix");
                it.must_go_on = goes_on;
                if it.is_callee && exit.cause == Cause::Full {
                    self.lived.insert("full");
                }
                if exit.dialled.is_some() {
                    let race = it.race.expect("it dials");
                    self.leaves_dial(race, goes_on);
                }
            }
            Observed::Refused { call, cause } => {
                let it = self.calls.get_mut(&call).unwrap();
                it.must_go_on = cause.ending(Dialect::Vobiz).is_none();
                // The dial could not begin: its callees have ended.
                let dial = it.race.filter(|_| !it.is_callee);
                dial.into_iter().for_each(|race| self.races[race].is_over = true);
            }
            Observed::Notice { notice, .. } => {
                if let ConferenceEvent::Entered { who, .. } = notice.event {
                    self.members.push(who.member);
                    if self.calls[&who.call].is_callee {
                        self.lived.insert("let in");
                    }
                }
            }
            Observed::Turn(_) => unreachable!("it comes event by event"),
            Observed::PassedOver { .. } | Observed::Fetched { .. } | Observed::Requeued { .. } => {}
            Observed::Attempted { .. } | Observed::Warned { .. } | Observed::Recording { .. } => {}
            Observed::RecordingChanged { .. } | Observed::Requested { .. } => {}
            Observed::Resumed { .. } => {}
        }
    }

    fn call(&mut self, call: CallId, parent: Option<CallId>, event: CallEvent) {
        match event {
            CallEvent::Begun => {
                let race = parent.map(|it| self.calls[&it].race.expect("it dials"));
                let it = self.calls.entry(call).or_default();
                it.stands = stands(call);
                if let Some(race) = race {
                    (it.race, it.is_callee) = (Some(race), true);
                    self.races[race].callees.push(call);
                }
            }
            CallEvent::Answered => {
                let it = self.calls.get_mut(&call).unwrap();
                assert!(!it.ended && (!it.is_callee || it.picked_up), "{call} has not answered");
                assert!(!it.is_answered, "{call} is answered once");
                it.is_answered = true;
            }
            CallEvent::Ended(ending) => {
                let it = self.calls.get_mut(&call).unwrap();
                assert!(!it.ended, "{call} ends once");
                (it.ended, it.must_go_on) = (true, false);
                assert_eq!(it.room, None, "{call} is still in the mix");
                self.playing.retain(|(it, _)| *it != call);
                if it.is_callee {
                    self.lived.extend(brief(ending.cause.code(), ending.source.text()));
                }
            }
            CallEvent::Rang => assert!(self.calls[&call].is_dialled, "{call} rings"),
        }
    }

    fn began(&mut self, call: CallId, step: u32) {
        let it = self.calls.get_mut(&call).unwrap();
        assert!(!it.ended, "{call} continues after its end");
        assert_eq!(it.room, None, "{call} continues in the mix");
        assert_eq!(step, it.next, "{call} continues at the next element, once");
        (it.must_go_on, it.next) = (false, step + 1);
        // Nothing but the invitation brings its callee the first document.
        let race = it.race.filter(|race| self.races[*race].caller.is_none());
        if let Some(race) = race.filter(|race| self.races[*race].winner != Some(call)) {
            self.wins(race, call);
        }
    }

    /// A caller begins a `<Dial>`.
    fn dials(&mut self, call: CallId) {
        self.races.push(Race { caller: Some(call), ..Race::default() });
        let race = self.races.len() - 1;
        self.calls.get_mut(&call).unwrap().race = Some(race);
    }

    fn dialled(&mut self, owner: CallId, event: &DialEvent) {
        let callee = event.callee.call;
        let race = self.calls[&callee].race.expect("it was dialled");
        assert_eq!(owner, self.races[race].caller.unwrap_or(callee));
        if event.step == DialStep::Connected {
            assert_eq!(self.races[race].caller, Some(owner));
            self.lived.insert("connected");
            self.wins(race, callee);
        }
    }

    fn wins(&mut self, race: usize, callee: CallId) {
        assert_eq!(self.races[race].winner, None, "one callee wins");
        self.races[race].winner = Some(callee);
        let it = &self.calls[&callee];
        assert!(it.picked_up && !it.ended, "{callee} has not answered");
        assert!(it.has_confirmed || !self.has_key, "{callee} has not confirmed");
        if self.races[race].caller.is_none() {
            self.are_over(race);
        }
    }

    /// All callees of a race have ended, except the winner.
    fn are_over(&self, race: usize) {
        let Race { callees, winner, .. } = &self.races[race];
        for callee in callees.iter().filter(|it| Some(**it) != *winner) {
            assert!(self.calls[callee].ended, "{callee} is left, and {winner:?} has won");
        }
    }

    fn leaves_dial(&mut self, race: usize, goes_on: bool) {
        assert!(!self.races[race].is_over, "the caller leaves once");
        self.races[race].is_over = true;
        // A panic can strike between the connection and its report.
        if !self.may_inject_faults && !self.races[race].is_revived {
            self.are_over(race);
        }
        self.lived.insert(if goes_on { "went on" } else { "ended" });
    }

    fn order(&mut self, order: AudioOrder) {
        if self.is_dead() {
            return;
        }
        match order {
            AudioOrder::Place { room, calls, .. } => {
                for call in calls {
                    let before = self.calls.get_mut(&call).unwrap().room.replace(room.id);
                    assert!(before.is_none_or(|it| it == room.id), "{call} is in two rooms");
                }
            }
            AudioOrder::Remove { calls, .. } => {
                calls.iter().for_each(|it| self.calls.get_mut(it).unwrap().room = None);
            }
            AudioOrder::Play { call, number, .. }
            | AudioOrder::PlayOn { call, number, .. }
            | AudioOrder::SendDigits { call, number, .. } => {
                assert!(!self.calls[&call].ended, "{call} hears a sound after its end");
                self.playing.push((call, number));
            }
            AudioOrder::Stop { call } => self.playing.retain(|(it, _)| *it != call),
            AudioOrder::Announce { .. } | AudioOrder::Deafen { .. } | AudioOrder::Hush { .. } => {}
            AudioOrder::Mute { .. } | AudioOrder::PlayOver { .. } | AudioOrder::Prepare { .. } => {}
            AudioOrder::StopOver { .. } | AudioOrder::ToRoom { .. } => {}
            AudioOrder::Record { .. } | AudioOrder::StopRecording { .. } => {}
        }
    }

    fn signal(&mut self, order: &SignallingOrder) {
        if self.is_dead() {
            return;
        }
        let call = order.call();
        let it = self.calls.get_mut(&call).unwrap();
        match order {
            SignallingOrder::Dial { .. } => {
                assert!(!it.ended && !it.is_dialled, "{call} is dialled once");
                it.is_dialled = true;
                let is_again = it.race.is_some_and(|race| self.races[race].is_revived);
                self.lived.extend(is_again.then_some("called again"));
            }
            SignallingOrder::Answer { .. } | SignallingOrder::EarlyMedia { .. } => {
                assert!(!it.ended, "{call} is picked up after its end");
            }
            SignallingOrder::End { .. } => {
                assert!(it.ended && !it.end_ordered, "{call} ends once, and is told first");
                it.end_ordered = true;
            }
        }
    }

    fn check_end(&self) {
        for (call, it) in &self.calls {
            assert!(it.ended && it.end_ordered, "{call} has ended: {it:?}");
            assert!(it.room.is_none() && !it.must_go_on, "{call} is left: {it:?}");
        }
        for race in &self.races {
            let is_dial = race.caller.is_some() && !race.callees.is_empty() && !race.is_revived;
            assert!(race.is_over || !is_dial, "the caller has left: {race:?}");
        }
    }
}

/// Whether a phone outlives the process: most do.
fn stands(call: CallId) -> bool {
    !call.0.as_u128().is_multiple_of(5)
}

/// How a callee ended, as a case.
fn brief(code: u16, source: &str) -> Option<&'static str> {
    Some(match (code, source) {
        (9_000, _) => "lost the race",
        (6_010, _) => "timed out",
        (9_110, _) => "wrong key",
        (1_000, "API Request") => "cancelled by request",
        (1_000, "Caller") => "cancelled by the caller",
        (1_000, _) => "room over",
        _ => return None,
    })
}

/// Observes orders and document requests.
struct PairObserver(Arc<Mutex<Pairs>>);

impl SignallingBackend for PairObserver {
    fn signal(&self, order: SignallingOrder) {
        self.0.lock().signal(&order);
    }

    fn can_dial(&self, _: &conflow::base::ids::AccountId, _: &str) -> Result<(), CannotDial> {
        Ok(())
    }

    fn restores(&self, call: CallId) -> bool {
        let seen = self.0.lock();
        seen.log.is_some() && seen.calls.get(&call).is_some_and(|it| it.stands)
    }
}

impl AudioEngine for PairObserver {
    fn send(&self, order: AudioOrder) {
        self.0.lock().order(order);
    }
}

impl DocumentStore for PairObserver {
    fn fetch(&self, fetch: DocumentFetch, done: OnDocument) {
        let mut seen = self.0.lock();
        if !seen.is_dead() {
            seen.fetches.push((fetch, done));
        }
    }

    fn local(&self, _: &LocalFlow) -> Option<Fetched> {
        None
    }
}

struct PairLife {
    rng: Rng,
    now: Instant,
    registry: Arc<Registry>,
    scheduler: Scheduler,
    seen: Arc<Mutex<Pairs>>,
    asked: Vec<Receiver<Outcome>>,
    call_last: u128,
    invited_last: u128,
    has_sound: bool,
    settings: Settings,
    numbers: PairNumbers,
    /// None: the process does not die.
    log: Option<PairLog>,
}

/// Sources of ids, which are never used twice.
#[derive(Clone, Default)]
struct PairNumbers {
    rooms: Arc<AtomicU64>,
    members: Arc<Counter>,
    callees: Arc<AtomicU64>,
}

/// The registry of a process.
fn pair_registry(
    now: Instant,
    settings: &Settings,
    numbers: &PairNumbers,
    seen: &Arc<Mutex<Pairs>>,
    scheduler: &Scheduler,
    log: Option<&PairLog>,
) -> Arc<Registry> {
    let (rooms, callees) = (numbers.rooms.clone(), numbers.callees.clone());
    let journal = log.map(PairLog::journal);
    let links = RegistryPorts {
        media: Arc::new(PairObserver(seen.clone())),
        documents: Arc::new(PairObserver(seen.clone())),
        ban_list: Arc::new(BanList::in_memory(now, SystemTime::UNIX_EPOCH)),
        member_ids: numbers.members.clone(),
        room_id: Box::new(move || RoomId::of((rooms.fetch_add(1, Ordering::Relaxed) + 1).into())),
        call_id: Box::new(move || {
            CallId::of((1_000_001 + callees.fetch_add(1, Ordering::Relaxed)).into())
        }),
        observer: Box::new({
            let seen = seen.clone();
            move |observed| {
                journal.iter().for_each(|it| it.note(&observed));
                observed.each(|it| seen.lock().see(it));
            }
        }),
        spawner: Box::new(scheduler.spawner()),
    };
    let registry = Registry::new(settings.clone(), links);
    log.iter().for_each(|it| registry.keep_rows(it.clock));
    registry
}

impl PairLife {
    #[expect(clippy::disallowed_methods, reason = "a place to start; any will do")]
    fn new(seed: u64, crashes: bool) -> Self {
        let (mut rng, now) = (Rng::with_seed(seed), Instant::now());
        let inject_fault_after = (rng.u8(0..4) == 0).then(|| rng.u32(0..120));
        let settings = Settings { members_max: rng.usize(1..5), asks_max: 8, inject_fault_after };
        let mut pairs = Pairs { has_key: rng.bool(), ..Pairs::default() };
        pairs.may_inject_faults = inject_fault_after.is_some();
        let log = crashes.then(|| PairLog::new(now));
        pairs.log = log.as_ref().map(PairLog::log);
        let (seen, scheduler) = (Arc::new(Mutex::new(pairs)), Scheduler::default());
        let numbers = PairNumbers::default();
        let registry = pair_registry(now, &settings, &numbers, &seen, &scheduler, log.as_ref());
        let has_sound = rng.bool();
        Self {
            rng,
            now,
            registry,
            scheduler,
            seen,
            asked: Vec::new(),
            call_last: 0,
            invited_last: INVITED,
            has_sound,
            settings,
            numbers,
            log,
        }
    }

    fn play(mut self) -> BTreeSet<&'static str> {
        for _ in 0..STEPS {
            match self.rng.u8(0..30) {
                0 => self.call(),
                1 => self.invite(),
                2..8 => self.phone(),
                8 => self.over(),
                9 => self.fetched(),
                10 => self.request(),
                11 => self.now += Duration::from_millis(self.rng.u64(0..6_000)),
                _ => self.turn(),
            }
            self.scheduler.add_new_actors();
            self.survive();
        }
        self.log.iter().for_each(PairLog::spare);
        self.registry.close();
        for _ in 0..LAST_STEPS_MAX {
            if self.scheduler.is_empty() {
                return self.finish();
            }
            match self.rng.u8(0..8) {
                0 => self.over(),
                1 => self.fetched(),
                2 => self.now += Duration::from_millis(self.rng.u64(0..6_000)),
                _ => self.turn(),
            }
            self.scheduler.add_new_actors();
        }
        panic!("the registry does not come to rest");
    }

    fn finish(mut self) -> BTreeSet<&'static str> {
        assert!(self.registry.calls().is_empty(), "calls are left: {:?}", self.registry.calls());
        let is_over = |it: &mut Receiver<Outcome>| it.try_recv() != Err(TryRecvError::Empty);
        assert!(self.asked.iter_mut().all(is_over), "an ask has no answer");
        let lived = {
            let seen = self.seen.lock();
            seen.check_end();
            seen.lived.clone()
        };
        self.log.iter_mut().for_each(PairLog::finish);
        lived
    }

    /// A caller whose document dials, or is a conference.
    fn call(&mut self) {
        self.call_last += 1;
        let (id, direction) = (CallId::of(self.call_last), CallDirection::Inbound);
        let session = CallSession::at(SystemTime::UNIX_EPOCH);
        let party = party("100", "200", direction, session);
        let limit = Duration::from_secs(self.rng.u64(5..300));
        let call = Call::new(self.now, id, account(), Arc::new(party), limit);
        let text = match self.rng.u8(0..3) {
            0 => "<Conference>team</Conference><Speak>x</Speak>".to_owned(),
            _ => format!("{}<Speak>x</Speak>{}<Speak>x</Speak>", self.dial(), self.dial()),
        };
        let document = parse(&text);
        self.seen.lock().calls.entry(id).or_default().stands = stands(id);
        self.registry.begin(self.now, call, "flow:first", Ok(document));
    }

    fn dial(&mut self) -> String {
        let numbers = "<Number>1</Number>".repeat(self.rng.usize(1..4));
        let key = if self.seen.lock().has_key { " confirmKey='1'" } else { "" };
        let sound = if self.has_sound { " confirmSound='flow:ask'" } else { "" };
        let action = if self.rng.u8(0..4) == 0 { " action='flow:after'" } else { "" };
        let (timeout, limit) = (self.rng.u8(1..40), self.rng.u8(1..60));
        format!(
            "<Dial timeout='{timeout}' timeLimit='{limit}' hangupOnStar='true' \
             confirmTimeout='9'{key}{sound}{action}>{numbers}</Dial>"
        )
    }

    /// The conference calls somebody, if it is there.
    fn invite(&mut self) {
        let mut callees = Vec::new();
        for _ in 0..self.rng.usize(1..4) {
            self.invited_last += 1;
            let session = CallSession::at(SystemTime::UNIX_EPOCH);
            let party = party("100", "300", CallDirection::Outbound, session);
            callees.push(InvitedCallee {
                call: CallId::of(self.invited_last),
                party,
                digits: None,
            });
        }
        let (key, sound) = (self.seen.lock().has_key, self.has_sound);
        let seconds = |it: u64| Duration::from_secs(it);
        let terms = CalleeTerms {
            ring_timeout: seconds(self.rng.u64(1..40)),
            time_limit: seconds(self.rng.u64(1..60)),
            confirm_sound: sound.then(|| "flow:ask".into()),
            confirm_key: key.then_some('1'),
            confirm_timeout: seconds(9),
            callback: None,
        };
        let flow = parse("<Conference>team</Conference>");
        let ids: Vec<_> = callees.iter().map(|it| it.call).collect();
        {
            let mut seen = self.seen.lock();
            let race = seen.races.len();
            seen.races.push(Race { callees: ids.clone(), ..Race::default() });
            for id in &ids {
                let it = seen.calls.entry(*id).or_default();
                (it.race, it.is_callee) = (Some(race), true);
            }
        }
        let invitation = InviteRequest { callees, terms: Arc::new(terms), flow };
        match self.registry.invite(self.now, AskedBy::default(), &team(), invitation) {
            Ok(answer) => {
                self.seen.lock().lived.insert("invited");
                self.asked.push(answer);
            }
            // Nobody was called.
            Err(_) => self.seen.lock().calls.retain(|id, _| !ids.contains(id)),
        }
    }

    /// A phone does something, in any state.
    fn phone(&mut self) {
        let calls: Vec<_> = self.seen.lock().calls.keys().copied().collect();
        let Some(call) = self.rng.choice(calls) else { return };
        let event = match self.rng.u8(0..12) {
            0..2 => LegEvent::Ringing,
            2..6 => LegEvent::Answered,
            6 => LegEvent::Failed(DialFailure::new(HangupCause::Busy, DialFailureSource::Callee)),
            7..10 => LegEvent::Digit(self.rng.choice(['1', '1', '1', '2', '*']).unwrap()),
            10 => LegEvent::Talk(true),
            _ => LegEvent::HungUp,
        };
        let mut seen = self.seen.lock();
        let it = seen.calls.get_mut(&call).unwrap();
        it.picked_up |= event == LegEvent::Answered;
        it.has_hung_up |= event == LegEvent::HungUp;
        it.has_confirmed |= it.picked_up && event == LegEvent::Digit('1');
        drop(seen);
        self.registry.report(Report { call, event });
    }

    /// A request of the API about a call or a member.
    fn request(&mut self) {
        let calls: Vec<_> = self.seen.lock().calls.keys().copied().collect();
        let Some(call) = self.rng.choice(calls) else { return };
        let request = || DocumentRequest {
            url: "flow:after".into(),
            method: RequestMethod::Post,
            purpose: Purpose::Transfer,
            fields: Vec::new(),
            is_private: false,
        };
        match self.rng.u8(0..6) {
            0 => self.registry.hang_up(call, Cause::HungUpByApi),
            1..4 => {
                let legs = match self.rng.u8(0..3) {
                    0 => LegTransfer { own: Some(request()), callee: None },
                    1 => LegTransfer { own: None, callee: Some(request()) },
                    _ => LegTransfer { own: Some(request()), callee: Some(request()) },
                };
                // An outgoing call has no flow before its answer, as the API knows.
                let is_ringing = |it: &PairCall| it.is_callee && !it.picked_up;
                if !self.seen.lock().calls.get(&call).is_some_and(is_ringing) {
                    drop(self.registry.transfer(call, legs, None));
                }
            }
            _ => {
                let member = self.rng.choice(self.seen.lock().members.clone());
                let who = member.map_or(MemberSelector::All, |it| MemberSelector::These(vec![it]));
                let kick = Ask::Kick { who, kick: Kick::default() };
                self.asked.extend(self.registry.ask(&team(), kick));
            }
        }
    }

    fn over(&mut self) {
        let playing = self.rng.choice(self.seen.lock().playing.clone());
        if let Some((call, number)) = playing {
            self.seen.lock().playing.retain(|it| *it != (call, number));
            self.registry.report(Report { call, event: LegEvent::Finished(number) });
        }
    }

    fn fetched(&mut self) {
        let mut fetches = std::mem::take(&mut self.seen.lock().fetches);
        if !fetches.is_empty() {
            let n = self.rng.usize(0..fetches.len());
            let (fetch, done) = fetches.swap_remove(n);
            let document = match self.rng.u8(0..4) {
                0 => Err(DocumentError::Unreachable("nobody there".into())),
                _ => Ok(parse("<Speak>x</Speak>")),
            };
            done(fetch, document, None);
        }
        self.seen.lock().fetches.append(&mut fetches);
    }

    fn turn(&mut self) {
        if !self.scheduler.is_empty() {
            let n = self.rng.usize(0..self.scheduler.len());
            self.scheduler.turn(n, self.now, || self.rng.usize(1..4));
        }
    }
}

fn team() -> RoomKey {
    RoomKey { account: account(), name: "team".parse().unwrap() }
}

fn parse(elements: &str) -> Arc<Flow> {
    let document = format!("<Response>{elements}</Response>");
    Arc::new(Flow::parse(&document, Dialect::Vobiz).unwrap())
}

fn party(from: &str, to: &str, direction: CallDirection, session: CallSession) -> Party {
    let (from, to, caller_name) = (from.into(), to.into(), "".into());
    let (dialect, trusted) = (Dialect::Vobiz, None);
    Party { from, to, caller_name, direction, dialect, trusted, session }
}
