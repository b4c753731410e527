//! Sound decoder: turns WAV and MP3 files into samples.

use std::{
    io::{Cursor, ErrorKind},
    ops::RangeInclusive,
};

use symphonia::{
    core::{
        codecs::audio::AudioDecoderOptions,
        errors::Error,
        formats::{FormatReader, TrackType},
        io::MediaSourceStream,
    },
    default::{formats::MpaReader, get_codecs},
};

use super::{
    clip::{Clip, SECONDS_MAX, SoundError},
    wav::{self, Wav},
};

/// Accepted rates, in samples per second: below 4,000 speech is unintelligible; nobody records
/// above 192,000.
const RATES: RangeInclusive<u32> = 4_000..=192_000;

/// Broken packets are skipped. A file with more of them is rejected, since each costs time.
const BROKEN_PACKETS_MAX: u32 = 1_000;

/// Decodes a WAV (PCM, float, A-law, µ-law) or MP3 (layer 3) file to one channel, at the file's own
/// rate.
///
/// `name` is used in the error message only; the first bytes decide the format.
///
/// # Errors
///
/// The file has another format, is broken, is empty, or is longer than [`SECONDS_MAX`].
pub fn decode(name: &str, bytes: &[u8]) -> Result<Clip, SoundError> {
    let text = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes).trim_ascii_start();
    let decoded = match () {
        () if bytes.starts_with(b"RIFF") => from_wav(bytes),
        () if text.starts_with(b"<") => Err(DecodeError::Document),
        () => from_mp3(bytes),
    };
    let clip = decoded
        .and_then(|clip| if clip.samples.is_empty() { Err(DecodeError::Empty) } else { Ok(clip) });
    clip.map_err(|error| SoundError::permanent(format!("{name}: {error}")))
}

