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
    cursor::{Cursor, Sounds},
    dtmf::{self, Press},
    mix::{Ear, add_rest, fade_in},
};
use crate::{
    media::{Address, AnnouncementKind, FADE_MS, Hears, Program},
    rtp::g711,
};

/// One leg's ears.
#[derive(Debug)]
pub struct Playout {
    settings: Settings,
    play: Option<Play>,
    place: Place,
    announcements: VecDeque<Announcement>,
    overlays: Overlays,
    sends: VecDeque<Send>,
    relays: VecDeque<Relay>,
    /// Tells what is heard from what was heard before.
    serial: u32,
    /// What the last tick sent, and its last sample without relayed keys; and theirs.
    cue: Cue,
    last: i16,
    relayed: i16,
}

/// How a leg is sent to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Settings {
    /// Samples in a second.
    pub rate: u32,
    /// How key presses go out.
    pub keys: Keys,
}

/// How key presses go out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Keys {
    /// As telephone events: the far end has agreed to them.
    Events,
    /// As tones in the sound.
    Tones,
}

/// What goes out in a tick.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outgoing {
    /// The room's frame as it is: [`Ear::wire`].
    Room,
    /// What is in the buffer.
    Samples,
    /// A frame of silence.
    Silence,
    /// A telephone event in place of sound.
    Event(dtmf::Update),
}

/// An order that was not taken, because too many of its kind wait.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{waiting} of these wait for this leg already; send less, or stop some")]
pub struct Full {
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
struct Play {
    serial: u32,
    number: u32,
    cursor: Cursor,
}

#[derive(Debug)]
enum Place {
    Nowhere,
    Room,
    /// None: silence.
    Wait(Option<(u32, Cursor)>),
}

#[derive(Debug)]
struct Announcement {
    serial: u32,
    address: Option<Arc<Address>>,
    cursor: Cursor,
}

/// Key presses that are sent to the far end.
#[derive(Debug)]
struct Send {
    serial: u32,
    number: u32,
    digits: Arc<str>,
    /// Bytes of them that are done with.
    at: usize,
    step: Step,
}

#[derive(Debug)]
enum Step {
    /// To the next digit.
    Next,
    /// Nothing is sent, and what else there is goes on for so many ticks.
    Pause(u32),
    /// The press, and the ticks until the next one.
    Event(Press, u32),
    /// The same with a tone, and samples of it that are over.
    Tone(Arc<[i16]>, usize, u32),
}

#[derive(Debug)]
struct Relay {
    tone: Arc<[i16]>,
    at: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Cue {
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
            place: Place::Nowhere,
            announcements: VecDeque::new(),
            overlays: Overlays::new(settings.rate),
            sends: VecDeque::new(),
            relays: VecDeque::new(),
            serial: 0,
            cue: Cue::Nothing,
            last: 0,
            relayed: 0,
        }
    }

    /// [`crate::media::Order::Play`]: ends the one before, silently.
    pub fn play(&mut self, number: u32, program: Program) {
        self.play = Some(Play { serial: self.serial(), number, cursor: Cursor::once(program) });
    }

    /// [`crate::media::Order::Stop`]: its end is not told.
    pub fn stop(&mut self) {
        self.play = None;
    }

    /// [`crate::media::Order::PlayOver`]: ends the one of its kind before.
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

    /// [`crate::media::Order::StopOver`].
    pub fn stop_over(&mut self, kind: AnnouncementKind) {
        self.overlays.stop(kind);
    }

    /// [`crate::media::Order::Place`]: ends what was played. A leg that is in the room already keeps its
    /// announcements.
    pub fn place(&mut self, hears: Hears) {
        self.play = None;
        self.place = match hears {
            Hears::Room => Place::Room,
            Hears::Wait(program) => {
                Place::Wait(program.map(|it| (self.serial(), Cursor::endless(it))))
            }
        };
    }

    /// [`crate::media::Order::Remove`]: out of the room, with all that was played there. Keys that are
    /// being sent are the call's own.
    pub fn remove(&mut self) {
        self.place = Place::Nowhere;
        self.announcements.clear();
        self.relays.clear();
        self.last = self.last.saturating_add(mem::take(&mut self.relayed));
        if self.cue == Cue::Room {
            // Another room is another sound.
            self.cue = Cue::Nothing;
        }
    }

