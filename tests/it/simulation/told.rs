//! Told: what readers of the event stream, receivers of callbacks and clients of the API remember,
//! whatever has died since, and the promises about it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use conflow::{
    base::ids::{CallId, MemberId, RoomId},
    call::{CallEvent, Hook},
    conference::{ConferenceEvent, Notice},
    events::{
        AccountEvent,
        log::{Event, EventCursor, EventId, EventPage, Gap},
    },
    fetch::signature::FormField,
    flow::Cause,
    media::Ending,
    webhooks::{
        delivery::{Outcome, QueueKey, QueueOwner},
        dispatcher::Webhook,
    },
};
use fastrand::Rng;

use super::crashes::micros;

pub(super) type ReadPage = EventPage<AccountEvent>;

/// Everything that somebody was told, and must still be true.
pub(super) struct Told {
    pub(super) epoch: u64,
    /// Whether the log keeps every event.
    pub(super) is_complete: bool,
    /// All events of the log: the first has number 1.
    events: Vec<Arc<Event<AccountEvent>>>,
    exited: BTreeSet<MemberId>,
    /// The epoch and number of the last event that each reader has had.
    readers: Vec<Option<(u64, u64)>>,
    queues: BTreeMap<QueueKey, ToldQueue>,
    lived: BTreeSet<&'static str>,
}

/// The callbacks of one queue, as their receiver got them.
#[derive(Default)]
struct ToldQueue {
    /// The numbers of the events, in order.
    got: Vec<u64>,
    /// Events before a loss of power.
    got_before: BTreeSet<u64>,
    /// The fields of the last one.
    last: Vec<FormField>,
    /// The process has not seen that the last one was received.
    may_repeat: bool,
}

impl Told {
    pub(super) fn new(readers: usize, is_complete: bool) -> Self {
        Self {
            epoch: 1,
            is_complete,
            events: Vec::new(),
            exited: BTreeSet::new(),
            readers: vec![None; readers],
            queues: BTreeMap::new(),
            lived: BTreeSet::new(),
        }
    }

    pub(super) fn len(&self) -> u64 {
        self.events.len() as u64
    }

    /// The cursor of the reader that has read everything.
    pub(super) fn end(&self) -> EventCursor {
        EventCursor::After(EventId::new(self.epoch, self.len()))
    }

    /// New events, which the reader that has read everything gets.
    pub(super) fn witness(&mut self, page: &ReadPage) {
        assert_eq!(page.gap, None, "after {}", self.len());
        for event in &page.events {
            assert_eq!(page.id(event), EventId::new(self.epoch, self.len() + 1));
            if let AccountEvent::Conference { notice, .. } = &event.what
                && let ConferenceEvent::Exited { who, .. } = &notice.event
            {
                self.exited.insert(who.member);
            }
            self.events.push(event.clone());
        }
    }

    /// The position of a reader, which it gives as `Last-Event-ID`.
    pub(super) fn reader(&self, n: usize) -> EventCursor {
        self.readers[n].map_or(EventCursor::Oldest, |(epoch, number)| {
            EventCursor::After(EventId::new(epoch, number))
        })
    }

    /// A reader gets the events after its position: no gap, unless some are no longer kept.
    pub(super) fn has_read(&mut self, n: usize, page: &ReadPage) {
        let before = self.readers[n];
        let Some(first) = page.events.first() else {
            if let (Some(gap), Some((epoch, number))) = (page.gap, before) {
                let missed = (epoch == self.epoch).then(|| self.len() - number);
                assert!(!self.is_complete || missed.is_none(), "all events are kept: {page:?}");
                assert_eq!(gap.missed, missed, "{page:?}");
                assert_eq!(page.cursor, self.end());
                self.readers[n] = Some((self.epoch, self.len()));
            }
            return;
        };
        let next = before.map_or(1, |(_, number)| number + 1);
        match (before, page.gap) {
            (Some((epoch, _)), gap) if epoch != self.epoch => {
                assert_eq!(gap, Some(Gap { missed: None }), "of an older log");
                self.lived.insert("gap after a loss of power");
            }
            (None, gap) => assert!(gap.is_none() && (first.number == 1 || !self.is_complete)),
            (Some(_), None) => assert_eq!(first.number, next, "reader {n} is not told of a gap"),
            (Some(_), Some(gap)) => {
                assert!(!self.is_complete, "the log keeps all events: {gap:?} after {before:?}");
                assert_eq!(gap.missed, Some(first.number - next));
                self.lived.insert("gap after cleaning");
            }
        }
        self.check(page);
        let last = page.events.last().unwrap().number;
        self.readers[n] = Some((self.epoch, last));
        self.lived.insert("resumed");
    }

