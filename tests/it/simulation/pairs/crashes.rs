//! Crashes of lives of dialled pairs: the log that outlives the process, and what the next one goes on
//! with.

use std::{io::ErrorKind, time::UNIX_EPOCH};

use conflow::{
    accounts::Accounts,
    base::boot_clock::BootClock,
    cdr::store::CachedCdrStore,
    engine::{
        journal::Journal,
        restore::{PlannedPlace, RestorePlan},
    },
    state_log::{Opened, RowRecord, StateLog, StateLogSettings},
    webhooks::dispatcher::webhook_queue,
};
use tempfile::TempDir;

use super::*;

/// The state log of a life, and what the current process knows of it.
pub(super) struct PairLog {
    folder: TempDir,
    log: Arc<StateLog>,
    journal: Arc<Journal>,
    epoch: u64,
    pub(super) clock: BootClock,
}

impl PairLog {
    pub(super) fn new(now: Instant) -> Self {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let Opened { log, .. } = open(&folder, 1);
        let (log, journal) = journal(log);
        let clock = BootClock::new(now, 3_600_000_000_000);
        Self { folder, log, journal, epoch: 1, clock }
    }

    pub(super) fn log(&self) -> Arc<StateLog> {
        self.log.clone()
    }

    pub(super) fn journal(&self) -> Arc<Journal> {
        self.journal.clone()
    }

    /// The process dies no more.
    pub(super) fn spare(&self) {
        self.log.tear_after(usize::MAX);
    }

    /// Nothing that the process does from now on is seen or written.
    fn kill(&self) {
        self.log.inject(Some(ErrorKind::Interrupted));
        self.log.append(&[], |_| ());
        assert!(is_dead(&self.log));
    }

    /// The next process starts. Returns the rows that it finds.
    fn restart(&mut self) -> (Vec<RowRecord>, u64) {
        self.kill();
        drop(self.log.close());
        self.epoch += 1;
        let Opened { log, rows, last_sign, .. } = open(&self.folder, self.epoch);
        (self.log, self.journal) = journal(log);
        (rows, last_sign)
    }

    /// A last start finds nothing to go on with.
    pub(super) fn finish(&mut self) {
        let (rows, _) = self.restart();
        let left: Vec<_> = rows.iter().filter(|it| OF_RESTORE.contains(&it.key.kind)).collect();
        assert!(left.is_empty(), "rows are left: {left:?}");
    }
}

/// The kinds of rows that are of no use once all calls have ended.
const OF_RESTORE: [u8; 5] = [14, 15, 16, 20, 22];

fn open(folder: &TempDir, epoch: u64) -> Opened {
    let settings = StateLogSettings {
        folder: folder.path().to_owned(),
        segment_bytes: 1 << 20,
        bytes_max: 1 << 30,
        keep_micros: u64::MAX,
        held_max: 4,
    };
    StateLog::open(settings, epoch, 1).unwrap()
}

fn journal(log: StateLog) -> (Arc<StateLog>, Arc<Journal>) {
    let log = Arc::new(log);
    let (sender, _) = webhook_queue();
    let (accounts, cdrs) = (Accounts::new([0; 32]), CachedCdrStore::default());
    let journal =
        Journal::new(UNIX_EPOCH, Some(log.clone()), Arc::new(accounts), sender, Arc::new(cdrs));
    (log, Arc::new(journal))
}

impl PairLife {
    /// Picks how the process is to die; if it is dead, another one goes on.
    pub(super) fn survive(&mut self) {
        let Some(log) = &self.log else { return };
        match self.rng.u8(0..60) {
            0 => log.kill(),
            1..3 => log.log.tear_after(self.rng.usize(0..2_500)),
            _ => (),
        }
        if !is_dead(&log.log) {
            return;
        }
        self.seen.lock().lived.insert("crash");
        self.bury();
        while !self.revive() {
            self.seen.lock().lived.insert("crash again");
            self.bury();
        }
    }

    /// Ends the calls of a dead process, since none may be dropped alive. Nobody sees it.
    fn bury(&mut self) {
        self.registry.close();
        self.asked.clear();
        self.seen.lock().fetches.clear();
        self.scheduler.add_new_actors();
        while !self.scheduler.is_empty() {
            let calls = self.registry.calls();
            calls.iter().for_each(|call| self.registry.hang_up(*call, Cause::HungUpByApi));
            for n in (0..self.scheduler.len()).rev() {
                self.scheduler.turn(n, self.now, || usize::MAX);
            }
            self.scheduler.add_new_actors();
        }
    }

