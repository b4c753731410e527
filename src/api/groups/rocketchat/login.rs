//! Login of the Rocket.Chat dialect (contract 2.4): by name or address and password, or by token.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{RocketChatError, rooms::me, signed_out};
use crate::{
    api::groups::{GroupsApi, GroupsRequest},
    group::{PersonName, PersonRef},
};

/// Lifetime of a login: 90 days, the server's default.
const LOGIN_MS: u64 = 90 * 86_400_000;

pub(super) async fn login(
    api: &GroupsApi,
    request: &GroupsRequest,
    fields: &BTreeMap<String, Value>,
) -> Result<Value, RocketChatError> {
    let text = |name: &str| fields.get(name).and_then(Value::as_str);
    let wrong = || signed_out("Unauthorized");
    let (person, token) = match text("resume") {
        Some(token) => {
            let user = api.bearer(request, token, None).map_err(|_| wrong())?;
            let person = api.person(&user.account, PersonRef::Id(user.person)).await;
            (person.map_err(|_| wrong())?, token.to_owned())
        }
        None => {
            let (name, password) = name(fields).zip(text("password")).ok_or_else(wrong)?;
            let names = [PersonName::username(name), PersonName::email(name)];
            let log_in = api.log_in(request, &names, password).await.ok_or_else(wrong)?;
            let issued = api.open_session(&log_in, LOGIN_MS).await;
            let token = issued?.ok_or_else(wrong)?;
            (log_in.person, token)
        }
    };
    let data = json!({ "userId": person.id.to_string(), "authToken": token, "me": me(&person) });
    Ok(json!({ "status": "success", "data": data }))
}

/// What a login names: a person, or the token that it resumes.
pub(super) fn name(fields: &BTreeMap<String, Value>) -> Option<&str> {
    let text = |name: &&str| fields.get(*name).and_then(Value::as_str);
    ["resume", "user", "username", "email"].iter().find_map(text)
}
