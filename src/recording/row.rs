//! Rows of recordings: every field, so that a recording outlives the process.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Recording, RecordingAudience, RecordingCallback, RecordingEnd, RecordingEndReason, format_name,
};
use crate::{
    base::ids::{CallId, ConferenceName, RecordingId},
    flow::RecordingFormat,
    media::RecordingChannels,
    store::rows::{RowStoreError, RowWrite, StoredRow, Table},
};

/// The time of the first sample in microseconds since 1970, and a tie-breaker.
pub(super) type RecordingKey = (u64, u64);

/// A recording. Times are microseconds since 1970.
#[derive(Deserialize, Serialize)]
struct RecordingRow {
    id: RecordingId,
    call: CallId,
    from: Arc<str>,
    to: Arc<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    conference: Option<ConferenceName>,
    api_id: Uuid,
    channels: u16,
    format: String,
    started_at: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    callback: Option<RecordingCallback>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    audience: Option<Arc<RecordingAudience>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end: Option<RecordingEndRow>,
}

#[derive(Deserialize, Serialize)]
struct RecordingEndRow {
    at: u64,
    duration_us: u64,
    bytes: u64,
    lost_samples: u64,
    format: String,
    reason: String,
}

/// The key of a recording's row, which its end does not change.
pub(super) fn key(recording: &Recording) -> RecordingKey {
    let (high, low) = recording.id.0.as_u64_pair();
    // SQLite's integers have 63 bits above zero.
    (micros(recording.started_at), (high ^ low) & (u64::MAX >> 1))
}

/// The write of a recording's row.
pub(super) fn put(recording: &Recording) -> RowWrite {
    let Recording {
        id,
        account,
        call,
        from,
        to,
        conference,
        api_id,
        channels,
        format,
        started_at,
        callback,
        audience,
        end,
    } = recording;
    let row = RecordingRow {
        id: *id,
        call: *call,
        from: from.clone(),
        to: to.clone(),
        conference: conference.clone(),
        api_id: *api_id,
        channels: channels.count(),
        format: format_name(*format).to_owned(),
        started_at: micros(*started_at),
        callback: callback.clone(),
        audience: audience.clone(),
        end: end.as_ref().map(RecordingEndRow::new),
    };
    let (a, b) = key(recording);
    RowWrite { b, ..RowWrite::put(Table::Recordings, account, a, &row) }
}

/// The write that removes a recording's row.
pub(super) fn delete(recording: &Recording) -> RowWrite {
    let (a, b) = key(recording);
    RowWrite { b, ..RowWrite::delete(Table::Recordings, &recording.account, a) }
}

/// Reads the recording of a row of [`Table::Recordings`].
pub(super) fn read(row: &StoredRow) -> Result<Recording, RowStoreError> {
    let invalid = |why: String| row.invalid(Table::Recordings, &why);
    let RecordingRow {
        id,
        call,
        from,
        to,
        conference,
        api_id,
        channels: count,
        format,
        started_at,
        callback,
        audience,
        end,
    } = row.parse(Table::Recordings)?;
    let known = [RecordingChannels::Mono, RecordingChannels::Stereo];
    let channels = known.into_iter().find(|it| it.count() == count);
    Ok(Recording {
        id,
        account: row.account.clone(),
        call,
        from,
        to,
        conference,
        api_id,
        channels: channels.ok_or_else(|| invalid(format!("{count} channels")))?,
        format: format_of(&format).map_err(invalid)?,
        started_at: time(started_at),
        callback,
        audience,
        end: end.map(RecordingEndRow::end).transpose().map_err(invalid)?,
    })
}

impl RecordingEndRow {
    fn new(end: &RecordingEnd) -> Self {
        let RecordingEnd { at, duration, bytes, lost_samples, format, reason } = end;
        Self {
            at: micros(*at),
            duration_us: u64::try_from(duration.as_micros()).unwrap_or(u64::MAX),
            bytes: *bytes,
            lost_samples: *lost_samples,
            format: format_name(*format).to_owned(),
            reason: reason.text().to_owned(),
        }
    }

