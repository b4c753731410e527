//! Digest client: our answers to the challenges of a far end that we called.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use super::{
    digest::{Algorithm, DigestCredentials, SipPassword, parameters},
    message::SipMessage,
    name::HeaderName,
};

/// A user name and password for one far end.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DigestAccount {
    /// The user name, as the far end knows it.
    pub username: Arc<str>,
    /// The password that goes with it.
    pub password: SipPassword,
    /// The only realm that gets an answer. None: any realm of the host that was called.
    pub realm: Option<Arc<str>>,
}

/// The challenges of one far end, and what is needed to answer them. Without an account, no
/// challenge is answered.
#[derive(Clone, Debug, Default)]
pub struct DigestClient {
    account: Option<DigestAccount>,
    challenges: Vec<Challenge>,
}

/// A challenge, as one header of a 401 or 407 gives it.
#[derive(Clone, Debug)]
pub struct Challenge {
    /// The header of our answer.
    header: HeaderName,
    realm: String,
    nonce: String,
    opaque: Option<String>,
    /// None: one that we do not know.
    algorithm: Option<Algorithm>,
    has_auth: bool,
    /// It has a qop, but not `auth`.
    is_unusable: bool,
    is_stale: bool,
    /// Answers with this nonce so far, of all requests that have it from one another.
    nonce_count: Arc<AtomicU32>,
    /// Whether it came as the answer to an earlier call, so that its nonce may be out of date.
    is_earlier: bool,
    /// Whether the current request has been sent with an answer to it.
    is_answered: bool,
    /// New nonces for the current request (`stale`).
    renewals: u8,
}

/// Most new nonces that a request may need.
const RENEWALS_MAX: u8 = 1;

/// Limit of realms that challenge one call: proxies on the way, and the far end.
const REALMS_MAX: usize = 4;

impl DigestClient {
    /// A client that has received no challenge yet.
    pub fn new(account: Option<DigestAccount>) -> Self {
        Self::with_earlier(account, Vec::new())
    }

    /// A client that answers what the far end has asked before, without being asked again.
    pub fn with_earlier(account: Option<DigestAccount>, earlier: Vec<Challenge>) -> Self {
        let mut challenges = earlier;
        let may_answer = |it: &Challenge| account.as_ref().is_some_and(|by| by.may_answer(it));
        challenges.retain(may_answer);
        for it in &mut challenges {
            (it.is_earlier, it.is_answered, it.renewals) = (true, false, 0);
        }
        Self { account, challenges }
    }

    /// The user name of its answers. None: it gives none.
    pub fn username(&self) -> Option<&Arc<str>> {
        self.account.as_ref().map(|it| &it.username)
    }

    /// The account of its answers. None: it gives none.
    pub(super) fn account(&self) -> Option<&DigestAccount> {
        self.account.as_ref()
    }

    /// The challenges of the far end so far.
    pub fn challenges(&self) -> &[Challenge] {
        &self.challenges
    }

    /// Whether the current request has been sent with an answer to a challenge of its own.
    pub fn has_answered(&self) -> bool {
        self.challenges.iter().any(|it| it.is_answered && !it.is_earlier)
    }

    /// Begins another request, which may be challenged again.
    pub fn begin_request(&mut self) {
        for it in &mut self.challenges {
            (it.is_answered, it.renewals) = (false, 0);
        }
    }

    /// Takes the challenges of a 401 or 407. Returns false if the request must not be sent again: the
    /// password is wrong, we have none, or we can answer none of them.
    pub fn challenged(&mut self, response: &SipMessage) -> bool {
        let Some(account) = &self.account else { return false };
        let of = |header, answer: HeaderName| {
            let all = response.all(header).filter_map(move |text| Challenge::parse(text, &answer));
            all.collect::<Vec<_>>()
        };
        let mut all = of(&HeaderName::WwwAuthenticate, HeaderName::Authorization);
        all.extend(of(&HeaderName::ProxyAuthenticate, HeaderName::ProxyAuthorization));
        all.retain(|it| it.algorithm.is_some() && !it.is_unusable);
        all.retain(|it| account.may_answer(it));
        // The first that we know counts for each realm.
        let mut usable: Vec<Challenge> = Vec::new();
        for it in all {
            if !usable.iter().any(|other| it.replaces(other)) {
                usable.push(it);
            }
        }
        let has_any = !usable.is_empty();
        usable.into_iter().all(|it| self.take(it)) && has_any
    }

