//! Mixer of one room: chooses the voices that are heard, and computes what each leg hears.
//!
//! The thread that owns the room runs one tick of 20 ms:
//!
//! 1. apply orders: [`Mixer::add`], [`Mixer::remove`], [`Mixer::flags`];
//! 2. for each leg that sent something, [`Mixer::put`] (or [`Mixer::put_samples`]);
//! 3. [`Mixer::mix`], once;
//! 4. for each leg, a [`LegMix`] from [`Mixer::leg_mix`], which its playout reads when it plays
//!    the room.
//!
//! Only voices in the mix are decoded. All legs that are not in the mix themselves share one frame,
//! encoded once per law. Once the room has had its largest size, no memory is allocated.

use std::mem;

use super::{gate::Gate, limiter::Limiter};
use crate::{
    media::FADE_MS,
    rtp::g711::{self, Law},
};

/// The mixer of one room: its legs, their input of this tick, and the mix.
#[derive(Debug)]
pub struct Mixer {
    settings: Settings,
    /// Length of a tick's frame, in samples.
    frame: usize,
    /// Length of a fade, in samples.
    fade: usize,
    legs: Vec<MixerLeg>,
    /// Unused indexes of `legs`.
    free: Vec<u32>,
    /// The frame that each leg sent, one after the other; the leg's `input` says which of the two.
    encoded: Vec<u8>,
    samples: Vec<i16>,
    /// The voices in the mix of this tick, and the fading rest of those that left it.
    seats: Vec<VoiceSeat>,
    /// The seats of the tick before; empty between ticks.
    previous_seats: Vec<VoiceSeat>,
    /// The candidates in falling rank, if there are more than seats; empty between ticks.
    loudest: Vec<Candidate>,
    /// The samples of each seat, one after the other.
    voices: Vec<i16>,
    sums: Vec<i32>,
    limiter: Limiter,
    shared: Vec<i16>,
    /// The shared frame by law, and whether it belongs to this tick.
    shared_encoded: [(bool, Vec<u8>); 2],
    /// Buffer for the frame of a leg that hears everybody but itself.
    own: Vec<i16>,
    own_encoded: Vec<u8>,
}

/// Mixing parameters of a room.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settings {
    /// Samples per second; a multiple of 1,000. G.711 needs 8,000.
    pub rate: u32,
    /// Voices heard at once in a large room; at most [`VOICES_MAX`].
    pub loudest: usize,
    /// In a room with up to this many legs everybody is heard; at most [`VOICES_MAX`].
    pub all_up_to: usize,
}

/// Highest number of voices at once. More would be noise, and each costs a mix of its own.
pub const VOICES_MAX: usize = 64;

impl Default for Settings {
    fn default() -> Self {
        Self { rate: g711::RATE, loudest: 8, all_up_to: 10 }
    }
}

/// A leg's index in its room. It may be reused after the leg is removed.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Slot(u32);

/// The state of a leg that orders set.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Flags {
    /// The others do not hear this leg.
    pub muted: bool,
    /// This leg does not hear the others.
    pub deaf: bool,
    /// The far end has put us on hold: whatever it sends is not heard.
    pub held: bool,
    /// The leg waits: it neither hears the room nor is heard.
    pub waiting: bool,
}

/// A leg started or stopped talking.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TalkChange {
    /// The leg; it may be muted.
    pub slot: Slot,
    /// True: it started. False: it stopped.
    pub on: bool,
}

#[derive(Clone, Debug, Default)]
struct MixerLeg {
    is_used: bool,
    flags: Flags,
    input: FrameInput,
    level: u8,
    gate: Gate,
    seat: Option<u8>,
}

/// The input of a leg in this tick.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum FrameInput {
    #[default]
    Nothing,
    Encoded(Law),
    Samples,
}

/// A leg that may be heard in this tick.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    rank: u16,
    slot: u32,
    input: FrameInput,
}

/// One voice in the mix.
#[derive(Clone, Copy, Debug)]
struct VoiceSeat {
    /// The leg; None if it has left.
    slot: Option<u32>,
    /// The last sample of its frame.
    last: i16,
    /// The voice has left the mix; only the fade from its last sample to zero remains.
    is_fading: bool,
}

/// A leg in the mix is replaced only by one that is louder by this: 6 dB.
const SEATED_BONUS: u16 = 16 << 4;

