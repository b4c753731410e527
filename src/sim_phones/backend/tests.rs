//! Phones in time: who is told what and when, and what locks must not do.

use std::{collections::BTreeMap, thread};

use super::*;
use crate::{
    base::ids::{Incarnation, RoomId},
    media::{Arrival, Ending, HangupCause, HangupSource, Heard, Hears, NoFlow, Program, What},
    sim_phones::{Act, Deed, State},
};

#[tokio::test(start_paused = true)]
async fn orders_may_come_before_the_arrival_is_over() {
    let stage = Stage::new(|sim, arrival| {
        let call = arrival.call;
        sim.send(Order::Answer { call });
        sim.send(Order::Play { call, number: 1, program: beeps(2) });
        assert_eq!(sim.record(&mine(), call).unwrap().state, State::InProgress);
        Ok(())
    });
    let call = stage.sim.dial(&mine(), Dial::to("weekly")).unwrap();
    assert_eq!(stage.exchange.told(), []);

    time::sleep(Duration::from_secs(1)).await;
    assert_eq!(stage.exchange.told(), [(400, call, Heard::Over(1))]);
    let record = stage.sim.record(&mine(), call).unwrap();
    assert_eq!(record.transcript(), "0-200 beep, 200-400 beep, 400- silence");
}

#[tokio::test(start_paused = true)]
async fn an_order_to_many_phones_is_carried_out_part_by_part() {
    let stage = Stage::new(answer);
    let dial = |_| stage.sim.dial(&mine(), Dial::to("weekly")).unwrap();
    let calls: Vec<_> = (0..600).map(dial).collect();
    let order = place(calls.clone());
    let mut from = 0;
    for to in [256, 512, 600] {
        from = stage.sim.send_part(&order, from);
        assert_eq!(from, to);
        for (n, call) in calls.iter().enumerate() {
            let hears = stage.sim.record(&mine(), *call).unwrap().transcript();
            let expected = if n < to { "0- room weekly" } else { "0- silence" };
            assert_eq!(hears, expected, "{n} of {to}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_deadline_before_the_next_one_is_met() {
    let stage = Stage::new(answer);
    let call = stage.sim.dial(&mine(), Dial::to("weekly")).unwrap();
    let pause = What::Silence(Duration::from_secs(10)).into();
    stage.sim.send(Order::Play { call, number: 1, program: [pause].into() });
    time::sleep(Duration::from_millis(1_000)).await;
    stage.sim.send(Order::SendDigits { call, number: 2, digits: "1".into() });
    time::sleep(Duration::from_millis(10_000)).await;

    let over = |at, number| (at, call, Heard::Over(number));
    assert_eq!(stage.exchange.told(), [over(1_100, 2), over(10_000, 1)]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_told_from_within_an_order() {
    let stage = Stage::new(answer);
    let call = stage.sim.dial(&mine(), Dial::to("weekly")).unwrap();
    stage.sim.send(Order::Play { call, number: 1, program: beeps(0) });
    assert_eq!(stage.exchange.told(), []);

    time::sleep(Duration::from_millis(1)).await;
    assert_eq!(stage.exchange.told(), [(0, call, Heard::Over(1))]);
}

#[tokio::test(start_paused = true)]
async fn what_a_phone_does_is_told_when_it_is_done() {
    let stage = Stage::new(answer);
    let call = stage.sim.dial(&mine(), Dial::to("weekly")).unwrap();
    stage.sim.press(&mine(), call, "1#").unwrap();
    stage.sim.talk(&mine(), call, 50).unwrap();
    stage.sim.hold(&mine(), call, true).unwrap();
    let now = [Heard::Digit('1'), Heard::Talk(true), Heard::Hold(true)];
    assert_eq!(stage.exchange.told(), now.map(|heard| (0, call, heard)));

    time::sleep(Duration::from_millis(1_000)).await;
    stage.sim.hang_up(&mine(), call).unwrap();
    let later = [(50, Heard::Talk(false)), (100, Heard::Digit('#')), (1_000, Heard::HungUp)];
    assert_eq!(stage.exchange.told()[3..], later.map(|(at, heard)| (at, call, heard)));
}

#[tokio::test(start_paused = true)]
async fn bad_keys_are_told_apart() {
    let stage = Stage::new(answer);
    let call = stage.sim.dial(&mine(), Dial::to("weekly")).unwrap();
    for digits in ["", "x", "1w", &"1".repeat(65)] {
        let answer = stage.sim.press(&mine(), call, digits);
        assert!(matches!(answer, Err(PhoneError::BadKeys(_))), "{digits}: {answer:?}");
    }
    assert_eq!(stage.sim.press(&other(), call, "1"), Err(PhoneError::Unknown));
    assert_eq!(stage.sim.record(&other(), call), Err(PhoneError::Unknown));
    assert_eq!(stage.exchange.told(), []);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_not_taken_leaves_no_phone() {
    let arrived: Arc<OnceLock<CallId>> = Arc::default();
    let seen = Arc::clone(&arrived);
    let stage = Stage::new(move |_, arrival| {
        seen.set(arrival.call).unwrap();
        Err(NoFlow { to: arrival.to, hint: "there are none".into() })
    });
    let no_flow = NoFlow { to: "weekly".into(), hint: "there are none".into() };
    let refused = stage.sim.dial(&mine(), Dial::to("weekly"));
    assert_eq!(refused, Err(DialError::NoFlow(no_flow)));
    let call = *arrived.get().unwrap();
    assert_eq!(stage.sim.record(&mine(), call), Err(PhoneError::Unknown));
    assert_eq!(stage.sim.core.phones.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn a_phone_that_hangs_up_is_completed_at_once_and_learns_why_later() {
    let stage = Stage::new(answer);
    let call = stage.sim.dial(&mine(), Dial::to("weekly")).unwrap();
    stage.sim.hang_up(&mine(), call).unwrap();
    let record = || stage.sim.record(&mine(), call).unwrap();
    assert_eq!((record().state, record().hangup_cause_code), (State::Completed, None));
    assert_eq!(stage.sim.press(&mine(), call, "1"), Err(PhoneError::Ended));

    stage.sim.send(end(call));
    assert_eq!(record().hangup_cause_code, Some(4000));
    assert_eq!(record().hangup_source, Some("Caller"));
}

#[tokio::test(start_paused = true)]
async fn an_ended_phone_is_kept_for_ten_minutes() {
    let stage = Stage::new(answer);
    let call = stage.sim.dial(&mine(), Dial::to("weekly")).unwrap();
    stage.sim.send(end(call));
    time::sleep(KEPT_FOR - Duration::from_millis(1)).await;
    assert!(stage.sim.record(&mine(), call).is_ok());
    time::sleep(Duration::from_millis(1)).await;
    assert_eq!(stage.sim.record(&mine(), call), Err(PhoneError::Unknown));
    assert_eq!(stage.sim.core.phones.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn of_many_ended_phones_the_oldest_go_first() {
    let stage = Stage::new(answer);
    let up = stage.sim.dial(&mine(), Dial::to("weekly")).unwrap();
    let calls: Vec<_> = (0..=KEPT_MAX)
        .map(|n| {
            let call = stage.sim.dial(&mine(), Dial::to("weekly")).unwrap();
            match n % 2 {
                0 => stage.sim.hang_up(&mine(), call).unwrap(),
                _ => stage.sim.send(end(call)),
            }
            call
        })
        .collect();

    let is_kept = |call| stage.sim.record(&mine(), call).is_ok();
    assert!(is_kept(up) && !is_kept(calls[0]) && is_kept(calls[1]) && is_kept(calls[KEPT_MAX]));
    assert_eq!(stage.sim.core.phones.load(Ordering::Relaxed), KEPT_MAX + 1);
}

#[tokio::test(start_paused = true)]
async fn many_phones_that_are_due_at_once_are_all_told_of() {
    let stage = Stage::new(answer);
    for _ in 0..20_000 {
        let script = vec![Act { after_ms: 500, deed: Deed::HangUp }];
        stage.sim.dial(&mine(), Dial { script, ..Dial::to("weekly") }).unwrap();
    }
    time::sleep(Duration::from_millis(501)).await;
    let told = stage.exchange.told();
    assert_eq!(told.len(), 20_000);
    assert!(told.iter().all(|(at, _, heard)| (*at, *heard) == (500, Heard::HungUp)));
}

#[tokio::test(start_paused = true)]
async fn the_tasks_end_with_the_phones() {
    let before = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let stage = Stage::new(answer);
    let alive = || tokio::runtime::Handle::current().metrics().num_alive_tasks() - before;
    assert_eq!(alive(), SHARDS);
    stage.sim.dial(&mine(), Dial::to("weekly")).unwrap();
    drop(stage);
    time::sleep(Duration::from_millis(1)).await;
    assert_eq!(alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn nobody_calls_an_engine_that_is_gone() {
    let stage = Stage::new(answer);
    let sim = stage.sim;
    drop(stage.exchange);
    assert_eq!(sim.dial(&mine(), Dial::to("weekly")), Err(DialError::Unconnected));
    let alone = Sim::new(Settings::default());
    assert_eq!(alone.dial(&mine(), Dial::to("weekly")), Err(DialError::Unconnected));
}

/// The engine sends orders while it holds locks of its own, and takes them when it is told
/// something: neither may wait for the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn reports_come_in_order_and_nobody_waits_for_ever() {
    const THREADS: usize = 4;
    const PHONES: usize = 100;
    let engine = Arc::new(Mutex::new(()));
    let inner = Arc::clone(&engine);
    let stage = Stage::new(move |sim, arrival| {
        let _engine = inner.lock();
        answer(sim, arrival)
    });
    *stage.exchange.engine.lock() = Some(Arc::clone(&engine));
    let calls: Mutex<Vec<CallId>> = Mutex::default();

    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for number in 0..PHONES as u32 {
                    let call = stage.sim.dial(&mine(), Dial::to("weekly")).unwrap();
                    calls.lock().push(call);
                    {
                        let _engine = engine.lock();
                        let all = calls.lock().clone();
                        stage.sim.send(Order::Play { call, number, program: beeps(0) });
                        stage.sim.send(place(all));
                    }
                    for on in [true, false, true] {
                        stage.sim.hold(&mine(), call, on).unwrap();
                    }
                    stage.sim.hang_up(&mine(), call).unwrap();
                }
            });
        }
    });

    let mut heard: BTreeMap<CallId, Vec<Heard>> = BTreeMap::new();
    for (_, call, it) in stage.exchange.told() {
        heard.entry(call).or_default().push(it);
    }
    assert_eq!(heard.len(), THREADS * PHONES);
    let holds = [Heard::Hold(true), Heard::Hold(false), Heard::Hold(true), Heard::HungUp];
    for (call, mut heard) in heard {
        heard.retain(|it| !matches!(it, Heard::Over(_)));
        assert_eq!(heard, holds, "{call}");
    }
}

/// While one thread tells the engine something, another one's news of the same phone wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happened_first_is_told_first() {
    let stage = Stage::new(answer);
    let call = stage.sim.dial(&mine(), Dial::to("weekly")).unwrap();
    let done = Arc::new(AtomicBool::new(false));
    *stage.exchange.pause.lock() = Some(Arc::clone(&done));

    thread::scope(|scope| {
        scope.spawn(|| stage.sim.hold(&mine(), call, true).unwrap());
        while stage.exchange.pause.lock().is_some() {
            thread::yield_now();
        }
        // The first report is being told, and lasts.
        let second = scope.spawn(|| stage.sim.hold(&mine(), call, false).unwrap());
        for _ in 0..1_000 {
            thread::yield_now();
        }
        let is_too_early = second.is_finished();
        done.store(true, Ordering::Release);
        assert!(!is_too_early);
    });

    let told: Vec<_> = stage.exchange.told().into_iter().map(|(_, _, heard)| heard).collect();
    assert_eq!(told, [Heard::Hold(true), Heard::Hold(false)]);
}

/// Phones, and an exchange that writes down what it is told.
struct Stage {
    sim: Arc<Sim>,
    exchange: Arc<Recorder>,
}

type Taking = Box<dyn Fn(&Sim, Arrival) -> Result<(), NoFlow> + Send + Sync>;

struct Recorder {
    begun: time::Instant,
    sim: Weak<Sim>,
    taking: Taking,
    told: Mutex<Vec<(u128, CallId, Heard)>>,
    /// A lock that the engine takes when it is told something.
    engine: Mutex<Option<Arc<Mutex<()>>>>,
    /// The next report lasts until this is so.
    pause: Mutex<Option<Arc<AtomicBool>>>,
}

impl Stage {
    fn new(taking: impl Fn(&Sim, Arrival) -> Result<(), NoFlow> + Send + Sync + 'static) -> Self {
        let sim = Arc::new(Sim::new(Settings::default()));
        let exchange = Arc::new(Recorder {
            begun: time::Instant::now(),
            sim: Arc::downgrade(&sim),
            taking: Box::new(taking),
            told: Mutex::default(),
            engine: Mutex::default(),
            pause: Mutex::default(),
        });
        let weak: Weak<Recorder> = Arc::downgrade(&exchange);
        sim.connect(weak);
        Self { sim, exchange }
    }
}

impl Recorder {
    fn told(&self) -> Vec<(u128, CallId, Heard)> {
        self.told.lock().clone()
    }
}

impl Exchange for Recorder {
    fn arrive(&self, arrival: Arrival) -> Result<(), NoFlow> {
        (self.taking)(&self.sim.upgrade().unwrap(), arrival)
    }

    fn report(&self, report: Report) {
        let engine = self.engine.lock().clone();
        let _engine = engine.as_ref().map(|engine| engine.lock());
        let pause = self.pause.lock().take();
        while pause.as_ref().is_some_and(|done| !done.load(Ordering::Acquire)) {
            thread::yield_now();
        }
        let Report { call, heard } = report;
        self.told.lock().push((self.begun.elapsed().as_millis(), call, heard));
        // The engine answers at once.
        if let Some(sim) = self.sim.upgrade() {
            sim.send(Order::Answer { call });
        }
    }
}

fn answer(sim: &Sim, arrival: Arrival) -> Result<(), NoFlow> {
    sim.send(Order::Answer { call: arrival.call });
    Ok(())
}

fn place(calls: Vec<CallId>) -> Order {
    let room = Incarnation::of(RoomId::of(1), "weekly");
    Order::Place { room, calls, hears: Hears::Room }
}

fn end(call: CallId) -> Order {
    let ending = Ending { cause: HangupCause::Normal, source: HangupSource::Caller };
    Order::End { call, ending }
}

fn beeps(count: usize) -> Program {
    vec![What::Beep(1).into(); count].into()
}

fn mine() -> AccountId {
    "MA1".parse().unwrap()
}

fn other() -> AccountId {
    "MA2".parse().unwrap()
}
