//! State log: frames a second, the time of each, the start with a full log, and the removal of old
//! events while others are written.

use std::{
    fs::{self, File},
    os::fd::AsFd as _,
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use conflow::state_log::{EventLine, Line, RowKey, StateLog, StateLogSettings};
use hdrhistogram::Histogram;

use super::{now, say};

/// Frames of a measurement.
const FRAMES: u64 = 1_000_000;
/// Calls that are up when the log is opened again.
const ROWS: u64 = 10_000;
/// Events that are kept then.
const EVENTS: u64 = 1_000_000;
/// Events that are removed at once.
const REMOVED: u64 = 500_000;
/// One day, in microseconds.
const DAY: u64 = 86_400_000_000;
const ACCOUNTS: [&str; 2] = ["MACONFLOWBENCH000000", "MACONFLOWBENCH000001"];

/// Prints all figures. `scale` divides the counts.
pub(super) fn measure(folder: &Path, scale: u64) {
    say(
        "\nthe state log                    frames/s   p50 us      p99    p99.9      max  disk/payload",
    );
    for threads in [1, 2] {
        rate(&folder.join(format!("rate-{threads}")), threads, FRAMES / scale);
    }
    reopen(&folder.join("reopen"), ROWS / scale, EVENTS / scale);
    remove(&folder.join("remove"), REMOVED / scale);
}

fn settings(folder: &Path) -> StateLogSettings {
    fs::create_dir_all(folder).expect("a folder");
    StateLogSettings {
        folder: folder.to_owned(),
        segment_bytes: 64 << 20,
        bytes_max: 4 << 30,
        keep_micros: DAY,
        held_max: 4,
    }
}

fn open(folder: &Path) -> StateLog {
    StateLog::open(settings(folder), 7, 1).expect("a log").log
}

/// Appends the nth frame of an account: an event of a call that has a row, and sometimes the end of
/// one. Returns the length of its body.
fn append(log: &StateLog, account: &str, number: u64, at: u64) -> u64 {
    let body = [b'x'; 230];
    let body = &body[..usize::try_from(120 + number * 31 % 110).expect("it is short")];
    let key = |n: u64| RowKey { kind: 1, id: u128::from(n) };
    let keys = [Some(key(number)), None, None, None];
    let lines = [
        Line::Event(EventLine { account, number, at, keys, body }),
        Line::Gone(key(number.saturating_sub(2_000))),
    ];
    log.append(&lines, |is_written| assert!(is_written, "the disk is full"));
    body.len() as u64
}

/// Appends frames and measures each.
fn appended(
    log: &StateLog,
    account: &str,
    numbers: impl Iterator<Item = u64>,
) -> (Histogram<u64>, u64) {
    let (mut times, mut payload) = (times(), 0);
    for number in numbers {
        let begin = now();
        payload += append(log, account, number, DAY + number);
        record(&mut times, begin);
    }
    (times, payload)
}

fn rate(folder: &Path, threads: usize, frames: u64) {
    // The events are of 1970, and stay.
    let settings = StateLogSettings { keep_micros: u64::MAX, ..settings(folder) };
    let log = Arc::new(StateLog::open(settings, 7, 1).expect("a log").log);
    log.start().expect("a thread");
    let begin = now();
    let of_thread = |account: &'static str| {
        let log = log.clone();
        let numbers = 1..=frames / threads as u64;
        thread::spawn(move || appended(&log, account, numbers))
    };
    let running: Vec<_> = ACCOUNTS[..threads].iter().copied().map(of_thread).collect();
    let (mut all, mut payload) = (times(), 0);
    for thread in running {
        let (times, bytes) = thread.join().expect("no panic");
        all.add(times).expect("they have the same bounds");
        payload += bytes;
    }
    let rate = frames as f64 / begin.elapsed().as_secs_f64();
    let disk = log.status().bytes as f64 / payload as f64;
    log.close().expect("a disk");
    row(
        &format!("{threads} thread{}", if threads == 1 { "" } else { "s" }),
        rate,
        &all,
        Some(disk),
    );
}

