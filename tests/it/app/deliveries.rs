//! Events and callbacks on the command line, what a data folder keeps, and a backup of it.

use std::{fs, net::TcpListener, path::Path};

use conflow::tls::TlsFiles;
use serde_json::Value;

use super::restarts::{events, receive, with_a_call};
use crate::{
    app::{Program, command, home, run},
    authority::Authority,
};

/// A flow whose callbacks go to this address.
fn write_flow(home: &Path, address: impl std::fmt::Display) {
    let flow = format!(
        "<Response><Conference stayAlone=\"true\" callbackUrl=\"http://{address}/?key=secret\">weekly\
         </Conference></Response>"
    );
    fs::write(home.join("flows/x.xml"), flow).unwrap();
}

/// The output of a command that succeeds.
fn print(home: &Path, arguments: &str) -> String {
    let (code, out, log) = run(command(home, arguments));
    assert_eq!(code, Some(0), "{arguments}: {out}{log}");
    out
}

#[test]
fn events_and_callbacks_are_printed_and_a_callback_is_sent_again() {
    let home = home();
    let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
    write_flow(home.path(), receiver.local_addr().unwrap());
    let (program, _, call) = with_a_call(home.path());
    let told = receive(&receiver, 1);
    let url = format!("--url http://{}", program.http);
    let printed = print(home.path(), &format!("events {url}"));
    let lines: Vec<_> = printed.lines().collect();
    assert!(lines[0].contains("CallStart") && lines[0].contains(&call), "{printed}");
    let enter = lines.iter().find(|it| it.contains("ConferenceEnter")).expect("it entered");
    assert!(enter.contains(" weekly member 1") && enter.ends_with(&told[0].0), "{printed}");
    let of_room = print(home.path(), &format!("events {url} --conference weekly --format json"));
    let first: Value = serde_json::from_str(of_room.lines().next().unwrap()).unwrap();
    assert_eq!(first["event"], "ConferenceEnter", "{of_room}");
    assert_eq!(
        (&first["id"], &first["data"]["CallUUID"]),
        (&told[0].0.clone().into(), &call.clone().into())
    );
    let after = print(home.path(), &format!("events {url} --after {}", told[0].0));
    assert_eq!(after.lines().count(), lines.len() - 3, "{after} of {printed}");
    assert_eq!(print(home.path(), &format!("events {url} --since 1h")), printed);

    let listed = print(home.path(), &format!("callbacks {url} --state arrived --call {call}"));
    let (first, attempt) = listed.split_once('\n').unwrap();
    assert!(first.contains(&format!("arrived    ConferenceEnter {}", told[0].0)), "{listed}");
    assert!(first.contains("/?key=***") && !listed.contains("secret"), "{listed}");
    assert!(attempt.contains("  200  "), "{listed}");
    assert_eq!(print(home.path(), &format!("callbacks {url} --state failed")), "");
    let repeated = print(home.path(), &format!("callbacks repeat {} {url}", told[0].0));
    assert!(repeated.contains("is queued"), "{repeated}");
    assert_eq!(receive(&receiver, 1), told);
    let (code, _, log) = run(command(home.path(), &format!("callbacks repeat 17-3 {url}")));
    assert!(code == Some(1) && log.contains("no callback of the event 17-3"), "{log}");
}

