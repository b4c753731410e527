//! The engine: call workers, conference actors, membership, kicks and races on the real actors.

mod backlog;
mod call_worker;
mod conference;
mod corpus;
mod frames;
mod group_guard;
mod kick;
pub(crate) mod membership;
mod races;
mod restore;
