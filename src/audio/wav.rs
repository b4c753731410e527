//! WAV files: RIFF chunks, and the codings that telephony uses.
//!
//! Our own parser, because files come from pipes (without a length) and from telephone systems
//! (A-law with the short header). The parser of the crate at hand (symphonia 0.6.1, feature `wav`)
//! refuses the former and overflows on its limits. `hound` 3.5.1 refuses A-law, µ-law, and a data
//! chunk of unknown length (0xffffffff), and reads nothing of one whose length was left at 0.

use super::clip::Clip;

/// The format of a WAV file, and its samples.
pub(super) struct Wav<'a> {
    /// Frames per second, from the `fmt ` chunk; not checked here.
    pub(super) rate: u32,
    coding: WavCoding,
    channels: usize,
    samples: &'a [u8],
}

/// The defect of a WAV file.
#[derive(Debug, thiserror::Error)]
pub(super) enum WavError {
    #[error("not a good WAV file: {0}")]
    Broken(&'static str),
    #[error("a WAV file of format {format} with {bits} bits")]
    Coding { format: u16, bits: u16 },
}

const FOREIGN: WavError = WavError::Broken("it has no RIFF and WAVE header");

impl<'a> Wav<'a> {
    /// Finds the format and the samples. A length past the end of the file is that of a pipe or of
    /// a truncated file; the bytes that exist count.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, WavError> {
        let Some((b"RIFF", _)) = bytes.split_first_chunk() else { return Err(FOREIGN) };
        let Some((b"WAVE", mut rest)) = bytes.get(8..).and_then(|form| form.split_first_chunk())
        else {
            return Err(FOREIGN);
        };
        let mut format = None;
        while let Some((head, body)) = rest.split_first_chunk::<8>() {
            let [i, d, e, n, length @ ..] = *head;
            let length = u32::from_le_bytes(length) as usize;
            let (chunk, after) = body.split_at(length.min(body.len()));
            match &[i, d, e, n] {
                b"fmt " => format = Some(WavFormat::parse(chunk)?),
                b"data" => {
                    let format =
                        format.ok_or(WavError::Broken("its samples come before its format"))?;
                    return format.with(chunk);
                }
                _ => {}
            }
            // A chunk of odd length is followed by a padding byte.
            rest = after.get(length % 2..).unwrap_or_default();
        }
        Err(WavError::Broken("it contains no samples"))
    }

    /// Returns the length in frames.
    pub(super) fn frames(&self) -> usize {
        self.samples.len() / (self.channels * self.coding.bytes())
    }

    /// Mixes all channels to one.
    pub(super) fn mono(&self) -> Vec<i16> {
        let (bytes, channels) = (self.coding.bytes(), self.channels);
        let mix = |frame: &[u8]| {
            let sum: f32 = frame.chunks_exact(bytes).map(|sample| self.coding.sample(sample)).sum();
            // `as` turns NaN into 0 and saturates.
            (sum / channels as f32).round() as i16
        };
        self.samples.chunks_exact(channels * bytes).map(mix).collect()
    }
}

/// Encodes a clip as a WAV file of 16-bit PCM.
pub fn write(clip: &Clip) -> Vec<u8> {
    let length = clip.samples.len() as u32 * 2;
    let mut file = Vec::with_capacity(HEADER_BYTES + length as usize);
    file.extend(header(clip.rate, 1, length));
    file.extend(clip.samples.iter().flat_map(|sample| sample.to_le_bytes()));
    file
}

/// The length of [`header`] in bytes.
pub const HEADER_BYTES: usize = 44;

/// The header of a WAV file of 16-bit PCM with `length` bytes of samples after it.
pub fn header(rate: u32, channels: u16, length: u32) -> [u8; HEADER_BYTES] {
    let frame = channels * 2;
    let mut header = [0; HEADER_BYTES];
    let mut at = 0;
    let mut put = |bytes: &[u8]| {
        header[at..at + bytes.len()].copy_from_slice(bytes);
        at += bytes.len();
    };
    put(b"RIFF");
    put(&length.saturating_add(36).to_le_bytes());
    put(b"WAVEfmt \x10\0\0\0\x01\0");
    put(&channels.to_le_bytes());
    put(&rate.to_le_bytes());
    put(&(rate * u32::from(frame)).to_le_bytes());
    put(&frame.to_le_bytes());
    put(b"\x10\0data");
    put(&length.to_le_bytes());
    header
}

/// The `fmt ` chunk.
struct WavFormat {
    rate: u32,
    coding: WavCoding,
    channels: usize,
}

impl WavFormat {
    fn parse(chunk: &[u8]) -> Result<Self, WavError> {
        let short = || WavError::Broken("its format chunk is truncated");
        let word = |at: usize| {
            let bytes = chunk.get(at..at + 2).ok_or_else(short)?;
            Ok::<_, WavError>(u16::from_le_bytes([bytes[0], bytes[1]]))
        };
        let rate = u32::from(word(4)?) | u32::from(word(6)?) << 16;
        // An extensible format has the real format number further on.
        let format = if word(0)? == 0xfffe { word(24)? } else { word(0)? };
        let (channels, bits) = (usize::from(word(2)?), word(14)?);
        if channels == 0 {
            return Err(WavError::Broken("it has no channels"));
        }
        let coding = WavCoding::of(format, bits).ok_or(WavError::Coding { format, bits })?;
        Ok(Self { rate, coding, channels })
    }

