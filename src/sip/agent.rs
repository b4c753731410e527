//! SIP agent: the state machine that handles every message, order and timer, in [`Agent::handle`].
//!
//! Requests outside of calls are answered here, mostly without state: a refusal costs no memory, so
//! a flood from strangers leaves nothing. Calls are handled in `invite`, `within` and `ending`.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    ALLOW,
    attempt::{Attempts, OutgoingLeg},
    body::capabilities,
    call::LivenessQueue,
    call_table::CallTable,
    digest::Nonces,
    effect::{Command, Effect},
    error::SipError,
    ids::{SipIds, SipSecret},
    keep_alive::PING,
    message::{SipMessage, StartLine},
    name::{HeaderName, SipMethod},
    nonce_cache::NonceCache,
    note::{MessageDrop, SipNote},
    registrar::{Binding, Registrar},
    request::{Hop, InvalidRequest, SipRequest, reply, reply_hop, top_via},
    resolve::ResolvedAddress,
    settings::Settings,
    text::readable,
    throttle::Guesses,
    timers::{Timer, Timers},
    transaction::{ClientTransactions, ServerTransactions, TransactionKey},
    trunk_usage::{EarlierTime, TrunkUsage},
    upkeep::Upkeep,
    uri::{SipUri, Uri},
};
use crate::base::ids::CallId;

/// The signalling of all calls; it has neither sockets nor a clock.
#[derive(Debug)]
pub struct Agent {
    pub(super) settings: Arc<Settings>,
    pub(super) ids: SipIds,
    pub(super) nonces: Nonces,
    pub(super) guesses: Guesses,
    pub(super) servers: ServerTransactions,
    pub(super) clients: ClientTransactions,
    pub(super) timers: Timers,
    pub(super) calls: CallTable,
    /// Calls by our dialog tag.
    pub(super) dialogs: BTreeMap<String, CallId>,
    /// Calls of ours that have not been answered.
    pub(super) outgoing: BTreeMap<CallId, OutgoingLeg>,
    pub(super) attempts: Attempts,
    /// The calls that wait for an answer to [`Effect::Resolve`] or [`Effect::Route`], by its number.
    pub(super) questions: BTreeMap<u64, CallId>,
    pub(super) last_question: u64,
    /// Servers that get no calls until this time.
    pub(super) kept_out: BTreeMap<ResolvedAddress, Instant>,
    /// For calls to servers that ask for a password.
    pub(super) nonce_cache: NonceCache,
    pub(super) upkeep: Upkeep,
    pub(super) usage: TrunkUsage,
    pub(super) queue_due: Option<Instant>,
    pub(super) liveness: LivenessQueue,
    pub(super) registrar: Registrar,
    registrar_due: Option<Instant>,
    registered: usize,
    pub(super) is_draining: bool,
}

/// Figures about the agent's state.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct SipGauges {
    /// Calls, including those whose BYE awaits its answer.
    pub calls: usize,
    /// Transactions, including finished ones that still absorb retransmissions.
    pub transactions: usize,
    /// Bindings of registered phones that have not expired.
    pub registered: usize,
}

/// A registered phone, as others see it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BoundPhone {
    /// Its Contact, a URI.
    pub contact: String,
    /// Its User-Agent; empty if it has not said.
    pub user_agent: String,
    /// The time until the registration expires.
    pub ends_in: Duration,
}

/// Limit of transactions; beyond it, requests get a 503. Each keeps its last reply, a kilobyte or
/// two, for half a minute.
const TRANSACTIONS_MAX: usize = 131_072;

/// Limit of bindings from which on users without an endpoint are refused: nobody knows who they are.
const FREE_MAX: usize = 10_000;

/// `Retry-After` for calls that we cannot take now.
const RETRY_AFTER_SECONDS: &str = "5";

pub(super) type Effects = VecDeque<Effect>;

