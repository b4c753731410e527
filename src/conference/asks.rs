//! Asks to a conference and their answers: mute, deafen, announce, hush, transfer, roster.

use std::{
    collections::{BTreeSet, VecDeque},
    mem,
    sync::Arc,
    time::Instant,
};

use super::{
    Ask, Conference, ConferenceAnswer, ConferenceRoster, Effect, LegTransfer, MemberSelector,
    Outcome, Refusal, RosterEntry, member::Member,
};
use crate::{
    base::ids::{CallId, MemberId},
    flow::{Cause, Exit},
    media::{AnnouncementAddress, AnnouncementKind, AudioOrder, Sound, SoundToAll},
};

impl Conference {
    pub(super) fn answer(
        &mut self,
        now: Instant,
        ask: Ask,
        effects: &mut VecDeque<Effect>,
    ) -> Outcome {
        match ask {
            Ask::Announce { who, kind, sound } => self.announce(who, kind, sound, effects),
            Ask::Deafen { who, on } => self.deafen(who, on, effects),
            Ask::Expel(expulsion) => self.expel(&expulsion),
            Ask::Callee { member } => {
                let callee = self.connected(member)?;
                Ok(ConferenceAnswer::Callee(self.members[&callee].call.id))
            }
            Ask::Hold { who, on, sound } => self.hold(who, on, sound, effects),
            Ask::HangUp { who } => self.hang_up(who, &Cause::HungUpByApi.into()),
            Ask::Hush { who, kind } => self.hush(who, kind, effects),
            Ask::Kick { who, kick } => self.kick(who, &kick, effects),
            Ask::Mute { who, on } => self.mute(who, on, effects),
            Ask::Roster => Ok(ConferenceAnswer::Roster(Box::new(self.roster(now)))),
            Ask::Transfer { member, legs } => self.transfer(member, legs),
        }
    }

    fn hang_up(&mut self, who: MemberSelector, exit: &Exit) -> Outcome {
        let chosen = self.choose(who)?;
        for &id in &chosen {
            self.take_out(id, exit);
            self.maybe_inject_fault();
        }
        Ok(ConferenceAnswer::Members(chosen))
    }

    /// Both legs are one decision: neither leaves if the other cannot.
    fn transfer(&mut self, id: MemberId, legs: LegTransfer) -> Outcome {
        if !self.has(id) {
            // It has not been accepted, so it has no place in a flow.
            let is_callee = self.has_callee(id);
            return Err(if is_callee { Refusal::NoCallee } else { Refusal::NoMember });
        }
        let mut moved = Vec::new();
        if let Some(request) = legs.callee {
            moved.push((self.connected(id)?, request));
        }
        moved.extend(legs.own.map(|request| (id, request)));
        for (id, request) in &moved {
            let member = self.members.get_mut(id).expect("just seen");
            member.call.transfer_once_out(request.clone());
            self.take_out(*id, &Cause::Transferred.into());
        }
        Ok(ConferenceAnswer::Members(moved.into_iter().map(|(id, _)| id).collect()))
    }

    /// The callee that is connected with this caller.
    fn connected(&self, caller: MemberId) -> Result<MemberId, Refusal> {
        if !self.has(caller) && !self.has_callee(caller) {
            return Err(Refusal::NoMember);
        }
        self.callee_of(caller).ok_or(Refusal::NoCallee)
    }

    fn mute(&mut self, who: MemberSelector, on: bool, effects: &mut VecDeque<Effect>) -> Outcome {
        let chosen = self.choose(who)?;
        let calls = self.set_flag(&chosen, on, |member| &mut member.muted);
        if !calls.is_empty() {
            for id in &chosen {
                self.floor.permit(*id, self.members[id].may_speak());
            }
            effects.push_back(AudioOrder::Mute { room: self.id(), calls, on }.into());
        }
        Ok(ConferenceAnswer::Members(chosen))
    }

