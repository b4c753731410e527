//! Event log: the latest events of one account, in order, for subscribers to read page by page.
//!
//! The log is bounded and in memory. A subscriber keeps an [`EventCursor`]. One that was away for
//! too long gets a gap report; events are never skipped silently. The log does not interpret
//! events: it knows only the call and the conference that each is about.

use std::{collections::VecDeque, fmt, str::FromStr, sync::Arc, time::SystemTime};

use crate::base::ids::{CallId, ConferenceName};

/// The latest events of an account.
#[derive(Debug)]
pub struct EventLog<T> {
    epoch: u64,
    /// The number of the oldest kept event; of an empty log, of the next one.
    first: u64,
    events: VecDeque<Arc<Event<T>>>,
    events_max: usize,
}

impl<T: Topic> EventLog<T> {
    /// An empty log that keeps [`EVENTS_MAX`] events, and begins with the number `first`.
    ///
    /// No two logs of an account may have the same `epoch`, since a cursor outlives its log.
    pub fn new(epoch: u64, first: u64) -> Self {
        Self::with_capacity(EVENTS_MAX, epoch, first)
    }

    /// An empty log that keeps `events_max` events, at least one.
    pub fn with_capacity(events_max: usize, epoch: u64, first: u64) -> Self {
        let events_max = events_max.max(1);
        Self { epoch, first, events: VecDeque::new(), events_max }
    }

    /// Appends an event, whose number is above all before. Drops the oldest one if the log is full,
    /// and all of them if numbers are missing before it.
    pub fn append(&mut self, event: Arc<Event<T>>) {
        if event.number != self.next() {
            self.events.clear();
            self.first = event.number;
        }
        if self.events.len() == self.events_max {
            self.events.pop_front();
            self.first += 1;
        }
        self.events.push_back(event);
    }

    /// The number to read from in a store of older events; None: this log has what a cursor wants.
    pub fn older(&self, cursor: EventCursor) -> Option<u64> {
        let from = match cursor {
            EventCursor::Now => return None,
            EventCursor::After(id) if id.epoch == self.epoch => id.number.saturating_add(1),
            EventCursor::After(_) | EventCursor::Oldest => 1,
        };
        (from < self.first).then_some(from)
    }

    /// The events after a cursor that pass a filter, at most `events_max`.
    ///
    /// An empty page need not be the last one: a read looks at [`SCAN_MAX`] events at most, so that
    /// it does not hold the log's lock for long.
    pub fn read(
        &self,
        cursor: EventCursor,
        filter: &EventFilter,
        events_max: usize,
    ) -> EventPage<T> {
        let (start, gap) = self.start(cursor);
        let epoch = self.epoch;
        let mut page = EventPage { epoch, gap, events: Vec::new(), cursor, is_last: true };
        let offset = usize::try_from(start - self.first).unwrap_or(usize::MAX);
        let mut seen = start;
        for event in self.events.iter().skip(offset) {
            let is_full = page.events.len() == events_max || SCAN_MAX <= seen - start;
            if is_full {
                page.is_last = false;
                break;
            }
            if filter.lets_through(event) {
                page.events.push(Arc::clone(event));
            }
            seen += 1;
        }
        page.cursor = EventCursor::After(EventId { epoch, number: seen - 1 });
        page
    }

    /// The number of the first event to read, and the gap before it.
    fn start(&self, cursor: EventCursor) -> (u64, Option<Gap>) {
        let end = self.next();
        match cursor {
            EventCursor::Now => (end, None),
            EventCursor::Oldest => (self.first, None),
            EventCursor::After(id) if id.epoch != self.epoch || end <= id.number => {
                (self.first, Some(Gap { missed: None }))
            }
            EventCursor::After(id) => {
                let missed = self.first.saturating_sub(id.number + 1);
                let gap = (0 < missed).then_some(Gap { missed: Some(missed) });
                (self.first.max(id.number + 1), gap)
            }
        }
    }

    fn next(&self) -> u64 {
        self.first + self.events.len() as u64
    }
}

/// An event with its number and time.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Event<T> {
    /// Its number in the log: from 1, without gaps.
    pub number: u64,
    /// The wall clock time of the event.
    pub at: SystemTime,
    /// The event itself, of the log's user.
    pub what: T,
}

/// The call and the conference that an event is about, for filters.
pub trait Topic {
    /// The call that the event is about; None if it is about a room.
    fn call(&self) -> Option<CallId>;

    /// The conference that the event is about; None if it is about a call only.
    fn conference(&self) -> Option<&ConferenceName>;
}

/// The id of an event in an account: its log's epoch and its number, as in `1764000000-17`.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct EventId {
    epoch: u64,
    number: u64,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.number)
    }
}

impl EventId {
    /// The id of the event with a number.
    pub fn new(epoch: u64, number: u64) -> Self {
        Self { epoch, number }
    }

    /// The number of the event; None if the id is of another epoch.
    pub fn number_in(self, epoch: u64) -> Option<u64> {
        (self.epoch == epoch).then_some(self.number)
    }
}

