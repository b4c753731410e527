//! Audit lines in the log: who did what.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::app::*;

#[test]
fn every_control_action_leaves_a_line_and_no_secret_is_in_it() {
    let home = home();
    let reader = account(home.path(), "add MA1");
    let program = Program::start(home.path(), "--log-format json");
    let token = token(home.path());
    let phones = format!("/sim/v1/Account/{ID}/Phone/");
    let (_, body) = program.ask(&token, "POST", &phones, "{\"to\":\"x\"}");
    let call: Value = serde_json::from_str(&body).unwrap();
    let call = call["call_uuid"].as_str().unwrap().to_owned();
    let member = format!("/api/v1/Account/{ID}/Conference/weekly/Member");
    program.ask(&token, "POST", &format!("{member}/7,8/Kick/?secret=1"), "{\"secret\":1}");
    program.ask(&token, "GET", &format!("/api/v1/Account/{ID}/Conference/"), "");
    let (_, person) = program.ask(
        &token,
        "POST",
        &format!("/groups/v1/Account/{ID}/Person/"),
        "{\"username\":\"anna\",\"password\":\"secret-secret\"}",
    );
    assert!(person.contains("anna"), "{person}");
    // The outcome of a deferred request has its own line, whenever it comes.
    let later = format!("/v1/Account/{ID}/Conference/daily/Member/9/Mute/");
    program.ask(&token, "POST", &later, "{\"callback_url\":\"http://127.0.0.1:9/later?secret=1\"}");
    // From a proxy that nobody trusts, and so from the client itself.
    let forwarded = "X-Forwarded-For: 192.0.2.1\r\n";
    program.ask_with("guess", "DELETE", &format!("/v1/Account/{ID}/Call/"), forwarded, "");
    program.ask("guess", "DELETE", &format!("/v1/Account/{ID}/Conference/"), "");
    program.ask_as("MA1", &reader, "DELETE", &format!("/v1/Account/{ID}/Call/{call}/"), "");
    program.ask(&token, "POST", "/nowhere/", "");
    program.ask(&token, "DELETE", &format!("/v1/Account/{ID}/Call/{call}/"), "");
    program.signal("TERM");
    let (_, _, log) = program.end();
    let lines = log.lines().filter_map(|it| serde_json::from_str::<Value>(it).ok());
    let audited: Vec<_> = lines.filter(|it| it["target"] == "conflow::audit").collect();
    let text = |line: &Value, name: &str| line[name].to_string().replace('"', "");
    let shown = |line: &Value| {
        let names = ["account", "by", "peer", "method", "route", "names", "status"];
        names.map(|it| text(line, it)).join(" ")
    };
    let found: Vec<_> = audited.iter().map(shown).collect();
    let (later, found): (Vec<_>, Vec<_>) = found.into_iter().partition(|it| it.contains("Mute"));
    let mute = "/v1/Account/{auth_id}/Conference/{name}/Member/{members}/Mute";
    let mute = format!("{ID} config-1 127.0.0.1 POST {mute} name=daily members=9");
    let later: BTreeSet<_> = later.into_iter().collect();
    assert_eq!(later, BTreeSet::from([format!("{mute} 202"), format!("{mute} 404")]));
    let kick = "/api/v1/Account/{auth_id}/Conference/{name}/Member/{members}/Kick";
    let calls = "/v1/Account/{auth_id}/Call/{call_uuid}";
    let expected = [
        format!("{ID} config-1 127.0.0.1 POST /sim/v1/Account/{{auth_id}}/Phone  201"),
        format!("{ID} config-1 127.0.0.1 POST {kick} name=weekly members=7,8 404"),
        format!("{ID} config-1 127.0.0.1 POST /groups/v1/Account/{{auth_id}}/Person  201"),
        "  127.0.0.1 DELETE /v1/Account/{auth_id}/Call  401".to_owned(),
        "  127.0.0.1 DELETE /v1/Account/{auth_id}/Conference  401".to_owned(),
        format!("MA1 t1 127.0.0.1 DELETE {calls} call_uuid={call} 404"),
        format!("{ID} config-1 127.0.0.1 DELETE {calls} call_uuid={call} 204"),
    ];
    assert_eq!(found, expected);
    for line in &audited {
        assert_eq!(text(line, "api_id").replace('-', ""), text(line, "trace"), "{line}");
    }
    for secret in [&*token, &*reader, "secret"] {
        assert!(!log.contains(secret), "{log}");
    }
}

/// Issue 14, A1.
#[test]
fn the_log_and_the_audit_name_the_client_behind_a_trusted_proxy() {
    let home = home();
    let program =
        Program::start(home.path(), "--log-format json --trusted-proxies 10.0.0.0/8,127.0.0.1");
    let forwarded = "X-Forwarded-For: 198.51.100.9, 192.0.2.1\r\nX-Forwarded-For: 10.1.1.1\r\n";
    let path = format!("/v1/Account/{ID}/Conference/");
    program.ask_with(&token(home.path()), "DELETE", &path, forwarded, "");
    program.signal("TERM");
    let (_, _, log) = program.end();
    let lines = log.lines().filter_map(|it| serde_json::from_str::<Value>(it).ok());
    let of_it: Vec<_> = lines.filter(|it| it["method"] == "DELETE").collect();
    assert_eq!(of_it.len(), 2, "{log}");
    assert!(of_it.iter().all(|it| it["peer"] == "192.0.2.1"), "{of_it:?}");
}
