//! Sign-ins: who a request about groups is from, and limits on guesses.

use std::{
    net::IpAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::{sync::Semaphore, time::sleep};

use super::{DecodedRequest, GroupsApi, GroupsRequest};
use crate::{
    accounts::validity::CredentialValidity,
    api::rate_limit::{FailureCounts, Failures, RateLimit},
    base::ids::AccountId,
    credentials::{BadToken, Basis, Bearer, Holder, NewToken, PasswordProof, TokenKind},
    group::{Person, PersonId, PersonName, PersonRef, UnixMillis},
    store::rows::{RowStoreError, WriteError},
};

/// A person whose credentials were valid.
pub(super) struct SignedInUser {
    pub(super) account: AccountId,
    pub(super) person: PersonId,
    pub(super) is_admin_scope: bool,
}

/// What was wrong with a request's credentials.
#[derive(Default)]
pub(super) struct Guess(Mutex<Option<WrongCredentials>>);

enum WrongCredentials {
    /// Nobody has them. With the name that the request has, if it is no secret.
    Unknown(Option<String>),
    /// They were not checked: too many passwords were wrong before.
    Unchecked { wait: Duration },
}

impl Guess {
    /// Counts the guess, if there is one. Some: there were too many, and this is how long to wait.
    pub(super) fn wait(&self, failures: &Failures, now: Instant, peer: IpAddr) -> Option<Duration> {
        match self.0.lock().take()? {
            WrongCredentials::Unknown(name) => failures.failed(now, peer, name.as_deref()).err(),
            WrongCredentials::Unchecked { wait } => Some(wait),
        }
    }
}

impl DecodedRequest {
    /// Marks the request as a guess: nobody has the credentials that it shows.
    pub(super) fn note_bad_credentials(&self, name: Option<&str>) {
        *self.guess.0.lock() = Some(WrongCredentials::Unknown(name.map(str::to_owned)));
    }
}

/// Limits on wrong passwords (OWASP ASVS 4.0.3, 2.2.1). A check takes a CPU for a while, so the limits
/// come before it.
pub(super) struct PasswordGuesses {
    /// By address and person.
    by_both: FailureCounts,
    /// By person.
    by_person: FailureCounts,
    /// Addresses and persons who have signed in there: a bucket of one, which stays empty for long.
    /// Guesses from elsewhere do not keep these persons out.
    known: FailureCounts,
    checks: Semaphore,
    /// The time that the last check took, in microseconds.
    check_micros: AtomicU64,
}

const HOUR: Duration = Duration::from_secs(3_600);
const BY_BOTH: RateLimit = RateLimit::of(10, HOUR);
const BY_PERSON: RateLimit = RateLimit::of(100, HOUR);
/// As long as a session.
const KNOWN: RateLimit = RateLimit::of(1, Duration::from_secs(30 * 86_400));

/// Concurrent password checks. Each takes 19 MiB and a CPU for a while: more at a time would slow
/// all of them down.
const CHECKS_MAX: usize = 2;

impl Default for PasswordGuesses {
    fn default() -> Self {
        Self {
            by_both: FailureCounts::new(BY_BOTH),
            by_person: FailureCounts::new(BY_PERSON),
            known: FailureCounts::new(KNOWN),
            checks: Semaphore::new(CHECKS_MAX),
            check_micros: AtomicU64::new(0),
        }
    }
}

impl PasswordGuesses {
    /// Counts a try before its outcome is known, so that many at a time are no more than one after
    /// the other.
    fn begin(&self, now: Instant, peer: IpAddr, person: &str) -> Result<(), Duration> {
        self.by_both.failed(now, Some(peer), person)?;
        match self.known.check(now, Some(peer), person) {
            Ok(()) => self.by_person.failed(now, None, person),
            Err(_) => Ok(()),
        }
    }

    fn succeeded(&self, now: Instant, peer: IpAddr, person: &str) {
        self.by_both.forgive(Some(peer), person);
        // It is an error if the mark is there already.
        let _ = self.known.failed(now, Some(peer), person);
    }

    /// A person has a new password: their counts begin again, everywhere.
    fn begin_again(&self, person: &str) {
        for counts in [&self.by_both, &self.by_person, &self.known] {
            counts.forgive(None, person);
        }
    }
}

/// The name under which a person's wrong passwords are counted.
fn counted_as(account: &AccountId, person: PersonId) -> String {
    format!("{account} {person}")
}

/// A person who has shown their password.
pub(super) struct LogIn {
    pub(super) account: AccountId,
    pub(super) person: Person,
    proof: PasswordProof,
}

impl GroupsApi {
    /// The person whose token this is. Tokens of applications and tills count as unknown. `name` is
    /// what the request names beside the token.
    pub(super) fn bearer(
        &self,
        request: &GroupsRequest,
        token: &str,
        name: Option<&str>,
    ) -> Result<SignedInUser, BadToken> {
        let Holder { account, bearer } = self.holder(request, token, name)?;
        match bearer {
            Bearer::Person { id, is_admin_scope } => {
                Ok(SignedInUser { account, person: PersonId(id), is_admin_scope })
            }
            Bearer::Application | Bearer::Till(_) | Bearer::Grant { .. } => Err(BadToken::Unknown),
        }
    }

    /// The holder of a token. An unknown token marks the request as a guess.
    pub(super) fn holder(
        &self,
        request: &GroupsRequest,
        token: &str,
        name: Option<&str>,
    ) -> Result<Holder, BadToken> {
        let holder = self.known_holder(token);
        match holder {
            Ok(_) => request.context.principal.note_known(),
            Err(BadToken::Unknown) => request.note_bad_credentials(name),
            Err(BadToken::Expired) => (),
        }
        holder
    }

    /// The holder of a token, whose account must still exist.
    pub(super) fn known_holder(&self, token: &str) -> Result<Holder, BadToken> {
        let holder = self.credentials.holder(self.memberships.now(), token)?;
        match self.app().accounts.has(&holder.account) {
            true => Ok(holder),
            false => Err(BadToken::Unknown),
        }
    }

    /// The holder of a till's password. A wrong one marks the request as a guess.
    pub(super) fn till(&self, request: &GroupsRequest, name: &str, digest: &str) -> Option<Holder> {
        let holder = self.credentials.till(self.memberships.now(), name, digest);
        let holder = holder.filter(|it| self.app().accounts.has(&it.account));
        match holder {
            Some(_) => request.context.principal.note_known(),
            None => request.note_bad_credentials(Some(name)),
        }
        holder
    }

    /// What a stream depends on that a token has opened: the token, and the account of its holder.
    pub(super) fn validity(&self, token: &str) -> Option<CredentialValidity> {
        let now = self.memberships.now();
        let (holder, validity) = self.credentials.validity(now, token).ok()?;
        Some(validity.and(self.app().accounts.life(&holder.account)?.validity()))
    }

    /// Searches all accounts for a person with one of these names. None if two accounts have one.
    async fn find_anywhere(&self, names: &[PersonName]) -> Option<(AccountId, Person)> {
        let mut found = None;
        for account in self.memberships.accounts() {
            if !self.app().accounts.has(&account) {
                continue;
            }
            for name in names {
                let who = PersonRef::Name(name.clone());
                let Ok(person) = self.person(&account, who).await else { continue };
                match found {
                    Some(_) => return None,
                    None => found = Some((account.clone(), person)),
                }
                break;
            }
        }
        found
    }

    /// The person with one of these names and this password. The check is slow on purpose, and as
    /// slow for unknown names, so it runs on a blocking thread.
    pub(super) async fn log_in(
        &self,
        request: &GroupsRequest,
        names: &[PersonName],
        password: &str,
    ) -> Option<LogIn> {
        let (now, peer) = (request.now, request.peer);
        let found = self.find_anywhere(names).await;
        // Unknown names are limited like persons, so that the limit does not tell which names exist.
        let counted = match &found {
            Some((account, person)) => counted_as(account, person.id),
            None => format!("{names:?}"),
        };
        if let Err(wait) = self.passwords.begin(now, peer, &counted) {
            *request.guess.0.lock() = Some(WrongCredentials::Unchecked { wait });
            return None;
        }
        let id = found.as_ref().map(|(_, person)| person.id.0);
        let proof = match id.is_none() && self.app().failures.is_over(now, peer) {
            // Made-up names must not take the CPU from those who sign in at the same address. The
            // answer takes as long as a check.
            true => {
                let micros = self.passwords.check_micros.load(Ordering::Relaxed);
                sleep(Duration::from_micros(micros)).await;
                None
            }
            false => self.check_password(id, password).await,
        };
        let Some((proof, (account, person))) = proof.zip(found) else {
            request.note_bad_credentials(Some(&counted));
            return None;
        };
        self.passwords.succeeded(now, peer, &counted);
        request.context.principal.note_known();
        Some(LogIn { account, person, proof })
    }

    async fn check_password(&self, person: Option<u64>, password: &str) -> Option<PasswordProof> {
        let permit = self.passwords.checks.acquire().await;
        let (credentials, text) = (self.credentials.clone(), password.to_owned());
        let begun = tokio::time::Instant::now();
        let check = tokio::task::spawn_blocking(move || credentials.check_password(person, &text));
        let proof = check.await.unwrap_or(None);
        let micros = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.passwords.check_micros.store(micros, Ordering::Relaxed);
        drop(permit);
        proof
    }

    /// Issues the session of a person who has logged in. None: their password has been changed since.
    pub(super) async fn open_session(
        &self,
        log_in: &LogIn,
        ms: u64,
    ) -> Result<Option<String>, WriteError> {
        let LogIn { account, person, proof } = log_in;
        let bearer = Bearer::Person { id: person.id.0, is_admin_scope: false };
        let holder = Holder { account: account.clone(), bearer };
        self.issue(TokenKind::Session, holder, Some(ms), Basis::Password(proof)).await
    }

    /// Issues a token that is valid for so many milliseconds, and waits until it is durable. None: its
    /// basis is no longer valid.
    pub(super) async fn issue(
        &self,
        kind: TokenKind,
        holder: Holder,
        ms: Option<u64>,
        basis: Basis<'_>,
    ) -> Result<Option<String>, WriteError> {
        let created = self.memberships.now();
        let until = ms.map(|ms| UnixMillis(created.0 + ms));
        let (done, committed) = super::durable();
        let new = NewToken { holder, kind, created, until };
        let token = self.credentials.issue(new, basis, done).map_err(|it| failed(&it))?;
        super::written(committed).await?;
        Ok(token)
    }

    /// Sets a person's password, which ends their sessions and tokens, and waits until it is durable.
    pub(super) async fn set_password(
        &self,
        account: &AccountId,
        person: PersonId,
        text: &str,
    ) -> Result<(), WriteError> {
        let (done, committed) = super::durable();
        let (credentials, owner) = (self.credentials.clone(), account.clone());
        let text = text.to_owned();
        let permit = self.passwords.checks.acquire().await;
        let set = tokio::task::spawn_blocking(move || {
            credentials.set_password(&owner, person.0, &text, done)
        });
        let set = set.await.unwrap_or_else(|error| Err(RowStoreError(error.to_string())));
        set.map_err(|it| failed(&it))?;
        drop(permit);
        super::written(committed).await?;
        self.passwords.begin_again(&counted_as(account, person));
        Ok(())
    }
}

/// The system has no random numbers, which nobody has ever seen.
fn failed(error: &RowStoreError) -> WriteError {
    tracing::error!("{error}");
    WriteError::Io
}
