//! The verbs that are valid and not run yet. They get files of their own when they are. Their
//! attributes are known (contract 3.9 to 3.13), and their values are not read.

use super::{TextKind, Vendors, VerbInfo, VerbStart};
use crate::flow::{
    AttrKind, FlowError,
    attr::METHOD,
    attrs::{ElementReader, row},
};

skipped! {
    /// Calls somebody, and connects the two.
    DialVerb, "Dial", Vendors::Both, text Words, holds &["Number", "User", "Record"], answers false {
        /// Asked when the two are apart again, or nobody has answered.
        "action" [AttrKind::Target], like "https://example.com/dialled";
        /// How `action` is asked.
        "method" [METHOD] or "POST", like "GET";
        /// The answer of `action` is the next document; else it is only told.
        "redirect" [AttrKind::Bool] or true, like "false";
        /// How long it rings.
        "timeout" [AttrKind::Seconds(1, 600)], like "30";
        /// How long the two may talk.
        "timeLimit" [AttrKind::Seconds(1, 86_400)] or 14400, like "3600";
        /// The number that is shown to the one who is called.
        "callerId" [AttrKind::Text], like "15551234567";
        /// The name that is shown to the one who is called.
        "callerName" [AttrKind::Text], like "Support";
        /// The caller's `*` ends the call to the other, and the flow goes on.
        "hangupOnStar" [AttrKind::Bool] or false, like "true";
        /// Heard by the one who is called before the two are connected.
        "confirmSound" [AttrKind::Sound(false)], like "https://example.com/confirm";
        /// The key by which the one who is called takes the call.
        "confirmKey" [AttrKind::Keys], like "1";
        /// How long that key is waited for.
        "confirmTimeout" [AttrKind::Seconds(1, 600)], like "10";
        /// Heard by the caller while it rings: a sound document, or `real`.
        "dialMusic" [AttrKind::Text], like "https://example.com/music";
        /// Told of the answer, the keys and the end.
        "callbackUrl" [AttrKind::Web], like "https://example.com/dial";
        /// How `callbackUrl` is told.
        "callbackMethod" [METHOD] or "POST", like "GET";
        /// The caller's keys that `callbackUrl` is told of.
        "digitsMatch" [AttrKind::Patterns], like "1,2,99#";
        /// The other's keys that `callbackUrl` is told of.
        "digitsMatchBLeg" [AttrKind::Patterns], like "1,2,99#";
        /// SIP headers to send, as `name=value` with commas between.
        "sipHeaders" [AttrKind::Text], like "Ticket=42";
        /// By what the other is called.
        "callType" [AttrKind::Choice(&["voice", "whatsapp"])] or "voice", like "whatsapp";
    }
    /// Sends a text message.
    MessageVerb, "Message", Vendors::Plivo("no such element"), text Words, holds &[], answers true {
        /// The number that it comes from.
        "src" [AttrKind::Text], like "15551234567";
        /// The numbers that it goes to, with `<` between them.
        "dst" [AttrKind::Text], like "15557654321";
        /// What kind of message it is.
        "type" [AttrKind::Choice(&["sms"])] or "sms", like "sms";
        /// Told what has become of it.
        "callbackUrl" [AttrKind::Web], like "https://example.com/sent";
        /// How `callbackUrl` is told.
        "callbackMethod" [METHOD] or "POST", like "GET";
    }
    /// Puts the call into a room with roles.
    MultiPartyCallVerb, "MultiPartyCall", Vendors::Plivo("<Conference>"), text Words, holds &[],
    answers true {
        /// What this call is in the room.
        "role" [AttrKind::Choice(&["Agent", "Supervisor", "Customer"])], like "Agent";
        /// How long the room lasts.
        "maxDuration" [AttrKind::Seconds(300, 28_800)] or 14400, like "3600";
        /// How many calls it holds.
        "maxParticipants" [AttrKind::Number(2, 10)] or 10, like "5";
        /// So many members start the recording.
        "recordMinMemberCount" [AttrKind::Number(1, 2)] or 1, like "2";
        /// Heard before the room starts.
        "waitMusicUrl" [AttrKind::Sound(false)], like "https://example.com/wait";
        /// How that is asked.
        "waitMusicMethod" [METHOD] or "GET", like "POST";
        /// How long a call waits for the room to start.
        "waitTime" [AttrKind::Seconds(1, 86_400)], like "60";
        /// The room starts when an agent is there.
        "waitForAgent" [AttrKind::Bool] or false, like "true";
        /// Heard by an agent on hold.
        "agentHoldMusicUrl" [AttrKind::Sound(false)], like "https://example.com/hold";
        /// How that is asked.
        "agentHoldMusicMethod" [METHOD] or "GET", like "POST";
        /// Heard by a customer on hold.
        "customerHoldMusicUrl" [AttrKind::Sound(false)], like "https://example.com/hold";
        /// How that is asked.
        "customerHoldMusicMethod" [METHOD] or "GET", like "POST";
        /// Records the room.
        "record" [AttrKind::Bool] or false, like "true";
        /// Records each member on a track of its own.
        "recordParticipantTrack" [AttrKind::Bool] or false, like "true";
        /// The recording's format.
        "recordFileFormat" [AttrKind::Choice(&["mp3", "wav"])] or "mp3", like "wav";
        /// Records what a supervisor says to an agent.
        "recordCoachVoice" [AttrKind::Bool], like "true";
        /// Told when the recording is there.
        "recordingCallbackUrl" [AttrKind::Web], like "https://example.com/recorded";
        /// How that is told.
        "recordingCallbackMethod" [METHOD] or "GET", like "POST";
        /// Told what happens in the room.
        "statusCallbackUrl" [AttrKind::Web], like "https://example.com/status";
        /// How that is told.
        "statusCallbackMethod" [METHOD] or "GET", like "POST";
        /// What it is told of, with commas between.
        "statusCallbackEvents" [AttrKind::Text] or "mpc-state-changes,participant-state-changes",
            like "participant-digit-input-events";
        /// Stays when all others have left.
        "stayAlone" [AttrKind::Bool] or false, like "true";
        /// A supervisor is heard by the agent only.
        "coachMode" [AttrKind::Bool] or true, like "false";
        /// Enters unable to speak.
        "mute" [AttrKind::Bool] or false, like "true";
        /// Enters on hold.
        "hold" [AttrKind::Bool] or false, like "true";
        /// The room starts when this call enters.
        "startMpcOnEnter" [AttrKind::Bool] or true, like "false";
        /// The room ends when this call leaves.
        "endMpcOnExit" [AttrKind::Bool] or false, like "true";
        /// Heard by the room when this call enters: as in `<Conference>`, or `none`.
        "enterSound" [AttrKind::Text] or "beep:1", like "none";
        /// How that is asked.
        "enterSoundMethod" [METHOD] or "GET", like "POST";
        /// Heard by those who remain when this call leaves: as in `<Conference>`, or `none`.
        "exitSound" [AttrKind::Text] or "beep:2", like "none";
        /// How that is asked.
        "exitSoundMethod" [METHOD] or "GET", like "POST";
        /// Asked when this call has left.
        "onExitActionUrl" [AttrKind::Target], like "https://example.com/left";
        /// How that is asked.
        "onExitActionMethod" [METHOD] or "POST", like "GET";
        /// The others hear the keys that this call presses.
        "relayDTMFInputs" [AttrKind::Bool] or false, like "true";
        /// Heard when the recording begins.
        "startRecordingAudio" [AttrKind::Sound(false)], like "https://example.com/begins";
        /// How that is asked.
        "startRecordingAudioMethod" [METHOD] or "GET", like "POST";
        /// Heard when the recording ends.
        "stopRecordingAudio" [AttrKind::Sound(false)], like "https://example.com/ends";
        /// How that is asked.
        "stopRecordingAudioMethod" [METHOD] or "GET", like "POST";
        /// Transcribes the recording.
        "transcript" [AttrKind::Bool] or false, like "true";
        /// Where the transcription goes.
        "transcriptionUrl" [AttrKind::Web], like "https://example.com/text";
    }
    /// Records the call.
    RecordVerb, "Record", Vendors::Both, text None, holds &[], answers true {
        /// Asked when it is over.
        "action" [AttrKind::Target], like "https://example.com/recorded";
        /// How `action` is asked.
        "method" [METHOD] or "POST", like "GET";
        /// The answer of `action` is the next document; else it is only told.
        "redirect" [AttrKind::Bool] or true / false, like "false";
        /// The recording's format.
        "fileFormat" [AttrKind::Choice(&["mp3", "wav"])] or "mp3", like "wav";
        /// So much silence ends it.
        "timeout" [AttrKind::Seconds(1, 86_400)] or 15 / 60, like "5";
        /// The longest recording.
        "maxLength" [AttrKind::Seconds(1, 86_400)] or 60, like "120";
        /// Beeps before it begins.
        "playBeep" [AttrKind::Bool] or true, like "false";
        /// The keys that end it.
        "finishOnKey" [AttrKind::Text] or "#" / "1234567890*#", like "#";
        /// Records the call from here on, while the flow goes on.
        "recordSession" [AttrKind::Bool] or false, like "true";
        /// With `recordSession`: begins when a `<Dial>` is answered.
        "startOnDialAnswer" [AttrKind::Bool] or false, like "true";
        /// The two sides mixed, or on a track each.
        "recordChannelType" [AttrKind::Choice(&["mono", "stereo"])] or "stereo" / none, like "mono";
        /// How it is transcribed.
        "transcriptionType" [AttrKind::Choice(&["auto", "hybrid", "manual"])], like "auto";
        /// Where the transcription goes.
        "transcriptionUrl" [AttrKind::Web], like "https://example.com/text";
        /// How the transcription is told.
        "transcriptionMethod" [METHOD] or "POST", like "GET";
        /// What of the transcription is told.
        "transcriptionReportType" [AttrKind::Text], like "text";
        /// Told when the file is there.
        "callbackUrl" [AttrKind::Web], like "https://example.com/file";
        /// How `callbackUrl` is told.
        "callbackMethod" [METHOD] or "POST", like "GET";
    }
    /// Sends the call's sound to a WebSocket.
    StreamVerb, "Stream", Vendors::Both, text Url, holds &[], answers true {
        /// What comes back is heard by the call.
        "bidirectional" [AttrKind::Bool] or false, like "true";
        /// Whose voice is sent.
        "audioTrack" [AttrKind::Choice(&["inbound", "outbound", "both"])] or "inbound", like "both";
        /// How long it lasts.
        "streamTimeout" [AttrKind::Seconds(1, 86_400)] or 86400, like "3600";
        /// Told of its beginning and end.
        "statusCallbackUrl" [AttrKind::Web], like "https://example.com/stream";
        /// How that is told.
        "statusCallbackMethod" [METHOD] or "POST", like "GET";
        /// The sound's format.
        "contentType" [AttrKind::Choice(&["audio/x-l16;rate=8000", "audio/x-l16;rate=16000", "audio/x-mulaw;rate=8000"])] or "audio/x-l16;rate=8000",
            like "audio/x-mulaw;rate=8000";
        /// Stated to the other side at the beginning, as `name=value` with commas between.
        "extraHeaders" [AttrKind::Text], like "Ticket=42";
        /// The flow goes on when the stream is over; else at once.
        "keepCallAlive" [AttrKind::Bool] or false, like "true";
    }
}

