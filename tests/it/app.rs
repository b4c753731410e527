//! The `conflow` program as a process: how it starts, what it prints, how it ends.

mod accounts;
mod control;
mod deliveries;
mod faulty_disk;
mod kills;
mod messages;
mod privacy;
mod provisioner;
mod recording_ends;
mod recordings;
mod recovery;
mod repeats;
mod restarts;
mod rows;
mod signals;
mod storage;
mod trunks;
mod upgrade;

use std::{
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    mem,
    net::{SocketAddr, TcpStream},
    os::{fd::AsFd, unix::fs::PermissionsExt},
    path::Path,
    process::{Child, ChildStderr, Command, Output, Stdio},
    thread,
};

use serde_json::Value;
use tempfile::{TempDir, tempdir};

pub(crate) const ID: &str = "MACONFLOWDEV00000000";
pub(crate) const FLOW: &str =
    "<Response><Conference>weekly</Conference><Wait length=\"60\"/></Response>";

/// A running conflow. Its log is read line by line.
pub(crate) struct Program {
    child: Child,
    pub(crate) log: BufReader<ChildStderr>,
    pub(crate) http: SocketAddr,
    /// The part of the log that has been read.
    read: String,
}

/// A folder that holds only the flow `default`.
pub(crate) fn home() -> TempDir {
    let home = tempdir().unwrap();
    fs::create_dir(home.path().join("flows")).unwrap();
    fs::write(home.path().join("flows/default.xml"), FLOW).unwrap();
    home
}

/// The command `conflow` with `arguments`, in the folder `home`.
pub(crate) fn command(home: &Path, arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_conflow"));
    let own = std::env::vars_os().map(|(name, _)| name);
    own.filter(|name| name.to_string_lossy().starts_with("CONFLOW_")).for_each(|name| {
        command.env_remove(name);
    });
    command.args(arguments.split_whitespace()).current_dir(home).stdin(Stdio::null());
    command
}

impl Program {
    /// Starts the program on a free port and waits until it serves.
    pub(crate) fn start(home: &Path, arguments: &str) -> Self {
        Self::of(command(home, &format!("serve --http 127.0.0.1:0 {arguments}")))
    }

    fn of(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let mut program =
            Self { child, log, http: ([127, 0, 0, 1], 0).into(), read: String::new() };
        let line = program.wait_for("serves");
        let at = line.find("127.0.0.1:").unwrap();
        let is_address = |c: char| c.is_ascii_digit() || ".:".contains(c);
        program.http = line[at..].split(|c| !is_address(c)).next().unwrap().parse().unwrap();
        program
    }

