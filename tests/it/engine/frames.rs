//! Frames: what a turn decides for several calls is written at once, before any effect of it.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use conflow::{
    base::ids::{AccountId, CallId, Dialect, RoomId},
    call::{AnswerUrls, Call, CallDirection, CallEvent, CallSession, Hook, OutgoingCall, Party},
    conference::{ConferenceEvent, Settings},
    documents::{DocumentFetch, DocumentStore, LocalFlow, OnDocument},
    engine::{
        ban_list::BanList,
        registry::{Observed, Registry, RegistryPorts},
        scheduler::Scheduler,
    },
    flow::{Cause, Fetched, Flow, RequestMethod},
    media::{AudioEngine, AudioOrder, LegEvent, Report, SignallingBackend, SignallingOrder},
};
use parking_lot::Mutex;

use crate::harness::{Counter, callee_ids, settings};

/// More than the messages of a turn, for each of the 16 workers.
const CALLS: u128 = 400;

/// What a registry does, in order.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Act {
    /// The events of a frame: call, account and text.
    Frame(Vec<(CallId, String, &'static str)>),
    /// An order or a request, by its call.
    Effect(CallId, &'static str),
}

#[derive(Clone, Default)]
struct Acts(Arc<Mutex<Vec<Act>>>);

struct FrameBench {
    registry: Arc<Registry>,
    scheduler: Scheduler,
    acts: Acts,
    now: Instant,
}

impl FrameBench {
    fn new(settings: Settings) -> Self {
        let (acts, scheduler) = (Acts::default(), Scheduler::default());
        let now = tokio::time::Instant::now().into_std();
        let frames = acts.clone();
        let links = RegistryPorts {
            media: Arc::new(acts.clone()),
            documents: Arc::new(acts.clone()),
            ban_list: Arc::new(BanList::in_memory(now, SystemTime::UNIX_EPOCH)),
            member_ids: Arc::new(Counter::default()),
            room_id: Box::new(|| RoomId::of(1)),
            call_id: callee_ids(),
            observer: Box::new(move |observed| {
                let events: Vec<_> = observed.events().iter().filter_map(event).collect();
                if !events.is_empty() {
                    frames.0.lock().push(Act::Frame(events));
                }
            }),
            spawner: Box::new(scheduler.spawner()),
        };
        Self { registry: Registry::new(settings, links), scheduler, acts, now }
    }

    fn call(&self, n: u128, account: &str, direction: CallDirection) -> Box<Call> {
        let party = Party {
            from: "14155550100".into(),
            to: "weekly".into(),
            caller_name: "Anna".into(),
            direction,
            dialect: Dialect::Plivo,
            trusted: None,
            session: CallSession::at(SystemTime::UNIX_EPOCH),
        };
        let account: AccountId = account.parse().unwrap();
        Call::new(self.now, CallId::of(n), account, Arc::new(party), Duration::from_secs(600))
    }

    /// A call runs these elements.
    fn run(&self, n: u128, elements: &str) {
        let document = format!("<Response>{elements}</Response>");
        let flow = Ok(Arc::new(Flow::parse(&document, Dialect::Plivo).unwrap()));
        let call = self.call(n, "MA1", CallDirection::Inbound);
        self.registry.begin(self.now, call, "flow:weekly", flow);
    }

    /// Gives actors their turns until none has anything to do. `slice`: what each may do in a turn.
    fn settle(&mut self, slice: usize) {
        self.scheduler.wake();
        loop {
            self.scheduler.add_new_actors();
            let Some(n) = self.scheduler.busy().next() else { return };
            self.scheduler.turn(n, self.now, || slice);
        }
    }

    fn acts(&self) -> Vec<Act> {
        std::mem::take(&mut self.acts.0.lock())
    }

    fn close(mut self) {
        self.registry.close();
        while !self.registry.calls().is_empty() {
            let calls = self.registry.calls();
            calls.iter().for_each(|call| self.registry.hang_up(*call, Cause::HungUpByApi));
            self.settle(usize::MAX);
        }
    }
}

fn event(observed: &Observed) -> Option<(CallId, String, &'static str)> {
    if let Observed::Call { account, call, event, .. } = observed {
        let text = match event {
            CallEvent::Begun => "begun",
            CallEvent::Rang => "rang",
            CallEvent::Answered => "answered",
            CallEvent::Ended(_) => "ended",
        };
        return Some((*call, account.as_str().to_owned(), text));
    }
    let Observed::Notice { room, notice } = observed else { return None };
    let ConferenceEvent::Entered { who, .. } = &notice.event else { return None };
    Some((who.call, room.key.account.as_str().to_owned(), "entered"))
}

impl SignallingBackend for Acts {
    fn signal(&self, order: SignallingOrder) {
        self.0.lock().push(Act::Effect(order.call(), "signal"));
    }
}

impl AudioEngine for Acts {
    fn send(&self, order: AudioOrder) {
        let text = if matches!(order, AudioOrder::Place { .. }) { "place" } else { "audio" };
        let effects = order.calls().iter().map(|call| Act::Effect(*call, text));
        self.0.lock().extend(effects);
    }
}

impl DocumentStore for Acts {
    fn fetch(&self, fetch: DocumentFetch, _: OnDocument) {
        self.0.lock().push(Act::Effect(fetch.call, "fetch"));
    }

    fn local(&self, _: &LocalFlow) -> Option<Fetched> {
        None
    }
}

/// The frames that have an event.
fn frames<'a>(acts: &'a [Act], text: &str) -> Vec<&'a [(CallId, String, &'static str)]> {
    let frame = |act: &'a Act| match act {
        Act::Frame(events) if events.iter().any(|it| it.2 == text) => Some(&events[..]),
        Act::Frame(_) | Act::Effect(..) => None,
    };
    acts.iter().filter_map(frame).collect()
}

