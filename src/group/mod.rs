//! Groups: members, ranks, bans and applications, and the rules for changing them.
//!
//! [`state::AccountGroups`] is the machine. The four dialects of the API send the same few asks,
//! each with its own [`rule::Rule`]; the machine does not know the dialect.

pub mod access_list;
mod entry;
mod ids;
pub mod person;
mod person_map;
mod rank;
mod reference;
mod removal;
pub mod rule;
pub mod state;

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use self::rule::Rule;
pub use self::{
    access_list::{Admission, Expulsion},
    ids::{GroupId, PersonId, UnixMillis},
    person::{Permission, Person, PersonName},
    person_map::PersonMap,
    rank::Rank,
    reference::{GroupRef, GroupSelector, PersonRef},
};

/// A person's membership of a group.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct GroupMember {
    /// The rank, which decides what they may do.
    pub rank: Rank,
    /// The time when they became a member.
    pub joined: UnixMillis,
}

/// A ban, which keeps a person out of a group.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct GroupBan {
    /// The time when it was made.
    pub from: UnixMillis,
    /// The end of the ban; None: forever.
    pub until: Option<UnixMillis>,
    /// The person who made it; None: a machine.
    pub by: Option<PersonId>,
    /// The actor's text; may be empty.
    pub reason: Box<str>,
}

/// The treatment of applications to join.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum JoinPolicy {
    /// An application waits for an admin's decision.
    Reviewed,
    /// An application makes a member at once.
    Open,
    /// Every application is refused.
    Closed,
}

/// The facts of a group, without its people.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct GroupInfo {
    /// The group's id, never reused.
    pub id: GroupId,
    /// The display name, unique among open groups of the account.
    pub name: Box<str>,
    /// The group's id in the client's system.
    pub external_id: Option<Box<str>>,
    /// The time of its creation.
    pub created: UnixMillis,
    /// The time of its last change.
    pub modified: UnixMillis,
    /// The person who made it; None: a machine.
    pub creator: Option<PersonId>,
    /// The number of changes so far, which is the sequence number of the last one.
    pub revision: u64,
    /// The group is closed for good.
    pub is_closed: bool,
    /// The group may be without an owner: it never had one, or its last one left by a rule that
    /// allows it.
    pub is_ownerless: bool,
    /// The treatment of applications.
    #[serde(rename = "door")]
    pub join_policy: JoinPolicy,
    /// The secret of the invitation link; empty: no link.
    pub link: Box<str>,
    /// The largest number of members.
    pub members_max: u32,
}

/// A group with its people.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Group {
    /// Everything except its people.
    pub info: GroupInfo,
    /// The members, by person.
    pub members: PersonMap<GroupMember>,
    /// The bans, expired ones included.
    pub bans: PersonMap<GroupBan>,
    /// The waiting applications and invitations.
    pub applications: PersonMap<Pending>,
}

/// A membership that waits for the other side's word.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Pending {
    /// The person applied, at this time.
    Applied(UnixMillis),
    /// The person is invited, and joins when they apply.
    Invited {
        /// The time of the invitation.
        at: UnixMillis,
        /// The person who invites; None: a machine.
        by: Option<PersonId>,
    },
}

