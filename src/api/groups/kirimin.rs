//! Kirimin groups (contract 3): `/x/group/…`, a session cookie.
//!
//! Every answer has `ok`, `code` and `msg`, and its status is its code.

use std::time::Duration;

use axum::{
    http::{Method, StatusCode},
    response::Response,
};
use serde_json::{Value, json};

use super::{AskError, Caller, Hall, Request, header, limit::Limit};
use crate::{
    api::{failure::Failure, reply},
    group::{Ask, Picture, Rank, Refusal, Which, Who, rule::Rule},
};

/// A status, and the key by which clients tell what it is.
struct Fault(u16, &'static str);

/// What the session's cookie is called.
const COOKIE: &str = "connect.sid";
/// One request a second for each user (contract 3.2).
const LIMIT: Limit = Limit { requests: 1, window: Duration::from_millis(1_000) };
/// How many a group holds (contract 3.4).
const MEMBERS_MAX: u32 = 10;
/// How long a group's name is (contract 3.4).
const NAME_CHARS_MAX: usize = 35;

pub(super) async fn answer(hall: &Hall, request: &Request<'_>) -> Response {
    match serve(hall, request).await {
        Ok(None) => reply::json(StatusCode::OK, &json!({ "ok": true, "code": 200, "msg": "OK" })),
        Ok(Some(data)) => reply::json(
            StatusCode::OK,
            &json!({ "ok": true, "code": 200, "msg": "OK", "data": data }),
        ),
        Err(fault) => refuse(&fault),
    }
}

pub(super) fn crash() -> Response {
    refuse(&Fault(500, "ERROR"))
}

fn refuse(Fault(code, msg): &Fault) -> Response {
    let status = StatusCode::from_u16(*code).expect("it is one of ours");
    let mut body = json!({ "ok": false, "code": code, "msg": msg });
    if *msg == NO_ROUTE.1 {
        body["error"] = "Not Found".into();
    }
    reply::json(status, &body)
}

const NO_ROUTE: Fault = Fault(404, "Your requested data is not found");
const NO_GROUP: Fault = Fault(404, "GRPS_404");

async fn serve(hall: &Hall, request: &Request<'_>) -> Result<Option<Value>, Fault> {
    let path: Vec<&str> = request.path.iter().skip(1).map(String::as_str).collect();
    let is_known = matches!(
        &*path,
        ["group", "kick", _, _]
            | ["group", "join", _, _]
            | ["group", "leave" | "reset-link", _]
            | ["group", "create"]
    );
    if !is_known || *request.method != Method::POST {
        return Err(NO_ROUTE);
    }
    let caller = admit(hall, request)?;
    let body = body(request)?;
    let (actor, account) = (caller.person, &caller.account);
    let is_server = hall.settings.is_kirimin_server;
    let picture = async |ask| hall.picture(account, ask).await.map_err(|it| told(&it, is_server));
    // What is no number names no group.
    let group = |id: &str| Ok::<_, Fault>(Which::Id(id.parse().map_err(|_| NO_GROUP)?));
    match *path {
        ["group", "kick", id, target] => {
            let (group, actor, rule, reason) = (group(id)?, Some(actor), Rule::KIRIMIN, "".into());
            let target = target.parse().map_or(Who::Nobody, Who::Id);
            picture(Ask::Remove { group, actor, target, rule, reason }).await?;
            Ok(None)
        }
        ["group", "join", id, link] => {
            let picture =
                picture(Ask::Join { group: group(id)?, actor, link: link.into() }).await?;
            Ok(Some(room(&picture)))
        }
        ["group", "leave", id] => {
            // An unknown group is left already (contract 3.4).
            let Ok(group) = group(id) else { return Ok(None) };
            let ask = Ask::Leave { group, actor, rule: Rule::KIRIMIN_LEAVE };
            left(hall.ask(account, ask).await.map(drop), is_server)
        }
        ["group", "reset-link", id] => {
            let link = uuid::Uuid::new_v4().simple().to_string().into();
            let picture = picture(Ask::ResetLink { group: group(id)?, actor, link }).await;
            // Here, and here only, it is 403 in documents and server (contract 3.4).
            let picture = picture.map_err(|Fault(code, msg)| match msg {
                "GRPS_OWNER_FEATURE" => Fault(403, msg),
                _ => Fault(code, msg),
            })?;
            Ok(Some(json!({ "text": picture.group.head.link })))
        }
        ["group", "create"] => {
            let name = body["name"].as_str().unwrap_or_default().trim();
            if !(1..=NAME_CHARS_MAX).contains(&name.chars().count()) {
                return Err(Fault(400, "GRPS_DNAME_LENGTH"));
            }
            let picture = picture(Ask::Create(hall.head(name, Some(actor), MEMBERS_MAX))).await?;
            let id = picture.group.head.id.to_string();
            Ok(Some(json!({ "roomid": id, "group": room(&picture) })))
        }
        _ => Err(NO_ROUTE),
    }
}

fn left(done: Result<(), AskError>, is_server: bool) -> Result<Option<Value>, Fault> {
    match done {
        Ok(()) | Err(AskError::Refused(Refusal::NoGroup | Refusal::Closed)) => Ok(None),
        Err(AskError::Refused(Refusal::ActorNotMember)) => Err(Fault(400, "ERROR")),
        Err(error) => Err(told(&error, is_server)),
    }
}

/// The limit comes before the login (contract 3.2).
fn admit(hall: &Hall, request: &Request<'_>) -> Result<Caller, Fault> {
    let caller = sign_in(hall, request);
    let address = || request.peer.to_string();
    let who = caller.as_ref().map_or_else(address, |it| it.person.to_string());
    let take = || hall.windows.take(request.now, format!("kirimin {who}"), LIMIT);
    if !hall.settings.is_unlimited && take().requests.is_none() {
        return Err(Fault(429, "TO_MANY_REQUEST"));
    }
    caller.ok_or(Fault(401, "UNAUTHORIZED"))
}

pub(super) fn sign_in(hall: &Hall, request: &Request<'_>) -> Option<Caller> {
    header(request, "cookie").and_then(session).and_then(|it| hall.bearer(it))
}

fn session(cookies: &str) -> Option<&str> {
    let mut pairs = cookies.split(';').filter_map(|it| it.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, value)| value)
}

