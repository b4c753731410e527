//! Legs: what signalling needs of the engine that carries the sound of its calls.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::{base::ids::CallId, rtp::sdp::Agreed};

/// The sound of calls, as signalling sees it.
///
/// All methods return at once. A call is opened once, before its flow starts, and closed once.
pub trait Legs: Send + Sync + 'static {
    /// Takes a port for a call's sound on one of our addresses. Our SDP offer or answer names it.
    ///
    /// # Errors
    ///
    /// No port is left. The call is answered 503, and no flow starts.
    fn open(&self, call: CallId, local: IpAddr) -> Result<SocketAddr, NoPort>;

    /// Takes what has been agreed with the far end, at first or again. Sound flows from now on.
    fn agree(&self, call: CallId, session: LegSession);

    /// Takes a key that the far end pressed, of which the signalling tells (INFO). It is reported
    /// unless the same press has come in the sound, too: some phones send each key both ways.
    fn press(&self, call: CallId, key: char);

    /// Stops the sound of a call that is over: no packet is sent once this has returned. Its port is
    /// kept until [`Self::close`]. A call that is not open is ignored.
    fn end(&self, call: CallId);

    /// Frees the port of a call that is over, and ends its sound if that has not been done.
    fn close(&self, call: CallId) -> LegSummary;
}

/// The result of an offer and its answer.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct LegSession {
    /// Codec, addresses and direction.
    pub agreed: Agreed,
    /// The source of the signalling. If the far end is behind NAT, its sound comes from here,
    /// whatever address its SDP names.
    pub source: IpAddr,
    /// The far end has not answered yet: it may stay silent for as long as it rings.
    pub is_early: bool,
}

/// Packet counts of a call.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct LegSummary {
    /// RTP packets that we sent.
    pub sent: u64,
    /// RTP packets that came from the far end.
    pub received: u64,
    /// Packets that never came, by their sequence numbers.
    pub lost: u64,
    /// Interarrival jitter in microseconds (RFC 3550, 6.4.1).
    pub jitter_us: u32,
}

/// No port is left for a call's sound.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("no free RTP port: widen the range of [sip] rtp_ports")]
pub struct NoPort;
