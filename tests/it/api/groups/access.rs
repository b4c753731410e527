//! Access: the admin API, tokens by OAuth, guesses, and what a kicked person needs to return.

use std::sync::atomic::Ordering;

use conflow::api::groups::Settings;
use serde_json::Value;

use super::dialects::{TestGroups, UNLIMITED, check};

async fn json(groups: &TestGroups, line: &str) -> Value {
    let (status, body) = groups.send(line).await;
    assert!((200..300).contains(&status), "{line}\n{status} {body}");
    serde_json::from_str(&body).unwrap()
}

const ADMIN: &str = r#"
    POST /groups/v1/Account/MA1/Person/ {"username":"zoe"} => 401
    POST /groups/v1/Account/MA1/Person/ [X-Auth-ID: MA1] [X-Auth-Token: no] {"username":"zoe"} => 401
    POST /groups/v1/Account/MA2/Person/ [admin] {"username":"zoe"} => 404 | account not found
    POST /groups/v1/Account/MA1/Person/ [admin] {} => 400 | missing field `username`
    POST /groups/v1/Account/MA1/Person/ [admin] {"username":"zoe","shoe":1} => 400 | shoe: unknown field
    POST /groups/v1/Account/MA1/Person/ [admin] {"username":"zoe","mobile":" "} => 400 | mobile: write 1 to 256 characters
    POST /groups/v1/Account/MA1/Person/ [admin] {"username":"a\u0000b"} => 400 | username: write 1 to 256 characters, none a control character
    POST /groups/v1/Account/MA1/Person/ [admin] {"username":"zoe","card_number":"\u001b[31m"} => 400 | card_number: write
    POST /groups/v1/Account/MA1/Group/ [admin] {"name":"a\r\nb"} => 400 | name: write 1 to 120 characters, none a control character
    POST /groups/v1/Account/MA1/Group/ [admin] {"name":"a","external_id":"\u0000"} => 400 | external_id: write
    POST /groups/v1/Account/MA1/Till/ [admin] {"name":"a\tb"} => 400 | name: write
    POST /x/group/create [as 7] {"name":"a\u0007b"} => 400 | GRPS_DNAME_LENGTH
    POST /api/v1/groups.create [as 7] {"name":"a\nb"} => 400 | error-invalid-room-name
    POST /v2/userGroup2 [till] {"groupName":"a\u0000"} => 400 | groupName: write
    POST /v2/userGroup2 [till] {"groupName":"a","externalId":"\u007f"} => 400 | externalId: write
    POST /Platform/GroupV2/6000001/Members/3/505/Ban/ [as 3] {"comment":"\u001b[2J","length":8} => 400 | "ErrorCode":7
    POST /groups/v1/Account/MA1/Person/ [admin] {"username":"zoe","membership":"3"} => 400 | membership: write PLATFORM:ID
    POST /groups/v1/Account/MA1/Person/ [admin] {"username":"Zoe","password":"pw","email":"Z@example.com"} => 201 | "id":70000 | "username":"Zoe"
    POST /groups/v1/Account/MA1/Person/ [admin] {"username":"zoe"} => 409 | the name is taken
    GET /groups/v1/Account/MA1/Person/ [admin] => 200 | {"id":1,"username":"User1"}
    GET /groups/v1/Account/MA1/Person/5/ [admin] => 200 | "username":"User5"
    GET /groups/v1/Account/MA1/Person/99/ [admin] => 404 | no such person
    PUT /groups/v1/Account/MA1/Person/ [admin] => 405
    GET /groups/v1/Account/MA1/Nothing/ [admin] => 404
    POST /groups/v1/Account/MA1/Person/5/Password/ [admin] {"password":""} => 400
    POST /groups/v1/Account/MA1/Person/5/Password/ [admin] {"password":"new"} => 200
    POST /x/auth/sign-in {"mobile":"885","password":"new"} => 200
    POST /api/v1/login {"user":"z@example.com","password":"pw"} => 200
    POST /groups/v1/Account/MA1/Till/ [admin] {"name":"a:b"} => 400 | no colon
    POST /groups/v1/Account/MA1/Till/ [admin] {"name":"t2"} => 201 | "token":"
    POST /groups/v1/Account/MA1/Application/ [admin] => 201 | "token":"
    POST /groups/v1/Account/MA1/Person/99/Token/ [admin] => 404
    POST /groups/v1/Account/MA1/Group/ [admin] {"name":"new","owner":5,"door":"open","members_max":3} => 201 | "id":6000003 | "door":"open" | "members":[{"person":5,"username":"User5","rank":"owner"}]
    POST /groups/v1/Account/MA1/Group/ [admin] {"name":"new"} => 409
    POST /groups/v1/Account/MA1/Group/ [admin] {"name":"x","members_max":0} => 400
    POST /groups/v1/Account/MA1/Group/6000003/Member/ [admin] {"person":6,"rank":"king"} => 400 | rank: unknown variant
    POST /groups/v1/Account/MA1/Group/6000003/Member/ [admin] {"person":6} => 201 | "person":6,"username":"User6","rank":"member"
    POST /groups/v1/Account/MA1/Group/6000003/Member/6/ [admin] {"rank":"admin"} => 200 | "rank":"admin"
    DELETE /groups/v1/Account/MA1/Group/6000003/Member/5/ [admin] => 409 | the last owner
    DELETE /groups/v1/Account/MA1/Group/6000003/Member/6/ [admin] => 200 | "revision":4
    DELETE /groups/v1/Account/MA1/Group/6000003/Member/6/ [admin] => 404 | not a member
    GET /groups/v1/Account/MA1/Group/6000003/ [admin] => 200 | "is_closed":false
    GET /groups/v1/Account/MA1/Group/5/ [admin] => 404 | no such group
