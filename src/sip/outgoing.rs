//! Outgoing calls: from the engine's order to the INVITEs, and from the last refusal to the report.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Instant,
};

use super::{
    agent::{Agent, Effects},
    attempt::{Attempt, AttemptState, CREDENTIALS, OutgoingLeg, Target, TargetKind, remark},
    call::CallMedia,
    cause,
    effect::Effect,
    name::{HeaderName, SipMethod},
    request::{Hop, SipRequest, Transport},
    resolve::ResolvedAddress,
    route::CallRoute,
    timers::Timer,
    transaction::GIVE_UP,
};
use crate::{
    base::ids::{AccountId, CallId},
    media::{
        DialFailure, DialFailureSource, Dialling, HangupCause, LegEvent, Report, legs::NoPort,
    },
    rtp::sdp::crypto::SrtpPolicy,
};

/// The reason of a CANCEL when another phone has answered, so that this one shows no missed call
/// (RFC 3326).
pub(super) const ELSEWHERE: &str = "SIP;cause=200;text=\"Call completed elsewhere\"";

/// Outcomes of attempts in traces.
pub(super) const ANSWERED: &str = "answered";
const CALLED_OFF: &str = "called off";
const ANSWERED_ELSEWHERE: &str = "another phone answered";

/// Our own offers have keys over TLS only.
pub(super) fn srtp_over(transport: Transport, srtp: SrtpPolicy) -> SrtpPolicy {
    match (srtp, transport) {
        (SrtpPolicy::Offer, Transport::Udp | Transport::Tcp) => SrtpPolicy::Allow,
        (srtp, _) => srtp,
    }
}

impl Agent {
    /// Begins a call to a registered phone: asks for an RTP port.
    pub(super) fn dial(
        &mut self,
        now: Instant,
        call: CallId,
        account: &AccountId,
        dialling: Arc<Dialling>,
        effects: &mut Effects,
    ) {
        let route = match self.settings.route(account, &dialling.to) {
            Ok(route) => route,
            Err(error) => return refuse(call, error.cause, effects),
        };
        if self.settings.calls_max <= self.calls.len() + self.outgoing.len() {
            return refuse(call, HangupCause::DialLimit, effects);
        }
        let user = match route {
            CallRoute::Endpoint(user) => user,
            CallRoute::Servers(routes) => {
                return self.dial_servers(now, call, account, dialling, routes, effects);
            }
        };
        let targets = self.phones_of(now, &user);
        let Some(local) = common_local(&targets) else {
            return refuse(call, HangupCause::NotRegistered, effects);
        };
        if dialling.credentials.is_some() {
            let remark = remark(CREDENTIALS, "not sent: they are for no phone");
            effects.push_back(Effect::Attempted(call, Arc::new(remark)));
        }
        let leg = OutgoingLeg { targets, ..OutgoingLeg::new(dialling) };
        let before = self.outgoing.insert(call, leg);
        debug_assert!(before.is_none(), "call {call} is made once");
        effects.push_back(Effect::Open { call, local });
    }

    /// The phones that are registered under a name, the newest first. A phone of the other IP version
    /// than the newest one has no sound in common with it, and is left out.
    fn phones_of(&self, now: Instant, user: &str) -> Vec<Target> {
        let endpoint = self.settings.endpoint(user);
        let is_endpoint = endpoint.is_some();
        let srtp = endpoint.map_or_else(SrtpPolicy::default, |it| it.srtp);
        // A name without a password is trusted on this machine only.
        let bindings = self.registrar.bindings(now, user);
        let bindings =
            bindings.filter(|it| is_endpoint || it.hop.remote.ip().to_canonical().is_loopback());
        let target = |it: &super::registrar::Binding| Target {
            uri: it.contact.clone(),
            hop: it.way(),
            account: None,
            kind: TargetKind::Endpoint,
            srtp: srtp_over(it.way().transport, srtp),
            trunk: "".into(),
        };
        let mut targets: Vec<_> = bindings.map(target).collect();
        // Keys are sent over TLS only.
        targets.retain(|it| it.srtp != SrtpPolicy::Require || it.hop.transport == Transport::Tls);
        targets.reverse();
        let is_ipv4 = targets.first().is_some_and(|it| it.hop.local.is_ipv4());
        targets.retain(|it| it.hop.local.is_ipv4() == is_ipv4);
        targets
    }

