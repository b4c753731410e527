//! Requests within a call: hold, resume, a new address, key presses, hang-up.

use std::time::Instant;

use super::{
    agent::{Agent, Effects, ExtraHeaders},
    body::{SipBody, body_of, capabilities},
    call::{SipPhase, Unacked},
    dialog::contact,
    effect::Effect,
    info_digits::{InfoBody, KEY_TYPES},
    invite::{write_description, write_dialog},
    name::{HeaderName, SipMethod},
    request::{Hop, SipRequest, reply_hop},
    transaction::TransactionKey,
};
use crate::{
    base::ids::CallId,
    media::{LegEvent, Report},
};

/// Longest Retry-After for a change that overlaps another (RFC 3261, 14.2).
const RETRY_SECONDS_MAX: u8 = 10;

impl Agent {
    /// Handles a request of a known dialog.
    pub(super) fn receive_in_dialog(
        &mut self,
        now: Instant,
        hop: Hop,
        id: CallId,
        request: SipRequest,
        key: TransactionKey,
        effects: &mut Effects,
    ) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if call.dialog.remote_cseq.is_some_and(|last| request.cseq <= last) {
            // Out of order (RFC 3261, 12.2.2).
            return self.refuse(&hop, &request, 500, &[], effects);
        }
        call.dialog.remote_cseq = Some(request.cseq);
        self.found_again(now, id, &hop);
        let Some(call) = self.calls.get(&id) else { return };
        let is_leaving = matches!(call.phase, SipPhase::ByeSent);
        let has_sound = matches!(call.phase, SipPhase::Ringing(_) | SipPhase::Established);
        let server = self.servers.begin(&request, key, &hop, Some(id));
        let reply = |agent: &mut Self, code, extra: &[_], effects: &mut Effects| {
            agent.reply(now, server, &hop, &request, code, extra, effects);
        };
        match request.method {
            SipMethod::Bye => {
                reply(self, 200, &[], effects);
                self.report_hangup(id, effects);
                self.reject(now, id, 487, &[], effects);
            }
            SipMethod::Options => reply(self, 200, &capabilities(), effects),
            SipMethod::Refer => reply(self, 603, &[], effects),
            _ if is_leaving => reply(self, 481, &[], effects),
            SipMethod::Info => {
                match InfoBody::read(request.get(&HeaderName::ContentType), &request.message.body) {
                    InfoBody::Digit(key) => {
                        reply(self, 200, &[], effects);
                        if has_sound {
                            effects.push_back(Effect::Press { call: id, key });
                        }
                    }
                    InfoBody::Nothing => reply(self, 200, &[], effects),
                    InfoBody::Unknown => {
                        let accept = (HeaderName::Accept, KEY_TYPES.join(", "));
                        reply(self, 415, &[accept], effects);
                    }
                }
            }
            SipMethod::Invite | SipMethod::Update => {
                self.change(now, hop, id, request, server, effects);
            }
            SipMethod::Register | SipMethod::Ack | SipMethod::Cancel | SipMethod::Other(_) => {
                reply(self, 403, &[], effects);
            }
        }
    }

    /// Handles a re-INVITE or an UPDATE: a new description, a new address, or a refresh.
    fn change(
        &mut self,
        now: Instant,
        hop: Hop,
        id: CallId,
        request: SipRequest,
        server: u64,
        effects: &mut Effects,
    ) {
        let body = body_of(&request.message);
        let is_invite = request.method == SipMethod::Invite;
        let changes_sound = is_invite || body != SipBody::Nothing;
        if let Err((code, extra)) = self.check_change(id, is_invite, &body) {
            return self.reply(now, server, &hop, &request, code, &extra, effects);
        }
        let terms = self.session_terms(&request);
        let Some(call) = self.calls.get_mut(&id) else { return };
        let (terms, media) = match (terms, call.media.as_mut()) {
            (Ok(terms), Some(media)) => (terms, media),
            (Err((code, extra)), _) => {
                return self.reply(now, server, &hop, &request, code, &extra, effects);
            }
            (Ok(_), None) => return self.reply(now, server, &hop, &request, 500, &[], effects),
        };

        let has_offer = is_invite && body == SipBody::Nothing;
        match &body {
            SipBody::Description(offer) => {
                let route = |named| self.settings.media_address(named, hop.remote.ip());
                if let Err(refusal) = media.answer(offer, &route) {
                    let warning = self.warning(&hop, &refusal);
                    return self.reply(now, server, &hop, &request, 488, &[warning], effects);
                }
            }
            SipBody::Nothing if is_invite => media.offer(),
            SipBody::Nothing => {}
            SipBody::Refused(code, extra) => {
                return self.reply(now, server, &hop, &request, *code, extra, effects);
            }
        }
        call.dialog.move_to(&hop, request.contact().ok());
        call.timer = terms.map(|terms| terms.begin(now));

        let mut reply = request.reply(&hop, 200, "");
        write_dialog(&mut reply, &request, contact(&self.settings, &hop));
        reply.push(HeaderName::Supported, "timer");
        if let Some(terms) = terms {
            terms.write(&mut reply);
        }
        if changes_sound {
            write_description(&mut reply, &media.text);
        }
        let bytes: std::sync::Arc<[u8]> = reply.to_bytes().into();
        if is_invite {
            let to = reply_hop(&request.via, &hop);
            call.unacked = Some(Unacked::new(now, request.cseq, to, bytes.clone(), has_offer));
        }
        self.servers.reply(now, server, (200, is_invite), bytes, &mut self.timers, effects);
        if changes_sound && !has_offer {
            self.agree(id, effects);
        }
        self.rearm(id);
    }

    /// Checks whether a change is allowed now (RFC 3261, 14.2; RFC 3311, 5.2).
    fn check_change(
        &mut self,
        id: CallId,
        is_invite: bool,
        body: &SipBody,
    ) -> Result<(), (u16, ExtraHeaders)> {
        let retry_after = (HeaderName::RetryAfter, self.ids.upto(RETRY_SECONDS_MAX).to_string());
        let Some(call) = self.calls.get(&id) else { return Ok(()) };
        let changes_sound = is_invite || *body != SipBody::Nothing;
        // An INVITE is complete when its ACK has come, not before.
        let is_open = |it: &Unacked| is_invite || (changes_sound && it.has_offer);
        if changes_sound && call.has_pending_invite {
            return Err((491, vec![]));
        }
        let is_ringing = matches!(call.phase, SipPhase::Ringing(_)) && changes_sound;
        match is_ringing || call.unacked.as_ref().is_some_and(is_open) {
            true => Err((500, vec![retry_after])),
            false => Ok(()),
        }
    }

    /// Reports to the engine that the far end has hung up, and ends the sound.
    pub(super) fn report_hangup(&mut self, id: CallId, effects: &mut Effects) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        match &call.phase {
            SipPhase::Ringing(_) | SipPhase::Established => {
                effects.push_back(Effect::Close { call: id });
                effects.push_back(Effect::Report(Report { call: id, event: LegEvent::HungUp }));
            }
            // The engine ended it earlier.
            SipPhase::EndAfterAck(_) | SipPhase::ByeSent => {}
        }
    }
}
