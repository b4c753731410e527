//! The signalling machine: every message, order and moment goes through [`Agent::handle`].
//!
//! What belongs to no call is answered here, mostly without keeping anything: a refusal costs no
//! memory, so a flood of strangers leaves none behind. Calls are in the files beside.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Instant,
};

use super::{
    call::Call,
    digest::Nonces,
    effect::{Command, Effect},
    error::Fault,
    ids::{Ids, Secret},
    message::{Message, Start},
    name::{Method, Name},
    registrar::Registrar,
    request::{Hop, Request, Unfit, reply, reply_hop, top_via},
    settings::Settings,
    timers::{Timer, Timers},
    transaction::{Clients, Key, Servers},
    uri::SipUri,
};
use crate::base::ids::CallId;

/// The signalling of all calls, without sockets and without a clock.
#[derive(Debug)]
pub struct Agent {
    pub(super) settings: Arc<Settings>,
    pub(super) ids: Ids,
    pub(super) nonces: Nonces,
    pub(super) servers: Servers,
    pub(super) clients: Clients,
    pub(super) timers: Timers,
    pub(super) calls: BTreeMap<CallId, Call>,
    /// By our tag.
    pub(super) dialogs: BTreeMap<String, CallId>,
    pub(super) registrar: Registrar,
    registrar_due: Option<Instant>,
    registered: usize,
    pub(super) is_draining: bool,
}

/// How much the machine holds.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Gauges {
    /// Calls, those included whose BYE is on its way.
    pub calls: usize,
    /// Transactions that still absorb what comes again.
    pub transactions: usize,
    /// Registered phones.
    pub registered: usize,
}

/// All methods that do something here.
pub const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, REGISTER, REFER";

/// Each holds its last reply for half a minute, a kilobyte or two; beyond, requests wait outside.
const TRANSACTIONS_MAX: usize = 131_072;

/// An empty message, which every SIP element passes over (RFC 3261, 7.5).
const KEEP_ALIVE: &[u8] = b"\r\n\r\n";

/// When a call may be tried again that we cannot take now.
const RETRY_AFTER_SECONDS: &str = "5";

pub(super) type Effects = VecDeque<Effect>;

impl Agent {
    /// Nothing has happened. The key must be random, and new for each process.
    pub fn new(now: Instant, settings: Arc<Settings>, key: Secret) -> Self {
        let of_nonces = Secret(blake3::derive_key("conflow SIP nonces", &key.0));
        let nonces = Nonces::new(now, &settings.realm, of_nonces);
        Self {
            nonces,
            settings,
            ids: Ids::new(key),
            servers: Servers::default(),
            clients: Clients::default(),
            timers: Timers::default(),
            calls: BTreeMap::new(),
            dialogs: BTreeMap::new(),
            registrar: Registrar::default(),
            registrar_due: None,
            registered: 0,
            is_draining: false,
        }
    }

    /// Takes in what has happened; what follows from it is added to the effects.
    pub fn handle(&mut self, now: Instant, command: Command, effects: &mut VecDeque<Effect>) {
        match command {
            Command::Received { hop, message } => self.receive(now, hop, message, effects),
            Command::Opened { call, port } => self.opened(now, call, port, effects),
            Command::Arrived { call, has_flow } => self.arrived(now, call, has_flow, effects),
            Command::Answer(call) => self.answer(now, call, effects),
            Command::EarlyMedia(call) => self.early_media(now, call, effects),
            Command::End(call, ending) => self.end(now, call, ending, effects),
            Command::Drain => self.is_draining = true,
            Command::Tick => self.tick(now, effects),
        }
        self.servers.check();
        debug_assert_eq!(self.dialogs.len(), self.calls.len(), "one tag for each call");
    }

