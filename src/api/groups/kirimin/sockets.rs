//! Socket table: the sockets of people and their queues of signals. A socket whose queue is full
//! is closed; no sender waits for it.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use super::signals::Signal;
use crate::{accounts::validity::CredentialValidity, group::PersonId};

/// Table of sockets, at most one for each person, as on the vendor's server.
pub(in crate::api::groups) struct Sockets {
    table: Mutex<SocketTable>,
    closing: watch::Sender<bool>,
}

#[derive(Default)]
struct SocketTable {
    slots: BTreeMap<PersonId, SocketSlot>,
    /// By the digest of the socket's id, so that the time of a search tells nothing about ids.
    ids: BTreeMap<Digest, PersonId>,
    last: u64,
}

type Digest = [u8; 32];

/// A person's permission to open a socket, and the socket's number and queue once it is open.
struct SocketSlot {
    id: Digest,
    /// Of the session that the id was made for.
    validity: CredentialValidity,
    queue: Option<(u64, mpsc::Sender<String>)>,
}

/// The receiving end of a socket's queue.
pub(super) struct SignalQueue {
    pub(super) person: PersonId,
    pub(super) number: u64,
    pub(super) validity: CredentialValidity,
    pub(super) signals: mpsc::Receiver<String>,
    pub(super) closing: watch::Receiver<bool>,
}

/// Reason why a socket cannot be opened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum SocketRefused {
    /// No socket has this id.
    Unknown,
    /// The table or the number of open sockets is full.
    Full,
}

/// People who have a socket or may open one. The table takes some megabytes.
const SLOTS_MAX: usize = 10_000;
/// Open sockets: half of the connection limit.
const SOCKETS_MAX: usize = 2_048;
/// Signals queued for one socket, some 200 bytes each. A group sends a few at a time: a client with
/// this many does not read.
const SIGNALS_MAX: usize = 64;

impl Sockets {
    /// Returns a new socket id for a person, which is good as long as their session. Their older
    /// socket gets `newLoggedIn` and is closed.
    pub(super) fn mint(
        &self,
        person: PersonId,
        validity: CredentialValidity,
    ) -> Result<String, SocketRefused> {
        let id = uuid::Uuid::new_v4().simple().to_string();
        let digest = digest(&id);
        let mut table = self.table.lock();
        if SLOTS_MAX <= table.slots.len() && !table.slots.contains_key(&person) {
            table.sweep();
            if SLOTS_MAX <= table.slots.len() {
                return Err(SocketRefused::Full);
            }
        }
        let slot = SocketSlot { id: digest, validity, queue: None };
        if let Some(SocketSlot { id, queue, .. }) = table.slots.insert(person, slot) {
            table.ids.remove(&id);
            // If the queue is full, the end of the socket, which follows at once, tells them.
            queue.map(|(_, queue)| {
                queue.try_send(format!(r#"{{"type":"newLoggedIn","uid":"{person}"}}"#))
            });
        }
        table.ids.insert(digest, person);
        Ok(id)
    }

    /// The person whose socket has this id; None if their session is over.
    pub(super) fn owner(&self, id: &str) -> Option<PersonId> {
        let table = self.table.lock();
        let person = table.ids.get(&digest(id))?;
        table.slots.get(person).filter(|it| !it.validity.is_over()).map(|_| *person)
    }

    /// Opens the socket with this id. A socket that is already open with it is closed.
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
        let (validity, closing) = (slot.validity.clone(), self.closing.subscribe());
        Ok(SignalQueue { person, number, validity, signals, closing })
    }

    /// Frees the person's slot, unless a newer socket has taken it.
    pub(super) fn end(&self, person: PersonId, number: u64) {
        let mut table = self.table.lock();
        let Some(slot) = table.slots.get_mut(&person) else { return };
        if slot.queue.as_ref().is_some_and(|(it, _)| *it == number) {
            slot.queue = None;
        }
    }

    /// Queues the signals in order and never waits. People without a socket get nothing.
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

    /// Closes all sockets, also those that open later.
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
    /// Drops the slots without an open socket.
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
    fn a_socket_that_reads_nothing_is_closed_and_delays_nobody() {
        let sockets = Sockets::default();
        let [slow, quick] =
            [1, 2].map(|it| sockets.mint(PersonId(it), CredentialValidity::default()).unwrap());
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
        let first = sockets.mint(PersonId(7), CredentialValidity::default()).unwrap();
        let mut queue = sockets.open(&first).unwrap();
        let second = sockets.mint(PersonId(7), CredentialValidity::default()).unwrap();
        assert_eq!(queue.signals.try_recv().unwrap(), r#"{"type":"newLoggedIn","uid":"7"}"#);
        assert_eq!(queue.signals.try_recv(), Err(mpsc::error::TryRecvError::Disconnected));
        assert_eq!(sockets.open(&first).err(), Some(SocketRefused::Unknown));
        let mut now = sockets.open(&second).unwrap();
        // The end of the older socket changes nothing.
        sockets.end(PersonId(7), queue.number);
        sockets.send_all(vec![signal(7, "hello")]);
        assert_eq!(now.signals.try_recv().unwrap(), "hello");
    }

    #[test]
    fn slots_and_sockets_are_limited() {
        let sockets = Sockets::default();
        let mut queues = Vec::new();
        for n in 0..u64::try_from(SLOTS_MAX).unwrap() {
            let id = sockets.mint(PersonId(n), CredentialValidity::default()).unwrap();
            match queues.len() < SOCKETS_MAX {
                true => queues.push(sockets.open(&id).unwrap()),
                false if n < 3_000 => {
                    assert_eq!(sockets.open(&id).err(), Some(SocketRefused::Full));
                }
                false => (),
            }
        }
        // Slots without a socket are dropped.
        sockets.mint(PersonId(99_999), CredentialValidity::default()).unwrap();
        assert_eq!(sockets.table.lock().slots.len(), SOCKETS_MAX + 1);
        assert_eq!(sockets.table.lock().ids.len(), SOCKETS_MAX + 1);
    }
}
