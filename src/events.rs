//! One account's events, in the order in which they happened: what subscribers read from.
//!
//! The log is bounded and in memory. A subscriber keeps a [`Cursor`] and reads page by page; one
//! that has been away for too long is told that there is a gap, never silently brought past it.
//! What an event says is the log's user's business: the log knows only whom it is about.

use std::{collections::VecDeque, fmt, str::FromStr, sync::Arc, time::SystemTime};

use crate::{
    by_call::ByCall,
    ids::{CallId, ConferenceName, RoomId},
};

/// An account's events.
#[derive(Debug)]
pub struct Log<T> {
    epoch: u64,
    /// The number of the oldest event that is kept, or of the next one.
    first: u64,
    events: VecDeque<Arc<Event<T>>>,
    events_max: usize,
    /// Of each call that is not over: how many events there were.
    calls: ByCall<u64>,
}

impl<T> Log<T> {
    /// An empty log that keeps [`EVENTS_MAX`] events.
    ///
    /// No two logs of an account may have the same `epoch`: a cursor outlives the log that gave
    /// it. The time of the start does.
    pub fn new(epoch: u64) -> Self {
        Self::with_room_for(EVENTS_MAX, epoch)
    }

    /// An empty log that keeps so many events, at least one.
    pub fn with_room_for(events_max: usize, epoch: u64) -> Self {
        let events_max = events_max.max(1);
        Self { epoch, first: 1, events: VecDeque::new(), events_max, calls: ByCall::default() }
    }

    /// Adds an event; the oldest gives way if the log is full.
    pub fn append(&mut self, at: SystemTime, about: About, what: T) -> Arc<Event<T>> {
        let About { call, room } = about;
        let call = call.map(|call| {
            let sequence = self.calls.get_or_default(call);
            *sequence += 1;
            InCall { call, sequence: *sequence }
        });
        let event = Arc::new(Event { id: self.next(), at, call, room, what });

        if self.events.len() == self.events_max {
            self.events.pop_front();
            self.first += 1;
        }
        self.events.push_back(Arc::clone(&event));
        event
    }

    /// A call is over: its events are not counted any more.
    pub fn forget(&mut self, call: CallId) {
        self.calls.remove(call);
    }

    /// What comes after a cursor, of what a filter lets through: at most `events_max` events.
    ///
    /// A page may be empty and yet not be the last one: a read looks at [`SCAN_MAX`] events, so
    /// that whoever waits for the log does not wait long.
    pub fn read(&self, cursor: Cursor, filter: &Filter, events_max: usize) -> Page<T> {
        let (start, gap) = self.start(cursor);
        let mut page = Page { gap, events: Vec::new(), cursor, is_last: true };
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
        page.cursor = Cursor::After(EventId { epoch: self.epoch, number: seen - 1 });
        page
    }

    /// The number to begin with, and what is missing before it.
    fn start(&self, cursor: Cursor) -> (u64, Option<Gap>) {
        let end = self.next().number;
        match cursor {
            Cursor::Now => (end, None),
            Cursor::Oldest => (self.first, None),
            Cursor::After(id) if id.epoch != self.epoch || end <= id.number => {
                (self.first, Some(Gap { missed: None }))
            }
            Cursor::After(id) => {
                let missed = self.first.saturating_sub(id.number + 1);
                let gap = (0 < missed).then_some(Gap { missed: Some(missed) });
                (self.first.max(id.number + 1), gap)
            }
        }
    }

    fn next(&self) -> EventId {
        EventId { epoch: self.epoch, number: self.first + self.events.len() as u64 }
    }
}

/// Something that happened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Event<T> {
    /// Its place in the log.
    pub id: EventId,
    /// When.
    pub at: SystemTime,
    /// The call that it is about, and its place among that call's events.
    pub call: Option<InCall>,
    /// The conference that it is about, and its place among that one's.
    pub room: Option<InRoom>,
    /// What.
    pub what: T,
}

/// Whom a new event is about.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct About {
    /// The call, if one; the log numbers its events.
    pub call: Option<CallId>,
    /// The conference, if one; it has numbered its notices itself.
    pub room: Option<InRoom>,
}

/// A place among a call's events.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct InCall {
    /// The call.
    pub call: CallId,
    /// From 1, without holes.
    pub sequence: u64,
}

/// A place among a conference's notices.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct InRoom {
    /// What its callers call it.
    pub name: ConferenceName,
    /// Which incarnation.
    pub room: RoomId,
    /// From 1, without holes.
    pub sequence: u64,
}

/// Names an event of an account: `1764000000-17`.
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

impl FromStr for EventId {
    type Err = BadEventId;

    fn from_str(text: &str) -> Result<Self, BadEventId> {
        let parse = |(epoch, number): (&str, &str)| {
            Some(Self { epoch: epoch.parse().ok()?, number: number.parse().ok()? })
        };
        text.trim().split_once('-').and_then(parse).ok_or(BadEventId)
    }
}

/// A text that names no event.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not the id of an event: give the last one that came, or none at all")]
pub struct BadEventId;

/// How far a subscriber has read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cursor {
    /// This one, and all before it (`Last-Event-ID`).
    After(EventId),
    /// All that has happened so far: only what comes is of interest.
    Now,
    /// Nothing: what is kept is of interest.
    Oldest,
}

