//! The state log: what was written is read again, whatever happens to the files and to the disk.

mod kill;
mod mutations;
mod upkeep;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use conflow::{
    state_log::{
        EventLine, Line, LogState, Opened, RowKey, StateLog, StateLogSettings, frame,
        inspect::{AccountInspection, LogInspection, LogSnapshot, has_log, restore_segment},
    },
    store::rows::WriteError,
};

const SECOND: u64 = 1_000_000;
const KEEP: u64 = 100 * SECOND;

fn settings(folder: &Path) -> StateLogSettings {
    StateLogSettings {
        folder: folder.to_owned(),
        segment_bytes: 4_096,
        bytes_max: 1 << 20,
        keep_micros: KEEP,
        held_max: 4,
    }
}

fn open(folder: &Path) -> Opened {
    StateLog::open(settings(folder), 7, 1).unwrap()
}

fn key(id: u128) -> RowKey {
    RowKey { kind: 1, id }
}

fn event<'a>(account: &'a str, number: u64, at: u64, body: &'a [u8]) -> Line<'a> {
    Line::Event(EventLine { account, number, at, keys: [None; 4], body })
}

fn numbers(log: &StateLog, account: &str, from: u64, max: usize) -> Vec<u64> {
    log.events(account, from, max).unwrap().events.iter().map(|it| it.number).collect()
}

/// What the log must say, kept by the simplest means.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    rows: BTreeMap<RowKey, Vec<u8>>,
    events: BTreeMap<String, Vec<(u64, Vec<u8>)>>,
}

impl Model {
    fn take(&mut self, lines: &[Line<'_>]) {
        for line in lines {
            match line {
                Line::Event(event) => {
                    let events = self.events.entry(event.account.to_owned()).or_default();
                    events.push((event.number, event.body.to_vec()));
                    let keys = event.keys.iter().flatten();
                    self.rows.extend(keys.map(|it| (*it, event.body.to_vec())));
                }
                Line::Row { key, body } => _ = self.rows.insert(*key, body.to_vec()),
                Line::Gone(key) => _ = self.rows.remove(key),
                Line::Header(_) | Line::Copied(_) | Line::LastNumber { .. } | Line::Closed => (),
            }
        }
    }

    fn of(opened: &Opened) -> Self {
        let rows = opened.rows.iter().map(|it| (it.key, it.body.clone())).collect();
        let mut events = BTreeMap::new();
        for account in ["a", "b", "c"] {
            let mut found = Vec::new();
            // Page by page, so that pages meet without gaps.
            while let Some(page) =
                Some(opened.log.events(account, found.len() as u64 + 1, 7).unwrap())
                    .filter(|it| !it.events.is_empty())
            {
                found.extend(page.events.into_iter().map(|it| (it.number, it.body)));
            }
            if !found.is_empty() {
                events.insert(account.to_owned(), found);
            }
        }
        Self { rows, events }
    }
}

/// Appends frames that a seed picks. Returns what is there after each.
fn live(log: &StateLog, model: &mut Model, rng: &mut fastrand::Rng, frames: usize) -> Vec<Model> {
    let mut models = Vec::new();
    for _ in 0..frames {
        let bodies: Vec<Vec<u8>> =
            (0..3).map(|_| (0..rng.usize(0..200)).map(|_| rng.u8(..)).collect()).collect();
        let mut lines = Vec::new();
        for body in &bodies {
            let id = key(rng.u128(0..20));
            lines.push(match rng.u8(0..4) {
                0 => Line::Gone(id),
                1 => Line::Row { key: id, body },
                _ => {
                    let account = ["a", "a", "a", "a", "b", "c"][rng.usize(0..6)];
                    let count = model.events.get(account).map_or(0, Vec::len) as u64;
                    let is_next =
                        |it: &&Line<'_>| matches!(it, Line::Event(e) if e.account == account);
                    let number = count + 1 + lines.iter().filter(is_next).count() as u64;
                    let own = key(100 + u128::from(number));
                    let keys = [rng.bool().then_some(id), None, rng.bool().then_some(own), None];
                    Line::Event(EventLine { account, number, at: number * SECOND, keys, body })
                }
            });
        }
        log.append(&lines, |is_written| assert!(is_written));
        model.take(&lines);
        models.push(model.clone());
    }
    models
}

#[test]
fn what_is_written_is_read_again_in_every_life() {
    for seed in 0..60 {
        let folder = tempfile::tempdir().unwrap();
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut model = Model::default();
        for life in 0..4 {
            let opened = open(folder.path());
            assert_eq!(opened.findings, Vec::<String>::new(), "seed {seed}");
            assert_eq!(Model::of(&opened), model, "seed {seed}, life {life}");
            assert_eq!(opened.was_closed, life % 2 == 0, "seed {seed}, life {life}");
            live(&opened.log, &mut model, &mut rng, 40);
            if rng.bool() {
                opened.log.maintain(SECOND);
            }
            // Each second life ends without notice.
            if life % 2 == 1 {
                opened.log.close().unwrap();
            }
        }
    }
}

fn newest(folder: &Path) -> PathBuf {
    let files = fs::read_dir(folder).unwrap().map(|it| it.unwrap().path());
    files.filter(|it| it.extension().is_some_and(|it| it == "log")).max().unwrap()
}

/// Damages the newest segment at every byte; no wrong frame is ever read, and the log goes on.
fn damaged_anywhere(damage: impl Fn(&mut Vec<u8>, usize)) {
    let folder = tempfile::tempdir().unwrap();
    let mut rng = fastrand::Rng::with_seed(1);
    let opened = open(folder.path());
    let mut models = vec![Model::default()];
    models.extend(live(&opened.log, &mut Model::default(), &mut rng, 3));
    drop(opened);
    let path = newest(folder.path());
    let whole = fs::read(&path).unwrap();
    assert!(500 < whole.len());
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        damage(&mut bytes, at);
        if bytes == whole {
            continue;
        }
        let copy = tempfile::tempdir().unwrap();
        fs::write(copy.path().join(path.file_name().unwrap()), &bytes).unwrap();
        let opened = open(copy.path());
        let found = Model::of(&opened);
        assert!(models.contains(&found), "damage at byte {at}");
        let mut after = found;
        live(&opened.log, &mut after, &mut rng, 2);
        drop(opened);
        assert_eq!(Model::of(&open(copy.path())), after, "damage at byte {at}");
    }
}

