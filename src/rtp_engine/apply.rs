//! Command execution: the effect of each command on the legs and rooms of a mixer thread.

use std::sync::Arc;

use super::{
    command::{Command, LoadedAudio, RoomSound},
    leg::{RoomSlot, RtpLeg},
    loader::LegSounds,
    mixer_thread::MixerThread,
    socket::RtpSocket,
};
use crate::{
    audio::{mix::Flags, tone::Tones},
    base::ids::RoomId,
    media::{LegEvent, MemberAudio},
};

impl<W: RtpSocket> MixerThread<W> {
    /// Applies a command to the leg at this index. If packets of this tick are being sent, those
    /// not yet sent obey it.
    pub(super) fn apply(&mut self, at: usize, command: Command) {
        let now = self.context.now;
        let Some(leg) = self.legs[at].as_deref_mut() else { return };
        match command {
            Command::ExpectLeg => debug_assert!(false, "it is here"),
            Command::MoveToThread(thread) => {
                leg.playout.stop();
                leg.moves_to = Some(thread);
                self.leave(at);
                self.mark_leaving(at);
            }
            Command::Agree(session) => {
                leg.agree(now, session);
                let held = leg.is_held();
                self.flag(at, |flags| flags.held = held);
            }
            Command::End => {
                self.leave(at);
                self.end_leg(at);
            }
            Command::Play { number, before, loaded } => leg.play(number, before, loaded),
            Command::Stop => leg.playout.stop(),
            Command::Press(key) => {
                let (call, key) = (leg.call, leg.press(now, key));
                self.report(call, key);
            }
            Command::SendDigits { number, digits } => {
                let (call, over) = (leg.call, leg.send_digits(number, digits));
                self.report(call, over);
            }
            Command::Enter { room, hears } => self.enter(at, room, hears),
            Command::Leave { room } => {
                leg.mute(room, false);
                if self.is_in(at, room) {
                    self.leave(at);
                }
            }
            Command::Mute { room, on } => {
                leg.mute(room, on);
                if self.is_in(at, room) {
                    self.flag(at, |flags| flags.muted = on);
                }
            }
            Command::Deafen { room, on } => {
                if self.is_in(at, room) {
                    self.flag(at, |flags| flags.deaf = on);
                }
            }
            Command::PlayOver { kind, mixes, length, loaded } => {
                leg.playout.play_over(kind, Arc::clone(&loaded.program), mixes, length);
                leg.programs.play_over(kind, loaded);
            }
            Command::StopOver { kind } => leg.playout.stop_over(kind),
            Command::Record(feed) => leg.record(feed, &self.context),
            Command::StopRecording(recording) => leg.stop_recording(recording),
            Command::RoomSound { room, sound } => self.play_room_sound(at, room, sound),
        }
    }

    fn play_room_sound(&mut self, at: usize, room: RoomId, sound: RoomSound) {
        if !self.is_in(at, room) {
            return;
        }
        if let Some(leg) = self.legs[at].as_deref_mut() {
            leg.play_room_sound(sound, &self.context.tones);
        }
    }

    fn enter(&mut self, at: usize, room: RoomId, hears: LoadedAudio) {
        if !self.is_in(at, room) {
            self.leave(at);
            let index = self.room(room);
            let slot = self.rooms[index].as_mut().map(|room| room.enter(at));
            let seat = slot.map(|slot| RoomSlot { room: index, slot });
            self.legs[at].iter_mut().for_each(|leg| leg.move_to(seat));
        }
        let Some(leg) = self.legs[at].as_deref_mut() else { return };
        let (hears, loaded) = match hears {
            LoadedAudio::Room => (MemberAudio::Room, None),
            LoadedAudio::Wait(loaded) => {
                let program = loaded.as_ref().map(|loaded| Arc::clone(&loaded.program));
                (MemberAudio::Wait(program), loaded)
            }
        };
        let (waiting, held) = (matches!(hears, MemberAudio::Wait(_)), leg.is_held());
        let muted = leg.muted_in == Some(room);
        leg.playout.place(hears);
        leg.programs.wait(loaded);
        self.flag(at, |flags| *flags = Flags { muted, held, waiting, ..*flags });
    }

    /// Takes the leg out of its room, if it is in one, with all sounds of the room.
    fn leave(&mut self, at: usize) {
        let Some(leg) = self.legs[at].as_deref_mut() else { return };
        let Some(seat) = leg.room_slot else { return };
        leg.move_to(None);
        leg.playout.remove();
        leg.programs.leave();
        let room = self.rooms[seat.room].as_mut();
        leg.muted_in.take_if(|it| room.as_ref().is_some_and(|room| room.id == *it));
        if room.is_some_and(|room| room.leave(seat.slot, self.is_mixed)) {
            self.close_room(seat.room);
        }
    }

    /// Changes a leg's flags in its room. A leg that becomes inaudible is cut off at once.
    fn flag(&mut self, at: usize, change: impl FnOnce(&mut Flags)) {
        let Some(seat) = self.legs[at].as_ref().and_then(|leg| leg.room_slot) else { return };
        let Some(room) = &mut self.rooms[seat.room] else { return };
        let flags = room.mixer.flags(seat.slot);
        let was_heard = is_audible(*flags);
        change(flags);
        let is_cut = was_heard && !is_audible(*flags);
        if is_cut && self.is_mixed {
            room.mixer.cut_voice(seat.slot);
        }
    }

    fn is_in(&self, at: usize, room: RoomId) -> bool {
        let seat = self.legs[at].as_ref().and_then(|leg| leg.room_slot);
        let current = seat.and_then(|seat| self.rooms[seat.room].as_ref());
        current.is_some_and(|it| it.id == room)
    }
}

fn is_audible(flags: Flags) -> bool {
    let Flags { muted, deaf: _, held, waiting } = flags;
    !(muted || held || waiting)
}

impl<W: RtpSocket> RtpLeg<W> {
    fn play_room_sound(&mut self, sound: RoomSound, tones: &Tones) {
        let taken = match sound {
            // It plays already, or waits.
            RoomSound::Announce { address: None, loaded }
                if self.playout.announces(&loaded.program) =>
            {
                Ok(())
            }
            RoomSound::Announce { address, loaded } => {
                let taken = self.playout.announce(address, Arc::clone(&loaded.program));
                if taken.is_ok() {
                    self.programs.announce(loaded);
                }
                taken
            }
            RoomSound::Relay(digit) => {
                self.playout.relay(digit, &mut LegSounds { tones, programs: &self.programs })
            }
            RoomSound::Hush(address) => {
                self.playout.hush(&address);
                Ok(())
            }
        };
        if let Err(full) = taken {
            tracing::warn!(call = %self.call, %full, "a sound for a member was dropped");
        }
    }

    fn mute(&mut self, room: RoomId, on: bool) {
        self.muted_in.take_if(|it| *it == room);
        if on {
            self.muted_in = Some(room);
        }
    }

    fn send_digits(&mut self, number: u32, digits: Arc<str>) -> Option<LegEvent> {
        let full = self.playout.send_digits(number, digits).err()?;
        tracing::warn!(call = %self.call, %full, "keys for the far end were dropped");
        // The end is reported, so that nobody waits for it forever.
        Some(LegEvent::Finished(number))
    }
}
