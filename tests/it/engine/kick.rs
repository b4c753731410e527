//! Kicks with a target, and dry runs, on the real actors.

use conflow::{
    base::ids::MemberId,
    conference::{
        Ask, ConferenceAnswer, Departure, Kick, KickTarget, MemberSelector, Outcome, Refusal,
    },
    engine::registry::AskError,
    flow::{DialectFlows, Forecast},
};

use crate::harness::{Bench, key, settings};

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

async fn kick(bench: &Bench, ids: &[u64], kick: Kick) -> Outcome {
    let who = MemberSelector::These(ids.iter().copied().map(MemberId).collect());
    let asked = bench.registry.ask(&key("a"), Ask::Kick { who, kick });
    let outcome = asked.unwrap().await.unwrap();
    bench.settle().await;
    outcome
}

fn to(target: KickTarget) -> Kick {
    Kick { target, ..Kick::default() }
}

fn document(elements: &str) -> KickTarget {
    let document = format!("<Response>{elements}</Response>");
    KickTarget::Document(Box::new(DialectFlows::parse(&document).unwrap()))
}

const FORK: &str = "<Conference onKick='k'>a</Conference><Speak>next</Speak>\
                    <Speak id='k'>kicked</Speak><Hangup/><Speak id='e'>elsewhere</Speak>";

#[tokio::test(start_paused = true)]
async fn the_kicks_target_comes_before_the_flows_branches() {
    let check = async |target: KickTarget, expected: &str| {
        let bench = bench(&[FORK, "<Conference>a</Conference>"]).await;
        kick(&bench, &[1], to(target)).await.unwrap();
        let log: Vec<_> = bench.log().into_iter().filter(|it| !it.contains("remove")).collect();
        assert_eq!(log.join(", "), expected);
        bench.close().await;
    };
    check(KickTarget::Flow, "1 exited kicked, call 1 hears kicked").await;
    check(KickTarget::Element("e".into()), "1 exited kicked, call 1 hears elsewhere").await;
    check(document("<Speak>words</Speak>"), "1 exited kicked, call 1 hears words").await;
    check(document(""), "1 exited kicked, call 1 ended End Of XML Instructions").await;
    check(
        KickTarget::Fetch("flow:goodbye".into()),
        "1 exited kicked, fetch flow:goodbye, call 1 hears goodbye",
    )
    .await;
    check(
        KickTarget::Fetch("flow:nowhere".into()),
        "1 exited kicked, fetch flow:nowhere, call 1 hears next",
    )
    .await;
    check(
        KickTarget::Fetch("nonsense".into()),
        "1 exited kicked, fetch nonsense, call 1 hears next",
    )
    .await;
    check(KickTarget::HangUp, "1 exited kicked, call 1 ended Normal Hangup").await;
}

#[tokio::test(start_paused = true)]
async fn an_element_that_is_not_ahead_of_every_member_refuses_kick_all() {
    let flows = [FORK, "<Conference>a</Conference>", "<Wait id='e'/><Conference>a</Conference>"];
    let bench = bench(&flows).await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    bench.settle().await;
    bench.log();
    let refusal =
        Refusal::NoElement { element: "e".into(), members: vec![MemberId(3), MemberId(2)] };
    let outcome = kick(&bench, &[3, 1, 2], to(KickTarget::Element("e".into()))).await;
    assert_eq!(outcome, Err(refusal));
    assert_eq!(bench.log(), [""; 0]);
    bench.close().await;
}

/// The outcome that a dry run predicts for each call is what the kick then does.
#[tokio::test(start_paused = true)]
async fn a_dry_run_predicts_the_outcome_of_the_kick() {
    let flows = [
        "<Conference endConferenceOnExit='true' onKick='k'>a</Conference><Speak>next</Speak><Wait id='k'/>",
        "<Conference onEnd='e'>a</Conference><Speak>next</Speak><Wait/><Wait id='e'/>",
        "<Conference action='flow:slow'>a</Conference>",
        "<Conference>a</Conference>",
    ];
    for (target, ids) in [
        (KickTarget::Flow, &[1][..]),
        (KickTarget::Flow, &[4, 2]),
        (KickTarget::HangUp, &[1, 4]),
        (KickTarget::Fetch("flow:slow".into()), &[3]),
        (document("<Wait/>"), &[1, 2, 3, 4]),
    ] {
        let bench = bench(&flows).await;
        let dry = Kick { is_dry_run: true, ..to(target.clone()) };
        let outcome = kick(&bench, ids, dry).await.unwrap();
        let ConferenceAnswer::Departures(departures) = outcome else { panic!("{outcome:?}") };
        assert_eq!(bench.log(), [""; 0], "a dry run has no effect");

        kick(&bench, ids, to(target)).await.unwrap();
        let log = bench.log();
        let exited =
            departures.iter().map(|it| format!("{} exited {}", it.member, it.cause.text()));
        let exits: Vec<_> = log.iter().filter(|it| it.contains("exited")).cloned().collect();
        assert_eq!(exits, exited.collect::<Vec<_>>());
        for Departure { call, next, .. } in &departures {
            let is_up = bench.registry.is_up(*call);
            assert_eq!(is_up, !matches!(next, Forecast::End(_)), "{call} {next:?}: {log:?}");
        }
        let fetches = departures.iter().filter(|it| matches!(it.next, Forecast::Fetch(_))).count();
        assert_eq!(log.iter().filter(|it| *it == "fetch flow:slow").count(), fetches, "{log:?}");
        bench.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_without_targets_is_refused_like_the_kick() {
    let bench = bench(&["<Conference>a</Conference>"]).await;
    let dry = Kick { is_dry_run: true, ..Kick::default() };
    assert_eq!(kick(&bench, &[9], dry).await, Err(Refusal::NoMember));
    assert!(matches!(
        bench
            .registry
            .ask(&key("b"), Ask::Kick { who: MemberSelector::All, kick: Kick::default() }),
        Err(AskError::Gone)
    ));
    bench.close().await;
}
