//! How a call ends, and what keeps it alive: orders, BYE, refreshes, time.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    agent::{Agent, Effects},
    call::Phase,
    dialog::contact,
    effect::Effect,
    invite::write_description,
    message::Message,
    name::{Method, Name},
    request::{Hop, top_via},
    session_timer::Terms,
    transaction::Client,
    value::{CSeq, NameAddr},
};
use crate::{
    base::ids::CallId,
    media::{Ending, HangupCause},
};

/// After a glare the owner of the call's Call-ID waits longer; we are not (RFC 3261, 14.1).
const GLARE_WAIT: Duration = Duration::from_secs(1);

impl Agent {
    /// The engine ends a call.
    pub(super) fn end(&mut self, now: Instant, id: CallId, ending: Ending, effects: &mut Effects) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        match &call.phase {
            Phase::Ringing(_) => {
                let (code, cause) = refusal(ending.cause);
                let reason = (Name::Reason, reason(cause, ending));
                effects.push_back(Effect::Close { call: id });
                self.turn_away(now, id, code, &[reason], effects);
            }
            // The callee may say BYE only after the ACK (RFC 3261, 15); in a re-INVITE it may.
            Phase::Up if call.unacked.as_ref().is_some_and(|it| it.is_first) => {
                effects.push_back(Effect::Close { call: id });
                call.phase = Phase::Doomed(ending);
                self.rearm(id);
            }
            Phase::Up => {
                effects.push_back(Effect::Close { call: id });
                self.say_bye(now, id, Some(ending), effects);
            }
            Phase::Doomed(_) | Phase::Leaving => {}
        }
    }

    /// Sends a BYE; the call is kept until its answer.
    pub(super) fn say_bye(
        &mut self,
        now: Instant,
        id: CallId,
        ending: Option<Ending>,
        effects: &mut Effects,
    ) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.phase = Phase::Leaving;
        call.unacked = None;
        let branch = self.ids.branch();
        let (mut message, hop) = call.dialog.request(Method::Bye, &branch, &self.settings);
        if let Some(ending) = ending {
            message.push(Name::Reason, reason(16, ending));
        }
        let bytes = message.to_bytes().into();
        let (clients, timers) = (&mut self.clients, &mut self.timers);
        clients.begin(now, id, Method::Bye, branch, hop, bytes, timers, effects);
        self.rearm(id);
    }

    /// A call's time has come.
    pub(super) fn call_tick(&mut self, now: Instant, id: CallId, effects: &mut Effects) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.due = None;
        if let Some(unacked) = &mut call.unacked {
            if unacked.ends_at <= now {
                self.far_end_left(id, effects);
                return self.say_bye(now, id, None, effects);
            }
            if unacked.resend_at <= now {
                unacked.again(now);
                effects.push_back(Effect::Send { hop: unacked.hop, bytes: unacked.bytes.clone() });
            }
        }
        let again = match &call.phase {
            Phase::Ringing(it) => it.progress.filter(|(_, at)| *at <= now).map(|(code, _)| code),
            Phase::Up | Phase::Doomed(_) | Phase::Leaving => None,
        };
        let timer = call.timer.filter(|_| matches!(call.phase, Phase::Up));
        if let Some(code) = again {
            self.progress(now, id, code, effects);
        } else if timer.is_some_and(|it| it.ends_at <= now) {
            self.far_end_left(id, effects);
            return self.say_bye(now, id, None, effects);
        } else if timer.is_some_and(|it| it.refresh_at.is_some_and(|at| at <= now)) {
            self.refresh(now, id, effects);
        }
        self.rearm(id);
    }

    /// Gives a sign of life, and asks for one (RFC 4028, 7.4).
    fn refresh(&mut self, now: Instant, id: CallId, effects: &mut Effects) {
        let us = &self.settings;
        let Some(call) = self.calls.get_mut(&id) else { return };
        let (Some(timer), Some(sound)) = (&mut call.timer, &mut call.sound) else { return };
        if call.is_asking || call.unacked.is_some() {
            timer.refresh_at = Some(now + GLARE_WAIT);
            return;
        }
        timer.refresh_at = None;
        let method = if call.has_update { Method::Update } else { Method::Invite };
        let branch = self.ids.branch();
        let (mut message, hop) = call.dialog.request(method.clone(), &branch, us);
        message.push(Name::Contact, contact(us, &hop));
        message.push(Name::Supported, "timer");
        let seconds = timer.terms.interval.as_secs();
        message.push(Name::SessionExpires, format!("{seconds};refresher=uac"));
        if method == Method::Invite {
            sound.offer();
            // The description as it stands: nothing changes.
            write_description(&mut message, &sound.text);
        }
        call.is_asking = method == Method::Invite;
        let bytes = message.to_bytes().into();
        let (clients, timers) = (&mut self.clients, &mut self.timers);
        clients.begin(now, id, method, branch, hop, bytes, timers, effects);
    }

    /// A reply to a request of ours.
    pub(super) fn receive_reply(
        &mut self,
        now: Instant,
        hop: Hop,
        code: u16,
        message: Message,
        effects: &mut Effects,
    ) {
        let Ok(via) = top_via(&message) else { return };
        let Some(Ok(cseq)) = message.get(&Name::CSeq).map(CSeq::parse) else { return };
        if message.fault.is_some() {
            return;
        }
        let branch = via.branch().unwrap_or_default();
        let client = self.clients.receive(branch, &cseq.method, code, &mut self.timers);
        match client {
            Some(client) => self.replied(now, &hop, client, code, branch, &message, effects),
            None if cseq.method == Method::Invite => self.ack_again(code, &message, effects),
            None => {}
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one reply")]
    fn replied(
        &mut self,
        now: Instant,
        hop: &Hop,
        client: Client,
        code: u16,
        branch: &str,
        message: &Message,
        effects: &mut Effects,
    ) {
        if client.method == Method::Bye {
            self.forget(client.call);
            return;
        }
        let us = self.settings.clone();
        let new_branch = self.ids.branch();
        let Some(call) = self.calls.get_mut(&client.call) else { return };
        if client.method == Method::Invite {
            call.is_asking = false;
            let branch = if code < 300 { &new_branch } else { branch };
            let (ack, ack_hop) = call.dialog.request(Method::Ack, branch, &us);
            let bytes: Arc<[u8]> = ack.to_bytes().into();
            effects.push_back(Effect::Send { hop: ack_hop, bytes: bytes.clone() });
            call.ack = (code < 300).then_some((ack_hop, bytes));
            let sound = call.sound.as_mut().filter(|_| code < 300);
            if let Some(Ok(true)) = sound.map(|it| it.accept(&message.body)) {
                self.agree(client.call, effects);
            }
        }
        let Some(call) = self.calls.get_mut(&client.call) else { return };
        if !matches!(call.phase, Phase::Up) {
            return;
        }
        let Some(timer) = &mut call.timer else { return };
        match code {
            200..=299 => {
                call.dialog.hop = Hop { remote: call.dialog.hop.remote, ..*hop };
                call.timer = Terms::granted(message).map(|it| it.begin(now));
            }
            408 | 481 => {
                self.far_end_left(client.call, effects);
                return self.say_bye(now, client.call, None, effects);
            }
            // Both asked at once: again in a moment.
            491 | 500 => timer.refresh_at = Some(now + GLARE_WAIT),
            // No UPDATE after all.
            _ if client.method == Method::Update => {
                call.has_update = false;
                timer.refresh_at = Some(now);
            }
            // The call stands until the interval is over.
            _ => {}
        }
        self.rearm(client.call);
    }

    /// A 200 that comes again: our ACK was lost.
    fn ack_again(&mut self, code: u16, message: &Message, effects: &mut Effects) {
        let tag = message.get(&Name::From).and_then(|it| NameAddr::parse(it).ok());
        let id = tag.as_ref().and_then(|it| it.tag()).and_then(|tag| self.dialogs.get(tag));
        let call = id.and_then(|id| self.calls.get(id));
        if let Some((hop, bytes)) =
            call.and_then(|it| it.ack.clone()).filter(|_| (200..300).contains(&code))
        {
            effects.push_back(Effect::Send { hop, bytes });
        }
    }

    /// A client transaction's time has come.
    pub(super) fn client_tick(&mut self, now: Instant, id: u64, effects: &mut Effects) {
        let Some(client) = self.clients.tick(now, id, &mut self.timers, effects) else { return };
        if client.method == Method::Bye {
            self.forget(client.call);
            return;
        }
        // Nobody there: a refresh that is not answered ends the call (RFC 4028, section 10).
        let is_up = self.calls.get(&client.call).is_some_and(|it| matches!(it.phase, Phase::Up));
        if is_up {
            self.far_end_left(client.call, effects);
            self.say_bye(now, client.call, None, effects);
        }
    }
}

/// How a call is refused that was never answered: the status code, and the cause of Q.850.
fn refusal(cause: HangupCause) -> (u16, u8) {
    match cause {
        HangupCause::Busy => (486, 17),
        HangupCause::Rejected => (603, 21),
        HangupCause::Normal
        | HangupCause::Canceled
        | HangupCause::DestinationInvalid
        | HangupCause::DestinationOut
        | HangupCause::NoAnswer
        | HangupCause::RingTimeout
        | HangupCause::EndOfXml
        | HangupCause::Scheduled
        | HangupCause::MediaTimeout => (480, 16),
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

/// Why, for whoever reads traces (RFC 3326).
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
