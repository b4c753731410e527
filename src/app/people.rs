//! People, their tokens and their groups: what is opened for the engine, and `conflow user`.

use std::{io::Write, sync::Arc};

use anyhow::{Context, Result, bail};
use tokio::sync::oneshot;

use crate::{
    actor::{
        group::{Memberships, system_clock},
        house::House,
    },
    api::groups::{Hall, Settings},
    cli::user::{Add, Token, User},
    credentials::{Bearer, Credentials, Holder},
    group::{Ask, Done, Name, Permission, Person, Who},
    store::{
        folder::DataFolder,
        rows::{Committed, Rows, RowsError},
    },
};

/// The groups' edge, with the rooms that the groups guard.
pub(super) fn hall((memberships, credentials): People, house: &Arc<House>) -> Hall {
    let memberships = memberships.guarding(house.clone());
    Hall::new(Arc::new(memberships), Arc::new(credentials), Settings::default())
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
    let mut person = Person::new(memberships.new_person(), &add.username);
    let text = |it: &Option<String>| it.as_deref().map(Box::from);
    person.names.extend(text(&add.mobile).map(Name::Mobile));
    person.names.extend(add.email.as_deref().map(Name::email));
    person.names.extend(text(&add.external_id).map(Name::ExternalId));
    person.names.extend(text(&add.card_number).map(Name::CardNumber));
    person.names.extend(text(&add.card_external_id).map(Name::CardExternalId));
    person.names.extend(text(&add.sip_user).map(Name::SipUser));
    person.names.extend(add.caller.as_deref().map(Name::caller));
    if let Some(membership) = &add.membership {
        let numbers = membership.split_once(':').and_then(|(platform, id)| {
            Some(Name::Membership { platform: platform.parse().ok()?, id: id.parse().ok()? })
        });
        let why = "--membership: write PLATFORM:ID, such as 3:4611686018446405498";
        person.names.insert(numbers.context(why)?);
    }
    person.permissions.extend(add.remove_user.then_some(Permission::RemoveUser));
    person.permissions.extend(add.kick_from_any.then_some(Permission::KickFromAny));
    Ok(person)
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
