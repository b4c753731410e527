//! Credentials for groups: tokens as keyed hashes, passwords as argon2id hashes.

mod password;
mod token;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, mpsc},
    time::Duration,
};

use blake3::Hash;
use parking_lot::RwLock;
use serde::Serialize;
use tokio::time::Instant;

use self::{
    password::PasswordHash,
    token::{CredentialToken, TokenRow},
};
pub use self::{
    password::PasswordProof,
    token::{Bearer, Holder, ListedToken, NewToken, TokenKind, TokenOwner},
};
use crate::{
    accounts::validity::CredentialValidity,
    base::ids::AccountId,
    group::UnixMillis,
    store::rows::{OnCommit, RowStore, RowStoreError, RowWrite, StoredRow, Table, WriteError},
};

/// Every token and password of a data folder. It stores hashes only.
pub struct GroupCredentials {
    store: Arc<dyn RowStore>,
    key: [u8; 32],
    tables: Arc<RwLock<CredentialTables>>,
}

#[derive(Default)]
struct CredentialTables {
    last: u64,
    tokens: BTreeMap<[u8; 32], CredentialToken>,
    passwords: BTreeMap<u64, PasswordHash>,
}

/// Reason why a token is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BadToken {
    /// No holder has this token.
    #[error("no token")]
    Unknown,
    /// The token was valid until a time in the past.
    #[error("the token has expired")]
    Expired,
}

/// What a new token is issued for. It is issued only if that is still valid when the token is stored:
/// a password that is changed meanwhile gives no session.
#[derive(Clone, Copy, Debug)]
pub enum Basis<'a> {
    /// The account's operator wants it.
    Operator,
    /// A password that was checked.
    Password(&'a PasswordProof),
    /// The password of a till, with its name and digest.
    Till(&'a str, &'a str),
}

/// The tables of tokens and passwords.
pub const TABLES: [Table; 2] = [Table::Tokens, Table::Passwords];
/// 160 bits, which nobody can guess.
const TOKEN_BYTES: usize = 20;

impl GroupCredentials {
    /// Reads all tokens and passwords; makes the key if there is none yet.
    ///
    /// # Errors
    ///
    /// [`RowStoreError`]: the store cannot be read, or the system has no random numbers.
    pub fn open(store: Arc<dyn RowStore>) -> Result<Self, RowStoreError> {
        let key = key(&*store)?;
        let mut tables = CredentialTables::default();
        for stored in store.load(Table::Tokens)? {
            let row: TokenRow = parse(&stored)?;
            let hash =
                Hash::from_hex(&row.hash).map_err(|error| RowStoreError(error.to_string()))?;
            tables.last = tables.last.max(stored.a);
            tables.tokens.insert(*hash.as_bytes(), CredentialToken::of_row(stored.a, row));
        }
        for stored in store.load(Table::Passwords)? {
            tables.passwords.insert(stored.a, parse(&stored)?);
        }
        Ok(Self { store, key, tables: Arc::new(RwLock::new(tables)) })
    }

    /// Makes a token; `done` is called once it is durable. None: its basis is no longer valid.
    ///
    /// # Errors
    ///
    /// [`RowStoreError`]: the system has no random numbers.
    pub fn issue(
        &self,
        new: NewToken,
        basis: Basis<'_>,
        done: OnCommit,
    ) -> Result<Option<String>, RowStoreError> {
        let token = random_token()?;
        let mut tables = self.tables.write();
        let is_valid = match basis {
            Basis::Operator => true,
            Basis::Password(proof) => tables.has_password(proof),
            Basis::Till(name, digest) => {
                let hash = self.hash(&till_secret(name, digest));
                tables.valid(new.created, &hash).is_ok()
            }
        };
        if !is_valid {
            done(Ok(()));
            return Ok(None);
        }
        let (hash, write) = self.insert(&mut tables, new, &token);
        let done = self.or_undo(done, move |tables| drop(tables.tokens.remove(&hash)));
        self.store.commit(vec![write], done);
        Ok(Some(token))
    }

