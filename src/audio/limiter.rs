//! Limiter of a room: converts the sum of many voices to samples without the crackle of hard
//! clipping.
//!
//! It has two stages: a gain that falls within 5 ms when the room is too loud and recovers over
//! some seconds, and a knee for peaks before the gain has fallen. At usual loudness the samples
//! pass unchanged, bit by bit.

/// The state of a limiter: one for each room, so that everybody hears the same gain.
#[derive(Clone, Debug)]
pub struct Limiter {
    /// Gain after the last sample of this frame.
    gain: f32,
    /// Gain of each sample of this frame.
    gains: Vec<f32>,
    /// No sample of this frame is near full scale, and the gain is 1 throughout.
    is_calm: bool,
    /// Samples in which the gain falls.
    attack: usize,
}

/// Start of the knee and target of the gain: −2.7 dB of full scale.
const CEILING: f32 = 24_000.0;

/// Slope above the ceiling, up to full scale.
const KNEE_SLOPE: f32 = 0.25;

const FULL: f32 = i16::MAX as f32;

/// Share of the way back to 1 per frame: 80 % of it in a second.
const RELEASE: f32 = 1.0 / 32.0;

/// Smallest step back, so that the gain reaches 1.
const RELEASE_MIN: f32 = 1.0 / 1_024.0;

impl Limiter {
    /// Starts with gain 1. `frame` is in samples, `rate` in samples per second.
    pub fn new(frame: usize, rate: u32) -> Self {
        let attack = (rate * crate::media::FADE_MS / 1_000) as usize;
        Self { gain: 1.0, gains: vec![1.0; frame], is_calm: true, attack }
    }

    /// Sets the gain of the coming frame from the sum of the room and the peak of its loudest
    /// voice.
    pub fn measure(&mut self, sums: &[i32], voice_peak: i32) {
        let peak = sums.iter().fold(0, |peak, it| it.abs().max(peak));
        let from = self.gain;
        let fits = (CEILING / peak as f32).min(1.0);
        // The room without one voice can be louder than the room, by that voice.
        self.is_calm = from == 1.0 && fits == 1.0 && peak + voice_peak <= i32::from(i16::MAX);
        if self.is_calm {
            return;
        }

        let is_falling = fits < from;
        let span = if is_falling { self.attack } else { self.gains.len() };
        self.gain = match is_falling {
            true => fits,
            false => fits.min(from + ((fits - from) * RELEASE).max(RELEASE_MIN)),
        };
        let step = (self.gain - from) / span as f32;
        for (at, gain) in self.gains[..span].iter_mut().enumerate() {
            *gain = from + step * (at + 1) as f32;
        }
        self.gains[span..].fill(self.gain);
    }

    /// Converts a sum of this frame to samples: that of the room, or of the room without one voice.
    pub fn compress(&self, sums: impl Iterator<Item = i32>, samples: &mut [i16]) {
        if self.is_calm {
            let saturated = sums.map(|sum| sum.clamp(i16::MIN.into(), i16::MAX.into()) as i16);
            samples.iter_mut().zip(saturated).for_each(|(out, it)| *out = it);
        } else {
            for ((out, sum), gain) in samples.iter_mut().zip(sums).zip(&self.gains) {
                *out = soft_clip(sum as f32 * gain);
            }
        }
    }

    /// Converts the sum of the frame's last sample alone.
    pub fn compress_last(&self, sum: i32) -> i16 {
        match self.is_calm {
            true => sum.clamp(i16::MIN.into(), i16::MAX.into()) as i16,
            false => soft_clip(sum as f32 * self.gain),
        }
    }
}

fn soft_clip(sum: f32) -> i16 {
    let straight = sum.clamp(-CEILING, CEILING);
    let bent = (straight + (sum - straight) * KNEE_SLOPE).clamp(-FULL, FULL);
    // Rounds like a cast, but eight samples at once: at this size a float's last bit is worth 1.
    (bent + ROUNDING).to_bits() as i16
}

/// 1.5 × 2²³: adding it moves the integer part of a float into its lowest bits.
const ROUNDING: f32 = 12_582_912.0;

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: usize = 160;

    fn square(amplitude: i32) -> [i32; FRAME] {
        std::array::from_fn(|at| if at % 8 < 4 { amplitude } else { -amplitude })
    }

    fn pressed(limiter: &mut Limiter, amplitude: i32) -> [i16; FRAME] {
        let (sums, mut samples) = (square(amplitude), [0; FRAME]);
        limiter.measure(&sums, 0);
        limiter.compress(sums.iter().copied(), &mut samples);
        assert_eq!(samples[FRAME - 1], limiter.compress_last(sums[FRAME - 1]));
        samples
    }

    #[test]
    fn usual_loudness_passes_unchanged() {
        let mut limiter = Limiter::new(FRAME, 8_000);
        for amplitude in [0, 1, 5_000, 24_000] {
            assert_eq!(pressed(&mut limiter, amplitude).map(i32::from), square(amplitude));
        }
    }

    #[test]
    fn loudness_is_turned_down_within_the_attack_and_back_up_over_seconds() {
        let mut limiter = Limiter::new(FRAME, 8_000);
        let loud = pressed(&mut limiter, 240_000);
        assert!(loud[..4].iter().all(|it| 30_000 < *it), "the knee holds the attack");
        assert!(loud[40..].iter().all(|it| it.unsigned_abs().abs_diff(24_000) < 100), "{loud:?}");
        let quiet = pressed(&mut limiter, 10_000);
        assert!(quiet[159].unsigned_abs() < 1_500, "{quiet:?}");
        let back: Vec<_> = (0..50).map(|_| pressed(&mut limiter, 10_000)[0]).collect();
        assert!(back.is_sorted());
        assert!(7_000 < back[49], "{back:?}");
        (0..500).for_each(|_| _ = pressed(&mut limiter, 10_000));
        assert_eq!(pressed(&mut limiter, 10_000).map(i32::from), square(10_000));
    }

    #[test]
    fn the_room_less_a_loud_voice_is_bent_too() {
        let mut limiter = Limiter::new(FRAME, 8_000);
        let mut samples = [0; FRAME];
        let sums = [-20_000; FRAME];
        limiter.measure(&sums, 30_000);
        limiter.compress(sums.iter().map(|sum| sum - 30_000), &mut samples);
        assert_eq!(samples, [-24_000 - 26_000 / 4; FRAME]);
        limiter.measure(&sums, 10_000);
        limiter.compress(sums.iter().map(|sum| sum - 10_000), &mut samples);
        assert_eq!(samples, [-30_000; FRAME]);
    }

    #[test]
    fn the_knee_rises_to_full_scale_and_no_further() {
        let mut before = i16::MIN;
        for sum in (-1_000_000..1_000_000_i32).step_by(997) {
            let bent = soft_clip(sum as f32);
            assert!(before <= bent && i32::from(bent).abs() <= sum.abs(), "{sum}: {bent}");
            assert_eq!(bent, -soft_clip(-sum as f32));
            before = bent;
        }
        assert_eq!((soft_clip(1e9), soft_clip(-1e9)), (i16::MAX, -i16::MAX));
    }
}
