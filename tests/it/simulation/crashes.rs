//! Crashes: what outlives the processes of a life, and how they die: between turns, within any byte
//! of the state log, while the last death is told of, or with the power.

use std::{
    collections::{BTreeMap, VecDeque},
    fs::{self, OpenOptions},
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use conflow::{
    accounts::Accounts,
    base::{
        boot_clock::BootClock,
        ids::{MemberId, RoomId},
    },
    call::CallStateRow,
    cdr::store::CachedCdrStore,
    engine::{inbound::wall_clock, journal::Journal, restore::RestorePlan, resume::Resumed},
    events::log::{EventCursor, EventFilter},
    flow::SourceDocument,
    state_log::{LogState, Opened, RowRecord, StateLog, StateLogSettings},
    webhooks::{
        delivery::{
            ATTEMPTS_MAX, Command, Delivery, DeliveryItem, DeliveryLimits, DeliveryTicket, Effect,
            Outcome,
        },
        dispatcher::{Webhook, webhook_queue},
    },
};
use fastrand::Rng;
use tempfile::TempDir;
use tokio::{
    runtime::{Builder, Runtime},
    sync::mpsc,
};

use super::{
    account,
    told::{ReadPage, Told},
};

/// A segment has some ten events, so lives have many.
const SEGMENT_BYTES: u32 = 4_096;
/// The size of a log whose full segments are removed as soon as it is kept up.
const SMALL_LOG: u64 = 1;
/// More than a life writes.
const LARGE_LOG: u64 = 1 << 30;
/// Deaths in a row, at most.
const DEATHS_MAX: usize = 3;
/// Readers of the event stream, beside the one that reads every event at once.
const READERS: usize = 2;

/// The state log of a life and the world's memory: they outlive its processes.
pub(super) struct Durable {
    folder: TempDir,
    bytes_max: u64,
    boot: u128,
    epoch_last: u64,
    /// The length of each segment when they were last synced, and the number of the last event.
    synced: (BTreeMap<PathBuf, u64>, u64),
    told: Told,
    process: DurableProcess,
    pub(super) crashes: usize,
    /// The machine was started since the last process that has lived: no call goes on.
    is_rebooted: bool,
    /// Times in rows are of it; it shows the same to all processes.
    pub(super) clock: BootClock,
}

/// What a start has found of the last process, and goes on.
#[derive(Default)]
pub(super) struct Found {
    pub(super) plan: RestorePlan,
    pub(super) sequences: BTreeMap<RoomId, u64>,
    /// The machine was started meanwhile, so nothing goes on.
    pub(super) is_other_boot: bool,
}

/// What the current process has in memory.
struct DurableProcess {
    log: Arc<StateLog>,
    journal: Arc<Journal>,
    queue: mpsc::Receiver<Arc<Webhook>>,
    delivery: Delivery<Arc<Webhook>>,
    requests: Vec<CallbackRequest>,
}

/// A request to a receiver.
struct CallbackRequest {
    ticket: DeliveryTicket,
    callback: Arc<Webhook>,
    /// What the receiver has answered; the process does not know it yet. None: nothing so far.
    outcome: Option<Outcome>,
}

/// Reads of old events wait on its threads.
static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().build().unwrap());

impl Durable {
    pub(super) fn new(rng: &mut Rng, now: Instant) -> Self {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let bytes_max = if rng.bool() { SMALL_LOG } else { LARGE_LOG };
        let opened = open(folder.path(), bytes_max, 1, 1);
        let mut durable = Self {
            folder,
            bytes_max,
            boot: 1,
            epoch_last: 1,
            synced: (BTreeMap::new(), 0),
            told: Told::new(READERS, bytes_max == LARGE_LOG),
            process: DurableProcess::new(opened.log),
            crashes: 0,
            is_rebooted: false,
            clock: BootClock::new(now, 3_600_000_000_000),
        };
        durable.note_synced();
        durable
    }

    pub(super) fn log(&self) -> Arc<StateLog> {
        self.process.log.clone()
    }

    pub(super) fn journal(&self) -> Arc<Journal> {
        self.process.journal.clone()
    }

    /// Lets readers read and receivers answer, and picks how the process is to die. Returns true if
    /// it is dead.
    pub(super) fn step(&mut self, rng: &mut Rng, now: Instant) -> bool {
        if !is_dead(&self.process.log) {
            self.witness();
            (0..rng.usize(0..4)).for_each(|_| self.call_receivers(rng, now, false));
            match rng.u8(0..40) {
                0..7 => self.reader(0),
                // Some events may be removed before this one comes back.
                7 => self.reader(1),
                8..14 => self.maintain(),
                14..17 => self.process.log.tear_after(rng.usize(0..1_500)),
                17..20 => self.kill(),
                _ => (),
            }
        }
        is_dead(&self.process.log)
    }

    /// Nothing that the process does from now on is seen or written.
    fn kill(&self) {
        self.process.log.inject(Some(ErrorKind::Interrupted));
        // The next frame shows that it is dead.
        self.process.log.append(&[], |_| ());
        assert!(is_dead(&self.process.log));
    }

