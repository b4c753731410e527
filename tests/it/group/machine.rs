//! The membership machine: a test for each rule and each cell of the table of outcomes.

use std::sync::Arc;

use conflow::group::{
    Ask, Change, GroupAnswer, GroupId, GroupInfo, GroupRef, Person, PersonId, PersonName,
    PersonRef, Rank,
    Refusal::{self, *},
    UnixMillis,
    rule::{LastOwner, Rule},
    state::AccountGroups,
};

use super::{GROUP, GroupFixture, NOW, group_info, group_ref, person_ref, removal};

const OUTSIDER: u64 = 7;
const REMOVER: u64 = 9;
const KICKER: u64 = 10;
const STRANGER: u64 = 99;

/// Removes `target` in a fresh world and checks the outcome and the membership afterwards.
fn check(rule: Rule, actor: Option<u64>, target: u64, expected: Result<(), Refusal>) {
    let mut world = GroupFixture::new();
    let done = world.ask(removal(actor, target, rule)).map(drop);
    assert_eq!(done, expected, "{actor:?} removes {target} by {rule:?}");
    let is_in = world.members().contains(&target);
    assert!(expected.is_err() || !is_in, "{target} is still a member");
}

#[test]
fn a_bungie_admin_removes_lower_ranks_and_nobody_removes_the_founder() {
    let check = |actor, target, expected| check(Rule::BUNGIE, Some(actor), target, expected);
    check(1, 2, Ok(()));
    check(2, 3, Ok(()));
    check(3, 5, Ok(()));
    check(3, 6, Ok(()));
    check(3, 4, Err(RankTooLow));
    check(3, 2, Err(RankTooLow));
    check(3, 1, Err(LastOwner));
    check(5, 6, Err(RankTooLow));
    check(5, 1, Err(RankTooLow));
    check(3, 3, Err(SelfTarget));
    check(1, 1, Err(SelfTarget));
    check(OUTSIDER, 5, Err(ActorNotMember));
    check(KICKER, 5, Err(ActorNotMember));
    check(3, OUTSIDER, Err(TargetNotMember));
    check(3, STRANGER, Err(TargetUnknown));
    check(5, STRANGER, Err(RankTooLow));
}

#[test]
fn rocket_chats_moderators_remove_anybody_but_the_last_owner() {
    let check = |actor, target, expected| check(Rule::ROCKET_CHAT, Some(actor), target, expected);
    check(3, 5, Ok(()));
    check(3, 4, Ok(()));
    check(3, 2, Ok(()));
    check(3, 3, Ok(()));
    check(3, 1, Err(LastOwner));
    check(1, 1, Err(LastOwner));
    check(5, 6, Err(RankTooLow));
    check(OUTSIDER, 5, Err(ActorNotMember));
    check(REMOVER, 5, Err(NoAccess));
    check(KICKER, 5, Ok(()));
    check(KICKER, 1, Err(LastOwner));
    check(KICKER, OUTSIDER, Ok(()));
    check(3, OUTSIDER, Err(TargetNotMember));
    check(5, STRANGER, Err(TargetUnknown));
}

#[test]
fn a_permission_is_enough_for_a_plain_member() {
    let mut world = GroupFixture::new();
    let (group, target) = (group_ref(), person_ref(REMOVER));
    world.ask(Ask::Add { group, actor: None, target, rank: Rank::Member }).unwrap();
    let done = world.ask(removal(Some(REMOVER), 5, Rule::BUNGIE)).map(drop);
    assert_eq!(done, Err(RankTooLow));
    world.ask(removal(Some(REMOVER), 5, Rule::ROCKET_CHAT)).unwrap();
    assert_eq!(world.members(), [1, 2, 3, 4, 6, REMOVER]);
}

#[test]
fn a_kirimin_owner_removes_anybody_but_themself() {
    let check = |actor, target, expected| check(Rule::KIRIMIN, Some(actor), target, expected);
    check(1, 2, Ok(()));
    check(1, 1, Err(SelfTarget));
    check(2, 5, Err(RankTooLow));
    check(OUTSIDER, 5, Err(ActorNotMember));
    check(1, OUTSIDER, Err(TargetNotMember));
    check(1, STRANGER, Err(TargetUnknown));
}

