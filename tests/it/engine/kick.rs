//! Kicks that say where their members go on, and dry runs, on the real shells.

use conflow::{
    base::ids::MemberId,
    conference::{Answer, Ask, Course, Departure, Kick, Outcome, Refusal, Who},
    engine::registry::AskError,
    flow::{Bilingual, Next},
};

use crate::harness::{Bench, key, settings};

/// A house with a call for each of these flows, and its log read.
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
    let who = Who::These(ids.iter().copied().map(MemberId).collect());
    let asked = bench.house.ask(&key("a"), Ask::Kick { who, kick });
    let outcome = asked.unwrap().await.unwrap();
    bench.settle().await;
    outcome
}

fn to(course: Course) -> Kick {
    Kick { course, ..Kick::default() }
}

fn document(elements: &str) -> Course {
    let document = format!("<Response>{elements}</Response>");
    Course::Document(Box::new(Bilingual::parse(&document).unwrap()))
}

const FORK: &str = "<Conference onKick='k'>a</Conference><Speak>next</Speak>\
                    <Speak id='k'>kicked</Speak><Hangup/><Speak id='e'>elsewhere</Speak>";

#[tokio::test(start_paused = true)]
async fn a_kick_leads_where_it_says_before_where_the_flow_says() {
    let check = async |course: Course, expected: &str| {
        let bench = bench(&[FORK, "<Conference>a</Conference>"]).await;
        kick(&bench, &[1], to(course)).await.unwrap();
        let log: Vec<_> = bench.log().into_iter().filter(|it| !it.contains("remove")).collect();
        assert_eq!(log.join(", "), expected);
        bench.close().await;
    };
    check(Course::Flow, "1 exited kicked, call 1 hears kicked").await;
    check(Course::Element("e".into()), "1 exited kicked, call 1 hears elsewhere").await;
    check(document("<Speak>words</Speak>"), "1 exited kicked, call 1 hears words").await;
    check(document(""), "1 exited kicked, call 1 ended End Of XML Instructions").await;
    check(
        Course::Fetch("flow:goodbye".into()),
        "1 exited kicked, fetch flow:goodbye, call 1 hears goodbye",
    )
    .await;
    check(
        Course::Fetch("flow:nowhere".into()),
        "1 exited kicked, fetch flow:nowhere, call 1 hears next",
    )
    .await;
    check(Course::Fetch("nonsense".into()), "1 exited kicked, call 1 hears next").await;
    check(Course::HangUp, "1 exited kicked, call 1 ended Normal Hangup").await;
}

#[tokio::test(start_paused = true)]
async fn an_element_that_is_not_ahead_of_all_refuses_the_kick_of_all() {
    let flows = [FORK, "<Conference>a</Conference>", "<Wait id='e'/><Conference>a</Conference>"];
    let bench = bench(&flows).await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    bench.settle().await;
    bench.log();
    let refusal =
        Refusal::NoElement { element: "e".into(), members: vec![MemberId(3), MemberId(2)] };
    let outcome = kick(&bench, &[3, 1, 2], to(Course::Element("e".into()))).await;
    assert_eq!(outcome, Err(refusal));
    assert_eq!(bench.log(), [""; 0]);
    bench.close().await;
}

/// What each call would do next is what it does.
#[tokio::test(start_paused = true)]
async fn a_dry_run_foretells_what_the_kick_then_does() {
    let flows = [
        "<Conference endConferenceOnExit='true' onKick='k'>a</Conference><Speak>next</Speak><Wait id='k'/>",
        "<Conference onEnd='e'>a</Conference><Speak>next</Speak><Wait/><Wait id='e'/>",
        "<Conference action='flow:slow'>a</Conference>",
        "<Conference>a</Conference>",
    ];
    for (course, ids) in [
        (Course::Flow, &[1][..]),
        (Course::Flow, &[4, 2]),
        (Course::HangUp, &[1, 4]),
        (Course::Fetch("flow:slow".into()), &[3]),
        (document("<Wait/>"), &[1, 2, 3, 4]),
    ] {
        let bench = bench(&flows).await;
        let dry = Kick { is_dry: true, ..to(course.clone()) };
        let told = kick(&bench, ids, dry).await.unwrap();
        let Answer::Departures(departures) = told else { panic!("{told:?}") };
        assert_eq!(bench.log(), [""; 0], "nothing has happened");

        kick(&bench, ids, to(course)).await.unwrap();
        let log = bench.log();
        let exited =
            departures.iter().map(|it| format!("{} exited {}", it.member, it.cause.text()));
        let exits: Vec<_> = log.iter().filter(|it| it.contains("exited")).cloned().collect();
        assert_eq!(exits, exited.collect::<Vec<_>>());
        for Departure { call, next, .. } in &departures {
            let is_up = bench.house.is_up(*call);
            assert_eq!(is_up, !matches!(next, Next::End(_)), "{call} {next:?}: {log:?}");
        }
        let fetches = departures.iter().filter(|it| matches!(it.next, Next::Fetch(_))).count();
        assert_eq!(log.iter().filter(|it| *it == "fetch flow:slow").count(), fetches, "{log:?}");
        bench.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_of_nobody_is_refused_as_the_kick_is() {
    let bench = bench(&["<Conference>a</Conference>"]).await;
    let dry = Kick { is_dry: true, ..Kick::default() };
    assert_eq!(kick(&bench, &[9], dry).await, Err(Refusal::NoMember));
    assert!(matches!(
        bench.house.ask(&key("b"), Ask::Kick { who: Who::All, kick: Kick::default() }),
        Err(AskError::Gone)
    ));
    bench.close().await;
}
