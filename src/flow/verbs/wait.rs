//! `<Wait>`: lets time pass.

use std::time::Duration;

use super::{Start, Vendors};
use crate::{
    flow::{
        FlowError, Kind,
        attrs::{Reading, verb},
    },
    media::{Sound, What},
};

/// No call lasts longer (contract 7: 24 hours).
const SECONDS_MAX: u32 = 86_400;

verb! {
    /// Lets time pass, then goes on. It does not answer the call.
    ///
    /// ```xml
    /// <Wait length="30" silence="true" minSilence="2000"/>
    /// ```
    pub struct Wait {
        /// For so long.
        pub length: Duration,
        /// Or until the far end has been silent for so long.
        pub silence: Option<Duration>,
    }
    "Wait", Vendors::Both, text None, holds &[], answers false;

    /// Seconds.
    length: Duration = "length" [Kind::Seconds(1, SECONDS_MAX)] or 1, like "30";
    /// Ends as soon as the far end has been silent for `minSilence`.
    silence: bool = "silence" [Kind::Bool] or false, like "true";
    /// How long the silence must last; without it, `silence` changes nothing.
    min_silence: Option<u32> = "minSilence" [Kind::Milliseconds(1, SECONDS_MAX * 1_000)]
        or none / 2000, like "3000";

    idle {
        /// Ends when a voicemail's beep is heard.
        "beep" [Kind::Text] or false, like "true": "no beep is listened for";
    }
}

impl Wait {
    pub(super) fn parse(reading: &mut Reading<'_, '_>) -> Result<Self, FlowError> {
        let Rows { length, silence, min_silence } = Rows::read(reading);
        let min_silence = min_silence.map(|it| Duration::from_millis(it.into()));
        Ok(Self { length, silence: min_silence.filter(|_| silence) })
    }

    pub(super) fn begin(&self) -> Start {
        Start::Pause { length: self.length, silence: self.silence }
    }

    /// As a part of a sound document, or of a prompt.
    pub(super) fn sound(&self) -> Sound {
        What::Silence(self.length).into()
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        base::ids::Dialect,
        flow::verbs::{check, read},
    };

    #[test]
    fn reads_its_attributes() {
        check("<Wait/>", "Wait(Wait { length: 1s, silence: None })");
        check("<Wait length='86400'/>", "Wait(Wait { length: 86400s, silence: None })");
        let element = "<Wait length='9' silence='true' minSilence='300'/>";
        check(element, "Wait(Wait { length: 9s, silence: Some(300ms) })");
        check("<Wait minSilence='300'/>", "Wait(Wait { length: 1s, silence: None })");
        check(
            "<Wait length='1.5' beep='true'/>",
            "Wait(Wait { length: 1s, silence: None })\n\
             1:17: length=\"1.5\" is ignored, and the default \"1\" holds: write whole seconds \
             from 1 to 86400\n\
             1:30: beep is accepted, and has no effect yet: no beep is listened for",
        );
    }

    #[test]
    fn silence_is_that_of_the_dialect() {
        let element = "<Wait silence='true'/>";
        let vobiz = "Wait(Wait { length: 1s, silence: Some(2s) })";
        assert_eq!(read(Dialect::Vobiz, element), vobiz);
        assert_eq!(read(Dialect::Plivo, element), "Wait(Wait { length: 1s, silence: None })");
    }
}