    /// Takes one challenge. Returns false if it refuses our answer, or there are too many.
    fn take(&mut self, mut new: Challenge) -> bool {
        let Some(known) = self.challenges.iter_mut().find(|it| new.replaces(it)) else {
            self.challenges.push(new);
            return self.challenges.len() <= REALMS_MAX;
        };
        if known.is_answered && !known.is_earlier {
            if !new.is_stale || RENEWALS_MAX <= known.renewals {
                return false;
            }
            new.renewals = known.renewals + 1;
        }
        *known = new;
        true
    }

    /// Returns the headers with our answers, for one request. `client_nonce` must be random.
    pub fn answers(
        &mut self,
        method: &str,
        uri: &str,
        client_nonce: &str,
    ) -> Vec<(HeaderName, String)> {
        let Some(account) = &self.account else { return Vec::new() };
        let answer = |it: &mut Challenge| {
            let text = it.answer(account, method, uri, client_nonce);
            (it.header.clone(), text)
        };
        self.challenges.iter_mut().map(answer).collect()
    }
}

impl DigestAccount {
    fn may_answer(&self, challenge: &Challenge) -> bool {
        self.realm.as_ref().is_none_or(|realm| challenge.realm == **realm)
    }
}

impl Challenge {
    fn parse(text: &str, header: &HeaderName) -> Option<Self> {
        let mut it = Self {
            header: header.clone(),
            realm: String::new(),
            nonce: String::new(),
            opaque: None,
            algorithm: Some(Algorithm::Md5),
            has_auth: false,
            is_unusable: false,
            is_stale: false,
            nonce_count: Arc::default(),
            is_earlier: false,
            is_answered: false,
            renewals: 0,
        };
        for (name, value) in parameters(text)? {
            match name.as_str() {
                "realm" => it.realm = value,
                "nonce" => it.nonce = value,
                "opaque" => it.opaque = Some(value),
                "algorithm" => it.algorithm = Algorithm::of(&value),
                "stale" => it.is_stale = value.eq_ignore_ascii_case("true"),
                "qop" => {
                    it.has_auth = value.split(',').any(|it| it.trim().eq_ignore_ascii_case("auth"));
                    it.is_unusable = !it.has_auth;
                }
                // `domain` is for HTTP; extensions are ignored.
                _ => {}
            }
        }
        (!it.nonce.is_empty()).then_some(it)
    }

    fn replaces(&self, other: &Self) -> bool {
        self.header == other.header && self.realm == other.realm
    }

