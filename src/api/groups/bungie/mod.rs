//! Bungie GroupV2 (contract 1): `/Platform/GroupV2/…`, an API key and a bearer token.

mod oauth;
mod show;

use std::time::Duration;

use axum::{
    http::{Method, StatusCode},
    response::Response,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{AskError, Caller, Hall, Request, header, limit::Limit};
use crate::{
    api::reply,
    credentials::{BadToken, Bearer, Holder},
    group::{Ask, At, Name, PersonId, Rank, Refusal, Which, Who, rule::Rule},
};

/// What the service says instead: its status where it is polite, its code and that one's name.
struct Fault(u16, i32, &'static str, &'static str);

const PARSE: Fault = Fault(400, 7, "ParameterParseFailure", "A parameter is not as it must be.");
const PLATFORM: Fault =
    Fault(400, 609, "GroupInvalidMembershipType", "The membership type is not valid.");
const NO_KEY: Fault = Fault(401, 2102, "ApiKeyMissingFromRequest", "The API key is missing.");
const BAD_KEY: Fault =
    Fault(401, 2101, "ApiInvalidOrExpiredKey", "The given Platform API Key is invalid.");
const EXPIRED: Fault =
    Fault(401, 2115, "OAuthAccessTokenExpired", "The access token has expired: refresh it.");
const SIGN_IN: Fault = Fault(401, 99, "WebAuthRequired", "Please sign-in to continue.");
const SCOPE: Fault = Fault(
    403,
    2108,
    "AccessNotPermittedByApplicationScope",
    "The token is not good for administering groups.",
);
const NO_ROUTE: Fault = Fault(404, 21, "NotFound", "There is nothing at this path.");
const WRONG_METHOD: Fault = Fault(405, 21, "NotFound", "The path is not for this method.");
const CRASH: Fault = Fault(500, 3, "UnhandledException", "Something went wrong.");
const BUSY: Fault = Fault(503, 5, "SystemDisabled", "Try again later.");
const CLAN: &str = "Your rank does not permit this.";
const NO_MEMBER: Fault = Fault(404, 611, "GroupMembershipNotFound", "There is no such member.");

/// Every platform that a member can be of (contract 1.3); -1 is for searches only.
const PLATFORMS: [i32; 10] = [1, 2, 3, 4, 5, 6, 10, 20, 254, 0];
/// Of the platform that all people are on: their own numbers.
const BUNGIE_NEXT: i32 = 254;
/// Requests of one API key (contract 1.5 has the codes, and no figures: these are what clients of
/// the real service count on, 25 a second).
const LIMIT: Limit = Limit { requests: 250, window: Duration::from_secs(10) };
/// A page of members.
const PAGE: usize = 50;

pub(super) async fn answer(hall: &Hall, request: &Request<'_>) -> Response {
    let path: Vec<&str> = request.path.iter().skip(1).map(String::as_str).collect();
    if let ["App", "OAuth", last] = *path
        && last.eq_ignore_ascii_case("token")
    {
        return oauth::answer(hall, request).await;
    }
    if let Err(wait) = count(hall, request) {
        return throttle(wait);
    }
    match serve(hall, request).await {
        Ok(value) => reply::json(
            StatusCode::OK,
            &json!({
                "Response": value, "ErrorCode": 1, "ThrottleSeconds": 0,
                "ErrorStatus": "Success", "Message": "Ok", "MessageData": {},
            }),
        ),
        Err(fault) => refuse(hall, &fault),
    }
}

pub(super) fn crash(hall: &Hall) -> Response {
    refuse(hall, &CRASH)
}

fn refuse(hall: &Hall, Fault(status, code, name, message): &Fault) -> Response {
    let status = match (hall.settings.is_bungie_realistic, *status) {
        // What it answers whatever is wrong, but for methods and overload (contract 1.5).
        (true, 400..405) => 500,
        (_, status) => status,
    };
    let status = StatusCode::from_u16(status).expect("it is one of ours");
    reply::json(
        status,
        &json!({
            "ErrorCode": code, "ThrottleSeconds": 0, "ErrorStatus": name,
            "Message": message, "MessageData": {},
        }),
    )
}

/// Too much at once, whoever asks.
pub(super) fn throttle(wait: Duration) -> Response {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    reply::json(
        StatusCode::TOO_MANY_REQUESTS,
        &json!({
            "ErrorCode": 37, "ThrottleSeconds": seconds,
            "ErrorStatus": "ThrottleLimitExceededSeconds",
            "Message": "Too many requests: slow down.", "MessageData": {},
        }),
    )
}

fn count(hall: &Hall, request: &Request<'_>) -> Result<(), Duration> {
    let Some(key) = header(request, "x-api-key").filter(|_| !hall.settings.is_unlimited) else {
        return Ok(());
    };
    // Of the real keys; guesses are counted by address.
    if hall.credentials.holder(hall.memberships.now(), key).is_err() {
        return Ok(());
    }
    let left = hall.windows.take(request.now, format!("bungie {key}"), LIMIT);
    left.requests.map(drop).ok_or(left.wait)
}

async fn serve(hall: &Hall, request: &Request<'_>) -> Result<Value, Fault> {
    let path: Vec<&str> = request.path.iter().skip(1).map(String::as_str).collect();
    let ["GroupV2", id, below @ ..] = &*path else { return Err(NO_ROUTE) };
    let method = match below {
        [] | ["Members" | "AdminsAndFounder" | "Banned"] => Method::GET,
        ["Members", _, _, "Kick" | "Ban" | "Unban"]
        | ["Members", _, _, "SetMembershipType", _]
        | ["Members", "Apply", _]
        | ["Members", "Approve", _, _]
        | ["Members", "DenyList"] => Method::POST,
        _ => return Err(NO_ROUTE),
    };
    if *request.method != method {
        return Err(WRONG_METHOD);
    }
    let key = header(request, "x-api-key").ok_or(NO_KEY)?;
    let Ok(Holder { account, bearer: Bearer::Application }) = hall.holder(request, key) else {
        return Err(BAD_KEY);
    };
    let group = Which::Id(id.parse().map_err(|_| PARSE)?);

    if method == Method::GET && *below != ["Banned"] {
        let picture = hall.picture(&account, Ask::Show(group)).await.map_err(|it| told(&it))?;
        return show::show(&picture, below, request);
    }
    let caller = sign_in(hall, request)?;
    if caller.account != account {
        return Err(SIGN_IN);
    }
    if let ["Members", "Apply", _] = below {
        let ask = Ask::Apply { group, actor: caller.person };
        hall.ask(&account, ask).await.map_err(|it| told(&it))?;
        return Ok(json!({ "resolution": 0 }));
    }
    match caller.is_admin_scope {
        true => administer(hall, &caller, group, below, request).await,
        false => Err(SCOPE),
    }
}

/// Who asks, if he shows a good token.
pub(super) fn caller(hall: &Hall, request: &Request<'_>) -> Option<Caller> {
    sign_in(hall, request).ok()
}

fn sign_in(hall: &Hall, request: &Request<'_>) -> Result<Caller, Fault> {
    let sent = header(request, "authorization").and_then(|it| it.split_once(' '));
    let (_, token) =
        sent.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).ok_or(SIGN_IN)?;
    hall.bearer(request, token.trim()).map_err(|error| match error {
        BadToken::Unknown => SIGN_IN,
        BadToken::Expired => EXPIRED,
    })
}

