//! Second process: an engine or a ceiling with one worker, and its processor time and memory.

use std::{
    collections::BTreeSet,
    env, fs,
    io::{self, BufRead, BufReader, Read},
    net::SocketAddr,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Command, Stdio, exit, id},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use parking_lot::Mutex;
use tokio::time::sleep;

use super::clock::now;

/// Ends this process once its standard input is closed: the kernel does that when the bench ends,
/// however it ends.
pub fn end_with_bench() {
    thread::spawn(|| {
        drop(io::copy(&mut io::stdin().lock(), &mut io::sink()));
        exit(1)
    });
}

/// A process that is killed on drop, and that ends by itself when this process ends.
pub(super) struct Process {
    /// None for an engine of others, which is never killed.
    child: Option<Child>,
    pub(super) http: SocketAddr,
    /// Time from its start until it served.
    pub(super) start: Duration,
}

/// Text before the address in the log line that tells that it serves.
pub(super) const SERVES: &str = "\"http\":\"";

impl Process {
    /// Starts this program again, and waits until it serves.
    pub(super) fn start(arguments: &[&str], folder: &Path) -> Result<Self> {
        let begin = now();
        let mut command = Command::new(env::current_exe()?);
        for (name, _) in env::vars_os() {
            if name.to_string_lossy().starts_with("CONFLOW_") {
                command.env_remove(name);
            }
        }
        command.args(arguments).current_dir(folder).env("TOKIO_WORKER_THREADS", "1");
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        // Ctrl-C is for the bench, which ends this process itself.
        command.process_group(0);
        let mut child = command.spawn().context("the second process cannot be started")?;
        let mut log = BufReader::new(child.stderr.take().context("a log was asked for")?);
        let http = match address(&mut log) {
            Ok(http) => http,
            Err(error) => {
                drop(child.kill());
                drop(child.wait());
                return Err(error);
            }
        };
        let start = begin.elapsed();
        LIVE.lock().insert(child.id());
        // The log is written as always, and discarded.
        thread::spawn(move || while log.read(&mut [0; 64 * 1024]).is_ok_and(|it| 0 < it) {});
        Ok(Self { child: Some(child), http, start })
    }

    /// An engine of others, perhaps on another machine.
    pub(super) fn external(http: SocketAddr) -> Self {
        Self { child: None, http, start: Duration::ZERO }
    }

    /// Its processor time so far; zero for an engine of others.
    pub(super) fn cpu(&self) -> Duration {
        self.child.as_ref().map(|it| cpu(it.id())).unwrap_or_default()
    }

    /// Waits until it is idle, so that earlier work does not count in the next measurement. Returns
    /// at once for an engine of others.
    pub(super) async fn wait_until_idle(&self) {
        for _ in 0..IDLE_POLLS_MAX {
            let before = self.cpu();
            sleep(IDLE_POLL).await;
            if self.cpu() - before <= IDLE_CPU_MAX {
                return;
            }
        }
    }

    /// Its memory (RSS) in bytes; zero for an engine of others.
    pub(super) fn rss(&self) -> u64 {
        let Some(child) = &self.child else { return 0 };
        let status = fs::read_to_string(format!("/proc/{}/status", child.id()));
        let status = status.unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|it| it.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        kib.unwrap_or_default() * 1_024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let Some(child) = &mut self.child else { return };
        // It may have ended already.
        drop(child.kill());
        drop(child.wait());
        LIVE.lock().remove(&child.id());
    }
}

/// The second processes that run; those that have ended count as their parent's children.
static LIVE: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

fn address(log: &mut BufReader<ChildStderr>) -> Result<SocketAddr> {
    let mut read = String::new();
    loop {
        let begin = read.len();
        if log.read_line(&mut read)? == 0 {
            bail!("the second process has ended: {read}");
        }
        let Some((_, rest)) = read[begin..].split_once(SERVES) else { continue };
        let address = rest.split('"').next().unwrap_or_default();
        return address.parse().with_context(|| format!("{address:?} is no address"));
    }
}

/// A process that takes at most this much time in an interval is idle; one that never does is
/// measured as it is.
const IDLE_POLL: Duration = Duration::from_millis(200);
const IDLE_CPU_MAX: Duration = Duration::from_millis(10);
const IDLE_POLLS_MAX: usize = 300;

/// Unit of `/proc/…/stat`: the kernel reports processor time in ticks of this length (proc(5)).
pub(super) const TICKS_PER_SECOND: u64 = 100;

fn cpu(process: u32) -> Duration {
    times(&format!("/proc/{process}"), 2)
}

/// Processor time of this process's thread of that name.
pub(super) fn cpu_of_thread(name: &str) -> Duration {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let mut paths = tasks.map(|it| it.path().display().to_string());
    let is_it = |path: &String| {
        fs::read_to_string(format!("{path}/comm")).is_ok_and(|it| it.trim_end() == name)
    };
    paths.find(is_it).map(|path| times(&path, 2)).unwrap_or_default()
}

/// The sum of the first of these times of a process or thread: in user mode, in the kernel, and the
/// same of children that have ended.
fn times(path: &str, count: usize) -> Duration {
    let stat = fs::read_to_string(format!("{path}/stat")).unwrap_or_default();
    // The name in brackets may contain anything; the times are fields 14 to 17.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks = fields.skip(11).take(count).filter_map(|it| it.parse::<u64>().ok()).sum::<u64>();
    Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND)
}

/// Processor time of this process and of all that it has started.
pub(super) fn cpu_of_bench() -> Duration {
    let live: Vec<u32> = LIVE.lock().iter().copied().collect();
    live.into_iter().chain([id()]).map(|it| times(&format!("/proc/{it}"), 4)).sum()
}

/// Processor time of this process.
pub(super) fn own_cpu() -> Duration {
    cpu(id())
}

/// A folder that is removed on drop.
pub(super) struct TempFolder(PathBuf);

impl TempFolder {
    pub(super) fn new() -> Result<Self> {
        let name = format!("conflow-bench-{}-{}", id(), uuid::Uuid::new_v4().simple());
        let path = env::temp_dir().join(name);
        fs::create_dir(&path).with_context(|| format!("{} cannot be made", path.display()))?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempFolder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}
