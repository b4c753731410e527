//! Dialog row: what a later process needs to go on with the signalling of an answered call.
//!
//! Transactions are not in it: far ends repeat their requests, and an answer of ours that was under way
//! when the process died is made again. Neither are challenges: the far end makes new ones.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{
    call::{CallMedia, SipCall, SipPhase, Unacked},
    dialog::{Dialog, DialogParts},
    digest::SipPassword,
    digest_client::{DigestAccount, DigestClient},
    header_value::NameAddr,
    request::{Hop, Transport},
    session_timer::{SessionTimer, Terms},
    transaction::T1,
    trunk_usage::UsedTrunk,
    uri::Uri,
};
use crate::{
    base::{boot_clock::BootClock, ids::CallId},
    rtp::sdp::row::NegotiationRow,
};

/// The version of the rows that this release writes.
const VERSION: u8 = 1;

/// The signalling of an answered call. It has keys and passwords.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
pub struct DialogRow {
    version: u8,
    call_id: String,
    local_tag: String,
    remote_tag: String,
    remote_cseq: Option<u32>,
    is_ours: bool,
    account: Option<DigestAccountRow>,
    /// The hop of the dialog. Its link counts in the process that has written it.
    pub(super) hop: HopRow,
    local: String,
    remote: String,
    target: String,
    routes: Vec<String>,
    local_cseq: u32,
    media: MediaRow,
    unacked: Option<UnackedRow>,
    timer: Option<TimerRow>,
    has_update: bool,
    /// The engine has ended the call, and the far end does not know yet.
    pub(super) is_ending: bool,
    trunk: Option<UsedTrunkRow>,
}

#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
struct DigestAccountRow {
    username: String,
    password: String,
    realm: Option<String>,
}

/// A [`Hop`] as plain data.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct HopRow {
    /// 0: UDP, 1: TCP, 2: TLS.
    transport: u8,
    link: u64,
    local: SocketAddr,
    remote: SocketAddr,
}

#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
struct MediaRow {
    negotiation: NegotiationRow,
    text: String,
    is_held: bool,
    has_told_keys: bool,
    has_told_clear_key: bool,
}

#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
struct UnackedRow {
    cseq: u32,
    is_first: bool,
    hop: HopRow,
    bytes: Vec<u8>,
    has_offer: bool,
    ends_at: u64,
}

#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
struct TimerRow {
    interval: u64,
    is_ours: bool,
    refresh_at: Option<u64>,
    ends_at: u64,
}

#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
struct UsedTrunkRow {
    trunk: String,
    account: String,
    answered_at: Option<u64>,
}

/// A call that a row has become, and the trunk that it uses.
pub(super) struct RestoredCall {
    pub(super) call: SipCall,
    pub(super) trunk: Option<UsedTrunk>,
}

impl DialogRow {
    /// The row of a call. None if it has not been answered, or has no sound.
    pub(super) fn of(call: &SipCall, trunk: Option<&UsedTrunk>, clock: BootClock) -> Option<Self> {
        // What awaits an answer is asked again, and the ACK of a late answer is made again.
        let SipCall {
            id: _,
            dialog,
            phase,
            media,
            unacked,
            has_pending_invite: _,
            timer,
            has_update,
            ack: _,
            check: _,
            due: _,
        } = call;
        let is_ending = match phase {
            SipPhase::Ringing(_) => return None,
            SipPhase::Established => false,
            SipPhase::EndAfterAck(_) | SipPhase::ByeSent => true,
        };
        let DialogParts {
            call_id,
            local_tag,
            remote_tag,
            remote_cseq,
            is_ours,
            digest,
            hop,
            local,
            remote,
            target,
            routes,
            local_cseq,
        } = dialog.parts();
        Some(Self {
            version: VERSION,
            call_id,
            local_tag,
            remote_tag,
            remote_cseq,
            is_ours,
            account: digest.account().map(DigestAccountRow::of),
            hop: HopRow::of(&hop),
            local,
            remote,
            target,
            routes,
            local_cseq,
            media: MediaRow::of(media.as_ref()?),
            unacked: unacked.as_ref().map(|it| UnackedRow::of(it, clock)),
            timer: timer.map(|it| TimerRow::of(it, clock)),
            has_update: *has_update,
            is_ending,
            trunk: trunk.map(|it| UsedTrunkRow::of(it, clock)),
        })
    }

    /// Reads a row.
    ///
    /// # Errors
    ///
    /// Why it cannot be read.
    pub fn read(body: &[u8]) -> Result<Self, String> {
        match body.first() {
            Some(&VERSION) => postcard::from_bytes(body).map_err(|error| error.to_string()),
            Some(version) => {
                Err(format!("its version is {version}, and this release reads {VERSION}"))
            }
            None => Err("it is empty".to_owned()),
        }
    }

    /// The trunk that the call has been sent through.
    pub(super) fn trunk(&self) -> Option<&str> {
        self.trunk.as_ref().map(|it| &*it.trunk)
    }

    /// The host of the far end's name: of a call of ours, the domain of the server that it was sent to.
    pub(super) fn remote_host(&self) -> Option<String> {
        let uri = NameAddr::parse(&self.remote).ok()?.uri;
        Some(uri.sip()?.host.to_string())
    }

    /// The address that the far end gives for itself, with this port if it names none.
    pub(super) fn target_address(&self, port: u16) -> Option<SocketAddr> {
        let target = Uri::parse(&self.target).ok()?;
        let uri = target.sip()?;
        Some(SocketAddr::new(uri.host.address()?, uri.port.unwrap_or(port)))
    }

    /// Writes the row.
    pub(super) fn write(&self) -> Vec<u8> {
        postcard::to_allocvec(self).expect("numbers and texts")
    }

