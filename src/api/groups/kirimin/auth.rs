//! Sessions of the Kirimin dialect (contract 3.4): sign-in, the user, and the socket's id.
//!
//! The vendor sends a code by e-mail. Here a person's password takes its place, either in
//! `sign-in` or as the `code` of `verify`.

use axum::http::HeaderValue;
use serde_json::{Value, json};

use super::{BUSY, Data, KiriminError, UNAUTHORIZED, signals};
use crate::{
    accounts::validity::CredentialValidity,
    api::groups::{GroupsApi, GroupsRequest, SignedInUser, durable, header, written},
    group::{Ask, GroupAnswer, PersonName, PersonRef},
};

/// Name of the session cookie.
const COOKIE: &str = "connect.sid";
/// Lifetime of a session: 30 days (contract 3.1).
const SESSION_SECONDS: u64 = 30 * 86_400;
/// The address or number is missing or unknown, or the password is wrong.
const WRONG: KiriminError = KiriminError(400, "AUTH_ERR_02");
/// The person whose session cookie the request has.
pub(in crate::api::groups) fn session(
    api: &GroupsApi,
    request: &GroupsRequest,
) -> Option<SignedInUser> {
    api.bearer(request, token(request)?, None).ok()
}

/// What a socket depends on that the session opens.
pub(super) fn validity(api: &GroupsApi, request: &GroupsRequest) -> Option<CredentialValidity> {
    api.validity(token(request)?)
}

fn token(request: &GroupsRequest) -> Option<&str> {
    let cookies = header(request, "cookie")?;
    let mut pairs = cookies.split(';').filter_map(|it| it.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, value)| value)
}

/// `POST /x/auth/sign-in` (`is_begun`) and `POST /x/auth/verify`. Only the former may lack a
/// password or code.
pub(super) async fn sign_in(
    api: &GroupsApi,
    request: &GroupsRequest,
    body: &Value,
    is_begun: bool,
) -> Result<(Data, Option<HeaderValue>), KiriminError> {
    let text = |name: &str| {
        // In the documents, the code is a number.
        let number = body[name].as_u64().map(|it| it.to_string());
        body[name].as_str().map(|it| it.trim().to_owned()).or(number)
    };
    let email = text("email").map(|it| PersonName::email(&it));
    let mobile = text("mobile").map(|it| PersonName::Mobile(it.into()));
    let name = email.or(mobile).ok_or(WRONG)?;
    let Some(password) = text("code").or_else(|| text("password")) else {
        // The response does not tell whether the address is known.
        return match is_begun {
            true => Ok((None, None)),
            false => Err(WRONG),
        };
    };
    let log_in = api.log_in(request, &[name], &password).await.ok_or(WRONG)?;
    let issued = api.open_session(&log_in, SESSION_SECONDS * 1_000).await;
    let token = issued?.ok_or(WRONG)?;
    let person = log_in.person;
    let user = json!({ "id": person.id.to_string(), "username": person.username });
    Ok((Some(json!({ "user": user })), Some(cookie(&token, SESSION_SECONDS))))
}

/// `GET /x/auth/logout`: revokes the session and clears the cookie.
pub(super) async fn log_out(
    api: &GroupsApi,
    request: &GroupsRequest,
) -> Result<HeaderValue, KiriminError> {
    let (done, committed) = durable();
    api.credentials.revoke(token(request).unwrap_or_default(), done);
    written(committed).await?;
    Ok(cookie("", 0))
}

/// `GET /x/auth/isUser`: the user, their groups, and a new id for the socket each time.
pub(super) async fn is_user(
    api: &GroupsApi,
    request: &GroupsRequest,
) -> Result<Data, KiriminError> {
    let user = session(api, request).ok_or(UNAUTHORIZED)?;
    let person = api.person(&user.account, PersonRef::Id(user.person)).await;
    let person = person.map_err(|_| UNAUTHORIZED)?;
    let groups = match api.ask(&user.account, Ask::ShowOf(user.person)).await {
        Ok(GroupAnswer::Groups(groups)) => groups.iter().map(super::room).collect(),
        Ok(_) | Err(_) => Vec::new(),
    };
    let validity = validity(api, request).ok_or(UNAUTHORIZED)?;
    let id = api.sockets.mint(user.person, validity).map_err(|_| BUSY)?;
    Ok(Some(json!({
        "me": signals::card(&person),
        "socket": { "id": id, "host": header(request, "host") },
        "v": VERSION, "c": groups,
    })))
}

/// Version of the vendor's client protocol, as in its documents.
const VERSION: u32 = 41;

fn cookie(token: &str, seconds: u64) -> HeaderValue {
    let text = format!("{COOKIE}={token}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict");
    HeaderValue::try_from(text).expect("the token and digits are a valid header value")
}
