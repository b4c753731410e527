//! Rows of the data folder: endpoints, numbers, trunks and applications that commands and accounts
//! have added, beside those of the configuration file.

use std::{cell::RefCell, collections::BTreeSet, path::Path};

use serde::{Deserialize, Serialize};
use toml::{Table as Keys, Value};

use super::{
    Config, ConfigError, EndpointConfig, TrunkConfig,
    account::{AccountConfig, NumberConfig, UnresolvedOwner},
    file::ConfigSource,
};
use crate::{
    base::ids::AccountId,
    cli::settings::Secret,
    provisioning::{CallApplication, EndpointEntry},
    store::rows::{RowStoreError, StoredRow, Table},
};

/// What a row is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum RowKind {
    /// A phone that registers.
    Endpoint,
    /// A called number, and its flow or URL.
    Number,
    /// A gateway to other networks.
    Trunk,
    /// What the calls of endpoints run.
    Application,
}

/// A row as the file would have it. `Debug` does not show the password.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigRow {
    /// What the row is.
    pub kind: RowKind,
    /// Its keys, without the password.
    pub keys: Keys,
    /// The value of its key `password`.
    pub password: Option<Secret>,
}

/// A row whose keys are right.
enum CheckedRow {
    Endpoint(EndpointConfig),
    Number(NumberConfig),
    Trunk(Box<TrunkConfig>),
    Application(Box<CallApplication>),
}

/// The content of a row of [`Table::ConfigRows`].
#[derive(Deserialize, Serialize)]
pub struct RowBody {
    /// Its keys, as in [`ConfigRow`].
    pub keys: Keys,
    /// The encrypted password: a nonce, and what the key made of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<Vec<u8>>,
}

/// Checks that a row of the store can be read; the key of its password is not at hand.
///
/// # Errors
///
/// [`RowStoreError`]: the row is damaged, or of a later version.
pub fn check(row: &StoredRow) -> Result<(), RowStoreError> {
    parse(row).map(drop)
}

/// Reads a row of the store.
///
/// # Errors
///
/// As for [`check`].
pub fn parse(row: &StoredRow) -> Result<(RowKind, RowBody), RowStoreError> {
    let kind = usize::try_from(row.a).ok().and_then(|it| RowKind::ALL.get(it).copied());
    let unknown = || row.invalid(Table::ConfigRows, &"it is of no kind that this version knows");
    Ok((kind.ok_or_else(unknown)?, row.parse(Table::ConfigRows)?))
}

impl RowKind {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 4] = [Self::Endpoint, Self::Number, Self::Trunk, Self::Application];

    /// The name of the array of tables in the file, and of the command.
    pub fn name(self) -> &'static str {
        match self {
            Self::Endpoint => "endpoint",
            Self::Number => "number",
            Self::Trunk => "trunk",
            Self::Application => "application",
        }
    }

    /// The key that tells rows of this kind apart.
    fn key(self) -> &'static str {
        match self {
            Self::Endpoint => "user",
            Self::Number => "called",
            Self::Trunk => "name",
            Self::Application => "id",
        }
    }
}

impl ConfigRow {
    /// Makes a row of its keys.
    pub fn new(kind: RowKind, mut keys: Keys) -> Self {
        let password = match keys.remove("password") {
            Some(Value::String(password)) => Some(Secret(password)),
            // The check finds that it is no string.
            Some(other) => {
                keys.insert("password".to_owned(), other);
                None
            }
            None => None,
        };
        Self { kind, keys, password }
    }

    /// The value of the key that tells rows of its kind apart; empty if it has none.
    pub fn name(&self) -> &str {
        self.keys.get(self.kind.key()).and_then(Value::as_str).unwrap_or_default()
    }

    /// The endpoint of the row, as the API has it.
    pub fn to_entry(&self) -> EndpointEntry {
        let text = |key: &str| self.keys.get(key).and_then(Value::as_str).map(str::to_owned);
        let user = self.name().to_owned();
        EndpointEntry {
            id: text("id").unwrap_or_else(|| user.clone()),
            alias: text("alias").unwrap_or_else(|| user.clone()),
            application: text("application"),
            user,
            is_fixed: false,
        }
    }

