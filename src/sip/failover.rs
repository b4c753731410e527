//! Failover: sends a call to the servers of its trunks, one after another, until one takes it.

use std::{sync::Arc, time::Instant};

use super::{
    agent::{Agent, Effects},
    attempt::{CREDENTIALS, OutgoingLeg, Target, TargetKind, remark},
    caller_id::InviteLook,
    cause,
    digest::SipPassword,
    digest_client::DigestAccount,
    effect::Effect,
    header_value::parse_number,
    keep_up::tls_name,
    message::SipMessage,
    name::HeaderName,
    outgoing::srtp_over,
    request::{Hop, Transport},
    resolve::{NameQuery, ResolvedAddress},
    route::{TrunkCallee, TrunkRoute},
    trunk_plan::{CurrentTrunk, PlanScope, PlanStep, TrunkPlan},
    upkeep::UpkeepAnswer,
    uri::{Host, SipParams, SipUri, Uri},
};
use crate::{
    base::ids::{AccountId, CallId},
    media::{DialAttempt, DialFailure, DialFailureSource, Dialling, HangupCause, LegEvent, Report},
    rtp::sdp::crypto::SrtpPolicy,
};

/// The longest time for which a server that asks for it (Retry-After of a 503) gets no calls.
const KEEP_OUT_MAX: std::time::Duration = std::time::Duration::from_secs(300);

/// Limit of servers that are kept out; beyond it, those whose time is over soonest are forgotten.
const KEPT_OUT_MAX: usize = 1_024;

impl Agent {
    /// Begins a call through trunks, or to a host without one.
    pub(super) fn dial_servers(
        &mut self,
        now: Instant,
        call: CallId,
        account: &AccountId,
        dialling: Arc<Dialling>,
        routes: Vec<TrunkRoute>,
        effects: &mut Effects,
    ) {
        let mut routes = routes;
        routes.sort_by_key(|it| self.upkeep.probes.is_trunk_down(&it.name));
        let plan = TrunkPlan::new(account.clone(), routes);
        let leg = OutgoingLeg { plan: Some(Box::new(plan)), ..OutgoingLeg::new(dialling) };
        let before = self.outgoing.insert(call, leg);
        debug_assert!(before.is_none(), "call {call} is made once");
        self.proceed(now, call, effects);
    }

    /// Takes the next step of a call's plan; ends the call if there is none.
    pub(super) fn proceed(&mut self, now: Instant, call: CallId, effects: &mut Effects) {
        loop {
            let Some(leg) = self.outgoing.get_mut(&call) else { return };
            let Some(plan) = &mut leg.plan else { return };
            let step = plan.next(&self.settings.dial_allow);
            match step {
                PlanStep::Resolve(query) => return self.resolve(call, query, effects),
                PlanStep::Try(to) if self.put_off(call, to) => {}
                PlanStep::Try(to) => match self.is_kept_out(now, to) {
                    true => {
                        let cause = HangupCause::CarrierCongestion;
                        let failure = DialFailure::new(cause, DialFailureSource::Carrier);
                        let why = "left out: it has asked for a pause (Retry-After)";
                        self.skip(call, &to.address.to_string(), failure, why, effects);
                    }
                    false => return self.find_way(call, to, effects),
                },
                PlanStep::Refused(ip, kind) => {
                    let cause = HangupCause::DestinationOut;
                    let failure = DialFailure::new(cause, DialFailureSource::Platform);
                    let why = format!(
                        "refused: {kind}; if it should be called, add it to sip.dial_allow"
                    );
                    self.skip(call, &ip.to_string(), failure, &why, effects);
                }
                PlanStep::NextTrunk if self.enter_trunk(now, call, effects) => {}
                PlanStep::NextTrunk if self.wait_for_trunk(now, call, effects) => return,
                PlanStep::NextTrunk => return self.give_up(now, call, effects),
            }
        }
    }

    /// Puts a server that does not answer probes after the others. Returns false if it is its turn.
    fn put_off(&mut self, call: CallId, to: ResolvedAddress) -> bool {
        let plan = self.outgoing.get_mut(&call).and_then(|it| it.plan.as_mut());
        !self.upkeep.probes.is_up(&to) && plan.is_some_and(|it| it.put_off(to))
    }

    /// Asks for the addresses of a server.
    fn resolve(&mut self, call: CallId, query: NameQuery, effects: &mut Effects) {
        let id = self.question(call);
        effects.push_back(Effect::Resolve { id, query });
    }

    /// Asks for the way to an address.
    fn find_way(&mut self, call: CallId, to: ResolvedAddress, effects: &mut Effects) {
        let id = self.question(call);
        let plan = self.outgoing.get(&call).and_then(|it| it.plan.as_ref());
        let current = plan.and_then(|it| it.current.as_ref());
        let tls = current.and_then(|it| tls_name(&to, &domain(it), &it.route.trunk));
        effects.push_back(Effect::Route { id, to, tls });
    }

