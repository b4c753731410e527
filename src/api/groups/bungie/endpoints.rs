//! Endpoints of the Bungie dialect.

use std::sync::Arc;

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{
    BanParams, CRASH, ListedMembership, MembershipList, PARSE, Refused, SCOPE, enter,
    enter_account, enter_signed_in, member, oauth, parse, rank_of, show, vendor_error,
};
use crate::{
    api::{
        context::PathNames,
        endpoint::{Documented::ByVendor, Endpoint, POST, handler},
        groups::{Groups, GroupsApi, GroupsRequest, SignedInUser},
        reply,
    },
    base::ids::is_name,
    group::{Ask, GroupAnswer, GroupRef, GroupSnapshot, PersonRef, Rank, Refusal, rule::Rule},
};

pub(in crate::api) const ENDPOINTS: &[Endpoint] = &[
    Endpoint::changes(POST, "/App/OAuth/Token", handler!(token), ByVendor),
    Endpoint::reads("/GroupV2/{group}", handler!(show_group), ByVendor),
    Endpoint::reads("/GroupV2/{group}/Members", handler!(list_members), ByVendor),
    Endpoint::reads("/GroupV2/{group}/AdminsAndFounder", handler!(list_admins), ByVendor),
    Endpoint::reads("/GroupV2/{group}/Banned", handler!(list_banned), ByVendor),
    Endpoint::changes(
        POST,
        "/GroupV2/{group}/Members/{type}/{member}/Kick",
        handler!(kick),
        ByVendor,
    ),
    Endpoint::changes(
        POST,
        "/GroupV2/{group}/Members/{type}/{member}/Ban",
        handler!(ban),
        ByVendor,
    ),
    Endpoint::changes(
        POST,
        "/GroupV2/{group}/Members/{type}/{member}/Unban",
        handler!(unban),
        ByVendor,
    ),
    Endpoint::changes(
        POST,
        "/GroupV2/{group}/Members/{type}/{member}/SetMembershipType/{rank}",
        handler!(set_rank),
        ByVendor,
    ),
    Endpoint::changes(POST, "/GroupV2/{group}/Members/Apply/{type}", handler!(apply), ByVendor),
    Endpoint::changes(
        POST,
        "/GroupV2/{group}/Members/Approve/{type}/{member}",
        handler!(approve),
        ByVendor,
    ),
    Endpoint::changes(POST, "/GroupV2/{group}/Members/DenyList", handler!(deny_list), ByVendor),
    Endpoint::changes(POST, "/GroupV2/{group}/Members/DenyAll", handler!(deny_all), ByVendor),
    Endpoint::changes(
        POST,
        "/GroupV2/{group}/Members/ApproveList",
        handler!(approve_list),
        ByVendor,
    ),
    Endpoint::changes(POST, "/GroupV2/{group}/Members/ApproveAll", handler!(approve_all), ByVendor),
    Endpoint::reads("/GroupV2/{group}/Members/Pending", handler!(list_pending), ByVendor),
    Endpoint::reads(
        "/GroupV2/{group}/Members/InvitedIndividuals",
        handler!(list_invited),
        ByVendor,
    ),
    Endpoint::changes(
        POST,
        "/GroupV2/{group}/Members/IndividualInvite/{type}/{member}",
        handler!(invite),
        ByVendor,
    ),
    Endpoint::changes(
        POST,
        "/GroupV2/{group}/Members/IndividualInviteCancel/{type}/{member}",
        handler!(cancel_invitation),
        ByVendor,
    ),
    Endpoint::changes(
        POST,
        "/GroupV2/{group}/Admin/AbdicateFoundership/{type}/{member}",
        handler!(abdicate),
        ByVendor,
    ),
    Endpoint::reads(
        "/GroupV2/User/{type}/{member}/{filter}/{kind}",
        handler!(list_groups),
        ByVendor,
    ),
];

type Answer = Result<Success, Refused>;

/// The `Response` of a successful call.
struct Success(Value);

impl IntoResponse for Success {
    fn into_response(self) -> Response {
        let body = json!({
            "Response": self.0, "ErrorCode": 1, "ThrottleSeconds": 0,
            "ErrorStatus": "Success", "Message": "Ok", "MessageData": {},
        });
        reply::json(StatusCode::OK, &body)
    }
}

/// A group, a platform, and a member's number there.
type AtMember = PathNames<3>;

async fn token(Groups(api): Groups, request: GroupsRequest) -> Response {
    oauth::answer(&api, &request).await
}

async fn look(
    api: &GroupsApi,
    request: &GroupsRequest,
    group: &str,
) -> Result<GroupSnapshot, Refused> {
    let (account, group) = enter(api, request, group)?;
    Ok(api.snapshot(&account, Ask::Show(group)).await.map_err(|it| vendor_error(&it))?)
}

async fn show_group(
    Groups(api): Groups,
    request: GroupsRequest,
    PathNames([group]): PathNames<1>,
) -> Answer {
    let snapshot = look(&api, &request, &group).await?;
    show::page(&request)?;
    Ok(Success(show::show(&snapshot)))
}

