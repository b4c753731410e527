//! People endpoints of the admin API.

use axum::{http::StatusCode, response::Response};
use serde::{Deserialize, Serialize};

use super::{AdminRequest, AtOne, answers::PersonCard, number};
use crate::{
    api::{context::PathNames, failure::Failure},
    base::ids::{NAME_CHARS_MAX, is_name},
    group::{Ask, GroupAnswer, Permission, Person, PersonId, PersonName, PersonRef},
};

/// A person to add, with all of their names, which have 1 to 256 characters, none a control character.
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

/// Longest password. Nobody types more.
const PASSWORD_CHARS_MAX: usize = 256;

/// A password is neither shown nor logged, so it may have any characters.
fn is_password(text: &str) -> bool {
    (1..=PASSWORD_CHARS_MAX).contains(&text.chars().count())
}

fn password_wanted() -> String {
    format!("password: write 1 to {PASSWORD_CHARS_MAX} characters")
}

/// The error about a name that is none.
pub(super) fn name_wanted(field: &str, max: usize) -> String {
    format!("{field}: write 1 to {max} characters, none a control character")
}

impl NewPerson {
    /// Builds the person with this number.
    ///
    /// # Errors
    ///
    /// Names the first invalid field and says what is allowed.
    pub fn person(&self, id: PersonId) -> Result<Person, String> {
        let texts = [
            ("username", Some(&self.username)),
            ("mobile", self.mobile.as_ref()),
            ("email", self.email.as_ref()),
            ("external_id", self.external_id.as_ref()),
            ("card_number", self.card_number.as_ref()),
            ("card_external_id", self.card_external_id.as_ref()),
            ("sip_user", self.sip_user.as_ref()),
            ("caller", self.caller.as_ref()),
        ];
        for (name, text) in texts {
            if !text.is_none_or(|it| is_name(it.trim())) {
                return Err(name_wanted(name, NAME_CHARS_MAX));
            }
        }
        if !self.password.as_deref().is_none_or(is_password) {
            return Err(password_wanted());
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
pub(super) async fn show(
    request: AdminRequest,
    PathNames([id]): AtOne,
) -> Result<Response, Failure> {
    let id = number(&id)?;
    let person = find(&request, id).await?;
    Ok(request.reply(StatusCode::OK, PersonCard::of(&person)))
}

/// `POST Person/{id}/Password/`: replaces the person's password, and ends all of their sessions,
/// sockets and tokens.
pub(super) async fn set_password(
    request: AdminRequest,
    PathNames([id]): AtOne,
) -> Result<Response, Failure> {
    let id = number(&id)?;
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct SetPasswordParams {
        password: String,
    }

    let person = find(&request, id).await?;
    let SetPasswordParams { password } = request.parse()?;
    if !is_password(&password) {
        return Err(Failure::Bad(password_wanted()));
    }
    keep_password(&request, person.id, &password).await?;
    Ok(request.reply(StatusCode::OK, PersonCard::of(&person)))
}

async fn keep_password(request: &AdminRequest, id: PersonId, text: &str) -> Result<(), Failure> {
    let set = request.api.set_password(&request.account, id, text).await;
    Ok(set?)
}

pub(super) async fn find(request: &AdminRequest, id: u64) -> Result<Person, Failure> {
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
