//! Index: the places of the latest rows, and of events to start reading at.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::frame::{self, Line, RowKey};

/// The place of a frame.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub(super) struct Place {
    /// The number of its segment.
    pub(super) segment: u32,
    /// The offset of its first byte in the segment.
    pub(super) offset: u32,
}

/// A place to start reading an account's events at.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Stop {
    /// The number of the event there.
    pub(super) number: u64,
    /// Its time, in microseconds since 1970.
    pub(super) at: u64,
    /// The frame that has it.
    pub(super) place: Place,
}

/// Events between two stops of an account, at most.
const STOP_EVENTS: u64 = 64;
/// Bytes from a stop to the last event before the next stop, at most: what a reader looks through.
pub(super) const STOP_BYTES: u32 = 256 << 10;

/// The events of one account.
#[derive(Clone, Debug, Default)]
pub(super) struct AccountEvents {
    /// In the order of their numbers.
    pub(super) stops: Vec<Stop>,
    /// The number of the last event; 0: none yet.
    pub(super) last: u64,
}

/// The places of everything that can be asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    /// The latest line of each key.
    pub(super) rows: HashMap<RowKey, Place>,
    /// The events of each account that has had one.
    pub(super) accounts: BTreeMap<Box<str>, AccountEvents>,
}

/// The index, and the frames that it has not taken yet.
///
/// A turn that writes waits for a copy of its frame, and not for the three or four places of a large
/// table that the frame changes: the log's own thread does that, or the first who looks. (A kick
/// takes a seventh longer where each turn does it.)
#[derive(Debug, Default)]
pub(super) struct LazyIndex {
    index: Index,
    /// Frames in the order in which they were written, and the place of each.
    frames: Vec<u8>,
    places: Vec<Place>,
    /// What the index has taken of `frames`, in bytes, and of `places`.
    taken: (usize, usize),
}

/// Bytes of frames that the index has not taken: beyond it, the turn that writes waits for all of them.
const BEHIND_MAX: usize = 4 << 20;
/// A longer frame is not copied.
const COPIED_MAX: usize = 64 << 10;

/// A stop in an index file: number, time and offset.
type StopRow = (u64, u64, u32);

/// What an index takes from one segment, in order: the content of an index file.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct SegmentIndex {
    /// Each key, and the last place in the segment that it has a line at; None: it has gone.
    pub(super) rows: Vec<(RowKey, Option<u32>)>,
    /// The stops of each account: number, time and offset.
    pub(super) stops: Vec<(Box<str>, Vec<StopRow>)>,
    /// The number of each account's last event.
    pub(super) last: Vec<(Box<str>, u64)>,
    /// The time of the latest event; 0: there is none.
    pub(super) newest: u64,
    /// The length of the segment's whole frames, in bytes.
    pub(super) length: u32,
    /// Whether the segment ends with a planned end.
    pub(super) is_closed: bool,
}

impl Index {
    /// Takes the lines of a frame.
    pub(super) fn apply(&mut self, lines: &[Line<'_>], place: Place) {
        for line in lines {
            self.rows.extend(line.keys().map(|key| (key, place)));
            match line {
                Line::Gone(key) => _ = self.rows.remove(key),
                Line::Event(event) => {
                    self.account(event.account).add(event.number, event.at, place);
                }
                Line::LastNumber { account, number } => {
                    let events = self.account(account);
                    events.last = events.last.max(*number);
                }
                Line::Header(_) | Line::Copied(_) | Line::Row { .. } | Line::Closed => (),
            }
        }
    }

    /// Takes what an index file says of a segment that is newer than all before.
    pub(super) fn add(&mut self, segment: u32, index: &SegmentIndex) {
        let place = |offset| Place { segment, offset };
        for (key, offset) in &index.rows {
            _ = match offset {
                Some(offset) => self.rows.insert(*key, place(*offset)),
                None => self.rows.remove(key),
            };
        }
        for (account, stops) in &index.stops {
            let stops = stops.iter().map(|(number, at, offset)| Stop {
                number: *number,
                at: *at,
                place: place(*offset),
            });
            self.account(account).stops.extend(stops);
        }
        for (account, last) in &index.last {
            let events = self.account(account);
            events.last = events.last.max(*last);
        }
    }

    /// Forgets the events of a segment that is removed.
    pub(super) fn forget(&mut self, segment: u32) {
        for events in self.accounts.values_mut() {
            events.stops.retain(|it| it.place.segment != segment);
        }
    }

    /// The keys whose latest line is in a segment or an older one, by their place.
    pub(super) fn rows_up_to(&self, segment: u32) -> Vec<(Place, RowKey)> {
        let rows = self.rows.iter().filter(|(_, place)| place.segment <= segment);
        let mut rows: Vec<_> = rows.map(|(key, place)| (*place, *key)).collect();
        rows.sort_unstable();
        rows
    }

    /// The time of the first event in a segment, in microseconds since 1970; 0: it has none.
    pub(super) fn first_at(&self, segment: u32) -> u64 {
        let first = |it: &AccountEvents| {
            let at = it.stops.partition_point(|stop| stop.place.segment < segment);
            it.stops.get(at).filter(|stop| stop.place.segment == segment).map(|stop| stop.at)
        };
        self.accounts.values().filter_map(first).min().unwrap_or(0)
    }

    fn account(&mut self, name: &str) -> &mut AccountEvents {
        if !self.accounts.contains_key(name) {
            self.accounts.insert(name.into(), AccountEvents::default());
        }
        self.accounts.get_mut(name).expect("it has just been added")
    }
}

impl LazyIndex {
    /// The index, after all that has been written.
    pub(super) fn get(&mut self) -> &mut Index {
        self.catch_up(usize::MAX);
        &mut self.index
    }

