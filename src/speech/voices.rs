//! Voices: several speech backends as one, in order of preference.

use std::sync::Arc;

use super::{Speech, SpeechError, Utterance};
use crate::audio::clip::Clip;

/// Speech backends in order of preference.
pub struct Voices(Vec<Arc<dyn Speech>>);

impl Voices {
    /// The first backend that speaks a language gets the text, and only that one.
    pub fn new(in_order: Vec<Arc<dyn Speech>>) -> Self {
        Self(in_order)
    }
}

impl Speech for Voices {
    fn reads(&self, language: &str) -> bool {
        self.0.iter().any(|speech| speech.reads(language))
    }

    fn speak(&self, utterance: &Utterance) -> Result<Clip, SpeechError> {
        let language = &utterance.language;
        let reader = self.0.iter().find(|speech| speech.reads(language));
        reader.ok_or_else(|| SpeechError::no_voice(language))?.speak(utterance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::speech::suite::utterance;

    /// Speaks one language with a clip of one sample.
    struct One(&'static str, i16);

    impl Speech for One {
        fn reads(&self, language: &str) -> bool {
            language == self.0
        }

        fn speak(&self, _: &Utterance) -> Result<Clip, SpeechError> {
            Ok(Clip { rate: 8_000, samples: [self.1].into() })
        }
    }

    #[test]
    fn the_first_that_reads_a_language_is_asked() {
        let voices = Voices::new(vec![
            Arc::new(One("de", 1)),
            Arc::new(One("de", 2)),
            Arc::new(One("nl", 3)),
        ]);
        let check = |language, expected: Result<i16, &str>| {
            let spoken = voices.speak(&utterance(language, "x"));
            let spoken = spoken.map(|clip| clip.samples[0]).map_err(|error| error.to_string());
            assert_eq!(spoken, expected.map_err(str::to_owned));
            assert_eq!(voices.reads(language), expected.is_ok());
        };
        check("de", Ok(1));
        check("nl", Ok(3));
        check("xx", Err("no voice reads \"xx\""));
    }
}
