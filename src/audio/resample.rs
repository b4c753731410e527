//! Resampler: converts whole clips to another rate.
//!
//! Each clip is converted once, off the mixer threads, so the plain textbook filter suffices and no
//! crate is needed. A resampler for streams (rubato 5.1) adds 12 packages, and delays to trim off.
//! `samplerate` 0.2 is a binding of a C library.

use std::f64::consts::PI;

/// Reach of the filter to either side, in samples of the slower rate.
const REACH: usize = 32;

/// End of the pass band, relative to half the slower rate; the slope follows.
const CUTOFF: f64 = 0.92;

/// Shape of the Kaiser window: 70 dB down in the stop band (Oppenheim and Schafer, 7.5.3).
const BETA: f64 = 6.76;

/// Highest number of filter phases between two samples. Rates with a common divisor (8,000 and
/// 44,100 need 80) are exact; others are within a 2,048th of a sample: 70 dB down.
const PHASES_MAX: u64 = 1_024;

/// Converts samples to another rate at the same loudness. Frequencies that the slower rate cannot
/// carry are removed, not aliased. Both rates must be above 0.
pub fn resample(samples: &[i16], from: u32, to: u32) -> Vec<i16> {
    if from == to || samples.is_empty() {
        return samples.to_vec();
    }

    let (from, to) = (u64::from(from), u64::from(to));
    let phases = (to / gcd(from, to)).min(PHASES_MAX);
    let filters = filters(from as f64, to as f64, phases as usize);
    let taps = filters.len() / phases as usize;
    let mut padded = vec![0.0; taps];
    padded.extend(samples.iter().map(|sample| f32::from(*sample)));
    padded.resize(padded.len() + taps, 0.0);

    let count = (samples.len() as u64 * to).div_ceil(from);
    let sample = |n| {
        // The position of output sample n, in phases of input samples.
        let at = (n * from * phases + to / 2) / to;
        let (whole, phase) = ((at / phases) as usize, (at % phases) as usize);
        // The middle of the filter is the input sample before that position.
        let near = &padded[whole + taps / 2 + 1..][..taps];
        let filter = &filters[phase * taps..][..taps];
        near.iter().zip(filter).map(|(sample, weight)| sample * weight).sum::<f32>().round() as i16
    };
    (0..count).map(sample).collect()
}

/// Filters for all phases, one after the other: windowed sincs of weight 1.
fn filters(from: f64, to: f64, phases: usize) -> Vec<f32> {
    let scale = (to / from).min(1.0);
    let reach = REACH as f64 / scale;
    let taps = 2 * (reach.ceil() as usize + 1);
    let mut filters = Vec::with_capacity(phases * taps);
    for phase in 0..phases {
        let phase = phase as f64 / phases as f64;
        let weights = (0..taps).map(|tap| {
            let distance = tap as f64 - (taps / 2 - 1) as f64 - phase;
            let x = distance * scale * CUTOFF;
            let sinc = if x == 0.0 { 1.0 } else { (PI * x).sin() / (PI * x) };
            let inside = 1.0 - (distance / reach).powi(2);
            if inside < 0.0 { 0.0 } else { sinc * bessel(BETA * inside.sqrt()) }
        });
        let weights: Vec<f64> = weights.collect();
        let sum: f64 = weights.iter().sum();
        filters.extend(weights.iter().map(|weight| (weight / sum) as f32));
    }
    filters
}

