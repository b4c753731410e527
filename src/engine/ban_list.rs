//! Ban list: the bans of all conferences, shared by the rooms and kept in the store.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::{
    base::ids::{AccountId, ConferenceName, MemberId, RoomKey, Trusted},
    conference::{
        Kick,
        ban_list::{RoomBan, RoomBans, TooManyBans},
    },
    store::{
        rows::{RowStore, RowStoreError, RowWrite, StoredRow, Table, WriteError},
        rows_memory::MemoryRows,
    },
};

/// The bans of every conference. Those of a request of the API are stored before they hold
/// (`prepare`).
pub struct BanList {
    bans: Arc<RwLock<RoomBans>>,
    rows: Arc<dyn RowStore>,
    /// One moment on the monotonic clock and on the wall clock.
    start: (Instant, SystemTime),
}

/// Resolves once a change is on disk, or failed to get there: then it did not happen.
pub type BanCommit = oneshot::Receiver<Result<(), WriteError>>;

/// The body of a ban's row. Its key is the account and the ban's id.
#[derive(Deserialize, Serialize)]
struct RoomBanRow {
    conference: ConferenceName,
    /// [`Trusted`] as text: `number:…`, `sip:…` or `user:…`.
    who: String,
    reason: Option<Arc<str>>,
    /// In seconds since 1970.
    made_at: u64,
    /// In seconds since 1970.
    ends_at: u64,
}

impl BanList {
    /// Loads the bans that are in the store.
    ///
    /// # Errors
    ///
    /// The rows cannot be read or parsed.
    pub fn open(
        rows: Arc<dyn RowStore>,
        now: Instant,
        wall: SystemTime,
    ) -> Result<Self, RowStoreError> {
        let mut bans = RoomBans::default();
        for row in rows.load(Table::RoomBans)? {
            bans.add(RoomBanRow::read(&row)?);
        }
        Ok(Self { bans: Arc::new(RwLock::new(bans)), rows, start: (now, wall) })
    }

    /// A ban list that is not kept on disk.
    pub fn in_memory(now: Instant, wall: SystemTime) -> Self {
        let (bans, rows) = (Arc::default(), Arc::new(MemoryRows::default()));
        Self { bans, rows, start: (now, wall) }
    }

    /// Reserves places for bans of an account, all or none; see [`RoomBans::reserve`].
    ///
    /// # Errors
    ///
    /// The account would have too many bans.
    pub fn reserve(
        &self,
        now: Instant,
        account: &AccountId,
        count: usize,
    ) -> Result<(), TooManyBans> {
        let mut bans = self.bans.write();
        let (_, gone) = bans.expire(self.wall(now), account);
        let reserved = bans.reserve(account, count);
        drop(bans);
        self.commit_soon(gone.iter().map(|ban| write(ban, None)).collect());
        reserved
    }

    /// Ends the reservation of places that no ban has taken.
    pub fn release(&self, account: &AccountId, count: usize) {
        self.bans.write().release(account, count);
    }

    /// Stores the bans that a kick is about to make. They hold once the kick has made them
    /// ([`Self::ban`]); drop the result afterwards.
    pub(super) fn prepare(
        &self,
        now: Instant,
        key: &RoomKey,
        who: Vec<(MemberId, Trusted)>,
        kick: &Kick,
    ) -> (PreparedBans<'_>, BanCommit) {
        let made_at = self.wall(now);
        let ends_at = made_at + kick.ban.unwrap_or_default();
        let (key, reason) = (key.clone(), &kick.reason);
        let ban = |(id, who)| {
            let (key, reason) = (key.clone(), reason.clone());
            RoomBan { id, key, who, reason, made_at, ends_at }
        };
        let bans: Vec<_> = who.into_iter().map(ban).collect();
        let stored = self.commit(bans.iter().map(put).collect(), || ());
        (PreparedBans { ban_list: self, bans }, stored)
    }

