//! Methods of Rocket.Chat's private groups and of the signed-in user (contract 2.2 to 2.4).

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};
use url::form_urlencoded;

use super::{PAGE, RocketChatError, broken, no_room, vendor_error};
use crate::{
    api::groups::{
        GroupAskError, GroupsApi, GroupsRequest, MEMBERS_MAX, SignedInUser, durable, header,
        time::iso, written,
    },
    base::ids::{AccountId, is_name},
    group::{
        Ask, GroupRef, GroupSnapshot, Permission, Person, PersonName, PersonRef, Rank, Refusal,
        rule::Rule,
    },
};

/// The status of everybody: conflow knows no presence.
const STATUS: &str = "offline";

/// A request of a signed-in person, with its decoded fields.
pub(super) struct RocketChatHandler {
    pub(super) api: Arc<GroupsApi>,
    pub(super) user: SignedInUser,
    pub(super) fields: BTreeMap<String, Value>,
}

impl RocketChatHandler {
    fn text(&self, name: &str) -> Option<&str> {
        self.fields.get(name)?.as_str().map(str::trim).filter(|it| !it.is_empty())
    }

    fn account(&self) -> &AccountId {
        &self.user.account
    }

    fn group_ref(&self) -> Result<GroupRef, RocketChatError> {
        if let Some(id) = self.text("roomId") {
            return Ok(GroupRef::Id(id.parse().map_err(|_| no_room())?));
        }
        let missing = || {
            let text = "The parameter \"roomId\" or \"roomName\" is required".to_owned();
            RocketChatError(400, "error-room-param-not-provided", text, None)
        };
        Ok(GroupRef::Name(self.text("roomName").ok_or_else(missing)?.into()))
    }

    fn target(&self) -> Result<PersonRef, RocketChatError> {
        if let Some(id) = self.text("userId") {
            return Ok(id.parse().map_or(PersonRef::Nobody, PersonRef::Id));
        }
        let missing = || {
            let text = "The required \"userId\" or \"username\" param was not provided".to_owned();
            RocketChatError(400, "error-user-param-not-provided", text, None)
        };
        let name = self.text("username").or_else(|| self.text("user")).ok_or_else(missing)?;
        Ok(PersonRef::Name(PersonName::username(name)))
    }

    async fn snapshot(
        &self,
        ask: Ask,
        method: &'static str,
    ) -> Result<GroupSnapshot, RocketChatError> {
        let snapshot = self.api.snapshot(self.account(), ask).await;
        snapshot.map_err(|error| vendor_error(&error, method))
    }

    /// The named room, if it is open and the user is a member.
    async fn room(&self) -> Result<GroupSnapshot, RocketChatError> {
        let snapshot = self.snapshot(Ask::Show(self.group_ref()?), "").await?;
        let is_member = snapshot.group.members.contains_key(&self.user.person);
        match is_member && !snapshot.group.info.is_closed {
            true => Ok(snapshot),
            false => Err(no_room()),
        }
    }

    /// `GET groups.info`: the room without its members.
    pub(super) async fn info(&self) -> Result<Value, RocketChatError> {
        Ok(json!({ "group": describe(&self.room().await?, false) }))
    }

    /// Fails if the room does not exist or is archived.
    async fn check_open(&self, group: &GroupRef) -> Result<(), RocketChatError> {
        let snapshot = self.snapshot(Ask::Show(group.clone()), "").await?;
        let head = &snapshot.group.info;
        let text = format!("The private group, {}, is archived", head.name);
        match head.is_closed {
            true => Err(RocketChatError(400, "error-room-archived", text, None)),
            false => Ok(()),
        }
    }

