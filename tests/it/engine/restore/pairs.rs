//! Restore of pairs: callers in a `<Dial>`, and those whom it calls.

use conflow::{
    flow::Cause,
    media::{DialFailure, DialFailureSource, HangupCause},
};

use super::*;

const CALLEE: CallId = CallId(uuid::Uuid::from_u128(CALLEE_FIRST));
const ANNA: CallId = CallId(uuid::Uuid::from_u128(1));

/// A caller who has been answered, in this `<Dial>`, after which their flow speaks.
fn dials(world: &World, process: &mut Process, attributes: &str, numbers: usize) {
    let numbers = "<Number>20</Number>".repeat(numbers);
    let dial = format!("<Dial {attributes}>{numbers}</Dial><Speak>after</Speak>");
    world.call(process, 1, &format!("<Speak>welcome</Speak>{dial}"));
    let (number, _) = process.spoken(ANNA)[0];
    process.report(world.now, ANNA, LegEvent::Finished(number));
}

/// The process is killed and started again so many times.
fn crash(world: &mut World, mut process: Process, times: usize, gone: &[CallId]) -> Process {
    for n in 0..times {
        world.kill(process);
        let gone = if n + 1 == times { gone } else { &[] };
        process = world.start(gone).0;
    }
    process
}

impl Process {
    /// The calls that are up, sorted.
    fn up(&self) -> Vec<CallId> {
        let mut calls = self.registry.calls();
        calls.sort();
        calls
    }

    /// The fields of the request that is made when a dial is over.
    fn dialled(&self) -> Vec<(&'static str, String)> {
        let fetches = self.told.fetches.lock();
        let action = fetches.iter().rfind(|it| &*it.request.url == "flow:done");
        action.map(|it| it.request.fields.clone()).unwrap_or_default()
    }

    fn dial_status(&self) -> Option<String> {
        let fields = self.dialled();
        fields.into_iter().find(|it| it.0 == "DialStatus").map(|it| it.1)
    }

    fn dial_orders(&self) -> Vec<CallId> {
        let signals = self.told.signals.lock();
        let dial = |it: &SignallingOrder| match it {
            SignallingOrder::Dial { call, .. } => Some(*call),
            SignallingOrder::Answer { .. }
            | SignallingOrder::EarlyMedia { .. }
            | SignallingOrder::End { .. } => None,
        };
        signals.iter().filter_map(dial).collect()
    }

    /// How a call was ended.
    fn ending_of(&self, call: CallId) -> Option<HangupCause> {
        let signals = self.told.signals.lock();
        signals.iter().find_map(|it| match it {
            SignallingOrder::End { call: it, ending } if *it == call => Some(ending.cause),
            SignallingOrder::Answer { .. }
            | SignallingOrder::Dial { .. }
            | SignallingOrder::EarlyMedia { .. }
            | SignallingOrder::End { .. } => None,
        })
    }
}

const BRIDGED: &str = "timeLimit='60' hangupOnStar='true' action='flow:done'";

