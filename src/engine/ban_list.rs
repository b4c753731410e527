//! Ban list: the bans of all conferences, shared by the rooms and kept in the store.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::recorder::{self, TurnRow, ban_key};
use crate::{
    base::ids::{AccountId, ConferenceName, MemberId, RoomKey, Trusted},
    conference::{
        Kick,
        ban_list::{RoomBan, RoomBans, TooManyBans},
    },
    state_log::{Line, RowKey, RowRecord, StateLog},
    store::{
        rows::{RowStore, RowStoreError, RowWrite, StoredRow, Table, WriteError},
        rows_memory::MemoryRows,
    },
};

/// The bans of every conference.
///
/// Those of a request of the API are stored before they hold (`prepare`), as bans that no kick has
/// made. The frame of the kick has them as well, until they are stored once more, as made. So a crash
/// at any moment leaves the ban of a kick that has happened, and of no other.
pub struct BanList {
    bans: Arc<RwLock<RoomBans>>,
    rows: Arc<dyn RowStore>,
    /// None: nothing but what is stored outlives the process.
    state_log: Option<Arc<StateLog>>,
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
    /// Whether no kick has made it yet.
    #[serde(default, skip_serializing_if = "is_false")]
    is_prepared: bool,
}

/// A ban in the state log.
#[derive(Deserialize, Serialize)]
struct LoggedBan {
    account: AccountId,
    id: u64,
    ban: RoomBanRow,
}

