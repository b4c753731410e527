//! Built-in tones: beeps, key tones, ringing and music on hold; and their detection.
//!
//! All are made once, when the engine starts, and shared by all listeners. The samples depend on
//! the rate only; nothing here is random.

use std::{f64::consts::TAU, sync::Arc};

use super::dtmf;
use crate::media::SoundKind;

/// All built-in sounds at one rate.
#[derive(Clone, Debug)]
pub struct Tones {
    /// Indexed by event code.
    keys: [Arc<[i16]>; 16],
    beeps: [Arc<[i16]>; 2],
    beep: Arc<[i16]>,
    hold: Arc<[i16]>,
    ring: Arc<[i16]>,
}

impl Tones {
    /// Makes all sounds. `rate` is in samples per second.
    pub fn new(rate: u32) -> Self {
        Self {
            keys: std::array::from_fn(|code| key(rate, code).into()),
            beeps: [chime(rate, &[(880.0, 180)]).into(), chime(rate, &[(660.0, 90); 2]).into()],
            beep: chime(rate, &[(1_000.0, 400)]).into(),
            hold: hold(rate).into(),
            ring: ring(rate).into(),
        }
    }

    /// Returns the samples of a beep or of a built-in `sound:` URL. None for other sounds.
    pub fn of(&self, what: &SoundKind) -> Option<&Arc<[i16]>> {
        match what {
            SoundKind::Beep(2) => Some(&self.beeps[1]),
            SoundKind::Beep(_) => Some(&self.beeps[0]),
            SoundKind::Url(url) => match url.strip_prefix("sound:")? {
                "beep" => Some(&self.beep),
                "hold" => Some(&self.hold),
                "ring" => Some(&self.ring),
                _ => None,
            },
            SoundKind::Silence(_) | SoundKind::Speech { .. } => None,
        }
    }

    /// Returns the tone of a key, [`KEY_MS`] long. None if there is no such key.
    pub fn key(&self, key: char) -> Option<&Arc<[i16]>> {
        dtmf::code_of(key).map(|code| &self.keys[usize::from(code)])
    }
}

/// Length of a key tone: 100 ms, a bit more than twice what every receiver must accept (ITU-T
/// Q.24).
pub const KEY_MS: u32 = 100;

/// Returns the amplitude of a frequency in the samples; full scale is 1 (Goertzel).
///
/// Accurate to about 1 % if the samples hold many periods. Two tones are told apart if they differ
/// by more than `rate / samples.len()` Hz.
pub fn amplitude(samples: &[i16], rate: u32, frequency: f64) -> f64 {
    let coefficient = 2.0 * (TAU * frequency / f64::from(rate)).cos();
    let step = |(s1, s2): (f64, f64), x: &i16| (f64::from(*x) + coefficient * s1 - s2, s1);
    let (s1, s2) = samples.iter().fold((0.0, 0.0), step);
    let power = s1 * s1 + s2 * s2 - coefficient * s1 * s2;
    2.0 * power.max(0.0).sqrt() / (samples.len().max(1) as f64 * FULL)
}

/// Returns the key whose two tones stand out in the samples. Needs 40 ms or more.
pub fn key_in(samples: &[i16], rate: u32) -> Option<char> {
    let loudest = |tones: &[f64]| {
        let mut heard = tones.iter().map(|it| amplitude(samples, rate, *it)).enumerate();
        let first = heard.next()?;
        let (mut best, mut second) = (first, 0.0);
        for it in heard {
            if best.1 < it.1 {
                second = best.1;
                best = it;
            } else {
                second = it.1.max(second);
            }
        }
        (KEY_AMPLITUDE_MIN < best.1 && second * 4.0 < best.1).then_some(best.0)
    };
    KEY_PAD.get(loudest(&ROWS)?)?.get(loudest(&COLUMNS)?).copied()
}

/// Tones below this count as noise: −40 dB.
const KEY_AMPLITUDE_MIN: f64 = 0.01;

/// Full scale of `i16`.
const FULL: f64 = 32_768.0;

