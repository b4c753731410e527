//! Recordings of a program: URLs over a socket, audit lines, retention, and `conflow recordings`.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use conflow::{
    audio::{clip::Clip, wav},
    base::ids::{CallId, RecordingId},
    cli::login::DEVELOPMENT_ACCOUNT as ID,
    engine::inbound::wall_clock,
    flow::RecordingFormat,
    media::RecordingChannels,
    recording::{
        Recording, RecordingEnd, RecordingEndReason, RecordingStore, files, store::StoredRecordings,
    },
    store::{rows::RowStore, sqlite::Sqlite},
};
use rustix::io::Errno;
use serde_json::Value;
use uuid::Uuid;

use super::{
    faulty_disk::FaultyDisk,
    restarts::{receive_one, with_a_call},
};
use crate::app::{Program, command, home, token};

/// A WAV file of a second.
fn second() -> Vec<u8> {
    wav::write(&Clip { rate: 8_000, samples: vec![7; 8_000].into() })
}

fn id(n: u64) -> String {
    RecordingId::of(n.into()).to_string()
}

/// A recording of a second that began so many days ago.
fn recording(account: &str, n: u64, days: u64) -> Recording {
    let started_at = wall_clock() - Duration::from_secs(days * 86_400 + 60);
    Recording {
        id: RecordingId::of(n.into()),
        account: account.parse().unwrap(),
        call: CallId::of(1),
        from: "14155550100".into(),
        to: "weekly".into(),
        conference: None,
        api_id: Uuid::from_u128(7),
        channels: RecordingChannels::Mono,
        format: RecordingFormat::Wav,
        started_at,
        callback: None,
        audience: None,
        end: Some(RecordingEnd {
            at: started_at + Duration::from_secs(1),
            duration: Duration::from_secs(1),
            bytes: second().len() as u64,
            lost_samples: 0,
            format: RecordingFormat::Wav,
            reason: RecordingEndReason::HungUp,
        }),
    }
}

/// Writes rows and files into the data folder of a home. Returns the paths of the files.
fn seed(home: &Path, recordings: &[Recording]) -> Vec<PathBuf> {
    let data = home.join("data");
    fs::create_dir_all(&data).unwrap();
    let path = data.join("conflow.db");
    let rows: Arc<dyn RowStore> = Arc::new(Sqlite::open(&path).unwrap());
    let store = StoredRecordings::open(rows, &path).unwrap();
    let write = |recording: &Recording| {
        let file = data.join(files::FOLDER).join(recording.path());
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, second()).unwrap();
        let (tell, stored) = mpsc::channel();
        store.put(Arc::new(recording.clone()), Box::new(move |it| tell.send(it).unwrap()));
        stored.recv().unwrap().unwrap();
        file
    };
    recordings.iter().map(write).collect()
}

