//! `<Wait>`: pauses the flow.

use std::time::Duration;

use super::{Vendors, VerbStart};
use crate::{
    flow::{
        AttrKind, FlowError,
        attrs::{ElementReader, verb},
    },
    media::{Sound, SoundKind},
};

/// Longest call: 24 hours (contract 7).
const SECONDS_MAX: u32 = 86_400;

verb! {
    /// Waits, then continues. It does not answer the call.
    ///
    /// ```xml
    /// <Wait length="30" silence="true" minSilence="2000"/>
    /// ```
    pub struct WaitVerb {
        /// Duration without an early end.
        pub length: Duration,
        /// Ends the wait early after this much silence of the caller; None never does.
        pub silence: Option<Duration>,
    }
    "Wait", Vendors::Both, text None, holds &[], answers false;

    /// Length of the wait in seconds.
    length: Duration = "length" [AttrKind::Seconds(1, SECONDS_MAX)] or 1, like "30";
    /// Ends the wait when the caller has been silent for `minSilence`.
    silence: bool = "silence" [AttrKind::Bool] or false, like "true";
    /// Milliseconds of silence. Without it, `silence` has no effect.
    min_silence: Option<u32> = "minSilence" [AttrKind::Milliseconds(1, SECONDS_MAX * 1_000)]
        or none / 2000, like "3000";

    idle {
        /// Ends the wait when a voicemail's beep is heard.
        "beep" [AttrKind::Text] or false, like "true": "no beep is listened for";
    }
}

impl WaitVerb {
    pub(super) fn parse(reading: &mut ElementReader<'_, '_>) -> Result<Self, FlowError> {
        let Rows { length, silence, min_silence } = Rows::read(reading);
        let min_silence = min_silence.map(|it| Duration::from_millis(it.into()));
        Ok(Self { length, silence: min_silence.filter(|_| silence) })
    }

    pub(super) fn begin(&self) -> VerbStart {
        VerbStart::Pause { length: self.length, silence: self.silence }
    }

    /// As part of a sound document or of prompts.
    pub(super) fn sound(&self) -> Sound {
        SoundKind::Silence(self.length).into()
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
        check("<Wait/>", "Wait(WaitVerb { length: 1s, silence: None })");
        check("<Wait length='86400'/>", "Wait(WaitVerb { length: 86400s, silence: None })");
        let element = "<Wait length='9' silence='true' minSilence='300'/>";
        check(element, "Wait(WaitVerb { length: 9s, silence: Some(300ms) })");
        check("<Wait minSilence='300'/>", "Wait(WaitVerb { length: 1s, silence: None })");
        check(
            "<Wait length='1.5' beep='true'/>",
            "Wait(WaitVerb { length: 1s, silence: None })\n\
             1:17: length=\"1.5\" is ignored, and the default \"1\" holds: write whole seconds \
             from 1 to 86400\n\
             1:30: beep is accepted, and has no effect yet: no beep is listened for",
        );
    }

    #[test]
    fn silence_is_that_of_the_dialect() {
        let element = "<Wait silence='true'/>";
        let vobiz = "Wait(WaitVerb { length: 1s, silence: Some(2s) })";
        assert_eq!(read(Dialect::Vobiz, element), vobiz);
        assert_eq!(read(Dialect::Plivo, element), "Wait(WaitVerb { length: 1s, silence: None })");
    }
}
