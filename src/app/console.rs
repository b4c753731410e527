//! Web console of the server: where it may be opened, and the link in the banner.

use std::{net::SocketAddr, sync::Arc};

use crate::{
    api::Api,
    config::Config,
    console::{Console, origins::ConsoleOrigins, sessions::ConsoleSessions},
};

/// Adds the console, if it is on.
pub(super) fn add(api: Api, config: &Config, http: SocketAddr) -> Api {
    if !config.console.on {
        return api;
    }
    let origins = config.console.origins.iter().map(|it| it.0.clone()).collect();
    let origins = ConsoleOrigins::new(origins, http, config.http_cert.is_some());
    let (sessions, is_development) = (ConsoleSessions::default(), config.file.is_none());
    api.with_console(Arc::new(Console { origins, sessions, is_development }))
}

/// The one-time code of the development account. Without one, the page asks for the token.
pub(super) fn code(api: &Api, config: &Config) -> Option<String> {
    let account = config.accounts.first().filter(|_| config.file.is_none())?;
    api.state().console_code(&account.id, &account.tokens.first()?.0)
}
