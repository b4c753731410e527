//! Lists of calls, and one of them: `status=live`, `status=queued`, or those that are over.

use std::time::{Duration, SystemTime};

use axum::{http::StatusCode, response::Response};
use url::form_urlencoded;

use super::{
    bodies::{CallRecord, Ids, LiveCall, Meta, Records, calls_uri},
    find, not_found,
};
use crate::{
    api::{
        failure::Failure,
        reply,
        voice::{Asker, params::Params, warnings::Remarks},
    },
    base::{ids::CallId, utc},
    call::{CallStatus, Direction},
    cdr::Filter,
    engine::journal::Live,
};

/// Contract 1: so many at a time.
const LIMIT_MAX: u32 = 20;

/// More live calls than this are not listed at once.
const LIVE_MAX: u32 = 100_000;

/// What a list may be asked for; of calls that are over, [`OVER`] as well.
const LIVE: [&str; 6] = ["status", "call_direction", "from_number", "to_number", "limit", "offset"];

/// What only calls that are over have (contract 5.1).
pub(in crate::api::voice) const OVER: [&str; 13] = [
    "parent_call_uuid",
    "hangup_cause_code",
    "hangup_source",
    "end_time",
    "end_time__gte",
    "end_time__gt",
    "end_time__lte",
    "end_time__lt",
    "bill_duration",
    "bill_duration__gte",
    "bill_duration__gt",
    "bill_duration__lte",
    "bill_duration__lt",
];

/// `GET Call/`
pub(in crate::api::voice) fn list(asker: &Asker<'_>, query: &str) -> Result<Response, Failure> {
    let params = Params::of_query(query);
    match status(&params)? {
        Some(is_wanted) => list_live(asker, &params, is_wanted),
        None => list_over(asker, &params, query),
    }
}

/// `GET Call/{call_uuid}/`
pub(in crate::api::voice) fn show(
    asker: &Asker<'_>,
    call: CallId,
    query: &str,
) -> Result<Response, Failure> {
    if let Some(is_wanted) = status(&Params::of_query(query))? {
        let live = find(asker, call, |it| is_wanted(it.status))?;
        return Ok(reply::json(StatusCode::OK, &LiveCall::new(call, &live, asker.api_id)));
    }
    let record = asker.desk.journal.records().find(asker.account, call);
    let record = record.ok_or_else(not_found)?;
    let api_id = Some(asker.api_id);
    let body = CallRecord::new(&record, asker.dialect, asker.account, api_id);
    Ok(reply::json(StatusCode::OK, &body))
}

fn list_live(asker: &Asker<'_>, params: &Params, is_wanted: IsWanted) -> Result<Response, Failure> {
    let (from, to) = (params.text("from_number")?, params.text("to_number")?);
    let direction = direction(params)?;
    let limit = params.number("limit", 1..=LIVE_MAX)?.unwrap_or(LIVE_MAX) as usize;
    let offset = params.number("offset", 0..=u32::MAX)?.unwrap_or(0) as usize;
    let fits = |(_, live): &(CallId, Live)| {
        is_wanted(live.status)
            && direction.is_none_or(|it| it == live.party.direction)
            && from.as_ref().is_none_or(|it| **it == *live.party.from)
            && to.as_ref().is_none_or(|it| **it == *live.party.to)
    };
    let calls = asker.desk.journal.live_calls(asker.account).into_iter().filter(fits);
    let calls = calls.skip(offset).take(limit).map(|(call, _)| call).collect();
    let mut remarks = Remarks::of(asker, params, &[&LIVE[..], &OVER].concat());
    for name in params.names().filter(|it| OVER.contains(it)) {
        remarks.idle(name, "only calls that are over have this, so it is ignored");
    }
    Ok(remarks.tell(asker, reply::json(StatusCode::OK, &Ids { api_id: asker.api_id, calls })))
}

fn list_over(asker: &Asker<'_>, params: &Params, query: &str) -> Result<Response, Failure> {
    let Asker { desk, dialect, api_id, account, .. } = asker;
    let limit = params.number("limit", 1..=LIMIT_MAX)?.unwrap_or(LIMIT_MAX) as usize;
    let offset = params.number("offset", 0..=u32::MAX)?.unwrap_or(0) as usize;
    let page = desk.journal.records().list(account, &filter(params)?, offset, limit);

    let uri = |offset: usize| {
        format!("{}?{}", calls_uri(*dialect, account), turned(query, limit, offset))
    };
    let meta = Meta {
        limit,
        next: (offset + limit < page.total).then(|| uri(offset + limit)),
        offset,
        previous: (0 < offset).then(|| uri(offset.saturating_sub(limit))),
        total_count: page.total,
    };
    let record = |it: &_| CallRecord::new(it, *dialect, account, None);
    let objects = page.records.iter().map(|it| record(it)).collect();
    let records = Records { api_id: *api_id, meta, objects };
    let known = [&LIVE[..], &OVER].concat();
    let remarks = Remarks::of(asker, params, &known);
    Ok(remarks.tell(asker, reply::json(StatusCode::OK, &records)))
}

