//! Scheduler: runs actors without a runtime. Its owner picks which actor takes the next turn, when.

use std::{sync::Arc, time::Instant};

use parking_lot::Mutex;

use super::{
    TurnOutcome,
    spawner::{Actor, Spawner},
};

/// The actors of a simulation or a test, each marked as idle or not.
#[derive(Default)]
pub struct Scheduler {
    actors: Vec<ScheduledActor>,
    new_actors: SchedulerSpawner,
}

/// The spawner of a registry under test. New actors wait in it until
/// [`Scheduler::add_new_actors`].
#[derive(Clone, Default)]
pub struct SchedulerSpawner(Arc<Mutex<Vec<Box<dyn Actor>>>>);

struct ScheduledActor {
    actor: Box<dyn Actor>,
    /// Its last turn was idle, and no other actor has done anything since.
    is_idle: bool,
}

impl Scheduler {
    /// The spawner to give to a registry.
    pub fn spawner(&self) -> SchedulerSpawner {
        self.new_actors.clone()
    }

    /// Takes over the actors that were spawned since the last call.
    pub fn add_new_actors(&mut self) {
        let scheduled = |actor| ScheduledActor { actor, is_idle: false };
        self.actors.extend(self.new_actors.0.lock().drain(..).map(scheduled));
    }

    /// The number of actors.
    pub fn len(&self) -> usize {
        self.actors.len()
    }

    /// Whether there are no actors.
    pub fn is_empty(&self) -> bool {
        self.actors.is_empty()
    }

    /// The indices of the actors that may have something to do.
    pub fn busy(&self) -> impl Iterator<Item = usize> {
        self.actors.iter().enumerate().filter(|(_, it)| !it.is_idle).map(|(n, _)| n)
    }

    /// Marks every actor as not idle: something has happened.
    pub fn wake(&mut self) {
        self.actors.iter_mut().for_each(|it| it.is_idle = false);
    }

    /// Gives the nth actor a turn. `slice` is how many effects a room performs in it. If the actor
    /// ends, the last one takes its index.
    pub fn turn(
        &mut self,
        n: usize,
        now: Instant,
        mut slice: impl FnMut() -> usize,
    ) -> TurnOutcome {
        let turn = self.actors[n].actor.turn(now, &mut slice);
        match turn {
            TurnOutcome::Busy | TurnOutcome::Sliced => self.wake(),
            TurnOutcome::Idle => self.actors[n].is_idle = true,
            TurnOutcome::Over => {
                drop(self.actors.swap_remove(n));
                self.wake();
            }
        }
        turn
    }

    /// The earliest deadline of the actors.
    pub fn deadline(&self) -> Option<Instant> {
        self.actors.iter().filter_map(|it| it.actor.deadline()).min()
    }
}

impl Spawner for SchedulerSpawner {
    fn spawn_room(&self, actor: Box<dyn Actor>) {
        self.0.lock().push(actor);
    }

    fn spawn_call_worker(&self, actor: Box<dyn Actor>) {
        self.0.lock().push(actor);
    }
}
