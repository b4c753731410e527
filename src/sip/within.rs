//! What the far end asks within a call: hold, resume, a new address, key presses, the end.

use std::time::Instant;

use super::{
    agent::{Agent, Effects, Extra, abilities},
    body::{Body, body_of},
    call::{Phase, Unacked},
    dialog::contact,
    effect::Effect,
    info::Info,
    invite::{write_description, write_dialog},
    name::{Method, Name},
    request::{Hop, Request, reply_hop},
    transaction::Key,
};
use crate::{
    base::ids::CallId,
    media::{Heard, Report},
};

/// A change that overlaps another may come again after so long at most (RFC 3261, 14.2).
const RETRY_SECONDS_MAX: u8 = 10;

impl Agent {
    /// A request within a dialog that we know.
    pub(super) fn receive_within(
        &mut self,
        now: Instant,
        hop: Hop,
        id: CallId,
        request: Request,
        key: Key,
        effects: &mut Effects,
    ) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if request.cseq <= call.dialog.remote_cseq {
            // Older than what we have seen (RFC 3261, 12.2.2).
            return self.refuse(&hop, &request, 500, &[], effects);
        }
        call.dialog.remote_cseq = request.cseq;
        let is_leaving = matches!(call.phase, Phase::Leaving);
        let server = self.servers.begin(&request, key, &hop, Some(id));
        let say = |agent: &mut Self, code, extra: &[_], effects: &mut Effects| {
            agent.reply(now, server, &hop, &request, code, extra, effects);
        };
        match request.method {
            Method::Bye => {
                say(self, 200, &[], effects);
                self.far_end_left(id, effects);
                self.turn_away(now, id, 487, &[], effects);
            }
            Method::Options => say(self, 200, &abilities(), effects),
            Method::Refer => say(self, 603, &[], effects),
            _ if is_leaving => say(self, 481, &[], effects),
            Method::Info => {
                match Info::read(request.get(&Name::ContentType), &request.message.body) {
                    Info::Digit(key) => {
                        say(self, 200, &[], effects);
                        effects.push_back(Effect::Report(Report {
                            call: id,
                            heard: Heard::Digit(key),
                        }));
                    }
                    Info::Nothing => say(self, 200, &[], effects),
                    Info::Unknown => {
                        let accept =
                            (Name::Accept, "application/dtmf-relay, application/dtmf".to_owned());
                        say(self, 415, &[accept], effects);
                    }
                }
            }
            Method::Invite | Method::Update => self.change(now, hop, id, request, server, effects),
            Method::Register | Method::Ack | Method::Cancel | Method::Other(_) => {
                say(self, 403, &[], effects);
            }
        }
    }

    /// A re-INVITE or an UPDATE: another description, another address, or a sign of life.
    fn change(
        &mut self,
        now: Instant,
        hop: Hop,
        id: CallId,
        request: Request,
        server: u64,
        effects: &mut Effects,
    ) {
        let body = body_of(&request);
        let is_invite = request.method == Method::Invite;
        let changes_sound = is_invite || body != Body::Nothing;
        if let Err((code, extra)) = self.judge_change(id, is_invite, &body) {
            return self.reply(now, server, &hop, &request, code, &extra, effects);
        }
        let terms = self.terms_asked(&request);
        let Some(call) = self.calls.get_mut(&id) else { return };
        let (terms, sound) = match (terms, call.sound.as_mut()) {
            (Ok(terms), Some(sound)) => (terms, sound),
            (Err((code, extra)), _) => {
                return self.reply(now, server, &hop, &request, code, &extra, effects);
            }
            (Ok(_), None) => return self.reply(now, server, &hop, &request, 500, &[], effects),
        };

        let has_offer = is_invite && body == Body::Nothing;
        match &body {
            Body::Description(offer) => {
                if sound.answer(offer).is_err() {
                    return self.reply(now, server, &hop, &request, 488, &[], effects);
                }
            }
            Body::Nothing if is_invite => sound.offer(),
            Body::Nothing => {}
            Body::Refused(code, extra) => {
                return self.reply(now, server, &hop, &request, *code, extra, effects);
            }
        }
        call.dialog.move_to(&hop, request.contact().ok());
        call.timer = terms.map(|terms| terms.begin(now));

        let mut reply = request.reply(&hop, 200, "");
        write_dialog(&mut reply, &request, contact(&self.settings, &hop));
        reply.push(Name::Supported, "timer");
        if let Some(terms) = terms {
            terms.write(&mut reply);
        }
        if changes_sound {
            write_description(&mut reply, &sound.text);
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

    /// Whether a change may be made now (RFC 3261, 14.2; RFC 3311, 5.2).
    fn judge_change(
        &mut self,
        id: CallId,
        is_invite: bool,
        body: &Body,
    ) -> Result<(), (u16, Extra)> {
        let retry_after = (Name::RetryAfter, self.ids.upto(RETRY_SECONDS_MAX).to_string());
        let Some(call) = self.calls.get(&id) else { return Ok(()) };
        let changes_sound = is_invite || *body != Body::Nothing;
        // The last INVITE is over when its ACK has come, not before.
        let is_open = |it: &Unacked| is_invite || (changes_sound && it.has_offer);
        if changes_sound && call.is_asking {
            return Err((491, vec![]));
        }
        let is_ringing = matches!(call.phase, Phase::Ringing(_)) && changes_sound;
        match is_ringing || call.unacked.as_ref().is_some_and(is_open) {
            true => Err((500, vec![retry_after])),
            false => Ok(()),
        }
    }

    /// The far end is gone: the engine is told, and the sound ends.
    pub(super) fn far_end_left(&mut self, id: CallId, effects: &mut Effects) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        match &call.phase {
            Phase::Ringing(_) | Phase::Up => {
                effects.push_back(Effect::Close { call: id });
                effects.push_back(Effect::Report(Report { call: id, heard: Heard::HungUp }));
            }
            // The engine has ended it before.
            Phase::Doomed(_) | Phase::Leaving => {}
        }
    }
}
