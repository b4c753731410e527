//! Flow properties: what must hold for every document, and for every run of one. Plain functions,
//! used by the mutation test and by a fuzzer.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use conflow::{
    base::ids::Dialect,
    flow::{
        Cause, DocumentError, Effect, Exit, Flow, FlowEvent, RecordReport, RecordedFacts, Run,
        TextPosition,
    },
    media::{HangupCause, HangupSource},
};

/// More events than the longest flow of the corpus needs.
const EVENTS: usize = 60;
/// A document has at most 1,000 elements with a few effects each.
const EFFECTS_MAX: usize = 4_000;

/// Parses a document and, if it is valid, runs it with events that the seed picks.
///
/// # Panics
///
/// If a property does not hold.
pub(crate) fn check(document: &[u8], seed: u64) {
    let dialect = if seed.is_multiple_of(2) { Dialect::Vobiz } else { Dialect::Plivo };
    match Flow::from_bytes(document, dialect) {
        Err(error) => {
            inside(document, error.at);
            assert!(error.to_string().len() < 1_000, "a message is short: {error}");
        }
        Ok(flow) => {
            flow.warnings.iter().for_each(|warning| inside(document, warning.at));
            assert!(flow.warnings.is_sorted_by_key(|warning| warning.at));
            flow.steps.iter().for_each(|step| inside(document, step.at));
            play(Arc::new(flow), seed);
        }
    }
}

/// Checks that a position lies within the document, or directly after its end.
fn inside(document: &[u8], at: TextPosition) {
    let text = String::from_utf8_lossy(document);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let line = text.split('\n').nth(at.line as usize - 1).expect("the line is there");
    // Bytes that are not UTF-8 count differently from their replacement characters here.
    assert!(1 <= at.column && at.column as usize <= document.len() + 1, "{at}");
    if str::from_utf8(document).is_ok() {
        assert!(at.column as usize <= line.chars().count() + 1, "{at}");
    }
}

#[expect(clippy::disallowed_methods, reason = "a place to start; any will do")]
fn play(flow: Arc<Flow>, seed: u64) {
    let mut dice = Dice(seed);
    let mut run = Run::new(flow.dialect);
    let mut now = Instant::now();
    let mut is_over = false;
    for n in 0..EVENTS {
        let event = match n {
            0 => FlowEvent::Fetched(Ok(flow.clone())),
            _ => dice.event(&flow),
        };
        now += Duration::from_millis(dice.next(3_000));
        if dice.next(50) == 0 {
            run.transfer();
        }
        let mut effects = Vec::new();
        run.handle(now, event, &mut effects);
        assert!(!is_over || effects.is_empty(), "an effect follows the end: {effects:?}");
        is_over |= effects.iter().any(|it| matches!(it, Effect::End(_)));
        keeps_rules(&effects, &flow);
        assert!(!is_over || run.deadline().is_none(), "a run that is over has no deadline");
        assert!((run.step() as usize) <= flow.steps.len());
    }
}

/// Checks the effects of one event.
fn keeps_rules(effects: &[Effect], flow: &Flow) {
    assert!(effects.len() < EFFECTS_MAX, "{} effects", effects.len());
    for (n, effect) in effects.iter().enumerate() {
        let is_last = n + 1 == effects.len();
        match effect {
            Effect::Begin { step } => assert!((*step as usize) < flow.steps.len()),
            Effect::End(ending) => {
                assert!(is_last, "the end comes last: {effects:?}");
                let is_fault = ending.source == HangupSource::Error;
                assert!(!is_fault || ending.cause != HangupCause::Normal);
            }
            Effect::Dial(_) | Effect::Fetch(_) | Effect::Join { .. } => {
                assert!(is_last, "{effects:?}");
            }
            Effect::Record(_) => assert!(is_last, "a report is waited for: {effects:?}"),
            Effect::StopRecording(_) => assert!(is_last, "its end is waited for: {effects:?}"),
            Effect::Play(program) => {
                assert!(is_last && !program.is_empty(), "a sound is waited for: {effects:?}");
            }
            Effect::SendDigits { awaits, digits } => {
                assert!((!awaits || is_last) && !digits.is_empty(), "{effects:?}");
            }
            Effect::Answer | Effect::EarlyMedia | Effect::Entered(_) => (),
            Effect::Notify(_) => (),
            Effect::Prepare(program) => assert!(!program.is_empty(), "{effects:?}"),
            Effect::Schedule(_) | Effect::Stop => (),
        }
    }
}

/// Seeded random numbers, equal on every machine (splitmix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    fn event(&mut self, flow: &Arc<Flow>) -> FlowEvent {
        match self.next(20) {
            0..3 => FlowEvent::Tick,
            3..7 => FlowEvent::Over,
            7..10 => {
                let keys = ['0', '1', '5', '9', '*', '#', 'A', 'x', 'é'];
                FlowEvent::Digit(keys[self.next(keys.len() as u64) as usize])
            }
            10..13 => {
                let cause = Cause::ALL[self.next(Cause::ALL.len() as u64) as usize];
                let reason = (self.next(2) == 0).then(|| "so it goes".into());
                FlowEvent::Left(Exit { reason, ..Exit::from(cause) })
            }
            13 => FlowEvent::Talk(self.next(2) == 0),
            14 => FlowEvent::Fetched(Ok(flow.clone())),
            15 => FlowEvent::Recording(RecordReport::Refused),
            16..18 => FlowEvent::Recording(RecordReport::Begun(RecordedFacts::nothing())),
            18 => FlowEvent::Recording(RecordReport::Over(RecordedFacts::nothing())),
            _ => FlowEvent::Fetched(Err(DocumentError::Unreachable("it rains".into()))),
        }
    }
}
