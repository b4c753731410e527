//! Redelivery: what an account may see of its callbacks, and their repetition.

use super::{callbacks::EventCallback, journal::Journal, recorder::callback_key};
use crate::{
    base::ids::AccountId,
    events::log::{EventCursor, EventFilter, EventId},
    state_log::LogState,
    webhooks::{
        delivery::DropReason,
        history::{DeliveryChange, DeliveryFilter, DeliveryPage, DeliveryRecord, DeliveryState},
    },
};

/// Why a callback is not repeated.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RepeatRefusal {
    /// There is no such event, or it is no longer kept.
    NotKept,
    /// Nobody wants a callback of this event.
    NoCallback,
    /// It waits already, or is under way.
    Waits,
    /// The state log cannot be written.
    NotStored,
}

impl Journal {
    /// Queues the callbacks of earlier processes for which there was no room at once.
    pub async fn send_backlog(&self) {
        let backlog = self.backlog.lock().take();
        if let Some(backlog) = backlog {
            backlog.run().await;
        }
    }

    /// A page of an account's callbacks, the latest event first.
    pub fn deliveries(
        &self,
        account: &AccountId,
        filter: &DeliveryFilter,
        offset: usize,
        limit: usize,
    ) -> DeliveryPage {
        self.callbacks().deliveries.list(account, filter, offset, limit)
    }

    /// The callback of an account's event; None if it is not known.
    pub fn delivery(&self, account: &AccountId, id: EventId) -> Option<DeliveryRecord> {
        let number = id.number_in(self.callbacks().epoch)?;
        self.callbacks().deliveries.find(account, number)
    }

    /// The id of an account's event.
    pub fn event_id(&self, number: u64) -> EventId {
        EventId::new(self.callbacks().epoch, number)
    }

    /// Queues the callback of an account's event again, at the end of its queue.
    ///
    /// # Errors
    ///
    /// [`RepeatRefusal`]: nothing was done.
    pub async fn repeat_callback(
        &self,
        account: &AccountId,
        id: EventId,
    ) -> Result<(), RepeatRefusal> {
        let number = id.number_in(self.callbacks().epoch).ok_or(RepeatRefusal::NotKept)?;
        let store = self.account_journal(account).events.clone();
        let cursor = EventCursor::After(self.event_id(number.saturating_sub(1)));
        let page = store.clone().read(cursor, &EventFilter::default(), 1).await;
        let event = page.events.into_iter().next().filter(|it| it.number == number);
        let event = event.ok_or(RepeatRefusal::NotKept)?;
        let callback = EventCallback::of(&event.what).ok_or(RepeatRefusal::NoCallback)?;
        if let Some(log) = self.state_log() {
            let is_failed = matches!(log.status().state, LogState::Failed(_));
            match log.has(callback_key(account, number)) {
                true => return Err(RepeatRefusal::Waits),
                false if is_failed => return Err(RepeatRefusal::NotStored),
                false => (),
            }
        }
        let new = || callback.record(&event);
        if !self.callbacks().deliveries.repeat(account, number, new) {
            return Err(RepeatRefusal::Waits);
        }

        let (account, callbacks, kept_event) =
            (account.clone(), self.callbacks().clone(), event.clone());
        store.keep(&event, move |kept, is_written| match is_written {
            true => callbacks.send(&account, callback, kept, kept_event, None),
            false => {
                let dropped = DeliveryState::GivenUp(DropReason::Full);
                let change = DeliveryChange::Settled(dropped, None);
                let new = || callback.record(&kept_event);
                callbacks.deliveries.note(&account, kept, change, new);
            }
        });
        Ok(())
    }
}
