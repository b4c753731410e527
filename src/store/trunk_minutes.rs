//! Trunk minutes: the answered time of accounts through trunks, so that `minutes_per_day` holds over a
//! restart.
//!
//! A row has the time of one account through one trunk in one hour. A row is written when a call ends,
//! some moments later: a crash costs the minutes of the calls that are up.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::rows::{RowStore, RowStoreError, RowWrite, StoredRow, Table};
use crate::{
    base::ids::AccountId,
    sip::trunk_usage::{EarlierTime, TalkedTime},
};

/// The minutes of a data folder.
pub struct TrunkMinutes {
    rows: Arc<dyn RowStore>,
    spans: Mutex<BTreeMap<SpanKey, Duration>>,
}

/// An hour of an account's calls through a trunk.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct SpanKey {
    /// Hours since 1970.
    hour: u64,
    account: AccountId,
    trunk: Arc<str>,
}

/// The content of a row of [`Table::TrunkMinutes`].
#[derive(Deserialize, Serialize)]
struct SpanRow {
    trunk: Arc<str>,
    ms: u64,
}

/// Hours after which a row says nothing any more, and is deleted.
const HOURS_MAX: u64 = 25;

const HOUR: Duration = Duration::from_secs(3_600);

impl TrunkMinutes {
    /// Reads what the last process has left.
    ///
    /// # Errors
    ///
    /// [`RowStoreError`]: the rows cannot be read or are invalid.
    pub fn open(rows: Arc<dyn RowStore>) -> Result<Self, RowStoreError> {
        let mut spans = BTreeMap::new();
        for row in rows.load(Table::TrunkMinutes)? {
            let SpanRow { trunk, ms } = row.parse(Table::TrunkMinutes)?;
            let key = SpanKey { hour: row.a, account: row.account, trunk };
            spans.insert(key, Duration::from_millis(ms));
        }
        Ok(Self { rows, spans: Mutex::new(spans) })
    }

    /// The answered time of the last 24 hours, as of now, the oldest first.
    pub fn earlier(&self, now: SystemTime) -> Vec<EarlierTime> {
        let since_1970 = since_1970(now);
        let spans = self.spans.lock();
        let earlier = spans.iter().map(|(key, time)| {
            let SpanKey { hour, account, trunk } = key.clone();
            let begin = Duration::from_secs(hour.saturating_mul(HOUR.as_secs()));
            let talked = TalkedTime { trunk, account, time: *time };
            EarlierTime { talked, ago: since_1970.saturating_sub(begin) }
        });
        earlier.collect()
    }

    /// Adds a call that has ended now.
    pub fn add(&self, now: SystemTime, talked: TalkedTime) {
        let hour = since_1970(now).as_secs() / HOUR.as_secs();
        let TalkedTime { trunk, account, time } = talked;
        let key = SpanKey { hour, account, trunk };
        let mut spans = self.spans.lock();
        let sum = spans.entry(key.clone()).or_default();
        *sum += time;
        let mut writes = vec![write(&key, Some(*sum))];
        let is_old = |it: &SpanKey| it.hour + HOURS_MAX <= hour;
        while let Some(oldest) = spans.first_entry().filter(|it| is_old(it.key())) {
            writes.push(write(oldest.key(), None));
            oldest.remove();
        }
        // Queued under the lock, so that the highest sum is written last.
        self.rows.commit_soon(
            writes,
            Box::new(|written| {
                if let Err(error) = written {
                    tracing::warn!("the minutes of a trunk are not kept: {error}");
                }
            }),
        );
    }
}

/// The write of a row; without a sum, its deletion.
fn write(key: &SpanKey, sum: Option<Duration>) -> RowWrite {
    let SpanKey { hour, account, trunk } = key;
    let ms = |sum: Duration| u64::try_from(sum.as_millis()).unwrap_or(u64::MAX);
    let write = match sum {
        Some(sum) => {
            let row = SpanRow { trunk: trunk.clone(), ms: ms(sum) };
            RowWrite::put(Table::TrunkMinutes, account, *hour, &row)
        }
        None => RowWrite::delete(Table::TrunkMinutes, account, *hour),
    };
    RowWrite { b: number_of(trunk), ..write }
}

/// A number for the key of a row; a database has no unsigned ones.
fn number_of(trunk: &str) -> u64 {
    let hash = blake3::hash(trunk.as_bytes());
    let first = hash.as_bytes().first_chunk().expect("a hash has 32 bytes");
    u64::from_le_bytes(*first) >> 1
}

fn since_1970(now: SystemTime) -> Duration {
    now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// Checks that a row of [`Table::TrunkMinutes`] can be read.
///
/// # Errors
///
/// [`RowStoreError`]: the row is invalid.
pub fn check(row: &StoredRow) -> Result<(), RowStoreError> {
    row.parse::<SpanRow>(Table::TrunkMinutes).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::rows_memory::MemoryRows;

    fn at(minutes: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + HOUR * 500_000 + Duration::from_secs(60 * minutes)
    }

    fn minutes(account: &str, trunk: &str, minutes: u64) -> TalkedTime {
        let (trunk, account) = (trunk.into(), account.parse().unwrap());
        TalkedTime { trunk, account, time: Duration::from_secs(60 * minutes) }
    }

    /// The minutes of each span, and how many minutes ago it has begun.
    fn shown(it: &TrunkMinutes, now: SystemTime) -> Vec<(String, u64, u64)> {
        let earlier = it.earlier(now).into_iter().map(|EarlierTime { talked, ago }| {
            let name = format!("{} {}", talked.account, talked.trunk);
            (name, talked.time.as_secs() / 60, ago.as_secs() / 60)
        });
        earlier.collect()
    }

    #[test]
    fn the_next_process_knows_the_minutes_of_the_last_24_hours() {
        let rows: Arc<dyn RowStore> = Arc::new(MemoryRows::default());
        let it = TrunkMinutes::open(rows.clone()).unwrap();
        for (now, talked) in [
            (10, minutes("MA1", "a", 3)),
            (50, minutes("MA1", "a", 4)),
            (50, minutes("MA1", "b", 5)),
            (50, minutes("MA2", "a", 6)),
            (70, minutes("MA1", "a", 1)),
        ] {
            it.add(at(now), talked);
        }
        let expected = [("MA1 a", 7, 90), ("MA1 b", 5, 90), ("MA2 a", 6, 90), ("MA1 a", 1, 30)];
        let expected = expected.map(|(name, time, ago)| (name.to_owned(), time, ago));
        assert_eq!(shown(&it, at(90)), expected);
        let again = TrunkMinutes::open(rows.clone()).unwrap();
        assert_eq!(shown(&again, at(90)), expected);
        // A clock that was set back makes nothing older, or younger.
        assert_eq!(shown(&again, at(0))[3].2, 0);

        again.add(at(25 * 60), minutes("MA1", "a", 2));
        let left = [("MA1 a".to_owned(), 1, 24 * 60), ("MA1 a".to_owned(), 2, 0)];
        assert_eq!(shown(&again, at(25 * 60)), left);
        let rows = rows.load(Table::TrunkMinutes).unwrap();
        assert_eq!(rows.len(), 2, "the others are deleted");
        assert!(rows.iter().all(|it| check(it).is_ok()));
    }
}
