//! Event store: the events of one account, the latest in memory and those of a day in the state log.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use parking_lot::Mutex;
use tokio::{sync::watch, task::spawn_blocking};

use crate::{
    base::ids::{AccountId, CallId},
    call::CallEvent,
    conference::ConferenceEvent,
    events::{
        AccountEvent,
        log::{Event, EventCursor, EventFilter, EventId, EventLog, EventPage},
        row,
    },
    state_log::{EventLine, EventRecord, KEYS_MAX, Line, RowKey, StateLog},
};

/// The events of one account.
pub(super) struct EventStore {
    account: AccountId,
    /// The upper half of the ids of [`KeyKind::Callback`]; the lower one is the event's number.
    callback_id: u128,
    epoch: u64,
    /// None if nothing outlives the process.
    state_log: Option<Arc<StateLog>>,
    /// The number of the next event. Held while one is written, so that events are published in the
    /// order of their numbers.
    next: Mutex<u64>,
    latest: Mutex<EventLog<AccountEvent>>,
    /// Wakes the readers.
    changed: watch::Sender<()>,
}

/// What an event is the latest state of, and what has ended with it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct EventKeys {
    pub(super) keys: [Option<RowKey>; KEYS_MAX],
    pub(super) gone: [Option<RowKey>; KEYS_MAX],
}

/// Kinds of keys in the state log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(super) enum KeyKind {
    /// The latest event of a live call.
    Call = 1,
    /// The answer of a live call.
    Answer = 2,
    /// The entry of a call that is in a room.
    Member = 3,
    /// The latest event of a room.
    Room = 4,
    /// An event whose callback has not been delivered.
    Callback = 5,
}

impl KeyKind {
    /// Every kind, for lookups.
    const ALL: [Self; 5] = [Self::Call, Self::Answer, Self::Member, Self::Room, Self::Callback];

    /// The key of an id.
    pub(super) fn key(self, id: u128) -> RowKey {
        RowKey { kind: self as u8, id }
    }

    /// The kind of a key; None if a newer version has written it.
    pub(super) fn of(key: RowKey) -> Option<Self> {
        Self::ALL.into_iter().find(|it| *it as u8 == key.kind)
    }

    /// The key of a call.
    pub(super) fn of_call(self, call: CallId) -> RowKey {
        self.key(call.0.as_u128())
    }
}

impl EventKeys {
    /// The keys of an event. `callback`: the key that keeps it until its callback is settled.
    pub(super) fn of(event: &AccountEvent, callback: Option<RowKey>) -> Self {
        match event {
            AccountEvent::Call { call, event: CallEvent::Ended(_), .. } => Self {
                keys: [callback, None, None, None],
                gone: [
                    Some(KeyKind::Call.of_call(*call)),
                    Some(KeyKind::Answer.of_call(*call)),
                    Some(KeyKind::Member.of_call(*call)),
                    None,
                ],
            },
            AccountEvent::Call { call, event, .. } => {
                let answer = *event == CallEvent::Answered;
                let answer = answer.then(|| KeyKind::Answer.of_call(*call));
                let keys = [Some(KeyKind::Call.of_call(*call)), answer, callback, None];
                Self { keys, gone: [None; KEYS_MAX] }
            }
            AccountEvent::Dial { call, .. } => {
                let keys = [Some(KeyKind::Call.of_call(*call)), callback, None, None];
                Self { keys, gone: [None; KEYS_MAX] }
            }
            AccountEvent::Conference { room, notice, call_sequence } => {
                let is_live = call_sequence.is_some();
                let who = notice.event.who().filter(|_| is_live).map(|it| it.call);
                let member = who.map(|it| KeyKind::Member.of_call(it));
                let of_room = Some(KeyKind::Room.key(room.id.0.as_u128()));
                let entered = matches!(notice.event, ConferenceEvent::Entered { .. });
                let exited = matches!(notice.event, ConferenceEvent::Exited { .. });
                let is_over = notice.event == ConferenceEvent::Over;
                Self {
                    keys: [
                        of_room.filter(|_| !is_over),
                        who.map(|it| KeyKind::Call.of_call(it)),
                        member.filter(|_| entered),
                        callback,
                    ],
                    gone: [of_room.filter(|_| is_over), member.filter(|_| exited), None, None],
                }
            }
        }
    }
}

/// Events that are read from the state log at once: it looks through some 300 kB for them.
const STORED_MAX: usize = 512;

