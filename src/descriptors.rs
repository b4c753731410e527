//! File descriptors: how many this process may have open, what the log says when none is left, and the
//! datagrams that the kernel has dropped for its sockets.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
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

/// Datagrams that the kernel dropped before this process could read them, because a UDP socket's buffer
/// was full. It tells so for open sockets only: what a socket has lost since the last look is not
/// counted if the socket is closed now.
#[derive(Debug, Default)]
pub struct KernelDrops(Mutex<SocketDrops>);

#[derive(Debug, Default)]
struct SocketDrops {
    /// The last figure of each socket that has lost anything, by its inode.
    seen: BTreeMap<u64, u64>,
    chosen: u64,
    others: u64,
}

/// A line of `/proc/net/udp`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct UdpLine {
    port: u16,
    inode: u64,
    drops: u64,
}

impl KernelDrops {
    /// Looks at the sockets of this process. Returns the datagrams that those on some ports have lost
    /// since the start, and those that the others have.
    pub fn look(&self, ports: &[u16]) -> [u64; 2] {
        let tables = ["/proc/self/net/udp", "/proc/self/net/udp6"];
        let text = tables.map(|it| fs::read_to_string(it).unwrap_or_default());
        let lines: Vec<_> = text.iter().flat_map(|it| it.lines()).filter_map(UdpLine::of).collect();
        // The table has the sockets of the whole machine. Most have lost nothing.
        let has_lost = lines.iter().any(|it| 0 < it.drops);
        let own = if has_lost { own_sockets() } else { BTreeSet::new() };
        let lost = lines.into_iter().filter(|it| 0 < it.drops && own.contains(&it.inode));
        self.0.lock().note(ports, lost)
    }
}

impl SocketDrops {
    fn note(&mut self, ports: &[u16], lines: impl Iterator<Item = UdpLine>) -> [u64; 2] {
        let mut seen = BTreeMap::new();
        for UdpLine { port, inode, drops } in lines {
            let before = self.seen.get(&inode).copied().unwrap_or(0);
            // The kernel counts in 32 bits.
            let new = u64::from((drops as u32).wrapping_sub(before as u32));
            match ports.contains(&port) {
                true => self.chosen += new,
                false => self.others += new,
            }
            seen.insert(inode, drops);
        }
        self.seen = seen;
        [self.chosen, self.others]
    }
}

impl UdpLine {
    /// None: it is the head of the table.
    fn of(line: &str) -> Option<Self> {
        let fields: Vec<_> = line.split_ascii_whitespace().collect();
        let (_, port) = fields.get(1)?.rsplit_once(':')?;
        Some(Self {
            port: u16::from_str_radix(port, 16).ok()?,
            inode: fields.get(9)?.parse().ok()?,
            drops: fields.last()?.parse().ok()?,
        })
    }
}

/// The inodes of the sockets that this process has open.
fn own_sockets() -> BTreeSet<u64> {
    let entries = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let links = entries.filter_map(|it| fs::read_link(it.path()).ok());
    let inode = |link: std::path::PathBuf| {
        let text = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
        text.parse().ok()
    };
    links.filter_map(inode).collect()
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    /// A table of this kernel would have to lose datagrams; the sockets here do.
    #[test]
    fn datagrams_that_the_kernel_drops_are_counted_once_by_port() {
        let bind = || {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket2::SockRef::from(&socket).set_recv_buffer_size(1).unwrap();
            socket
        };
        let (chosen, other, drops) = (bind(), bind(), KernelDrops::default());
        let port = chosen.local_addr().unwrap().port();
        let before = drops.look(&[port]);
        let flood = |socket: &UdpSocket| {
            let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
            let to = socket.local_addr().unwrap();
            (0..100).for_each(|_| assert!(sender.send_to(&[0; 1_000], to).is_ok()));
        };
        flood(&chosen);
        let first = drops.look(&[port]);
        assert!(before[0] + 50 < first[0] && first[0] < before[0] + 100, "{before:?} {first:?}");
        assert_eq!(drops.look(&[port])[0], first[0], "a second look counts nothing twice");
        flood(&other);
        let second = drops.look(&[port]);
        assert!(first[0] == second[0] && first[1] + 50 < second[1], "{first:?} {second:?}");
        drop((chosen, other));
        assert!(second[1] <= drops.look(&[port])[1], "a counter never falls");
    }

    #[test]
    fn a_count_of_32_bits_may_begin_again() {
        let mut drops = SocketDrops::default();
        let mut note = |drops_now| {
            let line = UdpLine { port: 1, inode: 7, drops: drops_now };
            drops.note(&[1], [line].into_iter())
        };
        assert_eq!(note(u64::from(u32::MAX)), [u64::from(u32::MAX), 0]);
        assert_eq!(note(2), [u64::from(u32::MAX) + 3, 0]);
        assert_eq!(UdpLine::of("   sl  local_address rem_address   st tx_queue drops"), None);
        let line = "  123: 0100007F:13C4 00000000:0000 07 00000000:00000300 00:00000000 00000000  \
                    1000        0 4711 2 0000000000000000 99";
        assert_eq!(UdpLine::of(line), Some(UdpLine { port: 5_060, inode: 4_711, drops: 99 }));
    }

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
