//! Skipped verbs: valid elements that the engine does not run yet. Their attributes are known
//! (contract 3.9 to 3.13), but the values are not read. A verb gets its own file when it is run.

use super::{TextKind, Vendors, VerbInfo, VerbStart};
use crate::flow::{
    AttrKind, FlowError,
    attr::METHOD,
    attrs::{ElementReader, row},
};

skipped! {
    /// Sends a text message.
    MessageVerb, "Message", Vendors::Plivo("no such element"), text Words, holds &[], answers true {
        /// Number of the sender.
        "src" [AttrKind::Text], like "15551234567";
        /// Numbers of the receivers, separated by `<`.
        "dst" [AttrKind::Text], like "15557654321";
        /// Kind of the message.
        "type" [AttrKind::Choice(&["sms"])] or "sms", like "sms";
        /// URL that receives the delivery status.
        "callbackUrl" [AttrKind::Web], like "https://example.com/sent";
        /// HTTP method for `callbackUrl`.
        "callbackMethod" [METHOD] or "POST", like "GET";
    }
    /// Moves the call into a room with roles.
    MultiPartyCallVerb, "MultiPartyCall", Vendors::Plivo("<Conference>"), text Words, holds &[],
    answers true {
        /// Role of this call in the room.
        "role" [AttrKind::Choice(&["Agent", "Supervisor", "Customer"])], like "Agent";
        /// Longest duration of the room in seconds.
        "maxDuration" [AttrKind::Seconds(300, 28_800)] or 14400, like "3600";
        /// Size limit of the room.
        "maxParticipants" [AttrKind::Number(2, 10)] or 10, like "5";
        /// Number of members that starts the recording.
        "recordMinMemberCount" [AttrKind::Number(1, 2)] or 1, like "2";
        /// Played before the room starts.
        "waitMusicUrl" [AttrKind::Sound(false)], like "https://example.com/wait";
        /// HTTP method for `waitMusicUrl`.
        "waitMusicMethod" [METHOD] or "GET", like "POST";
        /// Seconds that a call waits for the room to start.
        "waitTime" [AttrKind::Seconds(1, 86_400)], like "60";
        /// The room starts when an agent enters.
        "waitForAgent" [AttrKind::Bool] or false, like "true";
        /// Played to an agent on hold.
        "agentHoldMusicUrl" [AttrKind::Sound(false)], like "https://example.com/hold";
        /// HTTP method for `agentHoldMusicUrl`.
        "agentHoldMusicMethod" [METHOD] or "GET", like "POST";
        /// Played to a customer on hold.
        "customerHoldMusicUrl" [AttrKind::Sound(false)], like "https://example.com/hold";
        /// HTTP method for `customerHoldMusicUrl`.
        "customerHoldMusicMethod" [METHOD] or "GET", like "POST";
        /// Records the conversation in the room.
        "record" [AttrKind::Bool] or false, like "true";
        /// Records each member on a separate track.
        "recordParticipantTrack" [AttrKind::Bool] or false, like "true";
        /// File format of the recording.
        "recordFileFormat" [AttrKind::Choice(&["mp3", "wav"])] or "mp3", like "wav";
        /// Records the words of a supervisor to an agent.
        "recordCoachVoice" [AttrKind::Bool], like "true";
        /// Requested when the recording is available.
        "recordingCallbackUrl" [AttrKind::Web], like "https://example.com/recorded";
        /// HTTP method for `recordingCallbackUrl`.
        "recordingCallbackMethod" [METHOD] or "GET", like "POST";
        /// URL that receives the events of the room.
        "statusCallbackUrl" [AttrKind::Web], like "https://example.com/status";
        /// HTTP method for `statusCallbackUrl`.
        "statusCallbackMethod" [METHOD] or "GET", like "POST";
        /// Events that are reported to `statusCallbackUrl`, separated by commas.
        "statusCallbackEvents" [AttrKind::Text] or "mpc-state-changes,participant-state-changes",
            like "participant-digit-input-events";
        /// The call stays in the room when all others have left.
        "stayAlone" [AttrKind::Bool] or false, like "true";
        /// Only the agent hears a supervisor.
        "coachMode" [AttrKind::Bool] or true, like "false";
        /// The call enters muted: the other members do not hear it.
        "mute" [AttrKind::Bool] or false, like "true";
        /// The call enters on hold.
        "hold" [AttrKind::Bool] or false, like "true";
        /// The room starts when this call enters.
        "startMpcOnEnter" [AttrKind::Bool] or true, like "false";
        /// The room ends when this call leaves.
        "endMpcOnExit" [AttrKind::Bool] or false, like "true";
        /// Played to the room when this call enters: as in `<Conference>`, or `none`.
        "enterSound" [AttrKind::Text] or "beep:1", like "none";
        /// HTTP method for `enterSound`.
        "enterSoundMethod" [METHOD] or "GET", like "POST";
        /// Played to the remaining members when this call leaves: as in `<Conference>`, or `none`.
        "exitSound" [AttrKind::Text] or "beep:2", like "none";
        /// HTTP method for `exitSound`.
        "exitSoundMethod" [METHOD] or "GET", like "POST";
        /// Requested when this call has left.
        "onExitActionUrl" [AttrKind::Target], like "https://example.com/left";
        /// HTTP method for `onExitActionUrl`.
        "onExitActionMethod" [METHOD] or "POST", like "GET";
        /// The other members hear the keys that this call presses.
        "relayDTMFInputs" [AttrKind::Bool] or false, like "true";
        /// Played when the recording begins.
        "startRecordingAudio" [AttrKind::Sound(false)], like "https://example.com/begins";
        /// HTTP method for `startRecordingAudio`.
        "startRecordingAudioMethod" [METHOD] or "GET", like "POST";
        /// Played when the recording ends.
        "stopRecordingAudio" [AttrKind::Sound(false)], like "https://example.com/ends";
        /// HTTP method for `stopRecordingAudio`.
        "stopRecordingAudioMethod" [METHOD] or "GET", like "POST";
        /// Requests a transcription of the recording.
        "transcript" [AttrKind::Bool] or false, like "true";
        /// URL that receives the transcription.
        "transcriptionUrl" [AttrKind::Web], like "https://example.com/text";
    }
    /// Sends the call's audio to a WebSocket.
    StreamVerb, "Stream", Vendors::Both, text Url, holds &[], answers true {
        /// Plays the audio that comes back to the call.
        "bidirectional" [AttrKind::Bool] or false, like "true";
        /// The side whose audio is sent.
        "audioTrack" [AttrKind::Choice(&["inbound", "outbound", "both"])] or "inbound", like "both";
        /// Longest stream in seconds.
        "streamTimeout" [AttrKind::Seconds(1, 86_400)] or 86400, like "3600";
        /// URL that receives events: beginning and end of the stream.
        "statusCallbackUrl" [AttrKind::Web], like "https://example.com/stream";
        /// HTTP method for `statusCallbackUrl`.
        "statusCallbackMethod" [METHOD] or "POST", like "GET";
        /// Format of the audio.
        "contentType" [AttrKind::Choice(&["audio/x-l16;rate=8000", "audio/x-l16;rate=16000", "audio/x-mulaw;rate=8000"])] or "audio/x-l16;rate=8000",
            like "audio/x-mulaw;rate=8000";
        /// Sent to the other side at the beginning, as `name=value`, separated by commas.
        "extraHeaders" [AttrKind::Text], like "Ticket=42";
        /// The flow waits for the end of the stream. If false, it continues at once.
        "keepCallAlive" [AttrKind::Bool] or false, like "true";
    }
}

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
        /// The engine skips it: it is not run yet.
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {}

        impl $name {
            /// Tag, attributes and documentation.
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
        for info in [MessageVerb::INFO, MultiPartyCallVerb::INFO, StreamVerb::INFO] {
            let tag = info.tag;
            let attributes: String =
                info.attrs.iter().map(|attr| format!("{}='1' ", attr.name)).collect();
            let expected = format!("{tag}({tag}Verb)\n1:11: <{tag}> is not run yet and is skipped");
            check(&format!("<{tag} {attributes}/>"), &expected);
        }
    }
}