/// A request to the groups of an account. `actor` is the person who asks; None: a machine with
/// every right.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Ask {
    /// Adds or replaces a person of the account.
    AddPerson(Person),
    /// Creates a group, with its creator as owner.
    Create(GroupInfo),
    /// Creates a group, unless its creator owns too many of the same size.
    CreateOwn {
        /// The new group. Groups with the same `members_max` that its creator owns are counted.
        info: GroupInfo,
        /// The number that they may own, the new one included.
        own_max: usize,
    },
    /// Removes a member from a group.
    Remove {
        /// The group to remove them from.
        group: GroupRef,
        /// The person who removes.
        actor: Option<PersonId>,
        /// The person to remove.
        target: PersonRef,
        /// The dialect's policy for removals.
        rule: Rule,
        /// The actor's text; empty: none.
        reason: Box<str>,
    },
    /// Removes a member and keeps them out.
    Ban {
        /// The group to ban them from.
        group: GroupRef,
        /// The person who bans.
        actor: Option<PersonId>,
        /// The person to ban; must be a member.
        target: PersonRef,
        /// The dialect's policy for removals.
        rule: Rule,
        /// The actor's text; empty: none.
        reason: Box<str>,
        /// The end of the ban; None: forever.
        until: Option<UnixMillis>,
    },
    /// Lifts a ban. The person is not a member by this.
    Unban {
        /// The group with the ban.
        group: GroupRef,
        /// The person who lifts it.
        actor: Option<PersonId>,
        /// The person who is banned.
        target: PersonRef,
    },
    /// Leaves a group as its member.
    Leave {
        /// The group to leave.
        group: GroupRef,
        /// The member who leaves.
        actor: PersonId,
        /// Its `last_owner` says what happens when the last owner leaves.
        rule: Rule,
    },
    /// Adds a member to a group.
    Add {
        /// The group to add them to.
        group: GroupRef,
        /// The person who adds.
        actor: Option<PersonId>,
        /// The person to add.
        target: PersonRef,
        /// The rank to give them.
        rank: Rank,
    },
    /// Adds the owner of a group that has none.
    AddFirstOwner {
        /// The group to add them to.
        group: GroupRef,
        /// The person who adds.
        actor: Option<PersonId>,
        /// The person to add.
        target: PersonRef,
    },
    /// Applies for membership of a group.
    Apply {
        /// The group to join.
        group: GroupRef,
        /// The person who applies.
        actor: PersonId,
    },
    /// Invites a person, who joins by applying. One who has applied joins at once.
    Invite {
        /// The group to join.
        group: GroupRef,
        /// The person who invites.
        actor: Option<PersonId>,
        /// The person to invite.
        target: PersonRef,
    },
    /// Accepts or rejects an application, or takes an invitation back.
    Decide {
        /// The group applied to.
        group: GroupRef,
        /// The person who decides.
        actor: Option<PersonId>,
        /// The person who has applied or is invited.
        target: PersonRef,
        /// True accepts an application; false rejects it, or takes the invitation back.
        is_approved: bool,
    },
    /// Joins by the invitation link.
    Join {
        /// The group to join.
        group: GroupRef,
        /// The person who joins.
        actor: PersonId,
        /// The secret that they give.
        link: Box<str>,
    },
    /// Replaces the invitation link.
    ResetLink {
        /// The group that has the link.
        group: GroupRef,
        /// The owner who replaces it.
        actor: PersonId,
        /// The new secret; empty: no link.
        link: Box<str>,
    },
    /// Changes the rank of a member.
    SetRank {
        /// The group of the member.
        group: GroupRef,
        /// The person who changes it.
        actor: Option<PersonId>,
        /// The member to change.
        target: PersonRef,
        /// The rank to give them.
        rank: Rank,
    },
    /// An owner makes another member owner, and becomes an admin, in one step.
    Abdicate {
        /// The group of both.
        group: GroupRef,
        /// The owner who gives the group away.
        actor: PersonId,
        /// The member who becomes owner.
        target: PersonRef,
    },
    /// Reads a group, also a closed one.
    Show(GroupRef),
    /// Reads the groups of a person.
    ShowOf(PersonId),
    /// Reads a person of the account.
    Find(PersonRef),
    /// Reads all people of the account.
    List,
}

/// The answer to an ask.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum GroupAnswer {
    /// The person added or found.
    Person(Person),
    /// All people of the account.
    People(Vec<Person>),
    /// The group after the ask.
    Group(Box<GroupSnapshot>),
    /// The groups of a person.
    Groups(Vec<GroupSnapshot>),
    /// The person is a member, by the invitation link.
    Joined(Box<Joined>),
    /// The person is no member.
    Removed(Box<Removed>),
    /// The application waits for a decision.
    Pending,
}

/// The result of a removal.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Removed {
    /// The person who was removed.
    pub person: PersonId,
    /// False if they were no member: an actor who may remove anybody can repeat a removal.
    pub was_member: bool,
    /// The other members, if the removal has closed the group; else empty.
    pub others: Vec<PersonId>,
    /// The group after the removal.
    pub snapshot: GroupSnapshot,
}

/// The result of a join by link.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Joined {
    /// True if they were a member before, so that nothing has changed.
    pub was_member: bool,
    /// The group after the join.
    pub snapshot: GroupSnapshot,
}

/// A group at one moment, with its people. Both are shared with the machine: a snapshot costs
/// nothing, however large the group is, and the next change copies only the part that it changes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GroupSnapshot {
    /// The group with its members.
    pub group: Arc<Group>,
    /// All people of the account, its members and creator among them.
    pub people: Arc<PeopleById>,
}