    fn deafen(&mut self, who: MemberSelector, on: bool, effects: &mut VecDeque<Effect>) -> Outcome {
        let chosen = self.choose(who)?;
        let calls = self.set_flag(&chosen, on, |member| &mut member.deaf);
        if !calls.is_empty() {
            effects.push_back(AudioOrder::Deafen { room: self.id(), calls, on }.into());
        }
        Ok(ConferenceAnswer::Members(chosen))
    }

    /// Sets a flag; returns the calls whose flag has changed.
    fn set_flag(
        &mut self,
        chosen: &[MemberId],
        on: bool,
        flag: impl Fn(&mut Member) -> &mut bool,
    ) -> Vec<CallId> {
        let mut calls = Vec::new();
        for id in chosen {
            let member = self.members.get_mut(id).expect("chosen from the members");
            if mem::replace(flag(member), on) != on {
                calls.push(member.call.id);
                self.note_changed(*id);
            }
        }
        calls
    }

    /// Plays a sound. Members named by id hear it even if deaf; `all` skips the deaf.
    fn announce(
        &mut self,
        who: MemberSelector,
        kind: AnnouncementKind,
        sound: Sound,
        effects: &mut VecDeque<Effect>,
    ) -> Outcome {
        let (address, is_all) = (address(&who, kind), who == MemberSelector::All);
        let chosen = self.choose(who)?;
        let calls: Vec<_> = chosen.iter().map(|id| self.members[id].call.id).collect();
        let program = [sound].into();
        if is_all {
            let (member, address) = (calls[0], Some(address));
            self.send_to_all(SoundToAll::Play { member, address, program }, effects);
        } else {
            let room = self.id();
            effects.push_back(AudioOrder::Announce { room, calls, address, program }.into());
        }
        Ok(ConferenceAnswer::Members(chosen))
    }

    fn hush(
        &mut self,
        who: MemberSelector,
        kind: AnnouncementKind,
        effects: &mut VecDeque<Effect>,
    ) -> Outcome {
        let (address, is_all) = (address(&who, kind), who == MemberSelector::All);
        let chosen = self.choose(who)?;
        if is_all {
            self.send_to_all(SoundToAll::Hush { address }, effects);
        } else {
            let calls = chosen.iter().map(|id| self.members[id].call.id).collect();
            effects.push_back(AudioOrder::Hush { room: self.id(), calls, address }.into());
        }
        Ok(ConferenceAnswer::Members(chosen))
    }

    /// The selected members that are in the room, in the order asked for, each once. None is a
    /// refusal.
    pub(super) fn choose(&self, who: MemberSelector) -> Result<Vec<MemberId>, Refusal> {
        let chosen: Vec<MemberId> = match who {
            MemberSelector::All => self.members.keys().copied().collect(),
            MemberSelector::These(ids) => {
                let mut seen = BTreeSet::new();
                let here = |id: &MemberId| self.members.contains_key(id);
                ids.into_iter().filter(|id| here(id) && seen.insert(*id)).collect()
            }
        };
        match chosen.is_empty() {
            true => Err(Refusal::NoMember),
            false => Ok(chosen),
        }
    }

    fn roster(&self, now: Instant) -> ConferenceRoster {
        let age = self.age(now);
        let present = |(member, it): (MemberId, &Member)| RosterEntry {
            member,
            call: it.call.id,
            party: it.call.party.clone(),
            muted: it.muted,
            deaf: it.deaf,
            join_seconds: age.saturating_sub(it.joined_after()).as_secs(),
        };
        ConferenceRoster {
            run_seconds: age.as_secs(),
            members: self.everybody().map(present).collect(),
        }
    }
}

/// The set as asked for, ids of others included.
fn address(who: &MemberSelector, kind: AnnouncementKind) -> Arc<AnnouncementAddress> {
    let members = match who {
        MemberSelector::All => None,
        MemberSelector::These(ids) => {
            let set: BTreeSet<_> = ids.iter().copied().collect();
            Some(set.into_iter().collect())
        }
    };
    Arc::new(AnnouncementAddress { kind, members })
}