    /// Notes a frame that has been written.
    pub(super) fn note(&mut self, frame: &[u8], lines: &[Line<'_>], place: Place) {
        if COPIED_MAX < frame.len() {
            return self.get().apply(lines, place);
        }
        self.frames.extend_from_slice(frame);
        self.places.push(place);
        if BEHIND_MAX < self.frames.len() {
            self.catch_up(usize::MAX);
        }
    }

    /// Takes so many frames at most. Returns whether there are more.
    pub(super) fn catch_up(&mut self, frames_max: usize) -> bool {
        let Self { index, frames, places, taken } = self;
        for place in places[taken.1..].iter().take(frames_max) {
            let (lines, length) =
                frame::decode(&frames[taken.0..]).expect("it is as it was encoded");
            index.apply(&lines, *place);
            *taken = (taken.0 + length, taken.1 + 1);
        }
        let has_more = taken.1 < places.len();
        if !has_more {
            frames.clear();
            places.clear();
            *taken = (0, 0);
        }
        has_more
    }
}

impl AccountEvents {
    fn add(&mut self, number: u64, at: u64, place: Place) {
        self.last = self.last.max(number);
        let is_near = self.stops.last().is_some_and(|stop| {
            stop.place.segment == place.segment
                && number.saturating_sub(stop.number) < STOP_EVENTS
                && place.offset.saturating_sub(stop.place.offset) < STOP_BYTES
        });
        if !is_near {
            self.stops.push(Stop { number, at, place });
        }
    }

    /// The number of the oldest event that is kept; the next number if there is none.
    pub(super) fn first(&self) -> u64 {
        self.stops.first().map_or(self.last + 1, |it| it.number)
    }
}

impl SegmentIndex {
    /// Reads a segment's frames. Stops at the first that is not whole.
    pub(super) fn of_frames(bytes: &[u8]) -> Self {
        let (mut index, mut rows, mut own) = (Self::default(), BTreeMap::new(), Index::default());
        let mut rest = bytes;
        while let Some((lines, length)) = frame::decode(rest) {
            let offset = index.length;
            own.apply(&lines, Place { segment: 0, offset });
            for line in &lines {
                rows.extend(line.keys().map(|key| (key, Some(offset))));
                match line {
                    Line::Gone(key) => _ = rows.insert(*key, None),
                    Line::Event(event) => index.newest = index.newest.max(event.at),
                    Line::Header(_) | Line::Copied(_) | Line::Row { .. } => (),
                    Line::LastNumber { .. } | Line::Closed => (),
                }
            }
            index.is_closed = matches!(lines.last(), Some(Line::Closed));
            index.length += u32::try_from(length).expect("a segment is short");
            rest = &rest[length..];
        }
        index.rows = rows.into_iter().collect();
        for (account, events) in own.accounts {
            let stops = events.stops.iter().map(|it| (it.number, it.at, it.place.offset));
            index.stops.push((account.clone(), stops.collect()));
            index.last.push((account, events.last));
        }
        index
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: u128, body: &[u8]) -> Line<'_> {
        Line::Row { key: RowKey { kind: 1, id }, body }
    }

    /// Frames may be copied or taken at once, and be taken some at a time: the last one wins.
    #[test]
    fn the_index_is_that_of_all_frames_in_order_however_it_takes_them() {
        let long = vec![0; COPIED_MAX];
        let (mut lazy, mut eager) = (LazyIndex::default(), Index::default());
        for n in 0..200_u32 {
            let key = RowKey { kind: 1, id: u128::from(n % 7) };
            let line = match n % 11 {
                0 => row(key.id, &long),
                5 => Line::Gone(key),
                _ => row(key.id, b"short"),
            };
            let (mut frame, place) = (Vec::new(), Place { segment: 1, offset: n });
            frame::encode(std::slice::from_ref(&line), &mut frame);
            lazy.note(&frame, std::slice::from_ref(&line), place);
            eager.apply(&[line], place);
            if n % 13 == 0 {
                let left = lazy.places.len() - lazy.taken.1;
                assert_eq!(lazy.catch_up(3), 3 < left);
            }
        }
        assert!(!lazy.places.is_empty());
        assert_eq!(lazy.get().rows, eager.rows);
        assert!(lazy.frames.is_empty() && lazy.places.is_empty());
    }

    #[test]
    fn frames_that_wait_have_a_limit() {
        let (mut lazy, body) = (LazyIndex::default(), vec![0; COPIED_MAX / 2]);
        let mut frame = Vec::new();
        frame::encode(&[row(1, &body)], &mut frame);
        for n in 0..1_000 {
            lazy.note(&frame, &[row(1, &body)], Place { segment: 1, offset: n });
            assert!(lazy.frames.len() <= BEHIND_MAX);
        }
    }
}
