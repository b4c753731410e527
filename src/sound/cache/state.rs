//! What a cache keeps, and what it has been asked for: under its lock.

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
use crate::{audio::clip::SoundError, base::ids::AccountId};

/// What is kept under one name.
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

/// What an entry takes besides its samples and its name, about.
pub(super) const KEY_BYTES: usize = 300;

/// Something for a thread to make.
pub(super) struct SoundJob {
    pub(super) key: SoundKey,
    /// Of a sound of the web: what has come.
    pub(super) web: Option<WebDownload>,
}

/// What has come from the web.
pub(super) struct WebDownload {
    pub(super) outcome: Result<Downloaded, SoundError>,
    /// What was kept when it was asked for.
    pub(super) before: Option<(Arc<[i16]>, Validity)>,
}

/// A sound, fresh from the making.
pub(super) struct MadeSound {
    pub(super) samples: Arc<[i16]>,
    pub(super) freshness: Freshness,
}

/// By what it is known that a sound is still what it was.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Freshness {
    /// It cannot change.
    None,
    /// A file, as it was when it was read.
    File(files::FoundSoundFile),
    /// A file of the web.
    Web(Validity),
}

#[derive(Default)]
pub(super) struct SoundCacheState {
    kept: HashMap<SoundKey, CachedSound>,
    /// The keys of `kept` in the order of their use.
    by_use: BTreeMap<u64, SoundKey>,
    uses: u64,
    /// The sum of the weights of `kept`.
    bytes: usize,
    /// Of what is of the web: whose it is.
    usage: HashMap<AccountId, AccountUsage>,
    /// Who waits for which sound that is on its way, in the queue, or at a thread.
    pub(super) waiting: HashMap<SoundKey, Vec<OnSound>>,
    pub(super) queue: VecDeque<SoundJob>,
    pub(super) closed: bool,
}

struct CachedSound {
    samples: Arc<[i16]>,
    used: u64,
    freshness: Freshness,
}

/// What an account has.
#[derive(Debug, Default)]
struct AccountUsage {
    /// The uses of its sounds, as in the order of all.
    uses: BTreeSet<u64>,
    bytes: usize,
    waiting: usize,
}

impl SoundCacheState {
    pub(super) fn gauges(&self) -> SoundCacheGauges {
        SoundCacheGauges { sounds: self.kept.len(), bytes: self.bytes, making: self.waiting.len() }
    }

    /// The samples of a key, which is the last used from now on.
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

    /// The samples of a key, just to look.
    pub(super) fn samples(&self, key: &SoundKey) -> Option<Arc<[i16]>> {
        Some(Arc::clone(&self.kept.get(key)?.samples))
    }

    /// What is kept of the web under a key.
    pub(super) fn validity(&self, key: &SoundKey) -> Option<(Arc<[i16]>, Validity)> {
        let kept = self.kept.get(key)?;
        match &kept.freshness {
            Freshness::Web(validity) => Some((Arc::clone(&kept.samples), validity.clone())),
            Freshness::None | Freshness::File(_) => None,
        }
    }

    /// Whether one more may be asked for.
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
                let message = format!("{waiting} sounds wait to be made: later");
                Err(SoundError::temporary(message))
            }
            None => Ok(()),
        }
    }

    /// Somebody waits for a sound that nobody has waited for.
    pub(super) fn add_waiting(&mut self, key: SoundKey, done: OnSound) {
        if let Some(account) = key.source.account() {
            self.usage.entry(account.clone()).or_default().waiting += 1;
        }
        self.waiting.insert(key, vec![done]);
    }

    /// Nobody waits for it any more: those who did.
    pub(super) fn take_waiting(&mut self, key: &SoundKey) -> Vec<OnSound> {
        let Some(waiting) = self.waiting.remove(key) else { return Vec::new() };
        self.change_usage(key, |usage| usage.waiting -= 1);
        waiting
    }

    /// Keeps a sound, in place of those that were not used longest. One that would take all the
    /// room by itself is not kept.
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

    /// What an account has not used longest, if one more sound would be too much.
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

    /// Removes what is no longer current, unless it has been made anew meanwhile.
    pub(super) fn remove_if(&mut self, key: &SoundKey, freshness: &Freshness) {
        if self.kept.get(key).is_some_and(|kept| kept.freshness == *freshness) {
            self.remove(key);
        }
    }

    /// An account that has nothing takes no room.
    fn change_usage(&mut self, key: &SoundKey, change: impl FnOnce(&mut AccountUsage)) {
        let Some(account) = key.source.account() else { return };
        let Some(usage) = self.usage.get_mut(account) else { return };
        change(usage);
        if usage.waiting == 0 && usage.uses.is_empty() {
            self.usage.remove(account);
        }
    }
}
