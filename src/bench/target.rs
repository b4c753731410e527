//! Target of a bench: an engine with its folder, accounts and flows, and the requests to it.

use std::{
    fmt, fs,
    io::Write,
    iter,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use anyhow::Result;
use tokio::time::sleep;

use super::{
    external::{PREFIX, external},
    process::{Process, TempFolder},
};
use crate::{cli::ENGINE, client::server::ServerClient};

/// An engine of the bench, or an external one. Rooms are numbered from 0; requests about a room use
/// its account.
pub(super) struct BenchTarget {
    pub(super) engine: Process,
    _folder: Option<TempFolder>,
}

/// Maximum number of flows in an account's folder.
pub(super) const ROOMS_PER_ACCOUNT: u32 = 10_000;
/// A flow that has changed recently is read again for each call, unlike a user's flows; after this
/// time it is not.
const SETTLING: Duration = Duration::from_millis(2_500);
/// Nobody else can reach the engine, and it ends with the bench.
const TOKEN: &str = "the-token-of-a-bench";

/// Whether engines keep their events in memory only.
static FORGETS: AtomicBool = AtomicBool::new(false);

/// Whether engines keep rows of calls.
static KEEPS_ROWS: AtomicBool = AtomicBool::new(false);

/// Sets whether calls of engines that start from now on have rows, if their events outlive them.
pub(super) fn keep_rows(keeps: bool) {
    KEEPS_ROWS.store(keeps, Relaxed);
}

/// Sets whether the events of engines that start from now on outlive them.
pub(super) fn keep_events(keeps: bool) {
    FORGETS.store(!keeps, Relaxed);
}

impl BenchTarget {
    /// Starts an engine with a flow for each room, and waits until it has them. An external engine
    /// is only prepared.
    pub(super) async fn open(rooms: u32) -> Result<Self> {
        Self::open_with(rooms, &EngineOptions::default()).await
    }

    /// Opens a target with options.
    pub(super) async fn open_with(rooms: u32, options: &EngineOptions) -> Result<Self> {
        if let Some(external) = external() {
            external.prepare(options).await?;
            return Ok(Self { engine: Process::external(external.http), _folder: None });
        }
        let target = Self::start(rooms, options)?;
        sleep(SETTLING).await;
        Ok(target)
    }

    /// Starts an engine with a flow for each room.
    pub(super) fn start(rooms: u32, options: &EngineOptions) -> Result<Self> {
        let folder = TempFolder::new()?;
        let flows = folder.path().join("flows");
        let mut config = fs::File::create(folder.path().join("conflow.toml"))?;
        writeln!(config, "ops_token = \"{TOKEN}\"\n[fetch]\nallow = [\"127.0.0.1\"]")?;
        for first in (0..rooms.max(1)).step_by(ROOMS_PER_ACCOUNT as usize) {
            let (id, account) = (account(first), flows.join(account(first)));
            writeln!(
                config,
                "[[account]]\nid = \"{id}\"\ntokens = [\"{TOKEN}\"]\ndialect = \"plivo\""
            )?;
            fs::create_dir_all(&account)?;
            for room in first..rooms.min(first + ROOMS_PER_ACCOUNT) {
                fs::write(account.join(format!("room-{room}.xml")), options.flow(room))?;
            }
        }
        config.write_all(options.config.as_bytes())?;
        drop(config);
        // A user's settings, but without limits.
        let settings = "--config conflow.toml --http 127.0.0.1:0 --sip off --sim=true \
             --log-format json --rate-limit 1000000 --calls-max 0 --calls-per-second 0";
        let forgets = FORGETS.load(Relaxed).then_some("--without-state-log");
        let rows = KEEPS_ROWS.load(Relaxed).then_some("--recovery-simulated=true");
        let flags = forgets.into_iter().chain(rows);
        let arguments = iter::once(ENGINE).chain(settings.split_whitespace()).chain(flags);
        let arguments: Vec<_> = arguments.collect();
        let engine = Process::start(&arguments, folder.path())?;
        Ok(Self { engine, _folder: Some(folder) })
    }

    /// A full client for the account of a room.
    pub(super) fn client(&self, room: u32) -> Result<ServerClient> {
        ServerClient::new(
            &format!("http://{}", self.engine.http),
            account(room).parse()?,
            token(),
            &[],
        )
    }
}

/// Options of an engine.
#[derive(Clone, Debug)]
pub(super) struct EngineOptions {
    /// Appended to the configuration file of the bench's own engine.
    pub(super) config: String,
    /// Additional attributes of each `<Conference>`.
    pub(super) conference: String,
    /// Elements that a call runs after its goodbye.
    pub(super) end: &'static str,
}

impl Default for EngineOptions {
    fn default() -> Self {
        let (config, conference) = (String::new(), String::new());
        Self { config, conference, end: "<Wait length=\"3600\"/>" }
    }
}

impl EngineOptions {
    /// The flow of a room. It is quiet, so that sounds in a room do not count.
    pub(super) fn flow(&self, room: u32) -> String {
        let (name, Self { conference, end, .. }) = (name(room), self);
        format!(
            "<Response><Conference stayAlone=\"true\" maxMembers=\"10000\" {conference}>{name}\
             </Conference><Speak>{SPOKEN}</Speak>{end}</Response>"
        )
    }
}

/// Text that a phone hears after its room.
pub(super) const SPOKEN: &str = "goodbye";

/// Name of a room in the engine.
pub(super) fn name(room: u32) -> String {
    format!("{}room-{room}", prefix())
}

/// Prefix of `room-…` in an external engine.
pub(super) fn prefix() -> &'static str {
    if external().is_some() { PREFIX } else { "" }
}