fn body(request: &Request<'_>) -> Result<Value, Fault> {
    match &request.body {
        Ok(body) if body.trim_ascii().is_empty() => Ok(json!({})),
        Ok(body) => serde_json::from_slice(body).map_err(|_| Fault(500, "ERROR")),
        Err(Failure::TooLarge) => Err(Fault(413, "CONTENT_TOO_LARGE")),
        Err(_) => Err(Fault(500, "ERROR")),
    }
}

/// What the machine or the actor said, as this system has it.
fn told(error: &AskError, is_server: bool) -> Fault {
    let owner = Fault(if is_server { 404 } else { 400 }, "GRPS_OWNER_FEATURE");
    let refusal = match error {
        AskError::Refused(refusal) => refusal,
        AskError::Busy => return Fault(429, "TO_MANY_REQUEST"),
        AskError::Failed => return Fault(500, "ERROR"),
    };
    match refusal {
        Refusal::NoGroup | Refusal::Closed => NO_GROUP,
        Refusal::ActorNotMember
        | Refusal::NoAccess
        | Refusal::RankTooLow
        | Refusal::SelfTarget
        | Refusal::LastOwner => owner,
        Refusal::TargetUnknown | Refusal::TargetNotMember | Refusal::NoApplication => {
            Fault(404, "FIND_NOTFOUND")
        }
        Refusal::NotInvited | Refusal::Banned => Fault(404, "INV_NOT_FOUND_DESC"),
        Refusal::Full => Fault(404, "GRPS_MEMBER_LIMIT"),
        Refusal::AlreadyMember | Refusal::NameTaken => Fault(400, "ERROR"),
    }
}

fn room(picture: &Picture) -> Value {
    let head = &picture.group.head;
    let owner = picture.group.members.iter().find(|(_, it)| it.rank == Rank::Owner);
    let users = picture.group.members.keys().map(|id| {
        let name = picture.people.get(id).map(|it| &it.username);
        json!({ "id": id.to_string(), "username": name })
    });
    json!({
        "m": [], "u": users.collect::<Vec<_>>(),
        "r": {
            "owner": owner.map(|(id, _)| id.to_string()), "id": head.id.to_string(),
            "long": head.name, "short": head.name, "badges": [], "image": null,
            "type": "group", "link": head.link,
        },
    })
}
