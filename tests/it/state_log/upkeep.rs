//! Upkeep of the state log: full disks, clocks that leap, many accounts, files that do not go.

use std::{
    fs,
    ops::Range,
    path::Path,
    sync::{Arc, Mutex},
};

use conflow::state_log::{HELD_BYTES_MAX, LogState, StateLogSettings, frame::FRAME_MAX};

use super::{Line, SECOND, StateLog, event, io, key, newest, numbers, open, settings};

fn segments(folder: &Path) -> usize {
    let files = fs::read_dir(folder).unwrap().map(|it| it.unwrap().path());
    files.filter(|it| it.extension().is_some_and(|it| it == "log")).count()
}

fn rows(log: &StateLog, ids: Range<u128>) {
    for id in ids {
        log.append(&[Line::Row { key: key(id), body: &[1; 1_000] }], |_| ());
    }
}

fn events(log: &StateLog, numbers: Range<u64>, at: u64) {
    for number in numbers {
        log.append(&[event("a", number, at, &[b'.'; 100])], |_| ());
    }
}

fn ids(folder: &Path) -> Vec<u128> {
    let mut ids: Vec<_> = open(folder).rows.iter().map(|it| it.key.id).collect();
    ids.sort_unstable();
    ids
}

/// A log that hardly grows keeps no event for longer than twice the time.
#[test]
fn old_events_go_from_a_log_that_does_not_grow() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path()).log;
    log.append(&[Line::Row { key: key(1), body: b"row" }], |_| ());
    events(&log, 1..4, 10 * SECOND);
    (10..=110).for_each(|it| log.maintain(it * SECOND));
    assert_eq!(numbers(&log, "a", 1, 9), [1, 2, 3], "they are 100 seconds old");
    events(&log, 4..5, 120 * SECOND);
    (111..=221).for_each(|it| log.maintain(it * SECOND));
    assert_eq!(numbers(&log, "a", 1, 9), [0; 0]);
    assert_eq!(log.last_number("a"), 4);
    (222..400).for_each(|it| log.maintain(it * SECOND));
    assert_eq!(segments(folder.path()), 1);
    drop(log);
    assert_eq!(ids(folder.path()), [1]);
}

/// What was written while the clock was ahead would be kept until then, and all that follows it.
#[test]
fn events_go_in_time_although_the_clock_was_ahead() {
    let (folder, years) = (tempfile::tempdir().unwrap(), 300_000_000 * SECOND);
    let log = open(folder.path()).log;
    log.maintain(years);
    events(&log, 1..100, years);
    rows(&log, 1..2);
    // The clock is set right.
    log.maintain(10 * SECOND);
    events(&log, 100..200, 10 * SECOND);
    log.maintain(100 * SECOND);
    assert_eq!(numbers(&log, "a", 1, 1), [1], "they are 90 seconds old");
    log.maintain(120 * SECOND);
    let first = log.events("a", 1, 1).unwrap().first;
    assert!(100 < first, "{first}");
    drop(log);
    // And there were beats: the next start knows when the log was open.
    let opened = StateLog::open(settings(folder.path()), 7, 1).unwrap();
    assert_eq!(opened.rows.len(), 1);
    assert!(opened.last_sign < 200 * SECOND, "{}", opened.last_sign);
}

/// A full disk keeps half of the newest segment for calls that end: copies stop before. What has no
/// rows is removed all the same.
#[test]
fn copies_leave_space_on_a_full_disk() {
    let folder = tempfile::tempdir().unwrap();
    let settings = StateLogSettings { bytes_max: 8_000, ..settings(folder.path()) };
    let log = StateLog::open(settings, 7, 1).unwrap().log;
    events(&log, 1..40, SECOND);
    rows(&log, 1..40);
    // The next segment cannot be made, nor an index file.
    let blocked = ["next.draft", "0000000001.draft", "0000000002.draft"];
    blocked.iter().for_each(|it| fs::create_dir(folder.path().join(it)).unwrap());
    let before = segments(folder.path());
    // A beat may begin a segment.
    log.maintain(SECOND);
    let head = newest(folder.path());
    (0..50).for_each(|_| log.maintain(SECOND));
    assert!(matches!(log.status().state, LogState::Low(_)), "{:?}", log.status());
    assert_eq!(newest(folder.path()), head, "copies have not begun another segment");
    assert!(fs::metadata(&head).unwrap().len() < 3_500, "nor filled it");
    assert!(segments(folder.path()) < before && numbers(&log, "a", 1, 1).is_empty());
    assert_eq!(log.status().rows, 40, "with the beat");
    // There is space again.
    blocked.iter().for_each(|it| fs::remove_dir(folder.path().join(it)).unwrap());
    (0..3).for_each(|_| log.maintain(SECOND));
    assert_eq!(log.status().state, LogState::Ok);
    drop(log);
    assert_eq!(ids(folder.path()), (1..40).collect::<Vec<_>>());
}

