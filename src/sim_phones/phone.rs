//! One simulated phone: what it hears, and what it does.
//!
//! A phone hears one thing at a time: keys that the engine presses, over an announcement, over a
//! program, over the room or its wait sound, over silence. What lies beneath runs on in time, and
//! is a new entry of the timeline when it is heard again. A phone that holds the engine hears
//! silence. Nothing is heard before the answer or early media, nor after the end.
//!
//! Times are whole milliseconds since it dialled in.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    PhoneError, Settings,
    answer_plan::Called,
    details::{Record, State},
    script::{Act, Deed, Keys},
    sounds::{Layer, Piece, Score, Sounds, millis},
    timeline::{Mark, Timeline},
    user::{Hands, Move},
};
use crate::{
    base::ids::{AccountId, CallId, Incarnation, RoomId},
    media::{Address, AnnouncementKind, Ending, Heard, Hears, Order, Program},
};

/// One phone, from its first ring on.
#[derive(Debug)]
pub(super) struct Phone {
    pub(super) account: AccountId,
    from: Arc<str>,
    to: Arc<str>,
    dialled: Instant,
    line: Line,
    /// The engine has said so; a phone that hung up waits for it.
    ending: Option<Ending>,
    /// The engine is held.
    is_holding: bool,
    seat: Option<Seat>,
    sounds: Option<Box<Sounds>>,
    hands: Option<Box<Hands>>,
    timeline: Timeline,
    /// Which sound is heard; 0 is none, but what lies beneath.
    token: u32,
}

// A million of them are parked on one machine.
const _: () = assert!(size_of::<Phone>() <= 152);

/// How far the call is, to the phone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Line {
    Ringing,
    /// It rings, and is heard already.
    Early,
    Answered,
    Over,
}

/// A place in a room.
#[derive(Debug)]
struct Seat {
    room: Arc<Incarnation>,
    wait: Option<Box<Program>>,
    is_waiting: bool,
    is_deaf: bool,
}

impl Phone {
    pub(super) fn new(
        now: Instant,
        account: AccountId,
        from: Arc<str>,
        to: Arc<str>,
        script: Vec<Act>,
    ) -> Self {
        Self {
            account,
            from,
            to,
            dialled: now,
            line: Line::Ringing,
            ending: None,
            is_holding: false,
            seat: None,
            sounds: None,
            hands: (!script.is_empty()).then(|| Box::new(Hands::new(script))),
            timeline: Timeline::default(),
            token: 0,
        }
    }

    /// One that is called.
    pub(super) fn called(mut self, called: Called) -> Self {
        self.hands().called(called);
        self
    }

    /// Milliseconds since it dialled in.
    pub(super) fn ms(&self, now: Instant) -> u32 {
        millis(now.saturating_duration_since(self.dialled))
    }

    pub(super) fn is_over(&self) -> bool {
        self.line == Line::Over
    }

    /// When it does, or hears, something new by itself.
    pub(super) fn deadline(&self) -> Option<Instant> {
        Some(self.dialled + Duration::from_millis(self.due()?.into()))
    }

    /// The same, in its own milliseconds.
    fn due(&self) -> Option<u32> {
        let sound = self.sounds.as_ref().and_then(|sounds| sounds.due());
        let act = self.hands.as_ref().and_then(|hands| hands.due());
        [sound, act].into_iter().flatten().min()
    }

    /// Lets time go by: all that was due up to now happens, each at its moment.
    pub(super) fn pass(&mut self, now: u32, settings: &Settings, heard: &mut dyn FnMut(Heard)) {
        while let Some(due) = self.due().filter(|due| *due <= now) {
            self.step(due, settings, heard);
        }
    }

