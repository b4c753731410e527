//! Pico engine: synthesizes a text on the current thread, with a C library of 2009.
//!
//! Each text gets a new engine: that takes half a millisecond, the handles cannot leave their
//! thread, and a failed engine cannot be used again.

use std::rc::Rc;

use ttspico::{Engine, EngineStatus, PicoError, System};

use super::lingware::{Lingware, LingwareFile};
use crate::{audio::clip::SECONDS_MAX, speech::SpeechError};

/// Sample rate of the engine.
pub(super) const RATE: u32 = 16_000;

/// Memory for one engine. It uses 3 MB, and reads some bytes before it writes any. A block of
/// more than 32 MiB comes zeroed from the kernel, so that a text always sounds the same. Untouched
/// pages cost nothing.
const ENGINE_BYTES: usize = 40 << 20;

/// Buffer for one call of the engine, which returns at most 32,767 bytes.
const CHUNK_SAMPLES: usize = 8_192;

/// Synthesizes a text, which may contain the engine's own tags.
///
/// Some texts never end: the engine tries all ways to say a sentence, and their number explodes.
pub(super) fn synthesize(
    folder: &str,
    lingware: &Lingware,
    text: &str,
) -> Result<Vec<i16>, SpeechError> {
    let failed = |error: PicoError| {
        SpeechError::permanent(format!("the voice for {} failed: {error}", lingware.language))
    };
    let mut engine = engine(folder, lingware).map_err(failed)?;
    let mut samples = Vec::new();
    let mut chunk = vec![0_i16; CHUNK_SAMPLES];
    // A final zero byte makes the engine process the text that it holds.
    let mut rest = [text.as_bytes(), b"\0"].concat();
    while !rest.is_empty() {
        let taken = engine.put_text(&rest).map_err(failed)?;
        if taken == 0 {
            let message = format!("the voice for {} takes no text", lingware.language);
            return Err(SpeechError::permanent(message));
        }
        rest.drain(..taken);
        loop {
            let (count, status) = engine.get_data(&mut chunk[..]).map_err(failed)?;
            samples.extend_from_slice(&chunk[..count]);
            if samples.len() > (SECONDS_MAX * RATE) as usize {
                let message = format!("the text takes over {SECONDS_MAX} s to read: shorten it");
                return Err(SpeechError::permanent(message));
            }
            if status == EngineStatus::Idle {
                break;
            }
        }
    }
    Ok(samples)
}

/// Creates an engine for one voice.
#[expect(unsafe_code, reason = "the crate cannot tell that a voice has both of its resources")]
fn engine(folder: &str, lingware: &Lingware) -> Result<Engine, PicoError> {
    let system = System::new(ENGINE_BYTES)?;
    let path = |file: &LingwareFile| format!("{folder}/{}", file.name);
    let analysis = System::load_resource(Rc::clone(&system), path(&lingware.analysis))?;
    let sound = System::load_resource(Rc::clone(&system), path(&lingware.sound))?;
    let voice = System::create_voice(system, lingware.language)?;
    voice.borrow_mut().add_resource(analysis)?;
    voice.borrow_mut().add_resource(sound)?;
    // SAFETY: a voice must have a text analysis and a sound generation before an engine is created
    // from it. Both were added above; on a failure, `?` has returned.
    unsafe { ttspico::Voice::create_engine(voice) }
}