#[test]
fn a_connected_pair_ends_after_a_crash_as_without_one() {
    let later = |world: &mut World, process: &mut Process, seconds| {
        world.now += Duration::from_secs(seconds);
        process.run(world.now);
    };
    type End = fn(&mut Process, Instant);
    let nothing: End = |_, _| ();
    let ends: [(&str, u64, End); 5] = [
        ("time limit", 40, nothing),
        ("callee", 7, |process, now| process.report(now, CALLEE, LegEvent::HungUp)),
        ("caller", 7, |process, now| process.report(now, ANNA, LegEvent::HungUp)),
        ("star", 7, |process, now| process.report(now, ANNA, LegEvent::Digit('*'))),
        ("request", 7, |process, now| {
            process.registry.hang_up(CALLEE, Cause::HungUpByApi);
            process.run(now);
        }),
    ];
    for (case, seconds, end) in ends {
        let mut seen = Vec::new();
        for times in 0..3 {
            let mut world = World::new();
            let (mut process, _) = world.start(&[]);
            dials(&world, &mut process, BRIDGED, 1);
            process.report(world.now, CALLEE, LegEvent::Ringing);
            process.report(world.now, CALLEE, LegEvent::Answered);
            later(&mut world, &mut process, 20);
            let mut process = crash(&mut world, process, times, &[]);
            process.run(world.now);
            assert!(process.hears_room(ANNA) && process.hears_room(CALLEE), "{case}");
            assert_eq!(process.up(), [ANNA, CALLEE], "{case}");
            assert_eq!(process.dialled(), [], "{case}");
            later(&mut world, &mut process, seconds - 1);
            assert_eq!(process.up(), [ANNA, CALLEE], "{case}");
            later(&mut world, &mut process, 1);
            end(&mut process, world.now);
            process.run(world.now);
            assert!(!process.up().contains(&CALLEE), "{case}");
            seen.push((process.dialled(), process.ending_of(CALLEE), process.up()));
            let kinds = world.rows(process);
            assert!(!kinds.contains_key(&PAIR) && !kinds.contains_key(&DEPARTURES), "{case}");
        }
        assert!(seen[0].0.contains(&("DialStatus", "completed".to_owned())), "{case}: {seen:?}");
        assert!(seen[0].0.contains(&("DialBLegUUID", CALLEE.to_string())), "{case}: {seen:?}");
        assert!(seen.iter().all(|it| *it == seen[0]), "{case}: {seen:?}");
    }
}

/// Kinds of keys in the state log.
const DEPARTURES: u8 = 20;
const PAIR: u8 = 22;

#[test]
fn of_a_pair_whose_other_one_has_left_meanwhile_each_goes_on_as_its_flow_says() {
    for (gone, status) in [(CALLEE, "completed"), (ANNA, "completed")] {
        let mut world = World::new();
        let (mut process, _) = world.start(&[]);
        dials(&world, &mut process, BRIDGED, 1);
        process.report(world.now, CALLEE, LegEvent::Answered);
        let mut process = crash(&mut world, process, 1, &[gone]);
        process.run(world.now);
        assert_eq!(process.dial_status().as_deref(), Some(status), "{gone}");
        let left = if gone == ANNA { vec![] } else { vec![ANNA] };
        assert_eq!(process.up(), left, "{gone}");
        assert!(!process.hears_room(ANNA) && !process.hears_room(CALLEE), "{gone}");
        world.kill(process);
    }
}

#[test]
fn a_caller_without_action_goes_on_at_the_next_element_once() {
    let mut world = World::new();
    let (mut process, _) = world.start(&[]);
    dials(&world, &mut process, "", 1);
    process.report(world.now, CALLEE, LegEvent::Answered);
    let mut process = crash(&mut world, process, 1, &[CALLEE]);
    process.run(world.now);
    let spoken = process.spoken(ANNA);
    let [(number, text)] = &spoken[..] else { panic!("{spoken:?}") };
    assert_eq!(text, "after");
    process.report(world.now, ANNA, LegEvent::Finished(*number));
    assert_eq!(process.up(), []);
    world.kill(process);
}

