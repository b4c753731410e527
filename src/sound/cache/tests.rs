//! Tests of the sound cache.

use std::{
    fs,
    path::Path,
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
};

use super::{state::KEY_BYTES, *};
use crate::{
    audio::{decode::tests::TONES, wav},
    sound::download,
    speech::{SpeechError, Utterance},
};

/// Fake speech: one sample at 16 kHz for each byte of the text, after waiting at a gate.
struct Reader {
    read: AtomicUsize,
    gate: Mutex<mpsc::Receiver<()>>,
}

impl Speech for Reader {
    fn reads(&self, _: &str) -> bool {
        true
    }

    fn speak(&self, utterance: &Utterance) -> Result<Clip, SpeechError> {
        // The gate is dropped: it stays open.
        let _open = self.gate.lock().recv();
        let text = &*utterance.text;
        let times = self.read.fetch_add(1, Ordering::SeqCst);
        match text {
            "panic" => panic!("intended by the test"),
            "fail once" if times == 0 => Err(SpeechError::temporary("not now")),
            _ => Ok(Clip { rate: 16_000, samples: vec![7; text.len()].into() }),
        }
    }
}

/// Records requests; the test responds to them.
#[derive(Default)]
struct FakeDownload(Mutex<Vec<(DownloadRequest, download::OnDownload)>>);

impl Download for FakeDownload {
    fn begin(&self, ask: DownloadRequest, done: download::OnDownload) {
        self.0.lock().push((ask, done));
    }
}

struct World {
    cache: SoundCache,
    reader: Arc<Reader>,
    download: Arc<FakeDownload>,
    /// Lets one text pass; dropping it lets all pass.
    gate: Option<mpsc::Sender<()>>,
}

fn world(bytes_max: usize, workers: usize) -> World {
    let (gate, closed) = mpsc::channel();
    let reader = Arc::new(Reader { read: AtomicUsize::new(0), gate: Mutex::new(closed) });
    let tones: ToneMaker =
        Arc::new(|name, rate| (name == "beep").then(|| vec![9; rate as usize].into()));
    let share = AccountShare { bytes_max: bytes_max / 2, sounds_max: 3, waiting_max: 4 };
    let settings = Settings { bytes_max, workers, waiting_max: 3, share };
    let (speech, far) = (Arc::clone(&reader) as _, Arc::<FakeDownload>::default());
    let cache = SoundCache::new(settings, speech, tones, far.clone()).unwrap();
    World { cache, reader, download: far, gate: Some(gate) }
}

fn open(bytes_max: usize) -> World {
    let mut world = world(bytes_max, 2);
    world.gate = None;
    world
}

impl World {
    /// Requests a sound; returns the receiver of the result.
    fn ask(
        &self,
        source: &SoundSource,
        rate: u32,
    ) -> mpsc::Receiver<Result<Arc<[i16]>, SoundError>> {
        let (sender, receiver) = mpsc::channel();
        self.cache.load(source, rate, move |result| sender.send(result).unwrap());
        receiver
    }

    fn load(&self, source: &SoundSource, rate: u32) -> Result<Arc<[i16]>, String> {
        self.ask(source, rate).recv().unwrap().map_err(|error| error.to_string())
    }

    /// Responds to the oldest request; returns its account and validators.
    fn answer(
        &self,
        outcome: impl FnOnce() -> Result<Downloaded, SoundError>,
    ) -> (AccountId, Arc<str>, Option<Validity>) {
        let (ask, done) = self.download.0.lock().remove(0);
        done(outcome(), FetchRecord::default());
        (ask.account, ask.url, ask.known)
    }

    /// Requests a web sound and delivers this many samples.
    fn get(&self, source: &SoundSource, samples: usize, fresh_for: u64) -> Arc<[i16]> {
        let answer = self.ask(source, 8_000);
        self.answer(|| Ok(file(samples, fresh_for)));
        answer.recv().unwrap().unwrap()
    }

    /// Whether the sound is cached and fresh.
    fn keeps(&self, source: &SoundSource) -> bool {
        let is_here = self.ask(source, 8_000).try_recv().is_ok();
        if !is_here {
            // Ends the download that this request began.
            self.answer(|| Err(SoundError::permanent("only a look")));
        }
        is_here
    }

    fn texts_read(&self) -> usize {
        self.reader.read.load(Ordering::SeqCst)
    }
}

fn speech(text: &str) -> SoundSource {
    let (text, voice, language) = (text.into(), "WOMAN".into(), "en-US".into());
    SoundSource::Speech(Utterance { text, voice, language })
}

fn account(name: &str) -> AccountId {
    name.parse().unwrap()
}