impl Agent {
    /// Creates an agent without calls. `key` must be random, and new for each process.
    pub fn new(now: Instant, settings: Arc<Settings>, key: SipSecret) -> Self {
        let of_nonces = SipSecret(blake3::derive_key("conflow SIP nonces", &key.0));
        let nonces = Nonces::new(now, &settings.realm, of_nonces);
        let mut it = Self {
            nonces,
            guesses: Guesses::default(),
            settings,
            ids: SipIds::new(key),
            servers: ServerTransactions::default(),
            clients: ClientTransactions::default(),
            timers: Timers::default(),
            calls: CallTable::default(),
            dialogs: BTreeMap::new(),
            outgoing: BTreeMap::new(),
            attempts: Attempts::default(),
            questions: BTreeMap::new(),
            last_question: 0,
            kept_out: BTreeMap::new(),
            nonce_cache: NonceCache::default(),
            upkeep: Upkeep::default(),
            usage: TrunkUsage::default(),
            queue_due: None,
            liveness: LivenessQueue::default(),
            registrar: Registrar::default(),
            registrar_due: None,
            registered: 0,
            is_draining: false,
        };
        // Nothing is to be taken back.
        it.keep_up_trunks(now, &mut Effects::new());
        it
    }

    /// Handles one command and appends its effects, in order.
    pub fn handle(&mut self, now: Instant, command: Command, effects: &mut VecDeque<Effect>) {
        match command {
            Command::Received { hop, message } => self.receive(now, hop, message, effects),
            Command::Opened { call, port } => self.opened(now, call, port, effects),
            Command::Arrived { call, status } => self.arrived(now, call, status, effects),
            Command::Answer(call) => self.answer(now, call, effects),
            Command::EarlyMedia(call) => self.early_media(now, call, effects),
            Command::Dial { call, account, dialling } => {
                self.dial(now, call, &account, dialling, effects);
            }
            Command::Resolved { id, addresses } => self.resolved(now, id, addresses, effects),
            Command::Routed { id, hop } => self.routed(now, id, hop, effects),
            Command::Closed { link } => self.closed(now, link, effects),
            Command::End(call, ending) => self.end(now, call, ending, effects),
            Command::Drain => {
                self.is_draining = true;
                self.unregister(now, effects);
            }
            Command::Configure(peers) => {
                for user in self.settings.users_to_forget(&peers.endpoints) {
                    self.registrar.forget(&user);
                }
                self.watch_registrar();
                Arc::make_mut(&mut self.settings).set_peers(peers);
                self.keep_up_trunks(now, effects);
            }
            Command::Tick => self.tick(now, effects),
        }
        if self.usage.take_freed() {
            self.serve_queues(now, effects);
        }
        effects.extend(self.usage.take_talked().into_iter().map(Effect::Talked));
        self.servers.check();
        debug_assert_eq!(self.dialogs.len(), self.calls.len(), "one tag for each call");
    }

    /// Counts the minutes through trunks that an earlier process has noted.
    pub fn recall_minutes(&mut self, now: Instant, earlier: Vec<EarlierTime>) {
        self.usage.recall(now, earlier);
    }

