//! Cache state: cached sounds and pending requests, under the lock of the cache.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::Arc,
};

use super::{
    super::{
        download::{Downloaded, Validity},
        files,
    },
    AccountShare, OnSound, Settings, SoundCacheGauges, SoundSource,
};
use crate::{audio::clip::SoundError, base::ids::AccountId, trace::FetchRecord};

/// Cache key: a source at a rate.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct SoundKey {
    pub(super) source: SoundSource,
    pub(super) rate: u32,
}

impl SoundKey {
    fn weight(&self, samples: &[i16]) -> usize {
        size_of_val(samples) + self.source.weight() + KEY_BYTES
    }
}

/// Approximate size of an entry without its samples and name, in bytes.
pub(super) const KEY_BYTES: usize = 300;

/// A job for a thread.
pub(super) struct SoundJob {
    pub(super) key: SoundKey,
    /// Result of the download, for web sounds.
    pub(super) web: Option<WebDownload>,
}

/// Result of a download.
pub(super) struct WebDownload {
    pub(super) outcome: Result<Downloaded, SoundError>,
    pub(super) record: FetchRecord,
    /// The cached sound when the download began.
    pub(super) before: Option<(Arc<[i16]>, Validity)>,
}

impl WebDownload {
    /// The file, if one came.
    pub(super) fn body(&self) -> bytes::Bytes {
        match &self.outcome {
            Ok(Downloaded::File { bytes, .. }) => bytes.clone(),
            Ok(Downloaded::Unchanged(_)) | Err(_) => bytes::Bytes::new(),
        }
    }
}

/// A newly produced sound.
pub(super) struct MadeSound {
    pub(super) samples: Arc<[i16]>,
    pub(super) freshness: Freshness,
}

/// How to find out whether a sound is current.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Freshness {
    /// The sound cannot change.
    None,
    /// Stamp of the file when it was read.
    File(files::FoundSoundFile),
    /// Freshness of a web file.
    Web(Validity),
}

#[derive(Default)]
pub(super) struct SoundCacheState {
    kept: HashMap<SoundKey, CachedSound>,
    /// Keys of `kept` in order of their last use.
    by_use: BTreeMap<u64, SoundKey>,
    uses: u64,
    /// Sum of the weights of `kept`.
    bytes: usize,
    /// Usage of web sounds by account.
    usage: HashMap<AccountId, AccountUsage>,
    /// Callbacks of sounds that are downloading, queued or in production.
    pub(super) waiting: HashMap<SoundKey, Vec<OnSound>>,
    pub(super) queue: VecDeque<SoundJob>,
    pub(super) closed: bool,
}

struct CachedSound {
    samples: Arc<[i16]>,
    used: u64,
    freshness: Freshness,
}

/// Usage of one account.
#[derive(Debug, Default)]
struct AccountUsage {
    /// Use numbers of its sounds, as in `by_use`.
    uses: BTreeSet<u64>,
    bytes: usize,
    waiting: usize,
}

impl SoundCacheState {
    pub(super) fn gauges(&self) -> SoundCacheGauges {
        SoundCacheGauges { sounds: self.kept.len(), bytes: self.bytes, making: self.waiting.len() }
    }

    /// Samples of a key; marks it as most recently used.
    pub(super) fn touch(&mut self, key: &SoundKey) -> Option<(Arc<[i16]>, Freshness)> {
        let kept = self.kept.get_mut(key)?;
        self.uses += 1;
        let before = std::mem::replace(&mut kept.used, self.uses);
        let found = (Arc::clone(&kept.samples), kept.freshness.clone());
        let key = self.by_use.remove(&before).expect("each kept key has its place in the order");
        if let Some(usage) = key.source.account().and_then(|it| self.usage.get_mut(it)) {
            usage.uses.remove(&before);
            usage.uses.insert(self.uses);
        }
        self.by_use.insert(self.uses, key);
        Some(found)
    }

    /// Samples of a key, without marking it as used.
    pub(super) fn samples(&self, key: &SoundKey) -> Option<Arc<[i16]>> {
        Some(Arc::clone(&self.kept.get(key)?.samples))
    }

    /// Samples and freshness of a cached web sound.
    pub(super) fn validity(&self, key: &SoundKey) -> Option<(Arc<[i16]>, Validity)> {
        let kept = self.kept.get(key)?;
        match &kept.freshness {
            Freshness::Web(validity) => Some((Arc::clone(&kept.samples), validity.clone())),
            Freshness::None | Freshness::File(_) => None,
        }
    }

