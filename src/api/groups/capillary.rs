//! Capillary user groups (contract 4): `/v2/userGroup2/…`, for tills with HTTP Basic or a token.

use std::{collections::BTreeSet, time::Duration};

use axum::{
    http::{HeaderValue, Method, StatusCode, header::WWW_AUTHENTICATE},
    response::{IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{GroupAskError, Groups, GroupsApi, GroupsRequest, MEMBERS_MAX, header, time::iso};
use crate::{
    api::{
        context::PathNames,
        endpoint::{DELETE, Documented::ByVendor, Endpoint, POST, handler},
        reply,
    },
    base::ids::{AccountId, NAME_CHARS_MAX, is_name},
    credentials::{Basis, Bearer, Holder, TokenKind, md5_hex},
    group::{
        Ask, GroupId, GroupRef, GroupSelector, GroupSnapshot, PersonId, PersonName, PersonRef,
        Rank, Refusal, rule::Rule,
    },
    store::rows::WriteError,
};

/// HTTP status, the vendor's code, and the message.
struct CapillaryError(u16, u16, String);

/// Values of `source`: where an identifier is registered.
const SOURCES: [&str; 4] = ["INSTORE", "MARTJACK", "WECHAT", "ALL"];
/// Selectors that other calls use. `leave` names its group in the path and checks them only.
const SELECTORS: [&str; 3] = ["id", "externalId", "primaryUserId"];
/// The HTTP status of invalid values, and of unknown groups and customers.
const BAD: u16 = 400;

/// Lifetime of a token. The vendor publishes no figure; its documents' samples last a day.
const TOKEN_SECONDS: u64 = 86_400;

/// Customers with a request in progress. A second concurrent request is refused with 521.
#[derive(Default)]
pub(super) struct BusyCustomers(Mutex<BTreeSet<(AccountId, PersonName)>>);

/// Marks a customer as busy until it is dropped.
struct CustomerLock<'a>(&'a BusyCustomers, (AccountId, PersonName));

impl BusyCustomers {
    fn lock(&self, account: &AccountId, name: &PersonName) -> Option<CustomerLock<'_>> {
        let key = (account.clone(), name.clone());
        // The mutex is released before the guard exists, because the guard's drop takes it.
        let is_first = self.0.lock().insert(key.clone());
        is_first.then(|| CustomerLock(self, key))
    }
}

impl Drop for CustomerLock<'_> {
    fn drop(&mut self) {
        self.0.0.lock().remove(&self.1);
    }
}

pub(in crate::api) const ENDPOINTS: &[Endpoint] = &[
    Endpoint::changes(POST, "/v3/oauth/token/generate", handler!(generate), ByVendor),
    Endpoint::reads("/v2/userGroup2", handler!(show), ByVendor),
    Endpoint::changes(POST, "/v2/userGroup2", handler!(create), ByVendor),
    Endpoint::changes(POST, "/v2/userGroup2/join", handler!(join), ByVendor),
    Endpoint::changes(DELETE, "/v2/userGroup2/{group}/leave", handler!(leave), ByVendor),
    Endpoint::changes(POST, "/v2/userGroup2/{group}/leave", handler!(leave), ByVendor),
    Endpoint::reads("/v2/organization/userGroup2", handler!(show), ByVendor),
    Endpoint::changes(POST, "/v2/organization/userGroup2", handler!(create), ByVendor),
    Endpoint::changes(POST, "/v2/organization/userGroup2/join", handler!(join), ByVendor),
    Endpoint::changes(
        DELETE,
        "/v2/organization/userGroup2/{group}/leave",
        handler!(leave),
        ByVendor,
    ),
    Endpoint::changes(POST, "/v2/organization/userGroup2/{group}/leave", handler!(leave), ByVendor),
];

type Answer = Result<Json, CapillaryError>;

/// A JSON body with status 200.
struct Json(Value);

impl IntoResponse for Json {
    fn into_response(self) -> Response {
        reply::json(StatusCode::OK, &self.0)
    }
}

impl IntoResponse for CapillaryError {
    fn into_response(self) -> Response {
        refuse(&self)
    }
}

