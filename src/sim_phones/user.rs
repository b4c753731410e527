//! Simulated user: the keys, talk, script and answer of one phone, and their times.

use std::{collections::VecDeque, vec};

use super::{
    PhoneError,
    answer_plan::{AnswerPlan, AnswerStep},
    script::{PhoneAction, PressedKeys, ScriptItem},
    sounds::KEY_MS,
};
use crate::media::{HangupCause, LegEvent};

/// Limit of waiting keys, besides those of the script: half a minute of pressing.
const KEYS_WAITING_MAX: usize = 256;

/// The pending actions of one phone's user.
#[derive(Debug)]
pub(super) struct SimUser {
    /// Its response to a call. None if it placed the call, or after the answer.
    called: Option<AnswerPlan>,
    script: vec::IntoIter<ScriptItem>,
    /// When the next script item is due. None before the answer, and at the end.
    act_at: Option<u32>,
    keys: VecDeque<char>,
    /// When the next key can be pressed. None: at once.
    key_at: Option<u32>,
    talk_until: Option<u32>,
}

impl SimUser {
    pub(super) fn new(script: Vec<ScriptItem>) -> Self {
        let script = script.into_iter();
        let (keys, key_at, talk_until) = (VecDeque::new(), None, None);
        Self { called: None, script, act_at: None, keys, key_at, talk_until }
    }

    pub(super) fn answer_as(&mut self, called: AnswerPlan) {
        self.called = Some(called);
    }

    /// Starts the script when the call is answered.
    pub(super) fn begin(&mut self, now: u32) {
        self.plan(now);
    }

    /// Checks that the keys fit into the queue.
    pub(super) fn has_room(&self, keys: &PressedKeys) -> Result<(), PhoneError> {
        match self.keys.len() + keys.iter().count() <= KEYS_WAITING_MAX {
            true => Ok(()),
            false => Err(PhoneError::TooManyKeys { max: KEYS_WAITING_MAX }),
        }
    }

    /// Queues keys after those that wait.
    pub(super) fn press(&mut self, now: u32, keys: &PressedKeys) {
        self.keys.extend(keys.iter());
        self.key_at.get_or_insert(now);
    }

    /// Talks for `ms` from now on; longer if it is talking already. Returns true if talk starts.
    pub(super) fn talk(&mut self, now: u32, ms: u32) -> bool {
        let until = now.saturating_add(ms);
        let is_new = self.talk_until.is_none();
        self.talk_until = Some(self.talk_until.map_or(until, |before| before.max(until)));
        is_new
    }

    /// Returns when the next action is due.
    pub(super) fn due(&self) -> Option<u32> {
        let called = self.called.as_ref().and_then(AnswerPlan::due);
        [called, self.key_at, self.talk_until, self.act_at].into_iter().flatten().min()
    }

    /// Takes one action that is due. Further ones may still be due.
    pub(super) fn step(&mut self, now: u32) -> Option<UserAction> {
        if let Some(step) = self.called.as_mut().and_then(|called| called.step(now)) {
            self.called.take_if(|called| called.due().is_none());
            return Some(match step {
                AnswerStep::EarlyMedia => UserAction::EarlyMedia,
                AnswerStep::PickUp => UserAction::PickUp,
                AnswerStep::Refuse(cause) => UserAction::Refuse(cause),
                AnswerStep::Ring => UserAction::Report(LegEvent::Ringing),
            });
        }
        if self.key_at.is_some_and(|at| at <= now) {
            let key = self.keys.pop_front();
            self.key_at = key.map(|_| now.saturating_add(KEY_MS));
            return key.map(|key| UserAction::Report(LegEvent::Digit(key)));
        }
        if self.talk_until.is_some_and(|until| until <= now) {
            self.talk_until = None;
            return Some(UserAction::Report(LegEvent::Talk(false)));
        }
        if self.act_at.is_some_and(|at| at <= now) {
            let action = self.script.next()?.action;
            self.plan(self.done_at(now, &action));
            return Some(UserAction::Do(action));
        }
        None
    }

    /// Whether no action is pending.
    pub(super) fn is_idle(&self) -> bool {
        self.script.as_slice().is_empty() && self.due().is_none()
    }

    fn plan(&mut self, after: u32) {
        let next = self.script.as_slice().first();
        self.act_at = next.map(|act| after.saturating_add(act.after_ms));
    }

    /// When an action that begins now will be finished.
    fn done_at(&self, now: u32, action: &PhoneAction) -> u32 {
        match action {
            PhoneAction::HangUp | PhoneAction::Hold(_) => now,
            PhoneAction::Press(keys) => {
                let before = self.keys.len() + keys.iter().count() - 1;
                let wait = u32::try_from(before).unwrap_or(u32::MAX).saturating_mul(KEY_MS);
                self.key_at.unwrap_or(now).saturating_add(wait)
            }
            PhoneAction::Talk { ms } => now.saturating_add(*ms),
        }
    }
}

/// An action that the phone must perform.
#[derive(Debug)]
pub(super) enum UserAction {
    Do(PhoneAction),
    EarlyMedia,
    PickUp,
    Refuse(HangupCause),
    Report(LegEvent),
}
