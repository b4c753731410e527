//! Liveness checks: whether the far ends of restored calls are still there.
//!
//! Each is asked by a refresh (UPDATE, or a re-INVITE with the same description), a few at a time, and
//! those first whom another RTP port must be told.
//!
//! | answer | what follows |
//! |---|---|
//! | 2xx | the call stands, and its session timer starts again |
//! | 481, 408, or silence over UDP | the far end has left: BYE (RFC 3261, 12.2.1.2) |
//! | 491, or 500 with Retry-After | the question is asked again later |
//! | any other, or silence over TCP and TLS | the call stands for as long as sound arrives |

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    agent::{Agent, Effects},
    call::{LivenessCheck, SipPhase},
    header_value::{NameAddr, parse_number},
    message::SipMessage,
    name::{HeaderName, SipMethod},
    request::{Hop, SipRequest},
    session_timer::Terms,
    timers::Timer,
};
use crate::base::ids::CallId;

/// Questions that are sent together, at most.
const BATCH_MAX: u32 = 10;

/// Wait before a question when another change of the session is not complete.
const CHECK_WAIT: Duration = Duration::from_secs(1);

/// Longest wait that a Retry-After can ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);

impl Agent {
    /// Asks about these calls, in this order, from now on.
    pub(super) fn begin_checks(&mut self, now: Instant, calls: Vec<CallId>) {
        self.liveness.waiting.extend(calls);
        let at = (!self.liveness.waiting.is_empty()).then_some(now);
        self.timers.set(Timer::Liveness, &mut self.liveness.due, at);
    }

    /// Sends the next few questions.
    pub(super) fn liveness_tick(&mut self, now: Instant, effects: &mut Effects) {
        self.liveness.due = None;
        let rate = self.settings.checks_per_second.max(1);
        let batch = rate.min(BATCH_MAX);
        for _ in 0..batch {
            let Some(id) = self.liveness.waiting.pop_front() else { break };
            self.check_alive(now, id, effects);
            self.rearm(id);
        }
        let next = now + Duration::from_secs(1) * batch / rate;
        let at = (!self.liveness.waiting.is_empty()).then_some(next);
        self.timers.set(Timer::Liveness, &mut self.liveness.due, at);
    }

    /// Asks the far end of a call whether it is still there, unless nobody wants to know any more.
    pub(super) fn check_alive(&mut self, now: Instant, id: CallId, effects: &mut Effects) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let is_changing = call.is_changing();
        let is_up = matches!(call.phase, SipPhase::Established);
        let Some(check) = call.check.as_mut().filter(|it| is_up && !it.is_sent) else { return };
        if is_changing {
            check.at = Some(now + CHECK_WAIT);
            return;
        }
        (check.at, check.is_sent) = (None, true);
        let method = match call.has_update && !check.has_moved {
            true => SipMethod::Update,
            false => SipMethod::Invite,
        };
        self.send_refresh(now, id, method, effects);
    }

    /// The far end has answered the question.
    pub(super) fn checked(
        &mut self,
        now: Instant,
        hop: &Hop,
        (id, method): (CallId, SipMethod),
        (code, is_challenged): (u16, bool),
        message: &SipMessage,
        effects: &mut Effects,
    ) {
        let glare_wait = self.glare_wait(id);
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some(check) = &mut call.check else { return };
        let mut again = |at| (check.at, check.is_sent) = (Some(at), false);
        let retry_after = message.get(&HeaderName::RetryAfter).and_then(|it| {
            let seconds = parse_number(it.split([';', '(']).next()?.trim())?;
            Some(Duration::from_secs(seconds.into()).min(RETRY_AFTER_MAX))
        });
        match code {
            200..=299 => {
                call.check = None;
                self.liveness.adrift.remove(&id);
                call.dialog.hop = Hop { remote: call.dialog.hop.remote, ..*hop };
                call.timer = Terms::granted(message).map(|it| it.begin(now));
            }
            408 | 481 => {
                self.report_hangup(id, effects);
                return self.send_bye(now, id, None, effects);
            }
            491 => again(now + glare_wait),
            500 if retry_after.is_some() => again(now + retry_after.unwrap_or_default()),
            401 | 407 if is_challenged => again(now),
            // The far end does not support UPDATE after all.
            _ if method == SipMethod::Update => {
                again(now);
                call.has_update = false;
            }
            _ => self.stands(now, id),
        }
        self.rearm(id);
    }

    /// The question has had no answer. Over UDP the far end has left. Returns whether the call stands:
    /// over a connection, which died with the earlier process, a far end may not be reachable.
    pub(super) fn stands_unchecked(
        &mut self,
        now: Instant,
        id: CallId,
        is_over_stream: bool,
    ) -> bool {
        let call = self.calls.get(&id);
        let is_checked = call.and_then(|it| it.check).is_some_and(|it| it.is_sent);
        let stands = is_checked && is_over_stream;
        if stands {
            self.stands(now, id);
            self.rearm(id);
        }
        stands
    }

    /// Nothing is known of the far end: its silence or its session timer will end the call.
    fn stands(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        (call.check, call.has_pending_invite) = (None, false);
        if let Some(timer) = call.timer.as_mut().filter(|it| it.terms.is_ours) {
            timer.refresh_at.get_or_insert(now + timer.terms.interval / 2);
        }
    }

    /// A phone has registered: its restored calls that could not be reached go on over its connection.
    pub(super) fn find_again(&mut self, now: Instant, hop: &Hop, request: &SipRequest) {
        let contact = request.contact().ok().filter(|_| !self.liveness.adrift.is_empty());
        let Some(contact) = contact else { return };
        let is_of = |id: &&CallId| {
            self.calls.get(id).is_some_and(|it| it.dialog.is_reached_at(hop, &contact))
        };
        let found: Vec<_> = self.liveness.adrift.keys().filter(is_of).copied().collect();
        found.into_iter().for_each(|id| self.found_again(now, id, hop));
    }

    /// The far end of a restored call that could not be reached has a connection. It is asked, unless the
    /// call was handed over.
    pub(super) fn found_again(&mut self, now: Instant, id: CallId, hop: &Hop) {
        let Some(is_checked) = self.liveness.adrift.remove(&id) else { return };
        let Some(call) = self.calls.get_mut(&id) else { return };
        (call.dialog.hop.link, call.dialog.hop.remote) = (hop.link, hop.remote);
        if !is_checked {
            return;
        }
        // What was sent over the old connection has no answer.
        call.has_pending_invite = false;
        let has_moved = call.check.is_some_and(|it| it.has_moved);
        call.check = Some(LivenessCheck { at: Some(now), is_sent: false, has_moved });
        self.rearm(id);
    }

    /// Makes the ACK for a 2xx to a re-INVITE that an earlier process has sent. None if the dialog is
    /// another one.
    pub(super) fn late_ack(
        &mut self,
        id: CallId,
        cseq: u32,
        message: &SipMessage,
    ) -> Option<(Hop, Arc<[u8]>)> {
        let branch = self.ids.branch();
        let call = self.calls.get_mut(&id)?;
        let to = message.get(&HeaderName::To).and_then(|it| NameAddr::parse(it).ok())?;
        let is_of = to.tag().unwrap_or_default() == call.dialog.remote_tag
            && message.get(&HeaderName::CallId) == Some(&call.dialog.call_id)
            && cseq <= call.dialog.local_cseq();
        if !is_of {
            return None;
        }
        let (ack, hop) = call.dialog.ack(cseq, &branch, &self.settings);
        Some((hop, ack.to_bytes().into()))
    }
}
