//! Floor: the member who speaks. The first to speak keeps it until they are silent and another
//! speaks.

use std::collections::{BTreeMap, VecDeque};

use super::{Conference, ConferenceEvent, Effect, member::Member};
use crate::base::ids::MemberId;

/// The members who talk, and the one who has the floor.
#[derive(Clone, Debug, Default)]
pub(super) struct Floor {
    holder: Option<MemberId>,
    /// In the order in which they began. Muted ones are included, since they may be unmuted.
    talkers: Vec<MemberId>,
    /// Something has happened that may move the floor.
    pub(super) is_stale: bool,
}

impl Floor {
    pub(super) fn talk(&mut self, id: MemberId, on: bool) {
        self.talkers.retain(|it| *it != id);
        if on {
            self.talkers.push(id);
        }
        self.is_stale = true;
    }

    pub(super) fn left(&mut self, id: MemberId) {
        if self.holder == Some(id) {
            self.holder = None;
            self.is_stale = true;
        }
        if !self.talkers.is_empty() {
            self.talkers.retain(|it| *it != id);
            self.is_stale = true;
        }
    }

    pub(super) fn all_left(&mut self) {
        self.is_stale |= self.holder.is_some() || !self.talkers.is_empty();
        self.holder = None;
        self.talkers.clear();
    }

    /// The invariants after every command.
    pub(super) fn check(&self, members: &BTreeMap<MemberId, Box<Member>>) {
        assert!(!self.is_stale, "the floor is updated by the end of each command");
        let mut named = self.holder.iter().chain(&self.talkers);
        assert!(named.all(|id| members.contains_key(id)), "only members are in the floor");
    }
}

impl Conference {
    /// Gives the floor to another member if needed.
    ///
    /// A member who is alone in a started room and may speak gets it without speaking.
    pub(super) fn give_floor(&mut self, effects: &mut VecDeque<Effect>) {
        if !std::mem::take(&mut self.floor.is_stale) || !self.is_live() {
            return;
        }
        let may_speak = |id: &MemberId| {
            self.members.get(id).is_some_and(|member| !member.muted && !member.held)
        };
        let holder = self.floor.holder.filter(may_speak);
        if holder.is_some_and(|id| self.floor.talkers.contains(&id)) {
            return;
        }
        let talker = self.floor.talkers.iter().copied().find(may_speak);
        let only = self.members.keys().copied().next().filter(|_| self.members.len() == 1);
        let next = talker.or(holder).or_else(|| only.filter(may_speak));
        let is_new = next != self.floor.holder;
        self.floor.holder = next;
        if let Some(member) = next.filter(|_| is_new) {
            let who = self.members[&member].info(member);
            self.publish(ConferenceEvent::FloorTaken { who }, effects);
        }
    }
}
