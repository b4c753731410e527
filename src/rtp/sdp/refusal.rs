//! Refusals: why two ends do not agree on media, and what can be agreed on at all.

/// The reason why there is no agreement. SIP answers an offer with 488, and hangs up after an
/// answer.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// It has more than [`BYTES_MAX`] bytes or [`LINES_MAX`] media lines.
    #[error("the description is too long: at most {BYTES_MAX} bytes and {LINES_MAX} media lines")]
    TooLong,
    /// It is not SDP: it has neither a version nor a media line.
    #[error("not a session description: it has neither v= nor m=")]
    Malformed,
    /// It has no audio line, or its audio line has port 0.
    #[error("no audio offered; offer m=audio with a port")]
    NoAudio,
    /// The profile of its audio line is neither of [`PROFILES`] nor of [`SECURE_PROFILES`].
    #[error("audio over {0} is not supported; offer RTP/AVP or RTP/SAVP")]
    Transport(String),
    /// Encrypted audio, where none is wanted: `srtp = "off"`.
    #[error("encrypted audio is switched off for this call; offer RTP/AVP")]
    Encrypted,
    /// Plain audio, where `srtp = "require"`.
    #[error("audio must be encrypted; offer RTP/SAVP with a=crypto")]
    Plain,
    /// None of the lines with a key can be used, and the profile demands one.
    #[error(
        "no key in common; offer a=crypto with AES_CM_128_HMAC_SHA1_80, one inline key, no MKI"
    )]
    Crypto,
    /// Its audio line offers neither PCMU nor PCMA.
    #[error("no codec in common; offer PCMU or PCMA at 8000 Hz")]
    Codec,
    /// The answer has another number of media lines than the offer.
    #[error("the answer has {answered} media lines, the offer had {offered}")]
    Lines {
        /// Media lines that we sent.
        offered: usize,
        /// Media lines that came back.
        answered: usize,
    },
}

impl Refusal {
    /// Returns the code for a SIP `Warning` header (RFC 3261, 20.43).
    pub fn warning(&self) -> u16 {
        match self {
            Self::Crypto => 306,
            Self::TooLong | Self::Malformed | Self::Lines { .. } => 399,
            Self::NoAudio => 304,
            Self::Transport(_) | Self::Encrypted | Self::Plain => 302,
            Self::Codec => 305,
        }
    }
}

/// The longest description that we read, in bytes. Phones send far shorter ones.
pub const BYTES_MAX: usize = 16_384;

/// The most media lines that we read; each one needs an answer.
pub const LINES_MAX: usize = 16;

/// The profiles whose packets we read. Feedback (RFC 4585) may be ignored, and we send none. We offer
/// the first.
pub const PROFILES: [&str; 2] = ["RTP/AVP", "RTP/AVPF"];

/// The profiles of encrypted packets (RFC 3711, RFC 5124), in the order of [`PROFILES`].
pub const SECURE_PROFILES: [&str; 2] = ["RTP/SAVP", "RTP/SAVPF"];
