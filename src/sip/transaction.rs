//! Transactions: what is sent again, what is absorbed, and for how long (RFC 3261, section 17;
//! RFC 6026 for what follows a 200).

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    effect::Effect,
    name::Method,
    request::{Hop, Request, Transport, reply_hop},
    timers::{Timer, Timers},
    value::Via,
};
use crate::base::ids::CallId;

/// The round trip that is assumed.
pub const T1: Duration = Duration::from_millis(500);
/// What is sent again, is so at least this often.
pub const T2: Duration = Duration::from_secs(4);
/// How long a datagram may be on its way.
pub const T4: Duration = Duration::from_secs(5);
/// After this, the far end is not there.
pub const GIVE_UP: Duration = Duration::from_millis(64 * 500);

/// What tells a server transaction from all others (RFC 3261, 17.2.3).
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Key(String);

impl Key {
    /// The transaction of a request; for ACK and CANCEL, that of the INVITE they belong to.
    pub fn of(request: &Request) -> Self {
        Self::with(request, &request.method)
    }

    /// The transaction of a CANCEL itself.
    pub fn of_cancel(request: &Request) -> Self {
        Self::with(request, &Method::Other("CANCEL".into()))
    }

    fn with(request: &Request, method: &Method) -> Self {
        let Request { via, call_id, cseq, from, .. } = request;
        let is_of_invite = matches!(method, Method::Ack | Method::Cancel);
        let method = if is_of_invite { "INVITE" } else { method.as_str() };
        let sent_by = |via: &Via| format!("{}:{}", via.host, via.port.unwrap_or_default());
        Self(match via.branch() {
            Some(branch) => format!("{method} {branch} {}", sent_by(via)),
            // A sender of RFC 2543: no branch that is its own.
            None => {
                let tag = from.tag().unwrap_or_default();
                format!("{method} {call_id} {cseq} {tag} {} {}", request.uri, sent_by(via))
            }
        })
    }
}

/// The server transactions.
#[derive(Debug, Default)]
pub struct Servers {
    rows: BTreeMap<u64, Server>,
    ids: BTreeMap<Key, u64>,
    merges: BTreeMap<Merge, u64>,
    last: u64,
}

/// An INVITE that came over several ways is one call only (RFC 3261, 8.2.2.2).
type Merge = (String, String, u32);

#[derive(Debug)]
struct Server {
    key: Key,
    merge: Option<Merge>,
    hop: Hop,
    state: State,
    /// Sent again for a request that comes again.
    last: Option<Arc<[u8]>>,
    call: Option<CallId>,
    due: Option<Instant>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// No final reply yet.
    Open,
    /// A refusal of an INVITE waits for its ACK.
    Refused { resend: Duration, ends: Instant },
    /// All is said; requests that come again are absorbed until then.
    Over { ends: Instant },
}

impl Servers {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.rows.len()
    }

    /// Whether a request has been seen: if so, it is answered as before.
    pub fn absorb(&self, key: &Key, effects: &mut VecDeque<Effect>) -> bool {
        let Some(server) = self.ids.get(key).and_then(|id| self.rows.get(id)) else {
            return false;
        };
        if let Some(bytes) = &server.last {
            effects.push_back(Effect::Send { hop: server.hop, bytes: bytes.clone() });
        }
        true
    }

    /// Whether the same INVITE is here already, over another way.
    pub fn is_merged(&self, request: &Request) -> bool {
        self.merges.contains_key(&merge_of(request))
    }

    /// Begins a transaction.
    pub fn begin(&mut self, request: &Request, key: Key, hop: &Hop, call: Option<CallId>) -> u64 {
        self.last += 1;
        let is_first = request.method == Method::Invite && request.to.tag().is_none();
        let merge = is_first.then(|| merge_of(request));
        let hop = reply_hop(&request.via, hop);
        self.ids.insert(key.clone(), self.last);
        if let Some(merge) = merge.clone() {
            self.merges.insert(merge, self.last);
        }
        let server = Server { key, merge, hop, state: State::Open, last: None, call, due: None };
        self.rows.insert(self.last, server);
        self.last
    }

    /// The call of an INVITE.
    pub fn call_of(&self, key: &Key) -> Option<CallId> {
        self.rows.get(self.ids.get(key)?)?.call
    }

    /// Trips on a row that its indexes have forgotten, or that has forgotten them.
    pub fn check(&self) {
        debug_assert_eq!(self.ids.len(), self.rows.len(), "one key for each");
        debug_assert!(self.merges.len() <= self.rows.len(), "no INVITE that is gone");
    }

    /// Sends a reply. A 200 to an INVITE is sent again by the call, not from here.
    pub fn reply(
        &mut self,
        now: Instant,
        id: u64,
        (code, is_invite): (u16, bool),
        bytes: Arc<[u8]>,
        timers: &mut Timers,
        effects: &mut VecDeque<Effect>,
    ) {
        let Some(server) = self.rows.get_mut(&id) else { return };
        effects.push_back(Effect::Send { hop: server.hop, bytes: bytes.clone() });
        if code < 200 {
            server.last = Some(bytes);
            return;
        }
        let over = State::Over { ends: now + GIVE_UP };
        server.state = match (is_invite, code) {
            (true, 200..=299) => {
                server.last = None;
                over
            }
            (true, _) => {
                server.last = Some(bytes);
                State::Refused { resend: T1, ends: now + GIVE_UP }
            }
            (false, _) => {
                server.last = Some(bytes);
                over
            }
        };
        let at = match (server.state, server.hop.transport) {
            (State::Refused { resend, .. }, Transport::Udp) => now + resend,
            (State::Refused { ends, .. } | State::Over { ends }, _) => ends,
            (State::Open, _) => return,
        };
        timers.set(Timer::Server(id), &mut server.due, Some(at));
    }

    /// An ACK for a refusal has come: true if it belongs here.
    pub fn acknowledge(&mut self, now: Instant, key: &Key, timers: &mut Timers) -> bool {
        let Some(&id) = self.ids.get(key) else { return false };
        let Some(server) = self.rows.get_mut(&id) else { return false };
        let State::Refused { .. } = server.state else { return false };
        let ends = now + T4;
        server.state = State::Over { ends };
        server.last = None;
        timers.set(Timer::Server(id), &mut server.due, Some(ends));
        true
    }

    /// A transaction's time has come.
    pub fn tick(
        &mut self,
        now: Instant,
        id: u64,
        timers: &mut Timers,
        effects: &mut VecDeque<Effect>,
    ) {
        let Some(server) = self.rows.get_mut(&id) else { return };
        server.due = None;
        match &mut server.state {
            State::Refused { resend, ends } if now < *ends => {
                *resend = (*resend * 2).min(T2);
                let at = (now + *resend).min(*ends);
                if let Some(bytes) = &server.last {
                    effects.push_back(Effect::Send { hop: server.hop, bytes: bytes.clone() });
                }
                timers.set(Timer::Server(id), &mut server.due, Some(at));
            }
            State::Open => {}
            State::Refused { .. } | State::Over { .. } => self.remove(id),
        }
    }

    fn remove(&mut self, id: u64) {
        let Some(server) = self.rows.remove(&id) else { return };
        self.ids.remove(&server.key);
        if let Some(merge) = server.merge {
            self.merges.remove(&merge);
        }
    }
}

