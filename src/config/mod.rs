//! Configuration: merges flags, environment, file and defaults into checked values.

mod account;
mod applications;
mod console;
mod error;
mod file;
mod groups;
mod log;
mod phones;
mod recordings;
pub mod rows;
mod trunk;

use std::{
    cell::RefCell,
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use serde::Serialize;

use self::{
    account::UnresolvedOwner,
    file::{ConfigSource, read},
};
pub use self::{
    account::{AccountConfig, NumberConfig},
    console::ConsoleConfig,
    error::ConfigError,
    groups::{BungieConfig, CapillaryConfig, GroupsConfig, KiriminConfig, RocketChatConfig},
    log::LogConfig,
    phones::{EndpointConfig, SipConfig, SpeechConfig},
    recordings::{KeepConfig, RecordingsConfig},
    trunk::{OutboundConfig, TargetConfig, TrunkConfig},
};
pub use crate::cli::login::DEVELOPMENT_ACCOUNT;
use crate::{
    base::{
        ids::{AccountId, Dialect},
        network::IpNetwork,
    },
    cli::{
        kept::{EventsSettings, RecoverySettings, TraceSettings},
        serve::ServeArgs,
        settings::{self, ByteSize, Count, ListenAddress, Secret, Settings},
    },
    provisioning::CallApplication,
    tls::TlsFiles,
};

/// The settings in effect. Flags take precedence over the environment, then the file, then
/// defaults.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Config {
    /// Listen address of the HTTP server.
    pub http: ListenAddress,
    /// Certificate of the HTTP server, in PEM. With it, the server speaks HTTPS only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_cert: Option<PathBuf>,
    /// The private key of the certificate, in PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_key: Option<PathBuf>,
    /// Folder of the data that outlives the process; made if it is missing.
    pub data: PathBuf,
    /// Folder of the flows; with a file, each account has a subfolder named after its id.
    pub flows: PathBuf,
    /// Seconds that calls may continue after a SIGTERM before they are asked to leave.
    pub drain: Count<0, 86_400>,
    /// Requests of an account within 5 seconds; 0 for no limit.
    pub rate_limit: Count<0, 1_000_000>,
    /// Maximum duration of a call, in seconds from its answer.
    pub call_time_limit: Count<1, 86_400>,
    /// Concurrent calls of an account; 0 for no limit.
    pub calls_max: Count<0, 1_000_000>,
    /// Calls that an account makes in a second; 0 for no limit.
    pub calls_per_second: Count<0, 1_000_000>,
    /// Maximum number of members of a conference.
    pub members_max: Count<1, 100_000>,
    /// Proxies whose `X-Forwarded-For` names the client.
    pub trusted_proxies: Vec<IpNetwork>,
    /// Bearer token for `/metrics`; without one, `/metrics` does not exist.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ops_token: Option<Secret>,
    /// Format and level of the log.
    pub log: LogConfig,
    /// How much of the events is kept.
    pub events: EventsConfig,
    /// How calls come back after a crash.
    pub recovery: RecoveryConfig,
    /// How long call detail records are kept.
    pub cdrs: CdrConfig,
    /// How much of the traces is kept.
    pub traces: TraceConfig,
    /// Limits, retention and URLs of recordings.
    pub recordings: RecordingsConfig,
    /// Compatibility choices of the voice API.
    pub voice: VoiceConfig,
    /// Access rules for requests that conflow sends.
    pub fetch: FetchConfig,
    /// Web pages that may use the API from a browser.
    pub cors: CorsConfig,
    /// Whether there is a web console, and where it may be opened.
    pub console: ConsoleConfig,
    /// Whether there are simulated phones, and how long they play sounds.
    pub sim: SimConfig,
    /// Addresses and ports of real phones.
    pub sip: SipConfig,
    /// Speech program for real phones.
    pub speech: SpeechConfig,
    /// Limits that all four group dialects share.
    pub groups: GroupsConfig,
    /// Compatibility choices of the Bungie dialect.
    pub bungie: BungieConfig,
    /// Compatibility choices of the Rocket.Chat dialect.
    pub rocketchat: RocketChatConfig,
    /// Compatibility choices of the Kirimin dialect.
    pub kirimin: KiriminConfig,
    /// Compatibility choices of the Capillary dialect.
    pub capillary: CapillaryConfig,
    /// Phones that register with a password.
    #[serde(rename = "endpoint", skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<EndpointConfig>,
    /// What the calls of endpoints run.
    #[serde(rename = "application", skip_serializing_if = "Vec::is_empty")]
    pub applications: Vec<CallApplication>,
    /// Gateways that call without registering.
    #[serde(rename = "trunk", skip_serializing_if = "Vec::is_empty")]
    pub trunks: Vec<TrunkConfig>,
    /// Accounts of the file. The development account has no token unless the environment sets one.
    #[serde(rename = "account")]
    pub accounts: Vec<AccountConfig>,
    /// Called numbers, and the flow or URL of each.
    #[serde(rename = "number", skip_serializing_if = "Vec::is_empty")]
    pub numbers: Vec<NumberConfig>,
    /// Path of the file; None in development mode.
    #[serde(skip)]
    pub file: Option<PathBuf>,
    /// A data folder without its database may be used; only as a flag.
    #[serde(skip)]
    pub is_new_store: bool,
    /// Calls of the last process go on; false only by a flag.
    #[serde(skip)]
    pub restores: bool,
    /// Events and callbacks outlive the process; false in a bench that measures the cost of that.
    #[serde(skip)]
    pub has_state_log: bool,
    /// Rows whose accounts are not in the file, so the data folder must have them.
    #[serde(skip)]
    unresolved_owners: Vec<UnresolvedOwner>,
}

