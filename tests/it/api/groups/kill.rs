//! The program is killed during a burst of kicks, in all four dialects at once. Each kick that was
//! acknowledged must still be there after the restart.

use std::{thread, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use conflow::credentials::md5_hex;
use parking_lot::Mutex;
use serde_json::Value;

use crate::app::{ID, Program, home, token};

const DIALECTS: usize = 4;
/// People per dialect.
const PEOPLE: u64 = 30;
/// The kill comes after this many acknowledgements in each dialect.
const ACKNOWLEDGED: usize = 3;

/// A person with all their ids.
struct Person {
    id: u64,
    n: u64,
}

/// The answer of the admin API.
fn admin_ask(program: &Program, token: &str, path: &str, body: &str) -> Value {
    let path = format!("/groups/v1/Account/{ID}/{path}");
    let method = if body.is_empty() { "GET" } else { "POST" };
    let (status, body) = program.ask(token, method, &path, body);
    assert!((200..=201).contains(&status), "{path}: {body}");
    serde_json::from_str(&body).unwrap()
}

/// A group of many, whose owner kicks them in every dialect.
struct Club {
    owner: u64,
    group: u64,
    people: Vec<Person>,
    /// The credentials of each dialect.
    headers: [String; DIALECTS],
}

impl Club {
    fn of(program: &Program, account: &str) -> Self {
        let make = |path: &str, body: &str| admin_ask(program, account, path, body);
        let id = |it: Value| it["id"].as_u64().unwrap();
        let owner = id(make("Person/", r#"{"username":"owner"}"#));
        let group = id(make("Group/", &format!(r#"{{"name":"club","owner":{owner}}}"#)));
        let person = |n| {
            let body = format!(r#"{{"username":"u{n}","mobile":"88{n}","membership":"3:{n}"}}"#);
            let id = id(make("Person/", &body));
            make(&format!("Group/{group}/Member/"), &format!(r#"{{"person":{id}}}"#));
            Person { id, n }
        };
        let people = (0..PEOPLE * DIALECTS as u64).map(person).collect();
        let secret =
            |path: &str, body: &str| make(path, body)["token"].as_str().unwrap().to_owned();
        let bearer = secret(&format!("Person/{owner}/Token/"), r#"{"admin_groups":true}"#);
        let key = secret("Application/", "{}");
        let till = format!("t1:{}", md5_hex(&secret("Till/", r#"{"name":"t1"}"#)));
        let headers = [
            format!("X-API-Key: {key}\r\nAuthorization: Bearer {bearer}\r\n"),
            format!("X-Auth-Token: {bearer}\r\nX-User-Id: {owner}\r\n"),
            format!("Cookie: connect.sid={bearer}\r\n"),
            format!("Authorization: Basic {}\r\n", BASE64_STANDARD.encode(till)),
        ];
        Self { owner, group, people, headers }
    }

    /// Method, path and body.
    fn kick(&self, dialect: usize, Person { id, n }: &Person) -> (&str, String, String) {
        let group = self.group;
        assert!(*id != self.owner);
        match dialect {
            0 => ("POST", format!("/Platform/GroupV2/{group}/Members/3/{n}/Kick/"), String::new()),
            1 => {
                let body = format!(r#"{{"roomId":"{group}","userId":"{id}"}}"#);
                ("POST", "/api/v1/groups.kick".to_owned(), body)
            }
            2 => ("POST", format!("/x/group/kick/{group}/{id}"), "{}".to_owned()),
            _ => {
                let who = format!("source=ALL&identifierName=mobile&identifierValue=88{n}");
                ("DELETE", format!("/v2/userGroup2/{group}/leave?{who}"), String::new())
            }
        }
    }

    /// Kicks the people of one dialect until the program dies, and notes who was acknowledged.
    fn kick_all(&self, program: &Program, dialect: usize, acknowledged: &Mutex<Vec<u64>>) {
        let people = self.people.chunks(PEOPLE as usize).nth(dialect).unwrap();
        for person in people {
            let (method, path, body) = self.kick(dialect, person);
            match program.try_send(&self.headers[dialect], method, &path, &body) {
                Ok((status, body)) => assert_eq!(status, 200, "{path}: {body}"),
                Err(_) => return,
            }
            acknowledged.lock().push(person.id);
        }
    }
}

#[test]
fn every_acknowledged_kick_survives_a_kill() {
    let home = home();
    let program = Program::start(home.path(), "");
    let account = token(home.path());
    let club = Club::of(&program, &account);
    let acknowledged = [(); DIALECTS].map(|()| Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for (dialect, of_dialect) in acknowledged.iter().enumerate() {
            let (club, program) = (&club, &program);
            scope.spawn(move || club.kick_all(program, dialect, of_dialect));
        }
        while acknowledged.iter().any(|it| it.lock().len() < ACKNOWLEDGED) {
            thread::sleep(Duration::from_millis(1));
        }
        program.signal("KILL");
    });
    program.end();

    let program = Program::start(home.path(), "");
    let shown = admin_ask(&program, &account, &format!("Group/{}/", club.group), "");
    let members = shown["members"].as_array().unwrap().iter();
    let members: Vec<_> = members.map(|it| it["person"].as_u64().unwrap()).collect();
    let all_acknowledged: Vec<_> = acknowledged.iter().flat_map(|it| it.lock().clone()).collect();
    let lost: Vec<_> = all_acknowledged.iter().filter(|it| members.contains(it)).collect();
    assert!(lost.is_empty(), "acknowledged, but still members: {lost:?}");
    let all = club.people.len();
    assert!(all_acknowledged.len() < all, "it was not killed in the middle");
    // One audit entry for the creation, and for each who joined or was removed.
    let out = all + 1 - members.len();
    assert_eq!(shown["revision"].as_u64(), Some((1 + all + out) as u64), "{out} are out");
}
