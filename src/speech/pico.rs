//! Built-in voices: six languages, spoken by the engine SVOX Pico.

mod engine;
mod letters;
mod lingware;

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    path::Path,
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use parking_lot::Mutex;
use rustix::process::{Resource, Rlimit, setrlimit};

use self::lingware::Lingware;
use super::{
    Speech, SpeechError, Utterance, process,
    words::{self, Timbre},
};
use crate::audio::clip::Clip;

/// Speech backend with the built-in voices. A voice's files are written to a folder before it speaks
/// for the first time, and stay there.
pub struct Pico {
    folder: String,
    /// The voices whose files have been written, or checked, by this process.
    written: Mutex<BTreeSet<&'static str>>,
    program: Option<Vec<String>>,
    time_max: Duration,
    has_warned: AtomicBool,
}

impl Pico {
    /// The voices (6.4 MB, Apache-2.0), with the folder for those that speak. Only this user can read
    /// it.
    ///
    /// The engine runs on the thread that calls [`speak`](Speech::speak). A text that it never
    /// finishes costs that thread: see [`Pico::in_own_process`].
    ///
    /// # Errors
    ///
    /// The path of the folder is not UTF-8.
    pub fn open(folder: &Path) -> Result<Self, SpeechError> {
        let Some(name) = folder.to_str() else {
            let message = format!("the path {} is not UTF-8: no voice opens it", folder.display());
            return Err(SpeechError::permanent(message));
        };
        Ok(Self {
            folder: name.to_owned(),
            written: Mutex::default(),
            program: None,
            time_max: TIME_MAX,
            has_warned: AtomicBool::new(false),
        })
    }

    /// Runs the engine in a separate process for each text, with a time limit: the engine never
    /// finishes some texts, and a process can be killed where a thread cannot.
    ///
    /// `argv` runs our own program, which must call [`read_aloud`] with the two arguments that are
    /// added here: the folder and the language.
    pub fn in_own_process(mut self, argv: Vec<String>) -> Self {
        self.program = Some(argv);
        self
    }

    /// All voices are a woman's; a man's is derived from it. Warns once about other names.
    fn timbre(&self, voice: &str) -> Timbre {
        Timbre::of(voice).unwrap_or_else(|| {
            if !self.has_warned.swap(true, Ordering::Relaxed) {
                let voice: String = voice.chars().take(40).collect();
                tracing::warn!(
                    voice,
                    "the built-in voices are WOMAN and MAN; any other name is spoken by WOMAN"
                );
            }
            Timbre::Woman
        })
    }

    /// Writes the voice's files, once. A full disk costs what is spoken meanwhile, and nothing else.
    fn write(&self, lingware: &Lingware) -> Result<(), SpeechError> {
        let mut written = self.written.lock();
        if !written.contains(lingware.language) {
            let Lingware { language, .. } = lingware;
            lingware.write(Path::new(&self.folder)).map_err(|error| {
                let folder = &self.folder;
                let message = format!("the voice for {language} cannot be written to {folder}");
                SpeechError::temporary(format!("{message}: {error}"))
            })?;
            written.insert(language);
        }
        Ok(())
    }

    fn synthesize(&self, lingware: &Lingware, text: String) -> Result<Vec<i16>, SpeechError> {
        self.write(lingware)?;
        let Some(program) = &self.program else {
            return engine::synthesize(&self.folder, lingware, &text);
        };
        let argv: Vec<String> = program
            .iter()
            .map(String::as_str)
            .chain([&*self.folder, lingware.language])
            .map(str::to_owned)
            .collect();
        let name = format!("the voice for {}", lingware.language);
        let bytes = process::run(&name, &argv, text.into_bytes(), self.time_max)?;
        let (samples, _none) = bytes.as_chunks();
        Ok(samples.iter().map(|sample| i16::from_le_bytes(*sample)).collect())
    }
}

/// Main function of the process that [`Pico::in_own_process`] starts: turns the text on the
/// standard input into 16-bit samples on the standard output. Write nothing after it.
pub fn read_aloud(folder: &str, language: &str) -> ExitCode {
    match try_read_aloud(folder, language) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            // If nobody reads the message, the exit code remains.
            let _unread = writeln!(std::io::stderr(), "{message}");
            ExitCode::FAILURE
        }
    }
}

fn try_read_aloud(folder: &str, language: &str) -> Result<(), String> {
    // A limit of its own, because the parent may be gone and cannot kill this process.
    let seconds = Some(TIME_MAX.as_secs());
    let limit = Rlimit { current: seconds, maximum: seconds };
    setrlimit(Resource::Cpu, limit).map_err(|error| error.to_string())?;
    let lingware = Lingware::of(language).ok_or_else(|| format!("no voice for {language}"))?;
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).map_err(|error| error.to_string())?;
    let samples = engine::synthesize(folder, lingware, &text).map_err(|error| error.to_string())?;
    let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    std::io::stdout().write_all(&bytes).map_err(|error| error.to_string())
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
            Timbre::Woman => (engine::RATE, WOMAN_TAGS),
            Timbre::Man => (RATE_OF_MAN, MAN_TAGS),
        };
        if text.is_empty() {
            return Ok(Clip { rate, samples: [].into() });
        }

        let known = letters::latin(&text).ok_or_else(|| {
            SpeechError::permanent(format!(
                "the voice for {} reads Latin letters",
                lingware.language
            ))
        })?;
        let mut samples = self.synthesize(lingware, format!("{tags}{known}"))?;
        let loud = samples.iter().rposition(|sample| sample.unsigned_abs() > QUIET);
        samples.truncate(loud.map_or(0, |last| last + 1 + TAIL_SAMPLES));
        Ok(Clip { rate, samples: samples.into() })
    }
}

