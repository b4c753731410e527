//! How records of calls lie in rows: what is asked for later, and no more. Headers and hooks have
//! done their work by then.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

use crate::store::rows::{Row, RowsError, Table};
use crate::{
    base::ids::{AccountId, CallId, Dialect},
    call::{Details, Direction, Party, Session},
    cdr::Record,
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

/// A call that is over.
#[derive(Deserialize, Serialize)]
pub(super) struct RecordRow {
    call: CallRow,
    ended_at: u64,
    cause: u16,
    source: String,
    sound: Option<SoundRow>,
}

#[derive(Deserialize, Serialize)]
struct SoundRow {
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

    /// The last that is known of the call, but for its end.
    pub(super) fn last_sign(&self) -> SystemTime {
        time(self.answered_at.unwrap_or(self.began_at))
    }

    fn party(self) -> Result<Party, String> {
        let direction = Direction::of_text(&self.direction);
        Ok(Party {
            from: self.from,
            to: self.to,
            caller_name: self.caller_name,
            direction: direction.ok_or_else(|| format!("direction {:?}", self.direction))?,
            dialect: self.dialect,
            trusted: None,
            session: Session::new(
                time(self.began_at),
                Details { parent: self.parent, ..Details::default() },
            ),
        })
    }
}

impl From<&Record> for RecordRow {
    fn from(record: &Record) -> Self {
        let Record { call, party, answered_at, ended_at, ending, sound, account: _ } = record;
        Self {
            call: CallRow::new(*call, party, *answered_at),
            ended_at: micros(*ended_at),
            cause: ending.cause.code(),
            source: ending.source.text().to_owned(),
            sound: sound.get().map(|&LegSummary { sent, received, lost, jitter_us }| SoundRow {
                sent,
                received,
                lost,
                jitter_us,
            }),
        }
    }
}

/// The record that a row of [`Table::Records`] holds.
pub(super) fn record(row: &Row) -> Result<Record, RowsError> {
    let fault = |why: String| row.fault(Table::Records, &why);
    let RecordRow { call, ended_at, cause, source, sound } = row.parse(Table::Records)?;
    let known_cause = HangupCause::of_code(cause).ok_or_else(|| fault(format!("cause {cause}")))?;
    let known_source = HangupSource::of_text(&source);
    let known_source = known_source.ok_or_else(|| fault(format!("source {source:?}")))?;
    let ending = Ending { cause: known_cause, source: known_source };
    let kept = over(&row.account, call, time(ended_at), ending).map_err(fault)?;
    if let Some(SoundRow { sent, received, lost, jitter_us }) = sound {
        kept.sound.get_or_init(|| LegSummary { sent, received, lost, jitter_us });
    }
    Ok(kept)
}

/// The call that a row of [`Table::Calls`] holds, as one that the end of a process has cut off.
pub(super) fn crashed(row: &Row, last_sign: SystemTime) -> Result<Record, RowsError> {
    let call: CallRow = row.parse(Table::Calls)?;
    let source = HangupSource::Platform(call.dialect);
    let ending = Ending { cause: HangupCause::Internal, source };
    over(&row.account, call, last_sign, ending).map_err(|why| row.fault(Table::Calls, &why))
}

fn over(
    account: &AccountId,
    row: CallRow,
    ended_at: SystemTime,
    ending: Ending,
) -> Result<Record, String> {
    let (account, call, answered_at) = (account.clone(), row.call, row.answered_at.map(time));
    let (party, sound) = (Arc::new(row.party()?), OnceLock::new());
    Ok(Record { account, call, party, answered_at, ended_at, ending, sound })
}

fn micros(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

fn time(micros: u64) -> SystemTime {
    // Beyond what a clock can show, only a damaged row can be.
    let since = Duration::from_micros(micros);
    SystemTime::UNIX_EPOCH.checked_add(since).unwrap_or(SystemTime::UNIX_EPOCH)
}
