//! `conflow user`: people and their tokens, in a data folder that no engine has at the moment.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use crate::base::ids::AccountId;

/// What can be done about people.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum User {
    /// Add a person; prints the number that names him.
    Add(Add),
    /// Make a token, shown this once.
    Token(Token),
    /// List the people of an account.
    List(List),
}

/// A person.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct Add {
    /// What he goes by.
    pub username: String,
    /// Whose he is.
    #[arg(long, value_name = "ID")]
    pub account: AccountId,
    /// Where the engine keeps what outlives it.
    #[arg(long, value_name = "FOLDER", default_value = "data", env = "CONFLOW_DATA")]
    pub data: PathBuf,
    /// To sign in with (Rocket.Chat). Better by CONFLOW_USER_PASSWORD than typed.
    #[arg(long, env = "CONFLOW_USER_PASSWORD")]
    pub password: Option<String>,
    /// A mobile number.
    #[arg(long)]
    pub mobile: Option<String>,
    /// An e-mail address.
    #[arg(long)]
    pub email: Option<String>,
    /// What another system calls him.
    #[arg(long)]
    pub external_id: Option<String>,
    /// The number on a card.
    #[arg(long)]
    pub card_number: Option<String>,
    /// What another system calls the card.
    #[arg(long)]
    pub card_external_id: Option<String>,
    /// The user that his phone registers as.
    #[arg(long)]
    pub sip_user: Option<String>,
    /// The number that he calls from.
    #[arg(long)]
    pub caller: Option<String>,
    /// A platform and its number for him (Bungie): 3:4611686018446405498.
    #[arg(long, value_name = "PLATFORM:ID")]
    pub membership: Option<String>,
    /// He may remove people from every group that he belongs to (remove-user).
    #[arg(long)]
    pub remove_user: bool,
    /// He may remove anybody from any group (kick-user-from-any-p-room).
    #[arg(long)]
    pub kick_from_any: bool,
}

/// A token: a person's, a program's, or a till's.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct Token {
    /// Whose it is: bearer token, Rocket.Chat token and Kirimin session in one.
    #[arg(required_unless_present_any = ["application", "till"])]
    pub username: Option<String>,
    /// Whose account.
    #[arg(long, value_name = "ID")]
    pub account: AccountId,
    /// Where the engine keeps what outlives it.
    #[arg(long, value_name = "FOLDER", default_value = "data", env = "CONFLOW_DATA")]
    pub data: PathBuf,
    /// With it, he may administer groups (Bungie's scope AdminGroups).
    #[arg(long)]
    pub admin_groups: bool,
    /// An API key (Bungie's X-API-Key).
    #[arg(long, conflicts_with_all = ["username", "till"])]
    pub application: bool,
    /// A till's password (Capillary): shown by HTTP Basic as its MD5.
    #[arg(long, value_name = "NAME", conflicts_with = "username")]
    pub till: Option<String>,
}

/// Whose people.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct List {
    /// Whose.
    #[arg(long, value_name = "ID")]
    pub account: AccountId,
    /// Where the engine keeps what outlives it.
    #[arg(long, value_name = "FOLDER", default_value = "data", env = "CONFLOW_DATA")]
    pub data: PathBuf,
}

impl User {
    /// The data folder that is meant.
    pub fn data(&self) -> &Path {
        match self {
            Self::Add(it) => &it.data,
            Self::Token(it) => &it.data,
            Self::List(it) => &it.data,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Command, parse};

    #[test]
    fn a_token_is_one_persons_or_one_programs() {
        let check = |line: &str, expected| {
            let line = format!("conflow user token --account MA1 {line}");
            let parsed = parse(line.split_whitespace().map(Into::into));
            let is_token = matches!(parsed, Ok(Command::User(_)));
            assert_eq!(is_token, expected, "{line}: {parsed:?}");
        };
        check("alice", true);
        check("alice --admin-groups --data x", true);
        check("--application", true);
        check("--till t1", true);
        check("", false);
        check("alice --application", false);
        check("alice --till t1", false);
        check("--application --till t1", false);
    }
}
