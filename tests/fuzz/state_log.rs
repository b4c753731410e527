//! State log properties: whatever the files of a log contain, it opens, reads only whole frames, and
//! goes on. Plain functions, used by the mutation test and by a fuzzer.

use std::{fs, path::Path};

use conflow::state_log::{EventLine, Line, Opened, RowKey, StateLog, StateLogSettings, frame};

/// The accounts of the corpus.
pub(crate) const ACCOUNTS: [&str; 2] = ["MA1", "MA2"];

/// The settings of a log in a folder, whose segments are short.
pub(crate) fn settings(folder: &Path) -> StateLogSettings {
    StateLogSettings {
        folder: folder.to_owned(),
        segment_bytes: 700,
        bytes_max: 1 << 20,
        keep_micros: u64::MAX,
        held_max: 4,
    }
}

/// Reads a log of two segments and the index file of the first. Each file but the last is preceded by
/// its length, in two bytes. Returns the bodies of all rows and events that were read.
///
/// # Panics
///
/// If a property does not hold.
pub(crate) fn files(folder: &Path, bytes: &[u8]) -> Vec<Vec<u8>> {
    let (index, rest) = split(bytes);
    let (first, second) = split(rest);
    frames(first);
    frames(second);
    drop(fs::remove_dir_all(folder));
    fs::create_dir(folder).expect("a folder");
    fs::write(folder.join("0000000001.index"), index).expect("a file");
    fs::write(folder.join("0000000001.log"), first).expect("a file");
    fs::write(folder.join("0000000002.log"), second).expect("a file");

    let opened = StateLog::open(settings(folder), 7, 1).expect("no damage stops the start");
    let found = bodies(&opened);
    let numbers = ACCOUNTS.map(|it| opened.log.last_number(it));
    // It is written and read as ever, without anything that was damaged.
    let key = RowKey { kind: 9, id: 9 };
    let event = |account, number: u64| {
        Line::Event(EventLine {
            account,
            number,
            at: 1,
            keys: [Some(key), None, None, None],
            body: b"new",
        })
    };
    let next = numbers.map(|it| it.saturating_add(1));
    for (account, number) in ACCOUNTS.iter().zip(next) {
        opened.log.append(&[event(account, number)], |is_written| assert!(is_written));
    }
    opened.log.maintain(1);
    drop(opened);
    let again = StateLog::open(settings(folder), 7, 1).expect("it was written by us");
    assert!(again.rows.iter().any(|it| it.key == key && it.body == b"new"), "a row was lost");
    assert_eq!(ACCOUNTS.map(|it| again.log.last_number(it)), next, "an event was lost");
    found
}

/// Decodes frame after frame; each is what it would be written as.
fn frames(mut bytes: &[u8]) {
    while let Some((lines, length)) = frame::decode(bytes) {
        let mut encoded = Vec::new();
        frame::encode(&lines, &mut encoded);
        let (again, _) = frame::decode(&encoded).expect("it has just been written");
        assert_eq!(again, lines);
        bytes = &bytes[length..];
    }
}

/// The bodies of all rows and events of a log.
pub(crate) fn bodies(opened: &Opened) -> Vec<Vec<u8>> {
    let rows = opened.rows.iter().map(|it| it.body.clone());
    let read = |account| opened.log.events(account, 1, 1_000).map(|it| it.events);
    // An event that cannot be read is an error for its reader only.
    let events = ACCOUNTS.iter().filter_map(|it| read(it).ok()).flatten().map(|it| it.body);
    rows.chain(events).collect()
}

/// The bytes of a length that precedes them, and the rest.
fn split(bytes: &[u8]) -> (&[u8], &[u8]) {
    let Some((length, rest)) = bytes.split_first_chunk() else { return (&[], &[]) };
    rest.split_at(usize::from(u16::from_be_bytes(*length)).min(rest.len()))
}
