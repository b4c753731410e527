//! Call setup: from the INVITE to the answer.

use std::{net::SocketAddr, time::Instant};

use super::{
    agent::{ALLOW, Agent, Effects, ExtraHeaders, retry_after},
    body::{SipBody, body_of},
    call::{CallMedia, PROGRESS_EVERY, Ringing, SipCall, SipPhase, Unacked},
    dialog::{Dialog, contact},
    effect::Effect,
    message::SipMessage,
    name::{HeaderName, SipMethod},
    request::{Hop, SipRequest},
    session_timer::Terms,
    timers::Timer,
    transaction::TransactionKey,
};
use crate::{
    base::ids::CallId,
    media::{
        LegEvent, Report,
        legs::{LegSession, NoPort},
    },
};

impl Agent {
    /// Handles an INVITE outside of a dialog: begins a call if it is acceptable.
    pub(super) fn invite(
        &mut self,
        now: Instant,
        hop: Hop,
        request: SipRequest,
        key: TransactionKey,
        effects: &mut Effects,
    ) {
        let wanted = match self.check_invite(now, &hop, &request) {
            Ok(wanted) => wanted,
            Err((code, extra)) => return self.refuse(&hop, &request, code, &extra, effects),
        };
        let call = self.ids.call();
        let tag = self.ids.tag();
        let arrival = self.arrival(call, &hop, &request, &wanted.caller);
        let server = self.servers.begin(&request, key, &hop, Some(call));
        self.reply(now, server, &hop, &request, 100, &[], effects);

        let dialog = Dialog::of(&request, &hop, wanted.contact, tag.clone());
        let has_update = request.message.words(&HeaderName::Allow).any(|it| it == "UPDATE");
        let AcceptedInvite { offer, terms, .. } = wanted;
        let ringing = Ringing {
            invite: request,
            hop,
            server,
            offer,
            terms,
            progress: None,
            arrival: Some(arrival),
        };
        self.dialogs.insert(tag, call);
        let it = SipCall {
            id: call,
            dialog,
            phase: SipPhase::Ringing(Box::new(ringing)),
            media: None,
            unacked: None,
            has_pending_invite: false,
            timer: None,
            has_update,
            ack: None,
            due: None,
        };
        self.calls.insert(call, it);
        effects.push_back(Effect::Open { call, local: hop.local.ip() });
    }

    fn check_invite(
        &mut self,
        now: Instant,
        hop: &Hop,
        request: &SipRequest,
    ) -> Result<AcceptedInvite, (u16, ExtraHeaders)> {
        let plain = |code| (code, vec![]);
        if self.servers.is_merged(request) {
            return Err(plain(482));
        }
        let contact = request.contact().map_err(|_| plain(400))?;
        if contact.uri.sip().is_none_or(|uri| uri.is_secure) {
            return Err(plain(400));
        }
        let caller = self.admit(now, hop, request).map_err(|challenge| (401, challenge))?;
        if self.is_draining || self.calls.len() >= self.settings.calls_max {
            return Err((503, retry_after()));
        }
        let offer = match body_of(request) {
            SipBody::Nothing => None,
            SipBody::Description(text) => Some(text),
            SipBody::Refused(code, extra) => return Err((code, extra)),
        };
        let accepts = |it: &str| {
            let kind = it.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
            ["application/sdp", "application/*", "*/*"].contains(&kind.as_str())
        };
        if request.get(&HeaderName::Accept).is_some_and(|it| !it.is_empty())
            && !request.message.words(&HeaderName::Accept).any(accepts)
        {
            return Err(plain(406));
        }
        let terms = self.session_terms(request)?;
        Ok(AcceptedInvite { contact, caller, offer, terms })
    }

    /// The session timer that a request asks for.
    pub(super) fn session_terms(
        &self,
        request: &SipRequest,
    ) -> Result<Option<Terms>, (u16, ExtraHeaders)> {
        let shortest = self.settings.session_min;
        Terms::asked(request, shortest).map_err(|error| match error.code {
            422 => (422, vec![(HeaderName::MinSe, shortest.as_secs().to_string())]),
            code => (code, vec![]),
        })
    }

