//! The voices inside the binary: six languages, read by the engine SVOX Pico.
//!
//! An engine is made for each utterance: that takes half a millisecond, its handles cannot leave
//! their thread, and one that has failed is of no use any more.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::Path,
    rc::Rc,
    sync::atomic::{AtomicBool, Ordering},
};

use ttspico::{Engine, EngineStatus, PicoError, System};

use super::{
    Clip, SECONDS_MAX, Speech, SpeechError, Utterance,
    words::{self, Timbre},
};

/// The voices, read from a folder where their files lie as long as the process runs.
pub struct Pico {
    folder: String,
    noted: AtomicBool,
}

impl Pico {
    /// Writes the voices (6.4 MB, Apache-2.0) to a folder of their own that only this user can
    /// read, unless they are there.
    ///
    /// # Errors
    ///
    /// The folder cannot be made or written to, or its path is not UTF-8.
    pub fn open(folder: &Path) -> Result<Self, SpeechError> {
        let Some(name) = folder.to_str() else {
            let complaint =
                format!("the path {} is not UTF-8: no voice opens it", folder.display());
            return Err(SpeechError::lasting(complaint));
        };
        write_all(folder).map_err(|error| {
            SpeechError::lasting(format!("the voices cannot be written to {name}: {error}"))
        })?;
        Ok(Self { folder: name.to_owned(), noted: AtomicBool::new(false) })
    }

    /// Each voice is a woman's; a man's is made of it. Other names are nobody's: said once.
    fn timbre(&self, voice: &str) -> Timbre {
        Timbre::of(voice).unwrap_or_else(|| {
            if !self.noted.swap(true, Ordering::Relaxed) {
                let voice: String = voice.chars().take(40).collect();
                tracing::warn!(
                    voice,
                    "the built-in voices are WOMAN and MAN: others read as WOMAN"
                );
            }
            Timbre::Woman
        })
    }
}

impl Speech for Pico {
    fn reads(&self, language: &str) -> bool {
        Lingware::of(language).is_some()
    }

    fn speak(&self, utterance: &Utterance) -> Result<Clip, SpeechError> {
        let language = &utterance.language;
        let lingware = Lingware::of(language).ok_or_else(|| SpeechError::no_voice(language))?;
        let text = words::plain(&utterance.text);
        let (rate, tags) = match self.timbre(&utterance.voice) {
            Timbre::Woman => (RATE, WOMAN_TAGS),
            Timbre::Man => (RATE_OF_MAN, MAN_TAGS),
        };
        if text.is_empty() {
            return Ok(Clip { rate, samples: [].into() });
        }

        let known = latin(&text).ok_or_else(|| {
            SpeechError::lasting(format!("the voice for {} reads Latin letters", lingware.language))
        })?;
        let mut samples = synthesize(&self.folder, lingware, &format!("{tags}{known}"))?;
        let loud = samples.iter().rposition(|sample| sample.unsigned_abs() > QUIET);
        samples.truncate(loud.map_or(0, |last| last + 1 + TAIL_SAMPLES));
        Ok(Clip { rate, samples: samples.into() })
    }
}

/// What the engine makes, in samples per second.
const RATE: u32 = 16_000;

/// A man's voice is the woman's played slower, which makes the throat 15 % longer …
const RATE_OF_MAN: u32 = 13_600;

/// … spoken faster by as much, and lower still. The tags are the engine's own, and not closed:
/// a closing one makes the end of the last sentence another.
const MAN_TAGS: &str = "<volume level='50'><speed level='118'><pitch level='75'>";

/// At full volume the engine clips the peaks of each voice: 6 dB lower it does not.
const WOMAN_TAGS: &str = "<volume level='50'>";

/// The engine ends with half a second of silence and more: so much of it is left.
const TAIL_SAMPLES: usize = 3_200;

/// No sample of silence is beyond this.
const QUIET: u16 = 100;

/// Memory for one engine. It takes 3 MB of it, and reads some before it writes any: a block of
/// more than 32 MiB comes from the kernel, filled with zeros, and so the same text sounds the
/// same. What is not touched costs nothing.
const ENGINE_BYTES: usize = 40 << 20;

/// One call of the engine gives at most 32,767 bytes.
const CHUNK_SAMPLES: usize = 8_192;