    fn end(self) -> Result<RecordingEnd, String> {
        let Self { at, duration_us, bytes, lost_samples, format, reason } = self;
        let known = RecordingEndReason::of_text(&reason);
        Ok(RecordingEnd {
            at: time(at),
            duration: Duration::from_micros(duration_us),
            bytes,
            lost_samples,
            format: format_of(&format)?,
            reason: known.ok_or_else(|| format!("reason {reason:?}"))?,
        })
    }
}

fn format_of(name: &str) -> Result<RecordingFormat, String> {
    let known = [RecordingFormat::Mp3, RecordingFormat::Wav];
    let found = known.into_iter().find(|it| format_name(*it) == name);
    found.ok_or_else(|| format!("format {name:?}"))
}

/// The microseconds since 1970.
pub(super) fn micros(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

fn time(micros: u64) -> SystemTime {
    // A time beyond the clock's range is from a damaged row.
    let since = Duration::from_micros(micros);
    SystemTime::UNIX_EPOCH.checked_add(since).unwrap_or(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::ids::{Dialect, MemberId, RoomId},
        call::{CallDirection, CallSession, Party},
        conference::MemberInfo,
        flow::{CallbackTarget, RequestMethod},
    };

    fn recording(end: Option<RecordingEnd>) -> Recording {
        Recording {
            id: RecordingId::of(1 << 127),
            account: "MA1".parse().unwrap(),
            call: CallId::of(2),
            from: "14155550100".into(),
            to: "weekly".into(),
            conference: end.is_some().then(|| "Küche 1".parse().unwrap()),
            api_id: Uuid::from_u128(3),
            channels: RecordingChannels::Stereo,
            format: RecordingFormat::Mp3,
            started_at: time(1_788_206_901_073_308),
            callback: end.is_none().then(|| RecordingCallback {
                url: "https://app.example/recorded?a=%20".into(),
                method: RequestMethod::Get,
                dialect: Dialect::Vobiz,
                party: None,
            }),
            audience: end.is_none().then(|| Arc::new(audience())),
            end,
        }
    }

    fn audience() -> RecordingAudience {
        let party = Party {
            from: "14155550100".into(),
            to: "weekly".into(),
            caller_name: "Anna".into(),
            direction: CallDirection::Inbound,
            dialect: Dialect::Vobiz,
            trusted: None,
            session: CallSession::at(time(1_788_206_900_000_000)),
        };
        let callback = CallbackTarget {
            url: "https://app.example/room".into(),
            method: RequestMethod::Get,
            by_call: true,
            reports_floor: false,
        };
        let member = MemberInfo {
            member: MemberId(7),
            call: CallId::of(2),
            party: Arc::new(party),
            callback: Some(Arc::new(callback)),
        };
        RecordingAudience { room: RoomId::of(9), members: vec![member] }
    }

    #[test]
    fn a_row_has_every_field_whatever_the_reason_of_the_end() {
        let end = |reason| RecordingEnd {
            at: time(1_788_206_961_073_308),
            duration: Duration::from_millis(59_980),
            bytes: 1_919_404,
            lost_samples: 160,
            format: RecordingFormat::Wav,
            reason,
        };
        let ends = RecordingEndReason::ALL.map(|it| Some(end(it)));
        for wanted in ends.into_iter().chain([None]).map(recording) {
            let RowWrite { account, a, b, body, .. } = put(&wanted);
            let row = StoredRow { account, a, b, body: body.unwrap() };
            assert_eq!(read(&row), Ok(wanted.clone()));
            assert_eq!((a, b), key(&recording(None)), "the end is in the same row");
            let delete = delete(&wanted);
            assert_eq!((delete.a, delete.b, delete.body), (a, b, None));
            assert!(b < 1 << 63, "SQLite keeps it");
        }
    }

    #[test]
    fn a_row_that_makes_no_sense_says_why() {
        let RowWrite { account, a, b, body, .. } = put(&recording(None));
        let check = |from: &str, to: &str, expected: &str| {
            let body = body.as_ref().unwrap().replace(from, to);
            let row = StoredRow { account: account.clone(), a, b, body };
            let error = read(&row).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check("\"channels\":2", "\"channels\":3", "3 channels");
        check("\"mp3\"", "\"ogg\"", "format \"ogg\"");
        check("{", "", "of recordings makes no sense");
    }
}