/// Checked values of the table `[events]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct EventsConfig {
    /// Seconds for which events are kept.
    pub keep: Count<60, 2_592_000>,
    /// Size beyond which the oldest are removed earlier.
    pub bytes_max: ByteSize<{ 64 << 20 }, { 1 << 40 }>,
}

/// Checked values of the table `[recovery]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RecoveryConfig {
    /// Phones that are asked in a second whether they are still there.
    pub reinvites_per_second: Count<1, 10_000>,
    /// Whether calls of simulated phones have rows, too.
    pub simulated: bool,
}

/// Checked values of the table `[cdrs]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CdrConfig {
    /// Seconds from the end of a call.
    pub keep: Count<60, 1_000_000_000>,
}

/// Checked values of the table `[traces]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct TraceConfig {
    /// Seconds for which traces are kept.
    pub keep: Count<60, 1_000_000_000>,
    /// Size beyond which the oldest are removed earlier.
    pub bytes_max: ByteSize<{ 1 << 20 }, { 1 << 40 }>,
}

/// Checked values of the table `[voice]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct VoiceConfig {
    /// Shape of member ids in Plivo's responses.
    pub plivo: settings::PlivoMembers,
    /// Status and member ids in Vobiz' responses.
    pub vobiz: settings::VobizAnswers,
}

/// Checked values of the table `[fetch]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FetchConfig {
    /// Networks that requests may reach in addition to public addresses.
    pub allow: Vec<IpNetwork>,
}

/// Checked values of the table `[cors]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CorsConfig {
    /// Origins of those pages, as browsers send them.
    pub origins: Vec<settings::WebOrigin>,
}

/// Checked values of the table `[sim]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SimConfig {
    /// Whether there are simulated phones.
    pub on: bool,
    /// Duration of speech, in milliseconds for each character.
    pub speech_ms_per_char: Count<0, 60_000>,
    /// Duration of a beep, in milliseconds.
    pub beep_ms: Count<0, 3_600_000>,
    /// Duration of any other sound, in milliseconds.
    pub sound_ms: Count<0, 3_600_000>,
}

/// Only this machine reaches the default address.
const DEFAULT_HTTP: ListenAddress =
    ListenAddress(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080));
/// Read from the working directory if no other file is named.
const DEFAULT_FILE: &str = "conflow.toml";
/// Requests of an account within 5 seconds, as the vendors state it (contract 7).
const RATE_LIMIT: Count<0, 1_000_000> = Count::new(3_000);
/// As many calls as one request may name (contract 7), so that the largest valid request passes.
const CALLS_MAX: Count<0, 1_000_000> = Count::new(1_000);
/// Retention of the vendors (Plivo: 90 days). Who called whom must not be kept for ever.
const CDRS_KEEP: Count<60, 1_000_000_000> = Count::new(90 * 86_400);

impl EventsConfig {
    fn new(layer: &EventsSettings) -> Self {
        Self {
            keep: layer.keep.unwrap_or(Count::new(86_400)),
            bytes_max: layer.bytes_max.unwrap_or(ByteSize::new(1 << 30)),
        }
    }
}

impl RecoveryConfig {
    fn new(layer: &RecoverySettings) -> Self {
        Self {
            reinvites_per_second: layer.reinvites_per_second.unwrap_or(Count::new(200)),
            simulated: layer.simulated.unwrap_or(false),
        }
    }
}

impl TraceConfig {
    fn new(layer: &TraceSettings) -> Self {
        Self {
            keep: layer.keep.unwrap_or(Count::new(7 * 86_400)),
            bytes_max: layer.bytes_max.unwrap_or(ByteSize::new(1 << 30)),
        }
    }
}

