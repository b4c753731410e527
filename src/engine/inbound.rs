//! Inbound: accepts the calls that come in and finds the flow of each; also starts outgoing calls.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use parking_lot::RwLock;
use tokio::time::Instant;

use super::{
    recorder::Receipt,
    registry::{Observed, Registry},
};
use crate::{
    accounts::Accounts,
    base::{
        ids::{AccountId, CallId, Dialect},
        user_part::UserPart,
    },
    call::{
        AnswerUrls, Call, CallDirection, CallSession, Hook, OutgoingCall, Party, SessionDetails,
        applications::ApplicationRoutes,
        numbers::{FlowSource, NumberRoute, Numbers},
    },
    cdr::CdrStore,
    documents::{DocumentStore, LocalFlow},
    flow::{DocumentError, Fetched},
    media::{Arrival, DialAttempt, Exchange, NoFlow, Report, legs::LegSummary},
    state_log::StateLog,
};

/// Accepts and starts calls until it is closed.
pub struct Inbound {
    registry: Arc<Registry>,
    documents: Arc<dyn DocumentStore>,
    cdrs: Arc<dyn CdrStore>,
    settings: RwLock<Settings>,
    is_open: AtomicBool,
    /// Without space for their events no calls are accepted. None: nothing outlives the process.
    state_log: Option<Arc<StateLog>>,
}

/// Settings of inbound and outgoing calls.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The `[[number]]` rows of the configuration.
    pub numbers: Numbers,
    /// The applications, and the endpoints that have them.
    pub applications: ApplicationRoutes,
    /// They give the dialect of each account's inbound calls.
    pub accounts: Arc<Accounts>,
    /// The maximum length of a call from its answer (contract 5.2: 14,400 s).
    pub call_time_limit: Duration,
}

/// The flow of called names that have none of their own.
const FLOW_DEFAULT: &str = "default";

impl Inbound {
    /// Makes an open one.
    pub fn new(
        registry: Arc<Registry>,
        documents: Arc<dyn DocumentStore>,
        cdrs: Arc<dyn CdrStore>,
        settings: Settings,
    ) -> Self {
        let (settings, is_open) = (RwLock::new(settings), AtomicBool::new(true));
        Self { registry, documents, cdrs, settings, is_open, state_log: None }
    }

    /// Accepts calls only while their events can be written to this log.
    pub fn with_state_log(self, state_log: Arc<StateLog>) -> Self {
        Self { state_log: Some(state_log), ..self }
    }

    /// Replaces the settings of the calls that begin from now on.
    pub fn configure(&self, settings: Settings) {
        *self.settings.write() = settings;
    }

    /// Refuses calls from now on.
    pub fn close(&self) {
        self.is_open.store(false, Ordering::SeqCst);
    }

    /// Whether calls are accepted.
    pub fn is_open(&self) -> bool {
        self.is_open.load(Ordering::SeqCst)
    }

    /// Starts outgoing calls of an account: all of them, or none and false if closed. `time_limit`
    /// None: the default of the settings.
    pub fn call_out(
        &self,
        account: &AccountId,
        calls: Vec<(CallId, Party, OutgoingCall)>,
        time_limit: Option<Duration>,
        receipt: Option<&Receipt>,
    ) -> bool {
        if !self.is_open() {
            return false;
        }
        let now = Instant::now().into_std();
        let limit = time_limit.unwrap_or_else(|| self.settings.read().call_time_limit);
        let call = |(call, party, out)| {
            (Call::new(now, call, account.clone(), Arc::new(party), limit), out)
        };
        self.registry.dial(now, calls.into_iter().map(call).collect(), receipt);
        true
    }

    /// The numbers of an account, sorted.
    pub fn numbers_of(&self, account: &AccountId) -> Vec<Arc<str>> {
        self.settings.read().numbers.of(account)
    }

