//! Kept sockets: what the holder has given this process, and what it keeps for the next one.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
};

use parking_lot::Mutex;

use crate::holder::{HeldSockets, SocketHolder, names};

/// The sockets that a process shares with the one before it and the one after it.
pub(super) struct KeptSockets {
    pub(super) held: HeldSockets,
    /// None: nobody keeps sockets.
    pub(super) holder: Option<Arc<SocketHolder>>,
    /// Copies of our listeners, for the holder, until this process serves.
    listeners: Mutex<Vec<(&'static str, OwnedFd)>>,
}

impl KeptSockets {
    pub(super) fn new(held: HeldSockets) -> Self {
        let holder = SocketHolder::from_env().map(Arc::new);
        Self { held, holder, listeners: Mutex::default() }
    }

    /// Sees to it that the holder gets a listener once this process serves.
    pub(super) fn add(&self, name: &'static str, listener: BorrowedFd<'_>) -> io::Result<()> {
        if self.holder.is_some() {
            self.listeners.lock().push((name, listener.try_clone_to_owned()?));
        }
        Ok(())
    }

    /// Tells the holder that this process serves, and gives it our listeners. Sockets of earlier processes
    /// that this one has no use for are closed. If it had not come so far, the one before it could have
    /// gone on.
    pub(super) fn serve(&self) {
        self.held.close();
        let Some(holder) = &self.holder else { return };
        let listeners = std::mem::take(&mut *self.listeners.lock());
        let given = names::ALL.into_iter().try_for_each(|name| {
            holder.remove(name)?;
            let of_name = listeners.iter().filter(|it| it.0 == name);
            let sockets: Vec<_> = of_name.map(|it| it.1.as_fd()).collect();
            if sockets.is_empty() { Ok(()) } else { holder.store(name, &sockets) }
        });
        if let Err(error) = given.and_then(|()| holder.tell("READY=1")) {
            tracing::warn!("nothing holds the sockets of this process: {error}");
        }
    }
}
