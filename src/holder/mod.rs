//! Socket holder: the process that keeps our sockets while a new conflow takes the place of this one.
//!
//! It is systemd with its file descriptor store, or `conflow supervise`. Both speak the same two
//! protocols: sockets go to the holder in messages to `NOTIFY_SOCKET`, and come back to the next process
//! as `LISTEN_FDS` with `LISTEN_FDNAMES`.
//!
//! Listeners are given at the start, so that connections and requests wait through a crash, too. The RTP
//! sockets of calls are given at a handover: a call then costs the holder nothing.

mod held;
mod notify;

pub use self::{
    held::HeldSockets,
    notify::{DESCRIPTORS_MAX, HANDOVER, KEY, SocketHolder},
};

/// Names of the sockets that a holder has.
pub mod names {
    /// The listener of the HTTP server.
    pub const HTTP: &str = "http";
    /// Sockets of SIP over UDP.
    pub const SIP_UDP: &str = "sip-udp";
    /// Listeners of SIP over TCP.
    pub const SIP_TCP: &str = "sip-tcp";
    /// Listeners of SIP over TLS.
    pub const SIP_TLS: &str = "sip-tls";
    /// The RTP and RTCP sockets of calls.
    pub const RTP: &str = "rtp";
    /// All of these names.
    pub const ALL: [&str; 5] = [HTTP, SIP_UDP, SIP_TCP, SIP_TLS, RTP];
}
