//! SDES: keys of SRTP in `a=crypto` lines (RFC 4568).

use std::{fmt, sync::Arc};

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use super::lines::MediaLine;

/// A crypto suite of SRTP: cipher, key lengths and authentication.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub enum SrtpSuite {
    /// AES in counter mode, with a tag of 80 bits (RFC 3711): what all phones can.
    AesCm128HmacSha1Tag80,
    /// The same with a tag of 32 bits for RTP. We accept it and do not offer it.
    AesCm128HmacSha1Tag32,
    /// AES-128 in Galois/counter mode (RFC 7714).
    AeadAes128Gcm,
    /// AES-256 in Galois/counter mode (RFC 7714). We accept it and do not offer it.
    AeadAes256Gcm,
}

/// Suite, name in SDP, bytes of its master key and of its salt. The names are those of IANA.
const SUITES: [(SrtpSuite, &str, usize, usize); 4] = [
    (SrtpSuite::AesCm128HmacSha1Tag80, "AES_CM_128_HMAC_SHA1_80", 16, 14),
    (SrtpSuite::AesCm128HmacSha1Tag32, "AES_CM_128_HMAC_SHA1_32", 16, 14),
    (SrtpSuite::AeadAes128Gcm, "AEAD_AES_128_GCM", 16, 12),
    (SrtpSuite::AeadAes256Gcm, "AEAD_AES_256_GCM", 32, 12),
];

/// The suites that we offer, in order of preference; their tags are 1 and 2.
const OFFERED: [SrtpSuite; 2] = [SrtpSuite::AesCm128HmacSha1Tag80, SrtpSuite::AeadAes128Gcm];

impl SrtpSuite {
    /// The name in `a=crypto`.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// Length of the master key in bytes.
    pub fn key_bytes(self) -> usize {
        self.row().2
    }

    /// Length of the master salt in bytes.
    pub fn salt_bytes(self) -> usize {
        self.row().3
    }

    fn row(self) -> &'static (Self, &'static str, usize, usize) {
        SUITES.iter().find(|it| it.0 == self).expect("all suites have a row")
    }

    fn of(name: &str) -> Option<Self> {
        SUITES.iter().find(|it| it.1.eq_ignore_ascii_case(name)).map(|it| it.0)
    }
}

/// Master key and salt of one direction. `Debug` does not show them.
#[derive(Clone, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(try_from = "(SrtpSuite, Vec<u8>)", into = "(SrtpSuite, Vec<u8>)")]
pub struct SrtpKey {
    suite: SrtpSuite,
    bytes: Arc<[u8]>,
}

impl SrtpKey {
    /// Takes the key and the salt behind it. None if they have another length than the suite's.
    pub fn new(suite: SrtpSuite, bytes: &[u8]) -> Option<Self> {
        let is_whole = bytes.len() == suite.key_bytes() + suite.salt_bytes();
        is_whole.then(|| Self { suite, bytes: bytes.into() })
    }

    /// The suite that the key is for.
    pub fn suite(&self) -> SrtpSuite {
        self.suite
    }

    /// The bytes of the master key, of which session keys are derived.
    pub fn key(&self) -> &[u8] {
        &self.bytes[..self.suite.key_bytes()]
    }

    /// The bytes of the master salt, which make keystreams of equal keys differ.
    pub fn salt(&self) -> &[u8] {
        &self.bytes[self.suite.key_bytes()..]
    }
}

impl TryFrom<(SrtpSuite, Vec<u8>)> for SrtpKey {
    type Error = &'static str;

    fn try_from((suite, bytes): (SrtpSuite, Vec<u8>)) -> Result<Self, Self::Error> {
        Self::new(suite, &bytes).ok_or("a key has another length than its suite's")
    }
}

impl From<SrtpKey> for (SrtpSuite, Vec<u8>) {
    fn from(key: SrtpKey) -> Self {
        (key.suite, key.bytes.to_vec())
    }
}

impl fmt::Debug for SrtpKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SrtpKey({}, …)", self.suite.name())
    }
}

