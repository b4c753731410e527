//! Phones that conflow calls: a registered baresip, and sipp as every kind of callee.

use std::{net::UdpSocket, thread, time::Duration};

use conflow::rtp::{
    g711::{FRAME, Law},
    packet::RtpStream,
};
use serde_json::{Value, json};

use crate::{
    baresip::{Baresip, samples},
    callee::Callee,
    ear::{self, hears, loudness},
    leg::{self, Leg, LegOptions},
    program::{Conflow, beside_others, eventually},
    web::{Server, wait_for_tone},
};

/// How long a change may take to arrive in a recording.
pub(crate) const ARRIVE_MS: usize = 400;

const FLOWS: [(&str, &str); 4] = [
    (
        "room",
        "<Response><Conference stayAlone=\"true\">room</Conference>\
         <Speak>You have left the room. Goodbye.</Speak></Response>",
    ),
    ("short", "<Response><Wait length=\"1\"/></Response>"),
    // Until a session has been refreshed, and refreshed again after a glare.
    ("long", "<Response><Wait length=\"20\"/></Response>"),
    (
        "dial",
        "<Response><Dial><User>bert</User></Dial><Speak>Your party has left. Goodbye.</Speak>\
         </Response>",
    ),
];

/// Calls a phone of this server, and returns the id of the call.
#[track_caller]
pub(crate) fn make_call(conflow: &Conflow, to: &str, flow: &str, more: &[(&str, &str)]) -> String {
    call_address(conflow, &format!("sip:{to}@{}", conflow.sip), flow, more)
}

