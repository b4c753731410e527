//! Archive of recordings: the rows, files and URLs of a data folder, as the API, the engine and the
//! upkeep share them.

use std::{
    fs::File,
    io::{self, Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use parking_lot::RwLock;
use tokio::{sync::oneshot, task::spawn_blocking};

use super::{
    Recording, RecordingStore, files,
    retention::KeepRules,
    store::{RecordingUsage, StoredRecordings},
    url::UrlSigner,
};
use crate::{
    base::ids::Dialect,
    store::rows::{RowStoreError, WriteError},
};

/// The recordings of a data folder.
#[derive(Debug)]
pub struct RecordingArchive {
    store: Arc<StoredRecordings>,
    /// The folder of the files.
    root: PathBuf,
    signer: RwLock<Arc<UrlSigner>>,
    count: AtomicU64,
    bytes: AtomicU64,
}

/// The file of a recording, open for reading.
#[derive(Debug)]
pub struct OpenAudio {
    /// The file, at its start.
    pub file: File,
    /// Its size in bytes.
    pub length: u64,
}

/// The reason why a recording is not deleted.
#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    /// The file is still there, and so is the row.
    #[error("the file of the recording cannot be deleted: {0}")]
    File(io::Error),
    /// The file is gone, and the row is still there.
    #[error("the file of the recording is deleted, and its row is not ({0}): delete it again")]
    Row(WriteError),
}

impl RecordingArchive {
    /// The recordings whose files are below `root`.
    pub fn new(store: Arc<StoredRecordings>, root: PathBuf, signer: UrlSigner) -> Self {
        let signer = RwLock::new(Arc::new(signer));
        Self { store, root, signer, count: AtomicU64::new(0), bytes: AtomicU64::new(0) }
    }

    /// An archive that forgets, without files, for tests and benches.
    pub fn in_memory() -> Arc<Self> {
        let signer = UrlSigner::new(&[0; 32], "http://conflow.example", Duration::from_secs(60));
        Arc::new(Self::new(Arc::new(StoredRecordings::in_memory()), PathBuf::new(), signer))
    }

    /// The store of their rows.
    pub fn store(&self) -> &Arc<StoredRecordings> {
        &self.store
    }

    /// The folder of the files: [`Recording::path`] says where in it they are.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The signer in effect.
    pub fn signer(&self) -> Arc<UrlSigner> {
        self.signer.read().clone()
    }

    /// Replaces the signer, from the next URL on.
    pub fn set_signer(&self, signer: UrlSigner) {
        *self.signer.write() = Arc::new(signer);
    }

    /// The signed URL of a recording's audio, for `recording_url`, `url` and `RecordUrl`.
    pub fn url(&self, now: SystemTime, dialect: Dialect, recording: &Recording) -> String {
        self.signer().url(now, dialect, recording)
    }

    /// Opens the file of a complete recording. Reads the disk: call it where one may wait.
    ///
    /// # Errors
    ///
    /// The file is not there, or cannot be opened.
    pub fn open(&self, recording: &Recording) -> io::Result<OpenAudio> {
        let mut file = File::open(self.root.join(recording.path()))?;
        let length = file.seek(SeekFrom::End(0))?;
        file.rewind()?;
        Ok(OpenAudio { file, length })
    }

    /// Deletes a complete recording: the file first, since a full disk takes no row before.
    ///
    /// # Errors
    ///
    /// [`DeleteError`]; the call may be repeated.
    pub async fn delete(self: &Arc<Self>, recording: &Arc<Recording>) -> Result<(), DeleteError> {
        let (archive, deleted) = (self.clone(), recording.clone());
        let deleted = spawn_blocking(move || files::delete(&archive.root, &deleted)).await;
        deleted.map_err(io::Error::other).flatten().map_err(DeleteError::File)?;
        let (tell, written) = oneshot::channel();
        self.store.remove(recording, Box::new(move |it| drop(tell.send(it))));
        written.await.unwrap_or(Err(WriteError::Ended)).map_err(DeleteError::Row)
    }

    /// Deletes what the rules do not keep, and returns how many recordings. Each leaves an audit line.
    /// After an error with a recording, the rest of its account stays.
    ///
    /// # Errors
    ///
    /// [`RowStoreError`]: the rows cannot be read.
    pub async fn enforce(
        self: &Arc<Self>,
        now: SystemTime,
        rules: &KeepRules,
    ) -> Result<usize, RowStoreError> {
        let mut count = 0;
        if !rules.is_limit() {
            return Ok(count);
        }
        let usage = self.read(StoredRecordings::usage).await?;
        for RecordingUsage { account, bytes, .. } in usage {
            let rule = rules.of(&account);
            if !rule.is_limit() {
                continue;
            }
            let due = self.read(move |it| it.due(now, &account, rule, bytes)).await?;
            for recording in due.into_iter().map(Arc::new) {
                let Recording { id, account, .. } = &*recording;
                if let Err(error) = self.delete(&recording).await {
                    tracing::error!(%account, recording = %id, "an old recording stays: {error}");
                    break;
                }
                count += 1;
                let names = format!("recording={id}");
                tracing::info!(
                    target: "conflow::audit",
                    %account, by = "retention", method = "DELETE", names, "audit"
                );
            }
        }
        Ok(count)
    }

    /// Counts the recordings and their bytes for [`Self::measured`].
    ///
    /// # Errors
    ///
    /// [`RowStoreError`]: the rows cannot be read.
    pub async fn measure(self: &Arc<Self>) -> Result<(), RowStoreError> {
        let usage = self.read(StoredRecordings::usage).await?;
        self.count.store(usage.iter().map(|it| it.count).sum(), Relaxed);
        self.bytes.store(usage.iter().map(|it| it.bytes).sum(), Relaxed);
        Ok(())
    }

    /// The number of recordings and the size of their files, as they were measured last.
    pub fn measured(&self) -> (u64, u64) {
        (self.count.load(Relaxed), self.bytes.load(Relaxed))
    }

    /// Reads the rows on a thread that may wait for the disk.
    ///
    /// # Errors
    ///
    /// [`RowStoreError`]: that of `read`.
    pub async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&StoredRecordings) -> Result<T, RowStoreError> + Send + 'static,
    ) -> Result<T, RowStoreError> {
        let store = self.store.clone();
        let read = spawn_blocking(move || read(&store)).await;
        read.map_err(|error| RowStoreError(error.to_string()))?
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::{TempDir, tempdir};
    use uuid::Uuid;

    use super::*;
    use crate::{
        base::ids::{CallId, RecordingId},
        flow::RecordingFormat,
        media::RecordingChannels,
        recording::{
            RecordingEnd, RecordingEndReason, RecordingFilter,
            retention::{KeepRule, KeepRules},
        },
        store::{rows::RowStore, sqlite::Sqlite},
    };

    fn archive(temp: &TempDir) -> Arc<RecordingArchive> {
        let path = temp.path().join("s.db");
        let rows: Arc<dyn RowStore> = Arc::new(Sqlite::open(&path).unwrap());
        let store = Arc::new(StoredRecordings::open(rows, &path).unwrap());
        let signer = UrlSigner::new(&[7; 32], "http://a.example", Duration::from_secs(60));
        Arc::new(RecordingArchive::new(store, temp.path().join(files::FOLDER), signer))
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    /// Adds a recording of 100 bytes, with its file.
    async fn add(archive: &RecordingArchive, account: &str, n: u64) -> Arc<Recording> {
        let end = RecordingEnd {
            at: at(n + 1),
            duration: Duration::from_secs(1),
            bytes: 100,
            lost_samples: 0,
            format: RecordingFormat::Wav,
            reason: RecordingEndReason::HungUp,
        };
        let recording = Arc::new(Recording {
            id: RecordingId::of(n.into()),
            account: account.parse().unwrap(),
            call: CallId::of(1),
            from: "".into(),
            to: "".into(),
            conference: None,
            api_id: Uuid::from_u128(1),
            channels: RecordingChannels::Mono,
            format: RecordingFormat::Wav,
            started_at: at(n),
            callback: None,
            audience: None,
            end: Some(end),
        });
        let path = file(archive, &recording);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, [0; 100]).unwrap();
        let (tell, stored) = oneshot::channel();
        archive.store.put(recording.clone(), Box::new(move |it| tell.send(it).unwrap()));
        stored.await.unwrap().unwrap();
        recording
    }

    fn file(archive: &RecordingArchive, recording: &Recording) -> PathBuf {
        archive.root().join(recording.path())
    }

    #[tokio::test]
    async fn a_deleted_recording_leaves_neither_file_nor_row() {
        let temp = tempdir().unwrap();
        let archive = archive(&temp);
        let (one, two) = (add(&archive, "MA1", 1).await, add(&archive, "MA1", 2).await);
        assert_eq!(archive.open(&one).unwrap().length, 100);
        archive.measure().await.unwrap();
        assert_eq!(archive.measured(), (2, 200));
        archive.delete(&one).await.unwrap();
        assert!(!file(&archive, &one).exists() && file(&archive, &two).exists());
        let found = archive.store.find(&one.account, one.id).unwrap();
        assert_eq!(found, None);
        archive.delete(&one).await.unwrap();
        // A row without its file is deleted, too.
        fs::remove_file(file(&archive, &two)).unwrap();
        archive.delete(&two).await.unwrap();
        archive.measure().await.unwrap();
        assert_eq!(archive.measured(), (0, 0));
    }

    #[tokio::test]
    async fn what_the_rules_do_not_keep_is_deleted_account_by_account() {
        let temp = tempdir().unwrap();
        let archive = archive(&temp);
        for n in 0..5 {
            add(&archive, "MA1", n).await;
            add(&archive, "MA2", 10 + n).await;
        }
        let left = || {
            ["MA1", "MA2"].map(|account| {
                let account = account.parse().unwrap();
                archive.store.list(&account, &RecordingFilter::default(), 0, 1).unwrap().total
            })
        };
        let files = || files::list(archive.root()).unwrap().len();
        let rule = |age: Option<u64>, bytes_max| KeepRule {
            age_max: age.map(Duration::from_secs),
            bytes_max,
        };
        let enforce = async |default, of_second: Option<KeepRule>| {
            let accounts = of_second.map(|it| ("MA2".parse().unwrap(), it)).into_iter().collect();
            archive.enforce(at(20), &KeepRules { default, accounts }).await.unwrap()
        };
        assert_eq!((enforce(rule(None, None), None).await, left()), (0, [5, 5]));
        let own = Some(rule(None, None));
        assert_eq!((enforce(rule(None, Some(450)), own).await, left()), (1, [4, 5]));
        assert_eq!((enforce(rule(Some(17), None), None).await, left()), (2, [2, 5]));
        assert_eq!(files(), 7);
        // A file that cannot be deleted keeps those after it.
        let third = add(&archive, "MA2", 5).await;
        let third = file(&archive, &third);
        fs::remove_file(&third).unwrap();
        fs::create_dir(&third).unwrap();
        assert_eq!((enforce(rule(Some(0), None), None).await, left()), (2, [0, 6]));
    }
}
