//! Provisioner: carries out what accounts ask for by `Endpoint/` and `Application/` of the API.
//!
//! A change is a row of the data folder, as those of the commands. The reloader then applies it, and the
//! request is answered after that: a phone may register as soon as its endpoint is made.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

use parking_lot::RwLock;
use tokio::{
    sync::{mpsc, oneshot},
    task::spawn_blocking,
    time::timeout,
};

use super::rows::ConfigRows;
use crate::{
    accounts::Accounts,
    base::ids::AccountId,
    config::{Config, SipConfig},
    engine::inbound::wall_clock,
    provisioning::{
        Command, EndpointEntry, OnChange, OnPhones, Provisioning, ProvisioningError,
        ProvisioningTable, RegisteredPhone,
    },
    sip::{PORT_DEFAULT, SipBackend, agent::BoundPhone},
    store::{folder::DataFolder, rows::RowWrite},
};

/// A request to apply the rows of the data folder; it is answered, or dropped, afterwards.
pub(super) type FollowRequest = oneshot::Sender<()>;

/// What accounts have, and the way to change it.
pub(super) struct Provisioner {
    rows: Arc<ConfigRows>,
    accounts: Arc<Accounts>,
    data: PathBuf,
    /// Unset without real phones.
    sip: OnceLock<Arc<SipBackend>>,
    sip_host: OnceLock<String>,
    follow: mpsc::UnboundedSender<FollowRequest>,
    tables: RwLock<BTreeMap<AccountId, Arc<ProvisioningTable>>>,
    /// One change at a time, so that one thread at most waits for the disk and for commands.
    changing: tokio::sync::Mutex<()>,
}

/// A change is applied in milliseconds. After this time it is answered all the same, since it is stored:
/// the log says why it could not be applied.
const FOLLOW_WAIT_MAX: Duration = Duration::from_secs(2);

impl Provisioner {
    /// A provisioner of these rows, and the requests that the reloader has to answer.
    pub(super) fn new(
        rows: Arc<ConfigRows>,
        accounts: Arc<Accounts>,
        config: &Config,
    ) -> (Arc<Self>, mpsc::UnboundedReceiver<FollowRequest>) {
        let (follow, requests) = mpsc::unbounded_channel();
        let it = Self {
            rows,
            accounts,
            data: config.data.clone(),
            sip: OnceLock::new(),
            sip_host: OnceLock::new(),
            follow,
            tables: RwLock::default(),
            changing: tokio::sync::Mutex::default(),
        };
        it.configure(config);
        (Arc::new(it), requests)
    }

    /// The rows that it changes.
    pub(super) fn rows(&self) -> &Arc<ConfigRows> {
        &self.rows
    }

    /// Connects the phones, once.
    pub(super) fn connect(&self, sip: Arc<SipBackend>, config: &SipConfig) {
        drop(self.sip_host.set(sip_host(config, sip.addresses())));
        drop(self.sip.set(sip));
    }

    /// Replaces what the accounts have.
    pub(super) fn configure(&self, config: &Config) {
        let mut tables: BTreeMap<AccountId, ProvisioningTable> = BTreeMap::new();
        for it in &config.applications {
            let table = tables.entry(it.account.clone()).or_default();
            table.applications.push(it.clone());
        }
        for it in &config.endpoints {
            let or_user = |text: &Option<String>| text.clone().unwrap_or_else(|| it.user.clone());
            tables.entry(it.account.clone()).or_default().endpoints.push(EndpointEntry {
                id: or_user(&it.id),
                user: it.user.clone(),
                alias: or_user(&it.alias),
                application: it.application.clone(),
                is_fixed: it.is_fixed,
            });
        }
        *self.tables.write() = tables.into_iter().map(|(id, it)| (id, Arc::new(it))).collect();
    }

    /// What an account has in the configuration file.
    fn fixed(&self, account: &AccountId) -> ProvisioningTable {
        let mut table = ProvisioningTable::clone(&self.of(account));
        table.endpoints.retain(|it| it.is_fixed);
        table.applications.retain(|it| it.is_fixed);
        table
    }

