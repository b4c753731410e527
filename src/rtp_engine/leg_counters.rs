//! Leg counters: the packet counts of a leg, which other threads may read.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::{
    media::legs::LegSummary,
    rtp::{
        g711,
        packet::{ReceptionStats, RtpStream},
    },
};

/// A leg's figures, readable by other threads.
#[derive(Debug, Default)]
pub(super) struct LegCounters {
    sent: AtomicU64,
    received: AtomicU64,
    lost: AtomicU64,
    jitter_us: AtomicU32,
}

impl LegCounters {
    /// Returns the figures as of the last packet sent.
    pub(super) fn summary(&self) -> LegSummary {
        LegSummary {
            sent: self.sent.load(Ordering::Relaxed),
            received: self.received.load(Ordering::Relaxed),
            lost: self.lost.load(Ordering::Relaxed),
            jitter_us: self.jitter_us.load(Ordering::Relaxed),
        }
    }

    pub(super) fn publish(&self, stream: &RtpStream, reception: &ReceptionStats) {
        let quality = reception.quality();
        let jitter_us = u64::from(quality.jitter_max) * 1_000_000 / u64::from(g711::RATE);
        self.sent.store(stream.packets().into(), Ordering::Relaxed);
        self.received.store(quality.received, Ordering::Relaxed);
        self.lost.store(quality.lost, Ordering::Relaxed);
        self.jitter_us.store(jitter_us as u32, Ordering::Relaxed);
    }
}
