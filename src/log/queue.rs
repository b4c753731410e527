//! What is on its way to the log's thread: one queue that all append to, so that what is told costs
//! no wake-up of its own.

use std::{io, mem, sync::Arc, time::SystemTime};

use parking_lot::{Condvar, Mutex};
use tracing_subscriber::fmt::MakeWriter;

use super::messages::Told;

/// Some tenths of a second of a busy engine.
const BYTES_MAX: usize = 8 * 1024 * 1024;
/// Of what is not in words yet: about as much as its lines will have.
const TOLD_BYTES: usize = 256;
/// What is kept for the next entries; what a burst has needed beyond is given back.
const ENTRIES_KEPT: usize = 512;

/// Takes whole lines, and what is to become some, and never waits for them to be written. Clones
/// are the same queue.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue(Arc<Shared>);

#[derive(Debug)]
pub(super) enum Entry {
    /// With its end.
    Line(Box<[u8]>),
    /// Something that has happened then.
    Told(SystemTime, Told),
}

/// They are many.
const _: () = assert!(size_of::<Entry>() <= TOLD_BYTES);

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    come: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    entries: Vec<Entry>,
    bytes: usize,
    lost: u64,
    is_over: bool,
}

/// What [`Queue::take`] has not taken.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Rest {
    /// Entries for which there was no room.
    pub(super) lost: u64,
    /// There will be no more.
    pub(super) is_over: bool,
}

impl Queue {
    /// Appends a line; one for which there is no room is lost, and counted.
    pub(super) fn push(&self, line: &[u8]) {
        self.append(line.len(), || Entry::Line(line.into()));
    }

    /// The same of what is put into words later.
    pub(super) fn tell(&self, at: SystemTime, told: Told) {
        self.append(TOLD_BYTES, || Entry::Told(at, told));
    }

    fn append(&self, bytes: usize, entry: impl FnOnce() -> Entry) {
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
            self.0.come.notify_one();
        }
    }

    /// Nobody will append any more.
    pub(super) fn end(&self) {
        self.0.waiting.lock().is_over = true;
        self.0.come.notify_one();
    }

    /// Waits for entries, and has them in place of those that are there.
    pub(super) fn take(&self, entries: &mut Vec<Entry>) -> Rest {
        entries.clear();
        entries.shrink_to(ENTRIES_KEPT);
        let mut waiting = self.0.waiting.lock();
        while waiting.entries.is_empty() && !waiting.is_over {
            self.0.come.wait(&mut waiting);
        }
        mem::swap(entries, &mut waiting.entries);
        waiting.bytes = 0;
        Rest { lost: mem::take(&mut waiting.lost), is_over: waiting.is_over }
    }

    /// Appends the lines that are there.
    pub(super) fn take_lines(&self, lines: &mut Vec<u8>) {
        let mut waiting = self.0.waiting.lock();
        for entry in waiting.entries.drain(..) {
            match entry {
                Entry::Line(line) => lines.extend(line),
                Entry::Told(..) => unreachable!("only lines are asked for where only lines come"),
            }
        }
        waiting.bytes = 0;
    }
}

impl io::Write for &Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> &'a Self {
        self
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// What has come, once it has.
    fn taken(queue: &Queue) -> (Rest, String) {
        let mut entries = vec![Entry::Line(Box::from(b"old\n".as_slice()))];
        let rest = queue.take(&mut entries);
        let lines = entries.into_iter().flat_map(|it| match it {
            Entry::Line(line) => line.into_vec(),
            Entry::Told(_, told) => panic!("{told:?} is no line"),
        });
        (rest, String::from_utf8(lines.collect()).unwrap())
    }

    #[test]
    fn lines_are_taken_together_and_in_order() {
        let queue = Queue::default();
        queue.push(b"a\n");
        queue.clone().push(b"b\n");
        assert_eq!(taken(&queue), (Rest { lost: 0, is_over: false }, "a\nb\n".to_owned()));
        queue.push(b"c\n");
        queue.end();
        assert_eq!(taken(&queue), (Rest { lost: 0, is_over: true }, "c\n".to_owned()));
    }

    #[test]
    fn what_there_is_no_room_for_is_counted_once() {
        let (queue, mut lines) = (Queue::default(), Vec::new());
        let line = vec![b'a'; BYTES_MAX / 2];
        (0..4).for_each(|_| queue.push(&line));
        let (rest, text) = taken(&queue);
        assert_eq!((rest, text.len()), (Rest { lost: 2, is_over: false }, BYTES_MAX));
        queue.push(b"a\n");
        assert_eq!(taken(&queue), (Rest { lost: 0, is_over: false }, "a\n".to_owned()));

        // Whoever takes lines alone makes room as well.
        for _ in 0..2 {
            (0..2).for_each(|_| queue.push(&line));
            queue.take_lines(&mut lines);
        }
        queue.end();
        assert_eq!((lines.len(), taken(&queue).0.lost), (2 * BYTES_MAX, 0));
    }

    #[test]
    fn whoever_waits_is_woken() {
        let queue = Queue::default();
        let waits = thread::spawn({
            let queue = queue.clone();
            move || taken(&queue)
        });
        queue.push(b"a\n");
        assert_eq!(waits.join().unwrap().1, "a\n");
    }
}
