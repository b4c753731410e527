//! G.711: A-law and µ-law, encoded and decoded by table.
//!
//! Pure and total: every byte has a sample and every sample has a byte. A mixer thread decodes what
//! a jitter buffer gave it, mixes `i16`, and encodes what goes out.

/// Samples per second: G.711 has no other rate.
pub const RATE: u32 = 8_000;

/// Samples, bytes and timestamp units in 20 ms.
pub const FRAME: usize = 160;

/// One of the two laws of ITU-T G.711.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, serde::Deserialize, serde::Serialize)]
pub enum Law {
    /// A-law, `PCMA`: Europe and most of the world.
    A,
    /// µ-law, `PCMU`: North America and Japan.
    Mu,
}

impl Law {
    /// Returns the law with this static payload type (RFC 3551, table 4).
    pub const fn of_payload_type(payload_type: u8) -> Option<Self> {
        match payload_type {
            0 => Some(Self::Mu),
            8 => Some(Self::A),
            _ => None,
        }
    }

    /// Returns the static payload type: 0 or 8.
    pub const fn payload_type(self) -> u8 {
        match self {
            Self::A => 8,
            Self::Mu => 0,
        }
    }

    /// Returns the encoding name that an `rtpmap` uses.
    pub const fn name(self) -> &'static str {
        match self {
            Self::A => "PCMA",
            Self::Mu => "PCMU",
        }
    }

    /// Returns the byte nearest to sample 0. A-law has no byte for 0; this one decodes to 8.
    pub const fn silence(self) -> u8 {
        match self {
            Self::A => 0xd5,
            Self::Mu => 0xff,
        }
    }

    /// Decodes `encoded` into `samples`. The shorter of the two slices sets the length.
    pub fn decode(self, encoded: &[u8], samples: &mut [i16]) {
        let table = self.decode_table();
        for (sample, byte) in samples.iter_mut().zip(encoded) {
            *sample = table[usize::from(*byte)];
        }
    }

    /// Encodes `samples` into `encoded`. The shorter of the two slices sets the length.
    pub fn encode(self, samples: &[i16], encoded: &mut [u8]) {
        let table = self.encode_table();
        for (byte, sample) in encoded.iter_mut().zip(samples) {
            *byte = table[index(*sample)];
        }
    }

    /// Decodes one byte to a 16-bit sample.
    pub fn sample(self, byte: u8) -> i16 {
        self.decode_table()[usize::from(byte)]
    }

    /// Encodes one sample to the byte whose value is nearest.
    pub fn byte(self, sample: i16) -> u8 {
        self.encode_table()[index(sample)]
    }

    /// Returns how loud an encoded frame is, without decoding it: 0 (silence) to [`LEVEL_MAX`].
    ///
    /// The level is the mean of the samples' µ-law codes without their sign. It grows with the
    /// logarithm of the sound: about 16 for each 6 dB, and linear in the last 48 dB. It costs a
    /// tenth of a decode, and shows which legs need not be decoded.
    pub fn level(self, encoded: &[u8]) -> u8 {
        let flip = match self {
            Self::A => 0x55,
            Self::Mu => 0x7f,
        };
        let sum: u32 = encoded.iter().map(|byte| u32::from((byte ^ flip) & 0x7f)).sum();
        let mean = sum / (encoded.len().max(1) as u32);
        match self {
            Self::A => A_LEVELS[mean as usize & 0x7f],
            Self::Mu => mean as u8,
        }
    }

    fn decode_table(self) -> &'static [i16; 256] {
        match self {
            Self::A => &A_DECODE,
            Self::Mu => &MU_DECODE,
        }
    }

    fn encode_table(self) -> &'static [u8; 1 << 14] {
        match self {
            Self::A => &A_ENCODE,
            Self::Mu => &MU_ENCODE,
        }
    }
}

/// The highest level that [`Law::level`] returns.
pub const LEVEL_MAX: u8 = 0x7f;

/// The level of samples at any rate, on the scale of [`Law::level`].
pub fn level(samples: &[i16]) -> u8 {
    let code = |sample: &i16| u32::from(!MU_ENCODE[index(*sample)] & 0x7f);
    (samples.iter().map(code).sum::<u32>() / (samples.len().max(1) as u32)) as u8
}