    /// Does what it is told. Time has gone by up to now.
    pub(super) fn obey(&mut self, now: u32, order: &Order, settings: &Settings) {
        if let Order::End { ending, .. } = order {
            self.ending.get_or_insert(*ending);
            self.stop(now);
            return;
        }
        if self.is_over() {
            return;
        }

        match order {
            Order::Answer { .. } => self.answer(now),
            Order::EarlyMedia { .. } if self.line == Line::Ringing => self.line = Line::Early,
            // What others hear of this phone is not simulated; and it is called already.
            Order::EarlyMedia { .. } | Order::End { .. } => {}
            Order::Dial { .. } | Order::Mute { .. } => {}
            // Its sounds are always at hand.
            Order::Prepare { .. } => {}
            Order::PlayOver { kind, program, length, .. } => {
                let address = to_call(*kind);
                self.hush(now, settings, None, &address);
                let piece = Piece::over(None, Some(address), Score::Program(Arc::clone(program)));
                self.play(now, settings, piece.cut(length.map(millis)));
            }
            Order::StopOver { kind, .. } => self.hush(now, settings, None, &to_call(*kind)),
            Order::Play { number, program, .. } => {
                self.silence(now, settings, Layer::Played, |_| true);
                let score = Score::Program(Arc::clone(program));
                self.play(now, settings, Piece::numbered(*number, Layer::Played, score));
            }
            Order::Stop { .. } => self.silence(now, settings, Layer::Played, |_| true),
            Order::SendDigits { number, digits, .. } => {
                let score = Score::Keys(Arc::clone(digits));
                self.play(now, settings, Piece::numbered(*number, Layer::Keys, score));
            }
            Order::Place { room, hears, .. } => {
                self.silence(now, settings, Layer::Played, |_| true);
                self.place(now, settings, room, hears);
            }
            Order::Remove { room, .. }
            | Order::Deafen { room, .. }
            | Order::Announce { room, .. }
            | Order::Hush { room, .. }
            | Order::RelayDigit { room, .. }
                if !self.is_in(*room) => {}
            Order::Remove { room, .. } => self.leave(now, settings, *room),
            Order::Deafen { on, .. } => {
                self.seat.iter_mut().for_each(|seat| seat.is_deaf = *on);
            }
            Order::Announce { room, address, program, .. } => {
                let score = Score::Program(Arc::clone(program));
                let piece = Piece::over(Some(*room), address.clone(), score);
                self.play(now, settings, piece);
            }
            Order::Hush { room, address, .. } => {
                self.hush(now, settings, Some(*room), address);
            }
            Order::RelayDigit { room, digit, .. } => {
                let piece = Piece::over(Some(*room), None, Score::Relayed(*digit));
                self.play(now, settings, piece);
            }
        }
        self.listen(now);
    }

    /// Presses keys: the first one now, unless others wait.
    pub(super) fn press(&mut self, now: u32, keys: &Keys) -> Result<(), PhoneError> {
        self.hands().has_room(keys)?;
        self.hands().press(now, keys);
        Ok(())
    }

    /// Talks for so long.
    pub(super) fn talk(&mut self, now: u32, ms: u32, heard: &mut dyn FnMut(Heard)) {
        if self.hands().talk(now, ms) {
            heard(Heard::Talk(true));
        }
    }

    /// Holds the engine, or is back; nothing happens if it is so already.
    pub(super) fn hold(&mut self, now: u32, on: bool, heard: &mut dyn FnMut(Heard)) {
        if self.is_holding != on {
            self.is_holding = on;
            heard(Heard::Hold(on));
            self.listen(now);
        }
    }

    /// Hangs up. To the phone the call is completed; why, the engine will say.
    pub(super) fn hang_up(&mut self, now: u32, heard: &mut dyn FnMut(Heard)) {
        self.stop(now);
        heard(Heard::HungUp);
    }

    /// What is told of it.
    pub(super) fn record(&self, call: CallId) -> Record {
        let state = match self.line {
            Line::Ringing | Line::Early => State::Ringing,
            Line::Answered => State::InProgress,
            Line::Over => State::Completed,
        };
        Record {
            call_uuid: call,
            from: Arc::clone(&self.from),
            to: Arc::clone(&self.to),
            state,
            hangup_cause_name: self.ending.map(|ending| ending.cause.name()),
            hangup_cause_code: self.ending.map(|ending| ending.cause.code()),
            hangup_source: self.ending.map(|ending| ending.source.text()),
            timeline: self.timeline.entries(),
            timeline_dropped: self.timeline.dropped(),
        }
    }

    fn answer(&mut self, now: u32) {
        if self.line != Line::Answered {
            self.line = Line::Answered;
            self.hands.iter_mut().for_each(|hands| hands.begin(now));
        }
    }