impl EventStore {
    /// The events of an account; those of earlier processes are in the state log.
    pub(super) fn new(account: AccountId, epoch: u64, state_log: Option<Arc<StateLog>>) -> Self {
        let next = 1 + state_log.as_ref().map_or(0, |it| it.last_number(account.as_str()));
        let hash = blake3::hash(account.as_str().as_bytes());
        let half: [u8; 8] = hash.as_bytes()[..8].try_into().expect("it has 32 bytes");
        Self {
            account,
            callback_id: u128::from(u64::from_le_bytes(half)) << 64,
            epoch,
            state_log,
            next: Mutex::new(next),
            latest: Mutex::new(EventLog::new(epoch, next)),
            changed: watch::Sender::new(()),
        }
    }

    /// Gives an event its number, writes it, and publishes it; then calls `then`, with the key that
    /// keeps the event until its callback is settled, if it has one. This happens before
    /// the return, unless the disk is in trouble: then the event waits. One that is dropped, since too
    /// many wait, is not published.
    pub(super) fn append(
        self: &Arc<Self>,
        at: SystemTime,
        what: AccountEvent,
        has_callback: bool,
        then: impl FnOnce(Arc<Event<AccountEvent>>, RowKey) + Send + 'static,
    ) {
        let mut next = self.next.lock();
        let event = Arc::new(Event { number: *next, at, what });
        *next += 1;
        let kept = KeyKind::Callback.key(self.callback_id | u128::from(event.number));
        let Some(log) = &self.state_log else {
            self.publish(event.clone());
            return then(event, kept);
        };
        let body = row::write(&event.what, Vec::new());
        let EventKeys { keys, gone } = EventKeys::of(&event.what, has_callback.then_some(kept));
        let line = Line::Event(EventLine {
            account: self.account.as_str(),
            number: event.number,
            at: micros(at),
            keys,
            body: &body,
        });
        let mut lines = Vec::with_capacity(1 + KEYS_MAX);
        lines.push(line);
        lines.extend(gone.into_iter().flatten().map(Line::Gone));
        let store = self.clone();
        log.append(&lines, move |is_written| {
            if is_written {
                store.publish(event.clone());
                then(event, kept);
            }
        });
    }

    fn publish(&self, event: Arc<Event<AccountEvent>>) {
        self.latest.lock().append(event);
        // A reader that subscribes after this finds the event in the log.
        if 0 < self.changed.receiver_count() {
            self.changed.send_replace(());
        }
    }

    /// A cursor before the first event from a time on; events between may be older.
    pub(super) fn since(&self, at: SystemTime) -> EventCursor {
        match &self.state_log {
            Some(log) => {
                let number = log.number_before(self.account.as_str(), micros(at));
                EventCursor::After(EventId::new(self.epoch, number.saturating_sub(1)))
            }
            None => EventCursor::Oldest,
        }
    }

    /// A receiver that every event marks as changed.
    pub(super) fn subscribe(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// The events after a cursor that pass a filter, at most `events_max`. What memory does not have
    /// is read from the state log, on a thread that may wait.
    pub(super) async fn read(
        self: Arc<Self>,
        cursor: EventCursor,
        filter: &EventFilter,
        events_max: usize,
    ) -> EventPage<AccountEvent> {
        let older = self.latest.lock().older(cursor);
        if let (Some(from), Some(log)) = (older, self.state_log.clone()) {
            let store = self.clone();
            let count = events_max.clamp(1, STORED_MAX);
            let read = spawn_blocking(move || {
                let read = log.events(store.account.as_str(), from, count);
                read.map(|it| it.events.into_iter().map_while(|it| store.event(it)).collect())
            });
            match read.await {
                Ok(Ok(events)) => {
                    let page = EventPage::stored(self.epoch, cursor, from, events, filter);
                    if let Some(page) = page {
                        return page;
                    }
                }
                Ok(Err(error)) => tracing::error!("events of the state log: {error}"),
                Err(error) => tracing::error!(%error, "reading events has panicked: this is a bug"),
            }
        }
        self.latest.lock().read(cursor, filter, events_max)
    }

    /// The event of a record; None, with a log line, if it cannot be read.
    fn event(&self, record: EventRecord) -> Option<Event<AccountEvent>> {
        let EventRecord { number, at, body } = record;
        match row::read(&self.account, &body) {
            Ok(what) => Some(Event { number, at: time(at), what }),
            Err(error) => {
                tracing::error!(account = %self.account, number, "{error}");
                None
            }
        }
    }
}

/// Microseconds since 1970.
fn micros(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// The time of microseconds since 1970.
pub(super) fn time(micros: u64) -> SystemTime {
    let since = Duration::from_micros(micros);
    SystemTime::UNIX_EPOCH.checked_add(since).unwrap_or(SystemTime::UNIX_EPOCH)
}
