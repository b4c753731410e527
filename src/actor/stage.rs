//! The stage: where actors get their turns.

use super::{call, conference};

/// Who gives the actors their turns.
pub trait Stage: Send + Sync {
    /// Takes on a call that is on its own.
    fn call(&self, actor: call::Actor);
    /// Takes on a room.
    fn room(&self, actor: conference::Actor);
}

/// On the current runtime, a task for each.
pub struct Tasks;

impl Stage for Tasks {
    fn call(&self, mut actor: call::Actor) {
        tokio::spawn(async move { actor.run().await });
    }

    fn room(&self, mut actor: conference::Actor) {
        tokio::spawn(async move { actor.run().await });
    }
}
