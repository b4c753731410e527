//! Kill of a process that appends to a state log: every acknowledged frame is there. Three kills;
//! `KILLS=100 cargo test --release --test it state_log` makes as many as one likes.

use std::{
    env,
    io::{BufRead, BufReader, Write as _, stdout},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    thread,
};

use conflow::state_log::{EventLine, Line, RowKey, StateLog, StateLogSettings};

/// Environment variable with the folder of the log, set in the process that is killed.
const VICTIM: &str = "STATE_LOG_VICTIM";
/// Threads that append, each to an account of its own.
const ACCOUNTS: [&str; 2] = ["MA1", "MA2"];
/// Frames that are acknowledged before the kill, at least: a few segments.
const FRAMES: u64 = 3_000;

fn settings(folder: &Path) -> StateLogSettings {
    StateLogSettings {
        folder: folder.to_owned(),
        segment_bytes: 64 << 10,
        bytes_max: 1 << 30,
        keep_micros: u64::MAX,
        held_max: 4,
    }
}

/// Not a test, but the process that the next test kills.
#[test]
fn victim_of_a_kill() {
    let Ok(folder) = env::var(VICTIM) else { return };
    let log = Arc::new(StateLog::open(settings(Path::new(&folder)), 7, 1).unwrap().log);
    log.start().unwrap();
    let append = |account: &'static str| {
        let log = log.clone();
        move || {
            for number in log.last_number(account) + 1.. {
                let key = RowKey { kind: 1, id: u128::from(number % 50) };
                let body = vec![b'x'; 120 + (number % 100) as usize];
                let keys = [Some(key), None, None, None];
                let event = EventLine { account, number, at: number, keys, body: &body };
                log.append(&[Line::Event(event)], move |is_written| {
                    assert!(is_written);
                    writeln!(stdout(), "acknowledged {account} {number}").unwrap();
                });
            }
        }
    };
    ACCOUNTS.map(|it| thread::spawn(append(it))).into_iter().for_each(|it| it.join().unwrap());
}

#[test]
fn kills_while_frames_are_appended_lose_none_that_was_acknowledged() {
    let kills = env::var("KILLS").map_or(3, |it| it.parse::<u64>().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let mut frames = 0;
    for kill in 1..=kills {
        let mut victim = Command::new(env::current_exe().unwrap())
            .args(["--exact", "state_log::kill::victim_of_a_kill", "--nocapture"])
            .env(VICTIM, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines().map_while(Result::ok);
        let (mut last, mut count) = ([0_u64; 2], 0);
        let mut note = |line: String| {
            let Some((_, text)) = line.split_once("acknowledged ") else { return };
            let (account, number) = text.split_once(' ').unwrap();
            // The last line may be torn.
            let Ok(number) = number.parse() else { return };
            let at = ACCOUNTS.iter().position(|it| *it == account).unwrap();
            last[at] = last[at].max(number);
            count += 1;
        };
        // Each kill strikes elsewhere.
        lines.by_ref().take(usize::try_from(FRAMES + kill * 37).unwrap()).for_each(&mut note);
        victim.kill().unwrap();
        victim.wait().unwrap();
        lines.for_each(&mut note);
        frames += count;

        let opened = StateLog::open(settings(folder.path()), 7, 1).unwrap();
        for (account, last) in ACCOUNTS.iter().zip(last) {
            let found = opened.log.last_number(account);
            assert!(last <= found, "kill {kill}: {last} of {account} was acknowledged: {found}");
            let (mut next, all) = (1, found);
            while next <= all {
                let page = opened.log.events(account, next, 500).unwrap().events;
                assert!(page.iter().map(|it| it.number).eq((next..).take(page.len())));
                assert!(!page.is_empty(), "event {next} of {account} is missing");
                next += page.len() as u64;
            }
        }
    }
    let line = format!("state log: {kills} kills, {frames} frames acknowledged, 0 lost\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}
