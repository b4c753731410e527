//! The mixer of one room: who is loud enough to be heard, and what each leg hears of it.
//!
//! One tick of 20 ms, driven by the tick thread that owns the room:
//!
//! 1. orders first: [`Mixer::add`], [`Mixer::remove`], [`Mixer::flags`];
//! 2. for each leg that sent something, [`Mixer::put`] (or [`Mixer::put_samples`]);
//! 3. [`Mixer::mix`], once;
//! 4. for each leg, an [`Ear`] from [`Mixer::ear`], which its playout asks when it hears the room.
//!
//! Nothing is decoded but what is mixed, all who have nothing of their own in the mix share one
//! frame (encoded once per law), and no memory is taken once the room has had its largest size.

use std::mem;

use super::{gate::Gate, limit::Limiter};
use crate::{
    media::FADE_MS,
    rtp::g711::{self, Law},
};

/// The mixer of one room.
#[derive(Debug)]
pub struct Mixer {
    settings: Settings,
    /// Samples of a tick.
    frame: usize,
    /// Samples of a fade.
    fade: usize,
    legs: Vec<Leg>,
    /// Places in `legs` that are empty.
    free: Vec<u32>,
    /// What each leg sent, side by side; by the leg's `sent` one or the other.
    wires: Vec<u8>,
    samples: Vec<i16>,
    /// Who is mixed in this tick, and the rest of those who no longer are.
    seats: Vec<Seat>,
    /// Of the tick before; empty in between.
    past: Vec<Seat>,
    /// All who may be heard, or the loudest of them by falling rank; empty in between.
    loudest: Vec<Candidate>,
    /// What each seat adds to the room, side by side.
    voices: Vec<i16>,
    sums: Vec<i32>,
    limiter: Limiter,
    shared: Vec<i16>,
    /// The shared frame by law, and whether it is of this tick.
    shared_wires: [(bool, Vec<u8>); 2],
    /// For the frame of one who hears all but himself.
    own: Vec<i16>,
    own_wire: Vec<u8>,
}

/// How a room is mixed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settings {
    /// Samples in a second; a multiple of 1,000. G.711 needs 8,000.
    pub rate: u32,
    /// How many voices are heard at once in a large room; at most [`VOICES_MAX`].
    pub loudest: usize,
    /// In a room of up to so many legs all are heard; at most [`VOICES_MAX`].
    pub all_up_to: usize,
}

/// More voices at once than this are noise, and each costs a mix of its own.
pub const VOICES_MAX: usize = 64;

impl Default for Settings {
    fn default() -> Self {
        Self { rate: g711::RATE, loudest: 8, all_up_to: 10 }
    }
}

/// A leg's place in its room, good until it is removed; then another leg may get it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Slot(u32);

/// What has been ordered of a leg.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Flags {
    /// The others do not hear it.
    pub muted: bool,
    /// It does not hear the others.
    pub deaf: bool,
    /// The far end holds us: not heard, whatever it sends.
    pub held: bool,
    /// It waits: neither hears nor is heard.
    pub waiting: bool,
}

/// A leg began or ceased to talk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Talk {
    /// Which leg; muted or not.
    pub slot: Slot,
    /// True: began.
    pub on: bool,
}

#[derive(Clone, Debug, Default)]
struct Leg {
    present: bool,
    flags: Flags,
    sent: Sent,
    level: u8,
    gate: Gate,
    /// Its index in `seats`.
    seat: Option<u8>,
}

/// What a leg has sent in this tick.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Sent {
    #[default]
    Nothing,
    Wire(Law),
    Samples,
}

/// One who may be mixed in this tick.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    rank: u16,
    slot: u32,
    sent: Sent,
}

/// A voice in the mix.
#[derive(Clone, Copy, Debug)]
struct Seat {
    /// Whose; none if the leg has left.
    slot: Option<u32>,
    /// The last sample of its frame.
    last: i16,
    /// The voice is out of the mix; only the way from its last sample to zero is left of it.
    is_rest: bool,
}

/// Who is in the mix is dropped for nobody who is not louder by this: 6 dB.
const SEATED_BONUS: u16 = 16 << 4;

