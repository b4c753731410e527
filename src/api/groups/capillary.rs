//! Capillary user groups (contract 4): `/v2/userGroup2/…`, a till by HTTP Basic or with a token.

use std::{collections::BTreeSet, time::Duration};

use axum::{
    http::{HeaderValue, Method, StatusCode, header::WWW_AUTHENTICATE},
    response::Response,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{AskError, Hall, MEMBERS_MAX, Request, durable, header, time::iso};
use crate::{
    api::reply,
    base::ids::AccountId,
    credentials::{Bearer, Holder, md5_hex},
    group::{Ask, At, Name, PersonId, Picture, Rank, Refusal, Which, Who, rule::Rule},
};

/// A status, a code, and what it says.
struct Fault(u16, u16, String);

/// Where an identifier is registered.
const SOURCES: [&str; 4] = ["INSTORE", "MARTJACK", "WECHAT", "ALL"];
/// Group selectors of other calls: here they say nothing new.
const SELECTORS: [&str; 3] = ["id", "externalId", "primaryUserId"];
/// What is no field's value, and no group's or customer's, is told with this status.
const BAD: u16 = 400;

/// How long a token is good. The vendor publishes no figure; a day, as its documents' samples.
const TOKEN_SECONDS: u64 = 86_400;

/// Customers about whom something is being done: of two at once, the second is refused (521).
#[derive(Default)]
pub(super) struct Customers(Mutex<BTreeSet<(AccountId, Name)>>);

/// Somebody's turn, until it is dropped.
struct Turn<'a>(&'a Customers, (AccountId, Name));

impl Customers {
    fn enter(&self, account: &AccountId, name: &Name) -> Option<Turn<'_>> {
        let key = (account.clone(), name.clone());
        // The lock is free again before there is a turn, whose end takes it.
        let is_first = self.0.lock().insert(key.clone());
        is_first.then(|| Turn(self, key))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.0.lock().remove(&self.1);
    }
}

pub(super) async fn answer(hall: &Hall, request: &Request<'_>) -> Response {
    match serve(hall, request).await {
        Ok(body) => reply::json(StatusCode::OK, &body),
        Err(fault) => refuse(&fault),
    }
}

pub(super) fn crash() -> Response {
    refuse(&Fault(500, 500, "something went wrong".to_owned()))
}

/// Too much at once, whoever asks.
pub(super) fn throttle(wait: Duration) -> Response {
    refuse(&Fault(429, 429, format!("too many requests: wait {} seconds", wait.as_secs() + 1)))
}

fn refuse(Fault(status, code, message): &Fault) -> Response {
    let status = StatusCode::from_u16(*status).expect("it is one of ours");
    let error = json!({ "status": false, "code": code, "message": message });
    let body = json!({ "warnings": [], "errors": [error], "success": false });
    let mut response = reply::json(status, &body);
    if status == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static("Basic realm=\"conflow\"");
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    response
}

async fn serve(hall: &Hall, request: &Request<'_>) -> Result<Value, Fault> {
    let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
    if *path == ["v3", "oauth", "token", "generate"] {
        return generate(hall, request).await;
    }
    let (["v2", "userGroup2", below @ ..] | ["v2", "organization", "userGroup2", below @ ..]) =
        &*path
    else {
        return Err(no_route());
    };
    let methods: &[Method] = match below {
        [] => &[Method::GET, Method::POST],
        ["join"] => &[Method::POST],
        [_, "leave"] => &[Method::DELETE, Method::POST],
        _ => return Err(no_route()),
    };
    if !methods.contains(request.method) {
        return Err(wrong_method(request));
    }
    let Holder { account, bearer } = sign_in(hall, request).ok_or_else(no_one)?;
    match bearer {
        Bearer::Till(_) => (),
        Bearer::Application | Bearer::Person { .. } | Bearer::Grant { .. } => {
            let why = "the credentials have no access to user groups".to_owned();
            return Err(Fault(403, 403, why));
        }
    }
    match *below {
        [id, "leave"] => leave(hall, &account, id, request).await,
        ["join"] => join(hall, &account, request).await,
        _ if *request.method == Method::POST => create(hall, &account, request).await,
        _ => {
            let group = selected(request)?;
            Ok(show(&picture(hall, &account, Ask::Show(group)).await?))
        }
    }
}

fn no_one() -> Fault {
    Fault(401, 401, "authentication failed".to_owned())
}

fn wrong_method(request: &Request<'_>) -> Fault {
    Fault(405, 405, format!("the path is not for {}", request.method))
}

fn no_route() -> Fault {
    Fault(404, 404, "no such resource".to_owned())
}

