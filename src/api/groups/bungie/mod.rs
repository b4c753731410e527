//! Bungie GroupV2 (contract 1): `/Platform/GroupV2/…`, with an API key and a bearer token.

mod endpoints;
mod oauth;
mod show;

use std::time::Duration;

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::json;

pub(in crate::api) use self::endpoints::ENDPOINTS;
use super::{
    GroupAskError, GroupsApi, GroupsRequest, SignedInUser, header, rate_limit::WindowLimit,
};
use crate::{
    api::{context::RequestContext, failure::rounded_up, path_row::PathRow, reply},
    base::ids::AccountId,
    credentials::{BadToken, Bearer, Holder},
    group::{GroupRef, PersonId, PersonName, PersonRef, Rank, Refusal, UnixMillis},
};

/// HTTP status (unless `bungie.status` overrides it), error code, its name, and the message.
#[derive(Clone, Copy)]
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
const CODING: BungieError =
    BungieError(415, 7, "ParameterParseFailure", "Send the body without Content-Encoding.");
const CRASH: BungieError = BungieError(500, 3, "UnhandledException", "Something went wrong.");
const BUSY: BungieError = BungieError(503, 5, "SystemDisabled", "Try again later.");
const CLAN: &str = "Your rank does not permit this.";
const NO_MEMBER: BungieError =
    BungieError(404, 611, "GroupMembershipNotFound", "There is no such member.");

/// Membership types (contract 1.3), without -1, which is for searches only.
const PLATFORMS: [i32; 10] = [1, 2, 3, 4, 5, 6, 10, 20, 254, 0];
/// Membership type of Bungie.net. All people have it, with conflow's own number.
const BUNGIE_NEXT: i32 = 254;
/// Requests of one API key. Contract 1.5 has the codes but no figures: clients of the real service
/// rely on 25 a second.
const LIMIT: WindowLimit = WindowLimit { requests: 250, window: Duration::from_secs(10) };
/// Members on a page.
const PAGE: usize = 50;

/// Writes the body of an error that a handler left in the extensions, as the settings require.
pub(super) fn answer(api: &GroupsApi, mut response: Response) -> Response {
    match response.extensions_mut().remove::<BungieError>() {
        Some(error) => refuse(api, &error),
        None => response,
    }
}

/// Reason why a call has no result.
enum Refused {
    Error(BungieError),
    Throttled(Duration),
}

impl From<BungieError> for Refused {
    fn from(error: BungieError) -> Self {
        Self::Error(error)
    }
}

/// An error travels in the extensions of an empty response; [`answer`] writes the body.
impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        match self {
            Self::Error(error) => {
                let mut response = Response::default();
                response.extensions_mut().insert(error);
                response
            }
            Self::Throttled(wait) => throttle(wait),
        }
    }
}

pub(super) fn not_found(api: &GroupsApi, context: &RequestContext) -> Response {
    count(api, context).err().unwrap_or(Refused::Error(NO_ROUTE)).into_response()
}

pub(super) fn wrong_method(api: &GroupsApi, path: &PathRow, context: &RequestContext) -> Response {
    match path.pattern == oauth::PATTERN {
        true => oauth::wrong_method(),
        false => count(api, context).err().unwrap_or(Refused::Error(WRONG_METHOD)).into_response(),
    }
}

pub(super) fn crash(api: &GroupsApi) -> Response {
    refuse(api, &CRASH)
}

/// The response to a compressed body.
pub(super) fn refuse_coding() -> Response {
    write(StatusCode::UNSUPPORTED_MEDIA_TYPE, &CODING)
}

fn refuse(api: &GroupsApi, error: &BungieError) -> Response {
    let status = match (api.settings.is_bungie_realistic, error.0) {
        // The real service sends 500 for all errors but wrong methods and overload (contract 1.5).
        (true, 400..405) => 500,
        (_, status) => status,
    };
    write(StatusCode::from_u16(status).expect("errors have valid statuses"), error)
}

fn write(status: StatusCode, BungieError(_, code, name, message): &BungieError) -> Response {
    reply::json(
        status,
        &json!({
            "ErrorCode": code, "ThrottleSeconds": 0, "ErrorStatus": name,
            "Message": message, "MessageData": {},
        }),
    )
}

