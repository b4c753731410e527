//! Digest authentication: MD5 and SHA-256, `qop=auth` (RFC 3261, section 22; RFC 7616; RFC 8760), or
//! without qop, as old phones and pyVoIP answer (RFC 2069, kept by RFC 2617, section 3.2.2.1).
//!
//! A nonce is valid once, for one address, for a minute; for 32 seconds if it is answered without
//! qop, which has no number from the client in it. It contains its own proof, so a challenge
//! costs no memory: only used nonces are kept, until they expire. The `uri` of the credentials is
//! not compared with that of the request: phones write different ones, and a nonce that is valid
//! once leaves nothing to replay.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use md5::{Digest as _, Md5};
use sha2::Sha256;

use super::{
    ids::SipSecret,
    uri::{split_unquoted, unquote},
};

/// A password; `Debug` does not show it.
#[derive(Clone, Eq, PartialEq)]
pub struct SipPassword(Arc<str>);

impl SipPassword {
    /// Wraps the plain text of a password.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SipPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Hash algorithm of a challenge and its response.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Algorithm {
    /// Weak, but supported by every phone.
    Md5,
    /// For SIP by RFC 8760.
    Sha256,
}

/// The contents of an Authorization header.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct DigestCredentials {
    /// The user name that the client claims.
    pub username: String,
    pub(super) realm: String,
    pub(super) nonce: String,
    pub(super) uri: String,
    pub(super) response: String,
    pub(super) algorithm: Option<Algorithm>,
    pub(super) qop: String,
    pub(super) nonce_count: String,
    pub(super) client_nonce: String,
}

/// The verdict on credentials.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DigestResult {
    /// The password is right and the nonce is valid.
    Good,
    /// The password is right, but the nonce is used, expired or for another address: try again.
    Stale,
    /// The password is wrong, or the user is unknown.
    Bad,
}

/// Issues and verifies the nonces of one realm.
#[derive(Debug)]
pub struct Nonces {
    realm: String,
    key: SipSecret,
    began: Instant,
    last: u64,
    used: BTreeMap<u64, Instant>,
}

/// Lifetime of a nonce: enough for a slow phone to answer.
const NONCE_LIFE: Duration = Duration::from_secs(60);

/// Lifetime of a nonce that is answered without qop: as long as the request is repeated (64 × T1).
const NONCE_LIFE_WITHOUT_QOP: Duration = Duration::from_secs(32);

/// Compared for unknown users, so that the answer takes as long as for a known one.
const PASSWORD_OF_NOBODY: &str = "a password that is never right";

impl Algorithm {
    /// Returns the name that headers use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
        }
    }

    pub(super) fn of(text: &str) -> Option<Self> {
        [Self::Md5, Self::Sha256].into_iter().find(|it| it.as_str().eq_ignore_ascii_case(text))
    }

    fn hex(self, text: &str) -> String {
        match self {
            Self::Md5 => hex(&Md5::digest(text)),
            Self::Sha256 => hex(&Sha256::digest(text)),
        }
    }
}

impl DigestCredentials {
    /// Reads an Authorization header. None for another scheme, or if a part is missing.
    pub fn parse(header: &str) -> Option<Self> {
        let mut it = Self { algorithm: Some(Algorithm::Md5), ..Self::default() };
        for (name, value) in parameters(header)? {
            match name.as_str() {
                "username" => it.username = value,
                "realm" => it.realm = value,
                "nonce" => it.nonce = value,
                "uri" => it.uri = value,
                "response" => it.response = value.to_ascii_lowercase(),
                "algorithm" => it.algorithm = Algorithm::of(&value),
                "qop" => it.qop = value,
                "nc" => it.nonce_count = value,
                "cnonce" => it.client_nonce = value,
                // `opaque` is not ours; extensions are ignored.
                _ => {}
            }
        }
        [&it.username, &it.nonce, &it.response].iter().all(|it| !it.is_empty()).then_some(it)
    }

    /// The `response` that this password gives.
    pub(super) fn expected(&self, algorithm: Algorithm, method: &str, password: &str) -> String {
        let Self { username, realm, nonce, uri, nonce_count, client_nonce, qop, .. } = self;
        let who = algorithm.hex(&format!("{username}:{realm}:{password}"));
        let what = algorithm.hex(&format!("{method}:{uri}"));
        if qop.is_empty() {
            return algorithm.hex(&format!("{who}:{nonce}:{what}"));
        }
        algorithm.hex(&format!("{who}:{nonce}:{nonce_count}:{client_nonce}:{qop}:{what}"))
    }

