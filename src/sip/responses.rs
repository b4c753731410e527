//! Responses to the INVITEs that begin our calls: ringing, answers, challenges and refusals.

use std::{sync::Arc, time::Instant};

use super::{
    agent::{Agent, Effects},
    attempt::{Attempt, AttemptState, TargetKind},
    body::{SipBody, body_of},
    call::{SipCall, SipPhase},
    cause,
    dialog::Dialog,
    effect::Effect,
    header_value::{NameAddr, parse_number},
    message::SipMessage,
    name::{HeaderName, SipMethod},
    outgoing::{ANSWERED, ELSEWHERE},
    request::{Hop, Transport},
    resolve::ResolvedAddress,
    session_timer::Terms,
    transaction::GIVE_UP,
};
use crate::{
    base::ids::CallId,
    media::{DialFailure, HangupCause, LegEvent, Report, legs::LegSession},
};

/// Refusals of our session interval after which a call fails (RFC 4028, 7.3).
const INTERVAL_REFUSALS_MAX: u8 = 2;

impl Agent {
    /// Handles a response to an INVITE that begins a call.
    pub(super) fn invite_replied(
        &mut self,
        now: Instant,
        hop: &Hop,
        id: u64,
        code: u16,
        message: &SipMessage,
        effects: &mut Effects,
    ) {
        let Some(attempt) = self.attempts.get_mut(id) else { return };
        attempt.note(now, code);
        // Over a stream, the rest goes where the response came from; our address stays.
        if hop.transport.is_stream() {
            attempt.target.hop.link = hop.link;
        }
        match code {
            ..200 => self.rings(now, hop, id, code, message, effects),
            200..300 => self.accepted(now, hop, id, message, effects),
            300.. => self.refused(now, id, code, message, effects),
        }
    }

    fn rings(
        &mut self,
        now: Instant,
        hop: &Hop,
        id: u64,
        code: u16,
        message: &SipMessage,
        effects: &mut Effects,
    ) {
        let Some(attempt) = self.attempts.get_mut(id) else { return };
        match attempt.state {
            AttemptState::Calling => {
                attempt.state = AttemptState::Proceeding;
                // The ring time-out of the engine limits the call from now on.
                (attempt.resend_at, attempt.ends_at) = (None, None);
                self.rearm_attempt(id);
            }
            AttemptState::Proceeding => {}
            AttemptState::Canceling | AttemptState::Accepted => return,
        }
        let Some(attempt) = self.attempts.get_mut(id) else { return };
        let Some(call) = attempt.call else { return self.send_cancel(now, id, effects) };
        if code == 100 {
            return;
        }
        let description = description(message);
        let Some(early) = attempt.early_dialog(&remote_tag(message)) else { return };
        if description.is_some() {
            early.description.clone_from(&description);
        }
        let Some(leg) = self.outgoing.get_mut(&call) else { return };
        if matches!(code, 180 | 183) && !leg.has_rung {
            leg.has_rung = true;
            effects.push_back(Effect::Report(Report { call, event: LegEvent::Ringing }));
        }
        let Some(description) = description.filter(|_| leg.early.is_none()) else { return };
        let route = |named| self.settings.media_address(named, hop.remote.ip());
        let Ok(agreed) = attempt.media.preview(&description, &route) else { return };
        leg.early = Some(id);
        let session = LegSession { agreed, source: hop.remote.ip(), is_early: true };
        effects.push_back(Effect::Agree { call, session });
        effects.push_back(Effect::Report(Report { call, event: LegEvent::EarlyMedia }));
    }

