//! Bungie's JSON of groups and their members (contract 1.2). 64-bit numbers are strings.

use serde_json::{Value, json};

use super::{BUNGIE_NEXT, BungieError, PAGE, PARSE, number_of};
use crate::{
    api::groups::{GroupsApi, GroupsRequest, time::iso},
    group::{
        Group, GroupId, GroupMember, GroupSnapshot, JoinPolicy, Pending, Person, PersonId,
        PersonName, PersonRef, Rank,
    },
};

pub(super) fn kicked(api: &GroupsApi, snapshot: &GroupSnapshot) -> Value {
    let group = group(snapshot);
    let mut result = json!({ "group": group, "groupDeleted": snapshot.group.info.is_closed });
    if api.settings.is_bungie_superset {
        result["detail"] = result["group"].clone();
        result["founder"] = founder(snapshot);
    }
    result
}

/// The response of `GetGroup`.
pub(super) fn show(snapshot: &GroupSnapshot) -> Value {
    json!({
        "detail": group(snapshot), "founder": founder(snapshot), "alliedIds": [],
        "parentGroup": null, "allianceStatus": 0, "groupJoinInviteCount": 0,
        "currentUserMembershipsInactiveForDestiny": false,
        "currentUserMemberMap": {}, "currentUserPotentialMemberMap": {},
    })
}

/// The page number of the query; 0 if there is none.
pub(super) fn page(request: &GroupsRequest) -> Result<usize, BungieError> {
    number(request, "currentpage")
}

fn number(request: &GroupsRequest, name: &str) -> Result<usize, BungieError> {
    request.query.get(name).map_or(Ok(0), |it| it.parse().map_err(|_| PARSE))
}

/// A page of the members with at least this rank.
pub(super) fn members(
    snapshot: &GroupSnapshot,
    rank_min: Rank,
    request: &GroupsRequest,
) -> Result<Value, BungieError> {
    let (page, kind) = (page(request)?, number(request, "memberType")?);
    let name = request.query.get("nameSearch").map(|it| it.to_lowercase()).unwrap_or_default();
    let is_meant = |(id, it): &(&PersonId, &GroupMember)| {
        let is_named = |person: &Person| person.username.to_lowercase().contains(&name);
        rank_min <= it.rank
            && (kind == 0 || usize::try_from(number_of(it.rank)) == Ok(kind))
            && snapshot.people.get(id).is_some_and(|it| is_named(it))
    };
    let found: Vec<_> = snapshot.group.members.iter().filter(is_meant).collect();
    let page = page.max(1);
    let start = (page - 1).saturating_mul(PAGE).min(found.len());
    let end = (start + PAGE).min(found.len());
    let shown = found[start..end].iter();
    Ok(json!({
        "results": shown.map(|(id, it)| card(snapshot, **id, it)).collect::<Vec<_>>(),
        "totalResults": found.len(), "hasMore": end < found.len(),
        "query": { "itemsPerPage": PAGE, "currentPage": page }, "useTotalResults": true,
    }))
}

pub(super) async fn banned(
    api: &GroupsApi,
    account: &crate::base::ids::AccountId,
    group: &Group,
) -> Value {
    let mut results = Vec::new();
    for (id, ban) in group.bans.iter() {
        let Ok(person) = api.person(account, PersonRef::Id(*id)).await else { continue };
        let by = ban.by.map(|it| it.to_string());
        results.push(json!({
            "groupId": group.info.id.to_string(), "lastModifiedBy": by, "createdBy": by,
            "dateBanned": iso(ban.from), "dateExpires": ban.until.map(iso),
            "comment": ban.reason, "bungieNetUserInfo": next_card(&person),
            "destinyUserInfo": user_card(&person),
        }));
    }
    whole_list(results)
}

/// Whether a membership waits for an admin's decision.
pub(super) fn is_applied(pending: &Pending) -> bool {
    matches!(pending, Pending::Applied(_))
}

