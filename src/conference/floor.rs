//! Floor: the member who speaks. The first to speak keeps it until they are silent and another
//! speaks.

use std::collections::BTreeMap;

use super::member::Member;
use crate::base::ids::MemberId;

/// The members who talk, and the one who has the floor.
#[derive(Clone, Debug, Default)]
pub(super) struct Floor {
    pub(super) holder: Option<MemberId>,
    /// In the order in which they began. Muted ones are included, since they may be unmuted.
    pub(super) talkers: Vec<MemberId>,
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
