//! `<GetDigits>`: asks for keys.

use std::{sync::Arc, time::Duration};

use super::{Vendors, VerbStart};
use crate::{
    flow::{
        AttrKind, FlowError, RequestMethod,
        attr::METHOD,
        attrs::{ElementReader, verb},
        digits::{CollectSettings, InputFields},
        field::{FinishKey, KeySet},
    },
    media::{Sound, SoundKind},
};

/// One hour: nobody waits longer for a key.
const SECONDS_MAX: u32 = 3_600;
/// Default of the vendors, and longer than any number.
const DIGITS_MAX: u32 = 99;
/// Nobody listens more often.
const TRIES_MAX: u32 = 100;

verb! {
    /// Plays its children and takes the keys that the caller presses. A key ends the prompts.
    ///
    /// After an input, `action` is requested with the field `Digits`. Without input, or without
    /// `action`, the flow continues at the next element.
    ///
    /// ```xml
    /// <GetDigits action="flow:menu" numDigits="1" retries="2">
    ///   <Speak>Press 1 for the weekly meeting.</Speak>
    /// </GetDigits>
    /// ```
    pub struct GetDigitsVerb {
        /// Shared with every call that runs this element.
        pub(in crate::flow) collect: Arc<CollectSettings>,
    }
    "GetDigits", Vendors::Plivo("<Gather>"), text None, holds &["Speak", "Play", "Wait"], answers true;

    /// Requested with the keys.
    action: Option<Arc<str>> = "action" [AttrKind::Target], like "https://example.com/digits";
    /// HTTP method for `action`.
    method: RequestMethod = "method" [METHOD] or "POST", like "GET";
    /// Seconds from the end of the prompts to the first key.
    timeout: Duration = "timeout" [AttrKind::Seconds(1, SECONDS_MAX)] or 5, like "10";
    /// Seconds between two keys.
    digit_timeout: Duration = "digitTimeout" [AttrKind::Seconds(1, SECONDS_MAX)] or 2, like "4";
    /// The key that ends the input without being part of it.
    finish: FinishKey = "finishOnKey" [AttrKind::Key] or '#', like "*";
    /// Number of keys that end the input.
    digits_max: u32 = "numDigits" [AttrKind::Number(1, DIGITS_MAX)] or 99, like "4";
    /// Number of tries in all.
    tries: u32 = "retries" [AttrKind::Number(1, TRIES_MAX)] or 1, like "3";
    /// The response of `action` is the next document. If false, it is ignored.
    redirects: bool = "redirect" [AttrKind::Bool] or true, like "false";
    /// Beeps after the prompts.
    beeps: bool = "playBeep" [AttrKind::Bool] or false, like "true";
    /// The valid keys. Another key ends the try.
    valid: KeySet = "validDigits" [AttrKind::Keys] or "1234567890*#", like "123";
    /// Played after an invalid key.
    invalid_sound: Option<Arc<str>> = "invalidDigitsSound" [AttrKind::Audio],
        like "https://example.com/wrong.mp3";
    /// False keeps the keys out of logs and traces.
    logs: bool = "log" [AttrKind::Bool] or true, like "false";

    branches {
        /// Id of a later element at which the flow continues if the document of `action` cannot be
        /// fetched. Without it, the call ends.
        "onError", like "sorry";
    }
}

impl GetDigitsVerb {
    pub(super) fn parse(reading: &mut ElementReader<'_, '_>) -> Result<Self, FlowError> {
        let rows = Rows::read(reading);
        let mut prompts = reading.prompts()?;
        prompts.extend(rows.beeps.then_some(Sound::from(SoundKind::Beep(1))));
        let invalid_sound = rows.invalid_sound.map(|url| [Sound::from(SoundKind::Url(url))].into());
        let collect = CollectSettings {
            prompts: (!prompts.is_empty()).then(|| prompts.into()),
            invalid_sound,
            takes_keys: true,
            valid: rows.valid,
            finish: rows.finish.0,
            digits_max: rows.digits_max,
            tries: rows.tries,
            first_key_within: Some(rows.timeout),
            next_key_within: rows.digit_timeout,
            all_within: None,
            action: reading.action(rows.action, rows.method, rows.redirects),
            fields: InputFields::Digits,
            is_private: !rows.logs,
        };
        Ok(Self { collect: Arc::new(collect) })
    }

