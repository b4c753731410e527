//! The log: what happens to calls and conferences, as lines for eyes or for machines.
//!
//! Lines go to the standard error by a thread of their own, so that a reader who stalls does not
//! stall calls; what it cannot take is dropped, and counted.

use std::{
    io::{self, IsTerminal, Write},
    panic,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use tracing_subscriber::{
    Layer, Registry,
    filter::{LevelFilter, Targets},
    fmt::{self, MakeWriter},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use crate::{
    actor::house::Trace,
    call,
    cli::settings::{LogFormat, LogLevel},
    conference::{Being, News, Notice},
    config,
    ids::RoomKey,
    media::Ending,
    trace,
};

/// Some tenths of a second of a busy engine; at 200 bytes a line, a few megabytes.
const LINES_MAX: usize = 16_384;
/// Between two looks at what has come: a busy engine would wake the thread for each line, and that
/// is more work than the line. At 100,000 lines a second 200 come together, of [`LINES_MAX`].
const PAUSE: Duration = Duration::from_millis(2);
/// What is written at once, if so much is there.
const CHUNK_BYTES: usize = 64 * 1024;

/// The log's thread. Dropped last, it writes what is still there.
#[derive(Debug)]
pub struct Log {
    lines: Option<SyncSender<Vec<u8>>>,
    thread: Option<JoinHandle<()>>,
}

impl Log {
    /// Begins the log of this process. Panics go to it as well.
    ///
    /// # Errors
    ///
    /// There is a log already, or the system has no thread for it.
    pub fn begin(settings: config::Log) -> anyhow::Result<Self> {
        let (lines, waiting) = sync_channel(LINES_MAX);
        let lost = Arc::new(AtomicU64::new(0));
        let (writer, format) =
            (Writer { lines: lines.clone(), lost: lost.clone() }, settings.format);
        let thread = thread::Builder::new().name("log".to_owned());
        let thread = thread.spawn(move || write(&waiting, &lost, format, &mut io::stderr()))?;

        let own = level(settings.level);
        // Of what we are built from, only what is amiss, unless everything is wanted.
        let others = if own == LevelFilter::TRACE { own } else { own.min(LevelFilter::WARN) };
        // Who may say who did what: not to be left out.
        let audit = own.max(LevelFilter::INFO);
        let filter = Targets::new().with_target("conflow", own).with_default(others);
        let filter = filter.with_target("conflow::audit", audit);
        let lines_layer = fmt::layer().with_writer(writer);
        let layer = match format {
            LogFormat::Pretty => {
                lines_layer.with_target(false).with_ansi(io::stderr().is_terminal()).boxed()
            }
            LogFormat::Json => lines_layer.json().flatten_event(true).boxed(),
        };
        Registry::default().with(layer.with_filter(filter)).try_init()?;
        panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
        Ok(Self { lines: Some(lines), thread: Some(thread) })
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // An empty line is the last.
        let last = self.lines.take().map(|lines| lines.send(Vec::new()));
        if let (Some(Ok(())), Some(thread)) = (last, self.thread.take()) {
            drop(thread.join());
        }
    }
}

/// Notes what the house tells, with the ids of the calls and conferences it is about.
pub fn note(trace: Trace) {
    match trace {
        Trace::Began { call, element, .. } => {
            let trace::Element { document, name, at } = element;
            tracing::debug!(%call, document, element = name, %at, "an element begins");
        }
        Trace::Fetching { call, url, purpose } => {
            tracing::debug!(%call, %url, ?purpose, "the call asks for a document");
        }
        Trace::Remarked { call, api_id, remark } => {
            tracing::debug!(%call, %api_id, %remark, "a request has asked for something in vain");
        }
        Trace::Requested { call, api_id, command } => {
            tracing::debug!(%call, %api_id, command, "a request is about the call");
        }
        Trace::Call { call, news, .. } => match news {
            call::News::Answered => tracing::debug!(%call, "the call is answered"),
            call::News::Begun => tracing::debug!(%call, "the call begins"),
            call::News::Ended(Ending { cause, source }) => {
                let (cause, code, source) = (cause.name(), cause.code(), source.text());
                tracing::info!(%call, cause, code, source, "the call has ended");
            }
            call::News::Rang => tracing::debug!(%call, "the far end rings"),
        },
        Trace::Left { call, member, exit, .. } => {
            let cause = exit.cause;
            tracing::debug!(%call, %member, cause = cause.text(), "the call goes on");
        }
        Trace::Notice { key, notice } => tell(&key, notice),
        Trace::PassedOn { call } => {
            tracing::debug!(%call, "the conference was over: on to the next");
        }
        Trace::Refused { call, cause } => {
            tracing::info!(%call, cause = cause.text(), "the call was not let into the conference");
        }
    }
}

fn tell(key: &RoomKey, notice: Notice) {
    let RoomKey { account, name } = key;
    let Notice { room, sequence, news } = notice;
    macro_rules! tell {
        ($($field:tt)*) => {
            tracing::info!(%account, conference = %name, %room, sequence, $($field)*)
        };
    }
    match news {
        News::Entered { who: Being { member, call, .. }, is_first } => {
            tell!(%member, %call, is_first, "entered");
        }
        News::Exited { who: Being { member, call, .. }, exit, is_last } => {
            tell!(%member, %call, cause = exit.cause.text(), is_last, "left");
        }
        News::DigitsMatched { who: Being { member, call, .. }, digits } => {
            tell!(%member, %call, %digits, "typed");
        }
        News::FloorTaken { who: Being { member, call, .. } } => {
            tell!(%member, %call, "has the floor");
        }
        News::Over => tell!("the conference is over"),
        News::Started => tell!("the conference has started"),
    }
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

/// Takes whole lines.
struct Writer {
    lines: SyncSender<Vec<u8>>,
    lost: Arc<AtomicU64>,
}

impl Write for &Writer {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.lines.try_send(line.to_vec()).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Writer {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> &'a Self {
        self
    }
}

/// Writes lines until an empty one comes. Where nobody reads, nothing is to be done about it.
fn write(lines: &Receiver<Vec<u8>>, lost: &AtomicU64, format: LogFormat, out: &mut impl Write) {
    let mut chunk = Vec::with_capacity(CHUNK_BYTES);
    while let Ok(first) = lines.recv() {
        let mut next = Some(first);
        let mut is_last = false;
        while let Some(line) = next {
            is_last |= line.is_empty();
            chunk.extend(line);
            next = (chunk.len() < CHUNK_BYTES).then(|| lines.try_recv().ok()).flatten();
        }
        match (lost.swap(0, Ordering::Relaxed), format) {
            (0, _) => (),
            (n, LogFormat::Pretty) => chunk.extend(format!("{n} lines are lost\n").bytes()),
            (n, LogFormat::Json) => {
                let line = format!(
                    "{{\"level\":\"WARN\",\"message\":\"lines are lost\",\"lines\":{n}}}\n"
                );
                chunk.extend(line.bytes());
            }
        }
        drop(out.write_all(&chunk).and_then(|()| out.flush()));
        chunk.clear();
        if is_last {
            return;
        }
        thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_written_in_order_and_lost_ones_are_counted() {
        let (lines, waiting) = sync_channel(2);
        let writer = Writer { lines, lost: Arc::new(AtomicU64::new(0)) };
        for line in ["a\n", "b\n", "c\n", "d\n"] {
            (&writer).write_all(line.as_bytes()).unwrap();
        }
        let lost = writer.lost.clone();
        drop(writer);
        let mut out = Vec::new();
        write(&waiting, &lost, LogFormat::Pretty, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "a\nb\n2 lines are lost\n");
    }

    #[test]
    fn an_empty_line_is_the_last() {
        let (lines, waiting) = sync_channel(4);
        for line in ["a\n", ""] {
            lines.send(line.as_bytes().to_vec()).unwrap();
        }
        let mut out = Vec::new();
        write(&waiting, &AtomicU64::new(0), LogFormat::Json, &mut out);
        assert_eq!(out, b"a\n");
    }
}
