//! What one leg hears, tick by tick: the orders of the media port as a machine.
//!
//! The tick thread applies orders as they come (each method below is one), and at each tick, after
//! the room is mixed, asks [`Playout::tick`] what to send. In this order: keys that are sent to
//! the far end; what is played over the call alone; an announcement; what is played; the wait
//! sound, or the room; silence. What is played over the call and mixed is added to all but keys.
//!
//! Where a sound is cut off, 5 ms lead from its last sample to zero, and what goes on in its
//! middle begins as softly. Nothing of what was cut off is heard after the order.

mod overlay;

use std::{collections::VecDeque, mem, sync::Arc, time::Duration};

use self::overlay::Overlays;
use super::{
    cursor::{ProgramCursor, SoundLookup},
    dtmf::{self, KeyPress},
    mix::{LegMix, add_fade_out, fade_in},
};
use crate::{
    media::{AnnouncementAddress, AnnouncementKind, FADE_MS, MemberAudio, Program},
    rtp::g711,
};

/// One leg's ears.
#[derive(Debug)]
pub struct Playout {
    settings: Settings,
    play: Option<PlayingProgram>,
    background: Background,
    announcements: VecDeque<Announcement>,
    overlays: Overlays,
    sends: VecDeque<DigitSequence>,
    relays: VecDeque<RelayedTone>,
    /// Tells what is heard from what was heard before.
    serial: u32,
    /// What the last tick sent, and its last sample without relayed keys; and theirs.
    playing: Playing,
    last: i16,
    relayed: i16,
}

/// How a leg is sent to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Settings {
    /// Samples in a second.
    pub rate: u32,
    /// How key presses go out.
    pub dtmf_mode: DtmfMode,
}

/// How key presses go out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DtmfMode {
    /// As telephone events: the far end has agreed to them.
    Events,
    /// As tones in the sound.
    Tones,
}

/// What goes out in a tick.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OutgoingAudio {
    /// The room's frame as it is: [`crate::audio::mix::LegMix::encode`].
    Room,
    /// What is in the buffer.
    Samples,
    /// A frame of silence.
    Silence,
    /// A telephone event in place of sound.
    Event(dtmf::EventUpdate),
}

/// An order that was not taken, because too many of its kind wait.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{waiting} of these wait for this leg already; send less, or stop some")]
pub struct QueueFull {
    /// How many.
    pub waiting: usize,
}

/// More announcements than this cannot be meant: minutes of sound.
pub const ANNOUNCEMENTS_MAX: usize = 64;

/// More orders of key presses than this cannot be meant.
pub const SENDS_MAX: usize = 64;

/// Keys relayed at once; nobody types faster.
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
    /// None: silence.
    Wait(Option<(u32, ProgramCursor)>),
}

#[derive(Debug)]
struct Announcement {
    serial: u32,
    address: Option<Arc<AnnouncementAddress>>,
    cursor: ProgramCursor,
}

/// Key presses that are sent to the far end.
#[derive(Debug)]
struct DigitSequence {
    serial: u32,
    number: u32,
    digits: Arc<str>,
    /// Bytes of them that are done with.
    at: usize,
    step: DigitStep,
}

#[derive(Debug)]
enum DigitStep {
    /// To the next digit.
    Next,
    /// Nothing is sent, and what else there is goes on for so many ticks.
    Pause(u32),
    /// The press, and the ticks until the next one.
    Event(KeyPress, u32),
    /// The same with a tone, and samples of it that are over.
    Tone(Arc<[i16]>, usize, u32),
}

#[derive(Debug)]
struct RelayedTone {
    tone: Arc<[i16]>,
    at: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Playing {
    Nothing,
    Room,
    /// A program, by its serial.
    Sound(u32),
}

/// A key is down for so long: 100 ms, twice what every receiver must notice.
const PRESS_TICKS: u32 = 5;

/// From one press to the next.
const PRESS_PERIOD: u32 = 10;

/// `w`: half a second.
const PAUSE_TICKS: u32 = 25;

impl Playout {
    /// A leg in no room, in silence.
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