    /// [`crate::media::Order::Announce`]: after those that wait already.
    ///
    /// # Errors
    ///
    /// [`ANNOUNCEMENTS_MAX`] wait.
    pub fn announce(
        &mut self,
        address: Option<Arc<Address>>,
        program: Program,
    ) -> Result<(), Full> {
        let waiting = self.announcements.len();
        if waiting == ANNOUNCEMENTS_MAX {
            return Err(Full { waiting });
        }
        let serial = self.serial();
        let cursor = Cursor::once(program);
        self.announcements.push_back(Announcement { serial, address, cursor });
        Ok(())
    }

    /// [`crate::media::Order::Hush`]: those that wait included.
    pub fn hush(&mut self, address: &Address) {
        self.announcements.retain(|it| it.address.as_deref() != Some(address));
    }

    /// [`crate::media::Order::RelayDigit`]: heard above all else. A key that is none is not heard.
    ///
    /// # Errors
    ///
    /// [`RELAYS_MAX`] are being heard.
    pub fn relay(&mut self, key: char, sounds: &mut impl Sounds) -> Result<(), Full> {
        let waiting = self.relays.len();
        if waiting == RELAYS_MAX {
            return Err(Full { waiting });
        }
        self.relays.extend(sounds.key(key).map(|tone| Relay { tone, at: 0 }));
        Ok(())
    }

    /// [`crate::media::Order::SendDigits`]: after those that wait already. What else is heard stands
    /// still while a key is down, and goes on in pauses.
    ///
    /// # Errors
    ///
    /// [`SENDS_MAX`] wait.
    pub fn send_digits(&mut self, number: u32, digits: Arc<str>) -> Result<(), Full> {
        let waiting = self.sends.len();
        if waiting == SENDS_MAX {
            return Err(Full { waiting });
        }
        let serial = self.serial();
        self.sends.push_back(Send { serial, number, digits, at: 0, step: Step::Next });
        Ok(())
    }

    /// How key presses go out from now on: SDP was exchanged again.
    pub fn set_keys(&mut self, keys: Keys) {
        self.settings.keys = keys;
    }

    /// What goes out in this tick; `ear` is the leg's, if it is in a room, and `out` takes a
    /// frame. Numbers of orders that have come to their end are added to `over`.
    pub fn tick(
        &mut self,
        ear: Option<&mut Ear<'_>>,
        sounds: &mut impl Sounds,
        out: &mut [i16],
        over: &mut Vec<u32>,
    ) -> Outgoing {
        let (cue, is_resumed) = match self.send(sounds, out, over) {
            Some(Sent::Event(update)) => {
                // The sound has been cut off by now, and nobody could hear its rest.
                (self.cue, self.last) = (Cue::Nothing, 0);
                return Outgoing::Event(update);
            }
            Some(Sent::Tone(serial)) => (Cue::Sound(serial), false),
            None => self.choose(sounds, out, over),
        };
        let is_mixed = self.overlays.mix(sounds);
        self.render(cue, is_resumed, is_mixed, ear, out)
    }

    fn serial(&mut self) -> u32 {
        self.serial = self.serial.wrapping_add(1);
        self.serial
    }

    /// Fills the buffer if a program is to be heard. Answers what is, and whether it was begun
    /// before.
    fn choose(
        &mut self,
        sounds: &mut impl Sounds,
        out: &mut [i16],
        over: &mut Vec<u32>,
    ) -> (Cue, bool) {
        if let Some((serial, has_begun)) = self.overlays.alone(sounds, out) {
            return (Cue::Sound(serial), has_begun);
        }
        let rate = self.settings.rate;
        while let Some(it) = self.announcements.front_mut() {
            let has_begun = it.cursor.has_begun();
            let filled = it.cursor.fill(rate, sounds, out);
            let cue = Cue::Sound(it.serial);
            if !it.cursor.has_begun() && !it.cursor.is_over() {
                // It is on its way; the room is not silent for that.
                break;
            }
            if it.cursor.is_over() {
                self.announcements.pop_front();
            }
            if 0 < filled {
                return (cue, has_begun);
            }
        }

        if let Some(it) = &mut self.play {
            let (cue, has_begun) = (Cue::Sound(it.serial), it.cursor.has_begun());
            it.cursor.fill(rate, sounds, out);
            if it.cursor.is_over() {
                over.push(it.number);
                self.play = None;
            }
            return (cue, has_begun);
        }

        match &mut self.place {
            Place::Nowhere | Place::Wait(None) => (Cue::Nothing, false),
            Place::Room => (Cue::Room, true),
            Place::Wait(Some((serial, cursor))) => {
                let has_begun = cursor.has_begun();
                cursor.fill(rate, sounds, out);
                (Cue::Sound(*serial), has_begun)
            }
        }
    }

