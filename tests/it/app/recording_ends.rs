//! Ends of recordings that a program did not choose: a full disk, a kill, a shutdown.

use std::{
    collections::BTreeMap,
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use conflow::{
    cli::login::DEVELOPMENT_ACCOUNT as ID,
    recording::{RecordingStore, store::StoredRecordings},
    store::{rows::RowStore, sqlite::Sqlite},
};
use serde_json::Value;

use super::restarts::{join, receive_one};
use crate::{
    app::{Program, command, home, token},
    small_disk::SmallDisk,
};

const SERVE: &str = "serve --http 127.0.0.1:0 --sip off";

/// The fields of a callback.
type ToldFields = BTreeMap<String, String>;

/// A receiver of callbacks: its URL, and what it gets.
fn receiver() -> (String, mpsc::Receiver<ToldFields>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        loop {
            let (_, body) = receive_one(&listener);
            let fields = body.split('&').filter_map(|it| it.split_once('='));
            let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            if tell.send(fields).is_err() {
                return;
            }
        }
    });
    (url, told)
}

/// The fields of the next callback of one of these kinds; a callback without `Event` has `-`.
fn next(told: &mpsc::Receiver<ToldFields>, kinds: &[&str]) -> ToldFields {
    loop {
        let fields = told.recv_timeout(Duration::from_secs(30)).unwrap();
        if kinds.contains(&fields.get("Event").map_or("-", String::as_str)) {
            return fields;
        }
    }
}

fn recordings(program: &Program, token: &str) -> Vec<Value> {
    let (status, body) = program.ask(token, "GET", &format!("/v1/Account/{ID}/Recording/"), "");
    assert_eq!(status, 200, "{body}");
    let body: Value = serde_json::from_str(&body).unwrap();
    body["objects"].as_array().unwrap().clone()
}

/// Whether `conflow recordings verify` finds no error.
fn verifies(run: std::process::Command) {
    let mut run = run;
    let done = run.output().unwrap();
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success() && text.contains("no errors"), "{text}");
}

fn is_wav(path: &Path) -> bool {
    let bytes = fs::read(path).unwrap();
    let size = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    (size(4), size(40)) == (bytes.len() - 8, bytes.len() - 44)
}

/// The files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    entries
        .flat_map(|it| if it.path().is_dir() { files(&it.path()) } else { vec![it.path()] })
        .collect()
}

/// The row, the callback and the file of a recording that a full disk ends; calls go on, nothing else is
/// lost, and a recording begins when there is space again.
#[test]
fn a_full_disk_ends_a_recording_and_nothing_else() {
    let home = home();
    let data = home.path().join("data");
    fs::create_dir(&data).unwrap();
    let Some(disk) = SmallDisk::mount(&data, 24) else { return };
    let (url, told) = receiver();
    let start = || {
        let serve = format!("{SERVE} --recordings-free-min-mb 3 --recordings-free-stop-mb 2");
        let program = Program::of(disk.command(home.path(), &command(home.path(), &serve)));
        fs::copy(disk.inside.join("dev-token"), data.join("dev-token")).unwrap();
        program
    };
    let mut program = start();
    let token = token(home.path());
    join(&mut program, &token);
    join(&mut program, &token);
    let record = format!("/v1/Account/{ID}/Conference/weekly/Record/");
    let wanted = format!("{{\"callback_url\":\"{url}\",\"file_format\":\"wav\"}}");
    let (status, begun) = program.ask(&token, "POST", &record, &wanted);
    assert_eq!(status, 202, "{begun}");
    let begun: Value = serde_json::from_str(&begun).unwrap();

    disk.fill(1_500_000);
    let ended = next(&told, &["-"]);
    assert_eq!(ended["recording_id"], begun["recording_id"].as_str().unwrap());
    let parts = files(&disk.inside.join("recordings"));
    assert!(parts.len() == 1 && is_wav(&parts[0]), "{parts:?}");
    let (status, room) =
        program.ask(&token, "GET", &format!("/v1/Account/{ID}/Conference/weekly/"), "");
    assert!(status == 200 && room.contains("\"conference_member_count\":\"2\""), "{room}");
    let (status, refused) = program.ask(&token, "POST", &record, &wanted);
    assert!(status == 503 && refused.contains("delete recordings"), "{status} {refused}");
    // Everything else is as it should be: members come and go.
    join(&mut program, &token);
    assert_eq!(program.ask("", "GET", "/readyz", "").0, 200);

    disk.empty();
    let status = (0..1_000).map(|_| {
        thread::sleep(Duration::from_millis(10));
        program.ask(&token, "POST", &record, &wanted).0
    });
    assert_eq!(status.into_iter().find(|it| *it != 503), Some(202));
    program.signal("KILL");
    program.end();

    let program = start();
    let again = next(&told, &["-"]);
    assert_ne!(again["recording_id"], ended["recording_id"], "each is told once");
    assert_eq!(recordings(&program, &token).len(), 2);
    verifies(disk.command(home.path(), &command(home.path(), "recordings verify")));
    let listed = disk.command(home.path(), &command(home.path(), "recordings list")).output();
    let listed = String::from_utf8(listed.unwrap().stdout).unwrap();
    assert!(listed.contains(" DiskFull\n") && listed.contains(" Interrupted\n"), "{listed}");
}

