//! The configuration: what was typed, over the environment, over a file, over the defaults.

mod account;
mod error;
mod file;
mod groups;
mod phones;

use std::{
    cell::RefCell,
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use serde::Serialize;

use self::account::UnresolvedOwner;
pub use self::account::{AccountConfig, NumberConfig};
pub use self::error::ConfigError;
use self::file::{ConfigSource, read};
pub use self::{
    groups::{BungieConfig, CapillaryConfig, GroupsConfig, KiriminConfig, RocketChatConfig},
    phones::{EndpointConfig, SipConfig, SpeechConfig, TrunkConfig},
};
pub use crate::cli::login::DEVELOPMENT_ACCOUNT;
use crate::{
    base::ids::{AccountId, Dialect},
    cli::{
        serve::ServeArgs,
        settings::{self, Count, ListenAddress, Secret, Settings},
    },
};

/// Everything that can be set, as it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Config {
    /// Where HTTP is served.
    pub http: ListenAddress,
    /// The data folder.
    pub data: PathBuf,
    /// The flows folder.
    pub flows: PathBuf,
    /// In seconds: how long calls may go on when the engine is to end.
    pub drain: Count<0, 86_400>,
    /// Requests of an account within 5 seconds; 0 is no limit.
    pub rate_limit: Count<0, 1_000_000>,
    /// In seconds: how long a call may last from its answer.
    pub call_time_limit: Count<1, 86_400>,
    /// Calls of an account at a time; 0 is no limit.
    pub calls_max: Count<0, 1_000_000>,
    /// Calls that an account makes in a second; 0 is no limit.
    pub calls_per_second: Count<0, 1_000_000>,
    /// Members of a conference.
    pub members_max: Count<1, 100_000>,
    /// Whoever shows it sees /metrics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ops_token: Option<Secret>,
    /// The log.
    pub log: LogConfig,
    /// The voice API.
    pub voice: VoiceConfig,
    /// Requests that the engine makes.
    pub fetch: FetchConfig,
    /// Simulated phones.
    pub sim: SimConfig,
    /// Real phones.
    pub sip: SipConfig,
    /// Speech for them.
    pub speech: SpeechConfig,
    /// Groups, and how the four dialects have them.
    pub groups: GroupsConfig,
    /// Bungie.
    pub bungie: BungieConfig,
    /// Rocket.Chat.
    pub rocketchat: RocketChatConfig,
    /// Kirimin.
    pub kirimin: KiriminConfig,
    /// Capillary.
    pub capillary: CapillaryConfig,
    /// Phones that register.
    #[serde(rename = "endpoint", skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<EndpointConfig>,
    /// Gateways.
    #[serde(rename = "trunk", skip_serializing_if = "Vec::is_empty")]
    pub trunks: Vec<TrunkConfig>,
    /// The accounts. That of development mode has no token unless the environment gives it one.
    #[serde(rename = "account")]
    pub accounts: Vec<AccountConfig>,
    /// The called numbers.
    #[serde(rename = "number", skip_serializing_if = "Vec::is_empty")]
    pub numbers: Vec<NumberConfig>,
    /// The file; none in development mode.
    #[serde(skip)]
    pub file: Option<PathBuf>,
    /// Rows whose accounts must be in the data folder, since they are not in the file.
    #[serde(skip)]
    unresolved_owners: Vec<UnresolvedOwner>,
}

/// `[log]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LogConfig {
    /// For eyes or for machines.
    pub format: settings::LogFormat,
    /// How much.
    pub level: settings::LogLevel,
}

/// `[voice]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct VoiceConfig {
    /// How Plivo answers have member ids.
    pub plivo: settings::PlivoMembers,
    /// How Vobiz answers.
    pub vobiz: settings::VobizAnswers,
}

/// `[fetch]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FetchConfig {
    /// Addresses that may be asked beside the public ones.
    pub allow: Vec<settings::AllowedNetwork>,
}

/// `[sim]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SimConfig {
    /// Whether there are simulated phones.
    pub on: bool,
    /// How long speech lasts.
    pub speech_ms_per_char: Count<0, 60_000>,
    /// How long a beep lasts.
    pub beep_ms: Count<0, 3_600_000>,
    /// How long any other sound lasts.
    pub sound_ms: Count<0, 3_600_000>,
}

/// Nobody but this machine reaches it until somebody says so.
const DEFAULT_HTTP: ListenAddress =
    ListenAddress(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080));
/// Read from the working directory if no other file is named.
const DEFAULT_FILE: &str = "conflow.toml";
/// What the vendors state (contract 7): so many requests of an account within 5 seconds.
const RATE_LIMIT: Count<0, 1_000_000> = Count::new(300);
/// As many as one request may name (contract 7), so that the largest good one is let through.
const CALLS_MAX: Count<0, 1_000_000> = Count::new(1_000);

