//! One call, as signalling holds it: its dialog, its description of sound, and what it waits for.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    dialog::Dialog,
    request::{Hop, Request},
    session_timer::{SessionTimer, Terms},
    transaction::{GIVE_UP, T1, T2},
};
use crate::{
    base::ids::CallId,
    media::{Arrival, Ending},
    rtp::sdp::{Agreed, Local, Negotiation, Refusal},
};

/// One call.
#[derive(Debug)]
pub struct Call {
    /// Its id.
    pub id: CallId,
    /// What both ends call it.
    pub dialog: Dialog,
    /// How far it has come.
    pub phase: Phase,
    /// Its sound; None until its port is open.
    pub sound: Option<Sound>,
    /// A 200 of ours that waits for its ACK.
    pub unacked: Option<Unacked>,
    /// A request of ours that could change the session is on its way.
    pub is_asking: bool,
    /// How long it stands without a refresh.
    pub timer: Option<SessionTimer>,
    /// Whether the far end takes UPDATE.
    pub has_update: bool,
    /// Our last ACK, for a 200 that comes again.
    pub ack: Option<(Hop, Arc<[u8]>)>,
    /// Its row among the timers.
    pub due: Option<Instant>,
}

/// How far a call has come.
#[derive(Debug)]
pub enum Phase {
    /// Not answered.
    Ringing(Box<Ringing>),
    /// Answered.
    Up,
    /// Over for the engine before the ACK has come: the BYE must wait for it.
    Doomed(Ending),
    /// Our BYE is on its way.
    Leaving,
}

/// A call that is not answered.
#[derive(Debug)]
pub struct Ringing {
    /// Its INVITE.
    pub invite: Request,
    /// Where that came from.
    pub hop: Hop,
    /// The transaction.
    pub server: u64,
    /// The offer within; None is a late offer.
    pub offer: Option<Vec<u8>>,
    /// Session timers that were asked for.
    pub terms: Option<Terms>,
    /// For the engine, once the port of its sound is open.
    pub arrival: Option<Arrival>,
    /// What is said again each minute: 180 or 183. None before the flow is known.
    pub progress: Option<(u16, Instant)>,
}

/// A 200 that is sent again until its ACK comes (RFC 3261, 13.3.1.4).
#[derive(Debug)]
pub struct Unacked {
    /// The number of its INVITE.
    pub cseq: u32,
    /// Whether that INVITE began the call.
    pub is_first: bool,
    /// Where it goes.
    pub hop: Hop,
    /// The reply.
    pub bytes: Arc<[u8]>,
    /// Whether it holds our offer, and the ACK must bring the answer.
    pub has_offer: bool,
    /// How long the last wait was.
    pub resend: Duration,
    /// When it is sent again.
    pub resend_at: Instant,
    /// When nobody waits any more.
    pub ends_at: Instant,
}

/// What both ends have said about sound.
#[derive(Debug)]
pub struct Sound {
    negotiation: Negotiation,
    /// Our last description.
    pub text: String,
    /// Whether the engine has been told that the far end holds us.
    pub is_held: bool,
}

/// So often an unanswered call says that it still rings, lest a proxy give up (13.3.1.1).
pub const PROGRESS_EVERY: Duration = Duration::from_secs(60);

impl Call {
    /// When it next wants attention.
    pub fn deadline(&self) -> Option<Instant> {
        let unacked = self.unacked.as_ref().map(|it| it.resend_at.min(it.ends_at));
        let progress = match &self.phase {
            Phase::Ringing(ringing) => ringing.progress.map(|(_, at)| at),
            Phase::Up | Phase::Doomed(_) | Phase::Leaving => None,
        };
        let timer = match self.phase {
            Phase::Up => {
                self.timer.map(|it| it.refresh_at.map_or(it.ends_at, |at| at.min(it.ends_at)))
            }
            Phase::Ringing(_) | Phase::Doomed(_) | Phase::Leaving => None,
        };
        [unacked, progress, timer].into_iter().flatten().min()
    }
}

impl Unacked {
    /// Sent for the first time.
    pub fn new(now: Instant, cseq: u32, hop: Hop, bytes: Arc<[u8]>, has_offer: bool) -> Self {
        let (resend_at, ends_at) = (now + T1, now + GIVE_UP);
        Self { cseq, is_first: false, hop, bytes, has_offer, resend: T1, resend_at, ends_at }
    }

    /// Sent again.
    pub fn again(&mut self, now: Instant) {
        self.resend = (self.resend * 2).min(T2);
        self.resend_at = now + self.resend;
    }
}

impl Sound {
    /// Nothing has been said; `address` is where the far end sends its sound to.
    pub fn new(address: SocketAddr, session: u64) -> Self {
        let local = Local { address: address.ip(), port: address.port(), session };
        Self { negotiation: Negotiation::new(local), text: String::new(), is_held: false }
    }

    /// What has been agreed last.
    pub fn agreed(&self) -> Option<&Agreed> {
        self.negotiation.agreed()
    }

    /// Answers an offer; [`Sound::text`] is the answer.
    ///
    /// # Errors
    ///
    /// It cannot be agreed to: what was agreed before stands.
    pub fn answer(&mut self, offer: &[u8]) -> Result<(), Refusal> {
        self.text = self.negotiation.answer(offer)?.0;
        Ok(())
    }

    /// Makes an offer; [`Sound::text`] is the offer.
    pub fn offer(&mut self) {
        self.text = self.negotiation.offer();
    }

    /// Takes the answer to our offer. True if it says something new.
    ///
    /// # Errors
    ///
    /// It cannot be agreed to: what was agreed before stands.
    pub fn accept(&mut self, answer: &[u8]) -> Result<bool, Refusal> {
        let before = self.negotiation.agreed().cloned();
        let agreed = self.negotiation.accept(answer)?;
        Ok(before.as_ref() != Some(&agreed))
    }
}
