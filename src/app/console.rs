//! Web console of the server: where it may be opened, and the link in the banner.

use std::{net::SocketAddr, sync::Arc, time::Instant};

use crate::{
    accounts::Accounts,
    config::Config,
    console::{Console, origins::ConsoleOrigins, sessions::ConsoleSessions},
};

/// The console, if it is on.
pub(super) fn open(config: &Config, http: SocketAddr) -> Option<Arc<Console>> {
    if !config.console.on {
        return None;
    }
    let origins = config.console.origins.iter().map(|it| it.0.clone()).collect();
    let origins = ConsoleOrigins::new(origins, http, config.http_cert.is_some());
    let is_development = config.file.is_none();
    Some(Arc::new(Console { origins, sessions: ConsoleSessions::default(), is_development }))
}

/// The one-time code of the development account. Without one, the page asks for the token.
pub(super) fn code(console: &Console, accounts: &Accounts, config: &Config) -> Option<String> {
    let account = config.accounts.first().filter(|_| console.is_development)?;
    let token = accounts.verify(account.id.as_str(), &account.tokens.first()?.0)?;
    console.sessions.issue_code(Instant::now(), &token).ok()
}
