//! Kicks with the program over HTTP: bert is in a conference guarded by anna's group. Each dialect's
//! kick is synchronous, and bert's phone hears the next element.

use std::fs;

use base64::{Engine, prelude::BASE64_STANDARD};
use conflow::credentials::md5_hex;
use serde_json::Value;
use tempfile::{TempDir, tempdir};

use crate::app::{ID, Program, command, run, token};

const FLOW: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/flows/members-only.xml"));
const NOT_A_MEMBER: &str = "This conference is for members of the group.";
const NEXT_WORDS: &str = "You have left the conference of the members.";

/// anna's group with bert in it; carl is not a member.
struct Club {
    program: Program,
    /// The token of the development account.
    token: String,
    anna: Person,
    bert: Person,
    api_key: String,
    till: String,
    _home: TempDir,
}

struct Person {
    id: String,
    token: String,
}

/// The output of the program.
fn printed(home: &TempDir, arguments: &str) -> String {
    let (code, printed, log) = run(command(home.path(), arguments));
    assert_eq!(code, Some(0), "{arguments}: {log}");
    printed.trim().to_owned()
}

impl Club {
    fn open() -> Self {
        let home = tempdir().unwrap();
        fs::create_dir(home.path().join("flows")).unwrap();
        fs::write(home.path().join("flows/members-only.xml"), FLOW).unwrap();
        let user = |arguments: &str| printed(&home, &format!("user {arguments} --account {ID}"));
        let person = |name: &str, n: u32| Person {
            id: user(&format!("add {name} --membership 3:50{n} --mobile 88{n}")),
            token: user(&format!("token {name} --admin-groups")),
        };
        let (anna, bert, _carl) = (person("anna", 1), person("bert", 2), person("carl", 3));
        let (api_key, till) = (user("token --application"), user("token --till t1"));
        let program = Program::start(home.path(), "");
        let token = token(home.path());
        let club = Self { program, token, anna, bert, api_key, till, _home: home };
        let made = club.rocket_chat("groups.create", r#"{"name":"club","members":["bert"]}"#);
        assert!(made.contains("\"6000001\""), "the number in the flow: {made}");
        club
    }

    fn rocket_chat(&self, method: &str, body: &str) -> String {
        let Person { id, token } = &self.anna;
        let headers = format!("X-User-Id: {id}\r\nX-Auth-Token: {token}\r\n");
        let (status, body) =
            self.program.send(&headers, "POST", &format!("/api/v1/{method}"), body);
        assert_eq!(status, 200, "{body}");
        body
    }

    fn voice(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let (status, body) = self.program.ask(&self.token, method, path, body);
        (status, serde_json::from_str(&body).unwrap_or_default())
    }

    /// Dials in a phone of a known user, or one without identity.
    fn dial(&self, from: &str, user: Option<&str>) -> String {
        let body = serde_json::json!({ "to": "members-only", "from": from, "user": user });
        let path = format!("/sim/v1/Account/{ID}/Phone/");
        let (status, body) = self.voice("POST", &path, &body.to_string());
        assert_eq!(status, 201, "{body}");
        body["call_uuid"].as_str().unwrap().to_owned()
    }

    /// The numbers of the callers in the conference.
    fn inside(&self) -> Vec<String> {
        let path = format!("/api/v1/Account/{ID}/Conference/members-only/");
        let (_, room) = self.voice("GET", &path, "");
        let members = room["members"].as_array().into_iter().flatten();
        members.map(|it| it["from"].as_str().unwrap().to_owned()).collect()
    }

    /// The texts that a phone has heard.
    fn heard(&self, call: &str) -> Vec<String> {
        let path = format!("/sim/v1/Account/{ID}/Phone/{call}/");
        let (_, record) = self.voice("GET", &path, "");
        let timeline = record["timeline"].as_array().unwrap().iter();
        timeline.filter_map(|it| Some(it["text"].as_str()?.to_owned())).collect()
    }
}

/// Sends a dialect's kick of bert by anna, and checks its answer and consequences.
#[track_caller]
fn kicks(kick: impl Fn(&Club) -> (u16, String)) {
    let club = Club::open();
    let (anna, bert) = (club.dial("101", Some("anna")), club.dial("102", Some("Bert")));
    let (carl, stranger) = (club.dial("103", Some("carl")), club.dial("bert", None));
    assert_eq!(club.inside(), ["101", "102"]);
    for outsider in [&carl, &stranger] {
        assert_eq!(club.heard(outsider), [NOT_A_MEMBER], "refused at entry");
    }

    let (status, body) = kick(&club);
    // The kick is synchronous: there is no wait.
    assert_eq!(club.inside(), ["101"], "{body}");
    let heard = club.heard(&bert);
    assert_eq!(status, 200, "{body}");
    assert_eq!(heard, [NEXT_WORDS]);
    assert!(club.heard(&anna).is_empty(), "anna has left too");

    let again = club.dial("104", Some("bert"));
    assert_eq!(
        (club.inside(), club.heard(&again)),
        (vec!["101".into()], vec![NOT_A_MEMBER.into()])
    );
    let invited = format!(r#"{{"roomId":"6000001","userId":"{}"}}"#, club.bert.id);
    club.rocket_chat("groups.invite", &invited);
    club.dial("105", Some("bert"));
    assert_eq!(club.inside(), ["101", "105"], "a member again");
}

#[test]
fn bungies_kick_removes_the_call_and_its_flow_continues() {
    kicks(|club| {
        let headers =
            format!("X-API-Key: {}\r\nAuthorization: Bearer {}\r\n", club.api_key, club.anna.token);
        let path = "/Platform/GroupV2/6000001/Members/3/502/Kick/";
        club.program.send(&headers, "POST", path, "")
    });
}

#[test]
fn rocket_chats_kick_removes_the_call_and_its_flow_continues() {
    kicks(|club| {
        let body = format!(r#"{{"roomId":"6000001","userId":"{}"}}"#, club.bert.id);
        (200, club.rocket_chat("groups.kick", &body))
    });
}

#[test]
fn kirimins_kick_removes_the_call_and_its_flow_continues() {
    kicks(|club| {
        let headers = format!("Cookie: connect.sid={}\r\n", club.anna.token);
        let path = format!("/x/group/kick/6000001/{}", club.bert.id);
        club.program.send(&headers, "POST", &path, "{}")
    });
}

#[test]
fn capillarys_leave_removes_the_call_and_its_flow_continues() {
    kicks(|club| {
        let pair = BASE64_STANDARD.encode(format!("t1:{}", md5_hex(&club.till)));
        let headers = format!("Authorization: Basic {pair}\r\n");
        let path = "/v2/userGroup2/6000001/leave?source=INSTORE&identifierName=mobile\
                    &identifierValue=882";
        club.program.send(&headers, "DELETE", path, "")
    });
}
