//! What people and programs show at the groups' doors: tokens as keyed hashes, passwords by
//! argon2id.

use std::{collections::BTreeMap, fmt, sync::Arc};

use argon2::Argon2;
use blake3::Hash;
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

use crate::{
    base::ids::AccountId,
    group::At,
    store::rows::{Committed, Row, Rows, RowsError, Table, Write},
};

/// Every token and password of a data folder. Knows none of them, only what proves them.
pub struct Credentials {
    records: Arc<dyn Rows>,
    key: [u8; 32],
    rows: RwLock<Sheets>,
}

#[derive(Default)]
struct Sheets {
    last: u64,
    tokens: BTreeMap<[u8; 32], Token>,
    passwords: BTreeMap<u64, Password>,
}

struct Token {
    number: u64,
    holder: Holder,
    until: Option<At>,
}

/// Whose a token is, and what it is good for.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Holder {
    /// Whose account.
    pub account: AccountId,
    /// Who shows it.
    pub bearer: Bearer,
}

/// Who shows a token.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Bearer {
    /// A program that calls for people (Bungie's API key).
    Application,
    /// A person, by his number. With a scope he may administer groups (Bungie's AdminGroups).
    Person {
        /// His number.
        id: u64,
        /// Whether he may administer groups with it.
        is_admin_scope: bool,
    },
    /// A till, by its name: a machine that may change every group of the account (Capillary).
    Till(Box<str>),
    /// Good once, for a person's token: an authorization code, or a refresh token (RFC 6749).
    Grant {
        /// His number.
        id: u64,
        /// Whether he may administer groups with the token.
        is_admin_scope: bool,
    },
}

/// Why a token is good for nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BadToken {
    /// Nobody has it.
    #[error("no token")]
    Unknown,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
}

#[derive(Deserialize, Serialize)]
struct TokenRow {
    hash: String,
    holder: Holder,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<At>,
}

#[derive(Clone, Deserialize, Serialize)]
struct Password {
    salt: [u8; SALT_BYTES],
    hash: [u8; 32],
}

const SALT_BYTES: usize = 16;
/// 160 bits: nobody guesses one.
const TOKEN_BYTES: usize = 20;

impl Credentials {
    /// Reads all there are; the key is made when there is none yet.
    ///
    /// # Errors
    ///
    /// The store cannot be read, or the system has no random numbers.
    pub fn open(records: Arc<dyn Rows>) -> Result<Self, RowsError> {
        let key = key(&*records)?;
        let mut rows = Sheets::default();
        for record in records.load(Table::Tokens)? {
            let row: TokenRow = parse(&record)?;
            let hash = Hash::from_hex(&row.hash).map_err(|error| RowsError(error.to_string()))?;
            rows.last = rows.last.max(record.a);
            let TokenRow { holder, until, .. } = row;
            rows.tokens.insert(*hash.as_bytes(), Token { number: record.a, holder, until });
        }
        for record in records.load(Table::Passwords)? {
            rows.passwords.insert(record.a, parse(&record)?);
        }
        Ok(Self { records, key, rows: RwLock::new(rows) })
    }

    /// Makes a token; `done` is told when it is good for as long as the data folder.
    ///
    /// # Errors
    ///
    /// The system has no random numbers.
    pub fn issue(&self, holder: Holder, done: Committed) -> Result<String, RowsError> {
        let token = text()?;
        // A till shows the digest of its password, never the password (contract 4.1).
        let shown = match &holder.bearer {
            Bearer::Till(name) => till(name, &md5_hex(&token)),
            Bearer::Application | Bearer::Person { .. } | Bearer::Grant { .. } => token.clone(),
        };
        self.keep(&shown, holder, None, done);
        Ok(token)
    }

    /// Makes a token that is shown as it is, whoever has it, and ends some day.
    ///
    /// # Errors
    ///
    /// The system has no random numbers.
    pub fn issue_until(
        &self,
        until: At,
        holder: Holder,
        done: Committed,
    ) -> Result<String, RowsError> {
        let token = text()?;
        self.keep(&token, holder, Some(until), done);
        Ok(token)
    }

