//! Repeats of requests with an `Idempotency-Key` over crashes: after each frame of the state log, and
//! at random moments.

use std::{
    collections::BTreeMap, env, fs, net::TcpListener, path::Path, process::Command, thread,
    time::Duration,
};

use conflow::{
    call::CallEvent,
    conference::ConferenceEvent,
    events::{AccountEvent, row},
    flow::Cause,
    media::HangupSource,
    state_log::{Line, frame},
};
use serde_json::Value;
use tempfile::tempdir;

use crate::app::{ID, Program, home, restarts::receive_one, token};

/// The kinds of rows that hold answers, requests that are answered later, and their answers.
const ANSWERED: u8 = 6;
const JOB: u8 = 9;
const JOB_ANSWERED: u8 = 10;
/// And bans.
const BAN: u8 = 13;
/// More than fit into one frame.
const BIG: usize = 70;

fn path(rest: &str) -> String {
    format!("/api/v1/Account/{ID}/{rest}")
}

fn flow(home: &Path, name: &str, room: &str) {
    let text = format!(
        "<Response><Conference stayAlone=\"true\">{room}</Conference><Wait length=\"60\"/></Response>"
    );
    fs::write(home.join(format!("flows/{name}.xml")), text).unwrap();
}

/// A phone dials; the id of its call.
fn dial(program: &mut Program, token: &str, to: &str) -> String {
    let phones = format!("/sim/v1/Account/{ID}/Phone/");
    let (status, body) = program.ask(token, "POST", &phones, &format!("{{\"to\":\"{to}\"}}"));
    assert_eq!(status, 201, "{body}");
    program.wait_for("entered");
    let phone: Value = serde_json::from_str(&body).unwrap();
    phone["call_uuid"].as_str().unwrap().to_owned()
}

fn keyed(program: &Program, token: &str, key: &str, ask: &Asked) -> (u16, String) {
    let key = format!("Idempotency-Key: {key}\r\n");
    program.ask_with(token, ask.method, &ask.path, &key, &ask.body)
}

#[derive(Clone)]
struct Asked {
    method: &'static str,
    path: String,
    body: String,
}

fn ask(method: &'static str, rest: &str, body: &str) -> Asked {
    Asked { method, path: path(rest), body: body.to_owned() }
}

fn call_to(to: &str) -> Asked {
    let body = format!(r#"{{"from":"1","to":"{to}","answer_url":"flow:later"}}"#);
    ask("POST", "Call/", &body)
}

fn state_log(home: &Path) -> Vec<u8> {
    fs::read(home.join("data/state/0000000001.log")).unwrap()
}

/// The ends of the whole frames, and their lines.
fn frames(mut bytes: &[u8]) -> Vec<(usize, Vec<Line<'_>>)> {
    let (mut frames, mut end) = (Vec::new(), 0);
    while let Some((lines, length)) = frame::decode(bytes) {
        (bytes, end) = (&bytes[length..], end + length);
        frames.push((end, lines));
    }
    frames
}

/// What a state log says that has happened.
#[derive(Default)]
struct Facts {
    /// Calls begun, by the called name.
    begun: BTreeMap<String, usize>,
    /// Exits of members, with their room.
    exits: Vec<(u64, String, Cause)>,
    ends: BTreeMap<String, HangupSource>,
}

fn facts(bytes: &[u8]) -> Facts {
    let mut facts = Facts::default();
    let account = ID.parse().unwrap();
    for line in frames(bytes).into_iter().flat_map(|(_, lines)| lines) {
        let Line::Event(event) = line else { continue };
        match row::read(&account, event.body).unwrap() {
            AccountEvent::Call { call, party, event, .. } => match event {
                CallEvent::Begun => *facts.begun.entry(party.to.to_string()).or_default() += 1,
                CallEvent::Ended(ending) => {
                    let before = facts.ends.insert(call.to_string(), ending.source);
                    assert_eq!(before, None, "{call} has ended twice");
                }
                CallEvent::Answered | CallEvent::Rang => (),
            },
            AccountEvent::Dial { .. } | AccountEvent::Recording(_) => (),
            AccountEvent::Conference { room, notice, .. } => {
                if let ConferenceEvent::Exited { who, cause, .. } = notice.event {
                    facts.exits.push((who.member.0, room.key.name.to_string(), cause));
                }
            }
        }
    }
    facts
}

impl Facts {
    fn exits_by(&self, room: &str, cause: Cause) -> usize {
        self.exits.iter().filter(|(_, name, by)| name == room && *by == cause).count()
    }

    fn exit(&self, member: u64) -> Option<Cause> {
        let mut of = self.exits.iter().filter(|(it, ..)| *it == member);
        let exit = of.next().map(|(.., cause)| *cause);
        assert!(of.next().is_none(), "{member} has left twice");
        exit
    }
}

/// The frames with rows of a kind: where the frame begins and ends, and the row's id.
fn rows(bytes: &[u8], kind: u8) -> Vec<(usize, usize, u128)> {
    let (mut found, mut begin) = (Vec::new(), 0);
    for (end, lines) in frames(bytes) {
        let row = |line: &Line<'_>| match line {
            Line::Row { key, .. } if key.kind == kind => Some(key.id),
            Line::Header(_) | Line::Event(_) | Line::Copied(_) | Line::Row { .. } => None,
            Line::Gone(_) | Line::LastNumber { .. } | Line::Closed => None,
        };
        found.extend(lines.iter().filter_map(row).map(|id| (begin, end, id)));
        begin = end;
    }
    found
}

