//! Phones in real time: reports and their times, and the locks.

use std::{collections::BTreeMap, thread};

use super::*;
use crate::{
    base::ids::{Incarnation, RoomId},
    media::{
        Arrival, Ending, HangupCause, HangupSource, LegEvent, MemberAudio, NoFlow, Program,
        SoundKind,
    },
    sim_phones::{PhoneAction, PhoneState, ScriptItem},
};

#[tokio::test(start_paused = true)]
async fn orders_may_come_before_the_arrival_is_over() {
    let harness = SimHarness::new(|sim, arrival| {
        let call = arrival.call;
        sim.signal(SignallingOrder::Answer { call });
        sim.send(AudioOrder::Play { call, number: 1, program: beeps(2) });
        assert_eq!(sim.details(&mine(), call).unwrap().state, PhoneState::InProgress);
        Ok(())
    });
    let call = harness.sim.dial(&mine(), Dial::to("weekly")).unwrap();
    assert_eq!(harness.exchange.reported(), []);

    time::sleep(Duration::from_secs(1)).await;
    assert_eq!(harness.exchange.reported(), [(400, call, LegEvent::Finished(1))]);
    let record = harness.sim.details(&mine(), call).unwrap();
    assert_eq!(record.transcript(), "0-200 beep, 200-400 beep, 400- silence");
}

