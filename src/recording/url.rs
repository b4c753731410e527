//! URLs of recordings: the path of the audio, and signatures that open it without credentials.
//!
//! A signed URL opens one file until its time is over. The signature is
//! `base64url(HMAC-SHA256(key, path "|" exp))`, without padding (contract recording 10).

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use url::form_urlencoded;

use super::{Recording, audio_url};
use crate::base::ids::Dialect;

/// Separates the key of the signatures from others that are made of the same secret.
const KEY_CONTEXT: &str = "conflow recording URLs";

/// Signs the URLs of recordings, and checks them.
#[derive(Clone, Eq, PartialEq)]
pub struct UrlSigner {
    key: [u8; 32],
    base: Arc<str>,
    ttl: Duration,
}

/// The reason why a signature opens nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BadSignature {
    /// It was good until a time that is over.
    Expired,
    /// It is another path's or time's, another key's, or none at all.
    Wrong,
}

impl UrlSigner {
    /// A signer of URLs that begin with `base` and are good for `ttl`. `secret` is the account-key of
    /// the data folder.
    pub fn new(secret: &[u8; 32], base: &str, ttl: Duration) -> Self {
        let key = blake3::derive_key(KEY_CONTEXT, secret);
        Self { key, base: base.trim_end_matches('/').into(), ttl }
    }

    /// The same key with another base and time.
    pub fn with(&self, base: &str, ttl: Duration) -> Self {
        Self { key: self.key, base: base.trim_end_matches('/').into(), ttl }
    }

    /// The URL of a recording's audio, which opens it from now on for the signer's time.
    pub fn url(&self, now: SystemTime, dialect: Dialect, recording: &Recording) -> String {
        let path = audio_url("", dialect, recording);
        let exp = unix_seconds(now).saturating_add(self.ttl.as_secs());
        let signature = URL_SAFE_NO_PAD.encode(self.mac(&path, exp).finalize().into_bytes());
        format!("{}{path}?exp={exp}&sig={signature}", self.base)
    }

    /// Checks the signature in a query for a path such as `/v1/Account/MA1/Recording/{id}.wav`. The comparison takes equally long
    /// wherever the two differ.
    ///
    /// # Errors
    ///
    /// [`BadSignature`]; whether the time is over is only said of a good one.
    pub fn check(&self, now: SystemTime, path: &str, query: &str) -> Result<(), BadSignature> {
        let find = |name: &str| {
            let mut pairs = form_urlencoded::parse(query.as_bytes());
            pairs.find_map(|(it, value)| (it == name).then_some(value))
        };
        let exp = find("exp").filter(|it| it.bytes().all(|byte| byte.is_ascii_digit()));
        let exp = exp.and_then(|it| it.parse::<u64>().ok()).ok_or(BadSignature::Wrong)?;
        let signature = find("sig").ok_or(BadSignature::Wrong)?;
        let signature = URL_SAFE_NO_PAD.decode(&*signature).map_err(|_| BadSignature::Wrong)?;
        self.mac(path, exp).verify_slice(&signature).map_err(|_| BadSignature::Wrong)?;
        match unix_seconds(now) <= exp {
            true => Ok(()),
            false => Err(BadSignature::Expired),
        }
    }

    fn mac(&self, path: &str, exp: u64) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("a key of any length");
        mac.update(format!("{path}|{exp}").as_bytes());
        mac
    }
}

/// Leaves the key out: it is a secret.
impl fmt::Debug for UrlSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key: _, base, ttl } = self;
        f.debug_struct("UrlSigner").field("base", base).field("ttl", ttl).finish_non_exhaustive()
    }
}

/// Whether a query has a signature, good or not.
pub fn is_signed(query: &str) -> bool {
    form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == "sig")
}

fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::ids::{CallId, RecordingId},
        flow::RecordingFormat,
        media::RecordingChannels,
    };

    const SECRET: [u8; 32] = [7; 32];
    const PATH: &str = "/v1/Account/MA1/Recording/00000000-0000-0000-0000-000000000001.wav";

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn signer(secret: u8) -> UrlSigner {
        UrlSigner::new(&[secret; 32], "https://a.example/", Duration::from_secs(3_600))
    }

    fn recording() -> Recording {
        Recording {
            id: RecordingId::of(1),
            account: "MA1".parse().unwrap(),
            call: CallId::of(2),
            from: "".into(),
            to: "".into(),
            conference: None,
            api_id: uuid::Uuid::from_u128(3),
            channels: RecordingChannels::Mono,
            format: RecordingFormat::Wav,
            started_at: at(0),
            callback: None,
            audience: None,
            end: None,
        }
    }

    #[test]
    fn a_url_opens_its_own_file_until_its_time_is_over() {
        let url = signer(7).url(at(1_000), Dialect::Plivo, &recording());
        let (base, query) = url.split_once('?').unwrap();
        assert_eq!(base, format!("https://a.example{PATH}"));
        assert_eq!(base, audio_url("https://a.example", Dialect::Plivo, &recording()));
        assert!(query.starts_with("exp=4600&sig=") && !query.contains(['+', '/', '%']), "{query}");
        let check = |now, path: &str, query: &str, expected| {
            assert_eq!(signer(7).check(at(now), path, query), expected, "{now} {path} {query}");
        };
        check(1_000, PATH, query, Ok(()));
        check(4_600, PATH, query, Ok(()));
        check(4_601, PATH, query, Err(BadSignature::Expired));
        check(1_000, &PATH.replace("wav", "mp3"), query, Err(BadSignature::Wrong));
        check(1_000, &PATH.replace("MA1", "MA2"), query, Err(BadSignature::Wrong));
        check(1_000, &format!("/api{PATH}"), query, Err(BadSignature::Wrong));
        check(1_000, PATH, &query.replace("4600", "9600"), Err(BadSignature::Wrong));
        check(1_000, PATH, &query.replace("exp=", "exp=+"), Err(BadSignature::Wrong));
        check(1_000, PATH, &query[..query.len() - 2], Err(BadSignature::Wrong));
        check(1_000, PATH, "exp=4600&sig=", Err(BadSignature::Wrong));
        check(1_000, PATH, "exp=4600", Err(BadSignature::Wrong));
        check(1_000, PATH, "sig=AAAA", Err(BadSignature::Wrong));
        check(1_000, PATH, "", Err(BadSignature::Wrong));
        assert_eq!(signer(8).check(at(1_000), PATH, query), Err(BadSignature::Wrong));
    }

    #[test]
    fn the_signature_is_the_one_of_the_contract() {
        let key = blake3::derive_key("conflow recording URLs", &SECRET);
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        mac.update(format!("/api{PATH}|4600").as_bytes());
        let expected = URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
        let url = signer(7).url(at(1_000), Dialect::Vobiz, &recording());
        assert!(url.ends_with(&format!("?exp=4600&sig={expected}")), "{url}");
        assert!(!format!("{:?}", signer(7)).contains("key"), "it is a secret");
    }
}
