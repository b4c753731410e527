//! SIP mutations: valid calls, mutated in thousands of ways. Nothing panics, what we send is
//! well-formed, and no state is left. `SEED=7 cargo test mutations` replays one run.

use std::time::Instant;

use crate::{
    fuzz_sip::{self, NEXT},
    mutate,
    phone::{OFFER, Phone, SDP},
};

/// For each property.
const MUTATIONS: usize = 10_000;

#[test]
fn mutated_messages_are_answered_or_dropped() {
    #[expect(clippy::disallowed_methods, reason = "an origin, from which the body counts")]
    let start = Instant::now();
    mutate::run(&calls(), PIECES, MUTATIONS, |bytes| fuzz_sip::messages(start, bytes));
}

#[test]
fn mutated_streams_are_cut_or_given_up() {
    let seeds: Vec<_> = calls().into_iter().map(|it| without_separators(&it)).collect();
    mutate::run(&seeds, PIECES, MUTATIONS, fuzz_sip::stream);
}

fn without_separators(bytes: &[u8]) -> Vec<u8> {
    String::from_utf8_lossy(bytes).replace("=====", "").into_bytes()
}

/// Fragments to be inserted where they do not belong.
const PIECES: &[&str] = &[
    "\r\n",
    "\n",
    "\r",
    "\0",
    " ",
    "\t",
    "\"",
    "\\",
    "<",
    ">",
    ";",
    ",",
    ":",
    "@",
    "?",
    "%00",
    "=",
    "-1",
    "0",
    "4294967296",
    "z9hG4bK",
    ";tag=",
    ";rport",
    ";received=",
    ";branch=",
    "@TAG@",
    "[::1]",
    "Via: SIP/2.0/UDP a;branch=z9hG4bKx\r\n",
    "Contact: *\r\n",
    "Require: x\r\n",
    "\r\n\r\n",
    "Session-Expires: 90\r\n",
    "Supported: timer\r\n",
    "Record-Route: <sip:x>\r\n",
    "ÿ",
    "CANCEL",
    "ACK",
    "BYE",
    "INVITE",
    "UPDATE",
    "REGISTER",
    "SIP/2.0 200 OK",
    "Content-Length: 3\r\n",
    "=====",
];

/// Whole calls, as one phone sends them.
fn calls() -> Vec<Vec<u8>> {
    let phone = || {
        let mut phone = Phone::new("p", "127.0.0.1:5070");
        phone.to_tag = Some("@TAG@".to_owned());
        phone
    };
    let join = |texts: Vec<String>| {
        let mark = String::from_utf8(NEXT.to_vec()).unwrap();
        texts.join(&mark).into_bytes()
    };
    let first = |text: String| text.replace(";tag=@TAG@", "");
    let timer = "Supported: timer\r\nSession-Expires: 90;refresher=uas\r\nAllow: UPDATE\r\n";

    let mut plain = phone();
    let plain = vec![first(plain.invite()), plain.ack(), plain.request("BYE", "", "")];
    let mut cancelled = phone();
    let cancelled = vec![
        first(cancelled.request("OPTIONS", "", "")),
        first(cancelled.invite()),
        first(cancelled.same_branch("CANCEL")),
        cancelled.same_branch("ACK"),
    ];
    let mut rich = phone();
    let contact = rich.contact.clone();
    let headers = format!("{contact}{SDP}{timer}Record-Route: <sip:p1;lr>, <sip:p2>\r\n");
    let rich = vec![
        first(rich.request("INVITE", &headers, OFFER)),
        rich.ack(),
        rich.request("INFO", "Content-Type: application/dtmf-relay\r\n", "Signal=5\r\n"),
        rich.request("INVITE", &headers, &OFFER.replace("sendrecv", "sendonly")),
        rich.ack(),
        rich.request("UPDATE", &headers, OFFER),
        rich.request("INVITE", &contact, ""),
        rich.ack_with(SDP, OFFER),
        rich.request("REFER", "Refer-To: <sip:x>\r\n", ""),
        rich.request("BYE", "", ""),
    ];
    let mut late = phone();
    let register = "Expires: 60\r\nAuthorization: Digest username=\"a\", realm=\"conflow\", \
        nonce=\"0\", uri=\"sip:x\", response=\"0\", qop=auth, nc=1, cnonce=\"x\"\r\n";
    let late = vec![
        first(late.request("REGISTER", &format!("{contact}{register}"), "")),
        first(late.request("INVITE", &contact, "")),
        late.ack_with(SDP, OFFER),
    ];
    [plain, cancelled, rich, late].into_iter().map(join).collect()
}
