//! What is answered: key by key as in contract 2, in its order, and nothing beside.
//!
//! Strict clients refuse unknown keys, and numbers where the contract has strings.

use std::fmt::{self, Display};

use serde::{Serialize, Serializer, ser::SerializeSeq};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Form;
use crate::{
    api::openapi::{Schemas, one_or_many},
    base::ids::{CallId, ConferenceName, MemberId},
    conference::{Present, Roster},
};

/// The schemas of these bodies.
pub(super) fn schemas(schemas: &mut Schemas) {
    schemas.put::<Done<'_>>();
    schemas.put::<Rooms>();
    schemas.put::<Room<'_>>();
}

/// Something was done to members (contract 2.2).
#[derive(Serialize, ToSchema)]
#[schema(as = MembersDone)]
pub(super) struct Done<'a> {
    pub(super) message: &'static str,
    #[schema(schema_with = one_or_many)]
    pub(super) member_id: MemberIds<'a>,
    pub(super) api_id: Uuid,
}

/// To whom something was done.
pub(super) struct MemberIds<'a> {
    pub(super) form: Form,
    /// None is `all`.
    pub(super) members: Option<&'a [MemberId]>,
}

/// The conferences of an account (contract 2.3).
#[derive(Serialize, ToSchema)]
pub(super) struct Rooms {
    pub(super) api_id: Uuid,
    #[schema(value_type = Vec<String>)]
    pub(super) conferences: Vec<ConferenceName>,
}

/// One conference (contract 2.3).
#[derive(Serialize, ToSchema)]
pub(super) struct Room<'a> {
    #[schema(value_type = String)]
    conference_name: &'a ConferenceName,
    #[schema(value_type = String)]
    conference_run_time: Text<u64>,
    #[schema(value_type = String)]
    conference_member_count: Text<usize>,
    members: Vec<Member<'a>>,
    api_id: Uuid,
}

#[derive(Serialize, ToSchema)]
struct Member<'a> {
    muted: bool,
    #[schema(value_type = String)]
    member_id: Text<MemberId>,
    deaf: bool,
    from: &'a str,
    to: &'a str,
    caller_name: &'a str,
    direction: &'static str,
    #[schema(value_type = Uuid)]
    call_uuid: CallId,
    #[schema(value_type = String)]
    join_time: Text<u64>,
}

impl<'a> Room<'a> {
    pub(super) fn new(name: &'a ConferenceName, roster: &'a Roster, api_id: Uuid) -> Self {
        Self {
            conference_name: name,
            conference_run_time: Text(roster.run_seconds),
            conference_member_count: Text(roster.members.len()),
            members: roster.members.iter().map(Member::from).collect(),
            api_id,
        }
    }
}

impl<'a> From<&'a Present> for Member<'a> {
    fn from(present: &'a Present) -> Self {
        let party = &present.party;
        Self {
            muted: present.muted,
            member_id: Text(present.member),
            deaf: present.deaf,
            from: &party.from,
            to: &party.to,
            caller_name: &party.caller_name,
            direction: party.direction.text(),
            call_uuid: present.call,
            join_time: Text(present.join_seconds),
        }
    }
}

impl Serialize for MemberIds<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (self.form, self.members) {
            (Form::Array, None) => ["all"].serialize(serializer),
            (Form::Array, Some(members)) => {
                let mut array = serializer.serialize_seq(Some(members.len()))?;
                members.iter().try_for_each(|id| array.serialize_element(&Text(*id)))?;
                array.end()
            }
            (Form::Text, None) => serializer.serialize_str("all"),
            (Form::Text, Some(members)) => serializer.collect_str(&List(members)),
        }
    }
}

/// `10,15,22`
struct List<'a>(&'a [MemberId]);

impl Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, member) in self.0.iter().enumerate() {
            let comma = if n == 0 { "" } else { "," };
            write!(f, "{comma}{member}")?;
        }
        Ok(())
    }
}

/// A string, whatever it is to us.
pub(super) struct Text<T>(pub(super) T);

impl<T: Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}
