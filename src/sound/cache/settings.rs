//! Settings and gauges of the sound cache.

use std::sync::Arc;

use crate::{audio::clip::SoundError, trace::FetchRecord};

/// Receives a sound or the reason for the failure, and the record of the request that was made for it;
/// None of a sound that is cached, or not of the web. Called exactly once.
pub type OnSound = Box<dyn FnOnce(Result<Arc<[i16]>, SoundError>, Option<Arc<FetchRecord>>) + Send>;

/// Limits of a cache, and its number of threads.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Bytes of samples and names. The least recently used sounds are dropped first.
    pub bytes_max: usize,
    /// Threads that read files, synthesize speech and decode.
    pub workers: usize,
    /// Sounds that may wait for a thread. Further requests are refused.
    pub waiting_max: usize,
    /// Limits of each account for web sounds.
    pub share: AccountShare,
}

impl Default for Settings {
    /// 128 MiB is two hours at 8 kHz. Four threads, because some texts occupy one for ten seconds.
    /// A queue of 1,000 sentences takes about as long.
    fn default() -> Self {
        Self {
            bytes_max: 128 << 20,
            workers: 4,
            waiting_max: 1_000,
            share: AccountShare::default(),
        }
    }
}

/// Fill level of a cache, for metrics.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct SoundCacheGauges {
    /// Number of cached sounds.
    pub sounds: usize,
    /// Bytes of their samples and names.
    pub bytes: usize,
    /// Sounds in production or waiting for a thread.
    pub making: usize,
}

/// Limits of one account for web sounds, so that no account fills the cache.
#[derive(Clone, Copy, Debug)]
pub struct AccountShare {
    /// Bytes of samples and names.
    pub bytes_max: usize,
    /// Number of cached sounds.
    pub sounds_max: usize,
    /// Sounds that are downloading or waiting for a thread.
    pub waiting_max: usize,
}

impl Default for AccountShare {
    /// 32 MiB is half an hour at 8 kHz. A thousand sounds are enough for an announcement service.
    /// An account with a hundred waiting sounds has a server that does not respond.
    fn default() -> Self {
        Self { bytes_max: 32 << 20, sounds_max: 1_000, waiting_max: 100 }
    }
}