    pub(super) fn begin(&self) -> VerbStart {
        VerbStart::Collect(self.collect.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use crate::{
        base::ids::Dialect,
        flow::{
            Action, Flow, RequestMethod, Verb,
            digits::{CollectSettings, InputFields},
            field::{AttrValue, KeySet},
            verbs::check,
        },
        media::SoundKind,
    };

    fn parse(element: &str) -> (Arc<CollectSettings>, Vec<String>) {
        let flow = Flow::parse(&format!("<Response>{element}</Response>"), Dialect::Plivo).unwrap();
        let warnings = flow.warnings.iter().map(|it| it.warning.to_string()).collect();
        let Verb::GetDigits(verb) = &flow.steps[0].verb else { panic!() };
        (verb.collect.clone(), warnings)
    }

    #[track_caller]
    fn changes(attributes: &str, change: impl Fn(&mut CollectSettings)) {
        let mut expected = (*parse("<GetDigits/>").0).clone();
        change(&mut expected);
        let (collect, warnings) = parse(&format!("<GetDigits {attributes}/>"));
        assert_eq!((&*collect, warnings), (&expected, vec![]), "{attributes}");
    }

    #[test]
    fn has_the_contract_s_defaults() {
        let expected = CollectSettings {
            prompts: None,
            invalid_sound: None,
            takes_keys: true,
            valid: KeySet::of("1234567890*#"),
            finish: Some('#'),
            digits_max: 99,
            tries: 1,
            first_key_within: Some(Duration::from_secs(5)),
            next_key_within: Duration::from_secs(2),
            all_within: None,
            action: None,
            fields: InputFields::Digits,
            is_private: false,
        };
        assert_eq!(*parse("<GetDigits/>").0, expected);
    }

    #[test]
    fn reads_its_attributes() {
        let action = |method, redirects| Some(Action { url: "flow:a".into(), method, redirects });
        changes("action='flow:a'", |it| it.action = action(RequestMethod::Post, true));
        changes("action='flow:a' method='GET' redirect='false'", |it| {
            it.action = action(RequestMethod::Get, false);
        });
        changes("timeout='7'", |it| it.first_key_within = Some(Duration::from_secs(7)));
        changes("digitTimeout='7'", |it| it.next_key_within = Duration::from_secs(7));
        changes("finishOnKey='*'", |it| it.finish = Some('*'));
        changes("finishOnKey=''", |it| it.finish = None);
        changes("finishOnKey='none'", |it| it.finish = None);
        changes("numDigits='4'", |it| it.digits_max = 4);
        changes("retries='3'", |it| it.tries = 3);
        changes("playBeep='true'", |it| it.prompts = Some([SoundKind::Beep(1).into()].into()));
        changes("validDigits='12'", |it| it.valid = KeySet::of("12"));
        changes("invalidDigitsSound='flow:no.mp3'", |it| {
            it.invalid_sound = Some([SoundKind::Url("flow:no.mp3".into()).into()].into());
        });
        changes("log='false'", |it| it.is_private = true);
    }

    #[test]
    fn an_invalid_value_is_replaced_by_the_default() {
        for (attribute, wanted) in [
            ("timeout=\"0\"", "the default \"5\" holds: write whole seconds from 1 to 3600"),
            ("finishOnKey=\"12\"", "the default \"#\" holds: write one of 0123456789*# or none"),
            ("finishOnKey=\"x\"", "the default \"#\" holds: write one of 0123456789*# or none"),
            ("numDigits=\"100\"", "the default \"99\" holds: write a whole number from 1 to 99"),
            (
                "validDigits=\"x\"",
                "the default \"1234567890*#\" holds: write keys out of 0123456789*#",
            ),
            (
                "validDigits=\"\"",
                "the default \"1234567890*#\" holds: write keys out of 0123456789*#",
            ),
        ] {
            let (collect, warnings) = parse(&format!("<GetDigits {attribute}/>"));
            assert_eq!(warnings, [format!("{attribute} is ignored, and {wanted}")]);
            assert_eq!(collect, parse("<GetDigits/>").0);
        }
    }

    #[test]
    fn its_prompts_are_one_program() {
        let (collect, warnings) = parse(
            "<GetDigits playBeep='true'><Speak>a</Speak><Wait length='2'/><Play>b</Play>
            <Play loop='2'>sound:ring</Play></GetDigits>",
        );
        let shown: Vec<_> = collect
            .prompts
            .as_ref()
            .unwrap()
            .iter()
            .map(|it| {
                (
                    it.times,
                    match &it.what {
                        SoundKind::Beep(n) => format!("beep {n}"),
                        SoundKind::Silence(length) => format!("{length:?}"),
                        SoundKind::Url(text) | SoundKind::Speech { text, .. } => text.to_string(),
                    },
                )
            })
            .collect();
        let expected = [(1, "a"), (1, "2s"), (2, "sound:ring"), (1, "beep 1")];
        assert_eq!(shown, expected.map(|(times, what)| (times, what.to_owned())));
        assert_eq!(warnings.len(), 1, "{warnings:?}");
    }

    #[test]
    fn holds_prompts_only() {
        check(
            "<GetDigits>\n<GetDigits/></GetDigits>",
            "2:1: <GetDigits> holds no <GetDigits>, only <Speak>, <Play> or <Wait>",
        );
        check(
            "<GetDigits><Play>sound:ring<Speak/></Play></GetDigits>",
            "1:38: <Play> holds no elements: close it before <Speak>",
        );
    }
}