    /// Stores a change. Blocks as long as a command has the folder.
    fn store(
        &self,
        account: &AccountId,
        command: Command,
        answer: Option<RowWrite>,
    ) -> Result<(), ProvisioningError> {
        let _folder = DataFolder::hold_accounts(&self.data).map_err(|error| {
            tracing::error!("the rows of the data folder cannot be changed: {error}");
            ProvisioningError::Failed
        })?;
        let fixed = (self.fixed(account), self.accounts.is_configured(account));
        self.rows.provision(account, fixed, command, answer)
    }
}

impl Provisioning for Provisioner {
    fn of(&self, account: &AccountId) -> Arc<ProvisioningTable> {
        self.tables.read().get(account).cloned().unwrap_or_default()
    }

    fn sip_host(&self) -> &str {
        self.sip_host.get().map_or(LOCALHOST, String::as_str)
    }

    fn phones(&self, users: Vec<String>, done: OnPhones) {
        let Some(sip) = self.sip.get() else { return done(vec![None; users.len()]) };
        let now = wall_clock();
        let phone = move |BoundPhone { contact, user_agent, ends_in }| RegisteredPhone {
            contact,
            user_agent,
            ends_at: now + ends_in,
        };
        let phones = move |found: Vec<Option<BoundPhone>>| {
            done(found.into_iter().map(|it| it.map(phone)).collect());
        };
        sip.phones(users, Box::new(phones));
    }

    fn change(
        self: Arc<Self>,
        account: AccountId,
        command: Command,
        answer: Option<RowWrite>,
        done: OnChange,
    ) {
        // Its own task: it is completed even if the client disconnects.
        drop(tokio::spawn(async move {
            let changing = self.changing.lock().await;
            let it = self.clone();
            let stored = spawn_blocking(move || it.store(&account, command, answer)).await;
            drop(changing);
            let stored = stored.unwrap_or(Err(ProvisioningError::Failed));
            let (tell, followed) = oneshot::channel();
            if stored.is_ok() && self.follow.send(tell).is_ok() {
                drop(timeout(FOLLOW_WAIT_MAX, followed).await);
            }
            done(stored);
        }));
    }
}

/// A name of ours in SIP URIs, whatever the settings.
const LOCALHOST: &str = "localhost";

/// The host by which phones reach us: a name if there is one, else an address.
fn sip_host(config: &SipConfig, bound: &[SocketAddr]) -> String {
    if let Some(domain) = config.domains.first() {
        return domain.clone();
    }
    let Some(first) = bound.first() else { return LOCALHOST.to_owned() };
    let address = config.advertise.unwrap_or_else(|| first.ip());
    match (address, first.port()) {
        (address, _) if address.is_unspecified() => LOCALHOST.to_owned(),
        (IpAddr::V4(address), PORT_DEFAULT) => address.to_string(),
        (IpAddr::V6(address), PORT_DEFAULT) => format!("[{address}]"),
        (address, port) => SocketAddr::new(address, port).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::cli::serve::ServeArgs;

    #[test]
    fn uris_have_the_name_or_the_address_by_which_phones_reach_us() {
        let check = |domains: &[&str], advertise: &str, bound: &str, expected: &str| {
            let config = Config::load(ServeArgs::default(), None, Path::new("nowhere")).unwrap();
            let config = SipConfig {
                domains: domains.iter().map(ToString::to_string).collect(),
                advertise: advertise.parse().ok(),
                ..config.sip
            };
            let bound: Vec<_> = bound.parse().into_iter().collect();
            assert_eq!(sip_host(&config, &bound), expected, "{domains:?} {advertise} {bound:?}");
        };
        check(&["phone.example", "b"], "192.0.2.1", "0.0.0.0:5060", "phone.example");
        check(&[], "192.0.2.1", "0.0.0.0:5060", "192.0.2.1");
        check(&[], "", "198.51.100.1:5070", "198.51.100.1:5070");
        check(&[], "", "[2001:db8::1]:5060", "[2001:db8::1]");
        check(&[], "", "0.0.0.0:5060", "localhost");
        check(&[], "", "", "localhost");
    }
}
