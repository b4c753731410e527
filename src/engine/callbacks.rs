//! Callbacks: which events a receiver is told of, and their way to the dispatcher.

use std::{fmt, sync::Arc};

use crate::{
    accounts::Accounts,
    base::{
        ids::{AccountId, Dialect},
        traceparent::Traceparent,
    },
    call::{CallEvent, Hook},
    conference::ConferenceEvent,
    events::{
        AccountEvent, fields,
        log::{Event, EventId},
    },
    fetch::{TargetUrl, signature::FormField},
    flow::RequestMethod,
    state_log::{Line, RowKey, StateLog},
    webhooks::{
        delivery::{QueueKey, QueueOwner},
        dispatcher::{Webhook, WebhookFields, WebhookQueue},
    },
};

/// Sends the callbacks of events.
pub(super) struct Callbacks {
    pub(super) accounts: Arc<Accounts>,
    pub(super) queue: WebhookQueue,
    /// The epoch of the events' ids.
    pub(super) epoch: u64,
    /// It keeps each event until its callback is settled. None if nothing outlives the process.
    pub(super) state_log: Option<Arc<StateLog>>,
}

/// The callback of an event: everything but its account and number.
#[derive(Clone, Debug)]
pub(super) struct EventCallback {
    queue: QueueKey,
    sequence: u64,
    method: RequestMethod,
    dialect: Dialect,
    trace: Traceparent,
}

impl EventCallback {
    /// The callback of an event; None if nobody wants it.
    pub(super) fn of(event: &AccountEvent) -> Option<Self> {
        match event {
            AccountEvent::Call { call, call_sequence, party, event, .. } => {
                let details = party.session.details()?;
                let Hook { url, method } = match event {
                    CallEvent::Ended(_) => details.hangup.as_ref(),
                    CallEvent::Rang => details.ring.as_ref(),
                    CallEvent::Answered | CallEvent::Begun => None,
                }?;
                let owner = QueueOwner::Call(*call);
                Some(Self {
                    queue: QueueKey { owner, url: url.clone(), by_call: None },
                    sequence: call_sequence.get().into(),
                    method: *method,
                    dialect: party.dialect,
                    trace: party.session.trace(*call),
                })
            }
            AccountEvent::Dial { call, call_sequence, party, event } => {
                let target = event.callback.as_ref()?;
                let (owner, url) = (QueueOwner::Call(*call), target.url.clone());
                Some(Self {
                    queue: QueueKey { owner, url, by_call: None },
                    sequence: call_sequence.get().into(),
                    method: target.method,
                    dialect: party.dialect,
                    trace: party.session.trace(*call),
                })
            }
            AccountEvent::Conference { room, notice, .. } => {
                let who = notice.event.who()?;
                let target = who.callback.as_ref()?;
                let is_floor = matches!(notice.event, ConferenceEvent::FloorTaken { .. });
                if is_floor && !target.reports_floor {
                    return None;
                }
                let (owner, url) = (QueueOwner::Room(room.id), target.url.clone());
                let by_call = target.by_call.then_some(who.call);
                Some(Self {
                    queue: QueueKey { owner, url, by_call },
                    sequence: notice.sequence,
                    method: target.method,
                    dialect: who.party.dialect,
                    trace: who.party.session.trace(who.call),
                })
            }
        }
    }
}

impl Callbacks {
    /// Queues the callback of an event. `kept`: the key that keeps the event in the state log.
    pub(super) fn send(
        &self,
        account: &AccountId,
        callback: EventCallback,
        kept: RowKey,
        event: Arc<Event<AccountEvent>>,
    ) {
        let EventCallback { queue, sequence, method, dialect, trace } = callback;
        let (epoch, state_log) = (self.epoch, self.state_log.clone());
        let fields =
            EventFields { account: account.clone(), dialect, trace, event, epoch, kept, state_log };
        let target = match TargetUrl::parse(&queue.url) {
            Ok(target) => Arc::new(target),
            Err(error) => {
                let owner = queue.owner;
                fields.settle();
                return tracing::warn!(%owner, sequence, "callback not sent: bad URL: {error}");
            }
        };
        let signer = self.accounts.signer(account, dialect);
        let fields = Arc::new(fields);
        self.queue.send(Webhook { queue, sequence, target, method, dialect, signer, fields });
    }
}

/// An event to be sent to a URL. Its form fields are made when it is sent.
struct EventFields {
    account: AccountId,
    dialect: Dialect,
    trace: Traceparent,
    event: Arc<Event<AccountEvent>>,
    /// Of the event's id.
    epoch: u64,
    kept: RowKey,
    state_log: Option<Arc<StateLog>>,
}

impl WebhookFields for EventFields {
    fn fields(&self) -> Vec<FormField> {
        fields::of_event(&self.account, &self.event, self.dialect)
    }

    fn trace(&self) -> Option<Traceparent> {
        Some(self.trace)
    }

    fn event_id(&self) -> Option<String> {
        Some(EventId::new(self.epoch, self.event.number).to_string())
    }

    fn outlives_the_process(&self) -> bool {
        self.state_log.is_some()
    }

    fn settle(&self) {
        if let Some(log) = &self.state_log {
            log.append(&[Line::Gone(self.kept)], |_| ());
        }
    }
}

impl fmt::Debug for EventFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventFields").field("event", &self.event).finish_non_exhaustive()
    }
}