#[test]
fn a_log_that_is_torn_at_any_byte_is_read_up_to_there() {
    damaged_anywhere(Vec::truncate);
}

#[test]
fn a_log_whose_end_is_zeros_is_read_up_to_there() {
    damaged_anywhere(|bytes, at| bytes[at..].fill(0));
}

#[test]
fn a_flipped_bit_ends_the_reading_of_its_segment() {
    damaged_anywhere(|bytes, at| bytes[at] ^= 4);
}

#[test]
fn an_index_file_is_made_again_if_it_is_missing_or_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let mut rng = fastrand::Rng::with_seed(2);
    let opened = open(folder.path());
    let mut model = Model::default();
    live(&opened.log, &mut model, &mut rng, 100);
    opened.log.maintain(SECOND);
    drop(opened);
    let indexes: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|it| it.unwrap().path()).collect();
    let indexes: Vec<_> =
        indexes.into_iter().filter(|it| it.extension().is_some_and(|it| it == "index")).collect();
    assert!(3 < indexes.len());
    fs::remove_file(&indexes[0]).unwrap();
    let mut bytes = fs::read(&indexes[1]).unwrap();
    bytes[9] ^= 1;
    fs::write(&indexes[1], bytes).unwrap();
    assert_eq!(Model::of(&open(folder.path())), model);
}

/// An index file can name a frame that a loss of power has taken: the start must not fail for it.
#[test]
fn a_row_that_cannot_be_read_costs_itself_only() {
    let folder = tempfile::tempdir().unwrap();
    let opened = open(folder.path());
    for id in 0..200 {
        opened.log.append(&[Line::Row { key: key(id), body: &[7; 50] }], |_| ());
    }
    opened.log.maintain(SECOND);
    let oldest = folder.path().join("0000000001.log");
    drop(opened);
    assert!(oldest.with_extension("index").exists());
    let mut bytes = fs::read(&oldest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&oldest, bytes).unwrap();
    let opened = open(folder.path());
    assert_eq!((opened.rows.len(), opened.findings.len()), (199, 1), "{:?}", opened.findings);
}