/// A change that could not be written, and therefore did not happen.
impl From<WriteError> for CapillaryError {
    fn from(error: WriteError) -> Self {
        Self(503, 503, error.to_string())
    }
}

pub(super) fn not_found() -> Response {
    refuse(&CapillaryError(404, 404, "no such resource".to_owned()))
}

pub(super) fn wrong_method(method: &Method) -> Response {
    refuse(&CapillaryError(405, 405, format!("the path is not for {method}")))
}

pub(super) fn crash() -> Response {
    refuse(&CapillaryError(500, 500, "something went wrong".to_owned()))
}

/// The response to an address with too many failed logins.
pub(super) fn throttle(wait: Duration) -> Response {
    refuse(&CapillaryError(
        429,
        429,
        format!("too many requests: wait {} seconds", wait.as_secs() + 1),
    ))
}

/// The response to a compressed body.
pub(super) fn refuse_coding(text: String) -> Response {
    refuse(&CapillaryError(415, 415, text))
}

fn refuse(CapillaryError(status, code, message): &CapillaryError) -> Response {
    let status = StatusCode::from_u16(*status).expect("errors have valid statuses");
    let error = json!({ "status": false, "code": code, "message": message });
    let body = json!({ "warnings": [], "errors": [error], "success": false });
    let mut response = reply::json(status, &body);
    if status == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static("Basic realm=\"conflow\"");
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    response
}

/// The account of the till that sent the request. Other credentials have no access (403).
fn till(api: &GroupsApi, request: &GroupsRequest) -> Result<AccountId, CapillaryError> {
    let Holder { account, bearer } = sign_in(api, request).ok_or_else(unauthorized)?;
    match bearer {
        Bearer::Till(_) => Ok(account),
        Bearer::Application | Bearer::Person { .. } | Bearer::Grant { .. } => {
            let why = "the credentials have no access to user groups".to_owned();
            Err(CapillaryError(403, 403, why))
        }
    }
}

/// `GET /v2/userGroup2`: the group that `id` or `externalId` selects.
async fn show(Groups(api): Groups, request: GroupsRequest) -> Answer {
    let account = till(&api, &request)?;
    let group = selected(&request)?;
    Ok(Json(describe(&snapshot(&api, &account, Ask::Show(group)).await?)))
}

fn unauthorized() -> CapillaryError {
    CapillaryError(401, 401, "authentication failed".to_owned())
}

/// `POST /v3/oauth/token/generate`: the till's name is the key, its password the secret.
async fn generate(Groups(api): Groups, request: GroupsRequest) -> Answer {
    #[derive(Deserialize)]
    struct TillLogin {
        key: String,
        secret: String,
    }

    let TillLogin { key, secret } = parse(&request)?;
    let digest = md5_hex(&secret);
    let holder = api.till(&request, &key, &digest).ok_or_else(unauthorized)?;
    let (ms, basis) = (Some(TOKEN_SECONDS * 1_000), Basis::Till(&key, &digest));
    let issued = api.issue(TokenKind::TillToken, holder, ms, basis).await;
    let token = issued?.ok_or_else(unauthorized)?;
    let data = json!({ "accessToken": token, "ttlSeconds": TOKEN_SECONDS });
    Ok(Json(json!({ "data": data, "errors": null })))
}

pub(super) fn sign_in(api: &GroupsApi, request: &GroupsRequest) -> Option<Holder> {
    if let Some(token) = header(request, "x-cap-api-oauth-token") {
        return api.holder(request, token, None).ok();
    }
    let (scheme, rest) = header(request, "authorization")?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(BASE64_STANDARD.decode(rest.trim()).ok()?).ok()?;
    let (till, digest) = pair.split_once(':')?;
    api.till(request, till, digest)
}