/// Checks that the effect of each call comes once, after the frame of its event.
fn check_written_first(acts: &[Act], event: &str, effect: &str) {
    let mut written = BTreeMap::new();
    for act in acts {
        match act {
            Act::Frame(events) => {
                let new = events.iter().filter(|it| it.2 == event);
                new.for_each(|(call, ..)| assert_eq!(written.insert(*call, false), None));
            }
            Act::Effect(call, text) if *text == effect => {
                assert_eq!(written.insert(*call, true), Some(false), "{effect} of {call}");
            }
            Act::Effect(..) => (),
        }
    }
    assert!(written.values().all(|it| *it), "each has its effect");
}

#[test]
fn the_begin_and_the_answer_of_a_call_share_a_frame_that_precedes_its_orders() {
    let bench = FrameBench::new(settings());
    bench.run(1, "<Speak>hello</Speak>");
    let (call, account) = (CallId::of(1), || "MA1".to_owned());
    let begun = Act::Frame(vec![(call, account(), "begun"), (call, account(), "answered")]);
    let orders = [Act::Effect(call, "signal"), Act::Effect(call, "audio")];
    assert_eq!(bench.acts(), [&[begun][..], &orders].concat());
    bench.close();
}

#[test]
fn calls_of_a_worker_share_a_frame_that_precedes_the_effects_of_all() {
    let mut bench = FrameBench::new(settings());
    let hook = Hook { url: "http://example.com/".into(), method: RequestMethod::Post };
    let account = |n: u128| if n % 50 < 40 { "MA1" } else { "MA2" };
    for n in 1..=CALLS {
        let out = OutgoingCall {
            answer: AnswerUrls { hook: hook.clone(), fallback: None },
            ring_timeout: Duration::from_secs(60),
            ring_max: None,
            digits: None,
            sends_early: false,
        };
        let call = bench.call(n, account(n), CallDirection::Outbound);
        bench.registry.dial(bench.now, vec![(call, out)], None);
    }
    bench.settle(usize::MAX);
    bench.acts();
    for n in 1..=CALLS {
        bench.registry.report(Report { call: CallId::of(n), event: LegEvent::Answered });
    }
    bench.settle(usize::MAX);

    let acts = bench.acts();
    check_written_first(&acts, "answered", "fetch");
    let frames = frames(&acts, "answered");
    let lengths: Vec<_> = frames.iter().map(|it| it.len()).collect();
    assert_eq!(lengths.iter().sum::<usize>(), CALLS as usize);
    assert_eq!(lengths.iter().max(), Some(&8), "as many as the messages of a turn");
    assert!(frames.len() < CALLS as usize / 2, "{lengths:?}");
    for frame in frames {
        let (first, rest) = frame.split_first().unwrap();
        assert!(rest.iter().all(|it| it.1 == first.1), "one account: {frame:?}");
        assert!(frame.is_sorted(), "in the order of the reports: {frame:?}");
    }
    bench.close();
}

