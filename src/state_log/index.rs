//! Index: the places of the latest rows, and of events to start reading at.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    hash::BuildHasherDefault,
    mem,
    sync::Arc,
};

use parking_lot::{MappedMutexGuard, Mutex, MutexGuard};
use serde::{Deserialize, Serialize};

use super::{
    frame::{self, EventLine, KEYS_MAX, Line, RowKey},
    key_hasher::KeyHasher,
};

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
    pub(super) rows: HashMap<RowKey, Place, BuildHasherDefault<KeyHasher>>,
    /// The events of each account that has had one.
    pub(super) accounts: BTreeMap<Box<str>, AccountEvents>,
}

/// The index, and notes of the frames that it has not taken yet.
///
/// A turn that writes leaves notes, and does not wait for the three or four places of a large table that
/// its frame changes: the log's own thread looks them up, without the lock that turns wait for, or the
/// first who asks. (A kick takes a seventh longer where each turn does it.)
#[derive(Debug, Default)]
pub(super) struct LazyIndex {
    shared: Arc<SharedIndex>,
    notes: Notes,
    /// The accounts of all notes so far: bounded by the number of accounts.
    accounts: BTreeSet<Arc<str>>,
    account_last: Option<Arc<str>>,
}

/// The index, and the notes that it is taking. Locked after the log, if both are.
#[derive(Debug, Default)]
pub(super) struct SharedIndex(Mutex<IndexState>);

#[derive(Debug, Default)]
struct IndexState {
    index: Index,
    /// Older than the notes of [`LazyIndex`].
    taking: Notes,
}

/// What frames change, in the order in which they were written.
#[derive(Debug, Default)]
struct Notes {
    frames: Vec<FrameNote>,
    keys: Vec<KeyNote>,
    events: Vec<EventNote>,
    /// How many of each the index has taken.
    taken: (usize, usize, usize),
}

#[derive(Debug)]
struct FrameNote {
    place: Place,
    /// The ends of its notes.
    keys: u32,
    events: u32,
}

/// A key that has a line in the frame, or has gone with it. In halves, since that takes less memory.
#[derive(Debug)]
struct KeyNote {
    kind: u8,
    is_gone: bool,
    id: [u64; 2],
}

#[derive(Debug)]
struct EventNote {
    account: Arc<str>,
    number: u64,
    /// None: the number is that of the account's last event, which is elsewhere.
    at: Option<u64>,
}

/// Keys or events that the index has not taken: beyond it, the turn that writes waits for all of them.
const BEHIND_MAX: usize = 256 << 10;
/// Memory for more keys than this is not kept.
const BEHIND_KEPT: usize = 64 << 10;

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

    fn take_key(&mut self, note: &KeyNote, place: Place) {
        _ = match note.is_gone {
            true => self.rows.remove(&note.key()),
            false => self.rows.insert(note.key(), place),
        };
    }

    fn take_event(&mut self, EventNote { account, number, at }: &EventNote, place: Place) {
        let events = self.account(account);
        match at {
            Some(at) => events.add(*number, *at, place),
            None => events.last = events.last.max(*number),
        }
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
    pub(super) fn get(&mut self) -> MappedMutexGuard<'_, Index> {
        let mut state = self.shared.0.lock();
        state.catch_up(usize::MAX);
        mem::swap(&mut self.notes, &mut state.taking);
        state.catch_up(usize::MAX);
        MutexGuard::map(state, |it| &mut it.index)
    }

    /// The part of it that needs no lock of the log.
    pub(super) fn shared(&self) -> Arc<SharedIndex> {
        self.shared.clone()
    }

    /// Hands all notes to the shared part, if that has taken those before. Returns whether there were
    /// any.
    pub(super) fn hand_over(&mut self) -> bool {
        let mut state = self.shared.0.lock();
        if state.taking.is_empty() {
            mem::swap(&mut self.notes, &mut state.taking);
        }
        !state.taking.is_empty()
    }

    /// Notes a frame that has been written.
    pub(super) fn note(&mut self, lines: &[Line<'_>], place: Place) {
        for line in lines {
            match line {
                Line::Event(EventLine { account, number, at, keys, body: _ }) => {
                    self.notes.add_keys(keys);
                    let (account, at) = (self.account(account), Some(*at));
                    self.notes.events.push(EventNote { account, number: *number, at });
                }
                Line::Copied(event) => self.notes.add_keys(&event.keys),
                Line::Row { key, body: _ } => self.notes.keys.push(KeyNote::new(*key, false)),
                Line::Gone(key) => self.notes.keys.push(KeyNote::new(*key, true)),
                Line::LastNumber { account, number } => {
                    let account = self.account(account);
                    self.notes.events.push(EventNote { account, number: *number, at: None });
                }
                Line::Header(_) | Line::Closed => (),
            }
        }
        self.notes.end_frame(place);
        if BEHIND_MAX < self.notes.keys.len().max(self.notes.events.len()) {
            drop(self.get());
        }
    }

    fn account(&mut self, name: &str) -> Arc<str> {
        if let Some(account) = self.account_last.as_ref().filter(|it| &***it == name) {
            return account.clone();
        }
        let account = self.accounts.get(name).cloned().unwrap_or_else(|| name.into());
        self.accounts.insert(account.clone());
        self.account_last = Some(account.clone());
        account
    }
}

