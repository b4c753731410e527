//! Call setup: from the INVITE to the answer.

use std::{net::SocketAddr, time::Instant};

use super::{
    ALLOW,
    agent::{Agent, Effects, ExtraHeaders, note_reply, retry_after, warning},
    body::{SipBody, body_of},
    call::{CallMedia, PROGRESS_EVERY, Ringing, SipCall, SipPhase, Unacked},
    dialog::{Dialog, contact},
    effect::Effect,
    message::SipMessage,
    name::{HeaderName, SipMethod, is_token},
    note::SipNote,
    request::{ContactError, Hop, SipRequest, Transport},
    session_timer::Terms,
    text::readable,
    timers::Timer,
    transaction::TransactionKey,
    uri::{Host, SipParams, SipUri, Uri},
};
use crate::{
    base::ids::CallId,
    media::{
        LegEvent, Report,
        legs::{LegSession, NoPort},
    },
    rtp::sdp::{Refusal, crypto::SrtpPolicy},
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
        let AcceptedInvite { offer, terms, srtp, .. } = wanted;
        let ringing = Ringing {
            invite: request,
            hop,
            server,
            offer,
            terms,
            srtp,
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
            check: None,
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
        let contact = match request.contact() {
            Ok(contact) if contact.uri.sip().is_some_and(|it| hop.may_name(it)) => contact.uri,
            // The far end is reached at its source anyway, as if it were behind NAT.
            Err(ContactError::Unreadable) if request.get(&HeaderName::Contact) != Some("*") => {
                source_uri(request, hop)
            }
            Ok(_) | Err(_) => {
                let error = "a call needs a Contact with a sip: address";
                return Err((400, vec![warning(hop, error)]));
            }
        };
        let caller = self.admit(now, hop, request).map_err(|challenge| (401, challenge))?;
        let srtp = self.srtp_policy(hop, &caller).map_err(|extra| (488, extra))?;
        if self.is_draining || self.calls.len() >= self.settings.calls_max {
            return Err((503, retry_after()));
        }
        let offer = match body_of(&request.message) {
            SipBody::Nothing => None,
            SipBody::Description(text) => Some(text),
            SipBody::Refused(code, extra) => return Err((code, extra)),
        };
        if !accepts_description(request) {
            return Err(plain(406));
        }
        let terms = self.session_terms(request)?;
        Ok(AcceptedInvite { contact, caller, offer, terms, srtp })
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
        if self.outgoing.contains_key(&id) {
            return self.begin_attempts(now, id, port, effects);
        }
        let (session, secret) = (self.ids.session(), self.ids.srtp());
        let Some(call) = self.calls.get_mut(&id) else { return };
        let SipPhase::Ringing(ringing) = &mut call.phase else { return };
        let Ok(port) = port else {
            return self.reject(now, id, 503, &retry_after(), effects);
        };
        let us = self.settings.address_for(port.ip(), ringing.hop.remote.ip());
        let (address, srtp) = (SocketAddr::new(us, port.port()), (ringing.srtp, secret));
        let mut media = CallMedia::new(address, session, srtp);
        let source = call.dialog.hop.remote.ip();
        let route = |named| self.settings.media_address(named, source);
        let refusal = ringing.offer.as_ref().and_then(|offer| media.answer(offer, &route).err());
        let arrival = ringing.arrival.take();
        call.media = Some(media);
        if let Some(refusal) = refusal {
            let hop = call.dialog.hop;
            let warning = self.warning(&hop, &refusal);
            effects.push_back(Effect::Close { call: id });
            return self.reject(now, id, 488, &[warning], effects);
        }
        effects.extend(arrival.map(Effect::Arrive));
    }

    /// The header that says why a description is refused (RFC 3261, 20.43).
    pub(super) fn warning(&self, hop: &Hop, refusal: &Refusal) -> (HeaderName, String) {
        let us = self.settings.address_for(hop.local.ip(), hop.remote.ip());
        let text = format!("{} {us} \"{}\"", refusal.warning(), quotable(&refusal.to_string()));
        (HeaderName::Warning, text)
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
        if agreed.events.is_none() && !media.has_told_keys {
            media.has_told_keys = true;
            effects.push_back(Effect::Note(SipNote::KeysByInfoOnly { call: id }));
        }
        let is_clear = agreed.srtp.is_some() && call.dialog.hop.transport != Transport::Tls;
        if is_clear && !media.has_told_clear_key {
            media.has_told_clear_key = true;
            effects.push_back(Effect::Note(SipNote::KeyInClear { call: id }));
        }
        let source = call.dialog.hop.remote.ip();
        let session = LegSession { agreed, source, is_early: false };
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
        let Some(call) = self.forget(now, id) else { return };
        let SipPhase::Ringing(ringing) = call.phase else { return };
        let mut reply = ringing.invite.reply(&ringing.hop, code, &call.dialog.local_tag);
        reply.headers.extend_from_slice(extra);
        let bytes = reply.to_bytes().into();
        self.servers.reply(now, ringing.server, (code, true), bytes, &mut self.timers, effects);
        note_reply(&ringing.hop, &ringing.invite, code, extra, effects);
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

    /// Handles the ACK of a 200. Returns false if it belongs to no call.
    pub(super) fn acked(
        &mut self,
        now: Instant,
        hop: &Hop,
        request: &SipRequest,
        effects: &mut Effects,
    ) -> bool {
        let Some(id) = self.call_of_ack(hop, request, effects) else { return false };
        let Some(call) = self.calls.get_mut(&id) else { return false };
        // A repeated ACK finds nothing to confirm.
        let Some(unacked) = call.unacked.take_if(|it| it.cseq == request.cseq) else { return true };
        self.rearm(id);
        let Some(call) = self.calls.get_mut(&id) else { return true };
        if let SipPhase::EndAfterAck(ending) = call.phase {
            self.send_bye(now, id, Some(ending), effects);
        } else if unacked.has_offer {
            self.take_answer(now, id, request, effects);
        }
        true
    }

    /// Finds the call that an ACK confirms. Some phones (pyVoIP) send a To tag that is not ours: then
    /// Call-ID, From tag and CSeq number say which INVITE it is for (RFC 3261, 13.2.2.4), unless
    /// another dialog has the tag, or the ACK has a description. No other method is let off so.
    fn call_of_ack(
        &self,
        hop: &Hop,
        request: &SipRequest,
        effects: &mut Effects,
    ) -> Option<CallId> {
        if let Some(id) = request.to.tag().and_then(|tag| self.dialogs.get(tag)) {
            return self.calls.get(id).filter(|it| it.dialog.owns(request)).map(|it| it.id);
        }
        let id = self.servers.call_of_ack(request).filter(|_| request.message.body.is_empty())?;
        let is_awaited = |it: &Unacked| it.cseq == request.cseq;
        self.calls.get(&id)?.unacked.as_ref().filter(|it| is_awaited(it))?;
        let user_agent = readable(request.get(&HeaderName::UserAgent).unwrap_or_default());
        let peer = hop.remote;
        effects.push_back(Effect::Note(SipNote::ForeignAck { peer, user_agent }));
        Some(id)
    }

    /// Takes the answer to the offer in our 200. Without a usable one there is no call.
    fn take_answer(
        &mut self,
        now: Instant,
        id: CallId,
        request: &SipRequest,
        effects: &mut Effects,
    ) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let answer = match body_of(&request.message) {
            SipBody::Description(text) => Some(text),
            SipBody::Nothing | SipBody::Refused(..) => None,
        };
        let media = call.media.as_mut();
        let source = call.dialog.hop.remote.ip();
        let route = |named| self.settings.media_address(named, source);
        match media.zip(answer).map(|(media, answer)| media.accept(&answer, &route).is_ok()) {
            Some(true) => self.agree(id, effects),
            Some(false) | None => {
                self.report_hangup(id, effects);
                self.send_bye(now, id, None, effects);
            }
        }
    }

    /// Removes a call from all tables.
    pub(super) fn forget(&mut self, now: Instant, id: CallId) -> Option<SipCall> {
        self.usage.release(now, id);
        let mut call = self.calls.remove(&id)?;
        self.liveness.adrift.remove(&id);
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
    contact: Uri,
    caller: super::admission::SipCaller,
    offer: Option<Vec<u8>>,
    terms: Option<Terms>,
    srtp: SrtpPolicy,
}

/// Whether a caller takes a description. What is no media type in its Accept says nothing.
fn accepts_description(request: &SipRequest) -> bool {
    let kind = |it: &str| it.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let kinds: Vec<_> = request.message.words(&HeaderName::Accept).map(kind).collect();
    let mut kinds = kinds.iter().filter(|it| it.split('/').filter(|it| is_token(it)).count() == 2);
    let accepts = |it: &String| ["application/sdp", "application/*", "*/*"].contains(&it.as_str());
    kinds.clone().count() == 0 || kinds.any(accepts)
}

/// The address of a far end by its name and the source of its request.
fn source_uri(request: &SipRequest, hop: &Hop) -> Uri {
    let user = request.from.uri.sip().and_then(|it| it.user.clone());
    let (host, port) = (Host::Address(hop.remote.ip()), Some(hop.remote.port()));
    let params = SipParams::default();
    Uri::Sip(SipUri { is_secure: false, user, host, port, params, headers: None })
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