    /// Each event is the one that had its number before, and the next follows without a hole.
    pub(super) fn check(&mut self, page: &ReadPage) {
        let first = page.events.first().map_or(0, |it| it.number);
        for (number, event) in (first..).zip(&page.events) {
            assert_eq!(page.id(event), EventId::new(self.epoch, number));
            let index = usize::try_from(number - 1).unwrap();
            let told = &self.events[index];
            assert_eq!(micros(event.at), micros(told.at), "event {number}");
            assert_eq!(event.what, told.what, "event {number}");
        }
    }

    /// Checks that members of whom a client was told that they have left have an exit.
    pub(super) fn check_left(&self, members: &[MemberId]) {
        let missing: Vec<_> = members.iter().filter(|it| !self.exited.contains(it)).collect();
        assert!(missing.is_empty(), "answered before their exits are written: {missing:?}");
    }

    /// A receiver is called, and answers.
    pub(super) fn call(&mut self, callback: &Webhook, rng: &mut Rng, is_well: bool) -> Outcome {
        let outcome = rng.u8(0..8);
        // It may get a callback, and its answer gets lost.
        if is_well || outcome != 0 {
            self.receive(callback);
        }
        if is_well || 2 < outcome { Outcome::Arrived } else { Outcome::Failed }
    }

    fn receive(&mut self, callback: &Webhook) {
        let id = callback.fields.event_id().expect("it is of an event");
        let number = id.strip_prefix(&format!("{}-", self.epoch)).expect("of this epoch");
        let number: u64 = number.parse().unwrap();
        assert!(number <= self.len(), "callback {number} before its event");
        let event = &self.events[usize::try_from(number - 1).unwrap()];
        let expected = (callback.queue.clone(), callback.sequence);
        assert_eq!(queue_of(&event.what), Some(expected), "event {number}");
        let (queue, fields) =
            (self.queues.entry(callback.queue.clone()).or_default(), callback.fields.fields());
        match queue.got.last() {
            Some(last) if *last == number => {
                assert!(queue.may_repeat, "{number} is told twice: {:?}", queue.got);
                assert_eq!(fields, queue.last, "{number} differs when it is repeated");
                self.lived.insert("repeated");
            }
            last => {
                assert!(last.is_none_or(|it| *it < number), "{number} after {last:?}");
                queue.got.push(number);
                queue.last = fields;
            }
        }
        queue.may_repeat = false;
    }

    /// A receiver's answer got lost.
    pub(super) fn may_repeat(&mut self, queue: &QueueKey) {
        self.queues.entry(queue.clone()).or_default().may_repeat = true;
    }

    /// The request in flight of each queue may be repeated.
    pub(super) fn crash(&mut self) {
        self.queues.values_mut().for_each(|it| it.may_repeat = true);
    }

    /// Events after the last one are lost, and so is what was settled.
    pub(super) fn lose_power(&mut self, epoch: u64, last: u64) {
        assert!(self.epoch < epoch, "ids of lost events are given to others");
        self.epoch = epoch;
        self.events.truncate(usize::try_from(last).unwrap());
        for queue in self.queues.values_mut() {
            queue.got_before.extend(queue.got.drain(..));
            queue.got_before.retain(|it| *it <= last);
        }
    }

