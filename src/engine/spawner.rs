//! Spawner: starts actors. The tokio one runs each in a task; tests have [`super::scheduler`].
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

/// Starts actors and gives them their turns.
pub trait Spawner: Send + Sync {
    /// Starts the actor of a new room.
    fn spawn_room(&self, actor: Box<dyn Actor>);
    /// Starts the actor of a call worker that has got its first call.
    fn spawn_call_worker(&self, actor: Box<dyn Actor>);
}

/// Runs each actor in a task of the current tokio runtime.
pub struct TokioSpawner;

impl Spawner for TokioSpawner {
    fn spawn_room(&self, actor: Box<dyn Actor>) {
        actor.spawn();
    }

    fn spawn_call_worker(&self, actor: Box<dyn Actor>) {
        actor.spawn();
    }
}