    /// The application of the row; None if it is no application, or cannot be used.
    pub fn to_application(&self) -> Option<CallApplication> {
        match self.read(&[]).ok()?.0 {
            CheckedRow::Application(it) => Some(CallApplication { is_fixed: false, ..*it }),
            CheckedRow::Endpoint(_) | CheckedRow::Number(_) | CheckedRow::Trunk(_) => None,
        }
    }

    /// The row of an application.
    pub fn of_application(application: &CallApplication) -> Self {
        let keys = Keys::try_from(application).expect("names, URLs and flags are TOML");
        Self::new(RowKind::Application, keys)
    }

    /// The account that the row belongs to; None for a trunk.
    pub fn account(&self) -> Option<AccountId> {
        self.keys.get("account")?.as_str()?.parse().ok()
    }

    /// Checks the keys, but not that the account exists.
    ///
    /// # Errors
    ///
    /// The key that is wrong, and what to write.
    pub fn check(&self) -> Result<(), String> {
        self.read(&[]).map(drop)
    }

    /// Reads the row as the file is read: the same keys are allowed, and the same values.
    fn read(
        &self,
        accounts: &[AccountConfig],
    ) -> Result<(CheckedRow, Vec<UnresolvedOwner>), String> {
        let mut keys = self.keys.clone();
        if let Some(Secret(password)) = &self.password {
            keys.insert("password".to_owned(), Value::String(password.clone()));
        }
        let rows = Value::Array(vec![Value::Table(keys)]);
        let file = Keys::from_iter([(self.kind.name().to_owned(), rows)]);
        let text = toml::to_string(&file).map_err(|error| error.to_string())?;
        let path = Path::new("the data folder");
        let source = ConfigSource { path, text: &text, unresolved_owners: RefCell::default() };
        let row = source.row(self.kind, accounts).map_err(|error| match error {
            ConfigError::Line { key, why, .. } if key.is_empty() || key.starts_with('[') => why,
            ConfigError::Line { key, why, .. } => format!("{key}: {why}"),
            error @ (ConfigError::Incomplete(_) | ConfigError::Unreadable { .. }) => {
                error.to_string()
            }
        })?;
        Ok((row, source.unresolved_owners.take()))
    }
}

impl ConfigSource<'_> {
    /// Reads a text that has one row.
    fn row(&self, kind: RowKind, accounts: &[AccountConfig]) -> Result<CheckedRow, ConfigError> {
        let layer = self.settings()?;
        Ok(match kind {
            RowKind::Endpoint => {
                CheckedRow::Endpoint(self.endpoints(&layer.endpoints, accounts)?.remove(0))
            }
            RowKind::Number => {
                CheckedRow::Number(self.numbers(&layer.numbers, accounts)?.remove(0))
            }
            RowKind::Trunk => {
                CheckedRow::Trunk(Box::new(self.trunks(&layer.trunks, accounts)?.remove(0)))
            }
            RowKind::Application => {
                let mut rows = self.applications(&layer.applications, accounts)?;
                CheckedRow::Application(Box::new(rows.remove(0)))
            }
        })
    }
}

impl Config {
    /// Adds rows of the data folder. `stored` are its accounts. A row that is wrong, or that the file
    /// has as well, is left out; returns the reasons, a line each.
    pub fn add_rows(&mut self, rows: &[ConfigRow], stored: &BTreeSet<AccountId>) -> Vec<String> {
        let mut reasons = Vec::new();
        for row in rows {
            if let Err(why) = self.add_row(row, stored) {
                reasons.push(format!("{} {}: {why}", row.kind.name(), row.name()));
            }
        }
        reasons
    }

