//! Rooms guarded by groups, over the API: calls made for a user, callbacks about a group kick, the
//! end of a call without another element, and expired bans.

use std::sync::atomic::Ordering;

use super::dialects::{TestGroups, UNLIMITED};
use crate::api::engine::{TestEngine, TestEngineOptions};
use crate::group::NOW;

const ROOM: &str = r#"has /answer <Response><Conference group="6000001" stayAlone="true" callbackUrl="http://app.example/cb">weekly</Conference></Response>"#;
const IN: &str = r#"POST S/Phone/ {"to":"web","user":"user5"} => 201 {"call_uuid":"*"}"#;
const ENTERED: &str = "told /cb ConferenceAction,ConferenceExitCause => enter -";
const KICKED: &str = "told /cb ConferenceAction,ConferenceExitCause => exit group-kicked";
/// The end of a call that has no element left.
const OVER: &str = "told /hangup HangupCauseCode,HangupCauseName => 4010 End Of XML Instructions";
const REFUSED: &str = "told /cb Event => nothing";

impl TestGroups {
    /// Runs a part of a transcript.
    pub(super) async fn play(&mut self, transcript: &[&str]) {
        for line in transcript {
            assert_eq!(self.engine.line(line).await, *line);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_is_admitted_for_the_user_it_is_made_for_and_ends_when_they_are_kicked() {
    let mut groups = TestGroups::open(UNLIMITED).await;
    let call = |user: &str| {
        format!(
            r#"POST V/Call/ {{"from":"1","to":"sim:a","answer_url":"http://app.example/answer","hangup_url":"http://app.example/hangup"{user}}} => 200 {{"message":"Call fired","request_uuid":"*","api_id":"*"}}"#
        )
    };
    // A member, another user, and no user, whatever the number.
    let (member, other) = (call(r#","user":"USER5""#), call(r#","user":"user7""#));
    groups.play(&[ROOM, &member, "wait 8000", ENTERED, "told /hangup Event => nothing"]).await;
    groups.play(&[&other, "wait 8000", REFUSED, OVER]).await;
    groups.play(&[&call(""), "wait 8000", REFUSED, OVER]).await;

    let kick = "POST /Platform/GroupV2/6000001/Members/3/505/Kick/ [as 3]";
    assert_eq!(groups.send(kick).await.0, 200);
    groups.play(&["GET V/Conference/ => 200 {\"api_id\":\"*\",\"conferences\":[]}"]).await;
    groups.play(&[KICKED, "wait 1000", OVER]).await;
    groups.engine.close().await;
}

/// The requests that readmit a person, and the refusal while they are banned.
struct WayBack {
    first: &'static str,
    refusal: (u16, &'static str),
    then: Option<&'static str>,
}

#[tokio::test(start_paused = true)]
async fn a_group_ban_removes_the_call_and_after_its_end_each_dialect_readmits_the_person() {
    for WayBack { first, refusal, then } in [
        WayBack {
            first: "POST /Platform/GroupV2/6000001/Members/Apply/3/ [as 5]",
            refusal: (403, "GroupMemberBanned"),
            then: Some("POST /Platform/GroupV2/6000001/Members/Approve/3/505/ [as 3]"),
        },
        WayBack {
            first: r#"POST /api/v1/groups.invite [as 3] {"roomId":"6000001","userId":"5"}"#,
            refusal: (400, "error-user-is-banned"),
            then: None,
        },
        WayBack {
            first: r#"POST /x/group/join/6000001 [as 5] {"link":"open-sesame"}"#,
            refusal: (404, "INV_NOT_FOUND_DESC"),
            then: None,
        },
        WayBack {
            first: r#"POST /v2/userGroup2/join?id=6000001 [till] [{"userId":5}]"#,
            refusal: (400, "1621"),
            then: None,
        },
    ] {
        let mut groups = TestGroups::open(UNLIMITED).await;
        groups.play(&[ROOM, IN, "wait 10", ENTERED]).await;
        // 9 is three minutes.
        let ban = r#"POST /Platform/GroupV2/6000001/Members/3/505/Ban/ [as 3] {"comment":"loud","length":9}"#;
        assert_eq!(groups.send(ban).await.0, 200);
        let reason = "told /cb ConferenceAction,ConferenceExitCause,ConferenceExitReason => exit group-kicked loud";
        groups
            .play(&["GET V/Conference/ => 200 {\"api_id\":\"*\",\"conferences\":[]}", reason])
            .await;

        groups.clock.store(NOW.0 + 179_999, Ordering::Relaxed);
        let (status, body) = groups.send(first).await;
        assert!(status == refusal.0 && body.contains(refusal.1), "{first}: {status} {body}");
        groups.play(&[IN, "wait 10", REFUSED]).await;

        groups.clock.store(NOW.0 + 180_000, Ordering::Relaxed);
        groups.play(&[IN, "wait 10", REFUSED]).await;
        let (status, body) = groups.send(first).await;
        assert_eq!(status, 200, "{first}: {body}");
        if let Some(then) = then {
            groups.play(&[IN, "wait 10", REFUSED]).await;
            assert_eq!(groups.send(then).await.0, 200, "{then}");
        }
        groups.play(&[IN, "wait 10", ENTERED]).await;
        groups.engine.close().await;
    }
}

/// If a room never releases a member, no dialect reports success.
#[tokio::test(start_paused = true)]
async fn no_dialect_reports_a_removal_before_the_room() {
    for kick in [
        "POST /Platform/GroupV2/6000001/Members/3/505/Kick/ [as 3]",
        r#"POST /api/v1/groups.kick [as 3] {"roomId":"6000001","userId":"5"}"#,
        "POST /x/group/kick/6000001/5 [as 1] {}",
        "DELETE /v2/userGroup2/6000001/leave?source=ALL&identifierName=mobile&identifierValue=885 [till]",
    ] {
        let engine =
            TestEngine::new(TestEngineOptions { is_stalled: true, ..TestEngineOptions::default() });
        let mut groups = TestGroups::open_in(engine, UNLIMITED).await;
        groups.play(&[ROOM, IN, "wait 10"]).await;
        let start = tokio::time::Instant::now();
        let (status, body) = groups.send(kick).await;
        assert_eq!(status, 500, "{kick}: {body}");
        assert!(5 <= start.elapsed().as_secs(), "{kick}");
        // Its calls never end.
        std::mem::forget(groups);
    }
}

/// Somebody who is called into a guarded room must have an identity, and is admitted by it.
#[tokio::test(start_paused = true)]
async fn somebody_who_is_called_into_a_guarded_room_is_checked_at_the_door() {
    let mut groups = TestGroups::open(UNLIMITED).await;
    let call = |more: &str, answer: &str| {
        format!(
            r#"POST V/Conference/weekly/Member/ {{"from":"1","to":"sim:a","callback_url":"http://app.example/member"{more}}} => {answer}"#
        )
    };
    let dialled = |member: u64| {
        format!(
            r#"200 {{"api_id":"*","message":"member dial started","request_uuid":"*","calls":[{{"to":"sim:a","from":"1","call_uuid":"*","member_id":"{member}"}}]}}"#
        )
    };
    let nobody = r#"400 {"api_id":"*","error":"user: a group guards this conference: say who is called, as the group knows them"}"#;
    groups.play(&[ROOM, IN, "wait 1000", ENTERED, &call("", nobody)]).await;
    let other = call(r#","user":"user7""#, &dialled(2));
    groups.play(&[&other, "wait 1000", "told /member Event => DialAnswer"]).await;
    let member = call(r#","user":"user5""#, &dialled(3));
    let entered = "told /member Event => DialAnswer | ConferenceEnter";
    groups.play(&[&member, "wait 1000", entered]).await;
    groups.engine.close().await;
}