impl FromStr for EventId {
    type Err = BadEventId;

    fn from_str(text: &str) -> Result<Self, BadEventId> {
        let parse = |(epoch, number): (&str, &str)| {
            Some(Self { epoch: epoch.parse().ok()?, number: number.parse().ok()? })
        };
        text.trim().split_once('-').and_then(parse).ok_or(BadEventId)
    }
}

/// A text that is no event id.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not an event id: give the last id that you received, or none")]
pub struct BadEventId;

/// The position of a subscriber in the log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EventCursor {
    /// After this event (`Last-Event-ID`).
    After(EventId),
    /// At the end: only future events are read.
    Now,
    /// At the oldest event that is kept.
    Oldest,
}

/// The events that a subscriber wants. All conditions must hold.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct EventFilter {
    /// Only events about this call.
    pub call: Option<CallId>,
    /// Only events about the conferences of this name, in all incarnations.
    pub conference: Option<ConferenceName>,
    /// Only events from this time on.
    pub since: Option<SystemTime>,
}

impl EventFilter {
    fn lets_through(&self, event: &Event<impl Topic>) -> bool {
        let what = &event.what;
        let since = self.since.is_none_or(|it| it <= event.at);
        let call = self.call.is_none_or(|it| what.call() == Some(it));
        let conference = self.conference.as_ref();
        since && call && conference.is_none_or(|it| what.conference() == Some(it))
    }
}

/// The events that a read has found.
#[derive(Clone, Debug, PartialEq)]
pub struct EventPage<T> {
    epoch: u64,
    /// Events after the cursor that are no longer kept; None if there are none.
    pub gap: Option<Gap>,
    /// In the order of their numbers.
    pub events: Vec<Arc<Event<T>>>,
    /// The position for the next read.
    pub cursor: EventCursor,
    /// Whether the read has reached the end of the log.
    pub is_last: bool,
}

impl<T: Topic> EventPage<T> {
    /// A page of older events of a log, which were read from a number on for a cursor; at least one.
    pub fn stored(
        epoch: u64,
        cursor: EventCursor,
        from: u64,
        mut events: Vec<Event<T>>,
        filter: &EventFilter,
    ) -> Option<Self> {
        let first = events.first()?.number;
        // Events behind a hole are for the next read, which reports it.
        events.truncate((first..).zip(&events).take_while(|(n, it)| *n == it.number).count());
        let last = events.last()?.number;
        let missed = match cursor {
            EventCursor::After(id) if id.epoch != epoch => Some(None),
            EventCursor::After(_) if from < first => Some(Some(first - from)),
            EventCursor::After(_) | EventCursor::Now | EventCursor::Oldest => None,
        };
        let events = events.into_iter().filter(|it| filter.lets_through(it));
        Some(Self {
            epoch,
            gap: missed.map(|missed| Gap { missed }),
            events: events.map(Arc::new).collect(),
            cursor: EventCursor::After(EventId { epoch, number: last }),
            is_last: false,
        })
    }
}

impl<T> EventPage<T> {
    /// The id of an event of this page.
    pub fn id(&self, event: &Event<T>) -> EventId {
        EventId { epoch: self.epoch, number: event.number }
    }
}

/// Events that a subscriber has missed, since they are no longer kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Gap {
    /// The number of missed events, those that the filter rejects included; None if it is unknown,
    /// since the cursor is of an older log.
    pub missed: Option<u64>,
}

/// While 1,000 members enter and leave per second, a subscriber may be away for half a minute. The
/// log of such an account takes some 15 MB.
pub const EVENTS_MAX: usize = 65_536;

