//! The doors of the conferences: the bans, shared by all rooms, and kept in rows.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::{
    base::ids::{AccountId, ConferenceName, MemberId, RoomKey, Trusted},
    conference::ban_list::{RoomBan, RoomBans, TooManyBans},
    store::{
        rows::{RowStore, RowStoreError, RowWrite, StoredRow, Table},
        rows_memory::MemoryRows,
    },
};

/// Who may not come in, for all conferences of this process.
pub struct BanList {
    bans: RwLock<RoomBans>,
    rows: Arc<dyn RowStore>,
    /// The same moment, on the engine's clock and on the wall's.
    start: (Instant, SystemTime),
}

/// Says when what has changed is on disk, and how that went.
pub type BanCommit = oneshot::Receiver<Result<(), RowStoreError>>;

/// A ban, as a row has it: by account and ban.
#[derive(Deserialize, Serialize)]
struct RoomBanRow {
    conference: ConferenceName,
    /// As [`Trusted`] is shown: `number:…`, `sip:…` or `user:…`.
    who: String,
    reason: Option<Arc<str>>,
    /// Seconds since 1970.
    made_at: u64,
    /// Seconds since 1970.
    ends_at: u64,
}

impl BanList {
    /// Takes up the bans where the last process left off.
    ///
    /// # Errors
    ///
    /// The rows cannot be read, or are none of ours.
    pub fn open(
        rows: Arc<dyn RowStore>,
        now: Instant,
        wall: SystemTime,
    ) -> Result<Self, RowStoreError> {
        let mut bans = RoomBans::default();
        for row in rows.load(Table::RoomBans)? {
            bans.add(RoomBanRow::read(&row)?);
        }
        Ok(Self { bans: RwLock::new(bans), rows, start: (now, wall) })
    }

    /// Bans that last as long as the process.
    pub fn in_memory(now: Instant, wall: SystemTime) -> Self {
        let (bans, rows) = (RwLock::default(), Arc::new(MemoryRows::default()));
        Self { bans, rows, start: (now, wall) }
    }

    /// Promises an account's places for bans, all or none; see [`RoomBans::reserve`].
    ///
    /// # Errors
    ///
    /// The account has too many bans that hold.
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
        drop(self.commit(gone.iter().map(|ban| write(ban, None)).collect()));
        reserved
    }

    /// Gives up promised places that no ban takes.
    pub fn release(&self, account: &AccountId, count: usize) {
        self.bans.write().release(account, count);
    }

    /// Bans somebody from now on, in a place that was promised. The ban holds at once; it is on
    /// disk some milliseconds later.
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
        let write = write(&ban, Some(RoomBanRow::of(&ban)));
        let mut bans = self.bans.write();
        bans.release(&ban.key.account, 1);
        bans.add(ban);
        drop(bans);
        // Whoever answers for it waits until it is kept.
        drop(self.commit(vec![write]));
    }

    /// When these bans of a conference are on disk. One that is over needs not be.
    pub fn persisted(&self, now: Instant, key: &RoomKey, ids: &[MemberId]) -> BanCommit {
        // Until it is queued, nobody lifts one.
        let bans = self.bans.read();
        let list = bans.list(self.wall(now), key);
        let meant = list.iter().filter(|ban| ids.contains(&ban.id));
        self.commit(meant.map(|ban| write(ban, Some(RoomBanRow::of(ban)))).collect())
    }

    /// Whether somebody may not come in.
    pub fn is_banned(&self, now: Instant, key: &RoomKey, who: &Trusted) -> bool {
        self.bans.read().is_banned(self.wall(now), key, who)
    }

    /// The bans of a conference that hold.
    pub fn list(&self, now: Instant, key: &RoomKey) -> Vec<RoomBan> {
        self.bans.read().list(self.wall(now), key)
    }

    /// Takes one back; None if there is none that holds.
    pub fn lift(&self, now: Instant, key: &RoomKey, id: MemberId) -> Option<BanCommit> {
        let lifted = self.bans.write().lift(self.wall(now), key, id)?;
        Some(self.commit(vec![write(&lifted, None)]))
    }

    /// Takes all of a conference back that hold; says when that is on disk.
    pub fn lift_all(&self, now: Instant, key: &RoomKey) -> BanCommit {
        let lifted = self.bans.write().lift_all(self.wall(now), key);
        self.commit(lifted.iter().map(|ban| write(ban, None)).collect())
    }

    /// How many bans an account has.
    pub fn count(&self, now: Instant, account: &AccountId) -> usize {
        let (left, gone) = self.bans.write().expire(self.wall(now), account);
        drop(self.commit(gone.iter().map(|ban| write(ban, None)).collect()));
        left
    }

    fn wall(&self, now: Instant) -> SystemTime {
        let (start, wall) = self.start;
        wall + now.saturating_duration_since(start)
    }

    fn commit(&self, writes: Vec<RowWrite>) -> BanCommit {
        let (reply, result) = oneshot::channel();
        if writes.is_empty() {
            drop(reply.send(Ok(())));
            return result;
        }
        self.rows.commit(
            writes,
            Box::new(move |written| {
                if let Err(error) = &written {
                    tracing::error!("a ban is not kept beyond this process: {error}");
                }
                // Not everybody waits for it.
                drop(reply.send(written));
            }),
        );
        result
    }
}

