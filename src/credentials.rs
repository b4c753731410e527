//! Credentials for groups: tokens as keyed hashes, passwords as argon2id hashes.

use std::{collections::BTreeMap, fmt, sync::Arc};

use argon2::Argon2;
use blake3::Hash;
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

use crate::{
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

struct CredentialToken {
    number: u64,
    holder: Holder,
    until: Option<UnixMillis>,
}

/// Holder of a token, and its permissions.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Holder {
    /// Account that the holder belongs to.
    pub account: AccountId,
    /// Person or program that the token was issued to.
    pub bearer: Bearer,
}

/// Person or program that a token was issued to.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Bearer {
    /// A program that acts for people (Bungie's API key).
    Application,
    /// A person. With a scope they may administer groups (Bungie's AdminGroups).
    Person {
        /// Number of the person in the table of people.
        id: u64,
        /// Whether the token may administer groups.
        is_admin_scope: bool,
    },
    /// A till, by its name: a machine that may change every group of the account (Capillary).
    Till(Box<str>),
    /// Valid once, in exchange for a person's token: an authorization code or a refresh token (RFC
    /// 6749).
    Grant {
        /// Number of the person in the table of people.
        id: u64,
        /// Whether the person's token may administer groups.
        is_admin_scope: bool,
    },
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

#[derive(Deserialize, Serialize)]
struct TokenRow {
    hash: String,
    holder: Holder,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<UnixMillis>,
}

#[derive(Clone, Deserialize, Serialize)]
struct PasswordHash {
    salt: [u8; SALT_BYTES],
    hash: [u8; 32],
}

