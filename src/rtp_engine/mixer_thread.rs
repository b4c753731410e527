//! The legs and rooms of one tick thread, and what a tick does to them.
//!
//! A shard reads no clock and knows no socket: its thread says what time it is, and each leg
//! brings its wire. So a test can let hours go by.

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, mpsc::Sender},
    time::Instant,
};

use super::{
    command::{Deed, Message},
    gauges::{Counted, Gauges},
    leg::{Bench, Leg},
    mailbox::{Concern, Desk, Mark, Post},
    room::Room,
    socket::Wire,
};
use crate::{
    audio::{mix::Talk, tone::Tones},
    base::ids::{CallId, RoomId},
    media::{Heard, Report},
};

/// What one thread owns.
#[derive(Debug)]
pub(super) struct Shard<W> {
    pub(super) bench: Bench,
    pub(super) legs: Vec<Option<Box<Leg<W>>>>,
    pub(super) rooms: Vec<Option<Room>>,
    /// This tick has been mixed, and is being sent.
    pub(super) is_mixed: bool,
    calls: HashMap<CallId, Place>,
    room_ids: HashMap<RoomId, usize>,
    /// Places in `legs` and `rooms` that are empty.
    free_legs: Vec<usize>,
    free_rooms: Vec<usize>,
    /// Legs that go elsewhere when the tick is over.
    leaving: Vec<usize>,
    talks: Vec<Talk>,
    desk: Desk<Message<W>>,
    links: Links<W>,
}

/// Whom a shard tells.
#[derive(Debug)]
pub(super) struct Links<W> {
    /// All threads of the plane, this one included.
    pub(super) threads: Arc<[Post<Message<W>>]>,
    /// None is for the one who closes the plane to send.
    pub(super) reports: Sender<Option<Report>>,
}

/// Where a call of this thread is.
#[derive(Debug, Default)]
struct Place {
    /// In `legs`; none if it is yet to come.
    here: Option<usize>,
    /// It is to come, perhaps once more: this waits for it.
    awaited: Option<Vec<Deed>>,
}

impl<W: Wire> Shard<W> {
    /// No legs yet.
    pub(super) fn new(
        now: Instant,
        desk: Desk<Message<W>>,
        links: Links<W>,
        tones: Arc<Tones>,
        gauges: Arc<Gauges>,
    ) -> Self {
        Self {
            bench: Bench::new(now, tones, gauges),
            legs: Vec::new(),
            rooms: Vec::new(),
            is_mixed: false,
            calls: HashMap::new(),
            room_ids: HashMap::new(),
            free_legs: Vec::new(),
            free_rooms: Vec::new(),
            leaving: Vec::new(),
            talks: Vec::new(),
            desk,
            links,
        }
    }

    /// One tick: orders, what has come, the mix, and what goes out. `ntp` is the same moment as
    /// `now`; ticks are numbered alike on all threads, from 1 on.
    pub(super) fn tick(&mut self, tick: u64, now: Instant, ntp: u64) {
        (self.bench.tick, self.bench.now, self.bench.ntp) = (tick, now, ntp);
        self.take_orders();
        self.listen();
        self.mix();
        self.is_mixed = true;
        for at in 0..self.legs.len() {
            self.play_out(at);
        }
        self.is_mixed = false;
        self.hand_over();
    }

    /// After a panic, which is a bug: what is here cannot be trusted any more. All its calls lose
    /// their sound, and the engine is told; those of other threads go on.
    pub(super) fn fail(&mut self) {
        self.desk.end();
        self.is_mixed = false;
        self.bench.heard.clear();
        self.legs.clear();
        self.free_legs.clear();
        self.rooms.clear();
        self.free_rooms.clear();
        self.room_ids.clear();
        self.leaving.clear();
        self.talks.clear();
        for (call, _) in self.calls.drain() {
            report(&self.links, call, [Heard::Lost]);
        }
    }

    fn take_orders(&mut self) {
        while let Some(message) = self.desk.take() {
            match message {
                Message::Open(leg) => _ = self.settle(leg),
                Message::One(call, deed) => self.tell(call, deed),
                Message::Many(calls, deed) => {
                    calls.into_iter().for_each(|call| self.tell(call, deed.clone()));
                }
                Message::Arrived(leg) => self.arrive(leg),
            }
        }
    }

    /// A leg is here. Its first packet goes out in the next tick.
    fn settle(&mut self, mut leg: Box<Leg<W>>) -> usize {
        if leg.served == 0 {
            leg.served = self.bench.tick;
        }
        let call = leg.call;
        let at = self.free_legs.pop().unwrap_or_else(|| {
            self.legs.push(None);
            self.legs.len() - 1
        });
        self.legs[at] = Some(leg);
        self.calls.entry(call).or_default().here = Some(at);
        at
    }

    fn arrive(&mut self, leg: Box<Leg<W>>) {
        let at = self.settle(leg);
        let call = self.legs[at].as_ref().map(|leg| leg.call);
        let place = call.and_then(|call| self.calls.get_mut(&call));
        let awaited = place.and_then(|place| place.awaited.take());
        // Unless all that was known here was lost meanwhile.
        let mut deeds = awaited.into_iter().flatten();
        while let Some(deed) = deeds.next() {
            if let Deed::Expect = deed {
                // It was called away again, and back: the rest is for then.
                let place = call.and_then(|call| self.calls.get_mut(&call));
                place.into_iter().for_each(|place| place.awaited = Some(deeds.by_ref().collect()));
                return;
            }
            self.obey(at, deed);
        }
    }

