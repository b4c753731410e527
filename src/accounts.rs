//! Who may use the API: accounts and their tokens. What is asked of us is compared with keyed
//! hashes; what we ask of others is signed with the tokens themselves, which nothing prints.

use std::{collections::HashMap, fmt, sync::Arc};

use blake3::Hash;

use crate::{
    ids::{AccountId, Dialect},
    signature::Signer,
};

/// The accounts there are.
pub struct Accounts {
    key: [u8; 32],
    rows: HashMap<Box<str>, Row>,
}

struct Row {
    id: AccountId,
    tokens: Vec<Hash>,
    /// With the newest token first.
    plivo: Arc<Signer>,
    vobiz: Arc<Signer>,
}

impl Row {
    fn new(id: AccountId) -> Self {
        let signer = |dialect| Arc::new(Signer { dialect, tokens: Vec::new(), parent_token: None });
        let (plivo, vobiz) = (signer(Dialect::Plivo), signer(Dialect::Vobiz));
        Self { id, tokens: Vec::with_capacity(TOKENS_MAX), plivo, vobiz }
    }
}

/// One in use, and one that takes its place: a token is changed without a gap.
pub const TOKENS_MAX: usize = 2;

/// A token that no account can have.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TokenError {
    /// It is empty, or has characters that no header can carry.
    #[error("the token of {account} must be 1 or more visible ASCII characters")]
    Unprintable {
        /// Whose.
        account: AccountId,
    },
    /// The account has [`TOKENS_MAX`] already.
    #[error("{account} has {TOKENS_MAX} tokens already: take one out first")]
    TooMany {
        /// Whose.
        account: AccountId,
    },
}

impl Accounts {
    /// No accounts yet. The key is random, and as secret as a token.
    pub fn new(key: [u8; 32]) -> Self {
        Self { key, rows: HashMap::new() }
    }

    /// Gives an account a token, beside the one that it may have.
    ///
    /// # Errors
    ///
    /// [`TokenError`]: nothing has changed.
    pub fn add(&mut self, account: &AccountId, token: &str) -> Result<(), TokenError> {
        let account = account.clone();
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TokenError::Unprintable { account });
        }
        let hash = self.hash(token);
        let new = || Row::new(account.clone());
        let row = self.rows.entry(account.as_str().into()).or_insert_with(new);
        if row.tokens.len() == TOKENS_MAX {
            return Err(TokenError::TooMany { account });
        }

        row.tokens.push(hash);
        for signer in [&mut row.plivo, &mut row.vobiz] {
            Arc::make_mut(signer).tokens.insert(0, token.to_owned());
        }
        Ok(())
    }

    /// The account, if the token is one of its own. Takes equally long whatever is wrong.
    pub fn verify(&self, id: &str, token: &str) -> Option<&AccountId> {
        // First, so that an unknown account costs as much as a known one.
        let hash = self.hash(token);
        let row = self.rows.get(id)?;
        // All of them, each in constant time: `Hash` compares so.
        let is_theirs = row.tokens.iter().fold(false, |is_one, token| is_one | (*token == hash));
        is_theirs.then_some(&row.id)
    }

    /// What signs an account's requests.
    pub fn signer(&self, account: &AccountId, dialect: Dialect) -> Option<Arc<Signer>> {
        let row = self.rows.get(account.as_str())?;
        Some(match dialect {
            Dialect::Plivo => row.plivo.clone(),
            Dialect::Vobiz => row.vobiz.clone(),
        })
    }

    /// Every account.
    pub fn ids(&self) -> impl Iterator<Item = &AccountId> {
        self.rows.values().map(|row| &row.id)
    }

    fn hash(&self, token: &str) -> Hash {
        blake3::keyed_hash(&self.key, token.as_bytes())
    }
}

impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.ids().map(AccountId::as_str)).finish()
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
            let found = accounts.verify(id, token).map(AccountId::as_str);
            assert_eq!(found, expected, "{id} {token}");
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
        let too_many = TokenError::TooMany { account: first.clone() };
        assert_eq!(accounts.add(&first, "third"), Err(too_many));
        for token in ["", "a b", "tökn", "a\n"] {
            let unprintable = TokenError::Unprintable { account: second.clone() };
            assert_eq!(accounts.add(&second, token), Err(unprintable), "{token:?}");
        }
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