/// All that wait: applications, or invitations.
pub(super) fn waiting(snapshot: &GroupSnapshot, is_invited: bool) -> Value {
    let waiting = snapshot.group.applications.iter();
    let waiting = waiting.filter(|(_, it)| is_applied(it) != is_invited);
    let card = |(id, pending): (&PersonId, &Pending)| {
        let person = snapshot.people.get(id)?;
        let (Pending::Applied(at) | Pending::Invited { at, .. }) = *pending;
        Some(json!({
            "groupId": snapshot.group.info.id.to_string(), "creationDate": iso(at),
            "resolveState": 0, "resolveDate": null, "resolvedByMembershipId": null,
            "requestMessage": "", "resolveMessage": "",
            "destinyUserInfo": user_card(person), "bungieNetUserInfo": next_card(person),
        }))
    };
    whole_list(waiting.filter_map(card).collect())
}

/// The groups of a person: all, those that they founded, or the others; all groups are clans.
pub(super) fn groups(
    groups: &[GroupSnapshot],
    person: PersonId,
    filter: &str,
    kind: &str,
) -> Result<Value, BungieError> {
    let is_meant = |it: &&GroupSnapshot| {
        let is_founded = it.group.info.creator == Some(person);
        kind == "1" && (filter == "0" || (filter == "1") == is_founded)
    };
    if !["0", "1", "2"].contains(&filter) || !["0", "1"].contains(&kind) {
        return Err(PARSE);
    }
    let meant: Vec<_> = groups.iter().filter(is_meant).collect();
    let both = |it: &&GroupSnapshot| {
        let member = it.group.members.get(&person)?;
        Some(json!({ "member": card(it, person, member), "group": group(it) }))
    };
    let mut list = whole_list(meant.iter().filter_map(both).collect());
    let inactive = meant.iter().map(|it| (it.group.info.id.to_string(), false.into()));
    list["areAllMembershipsInactive"] = Value::Object(inactive.collect());
    Ok(list)
}

/// A list that is one page.
fn whole_list(results: Vec<Value>) -> Value {
    json!({
        "totalResults": results.len(), "results": results, "hasMore": false,
        "query": { "itemsPerPage": PAGE, "currentPage": 1 }, "useTotalResults": true,
    })
}

fn founder(snapshot: &GroupSnapshot) -> Value {
    let is_owner = |(_, it): &(&PersonId, &GroupMember)| it.rank == Rank::Owner;
    let founder = snapshot.group.members.iter().find(is_owner);
    founder.map_or(Value::Null, |(id, it)| card(snapshot, *id, it))
}

/// A member as Bungie's `GroupMember`.
fn card(snapshot: &GroupSnapshot, id: PersonId, member: &GroupMember) -> Value {
    let person = &snapshot.people[&id];
    json!({
        "memberType": number_of(member.rank), "isOnline": false,
        "lastOnlineStatusChange": (member.joined.0 / 1_000).to_string(),
        "groupId": snapshot.group.info.id.to_string(), "joinDate": iso(member.joined),
        "destinyUserInfo": user_card(person), "bungieNetUserInfo": next_card(person),
    })
}

/// The person on their first platform, or on Bungie.net if they have none.
fn user_card(person: &Person) -> Value {
    let platform = person.names.iter().find_map(|name| match name {
        PersonName::Membership { platform, id } => Some((*platform, id.to_string())),
        PersonName::Username(_)
        | PersonName::Mobile(_)
        | PersonName::Email(_)
        | PersonName::ExternalId(_)
        | PersonName::CardNumber(_)
        | PersonName::CardExternalId(_)
        | PersonName::SipUser(_)
        | PersonName::Caller(_) => None,
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
fn group(snapshot: &GroupSnapshot) -> Value {
    let Group { info: head, members, .. } = &*snapshot.group;
    let creator = head.creator.map_or_else(|| "0".to_owned(), |it| it.to_string());
    let GroupId(id) = head.id;
    json!({
        "groupId": id.to_string(), "name": head.name, "groupType": 1,
        "membershipIdCreated": creator, "creationDate": iso(head.created),
        "modificationDate": iso(head.modified), "about": "", "tags": [],
        "memberCount": members.len(), "isPublic": true, "isPublicTopicAdminOnly": false,
        "primaryAlliedGroupId": "0", "motto": "", "allowChat": true, "isDefaultPostPublic": false, "chatSecurity": 0,
        "locale": "en", "avatarImageIndex": 0, "homepage": 0,
        "membershipOption": match head.join_policy { JoinPolicy::Reviewed => 0, JoinPolicy::Open => 1, JoinPolicy::Closed => 2 },
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
