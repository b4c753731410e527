//! Bodies of answers about conferences: the keys of contract 2, in its order.
//!
//! Strict clients refuse unknown keys, and numbers where the contract has strings.

use std::fmt::{self, Display};

use serde::{Serialize, Serializer, ser::SerializeSeq};
use utoipa::ToSchema;
use uuid::Uuid;

use super::MemberIdForm;
use crate::{
    api::openapi::{Schemas, one_or_many},
    base::ids::{CallId, ConferenceName, MemberId},
    conference::{ConferenceRoster, RosterEntry},
};

/// The schemas of these bodies.
pub(super) fn schemas(schemas: &mut Schemas) {
    schemas.put::<MembersDone<'_>>();
    schemas.put::<ConferenceList>();
    schemas.put::<ConferenceBody<'_>>();
}

/// The success of an action on members (contract 2.2).
#[derive(Serialize, ToSchema)]
#[schema(as = MembersDone)]
pub(super) struct MembersDone<'a> {
    pub(super) message: &'static str,
    #[schema(schema_with = one_or_many)]
    pub(super) member_id: MemberIdList<'a>,
    pub(super) api_id: Uuid,
}

/// The members that an action was for, in the form of the dialect.
pub(super) struct MemberIdList<'a> {
    pub(super) form: MemberIdForm,
    /// The ids; None if the request named `all`.
    pub(super) members: Option<&'a [MemberId]>,
}

/// The conferences of an account (contract 2.3).
#[derive(Serialize, ToSchema)]
#[schema(as = Rooms)]
pub(super) struct ConferenceList {
    pub(super) api_id: Uuid,
    #[schema(value_type = Vec<String>)]
    pub(super) conferences: Vec<ConferenceName>,
}

/// One conference (contract 2.3).
#[derive(Serialize, ToSchema)]
#[schema(as = Room)]
pub(super) struct ConferenceBody<'a> {
    #[schema(value_type = String)]
    conference_name: &'a ConferenceName,
    #[schema(value_type = String)]
    conference_run_time: AsText<u64>,
    #[schema(value_type = String)]
    conference_member_count: AsText<usize>,
    members: Vec<MemberBody<'a>>,
    api_id: Uuid,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Member)]
struct MemberBody<'a> {
    muted: bool,
    #[schema(value_type = String)]
    member_id: AsText<MemberId>,
    deaf: bool,
    from: &'a str,
    to: &'a str,
    caller_name: &'a str,
    direction: &'static str,
    #[schema(value_type = Uuid)]
    call_uuid: CallId,
    #[schema(value_type = String)]
    join_time: AsText<u64>,
}

impl<'a> ConferenceBody<'a> {
    pub(super) fn new(
        name: &'a ConferenceName,
        roster: &'a ConferenceRoster,
        api_id: Uuid,
    ) -> Self {
        Self {
            conference_name: name,
            conference_run_time: AsText(roster.run_seconds),
            conference_member_count: AsText(roster.members.len()),
            members: roster.members.iter().map(MemberBody::from).collect(),
            api_id,
        }
    }
}

impl<'a> From<&'a RosterEntry> for MemberBody<'a> {
    fn from(entry: &'a RosterEntry) -> Self {
        let party = &entry.party;
        Self {
            muted: entry.muted,
            member_id: AsText(entry.member),
            deaf: entry.deaf,
            from: &party.from,
            to: &party.to,
            caller_name: &party.caller_name,
            direction: party.direction.text(),
            call_uuid: entry.call,
            join_time: AsText(entry.join_seconds),
        }
    }
}

impl Serialize for MemberIdList<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (self.form, self.members) {
            (MemberIdForm::Array, None) => ["all"].serialize(serializer),
            (MemberIdForm::Array, Some(members)) => {
                let mut array = serializer.serialize_seq(Some(members.len()))?;
                members.iter().try_for_each(|id| array.serialize_element(&AsText(*id)))?;
                array.end()
            }
            (MemberIdForm::Text | MemberIdForm::ByClient, None) => serializer.serialize_str("all"),
            (MemberIdForm::Text | MemberIdForm::ByClient, Some(members)) => {
                serializer.collect_str(&CommaSeparated(members))
            }
        }
    }
}

/// Member ids such as `10,15,22`.
struct CommaSeparated<'a>(&'a [MemberId]);

impl Display for CommaSeparated<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, member) in self.0.iter().enumerate() {
            let comma = if n == 0 { "" } else { "," };
            write!(f, "{comma}{member}")?;
        }
        Ok(())
    }
}

/// A value that is written as a JSON string.
pub(super) struct AsText<T>(pub(super) T);

impl<T: Display> Serialize for AsText<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}
