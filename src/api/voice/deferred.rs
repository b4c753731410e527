//! Deferred requests: those whose answer is sent to a URL later (contract 1.3), and those that
//! clients may repeat (`Idempotency-Key`). Both are carried out even if the client disconnects.

use std::{borrow::Cow, sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{
        HeaderMap, HeaderName, HeaderValue, Method as HttpMethod, Request, StatusCode,
        header::{CONTENT_LENGTH, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
};
use http_body_util::BodyExt;
use serde::Serialize;
use tokio::{
    sync::oneshot,
    time::{Instant, sleep, timeout},
};
use uuid::Uuid;

use super::params::RequestParams;
use crate::{
    api::{
        ANSWER_WAIT_MAX,
        audit::AuditEntry,
        context::{HandlerState, RequestContext},
        endpoint::Endpoint,
        failure::Failure,
        path_row::PathRow,
        reply, write_failure,
    },
    base::{
        ids::{AccountId, CallId, Dialect},
        traceparent::Traceparent,
    },
    call::Hook,
    engine::registry::AskError,
    fetch::{TargetUrl, signature::FormField},
    store::{
        KeyStatus, RequestKey, StoredResponse,
        rows::{OnCommit, WriteError},
    },
    webhooks::{
        delivery::{QueueKey, QueueOwner},
        dispatcher::{Webhook, WebhookFields},
    },
};

/// A request, with everything that is needed to answer it without its client.
pub(in crate::api) struct DeferredRequest {
    pub(in crate::api) endpoint: &'static Endpoint,
    pub(in crate::api) path: &'static PathRow,
    pub(in crate::api) state: HandlerState,
}

/// The reason to answer a request apart from its connection.
pub(in crate::api) enum Deferral {
    /// The answer is sent to this URL later.
    Callback(Hook),
    /// The `Idempotency-Key` of a request that may be repeated.
    Key(HeaderValue),
}

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Keys are chosen by clients: a UUID, as a rule.
const KEY_CHARS_MAX: usize = 255;

/// The interval for polling a request with the same key that is being answered.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// The URL for the answer, if the client does not wait for it.
///
/// Only Plivo has this: in the body, or in the query of a GET.
fn callback(context: &RequestContext, body: &[u8]) -> Result<Option<Hook>, Failure> {
    if context.dialect.voice() != Dialect::Plivo {
        return Ok(None);
    }
    if context.method == HttpMethod::GET {
        return RequestParams::of_query(context.query()).hook("callback");
    }
    // Most bodies have none, so they are not parsed for it.
    let name = b"\"callback_url\"";
    if !body.windows(name.len()).any(|it| it == name) {
        return Ok(None);
    }
    match serde_json::from_slice(body) {
        Ok(body) => RequestParams::of(body).hook("callback"),
        // The handler reports the error when it parses the body.
        Err(_) => Ok(None),
    }
}

impl DeferredRequest {
    /// The reason to defer a request; None for most.
    pub(in crate::api) fn wanted(
        context: &RequestContext,
        endpoint: &Endpoint,
        body: &[u8],
    ) -> Result<Option<Deferral>, Failure> {
        if !endpoint.answers_itself
            && let Some(hook) = callback(context, body)?
        {
            return Ok(Some(Deferral::Callback(hook)));
        }
        let is_change = [HttpMethod::POST, HttpMethod::DELETE].contains(&context.method);
        let key = context.headers.get(&IDEMPOTENCY_KEY).filter(|_| is_change);
        Ok(key.cloned().map(Deferral::Key))
    }

    pub(in crate::api) async fn answer(self, deferral: Deferral) -> Response {
        match deferral {
            Deferral::Callback(hook) => self.answer_later(hook),
            Deferral::Key(key) => {
                self.answer_once(&key).await.unwrap_or_else(Failure::into_response)
            }
        }
    }

    /// Carries out the request and sends its answer to the URL. The client gets a 202 at once.
    fn answer_later(self, hook: Hook) -> Response {
        #[derive(Serialize)]
        struct SpawnedReply {
            message: &'static str,
            api_id: Uuid,
        }

        let api_id = self.state.context.api_id;
        let spawned = SpawnedReply { message: "async api spawned", api_id };
        tokio::spawn(async move {
            let stored = self.run().await;
            self.audit(stored.status);
            self.send(&hook, &stored);
        });
        reply::json(StatusCode::ACCEPTED, &spawned)
    }

    /// Carries out the request once. A repeated request gets the stored answer.
    async fn answer_once(self, key: &HeaderValue) -> Result<Response, Failure> {
        let key = key.to_str().unwrap_or_default();
        if !(1..=KEY_CHARS_MAX).contains(&key.len()) {
            let bad = format!("Idempotency-Key: give 1 to {KEY_CHARS_MAX} visible characters");
            return Err(Failure::Bad(bad));
        }
        let HandlerState { links, context, body } = &self.state;
        let account = self.account().clone();
        let (method, path) = (context.method.to_string(), context.uri.path().to_owned());
        let request = RequestKey { account, method, path, key: key.to_owned() };
        let asked = [context.query().as_bytes(), b"\n", body].concat();
        let asked = *blake3::hash(&asked).as_bytes();
        let idempotency_keys = links.app.idempotency_keys.clone();
        let look = async {
            loop {
                let lookup = idempotency_keys.begin(Instant::now().into_std(), &request, asked);
                if lookup != KeyStatus::Busy {
                    return lookup;
                }
                sleep(LOOK_EVERY).await;
            }
        };
        match timeout(ANSWER_WAIT_MAX, look).await {
            Ok(KeyStatus::New) => (),
            Ok(KeyStatus::Answered(stored)) => return Ok(stored.as_ref().into()),
            Ok(KeyStatus::Mismatch) => return Err(Failure::KeyReused),
            Ok(KeyStatus::Unknown) => return Err(Failure::KeyInterrupted),
            Ok(KeyStatus::Busy) | Err(_) => return Err(AskError::Late.into()),
        }

        // Its own task: it is completed even if the client disconnects.
        let keys = idempotency_keys.clone();
        let request_ = request.clone();
        let done = tokio::spawn(async move {
            // A key that cannot be stored could not keep its promise.
            let (reserved, on_reserved) = committed();
            keys.reserve(Instant::now().into_std(), &request_, on_reserved);
            reserved.await.map_err(|_| Failure::Internal)??;
            let stored = Arc::new(self.run().await);
            match stored.status {
                // The request had no effect, so it may be tried again.
                429 | 503 => keys.forget(&request_),
                _ => {
                    let (kept, on_kept) = committed();
                    keys.done(Instant::now().into_std(), &request_, stored.clone(), on_kept);
                    // The request had its effect, so it is answered even if the store fails now: the
                    // response is written later.
                    drop(kept.await);
                }
            }
            Ok(stored)
        });
        match done.await {
            Ok(stored) => stored.map(|it| it.as_ref().into()),
            Err(_) => {
                idempotency_keys.forget(&request);
                Err(Failure::Internal)
            }
        }
    }

    fn account(&self) -> &AccountId {
        &self.state.context.principal.get().expect("only accounts are let in").account
    }

    async fn run(&self) -> StoredResponse {
        let response = (self.endpoint.handler)(Request::default(), self.state.clone()).await;
        let response = write_failure(&self.state.context, response);
        let status = response.status().as_u16();
        let headers = extra_headers(response.headers());
        let body = response.into_body().collect().await;
        let body = body.map(|it| it.to_bytes().to_vec()).unwrap_or_default();
        StoredResponse { status, body, headers }
    }

    /// Audits the result. The 202 that the client got has an audit line of its own.
    fn audit(&self, status: u16) {
        let HandlerState { links, context, .. } = &self.state;
        (links.app.on_answered)(AuditEntry::new(context, self.path, status, None));
    }

    fn send(&self, hook: &Hook, stored: &StoredResponse) {
        let Ok(target) = TargetUrl::parse(&hook.url) else { return };
        let HandlerState { links, context, .. } = &self.state;
        let RequestContext { api_id, trace, .. } = **context;
        let (state, dialect) = (&links.app, context.dialect.voice());
        let response = String::from_utf8_lossy(&stored.body).into_owned();
        let fields: Vec<FormField> = vec![
            (Cow::Borrowed("api_id"), api_id.to_string()),
            (Cow::Borrowed("status_code"), stored.status.to_string()),
            (Cow::Borrowed("response"), response),
        ];
        // A queue of its own: no other webhook is ordered with it.
        let owner = QueueOwner::Call(CallId(api_id));
        state.callbacks.send(Webhook {
            queue: QueueKey { owner, url: hook.url.clone(), by_call: None },
            sequence: 1,
            target: Arc::new(target),
            method: hook.method,
            dialect,
            signer: state.accounts.signer(self.account(), dialect),
            fields: Arc::new(DeferredAnswer { fields, trace }),
        });
    }
}

/// The result of a commit, and the callback that sends it.
fn committed() -> (oneshot::Receiver<Result<(), WriteError>>, OnCommit) {
    let (tell, committed) = oneshot::channel();
    (committed, Box::new(move |written| drop(tell.send(written))))
}

/// The headers of an answer that are stored; `Content-Type` is always JSON.
fn extra_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let is_said = |name: &&HeaderName| *name != CONTENT_TYPE && *name != CONTENT_LENGTH;
    let text = |(name, value): (&HeaderName, &HeaderValue)| {
        Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
    };
    headers.iter().filter(|(name, _)| is_said(name)).filter_map(text).collect()
}

/// The answer as the fields of a webhook.
#[derive(Debug)]
struct DeferredAnswer {
    fields: Vec<FormField>,
    trace: Traceparent,
}

impl WebhookFields for DeferredAnswer {
    fn fields(&self) -> Vec<FormField> {
        self.fields.clone()
    }

    fn trace(&self) -> Option<Traceparent> {
        Some(self.trace)
    }
}

impl From<&StoredResponse> for Response {
    fn from(stored: &StoredResponse) -> Self {
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