    /// Returns the realm that the credentials are for.
    pub fn realm(&self) -> &str {
        &self.realm
    }

    pub(super) fn matches(&self, method: &str, password: &str) -> bool {
        let Some(algorithm) = self.algorithm else { return false };
        let expected = self.expected(algorithm, method, password);
        let is_ours = self.qop.is_empty() || self.qop.eq_ignore_ascii_case("auth");
        is_ours && is_same(&expected, &self.response)
    }

    fn nonce_life(&self) -> Duration {
        if self.qop.is_empty() { NONCE_LIFE_WITHOUT_QOP } else { NONCE_LIFE }
    }
}

impl Nonces {
    /// Starts a realm. Without `key` nobody can forge its nonces.
    pub fn new(began: Instant, realm: &str, key: SipSecret) -> Self {
        Self { realm: realm.to_owned(), key, began, last: 0, used: BTreeMap::new() }
    }

    /// Builds the value of a WWW-Authenticate header for a client at `source`.
    pub fn challenge(
        &mut self,
        now: Instant,
        source: IpAddr,
        algorithm: Algorithm,
        is_stale: bool,
    ) -> String {
        self.last += 1;
        let nonce = self.nonce(self.age(now), self.last, source);
        let (realm, algorithm) = (&self.realm, algorithm.as_str());
        let stale = if is_stale { ", stale=true" } else { "" };
        format!(
            "Digest realm=\"{realm}\", nonce=\"{nonce}\", algorithm={algorithm}, qop=\"auth\"{stale}"
        )
    }

    /// Judges credentials and uses up a good nonce. `password` is None for an unknown user.
    pub fn verify(
        &mut self,
        now: Instant,
        source: IpAddr,
        method: &str,
        credentials: &DigestCredentials,
        password: Option<&str>,
    ) -> DigestResult {
        let matches = credentials.matches(method, password.unwrap_or(PASSWORD_OF_NOBODY));
        if !matches || password.is_none() || credentials.realm != self.realm {
            return DigestResult::Bad;
        }
        let life = credentials.nonce_life();
        let Some(number) = self.number(now, source, &credentials.nonce, life) else {
            return DigestResult::Stale;
        };
        self.used.retain(|_, expires| *expires > now);
        match self.used.insert(number, now + NONCE_LIFE) {
            None => DigestResult::Good,
            Some(_) => DigestResult::Stale,
        }
    }

    /// Whether the nonce of these credentials is ours, for this address, and not too old. What an
    /// address has not asked for, it may not have sent.
    pub fn is_ours(&self, now: Instant, source: IpAddr, credentials: &DigestCredentials) -> bool {
        let life = credentials.nonce_life();
        self.number(now, source, &credentials.nonce, life).is_some()
    }

    /// Returns the number of a nonce if we issued it, for this address, not longer ago than `life`.
    fn number(&self, now: Instant, source: IpAddr, nonce: &str, life: Duration) -> Option<u64> {
        let field = |from: usize| u64::from_str_radix(nonce.get(from..from + 16)?, 16).ok();
        let (age, number) = (field(0)?, field(16)?);
        let is_fresh = self.age(now).checked_sub(age)? < life.as_secs();
        (is_same(&self.nonce(age, number, source), nonce) && is_fresh).then_some(number)
    }

    fn nonce(&self, age: u64, number: u64, source: IpAddr) -> String {
        let head = format!("{age:016x}{number:016x}");
        let proof = blake3::keyed_hash(&self.key.0, format!("{head} {source}").as_bytes());
        format!("{head}{}", hex(&proof.as_bytes()[..16]))
    }

    fn age(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.began).as_secs()
    }
}

/// The parameters of a Digest header, with their names in lower case. None for another scheme.
pub(super) fn parameters(header: &str) -> Option<Vec<(String, String)>> {
    let (scheme, rest) = header.trim().split_once(char::is_whitespace)?;
    if !scheme.eq_ignore_ascii_case("Digest") {
        return None;
    }
    let pair = |part: &str| {
        let (name, value) = part.split_once('=')?;
        Some((name.trim().to_ascii_lowercase(), unquote(value.trim())))
    };
    Some(split_unquoted(rest, b',').ok()?.into_iter().filter_map(pair).collect())
}

/// Compares in constant time, as BLAKE3 hashes do.
fn is_same(a: &str, b: &str) -> bool {
    blake3::hash(a.as_bytes()) == blake3::hash(b.as_bytes())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes all that is written");
        text
    })
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test may ask what time it is")]
pub(super) mod tests {
    use super::*;

