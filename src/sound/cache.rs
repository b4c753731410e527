//! Sounds at the rate of a leg: made once, kept while there is room, by threads that may wait.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
};

use parking_lot::{Condvar, Mutex};

use super::{SoundError, Source, decode::decode, files, resample::resample};
use crate::speech::{Clip, Speech};

/// Makes built-in sounds: the name (`hold`, `ring`, `beep`) and the rate in samples per second.
/// None: there is no such sound.
pub type Tones = Arc<dyn Fn(&str, u32) -> Option<Arc<[i16]>> + Send + Sync>;

/// Takes a sound, or the reason why there is none.
pub type Done = Box<dyn FnOnce(Result<Arc<[i16]>, SoundError>) + Send>;

/// How much a cache may hold, and how many threads fill it.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Samples and names, in bytes. What was not asked for longest goes first.
    pub bytes_max: usize,
    /// Threads that read files and have texts read.
    pub workers: usize,
    /// How many sounds may wait for a thread. More is a flood: it is refused.
    pub waiting_max: usize,
}

impl Default for Settings {
    /// 128 MiB is two hours at 8 kHz. Four threads: some texts hold one up for ten seconds. A
    /// queue of 1,000 sentences is done in about as long.
    fn default() -> Self {
        Self { bytes_max: 128 << 20, workers: 4, waiting_max: 1_000 }
    }
}

/// How full a cache is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Gauges {
    /// Sounds kept.
    pub sounds: usize,
    /// What they take, in bytes.
    pub bytes: usize,
    /// Sounds being made, or waiting for it.
    pub making: usize,
}

/// The cache. Its threads end with it.
pub struct Cache {
    shared: Arc<Shared>,
}

impl Cache {
    /// An empty cache; the threads start at once.
    ///
    /// # Errors
    ///
    /// The machine gives no more threads.
    pub fn new(settings: Settings, speech: Arc<dyn Speech>, tones: Tones) -> std::io::Result<Self> {
        let shared =
            Shared { settings, speech, tones, state: Mutex::default(), work: Condvar::new() };
        // From here on, the threads that have started end when `cache` is dropped.
        let cache = Self { shared: Arc::new(shared) };
        for number in 0..settings.workers.max(1) {
            let shared = Arc::clone(&cache.shared);
            thread::Builder::new().name(format!("sound-{number}")).spawn(move || shared.work())?;
        }
        Ok(cache)
    }

    /// Has a sound made, or takes it from the cache: then `done` is called before this returns,
    /// else by a thread of the cache. Holding a lock that `done` takes is a deadlock.
    ///
    /// Waits for nothing: a kept file is looked at (one `stat`), and made anew if it has changed.
    /// The same sound asked for twice is made once. What fails is tried anew the next time.
    pub fn load(
        &self,
        source: &Source,
        rate: u32,
        done: impl FnOnce(Result<Arc<[i16]>, SoundError>) + Send + 'static,
    ) {
        let key = Key { source: source.clone(), rate };
        match self.shared.kept(&key) {
            Some(samples) => done(Ok(samples)),
            None => {
                if let Err((done, error)) = self.shared.ask(key, Box::new(done)) {
                    done(Err(error));
                }
            }
        }
    }

    /// Has a sound made that will be asked for.
    pub fn prepare(&self, source: &Source, rate: u32) {
        self.load(source, rate, |_| ());
    }

    /// How full it is now.
    pub fn gauges(&self) -> Gauges {
        let state = self.shared.state.lock();
        Gauges { sounds: state.kept.len(), bytes: state.bytes, making: state.asked.len() }
    }
}

impl Drop for Cache {
    /// Whoever waits gets an error; a thread at work ends after it.
    fn drop(&mut self) {
        let asked = {
            let mut state = self.shared.state.lock();
            state.closed = true;
            state.queue.clear();
            mem::take(&mut state.asked)
        };
        self.shared.work.notify_all();
        for done in asked.into_values().flatten() {
            call(done, Err(SoundError::temporary("the server is closing")));
        }
    }
}

/// What is kept under one name.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Key {
    source: Source,
    rate: u32,
}

impl Key {
    fn weight(&self, samples: &[i16]) -> usize {
        size_of_val(samples) + self.source.weight() + KEY_BYTES
    }
}

/// What an entry takes besides its samples and its name, about.
const KEY_BYTES: usize = 300;

/// Rates of legs, the finer ones: a sound kept at one of them need not be made again.
const FINER_RATES: [u32; 2] = [48_000, 16_000];

struct Shared {
    settings: Settings,
    speech: Arc<dyn Speech>,
    tones: Tones,
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Default)]
struct State {
    kept: HashMap<Key, Kept>,
    /// The keys of `kept` in the order of their use.
    by_use: BTreeMap<u64, Key>,
    uses: u64,
    /// The sum of the weights of `kept`.
    bytes: usize,
    /// Who waits for which sound that is in the queue or at a thread.
    asked: HashMap<Key, Vec<Done>>,
    queue: VecDeque<Key>,
    closed: bool,
}

struct Kept {
    samples: Arc<[i16]>,
    used: u64,
    /// Of a file: as it was when it was read.
    found: Option<files::Found>,
}

/// A sound, fresh from the making.
struct Made {
    samples: Arc<[i16]>,
    found: Option<files::Found>,
}