/// A crash can leave the next segment without a header: then the full one before it grows again.
#[test]
fn a_segment_that_is_the_newest_again_loses_nothing() {
    for header in [0, 5] {
        let folder = tempfile::tempdir().unwrap();
        let opened = open(folder.path());
        let next = folder.path().join("0000000002.log");
        let mut number = 0;
        while !next.exists() {
            number += 1;
            opened.log.append(&[event("a", number, 1, &[b'.'; 200])], |_| ());
        }
        opened.log.maintain(1);
        drop(opened);
        assert!(folder.path().join("0000000001.index").exists());
        fs::OpenOptions::new().write(true).open(&next).unwrap().set_len(header).unwrap();

        let opened = open(folder.path());
        let last = opened.log.last_number("a");
        opened.log.append(&[event("a", last + 1, 1, b"fits")], |_| ());
        opened.log.maintain(1);
        opened.log.append(&[event("a", last + 2, 1, b"fits, too")], |_| ());
        drop(opened);
        assert!(!next.exists(), "it is about a frame in the first segment");
        assert_eq!(open(folder.path()).log.last_number("a"), last + 2, "{header}");
    }
}

/// Old events go; what is alive stays, and no number is given twice.
#[test]
fn cleaning_removes_old_events_and_keeps_rows_and_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let opened = open(folder.path());
    let log = &opened.log;
    log.append(&[Line::Row { key: key(1), body: b"row" }], |_| ());
    let call = EventLine {
        account: "a",
        number: 1,
        at: SECOND,
        keys: [Some(key(2)), Some(key(3)), None, None],
        body: b"begun",
    };
    log.append(&[Line::Event(call)], |_| ());
    log.append(&[Line::Gone(key(3))], |_| ());
    log.append(&[event("gone", 1, SECOND, b"x")], |_| ());
    for number in 2..=400 {
        log.append(&[event("a", number, number * SECOND, &[b'.'; 50])], |_| ());
    }
    log.maintain(300 * SECOND);
    let first = log.events("a", 1, 1).unwrap().first;
    assert!((150..=200).contains(&first), "{first}");
    assert_eq!(numbers(log, "a", 1, 3), [first, first + 1, first + 2]);
    drop(opened);

    let opened = open(folder.path());
    let rows: Vec<_> = opened.rows.iter().map(|it| (it.key.id, it.body.clone())).collect();
    assert_eq!(rows, [(1, b"row".to_vec()), (2, b"begun".to_vec())]);
    assert_eq!(opened.rows[1].event, Some(("a".into(), 1, SECOND)));
    assert_eq!(opened.log.events("a", 1, 1).unwrap().first, first);
    assert_eq!((opened.log.last_number("a"), opened.log.last_number("gone")), (400, 1));
    assert_eq!(opened.log.events("gone", 1, 9).unwrap().first, 2);
}

#[test]
fn the_size_of_the_log_has_a_limit() {
    let folder = tempfile::tempdir().unwrap();
    let settings = StateLogSettings { bytes_max: 20_000, ..settings(folder.path()) };
    let log = StateLog::open(settings, 7, 1).unwrap().log;
    for number in 1..=2_000 {
        log.append(&[event("a", number, SECOND, &[b'.'; 50])], |_| ());
        if number % 20 == 0 {
            log.maintain(SECOND);
            let status = log.status();
            assert!(status.bytes <= 20_000, "{status:?}");
        }
    }
    assert!(100 < numbers(&log, "a", 1, 10_000).len());
}

/// Rows that fill several segments are not copied for ever: neither within one round of upkeep, nor in
/// each.
#[test]
fn rows_that_are_larger_than_the_log_may_be_are_copied_seldom() {
    let folder = tempfile::tempdir().unwrap();
    let settings = StateLogSettings { bytes_max: 4_096, ..settings(folder.path()) };
    let log = StateLog::open(settings, 7, 1).unwrap().log;
    log.maintain(SECOND);
    let write = |ids: std::ops::Range<u128>| {
        for id in ids {
            log.append(&[Line::Row { key: key(id), body: &[1; 1_000] }], |_| ());
        }
    };
    let rounds = |times: std::ops::Range<u64>| times.for_each(|it| log.maintain(it * SECOND));
    let written = || newest(folder.path());
    write(0..20);
    rounds(2..3);
    let first = written();
    rounds(3..50);
    assert_eq!(written(), first, "nothing was copied again");
    write(0..20);
    rounds(50..52);
    assert!(first < written(), "what was replaced has gone");
    assert!(log.status().bytes < 30_000, "{:?}", log.status());
    let large = written();
    rounds(52..130);
    assert_eq!(written(), large);
    assert_eq!(log.status().rows, 21, "with the beat");
}

