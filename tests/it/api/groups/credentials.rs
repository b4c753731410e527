//! What people, applications and tills hold: lists, revocation, new passwords, limits on guesses.

use std::net::IpAddr;

use http_body_util::BodyExt;
use serde_json::Value;

use super::dialects::{TestGroups, UNLIMITED, check};
use crate::api::engine::StoredAccounts;

const ROOT: &str = "/groups/v1/Account/MA1";

impl TestGroups {
    /// Sends a request of the account, and returns the body.
    async fn admin(&self, method: &str, path: &str, body: &str) -> Value {
        let (status, answer) = self.send(&format!("{method} {ROOT}/{path} [admin] {body}")).await;
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        serde_json::from_str(&answer).unwrap_or_default()
    }

    async fn tokens(&self, path: &str) -> Vec<Value> {
        self.admin("GET", path, "").await["tokens"].as_array().unwrap().clone()
    }

    /// Signs in with a password from an address, and returns the status.
    async fn sign_in_from(&self, peer: &str, who: &str, password: &str) -> u16 {
        let line = format!(r#"POST /x/auth/sign-in {{"mobile":"{who}","password":"{password}"}}"#);
        let response = self.answer_from(peer.parse().unwrap(), &line).await;
        response.status().as_u16()
    }
}

#[tokio::test(start_paused = true)]
async fn an_account_lists_and_revokes_what_its_people_hold() {
    let groups = TestGroups::open(UNLIMITED).await;
    let issued = groups.admin("POST", "Person/5/Token/", r#"{"admin_groups":true}"#).await;
    let token = issued["token"].as_str().unwrap();
    let listed = groups.tokens("Person/5/Token/").await;
    assert_eq!(listed.len(), 2, "{listed:?}");
    let mine = &listed[1];
    assert_eq!((&mine["kind"], &mine["scope"]), (&"token".into(), &"admin_groups".into()));
    assert_eq!((&mine["last_used"], &mine["expires"]), (&Value::Null, &Value::Null));
    let created = mine["created"].as_str().unwrap();
    assert!(created.len() == 19 && created.starts_with("20"), "{created}");
    let me = format!("GET /api/v1/me [X-Auth-Token: {token}] [X-User-Id: 5]");
    assert_eq!(groups.send(&me).await.0, 200);
    let one = format!("Person/5/Token/{}/", mine["id"]);
    let shown = groups.admin("GET", &one, "").await;
    assert!(shown["last_used"].is_string(), "{shown}");
    assert!(!shown.to_string().contains(token));

    groups.admin("DELETE", &one, "").await;
    assert_eq!(groups.send(&me).await.0, 401);
    for method in ["GET", "DELETE"] {
        let (status, body) = groups.send(&format!("{method} {ROOT}/{one} [admin]")).await;
        assert_eq!(status, 404, "{method} {body}");
    }
    // All of them, and nobody else's.
    assert_eq!(groups.send("GET /api/v1/me [as 5]").await.0, 200);
    groups.admin("DELETE", "Person/5/Token/", "").await;
    assert_eq!(groups.send("GET /api/v1/me [as 5]").await.0, 401);
    assert_eq!(groups.send("GET /api/v1/me [as 6]").await.0, 200);
    assert_eq!(groups.tokens("Person/5/Token/").await.len(), 0);
    groups.admin("DELETE", "Person/5/Token/", "").await;
    groups.engine.close().await;
}

#[tokio::test(start_paused = true)]
async fn an_account_lists_and_revokes_api_keys_and_tills() {
    let groups = TestGroups::open(UNLIMITED).await;
    groups.admin("POST", "Application/", "").await;
    let keys = groups.tokens("Application/").await;
    assert_eq!(keys.len(), 2);
    let show = "GET /Platform/GroupV2/6000001 [X-API-Key: KEY]";
    assert_eq!(groups.send(show).await.0, 200);
    groups.admin("DELETE", &format!("Application/{}/", keys[0]["id"]), "").await;
    assert_eq!(groups.send(show).await.0, 401, "the oldest is the one that the tests have");
    assert_eq!(groups.tokens("Application/").await.len(), 1);

    let secret = groups.admin("POST", "Till/", r#"{"name":"t9"}"#).await["token"].clone();
    let generate = format!(r#"POST /v3/oauth/token/generate {{"key":"t9","secret":{secret}}}"#);
    let (status, body) = groups.send(&generate).await;
    assert_eq!(status, 200, "{body}");
    let answer: Value = serde_json::from_str(&body).unwrap();
    let token = answer["data"]["accessToken"].as_str().unwrap();
    let by_token = format!("GET /v2/userGroup2?id=6000001 [X-CAP-API-OAUTH-TOKEN: {token}]");
    assert_eq!(groups.send(&by_token).await.0, 200);
    let listed = groups.tokens("Till/t9/").await;
    let kinds: Vec<_> = listed.iter().map(|it| it["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["till", "till-token"]);
    assert!(listed[0]["last_used"].is_string() && listed[1]["expires"].is_string(), "{listed:?}");
    assert_eq!(groups.tokens("Till/").await.len(), 3);
    groups.admin("DELETE", "Till/t9/", "").await;
    assert_eq!(groups.send(&by_token).await.0, 401, "its token ends with the till");
    assert_eq!(groups.send(&generate).await.0, 401);
    assert_eq!(groups.send("GET /v2/userGroup2?id=6000001 [till]").await.0, 200);
    for method in ["GET", "DELETE"] {
        assert_eq!(groups.send(&format!("{method} {ROOT}/Till/t9/ [admin]")).await.0, 404);
    }
    groups.admin("DELETE", "Till/", "").await;
    assert_eq!(groups.send("GET /v2/userGroup2?id=6000001 [till]").await.0, 401);
    groups.engine.close().await;
}

const OTHERS: &str = r#"
    GET /groups/v1/Account/MA1/Person/99/Token/ [admin] => 404 | no such person
    DELETE /groups/v1/Account/MA1/Person/99/Token/ [admin] => 404
    GET /groups/v1/Account/MA1/Person/5/Token/x/ [admin] => 404
    DELETE /groups/v1/Account/MA1/Application/1/ [admin] => 404 | no such token
    DELETE /groups/v1/Account/MA1/Till/t2/ [admin] => 404
    DELETE /groups/v1/Account/MA1/Person/5/Token/ => 401
    DELETE /groups/v1/Account/MA2/Person/5/Token/ [admin] => 404 | account not found
    GET /groups/v1/Account/MA2/Till/ [X-Auth-ID: MA2] [X-Auth-Token: two] => 200 | "name":"t2"
    DELETE /groups/v1/Account/MA2/Person/1/Token/ [X-Auth-ID: MA2] [X-Auth-Token: two] => 404
    GET /api/v1/me [as 5] => 200
"#;

#[tokio::test(start_paused = true)]
async fn tokens_of_others_are_neither_seen_nor_revoked() {
    check(UNLIMITED, OTHERS).await;
}

/// OWASP ASVS 4.0.3, 3.3.3; issue 14, A3.
#[tokio::test(start_paused = true)]
async fn a_new_password_ends_sessions_tokens_and_grants() {
    let groups = TestGroups::open(UNLIMITED).await;
    let code = groups.admin("POST", "Person/1/Code/", "").await;
    let signed_in = groups.answer(r#"POST /x/auth/sign-in {"mobile":"881","password":"pw"}"#).await;
    let cookie = signed_in.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap();
    let session = format!("GET /x/auth/isUser [Cookie: {cookie}]");
    assert_eq!(groups.send(&session).await.0, 200);
    groups.admin("POST", "Person/1/Password/", r#"{"password":"new"}"#).await;
    assert_eq!(groups.send(&session).await.0, 401);
    assert_eq!(groups.send("GET /api/v1/me [as 1]").await.0, 401);
    let code = code["token"].as_str().unwrap();
    let exchange = format!(
        "POST /Platform/App/OAuth/Token/ grant_type=authorization_code&code={code}&client_secret=KEY"
    );
    let (status, body) = groups.send(&exchange).await;
    assert!(status == 400 && body.contains("invalid_grant"), "{status} {body}");
    assert_eq!(groups.sign_in_from("192.0.2.1", "881", "pw").await, 400);
    assert_eq!(groups.sign_in_from("192.0.2.1", "881", "new").await, 200);
    assert_eq!(groups.send("GET /api/v1/me [as 3]").await.0, 200);
    groups.engine.close().await;
}

/// OWASP ASVS 4.0.3, 2.2.1; issue 14, A3.
#[tokio::test(start_paused = true)]
async fn wrong_passwords_are_limited_and_a_new_password_lifts_the_limit() {
    let groups = TestGroups::open(UNLIMITED).await;
    // A person, and a name that nobody has: the answers are the same.
    for who in ["881", "nobody"] {
        for _ in 0..10 {
            assert_eq!(groups.sign_in_from("192.0.2.1", who, "no").await, 400);
        }
        let line = format!(r#"POST /x/auth/sign-in {{"mobile":"{who}","password":"no"}}"#);
        let limited = groups.answer_from("192.0.2.1".parse().unwrap(), &line).await;
        let wait = limited.headers()["retry-after"].to_str().unwrap().to_owned();
        assert_eq!((limited.status().as_u16(), &*wait), (429, "360"), "{who}");
        let body = limited.into_body().collect().await.unwrap().to_bytes();
        assert!(String::from_utf8_lossy(&body).contains("TO_MANY_REQUEST"), "{body:?}");
    }
    // Another dialect counts for the same person.
    let login = r#"POST /api/v1/login {"user":"User1","password":"pw"}"#;
    let peer: IpAddr = "192.0.2.1".parse().unwrap();
    assert_eq!(groups.answer_from(peer, login).await.status(), 429);
    // Other people at the address, and the person elsewhere.
    groups.admin("POST", "Person/3/Password/", r#"{"password":"3"}"#).await;
    assert_eq!(groups.sign_in_from("192.0.2.1", "883", "3").await, 200);
    assert_eq!(groups.sign_in_from("192.0.2.2", "881", "pw").await, 200);

    groups.admin("POST", "Person/1/Password/", r#"{"password":"new"}"#).await;
    assert_eq!(groups.answer_from(peer, &login.replace("pw", "new")).await.status(), 200);
    groups.engine.close().await;
}

#[tokio::test(start_paused = true)]
async fn guesses_from_many_addresses_are_limited_and_known_addresses_are_let_in() {
    let groups = TestGroups::open(UNLIMITED).await;
    assert_eq!(groups.sign_in_from("192.0.2.200", "881", "pw").await, 200);
    for n in 0..99 {
        let peer = format!("192.0.2.{}", 1 + n / 10);
        assert_eq!(groups.sign_in_from(&peer, "881", "no").await, 400, "{n}");
    }
    assert_eq!(groups.sign_in_from("192.0.2.20", "881", "pw").await, 429, "of 100 in an hour");
    assert_eq!(groups.sign_in_from("192.0.2.200", "881", "pw").await, 200, "it was there before");
    groups.engine.close().await;
}

/// Issue 14, A1: a stranger who makes names up does not keep people out at the same address.
#[tokio::test(start_paused = true)]
async fn made_up_names_keep_nobody_out() {
    let groups = TestGroups::open(UNLIMITED).await;
    for n in 0..600 {
        let line = format!("GET /x/auth/isUser [Cookie: connect.sid={n}]");
        assert_eq!(groups.answer_from("192.0.2.1".parse().unwrap(), &line).await.status(), 401);
    }
    for n in 0..200 {
        let who = format!("nobody{n}");
        assert_eq!(groups.sign_in_from("192.0.2.1", &who, "no").await, 429, "{n}");
    }
    assert_eq!(groups.sign_in_from("192.0.2.1", "881", "no").await, 429);
    assert_eq!(groups.sign_in_from("192.0.2.1", "881", "pw").await, 200);
    groups.engine.close().await;
}

#[tokio::test(start_paused = true)]
async fn people_and_tills_of_a_removed_account_are_out() {
    let groups = TestGroups::open(UNLIMITED).await;
    let store = StoredAccounts::new(&groups.engine);
    let token = store.add("MA3");
    let admin = format!("[X-Auth-ID: MA3] [X-Auth-Token: {token}]");
    let make = async |path: &str, body: &str, key: &str| {
        let line = format!("POST /groups/v1/Account/MA3/{path} {admin} {body}");
        let (status, answer) = groups.send(&line).await;
        assert_eq!(status, 201, "{line}: {answer}");
        serde_json::from_str::<Value>(&answer).unwrap()[key].to_string().replace('"', "")
    };
    let person = r#"{"username":"zoe","mobile":"900","password":"pw"}"#;
    let person = make("Person/", person, "id").await;
    let token = make(&format!("Person/{person}/Token/"), "", "token").await;
    let key = make("Application/", "", "token").await;
    let secret = make("Till/", r#"{"name":"t9"}"#, "token").await;
    let secret = format!(r#"{{"key":"t9","secret":"{secret}"}}"#);
    let lines = [
        (format!("GET /x/auth/isUser [Cookie: connect.sid={token}]"), 401),
        (format!("GET /api/v1/me [X-Auth-Token: {token}] [X-User-Id: {person}]"), 401),
        (format!("POST /v3/oauth/token/generate {secret}"), 401),
        (r#"POST /x/auth/sign-in {"mobile":"900","password":"pw"}"#.to_owned(), 400),
    ];
    for (line, _) in &lines {
        assert_eq!(groups.send(line).await.0, 200, "{line}");
    }
    let show = format!("GET /Platform/GroupV2/1 [X-API-Key: {key}]");
    assert_eq!(groups.send(&show).await.0, 404);
    store.remove("MA3");
    assert_eq!(groups.send(&show).await.0, 401);
    for (line, status) in &lines {
        assert_eq!(groups.send(line).await.0, *status, "{line}");
    }
    groups.engine.close().await;
}