impl Mixer {
    /// Creates an empty room. Limits above [`VOICES_MAX`] are lowered to it.
    pub fn new(mut settings: Settings) -> Self {
        settings.loudest = settings.loudest.min(VOICES_MAX);
        settings.all_up_to = settings.all_up_to.min(VOICES_MAX);
        let frame = (settings.rate / 50) as usize;
        let voices = settings.loudest.max(settings.all_up_to);
        let empty_frame = || vec![0; frame];
        Self {
            frame,
            fade: (settings.rate * FADE_MS / 1_000) as usize,
            legs: Vec::new(),
            free: Vec::new(),
            encoded: Vec::new(),
            samples: Vec::new(),
            // As many voices can leave the mix in one tick as can join it.
            seats: Vec::with_capacity(2 * voices),
            previous_seats: Vec::with_capacity(2 * voices),
            loudest: Vec::with_capacity(voices + 1),
            voices: vec![0; 2 * voices * frame],
            sums: vec![0; frame],
            limiter: Limiter::new(frame, settings.rate),
            shared: vec![0; frame],
            shared_encoded: [(false, empty_frame()), (false, empty_frame())],
            own: vec![0; frame],
            own_encoded: empty_frame(),
            settings,
        }
    }

    /// Adds a leg that is neither muted nor deaf.
    pub fn add(&mut self) -> Slot {
        let slot = self.free.pop().unwrap_or_else(|| {
            let slot = self.legs.len();
            self.legs.push(MixerLeg::default());
            self.encoded.resize((slot + 1) * self.frame, 0);
            self.samples.resize((slot + 1) * self.frame, 0);
            slot as u32
        });
        self.legs[slot as usize] = MixerLeg { is_used: true, ..MixerLeg::default() };
        Slot(slot)
    }

    /// Removes a leg. From now on nothing of it is mixed; the others may hear at most the fade of 5
    /// ms from its last sample to zero.
    pub fn remove(&mut self, slot: Slot) {
        let leg = mem::take(&mut self.legs[slot.index()]);
        debug_assert!(leg.is_used, "{slot:?} is empty");
        if let Some(seat) = leg.seat {
            self.seats[usize::from(seat)].slot = None;
        }
        self.free.push(slot.0);
    }

    /// Returns the flags of a leg, to read or change.
    pub fn flags(&mut self, slot: Slot) -> &mut Flags {
        &mut self.legs[slot.index()].flags
    }

    /// Returns the slots of the legs in the room, in rising order.
    pub fn slots(&self) -> impl Iterator<Item = Slot> {
        (0..).zip(&self.legs).filter(|(_, leg)| leg.is_used).map(|(slot, _)| Slot(slot))
    }

    /// Returns the number of legs in the room.
    pub fn len(&self) -> usize {
        self.legs.len() - self.free.len()
    }

    /// Whether no leg is in the room.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes the frame that a leg sent in this tick, encoded. A short frame is filled up with
    /// silence, a long one is cut.
    pub fn put(&mut self, slot: Slot, law: Law, encoded: &[u8]) {
        let range = slot.index() * self.frame..(slot.index() + 1) * self.frame;
        let (head, tail) = self.encoded[range].split_at_mut(encoded.len().min(self.frame));
        head.copy_from_slice(&encoded[..head.len()]);
        tail.fill(law.silence());
        let leg = &mut self.legs[slot.index()];
        (leg.input, leg.level) = (FrameInput::Encoded(law), law.level(encoded));
    }

    /// Like [`Mixer::put`], with samples at the room's rate.
    pub fn put_samples(&mut self, slot: Slot, samples: &[i16]) {
        let range = slot.index() * self.frame..(slot.index() + 1) * self.frame;
        let (head, tail) = self.samples[range].split_at_mut(samples.len().min(self.frame));
        head.copy_from_slice(&samples[..head.len()]);
        tail.fill(0);
        let leg = &mut self.legs[slot.index()];
        (leg.input, leg.level) = (FrameInput::Samples, g711::level(samples));
    }

    /// Mixes the frames put since the last call. Appends legs that started or stopped talking to
    /// `talks`, in slot order.
    pub fn mix(&mut self, talks: &mut Vec<TalkChange>) {
        self.choose_loudest(talks);
        self.assign_seats();
        self.sum();
    }

