//! Rooms that groups guard: who comes in, who is taken out, and when that is answered.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use conflow::{
    base::ids::Trusted,
    conference::Ask as RoomAsk,
    engine::membership::{AskError, Memberships},
    group::{Ask, At, Done, Name, Person, PersonId, Rank, Refusal, rule::Rule},
    store::rows_memory::Memory,
};
use tokio::sync::oneshot::error::TryRecvError;

use crate::group::{NOW, head, which, who};
use crate::harness::{Bench, account, key, settings};

const ROOM: &str = "<Conference group='6000001'>club</Conference><Speak>bye</Speak>";

/// [`crate::group::GROUP`] with its owner 1, admin 2 and member 3; 4 is outside.
async fn club(settings: conflow::conference::Settings) -> (Bench, Memberships) {
    let bench = Bench::new(settings);
    let memberships = Memberships::open(Arc::new(Memory::default()), Box::new(|| NOW)).unwrap();
    let memberships = memberships.guarding(bench.house.clone());
    for n in 1..=4 {
        let mut person = Person::new(PersonId(n), &format!("user{n}"));
        person.names.insert(Name::SipUser(format!("phone{n}").into()));
        person.names.insert(Name::caller(&format!("+1555{n}")));
        memberships.ask(&account(), Ask::AddPerson(person)).await.unwrap();
    }
    memberships
        .ask(&account(), Ask::Create(head(crate::group::GROUP, "club", Some(1))))
        .await
        .unwrap();
    for (n, rank) in [(2, Rank::Admin), (3, Rank::Member)] {
        add(&memberships, n, rank).await;
    }
    (bench, memberships)
}

async fn add(memberships: &Memberships, n: u64, rank: Rank) {
    let ask = Ask::Add { group: which(), actor: None, target: who(n), rank };
    memberships.ask(&account(), ask).await.unwrap();
}

fn removal(n: u64, rule: Rule) -> Ask {
    crate::group::removal(None, n, rule)
}

fn user(n: u64) -> Option<Trusted> {
    Trusted::user(&format!("user{n}"))
}