    /// The process dies no more.
    pub(super) fn spare(&self) {
        self.process.log.tear_after(usize::MAX);
    }

    /// The reader that reads every event at once.
    fn witness(&mut self) {
        if !is_dead(&self.process.log) {
            let cursor = self.told.end();
            self.read(cursor, Told::witness);
        }
    }

    /// A reader goes on after the last event that it has had, from whichever process.
    fn reader(&mut self, n: usize) {
        let cursor = self.told.reader(n);
        self.read(cursor, |told, page| told.has_read(n, page));
    }

    fn read(&mut self, mut cursor: EventCursor, mut tell: impl FnMut(&mut Told, &ReadPage)) {
        let account = account();
        loop {
            let filter = EventFilter::default();
            let read = self.process.journal.read(&account, cursor, &filter, 100);
            let page = RUNTIME.block_on(read);
            tell(&mut self.told, &page);
            if page.is_last {
                return;
            }
            cursor = page.cursor;
        }
    }

    /// What the log's own thread does otherwise.
    fn maintain(&mut self) {
        self.process.log.maintain(micros(wall_clock()));
        self.note_synced();
    }

    fn note_synced(&mut self) {
        self.synced = (self.lengths(), self.process.log.last_number(account().as_str()));
    }

    fn lengths(&self) -> BTreeMap<PathBuf, u64> {
        let files = fs::read_dir(self.folder.path()).unwrap().map(|it| it.unwrap());
        let logs = files.filter(|it| it.path().extension().is_some_and(|it| it == "log"));
        logs.map(|it| (it.path(), it.metadata().unwrap().len())).collect()
    }

    /// Queued callbacks are taken, and one request goes a step further.
    fn call_receivers(&mut self, rng: &mut Rng, now: Instant, is_well: bool) {
        let (process, mut effects) = (&mut self.process, VecDeque::new());
        while let Ok(callback) = process.queue.try_recv() {
            let item = DeliveryItem {
                account: callback.account.clone(),
                queue: callback.queue.clone(),
                receiver: callback.target.origin().clone(),
                sequence: callback.sequence,
                attempts_max: ATTEMPTS_MAX,
                attempts_before: 0,
                age: Duration::ZERO,
                payload: callback,
            };
            process.delivery.handle(now, Command::Queue(item), &mut effects);
        }
        process.delivery.handle(now, Command::Tick, &mut effects);
        process.perform(effects);
        if process.requests.is_empty() {
            return;
        }
        let n = rng.usize(0..process.requests.len());
        let request = &mut process.requests[n];
        let Some(outcome) = request.outcome else {
            request.outcome = Some(self.told.call(&request.callback, rng, is_well));
            return;
        };
        let CallbackRequest { ticket, callback, .. } = process.requests.swap_remove(n);
        if outcome == Outcome::Failed {
            self.told.may_repeat(&callback.queue);
        }
        let mut effects = VecDeque::new();
        process.delivery.handle(now, Command::Done { ticket, outcome }, &mut effects);
        process.perform(effects);
    }

    /// A request was answered: these members have left.
    pub(super) fn answered(&mut self, members: &[MemberId]) {
        self.witness();
        self.told.check_left(members);
    }

    /// The next process starts after the `death`th death in a row; it may die while it tells of the
    /// last one's, or while it restores its calls. Returns what it has found; nothing if it is dead.
    pub(super) fn restart(
        &mut self,
        rng: &mut Rng,
        death: usize,
        lived: &mut Vec<&'static str>,
    ) -> Found {
        self.kill();
        lived.push(if death == 1 { "crash" } else { "crash again" });
        self.crashes += 1;
        self.told.crash();
        if rng.u8(0..12) == 0 {
            self.lose_power(rng);
            self.is_rebooted = true;
            lived.push("power lost");
        }
        let tear = (death < DEATHS_MAX && rng.u8(0..3) == 0).then(|| rng.usize(0..3_000));
        let (resumed, found) = self.start(tear);
        if is_dead(&self.process.log) {
            return Found::default();
        }
        lived.extend((0 < resumed.callbacks).then_some("callbacks left"));
        lived.extend((0 < resumed.calls).then_some("calls left"));
        found
    }

    /// A process has started.
    pub(super) fn started(&mut self, rng: &mut Rng) {
        self.is_rebooted = false;
        self.witness();
        if self.told.is_complete && rng.u8(0..4) == 0 {
            self.read(EventCursor::Oldest, Told::check);
        }
    }

