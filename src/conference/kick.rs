//! Kicks: the options, bans and targets of a kick, and its dry run.

use std::{collections::VecDeque, mem, sync::Arc, time::Duration};

use super::{
    Ask, Conference, ConferenceAnswer, Departure, Effect, Kick, KickTarget, MemberSelector,
    Outcome, Refusal, member::Leaver,
};
use crate::{
    base::ids::MemberId,
    flow::{AfterExit, Cause, Exit},
};

impl Conference {
    /// The number of members that an ask would ban if it were decided now. The actor reserves places
    /// for them in the ban list before it has the ask decided.
    pub fn bans_wanted(&self, ask: &Ask) -> usize {
        let Ask::Kick { who, kick: Kick { ban: Some(_), .. } } = ask else { return 0 };
        let members = self.choose(who.clone()).unwrap_or_default();
        let is_trusted = |id: &&MemberId| self.members[*id].call.party.trusted.is_some();
        members.iter().filter(is_trusted).count()
    }

    /// Kicks all or none: it is refused if the element does not lie ahead of each member.
    pub(super) fn kick(
        &mut self,
        who: MemberSelector,
        kick: &Kick,
        effects: &mut VecDeque<Effect>,
    ) -> Outcome {
        let is_all = who == MemberSelector::All;
        let members = self.choose(who)?;
        self.check_ahead(&kick.target, &members)?;
        if kick.is_dry_run {
            return Ok(ConferenceAnswer::Departures(self.dry_run(&members, kick)));
        }
        // Bans come first: a call that is out may rejoin at once.
        let unknown = kick.ban.map(|length| self.ban(&members, length, &kick.reason, effects));
        let is_one_way =
            matches!(kick.target, KickTarget::Fetch(_) | KickTarget::Flow | KickTarget::HangUp);
        match is_all && is_one_way {
            true => {
                self.take_out_all(&self.exit(members[0], kick));
                self.maybe_inject_fault();
            }
            false => self.take_out_each(&members, kick),
        }
        Ok(match unknown {
            Some(unknown) => ConferenceAnswer::Banned { members, unknown },
            None => ConferenceAnswer::Members(members),
        })
    }

    /// Bans the members with a trusted identity, and returns the others.
    fn ban(
        &self,
        members: &[MemberId],
        length: Duration,
        reason: &Option<Arc<str>>,
        effects: &mut VecDeque<Effect>,
    ) -> Vec<MemberId> {
        let mut unknown = Vec::new();
        for &member in members {
            match self.members[&member].call.party.trusted.as_deref().cloned() {
                Some(who) => {
                    let reason = reason.clone();
                    effects.push_back(Effect::Ban { member, who, reason, length });
                }
                None => unknown.push(member),
            }
        }
        unknown
    }

    fn take_out_each(&mut self, members: &[MemberId], kick: &Kick) {
        for &id in members {
            let exit = self.exit(id, kick);
            self.take_out(id, &exit);
            self.maybe_inject_fault();
        }
    }

    /// Refuses a target element that does not lie ahead of each member.
    fn check_ahead(&self, target: &KickTarget, members: &[MemberId]) -> Result<(), Refusal> {
        let KickTarget::Element(element) = target else { return Ok(()) };
        let is_without = |id: &&MemberId| self.members[*id].call.find_ahead(element).is_none();
        let without: Vec<_> = members.iter().filter(is_without).copied().collect();
        match without.is_empty() {
            true => Ok(()),
            false => Err(Refusal::NoElement { element: element.clone(), members: without }),
        }
    }

    /// The exit of a member by this kick.
    fn exit(&self, id: MemberId, kick: &Kick) -> Exit {
        let call = || &self.members[&id].call;
        let then = match &kick.target {
            KickTarget::Document(document) => {
                AfterExit::Document(document.of(call().party.dialect).clone())
            }
            KickTarget::Element(element) => {
                AfterExit::Element(call().find_ahead(element).expect("checked before"))
            }
            KickTarget::Fetch(url) => AfterExit::Fetch(url.clone()),
            KickTarget::Flow => AfterExit::Onward,
            KickTarget::HangUp => AfterExit::HangUp,
        };
        Exit { reason: kick.reason.clone(), then, ..Cause::Kicked.into() }
    }

    /// Does the kick with its consequences, collects the departures, and undoes it.
    fn dry_run(&mut self, members: &[MemberId], kick: &Kick) -> Vec<Departure> {
        let before = (self.deadlines.clone(), self.typed.clone(), self.floor.clone());
        for &id in members {
            let exit = self.exit(id, kick);
            self.take_out(id, &exit);
        }
        self.cascade();
        let departure = |it: &Leaver| Departure {
            member: it.id,
            call: it.member.call.id,
            cause: it.exit.cause,
            banned: (kick.ban.is_some() && it.exit.cause == Cause::Kicked)
                .then(|| it.member.call.party.trusted.as_deref().cloned())
                .flatten(),
            next: it.member.call.forecast(&it.exit),
        };
        let departures = self.leavers.iter().map(departure).collect();
        for leaver in mem::take(&mut self.leavers) {
            self.insert_member(leaver.id, leaver.member);
        }
        (self.deadlines, self.typed, self.floor) = before;
        departures
    }
}
