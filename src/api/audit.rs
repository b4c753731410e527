//! Audit: a log line for each request, and an audit line for each that may change something,
//! whatever comes of it.
//!
//! The audit's target is `conflow::audit`. It has no bodies and no secrets. Requests that only read
//! are not audited, but for downloads of recordings.

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::http::Method;
use uuid::Uuid;

use super::{context::RequestContext, is_probe, path_row::PathRow};
use crate::base::{ids::AccountId, traceparent::Traceparent};

/// An answered request, for the log.
#[derive(Debug)]
pub struct AuditEntry {
    api_id: Uuid,
    trace: Traceparent,
    peer: IpAddr,
    method: Method,
    /// As it was sent.
    path: Box<str>,
    /// The canonical path, if it is another.
    canonical: Option<Arc<str>>,
    path_row: &'static PathRow,
    status: u16,
    /// None for a deferred request, whose client had its answer before.
    took: Option<Duration>,
    /// The account, and the user of it.
    principal: Option<(AccountId, Arc<str>)>,
}

impl AuditEntry {
    pub(super) fn new(
        context: &RequestContext,
        path_row: &'static PathRow,
        status: u16,
        took: Option<Duration>,
    ) -> Self {
        let RequestContext { api_id, trace, peer, .. } = *context;
        let (method, path) = (context.method.clone(), context.uri.path().into());
        let canonical = context.canonical.clone();
        let principal = context.principal.get().map(|it| (it.account.clone(), it.by.clone()));
        Self { api_id, trace, peer, method, path, canonical, path_row, status, took, principal }
    }

    /// Writes the lines of this request into the log.
    pub fn log(&self) {
        let mut buffer = Uuid::encode_buffer();
        let api_id = &*self.api_id.hyphenated().encode_lower(&mut buffer);
        let texts = EntryTexts {
            api_id,
            trace: &self.trace.to_string(),
            peer: &self.peer.to_string(),
            method: self.method.as_str(),
        };
        if let Some(took) = self.took {
            self.log_answer(&texts, took.as_micros());
        }
        if self.path_row.is_audited(&self.method) {
            self.log_audit(&texts);
        }
    }

    fn log_answer(&self, texts: &EntryTexts<'_>, micros: u128) {
        let EntryTexts { api_id, trace, peer, method } = *texts;
        let Self { path, status, .. } = self;
        let path = &*self.path_row.shown(path);
        match is_probe(path) {
            true => {
                tracing::debug!(api_id, trace, peer, method, path, status, micros, "answered");
            }
            false => {
                tracing::info!(api_id, trace, peer, method, path, status, micros, "answered");
            }
        }
    }

    fn log_audit(&self, texts: &EntryTexts<'_>) {
        let EntryTexts { api_id, trace, peer, method } = *texts;
        let Self { path, status, .. } = self;
        let named = self.canonical.as_deref().unwrap_or(path);
        let principal = self.principal.as_ref();
        let (account, by) = principal.map_or(("", ""), |(account, by)| (account.as_str(), &**by));
        tracing::info!(
            target: "conflow::audit",
            account,
            by,
            peer,
            method,
            route = self.path_row.pattern,
            names = %self.path_row.names(named),
            status,
            api_id,
            trace,
            "audit"
        );
    }
}

/// What both lines of an entry have, written once.
struct EntryTexts<'a> {
    api_id: &'a str,
    trace: &'a str,
    peer: &'a str,
    method: &'a str,
}
