//! Rocket.Chat private groups (contract 2): `/api/v1/groups.…`, the headers `X-Auth-Token` and
//! `X-User-Id`.

use std::{collections::BTreeMap, time::Duration};

use axum::{
    http::{HeaderName, HeaderValue, Method, StatusCode, header::CONTENT_TYPE},
    response::Response,
};
use serde_json::{Map, Value, json};

use super::{AskError, Caller, Hall, MEMBERS_MAX, Request, durable, header, limit, time::iso};
use crate::{
    api::reply,
    credentials::{Bearer, Holder},
    group::{
        Ask, At, Name, Permission, Person, PersonId, Picture, Rank, Refusal, Which, Who, rule::Rule,
    },
    ids::AccountId,
};

/// A failure: its status, its type (empty is none), its text, and the method that it names.
struct Fault(u16, &'static str, String, Option<&'static str>);

/// Calls of one address to one endpoint (contract 2.2).
const LIMIT: limit::Limit = limit::Limit { requests: 10, window: Duration::from_millis(60_000) };
/// A page, where none is asked for (contract 2.4).
const PAGE: usize = 50;
/// How long a login is good: 90 days, as the server has it by default.
const LOGIN_MS: u64 = 90 * 86_400_000;
const LOGIN: &str = "You must be logged in to do this.";

/// Answered with or without a login.
const OPEN: [&str; 2] = ["info", "login"];

pub(super) async fn answer(hall: &Hall, request: &Request<'_>) -> Response {
    let mut limits = Vec::new();
    let mut response = match serve(hall, request, &mut limits).await {
        Ok(Value::Object(mut body)) => {
            body.insert("success".to_owned(), true.into());
            reply::json(StatusCode::OK, &body)
        }
        Ok(body) => reply::json(StatusCode::OK, &body),
        Err(fault) => refuse(&fault),
    };
    let fixed = [("cache-control", "no-store".into()), ("pragma", "no-cache".into())];
    for (name, value) in limits.into_iter().chain(fixed) {
        let value: String = value;
        let value = HeaderValue::try_from(value).expect("digits and words are header values");
        response.headers_mut().insert(HeaderName::from_static(name), value);
    }
    response
}

pub(super) fn crash() -> Response {
    refuse(&broken())
}

fn broken() -> Fault {
    Fault(500, "", "Internal server error".to_owned(), None)
}

fn refuse(Fault(status, kind, text, method): &Fault) -> Response {
    let status = StatusCode::from_u16(*status).expect("it is one of ours");
    let mut body = Map::new();
    body.insert("success".to_owned(), false.into());
    match *kind {
        "" | "error-invalid-params" => body.insert("error".to_owned(), text.clone().into()),
        kind => body.insert("error".to_owned(), format!("{text} [{kind}]").into()),
    };
    match (status, *kind) {
        (StatusCode::UNAUTHORIZED, _) => {
            body.insert("status".to_owned(), "error".into());
            body.insert("message".to_owned(), text.clone().into());
        }
        (StatusCode::TOO_MANY_REQUESTS, _) | (_, "") => (),
        (_, kind) => drop(body.insert("errorType".to_owned(), kind.into())),
    }
    if let Some(method) = method {
        body.insert("details".to_owned(), json!({ "method": method }));
    }
    reply::json(status, &body)
}

