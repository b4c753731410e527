//! Stored accounts: one row each in the store, with hashes instead of tokens.
//!
//! Vendors sign callbacks with the account's token itself, so a hash alone is not enough. A token
//! is therefore derived from the key, the account and a random seed, and derived again when it is
//! needed. The store has hash and seed, the key is in a file of its own, and neither reveals a
//! token without the other. A read-only token signs nothing and has no seed.

use std::{fmt, sync::Arc, time::SystemTime};

use blake3::Hash;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::removal::{PRESENT, REMOVED, commit, split};
use super::token::{READ_ONLY_TOKENS_MAX, Role, TOKENS_MAX};
use crate::{
    base::{
        ids::{AccountId, Dialect},
        utc,
    },
    store::rows::{RowStore, RowStoreError, RowWrite, StoredRow, Table},
};

/// The stored accounts of a data folder.
pub struct AccountStore {
    rows: Arc<dyn RowStore>,
    key: [u8; 32],
    /// The rows as [`AccountStore::changed`] read them last.
    last: Mutex<Option<Vec<StoredRow>>>,
}

/// A stored account with its tokens.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StoredAccount {
    /// Id of the account, the key of its row.
    pub id: AccountId,
    /// Dialect of the account's inbound calls.
    pub dialect: Dialect,
    /// Valid tokens, oldest first.
    pub tokens: Vec<StoredToken>,
    /// Number of the newest token that was ever made.
    last: u32,
}

/// What `conflow account` has done since the last look.
#[derive(Debug)]
pub struct StoredChange {
    /// The accounts as they are now.
    pub accounts: Vec<StoredAccount>,
    /// Accounts that were removed, and whose people are still in the store ([`purge`](super::removal::purge)). One may have
    /// been added again since.
    pub removed: Vec<AccountId>,
}

/// A token's metadata; secret parts are private.
#[derive(Clone, Eq, PartialEq)]
pub struct StoredToken {
    /// Rises per account and is never reused.
    pub number: u32,
    /// Permissions of the token.
    pub role: Role,
    /// Time of creation, in UTC.
    pub made: String,
    pub(super) hash: Hash,
    /// The token, to sign with; None for a read-only one.
    pub(super) text: Option<String>,
    seed: Option<[u8; SEED_BYTES]>,
}

/// Reason why a change of an account is refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AccountStoreError {
    /// There is an account with this id already.
    #[error(
        "{0} is there already: conflow account rotate {0} gives it another token, and add {0} \
         --read-only a read-only one"
    )]
    Exists(AccountId),
    /// There is no account with this id.
    #[error("{0} is no account of this data folder: conflow account list shows them")]
    Missing(AccountId),
    /// The account has no token of this kind yet, or has one already.
    #[error("{account} {why}")]
    Tokens {
        /// Account that is unchanged.
        account: AccountId,
        /// The error, and the command that helps.
        why: String,
    },
    /// The store or the system's random numbers failed.
    #[error(transparent)]
    Rows(#[from] RowStoreError),
}

#[derive(Deserialize, Serialize)]
struct AccountRow {
    dialect: Dialect,
    last: u32,
    tokens: Vec<AccountTokenRow>,
}

#[derive(Deserialize, Serialize)]
struct AccountTokenRow {
    number: u32,
    is_read_only: bool,
    made: String,
    hash: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<[u8; SEED_BYTES]>,
}

/// 160 bits as hexadecimal digits: the length of the vendors' tokens.
const TOKEN_BYTES: usize = 20;
/// 128 bits, so that no two tokens share a seed.
const SEED_BYTES: usize = 16;
/// Separates the key that derives tokens from the one that hashes them.
const TOKEN_KEY_CONTEXT: &str = "conflow 2026-11 tokens of accounts";

/// Checks that a row is an account; it does not check the key.
///
/// # Errors
///
/// [`RowStoreError`]: the row is invalid.
pub fn check(row: &StoredRow) -> Result<(), RowStoreError> {
    match row.a {
        REMOVED => Ok(()),
        _ => body(row).map(drop),
    }
}