/// Each try would fill the space that there is with copies of its own.
#[test]
fn a_log_that_is_written_again_goes_on_in_the_segment_that_it_has_begun() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path()).log;
    events(&log, 1..50, SECOND);
    rows(&log, 1..20);
    let before = segments(folder.path());
    log.inject(Some(io::ErrorKind::Other));
    log.maintain(1);
    log.inject(None);
    for _ in 0..10 {
        log.tear_after(2_200);
        log.maintain(1);
    }
    log.tear_after(usize::MAX);
    log.maintain(1);
    assert_eq!(log.status().state, LogState::Ok);
    assert!(segments(folder.path()) <= 2 * before + 1, "{} {before}", segments(folder.path()));
    assert_eq!(numbers(&log, "a", 1, 99).len(), 49, "events of older segments are there");
    drop(log);
    assert_eq!(ids(folder.path()), (1..20).collect::<Vec<_>>());
}

/// The end of a key is needed for as long as an older segment has the key.
#[test]
fn what_has_ended_stays_so_when_its_segment_could_not_be_synced() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path()).log;
    let first = newest(folder.path());
    rows(&log, 1..7);
    assert_ne!(newest(folder.path()), first);
    log.append(&[Line::Gone(key(1))], |_| ());
    log.inject(Some(io::ErrorKind::Other));
    log.maintain(1);
    log.inject(None);
    log.maintain(1);
    assert_eq!(log.status().state, LogState::Ok);
    drop(log);
    assert_eq!(ids(folder.path()), [2, 3, 4, 5, 6]);
}

/// If the oldest file stays, so must newer ones, which have the ends of its keys.
#[test]
fn segments_are_removed_oldest_first_although_a_file_stays() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path()).log;
    rows(&log, 1..5);
    (1..5).for_each(|id| log.append(&[Line::Gone(key(id))], |_| ()));
    events(&log, 1..100, SECOND);
    let index = folder.path().join("0000000001.index");
    log.maintain(SECOND);
    fs::remove_file(&index).unwrap();
    // It cannot be removed as a file is.
    fs::create_dir(&index).unwrap();
    (0..10).for_each(|_| log.maintain(1_000 * SECOND));
    drop(log);
    fs::remove_dir(&index).unwrap();
    assert_eq!(ids(folder.path()), [0; 0]);
}

/// One account that has many events while the disk is full costs others none.
#[test]
fn an_account_takes_the_place_of_no_other_while_frames_wait() {
    let folder = tempfile::tempdir().unwrap();
    let settings = StateLogSettings { held_max: 10, bytes_max: 1 << 30, ..settings(folder.path()) };
    let log = StateLog::open(settings, 7, 1).unwrap().log;
    let dropped = Arc::new(Mutex::new(Vec::new()));
    let append = |account: &'static str, number, body: &[u8]| {
        let dropped = dropped.clone();
        log.append(&[event(account, number, 1, body)], move |is_written| {
            if !is_written {
                dropped.lock().unwrap().push((account, number));
            }
        });
    };
    let take = || std::mem::take(&mut *dropped.lock().unwrap());
    log.inject(Some(io::ErrorKind::StorageFull));
    (1..4).for_each(|it| append("quiet", it, b"x"));
    log.append(&[Line::Row { key: key(1), body: b"row" }], |is_written| assert!(is_written));
    (1..30).for_each(|it| append("loud", it, b"x"));
    assert_eq!(take(), (1..24).map(|it| ("loud", it)).collect::<Vec<_>>());
    assert_eq!((log.status().held, log.status().dropped), (10, 23));
    // Nor with few that are large.
    (30..32).for_each(|it| append("large", it, &vec![0; HELD_BYTES_MAX / 2]));
    assert_eq!(take(), [("loud", 24), ("loud", 25), ("large", 30)]);
    log.inject(None);
    log.maintain(1);
    assert_eq!(take(), []);
    assert_eq!(numbers(&log, "quiet", 1, 9), [1, 2, 3]);
    assert_eq!(numbers(&log, "loud", 1, 9), [26, 27, 28, 29]);
}

/// It could never be written, and all later ones would wait for it.
#[test]
fn a_frame_that_is_too_long_keeps_no_other_from_being_written() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path()).log;
    let body = vec![0; FRAME_MAX];
    log.append(&[event("a", 1, 1, &body)], |is_written| assert!(!is_written));
    log.append(&[event("a", 2, 1, b"x")], |is_written| assert!(is_written));
    assert_eq!(log.status().state, LogState::Ok);
}
