//! The membership actor: one writer per account. Nobody hears of a change before it is durable.

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

use super::{
    group_writer::{Owed, Reply, Writer},
    registry::House,
};
use crate::{
    base::ids::AccountId,
    group::{
        Ask, At, Audit, Ban, Change, Done, GroupId, Head, Member, Person, PersonId, Refusal,
        access_list::Roll, state::Groups,
    },
    store::rows::{Row, Rows, RowsError, Table, Write},
};

/// The groups of every account.
pub struct Memberships {
    records: Arc<dyn Rows>,
    clock: Clock,
    rooms: Option<Arc<House>>,
    state: Mutex<State>,
}

/// Tells the time of day: groups outlive the process, so its own clock will not do.
pub type Clock = Box<dyn Fn() -> At + Send + Sync>;

struct State {
    /// As they were at the start, until somebody asks.
    asleep: BTreeMap<AccountId, Groups>,
    awake: BTreeMap<AccountId, mpsc::Sender<Item>>,
    last_person: u64,
    last_group: u64,
}

struct Item {
    at: At,
    ask: Ask,
    reply: Reply,
}

/// Why there is no outcome.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AskError {
    /// The machine said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Too many ask at once. Nothing has happened.
    #[error("too many ask at once: try again")]
    Busy,
    /// The store failed, and what was asked for has not happened; or a room did not let go, and it
    /// has. To ask again does no harm.
    #[error("the store failed, or a room")]
    Failed,
}

/// Waiting asks of one account. Each is some hundred bytes, and a batch of them takes the disk
/// milliseconds: a longer queue is one that nobody waits for any more.
const QUEUE_MAX: usize = 4_096;
/// How many asks share a commit.
const BATCH_MAX: usize = 256;
/// Kirimin's groups begin with 6, its users with 7 (contract 3.1).
const GROUP_FIRST: u64 = 6_000_001;
/// As above.
const PERSON_FIRST: u64 = 7_000_001;

impl Memberships {
    /// Reads all there is.
    ///
    /// # Errors
    ///
    /// The store cannot be read, or a row makes no sense.
    pub fn open(records: Arc<dyn Rows>, clock: Clock) -> Result<Self, RowsError> {
        let asleep = load(&*records, None)?;
        let last = asleep.values().map(Groups::last_ids);
        let (person, group) =
            last.fold((0, 0), |last, it| (u64::max(last.0, it.0), u64::max(last.1, it.1)));
        let state = State {
            asleep,
            awake: BTreeMap::new(),
            last_person: person.max(PERSON_FIRST - 1),
            last_group: group.max(GROUP_FIRST - 1),
        };
        Ok(Self { records, clock, rooms: None, state: Mutex::new(state) })
    }

    /// The same, with the rooms that the groups guard. Before anything is asked.
    pub fn guarding(self, rooms: Arc<House>) -> Self {
        for (account, groups) in &self.state.lock().asleep {
            rooms.enrol(account.clone(), Roll::of(groups));
        }
        Self { rooms: Some(rooms), ..self }
    }

    /// The time of day.
    pub fn now(&self) -> At {
        (self.clock)()
    }

    /// Every account that has people or groups.
    pub fn accounts(&self) -> Vec<AccountId> {
        let state = self.state.lock();
        state.asleep.keys().chain(state.awake.keys()).cloned().collect()
    }

    /// A number that no group has or had.
    pub fn new_group(&self) -> GroupId {
        let mut state = self.state.lock();
        state.last_group += 1;
        GroupId(state.last_group)
    }

    /// A number that no person has or had.
    pub fn new_person(&self) -> PersonId {
        let mut state = self.state.lock();
        state.last_person += 1;
        PersonId(state.last_person)
    }

    /// Asks; the answer comes when what it says is durable.
    ///
    /// # Errors
    ///
    /// As [`AskError`] has it.
    pub async fn ask(&self, account: &AccountId, ask: Ask) -> Result<Done, AskError> {
        let (reply, answer) = oneshot::channel();
        let item = Item { at: self.now(), ask, reply };
        self.queue(account).try_send(item).map_err(|_| AskError::Busy)?;
        // It ends with the process only.
        answer.await.unwrap_or(Err(AskError::Failed))
    }

    fn queue(&self, account: &AccountId) -> mpsc::Sender<Item> {
        let mut state = self.state.lock();
        if let Some(queue) = state.awake.get(account) {
            return queue.clone();
        }
        let (queue, items) = mpsc::channel(QUEUE_MAX);
        let groups = state.asleep.remove(account).unwrap_or_default();
        state.awake.insert(account.clone(), queue.clone());
        let (answers, owed) = mpsc::channel(QUEUE_MAX);
        tokio::spawn(answer(owed));
        let writer = Writer::new(account.clone(), groups, self.rooms.clone());
        tokio::spawn(Actor { writer, records: self.records.clone(), answers }.run(items));
        queue
    }
}

impl fmt::Debug for Memberships {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memberships").finish_non_exhaustive()
    }
}

