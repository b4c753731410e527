//! Configuration file: reads and checks it, and reports errors by line.

use std::{cell::RefCell, collections::BTreeMap, fs, io, ops::Range, path::Path};

use toml::Spanned;

use super::{
    account::{AccountConfig, NumberConfig, UnresolvedOwner},
    error::ConfigError,
};
use crate::{
    accounts::{READ_ONLY_TOKENS_MAX, TOKENS_MAX},
    base::{ids::AccountId, user_part::UserPart},
    cli::{
        account::{ACCOUNT_CHARS_MAX, is_id},
        settings::{self, Secret, Settings},
    },
    fetch::TargetUrl,
};

/// A configuration file's text, with the path that errors name.
pub(super) struct ConfigSource<'a> {
    pub(super) path: &'a Path,
    pub(super) text: &'a str,
    /// Rows whose accounts are not in the file.
    pub(super) unresolved_owners: RefCell<Vec<UnresolvedOwner>>,
}

/// Longer files are refused unread.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Length of a token in a configuration file. A random token of ten characters could be guessed
/// within years.
const TOKEN_CHARS: Range<usize> = 16..257;

/// Reads a configuration file of at most [`FILE_BYTES_MAX`] bytes.
pub(super) fn read(path: &Path) -> Result<String, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
    let found = fs::metadata(path).map_err(unreadable)?;
    if FILE_BYTES_MAX < found.len() {
        return Err(unreadable(io::ErrorKind::FileTooLarge.into()));
    }
    fs::read_to_string(path).map_err(unreadable)
}

/// Reads a file that a row names, of at most [`FILE_BYTES_MAX`] bytes.
pub(super) fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    match fs::metadata(path)?.len() <= FILE_BYTES_MAX {
        true => fs::read(path),
        false => Err(io::ErrorKind::FileTooLarge.into()),
    }
}

