//! Sound cache: samples at the rates of legs, produced once by threads that may block.

mod settings;
mod state;

use std::{
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
    time::Duration,
};

use parking_lot::{Condvar, Mutex};
use tokio::time::Instant;

pub use self::settings::{AccountShare, OnSound, Settings, SoundCacheGauges};
use self::state::{Freshness, MadeSound, SoundCacheState, SoundJob, SoundKey, WebDownload};
use super::{
    SoundSource,
    download::{Download, DownloadRequest, Downloaded, Validity},
    files,
};
use crate::{
    audio::{
        clip::{Clip, SoundError},
        decode::decode,
        resample::resample,
    },
    base::ids::AccountId,
    speech::Speech,
    trace::{FetchRecord, excerpt},
};

/// Generates a built-in sound by its name (`hold`, `ring`, `beep`) and rate in samples per
/// second. None if there is no such sound.
pub type ToneMaker = Arc<dyn Fn(&str, u32) -> Option<Arc<[i16]>> + Send + Sync>;

/// The sound cache. Dropping it ends its threads.
pub struct SoundCache {
    shared: Arc<SharedSoundCache>,
}

impl SoundCache {
    /// Starts with no sounds; the threads start at once.
    ///
    /// # Errors
    ///
    /// The system refuses to start a thread.
    pub fn new(
        settings: Settings,
        speech: Arc<dyn Speech>,
        tones: ToneMaker,
        web: Arc<dyn Download>,
    ) -> std::io::Result<Self> {
        let (state, work) = (Mutex::default(), Condvar::new());
        let shared = SharedSoundCache { settings, speech, tones, web, state, work };
        // If a later step fails, dropping `cache` ends the threads that have started.
        let cache = Self { shared: Arc::new(shared) };
        for number in 0..settings.workers.max(1) {
            let shared = Arc::clone(&cache.shared);
            thread::Builder::new().name(format!("sound-{number}")).spawn(move || shared.work())?;
        }
        Ok(cache)
    }

    /// Produces a sound, or takes it from the cache. `done` is called during this call if the
    /// sound is cached, otherwise by a thread of the cache. Do not hold a lock that `done` takes.
    ///
    /// Never waits. A cached file is checked by one `stat` and read again if it has changed; for a
    /// web sound, the server is asked when its freshness ends. Concurrent requests for one sound
    /// produce it once. A failure is not cached.
    pub fn load(
        &self,
        source: &SoundSource,
        rate: u32,
        done: impl FnOnce(Result<Arc<[i16]>, SoundError>) + Send + 'static,
    ) {
        self.load_recorded(source, rate, |samples, _| done(samples));
    }

    /// As [`SoundCache::load`]; `done` also gets the record of the request that was made for it.
    pub fn load_recorded(
        &self,
        source: &SoundSource,
        rate: u32,
        done: impl FnOnce(Result<Arc<[i16]>, SoundError>, Option<Arc<FetchRecord>>) + Send + 'static,
    ) {
        let key = SoundKey { source: source.clone(), rate };
        match self.shared.kept(&key) {
            Some(samples) => done(Ok(samples), None),
            None => {
                if let Err((done, error)) =
                    SharedSoundCache::request(&self.shared, key, Box::new(done))
                {
                    done(Err(error), None);
                }
            }
        }
    }

    /// Produces a sound that will probably be requested.
    pub fn prepare(&self, source: &SoundSource, rate: u32) {
        self.load(source, rate, |_| ());
    }

    /// Current fill level, for metrics.
    pub fn gauges(&self) -> SoundCacheGauges {
        let state = self.shared.state.lock();
        state.gauges()
    }
}

impl Drop for SoundCache {
    /// Waiting requests fail; a busy thread ends after its current sound.
    fn drop(&mut self) {
        let asked = {
            let mut state = self.shared.state.lock();
            state.closed = true;
            state.queue.clear();
            mem::take(&mut state.waiting)
        };
        self.shared.work.notify_all();
        for done in asked.into_values().flatten() {
            call(done, Err(SoundError::temporary("the server is closing")), None);
        }
    }
}

