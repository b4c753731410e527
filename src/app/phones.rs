//! Phones: the router's table of backends, and the signalling, sound and speech of real phones.

mod sealed_rows;

use std::{
    collections::BTreeSet,
    env,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};
use tokio::{
    task::{JoinHandle, spawn_blocking},
    time::timeout,
};

use self::sealed_rows::SealedRows;
use super::{kept_sockets::KeptSockets, store::boot_clock};
use crate::{
    audio::clip::SoundError,
    base::{
        boot_clock::BootClock,
        ids::{AccountId, CallId},
    },
    cli::READ_ALOUD,
    config::{self, Config},
    engine::{inbound::wall_clock, journal::Journal, registry::Observed},
    fetch::FetchClient,
    holder::{SocketHolder, names},
    media::{BackendRow, BackendRows, Exchange, SoundKind, router::Router},
    rtp_engine::{self, GiveSockets, RtpEngine, SoundLoader, StoppedLegs},
    sim_phones::SimPhones,
    sip::{self, SipBackend, SipTrunk, settings::SipPeers},
    sound::{self, SoundCache, SoundSource, web::WebSounds},
    speech::{self, Speech, Utterance, Voices, command::CommandSpeech, pico::Pico},
    store::{seal::RowSeal, trunk_minutes::TrunkMinutes},
    tls::ServerTls,
    trace::FetchRecord,
};

/// Real phones before they can make calls.
pub(super) struct RealPhones {
    sip: Arc<SipBackend>,
    rtp_engine: Arc<RtpEngine>,
    driver: sip::SipDriver,
    tls: Option<Arc<ServerTls>>,
    /// None: calls end with the process.
    rows: Option<PhoneRows>,
    sockets: Arc<KeptSockets>,
}

/// Where the rows of calls go, and what seals them.
struct PhoneRows {
    journal: Arc<Journal>,
    seal: Arc<dyn RowSeal>,
}

/// Real phones that can make calls.
pub(super) struct OpenPhones {
    sip: Arc<SipBackend>,
    /// Stops when the last handle is dropped.
    rtp_engine: Arc<RtpEngine>,
    signalling: JoinHandle<()>,
    tls: Option<Arc<ServerTls>>,
}

/// The router, with a row for each backend, and the exchanges that they report to.
pub(super) struct Backends {
    pub(super) router: Router,
    /// None without simulated phones.
    pub(super) sim: Option<Arc<dyn Exchange>>,
    /// None without real phones.
    pub(super) sip: Option<Arc<dyn Exchange>>,
}

impl Backends {
    pub(super) fn new(sim: Option<&Arc<SimPhones>>, real: Option<&RealPhones>) -> Self {
        let mut router = Router::new();
        Self {
            sim: sim.map(|it| router.add("sim", it.clone(), it.clone())),
            sip: real.map(|it| router.add("sip", it.sip.clone(), it.rtp_engine.clone())),
            router,
        }
    }
}

/// Subfolder of the data folder for voices.
const VOICES_FOLDER: &str = "voices";