/// Requests a URL without credentials. Returns the head and the body.
fn fetch(url: &str) -> (String, Vec<u8>) {
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    write!(stream, "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|it| it == b"\r\n\r\n").unwrap();
    (String::from_utf8(answer[..end].to_vec()).unwrap(), answer[end + 4..].to_vec())
}

fn wait_until(is_so: impl Fn() -> bool) {
    let is_soon = (0..1_000).any(|_| {
        thread::sleep(Duration::from_millis(10));
        is_so()
    });
    assert!(is_soon, "it does not happen");
}

/// Runs `conflow recordings` and returns its exit code and what it prints.
fn run(home: &Path, arguments: &str) -> (Option<i32>, String) {
    let done = command(home, &format!("recordings {arguments}")).output().unwrap();
    let text = [done.stdout, done.stderr].concat();
    (done.status.code(), String::from_utf8(text).unwrap())
}

#[test]
fn a_url_of_the_api_opens_the_audio_and_leaves_an_audit_line() {
    let home = home();
    seed(home.path(), &[recording(ID, 1, 0), recording(ID, 2, 0)]);
    let program = Program::start(home.path(), "--log-format json");
    let token = token(home.path());
    let path = |n: u64| format!("/v1/Account/{ID}/Recording/{}", id(n));
    let (status, body) = program.ask(&token, "GET", &format!("{}/", path(1)), "");
    assert_eq!(status, 200, "{body}");
    let shown: Value = serde_json::from_str(&body).unwrap();
    let url = shown["recording_url"].as_str().unwrap();
    assert!(url.starts_with(&format!("http://{}{}.wav?exp=", program.http, path(1))), "{url}");
    let (head, body) = fetch(url);
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let head = head.to_ascii_lowercase();
    assert!(head.contains(&format!("content-length: {}", second().len())), "{head}");
    assert!(!head.contains("transfer-encoding"), "{head}");
    assert!(body == second());
    let (head, _) = fetch(&url.replace("exp=", "exp=1"));
    assert!(head.starts_with("HTTP/1.1 403"), "{head}");
    let (status, body) = program.ask(&token, "DELETE", &format!("{}/", path(2)), "");
    assert_eq!(status, 204, "{body}");

    program.signal("TERM");
    let (_, _, log) = program.end();
    assert!(!log.contains("sig="), "a signature is a secret");
    let lines = log.lines().filter_map(|it| serde_json::from_str::<Value>(it).ok());
    let lines = lines.filter(|it| it["target"] == "conflow::audit");
    let shown = |line: Value| {
        let names = ["account", "by", "method", "route", "names", "status"];
        names.map(|it| line[it].to_string().replace('"', "")).join(" ")
    };
    let one = "/v1/Account/{auth_id}/Recording/{recording}";
    let expected = [
        format!("{ID} signature GET {one}.wav recording={} 200", id(1)),
        format!("  GET {one}.wav recording={} 403", id(1)),
        format!("{ID} config-1 DELETE {one} recording={} 204", id(2)),
    ];
    assert_eq!(lines.map(shown).collect::<Vec<_>>(), expected);
}

#[test]
fn old_recordings_are_deleted_at_the_start_and_after_a_reload() {
    let home = home();
    let all = [recording("MA1", 1, 10), recording("MA1", 2, 5), recording("MA2", 3, 10)];
    let files = seed(home.path(), &all);
    let there = || files.iter().map(|it| it.exists()).collect::<Vec<_>>();
    let account =
        |id: &str| format!("[[account]]\nid = \"{id}\"\ntokens = [\"{id}-0123456789abcdef\"]\n");
    let accounts = account("MA1") + &account("MA2");
    let config = home.path().join("conflow.toml");
    let configure = |text: &str| fs::write(&config, format!("{text}\n{accounts}")).unwrap();
    configure("[recordings]\nkeep_days = 7\n[recordings.accounts.MA2]\nkeep_days = 0");
    let mut program = Program::start(home.path(), "--sip off");
    wait_until(|| there() == [false, true, true]);
    configure("[recordings]\nkeep_days = 7");
    program.signal("HUP");
    program.wait_for("changed: recordings.accounts");
    wait_until(|| there() == [false, true, false]);
    configure("[recordings]\nfree_stop_mb = 600");
    program.signal("HUP");
    let line = program.wait_for("the settings are unchanged");
    assert!(line.contains("recordings.free_stop_mb is 600, above"), "{line}");
    configure("[recordings.accounts.MA3]\nkeep_days = 1");
    program.signal("HUP");
    let line = program.wait_for("the settings are unchanged");
    assert!(line.contains("recordings.accounts.MA3: there is no such [[account]]"), "{line}");
    program.signal("TERM");
    program.end();
}

/// Only a request that writes an event needs the log.
#[test]
fn a_recording_is_deleted_although_the_log_of_events_has_no_space() {
    let home = home();
    let disk = FaultyDisk::new(home.path());
    let files = seed(home.path(), &[recording(ID, 1, 0)]);
    let program = disk.start(home.path());
    let token = token(home.path());
    disk.fail(Errno::NOSPC, "/state/");
    program.ask(&token, "POST", &format!("/sim/v1/Account/{ID}/Phone/"), "{\"to\":\"x\"}");
    let rooms = format!("/v1/Account/{ID}/Conference/");
    wait_until(|| program.ask(&token, "DELETE", &rooms, "").0 == 503);
    let path = format!("/v1/Account/{ID}/Recording/{}/", id(1));
    let (status, body) = program.ask(&token, "DELETE", &path, "");
    assert_eq!((status, files[0].exists()), (204, false), "{body}");
    disk.mend();
    program.signal("TERM");
    program.end();
}

#[test]
fn recordings_are_listed_verified_and_pruned() {
    let home = home();
    let all = [recording("MA1", 1, 10), recording("MA1", 2, 5), recording("MA2", 3, 10)];
    let files = seed(home.path(), &all);
    let there = || files.iter().map(|it| it.exists()).collect::<Vec<_>>();
    let (code, text) = run(home.path(), "list");
    assert_eq!((code, text.lines().count()), (Some(0), 3), "{text}");
    assert!(text.contains(&format!("{} MA1 ", id(1))), "{text}");
    assert!(text.contains(" 1.00 s 16044 bytes wav HungUp\n"), "{text}");
    let (_, text) = run(home.path(), "list --account MA2 --format json");
    let line: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(line["recording_id"], id(3));
    assert_eq!(home.path().join(line["file"].as_str().unwrap()), files[2]);

    let (code, text) = run(home.path(), "verify");
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("3 recordings of 48132 bytes, and 0 that run\nno errors"), "{text}");
    let orphan = files[0].with_file_name("stray.wav");
    fs::write(&orphan, "x").unwrap();
    fs::write(&files[1], &second()[..99]).unwrap();
    fs::remove_file(&files[2]).unwrap();
    let (code, text) = run(home.path(), "verify");
    assert_eq!(code, Some(1), "{text}");
    for wanted in [
        "stray.wav: it has no row",
        "it has 99 bytes, and its row says 16044",
        "No such file",
        "3 recordings are not as they should be",
    ] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    fs::remove_file(orphan).unwrap();

    let (code, text) = run(home.path(), "prune --older-than 7 --dry-run");
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("2 recordings of 32088 bytes would be deleted"), "{text}");
    assert_eq!(there(), [true, true, false]);
    // While an engine has the folder.
    let program = Program::start(home.path(), "--sip off");
    let (code, text) = run(home.path(), "prune --older-than 7 --account MA1");
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("1 recordings of 16044 bytes are deleted"), "{text}");
    assert_eq!(there(), [false, true, false]);
    program.signal("TERM");
    program.end();
    let (_, text) = run(home.path(), "prune --keep-gb 1 --older-than 100");
    assert!(text.contains("0 recordings of 0 bytes are deleted"), "{text}");
    let (_, text) = run(home.path(), "prune --older-than 0");
    assert!(text.contains("2 recordings of 32088 bytes are deleted"), "{text}");
    assert_eq!(there(), [false; 3]);
    let (code, text) = run(home.path(), "list");
    assert_eq!((code, &*text), (Some(0), ""));
    let (code, text) = run(home.path(), "verify --data nowhere");
    assert_eq!(code, Some(1));
    assert!(text.contains("nowhere: there is no such folder"), "{text}");
}

