//! Call ending: hang-up orders, BYE, session refreshes and time-outs.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    agent::{Agent, Effects},
    call::{SentAck, SipPhase},
    dialog::contact,
    effect::Effect,
    header_value::{CSeq, NameAddr},
    invite::write_description,
    message::SipMessage,
    name::{HeaderName, SipMethod},
    request::{Hop, top_via},
    session_timer::Terms,
    transaction::ClientTransaction,
};
use crate::{
    base::ids::CallId,
    media::{Ending, HangupCause},
};

/// Wait before a refresh when another change of the session is not complete.
const REFRESH_WAIT: Duration = Duration::from_secs(1);

/// Waits after a glare are multiples of this (RFC 3261, 14.1).
const GLARE_STEP: Duration = Duration::from_millis(10);

impl Agent {
    /// Ends a call on the engine's order.
    pub(super) fn end(&mut self, now: Instant, id: CallId, ending: Ending, effects: &mut Effects) {
        if self.call_off(now, id, effects) {
            return;
        }
        let Some(call) = self.calls.get_mut(&id) else { return };
        match &call.phase {
            SipPhase::Ringing(_) => {
                let (code, cause) = refusal(ending.cause);
                let reason = (HeaderName::Reason, reason(cause, ending));
                effects.push_back(Effect::Close { call: id });
                self.reject(now, id, code, &[reason], effects);
            }
            // The callee may send BYE only after the ACK of the first INVITE (RFC 3261, 15).
            SipPhase::Established if call.unacked.as_ref().is_some_and(|it| it.is_first) => {
                effects.push_back(Effect::Close { call: id });
                call.phase = SipPhase::EndAfterAck(ending);
                self.rearm(id);
            }
            SipPhase::Established => {
                effects.push_back(Effect::Close { call: id });
                self.send_bye(now, id, Some(ending), effects);
            }
            SipPhase::EndAfterAck(_) | SipPhase::ByeSent => {}
        }
    }

