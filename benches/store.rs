//! Store: durable group kicks per second, compared with the disk's syncs in the same run (each kick
//! through the membership actor, into SQLite with synchronous=FULL), the cost of a call's row, the
//! pages of a list of a million call detail records, and the state log. `-- state-log` measures that alone.
//!
//! The target is 20,000 kicks per second with 64 callers, or 20 times the syncs of the disk.
//! `STORE_BENCH_FOLDER` names a folder on the disk to be measured; the default is the build folder.

#[path = "store/state_log.rs"]
mod state_log;

use std::{
    env,
    fs::OpenOptions,
    io::{Write as _, stdout},
    ops::Range,
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
    call::{CallDirection, CallSession, Party},
    cdr::{Cdr, CdrFilter, CdrStore, store::CachedCdrStore},
    engine::membership::{Memberships, system_clock},
    group::{
        Ask, GroupId, GroupInfo, GroupRef, JoinPolicy, Person, PersonId, PersonRef, Rank,
        UnixMillis, rule::Rule,
    },
    media::{Ending, HangupCause, HangupSource},
    store::{rows::RowStore, rows_memory::MemoryRows, sqlite::Sqlite},
};
use tokio::runtime::Builder;

const PEOPLE: u64 = 20_000;
/// The longest measurement of one figure.
const SPAN: Duration = Duration::from_secs(3);
const OWNER: PersonId = PersonId(1);
/// An answer carries a snapshot of its group, so groups are as large as teams are.
const MEMBERS: u64 = 50;
/// A page of SQLite, with the header of a WAL frame.
const SYNCED_BYTES: usize = 4_096 + 24;
/// The argument of `cargo test --benches`: run briefly, to see that it works.
const TRIAL: &str = "--test";
/// The argument that leaves everything out but the state log.
const STATE_LOG: &str = "state-log";

fn main() {
    let is_trial = env::args().any(|it| it == TRIAL);
    let span = if is_trial { Duration::from_millis(50) } else { SPAN };
    let people = if is_trial { 300 } else { PEOPLE };
    let folder = env::var_os("STORE_BENCH_FOLDER").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target"));
    let temp = tempfile::tempdir_in(folder).expect("a folder");
    state_log::measure(temp.path(), if is_trial { 1_000 } else { 1 });
    if env::args().any(|it| it == STATE_LOG) {
        return;
    }

    say("\ndurable, per second                     rate    x syncs");
    let syncs = syncs(temp.path(), span);
    row("bare syncs of the disk", syncs, syncs);
    let path = temp.path().join("kicks.db");
    for callers in [1, 64, 256] {
        drop(std::fs::remove_file(&path));
        let rows: Arc<dyn RowStore> = Arc::new(Sqlite::open(&path).expect("a store"));
        row(&format!("kicks, {callers} callers"), kicks(rows, callers, people, span), syncs);
        for end in ["-wal", "-shm"] {
            drop(std::fs::remove_file(temp.path().join(format!("kicks.db{end}"))));
        }
    }
    let rows: Arc<dyn RowStore> = Arc::new(MemoryRows::default());
    row("kicks, 64 callers, rows in memory", kicks(rows, 64, people, span), syncs);

    say("\na call's rows                    ns per call of the call's own time, calls per second");
    let calls = if is_trial { 100 } else { 60_000 };
    report("none", &CachedCdrStore::default(), None, calls);
    let path = temp.path().join("ended.db");
    let rows: Arc<dyn RowStore> = Arc::new(Sqlite::open(&path).expect("a store"));
    let cdrs = CachedCdrStore::open(rows.clone(), &path, Duration::MAX).expect("a CDR store");
    report("at the end", &cdrs, Some(&*rows), calls);
    lists(&cdrs, &*rows, if is_trial { 1_000 } else { 1_000_000 });
}