    /// The RTP port is open (or is not): sends the INVITEs.
    pub(super) fn begin_attempts(
        &mut self,
        now: Instant,
        call: CallId,
        port: Result<SocketAddr, NoPort>,
        effects: &mut Effects,
    ) {
        let Some(mut leg) = self.outgoing.remove(&call) else { return };
        let Ok(port) = port else {
            self.usage.release(now, call);
            return refuse(call, HangupCause::Internal, effects);
        };
        leg.port = Some(port);
        let mut begun = Vec::new();
        for target in std::mem::take(&mut leg.targets) {
            let us = self.settings.address_for(target.hop.local.ip(), target.hop.remote.ip());
            let (session, srtp) = (self.ids.session(), (target.srtp, self.ids.srtp()));
            let mut media = CallMedia::new(SocketAddr::new(us, port.port()), session, srtp);
            if let Some(look) = &leg.look {
                media.prefer(&look.codecs);
            }
            let server = ResolvedAddress::of(&target.hop);
            let digest = self.nonce_cache.client(server, target.account.clone());
            let (settings, ids) = (&self.settings, &mut self.ids);
            let mut attempt = Attempt::new(now, call, &leg, target, media, settings, ids);
            attempt.digest = digest;
            begun.push(self.attempts.insert(attempt));
        }
        leg.attempts.clone_from(&begun);
        self.outgoing.insert(call, leg);
        for id in begun {
            self.send_invite(now, id, None, effects);
        }
    }

    /// Sends the first INVITE of an attempt, or another one after a challenge or a refused session
    /// interval.
    pub(super) fn send_invite(
        &mut self,
        now: Instant,
        id: u64,
        interval: Option<u32>,
        effects: &mut Effects,
    ) {
        self.attempts.move_to_branch(id, self.ids.branch());
        let Some(attempt) = self.attempts.get_mut(id) else { return };
        attempt.next_invite(now, &self.settings, interval);
        let bytes = attempt.invite.to_bytes().into();
        effects.push_back(Effect::Send { hop: attempt.target.hop, bytes });
        self.rearm_attempt(id);
    }

    /// Handles a due timer of an attempt.
    pub(super) fn attempt_tick(&mut self, now: Instant, id: u64, effects: &mut Effects) {
        let Some(attempt) = self.attempts.get_mut(id) else { return };
        attempt.due = None;
        if attempt.ends_at.is_some_and(|at| at <= now) {
            let (call, is_silent) = (attempt.call, attempt.state == AttemptState::Calling);
            let failure = cause::silence(attempt.target.kind, attempt.digest.has_answered());
            let hop = attempt.target.hop;
            if is_silent && call.is_some() {
                self.was_silent(&hop, effects);
            }
            if is_silent && self.may_pass_over(call) {
                return self.pass_over(now, id, effects);
            }
            return self.fail_attempt(now, id, failure, "no response", effects);
        }
        if attempt.resend_at.is_some_and(|at| at <= now) {
            let bytes = attempt.invite.to_bytes().into();
            effects.push_back(Effect::Send { hop: attempt.target.hop, bytes });
            attempt.resend *= 2;
            attempt.resend_at = Some(now + attempt.resend);
        }
        self.rearm_attempt(id);
    }

