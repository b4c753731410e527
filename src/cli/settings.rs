//! Settings: the flag, variable, file key and allowed values of each, one row each.
//!
//! The struct holds one layer, either flags and environment or a file; unset values are None.

use std::path::PathBuf;

use clap::{Args, ValueEnum, builder::BoolishValueParser};
use serde::{Deserialize, Deserializer, Serialize, de};
use toml::Spanned;

pub use super::values::{ByteSize, Count, HttpMethod, ListenAddress, Secret, WebOrigin};
use super::{
    console::ConsoleSettings,
    groups::{
        BungieSettings, CapillarySettings, GroupsSettings, KiriminSettings, RocketChatSettings,
    },
    kept::{CdrSettings, EventsSettings, RecoverySettings, TraceSettings},
    phones::{ApplicationSettings, EndpointSettings, SipSettings, SpeechSettings},
    recordings::RecordingSettings,
    trunk::TrunkSettings,
};
use crate::base::{ids::Dialect, network::IpNetwork};

/// One layer of settings.
#[derive(Args, Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Address of the HTTP server [default: 127.0.0.1:8080]; port 0 is any free one.
    #[arg(long, env = "CONFLOW_HTTP", value_name = "ADDR")]
    pub http: Option<ListenAddress>,
    /// Certificate of the HTTP server, in PEM: it then speaks HTTPS only [default: none].
    #[arg(long, env = "CONFLOW_HTTP_CERT", value_name = "FILE")]
    pub http_cert: Option<PathBuf>,
    /// Private key of that certificate, in PEM.
    #[arg(long, env = "CONFLOW_HTTP_KEY", value_name = "FILE")]
    pub http_key: Option<PathBuf>,
    /// Data folder; it is created if it is missing [default: data].
    #[arg(long, env = "CONFLOW_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Folder of the flows [default: flows].
    ///
    /// In development mode, a call to NAME runs NAME.xml in it, or else default.xml. With a
    /// configuration file, the flows of an account are in the subfolder that has its id as name.
    #[arg(long, env = "CONFLOW_FLOWS", value_name = "DIR")]
    pub flows: Option<PathBuf>,
    /// After a SIGTERM, how long calls may continue before they are asked to leave [default: 0].
    #[arg(long, env = "CONFLOW_DRAIN", value_name = "SECONDS")]
    pub drain: Option<Count<0, 86_400>>,
    /// Requests of an account within 5 seconds, 0 for no limit [default: 300; 0 in development].
    #[arg(long, env = "CONFLOW_RATE_LIMIT", value_name = "N")]
    pub rate_limit: Option<Count<0, 1_000_000>>,
    /// Maximum duration of a call, from its answer [default: 14400].
    #[arg(long, env = "CONFLOW_CALL_TIME_LIMIT", value_name = "SECONDS")]
    pub call_time_limit: Option<Count<1, 86_400>>,
    /// Concurrent calls of an account, 0 for no limit; at the limit it cannot make another one
    /// [default: 1000; 0 in development].
    #[arg(long, env = "CONFLOW_CALLS_MAX", value_name = "N")]
    pub calls_max: Option<Count<0, 1_000_000>>,
    /// Calls that an account makes in a second, 0 for no limit [default: 1000; 0 in development].
    #[arg(long, env = "CONFLOW_CALLS_PER_SECOND", value_name = "N")]
    pub calls_per_second: Option<Count<0, 1_000_000>>,
    /// Maximum number of members of a conference, whatever its flow allows [default: 10000].
    #[arg(long, env = "CONFLOW_MEMBERS_MAX", value_name = "N")]
    pub members_max: Option<Count<1, 100_000>>,
    /// TLS proxies, such as 10.0.0.0/8, whose X-Forwarded-For names the client [default: none].
    #[arg(long, env = "CONFLOW_TRUSTED_PROXIES", value_name = "CIDR", value_delimiter = ',')]
    pub trusted_proxies: Option<Vec<IpNetwork>>,
    /// Bearer token for /metrics; in a file, or in CONFLOW_OPS_TOKEN.
    #[arg(skip)]
    pub ops_token: Option<Secret>,
    /// Table `[log]` and its flags.
    #[command(flatten)]
    pub log: LogSettings,
    /// Table `[events]` and its flags.
    #[command(flatten)]
    pub events: EventsSettings,
    /// Table `[recovery]` and its flags.
    #[command(flatten)]
    pub recovery: RecoverySettings,
    /// Table `[cdrs]` and its flag.
    #[command(flatten)]
    pub cdrs: CdrSettings,
    /// Table `[traces]` and its flags.
    #[command(flatten)]
    pub traces: TraceSettings,
    /// Table `[recordings]` and its flags.
    #[command(flatten)]
    pub recordings: RecordingSettings,
    /// Table `[voice]` and its flags.
    #[command(flatten)]
    pub voice: VoiceSettings,
    /// Table `[fetch]` and its flag.
    #[command(flatten)]
    pub fetch: FetchSettings,
    /// Table `[cors]` and its flag.
    #[command(flatten)]
    pub cors: CorsSettings,
    /// Table `[console]` and its flags.
    #[command(flatten)]
    pub console: ConsoleSettings,
    /// Table `[sim]` and its flags.
    #[command(flatten)]
    pub sim: SimSettings,
    /// Table `[sip]` and its flags.
    #[command(flatten)]
    pub sip: SipSettings,
    /// Table `[speech]` and its flag.
    #[command(flatten)]
    pub speech: SpeechSettings,
    /// Table `[groups]` and its flag.
    #[command(flatten)]
    pub groups: GroupsSettings,
    /// Table `[bungie]` and its flags.
    #[command(flatten)]
    pub bungie: BungieSettings,
    /// Table `[rocketchat]` and its flag.
    #[command(flatten)]
    pub rocketchat: RocketChatSettings,
    /// Table `[kirimin]` and its flags.
    #[command(flatten)]
    pub kirimin: KiriminSettings,
    /// Table `[capillary]` and its flag.
    #[command(flatten)]
    pub capillary: CapillarySettings,
    /// Phones that register; in a file only.
    #[arg(skip)]
    #[serde(rename = "endpoint")]
    pub endpoints: Vec<EndpointSettings>,
    /// What the calls of endpoints run; in a file only.
    #[arg(skip)]
    #[serde(rename = "application")]
    pub applications: Vec<ApplicationSettings>,
    /// Gateways, by their addresses; in a file only.
    #[arg(skip)]
    #[serde(rename = "trunk")]
    pub trunks: Vec<TrunkSettings>,
    /// Accounts and their tokens; in a file only.
    #[arg(skip)]
    #[serde(rename = "account")]
    pub accounts: Vec<AccountSettings>,
    /// Called numbers and their flows; in a file only.
    #[arg(skip)]
    #[serde(rename = "number")]
    pub numbers: Vec<NumberSettings>,
}

