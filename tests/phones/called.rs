//! Phones that conflow calls: a registered baresip, and sipp as every kind of callee.

use std::{
    fs,
    net::{Ipv4Addr, UdpSocket},
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

use crate::{
    baresip::{Baresip, samples},
    ear::loudness,
    program::{Conflow, beside_others, eventually},
    sipp::{SCENARIOS, free_port},
};

const FLOWS: [(&str, &str); 2] = [
    (
        "room",
        "<Response><Conference stayAlone=\"true\">room</Conference>\
         <Speak>You have left the room. Goodbye.</Speak></Response>",
    ),
    ("short", "<Response><Wait length=\"1\"/></Response>"),
];

/// Makes a call and returns its id.
#[track_caller]
fn make_call(conflow: &Conflow, to: &str, flow: &str, more: &[(&str, &str)]) -> String {
    let mut body = json!({
        "from": "4930555010",
        "to": format!("sip:{to}@{}", conflow.sip),
        "answer_url": format!("flow:{flow}"),
        "caller_name": "Support",
        "sip_headers": "Ticket=42",
    });
    for (name, value) in more {
        body[*name] = json!(value);
    }
    let (status, text) = conflow.ask("POST", "api/v1", "Call/", &body.to_string());
    assert_eq!(status, 200, "{text}");
    let fired: Value = serde_json::from_str(&text).unwrap();
    fired["request_uuid"].as_str().unwrap().to_owned()
}

/// Waits for the record of a call, and returns cause, source and status.
#[track_caller]
fn ending(conflow: &Conflow, call: &str) -> (String, String) {
    let record = eventually("the record of the call", || {
        let (status, text) = conflow.ask("GET", "api/v1", &format!("Call/{call}/"), "");
        let record: Value = serde_json::from_str(&text).ok()?;
        (status == 200 && !record["hangup_cause_code"].is_null()).then_some(record)
    });
    let text = |name: &str| record[name].to_string().trim_matches('"').to_owned();
    (text("hangup_cause_code"), text("hangup_source"))
}

#[test]
fn a_registered_phone_is_called_joins_and_goes_on_after_a_kick() {
    let _share = beside_others();
    let conflow = Conflow::start(&FLOWS);
    for transport in ["udp", "tcp"] {
        let anna = Baresip::answering(conflow.sip, transport, "anna");
        anna.wait_for(&format!("{{0/{}/v4}} 200 OK", transport.to_uppercase()));
        let call = make_call(&conflow, "anna", "room", &[]);
        anna.wait_for("CALL_ESTABLISHED");
        let [member] = conflow.wait_members("room", ["4930555010"]);
        let from = anna.received();
        anna.listen(from, 300);
        conflow.order("POST", "room", &format!("Member/{member}/Kick/"));
        anna.wait_for("CALL_CLOSED");
        let heard = &anna.heard()[from..];
        assert!(samples(1_000) < heard.len(), "the goodbye: {} samples", heard.len());
        assert!(0.02 < loudness(heard), "the goodbye: {}", loudness(heard));
        assert_eq!(ending(&conflow, &call).0, "4010");
        let (_, trace) = conflow.ask("GET", "api/v1", &format!("Call/{call}/Trace/"), "");
        assert!(trace.contains("\"outcome\":\"answered\""), "{trace}");
    }
}

#[test]
fn who_hangs_up_is_told_apart_and_a_stranger_is_not_called() {
    let _share = beside_others();
    let conflow = Conflow::start(&FLOWS);
    let mut anna = Baresip::answering(conflow.sip, "udp", "anna");
    anna.wait_for("{0/UDP/v4} 200 OK");
    let call = make_call(&conflow, "anna", "room", &[]);
    conflow.wait_members("room", ["4930555010"]);
    anna.tell("hangup", "");
    assert_eq!(ending(&conflow, &call), ("4000".to_owned(), "Callee".to_owned()));
    let call = make_call(&conflow, "nobody", "room", &[]);
    assert_eq!(ending(&conflow, &call), ("2020".to_owned(), "Vobiz".to_owned()));
    let body = json!({ "from": "1", "to": "sip:anna@192.0.2.1", "answer_url": "flow:room" });
    let (status, text) = conflow.ask("POST", "api/v1", "Call/", &body.to_string());
    assert!(status == 400 && text.contains("192.0.2.1 is not this server"), "{status} {text}");
}

/// sipp as a registered phone.
struct Callee {
    sipp: Child,
    home: TempDir,
}

impl Callee {
    /// `status` is that of a refusal.
    fn new(conflow: &Conflow, user: &str, scenario: &str, status: &str) -> Self {
        let home = tempdir().unwrap();
        let text = fs::read_to_string(format!("{SCENARIOS}/uas/{scenario}.xml")).unwrap();
        fs::write(home.path().join("scenario.xml"), text.replace("[status]", status)).unwrap();
        let here = Ipv4Addr::LOCALHOST;
        let port = free_port(here.into());
        let sipp = Command::new("sipp")
            .args(["-sf", "scenario.xml", "-m", "1", "-nostdin"])
            .args(["-i", &here.to_string(), "-p", &port.to_string()])
            .args(["-timeout", "30s", "-timeout_error", "-trace_err", "-error_file", "errors.log"])
            .current_dir(home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("sipp is installed (sip-tester)");
        let it = Self { sipp, home };
        let socket = UdpSocket::bind((here, 0)).unwrap();
        socket.connect(conflow.sip).unwrap();
        let register = format!(
            "REGISTER sip:conflow SIP/2.0\r\nVia: SIP/2.0/UDP {};rport;branch=z9hG4bK{user}\r\n\
             From: <sip:{user}@conflow>;tag=1\r\nTo: <sip:{user}@conflow>\r\nCall-ID: {user}\r\n\
             CSeq: 1 REGISTER\r\nContact: <sip:{user}@{here}:{port}>\r\nContent-Length: 0\r\n\r\n",
            socket.local_addr().unwrap()
        );
        socket.send(register.as_bytes()).unwrap();
        let mut reply = [0; 2_048];
        let len = socket.recv(&mut reply).unwrap();
        assert!(reply[..len].starts_with(b"SIP/2.0 200"), "{}", String::from_utf8_lossy(&reply));
        it
    }

    /// Waits until sipp has seen all that its scenario expects.
    #[track_caller]
    fn ends_well(mut self, scenario: &str) {
        let status = self.sipp.wait().unwrap();
        let errors = fs::read_to_string(self.home.path().join("errors.log")).unwrap_or_default();
        assert!(status.success(), "{scenario}: {status}\n{errors}");
    }
}

impl Drop for Callee {
    fn drop(&mut self) {
        drop(self.sipp.kill());
        drop(self.sipp.wait());
    }
}

#[test]
fn callees_of_every_kind_get_what_the_rfcs_say_and_the_call_its_cause() {
    let _share = beside_others();
    let conflow = Conflow::start(&FLOWS);
    let short = [("ring_timeout", "1")];
    for (user, scenario, status, more, cause) in [
        ("answer", "answer", "", &[][..], "4010"),
        ("early", "early", "", &[], "4010"),
        ("mute", "mute", "", &[], "5020"),
        ("busy", "refuse", "486", &[], "3010"),
        ("absent", "refuse", "480", &[], "3000"),
        ("unknown", "refuse", "404", &[], "3050"),
        ("full", "refuse", "503", &[], "3090"),
        ("declines", "refuse", "603", &[], "3020"),
        ("challenge", "challenge", "", &[], "4240"),
        ("unanswered", "unanswered", "", &short, "6010"),
        ("crossing", "crossing", "", &short, "6010"),
    ] {
        let callee = Callee::new(&conflow, user, scenario, status);
        let call = make_call(&conflow, user, "short", more);
        assert_eq!(ending(&conflow, &call).0, cause, "{user}");
        callee.ends_well(user);
    }
}
