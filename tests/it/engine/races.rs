//! Races that have broken other conference servers, one test each, on the real actors.
//!
//! "At once" means here: two messages in the queue of one actor, in either order. The simulation
//! and the threads of `engine/conference.rs` try the orders that nobody thought of.

use std::time::Duration;

use conflow::{
    base::ids::{CallId, MemberId},
    conference::{Ask, Kick, MemberSelector, Refusal},
    engine::registry::AskError,
    media::{LegEvent, Report},
};

use crate::harness::{Bench, key, members, settings};

const NOBODY: AskError = AskError::Refused(Refusal::NoMember);

fn kick(who: MemberSelector) -> Ask {
    Ask::Kick { who, kick: Kick::default() }
}

fn these(ids: &[u64]) -> MemberSelector {
    MemberSelector::These(ids.iter().copied().map(MemberId).collect())
}

/// A registry with a call for each of these flows. Its log has been read.
async fn bench(flows: &[&str]) -> Bench {
    let mut bench = Bench::new(settings());
    for flow in flows {
        bench.run(flow);
    }
    bench.settle().await;
    bench.log();
    bench
}

const PLAIN: &str = "<Conference>a</Conference><Speak>bye</Speak>";
const ENDER: &str = "<Conference endConferenceOnExit='true'>a</Conference><Speak>bye</Speak>";
const SHY: &str = "<Conference stayAlone='false'>a</Conference><Speak>bye</Speak>";