#[test]
fn capillarys_server_removes_anybody() {
    let check = |target, expected| check(Rule::CAPILLARY, None, target, expected);
    check(5, Ok(()));
    check(1, Ok(()));
    check(OUTSIDER, Err(TargetNotMember));
    check(STRANGER, Err(TargetUnknown));
}

#[test]
fn the_rule_decides_what_becomes_of_a_group_whose_last_owner_leaves() {
    let check = |last_owner, expected: &[u64], is_closed| {
        let mut world = GroupFixture::new();
        let rule = Rule { last_owner, ..Rule::CAPILLARY };
        let done = world.ask(removal(None, 1, rule)).map(drop);
        assert_eq!(done.is_err(), last_owner == LastOwner::Stays);
        assert_eq!(world.members(), expected, "{last_owner:?}");
        let again = world.ask(removal(None, 5, rule)).map(drop);
        assert_eq!(again == Err(Closed), is_closed, "{last_owner:?}: {again:?}");
    };
    check(LastOwner::Stays, &[1, 2, 3, 4, 5, 6], false);
    check(LastOwner::Closes, &[], true);
    check(LastOwner::Goes, &[2, 3, 4, 5, 6], false);
}

#[test]
fn of_two_owners_one_may_leave_but_not_both() {
    let mut world = GroupFixture::new();
    let (group, target, actor) = (group_ref(), person_ref(5), Some(PersonId(1)));
    world.ask(Ask::SetRank { group, actor, target, rank: Rank::Owner }).unwrap();
    world.ask(removal(Some(3), 1, Rule::ROCKET_CHAT)).unwrap();
    let last = world.ask(removal(Some(3), 5, Rule::ROCKET_CHAT)).map(drop);
    assert_eq!(last, Err(LastOwner));
    let leave = Ask::Leave { group: group_ref(), actor: PersonId(5), rule: Rule::ROCKET_CHAT };
    assert_eq!(world.ask(leave).map(drop), Err(LastOwner));
    let demote =
        Ask::SetRank { group: group_ref(), actor: None, target: person_ref(5), rank: Rank::Member };
    assert_eq!(world.ask(demote).map(drop), Err(LastOwner));
}

/// Bungie's AbdicateFoundership: there is no moment with two owners, or with none.
#[test]
fn an_owner_gives_the_group_away_in_one_step() {
    let abdicate = |actor, target| Ask::Abdicate {
        group: group_ref(),
        actor: PersonId(actor),
        target: person_ref(target),
    };
    let mut world = GroupFixture::new();
    assert_eq!(world.ask(abdicate(3, 5)).map(drop), Err(RankTooLow));
    assert_eq!(world.ask(abdicate(OUTSIDER, 5)).map(drop), Err(ActorNotMember));
    assert_eq!(world.ask(abdicate(1, OUTSIDER)).map(drop), Err(TargetNotMember));
    assert_eq!(world.ask(abdicate(1, 1)).map(drop), Err(SelfTarget));
    let before = world.changes.len();
    world.ask(abdicate(1, 5)).unwrap();
    let ranks = world.changes[before..].iter().filter_map(|change| {
        let Change::Member(_, person, Some(member)) = change else { return None };
        Some((person.0, member.rank))
    });
    assert_eq!(ranks.collect::<Vec<_>>(), [(5, Rank::Owner), (1, Rank::Admin)]);
    assert_eq!(world.ask(abdicate(1, 5)).map(drop), Err(RankTooLow), "not twice");
    world.ask(removal(Some(5), 1, Rule::BUNGIE)).unwrap();
}

#[test]
fn an_invited_person_joins_when_they_apply() {
    let mut world = GroupFixture::new();
    let outsider = PersonId(OUTSIDER);
    let apply = Ask::Apply { group: group_ref(), actor: outsider };
    let invite = |actor| {
        let (group, actor) = (group_ref(), Some(PersonId(actor)));
        Ask::Invite { group, actor, target: person_ref(OUTSIDER) }
    };
    let decide = |is_approved| {
        let (group, actor, target) = (group_ref(), Some(PersonId(3)), person_ref(OUTSIDER));
        Ask::Decide { group, actor, target, is_approved }
    };
    assert_eq!(world.ask(invite(6)).map(drop), Err(RankTooLow));
    world.ask(invite(3)).unwrap();
    let before = world.changes.len();
    world.ask(invite(3)).unwrap();
    assert_eq!(world.changes.len(), before, "a repeated invitation changes nothing");
    assert_eq!(world.ask(decide(true)).map(drop), Err(NoApplication), "they have not applied");
    world.ask(decide(false)).unwrap();
    assert_eq!(world.ask(apply.clone()), Ok(GroupAnswer::Pending), "the invitation is taken back");
    world.ask(invite(3)).unwrap();
    assert!(world.members().contains(&OUTSIDER), "both want it");
    world.ask(removal(Some(3), OUTSIDER, Rule::BUNGIE)).unwrap();
    world.ask(invite(3)).unwrap();
    world.ask(apply).unwrap();
    assert!(world.members().contains(&OUTSIDER));
    assert_eq!(world.ask(invite(3)).map(drop), Err(AlreadyMember));
}

