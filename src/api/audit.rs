//! The audit: a line in the log for each request that may change something, whatever comes of it.
//!
//! Its target is `conflow::audit`. It has no bodies and no secrets; requests that only look have
//! none.

use std::{
    net::IpAddr,
    sync::{Arc, OnceLock},
};

use axum::http::Method;
use uuid::Uuid;

use super::{auth::is_read, route};
use crate::{accounts::Pass, ids::AccountId, traceparent::Traceparent};

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

/// What is told of a request.
pub(super) struct Deed<'a> {
    pub(super) api_id: Uuid,
    pub(super) trace: Traceparent,
    pub(super) peer: IpAddr,
    pub(super) method: &'a Method,
    pub(super) path: &'a str,
    pub(super) route: usize,
    pub(super) status: u16,
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

/// Writes the line, if there is to be one.
pub(super) fn note(deed: &Deed<'_>, who: Option<&Principal>) {
    let Deed { api_id, trace, peer, method, path, route: number, status } = *deed;
    if is_read(method) || number == route::UNKNOWN {
        return;
    }
    let route = route::route(number);
    let (account, by) = who.map_or(("", ""), |it| (it.account.as_str(), &*it.by));
    tracing::info!(
        target: "conflow::audit",
        account,
        by,
        %peer,
        %method,
        route = route.pattern,
        names = %route::names(number, path),
        status,
        %api_id,
        %trace,
        "audit"
    );
}
