//! Speech as phones hear it: as long, as loud and of the same waveform as the speech engine's
//! output.

use conflow::{
    audio::resample::resample,
    rtp::g711::RATE,
    speech::{Speech, Utterance, pico::Pico},
};
use tempfile::tempdir;

use crate::{
    ear::loudness,
    leg::{Leg, LegOptions},
    program::{Conflow, beside_others},
};

/// 1 means equal waves. µ-law leaves an error of −38 dB.
const LIKENESS_MIN: f64 = 0.98;

#[track_caller]
fn check(language: &str, text: &str) {
    let _share = beside_others();
    let flow = format!("<Response><Speak language=\"{language}\">{text}</Speak></Response>");
    let conflow = Conflow::start(&[("speak", &flow)]);
    let leg = Leg::call(conflow.sip, "speak", "anna", LegOptions::default());
    leg.wait_for("BYE");
    let heard: Vec<i16> = leg.sounds().into_iter().flat_map(|it| it.samples).collect();
    let spoken = spoken(language, text);

    let start = heard.iter().position(|it| 100 < it.unsigned_abs()).unwrap_or_default();
    let onset = spoken.iter().position(|it| 100 < it.unsigned_abs()).unwrap();
    // Compared where both have sound, at the best shift of some milliseconds to either side.
    let best = (0..2 * SLACK).map(|shift| {
        let at = (start + shift).checked_sub(onset + SLACK)?;
        Some((likeness(heard.get(at..)?, &spoken[..PROBE]), at))
    });
    let (_, at) = best.flatten().max_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
    let heard = &heard[at..];
    let missing = spoken.len().saturating_sub(heard.len());
    assert!(missing < RATE as usize / 10, "{language}: the last {missing} samples are missing");
    let alike = likeness(heard, &spoken);
    assert!(LIKENESS_MIN < alike, "{language}: {alike}");
    let (loud, expected) = (loudness(heard), loudness(&spoken));
    assert!((0.8..1.25).contains(&(loud / expected)), "{language}: {loud} for {expected}");
    let after = heard.len().saturating_sub(spoken.len());
    assert!(after < RATE as usize, "{language}: {after} samples after the speech");
}

/// Samples compared to find the beginning, and the largest shift.
const PROBE: usize = 8_000;
const SLACK: usize = 400;

/// The speech engine's output.
fn spoken(language: &str, text: &str) -> Vec<i16> {
    let voices = tempdir().unwrap();
    let pico = Pico::open(voices.path()).unwrap();
    let utterance =
        Utterance { text: text.into(), voice: "WOMAN".into(), language: language.into() };
    let clip = pico.speak(&utterance).unwrap();
    resample(&clip.samples, clip.rate, RATE)
}

/// The correlation of two waves from their beginnings, over the length of the shorter one.
fn likeness(a: &[i16], b: &[i16]) -> f64 {
    let dot = |a: &[i16], b: &[i16]| -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    let len = a.len().min(b.len());
    let (a, b) = (&a[..len], &b[..len]);
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt().max(1.0)
}

#[test]
fn the_phone_hears_a_text_as_the_engine_speaks_it() {
    check("en-US", "The quick brown fox jumps over the lazy dog.");
}

#[test]
fn in_another_language_too() {
    check("de-DE", "Guten Tag, und auf Wiederhören am nächsten Montag.");
}