    /// Builds a client's answer to a challenge.
    pub(crate) fn answer(
        challenge: &str,
        user: &str,
        password: &str,
        method: &str,
        nonce_count: u32,
    ) -> String {
        let params: BTreeMap<_, _> =
            split_unquoted(challenge.strip_prefix("Digest ").unwrap(), b',')
                .unwrap()
                .into_iter()
                .map(|it| it.split_once('=').unwrap())
                .map(|(name, value)| (name.to_owned(), unquote(value)))
                .collect();
        let (realm, nonce) = (&params["realm"], &params["nonce"]);
        let algorithm = Algorithm::of(&params["algorithm"]).unwrap();
        let mut it = DigestCredentials {
            username: user.to_owned(),
            realm: realm.clone(),
            nonce: nonce.clone(),
            uri: "sip:x".to_owned(),
            qop: "auth".to_owned(),
            nonce_count: format!("{nonce_count:08x}"),
            client_nonce: "c".to_owned(),
            ..DigestCredentials::default()
        };
        it.response = it.expected(algorithm, method, password);
        format!(
            "Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"sip:x\", \
             response=\"{}\", algorithm={}, qop=auth, nc={}, cnonce=\"c\"",
            it.response,
            algorithm.as_str(),
            it.nonce_count
        )
    }

    #[test]
    fn the_examples_of_the_rfcs_come_out() {
        let rfc7616 = |algorithm: &str, response: &str| {
            let header = format!(
                "Digest username=\"Mufasa\", realm=\"http-auth@example.org\", uri=\"/dir/index.html\", \
                 algorithm={algorithm}, nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", \
                 nc=00000001, cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\", qop=auth, \
                 response=\"{response}\", opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
            );
            DigestCredentials::parse(&header).unwrap()
        };
        let md5 = rfc7616("MD5", "8ca523f5e9506fed4657c9700eebdbec");
        assert!(md5.matches("GET", "Circle of Life"));
        assert!(!md5.matches("GET", "circle of life"));
        assert!(!md5.matches("PUT", "Circle of Life"));
        let sha256 = "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1";
        assert!(rfc7616("SHA-256", sha256).matches("GET", "Circle of Life"));

        let rfc2617 = "Digest username=\"Mufasa\", realm=\"testrealm@host.com\", \
            nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", uri=\"/dir/index.html\", qop=auth, \
            nc=00000001, cnonce=\"0a4f113b\", response=\"6629fae49393a05397450978507c4ef1\"";
        assert!(DigestCredentials::parse(rfc2617).unwrap().matches("GET", "Circle Of Life"));
    }

    #[test]
    fn any_nonce_count_is_counted_right() {
        for count in [1, 9, 10, 0xff, 0x100, 0xffff_ffff] {
            for algorithm in [Algorithm::Md5, Algorithm::Sha256] {
                let (mut nonces, now, here) = realm();
                let challenge = nonces.challenge(now, here, algorithm, false);
                let header = answer(&challenge, "anna", "pw", "INVITE", count);
                let credentials = DigestCredentials::parse(&header).unwrap();
                let verdict = nonces.verify(now, here, "INVITE", &credentials, Some("pw"));
                assert_eq!(verdict, DigestResult::Good, "{count:x} {algorithm:?}");
            }
        }
    }

    fn realm() -> (Nonces, Instant, IpAddr) {
        let now = Instant::now();
        (Nonces::new(now, "conflow", SipSecret([7; 32])), now, IpAddr::from([192, 0, 2, 1]))
    }

    #[test]
    fn a_nonce_is_good_once_for_one_address_and_for_a_minute() {
        let (mut nonces, now, here) = realm();
        let challenge = nonces.challenge(now, here, Algorithm::Sha256, false);
        let header = answer(&challenge, "anna", "pw", "INVITE", 1);
        let credentials = DigestCredentials::parse(&header).unwrap();
        let mut judge =
            |now, source, method| nonces.verify(now, source, method, &credentials, Some("pw"));
        let (minute, there) = (Duration::from_secs(61), IpAddr::from([192, 0, 2, 2]));
        assert_eq!(judge(now, there, "INVITE"), DigestResult::Stale);
        assert_eq!(judge(now + minute, here, "INVITE"), DigestResult::Stale);
        assert_eq!(judge(now, here, "BYE"), DigestResult::Bad);
        assert_eq!(judge(now, here, "INVITE"), DigestResult::Good);
        assert_eq!(judge(now, here, "INVITE"), DigestResult::Stale);
    }