    fn step(&mut self, now: u32, settings: &Settings, heard: &mut dyn FnMut(Heard)) {
        if let Some(sounds) = &mut self.sounds {
            sounds.step(now, settings, &mut |number| heard(Heard::Over(number)));
        }
        let act = self.hands.as_mut().and_then(|hands| hands.step(now));
        match act {
            None => {}
            Some(Move::Report(it)) => heard(it),
            Some(Move::PickUp) => {
                self.answer(now);
                heard(Heard::Answered);
            }
            Some(Move::Refuse(cause)) => {
                self.stop(now);
                heard(Heard::Failed(cause));
            }
            Some(Move::Do(Deed::HangUp)) => self.hang_up(now, heard),
            Some(Move::Do(Deed::Hold(on))) => self.hold(now, on, heard),
            Some(Move::Do(Deed::Press(keys))) => self.hands().press(now, &keys),
            Some(Move::Do(Deed::Talk { ms })) => self.talk(now, ms, heard),
        }
        self.hands.take_if(|hands| hands.is_idle());
        self.listen(now);
    }

    fn place(&mut self, now: u32, settings: &Settings, room: &Arc<Incarnation>, hears: &Hears) {
        if let Some(before) =
            self.seat.as_ref().map(|seat| seat.room.id).filter(|it| *it != room.id)
        {
            self.leave(now, settings, before);
        }
        let is_deaf = self.seat.as_ref().is_some_and(|seat| seat.is_deaf);
        let (is_waiting, wait) = match hears {
            Hears::Room => (false, None),
            Hears::Wait(wait) => (true, wait.clone().map(Box::new)),
        };
        self.seat = Some(Seat { room: room.clone(), wait, is_waiting, is_deaf });
    }

    fn leave(&mut self, now: u32, settings: &Settings, room: RoomId) {
        self.seat = None;
        self.silence(now, settings, Layer::Announced, |piece| piece.room == Some(room));
    }

    fn is_in(&self, room: RoomId) -> bool {
        self.seat.as_ref().is_some_and(|seat| seat.room.id == room)
    }

    fn play(&mut self, now: u32, settings: &Settings, piece: Piece) {
        self.sounds.get_or_insert_default().add(now, piece, settings);
    }

    /// What was announced under an address is heard no longer.
    fn hush(
        &mut self,
        now: u32,
        settings: &Settings,
        room: Option<RoomId>,
        address: &Arc<Address>,
    ) {
        self.silence(now, settings, Layer::Announced, |piece| {
            piece.room == room && piece.address.as_ref() == Some(address)
        });
    }

    fn silence(
        &mut self,
        now: u32,
        settings: &Settings,
        layer: Layer,
        is_out: impl Fn(&Piece) -> bool,
    ) {
        if let Some(sounds) = &mut self.sounds {
            sounds.take_out(now, layer, settings, is_out);
        }
    }

    fn hands(&mut self) -> &mut Hands {
        self.hands.get_or_insert_with(|| Box::new(Hands::new(Vec::new())))
    }

    /// Nothing is heard nor done any more.
    fn stop(&mut self, now: u32) {
        if !self.is_over() {
            self.line = Line::Over;
            self.timeline.end(now);
        }
        self.seat = None;
        self.sounds = None;
        self.hands = None;
    }

    /// Writes down what is heard from now on.
    fn listen(&mut self, now: u32) {
        match self.line {
            Line::Ringing | Line::Over => return,
            Line::Early | Line::Answered => {}
        }
        let heard = self.sounds.as_ref().and_then(|sounds| sounds.heard());
        let (token, mark) = match heard {
            _ if self.is_holding => (0, Mark::SILENCE),
            Some(heard) => heard,
            None => (0, self.beneath()),
        };
        if token == 0 || token != self.token {
            self.timeline.hear(now, mark);
        }
        self.token = token;
        self.sounds.take_if(|sounds| sounds.is_empty());
    }

    fn beneath(&self) -> Mark {
        match &self.seat {
            None => Mark::SILENCE,
            Some(Seat { wait: Some(wait), is_waiting: true, .. }) => Mark::wait(wait),
            Some(seat) if seat.is_waiting || seat.is_deaf => Mark::SILENCE,
            Some(seat) => Mark::room(&seat.room.key.name),
        }
    }
}

/// What is played over whatever a call hears has the same address wherever that is.
fn to_call(kind: AnnouncementKind) -> Arc<Address> {
    Arc::new(Address { kind, members: None })
}

#[cfg(test)]
mod tests;
