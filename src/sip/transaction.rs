//! Transactions: retransmission, absorption of repeated requests, and their time-outs (RFC 3261,
//! section 17; RFC 6026 after a 200).

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{
    effect::Effect,
    header_value::Via,
    name::SipMethod,
    request::{Hop, SipRequest, Transport, reply_hop},
    timers::{Timer, Timers},
};
use crate::base::ids::CallId;

/// Estimate of the round trip time.
pub const T1: Duration = Duration::from_millis(500);
/// Longest interval between retransmissions.
pub const T2: Duration = Duration::from_secs(4);
/// Longest time that a message stays in the network.
pub const T4: Duration = Duration::from_secs(5);
/// Time after which a far end that does not answer is gone: 64 × T1.
pub const GIVE_UP: Duration = Duration::from_millis(64 * 500);

/// The identity of a server transaction (RFC 3261, 17.2.3).
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct TransactionKey(String);

impl TransactionKey {
    /// Returns the key of a request; for ACK and CANCEL, that of the INVITE they belong to.
    pub fn of(request: &SipRequest) -> Self {
        Self::with(request, &request.method)
    }

    /// Returns the key of a CANCEL itself.
    pub fn of_cancel(request: &SipRequest) -> Self {
        Self::with(request, &SipMethod::Other("CANCEL".into()))
    }

    fn with(request: &SipRequest, method: &SipMethod) -> Self {
        let SipRequest { via, call_id, cseq, from, .. } = request;
        let is_of_invite = matches!(method, SipMethod::Ack | SipMethod::Cancel);
        let method = if is_of_invite { "INVITE" } else { method.as_str() };
        let sent_by = |via: &Via| format!("{}:{}", via.host, via.port.unwrap_or_default());
        Self(match via.branch() {
            Some(branch) => format!("{method} {branch} {}", sent_by(via)),
            // A sender of RFC 2543 has no unique branch.
            None => {
                let tag = from.tag().unwrap_or_default();
                format!("{method} {call_id} {cseq} {tag} {} {}", request.uri, sent_by(via))
            }
        })
    }
}

/// The server transactions: requests of far ends that we answer.
#[derive(Debug, Default)]
pub struct ServerTransactions {
    transactions: BTreeMap<u64, ServerTransaction>,
    ids: BTreeMap<TransactionKey, u64>,
    merges: BTreeMap<MergeKey, u64>,
    last: u64,
}

/// Identifies an INVITE that arrives by several paths, which is one call (RFC 3261, 8.2.2.2).
type MergeKey = (String, String, u32);

#[derive(Debug)]
struct ServerTransaction {
    key: TransactionKey,
    merge: Option<MergeKey>,
    hop: Hop,
    state: ServerState,
    /// The reply to send again when the request is repeated.
    last: Option<Arc<[u8]>>,
    call: Option<CallId>,
    due: Option<Instant>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum ServerState {
    /// No final reply has been sent.
    Proceeding,
    /// An INVITE was refused; we wait for the ACK.
    Refused { resend: Duration, ends: Instant },
    /// Complete; repeated requests are absorbed until `ends`.
    Finished { ends: Instant },
}

impl ServerTransactions {
    /// Returns the number of server transactions.
    pub fn count(&self) -> usize {
        self.transactions.len()
    }

    /// Whether the request is a repetition. If so, its last reply is sent again.
    pub fn absorb(&self, key: &TransactionKey, effects: &mut VecDeque<Effect>) -> bool {
        let Some(server) = self.ids.get(key).and_then(|id| self.transactions.get(id)) else {
            return false;
        };
        if let Some(bytes) = &server.last {
            effects.push_back(Effect::Send { hop: server.hop, bytes: bytes.clone() });
        }
        true
    }

    /// Whether this INVITE has come before by another path.
    pub fn is_merged(&self, request: &SipRequest) -> bool {
        self.merges.contains_key(&merge_of(request))
    }

