//! Settings of trunks: the keys of `[[trunk]]`.

use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use super::{phones::PasswordSetting, values::Count};
use crate::{
    rtp::sdp::crypto::SrtpPolicy,
    sip::trunk::{CallerIdHeader, TrunkPrivacy},
};

/// A row of `[[trunk]]`: another server. All keys but the name are optional; which go together is
/// checked by the configuration.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct TrunkSettings {
    /// Name in log lines and traces.
    pub name: Spanned<String>,
    /// Networks that the server's calls come from.
    pub addresses: Option<Spanned<Vec<Spanned<String>>>>,
    /// Whether the sound of its calls is encrypted.
    pub srtp: Option<Spanned<SrtpPolicy>>,
    /// Accounts that may call out through it.
    pub accounts: Option<Vec<Spanned<String>>>,
    /// The servers that calls are sent to.
    pub targets: Option<Spanned<Vec<TargetSettings>>>,
    /// Place among the trunks of an account.
    pub order: Option<Spanned<Count<0, 65_535>>>,
    /// Host of Request-URI, To and From.
    pub domain: Option<Spanned<String>>,
    /// Prefixes that may be called.
    pub allow: Option<Vec<Spanned<String>>>,
    /// Prefixes that may not be called.
    pub deny: Option<Vec<Spanned<String>>>,
    /// How many digits are taken off a number's start.
    pub strip: Option<Spanned<Count<0, 15>>>,
    /// Digits put before the number.
    pub prefix: Option<Spanned<String>>,
    /// Whether the number is sent with a plus.
    pub plus: Option<Spanned<bool>>,
    /// User name for its challenges.
    pub username: Option<Spanned<String>>,
    /// Password that goes with it.
    pub password: Option<Spanned<PasswordSetting>>,
    /// File that has the password.
    pub password_file: Option<Spanned<PathBuf>>,
    /// The only realm that gets an answer.
    pub realm: Option<Spanned<String>>,
    /// Whether conflow registers at it.
    pub register: Option<Spanned<bool>>,
    /// Seconds of a registration.
    pub expires: Option<Spanned<Count<60, 86_400>>>,
    /// Seconds before another try to register.
    pub retry: Option<Spanned<Count<1, 3_600>>>,
    /// Seconds between OPTIONS; 0 is off.
    pub options_interval: Option<Spanned<Count<0, 3_600>>>,
    /// Headers that have the caller's number.
    pub caller_id: Option<Spanned<CallerIdHeader>>,
    /// Numbers that callers may be shown with.
    pub caller_ids: Option<Vec<Spanned<String>>>,
    /// What Privacy says of an anonymous caller.
    pub privacy: Option<Spanned<TrunkPrivacy>>,
    /// Whether forwarded calls have a Diversion header.
    pub diversion: Option<Spanned<bool>>,
    /// Codecs of our offer, the preferred one first.
    pub codecs: Option<Vec<Spanned<String>>>,
    /// Domains whose SIP URIs are called through it.
    pub hosts: Option<Vec<Spanned<String>>>,
    /// Limit of simultaneous calls.
    pub calls_max: Option<Spanned<Count<1, 100_000>>>,
    /// Limit of new calls in a second.
    pub calls_per_second: Option<Spanned<Count<1, 10_000>>>,
    /// Limit of minutes of an account in 24 hours; 0 is none.
    pub minutes_per_day: Option<Spanned<Count<0, 100_000_000>>>,
    /// Seconds without a response before the next target.
    pub silence_wait: Option<Spanned<Count<1, 32>>>,
    /// Statuses after which the next target is tried.
    pub retry_on: Option<Vec<Spanned<Count<300, 699>>>>,
    /// Session interval, in seconds.
    pub session_expires: Option<Spanned<Count<90, 86_400>>>,
    /// Shortest session interval, in seconds.
    pub min_se: Option<Spanned<Count<90, 86_400>>>,
    /// File with the certificates of the authorities that TLS trusts.
    pub tls_ca: Option<Spanned<PathBuf>>,
}

/// A row of `targets`.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct TargetSettings {
    /// A SIP URI without a user.
    pub uri: Spanned<String>,
    /// Lower ones are tried first.
    pub priority: Option<Count<0, 65_535>>,
    /// Share among those of the same priority.
    pub weight: Option<Count<0, 65_535>>,
}