/// One layer of the table `[log]`.
#[derive(Args, Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
    /// Format of the log: text for people, or JSON for programs [default: pretty].
    #[arg(long = "log-format", env = "CONFLOW_LOG_FORMAT", help_heading = "Log")]
    pub format: Option<LogFormat>,
    /// Least severe level to log; info has calls and conferences, debug their elements, too
    /// [default: info].
    #[arg(long = "log-level", env = "CONFLOW_LOG_LEVEL", help_heading = "Log")]
    pub level: Option<LogLevel>,
    /// Query parameters of URLs whose values the log and traces do not show: every name that
    /// contains one of these words; * for all
    /// [default: token,secret,pass,pwd,key,auth,sig,session,credential,jwt].
    #[arg(
        long = "log-hide",
        env = "CONFLOW_LOG_HIDE",
        value_name = "WORDS",
        value_delimiter = ',',
        help_heading = "Log"
    )]
    pub hide: Option<Vec<String>>,
}

/// One layer of the table `[voice]`.
#[derive(Args, Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct VoiceSettings {
    /// Member ids in Plivo's responses; array for clients that parse only arrays [default: string].
    #[arg(long = "voice-plivo", env = "CONFLOW_VOICE_PLIVO", help_heading = "Voice API")]
    pub plivo: Option<PlivoMembers>,
    /// Vobiz' responses: as documented (200, "10"), or as its servers respond (202, ["10"])
    /// [default: documented].
    #[arg(long = "voice-vobiz", env = "CONFLOW_VOICE_VOBIZ", help_heading = "Voice API")]
    pub vobiz: Option<VobizAnswers>,
}