    fn add_row(&mut self, row: &ConfigRow, stored: &BTreeSet<AccountId>) -> Result<(), String> {
        let (checked, unresolved) = row.read(&self.accounts)?;
        if let Some(owner) = unresolved.iter().find(|it| !stored.contains(&it.account)) {
            let account = &owner.account;
            return Err(format!(
                "account: there is no {account} in the configuration, and none in conflow account list"
            ));
        }
        let is_new = match &checked {
            CheckedRow::Endpoint(row) => self.endpoints.iter().all(|it| it.user != row.user),
            CheckedRow::Number(row) => self.numbers.iter().all(|it| it.called != row.called),
            CheckedRow::Trunk(row) => self.trunks.iter().all(|it| it.name != row.name),
            CheckedRow::Application(row) => self.applications.iter().all(|it| it.id != row.id),
        };
        if !is_new {
            let kind = row.kind.name();
            return Err(format!("the configuration file has it as a [[{kind}]], which stays"));
        }
        match checked {
            CheckedRow::Endpoint(row) => {
                self.endpoints.push(EndpointConfig { is_fixed: false, ..row });
            }
            CheckedRow::Number(row) => self.numbers.push(row),
            CheckedRow::Trunk(row) => self.trunks.push(*row),
            CheckedRow::Application(row) => {
                self.applications.push(CallApplication { is_fixed: false, ..*row });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::serve::ServeArgs;

    fn row(kind: RowKind, keys: &str) -> ConfigRow {
        ConfigRow::new(kind, keys.parse().unwrap())
    }

    #[test]
    fn a_row_is_checked_as_the_file_is_and_its_password_is_not_shown() {
        let check = |kind, keys: &str, expected: &str| {
            let checked = row(kind, keys).check();
            match expected {
                "" => assert_eq!(checked, Ok(()), "{keys}"),
                _ => {
                    assert!(checked.clone().unwrap_err().contains(expected), "{keys}: {checked:?}");
                }
            }
        };
        let anna = "user = \"anna\"\npassword = \"geheim7\"\naccount = \"MA1\"";
        check(RowKind::Endpoint, anna, "");
        check(RowKind::Endpoint, "user = \"an na\"\npassword = \"x\"\naccount = \"MA1\"", "user: ");
        check(RowKind::Endpoint, "user = \"anna\"\npassword = 7\naccount = \"MA1\"", "password");
        check(RowKind::Endpoint, "user = \"anna\"\naccount = \"MA1\"", "password");
        check(RowKind::Endpoint, &format!("{anna}\ncolour = \"red\""), "colour");
        check(RowKind::Number, "called = \"1\"\naccount = \"MA1\"\nflow = \"room\"", "");
        check(RowKind::Number, "called = \"1\"\naccount = \"MA1\"", "either flow or answer_url");
        check(RowKind::Trunk, "name = \"carrier\"\naddresses = [\"192.0.2.0/24\"]", "");
        check(RowKind::Trunk, "name = \"carrier\"\naddresses = [\"192.0.2.0/99\"]", "addresses: ");
        let shown = format!("{:?}", row(RowKind::Endpoint, anna));
        assert!(shown.contains("anna") && !shown.contains("geheim7"), "{shown}");
    }

    #[test]
    fn the_file_comes_first_and_a_wrong_row_costs_itself_only() {
        let mut config = Config::load(ServeArgs::default(), None, Path::new("nowhere")).unwrap();
        let id = config.accounts[0].id.clone();
        let number = |called: &str, account: &str| {
            let keys = format!("called = \"{called}\"\naccount = \"{account}\"\nflow = \"room\"");
            row(RowKind::Number, &keys)
        };
        let rows = [number("1", id.as_str()), number("2", "MASTORED"), number("3", "MAGONE")];
        let stored = BTreeSet::from(["MASTORED".parse().unwrap()]);
        let reasons = config.add_rows(&rows, &stored);
        assert_eq!(reasons.len(), 1, "{reasons:?}");
        assert!(reasons[0].starts_with("number 3: account: there is no MAGONE"), "{reasons:?}");
        let called: Vec<_> = config.numbers.iter().map(|it| it.called.as_str()).collect();
        assert_eq!(called, ["1", "2"]);
        let anna = format!("user = \"anna\"\npassword = \"x\"\naccount = \"{id}\"");
        let carrier = "name = \"carrier\"\naddresses = [\"192.0.2.0/24\"]";
        let others = [row(RowKind::Endpoint, &anna), row(RowKind::Trunk, carrier)];
        assert_eq!(config.add_rows(&others, &stored), [""; 0]);
        let [anna, carrier] = others;
        let again = config.add_rows(&[number("1", id.as_str()), anna, carrier], &stored);
        for (why, name) in again.iter().zip(["number 1", "endpoint anna", "trunk carrier"]) {
            assert!(why.starts_with(&format!("{name}: the configuration file has it")), "{why}");
        }
        assert_eq!(again.len(), 3, "{again:?}");
    }
}