    /// Uses a grant up, and makes an access token and the next grant, which expire at `until`: all of
    /// it or nothing. Returns the person and both tokens; None if it is no grant of this account. Of
    /// two concurrent uses, one succeeds.
    ///
    /// # Errors
    ///
    /// [`RowStoreError`]: the system has no random numbers.
    pub fn exchange(
        &self,
        now: UnixMillis,
        account: &AccountId,
        grant: &str,
        until: [UnixMillis; 2],
        done: OnCommit,
    ) -> Result<Option<(u64, [String; 2])>, RowStoreError> {
        let [access, refresh] = [random_token()?, random_token()?];
        let hash = self.hash(grant);
        let mut tables = self.tables.write();
        let found = tables.valid(now, &hash).ok().filter(|it| it.holder.account == *account);
        let Some(&Bearer::Grant { id, is_admin_scope }) = found.map(|it| &it.holder.bearer) else {
            done(Ok(()));
            return Ok(None);
        };
        let used = tables.tokens.remove(hash.as_bytes()).expect("it was found");
        let new = |bearer, kind, until| NewToken {
            holder: Holder { account: account.clone(), bearer },
            kind,
            created: now,
            until: Some(until),
        };
        let [access_until, refresh_until] = until;
        let person = Bearer::Person { id, is_admin_scope };
        let next = Bearer::Grant { id, is_admin_scope };
        let next = new(next, TokenKind::Refresh, refresh_until);
        let person = new(person, TokenKind::Access, access_until);
        let (person, put_person) = self.insert(&mut tables, person, &access);
        let (next, put_next) = self.insert(&mut tables, next, &refresh);
        let writes = vec![used.removal(), put_person, put_next];
        let done = self.or_undo(done, move |tables| {
            tables.tokens.retain(|it, _| *it != person && *it != next);
            tables.tokens.insert(*hash.as_bytes(), used);
        });
        self.store.commit(writes, done);
        Ok(Some((id, [access, refresh])))
    }

    /// Adds a token, and returns its hash and the write of its row.
    fn insert(
        &self,
        tables: &mut CredentialTables,
        new: NewToken,
        token: &str,
    ) -> ([u8; 32], RowWrite) {
        // A till sends the digest of its password, never the password (contract 4.1).
        let hash = match (&new.holder.bearer, new.kind) {
            (Bearer::Till(name), TokenKind::Till) => self.hash(&till_secret(name, &md5_hex(token))),
            _ => self.hash(token),
        };
        tables.last += 1;
        let token = CredentialToken::new(tables.last, new);
        let write = token.write(&hash);
        tables.tokens.insert(*hash.as_bytes(), token);
        (*hash.as_bytes(), write)
    }

    /// `done`, after the change is undone if it could not be written. Until then, `undo` holds what
    /// was removed: its streams end when that is durable.
    fn or_undo(
        &self,
        done: OnCommit,
        undo: impl FnOnce(&mut CredentialTables) + Send + 'static,
    ) -> OnCommit {
        let tables = self.tables.clone();
        Box::new(move |written| {
            match written {
                Ok(()) => drop(undo),
                Err(_) => undo(&mut tables.write()),
            }
            done(written);
        })
    }

    /// Revokes a token and returns its holder. None if there is no such token: if two requests
    /// revoke it concurrently, one of them gets the holder.
    pub fn revoke(&self, token: &str, done: OnCommit) -> Option<Holder> {
        let hash = self.hash(token);
        let mut tables = self.tables.write();
        let Some(token) = tables.tokens.remove(hash.as_bytes()) else {
            done(Ok(()));
            return None;
        };
        let (holder, removal) = (token.holder.clone(), token.removal());
        let undo = move |tables: &mut CredentialTables| {
            tables.tokens.insert(*hash.as_bytes(), token);
        };
        self.store.commit(vec![removal], self.or_undo(done, undo));
        Some(holder)
    }

    /// Forgets the tokens of an account that is removed, which ends what they have opened. Their rows
    /// are deleted by others. Passwords without a person are of no use to anybody.
    pub fn forget(&self, account: &AccountId) {
        self.tables.write().tokens.retain(|_, token| token.holder.account != *account);
    }

