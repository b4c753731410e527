//! Handover: all mixer threads stop after a packet, write the exact row of each leg, and give its sockets
//! to the holder. A later process goes on with the next packet.

use std::{
    io,
    sync::{Barrier, mpsc},
    time::{Duration, Instant},
};

use super::{
    RtpEngine,
    engine_state::{GiveSockets, HandoverGate, StoppedLegs, StoppedThread},
    leg_row::LegRowSink,
    mixer_thread::MixerThread,
    socket::RtpSocket,
};
use crate::media::TICK;

/// Time for the threads to stop: they tick every 20 ms, unless the machine is far too slow.
const STOP_WAIT_MAX: Duration = Duration::from_secs(2);

impl RtpEngine {
    /// Stops all sound of this process for good. From then on each answered call has an exact row, and
    /// `give` has had the sockets of all legs. Blocks for a tick or two. Must be called once.
    ///
    /// # Errors
    ///
    /// A thread does not stop, the rows cannot be written, or the holder does not take the sockets: the
    /// rows are as good as after a crash then.
    pub fn hand_over(&self, give: GiveSockets) -> io::Result<StoppedLegs> {
        let (stopped, threads) = mpsc::channel();
        let barrier = Barrier::new(self.tickers);
        let is_first =
            self.core.state.handover.set(HandoverGate { barrier, give, stopped }).is_ok();
        debug_assert!(is_first, "an engine is handed over once");
        let (mut all, mut given) = (StoppedLegs { count: 0, next_at: now() }, Ok(()));
        for _ in 0..self.tickers {
            let thread = threads.recv_timeout(STOP_WAIT_MAX);
            let thread = thread.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?;
            all.count += thread.legs;
            all.next_at = all.next_at.min(thread.next_at);
            given = given.and(thread.given);
        }
        let is_written = self.rows.get().is_some_and(LegRowSink::sync);
        given?;
        is_written.then_some(all).ok_or_else(|| io::ErrorKind::TimedOut.into())
    }
}

impl<W: RtpSocket> MixerThread<W> {
    /// Hands all legs over after the last tick. They stay as they are: nobody is told that they end.
    pub(super) fn hand_over_to(&mut self, gate: &HandoverGate) {
        gate.barrier.wait();
        // The last tick of another thread may have moved a leg here.
        self.take_messages();
        let tick = self.context.tick;
        // Lengths of ticks are counted in u32, which is two years of them.
        let next_at = self.started_at + TICK * u32::try_from(tick + 1).unwrap_or(u32::MAX);
        if let Some(sink) = self.links.rows.get() {
            let legs = self.legs.iter_mut().flatten();
            legs.for_each(|leg| leg.keep_last(tick, next_at, sink));
        }
        let legs = || self.legs.iter().flatten();
        let sockets: Vec<_> = legs().flat_map(|leg| leg.descriptors()).collect();
        let given = (gate.give)(&sockets);
        _ = gate.stopped.send(StoppedThread { legs: legs().count(), next_at, given });
    }
}

#[expect(clippy::disallowed_methods, reason = "the threads have clocks of their own")]
fn now() -> Instant {
    Instant::now()
}
