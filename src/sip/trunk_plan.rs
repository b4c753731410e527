//! Trunk plan: the servers that a call may still be sent to, in order (contract of calling out,
//! sections 3 and 4).

use std::{
    collections::VecDeque,
    net::IpAddr,
    time::{Duration, Instant},
};

use super::{
    ids::SipIds,
    resolve::{NameQuery, ResolvedAddress},
    route::TrunkRoute,
    transaction::GIVE_UP,
    trunk::{DialHost, TrunkTarget, transport_of},
    uri::Host,
};
use crate::{
    base::{
        ids::AccountId,
        public_address::{embedded_ipv4, range},
    },
    media::DialFailure,
};

/// What is left to try for one call.
#[derive(Debug)]
pub struct TrunkPlan {
    /// The account on whose behalf the call is made.
    pub account: AccountId,
    /// The trunks that have not been tried.
    pub routes: VecDeque<TrunkRoute>,
    /// The trunk that is being tried.
    pub current: Option<CurrentTrunk>,
    /// The trunks that were left out because they were at a limit.
    pub busy: Vec<TrunkRoute>,
    /// Until when the call waits for a trunk, if it has had to.
    pub waits_until: Option<Instant>,
    /// Whether it waits now.
    pub is_waiting: bool,
    /// The question whose answer it waits for.
    pub question: Option<u64>,
    /// The IP version of the RTP port, once it is open.
    pub is_ipv4: Option<bool>,
    /// Addresses that have been tried, of all trunks.
    tried: usize,
}

/// The trunk that a call is being sent through.
#[derive(Debug)]
pub struct CurrentTrunk {
    /// The way through it.
    pub route: TrunkRoute,
    /// The server that is being tried.
    pub target: TrunkTarget,
    /// The servers that have not been tried.
    pub targets: VecDeque<TrunkTarget>,
    /// The addresses of `target` that have not been tried.
    pub addresses: VecDeque<ResolvedAddress>,
    /// Addresses that did not answer when they were probed: they are tried last.
    pub later: VecDeque<(TrunkTarget, ResolvedAddress)>,
    /// Whether only those are left.
    is_last_resort: bool,
}

/// What to do next for a call.
#[derive(Debug)]
pub enum PlanStep {
    /// Look up the addresses of a server.
    Resolve(NameQuery),
    /// Send an INVITE to this address.
    Try(ResolvedAddress),
    /// An address that may not be called, and why.
    Refused(IpAddr, &'static str),
    /// The current trunk, if any, has nothing left.
    NextTrunk,
}

/// Limit of addresses that are tried for one call.
const TRIES_MAX: usize = 8;

impl TrunkPlan {
    /// A plan that has tried nothing.
    pub fn new(account: AccountId, routes: Vec<TrunkRoute>) -> Self {
        Self {
            account,
            routes: routes.into(),
            current: None,
            busy: Vec::new(),
            waits_until: None,
            is_waiting: false,
            question: None,
            is_ipv4: None,
            tried: 0,
        }
    }

    /// Begins to try a trunk.
    pub fn enter(&mut self, route: TrunkRoute, ids: &mut SipIds) {
        let targets: VecDeque<_> = route.trunk.in_order(ids).into();
        let Some(target) = targets.front().cloned() else { return };
        let (addresses, later) = (VecDeque::new(), VecDeque::new());
        let is_last_resort = false;
        self.current =
            Some(CurrentTrunk { route, target, targets, addresses, later, is_last_resort });
    }

    /// Leaves the current trunk, with what is left of it.
    pub fn leave(&mut self) {
        self.current = None;
    }

    /// Puts the address that was to be tried after the others of the trunk. Returns false if it is its
    /// turn.
    pub fn put_off(&mut self, address: ResolvedAddress) -> bool {
        let Some(current) = self.current.as_mut().filter(|it| !it.is_last_resort) else {
            return false;
        };
        current.later.push_back((current.target.clone(), address));
        self.tried -= 1;
        true
    }

    /// Whether another address may be tried after this one.
    pub fn has_more(&self) -> bool {
        let of_current = |it: &CurrentTrunk| {
            !it.targets.is_empty() || !it.addresses.is_empty() || !it.later.is_empty()
        };
        let has_room = self.tried < TRIES_MAX;
        has_room && (!self.routes.is_empty() || self.current.as_ref().is_some_and(of_current))
    }

