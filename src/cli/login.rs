//! Account arguments: which account to use on a running server, and the file of its token.

use std::path::PathBuf;

use clap::{Args, builder::NonEmptyStringValueParser};

use crate::base::ids::AccountId;

/// An account. Its token comes from CONFLOW_AUTH_TOKEN or a file, since others could see a command
/// line.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct LoginArgs {
    /// Account to use on the server [default: the development account].
    #[arg(long, env = "CONFLOW_AUTH_ID", value_name = "ID")]
    pub account: Option<AccountId>,
    /// File of the account's token, unless CONFLOW_AUTH_TOKEN is set.
    #[arg(long, env = "CONFLOW_TOKEN_FILE", value_name = "FILE", default_value = "data/dev-token")]
    pub token_file: PathBuf,
}

/// A running server, and an account of it.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct ServerArgs {
    /// URL of the running server.
    #[arg(
        long,
        env = "CONFLOW_URL",
        default_value = "http://127.0.0.1:8080",
        value_parser = NonEmptyStringValueParser::new()
    )]
    pub url: String,
    /// What is trusted in addition to the public authorities.
    #[command(flatten)]
    pub trust: TrustArgs,
    /// Account whose data is used.
    #[command(flatten)]
    pub login: LoginArgs,
}

/// Authorities that a command trusts, for servers that speak HTTPS.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct TrustArgs {
    /// File of certificates, in PEM: authorities that are trusted besides the public ones, for a server
    /// with a certificate of your own.
    #[arg(long, env = "CONFLOW_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,
}

/// Account of development mode. 20 characters, since Plivo's SDK accepts nothing else.
pub const DEVELOPMENT_ACCOUNT: &str = "MACONFLOWDEV00000000";
