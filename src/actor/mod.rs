//! Actors: the shells around the machines.
//!
//! Each actor takes [`Turn`]s: one thing at a time, at a time that is an argument, without
//! waiting. Its `run` waits between turns, on tokio; the simulation takes the turns of many
//! actors itself, in an order that a seed picks.

pub mod conference;
pub mod doors;
mod entering;
pub mod group;
mod guard;
pub mod house;
pub mod journal;
pub mod reception;
mod stage;
pub mod tally;
mod trace;
pub mod tracer;
pub mod turns;
pub mod ward;
pub mod writer;

/// What an actor's turn has come to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Turn {
    /// There may be more to do.
    Busy,
    /// A slice is done and more is waiting: let others have the thread.
    Sliced,
    /// Nothing to do until a message comes, or the deadline.
    Idle,
    /// The actor has nothing left, and will never have.
    Over,
}