/// Higher rates of legs: a sound cached at one of them is resampled instead of produced again.
const FINER_RATES: [u32; 2] = [48_000, 16_000];

/// If a server cannot say whether a sound has changed, the cached sound is used, and the
/// server is asked again after this time.
const ASK_AGAIN: Duration = Duration::from_secs(10);

struct SharedSoundCache {
    settings: Settings,
    speech: Arc<dyn Speech>,
    tones: ToneMaker,
    web: Arc<dyn Download>,
    state: Mutex<SoundCacheState>,
    work: Condvar,
}

impl SharedSoundCache {
    /// The sound, if it is cached and current.
    fn kept(&self, key: &SoundKey) -> Option<Arc<[i16]>> {
        let (samples, freshness) = self.state.lock().touch(key)?;
        // File system calls happen outside the lock.
        match &freshness {
            Freshness::None => return Some(samples),
            Freshness::File(found) if found.is_current() => return Some(samples),
            Freshness::Web(validity) if Instant::now() < validity.fresh_until => {
                return Some(samples);
            }
            // An unchanged file is not transferred again.
            Freshness::Web(_) => return None,
            Freshness::File(_) => (),
        }
        self.state.lock().remove_if(key, &freshness);
        None
    }

    /// Queues a sound, or adds the caller to those who wait for it.
    fn request(
        self: &Arc<Self>,
        key: SoundKey,
        done: OnSound,
    ) -> Result<(), (OnSound, SoundError)> {
        let mut state = self.state.lock();
        if let Some(waiting) = state.waiting.get_mut(&key) {
            waiting.push(done);
            return Ok(());
        }
        if let Err(error) = state.check_capacity(&key, &self.settings) {
            return Err((done, error));
        }
        state.add_waiting(key.clone(), done);
        let SoundSource::Web { account, url } = &key.source else {
            state.queue.push_back(SoundJob { key, web: None });
            self.work.notify_one();
            return Ok(());
        };
        let before = state.validity(&key);
        drop(state);
        self.download(account.clone(), url.clone(), before, key);
        Ok(())
    }

    /// Downloads a file; a thread of the cache decodes it.
    fn download(
        self: &Arc<Self>,
        account: AccountId,
        url: Arc<str>,
        before: Option<(Arc<[i16]>, Validity)>,
        key: SoundKey,
    ) {
        // A download does not keep the cache alive.
        let shared = Arc::downgrade(self);
        let known = before.as_ref().map(|(_, validity)| validity.clone());
        let done = move |outcome, record| {
            let Some(shared) = shared.upgrade() else { return };
            let mut state = shared.state.lock();
            if !state.closed {
                let web = Some(WebDownload { outcome, record, before });
                state.queue.push_back(SoundJob { key, web });
                shared.work.notify_one();
            }
        };
        self.web.begin(DownloadRequest { account, url, known }, Box::new(done));
    }

    /// Main loop of a thread.
    fn work(&self) {
        while let Some(SoundJob { key, web }) = self.next() {
            let request = web.as_ref().map(|it| (it.record.clone(), it.body()));
            // A panic is a bug that costs one sound, but not the thread.
            let made = catch_unwind(AssertUnwindSafe(|| self.make(&key, web)));
            let made = made.unwrap_or_else(|_| {
                tracing::error!("producing a sound panicked: this is a bug");
                Err(SoundError::permanent("the sound could not be produced: this is a bug"))
            });
            let (waiting, result) = {
                let mut state = self.state.lock();
                let samples = made.as_ref().map(|made| Arc::clone(&made.samples));
                let result = samples.map_err(Clone::clone);
                match made {
                    Ok(made) => state.keep(key.clone(), made, &self.settings),
                    Err(_) => state.remove(&key),
                }
                (state.take_waiting(&key), result)
            };
            let record = request.map(|(record, body)| Arc::new(judged(record, &body, &result)));
            for done in waiting {
                call(done, result.clone(), record.clone());
            }
        }
    }