    /// How long to wait for the first response of the current target.
    pub fn silence_wait(&self) -> Duration {
        match &self.current {
            Some(it) if self.has_more() => it.route.trunk.silence_wait,
            Some(_) | None => GIVE_UP,
        }
    }

    /// Whether another target, or only another trunk, may be tried after a failure. None: neither.
    pub fn after(&self, failure: DialFailure) -> Option<PlanScope> {
        let trunk = &self.current.as_ref()?.route.trunk;
        match failure.sip_status {
            Some(401 | 407) => Some(PlanScope::Trunk),
            Some(status) => trunk.retry_on.contains(&status).then_some(PlanScope::Target),
            None => Some(PlanScope::Target),
        }
    }

    /// Returns the next step within the current trunk. Of the addresses of a host without a trunk,
    /// those that are not public must be `allowed`.
    pub fn next(&mut self, allowed: &[DialHost]) -> PlanStep {
        let Some(current) = &mut self.current else { return PlanStep::NextTrunk };
        if TRIES_MAX <= self.tried {
            self.routes.clear();
            return PlanStep::NextTrunk;
        }
        while let Some(address) = current.addresses.pop_front() {
            let ip = address.address.ip();
            if self.is_ipv4.is_some_and(|it| it != ip.is_ipv4()) {
                continue;
            }
            let reserved = range(embedded_ipv4(ip));
            let is_guarded =
                current.route.is_foreign() && !allowed.iter().any(|it| it.has_address(ip));
            if let Some(kind) = reserved.filter(|_| is_guarded) {
                return PlanStep::Refused(ip, kind);
            }
            self.tried += 1;
            return PlanStep::Try(address);
        }
        let Some(target) = current.targets.pop_front() else {
            let later = std::mem::take(&mut current.later);
            let is_usable = |it: &(_, ResolvedAddress)| {
                self.is_ipv4.is_none_or(|is_ipv4| is_ipv4 == it.1.address.is_ipv4())
            };
            let mut later = later.into_iter().filter(is_usable);
            let Some((target, address)) = later.next() else { return PlanStep::NextTrunk };
            (current.target, current.later) = (target, later.collect());
            current.is_last_resort = true;
            self.tried += 1;
            return PlanStep::Try(address);
        };
        current.target = target;
        let (uri, transport) = (&current.target.uri, current.target.transport());
        match &uri.host {
            Host::Address(ip) => {
                let Some(transport) = transport else { return self.next(allowed) };
                let port = uri.port.unwrap_or_else(|| transport.default_port());
                let address = (*ip, port).into();
                current.addresses.push_back(ResolvedAddress { transport, address });
                self.next(allowed)
            }
            Host::Name(name) => {
                let named = uri.is_secure || uri.params.get("transport").is_some();
                PlanStep::Resolve(NameQuery {
                    host: name.as_str().into(),
                    port: uri.port,
                    transport: transport_of(uri).filter(|_| named),
                })
            }
        }
    }
}

/// How far a failure reaches.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PlanScope {
    /// This target, but no other of its trunk.
    Target,
    /// All targets of the trunk.
    Trunk,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::{SipSecret, trunk::OutboundTrunk};

    fn target(uri: &str, priority: u16, weight: u16) -> TrunkTarget {
        TrunkTarget { priority, weight, ..uri.parse().unwrap() }
    }

    #[test]
    fn targets_come_by_priority_and_then_as_often_as_they_weigh() {
        let mut ids = SipIds::new(SipSecret([9; 32]));
        let targets = [
            target("sip:last", 20, 100),
            target("sip:light", 10, 1),
            target("sip:heavy", 10, 3),
            target("sip:none", 10, 0),
        ];
        let mut firsts = [0; 3];
        for _ in 0..2_000 {
            let ordered = OutboundTrunk::new(Vec::new(), targets.to_vec(), &[]).in_order(&mut ids);
            let names: Vec<_> = ordered.iter().map(|it| it.uri.host.to_string()).collect();
            assert_eq!((names.len(), names[3].as_str()), (4, "last"));
            let at = ["light", "heavy", "none"].iter().position(|it| **it == names[0]).unwrap();
            firsts[at] += 1;
        }
        // Of five draws, 0 is none's, 1 light's, 2 to 4 heavy's.
        for (count, expected) in firsts.into_iter().zip([400, 1_200, 400]) {
            assert!((expected - 80..expected + 80).contains(&count), "{firsts:?}");
        }
    }
}