#[test]
fn a_server_of_a_private_authority_is_asked_once_the_authority_is_named() {
    let (home, authority) = (home(), Authority::new());
    write_flow(home.path(), "127.0.0.1:9");
    let TlsFiles { certificate, key } = authority.sign("127.0.0.1", 2_100);
    let files = format!("--http-cert {} --http-key {}", certificate.display(), key.display());
    let program = Program::start(home.path(), &files);
    let url = format!("--url https://{}", program.http);
    let fails = |arguments: &str, expected: &str| {
        let (code, out, log) = run(command(home.path(), arguments));
        assert!(code == Some(1) && log.contains(expected), "{arguments}: {out}{log}");
    };
    let trusted = format!("{url} --ca {}", authority.file().display());
    assert_eq!(print(home.path(), &format!("events {trusted}")), "");
    assert_eq!(print(home.path(), &format!("callbacks {trusted}")), "");
    let nobody = format!("trace 2e1f6d66-4c7b-4f39-9a53-6f5a9f9d2a10 {trusted}");
    fails(&nobody, "has no such call");
    fails(&format!("events {url}"), "UnknownIssuer");
    fails(&format!("trace 2e1f6d66-4c7b-4f39-9a53-6f5a9f9d2a10 {url}"), "UnknownIssuer");
    let other = Authority::new();
    fails(&format!("events {url} --ca {}", other.file().display()), "BadSignature");
    let missing = "--ca conflow.none: name a file of certificates in PEM";
    fails(&format!("events {url} --ca conflow.none"), missing);
    fails(&format!("events {url} --ca {}", key.display()), "name a file of certificates in PEM");
}

#[test]
fn a_backup_has_the_events_and_no_event_has_the_id_of_another_one() {
    let home = home();
    let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = receiver.local_addr().unwrap();
    // It is dead until the restored server runs.
    drop(receiver);
    write_flow(home.path(), address);
    let (mut program, token, _) = with_a_call(home.path());
    let before = events(&program, &token, "?after=0", "ConferenceEnter");
    print(home.path(), "store backup b.db");
    let state = print(home.path(), "store state");
    for expected in ["state log (state): ", " events since 2", "waiting callbacks        1", "cdrs"]
    {
        assert!(state.contains(expected), "{expected}: {state}");
    }
    let json: Value =
        serde_json::from_str(&print(home.path(), "store state --format json")).unwrap();
    assert_eq!(json["log"]["rows"]["waiting callbacks"], 1, "{json}");
    assert_eq!(json["log"]["rows"]["live calls"], 1, "{json}");
    assert!(0 < json["free_bytes"].as_u64().unwrap(), "{json}");
    let tables: Vec<_> = json["database"]["tables"].as_array().unwrap().iter().collect();
    assert!(tables.iter().any(|it| it["name"] == "accounts" && it["rows"].is_u64()), "{json}");
    assert_eq!(json["log"]["events"][0]["oldest"], json["log"]["oldest_event"], "{json}");
    // These are lost by the restore, and their ids must not come again.
    program.join(&token);
    let lost = events(&program, &token, "?after=0", "ConferenceStart");
    program.signal("KILL");
    program.end();

    print(home.path(), "store restore b.db --data other");
    let (code, _, log) = run(command(home.path(), "store restore b.db --data other"));
    assert!(code == Some(1) && log.contains("nothing was done"), "{log}");
    fs::copy(home.path().join("data/dev-token"), home.path().join("other/dev-token")).unwrap();
    let receiver = TcpListener::bind(address).unwrap();
    let program = Program::start(home.path(), "--data other");
    let restored = events(&program, &token, "?after=0", "ConferenceEnd");
    let split = |id: &str| {
        let (epoch, number) = id.split_once('-').unwrap();
        (epoch.parse::<u64>().unwrap(), number.parse::<u64>().unwrap())
    };
    let (old, new) = (split(&before[0].0).0, split(&restored[0].0).0);
    assert!(old < new, "{restored:?}");
    assert!(restored.iter().all(|it| split(&it.0).0 == new), "{restored:?}");
    let kinds = |events: &[(String, String)]| {
        events.iter().map(|it| (split(&it.0).1, it.1.clone())).collect::<Vec<_>>()
    };
    assert_eq!(kinds(&restored)[..before.len()], kinds(&before));
    assert!(lost.iter().all(|it| !restored.contains(it)), "{restored:?}");
    // The callback that waited, and that of the call's end.
    let told = receive(&receiver, 2);
    assert_eq!(
        told.iter().map(|it| &*it.1).collect::<Vec<_>>(),
        ["ConferenceEnter", "ConferenceExit"]
    );
    assert!(told.iter().all(|it| restored.contains(it)), "{told:?}");
}