impl Mixer {
    /// An empty room.
    pub fn new(mut settings: Settings) -> Self {
        settings.loudest = settings.loudest.min(VOICES_MAX);
        settings.all_up_to = settings.all_up_to.min(VOICES_MAX);
        let frame = (settings.rate / 50) as usize;
        let voices = settings.loudest.max(settings.all_up_to);
        let wire = || vec![0; frame];
        Self {
            frame,
            fade: (settings.rate * FADE_MS / 1_000) as usize,
            legs: Vec::new(),
            free: Vec::new(),
            wires: Vec::new(),
            samples: Vec::new(),
            // As many can leave the mix in one tick as can join it.
            seats: Vec::with_capacity(2 * voices),
            past: Vec::with_capacity(2 * voices),
            loudest: Vec::with_capacity(voices + 1),
            voices: vec![0; 2 * voices * frame],
            sums: vec![0; frame],
            limiter: Limiter::new(frame, settings.rate),
            shared: vec![0; frame],
            shared_wires: [(false, wire()), (false, wire())],
            own: vec![0; frame],
            own_wire: wire(),
            settings,
        }
    }

    /// A leg comes in: neither muted nor deaf.
    pub fn add(&mut self) -> Slot {
        let slot = self.free.pop().unwrap_or_else(|| {
            let slot = self.legs.len();
            self.legs.push(Leg::default());
            self.wires.resize((slot + 1) * self.frame, 0);
            self.samples.resize((slot + 1) * self.frame, 0);
            slot as u32
        });
        self.legs[slot as usize] = Leg { present: true, ..Leg::default() };
        Slot(slot)
    }

    /// A leg goes: nothing of it is mixed from now on, and all that the others may still notice
    /// is the 5 ms from its last sample to zero.
    pub fn remove(&mut self, slot: Slot) {
        let leg = mem::take(&mut self.legs[slot.index()]);
        debug_assert!(leg.present, "{slot:?} is empty");
        if let Some(seat) = leg.seat {
            self.seats[usize::from(seat)].slot = None;
        }
        self.free.push(slot.0);
    }

    /// What has been ordered of a leg, to be read or changed.
    pub fn flags(&mut self, slot: Slot) -> &mut Flags {
        &mut self.legs[slot.index()].flags
    }

    /// How many legs are in.
    pub fn len(&self) -> usize {
        self.legs.len() - self.free.len()
    }

    /// Whether nobody is in.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes what a leg has sent in this tick: a frame of bytes. A short one is filled up with
    /// silence, and what is too much of a long one is dropped.
    pub fn put(&mut self, slot: Slot, law: Law, wire: &[u8]) {
        let place = slot.index() * self.frame..(slot.index() + 1) * self.frame;
        let (head, tail) = self.wires[place].split_at_mut(wire.len().min(self.frame));
        head.copy_from_slice(&wire[..head.len()]);
        tail.fill(law.silence());
        let leg = &mut self.legs[slot.index()];
        (leg.sent, leg.level) = (Sent::Wire(law), law.level(wire));
    }

    /// As [`Mixer::put`], of samples at the room's rate.
    pub fn put_samples(&mut self, slot: Slot, samples: &[i16]) {
        let place = slot.index() * self.frame..(slot.index() + 1) * self.frame;
        let (head, tail) = self.samples[place].split_at_mut(samples.len().min(self.frame));
        head.copy_from_slice(&samples[..head.len()]);
        tail.fill(0);
        let leg = &mut self.legs[slot.index()];
        (leg.sent, leg.level) = (Sent::Samples, g711::level(samples));
    }

    /// Mixes what has been put since the last time. Who begins or ceases to talk is added to
    /// `talks`, in the order of slots.
    pub fn mix(&mut self, talks: &mut Vec<Talk>) {
        self.listen(talks);
        self.seat();
        self.sum();
    }

    /// Takes a leg's voice out of the tick that was mixed last, for all whose frame is yet to be
    /// made: an order has come between two of them. All that is left is the way from the first
    /// sample of its frame to zero.
    pub fn strike(&mut self, slot: Slot) {
        let Some(seat) = self.legs[slot.index()].seat.map(usize::from) else { return };
        if self.seats[seat].is_rest {
            return;
        }
        let voice = &mut self.voices[seat * self.frame..][..self.frame];
        self.sums.iter_mut().zip(&*voice).for_each(|(sum, it)| *sum -= i32::from(*it));
        let first = voice[0];
        voice.fill(0);
        add_rest(first, &mut voice[..self.fade]);
        self.sums.iter_mut().zip(&*voice).for_each(|(sum, it)| *sum += i32::from(*it));
        self.seats[seat] = Seat { last: 0, is_rest: true, ..self.seats[seat] };
        self.limiter.press(self.sums.iter().copied(), &mut self.shared);
        self.shared_wires.iter_mut().for_each(|it| it.0 = false);
    }