#[tokio::test(start_paused = true)]
async fn only_whom_somebody_vouches_for_comes_in() {
    let (mut bench, _memberships) = club(settings()).await;
    for (trusted, comes_in) in [
        (user(1), true),
        (Some(Trusted::SipUser("phone2".into())), true),
        (Some(Trusted::Number("15553".into())), true),
        (user(4), false),
        (user(5), false),
        (Some(Trusted::SipUser("user1".into())), false),
        // A bare From is nobody's word.
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
async fn a_room_is_guarded_as_its_first_call_says() {
    let (mut bench, memberships) = club(settings()).await;
    // Opened by a member: who states nothing must be one all the same.
    bench.run_as(user(1), ROOM);
    bench.run_as(user(4), "<Conference>club</Conference>");
    bench.run_as(user(2), "<Conference>club</Conference><Speak>bye</Speak>");
    bench.run_as(user(2), "<Conference group='6000002'>club</Conference>");
    bench.settle().await;
    let log = bench.log();
    for line in ["call 2 refused not-member", "3 entered 1", "call 4 refused not-member"] {
        assert!(log.contains(&line.to_owned()), "{line}: {log:?}");
    }
    // And is taken out with the others.
    memberships.ask(&account(), removal(2, Rule::BUNGIE)).await.unwrap();
    assert!(bench.log().contains(&"3 exited group-kicked".to_owned()));

    // Opened by anybody: nobody can say that it is for members only.
    bench.run("<Conference>open</Conference>");
    bench.run_as(user(1), "<Conference group='6000001'>open</Conference>");
    // No group, and another account's.
    bench.run_as(user(1), "<Conference group='x'>none</Conference>");
    bench.run_as(user(1), "<Conference group='6000009'>none</Conference>");
    bench.settle().await;
    let log = bench.log();
    let refused = log.iter().filter(|it| it.ends_with("refused not-member"));
    assert_eq!(refused.count(), 3, "{log:?}");
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn every_way_out_of_the_group_is_a_way_out_of_its_rooms() {
    let ban = |until| {
        let (group, actor, target, rule) = (which(), None, who(3), Rule::BUNGIE);
        Ask::Ban { group, actor, target, rule, reason: "".into(), until }
    };
    let (group, actor, rule) = (which(), PersonId(3), Rule::KIRIMIN);
    let leave = Ask::Leave { group: group.clone(), actor, rule };
    let close = Ask::Leave { group, actor: PersonId(1), rule: Rule::KIRIMIN_LEAVE };
    for (ask, out) in [
        (removal(3, Rule::BUNGIE), 1),
        (removal(3, Rule::ROCKET_CHAT), 1),
        (removal(3, Rule::KIRIMIN), 1),
        (removal(3, Rule::CAPILLARY), 1),
        (ban(None), 1),
        (ban(Some(At(NOW.0 + 5))), 1),
        (leave, 1),
        // The group is over.
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
        // The moment of the answer.
        let log = bench.log();
        assert!(matches!(done, Ok(Done::Removed(_))), "{ask:?}: {done:?}");
        let count = |what: &str| log.iter().filter(|it| it.ends_with(what)).count();
        assert_eq!(count("exited group-kicked"), out, "{ask:?}: {log:?}");
        assert_eq!(count("hears bye"), out, "{ask:?}: {log:?}");
        bench.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn all_his_calls_leave_all_rooms_of_the_group_and_of_no_other() {
    let (mut bench, memberships) = club(settings()).await;
    let mut other = head(conflow::group::GroupId(7), "other", Some(3));
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
async fn a_ban_that_is_over_lets_him_come_back() {
    let bench = Bench::new(settings());
    let clock = Arc::new(std::sync::atomic::AtomicU64::new(NOW.0));
    let time = clock.clone();
    let now = Box::new(move || At(time.load(Ordering::Relaxed)));
    let memberships = Memberships::open(Arc::new(Memory::default()), now).unwrap();
    let memberships = memberships.guarding(bench.house.clone());
    let mut bench = bench;
    for n in 1..=2 {
        let person = Person::new(PersonId(n), &format!("user{n}"));
        memberships.ask(&account(), Ask::AddPerson(person)).await.unwrap();
    }
    memberships
        .ask(&account(), Ask::Create(head(crate::group::GROUP, "club", Some(1))))
        .await
        .unwrap();
    add(&memberships, 2, Rank::Member).await;
    let until = Some(At(NOW.0 + 1_000));
    let (group, target, rule) = (which(), who(2), Rule::BUNGIE);
    let ban = Ask::Ban { group, actor: None, target, rule, reason: "".into(), until };
    memberships.ask(&account(), ban).await.unwrap();
    let again = || Ask::Add { group: which(), actor: None, target: who(2), rank: Rank::Member };
    let banned = Err(AskError::Refused(Refusal::Banned));
    assert_eq!(memberships.ask(&account(), again()).await, banned);
    bench.run_as(user(2), ROOM);
    clock.store(NOW.0 + 1_000, Ordering::Relaxed);
    // The ban is over, and he is no member yet.
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
async fn moderators_have_the_room() {
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
    assert!(!bench.log().iter().any(|it| it.contains("ended")), "another one is there");
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
async fn the_last_moderator_who_is_kicked_from_the_group_takes_all_along() {
    let (mut bench, memberships) = club(settings()).await;
    let room = "<Conference group='6000001' moderators='admin'>club</Conference><Speak>bye</Speak>";
    bench.run_as(user(2), room);
    bench.run_as(user(3), room);
    bench.settle().await;
    bench.log();
    memberships.ask(&account(), removal(2, Rule::ROCKET_CHAT)).await.unwrap();
    let expected = [
        "remove 2",
        "1 exited group-kicked",
        "2 exited ended",
        "1 over",
        "call 1 hears bye",
        "call 2 hears bye",
    ];
    assert_eq!(bench.log(), expected);
    bench.close().await;
}

/// The rank is that of the moment of entering: no room ends under its people because a member has
/// another rank now. Who is not to have it any more is kicked.
#[tokio::test(start_paused = true)]
async fn who_has_come_in_as_a_moderator_is_one_until_he_leaves() {
    let (mut bench, memberships) = club(settings()).await;
    let room = "<Conference group='6000001' moderators='admin'>club</Conference><Speak>bye</Speak>";
    bench.run_as(user(3), room);
    bench.settle().await;
    let rank = |n, rank| Ask::SetRank { group: which(), actor: None, target: who(n), rank };
    memberships.ask(&account(), rank(3, Rank::Admin)).await.unwrap();
    bench.settle().await;
    assert!(!bench.is_started(), "he has come in as a member");
    bench.run_as(user(2), room);
    bench.settle().await;
    assert!(bench.is_started());
    bench.log();
    memberships.ask(&account(), rank(2, Rank::Member)).await.unwrap();
    bench.settle().await;
    assert!(!bench.log().iter().any(|it| it.contains("exited")), "it goes on");
    memberships.ask(&account(), removal(2, Rule::BUNGIE)).await.unwrap();
    assert!(bench.log().contains(&"1 exited ended".to_owned()), "he was the last of them");
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_room_that_is_busy_is_told_all_the_same_and_the_answer_waits_for_it() {
    let asks_max = 1;
    let (mut bench, memberships) =
        club(conflow::conference::Settings { asks_max, ..settings() }).await;
    bench.run_as(user(3), ROOM);
    bench.settle().await;
    bench.log();
    // Nobody has a turn before this waits: the room's queue is full.
    let full = bench.house.ask(&key("club"), RoomAsk::Roster).unwrap();
    memberships.ask(&account(), removal(3, Rule::BUNGIE)).await.unwrap();
    let log = bench.log();
    assert!(log.contains(&"call 1 hears bye".to_owned()), "{log:?}");
    full.await.unwrap().unwrap();
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn who_is_told_that_he_is_no_member_is_told_so_when_the_rooms_have_let_go() {
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
    assert_eq!(second, Err(AskError::Refused(Refusal::TargetNotMember)));
    assert!(log.contains(&"call 1 hears bye".to_owned()), "{log:?}");
    bench.close().await;
}

/// What the simulation cannot see: the locks. Somebody dials in again and again, on another
/// thread, while he is removed and taken back again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_removed_is_in_no_room_when_that_is_answered_however_he_races() {
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
                // As many as the room holds, and no more than it can let go of.
                while 60 < caller.house.call_count() && !flag.load(Ordering::Relaxed) {
                    std::thread::yield_now();
                }
            }
        }
    });
    let mut removed = 0;
    for _ in 0..300 {
        memberships.ask(&account(), removal(3, Rule::BUNGIE)).await.unwrap();
        if let Ok(mut answer) = bench.house.ask(&key("club"), RoomAsk::Roster) {
            let answer = loop {
                match answer.try_recv() {
                    Err(TryRecvError::Empty) => tokio::task::yield_now().await,
                    answer => break answer,
                }
            };
            assert!(!matches!(answer, Ok(Ok(_))), "he is in still: {answer:?}");
        }
        add(&memberships, 3, Rank::Member).await;
        removed += bench.log().iter().filter(|it| it.ends_with("exited group-kicked")).count();
    }
    is_over.store(true, Ordering::Relaxed);
    dialling.join().unwrap();
    assert!(0 < removed, "somebody was in, sometimes");
    Arc::into_inner(bench).unwrap().close().await;
}
