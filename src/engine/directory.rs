//! Directory: the place of each call, and the room that has each name.
//!
//! Plain tables, generic over the type of an address. The registry keeps each in partitions with
//! locks: every delivery and every move happens under the lock of its partition, so that a message
//! delivered after a move queues after the arrival.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    base::{
        call_map::CallMap,
        ids::{AccountId, CallId, ConferenceName, RoomId, RoomKey},
    },
    flow::Cause,
    group::GroupId,
};

/// The place of each call that is up.
#[derive(Debug)]
pub struct CallDirectory<P> {
    rows: CallMap<CallLocation<P>>,
}

/// The cause of a hang-up is set once and read at every move, so that it also ends a call that is
/// moving.
#[derive(Debug)]
enum CallLocation<P> {
    At(P, Option<Cause>),
    /// The call has no place yet.
    InTransit(Option<Cause>),
}

// A million calls are up on one machine.
const _: () = assert!(size_of::<CallLocation<[usize; 2]>>() <= 24);

impl<P> CallLocation<P> {
    fn place(&self) -> Option<&P> {
        match self {
            Self::At(place, _) => Some(place),
            Self::InTransit(_) => None,
        }
    }

    fn hang_up_cause(&mut self) -> &mut Option<Cause> {
        match self {
            Self::At(_, cause) | Self::InTransit(cause) => cause,
        }
    }
}

impl<P> CallDirectory<P> {
    /// Adds a new call, which has no place yet.
    pub fn register(&mut self, call: CallId) {
        let before = self.rows.insert(call, CallLocation::InTransit(None));
        debug_assert!(before.is_none(), "call {call} comes twice");
    }

    /// Sets the place of a call, unless it has hung up meanwhile.
    ///
    /// # Errors
    ///
    /// The cause of its hang-up.
    pub fn move_to(&mut self, call: CallId, place: P) -> Result<(), Cause> {
        let row = self.rows.get_mut(call).expect("a call is registered before it moves");
        match *row.hang_up_cause() {
            Some(cause) => Err(cause),
            None => {
                *row = CallLocation::At(place, None);
                Ok(())
            }
        }
    }

    /// The place of a call; None while it moves.
    pub fn find(&self, call: CallId) -> Option<&P> {
        self.rows.get(call)?.place()
    }

    /// Whether a call has been registered and not removed.
    pub fn is_up(&self, call: CallId) -> bool {
        self.rows.contains(call)
    }

    /// Notes that a call ends, and returns the place to deliver that to. The first cause stands: a
    /// later one returns None.
    pub fn hang_up(&mut self, call: CallId, cause: Cause) -> Option<&P> {
        let row = self.rows.get_mut(call)?;
        if row.hang_up_cause().is_some() {
            return None;
        }
        *row.hang_up_cause() = Some(cause);
        row.place()
    }

    /// The cause of a call's hang-up, if it has one.
    pub fn hang_up_cause(&mut self, call: CallId) -> Option<Cause> {
        *self.rows.get_mut(call)?.hang_up_cause()
    }

    /// Removes a call that has ended.
    pub fn remove(&mut self, call: CallId) {
        let row = self.rows.remove(call);
        debug_assert!(row.is_some(), "call {call} ends twice");
    }

    /// The number of calls that are up.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether no call is up.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The calls that are up, sorted by id.
    pub fn calls(&self) -> Vec<CallId> {
        self.rows.calls()
    }
}

impl<P> Default for CallDirectory<P> {
    fn default() -> Self {
        Self { rows: CallMap::default() }
    }
}

/// The room that has each name.
#[derive(Debug)]
pub struct RoomDirectory<R> {
    accounts: BTreeMap<AccountId, AccountRooms<R>>,
}

#[derive(Debug)]
struct AccountRooms<R> {
    named: BTreeMap<ConferenceName, NamedRoom<R>>,
    /// The names of the rooms that each group guards.
    guarded: BTreeMap<GroupId, BTreeSet<ConferenceName>>,
}

#[derive(Debug)]
struct NamedRoom<R> {
    id: RoomId,
    group: Option<GroupId>,
    room: R,
}

impl<R> RoomDirectory<R> {
    /// The room that has the name now.
    pub fn find(&self, key: &RoomKey) -> Option<&R> {
        self.named(key).map(|it| &it.room)
    }

    /// The group that guards the room; None without a guard.
    pub fn group_of(&self, key: &RoomKey) -> Option<GroupId> {
        self.named(key)?.group
    }

    fn named(&self, key: &RoomKey) -> Option<&NamedRoom<R>> {
        self.accounts.get(&key.account)?.named.get(&key.name)
    }

    /// Gives a free name to a room. `group` guards it, if any.
    pub fn open(&mut self, key: RoomKey, id: RoomId, group: Option<GroupId>, room: R) {
        let rooms = self.accounts.entry(key.account).or_default();
        if let Some(group) = group {
            rooms.guarded.entry(group).or_default().insert(key.name.clone());
        }
        let before = rooms.named.insert(key.name, NamedRoom { id, group, room });
        debug_assert!(before.is_none(), "a name leads to one room");
    }

