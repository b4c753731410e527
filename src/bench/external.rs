//! External engine: one that others run. Connects to it, serves its flows, and removes all calls of
//! the bench at the end.

use std::{
    mem,
    net::{IpAddr, SocketAddr},
    sync::OnceLock,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use axum::body::Bytes;
use parking_lot::MutexGuard;
use serde::Deserialize;
use tokio::{
    net::TcpStream,
    time::{sleep, timeout},
};
use url::{Url, form_urlencoded};

use super::{
    clock::now,
    link::{BenchConnection, BenchResponse},
    load::{LoadPace, Workload, drive},
    receiver::{BenchReceiver, RequestHandler},
    target::{self, EngineOptions},
};
use crate::{base::ids::AccountId, cli::bench::Scenario};

/// An account on an engine of others, and the flows for it.
pub(super) struct ExternalEngine {
    pub(super) url: String,
    pub(super) http: SocketAddr,
    /// Value of the `Host` header.
    pub(super) host: String,
    pub(super) account: AccountId,
    pub(super) token: String,
    /// The engine's version, from its OpenAPI document.
    pub(super) version: String,
    has_phones: bool,
    /// Serves the flows to the engine.
    receiver: BenchReceiver<BenchFlows>,
}

/// A process measures one engine: its own, or this one.
static EXTERNAL: OnceLock<ExternalEngine> = OnceLock::new();

/// Prefix of the names of the bench's rooms; other rooms must not have it.
pub(super) const PREFIX: &str = "conflow-bench-";
/// Calls end by themselves if the bench cannot end them: longer than any measurement.
pub(super) const CALL_SECONDS_MAX: u32 = 2 * 60 * 60;
/// An engine that takes longer is treated as failed.
const ENTRY_WAIT_MAX: Duration = Duration::from_secs(10);
/// Calls have fetched their flows within this time, or have failed.
const ARRIVAL_WAIT_MAX: Duration = Duration::from_secs(2);
/// Rooms whose calls were hung up are gone within this time.
const LEAVE_WAIT_MAX: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(20);
/// Connections that hang up calls.
const CONNECTIONS: usize = 8;

#[derive(Default)]
struct BenchFlows {
    /// Calls that were requested.
    dialled: u64,
    /// Calls that have fetched their flows.
    arrived: u64,
    /// Calls that have fetched their flows and were not hung up.
    calls: Vec<String>,
    options: EngineOptions,
    /// Further calls are hung up.
    is_over: bool,
}

/// The external engine, if `--url` names one.
pub(super) fn external() -> Option<&'static ExternalEngine> {
    EXTERNAL.get()
}

