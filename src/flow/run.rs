//! Flow execution: the machine that runs a flow on one call.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Action, Branch, Cause, DocumentError, DocumentRequest, Effect, Exit, Flow, FlowEvent, FlowStep,
    JoinOptions, Purpose, RequestMethod,
    continuation::Continuation,
    digits::{Collector, CollectorProgress},
    record::{RecordAction, RecordedFacts},
    recorder::Recorder,
    verbs::{Verb, VerbStart},
    xml::ELEMENTS_MAX,
};
use crate::{
    base::ids::Dialect,
    media::{Ending, HangupCause, HangupSource, Program},
};

/// Documents per call (trust 3): more is an endless loop, however slow.
const DOCUMENTS_MAX: u16 = 10_000;
/// This many silent documents in a row are an endless loop …
const QUIET_DOCUMENTS_MAX: u32 = 20;
/// … if they come within this time; slower loops cost little, and may be intended.
const QUIET_WITHIN: Duration = Duration::from_secs(10);

/// Steps between waits (trust 3). A document runs forwards only, and fetching the next one is a
/// wait, so the length of a document is the limit.
const STEPS_MAX: usize = 1_000;
const _: () = assert!(ELEMENTS_MAX <= STEPS_MAX);

/// Every call has one, and most calls are parked in a conference.
const _: () = assert!(size_of::<Run>() <= 40);

/// The execution of a flow on one call.
///
/// It always waits for exactly one thing, or is over; then the last effect of [`Run::handle`] was
/// [`Effect::End`].
#[derive(Debug, PartialEq)]
pub struct Run {
    /// None until the first document has arrived.
    pub(super) flow: Option<Arc<Flow>>,
    pub(super) wait: WaitingFor,
    /// Documents since the last audible element; None if there was none.
    pub(super) silent_documents: Option<Box<SilentDocuments>>,
    pub(super) step: u32,
    pub(super) documents: u16,
    pub(super) dialect: Dialect,
    pub(super) is_answered: bool,
}

#[derive(Debug, PartialEq)]
pub(super) enum WaitingFor {
    Document(Purpose),
    Keys(Box<Collector>),
    /// The end of playback, or of the keys that are sent.
    Over,
    Pause(Box<Pause>),
    Recording(Box<Recorder>),
    Room,
    /// The run is over.
    Ended,
}

#[derive(Debug, PartialEq)]
pub(super) struct Pause {
    pub(super) ends_at: Instant,
    /// Length of silence that ends the pause early.
    pub(super) silence: Option<Duration>,
    /// When the current silence began; None while the caller talks.
    pub(super) silent_since: Option<Instant>,
}

impl Pause {
    fn deadline(&self) -> Instant {
        match (self.silence, self.silent_since) {
            (Some(silence), Some(since)) => self.ends_at.min(since + silence),
            (None, _) | (_, None) => self.ends_at,
        }
    }
}

#[derive(Debug, PartialEq)]
pub(super) struct SilentDocuments {
    pub(super) since: Instant,
    pub(super) documents: u32,
}

impl Run {
    /// Begins to wait for the call's first document ([`Purpose::Answer`], delivered as
    /// [`FlowEvent::Fetched`]).
    pub fn new(dialect: Dialect) -> Self {
        Self {
            flow: None,
            wait: WaitingFor::Document(Purpose::Answer),
            silent_documents: None,
            step: 0,
            documents: 0,
            dialect,
            is_answered: false,
        }
    }

    /// Drops the current element and waits for the document that a REST transfer names, delivered
    /// as [`FlowEvent::Fetched`]. Has no effect if the run is over.
    pub fn transfer(&mut self) {
        if self.wait != WaitingFor::Ended {
            self.wait = WaitingFor::Document(Purpose::Transfer);
        }
    }

    /// Marks the call as answered before its first document: it is an outgoing call.
    pub fn set_answered(&mut self) {
        self.is_answered = true;
    }

