//! Restored legs: the rows of the engine, and the legs that a later process makes of them.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use uuid::Uuid;

use super::{
    RtpEngine,
    gauges::GaugeGuard,
    leg::RtpLeg,
    leg_row::{LegRow, LegRowSink, RestorePoint},
    row_writer,
    socket::UdpSocketPair,
};
use crate::{
    base::{boot_clock::BootClock, ids::CallId},
    holder::HeldSockets,
    media::{BackendRow, BackendRowKind, BackendRows},
};

impl RtpEngine {
    /// Keeps a row of each answered call from now on. Must be called once, before the first call.
    ///
    /// # Errors
    ///
    /// The system cannot start the thread that writes them.
    pub fn keep_rows(&mut self, rows: Arc<dyn BackendRows>, clock: BootClock) -> io::Result<()> {
        let (sender, messages) = mpsc::channel();
        let is_first = self.rows.set(LegRowSink { clock, sender }).is_ok();
        debug_assert!(is_first, "rows are connected once");
        self.spawn("sound-rows".to_owned(), move || {
            row_writer::write_rows(&messages, &*rows, clock, now);
        })
    }

    /// Opens the legs of the rows of an earlier process, and goes on sending: silence, until the calls
    /// are told what they hear. Returns the address of each leg, which is another one if its ports are
    /// taken. A leg that cannot be opened is logged, and its row goes. `before` is called before each.
    pub fn restore(
        &self,
        rows: &[BackendRow],
        clock: BootClock,
        before: &dyn Fn(CallId),
    ) -> BTreeMap<CallId, SocketAddr> {
        self.restore_held(rows, clock, false, &HeldSockets::default(), before)
    }

    /// As [`Self::restore`], with sockets that a holder has kept. `is_exact`: the earlier process has
    /// handed its calls over ([`RtpEngine::hand_over`]), so each stream goes on with its next number.
    pub fn restore_held(
        &self,
        rows: &[BackendRow],
        clock: BootClock,
        is_exact: bool,
        held: &HeldSockets,
        before: &dyn Fn(CallId),
    ) -> BTreeMap<CallId, SocketAddr> {
        let point = RestorePoint { now: now(), clock, is_exact };
        let mut restored = BTreeMap::new();
        let programs = row_writer::programs(rows);
        for row in rows.iter().filter(|it| it.kind == BackendRowKind::Leg) {
            let call = CallId(Uuid::from_u128(row.id));
            let Some(body) = &row.body else { continue };
            before(call);
            let program = programs.get(&call).copied();
            match self.restore_leg((call, body), program, point, held) {
                Ok(address) => _ = restored.insert(call, address),
                Err(error) => {
                    tracing::warn!(%call, "its sound cannot be restored: {error}");
                    self.rows.get().into_iter().for_each(|it| it.gone(call));
                }
            }
        }
        restored
    }

    fn restore_leg(
        &self,
        (call, body): (CallId, &[u8]),
        program: Option<(u32, Duration)>,
        point: RestorePoint,
        held: &HeldSockets,
    ) -> Result<SocketAddr, String> {
        let row = LegRow::read(body)?;
        let core = &*self.core;
        let bound = UdpSocketPair::take_at(row.address, held, &core.gauges);
        let (socket, address) = bound.or_else(|error| {
            tracing::warn!(%call, address = %row.address, %error, "its RTP ports are taken");
            let (ports, random) = (&core.settings.rtp_ports, Uuid::new_v4().as_u128());
            UdpSocketPair::bind(row.address.ip(), ports, random, &core.gauges)
                .map_err(|error| error.to_string())
        })?;
        let gauge_guard = GaugeGuard::new(&core.gauges, 1, |it| &it.legs);
        let mut leg = RtpLeg::restored((call, row), (socket, address), point, gauge_guard);
        program.into_iter().for_each(|(number, heard)| leg.was_playing(number, heard));
        core.demultiplexer.open(Box::new(leg));
        Ok(address)
    }
}

#[expect(clippy::disallowed_methods, reason = "legs have no other clock before their first tick")]
fn now() -> Instant {
    Instant::now()
}