fn web(owner: &str, name: &str) -> SoundSource {
    let url = format!("https://x.example/{name}?key=secret").into();
    SoundSource::Web { account: account(owner), url }
}

/// A WAV file that is fresh for this many seconds.
fn file(samples: usize, fresh_for: u64) -> Downloaded {
    let clip = Clip { rate: 8_000, samples: vec![5; samples].into() };
    Downloaded::File { bytes: wav::write(&clip).into(), validity: valid(fresh_for, "\"one\"") }
}

fn valid(fresh_for: u64, etag: &str) -> Validity {
    let fresh_until = Instant::now() + Duration::from_secs(fresh_for);
    Validity { fresh_until, etag: Some(etag.into()), modified: None }
}

#[test]
fn a_text_is_read_once_for_each_voice_language_and_rate() {
    let world = open(1 << 20);
    let check = |source: &SoundSource, rate, length, read| {
        assert_eq!(world.load(source, rate).unwrap().len(), length);
        assert_eq!(world.texts_read(), read, "{source:?} at {rate}");
    };
    let text = "x".repeat(1_000);
    check(&speech(&text), 8_000, 500, 1);
    check(&speech(&text), 8_000, 500, 1);
    check(&speech(&text), 16_000, 1_000, 2);
    check(&speech("y"), 8_000, 1, 3);
    let SoundSource::Speech(mut other) = speech(&text) else { unreachable!() };
    other.language = "en-GB".into();
    check(&SoundSource::Speech(other.clone()), 8_000, 500, 4);
    other.voice = "MAN".into();
    check(&SoundSource::Speech(other), 8_000, 500, 5);
}

#[test]
fn a_finer_rate_serves_a_coarser_one() {
    let world = open(1 << 20);
    world.load(&speech("hello"), 16_000).unwrap();
    assert_eq!(world.load(&speech("hello"), 8_000).unwrap().len(), 3);
    assert_eq!(world.texts_read(), 1);
}

#[test]
fn the_same_sound_asked_for_twice_is_made_once() {
    let world = world(1 << 20, 2);
    let first = world.ask(&speech("hello"), 16_000);
    let second = world.ask(&speech("hello"), 16_000);
    world.cache.prepare(&speech("hello"), 16_000);
    assert_eq!(world.cache.gauges().making, 1);
    drop(world.gate);
    let samples = first.recv().unwrap().unwrap();
    assert!(Arc::ptr_eq(&samples, &second.recv().unwrap().unwrap()));
    assert_eq!(world.reader.read.load(Ordering::SeqCst), 1);
    // Cached: the result is available when `load` returns.
    let (sender, third) = mpsc::channel();
    world.cache.load(&speech("hello"), 16_000, move |result| sender.send(result).unwrap());
    assert!(Arc::ptr_eq(&samples, &third.try_recv().unwrap().unwrap()));
    assert_eq!(world.cache.gauges().making, 0);
}

#[test]
fn the_least_recently_used_sound_is_dropped_first() {
    let one = 2 * 100 + 100 + KEY_BYTES;
    let world = open(3 * one);
    let text = |letter: &str| speech(&letter.repeat(100));
    for letter in ["a", "b", "c", "a", "d"] {
        world.load(&text(letter), 16_000).unwrap();
    }
    assert_eq!(world.cache.gauges(), SoundCacheGauges { sounds: 3, bytes: 3 * one, making: 0 });
    assert_eq!(world.texts_read(), 4);
    for letter in ["a", "c", "d"] {
        world.load(&text(letter), 16_000).unwrap();
        assert_eq!(world.texts_read(), 4, "{letter} should have been kept");
    }
    world.load(&text("b"), 16_000).unwrap();
    assert_eq!(world.texts_read(), 5);
    // Larger than the cache: played, but not cached, and nothing is dropped for it.
    let huge = speech(&"h".repeat(3 * one));
    assert_eq!(world.load(&huge, 16_000).unwrap().len(), 3 * one);
    assert_eq!(world.cache.gauges(), SoundCacheGauges { sounds: 3, bytes: 3 * one, making: 0 });
}

#[test]
fn a_failure_is_reported_and_tried_again() {
    let world = open(1 << 20);
    assert_eq!(world.load(&speech("fail once"), 8_000), Err("not now".to_owned()));
    assert_eq!(world.cache.gauges(), SoundCacheGauges::default());
    assert!(world.load(&speech("fail once"), 8_000).is_ok());
}

