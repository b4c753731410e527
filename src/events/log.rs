//! One account's events, in the order in which they happened: what subscribers read from.
//!
//! The log is bounded and in memory. A subscriber keeps a [`Cursor`] and reads page by page; one
//! that has been away for too long is told that there is a gap, never silently brought past it.
//! What an event says is the log's user's business: the log knows only whom it is about.

use std::{collections::VecDeque, fmt, str::FromStr, sync::Arc, time::SystemTime};

use crate::base::ids::{CallId, ConferenceName};

/// An account's events.
#[derive(Debug)]
pub struct Log<T> {
    epoch: u64,
    /// The number of the oldest event that is kept, or of the next one.
    first: u64,
    events: VecDeque<Arc<Event<T>>>,
    events_max: usize,
}

impl<T: Topic> Log<T> {
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
        Self { epoch, first: 1, events: VecDeque::new(), events_max }
    }

    /// Adds an event; the oldest gives way if the log is full.
    pub fn append(&mut self, at: SystemTime, what: T) -> Arc<Event<T>> {
        let event = Arc::new(Event { number: self.next(), at, what });

        if self.events.len() == self.events_max {
            self.events.pop_front();
            self.first += 1;
        }
        self.events.push_back(Arc::clone(&event));
        event
    }

    /// What comes after a cursor, of what a filter lets through: at most `events_max` events.
    ///
    /// A page may be empty and yet not be the last one: a read looks at [`SCAN_MAX`] events, so
    /// that whoever waits for the log does not wait long.
    pub fn read(&self, cursor: Cursor, filter: &Filter, events_max: usize) -> Page<T> {
        let (start, gap) = self.start(cursor);
        let epoch = self.epoch;
        let mut page = Page { epoch, gap, events: Vec::new(), cursor, is_last: true };
        let offset = usize::try_from(start - self.first).unwrap_or(usize::MAX);
        let mut seen = start;
        for event in self.events.iter().skip(offset) {
            let is_full = page.events.len() == events_max || SCAN_MAX <= seen - start;
            if is_full {
                page.is_last = false;
                break;
            }
            if filter.lets_through(&event.what) {
                page.events.push(Arc::clone(event));
            }
            seen += 1;
        }
        page.cursor = Cursor::After(EventId { epoch, number: seen - 1 });
        page
    }

    /// The number to begin with, and what is missing before it.
    fn start(&self, cursor: Cursor) -> (u64, Option<Gap>) {
        let end = self.next();
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

    fn next(&self) -> u64 {
        self.first + self.events.len() as u64
    }
}

/// Something that happened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Event<T> {
    /// Its place in the log: from 1, without holes.
    pub number: u64,
    /// When.
    pub at: SystemTime,
    /// What.
    pub what: T,
}

/// What is logged says whom it is about.
pub trait Topic {
    /// The call, if one.
    fn call(&self) -> Option<CallId>;

    /// The conference, if one.
    fn conference(&self) -> Option<&ConferenceName>;
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
    fn lets_through(&self, what: &impl Topic) -> bool {
        let call = self.call.is_none_or(|it| what.call() == Some(it));
        let conference = self.conference.as_ref();
        call && conference.is_none_or(|it| what.conference() == Some(it))
    }
}

/// What a read has found.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    epoch: u64,
    /// Something happened between the cursor and the first event here that is not kept any more.
    pub gap: Option<Gap>,
    /// In order.
    pub events: Vec<Arc<Event<T>>>,
    /// Where to read on.
    pub cursor: Cursor,
    /// There is no more for now.
    pub is_last: bool,
}

impl<T> Page<T> {
    /// What an event of the page is called.
    pub fn id(&self, event: &Event<T>) -> EventId {
        EventId { epoch: self.epoch, number: event.number }
    }
}

/// Events that a subscriber has missed for good.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Gap {
    /// How many, whomever they were about; None if that cannot be said, since the cursor is of an
    /// older log.
    pub missed: Option<u64>,
}

/// A subscriber that is away while 1,000 members come and go a second has half a minute to come
/// back; the memory that this takes is some 15 MB for an account that does so.
pub const EVENTS_MAX: usize = 65_536;

/// A read holds up whoever appends; so many looks take some 50 µs.
pub const SCAN_MAX: u64 = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    const AT: SystemTime = SystemTime::UNIX_EPOCH;
    const EPOCH: u64 = 7;

    #[derive(Debug)]
    struct Told {
        n: u64,
        call: CallId,
        conference: Option<ConferenceName>,
    }

    impl Topic for Told {
        fn call(&self) -> Option<CallId> {
            Some(self.call)
        }

        fn conference(&self) -> Option<&ConferenceName> {
            self.conference.as_ref()
        }
    }

    fn told(n: u64, call: u128, name: &str) -> Told {
        let conference = (!name.is_empty()).then(|| name.parse().unwrap());
        Told { n, call: CallId::of(call), conference }
    }

    /// Ten events that say their own number; every second one is of call 1 in room "a".
    fn log(events_max: usize) -> Log<Told> {
        let mut log = Log::with_room_for(events_max, EPOCH);
        for n in 1..=10 {
            let (call, name) = if n % 2 == 0 { (1, "a") } else { (2, "") };
            log.append(AT, told(n, call, name));
        }
        log
    }

    fn after(epoch: u64, number: u64) -> Cursor {
        Cursor::After(EventId { epoch, number })
    }

    fn whats(page: &Page<Told>) -> Vec<u64> {
        page.events.iter().map(|it| it.what.n).collect()
    }

    #[test]
    fn each_event_has_its_place_in_the_log() {
        let page = log(9).read(Cursor::Oldest, &Filter::default(), 3);
        let ids: Vec<_> = page.events.iter().map(|it| page.id(it).to_string()).collect();
        assert_eq!(ids, ["7-2", "7-3", "7-4"]);
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
        (0..SCAN_MAX).for_each(|n| drop(log.append(AT, told(n, 2, ""))));
        log.append(AT, told(SCAN_MAX, 1, ""));
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