#[test]
fn the_second_of_two_removals_finds_no_member() {
    for rule in [Rule::BUNGIE, Rule::ROCKET_CHAT, Rule::KIRIMIN] {
        let mut world = GroupFixture::new();
        world.ask(removal(Some(1), 5, rule)).unwrap();
        let again = world.ask(removal(Some(1), 5, rule)).map(drop);
        assert_eq!(again, Err(TargetNotMember));
    }
}

#[test]
fn a_person_kicked_in_bungie_applies_and_is_admitted_or_denied() {
    let mut world = GroupFixture::new();
    world.ask(removal(Some(1), 5, Rule::BUNGIE)).unwrap();
    let apply = Ask::Apply { group: group_ref(), actor: PersonId(5) };
    let decide = |actor: u64, is_approved| {
        let (group, actor, target) = (group_ref(), Some(PersonId(actor)), person_ref(5));
        Ask::Decide { group, actor, target, is_approved }
    };
    assert_eq!(world.ask(decide(3, true)).map(drop), Err(NoApplication));
    assert_eq!(world.ask(apply.clone()), Ok(GroupAnswer::Pending));
    assert_eq!(world.ask(apply.clone()), Ok(GroupAnswer::Pending));
    assert_eq!(world.ask(decide(6, true)).map(drop), Err(RankTooLow));
    world.ask(decide(3, false)).unwrap();
    assert!(!world.members().contains(&5));
    assert_eq!(world.ask(decide(3, true)).map(drop), Err(NoApplication));
    assert_eq!(world.ask(apply.clone()), Ok(GroupAnswer::Pending));
    world.ask(decide(3, true)).unwrap();
    assert!(world.members().contains(&5));
    assert_eq!(world.ask(apply).map(drop), Err(AlreadyMember));
}

#[test]
fn a_person_kicked_in_rocket_chat_needs_a_new_invitation() {
    let mut world = GroupFixture::new();
    world.ask(removal(Some(3), 5, Rule::ROCKET_CHAT)).unwrap();
    let invite = |actor| {
        let (group, actor, target) = (group_ref(), Some(PersonId(actor)), person_ref(5));
        Ask::Add { group, actor, target, rank: Rank::Member }
    };
    assert_eq!(world.ask(invite(6)).map(drop), Err(RankTooLow));
    assert_eq!(world.ask(invite(OUTSIDER)).map(drop), Err(ActorNotMember));
    world.ask(invite(3)).unwrap();
    assert_eq!(world.ask(invite(3)).map(drop), Err(AlreadyMember));
}

#[test]
fn a_person_kicked_in_kirimin_returns_by_the_link_until_it_is_reset() {
    let mut world = GroupFixture::new();
    let join = |link: &str| Ask::Join { group: group_ref(), actor: PersonId(5), link: link.into() };
    world.ask(removal(Some(1), 5, Rule::KIRIMIN)).unwrap();
    assert_eq!(world.ask(join("guess")).map(drop), Err(NotInvited));
    // Of two who come at once with the link, one is told to the others.
    for expected in [false, true] {
        let Ok(GroupAnswer::Joined(joined)) = world.ask(join("open-sesame")) else { panic!("in") };
        assert_eq!(joined.was_member, expected);
    }
    world.ask(removal(Some(1), 5, Rule::KIRIMIN)).unwrap();
    let reset =
        |actor| Ask::ResetLink { group: group_ref(), actor: PersonId(actor), link: "new".into() };
    assert_eq!(world.ask(reset(3)).map(drop), Err(RankTooLow));
    world.ask(reset(1)).unwrap();
    assert_eq!(world.ask(join("open-sesame")).map(drop), Err(NotInvited));
    world.ask(join("new")).unwrap();
}