impl Config {
    /// Merges the layers. `token` is the development account's, from the environment; `here` is the
    /// folder that is searched for `conflow.toml` if no file is named.
    ///
    /// # Errors
    ///
    /// [`ConfigError`]: the error, its place, and which values are allowed.
    pub fn load(flags: ServeArgs, token: Option<String>, here: &Path) -> Result<Self, ConfigError> {
        let default = here.join(DEFAULT_FILE);
        let file = match flags.config {
            Some(file) => Some(file),
            // Only a file that is not there means development mode.
            None => default
                .try_exists()
                .map_err(|source| ConfigError::Unreadable { path: default.clone(), source })?
                .then_some(default),
        };
        let (is_new_store, restores) = (flags.new_store, !flags.no_restore);
        let Some(path) = file else {
            let config = Self::new(flags.settings, development(token), None);
            return Ok(Self { is_new_store, restores, ..config });
        };
        if token.is_some() {
            let why = "CONFLOW_AUTH_TOKEN is for development mode, which has no configuration \
                file: put the token into its [[account]], and unset the variable";
            return Err(ConfigError::Incomplete(why.to_owned()));
        }

        let text = read(&path)?;
        let source =
            ConfigSource { path: &path, text: &text, unresolved_owners: RefCell::default() };
        let layer = source.settings()?;
        let accounts = source.accounts(&layer.accounts)?;
        let numbers = source.numbers(&layer.numbers, &accounts)?;
        let endpoints = source.endpoints(&layer.endpoints, &accounts)?;
        let applications = source.applications(&layer.applications, &accounts)?;
        let trunks = source.trunks(&layer.trunks, &accounts)?;
        let networks = layer.sip.local_networks.as_deref().unwrap_or_default();
        let local_networks = source.networks(networks)?;
        let nameservers =
            source.nameservers(layer.sip.nameservers.as_deref().unwrap_or_default())?;
        let dial_allow = source.dial_hosts(layer.sip.dial_allow.as_deref().unwrap_or_default())?;
        let mut config = Self::new(flags.settings.over(layer), accounts, Some(path.clone()));
        (config.sip.local_networks, config.sip.nameservers) = (local_networks, nameservers);
        config.sip.dial_allow = dial_allow;
        let unresolved_owners = source.unresolved_owners.take();
        (config.is_new_store, config.restores) = (is_new_store, restores);
        Ok(Self { numbers, endpoints, applications, trunks, unresolved_owners, ..config })
    }

    /// Sets the ops token from the environment, which takes precedence over the file's.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Incomplete`]: the token is too easy to guess, or no header can carry it.
    pub fn with_ops_token(mut self, token: Option<String>) -> Result<Self, ConfigError> {
        self.ops_token = token.map(Secret).or(self.ops_token);
        let Some(Secret(token)) = &self.ops_token else { return Ok(self) };
        let is_good = file::is_token(token) || token == Secret::HIDDEN;
        if !is_good {
            let why = format!("ops_token (CONFLOW_OPS_TOKEN): {}", file::token_wanted());
            return Err(ConfigError::Incomplete(why));
        }
        Ok(self)
    }

