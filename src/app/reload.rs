//! Reload: applies a changed configuration file to the running engine, on SIGHUP.
//!
//! The file is read and checked as at the start; after an error nothing has changed. Calls go on with
//! what they had.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use anyhow::{Context, Result};
use tokio::signal::unix::Signal;
use toml::{Table, Value};

use super::{accounts, phones::OpenPhones, settings};
use crate::{
    accounts::{Accounts, file::AccountStore},
    api::AppState,
    config::{AccountConfig, Config, ConfigError, EndpointConfig, TrunkConfig},
    engine::{inbound::Inbound, registry::Registry},
    fetch::FetchClient,
    log::LogSender,
    sip::SipBackend,
    tls::ServerTls,
};

/// Reads the configuration again, with the flags and variables of this process.
pub type LoadConfig = Box<dyn Fn() -> Result<Config, ConfigError> + Send + Sync>;

/// The parts of the engine whose settings may change.
pub(super) struct ReloadableParts {
    pub(super) accounts: Arc<Accounts>,
    pub(super) stored_accounts: Arc<AccountStore>,
    pub(super) api: Arc<AppState>,
    pub(super) client: FetchClient,
    pub(super) http: SocketAddr,
    pub(super) inbound: Arc<Inbound>,
    pub(super) log: LogSender,
    pub(super) registry: Arc<Registry>,
    pub(super) sip: Option<Arc<SipBackend>>,
    /// Certificates, whose files are looked at again.
    pub(super) tls: Vec<Arc<ServerTls>>,
}

/// Applies a setting. What can fail is checked before.
type Apply = fn(&ReloadableParts, &Config) -> Result<()>;

/// The settings that a reload applies, by their keys in the file. Add a line for another one; all
/// others need a restart.
const RELOADED: &[(&str, Apply)] = &[
    ("account", |parts, config| {
        let mut configured = parts.accounts.empty();
        accounts::add_configured(&mut configured, config)?;
        parts.accounts.set_configured(configured);
        // The first account has the calls of SIP from this machine.
        phones(parts, config)
    }),
    ("call_time_limit", calls),
    ("calls_max", limits),
    ("calls_per_second", limits),
    ("cors.origins", trust),
    ("endpoint", phones),
    ("fetch.allow", |parts, config| {
        parts.client.set_allowed(settings::fetch_settings(config, parts.http).allow);
        Ok(())
    }),
    ("log.level", |parts, config| {
        parts.log.set_level(config.log.level);
        Ok(())
    }),
    ("members_max", |parts, config| {
        parts.registry.set_members_max(config.members_max.get() as usize);
        Ok(())
    }),
    ("number", calls),
    ("rate_limit", limits),
    ("sip.dial_allow", phones),
    ("trunk", phones),
    ("trusted_proxies", trust),
];

fn calls(parts: &ReloadableParts, config: &Config) -> Result<()> {
    let settings = settings::inbound_settings(config, parts.accounts.clone());
    parts.inbound.configure(settings.numbers, settings.call_time_limit);
    Ok(())
}

fn limits(parts: &ReloadableParts, config: &Config) -> Result<()> {
    let settings = settings::api_settings(config);
    parts.api.set_limits(settings.rate_limit, settings.caps);
    Ok(())
}

fn phones(parts: &ReloadableParts, config: &Config) -> Result<()> {
    parts.api.set_endpoints(settings::endpoint_users(config));
    if let Some(sip) = &parts.sip {
        OpenPhones::configure(sip, config);
    }
    Ok(())
}

fn trust(parts: &ReloadableParts, config: &Config) -> Result<()> {
    parts.api.set_trust(settings::trust(config));
    Ok(())
}

/// Reloads the configuration when it is told to.
pub(super) struct Reloader {
    load: LoadConfig,
    parts: ReloadableParts,
    running: Snapshot,
}

/// The settings in effect, to be compared with those of a file.
#[derive(Clone)]
struct Snapshot {
    /// Each setting by its key, without secrets.
    settings: BTreeMap<String, Value>,
    accounts: Vec<AccountConfig>,
    endpoints: Vec<EndpointConfig>,
    trunks: Vec<TrunkConfig>,
    ops_token: Option<String>,
}

impl Snapshot {
    fn of(config: &Config) -> Self {
        let table = Table::try_from(config).expect("names, numbers and words are TOML");
        let mut settings = BTreeMap::new();
        for (key, value) in table {
            if let Value::Table(inner) = value {
                let inner = inner.into_iter().map(|(name, value)| (format!("{key}.{name}"), value));
                settings.extend(inner);
            } else {
                settings.insert(key, value);
            }
        }
        Self {
            settings,
            accounts: config.accounts.clone(),
            endpoints: config.endpoints.clone(),
            trunks: config.trunks.clone(),
            ops_token: config.ops_token.as_ref().map(|it| it.0.clone()),
        }
    }

