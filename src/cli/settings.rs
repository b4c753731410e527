//! Every setting: its flag, its variable, its key in the file, and what it may be. One row each.
//!
//! The same struct holds what was typed and what stands in a file; what nobody says is None.

use std::{path::PathBuf, str::FromStr};

use clap::{Args, ValueEnum, builder::BoolishValueParser};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use toml::Spanned;

pub use super::values::{ListenAddress, Secret};
use super::{
    groups::{
        BungieSettings, CapillarySettings, GroupsSettings, KiriminSettings, RocketChatSettings,
    },
    phones::{EndpointSettings, SipSettings, SpeechSettings, TrunkSettings},
};
use crate::{
    base::ids::Dialect,
    fetch::{BadCidr, Cidr},
};

/// One layer of settings.
#[derive(Args, Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where HTTP is served [default: 127.0.0.1:8080]; port 0 is any free one.
    #[arg(long, env = "CONFLOW_HTTP", value_name = "ADDR")]
    pub http: Option<ListenAddress>,
    /// The data folder, made if missing [default: data].
    #[arg(long, env = "CONFLOW_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The flows folder [default: flows].
    ///
    /// In development mode, calling NAME runs NAME.xml in it, else default.xml. With a
    /// configuration file, the flows of an account are in the folder in it that has the account's
    /// id for a name.
    #[arg(long, env = "CONFLOW_FLOWS", value_name = "DIR")]
    pub flows: Option<PathBuf>,
    /// At a SIGTERM, how long calls may go on until they are asked to leave [default: 0].
    #[arg(long, env = "CONFLOW_DRAIN", value_name = "SECONDS")]
    pub drain: Option<Count<0, 86_400>>,
    /// Requests of an account within 5 seconds, 0 for no limit [default: 300; 0 in development].
    #[arg(long, env = "CONFLOW_RATE_LIMIT", value_name = "N")]
    pub rate_limit: Option<Count<0, 1_000_000>>,
    /// How long a call may last from its answer [default: 14400].
    #[arg(long, env = "CONFLOW_CALL_TIME_LIMIT", value_name = "SECONDS")]
    pub call_time_limit: Option<Count<1, 86_400>>,
    /// Calls of an account at a time, beyond which it makes none, 0 for no limit [default: 1000; 0
    /// in development].
    #[arg(long, env = "CONFLOW_CALLS_MAX", value_name = "N")]
    pub calls_max: Option<Count<0, 1_000_000>>,
    /// Calls that an account makes in a second, 0 for no limit [default: 1000; 0 in development].
    #[arg(long, env = "CONFLOW_CALLS_PER_SECOND", value_name = "N")]
    pub calls_per_second: Option<Count<0, 1_000_000>>,
    /// Members of a conference, whatever its flow allows [default: 10000].
    #[arg(long, env = "CONFLOW_MEMBERS_MAX", value_name = "N")]
    pub members_max: Option<Count<1, 100_000>>,
    /// Whoever shows it sees /metrics; in a file, or CONFLOW_OPS_TOKEN.
    #[arg(skip)]
    pub ops_token: Option<Secret>,
    /// The log.
    #[command(flatten)]
    pub log: LogSettings,
    /// The voice API.
    #[command(flatten)]
    pub voice: VoiceSettings,
    /// Requests that the engine makes.
    #[command(flatten)]
    pub fetch: FetchSettings,
    /// Simulated phones.
    #[command(flatten)]
    pub sim: SimSettings,
    /// Real phones.
    #[command(flatten)]
    pub sip: SipSettings,
    /// Speech for real phones.
    #[command(flatten)]
    pub speech: SpeechSettings,
    /// Groups.
    #[command(flatten)]
    pub groups: GroupsSettings,
    /// Groups as Bungie has them.
    #[command(flatten)]
    pub bungie: BungieSettings,
    /// Groups as Rocket.Chat has them.
    #[command(flatten)]
    pub rocketchat: RocketChatSettings,
    /// Groups as Kirimin has them.
    #[command(flatten)]
    pub kirimin: KiriminSettings,
    /// Groups as Capillary has them.
    #[command(flatten)]
    pub capillary: CapillarySettings,
    /// Phones that register; in a file only.
    #[arg(skip)]
    #[serde(rename = "endpoint")]
    pub endpoints: Vec<EndpointSettings>,
    /// Gateways; in a file only.
    #[arg(skip)]
    #[serde(rename = "trunk")]
    pub trunks: Vec<TrunkSettings>,
    /// The accounts; in a file only.
    #[arg(skip)]
    #[serde(rename = "account")]
    pub accounts: Vec<AccountSettings>,
    /// The called numbers; in a file only.
    #[arg(skip)]
    #[serde(rename = "number")]
    pub numbers: Vec<NumberSettings>,
}

