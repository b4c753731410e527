//! Reader: pages of an account's events, from the segments.

use std::io;

use super::{
    frame::{self, Line},
    index::{STOP_BYTES, Stop},
    log::{Inner, StateLog},
    segment::Segment,
};

/// An event that was read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EventRecord {
    /// Its number in the account.
    pub number: u64,
    /// The wall clock time, in microseconds since 1970.
    pub at: u64,
    /// The event, in the format of the log's user.
    pub body: Vec<u8>,
}

/// A page of events.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct EventsRead {
    /// The number of the oldest event that is kept; the next number if there is none.
    pub first: u64,
    /// In the order of their numbers, without gaps but for damaged segments.
    pub events: Vec<EventRecord>,
}

/// Bytes that are read at once: what lies between two stops, and the longest usual frame.
const READ_BYTES: usize = 320 << 10;

impl StateLog {
    /// Reads the events of an account from a number on, at most `events_max`. It reads files: call it
    /// where one may wait.
    pub fn events(&self, account: &str, from: u64, events_max: usize) -> io::Result<EventsRead> {
        let (mut read, parts) = {
            let mut inner = self.shared.inner.lock();
            let Inner { index, segments, .. } = &mut *inner;
            let index = index.get();
            let Some(events) = index.accounts.get(account) else {
                return Ok(EventsRead { first: 1, events: Vec::new() });
            };
            let read = EventsRead { first: events.first(), events: Vec::new() };
            let start = events.stops.partition_point(|it| it.number <= from).saturating_sub(1);
            // The stops of a page lie at most one event apart.
            let stops = events.stops[start..].iter().take(events_max.max(1) + 1);
            let part = |it: &Stop| Some((*it, segments.get(&it.place.segment)?.clone()));
            (read, stops.filter_map(part).collect::<Vec<_>>())
        };
        let ends = parts.iter().skip(1).map(|(stop, _)| Some(*stop)).chain([None]);
        for ((stop, segment), end) in parts.iter().zip(ends) {
            read.take(account, from, events_max, (*stop, segment), end)?;
            if events_max <= read.events.len() {
                break;
            }
        }
        Ok(read)
    }

    /// The number of the last event of an account; 0 if it has had none.
    pub fn last_number(&self, account: &str) -> u64 {
        let mut inner = self.shared.inner.lock();
        let index = inner.index.get();
        index.accounts.get(account).map_or(0, |it| it.last)
    }

    /// The number of an event to read from for what happened since a time, in microseconds since
    /// 1970: events from there on may be older, and none before it is younger.
    pub fn number_before(&self, account: &str, since: u64) -> u64 {
        let mut inner = self.shared.inner.lock();
        let index = inner.index.get();
        let Some(events) = index.accounts.get(account) else { return 1 };
        let at = events.stops.partition_point(|it| it.at < since).saturating_sub(1);
        events.stops.get(at).map_or(events.last + 1, |it| it.number)
    }
}

impl EventsRead {
    /// Takes an account's events from a stop on, until the next stop.
    fn take(
        &mut self,
        account: &str,
        from: u64,
        events_max: usize,
        (stop, segment): (Stop, &Segment),
        end: Option<Stop>,
    ) -> io::Result<()> {
        let end = end.map_or(u64::MAX, |it| it.number);
        let mut offset = stop.place.offset;
        // The last event of the account before the next stop begins before this.
        let behind = stop.place.offset.saturating_add(STOP_BYTES);
        while offset < segment.length.min(behind) {
            let mut bytes = segment.read(offset, READ_BYTES)?;
            if frame::length(&bytes).is_some_and(|it| bytes.len() < it) {
                bytes = segment.read_frame(offset)?;
            }
            let mut rest = &bytes[..];
            while let Some((lines, length)) = frame::decode(rest) {
                for line in &lines {
                    let Line::Event(event) = line else { continue };
                    if event.account != account || event.number < from {
                        continue;
                    }
                    if end <= event.number || events_max <= self.events.len() {
                        return Ok(());
                    }
                    let (number, at, body) = (event.number, event.at, event.body.to_vec());
                    self.events.push(EventRecord { number, at, body });
                }
                rest = &rest[length..];
                offset += u32::try_from(length).expect("a frame is short");
            }
            if rest.len() == bytes.len() {
                // A damaged frame: what follows it in this segment is unreadable.
                return Ok(());
            }
        }
        Ok(())
    }
}