/// Whether a row is a ban.
///
/// # Errors
///
/// It is none.
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
        let bad = || RowStoreError(format!("the ban {} {} makes no sense", row.account, row.a));
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

/// The whole seconds since 1970.
fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Sets a ban's row, or takes it away.
fn write(ban: &RoomBan, row: Option<RoomBanRow>) -> RowWrite {
    let body = row.map(|it| serde_json::to_string(&it).expect("names and texts"));
    let (account, a) = (ban.key.account.clone(), ban.id.0);
    RowWrite { table: Table::RoomBans, account, a, b: 0, body }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any moment will do")]
    fn a_ban_outlives_the_process_and_ends_when_it_should() {
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
        assert!(ban_list.lift(now, &key, MemberId(2)).is_some());
        assert!(ban_list.lift(now, &key, MemberId(2)).is_none());

        // The next process begins 59 seconds later.
        let ban_list = BanList::open(rows.clone(), now, wall + Duration::from_secs(59)).unwrap();
        let banned = |now| who.clone().map(|who| ban_list.is_banned(now, &key, &who));
        assert_eq!(banned(now), [true, false, true]);
        assert_eq!(banned(now + Duration::from_secs(1)), [false, false, true]);
        assert_eq!(ban_list.list(now, &key)[0].reason.as_deref(), Some("so"));
        assert_eq!(ban_list.count(now + Duration::from_secs(1), &key.account), 1);
        assert_eq!(rows.load(Table::RoomBans).unwrap().len(), 1, "what is over is not kept");
    }
    /// Rows on a disk that takes its time, for ever.
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
    #[expect(clippy::disallowed_methods, reason = "any moment will do")]
    fn a_ban_holds_at_once_and_is_kept_when_the_disk_has_it() {
        let rows = Arc::new(SlowRows::default());
        let (now, wall) = (Instant::now(), SystemTime::UNIX_EPOCH);
        let key = RoomKey { account: "MA1".parse().unwrap(), name: "weekly".parse().unwrap() };
        let ban_list = BanList::open(rows.clone(), now, wall).unwrap();
        let (id, who) = (MemberId(1), Trusted::User("anna".into()));
        ban_list.ban(now, key.clone(), id, who.clone(), None, Duration::from_secs(60));
        assert!(ban_list.is_banned(now, &key, &who));
        let mut kept = ban_list.persisted(now, &key, &[id]);
        let mut lifted = ban_list.lift(now, &key, id).unwrap();
        assert!(kept.try_recv().is_err() && lifted.try_recv().is_err(), "not yet");
        let queued: Vec<_> = rows.0.lock().drain(..).collect();
        let Ok([_, keep, lift]) = <[_; 3]>::try_from(queued) else { panic!("three writes") };
        lift(Err(RowStoreError("full".to_owned())));
        keep(Ok(()));
        assert_eq!(kept.try_recv(), Ok(Ok(())));
        assert!(matches!(lifted.try_recv(), Ok(Err(_))));
        // None of these is a ban: there is nothing to wait for.
        assert_eq!(ban_list.persisted(now, &key, &[id]).try_recv(), Ok(Ok(())));
    }
}
