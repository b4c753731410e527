//! Signals that end an interactive program.

use std::{future::poll_fn, io, task::Poll};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGINT (Ctrl-C), SIGTERM and SIGHUP; once listened to, none of them ends the process by itself.
pub(crate) struct EndSignals(Vec<Signal>);

impl EndSignals {
    pub(crate) fn listen() -> io::Result<Self> {
        let kinds = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()];
        Ok(Self(kinds.map(signal).into_iter().collect::<io::Result<_>>()?))
    }

    /// Waits for the next signal.
    pub(crate) async fn next(&mut self) {
        poll_fn(|context| {
            let is_ended = self.0.iter_mut().any(|it| it.poll_recv(context).is_ready());
            if is_ended { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}
