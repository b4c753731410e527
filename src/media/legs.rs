//! What signalling needs of the sound of calls, and nothing more.

use std::net::{IpAddr, SocketAddr};

use crate::{base::ids::CallId, rtp::sdp::Agreed};

/// The sound of calls, as signalling sees it.
///
/// All three return at once. A call is opened once, before its flow starts, and closed once.
pub trait Legs: Send + Sync + 'static {
    /// Takes a port for a call's sound, on this address of ours. What we offer or answer names it.
    ///
    /// # Errors
    ///
    /// No port is left: the call is answered 503, and no flow starts.
    fn open(&self, call: CallId, local: IpAddr) -> Result<SocketAddr, NoPort>;

    /// What has been agreed with the far end, first or anew. Sound flows from now on.
    fn agree(&self, call: CallId, session: Session);

    /// The call is over: no packet is sent from now on, and the port is free.
    fn close(&self, call: CallId) -> LegSummary;
}

/// What both ends have agreed on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Session {
    /// By offer and answer.
    pub agreed: Agreed,
    /// Where the signalling comes from: if that is another address than the description names,
    /// the far end is behind NAT, and its sound comes from there.
    pub source: IpAddr,
}

/// How the sound of a call has been.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct LegSummary {
    /// Packets sent.
    pub sent: u64,
    /// Packets received.
    pub received: u64,
    /// Packets that never came, as far as their numbers tell.
    pub lost: u64,
    /// Of arrival, in microseconds (RFC 3550, 6.4.1).
    pub jitter_us: u32,
}

/// No port is left for a call's sound.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("no free RTP port: widen the range of [sip] rtp_ports")]
pub struct NoPort;
