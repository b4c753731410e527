//! A stage without a runtime: whoever owns it says whose turn it is, and when.

use std::{sync::Arc, time::Instant};

use parking_lot::Mutex;

use super::{
    TurnOutcome,
    spawner::{Actor, Spawner},
};

/// Actors, and whether they have something to do.
#[derive(Default)]
pub struct Scheduler {
    actors: Vec<ScheduledActor>,
    new_actors: SchedulerSpawner,
}

/// Where new actors wait until [`Scheduler::add_new_actors`] lets them in; it is a registry's stage.
#[derive(Clone, Default)]
pub struct SchedulerSpawner(Arc<Mutex<Vec<Box<dyn Actor>>>>);

struct ScheduledActor {
    actor: Box<dyn Actor>,
    /// Its last turn brought nothing, and nobody has done anything since.
    is_idle: bool,
}

impl Scheduler {
    /// The stage that a registry is to have.
    pub fn spawner(&self) -> SchedulerSpawner {
        self.new_actors.clone()
    }

    /// Lets in who has come.
    pub fn add_new_actors(&mut self) {
        let scheduled = |actor| ScheduledActor { actor, is_idle: false };
        self.actors.extend(self.new_actors.0.lock().drain(..).map(scheduled));
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.actors.len()
    }

    /// Nobody is there.
    pub fn is_empty(&self) -> bool {
        self.actors.is_empty()
    }

    /// Who may have something to do.
    pub fn busy(&self) -> impl Iterator<Item = usize> {
        self.actors.iter().enumerate().filter(|(_, it)| !it.is_idle).map(|(n, _)| n)
    }

    /// Something has happened: anybody may have something to do.
    pub fn wake(&mut self) {
        self.actors.iter_mut().for_each(|it| it.is_idle = false);
    }

    /// The nth takes its turn; a room does so many of its effects. The last takes the seat of one
    /// who is over.
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

    /// When somebody has something to do, if nothing happens before.
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