/// Has a text read.
fn synthesize(folder: &str, lingware: &Lingware, text: &str) -> Result<Vec<i16>, SpeechError> {
    let failed = |error: PicoError| {
        SpeechError::lasting(format!("the voice for {} failed: {error}", lingware.language))
    };
    let mut engine = engine(folder, lingware).map_err(failed)?;
    let mut samples = Vec::new();
    let mut chunk = vec![0_i16; CHUNK_SAMPLES];
    // A zero at the end has the engine read what it holds.
    let mut rest = [text.as_bytes(), b"\0"].concat();
    while !rest.is_empty() {
        let taken = engine.put_text(&rest).map_err(failed)?;
        if taken == 0 {
            let complaint = format!("the voice for {} takes no text", lingware.language);
            return Err(SpeechError::lasting(complaint));
        }
        rest.drain(..taken);
        loop {
            let (count, status) = engine.get_data(&mut chunk[..]).map_err(failed)?;
            samples.extend_from_slice(&chunk[..count]);
            if samples.len() > (SECONDS_MAX * RATE) as usize {
                let complaint = format!("the text takes over {SECONDS_MAX} s to read: shorten it");
                return Err(SpeechError::lasting(complaint));
            }
            if status == EngineStatus::Idle {
                break;
            }
        }
    }
    Ok(samples)
}

/// An engine for one voice.
#[expect(unsafe_code, reason = "the crate cannot tell that a voice has both of its resources")]
fn engine(folder: &str, lingware: &Lingware) -> Result<Engine, PicoError> {
    let system = System::new(ENGINE_BYTES)?;
    let path = |file: &File| format!("{folder}/{}", file.name);
    let analysis = System::load_resource(Rc::clone(&system), path(&lingware.analysis))?;
    let sound = System::load_resource(Rc::clone(&system), path(&lingware.sound))?;
    let voice = System::create_voice(system, lingware.language)?;
    voice.borrow_mut().add_resource(analysis)?;
    voice.borrow_mut().add_resource(sound)?;
    // SAFETY: a voice must have a text analysis and a sound generation before an engine is made
    // of it: both have just been added, and `?` has left otherwise.
    unsafe { ttspico::Voice::create_engine(voice) }
}

/// The text in characters that the voices know: Latin-1, without `<` and `>`, which would be
/// tags. None: nothing of it can be read.
///
/// Long words are cut: the engine cuts tokens at 255 bytes, and when that halves a letter outside
/// ASCII, it loops for ever.
fn latin(text: &str) -> Option<String> {
    let mut latin = String::with_capacity(text.len());
    let mut word = 0;
    for char in text.chars() {
        let char = letter(char);
        word = if char == ' ' { 0 } else { word + 1 };
        if word > WORD_CHARS_MAX {
            latin.push(' ');
            word = 1;
        }
        latin.push(char);
    }
    latin.contains(char::is_alphanumeric).then_some(latin)
}

/// The longest word, in characters: no word of these languages is longer outside of records, and
/// two bytes each leave the engine room to spare.
const WORD_CHARS_MAX: usize = 60;

/// A character as the voices know it, or a space.
fn letter(char: char) -> char {
    match char {
        '<' | '>' => ' ',
        ' '..='~' | '\u{a1}'..='\u{ff}' | 'Œ' | 'œ' | '€' => char,
        '\u{100}'..='\u{17f}' => char::from(LATIN_EXTENDED_A[char as usize - 0x100]),
        '\u{2018}' | '\u{2019}' => '\'',
        '\u{201c}' | '\u{201d}' | '\u{201e}' => '"',
        '\u{2010}'..='\u{2015}' => '-',
        '\u{2026}' => '.',
        _ => ' ',
    }
}

/// The letters from U+0100 to U+017F without their marks.
static LATIN_EXTENDED_A: &[u8; 128] =
    b"AaAaAaCcCcCcCcDdDdEeEeEeEeEeGgGgGgGgHhHhIiIiIiIiIiIiJjKkkLlLlLlL\
    lLlNnNnNnnNnOoOoOoOoRrRrRrSsSsSsSsTtTtTtUuUuUuUuUuUuWwYyYZzZzZzs";

/// A voice: one for each language.
struct Lingware {
    language: &'static str,
    /// Which regions' forms of the language it reads rather than an earlier voice does.
    also: &'static [&'static str],
    analysis: File,
    sound: File,
}

struct File {
    name: &'static str,
    bytes: &'static [u8],
}

macro_rules! file {
    ($name:literal) => {
        File { name: $name, bytes: include_bytes!(concat!(env!("OUT_DIR"), "/", $name)) }
    };
}

/// What the build script has found.
static LINGWARE: [Lingware; 6] = [
    Lingware {
        language: "en-US",
        also: &[],
        analysis: file!("en-US_ta.bin"),
        sound: file!("en-US_lh0_sg.bin"),
    },
    Lingware {
        language: "en-GB",
        also: &["en-au", "en-ie", "en-in", "en-nz", "en-za"],
        analysis: file!("en-GB_ta.bin"),
        sound: file!("en-GB_kh0_sg.bin"),
    },
    Lingware {
        language: "de-DE",
        also: &[],
        analysis: file!("de-DE_ta.bin"),
        sound: file!("de-DE_gl0_sg.bin"),
    },
    Lingware {
        language: "es-ES",
        also: &[],
        analysis: file!("es-ES_ta.bin"),
        sound: file!("es-ES_zl0_sg.bin"),
    },
    Lingware {
        language: "fr-FR",
        also: &[],
        analysis: file!("fr-FR_ta.bin"),
        sound: file!("fr-FR_nk0_sg.bin"),
    },
    Lingware {
        language: "it-IT",
        also: &[],
        analysis: file!("it-IT_ta.bin"),
        sound: file!("it-IT_cm0_sg.bin"),
    },
];

