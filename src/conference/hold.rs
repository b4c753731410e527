//! Hold: members who are out of the mix by request. They stay members, and nobody is alone beside them.
//!
//! A phone that holds us is something else: [`Member::held`](super::member::Member). Both must be off
//! for a member to be heard.

use std::{collections::VecDeque, mem};

use super::{
    Conference, ConferenceAnswer, Effect, MemberSelector, Outcome, SoundMoment,
    member::{Hold, Listening},
    pending_sounds::{PendingSound, SoundPlace, SoundRequester},
    sounds::program,
};
use crate::{
    base::ids::MemberId,
    flow::ConferenceSound,
    media::{MemberAudio, Program},
};

impl Conference {
    /// Takes members out of the mix, with this sound or each with their wait sound; or lets them back,
    /// with their own flags.
    pub(super) fn hold(
        &mut self,
        who: MemberSelector,
        on: bool,
        sound: Option<ConferenceSound>,
        effects: &mut VecDeque<Effect>,
    ) -> Outcome {
        let chosen = self.choose(who)?;
        self.forget_hold_sounds(&chosen);
        // Who is let back hears the room.
        let sound = sound.filter(|_| on);
        let hold = match (on, &sound) {
            (false, _) => Hold::Off,
            (true, None) => Hold::WaitSound,
            (true, Some(_)) => Hold::OwnSound,
        };
        let mut changed = Vec::new();
        for id in &chosen {
            let member = self.members.get_mut(id).expect("chosen from the members");
            let before = mem::replace(&mut member.hold, hold);
            let may_speak = member.may_speak();
            if before != hold || hold == Hold::OwnSound {
                // What they hear is ordered again.
                member.listening = Listening::None;
                changed.push(*id);
            }
            self.floor.permit(*id, may_speak);
            self.note_changed(*id);
            self.maybe_inject_fault();
        }
        match sound {
            Some(sound) => self.play_on_hold(&sound, changed, effects),
            None => self.update_listening(changed.into_iter(), effects),
        }
        Ok(ConferenceAnswer::Members(chosen))
    }

    /// Plays a sound to members on hold; they hear silence until its document is fetched.
    fn play_on_hold(
        &mut self,
        sound: &ConferenceSound,
        ids: Vec<MemberId>,
        effects: &mut VecDeque<Effect>,
    ) {
        let requester = ids.first().map(|id| SoundRequester::from(&*self.members[id].call));
        let Some(requester) = requester else { return };
        let fetched = program(sound);
        self.place_held(&ids, fetched.as_ref().ok().cloned(), effects);
        if let Err(url) = fetched {
            let place = SoundPlace::Held(ids.into_iter().collect());
            let pending = PendingSound { place, expires_at: None };
            self.fetch(url, SoundMoment::Wait, requester, pending, effects);
        }
    }

    /// The document of a hold sound has come, for those who are still on that hold.
    pub(super) fn hold_sound_fetched(
        &mut self,
        ids: impl Iterator<Item = MemberId>,
        program: Program,
        effects: &mut VecDeque<Effect>,
    ) {
        let ids: Vec<_> = ids.filter(|id| self.has(*id)).collect();
        self.place_held(&ids, Some(program), effects);
    }

    fn place_held(
        &mut self,
        ids: &[MemberId],
        program: Option<Program>,
        effects: &mut VecDeque<Effect>,
    ) {
        let mut calls = Vec::with_capacity(ids.len());
        for id in ids {
            let member = self.members.get_mut(id).expect("a current member");
            member.listening = Listening::Wait;
            calls.push(member.call.id);
        }
        if !calls.is_empty() {
            self.place(calls, MemberAudio::Wait(program), effects);
        }
    }

    /// Documents that are on their way for these members come too late.
    fn forget_hold_sounds(&mut self, ids: &[MemberId]) {
        for pending in self.sounds.pending.values_mut() {
            if let SoundPlace::Held(held) = &mut pending.place {
                for id in ids {
                    held.remove(id);
                }
            }
        }
    }
}