/// Which events a subscriber wants; those that meet all it says.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Filter {
    /// Of this call only.
    pub call: Option<CallId>,
    /// Of the conferences of this name only, one incarnation after the other.
    pub conference: Option<ConferenceName>,
}

impl Filter {
    fn lets_through<T>(&self, event: &Event<T>) -> bool {
        let call = self.call.is_none_or(|it| event.call.is_some_and(|of| of.call == it));
        let room = event.room.as_ref();
        call && self.conference.as_ref().is_none_or(|it| room.is_some_and(|of| of.name == *it))
    }
}

/// What a read has found.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    /// Something happened between the cursor and the first event here that is not kept any more.
    pub gap: Option<Gap>,
    /// In order.
    pub events: Vec<Arc<Event<T>>>,
    /// Where to read on.
    pub cursor: Cursor,
    /// There is no more for now.
    pub is_last: bool,
}

/// Events that a subscriber has missed for good.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Gap {
    /// How many, whomever they were about; None if that cannot be said, since the cursor is of an
    /// older log.
    pub missed: Option<u64>,
}

/// A subscriber that is away while 1,000 members come and go a second has half a minute to come
/// back; the memory that this takes is some 20 MB for an account that does so.
pub const EVENTS_MAX: usize = 65_536;

/// A read holds up whoever appends; so many looks take some 50 µs.
pub const SCAN_MAX: u64 = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    const AT: SystemTime = SystemTime::UNIX_EPOCH;
    const EPOCH: u64 = 7;

    fn about(call: u128, name: &str) -> About {
        let name = (!name.is_empty()).then(|| name.parse().unwrap());
        About {
            call: (0 < call).then_some(CallId::of(call)),
            room: name.map(|name| InRoom { name, room: RoomId::of(1), sequence: 1 }),
        }
    }

    /// Ten events that say their own number; every second one is of call 1 in room "a".
    fn log(events_max: usize) -> Log<u64> {
        let mut log = Log::with_room_for(events_max, EPOCH);
        for n in 1..=10 {
            let about = if n % 2 == 0 { about(1, "a") } else { about(2, "") };
            log.append(AT, about, n);
        }
        log
    }

    fn after(epoch: u64, number: u64) -> Cursor {
        Cursor::After(EventId { epoch, number })
    }

    fn whats(page: &Page<u64>) -> Vec<u64> {
        page.events.iter().map(|it| it.what).collect()
    }

    #[test]
    fn each_event_has_its_place_in_the_log_and_among_its_calls() {
        let mut log = Log::new(EPOCH);
        let mut append = |call| {
            let event = log.append(AT, about(call, ""), ());
            (event.id.to_string(), event.call.map(|it| it.sequence))
        };

        assert_eq!(append(1), ("7-1".to_owned(), Some(1)));
        assert_eq!(append(2), ("7-2".to_owned(), Some(1)));
        assert_eq!(append(1), ("7-3".to_owned(), Some(2)));
        assert_eq!(append(0), ("7-4".to_owned(), None));
        log.forget(CallId::of(1));
        assert_eq!(log.calls.len(), 1);
    }

    #[test]
    fn a_cursor_leads_on_without_loss_and_a_gap_is_said() {
        let check = |cursor, events: &[u64], missed: Option<Option<u64>>| {
            let page = log(4).read(cursor, &Filter::default(), 100);
            assert_eq!(whats(&page), events, "{cursor:?}");
            assert_eq!(page.gap.map(|it| it.missed), missed, "{cursor:?}");
            assert_eq!((page.cursor, page.is_last), (after(EPOCH, 10), true), "{cursor:?}");
        };

        check(Cursor::Oldest, &[7, 8, 9, 10], None);
        check(Cursor::Now, &[], None);
        check(after(EPOCH, 10), &[], None);
        check(after(EPOCH, 8), &[9, 10], None);
        check(after(EPOCH, 6), &[7, 8, 9, 10], None);
        check(after(EPOCH, 5), &[7, 8, 9, 10], Some(Some(1)));
        check(after(EPOCH, 0), &[7, 8, 9, 10], Some(Some(6)));
        // Of a log before this one, or made up.
        check(after(EPOCH - 1, 8), &[7, 8, 9, 10], Some(None));
        check(after(EPOCH, 11), &[7, 8, 9, 10], Some(None));
        check(after(EPOCH, u64::MAX), &[7, 8, 9, 10], Some(None));
    }

    #[test]
    fn a_filter_lets_through_what_meets_all_it_says() {
        let check = |call: Option<u128>, conference: Option<&str>, expected: &[u64]| {
            let filter = Filter {
                call: call.map(CallId::of),
                conference: conference.map(|it| it.parse().unwrap()),
            };
            assert_eq!(whats(&log(10).read(Cursor::Oldest, &filter, 100)), expected);
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
        let filter = Filter { call: Some(CallId::of(1)), conference: None };
        for size in 1..=6 {
            let (mut cursor, mut all, mut pages) = (Cursor::Oldest, Vec::new(), 0);
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
        let mut log = Log::new(EPOCH);
        (0..SCAN_MAX).for_each(|n| drop(log.append(AT, about(2, ""), n)));
        log.append(AT, about(1, ""), SCAN_MAX);
        let filter = Filter { call: Some(CallId::of(1)), conference: None };
        let page = log.read(Cursor::Oldest, &filter, 1);
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
