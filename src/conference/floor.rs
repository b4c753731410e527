//! Who has the floor: whoever spoke first, until it is silent and another speaks.

use std::collections::{BTreeMap, VecDeque};

use super::{Conference, Effect, News, member::Member};
use crate::base::ids::MemberId;

/// Who talks, and whose turn it is.
#[derive(Clone, Debug, Default)]
pub(super) struct Floor {
    holder: Option<MemberId>,
    /// In the order in which they began, the muted included: they may be unmuted.
    talkers: Vec<MemberId>,
    /// Something has happened that may pass the floor on.
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

    /// Holds after every command.
    pub(super) fn check(&self, members: &BTreeMap<MemberId, Box<Member>>) {
        assert!(!self.is_stale, "the floor is given before a command is done");
        let mut named = self.holder.iter().chain(&self.talkers);
        assert!(named.all(|id| members.contains_key(id)), "who has left has nothing to say");
    }
}

impl Conference {
    /// Passes the floor on, if somebody should have it who does not.
    ///
    /// The first member of a started room who may speak gets it unasked.
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
            let who = self.members[&member].being(member);
            self.publish(News::FloorTaken { who }, effects);
        }
    }
}