/// The keys of a call: each protects what one end sends.
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct SrtpKeys {
    /// Protects what we send.
    pub ours: SrtpKey,
    /// Protects what the far end sends; of the same suite.
    pub theirs: SrtpKey,
}

/// A random number of which the keys of one call follow. `Debug` does not show it.
///
/// Each suite has a key of its own, so that no key is used twice when the suite changes.
#[derive(Clone, Eq, PartialEq)]
pub struct SrtpSecret(pub [u8; 32]);

impl SrtpSecret {
    fn key(&self, suite: SrtpSuite) -> SrtpKey {
        let mut bytes = vec![0; suite.key_bytes() + suite.salt_bytes()];
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(suite.name().as_bytes()).finalize_xof().fill(&mut bytes);
        SrtpKey { suite, bytes: bytes.into() }
    }
}

impl fmt::Debug for SrtpSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SrtpSecret(…)")
    }
}

/// Whether a call's sound is encrypted: the setting `srtp` of an endpoint or a trunk.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SrtpPolicy {
    /// Never: offers of encrypted sound alone are refused.
    Off,
    /// If the far end offers it.
    #[default]
    Allow,
    /// As `Allow`, and our own offers leave the choice to the far end (RFC 8643).
    Offer,
    /// Always: plain sound is refused.
    Require,
}

/// A chosen line of the far end: its tag, and the key that it sends with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct CryptoLine {
    tag: u32,
    key: SrtpKey,
}

/// Returns the far end's first usable line. None if it has none.
pub(super) fn chosen(media: &MediaLine<'_>) -> Option<CryptoLine> {
    media.attributes("crypto").find_map(CryptoLine::parse)
}

/// Returns both keys, if the far end has chosen one of the lines that we offered.
pub(super) fn accepted(line: Option<CryptoLine>, secret: &SrtpSecret) -> Option<SrtpKeys> {
    let line = line?;
    let at = usize::try_from(line.tag).ok()?.checked_sub(1)?;
    let suite = *OFFERED.get(at).filter(|it| **it == line.key.suite)?;
    Some(SrtpKeys { ours: secret.key(suite), theirs: line.key })
}

/// The lines of an offer of ours.
pub(super) fn offered(secret: &SrtpSecret) -> String {
    let line = |(at, suite): (usize, &SrtpSuite)| written(at as u32 + 1, &secret.key(*suite));
    OFFERED.iter().enumerate().map(line).collect()
}

impl CryptoLine {
    /// Reads `1 AES_CM_128_HMAC_SHA1_80 inline:KEY[|LIFETIME] [WSH=64]`. None for what we do not
    /// support: other suites, several keys, a master key identifier (it has a colon), and session
    /// parameters, except the hint on replays.
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let tag = words.next().filter(|it| it.len() <= TAG_DIGITS_MAX)?.parse().ok()?;
        let suite = SrtpSuite::of(words.next()?)?;
        let params = words.next()?;
        let (method, params) = params.split_once(':')?;
        if !method.eq_ignore_ascii_case("inline") || params.contains([':', ';']) {
            return None;
        }
        let mut parts = params.split('|');
        let bytes = BASE64.decode(parts.next()?).ok()?;
        // The lifetime is longer than any call.
        let is_plain = parts.count() <= 1 && words.all(|it| it.starts_with("WSH="));
        let key = SrtpKey::new(suite, &bytes).filter(|_| is_plain)?;
        Some(Self { tag, key })
    }

    /// The keys of both ends, and our line that answers this one.
    pub(super) fn answered(self, secret: &SrtpSecret) -> (SrtpKeys, String) {
        let ours = secret.key(self.key.suite);
        let text = written(self.tag, &ours);
        (SrtpKeys { ours, theirs: self.key }, text)
    }
}

/// RFC 4568, 9.1: a tag has up to nine digits.
const TAG_DIGITS_MAX: usize = 9;

/// Some phones leave out the `=` at the end.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

