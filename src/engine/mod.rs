//! Engine: the actors that run the machines of calls, conferences and groups.
//!
//! An actor takes turns. A turn handles one message or one slice of effects, gets the time as an
//! argument and never waits; it ends in a [`TurnOutcome`]. The actor's `run` waits between turns,
//! on tokio. The simulation takes the turns of many actors itself, in an order that a seed picks.

mod active_call;
mod backlog;
pub mod ban_list;
mod call_effects;
mod call_worker;
mod callbacks;
pub mod conference;
pub mod counters;
mod deliveries;
mod dial;
pub mod directory;
mod element_recordings;
mod ended_calls;
mod event_store;
mod group_guard;
pub mod group_writer;
pub mod handover;
pub mod inbound;
pub mod invite;
mod join;
pub mod journal;
mod keeping;
mod kick;
pub mod membership;
mod notes;
mod observed;
mod partitions;
mod queue;
mod record;
pub mod recorder;
pub mod recording_figures;
pub mod recordings;
pub mod redelivery;
pub mod registry;
mod restorable;
pub mod restore;
mod restore_pair;
pub mod resume;
mod room_queue;
mod room_rows;
mod room_sounds;
mod row_keeper;
pub mod scheduler;
pub mod sealing;
pub mod spawner;
pub mod trace_log;
mod waited_recordings;
mod worker_queue;

/// The result of an actor's turn.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TurnOutcome {
    /// The actor may have more to do: take another turn.
    Busy,
    /// A slice of the effects is done and more are left: yield the thread first.
    Sliced,
    /// Nothing to do until a message arrives or the deadline passes.
    Idle,
    /// The actor has ended and takes no more turns.
    Over,
}