    fn question(&mut self, call: CallId) -> u64 {
        self.last_question += 1;
        self.questions.insert(self.last_question, call);
        if let Some(plan) = self.outgoing.get_mut(&call).and_then(|it| it.plan.as_mut()) {
            plan.question = Some(self.last_question);
        }
        self.last_question
    }

    /// Returns the call that waits for this answer.
    fn answered_question(&mut self, id: u64) -> Option<CallId> {
        let call = self.questions.remove(&id)?;
        let plan = self.outgoing.get_mut(&call)?.plan.as_mut()?;
        plan.question.take_if(|it| *it == id).map(|_| call)
    }

    /// The addresses of a server are known.
    pub(super) fn resolved(
        &mut self,
        now: Instant,
        id: u64,
        addresses: Vec<ResolvedAddress>,
        effects: &mut Effects,
    ) {
        if self.upkeep_answered(now, id, &UpkeepAnswer::Addresses(&addresses), effects) {
            return;
        }
        let Some(call) = self.answered_question(id) else { return };
        let Some(leg) = self.outgoing.get_mut(&call) else { return };
        let current = leg.plan.as_mut().and_then(|it| it.current.as_mut());
        let Some(current) = current else { return };
        let target = current.target.uri.to_string();
        if addresses.is_empty() {
            let failure = DialFailure::new(HangupCause::NetworkError, DialFailureSource::Platform);
            self.skip(call, &target, failure, "its name has no address", effects);
        } else {
            current.addresses = addresses.into();
        }
        self.proceed(now, call, effects);
    }

    /// The way to a server is known: sends it the INVITE, once the RTP port is open.
    pub(super) fn routed(
        &mut self,
        now: Instant,
        id: u64,
        hop: Option<Hop>,
        effects: &mut Effects,
    ) {
        if self.upkeep_answered(now, id, &UpkeepAnswer::Way(hop), effects) {
            return;
        }
        let Some(call) = self.answered_question(id) else { return };
        let Some(leg) = self.outgoing.get_mut(&call) else { return };
        let Some(plan) = &mut leg.plan else { return };
        let Some(current) = &plan.current else { return };
        let hop = hop.ok_or("no socket of ours reaches it");
        let target = match hop.and_then(|hop| target(current, &leg.dialling, hop)) {
            Ok(target) => target,
            Err(why) => {
                let name = current.target.uri.to_string();
                let cause = HangupCause::NetworkError;
                let failure = DialFailure::new(cause, DialFailureSource::Platform);
                self.skip(call, &name, failure, why, effects);
                return self.proceed(now, call, effects);
            }
        };
        let look = InviteLook::new(&leg.dialling, current, &domain(current));
        for remark in remarks(current, &leg.dialling, &look) {
            effects.push_back(Effect::Attempted(call, Arc::new(remark)));
        }
        leg.look = Some(look);
        let local = target.hop.local.ip();
        plan.is_ipv4 = Some(local.is_ipv4());
        let local = if plan.has_more() { super::outgoing::any_like(local) } else { local };
        leg.targets = vec![target];
        match leg.port {
            Some(port) => self.begin_attempts(now, call, Ok(port), effects),
            None => effects.push_back(Effect::Open { call, local }),
        }
    }

    /// Notes that something of a plan is not tried, for the trace and as the failure so far.
    pub(super) fn skip(
        &mut self,
        call: CallId,
        what: &str,
        failure: DialFailure,
        why: &str,
        effects: &mut Effects,
    ) {
        let Some(leg) = self.outgoing.get_mut(&call) else { return };
        // What a server has said counts more than what was not tried.
        if leg.failure.is_none_or(|it| it.sip_status.is_none()) {
            leg.failure = Some(failure);
        }
        let plan = leg.plan.as_ref().and_then(|it| it.current.as_ref());
        let name = plan.map(|it| it.route.name.clone()).unwrap_or_default();
        let target = if name.is_empty() { what.to_owned() } else { format!("{name}: {what}") };
        effects.push_back(Effect::Attempted(call, Arc::new(remark(&target, why))));
    }

    /// An attempt of a plan has failed. Returns whether another one follows.
    pub(super) fn move_on(
        &mut self,
        now: Instant,
        call: CallId,
        failure: DialFailure,
        effects: &mut Effects,
    ) -> bool {
        let Some(leg) = self.outgoing.get_mut(&call) else { return false };
        let Some(plan) = leg.plan.as_mut().filter(|_| !leg.has_rung) else { return false };
        match plan.after(failure) {
            Some(PlanScope::Target) => {}
            Some(PlanScope::Trunk) => plan.leave(),
            None => return false,
        }
        self.proceed(now, call, effects);
        true
    }