    /// Handles one event and appends its effects in order. Runs elements until one has to wait. An
    /// event that the current element does not wait for has no effect.
    pub fn handle(&mut self, now: Instant, event: FlowEvent, effects: &mut Vec<Effect>) {
        match event {
            FlowEvent::Digit(key) => match &mut self.wait {
                WaitingFor::Keys(collector) => {
                    let progress = collector.digit(now, key, effects);
                    self.collected(now, progress, effects);
                }
                WaitingFor::Recording(recorder) => recorder.digit(key, effects),
                WaitingFor::Document(_) | WaitingFor::Ended | WaitingFor::Over => (),
                WaitingFor::Pause(_) | WaitingFor::Room => (),
            },
            FlowEvent::Fetched(fetched) => {
                let WaitingFor::Document(purpose) = self.wait else { return };
                match fetched {
                    Ok(flow) => self.enter(now, flow, effects),
                    Err(missing) => self.document_failed(now, &missing, purpose, effects),
                }
            }
            FlowEvent::Left(exit) => {
                if self.wait == WaitingFor::Room {
                    self.left(now, &exit, effects);
                }
            }
            FlowEvent::Over => match &mut self.wait {
                WaitingFor::Over => self.advance(now, effects),
                WaitingFor::Keys(collector) => {
                    let progress = collector.over(now, effects);
                    self.collected(now, progress, effects);
                }
                WaitingFor::Recording(recorder) => recorder.over(effects),
                WaitingFor::Document(_)
                | WaitingFor::Ended
                | WaitingFor::Pause(_)
                | WaitingFor::Room => (),
            },
            FlowEvent::Recording(report) => {
                if let WaitingFor::Recording(recorder) = &mut self.wait
                    && let Some(facts) = recorder.report(now, report, effects)
                {
                    self.recorded(now, &facts, effects);
                }
            }
            FlowEvent::Talk(is_talking) => match &mut self.wait {
                WaitingFor::Pause(it) => it.silent_since = (!is_talking).then_some(now),
                WaitingFor::Recording(recorder) => recorder.talk(now, is_talking),
                WaitingFor::Document(_) | WaitingFor::Ended | WaitingFor::Keys(_) => (),
                WaitingFor::Over | WaitingFor::Room => (),
            },
            FlowEvent::Tick => self.tick(now, effects),
        }
    }

    /// When the next [`FlowEvent::Tick`] is due; None if the run waits for no deadline.
    pub fn deadline(&self) -> Option<Instant> {
        match &self.wait {
            WaitingFor::Keys(collector) => collector.deadline(),
            WaitingFor::Pause(pause) => Some(pause.deadline()),
            WaitingFor::Recording(recorder) => recorder.deadline(),
            WaitingFor::Document(_) | WaitingFor::Ended | WaitingFor::Over | WaitingFor::Room => {
                None
            }
        }
    }

    /// Index of the current element within its document, from zero.
    pub fn step(&self) -> u32 {
        self.step
    }

    /// The current element; None before the first element and after the last.
    pub fn current(&self) -> Option<&FlowStep> {
        self.element(self.step)
    }

    /// Element of the current document with this index.
    pub fn element(&self, step: u32) -> Option<&FlowStep> {
        self.flow.as_ref()?.steps.get(usize::try_from(step).ok()?)
    }

    /// The flow that is running; None before the first document.
    pub fn flow(&self) -> Option<&Arc<Flow>> {
        self.flow.as_ref()
    }

    /// Number of documents that the call has run, the current one included.
    pub fn documents(&self) -> u32 {
        self.documents.into()
    }

    /// The `action` of the recording whose end the call waits for, to be told if the call ends first.
    pub fn recording_action(&self) -> Option<RecordAction> {
        let WaitingFor::Recording(recorder) = &self.wait else { return None };
        recorder.action().filter(|_| recorder.is_message())
    }

    fn tick(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        match &mut self.wait {
            WaitingFor::Keys(collector) => {
                let progress = collector.tick(now, effects);
                self.collected(now, progress, effects);
            }
            WaitingFor::Pause(pause) if pause.deadline() <= now => self.advance(now, effects),
            WaitingFor::Recording(recorder) => recorder.tick(now, effects),
            WaitingFor::Pause(_)
            | WaitingFor::Document(_)
            | WaitingFor::Ended
            | WaitingFor::Over
            | WaitingFor::Room => (),
        }
    }

    fn enter(&mut self, now: Instant, flow: Arc<Flow>, effects: &mut Vec<Effect>) {
        if self.documents == DOCUMENTS_MAX {
            return self.end(HangupCause::LoopDetected, HangupSource::Error, effects);
        }
        // No element would answer the call. An empty document answers, then ends it (contract 3.1).
        if flow.steps.is_empty() {
            self.answer(effects);
        }
        let quiet = self
            .silent_documents
            .get_or_insert_with(|| Box::new(SilentDocuments { since: now, documents: 0 }));
        quiet.documents += 1;
        self.documents += 1;
        self.flow = Some(flow);
        self.step = 0;
        self.run_on(now, None, effects);
    }