/// Another page of the same list: its filters stay.
fn turned(query: &str, limit: usize, offset: usize) -> String {
    let mut turned = form_urlencoded::Serializer::new(String::new());
    turned.append_pair("limit", &limit.to_string()).append_pair("offset", &offset.to_string());
    let filters = form_urlencoded::parse(query.as_bytes());
    turned.extend_pairs(filters.filter(|(name, _)| *name != "limit" && *name != "offset"));
    turned.finish()
}

/// Whether a call is wanted, by how far it has come.
type IsWanted = fn(CallStatus) -> bool;

/// Which of the calls that are up are wanted, if any.
fn status(params: &Params) -> Result<Option<IsWanted>, Failure> {
    match params.text("status")?.as_deref() {
        None => Ok(None),
        Some("live") => Ok(Some(|it| it != CallStatus::Queued)),
        Some("queued") => Ok(Some(|it| it == CallStatus::Queued)),
        Some(_) => Err(Failure::Bad("status: give live or queued".to_owned())),
    }
}

fn filter(params: &Params) -> Result<Filter, Failure> {
    let parent = match params.text("parent_call_uuid")? {
        None => None,
        Some(id) => {
            let bad = || Failure::Bad("parent_call_uuid: give a call_uuid".to_owned());
            Some(id.parse().map_err(|_| bad())?)
        }
    };
    let code = params.number("hangup_cause_code", 0..=9_999)?;
    let exactly = time(params, "end_time")?;
    let (from, after) = (time(params, "end_time__gte")?, time(params, "end_time__gt")?);
    let (until, before) = (time(params, "end_time__lte")?, time(params, "end_time__lt")?);
    let (talked_from, talked_below) = talked(params)?;
    // Times are told in seconds: all of the last one counts.
    let whole = |at: SystemTime| at + Duration::from_micros(999_999);
    let after = after.map(|at| whole(at) + Duration::from_micros(1));
    let before = before.map(|at| at - Duration::from_micros(1));
    Ok(Filter {
        from: params.text("from_number")?,
        to: params.text("to_number")?,
        direction: direction(params)?,
        parent,
        cause_code: code.map(|it| u16::try_from(it).expect("four digits")),
        source: params.text("hangup_source")?,
        ended_from: [from, after, exactly].into_iter().flatten().max(),
        ended_until: [until.map(whole), before, exactly.map(whole)].into_iter().flatten().min(),
        talked_from,
        talked_below,
    })
}

/// From so many seconds to fewer than these.
fn talked(params: &Params) -> Result<(Option<u64>, Option<u64>), Failure> {
    let seconds = |name| params.number(name, 0..=u32::MAX).map(|it| it.map(u64::from));
    let exactly = seconds("bill_duration")?;
    let (from, above) = (seconds("bill_duration__gte")?, seconds("bill_duration__gt")?);
    let (until, below) = (seconds("bill_duration__lte")?, seconds("bill_duration__lt")?);
    let after = |it: u64| it + 1;
    let from = [exactly, from, above.map(after)].into_iter().flatten().max();
    let below = [exactly.map(after), until.map(after), below].into_iter().flatten().min();
    Ok((from, below))
}

fn time(params: &Params, name: &str) -> Result<Option<SystemTime>, Failure> {
    let Some(text) = params.text(name)? else { return Ok(None) };
    let bad = || Failure::Bad(format!("{name}: give a time in UTC such as 2026-08-31 20:08:21"));
    utc::parse(&text).map(Some).ok_or_else(bad)
}

fn direction(params: &Params) -> Result<Option<Direction>, Failure> {
    match params.text("call_direction")?.as_deref() {
        None => Ok(None),
        Some("inbound") => Ok(Some(Direction::Inbound)),
        Some("outbound") => Ok(Some(Direction::Outbound)),
        Some(_) => Err(Failure::Bad("call_direction: give inbound or outbound".to_owned())),
    }
}
