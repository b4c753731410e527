//! Deferred requests: those whose answer is sent to a URL later (contract 1.3), and those that
//! clients may repeat (`Idempotency-Key`). Both are carried out even if the client disconnects.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{
        HeaderMap, HeaderName, HeaderValue, Method as HttpMethod, Request, StatusCode,
        header::{CONTENT_LENGTH, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use http_body_util::BodyExt;
use serde::Serialize;
use tokio::{
    sync::oneshot,
    time::{Instant, sleep, timeout},
};
use uuid::Uuid;

use super::callback_jobs::{CallbackJob, callback};
use crate::{
    api::{
        ANSWER_WAIT_MAX,
        audit::AuditEntry,
        context::{HandlerState, KeyedRequest, RequestContext},
        endpoint::Endpoint,
        failure::Failure,
        path_row::PathRow,
        reply, write_failure,
    },
    base::ids::AccountId,
    call::Hook,
    engine::{
        recorder::{self, TurnRow},
        registry::AskError,
    },
    store::{
        IdempotencyStore, KeyStatus, RequestKey, StoredResponse,
        rows::{OnCommit, WriteError},
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
    /// The `Idempotency-Key` of a request that may be repeated, and the URL if it has one, too.
    Key(HeaderValue, Option<Hook>),
}

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Keys are chosen by clients: a UUID, as a rule.
const KEY_CHARS_MAX: usize = 255;

/// The interval for polling a request with the same key that is being answered.
const LOOK_EVERY: Duration = Duration::from_millis(5);

impl DeferredRequest {
    /// The reason to defer a request; None for most.
    pub(in crate::api) fn wanted(
        context: &RequestContext,
        endpoint: &Endpoint,
        body: &[u8],
    ) -> Result<Option<Deferral>, Failure> {
        let hook = match endpoint.answers_itself {
            true => None,
            false => callback(context, body)?,
        };
        let is_change = [HttpMethod::POST, HttpMethod::DELETE].contains(&context.method);
        let key = context.headers.get(&IDEMPOTENCY_KEY).filter(|_| is_change);
        Ok(match key {
            Some(key) => Some(Deferral::Key(key.clone(), hook)),
            None => hook.map(Deferral::Callback),
        })
    }

    pub(in crate::api) async fn answer(self, deferral: Deferral) -> Response {
        match deferral {
            Deferral::Callback(hook) => self.answer_later(hook, None),
            Deferral::Key(key, hook) => {
                self.answer_once(&key, hook).await.unwrap_or_else(Failure::into_response)
            }
        }
    }

    /// Carries out the request and sends its answer to the URL. The client gets a 202 at once, which
    /// is kept for `key` together with the job.
    fn answer_later(self, hook: Hook, key: Option<&KeyedRequest>) -> Response {
        #[derive(Serialize)]
        struct SpawnedReply {
            message: &'static str,
            api_id: Uuid,
        }

        let (api_id, app) = (self.state.context.api_id, self.state.links.app.clone());
        let accepted = SpawnedReply { message: "async api spawned", api_id };
        let accepted = stored(reply::json(StatusCode::ACCEPTED, &accepted));
        let job = CallbackJob::new(&self.state.context, &self.state.body);
        let mut rows = vec![job.row()];
        rows.extend(key.map(|it| TurnRow::put(it.answer, accepted.to_bytes())));
        app.journal.write_rows(&rows);
        tokio::spawn(async move {
            let stored = self.run(job.keyed()).await;
            self.audit(stored.status);
            job.answered(&app, &self.state.context, &hook, stored);
        });
        (&accepted).into()
    }

    /// Carries out the request once. A repeated request gets the stored answer.
    async fn answer_once(self, key: &HeaderValue, hook: Option<Hook>) -> Result<Response, Failure> {
        let key = key.to_str().unwrap_or_default();
        if !(1..=KEY_CHARS_MAX).contains(&key.len()) {
            let bad = format!("Idempotency-Key: give 1 to {KEY_CHARS_MAX} visible characters");
            return Err(Failure::Bad(bad));
        }
        let HandlerState { links, context, body, .. } = &self.state;
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
        let (request_, journal) = (Arc::new(request.clone()), links.app.journal.clone());
        let done = tokio::spawn(async move {
            reserve(&*keys, &request_).await?;
            let answer = recorder::answer_key(request_.id());
            let keyed = KeyedRequest { request: Some(request_.clone()), answer };
            let stored = Arc::new(match hook {
                Some(hook) => stored(self.answer_later(hook, Some(&keyed))),
                None => self.run(keyed).await,
            });
            match stored.status {
                // The request had no effect, so it may be tried again.
                429 | 503 => keys.forget(&request_),
                _ => {
                    let (kept, on_kept) = committed();
                    keys.done(Instant::now().into_std(), &request_, stored.clone(), on_kept);
                    // It had its effect, so it is answered even if the response is written later.
                    if !matches!(kept.await, Ok(Ok(()))) {
                        return Ok(stored);
                    }
                }
            }
            journal.write_rows(&[TurnRow::gone(answer)]);
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

    async fn run(&self, keyed: KeyedRequest) -> StoredResponse {
        let state = HandlerState { keyed: Some(keyed), ..self.state.clone() };
        let response = (self.endpoint.handler)(Request::default(), state).await;
        stored(write_failure(&self.state.context, response))
    }

    /// Audits the result. The 202 that the client got has an audit line of its own.
    fn audit(&self, status: u16) {
        let HandlerState { links, context, .. } = &self.state;
        (links.app.on_answered)(AuditEntry::new(context, self.path, status, None));
    }
}

/// Stores a key before its request is carried out: one that cannot be stored could not keep its
/// promise.
async fn reserve(keys: &dyn IdempotencyStore, request: &RequestKey) -> Result<(), Failure> {
    let (reserved, on_reserved) = committed();
    keys.reserve(Instant::now().into_std(), request, on_reserved);
    Ok(reserved.await.map_err(|_| Failure::Internal)??)
}

/// The result of a commit, and the callback that sends it.
fn committed() -> (oneshot::Receiver<Result<(), WriteError>>, OnCommit) {
    let (tell, committed) = oneshot::channel();
    (committed, Box::new(move |written| drop(tell.send(written))))
}

/// A response as it is stored. All but streams are whole, so nothing waits.
pub(super) fn stored(response: Response) -> StoredResponse {
    let status = response.status().as_u16();
    let headers = extra_headers(response.headers());
    let body = response.into_body().collect().now_or_never().and_then(Result::ok);
    let body = body.map(|it| it.to_bytes().to_vec()).unwrap_or_default();
    StoredResponse { status, body, headers }
}

/// The headers of an answer that are stored; `Content-Type` is always JSON.
fn extra_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let is_said = |name: &&HeaderName| *name != CONTENT_TYPE && *name != CONTENT_LENGTH;
    let text = |(name, value): (&HeaderName, &HeaderValue)| {
        Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
    };
    headers.iter().filter(|(name, _)| is_said(name)).filter_map(text).collect()
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
