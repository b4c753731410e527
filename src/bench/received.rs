//! Received notices of conferences, with a check that none is missing.

use std::{
    borrow::Cow,
    collections::HashMap,
    time::{Instant, SystemTime},
};

use anyhow::{Context, Result, ensure};

use super::target;
use crate::{base::utc, engine::inbound::wall_clock};

/// A notice of a conference.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct ConferenceNotice {
    /// Name of the event, such as `ConferenceEnter`.
    pub(super) event: String,
    /// `ConferenceUUID`: a room that ends and begins again has a new one.
    room: String,
    /// `ConferenceMemberID`; empty if the event concerns no member.
    pub(super) member: String,
    /// `ConferenceSequence`, from 1 in each room.
    sequence: u64,
    /// Time of the event; None in callbacks.
    pub(super) time: Option<SystemTime>,
    /// Time of the arrival.
    pub(super) received_at: SystemTime,
}

impl ConferenceNotice {
    /// Parses a notice; None if it is not of the bench's conferences.
    ///
    /// # Errors
    ///
    /// The notice has no sequence number.
    pub(super) fn read<'a>(
        fields: impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)>,
    ) -> Result<Option<Self>> {
        let received_at = wall_clock();
        let [event, room, member] = [const { String::new() }; 3];
        let mut notice = Self { event, room, member, sequence: 0, time: None, received_at };
        let mut sequence = None;
        for (name, value) in fields {
            match &*name {
                "ConferenceName" if !value.starts_with(target::prefix()) => return Ok(None),
                "ConferenceMemberID" => notice.member = value.into_owned(),
                "ConferenceSequence" => sequence = Some(value.into_owned()),
                "ConferenceUUID" => notice.room = value.into_owned(),
                "Event" => notice.event = value.into_owned(),
                "Time" => {
                    let time = utc::parse(&value).with_context(|| format!("Time: {value:?}"))?;
                    notice.time = Some(time);
                }
                _ => (),
            }
        }
        if notice.room.is_empty() {
            return Ok(None);
        }
        let sequence = sequence.with_context(|| format!("{notice:?} has no ConferenceSequence"))?;
        notice.sequence = sequence.parse()?;
        Ok(Some(notice))
    }

    /// Unique among all notices.
    pub(super) fn key(&self) -> (&str, u64) {
        (&self.room, self.sequence)
    }
}

/// All notices, in the order of arrival.
#[derive(Debug, Default)]
pub(super) struct ReceivedNotices {
    pub(super) notices: Vec<(Instant, ConferenceNotice)>,
    /// Error of an invalid notice; it ends the measurement.
    pub(super) error: Option<anyhow::Error>,
}

impl ReceivedNotices {
    pub(super) fn take(&mut self, at: Instant, notice: Result<Option<ConferenceNotice>>) {
        match notice {
            Ok(notice) => self.notices.extend(notice.map(|it| (at, it))),
            Err(error) => self.error = self.error.take().or(Some(error)),
        }
    }

    /// Number of notices of an event.
    pub(super) fn count(&self, event: &str) -> usize {
        self.notices.iter().filter(|(_, it)| it.event == event).count()
    }

    /// Checks that the notices of each room came in order, from the first on, and that only those
    /// in `unsent` are missing. The last ones may still be in flight.
    ///
    /// # Errors
    ///
    /// The notice that came instead of the expected one.
    pub(super) fn check_order(&self, unsent: &[u64]) -> Result<()> {
        let mut next: HashMap<&str, u64> = HashMap::new();
        for (_, ConferenceNotice { room, sequence, event, .. }) in &self.notices {
            let due = next.entry(room).or_insert(1);
            while unsent.contains(due) {
                *due += 1;
            }
            ensure!(
                sequence == due,
                "notice {sequence} of the conference {room}, {event}, has come instead of {due}"
            );
            *due += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::bench::clock::now;

    fn notice(text: &str) -> Result<Option<ConferenceNotice>> {
        ConferenceNotice::read(url::form_urlencoded::parse(text.as_bytes()))
    }

    #[test]
    fn a_notice_is_read_and_what_is_no_notice_is_none() {
        let line = "Event=ConferenceExit&ConferenceUUID=a&ConferenceMemberID=7&X=y";
        let found = notice(&format!("{line}&ConferenceSequence=3")).unwrap().unwrap();
        assert_eq!((&*found.event, &*found.room, &*found.member), ("ConferenceExit", "a", "7"));
        assert_eq!((found.key(), found.time), (("a", 3), None));
        let timed = notice(&format!("{line}&ConferenceSequence=3&Time=1970-01-01 00:00:01.000001"));
        let time = SystemTime::UNIX_EPOCH + Duration::from_micros(1_000_001);
        assert_eq!(timed.unwrap().unwrap().time, Some(time));
        assert_eq!(notice("Event=Hangup&CallUUID=b").unwrap(), None);
        assert!(notice(line).is_err(), "without a number");
        assert!(notice(&format!("{line}&ConferenceSequence=x")).is_err());
        assert!(notice(&format!("{line}&ConferenceSequence=3&Time=noon")).is_err());
    }

    #[test]
    fn a_notice_that_is_missing_or_late_is_found() {
        let check = |notices: &[(&str, u64)], expected: Result<(), &str>| {
            let mut heard = ReceivedNotices::default();
            for (room, sequence) in notices {
                let text = format!("ConferenceUUID={room}&ConferenceSequence={sequence}");
                heard.take(now(), notice(&text));
            }
            let found = heard.check_order(&[2]).map_err(|error| error.to_string());
            match expected {
                Ok(()) => assert!(found.is_ok(), "{found:?}"),
                Err(part) => assert!(found.unwrap_err().contains(part), "{notices:?}"),
            }
        };
        check(&[("a", 1), ("b", 1), ("a", 3), ("b", 3), ("c", 1)], Ok(()));
        check(&[("a", 1), ("a", 4)], Err("notice 4 of the conference a, "));
        check(&[("a", 1), ("a", 3), ("a", 3)], Err("instead of 4"));
        check(&[("a", 3), ("a", 1)], Err("instead of 1"));
        check(&[("a", 1), ("a", 2)], Err("instead of 3"));
    }
}
