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

use super::{GroupAskError, GroupsApi, GroupsRequest, SignedInUser, header, limit::WindowLimit};
use crate::{
    api::reply,
    credentials::{BadToken, Bearer, Holder},
    group::{
        Ask, GroupRef, PersonId, PersonName, PersonRef, Rank, Refusal, UnixMillis, rule::Rule,
    },
};

/// What the service says instead: its status where it is polite, its code and that one's name.
struct BungieError(u16, i32, &'static str, &'static str);

const PARSE: BungieError =
    BungieError(400, 7, "ParameterParseFailure", "A parameter is not as it must be.");
const PLATFORM: BungieError =
    BungieError(400, 609, "GroupInvalidMembershipType", "The membership type is not valid.");
const NO_KEY: BungieError =
    BungieError(401, 2102, "ApiKeyMissingFromRequest", "The API key is missing.");
const BAD_KEY: BungieError =
    BungieError(401, 2101, "ApiInvalidOrExpiredKey", "The given Platform API Key is invalid.");
const EXPIRED: BungieError =
    BungieError(401, 2115, "OAuthAccessTokenExpired", "The access token has expired: refresh it.");
const SIGN_IN: BungieError = BungieError(401, 99, "WebAuthRequired", "Please sign-in to continue.");
const SCOPE: BungieError = BungieError(
    403,
    2108,
    "AccessNotPermittedByApplicationScope",
    "The token is not good for administering groups.",
);
const NO_ROUTE: BungieError = BungieError(404, 21, "NotFound", "There is nothing at this path.");
const WRONG_METHOD: BungieError =
    BungieError(405, 21, "NotFound", "The path is not for this method.");
const CRASH: BungieError = BungieError(500, 3, "UnhandledException", "Something went wrong.");
const BUSY: BungieError = BungieError(503, 5, "SystemDisabled", "Try again later.");
const CLAN: &str = "Your rank does not permit this.";
const NO_MEMBER: BungieError =
    BungieError(404, 611, "GroupMembershipNotFound", "There is no such member.");

/// Every platform that a member can be of (contract 1.3); -1 is for searches only.
const PLATFORMS: [i32; 10] = [1, 2, 3, 4, 5, 6, 10, 20, 254, 0];
/// Of the platform that all people are on: their own numbers.
const BUNGIE_NEXT: i32 = 254;
/// Requests of one API key (contract 1.5 has the codes, and no figures: these are what clients of
/// the real service count on, 25 a second).
const LIMIT: WindowLimit = WindowLimit { requests: 250, window: Duration::from_secs(10) };
/// A page of members.
const PAGE: usize = 50;

pub(super) async fn answer(api: &GroupsApi, request: &GroupsRequest<'_>) -> Response {
    let path: Vec<&str> = request.path.iter().skip(1).map(String::as_str).collect();
    if let ["App", "OAuth", last] = *path
        && last.eq_ignore_ascii_case("token")
    {
        return oauth::answer(api, request).await;
    }
    if let Err(wait) = count(api, request) {
        return throttle(wait);
    }
    match serve(api, request).await {
        Ok(value) => reply::json(
            StatusCode::OK,
            &json!({
                "Response": value, "ErrorCode": 1, "ThrottleSeconds": 0,
                "ErrorStatus": "Success", "Message": "Ok", "MessageData": {},
            }),
        ),
        Err(error) => refuse(api, &error),
    }
}

pub(super) fn crash(api: &GroupsApi) -> Response {
    refuse(api, &CRASH)
}