/// Whether a token is hard to guess and fits into a header.
pub(super) fn is_token(token: &str) -> bool {
    TOKEN_CHARS.contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Whether a token of the file is shown, and no good.
fn is_weak(token: &Secret) -> bool {
    token.0 != Secret::HIDDEN && !is_token(&token.0)
}

/// Text that tells what a token must look like.
pub(super) fn token_wanted() -> String {
    let (min, max) = (TOKEN_CHARS.start, TOKEN_CHARS.end - 1);
    format!(
        "a token has {min} to {max} visible ASCII characters and no blanks; make one with: openssl \
        rand -hex 20"
    )
}

impl ConfigSource<'_> {
    /// Parses the file; the rows are not checked yet.
    pub(super) fn settings(&self) -> Result<Settings, ConfigError> {
        toml::from_str(self.text).map_err(|error| {
            self.error_at(error.span().unwrap_or_default(), error.message().to_owned())
        })
    }

    /// Checks the accounts: each id once, with valid tokens.
    pub(super) fn accounts(
        &self,
        rows: &[settings::AccountSettings],
    ) -> Result<Vec<AccountConfig>, ConfigError> {
        let mut lines = BTreeMap::new();
        let mut accounts = Vec::with_capacity(rows.len());
        for row in rows {
            let invalid = |why| self.error_at(row.id.span(), why);
            let id = row.id.as_ref();
            if !is_id(id) {
                return Err(invalid(format!(
                    "write 1 to {ACCOUNT_CHARS_MAX} of A-Z a-z 0-9 _ - (as MA and 18 more)"
                )));
            }
            if let Some(line) = lines.insert(id, self.line(row.id.span())) {
                return Err(invalid(format!("{id} has an [[account]] already, in line {line}")));
            }

            self.check_tokens(row)?;
            let tokens = row.tokens.as_ref().0.clone();
            let read_only = row.read_only_tokens.as_ref();
            let read_only_tokens = read_only.map_or_else(Vec::new, |it| it.as_ref().0.clone());
            let id = id.parse().expect("words are names");
            accounts.push(AccountConfig { id, tokens, read_only_tokens, dialect: row.dialect });
        }
        Ok(accounts)
    }

    fn check_tokens(&self, row: &settings::AccountSettings) -> Result<(), ConfigError> {
        let invalid = |why: String| Err(self.error_at(row.tokens.span(), why));
        let tokens = &row.tokens.as_ref().0;
        if !(1..=TOKENS_MAX).contains(&tokens.len()) {
            return invalid("write one token, or two while one replaces the other".to_owned());
        }
        if tokens.iter().any(is_weak) {
            return invalid(token_wanted());
        }
        let Some(row) = &row.read_only_tokens else { return Ok(()) };
        let invalid = |why: String| Err(self.error_at(row.span(), why));
        let read_only = &row.as_ref().0;
        if READ_ONLY_TOKENS_MAX < read_only.len() {
            return invalid(format!("write {READ_ONLY_TOKENS_MAX} tokens at most"));
        }
        if read_only.iter().any(is_weak) {
            return invalid(token_wanted());
        }
        let is_shown = |it: &&Secret| it.0 != Secret::HIDDEN;
        if read_only.iter().filter(is_shown).any(|it| tokens.contains(it)) {
            let why = "a token is full or read-only: take it out of tokens, or make another one";
            return invalid(why.to_owned());
        }
        Ok(())
    }

    /// Checks the numbers: each once, with a known account and either a flow or a URL.
    pub(super) fn numbers(
        &self,
        rows: &[settings::NumberSettings],
        accounts: &[AccountConfig],
    ) -> Result<Vec<NumberConfig>, ConfigError> {
        let mut lines = BTreeMap::new();
        let mut numbers = Vec::with_capacity(rows.len());
        for row in rows {
            let called = UserPart::read(row.called.as_ref()).user;
            let invalid = |why| Err(self.error_at(row.called.span(), why));
            if called.is_empty() {
                return invalid(
                    "write a number (14155550100), or the user of a SIP URI".to_owned(),
                );
            }
            if let Some(line) = lines.insert(called.clone(), self.line(row.called.span())) {
                return invalid(format!("{called} has a [[number]] already, in line {line}"));
            }
            let account = self.owner(&row.account, accounts)?;
            if row.flow.is_some() == row.answer_url.is_some() {
                return invalid("give either flow or answer_url".to_owned());
            }
            let urls = [&row.answer_url, &row.fallback_url, &row.hangup_url];
            for url in urls.into_iter().flatten() {
                if let Err(error) = TargetUrl::parse(url) {
                    return invalid(format!("{url}: {error}"));
                }
            }
            numbers.push(NumberConfig {
                called,
                account,
                flow: row.flow.clone(),
                answer_url: row.answer_url.clone(),
                answer_method: row.answer_method,
                fallback_url: row.fallback_url.clone(),
                hangup_url: row.hangup_url.clone(),
                dialect: row.dialect,
            });
        }
        Ok(numbers)
    }

    /// The account that a row names. If it is not in the file, the data folder may still have it:
    /// the row is then listed in `unresolved_owners`.
    pub(super) fn owner(
        &self,
        named: &Spanned<String>,
        accounts: &[AccountConfig],
    ) -> Result<AccountId, ConfigError> {
        if let Some(account) = accounts.iter().find(|it| it.id.as_str() == named.as_ref()) {
            return Ok(account.id.clone());
        }
        let ids: Vec<_> = accounts.iter().map(|it| it.id.as_str()).collect();
        let ids = if ids.is_empty() { "none".to_owned() } else { ids.join(", ") };
        let why = format!(
            "there is no such [[account]]; there are: {ids} (and conflow account list has none \
             either)"
        );
        let invalid = self.error_at(named.span(), why);
        let id: Result<AccountId, _> = named.as_ref().parse();
        let Some(account) = id.ok().filter(|_| is_id(named.as_ref())) else { return Err(invalid) };
        let unresolved = UnresolvedOwner { account: account.clone(), why: invalid.to_string() };
        self.unresolved_owners.borrow_mut().push(unresolved);
        Ok(account)
    }

    pub(super) fn error_at(&self, span: Range<usize>, why: String) -> ConfigError {
        let line = self.line(span);
        let text = self.text.lines().nth(line - 1).unwrap_or_default();
        let key = text.split(['=', '"', '\'']).next().unwrap_or_default().trim().to_owned();
        ConfigError::Line { path: self.path.to_owned(), line, key, why }
    }

    pub(super) fn line(&self, span: Range<usize>) -> usize {
        self.text[..span.start].matches('\n').count() + 1
    }
}