    /// A document is not available: takes the element's branch for errors, or ends the call.
    fn document_failed(
        &mut self,
        now: Instant,
        missing: &DocumentError,
        purpose: Purpose,
        effects: &mut Vec<Effect>,
    ) {
        let branch_step = match purpose {
            Purpose::Action | Purpose::Redirect => self.branch(Branch::Error),
            // A kicked call continues even if the kick's document fails.
            Purpose::Kick => return self.next_step(now, Some(Cause::Kicked), effects),
            // There is no flow to continue, or the request was to leave it.
            Purpose::Answer | Purpose::Sound | Purpose::Transfer => None,
        };
        match branch_step {
            Some(step) => self.go_to(now, step, None, effects),
            None => self.end(missing.ending(purpose), HangupSource::Error, effects),
        }
    }

    /// Index of the target of the current element's branch.
    pub(super) fn branch(&self, branch: Branch) -> Option<u32> {
        self.current()?.branches.find(branch)
    }

    /// Programs that may play first after the conference if the flow fetches no document before,
    /// the most likely one first.
    fn programs_after(&self, options: &JoinOptions) -> Vec<Program> {
        let (Some(flow), Some(step)) = (&self.flow, self.current()) else { return Vec::new() };
        let redirects = options.action.as_ref().is_some_and(|action| action.redirects);
        let next = (!redirects).then_some(self.step + 1);
        let mut steps: Vec<_> = next.into_iter().collect();
        for (_, to) in step.branches.iter() {
            if !steps.contains(&to) {
                steps.push(to);
            }
        }
        let words = |to: u32| flow.steps.get(usize::try_from(to).ok()?)?.verb.program().cloned();
        steps.into_iter().filter_map(words).collect()
    }

    fn left(&mut self, now: Instant, exit: &Exit, effects: &mut Vec<Effect>) {
        let (action, fields) = match self.current().map(|it| &it.verb) {
            // The owner of the call ends it, so no element runs.
            Some(Verb::Conference(_)) if exit.ends_call() => return,
            Some(Verb::Conference(verb)) => (verb.options.action.clone(), exit.fields(&verb.room)),
            Some(Verb::Dial(verb)) => {
                let Some(result) = &exit.dialled else { return };
                (verb.options.action.clone(), result.fields())
            }
            Some(_) | None => return,
        };
        let way = self.continuation(action.as_ref(), exit);
        // An action with `redirect="false"` is sent wherever the flow continues, that of a dial even
        // if the call has ended.
        let is_told = |action: &Action| !action.redirects || exit.ends_call();
        if let Some(action) = action.filter(is_told) {
            effects.push(Effect::Notify(action.request(fields.clone(), false)));
        }
        if exit.ends_call() {
            return;
        }
        match way {
            Continuation::Ask(action) => self.fetch(now, action.request(fields, false), effects),
            Continuation::Document(flow) => self.enter(now, flow, effects),
            Continuation::Fetch(url) => {
                let (method, purpose) = (RequestMethod::Post, Purpose::Kick);
                let request = DocumentRequest { url, method, purpose, fields, is_private: false };
                self.fetch(now, request, effects);
            }
            Continuation::Step(step) => self.go_to(now, step, Some(exit.cause), effects),
        }
    }

    fn collected(&mut self, now: Instant, progress: CollectorProgress, effects: &mut Vec<Effect>) {
        let digits = match progress {
            CollectorProgress::Asking => return,
            CollectorProgress::Nothing => return self.advance(now, effects),
            CollectorProgress::Entered(digits) => digits,
        };
        let WaitingFor::Keys(collector) = &self.wait else { return };
        let settings = collector.settings.clone();
        self.silent_documents = None;
        let entered = if settings.is_private { "" } else { &*digits };
        effects.push(Effect::Entered(entered.into()));
        match settings.action.clone() {
            Some(action) => {
                let fields = settings.fields.of(digits);
                if action.redirects {
                    return self.fetch(now, action.request(fields, settings.is_private), effects);
                }
                effects.push(Effect::Notify(action.request(fields, settings.is_private)));
                self.advance(now, effects);
            }
            None => self.advance(now, effects),
        }
    }

    /// Requests the `action` of a `<Record>`, or continues at the next element.
    fn recorded(&mut self, now: Instant, facts: &RecordedFacts, effects: &mut Vec<Effect>) {
        let WaitingFor::Recording(recorder) = &self.wait else { return };
        let action = recorder.action();
        if facts.end.is_some_and(|it| !it.length.is_zero()) {
            self.silent_documents = None;
        }
        let Some(action) = action else { return self.advance(now, effects) };
        let redirects = action.action.redirects;
        let request = action.request(facts, self.dialect);
        if redirects {
            return self.fetch(now, request, effects);
        }
        effects.push(Effect::Notify(request));
        self.advance(now, effects);
    }