/// The log.
#[derive(Args, Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
    /// For eyes or for machines [default: pretty].
    #[arg(long = "log-format", env = "CONFLOW_LOG_FORMAT", help_heading = "Log")]
    pub format: Option<LogFormat>,
    /// How much; info has calls and conferences, debug their elements too [default: info].
    #[arg(long = "log-level", env = "CONFLOW_LOG_LEVEL", help_heading = "Log")]
    pub level: Option<LogLevel>,
}

/// The voice API.
#[derive(Args, Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct VoiceSettings {
    /// How a Plivo answer has member ids; array for clients that parse nothing else [default:
    /// string].
    #[arg(long = "voice-plivo", env = "CONFLOW_VOICE_PLIVO", help_heading = "Voice API")]
    pub plivo: Option<PlivoMembers>,
    /// Vobiz answers as its documents have them (200, "10"), or as it does (202, ["10"])
    /// [default: documented].
    #[arg(long = "voice-vobiz", env = "CONFLOW_VOICE_VOBIZ", help_heading = "Voice API")]
    pub vobiz: Option<VobizAnswers>,
}

/// Requests that the engine makes.
#[derive(Args, Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct FetchSettings {
    /// Addresses that may be asked beside the public ones, as 10.0.0.0/8 [default: none; those of
    /// this machine in development, if HTTP is served on one of them].
    #[arg(
        long = "fetch-allow",
        env = "CONFLOW_FETCH_ALLOW",
        value_name = "CIDR",
        value_delimiter = ',',
        help_heading = "Requests"
    )]
    pub allow: Option<Vec<AllowedNetwork>>,
}

/// Simulated phones.
#[derive(Args, Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct SimSettings {
    /// Simulated phones, under /sim/v1/ [default: false; true in development].
    #[arg(
        id = "sim", long, env = "CONFLOW_SIM", value_name = "true|false",
        num_args = 0..=1, require_equals = true, default_missing_value = "true",
        value_parser = BoolishValueParser::new(), help_heading = "Simulated phones"
    )]
    pub on: Option<bool>,
    /// How long they hear speech, in milliseconds for each character [default: 60].
    #[arg(
        long = "sim-speech-ms-per-char",
        env = "CONFLOW_SIM_SPEECH_MS_PER_CHAR",
        value_name = "MS",
        help_heading = "Simulated phones"
    )]
    pub speech_ms_per_char: Option<Count<0, 60_000>>,
    /// How long they hear a beep, in milliseconds [default: 200].
    #[arg(
        long = "sim-beep-ms",
        env = "CONFLOW_SIM_BEEP_MS",
        value_name = "MS",
        help_heading = "Simulated phones"
    )]
    pub beep_ms: Option<Count<0, 3_600_000>>,
    /// How long they hear any other sound, in milliseconds [default: 1000].
    #[arg(
        long = "sim-sound-ms",
        env = "CONFLOW_SIM_SOUND_MS",
        value_name = "MS",
        help_heading = "Simulated phones"
    )]
    pub sound_ms: Option<Count<0, 3_600_000>>,
}

/// `[[account]]`.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct AccountSettings {
    /// `MA…` or `SA…`; Plivo's SDK takes nothing but 20 characters.
    pub id: Spanned<String>,
    /// One, or two while one takes the other's place.
    pub tokens: Spanned<AccountTokens>,
    /// Of its inbound calls.
    #[serde(default)]
    pub dialect: Dialect,
}

