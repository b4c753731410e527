//! What is told of a phone to whoever asks: who it is, how it ended, and what it heard.

use std::{fmt, sync::Arc};

use serde::Serialize;

use crate::base::ids::CallId;

/// One phone's life so far. Serialized, it is the body of `GET …/Phone/{call_uuid}/`.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Record {
    /// Its call.
    pub call_uuid: CallId,
    /// Its own number.
    pub from: Arc<str>,
    /// The number it called.
    pub to: Arc<str>,
    /// How far its call is.
    pub state: State,
    /// What ended the call; None until the engine has ended it, here and in the next two.
    pub hangup_cause_name: Option<&'static str>,
    /// The same, as a number (contract 3.14).
    pub hangup_cause_code: Option<u16>,
    /// Who ended it.
    pub hangup_source: Option<&'static str>,
    /// What it heard, without gaps from the moment on at which it could hear.
    pub timeline: Vec<Entry>,
    /// So many entries are missing in the middle, because the life was too long; not serialized
    /// if none is.
    #[serde(skip_serializing_if = "is_zero")]
    pub timeline_dropped: u32,
}

impl Record {
    /// The timeline in one line, for tests and logs: `0-200 beep, 200- room weekly`.
    pub fn transcript(&self) -> String {
        transcript(&self.timeline)
    }
}

/// How far a call is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Not answered.
    Ringing,
    /// Answered.
    InProgress,
    /// Hung up, by the phone or by the engine.
    Completed,
}

/// Something that was heard.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Entry {
    /// When it began, in milliseconds since the phone dialled in.
    pub from_ms: u32,
    /// When it ended; None while it lasts.
    pub to_ms: Option<u32>,
    /// What it was.
    #[serde(flatten)]
    pub heard: Sounding,
}

/// What was heard.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase", tag = "heard")]
pub enum Sounding {
    /// A beep.
    Beep,
    /// The others in a conference.
    Room {
        /// Its name.
        conference: Arc<str>,
    },
    /// Nothing.
    Silence,
    /// A sound.
    Sound {
        /// Its URL; `dtmf:5` for the tone of a key.
        url: Arc<str>,
    },
    /// A text.
    Speech {
        /// As spoken.
        text: Arc<str>,
    },
    /// A conference's wait sound, over and over: the first of it that has a name.
    Wait {
        /// If it is spoken.
        #[serde(skip_serializing_if = "Option::is_none")]
        text: Option<Arc<str>>,
        /// If it is a sound.
        #[serde(skip_serializing_if = "Option::is_none")]
        url: Option<Arc<str>>,
    },
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_ms {
            Some(to_ms) => write!(f, "{}-{to_ms} ", self.from_ms)?,
            None => write!(f, "{}- ", self.from_ms)?,
        }
        match &self.heard {
            Sounding::Beep => f.write_str("beep"),
            Sounding::Room { conference } => write!(f, "room {conference}"),
            Sounding::Silence => f.write_str("silence"),
            Sounding::Sound { url } => write!(f, "sound {url}"),
            Sounding::Speech { text } => write!(f, "speech {text:?}"),
            Sounding::Wait { text: Some(text), .. } => write!(f, "wait {text:?}"),
            Sounding::Wait { url: Some(url), .. } => write!(f, "wait {url}"),
            Sounding::Wait { text: None, url: None } => f.write_str("wait"),
        }
    }
}

/// Entries in one line.
pub(super) fn transcript(entries: &[Entry]) -> String {
    entries.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_the_keys_that_are_promised_and_no_others() {
        let entry = |from_ms, to_ms, heard| Entry { from_ms, to_ms, heard };
        let record = Record {
            call_uuid: CallId::of(7),
            from: "15550000007".into(),
            to: "weekly".into(),
            state: State::InProgress,
            hangup_cause_name: None,
            hangup_cause_code: None,
            hangup_source: None,
            timeline: vec![
                entry(0, Some(60), Sounding::Speech { text: "Hi".into() }),
                entry(60, Some(70), Sounding::Sound { url: "flow:a".into() }),
                entry(70, Some(80), Sounding::Wait { text: None, url: Some("sound:hold".into()) }),
                entry(80, Some(90), Sounding::Silence),
                entry(90, None, Sounding::Room { conference: "weekly".into() }),
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