fn refuse(api: &GroupsApi, BungieError(status, code, name, message): &BungieError) -> Response {
    let status = match (api.settings.is_bungie_realistic, *status) {
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

fn count(api: &GroupsApi, request: &GroupsRequest<'_>) -> Result<(), Duration> {
    let Some(key) = header(request, "x-api-key").filter(|_| !api.settings.is_unlimited) else {
        return Ok(());
    };
    // Of the real keys; guesses are counted by address.
    if api.credentials.holder(api.memberships.now(), key).is_err() {
        return Ok(());
    }
    let left = api.windows.take(request.now, format!("bungie {key}"), LIMIT);
    left.requests.map(drop).ok_or(left.wait)
}

async fn serve(api: &GroupsApi, request: &GroupsRequest<'_>) -> Result<Value, BungieError> {
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
    let Ok(Holder { account, bearer: Bearer::Application }) = api.holder(request, key) else {
        return Err(BAD_KEY);
    };
    let group = GroupRef::Id(id.parse().map_err(|_| PARSE)?);

    if method == Method::GET && *below != ["Banned"] {
        let picture =
            api.picture(&account, Ask::Show(group)).await.map_err(|it| vendor_error(&it))?;
        return show::show(&picture, below, request);
    }
    let user = sign_in(api, request)?;
    if user.account != account {
        return Err(SIGN_IN);
    }
    if let ["Members", "Apply", _] = below {
        let ask = Ask::Apply { group, actor: user.person };
        api.ask(&account, ask).await.map_err(|it| vendor_error(&it))?;
        return Ok(json!({ "resolution": 0 }));
    }
    match user.is_admin_scope {
        true => administer(api, &user, group, below, request).await,
        false => Err(SCOPE),
    }
}

/// Who asks, if he shows a good token.
pub(super) fn signed_in(api: &GroupsApi, request: &GroupsRequest<'_>) -> Option<SignedInUser> {
    sign_in(api, request).ok()
}

fn sign_in(api: &GroupsApi, request: &GroupsRequest<'_>) -> Result<SignedInUser, BungieError> {
    let sent = header(request, "authorization").and_then(|it| it.split_once(' '));
    let (_, token) =
        sent.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).ok_or(SIGN_IN)?;
    api.bearer(request, token.trim()).map_err(|error| match error {
        BadToken::Unknown => SIGN_IN,
        BadToken::Expired => EXPIRED,
    })
}

async fn administer(
    api: &GroupsApi,
    user: &SignedInUser,
    group: GroupRef,
    below: &[&str],
    request: &GroupsRequest<'_>,
) -> Result<Value, BungieError> {
    let (actor, account) = (Some(user.person), &user.account);
    let picture = async |ask| api.picture(account, ask).await.map_err(|it| vendor_error(&it));
    let remove =
        async |ask| api.remove(request, account, ask).await.map_err(|it| vendor_error(&it));
    match *below {
        ["Banned"] => {
            let picture = picture(Ask::Show(group)).await?;
            let own = picture.group.members.get(&user.person).map(|it| it.rank);
            if own < Some(Rank::Admin) {
                return Err(vendor_error(&Refusal::RankTooLow.into()));
            }
            Ok(show::banned(api, account, &picture.group).await)
        }
        ["Members", platform, id, "Kick"] => {
            let (rule, reason) = (Rule::BUNGIE, "".into());
            let target = member(platform, id)?;
            let picture = remove(Ask::Remove { group, actor, target, rule, reason }).await?;
            Ok(show::kicked(api, &picture))
        }
        ["Members", platform, id, "Ban"] => {
            let target = member(platform, id)?;
            let params: BanParams = parse(request)?;
            let until = params.until(api.memberships.now())?;
            let (rule, reason) = (Rule::BUNGIE, params.comment.unwrap_or_default().into());
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
            for DeniedMembership { membership_type, membership_id } in
                parse::<DenyList>(request)?.memberships
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
fn member(platform: &str, id: &str) -> Result<PersonRef, BungieError> {
    let platform: i32 = platform.parse().map_err(|_| PARSE)?;
    let id: i64 = id.parse().map_err(|_| PARSE)?;
    if platform == 0 || !PLATFORMS.contains(&platform) {
        return Err(PLATFORM);
    }
    Ok(match (platform, u64::try_from(id)) {
        (BUNGIE_NEXT, Ok(id)) => PersonRef::Id(PersonId(id)),
        (platform, _) => PersonRef::Name(PersonName::Membership { platform, id }),
    })
}

#[derive(Deserialize)]
struct BanParams {
    comment: Option<String>,
    #[serde(default)]
    length: u32,
}

impl BanParams {
    /// By the numbers of `IgnoreLength` (contract 1.3).
    fn until(&self, now: UnixMillis) -> Result<Option<UnixMillis>, BungieError> {
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
        Ok(Some(UnixMillis(now.0 + length)))
    }
}

#[derive(Deserialize)]
struct DenyList {
    memberships: Vec<DeniedMembership>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DeniedMembership {
    membership_type: i32,
    membership_id: String,
}

fn parse<T: for<'a> Deserialize<'a>>(request: &GroupsRequest<'_>) -> Result<T, BungieError> {
    let body = request.body.as_ref().map_err(|_| PARSE)?;
    serde_json::from_slice(body).map_err(|_| PARSE)
}

/// What the machine or the actor said, as this service has it.
fn vendor_error(error: &GroupAskError) -> BungieError {
    let refusal = match error {
        GroupAskError::Refused(refusal) => refusal,
        GroupAskError::Busy => return BUSY,
        GroupAskError::Failed => return CRASH,
    };
    match refusal {
        Refusal::NoGroup => BungieError(404, 622, "GroupNotFound", "There is no such group."),
        Refusal::Closed => {
            BungieError(409, 690, "ClanInWrongStateForRequestedAction", "The group is closed.")
        }
        Refusal::ActorNotMember | Refusal::NoAccess | Refusal::RankTooLow => {
            BungieError(403, 687, "ClanMembershipLevelDoesNotPermitThatAction", CLAN)
        }
        Refusal::TargetUnknown | Refusal::TargetNotMember => NO_MEMBER,
        Refusal::LastOwner => BungieError(
            403,
            697,
            "ClanFounderCannotLeaveWithoutAbdication",
            "The founder has to give the group away first.",
        ),
        Refusal::SelfTarget => {
            BungieError(403, 696, "ClanInvalidOperation", "Leave instead of kicking yourself.")
        }
        Refusal::AlreadyMember => {
            BungieError(409, 696, "ClanInvalidOperation", "A member already.")
        }
        Refusal::Banned => BungieError(403, 623, "GroupMemberBanned", "Banned from this group."),
        Refusal::NotInvited => BungieError(403, 12, "InsufficientPrivileges", "Nobody may apply."),
        Refusal::NoApplication => NO_MEMBER,
        Refusal::Full => BungieError(409, 696, "ClanInvalidOperation", "The group is full."),
        Refusal::NameTaken => BungieError(409, 696, "ClanInvalidOperation", "The name is taken."),
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