#[tokio::test(start_paused = true)]
async fn kick_against_hang_up() {
    let bench = bench(&[PLAIN, PLAIN]).await;
    let call = CallId::of(1);
    // The caller has hung up when the kick is handled.
    bench.registry.report(Report { call, event: LegEvent::HungUp });
    assert_eq!(bench.kick("a", these(&[1])).await, Err(NOBODY));
    bench.settle().await;
    assert_eq!(bench.log(), ["1 exited caller-left", "remove 1", "call 1 ended Normal Hangup"]);
    // The other way round: the call continues, and ends as a hang-up by the caller.
    let kicked = bench.registry.ask(&key("a"), kick(these(&[2]))).unwrap();
    let call = CallId::of(2);
    bench.registry.report(Report { call, event: LegEvent::HungUp });
    assert_eq!(members(kicked.await.unwrap()), Ok(vec![MemberId(2)]));
    bench.settle().await;
    let log = bench.log();
    assert_eq!(log, ["2 exited kicked", "1 over", "remove 1", "call 2 ended Normal Hangup"]);
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn kick_against_join() {
    let mut bench = bench(&[]).await;
    bench.run(PLAIN);
    // The call has not yet been handled by the room, and the kick finds it nevertheless.
    assert_eq!(bench.kick("a", these(&[1])).await, Ok(vec![MemberId(1)]));
    let expected = ["1 entered 1", "1 exited kicked", "1 over", "remove 1", "call 1 hears bye"];
    assert_eq!(bench.log(), expected);
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn kick_against_kick() {
    let bench = bench(&[PLAIN, PLAIN]).await;
    let first = bench.registry.ask(&key("a"), kick(these(&[1]))).unwrap();
    let second = bench.registry.ask(&key("a"), kick(these(&[1, 2]))).unwrap();
    assert_eq!(members(first.await.unwrap()), Ok(vec![MemberId(1)]));
    assert_eq!(members(second.await.unwrap()), Ok(vec![MemberId(2)]));
    let log = bench.log();
    assert_eq!(log.iter().filter(|line| *line == "call 1 hears bye").count(), 1, "{log:?}");
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn kick_all_against_end_on_exit_and_a_minimum_of_two() {
    let bench = bench(&[PLAIN, ENDER, SHY, ENDER, SHY]).await;
    assert_eq!(bench.kick("a", MemberSelector::All).await.unwrap().len(), 5);
    let log = bench.log();
    for n in 1..=5 {
        assert!(log.contains(&format!("{n} exited kicked")), "{log:?}");
        assert!(log.contains(&format!("call {n} hears bye")), "{log:?}");
    }
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn kick_against_playback() {
    let bench = bench(&["<Speak>hello</Speak><Conference>a</Conference><Speak>bye</Speak>"]).await;
    let call = CallId::of(1);
    let over = |number| Report { call, event: LegEvent::Finished(number) };
    bench.registry.report(over(1));
    bench.settle().await;
    assert_eq!(bench.kick("a", MemberSelector::All).await, Ok(vec![MemberId(1)]));
    // A late report about the sound from before the room ends nothing.
    bench.registry.report(over(1));
    bench.settle().await;
    assert!(bench.registry.is_up(call), "it is still speaking");
    bench.registry.report(over(2));
    bench.settle().await;
    assert!(!bench.registry.is_up(call));
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn kick_against_hold() {
    let bench = bench(&[SHY, PLAIN]).await;
    for call in bench.registry.calls() {
        bench.registry.report(Report { call, event: LegEvent::Hold(true) });
    }
    bench.settle().await;
    assert_eq!(bench.log(), [""; 0], "a holding member is still company");
    assert_eq!(bench.kick("a", these(&[2])).await, Ok(vec![MemberId(2)]));
    assert!(bench.log().contains(&"1 exited alone".to_owned()));
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn time_limit_against_a_new_joiner() {
    let mut bench = bench(&["<Conference timeLimit='60'>a</Conference><Speak>bye</Speak>"]).await;
    tokio::time::sleep(Duration::from_secs(59)).await;
    bench.run("<Conference timeLimit='60'>a</Conference><Speak>bye</Speak>");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let log = bench.log();
    assert!(log.contains(&"2 exited time-up".to_owned()), "{log:?}");
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn join_against_the_end_of_the_same_name() {
    let mut bench = bench(&[PLAIN]).await;
    let kicked = bench.registry.ask(&key("a"), kick(MemberSelector::All)).unwrap();
    bench.run(PLAIN);
    assert_eq!(members(kicked.await.unwrap()), Ok(vec![MemberId(1)]));
    bench.settle().await;
    let log = bench.log();
    // A fresh room, with its own id.
    assert!(log.iter().any(|line| line.ends_with("entered 2")), "{log:?}");
    assert!(!log.iter().any(|line| line.contains("refused")), "{log:?}");
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn redirect_of_two_members_into_the_same_room() {
    const AGAIN: &str = "<Conference>a</Conference><Conference>b</Conference>";
    let bench = bench(&[AGAIN, AGAIN]).await;
    bench.kick("a", MemberSelector::All).await.unwrap();
    bench.settle().await;
    let there = bench.ask("b", Ask::Roster).await.unwrap();
    assert_eq!(there, [MemberId(3), MemberId(4)]);
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_kicked_member_rejoins_the_same_room() {
    const AGAIN: &str = "<Conference>a</Conference><Conference>a</Conference>";
    let bench = bench(&[AGAIN, AGAIN]).await;
    bench.kick("a", MemberSelector::All).await.unwrap();
    bench.settle().await;
    // They have new ids: a late hang-up of the old ids does not reach them.
    assert_eq!(bench.ask("a", Ask::HangUp { who: these(&[1, 2]) }).await, Err(NOBODY));
    assert_eq!(bench.ask("a", Ask::Roster).await, Ok(vec![MemberId(3), MemberId(4)]));
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn exit_against_the_next_elements_request() {
    let bench = bench(&["<Conference>a</Conference><Redirect>flow:goodbye</Redirect>"]).await;
    bench.kick("a", MemberSelector::All).await.unwrap();
    bench.settle().await;
    let log = bench.log();
    assert_eq!(
        log,
        ["1 exited kicked", "1 over", "remove 1", "fetch flow:goodbye", "call 1 hears goodbye"]
    );
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn kick_while_a_document_is_fetched() {
    let bench = bench(&["<Conference action='flow:slow'>a</Conference>", PLAIN]).await;
    let call = CallId::of(1);
    assert_eq!(bench.kick("a", these(&[1])).await, Ok(vec![MemberId(1)]));
    // The member has left already: nobody can kick it twice.
    assert_eq!(bench.kick("a", these(&[1])).await, Err(NOBODY));
    assert!(bench.registry.is_up(call), "it waits for its document");
    bench.registry.report(Report { call, event: LegEvent::HungUp });
    bench.settle().await;
    assert!(!bench.registry.is_up(call));
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn kick_of_a_waiting_member() {
    const GUEST: &str =
        "<Conference startConferenceOnEnter='false'>a</Conference><Speak>bye</Speak>";
    let bench = bench(&[GUEST, GUEST]).await;
    assert_eq!(bench.kick("a", these(&[2])).await, Ok(vec![MemberId(2)]));
    assert_eq!(bench.log(), ["2 exited kicked", "remove 1", "call 2 hears bye"]);
    bench.close().await;
}