    /// Frees the name if this incarnation has it; false if another one has it, or none.
    pub fn close(&mut self, key: &RoomKey, id: RoomId) -> bool {
        let Some(rooms) = self.accounts.get_mut(&key.account) else { return false };
        if rooms.named.get(&key.name).is_none_or(|it| it.id != id) {
            return false;
        }
        let closed = rooms.named.remove(&key.name);
        if let Some(group) = closed.and_then(|it| it.group) {
            let mut names = rooms.guarded.remove(&group).unwrap_or_default();
            names.remove(&key.name);
            if !names.is_empty() {
                rooms.guarded.insert(group, names);
            }
        }
        if rooms.named.is_empty() {
            self.accounts.remove(&key.account);
        }
        true
    }

    /// The names of an account's rooms, sorted.
    pub fn of(&self, account: &AccountId) -> Vec<ConferenceName> {
        let rooms = self.accounts.get(account).into_iter();
        rooms.flat_map(|it| it.named.keys()).cloned().collect()
    }

    /// The rooms of an account that a group guards. The cost depends on their number only.
    pub fn guarded_by(&self, account: &AccountId, group: GroupId) -> Vec<&R> {
        let Some(rooms) = self.accounts.get(account) else { return Vec::new() };
        let names = rooms.guarded.get(&group).into_iter().flatten();
        names.map(|name| &rooms.named[name].room).collect()
    }

    /// The rooms of every account.
    pub fn rooms(&self) -> impl Iterator<Item = &R> {
        self.accounts.values().flat_map(|it| it.named.values()).map(|it| &it.room)
    }
}

impl<R> Default for AccountRooms<R> {
    fn default() -> Self {
        Self { named: BTreeMap::new(), guarded: BTreeMap::new() }
    }
}

impl<R> Default for RoomDirectory<R> {
    fn default() -> Self {
        Self { accounts: BTreeMap::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hang_up_stops_the_next_move() {
        let mut places = CallDirectory::default();
        places.register(CallId::of(1));
        assert_eq!(places.move_to(CallId::of(1), 'a'), Ok(()));
        assert_eq!(places.hang_up(CallId::of(1), Cause::CallerLeft), Some(&'a'));
        assert_eq!(places.hang_up(CallId::of(1), Cause::HungUpByApi), None);
        assert_eq!(places.move_to(CallId::of(1), 'b'), Err(Cause::CallerLeft));
        places.remove(CallId::of(1));
        assert_eq!(places.hang_up(CallId::of(1), Cause::CallerLeft), None);
    }

    #[test]
    fn an_old_incarnation_cannot_close_a_new_one() {
        let mut names = RoomDirectory::default();
        let key = RoomKey { account: "MA1".parse().unwrap(), name: "weekly".parse().unwrap() };
        names.open(key.clone(), RoomId::of(1), None, 'a');
        assert!(names.close(&key, RoomId::of(1)));
        names.open(key.clone(), RoomId::of(2), None, 'b');
        assert!(!names.close(&key, RoomId::of(1)));
        assert_eq!(names.find(&key), Some(&'b'));
    }

    #[test]
    fn a_name_belongs_to_its_account() {
        let key = |account: &str| RoomKey {
            account: account.parse().unwrap(),
            name: "weekly".parse().unwrap(),
        };
        let (mine, other) = (key("MA1"), key("MA2"));
        let mut names = RoomDirectory::default();
        names.open(mine.clone(), RoomId::of(1), None, 'a');
        assert_eq!(names.find(&other), None);
        assert!(names.of(&other.account).is_empty());
        assert!(!names.close(&other, RoomId::of(1)));
        names.open(other.clone(), RoomId::of(2), None, 'b');
        assert_eq!((names.find(&mine), names.find(&other)), (Some(&'a'), Some(&'b')));
        assert_eq!(names.of(&mine.account), std::slice::from_ref(&mine.name));
    }
    #[test]
    fn a_group_finds_the_rooms_that_it_guards_and_no_others() {
        let key = |account: &str, name: &str| RoomKey {
            account: account.parse().unwrap(),
            name: name.parse().unwrap(),
        };
        let mut names = RoomDirectory::default();
        for (n, (account, name, group)) in (1..).zip([
            ("MA1", "a", Some(6)),
            ("MA1", "b", Some(7)),
            ("MA1", "c", Some(6)),
            ("MA1", "d", None),
            ("MA1", "e", Some(5)),
            ("MA2", "a", Some(6)),
        ]) {
            names.open(key(account, name), RoomId::of(n), group.map(GroupId), n);
        }
        let mine = "MA1".parse().unwrap();
        assert_eq!(names.group_of(&key("MA1", "b")), Some(GroupId(7)));
        assert_eq!(names.group_of(&key("MA1", "d")), None);
        assert_eq!(names.guarded_by(&mine, GroupId(6)), [&1, &3]);
        assert!(names.close(&key("MA1", "a"), RoomId::of(1)));
        assert_eq!(names.guarded_by(&mine, GroupId(6)), [&3]);
        assert_eq!(names.guarded_by(&mine, GroupId(8)), [&0; 0]);
    }
}
