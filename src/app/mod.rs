//! Program: builds the engine from a configuration, serves it, and shuts it down.

pub mod accounts;
mod banner;
mod causes;
mod drain;
pub mod events;
mod phones;
mod provisioner;
mod random;
mod recording_archive;
mod recordings;
pub mod recordings_command;
mod recovery;
mod reload;
pub mod row_commands;
mod row_seal;
mod rows;
mod settings;
mod signals;
mod state;
pub mod store;
pub mod trace;
pub mod users;

use std::{
    env,
    net::SocketAddr,
    path::{Path, PathBuf, absolute},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use tokio::{net::TcpListener, select, sync::oneshot, time::timeout};
use uuid::Uuid;

pub use self::{causes::causes, reload::LoadConfig};
use self::{
    phones::{Backends, RealPhones},
    provisioner::Provisioner,
    random::{random, random_hex},
    recording_archive::OpenRecordings,
    recovery::Recovery,
    reload::{ReloadableParts, Reloader},
    rows::ConfigRows,
    settings::{
        api_settings, fetch_settings, inbound_settings, is_open_to_itself, simulated_phones, trust,
    },
    signals::{Signals, StopSignals},
    store::Stores,
    users::AccountPeople,
};
use super::log::LogSender;
use crate::{
    accounts::{Accounts, file::AccountStore},
    api::{self, Api, Ops, server},
    base::ids::{CallId, RoomId},
    cdr::CdrStore,
    cli::{self, settings::Secret},
    conference,
    config::Config,
    descriptors::{self, KernelDrops},
    documents::{DocumentStore, LocalFlow, folder::FlowsFolder, web::WebDocuments},
    engine::{
        counters::CallCounters,
        inbound::{self, Inbound},
        journal::Journal,
        registry::{self, Observed, Registry, TokioSpawner},
    },
    fetch::{self, FetchClient, Internet},
    media::Exchange,
    rtp_engine,
    sip::SipBackend,
    state_log::StateLog,
    store::{
        folder::{DataFolder, StoreError},
        member_ids::MemberIdBlocks,
        rows::RowStore,
        seal::RowSeal,
        trunk_minutes::TrunkMinutes,
    },
    tls::ServerTls,
    trace::archive::TraceArchive,
    webhooks::{
        delivery::DeliveryLimits,
        dispatcher::{Dispatcher, WebhookQueue, webhook_dispatcher},
    },
};

/// A running engine: the parts that serving and shutting down need.
struct Engine {
    registry: Arc<Registry>,
    inbound: Arc<Inbound>,
    ids: Arc<MemberIdBlocks>,
    client: FetchClient,
    api: Api,
    /// None until the calls of the last process are restored.
    phones: Option<phones::OpenPhones>,
    recovery: Recovery,
    journal: Arc<Journal>,
    state_log: Arc<StateLog>,
}

/// File of the development account's token, in the data folder.
const TOKEN_FILE: &str = "dev-token";
/// 160 bits as hexadecimal digits: the length of the vendors' tokens.
const TOKEN_BYTES: usize = 20;
/// Maximum wait for responses in progress after the last call: the process must end in time.
const ANSWERS_WAIT_MAX: Duration = Duration::from_secs(2);
/// Maximum wait at the end for a store that cannot write: the process must end in time.
const FLUSH_MAX: Duration = Duration::from_secs(3);
/// A start must be quick, however many flows there are.
const FLOWS_CHECKED_MAX: usize = 1_000;

/// Serves until a signal, then drains. SIGHUP reloads the configuration.
///
/// # Errors
///
/// The engine could not start, or could not shut down as planned.
pub async fn serve(mut config: Config, load: LoadConfig, log: LogSender) -> Result<()> {
    config.check_complete()?;
    let mut signals = Signals::take()?;
    let (descriptors, folder) = (descriptors::raise(), DataFolder::hold(&config.data)?);
    let token_file = give_token(&folder, &mut config)?;
    let https = https(&config)?;
    let listener = bind(config.http.0).await?;
    let http = listener.local_addr()?;
    let (documents, rows) =
        (Arc::new(flows_folder(&config)), store::open(&folder, config.is_new_store)?);
    let (stored_accounts, accounts, key) = accounts::open(&config.data, rows.clone(), &config)?;
    let (stores, remains) = Stores::open(&folder, &rows, (&config, http), &key)?;
    let recordings = stores.recordings.clone();
    let (base, config_rows) = (config.clone(), Arc::new(ConfigRows::new(rows.clone(), key)));
    config_rows.merge(&mut config, &stored_accounts)?;
    let (provisioner, follow) = Provisioner::new(config_rows, accounts.clone(), &config);
    let prepared = stores.member_ids.prepare(&accounts.ids());
    prepared.with_context(|| format!("cannot use the data folder {}", config.data.display()))?;
    drop(tokio::spawn(store::remove_old_cdrs(stores.cdrs.clone())));
    let shared = (documents.clone(), accounts.clone(), provisioner.clone());
    let (mut engine, dispatcher) = Engine::build(&config, http, stores, shared, log.clone())?;
    let people = AccountPeople::open(rows.clone(), &engine.registry, engine.state_log.clone())?;
    let (closed, closing) = oneshot::channel::<()>();
    let dispatching = tokio::spawn(dispatcher.run(async move { drop(closing.await) }));
    engine.api = engine.api.with_groups(people.api(&config));
    recordings::start(&config.recordings, recordings.archive(), &engine.registry)?;
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async move { drop(stopped.await) };
    let tls = https.clone();
    let serving = tokio::spawn(server::serve(listener, https, engine.api.clone(), stopped));
    engine.phones = engine.recovery.recover(&engine.api, remains, config.restores);
    drop(tokio::spawn(accounts::watch(stored_accounts.clone(), accounts.clone(), people)));

    let sip = engine.phones.as_ref().map(|it| it.gauges().0.addresses().to_vec());
    log_start(&config, &documents, http, &sip.unwrap_or_default(), token_file.as_deref());
    warn_of_few(descriptors);
    let (accounts, log) = ((accounts, stored_accounts), (recordings, log));
    let parts = engine.reloadable(accounts, provisioner, (http, tls), log);
    drop(tokio::spawn(Reloader::new(base, &config, load, parts).run(signals.hangup, follow)));
    let is_drained = engine.drain(drain_time(&config), &mut signals.stop).await;
    drop(stop);
    if is_drained {
        drop(timeout(ANSWERS_WAIT_MAX, serving).await);
        // All last callbacks are queued by now.
        drop(closed);
        drop(dispatching.await);
    }
    if let Some(phones) = engine.phones {
        phones.close().await;
    }
    engine.journal.close_traces();
    let ids = engine.ids.close();
    // First: what is in the database is kept in the state log no longer.
    let lost = rows.flush(FLUSH_MAX);
    engine.state_log.close().context("the last events may be lost if the power fails now")?;
    ids.context("the member ids will have a gap after the next start")?;
    tracing::info!("conflow has ended");
    match (engine.registry.call_count(), lost) {
        (0, 0) => Ok(()),
        (0, rows) => bail!("{rows} rows of calls are lost, because the store cannot write"),
        (calls, _) => bail!("{calls} calls were cut off"),
    }
}

/// Warns if few files may be open.
fn warn_of_few(descriptors: u64) {
    if descriptors < descriptors::RECOMMENDED_MIN {
        tracing::warn!(
            "only {descriptors} files may be open, and each call and connection takes one: raise the \
             limit (ulimit -Hn, LimitNOFILE= of systemd) to {} or more",
            descriptors::RECOMMENDED_MIN
        );
    }
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Logs the start and warnings about the setup, and prints the banner.
fn log_start(
    config: &Config,
    documents: &FlowsFolder,
    http: SocketAddr,
    sip: &[SocketAddr],
    token: Option<&Path>,
) {
    // First: a reader who waits for the line of the log has the banner, too.
    if config.file.is_none() {
        let flows = documents.names(&config.accounts[0].id);
        let is_open = is_open_to_itself(config, http);
        banner::print(&banner::text(config, http, sip, &flows, token, is_open));
    }
    tracing::info!(%http, data = %config.data.display(), "conflow {VERSION} serves");
    check_setup(config, documents, http);
}

fn drain_time(config: &Config) -> Duration {
    Duration::from_secs(config.drain.get().into())
}

async fn bind(http: SocketAddr) -> Result<TcpListener> {
    let bound = TcpListener::bind(http).await;
    bound.with_context(|| {
        format!("cannot serve HTTP on {http} (another address: --http; any free port: port 0)")
    })
}

/// Opens the certificate of the HTTP server, and reads it again when it changes.
fn https(config: &Config) -> Result<Option<Arc<ServerTls>>> {
    let Some(files) = config.https_files()? else { return Ok(None) };
    let tls = Arc::new(ServerTls::open(files, &["http/1.1"]).context("http_cert and http_key")?);
    drop(tokio::spawn(tls.clone().watch()));
    Ok(Some(tls))
}

/// Gives the development account the token in the data folder, or a new random one.
fn give_token(folder: &DataFolder, config: &mut Config) -> Result<Option<PathBuf>> {
    if config.file.is_some() || !config.accounts[0].tokens.is_empty() {
        return Ok(None);
    }
    let path = folder.path(TOKEN_FILE);
    let token = match folder.read(TOKEN_FILE)? {
        Some(bytes) => {
            let text = String::from_utf8(bytes).unwrap_or_default().trim().to_owned();
            if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
                let why =
                    "it contains no valid token: remove it, and the next start makes a new one"
                        .to_owned();
                return Err(StoreError::Damaged { path, why }.into());
            }
            text
        }
        None => {
            let token = random_hex::<TOKEN_BYTES>()?;
            folder.write(TOKEN_FILE, format!("{token}\n").as_bytes())?;
            token
        }
    };
    config.accounts[0].tokens.push(Secret(token));
    Ok(Some(absolute(path)?))
}

fn flows_folder(config: &Config) -> FlowsFolder {
    // With a file, the development account has no special folder.
    let owner = config.file.is_none().then(|| config.accounts[0].id.clone());
    FlowsFolder::new(config.flows.clone(), owner)
}

impl Engine {
    /// Waits for a signal, and lets all callers leave; false if a second signal ends that.
    async fn drain(&self, patience: Duration, stop: &mut StopSignals) -> bool {
        let name = stop.next().await;
        tracing::info!("{name}: no new calls from now on");
        if let Some(phones) = &self.phones {
            phones.drain();
        }
        select! {
            () = drain::drain(&self.registry, &self.inbound, patience) => true,
            name = stop.next() => {
                tracing::warn!("{name} again: conflow ends at once");
                false
            }
        }
    }

    fn build(
        config: &Config,
        http: SocketAddr,
        stores: Stores,
        (folder, accounts, provisioner): (Arc<FlowsFolder>, Arc<Accounts>, Arc<Provisioner>),
        log: LogSender,
    ) -> Result<(Self, Dispatcher)> {
        let Stores { rows, ban_list, member_ids, cdrs, idempotency_keys, .. } = stores;
        let (state_log, traces, recordings) = (stores.state_log, stores.traces, stores.recordings);
        let client = FetchClient::new(fetch_settings(config, http), Arc::new(Internet))?;
        let (callbacks, dispatcher) = webhook_dispatcher(client.clone(), DeliveryLimits::default());
        let results = client.results().clone();
        let documents: Arc<dyn DocumentStore> =
            Arc::new(WebDocuments::new(folder, client.clone(), accounts.clone()));
        let cdrs: Arc<dyn CdrStore> = cdrs;
        let kept = (cdrs.clone(), config.has_state_log.then(|| state_log.clone()), traces);
        let journal = open_journal(accounts.clone(), callbacks.clone(), kept, stores.seal.clone())?;
        let counters = Arc::new(CallCounters::default());
        let sim = config.sim.on.then(|| Arc::new(simulated_phones(config)));
        let observer = trace_sink(journal.clone(), counters.clone(), log.clone());
        let minutes = Arc::new(TrunkMinutes::open(rows.clone())?);
        let (web, key) = (client.clone(), random()?);
        let rows_of_phones = (journal.clone(), stores.seal.clone());
        let phones = RealPhones::new(config, key, web, rows_of_phones, observer.clone(), minutes)?;
        let backends = Backends::new(sim.as_ref(), phones.as_ref());
        let router = Arc::new(backends.router);
        let links = registry::RegistryPorts {
            media: router.clone(),
            documents: documents.clone(),
            ban_list,
            member_ids: member_ids.clone(),
            room_id: Box::new(|| RoomId(Uuid::new_v4())),
            call_id: Box::new(|| CallId(Uuid::new_v4())),
            observer: Box::new(move |trace| observer(trace)),
            spawner: Box::new(TokioSpawner),
        };
        let members_max = config.members_max.get() as usize;
        let rooms = conference::Settings { members_max, ..Default::default() };
        let registry = Registry::new(rooms, links);
        let settings = inbound_settings(config, accounts.clone());
        let inbound = Inbound::new(registry.clone(), documents, cdrs, settings);
        let inbound = Arc::new(inbound.with_state_log(state_log.clone()));
        router.connect(Arc::downgrade(&(inbound.clone() as Arc<dyn Exchange>)));
        let simulated = sim.as_ref().zip(backends.sim.as_ref());
        simulated.into_iter().for_each(|(sim, it)| sim.connect(Arc::downgrade(it)));
        let closed_phones = phones.zip(backends.sip);
        let gauges = closed_phones.as_ref().map(|(it, _)| it.gauges());
        gauges.iter().for_each(|(sip, _)| provisioner.connect(sip.clone(), &config.sip));

        let links = api::ApiDependencies {
            registry: registry.clone(),
            inbound: inbound.clone(),
            journal: journal.clone(),
            accounts,
            provisioning: provisioner,
            recordings: recordings.archive(),
            callbacks,
            idempotency_keys,
            on_answered: Box::new(move |entry| log.audit(entry)),
            phones: sim,
        };
        let ops = ops(config, http, counters.clone(), results, (rows, state_log.clone()), gauges);
        let api = Api::new(links, api_settings(config)).with_ops(ops);
        api.state().set_trust(trust(config));
        let (calls, told) = ((router, registry.clone()), (journal.clone(), counters));
        let seal = config.has_state_log.then_some(stores.seal);
        let has_simulated = config.recovery.simulated;
        let recovery = Recovery::new(&api, closed_phones, calls, told, seal, has_simulated);
        let (phones, ids) = (None, member_ids);
        let it = Self { registry, inbound, ids, client, api, phones, recovery, journal, state_log };
        Ok((it, dispatcher))
    }

    fn reloadable(
        &self,
        (accounts, stored_accounts): (Arc<Accounts>, Arc<AccountStore>),
        provisioner: Arc<Provisioner>,
        (http, https): (SocketAddr, Option<Arc<ServerTls>>),
        (recordings, log): (Arc<OpenRecordings>, LogSender),
    ) -> ReloadableParts {
        ReloadableParts {
            accounts,
            stored_accounts,
            provisioner,
            api: self.api.state().clone(),
            client: self.client.clone(),
            http,
            inbound: self.inbound.clone(),
            log,
            recordings,
            registry: self.registry.clone(),
            sip: self.phones.as_ref().map(|it| it.gauges().0),
            tls: https
                .into_iter()
                .chain(self.phones.as_ref().and_then(phones::OpenPhones::tls))
                .collect(),
        }
    }
}

/// The journal, with what outlives the process.
fn open_journal(
    accounts: Arc<Accounts>,
    callbacks: WebhookQueue,
    (cdrs, state_log, traces): (Arc<dyn CdrStore>, Option<Arc<StateLog>>, Arc<TraceArchive>),
    seal: Arc<dyn RowSeal>,
) -> Result<Arc<Journal>> {
    let now = inbound::wall_clock();
    let journal = Journal::new(now, state_log, accounts, callbacks, cdrs).sealing(seal);
    Ok(Arc::new(journal.with_traces(traces).context("the thread of the traces")?))
}

/// The endpoint `/metrics`: its figures and its token.
fn ops(
    config: &Config,
    http: SocketAddr,
    counters: Arc<CallCounters>,
    results: Arc<fetch::ResultCounters>,
    (rows, state_log): (Arc<dyn RowStore>, Arc<StateLog>),
    phones: Option<(Arc<SipBackend>, Arc<rtp_engine::RtpGauges>)>,
) -> Ops {
    Ops {
        token: config.ops_token.as_ref().map(|it| it.0.clone()),
        is_open_to_accounts: is_open_to_itself(config, http),
        counters,
        results,
        phones,
        kernel_drops: KernelDrops::default(),
        rows,
        state_log: Some(state_log),
        began_at: inbound::wall_clock(),
    }
}

/// Passes observations of the registry to counters, journal and log.
fn trace_sink(
    journal: Arc<Journal>,
    counters: Arc<CallCounters>,
    log: LogSender,
) -> Arc<dyn Fn(Observed) + Send + Sync> {
    Arc::new(move |trace| {
        journal.note(&trace);
        counters.note(&trace);
        trace.each(|it| log.trace(it));
    })
}

/// Logs at the start what would otherwise fail at the first call.
fn check_setup(config: &Config, documents: &FlowsFolder, http: SocketAddr) {
    for account in &config.accounts {
        let flow = |name: &str| LocalFlow {
            account: account.id.clone(),
            name: name.into(),
            dialect: account.dialect,
        };
        // Reading a flow logs its errors and warnings.
        let names = documents.names(&account.id);
        for name in names.iter().take(FLOWS_CHECKED_MAX) {
            drop(documents.local(&flow(name)));
        }
        for number in config.numbers.iter().filter(|it| it.account == account.id) {
            if let Some(flow) = number.flow.as_ref().filter(|it| !names.contains(it)) {
                let (called, id) = (&number.called, &account.id);
                let folder = config.flows.join(id.as_str());
                tracing::warn!(
                    "calls to {called} will fail: there is no {flow}.xml in {}",
                    folder.display()
                );
            }
        }
    }
    for variable in env::vars_os().filter_map(|(name, _)| name.into_string().ok()) {
        if variable.starts_with("CONFLOW_") && !cli::is_variable(&variable) {
            tracing::warn!("{variable} is not a setting of conflow: see conflow serve --help");
        }
    }
    if !config.sim.on && config.sip.bind.0.is_empty() {
        tracing::warn!(
            "there are no phones: simulated ones are off (--sim), and so is SIP (--sip)"
        );
    }
    if config.recordings.url.is_none() && http.ip().is_unspecified() {
        tracing::warn!(
            "URLs of recordings name {http}, where nobody finds them: set recordings.url \
             (--recordings-url) to this server's URL"
        );
    }
    if config.file.is_none() && !http.ip().is_loopback() {
        tracing::warn!("development mode, and other machines can reach it at {http}");
    }
}
