//! Speech port: turns texts into sound.

pub mod command;
pub mod pico;
mod process;
mod voices;
mod words;

use std::sync::Arc;

pub use voices::Voices;

use crate::audio::clip::Clip;

/// Longest text that is spoken, in characters: the vendors' limit (contract 3.4). A longer text
/// is cut, with a warning in the log.
pub const TEXT_CHARS_MAX: usize = 3_000;

/// A text to be spoken, with voice and language.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Utterance {
    /// Text without markup: everything in `<…>` is skipped.
    pub text: Arc<str>,
    /// `WOMAN`, `MAN`, or a name that the backend may know.
    pub voice: Arc<str>,
    /// Language tag, such as `en-US`.
    pub language: Arc<str>,
}

/// A speech backend: a program or an engine.
pub trait Speech: Send + Sync + 'static {
    /// Whether it has a voice for the language, possibly of another region.
    fn reads(&self, language: &str) -> bool;

    /// Speaks a text. The same utterance always gives the same samples. A text without words gives
    /// a clip without samples.
    ///
    /// Blocks for milliseconds to seconds: call it only on a thread that may wait, never on one
    /// that carries calls.
    ///
    /// # Errors
    ///
    /// No voice speaks the language or the script of the text, or the voice failed.
    fn speak(&self, utterance: &Utterance) -> Result<Clip, SpeechError>;
}

/// Why a text was not spoken.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct SpeechError {
    message: Arc<str>,
    temporary: bool,
}

impl SpeechError {
    /// An error that will repeat with the same text.
    pub(crate) fn permanent(message: impl Into<Arc<str>>) -> Self {
        Self { message: message.into(), temporary: false }
    }

    /// An error that may not repeat.
    pub(crate) fn temporary(message: impl Into<Arc<str>>) -> Self {
        Self { message: message.into(), temporary: true }
    }

    /// No voice speaks this language.
    pub(crate) fn no_voice(language: &str) -> Self {
        let language: String = language.chars().take(40).collect();
        Self::permanent(format!("no voice reads {language:?}"))
    }

    /// Whether a later attempt may succeed.
    pub fn is_temporary(&self) -> bool {
        self.temporary
    }
}

/// Tests that every backend must pass.
#[cfg(test)]
pub(crate) mod suite {
    use super::*;

    /// Runs all tests of the suite with a language and a text in it.
    pub(crate) fn check(speech: &dyn Speech, language: &str, text: &str) {
        a_text_becomes_sound(speech, language, text);
        a_longer_text_sounds_longer(speech, language, text);
        an_empty_text_is_silence(speech, language);
        markup_is_not_read(speech, language, text);
        control_characters_do_no_harm(speech, language, text);
        an_invalid_language_is_refused(speech);
    }

    /// An utterance with the voice WOMAN.
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

    fn an_empty_text_is_silence(speech: &dyn Speech, language: &str) {
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

    fn an_invalid_language_is_refused(speech: &dyn Speech) {
        for language in ["", "-", "--help", "../de-DE", "de-DE/..", "zz; ls"] {
            let refusal = speech.speak(&utterance(language, "hello")).expect_err(language);
            assert!(!refusal.is_temporary(), "{language}: {refusal}");
            assert!(!speech.reads(language), "{language}");
        }
    }
}