/// Measures the start with so many live rows and events.
fn reopen(folder: &Path, rows: u64, events: u64) {
    let log = open(folder);
    for n in 0..rows {
        let key = RowKey { kind: 2, id: u128::from(n) };
        log.append(&[Line::Row { key, body: &[b'x'; 200] }], |_| ());
    }
    let keys = [None; 4];
    for number in 1..=events {
        let body = &[b'x'; 150];
        let event = EventLine { account: ACCOUNTS[0], number, at: DAY, keys, body };
        log.append(&[Line::Event(event)], |_| ());
    }
    log.maintain(DAY);
    let bytes = log.status().bytes >> 20;
    drop(log);
    let opened = |what: &str| {
        let (begin, cpu) = (now(), thread_cpu());
        let opened = StateLog::open(settings(folder), 7, 1).expect("a log");
        let millis = begin.elapsed().as_secs_f64() * 1e3;
        let cpu = (thread_cpu() - cpu).as_secs_f64() * 1e3;
        assert_eq!(opened.rows.len() as u64, rows, "rows are lost");
        say(&format!(
            "{what}: {millis:.0} ms, {cpu:.0} ms of processor time ({rows} rows, {events} events, {bytes} MiB)"
        ));
    };
    opened("opened again, files in memory");
    forget_pages(folder);
    opened("opened again, files not in memory");
    for file in fs::read_dir(folder).expect("a folder").map(|it| it.expect("a file").path()) {
        if file.extension().is_some_and(|it| it == "index") {
            fs::remove_file(file).expect("it is there");
        }
    }
    opened("opened again without index files");
}

/// Processor time of this thread: on a busy machine it says more than the elapsed time.
fn thread_cpu() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text.split(' ').next().and_then(|it| it.parse().ok());
    Duration::from_nanos(nanos.unwrap_or_default())
}

/// Lets the kernel forget what it holds of the files.
fn forget_pages(folder: &Path) {
    for path in fs::read_dir(folder).expect("a folder").map(|it| it.expect("a file").path()) {
        let file = File::open(path).expect("it is there");
        file.sync_all().expect("a disk");
        rustix::fs::fadvise(file.as_fd(), 0, None, rustix::fs::Advice::DontNeed).expect("a file");
    }
}

/// Measures appends while old events are removed.
fn remove(folder: &Path, removed: u64) {
    let log = Arc::new(open(folder));
    for number in 1..=removed {
        append(&log, ACCOUNTS[0], number, number);
    }
    log.maintain(1);
    let quiet = appended(&log, ACCOUNTS[0], removed + 1..=2 * removed).0;
    log.maintain(1);
    row("appends before a removal", f64::NAN, &quiet, None);
    let upkeep = {
        let log = log.clone();
        thread::spawn(move || {
            let (begin, segments) = (now(), log.status().segments);
            log.maintain(2 * DAY);
            (begin.elapsed(), segments - log.status().segments)
        })
    };
    let mut times = times();
    let mut number = 2 * removed;
    while !upkeep.is_finished() || times.len() < removed / 10 {
        number += 1;
        let begin = now();
        append(&log, ACCOUNTS[0], number, 2 * DAY + number);
        record(&mut times, begin);
    }
    let (took, segments) = upkeep.join().expect("no panic");
    row("appends while events are removed", f64::NAN, &times, None);
    let first = log.events(ACCOUNTS[0], 1, 1).expect("a log").first;
    say(&format!("{first} events removed with {segments} segments in {:.2} s", took.as_secs_f64()));
}

fn times() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("good bounds")
}

fn record(times: &mut Histogram<u64>, begin: Instant) {
    times.saturating_record(u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX));
}

fn row(what: &str, rate: f64, times: &Histogram<u64>, disk: Option<f64>) {
    let micros = |it: u64| Duration::from_nanos(it).as_secs_f64() * 1e6;
    let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|it| micros(times.value_at_quantile(it)));
    let rate = if rate.is_nan() { String::new() } else { format!("{rate:.0}") };
    let disk = disk.map_or_else(String::new, |it| format!("{it:.2}"));
    say(&format!(
        "{what:<32} {rate:>8} {p50:>8.1} {p99:>8.1} {p999:>8.1} {:>8.0} {disk:>13}",
        micros(times.max())
    ));
}
