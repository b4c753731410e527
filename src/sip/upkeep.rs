//! State of the upkeep of trunks: registrations, probes, and who waits for which answer.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use super::{probe::Probes, registration::Registration, request::Hop, resolve::ResolvedAddress};

/// What the agent does for trunks by itself.
#[derive(Debug, Default)]
pub struct Upkeep {
    pub(super) registrations: BTreeMap<u64, Registration>,
    pub(super) last: u64,
    pub(super) probes: Probes,
    /// Who waits for the answer to a question.
    pub(super) questions: BTreeMap<u64, AnswerFor>,
    pub(super) due: Option<Instant>,
    /// Whether something may have changed since [`Agent::trunk_changes`](super::agent::Agent::trunk_changes).
    pub(super) has_changed: bool,
}

/// Who has asked for addresses, or for the way to one.
#[derive(Clone, Copy, Debug)]
pub enum AnswerFor {
    /// A registration, by its number.
    Registration(u64),
    /// A target that is probed, by its number.
    Target(u64),
    /// A probe of one address of a target.
    Probe(u64, ResolvedAddress),
}

/// The answer to a question.
#[derive(Clone, Copy, Debug)]
pub enum UpkeepAnswer<'a> {
    /// The addresses of a name; empty if there is no answer.
    Addresses(&'a [ResolvedAddress]),
    /// The way to an address; None if no socket of ours reaches it.
    Way(Option<Hop>),
}

/// What is known of a trunk through which calls leave.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TrunkStatus {
    /// Its name in the configuration.
    pub trunk: Arc<str>,
    /// Whether we are registered at it. None: we do not register.
    pub is_registered: Option<bool>,
    /// Its targets that are probed, and whether one of the addresses of each is up.
    pub targets: Vec<(String, bool)>,
}
