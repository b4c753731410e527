//! `/metrics`: access, and figures.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
};

use crate::app::*;

const OPS: &str = "0123456789abcdef-ops";

/// Requests the page with this header, and returns status and body.
fn metrics(program: &Program, header: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(program.http).unwrap();
    let head = "GET /metrics HTTP/1.1\r\nHost: here\r\nConnection: close\r\n";
    write!(stream, "{head}{header}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// Checks the figures of a state log that works.
fn check_log(page: &str) {
    for line in [
        "conflow_store_state{state=\"ok\"} 1",
        "conflow_store_state{state=\"failed\"} 0",
        "conflow_store_unwritten_events 0",
        "conflow_store_write_failures_total{store=\"db\"} 0",
        "conflow_store_write_failures_total{store=\"log\"} 0",
    ] {
        assert!(page.lines().any(|it| it == line), "{line}:\n{page}");
    }
    let figure = |name: &str| {
        let line = page.lines().find_map(|it| it.strip_prefix(name));
        line.unwrap_or_else(|| panic!("{name}:\n{page}")).trim().parse::<f64>().unwrap()
    };
    assert!(100.0 < figure("conflow_log_bytes "), "it has events");
    assert!(1.0 < figure("conflow_store_free_bytes "));
    assert!(figure("conflow_store_sync_lag_seconds ") < 60.0);
}

#[test]
fn in_development_an_account_sees_the_figures_and_they_are_correct() {
    let home = home();
    let mut program = Program::start(home.path(), "");
    let token = token(home.path());
    let members = [(); 3].map(|()| program.join(&token));
    assert_eq!(members, [1, 2, 3]);
    let member = format!("/v1/Account/{ID}/Conference/weekly/Member");
    assert_eq!(program.ask(&token, "POST", &format!("{member}/1/Kick/"), "").0, 202);
    assert_eq!(program.ask(&token, "POST", &format!("{member}/9/Kick/"), "").0, 404);
    assert_eq!(metrics(&program, "X-Nothing: 1").0, 401);
    assert_eq!(metrics(&program, &format!("X-Auth-ID: {ID}\r\nX-Auth-Token: guess")).0, 401);
    let (status, page) = metrics(&program, &format!("X-Auth-ID: {ID}\r\nX-Auth-Token: {token}"));
    assert_eq!(status, 200, "{page}");
    let kick = "/v1/Account/{auth_id}/Conference/{name}/Member/{members}/Kick";
    let kick = |status: &str| {
        let labels = format!("api=\"plivo\",route=\"{kick}\",method=\"POST\",status=\"{status}\"");
        format!("conflow_http_request_duration_seconds_count{{{labels}}} 1")
    };
    for line in [
        "# TYPE conflow_http_request_duration_seconds histogram",
        concat!("conflow_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
        "conflow_calls 3",
        "conflow_calls_total{direction=\"inbound\"} 3",
        "conflow_conferences 1",
        "conflow_conferences_total 1",
        "conflow_members 2",
        "conflow_members_total 3",
        "conflow_exits_total{cause=\"kicked\"} 1",
        "conflow_exits_total{cause=\"caller-left\"} 0",
        "conflow_event_streams 0",
        "conflow_callbacks_dropped_total{why=\"full\"} 0",
        "conflow_outgoing_requests_total{for=\"fetch\",result=\"ok\"} 0",
        &kick("2xx"),
        &kick("4xx"),
    ] {
        assert!(page.lines().any(|it| it == line), "{line}:\n{page}");
    }
    check_log(&page);
    for secret in ["weekly", ID, &*token] {
        assert!(!page.contains(secret), "labels are bounded: {page}");
    }
    // Every family is declared once, and every figure belongs to the last one declared.
    let mut family = "";
    let mut families = Vec::new();
    for line in page.lines() {
        match line.strip_prefix("# TYPE ") {
            Some(rest) => {
                family = rest.split(' ').next().unwrap();
                assert!(!families.contains(&family), "{family} comes twice");
                families.push(family);
            }
            None if line.starts_with('#') => (),
            None => {
                assert!(line.starts_with(family), "{line}");
                let value = line.rsplit(' ').next().unwrap();
                assert!(value.parse::<f64>().is_ok(), "{line}");
            }
        }
    }
}

#[test]
fn otherwise_the_page_needs_the_ops_token_and_without_one_it_does_not_exist() {
    let home = home();
    let account = "[[account]]\nid = \"MA1\"\ntokens = [\"0123456789abcdef\"]\n";
    let file = home.path().join("conflow.toml");
    fs::write(&file, account).unwrap();
    let credentials = "X-Auth-ID: MA1\r\nX-Auth-Token: 0123456789abcdef";
    let bearer = format!("Authorization: Bearer {OPS}");
    let program = Program::start(home.path(), "--sip off");
    for header in [credentials, &bearer, "X-Nothing: 1"] {
        assert_eq!(metrics(&program, header).0, 404, "{header}");
    }
    drop(program);

    fs::write(&file, format!("ops_token = \"{OPS}\"\n{account}")).unwrap();
    let program = Program::start(home.path(), "--sip off");
    let check = |header: &str, expected: u16| {
        let (status, body) = metrics(&program, header);
        assert_eq!(status, expected, "{header}: {body}");
    };
    check(&bearer, 200);
    check("Authorization: Bearer guess", 401);
    check("X-Nothing: 1", 401);
    check(credentials, 401);
    drop(program);

    let mut short = command(home.path(), "serve");
    short.env("CONFLOW_OPS_TOKEN", "short-one");
    let (code, _, log) = run(short);
    assert_eq!(code, Some(1));
    assert!(log.contains("ops_token (CONFLOW_OPS_TOKEN): a token has 16"), "{log}");
    assert!(!log.contains("short-one"));
    let (_, printed, _) = run(command(home.path(), "serve --print-config"));
    assert!(printed.contains("ops_token = \"…\"") && !printed.contains(OPS), "{printed}");
}