/// `POST /v3/oauth/token/generate`: the till's name is the key, its password the secret.
async fn generate(hall: &Hall, request: &Request<'_>) -> Result<Value, Fault> {
    #[derive(Deserialize)]
    struct Pair {
        key: String,
        secret: String,
    }

    if *request.method != Method::POST {
        return Err(wrong_method(request));
    }
    let Pair { key, secret } = parse(request)?;
    let now = hall.memberships.now();
    let holder = hall.credentials.till(now, &key, &md5_hex(&secret)).ok_or_else(|| {
        request.guess();
        no_one()
    })?;
    let broken = || Fault(500, 500, "the store failed".to_owned());
    let (done, told) = durable();
    let until = At(now.0 + TOKEN_SECONDS * 1_000);
    let token = hall.credentials.issue_until(until, holder, done).map_err(|_| broken())?;
    told.await.map_err(|_| broken())?.map_err(|_| broken())?;
    let data = json!({ "accessToken": token, "ttlSeconds": TOKEN_SECONDS });
    Ok(json!({ "data": data, "errors": null }))
}

pub(super) fn sign_in(hall: &Hall, request: &Request<'_>) -> Option<Holder> {
    if let Some(token) = header(request, "x-cap-api-oauth-token") {
        return hall.holder(request, token).ok();
    }
    let (scheme, rest) = header(request, "authorization")?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(BASE64_STANDARD.decode(rest.trim()).ok()?).ok()?;
    let (till, digest) = pair.split_once(':')?;
    let holder = hall.credentials.till(hall.memberships.now(), till, digest);
    if holder.is_none() {
        request.guess();
    }
    holder
}

/// `DELETE /v2/userGroup2/{groupId}/leave`
async fn leave(
    hall: &Hall,
    account: &AccountId,
    id: &str,
    request: &Request<'_>,
) -> Result<Value, Fault> {
    let customer = customer(request)?;
    let unknown = || Fault(BAD, 1619, format!("group id {id} is invalid"));
    let group = Which::Id(id.parse().map_err(|_| unknown())?);
    let busy = || Fault(521, 521, "something is being done about this customer".to_owned());
    let _turn = hall.customers.enter(account, &customer).ok_or_else(busy)?;
    let warnings = selectors(hall, account, id, &group, request).await?;
    let target = Who::Name(customer);
    let rule = match hall.settings.is_capillary_kept_active {
        true => Rule::CAPILLARY_STAYS_ACTIVE,
        false => Rule::CAPILLARY,
    };
    let ask = Ask::Remove { group, actor: None, target, rule, reason: "".into() };
    hall.remove(request, account, ask).await.map_err(|error| told(&error))?;
    Ok(json!({ "warnings": warnings, "errors": [], "success": true }))
}

/// A selector that means the same group is warned about; one that means another is refused.
async fn selectors(
    hall: &Hall,
    account: &AccountId,
    id: &str,
    group: &Which,
    request: &Request<'_>,
) -> Result<Vec<Value>, Fault> {
    let given = SELECTORS.iter().filter_map(|name| Some((*name, request.query.get(*name)?)));
    let given: Vec<_> = given.collect();
    if given.is_empty() {
        return Ok(Vec::new());
    }
    let picture = picture(hall, account, Ask::Show(group.clone())).await?;
    let mut warnings = Vec::new();
    for (name, value) in given {
        let primary = |person: PersonId| {
            picture.group.members.get(&person).is_some_and(|it| it.rank == Rank::Owner)
        };
        let is_same = match name {
            "id" => value == id,
            "externalId" => picture.group.head.external_id.as_deref() == Some(&**value),
            _ => value.parse().is_ok_and(primary),
        };
        if !is_same {
            let why = format!("{name} {value} contradicts the group id {id} of the path");
            return Err(Fault(BAD, 1632, why));
        }
        let message = format!("{name} is not used: the path names the group");
        warnings.push(json!({ "status": false, "code": 1632, "message": message }));
    }
    Ok(warnings)
}

/// Whom the query means.
fn customer(request: &Request<'_>) -> Result<Name, Fault> {
    let field = |name: &str| {
        let missing = || Fault(BAD, 403, format!("{name} is mandatory"));
        let value = request.query.get(name).map(|it| it.trim());
        value.filter(|it| !it.is_empty()).ok_or_else(missing)
    };
    let source = field("source")?;
    if !SOURCES.contains(&source) {
        return Err(Fault(BAD, 8003, format!("Invalid source {source}")));
    }
    let (kind, value) = (field("identifierName")?, field("identifierValue")?);
    Ok(match kind {
        "mobile" => Name::Mobile(value.into()),
        "email" => Name::email(value),
        "externalId" => Name::ExternalId(value.into()),
        "cardnumber" => Name::CardNumber(value.into()),
        // The full stop is in the published description (contract 4.1).
        "cardExternalId" | "cardExternalId." => Name::CardExternalId(value.into()),
        _ => return Err(Fault(BAD, 8013, format!("identifier name {kind} is wrong"))),
    })
}

