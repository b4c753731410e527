//! Endpoints of deliveries: callbacks of events, their last attempts, and their repetition.

use axum::{http::StatusCode, response::Response};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    ApiClient, InAccount,
    calls::{Meta, page_query},
    params::RequestParams,
    warnings::Warnings,
};
use crate::{
    api::{context::PathNames, failure::Failure, openapi::Schemas, reply},
    base::{
        ids::{CallId, ConferenceName, Dialect},
        utc,
    },
    engine::redelivery::RepeatRefusal,
    events::log::EventId,
    flow::RequestMethod,
    webhooks::history::{DeliveryAttempt, DeliveryFilter, DeliveryRecord, DeliveryState},
};

/// The largest page.
const LIMIT_MAX: u32 = 20;

/// The parameters of the list.
const KNOWN: [&str; 9] = [
    "call_uuid",
    "state",
    "event_time",
    "event_time__gte",
    "event_time__gt",
    "event_time__lte",
    "event_time__lt",
    "limit",
    "offset",
];

/// `GET Delivery/`
pub(super) async fn list(client: ApiClient) -> Result<Response, Failure> {
    let query = client.context.query();
    let params = RequestParams::of_query(query);
    let limit = params.number("limit", 1..=LIMIT_MAX)?.unwrap_or(LIMIT_MAX) as usize;
    let offset = params.number("offset", 0..=u32::MAX)?.unwrap_or(0) as usize;
    let journal = &client.state.journal;
    let page = journal.deliveries(&client.account, &filter(&params)?, offset, limit);

    let uri = |offset: usize| format!("{}?{}", list_uri(&client), page_query(query, limit, offset));
    let meta = Meta {
        limit,
        next: (offset + limit < page.total).then(|| uri(offset + limit)),
        offset,
        previous: (0 < offset).then(|| uri(offset.saturating_sub(limit))),
        total_count: page.total,
    };
    let body =
        |(number, record)| DeliveryBody::new(&client, journal.event_id(number), record, None);
    let objects = page.records.into_iter().map(body).collect();
    let list = DeliveryListBody { api_id: client.api_id, meta, objects };
    let warnings = Warnings::of(&client, &params, &KNOWN);
    Ok(warnings.add_to(&client, reply::json(StatusCode::OK, &list)))
}

/// `GET Delivery/{event_id}/`
pub(super) async fn show(
    client: ApiClient,
    PathNames([id]): InAccount,
) -> Result<Response, Failure> {
    let id = event_id(&id)?;
    let record = client.state.journal.delivery(&client.account, id).ok_or_else(not_found)?;
    let body = DeliveryBody::new(&client, id, record, Some(client.api_id));
    Ok(reply::json(StatusCode::OK, &body))
}

/// `POST Delivery/{event_id}/`
///
/// Sends the callback of an event again, whether it has arrived or was given up, after those that wait
/// in its queue.
pub(super) async fn repeat(
    client: ApiClient,
    PathNames([id]): InAccount,
) -> Result<Response, Failure> {
    let id = event_id(&id)?;
    let repeated = client.state.journal.repeat_callback(&client.account, id).await;
    repeated.map_err(|refusal| match refusal {
        RepeatRefusal::NotKept => not_found(),
        RepeatRefusal::NoCallback => Failure::NotFound("this event has no callback".into()),
        RepeatRefusal::Waits => {
            Failure::Conflict("the callback waits already, or is under way".to_owned())
        }
        RepeatRefusal::NotStored => {
            Failure::Unavailable("the store cannot write: nothing was done".to_owned())
        }
    })?;
    let (message, event_id) = ("callback queued", id.to_string());
    let body = CallbackQueued { message, event_id, api_id: client.api_id };
    Ok(reply::json(StatusCode::ACCEPTED, &body))
}