fn body(row: &StoredRow) -> Result<AccountRow, RowStoreError> {
    serde_json::from_str(&row.body).map_err(|error| failed(row, &error))
}

fn failed(row: &StoredRow, why: &dyn fmt::Display) -> RowStoreError {
    RowStoreError(format!("the account {}: {why}", row.account))
}

impl AccountStore {
    /// A store that has read nothing yet. `key` is the data folder's.
    pub fn new(rows: Arc<dyn RowStore>, key: [u8; 32]) -> Self {
        Self { rows, key, last: Mutex::default() }
    }

    /// The accounts, by id.
    ///
    /// # Errors
    ///
    /// [`RowStoreError`]: the rows cannot be read, or were made with another key.
    pub fn load(&self) -> Result<Vec<StoredAccount>, RowStoreError> {
        split(self.rows.load(Table::Accounts)?).0.iter().map(|row| self.parse(row)).collect()
    }

    /// The accounts, if they have changed since the last call, or if the people of removed ones are
    /// still in the store.
    ///
    /// # Errors
    ///
    /// As for [`Self::load`]; an unchanged error is reported once.
    pub fn changed(&self) -> Result<Option<StoredChange>, RowStoreError> {
        let (rows, removed) = split(self.rows.load(Table::Accounts)?);
        let mut last = self.last.lock();
        if last.as_ref() == Some(&rows) && removed.is_empty() {
            return Ok(None);
        }
        let accounts = rows.iter().map(|row| self.parse(row)).collect::<Result<_, _>>();
        *last = Some(rows);
        Ok(Some(StoredChange { accounts: accounts?, removed }))
    }

    /// Adds an account; returns its token, which cannot be read again.
    ///
    /// # Errors
    ///
    /// [`AccountStoreError`]: nothing has changed.
    pub fn add(
        &self,
        id: &AccountId,
        dialect: Dialect,
        now: SystemTime,
    ) -> Result<String, AccountStoreError> {
        if self.find(id).is_ok() {
            return Err(AccountStoreError::Exists(id.clone()));
        }
        let mut stored = StoredAccount { id: id.clone(), dialect, tokens: Vec::new(), last: 0 };
        let token = self.make_token(&mut stored, Role::Full, now)?;
        self.put(&stored)?;
        Ok(token)
    }

    /// Sets the dialect of an account's inbound calls.
    ///
    /// # Errors
    ///
    /// [`AccountStoreError`]: nothing has changed.
    pub fn set_dialect(&self, id: &AccountId, dialect: Dialect) -> Result<(), AccountStoreError> {
        let stored = StoredAccount { dialect, ..self.find(id)? };
        Ok(self.put(&stored)?)
    }

    /// Adds a read-only token of an account and returns it; it cannot be read again.
    ///
    /// # Errors
    ///
    /// [`AccountStoreError`]: nothing has changed.
    pub fn add_read_only(
        &self,
        id: &AccountId,
        now: SystemTime,
    ) -> Result<String, AccountStoreError> {
        let mut stored = self.find(id)?;
        if READ_ONLY_TOKENS_MAX <= stored.of(Role::ReadOnly).count() {
            let why = format!(
                "has {READ_ONLY_TOKENS_MAX} read-only tokens already: take one out with remove {id} \
                 --token"
            );
            return Err(AccountStoreError::Tokens { account: id.clone(), why });
        }
        let token = self.make_token(&mut stored, Role::ReadOnly, now)?;
        self.put(&stored)?;
        Ok(token)
    }