type Limits = Vec<(&'static str, String)>;

async fn serve(hall: &Hall, request: &Request<'_>, limits: &mut Limits) -> Result<Value, Fault> {
    let name = request.path.last().map_or("", |it| it);
    let no_route = || Fault(404, "", "404 Not Found".to_owned(), None);
    let method = match name {
        "info" | "me" | "groups.info" | "groups.members" | "groups.list" => Method::GET,
        "login"
        | "logout"
        | "groups.create"
        | "groups.invite"
        | "groups.kick"
        | "groups.leave"
        | "groups.addOwner"
        | "groups.addModerator"
        | "groups.removeOwner"
        | "groups.removeModerator" => Method::POST,
        _ => return Err(no_route()),
    };
    if *request.method != method {
        return Err(Fault(405, "", "Method Not Allowed".to_owned(), None));
    }
    let caller = match OPEN.contains(&name) {
        true => None,
        false => Some(sign_in(hall, request).ok_or_else(|| signed_out(LOGIN))?),
    };
    let fields = fields(request);
    if name == "groups.kick" {
        check_schema(&fields)?;
    }
    count(hall, request, name, limits)?;
    let Some(caller) = caller else {
        return match name {
            "login" => login(hall, request, &fields).await,
            _ => Ok(json!({ "version": "8.0", "info": { "version": "8.0.0" } })),
        };
    };
    let desk = Desk { hall, caller, fields };
    match name {
        "me" => desk.me().await,
        "logout" => desk.logout(request).await,
        "groups.list" => desk.list().await,
        "groups.create" => desk.create().await,
        "groups.info" => Ok(json!({ "group": describe(&desk.room().await?, false) })),
        "groups.members" => desk.members().await,
        "groups.invite" => desk.invite().await,
        "groups.kick" => desk.kick(request).await,
        "groups.leave" => desk.leave(request).await,
        "groups.addOwner" => desk.set_rank(Rank::Owner).await,
        "groups.addModerator" => desk.set_rank(Rank::Admin).await,
        _ => desk.set_rank(Rank::Member).await,
    }
}

fn signed_out(text: &str) -> Fault {
    Fault(401, "", text.to_owned(), None)
}

pub(super) fn sign_in(hall: &Hall, request: &Request<'_>) -> Option<Caller> {
    let (token, user) = (header(request, "x-auth-token")?, header(request, "x-user-id")?);
    hall.bearer(request, token).ok().filter(|it| it.person.to_string() == user)
}

fn count(hall: &Hall, request: &Request<'_>, name: &str, limits: &mut Limits) -> Result<(), Fault> {
    if hall.settings.is_unlimited {
        return Ok(());
    }
    let who = format!("rocketchat {name} {}", request.peer);
    let left = hall.windows.take(request.now, who, LIMIT);
    let wait = u64::try_from(left.wait.as_millis()).unwrap_or(u64::MAX);
    limits.push(("x-ratelimit-limit", LIMIT.requests.to_string()));
    limits.push(("x-ratelimit-remaining", left.requests.unwrap_or(0).to_string()));
    limits.push(("x-ratelimit-reset", (hall.memberships.now().0 + wait).to_string()));
    match left.requests {
        Some(_) => Ok(()),
        None => {
            let seconds = wait.div_ceil(1_000);
            let text = format!(
                "Error, too many requests. Please slow down. You must wait {seconds} seconds \
                 before trying this endpoint again."
            );
            Err(Fault(429, "error-too-many-requests", text, None))
        }
    }
}

/// From the query, a form, or JSON; what is none of these is nothing (contract 2.1).
fn fields(request: &Request<'_>) -> BTreeMap<String, Value> {
    let pairs = |it: BTreeMap<String, String>| it.into_iter().map(|(k, v)| (k, v.into())).collect();
    if *request.method == Method::GET {
        return pairs(request.query.clone());
    }
    let Ok(body) = &request.body else { return BTreeMap::new() };
    let media_type = request.headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok());
    match media_type.is_some_and(|it| it.starts_with("application/x-www-form-urlencoded")) {
        true => pairs(super::pairs(&String::from_utf8_lossy(body))),
        false => serde_json::from_slice(body).unwrap_or_default(),
    }
}

/// As the latest server checks the body of a kick (contract 2.1).
fn check_schema(fields: &BTreeMap<String, Value>) -> Result<(), Fault> {
    let bad = |text: &str| Err(Fault(400, "error-invalid-params", text.to_owned(), None));
    for (name, value) in fields {
        if !["roomId", "roomName", "userId", "username", "user"].contains(&&**name) {
            return bad("must NOT have additional properties");
        }
        if !value.is_string() {
            return bad("must be string");
        }
    }
    let rooms = ["roomId", "roomName"].iter().filter(|it| fields.contains_key(**it)).count();
    match rooms {
        0 => bad("must have required property 'roomId'"),
        1 => Ok(()),
        _ => bad("must match exactly one schema in oneOf"),
    }
}

