//! Recovery: restores the calls of the last process at the start, and ends those that cannot go on.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use super::{
    engine_note::TakenOver,
    phones::{OpenPhones, RealPhones},
    store::{StateRemains, boot_clock},
};
use crate::{
    api::Api,
    base::ids::{CallId, Dialect},
    config::Config,
    engine::{
        counters::CallCounters,
        handover::CleanHandover,
        journal::Journal,
        recorder::{self, RestoreAttempt},
        registry::Registry,
        restore::{RestoreFacts, RestorePlan, Restored, without_simulated},
        resume::Resumed,
        sealing,
    },
    flow::Cause,
    media::{
        BackendRow, BackendRowKind, BackendRows, Exchange, SignallingBackend, SignallingOrder,
        router::Router,
    },
    state_log::RowRecord,
    store::seal::RowSeal,
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
    /// None: no rows outlive the process.
    seal: Option<Arc<dyn RowSeal>>,
    /// Whether there may be rows of calls of simulated phones.
    has_simulated: bool,
    /// Set if the last process has handed its calls over.
    pub(super) taken_over: Option<TakenOver>,
}

/// How a start treats what the last process has left.
#[derive(Clone, Copy)]
struct RestoreTry {
    /// Whether calls go on.
    restores: bool,
    /// The last restore, if its process did not survive it.
    last: Option<RestoreAttempt>,
    /// How many in a row this is.
    attempt: u8,
    /// Whether the last process has ended a moment ago.
    is_of_now: bool,
    /// Whether it has handed its calls over.
    is_handed_over: bool,
}

impl RestoreTry {
    /// Whether the last restore has died of this call or room.
    fn is_refused(self, id: u128) -> bool {
        self.last.is_some_and(|it| it.unit == id)
    }
}

impl Recovery {
    /// Of an engine whose API refuses requests until [`Recovery::recover`] is done.
    pub(super) fn new(
        api: &Api,
        closed_phones: Option<(RealPhones, Arc<dyn Exchange>)>,
        (router, registry): (Arc<Router>, Arc<Registry>),
        (journal, counters): (Arc<Journal>, Arc<CallCounters>),
        (config, seal): (&Config, Arc<dyn RowSeal>),
    ) -> Self {
        api.state().set_recovering(true);
        let seal = config.has_state_log.then_some(seal);
        let (has_simulated, taken_over) = (config.recovery.simulated, None);
        Self { closed_phones, router, registry, journal, counters, seal, has_simulated, taken_over }
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
        if may_restore && is_of_now && ATTEMPTS_MAX < attempt {
            tracing::error!("{ATTEMPTS_MAX} restores in a row have failed: calls are not restored");
        }
        let may_restore = may_restore && is_of_now && self.seal.is_some();
        let restores = may_restore && attempt <= ATTEMPTS_MAX;
        let rows = self.readable(rows);
        let clock = boot_clock();
        let handover = self.take_handover(&rows).filter(|_| restores);
        let is_handed_over = handover.is_some();
        let this = RestoreTry { restores, last, attempt, is_of_now, is_handed_over };
        let stands = self.restore_phones(&rows, this);
        let plan = match restores {
            // What was being restored when a process died is not tried again.
            true => RestorePlan::of(&rows, clock, |id| this.is_refused(id)),
            false => RestorePlan::default(),
        };
        if self.seal.is_some() {
            self.registry.keep_rows(clock);
        }
        self.counters.restoring(&plan);
        let known: BTreeSet<_> = stands.iter().copied().filter(|it| !plan.has(*it)).collect();
        let (resumed, sequences) = self.journal.resume_but(&plan, rows, last_sign);
        for call in &stands {
            self.router.restore(SIP, *call);
        }
        let facts = RestoreFacts { stands: &stands, sequences: &sequences, attempt };
        let restored = self.registry.restore(began.into_std(), plan, facts);
        known.iter().for_each(|call| self.end_unknown(*call));
        self.log_recovery(resumed, restored, began.elapsed());
        if let Some(CleanHandover { stopped_at }) = handover {
            let pause = Instant::now().into_std() - clock.instant(stopped_at);
            self.taken_over = Some(TakenOver::new(restored.calls, pause));
        }
        self.counters.recovered(restored, resumed.calls, began.elapsed());

        let requests = api.resume(&jobs);
        if 0 < requests {
            tracing::info!(requests, "the last process has left requests");
        }
        let journal = self.journal.clone();
        drop(tokio::spawn(async move {
            sleep(SETTLED_AFTER).await;
            journal.write_rows(&[RestoreAttempt::gone()]);
        }));
        let journal = self.journal.clone();
        drop(tokio::spawn(async move { journal.send_backlog().await }));
        let phones = self.closed_phones.take();
        let phones = phones.map(|(phones, exchange)| phones.open(exchange));
        api.state().set_recovering(false);
        phones
    }

    /// The rows that this process can read. Calls that need others end; so do those of simulated phones.
    fn readable(&self, rows: Vec<RowRecord>) -> Vec<RowRecord> {
        let Some(seal) = &self.seal else { return rows };
        let (mut rows, lost) = sealing::unseal(rows, &**seal);
        if !lost.is_empty() {
            tracing::error!(
                rows = lost.len(),
                "rows of calls were sealed with another account-key, so their calls end; calls go on \
                 only while the data folder keeps its account-key"
            );
            self.journal.write_rows(&lost);
        }
        if self.has_simulated {
            let (others, ended) = without_simulated(rows);
            self.journal.write_rows(&ended);
            rows = others;
        }
        rows
    }

    /// Takes the handover that the last process has left. Its row goes before anything is sent: after that,
    /// a start that follows a crash must not take the rows for exact.
    fn take_handover(&self, rows: &[RowRecord]) -> Option<CleanHandover> {
        let handover = CleanHandover::of(rows)?;
        self.journal.write_rows(&[CleanHandover::gone()]);
        self.journal.has_all_rows().then_some(handover)
    }

    /// Lets real phones restore their calls, and returns those that stand; if calls do not go on, their
    /// far ends are told. What the phones cannot use any more is removed.
    fn restore_phones(&mut self, rows: &[RowRecord], this: RestoreTry) -> BTreeSet<CallId> {
        let is_used = |it: &BackendRow| match it.kind {
            BackendRowKind::Dialog => this.attempt <= ATTEMPTS_MAX && !this.is_refused(it.id),
            BackendRowKind::Leg | BackendRowKind::Playing => {
                this.restores && !this.is_refused(it.id)
            }
            BackendRowKind::Registration => this.is_of_now,
        };
        let (used, useless): (Vec<_>, Vec<_>) =
            recorder::backend_rows(rows).into_iter().partition(is_used);
        let gone: Vec<_> = useless.into_iter().map(|it| BackendRow { body: None, ..it }).collect();
        if !gone.is_empty() {
            self.journal.write(&gone);
        }
        let Some((phones, _)) = &mut self.closed_phones else { return BTreeSet::new() };
        let note = |unit| {
            let attempt = RestoreAttempt { attempt: this.attempt, unit };
            self.journal.write_rows(&[attempt.row()]);
        };
        let stands = phones.restore(&used, boot_clock(), this.is_handed_over, &|call| {
            note(call.0.as_u128());
        });
        // What follows dies of no single call, as far as is known.
        if used.iter().any(|it| it.kind != BackendRowKind::Registration) {
            note(0);
        }
        stands
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