/// One layer of the table `[fetch]`.
#[derive(Args, Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct FetchSettings {
    /// Networks that requests may reach in addition to public addresses, such as 10.0.0.0/8
    /// [default: none; in development this machine, if HTTP is served on one of its addresses].
    #[arg(
        long = "fetch-allow",
        env = "CONFLOW_FETCH_ALLOW",
        value_name = "CIDR",
        value_delimiter = ',',
        help_heading = "Requests"
    )]
    pub allow: Option<Vec<IpNetwork>>,
}

/// One layer of the table `[cors]`.
#[derive(Args, Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct CorsSettings {
    /// Origins (scheme, host and port) of web pages that may use the API from a browser [default:
    /// none].
    #[arg(
        long = "cors-origins",
        env = "CONFLOW_CORS_ORIGINS",
        value_name = "ORIGIN",
        value_delimiter = ',',
        help_heading = "Requests"
    )]
    pub origins: Option<Vec<WebOrigin>>,
}

/// One layer of the table `[sim]`.
#[derive(Args, Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct SimSettings {
    /// Enable simulated phones, under /sim/v1/ [default: false; true in development].
    #[arg(
        id = "sim", long, env = "CONFLOW_SIM", value_name = "true|false",
        num_args = 0..=1, require_equals = true, default_missing_value = "true",
        value_parser = BoolishValueParser::new(), help_heading = "Simulated phones"
    )]
    pub on: Option<bool>,
    /// Duration of speech for them, in milliseconds for each character [default: 60].
    #[arg(
        long = "sim-speech-ms-per-char",
        env = "CONFLOW_SIM_SPEECH_MS_PER_CHAR",
        value_name = "MS",
        help_heading = "Simulated phones"
    )]
    pub speech_ms_per_char: Option<Count<0, 60_000>>,
    /// Duration of a beep for them, in milliseconds [default: 200].
    #[arg(
        long = "sim-beep-ms",
        env = "CONFLOW_SIM_BEEP_MS",
        value_name = "MS",
        help_heading = "Simulated phones"
    )]
    pub beep_ms: Option<Count<0, 3_600_000>>,
    /// Duration of any other sound for them, in milliseconds [default: 1000].
    #[arg(
        long = "sim-sound-ms",
        env = "CONFLOW_SIM_SOUND_MS",
        value_name = "MS",
        help_heading = "Simulated phones"
    )]
    pub sound_ms: Option<Count<0, 3_600_000>>,
}

/// A row of `[[account]]`: an account and its tokens.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct AccountSettings {
    /// `MA…` or `SA…`; Plivo's SDK accepts only ids of 20 characters.
    pub id: Spanned<String>,
    /// One, or two while one replaces the other.
    pub tokens: Spanned<AccountTokens>,
    /// At most eight, which may read everything and change nothing.
    pub read_only_tokens: Option<Spanned<AccountTokens>>,
    /// Dialect of the account's inbound calls.
    #[serde(default)]
    pub dialect: Dialect,
}

/// A row of `[[number]]`: the flow or URL of a called number.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct NumberSettings {
    /// Called number, or the user of a SIP URI.
    pub called: Spanned<String>,
    /// Account that owns the number and its flow.
    pub account: Spanned<String>,
    /// Name of a flow of the account; None if there is an `answer_url`.
    pub flow: Option<String>,
    /// URL of the first document; None if there is a `flow`.
    pub answer_url: Option<String>,
    /// Method for `answer_url` and `fallback_url` [default: POST].
    pub answer_method: Option<HttpMethod>,
    /// URL that is fetched if `answer_url` fails.
    pub fallback_url: Option<String>,
    /// URL that is called when a call has ended.
    pub hangup_url: Option<String>,
    /// Dialect of the number's calls; None means the account's.
    pub dialect: Option<Dialect>,
}

/// Format of log lines.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text for people, one line for each entry.
    #[default]
    Pretty,
    /// JSON for programs, one object on each line.
    Json,
}

/// Least severe level that is logged.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Failures that an operator must look at.
    Error,
    /// Also what is unusual but handled.
    Warn,
    /// Also calls and conferences.
    #[default]
    Info,
    /// Also each element of each call.
    Debug,
    /// Everything, including the finest detail.
    Trace,
}

