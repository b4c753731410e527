//! Bungie GroupV2 (contract 1): `/Platform/GroupV2/…`, an API key and a bearer token.

use axum::{
    http::{Method, StatusCode},
    response::Response,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{AskError, Caller, Hall, Request, header, time::iso};
use crate::{
    api::reply,
    credentials::{Bearer, Holder},
    group::{
        Ask, At, Door, Group, GroupId, Member, Name, Person, PersonId, Picture, Rank, Refusal,
        Which, Who, rule::Rule,
    },
};

/// What the service says instead: its status where it is polite, its code and that one's name.
struct Fault(u16, i32, &'static str, &'static str);

const PARSE: Fault = Fault(400, 7, "ParameterParseFailure", "A parameter is not as it must be.");
const PLATFORM: Fault =
    Fault(400, 609, "GroupInvalidMembershipType", "The membership type is not valid.");
const NO_KEY: Fault = Fault(401, 2102, "ApiKeyMissingFromRequest", "The API key is missing.");
const BAD_KEY: Fault =
    Fault(401, 2101, "ApiInvalidOrExpiredKey", "The given Platform API Key is invalid.");
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
/// A page of members.
const PAGE: usize = 50;

pub(super) async fn answer(hall: &Hall, request: &Request<'_>) -> Response {
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
        return show(&picture, below, request);
    }
    let caller = sign_in(hall, request).filter(|it| it.account == account).ok_or(SIGN_IN)?;
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

pub(super) fn sign_in(hall: &Hall, request: &Request<'_>) -> Option<Caller> {
    let (scheme, token) = header(request, "authorization")?.split_once(' ')?;
    let is_bearer = scheme.eq_ignore_ascii_case("bearer");
    is_bearer.then(|| hall.bearer(request, token.trim()).ok()).flatten()
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
            Ok(banned(hall, account, &picture.group).await)
        }
        ["Members", platform, id, "Kick"] => {
            let (rule, reason) = (Rule::BUNGIE, "".into());
            let target = member(platform, id)?;
            let picture = remove(Ask::Remove { group, actor, target, rule, reason }).await?;
            Ok(kicked(hall, &picture))
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

fn kicked(hall: &Hall, picture: &Picture) -> Value {
    let group = group(picture);
    let mut result = json!({ "group": group, "groupDeleted": picture.group.head.is_closed });
    if hall.settings.is_bungie_superset {
        result["detail"] = result["group"].clone();
        result["founder"] = founder(picture);
    }
    result
}

fn show(picture: &Picture, below: &[&str], request: &Request<'_>) -> Result<Value, Fault> {
    let number = |name| request.query.get(name).map_or(Ok(0), |it| it.parse::<usize>());
    let (page, kind) = (number("currentpage").map_err(|_| PARSE)?, number("memberType"));
    let name = request.query.get("nameSearch").map(|it| it.to_lowercase()).unwrap_or_default();
    let rank_min = match below {
        ["AdminsAndFounder"] => Rank::Admin,
        _ => Rank::Beginner,
    };
    if below.is_empty() {
        return Ok(json!({
            "detail": group(picture), "founder": founder(picture), "alliedIds": [],
            "parentGroup": null, "allianceStatus": 0, "groupJoinInviteCount": 0,
            "currentUserMembershipsInactiveForDestiny": false,
            "currentUserMemberMap": {}, "currentUserPotentialMemberMap": {},
        }));
    }
    let kind = kind.map_err(|_| PARSE)?;
    let is_meant = |(id, it): &(&PersonId, &Member)| {
        let is_named = |person: &Person| person.username.to_lowercase().contains(&name);
        rank_min <= it.rank
            && (kind == 0 || usize::try_from(number_of(it.rank)) == Ok(kind))
            && picture.people.get(id).is_some_and(is_named)
    };
    let found: Vec<_> = picture.group.members.iter().filter(is_meant).collect();
    let page = page.max(1);
    let start = (page - 1).saturating_mul(PAGE).min(found.len());
    let end = (start + PAGE).min(found.len());
    let shown = found[start..end].iter();
    Ok(json!({
        "results": shown.map(|(id, it)| card(picture, **id, it)).collect::<Vec<_>>(),
        "totalResults": found.len(), "hasMore": end < found.len(),
        "query": { "itemsPerPage": PAGE, "currentPage": page }, "useTotalResults": true,
    }))
}

async fn banned(hall: &Hall, account: &crate::ids::AccountId, group: &Group) -> Value {
    let mut results = Vec::new();
    for (id, ban) in &group.bans {
        let Ok(person) = hall.person(account, Who::Id(*id)).await else { continue };
        let by = ban.by.map(|it| it.to_string());
        results.push(json!({
            "groupId": group.head.id.to_string(), "lastModifiedBy": by, "createdBy": by,
            "dateBanned": iso(ban.from), "dateExpires": ban.until.map(iso),
            "comment": ban.reason, "bungieNetUserInfo": next_card(&person),
            "destinyUserInfo": user_card(&person),
        }));
    }
    let query = json!({ "itemsPerPage": PAGE, "currentPage": 1 });
    json!({
        "totalResults": results.len(), "results": results, "hasMore": false, "query": query,
        "useTotalResults": true,
    })
}

fn founder(picture: &Picture) -> Value {
    let is_owner = |(_, it): &(&PersonId, &Member)| it.rank == Rank::Owner;
    let founder = picture.group.members.iter().find(is_owner);
    founder.map_or(Value::Null, |(id, it)| card(picture, *id, it))
}

/// `GroupMember`.
fn card(picture: &Picture, id: PersonId, member: &Member) -> Value {
    let person = &picture.people[&id];
    json!({
        "memberType": number_of(member.rank), "isOnline": false,
        "lastOnlineStatusChange": (member.joined.0 / 1_000).to_string(),
        "groupId": picture.group.head.id.to_string(), "joinDate": iso(member.joined),
        "destinyUserInfo": user_card(person), "bungieNetUserInfo": next_card(person),
    })
}

/// On the platform that is his first one, else on Bungie's own.
fn user_card(person: &Person) -> Value {
    let platform = person.names.iter().find_map(|name| match name {
        Name::Membership { platform, id } => Some((*platform, id.to_string())),
        Name::Username(_)
        | Name::Mobile(_)
        | Name::Email(_)
        | Name::ExternalId(_)
        | Name::CardNumber(_)
        | Name::CardExternalId(_)
        | Name::SipUser(_)
        | Name::Caller(_) => None,
    });
    let (platform, id) = platform.unwrap_or_else(|| (BUNGIE_NEXT, person.id.to_string()));
    json!({
        "LastSeenDisplayName": person.username, "LastSeenDisplayNameType": platform,
        "iconPath": "", "crossSaveOverride": 0, "applicableMembershipTypes": [platform],
        "isPublic": true, "membershipType": platform, "membershipId": id,
        "displayName": person.username, "bungieGlobalDisplayName": person.username,
        "bungieGlobalDisplayNameCode": 0,
    })
}

fn next_card(person: &Person) -> Value {
    json!({
        "supplementalDisplayName": person.username, "iconPath": "", "crossSaveOverride": 0,
        "isPublic": true, "membershipType": BUNGIE_NEXT, "membershipId": person.id.to_string(),
        "displayName": person.username,
    })
}

/// `GroupV2`, with the keys in the documented order of kinds (contract 1.2).
fn group(picture: &Picture) -> Value {
    let Group { head, members, .. } = &picture.group;
    let creator = head.creator.map_or_else(|| "0".to_owned(), |it| it.to_string());
    let GroupId(id) = head.id;
    json!({
        "groupId": id.to_string(), "name": head.name, "groupType": 1,
        "membershipIdCreated": creator, "creationDate": iso(head.created),
        "modificationDate": iso(head.modified), "about": "", "tags": [],
        "memberCount": members.len(), "isPublic": true, "isPublicTopicAdminOnly": false,
        "primaryAlliedGroupId": "0", "motto": "", "allowChat": true, "isDefaultPostPublic": false, "chatSecurity": 0,
        "locale": "en", "avatarImageIndex": 0, "homepage": 0,
        "membershipOption": match head.door { Door::Reviewed => 0, Door::Open => 1, Door::Closed => 2 },
        "defaultPublicity": 2, "theme": "", "bannerPath": "", "avatarPath": "",
        "isAllianceOwner": false, "conversationId": "0", "enableInvitationMessagingForAdmins": false,
        "banExpireDate": null, "remoteGroupId": null,
        "features": {
            "maximumMembers": head.members_max, "maximumMembershipsOfGroupType": 1,
            "capabilities": 31, "membershipTypes": [1, 2, 3, 4, 5, 6, 10, BUNGIE_NEXT],
            "invitePermissionOverride": false, "updateCulturePermissionOverride": false,
            "hostGuidedGamePermissionOverride": 0, "updateBannerPermissionOverride": false,
            "joinLevel": number_of(Rank::Beginner),
        },
        "clanInfo": {
            "d2ClanProgressions": {}, "clanCallsign": "",
            "clanBannerData": {
                "decalId": 0, "decalColorId": 0, "decalBackgroundColorId": 0, "gonfalonId": 0,
                "gonfalonColorId": 0, "gonfalonDetailId": 0, "gonfalonDetailColorId": 0,
            },
        },
    })
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
