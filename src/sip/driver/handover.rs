//! Handover of the SIP driver: its sockets go to a holder, and its calls to a later process.

use std::os::fd::BorrowedFd;

use tokio::task::JoinSet;

use super::{DriverCommand, SipBackend, SipDriver};
use crate::media::Exchange;

impl SipBackend {
    /// Ends the driver as it is: registrations stay, and nobody is told. What has been received is handled
    /// before; later messages wait in the sockets.
    pub fn hand_over(&self) {
        self.send_to_driver(DriverCommand::HandOver);
    }
}

impl SipDriver {
    /// The sockets that a holder keeps for a later process, by their names.
    pub fn descriptors(&self) -> Vec<(&'static str, BorrowedFd<'_>)> {
        let listeners = self.listeners.iter().flat_map(|it| it.descriptors());
        listeners.chain(self.secure.as_ref().map(|it| it.descriptor())).collect()
    }

    /// Takes it for granted that the far ends of restored calls are there: the earlier process has handed
    /// them over a moment ago.
    pub fn trust_far_ends(&mut self) {
        self.is_handed_over = true;
    }

    /// Handles what has been received, and nothing that comes later.
    pub(super) async fn hand_over(mut self, mut readers: JoinSet<()>, exchange: &dyn Exchange) {
        readers.shutdown().await;
        while let Ok(incoming) = self.inbox.try_recv() {
            self.take(incoming, exchange);
        }
        while let Ok(order) = self.orders.try_recv() {
            if let DriverCommand::Command(command) = order {
                self.handle(*command, exchange);
            }
        }
        // What is queued for connections is still written.
        self.sockets.streams.lock().clear();
    }
}
