//! Log: lines about calls and conferences, as text or JSON.
//!
//! A thread of its own writes lines to standard error, so that a slow reader does not stall calls;
//! what it cannot take is dropped and counted. The thread also formats the lines of calls and
//! requests.

mod json;
mod messages;
mod moment;
mod pretty;
mod queue;

use std::{
    io::{self, IsTerminal, Write},
    panic,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use tracing::{Subscriber, subscriber::set_default};
use tracing_subscriber::{
    Layer, Registry,
    filter::{LevelFilter, Targets},
    fmt,
    layer::SubscriberExt,
    registry::LookupSpan,
    reload,
    util::SubscriberInitExt,
};

use self::{
    json::JsonLayer,
    messages::DeferredEvent,
    moment::LogTime,
    pretty::PrettyFields,
    queue::{LogEntry, LogQueue},
};
use crate::{
    api::AuditEntry,
    cli::settings::{LogFormat, LogLevel},
    config,
    engine::{inbound::wall_clock, registry::Observed},
};

/// Pause between two writes: waking the thread for each line would cost more than the line. At
/// 100,000 lines a second, 200 are written at once.
const WRITE_INTERVAL: Duration = Duration::from_millis(2);

/// The log's thread. Drop it last: it writes what is still queued.
#[derive(Debug)]
pub struct LogThread {
    sender: LogSender,
    thread: Option<JoinHandle<()>>,
}

/// Handle to queue observations and audit entries for the log. Clones share one queue.
#[derive(Clone, Debug)]
pub struct LogSender {
    queue: LogQueue,
    /// A [`LogLevel`], which may change while the process runs.
    level: Arc<AtomicU8>,
    /// None without a log.
    filter: Option<reload::Handle<Targets, Registry>>,
}

impl LogThread {
    /// Starts the log of this process. It logs panics, too.
    ///
    /// # Errors
    ///
    /// There is a log already, or the system has no thread for it.
    pub fn begin(settings: config::LogConfig) -> anyhow::Result<Self> {
        let queue = LogQueue::default();
        let thread = thread::Builder::new().name("log".to_owned());
        let entries = queue.clone();
        let thread = thread.spawn(move || write(&entries, settings.format, &mut io::stderr()))?;
        let (filter, handle) = reload::Layer::new(targets(settings.level));
        let log = Registry::default().with(filter).with(lines(settings.format, queue.clone()));
        log.try_init()?;
        panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
        let level = Arc::new(AtomicU8::new(settings.level as u8));
        let notes = LogSender { queue, level, filter: Some(handle) };
        Ok(Self { sender: notes, thread: Some(thread) })
    }

    /// A handle for those who log observations and audit entries.
    pub fn sender(&self) -> LogSender {
        self.sender.clone()
    }
}

impl Drop for LogThread {
    fn drop(&mut self) {
        self.sender.queue.end();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl LogSender {
    #[cfg(test)]
    pub(super) fn disabled() -> Self {
        Self::of(LogQueue::default(), LogLevel::Error)
    }

    #[cfg(test)]
    fn of(queue: LogQueue, level: LogLevel) -> Self {
        Self { queue, level: Arc::new(AtomicU8::new(level as u8)), filter: None }
    }

    /// Changes the level of the lines that follow.
    pub fn set_level(&self, level: LogLevel) {
        self.level.store(level as u8, Ordering::Relaxed);
        if let Some(filter) = &self.filter {
            // It fails only if there is no log any more.
            filter.reload(targets(level)).unwrap_or_default();
        }
    }

    /// Queues an observation of the registry, if its level is enabled.
    pub fn trace(&self, trace: Observed) {
        if messages::level(&trace) <= level(self.level.load(Ordering::Relaxed)) {
            self.queue.push_deferred(wall_clock(), DeferredEvent::Trace(trace));
        }
    }

    /// Queues the audit entry of a request that was answered.
    pub fn audit(&self, entry: AuditEntry) {
        self.queue.push_deferred(wall_clock(), DeferredEvent::Audit(entry));
    }
}

/// The lowest level of each target.
fn targets(level: LogLevel) -> Targets {
    let own = self::level(level as u8);
    // Dependencies log warnings and errors only, unless everything is wanted.
    let others = if own == LevelFilter::TRACE { own } else { own.min(LevelFilter::WARN) };
    // Audit entries record who did what, so no level filters them out.
    let audit = own.max(LevelFilter::INFO);
    let filter = Targets::new().with_target("conflow", own).with_default(others);
    filter.with_target("conflow::audit", audit)
}

/// Formats events into lines of a queue.
fn lines<S>(format: LogFormat, queue: LogQueue) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    match format {
        LogFormat::Pretty => {
            let lines = fmt::layer().with_writer(queue).with_timer(LogTime).with_target(false);
            lines.with_ansi(io::stderr().is_terminal()).fmt_fields(PrettyFields).boxed()
        }
        LogFormat::Json => JsonLayer(queue).boxed(),
    }
}

/// The filter of a [`LogLevel`], by its number.
fn level(level: u8) -> LevelFilter {
    match level {
        it if it == LogLevel::Error as u8 => LevelFilter::ERROR,
        it if it == LogLevel::Warn as u8 => LevelFilter::WARN,
        it if it == LogLevel::Info as u8 => LevelFilter::INFO,
        it if it == LogLevel::Debug as u8 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    }
}

/// Writes lines until the queue ends. Errors are ignored: there is nowhere to report them.
fn write(queue: &LogQueue, format: LogFormat, out: &mut impl Write) {
    // Events that this thread formats bypass the queue, so that their lines stay in order. Their
    // levels were checked when they were queued.
    let own = LogQueue::default();
    let guard = set_default(Registry::default().with(lines(format, own.clone())));
    let (mut entries, mut lines) = (Vec::new(), Vec::new());
    loop {
        let outcome = queue.take(&mut entries);
        for entry in entries.drain(..) {
            match entry {
                LogEntry::Line(line) => lines.extend(line),
                LogEntry::Deferred(at, event) => {
                    moment::at(at, || event.emit());
                    own.take_lines(&mut lines);
                }
            }
        }
        match (outcome.lost, format) {
            (0, _) => (),
            (n, LogFormat::Pretty) => lines.extend(format!("{n} lines are lost\n").bytes()),
            (n, LogFormat::Json) => {
                let line = format!(
                    "{{\"level\":\"WARN\",\"message\":\"lines are lost\",\"lines\":{n}}}\n"
                );
                lines.extend(line.bytes());
            }
        }
        drop(out.write_all(&lines).and_then(|()| out.flush()));
        lines.clear();
        lines.shrink_to(BYTES_KEPT);
        if outcome.is_over {
            return drop(guard);
        }
        thread::sleep(WRITE_INTERVAL);
    }
}

/// Capacity that is kept for the next lines; what a burst has needed beyond it is freed.
const BYTES_KEPT: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::UNIX_EPOCH};

    use super::*;
    use crate::{
        base::ids::{CallId, Incarnation, RoomId, RoomKey},
        conference::{ConferenceEvent, Notice},
    };

    fn written(queue: &LogQueue, format: LogFormat) -> String {
        queue.end();
        let mut out = Vec::new();
        write(queue, format, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_line_is_written_and_lost_ones_are_counted() {
        let check = |format, expected: &str| {
            let queue = LogQueue::default();
            queue.push(b"a\n");
            (0..2).for_each(|_| queue.push(&vec![b'b'; 8 * 1024 * 1024]));
            queue.push(b"c\n");
            assert_eq!(written(&queue, format), expected);
        };
        check(LogFormat::Pretty, "a\nc\n2 lines are lost\n");
        let lost = r#"{"level":"WARN","message":"lines are lost","lines":2}"#;
        check(LogFormat::Json, &format!("a\nc\n{lost}\n"));
    }

    fn over() -> Observed {
        let (account, name) = ("MA1".parse().unwrap(), "weekly".parse().unwrap());
        let notice = Notice { sequence: 3, event: ConferenceEvent::Over };
        let room = Incarnation { key: RoomKey { account, name }, id: RoomId::of(7) };
        Observed::Notice { room: Arc::new(room), notice }
    }

    #[test]
    fn a_deferred_event_is_written_where_and_when_it_was_noted() {
        let at = UNIX_EPOCH + Duration::from_micros(1_788_206_901_073_308);
        let check = |format, expected: &[&str]| {
            let queue = LogQueue::default();
            queue.push(b"before\n");
            queue.push_deferred(at, DeferredEvent::Trace(over()));
            queue.push(b"after\n");
            let text = written(&queue, format);
            let lines: Vec<_> = text.lines().collect();
            assert_eq!((lines.len(), lines[0], lines[2]), (3, "before", "after"), "{text}");
            for part in expected {
                assert!(lines[1].contains(part), "{part} is not in {}", lines[1]);
            }
        };
        let time = "2026-08-31T20:08:21.073308Z";
        check(LogFormat::Pretty, &[time, " INFO ", "the conference is over", "conference=weekly"]);
        let begin = format!("{{\"timestamp\":\"{time}\",\"level\":\"INFO\"");
        check(LogFormat::Json, &[&begin, r#""message":"the conference is over","account":"MA1""#]);
    }

    #[test]
    fn what_nobody_wants_to_read_is_not_noted() {
        let noted = |level, trace: Observed| {
            let queue = LogQueue::default();
            LogSender::of(queue.clone(), level).trace(trace);
            queue.end();
            let mut entries = Vec::new();
            queue.take(&mut entries);
            entries.len()
        };
        let passed_on = || Observed::Requeued { call: CallId::of(1) };
        assert_eq!(noted(LogLevel::Info, over()), 1);
        assert_eq!(noted(LogLevel::Warn, over()), 0);
        assert_eq!(noted(LogLevel::Info, passed_on()), 0);
        assert_eq!(noted(LogLevel::Debug, passed_on()), 1);
    }

    /// The time of the thread would be wrong for other lines.
    #[test]
    fn what_is_logged_at_once_has_the_current_time() {
        let before = wall_clock();
        moment::at(UNIX_EPOCH, || assert_eq!(moment::now(), UNIX_EPOCH));
        assert!(before <= moment::now());
    }
}
