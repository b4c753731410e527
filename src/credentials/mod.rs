//! Credentials for groups: tokens as keyed hashes, passwords as argon2id hashes.

mod password;
mod token;

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

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
    store::rows::{OnCommit, RowStore, RowStoreError, RowWrite, StoredRow, Table},
};

/// Every token and password of a data folder. It stores hashes only.
pub struct GroupCredentials {
    store: Arc<dyn RowStore>,
    key: [u8; 32],
    tables: RwLock<CredentialTables>,
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
        Ok(Self { store, key, tables: RwLock::new(tables) })
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
        let write = self.insert(&mut tables, new, &token);
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
        let writes = vec![
            used.removal(),
            self.insert(&mut tables, new(person, TokenKind::Access, access_until), &access),
            self.insert(&mut tables, new(next, TokenKind::Refresh, refresh_until), &refresh),
        ];
        self.store.commit(writes, done);
        Ok(Some((id, [access, refresh])))
    }

    fn insert(&self, tables: &mut CredentialTables, new: NewToken, token: &str) -> RowWrite {
        // A till sends the digest of its password, never the password (contract 4.1).
        let hash = match (&new.holder.bearer, new.kind) {
            (Bearer::Till(name), TokenKind::Till) => self.hash(&till_secret(name, &md5_hex(token))),
            _ => self.hash(token),
        };
        tables.last += 1;
        let token = CredentialToken::new(tables.last, new);
        let write = token.write(&hash);
        tables.tokens.insert(*hash.as_bytes(), token);
        write
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
        self.store.commit(vec![token.removal()], done);
        // Dropping it ends its streams.
        Some(token.holder)
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
            self.store.commit(writes, Box::new(drop));
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
        let writes = tables.take_out(account, owner, id);
        let count = writes.len();
        match count {
            0 => done(Ok(())),
            _ => self.store.commit(writes, done),
        }
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
        let mut writes = tables.take_out(account, TokenOwner::Person(person), None);
        writes.push(RowWrite::put(Table::Passwords, account, person, &password));
        tables.passwords.insert(person, password);
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

    /// Removes tokens, which ends their streams, and returns the writes.
    fn take_out(
        &mut self,
        account: &AccountId,
        owner: TokenOwner<'_>,
        id: Option<u64>,
    ) -> Vec<RowWrite> {
        let mut writes = Vec::new();
        self.tokens.retain(|_, token| {
            let is_meant = token.holder.account == *account
                && owner.has(&token.holder.bearer)
                && id.is_none_or(|it| it == token.number);
            if is_meant {
                writes.push(token.removal());
            }
            !is_meant
        });
        writes
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
    // The same writer writes tokens after it, so no token is durable without the key.
    store.commit(vec![write], Box::new(drop));
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
