//! Accounts: opens those of the configuration and the data folder, and runs `conflow account`.

use std::{collections::BTreeSet, io::Write, path::Path, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use tokio::time::sleep;

use super::{
    random,
    store::KEY_FILE,
    users::{self, AccountPeople},
};
use crate::{
    accounts::{
        Accounts, Role,
        file::{AccountStore, StoredAccount, StoredChange},
    },
    base::ids::AccountId,
    cli::{account::AccountCommand, settings::Secret},
    config::Config,
    engine::inbound::wall_clock,
    store::{
        folder::{DataFolder, StoreError},
        rows::{RowStore, RowStoreError, Table},
    },
};

/// How often changes of `conflow account` are looked for: they take effect within a second, also on a
/// busy machine.
pub(super) const POLL_INTERVAL: Duration = Duration::from_millis(400);

/// Opens the stored accounts, and merges them with those of the configuration. Returns the account-key,
/// too.
pub(super) fn open(
    data: &Path,
    rows: Arc<dyn RowStore>,
    config: &Config,
) -> Result<(Arc<AccountStore>, Arc<Accounts>, [u8; 32])> {
    let key = key(&DataFolder::hold_accounts(data)?, &*rows)?;
    let stored_accounts = AccountStore::new(rows.clone(), key);
    let mut accounts = Accounts::new(key);
    add_configured(&mut accounts, config)?;
    users::delete_removed(&*rows, |id| accounts.is_configured(id))?;
    let kept = stored_accounts.changed()?.map(|it| it.accounts).unwrap_or_default();
    check(&kept, config)?;
    accounts.set_stored(&kept);
    Ok((Arc::new(stored_accounts), Arc::new(accounts), key))
}

/// Checks that the accounts of the data folder and of the configuration fit together.
pub(super) fn check(kept: &[StoredAccount], config: &Config) -> Result<()> {
    let is_configured = |id: &AccountId| config.accounts.iter().any(|it| it.id == *id);
    if let Some(StoredAccount { id, .. }) = kept.iter().find(|it| is_configured(&it.id)) {
        let file = config
            .file
            .as_ref()
            .map_or_else(|| "development mode".to_owned(), |it| it.display().to_string());
        bail!(
            "{id} is an account of {file} and of the data folder, too: remove its [[account]], \
             or run conflow account remove {id}"
        );
    }
    Ok(config.check_accounts(&kept.iter().map(|it| it.id.clone()).collect::<BTreeSet<_>>())?)
}

/// Adds the accounts of the configuration.
pub(super) fn add_configured(accounts: &mut Accounts, config: &Config) -> Result<()> {
    for account in &config.accounts {
        accounts.set_dialect(&account.id, account.dialect);
        for Secret(token) in &account.tokens {
            accounts.add(&account.id, token)?;
        }
        for Secret(token) in &account.read_only_tokens {
            accounts.add_as(&account.id, token, Role::ReadOnly)?;
        }
    }
    Ok(())
}

/// Follows the changes that `conflow account` makes while the engine runs.
pub(super) async fn watch(
    stored_accounts: Arc<AccountStore>,
    accounts: Arc<Accounts>,
    people: AccountPeople,
) {
    let mut last_error = None;
    loop {
        sleep(POLL_INTERVAL).await;
        let poll = tokio::task::spawn_blocking({
            let stored_accounts = stored_accounts.clone();
            move || stored_accounts.changed()
        });
        let Ok(changed) = poll.await else { continue };
        let followed = match changed {
            Ok(None) => continue,
            Ok(Some(change)) => follow(change, &accounts, &people).await,
            Err(error) => Err(error),
        };
        match followed {
            Ok(()) => last_error = None,
            Err(error) if last_error.as_ref() == Some(&error) => (),
            Err(error) => {
                tracing::error!("the accounts are unchanged: {error}");
                last_error = Some(error);
            }
        }
    }
}

async fn follow(
    StoredChange { accounts: kept, removed }: StoredChange,
    accounts: &Accounts,
    people: &AccountPeople,
) -> Result<(), RowStoreError> {
    if !removed.is_empty() {
        // One that was added again admits nobody until the people of the old one are gone.
        let others = kept.iter().filter(|it| !removed.contains(&it.id)).cloned();
        accounts.set_stored(&others.collect::<Vec<_>>());
        people.delete(removed, |id| accounts.is_configured(id)).await?;
    }
    for id in accounts.set_stored(&kept) {
        tracing::warn!(
            "{id} is in the configuration, too, which takes precedence over conflow account"
        );
    }
    tracing::info!(kept = kept.len(), "the accounts of the data folder have changed");
    Ok(())
}

/// Runs `conflow account`; an engine may be running on the folder.
///
/// # Errors
///
/// The change is not possible, or the store cannot be used.
pub fn account(account: AccountCommand, out: &mut impl Write) -> Result<()> {
    let data = account.data().to_owned();
    if let AccountCommand::ResetKey(_) = account {
        return reset_key(&data, out);
    }
    // One change at a time.
    let folder = DataFolder::hold_accounts(&data)?;
    let rows = super::store::rows(&folder)?;
    let stored_accounts = AccountStore::new(rows.clone(), key(&folder, &*rows)?);
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
        AccountCommand::ResetKey(_) => unreachable!("it needs no key"),
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
            let role = role_name(token.role);
            writeln!(out, "  {} {role}, made {}", token.label(), token.made)?;
        }
    }
    Ok(())
}

/// Makes a new key, and tokens with it. The tokens are stored first: if the key cannot be written
/// then, the command can be repeated.
fn reset_key(data: &Path, out: &mut impl Write) -> Result<()> {
    let held = DataFolder::hold(data)?;
    let folder = DataFolder::hold_accounts(data)?;
    let rows = super::store::rows(&folder)?;
    let key = random().context("cannot make the key of the accounts")?;
    let tokens = AccountStore::new(rows, key).reset(wall_clock())?;
    held.write(KEY_FILE, &key)?;
    for (id, role, token) in &tokens {
        writeln!(out, "{id} {} {token}", role_name(*role))?;
    }
    match tokens.is_empty() {
        true => Ok(writeln!(out, "the key is new; there are no accounts in the data folder")?),
        false => Ok(()),
    }
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::Full => "full",
        Role::ReadOnly => "read-only",
    }
}

/// Reads the key, or makes it if there is none. The lock keeps two processes from making two keys.
pub(super) fn key(folder: &DataFolder, rows: &dyn RowStore) -> Result<[u8; 32]> {
    if let Some(bytes) = folder.read(KEY_FILE)? {
        let damaged = || {
            let why = "an account-key has 32 bytes".to_owned();
            StoreError::Damaged { path: folder.path(KEY_FILE), why }
        };
        return Ok(<[u8; 32]>::try_from(bytes).map_err(|_| damaged())?);
    }
    if !rows.load(Table::Accounts)?.is_empty() {
        bail!(
            "the data folder has accounts and no account-key: bring {} back from a backup (conflow \
             store restore), or give all accounts new tokens with conflow account reset-key",
            folder.path(KEY_FILE).display()
        );
    }
    let key = random().context("cannot make the key of the accounts")?;
    folder.write(KEY_FILE, &key)?;
    Ok(key)
}
