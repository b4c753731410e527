//! `<GetInput>`: asks for keys. [`super::gather`] is the same element under Vobiz' name.

/// Declares the verb under one of its names.
macro_rules! input {
    ($(#[doc = $doc:literal])+ $name:ident, $tag:literal, $vendors:expr) => {
        use std::{sync::Arc, time::Duration};

        use super::{VerbStart, Vendors};
        use crate::flow::{
            FlowError, AttrKind, RequestMethod, FlowWarningKind,
            attr::METHOD, attrs::{ElementReader, verb},
            digits::{CollectSettings, DIGITS_END_AUTO, InputFields},
            field::{FinishKey, KeySet, SecondsOrAuto},
        };

        verb! {
            $(#[doc = $doc])+
            pub struct $name {
                /// Shared with every call that runs this element.
                pub(in crate::flow) collect: Arc<CollectSettings>,
            }
            $tag, $vendors, text None, holds &["Speak", "Play", "Wait"], answers true;

            /// Requested with the input.
            action: Option<Arc<str>> = "action" [AttrKind::Target], like "https://example.com/input";
            /// HTTP method for `action`.
            method: RequestMethod = "method" [METHOD] or "POST", like "GET";
            /// Kind of input: keys, speech or both. Keys are telephone events or INFO; tones in the
            /// sound are not recognized.
            input_type: Option<Arc<str>> = "inputType"
                [AttrKind::Choice(&["dtmf", "speech", "dtmf speech", "speech dtmf"])], like "dtmf";
            /// Seconds from the end of the prompts to the end of the try.
            all_within: Duration = "executionTimeout" [AttrKind::Seconds(5, 60)] or 15, like "30";
            /// Seconds between two keys.
            next_key_within: SecondsOrAuto = "digitEndTimeout" [AttrKind::SecondsOrAuto(2, 10)]
                or "auto", like "5";
            /// Seconds from the end of the prompts to the first key.
            first_key_within: Option<Duration> = "startInputTimeout" [AttrKind::Seconds(1, 60)],
                like "5";
            /// The key that ends the input without being part of it.
            finish: FinishKey = "finishOnKey" [AttrKind::Key] or '#', like "*";
            /// Number of keys that end the input.
            digits_max: u32 = "numDigits" [AttrKind::Number(1, 32)] or 32, like "4";
            /// Number of tries in all.
            tries: u32 = "retries" [AttrKind::Number(1, 100)] or 1, like "3";
            /// The response of `action` is the next document. If false, it is ignored.
            redirects: bool = "redirect" [AttrKind::Bool] or true, like "false";
            /// False keeps the input out of logs and traces.
            logs: bool = "log" [AttrKind::Bool] or true, like "false";

            idle {
                /// Seconds of silence that end the speech.
                "speechEndTimeout" [AttrKind::SecondsOrAuto(2, 10)] or "auto", like "5":
                    "no speech is heard";
                /// Model for speech recognition.
                "speechModel" [AttrKind::Choice(&["default", "command_and_search", "phone_call"])]
                    or "default", like "phone_call": "no speech is heard";
                /// Phrases that the caller is likely to say, separated by commas.
                "hints" [AttrKind::Text], like "yes,no": "no speech is heard";
                /// Language of the speech.
                "language" [AttrKind::Text] or "en-US", like "fr-FR": "no speech is heard";
                /// URL that receives partial results.
                "interimSpeechResultsCallback" [AttrKind::Web], like "https://example.com/interim":
                    "no speech is heard";
                /// HTTP method for `interimSpeechResultsCallback`.
                "interimSpeechResultsCallbackMethod" [METHOD] or "POST", like "GET":
                    "no speech is heard";
                /// Removes rude words from the text.
                "profanityFilter" [AttrKind::Bool] or false, like "true": "no speech is heard";
            }

            branches {
                /// Id of a later element at which the flow continues if the document of `action`
                /// cannot be fetched. Without it, the call ends.
                "onError", like "sorry";
            }
        }

        impl $name {
            pub(super) fn parse(reading: &mut ElementReader<'_, '_>) -> Result<Self, FlowError> {
                let rows = Rows::read(reading);
                reading.warn_if_missing("action", "the input is sent nowhere");
                reading.warn_if_missing("inputType", "keys are read, as with inputType=\"dtmf\"");
                let input_type = rows.input_type.as_deref().unwrap_or("dtmf");
                if input_type.contains("speech") {
                    let note = "no speech is heard";
                    reading.warn_attribute("inputType", FlowWarningKind::AttributeIdle { name: "speech", note });
                }
                let prompts = reading.prompts()?;
                let collect = CollectSettings {
                    prompts: (!prompts.is_empty()).then(|| prompts.into()),
                    invalid_sound: None,
                    takes_keys: input_type.contains("dtmf"),
                    valid: KeySet::ALL,
                    finish: rows.finish.0,
                    digits_max: rows.digits_max,
                    tries: rows.tries,
                    first_key_within: rows.first_key_within,
                    next_key_within: rows.next_key_within.0.unwrap_or(DIGITS_END_AUTO),
                    all_within: Some(rows.all_within),
                    action: reading.action(rows.action, rows.method, rows.redirects),
                    fields: InputFields::Input,
                    is_private: !rows.logs,
                };
                Ok(Self { collect: Arc::new(collect) })
            }

            pub(super) fn begin(&self) -> VerbStart {
                VerbStart::Collect(self.collect.clone())
            }
        }
    };
}
pub(super) use input;

input! {
    /// Plays its children and takes the keys that the caller presses. A key ends the prompts.
    ///
    /// After an input, `action` is requested with the fields `InputType`, `Digits`, `Speech` and
    /// `SpeechConfidenceScore`. Without input, the flow continues at the next element.
    ///
    /// ```xml
    /// <GetInput action="flow:menu" inputType="dtmf" numDigits="1">
    ///   <Speak>Press 1 for the weekly meeting.</Speak>
    /// </GetInput>
    /// ```
    GetInputVerb, "GetInput", Vendors::Plivo("<Gather>")
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use crate::{
        base::ids::Dialect,
        flow::{
            Flow, Verb,
            digits::{CollectSettings, InputFields},
            field::KeySet,
        },
    };

    fn parse(dialect: Dialect, element: &str) -> (Arc<CollectSettings>, Vec<String>) {
        let flow = Flow::parse(&format!("<Response>{element}</Response>"), dialect).unwrap();
        let warnings = flow.warnings.iter().map(|it| it.warning.to_string()).collect();
        let verb = &flow.steps[0].verb;
        if let Verb::GetInput(verb) = verb {
            return (verb.collect.clone(), warnings);
        }
        let Verb::Gather(verb) = verb else { panic!() };
        (verb.collect.clone(), warnings)
    }

    /// Parses the element under both names, each in its own dialect.
    #[track_caller]
    fn check(attributes: &str, expected: &[&str]) -> Arc<CollectSettings> {
        let attributes = format!("action='' {attributes}");
        let (input, warnings) = parse(Dialect::Plivo, &format!("<GetInput {attributes}/>"));
        assert_eq!(warnings, expected, "{attributes}");
        let (gather, warnings) = parse(Dialect::Vobiz, &format!("<Gather {attributes}/>"));
        assert_eq!((&gather, warnings), (&input, expected.iter().map(|&it| it.into()).collect()));
        input
    }

    #[test]
    fn has_the_contract_s_defaults() {
        let expected = CollectSettings {
            prompts: None,
            invalid_sound: None,
            takes_keys: true,
            valid: KeySet::ALL,
            finish: Some('#'),
            digits_max: 32,
            tries: 1,
            first_key_within: None,
            next_key_within: Duration::from_secs(3),
            all_within: Some(Duration::from_secs(15)),
            action: None,
            fields: InputFields::Input,
            is_private: false,
        };
        assert_eq!(*check("inputType='dtmf'", &[]), expected);
    }

    #[test]
    fn reads_its_attributes() {
        let collect = check(
            "inputType='dtmf' executionTimeout='5' digitEndTimeout='10' startInputTimeout='4'
            finishOnKey='none' numDigits='1' retries='2' log='false'",
            &[],
        );
        let expected = CollectSettings {
            finish: None,
            digits_max: 1,
            tries: 2,
            first_key_within: Some(Duration::from_secs(4)),
            next_key_within: Duration::from_secs(10),
            all_within: Some(Duration::from_secs(5)),
            is_private: true,
            ..(*check("inputType='dtmf' digitEndTimeout='auto'", &[])).clone()
        };
        assert_eq!(*collect, expected);
    }

    #[test]
    fn speech_is_valid_and_yields_none() {
        let note = "speech is accepted, and has no effect yet: no speech is heard";
        assert!(!check("inputType='speech'", &[note]).takes_keys);
        assert!(check("inputType='dtmf speech'", &[note]).takes_keys);
        check(
            "inputType='dtmf' hints='a' speechEndTimeout='auto' profanityFilter='true'",
            &[
                "hints is accepted, and has no effect yet: no speech is heard",
                "profanityFilter is accepted, and has no effect yet: no speech is heard",
            ],
        );
    }

    #[test]
    fn warns_of_what_is_missing() {
        let (collect, warnings) = parse(Dialect::Vobiz, "<Gather/>");
        assert!(collect.takes_keys && collect.action.is_none());
        assert_eq!(
            warnings,
            [
                "<Gather> has no action: the input is sent nowhere",
                "<Gather> has no inputType: keys are read, as with inputType=\"dtmf\"",
            ]
        );
    }

    #[test]
    fn works_in_the_other_dialect_with_a_warning() {
        let attributes = "action='' inputType='dtmf'";
        let (_, warnings) = parse(Dialect::Vobiz, &format!("<GetInput {attributes}/>"));
        assert_eq!(warnings, ["<GetInput> works, but a vobiz flow has <Gather>"]);
        let (_, warnings) = parse(Dialect::Plivo, &format!("<Gather {attributes}/>"));
        assert_eq!(warnings, ["<Gather> works, but a plivo flow has <GetInput>"]);
    }
}