async fn administer(
    hall: &Hall,
    caller: &Caller,
    group: Which,
    below: &[&str],
    request: &Request<'_>,
) -> Result<Value, Fault> {
    let (actor, account) = (Some(caller.person), &caller.account);
    let picture = async |ask| hall.picture(account, ask).await.map_err(|it| told(&it));
    let remove = async |ask| hall.remove(request, account, ask).await.map_err(|it| told(&it));
    match *below {
        ["Banned"] => {
            let picture = picture(Ask::Show(group)).await?;
            let own = picture.group.members.get(&caller.person).map(|it| it.rank);
            if own < Some(Rank::Admin) {
                return Err(told(&Refusal::RankTooLow.into()));
            }
            Ok(show::banned(hall, account, &picture.group).await)
        }
        ["Members", platform, id, "Kick"] => {
            let (rule, reason) = (Rule::BUNGIE, "".into());
            let target = member(platform, id)?;
            let picture = remove(Ask::Remove { group, actor, target, rule, reason }).await?;
            Ok(show::kicked(hall, &picture))
        }
        ["Members", platform, id, "Ban"] => {
            let target = member(platform, id)?;
            let wish: Ban = parse(request)?;
            let until = wish.until(hall.memberships.now())?;
            let (rule, reason) = (Rule::BUNGIE, wish.comment.unwrap_or_default().into());
            remove(Ask::Ban { group, actor, target, rule, reason, until }).await?;
            Ok(json!(0))
        }
        ["Members", platform, id, "Unban"] => {
            let target = member(platform, id)?;
            picture(Ask::Unban { group, actor, target }).await?;
            Ok(json!(0))
        }
        ["Members", platform, id, "SetMembershipType", rank] => {
            let target = member(platform, id)?;
            let rank = rank.parse().ok().and_then(rank_of).ok_or(PARSE)?;
            picture(Ask::SetRank { group, actor, target, rank }).await?;
            Ok(json!(0))
        }
        ["Members", "Approve", platform, id] => {
            let target = member(platform, id)?;
            picture(Ask::Decide { group, actor, target, is_approved: true }).await?;
            Ok(json!(true))
        }
        ["Members", "DenyList"] => {
            let mut denied = Vec::new();
            for Membership { membership_type, membership_id } in parse::<List>(request)?.memberships
            {
                let target = member(&membership_type.to_string(), &membership_id)?;
                let (group, is_approved) = (group.clone(), false);
                picture(Ask::Decide { group, actor, target, is_approved }).await?;
                denied.push(json!({ "entityId": membership_id, "result": 1 }));
            }
            Ok(json!(denied))
        }
        _ => Err(NO_ROUTE),
    }
}