    pub(super) fn lived(&self) -> Vec<&'static str> {
        self.lived.iter().copied().collect()
    }

    /// Checks the whole history: calls and rooms have one begin and one end each, and every callback
    /// has arrived, in order.
    pub(super) fn check_end(&mut self) {
        let (mut calls, mut rooms) = (BTreeMap::new(), BTreeMap::new());
        let mut expected = BTreeMap::<_, Vec<u64>>::new();
        for event in &self.events {
            match &event.what {
                AccountEvent::Dial { .. } => unreachable!("no flow of a life dials"),
                AccountEvent::Recording(_) => unreachable!("a life is not recorded"),
                AccountEvent::Call { call, event, call_sequence, cdr, .. } => {
                    let history: &mut CallHistory = calls.entry(*call).or_default();
                    history.number(*call, call_sequence.get());
                    if let CallEvent::Ended(Ending { cause, .. }) = event {
                        let cdr = cdr.as_ref().expect("the end has a CDR");
                        assert_eq!(cdr.ending.cause, *cause);
                        assert!(cdr.party.session.began_at <= cdr.ended_at, "{cdr:?}");
                        assert_eq!(*call, cdr.call);
                        history.is_over = true;
                        let is_crash = cause.code() == 5_010 && history.has_crashed;
                        self.lived.extend(is_crash.then_some("crashed"));
                    }
                    assert_eq!(*event == CallEvent::Begun, history.last == 1, "{call} begins once");
                    history.answers += usize::from(*event == CallEvent::Answered);
                    assert!(history.answers < 2, "{call} is answered twice");
                }
                AccountEvent::Conference { room, notice, call_sequence } => {
                    let history: &mut RoomHistory = rooms.entry(room.id).or_default();
                    history.take(room.id, notice);
                    if let (Some(who), Some(number)) = (notice.event.who(), call_sequence) {
                        let call: &mut CallHistory = calls.entry(who.call).or_default();
                        call.number(who.call, number.get());
                        let exit = matches!(
                            notice.event,
                            ConferenceEvent::Exited { cause: Cause::Crashed, .. }
                        );
                        call.has_crashed |= exit;
                    }
                }
            }
            if let Some((queue, _)) = queue_of(&event.what) {
                expected.entry(queue).or_default().push(event.number);
            }
        }
        calls.iter().for_each(|(call, it)| assert!(it.is_over, "{call} has no end"));
        for (room, history) in &rooms {
            assert!(history.is_over && history.members.is_empty(), "{room} has no end");
        }
        for (key, numbers) in expected {
            let queue = self.queues.remove(&key).unwrap_or_default();
            let all: BTreeSet<_> = queue.got_before.iter().chain(&queue.got).copied().collect();
            assert!(all.into_iter().eq(numbers.iter().copied()), "{key:?}: {numbers:?}");
        }
        assert!(self.queues.values().all(|it| it.got.is_empty()), "callbacks of no event");
    }
}

/// The events of one call.
#[derive(Default)]
struct CallHistory {
    last: u32,
    answers: usize,
    has_crashed: bool,
    is_over: bool,
}

impl CallHistory {
    fn number(&mut self, call: CallId, number: u32) {
        assert!(!self.is_over, "{call} has an event after its end");
        self.last += 1;
        assert_eq!(number, self.last, "the events of {call}");
    }
}

/// The events of one room.
#[derive(Default)]
struct RoomHistory {
    last: u64,
    members: BTreeSet<MemberId>,
    is_over: bool,
}

impl RoomHistory {
    fn take(&mut self, room: RoomId, Notice { sequence, event }: &Notice) {
        assert!(!self.is_over, "{room} has an event after its end");
        self.last += 1;
        assert_eq!(*sequence, self.last, "the events of {room}");
        match event {
            ConferenceEvent::Entered { who, .. } => assert!(self.members.insert(who.member)),
            ConferenceEvent::Exited { who, .. } => {
                assert!(self.members.remove(&who.member), "{} exits once", who.member);
            }
            ConferenceEvent::Over => self.is_over = true,
            ConferenceEvent::DigitsMatched { .. }
            | ConferenceEvent::FloorTaken { .. }
            | ConferenceEvent::Started => (),
        }
    }
}

/// The queue of an event's callback, and the number of the callback in it; None if it has none.
fn queue_of(event: &AccountEvent) -> Option<(QueueKey, u64)> {
    match event {
        AccountEvent::Dial { .. } | AccountEvent::Recording(_) => None,
        AccountEvent::Call { call, call_sequence, party, event, .. } => {
            let details = party.session.details()?;
            let Hook { url, .. } = match event {
                CallEvent::Ended(_) => details.hangup.as_ref(),
                CallEvent::Rang => details.ring.as_ref(),
                CallEvent::Answered | CallEvent::Begun => None,
            }?;
            let owner = QueueOwner::Call(*call);
            let queue = QueueKey { owner, url: url.clone(), by_call: None };
            Some((queue, call_sequence.get().into()))
        }
        AccountEvent::Conference { room, notice, .. } => {
            let who = notice.event.who()?;
            let target = who.callback.as_ref()?;
            let is_floor = matches!(notice.event, ConferenceEvent::FloorTaken { .. });
            let by_call = target.by_call.then_some(who.call);
            let queue =
                QueueKey { owner: QueueOwner::Room(room.id), url: target.url.clone(), by_call };
            (!is_floor || target.reports_floor).then_some((queue, notice.sequence))
        }
    }
}