impl RealPhones {
    /// Binds SIP as the configuration says. None if it is off, or if another program has the
    /// default port.
    pub(super) fn new(
        config: &Config,
        key: [u8; 32],
        client: FetchClient,
        (journal, seal, sockets): (Arc<Journal>, Arc<dyn RowSeal>, Arc<KeptSockets>),
        observer: Arc<dyn Fn(Observed) + Send + Sync>,
        minutes: Arc<TrunkMinutes>,
    ) -> Result<Option<Self>> {
        if config.sip.bind.0.is_empty() {
            return Ok(None);
        }
        let sounds = Arc::new(PhoneSounds::new(config, client, journal.clone(), observer)?);
        let ports = config.sip.rtp_ports;
        let settings =
            rtp_engine::Settings { rtp_ports: ports.first..=ports.last, ..Default::default() };
        let mut rtp_engine = RtpEngine::start(settings, sounds)?;
        let rows = config.has_state_log.then(|| PhoneRows { journal, seal });
        let kept = rows.as_ref().map(|it| (it.sealed(), boot_clock()));
        if let Some((rows, clock)) = &kept {
            rtp_engine.keep_rows(rows.clone(), *clock).context("the thread of the rows")?;
        }
        let rtp_engine = Arc::new(rtp_engine);
        let tls = match config.sip.tls_files()? {
            Some(files) => Some(Arc::new(ServerTls::open(files, &[]).context("[sip] tls")?)),
            None => None,
        };
        let key = sip::ids::SipSecret(key);
        let settings = sip_settings(config);
        let (held, legs) = (&sockets.held, rtp_engine.clone());
        match SipBackend::bind_held((settings, tls.clone()), legs, key, held) {
            Ok((sip, driver)) => {
                let mut listeners = driver.descriptors().into_iter();
                listeners.try_for_each(|(name, it)| sockets.add(name, it))?;
                let earlier = minutes.earlier(wall_clock());
                let keep = Box::new(move |talked| minutes.add(wall_clock(), talked));
                let mut driver = driver.with_minutes(earlier, keep);
                if let Some((rows, clock)) = kept {
                    driver = driver.keeping(rows, clock);
                }
                Ok(Some(Self { sip: Arc::new(sip), rtp_engine, driver, tls, rows, sockets }))
            }
            Err(error) if config.sip.is_default && error.is_busy() => {
                tracing::warn!("{error}: real phones are off (use --sip for another address)");
                Ok(None)
            }
            Err(error) => Err(error).context("(another address: --sip; none: --sip off)"),
        }
    }

    /// Goes on with the calls and the registrations of an earlier process, whose rows these are:
    /// their sound at once, and their signalling from [`Self::open`] on. `is_handed_over`: it has ended on
    /// purpose, so that the rows are exact and the phones are there. Returns the calls that stand; the
    /// others end, and so does each of these that the router gets an order to end. A dialog without a
    /// leg gets a BYE. `before` is called before something of a call is restored.
    pub(super) fn restore(
        &mut self,
        rows: &[BackendRow],
        clock: BootClock,
        is_handed_over: bool,
        before: &dyn Fn(CallId),
    ) -> BTreeSet<CallId> {
        let Some(kept) = &self.rows else { return BTreeSet::new() };
        let (mut read, mut sealed) = (Vec::new(), Vec::new());
        for row in sealed_rows::unseal(rows, &*kept.seal) {
            match row {
                Ok(row) => read.push(row),
                Err(row) => sealed.push(BackendRow { body: None, ..row }),
            }
        }
        if !sealed.is_empty() {
            let rows = sealed.len();
            tracing::error!(
                rows,
                "rows of calls were sealed with another account-key: they are lost"
            );
            kept.journal.write(&sealed);
        }
        let held = &self.sockets.held;
        let legs = self.rtp_engine.restore_held(&read, clock, is_handed_over, held, before);
        if is_handed_over {
            self.driver.trust_far_ends();
        }
        self.driver.restore(&read, &legs, clock, before)
    }

    pub(super) fn gauges(&self) -> (Arc<SipBackend>, Arc<rtp_engine::RtpGauges>) {
        (self.sip.clone(), self.rtp_engine.gauges().clone())
    }

    /// Accepts calls from now on.
    pub(super) fn open(self, exchange: Arc<dyn Exchange>) -> OpenPhones {
        self.rtp_engine.connect(Arc::downgrade(&exchange));
        let signalling = tokio::spawn(self.driver.run(exchange));
        OpenPhones { sip: self.sip, rtp_engine: self.rtp_engine, signalling, tls: self.tls }
    }
}

impl PhoneRows {
    fn sealed(&self) -> Arc<dyn BackendRows> {
        Arc::new(SealedRows::new(self.journal.clone(), self.seal.clone()))
    }
}

/// Last messages, such as a BYE, must be sent; nothing waits for their answers.
const SIGNALLING_WAIT_MAX: Duration = Duration::from_secs(1);

