//! Recording archive: opens the recordings of a data folder, and looks after them as long as the process lives.

use std::{
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::Result;
use tokio::{
    select,
    sync::watch,
    time::{Instant, sleep_until},
};

use crate::{
    cli::{recordings::PublicUrl, settings::Count},
    config::{Config, KeepConfig, RecordingsConfig},
    engine::inbound::wall_clock,
    recording::{
        archive::RecordingArchive,
        files,
        retention::{KeepRule, KeepRules},
        store::StoredRecordings,
        url::UrlSigner,
    },
    store::{folder::DataFolder, rows::RowStore},
};

/// How often old recordings are looked for.
const SWEPT_EVERY: Duration = Duration::from_secs(3_600);
/// How often recordings are counted for the metrics.
const MEASURED_EVERY: Duration = Duration::from_secs(60);

/// The recordings of a running engine, with the rules that a reload replaces.
#[derive(Debug)]
pub(super) struct OpenRecordings {
    archive: Arc<RecordingArchive>,
    rules: watch::Sender<KeepRules>,
    http: SocketAddr,
}

impl OpenRecordings {
    /// Opens the recordings of a data folder, and begins to look after them. `path` is the file of
    /// `rows`, and `secret` the account-key.
    pub(super) fn open(
        folder: &DataFolder,
        (rows, path): (Arc<dyn RowStore>, &Path),
        secret: &[u8; 32],
        (config, http): (&Config, SocketAddr),
    ) -> Result<Arc<Self>> {
        let store = Arc::new(StoredRecordings::open(rows, path)?);
        let root = folder.folder(files::FOLDER)?;
        let (base, ttl) = url_settings(config, http);
        let signer = UrlSigner::new(secret, &base, ttl);
        let archive = Arc::new(RecordingArchive::new(store, root, signer));
        let rules = watch::Sender::new(keep_rules(&config.recordings));
        drop(tokio::spawn(keep(archive.clone(), rules.subscribe())));
        Ok(Arc::new(Self { archive, rules, http }))
    }

    /// The archive that the API and the engine share.
    pub(super) fn archive(&self) -> Arc<RecordingArchive> {
        self.archive.clone()
    }

    /// Applies the settings of URLs and of retention.
    pub(super) fn configure(&self, config: &Config) {
        let (base, ttl) = url_settings(config, self.http);
        self.archive.set_signer(self.archive.signer().with(&base, ttl));
        let rules = keep_rules(&config.recordings);
        self.rules.send_if_modified(|it| {
            let is_other = *it != rules;
            *it = rules;
            is_other
        });
    }
}

/// Scheme and host of the URLs, and how long they are good.
fn url_settings(config: &Config, http: SocketAddr) -> (String, Duration) {
    let scheme = if config.http_cert.is_some() { "https" } else { "http" };
    let base = match &config.recordings.url {
        Some(PublicUrl(url)) => url.clone(),
        None => format!("{scheme}://{http}"),
    };
    (base, Duration::from_secs(config.recordings.url_ttl.get().into()))
}

fn keep_rules(config: &RecordingsConfig) -> KeepRules {
    let default = keep_rule(config.keep_days, config.keep_gb);
    let own = config.accounts.iter();
    let own = own.map(|(id, KeepConfig { keep_days, keep_gb })| {
        (id.clone(), keep_rule(*keep_days, *keep_gb))
    });
    KeepRules { default, accounts: own.collect() }
}

/// The rule of these numbers; 0 is no limit.
fn keep_rule(days: Count<0, 36_500>, gigabytes: Count<0, 1_000_000>) -> KeepRule {
    let (days, gigabytes) = (u64::from(days.get()), u64::from(gigabytes.get()));
    KeepRule {
        age_max: (0 < days).then(|| Duration::from_secs(days * 86_400)),
        bytes_max: (0 < gigabytes).then_some(gigabytes * 1_000_000_000),
    }
}

/// Deletes old recordings, at the start, every hour, and whenever the rules change; counts those that
/// are left.
async fn keep(archive: Arc<RecordingArchive>, mut rules: watch::Receiver<KeepRules>) {
    let (mut sweep_at, mut measure_at) = (Instant::now(), Instant::now());
    loop {
        if sweep_at <= Instant::now() {
            let current = rules.borrow_and_update().clone();
            sweep(&archive, wall_clock(), &current).await;
            (sweep_at, measure_at) = (Instant::now() + SWEPT_EVERY, Instant::now());
        }
        if measure_at <= Instant::now() {
            if let Err(error) = archive.measure().await {
                tracing::error!("recordings cannot be counted: {error}");
            }
            measure_at = Instant::now() + MEASURED_EVERY;
        }
        select! {
            changed = rules.changed() => match changed {
                Ok(()) => sweep_at = Instant::now(),
                Err(_) => return,
            },
            () = sleep_until(sweep_at.min(measure_at)) => (),
        }
    }
}

async fn sweep(archive: &Arc<RecordingArchive>, now: SystemTime, rules: &KeepRules) {
    match archive.enforce(now, rules).await {
        Ok(0) => (),
        Ok(count) => tracing::info!(count, "recordings are deleted, as keep_days and keep_gb say"),
        Err(error) => tracing::error!("old recordings stay: {error}"),
    }
}