/// Calls a number or a URI, and returns the id of the call.
#[track_caller]
pub(crate) fn call_address(
    conflow: &Conflow,
    to: &str,
    flow: &str,
    more: &[(&str, &str)],
) -> String {
    let mut body = json!({
        "from": "4930555010",
        "to": to,
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
pub(crate) fn ending(conflow: &Conflow, call: &str) -> (String, String) {
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

#[test]
fn callees_of_every_kind_get_what_the_rfcs_say_and_the_call_its_cause() {
    let _share = beside_others();
    let conflow = Conflow::start(&FLOWS);
    let short = [("ring_timeout", "1")];
    let rows = [
        ("answer", "answer", "", "short", &[][..], "4010"),
        ("early", "early", "", "short", &[], "4010"),
        ("fork", "fork", "", "short", &[], "4010"),
        ("refresh", "refresh", "", "long", &[], "4010"),
        ("glare", "glare", "", "long", &[], "4010"),
        ("mute", "mute", "", "short", &[], "5020"),
        ("busy", "refuse", "486", "short", &[], "3010"),
        ("absent", "refuse", "480", "short", &[], "3000"),
        ("unknown", "refuse", "404", "short", &[], "3050"),
        ("full", "refuse", "503", "short", &[], "3090"),
        ("declines", "refuse", "603", "short", &[], "3020"),
        ("challenge", "challenge", "", "short", &[], "4240"),
        ("unanswered", "unanswered", "", "short", &short, "6010"),
        ("crossing", "crossing", "", "short", &short, "6010"),
        ("late", "late-ring", "", "short", &short, "6010"),
    ];
    let calls = rows.map(|(user, scenario, status, flow, more, _)| {
        let callee = Callee::registered(&conflow, user, scenario, status);
        (callee, make_call(&conflow, user, flow, more))
    });
    for ((user, .., cause), (callee, call)) in rows.into_iter().zip(calls) {
        assert_eq!(ending(&conflow, &call).0, cause, "{user}");
        callee.ends_well(user);
    }
}

#[test]
fn a_dial_tells_its_action_how_each_kind_of_callee_has_ended() {
    let _share = beside_others();
    let server = Server::start();
    let rows = [
        ("answer", "answer", "", "completed", "NORMAL_CLEARING"),
        ("early", "early", "", "completed", "NORMAL_CLEARING"),
        ("fork", "fork", "", "completed", "NORMAL_CLEARING"),
        ("busy", "refuse", "486", "busy", "USER_BUSY"),
        ("absent", "refuse", "480", "no-answer", "NO_ANSWER"),
        ("unknown", "refuse", "404", "failed", "UNALLOCATED_NUMBER"),
        ("declines", "refuse", "603", "busy", "CALL_REJECTED"),
        ("unanswered", "unanswered", "", "timeout", "NO_ANSWER"),
        ("crossing", "crossing", "", "timeout", "NO_ANSWER"),
    ];
    let flow = |user: &str| {
        let action = server.url(user);
        format!(
            "<Response><Dial timeout=\"2\" action=\"{action}\" method=\"GET\" redirect=\"false\">\
             <User>{user}</User></Dial><Speak>Nobody is there.</Speak></Response>"
        )
    };
    let flows = rows.map(|it| (format!("to-{}", it.0), flow(it.0)));
    let flows: Vec<_> = flows.iter().map(|it| (it.0.as_str(), it.1.as_str())).collect();
    let conflow = Conflow::start(&flows);
    for (user, scenario, status, dial_status, cause) in rows {
        let callee = Callee::registered(&conflow, user, scenario, status);
        let to = flows.iter().map(|it| it.0).find(|it| it.ends_with(user)).unwrap().to_owned();
        // Answered once the callee is connected, or at the next element.
        let mut caller = Leg::call(conflow.sip, to.leak(), "anna", LegOptions::default());
        caller.hear(200);
        caller.hang_up();
        callee.ends_well(user);
        let told = eventually(&format!("the action of {user}"), || {
            let begin = format!("GET /{user}?");
            server.asked().into_iter().find(|it| it.starts_with(&begin))
        });
        for field in [format!("DialStatus={dial_status}"), format!("DialHangupCause={cause}")] {
            assert!(told.split(['?', '&']).any(|it| it == field), "{user}: {field}: {told}");
        }
    }
}

/// Sends a tone to the first address that it hears from, until that is silent. Returns what it hears.
fn answer_with_tone(socket: &UdpSocket, tone: f64) -> Vec<i16> {
    let (tone, mut heard) = (ear::tone(tone, 1), Vec::new());
    let mut stream = RtpStream::new(1, 1, 1);
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut bytes = [0; 2_048];
    while let Ok((len, from)) = socket.recv_from(&mut bytes) {
        socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        let Some(sound) = leg::sound(&bytes[..len]) else { continue };
        heard.extend(sound.samples);
        let (mut payload, mut packet) = ([0; FRAME], [0; 256]);
        let at = heard.len() % (tone.len() - FRAME) / FRAME * FRAME;
        Law::Mu.encode(&tone[at..at + FRAME], &mut payload);
        let len = stream.write(0, &payload, FRAME as u32, &mut packet).unwrap();
        socket.send_to(&packet[..len], from).unwrap();
    }
    heard
}

#[test]
fn a_caller_hears_real_early_media_and_is_not_heard_yet() {
    const EARLY: f64 = 1_100.0;
    let _share = beside_others();
    let flow = "<Response><Wait length=\"1\"/><Dial dialMusic=\"real\" timeout=\"4\"><User>early</User>\
                </Dial><Speak>Nobody is there.</Speak></Response>";
    let conflow = Conflow::start(&[("real", flow)]);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port().to_string();
    let callee = Callee::registered(&conflow, "early", "early-tone", &port);
    let sounding = thread::spawn(move || answer_with_tone(&socket, EARLY));
    let options = LegOptions { tone: Some(500.0), ..LegOptions::default() };
    let anna = Leg::call(conflow.sip, "real", "anna", options);
    wait_for_tone(&anna, EARLY);
    callee.ends_well("early");
    let heard = sounding.join().unwrap();
    anna.wait_for("BYE");
    assert!(samples(2_000) < heard.len(), "{}", heard.len());
    assert!(loudness(&heard) < 0.002, "the callee hears silence: {}", loudness(&heard));
}

#[test]
fn a_dialled_pair_of_phones_hears_each_other_and_the_caller_goes_on_after_it() {
    let _share = beside_others();
    let conflow = Conflow::start(&FLOWS);
    let account = "regint=60;answermode=auto";
    let mut bert = Baresip::start(conflow.sip, "udp", "bert", 1_100.0, account, "");
    bert.wait_for("{0/UDP/v4} 200 OK");
    let anna = Baresip::call(conflow.sip, "dial", "anna", 500.0);
    bert.wait_for("CALL_ESTABLISHED");

    let from = [&anna, &bert].map(|it| it.received() + samples(ARRIVE_MS));
    for (listener, other, from) in [(&anna, &bert, from[0]), (&bert, &anna, from[1])] {
        let heard = listener.listen(from, 1_000);
        assert!(hears(listener.user, &heard, other.tone), "{}", listener.user);
        assert!(!hears(listener.user, &heard, listener.tone), "{}", listener.user);
    }

    let from = anna.received() + samples(ARRIVE_MS);
    bert.tell("hangup", "");
    anna.wait_for("CALL_CLOSED");
    let heard = &anna.heard()[from..];
    assert!(samples(1_000) < heard.len(), "the goodbye: {} samples", heard.len());
    assert!(0.02 < loudness(heard), "the goodbye: {}", loudness(heard));
    assert!(!hears("anna", heard, bert.tone), "bert has left");
}
