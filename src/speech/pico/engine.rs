//! The engine itself, on this thread: C of 2009, and to be handled as such.
//!
//! One is made for each text: that takes half a millisecond, its handles cannot leave their
//! thread, and one that has failed is of no use any more.

use std::rc::Rc;

use ttspico::{Engine, EngineStatus, PicoError, System};

use super::lingware::{Lingware, LingwareFile};
use crate::{audio::clip::SECONDS_MAX, speech::SpeechError};

/// What the engine makes, in samples per second.
pub(super) const RATE: u32 = 16_000;

/// Memory for one engine. It takes 3 MB of it, and reads some before it writes any: a block of
/// more than 32 MiB comes from the kernel, filled with zeros, and so the same text sounds the
/// same. What is not touched costs nothing.
const ENGINE_BYTES: usize = 40 << 20;

/// Room for what one call of the engine gives, which is at most 32,767 bytes.
const CHUNK_SAMPLES: usize = 8_192;

/// Has a text read, with the engine's own tags in it.
///
/// Some texts take it for ever: it tries all ways to say a sentence, and they multiply.
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
    // A zero at the end has the engine read what it holds.
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

/// An engine for one voice.
#[expect(unsafe_code, reason = "the crate cannot tell that a voice has both of its resources")]
fn engine(folder: &str, lingware: &Lingware) -> Result<Engine, PicoError> {
    let system = System::new(ENGINE_BYTES)?;
    let path = |file: &LingwareFile| format!("{folder}/{}", file.name);
    let analysis = System::load_resource(Rc::clone(&system), path(&lingware.analysis))?;
    let sound = System::load_resource(Rc::clone(&system), path(&lingware.sound))?;
    let voice = System::create_voice(system, lingware.language)?;
    voice.borrow_mut().add_resource(analysis)?;
    voice.borrow_mut().add_resource(sound)?;
    // SAFETY: a voice must have a text analysis and a sound generation before an engine is made
    // of it: both have just been added, and `?` has left otherwise.
    unsafe { ttspico::Voice::create_engine(voice) }
}
