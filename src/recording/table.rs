//! Table of recordings on the disk: what requests read, by index.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use parking_lot::Mutex;
use rusqlite::{Connection, Error, OpenFlags, OptionalExtension, params_from_iter, types::Value};

use super::{
    Recording, RecordingFilter, RecordingPage,
    row::{self, RecordingKey},
};
use crate::{
    base::ids::{AccountId, RecordingId},
    store::rows::{RowStoreError, StoredRow},
};

/// The table, opened for reading.
#[derive(Debug)]
pub(super) struct RecordingTable {
    /// For single recordings: it does not wait for a list.
    find: Mutex<Connection>,
    list: Mutex<Connection>,
}

/// The files of an account.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RecordingUsage {
    /// The account that they belong to.
    pub account: AccountId,
    /// Number of recordings, running ones included.
    pub count: u64,
    /// Size of the files of those that have ended.
    pub bytes: u64,
}

/// SQLite's integers end here; no clock does.
const KEY_MAX: u64 = u64::MAX >> 1;

impl RecordingTable {
    /// Opens a store's file for reading.
    pub(super) fn open(path: &Path) -> Result<Self, RowStoreError> {
        let open = || {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            Connection::open_with_flags(path, flags).map(Mutex::new)
        };
        let (find, list) = (open().map_err(failed)?, open().map_err(failed)?);
        Ok(Self { find, list })
    }

    /// A recording, if it is one of the account's.
    pub(super) fn find(
        &self,
        account: &AccountId,
        id: RecordingId,
    ) -> Result<Option<Recording>, RowStoreError> {
        let select = "SELECT account, a, b, body FROM recordings INDEXED BY recordings_id
            WHERE account = ? AND id = ?";
        let connection = self.find.lock();
        let mut statement = connection.prepare_cached(select).map_err(failed)?;
        let row = statement.query_row((account.as_str(), id.to_string()), stored);
        let row = row.optional().map_err(failed)?;
        row.map(|it| row::read(&with_account(it)?)).transpose()
    }

    /// One page of the matching recordings. `unwritten`: those whose rows may not be in the table yet,
    /// or not with their end.
    pub(super) fn page(
        &self,
        account: &AccountId,
        filter: &RecordingFilter,
        (offset, limit): (usize, usize),
        unwritten: BTreeMap<RecordingKey, Arc<Recording>>,
    ) -> Result<RecordingPage, RowStoreError> {
        let connection = self.list.lock();
        let read = || -> Result<_, Error> {
            // All reads are of one state.
            let snapshot = connection.unchecked_transaction()?;
            let (there, new) = split(&snapshot, account, unwritten)?;
            // So many at most are before the page or in it.
            let begin = offset.saturating_sub(new.len());
            let query = RecordingQuery { account, filter };
            let total = query.count(&snapshot)? + new.len();
            let rows = query.rows(&snapshot, begin, limit + new.len())?;
            Ok((begin, total, rows, there, new))
        };
        let (begin, total, rows, mut there, mut found) = read().map_err(failed)?;
        drop(connection);
        for row in rows {
            let key = (row.1.cast_unsigned(), row.2.cast_unsigned());
            match there.remove(&key) {
                Some(newer) => drop(found.insert(key, newer)),
                None => match with_account(row).and_then(|it| row::read(&it)) {
                    Ok(recording) => drop(found.insert(key, Arc::new(recording))),
                    Err(error) => tracing::error!("a recording is left out: {error}"),
                },
            }
        }
        let latest_first = found.into_values().rev();
        let recordings = latest_first.skip(offset - begin).take(limit).collect();
        Ok(RecordingPage { recordings, total })
    }

    /// The rows of recordings that run.
    pub(super) fn running(&self) -> Result<Vec<Recording>, RowStoreError> {
        let select = "SELECT account, a, b, body FROM recordings INDEXED BY recordings_running
            WHERE bytes IS NULL";
        self.read(select, Vec::new())
    }

    /// The oldest recordings of an account that have ended, `count` of them after a key.
    pub(super) fn oldest(
        &self,
        account: &AccountId,
        after: Option<RecordingKey>,
        count: usize,
    ) -> Result<Vec<Recording>, RowStoreError> {
        let select = "SELECT account, a, b, body FROM recordings
            WHERE account = ? AND (a, b) > (?, ?) AND bytes IS NOT NULL ORDER BY a, b LIMIT ?";
        let (a, b) = after.map_or((-1, -1), |(a, b)| (a.cast_signed(), b.cast_signed()));
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let account = Value::from(account.as_str().to_owned());
        self.read(select, vec![account, a.into(), b.into(), count.into()])
    }

    /// The files of each account that has some.
    pub(super) fn usage(&self) -> Result<Vec<RecordingUsage>, RowStoreError> {
        let select = "SELECT account, count(*), CAST(total(bytes) AS INTEGER) FROM recordings
            GROUP BY account";
        let connection = self.list.lock();
        let mut statement = connection.prepare_cached(select).map_err(failed)?;
        let read = |row: &rusqlite::Row<'_>| {
            let row: (String, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(row)
        };
        let rows = statement.query_map([], read).map_err(failed)?;
        let mut all = Vec::new();
        for row in rows {
            let (account, count, bytes) = row.map_err(failed)?;
            let account = parse_account(&account)?;
            all.push(RecordingUsage {
                account,
                count: count.cast_unsigned(),
                bytes: bytes.cast_unsigned(),
            });
        }
        Ok(all)
    }

