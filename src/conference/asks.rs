//! What callers ask of a conference, and what it answers.

use std::{
    collections::{BTreeSet, VecDeque},
    mem,
    sync::Arc,
    time::Instant,
};

use super::{
    Answer, Ask, Conference, Effect, Outcome, Present, Refusal, Roster, Who, member::Member,
};
use crate::{
    base::ids::{CallId, MemberId},
    flow::{Cause, Exit, Request},
    media::{Address, AnnouncementKind, Order, Sound},
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
            Ask::HangUp { who } => self.release(who, &Cause::HungUpByApi.into()),
            Ask::Hush { who, kind } => self.hush(who, kind, effects),
            Ask::Kick { who, kick } => self.kick(who, &kick, effects),
            Ask::Mute { who, on } => self.mute(who, on, effects),
            Ask::Roster => Ok(Answer::Roster(Box::new(self.roster(now)))),
            Ask::Transfer { member, request } => self.transfer(member, request),
        }
    }

    fn release(&mut self, who: Who, exit: &Exit) -> Outcome {
        let chosen = self.choose(who)?;
        for &id in &chosen {
            self.take_out(id, exit);
            self.fuse();
        }
        Ok(Answer::Members(chosen))
    }

    fn transfer(&mut self, id: MemberId, request: Request) -> Outcome {
        let member = self.members.get_mut(&id).ok_or(Refusal::NoMember)?;
        member.call.transfer_once_out(request);
        self.take_out(id, &Cause::Transferred.into());
        Ok(Answer::Members(vec![id]))
    }

    fn mute(&mut self, who: Who, on: bool, effects: &mut VecDeque<Effect>) -> Outcome {
        let chosen = self.choose(who)?;
        let calls = self.flip(&chosen, on, |member| &mut member.muted);
        if !calls.is_empty() {
            self.floor.is_stale = true;
            effects.push_back(Order::Mute { room: self.id(), calls, on }.into());
        }
        Ok(Answer::Members(chosen))
    }

    fn deafen(&mut self, who: Who, on: bool, effects: &mut VecDeque<Effect>) -> Outcome {
        let chosen = self.choose(who)?;
        let calls = self.flip(&chosen, on, |member| &mut member.deaf);
        if !calls.is_empty() {
            effects.push_back(Order::Deafen { room: self.id(), calls, on }.into());
        }
        Ok(Answer::Members(chosen))
    }

    /// Sets a flag, and tells whose it has changed.
    fn flip(
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
            }
        }
        calls
    }

    /// To an id it is heard by the deaf as well; `all` are the others of this moment.
    fn announce(
        &mut self,
        who: Who,
        kind: AnnouncementKind,
        sound: Sound,
        effects: &mut VecDeque<Effect>,
    ) -> Outcome {
        let (address, is_all) = (address(&who, kind), who == Who::All);
        let chosen = self.choose(who)?;
        let hearers = chosen.iter().map(|id| &self.members[id]);
        let calls: Vec<_> =
            hearers.filter(|it| !(is_all && it.deaf)).map(|it| it.call.id).collect();
        if !calls.is_empty() {
            let (room, program) = (self.id(), [sound].into());
            let address = Some(address);
            effects.push_back(Order::Announce { room, calls, address, program }.into());
        }
        Ok(Answer::Members(chosen))
    }

    fn hush(
        &mut self,
        who: Who,
        kind: AnnouncementKind,
        effects: &mut VecDeque<Effect>,
    ) -> Outcome {
        let address = address(&who, kind);
        let chosen = self.choose(who)?;
        let calls = chosen.iter().map(|id| self.members[id].call.id).collect();
        effects.push_back(Order::Hush { room: self.id(), calls, address }.into());
        Ok(Answer::Members(chosen))
    }

    /// Those who are here, once each, as they were asked for; to find none is a refusal.
    pub(super) fn choose(&self, who: Who) -> Result<Vec<MemberId>, Refusal> {
        let chosen: Vec<MemberId> = match who {
            Who::All => self.members.keys().copied().collect(),
            Who::These(ids) => {
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

    fn roster(&self, now: Instant) -> Roster {
        let age = self.age(now);
        let present = |(member, it): (MemberId, &Member)| Present {
            member,
            call: it.call.id,
            party: it.call.party.clone(),
            muted: it.muted,
            deaf: it.deaf,
            join_seconds: age.saturating_sub(it.joined_after()).as_secs(),
        };
        Roster { run_seconds: age.as_secs(), members: self.everybody().map(present).collect() }
    }
}

/// The set as it was asked for, whoever of it is here.
fn address(who: &Who, kind: AnnouncementKind) -> Arc<Address> {
    let members = match who {
        Who::All => None,
        Who::These(ids) => {
            let set: BTreeSet<_> = ids.iter().copied().collect();
            Some(set.into_iter().collect())
        }
    };
    Arc::new(Address { kind, members })
}