async fn login(
    hall: &Hall,
    request: &Request<'_>,
    fields: &BTreeMap<String, Value>,
) -> Result<Value, Fault> {
    let text = |name: &str| fields.get(name).and_then(Value::as_str);
    let wrong = || signed_out("Unauthorized");
    let holder = match text("resume") {
        Some(token) => hall.holder(request, token).map_err(|_| wrong())?,
        None => {
            let name = ["user", "username", "email"].iter().find_map(|it| text(it));
            let (name, password) = name.zip(text("password")).ok_or_else(wrong)?;
            let names = [Name::username(name), Name::email(name)];
            let (account, person) =
                hall.log_in(request, &names, password).await.ok_or_else(wrong)?;
            let bearer = Bearer::Person { id: person.id.0, is_admin_scope: false };
            Holder { account, bearer }
        }
    };
    let Bearer::Person { id, .. } = holder.bearer else { return Err(wrong()) };
    let person = hall.person(&holder.account, Who::Id(PersonId(id))).await;
    let person = person.map_err(|_| wrong())?;
    let token = match text("resume") {
        Some(token) => token.to_owned(),
        None => {
            let (done, told) = durable();
            let until = At(hall.memberships.now().0 + LOGIN_MS);
            let token = hall.credentials.issue_until(until, holder, done).map_err(|_| broken())?;
            told.await.map_err(|_| broken())?.map_err(|_| broken())?;
            token
        }
    };
    let data = json!({ "userId": person.id.to_string(), "authToken": token, "me": me(&person) });
    Ok(json!({ "status": "success", "data": data }))
}

fn me(person: &Person) -> Value {
    json!({ "_id": person.id.to_string(), "username": person.username, "name": person.username })
}

/// One request of a person.
struct Desk<'a> {
    hall: &'a Hall,
    caller: Caller,
    fields: BTreeMap<String, Value>,
}