#[test]
fn a_person_removed_in_capillary_joins_again() {
    let mut world = GroupFixture::new();
    world.ask(removal(None, 5, Rule::CAPILLARY)).unwrap();
    let (group, target) = (group_ref(), PersonRef::Name(PersonName::Mobile("5".into())));
    world.ask(Ask::Add { group, actor: None, target, rank: Rank::Member }).unwrap();
    assert!(world.members().contains(&5));
}

#[test]
fn of_two_first_owners_at_once_one_is_taken_in() {
    let mut world = GroupFixture::new();
    let group = GroupRef::Name("new".into());
    world.ask(Ask::Create(group_info(GroupId(99), "new", None))).unwrap();
    let add = |n| Ask::AddFirstOwner { group: group.clone(), actor: None, target: person_ref(n) };
    world.ask(add(5)).unwrap();
    assert_eq!(world.ask(add(6)).map(drop), Err(HasOwner));
    let target = person_ref(6);
    world.ask(Ask::Add { group, actor: None, target, rank: Rank::Member }).unwrap();
}

#[test]
fn nobody_owns_more_groups_than_they_may_by_asking_for_two_at_once() {
    let mut world = GroupFixture::new();
    let create = |id, name| {
        let info = GroupInfo { members_max: 7, ..group_info(GroupId(id), name, Some(5)) };
        Ask::CreateOwn { info, own_max: 2 }
    };
    world.ask(create(90, "a")).unwrap();
    world.ask(create(91, "b")).unwrap();
    assert_eq!(world.ask(create(92, "c")).map(drop), Err(OwnsTooMany));
    // Groups of another size are another dialect's.
    let info = GroupInfo { members_max: 8, ..group_info(GroupId(92), "c", Some(5)) };
    world.ask(Ask::CreateOwn { info, own_max: 2 }).unwrap();
}

#[test]
fn a_removal_that_ends_the_group_names_who_else_was_in_it() {
    let mut world = GroupFixture::new();
    let before = world.members();
    let Ok(GroupAnswer::Removed(removed)) = world.ask(removal(None, 1, Rule::CAPILLARY)) else {
        panic!("out");
    };
    assert!(removed.snapshot.group.info.is_closed);
    let others: Vec<_> = removed.others.iter().map(|it| it.0).collect();
    let expected: Vec<_> = before.iter().copied().filter(|it| *it != 1).collect();
    assert_eq!(others, expected);
}

#[test]
fn a_ban_holds_until_it_is_lifted_or_expires() {
    let mut world = GroupFixture::new();
    let ban = |actor, target, until| Ask::Ban {
        group: group_ref(),
        actor: Some(PersonId(actor)),
        target: person_ref(target),
        rule: Rule::BUNGIE,
        reason: "bye".into(),
        until,
    };
    let apply = |n| Ask::Apply { group: group_ref(), actor: PersonId(n) };
    assert_eq!(world.ask(ban(3, OUTSIDER, None)).map(drop), Err(TargetNotMember));
    assert_eq!(world.ask(ban(3, 2, None)).map(drop), Err(RankTooLow));
    world.ask(ban(3, 5, None)).unwrap();
    world.ask(ban(3, 6, Some(UnixMillis(NOW.0 + 1_000)))).unwrap();
    assert_eq!(world.members(), [1, 2, 3, 4]);
    assert_eq!(world.ask(apply(5)).map(drop), Err(Banned));
    let (group, target) = (group_ref(), person_ref(5));
    let add = Ask::Add { group, actor: Some(PersonId(1)), target, rank: Rank::Member };
    assert_eq!(world.ask(add).map(drop), Err(Banned));
    assert_eq!(world.ask_at(UnixMillis(NOW.0 + 999), apply(6)).map(drop), Err(Banned));
    assert_eq!(world.ask_at(UnixMillis(NOW.0 + 1_000), apply(6)), Ok(GroupAnswer::Pending));
    let (group, actor, target) = (group_ref(), Some(PersonId(3)), person_ref(5));
    world.ask(Ask::Unban { group, actor, target }).unwrap();
    assert_eq!(world.ask(apply(5)), Ok(GroupAnswer::Pending));
}