    /// False: the next process has died while it restored its calls.
    fn revive(&mut self) -> bool {
        let Some(log) = &mut self.log else { return true };
        let (rows, last_sign) = log.restart();
        if self.rng.u8(0..4) == 0 {
            log.log.tear_after(self.rng.usize(0..3_000));
        }
        let plan = RestorePlan::of(&rows, log.clock, |_| false);
        let (_, sequences) = log.journal.resume_but(&plan, rows, last_sign);
        if is_dead(&log.log) {
            return false;
        }
        let mut stands = BTreeSet::new();
        for (call, _) in plan.places() {
            let has_hung_up = self.seen.lock().calls.get(&call.id).is_some_and(|it| it.has_hung_up);
            if !has_hung_up && self.rng.u8(0..8) != 0 {
                stands.insert(call.id);
            }
        }
        let joined = self.seen.lock().revive(log.log(), &plan, &stands);
        let clock_log = self.log.as_ref();
        self.registry = pair_registry(
            self.now,
            &self.settings,
            &self.numbers,
            &self.seen,
            &self.scheduler,
            clock_log,
        );
        let facts = RestoreFacts { stands: &stands, sequences: &sequences, attempt: 1 };
        self.registry.restore(self.now, plan, facts);
        // Rooms say first what their members hear, and who must leave.
        self.scheduler.add_new_actors();
        for n in (0..self.scheduler.len()).rev() {
            self.scheduler.turn(n, self.now, || usize::MAX);
        }
        self.scheduler.add_new_actors();
        let seen = self.seen.lock();
        if seen.is_dead() {
            return false;
        }
        joined.iter().for_each(|(caller, callee)| seen.check_joined(*caller, *callee));
        true
    }
}

impl Pairs {
    pub(super) fn is_dead(&self) -> bool {
        self.log.as_ref().is_some_and(|it| is_dead(it))
    }

    /// The next process goes on with these calls, of whose phones those in `stands` are there. Returns
    /// the callers who were connected, with their callees, if both phones are.
    fn revive(
        &mut self,
        log: Arc<StateLog>,
        plan: &RestorePlan,
        stands: &BTreeSet<CallId>,
    ) -> Vec<(CallId, CallId)> {
        self.log = None;
        let joined = self.joined();
        for (call, it) in &self.calls {
            let is_caller = it.stands && it.is_answered && !it.is_callee && !it.ended;
            let is_kept = is_caller || joined.iter().any(|(a, b)| call == a || call == b);
            // A panic can strike between its answer and its row.
            let is_restored = plan.has(*call) || self.may_inject_faults;
            assert!(!is_kept || is_restored, "{call} is not restored: {it:?}");
        }
        for (call, it) in &mut self.calls {
            (it.room, it.must_go_on) = (None, false);
            // The next process tells phones that stand, and of whose calls it does not know.
            if !plan.has(*call) {
                (it.ended, it.end_ordered) = (true, true);
            }
        }
        self.playing.clear();
        self.races.iter_mut().for_each(|it| it.is_revived = true);
        for (call, place) in plan.places() {
            let it = self.calls.entry(call.id).or_default();
            assert!(!it.ended && it.stands, "{} is restored: {it:?}", call.id);
            if call.is_answered() {
                it.is_answered = true;
            }
            if let Some(flow) = call.flow() {
                let next = call.step() + 1;
                // Its first document has more elements than those which it may fetch.
                if 1 < flow.steps.len() && it.next != 0 {
                    assert!(it.next <= next, "{} goes back to {next}: {it:?}", call.id);
                    assert!(next <= it.next + 1, "{} skips to {next}: {it:?}", call.id);
                }
                it.next = next;
            }
            self.lived.insert(match place {
                PlannedPlace::Alone => "restored alone",
                PlannedPlace::Left(..) => "restored once out",
                PlannedPlace::Member(_) => "restored in a room",
                PlannedPlace::Pair(_) if it.is_callee => "restored callee",
                PlannedPlace::Pair(_) => "restored caller who dials",
            });
            if !stands.contains(&call.id) {
                self.lived.insert("restored to hang up");
            }
            let race = it.race.filter(|_| !it.is_callee);
            if let PlannedPlace::Left(..) = place {
                // It is told once more.
                race.into_iter().for_each(|race| self.races[race].is_over = false);
            }
            let dials = call.dial_here().is_some();
            if dials && race.is_none_or(|race| self.races[race].is_over) {
                self.dials(call.id);
            }
        }
        // Others were about to leave.
        let is_in = |it: PlannedPlace| matches!(it, PlannedPlace::Pair(_));
        let dial = plan.places().filter(|(_, it)| is_in(*it)).map(|(call, _)| call.id);
        let dial: BTreeSet<_> = dial.filter(|it| stands.contains(it)).collect();
        let stand = |(a, b): &(CallId, CallId)| dial.contains(a) && dial.contains(b);
        let joined: Vec<_> = joined.into_iter().filter(stand).collect();
        self.lived.extend((!joined.is_empty()).then_some("restored pair"));
        self.log = Some(log);
        joined
    }

    /// Callers who are connected, and the callees that they are connected with, if both phones may
    /// outlive the process.
    fn joined(&self) -> Vec<(CallId, CallId)> {
        let pairs = self.races.iter().filter(|it| !it.is_over);
        let pairs = pairs.filter_map(|it| it.caller.zip(it.winner));
        let is_up = |call: &CallId| {
            let it = &self.calls[call];
            it.stands && !it.ended && it.room.is_some()
        };
        pairs.filter(|(a, b)| is_up(a) && is_up(b)).collect()
    }

    /// Two who were connected hear each other again.
    fn check_joined(&self, caller: CallId, callee: CallId) {
        let (a, b) = (&self.calls[&caller], &self.calls[&callee]);
        assert!(a.room.is_some() && a.room == b.room, "{caller}: {a:?}, {callee}: {b:?}");
    }
}
