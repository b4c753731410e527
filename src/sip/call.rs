//! Call state of the signalling: dialog, media description, and pending messages.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    dialog::Dialog,
    request::{Hop, SipRequest},
    session_timer::{SessionTimer, Terms},
    transaction::{GIVE_UP, T1, T2},
};
use crate::{
    base::ids::CallId,
    media::{Arrival, Ending},
    rtp::g711::Law,
    rtp::sdp::{
        Agreed, LocalMedia, MediaRoute, Negotiation, Refusal,
        crypto::{SrtpPolicy, SrtpSecret},
    },
};

/// The signalling state of one call.
#[derive(Debug)]
pub struct SipCall {
    /// The engine's id of the call, not its `Call-ID`.
    pub id: CallId,
    /// The dialog with the far end.
    pub dialog: Dialog,
    /// Progress of the call: ringing, established, ending.
    pub phase: SipPhase,
    /// The state of offer and answer. None until the RTP port is open.
    pub media: Option<CallMedia>,
    /// Our 200 that waits for its ACK.
    pub unacked: Option<Unacked>,
    /// Whether an INVITE of ours awaits its reply.
    pub has_pending_invite: bool,
    /// The session timer. None if no session timer was agreed on.
    pub timer: Option<SessionTimer>,
    /// Whether the far end supports UPDATE.
    pub has_update: bool,
    /// Our last ACK, sent again for a retransmitted 200.
    pub ack: Option<SentAck>,
    /// Whether the far end of a restored call is asked if it is still there.
    pub check: Option<LivenessCheck>,
    /// The time of its row in the timer table.
    pub due: Option<Instant>,
}

/// An ACK of ours for a 2xx.
#[derive(Clone, Debug)]
pub struct SentAck {
    /// The CSeq number of its INVITE.
    pub cseq: u32,
    /// The hop that it was sent on.
    pub hop: Hop,
    /// The message as it was sent, for each repetition of the 2xx.
    pub bytes: Arc<[u8]>,
}

/// The question to the far end of a restored call whether it is still there: a refresh.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LivenessCheck {
    /// When it is sent. None: it waits for its turn, or for its answer.
    pub at: Option<Instant>,
    /// Whether it awaits its answer.
    pub is_sent: bool,
    /// Whether our sound has another address, which the question must tell.
    pub has_moved: bool,
}

/// The restored calls whose question has not been sent, or not answered.
#[derive(Debug, Default)]
pub struct LivenessQueue {
    pub(super) waiting: VecDeque<CallId>,
    /// Calls whose connection has ended with the earlier process, and whose far end is not known to be
    /// reachable; and whether it is asked when it has a connection again.
    pub(super) adrift: BTreeMap<CallId, bool>,
    pub(super) due: Option<Instant>,
}

/// Progress of a call.
#[derive(Debug)]
pub enum SipPhase {
    /// The call has not been answered.
    Ringing(Box<Ringing>),
    /// The call has been answered and has not ended.
    Established,
    /// The engine ended the call before the ACK came. The BYE must wait for it.
    EndAfterAck(Ending),
    /// Our BYE awaits its answer.
    ByeSent,
}

/// State of a call that has not been answered.
#[derive(Debug)]
pub struct Ringing {
    /// The INVITE that began the call.
    pub invite: SipRequest,
    /// The hop on which the INVITE came.
    pub hop: Hop,
    /// The id of the INVITE's server transaction.
    pub server: u64,
    /// The offer in the INVITE. None: the offer will be in our 200 (late offer).
    pub offer: Option<Vec<u8>>,
    /// The session timer that the INVITE asks for.
    pub terms: Option<Terms>,
    /// Whether the caller's sound is encrypted.
    pub srtp: SrtpPolicy,
    /// The message to the engine; None after it was sent, once the RTP port was open.
    pub arrival: Option<Arrival>,
    /// The last provisional reply, 180 or 183, and when to repeat it. None before the flow is
    /// known.
    pub progress: Option<(u16, Instant)>,
}

/// A 200 that is retransmitted until its ACK comes (RFC 3261, 13.3.1.4).
#[derive(Debug)]
pub struct Unacked {
    /// The CSeq number of its INVITE.
    pub cseq: u32,
    /// Whether that INVITE began the call.
    pub is_first: bool,
    /// The hop to send it on.
    pub hop: Hop,
    /// The complete reply as sent.
    pub bytes: Arc<[u8]>,
    /// Whether it contains our offer, so that the ACK must contain the answer.
    pub has_offer: bool,
    /// The interval before the next retransmission; doubles up to T2.
    pub resend: Duration,
    /// When it is sent next.
    pub resend_at: Instant,
    /// When the far end counts as gone.
    pub ends_at: Instant,
}

