//! Callback jobs: requests whose answer goes to a URL later (contract 1.3), kept in the state log
//! until it is delivered.
//!
//! A job is written before its 202. What a job does is written with the job's answer, as that of a
//! request with an idempotency key is; the next start carries out those that have none.

use std::{borrow::Cow, net::Ipv4Addr, sync::Arc};

use axum::{
    body::Body,
    http::{
        HeaderName, Method, Request,
        header::{CONTENT_TYPE, USER_AGENT},
    },
};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use uuid::Uuid;

use super::params::RequestParams;
use crate::{
    api::{
        Api, AppState, RoutedRequest, TRACEPARENT,
        context::{KeyedRequest, RequestContext},
        failure::Failure,
        principal::Principal,
    },
    base::{
        ids::{AccountId, CallId, Dialect},
        traceparent::Traceparent,
    },
    call::Hook,
    engine::{
        journal::Journal,
        recorder::{self, TurnRow},
    },
    fetch::{TargetUrl, signature::FormField},
    state_log::{RowKey, RowRecord},
    store::StoredResponse,
    webhooks::{
        delivery::{QueueKey, QueueOwner},
        dispatcher::{Webhook, WebhookFields},
    },
};

/// A request without its credentials, and its answer.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct CallbackJob {
    account: AccountId,
    /// The token's label.
    by: Arc<str>,
    method: String,
    uri: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    api_id: Uuid,
    /// None until it is carried out.
    answer: Option<StoredResponse>,
}

/// The version of a job's bytes that this build writes.
const VERSION: u8 = 1;

/// The headers that an answer depends on.
const KEPT: [HeaderName; 3] = [CONTENT_TYPE, TRACEPARENT, USER_AGENT];

