//! Start log: what the log and the banner say when an engine serves.

use std::{env, net::SocketAddr, path::Path};

use super::{banner, settings::is_open_to_itself};
use crate::{
    cli,
    config::Config,
    descriptors,
    documents::{DocumentStore, LocalFlow, folder::FlowsFolder},
};

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// A start must be quick, however many flows there are.
const FLOWS_CHECKED_MAX: usize = 1_000;

/// Warns if few files may be open.
pub(super) fn warn_of_few(descriptors: u64) {
    if descriptors < descriptors::RECOMMENDED_MIN {
        tracing::warn!(
            "only {descriptors} files may be open, and each call and connection takes one: raise the \
             limit (ulimit -Hn, LimitNOFILE= of systemd) to {} or more",
            descriptors::RECOMMENDED_MIN
        );
    }
}

/// Logs the start and warnings about the setup, and prints the banner.
pub(super) fn write(
    config: &Config,
    documents: &FlowsFolder,
    http: SocketAddr,
    sip: &[SocketAddr],
    secrets: (Option<&Path>, Option<&str>),
) {
    // First: a reader who waits for the line of the log has the banner, too.
    if config.file.is_none() {
        let flows = documents.names(&config.accounts[0].id);
        let is_open = is_open_to_itself(config, http);
        banner::print(&banner::text(config, (http, sip), &flows, secrets, is_open));
    }
    tracing::info!(%http, data = %config.data.display(), "conflow {VERSION} serves");
    check_setup(config, documents, http);
}

/// Logs at the start what would otherwise fail at the first call.
fn check_setup(config: &Config, documents: &FlowsFolder, http: SocketAddr) {
    for account in &config.accounts {
        let flow = |name: &str| LocalFlow {
            account: account.id.clone(),
            name: name.into(),
            dialect: account.dialect,
        };
        // Reading a flow logs its errors and warnings.
        let names = documents.names(&account.id);
        for name in names.iter().take(FLOWS_CHECKED_MAX) {
            drop(documents.local(&flow(name)));
        }
        for number in config.numbers.iter().filter(|it| it.account == account.id) {
            if let Some(flow) = number.flow.as_ref().filter(|it| !names.contains(it)) {
                let (called, id) = (&number.called, &account.id);
                let folder = config.flows.join(id.as_str());
                tracing::warn!(
                    "calls to {called} will fail: there is no {flow}.xml in {}",
                    folder.display()
                );
            }
        }
    }
    for variable in env::vars_os().filter_map(|(name, _)| name.into_string().ok()) {
        if variable.starts_with("CONFLOW_") && !cli::is_variable(&variable) {
            tracing::warn!("{variable} is not a setting of conflow: see conflow serve --help");
        }
    }
    if !config.sim.on && config.sip.bind.0.is_empty() {
        tracing::warn!(
            "there are no phones: simulated ones are off (--sim), and so is SIP (--sip)"
        );
    }
    if config.recordings.url.is_none() && http.ip().is_unspecified() {
        tracing::warn!(
            "URLs of recordings name {http}, where nobody finds them: set recordings.url \
             (--recordings-url) to this server's URL"
        );
    }
    if config.file.is_none() && !http.ip().is_loopback() {
        tracing::warn!("development mode, and other machines can reach it at {http}");
    }
}
