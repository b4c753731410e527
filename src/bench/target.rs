//! An engine to be measured: its folder, its accounts with their flows, and how it is asked.

use std::{fmt, fs, io::Write, iter, time::Duration};

use anyhow::Result;
use tokio::time::sleep;

use super::{
    external::{PREFIX, external},
    process::{Process, TempFolder},
};
use crate::{cli::ENGINE, client::api::ApiClient};

/// An engine of its own, or one in which the bench is a guest. Rooms are numbered from 0; what is
/// asked of a room is asked by its account.
pub(super) struct BenchTarget {
    pub(super) engine: Process,
    _folder: Option<TempFolder>,
}

/// The flows folder of an account lists no more.
pub(super) const ROOMS_PER_ACCOUNT: u32 = 10_000;
/// Flows that have changed of late are looked at anew for each call; those of a user have not.
const SETTLING: Duration = Duration::from_millis(2_500);
/// Nobody else can reach the engine, and it ends with us.
const TOKEN: &str = "the-token-of-a-bench";

impl BenchTarget {
    /// Starts an engine, with a flow for each room, and waits until it knows them. That in which
    /// the bench is a guest has none of its rooms.
    pub(super) async fn open(rooms: u32) -> Result<Self> {
        Self::open_with(rooms, &EngineOptions::default()).await
    }

    /// The same, with more beside the rooms.
    pub(super) async fn open_with(rooms: u32, options: &EngineOptions) -> Result<Self> {
        if let Some(external) = external() {
            external.prepare(options).await?;
            return Ok(Self { engine: Process::external(external.http), _folder: None });
        }
        let target = Self::start(rooms, options)?;
        sleep(SETTLING).await;
        Ok(target)
    }

    /// Starts an engine, with a flow for each room.
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
        // As a user has it, but that nothing is too much.
        let settings = "--config conflow.toml --http 127.0.0.1:0 --sip off --sim=true \
             --log-format json --rate-limit 1000000 --calls-max 0 --calls-per-second 0";
        let arguments: Vec<_> = iter::once(ENGINE).chain(settings.split_whitespace()).collect();
        let engine = Process::start(&arguments, folder.path())?;
        Ok(Self { engine, _folder: Some(folder) })
    }

    /// As the account of a room, with a client that can do more than the quick one.
    pub(super) fn client(&self, room: u32) -> Result<ApiClient> {
        ApiClient::new(&format!("http://{}", self.engine.http), account(room).parse()?, token())
    }
}

/// What an engine is told beside its rooms.
#[derive(Clone, Debug)]
pub(super) struct EngineOptions {
    /// At the end of its configuration file, if it is the bench's own.
    pub(super) config: String,
    /// More attributes of each `<Conference>`.
    pub(super) conference: String,
    /// What a call runs once it has heard that it is out.
    pub(super) end: &'static str,
}

impl Default for EngineOptions {
    fn default() -> Self {
        let (config, conference) = (String::new(), String::new());
        Self { config, conference, end: "<Wait length=\"3600\"/>" }
    }
}

impl EngineOptions {
    /// Quiet, so that what is heard in a room does not count: nobody is told of anybody.
    pub(super) fn flow(&self, room: u32) -> String {
        let (name, Self { conference, end, .. }) = (name(room), self);
        format!(
            "<Response><Conference stayAlone=\"true\" maxMembers=\"10000\" {conference}>{name}\
             </Conference><Speak>{SPOKEN}</Speak>{end}</Response>"
        )
    }
}

/// What a phone hears once it is out of its room.
pub(super) const SPOKEN: &str = "goodbye";

/// What the engine calls a room.
pub(super) fn name(room: u32) -> String {
    format!("{}room-{room}", prefix())
}

/// What stands before `room-…` in an engine that has rooms of others.
pub(super) fn prefix() -> &'static str {
    if external().is_some() { PREFIX } else { "" }
}

/// Whose a room is.
pub(super) fn account(room: u32) -> String {
    match external() {
        Some(external) => external.account.to_string(),
        None => format!("MACONFLOWBENCH{:06}", room / ROOMS_PER_ACCOUNT),
    }
}

fn token() -> &'static str {
    external().map_or(TOKEN, |it| &it.token)
}

/// `POST` below `Conference/` of a room's account; `what` begins with `room-` and its number.
pub(super) fn post(request: &mut Vec<u8>, room: u32, what: fmt::Arguments<'_>) {
    ask(request, "POST", room, what, "{}");
}

/// `DELETE`, as above.
pub(super) fn delete(request: &mut Vec<u8>, room: u32, what: fmt::Arguments<'_>) {
    ask(request, "DELETE", room, what, "");
}

/// `GET`, as above; nothing is all rooms.
pub(super) fn get(request: &mut Vec<u8>, room: u32, what: fmt::Arguments<'_>) {
    ask(request, "GET", room, what, "");
}

fn ask(request: &mut Vec<u8>, method: &str, room: u32, what: fmt::Arguments<'_>, body: &str) {
    let prefix = if what.as_str() == Some("") { "" } else { prefix() };
    let path = format_args!("v1/Account/{}/Conference/{prefix}{what}", account(room));
    write(request, method, room, path, body);
}

/// A phone dials into a room; a guest has it called.
pub(super) fn dial(request: &mut Vec<u8>, room: u32) {
    if let Some(external) = external() {
        let path = format_args!("v1/Account/{}/Call/", account(room));
        return write(request, "POST", room, path, &external.dial(room));
    }
    dial_to(request, room, format_args!("room-{room}"));
}

/// A phone of a room's account dials a number.
pub(super) fn dial_to(request: &mut Vec<u8>, room: u32, to: impl fmt::Display) {
    let body = format!("{{\"to\":\"{to}\"}}");
    write(request, "POST", room, format_args!("sim/v1/Account/{}/Phone/", account(room)), &body);
}

/// A phone hangs up.
pub(super) fn hang_up(request: &mut Vec<u8>, room: u32, call: &str) {
    let path = format_args!("sim/v1/Account/{}/Phone/{call}/", account(room));
    write(request, "DELETE", room, path, "");
}

/// The engine's figures.
pub(super) fn metrics(request: &mut Vec<u8>) {
    let head = format!("GET /metrics HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {TOKEN}\r\n");
    request.extend_from_slice(head.as_bytes());
    request.extend_from_slice(b"\r\n");
}

/// What a phone has heard.
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
