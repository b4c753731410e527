//! Who is called: the way from a called number or name to an account and a flow.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    base::ids::{AccountId, Dialect},
    call::{Answer, Hook},
};

/// The called numbers that the configuration knows.
#[derive(Clone, Debug, Default)]
pub struct Numbers {
    rows: BTreeMap<Arc<str>, Row>,
}

/// What a called number leads to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Row {
    /// Whose number it is.
    pub account: AccountId,
    /// Where its calls' first document comes from.
    pub source: Source,
    /// `hangup_url`: told when such a call is over.
    pub hangup: Option<Hook>,
    /// The dialect of its calls; the account's, if it says nothing.
    pub dialect: Option<Dialect>,
}

/// Where a first document comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Source {
    /// The name of a flow of the account.
    Flow(Arc<str>),
    /// A URL.
    Web(Answer),
}

impl Numbers {
    /// Adds a row; the last one for a number stands.
    pub fn insert(&mut self, called: &str, row: Row) {
        self.rows.insert(bare(called).into(), row);
    }

    /// The row of a called number; of a caller that belongs to an account, only one of its own.
    pub fn find(&self, called: &str, account: Option<&AccountId>) -> Option<&Row> {
        let is_theirs = |row: &&Row| account.is_none_or(|it| *it == row.account);
        self.rows.get(bare(called)).filter(is_theirs)
    }
}

/// The user part of a SIP URI, or a number without its `+`.
pub fn bare(called: &str) -> &str {
    let called = called.trim();
    let uri = called.strip_prefix("sip:").or_else(|| called.strip_prefix("sips:"));
    let user = uri.map_or(called, |uri| uri.split(['@', ';']).next().unwrap_or(uri));
    user.strip_prefix('+').unwrap_or(user)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(account: &str, flow: &str) -> Row {
        let (account, source) = (account.parse().unwrap(), Source::Flow(flow.into()));
        Row { account, source, hangup: None, dialect: None }
    }

    #[test]
    fn a_number_is_known_however_it_is_written() {
        let mut numbers = Numbers::default();
        numbers.insert("+14155550100", row("MA1", "weekly"));
        for called in ["14155550100", "+14155550100", "sip:14155550100@example.com;x=y"] {
            assert_eq!(numbers.find(called, None), Some(&row("MA1", "weekly")), "{called}");
        }
        assert_eq!(numbers.find("14155550101", None), None);
    }

    #[test]
    fn a_caller_of_an_account_does_not_reach_the_numbers_of_another() {
        let mut numbers = Numbers::default();
        numbers.insert("100", row("MA1", "weekly"));
        let (mine, other) = ("MA1".parse().unwrap(), "MA2".parse().unwrap());
        assert!(numbers.find("100", Some(&mine)).is_some());
        assert!(numbers.find("100", Some(&other)).is_none());
    }
}
