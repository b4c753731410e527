//! Rooms guarded by groups: who is admitted, who is removed, and when the removal is answered.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use conflow::{
    base::ids::Trusted,
    conference::Ask as RoomAsk,
    engine::membership::{GroupAskError, Memberships},
    group::{
        Ask, GroupAnswer, Person, PersonId, PersonName, Rank, Refusal, UnixMillis, rule::Rule,
    },
    store::rows_memory::MemoryRows,
};
use tokio::sync::oneshot::error::TryRecvError;

use crate::group::{NOW, group_info, group_ref, person_ref};
use crate::harness::{Bench, account, key, settings};

const ROOM: &str = "<Conference group='6000001'>club</Conference><Speak>bye</Speak>";

/// [`crate::group::GROUP`] with owner 1, admin 2 and member 3; person 4 is outside.
async fn club(settings: conflow::conference::Settings) -> (Bench, Memberships) {
    let bench = Bench::new(settings);
    let memberships = Memberships::open(Arc::new(MemoryRows::default()), Box::new(|| NOW)).unwrap();
    let memberships = memberships.guarding(bench.registry.clone());
    for n in 1..=4 {
        let mut person = Person::new(PersonId(n), &format!("user{n}"));
        person.names.insert(PersonName::SipUser(format!("phone{n}").into()));
        person.names.insert(PersonName::caller(&format!("+1555{n}")));
        memberships.ask(&account(), Ask::AddPerson(person)).await.unwrap();
    }
    memberships
        .ask(&account(), Ask::Create(group_info(crate::group::GROUP, "club", Some(1))))
        .await
        .unwrap();
    for (n, rank) in [(2, Rank::Admin), (3, Rank::Member)] {
        add(&memberships, n, rank).await;
    }
    (bench, memberships)
}

async fn add(memberships: &Memberships, n: u64, rank: Rank) {
    let ask = Ask::Add { group: group_ref(), actor: None, target: person_ref(n), rank };
    memberships.ask(&account(), ask).await.unwrap();
}

fn removal(n: u64, rule: Rule) -> Ask {
    crate::group::removal(None, n, rule)
}

fn user(n: u64) -> Option<Trusted> {
    Trusted::user(&format!("user{n}"))
}

