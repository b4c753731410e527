//! `Endpoint/` and `Application/`: what accounts make, see, change and remove.

use axum::{body::Body, http::Request};
use http_body_util::BodyExt;
use serde_json::{Value, json};

use crate::api::engine::{TestEngine, TestEngineOptions, check};

/// An engine, asked by Plivo's prefix.
struct Asked(TestEngine);

impl Asked {
    fn new() -> Self {
        Self(TestEngine::new(TestEngineOptions::default()))
    }

    async fn send(&self, request: Request<Body>) -> (u16, Value) {
        let response = self.0.send(request).await;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    /// A request as a line of a transcript.
    async fn ask(&self, line: &str) -> (u16, Value) {
        self.send(self.0.request(line)).await
    }

    /// Makes an application, and returns its id.
    async fn application(&self, more: &str) -> String {
        let body =
            format!(r#"{{"app_name":"desk","answer_url":"http://app.example/answer"{more}}}"#);
        let (status, made) = self.ask(&format!("POST P/Application/ {body}")).await;
        assert_eq!((status, &made["message"]), (201, &json!("created")), "{made}");
        made["app_id"].as_str().unwrap().to_owned()
    }

    /// Makes an endpoint, and returns its id and its username.
    async fn endpoint(&self, more: &str) -> (String, String) {
        let body = format!(r#"{{"username":"bert","password":"geheim","alias":"Bert"{more}}}"#);
        let (status, made) = self.ask(&format!("POST P/Endpoint/ {body}")).await;
        assert_eq!((status, &made["message"]), (201, &json!("created")), "{made}");
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        (text("endpoint_id"), text("username"))
    }

    async fn show(&self, path: &str) -> Value {
        let (status, body) = self.ask(&format!("GET {path}")).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// How many the list has, as its body says.
    async fn count(&self, kind: &str) -> u64 {
        self.show(&format!("P/{kind}/")).await["meta"]["total_count"].as_u64().unwrap()
    }
}

fn without(mut body: Value, names: &[&str]) -> Value {
    names.iter().for_each(|name| drop(body.as_object_mut().unwrap().remove(*name)));
    body
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_is_made_shown_changed_and_removed() {
    let asked = Asked::new();
    let app = asked.application("").await;
    let (id, user) = asked.endpoint(&format!(r#","app_id":"{app}""#)).await;
    let digits = user.strip_prefix("bert").unwrap();
    assert!(digits.len() == 12 && digits.bytes().all(|it| it.is_ascii_digit()), "{user}");
    let mut expected = json!({
        "alias": "Bert",
        "application": format!("/v1/Account/MA1/Application/{app}/"),
        "endpoint_id": id,
        "resource_uri": format!("/v1/Account/MA1/Endpoint/{id}/"),
        "sip_registered": "false",
        "sip_uri": format!("sip:{user}@localhost"),
        "sub_account": null,
        "username": user,
    });
    let one = format!("P/Endpoint/{id}/");
    assert_eq!(without(asked.show(&one).await, &["api_id"]), expected);
    let list = asked.show("P/Endpoint/?limit=1&offset=1").await;
    assert_eq!((&list["objects"][0], &list["meta"]["total_count"]), (&expected, &json!(2)));

    let body = r#"{"alias":"Bertha","password":"other","app_id":""}"#;
    let (status, changed) = asked.ask(&format!("POST {one} {body}")).await;
    assert_eq!((status, &changed["message"]), (202, &json!("changed")));
    (expected["alias"], expected["application"]) = ("Bertha".into(), Value::Null);
    assert_eq!(without(asked.show(&one).await, &["api_id"]), expected);

    assert_eq!(asked.ask(&format!("DELETE {one}")).await, (204, Value::Null));
    for line in [format!("GET {one}"), format!("DELETE {one}"), format!("POST {one} {{}}")] {
        let (status, body) = asked.ask(&line).await;
        assert_eq!((status, &body["error"]), (404, &json!("endpoint not found")), "{line}");
    }
    assert_eq!(asked.count("Endpoint").await, 1);
}

#[tokio::test(start_paused = true)]
async fn an_application_is_made_shown_changed_and_removed() {
    let asked = Asked::new();
    let id = asked
        .application(r#","answer_method":"GET","public_uri":true,"default_endpoint_app":true"#)
        .await;
    let mut expected = json!({
        "answer_method": "GET",
        "answer_url": "http://app.example/answer",
        "app_id": id,
        "app_name": "desk",
        "application_type": "XML",
        "default_app": false,
        "default_endpoint_app": true,
        "default_number_app": false,
        "enabled": true,
        "fallback_answer_url": "",
        "fallback_method": "POST",
        "hangup_method": "POST",
        "hangup_url": "http://app.example/answer",
        "log_incoming_message": true,
        "message_method": "POST",
        "message_url": "",
        "public_uri": true,
        "resource_uri": format!("/v1/Account/MA1/Application/{id}/"),
        "sip_uri": format!("sip:{id}@localhost"),
        "sub_account": null,
    });
    let one = format!("P/Application/{id}/");
    assert_eq!(without(asked.show(&one).await, &["api_id"]), expected);
    let (endpoint, _) = asked.endpoint("").await;
    let shown = asked.show(&format!("P/Endpoint/{endpoint}/")).await;
    assert_eq!(shown["application"], format!("/v1/Account/MA1/Application/{id}/"), "the default");
    let shown = asked.show(&format!("V/Endpoint/{endpoint}/")).await;
    assert_eq!(shown["application"]["app_id"], id, "Vobiz shows it as an object");

    let body = r#"{"hangup_url":"http://app.example/bye","fallback_answer_url":"flow:spare"}"#;
    let (status, changed) = asked.ask(&format!("POST {one} {body}")).await;
    assert_eq!((status, &changed["message"]), (202, &json!("changed")), "{changed}");
    expected["hangup_url"] = "http://app.example/bye".into();
    expected["fallback_answer_url"] = "flow:spare".into();
    assert_eq!(asked.show("P/Application/").await["objects"], json!([expected]));
    let (status, _) = asked.ask(&format!("POST V/Application/{id}/ {{}}")).await;
    assert_eq!(status, 200, "as all changes of Vobiz");

    let other = asked.application("").await;
    let moved = format!(r#"{{"cascade":"false","new_endpoint_application":"{other}"}}"#);
    assert_eq!(asked.ask(&format!("DELETE {one} {moved}")).await.0, 204);
    let shown = asked.show(&format!("P/Endpoint/{endpoint}/")).await;
    assert_eq!(shown["application"], format!("/v1/Account/MA1/Application/{other}/"));
    let query = format!("P/Application/{other}/?cascade=true");
    assert_eq!(asked.ask(&format!("DELETE {query}")).await.0, 204);
    assert_eq!((asked.count("Endpoint").await, asked.count("Application").await), (1, 0));
    let (status, body) = asked.ask(&format!("DELETE {one}")).await;
    assert_eq!((status, &body["error"]), (404, &json!("application not found")));
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_or_ignored_is_named() {
    check(
        r##"
        POST P/Endpoint/ {} => 400 {"api_id":"*","error":"username: missing"}
        POST P/Endpoint/ {"username":"anna"} => 400 {"api_id":"*","error":"password: missing"}
        POST P/Endpoint/ {"username":"anna","password":"geheim"} => 400 {"api_id":"*","error":"alias: missing"}
        POST P/Endpoint/ {"username":"anna b","password":"geheim","alias":"a"} => 400 {"api_id":"*","error":"username: give 1 to 25 letters and digits, a letter first"}
        POST P/Endpoint/ {"username":"anna","password":"four","alias":"a"} => 400 {"api_id":"*","error":"password: give 5 to 128 characters"}
        POST P/Endpoint/ {"username":"anna","password":"geheim","alias":"a","app_id":"7"} => 400 {"api_id":"*","error":"app_id: this account has no application 7: give an app_id of GET Application/"}
        POST P/Endpoint/ {"username":"anna","password":"geheim","alias":"a","callback_url":"http://app.example/"} => 400 {"api_id":"*","error":"callback_url: this request is answered at once, since its password must not be kept: leave the callback_url out"}
        POST P/Endpoint/anna/ {"alias":"a"} => 409 {"api_id":"*","error":"the endpoint anna is in the configuration of the server, and is changed there"}
        DELETE P/Endpoint/anna/ => 409 {"api_id":"*","error":"the endpoint anna is in the configuration of the server, and is changed there"}
        POST P/Application/ {"app_name":"a"} => 400 {"api_id":"*","error":"answer_url: missing"}
        POST P/Application/ {"app_name":"a","answer_url":"ftp://app.example/"} => 400 {"api_id":"*","error":"answer_url: the URL must begin with http:// or https://"}
        POST P/Application/ {"app_name":"a","answer_url":"flow:a","hangup_url":"flow:a"} => 400 {"api_id":"*","error":"hangup_url: the URL must begin with http:// or https://"}
        POST P/Application/ {"app_name":"a","answer_url":"flow:a","answer_method":"PUT"} => 400 {"api_id":"*","error":"answer_method: give POST or GET"}
        POST P/Application/1/ {} => 404 {"api_id":"*","error":"application not found"}
        PUT P/Application/1/ {} => 405 [allow: GET, HEAD, POST, DELETE] {"api_id":"*","error":"method not allowed: use GET, HEAD, POST, DELETE"}
        "##,
    )
    .await;
    let asked = Asked::new();
    let body = r#"{"app_name":"a","answer_url":"flow:a","message_url":"http://a.example/","default_number_app":true,"subaccount":"SA1","colour":"red"}"#;
    let response = asked.0.send(asked.0.request(&format!("POST P/Application/ {body}"))).await;
    assert_eq!(response.status(), 201);
    let warnings = response.headers().get_all("conflow-warning").iter();
    let warnings: Vec<_> = warnings.map(|it| it.to_str().unwrap()).collect();
    let expected = [
        "colour: no such parameter, so it is ignored",
        "message_url: there are no messages, so it is shown and never called",
        "default_number_app: numbers are not made by the API, so it is shown and has no effect",
        "subaccount: there are no subaccounts, so it is ignored",
    ];
    assert_eq!(warnings, expected);
}

#[tokio::test(start_paused = true)]
async fn an_account_reaches_nothing_of_another_one() {
    let asked = Asked::new();
    let (app, (endpoint, _)) = (asked.application("").await, asked.endpoint("").await);
    let other = "[X-Auth-ID: MA2] [X-Auth-Token: two]";
    for (method, path) in [
        ("GET", format!("Endpoint/{endpoint}/")),
        ("POST", format!("Endpoint/{endpoint}/")),
        ("DELETE", format!("Endpoint/{endpoint}/")),
        ("GET", format!("Application/{app}/")),
        ("POST", format!("Application/{app}/")),
        ("DELETE", format!("Application/{app}/")),
    ] {
        let (status, body) = asked.ask(&format!("{method} /v1/Account/MA2/{path} {other}")).await;
        assert_eq!(status, 404, "{method} {path}: {body}");
        let (status, _) = asked.ask(&format!("{method} /v1/Account/MA1/{path} {other}")).await;
        assert_eq!(status, 404, "{method} {path} of MA1");
    }
    let body = format!(r#"{{"username":"a","password":"geheim","alias":"a","app_id":"{app}"}}"#);
    let (status, body) = asked.ask(&format!("POST /v1/Account/MA2/Endpoint/ {other} {body}")).await;
    assert_eq!(status, 400, "{body}");
    let list = asked.ask(&format!("GET /v1/Account/MA2/Endpoint/ {other}")).await.1;
    assert_eq!(list["objects"], json!([]));
    assert_eq!((asked.count("Endpoint").await, asked.count("Application").await), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_repeated_request_makes_one_endpoint() {
    let asked = Asked::new();
    let body = r#"{"username":"bert","password":"geheim","alias":"Bert"}"#;
    let line = format!("POST P/Endpoint/ [Idempotency-Key: k1] {body}");
    let (first, again) = (asked.ask(&line).await, asked.ask(&line).await);
    assert_eq!((first.0, &first), (201, &again));
    assert_eq!(asked.count("Endpoint").await, 2);
    let other = line.replace("geheim", "anders");
    assert_eq!(asked.ask(&other).await.0, 409, "another password is another request");
}
