//! Token endpoints of the admin API: issues, lists and revokes what people, applications and tills
//! hold.

use std::time::{Duration, UNIX_EPOCH};

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};

use super::{
    AdminRequest, AtMember, AtOne, number,
    people::{find, name_wanted},
};
use crate::{
    api::{
        context::PathNames,
        failure::Failure,
        groups::{durable, written},
        reply,
    },
    base::{
        ids::{NAME_CHARS_MAX, is_name},
        utc,
    },
    credentials::{Bearer, ListedToken, TokenKind, TokenOwner},
    group::UnixMillis,
};

/// Lifetime of an authorization code: long enough to hand it over.
const CODE_MS: u64 = 10 * 60_000;

/// A token in a list. It has no secret, since none is kept.
#[derive(Serialize)]
struct TokenCard {
    id: u64,
    kind: TokenKind,
    /// Space-separated, as in OAuth; empty for no particular scope.
    scope: &'static str,
    /// The name of a till.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Box<str>>,
    created: Option<String>,
    last_used: Option<String>,
    expires: Option<String>,
}

impl TokenCard {
    fn of(token: ListedToken) -> Self {
        let ListedToken { id, kind, bearer, created, last_used, until } = token;
        let (scope, name) = match bearer {
            Bearer::Person { is_admin_scope: true, .. }
            | Bearer::Grant { is_admin_scope: true, .. } => ("admin_groups", None),
            Bearer::Person { .. } | Bearer::Grant { .. } | Bearer::Application => ("", None),
            Bearer::Till(name) => ("", Some(name)),
        };
        let [created, last_used, expires] = [created, last_used, until].map(|it| it.map(text));
        Self { id, kind, scope, name, created, last_used, expires }
    }
}

fn text(UnixMillis(at): UnixMillis) -> String {
    utc::seconds(UNIX_EPOCH + Duration::from_millis(at))
}

impl AdminRequest {
    fn listed(&self, owner: TokenOwner<'_>) -> Vec<TokenCard> {
        let listed = self.api.credentials.list(self.api.memberships.now(), &self.account, owner);
        listed.into_iter().map(TokenCard::of).collect()
    }

    fn list(&self, owner: TokenOwner<'_>) -> Response {
        #[derive(Serialize)]
        struct TokenList {
            tokens: Vec<TokenCard>,
        }

        self.reply(StatusCode::OK, TokenList { tokens: self.listed(owner) })
    }

    fn show(&self, owner: TokenOwner<'_>, id: &str) -> Result<Response, Failure> {
        let id = number(id)?;
        let card = self.listed(owner).into_iter().find(|it| it.id == id).ok_or_else(none)?;
        Ok(self.reply(StatusCode::OK, card))
    }

    /// Revokes all tokens of an owner, of which there may be none, or the one with this id. The
    /// response follows the write to disk.
    async fn revoke(&self, owner: TokenOwner<'_>, id: Option<&str>) -> Result<Response, Failure> {
        let id = id.map(number).transpose()?;
        let (done, committed) = durable();
        let count = self.api.credentials.revoke_of(&self.account, owner, id, done);
        written(committed).await?;
        match (count, id, owner) {
            (0, Some(_), _) | (0, _, TokenOwner::Tills(Some(_))) => Err(none()),
            _ => Ok(reply::empty(StatusCode::NO_CONTENT)),
        }
    }
}