    /// Returns when [`Command::Tick`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.first()
    }

    /// Returns the current figures; all are zero when everything has ended.
    pub fn gauges(&self) -> SipGauges {
        SipGauges {
            calls: self.calls.len() + self.outgoing.len(),
            transactions: self.servers.count() + self.clients.count() + self.attempts.count(),
            registered: self.registered,
        }
    }

    fn tick(&mut self, now: Instant, effects: &mut Effects) {
        while let Some(timer) = self.timers.pop(now) {
            match timer {
                Timer::Server(id) => self.servers.tick(now, id, &mut self.timers, effects),
                Timer::Client(id) => self.client_tick(now, id, effects),
                Timer::Call(id) => self.call_tick(now, id, effects),
                Timer::Attempt(id) => self.attempt_tick(now, id, effects),
                Timer::Upkeep => self.upkeep_tick(now, effects),
                Timer::Liveness => self.liveness_tick(now, effects),
                Timer::TrunkQueue => {
                    self.queue_due = None;
                    self.serve_queues(now, effects);
                }
                Timer::Registrar => {
                    self.registrar_due = None;
                    for hop in self.registrar.tick(now) {
                        let bytes = PING.into();
                        effects.push_back(Effect::Send { hop, bytes });
                    }
                    self.watch_registrar();
                }
            }
        }
    }

    fn receive(&mut self, now: Instant, hop: Hop, message: SipMessage, effects: &mut Effects) {
        let method = match &message.start {
            StartLine::Status { code, .. } => {
                let code = *code;
                if !self.receive_reply(now, hop, code, message, effects) {
                    note_drop(&hop, MessageDrop::StrayResponse, effects);
                }
                return;
            }
            StartLine::Request { method, .. } => method.clone(),
        };
        if let Some(error) = message.left_out.clone() {
            effects.push_back(Effect::Note(SipNote::LeftOut { peer: hop.remote, error }));
        }
        match SipRequest::read(message) {
            Ok(request) => self.receive_request(now, hop, request, effects),
            Err(_) if method == SipMethod::Ack => note_drop(&hop, MessageDrop::StrayAck, effects),
            Err(InvalidRequest { error, message }) => {
                // Without a readable Via there is no address to reply to.
                let Ok(via) = top_via(&message) else {
                    return note_drop(&hop, MessageDrop::NoVia, effects);
                };
                let reply = reply(&message, &hop, error.code, error.reason, &self.ids.tag());
                send(&reply_hop(&via, &hop), &reply, effects);
                note_refusal(&hop, &method, error.code, error.reason.to_owned(), effects);
            }
        }
    }

    fn receive_request(
        &mut self,
        now: Instant,
        hop: Hop,
        request: SipRequest,
        effects: &mut Effects,
    ) {
        let key = TransactionKey::of(&request);
        match request.method {
            SipMethod::Ack => {
                let is_of_refusal = self.servers.acknowledge(now, &key, &mut self.timers);
                if !is_of_refusal && !self.acked(now, &hop, &request, effects) {
                    note_drop(&hop, MessageDrop::StrayAck, effects);
                }
                return;
            }
            SipMethod::Cancel => return self.cancel(now, hop, &request, &key, effects),
            SipMethod::Bye | SipMethod::Info | SipMethod::Invite | SipMethod::Options => {}
            SipMethod::Refer | SipMethod::Register | SipMethod::Update | SipMethod::Other(_) => {}
        }
        if self.servers.absorb(&key, effects) {
            return;
        }
        if let Err((code, extra)) = self.check_request(&hop, &request) {
            return self.refuse(&hop, &request, code, &extra, effects);
        }
        match request.to.tag().and_then(|tag| self.dialogs.get(tag)).copied() {
            Some(call) if self.calls.get(&call).is_some_and(|it| it.dialog.owns(&request)) => {
                self.receive_in_dialog(now, hop, call, request, key, effects);
            }
            None if self.receive_early(&hop, &request, effects) => {}
            Some(_) | None if request.to.tag().is_some() => {
                self.refuse(&hop, &request, 481, &[], effects);
            }
            Some(_) | None => self.receive_out_of_dialog(now, hop, request, key, effects),
        }
    }

    /// Checks common to all requests (RFC 3261, 8.2).
    fn check_request(&self, hop: &Hop, request: &SipRequest) -> Result<(), (u16, ExtraHeaders)> {
        if matches!(request.method, SipMethod::Other(_)) {
            return Err((405, vec![(HeaderName::Allow, ALLOW.to_owned())]));
        }
        if request.is_spent() {
            return Err((483, vec![]));
        }
        let is_known = match &request.uri {
            Uri::Sip(uri) => hop.may_name(uri),
            // A number, as carriers call it (RFC 3966). Only a call can reach one.
            Uri::Other { scheme, .. } => scheme == "tel" && request.method == SipMethod::Invite,
        };
        if !is_known {
            return Err((416, vec![]));
        }
        let unknown: Vec<_> = request
            .message
            .words(&HeaderName::Require)
            .filter(|it| !it.eq_ignore_ascii_case("timer"))
            .collect();
        if !unknown.is_empty() {
            return Err((420, vec![(HeaderName::Unsupported, unknown.join(", "))]));
        }
        // Requests of existing calls get more room than new calls.
        let is_new = request.to.tag().is_none();
        let limit = if is_new { TRANSACTIONS_MAX } else { 2 * TRANSACTIONS_MAX };
        if self.servers.count() >= limit {
            return Err((503, retry_after()));
        }
        Ok(())
    }

    fn receive_out_of_dialog(
        &mut self,
        now: Instant,
        hop: Hop,
        request: SipRequest,
        key: TransactionKey,
        effects: &mut Effects,
    ) {
        match request.method {
            SipMethod::Invite => self.invite(now, hop, request, key, effects),
            SipMethod::Options if self.is_draining => {
                self.refuse(&hop, &request, 503, &retry_after(), effects);
            }
            SipMethod::Options => self.refuse(&hop, &request, 200, &capabilities(), effects),
            SipMethod::Register => self.register(now, hop, request, key, effects),
            SipMethod::Refer => self.refuse(&hop, &request, 603, &[], effects),
            SipMethod::Bye | SipMethod::Info | SipMethod::Update => {
                self.refuse(&hop, &request, 481, &[], effects);
            }
            // These three are handled before.
            SipMethod::Ack | SipMethod::Cancel | SipMethod::Other(_) => {}
        }
    }

    fn register(
        &mut self,
        now: Instant,
        hop: Hop,
        request: SipRequest,
        key: TransactionKey,
        effects: &mut Effects,
    ) {
        let own = request.to.uri.sip().and_then(SipUri::user_unescaped).unwrap_or_default();
        let user = match self.admit_registration(now, &hop, &request, &own) {
            Ok(user) => user,
            Err(challenge) => return self.refuse(&hop, &request, 401, &challenge, effects),
        };
        let is_known = self.registrar.bindings(now, &user).next().is_some();
        if !is_known && self.settings.endpoint(&user).is_none() && FREE_MAX <= self.registered {
            return self.refuse(&hop, &request, 503, &retry_after(), effects);
        }
        let limits = self.settings.register_for;
        let done = match *own == *user {
            true => self.registrar.register(now, &user, &request, &hop, limits),
            false => Err(SipError { code: 403, reason: "Not Your Address" }),
        };
        let (code, mut extra) = match done {
            Ok(()) => (200, vec![]),
            Err(error) => (error.code, vec![warning(&hop, error.reason)]),
        };
        if code == 423 {
            extra.push((HeaderName::MinExpires, limits.0.as_secs().to_string()));
        }
        if code == 200 {
            self.find_again(now, &hop, &request);
            for it in self.registrar.bindings(now, &user) {
                let seconds = (it.ends_at - now).as_secs();
                extra.push((HeaderName::Contact, format!("<{}>;expires={seconds}", it.contact)));
            }
        }
        self.watch_registrar();
        let server = self.servers.begin(&request, key, &hop, None);
        self.reply(now, server, &hop, &request, code, &extra, effects);
    }

    /// Returns the phone of each user that has registered last, if it has not expired.
    pub fn phones(&self, now: Instant, users: &[String]) -> Vec<Option<BoundPhone>> {
        let phone = |it: &Binding| BoundPhone {
            contact: readable(&it.contact.to_string()),
            user_agent: it.user_agent.clone(),
            ends_in: it.ends_at - now,
        };
        users.iter().map(|user| self.registrar.bindings(now, user).last().map(phone)).collect()
    }

    pub(super) fn watch_registrar(&mut self) {
        self.registered = self.registrar.count();
        let at = self.registrar.deadline();
        self.timers.set(Timer::Registrar, &mut self.registrar_due, at);
    }

    /// Sends a reply and keeps it, to be sent again when its request is retransmitted.
    #[expect(clippy::too_many_arguments, reason = "the parts of one reply")]
    pub(super) fn reply(
        &mut self,
        now: Instant,
        server: u64,
        hop: &Hop,
        request: &SipRequest,
        code: u16,
        extra: &[(HeaderName, String)],
        effects: &mut Effects,
    ) {
        let reply = self.reply_to(hop, request, code, extra);
        let kind = (code, request.method == SipMethod::Invite);
        self.servers.reply(now, server, kind, reply.to_bytes().into(), &mut self.timers, effects);
        note_reply(hop, request, code, extra, effects);
    }

    /// Sends a reply without keeping it: a retransmitted request gets a new one.
    pub(super) fn refuse(
        &mut self,
        hop: &Hop,
        request: &SipRequest,
        code: u16,
        extra: &[(HeaderName, String)],
        effects: &mut Effects,
    ) {
        let reply = self.reply_to(hop, request, code, extra);
        send(&reply_hop(&request.via, hop), &reply, effects);
        note_reply(hop, request, code, extra, effects);
    }

    fn reply_to(
        &self,
        hop: &Hop,
        request: &SipRequest,
        code: u16,
        extra: &[(HeaderName, String)],
    ) -> SipMessage {
        let branch = request.via.branch().unwrap_or_default();
        let mut reply = request.reply(hop, code, &self.ids.tag_of(&request.call_id, branch));
        reply.headers.extend_from_slice(extra);
        reply
    }
}