/// The number of events in the frame that ends there.
fn events_of_frame(bytes: &[u8], end: usize) -> usize {
    let frame = frames(bytes).into_iter().find(|(at, _)| *at == end);
    let lines = frame.expect("a frame ends there").1;
    lines.iter().filter(|it| matches!(it, Line::Event(_))).count()
}

/// A crash right before each frame with an answer, and right after it: the repeat gets the answer if
/// the change is in the log, and makes it otherwise.
#[test]
fn a_repeat_after_a_crash_has_the_answer_of_its_change_or_makes_it() {
    let home = home();
    flow(home.path(), "default", "weekly");
    flow(home.path(), "later", "later");
    flow(home.path(), "big", "big");
    let mut program = Program::start(home.path(), "--sip off");
    let token = token(home.path());
    let calls: Vec<_> = (0..6).map(|_| dial(&mut program, &token, "x")).collect();
    (0..BIG).for_each(|_| drop(dial(&mut program, &token, "big")));
    let asks = [
        ask("POST", "Conference/weekly/Member/1/Kick/", "{}"),
        ask("POST", "Conference/weekly/Member/3,2/Kick/", "{\"x\":1}"),
        ask("POST", "Conference/big/Member/all/Kick/", "{\"reason\":\"so\"}"),
        call_to("sim:a<sim:b"),
        ask("DELETE", &format!("Call/{}/", calls[3]), ""),
        ask("DELETE", "Conference/weekly/", ""),
    ];
    let keys = ["a", "b", "c", "d", "e", "f"];
    let all = || keys.iter().zip(&asks);
    let first: Vec<_> = all().map(|(key, ask)| keyed(&program, &token, key, ask)).collect();
    assert!(first.iter().all(|(status, _)| (200..300).contains(status)), "{first:?}");
    program.signal("KILL");
    program.end();
    let whole = state_log(home.path());
    let answers = rows(&whole, ANSWERED);
    assert_eq!(answers.len(), asks.len());
    // One turn, one frame: the change and its answer.
    let events = |end| events_of_frame(&whole, end);
    let told: Vec<_> = answers.iter().map(|(_, end, _)| events(*end)).collect();
    assert_eq!(told[..2], [1, 2]);
    assert!((1..BIG).contains(&told[2]), "{told:?}: a row says how the rest leaves");
    assert_eq!(told[3..], [2, 0, 3], "two calls; a row of the call; two exits and the end");
    let ids: Vec<_> = keys.into_iter().zip(answers.iter().map(|(.., id)| *id)).collect();

    for length in answers.iter().flat_map(|(begin, end, _)| [*begin, *end]) {
        let copy = tempdir().unwrap();
        crash(home.path(), copy.path(), &whole[..length], &ids);
        let program = Program::start(copy.path(), "--sip off");
        let repeats: Vec<_> = all().map(|(key, ask)| keyed(&program, &token, key, ask)).collect();
        let again: Vec<_> = all().map(|(key, ask)| keyed(&program, &token, key, ask)).collect();
        assert_eq!(repeats, again, "at {length}");
        program.signal("KILL");
        program.end();
        let facts = facts(&state_log(copy.path()));
        let had: Vec<_> = answers.iter().map(|(_, end, _)| *end <= length).collect();
        for (n, (had, (repeat, first))) in had.iter().zip(repeats.iter().zip(&first)).enumerate() {
            match (had, n) {
                (true, _) => assert_eq!(repeat, first, "{} at {length}", keys[n]),
                (false, 3) => assert!(repeat.0 == first.0 && repeat.1 != first.1, "{repeat:?}"),
                (false, _) => assert_eq!(repeat.0, 404, "{} at {length}", keys[n]),
            }
        }
        let is_exit = |member, cause| facts.exit(member) == Some(cause);
        assert_eq!(is_exit(1, Cause::Kicked), had[0], "at {length}");
        assert_eq!([2, 3].map(|it| is_exit(it, Cause::Kicked)), [had[1]; 2], "at {length}");
        assert_eq!(facts.exits_by("big", Cause::Kicked), usize::from(had[2]) * BIG, "at {length}");
        assert_eq!(["sim:a", "sim:b"].map(|to| facts.begun.get(to)), [Some(&1); 2], "at {length}");
        assert_eq!(is_exit(4, Cause::HungUpByApi), had[4], "at {length}");
        let ended_by_api = facts.ends[&calls[3]] == HangupSource::ApiRequest;
        assert_eq!(ended_by_api, had[4], "at {length}");
        assert_eq!([5, 6].map(|it| is_exit(it, Cause::HungUpByApi)), [had[5]; 2], "at {length}");
    }
}