impl OpenPhones {
    pub(super) fn gauges(&self) -> (Arc<SipBackend>, Arc<rtp_engine::RtpGauges>) {
        (self.sip.clone(), self.rtp_engine.gauges().clone())
    }

    /// The certificate of SIP over TLS, if it is on.
    pub(super) fn tls(&self) -> Option<Arc<ServerTls>> {
        self.tls.clone()
    }

    /// Replaces those who may call over SIP.
    pub(super) fn configure(sip: &SipBackend, config: &Config) {
        sip.configure(peers(config));
    }

    /// Refuses new calls from now on, and OPTIONS too, so that a proxy chooses another server.
    pub(super) fn drain(&self) {
        self.sip.drain();
    }

    /// Stops signalling and sound as they are, for a later process, and gives the sockets of calls to the
    /// holder.
    pub(super) async fn hand_over(&mut self, holder: Arc<SocketHolder>) -> Result<StoppedLegs> {
        self.sip.hand_over();
        let stopped = timeout(SIGNALLING_WAIT_MAX, &mut self.signalling).await;
        stopped.context("the signalling does not stop")??;
        let give: GiveSockets = Box::new(move |sockets| holder.store(names::RTP, sockets));
        let rtp_engine = self.rtp_engine.clone();
        let stopped = spawn_blocking(move || rtp_engine.hand_over(give)).await?;
        stopped.context("the sound of calls")
    }

    /// Sends the remaining messages, and stops.
    pub(super) async fn close(self) {
        self.sip.stop();
        drop(timeout(SIGNALLING_WAIT_MAX, self.signalling).await);
    }
}

fn sip_settings(config: &Config) -> sip::Settings {
    let SipPeers { endpoints, trunks, dial_allow, loopback_account } = peers(config);
    sip::Settings {
        bind: config.sip.bind.0.clone(),
        tls: config.sip.tls.map(|it| it.0),
        advertise: config.sip.advertise,
        domains: config.sip.domains.clone(),
        local_networks: config.sip.local_networks.clone(),
        nameservers: config.sip.nameservers.clone(),
        open: config.sip.open,
        loopback_account,
        checks_per_second: config.recovery.reinvites_per_second.get(),
        endpoints,
        trunks,
        dial_allow,
        ..Default::default()
    }
}

/// Those who may call, by the configuration.
fn peers(config: &Config) -> SipPeers {
    let endpoint = |it: &config::EndpointConfig| sip::SipEndpoint {
        user: it.user.as_str().into(),
        password: sip::SipPassword::new(&it.password.0),
        account: Some(it.account.clone()),
        srtp: it.srtp,
    };
    let trunk = |it: &config::TrunkConfig| SipTrunk {
        name: it.name.as_str().into(),
        addresses: it.addresses.clone(),
        srtp: it.srtp,
        outbound: it.outbound.as_ref().map(|it| Arc::new(it.to_settings())),
    };
    SipPeers {
        endpoints: config.endpoints.iter().map(endpoint).collect(),
        trunks: config.trunks.iter().map(trunk).collect(),
        dial_allow: config.sip.dial_allow.clone(),
        loopback_account: config.accounts.first().map(|it| it.id.clone()),
    }
}

/// Sounds of real phones: files of the flows folder and of the web, and speech.
struct PhoneSounds {
    cache: SoundCache,
    flows: PathBuf,
    /// Account whose flows are in the folder itself; only in development mode.
    owner: Option<AccountId>,
    /// Knows the account of each call.
    journal: Arc<Journal>,
    /// Writes its URLs as the log may show them.
    client: FetchClient,
    /// Gets the record of each sound that was requested, and of each that is not available.
    observer: Arc<dyn Fn(Observed) + Send + Sync>,
}

