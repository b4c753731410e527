//! Accounts: opens those of the configuration and the data folder, and runs `conflow account`.

use std::{collections::BTreeSet, io::Write, path::Path, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use tokio::time::sleep;

use super::{random, store::STORE_FILE};
use crate::{
    accounts::{
        Accounts, Role,
        file::{AccountStore, StoredAccount},
    },
    cli::{account::AccountCommand, settings::Secret},
    config::Config,
    engine::inbound::wall_clock,
    store::{
        folder::{DataFolder, StoreError},
        rows::RowStore,
        sqlite::Sqlite,
    },
};

/// File in the data folder, without which the tokens of stored accounts are lost.
const KEY_FILE: &str = "account-key";
/// How often changes of `conflow account` are looked for: they take effect within a second, also on a
/// busy machine.
const POLL_INTERVAL: Duration = Duration::from_millis(400);

/// Opens the stored accounts, and merges them with those of the configuration.
pub(super) fn open(
    data: &Path,
    rows: Arc<dyn RowStore>,
    config: &Config,
) -> Result<(Arc<AccountStore>, Arc<Accounts>)> {
    let key = key(data)?;
    let stored_accounts = AccountStore::new(rows, key);
    let kept = stored_accounts.changed()?.unwrap_or_default();
    let mut accounts = Accounts::new(key);
    for account in &config.accounts {
        accounts.set_dialect(&account.id, account.dialect);
        for Secret(token) in &account.tokens {
            accounts.add(&account.id, token)?;
        }
        for Secret(token) in &account.read_only_tokens {
            accounts.add_as(&account.id, token, Role::ReadOnly)?;
        }
    }
    if let Some(id) = accounts.set_stored(&kept).first() {
        let file = config
            .file
            .as_ref()
            .map_or_else(|| "development mode".to_owned(), |it| it.display().to_string());
        bail!(
            "{id} is an account of {file} and of the data folder, too: remove its [[account]], \
             or run conflow account remove {id}"
        );
    }
    config.check_accounts(&kept.iter().map(|it| it.id.clone()).collect::<BTreeSet<_>>())?;
    Ok((Arc::new(stored_accounts), Arc::new(accounts)))
}

/// Follows the changes that `conflow account` makes while the engine runs.
pub(super) async fn watch(stored_accounts: Arc<AccountStore>, accounts: Arc<Accounts>) {
    let mut last_error = None;
    loop {
        sleep(POLL_INTERVAL).await;
        let poll = tokio::task::spawn_blocking({
            let stored_accounts = stored_accounts.clone();
            move || stored_accounts.changed()
        });
        let Ok(changed) = poll.await else { continue };
        match changed {
            Ok(None) => (),
            Ok(Some(kept)) => {
                for id in accounts.set_stored(&kept) {
                    tracing::warn!(
                        "{id} is in the configuration, too, which takes precedence over conflow account"
                    );
                }
                tracing::info!(kept = kept.len(), "the accounts of the data folder have changed");
                last_error = None;
            }
            Err(error) if last_error.as_ref() == Some(&error) => (),
            Err(error) => {
                tracing::error!("the accounts are unchanged: {error}");
                last_error = Some(error);
            }
        }
    }
}

/// Runs `conflow account`; an engine may be running on the folder.
///
/// # Errors
///
/// The change is not possible, or the store cannot be used.
pub fn account(account: AccountCommand, out: &mut impl Write) -> Result<()> {
    let data = account.data().to_owned();
    let key = key(&data)?;
    // One change at a time.
    let _changing = DataFolder::hold_accounts(&data)?;
    let rows = Arc::new(Sqlite::open(&data.join(STORE_FILE))?);
    let stored_accounts = AccountStore::new(rows, key);
    let role = |is_read_only| if is_read_only { Role::ReadOnly } else { Role::Full };
    match account {
        AccountCommand::Add(it) if it.read_only => {
            writeln!(out, "{}", stored_accounts.add_read_only(&it.id, wall_clock())?)?;
        }
        AccountCommand::Add(it) => {
            writeln!(
                out,
                "{}",
                stored_accounts.add(&it.id, it.dialect.unwrap_or_default(), wall_clock())?
            )?;
        }
        AccountCommand::Rotate(it) if it.finish => {
            let label = stored_accounts.finish(&it.id, role(it.read_only))?;
            writeln!(out, "{label} of {} is removed", it.id)?;
        }
        AccountCommand::Rotate(it) => {
            writeln!(out, "{}", stored_accounts.rotate(&it.id, role(it.read_only), wall_clock())?)?;
        }
        AccountCommand::Set(it) => {
            stored_accounts.set_dialect(&it.id, it.dialect)?;
            writeln!(out, "{} has the dialect {}", it.id, it.dialect)?;
        }
        AccountCommand::List(_) => list(&stored_accounts.load()?, out)?,
        AccountCommand::Remove(it) => match &it.token {
            Some(label) => {
                stored_accounts.remove_token(&it.id, label)?;
                writeln!(out, "{label} of {} is removed", it.id)?;
            }
            None => {
                stored_accounts.remove(&it.id)?;
                writeln!(out, "{} is removed", it.id)?;
            }
        },
    }
    Ok(())
}

fn list(kept: &[StoredAccount], out: &mut impl Write) -> Result<()> {
    for account in kept {
        writeln!(out, "{} {}", account.id, account.dialect)?;
        for token in &account.tokens {
            let role = match token.role {
                Role::Full => "full",
                Role::ReadOnly => "read-only",
            };
            writeln!(out, "  {} {role}, made {}", token.label(), token.made)?;
        }
    }
    Ok(())
}

/// Reads the key, or makes it if there is none. The lock keeps two processes from making two keys.
fn key(data: &Path) -> Result<[u8; 32]> {
    let folder = DataFolder::hold_accounts(data)?;
    if let Some(bytes) = folder.read(KEY_FILE)? {
        let damaged = || {
            let why = "an account-key has 32 bytes".to_owned();
            StoreError::Damaged { path: folder.path(KEY_FILE), why }
        };
        return Ok(<[u8; 32]>::try_from(bytes).map_err(|_| damaged())?);
    }
    let key = random().context("cannot make the key of the accounts")?;
    folder.write(KEY_FILE, &key)?;
    Ok(key)
}