/// Copies a folder as a crash leaves it: with this much of its log, and without the answers that the
/// store gets only after the frames that the log has of them.
fn crash(home: &Path, copy: &Path, log: &[u8], ids: &[(&str, u128)]) {
    let mut cp = Command::new("cp");
    let copied = cp.arg("-r").arg(home.join("flows")).arg(home.join("data")).arg(copy).status();
    assert!(copied.unwrap().success());
    fs::write(copy.join("data/state/0000000001.log"), log).unwrap();
    let is_stored = |id: &u128| {
        frames(log)
            .iter()
            .flat_map(|(_, lines)| lines)
            .any(|line| matches!(line, Line::Gone(key) if key.kind == ANSWERED && key.id == *id))
    };
    let store = rusqlite::Connection::open(copy.join("data/conflow.db")).unwrap();
    for (key, _) in ids.iter().filter(|(_, id)| !is_stored(id)) {
        let update = "UPDATE repeats SET body = json_set(body, '$.status', 0, '$.body', '') WHERE \
                      json_extract(body, '$.key') = ?1";
        assert_eq!(store.execute(update, [*key]).unwrap(), 1);
    }
}

/// A crash within a kick that bans: before its frame, after it, and after the store has the bans as
/// made. A repeat has the answer and the bans are there, or neither.
#[test]
fn a_kick_with_a_ban_is_whole_or_not_at_all_after_a_crash() {
    let home = home();
    flow(home.path(), "default", "weekly");
    let mut program = Program::start(home.path(), "--sip off");
    let token = token(home.path());
    for user in ["anna", "ben"] {
        let phones = format!("/sim/v1/Account/{ID}/Phone/");
        let phone = format!("{{\"to\":\"x\",\"user\":\"{user}\"}}");
        assert_eq!(program.ask(&token, "POST", &phones, &phone).0, 201);
        program.wait_for("entered");
    }
    let kick = ask("POST", "Conference/weekly/Member/1,2/Kick/", "{\"ban_seconds\":900}");
    let first = keyed(&program, &token, "k", &kick);
    assert!(first.0 == 200 && first.1.contains("\"banned\":[\"1\",\"2\"]"), "{first:?}");
    program.signal("KILL");
    program.end();
    let whole = state_log(home.path());
    let of_bans = rows(&whole, BAN);
    let [(begin, end, _), (same, ..)] = of_bans[..] else { panic!("{of_bans:?}") };
    assert_eq!(begin, same, "one turn, one frame");
    let answer = rows(&whole, ANSWERED)[0];
    assert_eq!((answer.0, answer.1), (begin, end), "and with the answer");

    // What the store has at that moment of the bans: of a ban that was not foreseen, nothing.
    let prepared = "UPDATE room_bans SET body = json_set(body, '$.is_prepared', json('true'))";
    let not_foreseen = format!("{prepared}; DELETE FROM room_bans WHERE a = 2");
    let checks = [
        (begin, prepared, false),
        (end, prepared, true),
        (end, &not_foreseen, true),
        (whole.len(), "SELECT 1", true),
    ];
    for (length, store, is_made) in checks {
        let copy = tempdir().unwrap();
        crash(home.path(), copy.path(), &whole[..length], &[("k", answer.2)]);
        let database = rusqlite::Connection::open(copy.path().join("data/conflow.db")).unwrap();
        database.execute_batch(store).unwrap();
        drop(database);
        for start in 1..=2 {
            let program = Program::start(copy.path(), "--sip off");
            let repeat = keyed(&program, &token, "k", &kick);
            let bans = program.ask(&token, "GET", &path("Conference/weekly/Ban/"), "").1;
            let banned = ["user:anna", "user:ben"].map(|it| bans.contains(it));
            match is_made {
                true => assert_eq!(repeat, first, "{store}, start {start}"),
                false => assert_eq!(repeat.0, 404, "{store}, start {start}"),
            }
            assert_eq!(banned, [is_made; 2], "{store}, start {start}: {bans}");
            program.signal("KILL");
            program.end();
        }
    }
}