    /// Removes the tokens that have expired at `now`.
    pub fn purge(&self, now: UnixMillis) {
        let mut tables = self.tables.write();
        let mut writes = Vec::new();
        tables.tokens.retain(|_, token| {
            let is_over = token.until.is_some_and(|until| until <= now);
            if is_over {
                writes.push(token.removal());
            }
            !is_over
        });
        if !writes.is_empty() {
            self.store.commit_soon(writes, Box::new(drop));
        }
    }

    /// The holder of a token. The hash is keyed, so that the duration of the lookup reveals
    /// nothing.
    ///
    /// # Errors
    ///
    /// [`BadToken`]: nobody has the token, or it has expired.
    pub fn holder(&self, now: UnixMillis, token: &str) -> Result<Holder, BadToken> {
        let hash = self.hash(token);
        let tables = self.tables.read();
        let token = tables.valid(now, &hash)?;
        if token.is_used(now) {
            // Under the lock, so that it cannot follow a removal.
            self.store.commit_soon(vec![token.write(&hash)], Box::new(drop));
        }
        Ok(token.holder.clone())
    }

    /// The holder of a token, and what a stream depends on that it has opened.
    ///
    /// # Errors
    ///
    /// As for [`Self::holder`].
    pub fn validity(
        &self,
        now: UnixMillis,
        token: &str,
    ) -> Result<(Holder, CredentialValidity), BadToken> {
        let tables = self.tables.read();
        let token = tables.valid(now, &self.hash(token))?;
        let validity = token.life.get_or_init(Default::default).validity();
        let left = token.until.map(|until| Duration::from_millis(until.0.saturating_sub(now.0)));
        let validity = match left.and_then(|left| Instant::now().checked_add(left)) {
            Some(until) => validity.until(until),
            None => validity,
        };
        Ok((token.holder.clone(), validity))
    }

    /// The holder of a till's password; `digest` is its MD5 in hexadecimal digits.
    pub fn till(&self, now: UnixMillis, name: &str, digest: &str) -> Option<Holder> {
        self.holder(now, &till_secret(name, &digest.to_ascii_lowercase())).ok()
    }

    /// The valid tokens of an owner, oldest first.
    pub fn list(
        &self,
        now: UnixMillis,
        account: &AccountId,
        owner: TokenOwner<'_>,
    ) -> Vec<ListedToken> {
        let tables = self.tables.read();
        let tokens = tables.tokens.values().filter(|it| {
            it.holder.account == *account
                && owner.has(&it.holder.bearer)
                && it.until.is_none_or(|until| now < until)
        });
        let mut listed: Vec<_> = tokens.map(CredentialToken::listed).collect();
        listed.sort_unstable_by_key(|it| it.id);
        listed
    }

    /// Revokes the tokens of an owner, or only the one with this id. Returns their number; `done` is
    /// called once it is durable.
    pub fn revoke_of(
        &self,
        account: &AccountId,
        owner: TokenOwner<'_>,
        id: Option<u64>,
        done: OnCommit,
    ) -> usize {
        let mut tables = self.tables.write();
        let taken = tables.take_out(account, owner, id);
        let count = taken.len();
        if count == 0 {
            done(Ok(()));
            return 0;
        }
        let writes = taken.iter().map(|(_, token)| token.removal()).collect();
        let done = self.or_undo(done, move |tables| tables.tokens.extend(taken));
        self.store.commit(writes, done);
        count
    }

    /// Sets a person's password, and revokes all of their tokens: whoever knew the old one is out
    /// (OWASP ASVS 4.0.3, 3.3.3). Takes some 20 ms of processor time.
    ///
    /// # Errors
    ///
    /// [`RowStoreError`]: the system has no random numbers.
    pub fn set_password(
        &self,
        account: &AccountId,
        person: u64,
        text: &str,
        done: OnCommit,
    ) -> Result<(), RowStoreError> {
        let password = PasswordHash::new(text, random()?);
        let mut tables = self.tables.write();
        let taken = tables.take_out(account, TokenOwner::Person(person), None);
        let mut writes: Vec<_> = taken.iter().map(|(_, token)| token.removal()).collect();
        writes.push(RowWrite::put(Table::Passwords, account, person, &password));
        let before = tables.passwords.insert(person, password);
        let done = self.or_undo(done, move |tables| {
            tables.tokens.extend(taken);
            match before {
                Some(before) => tables.passwords.insert(person, before),
                None => tables.passwords.remove(&person),
            };
        });
        self.store.commit(writes, done);
        Ok(())
    }

