//! Playout of one leg: executes the audio orders of the media port, tick by tick.
//!
//! The mixer thread applies orders as they arrive (one method each). At each tick, after the room
//! is mixed, it asks [`Playout::tick`] what to send. Priority: keys sent to the far end; a program
//! played over the call alone; an announcement; a played program; the wait sound, or the room;
//! silence. A program that is mixed over the call is added to everything but keys.
//!
//! Where a sound is cut off, its last sample fades to zero in 5 ms. A sound that resumes in its
//! middle fades in likewise. Nothing else of a cut sound is heard after the order.

mod overlay;
mod resumed;

use std::{collections::VecDeque, mem, sync::Arc, time::Duration};

use self::overlay::{Overlays, RelayedTone};
use super::{
    cursor::{ProgramCursor, SoundLookup},
    dtmf::{self, KeyPress},
    mix::{LegMix, add_fade_out, fade_in},
};
use crate::{
    media::{AnnouncementAddress, AnnouncementKind, FADE_MS, MemberAudio, Program},
    rtp::g711,
};

/// The playout state of one leg: programs, announcements, key presses and the room.
#[derive(Debug)]
pub struct Playout {
    settings: Settings,
    play: Option<PlayingProgram>,
    background: Background,
    announcements: VecDeque<Announcement>,
    overlays: Overlays,
    sends: VecDeque<DigitSequence>,
    relays: VecDeque<RelayedTone>,
    /// Number of the last sound started; tells one sound from another.
    serial: u32,
    /// The last tick: its source, its last sample without relayed keys, and their share of that.
    playing: Playing,
    last: i16,
    relayed: i16,
}

/// Output parameters of a leg.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Settings {
    /// Samples per second of the leg's codec.
    pub rate: u32,
    /// Encoding of key presses that we send.
    pub dtmf_mode: DtmfMode,
}

/// Encoding of key presses that we send.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DtmfMode {
    /// Telephone events, to which the far end has agreed.
    Events,
    /// Tones in the audio, for far ends without events.
    Tones,
}

/// The output of a tick.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OutgoingAudio {
    /// The room's frame unchanged: [`crate::audio::mix::LegMix::encode`].
    Room,
    /// The samples in the buffer.
    Samples,
    /// One frame of silence.
    Silence,
    /// A telephone event instead of audio.
    Event(dtmf::EventUpdate),
}

/// An order was refused because too many of its kind are waiting.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{waiting} such orders are already waiting for this leg; send fewer, or stop some")]
pub struct QueueFull {
    /// Number of orders that are waiting.
    pub waiting: usize,
}

/// Limit of waiting announcements: minutes of sound; more would be a mistake.
pub const ANNOUNCEMENTS_MAX: usize = 64;

/// Limit of waiting orders to send key presses; more would be a mistake.
pub const SENDS_MAX: usize = 64;

/// Limit of keys relayed at once; nobody types faster.
pub const RELAYS_MAX: usize = 8;

#[derive(Debug)]
struct PlayingProgram {
    serial: u32,
    number: u32,
    cursor: ProgramCursor,
}

#[derive(Debug)]
enum Background {
    Nowhere,
    Room,
    /// The wait sound with its serial; None is silence.
    Wait(Option<(u32, ProgramCursor)>),
}

#[derive(Debug)]
struct Announcement {
    serial: u32,
    address: Option<Arc<AnnouncementAddress>>,
    cursor: ProgramCursor,
}

#[derive(Debug)]
struct DigitSequence {
    serial: u32,
    number: u32,
    digits: Arc<str>,
    /// Bytes of `digits` that have been sent.
    at: usize,
    step: DigitStep,
}