/// `DELETE` and `POST /v2/userGroup2/{groupId}/leave`
async fn leave(
    Groups(api): Groups,
    request: GroupsRequest,
    PathNames([id]): PathNames<1>,
) -> Answer {
    let account = &till(&api, &request)?;
    let customer = customer(&request)?;
    let unknown = || CapillaryError(BAD, 1619, format!("group id {id} is invalid"));
    let (group, warnings) = selected_by_path(id.parse().map_err(|_| unknown())?, &request)?;
    let busy =
        || CapillaryError(521, 521, "something is being done about this customer".to_owned());
    let _lock = api.customers.lock(account, &customer).ok_or_else(busy)?;
    let target = PersonRef::Name(customer);
    let rule = match api.settings.is_capillary_kept_active {
        true => Rule::CAPILLARY_STAYS_ACTIVE,
        false => Rule::CAPILLARY,
    };
    let ask = Ask::Remove { group, actor: None, target, rule, reason: "".into() };
    api.remove(&request, account, ask).await.map_err(|error| vendor_error(&error))?;
    Ok(Json(json!({ "warnings": warnings, "errors": [], "success": true })))
}

/// The group of the path, which must have what the selectors say, and the warnings that they are not
/// used.
fn selected_by_path(
    id: GroupId,
    request: &GroupsRequest,
) -> Result<(GroupRef, Vec<Value>), CapillaryError> {
    let given = SELECTORS.iter().filter_map(|name| Some((*name, request.query.get(*name)?)));
    let (mut selectors, mut warnings) = (Vec::new(), Vec::new());
    for (name, value) in given {
        match name {
            "id" if value.parse() == Ok(id) => (),
            "id" => return Err(CapillaryError(BAD, 1632, contradiction(&format!("id {value}")))),
            "externalId" => selectors.push(GroupSelector::ExternalId((**value).into())),
            _ => selectors.push(GroupSelector::Owner(value.parse().ok())),
        }
        let message = format!("{name} is not used: the path names the group");
        warnings.push(json!({ "status": false, "code": 1632, "message": message }));
    }
    Ok((GroupRef::Selected(id, selectors.into()), warnings))
}

fn contradiction(selector: &str) -> String {
    format!("{selector} contradicts the group id of the path: leave it out, or correct one of them")
}

/// The customer that the query identifies.
fn customer(request: &GroupsRequest) -> Result<PersonName, CapillaryError> {
    let field = |name: &str| {
        let missing = || CapillaryError(BAD, 403, format!("{name} is mandatory"));
        let value = request.query.get(name).map(|it| it.trim());
        value.filter(|it| !it.is_empty()).ok_or_else(missing)
    };
    let source = field("source")?;
    if !SOURCES.contains(&source) {
        return Err(CapillaryError(BAD, 8003, format!("Invalid source {source}")));
    }
    let (kind, value) = (field("identifierName")?, field("identifierValue")?);
    Ok(match kind {
        "mobile" => PersonName::Mobile(value.into()),
        "email" => PersonName::email(value),
        "externalId" => PersonName::ExternalId(value.into()),
        "cardnumber" => PersonName::CardNumber(value.into()),
        // The published description has the full stop (contract 4.1).
        "cardExternalId" | "cardExternalId." => PersonName::CardExternalId(value.into()),
        _ => return Err(CapillaryError(BAD, 8013, format!("identifier name {kind} is wrong"))),
    })
}

fn selected(request: &GroupsRequest) -> Result<GroupRef, CapillaryError> {
    if let Some(id) = request.query.get("id") {
        let bad = |_| CapillaryError(BAD, 1632, format!("group id {id} is not valid"));
        return Ok(GroupRef::Id(id.parse().map_err(bad)?));
    }
    let external_id = request.query.get("externalId").map(|it| GroupRef::ExternalId((**it).into()));
    let none = || CapillaryError(BAD, 1635, "one of id and externalId is needed".to_owned());
    external_id.ok_or_else(none)
}