    /// Starts a transaction for a request and returns its id.
    pub fn begin(
        &mut self,
        request: &SipRequest,
        key: TransactionKey,
        hop: &Hop,
        call: Option<CallId>,
    ) -> u64 {
        self.last += 1;
        let merge = (request.method == SipMethod::Invite).then(|| merge_of(request));
        let hop = reply_hop(&request.via, hop);
        self.ids.insert(key.clone(), self.last);
        if let Some(merge) = merge.clone() {
            self.merges.insert(merge, self.last);
        }
        let server = ServerTransaction {
            key,
            merge,
            hop,
            state: ServerState::Proceeding,
            last: None,
            call,
            due: None,
        };
        self.transactions.insert(self.last, server);
        self.last
    }

    /// Starts a transaction again that an earlier process has begun, and returns its id. `hop` is where
    /// its replies go. None: there is one already.
    pub fn resume(&mut self, key: TransactionKey, hop: Hop) -> Option<u64> {
        if self.ids.contains_key(&key) {
            return None;
        }
        self.last += 1;
        self.ids.insert(key.clone(), self.last);
        let (state, last) = (ServerState::Proceeding, None);
        let server =
            ServerTransaction { key, merge: None, hop, state, last, call: None, due: None };
        self.transactions.insert(self.last, server);
        Some(self.last)
    }

    /// Returns the call of an INVITE's transaction.
    pub fn call_of(&self, key: &TransactionKey) -> Option<CallId> {
        self.transactions.get(self.ids.get(key)?)?.call
    }

    /// Returns the call of the INVITE that an ACK is for by Call-ID, From tag and CSeq number.
    pub fn call_of_ack(&self, ack: &SipRequest) -> Option<CallId> {
        self.transactions.get(self.merges.get(&merge_of(ack))?)?.call
    }

    /// Asserts, in debug builds, that the indexes agree with the table.
    pub fn check(&self) {
        debug_assert_eq!(self.ids.len(), self.transactions.len(), "one key for each");
        debug_assert!(self.merges.len() <= self.transactions.len(), "no INVITE that is gone");
    }

    /// Sends a reply. A 200 to an INVITE is retransmitted by the call, not here.
    pub fn reply(
        &mut self,
        now: Instant,
        id: u64,
        (code, is_invite): (u16, bool),
        bytes: Arc<[u8]>,
        timers: &mut Timers,
        effects: &mut VecDeque<Effect>,
    ) {
        let Some(server) = self.transactions.get_mut(&id) else { return };
        effects.push_back(Effect::Send { hop: server.hop, bytes: bytes.clone() });
        if code < 200 {
            server.last = Some(bytes);
            return;
        }
        let over = ServerState::Finished { ends: now + GIVE_UP };
        server.state = match (is_invite, code) {
            (true, 200..=299) => {
                server.last = None;
                over
            }
            (true, _) => {
                server.last = Some(bytes);
                ServerState::Refused { resend: T1, ends: now + GIVE_UP }
            }
            (false, _) => {
                server.last = Some(bytes);
                over
            }
        };
        let at = match (server.state, server.hop.transport) {
            (ServerState::Refused { resend, .. }, Transport::Udp) => now + resend,
            (ServerState::Refused { ends, .. } | ServerState::Finished { ends }, _) => ends,
            (ServerState::Proceeding, _) => return,
        };
        timers.set(Timer::Server(id), &mut server.due, Some(at));
    }

    /// Handles the ACK of a refusal. Returns false if no refusal awaits it.
    pub fn acknowledge(&mut self, now: Instant, key: &TransactionKey, timers: &mut Timers) -> bool {
        let Some(&id) = self.ids.get(key) else { return false };
        let Some(server) = self.transactions.get_mut(&id) else { return false };
        let ServerState::Refused { .. } = server.state else { return false };
        let ends = now + T4;
        server.state = ServerState::Finished { ends };
        server.last = None;
        timers.set(Timer::Server(id), &mut server.due, Some(ends));
        true
    }

