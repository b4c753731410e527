//! What one phone does of its own accord, and when: keys, talk, and its script.

use std::{collections::VecDeque, vec};

use super::{
    PhoneError,
    answer_plan::{Called, Step},
    script::{Act, Deed, Keys},
    sounds::KEY_MS,
};
use crate::media::{HangupCause, Heard};

/// Keys that wait for their turn, beside those of the script: half a minute of pressing.
const KEYS_WAITING_MAX: usize = 256;

/// Something a phone has under way.
#[derive(Debug)]
pub(super) struct Hands {
    /// How it takes a call; None if it has made one, or is done with it.
    called: Option<Called>,
    script: vec::IntoIter<Act>,
    /// None until the answer, and when nothing is left.
    act_at: Option<u32>,
    keys: VecDeque<char>,
    /// When a key can be pressed next, if not at once.
    key_at: Option<u32>,
    talk_until: Option<u32>,
}

impl Hands {
    pub(super) fn new(script: Vec<Act>) -> Self {
        let script = script.into_iter();
        let (keys, key_at, talk_until) = (VecDeque::new(), None, None);
        Self { called: None, script, act_at: None, keys, key_at, talk_until }
    }

    /// It is called.
    pub(super) fn called(&mut self, called: Called) {
        self.called = Some(called);
    }

    /// The call is answered: the script begins.
    pub(super) fn begin(&mut self, now: u32) {
        self.plan(now);
    }

    /// Whether so many keys find room.
    pub(super) fn has_room(&self, keys: &Keys) -> Result<(), PhoneError> {
        match self.keys.len() + keys.iter().count() <= KEYS_WAITING_MAX {
            true => Ok(()),
            false => Err(PhoneError::TooManyKeys { max: KEYS_WAITING_MAX }),
        }
    }

    /// Presses keys after those that wait already.
    pub(super) fn press(&mut self, now: u32, keys: &Keys) {
        self.keys.extend(keys.iter());
        self.key_at.get_or_insert(now);
    }

    /// Talks for so long from now on, or longer if it does so already. True if that is new.
    pub(super) fn talk(&mut self, now: u32, ms: u32) -> bool {
        let until = now.saturating_add(ms);
        let is_new = self.talk_until.is_none();
        self.talk_until = Some(self.talk_until.map_or(until, |before| before.max(until)));
        is_new
    }

    /// When something is to be done.
    pub(super) fn due(&self) -> Option<u32> {
        let called = self.called.as_ref().and_then(Called::due);
        [called, self.key_at, self.talk_until, self.act_at].into_iter().flatten().min()
    }

    /// One thing that was due now, if any; the rest is due still.
    pub(super) fn step(&mut self, now: u32) -> Option<Move> {
        if let Some(step) = self.called.as_mut().and_then(|called| called.step(now)) {
            self.called.take_if(|called| called.due().is_none());
            return Some(match step {
                Step::PickUp => Move::PickUp,
                Step::Refuse(cause) => Move::Refuse(cause),
                Step::Ring => Move::Report(Heard::Ringing),
            });
        }
        if self.key_at.is_some_and(|at| at <= now) {
            let key = self.keys.pop_front();
            self.key_at = key.map(|_| now.saturating_add(KEY_MS));
            return key.map(|key| Move::Report(Heard::Digit(key)));
        }
        if self.talk_until.is_some_and(|until| until <= now) {
            self.talk_until = None;
            return Some(Move::Report(Heard::Talk(false)));
        }
        if self.act_at.is_some_and(|at| at <= now) {
            let deed = self.script.next()?.deed;
            self.plan(self.done_at(now, &deed));
            return Some(Move::Do(deed));
        }
        None
    }

    /// Nothing is under way, and nothing will be.
    pub(super) fn is_idle(&self) -> bool {
        self.script.as_slice().is_empty() && self.due().is_none()
    }

    fn plan(&mut self, after: u32) {
        let next = self.script.as_slice().first();
        self.act_at = next.map(|act| after.saturating_add(act.after_ms));
    }

    /// When a deed that begins now will be done.
    fn done_at(&self, now: u32, deed: &Deed) -> u32 {
        match deed {
            Deed::HangUp | Deed::Hold(_) => now,
            Deed::Press(keys) => {
                let before = self.keys.len() + keys.iter().count() - 1;
                let wait = u32::try_from(before).unwrap_or(u32::MAX).saturating_mul(KEY_MS);
                self.key_at.unwrap_or(now).saturating_add(wait)
            }
            Deed::Talk { ms } => now.saturating_add(*ms),
        }
    }
}

/// What hands do next.
#[derive(Debug)]
pub(super) enum Move {
    Do(Deed),
    PickUp,
    Refuse(HangupCause),
    Report(Heard),
}
