//! `<GetInput>`: asks for keys or speech. `<Gather>` is the same under Vobiz' name.

/// Declares the verb under one of its names.
macro_rules! input {
    ($(#[doc = $doc:literal])+ $name:ident, $tag:literal, $vendors:expr) => {
        use std::{sync::Arc, time::Duration};

        use super::{Start, Vendors};
        use crate::flow::{
            FlowError, Kind, Method, Oddity,
            attrs::{METHOD, Reading, verb},
            digits::{Collect, DIGITS_END_AUTO, Fields},
            field::{FinishKey, Keys, SecondsOrAuto},
        };

        verb! {
            $(#[doc = $doc])+
            pub struct $name {
                /// What is asked, and how.
                pub(in crate::flow) collect: Arc<Collect>,
            }
            $tag, $vendors, text None, holds &["Speak", "Play", "Wait"], answers true;

            /// Asked with the input.
            action: Option<Arc<str>> = "action" [Kind::Target], like "https://example.com/input";
            /// How `action` is asked.
            method: Method = "method" [METHOD] or "POST", like "GET";
            /// What counts as input.
            input_type: Option<Arc<str>> = "inputType"
                [Kind::Choice(&["dtmf", "speech", "dtmf speech", "speech dtmf"])], like "dtmf";
            /// Seconds from the end of the prompts to the end of the try.
            all_within: Duration = "executionTimeout" [Kind::Seconds(5, 60)] or 15, like "30";
            /// Seconds from key to key.
            next_key_within: SecondsOrAuto = "digitEndTimeout" [Kind::SecondsOrAuto(2, 10)]
                or "auto", like "5";
            /// Seconds from the end of the prompts to the first key.
            first_key_within: Option<Duration> = "startInputTimeout" [Kind::Seconds(1, 60)],
                like "5";
            /// The key that ends the input, and is no part of it.
            finish: FinishKey = "finishOnKey" [Kind::Key] or '#', like "*";
            /// So many keys end the input.
            digits_max: u32 = "numDigits" [Kind::Number(1, 32)] or 32, like "4";
            /// How many times it is asked in all.
            tries: u32 = "retries" [Kind::Number(1, 100)] or 1, like "3";
            /// The answer of `action` is the next document; else it is only told.
            redirects: bool = "redirect" [Kind::Bool] or true, like "false";
            /// False keeps the input out of logs and traces.
            logs: bool = "log" [Kind::Bool] or true, like "false";

            idle {
                /// Seconds of silence that end what is said.
                "speechEndTimeout" [Kind::SecondsOrAuto(2, 10)] or "auto", like "5":
                    "no speech is heard";
                /// What is listened for.
                "speechModel" [Kind::Choice(&["default", "command_and_search", "phone_call"])]
                    or "default", like "phone_call": "no speech is heard";
                /// Phrases that are likely to be said, with commas between them.
                "hints" [Kind::Text], like "yes,no": "no speech is heard";
                /// What is spoken.
                "language" [Kind::Text] or "en-US", like "fr-FR": "no speech is heard";
                /// Told of what is understood so far.
                "interimSpeechResultsCallback" [Kind::Web], like "https://example.com/interim":
                    "no speech is heard";
                /// How that is told.
                "interimSpeechResultsCallbackMethod" [METHOD] or "POST", like "GET":
                    "no speech is heard";
                /// Leaves out rude words.
                "profanityFilter" [Kind::Bool] or false, like "true": "no speech is heard";
            }

            branches {
                /// Where it goes on when the document of `action` cannot be had; without it, the
                /// call ends.
                "onError", like "sorry";
            }
        }

        impl $name {
            pub(super) fn parse(reading: &mut Reading<'_, '_>) -> Result<Self, FlowError> {
                let rows = Rows::read(reading);
                reading.expect("action", "what is entered is told to nobody");
                reading.expect("inputType", "keys are taken, as with inputType=\"dtmf\"");
                let input_type = rows.input_type.as_deref().unwrap_or("dtmf");
                if input_type.contains("speech") {
                    let note = "no speech is heard";
                    reading.remark_on("inputType", Oddity::AttributeIdle { name: "speech", note });
                }
                let prompts = reading.prompts()?;
                let collect = Collect {
                    prompts: (!prompts.is_empty()).then(|| prompts.into()),
                    invalid_sound: None,
                    takes_keys: input_type.contains("dtmf"),
                    valid: Keys::ALL,
                    finish: rows.finish.0,
                    digits_max: rows.digits_max,
                    tries: rows.tries,
                    first_key_within: rows.first_key_within,
                    next_key_within: rows.next_key_within.0.unwrap_or(DIGITS_END_AUTO),
                    all_within: Some(rows.all_within),
                    action: reading.action(rows.action, rows.method, rows.redirects),
                    fields: Fields::Input,
                    is_private: !rows.logs,
                };
                Ok(Self { collect: Arc::new(collect) })
            }

            pub(super) fn begin(&self) -> Start {
                Start::Collect(self.collect.clone())
            }
        }
    };
}
pub(super) use input;

input! {
    /// Plays what is in it, and takes the keys that the caller presses. A key ends the prompts.
    ///
    /// With keys, `action` is asked, with the fields `InputType`, `Digits`, `Speech` and
    /// `SpeechConfidenceScore`; without one, the flow goes on at the next element.
    ///
    /// ```xml
    /// <GetInput action="flow:menu" inputType="dtmf" numDigits="1">
    ///   <Speak>Press 1 for the weekly meeting.</Speak>
    /// </GetInput>
    /// ```
    GetInput, "GetInput", Vendors::Plivo("<Gather>")
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use crate::{
        base::ids::Dialect,
        flow::{
            Flow, Verb,
            digits::{Collect, Fields},
            field::Keys,
        },
    };

    fn parse(dialect: Dialect, element: &str) -> (Arc<Collect>, Vec<String>) {
        let flow = Flow::parse(&format!("<Response>{element}</Response>"), dialect).unwrap();
        let remarks = flow.remarks.iter().map(|it| it.oddity.to_string()).collect();
        let verb = &flow.steps[0].verb;
        if let Verb::GetInput(verb) = verb {
            return (verb.collect.clone(), remarks);
        }
        let Verb::Gather(verb) = verb else { panic!() };
        (verb.collect.clone(), remarks)
    }

    /// Under both names, each in its own dialect.
    #[track_caller]
    fn check(attributes: &str, expected: &[&str]) -> Arc<Collect> {
        let attributes = format!("action='' {attributes}");
        let (input, remarks) = parse(Dialect::Plivo, &format!("<GetInput {attributes}/>"));
        assert_eq!(remarks, expected, "{attributes}");
        let (gather, remarks) = parse(Dialect::Vobiz, &format!("<Gather {attributes}/>"));
        assert_eq!((&gather, remarks), (&input, expected.iter().map(|&it| it.into()).collect()));
        input
    }

    #[test]
    fn has_the_contract_s_defaults() {
        let expected = Collect {
            prompts: None,
            invalid_sound: None,
            takes_keys: true,
            valid: Keys::ALL,
            finish: Some('#'),
            digits_max: 32,
            tries: 1,
            first_key_within: None,
            next_key_within: Duration::from_secs(3),
            all_within: Some(Duration::from_secs(15)),
            action: None,
            fields: Fields::Input,
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
        let expected = Collect {
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
    fn remarks_on_what_is_missing() {
        let (collect, remarks) = parse(Dialect::Vobiz, "<Gather/>");
        assert!(collect.takes_keys && collect.action.is_none());
        assert_eq!(
            remarks,
            [
                "<Gather> has no action: what is entered is told to nobody",
                "<Gather> has no inputType: keys are taken, as with inputType=\"dtmf\"",
            ]
        );
    }

    #[test]
    fn works_in_the_other_dialect_with_a_remark() {
        let attributes = "action='' inputType='dtmf'";
        let (_, remarks) = parse(Dialect::Vobiz, &format!("<GetInput {attributes}/>"));
        assert_eq!(remarks, ["<GetInput> works, but a vobiz flow has <Gather>"]);
        let (_, remarks) = parse(Dialect::Plivo, &format!("<Gather {attributes}/>"));
        assert_eq!(remarks, ["<Gather> works, but a plivo flow has <GetInput>"]);
    }
}
