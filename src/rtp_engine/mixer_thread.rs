//! Mixer thread: the legs and rooms of one thread, and the work of a tick.
//!
//! It has no clock and no sockets: the ticker passes the time, and each leg brings its socket. So a
//! test can let hours pass.

use std::{
    collections::{HashMap, hash_map::Entry},
    mem,
    sync::{Arc, mpsc::Sender},
    time::Instant,
};

use super::{
    command::{Command, MailboxMessage, RoomSound},
    gauges::{GaugeGuard, RtpGauges},
    leg::{RtpLeg, TickContext},
    leg_row::LegRowLink,
    mailbox::{FrameOwner, Mailbox, MailboxSender, WaitFor},
    recording_tap::RecordingTap,
    room::MixerRoom,
    socket::RtpSocket,
};
use crate::{
    audio::{mix::TalkChange, tone::Tones},
    base::ids::{CallId, RoomId},
    media::{LegEvent, RecordingFeed, Report, TICK},
};

/// The state of one mixer thread.
#[derive(Debug)]
pub(super) struct MixerThread<W> {
    pub(super) context: TickContext,
    pub(super) legs: Vec<Option<Box<RtpLeg<W>>>>,
    pub(super) rooms: Vec<Option<MixerRoom>>,
    /// The rooms of this tick are mixed, and packets are being sent.
    pub(super) is_mixed: bool,
    calls: HashMap<CallId, LegLocation>,
    room_ids: HashMap<RoomId, usize>,
    /// The recording of each room that is recorded; the room may have no leg here.
    recorded_rooms: HashMap<RoomId, RecordingTap>,
    /// Unused indexes of `legs` and `rooms`.
    free_legs: Vec<usize>,
    free_rooms: Vec<usize>,
    /// Legs that move to other threads after this tick.
    leaving: Vec<usize>,
    talks: Vec<TalkChange>,
    mailbox: Mailbox<MailboxMessage<W>>,
    pub(super) links: ThreadLinks<W>,
    /// The time of tick 0.
    pub(super) started_at: Instant,
}

/// The receivers of what a mixer thread sends.
#[derive(Debug)]
pub(super) struct ThreadLinks<W> {
    /// All threads of the engine, including this one.
    pub(super) threads: Arc<[MailboxSender<MailboxMessage<W>>]>,
    /// Reports to the engine. None comes only from the engine's `Drop`.
    pub(super) reports: Sender<Option<Report>>,
    /// Takes the rows of legs.
    pub(super) rows: LegRowLink,
}

/// The state of a call on this thread.
#[derive(Debug, Default)]
struct LegLocation {
    /// Index in `legs`. None while the leg has not arrived.
    index: Option<usize>,
    /// Commands that wait for the leg, if it is on its way, perhaps for the second time.
    awaited: Option<Vec<Command>>,
}