fn none() -> Failure {
    Failure::NotFound("no such token".into())
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenScope {
    #[serde(default)]
    admin_groups: bool,
}

/// `POST Person/{id}/Token/`: issues a token that does not expire.
pub(super) async fn issue(
    request: AdminRequest,
    PathNames([id]): AtOne,
) -> Result<Response, Failure> {
    let id = number(&id)?;
    find(&request, id).await?;
    let TokenScope { admin_groups: is_admin_scope } = request.parse()?;
    request.issue(TokenKind::Token, Bearer::Person { id, is_admin_scope }, None).await
}

/// `POST Person/{id}/Code/`: the authorization code that Bungie's sign-in page would return.
pub(super) async fn issue_code(
    request: AdminRequest,
    PathNames([id]): AtOne,
) -> Result<Response, Failure> {
    let id = number(&id)?;
    find(&request, id).await?;
    let TokenScope { admin_groups: is_admin_scope } = request.parse()?;
    request.issue(TokenKind::Code, Bearer::Grant { id, is_admin_scope }, Some(CODE_MS)).await
}

/// `GET Person/{id}/Token/`: lists the person's tokens, sessions, codes and refresh tokens.
pub(super) async fn list_of_person(
    request: AdminRequest,
    PathNames([id]): AtOne,
) -> Result<Response, Failure> {
    let person = find(&request, number(&id)?).await?;
    Ok(request.list(TokenOwner::Person(person.id.0)))
}

/// `GET Person/{id}/Token/{token_id}/`: one of them.
pub(super) async fn show_of_person(
    request: AdminRequest,
    PathNames([id, token]): AtMember,
) -> Result<Response, Failure> {
    let person = find(&request, number(&id)?).await?;
    request.show(TokenOwner::Person(person.id.0), &token)
}

/// `DELETE Person/{id}/Token/`: revokes all of them, which ends their streams.
pub(super) async fn revoke_of_person(
    request: AdminRequest,
    PathNames([id]): AtOne,
) -> Result<Response, Failure> {
    let person = find(&request, number(&id)?).await?;
    request.revoke(TokenOwner::Person(person.id.0), None).await
}

/// `DELETE Person/{id}/Token/{token_id}/`: revokes one of them.
pub(super) async fn revoke_one_of_person(
    request: AdminRequest,
    PathNames([id, token]): AtMember,
) -> Result<Response, Failure> {
    let person = find(&request, number(&id)?).await?;
    request.revoke(TokenOwner::Person(person.id.0), Some(&token)).await
}

/// `POST Application/`: the token is its API key.
pub(super) async fn issue_application(request: AdminRequest) -> Result<Response, Failure> {
    request.issue(TokenKind::Application, Bearer::Application, None).await
}

/// `GET Application/`: lists the API keys.
pub(super) async fn list_applications(request: AdminRequest) -> Response {
    request.list(TokenOwner::Applications)
}

/// `GET Application/{id}/`: one API key.
pub(super) async fn show_application(
    request: AdminRequest,
    PathNames([id]): AtOne,
) -> Result<Response, Failure> {
    request.show(TokenOwner::Applications, &id)
}

/// `DELETE Application/`: revokes every API key.
pub(super) async fn revoke_applications(request: AdminRequest) -> Result<Response, Failure> {
    request.revoke(TokenOwner::Applications, None).await
}

/// `DELETE Application/{id}/`: revokes one API key.
pub(super) async fn revoke_application(
    request: AdminRequest,
    PathNames([id]): AtOne,
) -> Result<Response, Failure> {
    request.revoke(TokenOwner::Applications, Some(&id)).await
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
    if !is_name(name) || name.contains(':') {
        return Err(Failure::Bad(format!("{}, and no colon", name_wanted("name", NAME_CHARS_MAX))));
    }
    request.issue(TokenKind::Till, Bearer::Till(name.into()), None).await
}

/// `GET Till/`: lists the passwords and tokens of tills.
pub(super) async fn list_tills(request: AdminRequest) -> Response {
    request.list(TokenOwner::Tills(None))
}

/// `GET Till/{name}/`: lists those of one till.
pub(super) async fn show_till(
    request: AdminRequest,
    PathNames([name]): AtOne,
) -> Result<Response, Failure> {
    let owner = TokenOwner::Tills(Some(&name));
    match request.listed(owner).is_empty() {
        true => Err(none()),
        false => Ok(request.list(owner).into_response()),
    }
}

/// `DELETE Till/`: revokes those of every till.
pub(super) async fn revoke_tills(request: AdminRequest) -> Result<Response, Failure> {
    request.revoke(TokenOwner::Tills(None), None).await
}

/// `DELETE Till/{name}/`: revokes those of one till.
pub(super) async fn revoke_till(
    request: AdminRequest,
    PathNames([name]): AtOne,
) -> Result<Response, Failure> {
    request.revoke(TokenOwner::Tills(Some(&name)), None).await
}