    /// The RTP port is open (or is not): announces the call to the engine.
    pub(super) fn opened(
        &mut self,
        now: Instant,
        id: CallId,
        port: Result<SocketAddr, NoPort>,
        effects: &mut Effects,
    ) {
        let session = self.ids.session();
        let Some(call) = self.calls.get_mut(&id) else { return };
        let SipPhase::Ringing(ringing) = &mut call.phase else { return };
        let Ok(port) = port else {
            return self.reject(now, id, 503, &retry_after(), effects);
        };
        let us = self.settings.address_for(port.ip(), ringing.hop.remote.ip());
        let mut media = CallMedia::new(SocketAddr::new(us, port.port()), session);
        let refusal = ringing.offer.as_ref().and_then(|offer| media.answer(offer).err());
        let arrival = ringing.arrival.take();
        call.media = Some(media);
        if let Some(refusal) = refusal {
            let us =
                self.settings.address_for(call.dialog.hop.local.ip(), call.dialog.hop.remote.ip());
            let warning = (
                HeaderName::Warning,
                format!("{} {us} \"{}\"", refusal.warning(), quotable(&refusal.to_string())),
            );
            effects.push_back(Effect::Close { call: id });
            return self.reject(now, id, 488, &[warning], effects);
        }
        effects.extend(arrival.map(Effect::Arrive));
    }

    /// The engine has taken the call, or has no flow for it.
    pub(super) fn arrived(&mut self, now: Instant, id: CallId, status: u16, effects: &mut Effects) {
        if status == 180 {
            return self.progress(now, id, status, effects);
        }
        effects.push_back(Effect::Close { call: id });
        let extra = if status == 503 { retry_after() } else { Vec::new() };
        self.reject(now, id, status, &extra, effects);
    }

