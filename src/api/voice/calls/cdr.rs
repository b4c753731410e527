//! Endpoints that list and show calls: `status=live`, `status=queued`, or ended ones.

use axum::{http::StatusCode, response::Response};
use url::form_urlencoded;

use super::{
    bodies::{CallIds, CdrBody, CdrListBody, LiveCall, Meta, calls_uri},
    find, id, not_found,
};
use crate::{
    api::{
        context::PathNames,
        failure::Failure,
        reply,
        voice::{ApiClient, InAccount, params::RequestParams, warnings::Warnings},
    },
    base::ids::CallId,
    call::{CallDirection, CallStatus},
    cdr::CdrFilter,
    engine::journal::ActiveCall,
    store::rows::RowStoreError,
};

/// The largest page of ended calls (contract 1).
const LIMIT_MAX: u32 = 20;

/// The largest page of live calls.
const LIVE_MAX: u32 = 100_000;

/// The parameters of all lists. Lists of ended calls take [`ENDED_ONLY`] as well.
const LIVE: [&str; 6] = ["status", "call_direction", "from_number", "to_number", "limit", "offset"];

/// The parameters of lists of ended calls (contract 5.1).
pub(in crate::api::voice) const ENDED_ONLY: [&str; 13] = [
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
pub(in crate::api::voice) async fn list(client: ApiClient) -> Result<Response, Failure> {
    let query = client.context.query();
    let params = RequestParams::of_query(query);
    match status(&params)? {
        Some(is_wanted) => list_live(&client, &params, is_wanted),
        None => list_ended(&client, &params, query).await,
    }
}

/// `GET Call/{call_uuid}/`
pub(in crate::api::voice) async fn show(
    client: ApiClient,
    PathNames([call]): InAccount,
) -> Result<Response, Failure> {
    let call = id(&call)?;
    if let Some(is_wanted) = status(&RequestParams::of_query(client.context.query()))? {
        let live = find(&client, call, |it| is_wanted(it.status))?;
        return Ok(reply::json(StatusCode::OK, &LiveCall::new(call, &live, client.api_id)));
    }
    let cdr = client.state.journal.cdr(&client.account, call).await.map_err(unreadable)?;
    let cdr = cdr.ok_or_else(not_found)?;
    let api_id = Some(client.api_id);
    let body = CdrBody::new(&cdr, client.dialect, &client.account, api_id);
    Ok(reply::json(StatusCode::OK, &body))
}

fn list_live(
    client: &ApiClient,
    params: &RequestParams,
    is_wanted: StatusFilter,
) -> Result<Response, Failure> {
    let (from, to) = (params.text("from_number")?, params.text("to_number")?);
    let direction = direction(params)?;
    let limit = params.number("limit", 1..=LIVE_MAX)?.unwrap_or(LIVE_MAX) as usize;
    let offset = params.number("offset", 0..=u32::MAX)?.unwrap_or(0) as usize;
    let fits = |(_, live): &(CallId, ActiveCall)| {
        is_wanted(live.status)
            && direction.is_none_or(|it| it == live.party.direction)
            && from.as_ref().is_none_or(|it| **it == *live.party.from)
            && to.as_ref().is_none_or(|it| **it == *live.party.to)
    };
    let calls = client.state.journal.live_calls(&client.account).into_iter().filter(fits);
    let calls = calls.skip(offset).take(limit).map(|(call, _)| call).collect();
    let mut warnings = Warnings::of(client, params, &[&LIVE[..], &ENDED_ONLY].concat());
    for name in params.names().filter(|it| ENDED_ONLY.contains(it)) {
        warnings.ignored(name, "only calls that are over have this, so it is ignored");
    }
    Ok(warnings
        .add_to(client, reply::json(StatusCode::OK, &CallIds { api_id: client.api_id, calls })))
}

async fn list_ended(
    client: &ApiClient,
    params: &RequestParams,
    query: &str,
) -> Result<Response, Failure> {
    let ApiClient { state, dialect, api_id, account, .. } = client;
    let limit = params.number("limit", 1..=LIMIT_MAX)?.unwrap_or(LIMIT_MAX) as usize;
    let offset = params.number("offset", 0..=u32::MAX)?.unwrap_or(0) as usize;
    let page = state.journal.cdr_page(account, filter(params)?, offset, limit).await;
    let page = page.map_err(unreadable)?;

    let uri = |offset: usize| {
        format!("{}?{}", calls_uri(*dialect, account), page_query(query, limit, offset))
    };
    let meta = Meta {
        limit,
        next: (offset + limit < page.total).then(|| uri(offset + limit)),
        offset,
        previous: (0 < offset).then(|| uri(offset.saturating_sub(limit))),
        total_count: page.total,
    };
    let body = |it: &_| CdrBody::new(it, *dialect, account, None);
    let objects = page.cdrs.iter().map(|it| body(it)).collect();
    let list = CdrListBody { api_id: *api_id, meta, objects };
    let known = [&LIVE[..], &ENDED_ONLY].concat();
    let warnings = Warnings::of(client, params, &known);
    Ok(warnings.add_to(client, reply::json(StatusCode::OK, &list)))
}

/// The disk cannot be read; the log says why.
fn unreadable(error: RowStoreError) -> Failure {
    tracing::error!("{error}");
    Failure::Unavailable("call detail records cannot be read now: try again later".to_owned())
}

/// The query of another page of a list, with the same filters.
pub(in crate::api::voice) fn page_query(query: &str, limit: usize, offset: usize) -> String {
    let mut query_of_page = form_urlencoded::Serializer::new(String::new());
    query_of_page
        .append_pair("limit", &limit.to_string())
        .append_pair("offset", &offset.to_string());
    let filters = form_urlencoded::parse(query.as_bytes());
    query_of_page.extend_pairs(filters.filter(|(name, _)| *name != "limit" && *name != "offset"));
    query_of_page.finish()
}

/// Selects calls by status.
type StatusFilter = fn(CallStatus) -> bool;

/// The filter for live or queued calls; None for ended ones.
fn status(params: &RequestParams) -> Result<Option<StatusFilter>, Failure> {
    match params.text("status")?.as_deref() {
        None => Ok(None),
        Some("live") => Ok(Some(|it| it != CallStatus::Queued)),
        Some("queued") => Ok(Some(|it| it == CallStatus::Queued)),
        Some(_) => Err(Failure::Bad("status: give live or queued".to_owned())),
    }
}

fn filter(params: &RequestParams) -> Result<CdrFilter, Failure> {
    let parent = match params.text("parent_call_uuid")? {
        None => None,
        Some(id) => {
            let bad = || Failure::Bad("parent_call_uuid: give a call_uuid".to_owned());
            Some(id.parse().map_err(|_| bad())?)
        }
    };
    let code = params.number("hangup_cause_code", 0..=9_999)?;
    let (ended_from, ended_until) = params.time_range("end_time")?;
    let (talked_from, talked_below) = talked(params)?;
    Ok(CdrFilter {
        from: params.text("from_number")?,
        to: params.text("to_number")?,
        direction: direction(params)?,
        parent,
        cause_code: code.map(|it| u16::try_from(it).expect("four digits")),
        source: params.text("hangup_source")?,
        ended_from,
        ended_until,
        talked_from,
        talked_below,
    })
}

/// The range of `bill_duration` in seconds, without its end.
fn talked(params: &RequestParams) -> Result<(Option<u64>, Option<u64>), Failure> {
    let seconds = |name| params.number(name, 0..=u32::MAX).map(|it| it.map(u64::from));
    let exactly = seconds("bill_duration")?;
    let (from, above) = (seconds("bill_duration__gte")?, seconds("bill_duration__gt")?);
    let (until, below) = (seconds("bill_duration__lte")?, seconds("bill_duration__lt")?);
    let after = |it: u64| it + 1;
    let from = [exactly, from, above.map(after)].into_iter().flatten().max();
    let below = [exactly.map(after), until.map(after), below].into_iter().flatten().min();
    Ok((from, below))
}

fn direction(params: &RequestParams) -> Result<Option<CallDirection>, Failure> {
    match params.text("call_direction")?.as_deref() {
        None => Ok(None),
        Some("inbound") => Ok(Some(CallDirection::Inbound)),
        Some("outbound") => Ok(Some(CallDirection::Outbound)),
        Some(_) => Err(Failure::Bad("call_direction: give inbound or outbound".to_owned())),
    }
}
