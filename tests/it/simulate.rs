//! `conflow simulate`: flows run with events files, each with its expected outcome in the `.golden`
//! file beside it.
//!
//! `NAME.toml`, or `NAME.CASE.toml`, runs `NAME.xml` beside it, or else from the flows folder.
//! `UPDATE=1 cargo test --test it simulate` rewrites the golden files.

use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use conflow::simulate::{Explored, Schedule, Script, SimulatedFlows, explore, run};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/flows/simulated");
const FLOWS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/flows");

pub(crate) fn script(events: &Path) -> Arc<Script> {
    let beside = |name: &str| {
        fs::read_to_string(events.with_file_name(name)).map_err(|error| error.to_string())
    };
    let text = fs::read_to_string(events).unwrap();
    Arc::new(Script::parse(&text, &beside).unwrap_or_else(|it| panic!("{events:?}: {it}")))
}

/// The flow of an events file, and the flows of its folder.
fn flow(events: &Path) -> (String, Arc<SimulatedFlows>) {
    let name = events.file_name().unwrap().to_str().unwrap().split('.').next().unwrap();
    let beside = Path::new(FOLDER).join(format!("{name}.xml")).exists();
    let folder = if beside { FOLDER } else { FLOWS };
    (name.to_owned(), Arc::new(SimulatedFlows::new(Path::new(folder))))
}

fn events() -> Vec<PathBuf> {
    let paths = fs::read_dir(FOLDER).unwrap().map(|entry| entry.unwrap().path());
    let mut events: Vec<_> =
        paths.filter(|it| it.extension().is_some_and(|it| it == "toml")).collect();
    events.sort();
    events
}

fn explored(name: &str, runs: u64) -> Explored {
    let events = Path::new(FOLDER).join(name);
    let (flow, flows) = flow(&events);
    explore(&script(&events), &flows, &flow, runs).unwrap()
}

