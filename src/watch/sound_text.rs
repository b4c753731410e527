//! Sound descriptions: what a caller hears, in words.

use super::{
    answers::HeardEntry,
    model::{CallerPhone, CallerState, WatchedCaller},
};
use crate::base::ids::ConferenceName;

/// The sound that a caller hears now, or heard last.
pub(super) fn current_sound(caller: &WatchedCaller) -> String {
    match &caller.phone {
        CallerPhone::Unknown => "…".to_owned(),
        CallerPhone::Real => match caller.state {
            CallerState::InRoom { deaf: true, .. } => "(a real phone, deaf)".to_owned(),
            CallerState::Left
            | CallerState::Outside
            | CallerState::Over { .. }
            | CallerState::InRoom { .. } => "(a real phone)".to_owned(),
        },
        CallerPhone::Simulated(phone) => match (&*phone.state, phone.timeline.last()) {
            ("ringing", _) => "its ringing".to_owned(),
            (_, None) => "nothing".to_owned(),
            ("completed", Some(last)) => format!("at last {}", describe(last)),
            // The room's name is redundant where the caller is listed.
            (_, Some(last)) if is_here(caller, last) => "the room".to_owned(),
            (_, Some(last)) => describe(last),
        },
    }
}

fn is_here(caller: &WatchedCaller, entry: &HeardEntry) -> bool {
    let room = entry.conference.as_deref();
    entry.heard == "room"
        && room.is_some()
        && caller.place.as_ref().map(ConferenceName::as_str) == room
}

/// One line of a timeline: `12.0 to 14.3 s  a beep`.
pub(super) fn entry(entry: &HeardEntry) -> String {
    let from = seconds(entry.from_ms);
    match entry.to_ms {
        Some(to) => format!("{from:>7} to {:>7} s  {}", seconds(to), describe(entry)),
        None => format!("{from:>7}     …     s  {}", describe(entry)),
    }
}

fn seconds(ms: u64) -> String {
    format!("{}.{}", ms / 1_000, ms % 1_000 / 100)
}

fn describe(entry: &HeardEntry) -> String {
    let named = || entry.text.as_ref().map(|it| format!("“{it}”")).or_else(|| entry.url.clone());
    match &*entry.heard {
        "beep" => "a beep".to_owned(),
        "room" => match &entry.conference {
            Some(room) => format!("the room {room}"),
            None => "the room".to_owned(),
        },
        "silence" => "silence".to_owned(),
        "sound" | "speech" => named().unwrap_or_else(|| entry.heard.clone()),
        "wait" => format!("the wait sound {}", named().unwrap_or_default()).trim_end().to_owned(),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_heard_is_said_in_words() {
        let check = |entry: serde_json::Value, expected: &str| {
            let entry: HeardEntry = serde_json::from_value(entry).unwrap();
            assert_eq!(super::entry(&entry), expected);
        };
        check(
            serde_json::json!({"from_ms": 0, "to_ms": 260, "heard": "beep"}),
            "    0.0 to     0.2 s  a beep",
        );
        check(
            serde_json::json!({"from_ms": 3_600_000, "to_ms": null, "heard": "speech", "text": "Hi"}),
            " 3600.0     …     s  “Hi”",
        );
        let room = serde_json::json!({"from_ms": 1, "heard": "room", "conference": "weekly"});
        check(room, "    0.0     …     s  the room weekly");
        let wait = serde_json::json!({"from_ms": 1, "heard": "wait", "url": "flow:hold"});
        check(wait, "    0.0     …     s  the wait sound flow:hold");
        let later = serde_json::json!({"from_ms": 1, "heard": "music", "by": "nobody"});
        check(later, "    0.0     …     s  music");
    }
}
