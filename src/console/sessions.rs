//! Sessions of the console: who has signed in, and the one-time codes that sign in by a link.
//!
//! A session has two secrets. One is in a cookie. Cookies do not separate ports, so any program on
//! the same host may get it; the other, the key, is in the browser's `localStorage`, which is per
//! origin, and the page sends it with each request. Only hashes of both are kept, and only in memory:
//! a restart signs everybody out.
//!
//! A session lives as long as the token that has opened it. It holds that token's life weakly, so a
//! token that is removed or replaced in any way ends its sessions.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use blake3::Hash;
use parking_lot::Mutex;

use crate::{
    accounts::{
        AuthenticatedAccount, Role,
        validity::{CredentialLife, CredentialValidity},
    },
    base::ids::AccountId,
};

/// The longest life of a session: a working day.
pub const SESSION_MAX: Duration = Duration::from_secs(12 * 3_600);
/// The life of a session that nobody uses.
pub const IDLE_MAX: Duration = Duration::from_secs(2 * 3_600);
/// The life of a one-time code.
pub const CODE_MAX: Duration = Duration::from_secs(10 * 60);
/// Sessions of one account; the least recently used one makes room. A browser has one.
pub const SESSIONS_MAX: usize = 64;

/// Bytes of each secret of a session.
const SECRET_BYTES: usize = 32;
/// Bytes of a one-time code.
const CODE_BYTES: usize = 16;

/// The open sessions and the unused codes.
#[derive(Debug, Default)]
pub struct ConsoleSessions(Mutex<SessionTable>);

#[derive(Debug, Default)]
struct SessionTable {
    /// By the hash of the cookie.
    sessions: HashMap<Hash, ConsoleSession>,
    /// By the hash of the code.
    codes: HashMap<Hash, (SignedInToken, Instant)>,
}

#[derive(Debug)]
struct ConsoleSession {
    token: SignedInToken,
    key: Hash,
    opened_at: Instant,
    used_at: Instant,
    life: CredentialLife,
}

/// The token of a session.
#[derive(Clone, Debug)]
struct SignedInToken {
    account: AccountId,
    by: Arc<str>,
    role: Role,
    life: Weak<CredentialLife>,
}

/// A session that a request has shown.
#[derive(Debug)]
pub struct OpenSession {
    /// The account of the token.
    pub account: AccountId,
    /// The token's label, and that it was used by the console.
    pub by: Arc<str>,
    /// The permissions of the token.
    pub role: Role,
    /// The life of the token.
    pub life: Arc<CredentialLife>,
    /// What streams of the session depend on, besides the token.
    pub validity: CredentialValidity,
    /// The time until the session ends, if it is used.
    pub left: Duration,
}

/// The secrets of a new session, as hexadecimal digits. They are shown once.
#[derive(Debug)]
pub struct SessionSecrets {
    /// The half that is in a cookie, which no script can read.
    pub cookie: String,
    /// The half that the page sends as `X-Conflow-Console`.
    pub key: String,
}

/// The operating system has no random numbers.
#[derive(Debug, thiserror::Error)]
#[error("the system has no random numbers")]
pub struct NoRandomness;

impl ConsoleSessions {
    /// Opens a session for a token that was shown.
    ///
    /// # Errors
    ///
    /// [`NoRandomness`]
    pub fn open(
        &self,
        now: Instant,
        shown: &AuthenticatedAccount,
    ) -> Result<(SessionSecrets, OpenSession), NoRandomness> {
        self.open_for(now, SignedInToken::of(shown)).map(|it| it.expect("the token is held"))
    }

    /// Opens a session for a one-time code, which is used up; None if there is no such code.
    ///
    /// # Errors
    ///
    /// [`NoRandomness`]
    pub fn redeem(
        &self,
        now: Instant,
        code: &str,
    ) -> Result<Option<(SessionSecrets, OpenSession)>, NoRandomness> {
        let found = self.0.lock().codes.remove(&hash(code));
        match found {
            Some((token, until)) if now < until => self.open_for(now, token),
            Some(_) | None => Ok(None),
        }
    }

