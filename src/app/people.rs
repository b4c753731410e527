//! People, their tokens and their groups: what is opened for the engine, and `conflow user`.

use std::{io::Write, sync::Arc};

use anyhow::{Context, Result, bail};
use tokio::sync::oneshot;

use crate::{
    api::groups::{Hall, NewPerson, Settings},
    cli::{
        groups::{BungieStatus, Manner},
        user::{Add, Token, User},
    },
    config::Config,
    credentials::{Bearer, Credentials, Holder},
    engine::{
        membership::{Memberships, system_clock},
        registry::House,
    },
    group::{Ask, Done, Name, Person, Who},
    store::{
        folder::DataFolder,
        rows::{Committed, Rows, RowsError},
    },
};

/// The groups' edge, with the rooms that the groups guard.
pub(super) fn hall(
    (memberships, credentials): People,
    house: &Arc<House>,
    config: &Config,
) -> Hall {
    credentials.purge(memberships.now());
    let memberships = memberships.guarding(house.clone());
    Hall::new(Arc::new(memberships), Arc::new(credentials), settings(config))
}

fn settings(config: &Config) -> Settings {
    let is_server = |it| match it {
        Manner::Docs => false,
        Manner::Server => true,
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

/// What the rows know of people.
pub(super) type People = (Memberships, Credentials);

pub(super) fn open(records: Arc<dyn Rows>) -> Result<People> {
    let credentials = Credentials::open(records.clone())?;
    Ok((Memberships::open(records, Box::new(system_clock))?, credentials))
}

/// Does what `conflow user` was asked for, on a data folder that no engine has.
///
/// # Errors
///
/// An engine has the folder, or what was asked for cannot be.
pub async fn user(user: User, out: &mut impl Write) -> Result<()> {
    let folder = DataFolder::hold(user.data())?;
    let (memberships, credentials) = open(super::store::rows(&folder)?)?;
    match user {
        User::Add(add) => {
            let person = person(&add, &memberships)?;
            let password = add.password.clone();
            let asked = memberships.ask(&add.account, Ask::AddPerson(person)).await;
            let Done::Person(person) = asked.context(add.username.clone())? else {
                bail!("no person has come of it");
            };
            if let Some(password) = password {
                let (done, told) = durable();
                credentials.set_password(&add.account, person.id.0, &password, done)?;
                told.await??;
            }
            writeln!(out, "{}", person.id)?;
        }
        User::Token(token) => {
            let bearer = bearer(&token, &memberships).await?;
            let (done, told) = durable();
            let holder = Holder { account: token.account, bearer };
            let text = credentials.issue(holder, done)?;
            told.await??;
            writeln!(out, "{text}")?;
        }
        User::List(list) => {
            if let Done::People(people) = memberships.ask(&list.account, Ask::List).await? {
                for person in people {
                    writeln!(out, "{} {}", person.id, person.username)?;
                }
            }
        }
    }
    Ok(())
}

fn person(add: &Add, memberships: &Memberships) -> Result<Person> {
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

async fn bearer(token: &Token, memberships: &Memberships) -> Result<Bearer> {
    if token.application {
        return Ok(Bearer::Application);
    }
    if let Some(till) = &token.till {
        return Ok(Bearer::Till((**till).into()));
    }
    let name = token.username.as_deref().unwrap_or_default();
    let asked = memberships.ask(&token.account, Ask::Find(Who::Name(Name::username(name)))).await;
    let Done::Person(person) = asked.with_context(|| format!("{name:?}"))? else {
        bail!("{name:?} is no person");
    };
    Ok(Bearer::Person { id: person.id.0, is_admin_scope: token.admin_groups })
}

fn durable() -> (Committed, oneshot::Receiver<Result<(), RowsError>>) {
    let (tell, told) = oneshot::channel();
    (Box::new(move |written| drop(tell.send(written))), told)
}