/// Begins a recording and waits for its first second. Returns its id.
fn begun(program: &Program, home: &Path, path: &str, receiver: &TcpListener) -> RecordingId {
    let address = receiver.local_addr().unwrap();
    let wanted = format!("{{\"callback_url\":\"http://{address}/\",\"file_format\":\"wav\"}}");
    let path = format!("/v1/Account/{ID}/{path}/Record/");
    let (status, begun) = program.ask(&token(home), "POST", &path, &wanted);
    assert_eq!(status, 202, "{begun}");
    let begun: Value = serde_json::from_str(&begun).unwrap();
    let id: RecordingId = begun["recording_id"].as_str().unwrap().parse().unwrap();
    let length = || {
        let part = find(&home.join("data/recordings"), &format!("{id}.wav.part"))?;
        Some(fs::metadata(part).ok()?.len())
    };
    wait_until(|| length().is_some_and(|it| 44 + 16_000 <= it));
    id
}

/// Issue 17, point 3: a kill costs a second at most. The next start completes the file and tells of it,
/// once.
#[test]
fn a_kill_leaves_a_recording_that_can_be_played_and_is_told_of() {
    a_kill_leaves_a_recording("conference_name=weekly", 1, |_| "Conference/weekly".to_owned());
}

#[test]
fn a_kill_leaves_a_recording_of_a_call_as_well() {
    a_kill_leaves_a_recording("call_uuid=", 2, |call| format!("Call/{call}"));
}

