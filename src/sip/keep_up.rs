//! Keeping trunks up: carries out what registrations and probes want, and gives them their answers.

use std::{sync::Arc, time::Instant};

use super::{
    agent::{Agent, Effects},
    effect::{Effect, TlsName},
    keep_alive::PING,
    message::{SipMessage, StartLine},
    name::{HeaderName, SipMethod},
    note::SipNote,
    registration::{Registration, RegistrationWant},
    request::{Hop, Transport},
    resolve::ResolvedAddress,
    settings::Settings,
    timers::Timer,
    transaction::ClientTransaction,
    trunk::{OutboundTrunk, TrunkTarget},
    upkeep::{AnswerFor, TrunkStatus, Upkeep, UpkeepAnswer},
};

impl Agent {
    /// Begins to register at the trunks and to probe them. What has begun before goes on if the
    /// settings of its trunk are still the same, and ends if not.
    pub(super) fn keep_up_trunks(&mut self, now: Instant, effects: &mut Effects) {
        let settings = self.settings.clone();
        let is_kept = |name: &Arc<str>, before: &Arc<OutboundTrunk>| {
            let mut trunks = settings.trunks.iter();
            trunks.any(|it| it.name == *name && it.outbound.as_ref() == Some(before))
        };
        let probes = &mut self.upkeep.probes;
        let ended = probes.retain(|it| is_kept(&it.trunk, &it.settings));
        self.forget_requests(SipMethod::Options, ended);
        let all = self.upkeep.registrations.iter();
        let gone: Vec<_> =
            all.filter(|(_, it)| !is_kept(&it.trunk, &it.settings)).map(|it| *it.0).collect();
        for id in gone {
            self.leave(now, id, effects);
        }
        let trunks = settings.trunks.iter();
        for (name, outbound) in trunks.filter_map(|it| Some((&it.name, it.outbound.as_ref()?))) {
            let upkeep = &mut self.upkeep;
            if !upkeep.probes.targets().any(|(it, _)| it.trunk == *name) {
                upkeep.probes.add(now, name, outbound, &mut self.ids);
            }
            let is_there = |it: &Registration| it.trunk == *name && !it.is_leaving;
            if self.is_draining || upkeep.registrations.values().any(is_there) {
                continue;
            }
            if let Some(it) = Registration::new(now, name, outbound, &mut self.ids) {
                upkeep.last += 1;
                upkeep.registrations.insert(upkeep.last, it);
            }
        }
        self.rearm_upkeep();
    }

    /// Takes all registrations back: no calls should come any more.
    pub(super) fn unregister(&mut self, now: Instant, effects: &mut Effects) {
        let all: Vec<_> = self.upkeep.registrations.keys().copied().collect();
        for id in all {
            self.leave(now, id, effects);
        }
        self.rearm_upkeep();
    }

    fn leave(&mut self, now: Instant, id: u64, effects: &mut Effects) {
        let Some(it) = self.upkeep.registrations.get_mut(&id) else { return };
        let want = it.leave();
        self.satisfy(now, id, want, effects);
    }

    /// Whether registrations are being taken back, and servers have not confirmed it.
    pub fn is_unregistering(&self) -> bool {
        self.upkeep.registrations.values().any(|it| it.is_leaving)
    }

    /// Returns what is known of the trunks through which calls leave, if it may have changed since this
    /// was called last.
    pub fn trunk_changes(&mut self) -> Option<Vec<TrunkStatus>> {
        std::mem::take(&mut self.upkeep.has_changed).then(|| self.trunks())
    }

    /// Returns what is known of the trunks through which calls leave.
    pub fn trunks(&self) -> Vec<TrunkStatus> {
        let status = |(name, outbound): (&Arc<str>, &Arc<OutboundTrunk>)| {
            let mut all = self.upkeep.registrations.values();
            let is_registered = all.any(|it| it.trunk == *name && it.is_registered());
            let targets = self.upkeep.probes.targets().filter(|(it, _)| it.trunk == *name);
            TrunkStatus {
                trunk: name.clone(),
                is_registered: outbound.register.then_some(is_registered),
                targets: targets.map(|(it, is_up)| (it.target.uri.to_string(), is_up)).collect(),
            }
        };
        let trunks = self.settings.trunks.iter();
        trunks.filter_map(|it| Some((&it.name, it.outbound.as_ref()?))).map(status).collect()
    }

    /// The name of the trunk whose registration has a Contact with this user.
    pub(super) fn trunk_of_contact(&self, user: &str) -> Option<&Arc<str>> {
        let mut all = self.upkeep.registrations.values();
        all.find(|it| it.token == user).map(|it| &it.trunk)
    }

    /// An INVITE over this hop has found no answer.
    pub(super) fn was_silent(&mut self, hop: &Hop, effects: &mut Effects) {
        let to = ResolvedAddress::of(hop);
        let mut notes = Vec::new();
        self.upkeep.probes.was_silent(&to, &mut notes);
        effects.extend(notes.into_iter().map(Effect::Note));
    }