/// The defect of a file, and the remedy.
#[derive(Debug, thiserror::Error)]
enum DecodeError {
    #[error("neither a WAV nor an MP3 file: convert it to one of these")]
    Neither,
    #[error("a document (XML or HTML), and no WAV or MP3 file: name the file itself")]
    Document,
    #[error("{0}; save it as PCM with 16 bits")]
    Wav(#[from] wav::WavError),
    #[error("its codec is not supported: save it as MP3 (layer 3) or WAV")]
    Codec,
    #[error("it is broken ({0}): save it again")]
    Broken(Error),
    #[error("{0} samples per second: convert it to 8,000 or 16,000")]
    Rate(u32),
    #[error("its rate changes on the way: save it again")]
    RateChanges,
    #[error("it is longer than {SECONDS_MAX} s: shorten it")]
    Long,
    #[error("it contains no sound")]
    Empty,
}

fn from_wav(bytes: &[u8]) -> Result<Clip, DecodeError> {
    let wav = Wav::parse(bytes)?;
    if !RATES.contains(&wav.rate) {
        return Err(DecodeError::Rate(wav.rate));
    }
    if wav.frames() > (SECONDS_MAX * wav.rate) as usize {
        return Err(DecodeError::Long);
    }
    Ok(Clip { rate: wav.rate, samples: wav.mono().into() })
}

fn from_mp3(bytes: &[u8]) -> Result<Clip, DecodeError> {
    let stream = Box::new(Cursor::new(without_tags(bytes)));
    let stream = MediaSourceStream::new(stream, Default::default());
    let mut reader =
        MpaReader::try_new(stream, Default::default()).map_err(|_| DecodeError::Neither)?;
    let track = reader.default_track(TrackType::Audio).ok_or(DecodeError::Codec)?;
    let params = track.codec_params.as_ref().and_then(|params| params.audio());
    let params = params.ok_or(DecodeError::Codec)?;
    let mut decoder = get_codecs()
        .make_audio_decoder(params, &AudioDecoderOptions::default())
        .map_err(|_| DecodeError::Codec)?;

    let (mut rate, mut samples) = (None, Vec::new());
    let (mut frames, mut broken) = (Vec::<f32>::new(), 0);
    loop {
        let packet = match reader.next_packet() {
            Ok(Some(packet)) => packet,
            // A truncated file is played as far as it goes.
            Ok(None) => break,
            Err(Error::IoError(error)) if error.kind() == ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(DecodeError::Broken(error)),
        };
        let decoded = match decoder.decode(&packet) {
            Ok(decoded) => decoded,
            Err(error) => {
                broken += 1;
                if broken > BROKEN_PACKETS_MAX {
                    return Err(DecodeError::Broken(error));
                }
                continue;
            }
        };
        let (packet_rate, channels) = (decoded.spec().rate(), decoded.num_planes().max(1));
        if *rate.get_or_insert(packet_rate) != packet_rate {
            return Err(DecodeError::RateChanges);
        }
        if !RATES.contains(&packet_rate) {
            return Err(DecodeError::Rate(packet_rate));
        }
        decoded.copy_to_vec_interleaved(&mut frames);
        samples.extend(frames.chunks_exact(channels).map(mono));
        if samples.len() > (SECONDS_MAX * packet_rate) as usize {
            return Err(DecodeError::Long);
        }
    }
    Ok(Clip { rate: rate.ok_or(DecodeError::Empty)?, samples: samples.into() })
}

/// The mean of all channels.
fn mono(frame: &[f32]) -> i16 {
    let sum: f32 = frame.iter().sum();
    (sum / frame.len() as f32 * 32_768.0).round() as i16
}

/// Cuts off leading ID3v2 tags (id3.org, 2.4.0, 3.1: the length has four times seven bits). A
/// picture in a tag can look like MP3, and a tag reader would be one more parser.
fn without_tags(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    while let Some(&[b'I', b'D', b'3', _, _, flags, a, b, c, d]) = rest.first_chunk() {
        let length = [a, b, c, d].iter().fold(0, |sum, seven| sum << 7 | usize::from(seven & 0x7f));
        let footer = if flags & 0x10 == 0 { 0 } else { 10 };
        rest = rest.get(10 + length + footer..).unwrap_or_default();
    }
    rest
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::audio::wav::tests::{file, ramp, wav};

    /// 440 Hz, then 880 Hz, half a second each, with a tag; made with `lame -m m -b 64`.
    pub(crate) const TONES: &[u8] = include_bytes!("../../tests/sounds/tones.mp3");

    #[test]
    fn mp3_files_are_read_to_the_sample() {
        let clip = decode("tones.mp3", TONES).unwrap();
        assert_eq!(clip.rate, 22_050);
        assert_eq!(clip.samples.len(), 22_050);
        let crossings = |from: usize, to: usize| {
            let part = &clip.samples[from..to];
            part.windows(2).filter(|w| (w[0] < 0) != (w[1] < 0)).count()
        };
        // 0.4 s each: 2 × 440 × 0.4 and 2 × 880 × 0.4.
        assert!(crossings(1_000, 9_820).abs_diff(352) <= 2, "{}", crossings(1_000, 9_820));
        assert!(crossings(12_000, 20_820).abs_diff(704) <= 2, "{}", crossings(12_000, 20_820));
        let peak = clip.samples.iter().map(|s| s.unsigned_abs()).max().unwrap();
        assert!((9_000..12_000).contains(&peak), "{peak}");
    }

    #[test]
    fn wav_files_are_read_whatever_their_name() {
        let clip = decode("ramp.mp3", &wav(8_000, 1, 16, &ramp())).unwrap();
        assert_eq!(clip, Clip { rate: 8_000, samples: ramp().into() });
    }

    #[test]
    fn pictures_in_a_tag_are_not_heard() {
        // 4,096 bytes that would be decoded as sound.
        let mut tagged = b"ID3\x03\0\0\0\0\x20\0".to_vec();
        tagged.extend(&TONES[1_000..5_096]);
        tagged.extend(TONES);
        assert_eq!(decode("tagged.mp3", &tagged), decode("tones.mp3", TONES));
    }

    #[test]
    fn what_is_cut_off_is_heard_so_far() {
        let clip = decode("cut.mp3", &TONES[..TONES.len() / 2]).unwrap();
        assert!((8_000..14_000).contains(&clip.samples.len()), "{}", clip.samples.len());
    }

    #[test]
    fn what_is_no_sound_is_refused_with_advice() {
        fn check(name: &str, bytes: &[u8], expected: &str) {
            let error = decode(name, bytes).map(|clip| clip.samples.len()).expect_err(name);
            assert_eq!(error.to_string(), format!("{name}: {expected}"));
            assert!(!error.is_temporary());
        }
        let neither = "neither a WAV nor an MP3 file: convert it to one of these";
        check("empty.mp3", b"", neither);
        let document = "a document (XML or HTML), and no WAV or MP3 file: name the file itself";
        check("page.mp3", b"<html><body>404 not found</body></html>", document);
        check("zeros.mp3", &[0; 10_000], neither);
        check("tag.mp3", b"ID3\x03\0\0\x7f\x7f\x7f\x7f", neither);
        let adpcm = "a WAV file of format 17 with 4 bits; save it as PCM with 16 bits";
        check("adpcm.wav", &file(17, 8_000, 1, 4, &[1; 100]), adpcm);
        check("nothing.wav", &wav(8_000, 1, 16, &[]), "it contains no sound");
        let slow = "1000 samples per second: convert it to 8,000 or 16,000";
        check("slow.wav", &wav(1_000, 1, 16, &[1; 100]), slow);
        let long = wav(4_000, 1, 8, &vec![5; 4_000 * 600 + 1]);
        check("long.wav", &long, "it is longer than 600 s: shorten it");
        // Without its Info tag, which gives the length and so cuts off the copies.
        let info = TONES.windows(4).position(|four| four == b"Info").expect("lame wrote one");
        let long = [&TONES[..info], b"Nope", &TONES[info + 4..]].concat().repeat(601);
        check("long.mp3", &long, "it is longer than 600 s: shorten it");
    }

    #[test]
    fn mutated_files_never_panic() {
        let wav = wav(8_000, 2, 16, &ramp()[..500]);
        let (mut good, mut bad) = (0, 0);
        for seed in 0..3_000 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut file = if rng.bool() { wav.clone() } else { TONES.to_vec() };
            for _ in 0..rng.usize(1..20) {
                // Mutations of the header find the most.
                let end = if rng.bool() { 60 } else { file.len() };
                let at = rng.usize(0..end);
                match rng.u8(0..4) {
                    0 => file[at] = rng.u8(..),
                    1 => file[at] = *rng.choice(&[0, 0x7f, 0x80, 0xff]).expect("four"),
                    2 => file.truncate(at.max(70)),
                    _ => file.insert(at, rng.u8(..)),
                }
            }
            match decode("mutated", &file) {
                Ok(clip) => {
                    assert!(RATES.contains(&clip.rate) && !clip.samples.is_empty(), "seed {seed}");
                    good += 1;
                }
                Err(error) => {
                    assert!(error.to_string().starts_with("mutated: "), "seed {seed}: {error}");
                    bad += 1;
                }
            }
        }
        assert!(good > 100 && bad > 100, "{good} good, {bad} bad: the mutations are one-sided");
    }
}