#[test]
fn a_rank_is_given_only_by_a_higher_rank() {
    let check = |actor: u64, target, rank, expected| {
        let (group, actor, target) = (group_ref(), Some(PersonId(actor)), person_ref(target));
        let done = GroupFixture::new().ask(Ask::SetRank { group, actor, target, rank }).map(drop);
        assert_eq!(done, expected, "{actor:?} makes a {rank:?}");
    };
    check(1, 5, Rank::Owner, Ok(()));
    check(2, 5, Rank::Admin, Ok(()));
    check(3, 5, Rank::Beginner, Ok(()));
    check(3, 5, Rank::Admin, Err(RankTooLow));
    check(3, 2, Rank::Member, Err(RankTooLow));
    check(5, 6, Rank::Member, Err(RankTooLow));
    check(1, OUTSIDER, Rank::Member, Err(TargetNotMember));
    check(1, 1, Rank::Member, Err(LastOwner));
}

#[test]
fn a_name_belongs_to_one_person() {
    let mut world = GroupFixture::new();
    let mut person = Person::new(PersonId(11), "USER1");
    assert_eq!(world.ask(Ask::AddPerson(person.clone())).map(drop), Err(NameTaken));
    person.names = [PersonName::Mobile("5".into())].into();
    assert_eq!(world.ask(Ask::AddPerson(person.clone())).map(drop), Err(NameTaken));
    person.names = [PersonName::email("A@b.example")].into();
    world.ask(Ask::AddPerson(person.clone())).unwrap();
    let found = world.ask(Ask::Find(PersonRef::Name(PersonName::email("a@B.example"))));
    assert_eq!(found, Ok(GroupAnswer::Person(person)));
    let other = group_info(GroupId(6_000_002), "weekly", Some(1));
    assert_eq!(world.ask(Ask::Create(other)).map(drop), Err(NameTaken));
}

#[test]
fn an_unknown_group_is_refused() {
    for group in [GroupRef::Id(GroupId(5)), GroupRef::Name("no".into()), GroupRef::Link("".into())]
    {
        let ask = Ask::Leave { group, actor: PersonId(1), rule: Rule::KIRIMIN };
        assert_eq!(GroupFixture::new().ask(ask).map(drop), Err(NoGroup));
    }
}

#[test]
fn a_full_group_admits_nobody() {
    let mut world = GroupFixture::new();
    let id = GroupId(6_000_002);
    let mut small = group_info(id, "small", Some(1));
    small.members_max = 1;
    world.ask(Ask::Create(small)).unwrap();
    let (group, target) = (GroupRef::Id(id), person_ref(2));
    let add = Ask::Add { group, actor: None, target, rank: Rank::Member };
    assert_eq!(world.ask(add).map(drop), Err(Full));
}

#[test]
fn a_machine_restored_from_its_changes_equals_the_original() {
    let mut world = GroupFixture::new();
    world.ask(removal(Some(1), 5, Rule::BUNGIE)).unwrap();
    world.ask(Ask::Apply { group: group_ref(), actor: PersonId(OUTSIDER) }).unwrap();
    let mut other = AccountGroups::default();
    // The group's row is last in a batch, but first when a store is loaded.
    let is_info = |it: &Change| matches!(it, Change::Info(_));
    let (infos, rest): (Vec<_>, Vec<_>) = world.changes.iter().cloned().partition(is_info);
    infos.into_iter().chain(rest).for_each(|it| other.restore(it));
    assert!(other == world.groups);
    assert_eq!(other.last_ids(), (10, GROUP.0));
}

#[test]
fn a_snapshot_is_shared_with_the_machine_and_never_changes() {
    let mut world = GroupFixture::new();
    let mut snapshot = || {
        let Ok(GroupAnswer::Group(snapshot)) = world.ask(Ask::Show(group_ref())) else {
            panic!("no group")
        };
        *snapshot
    };
    let (first, second) = (snapshot(), snapshot());
    assert!(Arc::ptr_eq(&first.group, &second.group) && Arc::ptr_eq(&first.people, &second.people));
    let Ok(GroupAnswer::Removed(removed)) = world.ask(removal(Some(1), 5, Rule::BUNGIE)) else {
        panic!("nobody was removed")
    };
    assert!(first.group.members.contains_key(&PersonId(5)), "as it was");
    assert!(!removed.snapshot.group.members.contains_key(&PersonId(5)), "as it is");
    assert!(Arc::ptr_eq(&first.people, &removed.snapshot.people), "nobody is copied for a kick");
}
