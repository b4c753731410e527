//! Engine end: the signal that it waits for, and what follows: a shutdown, or a handover to the next process.

use std::{mem, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use tokio::{
    select,
    signal::unix::Signal,
    sync::oneshot,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use super::{
    Engine, drain,
    signals::StopSignals,
    upgrade::{HandoverParts, Upgrade},
};
use crate::{engine::handover::kept_calls, holder::SocketHolder, store::rows::RowStore};

/// The end of an engine.
pub(super) enum EngineEnd {
    /// All calls have ended.
    Drained,
    /// A second signal has ended the wait for them.
    Cut,
    /// Another process is to go on with them.
    HandedOver(Arc<SocketHolder>),
}

/// A task at the edge of an engine, and what ends it when it is dropped.
pub(super) type EngineEdge = (oneshot::Sender<()>, JoinHandle<()>);

/// Maximum wait for responses in progress after the last call: the process must end in time.
const ANSWERS_WAIT_MAX: Duration = Duration::from_secs(2);
/// Maximum wait at the end for a store that cannot write: the process must end in time.
const FLUSH_MAX: Duration = Duration::from_secs(3);
/// How long calls that ring may delay a handover, and the time between two looks at them.
const RINGING_WAIT_MAX: Duration = Duration::from_secs(3);
const RINGING_POLL: Duration = Duration::from_millis(10);
/// How long callbacks on their way may delay a handover.
const CALLBACKS_WAIT_MAX: Duration = Duration::from_secs(1);

impl Engine {
    /// Waits for a signal to end, and lets all callers leave, or for one to hand over.
    pub(super) async fn wait(
        &self,
        patience: Duration,
        (stop, hand_over): (&mut StopSignals, &mut Signal),
        upgrade: &mut Upgrade,
    ) -> EngineEnd {
        let name = loop {
            select! {
                biased;
                name = stop.next() => break name,
                _ = hand_over.recv() => select! {
                    biased;
                    name = stop.next() => break name,
                    holder = upgrade.prepare() => if let Some(holder) = holder {
                        return EngineEnd::HandedOver(holder);
                    },
                },
            }
        };
        tracing::info!("{name}: no new calls from now on");
        if let Some(phones) = &self.phones {
            phones.drain();
        }
        select! {
            () = drain::drain(&self.registry, &self.inbound, patience) => EngineEnd::Drained,
            name = stop.next() => {
                tracing::warn!("{name} again: conflow ends at once");
                EngineEnd::Cut
            }
        }
    }

    /// Hands over to the next process. Requests in progress are answered first, and callbacks that take
    /// longer are sent again by it.
    async fn leave(
        mut self,
        ((stop, serving), (closed, dispatching)): (EngineEdge, EngineEdge),
        rows: &dyn RowStore,
        holder: Arc<SocketHolder>,
    ) -> Result<()> {
        self.wait_for_answers().await;
        drop(stop);
        drop(timeout(ANSWERS_WAIT_MAX, serving).await);
        drop(closed);
        drop(timeout(CALLBACKS_WAIT_MAX, dispatching).await);
        let Self { journal, ids, state_log, phones, .. } = &mut self;
        let phones = phones.as_mut();
        let parts = HandoverParts { journal, ids, state_log, rows, phones };
        let left = parts.hand_over(holder).await;
        // The end of a part would be told, or take time.
        mem::forget(self);
        left
    }

    /// Waits for a moment in which no call rings: one that is not answered ends with this process.
    async fn wait_for_answers(&self) {
        let end = Instant::now() + RINGING_WAIT_MAX;
        let waiting = || self.registry.call_count().saturating_sub(kept_calls(&self.state_log));
        while 0 < waiting() && Instant::now() < end {
            sleep(RINGING_POLL).await;
        }
        if 0 < waiting() {
            let calls = waiting();
            tracing::warn!(calls, "calls that ring, or cannot be handed over, will end");
        }
    }

    /// Ends what is left of an engine.
    pub(super) async fn end(
        self,
        end: EngineEnd,
        edges: (EngineEdge, EngineEdge),
        rows: &dyn RowStore,
    ) -> Result<()> {
        match end {
            EngineEnd::HandedOver(holder) => return self.leave(edges, rows, holder).await,
            EngineEnd::Drained => {
                let ((stop, serving), (closed, dispatching)) = edges;
                drop(stop);
                drop(timeout(ANSWERS_WAIT_MAX, serving).await);
                // All last callbacks are queued by now.
                drop(closed);
                drop(dispatching.await);
            }
            EngineEnd::Cut => drop(edges),
        }
        if let Some(phones) = self.phones {
            phones.close().await;
        }
        self.journal.close_traces();
        let ids = self.ids.close();
        // First: what is in the database is kept in the state log no longer.
        let lost = rows.flush(FLUSH_MAX);
        self.state_log.close().context("the last events may be lost if the power fails now")?;
        ids.context("the member ids will have a gap after the next start")?;
        tracing::info!("conflow has ended");
        match (self.registry.call_count(), lost) {
            (0, 0) => Ok(()),
            (0, rows) => bail!("{rows} rows of calls are lost, because the store cannot write"),
            (calls, _) => bail!("{calls} calls were cut off"),
        }
    }
}
