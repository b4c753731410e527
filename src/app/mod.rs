//! Program: builds the engine from a configuration, serves it, and shuts it down.

pub mod accounts;
mod banner;
mod causes;
mod console;
pub mod control;
mod drain;
mod engine_end;
mod engine_note;
pub mod events;
mod kept_sockets;
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
mod start_log;
mod state;
pub mod store;
pub mod supervise;
mod supervised_sockets;
pub mod trace;
mod upgrade;
pub mod upgrade_command;
pub mod users;

use std::{
    net::SocketAddr,
    os::fd::AsFd,
    path::{PathBuf, absolute},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};
use tokio::{net::TcpListener, sync::oneshot};
use uuid::Uuid;

pub use self::{causes::causes, reload::LoadConfig};
use self::{
    engine_note::EngineNote,
    kept_sockets::KeptSockets,
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
    signals::Signals,
    store::Stores,
    upgrade::Upgrade,
    users::AccountPeople,
};
use super::log::LogSender;
use crate::{
    accounts::{Accounts, file::AccountStore},
    api::{self, Api, Ops, server},
    base::ids::{CallId, RoomId},
    cdr::CdrStore,
    cli::settings::Secret,
    conference,
    config::Config,
    descriptors::{self, KernelDrops},
    documents::{DocumentStore, folder::FlowsFolder, web::WebDocuments},
    engine::{
        counters::CallCounters,
        inbound::{self, Inbound},
        journal::Journal,
        registry::{self, Observed, Registry, TokioSpawner},
    },
    fetch::{self, FetchClient, Internet},
    holder::{HeldSockets, names},
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

/// What an engine shares with the parts around it.
type SharedParts = (Arc<FlowsFolder>, Arc<Accounts>, Arc<Provisioner>, Arc<KeptSockets>);

/// File of the development account's token, in the data folder.
const TOKEN_FILE: &str = "dev-token";
/// 160 bits as hexadecimal digits: the length of the vendors' tokens.
const TOKEN_BYTES: usize = 20;

/// Serves until a signal, then drains. SIGHUP reloads the configuration, and SIGUSR2 hands over to a new
/// process. `held` are the sockets of the last one.
///
/// # Errors
///
/// The engine could not start, or could not shut down as planned.
pub async fn serve(
    mut config: Config,
    load: LoadConfig,
    log: LogSender,
    held: HeldSockets,
) -> Result<()> {
    config.check_complete()?;
    let mut signals = Signals::take()?;
    let (descriptors, folder) = (descriptors::raise(), DataFolder::hold(&config.data)?);
    let token_file = give_token(&folder, &mut config)?;
    let https = https(&config)?;
    let sockets = Arc::new(KeptSockets::new(held));
    let listener = bind(config.http.0, &sockets).await?;
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
    let shared = (documents.clone(), accounts.clone(), provisioner.clone(), sockets.clone());
    let (mut engine, dispatcher) = Engine::build(&config, http, stores, shared, log.clone())?;
    let people = AccountPeople::open(rows.clone(), &engine.registry, engine.state_log.clone())?;
    let (closed, closing) = oneshot::channel::<()>();
    let dispatching = tokio::spawn(dispatcher.run(async move { drop(closing.await) }));
    engine.api = engine.api.with_groups(people.api(&config));
    recordings::start(&config.recordings, recordings.archive(), &engine.registry)?;
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async move { drop(stopped.await) };
    let tls = https.clone();
    let server = server::serve(listener, https, engine.api.clone(), stopped);
    // After a handover, connections wait in the listener until the calls are back: none is refused.
    let server = if remains.is_handover() { Err(server) } else { Ok(tokio::spawn(server)) };
    engine.phones = engine.recovery.recover(&engine.api, remains, config.restores);
    let serving = server.unwrap_or_else(tokio::spawn);
    sockets.serve();
    // Before the log says that this process serves: then conflow upgrade finds it.
    let note = EngineNote::own(engine.recovery.taken_over);
    let mut upgrade = Upgrade::new(folder, sockets, config.has_state_log, note);
    drop(tokio::spawn(accounts::watch(stored_accounts.clone(), accounts.clone(), people)));

    let sip = engine.phones.as_ref().map(|it| it.gauges().0.addresses().to_vec());
    let code = console::code(&engine.api, &config);
    let secrets = (token_file.as_deref(), code.as_deref());
    start_log::write(&config, &documents, http, &sip.unwrap_or_default(), secrets);
    start_log::warn_of_few(descriptors);
    let (accounts, log) = ((accounts, stored_accounts), (recordings, log));
    let parts = engine.reloadable(accounts, provisioner, (http, tls), log);
    drop(tokio::spawn(Reloader::new(base, &config, load, parts).run(signals.hangup, follow)));
    let signals = (&mut signals.stop, &mut signals.upgrade);
    let edges = ((stop, serving), (closed, dispatching));
    let end = engine.wait(drain_time(&config), signals, &mut upgrade).await;
    engine.end(end, edges, &*rows).await
}

fn drain_time(config: &Config) -> Duration {
    Duration::from_secs(config.drain.get().into())
}

/// Takes the listener of HTTP that the last process has left, or binds it.
async fn bind(http: SocketAddr, sockets: &KeptSockets) -> Result<TcpListener> {
    let bound = match sockets.held.take_tcp(names::HTTP, http) {
        Some(listener) => TcpListener::from_std(listener),
        None => TcpListener::bind(http).await,
    };
    let bound = bound.with_context(|| {
        format!("cannot serve HTTP on {http} (another address: --http; any free port: port 0)")
    })?;
    sockets.add(names::HTTP, bound.as_fd())?;
    Ok(bound)
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
    fn build(
        config: &Config,
        http: SocketAddr,
        stores: Stores,
        (folder, accounts, provisioner, sockets): SharedParts,
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
        let (web, kept) = (client.clone(), (journal.clone(), stores.seal.clone(), sockets));
        let phones = RealPhones::new(config, random()?, web, kept, observer.clone(), minutes)?;
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
        let api = console::add(Api::new(links, api_settings(config)).with_ops(ops), config, http);
        api.state().set_trust(trust(config));
        let (calls, told) = ((router, registry.clone()), (journal.clone(), counters));
        let recovery = Recovery::new(&api, closed_phones, calls, told, (config, stores.seal));
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
