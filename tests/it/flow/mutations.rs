//! Flow mutations: thousands of seeded mutations of real flows and tricky fragments. No input
//! panics, every position lies inside its document, and every run keeps its rules.
//!
//! A failure prints its seed; `SEED=… cargo test mutations` replays it.

use std::{env, fs, panic, path::Path};

use conflow::{base::ids::Dialect, flow::Flow};
use fastrand::Rng;

use crate::fuzz_flow;

const MUTATIONS: u64 = 30_000;
/// One mutation mostly leaves a document that parses in part; several reach the corner cases.
const CHANGES_MAX: usize = 6;

/// Bytes with a meaning in XML or in a flow, and characters that are hard to count.
const SCRAPS: &[&str] = &[
    "",
    "<",
    ">",
    "/",
    "/>",
    "</",
    "\"",
    "'",
    "=",
    "&",
    ";",
    "&amp;",
    "&#1;",
    "&#x110000;",
    "&#32;",
    "&lt;",
    "&a;",
    "&#",
    "<!",
    "<!--",
    "-->",
    "--",
    "<![CDATA[",
    "]]>",
    "<?",
    "?>",
    "<?xml ",
    "<?xml version='1.0'?>",
    "<?xml version='1.0' encoding='utf-16'?>",
    "<!DOCTYPE x>",
    "<!DOCTYPE",
    "<Response>",
    "</Response>",
    "<Response/>",
    "\u{feff}",
    "\0",
    "\u{1}",
    "\r\n",
    "\n",
    "\t",
    " ",
    "é",
    "€",
    "😀",
    "\u{a0}",
    "\u{2028}",
    "\u{fffe}",
    "\u{85}",
    " a='b'",
    " a=\"&b;\"",
    " muted='true'",
    " loop='0'",
    " timeLimit='99999999999999999999'",
    " length='-1'",
    " action='flow:a'",
    " redirect='false'",
    " action='no'",
    " retries='100'",
    " validDigits='1'",
    " numDigits='1'",
    " finishOnKey=''",
    " log='false'",
    " schedule='1'",
    "<Speak>a</Speak>",
    "<Speak><p>a<w>b</w></p></Speak>",
    "<Play>sound:ring</Play>",
    "<Wait/>",
    "<Wait silence='true'/>",
    "<Conference>a</Conference>",
    "<Hangup/>",
    "<DTMF>1w</DTMF>",
    "<DTMF async='false'>1</DTMF>",
    "<Redirect>flow:a</Redirect>",
    "<Redirect/>",
    "<GetDigits><Speak>a</Speak></GetDigits>",
    "<Gather inputType='speech'/>",
    "<PreAnswer><Wait/></PreAnswer>",
    "<Dial><Number>1</Number></Dial>",
    "<Record/>",
    "<x:y/>",
    "<Speak",
    "<Speak ",
    "</Speak>",
    "<Speak/>",
    "<1/>",
    "< a>",
    "<a<b>",
];

#[test]
fn mutations_break_nothing() {
    let corpus = corpus();
    let seeds = match env::var("SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (0..MUTATIONS).collect(),
    };
    let (mut good, all) = (0, seeds.len());
    for seed in seeds {
        let document = mutate(&corpus, seed);
        let outcome = panic::catch_unwind(|| fuzz_flow::check(&document, seed));
        let shown = String::from_utf8_lossy(&document);
        assert!(outcome.is_ok(), "replay with SEED={seed}:\n{shown}");
        good += usize::from(Flow::from_bytes(&document, Dialect::Vobiz).is_ok());
    }
    // If every document is refused, no run is tested; if none is, the mutations are too weak.
    assert!(all < 100 || (all / 20..all * 19 / 20).contains(&good), "{good} of {all} are good");
}

/// The flows that come with conflow, the faulty ones, and each fragment on its own.
fn corpus() -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut corpus = Vec::new();
    for folder in ["flows", "tests/flows/faulty", "benches"] {
        let Ok(entries) = fs::read_dir(root.join(folder)) else { continue };
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        let is_flow = |path: &&std::path::PathBuf| path.extension().is_some_and(|it| it == "xml");
        corpus.extend(paths.iter().filter(is_flow).map(|path| fs::read(path).unwrap()));
    }
    assert!(!corpus.is_empty());
    let scraps = SCRAPS.iter().map(|scrap| format!("<Response>{scrap}</Response>").into_bytes());
    corpus.extend(scraps);
    corpus
}

fn mutate(corpus: &[Vec<u8>], seed: u64) -> Vec<u8> {
    let mut rng = Rng::with_seed(seed);
    let mut document = corpus[rng.usize(0..corpus.len())].clone();
    for _ in 0..rng.usize(0..=CHANGES_MAX) {
        let at = rng.usize(0..=document.len());
        match rng.u8(0..8) {
            // Whole elements between elements keep many documents valid.
            0..3 => {
                let ends: Vec<_> = document.iter().enumerate().filter(|it| *it.1 == b'>').collect();
                let at = rng.choice(ends).map_or(at, |(end, _)| end + 1);
                let scrap = SCRAPS[rng.usize(0..SCRAPS.len())];
                document.splice(at..at, scrap.bytes());
            }
            3 => {
                let scrap = SCRAPS[rng.usize(0..SCRAPS.len())];
                document.splice(at..at, scrap.bytes());
            }
            4 => {
                let end = document.len().min(at + rng.usize(0..20));
                document.drain(at..end);
            }
            5 => {
                let end = document.len().min(at + rng.usize(0..200));
                let piece = document[at..end].to_vec();
                let to = rng.usize(0..=document.len());
                document.splice(to..to, piece);
            }
            6 => document.truncate(at),
            _ => {
                if let Some(byte) = document.get_mut(at) {
                    *byte = rng.u8(..);
                }
            }
        }
    }
    document
}