/// A member whose element has `record` is told of the end after a kill: each once, also if the next
/// process is killed in turn.
#[test]
fn members_are_told_of_a_recording_that_a_kill_interrupts() {
    let home = home();
    let (url, told) = receiver();
    let flow = format!(
        "<Response><Conference record=\"true\" callbackUrl=\"{url}\">weekly</Conference></Response>"
    );
    fs::write(home.path().join("flows/x.xml"), flow).unwrap();
    let mut program = Program::start(home.path(), "--sip off");
    let token = token(home.path());
    let calls = [join(&mut program, &token), join(&mut program, &token)];
    let [one, two] = [(), ()].map(|()| next(&told, &["ConferenceRecordStart"]));
    assert_eq!([&one["CallUUID"], &two["CallUUID"]], [&calls[0], &calls[1]]);
    // The row of the second member is written by another thread.
    let path = home.path().join("data/conflow.db");
    let rows: Arc<dyn RowStore> = Arc::new(Sqlite::open(&path).unwrap());
    let store = StoredRecordings::open(rows, &path).unwrap();
    let kept = || store.running().unwrap()[0].audience.as_ref().map_or(0, |it| it.members.len());
    let is_kept = (0..1_000).any(|_| {
        thread::sleep(Duration::from_millis(10));
        kept() == 2
    });
    assert!(is_kept, "{} members are in the row", kept());
    drop(store);
    program.signal("KILL");
    program.end();

    let program = Program::start(home.path(), "--sip off");
    let stops = [(), ()].map(|()| next(&told, &["ConferenceRecordStop"]));
    for (stop, start) in stops.iter().zip([&one, &two]) {
        for name in ["CallUUID", "ConferenceMemberID", "ConferenceUUID", "RecordingID", "From"] {
            assert_eq!(stop[name], start[name], "{name}");
        }
        assert_ne!(stop["RecordingDurationMs"], "-1");
    }
    // A callback whose response is not noted yet is sent again after a kill.
    let arrived = || {
        let path = format!("/v1/Account/{ID}/Delivery/?state=arrived");
        let (_, body) = program.ask(&token, "GET", &path, "");
        body.matches("\"ConferenceRecordStop\"").count()
    };
    let are_noted = (0..1_000).any(|_| {
        thread::sleep(Duration::from_millis(10));
        arrived() == 2
    });
    assert!(are_noted, "{} callbacks have arrived", arrived());
    program.signal("KILL");
    program.end();
    let program = Program::start(home.path(), "--sip off");
    let is_told_again = || told.try_iter().any(|it| it.contains_key("RecordingID"));
    assert_eq!(recordings(&program, &token).len(), 1);
    program.signal("TERM");
    assert_eq!(program.end().0, Some(0));
    assert!(!is_told_again());
    verifies(command(home.path(), "recordings verify"));
}