/// The URL for the answer, if the client does not wait for it.
///
/// Only Plivo has this: in the body, or in the query of a GET.
pub(super) fn callback(context: &RequestContext, body: &[u8]) -> Result<Option<Hook>, Failure> {
    if context.dialect.voice() != Dialect::Plivo {
        return Ok(None);
    }
    if context.method == Method::GET {
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

impl CallbackJob {
    /// The job of a request of an account; its body is no form any more.
    pub(super) fn new(context: &RequestContext, body: &[u8]) -> Self {
        let principal = context.principal.get().expect("only accounts are let in");
        let header = |name: &HeaderName| {
            let value = context.headers.get(name)?.to_str().ok()?.to_owned();
            let is_form = *name == CONTENT_TYPE && value.starts_with("multipart/");
            (!is_form).then(|| (name.to_string(), value))
        };
        Self {
            account: principal.account.clone(),
            by: principal.by.clone(),
            method: context.method.to_string(),
            uri: context.uri.to_string(),
            headers: KEPT.iter().filter_map(header).collect(),
            body: body.to_vec(),
            api_id: context.api_id,
            answer: None,
        }
    }

    /// What its handler gets, so that the answer is written with the change.
    pub(super) fn keyed(&self) -> KeyedRequest {
        KeyedRequest { request: None, answer: recorder::job_answer_key(self.api_id.as_u128()) }
    }

    /// The row that keeps it until its answer is delivered.
    pub(super) fn row(&self) -> TurnRow {
        let bytes = postcard::to_extend(self, vec![VERSION]).expect("texts, numbers and bytes");
        TurnRow::put(self.key(), bytes)
    }

    fn key(&self) -> RowKey {
        recorder::job_key(self.api_id.as_u128())
    }

    fn read(row: &RowRecord) -> Option<Self> {
        let (version, rest) = row.body.split_first()?;
        let job = || postcard::from_bytes(rest).ok();
        (*version == VERSION).then(job)?
    }

    fn request(&self) -> Option<Request<Body>> {
        let mut request = Request::builder().method(&*self.method).uri(&*self.uri);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request.body(Body::from(self.body.clone())).ok()
    }

    /// Stores the answer, and sends it.
    pub(super) fn answered(
        mut self,
        state: &AppState,
        context: &RequestContext,
        hook: &Hook,
        stored: StoredResponse,
    ) {
        self.answer = Some(stored);
        state.journal.write_rows(&[self.row(), TurnRow::gone(self.keyed().answer)]);
        self.send(state, context, hook);
    }

    fn send(&self, state: &AppState, context: &RequestContext, hook: &Hook) {
        let (Some(stored), Ok(target)) = (&self.answer, TargetUrl::parse(&hook.url)) else {
            return;
        };
        let dialect = context.dialect.voice();
        let response = String::from_utf8_lossy(&stored.body).into_owned();
        let fields: Vec<FormField> = vec![
            (Cow::Borrowed("api_id"), self.api_id.to_string()),
            (Cow::Borrowed("status_code"), stored.status.to_string()),
            (Cow::Borrowed("response"), response),
        ];
        let (trace, key, journal) = (context.trace, self.key(), state.journal.clone());
        // A queue of its own: no other webhook is ordered with it.
        let owner = QueueOwner::Call(CallId(self.api_id));
        state.callbacks.send(Webhook {
            account: self.account.clone(),
            queue: QueueKey { owner, url: hook.url.clone(), by_call: None },
            sequence: 1,
            target: Arc::new(target),
            method: hook.method,
            dialect,
            signer: state.accounts.signer(&self.account, dialect),
            fields: Arc::new(DeferredAnswer { fields, trace, key, journal }),
        });
    }
}

impl Api {
    /// Goes on with the requests of the last process whose answers go to a URL: sends the answers, and
    /// carries out those that have none. Returns how many there are.
    pub fn resume(&self, rows: &[RowRecord]) -> usize {
        let answers = recorder::job_answers(rows);
        let mut jobs = 0;
        for row in recorder::jobs(rows) {
            match CallbackJob::read(row) {
                Some(job) => self.resume_job(job, answers.get(&row.key.id).copied()),
                None => {
                    tracing::error!("a request of the state log, to be answered later, is damaged");
                    self.links.app.journal.write_rows(&[TurnRow::gone(row.key)]);
                }
            }
            jobs += 1;
        }
        jobs
    }

    fn resume_job(&self, job: CallbackJob, answer: Option<&[u8]>) {
        let Some(request) = job.request() else { return };
        let (app, now, body) = (&self.links.app, Instant::now(), job.body.clone());
        let trust = app.trust.read().clone();
        let (peer, api_id) = (Ipv4Addr::LOCALHOST.into(), job.api_id);
        let routed = RoutedRequest::of(&trust, peer, now, api_id, request);
        let context = routed.context.clone();
        // It was let in when it came.
        let (account, by) = (job.account.clone(), job.by.clone());
        context.principal.set(Principal { account, by, life: None, session: None });
        let answer = job.answer.clone().or_else(|| StoredResponse::from_bytes(answer?));
        match (answer, callback(&context, &body)) {
            (Some(answer), Ok(Some(hook))) => job.answered(app, &context, &hook, answer),
            // It writes its row again, and gets an answer that nobody waits for.
            (None, _) => self.carry_out(routed),
            (Some(_), Ok(None) | Err(_)) => app.journal.write_rows(&[TurnRow::gone(job.key())]),
        }
    }
}

/// The answer as the fields of a webhook.
#[derive(Debug)]
struct DeferredAnswer {
    fields: Vec<FormField>,
    trace: Traceparent,
    key: RowKey,
    journal: Arc<Journal>,
}

impl WebhookFields for DeferredAnswer {
    fn fields(&self) -> Vec<FormField> {
        self.fields.clone()
    }

    fn trace(&self) -> Option<Traceparent> {
        Some(self.trace)
    }

    fn outlives_the_process(&self) -> bool {
        self.journal.outlives_the_process()
    }

    fn settle(&self) {
        self.journal.write_rows(&[TurnRow::gone(self.key)]);
    }
}