"#;

#[tokio::test(start_paused = true)]
async fn the_admin_api_makes_people_credentials_and_groups() {
    check(UNLIMITED, ADMIN).await;
}

#[tokio::test(start_paused = true)]
async fn a_code_gives_tokens_once_and_tokens_expire_and_are_refreshed() {
    let groups = TestGroups::open(UNLIMITED).await;
    let code = r#"POST /groups/v1/Account/MA1/Person/3/Code/ [admin] {"admin_groups":true}"#;
    let code = json(&groups, code).await["token"].as_str().unwrap().to_owned();
    let ask =
        |rest: &str| format!("POST /Platform/App/OAuth/Token/ grant_type={rest}&client_secret=KEY");
    let with_code = ask(&format!("authorization_code&code={code}"));
    let (status, body) = groups.send(&with_code.replace("KEY", "no")).await;
    assert!(status == 400 && body.contains("invalid_client"), "{status} {body}");
    let (status, body) = groups.send(&ask("password")).await;
    assert!(status == 400 && body.contains("unsupported_grant_type"), "{status} {body}");
    let tokens = json(&groups, &with_code).await;
    assert_eq!((&tokens["token_type"], &tokens["membership_id"]), (&"Bearer".into(), &"3".into()));
    let (status, body) = groups.send(&with_code).await;
    assert!(status == 400 && body.contains("invalid_grant"), "{status} {body}");

    let kick = |person: u64, tokens: &Value| {
        let token = tokens["access_token"].as_str().unwrap();
        format!(
            "POST /Platform/GroupV2/6000001/Members/254/{person}/Kick/ [X-API-Key: KEY] \
             [Authorization: Bearer {token}]"
        )
    };
    assert_eq!(groups.send(&kick(5, &tokens)).await.0, 200);
    groups.clock.fetch_add(3_600_000, Ordering::Relaxed);
    let (status, body) = groups.send(&kick(6, &tokens)).await;
    assert!(status == 401 && body.contains(r#""ErrorCode":2115"#), "{status} {body}");
    let refresh = |tokens: &Value| {
        ask(&format!("refresh_token&refresh_token={}", tokens["refresh_token"].as_str().unwrap()))
    };
    let next = json(&groups, &refresh(&tokens)).await;
    assert_eq!(groups.send(&kick(6, &next)).await.0, 200);
    assert_eq!(groups.send(&refresh(&tokens)).await.0, 400, "it has been used");
    groups.engine.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_till_gets_a_token_with_its_password() {
    let groups = TestGroups::open(UNLIMITED).await;
    let made = r#"POST /groups/v1/Account/MA1/Till/ [admin] {"name":"t9"}"#;
    let secret = json(&groups, made).await["token"].as_str().unwrap().to_owned();
    let ask = |secret: &str| {
        format!(r#"POST /v3/oauth/token/generate {{"key":"t9","secret":"{secret}"}}"#)
    };
    assert_eq!(groups.send(&ask("guess")).await.0, 401);
    let tokens = json(&groups, &ask(&secret)).await;
    assert_eq!((&tokens["data"]["ttlSeconds"], &tokens["errors"]), (&86_400.into(), &Value::Null));
    let leave = |token: &str| {
        format!(
            "DELETE /v2/userGroup2/6000001/leave?source=INSTORE&identifierName=mobile\
             &identifierValue=885 [X-CAP-API-OAUTH-TOKEN: {token}]"
        )
    };
    assert_eq!(groups.send(&leave("guess")).await.0, 401);
    let token = tokens["data"]["accessToken"].as_str().unwrap();
    assert_eq!(groups.send(&leave(token)).await.0, 200);
    groups.clock.fetch_add(86_400_000, Ordering::Relaxed);
    assert_eq!(groups.send(&leave(token)).await.0, 401);
    groups.engine.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_guesses_too_often_waits_in_every_dialect() {
    let groups = TestGroups::open(Settings { is_bungie_realistic: true, ..UNLIMITED }).await;
    let guesses = [
        "GET /x/auth/isUser [Cookie: connect.sid=no]",
        "GET /Platform/GroupV2/6000001 [X-API-Key: no]",
        "GET /api/v1/me [X-Auth-Token: no] [X-User-Id: 1]",
        "GET /v2/userGroup2?id=6000001 [Authorization: Basic dDE6bm8=]",
    ];
    for n in 0..600 {
        // A request without credentials is not a guess.
        assert_eq!(groups.send("GET /x/auth/isUser").await.0, 401);
        let (status, body) = groups.send(guesses[n % 2]).await;
        assert!(status == 401 || status == 500, "{n} {status} {body}");
    }
    for line in guesses {
        let response = groups.answer(line).await;
        let wait = response.headers().get("retry-after").map(|it| it.to_str().unwrap());
        assert_eq!((response.status().as_u16(), wait), (429, Some("1")), "{line}");
    }
    // Good credentials are verified first, whatever else comes from their address.
    let voice = "GET /v1/Account/MA1/Conference/ [X-Auth-ID: MA1] [X-Auth-Token: one]";
    for line in [
        voice,
        "GET /x/auth/isUser [as 1]",
        "GET /Platform/GroupV2/6000001 [as 1]",
        "GET /api/v1/me [as 1]",
        "GET /v2/userGroup2?id=6000001 [till]",
        "GET /groups/v1/Account/MA1/Person/ [admin]",
        r#"POST /api/v1/login {"user":"User1","password":"pw"}"#,
        // The browser still has an old cookie.
        r#"POST /x/auth/sign-in [Cookie: connect.sid=old] {"mobile":"881","password":"pw"}"#,
    ] {
        assert_eq!(groups.send(line).await.0, 200, "{line}");
    }
    groups.engine.close().await;
}

const RETURNS: [(&str, &str); 4] = [
    (
        "Bungie: they apply, and an admin decides",
        r#"
            POST /Platform/GroupV2/6000001/Members/3/505/Kick/ [as 3] => 200
            POST /Platform/GroupV2/6000001/Members/Apply/3/ [as 5] => 200
            GET /Platform/GroupV2/6000001/Members/ [as 3] => 200 | "totalResults":4
            POST /Platform/GroupV2/6000001/Members/Approve/3/505/ [as 6] => 403
            POST /Platform/GroupV2/6000001/Members/DenyList/ [as 3] {"memberships":[{"membershipType":3,"membershipId":"505"}]} => 200
            POST /Platform/GroupV2/6000001/Members/Approve/3/505/ [as 3] => 404
            POST /Platform/GroupV2/6000001/Members/Apply/3/ [as 5] => 200
            POST /Platform/GroupV2/6000001/Members/Approve/3/505/ [as 3] => 200
            GET /Platform/GroupV2/6000001/Members/ [as 3] => 200 | "totalResults":5
        "#,
    ),
    (
        "Rocket.Chat: a new invitation",
        r#"
            POST /api/v1/groups.kick [as 3] {"roomId":"6000001","userId":"5"} => 200
            GET /api/v1/groups.info?roomId=6000001 [as 5] => 400 | error-room-not-found
            POST /api/v1/groups.invite [as 5] {"roomId":"6000001","userId":"5"} => 400 | error-not-allowed
            POST /api/v1/groups.invite [as 3] {"roomId":"6000001","userId":"5"} => 200
            GET /api/v1/groups.info?roomId=6000001 [as 5] => 200 | "usersCount":5
        "#,
    ),
    (
        "Kirimin: the link, until it is reset",
        r#"
            POST /x/group/kick/6000001/5 [as 1] {} => 200
            POST /x/group/join/6000001 [as 5] {"link":"open-sesame"} => 200
            POST /x/group/kick/6000001/5 [as 1] {} => 200
            POST /x/group/reset-link [as 1] {"id":"6000001"} => 200
            POST /x/group/join/6000001 [as 5] {"link":"open-sesame"} => 404 | INV_NOT_FOUND_DESC
            GET /invite/open-sesame [as 5] => 404
        "#,
    ),
    (
        "Capillary: a new join",
        r#"
            DELETE /v2/userGroup2/6000001/leave?source=INSTORE&identifierName=mobile&identifierValue=885 [till] => 200
            DELETE /v2/userGroup2/6000001/leave?source=INSTORE&identifierName=mobile&identifierValue=885 [till] => 400 | 1620
            POST /v2/userGroup2/join?id=6000001 [till] [{"userId":5}] => 200
            DELETE /v2/userGroup2/6000001/leave?source=INSTORE&identifierName=mobile&identifierValue=885 [till] => 200
        "#,
    ),
];

#[tokio::test(start_paused = true)]
async fn a_kicked_person_returns_by_the_rule_of_the_dialect() {
    for (_, transcript) in RETURNS {
        check(UNLIMITED, transcript).await;
    }
}

/// Neighbours of Bungie's kick (contract 1.6) and of Rocket.Chat's (contract 2.4, and its 404).
#[tokio::test(start_paused = true)]
async fn clients_find_the_neighbours_of_a_kick() {
    check(
        UNLIMITED,
        r#"
            GET /Platform/GroupV2/User/3/505/0/1/ [X-API-Key: KEY] => 200 | "totalResults":1
            GET /Platform/GroupV2/User/3/505/1/1/ [X-API-Key: KEY] => 200 | "totalResults":0
            GET /Platform/GroupV2/User/3/501/1/1/ [X-API-Key: KEY] => 200 | "6000001":false
            GET /Platform/GroupV2/User/3/501/0/0/ [X-API-Key: KEY] => 200 | "totalResults":0
            GET /Platform/GroupV2/User/3/505/9/1/ [X-API-Key: KEY] => 400
            GET /Platform/GroupV2/User/3/999/0/1/ [X-API-Key: KEY] => 404
            POST /Platform/GroupV2/6000001/Members/IndividualInvite/3/507/ [as 6] => 403
            POST /Platform/GroupV2/6000001/Members/IndividualInvite/3/507/ [as 3] => 200 | "resolution":0
            GET /Platform/GroupV2/6000001/Members/InvitedIndividuals/ [as 3] => 200 | "totalResults":1
            GET /Platform/GroupV2/6000001/Members/Pending/ [as 3] => 200 | "totalResults":0
            POST /Platform/GroupV2/6000001/Members/IndividualInviteCancel/3/507/ [as 3] => 200
            GET /Platform/GroupV2/6000001/Members/InvitedIndividuals/ [as 3] => 200 | "totalResults":0
            POST /Platform/GroupV2/6000001/Members/Apply/3/ [as 7] => 200
            GET /Platform/GroupV2/6000001/Members/Pending/ [as 6] => 403
            GET /Platform/GroupV2/6000001/Members/Pending/ [as 3] => 200 | "membershipId":"507"
            POST /Platform/GroupV2/6000001/Members/DenyAll/ [as 3] => 200 | "entityId":"7"
            POST /Platform/GroupV2/6000001/Members/Apply/3/ [as 7] => 200
            POST /Platform/GroupV2/6000001/Members/ApproveAll/ [as 3] => 200 | "entityId":"7"
            GET /Platform/GroupV2/6000001/Members/ [as 3] => 200 | "totalResults":6
            POST /Platform/GroupV2/6000001/Admin/AbdicateFoundership/3/503/ [as 3] => 403
            POST /Platform/GroupV2/6000001/Admin/AbdicateFoundership/3/508/ [as 1] => 404
            POST /Platform/GroupV2/6000001/Admin/AbdicateFoundership/3/501/ [as 1] => 403 | 696
            POST /Platform/GroupV2/6000001/Admin/AbdicateFoundership/3/505/ [as 1] => 200 | true
            POST /Platform/GroupV2/6000001/Members/3/501/Kick/ [as 5] => 200
            GET /Platform/GroupV2/6000001/AdminsAndFounder/ [as 5] => 200 | "totalResults":3
            GET /api/v1/groups.members?roomId=6000001&status[]=online [as 3] => 200 | "total":0
            GET /api/v1/groups.members?roomId=6000001&status%5B0%5D=away&status%5B1%5D=offline [as 3] => 200 | "total":5
            GET /api/v1/groups.members?roomId=6000001&status=busy [as 3] => 200 | "total":0
            GET /api/v1/subscriptions.get [as 3] => 404 | {"success":false,"error":"404 Not Found"}
            GET /api/v1/nonsense/deep/ => 404 | {"success":false,"error":"404 Not Found"}
            POST /api/v1/groups.kick [as 3] [Content-Type: multipart/form-data; boundary=b] --b⏎Content-Disposition: form-data; name="roomId"⏎⏎6000001⏎--b⏎Content-Disposition: form-data; name="userId"⏎⏎6⏎--b--⏎ => 200
            POST /api/v1/groups.invite [as 3] [Content-Type: Application/X-WWW-Form-Urlencoded; charset=utf-8] roomId=6000001&userIds[]=6&userIds[]=1 => 200
            POST /api/v1/groups.kick [as 3] [Content-Encoding: gzip] zipped => 415 | (identity)
            POST /Platform/GroupV2/6000001/Members/3/504/Ban/ [as 5] [Content-Encoding: br] zipped => 415 | ParameterParseFailure
            POST /x/group/create [as 1] [Content-Encoding: deflate] zipped => 415 | ERROR
            POST /v2/userGroup2 [till] [Content-Encoding: gzip] zipped => 415 | (identity)
        "#,
    )
    .await;
}