#[test]
fn every_flow_goes_as_its_golden_file_says() {
    let events = events();
    assert!(4 < events.len(), "{events:?}");
    for events in events {
        let (flow, flows) = flow(&events);
        let report = run(&script(&events), &flows, &flow, Schedule::Orderly).unwrap().to_string();
        let golden = events.with_extension("golden");
        if env::var_os("UPDATE").is_some() {
            fs::write(golden, report).unwrap();
            continue;
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        assert_eq!(report, expected, "{}", golden.display());
    }
}

#[test]
fn a_seed_always_gives_the_same_outcome() {
    for events in events() {
        let (flow, flows) = flow(&events);
        let script = script(&events);
        for seed in 0..5 {
            let report =
                || run(&script, &flows, &flow, Schedule::Seeded(seed)).unwrap().to_string();
            assert_eq!(report(), report(), "{events:?} {seed}");
        }
    }
}

#[test]
fn kick_all_has_one_ending_for_each_caller_in_every_schedule() {
    let explored = explored("kick-all.toml", 400);
    assert!(explored.is_settled() && explored.callers.len() == 4, "{explored}");
    let ending = &explored.callers[1].found[0].ending;
    assert_eq!(ending, "Conference 4:3 → Speak 5:3 → End Of XML Instructions (Vobiz)");
}

#[test]
fn a_race_is_found_and_its_seed_replays_it() {
    let explored = explored("race.toml", 400);
    assert!(!explored.is_settled(), "{explored}");
    let (ben, host) = (&explored.callers[0], &explored.callers[1]);
    assert_eq!((ben.found.len(), host.found.len()), (2, 1), "{explored}");
    let endings: Vec<_> = ben.found.iter().map(|it| &*it.ending).collect();
    assert!(endings.contains(&"Conference 4:3 → Speak 7:3 → End Of XML Instructions (Vobiz)"));
    let kicked = "Conference 4:3 → Speak 5:3 → Hangup 6:3 → Normal Hangup (Answer XML)";
    assert!(endings.contains(&kicked));

    let events = Path::new(FOLDER).join("race.toml");
    let (flow, flows) = flow(&events);
    for found in &ben.found {
        let report = run(&script(&events), &flows, &flow, Schedule::Seeded(found.seed)).unwrap();
        assert_eq!(report.ending(0), found.ending);
    }
}

#[test]
fn an_error_in_an_events_file_names_the_position_and_what_is_expected() {
    let check = |text: &str, expected: &str| {
        let nothing = |name: &str| Err(format!("{name} is not there"));
        let error = Script::parse(text, &nothing).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    };
    let anna = "events = [\n { at = 0, call = 'anna' },\n";
    let with = |row: &str| format!("{anna}{row},\n]");
    check("events = [\n { at = 0 call = 'anna' } ]", "line 2");
    check("event = []", "unknown field `event`, expected one of `dialect`, `events`");
    check(&with("{ at = 1 }"), "line 3: an event has \"at\" and one of: call, press");
    check(&with("{ kick = 'anna' }"), "line 3: at: say when");
    check(&with("{ at = '5 days', kick = 'anna' }"), "line 3: at: write milliseconds (1500) or");
    check(&with("{ at = '25h', kick = 'anna' }"), "up to 24h");
    check(
        &with("{ at = 1, kick = 'ben' }"),
        "kick: \"ben\" has not called in an earlier line; there are: anna",
    );
    check(&with("{ at = 1, kick = 7 }"), "kick: name a caller, [several], or \"all\"");
    check(
        &with("{ at = 1, kick = 'all', keys = '1' }"),
        "keys: kick has no such field; there are: at, kick, room",
    );
    check(&with("{ at = 1, kick = 'all', then = { id = 'a' } }"), "id: then has no such field");
    check(&with("{ at = 1, kick = 'all', then = 'home' }"), "then: write \"hangup\", or");
    check(&with("{ at = 1, kick = 'all', hold = 'anna' }"), "two events");
    check(&with("{ at = 1, press = 'anna' }"), "keys: missing");
    check(&with("{ at = 1, press = 'anna', keys = 'x' }"), "keys: 'x' is not a key");
    check(&with("{ at = 1, talk = 'anna' }"), "for: say how long");
    check(&with("{ at = 1, call = 'anna' }"), "call: \"anna\" is already the name");
    check(&with("{ at = 1, play = 'all', url = 'x' }"), "url: \"x\" is not a sound");
    check(&with("{ at = 1, dial = 'anna', room = 'a' }"), "dial: \"anna\" is already the name");
    check(&with("{ at = 1, dial = 'ben' }"), "room: say into which conference");
    check(&with("{ at = 1, dial = [], room = 'a' }"), "dial: give a new name, or [several], 20");
    let two = "{ at = 1, dial = ['ben', 'cleo'], room = 'a', to = 'sim:x' }";
    check(&with(two), "to: give one for each who is dialled");
    let keyed =
        |key: &str| format!("{{ at = 1, dial = 'ben', room = 'a', confirm_key = '{key}' }}");
    check(&with(&keyed("x")), "confirm_key: give one of 0-9 * #");
    check(&with("{ at = 1, put_on_hold = 'anna', url = 'x' }"), "neither a sound nor a document");
    check(&with("{ at = 1, record = 'start' }"), "record: say whose: caller = \"NAME\" or room");
    check(&with("{ at = 1, record = 'go', room = 'a' }"), "record: write \"start\", \"stop\"");
    check(&with("{ at = 1, record = 'stop', caller = 'ben' }"), "caller: \"ben\" has not called");
    let limited = "{ at = 1, record = 'stop', caller = 'anna', time_limit = 1 }";
    check(&with(limited), "record: \"stop\" has no time_limit and no callback_url");
    check("documents = [ { url = 'https://a' } ]", "line 1: a document has one of: xml");
    check("documents = [ { url = 'https://a', file = 'b.xml' } ]", "b.xml is not there");
    check("documents = [ { url = 'https://a', xml = '', fails = 'x' } ]", "is not a text");
}
