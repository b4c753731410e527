//! Who is where: each call's place, and the room behind each name.
//!
//! Plain tables, generic over what an address is. The shell keeps each in shards under locks:
//! every delivery and every move happens under the lock of its shard, so that what is delivered
//! after a move queues behind the arrival.

use std::collections::BTreeMap;

use crate::{
    flow::Cause,
    ids::{AccountId, CallId, ConferenceName, RoomId, RoomKey},
};

/// The place of each call that is up.
#[derive(Debug)]
pub struct Places<P> {
    rows: BTreeMap<CallId, Row<P>>,
}

#[derive(Debug)]
struct Row<P> {
    account: AccountId,
    /// None until the call has settled for the first time.
    place: Option<P>,
    /// Set once, and read at every move: a hang-up cannot miss a call that is under way.
    hung_up: Option<Cause>,
}

impl<P> Places<P> {
    /// A new call, which is nowhere yet.
    pub fn admit(&mut self, call: CallId, account: AccountId) {
        let before = self.rows.insert(call, Row { account, place: None, hung_up: None });
        debug_assert!(before.is_none(), "call {call} comes twice");
    }

    /// Moves a call, unless it has hung up meanwhile.
    /// # Errors
    ///
    /// The cause by which it has hung up.
    pub fn settle(&mut self, call: CallId, place: P) -> Result<(), Cause> {
        let row = self.rows.get_mut(&call).expect("a call is admitted before it settles");
        match row.hung_up {
            Some(cause) => Err(cause),
            None => {
                row.place = Some(place);
                Ok(())
            }
        }
    }

    /// Where a call is; None while it is on its way.
    pub fn find(&self, call: CallId) -> Option<&P> {
        self.rows.get(&call)?.place.as_ref()
    }

    /// Whose a call is.
    pub fn account_of(&self, call: CallId) -> Option<&AccountId> {
        self.rows.get(&call).map(|row| &row.account)
    }

    /// Whether a call has been admitted, and not removed.
    pub fn is_up(&self, call: CallId) -> bool {
        self.rows.contains_key(&call)
    }

    /// Notes that a call ends. The first cause stands, and only it is delivered.
    pub fn hang_up(&mut self, call: CallId, cause: Cause) -> Option<&P> {
        let row = self.rows.get_mut(&call)?;
        if row.hung_up.is_some() {
            return None;
        }
        row.hung_up = Some(cause);
        row.place.as_ref()
    }

    /// A call is over.
    pub fn remove(&mut self, call: CallId) {
        let row = self.rows.remove(&call);
        debug_assert!(row.is_some(), "call {call} ends twice");
    }

    /// How many calls are up.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether no call is up.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The calls that are up.
    pub fn calls(&self) -> impl Iterator<Item = CallId> {
        self.rows.keys().copied()
    }
}

impl<P> Default for Places<P> {
    fn default() -> Self {
        Self { rows: BTreeMap::new() }
    }
}

/// The room behind each name.
#[derive(Debug)]
pub struct Names<R> {
    accounts: BTreeMap<AccountId, BTreeMap<ConferenceName, (RoomId, R)>>,
}

impl<R> Names<R> {
    /// The room that has the name now.
    pub fn find(&self, key: &RoomKey) -> Option<&R> {
        self.accounts.get(&key.account)?.get(&key.name).map(|(_, room)| room)
    }

    /// Gives a name that is free to a room.
    pub fn open(&mut self, key: RoomKey, id: RoomId, room: R) {
        let rooms = self.accounts.entry(key.account).or_default();
        let before = rooms.insert(key.name, (id, room));
        debug_assert!(before.is_none(), "a name leads to one room");
    }

    /// Takes a name away from one incarnation, and from no other.
    pub fn close(&mut self, key: &RoomKey, id: RoomId) -> bool {
        let Some(rooms) = self.accounts.get_mut(&key.account) else { return false };
        let is_same = rooms.get(&key.name).is_some_and(|(it, _)| *it == id);
        let is_closed = is_same && rooms.remove(&key.name).is_some();
        if rooms.is_empty() {
            self.accounts.remove(&key.account);
        }
        is_closed
    }

    /// The names of an account's rooms, in order.
    pub fn of(&self, account: &AccountId) -> Vec<ConferenceName> {
        self.accounts.get(account).into_iter().flat_map(BTreeMap::keys).cloned().collect()
    }

    /// Every room.
    pub fn rooms(&self) -> impl Iterator<Item = &R> {
        self.accounts.values().flat_map(BTreeMap::values).map(|(_, room)| room)
    }
}

impl<R> Default for Names<R> {
    fn default() -> Self {
        Self { accounts: BTreeMap::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hang_up_stops_the_next_move() {
        let mut places = Places::default();
        places.admit(CallId::of(1), "MA1".parse().unwrap());
        assert_eq!(places.account_of(CallId::of(1)), Some(&"MA1".parse().unwrap()));
        assert_eq!(places.settle(CallId::of(1), 'a'), Ok(()));
        assert_eq!(places.hang_up(CallId::of(1), Cause::CallerLeft), Some(&'a'));
        assert_eq!(places.hang_up(CallId::of(1), Cause::HungUpByApi), None);
        assert_eq!(places.settle(CallId::of(1), 'b'), Err(Cause::CallerLeft));
        places.remove(CallId::of(1));
        assert_eq!(places.hang_up(CallId::of(1), Cause::CallerLeft), None);
    }

    #[test]
    fn an_old_incarnation_keeps_its_hands_off_a_new_one() {
        let mut names = Names::default();
        let key = RoomKey { account: "MA1".parse().unwrap(), name: "weekly".parse().unwrap() };
        names.open(key.clone(), RoomId::of(1), 'a');
        assert!(names.close(&key, RoomId::of(1)));
        names.open(key.clone(), RoomId::of(2), 'b');
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
        let mut names = Names::default();
        names.open(mine.clone(), RoomId::of(1), 'a');
        assert_eq!(names.find(&other), None);
        assert!(names.of(&other.account).is_empty());
        assert!(!names.close(&other, RoomId::of(1)));
        names.open(other.clone(), RoomId::of(2), 'b');
        assert_eq!((names.find(&mine), names.find(&other)), (Some(&'a'), Some(&'b')));
        assert_eq!(names.of(&mine.account), std::slice::from_ref(&mine.name));
    }
}
