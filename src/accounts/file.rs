//! Accounts that outlive the process: a row each in the store, with hashes for tokens.
//!
//! A callback is signed with the account's token itself, as the vendors have it, so a hash alone
//! would not do. A token is therefore made from the key, the account and a random seed, and made
//! again when it is needed: the store has hash and seed, the key is in a file of its own, and
//! neither says anything without the other. A read-only token signs nothing, and has no seed.

use std::{fmt, sync::Arc, time::SystemTime};

use blake3::Hash;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::{Role, TOKENS_MAX};
use crate::{
    base::{
        ids::{AccountId, Dialect},
        utc,
    },
    store::rows::{Row, Rows, RowsError, Table, Write},
};

/// The kept accounts of a data folder.
pub struct Book {
    rows: Arc<dyn Rows>,
    key: [u8; 32],
    /// As they were when they were read last.
    last: Mutex<Option<Vec<Row>>>,
}

/// An account.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Kept {
    /// What it is called.
    pub id: AccountId,
    /// Of its inbound calls.
    pub dialect: Dialect,
    /// The older ones first.
    pub tokens: Vec<KeptToken>,
    /// The number of the token that was made last.
    last: u32,
}

/// A token, but for what it says.
#[derive(Clone, Eq, PartialEq)]
pub struct KeptToken {
    /// Rises per account, and never comes back.
    pub number: u32,
    /// What it is good for.
    pub role: Role,
    /// When it was made, in UTC.
    pub made: String,
    pub(super) hash: Hash,
    /// To sign with; None for one that signs nothing.
    pub(super) text: Option<String>,
    seed: Option<[u8; SEED_BYTES]>,
}

/// Why an account cannot be changed so.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BookError {
    /// It is there already.
    #[error(
        "{0} is there already: conflow account rotate {0} gives it another token, and add {0} \
         --read-only a read-only one"
    )]
    Exists(AccountId),
    /// It is not there.
    #[error("{0} is no account of this data folder: conflow account list shows them")]
    Missing(AccountId),
    /// It has no token of this kind yet, or has one already.
    #[error("{account} {why}")]
    Tokens {
        /// Whose.
        account: AccountId,
        /// What is wrong, and what to do.
        why: String,
    },
    /// The store, or the system's random numbers.
    #[error(transparent)]
    Rows(#[from] RowsError),
}

#[derive(Deserialize, Serialize)]
struct Body {
    dialect: Dialect,
    last: u32,
    tokens: Vec<TokenBody>,
}

#[derive(Deserialize, Serialize)]
struct TokenBody {
    number: u32,
    is_read_only: bool,
    made: String,
    hash: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<[u8; SEED_BYTES]>,
}

/// 160 bits, as hexadecimal digits: as long as the vendors' tokens.
const TOKEN_BYTES: usize = 20;
/// 128 bits: no two tokens have the same.
const SEED_BYTES: usize = 16;
/// Sets the key that makes tokens apart from the one that hashes them.
const MAKER: &str = "conflow 2026-11 tokens of accounts";

/// Whether a row is an account; by which key it was made is not looked at.
///
/// # Errors
///
/// It is not.
pub fn check(row: &Row) -> Result<(), RowsError> {
    body(row).map(drop)
}

fn body(row: &Row) -> Result<Body, RowsError> {
    serde_json::from_str(&row.body).map_err(|error| failed(row, &error))
}

fn failed(row: &Row, why: &dyn fmt::Display) -> RowsError {
    RowsError(format!("the account {}: {why}", row.account))
}

impl Book {
    /// Reads nothing yet. The key is the data folder's.
    pub fn new(rows: Arc<dyn Rows>, key: [u8; 32]) -> Self {
        Self { rows, key, last: Mutex::default() }
    }

    /// The accounts, by id.
    ///
    /// # Errors
    ///
    /// They cannot be read, or were made with another key.
    pub fn load(&self) -> Result<Vec<Kept>, RowsError> {
        self.rows.load(Table::Accounts)?.iter().map(|row| self.parse(row)).collect()
    }

    /// The accounts, if they are others than those of the last time.
    ///
    /// # Errors
    ///
    /// As [`Self::load`]; what was wrong is told once.
    pub fn changed(&self) -> Result<Option<Vec<Kept>>, RowsError> {
        let rows = self.rows.load(Table::Accounts)?;
        let mut last = self.last.lock();
        if last.as_ref() == Some(&rows) {
            return Ok(None);
        }
        let kept = rows.iter().map(|row| self.parse(row)).collect::<Result<_, _>>();
        *last = Some(rows);
        kept.map(Some)
    }