    fn keep(&self, shown: &str, holder: Holder, until: Option<At>, done: Committed) {
        let hash = self.hash(shown);
        let mut rows = self.rows.write();
        rows.last += 1;
        let number = rows.last;
        let account = holder.account.clone();
        let row = TokenRow { hash: hash.to_hex().to_string(), holder: holder.clone(), until };
        rows.tokens.insert(*hash.as_bytes(), Token { number, holder, until });
        let body = Some(json(&row));
        let write = Write { table: Table::Tokens, account, a: number, b: 0, body };
        self.records.commit(vec![write], done);
    }

    /// Takes a token back, and tells whose it was. None, if it was nobody's: of two who use it up
    /// at once, one has it.
    pub fn revoke(&self, token: &str, done: Committed) -> Option<Holder> {
        let hash = self.hash(token);
        let Some(Token { number, holder, .. }) = self.rows.write().tokens.remove(hash.as_bytes())
        else {
            done(Ok(()));
            return None;
        };
        let account = holder.account.clone();
        let write = Write { table: Table::Tokens, account, a: number, b: 0, body: None };
        self.records.commit(vec![write], done);
        Some(holder)
    }

    /// Forgets the tokens whose time is over.
    pub fn purge(&self, now: At) {
        let mut rows = self.rows.write();
        let mut writes = Vec::new();
        rows.tokens.retain(|_, token| {
            let is_over = token.until.is_some_and(|until| until <= now);
            if is_over {
                let (account, a) = (token.holder.account.clone(), token.number);
                writes.push(Write { table: Table::Tokens, account, a, b: 0, body: None });
            }
            !is_over
        });
        if !writes.is_empty() {
            self.records.commit(writes, Box::new(drop));
        }
    }

    /// Whose a token is. The hash is keyed, so that how long the search takes tells nothing.
    ///
    /// # Errors
    ///
    /// It is nobody's, or its time is over.
    pub fn holder(&self, now: At, token: &str) -> Result<Holder, BadToken> {
        let hash = self.hash(token);
        let rows = self.rows.read();
        let Token { holder, until, .. } =
            rows.tokens.get(hash.as_bytes()).ok_or(BadToken::Unknown)?;
        match until.is_some_and(|until| until <= now) {
            true => Err(BadToken::Expired),
            false => Ok(holder.clone()),
        }
    }

    /// Whose till this is; `digest` is the MD5 of its password, in hexadecimal digits.
    pub fn till(&self, now: At, name: &str, digest: &str) -> Option<Holder> {
        self.holder(now, &till(name, &digest.to_ascii_lowercase())).ok()
    }

    /// Gives a person a password.
    ///
    /// # Errors
    ///
    /// The system has no random numbers.
    pub fn set_password(
        &self,
        account: &AccountId,
        person: u64,
        text: &str,
        done: Committed,
    ) -> Result<(), RowsError> {
        let salt = random()?;
        let password = Password { salt, hash: stretch(text, &salt) };
        let body = Some(json(&password));
        self.rows.write().passwords.insert(person, password);
        let account = account.clone();
        let write = Write { table: Table::Passwords, account, a: person, b: 0, body };
        self.records.commit(vec![write], done);
        Ok(())
    }

    /// Whether this is a person's password. Takes some 20 ms of a processor, whoever it is.
    pub fn is_password(&self, person: Option<u64>, text: &str) -> bool {
        let row = person.and_then(|it| self.rows.read().passwords.get(&it).cloned());
        let salt = row.as_ref().map_or([0; SALT_BYTES], |it| it.salt);
        // Compared in constant time, as every `Hash` is.
        let shown = Hash::from(stretch(text, &salt));
        row.is_some_and(|it| Hash::from(it.hash) == shown)
    }