    /// A call that is unknown here has ended: nothing happens.
    fn tell(&mut self, call: CallId, deed: Deed) {
        if let Deed::Expect = deed {
            self.calls.entry(call).or_default();
        }
        match (self.calls.get_mut(&call), deed) {
            (Some(Place { awaited: Some(deeds), .. }), deed) => deeds.push(deed),
            (Some(place), Deed::Expect) => place.awaited = Some(Vec::new()),
            (Some(Place { here: Some(at), .. }), deed) => {
                let at = *at;
                self.obey(at, deed);
            }
            (Some(_) | None, _) => (),
        }
    }

    /// The leg at this place goes elsewhere when the tick is over.
    pub(super) fn leaves(&mut self, at: usize) {
        self.leaving.push(at);
    }

    pub(super) fn report(&self, call: CallId, heard: Option<Heard>) {
        report(&self.links, call, heard);
    }

    /// Takes a leg out, wherever it goes.
    pub(super) fn take_out(&mut self, at: usize) -> Option<Box<Leg<W>>> {
        let leg = self.legs[at].take()?;
        self.free_legs.push(at);
        if let Some(place) = self.calls.get_mut(&leg.call) {
            place.here = None;
            if place.awaited.is_none() {
                self.calls.remove(&leg.call);
            }
        }
        Some(leg)
    }

    /// The room of this id, opened if need be.
    pub(super) fn room(&mut self, id: RoomId) -> usize {
        if let Some(at) = self.room_ids.get(&id) {
            return *at;
        }
        let room = Room::new(id, Counted::new(&self.bench.gauges, 1, |it| &it.rooms));
        let at = self.free_rooms.pop().unwrap_or_else(|| {
            self.rooms.push(None);
            self.rooms.len() - 1
        });
        self.rooms[at] = Some(room);
        self.room_ids.insert(id, at);
        at
    }

    /// A room that is empty is gone.
    pub(super) fn close_room(&mut self, at: usize) {
        if let Some(room) = self.rooms[at].take() {
            self.room_ids.remove(&room.id);
            self.free_rooms.push(at);
        }
    }

    /// Reads what has come, and lays it before the rooms.
    fn listen(&mut self) {
        let Self { legs, rooms, bench, links, .. } = self;
        for leg in legs.iter_mut().flatten() {
            leg.receive(bench);
            let (call, seat) = (leg.call, leg.seat);
            let said = leg.listen(bench);
            if let (Some((law, frame)), Some(seat)) = (said, seat)
                && let Some(room) = &mut rooms[seat.room]
            {
                room.mixer.put(seat.slot, law, frame);
            }
            report(links, call, bench.heard.drain(..));
        }
    }

    fn mix(&mut self) {
        let Self { legs, rooms, talks, links, .. } = self;
        for room in rooms.iter_mut().flatten() {
            room.mixer.mix(talks);
            for talk in talks.drain(..) {
                if let Some(leg) = &legs[room.leg_at(talk.slot)] {
                    report(links, leg.call, [Heard::Talk(talk.on)]);
                }
            }
        }
    }

    /// Sends a leg what it hears. Orders that come in between take effect first.
    fn play_out(&mut self, at: usize) {
        while let Some(mark) = self.mark(at) {
            if !self.desk.begin(mark) {
                self.take_orders();
                continue;
            }
            let Self { legs, rooms, bench, links, .. } = self;
            if let Some(leg) = &mut legs[at] {
                let seat = leg.seat.and_then(|seat| Some((rooms[seat.room].as_mut()?, seat.slot)));
                leg.play_out(seat.map(|(room, slot)| room.mixer.ear(slot)), bench);
            }
            self.desk.end();
            if let Some(leg) = &mut legs[at] {
                leg.report(bench);
                report(links, leg.call, bench.heard.drain(..));
            }
            return;
        }
    }

    /// What kind of packet a leg is to get. None: none in this tick.
    fn mark(&self, at: usize) -> Option<Mark> {
        let leg = self.legs[at].as_ref()?;
        if !leg.is_agreed() || self.bench.tick <= leg.served {
            return None;
        }
        let room = leg.seat.and_then(|seat| self.rooms[seat.room].as_ref());
        Some(room.map_or_else(|| Mark::of_call(leg.call), |room| Mark::of_room(room.id)))
    }

    fn hand_over(&mut self) {
        for at in mem::take(&mut self.leaving) {
            let thread = self.legs[at].as_mut().and_then(|leg| leg.leaves_for.take());
            if let Some(thread) = thread
                && let Some(leg) = self.take_out(at)
            {
                // It makes no packets on its way, so there is none to wait for.
                self.links.threads[thread].post(Message::Arrived(leg)).settle(Concern::Nothing);
            }
        }
    }
}

/// Tells what a call has done. Nobody listens any more when the plane is being closed.
fn report<W>(links: &Links<W>, call: CallId, heard: impl IntoIterator<Item = Heard>) {
    heard.into_iter().for_each(|heard| _ = links.reports.send(Some(Report { call, heard })));
}

#[cfg(test)]
mod tests;