    /// Adds a ban in a reserved place. It holds at once and is on disk some milliseconds later.
    pub fn ban(
        &self,
        now: Instant,
        key: RoomKey,
        id: MemberId,
        who: Trusted,
        reason: Option<Arc<str>>,
        length: Duration,
    ) {
        let made_at = self.wall(now);
        let ban = RoomBan { id, key, who, reason, made_at, ends_at: made_at + length };
        let write = put(&ban);
        let mut bans = self.bans.write();
        bans.release(&ban.key.account, 1);
        bans.add(ban);
        drop(bans);
        self.commit_soon(vec![write]);
    }

    /// Resolves once these bans of a conference are on disk. Ignores bans that are over.
    pub fn persisted(&self, now: Instant, key: &RoomKey, ids: &[MemberId]) -> BanCommit {
        // The lock is held until the commit is queued: no ban is lifted before.
        let bans = self.bans.read();
        let list = bans.list(self.wall(now), key);
        let meant = list.iter().filter(|ban| ids.contains(&ban.id));
        self.commit(meant.map(put).collect(), || ())
    }

    /// Whether a ban keeps this identity out of a conference now.
    pub fn is_banned(&self, now: Instant, key: &RoomKey, who: &Trusted) -> bool {
        self.bans.read().is_banned(self.wall(now), key, who)
    }

    /// The bans of a conference that hold now, oldest first.
    pub fn list(&self, now: Instant, key: &RoomKey) -> Vec<RoomBan> {
        self.bans.read().list(self.wall(now), key)
    }

    /// Lifts a ban; None if no ban with this id holds. `answer`: the row of the request that asks for
    /// it, written in the same transaction.
    pub fn lift(
        &self,
        now: Instant,
        key: &RoomKey,
        id: MemberId,
        answer: Option<RowWrite>,
    ) -> Option<BanCommit> {
        let lifted = self.bans.write().lift(self.wall(now), key, id)?;
        Some(self.commit_lift(vec![lifted], answer))
    }

    /// Lifts all bans of a conference that hold now, as [`Self::lift`] does. Resolves once that is on
    /// disk.
    pub fn lift_all(&self, now: Instant, key: &RoomKey, answer: Option<RowWrite>) -> BanCommit {
        let lifted = self.bans.write().lift_all(self.wall(now), key);
        self.commit_lift(lifted, answer)
    }

    /// Stores that bans are lifted. They hold again if that fails.
    fn commit_lift(&self, lifted: Vec<RoomBan>, answer: Option<RowWrite>) -> BanCommit {
        let writes = lifted.iter().map(|it| write(it, None)).chain(answer).collect();
        let bans = self.bans.clone();
        self.commit(writes, move || {
            let mut bans = bans.write();
            lifted.into_iter().for_each(|it| bans.add(it));
        })
    }

    /// The number of bans of an account that hold. Deletes those that are over.
    pub fn count(&self, now: Instant, account: &AccountId) -> usize {
        let (left, gone) = self.bans.write().expire(self.wall(now), account);
        self.commit_soon(gone.iter().map(|ban| write(ban, None)).collect());
        left
    }

    fn wall(&self, now: Instant) -> SystemTime {
        let (start, wall) = self.start;
        wall + now.saturating_duration_since(start)
    }

    fn commit(&self, writes: Vec<RowWrite>, undo: impl FnOnce() + Send + 'static) -> BanCommit {
        let (reply, result) = oneshot::channel();
        if writes.is_empty() {
            drop(reply.send(Ok(())));
            return result;
        }
        self.rows.commit(
            writes,
            Box::new(move |written| {
                if written.is_err() {
                    undo();
                }
                // The receiver may be gone.
                drop(reply.send(written));
            }),
        );
        result
    }

    fn commit_soon(&self, writes: Vec<RowWrite>) {
        if !writes.is_empty() {
            // The store logs what it drops.
            self.rows.commit_soon(writes, Box::new(drop));
        }
    }
}

/// Bans that are stored and do not hold yet. Dropping it makes the store agree with the bans that
/// hold then.
pub(super) struct PreparedBans<'a> {
    ban_list: &'a BanList,
    bans: Vec<RoomBan>,
}

impl PreparedBans<'_> {
    /// Whether the ban with this id is one of them.
    pub(super) fn contains(&self, id: MemberId) -> bool {
        self.bans.iter().any(|it| it.id == id)
    }

    /// Notes the bans that the kick has made.
    pub(super) fn made(&mut self, ids: &[MemberId]) {
        self.bans.retain(|it| !ids.contains(&it.id));
    }
}