    /// Handles what is due of registrations and probes.
    pub(super) fn upkeep_tick(&mut self, now: Instant, effects: &mut Effects) {
        self.upkeep.due = None;
        let all: Vec<_> = self.upkeep.registrations.keys().copied().collect();
        for id in all {
            let Some(it) = self.upkeep.registrations.get_mut(&id) else { continue };
            if it.deadline().is_none_or(|at| now < at) {
                continue;
            }
            let (want, keep_alive) = it.tick(now, &mut self.ids);
            let bytes = PING.into();
            effects.extend(keep_alive.map(|hop| Effect::Send { hop, bytes }));
            self.satisfy(now, id, want, effects);
        }
        let mut notes = Vec::new();
        let (questions, ended) = self.upkeep.probes.tick(now, &mut self.ids, &mut notes);
        self.forget_requests(SipMethod::Options, ended);
        effects.extend(notes.into_iter().map(Effect::Note));
        for (id, query) in questions {
            self.ask(AnswerFor::Target(id), |id| Effect::Resolve { id, query }, effects);
        }
        self.rearm_upkeep();
    }

    fn ask(
        &mut self,
        answer_for: AnswerFor,
        effect: impl FnOnce(u64) -> Effect,
        effects: &mut Effects,
    ) {
        self.last_question += 1;
        self.upkeep.questions.insert(self.last_question, answer_for);
        effects.push_back(effect(self.last_question));
    }

    /// Does what a registration wants.
    fn satisfy(&mut self, now: Instant, id: u64, want: RegistrationWant, effects: &mut Effects) {
        let Some(it) = self.upkeep.registrations.get_mut(&id) else { return };
        let answer_for = AnswerFor::Registration(id);
        match want {
            RegistrationWant::Nothing => {}
            RegistrationWant::Resolve(query) => {
                self.ask(answer_for, |id| Effect::Resolve { id, query }, effects);
            }
            RegistrationWant::Route(to) => {
                let tls = tls_name(&to, &it.domain(), &it.settings);
                self.ask(answer_for, |id| Effect::Route { id, to, tls }, effects);
            }
            RegistrationWant::Register(hop) => {
                let branch = self.ids.branch();
                let message = it.request(&self.settings, hop, branch.clone());
                self.send_alone(now, SipMethod::Register, &branch, hop, &message, effects);
            }
            RegistrationWant::Over => drop(self.upkeep.registrations.remove(&id)),
        }
    }

    /// Sends a request that belongs to no call.
    fn send_alone(
        &mut self,
        now: Instant,
        method: SipMethod,
        branch: &str,
        hop: Hop,
        message: &SipMessage,
        effects: &mut Effects,
    ) {
        let bytes = message.to_bytes().into();
        let (clients, timers) = (&mut self.clients, &mut self.timers);
        clients.begin(now, None, method, branch, hop, bytes, timers, effects);
    }

    fn forget_requests(&mut self, method: SipMethod, branches: Vec<String>) {
        for branch in branches {
            self.clients.forget(&branch, &method, &mut self.timers);
        }
    }

    /// Handles an answer about a name or a way. Returns false if no registration or probe has asked for
    /// it.
    pub(super) fn upkeep_answered(
        &mut self,
        now: Instant,
        id: u64,
        answer: &UpkeepAnswer<'_>,
        effects: &mut Effects,
    ) -> bool {
        let Some(answer_for) = self.upkeep.questions.remove(&id) else { return false };
        match (answer_for, answer) {
            (AnswerFor::Registration(id), answer) => {
                self.with_registration(now, id, effects, |it, ids, notes| match answer {
                    UpkeepAnswer::Addresses(addresses) => it.resolved(now, addresses, ids, notes),
                    UpkeepAnswer::Way(hop) => it.routed(now, *hop, ids, notes),
                });
            }
            (AnswerFor::Target(id), UpkeepAnswer::Addresses(addresses)) => {
                for to in self.upkeep.probes.resolved(id, addresses) {
                    let Some(it) = self.upkeep.probes.target(id) else { break };
                    let tls = tls_name(&to, &it.settings.domain_of(&it.target), &it.settings);
                    let answer_for = AnswerFor::Probe(id, to);
                    self.ask(answer_for, |id| Effect::Route { id, to, tls }, effects);
                }
            }
            (AnswerFor::Probe(id, to), UpkeepAnswer::Way(hop)) => {
                self.probe(now, id, to, *hop, effects);
            }
            (AnswerFor::Target(_), UpkeepAnswer::Way(_))
            | (AnswerFor::Probe(..), UpkeepAnswer::Addresses(_)) => {}
        }
        self.rearm_upkeep();
        true
    }

