//! Trace log: turns the events of the registry into the lines of call traces, and has a thread write
//! them to the archive.

use std::{
    collections::HashMap,
    io,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};
use tokio::time;

use super::{inbound::wall_clock, registry::Observed};
use crate::{
    base::ids::{AccountId, CallId, RoomId},
    call::CallEvent,
    conference::{self, CalleeInfo, DialEvent, DialStep},
    flow::FlowText,
    media::RecordingSource,
    trace::{
        self, CalleeNote, FetchRecord, Leaving, RecordingNote, RequestWarning, Requested,
        StoredTrace, TraceEvent, TraceSnapshot, Traces, archive::TraceArchive,
    },
};

/// The traces of every call.
pub struct TraceLog {
    shared: Arc<SharedTraces>,
    archive: Option<Arc<TraceArchive>>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

struct SharedTraces {
    state: Mutex<TraceState>,
    /// Signalled when the writer must end.
    closing: Condvar,
}

#[derive(Default)]
struct TraceState {
    traces: Traces,
    /// None without an archive.
    unwritten: Option<Unwritten>,
}

/// What the writer has not seen yet.
#[derive(Default)]
struct Unwritten {
    /// Live calls with new lines, some of them several times.
    changed: Vec<CallId>,
    /// Calls that have ended, with their documents, which may be gone once the call is.
    ended: Vec<(CallId, Vec<Arc<FlowText>>)>,
    /// Notes beyond [`CHANGED_MAX`], and ended calls beyond [`trace::ENDED_MAX`].
    missed: u64,
    /// Calls of an earlier process, with the time from which on their traces are not in the archive.
    resumed: Vec<(CallId, u32)>,
    is_closing: bool,
}

/// Time between two writes of ended calls …
const ENDED_EVERY: Duration = Duration::from_millis(250);
/// … and of live ones: what a crash takes of their traces, in so many writes of ended calls.
const LIVE_EVERY: u32 = 4;
/// Time between two looks at old traces, in so many writes of ended calls.
const CLEAN_EVERY: u32 = 240;
/// New lines of live calls between two writes.
const CHANGED_MAX: usize = 1_000_000;
/// Traces that are appended with one write.
const BATCH: usize = 256;

impl TraceLog {
    /// An empty log that keeps [`trace::ENDED_MAX`] ended calls in memory, and all in the archive.
    pub fn new(archive: Option<Arc<TraceArchive>>) -> Self {
        let unwritten = archive.as_ref().map(|_| Unwritten::default());
        let state = TraceState { traces: Traces::new(trace::ENDED_MAX), unwritten };
        let shared = SharedTraces { state: Mutex::new(state), closing: Condvar::new() };
        Self { shared: Arc::new(shared), archive, writer: Mutex::default() }
    }

    /// Starts the thread that writes to the archive, if there is one.
    pub fn start(&self) -> io::Result<()> {
        let Some(archive) = self.archive.clone() else { return Ok(()) };
        let writer = TraceWriter { shared: self.shared.clone(), archive, written: HashMap::new() };
        let thread = thread::Builder::new().name("traces".to_owned());
        *self.writer.lock() = Some(thread.spawn(move || writer.run())?);
        Ok(())
    }

    /// Writes what is unwritten, and ends the thread.
    pub fn close(&self) {
        let is_open = self.shared.state.lock().unwritten.as_mut().map(|it| it.is_closing = true);
        self.shared.closing.notify_one();
        let thread = is_open.and_then(|()| self.writer.lock().take());
        if thread.is_some_and(|it| it.join().is_err()) {
            tracing::error!("the thread of the traces has panicked");
        }
    }

    /// Goes on with the trace of a call that began in an earlier process, so long ago. The archive has its
    /// first part.
    pub(super) fn resume(&self, account: &AccountId, call: CallId, age: Duration) {
        let now = time::Instant::now().into_std();
        let began = now.checked_sub(age).unwrap_or(now);
        let mut state = self.shared.state.lock();
        let TraceState { traces, unwritten } = &mut *state;
        traces.begin(began, call, account.clone());
        let age_ms = u32::try_from(age.as_millis()).unwrap_or(u32::MAX);
        unwritten.iter_mut().for_each(|it| it.resumed.push((call, age_ms)));
    }

    /// Takes an event of the registry, at the current time.
    pub fn note(&self, observed: &Observed) {
        let now = || time::Instant::now().into_std();
        if let Some((room, change)) = of_room(observed) {
            let now = now();
            return self.shared.state.lock().traces.note_room(now, room, change);
        }
        let Some((call, line)) = trace_input(observed) else { return };
        let now = now();
        let is_over = matches!(line, TraceInput::What(TraceEvent::Ended(_)));
        let mut state = self.shared.state.lock();
        let TraceState { traces, unwritten } = &mut *state;
        add_input(traces, now, call, line);
        let Some(unwritten) = unwritten else { return };
        match is_over {
            true if trace::ENDED_MAX <= unwritten.ended.len() => unwritten.missed += 1,
            true => unwritten.ended.push((call, traces.documents(call))),
            false if CHANGED_MAX <= unwritten.changed.len() => unwritten.missed += 1,
            false => unwritten.changed.push(call),
        }
    }

