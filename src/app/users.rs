//! People, their tokens and groups: opens them for the engine, and runs `conflow user`.

use std::{io::Write, sync::Arc};

use anyhow::{Context, Result, bail};
use tokio::{sync::oneshot, task::spawn_blocking};

use crate::{
    accounts::removal,
    api::groups::{GroupsApi, NewPerson, Settings},
    base::ids::{AccountId, NAME_CHARS_MAX, is_name},
    cli::{
        groups::{BungieStatus, GroupBehaviour},
        user::{AddUser, IssueToken, UserCommand},
    },
    config::Config,
    credentials::{self, Basis, Bearer, GroupCredentials, Holder, NewToken, TokenKind},
    engine::{
        membership::{self, Memberships, system_clock},
        registry::Registry,
    },
    group::{Ask, GroupAnswer, Person, PersonName, PersonRef},
    state_log::StateLog,
    store::{
        folder::DataFolder,
        rows::{OnCommit, RowStore, RowStoreError, Table, WriteError},
    },
};

/// The people of all accounts of a running engine.
#[derive(Clone)]
pub(super) struct AccountPeople {
    rows: Arc<dyn RowStore>,
    memberships: Arc<Memberships>,
    credentials: Arc<GroupCredentials>,
}

impl AccountPeople {
    /// Opens them. The groups also guard the rooms of the registry.
    pub(super) fn open(
        rows: Arc<dyn RowStore>,
        registry: &Arc<Registry>,
        state_log: Arc<StateLog>,
    ) -> Result<Self> {
        let (memberships, credentials) = open(rows.clone())?;
        credentials.purge(memberships.now());
        let memberships = memberships.with_state_log(state_log).guarding(registry.clone());
        let memberships = Arc::new(memberships);
        Ok(Self { rows, memberships, credentials: Arc::new(credentials) })
    }

    /// API of groups.
    pub(super) fn api(&self, config: &Config) -> GroupsApi {
        GroupsApi::new(self.memberships.clone(), self.credentials.clone(), settings(config))
    }

    /// Deletes the people, groups and tokens of removed accounts for good. Nobody may be admitted to
    /// them any more. An account that `keeps` names has them by the configuration.
    pub(super) async fn delete(
        &self,
        removed: Vec<AccountId>,
        keeps: impl Fn(&AccountId) -> bool,
    ) -> Result<(), RowStoreError> {
        let (kept, ended): (Vec<_>, Vec<_>) = removed.into_iter().partition(keeps);
        for id in &ended {
            self.credentials.forget(id);
            self.memberships.forget(id).await;
        }
        let rows = self.rows.clone();
        let purged = spawn_blocking(move || purge(&*rows, &kept, &ended)).await;
        purged.unwrap_or_else(|error| Err(RowStoreError(error.to_string())))
    }
}

/// Deletes the people of removed accounts that no engine has deleted, before they are read. An account
/// that `keeps` names has them by the configuration.
pub(super) fn delete_removed(
    rows: &dyn RowStore,
    keeps: impl Fn(&AccountId) -> bool,
) -> Result<(), RowStoreError> {
    let removed = removal::removed(rows)?;
    let (kept, ended): (Vec<_>, Vec<_>) = removed.into_iter().map(|(id, _)| id).partition(keeps);
    purge(rows, &kept, &ended)
}

/// Deletes the rows of people of accounts that have ended, and forgets the removal of those that are
/// kept.
fn purge(
    rows: &dyn RowStore,
    kept: &[AccountId],
    ended: &[AccountId],
) -> Result<(), RowStoreError> {
    if !kept.is_empty() {
        removal::purge(rows, &[], kept)?;
    }
    if ended.is_empty() {
        return Ok(());
    }
    let tables = [&membership::TABLES[..], &credentials::TABLES, &[Table::ConfigRows]].concat();
    removal::purge(rows, &tables, ended)
}

fn settings(config: &Config) -> Settings {
    let is_server = |it| match it {
        GroupBehaviour::Docs => false,
        GroupBehaviour::Server => true,
    };
    Settings {
        is_bungie_realistic: match config.bungie.status {
            BungieStatus::Polite => false,
            BungieStatus::Realistic => true,
        },
        is_bungie_superset: config.bungie.superset,
        is_rocketchat_bare: is_server(config.rocketchat.kick_body),
        is_kirimin_server: is_server(config.kirimin.signals),
        is_kirimin_owner_404: is_server(config.kirimin.owner_error),
        is_capillary_kept_active: config.capillary.keep_active,
        is_unlimited: !config.groups.limits,
    }
}