/// Shape of member ids in Plivo's responses.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum PlivoMembers {
    /// A list for plivo-go and plivo-java, which parse nothing else; for all others a string.
    #[default]
    ByClient,
    /// A string, `"10"`, as documented.
    String,
    /// A list such as `["10"]`, also of one id, for every client.
    Array,
}

/// Statuses and member ids in Vobiz' responses.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum VobizAnswers {
    /// 200 and strings, as documented.
    #[default]
    Documented,
    /// 202 and arrays, as measured on the live service.
    Live,
}

/// The tokens of an account, as a list of strings in a file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AccountTokens(pub Vec<Secret>);

impl Settings {
    /// These settings; where they are None, those of `below`. What can only be in a file comes from
    /// `below`.
    pub fn over(self, below: Self) -> Self {
        Self {
            http: self.http.or(below.http),
            http_cert: self.http_cert.or(below.http_cert),
            http_key: self.http_key.or(below.http_key),
            data: self.data.or(below.data),
            flows: self.flows.or(below.flows),
            drain: self.drain.or(below.drain),
            rate_limit: self.rate_limit.or(below.rate_limit),
            call_time_limit: self.call_time_limit.or(below.call_time_limit),
            calls_max: self.calls_max.or(below.calls_max),
            calls_per_second: self.calls_per_second.or(below.calls_per_second),
            members_max: self.members_max.or(below.members_max),
            trusted_proxies: self.trusted_proxies.or(below.trusted_proxies),
            ops_token: self.ops_token.or(below.ops_token),
            log: LogSettings {
                format: self.log.format.or(below.log.format),
                level: self.log.level.or(below.log.level),
                hide: self.log.hide.or(below.log.hide),
            },
            events: EventsSettings {
                keep: self.events.keep.or(below.events.keep),
                bytes_max: self.events.bytes_max.or(below.events.bytes_max),
            },
            recovery: self.recovery.over(below.recovery),
            cdrs: CdrSettings { keep: self.cdrs.keep.or(below.cdrs.keep) },
            traces: TraceSettings {
                keep: self.traces.keep.or(below.traces.keep),
                bytes_max: self.traces.bytes_max.or(below.traces.bytes_max),
            },
            recordings: self.recordings.over(below.recordings),
            voice: VoiceSettings {
                plivo: self.voice.plivo.or(below.voice.plivo),
                vobiz: self.voice.vobiz.or(below.voice.vobiz),
            },
            fetch: FetchSettings { allow: self.fetch.allow.or(below.fetch.allow) },
            cors: CorsSettings { origins: self.cors.origins.or(below.cors.origins) },
            console: self.console.over(below.console),
            sim: SimSettings {
                on: self.sim.on.or(below.sim.on),
                speech_ms_per_char: self.sim.speech_ms_per_char.or(below.sim.speech_ms_per_char),
                beep_ms: self.sim.beep_ms.or(below.sim.beep_ms),
                sound_ms: self.sim.sound_ms.or(below.sim.sound_ms),
            },
            sip: self.sip.over(below.sip),
            speech: SpeechSettings { command: self.speech.command.or(below.speech.command) },
            groups: GroupsSettings { limits: self.groups.limits.or(below.groups.limits) },
            bungie: self.bungie.over(below.bungie),
            rocketchat: RocketChatSettings {
                kick_body: self.rocketchat.kick_body.or(below.rocketchat.kick_body),
            },
            kirimin: self.kirimin.over(below.kirimin),
            capillary: CapillarySettings {
                keep_active: self.capillary.keep_active.or(below.capillary.keep_active),
            },
            endpoints: below.endpoints,
            applications: below.applications,
            trunks: below.trunks,
            accounts: below.accounts,
            numbers: below.numbers,
        }
    }
}

/// Written by hand: serde's error for a wrong type would show the value.
impl<'de> Deserialize<'de> for AccountTokens {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wanted = || de::Error::custom("write a list of strings: tokens = [\"…\"]");
        let toml::Value::Array(values) = toml::Value::deserialize(deserializer)? else {
            return Err(wanted());
        };
        let token = |value: toml::Value| {
            value.as_str().map(|token| Secret(token.to_owned())).ok_or_else(wanted)
        };
        values.into_iter().map(token).collect::<Result<_, _>>().map(Self)
    }
}