#[test]
fn a_panic_costs_one_sound_and_no_thread() {
    let world = open(1 << 20);
    for _ in 0..5 {
        let error = world.load(&speech("panic"), 8_000).unwrap_err();
        assert_eq!(error, "the sound could not be produced: this is a bug");
    }
    world.cache.load(&speech("hello"), 8_000, |_| panic!("intended by the test"));
    world.cache.load(&speech("there"), 8_000, |_| panic!("intended by the test"));
    assert!(world.load(&speech("still here"), 8_000).is_ok());
}

#[test]
fn a_flood_is_refused_and_what_was_asked_is_made() {
    let mut world = world(1 << 20, 1);
    let mut answers = vec![world.ask(&speech("at the thread"), 8_000)];
    // The queue is empty when the thread has taken the job; then it waits at the gate.
    while !world.cache.shared.state.lock().queue.is_empty() {
        thread::yield_now();
    }
    for text in ["one", "two", "three"] {
        answers.push(world.ask(&speech(text), 8_000));
    }
    let refused = world.ask(&speech("four"), 8_000).try_recv().unwrap().unwrap_err();
    assert_eq!(refused.to_string(), "3 sounds are waiting: try again later");
    assert!(refused.is_temporary());
    answers.push(world.ask(&speech("three"), 8_000));
    world.gate = None;
    for answer in answers {
        assert!(answer.recv().unwrap().is_ok());
    }
    assert!(world.load(&speech("four"), 8_000).is_ok());
}

#[test]
fn waiting_requests_fail_when_the_cache_closes() {
    let mut world = world(1 << 20, 1);
    let answers = ["one", "two"].map(|text| world.ask(&speech(text), 8_000));
    drop(world.cache);
    world.gate = None;
    for answer in answers {
        assert_eq!(answer.recv().unwrap().unwrap_err().to_string(), "the server is closing");
    }
}

#[test]
fn files_are_read_and_read_again_when_they_have_changed() {
    let world = open(1 << 20);
    let folder = Path::new(env!("OUT_DIR")).join("flows");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("tones.mp3"), TONES).unwrap();
    let flows: Arc<Path> = folder.as_path().into();
    let source = |url: &str| SoundSource::from_url(url, &account("MA1"), &flows).unwrap();
    let load = |url: &str, rate| world.load(&source(url), rate);

    let tones = load("flow:tones.mp3", 8_000).unwrap();
    assert_eq!(tones.len(), 8_000);
    assert_eq!(load("flow:tones.mp3", 16_000).unwrap().len(), 16_000);
    assert!(Arc::ptr_eq(&tones, &load("flow:tones.mp3", 8_000).unwrap()));
    let clip = Clip { rate: 8_000, samples: vec![5; 80].into() };
    fs::write(folder.join("tones.mp3"), wav::write(&clip)).unwrap();
    assert_eq!(load("flow:tones.mp3", 8_000).unwrap(), clip.samples);
    assert_eq!(world.cache.gauges().sounds, 2);
    fs::remove_file(folder.join("tones.mp3")).unwrap();
    let error = load("flow:tones.mp3", 8_000).unwrap_err();
    assert_eq!(error, "flow:tones.mp3: there is no such file");
    fs::write(folder.join("tones.mp3"), b"no sound").unwrap();
    let error = load("flow:tones.mp3", 8_000).unwrap_err();
    assert!(error.starts_with("flow:tones.mp3: neither a WAV nor an MP3"), "{error}");
}

#[test]
fn built_in_sounds_come_from_the_hook_and_others_are_named() {
    let world = open(1 << 20);
    let check = |name: &str, expected: Result<usize, &str>| {
        let loaded = world.load(&SoundSource::BuiltIn(name.into()), 8_000);
        let loaded = loaded.map(|samples| samples.len());
        assert_eq!(loaded.as_ref().map_err(String::as_str), expected.as_ref().map_err(|e| *e));
    };
    check("beep", Ok(8_000));
    check("boop", Err("sound:boop: the built-in sounds are hold, ring and beep"));
}

#[test]
fn a_sound_of_the_web_is_got_once_for_all_who_wait_and_once_for_each_account() {
    let world = open(1 << 20);
    let source = web("MA1", "a");
    let waiting = [8_000, 8_000].map(|rate| world.ask(&source, rate));
    assert_eq!(world.cache.gauges().making, 1);
    let (owner, url, known) = world.answer(|| Ok(file(80, 60)));
    assert_eq!((owner, known), (account("MA1"), None));
    assert_eq!(&*url, "https://x.example/a?key=secret", "as its author wrote it");
    let [one, other] = waiting.map(|it| it.recv().unwrap().unwrap());
    assert!(Arc::ptr_eq(&one, &other) && one.len() == 80);
    assert!(world.keeps(&source));
    assert!(!world.keeps(&web("MA2", "a")), "accounts are walls");
}