fn filter(params: &RequestParams) -> Result<DeliveryFilter, Failure> {
    let call = match params.text("call_uuid")? {
        None => None,
        Some(id) => {
            let bad = |_| Failure::Bad("call_uuid: give a call_uuid".to_owned());
            Some(id.parse().map_err(bad)?)
        }
    };
    let state = match params.text("state")? {
        None => None,
        Some(name) => {
            let names = DeliveryState::NAMES;
            let bad = || Failure::Bad(format!("state: give {}", names.join(" or ")));
            Some(names.into_iter().find(|it| *it == name).ok_or_else(bad)?)
        }
    };
    let (from, until) = params.time_range("event_time")?;
    Ok(DeliveryFilter { call, state, from, until })
}

fn event_id(text: &str) -> Result<EventId, Failure> {
    text.parse().map_err(|_| not_found())
}

fn not_found() -> Failure {
    Failure::NotFound(
        "callback not found: there is none of this event, or it is no longer kept".into(),
    )
}

fn list_uri(client: &ApiClient) -> String {
    let root = match client.dialect {
        Dialect::Plivo => "/v1",
        Dialect::Vobiz => "/api/v1",
    };
    format!("{root}/Account/{}/Delivery/", client.account)
}

/// The schemas of these bodies.
pub(super) fn schemas(schemas: &mut Schemas) {
    schemas.put::<DeliveryListBody>();
    schemas.put::<DeliveryBody>();
    schemas.put::<AttemptBody>();
    schemas.put::<CallbackQueued>();
}

/// A page of callbacks.
#[derive(Serialize, ToSchema)]
#[schema(as = Deliveries)]
struct DeliveryListBody {
    api_id: Uuid,
    meta: Meta,
    objects: Vec<DeliveryBody>,
}

/// The callback of an event.
#[derive(Serialize, ToSchema)]
#[schema(as = Delivery)]
struct DeliveryBody {
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    api_id: Option<Uuid>,
    attempts: u8,
    #[schema(value_type = Option<Uuid>, required = true)]
    call_uuid: Option<CallId>,
    #[schema(value_type = Option<String>, required = true)]
    conference_name: Option<ConferenceName>,
    event: String,
    event_id: String,
    event_time: String,
    last_attempts: Vec<AttemptBody>,
    method: &'static str,
    /// Why it was given up.
    #[schema(required = true)]
    reason: Option<&'static str>,
    resource_uri: String,
    #[schema(required = true)]
    settled_time: Option<String>,
    state: &'static str,
    url: String,
}

/// A request of a callback.
#[derive(Serialize, ToSchema)]
#[schema(as = DeliveryAttempt)]
struct AttemptBody {
    /// None if it has arrived.
    #[schema(required = true)]
    error: Option<String>,
    milliseconds: u64,
    /// None if there was no response.
    #[schema(required = true)]
    status: Option<u16>,
    time: String,
}

/// The success of a repetition.
#[derive(Serialize, ToSchema)]
struct CallbackQueued {
    message: &'static str,
    event_id: String,
    api_id: Uuid,
}

impl DeliveryBody {
    fn new(client: &ApiClient, id: EventId, record: DeliveryRecord, api_id: Option<Uuid>) -> Self {
        let DeliveryRecord {
            event,
            event_at,
            since: _,
            call,
            conference,
            url,
            method,
            state,
            settled_at,
            attempts,
            last,
        } = record;
        Self {
            api_id,
            attempts,
            call_uuid: call,
            conference_name: conference,
            event: event.into_owned(),
            event_id: id.to_string(),
            event_time: utc::precise(event_at),
            last_attempts: last.into_iter().map(AttemptBody::from).collect(),
            method: match method {
                RequestMethod::Get => "GET",
                RequestMethod::Post => "POST",
            },
            reason: match state {
                DeliveryState::GivenUp(why) => Some(why.text()),
                DeliveryState::Waiting | DeliveryState::InFlight | DeliveryState::Arrived => None,
            },
            resource_uri: format!("{}{id}/", list_uri(client)),
            settled_time: settled_at.map(utc::precise),
            state: state.name(),
            url: url.to_string(),
        }
    }
}

impl From<DeliveryAttempt> for AttemptBody {
    fn from(DeliveryAttempt { at, status, error, took }: DeliveryAttempt) -> Self {
        Self {
            error: Some(String::from(error)).filter(|it| !it.is_empty()),
            milliseconds: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            status,
            time: utc::precise(at),
        }
    }
}