/// A call that gets two messages in a turn has its second decision after the effects of the first.
#[test]
fn a_call_decides_again_when_its_first_decision_is_carried_out() {
    let mut bench = FrameBench::new(settings());
    for n in 1..=CALLS {
        bench.run(n, "<Speak>one</Speak><Speak>two</Speak><Speak>three</Speak>");
    }
    bench.settle(usize::MAX);
    bench.acts();
    for n in 1..=CALLS {
        let call = CallId::of(n);
        bench.registry.report(Report { call, event: LegEvent::Finished(1) });
        bench.registry.hang_up(call, Cause::CallerLeft);
    }
    bench.settle(usize::MAX);
    let acts = bench.acts();
    for n in 1..=CALLS {
        let of_call = |act: &&Act| match act {
            Act::Frame(events) => events.iter().any(|it| it.0 == CallId::of(n)),
            Act::Effect(call, _) => *call == CallId::of(n),
        };
        let texts = acts.iter().filter(of_call).map(|act| match act {
            Act::Frame(events) => events[0].2,
            Act::Effect(_, text) => text,
        });
        assert_eq!(texts.collect::<Vec<_>>(), ["audio", "ended", "signal"], "call {n}");
    }
    bench.close();
}

#[test]
fn joins_that_wait_share_a_frame_that_precedes_the_effects_of_all() {
    for slice in [1, 2, 5, 64] {
        let mut bench = FrameBench::new(settings());
        (1..=20).for_each(|n| {
            bench.run(n, "<Conference stayAlone='true'>weekly</Conference>");
        });
        bench.settle(slice);

        let acts = bench.acts();
        check_written_first(&acts, "entered", "place");
        let frames = frames(&acts, "entered");
        let entered: Vec<_> = frames.iter().flat_map(|it| it.iter()).map(|it| it.0).collect();
        assert_eq!(entered, (1..=20).map(CallId::of).collect::<Vec<_>>(), "slice {slice}");
        let longest = frames.iter().map(|it| it.len()).max();
        match slice {
            1 => assert_eq!(longest, Some(1)),
            2 => assert_eq!(longest, Some(1), "a join has two effects"),
            5 => assert_eq!(longest, Some(3)),
            _ => assert_eq!(longest, Some(20)),
        }
        bench.close();
    }
}

#[test]
fn a_join_that_is_refused_ends_its_batch() {
    let mut bench = FrameBench::new(Settings { members_max: 4, ..settings() });
    (1..=9).for_each(|n| {
        bench.run(n, "<Conference stayAlone='true'>weekly</Conference><Speak>full</Speak>");
    });
    bench.settle(64);
    let acts = bench.acts();
    let entered = frames(&acts, "entered");
    assert_eq!(entered.len(), 1);
    assert_eq!(entered[0].len(), 4);
    let spoken = acts.iter().filter(|it| matches!(it, Act::Effect(_, "audio"))).count();
    assert!(5 <= spoken, "the others go on: {acts:?}");
    bench.close();
}
