//! Configuration of recordings: values of the table `[recordings]`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::ConfigError;
use crate::{
    base::ids::AccountId,
    cli::{
        recordings::{KeepSettings, Mp3Setting, PublicUrl, RecordingSettings},
        settings::Count,
    },
};

/// Checked values of the table `[recordings]`. 1 MB is 1,000,000 bytes, and 1 GB is 1,000 MB.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RecordingsConfig {
    /// Free space below which no recording begins.
    pub free_min_mb: Count<0, 1_000_000>,
    /// Free space below which running recordings end; not above `free_min_mb`.
    pub free_stop_mb: Count<0, 1_000_000>,
    /// Recordings at a time.
    pub max: Count<0, 100_000>,
    /// Days after which recordings are deleted; 0: never.
    pub keep_days: Count<0, 36_500>,
    /// Gigabytes of an account beyond which the oldest are deleted; 0: no limit.
    pub keep_gb: Count<0, 1_000_000>,
    /// Scheme and host in URLs; None: the address of the HTTP server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<PublicUrl>,
    /// Seconds for which a URL opens the audio without credentials.
    pub url_ttl: Count<1, 31_536_000>,
    /// Program that makes MP3 files.
    pub mp3: Mp3Setting,
    /// What single accounts keep.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub accounts: BTreeMap<AccountId, KeepConfig>,
}

/// What an account keeps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct KeepConfig {
    /// Days after which its recordings are deleted; 0: never.
    pub keep_days: Count<0, 36_500>,
    /// Gigabytes beyond which its oldest are deleted; 0: no limit.
    pub keep_gb: Count<0, 1_000_000>,
}

impl RecordingsConfig {
    pub(super) fn new(layer: RecordingSettings) -> Self {
        let keep_days = layer.keep_days.unwrap_or(Count::new(0));
        let keep_gb = layer.keep_gb.unwrap_or(Count::new(0));
        let own = |it: KeepSettings| KeepConfig {
            keep_days: it.keep_days.unwrap_or(keep_days),
            keep_gb: it.keep_gb.unwrap_or(keep_gb),
        };
        Self {
            free_min_mb: layer.free_min_mb.unwrap_or(Count::new(512)),
            free_stop_mb: layer.free_stop_mb.unwrap_or(Count::new(128)),
            max: layer.max.unwrap_or(Count::new(1_000)),
            keep_days,
            keep_gb,
            url: layer.url,
            url_ttl: layer.url_ttl.unwrap_or(Count::new(3_600)),
            mp3: layer.mp3.unwrap_or_default(),
            accounts: layer.accounts.into_iter().map(|(id, it)| (id, own(it))).collect(),
        }
    }

    /// Checks that the two marks of free space are in order.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let (min, stop) = (self.free_min_mb.get(), self.free_stop_mb.get());
        match stop <= min {
            true => Ok(()),
            false => Err(ConfigError::Incomplete(format!(
                "recordings.free_stop_mb is {stop}, above recordings.free_min_mb, {min}: a recording \
                 would end as soon as it begins; write a smaller one"
            ))),
        }
    }
}
