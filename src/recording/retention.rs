//! Retention of recordings: which of an account's are due for deletion.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use super::Recording;
use crate::base::ids::AccountId;

/// How much of an account's recordings is kept.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct KeepRule {
    /// The time since the first sample; None: for ever.
    pub age_max: Option<Duration>,
    /// The size of all files together; None: any.
    pub bytes_max: Option<u64>,
}

/// The rules of a server.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct KeepRules {
    /// The rule of accounts that have none of their own; it counts for each of them alone.
    pub default: KeepRule,
    /// Rules of single accounts.
    pub accounts: BTreeMap<AccountId, KeepRule>,
}

impl KeepRule {
    /// Whether anything is ever deleted.
    pub fn is_limit(&self) -> bool {
        self.age_max.is_some() || self.bytes_max.is_some()
    }

    /// How many of an account's recordings are to be deleted: the first ones of `oldest`. `bytes` is
    /// the size of all files of the account. Those that run are not in `oldest`.
    pub fn due<'a>(
        &self,
        now: SystemTime,
        bytes: u64,
        oldest: impl IntoIterator<Item = &'a Recording>,
    ) -> usize {
        let mut left = bytes;
        let is_due = |recording: &&Recording| {
            let age = now.duration_since(recording.started_at).unwrap_or_default();
            let is_old = self.age_max.is_some_and(|max| max < age);
            let is_beyond = self.bytes_max.is_some_and(|max| max < left);
            left = left.saturating_sub(recording.end.as_ref().map_or(0, |it| it.bytes));
            is_old || is_beyond
        };
        oldest.into_iter().take_while(is_due).count()
    }
}

impl KeepRules {
    /// The rule of an account.
    pub fn of(&self, account: &AccountId) -> KeepRule {
        self.accounts.get(account).copied().unwrap_or(self.default)
    }

    /// Whether any rule deletes anything.
    pub fn is_limit(&self) -> bool {
        self.default.is_limit() || self.accounts.values().any(KeepRule::is_limit)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{
        base::ids::{CallId, RecordingId},
        flow::RecordingFormat,
        media::RecordingChannels,
        recording::{RecordingEnd, RecordingEndReason},
    };

    const DAY: u64 = 86_400;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn recording(began: u64, bytes: u64) -> Recording {
        Recording {
            id: RecordingId::of(began.into()),
            account: "MA1".parse().unwrap(),
            call: CallId::of(1),
            from: "".into(),
            to: "".into(),
            conference: None,
            api_id: Uuid::from_u128(1),
            channels: RecordingChannels::Mono,
            format: RecordingFormat::Wav,
            started_at: at(began),
            callback: None,
            audience: None,
            end: Some(RecordingEnd {
                at: at(began + 60),
                duration: Duration::from_secs(60),
                bytes,
                lost_samples: 0,
                format: RecordingFormat::Wav,
                reason: RecordingEndReason::HungUp,
            }),
        }
    }

    #[test]
    fn the_oldest_are_due_beyond_an_age_and_beyond_a_size() {
        // One a day, of 100 bytes each.
        let all: Vec<_> = (0..10).map(|day| recording(day * DAY, 100)).collect();
        let check = |days: Option<u64>, bytes_max, now, expected| {
            let age_max = days.map(|it| Duration::from_secs(it * DAY));
            let rule = KeepRule { age_max, bytes_max };
            assert_eq!(rule.due(at(now), 1_000, &all), expected, "{days:?} {bytes_max:?} {now}");
            assert_eq!(rule.is_limit(), days.is_some() || bytes_max.is_some());
        };
        check(None, None, 1_000 * DAY, 0);
        check(Some(5), None, 5 * DAY, 0);
        check(Some(5), None, 5 * DAY + 1, 1);
        check(Some(5), None, 8 * DAY + 1, 4);
        check(Some(5), None, 99 * DAY, 10);
        check(None, Some(1_000), 0, 0);
        check(None, Some(999), 0, 1);
        check(None, Some(900), 0, 1);
        check(None, Some(899), 0, 2);
        check(None, Some(0), 0, 10);
        check(Some(5), Some(700), 5 * DAY + 1, 3);
        check(Some(5), Some(950), 8 * DAY + 1, 4);
        // A clock that was set back deletes nothing.
        check(Some(1), None, 0, 0);
    }

    #[test]
    fn an_account_has_its_own_rule_or_the_one_of_all() {
        let days = |it| KeepRule { age_max: Some(Duration::from_secs(it * DAY)), bytes_max: None };
        let account = |it: &str| it.parse::<AccountId>().unwrap();
        let none = KeepRule::default();
        let rules = KeepRules {
            default: days(30),
            accounts: BTreeMap::from([(account("MA1"), days(7)), (account("MA2"), none)]),
        };
        let found = ["MA1", "MA2", "MA3"].map(|it| rules.of(&account(it)));
        assert_eq!(found, [days(7), none, days(30)]);
        assert!(rules.is_limit() && !KeepRules::default().is_limit());
        assert!(KeepRules { default: none, ..rules }.is_limit());
    }
}