/// Rows and columns of the key pad, in Hz (ITU-T Q.23).
const ROWS: [f64; 4] = [697.0, 770.0, 852.0, 941.0];
const COLUMNS: [f64; 4] = [1_209.0, 1_336.0, 1_477.0, 1_633.0];
const KEY_PAD: [[char; 4]; 4] =
    [['1', '2', '3', 'A'], ['4', '5', '6', 'B'], ['7', '8', '9', 'C'], ['*', '0', '#', 'D']];

/// Amplitude of each of a key's two tones: −15 dB.
const KEY_AMPLITUDE: f64 = 0.18;

/// Amplitude of beeps and ringing: −17 dB, so that nobody is startled.
const BEEP_AMPLITUDE: f64 = 0.14;

fn key(rate: u32, code: usize) -> Vec<i16> {
    let key = dtmf::key_of(code as u8).expect("there are sixteen keys");
    let at = |n: usize| KEY_PAD[n].iter().position(|it| *it == key).map(|column| (n, column));
    let (row, column) = (0..4).find_map(at).expect("every key is on the pad");
    let mut sound = vec![0.0; samples(rate, KEY_MS)];
    for frequency in [ROWS[row], COLUMNS[column]] {
        add(&mut sound, 0, usize::MAX, rate, frequency, |_| KEY_AMPLITUDE);
    }
    finish(rate, sound)
}

/// Beeps of (Hz, ms) with a gap of 60 ms between them.
fn chime(rate: u32, beeps: &[(f64, u32)]) -> Vec<i16> {
    let mut sound = Vec::new();
    for (frequency, ms) in beeps {
        if !sound.is_empty() {
            sound.resize(sound.len() + samples(rate, 60), 0);
        }
        let mut beep = vec![0.0; samples(rate, *ms)];
        add(&mut beep, 0, usize::MAX, rate, *frequency, |_| BEEP_AMPLITUDE);
        sound.extend(finish(rate, beep));
    }
    sound
}

/// The ringing tone of most countries (ITU-T E.180): 425 Hz, one second of five.
fn ring(rate: u32) -> Vec<i16> {
    let mut sound = chime(rate, &[(425.0, 1_000)]);
    sound.resize(samples(rate, 5_000), 0);
    sound
}

/// Music on hold, in eighths: four bars of one chord each, in semitones from A3.
const TUNE: [[i32; 8]; 4] = [
    [0, 7, 12, 16, 19, 16, 12, 7],
    [-4, 3, 8, 12, 15, 12, 8, 3],
    [-7, 0, 5, 9, 17, 9, 5, 0],
    [-2, 5, 10, 14, 17, 14, 10, 5],
];

const EIGHTH_MS: u32 = 280;

/// Plucked chords that run into each other. What rings at the end continues at the start, so the
/// loop has no seam.
fn hold(rate: u32) -> Vec<i16> {
    let eighth = samples(rate, EIGHTH_MS);
    let mut sound = vec![0.0; eighth * 32];
    for (n, step) in TUNE.iter().flatten().enumerate() {
        let frequency = 220.0 * (f64::from(*step) / 12.0).exp2();
        // A bar begins with its bass, which rings longer than the notes above it.
        let (loud, seconds) = if n % 8 == 0 { (0.11, 0.9) } else { (0.07, 0.35) };
        for (overtone, share) in [(1.0, 1.0), (2.0, 0.35), (3.0, 0.1)] {
            let pluck = |at: usize| {
                let t = at as f64 / f64::from(rate);
                loud * share * (t * 100.0).min(1.0) * (-t * overtone / seconds).exp()
            };
            // By then the note has decayed to e⁻⁷.
            let len = samples(rate, (7_000.0 * seconds / overtone) as u32);
            add(&mut sound, n * eighth, len, rate, frequency * overtone, pluck);
        }
    }
    sound.into_iter().map(|it| (it * FULL) as i16).collect()
}