    /// `POST groups.kick`: removes the target from the room.
    pub(super) async fn kick(&self, request: &GroupsRequest) -> Result<Value, RocketChatError> {
        let group = self.group_ref()?;
        let target = match self.target() {
            Ok(target) => target,
            // Errors of the room take precedence over those of the user (contract 2.2).
            Err(error) => {
                self.check_open(&group).await?;
                return Err(error);
            }
        };
        let (actor, rule, reason) = (Some(self.user.person), Rule::ROCKET_CHAT, "".into());
        let ask = Ask::Remove { group: group.clone(), actor, target, rule, reason };
        let removed = self.api.remove(request, self.account(), ask).await;
        if removed == Err(GroupAskError::Refused(Refusal::Closed)) {
            self.check_open(&group).await?;
        }
        let snapshot = removed.map_err(|error| vendor_error(&error, "removeUserFromRoom"))?;
        Ok(match self.api.settings.is_rocketchat_bare {
            true => json!({}),
            false => json!({ "group": describe(&snapshot, true) }),
        })
    }

    pub(super) async fn leave(&self, request: &GroupsRequest) -> Result<Value, RocketChatError> {
        let (group, actor, rule) = (self.group_ref()?, self.user.person, Rule::ROCKET_CHAT);
        let ask = Ask::Leave { group, actor, rule };
        let left = self.api.remove(request, self.account(), ask).await;
        match left {
            Ok(_) => Ok(json!({})),
            Err(GroupAskError::Refused(Refusal::ActorNotMember)) => {
                let text = "You are not in this room".to_owned();
                Err(RocketChatError(400, "error-user-not-in-room", text, Some("leaveRoom")))
            }
            Err(error) => Err(vendor_error(&error, "leaveRoom")),
        }
    }

    pub(super) async fn set_rank(&self, rank: Rank) -> Result<Value, RocketChatError> {
        let (group, actor, target) = (self.group_ref()?, Some(self.user.person), self.target()?);
        let method = match rank {
            Rank::Owner => "addRoomOwner",
            Rank::Admin => "addRoomModerator",
            Rank::Beginner | Rank::Member | Rank::Acting => "removeRoomOwner",
        };
        self.snapshot(Ask::SetRank { group, actor, target, rank }, method).await?;
        Ok(json!({}))
    }

    pub(super) async fn invite(&self) -> Result<Value, RocketChatError> {
        let group = self.group_ref()?;
        let mut targets: Vec<PersonRef> = Vec::new();
        for (name, is_id) in [("userIds", true), ("usernames", false)] {
            let list = self.fields.get(name).and_then(Value::as_array).into_iter().flatten();
            targets.extend(list.filter_map(Value::as_str).map(|it| match is_id {
                true => it.parse().map_or(PersonRef::Nobody, PersonRef::Id),
                false => PersonRef::Name(PersonName::username(it)),
            }));
        }
        if targets.is_empty() {
            targets.push(self.target()?);
        }
        for target in targets {
            let (group, actor) = (group.clone(), Some(self.user.person));
            let ask = Ask::Add { group, actor, target, rank: Rank::Member };
            match self.api.ask(self.account(), ask).await {
                // On the real server, inviting a member changes nothing and succeeds.
                Ok(_) | Err(GroupAskError::Refused(Refusal::AlreadyMember)) => (),
                Err(error) => return Err(vendor_error(&error, "addUsersToRoom")),
            }
        }
        Ok(json!({ "group": describe(&self.room().await?, false) }))
    }

    pub(super) async fn create(&self) -> Result<Value, RocketChatError> {
        let missing =
            || RocketChatError(400, "", "Body param \"name\" is required".to_owned(), None);
        let name = self.text("name").ok_or_else(missing)?;
        if !is_name(name) {
            let text = format!("{name:?} is not a valid room name.");
            return Err(RocketChatError(400, "error-invalid-room-name", text, None));
        }
        let head = self.api.head(name, Some(self.user.person), MEMBERS_MAX);
        let group = GroupRef::Id(head.id);
        let mut snapshot = self.snapshot(Ask::Create(head), "createPrivateGroup").await?;
        let names = self.fields.get("members").and_then(Value::as_array).into_iter().flatten();
        for name in names.filter_map(Value::as_str) {
            let (group, actor) = (group.clone(), Some(self.user.person));
            let target = PersonRef::Name(PersonName::username(name));
            let ask = Ask::Add { group, actor, target, rank: Rank::Member };
            // The real server skips unknown names.
            if let Ok(now) = self.api.snapshot(self.account(), ask).await {
                snapshot = now;
            }
        }
        Ok(json!({ "group": describe(&snapshot, false) }))
    }

