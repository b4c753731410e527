//! Writer queue: what the threads that mix, and the handle, send to the writer of recordings.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
        mpsc::Sender,
    },
    time::{Instant, SystemTime},
};

use super::{Recording, RecordingEndReason};
use crate::{
    base::ids::RecordingId,
    flow::RecordingFormat,
    media::{RecordingBlock, RecordingChannels, RecordingSink},
};

/// Blocks of a recording on their way: seconds for which the disk may be busy.
pub(super) const BLOCKS_MAX: usize = 4;

/// A message to the writer.
#[derive(Debug)]
pub(super) enum WriterMessage {
    Begin(Box<NewFile>),
    Cut { id: RecordingId, at: Instant, on: bool },
    Block(RecordingId, RecordingBlock),
    End { id: RecordingId, at: Instant, reason: RecordingEndReason },
    Close,
}

/// A file to be begun.
#[derive(Debug)]
pub(super) struct NewFile {
    pub(super) id: RecordingId,
    pub(super) started_at: SystemTime,
    pub(super) wav: PathBuf,
    pub(super) format: RecordingFormat,
    pub(super) sink: Arc<WriterSink>,
}

/// The end of a recording to which the taps write.
#[derive(Debug)]
pub(super) struct WriterSink {
    id: RecordingId,
    pub(super) channels: RecordingChannels,
    pub(super) started: Instant,
    queue: Sender<WriterMessage>,
    /// Blocks on their way.
    blocks: AtomicUsize,
    /// Samples per channel that were dropped.
    lost: AtomicU64,
    pub(super) is_paused: AtomicBool,
    pub(super) is_cut: AtomicBool,
}

impl WriterSink {
    pub(super) fn new(
        recording: &Recording,
        started: Instant,
        queue: Sender<WriterMessage>,
    ) -> Self {
        Self {
            id: recording.id,
            channels: recording.channels,
            started,
            queue,
            blocks: AtomicUsize::new(0),
            lost: AtomicU64::new(0),
            is_paused: AtomicBool::new(false),
            is_cut: AtomicBool::new(false),
        }
    }

    /// Notes that a block has been taken from the queue.
    pub(super) fn block_taken(&self) {
        self.blocks.fetch_sub(1, Relaxed);
    }

    /// Samples per channel that were dropped.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }
}

impl RecordingSink for WriterSink {
    fn id(&self) -> RecordingId {
        self.id
    }

    fn channels(&self) -> RecordingChannels {
        self.channels
    }

    fn started(&self) -> Instant {
        self.started
    }

    fn is_paused(&self) -> bool {
        self.is_paused.load(Relaxed) || self.is_cut.load(Relaxed)
    }

    fn write(&self, block: RecordingBlock) {
        let samples = (block.samples.len() / usize::from(self.channels.count())) as u64;
        // One thread at a time writes to a sink, but for the moment in which a call moves.
        let is_full = BLOCKS_MAX <= self.blocks.fetch_add(1, Relaxed);
        if is_full || self.queue.send(WriterMessage::Block(self.id, block)).is_err() {
            self.blocks.fetch_sub(1, Relaxed);
            self.lost.fetch_add(samples, Relaxed);
        }
    }
}