    /// Adds a second token of a role and returns it; it cannot be read again.
    ///
    /// # Errors
    ///
    /// [`AccountStoreError`]: nothing has changed.
    pub fn rotate(
        &self,
        id: &AccountId,
        role: Role,
        now: SystemTime,
    ) -> Result<String, AccountStoreError> {
        let mut stored = self.find(id)?;
        let flag = flag(role);
        let labels: Vec<_> = stored.of(role).map(|it| it.label().to_string()).collect();
        let why = match labels.len() {
            0 => Some(format!("has no such token yet: conflow account add {id}{flag}")),
            count if count < role.tokens_max() => None,
            _ => Some(format!(
                "has {} already: take the oldest one out with rotate {id}{flag} --finish",
                labels.join(" and ")
            )),
        };
        if let Some(why) = why {
            return Err(AccountStoreError::Tokens { account: id.clone(), why });
        }
        let token = self.make_token(&mut stored, role, now)?;
        self.put(&stored)?;
        Ok(token)
    }

    /// Removes the older token of a role; returns its label.
    ///
    /// # Errors
    ///
    /// [`AccountStoreError`]: nothing has changed.
    pub fn finish(&self, id: &AccountId, role: Role) -> Result<Arc<str>, AccountStoreError> {
        let mut stored = self.find(id)?;
        if stored.of(role).count() < TOKENS_MAX {
            let why = format!("has no older token to take out: rotate {id}{} first", flag(role));
            return Err(AccountStoreError::Tokens { account: id.clone(), why });
        }
        let oldest = stored.tokens.iter().position(|it| it.role == role).expect("it has two");
        let label = stored.tokens.remove(oldest).label();
        self.put(&stored)?;
        Ok(label)
    }

    /// Gives each account new tokens made with this store's key: a full one, and a read-only one if it
    /// had one. Returns them by account; the old ones end, whatever key they were made with.
    ///
    /// # Errors
    ///
    /// [`AccountStoreError`]: nothing has changed.
    pub fn reset(
        &self,
        now: SystemTime,
    ) -> Result<Vec<(AccountId, Role, String)>, AccountStoreError> {
        let (mut tokens, mut writes) = (Vec::new(), Vec::new());
        for row in split(self.rows.load(Table::Accounts)?).0 {
            let AccountRow { dialect, last, tokens: old } = body(&row)?;
            let id = row.account.clone();
            let mut stored = StoredAccount { id: id.clone(), dialect, tokens: Vec::new(), last };
            let has_reader = old.iter().any(|it| it.is_read_only);
            for role in
                [Some(Role::Full), has_reader.then_some(Role::ReadOnly)].into_iter().flatten()
            {
                tokens.push((id.clone(), role, self.make_token(&mut stored, role, now)?));
            }
            writes.push(self.row(&stored));
        }
        self.commit(writes)?;
        Ok(tokens)
    }

    /// Removes an account and its tokens. An engine deletes its people: at once, or when it starts.
    ///
    /// # Errors
    ///
    /// [`AccountStoreError`]: nothing has changed.
    pub fn remove(&self, id: &AccountId) -> Result<(), AccountStoreError> {
        self.find(id)?;
        let removed = RowWrite::put(Table::Accounts, id, REMOVED, &());
        Ok(self.commit(vec![RowWrite::delete(Table::Accounts, id, PRESENT), removed])?)
    }

    /// Removes one token by its label. The last token that signs cannot be removed.
    ///
    /// # Errors
    ///
    /// [`AccountStoreError`]: nothing has changed.
    pub fn remove_token(&self, id: &AccountId, label: &str) -> Result<(), AccountStoreError> {
        let mut stored = self.find(id)?;
        let failed = |why: String| AccountStoreError::Tokens { account: id.clone(), why };
        let place = stored.tokens.iter().position(|it| &*it.label() == label);
        let place = place.ok_or_else(|| failed(format!("has no token {label}")))?;
        let role = stored.tokens.remove(place).role;
        if role == Role::Full && stored.of(Role::Full).next().is_none() {
            return Err(failed(format!("has no token but {label}: rotate {id} first")));
        }
        Ok(self.put(&stored)?)
    }

    fn find(&self, id: &AccountId) -> Result<StoredAccount, AccountStoreError> {
        let found = self.load()?.into_iter().find(|it| it.id == *id);
        found.ok_or_else(|| AccountStoreError::Missing(id.clone()))
    }

