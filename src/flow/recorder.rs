//! Recorder: the part of a run that waits for the recording of a `<Record>`.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{
    effect::Effect,
    field::KeySet,
    options::Action,
    record::{RecordAction, RecordKind, RecordOptions, RecordReport, RecordStop, RecordedFacts},
};
use crate::media::SoundKind;

/// Settings of a `<Record>`, from the attributes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RecordSettings {
    pub(super) options: Arc<RecordOptions>,
    /// A beep comes before the recording, and is not part of it.
    pub(super) beeps: bool,
    /// The silence that ends the recording.
    pub(super) silence: Duration,
    /// The keys that end the recording.
    pub(super) finish: KeySet,
    pub(super) action: Option<Action>,
}

/// A recording in progress.
#[derive(Debug, PartialEq)]
pub(super) struct Recorder {
    settings: Arc<RecordSettings>,
    phase: RecorderPhase,
    /// When the current silence began; None while the caller talks.
    silent_since: Option<Instant>,
    /// The end by `maxLength`.
    ends_at: Option<Instant>,
    /// The key that ends it.
    key: Option<char>,
}

/// In rows by its number: new ones come last.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) enum RecorderPhase {
    Beep,
    /// The recording is ordered.
    Starting,
    Running,
    /// The file is being closed.
    Stopping,
}

impl Recorder {
    pub(super) fn begin(
        settings: Arc<RecordSettings>,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) -> Self {
        let (phase, silent_since) = (RecorderPhase::Beep, Some(now));
        let mut this = Self { settings, phase, silent_since, ends_at: None, key: None };
        match this.is_message() && this.settings.beeps {
            true => effects.push(Effect::Play([SoundKind::Beep(1).into()].into())),
            false => this.start(effects),
        }
        this
    }

    /// What a row keeps of a recording: its phase, and the end by `maxLength`.
    pub(super) fn kept(&self) -> (RecorderPhase, Option<Instant>) {
        let Self { settings: _, phase, silent_since: _, ends_at, key: _ } = self;
        (*phase, *ends_at)
    }

    /// The recording of an earlier process.
    pub(super) fn restored(
        settings: Arc<RecordSettings>,
        phase: RecorderPhase,
        ends_at: Option<Instant>,
    ) -> Self {
        Self { settings, phase, silent_since: None, ends_at, key: None }
    }

    /// Goes on after a crash: with the beep, or in another file, for as long as is left. Returns whether
    /// the element is over, since its file was being closed; the file of before is told of by itself.
    pub(super) fn resume(&mut self, now: Instant, effects: &mut Vec<Effect>) -> bool {
        let left = self.ends_at.map(|it| it.saturating_duration_since(now));
        match self.phase {
            RecorderPhase::Stopping => return true,
            _ if left == Some(Duration::ZERO) => return true,
            RecorderPhase::Beep => effects.push(Effect::Play([SoundKind::Beep(1).into()].into())),
            RecorderPhase::Starting => self.start(effects),
            RecorderPhase::Running => {
                self.phase = RecorderPhase::Starting;
                let options = RecordOptions {
                    length: left.or(self.settings.options.length),
                    ..RecordOptions::clone(&self.settings.options)
                };
                effects.push(Effect::Record(options.into()));
            }
        }
        self.silent_since = Some(now);
        false
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let is_running = self.phase == RecorderPhase::Running;
        let silent_until = self.silent_since.map(|it| it + self.settings.silence);
        silent_until.into_iter().chain(self.ends_at).min().filter(|_| is_running)
    }

    pub(super) fn digit(&mut self, key: char, effects: &mut Vec<Effect>) {
        if !self.is_message() || self.key.is_some() || !self.settings.finish.has(key) {
            return;
        }
        match self.phase {
            RecorderPhase::Beep | RecorderPhase::Stopping => (),
            // It ends as soon as it has begun.
            RecorderPhase::Starting => self.key = Some(key),
            RecorderPhase::Running => {
                self.key = Some(key);
                self.stop(RecordStop::Key, effects);
            }
        }
    }

    pub(super) fn talk(&mut self, now: Instant, is_talking: bool) {
        self.silent_since = (!is_talking).then_some(now);
    }

    /// The beep has ended.
    pub(super) fn over(&mut self, effects: &mut Vec<Effect>) {
        if self.phase == RecorderPhase::Beep {
            self.start(effects);
        }
    }

    pub(super) fn tick(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if self.deadline().is_none_or(|it| now < it) {
            return;
        }
        let is_full = self.ends_at.is_some_and(|it| it <= now);
        self.stop(if is_full { RecordStop::Length } else { RecordStop::Silence }, effects);
    }

    /// Returns the recording once the flow can continue.
    pub(super) fn report(
        &mut self,
        now: Instant,
        report: RecordReport,
        effects: &mut Vec<Effect>,
    ) -> Option<RecordedFacts> {
        match report {
            RecordReport::Refused => Some(RecordedFacts::nothing()),
            RecordReport::Over(facts) => Some(facts),
            RecordReport::Begun(facts) if !self.is_message() => Some(facts),
            RecordReport::Begun(_) => {
                self.phase = RecorderPhase::Running;
                // Silence before the recording does not count.
                self.silent_since = self.silent_since.map(|_| now);
                // That of a restored one is set.
                let length = self.settings.options.length;
                self.ends_at = self.ends_at.or_else(|| length.map(|it| now + it));
                if self.key.is_some() {
                    self.stop(RecordStop::Key, effects);
                }
                None
            }
        }
    }

    /// Its `action`, if it has one and the recording is ordered.
    pub(super) fn action(&self) -> Option<RecordAction> {
        let action = self.settings.action.clone()?;
        (self.phase != RecorderPhase::Beep).then_some(RecordAction { action, key: self.key })
    }

    /// Whether the flow waits for the end of the recording.
    pub(super) fn is_message(&self) -> bool {
        self.settings.options.kind == RecordKind::Message
    }

    fn start(&mut self, effects: &mut Vec<Effect>) {
        self.phase = RecorderPhase::Starting;
        effects.push(Effect::Record(self.settings.options.clone()));
    }

    fn stop(&mut self, why: RecordStop, effects: &mut Vec<Effect>) {
        self.phase = RecorderPhase::Stopping;
        effects.push(Effect::StopRecording(why));
    }
}