#[test]
fn a_stale_sound_is_revalidated() {
    let world = open(1 << 20);
    let source = web("MA1", "a");
    let first = world.get(&source, 80, 0);

    let again = world.ask(&source, 8_000);
    let (.., known) = world.answer(|| Ok(Downloaded::Unchanged(valid(0, "\"two\""))));
    assert_eq!(known.unwrap().etag.as_deref(), Some("\"one\""));
    assert!(Arc::ptr_eq(&first, &again.recv().unwrap().unwrap()));

    let changed = world.ask(&source, 8_000);
    let (.., known) = world.answer(|| Ok(file(160, 0)));
    assert_eq!(known.unwrap().etag.as_deref(), Some("\"two\""));
    assert_eq!(changed.recv().unwrap().unwrap().len(), 160);
    assert_eq!(world.cache.gauges().sounds, 1);
}

#[test]
fn a_server_that_fails_leaves_what_it_had_said_and_one_that_says_no_does_not() {
    let world = open(1 << 20);
    let source = web("MA1", "a");
    let first = world.get(&source, 80, 0);
    let again = world.ask(&source, 8_000);
    world.answer(|| Err(SoundError::temporary("it answered 503")));
    assert!(Arc::ptr_eq(&first, &again.recv().unwrap().unwrap()));
    assert!(world.keeps(&source), "it is not asked at once again");

    let other = web("MA1", "b");
    world.get(&other, 80, 0);
    let gone = world.ask(&other, 8_000);
    world.answer(|| Err(SoundError::permanent("it answered 404")));
    assert_eq!(gone.recv().unwrap().unwrap_err().to_string(), "it answered 404");
    assert_eq!(world.cache.gauges().sounds, 1);

    let broken = world.ask(&web("MA1", "c"), 8_000);
    let bytes = "<html>".into();
    world.answer(|| Ok(Downloaded::File { bytes, validity: valid(60, "") }));
    let error = broken.recv().unwrap().unwrap_err().to_string();
    let expected = "https://x.example/c: a document (XML or HTML), and no WAV or MP3 file: \
                    name the file itself";
    assert_eq!(error, expected, "without what may be secret");
}

#[test]
fn an_account_has_its_share_and_what_it_has_not_used_longest_goes_first() {
    let world = open(10_000);
    world.get(&web("MA2", "theirs"), 80, 60);
    for name in ["a", "b", "c"] {
        world.get(&web("MA1", name), 80, 60);
    }
    assert!(world.keeps(&web("MA1", "a")));
    world.get(&web("MA1", "d"), 80, 60);
    let kept = |names: [&str; 4]| names.map(|it| world.keeps(&web("MA1", it)));
    assert_eq!(kept(["a", "b", "c", "d"]), [true, false, true, true], "three sounds");

    // 4,100 of 5,000 bytes: only one entry of 2 * 80 bytes and its name fits as well.
    world.get(&web("MA1", "large"), 2_050 - KEY_BYTES / 2, 60);
    assert_eq!(kept(["a", "c", "d", "large"]), [false, false, true, true], "half of the room");
    world.get(&web("MA1", "huge"), 2_500, 60);
    assert_eq!(kept(["a", "huge", "d", "large"]), [false, false, true, true], "too large to keep");
    assert!(world.keeps(&web("MA2", "theirs")), "others keep theirs");
}

#[test]
fn an_account_whose_servers_do_not_answer_keeps_nobody_else_waiting() {
    let world = open(1 << 20);
    let waiting: Vec<_> = (0..4).map(|n| world.ask(&web("MA1", &n.to_string()), 8_000)).collect();
    let refused = world.ask(&web("MA1", "more"), 8_000).try_recv().unwrap().unwrap_err();
    assert_eq!(refused.to_string(), "4 sounds are waiting: try again later");
    assert!(world.load(&speech("hello"), 8_000).is_ok());
    let theirs = world.ask(&web("MA2", "theirs"), 8_000);
    for _ in 0..5 {
        world.answer(|| Ok(file(80, 60)));
    }
    assert!(waiting.into_iter().chain([theirs]).all(|it| it.recv().unwrap().is_ok()));
    assert!(world.cache.shared.state.lock().waiting.is_empty());
    world.get(&web("MA1", "more"), 80, 60);
}

#[test]
fn a_download_that_ends_after_the_cache_is_ignored() {
    let world = open(1 << 20);
    let answer = world.ask(&web("MA1", "a"), 8_000);
    let World { cache, download: far, .. } = world;
    drop(cache);
    assert_eq!(answer.recv().unwrap().unwrap_err().to_string(), "the server is closing");
    let (_, done) = far.0.lock().remove(0);
    done(Ok(file(80, 60)), FetchRecord::default());
}