    /// Sends a BYE. The call is kept until it is answered.
    pub(super) fn send_bye(
        &mut self,
        now: Instant,
        id: CallId,
        ending: Option<Ending>,
        effects: &mut Effects,
    ) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.phase = SipPhase::ByeSent;
        call.unacked = None;
        self.usage.hung_up(now, id);
        let branch = self.ids.branch();
        let (mut message, hop) = call.dialog.request(SipMethod::Bye, &branch, &self.settings);
        if let Some(ending) = ending {
            message.push(HeaderName::Reason, reason(16, ending));
        }
        let bytes = message.to_bytes().into();
        let (clients, timers) = (&mut self.clients, &mut self.timers);
        clients.begin(now, Some(id), SipMethod::Bye, &branch, hop, bytes, timers, effects);
        self.rearm(id);
    }

    /// Handles a due timer of a call.
    pub(super) fn call_tick(&mut self, now: Instant, id: CallId, effects: &mut Effects) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.due = None;
        if let Some(unacked) = &mut call.unacked {
            if unacked.ends_at <= now {
                self.report_hangup(id, effects);
                return self.send_bye(now, id, None, effects);
            }
            if unacked.resend_at <= now {
                unacked.schedule_resend(now);
                effects.push_back(Effect::Send { hop: unacked.hop, bytes: unacked.bytes.clone() });
            }
        }
        let again = match &call.phase {
            SipPhase::Ringing(it) => it.progress.filter(|(_, at)| *at <= now).map(|(code, _)| code),
            SipPhase::Established | SipPhase::EndAfterAck(_) | SipPhase::ByeSent => None,
        };
        let timer = call.timer.filter(|_| matches!(call.phase, SipPhase::Established));
        if let Some(code) = again {
            self.progress(now, id, code, effects);
        } else if timer.is_some_and(|it| it.ends_at <= now) {
            self.report_hangup(id, effects);
            return self.send_bye(now, id, None, effects);
        } else if timer.is_some_and(|it| it.refresh_at.is_some_and(|at| at <= now)) {
            self.refresh(now, id, effects);
        } else if call.check.is_some_and(|it| it.at.is_some_and(|at| at <= now)) {
            self.check_alive(now, id, effects);
        }
        self.rearm(id);
    }

    /// Refreshes the session (RFC 4028, 7.4).
    fn refresh(&mut self, now: Instant, id: CallId, effects: &mut Effects) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let is_changing = call.is_changing();
        let Some(timer) = &mut call.timer else { return };
        timer.refresh_at = is_changing.then(|| now + REFRESH_WAIT);
        if !is_changing {
            let method = if call.has_update { SipMethod::Update } else { SipMethod::Invite };
            self.send_refresh(now, id, method, effects);
        }
    }

    /// Sends a request that changes nothing, or nothing but our address.
    pub(super) fn send_refresh(
        &mut self,
        now: Instant,
        id: CallId,
        method: SipMethod,
        effects: &mut Effects,
    ) {
        let us = &self.settings;
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some(media) = &mut call.media else { return };
        let branch = self.ids.branch();
        let (mut message, hop) = call.dialog.request(method.clone(), &branch, us);
        message.push(HeaderName::Contact, contact(us, &hop));
        message.push(HeaderName::Supported, "timer");
        if let Some(timer) = call.timer {
            let seconds = timer.terms.interval.as_secs();
            let refresher = if timer.terms.is_ours { "uac" } else { "uas" };
            message.push(HeaderName::SessionExpires, format!("{seconds};refresher={refresher}"));
        }
        if method == SipMethod::Invite {
            media.offer();
            // The same description again: nothing changes.
            write_description(&mut message, &media.text);
        }
        call.has_pending_invite = method == SipMethod::Invite;
        let bytes = message.to_bytes().into();
        let (clients, timers) = (&mut self.clients, &mut self.timers);
        clients.begin(now, Some(id), method, &branch, hop, bytes, timers, effects);
    }

    /// Handles a reply to a request of ours. Returns false if it belongs to none.
    pub(super) fn receive_reply(
        &mut self,
        now: Instant,
        hop: Hop,
        code: u16,
        message: SipMessage,
        effects: &mut Effects,
    ) -> bool {
        let Ok(via) = top_via(&message) else { return false };
        let Some(Ok(cseq)) = message.get(&HeaderName::CSeq).map(CSeq::parse) else { return false };
        if message.error.is_some() {
            return false;
        }
        let branch = via.branch().unwrap_or_default();
        if cseq.method == SipMethod::Invite
            && let Some(id) = self.attempts.of_branch(branch)
        {
            self.invite_replied(now, &hop, id, code, &message, effects);
            return true;
        }
        let is_awaited = self.clients.awaits(branch, &cseq.method);
        let client = self.clients.receive(branch, &cseq.method, code, &mut self.timers, effects);
        match client {
            Some(ClientTransaction { call: Some(call), method, .. }) => {
                self.replied(now, &hop, (call, method), code, branch, &message, effects);
            }
            // A request of a trunk's upkeep; a CANCEL, or a BYE to an answer that nobody waited for.
            Some(client) => self.upkeep_replied(now, &client, Some((code, &message)), effects),
            None if cseq.method == SipMethod::Invite && !is_awaited => {
                return self.resend_ack(code, cseq.number, &message, effects);
            }
            None => return is_awaited,
        }
        true
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one reply")]
    fn replied(
        &mut self,
        now: Instant,
        hop: &Hop,
        (id, method): (CallId, SipMethod),
        code: u16,
        branch: &str,
        message: &SipMessage,
        effects: &mut Effects,
    ) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let is_challenged = matches!(code, 401 | 407) && call.dialog.digest.challenged(message);
        if !is_challenged {
            call.dialog.digest.begin_request();
        }
        if method == SipMethod::Bye {
            match is_challenged {
                true => self.send_bye(now, id, None, effects),
                false => drop(self.forget(now, id)),
            }
            return;
        }
        if method == SipMethod::Invite {
            self.acknowledge_change(now, hop, id, code, branch, message, effects);
        }
        let glare_wait = self.glare_wait(id);
        let Some(call) = self.calls.get_mut(&id) else { return };
        if !matches!(call.phase, SipPhase::Established) {
            return;
        }
        if call.check.is_some_and(|it| it.is_sent) {
            return self.checked(now, hop, (id, method), (code, is_challenged), message, effects);
        }
        let Some(timer) = &mut call.timer else { return };
        match code {
            200..=299 => {
                call.dialog.hop = Hop { remote: call.dialog.hop.remote, ..*hop };
                call.timer = Terms::granted(message).map(|it| it.begin(now));
            }
            408 | 481 => {
                self.report_hangup(id, effects);
                return self.send_bye(now, id, None, effects);
            }
            // Both ends asked at once (glare): try again later.
            491 | 500 => timer.refresh_at = Some(now + glare_wait),
            401 | 407 if is_challenged => timer.refresh_at = Some(now),
            // The far end does not support UPDATE after all.
            _ if method == SipMethod::Update => {
                call.has_update = false;
                timer.refresh_at = Some(now);
            }
            // The call stands until its interval ends.
            _ => {}
        }
        self.rearm(id);
    }

    /// Sends the ACK for the final reply to our re-INVITE, and takes its description.
    #[expect(clippy::too_many_arguments, reason = "the parts of one reply")]
    fn acknowledge_change(
        &mut self,
        now: Instant,
        hop: &Hop,
        id: CallId,
        code: u16,
        branch: &str,
        message: &SipMessage,
        effects: &mut Effects,
    ) {
        let us = self.settings.clone();
        let new_branch = self.ids.branch();
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.has_pending_invite = false;
        let branch = if code < 300 { &new_branch } else { branch };
        let cseq = call.dialog.local_cseq();
        let (ack, ack_hop) = call.dialog.request(SipMethod::Ack, branch, &us);
        let bytes: Arc<[u8]> = ack.to_bytes().into();
        if code >= 300 {
            call.ack = None;
            self.clients.acknowledge(now, branch, ack_hop, bytes, &mut self.timers, effects);
            return;
        }
        effects.push_back(Effect::Send { hop: ack_hop, bytes: bytes.clone() });
        call.ack = Some(SentAck { cseq, hop: ack_hop, bytes });
        let route = |named| us.media_address(named, hop.remote.ip());
        let taken = call.media.as_mut().map(|it| it.accept(&message.body, &route));
        if let Some(Ok(true)) = taken {
            self.agree(id, effects);
        }
    }

    /// How long to wait after a glare: the owner of the Call-ID longer (RFC 3261, 14.1).
    pub(super) fn glare_wait(&mut self, id: CallId) -> Duration {
        let is_ours = self.calls.get(&id).is_some_and(|it| it.dialog.is_ours);
        let (least, spread) = if is_ours { (210, 190) } else { (0, 200) };
        GLARE_STEP * (least + u32::from(self.ids.upto(spread)))
    }

    /// Sends our ACK again for a retransmitted 200: the first one was lost. For one of a re-INVITE that
    /// an earlier process has sent, makes it. Returns false if there is none.
    fn resend_ack(
        &mut self,
        code: u16,
        cseq: u32,
        message: &SipMessage,
        effects: &mut Effects,
    ) -> bool {
        let tag = message.get(&HeaderName::From).and_then(|it| NameAddr::parse(it).ok());
        let id = tag.as_ref().and_then(|it| it.tag()).and_then(|tag| self.dialogs.get(tag));
        let Some(&id) = id.filter(|_| (200..300).contains(&code)) else { return false };
        let ack = self.calls.get(&id).and_then(|it| it.ack.clone());
        let (hop, bytes) = match ack.filter(|it| it.cseq == cseq) {
            Some(SentAck { hop, bytes, .. }) => (hop, bytes),
            None => match self.late_ack(id, cseq, message) {
                Some(ack) => ack,
                None => return false,
            },
        };
        effects.push_back(Effect::Send { hop, bytes });
        true
    }

    /// Handles a due timer of a client transaction.
    pub(super) fn client_tick(&mut self, now: Instant, id: u64, effects: &mut Effects) {
        let Some(client) = self.clients.tick(now, id, &mut self.timers, effects) else { return };
        let Some(id) = client.call else { return self.upkeep_replied(now, &client, None, effects) };
        if client.method == SipMethod::Bye {
            self.forget(now, id);
            return;
        }
        if self.stands_unchecked(now, id, client.is_over_stream()) {
            return;
        }
        // An unanswered refresh ends the call (RFC 4028, section 10).
        let call = self.calls.get(&id);
        if call.is_some_and(|it| matches!(it.phase, SipPhase::Established)) {
            self.report_hangup(id, effects);
            self.send_bye(now, id, None, effects);
        }
    }
}