    /// The recordings of a query's rows; those that make no sense are left out.
    fn read(&self, select: &str, values: Vec<Value>) -> Result<Vec<Recording>, RowStoreError> {
        let connection = self.list.lock();
        let mut statement = connection.prepare_cached(select).map_err(failed)?;
        let rows = statement.query_map(params_from_iter(values), stored).map_err(failed)?;
        let mut found = Vec::new();
        for row in rows {
            match with_account(row.map_err(failed)?).and_then(|it| row::read(&it)) {
                Ok(recording) => found.push(recording),
                Err(error) => tracing::error!("a recording is left out: {error}"),
            }
        }
        Ok(found)
    }
}

/// What a recording of a list must have.
struct RecordingQuery<'a> {
    account: &'a AccountId,
    filter: &'a RecordingFilter,
}

impl RecordingQuery<'_> {
    fn count(&self, connection: &Connection) -> Result<usize, Error> {
        let (terms, values) = self.terms();
        let select =
            format!("SELECT count(*) FROM recordings INDEXED BY {} WHERE {terms}", self.index());
        let mut statement = connection.prepare_cached(&select)?;
        let count: i64 = statement.query_row(params_from_iter(values), |row| row.get(0))?;
        Ok(usize::try_from(count).unwrap_or_default())
    }

    /// `limit` rows after the first `offset`, latest first.
    fn rows(
        &self,
        connection: &Connection,
        offset: usize,
        limit: usize,
    ) -> Result<Vec<TableRow>, Error> {
        let (terms, mut values) = self.terms();
        // The page is found in the index alone, and only its rows are read.
        let select = format!(
            "SELECT recordings.account, recordings.a, recordings.b, recordings.body
             FROM (SELECT a, b FROM recordings INDEXED BY {} WHERE {terms}
                   ORDER BY a DESC, b DESC LIMIT ? OFFSET ?) AS page
             CROSS JOIN recordings
                 ON recordings.account = ? AND recordings.a = page.a AND recordings.b = page.b",
            self.index()
        );
        values.extend([limit, offset].map(|it| Value::from(i64::try_from(it).unwrap_or(i64::MAX))));
        values.push(Value::from(self.account.as_str().to_owned()));
        let mut statement = connection.prepare_cached(&select)?;
        let rows = statement.query_map(params_from_iter(values), stored)?;
        rows.collect()
    }

    fn index(&self) -> &'static str {
        match self.filter {
            RecordingFilter { call: Some(_), .. } => "recordings_call",
            RecordingFilter { from: Some(_), .. } => "recordings_caller",
            RecordingFilter { to: Some(_), .. } => "recordings_callee",
            RecordingFilter { conference: Some(_), .. } => "recordings_conference",
            _ => "recordings_time",
        }
    }

    /// The conditions, and the values of their parameters.
    fn terms(&self) -> (String, Vec<Value>) {
        let RecordingFilter {
            from,
            to,
            call,
            conference,
            is_conference,
            started_from,
            started_until,
        } = self.filter;
        let mut terms = "account = ? AND a BETWEEN ? AND ?".to_owned();
        let first = started_from.map_or(0, row::micros);
        let last = started_until.map_or(KEY_MAX, row::micros).min(KEY_MAX);
        let account = Value::from(self.account.as_str().to_owned());
        let mut values = vec![account, first.cast_signed().into(), last.cast_signed().into()];
        let more = [
            ("caller = ?", from.clone()),
            ("callee = ?", to.clone()),
            ("call = ?", call.map(|it| it.to_string())),
            ("conference = ?", conference.as_ref().map(ToString::to_string)),
        ];
        for (term, value) in more {
            if let Some(value) = value {
                terms = terms + " AND " + term;
                values.push(value.into());
            }
        }
        match is_conference {
            Some(true) => terms += " AND conference IS NOT NULL",
            Some(false) => terms += " AND conference IS NULL",
            None => (),
        }
        (terms, values)
    }
}

/// Account, both numbers of the key, and the body.
type TableRow = (String, i64, i64, String);

/// Reads a row of `account`, `a`, `b` and `body`.
fn stored(row: &rusqlite::Row<'_>) -> Result<TableRow, Error> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
}

fn with_account((account, a, b, body): TableRow) -> Result<StoredRow, RowStoreError> {
    let account = parse_account(&account)?;
    Ok(StoredRow { account, a: a.cast_unsigned(), b: b.cast_unsigned(), body })
}

fn parse_account(text: &str) -> Result<AccountId, RowStoreError> {
    text.parse().map_err(|_| RowStoreError(format!("recordings of the account {text:?}")))
}

/// Recordings by their keys.
type ByKey = BTreeMap<RecordingKey, Arc<Recording>>;

/// Those that are in the table, and those that are not.
fn split(snapshot: &Connection, account: &AccountId, all: ByKey) -> Result<(ByKey, ByKey), Error> {
    let select = "SELECT 1 FROM recordings WHERE account = ? AND a = ? AND b = ?";
    let (mut select, mut there) = (snapshot.prepare_cached(select)?, ByKey::new());
    let mut new = ByKey::new();
    for ((a, b), recording) in all {
        let is_there = select.exists((account.as_str(), a.cast_signed(), b.cast_signed()))?;
        let into = if is_there { &mut there } else { &mut new };
        into.insert((a, b), recording);
    }
    Ok((there, new))
}

fn failed(error: Error) -> RowStoreError {
    RowStoreError(format!("cannot read recordings: {error}"))
}
