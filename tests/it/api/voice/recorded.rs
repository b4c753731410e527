//! What becomes of recordings when their call or conference does something: the table of section 12 of
//! the contract, and the traces of it.

use conflow::{
    conference,
    recording::{
        RecordingEndReason::{self, Drained, HungUp, Stopped},
        RecordingStore,
    },
};
use serde_json::Value;

use super::record::RecordingEngine;
use crate::api::engine::{TestEngineOptions, account};

const CALL: &str =
    r#"POST P/Call/{1}/Record/ {"callback_url":"http://app.example/call","time_limit":600}"#;
const ROOM: &str = r#"POST P/Conference/team/Record/ {"callback_url":"http://app.example/done"}"#;
const AHEAD: &str = r#"has /answer <Response><Conference stayAlone="true" hangupOnStar="true" callbackUrl="http://app.example/room">team</Conference><Wait length="600"/></Response>"#;

/// Two members of a conference; it and the call of the first are recorded.
async fn both_recorded(options: TestEngineOptions) -> RecordingEngine {
    let mut world = RecordingEngine::of(options, |settings| settings);
    world.engine.line(AHEAD).await;
    world.engine.dial("web").await;
    world.engine.dial("web").await;
    world.wait(1_000).await;
    for line in [CALL, ROOM] {
        let (status, body, _) = world.ask(line).await;
        assert_eq!(status, 202, "{body}");
    }
    world.wait(1_000).await;
    world
}

impl RecordingEngine {
    /// The reasons of the ends of the call's and the room's recording; None while one runs.
    fn ends(&self) -> [Option<RecordingEndReason>; 2] {
        let all = self.store.list(&account(), &Default::default(), 0, 9).unwrap().recordings;
        let end = |is_room: bool| {
            let found = all.iter().find(|it| it.conference.is_some() == is_room).unwrap();
            found.end.as_ref().map(|it| it.reason)
        };
        [end(false), end(true)]
    }

    async fn trace(&self, call: usize) -> Vec<Value> {
        let (status, body, _) = self.ask(&format!("GET P/Call/{{{call}}}/Trace/")).await;
        assert_eq!(status, 200, "{body}");
        body["steps"].as_array().unwrap().clone()
    }

    /// Steps of recordings in a trace: times, end, and interruptions.
    async fn traced(&self, call: usize) -> Vec<String> {
        let steps = self.trace(call).await;
        let recorded = steps.iter().filter(|it| it["element"] == "recording");
        let shown = recorded.map(|it| {
            // Tenths of a second: each call needs a millisecond or two to get there.
            let ms = |it: &Value| {
                it.as_u64().map_or_else(String::new, |it| (it / 100 * 100).to_string())
            };
            let times = |it: &Value| format!("{}-{}", ms(&it["from_ms"]), ms(&it["to_ms"]));
            let part = |it: &Value| format!("{} {}", it["why"], times(it));
            let parts = it["interruptions"].as_array().into_iter().flatten().map(part);
            let parts = parts.collect::<Vec<_>>().join(", ");
            let of = it["conference"].as_str().unwrap_or("call");
            format!("{of} {} {} [{parts}]", times(it), it["ended"])
        });
        shown.map(|it| it.replace('"', "")).collect()
    }
}

