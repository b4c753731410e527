//! Settings and gauges of the sound cache.

use std::sync::Arc;

use crate::audio::clip::SoundError;

/// Takes a sound, or the reason why there is none.
pub type OnSound = Box<dyn FnOnce(Result<Arc<[i16]>, SoundError>) + Send>;

/// How much a cache may hold, and how many threads fill it.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Samples and names, in bytes. What was not asked for longest goes first.
    pub bytes_max: usize,
    /// Threads that read files, have texts read, and decode.
    pub workers: usize,
    /// How many sounds may wait for a thread. More is a flood: it is refused.
    pub waiting_max: usize,
    /// What each account may have of the web.
    pub share: AccountShare,
}

impl Default for Settings {
    /// 128 MiB is two hours at 8 kHz. Four threads: some texts hold one up for ten seconds. A
    /// queue of 1,000 sentences is done in about as long.
    fn default() -> Self {
        Self {
            bytes_max: 128 << 20,
            workers: 4,
            waiting_max: 1_000,
            share: AccountShare::default(),
        }
    }
}

/// How full a cache is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct SoundCacheGauges {
    /// Sounds kept.
    pub sounds: usize,
    /// What they take, in bytes.
    pub bytes: usize,
    /// Sounds being made, or waiting for it.
    pub making: usize,
}

/// What one account may have of the web: so that no account fills the cache of all.
#[derive(Clone, Copy, Debug)]
pub struct AccountShare {
    /// Samples and names, in bytes.
    pub bytes_max: usize,
    /// Sounds kept.
    pub sounds_max: usize,
    /// Sounds on their way.
    pub waiting_max: usize,
}

impl Default for AccountShare {
    /// 32 MiB is half an hour at 8 kHz. A thousand sounds are an announcement service. Who waits
    /// for a hundred has a server that does not answer.
    fn default() -> Self {
        Self { bytes_max: 32 << 20, sounds_max: 1_000, waiting_max: 100 }
    }
}
