//! What each order does to the legs and rooms of a shard.

use std::sync::Arc;

use super::{
    command::{Deed, Hearing, Over},
    leg::{Leg, Seat},
    loader::Shelf,
    mixer_thread::Shard,
    socket::Wire,
};
use crate::{
    audio::{mix::Flags, tone::Tones},
    base::ids::RoomId,
    media::{Heard, Hears},
};

impl<W: Wire> Shard<W> {
    /// Does it, to the leg at this place. In the midst of sending, those who have not been sent
    /// this tick yet are sent it as it is from now on.
    pub(super) fn obey(&mut self, at: usize, deed: Deed) {
        let now = self.bench.now;
        let Some(leg) = self.legs[at].as_deref_mut() else { return };
        match deed {
            Deed::Expect => debug_assert!(false, "it is here"),
            Deed::Move(thread) => {
                leg.playout.stop();
                leg.leaves_for = Some(thread);
                self.leave(at);
                self.leaves(at);
            }
            Deed::Agree(session) => {
                leg.agree(now, session);
                let held = leg.is_held();
                self.flag(at, |flags| flags.held = held);
            }
            Deed::End => {
                self.leave(at);
                if let Some(mut leg) = self.take_out(at) {
                    leg.end(&mut self.bench);
                }
            }
            Deed::Play { number, score } => {
                leg.playout.play(number, Arc::clone(&score.program));
                leg.scores.play(score);
            }
            Deed::Stop => leg.playout.stop(),
            Deed::SendDigits { number, digits } => {
                let (call, over) = (leg.call, leg.send_digits(number, digits));
                self.report(call, over);
            }
            Deed::Enter { room, hears } => self.enter(at, room, hears),
            Deed::Leave { room } => {
                leg.mute(room, false);
                if self.is_in(at, room) {
                    self.leave(at);
                }
            }
            Deed::Mute { room, on } => {
                leg.mute(room, on);
                if self.is_in(at, room) {
                    self.flag(at, |flags| flags.muted = on);
                }
            }
            Deed::Deafen { room, on } => {
                if self.is_in(at, room) {
                    self.flag(at, |flags| flags.deaf = on);
                }
            }
            Deed::PlayOver { kind, mixes, length, score } => {
                leg.playout.play_over(kind, Arc::clone(&score.program), mixes, length);
                leg.scores.play_over(kind, score);
            }
            Deed::StopOver { kind } => leg.playout.stop_over(kind),
            Deed::Over { room, sound } => {
                if self.is_in(at, room) {
                    let tones = &self.bench.tones;
                    self.legs[at].iter_mut().for_each(|leg| leg.hear(sound.clone(), tones));
                }
            }
        }
    }

    fn enter(&mut self, at: usize, room: RoomId, hears: Hearing) {
        if !self.is_in(at, room) {
            self.leave(at);
            let index = self.room(room);
            let slot = self.rooms[index].as_mut().map(|room| room.enter(at));
            let seat = slot.map(|slot| Seat { room: index, slot });
            self.legs[at].iter_mut().for_each(|leg| leg.move_to(seat));
        }
        let Some(leg) = self.legs[at].as_deref_mut() else { return };
        let (hears, score) = match hears {
            Hearing::Room => (Hears::Room, None),
            Hearing::Wait(score) => {
                let program = score.as_ref().map(|score| Arc::clone(&score.program));
                (Hears::Wait(program), score)
            }
        };
        let (waiting, held) = (matches!(hears, Hears::Wait(_)), leg.is_held());
        let muted = leg.muted_in == Some(room);
        leg.playout.place(hears);
        leg.scores.wait(score);
        self.flag(at, |flags| *flags = Flags { muted, held, waiting, ..*flags });
    }

    /// Out of the room, if it is in one, with all that was heard there.
    fn leave(&mut self, at: usize) {
        let Some(leg) = self.legs[at].as_deref_mut() else { return };
        let Some(seat) = leg.seat else { return };
        leg.move_to(None);
        leg.playout.remove();
        leg.scores.leave();
        let room = self.rooms[seat.room].as_mut();
        leg.muted_in.take_if(|it| room.as_ref().is_some_and(|room| room.id == *it));
        if room.is_some_and(|room| room.leave(seat.slot, self.is_mixed)) {
            self.close_room(seat.room);
        }
    }

    /// Changes what holds for a leg in its room. Who is no longer heard is not, from now on.
    fn flag(&mut self, at: usize, change: impl FnOnce(&mut Flags)) {
        let Some(seat) = self.legs[at].as_ref().and_then(|leg| leg.seat) else { return };
        let Some(room) = &mut self.rooms[seat.room] else { return };
        let flags = room.mixer.flags(seat.slot);
        let was_heard = is_heard(*flags);
        change(flags);
        let is_cut = was_heard && !is_heard(*flags);
        if is_cut && self.is_mixed {
            room.mixer.strike(seat.slot);
        }
    }

    fn is_in(&self, at: usize, room: RoomId) -> bool {
        let seat = self.legs[at].as_ref().and_then(|leg| leg.seat);
        let here = seat.and_then(|seat| self.rooms[seat.room].as_ref());
        here.is_some_and(|it| it.id == room)
    }
}

fn is_heard(flags: Flags) -> bool {
    let Flags { muted, deaf: _, held, waiting } = flags;
    !(muted || held || waiting)
}

impl<W: Wire> Leg<W> {
    /// What is heard over a room.
    fn hear(&mut self, sound: Over, tones: &Tones) {
        let taken = match sound {
            Over::Announce { address, score } => {
                let taken = self.playout.announce(address, Arc::clone(&score.program));
                if taken.is_ok() {
                    self.scores.announce(score);
                }
                taken
            }
            Over::Relay(digit) => {
                self.playout.relay(digit, &mut Shelf { tones, scores: &self.scores })
            }
            Over::Hush(address) => {
                self.playout.hush(&address);
                Ok(())
            }
        };
        if let Err(full) = taken {
            tracing::warn!(call = %self.call, %full, "a sound is not announced");
        }
    }

    fn mute(&mut self, room: RoomId, on: bool) {
        self.muted_in.take_if(|it| *it == room);
        if on {
            self.muted_in = Some(room);
        }
    }

    fn send_digits(&mut self, number: u32, digits: Arc<str>) -> Option<Heard> {
        let full = self.playout.send_digits(number, digits).err()?;
        tracing::warn!(call = %self.call, %full, "keys are not sent");
        // Whoever waits for them does not wait for ever.
        Some(Heard::Over(number))
    }
}
