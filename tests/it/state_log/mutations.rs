//! State log mutations: thousands of mutated segments and index files. Nothing panics, and nothing is
//! read that was not written. `SEED=7 cargo test mutations` replays one run.

use std::{collections::BTreeSet, fs};

use conflow::state_log::{EventLine, Line, RowKey, StateLog};

use crate::{fuzz_state_log, mutate};

const MUTATIONS: usize = 4_000;

/// Lengths, and bytes that frames begin with.
const PIECES: &[&str] =
    &["\0", "\0\0\0\0", "\u{1}", "\u{7f}", "\0\0\0\0\0\0\0\0\u{1}\0", "MA1", "MA2"];

#[test]
fn mutated_segments_and_index_files_are_read_up_to_the_damage() {
    let home = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let (mut seeds, mut written) = (Vec::new(), BTreeSet::new());
    for seed in 0..6 {
        let (files, bodies) = write(seed);
        seeds.push(files);
        written.extend(bodies);
    }
    let (mut whole, mut damaged) = (0, 0);
    mutate::run(&seeds, PIECES, MUTATIONS, |bytes| {
        let found = fuzz_state_log::files(&home.path().join("state"), bytes);
        found.iter().for_each(|it| assert!(written.contains(it), "{it:?} was never written"));
        let is_whole = seeds.contains(&bytes.to_vec());
        *if is_whole { &mut whole } else { &mut damaged } += usize::from(10 < found.len());
    });
    // If nothing is read of damaged files, no property is tested.
    assert!(seeds.len() <= whole && MUTATIONS / 10 < damaged, "{whole} whole, {damaged} damaged");
}

/// The files of a log that has a full segment, in the format of the property; and what is in them.
fn write(seed: u64) -> (Vec<u8>, Vec<Vec<u8>>) {
    let folder = tempfile::tempdir().unwrap();
    let settings = fuzz_state_log::settings(folder.path());
    let mut rng = fastrand::Rng::with_seed(seed);
    let opened = StateLog::open(settings.clone(), 7, 1).unwrap();
    let path = |name: &str| folder.path().join(name);
    let (mut numbers, mut written) = ([0; 2], vec![b"new".to_vec()]);
    while !path("0000000003.log").exists() {
        let account = rng.usize(0..2);
        numbers[account] += 1;
        let body =
            format!("{seed} {account} {} {}", numbers[account], "x".repeat(rng.usize(0..60)));
        let key = RowKey { kind: 1, id: rng.u128(0..9) };
        let event = EventLine {
            account: fuzz_state_log::ACCOUNTS[account],
            number: numbers[account],
            at: 1,
            keys: [rng.bool().then_some(key), None, None, None],
            body: body.as_bytes(),
        };
        let row = format!("row {seed} {}", numbers[account]);
        let lines = match rng.u8(0..4) {
            0 => vec![Line::Event(event), Line::Gone(key)],
            1 => vec![Line::Event(event), Line::Row { key, body: row.as_bytes() }],
            _ => vec![Line::Event(event)],
        };
        opened.log.append(&lines, |_| ());
        written.extend([body.clone().into_bytes(), row.clone().into_bytes()]);
    }
    opened.log.maintain(0);
    let mut files = Vec::new();
    for name in ["0000000001.index", "0000000001.log"] {
        let bytes = fs::read(path(name)).unwrap();
        files.extend(u16::try_from(bytes.len()).unwrap().to_be_bytes());
        files.extend(bytes);
    }
    files.extend(fs::read(path("0000000002.log")).unwrap());
    (files, written)
}
