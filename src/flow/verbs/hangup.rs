//! `<Hangup>`: ends the call.

use std::{sync::Arc, time::Duration};

use super::{Vendors, VerbStart};
use crate::{
    flow::{
        AttrKind, FlowError,
        attrs::{ElementReader, verb},
    },
    media::HangupCause,
};

/// Longest call: 24 hours (contract 7).
const SCHEDULE_SECONDS_MAX: u32 = 86_400;

verb! {
    /// Ends the call: at once, or after `schedule` seconds while the flow continues.
    ///
    /// ```xml
    /// <Response>
    ///   <Hangup schedule="60"/>
    ///   <Speak loop="0">You have one minute.</Speak>
    /// </Response>
    /// ```
    pub struct HangupVerb {
        /// Cause if the call is not answered.
        pub unanswered: HangupCause,
        /// Time from now; None ends the call at once.
        pub schedule: Option<Duration>,
    }
    "Hangup", Vendors::Both, text None, holds &[], answers false;

    /// Reported to the caller if the call is not answered.
    reason: Option<Arc<str>> = "reason" [AttrKind::Choice(&["busy", "rejected"])], like "busy";
    /// Seconds until the call ends; the flow continues meanwhile.
    schedule: Option<Duration> = "schedule" [AttrKind::Seconds(1, SCHEDULE_SECONDS_MAX)], like "60";
}

impl HangupVerb {
    pub(super) fn parse(reading: &mut ElementReader<'_, '_>) -> Result<Self, FlowError> {
        let Rows { reason, schedule } = Rows::read(reading);
        let unanswered = match reason.as_deref() {
            Some("busy") => HangupCause::Busy,
            Some("rejected") => HangupCause::Rejected,
            _ => HangupCause::Normal,
        };
        Ok(Self { unanswered, schedule })
    }

    pub(super) fn begin(&self) -> VerbStart {
        match self.schedule {
            Some(after) => VerbStart::Schedule(after),
            None => VerbStart::HangUp(self.unanswered),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::flow::verbs::check;

    #[test]
    fn reads_its_attributes() {
        check("<Hangup/>", "Hangup(HangupVerb { unanswered: Normal, schedule: None })");
        check(
            "<Hangup reason='rejected' schedule='60'/>",
            "Hangup(HangupVerb { unanswered: Rejected, schedule: Some(60s) })",
        );
        check("<Hangup reason='busy'/>", "Hangup(HangupVerb { unanswered: Busy, schedule: None })");
        check(
            "<Hangup reason='late' schedule='0'/>",
            "Hangup(HangupVerb { unanswered: Normal, schedule: None })\n\
             1:19: reason=\"late\" is ignored: write busy or rejected\n\
             1:33: schedule=\"0\" is ignored: write whole seconds from 1 to 86400",
        );
    }
}
