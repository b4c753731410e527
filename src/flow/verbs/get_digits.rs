//! `<GetDigits>`: asks for keys.

use std::{sync::Arc, time::Duration};

use super::{Start, Vendors};
use crate::{
    flow::{
        FlowError, Kind, Method,
        attrs::{METHOD, Reading, verb},
        digits::{Collect, Fields},
        field::{FinishKey, Keys},
    },
    media::{Sound, What},
};

/// An hour is longer than anybody waits for a key.
const SECONDS_MAX: u32 = 3_600;
/// The vendors' own default, and more than any number has.
const DIGITS_MAX: u32 = 99;
/// More often than anybody listens.
const TRIES_MAX: u32 = 100;

verb! {
    /// Plays what is in it, and takes the keys that the caller presses. A key ends the prompts.
    ///
    /// With keys, `action` is asked, with the field `Digits`; without one, or without `action`,
    /// the flow goes on at the next element.
    ///
    /// ```xml
    /// <GetDigits action="flow:menu" numDigits="1" retries="2">
    ///   <Speak>Press 1 for the weekly meeting.</Speak>
    /// </GetDigits>
    /// ```
    pub struct GetDigits {
        /// What is asked, and how.
        pub(in crate::flow) collect: Arc<Collect>,
    }
    "GetDigits", Vendors::Plivo("<Gather>"), text None, holds &["Speak", "Play", "Wait"], answers true;

    /// Asked with the keys.
    action: Option<Arc<str>> = "action" [Kind::Target], like "https://example.com/digits";
    /// How `action` is asked.
    method: Method = "method" [METHOD] or "POST", like "GET";
    /// Seconds from the end of the prompts to the first key.
    timeout: Duration = "timeout" [Kind::Seconds(1, SECONDS_MAX)] or 5, like "10";
    /// Seconds from key to key.
    digit_timeout: Duration = "digitTimeout" [Kind::Seconds(1, SECONDS_MAX)] or 2, like "4";
    /// The key that ends the input, and is no part of it.
    finish: FinishKey = "finishOnKey" [Kind::Key] or '#', like "*";
    /// So many keys end the input.
    digits_max: u32 = "numDigits" [Kind::Number(1, DIGITS_MAX)] or 99, like "4";
    /// How many times it is asked in all.
    tries: u32 = "retries" [Kind::Number(1, TRIES_MAX)] or 1, like "3";
    /// The answer of `action` is the next document; else it is only told.
    redirects: bool = "redirect" [Kind::Bool] or true, like "false";
    /// Beeps when the prompts are over.
    beeps: bool = "playBeep" [Kind::Bool] or false, like "true";
    /// The keys that may be pressed; another one ends the try.
    valid: Keys = "validDigits" [Kind::Keys] or "1234567890*#", like "123";
    /// Heard after a key that may not be pressed.
    invalid_sound: Option<Arc<str>> = "invalidDigitsSound" [Kind::Audio],
        like "https://example.com/wrong.mp3";
    /// False keeps the keys out of logs and traces.
    logs: bool = "log" [Kind::Bool] or true, like "false";
}

impl GetDigits {
    pub(super) fn parse(reading: &mut Reading<'_, '_>) -> Result<Self, FlowError> {
        let rows = Rows::read(reading);
        let mut prompts = reading.prompts()?;
        prompts.extend(rows.beeps.then_some(Sound::from(What::Beep(1))));
        let invalid_sound = rows.invalid_sound.map(|url| [Sound::from(What::Url(url))].into());
        let collect = Collect {
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
            fields: Fields::Digits,
            is_private: !rows.logs,
        };
        Ok(Self { collect: Arc::new(collect) })
    }

    pub(super) fn begin(&self) -> Start {
        Start::Collect(self.collect.clone())
    }
}