    /// Takes a leg's voice out of the tick mixed last, because an order arrived between two
    /// packets. Frames made from now on contain only the fade from the voice's first sample to
    /// zero.
    pub fn cut_voice(&mut self, slot: Slot) {
        let Some(seat) = self.legs[slot.index()].seat.map(usize::from) else { return };
        if self.seats[seat].is_fading {
            return;
        }
        let voice = &mut self.voices[seat * self.frame..][..self.frame];
        self.sums.iter_mut().zip(&*voice).for_each(|(sum, it)| *sum -= i32::from(*it));
        let first = voice[0];
        voice.fill(0);
        add_fade_out(first, &mut voice[..self.fade]);
        self.sums.iter_mut().zip(&*voice).for_each(|(sum, it)| *sum += i32::from(*it));
        self.seats[seat] = VoiceSeat { last: 0, is_fading: true, ..self.seats[seat] };
        self.limiter.compress(self.sums.iter().copied(), &mut self.shared);
        self.shared_encoded.iter_mut().for_each(|it| it.0 = false);
    }

    /// Returns the sum of all voices of the tick mixed last, as those hear it who do not speak.
    pub fn full_mix(&self) -> &[i16] {
        &self.shared
    }

    /// Returns what a leg hears of the room in the tick mixed last.
    pub fn leg_mix(&mut self, slot: Slot) -> LegMix<'_> {
        let leg = &self.legs[slot.index()];
        let is_deaf = leg.flags.deaf || leg.flags.waiting;
        let hears = match leg.seat.map(usize::from) {
            _ if is_deaf || self.seats.is_empty() => Audible::Nothing,
            Some(_) if self.seats.len() == 1 => Audible::Nothing,
            Some(seat) => Audible::AllBut(seat),
            None => Audible::All,
        };
        LegMix { mixer: self, audible: hears }
    }

    /// Finds the loudest of the legs that may be heard.
    fn choose_loudest(&mut self, talks: &mut Vec<TalkChange>) {
        let n_legs = self.len();
        let seats = match n_legs <= self.settings.all_up_to {
            true => self.settings.all_up_to,
            false => self.settings.loudest,
        };
        for (slot, leg) in self.legs.iter_mut().enumerate().filter(|(_, leg)| leg.is_used) {
            let slot = slot as u32;
            // A frame counts for one tick.
            let (sent, level) = (mem::take(&mut leg.input), mem::take(&mut leg.level));
            if let Some(on) = leg.gate.tick(level) {
                talks.push(TalkChange { slot: Slot(slot), on });
            }
            if sent == FrameInput::Nothing || !leg.is_heard() {
                continue;
            }
            let bonus = if leg.seat.is_some() { SEATED_BONUS } else { 0 };
            let rank = leg.gate.loudness() + bonus;
            if n_legs <= seats {
                self.loudest.push(Candidate { rank, slot, input: sent });
                continue;
            }
            let is_full = self.loudest.len() == seats;
            if is_full && self.loudest.last().is_none_or(|last| rank <= last.rank) {
                continue;
            }
            let at = self.loudest.partition_point(|it| rank <= it.rank);
            self.loudest.insert(at, Candidate { rank, slot, input: sent });
            self.loudest.truncate(seats);
        }
    }

    /// Gives the chosen legs seats and lays out their voices. A leg that has left the mix keeps a
    /// seat for the fade from its last sample to zero.
    fn assign_seats(&mut self) {
        mem::swap(&mut self.seats, &mut self.previous_seats);
        let frame = self.frame;
        for (seat, Candidate { slot, input: sent, .. }) in self.loudest.drain(..).enumerate() {
            let leg = &mut self.legs[slot as usize];
            let voice = &mut self.voices[seat * frame..][..frame];
            let place = slot as usize * frame;
            match sent {
                FrameInput::Encoded(law) => law.decode(&self.encoded[place..][..frame], voice),
                FrameInput::Samples => voice.copy_from_slice(&self.samples[place..][..frame]),
                FrameInput::Nothing => voice.fill(0),
            }
            let was_heard =
                leg.seat.is_some_and(|seat| !self.previous_seats[usize::from(seat)].is_fading);
            if !was_heard {
                fade_in(&mut voice[..self.fade]);
            }
            self.seats.push(VoiceSeat {
                slot: Some(slot),
                last: voice[frame - 1],
                is_fading: false,
            });
        }
        for past in self.previous_seats.iter().filter_map(|it| it.slot) {
            self.legs[past as usize].seat = None;
        }
        let n_heard = self.seats.len();
        for (seat, it) in self.seats.iter().enumerate() {
            self.legs[it.slot.expect("it was seated above") as usize].seat = Some(seat as u8);
        }

        for past in self.previous_seats.drain(..).filter(|it| it.last != 0) {
            let is_heard = |slot| self.seats[..n_heard].iter().any(|it| it.slot == Some(slot));
            if past.slot.is_some_and(is_heard) {
                continue;
            }
            let seat = self.seats.len();
            let voice = &mut self.voices[seat * frame..][..frame];
            voice.fill(0);
            add_fade_out(past.last, &mut voice[..self.fade]);
            if let Some(slot) = past.slot {
                self.legs[slot as usize].seat = Some(seat as u8);
            }
            self.seats.push(VoiceSeat { last: 0, is_fading: true, ..past });
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
        self.limiter.measure(&self.sums, i32::from(highest).max(-i32::from(lowest)));
        self.limiter.compress(self.sums.iter().copied(), &mut self.shared);
        self.shared_encoded.iter_mut().for_each(|it| it.0 = false);
    }
}

