//! Kirimin groups (contract 3): `/x/group/…`, a session cookie, and a socket.
//!
//! Every answer has `ok`, `code` and `msg`, and its status is its code.

pub(super) mod auth;
pub(super) mod signals;
mod socket;
pub(super) mod sockets;

use std::time::Duration;

use axum::{
    http::{
        HeaderValue, Method, StatusCode,
        header::{LOCATION, SET_COOKIE},
    },
    response::Response,
};
use serde_json::{Value, json};

use super::{AskError, Caller, Hall, Request, limit::Limit};
use crate::{
    api::{after_response::After, failure::Failure, reply},
    group::{Ask, Picture, Rank, Refusal, Which, Who, rule::Rule},
};

/// A status, and the key by which clients tell what it is.
struct Fault(u16, &'static str);

/// What an answer has beside its status.
type Data = Option<Value>;

/// One request a second for each user (contract 3.2).
const LIMIT: Limit = Limit { requests: 1, window: Duration::from_millis(1_000) };
/// How many a group holds (contract 3.4).
const MEMBERS_MAX: u32 = 10;
/// How many groups somebody owns (contract 3.4).
const OWN_MAX: usize = 2;
/// How long a group's name is (contract 3.4).
const NAME_CHARS_MAX: usize = 35;

const NO_ROUTE: Fault = Fault(404, "Your requested data is not found");
const NO_GROUP: Fault = Fault(404, "GRPS_404");
const UNAUTHORIZED: Fault = Fault(401, "UNAUTHORIZED");
const BUSY: Fault = Fault(429, "TO_MANY_REQUEST");

pub(super) async fn answer(hall: &Hall, request: &Request<'_>) -> Response {
    serve(hall, request).await.unwrap_or_else(|fault| refuse(&fault))
}

pub(super) fn crash() -> Response {
    refuse(&Fault(500, "ERROR"))
}

/// Too much at once, whoever asks.
pub(super) fn throttle() -> Response {
    refuse(&BUSY)
}

fn refuse(Fault(code, msg): &Fault) -> Response {
    let status = StatusCode::from_u16(*code).expect("it is one of ours");
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

async fn serve(hall: &Hall, request: &Request<'_>) -> Result<Response, Fault> {
    let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
    match (request.method, &*path) {
        (&Method::GET, [] | ["socket"]) => socket::answer(hall, request),
        (&Method::GET, ["x", "auth", "isUser"]) => auth::is_user(hall, request).await.map(accept),
        (&Method::GET, ["x", "auth", "logout"]) => {
            let mut response = reply::empty(StatusCode::FOUND);
            let cookie = auth::log_out(hall, request).await?;
            response.headers_mut().insert(SET_COOKIE, cookie);
            response.headers_mut().insert(LOCATION, HeaderValue::from_static("/app"));
            Ok(response)
        }
        (&Method::POST, ["x", "auth", "sign-in" | "verify"]) => {
            let (data, cookie) = auth::sign_in(hall, request, &body(request)?).await?;
            let mut response = accept(data);
            cookie.map(|it| response.headers_mut().insert(SET_COOKIE, it));
            Ok(response)
        }
        (&Method::GET, ["invite", link]) => {
            let caller = admit(hall, request)?;
            Ok(invitation(hall, &caller, link).await)
        }
        (&Method::POST, ["x", "group", below @ ..]) if is_call(below) => {
            let caller = admit(hall, request)?;
            let body = body(request)?;
            Desk { hall, request, caller, body }.group(below).await.map(accept)
        }
        _ => Err(NO_ROUTE),
    }
}

fn is_call(below: &[&str]) -> bool {
    matches!(below, ["kick", _, _] | ["join" | "leave", _] | ["create" | "reset-link"])
}

/// `GET /invite/{link}`
async fn invitation(hall: &Hall, caller: &Caller, link: &str) -> Response {
    let found = hall.picture(&caller.account, Ask::Show(Which::Link(link.into()))).await;
    match found {
        Ok(picture) if !picture.group.head.is_closed => accept(Some(json!({
            "group": room(&picture)["r"],
            "joined": picture.group.members.contains_key(&caller.person),
            "members": picture.group.members.len(),
        }))),
        Ok(_) | Err(_) => {
            let Fault(code, msg) = NO_GROUP;
            let data = json!({ "group": null });
            let body = json!({ "ok": false, "code": code, "msg": msg, "data": data });
            reply::json(StatusCode::NOT_FOUND, &body)
        }
    }
}

/// One request about groups.
struct Desk<'a> {
    hall: &'a Hall,
    request: &'a Request<'a>,
    caller: Caller,
    body: Value,
}

impl Desk<'_> {
    async fn group(&self, below: &[&str]) -> Result<Data, Fault> {
        let actor = self.caller.person;
        match *below {
            ["kick", id, target] => {
                let (group, rule, reason) = (which(id)?, Rule::KIRIMIN, "".into());
                let target = target.parse().map_or(Who::Nobody, Who::Id);
                let ask = Ask::Remove { group, actor: Some(actor), target, rule, reason };
                self.remove(ask).await.map_err(|it| self.told(&it)).map(|_| None)
            }
            ["join", id] => self.join(which(id)?).await,
            ["leave", id] => {
                // An unknown group is left already (contract 3.4).
                let Ok(group) = which(id) else { return Ok(None) };
                let ask = Ask::Leave { group, actor, rule: Rule::KIRIMIN_LEAVE };
                match self.remove(ask).await {
                    Ok(_) | Err(AskError::Refused(Refusal::NoGroup | Refusal::Closed)) => Ok(None),
                    Err(AskError::Refused(Refusal::ActorNotMember)) => Err(Fault(400, "ERROR")),
                    Err(error) => Err(self.told(&error)),
                }
            }
            ["reset-link"] => {
                let link = uuid::Uuid::new_v4().simple().to_string().into();
                let group = which(self.text("id"))?;
                let picture = self.picture(Ask::ResetLink { group, actor, link }).await;
                // Here, it is 403 in documents and server (contract 3.4).
                let picture = picture.map_err(|Fault(code, msg)| match msg {
                    "GRPS_OWNER_FEATURE" => Fault(403, msg),
                    _ => Fault(code, msg),
                })?;
                Ok(Some(json!({ "text": picture.group.head.link })))
            }
            ["create"] => self.create().await,
            _ => Err(NO_ROUTE),
        }
    }

    async fn join(&self, group: Which) -> Result<Data, Fault> {
        let (actor, link) = (self.caller.person, self.text("link").into());
        let before = self.picture(Ask::Show(group.clone())).await?;
        let picture = self.picture(Ask::Join { group, actor, link }).await?;
        if !before.group.members.contains_key(&actor) {
            let (sockets, signals) = (self.hall.sockets.clone(), signals::of_join(&picture, actor));
            *self.request.after.lock() = Some(After::new(move || sockets.send_all(signals)));
        }
        Ok(Some(room(&picture)))
    }

    async fn create(&self) -> Result<Data, Fault> {
        let name = self.text("name").trim();
        if !(1..=NAME_CHARS_MAX).contains(&name.chars().count()) {
            return Err(Fault(400, "GRPS_DNAME_LENGTH"));
        }
        let (hall, actor) = (self.hall, self.caller.person);
        let asked = hall.ask(&self.caller.account, Ask::ShowOf(actor)).await;
        if let crate::group::Done::Groups(groups) = asked.map_err(|it| self.told(&it))? {
            // Other dialects' groups hold more people, and are not counted.
            let is_his = |it: &&Picture| {
                let is_owner = it.group.members[&actor].rank == Rank::Owner;
                is_owner && it.group.head.members_max == MEMBERS_MAX
            };
            if OWN_MAX <= groups.iter().filter(is_his).count() {
                return Err(Fault(400, "GRPS_OWN_MAX"));
            }
        }
        let picture = self.picture(Ask::Create(hall.head(name, Some(actor), MEMBERS_MAX))).await?;
        let id = picture.group.head.id.to_string();
        Ok(Some(json!({ "roomid": id, "group": room(&picture) })))
    }

    fn text(&self, name: &str) -> &str {
        self.body[name].as_str().unwrap_or_default()
    }

    async fn picture(&self, ask: Ask) -> Result<Picture, Fault> {
        self.hall.picture(&self.caller.account, ask).await.map_err(|it| self.told(&it))
    }

    async fn remove(&self, ask: Ask) -> Result<Picture, AskError> {
        self.hall.remove(self.request, &self.caller.account, ask).await
    }

    fn told(&self, error: &AskError) -> Fault {
        told(error, self.hall.settings.is_kirimin_owner_404)
    }
}

/// What is no number names no group.
fn which(id: &str) -> Result<Which, Fault> {
    Ok(Which::Id(id.parse().map_err(|_| NO_GROUP)?))
}

/// The limit comes before the login (contract 3.2).
fn admit(hall: &Hall, request: &Request<'_>) -> Result<Caller, Fault> {
    let caller = auth::session(hall, request);
    let address = || request.peer.to_string();
    let who = caller.as_ref().map_or_else(address, |it| it.person.to_string());
    let take = || hall.windows.take(request.now, format!("kirimin {who}"), LIMIT);
    if !hall.settings.is_unlimited && take().requests.is_none() {
        return Err(BUSY);
    }
    caller.ok_or(UNAUTHORIZED)
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
fn told(error: &AskError, is_owner_404: bool) -> Fault {
    let owner = Fault(if is_owner_404 { 404 } else { 400 }, "GRPS_OWNER_FEATURE");
    let refusal = match error {
        AskError::Refused(refusal) => refusal,
        AskError::Busy => return BUSY,
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
    let users = picture.group.members.keys().filter_map(|id| picture.people.get(id));
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
