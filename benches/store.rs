//! The store beside the disk, in one run: durable group kicks per second (each through the
//! membership actor, into SQLite with synchronous=FULL), and what a call's rows cost the call.
//!
//! The target is 20,000 kicks per second with 64 callers, or 20 times what the disk can sync.
//! `STORE_BENCH_FOLDER` names a folder on the disk that is meant; else it is the build folder's.

use std::{
    env,
    fs::OpenOptions,
    io::{Write as _, stdout},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::channel,
    },
    time::{Duration, Instant, SystemTime},
};

use conflow::{
    base::ids::{AccountId, CallId, Dialect},
    call::{Direction, Party, Session},
    cdr::{Record, Records, store::Ledger},
    engine::membership::{Memberships, system_clock},
    group::{Ask, At, Door, GroupId, Head, Person, PersonId, Rank, Which, Who, rule::Rule},
    media::{Ending, HangupCause, HangupSource},
    store::{rows::Rows, rows_memory::Memory, sqlite::Sqlite},
};
use tokio::runtime::Builder;

const PEOPLE: u64 = 20_000;
/// As long as each figure is measured, at most.
const SPAN: Duration = Duration::from_secs(3);
const OWNER: PersonId = PersonId(1);
/// An answer carries a picture of its group, so groups are as large as teams are.
const MEMBERS: u64 = 50;
/// SQLite's page, with the head of a WAL frame.
const SYNCED_BYTES: usize = 4_096 + 24;
/// What `cargo test --benches` asks for: whether it runs at all.
const TRIAL: &str = "--test";

fn main() {
    let is_trial = env::args().any(|it| it == TRIAL);
    let span = if is_trial { Duration::from_millis(50) } else { SPAN };
    let people = if is_trial { 300 } else { PEOPLE };
    let folder = env::var_os("STORE_BENCH_FOLDER").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target"));
    let temp = tempfile::tempdir_in(folder).expect("a folder");

    say("durable, per second                     rate    x syncs");
    let syncs = syncs(temp.path(), span);
    row("bare syncs of the disk", syncs, syncs);
    let path = temp.path().join("kicks.db");
    for callers in [1, 64, 256] {
        drop(std::fs::remove_file(&path));
        let rows: Arc<dyn Rows> = Arc::new(Sqlite::open(&path).expect("a store"));
        row(&format!("kicks, {callers} callers"), kicks(rows, callers, people, span), syncs);
        for end in ["-wal", "-shm"] {
            drop(std::fs::remove_file(temp.path().join(format!("kicks.db{end}"))));
        }
    }
    let rows: Arc<dyn Rows> = Arc::new(Memory::default());
    row("kicks, 64 callers, rows in memory", kicks(rows, 64, people, span), syncs);

    say("\na call's rows                    ns per call of the call's own time, calls per second");
    let calls = if is_trial { 100 } else { 60_000 };
    let sqlite = |name: &str| -> Arc<dyn Rows> {
        Arc::new(Sqlite::open(&temp.path().join(name)).expect("a store"))
    };
    let ledger = |rows| Ledger::open(rows, SystemTime::UNIX_EPOCH).expect("a ledger");
    report("none", &Ledger::default(), None, calls, false);
    let rows = sqlite("ended.db");
    report("at the end", &ledger(rows.clone()), Some(&*rows), calls, false);
    let rows = sqlite("both.db");
    report("at the answer and the end", &ledger(rows.clone()), Some(&*rows), calls, true);
}

/// A page is written behind the last one and synced, again and again.
fn syncs(folder: &Path, span: Duration) -> f64 {
    let file = OpenOptions::new().create(true).write(true).truncate(true).open(folder.join("raw"));
    let (file, page) = (file.expect("a file"), [7; SYNCED_BYTES]);
    // As a WAL that is used again: its length does not change.
    file.write_all_at(&vec![1; SYNCED_BYTES * 1_000], 0).expect("room");
    file.sync_all().expect("a disk");
    let (begin, mut done) = (now(), 0_u64);
    while begin.elapsed() < span {
        file.write_all_at(&page, SYNCED_BYTES as u64 * (done % 1_000)).expect("room");
        file.sync_data().expect("a disk");
        done += 1;
    }
    per_second(done, begin)
}

fn kicks(rows: Arc<dyn Rows>, callers: u64, people: u64, span: Duration) -> f64 {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let account: AccountId = "MACONFLOWBENCH000000".parse().expect("a name");
        let memberships = Memberships::open(rows, Box::new(system_clock)).expect("a store");
        let memberships = Arc::new(memberships);
        fill(&memberships, &account, people).await;

        let (begin, next) = (now(), Arc::new(AtomicU64::new(2)));
        let caller = |_| {
            let (account, memberships, next) = (account.clone(), memberships.clone(), next.clone());
            tokio::spawn(async move {
                let mut done = 0_u64;
                while begin.elapsed() < span {
                    let n = next.fetch_add(1, Relaxed);
                    if people < n {
                        break;
                    }
                    let kicked = memberships.ask(&account, kick(n)).await;
                    kicked.expect("he was a member");
                    done += 1;
                }
                done
            })
        };
        let mut done = 0;
        for caller in (0..callers).map(caller).collect::<Vec<_>>() {
            done += caller.await.expect("no panic");
        }
        per_second(done, begin)
    })
}