    /// Opens early media, so that the caller hears what is played before the answer. It needs an
    /// offer in the INVITE (an offer of ours in a 183 would need RFC 3262).
    pub(super) fn early_media(&mut self, now: Instant, id: CallId, effects: &mut Effects) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let (SipPhase::Ringing(ringing), Some(media)) = (&call.phase, &call.media) else { return };
        if ringing.progress.is_some_and(|(code, _)| code == 183) {
            return;
        }
        let is_agreed = media.agreed().is_some();
        self.progress(now, id, 183, effects);
        if is_agreed {
            self.agree(id, effects);
        }
    }

    /// Sends a provisional reply, and plans the next one in a minute.
    pub(super) fn progress(&mut self, now: Instant, id: CallId, code: u16, effects: &mut Effects) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let SipPhase::Ringing(ringing) = &mut call.phase else { return };
        ringing.progress = Some((code, now + PROGRESS_EVERY));
        let (hop, server) = (ringing.hop, ringing.server);
        let mut reply = ringing.invite.reply(&hop, code, &call.dialog.local_tag);
        write_dialog(&mut reply, &ringing.invite, contact(&self.settings, &hop));
        if let Some(media) = call.media.as_ref().filter(|it| code == 183 && it.agreed().is_some()) {
            write_description(&mut reply, &media.text);
        }
        let bytes = reply.to_bytes().into();
        self.servers.reply(now, server, (code, true), bytes, &mut self.timers, effects);
        self.rearm(id);
    }

    /// Answers a call with a 200 on the engine's order.
    pub(super) fn answer(&mut self, now: Instant, id: CallId, effects: &mut Effects) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let (SipPhase::Ringing(ringing), Some(media)) = (&call.phase, &mut call.media) else {
            return;
        };
        let Ringing { hop, server, terms, .. } = **ringing;
        let has_offer = media.agreed().is_none();
        if has_offer {
            media.offer();
        }
        let mut reply = ringing.invite.reply(&hop, 200, &call.dialog.local_tag);
        write_dialog(&mut reply, &ringing.invite, contact(&self.settings, &hop));
        reply.push(HeaderName::Supported, "timer");
        if let Some(terms) = terms {
            terms.write(&mut reply);
        }
        write_description(&mut reply, &media.text);
        let bytes: std::sync::Arc<[u8]> = reply.to_bytes().into();
        let cseq = ringing.invite.cseq;
        let reply_hop = super::request::reply_hop(&ringing.invite.via, &hop);
        let was_early = ringing.progress.is_some_and(|(code, _)| code == 183);
        let unacked = Unacked::new(now, cseq, reply_hop, bytes.clone(), has_offer);
        call.unacked = Some(Unacked { is_first: true, ..unacked });
        call.timer = terms.map(|terms| terms.begin(now));
        call.phase = SipPhase::Established;
        self.servers.reply(now, server, (200, true), bytes, &mut self.timers, effects);
        if !has_offer && !was_early {
            self.agree(id, effects);
        }
        self.rearm(id);
    }

    /// Gives the agreement to the RTP engine, and reports to the engine if the hold state changed.
    pub(super) fn agree(&mut self, id: CallId, effects: &mut Effects) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some(media) = &mut call.media else { return };
        let Some(agreed) = media.agreed().cloned() else { return };
        let is_held = agreed.held;
        let session = LegSession { agreed, source: call.dialog.hop.remote.ip() };
        effects.push_back(Effect::Agree { call: id, session });
        if is_held != media.is_held {
            media.is_held = is_held;
            effects.push_back(Effect::Report(Report { call: id, event: LegEvent::Hold(is_held) }));
        }
    }

    /// Refuses a ringing call and drops its state.
    pub(super) fn reject(
        &mut self,
        now: Instant,
        id: CallId,
        code: u16,
        extra: &[(HeaderName, String)],
        effects: &mut Effects,
    ) {
        let Some(call) = self.forget(id) else { return };
        let SipPhase::Ringing(ringing) = call.phase else { return };
        let mut reply = ringing.invite.reply(&ringing.hop, code, &call.dialog.local_tag);
        reply.headers.extend_from_slice(extra);
        let bytes = reply.to_bytes().into();
        self.servers.reply(now, ringing.server, (code, true), bytes, &mut self.timers, effects);
    }

    /// Handles a CANCEL: the caller hangs up before the answer.
    pub(super) fn cancel(
        &mut self,
        now: Instant,
        hop: Hop,
        request: &SipRequest,
        key: &TransactionKey,
        effects: &mut Effects,
    ) {
        let own_key = TransactionKey::of_cancel(request);
        if self.servers.absorb(&own_key, effects) {
            return;
        }
        let Some(call) = self.servers.call_of(key) else {
            return self.refuse(&hop, request, 481, &[], effects);
        };
        let server = self.servers.begin(request, own_key, &hop, None);
        self.reply(now, server, &hop, request, 200, &[], effects);
        let is_ringing =
            self.calls.get(&call).is_some_and(|it| matches!(it.phase, SipPhase::Ringing(_)));
        if is_ringing {
            self.report_hangup(call, effects);
            self.reject(now, call, 487, &[], effects);
        }
    }

    /// Handles the ACK of a 200.
    pub(super) fn acked(&mut self, now: Instant, request: &SipRequest, effects: &mut Effects) {
        let id = request.to.tag().and_then(|tag| self.dialogs.get(tag)).copied();
        let Some(call) = id.and_then(|id| self.calls.get_mut(&id)) else { return };
        if !call.dialog.owns(request) {
            return;
        }
        let id = call.id;
        let Some(unacked) = call.unacked.take_if(|it| it.cseq == request.cseq) else { return };
        self.rearm(id);
        let Some(call) = self.calls.get_mut(&id) else { return };
        if let SipPhase::EndAfterAck(ending) = call.phase {
            return self.send_bye(now, id, Some(ending), effects);
        }
        if !unacked.has_offer {
            return;
        }
        let answer = match body_of(request) {
            SipBody::Description(text) => Some(text),
            SipBody::Nothing | SipBody::Refused(..) => None,
        };
        let media = call.media.as_mut();
        match media.zip(answer).map(|(media, answer)| media.accept(&answer).is_ok()) {
            Some(true) => self.agree(id, effects),
            // Without a usable answer there is no call.
            Some(false) | None => {
                self.report_hangup(id, effects);
                self.send_bye(now, id, None, effects);
            }
        }
    }

    /// Removes a call from all tables.
    pub(super) fn forget(&mut self, id: CallId) -> Option<SipCall> {
        let mut call = self.calls.remove(&id)?;
        self.timers.set(Timer::Call(id), &mut call.due, None);
        self.dialogs.remove(&call.dialog.local_tag);
        Some(call)
    }

    /// Updates a call's row in the timer table.
    pub(super) fn rearm(&mut self, id: CallId) {
        if let Some(call) = self.calls.get_mut(&id) {
            let at = call.deadline();
            self.timers.set(Timer::Call(id), &mut call.due, at);
        }
    }
}

/// The parts of an acceptable INVITE.
struct AcceptedInvite {
    contact: super::header_value::NameAddr,
    caller: super::admission::SipCaller,
    offer: Option<Vec<u8>>,
    terms: Option<Terms>,
}

/// Removes characters that would end a quoted string.
fn quotable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() && !"\"\\".contains(*c)).collect()
}

/// Adds the headers of a reply that makes or keeps a dialog: Record-Route, Contact, Allow.
pub(super) fn write_dialog(reply: &mut SipMessage, request: &SipRequest, contact: String) {
    for value in request.message.all(&HeaderName::RecordRoute) {
        reply.push(HeaderName::RecordRoute, value);
    }
    reply.push(HeaderName::Contact, contact);
    if request.method == SipMethod::Invite {
        reply.push(HeaderName::Allow, ALLOW);
    }
}

/// Sets the body to a session description.
pub(super) fn write_description(message: &mut SipMessage, text: &str) {
    message.push(HeaderName::ContentType, "application/sdp");
    message.body = text.as_bytes().to_vec();
}