impl Config {
    /// Puts the layers together. `token` is what the environment gives the development account;
    /// `here` is where a file is looked for that nobody has named.
    ///
    /// # Errors
    ///
    /// [`ConfigError`]: what is wrong, where, and what is allowed.
    pub fn load(flags: ServeArgs, token: Option<String>, here: &Path) -> Result<Self, ConfigError> {
        let file = flags.config.or_else(|| {
            let path = here.join(DEFAULT_FILE);
            path.exists().then_some(path)
        });
        let Some(path) = file else {
            return Ok(Self::new(flags.settings, development(token), None));
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
        let trunks = source.trunks(&layer.trunks)?;
        let networks = layer.sip.local_networks.as_deref().unwrap_or_default();
        let local_networks = source.networks(networks)?;
        let mut config = Self::new(flags.settings.over(layer), accounts, Some(path.clone()));
        config.sip.local_networks = local_networks;
        let unresolved_owners = source.unresolved_owners.take();
        Ok(Self { numbers, endpoints, trunks, unresolved_owners, ..config })
    }

    /// With the ops token that the environment gives, which stands above the file's.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Incomplete`]: it could be guessed, or no header carries it.
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

    /// As a configuration file that can be read again, but for the secrets.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("names, numbers and words are TOML")
    }

    /// Whether calls could be made: a file that was printed, secrets hidden, lacks them.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Incomplete`].
    pub fn check_complete(&self) -> Result<(), ConfigError> {
        let Some(path) = &self.file else { return Ok(()) };
        let path = path.display();
        if self.ops_token.as_ref().is_some_and(|it| it.0 == Secret::HIDDEN) {
            let why = format!("{path}: the ops_token is hidden: put the token itself there");
            return Err(ConfigError::Incomplete(why));
        }
        for account in &self.accounts {
            if account.tokens.iter().any(|it| it.0 == Secret::HIDDEN) {
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

    /// Whether there is anybody who could use it, and an owner for every row; `kept` are the
    /// accounts of the data folder.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Incomplete`].
    pub fn check_accounts(&self, kept: &BTreeSet<AccountId>) -> Result<(), ConfigError> {
        if let Some(unresolved) =
            self.unresolved_owners.iter().find(|it| !kept.contains(&it.account))
        {
            return Err(ConfigError::Incomplete(unresolved.why.clone()));
        }
        let Some(path) = &self.file else { return Ok(()) };
        if self.accounts.is_empty() && kept.is_empty() {
            let why = format!(
                "{} has no [[account]], and the data folder none either, so nobody could use the \
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
            data: layer.data.unwrap_or_else(|| "data".into()),
            flows: layer.flows.unwrap_or_else(|| "flows".into()),
            drain: layer.drain.unwrap_or(Count::new(0)),
            rate_limit: layer.rate_limit.unwrap_or(rate_limit),
            call_time_limit: layer.call_time_limit.unwrap_or(Count::new(14_400)),
            calls_max: layer.calls_max.unwrap_or(calls_max),
            calls_per_second: layer.calls_per_second.unwrap_or(calls_max),
            members_max: layer.members_max.unwrap_or(Count::new(10_000)),
            ops_token: layer.ops_token,
            log: LogConfig {
                format: layer.log.format.unwrap_or_default(),
                level: layer.log.level.unwrap_or_default(),
            },
            voice: VoiceConfig {
                plivo: layer.voice.plivo.unwrap_or_default(),
                vobiz: layer.voice.vobiz.unwrap_or_default(),
            },
            fetch: FetchConfig { allow: layer.fetch.allow.unwrap_or_default() },
            sim: SimConfig {
                on: layer.sim.on.unwrap_or(is_development),
                speech_ms_per_char: layer.sim.speech_ms_per_char.unwrap_or(Count::new(60)),
                beep_ms: layer.sim.beep_ms.unwrap_or(Count::new(200)),
                sound_ms: layer.sim.sound_ms.unwrap_or(Count::new(1_000)),
            },
            sip: SipConfig::new(&layer.sip, Vec::new()),
            speech: SpeechConfig { command: layer.speech.command.unwrap_or_default() },
            endpoints: Vec::new(),
            trunks: Vec::new(),
            accounts,
            numbers: Vec::new(),
            file,
            unresolved_owners: Vec::new(),
        }
    }
}

fn development(token: Option<String>) -> Vec<AccountConfig> {
    let id = DEVELOPMENT_ACCOUNT.parse().expect("a name");
    let tokens = token.map(Secret).into_iter().collect();
    vec![AccountConfig { id, tokens, dialect: Dialect::default() }]
}

#[cfg(test)]
mod tests;