    /// The account of a call; None if the call is unknown or its trace is not in memory.
    pub fn account_of(&self, call: CallId) -> Option<AccountId> {
        self.shared.state.lock().traces.account_of(call).cloned()
    }

    /// The last document that a call needed and did not get; None if there is none.
    pub fn missing_document(&self, call: CallId) -> Option<Arc<FetchRecord>> {
        self.shared.state.lock().traces.missing_document(call)
    }

    /// The trace of an account's call; None if it is unknown or not in memory.
    pub fn show(&self, account: &AccountId, call: CallId) -> Option<trace::Trace> {
        let trace = self.shared.state.lock().traces.show(account, call);
        trace.map(|mut trace| {
            trace.add_sources();
            trace
        })
    }

    /// A function that reads the trace of an account's call from the archive, to be called where one
    /// may wait; None if there is no archive.
    pub(super) fn stored(
        &self,
        account: &AccountId,
        call: CallId,
    ) -> Option<impl FnOnce() -> Option<StoredTrace> + Send + 'static> {
        let (archive, account) = (self.archive.clone()?, account.clone());
        Some(move || {
            let entries = archive.read(call).map_err(|error| error.to_string());
            let trace = entries.and_then(|it| {
                StoredTrace::of_entries(&account, &it).map_err(|error| error.to_string())
            });
            trace.unwrap_or_else(|error| {
                tracing::error!(%call, "the trace cannot be read: {error}");
                None
            })
        })
    }
}

/// Writes traces to the archive.
struct TraceWriter {
    shared: Arc<SharedTraces>,
    archive: Arc<TraceArchive>,
    /// Live calls that have an entry, with the time from which on the next one has everything.
    written: HashMap<CallId, u32>,
}

impl TraceWriter {
    fn run(mut self) {
        for round in 0_u32.. {
            if round.is_multiple_of(CLEAN_EVERY)
                && let Err(error) = self.archive.clean(wall_clock())
            {
                tracing::error!("old traces stay: {error}");
            }
            let is_closing = {
                let mut state = self.shared.state.lock();
                if state.unwritten.as_ref().is_some_and(|it| !it.is_closing) {
                    self.shared.closing.wait_for(&mut state, ENDED_EVERY);
                }
                state.unwritten.as_ref().is_none_or(|it| it.is_closing)
            };
            self.write(is_closing || round.is_multiple_of(LIVE_EVERY));
            if is_closing {
                return;
            }
        }
    }

    /// Writes the calls that have ended, and the live ones that have new lines.
    fn write(&mut self, with_live: bool) {
        let (mut calls, mut lost) = {
            let mut state = self.shared.state.lock();
            let Some(unwritten) = &mut state.unwritten else { return };
            self.written.extend(std::mem::take(&mut unwritten.resumed));
            let ended = std::mem::take(&mut unwritten.ended).into_iter();
            let mut calls: Vec<_> = ended.map(|(call, texts)| (call, texts, true)).collect();
            if with_live {
                let changed = std::mem::take(&mut unwritten.changed).into_iter();
                calls.extend(changed.map(|call| (call, Vec::new(), false)));
            }
            (calls, std::mem::take(&mut unwritten.missed))
        };
        // An ended call comes before its own notes.
        calls.sort_by_key(|(call, _, is_over)| (*call, !is_over));
        calls.dedup_by_key(|(call, ..)| *call);
        for batch in calls.chunks(BATCH) {
            let mut entries = Vec::new();
            for (call, _, is_over) in batch {
                let now = time::Instant::now().into_std();
                let snapshot = self.shared.state.lock().traces.snapshot(*call, now);
                match snapshot {
                    None => lost += u64::from(*is_over),
                    // It comes next time, if it has not come yet.
                    Some(snapshot) if snapshot.is_over() && !is_over => (),
                    Some(snapshot) => entries.push((*call, self.entry(*call, snapshot))),
                }
            }
            if let Err(error) = self.archive.append(wall_clock(), &entries) {
                lost += entries.len() as u64;
                tracing::error!(traces = entries.len(), "traces are lost: {error}");
            }
        }
        if 0 < lost {
            tracing::error!(
                lost,
                "traces or parts of them are not on the disk: it is full or slow"
            );
        }
    }

    /// What is new of a call.
    fn entry(&mut self, call: CallId, snapshot: TraceSnapshot) -> Vec<u8> {
        let since = self.written.remove(&call).unwrap_or(0);
        let (entry, next) = snapshot.entry(since);
        if CHANGED_MAX <= self.written.len() {
            // Calls whose end was missed. Of the others, the next entry has everything.
            self.written.clear();
        }
        self.written.extend(next.map(|next| (call, next)));
        entry
    }
}