/// Adds `len` samples of a sine from `start`, wrapping at the end, with amplitude `envelope`.
fn add(
    sound: &mut [f64],
    start: usize,
    len: usize,
    rate: u32,
    frequency: f64,
    envelope: impl Fn(usize) -> f64,
) {
    let around = sound.len();
    let step = TAU * frequency / f64::from(rate);
    // Sine by recurrence: sin(n + 1) = 2 cos(step) sin(n) − sin(n − 1).
    let (mut now, mut before) = (0.0, -step.sin());
    let coefficient = 2.0 * step.cos();
    for at in 0..len.min(around) {
        sound[(start + at) % around] += now * envelope(at);
        (now, before) = (coefficient * now - before, now);
    }
}

/// Converts to samples, faded in and out.
fn finish(rate: u32, sound: Vec<f64>) -> Vec<i16> {
    let (len, fade) = (sound.len(), samples(rate, crate::media::FADE_MS));
    let ramp = |at: usize| (at.min(len - 1 - at) as f64 / fade as f64).min(1.0);
    sound.iter().enumerate().map(|(at, it)| (it * ramp(at) * FULL) as i16).collect()
}

fn samples(rate: u32, ms: u32) -> usize {
    (rate * ms / 1_000) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u32 = 8_000;

    #[test]
    fn every_key_is_heard_as_itself_and_nothing_else() {
        for rate in [RATE, 16_000] {
            let tones = Tones::new(rate);
            for key in "0123456789*#ABCD".chars() {
                let tone = tones.key(key).unwrap();
                assert_eq!(tone.len(), samples(rate, KEY_MS));
                assert_eq!(key_in(tone, rate), Some(key));
            }
            assert_eq!(tones.key('w'), None);
            for sound in [&tones.hold, &tones.ring, &tones.beep] {
                let keys = sound.chunks(400).filter_map(|it| key_in(it, rate)).count();
                assert_eq!(keys, 0, "music is no key");
            }
        }
        assert_eq!(key_in(&[], RATE), None);
    }

    #[test]
    fn amplitude_is_a_share_of_full_scale() {
        let mut sound = vec![0.0; 800];
        add(&mut sound, 0, usize::MAX, RATE, 440.0, |_| 0.5);
        let sound: Vec<i16> = sound.iter().map(|it| (it * FULL) as i16).collect();
        for (frequency, expected) in [(440.0, 0.5), (540.0, 0.0), (1_000.0, 0.0)] {
            let heard = amplitude(&sound, RATE, frequency);
            assert!((heard - expected).abs() < 0.005, "{frequency}: {heard}");
        }
        assert_eq!(amplitude(&[], RATE, 440.0), 0.0);
    }

    #[test]
    fn sounds_are_found_by_name() {
        let tones = Tones::new(RATE);
        let of = |url: &str| tones.of(&SoundKind::Url(url.into())).map(|it| it.len());
        assert_eq!(of("sound:beep"), Some(3_200));
        assert_eq!(of("sound:ring"), Some(40_000));
        assert_eq!(of("sound:hold"), Some(71_680));
        assert_eq!((of("sound:song"), of("https://host/hold")), (None, None));
        assert_ne!(tones.of(&SoundKind::Beep(1)), tones.of(&SoundKind::Beep(2)));
        assert_eq!(tones.of(&SoundKind::Silence(std::time::Duration::ZERO)), None);
    }

    #[test]
    fn all_begin_and_end_softly_and_none_is_too_loud() {
        let tones = Tones::new(RATE);
        let all = tones.keys.iter().chain(&tones.beeps).chain([&tones.beep, &tones.ring]);
        for sound in all.clone() {
            assert_eq!((sound.first(), sound.last()), (Some(&0), Some(&0)));
        }
        for sound in all.chain([&tones.hold]) {
            let peak = sound.iter().map(|it| it.unsigned_abs()).max().unwrap();
            assert!((3_000..14_000).contains(&peak), "{peak}");
        }
    }

    #[test]
    fn the_music_loops_without_a_seam() {
        let hold = Tones::new(RATE).hold;
        let step = |a: i16, b: i16| a.abs_diff(b);
        let within = hold.windows(2).map(|it| step(it[0], it[1])).max().unwrap();
        assert!(step(hold[hold.len() - 1], hold[0]) <= within);
        assert!(hold.chunks(1_600).all(|it| 10 < crate::rtp::g711::level(it)), "never silent");
    }
}