    /// Handles a due timer of a transaction.
    pub fn tick(
        &mut self,
        now: Instant,
        id: u64,
        timers: &mut Timers,
        effects: &mut VecDeque<Effect>,
    ) {
        let Some(server) = self.transactions.get_mut(&id) else { return };
        server.due = None;
        match &mut server.state {
            ServerState::Refused { resend, ends } if now < *ends => {
                *resend = (*resend * 2).min(T2);
                let at = (now + *resend).min(*ends);
                if let Some(bytes) = &server.last {
                    effects.push_back(Effect::Send { hop: server.hop, bytes: bytes.clone() });
                }
                timers.set(Timer::Server(id), &mut server.due, Some(at));
            }
            ServerState::Proceeding => {}
            ServerState::Refused { .. } | ServerState::Finished { .. } => self.remove(id),
        }
    }

    fn remove(&mut self, id: u64) {
        let Some(server) = self.transactions.remove(&id) else { return };
        self.ids.remove(&server.key);
        if let Some(merge) = server.merge.filter(|it| self.merges.get(it) == Some(&id)) {
            self.merges.remove(&merge);
        }
    }
}

fn merge_of(request: &SipRequest) -> MergeKey {
    let tag = request.from.tag().unwrap_or_default();
    (request.call_id.clone(), tag.to_owned(), request.cseq)
}

/// The client transactions: our own requests within calls, and ACKs of failures.
#[derive(Debug, Default)]
pub struct ClientTransactions {
    transactions: BTreeMap<u64, ClientTransaction>,
    ids: BTreeMap<String, u64>,
    last: u64,
}

/// A request of ours that awaits its final reply.
#[derive(Debug)]
pub struct ClientTransaction {
    /// The method of the request.
    pub method: SipMethod,
    /// The call that awaits its reply. None if nobody does.
    pub call: Option<CallId>,
    hop: Hop,
    key: String,
    bytes: Arc<[u8]>,
    resend: Duration,
    resend_at: Option<Instant>,
    ends: Instant,
    due: Option<Instant>,
}

impl ClientTransaction {
    /// Whether it was sent over TCP or TLS.
    pub fn is_over_stream(&self) -> bool {
        self.hop.transport.is_stream()
    }

    /// Returns the branch of the request.
    pub fn branch(&self) -> &str {
        self.key.split_once(' ').map_or("", |(_, branch)| branch)
    }
}

impl ClientTransactions {
    /// Returns the number of client transactions.
    pub fn count(&self) -> usize {
        self.transactions.len()
    }

    /// Sends a request, and retransmits it until a reply comes.
    #[expect(clippy::too_many_arguments, reason = "the parts of one request")]
    pub fn begin(
        &mut self,
        now: Instant,
        call: Option<CallId>,
        method: SipMethod,
        branch: &str,
        hop: Hop,
        bytes: Arc<[u8]>,
        timers: &mut Timers,
        effects: &mut VecDeque<Effect>,
    ) {
        self.last += 1;
        let ends = now + GIVE_UP;
        let resend_at = (hop.transport == Transport::Udp).then(|| now + T1);
        effects.push_back(Effect::Send { hop, bytes: bytes.clone() });
        let mut client = ClientTransaction {
            call,
            hop,
            key: client_key(&method, branch),
            bytes,
            resend: T1,
            resend_at,
            ends,
            due: None,
            method,
        };
        timers.set(Timer::Client(self.last), &mut client.due, Some(resend_at.unwrap_or(ends)));
        self.ids.insert(client.key.clone(), self.last);
        self.transactions.insert(self.last, client);
    }