impl SharedIndex {
    /// Takes the notes of frames, until they have so many keys. Returns whether there are more.
    pub(super) fn catch_up(&self, keys_max: usize) -> bool {
        let mut state = self.0.lock();
        let has_more = state.catch_up(keys_max);
        // A turn may wait for it.
        MutexGuard::unlock_fair(state);
        has_more
    }
}

impl IndexState {
    fn catch_up(&mut self, keys_max: usize) -> bool {
        let Self { index, taking } = self;
        let Notes { frames, keys, events, taken } = taking;
        let enough = taken.1.saturating_add(keys_max);
        for FrameNote { place, keys: keys_end, events: events_end } in &frames[taken.0..] {
            if enough <= taken.1 {
                break;
            }
            let (keys_end, events_end) = (*keys_end as usize, *events_end as usize);
            keys[taken.1..keys_end].iter().for_each(|it| index.take_key(it, *place));
            events[taken.2..events_end].iter().for_each(|it| index.take_event(it, *place));
            *taken = (taken.0 + 1, keys_end, events_end);
        }
        let has_more = taken.0 < frames.len();
        if !has_more {
            taking.clear();
        }
        has_more
    }
}

impl Notes {
    fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    fn add_keys(&mut self, keys: &[Option<RowKey>; KEYS_MAX]) {
        let keys = keys.iter().flatten();
        keys.for_each(|it| self.keys.push(KeyNote::new(*it, false)));
    }

    fn end_frame(&mut self, place: Place) {
        let end = |length: usize| u32::try_from(length).expect("notes have a limit");
        let (keys, events) = (end(self.keys.len()), end(self.events.len()));
        self.frames.push(FrameNote { place, keys, events });
    }

    fn clear(&mut self) {
        if BEHIND_KEPT < self.keys.capacity() {
            return *self = Self::default();
        }
        self.frames.clear();
        self.keys.clear();
        self.events.clear();
        self.taken = (0, 0, 0);
    }
}

impl KeyNote {
    fn new(RowKey { kind, id }: RowKey, is_gone: bool) -> Self {
        Self { kind, is_gone, id: [(id >> 64) as u64, id as u64] }
    }

    fn key(&self) -> RowKey {
        let [high, low] = self.id.map(u128::from);
        RowKey { kind: self.kind, id: high << 64 | low }
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

    /// The index may take some frames at a time, or all of them since somebody asks; the last one wins.
    #[test]
    fn the_index_is_that_of_all_frames_in_order_however_it_takes_them() {
        let (mut lazy, mut eager) = (LazyIndex::default(), Index::default());
        let shared = lazy.shared();
        let mut left = Vec::new();
        for n in 0..400_u32 {
            let key = RowKey { kind: 1, id: u128::from(n % 7) << 64 | 1 };
            let (account, number) = (["a", "b"][n as usize % 2], u64::from(n / 2 + 1));
            let keys = [Some(key), None, None, None];
            let line = match n % 11 {
                0..3 => Line::Event(EventLine { account, number, at: 0, keys, body: b"" }),
                3 => Line::LastNumber { account, number },
                5 => Line::Gone(key),
                _ => row(key.id, b"row"),
            };
            let lines = [line, row(u128::from(n % 3), b"row")];
            let place = Place { segment: 1, offset: n };
            lazy.note(&lines, place);
            eager.apply(&lines, place);
            match n % 13 {
                3 | 8 => _ = lazy.hand_over(),
                5 | 6 => left.push(shared.catch_up(3)),
                12 => assert_eq!(lazy.get().rows, eager.rows, "after {n}"),
                _ => (),
            }
        }
        assert!(left.contains(&true) && left.contains(&false), "{left:?}");
        let last = |index: &Index| {
            let accounts = index.accounts.iter();
            let all = accounts.map(|(name, it)| (name.clone(), it.last, it.stops.clone()));
            all.collect::<Vec<_>>()
        };
        assert_eq!(last(&lazy.get()), last(&eager));
        assert_eq!(lazy.get().rows, eager.rows);
        assert!(!lazy.hand_over(), "it has taken all");
    }

    #[test]
    fn notes_have_a_limit_and_give_their_memory_back() {
        let (mut lazy, rows) = (LazyIndex::default(), [row(1, b"a"), row(2, b"b")]);
        for offset in 0..300_000 {
            lazy.note(&rows, Place { segment: 1, offset });
            assert!(lazy.notes.keys.len() <= BEHIND_MAX);
        }
        assert_eq!(lazy.get().rows.len(), 2);
        assert!(lazy.notes.keys.capacity() <= BEHIND_KEPT);
        assert!(lazy.shared.0.lock().taking.keys.capacity() <= BEHIND_KEPT);
    }
}