fn written(tag: u32, key: &SrtpKey) -> String {
    format!("a=crypto:{tag} {} inline:{}\r\n", key.suite.name(), BASE64.encode(&key.bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA: &str = "AES_CM_128_HMAC_SHA1_80";
    /// RFC 4568, 6.1.
    const KEY: &str = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";

    #[test]
    fn a_line_is_read_as_rfc_4568_writes_it() {
        let long = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM=";
        for (text, expected) in [
            (format!("1 {SHA} inline:{KEY}|2^20"), Some(1)),
            (format!("2 {SHA} inline:{KEY}"), Some(2)),
            (format!("2 {SHA} inline:{KEY}|1048576 WSH=64"), Some(2)),
            (format!("1 aes_cm_128_hmac_sha1_32 INLINE:{KEY}"), Some(1)),
            (format!("123456789 {SHA} inline:{KEY}"), Some(123_456_789)),
            (
                "3 AEAD_AES_128_GCM inline:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nw".to_owned(),
                Some(3),
            ),
            (format!("3 AEAD_AES_256_GCM inline:{long}"), Some(3)),
            (format!("1 {SHA} inline:{KEY}|2^20|1:4"), None),
            (format!("1 {SHA} inline:{KEY}|1:4"), None),
            (format!("1 {SHA} inline:{KEY};inline:{KEY}"), None),
            (format!("1 {SHA} inline:{KEY}|2^20 FEC_ORDER=FEC_SRTP"), None),
            (format!("1 {SHA} inline:{KEY} UNENCRYPTED_SRTCP"), None),
            (format!("1 {SHA} inline:{KEY} KDR=4"), None),
            (format!("1 AES_256_CM_HMAC_SHA1_80 inline:{KEY}"), None),
            (format!("1 AEAD_AES_128_GCM inline:{KEY}"), None),
            (format!("1 {SHA} inline:{}", &KEY[1..]), None),
            (format!("1234567890 {SHA} inline:{KEY}"), None),
            (format!("x {SHA} inline:{KEY}"), None),
            (format!("1 {SHA} {KEY}"), None),
            (format!("1 {SHA}"), None),
            (String::new(), None),
        ] {
            let line = CryptoLine::parse(&text);
            assert_eq!(line.map(|it| it.tag), expected, "{text}");
        }
        let line = CryptoLine::parse(&format!("1 {SHA} inline:{KEY}")).unwrap();
        assert_eq!(line.key.key(), b"YS___semctl () {");
        assert_eq!(line.key.salt(), b"\t220;}\n}\nunles");
    }

    #[test]
    fn each_suite_and_each_secret_has_its_own_key_and_none_is_shown() {
        let [one, other] = [SrtpSecret([1; 32]), SrtpSecret([2; 32])];
        let [cm, gcm] = OFFERED;
        let keys = [one.key(cm), one.key(gcm), other.key(cm)];
        assert_ne!(keys[0].key(), keys[1].key());
        assert_ne!(keys[0].key(), keys[2].key());
        assert_eq!(keys[0], one.key(cm), "a refresh repeats it");
        assert_eq!(format!("{:?} {one:?}", keys[0]), format!("SrtpKey({SHA}, …) SrtpSecret(…)"));
    }

    #[test]
    fn an_answer_must_choose_a_line_of_ours() {
        let secret = SrtpSecret([1; 32]);
        let offer = offered(&secret);
        assert_eq!(offer.lines().count(), 2);
        assert!(offer.starts_with(&format!("a=crypto:1 {SHA} inline:")), "{offer}");
        for (tag, suite, is_ours) in [
            (1, SHA, true),
            (2, SHA, false),
            (1, "AES_CM_128_HMAC_SHA1_32", false),
            (0, SHA, false),
        ] {
            let line = CryptoLine::parse(&format!("{tag} {suite} inline:{KEY}"));
            assert_eq!(accepted(line, &secret).is_some(), is_ours, "{tag} {suite}");
        }
        assert_eq!(accepted(None, &secret), None);
    }
}