impl Shared {
    /// The sound, if it is kept and still current.
    fn kept(&self, key: &Key) -> Option<Arc<[i16]>> {
        let (samples, found) = {
            let mut state = self.state.lock();
            let samples = state.touch(key)?;
            (samples, state.kept.get(key)?.found.clone())
        };
        // The disk is asked without the lock.
        if found.as_ref().is_none_or(files::Found::is_current) {
            return Some(samples);
        }
        let mut state = self.state.lock();
        if state.kept.get(key).is_some_and(|kept| kept.found == found) {
            state.remove(key);
        }
        None
    }

    /// Puts a sound on the list, or its caller among those who wait for it.
    fn ask(&self, key: Key, done: Done) -> Result<(), (Done, SoundError)> {
        let mut state = self.state.lock();
        if let Some(waiting) = state.asked.get_mut(&key) {
            waiting.push(done);
            return Ok(());
        }
        if state.queue.len() >= self.settings.waiting_max {
            let complaint = format!("{} sounds wait to be made: later", state.queue.len());
            return Err((done, SoundError::temporary(complaint)));
        }
        state.queue.push_back(key.clone());
        state.asked.insert(key, vec![done]);
        self.work.notify_one();
        Ok(())
    }

    /// A thread's life.
    fn work(&self) {
        while let Some(key) = self.next() {
            // A panic is a bug, and one sound; it is not the thread.
            let made = catch_unwind(AssertUnwindSafe(|| self.make(&key)));
            let made = made.unwrap_or_else(|_| {
                tracing::error!(?key, "a sound could not be made: a bug");
                Err(SoundError::lasting("the sound could not be made: a bug"))
            });
            let (waiting, result) = {
                let mut state = self.state.lock();
                let result = made.map(|made| {
                    let samples = Arc::clone(&made.samples);
                    state.keep(key.clone(), made, self.settings.bytes_max);
                    samples
                });
                (state.asked.remove(&key).unwrap_or_default(), result)
            };
            for done in waiting {
                call(done, result.clone());
            }
        }
    }

    /// Waits for something to do. None: the cache is closed.
    fn next(&self) -> Option<Key> {
        let mut state = self.state.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some(key) = state.queue.pop_front() {
                return Some(key);
            }
            self.work.wait(&mut state);
        }
    }

    fn make(&self, key: &Key) -> Result<Made, SoundError> {
        let made = |clip: &Clip, found| {
            let samples = if clip.rate == key.rate {
                Arc::clone(&clip.samples)
            } else {
                resample(&clip.samples, clip.rate, key.rate).into()
            };
            Ok(Made { samples, found })
        };
        match &key.source {
            Source::Speech(utterance) => match self.finer(key) {
                Some(clip) => made(&clip, None),
                None => made(&self.speech.speak(utterance)?, None),
            },
            Source::File { folder, name } => {
                let (found, bytes) = files::read(folder, name)?;
                made(&decode(&format!("flow:{name}"), &bytes)?, Some(found))
            }
            Source::BuiltIn(name) => {
                let samples = (self.tones)(name, key.rate).ok_or_else(|| {
                    let name: String = name.chars().take(40).collect();
                    SoundError::lasting(format!("sound:{name}: there are hold, ring and beep"))
                })?;
                Ok(Made { samples, found: None })
            }
            Source::Web(url) => {
                let complaint =
                    format!("{url}: sounds of the web cannot be had yet; use flow:FILE");
                Err(SoundError::lasting(complaint))
            }
        }
    }

    /// The same text at a finer rate, if it is kept.
    fn finer(&self, key: &Key) -> Option<Clip> {
        let state = self.state.lock();
        FINER_RATES.into_iter().filter(|rate| *rate > key.rate).find_map(|rate| {
            let finer = Key { source: key.source.clone(), rate };
            Some(Clip { rate, samples: Arc::clone(&state.kept.get(&finer)?.samples) })
        })
    }
}

impl State {
    /// The samples of a key, which is the last used from now on.
    fn touch(&mut self, key: &Key) -> Option<Arc<[i16]>> {
        let kept = self.kept.get_mut(key)?;
        self.uses += 1;
        let before = mem::replace(&mut kept.used, self.uses);
        let key = self.by_use.remove(&before).expect("each kept key has its place in the order");
        self.by_use.insert(self.uses, key);
        Some(Arc::clone(&kept.samples))
    }

    /// Keeps a sound, in place of those that were not used longest. One that would take all the
    /// room by itself is not kept.
    fn keep(&mut self, key: Key, made: Made, bytes_max: usize) {
        self.remove(&key);
        let weight = key.weight(&made.samples);
        if weight > bytes_max {
            return;
        }
        while self.bytes + weight > bytes_max {
            let (_, oldest) = self.by_use.first_key_value().expect("what weighs is in the order");
            self.remove(&oldest.clone());
        }
        self.uses += 1;
        self.bytes += weight;
        self.by_use.insert(self.uses, key.clone());
        self.kept.insert(key, Kept { samples: made.samples, used: self.uses, found: made.found });
    }

    fn remove(&mut self, key: &Key) {
        if let Some(kept) = self.kept.remove(key) {
            self.by_use.remove(&kept.used);
            self.bytes -= key.weight(&kept.samples);
        }
    }
}

/// Calls back; a panic in there is a bug, and not the thread's end.
fn call(done: Done, result: Result<Arc<[i16]>, SoundError>) {
    if catch_unwind(AssertUnwindSafe(|| done(result))).is_err() {
        tracing::error!("who waited for a sound panicked: a bug");
    }
}

#[cfg(test)]
mod tests;
