//! Groups: who belongs to them, with which rank, and who may change that.
//!
//! [`state::AccountGroups`] is the machine. Four systems' calls are the same few asks with another
//! [`rule::Rule`]; nothing here knows whose call it was.

pub mod access_list;
mod entry;
mod ids;
pub mod person;
mod person_map;
mod rank;
mod removal;
pub mod rule;
pub mod state;

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

pub use self::ids::{GroupId, PersonId, UnixMillis};
pub use self::rank::Rank;
use self::rule::Rule;
pub use self::{
    access_list::{Admission, Expulsion},
    person::{Permission, Person, PersonName},
    person_map::PersonMap,
};

/// One member.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct GroupMember {
    /// What he may do.
    pub rank: Rank,
    /// Since when he belongs.
    pub joined: UnixMillis,
}

/// Keeps a person out.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct GroupBan {
    /// Since when.
    pub from: UnixMillis,
    /// Until when; None is for ever.
    pub until: Option<UnixMillis>,
    /// Who said so.
    pub by: Option<PersonId>,
    /// Why.
    pub reason: Box<str>,
}

/// Who comes in without being let in.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum JoinPolicy {
    /// An application waits for an admin.
    Reviewed,
    /// An application is a membership.
    Open,
    /// Nobody may apply.
    Closed,
}

/// A group, but for who belongs to it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct GroupInfo {
    /// Names it.
    pub id: GroupId,
    /// What people call it.
    pub name: Box<str>,
    /// A name that the caller's own system has for it.
    pub external_id: Option<Box<str>>,
    /// Since when there is one.
    pub created: UnixMillis,
    /// When it changed last.
    pub modified: UnixMillis,
    /// Who made it; None is a machine.
    pub creator: Option<PersonId>,
    /// How many changes there were: the sequence number of the last one.
    pub revision: u64,
    /// Over, or never to be used again.
    pub is_closed: bool,
    /// It may be without an owner: it has had none yet, or its last one was let go.
    pub is_ownerless: bool,
    /// Who may apply.
    #[serde(rename = "door")]
    pub join_policy: JoinPolicy,
    /// Lets in whoever knows it.
    pub link: Box<str>,
    /// How many it holds.
    pub members_max: u32,
}

/// A group.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Group {
    /// All but its people.
    pub info: GroupInfo,
    /// Who belongs to it.
    pub members: PersonMap<GroupMember>,
    /// Who is kept out.
    pub bans: PersonMap<GroupBan>,
    /// Who wants in, and since when.
    pub applications: PersonMap<UnixMillis>,
}

/// Which group is meant.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum GroupRef {
    /// This one.
    Id(GroupId),
    /// The one of this name.
    Name(Box<str>),
    /// The one with this name in the caller's own system.
    ExternalId(Box<str>),
    /// The one with this link.
    Link(Box<str>),
}

/// Which person is meant.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PersonRef {
    /// This one.
    Id(PersonId),
    /// Whoever has this name.
    Name(PersonName),
    /// Nobody: what was given names no one.
    Nobody,
}

/// What is wanted. `actor` is who wants it; None is a machine with the right to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Ask {
    /// A person of this account.
    AddPerson(Person),
    /// A group, with its creator as owner.
    Create(GroupInfo),
    /// To take somebody out.
    Remove {
        /// Of which group.
        group: GroupRef,
        /// By whom.
        actor: Option<PersonId>,
        /// Whom.
        target: PersonRef,
        /// Who may.
        rule: Rule,
        /// Why; empty is no reason.
        reason: Box<str>,
    },
    /// To keep somebody out, and take him out if he is in.
    Ban {
        /// Of which group.
        group: GroupRef,
        /// By whom.
        actor: Option<PersonId>,
        /// Whom.
        target: PersonRef,
        /// Who may.
        rule: Rule,
        /// Why; empty is no reason.
        reason: Box<str>,
        /// Until when; None is for ever.
        until: Option<UnixMillis>,
    },
    /// To let somebody come back some day.
    Unban {
        /// Of which group.
        group: GroupRef,
        /// By whom.
        actor: Option<PersonId>,
        /// Whom.
        target: PersonRef,
    },
    /// To go oneself.
    Leave {
        /// From which group.
        group: GroupRef,
        /// Who goes.
        actor: PersonId,
        /// What becomes of a group whose last owner goes.
        rule: Rule,
    },
    /// To take somebody in.
    Add {
        /// Into which group.
        group: GroupRef,
        /// By whom.
        actor: Option<PersonId>,
        /// Whom.
        target: PersonRef,
        /// As what.
        rank: Rank,
    },
    /// To be let in by an admin.
    Apply {
        /// Into which group.
        group: GroupRef,
        /// Who wants in.
        actor: PersonId,
    },
    /// To let an applicant in, or not.
    Decide {
        /// Of which group.
        group: GroupRef,
        /// Who decides.
        actor: Option<PersonId>,
        /// Who has applied.
        target: PersonRef,
        /// Whether he comes in.
        is_approved: bool,
    },
    /// To come in with the link.
    Join {
        /// Into which group.
        group: GroupRef,
        /// Who comes.
        actor: PersonId,
        /// What he knows.
        link: Box<str>,
    },
    /// To make the old link worthless.
    ResetLink {
        /// Of which group.
        group: GroupRef,
        /// By whom.
        actor: PersonId,
        /// The new one.
        link: Box<str>,
    },
    /// To give a member another rank.
    SetRank {
        /// In which group.
        group: GroupRef,
        /// By whom.
        actor: Option<PersonId>,
        /// To whom.
        target: PersonRef,
        /// Which.
        rank: Rank,
    },
    /// To see a group.
    Show(GroupRef),
    /// To see somebody's groups.
    ShowOf(PersonId),
    /// To see a person.
    Find(PersonRef),
    /// To see everybody.
    List,
}

