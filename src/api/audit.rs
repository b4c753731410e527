//! What is told of requests: a line in the log for each, and one in the audit for each that may
//! change something, whatever comes of it.
//!
//! The audit's target is `conflow::audit`. It has no bodies and no secrets; requests that only look
//! have none.

use std::{
    net::IpAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::http::Method;
use uuid::Uuid;

use super::{context::RequestContext, is_probe, routes::PathRow};
use crate::{
    accounts::AuthenticatedAccount,
    base::{ids::AccountId, traceparent::Traceparent},
};

/// Principal has asked, once that is known.
#[derive(Debug, Default)]
pub(super) struct PrincipalCell(OnceLock<Principal>);

/// Whose credentials were good.
#[derive(Clone, Debug)]
pub(super) struct Principal {
    pub(super) account: AccountId,
    /// The token's name, or the person, program or till that showed it.
    pub(super) by: Arc<str>,
}

/// A request that has been answered.
#[derive(Debug)]
pub struct AuditEntry {
    pub(super) api_id: Uuid,
    pub(super) trace: Traceparent,
    pub(super) peer: IpAddr,
    pub(super) method: Method,
    /// As it was sent.
    pub(super) path: String,
    /// Canonical, if that is another.
    pub(super) canonical: Option<String>,
    pub(super) path_row: &'static PathRow,
    pub(super) status: u16,
    /// None of one whose client has had its answer before.
    pub(super) took: Option<Duration>,
    pub(super) principal: Option<Principal>,
}

impl PrincipalCell {
    /// The first one stands.
    pub(super) fn set(&self, principal: Principal) {
        // A request signs in once.
        drop(self.0.set(principal));
    }

    /// One that has not been looked at is nobody's.
    pub(super) fn get(&self) -> Option<&Principal> {
        self.0.get()
    }
}

impl From<&AuthenticatedAccount> for Principal {
    fn from(pass: &AuthenticatedAccount) -> Self {
        Self { account: pass.account.clone(), by: pass.token.clone() }
    }
}

impl AuditEntry {
    pub(super) fn new(
        context: &RequestContext,
        canonical: Option<String>,
        path_row: &'static PathRow,
        status: u16,
        took: Option<Duration>,
    ) -> Self {
        let RequestContext { api_id, trace, peer, .. } = *context;
        let (method, path) = (context.method.clone(), context.uri.path().to_owned());
        let principal = context.principal.get().cloned();
        Self { api_id, trace, peer, method, path, canonical, path_row, status, took, principal }
    }

    /// Writes its lines into the log.
    pub fn log(&self) {
        if let Some(took) = self.took {
            self.log_answer(took.as_micros());
        }
        if self.path_row.is_audited(&self.method) {
            self.log_audit();
        }
    }

    fn log_answer(&self, micros: u128) {
        let Self { api_id, trace, peer, method, path, status, .. } = self;
        let shown = &*self.path_row.shown(path);
        match is_probe(path) {
            true => {
                tracing::debug!(%api_id, %trace, %peer, %method, path = shown, status, micros, "answered");
            }
            false => {
                tracing::info!(%api_id, %trace, %peer, %method, path = shown, status, micros, "answered");
            }
        }
    }

    fn log_audit(&self) {
        let Self { api_id, trace, peer, method, path, status, .. } = self;
        let named = self.canonical.as_ref().unwrap_or(path);
        let (account, by) =
            self.principal.as_ref().map_or(("", ""), |it| (it.account.as_str(), &*it.by));
        tracing::info!(
            target: "conflow::audit",
            account,
            by,
            %peer,
            %method,
            route = self.path_row.pattern,
            names = %self.path_row.names(named),
            status,
            %api_id,
            %trace,
            "audit"
        );
    }
}