    /// None if the token has ended.
    fn open_for(
        &self,
        now: Instant,
        token: SignedInToken,
    ) -> Result<Option<(SessionSecrets, OpenSession)>, NoRandomness> {
        let secrets =
            SessionSecrets { cookie: random::<SECRET_BYTES>()?, key: random::<SECRET_BYTES>()? };
        let (life, key) = (CredentialLife::default(), hash(&secrets.key));
        let session = ConsoleSession { token, key, opened_at: now, used_at: now, life };
        let Some(open) = session.open(now) else { return Ok(None) };
        let mut table = self.0.lock();
        table.remove_ended(now);
        table.make_room(&open.account);
        table.sessions.insert(hash(&secrets.cookie), session);
        Ok(Some((secrets, open)))
    }

    /// The session of a cookie, if it has this key, and neither it nor its token has ended.
    pub fn find(&self, now: Instant, cookie: &str, key: &str) -> Option<OpenSession> {
        let (cookie, key) = (hash(cookie), hash(key));
        let mut table = self.0.lock();
        let session = table.sessions.get_mut(&cookie).filter(|it| it.key == key)?;
        let open = session.open(now);
        match open {
            Some(_) => session.used_at = now,
            None => drop(table.sessions.remove(&cookie)),
        }
        open
    }

    /// Ends the session of a cookie with this key, and its streams.
    pub fn close(&self, cookie: &str, key: &str) {
        let mut table = self.0.lock();
        let cookie = hash(cookie);
        if table.sessions.get(&cookie).is_some_and(|it| it.key == hash(key)) {
            // Its life ends as it is dropped.
            table.sessions.remove(&cookie);
        }
    }

    /// A code that signs in once, within [`CODE_MAX`], as a token of this account.
    ///
    /// # Errors
    ///
    /// [`NoRandomness`]
    pub fn issue_code(
        &self,
        now: Instant,
        shown: &AuthenticatedAccount,
    ) -> Result<String, NoRandomness> {
        let code = random::<CODE_BYTES>()?;
        let until = now + CODE_MAX;
        self.0.lock().codes.insert(hash(&code), (SignedInToken::of(shown), until));
        Ok(code)
    }
}

impl SessionTable {
    fn remove_ended(&mut self, now: Instant) {
        self.sessions.retain(|_, it| it.open(now).is_some());
        self.codes.retain(|_, (_, until)| now < *until);
    }

    /// Removes the least recently used session of an account that has its maximum.
    fn make_room(&mut self, account: &AccountId) {
        let own = || self.sessions.iter().filter(|(_, it)| it.token.account == *account);
        if own().count() < SESSIONS_MAX {
            return;
        }
        let oldest = own().min_by_key(|(_, it)| it.used_at).map(|(cookie, _)| *cookie);
        if let Some(oldest) = oldest {
            self.sessions.remove(&oldest);
        }
    }
}

impl ConsoleSession {
    /// None if it has ended.
    fn open(&self, now: Instant) -> Option<OpenSession> {
        let age = now.saturating_duration_since(self.opened_at);
        let left = SESSION_MAX.checked_sub(age).filter(|it| !it.is_zero())?;
        if IDLE_MAX <= now.saturating_duration_since(self.used_at) {
            return None;
        }
        let life = self.token.life.upgrade().filter(|it| !it.validity().is_over())?;
        let validity = self.life.validity().until(tokio::time::Instant::from_std(now + left));
        let SignedInToken { account, by, role, .. } = self.token.clone();
        Some(OpenSession { account, by, role, life, validity, left })
    }
}

impl SignedInToken {
    fn of(shown: &AuthenticatedAccount) -> Self {
        let AuthenticatedAccount { account, token, role, life } = shown;
        let by = format!("{token} (console)").into();
        Self { account: account.clone(), by, role: *role, life: Arc::downgrade(life) }
    }
}

fn hash(secret: &str) -> Hash {
    blake3::hash(secret.as_bytes())
}

