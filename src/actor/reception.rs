//! The reception: takes the calls that come in, and gives each its flow.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::house::House;
use crate::{
    call::{Call, Direction, Party},
    flow::Fetched,
    ids::{AccountId, Dialect},
    library::{Library, LocalFlow},
    media::{Arrival, Exchange, NoFlow, Report},
    numbers::{Numbers, bare},
};

/// Takes calls in, for as long as it is open.
pub struct Reception {
    house: Arc<House>,
    library: Arc<dyn Library>,
    settings: Settings,
    is_open: AtomicBool,
}

/// Who may be called, and for how long.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The called numbers.
    pub numbers: Numbers,
    /// The accounts there are, and the dialect of each one's inbound calls.
    pub accounts: BTreeMap<AccountId, Dialect>,
    /// How long a call may last from its answer (contract 5.2: 14,400 s).
    pub call_time_limit: Duration,
}

/// The flow for a name that has none of its own.
const FLOW_DEFAULT: &str = "default";

impl Reception {
    /// Opens a house to calls.
    pub fn new(house: Arc<House>, library: Arc<dyn Library>, settings: Settings) -> Self {
        Self { house, library, settings, is_open: AtomicBool::new(true) }
    }

    /// From now on, no call is taken in.
    pub fn close(&self) {
        self.is_open.store(false, Ordering::SeqCst);
    }

    /// Whether calls are taken in.
    pub fn is_open(&self) -> bool {
        self.is_open.load(Ordering::SeqCst)
    }

    /// The number's row, else the file that is called as the called name, else the default one.
    fn route(&self, arrival: &Arrival) -> Result<Route, NoFlow> {
        let no_flow = |hint: String| NoFlow { to: arrival.to.clone(), hint };
        let called = bare(&arrival.to);
        let row = self.settings.numbers.find(called, arrival.account.as_ref());
        if let Some(row) = row {
            let dialect = row.dialect.unwrap_or_else(|| self.dialect(&row.account));
            let flow = LocalFlow { account: row.account.clone(), name: row.flow.clone(), dialect };
            let hint = || no_flow(format!("the number's row names the flow {:?}", row.flow));
            let document = self.library.local(&flow).ok_or_else(hint)?;
            return Ok(Route { account: row.account.clone(), dialect, document });
        }

        let Some(account) = arrival.account.clone() else {
            return Err(no_flow("no [[number]] row has this number".to_owned()));
        };
        let dialect = self.dialect(&account);
        for name in [called, FLOW_DEFAULT] {
            let flow = LocalFlow { account: account.clone(), name: name.into(), dialect };
            if let Some(document) = self.library.local(&flow) {
                return Ok(Route { account, dialect, document });
            }
        }
        let hint = format!(
            "put {called}.xml or {FLOW_DEFAULT}.xml into the flows folder, or call one that is there"
        );
        Err(no_flow(hint))
    }

    fn dialect(&self, account: &AccountId) -> Dialect {
        self.settings.accounts.get(account).copied().unwrap_or_default()
    }
}

/// Where an arrival goes.
struct Route {
    account: AccountId,
    dialect: Dialect,
    document: Fetched,
}

impl Exchange for Reception {
    fn arrive(&self, arrival: Arrival) -> Result<(), NoFlow> {
        if !self.is_open() {
            let hint = "the engine is shutting down, and takes no new calls".to_owned();
            return Err(NoFlow { to: arrival.to, hint });
        }
        let Route { account, dialect, document } = self.route(&arrival)?;
        let Arrival { call, from, to, caller_name, headers, trusted, account: _ } = arrival;
        let direction = Direction::Inbound;
        tracing::info!(%call, %account, from = &*from, to = &*to, "a call comes in");
        let party = Party { from, to, caller_name, direction, dialect, headers, trusted };
        let now = Instant::now().into_std();
        let limit = self.settings.call_time_limit;
        self.house.begin(now, Call::new(now, call, account, Arc::new(party), limit), document);
        Ok(())
    }

    fn report(&self, report: Report) {
        self.house.report(report);
    }
}
