//! The stage: where actors get their turns.

use super::{call_worker, conference};

/// Who gives the actors their turns.
pub trait Stage: Send + Sync {
    /// Takes on a room.
    fn room(&self, actor: conference::Actor);
    /// Takes on calls that are on their own.
    fn ward(&self, actor: call_worker::Actor);
}

/// On the current runtime, a task for each.
pub struct Tasks;

impl Stage for Tasks {
    fn room(&self, mut actor: conference::Actor) {
        tokio::spawn(async move { actor.run().await });
    }

    fn ward(&self, mut actor: call_worker::Actor) {
        tokio::spawn(async move { actor.run().await });
    }
}