impl PhoneSounds {
    fn new(
        config: &Config,
        client: FetchClient,
        journal: Arc<Journal>,
        observer: Arc<dyn Fn(Observed) + Send + Sync>,
    ) -> Result<Self> {
        let tones = |name: &str, rate| {
            let tones = crate::audio::tone::Tones::new(rate);
            tones.of(&SoundKind::Url(format!("sound:{name}").into())).cloned()
        };
        let (settings, web) =
            (sound::Settings::default(), Arc::new(WebSounds::new(client.clone())));
        let cache = SoundCache::new(settings, voices(config)?, Arc::new(tones), web)?;
        let owner = config.file.is_none().then(|| config.accounts[0].id.clone());
        Ok(Self { cache, flows: config.flows.clone(), owner, journal, client, observer })
    }

    fn folder(&self, account: &AccountId) -> Arc<Path> {
        match self.owner.as_ref() == Some(account) {
            true => self.flows.as_path().into(),
            false => self.flows.join(account.as_str()).into(),
        }
    }

    fn source(&self, call: CallId, what: &SoundKind) -> Result<SoundSource, SoundError> {
        match what {
            SoundKind::Beep(_) | SoundKind::Silence(_) => Ok(SoundSource::BuiltIn("beep".into())),
            SoundKind::Speech { text, voice, language } => Ok(SoundSource::Speech(Utterance {
                text: text.clone(),
                voice: voice.clone(),
                language: language.clone(),
            })),
            SoundKind::Url(url) => {
                let account = self.journal.account_of(call);
                let account = account.ok_or_else(|| SoundError::temporary("the call is over"))?;
                SoundSource::from_url(url, &account, &self.folder(&account))
            }
        }
    }
}

impl SoundLoader for PhoneSounds {
    fn load(&self, call: CallId, what: &SoundKind, done: rtp_engine::OnSoundLoaded) {
        let observer = self.observer.clone();
        let url = match what {
            SoundKind::Url(url) => Some(self.client.shown(url)),
            SoundKind::Beep(_) | SoundKind::Silence(_) | SoundKind::Speech { .. } => None,
        };
        let done: sound::OnSound = Box::new(move |loaded, record| {
            let missing = loaded.as_ref().err().zip(url).map(|(error, url)| unsent(url, error));
            if let Some(record) = record.or(missing) {
                observer(Observed::Fetched { call, record });
            }
            done(loaded.map_err(|error| error.to_string()));
        });
        match self.source(call, what) {
            Ok(source) => self.cache.load_recorded(&source, crate::rtp::g711::RATE, done),
            Err(error) => done(Err(error), None),
        }
    }

    fn prepare(&self, call: CallId, what: &SoundKind) {
        let Ok(source) = self.source(call, what) else { return };
        let observer = self.observer.clone();
        self.cache.load_recorded(&source, crate::rtp::g711::RATE, move |_, record| {
            if let Some(record) = record.filter(|it| it.error.is_none()) {
                observer(Observed::Fetched { call, record });
            }
        });
    }
}

/// The record of a sound that was not requested from a server, and is not available.
fn unsent(url: Arc<str>, error: &SoundError) -> Arc<FetchRecord> {
    let (purpose, error) = (sound::web::PURPOSE, Some(error.to_string().into()));
    Arc::new(FetchRecord { purpose, url, error, ..FetchRecord::default() })
}

/// The built-in voices, and a program for languages that they lack.
fn voices(config: &Config) -> Result<Arc<dyn Speech>> {
    let mut pico = Pico::open(&config.data.join(VOICES_FOLDER))?;
    // A voice may never return: a process can then be killed, a thread cannot.
    if let Some(program) =
        env::current_exe().ok().and_then(|it| it.into_os_string().into_string().ok())
    {
        pico = pico.in_own_process(vec![program, READ_ALOUD.to_owned()]);
    }
    let mut voices: Vec<Arc<dyn Speech>> = vec![Arc::new(pico)];
    let command = &config.speech.command;
    match command.is_empty() {
        true => match CommandSpeech::espeak() {
            Ok(program) => voices.push(Arc::new(program)),
            Err(error) => tracing::debug!(%error, "only the built-in voices are available"),
        },
        false => {
            let settings = speech::command::Settings::new(command.clone());
            voices.push(Arc::new(CommandSpeech::new(settings).context("speech.command")?));
        }
    }
    Ok(Arc::new(Voices::new(voices)))
}
