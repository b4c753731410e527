//! Endpoints of recordings: list, show, delete, and the audio (contract recording 4 and 10).

pub(super) mod audio;
mod bodies;
mod range;

use std::{
    ops::RangeInclusive,
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{http::StatusCode, response::Response};

pub(super) use self::bodies::schemas;
use self::bodies::{DAY, RecordingListBody, body, uri};
use super::{
    ApiClient, InAccount,
    calls::{Meta, page_query},
    params::RequestParams,
    warnings::Warnings,
};
use crate::{
    api::{context::PathNames, failure::Failure, reply},
    base::ids::{Dialect, RecordingId},
    engine::inbound::wall_clock,
    recording::{Recording, RecordingFilter, RecordingPage, RecordingStore, archive::DeleteError},
    store::rows::RowStoreError,
};

/// The parameters of a list.
const KNOWN: [&str; 5] = ["limit", "offset", "from_number", "to_number", "call_uuid"];

/// The further ones of both dialects: a name and, with `__gte` and so on, a range.
const RANGES: [&str; 2] = ["add_time", "recording_storage_duration"];

/// The ends of a range.
const ENDS: [&str; 5] = ["", "__gte", "__gt", "__lte", "__lt"];

/// What no recording here has: a filter for it finds nothing.
pub(super) const NEVER: [&str; 4] = ["conference_uuid", "mpc_name", "mpc_uuid", "subaccount"];

/// The values of `recording_type`, which is Vobiz's. Nothing here is of the third.
pub(super) const TYPES: [&str; 3] = ["call", "conference", "trunk"];

/// The largest number of days in a filter: a century.
pub(super) const DAYS_MAX: u32 = 36_500;

/// The limits of a page. The default is 20 in both dialects.
pub(super) fn limits(dialect: Dialect) -> RangeInclusive<u32> {
    match dialect {
        Dialect::Plivo => 1..=20,
        Dialect::Vobiz => 1..=100,
    }
}

/// The default limit of a page.
pub(super) const LIMIT_DEFAULT: u32 = 20;

/// `GET Recording/`
pub(super) async fn list(client: ApiClient) -> Result<Response, Failure> {
    let (query, now) = (client.context.query().to_owned(), wall_clock());
    let params = RequestParams::of_query(&query);
    let limit = params.number("limit", limits(client.dialect))?.unwrap_or(LIMIT_DEFAULT) as usize;
    let offset = params.number("offset", 0..=u32::MAX)?.unwrap_or(0) as usize;
    let page = match filter(&client, &params, now)? {
        Some(filter) => {
            let account = client.account.clone();
            let archive = &client.state.recordings;
            let page = archive.read(move |it| it.list(&account, &filter, offset, limit)).await;
            page.map_err(unreadable)?
        }
        None => RecordingPage::default(),
    };
    let at = |offset| format!("{}?{}", uri(&client), page_query(&query, limit, offset));
    let next = (offset + limit < page.total).then(|| at(offset + limit));
    let meta = Meta {
        limit,
        next: match client.dialect {
            Dialect::Plivo => next,
            // The SDK's model has no null here.
            Dialect::Vobiz => Some(next.unwrap_or_default()),
        },
        offset,
        previous: (0 < offset).then(|| at(offset.saturating_sub(limit))),
        total_count: page.total,
    };
    let objects = page.recordings.iter().map(|it| body(&client, now, it, None)).collect();
    let list = RecordingListBody { api_id: client.api_id, meta, objects };
    let warnings = warnings(&client, &params);
    Ok(warnings.add_to(&client, reply::json(StatusCode::OK, &list)))
}

/// `GET Recording/{recording_id}/`
pub(super) async fn show(
    client: ApiClient,
    PathNames([id]): InAccount,
) -> Result<Response, Failure> {
    let recording = find(&client, &id).await?;
    let body = body(&client, wall_clock(), &recording, Some(client.api_id));
    Ok(reply::json(StatusCode::OK, &body))
}

/// `DELETE Recording/{recording_id}/`: file and row are gone with the answer.
pub(super) async fn delete(
    client: ApiClient,
    PathNames([id]): InAccount,
) -> Result<Response, Failure> {
    let recording = find(&client, &id).await?;
    if recording.end.is_none() {
        let why = "the recording runs: stop it first (DELETE Call/{call_uuid}/Record/, or that of its \
                   conference)";
        return Err(Failure::Conflict(why.to_owned()));
    }
    let archive = client.state.recordings.clone();
    // Its own task: it is completed even if the client disconnects.
    let deleted = tokio::spawn(async move { archive.delete(&recording).await }).await;
    match deleted {
        Ok(Ok(())) => Ok(reply::empty(StatusCode::NO_CONTENT)),
        Ok(Err(error @ (DeleteError::File(_) | DeleteError::Row(_)))) => {
            tracing::error!(api_id = %client.api_id, recording = id, "{error}");
            Err(Failure::Unavailable(error.to_string()))
        }
        Err(_) => Err(Failure::Internal),
    }
}

/// `POST Recording/export`
pub(super) async fn export() -> Result<Response, Failure> {
    Err(Failure::NotImplemented("the export of recordings is not implemented yet"))
}

/// A recording of the account, running or complete.
async fn find(client: &ApiClient, id: &str) -> Result<Arc<Recording>, Failure> {
    let not_found = || {
        Failure::NotFound(match client.dialect {
            Dialect::Plivo => "recording not found".into(),
            Dialect::Vobiz => "Recording not found".into(),
        })
    };
    let id: RecordingId = id.parse().map_err(|_| not_found())?;
    let account = client.account.clone();
    let found = client.state.recordings.read(move |it| it.find(&account, id)).await;
    found.map_err(unreadable)?.ok_or_else(not_found)
}

/// The disk cannot be read; the log says why.
fn unreadable(error: RowStoreError) -> Failure {
    tracing::error!("{error}");
    Failure::Unavailable("recordings cannot be read now: try again later".to_owned())
}

/// The filter of a list; None if nothing can match it.
fn filter(
    client: &ApiClient,
    params: &RequestParams,
    now: SystemTime,
) -> Result<Option<RecordingFilter>, Failure> {
    let call = match params.text("call_uuid")? {
        None => None,
        Some(id) => {
            let bad = || Failure::Bad("call_uuid: give a call_uuid".to_owned());
            Some(id.parse().map_err(|_| bad())?)
        }
    };
    let (added_from, added_until) = params.time_range("add_time")?;
    let Some((stored_from, stored_until)) = stored(params, now)? else { return Ok(None) };
    let mut filter = RecordingFilter {
        from: params.text("from_number")?,
        to: params.text("to_number")?,
        call,
        conference: None,
        is_conference: None,
        started_from: added_from.into_iter().chain(stored_from).max(),
        started_until: added_until.into_iter().chain(stored_until).min(),
    };
    for name in NEVER {
        if params.text(name)?.is_some() {
            return Ok(None);
        }
    }
    if client.dialect == Dialect::Vobiz {
        match params.text("recording_type")?.as_deref() {
            None => (),
            Some("call") => filter.is_conference = Some(false),
            Some("conference") => filter.is_conference = Some(true),
            Some("trunk") => return Ok(None),
            Some(_) => {
                let why = format!("recording_type: give {}", TYPES.join(" or "));
                return Err(Failure::Bad(why));
            }
        }
    }
    // A text that cannot be a conference's name names none.
    match params.text("conference_name")?.map(|it| it.parse()) {
        Some(Ok(name)) => filter.conference = Some(name),
        Some(Err(_)) => return Ok(None),
        None => (),
    }
    Ok(Some(filter))
}

/// The first and the last time of the start, from the days for which a recording has been stored: the
/// first day is 1. None: no recording is that young.
fn stored(params: &RequestParams, now: SystemTime) -> Result<Option<StoredTimes>, Failure> {
    let days = |end: &str| params.number(&format!("recording_storage_duration{end}"), 0..=DAYS_MAX);
    let (exactly, from, above) = (days("")?, days("__gte")?, days("__gt")?);
    let (until, below) = (days("__lte")?, days("__lt")?);
    let after = |it: u32| it + 1;
    let from = [exactly, from, above.map(after)].into_iter().flatten().max();
    let below = [exactly.map(after), until.map(after), below].into_iter().flatten().min();
    let ago = |days: u32| now.checked_sub(DAY * days).unwrap_or(SystemTime::UNIX_EPOCH);
    if below.is_some_and(|it| it <= 1) {
        return Ok(None);
    }
    let last = from.filter(|it| 1 < *it).map(ago);
    let first = below.map(|it| ago(it) + Duration::from_micros(1));
    Ok(Some((first, last)))
}

/// The first and the last time; None: any.
type StoredTimes = (Option<SystemTime>, Option<SystemTime>);

/// Warns about parameters without effect, and about those that nothing matches.
fn warnings(client: &ApiClient, params: &RequestParams) -> Warnings {
    let ranges = RANGES.iter().flat_map(|name| ENDS.map(|end| format!("{name}{end}")));
    let ranges: Vec<_> = ranges.collect();
    let mut known = KNOWN.to_vec();
    known.extend(NEVER);
    known.extend(ranges.iter().map(String::as_str));
    if client.dialect == Dialect::Vobiz {
        known.push("recording_type");
    }
    let mut warnings = Warnings::of(client, params, &known);
    for name in params.names().filter(|it| NEVER.contains(it)) {
        warnings.ignored(name, "no recording of conflow has one, so there is none in this list");
    }
    warnings
}