/// Repeatedly appends a page and syncs it.
fn syncs(folder: &Path, span: Duration) -> f64 {
    let file = OpenOptions::new().create(true).write(true).truncate(true).open(folder.join("raw"));
    let (file, page) = (file.expect("a file"), [7; SYNCED_BYTES]);
    // Like a WAL that is reused: its length does not change.
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

fn kicks(rows: Arc<dyn RowStore>, callers: u64, people: u64, span: Duration) -> f64 {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let account: AccountId = "MACONFLOWBENCH000000".parse().expect("a name");
        let memberships = Memberships::open(rows, Box::new(system_clock)).expect("a store");
        let memberships = Arc::new(memberships);
        fill_groups(&memberships, &account, people).await;

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
                    kicked.expect("the person was a member");
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

/// Creates groups with everybody in them.
async fn fill_groups(memberships: &Arc<Memberships>, account: &AccountId, people: u64) {
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
        memberships.ask(account, Ask::Create(group_info(GroupId(n)))).await.expect("a group");
    }
    let add = |n| Ask::Add {
        group: group_of(n),
        actor: None,
        target: PersonRef::Id(PersonId(n)),
        rank: Rank::Member,
    };
    all(add, 2).await;
}

/// The group of a person.
fn group_of(n: u64) -> GroupRef {
    GroupRef::Id(GroupId(n / MEMBERS))
}

fn group_info(id: GroupId) -> GroupInfo {
    GroupInfo {
        id,
        name: format!("group {id}").into(),
        external_id: None,
        created: UnixMillis(0),
        modified: UnixMillis(0),
        creator: Some(OWNER),
        revision: 0,
        is_closed: false,
        is_ownerless: false,
        join_policy: JoinPolicy::Reviewed,
        link: "open-sesame".into(),
        members_max: 100,
    }
}

fn kick(n: u64) -> Ask {
    let target = PersonRef::Id(PersonId(n));
    Ask::Remove {
        group: group_of(n),
        actor: Some(OWNER),
        target,
        rule: Rule::BUNGIE,
        reason: "".into(),
    }
}

/// Prints the time that a CDR takes on the call's own thread, and the CDRs per second of the store.
fn report(what: &str, cdrs: &CachedCdrStore, rows: Option<&dyn RowStore>, calls: u128) {
    let (begin, own) = (now(), add(cdrs, rows, 0..calls));
    let each = own.as_nanos() / calls.max(1);
    let rate = per_second(u64::try_from(calls).expect("few"), begin);
    say(&format!("{what:<32} {each:>7} {rate:>14.0}"));
}

/// Adds CDRs, and returns the time that this took on the calls' own threads.
fn add(cdrs: &CachedCdrStore, rows: Option<&dyn RowStore>, calls: Range<u128>) -> Duration {
    let account: AccountId = ACCOUNT.parse().expect("a name");
    let mut own = Duration::ZERO;
    // In bursts, so that the writer's queue stays short.
    for first in calls.clone().step_by(100) {
        let records: Vec<_> =
            (first..calls.end.min(first + 100)).map(|n| cdr(&account, n)).collect();
        let burst = now();
        records.into_iter().for_each(|it| cdrs.add(it, None));
        own += burst.elapsed();
        if let Some(rows) = rows {
            let (tell, written) = channel();
            rows.commit(Vec::new(), Box::new(move |it| drop(tell.send(it))));
            written.recv().expect("a writer").expect("a disk");
        }
    }
    own
}

/// Prints how long pages take when there are so many CDRs: the target is 50 ms for the first one.
fn lists(cdrs: &CachedCdrStore, rows: &dyn RowStore, count: u128) {
    add(cdrs, Some(rows), 0..count);
    say(&format!("\npages of 20 of {count} CDRs                     ms     total"));
    let account = ACCOUNT.parse().expect("a name");
    let at = |part: u128| ended_at(count * part / 10);
    let filter = CdrFilter::default;
    let deep = usize::try_from(count).expect("they fit") - 20;
    for (what, filter, offset) in [
        ("first", filter(), 0),
        ("last", filter(), deep),
        (
            "of a time",
            CdrFilter { ended_from: Some(at(3)), ended_until: Some(at(4)), ..filter() },
            0,
        ),
        ("outbound", CdrFilter { direction: Some(CallDirection::Outbound), ..filter() }, 0),
        (
            "outbound, last",
            CdrFilter { direction: Some(CallDirection::Outbound), ..filter() },
            deep / 10,
        ),
        ("from a number", CdrFilter { from: Some("493012345677".into()), ..filter() }, 0),
        ("from nobody", CdrFilter { from: Some("1".into()), ..filter() }, 0),
        ("to the number of all", CdrFilter { to: Some("14155550199".into()), ..filter() }, 0),
        ("with a cause", CdrFilter { cause_code: Some(5_010), ..filter() }, 0),
    ] {
        let mut times = [Duration::ZERO; 5];
        let mut total = 0;
        for time in &mut times {
            let begin = now();
            total = cdrs.list(&account, &filter, offset, 20).expect("a disk").total;
            *time = begin.elapsed();
        }
        times.sort_unstable();
        say(&format!("{what:<32} {:>18.2} {total:>9}", times[2].as_secs_f64() * 1_000.0));
    }
}

const ACCOUNT: &str = "MACONFLOWBENCH000000";

/// Some 230 calls end in a second.
fn ended_at(n: u128) -> SystemTime {
    let micros = u64::try_from(n * 4_321).expect("few");
    SystemTime::UNIX_EPOCH + Duration::from_micros(micros)
}

fn cdr(account: &AccountId, n: u128) -> Arc<Cdr> {
    let is_outbound = n.is_multiple_of(10);
    let party = Party {
        from: format!("4930{}", 12_345_678 - n % 1_000).into(),
        to: "14155550199".into(),
        caller_name: "Alice".into(),
        direction: if is_outbound { CallDirection::Outbound } else { CallDirection::Inbound },
        dialect: Dialect::Plivo,
        trusted: None,
        session: CallSession::at(SystemTime::UNIX_EPOCH),
    };
    let is_lost = n.is_multiple_of(1_000);
    let cause = if is_lost { HangupCause::Internal } else { HangupCause::Normal };
    Arc::new(Cdr {
        account: account.clone(),
        // As random as ids of calls are.
        call: CallId::of(n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)),
        party: party.into(),
        answered_at: None,
        ended_at: ended_at(n),
        ending: Ending { cause, source: HangupSource::Caller },
        detail: None,
        conference: None,
        leg_summary: std::sync::OnceLock::new(),
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