/// What has happened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum GroupAnswer {
    /// There is a person.
    Person(Person),
    /// Everybody.
    People(Vec<Person>),
    /// This is the group now, and these are its people.
    Group(Box<GroupSnapshot>),
    /// These are the groups.
    Groups(Vec<GroupSnapshot>),
    /// Somebody is out.
    Removed(Box<Removed>),
    /// The application waits.
    Pending,
}

/// How a removal went.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Removed {
    /// Who is out.
    pub person: PersonId,
    /// Whether he was in: who may remove anybody, may do so twice.
    pub was_member: bool,
    /// The group without him.
    pub snapshot: GroupSnapshot,
}

/// A group as it was at a moment, and people. Both are shared with the machine: a snapshot costs
/// nothing, however large the group, and the next change copies the part that it changes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GroupSnapshot {
    /// The group.
    pub group: Arc<Group>,
    /// Its members and its creator, among all people of the account.
    pub people: Arc<PeopleById>,
}

/// The people of an account.
pub type PeopleById = BTreeMap<PersonId, Arc<Person>>;

/// Why not.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, thiserror::Error)]
pub enum Refusal {
    /// There is no such group.
    #[error("no such group")]
    NoGroup,
    /// The group is over.
    #[error("the group is closed")]
    Closed,
    /// The one who asks does not belong to the group, and has no right beside that.
    #[error("only members may")]
    ActorNotMember,
    /// He has the right, but does not see this group.
    #[error("not a group of the one who asks")]
    NoAccess,
    /// His rank is too low, for this or for the one it is about.
    #[error("the rank is too low")]
    RankTooLow,
    /// There is no such person.
    #[error("no such person")]
    TargetUnknown,
    /// He does not belong to the group.
    #[error("not a member")]
    TargetNotMember,
    /// The group would be without an owner.
    #[error("the last owner")]
    LastOwner,
    /// Nobody removes himself so: he leaves.
    #[error("oneself")]
    SelfTarget,
    /// He belongs to the group already.
    #[error("a member already")]
    AlreadyMember,
    /// He is kept out.
    #[error("banned")]
    Banned,
    /// The link is not this group's, or nobody may apply.
    #[error("not invited")]
    NotInvited,
    /// He has not applied.
    #[error("no application")]
    NoApplication,
    /// The group holds no more.
    #[error("full")]
    Full,
    /// Another has this name, or this id in the caller's own system.
    #[error("the name is taken")]
    NameTaken,
}

impl Refusal {
    /// Every one.
    pub const ALL: [Self; 15] = [
        Self::NoGroup,
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
    ];
}

/// A change that must outlive the process, as the row that it leaves.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Change {
    /// A person as he is now.
    Person(Person),
    /// A group as it is now.
    Info(GroupInfo),
    /// A member as he is now; None, and he is none.
    Member(GroupId, PersonId, Option<GroupMember>),
    /// A ban; None, and there is none.
    Ban(GroupId, PersonId, Option<GroupBan>),
    /// An application; None, and there is none.
    Application(GroupId, PersonId, Option<UnixMillis>),
    /// What has happened.
    Audit(GroupAuditEntry),
}

/// One line of a group's history. Its number is the group's revision after it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct GroupAuditEntry {
    /// In which group.
    pub group: GroupId,
    /// 1, 2, 3, … without holes.
    pub sequence: u64,
    /// When.
    pub at: UnixMillis,
    /// By whom; None is a machine.
    pub actor: Option<PersonId>,
    /// What.
    #[serde(rename = "deed")]
    pub action: GroupAction,
    /// To whom.
    pub target: Option<PersonId>,
    /// Why; empty is no reason.
    pub reason: Box<str>,
}

/// What can happen to a group.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub enum GroupAction {
    /// It was made.
    Created,
    /// Somebody came in.
    Joined,
    /// Somebody was taken out.
    Removed,
    /// Somebody went.
    Left,
    /// Somebody is kept out.
    Banned,
    /// Somebody may come back.
    Unbanned,
    /// Somebody wants in.
    Applied,
    /// Somebody is not let in.
    Denied,
    /// Somebody has another rank.
    Ranked,
    /// The link is another.
    LinkReset,
    /// It is over.
    Closed,
}
