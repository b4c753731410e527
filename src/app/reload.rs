//! Reload: applies a changed configuration file to the running engine, on SIGHUP.
//!
//! The file is read and checked as at the start; after an error nothing has changed. Calls go on with
//! what they had.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use anyhow::{Context, Result};
use tokio::{select, signal::unix::Signal, sync::mpsc, time::sleep};
use toml::{Table, Value};

use super::{
    accounts::{self, POLL_INTERVAL},
    phones::OpenPhones,
    provisioner::{FollowRequest, Provisioner},
    recording_archive::OpenRecordings,
    settings,
};
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
    pub(super) provisioner: Arc<Provisioner>,
    pub(super) recordings: Arc<OpenRecordings>,
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
    ("application", |parts, config| {
        parts.provisioner.configure(config);
        calls(parts, config)
    }),
    ("call_time_limit", calls),
    ("calls_max", limits),
    ("calls_per_second", limits),
    ("cors.origins", trust),
    ("endpoint", |parts, config| {
        parts.provisioner.configure(config);
        // An endpoint may have an application.
        calls(parts, config)?;
        phones(parts, config)
    }),
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
    ("recordings.accounts", recordings),
    ("recordings.keep_days", recordings),
    ("recordings.keep_gb", recordings),
    ("recordings.url", recordings),
    ("recordings.url_ttl", recordings),
    ("sip.dial_allow", phones),
    ("trunk", phones),
    ("trusted_proxies", trust),
];

fn calls(parts: &ReloadableParts, config: &Config) -> Result<()> {
    parts.inbound.configure(settings::inbound_settings(config, parts.accounts.clone()));
    Ok(())
}

fn limits(parts: &ReloadableParts, config: &Config) -> Result<()> {
    let settings = settings::api_settings(config);
    parts.api.set_limits(settings.rate_limit, settings.caps);
    Ok(())
}

fn phones(parts: &ReloadableParts, config: &Config) -> Result<()> {
    if let Some(sip) = &parts.sip {
        OpenPhones::configure(sip, config);
    }
    Ok(())
}

fn recordings(parts: &ReloadableParts, config: &Config) -> Result<()> {
    parts.recordings.configure(config);
    Ok(())
}

fn trust(parts: &ReloadableParts, config: &Config) -> Result<()> {
    parts.api.set_trust(settings::trust(config));
    Ok(())
}

/// Reloads the configuration when it is told to.
pub(super) struct Reloader {
    load: LoadConfig,
    /// The configuration as it was read last, without the rows of the data folder.
    base: Config,
    parts: ReloadableParts,
    running: Snapshot,
    /// The last error of [`Self::follow`], so that each is logged once.
    last_error: Option<String>,
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
    /// The engine runs with `config`, which is `base` and the rows of the data folder.
    pub(super) fn new(
        base: Config,
        config: &Config,
        load: LoadConfig,
        parts: ReloadableParts,
    ) -> Self {
        Self { load, base, parts, running: Snapshot::of(config), last_error: None }
    }

    /// Reloads at each signal, and follows the rows of the data folder, at once if it is asked to, for
    /// as long as the process lives.
    pub(super) async fn run(
        mut self,
        mut hangup: Signal,
        mut requests: mpsc::UnboundedReceiver<FollowRequest>,
    ) {
        loop {
            select! {
                told = hangup.recv() => {
                    if told.is_none() {
                        return;
                    }
                    self.parts.tls.iter().for_each(|it| it.reload());
                    if let Err(error) = self.reload() {
                        let error = super::causes::causes(&error);
                        tracing::error!("SIGHUP: the settings are unchanged: {error}");
                    }
                }
                Some(request) = requests.recv() => {
                    // All that wait are served by one look.
                    let others = std::iter::from_fn(|| requests.try_recv().ok());
                    let waiting: Vec<_> = [request].into_iter().chain(others).collect();
                    self.follow_or_log().await;
                    drop(waiting);
                }
                () = sleep(POLL_INTERVAL) => self.follow_or_log().await,
            }
        }
    }

    async fn follow_or_log(&mut self) {
        let error = self.follow().await.err().map(|it| super::causes::causes(&it));
        if let Some(error) = error.as_ref().filter(|it| self.last_error.as_ref() != Some(*it)) {
            tracing::error!("the rows of the data folder are not followed: {error}");
        }
        self.last_error = error;
    }

    /// Applies the rows of the data folder, if they have changed.
    async fn follow(&mut self) -> Result<()> {
        let rows = self.parts.provisioner.rows().clone();
        if !tokio::task::spawn_blocking(move || rows.changed()).await.context("a panic")?? {
            return Ok(());
        }
        let (changed, _) = self.apply(self.base.clone())?;
        if !changed.is_empty() {
            let changed = changed.join(", ");
            tracing::info!("the rows of the data folder have changed: {changed}");
        }
        Ok(())
    }

    fn reload(&mut self) -> Result<()> {
        let config = (self.load)()?;
        let Some(file) = config.file.clone() else {
            tracing::info!("SIGHUP: there is no configuration file to reload");
            return Ok(());
        };
        config.check_complete()?;
        accounts::check(&self.parts.stored_accounts.load()?, &config)?;
        self.base = config.clone();
        let (changed, fixed) = self.apply(config)?;
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

    /// Applies what differs from the settings in effect. Returns the keys that have changed, and those
    /// that need a restart.
    fn apply(&mut self, mut config: Config) -> Result<(Vec<String>, Vec<String>)> {
        self.parts.provisioner.rows().merge(&mut config, &self.parts.stored_accounts)?;
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
        Ok((changed, fixed))
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
        // An empty list and a value that is not set are not printed.
        let rows = ["account", "application", "endpoint", "number"];
        let unset = ["recordings.accounts", "recordings.url", "sip.dial_allow", "trunk"];
        let rows = [&rows[..], &unset].concat();
        for (key, _) in RELOADED.iter().filter(|(key, _)| !rows.contains(key)) {
            assert!(found.contains_key(*key), "{key}");
        }
    }
}
