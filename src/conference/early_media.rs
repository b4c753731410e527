//! Early media: what the caller of a `<Dial>` hears of a callee that has not answered.
//!
//! With `dialMusic="real"` and one destination, the callee is in the room from its first sound on. It
//! hears nothing there until it is connected: before the answer nobody pays for a conversation.

use std::collections::VecDeque;

use super::{Conference, Effect, event::CalleeInfo};
use crate::{
    base::ids::{CallId, MemberId},
    media::{AudioOrder, MemberAudio},
};

impl Conference {
    /// Takes the report that a callee sends sound before it answers: sends the keys that are for
    /// this moment, and lets the caller hear it if they asked for that.
    pub(super) fn early_media(&mut self, id: MemberId, effects: &mut VecDeque<Effect>) {
        let Some(callee) = self.callee(id) else { return };
        let (call, sends_early) = (callee.call.id, callee.sends_early);
        if let Some(digits) = callee.digits.take_if(|_| sends_early) {
            // Nothing waits for their end.
            effects.push_back(AudioOrder::SendDigits { call, number: 0, digits }.into());
        }
        let Some(pair) = self.pair_mut() else { return };
        if !pair.options.hears_early_media || pair.heard_early.is_some() {
            return;
        }
        pair.heard_early = Some(id);
        let caller = pair.caller;
        let Some(listener) = self.members.get(&caller).map(|it| it.call.id) else { return };
        self.place(vec![call], MemberAudio::Room, effects);
        self.deafen_callee(call, true, effects);
        self.place(vec![listener], MemberAudio::Room, effects);
    }

    /// Takes a callee out of the room if its early media was heard: it ends, is asked to confirm, or
    /// rings on at another of its phones. If the caller waits on, they hear the ringback tone again.
    pub(super) fn early_media_over(
        &mut self,
        id: MemberId,
        call: CallId,
        waits_on: bool,
        effects: &mut VecDeque<Effect>,
    ) {
        let Some(pair) = self.pair_mut() else { return };
        let caller = pair.caller;
        if pair.heard_early.take_if(|it| *it == id).is_none() {
            return;
        }
        let room = self.id();
        effects.push_back(AudioOrder::Remove { room, calls: vec![call] }.into());
        if waits_on && self.members.contains_key(&caller) {
            self.place_waiting(caller, effects);
        }
    }

    /// Lets a callee whose early media was heard hear the room, too: it is connected now.
    pub(super) fn hear_the_caller(
        &mut self,
        id: MemberId,
        callee: &CalleeInfo,
        effects: &mut VecDeque<Effect>,
    ) {
        let Some(pair) = self.pair_mut() else { return };
        if pair.heard_early.take_if(|it| *it == id).is_some() {
            self.deafen_callee(callee.call, false, effects);
        }
    }

    fn deafen_callee(&self, call: CallId, on: bool, effects: &mut VecDeque<Effect>) {
        let (room, calls) = (self.id(), vec![call]);
        effects.push_back(AudioOrder::Deafen { room, calls, on }.into());
    }
}
