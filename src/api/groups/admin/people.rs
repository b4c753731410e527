//! People endpoints of the admin API, and the credentials of people, applications and tills.

use axum::{extract::Path, http::StatusCode, response::Response};
use serde::{Deserialize, Serialize};

use super::{AdminRequest, AtOne, answers::PersonCard, number};
use crate::{
    api::{failure::Failure, groups::durable},
    credentials::Bearer,
    group::{Ask, GroupAnswer, Permission, Person, PersonId, PersonName, PersonRef, UnixMillis},
};

/// A person to add, with all of their names. Texts have 1 to 256 characters.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewPerson {
    /// The name to sign in with, which the dialects also show to other people.
    pub username: String,
    /// The password for Rocket.Chat and Kirimin. None: they cannot sign in there.
    pub password: Option<String>,
    /// The mobile number by which Capillary and Kirimin know them.
    pub mobile: Option<String>,
    /// The e-mail address, also a name to sign in with. Case does not matter.
    pub email: Option<String>,
    /// Their id in another system (Capillary's `externalId`).
    pub external_id: Option<String>,
    /// The number on their loyalty card (Capillary's `cardnumber`).
    pub card_number: Option<String>,
    /// The card's id in another system (Capillary's `cardExternalId`).
    pub card_external_id: Option<String>,
    /// The user name that their SIP phone registers with.
    pub sip_user: Option<String>,
    /// The number that they call from, with or without `+`.
    pub caller: Option<String>,
    /// Bungie's membership as `PLATFORM:ID`, such as `3:4611686018446405498`.
    pub membership: Option<String>,
    /// They may remove people from every group that they belong to.
    #[serde(default)]
    pub remove_user: bool,
    /// They may remove anybody from any group.
    #[serde(default)]
    pub kick_from_any: bool,
}

/// Lifetime of an authorization code: long enough to hand it over.
const CODE_MS: u64 = 10 * 60_000;
/// Longest name or password. Nobody types more.
const TEXT_CHARS_MAX: usize = 256;

impl NewPerson {
    /// Builds the person with this number.
    ///
    /// # Errors
    ///
    /// Names the first invalid field and says what is allowed.
    pub fn person(&self, id: PersonId) -> Result<Person, String> {
        let texts = [
            ("username", Some(&self.username)),
            ("password", self.password.as_ref()),
            ("mobile", self.mobile.as_ref()),
            ("email", self.email.as_ref()),
            ("external_id", self.external_id.as_ref()),
            ("card_number", self.card_number.as_ref()),
            ("card_external_id", self.card_external_id.as_ref()),
            ("sip_user", self.sip_user.as_ref()),
            ("caller", self.caller.as_ref()),
        ];
        for (name, text) in texts {
            let count = text.map_or(1, |it| it.trim().chars().count());
            if !(1..=TEXT_CHARS_MAX).contains(&count) {
                return Err(format!("{name}: write 1 to {TEXT_CHARS_MAX} characters"));
            }
        }
        let mut person = Person::new(id, &self.username);
        let text = |it: &Option<String>| it.as_deref().map(|it| Box::from(it.trim()));
        person.names.extend(text(&self.mobile).map(PersonName::Mobile));
        person.names.extend(self.email.as_deref().map(PersonName::email));
        person.names.extend(text(&self.external_id).map(PersonName::ExternalId));
        person.names.extend(text(&self.card_number).map(PersonName::CardNumber));
        person.names.extend(text(&self.card_external_id).map(PersonName::CardExternalId));
        person.names.extend(text(&self.sip_user).map(PersonName::SipUser));
        person.names.extend(self.caller.as_deref().map(PersonName::caller));
        if let Some(membership) = &self.membership {
            let numbers = membership.split_once(':').and_then(|(platform, id)| {
                Some(PersonName::Membership {
                    platform: platform.parse().ok()?,
                    id: id.parse().ok()?,
                })
            });
            let why = "membership: write PLATFORM:ID, such as 3:4611686018446405498";
            person.names.insert(numbers.ok_or(why)?);
        }
        person.permissions.extend(self.remove_user.then_some(Permission::RemoveUser));
        person.permissions.extend(self.kick_from_any.then_some(Permission::KickFromAny));
        Ok(person)
    }
}

/// `POST Person/`: adds a person, and sets the password if there is one.
pub(super) async fn add(request: AdminRequest) -> Result<Response, Failure> {
    let new: NewPerson = request.parse()?;
    let api = &request.api;
    let person = new.person(api.memberships.new_person()).map_err(Failure::Bad)?;
    let id = person.id;
    api.ask(&request.account, Ask::AddPerson(person.clone())).await?;
    if let Some(password) = new.password {
        keep_password(&request, id, &password).await?;
    }
    Ok(request.reply(StatusCode::CREATED, PersonCard::of(&person)))
}