    /// The keys of the settings that differ, sorted. Secrets count.
    fn differing(&self, other: &Self) -> Vec<String> {
        let keys = self.settings.keys().chain(other.settings.keys());
        let mut keys: Vec<_> =
            keys.filter(|it| self.settings.get(*it) != other.settings.get(*it)).cloned().collect();
        for (key, is_equal) in [
            ("account", self.accounts == other.accounts),
            ("endpoint", self.endpoints == other.endpoints),
            ("trunk", self.trunks == other.trunks),
            ("ops_token", self.ops_token == other.ops_token),
        ] {
            if !is_equal {
                keys.push(key.to_owned());
            }
        }
        keys.sort_unstable();
        keys.dedup();
        keys
    }
}

impl Reloader {
    /// The engine runs with this configuration.
    pub(super) fn new(config: &Config, load: LoadConfig, parts: ReloadableParts) -> Self {
        Self { load, parts, running: Snapshot::of(config) }
    }

    /// Reloads at each signal, for as long as the process lives.
    pub(super) async fn run(mut self, mut hangup: Signal) {
        while hangup.recv().await.is_some() {
            self.parts.tls.iter().for_each(|it| it.reload());
            if let Err(error) = self.reload() {
                tracing::error!(
                    "SIGHUP: the settings are unchanged: {}",
                    super::causes::causes(&error)
                );
            }
        }
    }

    fn reload(&mut self) -> Result<()> {
        let config = (self.load)()?;
        let Some(file) = &config.file else {
            tracing::info!("SIGHUP: there is no configuration file to reload");
            return Ok(());
        };
        config.check_complete()?;
        accounts::check(&self.parts.stored_accounts.load()?, &config)?;
        let found = Snapshot::of(&config);
        let differing = self.running.differing(&found);
        let (mut changed, mut fixed) = (Vec::new(), Vec::new());
        for key in differing {
            match RELOADED.iter().find(|(name, _)| *name == key) {
                Some((_, apply)) => {
                    apply(&self.parts, &config).with_context(|| key.clone())?;
                    changed.push(key);
                }
                None => fixed.push(key),
            }
        }
        self.running = self.running.after(&found, &fixed);
        let file = file.display();
        match changed.is_empty() {
            true => tracing::info!("SIGHUP: {file} is reloaded: nothing has changed"),
            false => tracing::info!("SIGHUP: {file} is reloaded; changed: {}", changed.join(", ")),
        }
        if !fixed.is_empty() {
            tracing::warn!("these changes need a restart: {}", fixed.join(", "));
        }
        Ok(())
    }
}

impl Snapshot {
    /// The settings after a reload: those that need a restart are still the old ones.
    fn after(&self, found: &Self, fixed: &[String]) -> Self {
        let mut after = found.clone();
        for key in fixed {
            match self.settings.get(key) {
                Some(value) => drop(after.settings.insert(key.clone(), value.clone())),
                None => drop(after.settings.remove(key)),
            }
        }
        after.ops_token.clone_from(&self.ops_token);
        after
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;
    use crate::cli::serve::ServeArgs;

    fn load(folder: &Path, text: &str) -> Config {
        let file = folder.join("conflow.toml");
        let account = "[[account]]\nid = \"MA1\"\ntokens = [\"";
        fs::write(&file, format!("{text}\n{account}0123456789abcdef{}\"]\n", text.len())).unwrap();
        let flags = ServeArgs { config: Some(file), ..Default::default() };
        Config::load(flags, None, Path::new("")).unwrap()
    }

    #[test]
    fn each_setting_that_differs_is_found_and_a_secret_as_well() {
        let temp = tempfile::tempdir().unwrap();
        let before = Snapshot::of(&load(temp.path(), "http = \"127.0.0.1:1\""));
        let after = Snapshot::of(&load(
            temp.path(),
            "http = \"127.0.0.1:2\"\ncalls_max = 7\n[log]\nlevel = \"debug\"\n[[number]]\n\
             called = \"1\"\naccount = \"MA1\"\nflow = \"a\"",
        ));
        let expected = ["account", "calls_max", "http", "log.level", "number"];
        assert_eq!(before.differing(&after), expected);
        assert_eq!(after.differing(&before), expected);
        assert_eq!(after.differing(&after), [""; 0]);
        // `http` is still the old one, so it is told of again.
        let running = before.after(&after, &["http".to_owned()]);
        assert_eq!(running.differing(&after), ["http"]);
    }

    #[test]
    fn each_reloaded_setting_has_a_key_of_the_file() {
        let temp = tempfile::tempdir().unwrap();
        let config = load(temp.path(), "[log]\nlevel = \"debug\"");
        let found = Snapshot::of(&config).settings;
        // An empty list is not printed.
        let rows = ["account", "endpoint", "number", "sip.dial_allow", "trunk"];
        for (key, _) in RELOADED.iter().filter(|(key, _)| !rows.contains(key)) {
            assert!(found.contains_key(*key), "{key}");
        }
    }
}
