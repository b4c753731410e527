//! Kirimin groups (contract 3): `/x/group/…` with a session cookie, and a WebSocket for signals.
//!
//! Every response body has `ok`, `code` and `msg`; the HTTP status equals `code`.

pub(super) mod auth;
mod endpoints;
pub(super) mod signals;
mod socket;
pub(super) mod sockets;

use std::{sync::Arc, time::Duration};

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

pub(in crate::api) use self::endpoints::ENDPOINTS;
use super::{GroupAskError, GroupsApi, GroupsRequest, SignedInUser, rate_limit::WindowLimit};
use crate::{
    api::{after_response::AfterResponse, failure::Failure, reply},
    base::ids::is_name,
    group::{
        Ask, GroupAnswer, GroupRef, GroupSnapshot, Joined, PersonRef, Rank, Refusal, rule::Rule,
    },
    store::rows::WriteError,
};

/// HTTP status, and the `msg` key that identifies the error for clients.
struct KiriminError(u16, &'static str);

/// The `data` of a response, if it has any.
type Data = Option<Value>;

/// One request a second for each user (contract 3.2).
const LIMIT: WindowLimit = WindowLimit { requests: 1, window: Duration::from_millis(1_000) };
/// Members of a group at most (contract 3.4).
const MEMBERS_MAX: u32 = 10;
/// Groups that a person may own (contract 3.4).
const OWN_MAX: usize = 2;
/// Longest name of a group (contract 3.4).
const NAME_CHARS_MAX: usize = 35;

const NO_ROUTE: KiriminError = KiriminError(404, "Your requested data is not found");
const NO_GROUP: KiriminError = KiriminError(404, "GRPS_404");
const UNAUTHORIZED: KiriminError = KiriminError(401, "UNAUTHORIZED");
const BUSY: KiriminError = KiriminError(429, "TO_MANY_REQUEST");

pub(super) fn not_found() -> Response {
    refuse(&NO_ROUTE)
}

impl IntoResponse for KiriminError {
    fn into_response(self) -> Response {
        refuse(&self)
    }
}

/// A change that could not be written, and therefore did not happen.
impl From<WriteError> for KiriminError {
    fn from(error: WriteError) -> Self {
        Self(503, error.text())
    }
}

pub(super) fn crash() -> Response {
    refuse(&KiriminError(500, "ERROR"))
}

/// The response to a web page of an origin that is neither ours nor listed.
pub(super) fn foreign_origin() -> Response {
    refuse(&KiriminError(403, "FORBIDDEN"))
}

/// The response to an address with too many failed logins.
pub(super) fn throttle() -> Response {
    refuse(&BUSY)
}

/// The response to a compressed body.
pub(super) fn refuse_coding() -> Response {
    refuse(&KiriminError(415, "ERROR"))
}

fn refuse(KiriminError(code, msg): &KiriminError) -> Response {
    let status = StatusCode::from_u16(*code).expect("errors have valid statuses");
    let mut body = json!({ "ok": false, "code": code, "msg": msg });
    if *msg == NO_ROUTE.1 {
        body["error"] = "Not Found".into();
    }
    reply::json(status, &body)
}

fn accept(data: Data) -> Response {
    let mut body = json!({ "ok": true, "code": 200, "msg": "OK" });
    if let Some(data) = data {
        body["data"] = data;
    }
    reply::json(StatusCode::OK, &body)
}

/// `GET /invite/{link}`: the group of an invitation link.
async fn invitation(api: &GroupsApi, user: &SignedInUser, link: &str) -> Response {
    let found = api.snapshot(&user.account, Ask::Show(GroupRef::Link(link.into()))).await;
    match found {
        Ok(snapshot) if !snapshot.group.info.is_closed => accept(Some(json!({
            "group": room(&snapshot)["r"],
            "joined": snapshot.group.members.contains_key(&user.person),
            "members": snapshot.group.members.len(),
        }))),
        Ok(_) | Err(_) => {
            let KiriminError(code, msg) = NO_GROUP;
            let data = json!({ "group": null });
            let body = json!({ "ok": false, "code": code, "msg": msg, "data": data });
            reply::json(StatusCode::NOT_FOUND, &body)
        }
    }
}

/// A request of a signed-in user, with its decoded body.
struct KiriminHandler {
    api: Arc<GroupsApi>,
    request: GroupsRequest,
    user: SignedInUser,
    body: Value,
}

impl KiriminHandler {
    /// `POST /x/group/kick/{group}/{member}`: removes a member.
    async fn kick(&self, id: &str, target: &str) -> Result<Data, KiriminError> {
        let (group, rule, reason) = (group_ref(id)?, Rule::KIRIMIN, "".into());
        let target = target.parse().map_or(PersonRef::Nobody, PersonRef::Id);
        let ask = Ask::Remove { group, actor: Some(self.user.person), target, rule, reason };
        self.remove(ask).await.map_err(|it| self.vendor_error(&it)).map(|_| None)
    }

    /// `POST /x/group/leave/{group}`: removes the user themselves.
    async fn leave(&self, id: &str) -> Result<Data, KiriminError> {
        // Leaving an unknown group succeeds (contract 3.4).
        let Ok(group) = group_ref(id) else { return Ok(None) };
        let ask = Ask::Leave { group, actor: self.user.person, rule: Rule::KIRIMIN_LEAVE };
        match self.remove(ask).await {
            Ok(_) | Err(GroupAskError::Refused(Refusal::NoGroup | Refusal::Closed)) => Ok(None),
            Err(GroupAskError::Refused(Refusal::ActorNotMember)) => Err(KiriminError(400, "ERROR")),
            Err(error) => Err(self.vendor_error(&error)),
        }
    }

    /// `POST /x/group/reset-link`: replaces the invitation link, for owners only.
    async fn reset_link(&self) -> Result<Data, KiriminError> {
        let link = uuid::Uuid::new_v4().simple().to_string().into();
        let (group, actor) = (group_ref(self.text("id"))?, self.user.person);
        let snapshot = self.snapshot(Ask::ResetLink { group, actor, link }).await;
        // Here both the documents and the server say 403 (contract 3.4).
        let snapshot = snapshot.map_err(|KiriminError(code, msg)| match msg {
            "GRPS_OWNER_FEATURE" => KiriminError(403, msg),
            _ => KiriminError(code, msg),
        })?;
        Ok(Some(json!({ "text": snapshot.group.info.link })))
    }

    /// `POST /x/group/join/{group}`: joins by invitation link, and signals it to the others.
    async fn join(&self, id: &str) -> Result<Data, KiriminError> {
        let group = group_ref(id)?;
        let (actor, link) = (self.user.person, self.text("link").into());
        let asked = self.api.ask(&self.user.account, Ask::Join { group, actor, link }).await;
        let GroupAnswer::Joined(joined) = asked.map_err(|it| self.vendor_error(&it))? else {
            unreachable!("the machine answers a join with `Joined`");
        };
        let Joined { was_member, snapshot } = *joined;
        if !was_member {
            let (sockets, signals) = (self.api.sockets.clone(), signals::of_join(&snapshot, actor));
            *self.request.after_response.lock() =
                Some(AfterResponse::new(move || sockets.send_all(signals)));
        }
        Ok(Some(room(&snapshot)))
    }

    /// `POST /x/group/create`: creates a group that the user owns.
    async fn create(&self) -> Result<Data, KiriminError> {
        let name = self.text("name").trim();
        if !is_name(name) || NAME_CHARS_MAX < name.chars().count() {
            return Err(KiriminError(400, "GRPS_DNAME_LENGTH"));
        }
        let (api, actor) = (&self.api, self.user.person);
        let info = api.head(name, Some(actor), MEMBERS_MAX);
        let snapshot = self.snapshot(Ask::CreateOwn { info, own_max: OWN_MAX }).await?;
        let id = snapshot.group.info.id.to_string();
        Ok(Some(json!({ "roomid": id, "group": room(&snapshot) })))
    }

    fn text(&self, name: &str) -> &str {
        self.body[name].as_str().unwrap_or_default()
    }

    async fn snapshot(&self, ask: Ask) -> Result<GroupSnapshot, KiriminError> {
        self.api.snapshot(&self.user.account, ask).await.map_err(|it| self.vendor_error(&it))
    }

    async fn remove(&self, ask: Ask) -> Result<GroupSnapshot, GroupAskError> {
        self.api.remove(&self.request, &self.user.account, ask).await
    }

    fn vendor_error(&self, error: &GroupAskError) -> KiriminError {
        vendor_error(error, self.api.settings.is_kirimin_owner_404)
    }
}

/// Parses a group's number. Anything else is an unknown group.
fn group_ref(id: &str) -> Result<GroupRef, KiriminError> {
    Ok(GroupRef::Id(id.parse().map_err(|_| NO_GROUP)?))
}

/// Signs the user in. The rate limit is checked before the session (contract 3.2).
fn admit(api: &GroupsApi, request: &GroupsRequest) -> Result<SignedInUser, KiriminError> {
    let user = auth::session(api, request);
    let address = || request.peer.to_string();
    let key = user.as_ref().map_or_else(address, |it| it.person.to_string());
    let take = || api.windows.take(request.now, format!("kirimin {key}"), LIMIT);
    if !api.settings.is_unlimited && take().requests.is_none() {
        return Err(BUSY);
    }
    user.ok_or(UNAUTHORIZED)
}

fn body(request: &GroupsRequest) -> Result<Value, KiriminError> {
    match &request.body {
        Ok(body) if body.trim_ascii().is_empty() => Ok(json!({})),
        Ok(body) => serde_json::from_slice(body).map_err(|_| KiriminError(500, "ERROR")),
        Err(Failure::TooLarge { .. }) => Err(KiriminError(413, "CONTENT_TOO_LARGE")),
        Err(_) => Err(KiriminError(500, "ERROR")),
    }
}

/// Maps a refusal or failure to Kirimin's error.
fn vendor_error(error: &GroupAskError, is_owner_404: bool) -> KiriminError {
    let owner = KiriminError(if is_owner_404 { 404 } else { 400 }, "GRPS_OWNER_FEATURE");
    let refusal = match error {
        GroupAskError::Refused(refusal) => refusal,
        GroupAskError::Busy => return BUSY,
        GroupAskError::Failed => return KiriminError(500, "ERROR"),
        GroupAskError::NotStored(error) => return error.clone().into(),
    };
    match refusal {
        Refusal::NoGroup | Refusal::OtherGroup | Refusal::Closed => NO_GROUP,
        Refusal::ActorNotMember
        | Refusal::NoAccess
        | Refusal::RankTooLow
        | Refusal::SelfTarget
        | Refusal::LastOwner => owner,
        Refusal::TargetUnknown | Refusal::TargetNotMember | Refusal::NoApplication => {
            KiriminError(404, "FIND_NOTFOUND")
        }
        Refusal::NotInvited | Refusal::Banned => KiriminError(404, "INV_NOT_FOUND_DESC"),
        Refusal::Full => KiriminError(404, "GRPS_MEMBER_LIMIT"),
        Refusal::OwnsTooMany => KiriminError(400, "GRPS_OWN_MAX"),
        Refusal::AlreadyMember | Refusal::HasOwner | Refusal::NameTaken => {
            KiriminError(400, "ERROR")
        }
    }
}

fn room(snapshot: &GroupSnapshot) -> Value {
    let head = &snapshot.group.info;
    let owner = snapshot.group.members.iter().find(|(_, it)| it.rank == Rank::Owner);
    let users = snapshot.group.members.keys().filter_map(|id| snapshot.people.get(id));
    let users = users.map(|it| signals::card(it));
    json!({
        "m": [], "u": users.collect::<Vec<_>>(),
        "r": {
            "owner": owner.map(|(id, _)| id.to_string()), "id": head.id.to_string(),
            "long": head.name, "short": head.name, "badges": [], "image": null,
            "type": "group", "link": head.link,
        },
    })
}