/// The people of an account by their ids.
pub type PeopleById = BTreeMap<PersonId, Arc<Person>>;

/// The reason why an ask was refused. Nothing has changed.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, thiserror::Error)]
pub enum Refusal {
    /// The account has no such group.
    #[error("no such group")]
    NoGroup,
    /// The group with this id does not have all of the selectors.
    #[error("another group than the selectors say")]
    OtherGroup,
    /// The group is closed for good.
    #[error("the group is closed")]
    Closed,
    /// The actor is no member and has no other right.
    #[error("only members may")]
    ActorNotMember,
    /// The actor has the right, but only in groups that they belong to.
    #[error("the actor is not in this group")]
    NoAccess,
    /// The actor's rank is too low for this ask or for this target.
    #[error("the rank is too low")]
    RankTooLow,
    /// The account has no such person.
    #[error("no such person")]
    TargetUnknown,
    /// The target is not a member of the group.
    #[error("not a member")]
    TargetNotMember,
    /// The group would be left without an owner.
    #[error("the last owner")]
    LastOwner,
    /// The dialect does not let members remove themselves: they leave.
    #[error("members cannot remove themselves: they leave")]
    SelfTarget,
    /// The person is a member of the group already.
    #[error("a member already")]
    AlreadyMember,
    /// A ban keeps the person out.
    #[error("banned")]
    Banned,
    /// The link is not this group's, or the group takes no applications.
    #[error("not invited")]
    NotInvited,
    /// The target has not applied.
    #[error("no application")]
    NoApplication,
    /// The group has `members_max` members.
    #[error("full")]
    Full,
    /// Another group or person has this name, or this id in the client's system.
    #[error("the name is taken")]
    NameTaken,
    /// The group has an owner, and the dialect lets it have no other.
    #[error("the group has an owner")]
    HasOwner,
    /// The creator owns as many groups as the dialect lets them.
    #[error("the owner of too many groups")]
    OwnsTooMany,
}

impl Refusal {
    /// Every refusal, for tables and tests.
    pub const ALL: [Self; 18] = [
        Self::NoGroup,
        Self::OtherGroup,
        Self::Closed,
        Self::ActorNotMember,
        Self::NoAccess,
        Self::RankTooLow,
        Self::TargetUnknown,
        Self::TargetNotMember,
        Self::LastOwner,
        Self::SelfTarget,
        Self::AlreadyMember,
        Self::Banned,
        Self::NotInvited,
        Self::NoApplication,
        Self::Full,
        Self::NameTaken,
        Self::HasOwner,
        Self::OwnsTooMany,
    ];
}

/// A change that must be durable, as the row to store.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Change {
    /// A person, new or changed.
    Person(Person),
    /// A group's facts, new or changed.
    Info(GroupInfo),
    /// A membership; None deletes it.
    Member(GroupId, PersonId, Option<GroupMember>),
    /// A ban; None deletes it.
    Ban(GroupId, PersonId, Option<GroupBan>),
    /// An application or an invitation; None deletes it.
    Application(GroupId, PersonId, Option<Pending>),
    /// A new entry of a group's history.
    Audit(GroupAuditEntry),
}

/// An entry of a group's history. Its number is the group's revision after the change.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct GroupAuditEntry {
    /// The group that changed.
    pub group: GroupId,
    /// Numbered within the group, from 1, without gaps.
    pub sequence: u64,
    /// The time of the change.
    pub at: UnixMillis,
    /// The person who acted; None: a machine.
    pub actor: Option<PersonId>,
    /// The kind of change.
    #[serde(rename = "deed")]
    pub action: GroupAction,
    /// The person it was done to, if any.
    pub target: Option<PersonId>,
    /// The actor's text; empty: none.
    pub reason: Box<str>,
}

/// The kind of change in a group's history.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub enum GroupAction {
    /// The group was created.
    Created,
    /// A person became a member.
    Joined,
    /// A member was removed by another actor.
    Removed,
    /// A member left by themselves.
    Left,
    /// A member was removed and banned.
    Banned,
    /// A ban was lifted.
    Unbanned,
    /// A person applied for membership.
    Applied,
    /// A person was invited.
    Invited,
    /// An application was rejected, or an invitation taken back.
    Denied,
    /// A member's rank was changed.
    Ranked,
    /// The invitation link was replaced.
    LinkReset,
    /// The group was closed for good.
    Closed,
}
