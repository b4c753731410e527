//! `conflow account`, run beside a live engine.

use std::{thread, time::Duration};

use super::*;

const KEPT: &str = "MAKEPT00000000000000";

impl Program {
    fn conference_list(&self, id: &str, token: &str) -> u16 {
        self.ask_as(id, token, "GET", &format!("/v1/Account/{id}/Conference/"), "").0
    }

    /// Waits until the engine has read the accounts again.
    fn take_in(&mut self) {
        self.wait_for("the accounts of the data folder have changed");
    }
}

#[test]
fn an_account_is_added_rotated_and_removed_while_the_engine_runs() {
    let home = home();
    let mut program = Program::start(home.path(), "");
    let first = account(home.path(), &format!("add {KEPT} --dialect plivo"));
    assert_eq!(first.len(), 40, "{first}");
    program.take_in();
    assert_eq!(program.conference_list(KEPT, &first), 200);
    assert_eq!(program.conference_list(ID, &first), 401);
    let wall = format!("/v1/Account/{ID}/Conference/");
    assert_eq!(
        program.ask_as(KEPT, &first, "GET", &wall, "").0,
        404,
        "another account sees nothing"
    );

    let second = account(home.path(), &format!("rotate {KEPT}"));
    program.take_in();
    let both = [&first, &second].map(|it| program.conference_list(KEPT, it));
    assert_eq!(both, [200, 200]);
    account(home.path(), &format!("rotate {KEPT} --finish"));
    program.take_in();
    let one = [&first, &second].map(|it| program.conference_list(KEPT, it));
    assert_eq!(one, [401, 200]);

    program.signal("KILL");
    program.end();
    let mut program = Program::start(home.path(), "");
    assert_eq!(program.conference_list(KEPT, &second), 200, "it survives a restart");
    let list = account(home.path(), "list");
    assert!(list.starts_with(&format!("{KEPT} plivo\n  t2 full, made 20")), "{list}");
    account(home.path(), &format!("remove {KEPT}"));
    program.take_in();
    assert_eq!(program.conference_list(KEPT, &second), 401);
    program.signal("KILL");
    let (_, _, log) = program.end();
    let key = fs::metadata(home.path().join("data/account-key")).unwrap();
    assert_eq!(key.permissions().mode() & 0o777, 0o600);
    for token in [first, second] {
        assert!(!list.contains(&token) && !log.contains(&token));
        for file in fs::read_dir(home.path().join("data")).unwrap() {
            let bytes = fs::read(file.unwrap().path()).unwrap_or_default();
            assert!(!bytes.windows(token.len()).any(|it| it == token.as_bytes()), "in a file");
        }
    }
}

/// Found with issue 14, A2: an account that was removed and added again under its id got its people
/// back, with their tokens, which were to be revoked for good.
#[test]
fn the_people_of_a_removed_account_are_not_those_of_one_that_is_added_again() {
    let home = home();
    let add = || account(home.path(), &format!("add {KEPT}"));
    let (mut key, mut program) = (add(), Program::start(home.path(), ""));
    let path = format!("/groups/v1/Account/{KEPT}/");
    let make = |program: &Program, key: &str| {
        let post = |what: &str, body: &str| {
            let made = program.ask_as(KEPT, key, "POST", &format!("{path}{what}"), body);
            assert_eq!(made.0, 201, "{made:?}");
            serde_json::from_str::<Value>(&made.1).unwrap()
        };
        let person = post("Person/", "{\"username\":\"anna\",\"password\":\"open-sesame\"}");
        let person = person["id"].to_string();
        post("Group/", &format!("{{\"name\":\"friends\",\"owner\":{person}}}"));
        let token =
            post(&format!("Person/{person}/Token/"), "")["token"].as_str().unwrap().to_owned();
        format!("X-Auth-Token: {token}\r\nX-User-Id: {person}\r\n")
    };
    let me = |program: &Program, headers: &str| program.send(headers, "GET", "/api/v1/me", "").0;
    let group = |program: &Program, key: &str| {
        program.ask_as(KEPT, key, "GET", &format!("{path}Group/6000001/"), "").0
    };

    let first = make(&program, &key);
    assert_eq!((me(&program, &first), group(&program, &key)), (200, 200));
    // Both within one look of the engine.
    account(home.path(), &format!("remove {KEPT}"));
    key = add();
    // In one step or in two.
    while program.conference_list(KEPT, &key) != 200 {
        program.take_in();
    }
    assert_eq!((me(&program, &first), group(&program, &key)), (401, 404));

    // Nobody looks: the next start does.
    let second = make(&program, &key);
    program.signal("TERM");
    assert_eq!(program.end().0, Some(0));
    account(home.path(), &format!("remove {KEPT}"));
    key = add();
    let list = format!("user list --account {KEPT}");
    assert_eq!(run(command(home.path(), &list)).1, "", "nor does `conflow user` see them");
    program = Program::start(home.path(), "");
    assert_eq!((me(&program, &first), me(&program, &second)), (401, 401));

    // A removal that is only a mistake mended deletes nothing: the people are those of the file.
    let third = make(&program, &key);
    account(home.path(), &format!("remove {KEPT}"));
    program.signal("KILL");
    program.end();
    fs::write(
        home.path().join("conflow.toml"),
        format!("[[account]]\nid = \"{KEPT}\"\ntokens = [\"{key}\"]\n"),
    )
    .unwrap();
    let program = Program::start(home.path(), "--sip off");
    assert_eq!((me(&program, &third), me(&program, &second)), (200, 401));
}

