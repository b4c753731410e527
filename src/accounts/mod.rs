//! Accounts and their tokens: checks who may use the API, and signs requests to receivers.
//!
//! Tokens of incoming requests are compared with keyed hashes. Outgoing requests are signed with
//! the tokens themselves, which are never printed. Accounts of the configuration file are added at
//! the start and stay; those of the store ([`mod@file`]) may change while the engine runs.

pub mod file;
pub mod removal;
mod token;
pub mod validity;

use std::{collections::HashMap, fmt, sync::Arc};

use blake3::Hash;
use parking_lot::RwLock;

pub use self::token::{READ_ONLY_TOKENS_MAX, Role, TOKENS_MAX};
use self::{file::StoredAccount, validity::CredentialLife};
use crate::{
    base::ids::{AccountId, Dialect},
    fetch::signature::Signer,
};

/// All accounts of the process, from the configuration and the store.
pub struct Accounts {
    key: [u8; 32],
    accounts: RwLock<HashMap<Box<str>, AccountEntry>>,
}

struct AccountEntry {
    id: AccountId,
    dialect: Dialect,
    origin: Origin,
    tokens: Vec<AccountToken>,
    life: Arc<CredentialLife>,
    /// Tokens of both signers are newest first.
    plivo: Arc<Signer>,
    vobiz: Arc<Signer>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Origin {
    /// Removed while the engine runs: its tokens are refused, and its last calls are still signed.
    Removed,
    Stored,
    Config,
}

struct AccountToken {
    label: Arc<str>,
    role: Role,
    hash: Hash,
    life: Arc<CredentialLife>,
}

/// Result of a successful authentication.
#[derive(Clone, Debug)]
pub struct AuthenticatedAccount {
    /// Account that the token belongs to.
    pub account: AccountId,
    /// Label of the token in logs: `t2`, or `config-1` for one of the configuration.
    pub token: Arc<str>,
    /// Permissions of the token.
    pub role: Role,
    /// The life of the token, on which streams depend.
    pub life: Arc<CredentialLife>,
}

impl AccountToken {
    fn new(label: Arc<str>, role: Role, hash: Hash) -> Self {
        Self { label, role, hash, life: Arc::default() }
    }
}

impl AccountEntry {
    fn new(id: AccountId, origin: Origin) -> Self {
        let signer = |dialect| Arc::new(Signer { dialect, tokens: Vec::new(), parent_token: None });
        let (plivo, vobiz) = (signer(Dialect::Plivo), signer(Dialect::Vobiz));
        let dialect = Dialect::default();
        let tokens = Vec::with_capacity(TOKENS_MAX);
        Self { id, dialect, origin, tokens, life: Arc::default(), plivo, vobiz }
    }

    fn of_stored(account: &StoredAccount) -> Self {
        let mut row = Self::new(account.id.clone(), Origin::Stored);
        row.dialect = account.dialect;
        for token in &account.tokens {
            row.tokens.push(AccountToken::new(token.label(), token.role, token.hash));
            if let Some(text) = &token.text {
                row.sign_with(text);
            }
        }
        row
    }

    /// Takes the place of `old`: the streams of its tokens that are still here go on, and all others
    /// end.
    fn replace(&mut self, old: Self) {
        self.life = old.life;
        for token in old.tokens {
            let is_same = |it: &&mut AccountToken| it.hash == token.hash && it.role == token.role;
            match self.tokens.iter_mut().find(is_same) {
                Some(same) => same.life = token.life,
                None => token.life.end(),
            }
        }
    }

    fn remove(&mut self) {
        self.origin = Origin::Removed;
        self.life.end();
        self.tokens.drain(..).for_each(|it| it.life.end());
    }

    /// Call it with older tokens first.
    fn sign_with(&mut self, token: &str) {
        for signer in [&mut self.plivo, &mut self.vobiz] {
            Arc::make_mut(signer).tokens.insert(0, token.to_owned());
        }
    }
}

/// Reason why a configured token is refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TokenError {
    /// The token is empty, or has characters that no header can carry.
    #[error("the token of {account} must be 1 or more visible ASCII characters")]
    Unprintable {
        /// Account that the token is for.
        account: AccountId,
    },
    /// The account has its maximum of this kind already.
    #[error("{account} has {max} such tokens already: take one out first")]
    TooMany {
        /// Account that the token is for.
        account: AccountId,
        /// As many as it may have.
        max: usize,
    },
}

impl Accounts {
    /// An empty set. `key` is random and as secret as a token; stored accounts need the key that
    /// they were made with.
    pub fn new(key: [u8; 32]) -> Self {
        Self { key, accounts: RwLock::default() }
    }

