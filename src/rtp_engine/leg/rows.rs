//! Rows of a leg: when they are written, and the leg that one becomes.

use std::{net::SocketAddr, os::fd::BorrowedFd, sync::Arc, time::Instant};

use super::RtpLeg;
use crate::{
    audio::playout::DtmfMode,
    base::ids::CallId,
    rtp::rtcp::RtcpSession,
    rtp_engine::{
        gauges::GaugeGuard,
        leg_row::{
            KeptLeg, LegParts, LegRow, LegRowSink, RestorePoint, RestoredParts, TICKS_PLAIN,
            TICKS_SECURE, WrittenLeg,
        },
        socket::RtpSocket,
    },
};

impl<W: RtpSocket> RtpLeg<W> {
    /// Keeps a row of the leg from now on. Its RTP socket is bound to this address.
    pub(in crate::rtp_engine) fn keep_at(&mut self, address: SocketAddr) {
        self.kept = Some(KeptLeg { address, due_at: 0, written: None });
    }

    /// Whether there may be a row of the leg.
    pub(in crate::rtp_engine) fn is_kept(&self) -> bool {
        self.kept.is_some()
    }

    /// Writes the row if it is due. `next_at` is the scheduled time of the next tick. A leg whose far
    /// end has not answered has none.
    pub(in crate::rtp_engine) fn keep(&mut self, tick: u64, next_at: Instant, sink: &LegRowSink) {
        let Self { kept: Some(kept), session: Some(session), source: Some(source), .. } = self
        else {
            return;
        };
        let (to, is_settled) = (source.destination(), source.is_settled());
        let is_same = |(of, at, settled): &WrittenLeg| {
            Arc::ptr_eq(of, session) && *at == to && *settled == is_settled
        };
        let is_written = kept.written.as_ref().is_some_and(is_same);
        if session.is_early || (is_written && tick < kept.due_at) {
            return;
        }
        let parts = LegParts {
            address: kept.address,
            cname: self.rtcp.cname(),
            stream: &self.stream,
            at: next_at,
            session,
            source,
            srtp: self.socket.srtp(),
        };
        sink.put(self.call, LegRow::of(&parts, sink.clock));
        let ticks = if self.socket.srtp().is_some() { TICKS_SECURE } else { TICKS_PLAIN };
        // Not all legs in the same tick.
        kept.due_at = tick + ticks - u64::from(self.stream.ssrc()) % (ticks / 4);
        kept.written = Some((Arc::clone(session), to, is_settled));
    }

    /// Writes the row as it is after the last packet of this process.
    pub(in crate::rtp_engine) fn keep_last(
        &mut self,
        tick: u64,
        next_at: Instant,
        sink: &LegRowSink,
    ) {
        if let Some(kept) = &mut self.kept {
            kept.written = None;
        }
        self.keep(tick, next_at, sink);
    }

    /// The descriptors of its sockets.
    pub(in crate::rtp_engine) fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        self.socket.descriptors()
    }

    /// The leg of a row. Its first packet is sent in the next tick.
    pub(in crate::rtp_engine) fn restored(
        (call, row): (CallId, LegRow),
        (socket, address): (W, SocketAddr),
        point: RestorePoint,
        gauge_guard: GaugeGuard,
    ) -> Self {
        let RestoredParts { cname, stream, session, source, srtp } = row.restore(point);
        // The random numbers are those of the row.
        let mut leg = Self::new(call, socket, 0, gauge_guard);
        leg.keep_at(address);
        leg.rtcp = RtcpSession::new(&cname);
        leg.stream = stream;
        leg.source = Some(source);
        leg.socket.restore(srtp);
        let keys = session.agreed.events.map_or(DtmfMode::Tones, |_| DtmfMode::Events);
        leg.playout.set_dtmf_mode(keys);
        leg.session = Some(Arc::new(session));
        leg
    }
}
