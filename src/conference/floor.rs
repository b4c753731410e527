//! Floor: the member who speaks. The first to speak keeps it until they are silent and another
//! speaks.

use std::collections::BTreeMap;

use super::member::Member;
use crate::base::ids::MemberId;

/// The members who talk, and the one who has the floor. No change looks at all talkers: there may be
/// as many as members.
#[derive(Clone, Debug, Default)]
pub(super) struct Floor {
    pub(super) holder: Option<MemberId>,
    /// Something has happened that may move the floor.
    pub(super) is_stale: bool,
    /// None while nobody talks, as in most rooms.
    talkers: Option<Box<Talkers>>,
}

#[derive(Clone, Debug, Default)]
struct Talkers {
    /// All who talk, with the number of their beginning. Muted ones are included, since they may be
    /// unmuted.
    begun: BTreeMap<MemberId, u64>,
    /// Those of them who may speak, in the order in which they began.
    speakers: BTreeMap<u64, MemberId>,
    number_last: u64,
}

impl Floor {
    pub(super) fn talk(&mut self, id: MemberId, on: bool, may_speak: bool) {
        self.remove(id);
        if on {
            let talkers = self.talkers.get_or_insert_default();
            talkers.number_last += 1;
            talkers.begun.insert(id, talkers.number_last);
            if may_speak {
                talkers.speakers.insert(talkers.number_last, id);
            }
        }
        self.is_stale = true;
    }

    /// A member may speak from now on, or not: muted, or on hold.
    pub(super) fn permit(&mut self, id: MemberId, may_speak: bool) {
        self.is_stale = true;
        let Some(talkers) = &mut self.talkers else { return };
        let Some(number) = talkers.begun.get(&id) else { return };
        if may_speak {
            talkers.speakers.insert(*number, id);
        } else {
            talkers.speakers.remove(number);
        }
    }

    pub(super) fn left(&mut self, id: MemberId) {
        let is_holder = self.holder.take_if(|it| *it == id).is_some();
        self.is_stale |= self.remove(id) || is_holder;
    }

    pub(super) fn all_left(&mut self) {
        self.is_stale |= self.holder.is_some() || self.talkers.is_some();
        (self.holder, self.talkers) = (None, None);
    }

    /// The first of the talkers who may speak.
    pub(super) fn first_speaker(&self) -> Option<MemberId> {
        self.talkers.as_ref()?.speakers.values().next().copied()
    }

    pub(super) fn talks(&self, id: MemberId) -> bool {
        self.talkers.as_ref().is_some_and(|it| it.begun.contains_key(&id))
    }

    /// Returns whether the member talked.
    fn remove(&mut self, id: MemberId) -> bool {
        let Some(talkers) = &mut self.talkers else { return false };
        let Some(number) = talkers.begun.remove(&id) else { return false };
        talkers.speakers.remove(&number);
        self.talkers.take_if(|it| it.begun.is_empty());
        true
    }

    /// The invariants after every command.
    pub(super) fn check(&self, members: &BTreeMap<MemberId, Box<Member>>) {
        assert!(!self.is_stale, "the floor is updated by the end of each command");
        let begun = self.talkers.iter().flat_map(|it| &it.begun);
        let mut named = self.holder.iter().chain(begun.clone().map(|(id, _)| id));
        assert!(named.all(|id| members.contains_key(id)), "only members are in the floor");
        let may_speak = begun.filter(|(id, _)| members[*id].may_speak());
        let speakers: BTreeMap<_, _> = may_speak.map(|(id, number)| (*number, *id)).collect();
        let kept = self.talkers.as_ref().map_or_else(BTreeMap::new, |it| it.speakers.clone());
        assert_eq!(speakers, kept, "talkers who may speak");
    }
}