/// Stores of people's memberships and credentials.
type GroupStores = (Memberships, GroupCredentials);

fn open(rows: Arc<dyn RowStore>) -> Result<GroupStores> {
    let credentials = GroupCredentials::open(rows.clone())?;
    Ok((Memberships::open(rows, Box::new(system_clock))?, credentials))
}

/// Runs `conflow user`, on a data folder that no engine uses.
///
/// # Errors
///
/// An engine has the folder, or the change is not possible.
pub async fn user(user: UserCommand, out: &mut impl Write) -> Result<()> {
    let folder = DataFolder::hold(user.data())?;
    let rows = super::store::rows(&folder)?;
    // The people of an account that was removed are not those of the one that was added since.
    let again = removal::removed(&*rows)?.into_iter().filter(|(_, is_again)| *is_again);
    purge(&*rows, &[], &again.map(|(id, _)| id).collect::<Vec<_>>())?;
    let (memberships, credentials) = open(rows)?;
    match user {
        UserCommand::Add(add) => {
            let person = person(&add, &memberships)?;
            let password = add.password.clone();
            let outcome = memberships.ask(&add.account, Ask::AddPerson(person)).await;
            let GroupAnswer::Person(person) = outcome.context(add.username.clone())? else {
                bail!("the person was not added");
            };
            if let Some(password) = password {
                let (done, committed) = commit_signal();
                credentials.set_password(&add.account, person.id.0, &password, done)?;
                committed.await??;
            }
            writeln!(out, "{}", person.id)?;
        }
        UserCommand::Token(token) => {
            let bearer = bearer(&token, &memberships).await?;
            let (done, committed) = commit_signal();
            let kind = match &bearer {
                Bearer::Application => TokenKind::Application,
                Bearer::Till(_) => TokenKind::Till,
                Bearer::Person { .. } | Bearer::Grant { .. } => TokenKind::Token,
            };
            let holder = Holder { account: token.account, bearer };
            let new = NewToken { holder, kind, created: memberships.now(), until: None };
            let text = credentials.issue(new, Basis::Operator, done)?;
            committed.await??;
            writeln!(out, "{}", text.context("an operator's token was refused")?)?;
        }
        UserCommand::List(list) => {
            if let GroupAnswer::People(people) = memberships.ask(&list.account, Ask::List).await? {
                for person in people {
                    writeln!(out, "{} {}", person.id, person.username)?;
                }
            }
        }
    }
    Ok(())
}

fn person(add: &AddUser, memberships: &Memberships) -> Result<Person> {
    let new = NewPerson {
        username: add.username.clone(),
        password: add.password.clone(),
        mobile: add.mobile.clone(),
        email: add.email.clone(),
        external_id: add.external_id.clone(),
        card_number: add.card_number.clone(),
        card_external_id: add.card_external_id.clone(),
        sip_user: add.sip_user.clone(),
        caller: add.caller.clone(),
        membership: add.membership.clone(),
        remove_user: add.remove_user,
        kick_from_any: add.kick_from_any,
    };
    new.person(memberships.new_person()).map_err(anyhow::Error::msg)
}

async fn bearer(token: &IssueToken, memberships: &Memberships) -> Result<Bearer> {
    if token.application {
        return Ok(Bearer::Application);
    }
    if let Some(till) = &token.till {
        if !is_name(till) || till.contains(':') {
            bail!(
                "--till: write 1 to {NAME_CHARS_MAX} characters, no colon and no control character"
            );
        }
        return Ok(Bearer::Till((**till).into()));
    }
    let name = token.username.as_deref().unwrap_or_default();
    let outcome = memberships
        .ask(&token.account, Ask::Find(PersonRef::Name(PersonName::username(name))))
        .await;
    let GroupAnswer::Person(person) = outcome.with_context(|| format!("{name:?}"))? else {
        bail!("there is no person {name:?}");
    };
    Ok(Bearer::Person { id: person.id.0, is_admin_scope: token.admin_groups })
}

fn commit_signal() -> (OnCommit, oneshot::Receiver<Result<(), WriteError>>) {
    let (sender, committed) = oneshot::channel();
    (Box::new(move |written| drop(sender.send(written))), committed)
}
