//! Table of CDRs on the disk: what requests read, by index.
//!
//! A list knows its length and finds a page by the counts of each hour. With a filter other than time
//! and direction it counts what passes, in the index of that filter.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::SystemTime};

use parking_lot::Mutex;
use rusqlite::{Connection, Error, OpenFlags, OptionalExtension, params_from_iter, types::Value};

use super::{Cdr, CdrFilter, CdrPage, row};
use crate::{
    base::ids::{AccountId, CallId},
    call::CallDirection,
    store::rows::{RowStoreError, StoredRow},
};

/// The time of the end in microseconds since 1970, and a tie-breaker.
pub(super) type CdrKey = (u64, u64);

/// The table, opened for reading.
#[derive(Debug)]
pub(super) struct CdrTable {
    /// For single records: it does not wait for a list.
    find: Mutex<Connection>,
    list: Mutex<Connection>,
}

/// The counts are of so many microseconds each (`cdr_hours`).
const HOUR: u64 = 3_600_000_000;
/// SQLite's integers end here; no clock does.
const KEY_MAX: u64 = u64::MAX >> 1;

/// A range of ends, and what else a CDR must have.
struct CdrQuery<'a> {
    account: &'a AccountId,
    filter: &'a CdrFilter,
    from: u64,
    until: u64,
}

impl CdrTable {
    /// Opens a store's file for reading.
    pub(super) fn open(path: &Path) -> Result<Self, RowStoreError> {
        let open = || {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            Connection::open_with_flags(path, flags).map(Mutex::new)
        };
        let (find, list) = (open().map_err(failed)?, open().map_err(failed)?);
        Ok(Self { find, list })
    }

    /// The CDR of a call, if it is one of the account's.
    pub(super) fn find(
        &self,
        account: &AccountId,
        call: CallId,
    ) -> Result<Option<Cdr>, RowStoreError> {
        let select = "SELECT a, b, body FROM cdrs INDEXED BY cdrs_call
            WHERE account = ? AND call = ?";
        let connection = self.find.lock();
        let mut statement = connection.prepare_cached(select).map_err(failed)?;
        let row = statement.query_row((account.as_str(), call.to_string()), stored(account));
        row.optional().map_err(failed)?.map(|it| row::finished(&it)).transpose()
    }

    /// One page of the matching CDRs. `unstored`: those that may not be in the table yet.
    pub(super) fn page(
        &self,
        account: &AccountId,
        filter: &CdrFilter,
        (offset, limit): (usize, usize),
        mut unstored: BTreeMap<CdrKey, Arc<Cdr>>,
    ) -> Result<CdrPage, RowStoreError> {
        let connection = self.list.lock();
        let read = || -> Result<_, Error> {
            // All reads are of one state.
            let snapshot = connection.unchecked_transaction()?;
            remove_stored(&snapshot, account, &mut unstored)?;
            // So many at most are before the page or in it.
            let begin = offset.saturating_sub(unstored.len());
            let query = CdrQuery::new(account, filter);
            let (stored, rows) = query.read(&snapshot, begin, limit + unstored.len())?;
            let total = stored + unstored.len();
            Ok((begin, total, rows, unstored))
        };
        let (begin, total, rows, mut found) = read().map_err(failed)?;
        drop(connection);
        for row in rows {
            match row::finished(&row) {
                Ok(cdr) => drop(found.insert((row.a, row.b), Arc::new(cdr))),
                Err(error) => tracing::error!("a call detail record is left out: {error}"),
            }
        }
        let latest_first = found.into_values().rev();
        let cdrs = latest_first.skip(offset - begin).take(limit).collect();
        Ok(CdrPage { cdrs, total })
    }

