//! Callee: a call that `<Dial>` makes. It has no flow; a conference decides on it until it is
//! transferred.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::Call;
use crate::media::{DialOrigin, SignallingOrder};

impl Call {
    /// The order that dials the far end, from the call's parties.
    pub fn dial_order(&self, origin: DialOrigin) -> SignallingOrder {
        let (call, account) = (self.id, self.account.clone());
        SignallingOrder::Dial { call, account, dialling: Arc::new(self.party.dialling(origin)) }
    }

    /// Notes that the far end of a callee has answered. From now on the call ends after `time_limit`
    /// at the latest.
    pub fn answered_in_room(&mut self, now: Instant, time_limit: Duration) {
        self.is_answered = true;
        self.ends_at = now + time_limit;
        self.run.set_answered();
    }

    /// Answers a call that came in and is still ringing, since a callee has been connected with it.
    /// None: it was answered before.
    pub fn answer_in_room(&mut self, now: Instant) -> Option<SignallingOrder> {
        if self.is_answered {
            return None;
        }
        self.is_answered = true;
        if !self.is_scheduled {
            self.ends_at = now + self.time_limit();
        }
        self.run.set_answered();
        Some(SignallingOrder::Answer { call: self.id })
    }

    /// The early media of a call that came in and rings; None once it is answered.
    pub fn early_media_in_room(&self) -> Option<SignallingOrder> {
        (!self.is_answered).then_some(SignallingOrder::EarlyMedia { call: self.id })
    }

    /// The number of its next order, for a report on it.
    pub fn order_number(&mut self) -> u32 {
        self.number()
    }
}