    /// Checks the limits for one more request.
    pub(super) fn check_capacity(
        &self,
        key: &SoundKey,
        settings: &Settings,
    ) -> Result<(), SoundError> {
        let waiting = match key.source.account() {
            Some(account) => {
                let asked = self.usage.get(account).map_or(0, |it| it.waiting);
                Some(asked).filter(|it| settings.share.waiting_max <= *it)
            }
            None => Some(self.queue.len()).filter(|it| settings.waiting_max <= *it),
        };
        match waiting {
            Some(waiting) => {
                let message = format!("{waiting} sounds are waiting: try again later");
                Err(SoundError::temporary(message))
            }
            None => Ok(()),
        }
    }

    /// Adds the first callback that waits for a sound.
    pub(super) fn add_waiting(&mut self, key: SoundKey, done: OnSound) {
        if let Some(account) = key.source.account() {
            self.usage.entry(account.clone()).or_default().waiting += 1;
        }
        self.waiting.insert(key, vec![done]);
    }

    /// Removes and returns the callbacks that wait for a sound.
    pub(super) fn take_waiting(&mut self, key: &SoundKey) -> Vec<OnSound> {
        let Some(waiting) = self.waiting.remove(key) else { return Vec::new() };
        self.change_usage(key, |usage| usage.waiting -= 1);
        waiting
    }

    /// Caches a sound and drops the least recently used ones for it. A sound that would need all
    /// the memory is not cached.
    pub(super) fn keep(&mut self, key: SoundKey, made: MadeSound, settings: &Settings) {
        self.remove(&key);
        let (weight, share) = (key.weight(&made.samples), settings.share);
        let account = key.source.account().cloned();
        let own_max = if account.is_some() { share.bytes_max } else { usize::MAX };
        if weight > settings.bytes_max.min(own_max) {
            return;
        }
        if let Some(account) = &account {
            while let Some(oldest) = self.oldest_over(account, weight, share) {
                self.remove(&oldest);
            }
        }
        while self.bytes + weight > settings.bytes_max {
            let (_, oldest) = self.by_use.first_key_value().expect("what weighs is in the order");
            self.remove(&oldest.clone());
        }
        self.uses += 1;
        self.bytes += weight;
        if let Some(account) = account {
            let usage = self.usage.entry(account).or_default();
            usage.bytes += weight;
            usage.uses.insert(self.uses);
        }
        self.by_use.insert(self.uses, key.clone());
        self.kept.insert(
            key,
            CachedSound { samples: made.samples, used: self.uses, freshness: made.freshness },
        );
    }

    /// The account's least recently used sound, if one more would exceed its share.
    fn oldest_over(
        &self,
        account: &AccountId,
        weight: usize,
        share: AccountShare,
    ) -> Option<SoundKey> {
        let usage = self.usage.get(account)?;
        let is_over =
            share.sounds_max <= usage.uses.len() || share.bytes_max < usage.bytes + weight;
        let oldest = usage.uses.first().filter(|_| is_over)?;
        self.by_use.get(oldest).cloned()
    }

    pub(super) fn remove(&mut self, key: &SoundKey) {
        let Some(kept) = self.kept.remove(key) else { return };
        self.by_use.remove(&kept.used);
        let weight = key.weight(&kept.samples);
        self.bytes -= weight;
        self.change_usage(key, |usage| {
            usage.bytes -= weight;
            usage.uses.remove(&kept.used);
        });
    }

    /// Removes a sound that is no longer current, unless it was replaced meanwhile.
    pub(super) fn remove_if(&mut self, key: &SoundKey, freshness: &Freshness) {
        if self.kept.get(key).is_some_and(|kept| kept.freshness == *freshness) {
            self.remove(key);
        }
    }

    /// Changes the usage of an account; removes empty entries.
    fn change_usage(&mut self, key: &SoundKey, change: impl FnOnce(&mut AccountUsage)) {
        let Some(account) = key.source.account() else { return };
        let Some(usage) = self.usage.get_mut(account) else { return };
        change(usage);
        if usage.waiting == 0 && usage.uses.is_empty() {
            self.usage.remove(account);
        }
    }
}