    /// The keys of CDRs that ended before a time, at most `count`.
    pub(super) fn oldest(
        &self,
        before: SystemTime,
        count: usize,
    ) -> Result<Vec<(AccountId, CdrKey)>, RowStoreError> {
        let (before, connection) = (row::micros(before), self.find.lock());
        let read = || -> Result<_, Error> {
            let mut keys = Vec::new();
            let accounts = "SELECT DISTINCT account FROM cdr_hours WHERE hour <= ?";
            let mut accounts = connection.prepare_cached(accounts)?;
            let mut accounts = accounts.query([(before / HOUR).cast_signed()])?;
            let select = "SELECT a, b FROM cdrs WHERE account = ? AND a < ? ORDER BY a LIMIT ?";
            let mut select = connection.prepare_cached(select)?;
            while let Some(row) = accounts.next()? {
                let account: String = row.get(0)?;
                let left = i64::try_from(count - keys.len()).unwrap_or(i64::MAX);
                let mut rows = select.query((&account, before.cast_signed(), left))?;
                let Ok(account) = account.parse::<AccountId>() else { continue };
                while let Some(row) = rows.next()? {
                    let (a, b): (i64, i64) = (row.get(0)?, row.get(1)?);
                    keys.push((account.clone(), (a.cast_unsigned(), b.cast_unsigned())));
                }
            }
            Ok(keys)
        };
        read().map_err(failed)
    }
}

/// Leaves those that are not in the table.
fn remove_stored(
    snapshot: &Connection,
    account: &AccountId,
    unstored: &mut BTreeMap<CdrKey, Arc<Cdr>>,
) -> Result<(), Error> {
    let select = "SELECT 1 FROM cdrs WHERE account = ? AND a = ? AND b = ?";
    let (mut select, mut stored) = (snapshot.prepare_cached(select)?, Vec::new());
    for key @ (a, b) in unstored.keys() {
        if select.exists((account.as_str(), a.cast_signed(), b.cast_signed()))? {
            stored.push(*key);
        }
    }
    stored.iter().for_each(|key| drop(unstored.remove(key)));
    Ok(())
}

impl<'a> CdrQuery<'a> {
    fn new(account: &'a AccountId, filter: &'a CdrFilter) -> Self {
        let until = filter.ended_until.map_or(KEY_MAX, row::micros);
        Self { account, filter, from: filter.ended_from.map_or(0, row::micros), until }
    }

    /// The number of CDRs, and `limit` of them after the first `offset`, latest first.
    fn read(
        &self,
        connection: &Connection,
        offset: usize,
        limit: usize,
    ) -> Result<(usize, Vec<StoredRow>), Error> {
        let (total, until, offset) = match self.is_of_hours() {
            true => self.seek(connection, offset)?,
            false => (self.count(connection, self.from, self.until)?, self.until, offset),
        };
        let (terms, mut values) = self.terms(self.from, until);
        // The page is found in the index alone, and only its rows are read.
        let select = format!(
            "SELECT cdrs.a, cdrs.b, cdrs.body
             FROM (SELECT a, b FROM cdrs INDEXED BY {} WHERE {terms}
                   ORDER BY a DESC, b DESC LIMIT ? OFFSET ?) AS page
             CROSS JOIN cdrs ON cdrs.account = ? AND cdrs.a = page.a AND cdrs.b = page.b",
            self.index()
        );
        values.extend([limit, offset].map(|it| Value::from(i64::try_from(it).unwrap_or(i64::MAX))));
        values.push(Value::from(self.account.as_str().to_owned()));
        let mut statement = connection.prepare_cached(&select)?;
        let rows = statement.query_map(params_from_iter(values), stored(self.account))?;
        Ok((total, rows.collect::<Result<_, _>>()?))
    }

    /// Whether the counts of the hours are enough.
    fn is_of_hours(&self) -> bool {
        let CdrFilter {
            from,
            to,
            parent,
            cause_code,
            source,
            talked_from,
            talked_below,
            direction: _,
            ended_from: _,
            ended_until: _,
        } = self.filter;
        from.is_none()
            && to.is_none()
            && parent.is_none()
            && cause_code.is_none()
            && source.is_none()
            && talked_from.is_none()
            && talked_below.is_none()
    }