#[derive(Debug)]
enum DigitStep {
    /// Take the next digit.
    Next,
    /// Ticks in which nothing is sent; other sounds continue.
    Pause(u32),
    /// The press, and the ticks until the next one.
    Event(KeyPress, u32),
    /// A tone, the samples of it that have been sent, and the ticks until the next one.
    Tone(Arc<[i16]>, usize, u32),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Playing {
    Nothing,
    Room,
    /// A program, by its serial.
    Sound(u32),
}

/// Length of a key press: 100 ms, twice what every receiver must detect.
const PRESS_TICKS: u32 = 5;

/// Ticks from one press to the next.
const PRESS_PERIOD: u32 = 10;

/// Length of a `w`: half a second.
const PAUSE_TICKS: u32 = 25;

impl Playout {
    /// Creates a silent leg in no room.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            play: None,
            background: Background::Nowhere,
            announcements: VecDeque::new(),
            overlays: Overlays::new(settings.rate),
            sends: VecDeque::new(),
            relays: VecDeque::new(),
            serial: 0,
            playing: Playing::Nothing,
            last: 0,
            relayed: 0,
        }
    }

    /// `Play` order: replaces the previous program, which does not report its end.
    pub fn play(&mut self, number: u32, program: Program) {
        self.play = Some(PlayingProgram {
            serial: self.serial(),
            number,
            cursor: ProgramCursor::once(program),
        });
    }

    /// `Stop` order: the program does not report its end.
    pub fn stop(&mut self) {
        self.play = None;
    }

    /// `PlayOver` order: replaces the previous one of its kind.
    pub fn play_over(
        &mut self,
        kind: AnnouncementKind,
        program: Program,
        mixes: bool,
        length: Option<Duration>,
    ) {
        let serial = self.serial();
        self.overlays.play(serial, kind, program, mixes, length);
    }

    /// `StopOver` order: ends the program of this kind, with a fade if it was mixed.
    pub fn stop_over(&mut self, kind: AnnouncementKind) {
        self.overlays.stop(kind);
    }

    /// `Place` order: ends the played program. A leg that is in the room already keeps its
    /// announcements.
    pub fn place(&mut self, hears: MemberAudio) {
        self.play = None;
        self.background = match hears {
            MemberAudio::Room => Background::Room,
            MemberAudio::Wait(program) => {
                Background::Wait(program.map(|it| (self.serial(), ProgramCursor::endless(it))))
            }
        };
    }

    /// `Remove` order: ends the room and everything that was played in it. Keys being sent belong
    /// to the call and continue.
    pub fn remove(&mut self) {
        self.background = Background::Nowhere;
        self.announcements.clear();
        self.relays.clear();
        self.last = self.last.saturating_add(mem::take(&mut self.relayed));
        if self.playing == Playing::Room {
            // Another room is another sound.
            self.playing = Playing::Nothing;
        }
    }

    /// `Announce` order: queues the announcement after those that wait.
    ///
    /// # Errors
    ///
    /// [`ANNOUNCEMENTS_MAX`] announcements are waiting.
    pub fn announce(
        &mut self,
        address: Option<Arc<AnnouncementAddress>>,
        program: Program,
    ) -> Result<(), QueueFull> {
        let waiting = self.announcements.len();
        if waiting == ANNOUNCEMENTS_MAX {
            return Err(QueueFull { waiting });
        }
        let serial = self.serial();
        let cursor = ProgramCursor::once(program);
        self.announcements.push_back(Announcement { serial, address, cursor });
        Ok(())
    }

    /// Whether an announcement of this program that cannot be taken back plays or waits.
    pub fn announces(&self, cue: &Program) -> bool {
        self.announcements.iter().any(|it| it.address.is_none() && it.cursor.program() == cue)
    }

    /// `Hush` order: drops the announcements of this address, waiting ones included.
    pub fn hush(&mut self, address: &AnnouncementAddress) {
        self.announcements.retain(|it| it.address.as_deref() != Some(address));
    }

    /// `RelayDigit` order: mixes the key's tone into everything else. An unknown key is ignored.
    ///
    /// # Errors
    ///
    /// [`RELAYS_MAX`] keys are being played.
    pub fn relay(&mut self, key: char, sounds: &mut impl SoundLookup) -> Result<(), QueueFull> {
        let waiting = self.relays.len();
        if waiting == RELAYS_MAX {
            return Err(QueueFull { waiting });
        }
        self.relays.extend(sounds.key(key).map(|tone| RelayedTone { tone, at: 0 }));
        Ok(())
    }

    /// `SendDigits` order: queues the keys. Other sounds stand still while a key is down.
    ///
    /// # Errors
    ///
    /// [`SENDS_MAX`] orders are waiting.
    pub fn send_digits(&mut self, number: u32, digits: Arc<str>) -> Result<(), QueueFull> {
        let waiting = self.sends.len();
        if waiting == SENDS_MAX {
            return Err(QueueFull { waiting });
        }
        let serial = self.serial();
        self.sends.push_back(DigitSequence {
            serial,
            number,
            digits,
            at: 0,
            step: DigitStep::Next,
        });
        Ok(())
    }

    /// Sets the encoding of key presses, after a new exchange of SDP.
    pub fn set_dtmf_mode(&mut self, mode: DtmfMode) {
        self.settings.dtmf_mode = mode;
    }

    /// Produces the output of this tick into `out`, which takes one frame. `leg_mix` is the leg's
    /// part of its room, if it is in one. Appends the numbers of completed orders to `finished`.
    pub fn tick(
        &mut self,
        leg_mix: Option<&mut LegMix<'_>>,
        sounds: &mut impl SoundLookup,
        out: &mut [i16],
        finished: &mut Vec<u32>,
    ) -> OutgoingAudio {
        let (playing, is_resumed) = match self.send_next_digit(sounds, out, finished) {
            Some(DigitOutput::Event(update)) => {
                // The sound has been cut off by now, and the fade would not be heard.
                (self.playing, self.last) = (Playing::Nothing, 0);
                return OutgoingAudio::Event(update);
            }
            Some(DigitOutput::Tone(serial)) => (Playing::Sound(serial), false),
            None => self.choose(sounds, out, finished),
        };
        let is_mixed = self.overlays.mix(sounds);
        self.render(playing, is_resumed, is_mixed, leg_mix, out)
    }

    fn serial(&mut self) -> u32 {
        self.serial = self.serial.wrapping_add(1);
        self.serial
    }

    /// Fills the buffer if a program is due. Returns what plays, and whether it had begun before.
    fn choose(
        &mut self,
        sounds: &mut impl SoundLookup,
        out: &mut [i16],
        finished: &mut Vec<u32>,
    ) -> (Playing, bool) {
        if let Some((serial, has_begun)) = self.overlays.alone(sounds, out) {
            return (Playing::Sound(serial), has_begun);
        }
        let rate = self.settings.rate;
        while let Some(it) = self.announcements.front_mut() {
            let has_begun = it.cursor.has_begun();
            let filled = it.cursor.fill(rate, sounds, out);
            let playing = Playing::Sound(it.serial);
            if !it.cursor.has_begun() && !it.cursor.is_over() {
                // The sound is loading; the room stays audible until it arrives.
                break;
            }
            if it.cursor.is_over() {
                self.announcements.pop_front();
            }
            if 0 < filled {
                return (playing, has_begun);
            }
        }

        if let Some(it) = &mut self.play {
            let (playing, has_begun) = (Playing::Sound(it.serial), it.cursor.has_begun());
            it.cursor.fill(rate, sounds, out);
            if it.cursor.is_over() {
                finished.push(it.number);
                self.play = None;
            }
            return (playing, has_begun);
        }

        match &mut self.background {
            Background::Nowhere | Background::Wait(None) => (Playing::Nothing, false),
            Background::Room => (Playing::Room, true),
            Background::Wait(Some((serial, cursor))) => {
                let has_begun = cursor.has_begun();
                cursor.fill(rate, sounds, out);
                (Playing::Sound(*serial), has_begun)
            }
        }
    }

    /// Joins this tick's sound to the previous one, and adds relayed keys and mixed programs.
    fn render(
        &mut self,
        playing: Playing,
        is_resumed: bool,
        is_mixed: bool,
        leg_mix: Option<&mut LegMix<'_>>,
        out: &mut [i16],
    ) -> OutgoingAudio {
        let fade = (self.settings.rate * FADE_MS / 1_000) as usize;
        let is_new = mem::replace(&mut self.playing, playing) != playing;
        let ear = leg_mix.filter(|ear| playing == Playing::Room && !ear.is_silent());
        let is_sound = matches!(playing, Playing::Sound(_));
        let is_plain = self.relays.is_empty() && !is_mixed;
        if let Some(ear) = &ear
            && !is_new
            && is_plain
        {
            self.last = ear.last();
            return OutgoingAudio::Room;
        }
        // A room that fell silent by itself has ended at zero.
        if !is_sound && ear.is_none() && self.last == 0 && is_plain {
            return OutgoingAudio::Silence;
        }

        let is_cut = is_new || (!is_sound && ear.is_none());
        match ear {
            Some(ear) => out.copy_from_slice(ear.samples()),
            None if is_sound => (),
            None => out.fill(0),
        }
        if is_new && is_resumed {
            fade_in(&mut out[..fade]);
        }
        if is_cut {
            add_fade_out(self.last, &mut out[..fade]);
        }
        self.last = out.last().copied().unwrap_or(0);
        self.relays.retain_mut(|it| it.add(out));
        self.relayed = out.last().map_or(0, |it| it.saturating_sub(self.last));
        self.overlays.add(fade, out);
        OutgoingAudio::Samples
    }

    /// Continues the keys being sent. None if they produce no output in this tick.
    fn send_next_digit(
        &mut self,
        sounds: &mut impl SoundLookup,
        out: &mut [i16],
        finished: &mut Vec<u32>,
    ) -> Option<DigitOutput> {
        while let Some(send) = self.sends.front_mut() {
            match &mut send.step {
                DigitStep::Next => {
                    let Some(key) = send.digits[send.at..].chars().next() else {
                        finished.push(send.number);
                        self.sends.pop_front();
                        continue;
                    };
                    send.at += key.len_utf8();
                    send.step = step_of(key, self.settings.dtmf_mode, sounds);
                }
                DigitStep::Pause(0) | DigitStep::Event(_, 0) | DigitStep::Tone(.., 0) => {
                    send.step = DigitStep::Next;
                }
                DigitStep::Pause(ticks) => {
                    *ticks -= 1;
                    return None;
                }
                DigitStep::Event(press, ticks) => {
                    *ticks -= 1;
                    if let Some(update) = press.tick() {
                        return Some(DigitOutput::Event(update));
                    }
                    out.fill(0);
                    return Some(DigitOutput::Tone(send.serial));
                }
                DigitStep::Tone(tone, at, ticks) => {
                    *ticks -= 1;
                    out.fill(0);
                    *at += copy(&tone[*at..], out);
                    return Some(DigitOutput::Tone(send.serial));
                }
            }
        }
        None
    }
}

enum DigitOutput {
    Event(dtmf::EventUpdate),
    /// The tone is in the buffer.
    Tone(u32),
}

/// A character that is neither a key nor a pause is skipped.
fn step_of(key: char, mode: DtmfMode, sounds: &mut impl SoundLookup) -> DigitStep {
    match (key, mode) {
        ('w', _) => DigitStep::Pause(PAUSE_TICKS),
        ('W', _) => DigitStep::Pause(2 * PAUSE_TICKS),
        (_, DtmfMode::Events) => match KeyPress::new(key, PRESS_TICKS, g711::FRAME as u16) {
            Some(press) => DigitStep::Event(press, PRESS_PERIOD),
            None => DigitStep::Next,
        },
        (_, DtmfMode::Tones) => match sounds.key(key) {
            Some(tone) => DigitStep::Tone(tone, 0, PRESS_PERIOD),
            None => DigitStep::Next,
        },
    }
}

/// Copies as much as fits; returns how much.
fn copy(from: &[i16], to: &mut [i16]) -> usize {
    let len = from.len().min(to.len());
    to[..len].copy_from_slice(&from[..len]);
    len
}