    fn hash(&self, token: &str) -> Hash {
        blake3::keyed_hash(&self.key, token.as_bytes())
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

/// Whether a row of tokens, of passwords, or the key can be read.
///
/// # Errors
///
/// It makes no sense.
pub fn check(table: Table, row: &Row) -> Result<(), RowsError> {
    if table == Table::Tokens {
        let token: TokenRow = row.parse(table)?;
        return Hash::from_hex(&token.hash).map(drop).map_err(|error| row.fault(table, &error));
    }
    match table == Table::Passwords {
        true => row.parse::<Password>(table).map(drop),
        false => row.parse::<[u8; 32]>(table).map(drop),
    }
}

/// The MD5 of a text, in hexadecimal digits: what a till shows.
pub fn md5_hex(text: &str) -> String {
    use md5::Digest;
    md5::Md5::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn text() -> Result<String, RowsError> {
    Ok(random::<TOKEN_BYTES>()?.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn till(name: &str, digest: &str) -> String {
    format!("till:{name}:{digest}")
}

/// With argon2id as RFC 9106 has it by default.
fn stretch(text: &str, salt: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    let stretched = Argon2::default().hash_password_into(text.as_bytes(), salt, &mut hash);
    stretched.expect("the salt and the hash are as long as they must be");
    hash
}

fn random<const N: usize>() -> Result<[u8; N], RowsError> {
    let mut bytes = [0; N];
    let filled = getrandom::fill(&mut bytes);
    filled.map_err(|error| RowsError(format!("no random numbers: {error}")))?;
    Ok(bytes)
}

/// Made at the first start; without it, no token is good.
fn key(records: &dyn Rows) -> Result<[u8; 32], RowsError> {
    if let Some(record) = records.load(Table::Folder)?.first() {
        return parse(record);
    }
    let key = random()?;
    let account = "folder".parse().expect("it is a name");
    let body = Some(json(&key));
    let write = Write { table: Table::Folder, account, a: 0, b: 0, body };
    // Tokens are written after it, and by the same writer: they never outlive it alone.
    records.commit(vec![write], Box::new(drop));
    Ok(key)
}

fn json(row: &impl Serialize) -> String {
    serde_json::to_string(row).expect("names and numbers are JSON")
}

fn parse<T: serde::de::DeserializeOwned>(record: &Row) -> Result<T, RowsError> {
    serde_json::from_str(&record.body).map_err(|error| RowsError(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::rows_memory::Memory;

    const NOW: At = At(1_700_000_000_000);

    fn done() -> Committed {
        Box::new(|written| written.unwrap())
    }

    #[test]
    fn tokens_and_passwords_are_good_after_the_next_start_as_well() {
        let records = Arc::new(Memory::default());
        let account: AccountId = "MA1".parse().unwrap();
        let holder = |bearer| Holder { account: account.clone(), bearer };
        let first = Credentials::open(records.clone()).unwrap();
        let person = holder(Bearer::Person { id: 7, is_admin_scope: true });
        let till = holder(Bearer::Till("till1".into()));
        let tokens = [person.clone(), till.clone()].map(|it| first.issue(it, done()).unwrap());
        first.set_password(&account, 7, "hush", done()).unwrap();
        for credentials in [&first, &Credentials::open(records).unwrap()] {
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
        let records = Arc::new(Memory::default());
        let credentials = Credentials::open(records.clone()).unwrap();
        let account = "MA1".parse().unwrap();
        let holder = Holder { account, bearer: Bearer::Application };
        let token = credentials.issue(holder, done()).unwrap();
        assert!(credentials.revoke(&token, done()).is_some());
        assert_eq!(credentials.revoke(&token, done()), None);
        assert_eq!(credentials.holder(NOW, &token), Err(BadToken::Unknown));
        let again = Credentials::open(records).unwrap();
        assert_eq!(again.holder(NOW, &token), Err(BadToken::Unknown));
    }

    #[test]
    fn a_token_ends_when_its_time_is_over_and_is_forgotten() {
        let records = Arc::new(Memory::default());
        let credentials = Credentials::open(records.clone()).unwrap();
        let holder = Holder { account: "MA1".parse().unwrap(), bearer: Bearer::Till("t".into()) };
        let until = At(NOW.0 + 10);
        let token = credentials.issue_until(until, holder.clone(), done()).unwrap();
        let check = |credentials: &Credentials, at, expected| {
            assert_eq!(credentials.holder(At(NOW.0 + at), &token), expected, "after {at}");
        };
        credentials.purge(NOW);
        for credentials in [&credentials, &Credentials::open(records.clone()).unwrap()] {
            check(credentials, 9, Ok(holder.clone()));
            check(credentials, 10, Err(BadToken::Expired));
        }
        credentials.purge(until);
        check(&credentials, 10, Err(BadToken::Unknown));
        check(&Credentials::open(records).unwrap(), 10, Err(BadToken::Unknown));
    }
}
