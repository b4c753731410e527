//! Spawner: gives actors their turns on tokio. [`super::scheduler`] is the one for tests.

use std::time::Instant;

use super::TurnOutcome;

/// What a spawner sees of an actor.
pub trait Actor: Send {
    /// Takes one turn. An actor that works in slices asks how many effects this one has.
    fn turn(&mut self, now: Instant, slice: &mut dyn FnMut() -> usize) -> TurnOutcome;

    /// When a turn is next due, if no message comes before.
    fn deadline(&self) -> Option<Instant>;

    /// Takes turns in a task of the current runtime, until it is over.
    fn spawn(self: Box<Self>);
}

/// Gives actors their turns.
pub trait Spawner: Send + Sync {
    /// Takes on the actor of a room.
    fn spawn_room(&self, actor: Box<dyn Actor>);
    /// Takes on the actor of a call worker.
    fn spawn_call_worker(&self, actor: Box<dyn Actor>);
}

/// A task of the current tokio runtime for each actor.
pub struct TokioSpawner;

impl Spawner for TokioSpawner {
    fn spawn_room(&self, actor: Box<dyn Actor>) {
        actor.spawn();
    }

    fn spawn_call_worker(&self, actor: Box<dyn Actor>) {
        actor.spawn();
    }
}
