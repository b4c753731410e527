//! Configuration of trunks: checks `[[trunk]]`.

use std::{collections::BTreeMap, ops::Range, path::PathBuf, sync::Arc, time::Duration};

use serde::Serialize;
use toml::Spanned;

use super::{AccountConfig, ConfigError, file::ConfigSource};
use crate::{
    base::{ids::AccountId, network::IpNetwork},
    cli::{settings::Secret, trunk::TrunkSettings},
    rtp::{g711::Law, sdp::crypto::SrtpPolicy},
    sip::{
        SipPassword,
        digest_client::DigestAccount,
        request::Transport,
        trunk::{CallerIdHeader, DialHost, OutboundTrunk, TrunkPrivacy, TrunkTarget},
    },
    tls,
};

/// A row of `[[trunk]]`: another server.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrunkConfig {
    /// Name in log lines and traces; unique if calls leave through it.
    pub name: String,
    /// Networks that the server's calls come from; may be empty if calls leave through it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpNetwork>,
    /// Whether the sound of its calls is encrypted.
    pub srtp: SrtpPolicy,
    /// The keys that go with `targets`.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub outbound: Option<Box<OutboundConfig>>,
}

/// The keys of a trunk through which calls leave, as they are printed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OutboundConfig {
    accounts: Vec<AccountId>,
    targets: Vec<TargetConfig>,
    order: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<String>,
    allow: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    deny: Vec<String>,
    strip: u32,
    prefix: String,
    plus: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    /// The password of the row.
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<Secret>,
    #[serde(skip_serializing_if = "Option::is_none")]
    password_file: Option<PathBuf>,
    /// The password that `password_file` has.
    #[serde(skip)]
    password_read: Option<Secret>,
    #[serde(skip_serializing_if = "Option::is_none")]
    realm: Option<String>,
    register: bool,
    expires: u32,
    retry: u32,
    options_interval: u32,
    caller_id: CallerIdHeader,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    caller_ids: Vec<String>,
    privacy: TrunkPrivacy,
    diversion: bool,
    codecs: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hosts: Vec<String>,
    calls_max: u32,
    calls_per_second: u32,
    minutes_per_day: u32,
    silence_wait: u32,
    retry_on: Vec<u16>,
    session_expires: u32,
    min_se: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_ca: Option<PathBuf>,
    /// The contents of `tls_ca`.
    #[serde(skip)]
    authorities: Arc<[u8]>,
}

/// A row of `targets`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TargetConfig {
    uri: String,
    priority: u16,
    weight: u16,
}

/// Limit of servers of one trunk: more are not tried for one call, whatever their order.
const TARGETS_MAX: usize = 32;

/// The codecs that a trunk may be offered.
const CODECS: [Law; 2] = [Law::Mu, Law::A];

impl TrunkConfig {
    /// Whether the file has `…` where the password should be, as `--print-config` writes it.
    pub(super) fn is_hidden(&self) -> bool {
        let password = self.outbound.as_ref().and_then(|it| it.password.as_ref());
        password.is_some_and(|it| it.0 == Secret::HIDDEN)
    }
}