/// The status code and Q.850 cause that refuse an unanswered call.
fn refusal(cause: HangupCause) -> (u16, u8) {
    match cause {
        HangupCause::Busy => (486, 17),
        HangupCause::Rejected => (603, 21),
        HangupCause::Normal
        | HangupCause::Canceled
        | HangupCause::ConfirmFailed
        | HangupCause::LostRace
        | HangupCause::DestinationBarred
        | HangupCause::DestinationInvalid
        | HangupCause::DestinationOut
        | HangupCause::NoAnswer
        | HangupCause::RingTimeout
        | HangupCause::EndOfXml
        | HangupCause::Scheduled
        | HangupCause::MediaTimeout
        | HangupCause::BusyEverywhere
        | HangupCause::CallerUnknown
        | HangupCause::CarrierCongestion
        | HangupCause::CarrierError
        | HangupCause::Declined
        | HangupCause::DialLimit
        | HangupCause::Forbidden
        | HangupCause::NetworkError
        | HangupCause::NobodyThere
        | HangupCause::NotRegistered
        | HangupCause::RequestTimeout
        | HangupCause::RoutingError
        | HangupCause::SipAuthFailed
        | HangupCause::SipAuthTimeout
        | HangupCause::SpamBlock
        | HangupCause::Unallocated => (480, 16),
        HangupCause::AnswerUrlUnreachable
        | HangupCause::ActionUrlUnreachable
        | HangupCause::TransferUrlUnreachable
        | HangupCause::RedirectUrlUnreachable => (480, 41),
        HangupCause::LoopDetected
        | HangupCause::Internal
        | HangupCause::ActionUrlInvalid
        | HangupCause::TransferUrlInvalid
        | HangupCause::RedirectUrlInvalid
        | HangupCause::AnswerXmlInvalid
        | HangupCause::ActionXmlInvalid
        | HangupCause::TransferXmlInvalid
        | HangupCause::RedirectXmlInvalid => (500, 41),
    }
}

/// The value of a Reason header, for readers of traces (RFC 3326).
fn reason(cause: u8, ending: Ending) -> String {
    format!("Q.850;cause={cause};text=\"{}\"", ending.cause.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_that_says_so_is_busy_or_declines() {
        for (cause, code) in [
            (HangupCause::Busy, 486),
            (HangupCause::Rejected, 603),
            (HangupCause::EndOfXml, 480),
            (HangupCause::Internal, 500),
        ] {
            assert_eq!(refusal(cause).0, code, "{cause:?}");
        }
    }
}