impl ExternalEngine {
    /// Connects to an engine and checks that a bench may run there.
    ///
    /// # Errors
    ///
    /// There is no engine, it denies access, or another bench is running there.
    pub(super) async fn connect(
        url: &str,
        account: AccountId,
        token: String,
    ) -> Result<&'static Self> {
        let connected = timeout(ENTRY_WAIT_MAX, Self::probe(url, account, token)).await;
        let entered = connected.with_context(|| format!("--url {url}: no answer"))??;
        let external = EXTERNAL.get_or_init(|| entered);
        let rooms = external.rooms().await?;
        ensure!(
            rooms.is_empty(),
            "another bench is running there, or was killed: there is a room {:?}; its calls end \
             within {CALL_SECONDS_MAX} s",
            rooms[0]
        );
        Ok(external)
    }

    async fn probe(url: &str, account: AccountId, token: String) -> Result<Self> {
        let (host, port) = address(url)?;
        let stream = TcpStream::connect((host.trim_matches(['[', ']']), port)).await;
        let stream = stream.with_context(|| format!("--url {url}: nobody answers there"))?;
        let (http, own) = (stream.peer_addr()?, stream.local_addr()?);
        let host = format!("{host}:{port}");
        let request = format!("GET /openapi.json HTTP/1.1\r\nhost: {host}\r\n\r\n");
        let mut link = BenchConnection::open(http).await?;
        let document = EngineDescription::read(link.ask(request.as_bytes()).await?);
        let document = document.with_context(|| format!("--url {url}: this is not conflow"))?;

        Ok(Self {
            url: url.to_owned(),
            http,
            host,
            account,
            token,
            version: document.info.version,
            has_phones: document.paths.keys().any(|it| it.starts_with("/sim/v1/")),
            receiver: BenchReceiver::start_at(own.ip(), BenchFlows::default()).await?,
        })
    }

    /// Address of this machine, as the engine reaches it.
    pub(super) fn own_ip(&self) -> IpAddr {
        self.receiver.http.ip()
    }

    /// Reason why a scenario cannot run on the engine.
    pub(super) fn missing_for(&self, scenario: Scenario) -> Option<&'static str> {
        let phones = "the engine has no simulated phones (--sim)";
        match scenario {
            Scenario::Idle => {
                Some("memory and processor time of an external engine are not visible")
            }
            Scenario::Start => Some("an external engine is running already"),
            Scenario::Fetch => Some("it needs a number in the engine's configuration"),
            Scenario::Soak => Some("memory and gauges of an external engine are not visible"),
            Scenario::Media => Some("it measures the media engine inside of this process"),
            Scenario::Parse => None,
            Scenario::Callbacks
            | Scenario::Events
            | Scenario::Get
            | Scenario::Join
            | Scenario::KickAll
            | Scenario::KickList
            | Scenario::KickOne
            | Scenario::List
            | Scenario::Mixed
            | Scenario::Mute => (!self.has_phones).then_some(phones),
        }
    }

    /// Body of the request for a call that joins a room.
    pub(super) fn dial(&self, room: u32) -> String {
        self.flows().dialled += 1;
        format!(
            "{{\"from\":\"conflow-bench\",\"to\":\"sim:bench?ring_ms=0\",\"answer_method\":\"GET\",\
             \"answer_url\":\"http://{}/{room}\",\"time_limit\":{CALL_SECONDS_MAX}}}",
            self.receiver.http
        )
    }

    /// Hint for a call that did not join a room.
    pub(super) fn hint(&self) -> String {
        match self.flows().arrived {
            0 => format!(
                "; the engine has not fetched a flow from {}: see its --fetch-allow, \
                 --calls-max and --calls-per-second",
                self.receiver.http
            ),
            _ => String::new(),
        }
    }

    fn flows(&self) -> MutexGuard<'_, BenchFlows> {
        self.receiver.handler.lock()
    }

    /// Hangs up all calls of the bench; its rooms then end.
    ///
    /// # Errors
    ///
    /// The engine does not answer, or the rooms do not end.
    pub(super) async fn clear(&self) -> Result<()> {
        let begin = now();
        let is_late =
            |it: &BenchFlows| it.arrived < it.dialled && begin.elapsed() < ARRIVAL_WAIT_MAX;
        while is_late(&self.flows()) {
            sleep(LOOK).await;
        }
        let begin = now();
        loop {
            let calls = mem::take(&mut self.flows().calls);
            let pace = LoadPace { connections: CONNECTIONS, time_max: None, rate: None };
            drive(self.http, pace, &mut HangUps { calls }).await?;
            let rooms = self.rooms().await?;
            if rooms.is_empty() && self.flows().calls.is_empty() {
                let mut flows = self.flows();
                flows.arrived = flows.dialled;
                return Ok(());
            }
            ensure!(begin.elapsed() < LEAVE_WAIT_MAX, "rooms are still there: {rooms:?}");
            sleep(LOOK).await;
        }
    }

    /// Ends earlier calls, and sets the options for further ones.
    pub(super) async fn prepare(&self, options: &EngineOptions) -> Result<()> {
        self.clear().await?;
        self.flows().options = options.clone();
        Ok(())
    }

    /// Ends earlier calls, and hangs up further ones.
    pub(super) async fn leave(&self) -> Result<()> {
        self.flows().is_over = true;
        self.clear().await
    }

    /// Names of the bench's rooms.
    async fn rooms(&self) -> Result<Vec<String>> {
        #[derive(Deserialize)]
        struct ListedRooms {
            conferences: Vec<String>,
        }

        let (mut link, mut request) = (BenchConnection::open(self.http).await?, Vec::new());
        target::get(&mut request, 0, format_args!(""));
        let BenchResponse { status, body } = link.ask(&request).await?;
        let message = String::from_utf8_lossy(body);
        match status {
            200 => (),
            401 | 403 => bail!(
                "the engine denies access to this account ({message}): see --account, --token-file \
                 and CONFLOW_AUTH_TOKEN"
            ),
            _ => bail!("the engine does not list its rooms: {status} {message}"),
        }
        let mut rooms = serde_json::from_slice::<ListedRooms>(body)?.conferences;
        rooms.retain(|it| it.starts_with(PREFIX));
        Ok(rooms)
    }
}

