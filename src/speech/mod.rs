//! The speech port: a text goes in, sound comes out.

pub mod command;
pub mod pico;
mod process;
mod voices;
mod words;

use std::sync::Arc;

pub use voices::Voices;

use crate::audio::clip::Clip;

/// The longest text that is read, in characters: the vendors' limit (contract 3.4). What is
/// longer is read so far, with a line in the log.
pub const TEXT_CHARS_MAX: usize = 3_000;

/// A text to be read aloud.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Utterance {
    /// The words. What stands in `<…>` is not read.
    pub text: Arc<str>,
    /// `WOMAN`, `MAN`, or a name that the implementation may know.
    pub voice: Arc<str>,
    /// Such as `en-US`.
    pub language: Arc<str>,
}

/// Something that reads texts aloud.
pub trait Speech: Send + Sync + 'static {
    /// Whether it has a voice for the language, or for another region's form of it.
    fn reads(&self, language: &str) -> bool;

    /// Reads a text. The same utterance sounds the same every time. A text without words (empty,
    /// only spaces) is a clip without samples.
    ///
    /// Takes as long as it takes (milliseconds to seconds) and blocks: call it on a thread that
    /// may wait, never on one that carries calls.
    ///
    /// # Errors
    ///
    /// No voice reads the language or the script of the text, or the voice failed.
    fn speak(&self, utterance: &Utterance) -> Result<Clip, SpeechError>;
}

/// A text was not read.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct SpeechError {
    message: Arc<str>,
    temporary: bool,
}

impl SpeechError {
    /// It will be the same next time.
    pub(crate) fn permanent(message: impl Into<Arc<str>>) -> Self {
        Self { message: message.into(), temporary: false }
    }

    /// It may go well next time.
    pub(crate) fn temporary(message: impl Into<Arc<str>>) -> Self {
        Self { message: message.into(), temporary: true }
    }

    /// Nobody reads this language.
    pub(crate) fn no_voice(language: &str) -> Self {
        let language: String = language.chars().take(40).collect();
        Self::permanent(format!("no voice reads {language:?}"))
    }

    /// Whether the same may go well later.
    pub fn is_temporary(&self) -> bool {
        self.temporary
    }
}

/// What every implementation must pass.
#[cfg(test)]
pub(crate) mod suite {
    use super::*;

    /// Puts an implementation to the test with a language and a text of it.
    pub(crate) fn check(speech: &dyn Speech, language: &str, text: &str) {
        a_text_becomes_sound(speech, language, text);
        a_longer_text_sounds_longer(speech, language, text);
        nothing_to_read_is_silence(speech, language);
        markup_is_not_read(speech, language, text);
        control_characters_do_no_harm(speech, language, text);
        a_language_that_is_none_is_refused(speech);
    }

    /// An utterance by WOMAN.
    pub(crate) fn utterance(language: &str, text: &str) -> Utterance {
        Utterance { text: text.into(), voice: "WOMAN".into(), language: language.into() }
    }

    fn speak(speech: &dyn Speech, language: &str, text: &str) -> Clip {
        let spoken = speech.speak(&utterance(language, text));
        spoken.unwrap_or_else(|error| panic!("{language}: {text:.60}: {error}"))
    }

    fn seconds(clip: &Clip) -> f64 {
        clip.samples.len() as f64 / f64::from(clip.rate)
    }

    fn a_text_becomes_sound(speech: &dyn Speech, language: &str, text: &str) {
        assert!(speech.reads(language), "{language}");
        let clip = speak(speech, language, text);
        assert_eq!(clip, speak(speech, language, text), "{language}: not the same twice");
        assert!((8_000..=48_000).contains(&clip.rate), "{language}: {}", clip.rate);
        let words = text.split_whitespace().count() as f64;
        assert!((0.1 * words..1.5 * words).contains(&seconds(&clip)), "{}", seconds(&clip));
        let power: f64 = clip.samples.iter().map(|s| f64::from(*s).powi(2)).sum();
        let loudness = (power / clip.samples.len() as f64).sqrt();
        assert!((300.0..12_000.0).contains(&loudness), "{language}: rms {loudness}");
    }

    fn a_longer_text_sounds_longer(speech: &dyn Speech, language: &str, text: &str) {
        let once = seconds(&speak(speech, language, text));
        let twice = seconds(&speak(speech, language, &format!("{text} {text}")));
        assert!((1.5..2.5).contains(&(twice / once)), "{language}: {once} s, then {twice} s");
    }

    fn nothing_to_read_is_silence(speech: &dyn Speech, language: &str) {
        for text in ["", "  \n", "<br/>", "\u{0}"] {
            let clip = speak(speech, language, text);
            assert_eq!(clip.samples.len(), 0, "{language}: {text:?}");
        }
    }

    fn markup_is_not_read(speech: &dyn Speech, language: &str, text: &str) {
        let marked = format!("<pitch level='50'>{text}</pitch>");
        let (plain, marked) = (speak(speech, language, text), speak(speech, language, &marked));
        assert_eq!(plain, marked, "{language}");
    }

    fn control_characters_do_no_harm(speech: &dyn Speech, language: &str, text: &str) {
        let controlled = text.replace(' ', " \u{0}\u{1b}\u{7f}\r");
        let (plain, controlled) =
            (speak(speech, language, text), speak(speech, language, &controlled));
        assert_eq!(plain, controlled, "{language}");
    }

    fn a_language_that_is_none_is_refused(speech: &dyn Speech) {
        for language in ["", "-", "--help", "../de-DE", "de-DE/..", "zz; ls"] {
            let refusal = speech.speak(&utterance(language, "hello")).expect_err(language);
            assert!(!refusal.is_temporary(), "{language}: {refusal}");
            assert!(!speech.reads(language), "{language}");
        }
    }
}