impl OutboundConfig {
    /// The settings as the SIP agent needs them.
    pub fn to_settings(&self) -> OutboundTrunk {
        let boxed = |it: &[String]| it.iter().map(|it| it.as_str().into()).collect::<Vec<_>>();
        let seconds = |it: u32| Duration::from_secs(it.into());
        let target = |it: &TargetConfig| TrunkTarget {
            priority: it.priority,
            weight: it.weight,
            ..it.uri.parse().expect("targets are checked")
        };
        let password = self.password.as_ref().or(self.password_read.as_ref());
        let account = self.username.as_ref().zip(password).map(|(name, password)| DigestAccount {
            username: name.as_str().into(),
            password: SipPassword::new(&password.0),
            realm: self.realm.as_deref().map(Into::into),
        });
        let law = |it: &&str| CODECS.into_iter().find(|law| law.name() == *it);
        OutboundTrunk {
            accounts: self.accounts.clone(),
            targets: self.targets.iter().map(target).collect(),
            order: self.order,
            domain: self.domain.as_deref().map(Into::into),
            allow: boxed(&self.allow),
            deny: boxed(&self.deny),
            strip: self.strip as usize,
            prefix: self.prefix.as_str().into(),
            plus: self.plus,
            account,
            register: self.register,
            expires: seconds(self.expires),
            retry: seconds(self.retry),
            options_interval: (self.options_interval != 0).then(|| seconds(self.options_interval)),
            caller_id: self.caller_id,
            caller_ids: boxed(&self.caller_ids),
            privacy: self.privacy,
            diversion: self.diversion,
            codecs: self.codecs.iter().filter_map(law).collect(),
            hosts: boxed(&self.hosts),
            calls_max: self.calls_max,
            calls_per_second: self.calls_per_second,
            minutes_per_day: (self.minutes_per_day != 0).then_some(self.minutes_per_day),
            silence_wait: seconds(self.silence_wait),
            retry_on: self.retry_on.clone(),
            session_expires: self.session_expires,
            min_se: self.min_se,
            tls_ca: self.authorities.clone(),
        }
    }
}

/// The value of an optional key.
fn value<T: Clone>(setting: &Option<Spanned<T>>) -> Option<T> {
    setting.as_ref().map(|it| it.as_ref().clone())
}

