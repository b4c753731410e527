//! The verbs that are valid and not run yet. They get files of their own when they are. Their
//! attributes are known (contract 3.9 to 3.13), and their values are not read.

use super::{Start, Text, Vendors, VerbInfo};
use crate::flow::{
    FlowError, Kind,
    attrs::{METHOD, Reading, row},
};

skipped! {
    /// Calls somebody, and connects the two.
    Dial, "Dial", Vendors::Both, text Words, holds &["Number", "User", "Record"], answers false {
        /// Asked when the two are apart again, or nobody has answered.
        "action" [Kind::Target], like "https://example.com/dialled";
        /// How `action` is asked.
        "method" [METHOD] or "POST", like "GET";
        /// The answer of `action` is the next document; else it is only told.
        "redirect" [Kind::Bool] or true, like "false";
        /// How long it rings.
        "timeout" [Kind::Seconds(1, 600)], like "30";
        /// How long the two may talk.
        "timeLimit" [Kind::Seconds(1, 86_400)] or 14400, like "3600";
        /// The number that is shown to the one who is called.
        "callerId" [Kind::Text], like "15551234567";
        /// The name that is shown to the one who is called.
        "callerName" [Kind::Text], like "Support";
        /// The caller's `*` ends the call to the other, and the flow goes on.
        "hangupOnStar" [Kind::Bool] or false, like "true";
        /// Heard by the one who is called before the two are connected.
        "confirmSound" [Kind::Sound(false)], like "https://example.com/confirm";
        /// The key by which the one who is called takes the call.
        "confirmKey" [Kind::Keys], like "1";
        /// How long that key is waited for.
        "confirmTimeout" [Kind::Seconds(1, 600)], like "10";
        /// Heard by the caller while it rings: a sound document, or `real`.
        "dialMusic" [Kind::Text], like "https://example.com/music";
        /// Told of the answer, the keys and the end.
        "callbackUrl" [Kind::Web], like "https://example.com/dial";
        /// How `callbackUrl` is told.
        "callbackMethod" [METHOD] or "POST", like "GET";
        /// The caller's keys that `callbackUrl` is told of.
        "digitsMatch" [Kind::Patterns], like "1,2,99#";
        /// The other's keys that `callbackUrl` is told of.
        "digitsMatchBLeg" [Kind::Patterns], like "1,2,99#";
        /// SIP headers to send, as `name=value` with commas between.
        "sipHeaders" [Kind::Text], like "Ticket=42";
        /// By what the other is called.
        "callType" [Kind::Choice(&["voice", "whatsapp"])] or "voice", like "whatsapp";
    }
    /// Sends a text message.
    Message, "Message", Vendors::Plivo("no such element"), text Words, holds &[], answers true {
        /// The number that it comes from.
        "src" [Kind::Text], like "15551234567";
        /// The numbers that it goes to, with `<` between them.
        "dst" [Kind::Text], like "15557654321";
        /// What kind of message it is.
        "type" [Kind::Choice(&["sms"])] or "sms", like "sms";
        /// Told what has become of it.
        "callbackUrl" [Kind::Web], like "https://example.com/sent";
        /// How `callbackUrl` is told.
        "callbackMethod" [METHOD] or "POST", like "GET";
    }
    /// Puts the call into a room with roles.
    MultiPartyCall, "MultiPartyCall", Vendors::Plivo("<Conference>"), text Words, holds &[],
    answers true {
        /// What this call is in the room.
        "role" [Kind::Choice(&["Agent", "Supervisor", "Customer"])], like "Agent";
        /// How long the room lasts.
        "maxDuration" [Kind::Seconds(300, 28_800)] or 14400, like "3600";
        /// How many calls it holds.
        "maxParticipants" [Kind::Number(2, 10)] or 10, like "5";
        /// So many members start the recording.
        "recordMinMemberCount" [Kind::Number(1, 2)] or 1, like "2";
        /// Heard before the room starts.
        "waitMusicUrl" [Kind::Sound(false)], like "https://example.com/wait";
        /// How that is asked.
        "waitMusicMethod" [METHOD] or "GET", like "POST";
        /// How long a call waits for the room to start.
        "waitTime" [Kind::Seconds(1, 86_400)], like "60";
        /// The room starts when an agent is there.
        "waitForAgent" [Kind::Bool] or false, like "true";
        /// Heard by an agent on hold.
        "agentHoldMusicUrl" [Kind::Sound(false)], like "https://example.com/hold";
        /// How that is asked.
        "agentHoldMusicMethod" [METHOD] or "GET", like "POST";
        /// Heard by a customer on hold.
        "customerHoldMusicUrl" [Kind::Sound(false)], like "https://example.com/hold";
        /// How that is asked.
        "customerHoldMusicMethod" [METHOD] or "GET", like "POST";
        /// Records the room.
        "record" [Kind::Bool] or false, like "true";
        /// Records each member on a track of its own.
        "recordParticipantTrack" [Kind::Bool] or false, like "true";
        /// The recording's format.
        "recordFileFormat" [Kind::Choice(&["mp3", "wav"])] or "mp3", like "wav";
        /// Records what a supervisor says to an agent.
        "recordCoachVoice" [Kind::Bool], like "true";
        /// Told when the recording is there.
        "recordingCallbackUrl" [Kind::Web], like "https://example.com/recorded";
        /// How that is told.
        "recordingCallbackMethod" [METHOD] or "GET", like "POST";
        /// Told what happens in the room.
        "statusCallbackUrl" [Kind::Web], like "https://example.com/status";
        /// How that is told.
        "statusCallbackMethod" [METHOD] or "GET", like "POST";
        /// What it is told of, with commas between.
        "statusCallbackEvents" [Kind::Text] or "mpc-state-changes,participant-state-changes",
            like "participant-digit-input-events";
        /// Stays when all others have left.
        "stayAlone" [Kind::Bool] or false, like "true";
        /// A supervisor is heard by the agent only.
        "coachMode" [Kind::Bool] or true, like "false";
        /// Enters unable to speak.
        "mute" [Kind::Bool] or false, like "true";
        /// Enters on hold.
        "hold" [Kind::Bool] or false, like "true";
        /// The room starts when this call enters.
        "startMpcOnEnter" [Kind::Bool] or true, like "false";
        /// The room ends when this call leaves.
        "endMpcOnExit" [Kind::Bool] or false, like "true";
        /// Heard by the room when this call enters: as in `<Conference>`, or `none`.
        "enterSound" [Kind::Text] or "beep:1", like "none";
        /// How that is asked.
        "enterSoundMethod" [METHOD] or "GET", like "POST";
        /// Heard by those who remain when this call leaves: as in `<Conference>`, or `none`.
        "exitSound" [Kind::Text] or "beep:2", like "none";
        /// How that is asked.
        "exitSoundMethod" [METHOD] or "GET", like "POST";
        /// Asked when this call has left.
        "onExitActionUrl" [Kind::Target], like "https://example.com/left";
        /// How that is asked.
        "onExitActionMethod" [METHOD] or "POST", like "GET";
        /// The others hear the keys that this call presses.
        "relayDTMFInputs" [Kind::Bool] or false, like "true";
        /// Heard when the recording begins.
        "startRecordingAudio" [Kind::Sound(false)], like "https://example.com/begins";
        /// How that is asked.
        "startRecordingAudioMethod" [METHOD] or "GET", like "POST";
        /// Heard when the recording ends.
        "stopRecordingAudio" [Kind::Sound(false)], like "https://example.com/ends";
        /// How that is asked.
        "stopRecordingAudioMethod" [METHOD] or "GET", like "POST";
        /// Transcribes the recording.
        "transcript" [Kind::Bool] or false, like "true";
        /// Where the transcription goes.
        "transcriptionUrl" [Kind::Web], like "https://example.com/text";
    }
    /// Records the call.
    Record, "Record", Vendors::Both, text None, holds &[], answers true {
        /// Asked when it is over.
        "action" [Kind::Target], like "https://example.com/recorded";
        /// How `action` is asked.
        "method" [METHOD] or "POST", like "GET";
        /// The answer of `action` is the next document; else it is only told.
        "redirect" [Kind::Bool] or true / false, like "false";
        /// The recording's format.
        "fileFormat" [Kind::Choice(&["mp3", "wav"])] or "mp3", like "wav";
        /// So much silence ends it.
        "timeout" [Kind::Seconds(1, 86_400)] or 15 / 60, like "5";
        /// The longest recording.
        "maxLength" [Kind::Seconds(1, 86_400)] or 60, like "120";
        /// Beeps before it begins.
        "playBeep" [Kind::Bool] or true, like "false";
        /// The keys that end it.
        "finishOnKey" [Kind::Text] or "#" / "1234567890*#", like "#";
        /// Records the call from here on, while the flow goes on.
        "recordSession" [Kind::Bool] or false, like "true";
        /// With `recordSession`: begins when a `<Dial>` is answered.
        "startOnDialAnswer" [Kind::Bool] or false, like "true";
        /// The two sides mixed, or on a track each.
        "recordChannelType" [Kind::Choice(&["mono", "stereo"])] or "stereo" / none, like "mono";
        /// How it is transcribed.
        "transcriptionType" [Kind::Choice(&["auto", "hybrid", "manual"])], like "auto";
        /// Where the transcription goes.
        "transcriptionUrl" [Kind::Web], like "https://example.com/text";
        /// How the transcription is told.
        "transcriptionMethod" [METHOD] or "POST", like "GET";
        /// What of the transcription is told.
        "transcriptionReportType" [Kind::Text], like "text";
        /// Told when the file is there.
        "callbackUrl" [Kind::Web], like "https://example.com/file";
        /// How `callbackUrl` is told.
        "callbackMethod" [METHOD] or "POST", like "GET";
    }
    /// Sends the call's sound to a WebSocket.
    Stream, "Stream", Vendors::Both, text Url, holds &[], answers true {
        /// What comes back is heard by the call.
        "bidirectional" [Kind::Bool] or false, like "true";
        /// Whose voice is sent.
        "audioTrack" [Kind::Choice(&["inbound", "outbound", "both"])] or "inbound", like "both";
        /// How long it lasts.
        "streamTimeout" [Kind::Seconds(1, 86_400)] or 86400, like "3600";
        /// Told of its beginning and end.
        "statusCallbackUrl" [Kind::Web], like "https://example.com/stream";
        /// How that is told.
        "statusCallbackMethod" [METHOD] or "POST", like "GET";
        /// The sound's format.
        "contentType" [Kind::Choice(&["audio/x-l16;rate=8000", "audio/x-l16;rate=16000", "audio/x-mulaw;rate=8000"])] or "audio/x-l16;rate=8000",
            like "audio/x-mulaw;rate=8000";
        /// Said to the other side at the beginning, as `name=value` with commas between.
        "extraHeaders" [Kind::Text], like "Ticket=42";
        /// The flow goes on when the stream is over; else at once.
        "keepCallAlive" [Kind::Bool] or false, like "true";
    }
}