    /// Adds a full token of an account of the configuration; the account may have one already.
    ///
    /// # Errors
    ///
    /// [`TokenError`]: nothing has changed.
    pub fn add(&mut self, account: &AccountId, token: &str) -> Result<(), TokenError> {
        self.add_as(account, token, Role::Full)
    }

    /// Adds a token of an account of the configuration.
    ///
    /// # Errors
    ///
    /// [`TokenError`]: nothing has changed.
    pub fn add_as(
        &mut self,
        account: &AccountId,
        token: &str,
        role: Role,
    ) -> Result<(), TokenError> {
        let account = account.clone();
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TokenError::Unprintable { account });
        }
        let hash = self.hash(token);
        let new = || AccountEntry::new(account.clone(), Origin::Config);
        let row = self.accounts.get_mut().entry(account.as_str().into()).or_insert_with(new);
        let count = row.tokens.iter().filter(|it| it.role == role).count();
        let max = role.tokens_max();
        if count == max {
            return Err(TokenError::TooMany { account, max });
        }

        let kind = match role {
            Role::Full => "config",
            Role::ReadOnly => "config-read",
        };
        let label = format!("{kind}-{}", count + 1).into();
        row.tokens.push(AccountToken::new(label, role, hash));
        if role == Role::Full {
            row.sign_with(token);
        }
        Ok(())
    }

    /// Sets the dialect of the inbound calls of an account of the configuration.
    pub fn set_dialect(&mut self, account: &AccountId, dialect: Dialect) {
        let new = || AccountEntry::new(account.clone(), Origin::Config);
        self.accounts.get_mut().entry(account.as_str().into()).or_insert_with(new).dialect =
            dialect;
    }

    /// An empty set whose key is that of this one.
    pub fn empty(&self) -> Self {
        Self::new(self.key)
    }

    /// Replaces the accounts of the configuration by those of another set with the same key, and ends
    /// the streams of all tokens that are gone.
    pub fn set_configured(&self, configured: Self) {
        let configured = configured.accounts.into_inner();
        let mut rows = self.accounts.write();
        let is_gone = |it: &AccountEntry| {
            it.origin == Origin::Config && !configured.contains_key(it.id.as_str())
        };
        rows.values_mut().filter(|it| is_gone(it)).for_each(AccountEntry::remove);
        for (id, mut row) in configured {
            if let Some(old) = rows.remove(&id).filter(|it| it.origin == Origin::Config) {
                row.replace(old);
            }
            rows.insert(id, row);
        }
    }

    /// Replaces the stored accounts, and ends the streams of all tokens that are gone. Skips accounts
    /// whose id is in the configuration, and returns their ids.
    pub fn set_stored(&self, stored: &[StoredAccount]) -> Vec<AccountId> {
        let mut rows = self.accounts.write();
        let is_gone = |it: &AccountEntry| {
            it.origin == Origin::Stored && !stored.iter().any(|stored| stored.id == it.id)
        };
        rows.values_mut().filter(|it| is_gone(it)).for_each(AccountEntry::remove);
        let mut clashes = Vec::new();
        for account in stored {
            if rows.get(account.id.as_str()).is_some_and(|it| it.origin == Origin::Config) {
                clashes.push(account.id.clone());
                continue;
            }
            let mut row = AccountEntry::of_stored(account);
            let old = rows.remove(account.id.as_str());
            if let Some(old) = old.filter(|it| it.origin == Origin::Stored) {
                row.replace(old);
            }
            rows.insert(account.id.as_str().into(), row);
        }
        clashes
    }

    /// Authenticates an account by one of its tokens. A failure takes equally long whatever is
    /// wrong.
    pub fn verify(&self, id: &str, token: &str) -> Option<AuthenticatedAccount> {
        // Before the lookup, so that an unknown account takes as long as a known one.
        let hash = self.hash(token);
        let rows = self.accounts.read();
        let row = rows.get(id)?;
        // Compares with all of them, each in constant time (`Hash` does so).
        let found = row
            .tokens
            .iter()
            .fold(None, |found, token| if token.hash == hash { Some(token) } else { found });
        found.map(|it| AuthenticatedAccount {
            account: row.id.clone(),
            token: it.label.clone(),
            role: it.role,
            life: it.life.clone(),
        })
    }

    /// The life of an account, which ends when it is removed; None if it does not exist.
    pub fn life(&self, account: &AccountId) -> Option<Arc<CredentialLife>> {
        let rows = self.accounts.read();
        let row = rows.get(account.as_str()).filter(|it| it.origin != Origin::Removed)?;
        Some(row.life.clone())
    }

    /// Signer of an account's requests in a dialect; None if the account never existed.
    pub fn signer(&self, account: &AccountId, dialect: Dialect) -> Option<Arc<Signer>> {
        let rows = self.accounts.read();
        let row = rows.get(account.as_str())?;
        Some(match dialect {
            Dialect::Plivo => row.plivo.clone(),
            Dialect::Vobiz => row.vobiz.clone(),
        })
    }

    /// Dialect of an account's inbound calls.
    pub fn dialect(&self, account: &AccountId) -> Dialect {
        self.accounts.read().get(account.as_str()).map_or_else(Dialect::default, |it| it.dialect)
    }

    /// Whether the account exists and is not removed.
    pub fn has(&self, account: &AccountId) -> bool {
        self.accounts.read().get(account.as_str()).is_some_and(|it| it.origin != Origin::Removed)
    }

    /// Whether the account is one of the configuration.
    pub fn is_configured(&self, account: &AccountId) -> bool {
        self.accounts.read().get(account.as_str()).is_some_and(|it| it.origin == Origin::Config)
    }

    /// Ids of all accounts, sorted.
    pub fn ids(&self) -> Vec<AccountId> {
        let rows = self.accounts.read();
        let existing = rows.values().filter(|it| it.origin != Origin::Removed);
        let mut ids: Vec<_> = existing.map(|row| row.id.clone()).collect();
        ids.sort_unstable();
        ids
    }

    fn hash(&self, token: &str) -> Hash {
        blake3::keyed_hash(&self.key, token.as_bytes())
    }
}

impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.ids().iter().map(AccountId::as_str)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(id: &str) -> AccountId {
        id.parse().unwrap()
    }

    fn accounts() -> Accounts {
        let mut accounts = Accounts::new([7; 32]);
        for (id, token) in [("MA1", "old-token"), ("MA1", "new-token"), ("MA2", "other")] {
            accounts.add(&account(id), token).unwrap();
        }
        accounts
    }

    #[test]
    fn both_tokens_of_an_account_are_good_and_no_others() {
        let accounts = accounts();
        let check = |id, token, expected: Option<&str>| {
            let found = accounts.verify(id, token).map(|it| it.account);
            assert_eq!(found.as_ref().map(AccountId::as_str), expected, "{id} {token}");
        };
        check("MA1", "old-token", Some("MA1"));
        check("MA1", "new-token", Some("MA1"));
        check("MA1", "other", None);
        check("MA1", "", None);
        check("MA2", "other", Some("MA2"));
        check("MA3", "other", None);
        check("ma2", "other", None);
    }

    #[test]
    fn a_third_token_and_one_that_no_header_carries_are_refused() {
        let mut accounts = accounts();
        let (first, second) = (account("MA1"), account("MA2"));
        let too_many = TokenError::TooMany { account: first.clone(), max: 2 };
        assert_eq!(accounts.add(&first, "third"), Err(too_many));
        for token in ["", "a b", "tökn", "a\n"] {
            let unprintable = TokenError::Unprintable { account: second.clone() };
            assert_eq!(accounts.add(&second, token), Err(unprintable), "{token:?}");
        }
    }

    #[test]
    fn read_only_tokens_of_the_configuration_have_labels_of_their_own_and_sign_nothing() {
        let (mut accounts, id) = (accounts(), account("MA2"));
        for n in 1..=READ_ONLY_TOKENS_MAX {
            accounts.add_as(&id, &format!("read-{n}"), Role::ReadOnly).unwrap();
        }
        let too_many = TokenError::TooMany { account: id.clone(), max: READ_ONLY_TOKENS_MAX };
        assert_eq!(accounts.add_as(&id, "one-more", Role::ReadOnly), Err(too_many));
        let reader = accounts.verify("MA2", "read-3").unwrap();
        assert_eq!((&*reader.token, reader.role), ("config-read-3", Role::ReadOnly));
        accounts.add(&id, "second").unwrap();
        assert_eq!(&*accounts.verify("MA2", "second").unwrap().token, "config-2");
        let signer = accounts.signer(&id, Dialect::Vobiz).unwrap();
        assert_eq!(signer.tokens, ["second", "other"]);
    }

    #[test]
    fn tokens_hashes_and_the_key_are_never_printed() {
        let mut accounts = Accounts::new([7; 32]);
        accounts.add(&account("MA1"), "s3cret").unwrap();
        assert_eq!(format!("{accounts:?}"), r#"{"MA1"}"#);
        let signer = accounts.signer(&account("MA1"), Dialect::Plivo);
        assert!(!format!("{signer:?}").contains("s3cret"));
    }
}
