//! Settings of real phones: flags and file keys of SIP, audio ports and speech.

use std::{fmt, net::IpAddr, net::SocketAddr, path::PathBuf, str::FromStr};

use clap::{Args, builder::BoolishValueParser};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use toml::Spanned;

use super::values::{HttpMethod, ListenAddress, Secret};
use crate::{base::ids::Dialect, rtp::sdp::crypto::SrtpPolicy};

/// One layer of the table `[sip]`.
#[derive(Args, Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct SipSettings {
    /// Addresses for SIP over UDP and TCP, separated by commas, or off [default: 127.0.0.1:5060, if
    /// it is free].
    #[arg(
        long = "sip",
        env = "CONFLOW_SIP",
        value_name = "ADDR|off",
        help_heading = "Real phones"
    )]
    pub bind: Option<SipBinds>,
    /// Address for SIP over TLS; it needs --sip-tls-cert and --sip-tls-key [default: none].
    #[arg(
        long = "sip-tls",
        env = "CONFLOW_SIP_TLS",
        value_name = "ADDR",
        help_heading = "Real phones"
    )]
    pub tls: Option<ListenAddress>,
    /// Certificate for SIP over TLS, in PEM, with those that lead to its authority.
    #[arg(
        long = "sip-tls-cert",
        env = "CONFLOW_SIP_TLS_CERT",
        value_name = "FILE",
        help_heading = "Real phones"
    )]
    pub tls_cert: Option<PathBuf>,
    /// Private key of that certificate, in PEM.
    #[arg(
        long = "sip-tls-key",
        env = "CONFLOW_SIP_TLS_KEY",
        value_name = "FILE",
        help_heading = "Real phones"
    )]
    pub tls_key: Option<PathBuf>,
    /// Public address of conflow, if phones reach it by another address than the bound one.
    #[arg(
        long = "sip-advertise",
        env = "CONFLOW_SIP_ADVERTISE",
        value_name = "IP",
        help_heading = "Real phones"
    )]
    pub advertise: Option<IpAddr>,
    /// Whether unknown callers may call [default: true if all of --sip is loopback].
    #[arg(
        long = "sip-open", env = "CONFLOW_SIP_OPEN", value_name = "true|false",
        num_args = 0..=1, require_equals = true, default_missing_value = "true",
        value_parser = BoolishValueParser::new(), help_heading = "Real phones"
    )]
    pub open: Option<bool>,
    /// UDP ports for audio; each call needs two [default: 16384-32383].
    #[arg(
        long = "rtp-ports",
        env = "CONFLOW_RTP_PORTS",
        value_name = "FROM-TO",
        help_heading = "Real phones"
    )]
    pub rtp_ports: Option<PortRange>,
    /// Names of conflow in SIP URIs, besides its addresses; in a file only.
    #[arg(skip)]
    pub domains: Option<Vec<String>>,
    /// Networks whose phones reach conflow without NAT; in a file only.
    #[arg(skip)]
    pub local_networks: Option<Vec<Spanned<String>>>,
    /// Name servers for the hosts of trunks, instead of the system's; in a file only.
    #[arg(skip)]
    pub nameservers: Option<Vec<Spanned<String>>>,
    /// Hosts and networks that accounts may call without a trunk; in a file only.
    #[arg(skip)]
    pub dial_allow: Option<Vec<Spanned<String>>>,
}

/// One layer of the table `[speech]`.
#[derive(Args, Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct SpeechSettings {
    /// Program and arguments that read what the built-in voices cannot; {language}, {voice} and
    /// {text} are filled in [default: espeak-ng, if it is installed].
    #[arg(
        long = "speech-command",
        env = "CONFLOW_SPEECH_COMMAND",
        value_name = "WORDS",
        value_delimiter = ' ',
        help_heading = "Real phones"
    )]
    pub command: Option<Vec<String>>,
}

/// A row of `[[endpoint]]`: a phone that registers.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct EndpointSettings {
    /// The user in REGISTER and From.
    pub user: Spanned<String>,
    /// Password for digest authentication.
    pub password: Spanned<PasswordSetting>,
    /// Account whose flows the phone calls.
    pub account: Spanned<String>,
    /// Whether the sound of its calls is encrypted.
    #[serde(default)]
    pub srtp: SrtpPolicy,
    /// `endpoint_id` of the API [default: the user].
    pub id: Option<String>,
    /// Name that the API shows [default: the user].
    pub alias: Option<String>,
    /// Id of the application that its calls run [default: none].
    pub application: Option<String>,
}

