//! Commands and effects of the SIP agent: its inputs and outputs.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use super::{
    message::SipMessage,
    note::SipNote,
    request::Hop,
    resolve::{NameQuery, ResolvedAddress},
    settings::SipPeers,
    trunk_usage::TalkedTime,
};
use crate::{
    base::ids::{AccountId, CallId},
    media::{
        Arrival, DialAttempt, Dialling, Ending, Report,
        legs::{LegSession, NoPort},
    },
};

/// An input of the agent.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// A message arrived on a socket.
    Received {
        /// The hop it came on.
        hop: Hop,
        /// The message, parsed; it may have an error in it.
        message: SipMessage,
    },
    /// The result of [`Effect::Open`].
    Opened {
        /// The call that the port was opened for.
        call: CallId,
        /// The address of the call's RTP port.
        port: Result<SocketAddr, NoPort>,
    },
    /// The result of [`Effect::Arrive`].
    Arrived {
        /// The call that was announced to the engine.
        call: CallId,
        /// 180 if the engine has found a flow for it, else the status of the refusal.
        status: u16,
    },
    /// The engine answers a call.
    Answer(CallId),
    /// The engine opens early media.
    EarlyMedia(CallId),
    /// The engine calls somebody.
    Dial {
        /// The new call, named by the engine.
        call: CallId,
        /// The account on whose behalf it is made.
        account: AccountId,
        /// Whom to call, and what the far end is shown.
        dialling: Arc<Dialling>,
    },
    /// The result of [`Effect::Resolve`].
    Resolved {
        /// The number of the question.
        id: u64,
        /// The addresses, in order of preference. Empty: there was no answer.
        addresses: Vec<ResolvedAddress>,
    },
    /// The result of [`Effect::Route`].
    Routed {
        /// The number of the question.
        id: u64,
        /// The way there. None: no socket of ours reaches it.
        hop: Option<Hop>,
    },
    /// The engine ends a call.
    End(CallId, Ending),
    /// A connection has ended, or could not be opened.
    Closed {
        /// Its number, as in [`Hop::link`].
        link: u64,
    },
    /// Refuse new calls from now on.
    Drain,
    /// From now on, these may call.
    Configure(SipPeers),
    /// A timer is due ([`Agent::deadline`](super::agent::Agent::deadline)).
    Tick,
}

/// Whom a connection over TLS must reach.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TlsName {
    /// The SIP domain, or an address; never the host that a look-up gave for it.
    pub domain: Arc<str>,
    /// Certificates of the authorities that are trusted, in PEM. Empty: the public ones.
    pub authorities: Arc<[u8]>,
}

/// An output of the agent, to be performed in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Send a message on the network.
    Send {
        /// The hop to send it on. If its connection is closed, a new one to `remote` may be opened.
        hop: Hop,
        /// The message as it is sent.
        bytes: Arc<[u8]>,
    },
    /// Find the addresses of a server; [`Command::Resolved`] must follow.
    Resolve {
        /// The number of the question.
        id: u64,
        /// What is known of the server.
        query: NameQuery,
    },
    /// Find the way to an address, and open a connection if it needs one; [`Command::Routed`] must
    /// follow.
    Route {
        /// The number of the question.
        id: u64,
        /// Where to, and how.
        to: ResolvedAddress,
        /// Whom the connection must reach, for TLS.
        tls: Option<TlsName>,
    },
    /// Open an RTP port for a call; [`Command::Opened`] must follow.
    Open {
        /// The call that needs the port.
        call: CallId,
        /// The local address to open it on.
        local: IpAddr,
    },
    /// Give the result of an SDP exchange to the RTP engine.
    Agree {
        /// The call that was negotiated.
        call: CallId,
        /// The agreement, and the address that the signalling came from.
        session: LegSession,
    },
    /// Give the RTP engine a key that came by INFO. It reports the key, unless it came in the sound,
    /// too.
    Press {
        /// The call whose far end pressed it.
        call: CallId,
        /// The key: one of `0-9*#ABCD`.
        key: char,
    },
    /// Close the RTP port of a call.
    Close {
        /// The call whose sound ends.
        call: CallId,
    },
    /// Announce a call to the engine; [`Command::Arrived`] must follow.
    Arrive(Arrival),
    /// Tell the trace of a call that an attempt to reach its far end is over.
    Attempted(CallId, Arc<DialAttempt>),
    /// Tell the log and the counters.
    Note(SipNote),
    /// Note for later processes that an answered call through a trunk is over.
    Talked(TalkedTime),
    /// Report an event of a call to the engine.
    Report(Report),
}