const SALT_BYTES: usize = 16;
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
            let TokenRow { holder, until, .. } = row;
            tables
                .tokens
                .insert(*hash.as_bytes(), CredentialToken { number: stored.a, holder, until });
        }
        for stored in store.load(Table::Passwords)? {
            tables.passwords.insert(stored.a, parse(&stored)?);
        }
        Ok(Self { store, key, tables: RwLock::new(tables) })
    }

    /// Makes a token without an expiry; `done` is called once it is durable.
    ///
    /// # Errors
    ///
    /// [`RowStoreError`]: the system has no random numbers.
    pub fn issue(&self, holder: Holder, done: OnCommit) -> Result<String, RowStoreError> {
        let token = random_token()?;
        // A till sends the digest of its password, never the password (contract 4.1).
        let shown = match &holder.bearer {
            Bearer::Till(name) => till_secret(name, &md5_hex(&token)),
            Bearer::Application | Bearer::Person { .. } | Bearer::Grant { .. } => token.clone(),
        };
        self.store_token(&shown, holder, None, done);
        Ok(token)
    }

    /// Makes a token that expires at `until`. Unlike [`Self::issue`], it is not digested for tills.
    ///
    /// # Errors
    ///
    /// [`RowStoreError`]: the system has no random numbers.
    pub fn issue_until(
        &self,
        until: UnixMillis,
        holder: Holder,
        done: OnCommit,
    ) -> Result<String, RowStoreError> {
        let token = random_token()?;
        self.store_token(&token, holder, Some(until), done);
        Ok(token)
    }

    fn store_token(&self, shown: &str, holder: Holder, until: Option<UnixMillis>, done: OnCommit) {
        let hash = self.hash(shown);
        let mut tables = self.tables.write();
        tables.last += 1;
        let number = tables.last;
        let account = holder.account.clone();
        let row = TokenRow { hash: hash.to_hex().to_string(), holder: holder.clone(), until };
        tables.tokens.insert(*hash.as_bytes(), CredentialToken { number, holder, until });
        let body = Some(json(&row));
        let write = RowWrite { table: Table::Tokens, account, a: number, b: 0, body };
        self.store.commit(vec![write], done);
    }

    /// Revokes a token and returns its holder. None if there is no such token: if two requests
    /// revoke it concurrently, one of them gets the holder.
    pub fn revoke(&self, token: &str, done: OnCommit) -> Option<Holder> {
        let hash = self.hash(token);
        let Some(CredentialToken { number, holder, .. }) =
            self.tables.write().tokens.remove(hash.as_bytes())
        else {
            done(Ok(()));
            return None;
        };
        let account = holder.account.clone();
        let write = RowWrite { table: Table::Tokens, account, a: number, b: 0, body: None };
        self.store.commit(vec![write], done);
        Some(holder)
    }

    /// Removes the tokens that have expired at `now`.
    pub fn purge(&self, now: UnixMillis) {
        let mut tables = self.tables.write();
        let mut writes = Vec::new();
        tables.tokens.retain(|_, token| {
            let is_over = token.until.is_some_and(|until| until <= now);
            if is_over {
                let (account, a) = (token.holder.account.clone(), token.number);
                writes.push(RowWrite { table: Table::Tokens, account, a, b: 0, body: None });
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
        let CredentialToken { holder, until, .. } =
            tables.tokens.get(hash.as_bytes()).ok_or(BadToken::Unknown)?;
        match until.is_some_and(|until| until <= now) {
            true => Err(BadToken::Expired),
            false => Ok(holder.clone()),
        }
    }

    /// The holder of a till's password; `digest` is its MD5 in hexadecimal digits.
    pub fn till(&self, now: UnixMillis, name: &str, digest: &str) -> Option<Holder> {
        self.holder(now, &till_secret(name, &digest.to_ascii_lowercase())).ok()
    }

    /// Sets a person's password.
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
        let salt = random()?;
        let password = PasswordHash { salt, hash: stretch(text, &salt) };
        let body = Some(json(&password));
        self.tables.write().passwords.insert(person, password);
        let account = account.clone();
        let write = RowWrite { table: Table::Passwords, account, a: person, b: 0, body };
        self.store.commit(vec![write], done);
        Ok(())
    }

    /// Whether this is a person's password. Takes some 20 ms of processor time, even for None.
    pub fn is_password(&self, person: Option<u64>, text: &str) -> bool {
        let row = person.and_then(|it| self.tables.read().passwords.get(&it).cloned());
        let salt = row.as_ref().map_or([0; SALT_BYTES], |it| it.salt);
        // `Hash` compares in constant time.
        let shown = Hash::from(stretch(text, &salt));
        row.is_some_and(|it| Hash::from(it.hash) == shown)
    }

    fn hash(&self, token: &str) -> Hash {
        blake3::keyed_hash(&self.key, token.as_bytes())
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

/// Hashes with argon2id and the defaults of RFC 9106.
fn stretch(text: &str, salt: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    let stretched = Argon2::default().hash_password_into(text.as_bytes(), salt, &mut hash);
    stretched.expect("the salt and the hash are as long as they must be");
    hash
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
mod tests {
    use super::*;
    use crate::store::rows_memory::MemoryRows;

    const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

    fn done() -> OnCommit {
        Box::new(|written| written.unwrap())
    }

    #[test]
    fn tokens_and_passwords_are_good_after_the_next_start_as_well() {
        let store = Arc::new(MemoryRows::default());
        let account: AccountId = "MA1".parse().unwrap();
        let holder = |bearer| Holder { account: account.clone(), bearer };
        let first = GroupCredentials::open(store.clone()).unwrap();
        let person = holder(Bearer::Person { id: 7, is_admin_scope: true });
        let till = holder(Bearer::Till("till1".into()));
        let tokens = [person.clone(), till.clone()].map(|it| first.issue(it, done()).unwrap());
        first.set_password(&account, 7, "hush", done()).unwrap();
        for credentials in [&first, &GroupCredentials::open(store).unwrap()] {
            let holder = |token: &str| credentials.holder(NOW, token);
            assert_eq!(holder(&tokens[0]), Ok(person.clone()));
            assert_eq!(holder(&tokens[1]), Err(BadToken::Unknown), "a till's is no bearer token");
            let till_of = |name, digest: &str| credentials.till(NOW, name, digest);
            assert_eq!(till_of("till1", &md5_hex(&tokens[1])), Some(till.clone()));
            assert_eq!(till_of("till2", &md5_hex(&tokens[1])), None);
            assert_eq!(till_of("till1", &tokens[1]), None);
            let check = |person, text, expected| {
                assert_eq!(credentials.is_password(person, text), expected, "{person:?} {text}");
            };
            check(Some(7), "hush", true);
            check(Some(7), "", false);
            check(Some(8), "hush", false);
            check(None, "hush", false);
        }
    }

    #[test]
    fn a_token_that_is_taken_back_is_none() {
        let store = Arc::new(MemoryRows::default());
        let credentials = GroupCredentials::open(store.clone()).unwrap();
        let account = "MA1".parse().unwrap();
        let holder = Holder { account, bearer: Bearer::Application };
        let token = credentials.issue(holder, done()).unwrap();
        assert!(credentials.revoke(&token, done()).is_some());
        assert_eq!(credentials.revoke(&token, done()), None);
        assert_eq!(credentials.holder(NOW, &token), Err(BadToken::Unknown));
        let again = GroupCredentials::open(store).unwrap();
        assert_eq!(again.holder(NOW, &token), Err(BadToken::Unknown));
    }

    #[test]
    fn a_token_ends_when_its_time_is_over_and_is_forgotten() {
        let store = Arc::new(MemoryRows::default());
        let credentials = GroupCredentials::open(store.clone()).unwrap();
        let holder = Holder { account: "MA1".parse().unwrap(), bearer: Bearer::Till("t".into()) };
        let until = UnixMillis(NOW.0 + 10);
        let token = credentials.issue_until(until, holder.clone(), done()).unwrap();
        let check = |credentials: &GroupCredentials, at, expected| {
            assert_eq!(credentials.holder(UnixMillis(NOW.0 + at), &token), expected, "after {at}");
        };
        credentials.purge(NOW);
        for credentials in [&credentials, &GroupCredentials::open(store.clone()).unwrap()] {
            check(credentials, 9, Ok(holder.clone()));
            check(credentials, 10, Err(BadToken::Expired));
        }
        credentials.purge(until);
        check(&credentials, 10, Err(BadToken::Unknown));
        check(&GroupCredentials::open(store).unwrap(), 10, Err(BadToken::Unknown));
    }
}