/// `GET Person/`: lists the people of the account.
pub(super) async fn list(request: AdminRequest) -> Result<Response, Failure> {
    #[derive(Serialize)]
    struct PersonList<'a> {
        people: Vec<PersonCard<'a>>,
    }

    let GroupAnswer::People(people) = request.api.ask(&request.account, Ask::List).await? else {
        return Err(Failure::Internal);
    };
    let people = people.iter().map(PersonCard::of).collect();
    Ok(request.reply(StatusCode::OK, PersonList { people }))
}

/// `GET Person/{id}/`: one person of the account.
pub(super) async fn show(request: AdminRequest, Path((_, id)): AtOne) -> Result<Response, Failure> {
    let id = number(&id)?;
    let person = find(&request, id).await?;
    Ok(request.reply(StatusCode::OK, PersonCard::of(&person)))
}

/// `POST Person/{id}/Password/`: replaces the person's password.
pub(super) async fn set_password(
    request: AdminRequest,
    Path((_, id)): AtOne,
) -> Result<Response, Failure> {
    let id = number(&id)?;
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct SetPasswordParams {
        password: String,
    }

    let person = find(&request, id).await?;
    let SetPasswordParams { password } = request.parse()?;
    if !(1..=TEXT_CHARS_MAX).contains(&password.chars().count()) {
        return Err(Failure::Bad(format!("password: write 1 to {TEXT_CHARS_MAX} characters")));
    }
    keep_password(&request, person.id, &password).await?;
    Ok(request.reply(StatusCode::OK, PersonCard::of(&person)))
}

async fn keep_password(request: &AdminRequest, id: PersonId, text: &str) -> Result<(), Failure> {
    let (done, committed) = durable();
    let (credentials, account) = (request.api.credentials.clone(), request.account.clone());
    let text = text.to_owned();
    let permit = request.api.password_checks.acquire().await;
    let set =
        tokio::task::spawn_blocking(move || credentials.set_password(&account, id.0, &text, done));
    set.await.map_err(|_| Failure::Internal)?.map_err(|_| Failure::Internal)?;
    drop(permit);
    committed.await.map_err(|_| Failure::Internal)?.map_err(|_| Failure::Internal)
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenScope {
    #[serde(default)]
    admin_groups: bool,
}

/// `POST Person/{id}/Token/`: issues a token that does not expire.
pub(super) async fn issue_token(
    request: AdminRequest,
    Path((_, id)): AtOne,
) -> Result<Response, Failure> {
    let id = number(&id)?;
    find(&request, id).await?;
    let TokenScope { admin_groups: is_admin_scope } = request.parse()?;
    request.issue(Bearer::Person { id, is_admin_scope }, None).await
}

/// `POST Person/{id}/Code/`: the authorization code that Bungie's sign-in page would return.
pub(super) async fn issue_code(
    request: AdminRequest,
    Path((_, id)): AtOne,
) -> Result<Response, Failure> {
    let id = number(&id)?;
    find(&request, id).await?;
    let TokenScope { admin_groups: is_admin_scope } = request.parse()?;
    let until = UnixMillis(request.api.memberships.now().0 + CODE_MS);
    request.issue(Bearer::Grant { id, is_admin_scope }, Some(until)).await
}

/// `POST Application/`: the token is its API key.
pub(super) async fn issue_application(request: AdminRequest) -> Result<Response, Failure> {
    request.issue(Bearer::Application, None).await
}

/// `POST Till/`: the token is its password.
pub(super) async fn issue_till(request: AdminRequest) -> Result<Response, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct IssueTillParams {
        name: String,
    }

    let IssueTillParams { name } = request.parse()?;
    let name = name.trim();
    if !(1..=TEXT_CHARS_MAX).contains(&name.chars().count()) || name.contains(':') {
        let why = format!("name: write 1 to {TEXT_CHARS_MAX} characters, and no colon");
        return Err(Failure::Bad(why));
    }
    request.issue(Bearer::Till(name.into()), None).await
}

async fn find(request: &AdminRequest, id: u64) -> Result<Person, Failure> {
    Ok(request.api.person(&request.account, PersonRef::Id(PersonId(id))).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_persons_number_matches_the_caller_number_of_a_trunk() {
        let (username, caller) = ("anna".to_owned(), Some(" +14155550100 ".to_owned()));
        let new = NewPerson { username, caller, ..NewPerson::default() };
        let person = new.person(PersonId(1)).unwrap();
        let number = crate::base::ids::Trusted::Number("14155550100".into());
        assert!(person.names.contains(&PersonName::trusted(&number)), "{:?}", person.names);
    }
}