async fn list_members(
    Groups(api): Groups,
    request: GroupsRequest,
    PathNames([group]): PathNames<1>,
) -> Answer {
    let snapshot = look(&api, &request, &group).await?;
    Ok(Success(show::members(&snapshot, Rank::Beginner, &request)?))
}

async fn list_admins(
    Groups(api): Groups,
    request: GroupsRequest,
    PathNames([group]): PathNames<1>,
) -> Answer {
    let snapshot = look(&api, &request, &group).await?;
    Ok(Success(show::members(&snapshot, Rank::Admin, &request)?))
}

async fn apply(
    Groups(api): Groups,
    request: GroupsRequest,
    PathNames([group, _]): PathNames<2>,
) -> Answer {
    let (user, group) = enter_signed_in(&api, &request, &group)?;
    let ask = Ask::Apply { group, actor: user.person };
    api.ask(&user.account, ask).await.map_err(|it| vendor_error(&it))?;
    Ok(Success(json!({ "resolution": 0 })))
}

/// A request of a person whose token has the scope for administering groups.
struct GroupAdmin {
    api: Arc<GroupsApi>,
    request: GroupsRequest,
    user: SignedInUser,
    group: GroupRef,
}

impl GroupAdmin {
    fn enter(Groups(api): Groups, request: GroupsRequest, group: &str) -> Result<Self, Refused> {
        let (user, group) = enter_signed_in(&api, &request, group)?;
        match user.is_admin_scope {
            true => Ok(Self { api, request, user, group }),
            false => Err(SCOPE.into()),
        }
    }

    async fn snapshot(&self, ask: Ask) -> Result<GroupSnapshot, Refused> {
        let snapshot = self.api.snapshot(&self.user.account, ask).await;
        Ok(snapshot.map_err(|it| vendor_error(&it))?)
    }

    /// The group, for those who may administer it.
    async fn group_of_admin(&self) -> Result<GroupSnapshot, Refused> {
        let snapshot = self.snapshot(Ask::Show(self.group.clone())).await?;
        let own = snapshot.group.members.get(&self.user.person).map(|it| it.rank);
        match own < Some(Rank::Admin) {
            true => Err(vendor_error(&Refusal::RankTooLow.into()).into()),
            false => Ok(snapshot),
        }
    }

    /// Accepts or rejects one application.
    async fn decide(&self, target: PersonRef, is_approved: bool) -> Result<(), Refused> {
        let (group, actor) = (self.group.clone(), Some(self.user.person));
        self.snapshot(Ask::Decide { group, actor, target, is_approved }).await.map(drop)
    }

    /// Decides the applications that the body lists.
    async fn decide_listed(&self, is_approved: bool) -> Answer {
        let mut done = Vec::new();
        for ListedMembership { membership_type, membership_id } in
            parse::<MembershipList>(&self.request)?.memberships
        {
            self.decide(member(&membership_type.to_string(), &membership_id)?, is_approved).await?;
            done.push(json!({ "entityId": membership_id, "result": 1 }));
        }
        Ok(Success(json!(done)))
    }

    /// Decides every waiting application. One that is decided meanwhile is left out.
    async fn decide_all(&self, is_approved: bool) -> Answer {
        let snapshot = self.group_of_admin().await?;
        let mut done = Vec::new();
        for (id, _) in snapshot.group.applications.iter().filter(|(_, it)| show::is_applied(it)) {
            if self.decide(PersonRef::Id(*id), is_approved).await.is_ok() {
                done.push(json!({ "entityId": id.to_string(), "result": 1 }));
            }
        }
        Ok(Success(json!(done)))
    }

    async fn remove(&self, ask: Ask) -> Result<GroupSnapshot, Refused> {
        let removed = self.api.remove(&self.request, &self.user.account, ask).await;
        Ok(removed.map_err(|it| vendor_error(&it))?)
    }
}

async fn list_banned(
    api: Groups,
    request: GroupsRequest,
    PathNames([group]): PathNames<1>,
) -> Answer {
    let admin = GroupAdmin::enter(api, request, &group)?;
    let snapshot = admin.group_of_admin().await?;
    Ok(Success(show::banned(&admin.api, &admin.user.account, &snapshot.group).await))
}

async fn kick(
    api: Groups,
    request: GroupsRequest,
    PathNames([group, platform, id]): AtMember,
) -> Answer {
    let admin = GroupAdmin::enter(api, request, &group)?;
    let (rule, reason) = (Rule::BUNGIE, "".into());
    let (group, actor) = (admin.group.clone(), Some(admin.user.person));
    let target = member(&platform, &id)?;
    let snapshot = admin.remove(Ask::Remove { group, actor, target, rule, reason }).await?;
    Ok(Success(show::kicked(&admin.api, &snapshot)))
}