parts! {
    /// A telephone number that <Dial> calls.
    "Number" {
        /// Keys to press once it is answered: `w` is half a second, `W` a second.
        "sendDigits" [AttrKind::Text], like "wW1";
        /// How they are sent.
        "sendDigitsMode" [AttrKind::Text], like "rfc2833";
        /// They are sent before it is answered.
        "sendOnPreanswer" [AttrKind::Bool] or false, like "true";
        /// SIP headers to send, as `name=value` with commas between.
        "sipHeaders" [AttrKind::Text], like "Ticket=42";
    }
    /// A SIP user that <Dial> calls.
    "User" {
        /// Keys to press once it is answered: `w` is half a second, `W` a second.
        "sendDigits" [AttrKind::Text], like "wW1";
        /// They are sent before it is answered.
        "sendOnPreanswer" [AttrKind::Bool] or false, like "true";
        /// SIP headers to send, as `name=value` with commas between.
        "sipHeaders" [AttrKind::Text], like "Ticket=42";
        /// What to authenticate as.
        "sipAuthUsername" [AttrKind::Text], like "alice";
        /// What to authenticate with.
        "sipAuthPassword" [AttrKind::Text], like "secret";
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
            text: TextKind::Words,
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
                text: TextKind::$text,
                children: $children,
                answers: $answers,
                is_run: false,
                attrs: &[ $( row! {
                    $attr [$kind] $example; $($row)+; $($plivo $(/ $vobiz)?)?;
                }, )* ],
            };

            pub(super) fn parse(reading: &mut ElementReader<'_, '_>) -> Result<Self, FlowError> {
                reading.check_parts()?;
                Ok(Self {})
            }

            pub(super) fn begin(&self) -> VerbStart {
                VerbStart::Next
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
    fn each_is_warned_of_and_its_attributes_are_known() {
        for info in [
            DialVerb::INFO,
            MessageVerb::INFO,
            MultiPartyCallVerb::INFO,
            RecordVerb::INFO,
            StreamVerb::INFO,
        ] {
            let tag = info.tag;
            let attributes: String =
                info.attrs.iter().map(|attr| format!("{}='1' ", attr.name)).collect();
            let expected =
                format!("{tag}({tag}Verb)\n1:11: <{tag}> is not run yet and is passed over");
            check(&format!("<{tag} {attributes}/>"), &expected);
        }
    }

    #[test]
    fn dial_holds_numbers_and_users() {
        let skipped = "Dial(DialVerb)\n1:11: <Dial> is not run yet and is passed over";
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
