//! Digest authentication: MD5 and SHA-256, `qop=auth` (RFC 3261, section 22; RFC 7616; RFC 8760).
//!
//! A nonce is good once, for one address, for a minute. It carries its own proof, so a challenge
//! costs no memory; only nonces that were used are remembered, until they would have expired.
//! The `uri` of the credentials is not compared with the request's: phones write different ones,
//! and a nonce that is good once leaves nothing to replay.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    net::IpAddr,
    time::{Duration, Instant},
};

use md5::{Digest as _, Md5};
use sha2::Sha256;

use super::{
    ids::Secret,
    uri::{split_unquoted, unquote},
};

/// Which hash.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Algorithm {
    /// Weak, and what every phone has.
    Md5,
    /// RFC 8760.
    Sha256,
}

/// What a client sends in Authorization.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Credentials {
    /// Who it says it is.
    pub username: String,
    realm: String,
    nonce: String,
    uri: String,
    response: String,
    algorithm: Option<Algorithm>,
    qop: String,
    nonce_count: String,
    client_nonce: String,
}

/// What credentials are worth.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// The client knows the password.
    Good,
    /// It does, but the nonce has been used, is too old, or is another's: it may try again.
    Stale,
    /// It does not, or nobody of this name is known.
    Bad,
}

/// The nonces of one realm.
#[derive(Debug)]
pub struct Nonces {
    realm: String,
    key: Secret,
    began: Instant,
    last: u64,
    used: BTreeMap<u64, Instant>,
}

/// Long enough for a slow phone to answer, short enough to forget soon.
const NONCE_LIFE: Duration = Duration::from_secs(60);

/// What an unknown user's answer is compared with, so that it takes as long as a known one's.
const PASSWORD_OF_NOBODY: &str = "a password that is never right";

impl Algorithm {
    /// As headers have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
        }
    }

    fn of(text: &str) -> Option<Self> {
        [Self::Md5, Self::Sha256].into_iter().find(|it| it.as_str().eq_ignore_ascii_case(text))
    }

    fn hex(self, text: &str) -> String {
        match self {
            Self::Md5 => hex(&Md5::digest(text)),
            Self::Sha256 => hex(&Sha256::digest(text)),
        }
    }
}

impl Credentials {
    /// Reads an Authorization header; None if it is of another scheme, or lacks a part.
    pub fn parse(header: &str) -> Option<Self> {
        let (scheme, rest) = header.trim().split_once(char::is_whitespace)?;
        if !scheme.eq_ignore_ascii_case("Digest") {
            return None;
        }
        let mut it = Self { algorithm: Some(Algorithm::Md5), ..Self::default() };
        for part in split_unquoted(rest, b',').ok()? {
            let (name, value) = part.split_once('=')?;
            let value = unquote(value.trim());
            match name.trim().to_ascii_lowercase().as_str() {
                "username" => it.username = value,
                "realm" => it.realm = value,
                "nonce" => it.nonce = value,
                "uri" => it.uri = value,
                "response" => it.response = value.to_ascii_lowercase(),
                "algorithm" => it.algorithm = Algorithm::of(&value),
                "qop" => it.qop = value,
                "nc" => it.nonce_count = value,
                "cnonce" => it.client_nonce = value,
                // `opaque` is not ours, and an extension says nothing to us.
                _ => {}
            }
        }
        [&it.username, &it.nonce, &it.response].iter().all(|it| !it.is_empty()).then_some(it)
    }

    /// What `response` must be, if the password is this.
    fn expected(&self, algorithm: Algorithm, method: &str, password: &str) -> String {
        let Self { username, realm, nonce, uri, nonce_count, client_nonce, qop, .. } = self;
        let who = algorithm.hex(&format!("{username}:{realm}:{password}"));
        let what = algorithm.hex(&format!("{method}:{uri}"));
        algorithm.hex(&format!("{who}:{nonce}:{nonce_count}:{client_nonce}:{qop}:{what}"))
    }

    /// For whom they are.
    pub fn realm(&self) -> &str {
        &self.realm
    }

    fn knows(&self, method: &str, password: &str) -> bool {
        let Some(algorithm) = self.algorithm else { return false };
        let expected = self.expected(algorithm, method, password);
        self.qop.eq_ignore_ascii_case("auth") && is_same(&expected, &self.response)
    }
}

impl Nonces {
    /// A realm whose nonces nobody can forge who does not know the key.
    pub fn new(began: Instant, realm: &str, key: Secret) -> Self {
        Self { realm: realm.to_owned(), key, began, last: 0, used: BTreeMap::new() }
    }

    /// The value of a WWW-Authenticate header for a client at this address.
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

    /// Judges credentials; `password` is None for an unknown user. A good nonce is used up by it.
    pub fn judge(
        &mut self,
        now: Instant,
        source: IpAddr,
        method: &str,
        credentials: &Credentials,
        password: Option<&str>,
    ) -> Verdict {
        let knows = credentials.knows(method, password.unwrap_or(PASSWORD_OF_NOBODY));
        if !knows || password.is_none() || credentials.realm != self.realm {
            return Verdict::Bad;
        }
        let Some(number) = self.number(now, source, &credentials.nonce) else {
            return Verdict::Stale;
        };
        self.used.retain(|_, expires| *expires > now);
        match self.used.insert(number, now + NONCE_LIFE) {
            None => Verdict::Good,
            Some(_) => Verdict::Stale,
        }
    }