    /// Whether silence of an attempt's target is no reason to wait any longer.
    pub(super) fn may_pass_over(&self, call: Option<CallId>) -> bool {
        let leg = call.and_then(|it| self.outgoing.get(&it));
        leg.and_then(|it| it.plan.as_ref()).is_some_and(|it| it.has_more())
    }

    /// Leaves a silent target to itself: a late response still gets its CANCEL, or ACK and BYE.
    pub(super) fn pass_over(&mut self, now: Instant, id: u64, effects: &mut Effects) {
        let Some(attempt) = self.attempts.get_mut(id) else { return };
        let Some(call) = attempt.call.take() else { return };
        let failure = cause::silence(TargetKind::Trunk, attempt.digest.has_answered());
        let outcome = "no response; the next one is tried";
        effects.push_back(Effect::Attempted(call, attempt.record(now, outcome)));
        attempt.resend_at = None;
        attempt.ends_at = Some(now + super::transaction::GIVE_UP);
        self.rearm_attempt(id);
        self.lose_attempt(now, call, id, failure, effects);
    }

    /// Nothing is left to try: reports the failure.
    pub(super) fn give_up(&mut self, now: Instant, call: CallId, effects: &mut Effects) {
        let Some(leg) = self.outgoing.remove(&call) else { return };
        self.usage.release(now, call);
        if leg.port.is_some() {
            effects.push_back(Effect::Close { call });
        }
        let failure = leg.failure.unwrap_or_else(|| {
            DialFailure::new(HangupCause::NetworkError, DialFailureSource::Platform)
        });
        let event = LegEvent::Failed(failure);
        effects.push_back(Effect::Report(Report { call, event }));
    }

    /// A server asks for a pause (Retry-After of a 503).
    pub(super) fn keep_out(&mut self, now: Instant, hop: &Hop, response: &SipMessage) {
        let seconds = response.get(&HeaderName::RetryAfter);
        // A comment or parameters may follow.
        let seconds = seconds.and_then(|it| it.split([';', '(', ' ']).next());
        let Some(seconds) = seconds.and_then(|it| parse_number(it.trim())) else { return };
        let pause = std::time::Duration::from_secs(seconds.into()).min(KEEP_OUT_MAX);
        self.kept_out.retain(|_, until| now < *until);
        if KEPT_OUT_MAX <= self.kept_out.len() {
            let first = self.kept_out.iter().min_by_key(|(_, until)| **until).map(|it| *it.0);
            first.map(|it| self.kept_out.remove(&it));
        }
        self.kept_out.insert(ResolvedAddress::of(hop), now + pause);
    }

    fn is_kept_out(&self, now: Instant, to: ResolvedAddress) -> bool {
        self.kept_out.get(&to).is_some_and(|until| now < *until)
    }
}

fn domain(current: &CurrentTrunk) -> String {
    current.route.trunk.domain_of(&current.target)
}

/// What the trace says of a call through a trunk that is not made quite as it was asked for.
fn remarks(current: &CurrentTrunk, dialling: &Dialling, look: &InviteLook) -> Vec<DialAttempt> {
    let name = &current.route.name;
    let mut remarks = Vec::new();
    if let Some(number) = &look.replaced {
        let outcome = format!("not one of its caller_ids; {number} is shown");
        remarks.push(remark(&format!("{name}: caller id"), &outcome));
    }
    if dialling.credentials.is_some() && !current.route.is_foreign() {
        remarks.push(remark(&format!("{name}: {CREDENTIALS}"), "not sent: they are for no trunk"));
    }
    remarks
}

/// The target of one INVITE. Hosts without a trunk get the credentials of the call, if they ask for
/// them, and trunks their own.
fn target(current: &CurrentTrunk, dialling: &Dialling, hop: Hop) -> Result<Target, &'static str> {
    let route = &current.route;
    let uri = match &route.callee {
        TrunkCallee::Uri(uri) => uri.clone(),
        TrunkCallee::Number(number) => SipUri {
            is_secure: false,
            user: Some(number.clone()),
            host: match Host::parse_with_port(&domain(current)) {
                Ok((host, _)) => host,
                Err(_) => current.target.uri.host.clone(),
            },
            port: None,
            params: SipParams::default(),
            headers: None,
        },
    };
    let is_secure = hop.transport == Transport::Tls;
    if uri.is_secure && !is_secure {
        return Err("a sips: URI is called over TLS only");
    }
    if route.srtp == SrtpPolicy::Require && !is_secure {
        return Err("srtp = \"require\" needs TLS");
    }
    let given = dialling.credentials.as_ref().filter(|_| route.is_foreign());
    let given = given.map(|it| DigestAccount {
        username: it.username.clone(),
        password: SipPassword::new(&it.password),
        realm: None,
    });
    Ok(Target {
        uri: Uri::Sip(uri),
        hop,
        account: given.or_else(|| route.trunk.account.clone()),
        kind: TargetKind::Trunk,
        srtp: srtp_over(hop.transport, route.srtp),
        trunk: route.name.clone(),
    })
}