/// Events that one read looks at. It blocks writers for some 50 µs.
pub const SCAN_MAX: u64 = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    const AT: SystemTime = SystemTime::UNIX_EPOCH;
    const EPOCH: u64 = 7;

    #[derive(Debug)]
    struct TestEvent {
        n: u64,
        call: CallId,
        conference: Option<ConferenceName>,
    }

    impl Topic for TestEvent {
        fn call(&self) -> Option<CallId> {
            Some(self.call)
        }

        fn conference(&self) -> Option<&ConferenceName> {
            self.conference.as_ref()
        }
    }

    fn test_event(n: u64, call: u128, name: &str) -> TestEvent {
        let conference = (!name.is_empty()).then(|| name.parse().unwrap());
        TestEvent { n, call: CallId::of(call), conference }
    }

    /// Ten events with their own numbers; every second one is about call 1 in room "a".
    fn log(events_max: usize) -> EventLog<TestEvent> {
        let mut log = EventLog::with_capacity(events_max, EPOCH, 1);
        for n in 1..=10 {
            let (call, name) = if n % 2 == 0 { (1, "a") } else { (2, "") };
            append(&mut log, n, test_event(n, call, name));
        }
        log
    }

    fn append(log: &mut EventLog<TestEvent>, number: u64, what: TestEvent) {
        log.append(Arc::new(Event { number, at: AT, what }));
    }

    fn after(epoch: u64, number: u64) -> EventCursor {
        EventCursor::After(EventId { epoch, number })
    }

    fn whats(page: &EventPage<TestEvent>) -> Vec<u64> {
        page.events.iter().map(|it| it.what.n).collect()
    }

    #[test]
    fn each_event_has_its_place_in_the_log() {
        let page = log(9).read(EventCursor::Oldest, &EventFilter::default(), 3);
        let ids: Vec<_> = page.events.iter().map(|it| page.id(it).to_string()).collect();
        assert_eq!(ids, ["7-2", "7-3", "7-4"]);
    }

    #[test]
    fn a_cursor_continues_without_loss_and_a_gap_is_reported() {
        let check = |cursor, events: &[u64], missed: Option<Option<u64>>| {
            let page = log(4).read(cursor, &EventFilter::default(), 100);
            assert_eq!(whats(&page), events, "{cursor:?}");
            assert_eq!(page.gap.map(|it| it.missed), missed, "{cursor:?}");
            assert_eq!((page.cursor, page.is_last), (after(EPOCH, 10), true), "{cursor:?}");
        };

        check(EventCursor::Oldest, &[7, 8, 9, 10], None);
        check(EventCursor::Now, &[], None);
        check(after(EPOCH, 10), &[], None);
        check(after(EPOCH, 8), &[9, 10], None);
        check(after(EPOCH, 6), &[7, 8, 9, 10], None);
        check(after(EPOCH, 5), &[7, 8, 9, 10], Some(Some(1)));
        check(after(EPOCH, 0), &[7, 8, 9, 10], Some(Some(6)));
        // From an earlier log, or made up.
        check(after(EPOCH - 1, 8), &[7, 8, 9, 10], Some(None));
        check(after(EPOCH, 11), &[7, 8, 9, 10], Some(None));
        check(after(EPOCH, u64::MAX), &[7, 8, 9, 10], Some(None));
    }

    #[test]
    fn a_filter_passes_events_that_meet_all_its_conditions() {
        let check = |call: Option<u128>, conference: Option<&str>, expected: &[u64]| {
            let filter = EventFilter {
                call: call.map(CallId::of),
                conference: conference.map(|it| it.parse().unwrap()),
                since: None,
            };
            assert_eq!(whats(&log(10).read(EventCursor::Oldest, &filter, 100)), expected);
        };

        check(None, None, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
        check(Some(1), None, &[2, 4, 6, 8, 10]);
        check(Some(2), None, &[1, 3, 5, 7, 9]);
        check(None, Some("a"), &[2, 4, 6, 8, 10]);
        check(Some(2), Some("a"), &[]);
        check(None, Some("b"), &[]);
    }

    #[test]
    fn page_by_page_everything_comes_once() {
        let filter = EventFilter { call: Some(CallId::of(1)), ..EventFilter::default() };
        for size in 1..=6 {
            let (mut cursor, mut all, mut pages) = (EventCursor::Oldest, Vec::new(), 0);
            loop {
                let page = log(10).read(cursor, &filter, size);
                assert!(page.events.len() <= size && page.gap.is_none());
                all.extend(whats(&page));
                (cursor, pages) = (page.cursor, pages + 1);
                if page.is_last {
                    break;
                }
            }
            assert_eq!(all, [2, 4, 6, 8, 10], "{size}");
            assert_eq!(pages, 5_usize.div_ceil(size), "{size}");
        }
    }

    #[test]
    fn a_read_that_finds_little_ends_early_and_goes_on_from_there() {
        let mut log = EventLog::new(EPOCH, 1);
        (0..SCAN_MAX).for_each(|n| append(&mut log, n + 1, test_event(n, 2, "")));
        append(&mut log, SCAN_MAX + 1, test_event(SCAN_MAX, 1, ""));
        let filter = EventFilter { call: Some(CallId::of(1)), ..EventFilter::default() };
        let page = log.read(EventCursor::Oldest, &filter, 1);
        assert_eq!((whats(&page), page.is_last), (vec![], false));
        let page = log.read(page.cursor, &filter, 1);
        assert_eq!((whats(&page), page.is_last), (vec![SCAN_MAX], true));
    }

    #[test]
    fn an_id_is_read_as_it_is_written_and_nothing_else_is_one() {
        let check = |text: &str, expected: Option<(u64, u64)>| {
            let found = text.parse::<EventId>().ok().map(|it| (it.epoch, it.number));
            assert_eq!(found, expected, "{text:?}");
        };

        check("7-10", Some((7, 10)));
        check(" 7-10 ", Some((7, 10)));
        check("18446744073709551615-18446744073709551615", Some((u64::MAX, u64::MAX)));
        check("18446744073709551616-1", None);
        check("7", None);
        check("7-", None);
        check("7--1", None);
        check("", None);
        assert_eq!("7-10".parse::<EventId>().unwrap().to_string(), "7-10");
    }
}