/// Account of a room.
pub(super) fn account(room: u32) -> String {
    match external() {
        Some(external) => external.account.to_string(),
        None => format!("MACONFLOWBENCH{:06}", room / ROOMS_PER_ACCOUNT),
    }
}

fn token() -> &'static str {
    external().map_or(TOKEN, |it| &it.token)
}

/// Writes a `POST` below `Conference/` of a room's account; `what` begins with `room-` and its
/// number.
pub(super) fn post(request: &mut Vec<u8>, room: u32, what: fmt::Arguments<'_>) {
    ask(request, "POST", room, what, "{}");
}

/// Writes a `DELETE`, like [`post`].
pub(super) fn delete(request: &mut Vec<u8>, room: u32, what: fmt::Arguments<'_>) {
    ask(request, "DELETE", room, what, "");
}

/// Writes a `GET`, like [`post`]; an empty `what` is the list of rooms.
pub(super) fn get(request: &mut Vec<u8>, room: u32, what: fmt::Arguments<'_>) {
    ask(request, "GET", room, what, "");
}

fn ask(request: &mut Vec<u8>, method: &str, room: u32, what: fmt::Arguments<'_>, body: &str) {
    let prefix = if what.as_str() == Some("") { "" } else { prefix() };
    let path = format_args!("v1/Account/{}/Conference/{prefix}{what}", account(room));
    write(request, method, room, path, body);
}

/// Writes a request by which a phone joins a room: it calls in, or an external engine calls it.
pub(super) fn dial(request: &mut Vec<u8>, room: u32) {
    if let Some(external) = external() {
        let path = format_args!("v1/Account/{}/Call/", account(room));
        return write(request, "POST", room, path, &external.dial(room));
    }
    dial_to(request, room, format_args!("room-{room}"));
}

/// Writes a request by which a phone calls a number.
pub(super) fn dial_to(request: &mut Vec<u8>, room: u32, to: impl fmt::Display) {
    let body = format!("{{\"to\":\"{to}\"}}");
    write(request, "POST", room, format_args!("sim/v1/Account/{}/Phone/", account(room)), &body);
}

/// Writes a request by which a phone hangs up.
pub(super) fn hang_up(request: &mut Vec<u8>, room: u32, call: &str) {
    let path = format_args!("sim/v1/Account/{}/Phone/{call}/", account(room));
    write(request, "DELETE", room, path, "");
}

/// Writes a request for the engine's gauges and counters.
pub(super) fn metrics(request: &mut Vec<u8>) {
    let head = format!("GET /metrics HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {TOKEN}\r\n");
    request.extend_from_slice(head.as_bytes());
    request.extend_from_slice(b"\r\n");
}

/// Writes a request for the sounds that a phone has heard.
pub(super) fn phone(request: &mut Vec<u8>, room: u32, call: &str) {
    let path = format_args!("sim/v1/Account/{}/Phone/{call}/", account(room));
    write(request, "GET", room, path, "");
}

fn write(request: &mut Vec<u8>, method: &str, room: u32, path: fmt::Arguments<'_>, body: &str) {
    let (account, length) = (account(room), body.len());
    let (host, token) = (external().map_or("bench", |it| &it.host), token());
    let written = write!(
        request,
        "{method} /{path} HTTP/1.1\r\nhost: {host}\r\nx-auth-id: {account}\r\nx-auth-token: {token}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    written.expect("memory takes it");
}
