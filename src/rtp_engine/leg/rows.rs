//! Rows of a leg: when they are written, and the leg that one becomes.

use std::{
    net::SocketAddr,
    os::fd::BorrowedFd,
    sync::Arc,
    time::{Duration, Instant},
};

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
        loader::LoadedProgram,
        socket::RtpSocket,
    },
};

/// By how much a program may be late before its row is written again.
const DELAY_MAX: Duration = Duration::from_millis(100);

impl<W: RtpSocket> RtpLeg<W> {
    /// Keeps a row of the leg from now on. Its RTP socket is bound to this address.
    pub(in crate::rtp_engine) fn keep_at(&mut self, address: SocketAddr) {
        self.kept =
            Some(KeptLeg { address, due_at: 0, written: None, playing: None, heard_before: None });
    }

    /// Whether there may be a row of the leg.
    pub(in crate::rtp_engine) fn is_kept(&self) -> bool {
        self.kept.is_some()
    }

    /// Writes the row if it is due. `next_at` is the scheduled time of the next tick. A leg whose far
    /// end has not answered has none.
    pub(in crate::rtp_engine) fn keep(&mut self, tick: u64, next_at: Instant, sink: &LegRowSink) {
        self.keep_playing(next_at, sink);
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

    /// Writes which program plays, and since when: at its first sample, and when another sound has
    /// delayed it.
    fn keep_playing(&mut self, next_at: Instant, sink: &LegRowSink) {
        let is_early = self.session.as_ref().is_none_or(|it| it.is_early);
        let Some(kept) = self.kept.as_mut().filter(|_| !is_early) else { return };
        let since = |heard| next_at.checked_sub(heard).unwrap_or(next_at);
        let playing = self.playout.heard().map(|(number, heard)| (number, since(heard)));
        match (kept.playing, playing) {
            (None, None) => return,
            (Some((number, at)), Some((now, since)))
                if number == now && since.saturating_duration_since(at) <= DELAY_MAX =>
            {
                return;
            }
            (_, Some((number, since))) => sink.playing(self.call, number, since),
            (Some(_), None) => sink.over(self.call),
        }
        kept.playing = playing;
    }

    /// Plays a program, or goes on with that of an earlier process, where it had the number `before`.
    pub(in crate::rtp_engine) fn play(
        &mut self,
        number: u32,
        before: Option<u32>,
        loaded: LoadedProgram,
    ) {
        let program = Arc::clone(&loaded.program);
        match self.heard_before(before) {
            Some(heard) => self.playout.play_on(number, program, heard),
            None => self.playout.play(number, program),
        }
        self.programs.play(loaded);
    }

    fn heard_before(&mut self, number: Option<u32>) -> Option<Duration> {
        let (of, heard) = self.kept.as_mut()?.heard_before.take()?;
        (number == Some(of)).then_some(heard)
    }

    /// Notes what an earlier process was playing.
    pub(in crate::rtp_engine) fn was_playing(&mut self, number: u32, heard: Duration) {
        self.kept.iter_mut().for_each(|it| it.heard_before = Some((number, heard)));
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
