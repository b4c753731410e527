//! The program is killed in the middle of a burst of kicks, in all four dialects at once: what any
//! of them has acknowledged is there when it has started again.

use std::{thread, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use conflow::credentials::md5_hex;
use parking_lot::Mutex;
use serde_json::Value;

use crate::app::{ID, Program, home, token};

const DIALECTS: usize = 4;
/// People of each dialect.
const PEOPLE: u64 = 30;
/// It is killed when each dialect has acknowledged so many.
const ACKNOWLEDGED: usize = 3;

/// Somebody, and all that he is called.
struct Person {
    id: u64,
    n: u64,
}

/// What the admin API answers.
fn made(program: &Program, token: &str, path: &str, body: &str) -> Value {
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
    /// What each dialect shows.
    headers: [String; DIALECTS],
}

impl Club {
    fn of(program: &Program, account: &str) -> Self {
        let make = |path: &str, body: &str| made(program, account, path, body);
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

    /// Kicks the people of one dialect, and notes who is acknowledged, to the end of the program.
    fn kick_all(&self, program: &Program, dialect: usize, told: &Mutex<Vec<u64>>) {
        let people = self.people.chunks(PEOPLE as usize).nth(dialect).unwrap();
        for person in people {
            let (method, path, body) = self.kick(dialect, person);
            match program.try_send(&self.headers[dialect], method, &path, &body) {
                Ok((status, body)) => assert_eq!(status, 200, "{path}: {body}"),
                Err(_) => return,
            }
            told.lock().push(person.id);
        }
    }
}

#[test]
fn what_any_dialect_has_acknowledged_is_there_after_a_kill() {
    let home = home();
    let program = Program::start(home.path(), "");
    let account = token(home.path());
    let club = Club::of(&program, &account);
    let acknowledged = [(); DIALECTS].map(|()| Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for (dialect, told) in acknowledged.iter().enumerate() {
            let (club, program) = (&club, &program);
            scope.spawn(move || club.kick_all(program, dialect, told));
        }
        while acknowledged.iter().any(|it| it.lock().len() < ACKNOWLEDGED) {
            thread::sleep(Duration::from_millis(1));
        }
        program.signal("KILL");
    });
    program.end();

    let program = Program::start(home.path(), "");
    let shown = made(&program, &account, &format!("Group/{}/", club.group), "");
    let members = shown["members"].as_array().unwrap().iter();
    let members: Vec<_> = members.map(|it| it["person"].as_u64().unwrap()).collect();
    let told: Vec<_> = acknowledged.iter().flat_map(|it| it.lock().clone()).collect();
    let lost: Vec<_> = told.iter().filter(|it| members.contains(it)).collect();
    assert!(lost.is_empty(), "acknowledged, and members still: {lost:?}");
    let all = club.people.len();
    assert!(told.len() < all, "it was not killed in the middle");
    // One change for each: its making, who came in, and who went out.
    let out = all + 1 - members.len();
    assert_eq!(shown["revision"].as_u64(), Some((1 + all + out) as u64), "{out} are out");
}