    fn with(self, samples: &[u8]) -> Result<Wav<'_>, WavError> {
        Ok(Wav { rate: self.rate, coding: self.coding, channels: self.channels, samples })
    }
}

/// The coding of a sample (RFC 2361 lists the numbers).
#[derive(Clone, Copy)]
enum WavCoding {
    Pcm8,
    Pcm16,
    Pcm24,
    Pcm32,
    Float32,
    Float64,
    ALaw,
    MuLaw,
}

impl WavCoding {
    fn of(format: u16, bits: u16) -> Option<Self> {
        match (format, bits) {
            (1, 8) => Some(Self::Pcm8),
            (1, 16) => Some(Self::Pcm16),
            (1, 24) => Some(Self::Pcm24),
            (1, 32) => Some(Self::Pcm32),
            (3, 32) => Some(Self::Float32),
            (3, 64) => Some(Self::Float64),
            (6, 8) => Some(Self::ALaw),
            (7, 8) => Some(Self::MuLaw),
            _ => None,
        }
    }

    fn bytes(self) -> usize {
        match self {
            Self::Pcm8 | Self::ALaw | Self::MuLaw => 1,
            Self::Pcm16 => 2,
            Self::Pcm24 => 3,
            Self::Pcm32 | Self::Float32 => 4,
            Self::Float64 => 8,
        }
    }

    /// Converts a sample of [`Self::bytes`] bytes to about -32,768 to 32,767.
    fn sample(self, bytes: &[u8]) -> f32 {
        // Left-aligned: the upper four or eight bytes, as far as there are any.
        let mut left = [0; 8];
        left[8 - bytes.len()..].copy_from_slice(bytes);
        let [.., a, b, c, d] = left;
        let high = i32::from_le_bytes([a, b, c, d]);
        match self {
            Self::Pcm8 => (f32::from(d) - 128.0) * 256.0,
            Self::Pcm16 | Self::Pcm24 | Self::Pcm32 => high as f32 / 65_536.0,
            Self::Float32 => f32::from_le_bytes([a, b, c, d]) * 32_768.0,
            Self::Float64 => f64::from_le_bytes(left) as f32 * 32_768.0,
            Self::ALaw => f32::from(a_law(d)),
            Self::MuLaw => f32::from(mu_law(d)),
        }
    }
}

/// Decodes one byte (G.711, table 1a).
fn a_law(byte: u8) -> i16 {
    let byte = byte ^ 0x55;
    let (segment, step) = ((byte >> 4) & 7, i16::from(byte & 15) << 4 | 8);
    let size = if segment == 0 { step } else { (step | 0x100) << (segment - 1) };
    if byte & 0x80 == 0 { -size } else { size }
}

