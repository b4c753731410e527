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
    command::{Command, MailboxMessage},
    gauges::{GaugeGuard, RtpGauges},
    leg::{RtpLeg, TickContext},
    mailbox::{FrameOwner, Mailbox, MailboxSender, WaitFor},
    room::MixerRoom,
    socket::RtpSocket,
};
use crate::{
    audio::{mix::TalkChange, tone::Tones},
    base::ids::{CallId, RoomId},
    media::{LegEvent, Report},
};

/// What one thread owns.
#[derive(Debug)]
pub(super) struct MixerThread<W> {
    pub(super) context: TickContext,
    pub(super) legs: Vec<Option<Box<RtpLeg<W>>>>,
    pub(super) rooms: Vec<Option<MixerRoom>>,
    /// This tick has been mixed, and is being sent.
    pub(super) is_mixed: bool,
    calls: HashMap<CallId, LegLocation>,
    room_ids: HashMap<RoomId, usize>,
    /// Places in `legs` and `rooms` that are empty.
    free_legs: Vec<usize>,
    free_rooms: Vec<usize>,
    /// Legs that go elsewhere when the tick is over.
    leaving: Vec<usize>,
    talks: Vec<TalkChange>,
    desk: Mailbox<MailboxMessage<W>>,
    links: ThreadLinks<W>,
}

/// Whom a shard tells.
#[derive(Debug)]
pub(super) struct ThreadLinks<W> {
    /// All threads of the engine, this one included.
    pub(super) threads: Arc<[MailboxSender<MailboxMessage<W>>]>,
    /// None is for the one who closes the engine to send.
    pub(super) reports: Sender<Option<Report>>,
}

/// Where a call of this thread is.
#[derive(Debug, Default)]
struct LegLocation {
    /// In `legs`; none if it is yet to come.
    index: Option<usize>,
    /// It is to come, perhaps once more: this waits for it.
    awaited: Option<Vec<Command>>,
}

