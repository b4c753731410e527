//! A second conflow is the trunk: calls to numbers from one process to another, over SIP and RTP.

use std::{fs, path::Path, thread, time::Duration};

use crate::app::{FLOW, Program, home};

const ID: &str = "MA00000000000000000A";
const TOKEN: &str = "0123456789abcdef0123456789abcdef01234567";

/// A home with a flow `room`, a flow `forward` that dials a number, and this configuration.
fn configured(text: &str) -> tempfile::TempDir {
    let home = home();
    let flows = home.path().join("flows").join(ID);
    fs::create_dir(&flows).unwrap();
    fs::write(flows.join("room.xml"), FLOW).unwrap();
    let forward = "<Response><Dial><Number>+49 89 1234</Number></Dial></Response>";
    fs::write(flows.join("forward.xml"), forward).unwrap();
    configure(home.path(), text);
    home
}

fn configure(home: &Path, text: &str) {
    let account = format!("[[account]]\nid = \"{ID}\"\ntokens = [\"{TOKEN}\"]\n");
    fs::write(home.join("conflow.toml"), format!("{account}{text}")).unwrap();
}

/// The port on which a program listens for SIP.
fn sip_port(program: &Program) -> u16 {
    let at = program.read.find("SIP on 127.0.0.1:").expect("it is in the log before the start");
    let port = &program.read[at + "SIP on 127.0.0.1:".len()..];
    port.split(|it: char| !it.is_ascii_digit()).next().unwrap().parse().unwrap()
}

fn call(program: &Program, to: &str, flow: &str) -> (u16, String) {
    let path = format!("/api/v1/Account/{ID}/Call/");
    let body = format!(r#"{{"from":"4930555010","to":"{to}","answer_url":"flow:{flow}"}}"#);
    program.ask_as(ID, TOKEN, "POST", &path, &body)
}

fn carrier() -> (tempfile::TempDir, Program) {
    let home = configured(&format!(
        "[sip]\nbind = \"127.0.0.1:0\"\nrtp_ports = \"21000-21099\"\n\
         [[number]]\ncalled = \"49891234\"\naccount = \"{ID}\"\nflow = \"room\"\n\
         [[trunk]]\nname = \"customer\"\naddresses = [\"127.0.0.1\"]\n"
    ));
    let program = Program::start(home.path(), "");
    (home, program)
}

/// The configuration of who calls through the trunk.
fn customer(port: u16, allow: &str) -> String {
    format!(
        "[sip]\nbind = \"127.0.0.1:0\"\nrtp_ports = \"21100-21199\"\n\
         [[trunk]]\nname = \"carrier\"\naccounts = [\"{ID}\"]\nallow = [\"{allow}\"]\n\
         targets = [{{ uri = \"sip:127.0.0.1:{port}\" }}]\n"
    )
}

#[test]
fn numbers_are_called_through_another_conflow() {
    let (_carrier_home, mut carrier) = carrier();
    let text = customer(sip_port(&carrier), "49");
    let home = configured(&format!("{text}[sim]\non = true\n"));
    let mut customer_program = Program::start(home.path(), "");

    let (status, body) = call(&customer_program, "+49 (89) 12-34", "room");
    assert_eq!(status, 200, "{body}");
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    let uuid = body["request_uuid"].as_str().unwrap();
    customer_program.wait_for("entered");
    carrier.wait_for("entered");

    // A reload ends no call, and the next one finds the new prefixes.
    let barred = text.replace("allow = [\"49\"]", "allow = [\"1\"]");
    configure(home.path(), &format!("{barred}[sim]\non = true\n"));
    customer_program.signal("HUP");
    let line = customer_program.wait_for("is reloaded");
    assert!(line.contains("changed: trunk"), "{line}");
    let (status, body) = call(&customer_program, "4989 1234", "room");
    assert!(status == 400 && body.contains("allow and deny"), "{status} {body}");
    let room = format!("/api/v1/Account/{ID}/Conference/weekly/");
    for program in [&customer_program, &carrier] {
        let (status, body) = program.ask_as(ID, TOKEN, "GET", &room, "");
        assert!(status == 200 && body.contains("member_id"), "{status} {body}");
    }
    let live = format!("/api/v1/Account/{ID}/Call/{uuid}/");
    let (status, body) = customer_program.ask_as(ID, TOKEN, "DELETE", &live, "");
    assert_eq!(status, 204, "{body}");
    carrier.wait_for("left");
}

#[test]
fn a_dial_reaches_a_number_through_another_conflow() {
    let (_carrier_home, mut carrier) = carrier();
    let text = customer(sip_port(&carrier), "49");
    let home = configured(&format!("{text}[sim]\non = true\n"));
    let customer_program = Program::start(home.path(), "");
    let path = format!("/sim/v1/Account/{ID}/Phone/");
    let (status, body) = customer_program.ask_as(ID, TOKEN, "POST", &path, r#"{"to":"forward"}"#);
    assert_eq!(status, 201, "{body}");
    carrier.wait_for("entered");
}

const OPS_TOKEN: &str = "ops-0123456789abcdef0123456789abcdef";

/// Asks for the metrics until they have this line, for a minute at most.
fn wait_for_metric(program: &Program, line: &str) {
    let headers = format!("Authorization: Bearer {OPS_TOKEN}\r\n");
    let mut page = String::new();
    for _ in 0..1_200 {
        page = program.send(&headers, "GET", "/metrics", "").1;
        if page.lines().any(|it| it == line) {
            return;
        }
        thread::sleep(Duration::from_millis(50));
    }
    panic!("no {line:?} in {page}");
}

#[test]
fn a_server_registers_at_its_trunk_and_takes_that_back_at_the_end() {
    let with_metrics = |text: &str| {
        let home = configured(text);
        let file = home.path().join("conflow.toml");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, format!("ops_token = \"{OPS_TOKEN}\"\n{text}")).unwrap();
        let program = Program::start(home.path(), "");
        (home, program)
    };
    let (_carrier_home, carrier) = with_metrics(&format!(
        "[sip]\nbind = \"127.0.0.1:0\"\nrtp_ports = \"21200-21299\"\n\
         [[endpoint]]\nuser = \"acme\"\npassword = \"hush-hush\"\naccount = \"{ID}\"\n"
    ));
    let port = sip_port(&carrier);
    let (_home, customer) = with_metrics(&format!(
        "{}username = \"acme\"\npassword = \"hush-hush\"\nregister = true\nretry = 1\n\
         options_interval = 1\n",
        customer(port, "49")
    ));
    wait_for_metric(&customer, "conflow_trunk_registered{trunk=\"carrier\"} 1");
    let target = format!("trunk=\"carrier\",target=\"sip:127.0.0.1:{port}\"");
    wait_for_metric(&customer, &format!("conflow_trunk_target_up{{{target}}} 1"));
    wait_for_metric(&carrier, "conflow_sip_registered 1");
    customer.signal("TERM");
    assert_eq!(customer.end().0, Some(0));
    wait_for_metric(&carrier, "conflow_sip_registered 0");
}