/// So many random bytes, as hexadecimal digits.
fn random<const N: usize>() -> Result<String, NoRandomness> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::Accounts;

    fn now() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn accounts(token: &str) -> Accounts {
        let mut accounts = Accounts::new([7; 32]);
        accounts.add(&"MA1".parse().unwrap(), token).unwrap();
        accounts
    }

    #[test]
    fn a_session_needs_both_of_its_secrets() {
        let (accounts, sessions, now) = (accounts("one"), ConsoleSessions::default(), now());
        let token = accounts.verify("MA1", "one").unwrap();
        let (secrets, _) = sessions.open(now, &token).unwrap();
        let (other, _) = sessions.open(now, &token).unwrap();
        let find = |cookie: &str, key: &str| sessions.find(now, cookie, key).is_some();
        assert!(find(&secrets.cookie, &secrets.key));
        assert!(!find(&secrets.cookie, &other.key) && !find(&other.cookie, &secrets.key));
        assert!(!find(&secrets.key, &secrets.cookie) && !find(&secrets.cookie, ""));
        let by = sessions.find(now, &secrets.cookie, &secrets.key).unwrap().by;
        assert_eq!(&*by, "config-1 (console)");
    }

    #[test]
    fn a_session_ends_after_a_day_of_work_or_two_idle_hours() {
        let (accounts, sessions, begin) = (accounts("one"), ConsoleSessions::default(), now());
        let token = accounts.verify("MA1", "one").unwrap();
        let (idle, _) = sessions.open(begin, &token).unwrap();
        let (busy, _) = sessions.open(begin, &token).unwrap();
        let find = |it: &SessionSecrets, seconds| {
            let now = begin + Duration::from_secs(seconds);
            sessions.find(now, &it.cookie, &it.key).map(|it| it.left.as_secs())
        };
        for hour in 1..=11 {
            assert_eq!(find(&busy, hour * 3_600), Some((12 - hour) * 3_600));
        }
        assert_eq!(find(&busy, 12 * 3_600), None);
        assert_eq!(find(&idle, 2 * 3_600), None);
        assert_eq!(find(&idle, 1), None, "it is removed once it has ended");
    }

    #[test]
    fn a_session_and_its_streams_end_with_its_token_and_when_it_is_closed() {
        let (accounts, sessions, now) = (accounts("one"), ConsoleSessions::default(), now());
        let token = accounts.verify("MA1", "one").unwrap();
        let (secrets, open) = sessions.open(now, &token).unwrap();
        let (closed, stream) = sessions.open(now, &token).unwrap();
        sessions.close(&closed.cookie, "another key");
        assert!(!stream.validity.is_over());
        sessions.close(&closed.cookie, &closed.key);
        assert!(stream.validity.is_over() && !open.validity.is_over());
        assert!(sessions.find(now, &closed.cookie, &closed.key).is_none());
        let stream = open.life.validity();
        // As a reload does: the account has another token now.
        let mut other = accounts.empty();
        other.add(&"MA1".parse().unwrap(), "two").unwrap();
        accounts.set_configured(other);
        assert!(stream.is_over());
        assert!(sessions.find(now, &secrets.cookie, &secrets.key).is_none());
    }

    #[test]
    fn a_code_signs_in_once_and_not_for_long() {
        let (accounts, sessions, now) = (accounts("one"), ConsoleSessions::default(), now());
        let token = accounts.verify("MA1", "one").unwrap();
        let code = sessions.issue_code(now, &token).unwrap();
        assert_eq!(code.len(), 32);
        assert!(sessions.redeem(now, "").unwrap().is_none());
        assert!(sessions.redeem(now, &code).unwrap().is_some());
        assert!(sessions.redeem(now, &code).unwrap().is_none());
        let late = sessions.issue_code(now, &token).unwrap();
        assert!(sessions.redeem(now + CODE_MAX, &late).unwrap().is_none());
        let gone = sessions.issue_code(now, &token).unwrap();
        drop(token);
        drop(accounts);
        assert!(sessions.redeem(now, &gone).unwrap().is_none(), "its token has ended");
    }

    #[test]
    fn an_account_has_so_many_sessions_and_the_one_unused_for_longest_makes_room() {
        let (accounts, sessions, now) = (accounts("one"), ConsoleSessions::default(), now());
        let token = accounts.verify("MA1", "one").unwrap();
        let open = |at| sessions.open(now + Duration::from_secs(at), &token).unwrap().0;
        let all: Vec<_> = (0..SESSIONS_MAX as u64).map(open).collect();
        let find = |it: &SessionSecrets, at| {
            sessions.find(now + Duration::from_secs(at), &it.cookie, &it.key).is_some()
        };
        assert!(find(&all[0], 100));
        open(101);
        assert!(find(&all[0], 102) && !find(&all[1], 102) && find(&all[2], 102));
    }
}