parts! {
    /// A telephone number that <Dial> calls.
    "Number" {
        /// Keys to press once it is answered: `w` is half a second, `W` a second.
        "sendDigits" [Kind::Text], like "wW1";
        /// How they are sent.
        "sendDigitsMode" [Kind::Text], like "rfc2833";
        /// They are sent before it is answered.
        "sendOnPreanswer" [Kind::Bool] or false, like "true";
        /// SIP headers to send, as `name=value` with commas between.
        "sipHeaders" [Kind::Text], like "Ticket=42";
    }
    /// A SIP user that <Dial> calls.
    "User" {
        /// Keys to press once it is answered: `w` is half a second, `W` a second.
        "sendDigits" [Kind::Text], like "wW1";
        /// They are sent before it is answered.
        "sendOnPreanswer" [Kind::Bool] or false, like "true";
        /// SIP headers to send, as `name=value` with commas between.
        "sipHeaders" [Kind::Text], like "Ticket=42";
        /// What to authenticate as.
        "sipAuthUsername" [Kind::Text], like "alice";
        /// What to authenticate with.
        "sipAuthPassword" [Kind::Text], like "secret";
    }
}

/// Declares the elements that stand in those above only.
macro_rules! parts {
    ($( $(#[doc = $doc:literal])+ $tag:literal {
        $(
            $(#[doc = $row:literal])+
            $attr:literal [$kind:expr] $(or $plivo:tt $(/ $vobiz:tt)?)?, like $example:literal;
        )*
    })*) => {
        /// Elements that stand in those above only.
        pub(super) const PARTS: &[VerbInfo] = &[ $( VerbInfo {
            tag: $tag,
            doc: concat!($($doc, "\n"),+),
            vendors: Vendors::Both,
            text: Text::Words,
            children: &[],
            answers: false,
            is_run: false,
            attrs: &[ $( row! {
                $attr [$kind] $example; $($row)+; $($plivo $(/ $vobiz)?)?;
            }, )* ],
        }, )* ];
    };
}
use parts;

macro_rules! skipped {
    ($(
        $(#[doc = $doc:literal])+
        $name:ident, $tag:literal, $vendors:expr, text $text:ident, holds $children:expr,
        answers $answers:literal {
            $(
                $(#[doc = $row:literal])+
                $attr:literal [$kind:expr] $(or $plivo:tt $(/ $vobiz:tt)?)?, like $example:literal;
            )*
        }
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
                attrs: &[ $( row! {
                    $attr [$kind] $example; $($row)+; $($plivo $(/ $vobiz)?)?;
                }, )* ],
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
