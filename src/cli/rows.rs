//! Commands `conflow endpoint`, `application`, `number` and `trunk`: their arguments and help.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::base::ids::AccountId;

/// Subcommands of `conflow endpoint`.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum EndpointCommand {
    /// Add a phone that registers; prints the password that was made for it, once.
    Add(AddEndpoint),
    /// List the endpoints of the data folder, without their passwords.
    List(DataArgs),
    /// Remove an endpoint: it can no longer register or call. Its calls continue until they end.
    Remove(RemoveRow),
}

/// Subcommands of `conflow application`. Accounts add applications by the API.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum ApplicationCommand {
    /// List the applications of the data folder.
    List(DataArgs),
    /// Remove an application. Its calls continue until they end; its endpoints have none then.
    Remove(RemoveRow),
}

/// Subcommands of `conflow number`.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum NumberCommand {
    /// Add a called number, with the flow or the URL of its calls.
    Add(Box<AddNumber>),
    /// List the numbers of the data folder.
    List(DataArgs),
    /// Remove a number. Its calls continue until they end.
    Remove(RemoveRow),
}

/// Subcommands of `conflow trunk`.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum TrunkCommand {
    /// Add the trunks of a file, which has rows as those of the configuration file.
    Add(AddTrunks),
    /// List the trunks of the data folder, without their passwords.
    List(DataArgs),
    /// Remove a trunk. Its calls continue until they end.
    Remove(RemoveRow),
}

/// Arguments of `endpoint add`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct AddEndpoint {
    /// The user in REGISTER and From.
    pub user: String,
    /// Account whose flows the phone calls.
    #[arg(long, value_name = "ID")]
    pub account: AccountId,
    /// Whether the sound of its calls is encrypted: off, allow (the default), offer or require.
    #[arg(long, value_name = "WHEN")]
    pub srtp: Option<String>,
    /// Read the password from the first line of this file, - for standard input, and print none.
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// Replace the endpoint of this user, if there is one; it then needs the new password.
    #[arg(long)]
    pub replace: bool,
    /// Data folder of the engine.
    #[arg(long, value_name = "DIR", default_value = "data", env = "CONFLOW_DATA")]
    pub data: PathBuf,
}

/// Arguments of `number add`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct AddNumber {
    /// Called number, or the user of a SIP URI.
    pub called: String,
    /// Account that owns the number and its flow.
    #[arg(long, value_name = "ID")]
    pub account: AccountId,
    /// Name of a flow of the account.
    #[arg(long, value_name = "NAME", required_unless_present = "answer_url")]
    pub flow: Option<String>,
    /// URL of the first document, instead of a flow.
    #[arg(long, value_name = "URL", conflicts_with = "flow")]
    pub answer_url: Option<String>,
    /// Method for --answer-url and --fallback-url: GET or POST (the default).
    #[arg(long, value_name = "METHOD", requires = "answer_url")]
    pub answer_method: Option<String>,
    /// URL that is fetched if --answer-url fails.
    #[arg(long, value_name = "URL", requires = "answer_url")]
    pub fallback_url: Option<String>,
    /// URL that is called when a call has ended.
    #[arg(long, value_name = "URL")]
    pub hangup_url: Option<String>,
    /// Dialect of the number's calls: vobiz or plivo [default: the account's].
    #[arg(long, value_name = "DIALECT")]
    pub dialect: Option<String>,
    /// Replace the number, if there is one.
    #[arg(long)]
    pub replace: bool,
    /// Data folder of the engine.
    #[arg(long, value_name = "DIR", default_value = "data", env = "CONFLOW_DATA")]
    pub data: PathBuf,
}

/// Arguments of `trunk add`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct AddTrunks {
    /// File with a table `trunk` for each; - for standard input.
    pub file: PathBuf,
    /// Replace trunks that have the names of these.
    #[arg(long)]
    pub replace: bool,
    /// Data folder of the engine.
    #[arg(long, value_name = "DIR", default_value = "data", env = "CONFLOW_DATA")]
    pub data: PathBuf,
}

/// Arguments of the four `remove`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct RemoveRow {
    /// Its user, number, name or id, as list shows it.
    pub name: String,
    /// Data folder of the engine.
    #[arg(long, value_name = "DIR", default_value = "data", env = "CONFLOW_DATA")]
    pub data: PathBuf,
}

/// Arguments of the four `list`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct DataArgs {
    /// Data folder of the engine.
    #[arg(long, value_name = "DIR", default_value = "data", env = "CONFLOW_DATA")]
    pub data: PathBuf,
}

/// Text below the help of all four.
pub(super) const AFTER_HELP: &str = "\
Examples:
  conflow endpoint add anna --account MA00000000000000000B
  conflow number add 14155550100 --account MA00000000000000000B --flow reception
  conflow trunk add carrier.toml

The engine may run meanwhile: it follows changes within a second, and no call is touched. Rows of
the configuration file exist beside these and come first. What the file would not allow is refused
here with the same words. Passwords are encrypted with the data folder's account-key. Endpoints and
applications that accounts make by the API (Endpoint/, Application/) are listed here, too; conflow
account remove takes the endpoints, applications and numbers of the account along.";