    /// When [`Command::Tick`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.first()
    }

    /// How much is held; all zero when everything is over.
    pub fn gauges(&self) -> Gauges {
        Gauges {
            calls: self.calls.len(),
            transactions: self.servers.count() + self.clients.count(),
            registered: self.registered,
        }
    }

    fn tick(&mut self, now: Instant, effects: &mut Effects) {
        while let Some(timer) = self.timers.pop(now) {
            match timer {
                Timer::Server(id) => self.servers.tick(now, id, &mut self.timers, effects),
                Timer::Client(id) => self.client_tick(now, id, effects),
                Timer::Call(id) => self.call_tick(now, id, effects),
                Timer::Registrar => {
                    self.registrar_due = None;
                    for hop in self.registrar.tick(now) {
                        let bytes = KEEP_ALIVE.into();
                        effects.push_back(Effect::Send { hop, bytes });
                    }
                    self.watch_registrar();
                }
            }
        }
    }

    fn receive(&mut self, now: Instant, hop: Hop, message: Message, effects: &mut Effects) {
        let method = match &message.start {
            Start::Status { code, .. } => {
                let code = *code;
                return self.receive_reply(now, hop, code, message, effects);
            }
            Start::Request { method, .. } => method.clone(),
        };
        match Request::read(message) {
            Ok(request) => self.receive_request(now, hop, request, effects),
            Err(_) if method == Method::Ack => {}
            Err(Unfit { fault, message }) => {
                // Without a Via that can be read, nobody knows where an answer goes.
                let Ok(via) = top_via(&message) else { return };
                let reply = reply(&message, &hop, fault.code, fault.reason, &self.ids.tag());
                send(&reply_hop(&via, &hop), &reply, effects);
            }
        }
    }

    fn receive_request(&mut self, now: Instant, hop: Hop, request: Request, effects: &mut Effects) {
        let key = Key::of(&request);
        match request.method {
            Method::Ack => {
                if !self.servers.acknowledge(now, &key, &mut self.timers) {
                    self.acked(now, &request, effects);
                }
                return;
            }
            Method::Cancel => return self.cancel(now, hop, &request, &key, effects),
            Method::Bye | Method::Info | Method::Invite | Method::Options => {}
            Method::Refer | Method::Register | Method::Update | Method::Other(_) => {}
        }
        if self.servers.absorb(&key, effects) {
            return;
        }
        if let Err((code, extra)) = self.judge(&request) {
            return self.refuse(&hop, &request, code, &extra, effects);
        }
        match request.to.tag().and_then(|tag| self.dialogs.get(tag)).copied() {
            Some(call) if self.calls.get(&call).is_some_and(|it| it.dialog.owns(&request)) => {
                self.receive_within(now, hop, call, request, key, effects);
            }
            Some(_) | None if request.to.tag().is_some() => {
                self.refuse(&hop, &request, 481, &[], effects);
            }
            Some(_) | None => self.receive_outside(now, hop, request, key, effects),
        }
    }

    /// What every request must be, whatever it asks (RFC 3261, 8.2).
    fn judge(&self, request: &Request) -> Result<(), (u16, Extra)> {
        if matches!(request.method, Method::Other(_)) {
            return Err((405, vec![(Name::Allow, ALLOW.to_owned())]));
        }
        match request.hops_left() {
            Ok(Some(0)) => return Err((483, vec![])),
            Ok(_) => {}
            Err(_) => return Err((400, vec![])),
        }
        if request.uri.sip().is_none_or(|uri| uri.is_secure) {
            return Err((416, vec![]));
        }
        let unknown: Vec<_> = request
            .message
            .words(&Name::Require)
            .filter(|it| !it.eq_ignore_ascii_case("timer"))
            .collect();
        if !unknown.is_empty() {
            return Err((420, vec![(Name::Unsupported, unknown.join(", "))]));
        }
        // Calls that are up may go on a little longer than new ones may come.
        let is_new = request.to.tag().is_none();
        let limit = if is_new { TRANSACTIONS_MAX } else { 2 * TRANSACTIONS_MAX };
        if self.servers.count() >= limit {
            return Err((503, retry_after()));
        }
        Ok(())
    }

    fn receive_outside(
        &mut self,
        now: Instant,
        hop: Hop,
        request: Request,
        key: Key,
        effects: &mut Effects,
    ) {
        match request.method {
            Method::Invite => self.invite(now, hop, request, key, effects),
            Method::Options if self.is_draining => {
                self.refuse(&hop, &request, 503, &retry_after(), effects);
            }
            Method::Options => self.refuse(&hop, &request, 200, &abilities(), effects),
            Method::Register => self.register(now, hop, request, key, effects),
            Method::Refer => self.refuse(&hop, &request, 603, &[], effects),
            Method::Bye | Method::Info | Method::Update => {
                self.refuse(&hop, &request, 481, &[], effects);
            }
            // These three never come here.
            Method::Ack | Method::Cancel | Method::Other(_) => {}
        }
    }

    fn register(
        &mut self,
        now: Instant,
        hop: Hop,
        request: Request,
        key: Key,
        effects: &mut Effects,
    ) {
        let user = match self.authenticate(now, &hop, &request) {
            Ok(user) => user,
            Err(challenge) => return self.refuse(&hop, &request, 401, &challenge, effects),
        };
        let is_own = request.to.uri.sip().and_then(SipUri::user_plain).as_deref() == Some(&*user);
        let limits = self.settings.register_for;
        let done = match is_own {
            true => self.registrar.register(now, &user, &request, &hop, limits),
            false => Err(Fault { code: 403, reason: "Not Your Address" }),
        };
        let (code, mut extra) = match done {
            Ok(()) => (200, vec![]),
            Err(fault) => (fault.code, vec![]),
        };
        if code == 423 {
            extra.push((Name::MinExpires, limits.0.as_secs().to_string()));
        }
        if code == 200 {
            for it in self.registrar.bindings(now, &user) {
                let seconds = (it.ends_at - now).as_secs();
                extra.push((Name::Contact, format!("<{}>;expires={seconds}", it.contact)));
            }
        }
        self.watch_registrar();
        let server = self.servers.begin(&request, key, &hop, None);
        self.reply(now, server, &hop, &request, code, &extra, effects);
    }

    fn watch_registrar(&mut self) {
        self.registered = self.registrar.count();
        let at = self.registrar.deadline();
        self.timers.set(Timer::Registrar, &mut self.registrar_due, at);
    }

    /// A reply that is remembered, and sent again if its request comes again.
    #[expect(clippy::too_many_arguments, reason = "the parts of one reply")]
    pub(super) fn reply(
        &mut self,
        now: Instant,
        server: u64,
        hop: &Hop,
        request: &Request,
        code: u16,
        extra: &[(Name, String)],
        effects: &mut Effects,
    ) {
        let reply = self.reply_to(hop, request, code, extra);
        let kind = (code, request.method == Method::Invite);
        self.servers.reply(now, server, kind, reply.to_bytes().into(), &mut self.timers, effects);
    }

    /// A reply that is not remembered: if its request comes again, it is made anew.
    pub(super) fn refuse(
        &mut self,
        hop: &Hop,
        request: &Request,
        code: u16,
        extra: &[(Name, String)],
        effects: &mut Effects,
    ) {
        let reply = self.reply_to(hop, request, code, extra);
        send(&reply_hop(&request.via, hop), &reply, effects);
    }

    fn reply_to(
        &self,
        hop: &Hop,
        request: &Request,
        code: u16,
        extra: &[(Name, String)],
    ) -> Message {
        let branch = request.via.branch().unwrap_or_default();
        let mut reply = request.reply(hop, code, &self.ids.tag_of(&request.call_id, branch));
        reply.headers.extend_from_slice(extra);
        reply
    }
}

/// Headers of a reply beyond those that all have.
pub(super) type Extra = Vec<(Name, String)>;

/// When to come back.
pub(super) fn retry_after() -> Extra {
    vec![(Name::RetryAfter, RETRY_AFTER_SECONDS.to_owned())]
}

/// What we can do, for OPTIONS.
pub(super) fn abilities() -> Extra {
    vec![
        (Name::Allow, ALLOW.to_owned()),
        (Name::Accept, "application/sdp, application/dtmf-relay".to_owned()),
        (Name::Supported, "timer".to_owned()),
    ]
}

pub(super) fn send(hop: &Hop, message: &Message, effects: &mut Effects) {
    effects.push_back(Effect::Send { hop: *hop, bytes: message.to_bytes().into() });
}