/// A crash after its 202, after its change, and after its answer: it is carried out once, and its
/// answer comes.
#[test]
fn a_request_that_is_answered_later_is_carried_out_once_over_a_crash() {
    let home = home();
    flow(home.path(), "default", "weekly");
    flow(home.path(), "later", "later");
    let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = receiver.local_addr().unwrap();
    // It is dead until the second start.
    drop(receiver);
    let body = format!(
        r#"{{"from":"1","to":"sim:c","answer_url":"flow:later","callback_url":"http://{address}/"}}"#
    );
    let ask = Asked { method: "POST", path: format!("/v1/Account/{ID}/Call/"), body };
    let program = Program::start(home.path(), "--sip off");
    let token = token(home.path());
    let accepted = keyed(&program, &token, "j", &ask);
    assert_eq!(accepted.0, 202, "{accepted:?}");
    assert_eq!(keyed(&program, &token, "j", &ask), accepted);
    while rows(&state_log(home.path()), JOB).len() < 2 {
        thread::sleep(Duration::from_millis(5));
    }
    program.signal("KILL");
    program.end();
    let whole = state_log(home.path());
    let first = |kind| rows(&whole, kind)[0];
    let ids = [("j", first(ANSWERED).2)];

    for length in [first(JOB).1, first(JOB_ANSWERED).1, whole.len()] {
        let copy = tempdir().unwrap();
        crash(home.path(), copy.path(), &whole[..length], &ids);
        let receiver = TcpListener::bind(address).unwrap();
        let program = Program::start(copy.path(), "--sip off");
        let (_, told) = receive_one(&receiver);
        assert!(told.contains("status_code=201") && told.contains("call+fired"), "{told}");
        let api_id = accepted.1.split('"').rfind(|it| it.len() == 36).unwrap();
        assert!(told.contains(&format!("api_id={api_id}")), "{told} after {accepted:?}");
        assert_eq!(keyed(&program, &token, "j", &ask), accepted);
        program.signal("KILL");
        program.end();
        assert_eq!(facts(&state_log(copy.path())).begun["sim:c"], 1, "at {length}");
    }
}

