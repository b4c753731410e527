//! Lines on their way to the log's thread: one buffer that all append to, so that a line costs
//! neither memory nor a wake-up of its own.

use std::{io, mem, sync::Arc};

use parking_lot::{Condvar, Mutex};
use tracing_subscriber::fmt::MakeWriter;

/// Some tenths of a second of a busy engine, at 250 bytes a line.
const BYTES_MAX: usize = 4 * 1024 * 1024;
/// What is kept for the next lines; what a burst has needed beyond is given back.
const BYTES_KEPT: usize = 64 * 1024;

/// Takes whole lines, and never waits for them to be written. Clones are the same queue.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    come: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: Vec<u8>,
    lost: u64,
    is_over: bool,
}

/// What [`Queue::take`] has not taken.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Rest {
    /// Lines for which there was no room.
    pub(super) lost: u64,
    /// There will be no more.
    pub(super) is_over: bool,
}

impl Queue {
    /// Appends a line; one for which there is no room is lost, and counted.
    pub(super) fn push(&self, line: &[u8]) {
        let mut waiting = self.0.waiting.lock();
        if BYTES_MAX < waiting.lines.len() + line.len() {
            waiting.lost += 1;
            return;
        }
        let was_empty = waiting.lines.is_empty();
        waiting.lines.extend_from_slice(line);
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

    /// Waits for lines, and has them in place of those that are there.
    pub(super) fn take(&self, lines: &mut Vec<u8>) -> Rest {
        lines.clear();
        lines.shrink_to(BYTES_KEPT);
        let mut waiting = self.0.waiting.lock();
        while waiting.lines.is_empty() && !waiting.is_over {
            self.0.come.wait(&mut waiting);
        }
        mem::swap(lines, &mut waiting.lines);
        Rest { lost: mem::take(&mut waiting.lost), is_over: waiting.is_over }
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
    use super::*;

    #[test]
    fn lines_are_taken_together_and_in_order() {
        let (queue, mut lines) = (Queue::default(), b"old".to_vec());
        queue.push(b"a\n");
        queue.clone().push(b"b\n");
        assert_eq!(queue.take(&mut lines), Rest { lost: 0, is_over: false });
        assert_eq!(lines, b"a\nb\n");
        queue.push(b"c\n");
        queue.end();
        assert_eq!(queue.take(&mut lines), Rest { lost: 0, is_over: true });
        assert_eq!(lines, b"c\n");
    }

    #[test]
    fn what_there_is_no_room_for_is_counted_once() {
        let (queue, mut lines) = (Queue::default(), Vec::new());
        let line = vec![b'a'; BYTES_MAX / 2];
        (0..4).for_each(|_| queue.push(&line));
        assert_eq!(queue.take(&mut lines), Rest { lost: 2, is_over: false });
        assert_eq!(lines.len(), BYTES_MAX);
        queue.push(b"a\n");
        assert_eq!(queue.take(&mut lines), Rest { lost: 0, is_over: false });
        assert_eq!(lines, b"a\n");
        assert!(lines.capacity() <= BYTES_KEPT);
    }

    #[test]
    fn whoever_waits_is_woken() {
        let queue = Queue::default();
        let taken = std::thread::spawn({
            let (queue, mut lines) = (queue.clone(), Vec::new());
            move || (queue.take(&mut lines), lines)
        });
        queue.push(b"a\n");
        let (rest, lines) = taken.join().unwrap();
        assert_eq!((rest, &*lines), (Rest { lost: 0, is_over: false }, b"a\n".as_slice()));
    }
}