    /// Which of our nonces this is, if it is one for this address that has not expired.
    fn number(&self, now: Instant, source: IpAddr, nonce: &str) -> Option<u64> {
        let field = |from: usize| u64::from_str_radix(nonce.get(from..from + 16)?, 16).ok();
        let (age, number) = (field(0)?, field(16)?);
        let is_fresh = self.age(now).checked_sub(age)? < NONCE_LIFE.as_secs();
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

/// Compares in constant time: equality of BLAKE3 hashes is.
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

    /// A client's answer to a challenge.
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
        let mut it = Credentials {
            username: user.to_owned(),
            realm: realm.clone(),
            nonce: nonce.clone(),
            uri: "sip:x".to_owned(),
            qop: "auth".to_owned(),
            nonce_count: format!("{nonce_count:08x}"),
            client_nonce: "c".to_owned(),
            ..Credentials::default()
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
            Credentials::parse(&header).unwrap()
        };
        let md5 = rfc7616("MD5", "8ca523f5e9506fed4657c9700eebdbec");
        assert!(md5.knows("GET", "Circle of Life"));
        assert!(!md5.knows("GET", "circle of life"));
        assert!(!md5.knows("PUT", "Circle of Life"));
        let sha256 = "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1";
        assert!(rfc7616("SHA-256", sha256).knows("GET", "Circle of Life"));

        let rfc2617 = "Digest username=\"Mufasa\", realm=\"testrealm@host.com\", \
            nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", uri=\"/dir/index.html\", qop=auth, \
            nc=00000001, cnonce=\"0a4f113b\", response=\"6629fae49393a05397450978507c4ef1\"";
        assert!(Credentials::parse(rfc2617).unwrap().knows("GET", "Circle Of Life"));
    }

    #[test]
    fn any_nonce_count_is_counted_right() {
        for count in [1, 9, 10, 0xff, 0x100, 0xffff_ffff] {
            for algorithm in [Algorithm::Md5, Algorithm::Sha256] {
                let (mut nonces, now, here) = realm();
                let challenge = nonces.challenge(now, here, algorithm, false);
                let header = answer(&challenge, "anna", "pw", "INVITE", count);
                let credentials = Credentials::parse(&header).unwrap();
                let verdict = nonces.judge(now, here, "INVITE", &credentials, Some("pw"));
                assert_eq!(verdict, Verdict::Good, "{count:x} {algorithm:?}");
            }
        }
    }

    fn realm() -> (Nonces, Instant, IpAddr) {
        let now = Instant::now();
        (Nonces::new(now, "conflow", Secret([7; 32])), now, IpAddr::from([192, 0, 2, 1]))
    }

    #[test]
    fn a_nonce_is_good_once_for_one_address_and_for_a_minute() {
        let (mut nonces, now, here) = realm();
        let challenge = nonces.challenge(now, here, Algorithm::Sha256, false);
        let header = answer(&challenge, "anna", "pw", "INVITE", 1);
        let credentials = Credentials::parse(&header).unwrap();
        let mut judge =
            |now, source, method| nonces.judge(now, source, method, &credentials, Some("pw"));
        let (minute, there) = (Duration::from_secs(61), IpAddr::from([192, 0, 2, 2]));
        assert_eq!(judge(now, there, "INVITE"), Verdict::Stale);
        assert_eq!(judge(now + minute, here, "INVITE"), Verdict::Stale);
        assert_eq!(judge(now, here, "BYE"), Verdict::Bad);
        assert_eq!(judge(now, here, "INVITE"), Verdict::Good);
        assert_eq!(judge(now, here, "INVITE"), Verdict::Stale);
    }

    #[test]
    fn an_unknown_user_is_answered_like_a_wrong_password() {
        let (mut nonces, now, here) = realm();
        let challenge = nonces.challenge(now, here, Algorithm::Md5, false);
        for (password_sent, password) in [("guess", Some("pw")), (PASSWORD_OF_NOBODY, None)] {
            let header = answer(&challenge, "anna", password_sent, "REGISTER", 1);
            let credentials = Credentials::parse(&header).unwrap();
            let verdict = nonces.judge(now, here, "REGISTER", &credentials, password);
            assert_eq!(verdict, Verdict::Bad, "{password:?}");
        }
    }

    #[test]
    fn a_forged_nonce_is_stale_at_best() {
        let (mut nonces, now, here) = realm();
        let challenge = "Digest realm=\"conflow\", nonce=\"00000000000000000000000000000001abc\", \
            algorithm=MD5, qop=\"auth\"";
        let header = answer(challenge, "anna", "pw", "INVITE", 1);
        let credentials = Credentials::parse(&header).unwrap();
        assert_eq!(nonces.judge(now, here, "INVITE", &credentials, Some("pw")), Verdict::Stale);
    }

    #[test]
    fn other_schemes_and_half_a_header_are_no_credentials() {
        for header in ["Basic abc", "NoOneKnowsThis opaque=1", "Digest", "Digest username=\"a\""] {
            assert_eq!(Credentials::parse(header), None, "{header}");
        }
    }

    #[test]
    fn only_used_nonces_are_remembered_and_not_for_long() {
        let (mut nonces, now, here) = realm();
        for second in 0..200 {
            let now = now + Duration::from_secs(second);
            let challenge = nonces.challenge(now, here, Algorithm::Md5, false);
            let header = answer(&challenge, "anna", "pw", "INVITE", 1);
            let credentials = Credentials::parse(&header).unwrap();
            assert_eq!(nonces.judge(now, here, "INVITE", &credentials, Some("pw")), Verdict::Good);
            nonces.challenge(now, here, Algorithm::Md5, false);
        }
        assert!(nonces.used.len() <= NONCE_LIFE.as_secs() as usize, "{}", nonces.used.len());
    }
}