#[tokio::test(start_paused = true)]
async fn only_a_caller_with_a_trusted_identity_is_admitted() {
    let (mut bench, _memberships) = club(settings()).await;
    for (trusted, comes_in) in [
        (user(1), true),
        (Some(Trusted::SipUser("phone2".into())), true),
        (Some(Trusted::Number("15553".into())), true),
        (user(4), false),
        (user(5), false),
        (Some(Trusted::SipUser("user1".into())), false),
        // A bare From header proves nothing.
        (None, false),
    ] {
        bench.run_as(trusted.clone(), ROOM);
        bench.settle().await;
        let log = bench.log();
        assert_eq!(log[0].contains("entered"), comes_in, "{trusted:?}: {log:?}");
        let refused = log.iter().any(|it| it.ends_with("refused not-member"));
        let goes_on = log.iter().any(|it| it.ends_with("hears bye"));
        assert_eq!((refused, goes_on), (!comes_in, !comes_in), "{trusted:?}: {log:?}");
    }
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn the_first_call_decides_whether_a_room_is_guarded() {
    let (mut bench, memberships) = club(settings()).await;
    // Opened by a member: a caller whose flow names no group must be a member too.
    bench.run_as(user(1), ROOM);
    bench.run_as(user(4), "<Conference>club</Conference>");
    bench.run_as(user(2), "<Conference>club</Conference><Speak>bye</Speak>");
    bench.run_as(user(2), "<Conference group='6000002'>club</Conference>");
    bench.settle().await;
    let log = bench.log();
    for line in ["call 2 refused not-member", "3 entered 1", "call 4 refused not-member"] {
        assert!(log.contains(&line.to_owned()), "{line}: {log:?}");
    }
    // And is removed with the others.
    memberships.ask(&account(), removal(2, Rule::BUNGIE)).await.unwrap();
    assert!(bench.log().contains(&"3 exited group-kicked".to_owned()));

    // Opened without a group: nobody can make it members-only afterwards.
    bench.run("<Conference>open</Conference>");
    bench.run_as(user(1), "<Conference group='6000001'>open</Conference>");
    // No such group, and a group of another account.
    bench.run_as(user(1), "<Conference group='x'>none</Conference>");
    bench.run_as(user(1), "<Conference group='6000009'>none</Conference>");
    bench.settle().await;
    let log = bench.log();
    let refused = log.iter().filter(|it| it.ends_with("refused not-member"));
    assert_eq!(refused.count(), 3, "{log:?}");
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn every_removal_from_the_group_is_a_removal_from_its_rooms() {
    let ban = |until| {
        let (group, actor, target, rule) = (group_ref(), None, person_ref(3), Rule::BUNGIE);
        Ask::Ban { group, actor, target, rule, reason: "".into(), until }
    };
    let (group, actor, rule) = (group_ref(), PersonId(3), Rule::KIRIMIN);
    let leave = Ask::Leave { group: group.clone(), actor, rule };
    let close = Ask::Leave { group, actor: PersonId(1), rule: Rule::KIRIMIN_LEAVE };
    for (ask, out) in [
        (removal(3, Rule::BUNGIE), 1),
        (removal(3, Rule::ROCKET_CHAT), 1),
        (removal(3, Rule::KIRIMIN), 1),
        (removal(3, Rule::CAPILLARY), 1),
        (ban(None), 1),
        (ban(Some(UnixMillis(NOW.0 + 5))), 1),
        (leave, 1),
        // The group is closed.
        (close, 3),
        (removal(1, Rule::CAPILLARY), 3),
    ] {
        let (mut bench, memberships) = club(settings()).await;
        for n in 1..=3 {
            bench.run_as(user(n), ROOM);
        }
        bench.settle().await;
        bench.log();
        let done = memberships.ask(&account(), ask.clone()).await;
        // The log at the moment of the answer.
        let log = bench.log();
        assert!(matches!(done, Ok(GroupAnswer::Removed(_))), "{ask:?}: {done:?}");
        let count = |what: &str| log.iter().filter(|it| it.ends_with(what)).count();
        assert_eq!(count("exited group-kicked"), out, "{ask:?}: {log:?}");
        assert_eq!(count("hears bye"), out, "{ask:?}: {log:?}");
        bench.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn all_calls_of_a_removed_person_leave_all_rooms_of_the_group_and_of_no_other() {
    let (mut bench, memberships) = club(settings()).await;
    let mut other = group_info(conflow::group::GroupId(7), "other", Some(3));
    other.link = "other".into();
    memberships.ask(&account(), Ask::Create(other)).await.unwrap();
    for (n, room) in [
        (3, "<Conference group='6000001'>a</Conference><Speak>bye</Speak>"),
        (3, "<Conference group='6000001'>a</Conference><Speak>bye</Speak>"),
        (3, "<Conference group='6000001'>b</Conference><Speak>bye</Speak>"),
        (3, "<Conference group='7'>c</Conference>"),
        (3, "<Conference>d</Conference>"),
        (2, "<Conference group='6000001'>a</Conference>"),
    ] {
        bench.run_as(user(n), room);
    }
    bench.settle().await;
    bench.log();
    memberships.ask(&account(), removal(3, Rule::BUNGIE)).await.unwrap();
    let log = bench.log();
    let out: Vec<_> = log.iter().filter(|it| it.contains("exited")).collect();
    assert_eq!(out.len(), 3, "{log:?}");
    for n in 1..=3 {
        assert!(log.contains(&format!("{n} exited group-kicked")), "{log:?}");
        assert!(log.contains(&format!("call {n} hears bye")), "{log:?}");
    }
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_person_whose_ban_has_expired_may_return() {
    let bench = Bench::new(settings());
    let clock = Arc::new(std::sync::atomic::AtomicU64::new(NOW.0));
    let time = clock.clone();
    let now = Box::new(move || UnixMillis(time.load(Ordering::Relaxed)));
    let memberships = Memberships::open(Arc::new(MemoryRows::default()), now).unwrap();
    let memberships = memberships.guarding(bench.registry.clone());
    let mut bench = bench;
    for n in 1..=2 {
        let person = Person::new(PersonId(n), &format!("user{n}"));
        memberships.ask(&account(), Ask::AddPerson(person)).await.unwrap();
    }
    memberships
        .ask(&account(), Ask::Create(group_info(crate::group::GROUP, "club", Some(1))))
        .await
        .unwrap();
    add(&memberships, 2, Rank::Member).await;
    let until = Some(UnixMillis(NOW.0 + 1_000));
    let (group, target, rule) = (group_ref(), person_ref(2), Rule::BUNGIE);
    let ban = Ask::Ban { group, actor: None, target, rule, reason: "".into(), until };
    memberships.ask(&account(), ban).await.unwrap();
    let again =
        || Ask::Add { group: group_ref(), actor: None, target: person_ref(2), rank: Rank::Member };
    let banned = Err(GroupAskError::Refused(Refusal::Banned));
    assert_eq!(memberships.ask(&account(), again()).await, banned);
    bench.run_as(user(2), ROOM);
    clock.store(NOW.0 + 1_000, Ordering::Relaxed);
    // The ban has expired, but the person is not a member yet.
    bench.run_as(user(2), ROOM);
    memberships.ask(&account(), again()).await.unwrap();
    bench.run_as(user(2), ROOM);
    bench.settle().await;
    let log = bench.log();
    let expected = ["call 1 refused not-member", "call 2 refused not-member", "3 entered 1"];
    let found: Vec<_> = log.iter().filter(|it| !it.contains("hears")).collect();
    assert_eq!(found, expected);
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn moderators_start_and_end_the_room() {
    let (mut bench, _memberships) = club(settings()).await;
    let room = "<Conference group='6000001' moderators='admin'>club</Conference><Speak>bye</Speak>";
    let star = room.replace("moderators", "hangupOnStar='true' moderators");
    bench.run_as(user(3), room);
    bench.settle().await;
    assert!(!bench.is_started(), "a member does not start it");
    let (admin, owner) = (bench.run_as(user(2), &star), bench.run_as(user(1), &star));
    bench.settle().await;
    assert!(bench.is_started(), "an admin does");
    bench.log();
    bench.press(admin, '*');
    bench.settle().await;
    assert!(!bench.log().iter().any(|it| it.contains("ended")), "another moderator is in the room");
    bench.press(owner, '*');
    bench.settle().await;
    let log = bench.log();
    for line in ["3 exited starred", "1 exited ended", "call 1 hears bye"] {
        assert!(log.contains(&line.to_owned()), "{log:?}");
    }
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn ranks_change_nothing_without_the_attribute() {
    let (mut bench, memberships) = club(settings()).await;
    bench.run_as(user(3), ROOM);
    bench.settle().await;
    assert!(bench.is_started());
    bench.run_as(user(1), ROOM);
    bench.run_as(user(2), ROOM);
    bench.settle().await;
    bench.log();
    memberships.ask(&account(), removal(2, Rule::BUNGIE)).await.unwrap();
    let log = bench.log();
    assert_eq!(log.iter().filter(|it| it.contains("exited")).count(), 1, "{log:?}");
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_kick_of_the_last_moderator_from_the_group_releases_everyone() {
    let (mut bench, memberships) = club(settings()).await;
    let room = "<Conference group='6000001' moderators='admin'>club</Conference><Speak>bye</Speak>";
    bench.run_as(user(2), room);
    bench.run_as(user(3), room);
    bench.settle().await;
    bench.log();
    memberships.ask(&account(), removal(2, Rule::ROCKET_CHAT)).await.unwrap();
    let expected = [
        "1 exited group-kicked",
        "2 exited ended",
        "1 over",
        "remove 2",
        "call 1 hears bye",
        "call 2 hears bye",
    ];
    assert_eq!(bench.log(), expected);
    bench.close().await;
}

/// The rank is that of the moment of entry: no room ends because a member's rank changes. To take
/// moderation from a person, kick them.
#[tokio::test(start_paused = true)]
async fn a_person_who_entered_as_a_moderator_remains_one_until_they_leave() {
    let (mut bench, memberships) = club(settings()).await;
    let room = "<Conference group='6000001' moderators='admin'>club</Conference><Speak>bye</Speak>";
    bench.run_as(user(3), room);
    bench.settle().await;
    let rank =
        |n, rank| Ask::SetRank { group: group_ref(), actor: None, target: person_ref(n), rank };
    memberships.ask(&account(), rank(3, Rank::Admin)).await.unwrap();
    bench.settle().await;
    assert!(!bench.is_started(), "they entered as a member");
    bench.run_as(user(2), room);
    bench.settle().await;
    assert!(bench.is_started());
    bench.log();
    memberships.ask(&account(), rank(2, Rank::Member)).await.unwrap();
    bench.settle().await;
    assert!(!bench.log().iter().any(|it| it.contains("exited")), "the room continues");
    memberships.ask(&account(), removal(2, Rule::BUNGIE)).await.unwrap();
    assert!(bench.log().contains(&"1 exited ended".to_owned()), "the last moderator has left");
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_busy_room_receives_the_removal_and_the_answer_waits_for_it() {
    let asks_max = 1;
    let (mut bench, memberships) =
        club(conflow::conference::Settings { asks_max, ..settings() }).await;
    bench.run_as(user(3), ROOM);
    bench.settle().await;
    bench.log();
    // No actor has a turn before this task waits, so the room's queue is full.
    let full = bench.registry.ask(&key("club"), RoomAsk::Roster).unwrap();
    memberships.ask(&account(), removal(3, Rule::BUNGIE)).await.unwrap();
    let log = bench.log();
    assert!(log.contains(&"call 1 hears bye".to_owned()), "{log:?}");
    full.await.unwrap().unwrap();
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_refusal_for_no_member_is_answered_when_the_rooms_have_released_them() {
    let (mut bench, memberships) = club(settings()).await;
    bench.run_as(user(3), ROOM);
    bench.settle().await;
    bench.log();
    let account = account();
    let kick = || memberships.ask(&account, removal(3, Rule::BUNGIE));
    let second = async {
        let answer = kick().await;
        (answer, bench.log())
    };
    let (first, (second, log)) = tokio::join!(kick(), second);
    assert!(first.is_ok());
    assert_eq!(second, Err(GroupAskError::Refused(Refusal::TargetNotMember)));
    assert!(log.contains(&"call 1 hears bye".to_owned()), "{log:?}");
    bench.close().await;
}

/// Covers what the simulation cannot: the locks. A person dials in repeatedly on another thread,
/// while they are removed and readmitted repeatedly.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_person_is_in_no_room_when_the_removal_is_answered() {
    let (bench, memberships) = club(settings()).await;
    let (is_over, bench) = (Arc::new(AtomicBool::new(false)), Arc::new(bench));
    let (caller, flag) = (bench.clone(), is_over.clone());
    let dialling = std::thread::spawn({
        let runtime = tokio::runtime::Handle::current();
        move || {
            let _guard = runtime.enter();
            let mut n = 10_000;
            while !flag.load(Ordering::Relaxed) {
                n += 1;
                caller.run_nth(n, user(3), "<Conference group='6000001'>club</Conference>");
                // As many calls as the room holds, and no more than it can release.
                while 60 < caller.registry.call_count() && !flag.load(Ordering::Relaxed) {
                    std::thread::yield_now();
                }
            }
        }
    });
    let mut removed = 0;
    for _ in 0..300 {
        memberships.ask(&account(), removal(3, Rule::BUNGIE)).await.unwrap();
        if let Ok(mut answer) = bench.registry.ask(&key("club"), RoomAsk::Roster) {
            let answer = loop {
                match answer.try_recv() {
                    Err(TryRecvError::Empty) => tokio::task::yield_now().await,
                    answer => break answer,
                }
            };
            assert!(!matches!(answer, Ok(Ok(_))), "still in a room: {answer:?}");
        }
        add(&memberships, 3, Rank::Member).await;
        removed += bench.log().iter().filter(|it| it.ends_with("exited group-kicked")).count();
    }
    is_over.store(true, Ordering::Relaxed);
    dialling.join().unwrap();
    assert!(0 < removed, "no removal found the person in a room");
    Arc::into_inner(bench).unwrap().close().await;
}
