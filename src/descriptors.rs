//! File descriptors: how many this process may have open, and what the log says when none is left.

use std::{
    io,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use parking_lot::Mutex;
use rustix::{
    io::Errno,
    process::{Resource, getrlimit, setrlimit},
};
use tokio::time::Instant;

/// Each call on a real phone takes one, and each connection: fewer are not enough for production.
pub const RECOMMENDED_MIN: u64 = 1_024;
/// The pause between two log lines about it.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// The limit of this process; 0 until [`raise`] has been called.
static LIMIT: AtomicU64 = AtomicU64::new(0);
static LOGGED_AT: Mutex<Option<Instant>> = Mutex::new(None);

/// Raises the limit (`RLIMIT_NOFILE`) as far as the system allows, and returns it.
pub fn raise() -> u64 {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = rustix::process::Rlimit { current: limit.maximum, ..limit };
        if setrlimit(Resource::Nofile, raised).is_ok() {
            limit = raised;
        }
    }
    let limit = limit.current.unwrap_or(u64::MAX);
    LIMIT.store(limit, Relaxed);
    limit
}

/// Whether a descriptor that was just opened is one of the last tenth, which are not for clients.
/// The system gives the lowest free number, so all lower ones are in use.
pub fn is_scarce(descriptor: i32) -> bool {
    let limit = LIMIT.load(Relaxed);
    limit != 0 && limit - limit / 10 <= u64::from(descriptor.unsigned_abs())
}

/// Logs, once a minute at most, that an operation failed because no descriptor is left. Other errors
/// are ignored.
pub fn note(error: &io::Error) {
    let errno = Errno::from_io_error(error);
    if errno == Some(Errno::MFILE) {
        complain("too many open files");
    } else if errno == Some(Errno::NFILE) {
        complain("too many open files on this machine (fs.file-max)");
    }
}

/// Logs, once a minute at most, that the limit is too low.
pub fn complain(what: &str) {
    let now = Instant::now();
    let mut logged_at = LOGGED_AT.lock();
    if logged_at.is_none_or(|at| LOG_INTERVAL <= now - at) {
        *logged_at = Some(now);
        let limit = LIMIT.load(Relaxed);
        tracing::error!(
            limit,
            "{what}: raise the limit of open files (ulimit -Hn, LimitNOFILE= of systemd)"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_tenth_of_the_descriptors_is_not_for_clients() {
        LIMIT.store(64, Relaxed);
        let check = |descriptor, expected| assert_eq!(is_scarce(descriptor), expected);
        check(3, false);
        check(57, false);
        check(58, true);
        check(63, true);
        LIMIT.store(u64::MAX, Relaxed);
        check(i32::MAX, false);
    }
}