    /// Adds an account; tells its token, this once.
    ///
    /// # Errors
    ///
    /// [`BookError`]: nothing has changed.
    pub fn add(
        &self,
        id: &AccountId,
        dialect: Dialect,
        now: SystemTime,
    ) -> Result<String, BookError> {
        if self.find(id).is_ok() {
            return Err(BookError::Exists(id.clone()));
        }
        let mut kept = Kept { id: id.clone(), dialect, tokens: Vec::new(), last: 0 };
        let token = self.make(&mut kept, Role::Full, now)?;
        self.put(&kept)?;
        Ok(token)
    }

    /// Gives an account its first read-only token, and tells it, this once.
    ///
    /// # Errors
    ///
    /// [`BookError`]: nothing has changed.
    pub fn add_read_only(&self, id: &AccountId, now: SystemTime) -> Result<String, BookError> {
        let mut kept = self.find(id)?;
        if let Some(token) = kept.of(Role::ReadOnly).next() {
            let why =
                format!("has the read-only token {} already: rotate --read-only", token.label());
            return Err(BookError::Tokens { account: id.clone(), why });
        }
        let token = self.make(&mut kept, Role::ReadOnly, now)?;
        self.put(&kept)?;
        Ok(token)
    }

    /// Gives an account another token of a role beside the one that it has; tells it, this once.
    ///
    /// # Errors
    ///
    /// [`BookError`]: nothing has changed.
    pub fn rotate(&self, id: &AccountId, role: Role, now: SystemTime) -> Result<String, BookError> {
        let mut kept = self.find(id)?;
        let flag = flag(role);
        let labels: Vec<_> = kept.of(role).map(|it| it.label().to_string()).collect();
        let why = match labels.len() {
            0 => Some(format!("has no such token yet: conflow account add {id}{flag}")),
            TOKENS_MAX.. => Some(format!(
                "has {} already: take the older one out with rotate {id}{flag} --finish",
                labels.join(" and ")
            )),
            _ => None,
        };
        if let Some(why) = why {
            return Err(BookError::Tokens { account: id.clone(), why });
        }
        let token = self.make(&mut kept, role, now)?;
        self.put(&kept)?;
        Ok(token)
    }

    /// Takes the older token of a role out; tells what it was called.
    ///
    /// # Errors
    ///
    /// [`BookError`]: nothing has changed.
    pub fn finish(&self, id: &AccountId, role: Role) -> Result<Arc<str>, BookError> {
        let mut kept = self.find(id)?;
        if kept.of(role).count() < TOKENS_MAX {
            let why = format!("has no older token to take out: rotate {id}{} first", flag(role));
            return Err(BookError::Tokens { account: id.clone(), why });
        }
        let oldest = kept.tokens.iter().position(|it| it.role == role).expect("it has two");
        let label = kept.tokens.remove(oldest).label();
        self.put(&kept)?;
        Ok(label)
    }

    /// Takes an account out, with its tokens.
    ///
    /// # Errors
    ///
    /// [`BookError`]: nothing has changed.
    pub fn remove(&self, id: &AccountId) -> Result<(), BookError> {
        self.find(id)?;
        Ok(self.write(id, None)?)
    }

    /// Takes one token out, by its label. The last one that signs is not taken.
    ///
    /// # Errors
    ///
    /// [`BookError`]: nothing has changed.
    pub fn remove_token(&self, id: &AccountId, label: &str) -> Result<(), BookError> {
        let mut kept = self.find(id)?;
        let failed = |why: String| BookError::Tokens { account: id.clone(), why };
        let place = kept.tokens.iter().position(|it| &*it.label() == label);
        let place = place.ok_or_else(|| failed(format!("has no token {label}")))?;
        let role = kept.tokens.remove(place).role;
        if role == Role::Full && kept.of(Role::Full).next().is_none() {
            return Err(failed(format!("has no token but {label}: rotate {id} first")));
        }
        Ok(self.put(&kept)?)
    }

    fn find(&self, id: &AccountId) -> Result<Kept, BookError> {
        let found = self.load()?.into_iter().find(|it| it.id == *id);
        found.ok_or_else(|| BookError::Missing(id.clone()))
    }

    fn make(&self, kept: &mut Kept, role: Role, now: SystemTime) -> Result<String, RowsError> {
        let mut seed = [0; SEED_BYTES];
        let filled = getrandom::fill(&mut seed);
        filled.map_err(|error| RowsError(format!("no random numbers: {error}")))?;
        let text = self.token(&kept.id, &seed);
        kept.last += 1;
        let is_full = role == Role::Full;
        kept.tokens.push(KeptToken {
            number: kept.last,
            role,
            made: utc::seconds(now),
            hash: self.hash(&text),
            text: is_full.then(|| text.clone()),
            seed: is_full.then_some(seed),
        });
        Ok(text)
    }

