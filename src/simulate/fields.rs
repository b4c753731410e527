//! Fields of an events file: reads the fields of one row, and rejects unknown ones.

use std::time::Duration;

use toml::{Table, Value};

use crate::base::ids::ConferenceName;

/// All kinds of events with their fields in addition to `at`; `!` marks required fields.
pub(super) const VERBS: &[(&str, &[&str])] = &[
    ("call", &["from", "to", "user", "name", "flow"]),
    ("press", &["!keys"]),
    ("talk", &["!for"]),
    ("hold", &[]),
    ("resume", &[]),
    ("hang_up", &[]),
    ("kick", &["room", "reason", "then", "ban", "dry_run"]),
    ("mute", &["room"]),
    ("unmute", &["room"]),
    ("deaf", &["room"]),
    ("undeaf", &["room"]),
    ("play", &["!url", "room"]),
    ("speak", &["!text", "room"]),
    ("stop_play", &["room"]),
    ("stop_speak", &["room"]),
    ("remove", &["room"]),
    ("put_on_hold", &["url", "room"]),
    ("take_off_hold", &["room"]),
    (
        "dial",
        &[
            "!room",
            "from",
            "to",
            "user",
            "caller_name",
            "send_digits",
            "ring_timeout",
            "time_limit",
            "confirm_key",
            "confirm_sound",
            "confirm_timeout",
            "muted",
            "stay_alone",
            "start_conference_on_enter",
            "end_conference_on_exit",
            "hangup_on_star",
            "enter_sound",
            "exit_sound",
            "digits_match",
            "on_exit_action_url",
            "on_exit_action_method",
        ],
    ),
    ("end", &[]),
    ("cut", &[]),
    ("transfer", &["!url"]),
    ("record", &["caller", "room", "time_limit", "callback_url"]),
];

pub(super) struct ScriptFields(Table);

impl ScriptFields {
    pub(super) fn new(row: Table) -> Self {
        Self(row)
    }

    /// Splits a row into the kind of the event and its fields.
    pub(super) fn of_event(row: Table) -> Result<(&'static str, Self), String> {
        let verbs = VERBS.iter().map(|(verb, _)| *verb);
        let found: Vec<_> = verbs.clone().filter(|it| row.contains_key(*it)).collect();
        match found[..] {
            [verb] => Ok((verb, Self(row))),
            [] => {
                let verbs: Vec<_> = verbs.collect();
                Err(format!("an event has \"at\" and one of: {}", verbs.join(", ")))
            }
            [one, other, ..] => {
                Err(format!("{one} and {other} are two events: give each its own line"))
            }
        }
    }

    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name)
    }

    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, String> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) if !text.is_empty() => Ok(Some(text)),
            Some(other) => Err(format!("{name}: {other} is not a text: write \"…\"")),
        }
    }

    pub(super) fn needed(&mut self, name: &str) -> Result<String, String> {
        self.text(name)?.ok_or_else(|| format!("{name}: missing: write {name} = \"…\""))
    }

    pub(super) fn room(&mut self, name: &str) -> Result<Option<ConferenceName>, String> {
        let name_ = |it: String| it.parse().map_err(|error| format!("{name}: {error}"));
        self.text(name)?.map(name_).transpose()
    }

    /// Time in milliseconds: `1500`, `"1.5s"` or `"1h 2m 3s 4ms"`.
    pub(super) fn time(&mut self, name: &str, max: Duration) -> Result<Option<u64>, String> {
        let ms = match self.take(name) {
            None => return Ok(None),
            Some(Value::Integer(ms)) => u64::try_from(ms).ok(),
            Some(Value::String(text)) => millis(&text),
            Some(_) => None,
        };
        let ms = ms.filter(|ms| u128::from(*ms) <= max.as_millis());
        let expected = || {
            let max = max.as_secs() / 3_600;
            format!("{name}: write milliseconds (1500) or \"1h 2m 3.5s\", up to {max}h")
        };
        ms.ok_or_else(expected).map(Some)
    }

    /// Fails if a field is left.
    pub(super) fn finish(self, what: &str, known: &[&str]) -> Result<(), String> {
        let Some(odd) = self.0.keys().next() else { return Ok(()) };
        Err(format!("{odd}: {what} has no such field; there are: {}", known.join(", ")))
    }

    /// As [`Self::finish`], with the fields of the event.
    pub(super) fn finish_event(self, verb: &str) -> Result<(), String> {
        let fields = VERBS.iter().find(|(it, _)| *it == verb).map_or(&[][..], |it| it.1);
        let fields = fields.iter().map(|it| it.trim_start_matches('!'));
        let known: Vec<_> = ["at", verb].into_iter().chain(fields).collect();
        self.finish(verb, &known)
    }
}

/// Parses `1h 2m 3.5s`, with or without blanks.
fn millis(text: &str) -> Option<u64> {
    let (mut rest, mut sum) = (text.trim(), 0.0);
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(end);
        let unit_end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let ms = match unit {
            "h" => 3_600_000.0,
            "m" | "min" => 60_000.0,
            "s" => 1_000.0,
            "ms" => 1.0,
            _ => return None,
        };
        sum += number.parse::<f64>().ok()? * ms;
        rest = after.trim_start();
    }
    let is_good = !text.trim().is_empty() && sum <= f64::from(u32::MAX);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
    is_good.then(|| sum.round() as u64)
}

/// Limit of times: no call is left a day after it began.
pub const AT_MAX: Duration = Duration::from_secs(86_400);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_as_people_write_it() {
        let check = |text, expected| assert_eq!(millis(text), expected, "{text:?}");
        check("1h 2m 3.5s", Some(3_723_500));
        check("90s", Some(90_000));
        check("1m30s", Some(90_000));
        check("250ms", Some(250));
        check("", None);
        check("5", None);
        check("5 parsecs", None);
        check("s", None);
        check("-1s", None);
    }
}