    pub(super) async fn list(&self) -> Result<Value, RocketChatError> {
        let asked = self.api.ask(self.account(), Ask::ShowOf(self.user.person)).await;
        let crate::group::GroupAnswer::Groups(groups) =
            asked.map_err(|it| vendor_error(&it, ""))?
        else {
            return Err(broken());
        };
        let groups = groups.iter().map(|it| describe(it, false)).collect();
        Ok(self.page("groups", groups))
    }

    /// `GET groups.members`: those with the name `filter`, and with one of the statuses.
    pub(super) async fn members(&self, request: &GroupsRequest) -> Result<Value, RocketChatError> {
        let snapshot = self.room().await?;
        let filter = self.text("filter").unwrap_or_default().to_lowercase();
        // `status[]=online`, `status[0]=online` or `status=online`, as clients write lists.
        let query = form_urlencoded::parse(request.context.query().as_bytes());
        let is_status = |name: &str| name == "status" || name.starts_with("status[");
        let wanted: Vec<_> = query.filter(|(name, _)| is_status(name)).map(|(_, it)| it).collect();
        let is_wanted = wanted.is_empty() || wanted.iter().any(|it| it == STATUS);
        let people = snapshot
            .group
            .members
            .keys()
            .filter(|_| is_wanted)
            .filter_map(|it| snapshot.people.get(it));
        let named = people.filter(|it| it.username.to_lowercase().contains(&filter));
        let updated = iso(snapshot.group.info.modified);
        let card = |person: &Person| {
            let mut card = me(person);
            card["status"] = STATUS.into();
            card["_updatedAt"] = updated.clone().into();
            card
        };
        Ok(self.page("members", named.map(|it| card(it)).collect()))
    }

    fn page(&self, name: &str, all: Vec<Value>) -> Value {
        let number = |name| self.text(name).and_then(|it| it.parse().ok());
        let (offset, count) = (number("offset").unwrap_or(0), number("count").unwrap_or(PAGE));
        let total = all.len();
        let count = if count == 0 { total } else { count };
        let page: Vec<_> = all.into_iter().skip(offset).take(count).collect();
        json!({ name: page, "count": page.len(), "offset": offset, "total": total })
    }

    pub(super) async fn me(&self) -> Result<Value, RocketChatError> {
        let person = self.api.person(self.account(), PersonRef::Id(self.user.person)).await;
        let person = person.map_err(|it| vendor_error(&it, ""))?;
        let mut card = me(&person);
        let is_admin = person.may(Permission::RemoveUser);
        card["roles"] = if is_admin { json!(["admin"]) } else { json!(["user"]) };
        Ok(card)
    }

    pub(super) async fn logout(&self, request: &GroupsRequest) -> Result<Value, RocketChatError> {
        let (done, committed) = durable();
        let token = header(request, "x-auth-token").unwrap_or_default();
        self.api.credentials.revoke(token, done);
        written(committed).await?;
        let data = json!({ "message": "You've been logged out!" });
        Ok(json!({ "status": "success", "data": data }))
    }
}

pub(super) fn me(person: &Person) -> Value {
    json!({ "_id": person.id.to_string(), "username": person.username, "name": person.username })
}

/// A group's JSON: for a kick as documented, elsewhere as the real server writes it.
fn describe(snapshot: &GroupSnapshot, is_kick: bool) -> Value {
    let head = &snapshot.group.info;
    let creator = head.creator.and_then(|it| snapshot.people.get(&it));
    let mut group = json!({ "_id": head.id.to_string(), "name": head.name });
    if !is_kick {
        group["fname"] = (*head.name).into();
    }
    group["t"] = "p".into();
    if is_kick {
        let people = snapshot.group.members.keys().filter_map(|it| snapshot.people.get(it));
        group["usernames"] = people.map(|it| it.username.to_string()).collect();
    }
    group["msgs"] = 0.into();
    if !is_kick {
        group["usersCount"] = snapshot.group.members.len().into();
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