#[test]
fn who_rang_is_called_once_more_while_there_is_time() {
    let mut world = World::new();
    let (mut process, _) = world.start(&[]);
    dials(&world, &mut process, "timeout='30' action='flow:done'", 2);
    let second = CallId::of(CALLEE_FIRST + 1);
    process.report(world.now, CALLEE, LegEvent::Ringing);
    let busy = DialFailure::new(HangupCause::Busy, DialFailureSource::Callee);
    process.report(world.now, second, LegEvent::Failed(busy));
    world.now += Duration::from_secs(14);
    let mut process = crash(&mut world, process, 1, &[]);
    process.run(world.now);
    let again = CallId::of(CALLEE_FIRST + 2);
    assert_eq!(process.dial_orders(), [again], "the one that rang");
    assert_eq!(process.up(), [ANNA, again]);
    // The time to ring is that of the element.
    world.now += Duration::from_secs(15);
    process.run(world.now);
    assert_eq!(process.dialled(), []);
    process.report(world.now, again, LegEvent::Answered);
    assert!(process.hears_room(ANNA) && process.hears_room(again));
    world.kill(process);

    // Twice is too often, and late is too late.
    for (seconds, crashes, orders) in [(14, 2, 0), (15, 1, 0), (14, 1, 1)] {
        let mut world = World::new();
        let (mut process, _) = world.start(&[]);
        dials(&world, &mut process, "timeout='30' action='flow:done'", 1);
        process.report(world.now, CALLEE, LegEvent::Ringing);
        world.now += Duration::from_secs(seconds);
        let mut process = crash(&mut world, process, crashes, &[]);
        process.run(world.now);
        assert_eq!(process.dial_orders().len(), orders, "{seconds} s, {crashes} crashes");
        let status = (orders == 0).then_some("no-answer");
        assert_eq!(process.dial_status().as_deref(), status, "{seconds} s, {crashes} crashes");
        if orders != 0 {
            world.now += Duration::from_secs(16);
            process.run(world.now);
            assert_eq!(process.dial_status().as_deref(), Some("timeout"));
        }
        world.kill(process);
    }
}

#[test]
fn who_confirms_hears_the_question_again_and_may_press_the_key() {
    for (key, connected) in [('1', true), ('2', false)] {
        let mut world = World::new();
        let (mut process, _) = world.start(&[]);
        let attributes = "confirmSound='flow:ask' confirmKey='1' confirmTimeout='9' timeLimit='60' \
             action='flow:done'";
        dials(&world, &mut process, attributes, 2);
        process.report(world.now, CALLEE, LegEvent::Answered);
        world.now += Duration::from_secs(5);
        let mut process = crash(&mut world, process, 1, &[]);
        process.run(world.now);
        let asked = |process: &Process| {
            let fetches = process.told.fetches.lock();
            fetches.iter().filter(|it| &*it.request.url == "flow:ask").count()
        };
        assert_eq!((asked(&process), process.dial_orders().len()), (1, 1));
        process.report(world.now, CALLEE, LegEvent::Digit(key));
        assert_eq!(process.hears_room(CALLEE), connected);
        assert_eq!(process.up().contains(&CALLEE), connected);
        world.kill(process);
    }
    // Its time goes on.
    let mut world = World::new();
    let (mut process, _) = world.start(&[]);
    dials(&world, &mut process, "confirmKey='1' confirmTimeout='9' action='flow:done'", 1);
    process.report(world.now, CALLEE, LegEvent::Answered);
    world.now += Duration::from_secs(8);
    let mut process = crash(&mut world, process, 1, &[]);
    process.run(world.now);
    assert_eq!(process.up(), [ANNA, CALLEE]);
    world.now += Duration::from_secs(1);
    process.run(world.now);
    assert_eq!(process.up(), [ANNA]);
    assert_eq!(process.dial_status().as_deref(), Some("failed"));
    world.kill(process);
}

#[test]
fn of_a_pair_with_a_simulated_phone_the_other_one_goes_on() {
    let mut world = World::new();
    world.callees.store(1_000, Ordering::Relaxed);
    let (mut process, _) = world.start(&[]);
    dials(&world, &mut process, BRIDGED, 1);
    let simulated = CallId::of(CALLEE_FIRST + 1_000);
    process.report(world.now, simulated, LegEvent::Answered);
    let mut process = crash(&mut world, process, 1, &[]);
    process.run(world.now);
    assert_eq!(process.up(), [ANNA]);
    assert_eq!(process.dial_status().as_deref(), Some("completed"));
    world.kill(process);
}

#[test]
fn a_caller_who_was_not_answered_ends_with_those_whom_they_called() {
    let mut world = World::new();
    let (mut process, _) = world.start(&[]);
    // The `<Dial>` answers once somebody is connected.
    world.call(&mut process, 1, "<Dial confirmKey='1'>20</Dial>");
    process.report(world.now, CALLEE, LegEvent::Answered);
    assert_eq!(process.up(), [ANNA, CALLEE]);
    let process = crash(&mut world, process, 1, &[]);
    assert_eq!(process.up(), []);
    world.kill(process);
}
