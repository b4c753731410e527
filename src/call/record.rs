//! Recordings that the flow of a call asks for.

use std::{sync::Arc, time::Instant};

use super::{Awaits, Call, CallAct, Effect, EffectResult};
use crate::{
    flow::{
        FlowEvent, PendingRecording, RecordAction, RecordKind, RecordOptions, RecordReport,
        RecordStop,
    },
    media::AudioOrder,
};

impl Call {
    /// Takes the report on a recording that its flow has asked for.
    pub fn recorded(
        &mut self,
        now: Instant,
        number: u32,
        report: RecordReport,
        effects: &mut Vec<Effect>,
    ) -> CallAct {
        if self.awaits != Awaits::Recording(number) {
            return CallAct::Stay;
        }
        if let (Some(facts), RecordReport::Begun(begun)) = (&mut self.facts, &report) {
            // The one that was asked for last waits for its id.
            let unnamed = facts.recordings.iter_mut().filter(|it| it.id.is_none());
            unnamed.for_each(|it| it.id = begun.id);
        }
        self.handle(now, FlowEvent::Recording(report), effects)
    }

    /// The request to make once the recording that its flow waits for is complete, if the call ends
    /// before that.
    pub fn recording_action(&self) -> Option<(u32, RecordAction)> {
        let Awaits::Recording(number) = self.awaits else { return None };
        Some((number, self.run.recording_action()?))
    }

    /// Takes the recordings that begin now that a `<Dial>` has connected the call.
    pub fn take_pending_recordings(&mut self) -> Vec<PendingRecording> {
        self.facts.as_mut().map(|it| std::mem::take(&mut it.recordings)).unwrap_or_default()
    }

    /// Ends what its leg does for the current element, which a transfer ends.
    pub(super) fn stop_element(&self, effects: &mut Vec<Effect>) {
        effects.push(match self.awaits {
            Awaits::Order(_) => Effect::Audio(AudioOrder::Stop { call: self.id }),
            Awaits::Recording(number) => {
                Effect::StopRecording { number, why: RecordStop::Transfer }
            }
            Awaits::Document(_) | Awaits::Nothing => return,
        });
    }

    /// The order to end the recording that the flow waits for, and goes on waiting for.
    pub(super) fn stop_recording(&self, why: RecordStop) -> EffectResult {
        match self.awaits {
            Awaits::Recording(number) => {
                EffectResult::Effect(Effect::StopRecording { number, why })
            }
            Awaits::Document(_) | Awaits::Nothing | Awaits::Order(_) => EffectResult::Nothing,
        }
    }

    /// The order to record the call.
    pub(super) fn record(&mut self, now: Instant, options: Arc<RecordOptions>) -> Effect {
        let number = self.number();
        self.awaits = Awaits::Recording(number);
        if options.kind == RecordKind::OnDial {
            let pending = PendingRecording { id: None, options: options.clone() };
            self.facts.get_or_insert_default().recordings.push(pending);
        }
        if self.is_talking && options.kind == RecordKind::Message {
            // It was reported before the element began.
            self.run.handle(now, FlowEvent::Talk(true), &mut Vec::new());
        }
        Effect::Record { number, options }
    }
}