    /// Waits for a job. None: the cache is closed.
    fn next(&self) -> Option<SoundJob> {
        let mut state = self.state.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some(job) = state.queue.pop_front() {
                return Some(job);
            }
            self.work.wait(&mut state);
        }
    }

    fn make(&self, key: &SoundKey, web: Option<WebDownload>) -> Result<MadeSound, SoundError> {
        let made = |clip: &Clip, freshness| {
            let samples = if clip.rate == key.rate {
                Arc::clone(&clip.samples)
            } else {
                resample(&clip.samples, clip.rate, key.rate).into()
            };
            Ok(MadeSound { samples, freshness })
        };
        match &key.source {
            SoundSource::Speech(utterance) => match self.finer(key) {
                Some(clip) => made(&clip, Freshness::None),
                None => made(&self.speech.speak(utterance)?, Freshness::None),
            },
            SoundSource::File { folder, name } => {
                let (found, bytes) = files::read(folder, name)?;
                made(&decode(&format!("flow:{name}"), &bytes)?, Freshness::File(found))
            }
            SoundSource::BuiltIn(name) => {
                let samples = (self.tones)(name, key.rate).ok_or_else(|| {
                    let name: String = name.chars().take(40).collect();
                    SoundError::permanent(format!(
                        "sound:{name}: the built-in sounds are hold, ring and beep"
                    ))
                })?;
                Ok(MadeSound { samples, freshness: Freshness::None })
            }
            SoundSource::Web { url, .. } => {
                let WebDownload { outcome, before, record: _ } =
                    web.expect("the job for a web sound has its download");
                match (outcome, before) {
                    (Ok(Downloaded::File { bytes, validity }), _) => {
                        made(&decode(without_query(url), &bytes)?, Freshness::Web(validity))
                    }
                    (Ok(Downloaded::Unchanged(validity)), Some((samples, _))) => {
                        Ok(MadeSound { samples, freshness: Freshness::Web(validity) })
                    }
                    (Err(error), Some((samples, validity))) if error.is_temporary() => {
                        tracing::debug!("a cached sound may be out of date: {error}");
                        let fresh_until = Instant::now() + ASK_AGAIN;
                        let validity = Validity { fresh_until, ..validity };
                        Ok(MadeSound { samples, freshness: Freshness::Web(validity) })
                    }
                    (Err(error), _) => Err(error),
                    (Ok(Downloaded::Unchanged(_)), None) => {
                        let message = format!(
                            "{}: the server answered 304 to a request without conditions",
                            without_query(url)
                        );
                        Err(SoundError::temporary(message))
                    }
                }
            }
        }
    }

    /// The same sound at a higher rate, if it is cached.
    fn finer(&self, key: &SoundKey) -> Option<Clip> {
        let state = self.state.lock();
        FINER_RATES.into_iter().filter(|rate| *rate > key.rate).find_map(|rate| {
            let finer = SoundKey { source: key.source.clone(), rate };
            Some(Clip { rate, samples: state.samples(&finer)? })
        })
    }
}

/// Removes the parts of a URL that may be secret.
fn without_query(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or(url)
}

/// The record of a download, with the error if the file is no sound.
fn judged(
    mut record: FetchRecord,
    body: &[u8],
    made: &Result<Arc<[i16]>, SoundError>,
) -> FetchRecord {
    if let (Err(error), None) = (made, &record.error) {
        record.error = Some(error.to_string().into());
        record.excerpt = excerpt(body);
    }
    record
}

/// Calls back. A panic in the callback is a bug, but does not end the thread.
fn call(done: OnSound, result: Result<Arc<[i16]>, SoundError>, record: Option<Arc<FetchRecord>>) {
    if catch_unwind(AssertUnwindSafe(|| done(result, record))).is_err() {
        tracing::error!("a callback for a sound panicked: this is a bug");
    }
}

#[cfg(test)]
mod tests;
