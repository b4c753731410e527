//! conflow as a child process, on free ports and in its own folder.

use std::{
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use parking_lot::{Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::{TempDir, tempdir};

/// The account of development mode and of the tests' configuration files.
pub(crate) const ID: &str = "MACONFLOWDEV00000000";

/// The token in configuration files.
pub(crate) const TOKEN: &str = "0123456789abcdef0123456789abcdef01234567";

/// The longest wait for anything, even on a busy machine.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// The interval between two looks at an awaited condition.
const POLL: Duration = Duration::from_millis(5);

/// Tests of sound run side by side; a test that needs the whole machine runs alone.
static MACHINE: RwLock<()> = RwLock::new(());

/// Takes a share of the machine.
pub(crate) fn beside_others() -> RwLockReadGuard<'static, ()> {
    MACHINE.read()
}

/// Takes the whole machine.
pub(crate) fn alone() -> RwLockWriteGuard<'static, ()> {
    MACHINE.write()
}

/// Waits until `look` returns a value.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < WAIT_MAX, "waited too long for {what}");
        thread::sleep(POLL);
    }
}

/// A running conflow. It is told to end when this is dropped, and must exit with success.
pub(crate) struct Conflow {
    child: Child,
    log: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
    pub(crate) http: SocketAddr,
    pub(crate) sip: SocketAddr,
    token: String,
    _home: TempDir,
}

impl Conflow {
    /// In development mode, with these flows.
    pub(crate) fn start(flows: &[(&str, &str)]) -> Self {
        Self::start_with("127.0.0.1:0", flows, None)
    }

    /// In development mode, with SIP at another address.
    pub(crate) fn at(sip: &str, flows: &[(&str, &str)]) -> Self {
        Self::start_with(sip, flows, None)
    }

    /// With a configuration file, to which the account is added.
    pub(crate) fn configured(flows: &[(&str, &str)], config: &str) -> Self {
        Self::start_with("127.0.0.1:0", flows, Some(config))
    }

    fn start_with(sip: &str, flows: &[(&str, &str)], config: Option<&str>) -> Self {
        let home = tempdir().unwrap();
        let mut folder = home.path().join("flows");
        if let Some(config) = config {
            folder.push(ID);
            let account = format!("[[account]]\nid = \"{ID}\"\ntokens = [\"{TOKEN}\"]\n");
            fs::write(home.path().join("conflow.toml"), format!("{config}\n{account}")).unwrap();
        }
        fs::create_dir_all(&folder).unwrap();
        for (name, flow) in flows {
            fs::write(folder.join(format!("{name}.xml")), flow).unwrap();
        }
        let mut child = command(home.path(), sip).spawn().unwrap();
        let log = Arc::<Mutex<String>>::default();
        let reader = read_log(&mut child, &log);
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut conflow = Self {
            child,
            log,
            reader: Some(reader),
            http: nowhere,
            sip: nowhere,
            token: TOKEN.to_owned(),
            _home: home,
        };
        conflow.find_addresses();
        if config.is_none() {
            let token = conflow._home.path().join("data/dev-token");
            conflow.token = fs::read_to_string(token).unwrap().trim().to_owned();
        }
        conflow
    }

    /// Kills it, so that it can do nothing more, and starts it again with the same data and at the same
    /// SIP address.
    pub(crate) fn kill_and_restart(&mut self) {
        kill_process(Pid::from_child(&self.child), Signal::KILL).unwrap();
        self.child.wait().unwrap();
        self.reader.take().map(JoinHandle::join);
        self.log.lock().clear();
        self.child = command(self._home.path(), &self.sip.to_string()).spawn().unwrap();
        self.reader = Some(read_log(&mut self.child, &self.log));
        self.find_addresses();
    }

    fn find_addresses(&mut self) {
        self.sip = address(&self.wait_for("SIP on "), "SIP on ");
        self.http = address(&self.wait_for("serves http="), "serves http=");
    }

    /// Waits for the first line of the log that contains these words, and returns it.
    pub(crate) fn wait_for(&self, words: &str) -> String {
        eventually(words, || {
            self.log.lock().lines().find(|it| it.contains(words)).map(String::from)
        })
    }

    /// Waits until `count` lines of the log contain these words.
    #[track_caller]
    pub(crate) fn wait_for_lines(&self, words: &str, count: usize) {
        let found = || self.log.lock().lines().filter(|it| it.contains(words)).count();
        eventually(&format!("{count} lines with {words}"), || (count <= found()).then_some(()));
        assert_eq!(found(), count, "{words}");
    }

    /// Its data folder.
    pub(crate) fn data(&self) -> PathBuf {
        self._home.path().join("data")
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().clone()
    }

    /// Sends a request below the account's path, such as `api/v1` and `Conference/room/`. Returns
    /// the status and the body.
    pub(crate) fn ask(&self, method: &str, api: &str, path: &str, body: &str) -> (u16, String) {
        send(self.http, &self.token, (method, api, path), body).unwrap()
    }

