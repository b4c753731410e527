//! A stage without a runtime: whoever owns it says whose turn it is, and when.

use std::{sync::Arc, time::Instant};

use parking_lot::Mutex;

use super::{Turn, call_worker, conference, registry::Stage};

/// Actors, and whether they have something to do.
#[derive(Default)]
pub struct Turns {
    actors: Vec<Seat>,
    door: Door,
}

/// Where new actors wait until [`Turns::admit`] lets them in; it is a house's stage.
#[derive(Clone, Default)]
pub struct Door(Arc<Mutex<Vec<Actor>>>);

struct Seat {
    actor: Actor,
    /// Its last turn brought nothing, and nobody has done anything since.
    is_idle: bool,
}

enum Actor {
    Room(Box<conference::Actor>),
    Ward(Box<call_worker::Actor>),
}

impl Turns {
    /// The stage that a house is to have.
    pub fn door(&self) -> Door {
        self.door.clone()
    }

    /// Lets in who has come.
    pub fn admit(&mut self) {
        let seat = |actor| Seat { actor, is_idle: false };
        self.actors.extend(self.door.0.lock().drain(..).map(seat));
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
    pub fn turn(&mut self, n: usize, now: Instant, slice: impl FnOnce() -> usize) -> Turn {
        let turn = match &mut self.actors[n].actor {
            Actor::Room(actor) => actor.turn(now, slice()),
            Actor::Ward(actor) => actor.turn(now),
        };
        match turn {
            Turn::Busy | Turn::Sliced => self.wake(),
            Turn::Idle => self.actors[n].is_idle = true,
            Turn::Over => {
                drop(self.actors.swap_remove(n));
                self.wake();
            }
        }
        turn
    }

    /// When somebody has something to do, if nothing happens before.
    pub fn deadline(&self) -> Option<Instant> {
        let deadline = |it: &Seat| match &it.actor {
            Actor::Room(actor) => actor.deadline(),
            Actor::Ward(actor) => actor.deadline(),
        };
        self.actors.iter().filter_map(deadline).min()
    }
}

impl Stage for Door {
    fn room(&self, actor: conference::Actor) {
        self.0.lock().push(Actor::Room(Box::new(actor)));
    }

    fn ward(&self, actor: call_worker::Actor) {
        self.0.lock().push(Actor::Ward(Box::new(actor)));
    }
}
