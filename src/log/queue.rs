//! Log queue: one buffer that all threads append to, so that an entry costs no wake-up of its own.
//!
//! `store/queue.rs` says why the two are not one type. The crate `tracing-appender` (0.2.5) takes
//! lines that are formatted already; here most entries become text on the log's thread.

use std::{io, mem, sync::Arc, time::SystemTime};

use parking_lot::{Condvar, Mutex};
use tracing_subscriber::fmt::MakeWriter;

use super::messages::DeferredEvent;

/// Some tenths of a second of a busy engine.
const BYTES_MAX: usize = 8 * 1024 * 1024;
/// Assumed size of an entry that is not formatted yet: about the size of its lines.
const DEFERRED_BYTES: usize = 256;
/// Capacity that is kept for the next entries; what a burst has needed beyond it is freed.
const ENTRIES_KEPT: usize = 512;

/// Takes formatted lines and deferred events, and never waits for the writer. Clones share one
/// queue.
#[derive(Clone, Debug, Default)]
pub(super) struct LogQueue(Arc<SharedLogQueue>);

#[derive(Debug)]
pub(super) enum LogEntry {
    /// A formatted line, with its newline.
    Line(Box<[u8]>),
    /// An event that is formatted later, with its time.
    Deferred(SystemTime, DeferredEvent),
}

/// Many entries wait at once, so they must be small.
const _: () = assert!(size_of::<LogEntry>() <= DEFERRED_BYTES);

#[derive(Debug, Default)]
struct SharedLogQueue {
    waiting: Mutex<WaitingEntries>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct WaitingEntries {
    entries: Vec<LogEntry>,
    bytes: usize,
    lost: u64,
    is_over: bool,
}

/// Result of [`LogQueue::take`], besides the entries.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct TakeOutcome {
    /// Entries that were dropped since the last call, for lack of space.
    pub(super) lost: u64,
    /// Whether the queue has ended.
    pub(super) is_over: bool,
}

impl LogQueue {
    /// Appends a line. If there is no space, it is dropped and counted.
    pub(super) fn push(&self, line: &[u8]) {
        self.append(line.len(), || LogEntry::Line(line.into()));
    }

    /// Appends an event that is formatted later, under the same limit.
    pub(super) fn push_deferred(&self, at: SystemTime, event: DeferredEvent) {
        self.append(DEFERRED_BYTES, || LogEntry::Deferred(at, event));
    }

    fn append(&self, bytes: usize, entry: impl FnOnce() -> LogEntry) {
        let mut waiting = self.0.waiting.lock();
        if BYTES_MAX < waiting.bytes + bytes {
            waiting.lost += 1;
            return;
        }
        let was_empty = waiting.entries.is_empty();
        waiting.entries.push(entry());
        waiting.bytes += bytes;
        drop(waiting);
        if was_empty {
            self.0.arrived.notify_one();
        }
    }

    /// Ends the queue: the reader stops once it is empty.
    pub(super) fn end(&self) {
        self.0.waiting.lock().is_over = true;
        self.0.arrived.notify_one();
    }

    /// Waits for entries, and replaces the content of `entries` by them.
    pub(super) fn take(&self, entries: &mut Vec<LogEntry>) -> TakeOutcome {
        entries.clear();
        entries.shrink_to(ENTRIES_KEPT);
        let mut waiting = self.0.waiting.lock();
        while waiting.entries.is_empty() && !waiting.is_over {
            self.0.arrived.wait(&mut waiting);
        }
        mem::swap(entries, &mut waiting.entries);
        waiting.bytes = 0;
        TakeOutcome { lost: mem::take(&mut waiting.lost), is_over: waiting.is_over }
    }

    /// Moves all queued lines to `lines`.
    pub(super) fn take_lines(&self, lines: &mut Vec<u8>) {
        let mut waiting = self.0.waiting.lock();
        for entry in waiting.entries.drain(..) {
            match entry {
                LogEntry::Line(line) => lines.extend(line),
                LogEntry::Deferred(..) => {
                    unreachable!("this queue has formatted lines only")
                }
            }
        }
        waiting.bytes = 0;
    }
}

impl io::Write for &LogQueue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogQueue {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> &'a Self {
        self
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// Waits for entries and returns them.
    fn taken(queue: &LogQueue) -> (TakeOutcome, String) {
        let mut entries = vec![LogEntry::Line(Box::from(b"old\n".as_slice()))];
        let rest = queue.take(&mut entries);
        let lines = entries.into_iter().flat_map(|it| match it {
            LogEntry::Line(line) => line.into_vec(),
            LogEntry::Deferred(_, event) => panic!("{event:?} is no line"),
        });
        (rest, String::from_utf8(lines.collect()).unwrap())
    }

    #[test]
    fn lines_are_taken_together_and_in_order() {
        let queue = LogQueue::default();
        queue.push(b"a\n");
        queue.clone().push(b"b\n");
        assert_eq!(taken(&queue), (TakeOutcome { lost: 0, is_over: false }, "a\nb\n".to_owned()));
        queue.push(b"c\n");
        queue.end();
        assert_eq!(taken(&queue), (TakeOutcome { lost: 0, is_over: true }, "c\n".to_owned()));
    }

    #[test]
    fn what_there_is_no_room_for_is_counted_once() {
        let (queue, mut lines) = (LogQueue::default(), Vec::new());
        let line = vec![b'a'; BYTES_MAX / 2];
        (0..4).for_each(|_| queue.push(&line));
        let (rest, text) = taken(&queue);
        assert_eq!((rest, text.len()), (TakeOutcome { lost: 2, is_over: false }, BYTES_MAX));
        queue.push(b"a\n");
        assert_eq!(taken(&queue), (TakeOutcome { lost: 0, is_over: false }, "a\n".to_owned()));

        // Taking lines alone frees space, too.
        for _ in 0..2 {
            (0..2).for_each(|_| queue.push(&line));
            queue.take_lines(&mut lines);
        }
        queue.end();
        assert_eq!((lines.len(), taken(&queue).0.lost), (2 * BYTES_MAX, 0));
    }

    #[test]
    fn a_waiting_taker_is_woken() {
        let queue = LogQueue::default();
        let waits = thread::spawn({
            let queue = queue.clone();
            move || taken(&queue)
        });
        queue.push(b"a\n");
        assert_eq!(waits.join().unwrap().1, "a\n");
    }
}