/// Issue 14, A2: within a second, by each of the commands.
#[test]
fn the_event_stream_of_a_token_that_is_removed_ends() {
    let home = home();
    let mut program = Program::start(home.path(), "");
    let first = account(home.path(), &format!("add {KEPT}"));
    let reader = account(home.path(), &format!("add {KEPT} --read-only"));
    let second = account(home.path(), &format!("rotate {KEPT}"));
    for command in [
        (&reader, format!("remove {KEPT} --token t2")),
        (&first, format!("rotate {KEPT} --finish")),
        (&second, format!("remove {KEPT}")),
    ] {
        let (token, command) = command;
        while program.conference_list(KEPT, token) != 200 {
            thread::sleep(Duration::from_millis(20));
        }
        let mut stream = TcpStream::connect(program.http).unwrap();
        let head = format!("X-Auth-ID: {KEPT}\r\nX-Auth-Token: {token}\r\n");
        let path = format!("/v1/Account/{KEPT}/Events/");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: here\r\n{head}\r\n").unwrap();
        let mut begin = [0; 15];
        stream.read_exact(&mut begin).unwrap();
        assert_eq!(&begin, b"HTTP/1.1 200 OK");
        account(home.path(), &command);
        let mut rest = String::new();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        stream.read_to_string(&mut rest).unwrap();
        assert!(!rest.ends_with("\r\n0\r\n\r\n"), "it is no regular end: {rest}");
        assert_eq!(program.conference_list(KEPT, token), 401, "{command}");
    }
    program.signal("TERM");
    program.wait_for("SIGTERM");
}

#[test]
fn a_read_only_token_reads_everything_and_changes_nothing() {
    let home = home();
    account(home.path(), &format!("add {KEPT}"));
    let reader = account(home.path(), &format!("add {KEPT} --read-only"));
    let program = Program::start(home.path(), "");
    let check = |method: &str, path: &str, status: u16, expected: &str| {
        let path = path.replace('~', &format!("Account/{KEPT}"));
        let (found, body) = program.ask_as(KEPT, &reader, method, &path, "{}");
        assert_eq!(found, status, "{method} {path}: {body}");
        assert!(body.contains(expected), "{method} {path}: {body}");
    };
    check("GET", "/api/v1/~/Conference/", 200, "");
    check("GET", "/v1/~/Call/", 200, "");
    check("OPTIONS", "/v1/~/Conference/", 204, "");
    for (method, path) in [
        ("POST", "/api/v1/~/Conference/weekly/Member/all/Kick/"),
        ("DELETE", "/v1/~/Conference/"),
        ("POST", "/v1/~/Call/"),
        ("POST", "/sim/v1/~/Phone/"),
    ] {
        check(method, path, 403, "\"error\":\"this token is read-only: it is good for GET");
    }
}

#[test]
fn an_account_has_one_source_and_an_endpoint_may_name_a_kept_account() {
    let home = home();
    let file = |id: &str, owner: &str| {
        let text = format!(
            "[[account]]\nid = \"{id}\"\ntokens = [\"0123456789abcdef\"]\n\
             [[number]]\ncalled = \"1\"\naccount = \"{owner}\"\nflow = \"weekly\"\n"
        );
        fs::write(home.path().join("conflow.toml"), text).unwrap();
    };
    let refused = |expected: &str| {
        let (code, _, log) = run(command(home.path(), "serve --http 127.0.0.1:0 --sip off"));
        assert_eq!(code, Some(1), "{log}");
        assert!(log.contains(expected), "{log}");
    };
    file("MA1", "MA2");
    refused("conflow.toml, line 6: account: there is no such [[account]]; there are: MA1");
    account(home.path(), "add MA2");
    let program = Program::start(home.path(), "--sip off");
    assert_eq!(program.conference_list("MA1", "0123456789abcdef"), 200);
    program.signal("TERM");
    program.end();
    file("MA2", "MA2");
    refused("MA2 is an account of conflow.toml and of the data folder, too");
}
