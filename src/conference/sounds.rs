//! Sounds of a conference: enter, exit and wait sounds.
//!
//! A sound that is a document is fetched outside of the actor. An enter or exit sound that comes
//! too late is dropped, since it would confuse. A wait sound is played whenever it comes.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Conference, Effect, SoundMoment,
    member::Hold,
    pending_sounds::{PendingSound, SoundPlace, SoundRequester},
    state::DueItem,
};
use crate::{
    base::ids::MemberId,
    flow::ConferenceSound,
    media::{AudioOrder, MemberAudio, Program, SoundKind, SoundToAll},
};

/// An enter or exit sound that takes longer is dropped.
const SOUND_WAIT_MAX: Duration = Duration::from_secs(5);

impl Conference {
    /// Plays enter or exit sounds to all members except the deaf. `entered` is the member who has
    /// come, if it is for them.
    pub(super) fn play_cues(
        &mut self,
        now: Instant,
        moment: SoundMoment,
        entered: Option<MemberId>,
        cues: impl IntoIterator<Item = (ConferenceSound, SoundRequester)>,
        effects: &mut VecDeque<Effect>,
    ) {
        for (cue, requester) in cues {
            match program(&cue) {
                Ok(program) => self.play_to_room(entered, program, effects),
                Err(url) => {
                    let late_at = Some(now + SOUND_WAIT_MAX);
                    let pending = PendingSound { place: SoundPlace::Room, expires_at: late_at };
                    self.fetch(url, moment, requester, pending, effects);
                }
            }
        }
    }

    /// Lets a member hear their wait sound, and silence until that is fetched.
    pub(super) fn place_waiting(&mut self, id: MemberId, effects: &mut VecDeque<Effect>) {
        let member = self.members.get_mut(&id).expect("a current member");
        let (requester, cue) =
            (SoundRequester::from(&*member.call), member.entry.wait_sound.clone());
        let known = member.wait_sound.as_deref().cloned().map(Ok);
        let sound = known.or_else(|| Some(program(&cue?)));
        let program = sound.as_ref().and_then(|it| it.as_ref().ok().cloned());
        self.place(vec![requester.call], MemberAudio::Wait(program), effects);
        if let Some(Err(url)) = sound {
            let pending = PendingSound { place: SoundPlace::Waiting(id), expires_at: None };
            self.fetch(url, SoundMoment::Wait, requester, pending, effects);
        }
    }

    /// Takes a fetched document. It is empty if the fetch failed: then nothing plays.
    pub(super) fn sounds_fetched(
        &mut self,
        now: Instant,
        number: u32,
        program: Program,
        effects: &mut VecDeque<Effect>,
    ) {
        let Some(PendingSound { place, expires_at }) = self.sounds.pending.remove(&number) else {
            return;
        };
        if let Some(at) = expires_at {
            self.remove_deadline(at, DueItem::Fetch(number));
        }
        if let SoundPlace::Callee(id) = place {
            return self.confirm_sound_fetched(now, id, program, effects);
        }
        if program.is_empty() {
            return;
        }
        match place {
            SoundPlace::Callee(_) => (),
            SoundPlace::Held(ids) => self.hold_sound_fetched(ids.into_iter(), program, effects),
            SoundPlace::Room => self.play_to_room(None, program, effects),
            SoundPlace::Waiting(id) => {
                let Some(member) = self.members.get_mut(&id) else { return };
                member.wait_sound = Some(Box::new(program.clone()));
                if member.is_waiting() && member.hold != Hold::OwnSound {
                    let call = member.call.id;
                    self.place(vec![call], MemberAudio::Wait(Some(program)), effects);
                }
            }
        }
    }

    /// Plays a sound that cannot be taken back. It is one order, however many members there are.
    fn play_to_room(
        &self,
        entered: Option<MemberId>,
        program: Program,
        effects: &mut VecDeque<Effect>,
    ) {
        let member = entered.or_else(|| self.members.keys().next().copied());
        if let Some(member) = member.filter(|_| self.is_live()) {
            let member = self.members[&member].call.id;
            self.send_to_all(SoundToAll::Play { member, address: None, program }, effects);
        }
    }

    /// Sends a sound to everybody in the room.
    pub(super) fn send_to_all(&self, sound: SoundToAll, effects: &mut VecDeque<Effect>) {
        let (room, sound) = (self.id(), Arc::new(sound));
        effects.push_back(AudioOrder::ToRoom { room, sound }.into());
    }

    pub(super) fn fetch(
        &mut self,
        url: Arc<str>,
        moment: SoundMoment,
        requester: SoundRequester,
        pending: PendingSound,
        effects: &mut VecDeque<Effect>,
    ) {
        self.sounds.number_last += 1;
        let number = self.sounds.number_last;
        if let Some(at) = pending.expires_at {
            self.add_deadline(at, DueItem::Fetch(number));
        }
        self.sounds.pending.insert(number, pending);
        let SoundRequester { call, party } = requester;
        effects.push_back(Effect::Fetch { number, url, call, party, moment });
    }
}

/// The program of a cue, or the URL of the document to fetch for it.
pub(super) fn program(cue: &ConferenceSound) -> Result<Program, Arc<str>> {
    match cue {
        ConferenceSound::Beep(number) => Ok([SoundKind::Beep(*number).into()].into()),
        ConferenceSound::BuiltIn(url) => Ok([SoundKind::Url(url.clone()).into()].into()),
        ConferenceSound::Document(url) => Err(url.clone()),
    }
}
