//! Phone details: a phone's parties, state, ending and timeline, as the API returns them.

use std::{fmt, sync::Arc};

use serde::Serialize;

use crate::base::ids::CallId;

/// A phone's life so far. Serialized, it is the body of `GET …/SimPhone/{call_uuid}/`.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct PhoneDetails {
    /// UUID of the call, which also identifies the phone.
    pub call_uuid: CallId,
    /// Number of the calling party.
    pub from: Arc<str>,
    /// Number of the called party.
    pub to: Arc<str>,
    /// Progress of the call.
    pub state: PhoneState,
    /// Name of the hang-up cause (contract 3.14). This and the next two are None until the engine
    /// has ended the call.
    pub hangup_cause_name: Option<&'static str>,
    /// Code of the hang-up cause (contract 3.14).
    pub hangup_cause_code: Option<u16>,
    /// The party that ended the call, such as `Caller`.
    pub hangup_source: Option<&'static str>,
    /// The sounds that it heard, without gaps from the moment at which it could hear.
    pub timeline: Vec<TimelineEntry>,
    /// Number of entries missing in the middle because the timeline was too long; not serialized if
    /// 0.
    #[serde(skip_serializing_if = "is_zero")]
    pub timeline_dropped: u32,
}

impl PhoneDetails {
    /// Returns the timeline in one line, for tests and logs: `0-200 beep, 200- room weekly`.
    pub fn transcript(&self) -> String {
        transcript(&self.timeline)
    }
}

/// Progress of a phone's call.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PhoneState {
    /// The call has not been answered; early media may be heard.
    Ringing,
    /// The call is answered and has not ended.
    InProgress,
    /// The phone or the engine has hung up.
    Completed,
}

/// A sound that a phone heard, and when.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct TimelineEntry {
    /// Start, in milliseconds since the phone dialled in.
    pub from_ms: u32,
    /// End, on the same clock; None while it lasts.
    pub to_ms: Option<u32>,
    /// Serialized as `heard` and the fields of the sound.
    #[serde(flatten)]
    pub heard: HeardSound,
}

/// A sound that a phone heard, by kind.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase", tag = "heard")]
pub enum HeardSound {
    /// A beep of a program, one or more tones.
    Beep,
    /// The other members of a conference.
    Room {
        /// Name of the conference.
        conference: Arc<str>,
    },
    /// Silence: a pause, a hold, or nothing played.
    Silence,
    /// A sound file, a built-in sound, or the tone of a key.
    Sound {
        /// URL of the sound; `dtmf:5` for the tone of a key.
        url: Arc<str>,
    },
    /// Synthesized speech, as text.
    Speech {
        /// The text as the flow gives it.
        text: Arc<str>,
    },
    /// A sound of a conference's wait sound, or all its later rounds: then its first sound with a name
    /// stands for all.
    Wait {
        /// The text, if that sound is speech.
        #[serde(skip_serializing_if = "Option::is_none")]
        text: Option<Arc<str>>,
        /// The URL, if that sound is a file.
        #[serde(skip_serializing_if = "Option::is_none")]
        url: Option<Arc<str>>,
    },
}

impl fmt::Display for TimelineEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_ms {
            Some(to_ms) => write!(f, "{}-{to_ms} ", self.from_ms)?,
            None => write!(f, "{}- ", self.from_ms)?,
        }
        match &self.heard {
            HeardSound::Beep => f.write_str("beep"),
            HeardSound::Room { conference } => write!(f, "room {conference}"),
            HeardSound::Silence => f.write_str("silence"),
            HeardSound::Sound { url } => write!(f, "sound {url}"),
            HeardSound::Speech { text } => write!(f, "speech {text:?}"),
            HeardSound::Wait { text: Some(text), .. } => write!(f, "wait {text:?}"),
            HeardSound::Wait { url: Some(url), .. } => write!(f, "wait {url}"),
            HeardSound::Wait { text: None, url: None } => f.write_str("wait"),
        }
    }
}

/// Joins entries to one line.
pub(super) fn transcript(entries: &[TimelineEntry]) -> String {
    entries.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phone_details_have_the_documented_keys_and_no_others() {
        let entry = |from_ms, to_ms, heard| TimelineEntry { from_ms, to_ms, heard };
        let record = PhoneDetails {
            call_uuid: CallId::of(7),
            from: "15550000007".into(),
            to: "weekly".into(),
            state: PhoneState::InProgress,
            hangup_cause_name: None,
            hangup_cause_code: None,
            hangup_source: None,
            timeline: vec![
                entry(0, Some(60), HeardSound::Speech { text: "Hi".into() }),
                entry(60, Some(70), HeardSound::Sound { url: "flow:a".into() }),
                entry(
                    70,
                    Some(80),
                    HeardSound::Wait { text: None, url: Some("sound:hold".into()) },
                ),
                entry(80, Some(90), HeardSound::Silence),
                entry(90, None, HeardSound::Room { conference: "weekly".into() }),
            ],
            timeline_dropped: 0,
        };

        let expected = serde_json::json!({
            "call_uuid": "00000000-0000-0000-0000-000000000007",
            "from": "15550000007",
            "to": "weekly",
            "state": "in-progress",
            "hangup_cause_name": null,
            "hangup_cause_code": null,
            "hangup_source": null,
            "timeline": [
                {"from_ms": 0, "to_ms": 60, "heard": "speech", "text": "Hi"},
                {"from_ms": 60, "to_ms": 70, "heard": "sound", "url": "flow:a"},
                {"from_ms": 70, "to_ms": 80, "heard": "wait", "url": "sound:hold"},
                {"from_ms": 80, "to_ms": 90, "heard": "silence"},
                {"from_ms": 90, "to_ms": null, "heard": "room", "conference": "weekly"},
            ],
        });
        assert_eq!(serde_json::to_value(&record).unwrap(), expected);
    }
}
