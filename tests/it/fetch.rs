//! The guarded HTTP client: what it refuses, what it sends, and how it handles failures.

mod guard;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::Request as Incoming,
    http::{HeaderMap, Method as Verb, StatusCode, Uri, header::LOCATION},
    routing::any,
};
use conflow::{
    base::ids::Dialect,
    fetch::{
        FetchClient, FetchError, Internet, OutgoingRequest, Response, Settings, TargetUrl,
        signature::{FormField, Signer},
    },
    flow::RequestMethod,
};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::Instant,
};

use crate::net::{Net, TestNetwork};

const PUBLIC: &str = "93.184.215.14";

fn client(net: &Arc<Net>, allow: &[&str]) -> FetchClient {
    let allow = allow.iter().map(|it| it.parse().unwrap()).collect();
    let settings = Settings { allow, ..Settings::default() };
    FetchClient::new(settings, Arc::new(TestNetwork(Arc::clone(net)))).unwrap()
}

fn request(method: RequestMethod, url: &str, fields: &[(&'static str, &str)]) -> OutgoingRequest {
    let target = TargetUrl::parse(url).unwrap();
    let budget = target.budget(Default::default());
    let fields = fields.iter().map(|(name, value)| ((*name).into(), (*value).to_owned()));
    OutgoingRequest {
        target: Arc::new(target),
        method,
        fields: fields.collect::<Vec<FormField>>(),
        headers: HeaderMap::new(),
        dialect: Dialect::Plivo,
        signer: None,
        budget,
        answer_bytes_max: Some(1_000),
    }
}

async fn get(client: &FetchClient, url: &str) -> Result<Response, FetchError> {
    client.fetch(&request(RequestMethod::Get, url, &[])).await
}

/// Answers with the request that it received.
async fn echo(verb: Verb, uri: Uri, headers: HeaderMap, body: Bytes) -> String {
    let header = |name| headers.get(name).map_or("-", |it| it.to_str().unwrap());
    let (host, kind) = (header("host"), header("content-type"));
    format!("{verb} {uri} {host} {kind} {}", String::from_utf8_lossy(&body))
}

fn echoing() -> Router {
    Router::new().fallback(any(echo))
}

#[tokio::test(start_paused = true)]
async fn three_redirects_are_followed_and_a_post_keeps_its_fields_but_after_303() {
    let check = async |status: u16, method: RequestMethod, expected: &str| {
        let net = Net::new();
        net.name("example.com", &[&[PUBLIC]]);
        let on = move |next: &'static str| {
            let status = StatusCode::from_u16(status).unwrap();
            any(move || async move { (status, [(LOCATION, next)]) })
        };
        let router = echoing()
            .route("/0", on("/1"))
            .route("/1", on("/2"))
            .route("/2", on("/3"))
            .route("/3", on("/4?z=1"));
        net.serve("93.184.215.14:80", router);
        let request = request(method, "http://example.com/1", &[("a", "b c")]);
        let answer = client(&net, &[]).fetch(&request).await.unwrap();
        assert_eq!(answer.body, expected, "{status} {method:?}");
        let error = get(&client(&net, &[]), "http://example.com/0").await.unwrap_err();
        assert!(error.to_string().contains("redirects more than 3 times"), "{error}");
    };

    let form = "application/x-www-form-urlencoded";
    for status in [301, 302, 307, 308] {
        check(status, RequestMethod::Post, &format!("POST /4?z=1 example.com {form} a=b+c")).await;
        check(status, RequestMethod::Get, "GET /4?z=1 example.com - ").await;
    }
    check(303, RequestMethod::Post, "GET /4?z=1 example.com - ").await;
}

#[tokio::test(start_paused = true)]
async fn fields_go_in_the_query_of_a_get_and_in_the_form_of_a_post_and_the_fragment_nowhere() {
    let check = async |method, url: &str, expected: &str| {
        let net = Net::new();
        net.name("example.com", &[&[PUBLIC]]);
        net.serve("93.184.215.14:8080", echoing());
        let fields = [("From", "+1 415"), ("Name", "Zoë&=")];
        let answer = client(&net, &[]).fetch(&request(method, url, &fields)).await.unwrap();
        assert_eq!(answer.body, expected);
        assert_eq!(answer.content_type.as_deref(), Some("text/plain; charset=utf-8"));
        assert_eq!(answer.status, 200);
    };

    let form = "application/x-www-form-urlencoded";
    let fields = "From=%2B1+415&Name=Zo%C3%AB%26%3D";
    let url = "http://example.com:8080/cb?x=1#rc=0&ct=500";
    check(RequestMethod::Get, url, &format!("GET /cb?x=1&{fields} example.com:8080 - ")).await;
    check(RequestMethod::Post, url, &format!("POST /cb?x=1 example.com:8080 {form} {fields}"))
        .await;
    let bare = "http://example.com:8080";
    check(RequestMethod::Get, bare, &format!("GET /?{fields} example.com:8080 - ")).await;
}

#[tokio::test(start_paused = true)]
async fn each_hop_is_signed_for_the_url_that_it_goes_to() {
    let check = async |method, path: &str| {
        let net = Net::new();
        net.name("example.com", &[&[PUBLIC]]);
        let seen = Arc::<Mutex<Vec<(Verb, String, HeaderMap)>>>::default();
        let notes = Arc::clone(&seen);
        let router = Router::new().fallback(any(async move |request: Incoming| {
            let (head, _) = request.into_parts();
            let status = match head.uri.path() {
                "/moved" => StatusCode::PERMANENT_REDIRECT,
                "/see" => StatusCode::SEE_OTHER,
                _ => StatusCode::OK,
            };
            notes.lock().push((head.method, head.uri.to_string(), head.headers));
            (status, [(LOCATION, "/new?b=2")])
        }));
        net.serve("93.184.215.14:80", router);

        let signer = Signer {
            dialect: Dialect::Plivo,
            tokens: vec!["TESTTOKEN".into()],
            parent_token: None,
        };
        let mut request = request(method, &format!("http://example.com{path}"), &[("k", "v w")]);
        request.signer = Some(Arc::new(signer.clone()));
        client(&net, &[]).fetch(&request).await.unwrap();

        for (verb, uri, headers) in seen.lock().iter() {
            let header = |name| headers[name].to_str().unwrap();
            let nonce = header("X-Plivo-Signature-V3-Nonce");
            assert!(nonce.len() == 20 && nonce.bytes().all(|it| it.is_ascii_digit()), "{nonce}");
            // A receiver does the same: the requested URL, and the form it received.
            let (method, form): (_, &[FormField]) = match *verb == Verb::POST {
                true => (RequestMethod::Post, &request.fields),
                false => (RequestMethod::Get, &[]),
            };
            let own = signer.sign(method, &format!("http://example.com{uri}"), form, nonce);
            assert_eq!(header("X-Plivo-Signature-V3"), own[0].1, "{method:?} {uri}");
        }
        let seen = seen.lock();
        let nonces = [0, 1].map(|n| seen[n].2["X-Plivo-Signature-V3-Nonce"].clone());
        assert_ne!(nonces[0], nonces[1]);
    };

    check(RequestMethod::Post, "/moved?a=1#rc=1").await;
    check(RequestMethod::Get, "/moved?a=1").await;
    check(RequestMethod::Post, "/see?a=1").await;
    check(RequestMethod::Get, "/see?a=1").await;
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_retried_as_the_fragment_says() {
    /// Checks the number of tries and the outcome of the last one.
    async fn check(answer: Option<u16>, fragment: &str, tries: usize, label: &str) {
        let net = Net::new();
        net.name("example.com", &[&[PUBLIC]]);
        let count = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&count);
        let router = Router::new().fallback(any(async move || {
            counter.fetch_add(1, Ordering::Relaxed);
            match answer {
                Some(status) => StatusCode::from_u16(status).unwrap(),
                None => std::future::pending().await,
            }
        }));
        net.serve("93.184.215.14:80", router);
        let url = format!("http://example.com/#{fragment}");
        let error = get(&client(&net, &[]), &url).await.unwrap_err();
        assert_eq!(count.load(Ordering::Relaxed), tries, "{answer:?} {fragment}");
        assert_eq!(error.label(), label, "{answer:?} {fragment}: {error}");
        assert_eq!(error.status(), answer, "{error}");
    }

    check(Some(500), "", 1, "5xx").await;
    check(Some(500), "rp=5xx", 2, "5xx").await;
    check(Some(503), "rp=5xx&rc=5", 6, "5xx").await;
    check(Some(404), "rp=5xx&rc=5", 1, "4xx").await;
    check(Some(404), "rp=4xx&rc=2", 3, "4xx").await;
    check(Some(302), "rp=all&rc=2", 1, "status").await;
    check(None, "rt=1000", 2, "late").await;
    check(None, "rt=1000&rc=0", 1, "late").await;
    check(None, "rt=1000&rc=3&rp=ct", 1, "late").await;
    // The total time ends it: tries at 0, 1.25 and 2.5 s, none at 3.75 s.
    check(None, "rt=1000&rc=5&tt=3000", 3, "late").await;
    check(Some(503), "rp=5xx&rc=5&tt=600", 3, "5xx").await;
}

#[tokio::test(start_paused = true)]
async fn each_wait_has_its_own_limit_and_says_so() {
    let check = async |url: &str, millis: u64, expected: &str| {
        let net = Net::new();
        net.name("silent.example", &[&["9.9.9.9"]]);
        net.silence("9.9.9.9:80");
        net.name("slow.example", &[&[PUBLIC]]);
        let router = Router::new().fallback(any(async || {
            tokio::time::sleep(Duration::from_secs(20)).await;
            "late"
        }));
        net.serve("93.184.215.14:80", router);
        let start = Instant::now();
        let error = get(&client(&net, &[]), url).await.unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert_eq!(start.elapsed(), Duration::from_millis(millis), "{url}");
        assert!(error.is_temporary(), "{url}");
    };

    let silent = "http://silent.example/";
    check(
        &format!("{silent}#rc=0"),
        2_000,
        &format!("{silent}: no connection within 2000 ms (ct)"),
    )
    .await;
    check(
        &format!("{silent}?key=SECRET#ct=300&rc=2"),
        300 * 3 + 250 * 2,
        &format!("{silent}: no connection within 300 ms (ct)"),
    )
    .await;
    let slow = "http://slow.example/";
    check(
        &format!("{slow}#rt=1000&rc=0"),
        1_000,
        &format!("{slow}: no complete answer within 1000 ms (rt)"),
    )
    .await;
    check(&format!("{slow}#tt=700&rc=0"), 700, &format!("{slow}: not done within 700 ms (tt)"))
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_response_must_be_complete_uncompressed_and_short() {
    let check = async |answer: &'static [u8], expected: Result<&str, &str>| {
        let net = Net::new();
        net.name("example.com", &[&[PUBLIC]]);
        let mut port = net.listen("93.184.215.14:80".parse().unwrap());
        tokio::spawn(async move {
            while let Some(mut connection) = port.connections.recv().await {
                assert_ne!(connection.read(&mut [0; 1_000]).await.unwrap(), 0);
                connection.write_all(answer).await.unwrap();
            }
        });
        let found = get(&client(&net, &[]), "http://example.com/#rc=0").await;
        let found = found.map(|it| String::from_utf8(it.body.to_vec()).unwrap());
        let found = found.map_err(|it| it.to_string());
        match (&found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected),
            (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
            (Ok(_), Err(_)) | (Err(_), Ok(_)) => panic!("{found:?}, not {expected:?}"),
        }
    };

    check(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", Ok("ok")).await;
    check(b"HTTP/1.0 200 OK\r\n\r\nup to the end", Ok("up to the end")).await;
    check(b"HTTP/1.1 204 No Content\r\n\r\n", Ok("")).await;
    check(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok", Err("connection broke")).await;
    check(b"", Err("connection broke")).await;
    check(b"SSH-2.0-OpenSSH_9.6\r\n", Err("connection broke")).await;
    check(
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\nok",
        Err("compressed"),
    )
    .await;
    check(b"HTTP/1.1 304 Not Modified\r\n\r\n", Err("it answered 304")).await;
    check(b"HTTP/1.1 302 Found\r\ncontent-length: 0\r\n\r\n", Err("it answered 302")).await;
    check(b"HTTP/1.1 500 Oh\r\ncontent-length: 6\r\n\r\nSECRET", Err("it answered 500")).await;
}

#[tokio::test(start_paused = true)]
async fn the_body_is_not_read_where_only_the_status_counts() {
    let check = async |head: &'static str, body: usize| {
        let net = Net::new();
        net.name("example.com", &[&[PUBLIC]]);
        let mut port = net.listen("93.184.215.14:80".parse().unwrap());
        tokio::spawn(async move {
            let mut connection = port.connections.recv().await.unwrap();
            assert_ne!(connection.read(&mut [0; 1_000]).await.unwrap(), 0);
            connection.write_all(head.as_bytes()).await.unwrap();
            let _ = connection.write_all(&vec![b'x'; body]).await;
        });
        let mut request = request(RequestMethod::Post, "http://example.com/#rc=0", &[]);
        request.answer_bytes_max = None;
        assert_eq!(client(&net, &[]).fetch(&request).await.unwrap().status, 200, "{head} {body}");
    };

    check("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n", 2).await;
    check("HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n", 1_000_000).await;
    check("HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n", 2).await;
    check("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n", 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_condition_makes_not_modified_a_good_answer() {
    let net = Net::new();
    net.name("example.com", &[&[PUBLIC]]);
    let answer = async |headers: HeaderMap| match headers.contains_key("if-none-match") {
        true => StatusCode::NOT_MODIFIED,
        false => StatusCode::OK,
    };
    net.serve("93.184.215.14:80", Router::new().fallback(any(answer)));
    let mut request = request(RequestMethod::Get, "http://example.com/", &[]);
    request.headers.insert("if-none-match", "\"a\"".parse().unwrap());
    assert_eq!(client(&net, &[]).fetch(&request).await.unwrap().status, 304);
}

#[tokio::test(start_paused = true)]
async fn results_of_fetches_and_of_callbacks_are_counted_separately() {
    let net = Net::new();
    net.name("example.com", &[&[PUBLIC]]);
    net.serve("93.184.215.14:80", echoing().route("/none", any(async || StatusCode::NOT_FOUND)));
    let client = client(&net, &[]);
    get(&client, "http://example.com/").await.unwrap();
    get(&client, "http://example.com/none").await.unwrap_err();
    get(&client, "http://10.0.0.1/").await.unwrap_err();
    for path in ["", "", "none"] {
        let request = request(RequestMethod::Get, &format!("http://example.com/{path}"), &[]);
        drop(client.fetch_once(&request).await);
    }
    let mut counted = Vec::new();
    client.results().each(|what, result, count| {
        if 0 < count {
            counted.push(format!("{what} {result} {count}"));
        }
    });
    let expected =
        ["fetch ok 1", "fetch 4xx 1", "fetch refused 1", "callback ok 2", "callback 4xx 1"];
    assert_eq!(counted, expected);
}

#[tokio::test(start_paused = true)]
async fn a_response_that_is_too_long_is_cut_off_in_every_framing() {
    let check = async |head: &'static str, chunk: &'static str, chunks: usize, expected: bool| {
        let net = Net::new();
        net.name("example.com", &[&[PUBLIC]]);
        let mut port = net.listen("93.184.215.14:80".parse().unwrap());
        tokio::spawn(async move {
            let mut connection = port.connections.recv().await.unwrap();
            assert_ne!(connection.read(&mut [0; 1_000]).await.unwrap(), 0);
            connection.write_all(head.as_bytes()).await.unwrap();
            for _ in 0..chunks {
                // The client hangs up when the limit is exceeded.
                let _ = connection.write_all(chunk.as_bytes()).await;
            }
            let _ = connection.write_all(b"0\r\n\r\n").await;
        });
        let found = get(&client(&net, &[]), "http://example.com/#rc=0").await;
        assert_eq!(found.is_ok(), expected, "{chunks} {found:?}");
        if let Err(error) = found {
            assert!(error.to_string().contains("larger than 1000 bytes"), "{error}");
        }
    };

    check("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n", "x", 1_000, true).await;
    check("HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n", "x", 1_001, false).await;
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    check(chunked, "2\r\nxx\r\n", 500, true).await;
    check(chunked, "2\r\nxx\r\n", 100_000, false).await;
    check("HTTP/1.0 200 OK\r\n\r\n", "x", 100_000, false).await;
}

#[tokio::test(start_paused = true)]
async fn a_tls_certificate_must_match_the_name_and_be_trusted() {
    let check = async |name: &str, trusts: bool, expected: Result<&str, &str>| {
        let own = rcgen::generate_simple_self_signed(["secure.example".to_owned()]).unwrap();
        let net = Net::new();
        net.name(name, &[&[PUBLIC]]);
        net.serve_tls("93.184.215.14:443", &own, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        let authorities = if trusts { own.cert.pem().into_bytes() } else { Vec::new() };
        let settings = Settings { authorities, ..Settings::default() };
        let client = FetchClient::new(settings, Arc::new(TestNetwork(Arc::clone(&net)))).unwrap();

        let found = get(&client, &format!("https://{name}/#rc=0")).await;
        match (found.map(|it| it.body), expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected),
            (Err(found), Err(expected)) => assert!(found.to_string().contains(expected), "{found}"),
            (found, _) => panic!("{name} {trusts}: {found:?}"),
        }
    };

    check("secure.example", true, Ok("ok")).await;
    check("secure.example", false, Err("no secure connection")).await;
    check("other.example", true, Err("no secure connection")).await;
}

#[test]
fn certificate_authorities_that_cannot_be_read_are_refused_at_start_up() {
    let check = |authorities: &str| {
        let settings = Settings { authorities: authorities.into(), ..Settings::default() };
        let error = FetchClient::new(settings, Arc::new(Internet)).err().unwrap();
        assert!(error.to_string().contains("PEM blocks of CERTIFICATE"), "{error}");
    };

    check("no certificate");
    check("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    check("-----BEGIN CERTIFICATE-----\n");
}