    fn accepted(
        &mut self,
        now: Instant,
        hop: &Hop,
        id: u64,
        message: &SipMessage,
        effects: &mut Effects,
    ) {
        let tag = remote_tag(message);
        let ack_branch = self.ids.branch();
        let Some(attempt) = self.attempts.get_mut(id) else { return };
        if let Some((_, hop, ack)) = attempt.accepted.iter().find(|(known, ..)| *known == tag) {
            // Our ACK was lost.
            effects.push_back(Effect::Send { hop: *hop, bytes: ack.clone() });
            return;
        }
        let target = attempt.target.uri.clone();
        let mut digest = attempt.digest.clone();
        digest.begin_request();
        let hop = match hop.transport {
            Transport::Udp => *hop,
            Transport::Tcp | Transport::Tls => Hop { local: attempt.target.hop.local, ..*hop },
        };
        let invite = (&attempt.invite, attempt.cseq);
        let mut dialog = Dialog::of_answer(invite, message, &hop, target, digest);
        let (mut ack, ack_hop) = dialog.request(SipMethod::Ack, &ack_branch, &self.settings);
        // The ACK has the credentials of its INVITE (RFC 3261, 22.1).
        for name in [HeaderName::Authorization, HeaderName::ProxyAuthorization] {
            attempt.invite.all(&name).for_each(|value| ack.push(name.clone(), value));
        }
        let bytes: Arc<[u8]> = ack.to_bytes().into();
        effects.push_back(Effect::Send { hop: ack_hop, bytes: bytes.clone() });
        attempt.accepted.push((tag.clone(), ack_hop, bytes));
        if attempt.state != AttemptState::Accepted {
            attempt.state = AttemptState::Accepted;
            (attempt.resend_at, attempt.ends_at) = (None, Some(now + GIVE_UP));
            self.rearm_attempt(id);
        }
        match self.take_answer_of_callee(now, id, &tag, message, &hop, effects) {
            Some(call) => self.establish(now, id, call, dialog, message, effects),
            None => self.bye_unwanted(now, dialog, effects),
        }
    }

    /// Takes the description of a 2xx. Returns the call if it is up with this answer; nobody waits for
    /// it if None.
    fn take_answer_of_callee(
        &mut self,
        now: Instant,
        id: u64,
        tag: &str,
        message: &SipMessage,
        hop: &Hop,
        effects: &mut Effects,
    ) -> Option<CallId> {
        let attempt = self.attempts.get_mut(id)?;
        let call = attempt.call?;
        let early = attempt.early.iter().find(|it| it.tag == tag);
        let is_over = early.is_some_and(|it| it.is_over);
        let answer = description(message).or_else(|| early?.description.clone());
        let route = |named| self.settings.media_address(named, hop.remote.ip());
        let taken = answer.map(|it| attempt.media.accept(&it, &route).map(drop));
        let (cause, outcome) = match taken {
            _ if is_over => (HangupCause::Normal, "answered after it had hung up".to_owned()),
            Some(Ok(())) => return Some(call),
            Some(Err(refusal)) => (HangupCause::RoutingError, format!("answered, but {refusal}")),
            None => (
                HangupCause::RoutingError,
                "answered without a description of its sound".to_owned(),
            ),
        };
        attempt.call = None;
        effects.push_back(Effect::Attempted(call, attempt.record(now, &outcome)));
        let failure = DialFailure { cause, ..cause::failure(200, message, attempt.target.kind) };
        self.lose_attempt(now, call, id, failure, effects);
        None
    }

    /// The far end has answered: the call is up, and its other attempts are called off.
    fn establish(
        &mut self,
        now: Instant,
        id: u64,
        call: CallId,
        dialog: Dialog,
        message: &SipMessage,
        effects: &mut Effects,
    ) {
        let Some(leg) = self.outgoing.remove(&call) else { return };
        let Some(attempt) = self.attempts.get_mut(id) else { return };
        attempt.call = None;
        self.usage.answered(now, call);
        effects.push_back(Effect::Attempted(call, attempt.record(now, ANSWERED)));
        self.dialogs.insert(dialog.local_tag.clone(), call);
        let it = SipCall {
            id: call,
            dialog,
            phase: SipPhase::Established,
            media: Some(attempt.media.clone()),
            unacked: None,
            has_pending_invite: false,
            timer: Terms::granted(message).map(|it| it.begin(now)),
            has_update: message.words(&HeaderName::Allow).any(|it| it == "UPDATE"),
            ack: None,
            check: None,
            due: None,
        };
        self.calls.insert(call, it);
        self.rearm(call);
        self.agree(call, effects);
        effects.push_back(Effect::Report(Report { call, event: LegEvent::Answered }));
        for other in leg.attempts.into_iter().filter(|it| *it != id) {
            self.abandon(now, other, Some(ELSEWHERE), effects);
        }
    }

