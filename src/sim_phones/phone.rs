//! Simulated phone: what one phone hears and does.
//!
//! A phone hears one sound at a time. Priority: keys that the engine sends, an announcement, a
//! program, the room or its wait sound, silence. Covered sounds advance in time, and get a new
//! entry in the timeline when they are heard again. A phone that holds the engine hears silence. A
//! phone hears nothing before the answer or early media, nor after the end.
//!
//! Times are whole milliseconds since it dialled in.

use std::{
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    PhoneError, Settings,
    answer_plan::AnswerPlan,
    details::{PhoneDetails, PhoneState},
    room_sounds::RoomSounds,
    script::{PhoneAction, PressedKeys, ScriptItem},
    sounds::{Layer, PhonePiece, PieceContent, SoundStack, millis, to_call},
    timeline::{Timeline, TimelineSound},
    user::{SimUser, UserAction},
};
use crate::{
    base::ids::{AccountId, CallId, Incarnation, RoomId},
    media::{
        AnnouncementAddress, AudioOrder, DialFailure, DialFailureSource, Ending, LegEvent,
        MemberAudio, SignallingOrder, Sound, SoundToAll,
    },
};

/// One phone, from its first ring to its end.
#[derive(Debug)]
pub(super) struct SimPhone {
    pub(super) account: AccountId,
    from: Arc<str>,
    to: Arc<str>,
    dialled: Instant,
    line: LineState,
    /// Set by the engine's order; a phone that hung up waits for it.
    ending: Option<Ending>,
    /// The phone has put the engine on hold.
    is_holding: bool,
    placement: Option<Placement>,
    sounds: Option<Box<SoundStack>>,
    user: Option<Box<SimUser>>,
    timeline: Timeline,
    /// The sound being heard; 0 stands for the background.
    token: u32,
}

// A million phones in rooms must fit on one machine.
const _: () = assert!(size_of::<SimPhone>() <= 152);

/// Progress of the call from the phone's side.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum LineState {
    Ringing,
    /// Ringing with early media.
    Early,
    Answered,
    Over,
}

#[derive(Debug)]
struct Placement {
    room: Arc<Incarnation>,
    wait: Option<Box<TimelineSound>>,
    is_waiting: bool,
    is_deaf: bool,
    /// The number of the first sound of the room that was not taken over.
    next_sound: u32,
}

impl SimPhone {
    pub(super) fn new(
        now: Instant,
        account: AccountId,
        from: Arc<str>,
        to: Arc<str>,
        script: Vec<ScriptItem>,
    ) -> Self {
        Self {
            account,
            from,
            to,
            dialled: now,
            line: LineState::Ringing,
            ending: None,
            is_holding: false,
            placement: None,
            sounds: None,
            user: (!script.is_empty()).then(|| Box::new(SimUser::new(script))),
            timeline: Timeline::default(),
            token: 0,
        }
    }

    /// Makes it a called phone.
    pub(super) fn answering_as(mut self, called: AnswerPlan) -> Self {
        self.user().answer_as(called);
        self
    }

    /// Returns the milliseconds since it dialled in.
    pub(super) fn ms(&self, now: Instant) -> u32 {
        millis(now.saturating_duration_since(self.dialled))
    }

    pub(super) fn is_over(&self) -> bool {
        self.line == LineState::Over
    }

    /// Returns when something happens by itself.
    pub(super) fn deadline(&self) -> Option<Instant> {
        Some(self.dialled + Duration::from_millis(self.due()?.into()))
    }

    /// The deadline in the phone's milliseconds.
    fn due(&self) -> Option<u32> {
        let sound = self.sounds.as_ref().and_then(|sounds| sounds.due());
        let act = self.user.as_ref().and_then(|user| user.due());
        [sound, act].into_iter().flatten().min()
    }

    /// Lets time pass: performs everything due up to `now`, each at its time.
    pub(super) fn advance_to(
        &mut self,
        now: u32,
        settings: &Settings,
        heard: &mut dyn FnMut(LegEvent),
    ) {
        while let Some(due) = self.due().filter(|due| *due <= now) {
            self.step(due, settings, heard);
        }
    }