impl<W: RtpSocket> MixerThread<W> {
    pub(super) fn new(
        now: Instant,
        mailbox: Mailbox<MailboxMessage<W>>,
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
            recorded_rooms: HashMap::new(),
            free_legs: Vec::new(),
            free_rooms: Vec::new(),
            leaving: Vec::new(),
            talks: Vec::new(),
            mailbox,
            links,
            started_at: now,
        }
    }

    /// Runs one tick: commands, received packets, mix, sent packets. `ntp` is `now` as an NTP
    /// timestamp. Ticks have the same numbers on all threads, from 1 on.
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

    /// Recovers from a panic, which is a bug: the state cannot be trusted any more, so all calls of
    /// this thread lose their sound, and the engine is told. Other threads continue.
    pub(super) fn fail(&mut self) {
        self.mailbox.end_frame();
        self.is_mixed = false;
        self.context.heard.clear();
        self.legs.clear();
        self.free_legs.clear();
        self.rooms.clear();
        self.free_rooms.clear();
        self.room_ids.clear();
        self.recorded_rooms.clear();
        self.leaving.clear();
        self.talks.clear();
        for (call, _) in self.calls.drain() {
            self.links.rows.get().into_iter().for_each(|it| it.gone(call));
            report(&self.links, call, [LegEvent::MediaLost]);
        }
    }

    pub(super) fn take_messages(&mut self) {
        while let Some(message) = self.mailbox.take() {
            match message {
                MailboxMessage::Open(leg) => _ = self.insert_leg(leg),
                MailboxMessage::One(call, command) => self.dispatch(call, command),
                MailboxMessage::Many(calls, command) => {
                    calls.into_iter().for_each(|call| self.dispatch(call, command.clone()));
                }
                MailboxMessage::ToRoom(room, by, sound) => self.play_to_room(room, by, &sound),
                MailboxMessage::MovedIn(leg) => self.take_over(leg),
                MailboxMessage::RecordRoom(room, feed) => self.record_room(room, feed),
                MailboxMessage::StopRecordingRoom(room, recording) => {
                    if let Entry::Occupied(tap) = self.recorded_rooms.entry(room)
                        && tap.get().id() == recording
                    {
                        tap.remove();
                    }
                }
            }
        }
    }

    /// Records a room from this tick on; a second order for a recording changes nothing.
    fn record_room(&mut self, room: RoomId, feed: RecordingFeed) {
        let is_known = self.recorded_rooms.get(&room).is_some_and(|it| it.id() == feed.id());
        if !is_known {
            let tap = RecordingTap::new(feed, self.context.tick, self.context.now);
            self.recorded_rooms.insert(room, tap);
        }
    }

    /// Adds a leg. Its first packet is sent in the next tick.
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
        // None if a panic has dropped this thread's calls in the meantime.
        let mut commands = awaited.into_iter().flatten();
        while let Some(command) = commands.next() {
            if let Command::ExpectLeg = command {
                // It moved away and back: the other commands wait for the second arrival.
                let location = call.and_then(|call| self.calls.get_mut(&call));
                location
                    .into_iter()
                    .for_each(|place| place.awaited = Some(commands.by_ref().collect()));
                return;
            }
            self.apply(at, command);
        }
    }

    /// Plays a sound to all legs of a room, those included that are on their way to it.
    fn play_to_room(&mut self, room: RoomId, by: CallId, sound: &RoomSound) {
        let command = || Command::RoomSound { room, sound: sound.clone() };
        let tick = self.context.tick;
        let at = self.room_ids.get(&room).copied();
        let found = at.and_then(|at| self.rooms[at].as_mut());
        let legs = match found.map(|it| (it.play(tick, sound, &self.context.tones), it)) {
            Some((true, room)) => room.legs(),
            // It plays already: a leg that has just come hears it from the start.
            Some((false, _)) => return self.dispatch(by, command()),
            None => Vec::new(),
        };
        for (at, is_deaf) in legs {
            let is_own = self.legs[at].as_ref().is_some_and(|leg| leg.call == by);
            let hears = match sound {
                RoomSound::Announce { .. } => !is_deaf,
                RoomSound::Relay(_) => !is_deaf && !is_own,
                RoomSound::Hush(_) => true,
            };
            if hears {
                self.apply(at, command());
            }
        }
        let is_key = matches!(sound, RoomSound::Relay(_));
        let awaited = self.calls.iter_mut().filter(|(call, _)| !is_key || **call != by);
        for commands in awaited.filter_map(|(_, it)| it.awaited.as_mut()) {
            commands.push(command());
        }
    }

    /// Applies a command. A call that is unknown here has ended; its commands are ignored.
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

    /// Moves the leg to its new thread when the tick is over.
    pub(super) fn mark_leaving(&mut self, at: usize) {
        self.leaving.push(at);
    }

    pub(super) fn report(&self, call: CallId, heard: Option<LegEvent>) {
        report(&self.links, call, heard);
    }

    /// Removes a leg that ends or moves.
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

    /// Returns the index of a room, which is created if necessary.
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

    /// Removes an empty room.
    pub(super) fn close_room(&mut self, at: usize) {
        if let Some(room) = self.rooms[at].take() {
            self.room_ids.remove(&room.id);
            self.free_rooms.push(at);
        }
    }

    /// Reads received packets, and gives their sound to the rooms.
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
        self.record_rooms();
    }

    fn record_rooms(&mut self) {
        let tick = self.context.tick;
        for (room, tap) in &mut self.recorded_rooms {
            let at = self.room_ids.get(room).copied();
            if let Some(room) = at.and_then(|at| self.rooms[at].as_ref()) {
                tap.add(tick, room.mixer.full_mix(), None);
            }
        }
    }

    /// Sends a leg its packet. Commands that arrive before it take effect first.
    fn play_out(&mut self, at: usize) {
        while let Some(owner) = self.frame_owner(at) {
            if !self.mailbox.begin_frame(owner) {
                self.take_messages();
                continue;
            }
            let Self { legs, rooms, context, links, .. } = self;
            if let Some(leg) = &mut legs[at] {
                let seat =
                    leg.room_slot.and_then(|seat| Some((rooms[seat.room].as_mut()?, seat.slot)));
                leg.play_out(seat.map(|(room, slot)| room.mixer.leg_mix(slot)), context);
            }
            self.mailbox.end_frame();
            if let Some(leg) = &mut legs[at] {
                leg.report(context);
                report(links, leg.call, context.heard.drain(..));
                if let Some(sink) = links.rows.get() {
                    // Lengths of ticks are counted in u32, which is two years of them.
                    let next = u32::try_from(context.tick + 1).unwrap_or(u32::MAX);
                    leg.keep(context.tick, self.started_at + TICK * next, sink);
                }
            }
            return;
        }
    }

    /// Ends a leg. No later process restores it.
    pub(super) fn end_leg(&mut self, at: usize) {
        let Some(mut leg) = self.remove_leg(at) else { return };
        leg.end(&mut self.context);
        if let Some(sink) = self.links.rows.get().filter(|_| leg.is_kept()) {
            sink.gone(leg.call);
        }
    }

    /// The owner of the packet that a leg gets. None: no packet in this tick.
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
                // A leg in transit sends no packets, so there is nothing to wait for.
                self.links.threads[thread]
                    .post(MailboxMessage::MovedIn(leg))
                    .wait(WaitFor::Nothing);
            }
        }
    }
}

/// Sends reports of a call. They are dropped while the engine is closing.
fn report<W>(links: &ThreadLinks<W>, call: CallId, heard: impl IntoIterator<Item = LegEvent>) {
    heard.into_iter().for_each(|heard| _ = links.reports.send(Some(Report { call, event: heard })));
}

#[cfg(test)]
mod tests;
