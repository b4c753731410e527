//! Accounts, of the configuration and of the data folder: what the engine lets in, and
//! `conflow account`.

use std::{collections::BTreeSet, io::Write, path::Path, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use tokio::time::sleep;

use super::{random, store::STORE};
use crate::{
    accounts::{
        Accounts, Role,
        file::{Book, Kept},
    },
    cli::{account::Account, settings::Secret},
    config::Config,
    engine::inbound::wall,
    store::{
        folder::{DataFolder, StoreError},
        rows::Rows,
        sqlite::Sqlite,
    },
};

/// In the data folder: without it, the tokens of kept accounts are nothing.
const KEY: &str = "account-key";
/// What `conflow account` has done holds after so long, at most.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The kept accounts of a data folder, and the accounts that may use the API.
pub(super) fn open(
    data: &Path,
    rows: Arc<dyn Rows>,
    config: &Config,
) -> Result<(Arc<Book>, Arc<Accounts>)> {
    let key = key(data)?;
    let book = Book::new(rows, key);
    let kept = book.changed()?.unwrap_or_default();
    let mut accounts = Accounts::new(key);
    for account in &config.accounts {
        accounts.speaks(&account.id, account.dialect);
        for Secret(token) in &account.tokens {
            accounts.add(&account.id, token)?;
        }
    }
    if let Some(id) = accounts.keep(&kept).first() {
        let file = config
            .file
            .as_ref()
            .map_or_else(|| "development mode".to_owned(), |it| it.display().to_string());
        bail!(
            "{id} is an account of {file} and of the data folder as well: take its [[account]] out, \
             or run conflow account remove {id}"
        );
    }
    config.check_accounts(&kept.iter().map(|it| it.id.clone()).collect::<BTreeSet<_>>())?;
    Ok((Arc::new(book), Arc::new(accounts)))
}

/// Takes in what `conflow account` does while the engine runs.
pub(super) async fn watch(book: Arc<Book>, accounts: Arc<Accounts>) {
    let mut last_error = None;
    loop {
        sleep(LOOK_EVERY).await;
        let look = tokio::task::spawn_blocking({
            let book = book.clone();
            move || book.changed()
        });
        let Ok(changed) = look.await else { continue };
        match changed {
            Ok(None) => (),
            Ok(Some(kept)) => {
                for id in accounts.keep(&kept) {
                    tracing::warn!(
                        "{id} is in the configuration, which stands above conflow account"
                    );
                }
                tracing::info!(kept = kept.len(), "the accounts of the data folder have changed");
                last_error = None;
            }
            Err(error) if last_error.as_ref() == Some(&error) => (),
            Err(error) => {
                tracing::error!("the accounts stay as they were: {error}");
                last_error = Some(error);
            }
        }
    }
}

/// Does what `conflow account` was asked for; an engine may run on the folder.
///
/// # Errors
///
/// What was asked for cannot be, or the store cannot be used.
pub fn account(account: Account, out: &mut impl Write) -> Result<()> {
    let data = account.data().to_owned();
    let key = key(&data)?;
    // One change at a time.
    let _changing = DataFolder::hold_accounts(&data)?;
    let rows = Arc::new(Sqlite::open(&data.join(STORE))?);
    let book = Book::new(rows, key);
    let role = |is_read_only| if is_read_only { Role::ReadOnly } else { Role::Full };
    match account {
        Account::Add(it) if it.read_only => {
            writeln!(out, "{}", book.add_read_only(&it.id, wall())?)?;
        }
        Account::Add(it) => {
            writeln!(out, "{}", book.add(&it.id, it.dialect.unwrap_or_default(), wall())?)?;
        }
        Account::Rotate(it) if it.finish => {
            let label = book.finish(&it.id, role(it.read_only))?;
            writeln!(out, "{label} of {} is taken out", it.id)?;
        }
        Account::Rotate(it) => {
            writeln!(out, "{}", book.rotate(&it.id, role(it.read_only), wall())?)?;
        }
        Account::List(_) => list(&book.load()?, out)?,
        Account::Remove(it) => match &it.token {
            Some(label) => {
                book.remove_token(&it.id, label)?;
                writeln!(out, "{label} of {} is taken out", it.id)?;
            }
            None => {
                book.remove(&it.id)?;
                writeln!(out, "{} is taken out", it.id)?;
            }
        },
    }
    Ok(())
}

fn list(kept: &[Kept], out: &mut impl Write) -> Result<()> {
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

/// Made when there is none yet; an engine and `conflow account` never make two.
fn key(data: &Path) -> Result<[u8; 32]> {
    let folder = DataFolder::hold_accounts(data)?;
    if let Some(bytes) = folder.read(KEY)? {
        let damaged = || {
            let why = "an account-key has 32 bytes".to_owned();
            StoreError::Damaged { path: folder.path(KEY), why }
        };
        return Ok(<[u8; 32]>::try_from(bytes).map_err(|_| damaged())?);
    }
    let key = random().context("no key for the accounts")?;
    folder.write(KEY, &key)?;
    Ok(key)
}
