//! Tests of the cache.

use std::{
    fs,
    path::Path,
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
};

use super::*;
use crate::{
    sound::{decode::tests::TONES, wav},
    speech::{SpeechError, Utterance},
};

/// Reads a text as so many samples, at 16 kHz, as it has bytes; waits at a gate before.
struct Reader {
    read: AtomicUsize,
    gate: Mutex<mpsc::Receiver<()>>,
}

impl Speech for Reader {
    fn reads(&self, _: &str) -> bool {
        true
    }

    fn speak(&self, utterance: &Utterance) -> Result<Clip, SpeechError> {
        // An error means that the gate is open for good.
        let _open = self.gate.lock().recv();
        let text = &*utterance.text;
        let times = self.read.fetch_add(1, Ordering::SeqCst);
        match text {
            "panic" => panic!("as the test wants it"),
            "fail once" if times == 0 => Err(SpeechError::temporary("not now")),
            _ => Ok(Clip { rate: 16_000, samples: vec![7; text.len()].into() }),
        }
    }
}

struct World {
    cache: Cache,
    reader: Arc<Reader>,
    /// Lets one text through; dropped, all.
    gate: Option<mpsc::Sender<()>>,
}

fn world(bytes_max: usize, workers: usize) -> World {
    let (gate, closed) = mpsc::channel();
    let reader = Arc::new(Reader { read: AtomicUsize::new(0), gate: Mutex::new(closed) });
    let tones: Tones =
        Arc::new(|name, rate| (name == "beep").then(|| vec![9; rate as usize].into()));
    let settings = Settings { bytes_max, workers, waiting_max: 3 };
    let speech: Arc<dyn Speech> = Arc::clone(&reader) as _;
    let cache = Cache::new(settings, speech, tones).unwrap();
    World { cache, reader, gate: Some(gate) }
}

fn open(bytes_max: usize) -> World {
    let mut world = world(bytes_max, 2);
    world.gate = None;
    world
}

impl World {
    /// Asks, and gives the place where the answer will be.
    fn ask(&self, source: &Source, rate: u32) -> mpsc::Receiver<Result<Arc<[i16]>, SoundError>> {
        let (sender, receiver) = mpsc::channel();
        self.cache.load(source, rate, move |result| sender.send(result).unwrap());
        receiver
    }

    fn load(&self, source: &Source, rate: u32) -> Result<Arc<[i16]>, String> {
        self.ask(source, rate).recv().unwrap().map_err(|error| error.to_string())
    }

    fn texts_read(&self) -> usize {
        self.reader.read.load(Ordering::SeqCst)
    }
}

fn speech(text: &str) -> Source {
    let (text, voice, language) = (text.into(), "WOMAN".into(), "en-US".into());
    Source::Speech(Utterance { text, voice, language })
}

#[test]
fn a_text_is_read_once_for_each_voice_language_and_rate() {
    let world = open(1 << 20);
    let check = |source: &Source, rate, length, read| {
        assert_eq!(world.load(source, rate).unwrap().len(), length);
        assert_eq!(world.texts_read(), read, "{source:?} at {rate}");
    };
    let text = "x".repeat(1_000);
    check(&speech(&text), 8_000, 500, 1);
    check(&speech(&text), 8_000, 500, 1);
    check(&speech(&text), 16_000, 1_000, 2);
    check(&speech("y"), 8_000, 1, 3);
    let Source::Speech(mut other) = speech(&text) else { unreachable!() };
    other.language = "en-GB".into();
    check(&Source::Speech(other.clone()), 8_000, 500, 4);
    other.voice = "MAN".into();
    check(&Source::Speech(other), 8_000, 500, 5);
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
    // Kept: the answer is there when `load` returns.
    let (sender, third) = mpsc::channel();
    world.cache.load(&speech("hello"), 16_000, move |result| sender.send(result).unwrap());
    assert!(Arc::ptr_eq(&samples, &third.try_recv().unwrap().unwrap()));
    assert_eq!(world.cache.gauges().making, 0);
}