    /// Applies a signalling order. The phone must have advanced to `now`.
    pub(super) fn signal(&mut self, now: u32, order: &SignallingOrder) {
        if let SignallingOrder::End { ending, .. } = order {
            self.ending.get_or_insert(*ending);
            self.stop(now);
            return;
        }
        if self.is_over() {
            return;
        }

        match order {
            SignallingOrder::Answer { .. } => self.answer(now),
            SignallingOrder::EarlyMedia { .. } if self.line == LineState::Ringing => {
                self.line = LineState::Early;
            }
            // The call exists already.
            SignallingOrder::EarlyMedia { .. }
            | SignallingOrder::Dial { .. }
            | SignallingOrder::End { .. } => {}
        }
        self.listen(now);
    }

    /// Applies an audio order. The phone must have advanced to `now`.
    pub(super) fn apply(&mut self, now: u32, order: &AudioOrder, settings: &Settings) {
        if self.is_over() {
            return;
        }

        match order {
            // Its own sound is not simulated, so recordings are silent; what it hears needs no loading.
            AudioOrder::Mute { .. } | AudioOrder::Prepare { .. } | AudioOrder::Record { .. } => {}
            AudioOrder::PlayOver { kind, program, length, .. } => {
                let address = to_call(*kind);
                self.hush(now, settings, None, &address);
                let piece = PhonePiece::announced(
                    None,
                    Some(address),
                    PieceContent::Program(Arc::clone(program)),
                );
                self.play(now, settings, piece.limited_to(length.map(millis)));
            }
            AudioOrder::StopOver { kind, .. } => self.hush(now, settings, None, &to_call(*kind)),
            AudioOrder::Play { number, program, .. }
            | AudioOrder::PlayOn { number, program, .. } => {
                self.silence(now, settings, Layer::Played, |_| true);
                let content = PieceContent::Program(Arc::clone(program));
                self.play(now, settings, PhonePiece::numbered(*number, Layer::Played, content));
            }
            AudioOrder::Stop { .. } => self.silence(now, settings, Layer::Played, |_| true),
            AudioOrder::SendDigits { number, digits, .. } => {
                let content = PieceContent::Keys(Arc::clone(digits));
                self.play(now, settings, PhonePiece::numbered(*number, Layer::Keys, content));
            }
            AudioOrder::Place { room, hears, .. } => {
                self.silence(now, settings, Layer::Played, |_| true);
                self.place(now, settings, room, hears);
            }
            AudioOrder::Remove { room, .. }
            | AudioOrder::Deafen { room, .. }
            | AudioOrder::Announce { room, .. }
            | AudioOrder::Hush { room, .. }
                if !self.is_in(*room) => {}
            AudioOrder::Remove { room, .. } => self.leave(now, settings, *room),
            AudioOrder::Deafen { on, .. } => {
                self.placement.iter_mut().for_each(|placement| placement.is_deaf = *on);
            }
            AudioOrder::Announce { room, address, program, .. } => {
                let content = PieceContent::Program(Arc::clone(program));
                let address = Some(Arc::clone(address));
                self.play(now, settings, PhonePiece::announced(Some(*room), address, content));
            }
            AudioOrder::Hush { room, address, .. } => {
                self.hush(now, settings, Some(*room), address);
            }
            // The table keeps it for the room.
            AudioOrder::ToRoom { .. } | AudioOrder::StopRecording { .. } => {}
        }
        self.listen(now);
    }

    /// Takes over the sounds that were played to its room since the last time, each at its time.
    pub(super) fn catch_up(
        &mut self,
        now: u32,
        call: CallId,
        sounds: &RoomSounds,
        settings: &Settings,
        heard: &mut dyn FnMut(LegEvent),
    ) {
        let Some(placement) = &mut self.placement else { return };
        let number = mem::replace(&mut placement.next_sound, sounds.next());
        let (missed, new) = sounds.since(number);
        self.timeline.miss(missed);
        let mut new = new.peekable();
        while let Some((at, sound)) = new.next() {
            let at = self.ms(*at);
            self.advance_to(at, settings, heard);
            let until = new.peek().map_or(now, |(next, _)| self.ms(*next));
            if !self.hear_in_passing(at, until, sound, settings) {
                self.hear_with_all(at, call, sound, settings);
            }
        }
    }