    /// Removes an attempt that has failed, and reports the call's failure if it was the last one.
    pub(super) fn fail_attempt(
        &mut self,
        now: Instant,
        id: u64,
        failure: DialFailure,
        outcome: &str,
        effects: &mut Effects,
    ) {
        let Some(mut attempt) = self.attempts.remove(id) else { return };
        self.timers.set(Timer::Attempt(id), &mut attempt.due, None);
        let Some(call) = attempt.call else { return };
        effects.push_back(Effect::Attempted(call, attempt.record(now, outcome)));
        self.lose_attempt(now, call, id, failure, effects);
    }

    /// Takes an attempt off its call's list.
    pub(super) fn lose_attempt(
        &mut self,
        now: Instant,
        call: CallId,
        id: u64,
        failure: DialFailure,
        effects: &mut Effects,
    ) {
        let Some(leg) = self.outgoing.get_mut(&call) else { return };
        leg.attempts.retain(|it| *it != id);
        let was_heard = leg.early.take_if(|it| *it == id).is_some();
        if was_heard && !leg.attempts.is_empty() {
            effects.push_back(Effect::Report(Report { call, event: LegEvent::EarlyMediaOver }));
        }
        // Of targets that were called one after another, the last one counts.
        let old = leg.failure.filter(|_| leg.plan.is_none());
        let old = old.filter(|old| !cause::outweighs(failure, *old));
        let failure = old.unwrap_or(failure);
        leg.failure = Some(failure);
        if leg.attempts.is_empty() && !self.move_on(now, call, failure, effects) {
            self.give_up(now, call, effects);
        }
    }

    /// Calls an unanswered call off, on the engine's order. Returns false if there is no such call.
    pub(super) fn call_off(&mut self, now: Instant, call: CallId, effects: &mut Effects) -> bool {
        self.leave_queues(call);
        let Some(leg) = self.outgoing.remove(&call) else { return false };
        self.usage.release(now, call);
        if leg.port.is_some() {
            effects.push_back(Effect::Close { call });
        }
        for id in leg.attempts {
            self.abandon(now, id, None, effects);
        }
        true
    }

    /// Nobody waits for an attempt any more: cancels it as soon as that is allowed.
    pub(super) fn abandon(
        &mut self,
        now: Instant,
        id: u64,
        reason: Option<&str>,
        effects: &mut Effects,
    ) {
        let Some(attempt) = self.attempts.get_mut(id) else { return };
        if let Some(call) = attempt.call.take() {
            let outcome = if reason.is_some() { ANSWERED_ELSEWHERE } else { CALLED_OFF };
            effects.push_back(Effect::Attempted(call, attempt.record(now, outcome)));
        }
        if let Some(reason) = reason {
            attempt.cancel_reason = Some(reason.to_owned());
        }
        if attempt.state == AttemptState::Proceeding {
            self.send_cancel(now, id, effects);
        }
    }

    /// Sends a CANCEL; it needs a provisional response first (RFC 3261, 9.1).
    pub(super) fn send_cancel(&mut self, now: Instant, id: u64, effects: &mut Effects) {
        let Some(attempt) = self.attempts.get_mut(id) else { return };
        attempt.state = AttemptState::Canceling;
        attempt.ends_at = Some(now + GIVE_UP);
        let mut message = attempt.same_transaction(&SipMethod::Cancel, None);
        if let Some(reason) = &attempt.cancel_reason {
            message.push(HeaderName::Reason, reason.as_str());
        }
        let (branch, hop) = (attempt.branch.clone(), attempt.target.hop);
        let bytes = message.to_bytes().into();
        let (clients, timers) = (&mut self.clients, &mut self.timers);
        clients.begin(now, None, SipMethod::Cancel, &branch, hop, bytes, timers, effects);
        self.rearm_attempt(id);
    }

    /// A connection has ended: its phones are gone, and INVITEs without a response are lost.
    pub(super) fn closed(&mut self, now: Instant, link: u64, effects: &mut Effects) {
        self.registrar.close(link);
        self.upkeep_closed(now, link, effects);
        self.watch_registrar();
        let failure = DialFailure::new(HangupCause::NetworkError, DialFailureSource::Platform);
        for id in self.attempts.silent_over(link) {
            self.fail_attempt(now, id, failure, "the connection is closed", effects);
        }
    }

