//! `<Speak>`: speaks a text to the call.

use std::sync::Arc;

use super::{Vendors, VerbStart};
use crate::{
    flow::{
        AttrKind, FlowError,
        attrs::{ElementReader, verb},
        element::{XmlElement, collapse_whitespace},
    },
    media::{Program, Sound, SoundKind},
};

/// Elements of SSML that the vendors accept (contract 3.2).
const SSML: &[&str] =
    &["break", "cont", "emphasis", "lang", "p", "phoneme", "prosody", "s", "say-as", "sub", "w"];
/// Those that separate words; the others may be inside a word.
const BETWEEN: &[&str] = &["break", "p", "s"];

verb! {
    /// Speaks its text, then continues. Elements of SSML are replaced by their text.
    ///
    /// `${call.from}`, `${call.to}`, `${conference.name}`, `${conference.cause}`, `${kick.reason}`
    /// and `${digits}` are replaced by their current values; `${kick.reason:-no reason}` by the text
    /// after `:-` if there is none. `$${digits}` is the literal text `${digits}`.
    ///
    /// ```xml
    /// <Speak voice="MAN" language="en-GB">Welcome. <break/> You are
    /// <emphasis>early</emphasis>.</Speak>
    /// ```
    pub struct SpeakVerb {
        /// None if the text is empty.
        pub program: Option<Program>,
    }
    "Speak", Vendors::Both, text Words, holds SSML, answers true;

    /// `WOMAN`, `MAN`, or a name that the speech backend knows, such as `Polly.Joanna`.
    voice: Arc<str> = "voice" [AttrKind::Text] or "WOMAN", like "MAN";
    /// Language of the text.
    language: Arc<str> = "language" [AttrKind::Text] or "en-US", like "fr-FR";
    /// Number of repetitions; 0 repeats until the call ends.
    times: u32 = "loop" [AttrKind::Number(0, u32::MAX)] or 1, like "3";
}

impl SpeakVerb {
    pub(super) fn parse(reading: &mut ElementReader<'_, '_>) -> Result<Self, FlowError> {
        let Rows { voice, language, times } = Rows::read(reading);
        let element = reading.element;
        let text: Arc<str> = match element.children.is_empty() {
            true => element.normalized_text().into(),
            false => {
                check_parts(element)?;
                spoken(element).into()
            }
        };
        reading.warn_variables(&text);
        if text.is_empty() {
            reading.warn_idle_element("it has no text");
            return Ok(Self { program: None });
        }
        let what = SoundKind::Speech { text, voice, language };
        Ok(Self { program: Some([Sound { what, times }].into()) })
    }

    pub(super) fn begin(&self) -> VerbStart {
        self.program.clone().map_or(VerbStart::Next, VerbStart::Play)
    }
}

/// The text of an element and its children, as it is spoken.
pub(in crate::flow) fn spoken(element: &XmlElement<'_>) -> String {
    let mut text = String::new();
    append(element, &mut text);
    collapse_whitespace(&text).into_owned()
}

fn check_parts(element: &XmlElement<'_>) -> Result<(), FlowError> {
    for child in &element.children {
        SpeakVerb::INFO.check_child(child)?;
        check_parts(child)?;
    }
    Ok(())
}

/// Appends an element's text with the text of its children in place.
fn append(element: &XmlElement<'_>, text: &mut String) {
    let mut from = 0;
    for child in &element.children {
        text.push_str(&element.text[from..child.text_before]);
        from = child.text_before;
        let between = if BETWEEN.contains(&child.tag) { " " } else { "" };
        text.push_str(between);
        append(child, text);
        text.push_str(between);
    }
    text.push_str(&element.text[from..]);
}

#[cfg(test)]
mod tests {
    use crate::flow::verbs::check;

    #[track_caller]
    fn says(element: &str, expected: &str) {
        let speech = format!("text: {expected:?}, voice: \"WOMAN\", language: \"en-US\"");
        let sound = format!("Sound {{ what: Speech {{ {speech} }}, times: 1 }}");
        check(element, &format!("Speak(SpeakVerb {{ program: Some([{sound}]) }})"));
    }

    #[test]
    fn reads_its_attributes() {
        let sound =
            r#"Sound { what: Speech { text: "a", voice: "MAN", language: "fr-FR" }, times: 0 }"#;
        check(
            "<Speak voice='MAN' language='fr-FR' loop='0'>a</Speak>",
            &format!("Speak(SpeakVerb {{ program: Some([{sound}]) }})"),
        );
    }

    #[test]
    fn reads_ssml_as_text() {
        says("<Speak> a\n  b </Speak>", "a b");
        says("<Speak>un<emphasis>believ</emphasis>able</Speak>", "unbelievable");
        says("<Speak>a<break time='1s'/>b<p>c</p><s>d</s>e</Speak>", "a b c d e");
        says("<Speak><emphasis>a</emphasis> <w>b</w></Speak>", "a b");
        says("<Speak>a <prosody rate='slow'>b <lang>c</lang> d</prosody>, e</Speak>", "a b c d, e");
        says(
            "<Speak><cont>a</cont><phoneme>b</phoneme><say-as>c</say-as><sub>d</sub></Speak>",
            "abcd",
        );
    }

    #[test]
    fn holds_nothing_but_ssml() {
        let only = "only <break>, <cont>, <emphasis>, <lang>, <p>, <phoneme>, <prosody>, <s>, \
                    <say-as>, <sub> or <w>";
        check("<Speak>a<Play>b</Play></Speak>", &format!("1:19: <Speak> holds no <Play>, {only}"));
        check(
            "<Speak>a<p>b<audio/></p></Speak>",
            &format!("1:23: <Speak> holds no <audio>, {only}"),
        );
    }

    #[test]
    fn passes_over_silence() {
        let expected =
            "Speak(SpeakVerb { program: None })\n1:11: <Speak> is skipped: it has no text";
        check("<Speak/>", expected);
        check("<Speak> <break/> </Speak>", expected);
    }
}