fn a_kill_leaves_a_recording(field: &str, channels: usize, path: impl Fn(&str) -> String) {
    let home = home();
    let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
    let (program, token, call) = with_a_call(home.path());
    let id = begun(&program, home.path(), &path(&call), &receiver);
    program.signal("KILL");
    program.end();

    let program = Program::start(home.path(), "");
    let (_, told) = receive_one(&receiver);
    assert!(told.contains(&format!("recording_id={id}")), "{told}");
    assert!(told.contains(field), "{told}");
    let (status, shown) =
        program.ask(&token, "GET", &format!("/v1/Account/{ID}/Recording/{id}/"), "");
    assert_eq!(status, 200, "{shown}");
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let (head, audio) = fetch(shown["recording_url"].as_str().unwrap());
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let size = |at: usize| u32::from_le_bytes(audio[at..at + 4].try_into().unwrap()) as usize;
    assert!(44 + 16_000 <= audio.len(), "{}", audio.len());
    assert_eq!((size(4), size(40)), (audio.len() - 8, audio.len() - 44));
    let millis = (audio.len() - 44) / 16 / channels;
    assert_eq!(shown["recording_duration_ms"], format!("{millis}.00000"), "{shown}");
    program.signal("TERM");
    assert_eq!(program.end().0, Some(0));
    assert_eq!(run(home.path(), "verify").0, Some(0));

    // It is complete: the next start tells nobody.
    let program = Program::start(home.path(), "");
    let (status, listed) = program.ask(&token, "GET", &format!("/v1/Account/{ID}/Delivery/"), "");
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!((status, listed["objects"].as_array().map(Vec::len)), (200, Some(1)), "{listed}");
}

/// Contract of recording, section 12: a planned stop completes each file, and tells of it before the
/// process ends.
#[test]
fn a_stop_completes_recordings_and_tells_of_them_before_it_ends() {
    let home = home();
    let (program, _, call) = with_a_call(home.path());
    let all = ["Conference/weekly".to_owned(), format!("Call/{call}")].map(|path| {
        let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
        (begun(&program, home.path(), &path, &receiver), receiver)
    });
    program.signal("TERM");
    for (id, receiver) in &all {
        let (_, told) = receive_one(receiver);
        assert!(told.contains(&format!("recording_id={id}")), "{told}");
    }
    assert_eq!(program.end().0, Some(0));
    let (code, listed) = run(home.path(), "list");
    assert_eq!((code, listed.matches(" Drained\n").count()), (Some(0), 2), "{listed}");
    assert_eq!(run(home.path(), "verify").0, Some(0));
}

/// Contract of recording, section 12: after a crash, the callback of a `<Record>` is told once, with
/// the fields of its call.
#[test]
fn a_kill_interrupts_a_message_whose_callback_is_told_with_the_fields_of_its_call() {
    let home = home();
    let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = receiver.local_addr().unwrap();
    let flow = format!(
        "<Response><Record callbackUrl=\"http://{address}/file\" action=\"http://{address}/action\" \
         playBeep=\"false\" timeout=\"600\" maxLength=\"600\" fileFormat=\"wav\"/></Response>"
    );
    fs::write(home.path().join("flows/default.xml"), flow).unwrap();
    let program = Program::start(home.path(), "");
    let token = token(home.path());
    let phones = format!("/sim/v1/Account/{ID}/Phone/");
    let (status, body) =
        program.ask(&token, "POST", &phones, "{\"to\":\"x\",\"from\":\"14155550100\"}");
    assert_eq!(status, 201, "{body}");
    let phone: Value = serde_json::from_str(&body).unwrap();
    let folder = home.path().join("data/recordings");
    let length = || {
        let part = find_by(&folder, &|it| it.extension().is_some_and(|it| it == "part"))?;
        Some(fs::metadata(part).ok()?.len())
    };
    wait_until(|| length().is_some_and(|it| 44 + 16_000 <= it));
    program.signal("KILL");
    program.end();

    let program = Program::start(home.path(), "");
    let (_, told) = receive_one(&receiver);
    let fields: std::collections::BTreeMap<_, _> =
        url::form_urlencoded::parse(told.as_bytes()).into_owned().collect();
    assert_eq!(fields["CallUUID"], phone["call_uuid"].as_str().unwrap(), "{told}");
    for (name, value) in [
        ("From", "14155550100"),
        ("To", "x"),
        ("CallStatus", "completed"),
        ("Event", "RecordStop"),
        ("RecordingEndReason", "Interrupted"),
    ] {
        assert_eq!(fields[name], value, "{name}: {told}");
    }
    let file = find(&folder, &format!("{}.wav", fields["RecordingID"])).unwrap();
    let millis = (fs::metadata(file).unwrap().len() - 44) / 16;
    assert_eq!(fields["RecordingDurationMs"], millis.to_string(), "{told}");
    program.signal("TERM");
    assert_eq!(program.end().0, Some(0));
}

/// The file of this name below a folder.
fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    find_by(folder, &|it| it.ends_with(name))
}

fn find_by(folder: &Path, is_meant: &dyn Fn(&Path) -> bool) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?.filter_map(Result::ok).map(|it| it.path());
    entries
        .filter_map(|it| if it.is_dir() { find_by(&it, is_meant) } else { Some(it) })
        .find(|it| is_meant(it))
}
