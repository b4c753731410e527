//! Key input: prompts, tries and time-outs of `<GetDigits>`, `<GetInput>` and `<Gather>`.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{Action, Effect, field::KeySet};
use crate::media::Program;

/// `digitEndTimeout="auto"`: long enough to look at a note, short enough to seem quick.
pub(super) const DIGITS_END_AUTO: Duration = Duration::from_secs(3);

/// Settings of a key input, from the attributes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct CollectSettings {
    /// Played at the beginning of each try.
    pub(super) prompts: Option<Program>,
    /// Played after an invalid key.
    pub(super) invalid_sound: Option<Program>,
    /// False if only speech counts as input: tries then end only by time.
    pub(super) takes_keys: bool,
    pub(super) valid: KeySet,
    /// The key that ends the input without being part of it.
    pub(super) finish: Option<char>,
    pub(super) digits_max: u32,
    /// In all, the first one included.
    pub(super) tries: u32,
    /// Counted from the end of the prompts.
    pub(super) first_key_within: Option<Duration>,
    pub(super) next_key_within: Duration,
    /// Counted from the end of the prompts.
    pub(super) all_within: Option<Duration>,
    pub(super) action: Option<Action>,
    pub(super) fields: InputFields,
    /// `log="false"`: keeps the keys out of logs and traces.
    pub(super) is_private: bool,
}

/// Which fields the action gets (contract 3.7, 3.8).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum InputFields {
    Digits,
    Input,
}

impl InputFields {
    pub(super) fn of(self, digits: String) -> Vec<(&'static str, String)> {
        match self {
            Self::Digits => vec![("Digits", digits)],
            Self::Input => vec![
                ("InputType", "dtmf".to_owned()),
                ("Digits", digits),
                ("Speech", String::new()),
                ("SpeechConfidenceScore", String::new()),
            ],
        }
    }
}

/// A key input in progress.
#[derive(PartialEq)]
pub(super) struct Collector {
    pub(super) settings: Arc<CollectSettings>,
    pub(super) phase: CollectorPhase,
    pub(super) tries_left: u32,
    pub(super) digits: String,
    /// Deadline for the next key.
    pub(super) key_by: Option<Instant>,
    /// Deadline for the try.
    pub(super) all_by: Option<Instant>,
}

/// Rows of the state log have the number of a variant: new ones come last.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) enum CollectorPhase {
    Prompts,
    Silence,
    InvalidSound,
}

#[derive(Debug, PartialEq)]
pub(super) enum CollectorProgress {
    Asking,
    Entered(String),
    /// All tries ended without input.
    Nothing,
}

impl Collector {
    pub(super) fn begin(
        settings: Arc<CollectSettings>,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) -> Self {
        let tries_left = settings.tries;
        let (phase, digits) = (CollectorPhase::Silence, String::new());
        let mut this = Self { settings, phase, tries_left, digits, key_by: None, all_by: None };
        this.prompt(now, effects);
        this
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.key_by.into_iter().chain(self.all_by).min()
    }

    pub(super) fn digit(
        &mut self,
        now: Instant,
        key: char,
        effects: &mut Vec<Effect>,
    ) -> CollectorProgress {
        if !self.settings.takes_keys
            || self.phase == CollectorPhase::InvalidSound
            || !KeySet::ALL.has(key)
        {
            return CollectorProgress::Asking;
        }
        if self.phase == CollectorPhase::Prompts {
            effects.push(Effect::Stop);
            self.listen(now);
        }

        if self.settings.finish == Some(key) {
            return self.end_try(now, effects);
        }
        if !self.settings.valid.has(key) {
            self.digits.clear();
            return self.refuse(now, effects);
        }
        self.digits.push(key);
        if self.digits.len() == usize::try_from(self.settings.digits_max).unwrap_or(usize::MAX) {
            return self.end_try(now, effects);
        }
        self.key_by = Some(now + self.settings.next_key_within);
        CollectorProgress::Asking
    }

    /// The sound that was playing has ended.
    pub(super) fn over(&mut self, now: Instant, effects: &mut Vec<Effect>) -> CollectorProgress {
        match self.phase {
            CollectorPhase::Prompts => self.listen(now),
            CollectorPhase::Silence => (),
            CollectorPhase::InvalidSound => return self.next_try(now, effects),
        }
        CollectorProgress::Asking
    }

    pub(super) fn tick(&mut self, now: Instant, effects: &mut Vec<Effect>) -> CollectorProgress {
        match self.deadline().is_some_and(|deadline| deadline <= now) {
            true => self.end_try(now, effects),
            false => CollectorProgress::Asking,
        }
    }

    /// Plays once more what a restored collector was playing; the keys typed so far count.
    pub(super) fn resume(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        match self.phase {
            CollectorPhase::Prompts => self.prompt(now, effects),
            CollectorPhase::Silence => (),
            CollectorPhase::InvalidSound => {
                effects.extend(self.settings.invalid_sound.clone().map(Effect::Play));
            }
        }
    }

    fn prompt(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        match &self.settings.prompts {
            Some(prompts) => {
                self.phase = CollectorPhase::Prompts;
                effects.push(Effect::Play(prompts.clone()));
            }
            None => self.listen(now),
        }
    }

    fn listen(&mut self, now: Instant) {
        self.phase = CollectorPhase::Silence;
        self.key_by = self.settings.first_key_within.map(|within| now + within);
        self.all_by = self.settings.all_within.map(|within| now + within);
    }

    /// Returns the keys of the try; without any, begins the next try.
    fn end_try(&mut self, now: Instant, effects: &mut Vec<Effect>) -> CollectorProgress {
        (self.key_by, self.all_by) = (None, None);
        match self.digits.is_empty() {
            true => self.next_try(now, effects),
            false => CollectorProgress::Entered(std::mem::take(&mut self.digits)),
        }
    }

    fn refuse(&mut self, now: Instant, effects: &mut Vec<Effect>) -> CollectorProgress {
        let Some(sound) = self.settings.invalid_sound.clone() else {
            return self.end_try(now, effects);
        };
        (self.key_by, self.all_by) = (None, None);
        self.phase = CollectorPhase::InvalidSound;
        effects.push(Effect::Play(sound));
        CollectorProgress::Asking
    }

    fn next_try(&mut self, now: Instant, effects: &mut Vec<Effect>) -> CollectorProgress {
        self.tries_left = self.tries_left.saturating_sub(1);
        if self.tries_left == 0 {
            return CollectorProgress::Nothing;
        }
        self.prompt(now, effects);
        CollectorProgress::Asking
    }
}

/// Leaves out the keys, which may be private.
impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { settings: _, phase, tries_left, digits, key_by, all_by } = self;
        f.debug_struct("Collector")
            .field("phase", phase)
            .field("tries_left", tries_left)
            .field("digits", &digits.len())
            .field("key_by", key_by)
            .field("all_by", all_by)
            .finish()
    }
}