    fn index(&self) -> &'static str {
        match self.filter {
            CdrFilter { parent: Some(_), .. } => "cdrs_parent",
            CdrFilter { from: Some(_), .. } => "cdrs_caller",
            CdrFilter { to: Some(_), .. } => "cdrs_callee",
            _ => "cdrs_facts",
        }
    }

    /// Counts the CDRs, and finds the one at an offset: it is the returned number of CDRs before the
    /// returned time.
    fn seek(&self, connection: &Connection, offset: usize) -> Result<(usize, u64, usize), Error> {
        let (first, last) = (self.from / HOUR, self.until / HOUR);
        let select = "SELECT hour, sum(count) FROM cdr_hours WHERE account = ?1
            AND hour BETWEEN ?2 AND ?3 AND (?4 IS NULL OR direction = ?4)
            GROUP BY hour ORDER BY hour DESC";
        let mut statement = connection.prepare_cached(select)?;
        let direction = self.filter.direction.map(CallDirection::text);
        let range = (self.account.as_str(), first.cast_signed(), last.cast_signed(), direction);
        let mut hours = statement.query(range)?;
        let (mut total, mut at) = (0, None);
        while let Some(row) = hours.next()? {
            let hour = row.get::<_, i64>(0)?.cast_unsigned();
            let (begin, end) = (hour * HOUR, hour * HOUR + (HOUR - 1));
            let is_whole = self.from <= begin && end <= self.until;
            let count = match is_whole {
                true => usize::try_from(row.get::<_, i64>(1)?).unwrap_or_default(),
                false => self.count(connection, begin.max(self.from), end.min(self.until))?,
            };
            if at.is_none() && offset < total + count {
                at = Some((end.min(self.until), offset - total));
            }
            total += count;
        }
        let (until, offset) = at.unwrap_or((0, offset));
        Ok((total, until, offset))
    }

    fn count(&self, connection: &Connection, from: u64, until: u64) -> Result<usize, Error> {
        let (terms, values) = self.terms(from, until);
        let select = format!("SELECT count(*) FROM cdrs INDEXED BY {} WHERE {terms}", self.index());
        let mut statement = connection.prepare_cached(&select)?;
        let count: i64 = statement.query_row(params_from_iter(values), |row| row.get(0))?;
        Ok(usize::try_from(count).unwrap_or_default())
    }

    /// The conditions, and the values of their parameters.
    fn terms(&self, from: u64, until: u64) -> (String, Vec<Value>) {
        let mut terms = "account = ? AND a BETWEEN ? AND ?".to_owned();
        let account = Value::from(self.account.as_str().to_owned());
        let mut values =
            vec![account, from.cast_signed().into(), until.min(KEY_MAX).cast_signed().into()];
        let CdrFilter {
            from,
            to,
            direction,
            parent,
            cause_code,
            source,
            talked_from,
            talked_below,
            ended_from: _,
            ended_until: _,
        } = self.filter;
        let seconds = |it: u64| Value::from(i64::try_from(it).unwrap_or(i64::MAX));
        let more = [
            ("caller = ?", from.clone().map(Value::from)),
            ("callee = ?", to.clone().map(Value::from)),
            ("direction = ?", direction.map(|it| it.text().to_owned().into())),
            ("parent = ?", parent.map(|it| it.to_string().into())),
            ("cause = ?", cause_code.map(|it| i64::from(it).into())),
            ("source = ?", source.clone().map(Value::from)),
            ("talked >= ?", talked_from.map(seconds)),
            ("talked < ?", talked_below.map(seconds)),
        ];
        for (term, value) in more {
            if let Some(value) = value {
                terms = terms + " AND " + term;
                values.push(value);
            }
        }
        (terms, values)
    }
}

/// Reads a row of `a`, `b` and `body`.
fn stored(account: &AccountId) -> impl Fn(&rusqlite::Row<'_>) -> Result<StoredRow, Error> {
    move |row| {
        let (a, b): (i64, i64) = (row.get(0)?, row.get(1)?);
        let (account, body) = (account.clone(), row.get(2)?);
        Ok(StoredRow { account, a: a.cast_unsigned(), b: b.cast_unsigned(), body })
    }
}

fn failed(error: Error) -> RowStoreError {
    RowStoreError(format!("cannot read call detail records: {error}"))
}
