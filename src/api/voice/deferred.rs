//! Requests that outlive their client: those whose answer is sent to a URL later (contract 1.3),
//! and those that may come again (`Idempotency-Key`).

use std::{borrow::Cow, net::IpAddr, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::{
        HeaderMap, HeaderName, HeaderValue, Method as HttpMethod, StatusCode,
        header::{CONTENT_LENGTH, CONTENT_TYPE},
    },
    response::Response,
};
use http_body_util::BodyExt;
use serde::Serialize;
use tokio::{
    sync::oneshot,
    time::{Instant, sleep, timeout},
};
use uuid::Uuid;

use super::{Asker, endpoints::Place, params::Params, perform};
use crate::{
    api::{
        ANSWER_WAIT_MAX, Desk,
        audit::{Deed, Principal},
        failure::Failure,
        path::Path,
        reply, routes,
    },
    base::{
        ids::{AccountId, CallId, Dialect},
        traceparent::Traceparent,
    },
    call::Hook,
    engine::registry::AskError,
    fetch::{Target, signature::Field},
    store::{Repeat, RequestKey, Stored},
    webhooks::{
        delivery::{Lane, Owner},
        dispatcher::{Callback, Fields},
    },
};

/// A request, with all that it needs.
pub(super) struct Job {
    pub(super) desk: Arc<Desk>,
    pub(super) dialect: Dialect,
    pub(super) api_id: Uuid,
    pub(super) trace: Traceparent,
    /// Who has asked; the line about what comes of it has it.
    pub(super) who: Option<Principal>,
    pub(super) peer: IpAddr,
    pub(super) account: AccountId,
    pub(super) method: HttpMethod,
    pub(super) path: String,
    /// What follows `Account/{auth_id}/`.
    pub(super) below: Vec<String>,
    pub(super) ends_nameless: bool,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// A key is a name that a client makes up, as a UUID.
const KEY_CHARS_MAX: usize = 255;

/// Between two looks at a request that is being answered.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Where the answer is to go, if the client does not wait for it.
///
/// Plivo alone: in the body, or in the query of a GET. A recording's `callback_url` is another one.
pub(super) fn callback(
    dialect: Dialect,
    method: &HttpMethod,
    query: &str,
    body: &[u8],
) -> Result<Option<Hook>, Failure> {
    if dialect != Dialect::Plivo {
        return Ok(None);
    }
    if *method == HttpMethod::GET {
        return Params::of_query(query).hook("callback");
    }
    // Most bodies have none, and need not be read for it.
    let name = b"\"callback_url\"";
    if !body.windows(name.len()).any(|it| it == name) {
        return Ok(None);
    }
    match serde_json::from_slice(body) {
        Ok(body) => Params::of(body).hook("callback"),
        // What is wrong with it is told by whoever reads it.
        Err(_) => Ok(None),
    }
}

impl Job {
    /// Does it, and sends the answer to the URL; the client has another one at once.
    pub(super) fn answer_later(self, hook: Hook) -> Response {
        #[derive(Serialize)]
        struct Spawned {
            message: &'static str,
            api_id: Uuid,
        }

        let spawned = Spawned { message: "async api spawned", api_id: self.api_id };
        tokio::spawn(async move {
            let stored = self.run().await;
            self.audit(stored.status);
            self.send(&hook, &stored);
        });
        reply::json(StatusCode::ACCEPTED, &spawned)
    }

    /// Does it, unless that has been done: then the answer is the one that it had.
    pub(super) async fn answer_once(self, key: &HeaderValue) -> Result<Response, Failure> {
        let key = key.to_str().unwrap_or_default();
        if !(1..=KEY_CHARS_MAX).contains(&key.len()) {
            let bad = format!("Idempotency-Key: give 1 to {KEY_CHARS_MAX} visible characters");
            return Err(Failure::Bad(bad));
        }
        let (account, method) = (self.account.clone(), self.method.to_string());
        let (path, key) = (self.path.clone(), key.to_owned());
        let request = RequestKey { account, method, path, key };
        let asked = [self.query.as_bytes(), b"\n", &self.body].concat();
        let asked = *blake3::hash(&asked).as_bytes();
        let repeats = self.desk.repeats.clone();
        let look = async {
            loop {
                let repeat = repeats.begin(Instant::now().into_std(), &request, asked);
                if repeat != Repeat::Busy {
                    return repeat;
                }
                sleep(LOOK_EVERY).await;
            }
        };
        match timeout(ANSWER_WAIT_MAX, look).await {
            Ok(Repeat::New) => (),
            Ok(Repeat::Answered(stored)) => return Ok(stored.as_ref().into()),
            Ok(Repeat::Other) => return Err(Failure::OtherRepeat),
            Ok(Repeat::Busy) | Err(_) => return Err(AskError::Late.into()),
        }

        // It is done to its end, whoever goes.
        let repeats_ = repeats.clone();
        let request_ = request.clone();
        let done = tokio::spawn(async move {
            let stored = Arc::new(self.run().await);
            match stored.status {
                // Nothing has happened.
                429 | 503 => repeats_.forget(&request_),
                _ => {
                    let (tell, told) = oneshot::channel();
                    let kept = Box::new(move |written| drop(tell.send(written)));
                    repeats_.done(Instant::now().into_std(), &request_, stored.clone(), kept);
                    // What is done is done, and answered, even if that cannot be kept.
                    drop(told.await);
                }
            }
            stored
        });
        match done.await {
            Ok(stored) => Ok(stored.as_ref().into()),
            Err(_) => {
                repeats.forget(&request);
                Err(Failure::Fault)
            }
        }
    }

