//! A stage without a runtime: whoever owns it says whose turn it is, and when.

use std::{sync::Arc, time::Instant};

use parking_lot::Mutex;

use super::{TurnOutcome, call_worker, conference, registry::Spawner};

/// Actors, and whether they have something to do.
#[derive(Default)]
pub struct Scheduler {
    actors: Vec<ScheduledActor>,
    new_actors: SchedulerSpawner,
}

/// Where new actors wait until [`Scheduler::add_new_actors`] lets them in; it is a registry's stage.
#[derive(Clone, Default)]
pub struct SchedulerSpawner(Arc<Mutex<Vec<AnyActor>>>);

struct ScheduledActor {
    actor: AnyActor,
    /// Its last turn brought nothing, and nobody has done anything since.
    is_idle: bool,
}

enum AnyActor {
    Room(Box<conference::RoomActor>),
    CallWorker(Box<call_worker::CallWorkerActor>),
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
    pub fn turn(&mut self, n: usize, now: Instant, slice: impl FnOnce() -> usize) -> TurnOutcome {
        let turn = match &mut self.actors[n].actor {
            AnyActor::Room(actor) => actor.turn(now, slice()),
            AnyActor::CallWorker(actor) => actor.turn(now),
        };
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
        let deadline = |it: &ScheduledActor| match &it.actor {
            AnyActor::Room(actor) => actor.deadline(),
            AnyActor::CallWorker(actor) => actor.deadline(),
        };
        self.actors.iter().filter_map(deadline).min()
    }
}

impl Spawner for SchedulerSpawner {
    fn spawn_room(&self, actor: conference::RoomActor) {
        self.0.lock().push(AnyActor::Room(Box::new(actor)));
    }

    fn spawn_call_worker(&self, actor: call_worker::CallWorkerActor) {
        self.0.lock().push(AnyActor::CallWorker(Box::new(actor)));
    }
}
