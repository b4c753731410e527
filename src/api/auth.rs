//! Authentication: HTTP Basic, or the headers `X-Auth-ID` and `X-Auth-Token`, in every dialect of
//! accounts; without them, a session of the console.
//!
//! If one of the two headers is there, `Authorization` is ignored: some clients send a Bearer token
//! beside them (contract 1).

use std::borrow::Cow;

use axum::http::{
    HeaderMap,
    header::{AUTHORIZATION, HeaderName},
};
use base64::{Engine, prelude::BASE64_STANDARD};

use super::{
    AppState, console_gate, context::RequestContext, failure::Failure, path, path_row::is_read,
    principal::Principal,
};
use crate::{
    accounts::{AuthenticatedAccount, Role},
    base::ids::AccountId,
    engine::inbound::wall_clock,
    recording::url,
};

/// Checks for the credentials of the account that the path names.
///
/// They are verified first: good ones meet no limit, whatever else comes from their address. Only
/// wrong ones count as a guess: many clients send their first request without any.
pub(super) fn admit(state: &AppState, context: &RequestContext) -> Result<AccountId, Failure> {
    let (account, role) = match SentCredentials::find(&context.headers) {
        Some(sent) => {
            let Some(pass) = state.accounts.verify(&sent.id, &sent.token) else {
                return Err(guessed(state, context, Some(&sent.id), Failure::WrongCredentials));
            };
            context.principal.set((&pass).into());
            let AuthenticatedAccount { account, role, .. } = pass;
            (account, role)
        }
        None => console_gate::admit(state, context)?,
    };
    if path::decode(context.auth_id()).as_deref() != Some(account.as_str()) {
        return Err(Failure::NoAccount);
    }
    match role {
        Role::ReadOnly if !is_read(&context.method) => Err(Failure::ReadOnly),
        Role::Full | Role::ReadOnly => Ok(account),
    }
}

/// Checks for the credentials of the account that the path of a recording's file names, or, if there
/// are none, for a signature of that path.
pub(super) fn admit_signed(
    state: &AppState,
    context: &RequestContext,
) -> Result<AccountId, Failure> {
    let has_credentials = SentCredentials::find(&context.headers).is_some();
    if has_credentials || !url::is_signed(context.query()) {
        return admit(state, context);
    }
    // Nobody guesses a signature, so a wrong one is not counted: as a rule its time is over.
    let signer = state.recordings.signer();
    let good = signer.check(wall_clock(), &path::of_file(context.path()), context.query());
    good.map_err(|_| Failure::BadSignature)?;
    let account = path::decode(context.auth_id()).and_then(|it| it.parse::<AccountId>().ok());
    let account = account.ok_or(Failure::NoAccount)?;
    // The account may have been removed since.
    let life = state.accounts.life(&account).ok_or(Failure::NoAccount)?;
    let (by, life, session) = ("signature".into(), Some(life), None);
    let principal = Principal { account: account.clone(), by, life, session };
    context.principal.set(principal);
    Ok(account)
}

/// Checks for the credentials of any account.
pub(super) fn admit_anyone(state: &AppState, context: &RequestContext) -> Result<(), Failure> {
    let sent = SentCredentials::find(&context.headers).ok_or(Failure::NoCredentials)?;
    match state.accounts.verify(&sent.id, &sent.token) {
        Some(_) => {
            context.principal.note_known();
            Ok(())
        }
        None => Err(guessed(state, context, Some(&sent.id), Failure::WrongCredentials)),
    }
}

/// Counts wrong credentials. The result is `failure`, or that there were too many.
pub(super) fn guessed(
    state: &AppState,
    context: &RequestContext,
    name: Option<&str>,
    failure: Failure,
) -> Failure {
    let counted = state.failures.failed(context.now, context.peer, name);
    counted.map_or_else(|wait| Failure::TooManyGuesses { wait }, |()| failure)
}

const AUTH_ID: HeaderName = HeaderName::from_static("x-auth-id");
const AUTH_TOKEN: HeaderName = HeaderName::from_static("x-auth-token");

struct SentCredentials<'a> {
    id: Cow<'a, str>,
    token: Cow<'a, str>,
}

impl<'a> SentCredentials<'a> {
    /// Unreadable credentials are wrong ones, not missing ones.
    fn find(headers: &'a HeaderMap) -> Option<Self> {
        let (id, token) = (headers.get(&AUTH_ID), headers.get(&AUTH_TOKEN));
        if id.is_some() || token.is_some() {
            let [id, token] = [id, token].map(|it| it.and_then(|it| it.to_str().ok()));
            return Some(Self {
                id: id.unwrap_or_default().into(),
                token: token.unwrap_or_default().into(),
            });
        }

        let authorization = headers.get(AUTHORIZATION)?.to_str().unwrap_or_default();
        let (scheme, rest) = authorization.split_once(' ').unwrap_or((authorization, ""));
        let is_basic = scheme.eq_ignore_ascii_case("basic");
        let (id, token) = is_basic.then(|| basic(rest)).flatten().unwrap_or_default();
        Some(Self { id: id.into(), token: token.into() })
    }
}

/// RFC 7617: the id ends at the first colon.
fn basic(text: &str) -> Option<(String, String)> {
    let bytes = BASE64_STANDARD.decode(text.trim()).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    text.split_once(':').map(|(id, token)| (id.to_owned(), token.to_owned()))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn credentials_are_found_in_either_place() {
        let check = |sent: &[(&'static str, &'static str)], expected: Option<(&str, &str)>| {
            let headers: HeaderMap = sent
                .iter()
                .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
                .collect();
            let found = SentCredentials::find(&headers);
            let found = found.as_ref().map(|it| (it.id.as_ref(), it.token.as_ref()));
            assert_eq!(found, expected, "{sent:?}");
        };
        let (id, token) = (("x-auth-id", "MA1"), ("x-auth-token", "secret"));
        check(&[], None);
        check(&[id, token], Some(("MA1", "secret")));
        check(&[id], Some(("MA1", "")));
        check(&[token], Some(("", "secret")));
        check(&[id, token, ("authorization", "Bearer other")], Some(("MA1", "secret")));
        check(&[("authorization", "Bearer secret")], Some(("", "")));
        check(&[("authorization", "Basic TUExOnNlY3JldA==")], Some(("MA1", "secret")));
        check(&[("authorization", "basic  TUExOnM6Om8=")], Some(("MA1", "s::o")));
        check(&[("authorization", "Basic TUEx")], Some(("", "")));
        check(&[("authorization", "Basic ???")], Some(("", "")));
        check(&[("authorization", "Basic")], Some(("", "")));
    }
}