/// Splits a URL into host and port.
fn address(url: &str) -> Result<(String, u16)> {
    let wanted = "give the engine's own address, such as http://127.0.0.1:8080";
    let parsed = Url::parse(url).with_context(|| format!("--url {url}: {wanted}"))?;
    if parsed.scheme() != "http" || parsed.path() != "/" || parsed.query().is_some() {
        // A proxy in front of the engine would be measured with it.
        bail!("--url {url}: {wanted}");
    }
    let host = parsed.host_str().with_context(|| format!("--url {url}: {wanted}"))?;
    Ok((host.to_owned(), parsed.port().unwrap_or(80)))
}

/// Parts of the engine's OpenAPI document.
#[derive(Deserialize)]
struct EngineDescription {
    info: EngineInfo,
    paths: serde_json::Map<String, serde_json::Value>,
}

#[derive(Deserialize)]
struct EngineInfo {
    title: String,
    version: String,
}

impl EngineDescription {
    fn read(answer: BenchResponse<'_>) -> Result<Self> {
        ensure!(answer.status == 200, "it has no /openapi.json: {}", answer.status);
        let document: Self = serde_json::from_slice(answer.body)?;
        ensure!(document.info.title == "conflow", "it is {:?}", document.info.title);
        Ok(document)
    }
}

/// The path is the number of a room.
impl RequestHandler for BenchFlows {
    fn handle(&mut self, _: Instant, path: &str, fields: form_urlencoded::Parse<'_>) -> Bytes {
        let Some(room) = path.strip_prefix('/').and_then(|it| it.parse().ok()) else {
            return Bytes::new();
        };
        for (_, call) in fields.filter(|(name, _)| name == "CallUUID") {
            self.arrived += 1;
            self.calls.push(call.into_owned());
        }
        match self.is_over {
            true => Bytes::from_static(b"<Response><Hangup/></Response>"),
            false => self.options.flow(room).into(),
        }
    }
}

struct HangUps {
    calls: Vec<String>,
}

impl Workload for HangUps {
    fn next(&mut self, request: &mut Vec<u8>) -> Option<usize> {
        target::hang_up(request, 0, &self.calls.pop()?);
        Some(0)
    }

    fn check(&mut self, _: usize, answer: BenchResponse<'_>) -> Result<(), String> {
        // The call may have ended already.
        match answer.status {
            204 | 404 | 409 => Ok(()),
            _ => Err("a call is not hung up".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_has_an_address_and_nothing_before_it() {
        let check = |url: &str, expected: Option<(&str, u16)>| {
            let found = address(url).ok();
            assert_eq!(found, expected.map(|(host, port)| (host.to_owned(), port)), "{url}");
        };
        check("http://127.0.0.1:8080", Some(("127.0.0.1", 8080)));
        check("http://[::1]:8080/", Some(("[::1]", 8080)));
        check("http://here", Some(("here", 80)));
        check("https://here", None);
        check("http://here/conflow", None);
        check("here:8080", None);
    }

    #[test]
    fn a_call_after_the_end_is_hung_up() {
        let mut flows = BenchFlows::default();
        let mut handle = |path: &str, is_over: bool| {
            flows.is_over = is_over;
            let fields = form_urlencoded::parse(b"From=x&CallUUID=a");
            let flow = flows.handle(now(), path, fields);
            (String::from_utf8(flow.to_vec()).unwrap(), flows.arrived, flows.calls.len())
        };
        let (flow, arrived, calls) = handle("/7", false);
        assert!(flow.contains(">room-7</Conference>"), "{flow}");
        assert_eq!((arrived, calls), (1, 1));
        assert_eq!(handle("/7", true), ("<Response><Hangup/></Response>".to_owned(), 2, 2));
        assert_eq!(handle("/x", true), (String::new(), 2, 2));
    }
}