fn merge_of(request: &Request) -> Merge {
    let tag = request.from.tag().unwrap_or_default();
    (request.call_id.clone(), tag.to_owned(), request.cseq)
}

/// The client transactions: our own requests within calls.
#[derive(Debug, Default)]
pub struct Clients {
    rows: BTreeMap<u64, Client>,
    ids: BTreeMap<String, u64>,
    last: u64,
}

/// A request of ours that waits for its final reply.
#[derive(Debug)]
pub struct Client {
    /// What was asked.
    pub method: Method,
    /// In which call.
    pub call: CallId,
    hop: Hop,
    branch: String,
    bytes: Arc<[u8]>,
    resend: Duration,
    resend_at: Option<Instant>,
    ends: Instant,
    due: Option<Instant>,
}

impl Clients {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.rows.len()
    }

    /// Sends a request, and again until a reply comes.
    #[expect(clippy::too_many_arguments, reason = "the parts of one request")]
    pub fn begin(
        &mut self,
        now: Instant,
        call: CallId,
        method: Method,
        branch: String,
        hop: Hop,
        bytes: Arc<[u8]>,
        timers: &mut Timers,
        effects: &mut VecDeque<Effect>,
    ) {
        self.last += 1;
        let ends = now + GIVE_UP;
        let resend_at = (hop.transport == Transport::Udp).then(|| now + T1);
        effects.push_back(Effect::Send { hop, bytes: bytes.clone() });
        let mut client = Client {
            method,
            call,
            hop,
            branch: branch.clone(),
            bytes,
            resend: T1,
            resend_at,
            ends,
            due: None,
        };
        timers.set(Timer::Client(self.last), &mut client.due, Some(resend_at.unwrap_or(ends)));
        self.ids.insert(branch, self.last);
        self.rows.insert(self.last, client);
    }

    /// A reply has come: the request it ends, if it is final and awaited.
    pub fn receive(
        &mut self,
        branch: &str,
        method: &Method,
        code: u16,
        timers: &mut Timers,
    ) -> Option<Client> {
        let id = *self.ids.get(branch)?;
        let client = self.rows.get_mut(&id).filter(|it| it.method == *method)?;
        if code < 200 {
            // An INVITE that has been heard is not sent again; others are, more slowly.
            if *method == Method::Invite {
                client.resend_at = None;
                timers.set(Timer::Client(id), &mut client.due, Some(client.ends));
            }
            return None;
        }
        timers.set(Timer::Client(id), &mut client.due, None);
        self.remove(id)
    }

    /// A transaction's time has come: the request that nobody has answered, if that is its end.
    pub fn tick(
        &mut self,
        now: Instant,
        id: u64,
        timers: &mut Timers,
        effects: &mut VecDeque<Effect>,
    ) -> Option<Client> {
        let client = self.rows.get_mut(&id)?;
        client.due = None;
        if now >= client.ends {
            return self.remove(id);
        }
        if client.resend_at.is_some_and(|at| at <= now) {
            effects.push_back(Effect::Send { hop: client.hop, bytes: client.bytes.clone() });
            client.resend *= 2;
            if client.method != Method::Invite {
                client.resend = client.resend.min(T2);
            }
            client.resend_at = Some(now + client.resend);
        }
        let at = client.resend_at.map_or(client.ends, |at| at.min(client.ends));
        timers.set(Timer::Client(id), &mut client.due, Some(at));
        None
    }

    fn remove(&mut self, id: u64) -> Option<Client> {
        let client = self.rows.remove(&id)?;
        self.ids.remove(&client.branch);
        Some(client)
    }
}
