//! Who has a socket, and what is on its way to it. A socket that takes nothing loses its place;
//! nobody waits for it.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use super::signals::Signal;
use crate::group::PersonId;

/// The sockets of everybody: one for each person, as the vendor has it.
pub(in crate::api::groups) struct Sockets {
    table: Mutex<SocketTable>,
    closing: watch::Sender<bool>,
}

#[derive(Default)]
struct SocketTable {
    slots: BTreeMap<PersonId, SocketSlot>,
    /// By the digest of the socket's id: how long a search takes tells nothing of ids.
    ids: BTreeMap<Digest, PersonId>,
    last: u64,
}

type Digest = [u8; 32];

/// Somebody's right to have a socket, and the socket, if he has it.
struct SocketSlot {
    id: Digest,
    queue: Option<(u64, mpsc::Sender<String>)>,
}

/// One end of a socket's queue: what it is to send.
pub(super) struct SignalQueue {
    pub(super) person: PersonId,
    pub(super) number: u64,
    pub(super) signals: mpsc::Receiver<String>,
    pub(super) closing: watch::Receiver<bool>,
}

/// Why there is no queue.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum SocketRefused {
    /// No socket has this id.
    Unknown,
    /// There are too many.
    Full,
}

/// People with a socket, or the right to one. Some megabytes.
const SLOTS_MAX: usize = 10_000;
/// Sockets that are open: half as many as there are connections at a time.
const SOCKETS_MAX: usize = 2_048;
/// Signals that wait for a socket to take them, some 200 bytes each. A group has a few at a time;
/// who has so many behind him does not read.
const SIGNALS_MAX: usize = 64;