impl Desk<'_> {
    fn text(&self, name: &str) -> Option<&str> {
        self.fields.get(name)?.as_str().map(str::trim).filter(|it| !it.is_empty())
    }

    fn account(&self) -> &AccountId {
        &self.caller.account
    }

    fn which(&self) -> Result<Which, Fault> {
        if let Some(id) = self.text("roomId") {
            return Ok(Which::Id(id.parse().map_err(|_| no_room())?));
        }
        let missing = || {
            let text = "The parameter \"roomId\" or \"roomName\" is required".to_owned();
            Fault(400, "error-room-param-not-provided", text, None)
        };
        Ok(Which::Name(self.text("roomName").ok_or_else(missing)?.into()))
    }

    fn target(&self) -> Result<Who, Fault> {
        if let Some(id) = self.text("userId") {
            return Ok(id.parse().map_or(Who::Nobody, Who::Id));
        }
        let missing = || {
            let text = "The required \"userId\" or \"username\" param was not provided".to_owned();
            Fault(400, "error-user-param-not-provided", text, None)
        };
        let name = self.text("username").or_else(|| self.text("user")).ok_or_else(missing)?;
        Ok(Who::Name(Name::username(name)))
    }

    async fn picture(&self, ask: Ask, method: &'static str) -> Result<Picture, Fault> {
        let picture = self.hall.picture(self.account(), ask).await;
        picture.map_err(|error| told(&error, method))
    }

    /// A room that the caller sees.
    async fn room(&self) -> Result<Picture, Fault> {
        let picture = self.picture(Ask::Show(self.which()?), "").await?;
        let is_his = picture.group.members.contains_key(&self.caller.person);
        match is_his && !picture.group.head.is_closed {
            true => Ok(picture),
            false => Err(no_room()),
        }
    }

    /// `POST groups.kick`
    async fn kick(&self, request: &Request<'_>) -> Result<Value, Fault> {
        let group = self.which()?;
        // The room comes before the user (contract 2.2).
        self.picture(Ask::Show(group.clone()), "").await?;
        let (actor, target) = (Some(self.caller.person), self.target()?);
        let (rule, reason) = (Rule::ROCKET_CHAT, "".into());
        let ask = Ask::Remove { group, actor, target, rule, reason };
        let removed = self.hall.remove(request, self.account(), ask).await;
        let picture = removed.map_err(|error| told(&error, "removeUserFromRoom"))?;
        Ok(match self.hall.settings.is_rocketchat_bare {
            true => json!({}),
            false => json!({ "group": describe(&picture, true) }),
        })
    }

    async fn leave(&self, request: &Request<'_>) -> Result<Value, Fault> {
        let (group, actor, rule) = (self.which()?, self.caller.person, Rule::ROCKET_CHAT);
        let ask = Ask::Leave { group, actor, rule };
        let left = self.hall.remove(request, self.account(), ask).await;
        match left {
            Ok(_) => Ok(json!({})),
            Err(AskError::Refused(Refusal::ActorNotMember)) => {
                let text = "You are not in this room".to_owned();
                Err(Fault(400, "error-user-not-in-room", text, Some("leaveRoom")))
            }
            Err(error) => Err(told(&error, "leaveRoom")),
        }
    }

    async fn set_rank(&self, rank: Rank) -> Result<Value, Fault> {
        let (group, actor, target) = (self.which()?, Some(self.caller.person), self.target()?);
        let method = match rank {
            Rank::Owner => "addRoomOwner",
            Rank::Admin => "addRoomModerator",
            Rank::Beginner | Rank::Member | Rank::Acting => "removeRoomOwner",
        };
        self.picture(Ask::SetRank { group, actor, target, rank }, method).await?;
        Ok(json!({}))
    }

    async fn invite(&self) -> Result<Value, Fault> {
        let group = self.which()?;
        let mut targets: Vec<Who> = Vec::new();
        for (name, is_id) in [("userIds", true), ("usernames", false)] {
            let list = self.fields.get(name).and_then(Value::as_array).into_iter().flatten();
            targets.extend(list.filter_map(Value::as_str).map(|it| match is_id {
                true => it.parse().map_or(Who::Nobody, Who::Id),
                false => Who::Name(Name::username(it)),
            }));
        }
        if targets.is_empty() {
            targets.push(self.target()?);
        }
        for target in targets {
            let (group, actor) = (group.clone(), Some(self.caller.person));
            let ask = Ask::Add { group, actor, target, rank: Rank::Member };
            match self.hall.ask(self.account(), ask).await {
                // Inviting a member changes nothing, and is no fault there.
                Ok(_) | Err(AskError::Refused(Refusal::AlreadyMember)) => (),
                Err(error) => return Err(told(&error, "addUsersToRoom")),
            }
        }
        Ok(json!({ "group": describe(&self.room().await?, false) }))
    }

    async fn create(&self) -> Result<Value, Fault> {
        let missing = || Fault(400, "", "Body param \"name\" is required".to_owned(), None);
        let name = self.text("name").ok_or_else(missing)?;
        let head = self.hall.head(name, Some(self.caller.person), MEMBERS_MAX);
        let group = Which::Id(head.id);
        let mut picture = self.picture(Ask::Create(head), "createPrivateGroup").await?;
        let names = self.fields.get("members").and_then(Value::as_array).into_iter().flatten();
        for name in names.filter_map(Value::as_str) {
            let (group, actor) = (group.clone(), Some(self.caller.person));
            let target = Who::Name(Name::username(name));
            let ask = Ask::Add { group, actor, target, rank: Rank::Member };
            // Names of nobody are passed over there.
            if let Ok(now) = self.hall.picture(self.account(), ask).await {
                picture = now;
            }
        }
        Ok(json!({ "group": describe(&picture, false) }))
    }

    async fn list(&self) -> Result<Value, Fault> {
        let asked = self.hall.ask(self.account(), Ask::ShowOf(self.caller.person)).await;
        let crate::group::Done::Groups(groups) = asked.map_err(|it| told(&it, ""))? else {
            return Err(broken());
        };
        let groups = groups.iter().map(|it| describe(it, false)).collect();
        Ok(self.page("groups", groups))
    }

    async fn members(&self) -> Result<Value, Fault> {
        let picture = self.room().await?;
        let filter = self.text("filter").unwrap_or_default().to_lowercase();
        let people = picture.group.members.keys().filter_map(|it| picture.people.get(it));
        let named = people.filter(|it| it.username.to_lowercase().contains(&filter));
        let updated = iso(picture.group.head.modified);
        let card = |person: &Person| {
            let mut card = me(person);
            card["status"] = "offline".into();
            card["_updatedAt"] = updated.clone().into();
            card
        };
        Ok(self.page("members", named.map(card).collect()))
    }

    fn page(&self, name: &str, all: Vec<Value>) -> Value {
        let number = |name| self.text(name).and_then(|it| it.parse().ok());
        let (offset, count) = (number("offset").unwrap_or(0), number("count").unwrap_or(PAGE));
        let total = all.len();
        let count = if count == 0 { total } else { count };
        let page: Vec<_> = all.into_iter().skip(offset).take(count).collect();
        json!({ name: page, "count": page.len(), "offset": offset, "total": total })
    }

    async fn me(&self) -> Result<Value, Fault> {
        let person = self.hall.person(self.account(), Who::Id(self.caller.person)).await;
        let person = person.map_err(|it| told(&it, ""))?;
        let mut card = me(&person);
        let is_admin = person.may(Permission::RemoveUser);
        card["roles"] = if is_admin { json!(["admin"]) } else { json!(["user"]) };
        Ok(card)
    }

    async fn logout(&self, request: &Request<'_>) -> Result<Value, Fault> {
        let (done, told) = durable();
        let token = header(request, "x-auth-token").unwrap_or_default();
        self.hall.credentials.revoke(token, done);
        told.await.map_err(|_| broken())?.map_err(|_| broken())?;
        let data = json!({ "message": "You've been logged out!" });
        Ok(json!({ "status": "success", "data": data }))
    }
}

