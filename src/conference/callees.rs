//! Callees of a `<Dial>`: the calls that it makes, and which of them is connected.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use super::event::CalleeInfo;
use crate::{base::ids::MemberId, call::Call, flow::DialOptions, media::Ending};

/// A `<Dial>` under way.
#[derive(Debug)]
pub(super) struct DialState {
    pub(super) caller: MemberId,
    pub(super) options: Arc<DialOptions>,
    pub(super) callees: BTreeMap<MemberId, Box<Callee>>,
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

/// A callee that is not connected.
#[derive(Debug)]
pub(super) struct Callee {
    pub(super) call: Box<Call>,
    /// `sendDigits`, until they are sent.
    pub(super) digits: Option<Arc<str>>,
    /// `sendOnPreanswer`: they are sent at the callee's early media.
    pub(super) sends_early: bool,
    pub(super) state: CalleeState,
    pub(super) answered_at: Option<Instant>,
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