    async fn run(&self) -> Stored {
        let below: Vec<_> = self.below.iter().map(String::as_str).collect();
        let endpoint = Place::find(&below).and_then(|place| place.endpoint(&self.method));
        let asker = Asker {
            desk: &self.desk,
            dialect: self.dialect,
            api_id: self.api_id,
            trace: self.trace,
            account: &self.account,
        };
        let ends_nameless = self.ends_nameless;
        let response = match endpoint {
            Some(endpoint) => {
                let (query, headers, body) = (&self.query, &self.headers, &self.body);
                perform(&asker, endpoint, ends_nameless, query, headers, body).await
            }
            None => Err(Failure::NoRoute),
        };
        let response = response.unwrap_or_else(|it| it.answer(self.dialect, self.api_id));
        let status = response.status().as_u16();
        let headers = said_beside(response.headers());
        let body = response.into_body().collect().await;
        let body = body.map(|it| it.to_bytes().to_vec()).unwrap_or_default();
        Stored { status, body, headers }
    }

    /// The client was told that it is accepted; this is what has come of it.
    fn audit(&self, status: u16) {
        let Self { api_id, trace, peer, .. } = *self;
        let (method, path, who) = (self.method.clone(), self.path.clone(), self.who.clone());
        let route = routes::find(Path::split(&path).as_ref());
        let took = None;
        let deed = Deed { api_id, trace, peer, method, path, route, status, took, who };
        (self.desk.told)(deed);
    }

    fn send(&self, hook: &Hook, stored: &Stored) {
        let Ok(target) = Target::parse(&hook.url) else { return };
        let response = String::from_utf8_lossy(&stored.body).into_owned();
        let fields: Vec<Field> = vec![
            (Cow::Borrowed("api_id"), self.api_id.to_string()),
            (Cow::Borrowed("status_code"), stored.status.to_string()),
            (Cow::Borrowed("response"), response),
        ];
        // Nothing else is told in order with it.
        let owner = Owner::Call(CallId(self.api_id));
        self.desk.callbacks.send(Callback {
            lane: Lane { owner, url: hook.url.clone(), by_call: None },
            sequence: 1,
            target: Arc::new(target),
            method: hook.method,
            dialect: self.dialect,
            signer: self.desk.accounts.signer(&self.account, self.dialect),
            fields: Arc::new(Answer { fields, trace: self.trace }),
        });
    }
}

/// What an answer says in headers; that its body is JSON goes without saying.
fn said_beside(headers: &HeaderMap) -> Vec<(String, String)> {
    let is_said = |name: &&HeaderName| *name != CONTENT_TYPE && *name != CONTENT_LENGTH;
    let text = |(name, value): (&HeaderName, &HeaderValue)| {
        Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
    };
    headers.iter().filter(|(name, _)| is_said(name)).filter_map(text).collect()
}

/// What is sent of an answer.
#[derive(Debug)]
struct Answer {
    fields: Vec<Field>,
    trace: Traceparent,
}

impl Fields for Answer {
    fn fields(&self) -> Vec<Field> {
        self.fields.clone()
    }

    fn trace(&self) -> Option<Traceparent> {
        Some(self.trace)
    }
}

impl From<&Stored> for Response {
    fn from(stored: &Stored) -> Self {
        let mut response = Self::new(Body::from(stored.body.clone()));
        *response.status_mut() = StatusCode::from_u16(stored.status).unwrap_or_default();
        if !stored.body.is_empty() {
            let json = HeaderValue::from_static("application/json");
            response.headers_mut().insert(CONTENT_TYPE, json);
        }
        for (name, value) in &stored.headers {
            if let (Ok(name), Ok(value)) =
                (HeaderName::try_from(name), HeaderValue::try_from(value))
            {
                response.headers_mut().append(name, value);
            }
        }
        response
    }
}