impl Lingware {
    /// The voice of a language: exactly its own, else one that takes its region, else the first
    /// of any region.
    fn of(language: &str) -> Option<&'static Self> {
        let language = words::language(language)?;
        let find = |fits: &dyn Fn(&Self) -> bool| LINGWARE.iter().find(|voice| fits(voice));
        find(&|voice| voice.language.eq_ignore_ascii_case(&language))
            .or_else(|| find(&|voice| voice.also.contains(&language.as_str())))
            .or_else(|| find(&|voice| words::primary(voice.language) == words::primary(&language)))
    }
}

/// Writes the files that are not there as they should be. Each is moved into place when it is
/// whole, so that two processes on one folder do not read each other's halves.
fn write_all(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    for file in LINGWARE.iter().flat_map(|voice| [&voice.analysis, &voice.sound]) {
        let path = folder.join(file.name);
        if fs::read(&path).is_ok_and(|bytes| bytes == file.bytes) {
            continue;
        }
        let part = folder.join(format!("{}.{}.part", file.name, std::process::id()));
        fs::write(&part, file.bytes)?;
        fs::rename(&part, &path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::speech::suite;

    fn pico() -> Pico {
        Pico::open(&Path::new(env!("OUT_DIR")).join("voices")).unwrap()
    }

    const SENTENCES: [(&str, &str); 6] = [
        ("en-US", "You have been removed from the conference. Goodbye."),
        ("en-GB", "You have been removed from the conference. Goodbye."),
        ("de-DE", "Sie wurden aus der Konferenz entfernt. Auf Wiederhören."),
        ("es-ES", "Usted ha sido expulsado de la conferencia. Adiós."),
        ("fr-FR", "Vous avez été exclu de la conférence. Au revoir."),
        ("it-IT", "Lei è stato rimosso dalla conferenza. Arrivederci."),
    ];

    fn speak(pico: &Pico, language: &str, voice: &str, text: &str) -> Result<Clip, SpeechError> {
        let (text, voice, language) = (text.into(), voice.into(), language.into());
        pico.speak(&Utterance { text, voice, language })
    }

    #[test]
    fn each_voice_passes_the_suite() {
        let pico = pico();
        for (language, text) in SENTENCES {
            suite::check(&pico, language, text);
        }
    }

    #[test]
    fn each_voice_sounds_like_speech() {
        let pico = pico();
        for (language, text) in SENTENCES {
            let clip = speak(&pico, language, "WOMAN", text).unwrap();
            let seconds = clip.samples.len() as f64 / f64::from(clip.rate);
            assert!((3.0..4.5).contains(&seconds), "{language}: {seconds} s");
            let crossings = clip.samples.windows(2).filter(|w| (w[0] < 0) != (w[1] < 0)).count();
            let crossings = crossings as f64 / seconds;
            assert!((900.0..3_000.0).contains(&crossings), "{language}: {crossings}/s");
            let pitch = pitch(&clip);
            assert!((120.0..220.0).contains(&pitch), "{language}: {pitch} Hz");
            let clipped = clip.samples.iter().filter(|s| s.unsigned_abs() >= 32_767).count();
            assert!(clipped < 20, "{language}: {clipped} samples are clipped");
        }
    }

    #[test]
    fn a_man_is_lower_than_a_woman_and_as_quick() {
        let pico = pico();
        for (language, text) in SENTENCES {
            let check = |voice| {
                let clip = speak(&pico, language, voice, text).unwrap();
                (pitch(&clip), clip.samples.len() as f64 / f64::from(clip.rate))
            };
            let (woman, man) = (check("WOMAN"), check("MAN"));
            assert!(man.0 < 0.8 * woman.0, "{language}: {man:?} Hz, {woman:?} Hz");
            assert!((0.9..1.1).contains(&(man.1 / woman.1)), "{language}: {man:?}, {woman:?}");
            assert_eq!(check("Polly.Matthew"), man, "{language}");
            assert_eq!(check("Zaphod"), woman, "{language}");
        }
    }

    #[test]
    fn languages_differ_and_regions_fall_back() {
        let pico = pico();
        let text = "Conference 1, 2, 3.";
        let clip = |language| speak(&pico, language, "WOMAN", text).map(|clip| clip.samples);
        for (region, same) in [
            ("en", "en-US"),
            ("EN_us", "en-US"),
            ("en-CA", "en-US"),
            ("en-AU", "en-GB"),
            ("de-AT", "de-DE"),
            ("fr-CA", "fr-FR"),
            ("es-US", "es-ES"),
        ] {
            assert_eq!(clip(region), clip(same), "{region}");
        }
        let mut all: Vec<_> = SENTENCES.iter().map(|(language, _)| clip(language)).collect();
        all.sort_by_key(|clip| clip.as_ref().map(|samples| samples.to_vec()).unwrap());
        all.dedup();
        assert_eq!(all.len(), 6);
        assert_eq!(clip("ru-RU").unwrap_err().to_string(), "no voice reads \"ru-RU\"");
    }

    #[test]
    fn what_cannot_be_read_is_an_error_and_the_next_text_is_well() {
        let pico = pico();
        let well = speak(&pico, "en-US", "WOMAN", "all is well");
        let (word, digits) = ("ü".repeat(40_000), "8".repeat(500));
        for text in ["你好 世界", "Привет", "\u{1f600}", "- - -", &word, &digits] {
            let _refused_or_not = speak(&pico, "en-US", "WOMAN", text).map_err(|error| {
                assert!(!error.is_temporary(), "{error}");
            });
            assert_eq!(speak(&pico, "en-US", "WOMAN", "all is well"), well);
        }
        let error = speak(&pico, "en-US", "WOMAN", "Привет").unwrap_err();
        assert_eq!(error.to_string(), "the voice for en-US reads Latin letters");
    }

    #[test]
    fn typographers_marks_sound_like_plain_ones() {
        let pico = pico();
        let fine = speak(&pico, "en-US", "WOMAN", "It’s “over” – bye…");
        assert_eq!(fine, speak(&pico, "en-US", "WOMAN", "It's \"over\" - bye."));
    }

    #[test]
    fn letters_of_other_languages_lose_their_marks() {
        fn check(text: &str, expected: Option<&str>) {
            assert_eq!(latin(text).as_deref(), expected, "{text}");
        }
        check("Łukasz Dvořák", Some("Lukasz Dvorák"));
        check("cœur, 5 €", Some("cœur, 5 €"));
        check("ż\u{17f}Ā", Some("zsA"));
        check("a<b>c", Some("a b c"));
        check("—", None);
        check(&"ü".repeat(61), Some(&format!("{} ü", "ü".repeat(60))));
        check(&"ab ".repeat(40), Some(&"ab ".repeat(40)));
    }

    #[test]
    fn threads_do_not_disturb_each_other() {
        let pico = pico();
        let alone = SENTENCES.map(|(language, text)| speak(&pico, language, "WOMAN", text));
        std::thread::scope(|scope| {
            for (i, (language, text)) in SENTENCES.iter().enumerate() {
                let (pico, alone) = (&pico, &alone);
                scope.spawn(move || assert_eq!(speak(pico, language, "WOMAN", text), alone[i]));
            }
        });
    }

    #[test]
    fn the_files_are_private_and_mended() {
        let folder = Path::new(env!("OUT_DIR")).join("mended");
        Pico::open(&folder).unwrap();
        fs::write(folder.join("en-US_ta.bin"), b"not a voice").unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        let pico = Pico::open(&folder).unwrap();
        speak(&pico, "en-US", "WOMAN", "hello").unwrap();
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 12);
        fs::remove_dir_all(&folder).unwrap();
        let error = speak(&pico, "en-US", "WOMAN", "hello").unwrap_err();
        assert!(error.to_string().starts_with("the voice for en-US failed"), "{error}");
        fs::write(&folder, b"a file").unwrap();
        let error = Pico::open(&folder).err().expect("a file is no folder");
        assert!(error.to_string().contains("cannot be written to"), "{error}");
        fs::remove_file(&folder).unwrap();
    }

    /// The median pitch of what is voiced, in hertz: by the best lag of 40 ms with itself.
    fn pitch(clip: &Clip) -> f64 {
        let rate = clip.rate as usize;
        let (window, lags) = (rate / 25, rate / 400..rate / 60);
        let mut pitches = Vec::new();
        for at in (0..clip.samples.len().saturating_sub(3 * window)).step_by(window) {
            let part: Vec<f64> =
                clip.samples[at..at + 2 * window].iter().map(|s| f64::from(*s)).collect();
            let like = |lag: usize| (0..window).map(|i| part[i] * part[i + lag]).sum::<f64>();
            let best = lags.clone().max_by(|a, b| like(*a).total_cmp(&like(*b))).unwrap();
            if like(0) / window as f64 > 500.0 * 500.0 && like(best) > 0.6 * like(0) {
                pitches.push(rate as f64 / best as f64);
            }
        }
        pitches.sort_by(f64::total_cmp);
        pitches[pitches.len() / 2]
    }
}