    /// [`start`](Self::start), with so many file descriptors.
    pub(crate) fn start_limited(home: &Path, descriptors: u32) -> Self {
        let serve = command(home, "serve --http 127.0.0.1:0 --sip off");
        let mut limited = Command::new("sh");
        let script = format!("ulimit -n {descriptors}; exec \"$0\" \"$@\"");
        limited.args(["-c", &script]).arg(serve.get_program()).args(serve.get_args());
        for (name, value) in serve.get_envs().filter(|(_, value)| value.is_none()) {
            debug_assert!(value.is_none());
            limited.env_remove(name);
        }
        limited.current_dir(home).stdin(Stdio::null());
        Self::of(limited)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns the next line of the log that contains `words`.
    pub(crate) fn wait_for(&mut self, words: &str) -> String {
        loop {
            let mut line = String::new();
            let read = self.log.read_line(&mut line).unwrap();
            self.read += &line;
            assert!(0 < read, "{words:?} is not in the log:\n{}", self.read);
            if line.contains(words) {
                return line;
            }
        }
    }

    /// Reads the log from now on, so that the program never waits for a reader.
    pub(crate) fn discard_log(&self) {
        let mut log = fs::File::from(self.log.get_ref().as_fd().try_clone_to_owned().unwrap());
        thread::spawn(move || io::copy(&mut log, &mut io::sink()));
    }

    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Waits for the process and returns its exit code, stdout and the whole log.
    pub(crate) fn end(mut self) -> (Option<i32>, String, String) {
        let (mut banner, mut log) = (String::new(), mem::take(&mut self.read));
        self.log.read_to_string(&mut log).unwrap();
        self.child.stdout.take().unwrap().read_to_string(&mut banner).unwrap();
        (self.child.wait().unwrap().code(), banner, log)
    }

    /// Returns the status and the body.
    pub(crate) fn ask(&self, token: &str, method: &str, path: &str, body: &str) -> (u16, String) {
        self.request([ID, token], method, path, "", body)
    }

    /// [`ask`](Self::ask) with additional header lines.
    pub(crate) fn ask_with(
        &self,
        token: &str,
        method: &str,
        path: &str,
        headers: &str,
        body: &str,
    ) -> (u16, String) {
        self.request([ID, token], method, path, headers, body)
    }

    /// [`ask`](Self::ask) as the account `id`.
    pub(crate) fn ask_as(
        &self,
        id: &str,
        token: &str,
        method: &str,
        path: &str,
        body: &str,
    ) -> (u16, String) {
        self.request([id, token], method, path, "", body)
    }

    fn request(
        &self,
        [id, token]: [&str; 2],
        method: &str,
        path: &str,
        headers: &str,
        body: &str,
    ) -> (u16, String) {
        let headers = format!("X-Auth-ID: {id}\r\nX-Auth-Token: {token}\r\n{headers}");
        self.send(&headers, method, path, body)
    }

    /// Sends a request with these header lines and no others.
    pub(crate) fn send(
        &self,
        headers: &str,
        method: &str,
        path: &str,
        body: &str,
    ) -> (u16, String) {
        self.try_send(headers, method, path, body).unwrap()
    }

    /// [`send`](Self::send) to a program that may be gone.
    pub(crate) fn try_send(
        &self,
        headers: &str,
        method: &str,
        path: &str,
        body: &str,
    ) -> io::Result<(u16, String)> {
        send_to(self.http, headers, method, path, body)
    }

    /// A phone dials into the conference; returns the highest member id in it.
    pub(crate) fn join(&mut self, token: &str) -> u64 {
        let (status, body) =
            self.ask(token, "POST", &format!("/sim/v1/Account/{ID}/Phone/"), "{\"to\":\"x\"}");
        assert_eq!(status, 201, "{body}");
        self.wait_for("entered");
        let path = format!("/api/v1/Account/{ID}/Conference/weekly/");
        let (status, body) = self.ask(token, "GET", &path, "");
        assert_eq!(status, 200, "{body}");
        let room: Value = serde_json::from_str(&body).unwrap();
        let ids = room["members"].as_array().unwrap().iter();
        ids.map(|it| it["member_id"].as_str().unwrap().parse().unwrap()).max().unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Sends a request with these header lines and no others, and returns the status and the body.
pub(crate) fn send_to(
    http: SocketAddr,
    headers: &str,
    method: &str,
    path: &str,
    body: &str,
) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(http)?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n{headers}\
        Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok((head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned()))
}

/// Runs `conflow account` and returns its output.
pub(crate) fn account(home: &Path, arguments: &str) -> String {
    let (code, printed, log) = run(command(home, &format!("account {arguments}")));
    assert_eq!(code, Some(0), "{arguments}: {log}");
    printed.trim().to_owned()
}

pub(crate) fn token(home: &Path) -> String {
    fs::read_to_string(home.join("data/dev-token")).unwrap().trim().to_owned()
}

#[test]
fn the_program_serves_until_a_signal() {
    let home = home();
    let program = Program::start(home.path(), "");
    assert_eq!(program.ask("", "GET", "/healthz", "").0, 200);
    assert_eq!(program.ask("", "GET", "/readyz", "").0, 200);
    let list = format!("/api/v1/Account/{ID}/Conference/");
    let token = token(home.path());
    assert_eq!(program.ask(&token, "GET", &list, "").0, 200);
    assert_eq!(program.ask("guess", "GET", &list, "").0, 401);
    let file = fs::metadata(home.path().join("data/dev-token")).unwrap();
    assert_eq!((token.len(), file.permissions().mode() & 0o777), (40, 0o600));

    program.signal("TERM");
    let (code, banner, log) = program.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(banner.contains("$(cat ") && banner.contains("flows: default"), "{banner}");
    assert!(!banner.contains(&token) && !log.contains(&token));
    assert!(log.contains("conflow has ended"), "{log}");
}

#[test]
fn member_ids_and_the_token_survive_any_end_of_the_process() {
    let home = home();
    let mut program = Program::start(home.path(), "");
    let token = token(home.path());
    assert_eq!((program.join(&token), program.join(&token)), (1, 2));
    program.signal("KILL");
    assert_eq!(program.end().0, None);

    let mut program = Program::start(home.path(), "");
    let id = program.join(&token);
    assert!(2 < id, "{id}");
    let all = format!("/api/v1/Account/{ID}/Conference/");
    assert_eq!(program.ask(&token, "DELETE", &all, "").0, 204);
    program.signal("INT");
    assert_eq!(program.end().0, Some(0));

    let mut program = Program::start(home.path(), "");
    assert_eq!(program.join(&token), id + 1);
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let home = home();
    let mut program = Program::start(home.path(), "--drain 3600");
    program.join(&token(home.path()));
    program.signal("TERM");
    program.wait_for("1 calls have 3600 seconds");
    program.signal("TERM");
    let (code, _, log) = program.end();
    assert_eq!(code, Some(1), "{log}");
    assert!(log.ends_with("conflow: 1 calls were cut off\n"), "{log}");
}

#[test]
fn the_log_can_be_read_by_machines_and_knows_calls_and_conferences() {
    let home = home();
    let mut program = Program::start(home.path(), "--log-format json --log-level debug");
    program.join(&token(home.path()));
    program.signal("TERM");
    program.wait_for("asked to leave");
    program.signal("TERM");
    let (_, _, log) = program.end();
    let lines: Vec<Value> = log.lines().filter_map(|it| serde_json::from_str(it).ok()).collect();
    assert_eq!(lines.len(), log.lines().count() - 1, "every line but the last is JSON:\n{log}");
    let find = |words: &str| lines.iter().find(|it| it["message"] == words).unwrap();
    let (came, entered) = (find("a call comes in"), find("entered"));
    assert_eq!((&came["account"], &came["call"]), (&entered["account"], &entered["call"]));
    assert_eq!((&entered["conference"], &entered["member"]), (&"weekly".into(), &"1".into()));
    assert_eq!(find("an element begins")["element"], "Conference");
}

pub(crate) fn run(mut command: Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn a_start_error_is_reported_and_ends_the_process() {
    let home = home();
    let running = Program::start(home.path(), "");
    fs::write(home.path().join("bad.toml"), "http = 80\n").unwrap();
    fs::write(home.path().join("empty.toml"), "").unwrap();
    let check = |arguments: &str, code: i32, expected: &str| {
        let (found, _, log) = run(command(home.path(), arguments));
        assert_eq!(found, Some(code), "{arguments}: {log}");
        assert!(log.contains(expected), "{arguments}: {log}");
    };
    check("", 2, "Usage: conflow <COMMAND>");
    check("serve --prot 1", 2, "unexpected argument '--prot'");
    check("serve --drain soon", 2, "write a whole number from 0 to 86400");
    check("serve --config bad.toml", 1, "bad.toml, line 1: http: ");
    check("serve --config empty.toml --data other", 1, "has no [[account]]");
    check("serve --config none.toml", 1, "cannot read the configuration file none.toml");
    check("serve --http 127.0.0.1:0", 1, "is in use by another conflow");
    let busy = format!("serve --data other --http {}", running.http);
    check(&busy, 1, "cannot serve HTTP on 127.0.0.1:");

    fs::write(home.path().join("data.txt"), "").unwrap();
    check("serve --data data.txt", 1, "cannot make the data folder data.txt");
    let mut typed = command(home.path(), "serve");
    typed.env("CONFLOW_HTTP", "here");
    let (code, _, log) = run(typed);
    assert_eq!(code, Some(2));
    assert!(log.contains("'CONFLOW_HTTP (for --http <ADDR>)'"), "{log}");
}

#[test]
fn the_settings_that_hold_are_printed_and_nothing_else_happens() {
    let home = home();
    fs::write(home.path().join("conflow.toml"), "drain = 1\nrate_limit = 2\ndata = \"d\"\n")
        .unwrap();
    let mut command = command(home.path(), "serve --print-config --drain 3");
    command.env("CONFLOW_DRAIN", "4").env("CONFLOW_RATE_LIMIT", "5");
    let (code, printed, log) = run(command);
    assert_eq!((code, log.as_str()), (Some(0), ""));
    for line in ["drain = 3\n", "rate_limit = 5\n", "data = \"d\"\n", "members_max = 10000\n"] {
        assert!(printed.contains(line), "{printed}");
    }
    assert!(!home.path().join("d").exists());
}