    /// RFC 2617, section 3.2.2.1; pyVoIP 1.6.8 answers so.
    #[test]
    fn an_answer_without_qop_is_good_once_for_32_seconds() {
        for algorithm in [Algorithm::Md5, Algorithm::Sha256] {
            let (mut nonces, now, here) = realm();
            let challenge = nonces.challenge(now, here, algorithm, false);
            assert!(challenge.contains("qop=\"auth\""), "it is still offered");
            let with_qop = answer(&challenge, "anna", "pw", "REGISTER", 1);
            let mut it = DigestCredentials::parse(&with_qop).unwrap();
            (it.qop, it.nonce_count, it.client_nonce) = <(String, String, String)>::default();
            it.response = it.expected(algorithm, "REGISTER", "pw");
            let mut judge = |after: u64, source, method, password| {
                let now = now + Duration::from_secs(after);
                nonces.verify(now, source, method, &it, Some(password))
            };
            let there = IpAddr::from([192, 0, 2, 2]);
            assert_eq!(judge(0, here, "REGISTER", "wrong"), DigestResult::Bad);
            assert_eq!(judge(0, here, "INVITE", "pw"), DigestResult::Bad);
            assert_eq!(judge(0, there, "REGISTER", "pw"), DigestResult::Stale);
            assert_eq!(judge(33, here, "REGISTER", "pw"), DigestResult::Stale);
            assert_eq!(judge(31, here, "REGISTER", "pw"), DigestResult::Good);
            assert_eq!(judge(31, here, "REGISTER", "pw"), DigestResult::Stale);
        }
        // RFC 2617, section 3.5, without qop: the value that RFC 2069's errata give.
        let rfc2069 = "Digest username=\"Mufasa\", realm=\"testrealm@host.com\", \
            nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", uri=\"/dir/index.html\", \
            response=\"1949323746fe6a43ef61f9606e7febea\", opaque=\"5ccc069c403ebaf9f0171e9517f40e41\",";
        assert!(DigestCredentials::parse(rfc2069).unwrap().matches("GET", "CircleOfLife"));
    }

    #[test]
    fn an_unknown_user_is_answered_like_a_wrong_password() {
        let (mut nonces, now, here) = realm();
        let challenge = nonces.challenge(now, here, Algorithm::Md5, false);
        for (password_sent, password) in [("guess", Some("pw")), (PASSWORD_OF_NOBODY, None)] {
            let header = answer(&challenge, "anna", password_sent, "REGISTER", 1);
            let credentials = DigestCredentials::parse(&header).unwrap();
            let verdict = nonces.verify(now, here, "REGISTER", &credentials, password);
            assert_eq!(verdict, DigestResult::Bad, "{password:?}");
        }
    }

    #[test]
    fn a_forged_nonce_is_stale_at_best() {
        let (mut nonces, now, here) = realm();
        let challenge = "Digest realm=\"conflow\", nonce=\"00000000000000000000000000000001abc\", \
            algorithm=MD5, qop=\"auth\"";
        let header = answer(challenge, "anna", "pw", "INVITE", 1);
        let credentials = DigestCredentials::parse(&header).unwrap();
        assert_eq!(
            nonces.verify(now, here, "INVITE", &credentials, Some("pw")),
            DigestResult::Stale
        );
    }

    #[test]
    fn other_schemes_and_half_a_header_are_no_credentials() {
        for header in ["Basic abc", "NoOneKnowsThis opaque=1", "Digest", "Digest username=\"a\""] {
            assert_eq!(DigestCredentials::parse(header), None, "{header}");
        }
    }

    #[test]
    fn only_used_nonces_are_remembered_and_not_for_long() {
        let (mut nonces, now, here) = realm();
        for second in 0..200 {
            let now = now + Duration::from_secs(second);
            let challenge = nonces.challenge(now, here, Algorithm::Md5, false);
            let header = answer(&challenge, "anna", "pw", "INVITE", 1);
            let credentials = DigestCredentials::parse(&header).unwrap();
            assert_eq!(
                nonces.verify(now, here, "INVITE", &credentials, Some("pw")),
                DigestResult::Good
            );
            nonces.challenge(now, here, Algorithm::Md5, false);
        }
        assert!(nonces.used.len() <= NONCE_LIFE.as_secs() as usize, "{}", nonces.used.len());
    }
}
