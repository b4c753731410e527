//! Recording store in memory, for tests: rows last as long as the process.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;

use super::{Recording, RecordingFilter, RecordingPage, RecordingStore};
use crate::{
    base::ids::{AccountId, RecordingId},
    store::rows::{OnCommit, RowStoreError},
};

/// Rows in memory, which never fail.
#[derive(Debug, Default)]
pub struct MemoryRecordings(Mutex<BTreeMap<RecordingId, Arc<Recording>>>);

impl RecordingStore for MemoryRecordings {
    fn put(&self, recording: Arc<Recording>, on_stored: OnCommit) {
        self.0.lock().insert(recording.id, recording);
        on_stored(Ok(()));
    }

    fn remove(&self, recording: &Recording, on_stored: OnCommit) {
        self.0.lock().remove(&recording.id);
        on_stored(Ok(()));
    }

    fn find(
        &self,
        account: &AccountId,
        id: RecordingId,
    ) -> Result<Option<Arc<Recording>>, RowStoreError> {
        Ok(self.0.lock().get(&id).filter(|it| it.account == *account).cloned())
    }

    fn list(
        &self,
        account: &AccountId,
        filter: &RecordingFilter,
        offset: usize,
        limit: usize,
    ) -> Result<RecordingPage, RowStoreError> {
        let rows = self.0.lock();
        let is_meant = |it: &&Arc<Recording>| it.account == *account && filter.matches(it);
        let mut recordings: Vec<_> = rows.values().filter(is_meant).cloned().collect();
        recordings.sort_by_key(|it| std::cmp::Reverse((it.started_at, it.id)));
        let total = recordings.len();
        let recordings = recordings.into_iter().skip(offset).take(limit).collect();
        Ok(RecordingPage { recordings, total })
    }

    fn running(&self) -> Result<Vec<Arc<Recording>>, RowStoreError> {
        Ok(self.0.lock().values().filter(|it| it.end.is_none()).cloned().collect())
    }
}