    fn fetch(&mut self, now: Instant, request: DocumentRequest, effects: &mut Vec<Effect>) {
        match &mut self.silent_documents {
            Some(quiet) if QUIET_WITHIN < now.saturating_duration_since(quiet.since) => {
                self.silent_documents = None;
            }
            Some(quiet) if QUIET_DOCUMENTS_MAX <= quiet.documents => {
                return self.end(HangupCause::LoopDetected, HangupSource::Error, effects);
            }
            Some(_) | None => (),
        }
        self.wait = WaitingFor::Document(request.purpose);
        effects.push(Effect::Fetch(request));
    }

    fn advance(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        self.next_step(now, None, effects);
    }

    fn next_step(&mut self, now: Instant, left: Option<Cause>, effects: &mut Vec<Effect>) {
        self.go_to(now, self.step + 1, left, effects);
    }

    /// Branches lead forwards only, so a document ends.
    fn go_to(&mut self, now: Instant, step: u32, left: Option<Cause>, effects: &mut Vec<Effect>) {
        debug_assert!(self.step < step);
        self.step = step;
        self.run_on(now, left, effects);
    }

    /// Runs elements from the current one on until one has to wait. `left` is the cause if the call
    /// has just left a conference.
    fn run_on(&mut self, now: Instant, mut left: Option<Cause>, effects: &mut Vec<Effect>) {
        while let Some(step) = self.current() {
            let (answers, start) = (step.verb.answers() && !step.is_early, step.verb.begin());
            effects.push(Effect::Begin { step: self.step });
            if answers {
                self.answer(effects);
            }
            if self.perform(now, start, effects) {
                return;
            }
            self.step += 1;
            left = None;
        }

        let dialect = self.dialect;
        let at_end =
            Ending { cause: HangupCause::EndOfXml, source: HangupSource::Platform(dialect) };
        let Ending { cause, source } = left.map_or(at_end, |cause| cause.ending_at_end(dialect));
        self.end(cause, source, effects);
    }

    /// Returns whether the run has to wait or is over.
    fn perform(&mut self, now: Instant, start: VerbStart, effects: &mut Vec<Effect>) -> bool {
        match start {
            VerbStart::Next => return false,
            VerbStart::EarlyMedia => {
                effects.push(Effect::EarlyMedia);
                return false;
            }
            VerbStart::Schedule(after) => {
                effects.push(Effect::Schedule(after));
                return false;
            }
            VerbStart::Send { digits, awaits } => {
                effects.push(Effect::SendDigits { digits, awaits });
                self.wait = WaitingFor::Over;
                return awaits;
            }
            VerbStart::Fetch(request) => self.fetch(now, request, effects),
            VerbStart::HangUp(unanswered) => {
                let cause = if self.is_answered { HangupCause::Normal } else { unanswered };
                self.end(cause, HangupSource::AnswerXml, effects);
            }
            VerbStart::Collect(settings) => {
                if settings.prompts.is_some() {
                    self.silent_documents = None;
                }
                self.wait = WaitingFor::Keys(Box::new(Collector::begin(settings, now, effects)));
            }
            VerbStart::Dial(options) => {
                self.silent_documents = None;
                self.wait = WaitingFor::Room;
                effects.push(Effect::Dial(options));
            }
            VerbStart::Join { room, options } => {
                self.silent_documents = None;
                self.wait = WaitingFor::Room;
                effects.extend(self.programs_after(&options).into_iter().map(Effect::Prepare));
                effects.push(Effect::Join { room, options });
            }
            VerbStart::Pause { length, silence } => {
                self.silent_documents = None;
                let (ends_at, silent_since) = (now + length, Some(now));
                self.wait = WaitingFor::Pause(Box::new(Pause { ends_at, silence, silent_since }));
            }
            VerbStart::Play(program) => {
                self.silent_documents = None;
                self.wait = WaitingFor::Over;
                effects.push(Effect::Play(program));
            }
            VerbStart::Record(settings) => {
                let recorder = Recorder::begin(settings, now, effects);
                self.wait = WaitingFor::Recording(Box::new(recorder));
            }
        }
        true
    }

    fn answer(&mut self, effects: &mut Vec<Effect>) {
        if !self.is_answered {
            self.is_answered = true;
            effects.push(Effect::Answer);
        }
    }

    fn end(&mut self, cause: HangupCause, source: HangupSource, effects: &mut Vec<Effect>) {
        self.wait = WaitingFor::Ended;
        effects.push(Effect::End(Ending { cause, source }));
    }
}