/// The response to a key over its limit, and to an address with too many failed logins.
pub(super) fn throttle(wait: Duration) -> Response {
    let seconds = rounded_up(wait);
    reply::json(
        StatusCode::TOO_MANY_REQUESTS,
        &json!({
            "ErrorCode": 37, "ThrottleSeconds": seconds,
            "ErrorStatus": "ThrottleLimitExceededSeconds",
            "Message": "Too many requests: slow down.", "MessageData": {},
        }),
    )
}

/// Counts a call against its API key. All calls count except token requests, even unknown paths.
fn count(api: &GroupsApi, context: &RequestContext) -> Result<(), Refused> {
    let key = context.headers.get("x-api-key").and_then(|it| it.to_str().ok());
    let Some(key) = key.filter(|_| !api.settings.is_unlimited) else { return Ok(()) };
    // Only valid keys are counted here; guesses are counted by address.
    if api.known_holder(key).is_err() {
        return Ok(());
    }
    let left = api.windows.take(context.now, format!("bungie {key}"), LIMIT);
    left.requests.map(drop).ok_or(Refused::Throttled(left.wait))
}

/// Counts and authenticates a call: the account of its API key, and the group of the path.
fn enter(
    api: &GroupsApi,
    request: &GroupsRequest,
    group: &str,
) -> Result<(AccountId, GroupRef), Refused> {
    let account = enter_account(api, request)?;
    Ok((account, GroupRef::Id(group.parse().map_err(|_| PARSE)?)))
}

/// Counts a call, and finds the account of its API key.
fn enter_account(api: &GroupsApi, request: &GroupsRequest) -> Result<AccountId, Refused> {
    count(api, &request.context)?;
    let key = header(request, "x-api-key").ok_or(NO_KEY)?;
    let Ok(Holder { account, bearer: Bearer::Application }) = api.holder(request, key, None) else {
        return Err(BAD_KEY.into());
    };
    Ok(account)
}

/// Like [`enter`], with the signed-in person, who must be of the key's account.
fn enter_signed_in(
    api: &GroupsApi,
    request: &GroupsRequest,
    group: &str,
) -> Result<(SignedInUser, GroupRef), Refused> {
    let (account, group) = enter(api, request, group)?;
    let user = sign_in(api, request)?;
    match user.account == account {
        true => Ok((user, group)),
        false => Err(SIGN_IN.into()),
    }
}

/// The person who asks, if their token is valid.
pub(super) fn signed_in(api: &GroupsApi, request: &GroupsRequest) -> Option<SignedInUser> {
    sign_in(api, request).ok()
}

fn sign_in(api: &GroupsApi, request: &GroupsRequest) -> Result<SignedInUser, BungieError> {
    let sent = header(request, "authorization").and_then(|it| it.split_once(' '));
    let (_, token) =
        sent.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).ok_or(SIGN_IN)?;
    api.bearer(request, token.trim(), None).map_err(|error| match error {
        BadToken::Unknown => SIGN_IN,
        BadToken::Expired => EXPIRED,
    })
}

/// The person with this number on this platform.
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
    /// The end of the ban by `IgnoreLength` (contract 1.3). None: it does not end.
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
struct MembershipList {
    memberships: Vec<ListedMembership>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListedMembership {
    membership_type: i32,
    membership_id: String,
}

fn parse<T: for<'a> Deserialize<'a>>(request: &GroupsRequest) -> Result<T, BungieError> {
    let body = request.body.as_ref().map_err(|_| PARSE)?;
    serde_json::from_slice(body).map_err(|_| PARSE)
}

/// Maps a refusal or failure to Bungie's error.
fn vendor_error(error: &GroupAskError) -> BungieError {
    let refusal = match error {
        GroupAskError::Refused(refusal) => refusal,
        GroupAskError::Busy => return BUSY,
        GroupAskError::Failed => return CRASH,
        GroupAskError::NotStored(error) => {
            return BungieError(503, 5, "SystemDisabled", error.text());
        }
    };
    match refusal {
        Refusal::NoGroup | Refusal::OtherGroup => {
            BungieError(404, 622, "GroupNotFound", "There is no such group.")
        }
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
        Refusal::HasOwner | Refusal::OwnsTooMany => {
            BungieError(409, 696, "ClanInvalidOperation", "Not in this group.")
        }
    }
}

/// The rank as `RuntimeGroupMemberType` (contract 1.3).
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
