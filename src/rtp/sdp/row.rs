//! Negotiation row: the state of offer and answer, so that a later process goes on with it.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::{
    Agreed, LocalMedia, Negotiation, PROFILES, Payload, SECURE_PROFILES,
    crypto::{SrtpPolicy, SrtpSecret},
};

/// A [`Negotiation`] as plain data. It has keys.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
pub struct NegotiationRow {
    address: IpAddr,
    port: u16,
    session: u64,
    version: u64,
    lines: Vec<String>,
    sound: u32,
    profile: String,
    srtp: Option<(SrtpPolicy, [u8; 32])>,
    crypto: String,
    packet_ms: u8,
    payloads: Vec<(u8, Payload)>,
    sent: Option<String>,
    agreed: Option<Agreed>,
}

impl From<&Negotiation> for NegotiationRow {
    fn from(it: &Negotiation) -> Self {
        let Negotiation {
            local: LocalMedia { address, port, session },
            version,
            lines,
            sound,
            profile,
            srtp,
            crypto,
            packet_ms,
            payloads,
            sent,
            agreed,
        } = it;
        Self {
            address: *address,
            port: *port,
            session: *session,
            version: *version,
            lines: lines.clone(),
            sound: u32::try_from(*sound).unwrap_or(u32::MAX),
            profile: (*profile).to_owned(),
            srtp: srtp.as_ref().map(|(policy, SrtpSecret(secret))| (*policy, *secret)),
            crypto: crypto.clone(),
            packet_ms: *packet_ms,
            payloads: payloads.clone(),
            sent: sent.clone(),
            agreed: agreed.clone(),
        }
    }
}

impl NegotiationRow {
    /// The negotiation of the row. None if it has no sound line, or a profile that we do not know.
    pub fn restore(self) -> Option<Negotiation> {
        let Self { address, port, session, version, lines, sound, profile, .. } = self;
        let Self { srtp, crypto, packet_ms, payloads, sent, agreed, .. } = self;
        let sound = usize::try_from(sound).ok().filter(|it| *it < lines.len())?;
        let mut profiles = PROFILES.into_iter().chain(SECURE_PROFILES);
        Some(Negotiation {
            local: LocalMedia { address, port, session },
            version,
            lines,
            sound,
            profile: profiles.find(|it| *it == profile)?,
            srtp: srtp.map(|(policy, secret)| (policy, SrtpSecret(secret))),
            crypto,
            packet_ms,
            payloads,
            sent,
            agreed,
        })
    }
}

impl Negotiation {
    /// Names another address or port of ours in the next description. Returns whether it differs from
    /// the one before.
    pub fn move_to(&mut self, address: SocketAddr) -> bool {
        let before = (self.local.address, self.local.port);
        (self.local.address, self.local.port) = (address.ip(), address.port());
        let has_moved = before != (address.ip(), address.port());
        if let Some(agreed) = self.agreed.as_ref().filter(|_| has_moved) {
            let (direction, rtcp_mux) = (agreed.direction, agreed.rtcp_mux);
            self.describe(direction, rtcp_mux);
        }
        has_moved
    }
}