    /// Notes a sound that was over before anything else happened, as most are, without playing it.
    /// Returns false if it is not such a sound.
    fn hear_in_passing(
        &mut self,
        at: u32,
        until: u32,
        sound: &SoundToAll,
        settings: &Settings,
    ) -> bool {
        let (SoundToAll::Play { program, .. }, Some(placement)) = (sound, &self.placement) else {
            return false;
        };
        let [only @ Sound { times: 1, .. }] = &**program else { return false };
        let end = at.saturating_add(settings.duration(program));
        let is_listening = !(self.is_holding || placement.is_deaf || placement.is_waiting);
        let is_alone = self.sounds.is_none() && self.line == LineState::Answered;
        if !(is_listening && is_alone && at < end && end < until && self.due().is_none()) {
            return false;
        }
        let room = TimelineSound::room(&placement.room.key.name);
        self.timeline.hear(at, TimelineSound::sound(&only.what));
        self.timeline.hear(end, room);
        true
    }

    /// Hears a sound that is played to all in its room. The phone must have advanced to `now`.
    pub(super) fn hear_with_all(
        &mut self,
        now: u32,
        call: CallId,
        sound: &SoundToAll,
        settings: &Settings,
    ) {
        let Some(placement) = &self.placement else { return };
        let (room, is_deaf) = (placement.room.id, placement.is_deaf);
        match sound {
            SoundToAll::Play { .. } | SoundToAll::RelayDigit { .. } if is_deaf => return,
            SoundToAll::Play { address, program, .. } => {
                let is_cue = address.is_none();
                if is_cue && self.sounds.as_ref().is_some_and(|it| it.announces(program)) {
                    return;
                }
                let content = PieceContent::Program(Arc::clone(program));
                let piece = PhonePiece::announced(Some(room), address.clone(), content);
                self.play(now, settings, piece);
            }
            SoundToAll::Hush { address } => self.hush(now, settings, Some(room), address),
            SoundToAll::RelayDigit { from, .. } if *from == call => return,
            SoundToAll::RelayDigit { digit, .. } => {
                let piece = PhonePiece::announced(Some(room), None, PieceContent::Relayed(*digit));
                self.play(now, settings, piece);
            }
        }
        self.listen(now);
    }

    /// The room that it is in.
    pub(super) fn room(&self) -> Option<RoomId> {
        self.placement.as_ref().map(|placement| placement.room.id)
    }

    /// Sets the number of the first sound that it hears of its room.
    pub(super) fn hear_from(&mut self, number: u32) {
        self.placement.iter_mut().for_each(|placement| placement.next_sound = number);
    }

    /// Presses keys: the first now, unless others wait.
    pub(super) fn press(&mut self, now: u32, keys: &PressedKeys) -> Result<(), PhoneError> {
        self.user().has_room(keys)?;
        self.user().press(now, keys);
        Ok(())
    }

    pub(super) fn talk(&mut self, now: u32, ms: u32, heard: &mut dyn FnMut(LegEvent)) {
        if self.user().talk(now, ms) {
            heard(LegEvent::Talk(true));
        }
    }

    /// Holds the engine or resumes. No effect if that is the state already.
    pub(super) fn hold(&mut self, now: u32, on: bool, heard: &mut dyn FnMut(LegEvent)) {
        if self.is_holding != on {
            self.is_holding = on;
            heard(LegEvent::Hold(on));
            self.listen(now);
        }
    }

    /// Hangs up. For the phone the call is completed; the engine's order gives the cause.
    pub(super) fn hang_up(&mut self, now: u32, heard: &mut dyn FnMut(LegEvent)) {
        self.stop(now);
        heard(LegEvent::HungUp);
    }

    pub(super) fn details(&self, now: u32, call: CallId) -> PhoneDetails {
        let state = match self.line {
            LineState::Ringing | LineState::Early => PhoneState::Ringing,
            LineState::Answered => PhoneState::InProgress,
            LineState::Over => PhoneState::Completed,
        };
        PhoneDetails {
            call_uuid: call,
            from: Arc::clone(&self.from),
            to: Arc::clone(&self.to),
            state,
            hangup_cause_name: self.ending.map(|ending| ending.cause.name()),
            hangup_cause_code: self.ending.map(|ending| ending.cause.code()),
            hangup_source: self.ending.map(|ending| ending.source.text()),
            timeline: self.timeline.entries(now),
            timeline_dropped: self.timeline.dropped(),
        }
    }

    fn answer(&mut self, now: u32) {
        if self.line != LineState::Answered {
            self.line = LineState::Answered;
            self.user.iter_mut().for_each(|user| user.begin(now));
        }
    }

