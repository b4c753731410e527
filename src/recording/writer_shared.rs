//! Shared state of the writer's threads: the recordings that are written, and who is told of their ends.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        OnceLock, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use parking_lot::Mutex;

use super::{RecordingEnd, port::RecordingListener, writer_queue::WriterSink};
use crate::base::ids::RecordingId;

/// What a writer's threads and its handle share.
#[derive(Debug, Default)]
pub(super) struct WriterShared {
    /// The space that was free a second ago, in bytes.
    free_bytes: AtomicU64,
    sinks: Mutex<BTreeMap<RecordingId, Weak<WriterSink>>>,
    listener: OnceLock<ListenerHandle>,
}

struct ListenerHandle(Weak<dyn RecordingListener>);

impl WriterShared {
    /// Tells this listener from now on. To be called once.
    pub(super) fn connect(&self, listener: Weak<dyn RecordingListener>) {
        let is_first = self.listener.set(ListenerHandle(listener)).is_ok();
        debug_assert!(is_first, "a writer is connected once");
    }

    pub(super) fn add(&self, id: RecordingId, sink: Weak<WriterSink>) {
        self.sinks.lock().insert(id, sink);
    }

    /// Does something to the sink of a recording that runs.
    pub(super) fn with(&self, id: RecordingId, change: impl FnOnce(&WriterSink)) {
        let sink = self.sinks.lock().get(&id).and_then(Weak::upgrade);
        if let Some(sink) = sink {
            change(&sink);
        }
    }

    pub(super) fn free_bytes(&self) -> u64 {
        self.free_bytes.load(Relaxed)
    }

    pub(super) fn set_free_bytes(&self, bytes: u64) {
        self.free_bytes.store(bytes, Relaxed);
    }

    /// Tells of the end of a recording.
    pub(super) fn report(&self, id: RecordingId, end: &RecordingEnd) {
        self.sinks.lock().remove(&id);
        let listener = self.listener.get().and_then(|it| it.0.upgrade());
        listener.into_iter().for_each(|it| it.recorded(id, end.clone()));
    }
}

impl fmt::Debug for ListenerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ListenerHandle")
    }
}