/// While nothing can be written, frames wait and are released in order; beyond the limit the oldest
/// is dropped, and its owner is told.
#[test]
fn frames_wait_for_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let opened = open(folder.path());
    let (log, told) = (&opened.log, Arc::new(Mutex::new(Vec::new())));
    let append = |number: u64| {
        let told = told.clone();
        let line = event("a", number, number, b"x");
        log.append(&[line], move |is_written| told.lock().unwrap().push((number, is_written)));
    };
    append(1);
    log.inject(Some(io::ErrorKind::StorageFull));
    (2..=6).for_each(append);
    assert_eq!(*told.lock().unwrap(), [(1, true), (2, false)]);
    let status = log.status();
    assert!(matches!(status.state, LogState::Failed(_)), "{status:?}");
    assert_eq!((status.held, status.dropped), (4, 1));
    log.maintain(1);
    assert_eq!(log.status().held, 4);
    log.inject(None);
    // Behind the others, although it could be written at once.
    append(7);
    log.maintain(1);
    let expected = [(1, true), (2, false), (3, false), (4, true), (5, true), (6, true), (7, true)];
    assert_eq!(*told.lock().unwrap(), expected);
    assert_eq!(log.status().state, LogState::Ok);
    drop(opened);
    assert_eq!(numbers(&open(folder.path()).log, "a", 1, 9), [1, 4, 5, 6, 7]);
}

/// After a failed sync the kernel may have dropped what was written (the fsync error of PostgreSQL,
/// 2018): the rows are written again, to another file.
#[test]
fn a_file_that_could_not_be_synced_is_not_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let opened = open(folder.path());
    let log = &opened.log;
    log.append(&[Line::Row { key: key(1), body: b"row" }], |_| ());
    let first = newest(folder.path());
    log.inject(Some(io::ErrorKind::Other));
    log.maintain(1);
    assert_eq!(log.status().state, LogState::Failed(WriteError::Io));
    assert_eq!(log.trouble(), Some(WriteError::Io));
    let told = Arc::new(Mutex::new(None));
    let tell = told.clone();
    log.append(&[event("a", 1, 1, b"x")], move |is_written| {
        *tell.lock().unwrap() = Some(is_written);
    });
    assert_eq!(*told.lock().unwrap(), None, "it waits for another file");
    log.inject(None);
    log.maintain(1);
    assert_eq!((log.status().state, log.trouble()), (LogState::Ok, None));
    assert_eq!(*told.lock().unwrap(), Some(true));
    drop(opened);
    assert!(!first.exists(), "nothing in it is needed");
    let opened = open(folder.path());
    assert_eq!(opened.rows.iter().map(|it| &*it.body).collect::<Vec<_>>(), [b"row"]);
    assert_eq!(numbers(&opened.log, "a", 1, 9), [1]);
}

/// A reader may have seen events that a loss of power took, so the ids of others must differ.
#[test]
fn another_boot_without_a_planned_end_begins_an_epoch() {
    let check = |is_closed: bool, boot: u128, expected: u64| {
        let folder = tempfile::tempdir().unwrap();
        let log = StateLog::open(settings(folder.path()), 7, 1).unwrap().log;
        log.append(&[event("a", 1, 1, b"x")], |_| ());
        match is_closed {
            true => log.close().unwrap(),
            false => drop(log),
        }
        let opened = StateLog::open(settings(folder.path()), 8, boot).unwrap();
        assert_eq!((opened.was_closed, opened.is_other_boot), (is_closed, boot != 1));
        assert_eq!(opened.log.epoch(), expected);
        assert_eq!(opened.log.last_number("a"), 1);
    };
    check(true, 1, 7);
    check(true, 2, 7);
    check(false, 1, 7);
    check(false, 2, 8);
}

#[test]
fn a_reader_finds_the_events_since_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path()).log;
    for number in 1..=500 {
        log.append(&[event("a", number, number * SECOND, b"x")], |_| ());
    }
    for since in [0, 1, 100, 250, 499, 500] {
        let from = log.number_before("a", since * SECOND);
        assert!(from <= since.max(1) && since < from + 130, "{since}: {from}");
    }
    assert_eq!(log.number_before("b", 0), 1);
    assert_eq!(frame::decode(&[0; 64]), None);
}