/// The longest text takes a tenth of it. A text that takes longer will not end.
const TIME_MAX: Duration = Duration::from_secs(10);

/// At full volume the engine clips the peaks of each voice; 6 dB lower it does not. The tags
/// belong to the engine and stay open: a closing tag changes the end of the last sentence.
const WOMAN_TAGS: &str = "<volume level='50'>";

/// A man's voice is the woman's voice played slower, which makes the throat 15 % longer …
const RATE_OF_MAN: u32 = 13_600;

/// … and spoken faster by the same factor, at a lower pitch.
const MAN_TAGS: &str = "<volume level='50'><speed level='118'><pitch level='75'>";

/// The engine adds more than half a second of silence; this much of it is kept.
const TAIL_SAMPLES: usize = 3_200;

/// Samples of silence are not louder than this.
const QUIET: u16 = 100;

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

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
    fn an_unreadable_text_is_an_error_and_the_next_text_works() {
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

    /// Voices that run in processes of this test binary. The output of the test harness is cut
    /// off.
    fn pico_in_own_process() -> Pico {
        let script = "\
            export CONFLOW_TEST_FOLDER=\"$1\" CONFLOW_TEST_LANGUAGE=\"$2\"; \
            \"$0\" --exact speech::pico::tests::this_is_the_separate_process --nocapture | tail -c +17";
        let program = std::env::current_exe().unwrap();
        pico().in_own_process(
            ["sh", "-c", script, program.to_str().unwrap()].map(str::to_owned).to_vec(),
        )
    }

    #[test]
    fn this_is_the_separate_process() {
        let variable = |name| std::env::var(name).ok();
        if let Some(folder) = variable("CONFLOW_TEST_FOLDER") {
            read_aloud(&folder, &variable("CONFLOW_TEST_LANGUAGE").unwrap());
            // The harness would print its own result.
            std::process::exit(0);
        }
    }

    #[test]
    fn the_voices_sound_the_same_in_their_own_process() {
        let (here, apart) = (pico(), pico_in_own_process());
        for (language, text) in SENTENCES {
            let apart = speak(&apart, language, "MAN", text).unwrap();
            assert_eq!(speak(&here, language, "MAN", text).unwrap(), apart);
        }
        suite::check(&apart, "de-AT", "Auf Wiederhören.");
    }

    #[test]
    fn a_text_without_end_ends_in_its_own_process() {
        let mut apart = pico_in_own_process();
        apart.time_max = Duration::from_millis(1_500);
        let error = speak(&apart, "en-US", "MAN", ENDLESS).unwrap_err();
        assert_eq!(error.to_string(), "the voice for en-US took longer than 1.5 s");
        assert!(error.is_temporary());
    }

    /// A text found by fuzzing that the engine never finishes.
    const ENDLESS: &str = include_str!("../../tests/sounds/endless.txt");

    #[test]
    fn a_voice_is_written_when_it_speaks_privately_and_mended() {
        let folder = Path::new(env!("OUT_DIR")).join("mended");
        drop(fs::remove_dir_all(&folder));
        let pico = Pico::open(&folder).unwrap();
        assert!(!folder.exists());
        speak(&pico, "en-US", "WOMAN", "hello").unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
        fs::write(folder.join("en-US_ta.bin"), b"not a voice").unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        let pico = Pico::open(&folder).unwrap();
        speak(&pico, "en-US", "WOMAN", "hello").unwrap();
        speak(&pico, "de-DE", "WOMAN", "hallo").unwrap();
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 4);
        fs::remove_dir_all(&folder).unwrap();
        let error = speak(&pico, "en-US", "WOMAN", "hello").unwrap_err();
        assert!(error.to_string().starts_with("the voice for en-US failed"), "{error}");
    }

    /// Faults, A6: a disk that is full at the start costs what is spoken, until it has room.
    #[test]
    fn a_voice_that_cannot_be_written_speaks_once_it_can() {
        let folder = Path::new(env!("OUT_DIR")).join("unwritable");
        drop(fs::remove_dir_all(&folder));
        fs::write(&folder, b"a file").unwrap();
        let pico = Pico::open(&folder).unwrap();
        let error = speak(&pico, "en-US", "WOMAN", "hello").unwrap_err();
        assert!(error.to_string().contains("cannot be written to"), "{error}");
        assert!(error.is_temporary());
        fs::remove_file(&folder).unwrap();
        speak(&pico, "en-US", "WOMAN", "hello").unwrap();
    }

    /// Median pitch of the voiced parts in hertz: the best autocorrelation lag of 40 ms windows.
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
