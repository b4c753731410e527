//! Ban list: the identities that may not enter a conference, and until when.
//!
//! A ban belongs to a conference's name and outlives the room. It applies to a trusted identity: a
//! number that a caller merely claims (From) cannot be banned.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use crate::base::ids::{AccountId, ConferenceName, MemberId, RoomKey, Trusted};

/// One identity's ban from one conference.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RoomBan {
    /// The ban's id: the member id of the kicked call.
    pub id: MemberId,
    /// The conference, by account and name.
    pub key: RoomKey,
    /// The identity that is banned.
    pub who: Trusted,
    /// The requester's text, if any.
    pub reason: Option<Arc<str>>,
    /// The time of the kick.
    pub made_at: SystemTime,
    /// The ban no longer holds at this time.
    pub ends_at: SystemTime,
}

/// Bans per account. A list of this length is still readable, and a lookup takes microseconds.
pub const BANS_MAX: usize = 10_000;

/// The longest ban: one year. Use a group for longer ones.
pub const BAN_MAX: Duration = Duration::from_secs(31_536_000);

/// The bans of all accounts.
#[derive(Clone, Debug, Default)]
pub struct RoomBans {
    accounts: BTreeMap<AccountId, BTreeMap<ConferenceName, ConferenceBans>>,
    /// The number of places that are promised to kicks under way.
    reserved: BTreeMap<AccountId, usize>,
}

/// An account has no place for the bans of a kick.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TooManyBans {
    /// How many the account has, promised ones included.
    pub bans: usize,
}

/// The bans of one conference.
#[derive(Clone, Debug, Default)]
struct ConferenceBans {
    bans: BTreeMap<MemberId, RoomBan>,
    /// The latest end of each identity's bans.
    until: BTreeMap<Trusted, SystemTime>,
}

impl RoomBans {
    /// Adds a ban, or replaces the one with its id.
    pub fn add(&mut self, ban: RoomBan) {
        let rooms = self.accounts.entry(ban.key.account.clone()).or_default();
        let room = rooms.entry(ban.key.name.clone()).or_default();
        let until = room.until.entry(ban.who.clone()).or_insert(ban.ends_at);
        *until = ban.ends_at.max(*until);
        room.bans.insert(ban.id, ban);
    }

    /// Reserves places for bans, all or none, until [`Self::release`].
    ///
    /// A kick that bans reserves its places before it is decided, so that two concurrent kicks cannot
    /// both take the last place.
    ///
    /// # Errors
    ///
    /// With these, the account would have more than [`BANS_MAX`] bans.
    pub fn reserve(&mut self, account: &AccountId, count: usize) -> Result<(), TooManyBans> {
        let rooms = self.accounts.get(account).into_iter().flat_map(BTreeMap::values);
        let kept: usize = rooms.map(|room| room.bans.len()).sum();
        let bans = kept + self.reserved.get(account).copied().unwrap_or(0);
        if BANS_MAX < bans + count {
            return Err(TooManyBans { bans });
        }
        *self.reserved.entry(account.clone()).or_default() += count;
        Ok(())
    }

    /// Ends the reservation of `count` places: each is taken by a ban now, or not needed.
    pub fn release(&mut self, account: &AccountId, count: usize) {
        let Some(reserved) = self.reserved.get_mut(account) else { return };
        *reserved = reserved.saturating_sub(count);
        if *reserved == 0 {
            self.reserved.remove(account);
        }
    }

    /// Whether a ban of this identity holds now.
    pub fn is_banned(&self, now: SystemTime, key: &RoomKey, who: &Trusted) -> bool {
        let until = self.room(key).and_then(|room| room.until.get(who));
        until.is_some_and(|until| now < *until)
    }

    /// The bans of a conference that hold now, oldest first.
    pub fn list(&self, now: SystemTime, key: &RoomKey) -> Vec<RoomBan> {
        let bans = self.room(key).into_iter().flat_map(|room| room.bans.values());
        bans.filter(|ban| now < ban.ends_at).cloned().collect()
    }

    /// Removes a ban; None if no ban with this id holds.
    pub fn lift(&mut self, now: SystemTime, key: &RoomKey, id: MemberId) -> Option<RoomBan> {
        let room = self.accounts.get_mut(&key.account)?.get_mut(&key.name)?;
        let ban = room.bans.remove(&id)?;
        room.recompute();
        Some(ban).filter(|ban| now < ban.ends_at)
    }

    /// Lifts all bans of a conference that hold now.
    pub fn lift_all(&mut self, now: SystemTime, key: &RoomKey) -> Vec<RoomBan> {
        let rooms = self.accounts.get_mut(&key.account);
        let Some(room) = rooms.and_then(|rooms| rooms.get_mut(&key.name)) else {
            return Vec::new();
        };
        let lifted = room.bans.extract_if(.., |_, ban| now < ban.ends_at);
        let lifted = lifted.map(|(_, ban)| ban).collect();
        room.recompute();
        lifted
    }

    /// Removes an account's bans that are over. Returns the number that is left, and the removed
    /// ones.
    pub fn expire(&mut self, now: SystemTime, account: &AccountId) -> (usize, Vec<RoomBan>) {
        let Some(rooms) = self.accounts.get_mut(account) else { return (0, Vec::new()) };
        let (mut left, mut gone) = (0, Vec::new());
        rooms.retain(|_, room| {
            let before = room.bans.len();
            gone.extend(room.bans.extract_if(.., |_, ban| ban.ends_at <= now).map(|(_, it)| it));
            if room.bans.len() < before {
                room.recompute();
            }
            left += room.bans.len();
            !room.bans.is_empty()
        });
        (left, gone)
    }