    fn step(&mut self, now: u32, settings: &Settings, heard: &mut dyn FnMut(LegEvent)) {
        if let Some(sounds) = &mut self.sounds {
            sounds.step(now, settings, &mut |number| heard(LegEvent::Finished(number)));
        }
        let act = self.user.as_mut().and_then(|user| user.step(now));
        match act {
            None => {}
            Some(UserAction::Report(it)) => heard(it),
            Some(UserAction::EarlyMedia) => {
                self.line = LineState::Early;
                heard(LegEvent::EarlyMedia);
            }
            Some(UserAction::PickUp) => {
                self.answer(now);
                heard(LegEvent::Answered);
            }
            Some(UserAction::Refuse(cause)) => {
                self.stop(now);
                heard(LegEvent::Failed(DialFailure::new(cause, DialFailureSource::Carrier)));
            }
            Some(UserAction::Do(PhoneAction::HangUp)) => self.hang_up(now, heard),
            Some(UserAction::Do(PhoneAction::Hold(on))) => self.hold(now, on, heard),
            Some(UserAction::Do(PhoneAction::Press(keys))) => self.user().press(now, &keys),
            Some(UserAction::Do(PhoneAction::Talk { ms })) => self.talk(now, ms, heard),
        }
        self.user.take_if(|user| user.is_idle());
        self.listen(now);
    }

    fn place(
        &mut self,
        now: u32,
        settings: &Settings,
        room: &Arc<Incarnation>,
        hears: &MemberAudio,
    ) {
        if let Some(before) =
            self.placement.as_ref().map(|placement| placement.room.id).filter(|it| *it != room.id)
        {
            self.leave(now, settings, before);
        }
        let before = self.placement.as_ref();
        let (is_deaf, next_sound) = before.map_or((false, 0), |it| (it.is_deaf, it.next_sound));
        let (is_waiting, wait) = match hears {
            MemberAudio::Room => (false, None),
            MemberAudio::Wait(wait) => (true, TimelineSound::waiting(wait.as_ref(), settings)),
        };
        let room = room.clone();
        self.placement = Some(Placement { room, wait, is_waiting, is_deaf, next_sound });
    }

    fn leave(&mut self, now: u32, settings: &Settings, room: RoomId) {
        self.placement = None;
        self.silence(now, settings, Layer::Announced, |piece| piece.room == Some(room));
    }

    pub(super) fn is_in(&self, room: RoomId) -> bool {
        self.room() == Some(room)
    }

    fn play(&mut self, now: u32, settings: &Settings, piece: PhonePiece) {
        self.sounds.get_or_insert_default().add(now, piece, settings);
    }

    /// Ends announcements with this address.
    fn hush(
        &mut self,
        now: u32,
        settings: &Settings,
        room: Option<RoomId>,
        address: &Arc<AnnouncementAddress>,
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
        is_out: impl Fn(&PhonePiece) -> bool,
    ) {
        if let Some(sounds) = &mut self.sounds {
            sounds.remove(now, layer, settings, is_out);
        }
    }

    fn user(&mut self) -> &mut SimUser {
        self.user.get_or_insert_with(|| Box::new(SimUser::new(Vec::new())))
    }

    /// Ends all sounds and actions.
    fn stop(&mut self, now: u32) {
        if !self.is_over() {
            self.line = LineState::Over;
            self.timeline.end(now);
        }
        self.placement = None;
        self.sounds = None;
        self.user = None;
    }

    /// Records what is heard from now on.
    fn listen(&mut self, now: u32) {
        match self.line {
            LineState::Ringing | LineState::Over => return,
            LineState::Early | LineState::Answered => {}
        }
        let heard = self.sounds.as_ref().and_then(|sounds| sounds.heard());
        let (token, mark) = match heard {
            _ if self.is_holding => (0, TimelineSound::SILENCE),
            Some(heard) => heard,
            None => (0, self.background()),
        };
        if token == 0 || token != self.token {
            self.timeline.hear(now, mark);
        }
        self.token = token;
        self.sounds.take_if(|sounds| sounds.is_empty());
    }

    fn background(&self) -> TimelineSound {
        match &self.placement {
            None => TimelineSound::SILENCE,
            Some(Placement { wait: Some(wait), is_waiting: true, .. }) => (**wait).clone(),
            Some(placement) if placement.is_waiting || placement.is_deaf => TimelineSound::SILENCE,
            Some(placement) => TimelineSound::room(&placement.room.key.name),
        }
    }
}

#[cfg(test)]
mod tests;