/// A row of `[[application]]`: what the calls of endpoints run.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct ApplicationSettings {
    /// `app_id` of the API, and the user of its SIP URI.
    pub id: Spanned<String>,
    /// Account that has it.
    pub account: Spanned<String>,
    /// Name that the API shows [default: the id].
    pub name: Option<String>,
    /// URL of the first document, or a flow as flow:NAME.
    pub answer_url: Spanned<String>,
    /// Method for `answer_url` [default: POST].
    #[serde(default)]
    pub answer_method: HttpMethod,
    /// URL that is fetched if `answer_url` fails.
    pub fallback_url: Option<Spanned<String>>,
    /// Method for `fallback_url` [default: POST].
    #[serde(default)]
    pub fallback_method: HttpMethod,
    /// URL that is called when a call has ended [default: `answer_url`].
    pub hangup_url: Option<Spanned<String>>,
    /// Method for `hangup_url` [default: POST].
    #[serde(default)]
    pub hangup_method: HttpMethod,
    /// URL that the API shows; there are no messages.
    pub message_url: Option<Spanned<String>>,
    /// Method for `message_url` [default: POST].
    #[serde(default)]
    pub message_method: HttpMethod,
    /// Shown by the API; it has no effect.
    #[serde(default)]
    pub number_default: bool,
    /// Whether endpoints that the API makes without an application get this one.
    #[serde(default)]
    pub endpoint_default: bool,
    /// Whether trunks may call it by its SIP URI.
    #[serde(default)]
    pub public: bool,
    /// Shown by the API; it has no effect.
    #[serde(default = "yes")]
    pub log_messages: bool,
    /// Dialect of its calls; None means the account's.
    pub dialect: Option<Dialect>,
}

fn yes() -> bool {
    true
}

/// Addresses of the SIP listeners; empty is `off`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct SipBinds(pub Vec<SocketAddr>);

/// A range of UDP ports, such as `16384-32383`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PortRange {
    /// Lowest port, at least 1024.
    pub first: u16,
    /// Highest port, above `first`.
    pub last: u16,
}

/// A password in a file: a string.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PasswordSetting(pub Secret);

impl SipSettings {
    /// These settings; where they are None, those of `below`.
    pub(super) fn over(self, below: Self) -> Self {
        Self {
            bind: self.bind.or(below.bind),
            tls: self.tls.or(below.tls),
            tls_cert: self.tls_cert.or(below.tls_cert),
            tls_key: self.tls_key.or(below.tls_key),
            advertise: self.advertise.or(below.advertise),
            open: self.open.or(below.open),
            rtp_ports: self.rtp_ports.or(below.rtp_ports),
            domains: below.domains,
            local_networks: below.local_networks,
            nameservers: below.nameservers,
            dial_allow: below.dial_allow,
        }
    }
}

impl FromStr for SipBinds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::default());
        }
        let one = |it: &str| it.trim().parse().map(|ListenAddress(address)| address);
        let binds: Result<Vec<_>, String> = text.split(',').map(one).collect();
        binds.map(Self).map_err(|wanted| format!("{wanted}; or write off"))
    }
}

impl fmt::Display for SipBinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("off");
        }
        let binds: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&binds.join(","))
    }
}

impl FromStr for PortRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let ports = text.split_once('-').and_then(|(first, last)| {
            Some(Self { first: first.trim().parse().ok()?, last: last.trim().parse().ok()? })
        });
        let is_range = |it: &Self| 1_024 <= it.first && it.first < it.last;
        let wanted = || "write two ports from 1024 to 65535, such as 16384-32383".to_owned();
        ports.filter(is_range).ok_or_else(wanted)
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

/// Written by hand: serde's error for a wrong type would show the value.
impl<'de> Deserialize<'de> for PasswordSetting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = toml::Value::deserialize(deserializer)?;
        let text = value.as_str().map(|it| Self(Secret(it.to_owned())));
        text.ok_or_else(|| de::Error::custom("write a string: password = \"…\""))
    }
}

macro_rules! as_text {
    ($($name:ident),*) => { $(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )* };
}
as_text!(SipBinds, PortRange);