impl Drop for PreparedBans<'_> {
    fn drop(&mut self) {
        let Some(RoomBan { key, made_at, .. }) = self.bans.first() else { return };
        // Another kick may have banned the same member. Queued under the lock: no ban is lifted before.
        let bans = self.ban_list.bans.read();
        let held = bans.list(*made_at, key);
        let row = |it: &RoomBan| held.iter().find(|held| held.id == it.id).map(RoomBanRow::of);
        self.ban_list.commit_soon(self.bans.iter().map(|it| write(it, row(it))).collect());
    }
}

/// Checks that a row holds a ban.
///
/// # Errors
///
/// The row cannot be parsed.
pub fn check(row: &StoredRow) -> Result<(), RowStoreError> {
    RoomBanRow::read(row).map(drop)
}

impl RoomBanRow {
    fn of(ban: &RoomBan) -> Self {
        Self {
            conference: ban.key.name.clone(),
            who: ban.who.to_string(),
            reason: ban.reason.clone(),
            made_at: seconds(ban.made_at),
            ends_at: seconds(ban.ends_at),
        }
    }

    fn read(row: &StoredRow) -> Result<RoomBan, RowStoreError> {
        let bad = || RowStoreError(format!("the ban {} {} cannot be read", row.account, row.a));
        Self::parse(row).ok_or_else(bad)
    }

    fn parse(row: &StoredRow) -> Option<RoomBan> {
        let Self { conference, who, reason, made_at, ends_at } =
            serde_json::from_str(&row.body).ok()?;
        let (kind, name) = who.split_once(':')?;
        let who = match kind {
            "number" => Trusted::Number(name.into()),
            "sip" => Trusted::SipUser(name.into()),
            "user" => Trusted::User(name.into()),
            _ => return None,
        };
        let at = |seconds| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
        let key = RoomKey { account: row.account.clone(), name: conference };
        let (made_at, ends_at) = (at(made_at)?, at(ends_at)?);
        Some(RoomBan { id: MemberId(row.a), key, who, reason, made_at, ends_at })
    }
}

/// Whole seconds since 1970.
fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn put(ban: &RoomBan) -> RowWrite {
    write(ban, Some(RoomBanRow::of(ban)))
}