    /// The call of the row. `hop` is the row's hop in this process.
    pub(super) fn restore(
        self,
        now: Instant,
        id: CallId,
        hop: Hop,
        clock: BootClock,
    ) -> Result<RestoredCall, String> {
        let Self { call_id, local_tag, remote_tag, remote_cseq, is_ours, account, .. } = self;
        let Self { hop: _, local, remote, target, routes, local_cseq, .. } = self;
        let Self { media, unacked, timer, has_update, is_ending: _, trunk, version: _, .. } = self;
        let digest = DigestClient::new(account.map(DigestAccountRow::restore));
        let parts = DialogParts {
            call_id,
            local_tag,
            remote_tag,
            remote_cseq,
            is_ours,
            digest,
            hop,
            local,
            remote,
            target,
            routes,
            local_cseq,
        };
        let dialog = Dialog::from_parts(parts).ok_or("an address in it is no SIP address")?;
        let media = media.restore().ok_or("its description has no sound line")?;
        let call = SipCall {
            id,
            dialog,
            phase: SipPhase::Established,
            media: Some(media),
            unacked: unacked.map(|it| it.restore(now, hop, clock)),
            has_pending_invite: false,
            timer: timer.map(|it| it.restore(clock)),
            has_update,
            ack: None,
            check: None,
            due: None,
        };
        let trunk = trunk.map(|it| it.restore(clock)).transpose()?;
        Ok(RestoredCall { call, trunk })
    }
}

impl DigestAccountRow {
    fn of(it: &DigestAccount) -> Self {
        let DigestAccount { username, password, realm } = it;
        Self {
            username: username.to_string(),
            password: password.reveal().to_owned(),
            realm: realm.as_ref().map(ToString::to_string),
        }
    }

    fn restore(self) -> DigestAccount {
        let Self { username, password, realm } = self;
        DigestAccount {
            username: username.into(),
            password: SipPassword::new(&password),
            realm: realm.map(Into::into),
        }
    }
}

impl HopRow {
    pub(super) fn of(hop: &Hop) -> Self {
        let Hop { transport, link, local, remote } = *hop;
        let transport = match transport {
            Transport::Udp => 0,
            Transport::Tcp => 1,
            Transport::Tls => 2,
        };
        Self { transport, link, local, remote }
    }

    /// The hop as the earlier process knew it.
    pub(super) fn restore(self) -> Hop {
        let Self { transport, link, local, remote } = self;
        let transport = match transport {
            0 => Transport::Udp,
            1 => Transport::Tcp,
            _ => Transport::Tls,
        };
        Hop { transport, link, local, remote }
    }
}

impl MediaRow {
    fn of(it: &CallMedia) -> Self {
        let CallMedia { negotiation, text, is_held, has_told_keys, has_told_clear_key } = it;
        Self {
            negotiation: negotiation.into(),
            text: text.clone(),
            is_held: *is_held,
            has_told_keys: *has_told_keys,
            has_told_clear_key: *has_told_clear_key,
        }
    }

    fn restore(self) -> Option<CallMedia> {
        let Self { negotiation, text, is_held, has_told_keys, has_told_clear_key } = self;
        let negotiation = negotiation.restore()?;
        Some(CallMedia { negotiation, text, is_held, has_told_keys, has_told_clear_key })
    }
}

impl UnackedRow {
    fn of(it: &Unacked, clock: BootClock) -> Self {
        let Unacked { cseq, is_first, hop, bytes, has_offer, resend: _, resend_at: _, ends_at } =
            it;
        Self {
            cseq: *cseq,
            is_first: *is_first,
            hop: HopRow::of(hop),
            bytes: bytes.to_vec(),
            has_offer: *has_offer,
            ends_at: clock.nanos(*ends_at),
        }
    }

    /// The 200 is sent again at once. Over UDP it leaves from the socket of the dialog.
    fn restore(self, now: Instant, of_dialog: Hop, clock: BootClock) -> Unacked {
        let Self { cseq, is_first, hop, bytes, has_offer, ends_at } = self;
        let hop = Hop { remote: hop.remote, ..of_dialog };
        let ends_at = clock.instant(ends_at);
        let bytes = bytes.into();
        Unacked { cseq, is_first, hop, bytes, has_offer, resend: T1, resend_at: now, ends_at }
    }
}

impl TimerRow {
    fn of(it: SessionTimer, clock: BootClock) -> Self {
        let SessionTimer { terms: Terms { interval, is_ours }, refresh_at, ends_at } = it;
        Self {
            interval: u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX),
            is_ours,
            refresh_at: refresh_at.map(|it| clock.nanos(it)),
            ends_at: clock.nanos(ends_at),
        }
    }

    fn restore(self, clock: BootClock) -> SessionTimer {
        let Self { interval, is_ours, refresh_at, ends_at } = self;
        SessionTimer {
            terms: Terms { interval: Duration::from_nanos(interval), is_ours },
            refresh_at: refresh_at.map(|it| clock.instant(it)),
            ends_at: clock.instant(ends_at),
        }
    }
}

impl UsedTrunkRow {
    fn of(it: &UsedTrunk, clock: BootClock) -> Self {
        let UsedTrunk { trunk, account, answered_at } = it;
        Self {
            trunk: trunk.to_string(),
            account: account.as_str().to_owned(),
            answered_at: answered_at.map(|it| clock.nanos(it)),
        }
    }

    fn restore(self, clock: BootClock) -> Result<UsedTrunk, String> {
        let Self { trunk, account, answered_at } = self;
        Ok(UsedTrunk {
            trunk: trunk.into(),
            account: account.parse().map_err(|_| format!("{account:?} is no account"))?,
            answered_at: answered_at.map(|it| clock.instant(it)),
        })
    }
}
