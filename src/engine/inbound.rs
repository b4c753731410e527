//! The reception: takes the calls that come in, and gives each its flow.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use super::registry::House;
use crate::{
    accounts::Accounts,
    base::ids::{AccountId, CallId, Dialect},
    call::{
        Answer, Call, Details, Direction, Hook, Outgoing, Party, Session,
        numbers::{Numbers, Row, Source, bare},
    },
    cdr::Records,
    documents::{Library, LocalFlow},
    flow::Fetched,
    media::{Arrival, Exchange, NoFlow, Report, legs::LegSummary},
};

/// Takes calls in, for as long as it is open.
pub struct Reception {
    house: Arc<House>,
    library: Arc<dyn Library>,
    records: Arc<dyn Records>,
    settings: Settings,
    is_open: AtomicBool,
}

/// Who may be called, and for how long.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The called numbers.
    pub numbers: Numbers,
    /// They know the dialect of each one's inbound calls.
    pub accounts: Arc<Accounts>,
    /// How long a call may last from its answer (contract 5.2: 14,400 s).
    pub call_time_limit: Duration,
}

/// The flow for a name that has none of its own.
const FLOW_DEFAULT: &str = "default";

impl Reception {
    /// Opens a house to calls.
    pub fn new(
        house: Arc<House>,
        library: Arc<dyn Library>,
        records: Arc<dyn Records>,
        settings: Settings,
    ) -> Self {
        Self { house, library, records, settings, is_open: AtomicBool::new(true) }
    }

    /// From now on, no call is taken in.
    pub fn close(&self) {
        self.is_open.store(false, Ordering::SeqCst);
    }

    /// Whether calls are taken in.
    pub fn is_open(&self) -> bool {
        self.is_open.load(Ordering::SeqCst)
    }

    /// Calls somebody on an account's behalf; false if no calls are made any more.
    pub fn call_out(
        &self,
        call: CallId,
        account: AccountId,
        party: Party,
        out: Outgoing,
        time_limit: Option<Duration>,
    ) -> bool {
        if !self.is_open() {
            return false;
        }
        let now = Instant::now().into_std();
        let limit = time_limit.unwrap_or(self.settings.call_time_limit);
        self.house.dial(now, Call::new(now, call, account, Arc::new(party), limit), out);
        true
    }

    /// The number's row, else the file that is called as the called name, else the default one.
    fn route(&self, arrival: &Arrival) -> Result<Route, NoFlow> {
        let no_flow = |hint: String| NoFlow { to: arrival.to.clone(), hint };
        let called = bare(&arrival.to);
        let row = self.settings.numbers.find(called, arrival.account.as_ref());
        if let Some(Row { account, source, hangup, dialect }) = row {
            let dialect = dialect.unwrap_or_else(|| self.dialect(account));
            let (account, hangup) = (account.clone(), hangup.clone());
            let first = match source {
                Source::Flow(name) => {
                    let flow = LocalFlow { account: account.clone(), name: name.clone(), dialect };
                    let hint = || no_flow(format!("the number's row names the flow {name:?}"));
                    First::Document(self.library.local(&flow).ok_or_else(hint)?)
                }
                Source::Web(answer) => First::Ask(answer.clone()),
            };
            return Ok(Route { account, dialect, hangup, first });
        }

        let Some(account) = arrival.account.clone() else {
            return Err(no_flow("no [[number]] row has this number".to_owned()));
        };
        let dialect = self.dialect(&account);
        for name in [called, FLOW_DEFAULT] {
            let flow = LocalFlow { account: account.clone(), name: name.into(), dialect };
            if let Some(document) = self.library.local(&flow) {
                let first = First::Document(document);
                return Ok(Route { account, dialect, hangup: None, first });
            }
        }
        let hint = format!(
            "put {called}.xml or {FLOW_DEFAULT}.xml into the flows folder, or call one that is there"
        );
        Err(no_flow(hint))
    }

    fn dialect(&self, account: &AccountId) -> Dialect {
        self.settings.accounts.dialect(account)
    }
}

/// Where an arrival goes.
struct Route {
    account: AccountId,
    dialect: Dialect,
    hangup: Option<Hook>,
    first: First,
}

/// How a call comes to its first document.
enum First {
    Ask(Answer),
    Document(Fetched),
}

impl Exchange for Reception {
    fn arrive(&self, arrival: Arrival) -> Result<(), NoFlow> {
        if !self.is_open() {
            let hint = "the engine is shutting down, and takes no new calls".to_owned();
            return Err(NoFlow { to: arrival.to, hint });
        }
        let Route { account, dialect, hangup, first } = self.route(&arrival)?;
        let Arrival { call, from, to, caller_name, headers, trusted, account: _ } = arrival;
        let headers = headers.into_iter().map(|(name, value)| (bare_header(name), value)).collect();
        let session = Session::new(wall(), Details { hangup, headers, ..Details::default() });
        let direction = Direction::Inbound;
        let trusted = trusted.map(Box::new);
        let party = Party { from, to, caller_name, direction, dialect, trusted, session };
        let now = Instant::now().into_std();
        let limit = self.settings.call_time_limit;
        let call = Call::new(now, call, account, Arc::new(party), limit);
        match first {
            First::Ask(answer) => self.house.ask_for_flow(now, call, answer),
            First::Document(document) => self.house.begin(now, call, document),
        }
        Ok(())
    }

    fn report(&self, report: Report) {
        self.house.report(report);
    }

    fn sounded(&self, call: CallId, sound: LegSummary) {
        let LegSummary { sent, received, lost, jitter_us } = sound;
        tracing::info!(%call, sent, received, lost, jitter_us, "how it sounded");
        self.records.sounded(call, sound);
    }
}

/// The time on the wall.
#[expect(clippy::disallowed_methods, reason = "calls are told when they began")]
pub fn wall() -> SystemTime {
    SystemTime::now()
}

/// `X-PH-name` is known as `name`: each dialect puts a prefix of its own before it again.
fn bare_header(name: Arc<str>) -> Arc<str> {
    let prefix = name.get(..5).filter(|it| ["x-ph-", "x-vh-"].contains(&&*it.to_ascii_lowercase()));
    prefix.map_or_else(|| name.clone(), |_| name[5..].into())
}
