//! Login: the account and token for requests to a running server.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::{
    base::ids::AccountId,
    cli::login::{DEVELOPMENT_ACCOUNT, LoginArgs, ServerArgs, TrustArgs},
    client::server::ServerClient,
    tls,
};

/// A client of a running server, with the token from the environment or else from the file.
///
/// # Errors
///
/// There is no token, or the URL is none.
pub(crate) fn connect(server: ServerArgs, token: Option<String>) -> Result<ServerClient> {
    let (account, token) = login(server.login, token)?;
    ServerClient::new(&server.url, account, &token, &authorities(&server.trust)?)
}

/// The certificates of the authorities that are trusted besides the public ones; empty if there are
/// none.
///
/// # Errors
///
/// The file cannot be read, or has no certificate.
pub(crate) fn authorities(trust: &TrustArgs) -> Result<Vec<u8>> {
    let Some(path) = &trust.ca else { return Ok(Vec::new()) };
    let wanted = || format!("--ca {}: name a file of certificates in PEM", path.display());
    let bytes = fs::read(path).with_context(wanted)?;
    if bytes.is_empty() {
        bail!("{}: it is empty", wanted());
    }
    tls::client_config(&bytes).with_context(wanted)?;
    Ok(bytes)
}

/// The account and its token, from the environment or else from the file.
///
/// # Errors
///
/// There is no token.
pub(crate) fn login(login: LoginArgs, token: Option<String>) -> Result<(AccountId, String)> {
    let account = match login.account {
        Some(account) => account,
        None => DEVELOPMENT_ACCOUNT.parse().context("a name")?,
    };
    let token = match token {
        Some(token) => token,
        None => fs::read_to_string(&login.token_file).with_context(|| {
            let file = login.token_file.display();
            format!(
                "there is no token: cannot read {file} (a server in development mode makes it; \
                otherwise set CONFLOW_AUTH_TOKEN, or name a file by --token-file)"
            )
        })?,
    };
    Ok((account, token.trim().to_owned()))
}
