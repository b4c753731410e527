//! Row writer: the thread that writes the rows of legs, and, while programs play, the time.
//!
//! A later process knows how much of a program was heard: from its first sample to the last time that
//! was written.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::mpsc::{Receiver, RecvTimeoutError, Sender},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::leg_row::LegRowMessage;
use crate::{
    base::{boot_clock::BootClock, ids::CallId},
    media::{BackendRow, BackendRowKind, BackendRows},
};

/// Rows that one frame takes.
const FRAME_ROWS_MAX: usize = 64;

/// How often the time is written while a program plays.
const BEAT: Duration = Duration::from_millis(200);

/// How long the thread waits for a message while none plays.
const LONG: Duration = Duration::from_secs(3_600);

/// The version of the rows that this release writes.
const VERSION: u8 = 1;

/// A program that plays; of no call, the last time at which one did.
#[derive(Deserialize, Serialize)]
struct PlayingRow {
    version: u8,
    number: u32,
    /// When its first sample was heard, in nanoseconds of the boot clock.
    at: u64,
}

/// The call of the row that has the time.
const NO_CALL: CallId = CallId(Uuid::nil());

/// Writes rows until the engine is dropped. Rows that wait together are one frame.
pub(super) fn write_rows(
    messages: &Receiver<LegRowMessage>,
    rows: &dyn BackendRows,
    clock: BootClock,
    now: fn() -> Instant,
) {
    let mut writer =
        RowWriter { playing: BTreeSet::new(), frame: Vec::new(), syncs: Vec::new(), clock };
    let mut beat_at = now();
    loop {
        let wait = if writer.playing.is_empty() { LONG } else { beat_at - now().min(beat_at) };
        let mut goes_on = match messages.recv_timeout(wait) {
            Ok(message) => writer.take(message),
            Err(RecvTimeoutError::Timeout) => true,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        while writer.frame.len() < FRAME_ROWS_MAX
            && writer.syncs.is_empty()
            && goes_on
            && let Ok(message) = messages.try_recv()
        {
            goes_on = writer.take(message);
        }
        let at = now();
        if !writer.playing.is_empty() && beat_at <= at {
            writer.put(NO_CALL, 0, at);
            beat_at = at + BEAT;
        }
        if !writer.frame.is_empty() {
            rows.write(&writer.frame);
            writer.frame.clear();
        }
        writer.syncs.clear();
        if !goes_on {
            return;
        }
    }
}

/// The programs that an earlier process was playing: of each call its number, and how much of it was
/// heard.
pub(super) fn programs(rows: &[BackendRow]) -> BTreeMap<CallId, (u32, Duration)> {
    let of_kind = rows.iter().filter(|it| it.kind == BackendRowKind::Playing);
    let read = |row: &BackendRow| {
        let body = row.body.as_deref().filter(|it| it.first() == Some(&VERSION))?;
        let PlayingRow { number, at, .. } = postcard::from_bytes(body).ok()?;
        Some((CallId(Uuid::from_u128(row.id)), (number, at)))
    };
    let mut found: BTreeMap<_, _> = of_kind.filter_map(read).collect();
    let Some((_, last)) = found.remove(&NO_CALL) else { return BTreeMap::new() };
    let heard = |at: u64| Duration::from_nanos(last.saturating_sub(at));
    found.into_iter().map(|(call, (number, at))| (call, (number, heard(at)))).collect()
}

struct RowWriter {
    /// The calls that hear a program.
    playing: BTreeSet<CallId>,
    frame: Vec<BackendRow>,
    /// Dropped when the frame is written.
    syncs: Vec<Sender<()>>,
    clock: BootClock,
}

impl RowWriter {
    /// False: the engine is dropped.
    fn take(&mut self, message: LegRowMessage) -> bool {
        match message {
            LegRowMessage::Put(call, row) => {
                let body = Some(row.write());
                self.frame.push(BackendRow::of_call(BackendRowKind::Leg, call, body));
            }
            LegRowMessage::Playing(call, number, since) => {
                self.playing.insert(call);
                self.put(call, number, since);
            }
            LegRowMessage::Over(call) => self.over(call),
            LegRowMessage::Gone(call) => {
                self.frame.push(BackendRow::of_call(BackendRowKind::Leg, call, None));
                if self.playing.contains(&call) {
                    self.over(call);
                }
            }
            LegRowMessage::Sync(sender) => self.syncs.push(sender),
            LegRowMessage::Close => return false,
        }
        true
    }

    fn put(&mut self, call: CallId, number: u32, at: Instant) {
        let row = PlayingRow { version: VERSION, number, at: self.clock.nanos(at) };
        let body = postcard::to_allocvec(&row).expect("numbers");
        self.frame.push(BackendRow::of_call(BackendRowKind::Playing, call, Some(body)));
    }

    fn over(&mut self, call: CallId) {
        self.playing.remove(&call);
        self.frame.push(BackendRow::of_call(BackendRowKind::Playing, call, None));
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test may ask what time it is")]
mod tests {
    use std::sync::mpsc;

    use parking_lot::Mutex;

    use super::*;

    #[derive(Default)]
    struct Rows(Mutex<BTreeMap<u128, Vec<u8>>>);

    impl BackendRows for Rows {
        fn write(&self, rows: &[BackendRow]) {
            let mut alive = self.0.lock();
            for row in rows {
                match &row.body {
                    Some(body) => alive.insert(row.id, body.clone()),
                    None => alive.remove(&row.id),
                };
            }
        }
    }

    impl Rows {
        fn programs(&self) -> BTreeMap<CallId, (u32, Duration)> {
            let alive = self.0.lock();
            let row = |(id, body): (&u128, &Vec<u8>)| BackendRow {
                kind: BackendRowKind::Playing,
                id: *id,
                body: Some(body.clone()),
            };
            programs(&alive.iter().map(row).collect::<Vec<_>>())
        }
    }

    #[test]
    fn a_program_was_heard_until_the_last_beat() {
        let (sender, messages) = mpsc::channel();
        let (rows, start) = (Rows::default(), Instant::now());
        let clock = BootClock::new(start, 9_000_000_000);
        let (one, two) = (CallId::of(1), CallId::of(2));
        let since = start - Duration::from_secs(3);
        let send = |message| sender.send(message).unwrap();
        send(LegRowMessage::Playing(one, 7, since));
        send(LegRowMessage::Playing(two, 8, since));
        send(LegRowMessage::Over(two));
        std::thread::scope(|scope| {
            let rows_of_thread = &rows;
            scope.spawn(move || write_rows(&messages, rows_of_thread, clock, Instant::now));
            let heard = || rows.programs().get(&one).copied();
            while heard().is_none_or(|it| it.1 < Duration::from_millis(3_200)) {
                std::thread::yield_now();
            }
            let (number, heard) = heard().unwrap();
            assert_eq!(number, 7);
            assert!(heard <= start.elapsed() + Duration::from_secs(3), "{heard:?}");
            assert_eq!(rows.programs().len(), 1, "the other one is over");
            send(LegRowMessage::Gone(one));
            send(LegRowMessage::Close);
        });
        assert_eq!(rows.programs().len(), 0);
    }

    #[test]
    fn a_row_of_another_release_is_passed_over() {
        let row = |id, body: &[u8]| BackendRow {
            kind: BackendRowKind::Playing,
            id,
            body: Some(body.to_vec()),
        };
        let beat = row(0, &[1, 0, 9]);
        assert_eq!(programs(&[beat.clone(), row(5, &[2, 1, 4])]).len(), 0);
        assert_eq!(programs(&[row(5, &[1, 1, 4])]).len(), 0, "no time is known");
        let found = programs(&[beat, row(5, &[1, 1, 4])]);
        assert_eq!(found[&CallId::of(5)], (1, Duration::from_nanos(5)));
    }
}