    /// Whether this is a person's password. Takes some 20 ms of processor time, even for None.
    pub fn check_password(&self, person: Option<u64>, text: &str) -> Option<PasswordProof> {
        let row = person.and_then(|it| self.tables.read().passwords.get(&it).cloned());
        let is_right = PasswordHash::is_right(row.as_ref(), text);
        let row = row.filter(|_| is_right)?;
        person.map(|person| PasswordProof { person, salt: row.salt })
    }

    fn hash(&self, token: &str) -> Hash {
        blake3::keyed_hash(&self.key, token.as_bytes())
    }
}

impl CredentialTables {
    /// Whether the password is still the one of the proof.
    fn has_password(&self, proof: &PasswordProof) -> bool {
        self.passwords.get(&proof.person).is_some_and(|it| it.salt == proof.salt)
    }

    /// Removes tokens, and returns them. Dropping one ends its streams.
    fn take_out(
        &mut self,
        account: &AccountId,
        owner: TokenOwner<'_>,
        id: Option<u64>,
    ) -> Vec<([u8; 32], CredentialToken)> {
        let is_meant = |token: &CredentialToken| {
            token.holder.account == *account
                && owner.has(&token.holder.bearer)
                && id.is_none_or(|it| it == token.number)
        };
        self.tokens.extract_if(.., |_, token| is_meant(token)).collect()
    }

    fn valid(&self, now: UnixMillis, hash: &Hash) -> Result<&CredentialToken, BadToken> {
        let token = self.tokens.get(hash.as_bytes()).ok_or(BadToken::Unknown)?;
        match token.until.is_some_and(|until| until <= now) {
            true => Err(BadToken::Expired),
            false => Ok(token),
        }
    }
}

impl fmt::Debug for GroupCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupCredentials").finish_non_exhaustive()
    }
}

/// Checks that a row of tokens, of passwords, or the key can be read.
///
/// # Errors
///
/// [`RowStoreError`]: the row is invalid.
pub fn check(table: Table, row: &StoredRow) -> Result<(), RowStoreError> {
    if table == Table::Tokens {
        let token: TokenRow = row.parse(table)?;
        return Hash::from_hex(&token.hash).map(drop).map_err(|error| row.invalid(table, &error));
    }
    match table == Table::Passwords {
        true => row.parse::<PasswordHash>(table).map(drop),
        false => row.parse::<[u8; 32]>(table).map(drop),
    }
}

/// The MD5 of a text in hexadecimal digits, as a till sends it.
pub fn md5_hex(text: &str) -> String {
    use md5::Digest;
    md5::Md5::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn random_token() -> Result<String, RowStoreError> {
    Ok(random::<TOKEN_BYTES>()?.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn till_secret(name: &str, digest: &str) -> String {
    format!("till:{name}:{digest}")
}

fn random<const N: usize>() -> Result<[u8; N], RowStoreError> {
    let mut bytes = [0; N];
    let filled = getrandom::fill(&mut bytes);
    filled.map_err(|error| RowStoreError(format!("no random numbers: {error}")))?;
    Ok(bytes)
}

/// Made at the first start; without it, no token is valid.
fn key(store: &dyn RowStore) -> Result<[u8; 32], RowStoreError> {
    if let Some(row) = store.load(Table::Folder)?.first() {
        return parse(row);
    }
    let key = random()?;
    let account = "folder".parse().expect("it is a name");
    let body = Some(json(&key));
    let write = RowWrite { table: Table::Folder, account, a: 0, b: 0, body };
    // No token may be durable without the key.
    let (tell, written) = mpsc::channel();
    store.commit(vec![write], Box::new(move |it| drop(tell.send(it))));
    written.recv().unwrap_or(Err(WriteError::Ended))?;
    Ok(key)
}

fn json(row: &impl Serialize) -> String {
    serde_json::to_string(row).expect("names and numbers are JSON")
}

fn parse<T: serde::de::DeserializeOwned>(row: &StoredRow) -> Result<T, RowStoreError> {
    serde_json::from_str(&row.body).map_err(|error| RowStoreError(error.to_string()))
}

#[cfg(test)]
mod tests;