    fn make_token(
        &self,
        stored: &mut StoredAccount,
        role: Role,
        now: SystemTime,
    ) -> Result<String, RowStoreError> {
        let mut seed = [0; SEED_BYTES];
        let filled = getrandom::fill(&mut seed);
        filled.map_err(|error| RowStoreError(format!("no random numbers: {error}")))?;
        let text = self.token(&stored.id, &seed);
        stored.last += 1;
        let is_full = role == Role::Full;
        stored.tokens.push(StoredToken {
            number: stored.last,
            role,
            made: utc::seconds(now),
            hash: self.hash(&text),
            text: is_full.then(|| text.clone()),
            seed: is_full.then_some(seed),
        });
        Ok(text)
    }

    fn token(&self, id: &AccountId, seed: &[u8]) -> String {
        let key = blake3::derive_key(TOKEN_KEY_CONTEXT, &self.key);
        let made = [seed, id.as_str().as_bytes()].concat();
        let made = blake3::keyed_hash(&key, &made);
        made.as_bytes()[..TOKEN_BYTES].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn hash(&self, token: &str) -> Hash {
        blake3::keyed_hash(&self.key, token.as_bytes())
    }

    fn parse(&self, row: &StoredRow) -> Result<StoredAccount, RowStoreError> {
        let AccountRow { dialect, last, tokens } = body(row)?;
        let token = |it: AccountTokenRow| {
            let hash = Hash::from_hex(&it.hash).map_err(|error| failed(row, &error))?;
            let text = it.seed.map(|seed| self.token(&row.account, &seed));
            if text.as_ref().is_some_and(|text| self.hash(text) != hash) {
                let why = "it was made with another account-key than the one in the data folder: \
                           bring that file back from a backup";
                return Err(failed(row, &why));
            }
            let role = if it.is_read_only { Role::ReadOnly } else { Role::Full };
            let AccountTokenRow { number, made, seed, .. } = it;
            Ok(StoredToken { number, role, made, hash, text, seed })
        };
        let tokens = tokens.into_iter().map(token).collect::<Result<_, _>>()?;
        Ok(StoredAccount { id: row.account.clone(), dialect, tokens, last })
    }

    fn put(&self, stored: &StoredAccount) -> Result<(), RowStoreError> {
        self.commit(vec![self.row(stored)])
    }

    fn row(&self, stored: &StoredAccount) -> RowWrite {
        let token = |it: &StoredToken| AccountTokenRow {
            number: it.number,
            is_read_only: it.role == Role::ReadOnly,
            made: it.made.clone(),
            hash: it.hash.to_hex().to_string(),
            seed: it.seed,
        };
        let tokens = stored.tokens.iter().map(token).collect();
        let body = AccountRow { dialect: stored.dialect, last: stored.last, tokens };
        let body = Some(serde_json::to_string(&body).expect("names and numbers are JSON"));
        RowWrite { table: Table::Accounts, account: stored.id.clone(), a: PRESENT, b: 0, body }
    }

    fn commit(&self, writes: Vec<RowWrite>) -> Result<(), RowStoreError> {
        commit(&*self.rows, writes)
    }
}

impl StoredAccount {
    fn of(&self, role: Role) -> impl Iterator<Item = &StoredToken> {
        self.tokens.iter().filter(move |it| it.role == role)
    }
}

impl StoredToken {
    /// Name of the token in logs and lists, such as `t2`.
    pub fn label(&self) -> Arc<str> {
        format!("t{}", self.number).into()
    }
}

fn flag(role: Role) -> &'static str {
    match role {
        Role::Full => "",
        Role::ReadOnly => " --read-only",
    }
}

impl fmt::Debug for AccountStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccountStore").finish_non_exhaustive()
    }
}

/// Leaves the secrets out.
impl fmt::Debug for StoredToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, role, made, .. } = self;
        f.debug_struct("StoredToken")
            .field("number", number)
            .field("role", role)
            .field("made", made)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
