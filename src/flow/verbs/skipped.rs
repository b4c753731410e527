//! The verbs that are valid and not run yet. They get files of their own when they are.

use super::{Start, Text, Vendors, VerbInfo};
use crate::flow::{
    FlowError,
    attrs::{Attr, Reading},
};

skipped! {
    /// Calls somebody, and connects the two.
    Dial, "Dial", Vendors::Both, text Words, holds &["Number", "User", "Record"], answers false, [
        "action", "method", "redirect", "timeout", "timeLimit", "callerId", "callerName",
        "hangupOnStar", "confirmSound", "confirmKey", "confirmTimeout", "dialMusic",
        "callbackUrl", "callbackMethod", "digitsMatch", "digitsMatchBLeg", "sipHeaders",
        "callType",
    ];
    /// Sends a text message.
    Message, "Message", Vendors::Plivo("no such element"), text Words, holds &[], answers true, [
        "src", "dst", "type", "callbackUrl", "callbackMethod",
    ];
    /// Puts the call into a room with roles.
    MultiPartyCall, "MultiPartyCall", Vendors::Plivo("<Conference>"), text Words, holds &[],
    answers true, [
        "role", "maxDuration", "maxParticipants", "recordMinMemberCount", "waitMusicUrl",
        "waitMusicMethod", "waitTime", "waitForAgent", "agentHoldMusicUrl", "agentHoldMusicMethod",
        "customerHoldMusicUrl", "customerHoldMusicMethod", "record", "recordParticipantTrack",
        "recordFileFormat", "recordCoachVoice", "recordingCallbackUrl", "recordingCallbackMethod",
        "statusCallbackUrl", "statusCallbackMethod", "statusCallbackEvents", "stayAlone",
        "coachMode", "mute", "hold", "startMpcOnEnter", "endMpcOnExit", "enterSound",
        "enterSoundMethod", "exitSound", "exitSoundMethod", "onExitActionUrl",
        "onExitActionMethod", "relayDTMFInputs", "startRecordingAudio",
        "startRecordingAudioMethod", "stopRecordingAudio", "stopRecordingAudioMethod",
        "transcript", "transcriptionUrl",
    ];
    /// Records the call.
    Record, "Record", Vendors::Both, text None, holds &[], answers true, [
        "action", "method", "redirect", "fileFormat", "timeout", "maxLength", "playBeep",
        "finishOnKey", "recordSession", "startOnDialAnswer", "recordChannelType",
        "transcriptionType", "transcriptionUrl", "transcriptionMethod",
        "transcriptionReportType", "callbackUrl", "callbackMethod",
    ];
    /// Sends the call's sound to a WebSocket.
    Stream, "Stream", Vendors::Both, text Url, holds &[], answers true, [
        "bidirectional", "audioTrack", "streamTimeout", "statusCallbackUrl",
        "statusCallbackMethod", "contentType", "extraHeaders", "keepCallAlive",
    ];
}

/// Elements that stand in those above only.
pub(super) const PARTS: &[VerbInfo] = &[
    VerbInfo {
        tag: "Number",
        doc: " A telephone number that <Dial> calls.\n",
        vendors: Vendors::Both,
        text: Text::Words,
        children: &[],
        answers: false,
        is_run: false,
        attrs: &unread(["sendDigits", "sendDigitsMode", "sendOnPreanswer", "sipHeaders"]),
    },
    VerbInfo {
        tag: "User",
        doc: " A SIP user that <Dial> calls.\n",
        vendors: Vendors::Both,
        text: Text::Words,
        children: &[],
        answers: false,
        is_run: false,
        attrs: &unread([
            "sendDigits",
            "sendOnPreanswer",
            "sipHeaders",
            "sipAuthUsername",
            "sipAuthPassword",
        ]),
    },
];

/// Rows of attributes that are known by name only.
const fn unread<const N: usize>(names: [&'static str; N]) -> [Attr; N] {
    let mut rows = [Attr::unread(""); N];
    let mut i = 0;
    while i < N {
        rows[i] = Attr::unread(names[i]);
        i += 1;
    }
    rows
}

macro_rules! skipped {
    ($(
        $(#[doc = $doc:literal])+
        $name:ident, $tag:literal, $vendors:expr, text $text:ident, holds $children:expr,
        answers $answers:literal, [$($attr:literal),* $(,)?];
    )*) => { $(
        $(#[doc = $doc])+
        ///
        /// It is not run yet, and passed over.
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {}

        impl $name {
            /// What the reference says of it.
            pub const INFO: VerbInfo = VerbInfo {
                tag: $tag,
                doc: concat!($($doc, "\n"),+),
                vendors: $vendors,
                text: Text::$text,
                children: $children,
                answers: $answers,
                is_run: false,
                attrs: &unread([$($attr),*]),
            };

            pub(super) fn parse(reading: &mut Reading<'_, '_>) -> Result<Self, FlowError> {
                reading.check_parts()?;
                Ok(Self {})
            }

            pub(super) fn begin(&self) -> Start {
                Start::Next
            }
        }
    )* };
}
use skipped;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::verbs::check;

    #[test]
    fn each_is_remarked_upon_and_its_attributes_are_known() {
        for info in [Dial::INFO, Message::INFO, MultiPartyCall::INFO, Record::INFO, Stream::INFO] {
            let tag = info.tag;
            let attributes: String =
                info.attrs.iter().map(|attr| format!("{}='1' ", attr.name)).collect();
            let expected = format!("{tag}({tag})\n1:11: <{tag}> is not run yet and is passed over");
            check(&format!("<{tag} {attributes}/>"), &expected);
        }
    }

    #[test]
    fn dial_holds_numbers_and_users() {
        let skipped = "Dial(Dial)\n1:11: <Dial> is not run yet and is passed over";
        check("<Dial>1<Number sendDigits='1'>2</Number><User>a</User><Record/></Dial>", skipped);
        check(
            "<Dial><Number colour='1'/></Dial>",
            &format!("{skipped}\n1:25: <Number> has no attribute \"colour\"; it is ignored"),
        );
        let only = "only <Number>, <User> or <Record>";
        check("<Dial><Speak/></Dial>", &format!("1:17: <Dial> holds no <Speak>, {only}"));
        let leaf = "<User> holds no elements: close it before <User>";
        check("<Dial><User><User/></User></Dial>", &format!("1:23: {leaf}"));
    }

    #[test]
    fn parts_stand_in_their_verbs() {
        let nested = "does not stand in <Response> itself: put it into <Dial>";
        check("<Number>1</Number>", &format!("1:11: <Number> {nested}"));
        check("<User>1</User>", &format!("1:11: <User> {nested}"));
    }
}
