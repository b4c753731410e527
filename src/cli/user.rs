//! Command `conflow user`: people and their tokens, in a data folder that no engine uses meanwhile.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use crate::base::ids::AccountId;

/// Subcommands of `conflow user`.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum UserCommand {
    /// Add a person; prints the number that identifies them.
    Add(AddUser),
    /// Make a token; it is shown once.
    Token(IssueToken),
    /// List the people of an account.
    List(ListUsers),
}

/// Arguments of `user add`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct AddUser {
    /// Name of the person, to sign in with and to show to others.
    pub username: String,
    /// Account that the person belongs to.
    #[arg(long, value_name = "ID")]
    pub account: AccountId,
    /// Data folder of the engine.
    #[arg(long, value_name = "FOLDER", default_value = "data", env = "CONFLOW_DATA")]
    pub data: PathBuf,
    /// Password to sign in with (Rocket.Chat). CONFLOW_USER_PASSWORD keeps it off the command line.
    #[arg(long, env = "CONFLOW_USER_PASSWORD")]
    pub password: Option<String>,
    /// Mobile number of the person.
    #[arg(long)]
    pub mobile: Option<String>,
    /// E-mail address of the person.
    #[arg(long)]
    pub email: Option<String>,
    /// Id of the person in another system.
    #[arg(long)]
    pub external_id: Option<String>,
    /// Number of the person's card.
    #[arg(long)]
    pub card_number: Option<String>,
    /// Id of the card in another system.
    #[arg(long)]
    pub card_external_id: Option<String>,
    /// User that their phone registers as.
    #[arg(long)]
    pub sip_user: Option<String>,
    /// Number that they call from.
    #[arg(long)]
    pub caller: Option<String>,
    /// Platform and the person's id there (Bungie): 3:4611686018446405498.
    #[arg(long, value_name = "PLATFORM:ID")]
    pub membership: Option<String>,
    /// May remove people from every group that they belong to (remove-user).
    #[arg(long)]
    pub remove_user: bool,
    /// May remove anybody from any group (kick-user-from-any-p-room).
    #[arg(long)]
    pub kick_from_any: bool,
}

/// Arguments of `user token`. The token is a person's, a program's or a till's.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct IssueToken {
    /// Person who gets it: it serves as bearer token, Rocket.Chat token and Kirimin session.
    #[arg(required_unless_present_any = ["application", "till"])]
    pub username: Option<String>,
    /// Account of the token's holder.
    #[arg(long, value_name = "ID")]
    pub account: AccountId,
    /// Data folder of the engine.
    #[arg(long, value_name = "FOLDER", default_value = "data", env = "CONFLOW_DATA")]
    pub data: PathBuf,
    /// The token may administer groups (Bungie's scope AdminGroups).
    #[arg(long)]
    pub admin_groups: bool,
    /// Make an API key (Bungie's X-API-Key).
    #[arg(long, conflicts_with_all = ["username", "till"])]
    pub application: bool,
    /// Make a till's password (Capillary); the till sends its MD5 by HTTP Basic.
    #[arg(long, value_name = "NAME", conflicts_with = "username")]
    pub till: Option<String>,
}

/// Arguments of `user list`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct ListUsers {
    /// Account whose people are listed.
    #[arg(long, value_name = "ID")]
    pub account: AccountId,
    /// Data folder of the engine.
    #[arg(long, value_name = "FOLDER", default_value = "data", env = "CONFLOW_DATA")]
    pub data: PathBuf,
}

impl UserCommand {
    /// Data folder that the command works on.
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
