//! Signals to Kirimin sockets (contract 3.3): members who leave, are kicked, or join.

use serde::Serialize;
use serde_json::{Value, json};

use crate::group::{GroupId, GroupSnapshot, Person, PersonId, Rank, Removed};

/// A JSON text for one person's socket.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::api::groups) struct Signal {
    pub(in crate::api::groups) to: PersonId,
    pub(in crate::api::groups) text: String,
}

#[derive(Serialize)]
struct SignalBody<'a> {
    key: &'a str,
    from: String,
    #[serde(rename = "type")]
    kind: &'a str,
    groupid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<Value>,
}

/// Signals of a removal, in the order in which they are sent. As documented: `memberleave` to all
/// members, then `memberkick` to the person who was removed. With `is_server`: `memberkick` first,
/// and no signal to owners.
///
/// If the removal closed the group, each of the others gets `memberkick`.
pub(in crate::api::groups) fn of_removal(
    is_server: bool,
    actor: Option<PersonId>,
    removed: &Removed,
) -> Vec<Signal> {
    let Removed { person, was_member, others, snapshot } = removed;
    if !was_member {
        return Vec::new();
    }
    let person = *person;
    let members = &snapshot.group.members;
    let owner = || members.iter().find(|(_, it)| it.rank == Rank::Owner).map(|(id, _)| *id);
    if snapshot.group.info.is_closed {
        let others = others.iter();
        return others.map(|it| signal(snapshot, *it, person, "memberkick")).collect();
    }

    let recipients = members.iter().filter(|(_, it)| !is_server || it.rank != Rank::Owner);
    let mut signals: Vec<_> =
        recipients.map(|(id, _)| signal(snapshot, *id, person, "memberleave")).collect();
    if actor != Some(person) {
        // A machine has no number, so the signal names the owner.
        let by = actor.or_else(owner).unwrap_or(PersonId(0));
        let kick = signal(snapshot, person, by, "memberkick");
        let index = if is_server { 0 } else { signals.len() };
        signals.insert(index, kick);
    }
    signals
}

/// Signals of a join: `memberjoin` to all other members.
pub(super) fn of_join(snapshot: &GroupSnapshot, person: PersonId) -> Vec<Signal> {
    let others = snapshot.group.members.keys().filter(|it| **it != person);
    let user = snapshot.people.get(&person).map(|it| card(it));
    let text = signal_text(snapshot, person, "memberjoin", user);
    others.map(|to| Signal { to: *to, text: text.clone() }).collect()
}

/// A person, as other people see them.
pub(super) fn card(person: &Person) -> Value {
    json!({
        "id": person.id.to_string(), "username": person.username,
        "displayname": person.username, "img": null, "b": [], "isFriend": 0,
    })
}

fn signal(snapshot: &GroupSnapshot, to: PersonId, from: PersonId, kind: &str) -> Signal {
    Signal { to, text: signal_text(snapshot, from, kind, None) }
}

fn signal_text(
    snapshot: &GroupSnapshot,
    from: PersonId,
    kind: &str,
    user: Option<Value>,
) -> String {
    let head = &snapshot.group.info;
    let (key, groupid) = (key(head.id, head.revision), head.id.to_string());
    let body = SignalBody { key: &key, from: from.to_string(), kind, groupid, user };
    serde_json::to_string(&body).expect("a struct of strings serializes")
}

/// 32 hexadecimal digits, as documented: the group and the sequence number of the event. Of two
/// signals of a group, the later event has the larger key.
fn key(GroupId(group): GroupId, sequence: u64) -> String {
    format!("{group:016x}{sequence:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::{
        Ask, GroupAnswer, GroupInfo, GroupRef, JoinPolicy, PersonRef, UnixMillis,
        rule::{LastOwner, Rule},
        state::AccountGroups,
    };

    /// Removes one of 1 (the owner) and 2 to 4 (members), and lists the signals.
    fn signals_of(is_server: bool, actor: Option<u64>, target: u64, rule: Rule) -> String {
        let mut groups = AccountGroups::default();
        let mut ask = |ask| groups.handle(UnixMillis(0), ask, &mut Vec::new()).unwrap();
        let id = GroupId(9);
        for n in 1..=4 {
            ask(Ask::AddPerson(Person::new(PersonId(n), &format!("user{n}"))));
        }
        ask(Ask::Create(GroupInfo {
            id,
            name: "weekly".into(),
            external_id: None,
            created: UnixMillis(0),
            modified: UnixMillis(0),
            creator: Some(PersonId(1)),
            revision: 0,
            is_closed: false,
            is_ownerless: false,
            join_policy: JoinPolicy::Reviewed,
            link: "".into(),
            members_max: 10,
        }));
        for n in 2..=4 {
            let (group, target, rank) =
                (GroupRef::Id(id), PersonRef::Id(PersonId(n)), Rank::Member);
            ask(Ask::Add { group, actor: None, target, rank });
        }
        let actor = actor.map(PersonId);
        let (group, target, reason) =
            (GroupRef::Id(id), PersonRef::Id(PersonId(target)), "".into());
        let GroupAnswer::Removed(removed) = ask(Ask::Remove { group, actor, target, rule, reason })
        else {
            panic!("nobody was removed");
        };
        let signals = of_removal(is_server, actor, &removed);
        let short = signals.iter().map(|Signal { to, text }| {
            let body: Value = serde_json::from_str(text).unwrap();
            let (kind, from) = (body["type"].as_str().unwrap(), body["from"].as_str().unwrap());
            format!("{to}:{}<{from}", kind.trim_start_matches("member"))
        });
        short.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_removal_signals_the_right_people_in_order() {
        let leaving = Rule { is_self_leave: true, ..Rule::KIRIMIN };
        let closing = Rule { last_owner: LastOwner::Closes, ..leaving };
        let check = |is_server, actor, target, rule, expected: &str| {
            assert_eq!(signals_of(is_server, actor, target, rule), expected);
        };
        check(false, Some(1), 3, Rule::KIRIMIN, "1:leave<3 2:leave<3 4:leave<3 3:kick<1");
        check(true, Some(1), 3, Rule::KIRIMIN, "3:kick<1 2:leave<3 4:leave<3");
        // A till has no number, so the signal names the owner.
        check(false, None, 3, Rule::CAPILLARY, "1:leave<3 2:leave<3 4:leave<3 3:kick<1");
        let own_rule = Rule { rank_min: Rank::Beginner, ..leaving };
        check(false, Some(3), 3, own_rule, "1:leave<3 2:leave<3 4:leave<3");
        check(false, Some(1), 1, closing, "2:kick<1 3:kick<1 4:kick<1");
    }
}
