//! Run row: where a run is in its flow, as a later process reads it from the state log.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{
    DialOptions, Effect, Flow, JoinOptions, Purpose, Run,
    digits::{CollectSettings, Collector, CollectorPhase},
    record::RecordReport,
    recorder::{Recorder, RecorderPhase},
    run::{Pause, SilentDocuments, WaitingFor},
    verbs::VerbStart,
};
use crate::{
    base::{
        boot_clock::BootClock,
        ids::{ConferenceName, Dialect},
    },
    media::Program,
};

/// The state of a run.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct RunRow {
    position: Option<FlowPosition>,
    wait: WaitRow,
    /// Since when, and how many.
    silent_documents: Option<(u64, u32)>,
    documents: u16,
    dialect: Dialect,
    is_answered: bool,
}

/// A position in a document, with the element that was there when the row was written.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct FlowPosition {
    /// The key of the document.
    document: u128,
    dialect: Dialect,
    step: u32,
    /// Tag, line and column; None after the last element.
    element: Option<(Box<str>, u32, u32)>,
}

/// Rows have the number of a variant: new ones come last.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
enum WaitRow {
    Document(Purpose),
    Keys(CollectorRow),
    Over,
    Pause { ends_at: u64, silence: Option<Duration>, silent_since: Option<u64> },
    Room,
    Recording { phase: RecorderPhase, ends_at: Option<u64> },
}

#[derive(Clone, Deserialize, PartialEq, Serialize)]
struct CollectorRow {
    phase: CollectorPhase,
    tries_left: u32,
    /// Empty if they must not be logged.
    digits: String,
    key_by: Option<u64>,
    all_by: Option<u64>,
}

/// Leaves out the keys, as that of the collector does.
impl std::fmt::Debug for CollectorRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CollectorRow").field("phase", &self.phase).finish_non_exhaustive()
    }
}

/// Why a row of a call or a room cannot be restored.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RowError {
    /// The document of the row is missing, or cannot be parsed.
    #[error("its document is not there any more")]
    Document,
    /// This version parses the document differently: the flow must not go on at another element.
    #[error("element {step} of its document is not the one that it was at")]
    Element {
        /// The number of the element, from zero.
        step: u32,
    },
    /// The bytes are damaged, or another version has written them.
    #[error("it cannot be read (version {version}): {why}")]
    Format {
        /// The first byte of the row.
        version: u8,
        /// What the format says.
        why: String,
    },
}

impl RowError {
    /// Reads a row that begins with its version.
    ///
    /// # Errors
    ///
    /// [`RowError::Format`].
    pub fn read<'a, T: Deserialize<'a>>(version: u8, bytes: &'a [u8]) -> Result<T, Self> {
        let found = bytes.first().copied().unwrap_or_default();
        let bad = |why: String| Self::Format { version: found, why };
        if found != version {
            return Err(bad(format!("this build reads version {version}")));
        }
        postcard::from_bytes(&bytes[1..]).map_err(|error| bad(error.to_string()))
    }
}

/// Writes a row that begins with its version.
pub fn write_row(version: u8, row: &impl Serialize) -> Vec<u8> {
    postcard::to_extend(row, vec![version]).expect("ids, numbers and texts")
}

impl RunRow {
    /// The document that the run is in: its key, and the dialect in which it is parsed.
    pub fn document(&self) -> Option<(u128, Dialect)> {
        self.position.as_ref().map(|it| (it.document, it.dialect))
    }