/// State of offer and answer of a call. `Debug` does not show our description, which has a key.
#[derive(Clone)]
pub struct CallMedia {
    pub(super) negotiation: Negotiation,
    /// Our last description, as sent.
    pub text: String,
    /// Whether the engine knows that the far end has put us on hold.
    pub is_held: bool,
    /// Whether the log knows that the far end sends no keys as events.
    pub has_told_keys: bool,
    /// Whether it has been counted that a key came in the clear.
    pub has_told_clear_key: bool,
}

/// Interval between provisional replies, so that no proxy gives up (RFC 3261, 13.3.1.1).
pub const PROGRESS_EVERY: Duration = Duration::from_secs(60);

impl SipCall {
    /// Returns when the call next needs a tick.
    pub fn deadline(&self) -> Option<Instant> {
        let unacked = self.unacked.as_ref().map(|it| it.resend_at.min(it.ends_at));
        let progress = match &self.phase {
            SipPhase::Ringing(ringing) => ringing.progress.map(|(_, at)| at),
            SipPhase::Established | SipPhase::EndAfterAck(_) | SipPhase::ByeSent => None,
        };
        let timer = match self.phase {
            SipPhase::Established => {
                self.timer.map(|it| it.refresh_at.map_or(it.ends_at, |at| at.min(it.ends_at)))
            }
            SipPhase::Ringing(_) | SipPhase::EndAfterAck(_) | SipPhase::ByeSent => None,
        };
        let check = self.check.and_then(|it| it.at);
        let check = check.filter(|_| matches!(self.phase, SipPhase::Established));
        [unacked, progress, timer, check].into_iter().flatten().min()
    }

    /// Whether a change of the session is not complete, so that another one must wait.
    pub fn is_changing(&self) -> bool {
        let is_checked = self.check.is_some_and(|it| it.is_sent);
        self.has_pending_invite || self.unacked.is_some() || is_checked
    }
}

impl Unacked {
    /// Records a 200 that has just been sent once.
    pub fn new(now: Instant, cseq: u32, hop: Hop, bytes: Arc<[u8]>, has_offer: bool) -> Self {
        let (resend_at, ends_at) = (now + T1, now + GIVE_UP);
        Self { cseq, is_first: false, hop, bytes, has_offer, resend: T1, resend_at, ends_at }
    }

    /// Plans the next retransmission, with twice the interval.
    pub fn schedule_resend(&mut self, now: Instant) {
        self.resend = (self.resend * 2).min(T2);
        self.resend_at = now + self.resend;
    }
}

impl fmt::Debug for CallMedia {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallMedia").field("negotiation", &self.negotiation).finish_non_exhaustive()
    }
}

impl CallMedia {
    /// Starts without an agreement. The far end sends its media to `address`.
    pub fn new(address: SocketAddr, session: u64, srtp: (SrtpPolicy, SrtpSecret)) -> Self {
        let local = LocalMedia { address: address.ip(), port: address.port(), session };
        Self {
            negotiation: Negotiation::new(local).encrypted(srtp.0, srtp.1),
            text: String::new(),
            is_held: false,
            has_told_keys: false,
            has_told_clear_key: false,
        }
    }

    /// Returns the last agreement. None before the first one.
    pub fn agreed(&self) -> Option<&Agreed> {
        self.negotiation.agreed()
    }

    /// Answers an offer and puts the answer into [`CallMedia::text`].
    ///
    /// # Errors
    ///
    /// The offer is not acceptable. The previous agreement still holds.
    pub fn answer(&mut self, offer: &[u8], route: MediaRoute<'_>) -> Result<(), Refusal> {
        self.text = self.negotiation.answer(offer, route)?.0;
        Ok(())
    }

    /// Offers these codecs alone, in this order, from the first offer on.
    pub fn prefer(&mut self, codecs: &[Law]) {
        self.negotiation.prefer(codecs);
    }

    /// Makes an offer and puts it into [`CallMedia::text`].
    pub fn offer(&mut self) {
        self.text = self.negotiation.offer();
    }

    /// Reads an answer that a provisional response brings, without taking it.
    ///
    /// # Errors
    ///
    /// The answer is not acceptable.
    pub fn preview(&self, answer: &[u8], route: MediaRoute<'_>) -> Result<Agreed, Refusal> {
        self.negotiation.clone().accept(answer, route)
    }

    /// Names another address of ours in the next description. Returns whether it differs from the one
    /// before.
    pub fn move_to(&mut self, address: SocketAddr) -> bool {
        self.negotiation.move_to(address)
    }

    /// Takes the answer to our offer. Returns true if it changes the agreement.
    ///
    /// # Errors
    ///
    /// The answer is not acceptable. The previous agreement still holds.
    pub fn accept(&mut self, answer: &[u8], route: MediaRoute<'_>) -> Result<bool, Refusal> {
        let before = self.negotiation.agreed().cloned();
        let agreed = self.negotiation.accept(answer, route)?;
        Ok(before.as_ref() != Some(&agreed))
    }
}