    /// Sends the ACK of a failure, and keeps it for repetitions of the failure: timer D (RFC 3261,
    /// 17.1.1.2). Over a stream there are none.
    pub fn acknowledge(
        &mut self,
        now: Instant,
        branch: &str,
        hop: Hop,
        bytes: Arc<[u8]>,
        timers: &mut Timers,
        effects: &mut VecDeque<Effect>,
    ) {
        effects.push_back(Effect::Send { hop, bytes: bytes.clone() });
        if hop.transport.is_stream() {
            return;
        }
        self.last += 1;
        let (method, ends) = (SipMethod::Ack, now + GIVE_UP);
        let key = client_key(&method, branch);
        let mut client = ClientTransaction {
            method,
            call: None,
            hop,
            key: key.clone(),
            bytes,
            resend: T1,
            resend_at: None,
            ends,
            due: None,
        };
        timers.set(Timer::Client(self.last), &mut client.due, Some(ends));
        self.ids.insert(key, self.last);
        self.transactions.insert(self.last, client);
    }

    /// Whether a reply with this branch belongs to a request of ours, or repeats a failure.
    pub fn awaits(&self, branch: &str, method: &SipMethod) -> bool {
        self.ids.contains_key(&client_key(method, branch))
    }

    /// Handles a reply. Returns the transaction that it completes, if it is final and awaited.
    pub fn receive(
        &mut self,
        branch: &str,
        method: &SipMethod,
        code: u16,
        timers: &mut Timers,
        effects: &mut VecDeque<Effect>,
    ) -> Option<ClientTransaction> {
        let id = *self.ids.get(&client_key(method, branch))?;
        let client = self.transactions.get_mut(&id)?;
        if client.method == SipMethod::Ack {
            if code >= 300 {
                effects.push_back(Effect::Send { hop: client.hop, bytes: client.bytes.clone() });
            }
            return None;
        }
        if code < 200 {
            // An INVITE with a provisional reply is not repeated; others are, more slowly.
            if *method == SipMethod::Invite {
                client.resend_at = None;
                timers.set(Timer::Client(id), &mut client.due, Some(client.ends));
            }
            return None;
        }
        timers.set(Timer::Client(id), &mut client.due, None);
        self.remove(id)
    }

    /// Handles a due timer. Returns the transaction if it ends without an answer.
    pub fn tick(
        &mut self,
        now: Instant,
        id: u64,
        timers: &mut Timers,
        effects: &mut VecDeque<Effect>,
    ) -> Option<ClientTransaction> {
        let client = self.transactions.get_mut(&id)?;
        client.due = None;
        if now >= client.ends {
            return self.remove(id);
        }
        if client.resend_at.is_some_and(|at| at <= now) {
            effects.push_back(Effect::Send { hop: client.hop, bytes: client.bytes.clone() });
            client.resend *= 2;
            if client.method != SipMethod::Invite {
                client.resend = client.resend.min(T2);
            }
            client.resend_at = Some(now + client.resend);
        }
        let at = client.resend_at.map_or(client.ends, |at| at.min(client.ends));
        timers.set(Timer::Client(id), &mut client.due, Some(at));
        None
    }

    /// Ends a transaction whose reply is not awaited any longer.
    pub fn forget(&mut self, branch: &str, method: &SipMethod, timers: &mut Timers) {
        let id = self.ids.get(&client_key(method, branch)).copied();
        if let Some(mut client) = id.and_then(|id| self.remove(id))
            && let Some(id) = id
        {
            timers.set(Timer::Client(id), &mut client.due, None);
        }
    }

    fn remove(&mut self, id: u64) -> Option<ClientTransaction> {
        let client = self.transactions.remove(&id)?;
        self.ids.remove(&client.key);
        Some(client)
    }
}

/// The key of a client transaction. CANCEL has the branch of its INVITE, and so has the ACK of a
/// failure, which is part of the INVITE's transaction.
fn client_key(method: &SipMethod, branch: &str) -> String {
    let method = if *method == SipMethod::Ack { "INVITE" } else { method.as_str() };
    format!("{method} {branch}")
}
