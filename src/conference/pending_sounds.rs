//! Sound documents that are on their way.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};

use crate::{
    base::ids::{CallId, MemberId},
    call::{Call, Party},
};

/// The sound documents that are being fetched.
#[derive(Debug, Default)]
pub(super) struct PendingSounds {
    pub(super) number_last: u32,
    pub(super) pending: BTreeMap<u32, PendingSound>,
}

#[derive(Debug)]
pub(super) struct PendingSound {
    pub(super) place: SoundPlace,
    /// The document is dropped if it comes later.
    pub(super) expires_at: Option<Instant>,
}

/// The call for which a document is fetched.
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

/// The hearers of a sound.
#[derive(Clone, Debug)]
pub(super) enum SoundPlace {
    /// A callee that is asked to confirm.
    Callee(MemberId),
    /// Members on hold, as long as they are on that hold.
    Held(BTreeSet<MemberId>),
    /// All members at the time when it comes, except the deaf.
    Room,
    /// One member, while they wait.
    Waiting(MemberId),
}

impl PendingSounds {
    /// Gives up on a document that is too late; it is ignored when it comes.
    pub(super) fn forget(&mut self, number: u32) {
        self.pending.remove(&number);
    }
}