    fn token(&self, id: &AccountId, seed: &[u8]) -> String {
        let key = blake3::derive_key(MAKER, &self.key);
        let made = [seed, id.as_str().as_bytes()].concat();
        let made = blake3::keyed_hash(&key, &made);
        made.as_bytes()[..TOKEN_BYTES].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn hash(&self, token: &str) -> Hash {
        blake3::keyed_hash(&self.key, token.as_bytes())
    }

    fn parse(&self, row: &Row) -> Result<Kept, RowsError> {
        let Body { dialect, last, tokens } = body(row)?;
        let token = |it: TokenBody| {
            let hash = Hash::from_hex(&it.hash).map_err(|error| failed(row, &error))?;
            let text = it.seed.map(|seed| self.token(&row.account, &seed));
            if text.as_ref().is_some_and(|text| self.hash(text) != hash) {
                let why = "it was made with another account-key than the one in the data folder: \
                           bring that file back from a backup";
                return Err(failed(row, &why));
            }
            let role = if it.is_read_only { Role::ReadOnly } else { Role::Full };
            let TokenBody { number, made, seed, .. } = it;
            Ok(KeptToken { number, role, made, hash, text, seed })
        };
        let tokens = tokens.into_iter().map(token).collect::<Result<_, _>>()?;
        Ok(Kept { id: row.account.clone(), dialect, tokens, last })
    }

    fn put(&self, kept: &Kept) -> Result<(), RowsError> {
        let token = |it: &KeptToken| TokenBody {
            number: it.number,
            is_read_only: it.role == Role::ReadOnly,
            made: it.made.clone(),
            hash: it.hash.to_hex().to_string(),
            seed: it.seed,
        };
        let tokens = kept.tokens.iter().map(token).collect();
        let body = Body { dialect: kept.dialect, last: kept.last, tokens };
        let body = serde_json::to_string(&body).expect("names and numbers are JSON");
        self.write(&kept.id, Some(body))
    }

    /// Waits until it is durable.
    fn write(&self, id: &AccountId, body: Option<String>) -> Result<(), RowsError> {
        let (tell, told) = std::sync::mpsc::channel();
        let write = Write { table: Table::Accounts, account: id.clone(), a: 0, b: 0, body };
        self.rows.commit(vec![write], Box::new(move |written| drop(tell.send(written))));
        told.recv().unwrap_or_else(|_| Err(RowsError("the store has ended".to_owned())))
    }
}

impl Kept {
    fn of(&self, role: Role) -> impl Iterator<Item = &KeptToken> {
        self.tokens.iter().filter(move |it| it.role == role)
    }
}

impl KeptToken {
    /// What it is called in logs and lists.
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

impl fmt::Debug for Book {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Book").finish_non_exhaustive()
    }
}

/// It is a secret.
impl fmt::Debug for KeptToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, role, made, .. } = self;
        f.debug_struct("KeptToken")
            .field("number", number)
            .field("role", role)
            .field("made", made)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{accounts::Accounts, store::rows_memory::Memory};

    const KEY: [u8; 32] = [7; 32];

    fn id(text: &str) -> AccountId {
        text.parse().unwrap()
    }

    fn book(rows: &Arc<Memory>) -> Book {
        Book::new(rows.clone(), KEY)
    }

    /// Which of these tokens an engine lets in that reads the rows now.
    fn good(rows: &Arc<Memory>, tokens: &[&str]) -> Vec<Option<(String, Role)>> {
        let accounts = Accounts::new(KEY);
        assert_eq!(accounts.keep(&book(rows).load().unwrap()), []);
        let pass = |it: &&str| accounts.verify("MA1", it).map(|it| (it.token.to_string(), it.role));
        tokens.iter().map(pass).collect()
    }

    fn full(label: &str) -> Option<(String, Role)> {
        Some((label.to_owned(), Role::Full))
    }

    #[test]
    fn while_a_token_is_rotated_both_are_good_and_sign_and_afterwards_the_new_one_alone() {
        let (rows, now, ma1) = (Arc::new(Memory::default()), SystemTime::UNIX_EPOCH, id("MA1"));
        let book = book(&rows);
        let first = book.add(&ma1, Dialect::Plivo, now).unwrap();
        assert_eq!(good(&rows, &[&first, "other"]), [full("t1"), None]);
        let second = book.rotate(&ma1, Role::Full, now).unwrap();
        assert_ne!(first, second);
        assert_eq!(good(&rows, &[&first, &second]), [full("t1"), full("t2")]);
        let accounts = Accounts::new(KEY);
        accounts.keep(&book.load().unwrap());
        let signer = accounts.signer(&ma1, Dialect::Plivo).unwrap();
        assert_eq!(signer.tokens, [second.clone(), first.clone()], "the newest signs first");
        assert_eq!(accounts.dialect(&ma1), Dialect::Plivo);

        let refused = book.rotate(&ma1, Role::Full, now).unwrap_err().to_string();
        assert!(refused.contains("t1 and t2 already") && refused.contains("--finish"), "{refused}");
        assert_eq!(&*book.finish(&ma1, Role::Full).unwrap(), "t1");
        assert_eq!(good(&rows, &[&first, &second]), [None, full("t2")]);
        let refused = book.finish(&ma1, Role::Full).unwrap_err().to_string();
        assert!(refused.contains("no older token"), "{refused}");
        let third = book.rotate(&ma1, Role::Full, now).unwrap();
        assert_eq!(good(&rows, &[&third]), [full("t3")], "labels do not come back");
    }

    #[test]
    fn a_read_only_token_is_beside_the_others_and_signs_nothing() {
        let (rows, now, ma1) = (Arc::new(Memory::default()), SystemTime::UNIX_EPOCH, id("MA1"));
        let book = book(&rows);
        let missing = book.add_read_only(&ma1, now).unwrap_err();
        assert_eq!(missing, BookError::Missing(ma1.clone()));
        let first = book.add(&ma1, Dialect::Vobiz, now).unwrap();
        let reader = book.add_read_only(&ma1, now).unwrap();
        let read_only = Some(("t2".to_owned(), Role::ReadOnly));
        assert_eq!(good(&rows, &[&first, &reader]), [full("t1"), read_only.clone()]);
        assert!(book.add_read_only(&ma1, now).is_err());
        let accounts = Accounts::new(KEY);
        accounts.keep(&book.load().unwrap());
        assert_eq!(
            accounts.signer(&ma1, Dialect::Vobiz).unwrap().tokens,
            std::slice::from_ref(&first)
        );

        book.remove_token(&ma1, "t2").unwrap();
        assert_eq!(good(&rows, &[&first, &reader]), [full("t1"), None]);
        let refused = book.remove_token(&ma1, "t1").unwrap_err().to_string();
        assert!(refused.contains("no token but t1"), "{refused}");
        book.remove(&ma1).unwrap();
        assert_eq!(good(&rows, &[&first]), [None]);
    }

    #[test]
    fn the_rows_and_what_is_printed_say_no_token_and_another_key_is_found_out() {
        let (rows, now, ma1) = (Arc::new(Memory::default()), SystemTime::UNIX_EPOCH, id("MA1"));
        let book = book(&rows);
        let token = book.add(&ma1, Dialect::Vobiz, now).unwrap();
        let reader = book.add_read_only(&ma1, now).unwrap();
        let row = format!("{:?} {:?}", rows.load(Table::Accounts).unwrap(), book.load().unwrap());
        assert!(!row.contains(&token) && !row.contains(&reader), "{row}");
        let other = Book::new(rows, [8; 32]).load().unwrap_err().to_string();
        assert!(other.contains("another account-key"), "{other}");
    }

    #[test]
    fn an_account_that_is_gone_lets_nobody_in_and_its_last_calls_are_signed() {
        let (rows, now, ma1) = (Arc::new(Memory::default()), SystemTime::UNIX_EPOCH, id("MA1"));
        let book = book(&rows);
        let token = book.add(&ma1, Dialect::Vobiz, now).unwrap();
        let mut accounts = Accounts::new(KEY);
        accounts.add(&id("MA2"), "of-the-file").unwrap();
        accounts.keep(&book.changed().unwrap().unwrap());
        assert_eq!(book.changed().unwrap(), None, "nothing has happened since");
        assert!(accounts.verify("MA1", &token).is_some() && accounts.has(&ma1));
        book.remove(&ma1).unwrap();
        book.add(&id("MA2"), Dialect::Vobiz, now).unwrap();
        let clashes = accounts.keep(&book.changed().unwrap().unwrap());
        assert_eq!(clashes, [id("MA2")]);
        assert!(accounts.verify("MA2", "of-the-file").is_some(), "the configuration stands");
        assert!(accounts.verify("MA1", &token).is_none() && !accounts.has(&ma1));
        assert_eq!(accounts.signer(&ma1, Dialect::Vobiz).unwrap().tokens, [token]);
        assert_eq!(accounts.ids(), [id("MA2")]);
    }
}