impl<W: RtpSocket> MixerThread<W> {
    /// No legs yet.
    pub(super) fn new(
        now: Instant,
        desk: Mailbox<MailboxMessage<W>>,
        links: ThreadLinks<W>,
        tones: Arc<Tones>,
        gauges: Arc<RtpGauges>,
    ) -> Self {
        Self {
            context: TickContext::new(now, tones, gauges),
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
        (self.context.tick, self.context.now, self.context.ntp) = (tick, now, ntp);
        self.take_messages();
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
        self.desk.end_frame();
        self.is_mixed = false;
        self.context.heard.clear();
        self.legs.clear();
        self.free_legs.clear();
        self.rooms.clear();
        self.free_rooms.clear();
        self.room_ids.clear();
        self.leaving.clear();
        self.talks.clear();
        for (call, _) in self.calls.drain() {
            report(&self.links, call, [LegEvent::MediaLost]);
        }
    }

    fn take_messages(&mut self) {
        while let Some(message) = self.desk.take() {
            match message {
                MailboxMessage::Open(leg) => _ = self.insert_leg(leg),
                MailboxMessage::One(call, command) => self.dispatch(call, command),
                MailboxMessage::Many(calls, command) => {
                    calls.into_iter().for_each(|call| self.dispatch(call, command.clone()));
                }
                MailboxMessage::MovedIn(leg) => self.take_over(leg),
            }
        }
    }

    /// A leg is here. Its first packet goes out in the next tick.
    fn insert_leg(&mut self, mut leg: Box<RtpLeg<W>>) -> usize {
        if leg.last_tick == 0 {
            leg.last_tick = self.context.tick;
        }
        let call = leg.call;
        let at = self.free_legs.pop().unwrap_or_else(|| {
            self.legs.push(None);
            self.legs.len() - 1
        });
        self.legs[at] = Some(leg);
        self.calls.entry(call).or_default().index = Some(at);
        at
    }

    fn take_over(&mut self, leg: Box<RtpLeg<W>>) {
        let at = self.insert_leg(leg);
        let call = self.legs[at].as_ref().map(|leg| leg.call);
        let location = call.and_then(|call| self.calls.get_mut(&call));
        let awaited = location.and_then(|place| place.awaited.take());
        // Unless all that was known here was lost meanwhile.
        let mut commands = awaited.into_iter().flatten();
        while let Some(command) = commands.next() {
            if let Command::ExpectLeg = command {
                // It was called away again, and back: the rest is for then.
                let location = call.and_then(|call| self.calls.get_mut(&call));
                location
                    .into_iter()
                    .for_each(|place| place.awaited = Some(commands.by_ref().collect()));
                return;
            }
            self.apply(at, command);
        }
    }

    /// A call that is unknown here has ended: nothing happens.
    fn dispatch(&mut self, call: CallId, command: Command) {
        if let Command::ExpectLeg = command {
            self.calls.entry(call).or_default();
        }
        match (self.calls.get_mut(&call), command) {
            (Some(LegLocation { awaited: Some(commands), .. }), command) => commands.push(command),
            (Some(location), Command::ExpectLeg) => location.awaited = Some(Vec::new()),
            (Some(LegLocation { index: Some(at), .. }), command) => {
                let at = *at;
                self.apply(at, command);
            }
            (Some(_) | None, _) => (),
        }
    }

    /// The leg at this place goes elsewhere when the tick is over.
    pub(super) fn mark_leaving(&mut self, at: usize) {
        self.leaving.push(at);
    }

    pub(super) fn report(&self, call: CallId, heard: Option<LegEvent>) {
        report(&self.links, call, heard);
    }

    /// Takes a leg out, wherever it goes.
    pub(super) fn remove_leg(&mut self, at: usize) -> Option<Box<RtpLeg<W>>> {
        let leg = self.legs[at].take()?;
        self.free_legs.push(at);
        if let Some(location) = self.calls.get_mut(&leg.call) {
            location.index = None;
            if location.awaited.is_none() {
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
        let room = MixerRoom::new(id, GaugeGuard::new(&self.context.gauges, 1, |it| &it.rooms));
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
        let Self { legs, rooms, context, links, .. } = self;
        for leg in legs.iter_mut().flatten() {
            leg.receive(context);
            let (call, seat) = (leg.call, leg.room_slot);
            let said = leg.listen(context);
            if let (Some((law, frame)), Some(seat)) = (said, seat)
                && let Some(room) = &mut rooms[seat.room]
            {
                room.mixer.put(seat.slot, law, frame);
            }
            report(links, call, context.heard.drain(..));
        }
    }

    fn mix(&mut self) {
        let Self { legs, rooms, talks, links, .. } = self;
        for room in rooms.iter_mut().flatten() {
            room.mixer.mix(talks);
            for talk in talks.drain(..) {
                if let Some(leg) = &legs[room.leg_at(talk.slot)] {
                    report(links, leg.call, [LegEvent::Talk(talk.on)]);
                }
            }
        }
    }

    /// Sends a leg what it hears. Orders that come in between take effect first.
    fn play_out(&mut self, at: usize) {
        while let Some(owner) = self.frame_owner(at) {
            if !self.desk.begin_frame(owner) {
                self.take_messages();
                continue;
            }
            let Self { legs, rooms, context, links, .. } = self;
            if let Some(leg) = &mut legs[at] {
                let seat =
                    leg.room_slot.and_then(|seat| Some((rooms[seat.room].as_mut()?, seat.slot)));
                leg.play_out(seat.map(|(room, slot)| room.mixer.leg_mix(slot)), context);
            }
            self.desk.end_frame();
            if let Some(leg) = &mut legs[at] {
                leg.report(context);
                report(links, leg.call, context.heard.drain(..));
            }
            return;
        }
    }

    /// What kind of packet a leg is to get. None: none in this tick.
    fn frame_owner(&self, at: usize) -> Option<FrameOwner> {
        let leg = self.legs[at].as_ref()?;
        if !leg.is_agreed() || self.context.tick <= leg.last_tick {
            return None;
        }
        let room = leg.room_slot.and_then(|seat| self.rooms[seat.room].as_ref());
        Some(
            room.map_or_else(|| FrameOwner::of_call(leg.call), |room| FrameOwner::of_room(room.id)),
        )
    }

    fn hand_over(&mut self) {
        for at in mem::take(&mut self.leaving) {
            let thread = self.legs[at].as_mut().and_then(|leg| leg.moves_to.take());
            if let Some(thread) = thread
                && let Some(leg) = self.remove_leg(at)
            {
                // It makes no packets on its way, so there is none to wait for.
                self.links.threads[thread]
                    .post(MailboxMessage::MovedIn(leg))
                    .wait(WaitFor::Nothing);
            }
        }
    }
}

/// Tells what a call has done. Nobody listens any more when the engine is being closed.
fn report<W>(links: &ThreadLinks<W>, call: CallId, heard: impl IntoIterator<Item = LegEvent>) {
    heard.into_iter().for_each(|heard| _ = links.reports.send(Some(Report { call, event: heard })));
}

#[cfg(test)]
mod tests;