impl ConfigSource<'_> {
    /// Checks the trunks: each has addresses or targets, and with targets what belongs to them.
    pub(super) fn trunks(
        &self,
        rows: &[TrunkSettings],
        accounts: &[AccountConfig],
    ) -> Result<Vec<TrunkConfig>, ConfigError> {
        let mut lines = BTreeMap::new();
        let mut trunks = Vec::with_capacity(rows.len());
        for row in rows {
            let (name, span) = (row.name.as_ref(), row.name.span());
            let line = self.line(span.clone());
            let is_out = row.targets.is_some();
            let (other, has_out) = lines.entry(name).or_insert((line, is_out));
            if *other != line && (*has_out || is_out) {
                let why = format!(
                    "{name} has a [[trunk]] already, in line {other}; give one with targets a name of its own"
                );
                return Err(self.error_at(span, why));
            }
            trunks.push(self.trunk(row, accounts)?);
        }
        Ok(trunks)
    }

    fn trunk(
        &self,
        row: &TrunkSettings,
        accounts: &[AccountConfig],
    ) -> Result<TrunkConfig, ConfigError> {
        let networks = row.addresses.as_ref().map(|it| it.as_ref().as_slice()).unwrap_or_default();
        let addresses = self.networks(networks)?;
        let outbound = match &row.targets {
            Some(targets) => Some(Box::new(self.outbound(row, targets.span(), accounts)?)),
            None => {
                self.check_inbound(row)?;
                None
            }
        };
        if addresses.is_empty() && outbound.is_none() {
            let wanted = "a trunk is known by its addresses: write at least one, or the targets of \
                calls that leave through it";
            let span = row.addresses.as_ref().map_or_else(|| row.name.span(), Spanned::span);
            return Err(self.error_at(span, wanted.to_owned()));
        }
        let srtp = value(&row.srtp).unwrap_or_default();
        Ok(TrunkConfig { name: row.name.as_ref().clone(), addresses, srtp, outbound })
    }

    /// A trunk without targets has no keys of calls that leave.
    fn check_inbound(&self, row: &TrunkSettings) -> Result<(), ConfigError> {
        fn of<T>(it: &Option<Spanned<T>>) -> Option<Range<usize>> {
            it.as_ref().map(Spanned::span)
        }
        fn first<T>(it: &Option<Vec<Spanned<T>>>) -> Option<Range<usize>> {
            it.as_ref()?.first().map(Spanned::span)
        }
        let spans = [
            first(&row.accounts),
            first(&row.allow),
            first(&row.deny),
            first(&row.caller_ids),
            first(&row.hosts),
            first(&row.codecs),
            first(&row.retry_on),
            of(&row.order),
            of(&row.domain),
            of(&row.strip),
            of(&row.prefix),
            of(&row.plus),
            of(&row.username),
            of(&row.password),
            of(&row.password_file),
            of(&row.realm),
            of(&row.register),
            of(&row.expires),
            of(&row.retry),
            of(&row.options_interval),
            of(&row.caller_id),
            of(&row.privacy),
            of(&row.diversion),
            of(&row.calls_max),
            of(&row.calls_per_second),
            of(&row.minutes_per_day),
            of(&row.silence_wait),
            of(&row.session_expires),
            of(&row.min_se),
            of(&row.tls_ca),
        ];
        match spans.into_iter().flatten().next() {
            Some(span) => {
                let why = "only for calls that leave: add targets, as targets = [{ uri = \
                    \"sip:192.0.2.9\" }], or take this out";
                Err(self.error_at(span, why.to_owned()))
            }
            None => Ok(()),
        }
    }

    fn outbound(
        &self,
        row: &TrunkSettings,
        span: Range<usize>,
        accounts: &[AccountConfig],
    ) -> Result<OutboundConfig, ConfigError> {
        let targets = self.targets(row, span.clone())?;
        let owner = |it: &Spanned<String>| self.owner(it, accounts);
        let accounts = row.accounts.iter().flatten().map(owner).collect::<Result<_, _>>()?;
        let prefixes = |it: &Option<Vec<Spanned<String>>>| {
            it.iter().flatten().map(|it| self.prefix(it)).collect::<Result<Vec<_>, _>>()
        };
        let (allow, deny) = (prefixes(&row.allow)?, prefixes(&row.deny)?);
        if allow.is_empty() {
            let why = "a trunk with targets needs allow, the prefixes that may be called: \
                allow = [\"49\", \"1415\"]; or [\"*\"] for all";
            return Err(self.error_at(row.name.span(), why.to_owned()));
        }
        let (min_se, session_expires) =
            (number(&row.min_se, 90), number(&row.session_expires, 1_800));
        if session_expires < min_se {
            let span = row.session_expires.as_ref().or(row.min_se.as_ref()).expect("one is set");
            let why = format!("session_expires ({session_expires}) is at least min_se ({min_se})");
            return Err(self.error_at(span.span(), why));
        }
        let password_read = self.password(row)?;
        let authorities = self.authorities(row)?;
        let retry_on = match &row.retry_on {
            Some(rows) => rows.iter().map(|it| it.as_ref().get() as u16).collect(),
            None => crate::sip::trunk::RETRY_ON.to_vec(),
        };
        Ok(OutboundConfig {
            accounts,
            targets,
            order: number(&row.order, 10),
            domain: row.domain.as_ref().map(|it| self.host(it)).transpose()?,
            allow,
            deny,
            strip: number(&row.strip, 0),
            prefix: row.prefix.as_ref().map_or_else(|| Ok(String::new()), |it| self.digits(it))?,
            plus: value(&row.plus).unwrap_or(true),
            username: value(&row.username),
            password: value(&row.password).map(|it| it.0),
            password_file: value(&row.password_file),
            password_read,
            realm: value(&row.realm),
            register: value(&row.register).unwrap_or(false),
            expires: number(&row.expires, 3_600),
            retry: number(&row.retry, 60),
            options_interval: number(&row.options_interval, 30),
            caller_id: value(&row.caller_id).unwrap_or_default(),
            caller_ids: self.all_digits(&row.caller_ids)?,
            privacy: value(&row.privacy).unwrap_or_default(),
            diversion: value(&row.diversion).unwrap_or(false),
            codecs: self.codecs(row)?,
            hosts: row.hosts.iter().flatten().map(|it| self.host(it)).collect::<Result<_, _>>()?,
            calls_max: number(&row.calls_max, 30),
            calls_per_second: number(&row.calls_per_second, 2),
            minutes_per_day: number(&row.minutes_per_day, 0),
            silence_wait: number(&row.silence_wait, 4),
            retry_on,
            session_expires,
            min_se,
            tls_ca: value(&row.tls_ca),
            authorities,
        })
    }

    fn targets(
        &self,
        row: &TrunkSettings,
        span: Range<usize>,
    ) -> Result<Vec<TargetConfig>, ConfigError> {
        let rows = row.targets.as_ref().map(|it| it.as_ref().as_slice()).unwrap_or_default();
        if !(1..=TARGETS_MAX).contains(&rows.len()) {
            let why = format!("write 1 to {TARGETS_MAX}, as [{{ uri = \"sip:192.0.2.9:5060\" }}]");
            return Err(self.error_at(span, why));
        }
        let needs_tls = row.srtp.as_ref().is_some_and(|it| *it.as_ref() == SrtpPolicy::Require);
        let mut targets = Vec::with_capacity(rows.len());
        for row in rows {
            let invalid = |why| self.error_at(row.uri.span(), why);
            let target: TrunkTarget = row.uri.as_ref().parse().map_err(invalid)?;
            if needs_tls && target.transport() != Some(Transport::Tls) {
                let why = "srtp = \"require\" needs TLS: write ;transport=tls after the host";
                return Err(invalid(why.to_owned()));
            }
            targets.push(TargetConfig {
                uri: row.uri.as_ref().clone(),
                priority: row.priority.map_or(10, |it| it.get() as u16),
                weight: row.weight.map_or(1, |it| it.get() as u16),
            });
        }
        Ok(targets)
    }

    /// A password needs a user name, and is in the file or in one of its own, which is read.
    fn password(&self, row: &TrunkSettings) -> Result<Option<Secret>, ConfigError> {
        let has_password = row.password.is_some() || row.password_file.is_some();
        let is_realm_alone = row.realm.is_some() && !has_password;
        if let Some(name) = row.username.as_ref().filter(|_| !has_password) {
            let why = "a user name needs password or password_file".to_owned();
            return Err(self.error_at(name.span(), why));
        }
        if let Some(realm) = row.realm.as_ref().filter(|_| is_realm_alone) {
            let why = "a realm needs username and password".to_owned();
            return Err(self.error_at(realm.span(), why));
        }
        if let Some(register) = row.register.as_ref().filter(|it| *it.as_ref() && !has_password) {
            let why = "conflow registers with username and password: write both".to_owned();
            return Err(self.error_at(register.span(), why));
        }
        let of_row = row.password.as_ref().map(Spanned::span);
        let span = of_row.clone().or_else(|| row.password_file.as_ref().map(Spanned::span));
        if let Some(span) = of_row.filter(|_| row.password_file.is_some()) {
            return Err(self.error_at(span, "give either password or password_file".to_owned()));
        }
        if let Some(span) = span.filter(|_| row.username.is_none()) {
            return Err(self.error_at(span, "a password needs a username".to_owned()));
        }
        if let Some(password) = row.password.as_ref().filter(|it| it.as_ref().0.0.is_empty()) {
            let why = "the password is empty; for none, take out username and password".to_owned();
            return Err(self.error_at(password.span(), why));
        }
        let Some(file) = &row.password_file else { return Ok(None) };
        let text = self.read_beside(file)?;
        let text = String::from_utf8(text).ok();
        let text = text.as_deref().map(|it| it.trim_end_matches(['\r', '\n']));
        match text.filter(|it| !it.is_empty() && !it.contains('\n')) {
            Some(text) => Ok(Some(Secret(text.to_owned()))),
            None => {
                let why = format!("{} must have one line, the password", file.as_ref().display());
                Err(self.error_at(file.span(), why))
            }
        }
    }

    fn authorities(&self, row: &TrunkSettings) -> Result<Arc<[u8]>, ConfigError> {
        let Some(file) = &row.tls_ca else { return Ok(Arc::from([])) };
        let bytes = self.read_beside(file)?;
        let bad =
            |why: String| self.error_at(file.span(), format!("{}: {why}", file.as_ref().display()));
        if bytes.is_empty() {
            return Err(bad("the file is empty; give PEM blocks of CERTIFICATE".to_owned()));
        }
        tls::client_config_of(&bytes).map_err(|error| bad(error.to_string()))?;
        Ok(bytes.into())
    }

    fn read_beside(&self, file: &Spanned<PathBuf>) -> Result<Vec<u8>, ConfigError> {
        super::file::read_bytes(file.as_ref()).map_err(|error| {
            let file_shown = file.as_ref().display();
            let why = format!(
                "{file_shown} cannot be read ({error}): check the path, and that conflow may read it"
            );
            self.error_at(file.span(), why)
        })
    }

    fn prefix(&self, row: &Spanned<String>) -> Result<String, ConfigError> {
        match row.as_ref().as_str() {
            "*" => Ok("*".to_owned()),
            _ => self.digits(row),
        }
    }

    fn all_digits(&self, rows: &Option<Vec<Spanned<String>>>) -> Result<Vec<String>, ConfigError> {
        rows.iter().flatten().map(|it| self.digits(it)).collect()
    }

    /// A number or its beginning: up to 15 digits, without the plus.
    fn digits(&self, row: &Spanned<String>) -> Result<String, ConfigError> {
        let text = row.as_ref();
        let digits = text.strip_prefix('+').unwrap_or(text);
        match (1..=15).contains(&digits.len()) && digits.bytes().all(|it| it.is_ascii_digit()) {
            true => Ok(digits.to_owned()),
            false => {
                let why = format!("write digits, as 49 or 1415, not {text:?}");
                Err(self.error_at(row.span(), why))
            }
        }
    }

    /// A host name or an address, in lower case.
    fn host(&self, row: &Spanned<String>) -> Result<String, ConfigError> {
        match crate::sip::uri::Host::parse_with_port(row.as_ref()) {
            Ok((host, None)) => Ok(host.to_string()),
            Ok((_, Some(_))) | Err(_) => {
                let why = format!("write a host name, as carrier.example, not {:?}", row.as_ref());
                Err(self.error_at(row.span(), why))
            }
        }
    }

    fn codecs(&self, row: &TrunkSettings) -> Result<Vec<&'static str>, ConfigError> {
        let Some(rows) = &row.codecs else { return Ok(CODECS.map(Law::name).to_vec()) };
        let mut codecs = Vec::new();
        for row in rows {
            let law = CODECS.into_iter().find(|it| it.name().eq_ignore_ascii_case(row.as_ref()));
            match law.map(Law::name).filter(|it| !codecs.contains(it)) {
                Some(name) => codecs.push(name),
                None => {
                    let why = "write PCMU and PCMA, each once, the preferred one first";
                    return Err(self.error_at(row.span(), why.to_owned()));
                }
            }
        }
        match codecs.is_empty() {
            true => Ok(CODECS.map(Law::name).to_vec()),
            false => Ok(codecs),
        }
    }

    /// Parses `dial_allow`.
    pub(super) fn dial_hosts(
        &self,
        rows: &[Spanned<String>],
    ) -> Result<Vec<DialHost>, ConfigError> {
        let host = |row: &Spanned<String>| {
            row.as_ref().parse().map_err(|why| self.error_at(row.span(), why))
        };
        rows.iter().map(host).collect()
    }
}

fn number<const MIN: u32, const MAX: u32>(
    row: &Option<Spanned<crate::cli::settings::Count<MIN, MAX>>>,
    default: u32,
) -> u32 {
    row.as_ref().map_or(default, |it| it.as_ref().get())
}

#[cfg(test)]
mod tests;