    fn start(&mut self, tear: Option<usize>) -> (Resumed, Found) {
        self.epoch_last += 1;
        // It is dead, and writes nothing: this gives its files back.
        drop(self.process.log.close());
        let opened = open(self.folder.path(), self.bytes_max, self.epoch_last, self.boot);
        let Opened { log, rows, last_sign, is_other_boot, .. } = opened;
        let last = log.last_number(account().as_str());
        if is_other_boot {
            assert!(self.synced.1 <= last, "{last} is left of {} that were synced", self.synced.1);
            self.told.lose_power(log.epoch(), last);
        }
        assert_eq!(log.epoch(), self.told.epoch, "an epoch lasts as long as the boot");
        assert!(self.told.len() <= last, "{last} of {} events are left", self.told.len());
        self.process = DurableProcess::new(log);
        self.note_synced();
        tear.into_iter().for_each(|bytes| self.process.log.tear_after(bytes));
        let plan = match self.is_rebooted {
            true => RestorePlan::default(),
            false => RestorePlan::of(&rows, self.clock, |_| false),
        };
        check_rows(&rows, self.clock);
        let (resumed, sequences) = self.process.journal.resume_but(&plan, rows, last_sign);
        (resumed, Found { plan, sequences, is_other_boot: self.is_rebooted })
    }

    /// A loss of power takes what was written after some byte that was not synced, or zeroes it.
    fn lose_power(&mut self, rng: &mut Rng) {
        self.boot += 1;
        let lengths = self.lengths();
        let synced =
            |path: &Path, length: u64| self.synced.0.get(path).map_or(0, |it| length.min(*it));
        let lost = lengths.iter().map(|(path, length)| length - synced(path, *length));
        let (mut kept, is_zeroed) = (rng.u64(0..=lost.sum()), rng.bool());
        for (path, length) in &lengths {
            let synced = synced(path, *length);
            let cut = synced + kept.min(length - synced);
            kept -= cut - synced;
            let file = OpenOptions::new().write(true).open(path).unwrap();
            file.set_len(cut).unwrap();
            if is_zeroed {
                file.set_len(*length).unwrap();
            }
        }
    }

    /// All receivers answer, and a last start finds nothing to do.
    pub(super) fn finish(&mut self, rng: &mut Rng, mut now: Instant) -> Vec<&'static str> {
        self.witness();
        loop {
            self.call_receivers(rng, now, true);
            if self.process.requests.is_empty() {
                now += Duration::from_secs(700);
                self.call_receivers(rng, now, true);
                if self.process.delivery.is_empty() {
                    break;
                }
            }
        }
        self.told.check_end();
        self.kill();
        let (resumed, Found { plan, .. }) = self.start(None);
        assert_eq!(resumed, Resumed::default(), "all has been told");
        assert!(plan.is_empty(), "calls go on that have ended");
        self.witness();
        if self.told.is_complete {
            self.read(EventCursor::Oldest, Told::check);
        }
        (0..READERS).for_each(|n| self.reader(n));
        self.told.lived()
    }
}

impl DurableProcess {
    fn new(log: StateLog) -> Self {
        let log = Arc::new(log);
        let (sender, queue) = webhook_queue();
        let (accounts, cdrs) = (Accounts::new([0; 32]), CachedCdrStore::default());
        let journal =
            Journal::new(UNIX_EPOCH, Some(log.clone()), Arc::new(accounts), sender, Arc::new(cdrs));
        let delivery = Delivery::new(DeliveryLimits::default());
        Self { log, journal: Arc::new(journal), queue, delivery, requests: Vec::new() }
    }

    fn perform(&mut self, effects: VecDeque<Effect<Arc<Webhook>>>) {
        for effect in effects {
            if is_dead(&self.log) {
                return;
            }
            match effect {
                Effect::Send { ticket, payload: callback, .. } => {
                    self.requests.push(CallbackRequest { ticket, callback, outcome: None });
                }
                Effect::Delivered { payload, .. } => payload.fields.settle(),
                Effect::Dropped { why, item, .. } => panic!("dropped, {why:?}: {item:?}"),
            }
        }
    }
}

/// Whether a process has died within a write, or was killed.
pub(super) fn is_dead(log: &StateLog) -> bool {
    matches!(log.status().state, LogState::Failed(_))
}

fn open(folder: &Path, bytes_max: u64, epoch: u64, boot: u128) -> Opened {
    let settings = StateLogSettings {
        folder: folder.to_owned(),
        segment_bytes: SEGMENT_BYTES,
        bytes_max,
        keep_micros: u64::MAX,
        held_max: 4,
    };
    StateLog::open(settings, epoch, boot).unwrap()
}

/// Microseconds since 1970.
pub(super) fn micros(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap().as_micros() as u64
}

/// A call that is built from its row has that row again, but for the number of its last order.
fn check_rows(rows: &[RowRecord], clock: BootClock) {
    let of_kind = |kind| rows.iter().filter(move |it| it.key.kind == kind);
    let documents: BTreeMap<_, _> =
        of_kind(DOCUMENT).map(|it| SourceDocument::from_row(&it.body).unwrap()).collect();
    for RowRecord { body, .. } in of_kind(CALL_STATE) {
        let row = CallStateRow::read(body).unwrap();
        let place = row.place;
        let flow = row.document().map(|(key, dialect)| documents[&key].flow(dialect).unwrap());
        let call = row.clone().restore(clock, flow).unwrap();
        let again = CallStateRow::read(&call.row(clock, place).unwrap()).unwrap();
        assert_eq!(again.numbered_before(), row);
        call.end();
    }
}

/// Kinds of keys in the state log.
const CALL_STATE: u8 = 14;
const DOCUMENT: u8 = 16;
