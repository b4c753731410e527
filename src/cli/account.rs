//! `conflow account`: what can be typed behind it.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use crate::base::ids::{AccountId, Dialect};

/// What can be done about accounts.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum Account {
    /// Add an account, or with --read-only a read-only token; prints the token, this once.
    Add(Add),
    /// Change a token without a gap: prints a second one, and both are good until --finish.
    ///
    /// In the meantime callbacks are signed with both (Plivo's V3), or with the new one.
    Rotate(Rotate),
    /// List the accounts, and their tokens by the names that the log has for them.
    List(List),
    /// Take an account out, or one of its tokens. Its calls go on until they end.
    Remove(Remove),
}

/// An account, or its first read-only token.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct Add {
    /// As MA and 18 more characters of A-Z 0-9; Plivo's own clients take nothing else.
    #[arg(value_parser = id)]
    pub id: AccountId,
    /// Of its inbound calls: vobiz (the default) or plivo.
    #[arg(long, value_parser = dialect, conflicts_with = "read_only")]
    pub dialect: Option<Dialect>,
    /// A token for an account that is there, to look at all of it and change nothing.
    #[arg(long)]
    pub read_only: bool,
    /// Where the engine keeps what outlives it.
    #[arg(long, value_name = "DIR", default_value = "data", env = "CONFLOW_DATA")]
    pub data: PathBuf,
}

/// Whose token.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct Rotate {
    /// Whose.
    #[arg(value_parser = id)]
    pub id: AccountId,
    /// Every client has the new token: the older one is good no longer.
    #[arg(long)]
    pub finish: bool,
    /// The read-only token.
    #[arg(long)]
    pub read_only: bool,
    /// Where the engine keeps what outlives it.
    #[arg(long, value_name = "DIR", default_value = "data", env = "CONFLOW_DATA")]
    pub data: PathBuf,
}

/// Whose accounts.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct List {
    /// Where the engine keeps what outlives it.
    #[arg(long, value_name = "DIR", default_value = "data", env = "CONFLOW_DATA")]
    pub data: PathBuf,
}

/// An account, or one of its tokens.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct Remove {
    /// Which.
    #[arg(value_parser = id)]
    pub id: AccountId,
    /// Only this token, as list has it: t2. At once, for one that has got out.
    #[arg(long, value_name = "NAME")]
    pub token: Option<String>,
    /// Where the engine keeps what outlives it.
    #[arg(long, value_name = "DIR", default_value = "data", env = "CONFLOW_DATA")]
    pub data: PathBuf,
}

/// What fits into a header, a path and a URL's user part. The vendors' have 20 and fewer.
pub const ACCOUNT_CHARS_MAX: usize = 64;

/// Under the help.
pub(super) const AFTER_HELP: &str = "\
Examples:
  conflow account add MA00000000000000000B --dialect plivo
  conflow account rotate MA00000000000000000B            both tokens are good from now on
  conflow account rotate MA00000000000000000B --finish   the older one is good no longer
  conflow account add MA00000000000000000B --read-only   a token to look, and change nothing

The engine may run meanwhile: it goes by what has changed within a second. The accounts of the
configuration file are beside these; no id may be in both. The data folder has hashes for tokens;
its file account-key is as secret as they are, and belongs into every backup.";

impl Account {
    /// The data folder that is meant.
    pub fn data(&self) -> &Path {
        match self {
            Self::Add(it) => &it.data,
            Self::Rotate(it) => &it.data,
            Self::List(it) => &it.data,
            Self::Remove(it) => &it.data,
        }
    }
}

/// Whether an id is good for headers, paths and folder names.
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
        check("list", true);
        check("list MA1", false);
    }
}
