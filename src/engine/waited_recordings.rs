//! Waited recordings: those that flows have started, and that their calls wait for.
//!
//! A call that waits for its recording has an entry here from before the start until the call ends.
//! So the end of the file and the end of the call meet in one place, whichever comes first, and the
//! `action` is requested once.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;
use tokio::runtime::Handle;

use crate::{
    base::ids::{AccountId, CallId, Dialect, RecordingId},
    call::Party,
    flow::{RecordAction, RecordedFacts},
};

/// The recordings of calls that flows have started and that somebody waits for.
#[derive(Debug, Default)]
pub(super) struct ElementRecordings {
    /// Taken inside the lock of the recordings; inside it no other lock is taken.
    pub(super) waiting: Mutex<BTreeMap<CallId, WaitedRecording>>,
    /// Those of conversations, by the caller.
    pub(super) dialled: Mutex<BTreeMap<CallId, Vec<RecordingId>>>,
}

/// The recording that the flow of a call waits for.
#[derive(Debug)]
pub(super) struct WaitedRecording {
    pub(super) recording: RecordingId,
    /// The number by which the call knows it.
    pub(super) number: u32,
    pub(super) dialect: Dialect,
    /// None while the file is open.
    pub(super) facts: Option<RecordedFacts>,
    /// The request to make at the end of the file: the call has ended before.
    pub(super) action: Option<Box<EndedCallAction>>,
}

/// The `action` of a call that ended while its flow waited for the recording.
#[derive(Debug)]
pub(super) struct EndedCallAction {
    pub(super) call: CallId,
    pub(super) account: AccountId,
    pub(super) party: Arc<Party>,
    pub(super) action: RecordAction,
    /// That of the call's worker: the end of a file comes from another thread.
    pub(super) runtime: Option<Handle>,
}