    /// The run in this document, which is the one of [`RunRow::document`].
    ///
    /// # Errors
    ///
    /// The document does not have the element of the row, or the element does not wait like that.
    pub fn restore(self, clock: BootClock, flow: Option<Arc<Flow>>) -> Result<Run, RowError> {
        let Self { position, wait, silent_documents, documents, dialect, is_answered } = self;
        if position.is_some() != flow.is_some() {
            return Err(RowError::Document);
        }
        let step = position.as_ref().map_or(0, |it| it.step);
        let mut run = Run::new(dialect);
        run.silent_documents = silent_documents.map(|(since, documents)| {
            Box::new(SilentDocuments { since: clock.instant(since), documents })
        });
        (run.flow, run.step, run.documents, run.is_answered) = (flow, step, documents, is_answered);
        if position.is_some_and(|it| it.element != run.element_name()) {
            return Err(RowError::Element { step });
        }
        run.wait = run.wait_of(wait, clock).ok_or(RowError::Element { step })?;
        Ok(run)
    }
}

impl CollectorRow {
    fn of(collector: &Collector, clock: BootClock) -> Self {
        let Collector { settings, phase, tries_left, digits, key_by, all_by } = collector;
        if settings.is_private {
            return Self::private(*tries_left);
        }
        Self {
            phase: *phase,
            tries_left: *tries_left,
            digits: digits.clone(),
            key_by: key_by.map(|at| clock.nanos(at)),
            all_by: all_by.map(|at| clock.nanos(at)),
        }
    }

    /// The keys are written nowhere, so the prompts begin again.
    fn private(tries_left: u32) -> Self {
        let (phase, digits) = (CollectorPhase::Prompts, String::new());
        Self { phase, tries_left, digits, key_by: None, all_by: None }
    }

    fn restore(self, clock: BootClock, settings: Arc<CollectSettings>) -> Collector {
        let Self { phase, tries_left, digits, key_by, all_by } = self;
        let at = |nanos: Option<u64>| nanos.map(|it| clock.instant(it));
        Collector { settings, phase, tries_left, digits, key_by: at(key_by), all_by: at(all_by) }
    }
}

impl Run {
    /// The row of the run. None if the run is over.
    pub fn row(&self, clock: BootClock) -> Option<RunRow> {
        let Self { flow, wait, silent_documents, step, documents, dialect, is_answered } = self;
        let position = flow.as_ref().map(|flow| FlowPosition {
            document: flow.source.text.key(),
            dialect: flow.dialect,
            step: *step,
            element: self.element_name(),
        });
        let silent_documents =
            silent_documents.as_ref().map(|it| (clock.nanos(it.since), it.documents));
        let wait = self.wait_row(wait, clock)?;
        let (documents, dialect, is_answered) = (*documents, *dialect, *is_answered);
        Some(RunRow { position, wait, silent_documents, documents, dialect, is_answered })
    }

    /// The conference that the current element is about.
    pub fn conference_here(&self) -> Option<(ConferenceName, Arc<JoinOptions>)> {
        match self.current()?.verb.begin() {
            VerbStart::Join { room, options } => Some((room, options)),
            VerbStart::Collect(_) | VerbStart::Dial(_) | VerbStart::EarlyMedia => None,
            VerbStart::Fetch(_) | VerbStart::HangUp(_) | VerbStart::Next => None,
            VerbStart::Pause { .. } | VerbStart::Play(_) | VerbStart::Schedule(_) => None,
            VerbStart::Record(_) | VerbStart::Send { .. } => None,
        }
    }

    /// The options of the `<Dial>` that the run is in.
    pub fn dial_here(&self) -> Option<Arc<DialOptions>> {
        let is_in_room = self.wait == WaitingFor::Room;
        match self.current().filter(|_| is_in_room)?.verb.begin() {
            VerbStart::Dial(options) => Some(options),
            VerbStart::Collect(_) | VerbStart::EarlyMedia | VerbStart::Fetch(_) => None,
            VerbStart::HangUp(_) | VerbStart::Join { .. } | VerbStart::Next => None,
            VerbStart::Pause { .. } | VerbStart::Play(_) | VerbStart::Schedule(_) => None,
            VerbStart::Record(_) | VerbStart::Send { .. } => None,
        }
    }