/// Headers of a reply beyond those that every reply has.
pub(super) type ExtraHeaders = Vec<(HeaderName, String)>;

pub(super) fn retry_after() -> ExtraHeaders {
    vec![(HeaderName::RetryAfter, RETRY_AFTER_SECONDS.to_owned())]
}

/// A Warning header that tells the sender what is wrong (RFC 3261, 20.43; 399 is "miscellaneous").
pub(super) fn warning(hop: &Hop, error: &str) -> (HeaderName, String) {
    (HeaderName::Warning, format!("399 {} \"{error}\"", hop.local.ip()))
}

fn note_drop(hop: &Hop, why: MessageDrop, effects: &mut Effects) {
    let note = SipNote::Dropped { peer: hop.remote, why, error: "" };
    effects.push_back(Effect::Note(note));
}

/// Notes a refusal that is the request's own doing.
pub(super) fn note_reply(
    hop: &Hop,
    request: &SipRequest,
    code: u16,
    extra: &[(HeaderName, String)],
    effects: &mut Effects,
) {
    if !matches!(code, 400 | 405 | 406 | 415 | 416 | 420 | 422 | 423 | 482 | 483 | 488) {
        return;
    }
    let told =
        extra.iter().find(|it| matches!(it.0, HeaderName::Warning | HeaderName::Unsupported));
    let error = match (code, told) {
        (415, _) => {
            format!("Content-Type {:?}", request.get(&HeaderName::ContentType).unwrap_or_default())
        }
        (_, Some((name, text))) => format!("{}: {text}", name.as_str()),
        (_, None) => super::request::phrase(code).to_owned(),
    };
    note_refusal(hop, &request.method, code, error, effects);
}

fn note_refusal(hop: &Hop, method: &SipMethod, code: u16, error: String, effects: &mut Effects) {
    let (peer, method) = (hop.remote, readable(method.as_str()));
    let note = SipNote::Refused { peer, method, code, error: readable(&error) };
    effects.push_back(Effect::Note(note));
}

pub(super) fn send(hop: &Hop, message: &SipMessage, effects: &mut Effects) {
    effects.push_back(Effect::Send { hop: *hop, bytes: message.to_bytes().into() });
}