/// Decodes one byte (G.711, table 2a).
fn mu_law(byte: u8) -> i16 {
    let byte = !byte;
    let size = ((i16::from(byte & 15) << 3 | 0x84) << ((byte >> 4) & 7)) - 0x84;
    if byte & 0x80 == 0 { size } else { -size }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A PCM file with `bits` per sample, and the same samples in each channel.
    pub(crate) fn wav(rate: u32, channels: u16, bits: u16, samples: &[i16]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for sample in samples.iter().flat_map(|s| std::iter::repeat_n(*s, channels.into())) {
            match bits {
                8 => bytes.push(((sample >> 8) + 128) as u8),
                16 => bytes.extend(sample.to_le_bytes()),
                24 => bytes.extend(&(i32::from(sample) << 8).to_le_bytes()[..3]),
                _ => bytes.extend((i32::from(sample) << 16).to_le_bytes()),
            }
        }
        file(1, rate, channels, bits, &bytes)
    }

    /// A WAV file of any format.
    pub(crate) fn file(format: u16, rate: u32, channels: u16, bits: u16, data: &[u8]) -> Vec<u8> {
        let frame = channels * bits / 8;
        let mut file = b"RIFF".to_vec();
        file.extend((data.len() as u32 + 36).to_le_bytes());
        file.extend(b"WAVEfmt \x10\0\0\0");
        file.extend(format.to_le_bytes());
        file.extend(channels.to_le_bytes());
        file.extend(rate.to_le_bytes());
        file.extend((rate * u32::from(frame)).to_le_bytes());
        file.extend(frame.to_le_bytes());
        file.extend(bits.to_le_bytes());
        file.extend(b"data");
        file.extend((data.len() as u32).to_le_bytes());
        file.extend(data);
        file
    }

    pub(crate) fn ramp() -> Vec<i16> {
        (0..4_000).map(|n| (n * 16 - 32_000) as i16).collect()
    }

    fn mono(file: &[u8]) -> Vec<i16> {
        Wav::parse(file).map(|wav| wav.mono()).unwrap()
    }

    #[test]
    fn files_come_out_as_they_went_in() {
        fn check(rate: u32, channels: u16, bits: u16, tolerance: u16) {
            let file = wav(rate, channels, bits, &ramp());
            let wav = Wav::parse(&file).unwrap();
            assert_eq!((wav.rate, wav.frames()), (rate, 4_000), "{bits} bits");
            let worst = wav.mono().iter().zip(ramp()).map(|(a, b)| a.abs_diff(b)).max();
            assert!(worst <= Some(tolerance), "{rate}, {channels}, {bits}: {worst:?}");
        }
        check(8_000, 1, 16, 0);
        check(44_100, 2, 16, 0);
        check(48_000, 6, 16, 0);
        check(8_000, 1, 8, 256);
        check(16_000, 1, 24, 0);
        check(16_000, 2, 32, 0);
    }

    #[test]
    fn what_we_write_is_read_again() {
        let clip = Clip { rate: 13_600, samples: ramp().into() };
        let file = write(&clip);
        assert_eq!(file, wav(13_600, 1, 16, &ramp()));
        assert_eq!(mono(&file), ramp());
    }

    #[test]
    fn floats_are_read_and_kept_in_bounds() {
        let values = [0.0_f32, 0.5, -1.0, 1.0, 7.0, -7.0, f32::NAN, f32::INFINITY];
        let expected = [0, 16_384, -32_768, 32_767, 32_767, -32_768, 0, 32_767];
        let data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        assert_eq!(mono(&file(3, 8_000, 1, 32, &data)), expected);
        let data: Vec<u8> = values.iter().flat_map(|v| f64::from(*v).to_le_bytes()).collect();
        assert_eq!(mono(&file(3, 8_000, 1, 64, &data)), expected);
    }

    #[test]
    fn telephone_codings_are_those_of_g711() {
        fn check(format: u16, pairs: &[(u8, i16)]) {
            let data: Vec<u8> = pairs.iter().map(|(byte, _)| *byte).collect();
            let expected: Vec<i16> = pairs.iter().map(|(_, sample)| *sample).collect();
            assert_eq!(mono(&file(format, 8_000, 1, 8, &data)), expected);
        }
        // Both ends, the middle, and the ends of a segment.
        check(6, &[(0xd5, 8), (0x55, -8), (0xaa, 32_256), (0x2a, -32_256), (0xc5, 264)]);
        check(7, &[(0xff, 0), (0x7f, 0), (0x80, 32_124), (0x00, -32_124), (0xef, 132)]);
    }

    #[test]
    fn channels_are_mixed_to_one() {
        let data: Vec<u8> = [1_000_i16, 3_000].iter().flat_map(|s| s.to_le_bytes()).collect();
        assert_eq!(mono(&file(1, 8_000, 2, 16, &data.repeat(50))), [2_000; 50]);
    }

    #[test]
    fn other_chunks_are_passed_over_and_formats_extended() {
        let plain = wav(8_000, 1, 16, &[1, 2, 3]);
        let mut file = plain[..12].to_vec();
        file.extend(b"LIST\x03\0\0\0abc\0");
        file.extend(b"fmt \x28\0\0\0\xfe\xff");
        file.extend(&plain[22..36]);
        file.extend(b"\x16\0\x10\0\0\0\0\0\x01\0\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71");
        file.extend(b"fact\x04\0\0\0\x03\0\0\0");
        file.extend(&plain[36..]);
        assert_eq!(mono(&file), [1, 2, 3]);
    }

    #[test]
    fn a_length_past_the_end_is_that_of_a_pipe() {
        for length in [0x7fff_f000_u32, u32::MAX] {
            let mut file = wav(8_000, 1, 16, &[1, 2, 3]);
            file[4..8].copy_from_slice(&length.wrapping_add(36).to_le_bytes());
            file[40..44].copy_from_slice(&length.to_le_bytes());
            assert_eq!(mono(&file), [1, 2, 3], "{length:x}");
            assert_eq!(mono(&file[..file.len() - 1]), [1, 2], "{length:x}");
        }
    }

    #[test]
    fn what_is_no_wav_is_refused() {
        fn check(file: &[u8], expected: &str) {
            let error = Wav::parse(file).map(|_| ()).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
        let good = wav(8_000, 1, 16, &[1]);
        check(b"RIFF", "not a good WAV file: it has no RIFF and WAVE header");
        check(b"RIFF\x24\0\0\0AVI LIST", "not a good WAV file: it has no RIFF and WAVE header");
        check(&good[..36], "not a good WAV file: it contains no samples");
        check(
            &[&good[..12], &good[36..]].concat(),
            "not a good WAV file: its samples come before its format",
        );
        check(&good[..30], "not a good WAV file: its format chunk is truncated");
        check(&file(1, 8_000, 0, 16, &[0, 0]), "not a good WAV file: it has no channels");
        check(&file(0x11, 8_000, 1, 4, &[0, 0]), "a WAV file of format 17 with 4 bits");
        check(&file(1, 8_000, 1, 12, &[0, 0]), "a WAV file of format 1 with 12 bits");
    }
}