    /// Hangs up on an answer that nobody waits for: of another fork, or after a CANCEL.
    fn bye_unwanted(&mut self, now: Instant, mut dialog: Dialog, effects: &mut Effects) {
        let branch = self.ids.branch();
        let (message, hop) = dialog.request(SipMethod::Bye, &branch, &self.settings);
        let bytes = message.to_bytes().into();
        let (clients, timers) = (&mut self.clients, &mut self.timers);
        clients.begin(now, None, SipMethod::Bye, &branch, hop, bytes, timers, effects);
    }

    fn refused(
        &mut self,
        now: Instant,
        id: u64,
        code: u16,
        message: &SipMessage,
        effects: &mut Effects,
    ) {
        let Some(attempt) = self.attempts.get_mut(id) else { return };
        if attempt.state == AttemptState::Accepted {
            return;
        }
        let ack = attempt.same_transaction(&SipMethod::Ack, message.get(&HeaderName::To));
        let (branch, hop) = (attempt.branch.clone(), attempt.target.hop);
        let bytes = ack.to_bytes().into();
        self.clients.acknowledge(now, &branch, hop, bytes, &mut self.timers, effects);
        let Some(attempt) = self.attempts.get_mut(id) else { return };
        if attempt.call.is_some() {
            let server = ResolvedAddress::of(&hop);
            match code {
                401 | 407 if attempt.digest.challenged(message) => {
                    self.nonce_cache.keep(server, &attempt.digest);
                    return self.send_invite(now, id, None, effects);
                }
                401 | 407 => self.nonce_cache.forget(server, &attempt.digest),
                422 => {
                    if let Some(interval) = longer_interval(attempt, message) {
                        attempt.interval_refusals += 1;
                        return self.send_invite(now, id, Some(interval), effects);
                    }
                }
                _ => {}
            }
        }
        let (failure, hop) =
            (cause::failure(code, message, attempt.target.kind), attempt.target.hop);
        if code == 503 && attempt.target.kind == TargetKind::Trunk {
            self.keep_out(now, &hop, message);
        }
        let outcome = format!("refused with {code}");
        self.fail_attempt(now, id, failure, &outcome, effects);
    }
}

/// The session interval to ask for after a 422. None if it has been refused too often, or names none.
fn longer_interval(attempt: &Attempt, message: &SipMessage) -> Option<u32> {
    if INTERVAL_REFUSALS_MAX <= attempt.interval_refusals {
        return None;
    }
    let number = |it: &SipMessage| {
        let text = it.get(&HeaderName::MinSe)?;
        parse_number(text.split(';').next()?.trim())
    };
    Some(number(message)?.max(number(&attempt.invite).unwrap_or(0)))
}

/// The description in a response. One that cannot be read as such counts as none.
fn description(message: &SipMessage) -> Option<Vec<u8>> {
    match body_of(message) {
        SipBody::Description(text) => Some(text),
        SipBody::Nothing | SipBody::Refused(..) => None,
    }
}

/// The tag of a response's To; empty if it has none (RFC 2543).
fn remote_tag(message: &SipMessage) -> String {
    let to = message.get(&HeaderName::To).and_then(|it| NameAddr::parse(it).ok());
    to.as_ref().and_then(|it| it.tag()).unwrap_or_default().to_owned()
}
