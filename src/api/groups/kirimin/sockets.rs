//! Who has a socket, and what is on its way to it. A socket that takes nothing loses its place;
//! nobody waits for it.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use super::signals::Signal;
use crate::group::PersonId;

/// The sockets of everybody: one for each person, as the vendor has it.
pub(in crate::api::groups) struct Sockets {
    rows: Mutex<Rows>,
    closing: watch::Sender<bool>,
}

#[derive(Default)]
struct Rows {
    seats: BTreeMap<PersonId, Seat>,
    /// By the digest of the socket's id: how long a search takes tells nothing of ids.
    ids: BTreeMap<Digest, PersonId>,
    last: u64,
}

type Digest = [u8; 32];

/// Somebody's right to have a socket, and the socket, if he has it.
struct Seat {
    id: Digest,
    line: Option<(u64, mpsc::Sender<String>)>,
}

/// One end of a socket's line: what it is to send.
pub(super) struct Line {
    pub(super) person: PersonId,
    pub(super) number: u64,
    pub(super) signals: mpsc::Receiver<String>,
    pub(super) closing: watch::Receiver<bool>,
}

/// Why there is no line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum NoLine {
    /// No socket has this id.
    Unknown,
    /// There are too many.
    Full,
}

/// People with a socket, or the right to one. Some megabytes.
const SEATS_MAX: usize = 10_000;
/// Sockets that are open: half as many as there are connections at a time.
const SOCKETS_MAX: usize = 2_048;
/// Signals that wait for a socket to take them, some 200 bytes each. A group has a few at a time;
/// who has so many behind him does not read.
const SIGNALS_MAX: usize = 64;

impl Sockets {
    /// Gives somebody the right to a socket. An older one is told so, and ends.
    pub(super) fn mint(&self, person: PersonId) -> Result<String, NoLine> {
        let id = uuid::Uuid::new_v4().simple().to_string();
        let digest = digest(&id);
        let mut rows = self.rows.lock();
        if SEATS_MAX <= rows.seats.len() && !rows.seats.contains_key(&person) {
            rows.sweep();
            if SEATS_MAX <= rows.seats.len() {
                return Err(NoLine::Full);
            }
        }
        let before = rows.seats.insert(person, Seat { id: digest, line: None });
        if let Some(Seat { id, line }) = before {
            rows.ids.remove(&id);
            // Who does not take it finds out when the socket ends, at once.
            line.map(|(_, line)| {
                line.try_send(format!(r#"{{"type":"newLoggedIn","uid":"{person}"}}"#))
            });
        }
        rows.ids.insert(digest, person);
        Ok(id)
    }

    /// Whose socket has this id.
    pub(super) fn owner(&self, id: &str) -> Option<PersonId> {
        self.rows.lock().ids.get(&digest(id)).copied()
    }

    /// The line of the socket with this id; one that has it already ends.
    pub(super) fn open(&self, id: &str) -> Result<Line, NoLine> {
        let mut rows = self.rows.lock();
        let person = *rows.ids.get(&digest(id)).ok_or(NoLine::Unknown)?;
        let open = rows.seats.values().filter(|it| it.line.is_some()).count();
        let seat = rows.seats.get(&person).ok_or(NoLine::Unknown)?;
        if SOCKETS_MAX <= open && seat.line.is_none() {
            return Err(NoLine::Full);
        }
        rows.last += 1;
        let number = rows.last;
        let (sender, signals) = mpsc::channel(SIGNALS_MAX);
        let seat = rows.seats.get_mut(&person).ok_or(NoLine::Unknown)?;
        seat.line = Some((number, sender));
        Ok(Line { person, number, signals, closing: self.closing.subscribe() })
    }

    /// A socket has ended.
    pub(super) fn end(&self, person: PersonId, number: u64) {
        let mut rows = self.rows.lock();
        let Some(seat) = rows.seats.get_mut(&person) else { return };
        if seat.line.as_ref().is_some_and(|(it, _)| *it == number) {
            seat.line = None;
        }
    }

    /// Sends, in order, without waiting for anybody. Who has no socket hears nothing.
    pub(in crate::api::groups) fn send_all(&self, signals: Vec<Signal>) {
        let mut rows = self.rows.lock();
        for Signal { to, text } in signals {
            let Some(seat) = rows.seats.get_mut(&to) else { continue };
            let Some((_, line)) = &seat.line else { continue };
            if line.try_send(text).is_err() {
                seat.line = None;
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
        Self { rows: Mutex::default(), closing: watch::Sender::new(false) }
    }
}

impl Rows {
    /// Forgets those without a socket.
    fn sweep(&mut self) {
        self.seats.retain(|_, seat| seat.line.is_some());
        let kept: Vec<_> = self.seats.values().map(|it| it.id).collect();
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
    fn a_socket_that_takes_nothing_loses_its_place_and_holds_up_nobody() {
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
        let mut line = sockets.open(&first).unwrap();
        let second = sockets.mint(PersonId(7)).unwrap();
        assert_eq!(line.signals.try_recv().unwrap(), r#"{"type":"newLoggedIn","uid":"7"}"#);
        assert_eq!(line.signals.try_recv(), Err(mpsc::error::TryRecvError::Disconnected));
        assert_eq!(sockets.open(&first).err(), Some(NoLine::Unknown));
        let mut now = sockets.open(&second).unwrap();
        // The end of the older one changes nothing.
        sockets.end(PersonId(7), line.number);
        sockets.send_all(vec![signal(7, "hello")]);
        assert_eq!(now.signals.try_recv().unwrap(), "hello");
    }

    #[test]
    fn there_are_no_more_seats_and_sockets_than_there_may_be() {
        let sockets = Sockets::default();
        let mut lines = Vec::new();
        for n in 0..u64::try_from(SEATS_MAX).unwrap() {
            let id = sockets.mint(PersonId(n)).unwrap();
            match lines.len() < SOCKETS_MAX {
                true => lines.push(sockets.open(&id).unwrap()),
                false if n < 3_000 => assert_eq!(sockets.open(&id).err(), Some(NoLine::Full)),
                false => (),
            }
        }
        // Those without a socket make way.
        sockets.mint(PersonId(99_999)).unwrap();
        assert_eq!(sockets.rows.lock().seats.len(), SOCKETS_MAX + 1);
        assert_eq!(sockets.rows.lock().ids.len(), SOCKETS_MAX + 1);
    }
}