impl Sockets {
    /// Gives somebody the right to a socket. An older one is told so, and ends.
    pub(super) fn mint(&self, person: PersonId) -> Result<String, SocketRefused> {
        let id = uuid::Uuid::new_v4().simple().to_string();
        let digest = digest(&id);
        let mut table = self.table.lock();
        if SLOTS_MAX <= table.slots.len() && !table.slots.contains_key(&person) {
            table.sweep();
            if SLOTS_MAX <= table.slots.len() {
                return Err(SocketRefused::Full);
            }
        }
        let before = table.slots.insert(person, SocketSlot { id: digest, queue: None });
        if let Some(SocketSlot { id, queue }) = before {
            table.ids.remove(&id);
            // Who does not take it finds out when the socket ends, at once.
            queue.map(|(_, queue)| {
                queue.try_send(format!(r#"{{"type":"newLoggedIn","uid":"{person}"}}"#))
            });
        }
        table.ids.insert(digest, person);
        Ok(id)
    }

    /// Whose socket has this id.
    pub(super) fn owner(&self, id: &str) -> Option<PersonId> {
        self.table.lock().ids.get(&digest(id)).copied()
    }

    /// The queue of the socket with this id; one that has it already ends.
    pub(super) fn open(&self, id: &str) -> Result<SignalQueue, SocketRefused> {
        let mut table = self.table.lock();
        let person = *table.ids.get(&digest(id)).ok_or(SocketRefused::Unknown)?;
        let open = table.slots.values().filter(|it| it.queue.is_some()).count();
        let slot = table.slots.get(&person).ok_or(SocketRefused::Unknown)?;
        if SOCKETS_MAX <= open && slot.queue.is_none() {
            return Err(SocketRefused::Full);
        }
        table.last += 1;
        let number = table.last;
        let (sender, signals) = mpsc::channel(SIGNALS_MAX);
        let slot = table.slots.get_mut(&person).ok_or(SocketRefused::Unknown)?;
        slot.queue = Some((number, sender));
        Ok(SignalQueue { person, number, signals, closing: self.closing.subscribe() })
    }

    /// A socket has ended.
    pub(super) fn end(&self, person: PersonId, number: u64) {
        let mut table = self.table.lock();
        let Some(slot) = table.slots.get_mut(&person) else { return };
        if slot.queue.as_ref().is_some_and(|(it, _)| *it == number) {
            slot.queue = None;
        }
    }

    /// Sends, in order, without waiting for anybody. Who has no socket hears nothing.
    pub(in crate::api::groups) fn send_all(&self, signals: Vec<Signal>) {
        let mut table = self.table.lock();
        for Signal { to, text } in signals {
            let Some(slot) = table.slots.get_mut(&to) else { continue };
            let Some((_, queue)) = &slot.queue else { continue };
            if queue.try_send(text).is_err() {
                slot.queue = None;
            }
        }
    }

    /// Ends all of them.
    pub(in crate::api::groups) fn close(&self) {
        self.closing.send_replace(true);
    }
}

impl Default for Sockets {
    fn default() -> Self {
        Self { table: Mutex::default(), closing: watch::Sender::new(false) }
    }
}

impl SocketTable {
    /// Forgets those without a socket.
    fn sweep(&mut self) {
        self.slots.retain(|_, slot| slot.queue.is_some());
        let kept: Vec<_> = self.slots.values().map(|it| it.id).collect();
        self.ids.retain(|id, _| kept.contains(id));
    }
}

fn digest(id: &str) -> Digest {
    *blake3::hash(id.as_bytes()).as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signal(to: u64, text: &str) -> Signal {
        Signal { to: PersonId(to), text: text.to_owned() }
    }

    #[test]
    fn a_socket_that_reads_nothing_is_closed_and_holds_up_nobody() {
        let sockets = Sockets::default();
        let [slow, quick] = [1, 2].map(|it| sockets.mint(PersonId(it)).unwrap());
        let (mut slow, mut quick) = (sockets.open(&slow).unwrap(), sockets.open(&quick).unwrap());
        for n in 0..=SIGNALS_MAX {
            sockets.send_all(vec![signal(1, "x"), signal(2, &n.to_string())]);
            assert_eq!(quick.signals.try_recv().unwrap(), n.to_string());
        }
        for _ in 0..SIGNALS_MAX {
            slow.signals.try_recv().unwrap();
        }
        assert_eq!(slow.signals.try_recv(), Err(mpsc::error::TryRecvError::Disconnected));
        assert_eq!(quick.signals.try_recv(), Err(mpsc::error::TryRecvError::Empty));
    }

    #[test]
    fn a_new_id_ends_the_older_socket_and_its_id() {
        let sockets = Sockets::default();
        let first = sockets.mint(PersonId(7)).unwrap();
        let mut queue = sockets.open(&first).unwrap();
        let second = sockets.mint(PersonId(7)).unwrap();
        assert_eq!(queue.signals.try_recv().unwrap(), r#"{"type":"newLoggedIn","uid":"7"}"#);
        assert_eq!(queue.signals.try_recv(), Err(mpsc::error::TryRecvError::Disconnected));
        assert_eq!(sockets.open(&first).err(), Some(SocketRefused::Unknown));
        let mut now = sockets.open(&second).unwrap();
        // The end of the older one changes nothing.
        sockets.end(PersonId(7), queue.number);
        sockets.send_all(vec![signal(7, "hello")]);
        assert_eq!(now.signals.try_recv().unwrap(), "hello");
    }

    #[test]
    fn there_are_no_more_slots_and_sockets_than_there_may_be() {
        let sockets = Sockets::default();
        let mut queues = Vec::new();
        for n in 0..u64::try_from(SLOTS_MAX).unwrap() {
            let id = sockets.mint(PersonId(n)).unwrap();
            match queues.len() < SOCKETS_MAX {
                true => queues.push(sockets.open(&id).unwrap()),
                false if n < 3_000 => {
                    assert_eq!(sockets.open(&id).err(), Some(SocketRefused::Full));
                }
                false => (),
            }
        }
        // Those without a socket make way.
        sockets.mint(PersonId(99_999)).unwrap();
        assert_eq!(sockets.table.lock().slots.len(), SOCKETS_MAX + 1);
        assert_eq!(sockets.table.lock().ids.len(), SOCKETS_MAX + 1);
    }
}
