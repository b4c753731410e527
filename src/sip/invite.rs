//! A call from its INVITE to its answer.

use std::{net::SocketAddr, time::Instant};

use super::{
    agent::{ALLOW, Agent, Effects, Extra, retry_after},
    body::{Body, body_of},
    call::{Call, PROGRESS_EVERY, Phase, Ringing, Sound, Unacked},
    dialog::{Dialog, contact},
    effect::Effect,
    message::Message,
    name::{Method, Name},
    request::{Hop, Request},
    session_timer::Terms,
    timers::Timer,
    transaction::Key,
};
use crate::{
    base::ids::CallId,
    media::{
        Heard, Report,
        legs::{NoPort, Session},
    },
};

impl Agent {
    /// An INVITE outside of any dialog: a call, if all is well.
    pub(super) fn invite(
        &mut self,
        now: Instant,
        hop: Hop,
        request: Request,
        key: Key,
        effects: &mut Effects,
    ) {
        let wanted = match self.judge_invite(now, &hop, &request) {
            Ok(wanted) => wanted,
            Err((code, extra)) => return self.refuse(&hop, &request, code, &extra, effects),
        };
        let call = self.ids.call();
        let tag = self.ids.tag();
        let arrival = self.arrival(call, &hop, &request, &wanted.caller);
        let server = self.servers.begin(&request, key, &hop, Some(call));
        self.reply(now, server, &hop, &request, 100, &[], effects);

        let dialog = Dialog::of(&request, &hop, wanted.contact, tag.clone());
        let has_update = request.message.words(&Name::Allow).any(|it| it == "UPDATE");
        let Wanted { offer, terms, .. } = wanted;
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
        let it = Call {
            id: call,
            dialog,
            phase: Phase::Ringing(Box::new(ringing)),
            sound: None,
            unacked: None,
            is_asking: false,
            timer: None,
            has_update,
            ack: None,
            due: None,
        };
        self.calls.insert(call, it);
        effects.push_back(Effect::Open { call, local: hop.local.ip() });
    }

