//! Sound documents that are on their way.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use crate::{
    base::ids::{CallId, MemberId},
    call::{Call, Party},
};

/// The sound documents that are on their way.
#[derive(Debug, Default)]
pub(super) struct PendingSounds {
    pub(super) number_last: u32,
    pub(super) pending: BTreeMap<u32, PendingSound>,
}

#[derive(Debug)]
pub(super) struct PendingSound {
    pub(super) place: SoundPlace,
    /// When it is no longer wanted.
    pub(super) expires_at: Option<Instant>,
}

/// On whose behalf a document is fetched.
#[derive(Clone, Debug)]
pub(super) struct SoundRequester {
    pub(super) call: CallId,
    pub(super) party: Arc<Party>,
}

impl From<&Call> for SoundRequester {
    fn from(call: &Call) -> Self {
        Self { call: call.id, party: call.party.clone() }
    }
}

/// Where a sound is heard.
#[derive(Clone, Copy, Debug)]
pub(super) enum SoundPlace {
    /// By all who are in the room when it comes.
    Room,
    /// By a member, while it waits.
    Waiting(MemberId),
}

impl PendingSounds {
    /// A document is too late: whoever brings it finds nobody who waits for it.
    pub(super) fn forget(&mut self, number: u32) {
        self.pending.remove(&number);
    }
}