/// Writes a ban's row, or deletes it if `row` is None.
fn write(ban: &RoomBan, row: Option<RoomBanRow>) -> RowWrite {
    let body = row.map(|it| serde_json::to_string(&it).expect("names and texts"));
    let (account, a) = (ban.key.account.clone(), ban.id.0);
    RowWrite { table: Table::RoomBans, account, a, b: 0, body }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any time does")]
    fn a_ban_survives_a_restart_and_ends_on_time() {
        let rows: Arc<dyn RowStore> = Arc::new(MemoryRows::default());
        let (now, wall) = (Instant::now(), SystemTime::UNIX_EPOCH + Duration::from_secs(1_000));
        let key = RoomKey { account: "MA1".parse().unwrap(), name: "weekly".parse().unwrap() };
        let who = [
            Trusted::Number("14155550100".into()),
            Trusted::SipUser("a:b".into()),
            Trusted::User("anna".into()),
        ];
        let ban_list = BanList::open(rows.clone(), now, wall).unwrap();
        for (n, who) in (1..).zip(&who) {
            let (id, length) = (MemberId(n), Duration::from_secs(60 * n));
            ban_list.ban(now, key.clone(), id, who.clone(), Some("so".into()), length);
        }
        assert!(ban_list.lift(now, &key, MemberId(2), None).is_some());
        assert!(ban_list.lift(now, &key, MemberId(2), None).is_none());

        // The next process begins 59 seconds later.
        let ban_list = BanList::open(rows.clone(), now, wall + Duration::from_secs(59)).unwrap();
        let banned = |now| who.clone().map(|who| ban_list.is_banned(now, &key, &who));
        assert_eq!(banned(now), [true, false, true]);
        assert_eq!(banned(now + Duration::from_secs(1)), [false, false, true]);
        assert_eq!(ban_list.list(now, &key)[0].reason.as_deref(), Some("so"));
        assert_eq!(ban_list.count(now + Duration::from_secs(1), &key.account), 1);
        assert_eq!(rows.load(Table::RoomBans).unwrap().len(), 1, "expired bans are deleted");
    }
    /// Rows on a disk that never completes a write by itself.
    #[derive(Default)]
    struct SlowRows(parking_lot::Mutex<Vec<crate::store::rows::OnCommit>>);

    impl RowStore for SlowRows {
        fn load(&self, _: Table) -> Result<Vec<StoredRow>, RowStoreError> {
            Ok(Vec::new())
        }

        fn commit(&self, writes: Vec<RowWrite>, done: crate::store::rows::OnCommit) {
            assert!(!writes.is_empty());
            self.0.lock().push(done);
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any time does")]
    fn a_ban_holds_at_once_and_is_persisted_when_the_disk_has_it() {
        let rows = Arc::new(SlowRows::default());
        let (now, wall) = (Instant::now(), SystemTime::UNIX_EPOCH);
        let key = RoomKey { account: "MA1".parse().unwrap(), name: "weekly".parse().unwrap() };
        let ban_list = BanList::open(rows.clone(), now, wall).unwrap();
        let (id, who) = (MemberId(1), Trusted::User("anna".into()));
        ban_list.ban(now, key.clone(), id, who.clone(), None, Duration::from_secs(60));
        assert!(ban_list.is_banned(now, &key, &who));
        let mut kept = ban_list.persisted(now, &key, &[id]);
        let mut lifted = ban_list.lift(now, &key, id, None).unwrap();
        assert!(kept.try_recv().is_err() && lifted.try_recv().is_err(), "not yet");
        let queued: Vec<_> = rows.0.lock().drain(..).collect();
        let Ok([_, keep, lift]) = <[_; 3]>::try_from(queued) else { panic!("three writes") };
        lift(Err(WriteError::Full));
        keep(Ok(()));
        assert_eq!(kept.try_recv(), Ok(Ok(())));
        assert!(matches!(lifted.try_recv(), Ok(Err(_))));
        assert!(ban_list.is_banned(now, &key, &who), "it was not lifted");
        drop(ban_list.lift(now, &key, id, None));
        // The ban was lifted: there is nothing to wait for.
        assert_eq!(ban_list.persisted(now, &key, &[id]).try_recv(), Ok(Ok(())));
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any time does")]
    fn a_stored_ban_that_no_kick_has_made_is_removed() {
        let rows: Arc<dyn RowStore> = Arc::new(MemoryRows::default());
        let (now, wall) = (Instant::now(), SystemTime::UNIX_EPOCH);
        let key = RoomKey { account: "MA1".parse().unwrap(), name: "weekly".parse().unwrap() };
        let ban_list = BanList::open(rows.clone(), now, wall).unwrap();
        let who = |n| (MemberId(n), Trusted::User(format!("user{n}").into()));
        let kick = Kick { ban: Some(Duration::from_secs(60)), ..Kick::default() };
        let stored =
            || rows.load(Table::RoomBans).unwrap().iter().map(|it| it.a).collect::<Vec<_>>();
        let (mut prepared, mut written) =
            ban_list.prepare(now, &key, [1, 2, 3].map(who).into(), &kick);
        assert_eq!((written.try_recv(), stored()), (Ok(Ok(())), vec![1, 2, 3]));
        assert!(!ban_list.is_banned(now, &key, &who(1).1), "before the kick");
        // The kick bans the first, another kick the second, for longer; the third has left.
        for (n, seconds) in [(1, 60), (2, 90)] {
            let (id, who) = who(n);
            ban_list.ban(now, key.clone(), id, who, None, Duration::from_secs(seconds));
        }
        assert!(prepared.contains(MemberId(3)) && !prepared.contains(MemberId(4)));
        prepared.made(&[MemberId(1)]);
        drop(prepared);
        assert_eq!(stored(), [1, 2]);
        let again = BanList::open(rows.clone(), now, wall + Duration::from_secs(89)).unwrap();
        assert!(again.is_banned(now, &key, &who(2).1));
    }
}
