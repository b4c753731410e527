//! Recovery: restores the calls of the last process at the start, and ends those that cannot go on.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use super::{
    phones::{OpenPhones, RealPhones},
    store::{StateRemains, boot_clock},
};
use crate::{
    api::Api,
    base::ids::{CallId, Dialect},
    engine::{
        counters::CallCounters,
        journal::Journal,
        recorder::{self, RestoreAttempt},
        registry::Registry,
        restore::{RestoreFacts, RestorePlan, Restored},
        resume::Resumed,
    },
    flow::Cause,
    media::{
        BackendRow, BackendRowKind, BackendRows, Exchange, SignallingBackend, SignallingOrder,
        router::Router,
    },
    state_log::RowRecord,
};

/// Attempts in a row: the next process restores nothing.
const ATTEMPTS_MAX: u8 = 2;

/// A process that lives so long after a restore has not died of it.
const SETTLED_AFTER: Duration = Duration::from_secs(1);

/// Name of the real phones among the backends.
const SIP: &str = "sip";

/// What the start of an engine needs to restore calls.
pub(super) struct Recovery {
    /// Real phones, until they are opened.
    closed_phones: Option<(RealPhones, Arc<dyn Exchange>)>,
    router: Arc<Router>,
    registry: Arc<Registry>,
    journal: Arc<Journal>,
    counters: Arc<CallCounters>,
    /// Whether rows outlive the process.
    has_rows: bool,
}

impl Recovery {
    /// Of an engine whose API refuses requests until [`Recovery::recover`] is done.
    pub(super) fn new(
        api: &Api,
        closed_phones: Option<(RealPhones, Arc<dyn Exchange>)>,
        (router, registry): (Arc<Router>, Arc<Registry>),
        (journal, counters): (Arc<Journal>, Arc<CallCounters>),
        has_rows: bool,
    ) -> Self {
        api.state().set_recovering(true);
        Self { closed_phones, router, registry, journal, counters, has_rows }
    }

    /// Restores the calls of the last process, tells the ends of the others, and queues the callbacks
    /// that it has not delivered. Then it opens the real phones and the API.
    pub(super) fn recover(
        &mut self,
        api: &Api,
        remains: StateRemains,
        may_restore: bool,
    ) -> Option<OpenPhones> {
        let began = Instant::now();
        let StateRemains { rows, last_sign, is_of_now, .. } = remains;
        let (jobs, rows) = rows.into_iter().partition::<Vec<_>, _>(recorder::is_of_job);
        let last = RestoreAttempt::of(&rows);
        let attempt = last.map_or(1, |it| it.attempt.saturating_add(1));
        let may_restore = may_restore && is_of_now && self.has_rows;
        if may_restore && ATTEMPTS_MAX < attempt {
            tracing::error!("{ATTEMPTS_MAX} restores in a row have failed: calls are not restored");
        }
        let restores = may_restore && attempt <= ATTEMPTS_MAX;
        let clock = boot_clock();
        let stands = self.restore_phones(&rows, restores, is_of_now);
        let plan = match restores {
            // What was being restored when a process died is not tried again.
            true => RestorePlan::of(&rows, clock, |id| last.is_some_and(|it| it.unit == id)),
            false => RestorePlan::default(),
        };
        if self.has_rows {
            self.registry.keep_rows(clock);
        }
        self.counters.restoring(&plan);
        let known: BTreeSet<_> = stands.iter().copied().filter(|it| !plan.has(*it)).collect();
        let is_restoring = !plan.is_empty();
        let (resumed, sequences) = self.journal.resume_but(&plan, rows, last_sign);
        for call in &stands {
            self.router.restore(SIP, *call);
        }
        let facts = RestoreFacts { stands: &stands, sequences: &sequences, attempt };
        let restored = self.registry.restore(began.into_std(), plan, facts);
        known.iter().for_each(|call| self.end_unknown(*call));
        self.log_recovery(resumed, restored, began.elapsed());
        self.counters.recovered(restored, resumed.calls, began.elapsed());

        let requests = api.resume(&jobs);
        if 0 < requests {
            tracing::info!(requests, "the last process has left requests");
        }
        let (journal, is_attempt) = (self.journal.clone(), is_restoring || last.is_some());
        drop(tokio::spawn(async move {
            if is_attempt {
                sleep(SETTLED_AFTER).await;
                journal.write_rows(&[RestoreAttempt::gone()]);
            }
        }));
        let journal = self.journal.clone();
        drop(tokio::spawn(async move { journal.send_backlog().await }));
        let phones = self.closed_phones.take();
        let phones = phones.map(|(phones, exchange)| phones.open(exchange));
        api.state().set_recovering(false);
        phones
    }

    /// Lets real phones restore their calls, and returns those that stand. What they cannot use any
    /// more is removed.
    fn restore_phones(
        &mut self,
        rows: &[RowRecord],
        restores: bool,
        is_of_now: bool,
    ) -> BTreeSet<CallId> {
        let is_used = |it: &BackendRow| match it.kind {
            BackendRowKind::Dialog | BackendRowKind::Leg => restores,
            BackendRowKind::Registration => is_of_now,
        };
        let (used, useless): (Vec<_>, Vec<_>) =
            recorder::backend_rows(rows).into_iter().partition(is_used);
        let gone: Vec<_> = useless.into_iter().map(|it| BackendRow { body: None, ..it }).collect();
        if !gone.is_empty() {
            self.journal.write(&gone);
        }
        match &mut self.closed_phones {
            Some((phones, _)) => phones.restore(&used, boot_clock()),
            None => BTreeSet::new(),
        }
    }

    /// Ends a call whose dialog stands and that nobody else knows.
    fn end_unknown(&self, call: CallId) {
        let ending = Cause::Crashed.ending(Dialect::default()).expect("such a call has ended");
        self.router.signal(SignallingOrder::End { call, ending });
    }

    fn log_recovery(&self, resumed: Resumed, restored: Restored, took: Duration) {
        let Resumed { calls: ended, callbacks } = resumed;
        let Restored { calls, left, rooms } = restored;
        if 0 < calls + left {
            let what = "calls of the last process are back";
            tracing::info!(calls, rooms, left, millis = took.as_millis(), "{what}");
        }
        if 0 < ended + callbacks {
            let what = "the last process has left calls that have ended, and callbacks";
            tracing::info!(calls = ended, callbacks, "{what}");
        }
    }
}