/// Whatever ends a stay, the recording of the call goes on, and that of the conference without the member.
#[tokio::test(start_paused = true)]
async fn a_member_who_leaves_takes_the_recording_of_their_call_along() {
    for leave in [
        "POST P/Conference/team/Member/1/Kick/",
        r#"POST S/Phone/{1}/Press/ {"digits":"*"}"#,
        r#"POST V/Call/{1}/ {"aleg_url":"http://app.example/next"}"#,
        r#"POST P/Conference/team/Member/1/Kick/ {"then":{"url":"http://app.example/next"}}"#,
    ] {
        let mut world = both_recorded(TestEngineOptions::default()).await;
        let next =
            r#"has /next <Response><Conference stayAlone="true">other</Conference></Response>"#;
        world.engine.line(next).await;
        let (status, body, _) = world.ask(leave).await;
        assert!(status < 300, "{leave}: {body}");
        world.wait(1_000).await;
        assert_eq!(world.ends(), [None, None], "{leave}");
        let is_there = world.ask("GET P/Conference/other/").await.0 == 200;
        assert_eq!(is_there, leave.contains("next"), "{leave}");
        assert_eq!(world.ask("DELETE P/Call/{1}/Record/").await.0, 204);
        let names = "recording_duration_ms";
        assert_eq!(world.told("/call", names).await, "2000", "{leave}");
        assert_eq!(world.ask("DELETE P/Conference/team/Record/").await.0, 204);
        assert_eq!(world.told("/done", names).await, "2000", "{leave}");
        assert_eq!(world.ends(), [Some(Stopped); 2]);
        world.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_conference_ends_its_recording_and_not_those_of_its_members() {
    let world = both_recorded(TestEngineOptions::default()).await;
    let kick = "POST P/Conference/team/Member/all/Kick/";
    assert!(world.ask(kick).await.0 < 300);
    assert_eq!(world.told("/done", "conference_name,recording_duration_ms").await, "team 1000");
    assert_eq!(world.ends(), [None, Some(HungUp)]);
    world.wait(1_000).await;
    assert_eq!(world.ask("DELETE P/Call/{1}/").await.0, 204);
    assert_eq!(world.told("/call", "recording_duration_ms").await, "2000");
    assert_eq!(world.ends(), [Some(HungUp); 2]);
    world.close().await;
}

/// The callback about the recording of a conference comes after the last exit.
#[tokio::test(start_paused = true)]
async fn a_hang_up_ends_the_recording_of_the_call_and_the_last_one_that_of_the_conference() {
    let world = both_recorded(TestEngineOptions::default()).await;
    assert_eq!(world.ask("DELETE P/Call/{1}/").await.0, 204);
    assert_eq!(world.told("/call", "recording_duration_ms").await, "1000");
    assert_eq!(world.ends(), [Some(HungUp), None]);
    world.wait(1_000).await;
    assert_eq!(world.ask("DELETE P/Call/{2}/").await.0, 204);
    assert_eq!(world.told("/done", "recording_duration_ms").await, "2000");
    let told = world.engine.receiver.received("/room", &["Event"]);
    let exit = "ConferenceExit";
    assert!(told.ends_with(&format!("{exit} | {exit}")), "before that of the recording: {told}");
    assert_eq!(world.ends(), [Some(HungUp); 2]);
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_b_leg_ends_no_recording_of_the_a_leg() {
    let mut world = RecordingEngine::new();
    let flow = r#"has /answer <Response><Dial action="http://app.example/action" redirect="false">sim:bob?ring_ms=500</Dial><Wait length="600"/></Response>"#;
    world.engine.line(flow).await;
    world.engine.dial("web").await;
    world.wait(3_000).await;
    let (status, body, _) = world.ask(CALL).await;
    assert_eq!(status, 202, "{body}");
    world.wait(5_000).await;
    let (_, live, _) = world.ask("GET P/Call/?status=live").await;
    for call in live["calls"].as_array().unwrap() {
        let call = call.as_str().unwrap();
        if call != world.engine.calls[0].to_string() {
            assert_eq!(world.ask(&format!("DELETE P/Call/{call}/")).await.0, 204);
        }
    }
    world.wait(1_000).await;
    assert_ne!(world.told("/action", "DialStatus").await, "nothing", "the bridge is over");
    assert_eq!(world.ask("DELETE P/Call/{1}/Record/").await.0, 204);
    assert_eq!(world.told("/call", "recording_duration_ms").await, "6000");
    world.close().await;
}

/// A bug in the machine of a conference costs the conference: its file is complete, and calls are
/// recorded further.
#[tokio::test(start_paused = true)]
async fn a_conference_that_fails_leaves_a_complete_recording() {
    let mut found = 0;
    for after in 5..60 {
        let rooms = conference::Settings { inject_fault_after: Some(after), ..Default::default() };
        let options = TestEngineOptions { rooms, ..TestEngineOptions::default() };
        let mut world = RecordingEngine::of(options, |settings| settings);
        world.engine.line(AHEAD).await;
        world.engine.dial("web").await;
        world.engine.dial("web").await;
        world.wait(1_000).await;
        if world.ask(CALL).await.0 == 202 && world.ask(ROOM).await.0 == 202 {
            world.wait(1_000).await;
            // Each is asked until the fault.
            for n in 0..60 {
                let on = if n % 2 == 0 { "POST" } else { "DELETE" };
                if world.ask(&format!("{on} P/Conference/team/Member/1/Mute/")).await.0 >= 400 {
                    break;
                }
            }
            if world.ask("GET P/Conference/team/").await.0 == 404 {
                found += 1;
                assert_eq!(world.told("/done", "recording_duration_ms").await, "1000");
                assert_eq!(world.ends(), [None, Some(HungUp)]);
                assert_eq!(world.files(), [(1, 8_000)]);
                world.close().await;
                break;
            }
        }
        world.close().await;
    }
    assert_eq!(found, 1, "a fault was injected while it was recorded");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_completes_the_recording_of_a_call_as_well() {
    let world = both_recorded(TestEngineOptions::default()).await;
    world.engine.registry().close();
    // What is left at the end of the time for it is hung up.
    for call in [1, 2] {
        assert_eq!(world.ask(&format!("DELETE P/Call/{{{call}}}/")).await.0, 204);
    }
    assert_eq!(world.told("/call", "recording_duration_ms").await, "1000");
    assert_eq!(world.told("/done", "recording_duration_ms").await, "1000");
    assert_eq!(world.ends(), [Some(Drained); 2]);
    world.close().await;
}

/// Everybody's trace says what of the conference was recorded while they were there.
#[tokio::test(start_paused = true)]
async fn traces_show_recordings_with_their_interruptions_and_ends() {
    let mut world = both_recorded(TestEngineOptions::default()).await;
    let pause = |what: &str, how: &str| format!("POST P/{what}/Record/{how}/");
    for how in ["Pause", "Pause", "Resume"] {
        assert_eq!(world.ask(&pause("Conference/team", how)).await.0, 204);
        world.wait(1_000).await;
    }
    assert_eq!(world.ask(&pause("Call/{1}", "Pause")).await.0, 204);
    world.wait(1_000).await;
    assert!(world.ask("POST P/Conference/team/Member/2/Kick/").await.0 < 300);
    world.wait(1_000).await;
    let running = world.traced(1).await;
    assert_eq!(running, ["team 1000- null [paused 2000-4000]", "call 1000- null [paused 5000-]",]);
    let steps = world.trace(1).await;
    let all = world.store.list(&account(), &Default::default(), 0, 9).unwrap().recordings;
    for it in steps.iter().filter(|it| it["element"] == "recording") {
        let is_room = !it["conference"].is_null();
        let row = all.iter().find(|row| row.conference.is_some() == is_room).unwrap();
        let expected = [row.id.to_string(), row.api_id.to_string()].map(Value::from);
        assert_eq!([&it["recording_id"], &it["api_id"]], expected.each_ref());
    }
    assert_eq!(world.ask("DELETE P/Conference/team/Record/").await.0, 204);
    world.engine.dial("web").await;
    world.wait(1_000).await;
    assert_eq!(world.ask("DELETE P/Call/{1}/").await.0, 204);
    world.told("/call", "recording_id").await;
    assert_eq!(
        world.traced(1).await,
        ["team 1000-7000 Stopped [paused 2000-4000]", "call 1000-8000 HungUp [paused 5000-8000]",]
    );
    assert_eq!(world.traced(2).await, ["team 1000-6000 left [paused 2000-4000]"]);
    assert_eq!(world.traced(3).await, [""; 0], "they came later");
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_trace_says_when_a_member_was_alone_and_nothing_was_recorded() {
    let mut world = RecordingEngine::new();
    let flow = r#"has /answer <Response><Conference record="true" stayAlone="true">team</Conference></Response>"#;
    world.engine.line(flow).await;
    world.engine.dial("web").await;
    world.wait(1_000).await;
    world.engine.dial("web").await;
    world.wait(1_000).await;
    assert_eq!(world.ask("DELETE V/Conference/team/Member/2/").await.0, 204);
    world.wait(1_000).await;
    world.engine.dial("web").await;
    world.wait(1_000).await;
    assert_eq!(world.ask("DELETE P/Conference/team/Record/").await.0, 204);
    let traced = world.traced(1).await;
    let parts: Vec<_> = traced[0].split(['[', ']']).collect();
    assert!(parts[0].ends_with(" Stopped ") && parts[1].starts_with("alone "), "{traced:?}");
    let third = world.traced(3).await;
    assert_eq!(third.len(), 1, "{third:?}");
    assert!(third[0].ends_with("Stopped []"), "{third:?}");
    world.close().await;
}
