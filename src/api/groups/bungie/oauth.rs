//! OAuth of the Bungie dialect: `POST /Platform/App/OAuth/Token/` (contract 1.1, RFC 6749) turns a
//! code or refresh token, once, into an access token and the next refresh token.
//!
//! There is no sign-in page: the admin API issues the codes.

use axum::{http::StatusCode, response::Response};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde::Serialize;
use serde_json::json;

use crate::{
    api::{
        groups::{GroupsApi, GroupsRequest, durable, header, pairs, written},
        reply,
    },
    credentials::{Bearer, Holder},
    group::UnixMillis,
};

/// Lifetime of an access token: an hour, as on the real service.
const ACCESS_SECONDS: u64 = 3_600;
/// Lifetime of a refresh token: 90 days, as on the real service.
const REFRESH_SECONDS: u64 = 90 * 86_400;

/// The token response, with the keys that clients read (contract 1.1).
#[derive(Serialize)]
struct OauthTokens {
    access_token: String,
    token_type: &'static str,
    expires_in: u64,
    refresh_token: String,
    refresh_expires_in: u64,
    membership_id: String,
}

/// The path pattern in the endpoint table.
pub(super) const PATTERN: &str = "/Platform/App/OAuth/Token";

pub(super) fn wrong_method() -> Response {
    refuse("invalid_request", "use POST")
}

pub(super) async fn answer(api: &GroupsApi, request: &GroupsRequest) -> Response {
    let body = request.body.as_deref().unwrap_or_default();
    let mut form = pairs(&String::from_utf8_lossy(body));
    // The secret is the application's API key, in the form, by HTTP Basic, or in `X-API-Key`.
    let secret = form
        .remove("client_secret")
        .or_else(|| basic(request))
        .or_else(|| header(request, "x-api-key").map(str::to_owned));
    let application = api.holder(request, &secret.unwrap_or_default(), None).ok();
    let Some(Holder { account, bearer: Bearer::Application }) = application else {
        return refuse("invalid_client", "client_secret is the API key of an application");
    };
    let name = match form.get("grant_type").map(String::as_str) {
        Some("authorization_code") => "code",
        Some("refresh_token") => "refresh_token",
        Some(_) | None => {
            return refuse(
                "unsupported_grant_type",
                "grant_type is authorization_code or refresh_token",
            );
        }
    };
    let grant = form.remove(name).unwrap_or_default();
    let now = api.memberships.now();
    let until = [ACCESS_SECONDS, REFRESH_SECONDS].map(|it| UnixMillis(now.0 + it * 1_000));
    let (done, committed) = durable();
    let exchanged = api.credentials.exchange(now, &account, &grant, until, done);
    if let Err(error) = written(committed).await {
        let error = json!({ "error": "server_error", "error_description": error.text() });
        return reply::json(StatusCode::SERVICE_UNAVAILABLE, &error);
    }
    let Ok(exchanged) = exchanged else {
        let error = json!({ "error": "server_error", "error_description": "try again" });
        return reply::json(StatusCode::INTERNAL_SERVER_ERROR, &error);
    };
    let Some((person, [access_token, refresh_token])) = exchanged else {
        request.note_bad_credentials(None);
        return refuse("invalid_grant", &format!("{name} is none, or has been used"));
    };
    reply::json(
        StatusCode::OK,
        &OauthTokens {
            access_token,
            token_type: "Bearer",
            expires_in: ACCESS_SECONDS,
            refresh_token,
            refresh_expires_in: REFRESH_SECONDS,
            membership_id: person.to_string(),
        },
    )
}

fn basic(request: &GroupsRequest) -> Option<String> {
    let (scheme, rest) = header(request, "authorization")?.split_once(' ')?;
    let bytes =
        scheme.eq_ignore_ascii_case("basic").then(|| BASE64_STANDARD.decode(rest.trim()))?;
    let text = String::from_utf8(bytes.ok()?).ok()?;
    text.split_once(':').map(|(_, secret)| secret.to_owned())
}

fn refuse(error: &str, why: &str) -> Response {
    let body = json!({ "error": error, "error_description": why });
    reply::json(StatusCode::BAD_REQUEST, &body)
}