fn selected(request: &Request<'_>) -> Result<Which, Fault> {
    if let Some(id) = request.query.get("id") {
        let bad = |_| Fault(BAD, 1632, format!("group id {id} is not valid"));
        return Ok(Which::Id(id.parse().map_err(bad)?));
    }
    let external_id = request.query.get("externalId").map(|it| Which::ExternalId((**it).into()));
    let none = || Fault(BAD, 1635, "one of id and externalId is needed".to_owned());
    external_id.ok_or_else(none)
}

fn parse<T: for<'a> Deserialize<'a>>(request: &Request<'_>) -> Result<T, Fault> {
    let bad = |why: String| Fault(BAD, 400, why);
    let body = request.body.as_ref().map_err(|error| bad(error.to_string()))?;
    serde_json::from_slice(body).map_err(|error| bad(format!("the body: {error}")))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wish {
    external_id: Option<String>,
    group_name: String,
    max_group_size: Option<u32>,
}

/// `POST /v2/userGroup2`
async fn create(hall: &Hall, account: &AccountId, request: &Request<'_>) -> Result<Value, Fault> {
    let Wish { external_id, group_name, max_group_size } = parse(request)?;
    let mut head = hall.head(&group_name, None, max_group_size.unwrap_or(MEMBERS_MAX));
    head.external_id = external_id.map(Into::into);
    let picture = picture(hall, account, Ask::Create(head)).await?;
    Ok(json!({ "entity": picture.group.head.id.0, "warnings": [] }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Joiner {
    user_id: u64,
    #[serde(default)]
    primary_member: bool,
}

/// `POST /v2/userGroup2/join`
async fn join(hall: &Hall, account: &AccountId, request: &Request<'_>) -> Result<Value, Fault> {
    let group = selected(request)?;
    let mut response = Vec::new();
    for Joiner { user_id, primary_member } in parse::<Vec<Joiner>>(request)? {
        let before = picture(hall, account, Ask::Show(group.clone())).await?;
        if primary_member && 0 < before.group.owners() {
            return Err(Fault(BAD, 1637, "the group has a primary member".to_owned()));
        }
        let rank = if primary_member { Rank::Owner } else { Rank::Member };
        let target = Who::Id(PersonId(user_id));
        let ask = Ask::Add { group: group.clone(), actor: None, target, rank };
        let id = picture(hall, account, ask).await?.group.head.id.0;
        response.push(json!({
            "entityId": { "userId": user_id, "groupId": id },
            "result": {
                "userId": user_id, "groupId": id, "permissions": [], "defaultGroup": true,
                "active": true, "primaryMember": primary_member,
            },
            "warnings": [],
        }));
    }
    Ok(json!({ "totalCount": response.len(), "failureCount": 0, "response": response }))
}

async fn picture(hall: &Hall, account: &AccountId, ask: Ask) -> Result<Picture, Fault> {
    hall.picture(account, ask).await.map_err(|error| told(&error))
}

/// What the machine or the actor said, as this system has it.
fn told(error: &AskError) -> Fault {
    let refusal = match error {
        AskError::Refused(refusal) => refusal,
        AskError::Busy => return Fault(521, 521, "too much at once: try again".to_owned()),
        AskError::Failed => return Fault(500, 500, "the store failed".to_owned()),
    };
    let (code, message) = match refusal {
        Refusal::NoGroup | Refusal::Closed => (1619, "group id is invalid"),
        Refusal::TargetUnknown => (8015, "Customer not found for the given identifiers"),
        Refusal::TargetNotMember | Refusal::NoApplication => {
            (1620, "the user does not belong to the group")
        }
        Refusal::AlreadyMember => (1636, "the user is a member already"),
        Refusal::Full => (1638, "the group is full"),
        Refusal::NameTaken => (1639, "a group of this name, or external id, is there already"),
        Refusal::Banned | Refusal::NotInvited => (1621, "the user may not join this group"),
        // No person asks here, and a primary member may go.
        Refusal::ActorNotMember
        | Refusal::NoAccess
        | Refusal::RankTooLow
        | Refusal::LastOwner
        | Refusal::SelfTarget => (403, "not permitted"),
    };
    Fault(BAD, code, message.to_owned())
}

fn show(picture: &Picture) -> Value {
    let head = &picture.group.head;
    let users = picture.group.members.iter().map(|(id, it)| {
        json!({
            "userId": id.0, "groupId": head.id.0, "defaultGroup": true,
            "primaryMember": it.rank == Rank::Owner, "active": true,
        })
    });
    json!({
        "id": head.id.0, "externalId": head.external_id, "groupName": head.name,
        "maxGroupSize": head.members_max, "createdOn": iso(head.created),
        "groupStatus": if head.is_closed { "INACTIVE" } else { "ACTIVE" },
        "fleetGroupUsers": users.collect::<Vec<_>>(), "warnings": [],
    })
}