async fn ban(
    api: Groups,
    request: GroupsRequest,
    PathNames([group, platform, id]): AtMember,
) -> Answer {
    let admin = GroupAdmin::enter(api, request, &group)?;
    let (group, actor) = (admin.group.clone(), Some(admin.user.person));
    let target = member(&platform, &id)?;
    let params: BanParams = parse(&admin.request)?;
    let until = params.until(admin.api.memberships.now())?;
    if !params.comment.as_deref().is_none_or(|it| it.is_empty() || is_name(it)) {
        return Err(PARSE.into());
    }
    let (rule, reason) = (Rule::BUNGIE, params.comment.unwrap_or_default().into());
    admin.remove(Ask::Ban { group, actor, target, rule, reason, until }).await?;
    Ok(Success(json!(0)))
}

async fn unban(
    api: Groups,
    request: GroupsRequest,
    PathNames([group, platform, id]): AtMember,
) -> Answer {
    let admin = GroupAdmin::enter(api, request, &group)?;
    let (group, actor) = (admin.group.clone(), Some(admin.user.person));
    let target = member(&platform, &id)?;
    admin.snapshot(Ask::Unban { group, actor, target }).await?;
    Ok(Success(json!(0)))
}

async fn set_rank(
    api: Groups,
    request: GroupsRequest,
    PathNames([group, platform, id, rank]): PathNames<4>,
) -> Answer {
    let admin = GroupAdmin::enter(api, request, &group)?;
    let (group, actor) = (admin.group.clone(), Some(admin.user.person));
    let target = member(&platform, &id)?;
    let rank = rank.parse().ok().and_then(rank_of).ok_or(PARSE)?;
    admin.snapshot(Ask::SetRank { group, actor, target, rank }).await?;
    Ok(Success(json!(0)))
}

async fn approve(
    api: Groups,
    request: GroupsRequest,
    PathNames([group, platform, id]): AtMember,
) -> Answer {
    let admin = GroupAdmin::enter(api, request, &group)?;
    let target = member(&platform, &id)?;
    admin.decide(target, true).await?;
    Ok(Success(json!(true)))
}

async fn deny_list(
    api: Groups,
    request: GroupsRequest,
    PathNames([group]): PathNames<1>,
) -> Answer {
    GroupAdmin::enter(api, request, &group)?.decide_listed(false).await
}

async fn approve_list(
    api: Groups,
    request: GroupsRequest,
    PathNames([group]): PathNames<1>,
) -> Answer {
    GroupAdmin::enter(api, request, &group)?.decide_listed(true).await
}

async fn deny_all(api: Groups, request: GroupsRequest, PathNames([group]): PathNames<1>) -> Answer {
    GroupAdmin::enter(api, request, &group)?.decide_all(false).await
}

async fn approve_all(
    api: Groups,
    request: GroupsRequest,
    PathNames([group]): PathNames<1>,
) -> Answer {
    GroupAdmin::enter(api, request, &group)?.decide_all(true).await
}

async fn list_pending(
    api: Groups,
    request: GroupsRequest,
    PathNames([group]): PathNames<1>,
) -> Answer {
    let snapshot = GroupAdmin::enter(api, request, &group)?.group_of_admin().await?;
    Ok(Success(show::waiting(&snapshot, false)))
}

async fn list_invited(
    api: Groups,
    request: GroupsRequest,
    PathNames([group]): PathNames<1>,
) -> Answer {
    let snapshot = GroupAdmin::enter(api, request, &group)?.group_of_admin().await?;
    Ok(Success(show::waiting(&snapshot, true)))
}

async fn invite(
    api: Groups,
    request: GroupsRequest,
    PathNames([group, platform, id]): AtMember,
) -> Answer {
    let admin = GroupAdmin::enter(api, request, &group)?;
    let (group, actor) = (admin.group.clone(), Some(admin.user.person));
    admin.snapshot(Ask::Invite { group, actor, target: member(&platform, &id)? }).await?;
    Ok(Success(json!({ "resolution": 0 })))
}

async fn cancel_invitation(
    api: Groups,
    request: GroupsRequest,
    PathNames([group, platform, id]): AtMember,
) -> Answer {
    let admin = GroupAdmin::enter(api, request, &group)?;
    admin.decide(member(&platform, &id)?, false).await?;
    Ok(Success(json!({ "resolution": 0 })))
}

/// The real service has this for its own site only (2108); here a token with the scope will do.
async fn abdicate(
    api: Groups,
    request: GroupsRequest,
    PathNames([group, platform, id]): AtMember,
) -> Answer {
    let admin = GroupAdmin::enter(api, request, &group)?;
    let (group, actor) = (admin.group.clone(), admin.user.person);
    admin.snapshot(Ask::Abdicate { group, actor, target: member(&platform, &id)? }).await?;
    Ok(Success(json!(true)))
}

async fn list_groups(
    Groups(api): Groups,
    request: GroupsRequest,
    PathNames([platform, id, filter, kind]): PathNames<4>,
) -> Answer {
    let account = enter_account(&api, &request)?;
    let person = api.person(&account, member(&platform, &id)?).await;
    let person = person.map_err(|it| vendor_error(&it))?.id;
    let groups = api.ask(&account, Ask::ShowOf(person)).await.map_err(|it| vendor_error(&it))?;
    let GroupAnswer::Groups(groups) = groups else { return Err(CRASH.into()) };
    Ok(Success(show::groups(&groups, person, &filter, &kind)?))
}