    /// The configuration as a file that can be read again, except for the secrets.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("names, numbers and words are TOML")
    }

    /// The files of HTTPS, if it is on.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Incomplete`]: one is missing.
    pub fn https_files(&self) -> Result<Option<TlsFiles>, ConfigError> {
        phones::pair(&self.http_cert, &self.http_key, "http_cert", "http_key")
    }

    /// Checks that no secret is hidden, as in the output of `--print-config`, and that each
    /// certificate has its key.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Incomplete`], which names what is hidden or missing.
    pub fn check_complete(&self) -> Result<(), ConfigError> {
        self.https_files()?;
        self.sip.tls_files()?;
        self.recordings.check()?;
        self.console.check()?;
        let Some(path) = &self.file else { return Ok(()) };
        let path = path.display();
        if self.ops_token.as_ref().is_some_and(|it| it.0 == Secret::HIDDEN) {
            let why = format!("{path}: the ops_token is hidden: put the token itself there");
            return Err(ConfigError::Incomplete(why));
        }
        let trunk = self.trunks.iter().find(|it| it.is_hidden());
        let endpoint = self.endpoints.iter().find(|it| it.password.0 == Secret::HIDDEN);
        let hidden = trunk.map(|it| format!("trunk {}", it.name));
        if let Some(row) = hidden.or_else(|| endpoint.map(|it| format!("endpoint {}", it.user))) {
            let why = format!(
                "{path}: the password of the {row} is hidden: put the password itself there"
            );
            return Err(ConfigError::Incomplete(why));
        }
        for account in &self.accounts {
            let mut tokens = account.tokens.iter().chain(&account.read_only_tokens);
            if tokens.any(|it| it.0 == Secret::HIDDEN) {
                let why = format!(
                    "{path}: a token of {} is hidden: put the token itself where it has \"{}\"",
                    account.id,
                    Secret::HIDDEN
                );
                return Err(ConfigError::Incomplete(why));
            }
        }
        Ok(())
    }

    /// Checks that there is an account, and that each row's account exists. `kept` are the accounts
    /// of the data folder.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Incomplete`], which names the missing account.
    pub fn check_accounts(&self, kept: &BTreeSet<AccountId>) -> Result<(), ConfigError> {
        if let Some(unresolved) =
            self.unresolved_owners.iter().find(|it| !kept.contains(&it.account))
        {
            return Err(ConfigError::Incomplete(unresolved.why.clone()));
        }
        let is_known =
            |id: &AccountId| kept.contains(id) || self.accounts.iter().any(|it| it.id == *id);
        if let Some(id) = self.recordings.accounts.keys().find(|it| !is_known(it)) {
            let why = format!(
                "recordings.accounts.{id}: there is no such [[account]], and conflow account list has \
                 none either"
            );
            return Err(ConfigError::Incomplete(why));
        }
        let Some(path) = &self.file else { return Ok(()) };
        if self.accounts.is_empty() && kept.is_empty() {
            let why = format!(
                "{} has no [[account]], and neither has the data folder, so nobody could use the \
                API: run conflow account add, or write one with an id and tokens \
                (conflow.example.toml shows how); or start without a file, to try conflow",
                path.display()
            );
            return Err(ConfigError::Incomplete(why));
        }
        Ok(())
    }

    fn new(layer: Settings, accounts: Vec<AccountConfig>, file: Option<PathBuf>) -> Self {
        let is_development = file.is_none();
        let rate_limit = if is_development { Count::new(0) } else { RATE_LIMIT };
        let calls_max = if is_development { Count::new(0) } else { CALLS_MAX };
        Self {
            groups: GroupsConfig::new(&layer, is_development),
            bungie: BungieConfig::new(&layer),
            rocketchat: RocketChatConfig::new(&layer),
            kirimin: KiriminConfig::new(&layer),
            capillary: CapillaryConfig::new(&layer),
            http: layer.http.unwrap_or(DEFAULT_HTTP),
            http_cert: layer.http_cert,
            http_key: layer.http_key,
            data: layer.data.unwrap_or_else(|| "data".into()),
            flows: layer.flows.unwrap_or_else(|| "flows".into()),
            drain: layer.drain.unwrap_or(Count::new(0)),
            rate_limit: layer.rate_limit.unwrap_or(rate_limit),
            call_time_limit: layer.call_time_limit.unwrap_or(Count::new(14_400)),
            calls_max: layer.calls_max.unwrap_or(calls_max),
            calls_per_second: layer.calls_per_second.unwrap_or(calls_max),
            members_max: layer.members_max.unwrap_or(Count::new(10_000)),
            trusted_proxies: layer.trusted_proxies.unwrap_or_default(),
            ops_token: layer.ops_token,
            log: LogConfig::new(layer.log),
            events: EventsConfig::new(&layer.events),
            recovery: RecoveryConfig::new(&layer.recovery),
            cdrs: CdrConfig { keep: layer.cdrs.keep.unwrap_or(CDRS_KEEP) },
            traces: TraceConfig::new(&layer.traces),
            recordings: RecordingsConfig::new(layer.recordings),
            voice: VoiceConfig {
                plivo: layer.voice.plivo.unwrap_or_default(),
                vobiz: layer.voice.vobiz.unwrap_or_default(),
            },
            fetch: FetchConfig { allow: layer.fetch.allow.unwrap_or_default() },
            cors: CorsConfig { origins: layer.cors.origins.unwrap_or_default() },
            console: ConsoleConfig::new(layer.console, is_development),
            sim: SimConfig {
                on: layer.sim.on.unwrap_or(is_development),
                speech_ms_per_char: layer.sim.speech_ms_per_char.unwrap_or(Count::new(60)),
                beep_ms: layer.sim.beep_ms.unwrap_or(Count::new(200)),
                sound_ms: layer.sim.sound_ms.unwrap_or(Count::new(1_000)),
            },
            sip: SipConfig::new(&layer.sip, Vec::new()),
            speech: SpeechConfig { command: layer.speech.command.unwrap_or_default() },
            endpoints: Vec::new(),
            applications: Vec::new(),
            trunks: Vec::new(),
            accounts,
            numbers: Vec::new(),
            file,
            is_new_store: false,
            restores: true,
            has_state_log: true,
            unresolved_owners: Vec::new(),
        }
    }
}

fn development(token: Option<String>) -> Vec<AccountConfig> {
    let id = DEVELOPMENT_ACCOUNT.parse().expect("a name");
    let tokens = token.map(Secret).into_iter().collect();
    let (read_only_tokens, dialect) = (Vec::new(), Dialect::default());
    vec![AccountConfig { id, tokens, read_only_tokens, dialect }]
}

#[cfg(test)]
mod tests;
