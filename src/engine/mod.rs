//! Actors: the shells around the machines.
//!
//! Each actor takes [`TurnOutcome`]s: one thing at a time, at a time that is an argument, without
//! waiting. Its `run` waits between turns, on tokio; the simulation takes the turns of many
//! actors itself, in an order that a seed picks.

pub mod ban_list;
mod call_worker;
pub mod conference;
pub mod counters;
pub mod directory;
mod group_guard;
pub mod group_writer;
pub mod inbound;
mod join;
pub mod journal;
pub mod membership;
mod observed;
mod queue;
pub mod registry;
mod room_queue;
pub mod scheduler;
pub mod spawner;
pub mod trace_log;
mod worker_queue;

/// What an actor's turn has come to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TurnOutcome {
    /// There may be more to do.
    Busy,
    /// A slice is done and more is waiting: let others have the thread.
    Sliced,
    /// Nothing to do until a message comes, or the deadline.
    Idle,
    /// The actor has nothing left, and will never have.
    Over,
}