/// Whom a platform's number means.
fn member(platform: &str, id: &str) -> Result<Who, Fault> {
    let platform: i32 = platform.parse().map_err(|_| PARSE)?;
    let id: i64 = id.parse().map_err(|_| PARSE)?;
    if platform == 0 || !PLATFORMS.contains(&platform) {
        return Err(PLATFORM);
    }
    Ok(match (platform, u64::try_from(id)) {
        (BUNGIE_NEXT, Ok(id)) => Who::Id(PersonId(id)),
        (platform, _) => Who::Name(Name::Membership { platform, id }),
    })
}

#[derive(Deserialize)]
struct Ban {
    comment: Option<String>,
    #[serde(default)]
    length: u32,
}

impl Ban {
    /// By the numbers of `IgnoreLength` (contract 1.3).
    fn until(&self, now: At) -> Result<Option<At>, Fault> {
        const MINUTE: u64 = 60_000;
        const DAY: u64 = 24 * 60 * MINUTE;
        let length = match self.length {
            0 => 0,
            1 => 7 * DAY,
            2 => 14 * DAY,
            3 => 21 * DAY,
            4 | 11 => 30 * DAY,
            5 => 91 * DAY,
            6 => 182 * DAY,
            7 => 365 * DAY,
            8 => return Ok(None),
            9 => 3 * MINUTE,
            10 => 60 * MINUTE,
            _ => return Err(PARSE),
        };
        Ok(Some(At(now.0 + length)))
    }
}

#[derive(Deserialize)]
struct List {
    memberships: Vec<Membership>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Membership {
    membership_type: i32,
    membership_id: String,
}

fn parse<T: for<'a> Deserialize<'a>>(request: &Request<'_>) -> Result<T, Fault> {
    let body = request.body.as_ref().map_err(|_| PARSE)?;
    serde_json::from_slice(body).map_err(|_| PARSE)
}

/// What the machine or the actor said, as this service has it.
fn told(error: &AskError) -> Fault {
    let refusal = match error {
        AskError::Refused(refusal) => refusal,
        AskError::Busy => return BUSY,
        AskError::Failed => return CRASH,
    };
    match refusal {
        Refusal::NoGroup => Fault(404, 622, "GroupNotFound", "There is no such group."),
        Refusal::Closed => {
            Fault(409, 690, "ClanInWrongStateForRequestedAction", "The group is closed.")
        }
        Refusal::ActorNotMember | Refusal::NoAccess | Refusal::RankTooLow => {
            Fault(403, 687, "ClanMembershipLevelDoesNotPermitThatAction", CLAN)
        }
        Refusal::TargetUnknown | Refusal::TargetNotMember => NO_MEMBER,
        Refusal::LastOwner => Fault(
            403,
            697,
            "ClanFounderCannotLeaveWithoutAbdication",
            "The founder has to give the group away first.",
        ),
        Refusal::SelfTarget => {
            Fault(403, 696, "ClanInvalidOperation", "Leave instead of kicking yourself.")
        }
        Refusal::AlreadyMember => Fault(409, 696, "ClanInvalidOperation", "A member already."),
        Refusal::Banned => Fault(403, 623, "GroupMemberBanned", "Banned from this group."),
        Refusal::NotInvited => Fault(403, 12, "InsufficientPrivileges", "Nobody may apply."),
        Refusal::NoApplication => NO_MEMBER,
        Refusal::Full => Fault(409, 696, "ClanInvalidOperation", "The group is full."),
        Refusal::NameTaken => Fault(409, 696, "ClanInvalidOperation", "The name is taken."),
    }
}

/// `RuntimeGroupMemberType` (contract 1.3).
fn number_of(rank: Rank) -> i32 {
    match rank {
        Rank::Beginner => 1,
        Rank::Member => 2,
        Rank::Admin => 3,
        Rank::Acting => 4,
        Rank::Owner => 5,
    }
}

fn rank_of(number: i32) -> Option<Rank> {
    Rank::ALL.into_iter().find(|rank| number_of(*rank) == number)
}