/// Kills in a row.
const ROUNDS: usize = 4;
/// Requests of each of the two clients in a round.
const ASKS: usize = 12;

/// A request, and the answer that its client has seen.
struct Sent {
    key: String,
    ask: Asked,
    answer: Option<(u16, String)>,
}

/// Sends requests one by one until the program is dead.
fn send_all(program: &Program, token: &str, asks: Vec<(String, Asked)>) -> Vec<Sent> {
    let mut sent = Vec::new();
    for (key, ask) in asks {
        let head =
            format!("X-Auth-ID: {ID}\r\nX-Auth-Token: {token}\r\nIdempotency-Key: {key}\r\n");
        let answer = program.try_send(&head, ask.method, &ask.path, &ask.body).ok();
        let is_dead = answer.is_none();
        sent.push(Sent { key, ask, answer });
        if is_dead {
            break;
        }
    }
    sent
}

/// Keys that act twice: none. Keys that were answered and did not act: none.
#[test]
fn no_key_acts_twice_over_kills_at_random_moments() {
    let seed = env::var("SEED").ok().and_then(|it| it.parse().ok()).unwrap_or(4_711);
    let mut rng = fastrand::Rng::with_seed(seed);
    let home = home();
    flow(home.path(), "default", "weekly");
    flow(home.path(), "later", "later");
    for round in 0..ROUNDS {
        let mut program = Program::start(home.path(), "--sip off");
        let token = token(home.path());
        let members: Vec<_> = (0..ASKS).map(|_| program.join(&token)).collect();
        let kick = |member: &u64| {
            let rest = format!("Conference/weekly/Member/{member}/Kick/");
            (format!("kick-{member}"), ask("POST", &rest, "{}"))
        };
        let kicks = members.iter().map(kick).collect();
        let names: Vec<_> = (0..ASKS).map(|n| format!("sim:r{round}n{n}")).collect();
        let calls = names.iter().map(|it| (it.clone(), call_to(it))).collect();
        let life = Duration::from_micros(rng.u64(0..60_000));
        let (kicked, called) = thread::scope(|scope| {
            let kicking = scope.spawn(|| send_all(&program, &token, kicks));
            let calling = scope.spawn(|| send_all(&program, &token, calls));
            thread::sleep(life);
            program.signal("KILL");
            (kicking.join().unwrap(), calling.join().unwrap())
        });
        program.end();

        let program = Program::start(home.path(), "--sip off");
        let repeat = |it: &Sent| {
            let repeat = keyed(&program, &token, &it.key, &it.ask);
            assert!(
                it.answer.as_ref().is_none_or(|answer| *answer == repeat),
                "seed {seed}: {}: {:?}, then {repeat:?}",
                it.key,
                it.answer
            );
            repeat.0
        };
        let kicks: Vec<_> = kicked.iter().map(repeat).collect();
        let calls: Vec<_> = called.iter().map(repeat).collect();
        program.signal("KILL");
        program.end();
        let facts = facts(&state_log(home.path()));
        for (member, status) in members.iter().zip(kicks) {
            let is_kicked = facts.exit(*member) == Some(Cause::Kicked);
            assert_eq!(status, if is_kicked { 200 } else { 404 }, "seed {seed}: {member}");
        }
        for (name, status) in names.iter().zip(calls) {
            let begun = facts.begun.get(name).copied();
            assert_eq!((status, begun), (200, Some(1)), "seed {seed}: {name}");
        }
    }
}