/// `[[number]]`.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct NumberSettings {
    /// The number, or the user.
    pub called: Spanned<String>,
    /// Whose it is.
    pub account: Spanned<String>,
    /// The name of a flow of that account; else there is an `answer_url`.
    pub flow: Option<String>,
    /// What its calls ask for their first document.
    pub answer_url: Option<String>,
    /// How `answer_url` and `fallback_url` are asked [default: POST].
    pub answer_method: Option<HttpMethod>,
    /// What is asked when `answer_url` has brought none.
    pub fallback_url: Option<String>,
    /// What is told when a call is over.
    pub hangup_url: Option<String>,
    /// The dialect of its calls; the account's, if it says nothing.
    pub dialect: Option<Dialect>,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// A line of text.
    #[default]
    Pretty,
    /// A line of JSON.
    Json,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Faults.
    Error,
    /// And what is odd.
    Warn,
    /// And calls and conferences.
    #[default]
    Info,
    /// And each element of each call.
    Debug,
    /// Everything.
    Trace,
}

/// How Plivo answers have member ids.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum PlivoMembers {
    /// `"10"`, as documented.
    #[default]
    String,
    /// `["10"]`, for clients that parse only arrays (plivo-go).
    Array,
}

/// How Vobiz answers.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum VobizAnswers {
    /// 200 and strings, as documented.
    #[default]
    Documented,
    /// 202 and arrays, as measured on the live service.
    Live,
}

/// How a URL is asked.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum HttpMethod {
    /// The fields are in the query.
    Get,
    /// The fields are in the body.
    #[default]
    Post,
}

/// Some addresses: `10.0.0.0/8`, `::1`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AllowedNetwork(pub Cidr);

/// A whole number from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Count<const MIN: u32, const MAX: u32>(u32);

/// The tokens of an account.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AccountTokens(pub Vec<Secret>);

impl Settings {
    /// These, and where they say nothing, those below. What is in a file only cannot be typed.
    pub fn over(self, below: Self) -> Self {
        Self {
            http: self.http.or(below.http),
            data: self.data.or(below.data),
            flows: self.flows.or(below.flows),
            drain: self.drain.or(below.drain),
            rate_limit: self.rate_limit.or(below.rate_limit),
            call_time_limit: self.call_time_limit.or(below.call_time_limit),
            calls_max: self.calls_max.or(below.calls_max),
            calls_per_second: self.calls_per_second.or(below.calls_per_second),
            members_max: self.members_max.or(below.members_max),
            ops_token: self.ops_token.or(below.ops_token),
            log: LogSettings {
                format: self.log.format.or(below.log.format),
                level: self.log.level.or(below.log.level),
            },
            voice: VoiceSettings {
                plivo: self.voice.plivo.or(below.voice.plivo),
                vobiz: self.voice.vobiz.or(below.voice.vobiz),
            },
            fetch: FetchSettings { allow: self.fetch.allow.or(below.fetch.allow) },
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
            trunks: below.trunks,
            accounts: below.accounts,
            numbers: below.numbers,
        }
    }
}

impl FromStr for AllowedNetwork {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|error: BadCidr| error.to_string())
    }
}

impl<'de> Deserialize<'de> for AllowedNetwork {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl Serialize for AllowedNetwork {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<const MIN: u32, const MAX: u32> Count<MIN, MAX> {
    /// One that is known to fit.
    pub const fn new(n: u32) -> Self {
        assert!(MIN <= n && n <= MAX, "out of bounds");
        Self(n)
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }

    fn checked(n: Option<u32>) -> Result<Self, String> {
        let fits = n.filter(|n| (MIN..=MAX).contains(n));
        fits.map(Self).ok_or_else(|| format!("write a whole number from {MIN} to {MAX}"))
    }
}

impl<const MIN: u32, const MAX: u32> FromStr for Count<MIN, MAX> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::checked(text.parse().ok())
    }
}

impl<'de, const MIN: u32, const MAX: u32> Deserialize<'de> for Count<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let n = i64::deserialize(deserializer)?;
        Self::checked(n.try_into().ok()).map_err(de::Error::custom)
    }
}

/// By hand: what serde says of a value that does not fit shows the value.
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
