//! `/groups/v1/Account/{auth_id}/…`: people, what they show, and groups, with the credentials of
//! the voice account. All that the four dialects need to begin with, and no database by hand.

mod answers;
mod groups;
mod people;

use axum::{
    body::Bytes,
    http::{HeaderMap, Method, StatusCode},
    response::Response,
};
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

pub use self::people::NewPerson;
use super::{AskError, Hall, durable};
use crate::{
    api::{Desk, Visit, auth, body, failure::Failure, path::Path, reply},
    base::ids::AccountId,
    credentials::{Bearer, Holder},
    group::{At, Refusal},
};

/// A request with all that has been found out about it.
struct Request<'a> {
    hall: &'a Hall,
    account: &'a AccountId,
    api_id: Uuid,
    headers: &'a HeaderMap,
    body: Bytes,
}

/// What is below the account in a path; None if this is none of ours.
pub(in crate::api) fn site<'a>(path: &'a Path<'_>) -> Option<(&'a str, &'a [&'a str])> {
    match path.segments() {
        ["groups", "v1", "Account", auth_id, below @ ..] => Some((auth_id, below)),
        _ => None,
    }
}

pub(in crate::api) async fn answer(
    desk: &Desk,
    hall: &Hall,
    (auth_id, below): (&str, &[&str]),
    visit: Visit<'_>,
) -> Result<Response, Failure> {
    let allow = allow(below).ok_or(Failure::NoRoute)?;
    if *visit.method == Method::OPTIONS {
        return Ok(reply::options(allow));
    }
    let account = auth::admit(desk, auth_id, &visit)?;
    if !allow.split(", ").any(|method| method == visit.method.as_str()) {
        return Err(Failure::WrongMethod { allow });
    }

    let Visit { api_id, headers, body, method, .. } = visit;
    let body = body::read(body).await?;
    let request = Request { hall, account: &account, api_id, headers, body };
    let is_post = *method == Method::POST;
    match *below {
        ["Person"] if is_post => people::add(&request).await,
        ["Person"] => people::list(&request).await,
        ["Person", id] => people::show(&request, number(id)?).await,
        ["Person", id, "Password"] => people::set_password(&request, number(id)?).await,
        ["Person", id, "Token"] => people::issue_token(&request, number(id)?).await,
        ["Person", id, "Code"] => people::issue_code(&request, number(id)?).await,
        ["Application"] => request.issue(Bearer::Application, None).await,
        ["Till"] => people::issue_till(&request).await,
        ["Group"] => groups::create(&request).await,
        ["Group", id] => groups::show(&request, number(id)?).await,
        ["Group", id, "Member"] => groups::add(&request, number(id)?).await,
        ["Group", id, "Member", person] if is_post => {
            groups::set_rank(&request, number(id)?, number(person)?).await
        }
        ["Group", id, "Member", person] => {
            groups::remove(&request, number(id)?, number(person)?).await
        }
        _ => Err(Failure::NoRoute),
    }
}

fn allow(below: &[&str]) -> Option<&'static str> {
    Some(match below {
        ["Person"] => "GET, HEAD, POST",
        ["Person", _] | ["Group", _] => "GET, HEAD",
        ["Person", _, "Password" | "Token" | "Code"]
        | ["Application" | "Till" | "Group"]
        | ["Group", _, "Member"] => "POST",
        ["Group", _, "Member", _] => "POST, DELETE",
        _ => return None,
    })
}

/// What is no number names nothing.
fn number(text: &str) -> Result<u64, Failure> {
    text.parse().map_err(|_| Failure::NoRoute)
}

impl Request<'_> {
    fn parse<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        body::parse(self.headers, &self.body)
    }

    fn reply(&self, status: StatusCode, answer: impl Serialize) -> Response {
        reply::json(status, &Reply { api_id: self.api_id, answer })
    }

    /// Makes a token, which is shown this once.
    async fn issue(&self, bearer: Bearer, until: Option<At>) -> Result<Response, Failure> {
        let token = self.token(bearer, until).await?;
        Ok(self.reply(StatusCode::CREATED, answers::Token { token }))
    }

    async fn token(&self, bearer: Bearer, until: Option<At>) -> Result<String, Failure> {
        let (done, told) = durable();
        let holder = Holder { account: self.account.clone(), bearer };
        let credentials = &self.hall.credentials;
        let issued = match until {
            Some(until) => credentials.issue_until(until, holder, done),
            None => credentials.issue(holder, done),
        };
        let token = issued.map_err(|_| Failure::Fault)?;
        told.await.map_err(|_| Failure::Fault)?.map_err(|_| Failure::Fault)?;
        Ok(token)
    }
}

#[derive(Serialize)]
struct Reply<T> {
    api_id: Uuid,
    #[serde(flatten)]
    answer: T,
}

/// What the machine or the actor said, in our own words.
impl From<AskError> for Failure {
    fn from(error: AskError) -> Self {
        let refusal = match error {
            AskError::Refused(refusal) => refusal,
            AskError::Busy => return Self::Unavailable(error.to_string()),
            AskError::Failed => return Self::Fault,
        };
        match refusal {
            Refusal::NoGroup
            | Refusal::TargetUnknown
            | Refusal::TargetNotMember
            | Refusal::NoApplication => Self::Missing(refusal.to_string().into()),
            Refusal::Closed
            | Refusal::ActorNotMember
            | Refusal::NoAccess
            | Refusal::RankTooLow
            | Refusal::LastOwner
            | Refusal::SelfTarget
            | Refusal::AlreadyMember
            | Refusal::Banned
            | Refusal::NotInvited
            | Refusal::Full
            | Refusal::NameTaken => Self::Over(refusal.to_string()),
        }
    }
}