    fn judge_invite(
        &mut self,
        now: Instant,
        hop: &Hop,
        request: &Request,
    ) -> Result<Wanted, (u16, Extra)> {
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
            Body::Nothing => None,
            Body::Description(text) => Some(text),
            Body::Refused(code, extra) => return Err((code, extra)),
        };
        let accepts = |it: &str| {
            let kind = it.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
            ["application/sdp", "application/*", "*/*"].contains(&kind.as_str())
        };
        if request.get(&Name::Accept).is_some_and(|it| !it.is_empty())
            && !request.message.words(&Name::Accept).any(accepts)
        {
            return Err(plain(406));
        }
        let terms = self.terms_asked(request)?;
        Ok(Wanted { contact, caller, offer, terms })
    }

    /// Session timers that a request asks for.
    pub(super) fn terms_asked(&self, request: &Request) -> Result<Option<Terms>, (u16, Extra)> {
        let shortest = self.settings.session_min;
        Terms::asked(request, shortest).map_err(|fault| match fault.code {
            422 => (422, vec![(Name::MinSe, shortest.as_secs().to_string())]),
            code => (code, vec![]),
        })
    }

    /// The port of a call's sound is open: the engine may know of the call.
    pub(super) fn opened(
        &mut self,
        now: Instant,
        id: CallId,
        port: Result<SocketAddr, NoPort>,
        effects: &mut Effects,
    ) {
        let session = self.ids.session();
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Phase::Ringing(ringing) = &mut call.phase else { return };
        let Ok(port) = port else {
            return self.turn_away(now, id, 503, &retry_after(), effects);
        };
        let us = self.settings.address_for(port.ip(), ringing.hop.remote.ip());
        let mut sound = Sound::new(SocketAddr::new(us, port.port()), session);
        let refusal = ringing.offer.as_ref().and_then(|offer| sound.answer(offer).err());
        let arrival = ringing.arrival.take();
        call.sound = Some(sound);
        if let Some(refusal) = refusal {
            let us =
                self.settings.address_for(call.dialog.hop.local.ip(), call.dialog.hop.remote.ip());
            let warning = (
                Name::Warning,
                format!("{} {us} \"{}\"", refusal.warning(), quotable(&refusal.to_string())),
            );
            effects.push_back(Effect::Close { call: id });
            return self.turn_away(now, id, 488, &[warning], effects);
        }
        effects.extend(arrival.map(Effect::Arrive));
    }

    /// The engine has taken a call, or has no flow for it.
    pub(super) fn arrived(
        &mut self,
        now: Instant,
        id: CallId,
        has_flow: bool,
        effects: &mut Effects,
    ) {
        match has_flow {
            true => self.progress(now, id, 180, effects),
            false => {
                effects.push_back(Effect::Close { call: id });
                self.turn_away(now, id, 404, &[], effects);
            }
        }
    }

    /// Early media: what is played is heard before the answer. Without an offer there is nowhere
    /// to play to (an offer of ours in a 183 would need RFC 3262).
    pub(super) fn early_media(&mut self, now: Instant, id: CallId, effects: &mut Effects) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let (Phase::Ringing(ringing), Some(sound)) = (&call.phase, &call.sound) else { return };
        if ringing.progress.is_some_and(|(code, _)| code == 183) {
            return;
        }
        let is_agreed = sound.agreed().is_some();
        self.progress(now, id, 183, effects);
        if is_agreed {
            self.agree(id, effects);
        }
    }

    /// Says that it rings, and again each minute.
    pub(super) fn progress(&mut self, now: Instant, id: CallId, code: u16, effects: &mut Effects) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Phase::Ringing(ringing) = &mut call.phase else { return };
        ringing.progress = Some((code, now + PROGRESS_EVERY));
        let (hop, server) = (ringing.hop, ringing.server);
        let mut reply = ringing.invite.reply(&hop, code, &call.dialog.local_tag);
        write_dialog(&mut reply, &ringing.invite, contact(&self.settings, &hop));
        if let Some(sound) = call.sound.as_ref().filter(|it| code == 183 && it.agreed().is_some()) {
            write_description(&mut reply, &sound.text);
        }
        let bytes = reply.to_bytes().into();
        self.servers.reply(now, server, (code, true), bytes, &mut self.timers, effects);
        self.rearm(id);
    }

    /// Picks up.
    pub(super) fn answer(&mut self, now: Instant, id: CallId, effects: &mut Effects) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let (Phase::Ringing(ringing), Some(sound)) = (&call.phase, &mut call.sound) else { return };
        let Ringing { hop, server, terms, .. } = **ringing;
        let has_offer = sound.agreed().is_none();
        if has_offer {
            sound.offer();
        }
        let mut reply = ringing.invite.reply(&hop, 200, &call.dialog.local_tag);
        write_dialog(&mut reply, &ringing.invite, contact(&self.settings, &hop));
        reply.push(Name::Supported, "timer");
        if let Some(terms) = terms {
            terms.write(&mut reply);
        }
        write_description(&mut reply, &sound.text);
        let bytes: std::sync::Arc<[u8]> = reply.to_bytes().into();
        let cseq = ringing.invite.cseq;
        let reply_hop = super::request::reply_hop(&ringing.invite.via, &hop);
        let was_early = ringing.progress.is_some_and(|(code, _)| code == 183);
        let unacked = Unacked::new(now, cseq, reply_hop, bytes.clone(), has_offer);
        call.unacked = Some(Unacked { is_first: true, ..unacked });
        call.timer = terms.map(|terms| terms.begin(now));
        call.phase = Phase::Up;
        self.servers.reply(now, server, (200, true), bytes, &mut self.timers, effects);
        if !has_offer && !was_early {
            self.agree(id, effects);
        }
        self.rearm(id);
    }

    /// Tells the sound what has been agreed, and the engine whether the far end holds us.
    pub(super) fn agree(&mut self, id: CallId, effects: &mut Effects) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some(sound) = &mut call.sound else { return };
        let Some(agreed) = sound.agreed().cloned() else { return };
        let is_held = agreed.held;
        let session = Session { agreed, source: call.dialog.hop.remote.ip() };
        effects.push_back(Effect::Agree { call: id, session });
        if is_held != sound.is_held {
            sound.is_held = is_held;
            effects.push_back(Effect::Report(Report { call: id, heard: Heard::Hold(is_held) }));
        }
    }

    /// Refuses a call that rings, and forgets it.
    pub(super) fn turn_away(
        &mut self,
        now: Instant,
        id: CallId,
        code: u16,
        extra: &[(Name, String)],
        effects: &mut Effects,
    ) {
        let Some(call) = self.forget(id) else { return };
        let Phase::Ringing(ringing) = call.phase else { return };
        let mut reply = ringing.invite.reply(&ringing.hop, code, &call.dialog.local_tag);
        reply.headers.extend_from_slice(extra);
        let bytes = reply.to_bytes().into();
        self.servers.reply(now, ringing.server, (code, true), bytes, &mut self.timers, effects);
    }

    /// The caller has thought better of it.
    pub(super) fn cancel(
        &mut self,
        now: Instant,
        hop: Hop,
        request: &Request,
        key: &Key,
        effects: &mut Effects,
    ) {
        let own_key = Key::of_cancel(request);
        if self.servers.absorb(&own_key, effects) {
            return;
        }
        let Some(call) = self.servers.call_of(key) else {
            return self.refuse(&hop, request, 481, &[], effects);
        };
        let server = self.servers.begin(request, own_key, &hop, None);
        self.reply(now, server, &hop, request, 200, &[], effects);
        let is_ringing =
            self.calls.get(&call).is_some_and(|it| matches!(it.phase, Phase::Ringing(_)));
        if is_ringing {
            self.far_end_left(call, effects);
            self.turn_away(now, call, 487, &[], effects);
        }
    }

    /// An ACK that belongs to a 200.
    pub(super) fn acked(&mut self, now: Instant, request: &Request, effects: &mut Effects) {
        let id = request.to.tag().and_then(|tag| self.dialogs.get(tag)).copied();
        let Some(call) = id.and_then(|id| self.calls.get_mut(&id)) else { return };
        if !call.dialog.owns(request) {
            return;
        }
        let id = call.id;
        let Some(unacked) = call.unacked.take_if(|it| it.cseq == request.cseq) else { return };
        self.rearm(id);
        let Some(call) = self.calls.get_mut(&id) else { return };
        if let Phase::Doomed(ending) = call.phase {
            return self.say_bye(now, id, Some(ending), effects);
        }
        if !unacked.has_offer {
            return;
        }
        let answer = match body_of(request) {
            Body::Description(text) => Some(text),
            Body::Nothing | Body::Refused(..) => None,
        };
        let sound = call.sound.as_mut();
        match sound.zip(answer).map(|(sound, answer)| sound.accept(&answer).is_ok()) {
            Some(true) => self.agree(id, effects),
            // An answer that is missing or worthless: there is no call to be had.
            Some(false) | None => {
                self.far_end_left(id, effects);
                self.say_bye(now, id, None, effects);
            }
        }
    }

    /// Takes a call out of all tables.
    pub(super) fn forget(&mut self, id: CallId) -> Option<Call> {
        let mut call = self.calls.remove(&id)?;
        self.timers.set(Timer::Call(id), &mut call.due, None);
        self.dialogs.remove(&call.dialog.local_tag);
        Some(call)
    }

    /// Sets a call's row among the timers to what it now waits for.
    pub(super) fn rearm(&mut self, id: CallId) {
        if let Some(call) = self.calls.get_mut(&id) {
            let at = call.deadline();
            self.timers.set(Timer::Call(id), &mut call.due, at);
        }
    }
}

/// What a good INVITE asks for.
struct Wanted {
    contact: super::value::NameAddr,
    caller: super::admission::Caller,
    offer: Option<Vec<u8>>,
    terms: Option<Terms>,
}

/// A text for a quoted string, without what would end it.
fn quotable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() && !"\"\\".contains(*c)).collect()
}

/// What makes or keeps a dialog: Contact, Record-Route, Allow.
pub(super) fn write_dialog(reply: &mut Message, request: &Request, contact: String) {
    for value in request.message.all(&Name::RecordRoute) {
        reply.push(Name::RecordRoute, value);
    }
    reply.push(Name::Contact, contact);
    if request.method == Method::Invite {
        reply.push(Name::Allow, ALLOW);
    }
}

/// A session description as the body.
pub(super) fn write_description(message: &mut Message, text: &str) {
    message.push(Name::ContentType, "application/sdp");
    message.body = text.as_bytes().to_vec();
}
