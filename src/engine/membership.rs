//! Membership actor: the one writer of an account's groups. It answers once a change is durable.

use std::{
    collections::BTreeMap,
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout_at},
};

pub use super::group_writer::GroupAskError;
use super::{
    group_writer::{GroupReply, GroupWriter, PendingReply},
    registry::Registry,
};
use crate::{
    base::ids::AccountId,
    group::{
        Ask, Change, GroupAnswer, GroupAuditEntry, GroupBan, GroupId, GroupInfo, GroupMember,
        Person, PersonId, UnixMillis, access_list::AccessList, state::AccountGroups,
    },
    state_log::StateLog,
    store::rows::{RowStore, RowStoreError, RowWrite, StoredRow, Table, WriteError},
};

/// The groups of every account. An account's actor starts with its first ask.
pub struct Memberships {
    rows: Arc<dyn RowStore>,
    clock: GroupClock,
    registry: Option<Arc<Registry>>,
    state_log: Option<Arc<StateLog>>,
    state: Mutex<MembershipState>,
}

/// The time of day. Groups outlive the process, so a monotonic clock does not do.
pub type GroupClock = Box<dyn Fn() -> UnixMillis + Send + Sync>;

struct MembershipState {
    /// The groups as loaded, of accounts whose actor has not started.
    loaded: BTreeMap<AccountId, AccountGroups>,
    running: BTreeMap<AccountId, mpsc::Sender<MembershipMessage>>,
    last_person: u64,
    last_group: u64,
}

enum MembershipMessage {
    Ask { at: UnixMillis, ask: Ask, reply: GroupReply },
    Forget(oneshot::Sender<()>),
}

/// The tables of people and groups.
pub const TABLES: [Table; 6] =
    [Table::People, Table::Groups, Table::Members, Table::Bans, Table::Applications, Table::Audit];

/// Waiting asks of one account. An ask is some hundred bytes, and a batch takes milliseconds on
/// disk: nobody would wait for the end of a longer queue.
const QUEUE_MAX: usize = 4_096;
/// The number of asks that share a commit.
const BATCH_MAX: usize = 256;
/// Kirimin's groups begin with 6, its users with 7 (contract 3.1).
const GROUP_FIRST: u64 = 6_000_001;
/// The first id of a person.
const PERSON_FIRST: u64 = 7_000_001;

impl Memberships {
    /// Loads the people and groups of every account.
    ///
    /// # Errors
    ///
    /// The store cannot be read, or a row cannot be parsed.
    pub fn open(rows: Arc<dyn RowStore>, clock: GroupClock) -> Result<Self, RowStoreError> {
        let loaded = load(&*rows, None)?;
        let last = loaded.values().map(AccountGroups::last_ids);
        let (person, group) =
            last.fold((0, 0), |last, it| (u64::max(last.0, it.0), u64::max(last.1, it.1)));
        let state = MembershipState {
            loaded,
            running: BTreeMap::new(),
            last_person: person.max(PERSON_FIRST - 1),
            last_group: group.max(GROUP_FIRST - 1),
        };
        Ok(Self { rows, clock, registry: None, state_log: None, state: Mutex::new(state) })
    }

    /// Makes changes only while the rooms' events can be written to this log.
    pub fn with_state_log(self, state_log: Arc<StateLog>) -> Self {
        Self { state_log: Some(state_log), ..self }
    }

    /// Connects the groups to the rooms that they guard. To be called before the first ask.
    pub fn guarding(self, registry: Arc<Registry>) -> Self {
        for (account, groups) in &self.state.lock().loaded {
            registry.set_access_list(account.clone(), AccessList::of(groups));
        }
        Self { registry: Some(registry), ..self }
    }

    /// The time of day, by the clock given to [`Memberships::open`].
    pub fn now(&self) -> UnixMillis {
        (self.clock)()
    }

    /// Every account that has people or groups.
    pub fn accounts(&self) -> Vec<AccountId> {
        let state = self.state.lock();
        state.loaded.keys().chain(state.running.keys()).cloned().collect()
    }

    /// A group id that was never used.
    pub fn new_group(&self) -> GroupId {
        let mut state = self.state.lock();
        state.last_group += 1;
        GroupId(state.last_group)
    }

    /// A person id that was never used.
    pub fn new_person(&self) -> PersonId {
        let mut state = self.state.lock();
        state.last_person += 1;
        PersonId(state.last_person)
    }