    /// What a leg hears of the room in the tick that was mixed last.
    pub fn ear(&mut self, slot: Slot) -> Ear<'_> {
        let leg = &self.legs[slot.index()];
        let is_deaf = leg.flags.deaf || leg.flags.waiting;
        let hears = match leg.seat.map(usize::from) {
            _ if is_deaf || self.seats.is_empty() => Hearing::Nothing,
            Some(_) if self.seats.len() == 1 => Hearing::Nothing,
            Some(seat) => Hearing::AllBut(seat),
            None => Hearing::All,
        };
        Ear { mixer: self, hears }
    }

    /// Finds the loudest of those who may be heard.
    fn listen(&mut self, talks: &mut Vec<Talk>) {
        let n_legs = self.len();
        let seats = match n_legs <= self.settings.all_up_to {
            true => self.settings.all_up_to,
            false => self.settings.loudest,
        };
        for (slot, leg) in self.legs.iter_mut().enumerate().filter(|(_, leg)| leg.present) {
            let slot = slot as u32;
            // What was sent counts for one tick.
            let (sent, level) = (mem::take(&mut leg.sent), mem::take(&mut leg.level));
            if let Some(on) = leg.gate.tick(level) {
                talks.push(Talk { slot: Slot(slot), on });
            }
            if sent == Sent::Nothing || !leg.is_heard() {
                continue;
            }
            let bonus = if leg.seat.is_some() { SEATED_BONUS } else { 0 };
            let rank = leg.gate.score() + bonus;
            if n_legs <= seats {
                self.loudest.push(Candidate { rank, slot, sent });
                continue;
            }
            let is_full = self.loudest.len() == seats;
            if is_full && self.loudest.last().is_none_or(|last| rank <= last.rank) {
                continue;
            }
            let at = self.loudest.partition_point(|it| rank <= it.rank);
            self.loudest.insert(at, Candidate { rank, slot, sent });
            self.loudest.truncate(seats);
        }
    }

    /// Gives them seats and lays out their voices. Who was in the mix and no longer is leaves the
    /// way from the last sample to zero.
    fn seat(&mut self) {
        mem::swap(&mut self.seats, &mut self.past);
        let frame = self.frame;
        for (seat, Candidate { slot, sent, .. }) in self.loudest.drain(..).enumerate() {
            let leg = &mut self.legs[slot as usize];
            let voice = &mut self.voices[seat * frame..][..frame];
            let place = slot as usize * frame;
            match sent {
                Sent::Wire(law) => law.decode(&self.wires[place..][..frame], voice),
                Sent::Samples => voice.copy_from_slice(&self.samples[place..][..frame]),
                Sent::Nothing => voice.fill(0),
            }
            let was_heard = leg.seat.is_some_and(|seat| !self.past[usize::from(seat)].is_rest);
            if !was_heard {
                fade_in(&mut voice[..self.fade]);
            }
            self.seats.push(Seat { slot: Some(slot), last: voice[frame - 1], is_rest: false });
        }
        for past in self.past.iter().filter_map(|it| it.slot) {
            self.legs[past as usize].seat = None;
        }
        let n_heard = self.seats.len();
        for (seat, it) in self.seats.iter().enumerate() {
            self.legs[it.slot.expect("it was seated above") as usize].seat = Some(seat as u8);
        }

        for past in self.past.drain(..).filter(|it| it.last != 0) {
            let is_heard = |slot| self.seats[..n_heard].iter().any(|it| it.slot == Some(slot));
            if past.slot.is_some_and(is_heard) {
                continue;
            }
            let seat = self.seats.len();
            let voice = &mut self.voices[seat * frame..][..frame];
            voice.fill(0);
            add_rest(past.last, &mut voice[..self.fade]);
            if let Some(slot) = past.slot {
                self.legs[slot as usize].seat = Some(seat as u8);
            }
            self.seats.push(Seat { last: 0, is_rest: true, ..past });
        }
    }

    fn sum(&mut self) {
        self.sums.fill(0);
        let (mut lowest, mut highest) = (0, 0);
        for voice in self.voices.chunks_exact(self.frame).take(self.seats.len()) {
            for (sum, it) in self.sums.iter_mut().zip(voice) {
                *sum += i32::from(*it);
            }
            lowest = voice.iter().fold(lowest, |lowest, it| *it.min(&lowest));
            highest = voice.iter().fold(highest, |highest, it| *it.max(&highest));
        }
        self.limiter.listen(&self.sums, i32::from(highest).max(-i32::from(lowest)));
        self.limiter.press(self.sums.iter().copied(), &mut self.shared);
        self.shared_wires.iter_mut().for_each(|it| it.0 = false);
    }
}

