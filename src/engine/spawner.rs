//! The stage: where actors get their turns.

use super::{call_worker, conference};

/// Who gives the actors their turns.
pub trait Spawner: Send + Sync {
    /// Takes on a room.
    fn spawn_room(&self, actor: conference::RoomActor);
    /// Takes on calls that are on their own.
    fn spawn_call_worker(&self, actor: call_worker::CallWorkerActor);
}

/// On the current runtime, a task for each.
pub struct TokioSpawner;

impl Spawner for TokioSpawner {
    fn spawn_room(&self, mut actor: conference::RoomActor) {
        tokio::spawn(async move { actor.run().await });
    }

    fn spawn_call_worker(&self, mut actor: call_worker::CallWorkerActor) {
        tokio::spawn(async move { actor.run().await });
    }
}