#[test]
fn what_was_not_used_longest_goes_first() {
    let one = 2 * 100 + 100 + KEY_BYTES;
    let world = open(3 * one);
    let text = |letter: &str| speech(&letter.repeat(100));
    for letter in ["a", "b", "c", "a", "d"] {
        world.load(&text(letter), 16_000).unwrap();
    }
    assert_eq!(world.cache.gauges(), Gauges { sounds: 3, bytes: 3 * one, making: 0 });
    assert_eq!(world.texts_read(), 4);
    for letter in ["a", "c", "d"] {
        world.load(&text(letter), 16_000).unwrap();
        assert_eq!(world.texts_read(), 4, "{letter} should have been kept");
    }
    world.load(&text("b"), 16_000).unwrap();
    assert_eq!(world.texts_read(), 5);
    // Larger than all the room: heard, but not kept, and nothing goes for it.
    let huge = speech(&"h".repeat(3 * one));
    assert_eq!(world.load(&huge, 16_000).unwrap().len(), 3 * one);
    assert_eq!(world.cache.gauges(), Gauges { sounds: 3, bytes: 3 * one, making: 0 });
}

#[test]
fn a_failure_is_told_and_tried_anew() {
    let world = open(1 << 20);
    assert_eq!(world.load(&speech("fail once"), 8_000), Err("not now".to_owned()));
    assert_eq!(world.cache.gauges(), Gauges::default());
    assert!(world.load(&speech("fail once"), 8_000).is_ok());
}

#[test]
fn a_panic_costs_one_sound_and_no_thread() {
    let world = open(1 << 20);
    for _ in 0..5 {
        let error = world.load(&speech("panic"), 8_000).unwrap_err();
        assert_eq!(error, "the sound could not be made: a bug");
    }
    world.cache.load(&speech("hello"), 8_000, |_| panic!("as the test wants it"));
    world.cache.load(&speech("there"), 8_000, |_| panic!("as the test wants it"));
    assert!(world.load(&speech("still here"), 8_000).is_ok());
}

#[test]
fn a_flood_is_refused_and_what_was_asked_is_made() {
    let mut world = world(1 << 20, 1);
    let mut answers = vec![world.ask(&speech("at the thread"), 8_000)];
    // The thread has taken it when the queue is empty: it waits at the gate.
    while !world.cache.shared.state.lock().queue.is_empty() {
        thread::yield_now();
    }
    for text in ["one", "two", "three"] {
        answers.push(world.ask(&speech(text), 8_000));
    }
    let refused = world.ask(&speech("four"), 8_000).try_recv().unwrap().unwrap_err();
    assert_eq!(refused.to_string(), "3 sounds wait to be made: later");
    assert!(refused.is_temporary());
    answers.push(world.ask(&speech("three"), 8_000));
    world.gate = None;
    for answer in answers {
        assert!(answer.recv().unwrap().is_ok());
    }
    assert!(world.load(&speech("four"), 8_000).is_ok());
}

#[test]
fn who_waits_when_the_cache_goes_is_told() {
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
    let load = |url: &str, rate| world.load(&Source::from_url(url, &flows).unwrap(), rate);

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
    let flows: Arc<Path> = Path::new("flows").into();
    let check = |url: &str, expected: Result<usize, &str>| {
        let loaded = world.load(&Source::from_url(url, &flows).unwrap(), 8_000);
        let loaded = loaded.map(|samples| samples.len());
        assert_eq!(loaded.as_ref().map_err(String::as_str), expected.as_ref().map_err(|e| *e));
    };
    check("sound:beep", Ok(8_000));
    check("sound:boop", Err("sound:boop: there are hold, ring and beep"));
    let web = "https://x.example/a.mp3: sounds of the web cannot be had yet; use flow:FILE";
    check("https://x.example/a.mp3", Err(web));
}