    /// Finds the flow of a call: an application's, else that of the number's row, else the flow file
    /// with the called name, else the default one.
    fn route(&self, arrival: &Arrival) -> Result<InboundRoute, NoFlow> {
        let no_flow = |hint: String| NoFlow { to: arrival.to.clone(), hint, is_temporary: false };
        let called = &*UserPart::read(&arrival.to).user;
        let settings = self.settings.read();
        let (account, caller) = (arrival.account.as_ref(), arrival.trusted.as_ref());
        let application = settings.applications.find(called, account, caller);
        let row = application.or_else(|| settings.numbers.find(called, account)).cloned();
        let accounts = settings.accounts.clone();
        drop(settings);
        if let Some(NumberRoute { account, source, hangup, dialect }) = row {
            let dialect = dialect.unwrap_or_else(|| accounts.dialect(&account));
            let first = match source {
                FlowSource::Flow(name) => {
                    let flow = LocalFlow { account: account.clone(), name: name.clone(), dialect };
                    let hint = || no_flow(format!("the number's row names the flow {name:?}"));
                    let document = self.local(&arrival.to, &flow)?.ok_or_else(hint)?;
                    FirstDocument::Local(name.clone(), document)
                }
                FlowSource::Web(answer) => FirstDocument::Ask(answer),
            };
            return Ok(InboundRoute { account, dialect, hangup, first });
        }

        let Some(account) = arrival.account.clone() else {
            return Err(no_flow("no [[number]] row has this number".to_owned()));
        };
        let dialect = accounts.dialect(&account);
        for name in [called, FLOW_DEFAULT] {
            let flow = LocalFlow { account: account.clone(), name: name.into(), dialect };
            if let Some(document) = self.local(&arrival.to, &flow)? {
                let first = FirstDocument::Local(name.into(), document);
                return Ok(InboundRoute { account, dialect, hangup: None, first });
            }
        }
        let hint = format!(
            "put {called}.xml or {FLOW_DEFAULT}.xml into the flows folder, or call one that is there"
        );
        Err(no_flow(hint))
    }

    /// A local flow; None if there is no such file. A file that cannot be read now may be there.
    fn local(&self, to: &Arc<str>, flow: &LocalFlow) -> Result<Option<Fetched>, NoFlow> {
        match self.documents.local(flow) {
            Some(Err(DocumentError::Unreachable(why))) => {
                Err(NoFlow { to: to.clone(), hint: why.to_string(), is_temporary: true })
            }
            found => Ok(found),
        }
    }
}

struct InboundRoute {
    account: AccountId,
    dialect: Dialect,
    hangup: Option<Hook>,
    first: FirstDocument,
}

/// The source of a call's first document.
enum FirstDocument {
    Ask(AnswerUrls),
    /// The name of the flow, and the document.
    Local(Arc<str>, Fetched),
}

impl Exchange for Inbound {
    fn arrive(&self, arrival: Arrival) -> Result<(), NoFlow> {
        if !self.is_open() {
            let hint = "the engine is shutting down, and takes no new calls".to_owned();
            return Err(NoFlow { to: arrival.to, hint, is_temporary: true });
        }
        if let Some(error) = self.state_log.as_ref().and_then(|it| it.trouble()) {
            let hint = format!("the engine takes no new calls: {error}");
            return Err(NoFlow { to: arrival.to, hint, is_temporary: true });
        }
        let InboundRoute { account, dialect, hangup, first } = self.route(&arrival)?;
        let Arrival {
            call,
            account: _,
            from,
            to,
            caller_name,
            headers,
            trusted,
            is_private,
            diversion,
        } = arrival;
        let headers = headers.into_iter().map(|(name, value)| (bare_header(name), value)).collect();
        let details =
            SessionDetails { hangup, headers, is_private, diversion, ..Default::default() };
        let session = CallSession::new(wall_clock(), details);
        let direction = CallDirection::Inbound;
        let trusted = trusted.map(Box::new);
        let party = Party { from, to, caller_name, direction, dialect, trusted, session };
        let now = Instant::now().into_std();
        let limit = self.settings.read().call_time_limit;
        let call = Call::new(now, call, account, Arc::new(party), limit);
        match first {
            FirstDocument::Ask(answer) => self.registry.ask_for_flow(now, call, answer),
            FirstDocument::Local(name, document) => {
                self.registry.begin(now, call, &format!("flow:{name}"), document);
            }
        }
        Ok(())
    }

    fn report(&self, report: Report) {
        self.registry.report(report);
    }

    fn media_ended(&self, call: CallId, sound: LegSummary) {
        let LegSummary { sent, received, lost, jitter_us } = sound;
        tracing::info!(%call, sent, received, lost, jitter_us, "audio statistics of the call");
        self.cdrs.add_leg_summary(call, sound);
    }

    fn attempted(&self, call: CallId, attempt: Arc<DialAttempt>) {
        self.registry.observe(Observed::Attempted { call, attempt });
    }
}

/// The wall clock, for start times only: it can jump.
#[expect(clippy::disallowed_methods, reason = "calls have a start time")]
pub fn wall_clock() -> SystemTime {
    SystemTime::now()
}

/// Removes the vendor's prefix (`X-PH-`, `X-VH-`); each dialect adds its own when it sends.
fn bare_header(name: Arc<str>) -> Arc<str> {
    let prefix = name.get(..5).filter(|it| ["x-ph-", "x-vh-"].contains(&&*it.to_ascii_lowercase()));
    prefix.map_or_else(|| name.clone(), |_| name[5..].into())
}