/// What the state log has kept of the last process.
pub struct BansLeft<'a> {
    /// The log, for the bans of this process.
    pub state_log: Arc<StateLog>,
    /// The rows that the log has kept, of all kinds.
    pub rows: &'a [RowRecord],
    /// Whether it has all that the last process has written: a ban that it does not have was not made.
    pub is_complete: bool,
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
            bans.add(RoomBanRow::read(&row)?.0);
        }
        let (bans, state_log) = (Arc::new(RwLock::new(bans)), None);
        Ok(Self { bans, rows, state_log, start: (now, wall) })
    }

    /// As [`Self::open`], after a process that may have died within a kick: adds the bans that are in
    /// its state log only, and removes those that no kick has made.
    ///
    /// # Errors
    ///
    /// The rows cannot be read or parsed.
    pub fn open_after(
        left: BansLeft<'_>,
        rows: Arc<dyn RowStore>,
        now: Instant,
        wall: SystemTime,
    ) -> Result<Self, RowStoreError> {
        let BansLeft { state_log, rows: logged, is_complete } = left;
        let state_log = Some(state_log);
        let ban_list = Self { state_log, ..Self::open(rows.clone(), now, wall)? };
        let (mut made, mut keys) = (Vec::new(), Vec::new());
        for row in recorder::bans(logged) {
            keys.push(row.key);
            match LoggedBan::read(&row.body) {
                Ok(ban) => made.push(ban),
                Err(error) => tracing::error!("a ban of the last process is lost: {error}"),
            }
        }
        let mut writes = Vec::new();
        for row in rows.load(Table::RoomBans)? {
            let (ban, is_prepared) = RoomBanRow::read(&row)?;
            let is_made = made.iter().any(|it| (it.id, &it.key) == (ban.id, &ban.key));
            match is_prepared && !is_made {
                true if is_complete => {
                    // Of those that are over, nothing is left to lift.
                    drop(ban_list.bans.write().lift(wall, &ban.key, ban.id));
                    writes.push(write(&ban, None));
                }
                // Its kick may have been answered before the power failed.
                true => writes.push(put(&ban)),
                false => (),
            }
        }
        made.retain(|it| wall < it.ends_at);
        writes.extend(made.iter().map(put));
        made.into_iter().for_each(|it| ban_list.bans.write().add(it));
        ban_list.commit_logged(writes, keys);
        Ok(ban_list)
    }

    /// A ban list that is not kept on disk.
    pub fn in_memory(now: Instant, wall: SystemTime) -> Self {
        let (bans, rows) = (Arc::default(), Arc::new(MemoryRows::default()));
        Self { bans, rows, state_log: None, start: (now, wall) }
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
        let prepared = |it| RoomBanRow { is_prepared: true, ..RoomBanRow::of(it) };
        let writes = bans.iter().map(|it| write(it, Some(prepared(it)))).collect();
        let stored = self.commit(writes, |_| ());
        (PreparedBans { ban_list: self, bans }, stored)
    }

    /// The row of a ban for the frame of its kick; it goes when the ban is stored. None without a state
    /// log.
    pub(super) fn row(
        &self,
        now: Instant,
        key: &RoomKey,
        id: MemberId,
        who: Trusted,
        reason: Option<Arc<str>>,
        length: Duration,
    ) -> Option<TurnRow> {
        self.state_log.as_ref()?;
        let made_at = self.wall(now);
        let ban = RoomBan { id, key: key.clone(), who, reason, made_at, ends_at: made_at + length };
        let logged =
            LoggedBan { account: key.account.clone(), id: id.0, ban: RoomBanRow::of(&ban) };
        let body = serde_json::to_vec(&logged).expect("names and texts");
        Some(TurnRow::put(ban_key(&key.account, id), body))
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
        let (write, logged) = (put(&ban), ban_key(&ban.key.account, ban.id));
        let mut bans = self.bans.write();
        bans.release(&ban.key.account, 1);
        bans.add(ban);
        drop(bans);
        self.commit_logged(vec![write], vec![logged]);
    }

    /// Resolves once these bans of a conference are on disk. Ignores bans that are over.
    pub fn persisted(&self, now: Instant, key: &RoomKey, ids: &[MemberId]) -> BanCommit {
        // The lock is held until the commit is queued: no ban is lifted before.
        let bans = self.bans.read();
        let list = bans.list(self.wall(now), key);
        let meant = list.iter().filter(|ban| ids.contains(&ban.id));
        self.commit(meant.map(put).collect(), |_| ())
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
        let (bans, state_log) = (self.bans.clone(), self.state_log.clone());
        self.commit(writes, move |written| match written {
            // If it has never been stored, the state log has it still.
            Ok(()) => {
                let keys = lifted.iter().map(|it| ban_key(&it.key.account, it.id));
                forget(state_log.as_deref(), keys.collect());
            }
            Err(_) => {
                let mut bans = bans.write();
                lifted.into_iter().for_each(|it| bans.add(it));
            }
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

    fn commit(
        &self,
        writes: Vec<RowWrite>,
        then: impl FnOnce(&Result<(), WriteError>) + Send + 'static,
    ) -> BanCommit {
        let (reply, result) = oneshot::channel();
        if writes.is_empty() {
            drop(reply.send(Ok(())));
            return result;
        }
        self.rows.commit(
            writes,
            Box::new(move |written| {
                then(&written);
                // The receiver may be gone.
                drop(reply.send(written));
            }),
        );
        result
    }

    fn commit_soon(&self, writes: Vec<RowWrite>) {
        self.commit_logged(writes, Vec::new());
    }

    /// Stores bans that the state log keeps under these keys until then.
    fn commit_logged(&self, writes: Vec<RowWrite>, keys: Vec<RowKey>) {
        let state_log = self.state_log.clone();
        let forget = move |written: Result<(), WriteError>| {
            // The store logs what it drops.
            if written.is_ok() {
                forget(state_log.as_deref(), keys);
            }
        };
        match writes.is_empty() {
            true => forget(Ok(())),
            false => self.rows.commit_soon(writes, Box::new(forget)),
        }
    }
}

/// Bans are stored or lifted, so the state log need not keep them.
fn forget(state_log: Option<&StateLog>, keys: Vec<RowKey>) {
    let gone: Vec<_> = keys.into_iter().map(Line::Gone).collect();
    if let Some(log) = state_log.filter(|_| !gone.is_empty()) {
        log.append(&gone, |_| ());
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
            is_prepared: false,
        }
    }

    /// The ban, and whether no kick has made it yet.
    fn read(row: &StoredRow) -> Result<(RoomBan, bool), RowStoreError> {
        let bad = || RowStoreError(format!("the ban {} {} cannot be read", row.account, row.a));
        let read: Self = serde_json::from_str(&row.body).map_err(|_| bad())?;
        let is_prepared = read.is_prepared;
        let ban = read.ban(row.account.clone(), MemberId(row.a)).ok_or_else(bad)?;
        Ok((ban, is_prepared))
    }

    fn ban(self, account: AccountId, id: MemberId) -> Option<RoomBan> {
        let Self { conference, who, reason, made_at, ends_at, is_prepared: _ } = self;
        let (kind, name) = who.split_once(':')?;
        let who = match kind {
            "number" => Trusted::Number(name.into()),
            "sip" => Trusted::SipUser(name.into()),
            "user" => Trusted::User(name.into()),
            _ => return None,
        };
        let at = |seconds| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
        let key = RoomKey { account, name: conference };
        let (made_at, ends_at) = (at(made_at)?, at(ends_at)?);
        Some(RoomBan { id, key, who, reason, made_at, ends_at })
    }
}

impl LoggedBan {
    fn read(body: &[u8]) -> Result<RoomBan, RowStoreError> {
        let Self { account, id, ban } =
            serde_json::from_slice(body).map_err(|error| RowStoreError(error.to_string()))?;
        let bad = || RowStoreError(format!("the ban {account} {id} cannot be read"));
        ban.ban(account.clone(), MemberId(id)).ok_or_else(bad)
    }
}

fn is_false(value: &bool) -> bool {
    !value
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
mod tests;