/// What is on disks of this version: a change of any line needs another version of the header.
#[test]
fn each_line_has_the_bytes_that_older_logs_have() {
    let event = EventLine {
        account: "MA1",
        number: 300,
        at: 1_764_000_000_000_000,
        keys: [Some(key(7)), None, Some(RowKey { kind: 5, id: u128::MAX }), None],
        body: b"body",
    };
    let header = frame::Header { version: 1, epoch: 1_764_000_000_123, boot: 1 << 100 };
    let mut found = String::new();
    for line in [
        Line::Header(header),
        Line::Event(event),
        Line::Copied(event),
        Line::Row { key: key(1), body: b"row" },
        Line::Gone(key(2)),
        Line::LastNumber { account: "MA1", number: 128 },
        Line::Closed,
    ] {
        let (lines, mut bytes) = ([line], Vec::new());
        frame::encode(&lines, &mut bytes);
        assert_eq!(frame::decode(&bytes), Some((lines.to_vec(), bytes.len())));
        found.extend(bytes.iter().map(|it| format!("{it:02x}")));
        found.push('\n');
    }
    assert_eq!(found, LINES);
}

/// Length, checksum and lines of each frame.
const LINES: &str = "\
18000000246b56ec010001fbd0dfb4ab33808080808080808080808080808004
2f000000dceb95230101034d4131ac028080898b948b9103010107000105ffffffffffffffffffffffffffffffffffff030004626f6479
2f0000006947cfa30102034d4131ac028080898b948b9103010107000105ffffffffffffffffffffffffffffffffffff030004626f6479
08000000a0d0631f0103010103726f77
04000000474ec8a901040102
08000000dc69398f0105034d41318001
02000000dc94720c0106
";

/// Rows that may be very many are not read at the opening.
#[test]
fn keys_of_a_later_kind_are_read_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let later = |id| RowKey { kind: RowKey::LATER, id };
    {
        let log = open(folder.path()).log;
        for id in [3, 1, 2] {
            log.append(&[Line::Row { key: later(id), body: &[id as u8] }], |_| ());
        }
        log.append(&[Line::Row { key: key(9), body: &[9] }, Line::Gone(later(2))], |_| ());
    }
    let opened = open(folder.path());
    assert_eq!(opened.rows.iter().map(|it| it.key).collect::<Vec<_>>(), [key(9)]);
    let log = opened.log;
    assert_eq!(log.keys(RowKey::LATER), [later(1), later(3)]);
    assert!(log.has(later(1)) && !log.has(later(2)));
    assert_eq!(log.row(later(3)).unwrap().unwrap().body, [3]);
    assert_eq!(log.row(later(2)).unwrap(), None);
}

#[test]
fn a_copy_has_what_was_written_and_goes_on_in_another_epoch() {
    let (folder, copied) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let log = open(folder.path()).log;
    (1..=200).for_each(|n| log.append(&[event("a", n, n * SECOND, &[0; 50])], |_| ()));
    log.append(&[Line::Row { key: key(1), body: b"one" }], |_| ());
    let snapshot = LogSnapshot::take(folder.path()).unwrap();
    // What follows is not in the copy, even if the segments are removed.
    log.append(&[event("a", 201, 201 * SECOND, &[])], |_| ());
    log.maintain(1_000 * SECOND);
    for part in snapshot.parts() {
        let (number, frames) = part.unwrap();
        restore_segment(copied.path(), number, &frames).unwrap();
    }
    assert!(has_log(copied.path()).unwrap());

    let found = LogInspection::of(copied.path()).unwrap();
    let AccountInspection { account, count, oldest } = &found.accounts[0];
    assert_eq!((&**account, *count, *oldest), ("a", 200, SECOND));
    assert_eq!((found.epoch, found.newest, found.rows[&1]), (Some(7), 200 * SECOND, 1));
    // The clock may have been put back.
    open(copied.path()).log.begin_epoch(3).unwrap();
    let opened = open(copied.path());
    assert_eq!((opened.log.epoch(), opened.log.last_number("a")), (8, 200));
    assert_eq!(opened.rows[0].body, b"one");
    assert_eq!(numbers(&opened.log, "a", 1, 500), (1..=200).collect::<Vec<_>>());
}