    fn room(&self, key: &RoomKey) -> Option<&ConferenceBans> {
        self.accounts.get(&key.account)?.get(&key.name)
    }
}

impl ConferenceBans {
    fn recompute(&mut self) {
        self.until.clear();
        for ban in self.bans.values() {
            let until = self.until.entry(ban.who.clone()).or_insert(ban.ends_at);
            *until = ban.ends_at.max(*until);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn key(account: &str, name: &str) -> RoomKey {
        RoomKey { account: account.parse().unwrap(), name: name.parse().unwrap() }
    }

    fn ban(id: u64, who: &str, ends_at: u64) -> RoomBan {
        let (key, who) = (key("MA1", "weekly"), Trusted::user(who).unwrap());
        RoomBan { id: MemberId(id), key, who, reason: None, made_at: at(0), ends_at: at(ends_at) }
    }

    #[test]
    fn a_ban_holds_for_its_time_its_room_and_its_caller() {
        let mut bans = RoomBans::default();
        bans.add(ban(1, "anna", 60));
        let anna = Trusted::user("anna").unwrap();
        let weekly = key("MA1", "weekly");
        let check = |now, key: &RoomKey, who: &Trusted, expected| {
            assert_eq!(bans.is_banned(at(now), key, who), expected, "{now} {key:?} {who}");
        };
        check(59, &weekly, &anna, true);
        check(60, &weekly, &anna, false);
        check(1, &key("MA1", "daily"), &anna, false);
        check(1, &key("MA2", "weekly"), &anna, false);
        check(1, &weekly, &Trusted::user("ben").unwrap(), false);
        check(1, &weekly, &Trusted::SipUser("anna".into()), false);
    }

    #[test]
    fn the_longest_ban_holds_until_it_is_lifted() {
        let (mut bans, weekly) = (RoomBans::default(), key("MA1", "weekly"));
        let anna = Trusted::user("anna").unwrap();
        [ban(1, "anna", 60), ban(2, "anna", 30), ban(3, "ben", 30)]
            .into_iter()
            .for_each(|it| bans.add(it));
        let ids = |bans: &RoomBans, now| {
            bans.list(at(now), &weekly).iter().map(|it| it.id.0).collect::<Vec<_>>()
        };
        assert!(bans.is_banned(at(45), &weekly, &anna));
        assert_eq!((ids(&bans, 0), ids(&bans, 30)), (vec![1, 2, 3], vec![1]));
        assert_eq!(bans.lift(at(0), &weekly, MemberId(1)), Some(ban(1, "anna", 60)));
        assert_eq!(bans.lift(at(0), &weekly, MemberId(1)), None);
        assert!(bans.is_banned(at(29), &weekly, &anna) && !bans.is_banned(at(45), &weekly, &anna));
        assert_eq!(bans.lift(at(30), &weekly, MemberId(2)), None, "it is over");
    }

    #[test]
    fn two_kicks_at_a_time_do_not_both_take_the_last_place() {
        let (mut bans, account) = (RoomBans::default(), "MA1".parse().unwrap());
        let last = u64::try_from(BANS_MAX).unwrap();
        (1..last).for_each(|id| bans.add(ban(id, "anna", 60)));
        let full = Err(TooManyBans { bans: BANS_MAX });
        assert_eq!(bans.reserve(&account, 2), Err(TooManyBans { bans: BANS_MAX - 1 }));
        assert_eq!((bans.reserve(&account, 1), bans.reserve(&account, 1)), (Ok(()), full));
        assert_eq!(bans.reserve(&"MA2".parse().unwrap(), 1), Ok(()), "another account has its own");
        // The first of them bans nobody after all.
        bans.release(&account, 1);
        assert_eq!(bans.reserve(&account, 1), Ok(()));
        bans.add(ban(last, "ben", 60));
        bans.release(&account, 1);
        assert_eq!(bans.reserve(&account, 1), full);
        assert_eq!(bans.reserve(&account, 0), Ok(()), "a kick that bans nobody needs no place");
    }

    #[test]
    fn all_bans_of_a_conference_are_lifted_and_those_of_others_stay() {
        let (mut bans, weekly) = (RoomBans::default(), key("MA1", "weekly"));
        let other = RoomBan { key: key("MA1", "daily"), ..ban(3, "anna", 60) };
        let all = [ban(1, "anna", 60), ban(2, "ben", 30), other];
        all.iter().cloned().for_each(|it| bans.add(it));
        assert_eq!(bans.lift_all(at(45), &weekly), [all[0].clone()], "the other one is over");
        assert!(!bans.is_banned(at(45), &weekly, &Trusted::user("anna").unwrap()));
        assert_eq!(bans.list(at(45), &key("MA1", "daily")), [all[2].clone()]);
        assert_eq!(bans.lift_all(at(45), &weekly), []);
    }

    #[test]
    fn bans_that_are_over_are_removed() {
        let mut bans = RoomBans::default();
        [ban(1, "anna", 60), ban(2, "ben", 30)].into_iter().for_each(|it| bans.add(it));
        let account = "MA1".parse().unwrap();
        assert_eq!(bans.expire(at(29), &account), (2, vec![]));
        assert_eq!(bans.expire(at(30), &account), (1, vec![ban(2, "ben", 30)]));
        assert_eq!(bans.expire(at(60), &account), (0, vec![ban(1, "anna", 60)]));
        assert!(bans.accounts.values().all(BTreeMap::is_empty));
    }
}