/// µ-law uses 14 bits of a sample and A-law 13: the lowest two never count.
fn index(sample: i16) -> usize {
    usize::from(sample as u16 >> 2)
}

static A_DECODE: [i16; 256] = decode_table(Law::A);
static MU_DECODE: [i16; 256] = decode_table(Law::Mu);
static A_ENCODE: [u8; 1 << 14] = encode_table(Law::A);
static MU_ENCODE: [u8; 1 << 14] = encode_table(Law::Mu);

/// The µ-law code of each A-law code. The steps of the two laws differ below the second segment.
static A_LEVELS: [u8; 128] = {
    let mut levels = [0; 128];
    let mut code = 0;
    while code < 128 {
        // The byte of a positive sample is the A-law code xor 0xd5.
        levels[code] = !mu_byte(a_sample(code as u8 ^ 0xd5)) & 0x7f;
        code += 1;
    }
    levels
};

const fn decode_table(law: Law) -> [i16; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match law {
            Law::A => a_sample(byte as u8),
            Law::Mu => mu_sample(byte as u8),
        };
        byte += 1;
    }
    table
}

const fn encode_table(law: Law) -> [u8; 1 << 14] {
    let mut table = [0; 1 << 14];
    let mut index = 0;
    while index < table.len() {
        let sample = ((index as u16) << 2) as i16;
        table[index] = match law {
            Law::A => a_byte(sample),
            Law::Mu => mu_byte(sample),
        };
        index += 1;
    }
    table
}

/// G.711 table 2: all bits are inverted; one bit of sign, three of segment, four within it. The
/// ladder is displaced by 33 of 8,159; here by 132 of 32,636.
const fn mu_sample(byte: u8) -> i16 {
    let code = !byte;
    let within = ((code & 0x0f) as i16) << 3;
    let magnitude = ((within + 132) << ((code >> 4) & 7)) - 132;
    if code & 0x80 == 0 { magnitude } else { -magnitude }
}

const fn mu_byte(sample: i16) -> u8 {
    // One's complement: the ladder is the same on both sides of zero.
    let (sign, magnitude) = if sample < 0 { (0x80, !sample) } else { (0, sample) };
    let clipped = if 8_158 < magnitude >> 2 { 8_158 } else { magnitude >> 2 };
    let displaced = clipped as u32 + 33;
    let segment = displaced.ilog2() - 5;
    let within = (displaced >> (segment + 1)) & 0x0f;
    !(sign | (segment << 4) as u8 | within as u8)
}

/// G.711 table 1: even bits are inverted; a set sign bit means positive; the first two segments
/// share one step, 2 of 4,096.
const fn a_sample(byte: u8) -> i16 {
    let code = byte ^ 0x55;
    let segment = (code >> 4) & 7;
    let within = ((code & 0x0f) as i16) << 4;
    let magnitude = match segment {
        0 => within + 8,
        _ => (within + 0x108) << (segment - 1),
    };
    if code & 0x80 == 0 { -magnitude } else { magnitude }
}

