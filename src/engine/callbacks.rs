//! Callbacks: which events a receiver is told of, and their way to the dispatcher.

use std::{
    fmt,
    sync::{Arc, atomic::AtomicBool},
    time::SystemTime,
};

use tokio::sync::mpsc;

use super::{
    deliveries::{Deliveries, new_record},
    inbound::wall_clock,
};
use crate::{
    accounts::Accounts,
    base::{
        ids::{AccountId, Dialect},
        traceparent::Traceparent,
    },
    call::{CallEvent, Hook},
    conference::{ConferenceEvent, MemberInfo},
    events::{
        AccountEvent, fields,
        log::{Event, EventId},
    },
    fetch::{TargetUrl, signature::FormField},
    flow::RequestMethod,
    recording::{RecordingCallback, event::RecordingEvent},
    state_log::RowKey,
    webhooks::{
        delivery::{DropReason, QueueKey, QueueOwner},
        dispatcher::{Webhook, WebhookFields, WebhookQueue},
        history::{DeliveryChange, DeliveryRecord, DeliveryState, EarlierTries},
    },
};

/// Sends the callbacks of events.
pub(super) struct Callbacks {
    pub(super) accounts: Arc<Accounts>,
    pub(super) queue: WebhookQueue,
    /// The epoch of the events' ids.
    pub(super) epoch: u64,
    pub(super) deliveries: Deliveries,
    /// Whether new callbacks are left to the backlog, since they come after those there.
    pub(super) is_resuming: AtomicBool,
    /// Whether a callback outlives the process.
    pub(super) is_kept: bool,
}

/// A callback of an earlier process.
#[derive(Debug)]
pub(super) struct EarlierCallback {
    /// The time from which its age is counted.
    pub(super) since: SystemTime,
    pub(super) attempts: u8,
    pub(super) _slot: BacklogSlot,
}

/// The account and the URL of a callback that is no longer queued.
pub(super) type Released = (u64, Arc<str>);

/// The place of a callback among the queued ones; dropping it makes room for another.
#[derive(Debug)]
pub(super) struct BacklogSlot {
    pub(super) account: u64,
    pub(super) url: Arc<str>,
    pub(super) release: mpsc::UnboundedSender<Released>,
}

impl Drop for BacklogSlot {
    fn drop(&mut self) {
        // Without a receiver, the backlog is empty.
        self.release.send((self.account, self.url.clone())).unwrap_or_default();
    }
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
            AccountEvent::Recording(event) => {
                let RecordingEvent { callback, room, call, end, member, .. } = &**event;
                let owner = room.map_or(QueueOwner::Call(*call), QueueOwner::Room);
                if let Some(who) = member {
                    return Self::of_member(owner, 0, who);
                }
                let RecordingCallback { url, method, dialect, party } = callback.as_ref()?;
                end.as_ref()?;
                Some(Self {
                    queue: QueueKey { owner, url: url.clone(), by_call: None },
                    // It comes after the events of its call, which are numbered.
                    sequence: 0,
                    method: *method,
                    dialect: *dialect,
                    trace: match party {
                        Some(party) => party.session.trace(*call),
                        None => Traceparent::of(event.api_id),
                    },
                })
            }
            AccountEvent::Conference { room, notice, .. } => {
                let who = notice.event.who()?;
                let is_floor = matches!(notice.event, ConferenceEvent::FloorTaken { .. });
                if is_floor && !who.callback.as_ref()?.reports_floor {
                    return None;
                }
                Self::of_member(QueueOwner::Room(room.id), notice.sequence, who)
            }
        }
    }

    /// A callback to the `callbackUrl` of a member.
    fn of_member(owner: QueueOwner, sequence: u64, who: &MemberInfo) -> Option<Self> {
        let target = who.callback.as_ref()?;
        let (url, by_call) = (target.url.clone(), target.by_call.then_some(who.call));
        Some(Self {
            queue: QueueKey { owner, url, by_call },
            sequence,
            method: target.method,
            dialect: who.party.dialect,
            trace: who.party.session.trace(who.call),
        })
    }
}

impl EventCallback {
    /// The URL of the receiver, as its author wrote it.
    pub(super) fn url(&self) -> &Arc<str> {
        &self.queue.url
    }

    /// The record of the callback of this event, which nothing has happened to yet.
    pub(super) fn record(&self, event: &Event<AccountEvent>) -> DeliveryRecord {
        new_record(event, &self.queue.url, self.method)
    }
}

impl Callbacks {
    /// Queues the callback of an event. `kept`: the key that keeps the event in the state log.
    pub(super) fn send(
        self: &Arc<Self>,
        account: &AccountId,
        callback: EventCallback,
        kept: RowKey,
        event: Arc<Event<AccountEvent>>,
        earlier: Option<EarlierCallback>,
    ) {
        let EventCallback { queue, sequence, method, dialect, .. } = callback.clone();
        let (account, callbacks) = (account.clone(), self.clone());
        let signer = self.accounts.signer(&account, dialect);
        let fields =
            EventFields { account: account.clone(), callback, event, kept, earlier, callbacks };
        let target = match TargetUrl::parse(&queue.url) {
            Ok(target) => Arc::new(target),
            Err(error) => {
                let refused = DeliveryState::GivenUp(DropReason::Refused);
                fields.note(DeliveryChange::Settled(refused, None));
                let owner = queue.owner;
                return tracing::warn!(%owner, sequence, "callback not sent: bad URL: {error}");
            }
        };
        let fields = Arc::new(fields);
        self.queue.send(Webhook {
            account,
            queue,
            sequence,
            target,
            method,
            dialect,
            signer,
            fields,
        });
    }
}

/// An event to be sent to a URL. Its form fields are made when it is sent.
struct EventFields {
    account: AccountId,
    callback: EventCallback,
    event: Arc<Event<AccountEvent>>,
    kept: RowKey,
    /// None of an event of this process.
    earlier: Option<EarlierCallback>,
    callbacks: Arc<Callbacks>,
}

impl WebhookFields for EventFields {
    fn fields(&self) -> Vec<FormField> {
        fields::of_callback(&self.account, &self.event, self.callback.dialect)
    }

    fn trace(&self) -> Option<Traceparent> {
        Some(self.callback.trace)
    }

    fn event_id(&self) -> Option<String> {
        Some(EventId::new(self.callbacks.epoch, self.event.number).to_string())
    }

    fn outlives_the_process(&self) -> bool {
        self.callbacks.is_kept
    }

    fn earlier_tries(&self) -> EarlierTries {
        let tries = |it: &EarlierCallback| EarlierTries {
            attempts: it.attempts,
            age: wall_clock().duration_since(it.since).unwrap_or_default(),
        };
        self.earlier.as_ref().map(tries).unwrap_or_default()
    }

    fn note(&self, change: DeliveryChange<'_>) {
        let new = || self.callback.record(&self.event);
        self.callbacks.deliveries.note(&self.account, self.kept, change, new);
    }
}

impl fmt::Debug for EventFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventFields").field("event", &self.event).finish_non_exhaustive()
    }
}
