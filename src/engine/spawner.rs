//! Spawner: starts actors. The tokio one runs each in a task; tests have [`super::scheduler`].

use super::{call_worker, conference};

/// Starts actors and gives them their turns.
pub trait Spawner: Send + Sync {
    /// Starts the actor of a new room.
    fn spawn_room(&self, actor: conference::RoomActor);
    /// Starts the actor of a call worker that has got its first call.
    fn spawn_call_worker(&self, actor: call_worker::CallWorkerActor);
}

/// Runs each actor in a task of the current tokio runtime.
pub struct TokioSpawner;

impl Spawner for TokioSpawner {
    fn spawn_room(&self, mut actor: conference::RoomActor) {
        tokio::spawn(async move { actor.run().await });
    }

    fn spawn_call_worker(&self, mut actor: call_worker::CallWorkerActor) {
        tokio::spawn(async move { actor.run().await });
    }
}