    /// [`crate::media::AudioOrder::Play`]: ends the one before, silently.
    pub fn play(&mut self, number: u32, program: Program) {
        self.play = Some(PlayingProgram {
            serial: self.serial(),
            number,
            cursor: ProgramCursor::once(program),
        });
    }

    /// [`crate::media::AudioOrder::Stop`]: its end is not told.
    pub fn stop(&mut self) {
        self.play = None;
    }

    /// [`crate::media::AudioOrder::PlayOver`]: ends the one of its kind before.
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

    /// [`crate::media::AudioOrder::StopOver`].
    pub fn stop_over(&mut self, kind: AnnouncementKind) {
        self.overlays.stop(kind);
    }

    /// [`crate::media::AudioOrder::Place`]: ends what was played. A leg that is in the room already keeps its
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

    /// [`crate::media::AudioOrder::Remove`]: out of the room, with all that was played there. Keys that are
    /// being sent are the call's own.
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

    /// [`crate::media::AudioOrder::Announce`]: after those that wait already.
    ///
    /// # Errors
    ///
    /// [`ANNOUNCEMENTS_MAX`] wait.
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

    /// [`crate::media::AudioOrder::Hush`]: those that wait included.
    pub fn hush(&mut self, address: &AnnouncementAddress) {
        self.announcements.retain(|it| it.address.as_deref() != Some(address));
    }

    /// [`crate::media::AudioOrder::RelayDigit`]: heard above all else. A key that is none is not heard.
    ///
    /// # Errors
    ///
    /// [`RELAYS_MAX`] are being heard.
    pub fn relay(&mut self, key: char, sounds: &mut impl SoundLookup) -> Result<(), QueueFull> {
        let waiting = self.relays.len();
        if waiting == RELAYS_MAX {
            return Err(QueueFull { waiting });
        }
        self.relays.extend(sounds.key(key).map(|tone| RelayedTone { tone, at: 0 }));
        Ok(())
    }

    /// [`crate::media::AudioOrder::SendDigits`]: after those that wait already. What else is heard stands
    /// still while a key is down, and goes on in pauses.
    ///
    /// # Errors
    ///
    /// [`SENDS_MAX`] wait.
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

    /// How key presses go out from now on: SDP was exchanged again.
    pub fn set_dtmf_mode(&mut self, mode: DtmfMode) {
        self.settings.dtmf_mode = mode;
    }

    /// What goes out in this tick; `leg_mix` is the leg's, if it is in a room, and `outgoing` takes a
    /// frame. Numbers of orders that have come to their end are added to `finished`.
    pub fn tick(
        &mut self,
        leg_mix: Option<&mut LegMix<'_>>,
        sounds: &mut impl SoundLookup,
        out: &mut [i16],
        finished: &mut Vec<u32>,
    ) -> OutgoingAudio {
        let (playing, is_resumed) = match self.send_next_digit(sounds, out, finished) {
            Some(DigitOutput::Event(update)) => {
                // The sound has been cut off by now, and nobody could hear its rest.
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

    /// Fills the buffer if a program is to be heard. Answers what is, and whether it was begun
    /// before.
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
                // It is on its way; the room is not silent for that.
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

    /// Joins what is heard to what was, and adds relayed keys and what is mixed.
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
        // A room that falls silent of itself has ended at zero.
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

    /// Goes on with the keys that are sent. None: nothing of them is heard in this tick.
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
    /// It is in the buffer.
    Tone(u32),
}

/// A character that is neither a key nor a pause is passed over.
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

impl RelayedTone {
    /// Adds the next of it. False: it is over.
    fn add(&mut self, out: &mut [i16]) -> bool {
        let rest = &self.tone[self.at..];
        out.iter_mut().zip(rest).for_each(|(out, it)| *out = out.saturating_add(*it));
        self.at += rest.len().min(out.len());
        self.at < self.tone.len()
    }
}

/// Copies as much as fits; answers how much.
fn copy(from: &[i16], to: &mut [i16]) -> usize {
    let len = from.len().min(to.len());
    to[..len].copy_from_slice(&from[..len]);
    len
}