    fn probe(
        &mut self,
        now: Instant,
        id: u64,
        to: ResolvedAddress,
        hop: Option<Hop>,
        effects: &mut Effects,
    ) {
        let Some(hop) = hop else {
            let mut notes = Vec::new();
            self.upkeep.probes.unsent(id, &to, &mut notes);
            return effects.extend(notes.into_iter().map(Effect::Note));
        };
        let Some(it) = self.upkeep.probes.target(id) else { return };
        let branch = self.ids.branch();
        let tags = [self.ids.tag(), self.ids.tag()];
        let message = options(&self.settings, &it.settings, &it.target, &hop, &branch, tags);
        self.upkeep.probes.sent(now, id, &to, hop, branch.clone());
        self.send_alone(now, SipMethod::Options, &branch, hop, &message, effects);
    }

    fn with_registration(
        &mut self,
        now: Instant,
        id: u64,
        effects: &mut Effects,
        change: impl FnOnce(
            &mut Registration,
            &mut super::ids::SipIds,
            &mut Vec<SipNote>,
        ) -> RegistrationWant,
    ) {
        let Some(it) = self.upkeep.registrations.get_mut(&id) else { return };
        let mut notes = Vec::new();
        let want = change(it, &mut self.ids, &mut notes);
        effects.extend(notes.into_iter().map(Effect::Note));
        self.satisfy(now, id, want, effects);
    }

    /// Handles the final response to a request that belongs to no call; None if there will be none.
    pub(super) fn upkeep_replied(
        &mut self,
        now: Instant,
        client: &ClientTransaction,
        reply: Option<(u16, &SipMessage)>,
        effects: &mut Effects,
    ) {
        let branch = client.branch();
        if client.method == SipMethod::Options {
            let mut notes = Vec::new();
            let code = reply.map_or(408, |(code, _)| code);
            let back = self.upkeep.probes.replied(branch, code, &mut notes);
            effects.extend(notes.into_iter().map(Effect::Note));
            for it in self.upkeep.registrations.values_mut() {
                back.iter().for_each(|to| it.is_back(now, to, &mut self.ids));
            }
        }
        let mut all = self.upkeep.registrations.iter();
        if let Some(id) = all.find(|(_, it)| it.awaits(branch)).map(|it| *it.0) {
            self.with_registration(now, id, effects, |it, ids, notes| match reply {
                Some((code, message)) => it.replied(now, code, message, ids, notes),
                None => it.lost(now, ids, notes),
            });
        }
        self.rearm_upkeep();
    }

    /// A connection has ended.
    pub(super) fn upkeep_closed(&mut self, now: Instant, link: u64, effects: &mut Effects) {
        let mut notes = Vec::new();
        let ended = self.upkeep.probes.closed(link, &mut notes);
        self.forget_requests(SipMethod::Options, ended);
        effects.extend(notes.into_iter().map(Effect::Note));
        let all: Vec<_> = self.upkeep.registrations.keys().copied().collect();
        for id in all {
            self.with_registration(now, id, effects, |it, ids, notes| {
                it.closed(now, link, ids);
                match it.awaits_over(link) {
                    true => it.lost(now, ids, notes),
                    false => RegistrationWant::Nothing,
                }
            });
        }
        self.rearm_upkeep();
    }

    fn rearm_upkeep(&mut self) {
        let Upkeep { registrations, probes, due, has_changed, .. } = &mut self.upkeep;
        *has_changed = true;
        let registrations = registrations.values().filter_map(Registration::deadline);
        let at = registrations.chain(probes.deadline()).min();
        self.timers.set(Timer::Upkeep, due, at);
    }
}

/// Whom TLS must reach at an address; None over other transports.
pub(super) fn tls_name(
    to: &ResolvedAddress,
    domain: &str,
    trunk: &OutboundTrunk,
) -> Option<TlsName> {
    let domain = domain.trim_matches(['[', ']']).into();
    let authorities = trunk.tls_ca.clone();
    (to.transport == Transport::Tls).then_some(TlsName { domain, authorities })
}

/// The probe of an address.
fn options(
    settings: &Settings,
    trunk: &OutboundTrunk,
    target: &TrunkTarget,
    hop: &Hop,
    branch: &str,
    [tag, call_id]: [String; 2],
) -> SipMessage {
    let uri = format!("sip:{}", trunk.domain_of(target));
    let us = settings.address(hop);
    let method = SipMethod::Options;
    let mut message = SipMessage::new(StartLine::Request { method, uri: uri.clone() });
    message.push(HeaderName::Via, settings.via(hop, branch));
    message.push(HeaderName::MaxForwards, "70");
    message.push(HeaderName::From, format!("<sip:conflow@{us}>;tag={tag}"));
    message.push(HeaderName::To, format!("<{uri}>"));
    message.push(HeaderName::CallId, call_id);
    message.push(HeaderName::CSeq, "1 OPTIONS");
    message.push(HeaderName::Contact, super::dialog::contact(settings, hop));
    message.push(HeaderName::Accept, "application/sdp");
    message.push(HeaderName::UserAgent, super::SERVER);
    message
}