    /// Answers a request within a dialog that has not been confirmed. Returns false if it belongs to
    /// none.
    pub(super) fn receive_early(
        &mut self,
        hop: &Hop,
        request: &SipRequest,
        effects: &mut Effects,
    ) -> bool {
        let Some(attempt) = request.to.tag().and_then(|tag| self.attempts.of_tag(tag)) else {
            return false;
        };
        let is_early = !matches!(attempt.state, AttemptState::Accepted);
        if !is_early || attempt.invite.get(&HeaderName::CallId) != Some(&request.call_id) {
            return false;
        }
        let code = match request.method {
            SipMethod::Bye => {
                let tag = request.from.tag().unwrap_or_default();
                attempt.early_dialog(tag).into_iter().for_each(|it| it.is_over = true);
                200
            }
            // RFC 3311, 5.2: our offer has not been answered.
            SipMethod::Update | SipMethod::Invite => 491,
            SipMethod::Options | SipMethod::Info => 200,
            SipMethod::Refer => 603,
            SipMethod::Register | SipMethod::Ack | SipMethod::Cancel | SipMethod::Other(_) => 481,
        };
        self.refuse(hop, request, code, &[], effects);
        true
    }

    /// Updates an attempt's row in the timer table.
    pub(super) fn rearm_attempt(&mut self, id: u64) {
        if let Some(attempt) = self.attempts.get_mut(id) {
            let at = attempt.deadline();
            self.timers.set(Timer::Attempt(id), &mut attempt.due, at);
        }
    }
}

/// Reports a call that could not be begun.
fn refuse(call: CallId, cause: HangupCause, effects: &mut Effects) {
    let failure = DialFailure::new(cause, DialFailureSource::Platform);
    effects.push_back(Effect::Report(Report { call, event: LegEvent::Failed(failure) }));
}

/// The address of ours from which all targets can be reached: any, if they need different ones. None
/// without a target.
fn common_local(targets: &[Target]) -> Option<IpAddr> {
    let first = targets.first()?.hop.local.ip();
    if targets.iter().all(|it| it.hop.local.ip() == first) {
        return Some(first);
    }
    Some(any_like(first))
}

