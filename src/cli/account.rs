//! Command `conflow account`: its arguments and help.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use crate::base::ids::{AccountId, Dialect};

/// Subcommands of `conflow account`.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum AccountCommand {
    /// Add an account, or with --read-only a read-only token (eight at most); prints the token once.
    Add(AddAccount),
    /// Replace a token without a gap: prints a second one; both are valid until --finish.
    ///
    /// Meanwhile callbacks are signed with both (Plivo's V3), or with the new one.
    Rotate(RotateToken),
    /// Set the dialect of an account's inbound calls.
    Set(SetAccount),
    /// List the accounts, and their tokens by their names in the log.
    List(ListAccounts),
    /// Remove an account or one of its tokens; event streams of the token end within a second.
    ///
    /// Sessions, tokens and sockets of the account's people end, too. Its calls continue until they
    /// end.
    Remove(RemoveAccount),
    /// Make a new account-key, and new tokens for all accounts; prints them once. All tokens end.
    ///
    /// For a data folder whose account-key is lost, or has become known. The engine must not run.
    ResetKey(ResetAccountKey),
}

/// Arguments of `account add`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct AddAccount {
    /// MA and 18 more characters of A-Z 0-9 (Plivo's own clients accept nothing else), or any other
    /// id.
    #[arg(value_parser = id)]
    pub id: AccountId,
    /// Dialect of its inbound calls: vobiz (the default) or plivo.
    #[arg(long, value_parser = dialect, conflicts_with = "read_only")]
    pub dialect: Option<Dialect>,
    /// Add a token to an existing account: it may read everything and change nothing.
    #[arg(long)]
    pub read_only: bool,
    /// Data folder of the engine.
    #[arg(long, value_name = "DIR", default_value = "data", env = "CONFLOW_DATA")]
    pub data: PathBuf,
}

/// Arguments of `account rotate`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct RotateToken {
    /// Account whose token is replaced.
    #[arg(value_parser = id)]
    pub id: AccountId,
    /// Remove the older token, once every client has the new one.
    #[arg(long)]
    pub finish: bool,
    /// Replace the read-only token instead.
    #[arg(long)]
    pub read_only: bool,
    /// Data folder of the engine.
    #[arg(long, value_name = "DIR", default_value = "data", env = "CONFLOW_DATA")]
    pub data: PathBuf,
}

/// Arguments of `account set`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct SetAccount {
    /// Account that is changed.
    #[arg(value_parser = id)]
    pub id: AccountId,
    /// Dialect of its inbound calls: vobiz or plivo. Calls that are up keep theirs.
    #[arg(long, value_parser = dialect)]
    pub dialect: Dialect,
    /// Data folder of the engine.
    #[arg(long, value_name = "DIR", default_value = "data", env = "CONFLOW_DATA")]
    pub data: PathBuf,
}

/// Arguments of `account list`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct ListAccounts {
    /// Data folder of the engine.
    #[arg(long, value_name = "DIR", default_value = "data", env = "CONFLOW_DATA")]
    pub data: PathBuf,
}

/// Arguments of `account remove`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct RemoveAccount {
    /// Account that is removed, or whose token is.
    #[arg(value_parser = id)]
    pub id: AccountId,
    /// Remove only this token, by its name in list (t2), at once: for one that has leaked.
    #[arg(long, value_name = "NAME")]
    pub token: Option<String>,
    /// Data folder of the engine.
    #[arg(long, value_name = "DIR", default_value = "data", env = "CONFLOW_DATA")]
    pub data: PathBuf,
}

/// Arguments of `account reset-key`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct ResetAccountKey {
    /// Data folder of the engine.
    #[arg(long, value_name = "DIR", default_value = "data", env = "CONFLOW_DATA")]
    pub data: PathBuf,
}

/// Longest id: it must fit into a header, a path and a URL's user part. The vendors' ids have at
/// most 20 characters.
pub const ACCOUNT_CHARS_MAX: usize = 64;

/// Text below the help.
pub(super) const AFTER_HELP: &str = "\
Examples:
  conflow account add MA00000000000000000B --dialect plivo
  conflow account rotate MA00000000000000000B            both tokens are valid from now on
  conflow account rotate MA00000000000000000B --finish   the older one is no longer valid
  conflow account add MA00000000000000000B --read-only   a token that reads, and changes nothing

The engine may run meanwhile: it follows changes within a second. The accounts of the configuration
file exist beside these; no id may be in both. The data folder contains hashes of the tokens; its
file account-key is as secret as the tokens. conflow store backup contains it; if it is lost, conflow
account reset-key gives all accounts new tokens.";

impl AccountCommand {
    /// Data folder that the command works on.
    pub fn data(&self) -> &Path {
        match self {
            Self::Add(it) => &it.data,
            Self::Rotate(it) => &it.data,
            Self::Set(it) => &it.data,
            Self::List(it) => &it.data,
            Self::Remove(it) => &it.data,
            Self::ResetKey(it) => &it.data,
        }
    }
}

/// Whether an id is safe in headers, paths and folder names.
pub fn is_id(text: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    (1..=ACCOUNT_CHARS_MAX).contains(&text.len()) && text.chars().all(is_word)
}

fn id(text: &str) -> Result<AccountId, String> {
    let wanted =
        || format!("write 1 to {ACCOUNT_CHARS_MAX} of A-Z a-z 0-9 _ - (as MA and 18 more)");
    text.parse().ok().filter(|_| is_id(text)).ok_or_else(wanted)
}

fn dialect(text: &str) -> Result<Dialect, String> {
    match text {
        "plivo" => Ok(Dialect::Plivo),
        "vobiz" => Ok(Dialect::Vobiz),
        _ => Err("write vobiz or plivo".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Command, parse};

    #[test]
    fn an_id_is_one_that_a_path_and_a_folder_can_have() {
        let check = |line: &str, expected| {
            let line = format!("conflow account {line}");
            let parsed = parse(line.split_whitespace().map(Into::into));
            let is_good = matches!(parsed, Ok(Command::Account(_)));
            assert_eq!(is_good, expected, "{line}: {parsed:?}");
        };
        check("add MA1", true);
        check("add MA1 --dialect plivo --data x", true);
        check("add MA1 --dialect twilio", false);
        check("add MA1 --read-only --dialect plivo", false);
        check("add ../MA1", false);
        check("add", false);
        check("rotate MA1 --read-only --finish", true);
        check("remove MA1 --token t1", true);
        check("set MA1 --dialect plivo", true);
        check("set MA1", false);
        check("list", true);
        check("list MA1", false);
    }
}
