//! Callees: the calls that a room makes, and which of them are dialled together.
//!
//! Callees that are dialled together are rivals: the first to be accepted wins, and the others end. How
//! that goes is in [`super::accept`].

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use super::{NewCallee, event::CalleeInfo};
use crate::{
    base::ids::MemberId,
    call::Call,
    flow::{CalleeTerms, DialOptions, Flow},
    media::Ending,
};

/// The calls that a room makes. A room with a name has none of this while it makes none.
#[derive(Debug, Default)]
pub(super) struct DialState {
    /// The `<Dial>` whose room it is; None in a room with a name.
    pub(super) pair: Option<DialledPair>,
    /// Those that are not accepted yet.
    pub(super) callees: BTreeMap<MemberId, Box<Callee>>,
}

/// The caller of a `<Dial>` and the callee that it is connected with.
#[derive(Debug)]
pub(super) struct DialledPair {
    pub(super) caller: MemberId,
    pub(super) options: Arc<DialOptions>,
    pub(super) connected: Option<ConnectedCallee>,
    pub(super) has_rung: bool,
    /// How the last callee ended that was not connected.
    pub(super) last: Option<Ending>,
    /// The callee whose early media the caller hears.
    pub(super) heard_early: Option<MemberId>,
}

/// The callee that is a member now.
#[derive(Debug)]
pub(super) struct ConnectedCallee {
    pub(super) member: MemberId,
    pub(super) info: CalleeInfo,
    pub(super) answered_at: Instant,
}

/// A callee that is not accepted.
#[derive(Debug)]
pub(super) struct Callee {
    pub(super) call: Box<Call>,
    /// `sendDigits`, until they are sent.
    pub(super) digits: Option<Arc<str>>,
    /// `sendOnPreanswer`: they are sent at the callee's early media.
    pub(super) sends_early: bool,
    pub(super) state: CalleeState,
    pub(super) answered_at: Option<Instant>,
    pub(super) invitation: Arc<Invitation>,
    /// The number of its destination in the `<Dial>`, from zero.
    pub(super) destination: usize,
    /// The destination rang before a crash, and is called for the second time.
    pub(super) is_second: bool,
}

/// What callees that are dialled together have in common.
#[derive(Debug)]
pub(super) struct Invitation {
    /// The first of them, whose id stands for all.
    pub(super) first: MemberId,
    pub(super) terms: Arc<CalleeTerms>,
    pub(super) dialled_at: Instant,
    /// The document that the winner runs in a room with a name; None in the room of a `<Dial>`.
    pub(super) flow: Option<Arc<Flow>>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum CalleeState {
    Dialled,
    Ringing,
    /// It is sent keys; the order has this number.
    Keys(u32),
    /// It hears the sound, whose order has this number, or waits for it, and may press the key.
    Confirming(Option<u32>),
}

impl Callee {
    pub(super) fn new(
        callee: NewCallee,
        invitation: Arc<Invitation>,
        destination: usize,
    ) -> Box<Self> {
        let NewCallee { member: _, call, digits, sends_early, no_route: _ } = callee;
        Box::new(Self {
            call,
            digits,
            sends_early,
            state: CalleeState::Dialled,
            answered_at: None,
            invitation,
            destination,
            is_second: false,
        })
    }

    pub(super) fn confirms_until(&self) -> Option<Instant> {
        self.answered_at.map(|at| at + self.invitation.terms.confirm_timeout)
    }
}

impl Invitation {
    pub(super) fn rings_until(&self) -> Instant {
        self.dialled_at + self.terms.ring_timeout
    }
}
