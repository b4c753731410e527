//! The log: what happens to calls and conferences, as lines for eyes or for machines.
//!
//! Lines go to the standard error by a thread of their own, so that a reader who stalls does not
//! stall calls; what it cannot take is dropped, and counted. What is told of every call and request
//! is put into words by that thread as well.

mod json;
mod messages;
mod moment;
mod queue;

use std::{
    io::{self, IsTerminal, Write},
    panic,
    thread::{self, JoinHandle},
    time::Duration,
};

use tracing::{Subscriber, subscriber::set_default};
use tracing_subscriber::{
    Layer, Registry,
    filter::{LevelFilter, Targets},
    fmt,
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use self::{
    json::Json,
    messages::Told,
    moment::Moment,
    queue::{Entry, Queue},
};
use crate::{
    api::Deed,
    cli::settings::{LogFormat, LogLevel},
    config,
    engine::{inbound::wall, registry::Trace},
};

/// Between two looks at what has come: a busy engine would wake the thread for each line, and that
/// is more work than the line. At 100,000 lines a second 200 come together.
const PAUSE: Duration = Duration::from_millis(2);

/// The log's thread. Dropped last, it writes what is still there.
#[derive(Debug)]
pub struct Log {
    notes: Notes,
    thread: Option<JoinHandle<()>>,
}

/// Where it is noted what the log is to tell. Clones are the same.
#[derive(Clone, Debug)]
pub struct Notes {
    queue: Queue,
    level: LevelFilter,
}

impl Log {
    /// Begins the log of this process. Panics go to it as well.
    ///
    /// # Errors
    ///
    /// There is a log already, or the system has no thread for it.
    pub fn begin(settings: config::Log) -> anyhow::Result<Self> {
        let queue = Queue::default();
        let thread = thread::Builder::new().name("log".to_owned());
        let entries = queue.clone();
        let thread = thread.spawn(move || write(&entries, settings, &mut io::stderr()))?;
        subscriber(settings, queue.clone()).try_init()?;
        panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
        let notes = Notes { queue, level: level(settings.level) };
        Ok(Self { notes, thread: Some(thread) })
    }

    /// For those who have something to be told.
    pub fn notes(&self) -> Notes {
        self.notes.clone()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.notes.queue.end();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Notes {
    #[cfg(test)]
    pub(super) fn unread() -> Self {
        Self { queue: Queue::default(), level: LevelFilter::OFF }
    }

    /// What happens in the house.
    pub fn trace(&self, trace: Trace) {
        if messages::level(&trace) <= self.level {
            self.queue.tell(wall(), Told::Trace(trace));
        }
    }

    /// A request that has been answered.
    pub fn deed(&self, deed: Deed) {
        self.queue.tell(wall(), Told::Deed(deed));
    }
}

/// Turns events into lines of a queue.
fn subscriber(settings: config::Log, lines: Queue) -> impl Subscriber + Send + Sync {
    let own = level(settings.level);
    // Of what we are built from, only what is amiss, unless everything is wanted.
    let others = if own == LevelFilter::TRACE { own } else { own.min(LevelFilter::WARN) };
    // Who may say who did what: not to be left out.
    let audit = own.max(LevelFilter::INFO);
    let filter = Targets::new().with_target("conflow", own).with_default(others);
    let filter = filter.with_target("conflow::audit", audit);
    let layer = match settings.format {
        LogFormat::Pretty => {
            let lines = fmt::layer().with_writer(lines).with_timer(Moment).with_target(false);
            lines.with_ansi(io::stderr().is_terminal()).boxed()
        }
        LogFormat::Json => Json(lines).boxed(),
    };
    Registry::default().with(filter).with(layer)
}

fn level(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

/// Writes lines until there are no more. Where nobody reads, nothing is to be done about it.
fn write(queue: &Queue, settings: config::Log, out: &mut impl Write) {
    // What this thread tells goes past the queue, and comes where it was noted.
    let own = Queue::default();
    let told = set_default(subscriber(settings, own.clone()));
    let (mut entries, mut lines) = (Vec::new(), Vec::new());
    loop {
        let rest = queue.take(&mut entries);
        for entry in entries.drain(..) {
            match entry {
                Entry::Line(line) => lines.extend(line),
                Entry::Told(at, told) => {
                    moment::at(at, || told.tell());
                    own.take_lines(&mut lines);
                }
            }
        }
        match (rest.lost, settings.format) {
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
        if rest.is_over {
            return drop(told);
        }
        thread::sleep(PAUSE);
    }
}

/// What is kept for the next lines; what a burst has needed beyond is given back.
const BYTES_KEPT: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::UNIX_EPOCH};

    use super::*;
    use crate::{
        base::ids::{CallId, Incarnation, RoomId, RoomKey},
        conference::{News, Notice},
    };

    fn settings(format: LogFormat) -> config::Log {
        config::Log { format, level: LogLevel::Info }
    }

    fn written(queue: &Queue, format: LogFormat) -> String {
        queue.end();
        let mut out = Vec::new();
        write(queue, settings(format), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_are_written_to_the_last_and_lost_ones_are_told() {
        let check = |format, expected: &str| {
            let queue = Queue::default();
            queue.push(b"a\n");
            (0..2).for_each(|_| queue.push(&vec![b'b'; 8 * 1024 * 1024]));
            queue.push(b"c\n");
            assert_eq!(written(&queue, format), expected);
        };
        check(LogFormat::Pretty, "a\nc\n2 lines are lost\n");
        let lost = r#"{"level":"WARN","message":"lines are lost","lines":2}"#;
        check(LogFormat::Json, &format!("a\nc\n{lost}\n"));
    }

    fn over() -> Trace {
        let (account, name) = ("MA1".parse().unwrap(), "weekly".parse().unwrap());
        let notice = Notice { sequence: 3, news: News::Over };
        let room = Incarnation { key: RoomKey { account, name }, id: RoomId::of(7) };
        Trace::Notice { room: Arc::new(room), notice }
    }

    #[test]
    fn what_is_put_into_words_later_stands_where_and_when_it_was_noted() {
        let at = UNIX_EPOCH + Duration::from_micros(1_788_206_901_073_308);
        let check = |format, expected: &[&str]| {
            let queue = Queue::default();
            queue.push(b"before\n");
            queue.tell(at, Told::Trace(over()));
            queue.push(b"behind\n");
            let text = written(&queue, format);
            let lines: Vec<_> = text.lines().collect();
            assert_eq!((lines.len(), lines[0], lines[2]), (3, "before", "behind"), "{text}");
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
        let noted = |level, trace: Trace| {
            let queue = Queue::default();
            Notes { queue: queue.clone(), level }.trace(trace);
            queue.end();
            let mut entries = Vec::new();
            queue.take(&mut entries);
            entries.len()
        };
        let passed_on = || Trace::PassedOn { call: CallId::of(1) };
        assert_eq!(noted(LevelFilter::INFO, over()), 1);
        assert_eq!(noted(LevelFilter::WARN, over()), 0);
        assert_eq!(noted(LevelFilter::INFO, passed_on()), 0);
        assert_eq!(noted(LevelFilter::DEBUG, passed_on()), 1);
    }

    /// Another time than that of the thread would be one that nothing has happened at.
    #[test]
    fn what_is_told_at_once_has_the_time_of_telling() {
        let before = wall();
        moment::at(UNIX_EPOCH, || assert_eq!(moment::now(), UNIX_EPOCH));
        assert!(before <= moment::now());
    }
}
