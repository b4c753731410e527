//! The log: what happens to calls and conferences, as lines for eyes or for machines.
//!
//! Lines go to the standard error by a thread of their own, so that a reader who stalls does not
//! stall calls; what it cannot take is dropped, and counted.

mod json;
mod queue;

use std::{
    io::{self, IsTerminal, Write},
    panic,
    thread::{self, JoinHandle},
    time::Duration,
};

use tracing_subscriber::{
    Layer, Registry,
    filter::{LevelFilter, Targets},
    fmt,
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use self::{json::Json, queue::Queue};
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

/// Between two looks at what has come: a busy engine would wake the thread for each line, and that
/// is more work than the line. At 100,000 lines a second 200 come together.
const PAUSE: Duration = Duration::from_millis(2);

/// The log's thread. Dropped last, it writes what is still there.
#[derive(Debug)]
pub struct Log {
    queue: Queue,
    thread: Option<JoinHandle<()>>,
}

impl Log {
    /// Begins the log of this process. Panics go to it as well.
    ///
    /// # Errors
    ///
    /// There is a log already, or the system has no thread for it.
    pub fn begin(settings: config::Log) -> anyhow::Result<Self> {
        let (queue, format) = (Queue::default(), settings.format);
        let thread = thread::Builder::new().name("log".to_owned());
        let lines = queue.clone();
        let thread = thread.spawn(move || write(&lines, format, &mut io::stderr()))?;

        let own = level(settings.level);
        // Of what we are built from, only what is amiss, unless everything is wanted.
        let others = if own == LevelFilter::TRACE { own } else { own.min(LevelFilter::WARN) };
        // Who may say who did what: not to be left out.
        let audit = own.max(LevelFilter::INFO);
        let filter = Targets::new().with_target("conflow", own).with_default(others);
        let filter = filter.with_target("conflow::audit", audit);
        let layer = match format {
            LogFormat::Pretty => {
                let lines = fmt::layer().with_writer(queue.clone()).with_target(false);
                lines.with_ansi(io::stderr().is_terminal()).boxed()
            }
            LogFormat::Json => Json(queue.clone()).boxed(),
        };
        Registry::default().with(filter).with(layer).try_init()?;
        panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
        Ok(Self { queue, thread: Some(thread) })
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.queue.end();
        if let Some(thread) = self.thread.take() {
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

/// Writes lines until there are no more. Where nobody reads, nothing is to be done about it.
fn write(queue: &Queue, format: LogFormat, out: &mut impl Write) {
    let mut lines = Vec::new();
    loop {
        let rest = queue.take(&mut lines);
        match (rest.lost, format) {
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
        if rest.is_over {
            return;
        }
        thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_written_to_the_last_and_lost_ones_are_told() {
        let check = |format, expected: &str| {
            let queue = Queue::default();
            queue.push(b"a\n");
            (0..2).for_each(|_| queue.push(&vec![b'b'; 8 * 1024 * 1024]));
            queue.push(b"c\n");
            queue.end();
            let mut out = Vec::new();
            write(&queue, format, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        };
        check(LogFormat::Pretty, "a\nc\n2 lines are lost\n");
        let lost = r#"{"level":"WARN","message":"lines are lost","lines":2}"#;
        check(LogFormat::Json, &format!("a\nc\n{lost}\n"));
    }
}
