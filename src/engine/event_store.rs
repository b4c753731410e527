//! Event store: the events of one account, the latest in memory and those of a day in the state log.

use std::{
    mem,
    sync::Arc,
    time::{Duration, SystemTime},
};

use parking_lot::Mutex;
use tokio::{sync::watch, task::spawn_blocking};

use super::{
    callbacks::EventCallback,
    recorder::{KeyKind, TurnRow, callback_key},
};
use crate::{
    base::ids::AccountId,
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
    /// The id of [`callback_key`] without a number.
    callback_id: u128,
    epoch: u64,
    /// None if nothing outlives the process.
    state_log: Option<Arc<StateLog>>,
    /// Held while events are written, so that they are published in the order of their numbers.
    next: Mutex<NextEvent>,
    latest: Mutex<EventLog<AccountEvent>>,
    /// Wakes the readers.
    changed: watch::Sender<()>,
}

/// The next event of an account.
struct NextEvent {
    number: u64,
    /// Memory for the bodies of a frame.
    bodies: Vec<u8>,
}

/// Memory for longer bodies is not kept: there may be many accounts.
const BODIES_KEPT: usize = 4 << 10;
/// The usual length of a body.
const BODY: usize = 256;

/// An event that has no number yet.
pub(super) struct NewEvent {
    pub(super) at: SystemTime,
    pub(super) what: AccountEvent,
    /// None if nobody is told of it.
    pub(super) callback: Option<EventCallback>,
}

type NumberedEvent = (Arc<Event<AccountEvent>>, Option<(EventCallback, RowKey)>);

/// What an event is the latest state of, and what has ended with it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct EventKeys {
    pub(super) keys: [Option<RowKey>; KEYS_MAX],
    pub(super) gone: [Option<RowKey>; KEYS_MAX],
}

impl EventKeys {
    /// The keys of an event. `callback`: the key that keeps it until its callback is settled.
    pub(super) fn of(event: &AccountEvent, callback: Option<RowKey>) -> Self {
        match event {
            AccountEvent::Call { call, event: CallEvent::Ended(_), .. } => Self {
                keys: [callback, Some(KeyKind::Cdr.of_call(*call)), None, None],
                gone: [
                    Some(KeyKind::Call.of_call(*call)),
                    Some(KeyKind::Answer.of_call(*call)),
                    Some(KeyKind::Member.of_call(*call)),
                    Some(KeyKind::Ending.of_call(*call)),
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
            AccountEvent::Recording(_) => {
                Self { keys: [callback, None, None, None], gone: [None; KEYS_MAX] }
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
        Self {
            callback_id: callback_key(&account, 0).id,
            account,
            epoch,
            state_log,
            next: Mutex::new(NextEvent { number: next, bodies: Vec::new() }),
            latest: Mutex::new(EventLog::new(epoch, next)),
            changed: watch::Sender::new(()),
        }
    }

    /// Gives events their numbers, writes them and the rows of the same turn in one frame, and
    /// publishes them; then calls `then` for each callback, with the key that keeps its event until it
    /// is settled. This happens before the return, unless the disk is in trouble: then the frame
    /// waits. What is dropped, since too much waits, is not published.
    pub(super) fn append(
        self: &Arc<Self>,
        events: Vec<NewEvent>,
        rows: &[TurnRow],
        then: impl Fn(EventCallback, RowKey, Arc<Event<AccountEvent>>) + Send + 'static,
    ) {
        let mut next = self.next.lock();
        let NextEvent { number, bodies } = &mut *next;
        let numbered: Vec<_> = events
            .into_iter()
            .map(|NewEvent { at, what, callback }| {
                let event = Event { number: *number, at, what };
                let kept = KeyKind::Callback.key(self.callback_id | u128::from(*number));
                *number += 1;
                (Arc::new(event), callback.map(|it| (it, kept)))
            })
            .collect();
        let Some(log) = &self.state_log else { return self.publish_all(numbered, then) };
        bodies.reserve(numbered.len() * BODY);
        let mut ends = Vec::with_capacity(numbered.len());
        for (event, _) in &numbered {
            *bodies = row::write(&event.what, mem::take(bodies));
            ends.push(bodies.len());
        }
        // Most events are of members, whose entry goes with one of them.
        let mut lines = Vec::with_capacity(numbered.len() * 2 + rows.len());
        let mut begin = 0;
        for ((event, callback), end) in numbered.iter().zip(ends) {
            let kept = callback.as_ref().map(|(_, kept)| *kept);
            let EventKeys { keys, gone } = EventKeys::of(&event.what, kept);
            lines.push(Line::Event(EventLine {
                account: self.account.as_str(),
                number: event.number,
                at: micros(event.at),
                keys,
                body: &bodies[begin..end],
            }));
            lines.extend(gone.into_iter().flatten().map(Line::Gone));
            begin = end;
        }
        lines.extend(rows.iter().map(TurnRow::line));
        let store = self.clone();
        log.append(&lines, move |is_written| {
            if is_written {
                store.publish_all(numbered, then);
            }
        });
        drop(lines);
        match bodies.capacity() <= BODIES_KEPT {
            true => bodies.clear(),
            false => *bodies = Vec::new(),
        }
    }

    fn publish_all(
        &self,
        events: Vec<NumberedEvent>,
        then: impl Fn(EventCallback, RowKey, Arc<Event<AccountEvent>>),
    ) {
        for (event, callback) in events {
            self.publish(event.clone());
            if let Some((callback, kept)) = callback {
                then(callback, kept, event);
            }
        }
    }

    /// Keeps an event of earlier until its callback is settled once more, and calls `then` with the key
    /// and whether that is written.
    pub(super) fn keep(
        &self,
        event: &Event<AccountEvent>,
        then: impl FnOnce(RowKey, bool) + Send + 'static,
    ) {
        let kept = KeyKind::Callback.key(self.callback_id | u128::from(event.number));
        let Some(log) = &self.state_log else { return then(kept, true) };
        let line = Line::Copied(EventLine {
            account: self.account.as_str(),
            number: event.number,
            at: micros(event.at),
            keys: [Some(kept), None, None, None],
            body: &row::write(&event.what, Vec::new()),
        });
        log.append(&[line], move |is_written| then(kept, is_written));
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
