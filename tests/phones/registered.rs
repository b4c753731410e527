//! A phone with a password: it registers, calls, presses a key, and hears the flow continue.

use crate::{
    baresip::{Baresip, samples},
    ear::loudness,
    program::{Conflow, ID, beside_others},
};

const ROOM: [(&str, &str); 1] = [(
    "room",
    "<Response><Conference stayAlone=\"true\" hangupOnStar=\"true\">room</Conference>\
     <Speak>You have left the room. Goodbye.</Speak></Response>",
)];

fn conflow() -> Conflow {
    let config = format!(
        "[sip]\nopen = false\n[[endpoint]]\nuser = \"anna\"\npassword = \"hush\"\n\
         account = \"{ID}\"\n"
    );
    Conflow::configured(&ROOM, &config)
}

#[test]
fn baresip_registers_calls_and_leaves_by_a_key() {
    let _share = beside_others();
    let conflow = conflow();
    for transport in ["udp", "tcp"] {
        let mut anna = Baresip::register(conflow.sip, transport, "anna", "hush");
        anna.wait_for(&format!("{{0/{}/v4}} 200 OK", transport.to_uppercase()));
        anna.dial(conflow.sip, "room");
        let [_] = conflow.wait_members("room", ["anna"]);
        let from = anna.received();
        anna.listen(from, 300);
        anna.tell("sndcode", "*");
        anna.wait_for("CALL_CLOSED");
        let heard = &anna.heard()[from..];
        assert!(samples(2_000) < heard.len(), "the goodbye: {} samples", heard.len());
        assert!(0.02 < loudness(heard), "the goodbye: {}", loudness(heard));
    }
    conflow.wait_for_lines("cause=starred", 2);
}

#[test]
fn a_wrong_password_registers_nobody() {
    let _share = beside_others();
    let conflow = conflow();
    let anna = Baresip::register(conflow.sip, "udp", "anna", "rush");
    anna.wait_for("401 Unauthorized");
    let otto = Baresip::register(conflow.sip, "udp", "otto", "hush");
    otto.wait_for("401 Unauthorized");
}