impl Slot {
    /// Returns the index: below the highest number of legs that the room ever had at once.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl MixerLeg {
    fn is_heard(&self) -> bool {
        let Flags { muted, deaf: _, held, waiting } = self.flags;
        self.gate.is_open() && !(muted || held || waiting)
    }
}

/// One leg's share of its room in one tick; encoded or subtracted on demand.
#[derive(Debug)]
pub struct LegMix<'a> {
    mixer: &'a mut Mixer,
    audible: Audible,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Audible {
    Nothing,
    All,
    /// Everything except the voice in this seat.
    AllBut(usize),
}

impl<'a> LegMix<'a> {
    /// Whether the leg hears nothing: the room is silent, or the leg is deaf, waiting or the only
    /// talker.
    pub fn is_silent(&self) -> bool {
        self.audible == Audible::Nothing
    }

    /// Returns the last sample of the frame.
    pub fn last(&self) -> i16 {
        let mixer = &*self.mixer;
        match self.audible {
            Audible::Nothing => 0,
            Audible::All => mixer.shared[mixer.frame - 1],
            Audible::AllBut(seat) => {
                let at = mixer.frame - 1;
                let own = mixer.voices[seat * mixer.frame + at];
                mixer.limiter.compress_last(mixer.sums[at] - i32::from(own))
            }
        }
    }

    /// Returns the frame as samples.
    pub fn samples(&mut self) -> &[i16] {
        match self.audible {
            Audible::Nothing => {
                self.mixer.own.fill(0);
                &self.mixer.own
            }
            Audible::All => &self.mixer.shared,
            Audible::AllBut(seat) => {
                self.mixer.subtract(seat);
                &self.mixer.own
            }
        }
    }

    /// Returns the frame as bytes.
    pub fn encode(self, law: Law) -> &'a [u8] {
        let mixer = self.mixer;
        match self.audible {
            Audible::Nothing => mixer.own_encoded.fill(law.silence()),
            Audible::All => {
                let (is_fresh, encoded) = &mut mixer.shared_encoded[law as usize];
                if !*is_fresh {
                    law.encode(&mixer.shared, encoded);
                    *is_fresh = true;
                }
                return encoded;
            }
            Audible::AllBut(seat) => {
                mixer.subtract(seat);
                law.encode(&mixer.own, &mut mixer.own_encoded);
            }
        }
        &mixer.own_encoded
    }
}

impl Mixer {
    fn subtract(&mut self, seat: usize) {
        let voice = &self.voices[seat * self.frame..][..self.frame];
        let sums = self.sums.iter().zip(voice).map(|(sum, it)| sum - i32::from(*it));
        self.limiter.compress(sums, &mut self.own);
    }
}

/// Fades a sound in over the whole slice.
pub fn fade_in(samples: &mut [i16]) {
    let span = samples.len() as i32;
    for (at, sample) in samples.iter_mut().enumerate() {
        *sample = (i32::from(*sample) * at as i32 / span) as i16;
    }
}

/// Adds the fade of a sound that was cut off, from its last sample to zero, so that the cut does
/// not click.
pub fn add_fade_out(last: i16, samples: &mut [i16]) {
    let span = samples.len() as i32;
    for (at, sample) in samples.iter_mut().enumerate() {
        let rest = i32::from(last) * (span - 1 - at as i32) / span;
        *sample = sample.saturating_add(rest as i16);
    }
}
