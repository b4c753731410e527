//! Login of the Rocket.Chat dialect (contract 2.4): by name or address and password, or by token.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{RocketChatError, broken, rooms::me, signed_out};
use crate::{
    api::groups::{GroupsApi, GroupsRequest, durable},
    credentials::{Bearer, Holder},
    group::{PersonId, PersonName, PersonRef, UnixMillis},
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
    let holder = match text("resume") {
        Some(token) => api.holder(request, token).map_err(|_| wrong())?,
        None => {
            let name = ["user", "username", "email"].iter().find_map(|it| text(it));
            let (name, password) = name.zip(text("password")).ok_or_else(wrong)?;
            let names = [PersonName::username(name), PersonName::email(name)];
            let (account, person) =
                api.log_in(request, &names, password).await.ok_or_else(wrong)?;
            let bearer = Bearer::Person { id: person.id.0, is_admin_scope: false };
            Holder { account, bearer }
        }
    };
    let Bearer::Person { id, .. } = holder.bearer else { return Err(wrong()) };
    let person = api.person(&holder.account, PersonRef::Id(PersonId(id))).await;
    let person = person.map_err(|_| wrong())?;
    let token = match text("resume") {
        Some(token) => token.to_owned(),
        None => {
            let (done, committed) = durable();
            let until = UnixMillis(api.memberships.now().0 + LOGIN_MS);
            let token = api.credentials.issue_until(until, holder, done).map_err(|_| broken())?;
            committed.await.map_err(|_| broken())?.map_err(|_| broken())?;
            token
        }
    };
    let data = json!({ "userId": person.id.to_string(), "authToken": token, "me": me(&person) });
    Ok(json!({ "status": "success", "data": data }))
}