    fn answer(
        &mut self,
        account: &DigestAccount,
        method: &str,
        uri: &str,
        client_nonce: &str,
    ) -> String {
        self.is_answered = true;
        let nonce_count = self.nonce_count.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let algorithm = self.algorithm.expect("challenges that we do not know are not kept");
        let mut parts = DigestCredentials {
            username: account.username.to_string(),
            realm: self.realm.clone(),
            nonce: self.nonce.clone(),
            uri: uri.to_owned(),
            ..DigestCredentials::default()
        };
        if self.has_auth {
            parts.qop = "auth".to_owned();
            parts.nonce_count = format!("{nonce_count:08x}");
            parts.client_nonce = client_nonce.to_owned();
        }
        let response = parts.expected(algorithm, method, account.password.reveal());
        let mut text = format!(
            "Digest username={}, realm={}, nonce={}, uri={}, response=\"{response}\", algorithm={}",
            quoted(&parts.username),
            quoted(&parts.realm),
            quoted(&parts.nonce),
            quoted(uri),
            algorithm.as_str()
        );
        if let Some(opaque) = &self.opaque {
            text.push_str(&format!(", opaque={}", quoted(opaque)));
        }
        if self.has_auth {
            let DigestCredentials { nonce_count, client_nonce, .. } = &parts;
            text.push_str(&format!(
                ", qop=auth, nc={nonce_count}, cnonce={}",
                quoted(client_nonce)
            ));
        }
        text
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> DigestClient {
        let (username, password) = ("anna".into(), SipPassword::new("pw"));
        DigestClient::new(Some(DigestAccount { username, password, realm: None }))
    }

    fn challenged(client: &mut DigestClient, headers: &str) -> bool {
        let text = format!("SIP/2.0 401 x\r\nVia: SIP/2.0/UDP x\r\n{headers}\r\n");
        client.challenged(&SipMessage::parse(text.as_bytes()).unwrap().unwrap())
    }

    fn answers(client: &mut DigestClient) -> Vec<String> {
        let all = client.answers("INVITE", "sip:b", "0a4f");
        all.into_iter().map(|(name, text)| format!("{}: {text}", name.as_str())).collect()
    }

    #[test]
    fn the_first_known_algorithm_is_answered_and_opaque_comes_back() {
        let mut it = client();
        let headers = "WWW-Authenticate: Digest realm=\"r\", nonce=\"1\", algorithm=SHA-512\r\n\
             WWW-Authenticate: Digest realm=\"r\", nonce=\"2\", algorithm=SHA-256, qop=\"auth\", opaque=\"o\"\r\n\
             WWW-Authenticate: Digest realm=\"r\", nonce=\"3\"\r\n";
        assert!(challenged(&mut it, headers));
        let all = answers(&mut it);
        assert_eq!(all.len(), 1);
        let start =
            "Authorization: Digest username=\"anna\", realm=\"r\", nonce=\"2\", uri=\"sip:b\"";
        let end = "algorithm=SHA-256, opaque=\"o\", qop=auth, nc=00000001, cnonce=\"0a4f\"";
        assert!(all[0].starts_with(start) && all[0].ends_with(end), "{}", all[0]);
        assert!(answers(&mut it)[0].contains("nc=00000002"));
        let checked = DigestCredentials::parse(&all[0]["Authorization: ".len()..]).unwrap();
        assert!(checked.matches("INVITE", "pw") && !checked.matches("INVITE", "other"));
    }

    #[test]
    fn server_and_proxy_are_answered_at_once_without_qop_too() {
        let mut it = client();
        let headers = "WWW-Authenticate: Digest realm=\"r\", nonce=\"1\"\r\n\
             Proxy-Authenticate: Digest realm=\"p\", nonce=\"2\", qop=\"auth-int,auth\"\r\n";
        assert!(challenged(&mut it, headers));
        let all = answers(&mut it);
        assert!(all[0].starts_with("Authorization: ") && !all[0].contains("qop"), "{}", all[0]);
        assert!(all[1].starts_with("Proxy-Authorization: ") && all[1].contains("qop=auth"));
        let checked = DigestCredentials::parse(&all[0]["Authorization: ".len()..]).unwrap();
        assert!(checked.matches("INVITE", "pw"));
    }

    #[test]
    fn a_wrong_password_is_not_sent_twice_and_a_stale_nonce_is_renewed_once() {
        let challenge = |nonce: &str, stale: &str| {
            format!("WWW-Authenticate: Digest realm=\"r\", nonce=\"{nonce}\"{stale}\r\n")
        };
        let mut it = client();
        assert!(challenged(&mut it, &challenge("1", "")));
        answers(&mut it);
        assert!(it.has_answered());
        assert!(!challenged(&mut it, &challenge("2", "")), "a wrong password");
        assert!(challenged(&mut it, &challenge("3", ", stale=TRUE")));
        assert!(answers(&mut it)[0].contains("nonce=\"3\""));
        assert!(!challenged(&mut it, &challenge("4", ", stale=true")), "once is enough");
        it.begin_request();
        assert!(challenged(&mut it, &challenge("5", "")), "another request");
    }

    #[test]
    fn what_cannot_be_answered_is_not() {
        for headers in [
            "",
            "WWW-Authenticate: Basic realm=\"r\"\r\n",
            "WWW-Authenticate: Digest realm=\"r\", nonce=\"1\", qop=\"auth-int\"\r\n",
            "WWW-Authenticate: Digest realm=\"r\", nonce=\"1\", algorithm=MD5-sess\r\n",
        ] {
            assert!(!challenged(&mut client(), headers), "{headers}");
        }
        let good = "WWW-Authenticate: Digest realm=\"r\", nonce=\"1\"\r\n";
        assert!(!challenged(&mut DigestClient::default(), good), "no password");
        let mut other = client();
        other.account.iter_mut().for_each(|it| it.realm = Some("other".into()));
        assert!(!challenged(&mut other, good), "not for this realm");
    }
}
