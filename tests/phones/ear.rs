//! Sound analysis: tones and loudness.

use std::{f64::consts::TAU, sync::Arc};

use conflow::{
    audio::{clip::Clip, tone::amplitude, wav},
    rtp::g711::RATE,
};

/// The amplitude of the tones that test phones send: −12 dB.
pub(crate) const TONE: f64 = 0.25;

/// Long enough to distinguish tones 100 Hz apart.
const WINDOW: usize = RATE as usize / 10;

/// A tone. `frequency` is a multiple of 50 Hz, so that a packet has whole periods.
pub(crate) fn tone(frequency: f64, seconds: usize) -> Arc<[i16]> {
    let sample = |n: usize| {
        let phase = TAU * frequency * n as f64 / f64::from(RATE);
        (phase.sin() * TONE * 32_768.0) as i16
    };
    (0..seconds * RATE as usize).map(sample).collect()
}

/// A WAV file of these samples.
pub(crate) fn wav(samples: Arc<[i16]>) -> Vec<u8> {
    wav::write(&Clip { rate: RATE, samples })
}

/// Returns true if the tone is in nearly all of the sound, false if in nearly none of it. A packet
/// lost by the phone is a click with all frequencies, so a few windows may differ.
#[track_caller]
pub(crate) fn hears(who: &str, samples: &[i16], frequency: f64) -> bool {
    let mut found: Vec<f64> =
        samples.chunks_exact(WINDOW).map(|it| amplitude(it, RATE, frequency)).collect();
    assert!(5 <= found.len(), "{who}: half a second is the least");
    found.sort_by(f64::total_cmp);
    let at = |share: f64| found[((found.len() - 1) as f64 * share) as usize];
    match (at(0.2), at(0.8)) {
        (low, _) if TONE * 0.5 < low => true,
        (_, high) if high < TONE * 0.06 => false,
        _ => panic!("{who}: {frequency} Hz comes and goes: {found:.3?}"),
    }
}

/// Whether a tone is heard for a second without a break.
pub(crate) fn has_tone(samples: &[i16], frequency: f64) -> bool {
    let loud = |it: &[i16]| TONE * 0.5 < amplitude(it, RATE, frequency);
    let mut row = 0;
    samples.chunks_exact(WINDOW).any(|it| {
        row = if loud(it) { row + 1 } else { 0 };
        row == 10
    })
}

/// Which of these tones are heard, in their order. A tenth of a second belongs to the loudest.
pub(crate) fn tones(samples: &[i16], frequencies: &[f64]) -> Vec<f64> {
    let loudest = |it: &[i16]| {
        let of = |frequency: f64| (amplitude(it, RATE, frequency), frequency);
        let loudest = frequencies.iter().map(|it| of(*it)).max_by(|a, b| a.0.total_cmp(&b.0));
        loudest.filter(|it| TONE * 0.5 < it.0).map(|it| it.1)
    };
    let mut found: Vec<f64> = samples.chunks_exact(WINDOW).filter_map(loudest).collect();
    found.dedup();
    found
}

/// The root mean square; full scale is 1.
pub(crate) fn loudness(samples: &[i16]) -> f64 {
    let sum: f64 = samples.iter().map(|it| (f64::from(*it) / 32_768.0).powi(2)).sum();
    (sum / samples.len().max(1) as f64).sqrt()
}