    /// Joins what is heard to what was, and adds relayed keys and what is mixed.
    fn render(
        &mut self,
        cue: Cue,
        is_resumed: bool,
        is_mixed: bool,
        ear: Option<&mut Ear<'_>>,
        out: &mut [i16],
    ) -> Outgoing {
        let fade = (self.settings.rate * FADE_MS / 1_000) as usize;
        let is_new = mem::replace(&mut self.cue, cue) != cue;
        let ear = ear.filter(|ear| cue == Cue::Room && !ear.is_silent());
        let is_sound = matches!(cue, Cue::Sound(_));
        let is_plain = self.relays.is_empty() && !is_mixed;
        if let Some(ear) = &ear
            && !is_new
            && is_plain
        {
            self.last = ear.last();
            return Outgoing::Room;
        }
        // A room that falls silent of itself has ended at zero.
        if !is_sound && ear.is_none() && self.last == 0 && is_plain {
            return Outgoing::Silence;
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
            add_rest(self.last, &mut out[..fade]);
        }
        self.last = out.last().copied().unwrap_or(0);
        self.relays.retain_mut(|it| it.add(out));
        self.relayed = out.last().map_or(0, |it| it.saturating_sub(self.last));
        self.overlays.add(fade, out);
        Outgoing::Samples
    }

    /// Goes on with the keys that are sent. None: nothing of them is heard in this tick.
    fn send(
        &mut self,
        sounds: &mut impl Sounds,
        out: &mut [i16],
        over: &mut Vec<u32>,
    ) -> Option<Sent> {
        while let Some(send) = self.sends.front_mut() {
            match &mut send.step {
                Step::Next => {
                    let Some(key) = send.digits[send.at..].chars().next() else {
                        over.push(send.number);
                        self.sends.pop_front();
                        continue;
                    };
                    send.at += key.len_utf8();
                    send.step = step_of(key, self.settings.keys, sounds);
                }
                Step::Pause(0) | Step::Event(_, 0) | Step::Tone(.., 0) => send.step = Step::Next,
                Step::Pause(ticks) => {
                    *ticks -= 1;
                    return None;
                }
                Step::Event(press, ticks) => {
                    *ticks -= 1;
                    if let Some(update) = press.tick() {
                        return Some(Sent::Event(update));
                    }
                    out.fill(0);
                    return Some(Sent::Tone(send.serial));
                }
                Step::Tone(tone, at, ticks) => {
                    *ticks -= 1;
                    out.fill(0);
                    *at += copy(&tone[*at..], out);
                    return Some(Sent::Tone(send.serial));
                }
            }
        }
        None
    }
}

enum Sent {
    Event(dtmf::Update),
    /// It is in the buffer.
    Tone(u32),
}

/// A character that is neither a key nor a pause is passed over.
fn step_of(key: char, keys: Keys, sounds: &mut impl Sounds) -> Step {
    match (key, keys) {
        ('w', _) => Step::Pause(PAUSE_TICKS),
        ('W', _) => Step::Pause(2 * PAUSE_TICKS),
        (_, Keys::Events) => match Press::new(key, PRESS_TICKS, g711::FRAME as u16) {
            Some(press) => Step::Event(press, PRESS_PERIOD),
            None => Step::Next,
        },
        (_, Keys::Tones) => match sounds.key(key) {
            Some(tone) => Step::Tone(tone, 0, PRESS_PERIOD),
            None => Step::Next,
        },
    }
}

impl Relay {
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