fn no_room() -> Fault {
    let text = "The required \"roomId\" or \"roomName\" param provided does not match any group";
    Fault(400, "error-room-not-found", text.to_owned(), None)
}

/// What the machine or the actor said, as this system has it.
fn told(error: &AskError, method: &'static str) -> Fault {
    let refusal = match error {
        AskError::Refused(refusal) => refusal,
        AskError::Busy | AskError::Failed => return broken(),
    };
    let (kind, text) = match refusal {
        Refusal::NoGroup | Refusal::NoAccess => return no_room(),
        Refusal::Closed => ("error-room-archived", "The private group is archived"),
        Refusal::ActorNotMember | Refusal::RankTooLow | Refusal::SelfTarget => {
            ("error-not-allowed", "Not allowed")
        }
        Refusal::TargetUnknown => {
            let text =
                "The required \"userId\" or \"username\" param provided does not match any users";
            return Fault(400, "error-invalid-user", text.to_owned(), None);
        }
        Refusal::TargetNotMember | Refusal::NoApplication => {
            ("error-user-not-in-room", "User is not in this room")
        }
        Refusal::LastOwner => (
            "error-you-are-last-owner",
            "You are the last owner. Please set new owner before leaving the room.",
        ),
        Refusal::AlreadyMember => ("error-user-already-in-room", "User is in this room already"),
        Refusal::Banned => ("error-user-is-banned", "User is banned from this room"),
        Refusal::NotInvited => ("error-not-allowed", "Not allowed"),
        Refusal::Full => ("error-max-rooms-per-guest-reached", "The room is full"),
        Refusal::NameTaken => ("error-duplicate-channel-name", "A group of this name exists"),
    };
    Fault(400, kind, text.to_owned(), Some(method).filter(|it| !it.is_empty()))
}

/// A group, as its document has it for a kick, or as the server has it elsewhere.
fn describe(picture: &Picture, is_kick: bool) -> Value {
    let head = &picture.group.head;
    let creator = head.creator.and_then(|it| picture.people.get(&it));
    let mut group = json!({ "_id": head.id.to_string(), "name": head.name });
    if !is_kick {
        group["fname"] = (*head.name).into();
    }
    group["t"] = "p".into();
    if is_kick {
        let people = picture.group.members.keys().filter_map(|it| picture.people.get(it));
        group["usernames"] = people.map(|it| it.username.to_string()).collect();
    }
    group["msgs"] = 0.into();
    if !is_kick {
        group["usersCount"] = picture.group.members.len().into();
    }
    group["u"] = json!(creator.map(|it| json!({
        "_id": it.id.to_string(), "username": it.username,
    })));
    if !is_kick {
        group["customFields"] = json!({});
    }
    group["ts"] = iso(head.created).into();
    group["ro"] = false.into();
    group["sysMes"] = true.into();
    group["_updatedAt"] = iso(head.modified).into();
    group
}