impl Drop for TraceLog {
    fn drop(&mut self) {
        self.close();
    }
}

impl std::fmt::Debug for TraceLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TraceLog").finish_non_exhaustive()
    }
}

/// Adds an event of the registry to `traces`, at a given time: for tests and the simulation.
pub fn note(traces: &mut Traces, now: Instant, observed: &Observed) {
    if let Some((room, change)) = of_room(observed) {
        traces.note_room(now, room, change);
    } else if let Some((call, line)) = trace_input(observed) {
        add_input(traces, now, call, line);
    }
}

/// A change of a room's recording, which is in the traces of all members.
fn of_room(observed: &Observed) -> Option<(RoomId, RecordingNote)> {
    let Observed::RecordingChanged { source: RecordingSource::Room(room), change } = observed
    else {
        return None;
    };
    Some((*room, *change))
}

enum TraceInput {
    Begun(AccountId),
    What(TraceEvent),
}

fn add_input(traces: &mut Traces, now: Instant, call: CallId, line: TraceInput) {
    match line {
        TraceInput::Begun(account) => traces.begin(now, call, account),
        TraceInput::What(what) => traces.note(now, call, what),
    }
}

fn callee_note(call: CallId, event: &DialEvent) -> Option<CalleeNote> {
    let CalleeInfo { call: callee, party } = &event.callee;
    // The trace of a call into a conference says as much.
    if *callee == call {
        return None;
    }
    let (what, is_over) = match &event.step {
        DialStep::Answered => ("answered", false),
        DialStep::Connected => ("connected", false),
        DialStep::Digits { .. } => return None,
        DialStep::Ended { ending, .. } => (ending.cause.name(), true),
    };
    Some(CalleeNote { call: *callee, to: party.to.clone(), what, is_over })
}

fn trace_input(observed: &Observed) -> Option<(CallId, TraceInput)> {
    let (call, what) = match observed {
        Observed::Began { call, element, .. } | Observed::Resumed { call, element } => {
            (*call, element.clone().into())
        }
        Observed::Call { account, call, event, .. } => match event {
            CallEvent::Begun => return Some((*call, TraceInput::Begun(account.clone()))),
            CallEvent::Ended(ending) => (*call, TraceEvent::Ended(*ending)),
            CallEvent::Answered | CallEvent::Rang => return None,
        },
        Observed::Attempted { call, attempt } => (*call, TraceEvent::Attempted(attempt.clone())),
        Observed::Dialled { call, event, .. } => {
            (*call, TraceEvent::Callee(Box::new(callee_note(*call, event)?)))
        }
        Observed::Fetching { call, url, purpose } => {
            (*call, TraceEvent::Fetching { url: url.clone(), purpose: *purpose })
        }
        Observed::Fetched { call, record } => (*call, TraceEvent::Fetched(record.clone())),
        Observed::PassedOver { call, passed_over, .. } => {
            (*call, TraceEvent::PassedOver(passed_over.clone()))
        }
        Observed::Left { call, exit, by, .. } => {
            let (cause, reason) = (exit.cause, exit.reason.clone());
            let leaving = Leaving { cause, reason, by: *by };
            (*call, TraceEvent::Left(Box::new(leaving)))
        }
        Observed::Notice { room, notice } => match &notice.event {
            conference::ConferenceEvent::Entered { who, .. } => {
                (who.call, TraceEvent::Entered { room: room.clone(), member: who.member })
            }
            conference::ConferenceEvent::DigitsMatched { .. }
            | conference::ConferenceEvent::Exited { .. } => {
                return None;
            }
            conference::ConferenceEvent::FloorTaken { .. } => return None,
            conference::ConferenceEvent::Over | conference::ConferenceEvent::Started => {
                return None;
            }
        },
        Observed::RecordingChanged { source: RecordingSource::Call(call), change } => {
            (*call, TraceEvent::Recording(Box::new(*change)))
        }
        Observed::RecordingChanged { source: RecordingSource::Room(_), .. } => return None,
        // The call has not arrived yet. A recording may end after its call.
        Observed::Requeued { .. } | Observed::Recording { .. } => return None,
        Observed::Refused { call, cause } => (*call, TraceEvent::Refused(*cause)),
        // Its events come one by one.
        Observed::Turn(_) => return None,
        Observed::Warned { call, api_id, warning } => {
            let warned = RequestWarning { api_id: *api_id, warning: warning.clone() };
            (*call, TraceEvent::Warned(Box::new(warned)))
        }
        Observed::Requested { call, api_id, command } => {
            let requested = Requested { api_id: *api_id, command };
            (*call, TraceEvent::Requested(Box::new(requested)))
        }
    };
    Some((call, TraceInput::What(what)))
}
