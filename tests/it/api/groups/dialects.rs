//! The four dialects over HTTP: a line for each cell of the table of outcomes (contract 6).

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{
    body::Body,
    http::{Request, Response},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use conflow::{
    api::groups::{GroupsApi, Settings},
    base::ids::AccountId,
    credentials::{Basis, Bearer, GroupCredentials, Holder, NewToken, TokenKind, md5_hex},
    engine::membership::Memberships,
    group::{Ask, Permission, Person, PersonId, PersonName, Rank, UnixMillis},
    store::rows::OnCommit,
};
use http_body_util::BodyExt;

use crate::api::engine::{TestEngine, TestEngineOptions};
use crate::{
    engine::membership::FailingRows,
    group::{GROUP, NOW, group_info, group_ref, person_ref},
};

/// Group 6000001 with owner 1, admins 3 and 4, member 5 and beginner 6; 7 is outside, 9 may remove
/// from their own groups, 10 from any. 6000002 is closed.
pub(in crate::api) struct TestGroups {
    pub(in crate::api) engine: TestEngine,
    /// Placeholders for credentials in transcripts.
    pub(super) placeholders: Vec<(String, String)>,
    pub(super) rows: Arc<FailingRows>,
    /// The time of day in milliseconds.
    pub(super) clock: Arc<AtomicU64>,
}

fn done() -> OnCommit {
    Box::new(|written| written.unwrap())
}

fn basic(till: &str) -> String {
    format!("[Authorization: Basic {}]", BASE64_STANDARD.encode(till))
}

/// Creates the two groups and their members.
async fn create_groups(memberships: &Memberships, account: &AccountId) {
    for (id, name) in [(GROUP.0, "weekly"), (GROUP.0 + 1, "over")] {
        assert_eq!(memberships.new_group().0, id);
        let head = group_info(conflow::group::GroupId(id), name, Some(1));
        memberships.ask(account, Ask::Create(head)).await.unwrap();
    }
    let ranks = [(3, Rank::Admin), (4, Rank::Admin), (5, Rank::Member), (6, Rank::Beginner)];
    for (n, rank) in ranks {
        let ask = Ask::Add { group: group_ref(), actor: None, target: person_ref(n), rank };
        memberships.ask(account, ask).await.unwrap();
    }
    let rule = conflow::group::rule::Rule::KIRIMIN_LEAVE;
    let group = conflow::group::GroupRef::Id(conflow::group::GroupId(GROUP.0 + 1));
    memberships.ask(account, Ask::Leave { group, actor: PersonId(1), rule }).await.unwrap();
}

impl TestGroups {
    pub(in crate::api) async fn open(settings: Settings) -> Self {
        Self::open_in(TestEngine::new(TestEngineOptions::default()), settings).await
    }

    pub(super) async fn open_in(mut engine: TestEngine, settings: Settings) -> Self {
        let rows = Arc::new(FailingRows::default());
        let clock = Arc::new(AtomicU64::new(NOW.0));
        let time = clock.clone();
        let now = move || UnixMillis(time.load(Ordering::Relaxed));
        let memberships = Memberships::open(rows.clone(), Box::new(now)).unwrap();
        let memberships = memberships.guarding(engine.registry().clone());
        let credentials = GroupCredentials::open(rows.clone()).unwrap();
        let account: AccountId = "MA1".parse().unwrap();
        let mut placeholders = Vec::new();
        let issue_in = |account: &AccountId, bearer| {
            let kind = match &bearer {
                Bearer::Application => TokenKind::Application,
                Bearer::Till(_) => TokenKind::Till,
                Bearer::Person { .. } | Bearer::Grant { .. } => TokenKind::Token,
            };
            let holder = Holder { account: account.clone(), bearer };
            let new = NewToken { holder, kind, created: NOW, until: None };
            credentials.issue(new, Basis::Operator, done()).unwrap().unwrap()
        };
        credentials.set_password(&account, 1, "pw", done()).unwrap();
        let issue = |bearer| issue_in(&account, bearer);
        for id in 1..=10 {
            let mut person = Person::new(PersonId(id), &format!("User{id}"));
            person.names.insert(PersonName::Mobile(format!("88{id}").into()));
            person.names.insert(PersonName::Membership { platform: 3, id: 500 + id.cast_signed() });
            match id {
                9 => drop(person.permissions.insert(Permission::RemoveUser)),
                10 => drop(person.permissions.insert(Permission::KickFromAny)),
                _ => (),
            }
            memberships.ask(&account, Ask::AddPerson(person)).await.unwrap();
            let token = issue(Bearer::Person { id, is_admin_scope: id != 4 });
            placeholders.push((format!("[as {id}]"), format!("[X-API-Key: KEY] [Authorization: Bearer {token}] [X-Auth-Token: {token}] [X-User-Id: {id}] [Cookie: a=b; connect.sid={token}]")));
        }
        let admin = "[X-Auth-ID: MA1] [X-Auth-Token: one]".to_owned();
        placeholders.push(("[admin]".to_owned(), admin));
        let till = format!("t1:{}", md5_hex(&issue(Bearer::Till("t1".into()))));
        placeholders.push(("[till]".to_owned(), basic(&till)));
        // A person and a till of another account.
        let other = |bearer| issue_in(&"MA2".parse().unwrap(), bearer);
        let token = other(Bearer::Person { id: 1, is_admin_scope: true });
        placeholders.push(("[as other]".to_owned(), format!("[X-API-Key: KEY] [Authorization: Bearer {token}] [X-Auth-Token: {token}] [X-User-Id: 1] [Cookie: connect.sid={token}]")));
        let till = format!("t2:{}", md5_hex(&other(Bearer::Till("t2".into()))));
        placeholders.push(("[till of other]".to_owned(), basic(&till)));
        placeholders.push(("KEY".to_owned(), issue(Bearer::Application)));

        create_groups(&memberships, &account).await;
        let groups_api = GroupsApi::new(Arc::new(memberships), Arc::new(credentials), settings);
        engine.api = engine.api.clone().with_groups(groups_api);
        Self { engine, placeholders, rows, clock }
    }

    pub(in crate::api) async fn send(&self, line: &str) -> (u16, String) {
        let response = self.answer(line).await;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    pub(in crate::api) async fn answer(&self, line: &str) -> Response<Body> {
        self.answer_from(IpAddr::V4(Ipv4Addr::LOCALHOST), line).await
    }

    pub(super) async fn answer_from(&self, peer: IpAddr, line: &str) -> Response<Body> {
        let line =
            self.placeholders.iter().fold(line.to_owned(), |it, (from, to)| it.replace(from, to));
        let (method, rest) = line.split_once(' ').unwrap();
        let (path, mut rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let mut request = Request::builder().method(method).uri(path);
        while let Some((pair, after)) = rest.strip_prefix('[').and_then(|it| it.split_once(']')) {
            // The body begins here, with a list.
            let Some((name, value)) = pair.split_once(": ") else { break };
            request = request.header(name, value);
            rest = after.trim_start();
        }
        let request = request.body(Body::from(rest.replace('⏎', "\r\n"))).unwrap();
        self.engine.api.answer(peer, request).await
    }
}

pub(in crate::api) const UNLIMITED: Settings = Settings {
    is_bungie_realistic: false,
    is_bungie_superset: false,
    is_rocketchat_bare: false,
    is_kirimin_server: false,
    is_kirimin_owner_404: false,
    is_capillary_kept_active: false,
    is_unlimited: true,
};

/// Sends each line, and checks its status and every part between bars in its body.
pub(super) async fn check(settings: Settings, transcript: &str) {
    let groups = TestGroups::open(settings).await;
    for line in transcript.lines().map(str::trim).filter(|it| !it.is_empty()) {
        let (asked, expected) = line.split_once(" => ").unwrap();
        let (status, body) = groups.send(asked).await;
        let mut expected = expected.split(" | ");
        let wanted: u16 = expected.next().unwrap().parse().unwrap();
        assert_eq!(status, wanted, "{line}\n{body}");
        for part in expected {
            assert!(body.contains(part), "{line}\n{body}");
        }
    }
    groups.engine.close().await;
}

const BUNGIE: &str = r#"
    POST /Platform/GroupV2/6000001/Members/3/505/Kick/ => 401 | "ErrorCode":2102 | "ErrorStatus":"ApiKeyMissingFromRequest"
    POST /Platform/GroupV2/6000001/Members/3/505/Kick/ [X-API-Key: no] => 401 | "ErrorCode":2101
    POST /Platform/GroupV2/6000001/Members/3/505/Kick/ [X-API-Key: KEY] => 401 | "ErrorCode":99 | Please sign-in to continue.
    POST /Platform/GroupV2/6000001/Members/3/505/Kick/ [X-API-Key: KEY] [Authorization: Bearer no] => 401 | "ErrorCode":99
    POST /Platform/GroupV2/6000001/Members/3/505/Kick/ [as 4] => 403 | "ErrorCode":2108
    POST /Platform/GroupV2/x/Members/3/505/Kick/ [as 1] => 400 | "ErrorCode":7
    POST /Platform/GroupV2/6000001/Members/3/x/Kick/ [as 1] => 400 | "ErrorCode":7
    POST /Platform/GroupV2/6000001/Members/-1/505/Kick/ [as 1] => 400 | "ErrorCode":609
    POST /Platform/GroupV2/5/Members/3/505/Kick/ [as 1] => 404 | "ErrorCode":622 | "ErrorStatus":"GroupNotFound"
    POST /Platform/GroupV2/6000001/Members/3/505/Kick/ [as 7] => 403 | "ErrorCode":687
    POST /Platform/GroupV2/6000001/Members/3/505/Kick/ [as 6] => 403 | "ErrorCode":687
    POST /Platform/GroupV2/6000001/Members/3/504/Kick/ [as 3] => 403 | "ErrorCode":687
    POST /Platform/GroupV2/6000001/Members/3/999/Kick/ [as 1] => 404 | "ErrorCode":611
    POST /Platform/GroupV2/6000001/Members/2/505/Kick/ [as 1] => 404 | "ErrorCode":611
    POST /Platform/GroupV2/6000001/Members/3/507/Kick/ [as 1] => 404 | "ErrorCode":611 | "ErrorStatus":"GroupMembershipNotFound" | "MessageData":{}
    POST /Platform/GroupV2/6000001/Members/3/501/Kick/ [as 3] => 403 | "ErrorCode":697
    POST /Platform/GroupV2/6000001/Members/3/501/Kick/ [as 1] => 403 | "ErrorCode":696
    POST /Platform/GroupV2/6000002/Members/3/505/Kick/ [as 1] => 409 | "ErrorCode":690
    GET /Platform/GroupV2/6000001/Members/3/505/Kick/ [as 1] => 405 | "ErrorCode":21
    POST /Platform/Nothing/ [as 1] => 404 | "ErrorCode":21
    POST /platform//GroupV2/6000001/Members/3/505/Kick [as 3] => 200 | "ErrorCode":1 | "ErrorStatus":"Success" | "groupDeleted":false | "groupId":"6000001" | "memberCount":4 | "membershipIdCreated":"1"
    POST /Platform/GroupV2/6000001/Members/254/6/Kick/ [as 3] => 200 | "memberCount":3
    POST /Platform/GroupV2/6000001/Members/3/505/Kick/ [as 3] => 404 | "ErrorCode":611
    POST /Platform/GroupV2/6000001/Members/Apply/3/ [as 5] => 200
    GET /Platform//GroupV2/6000001/Members/?memberType=0&nameSearch=&currentpage=1 [X-API-Key: KEY] => 200 | "totalResults":3
    POST /Platform/GroupV2/6000001/Members/DenyList/ [as 3] {"memberships":[{"membershipType":3,"membershipId":"505"}]} => 200
    POST /Platform/GroupV2/6000001/Members/Approve/3/505/ [as 3] => 404
    POST /Platform/GroupV2/6000001/Members/Apply/3/ [as 5] => 200
    POST /Platform/GroupV2/6000001/Members/Approve/3/505/ [as 3] => 200
    GET /Platform/GroupV2/6000001 [X-API-Key: KEY] => 200 | "memberCount":4 | "founder":{ | "detail":{
    POST /Platform/GroupV2/6000001/Members/3/505/Ban/ [as 3] {"comment":"bye","length":8} => 200 | "Response":0
    POST /Platform/GroupV2/6000001/Members/Apply/3/ [as 5] => 403 | "ErrorCode":623
    GET /Platform/GroupV2/6000001/Banned/ [as 3] => 200 | "comment":"bye"
    POST /Platform/GroupV2/6000001/Members/3/505/Unban/ [as 3] => 200
    POST /Platform/GroupV2/6000001/Members/Apply/3/ [as 5] => 200
"#;

#[tokio::test(start_paused = true)]
async fn bungies_kick_answers_like_its_service() {
    check(UNLIMITED, BUNGIE).await;
    let realistic = Settings { is_bungie_realistic: true, ..UNLIMITED };
    let superset = Settings { is_bungie_superset: true, ..UNLIMITED };
    check(realistic, "POST /Platform/GroupV2/5/Members/3/505/Kick/ [as 1] => 500 | 622").await;
    let kick = "POST /Platform/GroupV2/6000001/Members/3/505/Kick/ [as 1] => 200";
    check(superset, &format!(r#"{kick} | "detail":{{ | "founder":{{"#)).await;
}

const ROCKET_CHAT: &str = r#"
    POST /api/v1/groups.kick {"roomId":"6000001","userId":"5"} => 401 | "success":false | "status":"error" | "message":"You must be logged in to do this."
    POST /api/v1/groups.kick [X-Auth-Token: no] [X-User-Id: 1] {"roomId":"6000001","userId":"5"} => 401
    POST /api/v1/groups.kick [as 1] {"userId":"5"} => 400 | "errorType":"error-invalid-params" | must have required property
    POST /api/v1/groups.kick [as 1] {"roomId":"6000001","roomName":"weekly","userId":"5"} => 400 | error-invalid-params
    POST /api/v1/groups.kick [as 1] {"roomId":"6000001","userId":"5","x":"y"} => 400 | error-invalid-params
    POST /api/v1/groups.kick [as 1] {"roomId":"6000001","userId":5} => 400 | error-invalid-params
    POST /api/v1/groups.kick [as 1] no => 400 | error-invalid-params
    POST /api/v1/groups.kick [as 1] {"roomId":"6000001"} => 400 | "errorType":"error-user-param-not-provided"
    POST /api/v1/groups.kick [as 1] {"roomId":"5"} => 400 | "errorType":"error-room-not-found"
    POST /api/v1/groups.kick [as 1] {"roomId":"6000002"} => 400 | "errorType":"error-room-archived"
    POST /api/v1/groups.kick [as 1] {"roomId":"no","userId":"99"} => 400 | "errorType":"error-room-not-found" | does not match any group [error-room-not-found]
    POST /api/v1/groups.kick [as 7] {"roomId":"6000001","userId":"99"} => 400 | "errorType":"error-invalid-user"
    POST /api/v1/groups.kick [as 7] {"roomId":"6000001","userId":"5"} => 400 | "error":"Not allowed [error-not-allowed]" | "errorType":"error-not-allowed" | "details":{"method":"removeUserFromRoom"}
    POST /api/v1/groups.kick [as 6] {"roomId":"6000001","userId":"5"} => 400 | "errorType":"error-not-allowed"
    POST /api/v1/groups.kick [as 9] {"roomId":"6000001","userId":"5"} => 400 | "errorType":"error-room-not-found"
    POST /api/v1/groups.kick [as 3] {"roomId":"6000001","userId":"7"} => 400 | "errorType":"error-user-not-in-room"
    POST /api/v1/groups.kick [as 3] {"roomId":"6000001","userId":"1"} => 400 | "errorType":"error-you-are-last-owner" | removeUserFromRoom
    POST /api/v1/groups.kick [as 3] {"roomId":"6000002","userId":"5"} => 400 | "errorType":"error-room-archived"
    GET /api/v1/groups.kick [as 3] => 405 | "success":false
    GET /api/v1/groups.nothing [as 3] => 404 | "success":false
    POST /api/v1/groups.kick [as 3] {"roomName":"weekly","username":"USER5"} => 200 | "success":true | "_id":"6000001" | "t":"p" | "usernames":["User1","User3","User4","User6"]
    POST /api/v1/groups.kick [as 3] {"roomId":"6000001","userId":"5"} => 400 | "errorType":"error-user-not-in-room"
    POST /api/v1/groups.kick [as 10] {"roomId":"6000001","userId":"5"} => 200 | "success":true
    POST /api/v1/groups.kick [as 3] [Content-Type: application/x-www-form-urlencoded] roomId=6000001&user=user6 => 200
    POST /api/v1/groups.invite [as 3] {"roomId":"6000001","userId":"5"} => 200 | "usersCount":4
    GET /api/v1/groups.members?roomId=6000001&offset=0&count=50 [as 3] => 200 | "total":4 | "username":"User5"
    GET /api/v1/groups.info?roomId=6000001 [as 3] => 200 | "name":"weekly"
    POST /api/v1/groups.create [as 7] {"name":"new","members":["user5"]} => 200 | "usersCount":2
    POST /api/v1/groups.create [as 7] {} => 400 | Body param
    GET /api/v1/groups.list [as 7] => 200 | "name":"new" | "total":1
    POST /api/v1/groups.leave [as 7] {"roomName":"new"} => 400 | error-you-are-last-owner | leaveRoom
    POST /api/v1/groups.addOwner [as 7] {"roomName":"new","userId":"5"} => 200
    POST /api/v1/groups.leave [as 7] {"roomName":"new"} => 200
    POST /api/v1/groups.leave [as 7] {"roomName":"new"} => 400 | error-user-not-in-room
    POST /api/v1/login {"username":"user1","password":"no"} => 401 | "success":false
    POST /api/v1/login {"username":"user1","password":"pw"} => 200 | "status":"success" | "userId":"1" | "authToken":"
    GET /api/info => 200 | "success":true
"#;

#[tokio::test(start_paused = true)]
async fn rocket_chats_kick_answers_like_its_server() {
    check(UNLIMITED, ROCKET_CHAT).await;
    let kick = r#"POST /api/v1/groups.kick [as 1] {"roomId":"6000001","userId":"5"}"#;
    let bare = Settings { is_rocketchat_bare: true, ..UNLIMITED };
    let groups = TestGroups::open(bare).await;
    assert_eq!(groups.send(kick).await, (200, r#"{"success":true}"#.to_owned()));
    groups.engine.close().await;
    let mut transcript = format!("{kick} => 200\n");
    (0..9).for_each(|_| transcript += &format!("{kick} => 400\n"));
    transcript +=
        &format!("{kick} => 429 | You must wait 60 seconds before | [error-too-many-requests]");
    check(Settings { is_unlimited: false, ..UNLIMITED }, &transcript).await;
}

const KIRIMIN: &str = r#"
    POST /x/group/kick/6000001/5 {} => 401 | {"ok":false,"code":401,"msg":"UNAUTHORIZED"}
    POST /x/group/kick/6000001/5 [Cookie: connect.sid=no] {} => 401 | UNAUTHORIZED
    POST /x/group/kick/5/5 [as 1] {} => 404 | "msg":"GRPS_404"
    POST /x/group/kick/no/5 [as 1] {} => 404 | "msg":"GRPS_404"
    POST /x/group/kick/6000002/5 [as 1] {} => 404 | "msg":"GRPS_404"
    POST /x/group/kick/6000001/5 [as 7] {} => 400 | "msg":"GRPS_OWNER_FEATURE"
    POST /x/group/kick/6000001/5 [as 3] {} => 400 | {"ok":false,"code":400,"msg":"GRPS_OWNER_FEATURE"}
    POST /x/group/kick/6000001/1 [as 1] {} => 400 | "msg":"GRPS_OWNER_FEATURE"
    POST /x/group/kick/6000001/99 [as 1] {} => 404 | "msg":"FIND_NOTFOUND"
    POST /x/group/kick/6000001/7 [as 1] {} => 404 | "msg":"FIND_NOTFOUND"
    POST /x/group/kick/6000001/5 [as 1] no => 500 | "msg":"ERROR"
    GET /x/group/kick/6000001/5 [as 1] => 404 | "msg":"Your requested data is not found" | "error":"Not Found"
    GET /invite/open-sesame [as 7] => 200 | "group":{"owner":"1","id":"6000001" | "joined":false,"members":5
    POST /x/group/kick/6000001/5 [as 1] {} => 200 | {"ok":true,"code":200,"msg":"OK"}
    POST /x/group/kick/6000001/5 [as 1] {} => 404 | "msg":"FIND_NOTFOUND"
    POST /x/group/join/6000001 [as 5] {"link":"guess"} => 404 | "msg":"INV_NOT_FOUND_DESC"
    POST /x/group/join/6000001 [as 5] {"link":"open-sesame"} => 200 | "owner":"1" | "link":"open-sesame"
    POST /x/group/reset-link [as 5] {"id":"6000001"} => 403 | "msg":"GRPS_OWNER_FEATURE"
    POST /x/group/reset-link [as 1] {"id":"6000001"} => 200 | "text":"
    POST /x/group/leave/6000001 [as 5] {} => 200
    POST /x/group/leave/6000001 [as 5] {} => 400 | "msg":"ERROR"
    POST /x/group/leave/5 [as 5] {} => 200
    POST /x/group/join/6000001 [as 5] {"link":"open-sesame"} => 404
    POST /x/group/create [as 5] {"name":"mine"} => 200 | "roomid":"6000003"
    POST /x/group/create [as 5] {} => 400 | "msg":"GRPS_DNAME_LENGTH"
    POST /x/group/create [as 5] {"name":"second"} => 200 | "roomid":"6000004"
    POST /x/group/create [as 5] {"name":"third"} => 400 | "msg":"GRPS_OWN_MAX"
    POST /x/group/leave/6000003 [as 5] {} => 200
    POST /x/group/kick/6000003/5 [as 5] {} => 404 | "msg":"GRPS_404"
    POST /x/auth/sign-in {"mobile":"881","password":"no"} => 400 | "msg":"AUTH_ERR_02"
    POST /x/auth/sign-in {"mobile":"885","password":"pw"} => 400 | "msg":"AUTH_ERR_02"
    POST /x/auth/sign-in {} => 400 | "msg":"AUTH_ERR_02"
    POST /x/auth/sign-in {"email":"nobody@example.com"} => 200 | {"ok":true,"code":200,"msg":"OK"}
    POST /x/auth/verify {"email":"nobody@example.com"} => 400 | "msg":"AUTH_ERR_02"
    POST /x/auth/sign-in {"mobile":"881","password":"pw"} => 200 | "user":{"id":"1"
    POST /x/auth/verify {"mobile":"881","code":"pw"} => 200 | "user":{"id":"1"
    GET /x/auth/isUser => 401 | UNAUTHORIZED
    GET /x/auth/isUser [as 1] => 200 | "me":{"id":"1" | "socket":{"id":" | "c":[{"m":[]
    GET /invite/open-sesame [as 7] => 404 | "data":{"group":null}
    GET /x/auth/logout [as 7] => 302
    GET /x/auth/isUser [as 7] => 401
"#;

#[tokio::test(start_paused = true)]
async fn kirimins_kick_answers_as_documented() {
    check(UNLIMITED, KIRIMIN).await;
    let server = Settings { is_kirimin_owner_404: true, ..UNLIMITED };
    check(server, "POST /x/group/kick/6000001/5 [as 3] {} => 404 | GRPS_OWNER_FEATURE").await;
    let limited = Settings { is_unlimited: false, ..UNLIMITED };
    let transcript = r#"
        POST /x/group/kick/6000001/5 [as 1] {} => 200
        POST /x/group/kick/6000001/6 [as 1] {} => 429 | "msg":"TO_MANY_REQUEST"
        POST /x/group/kick/6000001/6 [as 3] {} => 400
    "#;
    check(limited, transcript).await;
}

const CAPILLARY: &str = r#"
    DELETE /v2/userGroup2/6000001/leave?source=INSTORE&identifierName=mobile&identifierValue=885 => 401 | "code":401 | "success":false
    DELETE /v2/userGroup2/6000001/leave [Authorization: Basic dDE6bm8=] => 401 | "code":401
    DELETE /v2/userGroup2/6000001/leave?identifierName=mobile&identifierValue=885 [till] => 400 | "code":403 | source is mandatory
    DELETE /v2/userGroup2/6000001/leave?source=INSTORE&identifierName=mobile [till] => 400 | "code":403
    DELETE /v2/userGroup2/6000001/leave?source=MOON&identifierName=mobile&identifierValue=885 [till] => 400 | "code":8003
    DELETE /v2/userGroup2/6000001/leave?source=INSTORE&identifierName=shoe&identifierValue=885 [till] => 400 | "code":8013
    DELETE /v2/userGroup2/5/leave?source=INSTORE&identifierName=mobile&identifierValue=885 [till] => 400 | "code":1619
    DELETE /v2/userGroup2/6000002/leave?source=INSTORE&identifierName=mobile&identifierValue=885 [till] => 400 | "code":1619
    DELETE /v2/userGroup2/6000001/leave?source=INSTORE&identifierName=mobile&identifierValue=9 [till] => 400 | "code":8015
    DELETE /v2/userGroup2/6000001/leave?source=INSTORE&identifierName=mobile&identifierValue=887 [till] => 400 | "code":1620 | "status":false
    DELETE /v2/userGroup2/6000001/leave?source=INSTORE&identifierName=mobile&identifierValue=885&id=7 [till] => 400 | contradicts
    PUT /v2/userGroup2/6000001/leave [till] => 405 | "code":405
    GET /v2/userGroup2/6000001/nothing [till] => 404 | "code":404
    DELETE /v2/userGroup2/6000001/leave?accountId=&source=INSTORE&identifierName=mobile&identifierValue=885 [till] => 200 | {"warnings":[],"errors":[],"success":true}
    POST /v2/organization/userGroup2/6000001/leave?source=ALL&identifierName=mobile&identifierValue=886&id=6000001 [till] => 200 | "warnings":[{ | id is not used
    POST /v2/userGroup2 [till] {"externalId":"e1","groupName":"family","maxGroupSize":3} => 200 | "entity":6000003
    POST /v2/userGroup2/join?externalId=e1 [till] [{"userId":5,"primaryMember":true},{"userId":6}] => 200 | "totalCount":2
    POST /v2/userGroup2/join?externalId=e1 [till] [{"userId":7,"primaryMember":true}] => 400 | "code":1637
    POST /v2/userGroup2/join?externalId=e1 [till] [{"userId":6}] => 400 | "code":1636
    GET /v2/userGroup2?id=6000003 [till] => 200 | "groupStatus":"ACTIVE" | "primaryMember":true
    DELETE /v2/userGroup2/6000003/leave?source=INSTORE&identifierName=mobile&identifierValue=886&externalId=e2 [till] => 400 | "code":1632 | contradicts
    DELETE /v2/userGroup2/6000003/leave?source=INSTORE&identifierName=mobile&identifierValue=886&primaryUserId=6 [till] => 400 | "code":1632 | contradicts
    DELETE /v2/userGroup2/6000003/leave?source=INSTORE&identifierName=mobile&identifierValue=886&primaryUserId=x [till] => 400 | "code":1632 | contradicts
    DELETE /v2/userGroup2/6000003/leave?source=INSTORE&identifierName=mobile&identifierValue=886&externalId=e1&primaryUserId=5 [till] => 200 | externalId is not used | primaryUserId is not used
    DELETE /v2/userGroup2/6000003/leave?source=INSTORE&identifierName=mobile&identifierValue=885 [till] => 200
    GET /v2/userGroup2?id=6000003 [till] => 200 | "groupStatus":"INACTIVE"
"#;

#[tokio::test(start_paused = true)]
async fn capillarys_leave_answers_as_documented() {
    check(UNLIMITED, CAPILLARY).await;
    let kept = Settings { is_capillary_kept_active: true, ..UNLIMITED };
    let transcript = r#"
        DELETE /v2/userGroup2/6000001/leave?source=INSTORE&identifierName=mobile&identifierValue=881 [till] => 200
        GET /v2/userGroup2?id=6000001 [till] => 200 | "groupStatus":"ACTIVE"
    "#;
    check(kept, transcript).await;
}

#[tokio::test(start_paused = true)]
async fn a_group_of_one_account_does_not_exist_for_another_in_any_dialect() {
    let transcript = r#"
        POST /Platform/GroupV2/6000001/Members/3/505/Kick/ [as other] => 401 | "ErrorCode":99
        POST /api/v1/groups.kick [as other] {"roomId":"6000001","userId":"5"} => 400 | error-room-not-found
        GET /api/v1/groups.list [as other] => 200 | "total":0
        POST /x/group/kick/6000001/5 [as other] {} => 404 | GRPS_404
        GET /invite/open-sesame [as other] => 404
        DELETE /v2/userGroup2/6000001/leave?source=ALL&identifierName=mobile&identifierValue=885 [till of other] => 400 | "code":1619
        GET /v2/userGroup2?id=6000001 [till of other] => 400 | "code":1619
        GET /Platform/GroupV2/6000001 [X-API-Key: KEY] => 200 | "memberCount":5
    "#;
    check(UNLIMITED, transcript).await;
}