    /// Sends a request about a conference that must succeed: `room`, `Member/1/Kick/`.
    #[track_caller]
    pub(crate) fn order(&self, method: &str, room: &str, path: &str) {
        let (status, body) = self.ask(method, "api/v1", &format!("Conference/{room}/{path}"), "{}");
        assert!((200..300).contains(&status), "{method} {path}: {status} {body}");
    }

    /// The members of a conference: user and member id of each.
    pub(crate) fn members(&self, room: &str) -> Vec<(String, String)> {
        let (status, body) = self.ask("GET", "api/v1", &format!("Conference/{room}/"), "");
        if status == 404 {
            return Vec::new();
        }
        assert_eq!(status, 200, "{body}");
        let room: Value = serde_json::from_str(&body).unwrap();
        let of = |it: &Value| (user(it["from"].as_str().unwrap()), text(&it["member_id"]));
        room["members"].as_array().unwrap().iter().map(of).collect()
    }

    /// Waits until exactly these users are in a conference, and returns their member ids.
    #[track_caller]
    pub(crate) fn wait_members<const N: usize>(&self, room: &str, users: [&str; N]) -> [String; N] {
        eventually(&format!("{users:?} in {room}"), || {
            let members = self.members(room);
            let id = |user: &str| members.iter().find(|it| it.0 == user).map(|it| it.1.clone());
            let ids = users.map(id);
            let all = members.len() == N && ids.iter().all(Option::is_some);
            all.then(|| ids.map(Option::unwrap))
        })
    }

    fn end(&mut self) -> Result<(), String> {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).map_err(|error| error.to_string())?;
        let start = Instant::now();
        let status = loop {
            match self.child.try_wait().map_err(|error| error.to_string())? {
                Some(status) => break status,
                None if WAIT_MAX < start.elapsed() => return Err("it does not end".to_owned()),
                None => thread::sleep(POLL),
            }
        };
        self.reader.take().map(JoinHandle::join);
        let log = self.log.lock();
        let is_well = status.success() && !log.contains("panicked") && !log.contains(" ERROR ");
        if is_well { Ok(()) } else { Err(format!("{status}\n{log}")) }
    }
}

impl Drop for Conflow {
    fn drop(&mut self) {
        let ended = self.end();
        drop(self.child.kill());
        drop(self.child.wait());
        match thread::panicking() {
            // The log most likely has the reason.
            true => write_out(&format!("--- the log of conflow:\n{}\n", self.log.lock())),
            false => assert_eq!(ended, Ok(())),
        }
    }
}

/// Sends a request below the account's path to a server that may be gone.
pub(crate) fn send(
    http: SocketAddr,
    token: &str,
    (method, api, path): (&str, &str, &str),
    body: &str,
) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(http)?;
    stream.set_read_timeout(Some(WAIT_MAX))?;
    let length = body.len();
    let request = format!(
        "{method} /{api}/Account/{ID}/{path} HTTP/1.1\r\nHost: here\r\n\
         Connection: close\r\nX-Auth-ID: {ID}\r\nX-Auth-Token: {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    let status = head.split(' ').nth(1).and_then(|it| it.parse().ok());
    Ok((status.ok_or(io::ErrorKind::InvalidData)?, body.to_owned()))
}

/// Prints to stderr, even where tests have theirs captured.
pub(crate) fn write_out(text: &str) {
    _ = io::stderr().write_all(text.as_bytes());
}

/// Ends a process that the tests started by SIGTERM, or else kills it.
pub(crate) fn end(child: &mut Child) {
    if matches!(child.try_wait(), Ok(Some(_))) {
        return;
    }
    _ = kill_process(Pid::from_child(child), Signal::TERM);
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(5) {
        if matches!(child.try_wait(), Ok(Some(_))) {
            return;
        }
        thread::sleep(POLL);
    }
    drop(child.kill());
    drop(child.wait());
}

/// Keeps the log of a process, until that ends.
fn read_log(child: &mut Child, log: &Arc<Mutex<String>>) -> JoinHandle<()> {
    let (lines, kept) = (BufReader::new(child.stderr.take().unwrap()), Arc::clone(log));
    thread::spawn(move || {
        for line in lines.lines() {
            *kept.lock() += &(line.unwrap_or_default() + "\n");
        }
    })
}

fn command(home: &Path, sip: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_conflow"));
    let own = std::env::vars_os().map(|(name, _)| name);
    own.filter(|name| name.to_string_lossy().starts_with("CONFLOW_")).for_each(|name| {
        command.env_remove(name);
    });
    let arguments = ["serve", "--http", "127.0.0.1:0", "--sip", sip];
    command.args(arguments).current_dir(home).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// The address that follows these words.
pub(crate) fn address(line: &str, words: &str) -> SocketAddr {
    let (_, rest) = line.split_once(words).unwrap();
    rest.split([' ', ',']).next().unwrap().parse().unwrap()
}

/// `anna` of `sip:anna@127.0.0.1`.
fn user(uri: &str) -> String {
    uri.trim_start_matches("sip:").split('@').next().unwrap_or_default().to_owned()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