/// The system's clock.
#[expect(clippy::disallowed_methods, reason = "this is where the time of day comes from")]
pub fn system_clock() -> At {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    At(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Whether a row of people and groups can be read.
///
/// # Errors
///
/// It makes no sense.
pub fn check(table: Table, row: &Row) -> Result<(), RowsError> {
    read(table, row).map(drop)
}

/// Runs the one writer of an account.
struct Actor {
    writer: Writer,
    records: Arc<dyn Rows>,
    answers: mpsc::Sender<(Instant, Owed)>,
}

impl Actor {
    async fn run(mut self, mut items: mpsc::Receiver<Item>) {
        let mut waiting = Vec::with_capacity(BATCH_MAX);
        while items.recv_many(&mut waiting, BATCH_MAX).await != 0 {
            let asks = waiting.drain(..).map(|Item { at, ask, reply }| (at, ask, reply));
            let batch = self.writer.decide(asks);
            let account = self.writer.account();
            let writes: Vec<_> = batch.changes.iter().map(|it| write(account, it)).collect();
            let written = match writes.is_empty() {
                true => Ok(()),
                false => self.commit(writes).await,
            };
            let owed = match written {
                Ok(()) => self.writer.expel(self.writer.publish(batch)),
                Err(_) => {
                    let groups = self.read_again().await;
                    self.writer.take_back(batch, groups)
                }
            };
            let told_at = Instant::now();
            for owed in owed {
                // It goes on for as long as this does.
                drop(self.answers.send((told_at, owed)).await);
            }
        }
    }

    async fn commit(&self, writes: Vec<Write>) -> Result<(), RowsError> {
        let (tell, told) = oneshot::channel();
        self.records.commit(writes, Box::new(move |written| drop(tell.send(written))));
        told.await.unwrap_or_else(|_| Err(RowsError("the store has ended".to_owned())))
    }

    /// What could not be written has not happened: the store has the last word. Until it can be
    /// read, nothing is answered.
    async fn read_again(&self) -> Groups {
        let account = self.writer.account();
        loop {
            match load(&*self.records, Some(account)) {
                Ok(mut all) => return all.remove(account).unwrap_or_default(),
                Err(error) => tracing::error!("{error}"),
            }
            tokio::time::sleep(READ_AGAIN).await;
        }
    }
}

/// Gives the answers of an account in the order of its commits, each when the rooms have let go.
/// So who is told that somebody is no member, is told so when he is in no room any more.
async fn answer(mut owed: mpsc::Receiver<(Instant, Owed)>) {
    while let Some((told_at, mut next)) = owed.recv().await {
        match timeout_at(told_at + LEAVE_WAIT_MAX, next.wait()).await {
            Ok(()) => next.pay(),
            Err(_) => {
                tracing::error!("a room has not let go of whom its group has removed");
                next.fail();
            }
        }
    }
}

/// Rooms are local and quick; one that takes this long has met a fault, not a queue.
const LEAVE_WAIT_MAX: Duration = Duration::from_secs(5);

/// A disk that fails is not asked more often than this.
const READ_AGAIN: Duration = Duration::from_secs(1);

fn write(account: &AccountId, change: &Change) -> Write {
    fn json(row: &impl serde::Serialize) -> String {
        serde_json::to_string(row).expect("names and numbers are JSON")
    }
    let (table, a, b, body) = match change {
        Change::Person(it) => (Table::People, it.id.0, 0, Some(json(it))),
        Change::Head(it) => (Table::Groups, it.id.0, 0, Some(json(it))),
        Change::Member(group, person, it) => {
            (Table::Members, group.0, person.0, it.as_ref().map(json))
        }
        Change::Ban(group, person, it) => (Table::Bans, group.0, person.0, it.as_ref().map(json)),
        Change::Application(group, person, it) => {
            (Table::Applications, group.0, person.0, it.as_ref().map(json))
        }
        Change::Audit(it) => (Table::Audit, it.group.0, it.sequence, Some(json(it))),
    };
    Write { table, account: account.clone(), a, b, body }
}

fn load(
    records: &dyn Rows,
    only: Option<&AccountId>,
) -> Result<BTreeMap<AccountId, Groups>, RowsError> {
    let mut all: BTreeMap<AccountId, Groups> = BTreeMap::new();
    // Heads before who is in them.
    for table in [Table::People, Table::Groups, Table::Members, Table::Bans, Table::Applications] {
        for record in records.load(table)? {
            if only.is_none_or(|it| *it == record.account) {
                let change = read(table, &record)?;
                all.entry(record.account).or_default().restore(change);
            }
        }
    }
    Ok(all)
}

fn read(table: Table, record: &Row) -> Result<Change, RowsError> {
    fn parse<T: DeserializeOwned>(table: Table, record: &Row) -> Result<T, RowsError> {
        let Row { account, a, b, body } = record;
        serde_json::from_str(body).map_err(|error| {
            let name = table.name();
            RowsError(format!("the row {account} {a} {b} of {name} makes no sense: {error}"))
        })
    }
    let (group, person) = (GroupId(record.a), PersonId(record.b));
    Ok(match table {
        Table::People => Change::Person(parse::<Person>(table, record)?),
        Table::Groups => Change::Head(parse::<Head>(table, record)?),
        Table::Members => Change::Member(group, person, Some(parse::<Member>(table, record)?)),
        Table::Bans => Change::Ban(group, person, Some(parse::<Ban>(table, record)?)),
        Table::Applications => Change::Application(group, person, Some(parse(table, record)?)),
        Table::Audit => Change::Audit(parse::<Audit>(table, record)?),
        Table::Tokens
        | Table::Passwords
        | Table::Folder
        | Table::Records
        | Table::Calls
        | Table::Repeats
        | Table::Marks
        | Table::Accounts
        | Table::RoomBans => {
            return Err(RowsError(format!("{} are no groups", table.name())));
        }
    })
}
