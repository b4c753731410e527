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

use super::{auth::is_read, is_probe, routes};
use crate::{
    accounts::Pass,
    base::{ids::AccountId, traceparent::Traceparent},
};

/// Principal has asked, once that is known.
#[derive(Debug, Default)]
pub(super) struct Trail(OnceLock<Principal>);

/// Whose credentials were good.
#[derive(Clone, Debug)]
pub(super) struct Principal {
    pub(super) account: AccountId,
    /// The token's name, or the person, program or till that showed it.
    pub(super) by: Arc<str>,
}

/// A request that has been answered.
#[derive(Debug)]
pub struct Deed {
    pub(super) api_id: Uuid,
    pub(super) trace: Traceparent,
    pub(super) peer: IpAddr,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) route: usize,
    pub(super) status: u16,
    /// None of one whose client has had its answer before.
    pub(super) took: Option<Duration>,
    pub(super) who: Option<Principal>,
}

impl Trail {
    /// The first one stands.
    pub(super) fn set(&self, who: Principal) {
        // A request signs in once.
        drop(self.0.set(who));
    }

    /// One that has not been looked at is nobody's.
    pub(super) fn who(&self) -> Option<&Principal> {
        self.0.get()
    }
}

impl From<&Pass> for Principal {
    fn from(pass: &Pass) -> Self {
        Self { account: pass.account.clone(), by: pass.token.clone() }
    }
}

impl Deed {
    /// Writes its lines into the log.
    pub fn tell(&self) {
        if let Some(took) = self.took {
            self.tell_answer(took.as_micros());
        }
        if !is_read(&self.method) && self.route != routes::UNKNOWN {
            self.tell_audit();
        }
    }

    fn tell_answer(&self, micros: u128) {
        let Self { api_id, trace, peer, method, path, status, .. } = self;
        let shown = &*routes::shown(self.route, path);
        match is_probe(path) {
            true => {
                tracing::debug!(%api_id, %trace, %peer, %method, path = shown, status, micros, "answered");
            }
            false => {
                tracing::info!(%api_id, %trace, %peer, %method, path = shown, status, micros, "answered");
            }
        }
    }

    fn tell_audit(&self) {
        let Self { api_id, trace, peer, method, path, status, .. } = self;
        let route = routes::route(self.route);
        let (account, by) = self.who.as_ref().map_or(("", ""), |it| (it.account.as_str(), &*it.by));
        tracing::info!(
            target: "conflow::audit",
            account,
            by,
            %peer,
            %method,
            route = route.pattern,
            names = %routes::names(self.route, path),
            status,
            %api_id,
            %trace,
            "audit"
        );
    }
}