#[tokio::test(start_paused = true)]
async fn an_order_to_many_phones_is_carried_out_part_by_part() {
    let harness = SimHarness::new(answer);
    let dial = |_| harness.sim.dial(&mine(), Dial::to("weekly")).unwrap();
    let calls: Vec<_> = (0..600).map(dial).collect();
    let order = place(calls.clone());
    let mut from = 0;
    for to in [256, 512, 600] {
        from = harness.sim.send_part(&order, from);
        assert_eq!(from, to);
        for (n, call) in calls.iter().enumerate() {
            let hears = harness.sim.details(&mine(), *call).unwrap().transcript();
            let expected = if n < to { "0- room weekly" } else { "0- silence" };
            assert_eq!(hears, expected, "{n} of {to}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_deadline_before_the_next_one_is_met() {
    let harness = SimHarness::new(answer);
    let call = harness.sim.dial(&mine(), Dial::to("weekly")).unwrap();
    let pause = SoundKind::Silence(Duration::from_secs(10)).into();
    harness.sim.send(AudioOrder::Play { call, number: 1, program: [pause].into() });
    time::sleep(Duration::from_millis(1_000)).await;
    harness.sim.send(AudioOrder::SendDigits { call, number: 2, digits: "1".into() });
    time::sleep(Duration::from_millis(10_000)).await;

    let over = |at, number| (at, call, LegEvent::Finished(number));
    assert_eq!(harness.exchange.reported(), [over(1_100, 2), over(10_000, 1)]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_reported_from_within_an_order() {
    let harness = SimHarness::new(answer);
    let call = harness.sim.dial(&mine(), Dial::to("weekly")).unwrap();
    harness.sim.send(AudioOrder::Play { call, number: 1, program: beeps(0) });
    assert_eq!(harness.exchange.reported(), []);

    time::sleep(Duration::from_millis(1)).await;
    assert_eq!(harness.exchange.reported(), [(0, call, LegEvent::Finished(1))]);
}

#[tokio::test(start_paused = true)]
async fn what_a_phone_does_is_reported_when_it_is_done() {
    let harness = SimHarness::new(answer);
    let call = harness.sim.dial(&mine(), Dial::to("weekly")).unwrap();
    harness.sim.press(&mine(), call, "1#").unwrap();
    harness.sim.talk(&mine(), call, 50).unwrap();
    harness.sim.hold(&mine(), call, true).unwrap();
    let now = [LegEvent::Digit('1'), LegEvent::Talk(true), LegEvent::Hold(true)];
    assert_eq!(harness.exchange.reported(), now.map(|heard| (0, call, heard)));

    time::sleep(Duration::from_millis(1_000)).await;
    harness.sim.hang_up(&mine(), call).unwrap();
    let later =
        [(50, LegEvent::Talk(false)), (100, LegEvent::Digit('#')), (1_000, LegEvent::HungUp)];
    assert_eq!(harness.exchange.reported()[3..], later.map(|(at, heard)| (at, call, heard)));
}

#[tokio::test(start_paused = true)]
async fn bad_keys_have_different_errors() {
    let harness = SimHarness::new(answer);
    let call = harness.sim.dial(&mine(), Dial::to("weekly")).unwrap();
    for digits in ["", "x", "1w", &"1".repeat(65)] {
        let answer = harness.sim.press(&mine(), call, digits);
        assert!(matches!(answer, Err(PhoneError::BadKeys(_))), "{digits}: {answer:?}");
    }
    assert_eq!(harness.sim.press(&other(), call, "1"), Err(PhoneError::Unknown));
    assert_eq!(harness.sim.details(&other(), call), Err(PhoneError::Unknown));
    assert_eq!(harness.exchange.reported(), []);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_not_taken_leaves_no_phone() {
    let arrived: Arc<OnceLock<CallId>> = Arc::default();
    let seen = Arc::clone(&arrived);
    let harness = SimHarness::new(move |_, arrival| {
        seen.set(arrival.call).unwrap();
        Err(NoFlow { to: arrival.to, hint: "there are none".into(), is_temporary: false })
    });
    let hint = "there are none".into();
    let no_flow = NoFlow { to: "weekly".into(), hint, is_temporary: false };
    let refused = harness.sim.dial(&mine(), Dial::to("weekly"));
    assert_eq!(refused, Err(DialError::NoFlow(no_flow)));
    let call = *arrived.get().unwrap();
    assert_eq!(harness.sim.details(&mine(), call), Err(PhoneError::Unknown));
    assert_eq!(harness.sim.core.phones.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn a_phone_that_hangs_up_is_completed_at_once_and_learns_why_later() {
    let harness = SimHarness::new(answer);
    let call = harness.sim.dial(&mine(), Dial::to("weekly")).unwrap();
    harness.sim.hang_up(&mine(), call).unwrap();
    let record = || harness.sim.details(&mine(), call).unwrap();
    assert_eq!((record().state, record().hangup_cause_code), (PhoneState::Completed, None));
    assert_eq!(harness.sim.press(&mine(), call, "1"), Err(PhoneError::Ended));

    harness.sim.signal(end(call));
    assert_eq!(record().hangup_cause_code, Some(4000));
    assert_eq!(record().hangup_source, Some("Caller"));
}

#[tokio::test(start_paused = true)]
async fn an_ended_phone_is_kept_for_ten_minutes() {
    let harness = SimHarness::new(answer);
    let call = harness.sim.dial(&mine(), Dial::to("weekly")).unwrap();
    harness.sim.signal(end(call));
    time::sleep(KEPT_FOR - Duration::from_millis(1)).await;
    assert!(harness.sim.details(&mine(), call).is_ok());
    time::sleep(Duration::from_millis(1)).await;
    assert_eq!(harness.sim.details(&mine(), call), Err(PhoneError::Unknown));
    assert_eq!(harness.sim.core.phones.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn of_many_ended_phones_the_oldest_go_first() {
    let harness = SimHarness::new(answer);
    let up = harness.sim.dial(&mine(), Dial::to("weekly")).unwrap();
    let calls: Vec<_> = (0..=KEPT_MAX)
        .map(|n| {
            let call = harness.sim.dial(&mine(), Dial::to("weekly")).unwrap();
            match n % 2 {
                0 => harness.sim.hang_up(&mine(), call).unwrap(),
                _ => harness.sim.signal(end(call)),
            }
            call
        })
        .collect();

    let is_kept = |call| harness.sim.details(&mine(), call).is_ok();
    assert!(is_kept(up) && !is_kept(calls[0]) && is_kept(calls[1]) && is_kept(calls[KEPT_MAX]));
    assert_eq!(harness.sim.core.phones.load(Ordering::Relaxed), KEPT_MAX + 1);
}

#[tokio::test(start_paused = true)]
async fn many_phones_that_are_due_at_once_are_all_reported() {
    let harness = SimHarness::new(answer);
    for _ in 0..20_000 {
        let script = vec![ScriptItem { after_ms: 500, action: PhoneAction::HangUp }];
        harness.sim.dial(&mine(), Dial { script, ..Dial::to("weekly") }).unwrap();
    }
    time::sleep(Duration::from_millis(501)).await;
    let reported = harness.exchange.reported();
    assert_eq!(reported.len(), 20_000);
    assert!(reported.iter().all(|(at, _, heard)| (*at, *heard) == (500, LegEvent::HungUp)));
}

#[tokio::test(start_paused = true)]
async fn the_tasks_end_with_the_phones() {
    let before = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let harness = SimHarness::new(answer);
    let alive = || tokio::runtime::Handle::current().metrics().num_alive_tasks() - before;
    assert_eq!(alive(), PARTITIONS);
    harness.sim.dial(&mine(), Dial::to("weekly")).unwrap();
    drop(harness);
    time::sleep(Duration::from_millis(1)).await;
    assert_eq!(alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn nobody_calls_an_engine_that_is_gone() {
    let harness = SimHarness::new(answer);
    let sim = harness.sim;
    drop(harness.exchange);
    assert_eq!(sim.dial(&mine(), Dial::to("weekly")), Err(DialError::Unconnected));
    let alone = SimPhones::new(Settings::default());
    assert_eq!(alone.dial(&mine(), Dial::to("weekly")), Err(DialError::Unconnected));
}

/// The engine sends orders while it holds its own locks, and takes these locks in a report: neither
/// side may wait for the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn reports_come_in_order_and_nobody_waits_for_ever() {
    const THREADS: usize = 4;
    const PHONES: usize = 100;
    let engine = Arc::new(Mutex::new(()));
    let inner = Arc::clone(&engine);
    let harness = SimHarness::new(move |sim, arrival| {
        let _engine = inner.lock();
        answer(sim, arrival)
    });
    *harness.exchange.engine.lock() = Some(Arc::clone(&engine));
    let calls: Mutex<Vec<CallId>> = Mutex::default();

    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for number in 0..PHONES as u32 {
                    let call = harness.sim.dial(&mine(), Dial::to("weekly")).unwrap();
                    calls.lock().push(call);
                    {
                        let _engine = engine.lock();
                        let all = calls.lock().clone();
                        harness.sim.send(AudioOrder::Play { call, number, program: beeps(0) });
                        harness.sim.send(place(all));
                    }
                    for on in [true, false, true] {
                        harness.sim.hold(&mine(), call, on).unwrap();
                    }
                    harness.sim.hang_up(&mine(), call).unwrap();
                }
            });
        }
    });

    let mut heard: BTreeMap<CallId, Vec<LegEvent>> = BTreeMap::new();
    for (_, call, it) in harness.exchange.reported() {
        heard.entry(call).or_default().push(it);
    }
    assert_eq!(heard.len(), THREADS * PHONES);
    let holds =
        [LegEvent::Hold(true), LegEvent::Hold(false), LegEvent::Hold(true), LegEvent::HungUp];
    for (call, mut heard) in heard {
        heard.retain(|it| !matches!(it, LegEvent::Finished(_)));
        assert_eq!(heard, holds, "{call}");
    }
}

/// While one thread delivers a report, reports of other threads on the same phone wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happened_first_is_reported_first() {
    let harness = SimHarness::new(answer);
    let call = harness.sim.dial(&mine(), Dial::to("weekly")).unwrap();
    let done = Arc::new(AtomicBool::new(false));
    *harness.exchange.pause.lock() = Some(Arc::clone(&done));

    thread::scope(|scope| {
        scope.spawn(|| harness.sim.hold(&mine(), call, true).unwrap());
        while harness.exchange.pause.lock().is_some() {
            thread::yield_now();
        }
        // The first report is being delivered, which takes a while.
        let second = scope.spawn(|| harness.sim.hold(&mine(), call, false).unwrap());
        for _ in 0..1_000 {
            thread::yield_now();
        }
        let is_too_early = second.is_finished();
        done.store(true, Ordering::Release);
        assert!(!is_too_early);
    });

    let reported: Vec<_> =
        harness.exchange.reported().into_iter().map(|(_, _, heard)| heard).collect();
    assert_eq!(reported, [LegEvent::Hold(true), LegEvent::Hold(false)]);
}

/// Phones, and an exchange that records their reports.
struct SimHarness {
    sim: Arc<SimPhones>,
    exchange: Arc<RecordingExchange>,
}

type OnArrival = Box<dyn Fn(&SimPhones, Arrival) -> Result<(), NoFlow> + Send + Sync>;

struct RecordingExchange {
    begun: time::Instant,
    sim: Weak<SimPhones>,
    on_arrival: OnArrival,
    reported: Mutex<Vec<(u128, CallId, LegEvent)>>,
    /// A lock that the engine takes in each report.
    engine: Mutex<Option<Arc<Mutex<()>>>>,
    /// The next report lasts until this is true.
    pause: Mutex<Option<Arc<AtomicBool>>>,
}

impl SimHarness {
    fn new(
        on_arrival: impl Fn(&SimPhones, Arrival) -> Result<(), NoFlow> + Send + Sync + 'static,
    ) -> Self {
        let sim = Arc::new(SimPhones::new(Settings::default()));
        let exchange = Arc::new(RecordingExchange {
            begun: time::Instant::now(),
            sim: Arc::downgrade(&sim),
            on_arrival: Box::new(on_arrival),
            reported: Mutex::default(),
            engine: Mutex::default(),
            pause: Mutex::default(),
        });
        let weak: Weak<RecordingExchange> = Arc::downgrade(&exchange);
        sim.connect(weak);
        Self { sim, exchange }
    }
}

impl RecordingExchange {
    fn reported(&self) -> Vec<(u128, CallId, LegEvent)> {
        self.reported.lock().clone()
    }
}

impl Exchange for RecordingExchange {
    fn arrive(&self, arrival: Arrival) -> Result<(), NoFlow> {
        (self.on_arrival)(&self.sim.upgrade().unwrap(), arrival)
    }

    fn report(&self, report: Report) {
        let engine = self.engine.lock().clone();
        let _engine = engine.as_ref().map(|engine| engine.lock());
        let pause = self.pause.lock().take();
        while pause.as_ref().is_some_and(|done| !done.load(Ordering::Acquire)) {
            thread::yield_now();
        }
        let Report { call, event: heard } = report;
        self.reported.lock().push((self.begun.elapsed().as_millis(), call, heard));
        // The engine sends an order at once.
        if let Some(sim) = self.sim.upgrade() {
            sim.signal(SignallingOrder::Answer { call });
        }
    }
}

fn answer(sim: &SimPhones, arrival: Arrival) -> Result<(), NoFlow> {
    sim.signal(SignallingOrder::Answer { call: arrival.call });
    Ok(())
}

fn place(calls: Vec<CallId>) -> AudioOrder {
    let room = Incarnation::of(RoomId::of(1), "weekly");
    AudioOrder::Place { room, calls, hears: MemberAudio::Room }
}

fn end(call: CallId) -> SignallingOrder {
    let ending = Ending { cause: HangupCause::Normal, source: HangupSource::Caller };
    SignallingOrder::End { call, ending }
}

fn beeps(count: usize) -> Program {
    vec![SoundKind::Beep(1).into(); count].into()
}

fn mine() -> AccountId {
    "MA1".parse().unwrap()
}

fn other() -> AccountId {
    "MA2".parse().unwrap()
}
