//! Rows of call detail records: the fields that later requests read. Headers and callbacks are left
//! out, since they are no longer needed.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

use crate::store::rows::{RowStoreError, StoredRow, Table};
use crate::{
    base::ids::{AccountId, CallId, Dialect, RoomId},
    call::{CallDirection, CallSession, Party, SessionDetails},
    cdr::Cdr,
    media::{Ending, HangupCause, HangupSource, legs::LegSummary},
};

/// A call that has been answered. Times are microseconds since 1970.
#[derive(Deserialize, Serialize)]
pub(super) struct CallRow {
    call: CallId,
    from: Arc<str>,
    to: Arc<str>,
    caller_name: Arc<str>,
    direction: String,
    dialect: Dialect,
    began_at: u64,
    answered_at: Option<u64>,
    parent: Option<CallId>,
}

/// A call that has ended.
#[derive(Deserialize, Serialize)]
pub(super) struct CdrRow {
    call: CallRow,
    ended_at: u64,
    cause: u16,
    source: String,
    sound: Option<LegSummaryRow>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    detail: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    conference: Option<RoomId>,
}

#[derive(Deserialize, Serialize)]
struct LegSummaryRow {
    sent: u64,
    received: u64,
    lost: u64,
    jitter_us: u32,
}

impl CallRow {
    pub(super) fn new(call: CallId, party: &Party, answered_at: Option<SystemTime>) -> Self {
        Self {
            call,
            from: party.from.clone(),
            to: party.to.clone(),
            caller_name: party.caller_name.clone(),
            direction: party.direction.text().to_owned(),
            dialect: party.dialect,
            began_at: micros(party.session.began_at),
            answered_at: answered_at.map(micros),
            parent: party.session.parent(),
        }
    }

    /// The latest time that the row contains: the answer, or else the begin.
    pub(super) fn last_known_at(&self) -> SystemTime {
        time(self.answered_at.unwrap_or(self.began_at))
    }

    fn party(self) -> Result<Party, String> {
        let direction = CallDirection::of_text(&self.direction);
        Ok(Party {
            from: self.from,
            to: self.to,
            caller_name: self.caller_name,
            direction: direction.ok_or_else(|| format!("direction {:?}", self.direction))?,
            dialect: self.dialect,
            trusted: None,
            session: CallSession::new(
                time(self.began_at),
                SessionDetails { parent: self.parent, ..SessionDetails::default() },
            ),
        })
    }
}

impl From<&Cdr> for CdrRow {
    fn from(cdr: &Cdr) -> Self {
        let Cdr {
            call,
            party,
            answered_at,
            ended_at,
            ending,
            detail,
            conference,
            leg_summary: sound,
            account: _,
        } = cdr;
        Self {
            call: CallRow::new(*call, party, *answered_at),
            ended_at: micros(*ended_at),
            cause: ending.cause.code(),
            source: ending.source.text().to_owned(),
            sound: sound.get().map(|&LegSummary { sent, received, lost, jitter_us }| {
                LegSummaryRow { sent, received, lost, jitter_us }
            }),
            detail: detail.clone(),
            conference: *conference,
        }
    }
}

/// Reads the CDR of a row of [`Table::Cdrs`].
pub(super) fn finished(row: &StoredRow) -> Result<Cdr, RowStoreError> {
    let invalid = |why: String| row.invalid(Table::Cdrs, &why);
    let CdrRow { call, ended_at, cause, source, sound, detail, conference } =
        row.parse(Table::Cdrs)?;
    let known_cause =
        HangupCause::of_code(cause).ok_or_else(|| invalid(format!("cause {cause}")))?;
    let known_source = HangupSource::of_text(&source);
    let known_source = known_source.ok_or_else(|| invalid(format!("source {source:?}")))?;
    let ending = Ending { cause: known_cause, source: known_source };
    let cdr = cdr_of(&row.account, call, time(ended_at), ending).map_err(invalid)?;
    let cdr = Cdr { detail, conference, ..cdr };
    if let Some(LegSummaryRow { sent, received, lost, jitter_us }) = sound {
        cdr.leg_summary.get_or_init(|| LegSummary { sent, received, lost, jitter_us });
    }
    Ok(cdr)
}

/// Reads a row of [`Table::Calls`] as the CDR of a call that was cut off by the end of a process.
pub(super) fn interrupted(
    row: &StoredRow,
    last_known_at: SystemTime,
) -> Result<Cdr, RowStoreError> {
    let call: CallRow = row.parse(Table::Calls)?;
    let source = HangupSource::Platform(call.dialect);
    let ending = Ending { cause: HangupCause::Internal, source };
    cdr_of(&row.account, call, last_known_at, ending).map_err(|why| row.invalid(Table::Calls, &why))
}

fn cdr_of(
    account: &AccountId,
    row: CallRow,
    ended_at: SystemTime,
    ending: Ending,
) -> Result<Cdr, String> {
    let (account, call, answered_at) = (account.clone(), row.call, row.answered_at.map(time));
    let (party, leg_summary) = (Arc::new(row.party()?), OnceLock::new());
    let (detail, conference) = (None, None);
    Ok(Cdr { account, call, party, answered_at, ended_at, ending, detail, conference, leg_summary })
}

fn micros(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

fn time(micros: u64) -> SystemTime {
    // A time beyond the clock's range is from a damaged row.
    let since = Duration::from_micros(micros);
    SystemTime::UNIX_EPOCH.checked_add(since).unwrap_or(SystemTime::UNIX_EPOCH)
}