    /// Asks an account's groups. The answer comes once its changes are durable and the rooms have
    /// released removed members.
    ///
    /// # Errors
    ///
    /// See [`GroupAskError`].
    pub async fn ask(&self, account: &AccountId, ask: Ask) -> Result<GroupAnswer, GroupAskError> {
        let (reply, answer) = oneshot::channel();
        let item = MembershipMessage::Ask { at: self.now(), ask, reply };
        self.queue(account).try_send(item).map_err(|_| GroupAskError::Busy)?;
        // The actor ends with the process only.
        answer.await.unwrap_or(Err(GroupAskError::Failed))
    }

    /// Forgets the people and groups of an account that is removed. Their rows are deleted by others.
    pub async fn forget(&self, account: &AccountId) {
        let (done, forgotten) = oneshot::channel();
        let queue = self.queue(account);
        if queue.send(MembershipMessage::Forget(done)).await.is_ok() {
            drop(forgotten.await);
        }
    }

    fn queue(&self, account: &AccountId) -> mpsc::Sender<MembershipMessage> {
        let mut state = self.state.lock();
        if let Some(queue) = state.running.get(account) {
            return queue.clone();
        }
        let (queue, items) = mpsc::channel(QUEUE_MAX);
        let groups = state.loaded.remove(account).unwrap_or_default();
        state.running.insert(account.clone(), queue.clone());
        let (answers, pending) = mpsc::channel(QUEUE_MAX);
        tokio::spawn(send_replies(pending));
        let writer = GroupWriter::new(account.clone(), groups, self.registry.clone());
        let (rows, state_log) = (self.rows.clone(), self.state_log.clone());
        tokio::spawn(MembershipActor { writer, rows, state_log, answers }.run(items));
        queue
    }
}

impl fmt::Debug for Memberships {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memberships").finish_non_exhaustive()
    }
}