/// All addresses of ours that have the IP version of this one.
pub(super) fn any_like(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test may ask what time it is")]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::sip::{
        Settings, SipPassword, SipSecret,
        digest::{Algorithm, Nonces},
        digest_client::DigestAccount,
        effect::Command,
        message::SipMessage,
        request::tests::hop,
    };

    /// An agent that calls a gateway with this password.
    struct Challenged {
        agent: Agent,
        now: Instant,
        nonces: Nonces,
        last: SipMessage,
    }

    impl Challenged {
        fn new(password: &str) -> Self {
            let now = Instant::now();
            let mut agent = Agent::new(now, Arc::new(Settings::default()), SipSecret([7; 32]));
            let (username, password) = ("acme".into(), SipPassword::new(password));
            let target = Target {
                uri: super::super::uri::Uri::parse("sip:4989@192.0.2.9").unwrap(),
                hop: hop(),
                account: Some(DigestAccount { username, password, realm: None }),
                kind: TargetKind::Trunk,
                srtp: SrtpPolicy::default(),
                trunk: "carrier".into(),
            };
            let dialling = Dialling {
                from: "4930".into(),
                to: "4989".into(),
                caller_name: "".into(),
                ..Dialling::default()
            };
            let leg = OutgoingLeg { targets: vec![target], ..OutgoingLeg::new(Arc::new(dialling)) };
            let call = CallId(uuid::Uuid::from_u128(1));
            agent.outgoing.insert(call, leg);
            let nonces = Nonces::new(now, "carrier", SipSecret([8; 32]));
            let last = SipMessage::parse(b"BYE sip:x SIP/2.0\r\n\r\n").unwrap().unwrap();
            let mut it = Self { agent, now, nonces, last };
            let port = Ok("127.0.0.1:20000".parse().unwrap());
            assert_eq!(it.handle(Command::Opened { call, port }), ["INVITE"]);
            it
        }

        fn handle(&mut self, command: Command) -> Vec<String> {
            let mut effects = VecDeque::new();
            self.agent.handle(self.now, command, &mut effects);
            let mut said = Vec::new();
            for effect in effects {
                match effect {
                    Effect::Send { bytes, .. } => {
                        let message = SipMessage::parse(&bytes).unwrap().unwrap();
                        let text = String::from_utf8_lossy(&bytes).into_owned();
                        said.push(text.split(' ').next().unwrap().to_owned());
                        if said.last().unwrap() != "ACK" {
                            self.last = message;
                        }
                    }
                    Effect::Report(report) => said.push(format!("{:?}", report.event)),
                    Effect::Agree { .. }
                    | Effect::Arrive(_)
                    | Effect::Attempted(..)
                    | Effect::Close { .. }
                    | Effect::Note(_)
                    | Effect::Open { .. }
                    | Effect::Press { .. }
                    | Effect::Resolve { .. }
                    | Effect::Route { .. }
                    | Effect::Talked(_) => {}
                }
            }
            said
        }

        fn reply(&mut self, code: u16, extra: &[(HeaderName, String)]) -> Vec<String> {
            let mut reply = super::super::request::reply(&self.last, &hop(), code, "x", "theirs");
            reply.headers.extend_from_slice(extra);
            let message = SipMessage::parse(&reply.to_bytes()).unwrap().unwrap();
            self.handle(Command::Received { hop: hop(), message })
        }

        /// Challenges the last request, with 401 or 407.
        fn challenge(&mut self, code: u16, is_stale: bool) -> Vec<String> {
            let (now, source) = (self.now, hop().remote.ip());
            let value = self.nonces.challenge(now, source, Algorithm::Sha256, is_stale);
            let name = match code {
                401 => HeaderName::WwwAuthenticate,
                _ => HeaderName::ProxyAuthenticate,
            };
            self.reply(code, &[(name, value)])
        }
    }

    #[test]
    fn a_challenge_is_answered_by_the_next_invite() {
        for (code, name) in
            [(401, HeaderName::Authorization), (407, HeaderName::ProxyAuthorization)]
        {
            let mut it = Challenged::new("hush");
            let first = it.last.clone();
            assert_eq!(it.challenge(code, false), ["ACK", "INVITE"]);
            let again = it.last.clone();
            for same in [HeaderName::CallId, HeaderName::From, HeaderName::To] {
                assert_eq!(first.get(&same), again.get(&same));
            }
            assert_eq!(again.get(&HeaderName::CSeq), Some("2 INVITE"));
            assert_ne!(first.get(&HeaderName::Via), again.get(&HeaderName::Via));
            let answer = again.get(&name).unwrap();
            assert!(answer.contains("username=\"acme\"") && answer.contains("nc=00000001"));
            assert!(!answer.contains("hush"));
            // A nonce that is stale is replaced once; a wrong password ends the call.
            assert_eq!(it.challenge(code, true), ["ACK", "INVITE"]);
            let said = it.challenge(code, false);
            assert!(said[1].contains("SipAuthFailed") && said[1].contains("Carrier"), "{said:?}");
        }
    }

    #[test]
    fn silence_after_the_password_has_its_own_cause() {
        let mut it = Challenged::new("hush");
        it.challenge(401, false);
        it.now += GIVE_UP;
        let said = it.handle(Command::Tick);
        assert!(said.last().unwrap().contains("SipAuthTimeout"), "{said:?}");
    }
}