const fn a_byte(sample: i16) -> u8 {
    let (sign, magnitude) = if sample < 0 { (0, !sample >> 4) } else { (0x80, sample >> 4) };
    let (segment, within) = match magnitude as u32 {
        small @ 0..=31 => (small >> 4, small),
        large => (large.ilog2() - 3, large >> (large.ilog2() - 4)),
    };
    (sign | (segment << 4) as u8 | (within & 0x0f) as u8) ^ 0x55
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAWS: [Law; 2] = [Law::A, Law::Mu];

    #[track_caller]
    fn check(law: Law, byte: u8, sample: i16) {
        assert_eq!(law.sample(byte), sample, "{law:?} {byte:#04x}");
        assert_eq!(law.byte(sample), byte, "{law:?} {sample}");
    }

    #[test]
    fn bytes_are_the_samples_of_the_recommendation() {
        for (byte, sample) in [
            (0xff, 0),
            (0xfe, 8),
            (0x7e, -8),
            (0xf0, 120),
            (0xef, 132),
            (0xe0, 372),
            (0xcf, 924),
            (0x80, 32_124),
            (0x00, -32_124),
        ] {
            check(Law::Mu, byte, sample);
        }
        for (byte, sample) in [
            (0xd5, 8),
            (0x55, -8),
            (0xd4, 24),
            (0xda, 248),
            (0xc5, 264),
            (0xf5, 528),
            (0xaa, 32_256),
            (0x2a, -32_256),
        ] {
            check(Law::A, byte, sample);
        }
    }

    /// G.711 tables 5 and 6: this sequence of bytes is 1 kHz at 0 dBm0.
    #[test]
    fn the_test_tone_of_the_recommendation_comes_out_of_its_sine() {
        let tones = [
            (Law::A, 314.0, 32_768.0, [0x34, 0x21, 0x21, 0x34, 0xb4, 0xa1, 0xa1, 0xb4]),
            (Law::Mu, 317.0, 32_636.0, [0x1e, 0x0b, 0x0b, 0x1e, 0x9e, 0x8b, 0x8b, 0x9e]),
        ];
        for (law, overload_centibel, full, bytes) in tones {
            let amplitude = full * 10_f64.powf(-overload_centibel / 2_000.0);
            let sample = |n: i32| {
                let phase = (f64::from(n) + 0.5) * std::f64::consts::FRAC_PI_4;
                // The printed sequence begins with the negative half.
                (-amplitude * phase.sin()) as i16
            };
            let tone: Vec<u8> = (0..8).map(|n| law.byte(sample(n))).collect();
            assert_eq!(tone, bytes, "{law:?}");
        }
    }

    #[test]
    fn every_byte_survives_decoding_and_encoding() {
        for law in LAWS {
            for byte in 0..=255 {
                let back = law.byte(law.sample(byte));
                // µ-law has two zeros; the encoder produces only one of them.
                let expected = if law == Law::Mu && byte == 0x7f { 0xff } else { byte };
                assert_eq!(back, expected, "{law:?} {byte:#04x}");
            }
        }
    }

    #[test]
    fn no_sample_moves_by_more_than_half_a_step_nor_past_its_neighbour() {
        for law in LAWS {
            let mut before = i16::MIN;
            for sample in i16::MIN..=i16::MAX {
                let there = law.sample(law.byte(sample));
                assert!(before <= there, "{law:?} {sample}: {there} after {before}");
                before = there;
                // Sixteen steps to a doubling; the lowest bits are ignored.
                let bound = i32::from(sample).unsigned_abs() / 32 + 16;
                let moved = i32::from(there).abs_diff(i32::from(sample));
                assert!(moved <= bound, "{law:?} {sample}: {there}");
            }
        }
    }

    #[test]
    fn slices_of_unequal_length_are_no_trouble() {
        let mut samples = [1; 3];
        Law::Mu.decode(&[0xff, 0x80], &mut samples);
        assert_eq!(samples, [0, 32_124, 1]);
        let mut encoded = [9; 2];
        Law::A.encode(&[8, 8, 8], &mut encoded);
        assert_eq!(encoded, [0xd5, 0xd5]);
    }

    #[test]
    fn levels_grow_with_the_sound_and_are_alike_under_both_laws() {
        let mut before = 0;
        for amplitude in [0, 50, 200, 800, 3_200, 12_800, 32_000] {
            let square: Vec<i16> =
                (0..FRAME).map(|n| if n % 8 < 4 { amplitude } else { -amplitude }).collect();
            let levels = LAWS.map(|law| {
                let mut encoded = [0; FRAME];
                law.encode(&square, &mut encoded);
                law.level(&encoded)
            });
            let linear = level(&square);
            assert!(levels[0].abs_diff(levels[1]) <= 2, "{amplitude}: {levels:?}");
            assert!(linear.abs_diff(levels[1]) <= 1, "{amplitude}: {linear}, {levels:?}");
            assert!(linear == 0 || before < linear, "{amplitude}: {linear} after {before}");
            before = linear;
        }
        assert!(before <= LEVEL_MAX);
        assert_eq!(Law::Mu.level(&[]), 0);
    }
}