/// The system's clock, in milliseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "this is where the time of day comes from")]
pub fn system_clock() -> UnixMillis {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Checks that a row of people or groups can be parsed.
///
/// # Errors
///
/// The row cannot be parsed, or the table holds no groups.
pub fn check(table: Table, row: &StoredRow) -> Result<(), RowStoreError> {
    read(table, row).map(drop)
}

/// Runs the writer of one account.
struct MembershipActor {
    writer: GroupWriter,
    rows: Arc<dyn RowStore>,
    state_log: Option<Arc<StateLog>>,
    answers: mpsc::Sender<(Instant, PendingReply)>,
}

impl MembershipActor {
    async fn run(mut self, mut items: mpsc::Receiver<MembershipMessage>) {
        let mut waiting = Vec::with_capacity(BATCH_MAX);
        while items.recv_many(&mut waiting, BATCH_MAX).await != 0 {
            let mut forget = Vec::new();
            let asks = waiting.drain(..).filter_map(|message| match message {
                MembershipMessage::Ask { at, ask, reply } => Some((at, ask, reply)),
                MembershipMessage::Forget(done) => {
                    forget.push(done);
                    None
                }
            });
            let batch = self.writer.decide(asks);
            let account = self.writer.account();
            let writes: Vec<_> = batch.changes.iter().map(|it| write(account, it)).collect();
            let written = match writes.is_empty() {
                true => Ok(()),
                false => self.commit(writes).await,
            };
            let pending = match &written {
                Ok(()) => self.writer.expel(self.writer.publish(batch)),
                Err(error) => GroupWriter::refuse(batch, error),
            };
            let committed_at = Instant::now();
            for reply in pending {
                // The receiver lives as long as this actor.
                drop(self.answers.send((committed_at, reply)).await);
            }
            if written.is_err() {
                let groups = self.reload().await;
                self.writer.take_back(groups);
            }
            if !forget.is_empty() {
                self.writer.forget();
            }
            forget.into_iter().for_each(|done| _ = done.send(()));
        }
    }

    async fn commit(&self, writes: Vec<RowWrite>) -> Result<(), WriteError> {
        if let Some(error) = self.state_log.as_ref().and_then(|it| it.trouble()) {
            return Err(error);
        }
        let (reply, result) = oneshot::channel();
        self.rows.commit(writes, Box::new(move |written| drop(reply.send(written))));
        result.await.unwrap_or(Err(WriteError::Ended))
    }

    /// After a failed write the groups are as the store has them. Nothing further is answered until
    /// it can be read.
    async fn reload(&self) -> AccountGroups {
        let account = self.writer.account();
        loop {
            match load(&*self.rows, Some(account)) {
                Ok(mut all) => return all.remove(account).unwrap_or_default(),
                Err(error) => tracing::error!("{error}"),
            }
            tokio::time::sleep(RELOAD_INTERVAL).await;
        }
    }
}

/// Sends the answers of an account in the order of its commits, each once the rooms have released
/// the removed members: a person reported as removed is in no guarded room any more.
async fn send_replies(mut pending: mpsc::Receiver<(Instant, PendingReply)>) {
    while let Some((committed_at, mut next)) = pending.recv().await {
        match timeout_at(committed_at + LEAVE_WAIT_MAX, next.wait()).await {
            Ok(()) => next.send(),
            Err(_) => {
                tracing::error!("a room did not release the members that its group removed");
                next.fail();
            }
        }
    }
}

/// Rooms are local and quick: one that takes longer has a bug, not a long queue.
const LEAVE_WAIT_MAX: Duration = Duration::from_secs(5);

/// The pause between attempts to read a store that fails.
const RELOAD_INTERVAL: Duration = Duration::from_secs(1);

fn write(account: &AccountId, change: &Change) -> RowWrite {
    fn json(row: &impl serde::Serialize) -> String {
        serde_json::to_string(row).expect("names and numbers are JSON")
    }
    let (table, a, b, body) = match change {
        Change::Person(it) => (Table::People, it.id.0, 0, Some(json(it))),
        Change::Info(it) => (Table::Groups, it.id.0, 0, Some(json(it))),
        Change::Member(group, person, it) => {
            (Table::Members, group.0, person.0, it.as_ref().map(json))
        }
        Change::Ban(group, person, it) => (Table::Bans, group.0, person.0, it.as_ref().map(json)),
        Change::Application(group, person, it) => {
            (Table::Applications, group.0, person.0, it.as_ref().map(json))
        }
        Change::Audit(it) => (Table::Audit, it.group.0, it.sequence, Some(json(it))),
    };
    RowWrite { table, account: account.clone(), a, b, body }
}

fn load(
    rows: &dyn RowStore,
    only: Option<&AccountId>,
) -> Result<BTreeMap<AccountId, AccountGroups>, RowStoreError> {
    let mut all: BTreeMap<AccountId, AccountGroups> = BTreeMap::new();
    // Groups come before their members.
    for table in [Table::People, Table::Groups, Table::Members, Table::Bans, Table::Applications] {
        for row in rows.load(table)? {
            if only.is_none_or(|it| *it == row.account) {
                let change = read(table, &row)?;
                all.entry(row.account).or_default().restore(change);
            }
        }
    }
    Ok(all)
}

fn read(table: Table, row: &StoredRow) -> Result<Change, RowStoreError> {
    fn parse<T: DeserializeOwned>(table: Table, row: &StoredRow) -> Result<T, RowStoreError> {
        let StoredRow { account, a, b, body } = row;
        serde_json::from_str(body).map_err(|error| {
            let name = table.name();
            RowStoreError(format!("the row {account} {a} {b} of {name} makes no sense: {error}"))
        })
    }
    let (group, person) = (GroupId(row.a), PersonId(row.b));
    Ok(match table {
        Table::People => Change::Person(parse::<Person>(table, row)?),
        Table::Groups => Change::Info(parse::<GroupInfo>(table, row)?),
        Table::Members => Change::Member(group, person, Some(parse::<GroupMember>(table, row)?)),
        Table::Bans => Change::Ban(group, person, Some(parse::<GroupBan>(table, row)?)),
        Table::Applications => Change::Application(group, person, Some(parse(table, row)?)),
        Table::Audit => Change::Audit(parse::<GroupAuditEntry>(table, row)?),
        Table::Tokens
        | Table::Passwords
        | Table::Folder
        | Table::Cdrs
        | Table::IdempotencyKeys
        | Table::MemberIdBlocks
        | Table::Accounts
        | Table::RoomBans
        | Table::ConfigRows
        | Table::Recordings
        | Table::TrunkMinutes => {
            return Err(RowStoreError(format!("the table {} holds no groups", table.name())));
        }
    })
}
