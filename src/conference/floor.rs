//! Who has the floor: whoever spoke first, until it is silent and another speaks.

use std::collections::BTreeMap;

use super::member::Member;
use crate::base::ids::MemberId;

/// Who talks, and whose turn it is.
#[derive(Clone, Debug, Default)]
pub(super) struct Floor {
    pub(super) holder: Option<MemberId>,
    /// In the order in which they began, the muted included: they may be unmuted.
    pub(super) talkers: Vec<MemberId>,
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