fn parse<T: for<'a> Deserialize<'a>>(request: &GroupsRequest) -> Result<T, CapillaryError> {
    let bad = |why: String| CapillaryError(BAD, 400, why);
    let body = request.body.as_ref().map_err(|error| bad(error.to_string()))?;
    serde_json::from_slice(body).map_err(|error| bad(format!("the body: {error}")))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UserGroupParams {
    external_id: Option<String>,
    group_name: String,
    max_group_size: Option<u32>,
}

/// `POST /v2/userGroup2`: creates a group and returns its number.
async fn create(Groups(api): Groups, request: GroupsRequest) -> Answer {
    let account = &till(&api, &request)?;
    let UserGroupParams { external_id, group_name, max_group_size } = parse(&request)?;
    let names = [("groupName", Some(&group_name)), ("externalId", external_id.as_ref())];
    if let Some((field, _)) = names.into_iter().find(|(_, it)| !it.is_none_or(|it| is_name(it))) {
        let why =
            format!("{field}: write 1 to {NAME_CHARS_MAX} characters, none a control character");
        return Err(CapillaryError(BAD, 400, why));
    }
    let mut head = api.head(&group_name, None, max_group_size.unwrap_or(MEMBERS_MAX));
    head.external_id = external_id.map(Into::into);
    let snapshot = snapshot(&api, account, Ask::Create(head)).await?;
    Ok(Json(json!({ "entity": snapshot.group.info.id.0, "warnings": [] })))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Joiner {
    user_id: u64,
    #[serde(default)]
    primary_member: bool,
}

/// `POST /v2/userGroup2/join`: adds the customers of a list, one after the other.
async fn join(Groups(api): Groups, request: GroupsRequest) -> Answer {
    let account = &till(&api, &request)?;
    let group = selected(&request)?;
    let mut response = Vec::new();
    for Joiner { user_id, primary_member } in parse::<Vec<Joiner>>(&request)? {
        let target = PersonRef::Id(PersonId(user_id));
        let (group, actor) = (group.clone(), None);
        let ask = match primary_member {
            true => Ask::AddFirstOwner { group, actor, target },
            false => Ask::Add { group, actor, target, rank: Rank::Member },
        };
        let id = snapshot(&api, account, ask).await?.group.info.id.0;
        response.push(json!({
            "entityId": { "userId": user_id, "groupId": id },
            "result": {
                "userId": user_id, "groupId": id, "permissions": [], "defaultGroup": true,
                "active": true, "primaryMember": primary_member,
            },
            "warnings": [],
        }));
    }
    Ok(Json(json!({ "totalCount": response.len(), "failureCount": 0, "response": response })))
}

async fn snapshot(
    api: &GroupsApi,
    account: &AccountId,
    ask: Ask,
) -> Result<GroupSnapshot, CapillaryError> {
    api.snapshot(account, ask).await.map_err(|error| vendor_error(&error))
}

/// Maps a refusal or failure to Capillary's error.
fn vendor_error(error: &GroupAskError) -> CapillaryError {
    let refusal = match error {
        GroupAskError::Refused(refusal) => refusal,
        GroupAskError::Busy => {
            return CapillaryError(521, 521, "too much at once: try again".to_owned());
        }
        GroupAskError::Failed => return CapillaryError(500, 500, error.to_string()),
        GroupAskError::NotStored(error) => return error.clone().into(),
    };
    let (code, message) = match refusal {
        Refusal::NoGroup | Refusal::Closed => (1619, "group id is invalid"),
        Refusal::OtherGroup => {
            let message = contradiction("externalId or primaryUserId");
            return CapillaryError(BAD, 1632, message);
        }
        Refusal::TargetUnknown => (8015, "Customer not found for the given identifiers"),
        Refusal::TargetNotMember | Refusal::NoApplication => {
            (1620, "the user does not belong to the group")
        }
        Refusal::AlreadyMember => (1636, "the user is a member already"),
        Refusal::HasOwner => (1637, "the group has a primary member"),
        Refusal::Full => (1638, "the group is full"),
        Refusal::NameTaken => (1639, "a group of this name, or external id, is there already"),
        Refusal::Banned | Refusal::NotInvited => (1621, "the user may not join this group"),
        // These concern persons who ask; here tills ask, and a primary member may leave.
        Refusal::ActorNotMember
        | Refusal::NoAccess
        | Refusal::RankTooLow
        | Refusal::LastOwner
        | Refusal::OwnsTooMany
        | Refusal::SelfTarget => (403, "not permitted"),
    };
    CapillaryError(BAD, code, message.to_owned())
}

fn describe(snapshot: &GroupSnapshot) -> Value {
    let head = &snapshot.group.info;
    let users = snapshot.group.members.iter().map(|(id, it)| {
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