/// Groups with everybody in them.
async fn fill(memberships: &Arc<Memberships>, account: &AccountId, people: u64) {
    let all = |ask: fn(u64) -> Ask, from| {
        let asks = (from..=people).map(move |n| async move {
            memberships.ask(account, ask(n)).await.expect("it may be");
        });
        let asks: Vec<_> = asks.collect();
        async move {
            let mut asks = asks.into_iter();
            loop {
                let some: Vec<_> = asks.by_ref().take(1_000).collect();
                if some.is_empty() {
                    break;
                }
                futures_util::future::join_all(some).await;
            }
        }
    };
    all(|n| Ask::AddPerson(Person::new(PersonId(n), &format!("user{n}"))), 1).await;
    for n in 0..=people / MEMBERS {
        memberships.ask(account, Ask::Create(head(GroupId(n)))).await.expect("a group");
    }
    let add = |n| Ask::Add {
        group: group(n),
        actor: None,
        target: Who::Id(PersonId(n)),
        rank: Rank::Member,
    };
    all(add, 2).await;
}

/// Where the person of this number belongs.
fn group(n: u64) -> Which {
    Which::Id(GroupId(n / MEMBERS))
}

fn head(id: GroupId) -> Head {
    Head {
        id,
        name: format!("group {id}").into(),
        external_id: None,
        created: At(0),
        modified: At(0),
        creator: Some(OWNER),
        revision: 0,
        is_closed: false,
        is_ownerless: false,
        door: Door::Reviewed,
        link: "open-sesame".into(),
        members_max: 100,
    }
}

fn kick(n: u64) -> Ask {
    let target = Who::Id(PersonId(n));
    Ask::Remove {
        group: group(n),
        actor: Some(OWNER),
        target,
        rule: Rule::BUNGIE,
        reason: "".into(),
    }
}

/// What the call's own thread does for its record, and how many the store takes.
fn report(what: &str, ledger: &Ledger, rows: Option<&dyn Rows>, calls: u128, is_answered: bool) {
    let account: AccountId = "MACONFLOWBENCH000000".parse().expect("a name");
    let (begin, mut own) = (now(), Duration::ZERO);
    // In bursts, so that the writer's queue stays short.
    for first in (0..calls).step_by(100) {
        let records: Vec<_> =
            (first..calls.min(first + 100)).map(|n| record(&account, n)).collect();
        let burst = now();
        for record in records {
            let answered =
                || ledger.answered(&account, record.call, &record.party, record.ended_at);
            let draft = is_answered.then(answered).flatten();
            ledger.add(record, draft);
        }
        own += burst.elapsed();
        if let Some(rows) = rows {
            let (tell, told) = channel();
            rows.commit(Vec::new(), Box::new(move |it| drop(tell.send(it))));
            told.recv().expect("a writer").expect("a disk");
        }
    }
    let each = own.as_nanos() / calls.max(1);
    let rate = per_second(u64::try_from(calls).expect("few"), begin);
    say(&format!("{what:<32} {each:>7} {rate:>14.0}"));
}

fn record(account: &AccountId, n: u128) -> Arc<Record> {
    let party = Party {
        from: "493012345678".into(),
        to: "14155550199".into(),
        caller_name: "Alice".into(),
        direction: Direction::Inbound,
        dialect: Dialect::Plivo,
        trusted: None,
        session: Session::at(SystemTime::UNIX_EPOCH),
    };
    Arc::new(Record {
        account: account.clone(),
        call: CallId::of(n),
        party: party.into(),
        answered_at: None,
        ended_at: SystemTime::UNIX_EPOCH,
        ending: Ending { cause: HangupCause::Normal, source: HangupSource::Caller },
        sound: std::sync::OnceLock::new(),
    })
}

fn row(what: &str, rate: f64, syncs: f64) {
    say(&format!("{what:<35} {rate:>9.0} {:>10.1}", rate / syncs));
}

fn say(line: &str) {
    writeln!(stdout(), "{line}").expect("somebody reads it");
}

#[expect(clippy::disallowed_methods, reason = "a bench has the real clock")]
fn now() -> Instant {
    Instant::now()
}

fn per_second(done: u64, begin: Instant) -> f64 {
    done as f64 / begin.elapsed().as_secs_f64()
}
