//! Rows of call detail records: the fields that later requests read. Headers and callbacks are left
//! out, since they are no longer needed.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

use crate::store::rows::{RowStoreError, StoredRow, Table};
use crate::{
    base::ids::{CallId, Dialect, RoomId},
    call::{CallDirection, CallSession, Party, SessionDetails},
    cdr::Cdr,
    media::{Ending, HangupCause, HangupSource, legs::LegSummary},
};

/// The call of a CDR. Times are microseconds since 1970.
#[derive(Deserialize, Serialize)]
struct CallRow {
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
    fn new(call: CallId, party: &Party, answered_at: Option<SystemTime>) -> Self {
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
    let cdr = Cdr {
        account: row.account.clone(),
        call: call.call,
        answered_at: call.answered_at.map(time),
        party: Arc::new(call.party().map_err(invalid)?),
        ended_at: time(ended_at),
        ending: Ending { cause: known_cause, source: known_source },
        detail,
        conference,
        leg_summary: OnceLock::new(),
    };
    if let Some(LegSummaryRow { sent, received, lost, jitter_us }) = sound {
        cdr.leg_summary.get_or_init(|| LegSummary { sent, received, lost, jitter_us });
    }
    Ok(cdr)
}

pub(super) fn micros(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

fn time(micros: u64) -> SystemTime {
    // A time beyond the clock's range is from a damaged row.
    let since = Duration::from_micros(micros);
    SystemTime::UNIX_EPOCH.checked_add(since).unwrap_or(SystemTime::UNIX_EPOCH)
}
