//! Rooms that groups guard, over the API: calls that are made for somebody, what callbacks say of
//! a kick, how a call without another element ends, and bans that are over.

use std::sync::atomic::Ordering;

use super::dialects::{Hotel, UNLIMITED};
use crate::api::engine::{Office, Plan};
use crate::group::NOW;

const ROOM: &str = r#"has /answer <Response><Conference group="6000001" stayAlone="true" callbackUrl="http://app.example/cb">weekly</Conference></Response>"#;
const IN: &str = r#"POST S/Phone/ {"to":"web","user":"user5"} => 201 {"call_uuid":"*"}"#;
const ENTERED: &str = "told /cb ConferenceAction,ConferenceExitCause => enter -";
const KICKED: &str = "told /cb ConferenceAction,ConferenceExitCause => exit group-kicked";
/// What ends a call that has no element left.
const OVER: &str = "told /hangup HangupCauseCode,HangupCauseName => 4010 End Of XML Instructions";
const REFUSED: &str = "told /cb Event => nothing";

impl Hotel {
    /// A part of a script, in the office.
    pub(super) async fn play(&mut self, script: &[&str]) {
        for line in script {
            assert_eq!(self.office.line(line).await, *line);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_is_let_in_for_the_user_it_is_made_for_and_ends_when_he_is_kicked() {
    let mut hotel = Hotel::open(UNLIMITED).await;
    let call = |user: &str| {
        format!(
            r#"POST V/Call/ {{"from":"1","to":"sim:a","answer_url":"http://app.example/answer","hangup_url":"http://app.example/hangup"{user}}} => 200 {{"message":"Call fired","request_uuid":"*","api_id":"*"}}"#
        )
    };
    // A member, somebody else, and nobody in particular, whatever number he has.
    let (member, other) = (call(r#","user":"USER5""#), call(r#","user":"user7""#));
    hotel.play(&[ROOM, &member, "wait 8000", ENTERED, "told /hangup Event => nothing"]).await;
    hotel.play(&[&other, "wait 8000", REFUSED, OVER]).await;
    hotel.play(&[&call(""), "wait 8000", REFUSED, OVER]).await;

    let kick = "POST /Platform/GroupV2/6000001/Members/3/505/Kick/ [as 3]";
    assert_eq!(hotel.send(kick).await.0, 200);
    hotel.play(&["GET V/Conference/ => 200 {\"api_id\":\"*\",\"conferences\":[]}"]).await;
    hotel.play(&[KICKED, "wait 1000", OVER]).await;
    hotel.office.close().await;
}

/// What lets somebody back in, and what it says while he is banned.
struct Way {
    first: &'static str,
    refusal: (u16, &'static str),
    then: Option<&'static str>,
}

#[tokio::test(start_paused = true)]
async fn a_group_ban_takes_the_call_out_and_when_it_is_over_each_dialect_lets_him_back_in() {
    for Way { first, refusal, then } in [
        Way {
            first: "POST /Platform/GroupV2/6000001/Members/Apply/3/ [as 5]",
            refusal: (403, "GroupMemberBanned"),
            then: Some("POST /Platform/GroupV2/6000001/Members/Approve/3/505/ [as 3]"),
        },
        Way {
            first: r#"POST /api/v1/groups.invite [as 3] {"roomId":"6000001","userId":"5"}"#,
            refusal: (400, "error-user-is-banned"),
            then: None,
        },
        Way {
            first: r#"POST /x/group/join/6000001 [as 5] {"link":"open-sesame"}"#,
            refusal: (404, "INV_NOT_FOUND_DESC"),
            then: None,
        },
        Way {
            first: r#"POST /v2/userGroup2/join?id=6000001 [till] [{"userId":5}]"#,
            refusal: (400, "1621"),
            then: None,
        },
    ] {
        let mut hotel = Hotel::open(UNLIMITED).await;
        hotel.play(&[ROOM, IN, "wait 10", ENTERED]).await;
        // 9 is three minutes.
        let ban = r#"POST /Platform/GroupV2/6000001/Members/3/505/Ban/ [as 3] {"comment":"loud","length":9}"#;
        assert_eq!(hotel.send(ban).await.0, 200);
        let reason = "told /cb ConferenceAction,ConferenceExitCause,ConferenceExitReason => exit group-kicked loud";
        hotel
            .play(&["GET V/Conference/ => 200 {\"api_id\":\"*\",\"conferences\":[]}", reason])
            .await;

        hotel.clock.store(NOW.0 + 179_999, Ordering::Relaxed);
        let (status, body) = hotel.send(first).await;
        assert!(status == refusal.0 && body.contains(refusal.1), "{first}: {status} {body}");
        hotel.play(&[IN, "wait 10", REFUSED]).await;

        hotel.clock.store(NOW.0 + 180_000, Ordering::Relaxed);
        hotel.play(&[IN, "wait 10", REFUSED]).await;
        let (status, body) = hotel.send(first).await;
        assert_eq!(status, 200, "{first}: {body}");
        if let Some(then) = then {
            hotel.play(&[IN, "wait 10", REFUSED]).await;
            assert_eq!(hotel.send(then).await.0, 200, "{then}");
        }
        hotel.play(&[IN, "wait 10", ENTERED]).await;
        hotel.office.close().await;
    }
}

/// A room that lets nobody go: nobody is told that all is well.
#[tokio::test(start_paused = true)]
async fn no_dialect_says_that_he_is_out_before_the_room_does() {
    for kick in [
        "POST /Platform/GroupV2/6000001/Members/3/505/Kick/ [as 3]",
        r#"POST /api/v1/groups.kick [as 3] {"roomId":"6000001","userId":"5"}"#,
        "POST /x/group/kick/6000001/5 [as 1] {}",
        "DELETE /v2/userGroup2/6000001/leave?source=ALL&identifierName=mobile&identifierValue=885 [till]",
    ] {
        let office = Office::new(Plan { is_stalled: true, ..Plan::default() });
        let mut hotel = Hotel::open_in(office, UNLIMITED).await;
        hotel.play(&[ROOM, IN, "wait 10"]).await;
        let start = tokio::time::Instant::now();
        let (status, body) = hotel.send(kick).await;
        assert_eq!(status, 500, "{kick}: {body}");
        assert!(5 <= start.elapsed().as_secs(), "{kick}");
        // Its calls never end.
        std::mem::forget(hotel);
    }
}