/// The modified Bessel function of the first kind, of order 0, by its series.
fn bessel(x: f64) -> f64 {
    let (mut sum, mut term, mut k) = (1.0, 1.0, 1.0);
    while term > sum * 1e-12 {
        term *= (x / (2.0 * k)).powi(2);
        sum += term;
        k += 1.0;
    }
    sum
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hertz: f64, rate: u32, count: usize) -> Vec<i16> {
        let step = 2.0 * PI * hertz / f64::from(rate);
        (0..count).map(|n| (10_000.0 * (step * n as f64).sin()).round() as i16).collect()
    }

    /// The amplitude of a tone in the middle of a sound, and that of the rest, in dB of 10,000.
    fn split(samples: &[i16], hertz: f64, rate: u32) -> (f64, f64) {
        let middle = &samples[samples.len() / 4..samples.len() * 3 / 4];
        let step = 2.0 * PI * hertz / f64::from(rate);
        let parts = |of: fn(f64) -> f64| {
            let sum: f64 =
                middle.iter().enumerate().map(|(n, s)| f64::from(*s) * of(step * n as f64)).sum();
            2.0 * sum / middle.len() as f64
        };
        let (a, b) = (parts(f64::sin), parts(f64::cos));
        let rest: f64 = middle
            .iter()
            .enumerate()
            .map(|(n, s)| {
                let x = step * n as f64;
                (f64::from(*s) - a * x.sin() - b * x.cos()).powi(2)
            })
            .sum();
        let rest = (2.0 * rest / middle.len() as f64).sqrt();
        (20.0 * (a.hypot(b) / 10_000.0).log10(), 20.0 * (rest.max(1e-3) / 10_000.0).log10())
    }

    const RATES: [(u32, u32); 12] = [
        (44_100, 8_000),
        (44_100, 16_000),
        (48_000, 8_000),
        (48_000, 16_000),
        (22_050, 8_000),
        (22_050, 16_000),
        (16_000, 8_000),
        (8_000, 16_000),
        (11_025, 8_000),
        (13_600, 8_000),
        (13_600, 16_000),
        (44_099, 8_000),
    ];

    #[test]
    fn tones_below_the_slope_keep_their_loudness_and_gain_nothing() {
        for (from, to) in RATES {
            for share in [0.02, 0.1, 0.25, 0.4] {
                let hertz = share * f64::from(from.min(to));
                let sound = resample(&tone(hertz, from, from as usize / 2), from, to);
                let (tone, rest) = split(&sound, hertz, to);
                assert!(tone.abs() < 0.1, "{from} to {to}: {hertz} Hz at {tone} dB");
                assert!(rest < -60.0, "{from} to {to}: {hertz} Hz leaves {rest} dB");
            }
        }
    }

    #[test]
    fn tones_that_the_slower_rate_cannot_carry_are_gone() {
        for (from, to) in RATES.into_iter().filter(|(from, to)| from > to) {
            for share in [0.53, 0.7, 0.95, 1.3] {
                let hertz = share * f64::from(to);
                if hertz > 0.49 * f64::from(from) {
                    continue;
                }
                let sound = resample(&tone(hertz, from, from as usize / 2), from, to);
                let peak = sound.iter().map(|s| s.unsigned_abs()).max().unwrap();
                let middle = &sound[sound.len() / 4..sound.len() * 3 / 4];
                let left = middle.iter().map(|s| s.unsigned_abs()).max().unwrap();
                assert!(left < 10, "{from} to {to}: {hertz} Hz leaves {left} of 10,000 ({peak})");
            }
        }
    }

    #[test]
    fn sounds_stay_where_they_are_and_as_long() {
        for (from, to) in RATES {
            let mut click = vec![0; from as usize];
            click[from as usize / 2] = 30_000;
            let sound = resample(&click, from, to);
            assert_eq!(sound.len(), to as usize, "{from} to {to}");
            let loudest = (0..sound.len()).max_by_key(|n| sound[*n].unsigned_abs()).unwrap();
            assert!(loudest.abs_diff(to as usize / 2) <= 1, "{from} to {to}: {loudest}");
        }
    }

    #[test]
    fn edges_and_extremes_do_no_harm() {
        fn check(samples: &[i16], from: u32, to: u32, length: usize) {
            assert_eq!(resample(samples, from, to).len(), length);
        }
        check(&[], 44_100, 8_000, 0);
        check(&[1], 44_100, 8_000, 1);
        check(&[1; 7], 8_000, 192_000, 168);
        check(&[i16::MAX; 100], 16_000, 8_000, 50);
        check(&[i16::MIN, i16::MAX].repeat(50), 8_000, 16_000, 200);
        assert_eq!(resample(&[1, 2, 3], 8_000, 8_000), [1, 2, 3]);
        let steady = resample(&[12_345; 2_000], 44_100, 8_000);
        assert!(steady[100..250].iter().all(|s| s.abs_diff(12_345) <= 1), "{steady:?}");
    }
}