    /// Does once more what the element of a restored run waits for: plays it, joins, or dials, if that
    /// had not begun. Keys are not sent twice: the element is over. A document is asked for by the owner
    /// of the run.
    pub fn resume(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        match &mut self.wait {
            WaitingFor::Document(_) | WaitingFor::Ended | WaitingFor::Pause(_) => (),
            WaitingFor::Keys(collector) => collector.resume(now, effects),
            WaitingFor::Recording(recorder) => {
                if recorder.resume(now, effects) {
                    let over = RecordReport::Refused;
                    self.handle(now, super::FlowEvent::Recording(over), effects);
                }
            }
            WaitingFor::Over => match self.program_here() {
                Some(program) => effects.push(Effect::Play(program)),
                None => self.handle(now, super::FlowEvent::Over, effects),
            },
            WaitingFor::Room => {
                let joins = self.conference_here();
                effects.extend(joins.map(|(room, options)| Effect::Join { room, options }));
                effects.extend(self.dial_here().map(Effect::Dial));
            }
        }
    }

    fn program_here(&self) -> Option<Program> {
        self.current()?.verb.program().cloned()
    }

    fn collects_here(&self) -> Option<Arc<CollectSettings>> {
        let VerbStart::Collect(settings) = self.current()?.verb.begin() else { return None };
        Some(settings)
    }

    fn element_name(&self) -> Option<(Box<str>, u32, u32)> {
        let step = self.current()?;
        Some((step.verb.info().tag.into(), step.at.line, step.at.column))
    }

    fn wait_row(&self, wait: &WaitingFor, clock: BootClock) -> Option<WaitRow> {
        Some(match wait {
            WaitingFor::Document(Purpose::Action) if self.is_private_here() => {
                let tries = self.collects_here().map_or(1, |it| it.tries);
                WaitRow::Keys(CollectorRow::private(tries))
            }
            WaitingFor::Document(purpose) => WaitRow::Document(*purpose),
            WaitingFor::Keys(collector) => WaitRow::Keys(CollectorRow::of(collector, clock)),
            WaitingFor::Over => WaitRow::Over,
            WaitingFor::Pause(pause) => {
                let Pause { ends_at, silence, silent_since } = &**pause;
                let silent_since = silent_since.map(|at| clock.nanos(at));
                WaitRow::Pause { ends_at: clock.nanos(*ends_at), silence: *silence, silent_since }
            }
            WaitingFor::Recording(recorder) => {
                let (phase, ends_at) = recorder.kept();
                WaitRow::Recording { phase, ends_at: ends_at.map(|at| clock.nanos(at)) }
            }
            WaitingFor::Room => WaitRow::Room,
            WaitingFor::Ended => return None,
        })
    }

    /// Whether the current element collects keys that must not be logged.
    pub fn is_private_here(&self) -> bool {
        self.collects_here().is_some_and(|it| it.is_private)
    }

    /// None if the current element does not wait like that.
    fn wait_of(&self, row: WaitRow, clock: BootClock) -> Option<WaitingFor> {
        Some(match row {
            WaitRow::Document(purpose) => WaitingFor::Document(purpose),
            WaitRow::Keys(row) => {
                WaitingFor::Keys(Box::new(row.restore(clock, self.collects_here()?)))
            }
            WaitRow::Over => WaitingFor::Over,
            WaitRow::Pause { ends_at, silence, silent_since } => {
                let ends_at = clock.instant(ends_at);
                let silent_since = silent_since.map(|at| clock.instant(at));
                WaitingFor::Pause(Box::new(Pause { ends_at, silence, silent_since }))
            }
            WaitRow::Recording { phase, ends_at } => {
                let VerbStart::Record(settings) = self.current()?.verb.begin() else { return None };
                let ends_at = ends_at.map(|at| clock.instant(at));
                WaitingFor::Recording(Box::new(Recorder::restored(settings, phase, ends_at)))
            }
            WaitRow::Room => WaitingFor::Room,
        })
    }
}
