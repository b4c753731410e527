//! `<Play>`: plays a sound to the call.

use super::{Vendors, VerbStart};
use crate::{
    flow::{
        AttrKind, FlowError,
        attrs::{ElementReader, verb},
        url,
    },
    media::{Program, Sound, SoundKind},
};

verb! {
    /// Plays the sound that its text names, then continues.
    ///
    /// The text is the URL of an mp3 or wav file, `flow:FILE`, or one of the built-in sounds
    /// `sound:hold`, `sound:ring` and `sound:beep`. It may contain the variables of `<Speak>`.
    ///
    /// ```xml
    /// <Play loop="2">https://example.com/welcome.mp3</Play>
    /// ```
    pub struct PlayVerb {
        /// None if the text names no sound.
        pub program: Option<Program>,
    }
    "Play", Vendors::Both, text Url, holds &[], answers true;

    /// Number of repetitions; 0 repeats until the call ends.
    times: u32 = "loop" [AttrKind::Number(0, u32::MAX)] or 1, like "3";
}

impl PlayVerb {
    /// Plays this URL once.
    pub(in crate::flow) fn of(url: &str) -> Self {
        Self { program: Some([SoundKind::Url(url.into()).into()].into()) }
    }

    pub(super) fn parse(reading: &mut ElementReader<'_, '_>) -> Result<Self, FlowError> {
        let Rows { times } = Rows::read(reading);
        let text = reading.element.normalized_text();
        if !url::is_audio(&text) {
            reading.warn_idle_element(
                "its text must be http://, https://, flow:FILE or sound:hold|ring|beep",
            );
            return Ok(Self { program: None });
        }
        reading.warn_variables(&text);
        let what = SoundKind::Url(text.as_ref().into());
        Ok(Self { program: Some([Sound { what, times }].into()) })
    }

    pub(super) fn begin(&self) -> VerbStart {
        self.program.clone().map_or(VerbStart::Next, VerbStart::Play)
    }
}

#[cfg(test)]
mod tests {
    use crate::flow::verbs::check;

    #[test]
    fn reads_its_sound() {
        for url in ["http://a/b.mp3", "flow:b.wav", "sound:ring"] {
            let sound = format!("Sound {{ what: Url({url:?}), times: 0 }}");
            let expected = format!("Play(PlayVerb {{ program: Some([{sound}]) }})");
            check(&format!("<Play loop='0'>\n{url} </Play>"), &expected);
        }
    }

    #[test]
    fn passes_over_what_is_no_sound() {
        let expected = "Play(PlayVerb { program: None })\n1:11: <Play> is skipped: \
                        its text must be http://, https://, flow:FILE or sound:hold|ring|beep";
        check("<Play/>", expected);
        check("<Play>a.mp3</Play>", expected);
        check("<Play>http://a/b c</Play>", expected);
    }
}
