//! Numbers: the table from called numbers to accounts and flows.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    base::{
        ids::{AccountId, Dialect},
        user_part::UserPart,
    },
    call::{AnswerUrls, Hook},
};

/// The `[[number]]` rows of the configuration.
#[derive(Clone, Debug, Default)]
pub struct Numbers {
    rows: BTreeMap<Arc<str>, NumberRoute>,
}

/// The row of a called number.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NumberRoute {
    /// The account that has the number.
    pub account: AccountId,
    /// The source of its calls' first document.
    pub source: FlowSource,
    /// `hangup_url`: requested when a call of the number ends.
    pub hangup: Option<Hook>,
    /// The dialect of its calls; None: the account's.
    pub dialect: Option<Dialect>,
}

/// The source of a call's first document.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum FlowSource {
    /// A local flow of the account, by its name.
    Flow(Arc<str>),
    /// A URL, with its fallback.
    Web(AnswerUrls),
}

impl Numbers {
    /// Adds a row. A later row for the same number replaces it.
    pub fn insert(&mut self, called: &str, row: NumberRoute) {
        self.rows.insert(UserPart::read(called).user.into(), row);
    }

    /// The row of a called number. If the caller belongs to `account`, only a row of that account.
    pub fn find(&self, called: &str, account: Option<&AccountId>) -> Option<&NumberRoute> {
        let is_theirs = |row: &&NumberRoute| account.is_none_or(|it| *it == row.account);
        self.rows.get(&*UserPart::read(called).user).filter(is_theirs)
    }

    /// The numbers of an account, sorted.
    pub fn of(&self, account: &AccountId) -> Vec<Arc<str>> {
        let theirs = self.rows.iter().filter(|(_, row)| row.account == *account);
        theirs.map(|(number, _)| number.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(account: &str, flow: &str) -> NumberRoute {
        let (account, source) = (account.parse().unwrap(), FlowSource::Flow(flow.into()));
        NumberRoute { account, source, hangup: None, dialect: None }
    }

    #[test]
    fn a_number_is_found_in_every_notation() {
        let mut numbers = Numbers::default();
        numbers.insert("+14155550100", row("MA1", "weekly"));
        for called in [
            "14155550100",
            "+14155550100",
            "sip:14155550100@example.com;x=y",
            "+1-415-555-0100;npdi",
        ] {
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