impl Slot {
    /// Less than the most legs that were ever in the room at once.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl Leg {
    fn is_heard(&self) -> bool {
        let Flags { muted, deaf: _, held, waiting } = self.flags;
        self.gate.is_open() && !(muted || held || waiting)
    }
}

/// What one leg hears of its room in one tick.
#[derive(Debug)]
pub struct Ear<'a> {
    mixer: &'a mut Mixer,
    hears: Hearing,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Hearing {
    Nothing,
    All,
    /// All but this seat.
    AllBut(usize),
}

impl<'a> Ear<'a> {
    /// Nothing is to be heard: the room is silent, or the leg deaf, waiting or alone in talking.
    pub fn is_silent(&self) -> bool {
        self.hears == Hearing::Nothing
    }

    /// The last sample of the frame.
    pub fn last(&self) -> i16 {
        let mixer = &*self.mixer;
        match self.hears {
            Hearing::Nothing => 0,
            Hearing::All => mixer.shared[mixer.frame - 1],
            Hearing::AllBut(seat) => {
                let at = mixer.frame - 1;
                let own = mixer.voices[seat * mixer.frame + at];
                mixer.limiter.press_last(mixer.sums[at] - i32::from(own))
            }
        }
    }

    /// The frame as samples.
    pub fn samples(&mut self) -> &[i16] {
        match self.hears {
            Hearing::Nothing => {
                self.mixer.own.fill(0);
                &self.mixer.own
            }
            Hearing::All => &self.mixer.shared,
            Hearing::AllBut(seat) => {
                self.mixer.subtract(seat);
                &self.mixer.own
            }
        }
    }

    /// The frame as bytes.
    pub fn wire(self, law: Law) -> &'a [u8] {
        let mixer = self.mixer;
        match self.hears {
            Hearing::Nothing => mixer.own_wire.fill(law.silence()),
            Hearing::All => {
                let (is_fresh, wire) = &mut mixer.shared_wires[law as usize];
                if !*is_fresh {
                    law.encode(&mixer.shared, wire);
                    *is_fresh = true;
                }
                return wire;
            }
            Hearing::AllBut(seat) => {
                mixer.subtract(seat);
                law.encode(&mixer.own, &mut mixer.own_wire);
            }
        }
        &mixer.own_wire
    }
}

impl Mixer {
    fn subtract(&mut self, seat: usize) {
        let voice = &self.voices[seat * self.frame..][..self.frame];
        let sums = self.sums.iter().zip(voice).map(|(sum, it)| sum - i32::from(*it));
        self.limiter.press(sums, &mut self.own);
    }
}

/// Lets a sound begin softly: the slice is what the fade takes.
pub fn fade_in(samples: &mut [i16]) {
    let span = samples.len() as i32;
    for (at, sample) in samples.iter_mut().enumerate() {
        *sample = (i32::from(*sample) * at as i32 / span) as i16;
    }
}

/// Adds what is left of a sound that was cut off: no more of it, only the way from its last
/// sample to zero, so that the cut does not click.
pub fn add_rest(last: i16, samples: &mut [i16]) {
    let span = samples.len() as i32;
    for (at, sample) in samples.iter_mut().enumerate() {
        let rest = i32::from(last) * (span - 1 - at as i32) / span;
        *sample = sample.saturating_add(rest as i16);
    }
}
