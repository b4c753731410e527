//! SIP torture test: a message of our own for each case of RFC 4475, named by its section. Valid
//! messages are taken, invalid ones refused (unless only a part is odd that no call needs), and
//! nothing else happens.

use conflow::sip::{agent::SipGauges, message::SipMessage};

use crate::{
    phone::{brief, header},
    sip::agent::{AgentHarness, closed},
};

/// The outcome for a message.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Call,
    /// Answered with this status.
    Answered(u16),
    Dropped,
    /// A reply that can be parsed; no transaction waits for it here.
    Reply,
}

use Fate::{Answered, Call, Dropped, Reply};

/// Whether the agent accepts anonymous calls or challenges them.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Access {
    Open,
    Closed,
}

/// The common part of most messages; `{}` takes the remaining headers.
fn message(first: &str, rest: &str, body: &str) -> String {
    let method = first.split(' ').next().unwrap_or_default();
    format!(
        "{first}\r\nVia: SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bKtorture\r\nMax-Forwards: 70\r\n\
         From: <sip:anna@example.org>;tag=98\r\nTo: <sip:weekly@example.org>\r\n\
         Call-ID: torture.1\r\nCSeq: 8 {method}\r\nContact: <sip:anna@127.0.0.1:5070>\r\n{rest}\r\n{body}"
    )
}

fn invite(rest: &str) -> String {
    message("INVITE sip:weekly@example.org SIP/2.0", rest, "")
}

fn options(rest: &str) -> String {
    message("OPTIONS sip:weekly@example.org SIP/2.0", rest, "")
}

const OFFER: &str = "v=0\r\no=a 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
    m=audio 40000 RTP/AVP 0\r\n";

fn with_offer(rest: &str, body: &str) -> String {
    let rest = format!("{rest}Content-Length: {}\r\n", body.len());
    message("INVITE sip:weekly@example.org SIP/2.0", &rest, body)
}

fn check(section: &str, text: &str, access: Access, expected: Fate) {
    let mut bench = match access {
        Access::Open => AgentHarness::new(),
        Access::Closed => AgentHarness::with(closed()),
    };
    let Ok(message) = SipMessage::parse(text.as_bytes()) else {
        assert_eq!(Dropped, expected, "{section}\n{text}");
        return;
    };
    let is_reply = message.is_some_and(|it| matches!(it.to_bytes().get(..4), Some(b"SIP/")));
    let replies = bench.receive(text);
    let fate = match replies.as_slice() {
        [] if is_reply => Reply,
        [] => Dropped,
        [one] => Answered(one.parse().unwrap()),
        [first, ..] if first == "100" => Call,
        _ => panic!("{section}: {replies:?}"),
    };
    assert_eq!(fate, expected, "{section}\n{text}");
    if let Answered(code) = expected {
        let reply = bench.last().to_owned();
        assert_eq!(brief(&reply), code.to_string(), "{section}");
        assert!(header(&reply, "Via").is_some(), "{section}\n{reply}");
        if code != 200 {
            assert_eq!(
                bench.agent.gauges(),
                SipGauges::default(),
                "{section}: it leaves something"
            );
        }
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn valid_messages_are_understood() {
    let offer = OFFER;
    let cases = [
        (
            "3.1.1.1 a short tortuous INVITE",
            format!(
                "INVITE sip:weekly@example.org;unknownparam SIP/2.0\r\nTO :\r\n sip:weekly@example.org ;   \
                 tag    = \r\nfrom   : \"A. N\\\\\\\" ;tag=x\"     <sip:anna@example.org>\r\n  ;\r\n  tag = 98asj\r\n\
                 MaX-fOrWaRdS: 0068\r\nCall-ID: torture.ws\r\nContent-Length   : {}\r\ncseq: 0009\r\n  INVITE\r\n\
                 Via  : SIP  /   2.0\r\n /UDP\r\n    127.0.0.1;branch=390skdjuw\r\ns :\r\nNewFangled:   newer\r\n \
                 continued ;;,,;;,;\r\nUnknownHeaderWithUnusualValue: ;;,,;;,;\r\nContent-Type: application/sdp\r\n\
                 Route:\r\n <sip:services.example.org;lr;unknownwith=value>\r\nv:  SIP  / 2.0  / TCP     far.example.org   ;\r\n  \
                 branch  =   z9hG4bK9ikj8  ,\r\n SIP  /    2.0   / UDP  192.0.2.25   ; branch=\r\n z9hG4bK30239\r\n\
                 m:\"Q \\\\ \\\"A\\\" <X>\" <sip:anna@example.org:5070> ;   newparam =\r\n      newvalue ;\r\n  \
                 secondparam ; q = 0.33\r\n\r\n{offer}",
                offer.len()
            ),
            Call,
        ),
        (
            "3.1.1.2 a wide range of valid characters",
            options("extensionHeader-!.%*+_`'~: \u{feff}\u{5927}\u{505c}\r\n")
                .replace(
                    "sip:weekly@example.org SIP",
                    "sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*@example.org SIP",
                )
                .replace(
                    "Call-ID: torture.1",
                    "Call-ID: intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{",
                )
                .replace(
                    "<sip:anna@example.org>;tag=98",
                    "mundane <sip:mundane@example.net>;tag=_token~1'+`*%!-.",
                )
                .replace(";branch=z9hG4bKtorture", ";branch=z9hG4bK-.!%66*_+`'~"),
            Answered(200),
        ),
        (
            "3.1.1.3 escapes",
            invite("").replace(
                "sip:weekly@example.org SIP",
                "sip:sips%3Auser%40example.com@example.net SIP",
            ),
            Call,
        ),
        (
            "3.1.1.4 escaped nulls",
            options("").replace("sip:weekly@", "sip:null-%00-null@"),
            Answered(200),
        ),
        (
            "3.1.1.5 a percent sign that is no escape",
            options("").replace("OPTIONS", "RE%47IST%45R"),
            Answered(405),
        ),
        (
            "3.1.1.6 no space before the bracket",
            options("").replace("<sip:anna", "caller<sip:anna"),
            Answered(200),
        ),
        (
            "3.1.1.7 long values",
            invite(&format!(
                "Unknown-{0}: {1}\r\nRoute: <sip:{1}.example.org;lr>\r\n",
                "long".repeat(40),
                "value".repeat(200)
            ))
            .replace(
                "sip:weekly@example.org SIP",
                &format!("sip:{}@example.org SIP", "week".repeat(100)),
            )
            .replace(";tag=98", &format!(";tag={}", "98".repeat(250))),
            Call,
        ),
        (
            "3.1.1.8 more octets than Content-Length",
            message(
                "OPTIONS sip:x@example.org SIP/2.0",
                "Content-Length: 0\r\n",
                "INVITE sip:y SIP/2.0\r\n\r\n",
            ),
            Answered(200),
        ),
        (
            "3.1.1.9 a semicolon in the user part",
            options("").replace("sip:weekly@", "sip:weekly;par=u%40example.net@"),
            Answered(200),
        ),
        (
            "3.1.1.10 unknown transports",
            options(
                "Via: SIP/2.0/UNKNOWN t1.example.org;branch=z9hG4bKa\r\nVia: SIP/2.0/SCTP t2.example.org;branch=z9hG4bKb\r\n\
                 Via: SIP/2.0/TLS t3.example.org;branch=z9hG4bKc\r\n",
            ),
            Answered(200),
        ),
        (
            "3.1.1.11 several parts",
            with_offer(
                "Content-Type: multipart/mixed;boundary=7a9cbec02ceef655\r\n",
                &format!(
                    "--7a9cbec02ceef655\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: binary\r\n\r\nHello\r\n\
                     --7a9cbec02ceef655\r\nContent-Type: application/sdp\r\n\r\n{offer}\r\n--7a9cbec02ceef655--"
                ),
            ),
            Call,
        ),
        (
            "3.1.1.12 an unusual phrase",
            options("").replace(
                "OPTIONS sip:weekly@example.org SIP/2.0",
                "SIP/2.0 200 = 2**3 * 5**2 \u{43d}\u{43e} \u{441}\u{442}\u{43e}",
            ),
            Reply,
        ),
        (
            "3.1.1.13 an empty phrase",
            options("").replace("OPTIONS sip:weekly@example.org SIP/2.0", "SIP/2.0 100 "),
            Reply,
        ),
    ];
    for (section, text, fate) in cases {
        check(section, &text, Access::Open, fate);
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn invalid_messages_are_refused_unless_what_is_odd_matters_to_nothing() {
    let cases = [
        (
            "3.1.2.1 stray separators",
            invite("")
                .replace("branch=z9hG4bKtorture", "branch=z9hG4bKtorture;;,;,,")
                .replace("<sip:weekly@example.org>\r\n", "<sip:weekly@example.org>;;\r\n"),
            Answered(400),
        ),
        (
            "3.1.2.1 stray separators in Contact only: the caller is reached at their source",
            invite("")
                .replace("<sip:anna@127.0.0.1:5070>", "\"A\" <sip:anna@127.0.0.1:5070>;;,;,,"),
            Call,
        ),
        ("3.1.2.2 Content-Length too large", invite("Content-Length: 9999\r\n"), Answered(400)),
        ("3.1.2.3 Content-Length below zero", invite("Content-Length: -999\r\n"), Answered(400)),
        (
            "3.1.2.4 numbers too large, CSeq",
            options("").replace("CSeq: 8 ", "CSeq: 36893488147419103232 "),
            Answered(400),
        ),
        (
            "3.1.2.4 numbers too large, Max-Forwards, which only proxies need",
            options("").replace("Max-Forwards: 70", "Max-Forwards: 300"),
            Answered(200),
        ),
        (
            "3.1.2.5 numbers too large in a reply",
            options("")
                .replace("OPTIONS sip:weekly@example.org SIP/2.0", "SIP/2.0 503 x")
                .replace("CSeq: 8 ", "CSeq: 9292394834772304023312 "),
            Reply,
        ),
        (
            "3.1.2.6 an open quote",
            invite("").replace("To: <sip:weekly", "To: \"Mr. J. User <sip:weekly"),
            Answered(400),
        ),
        (
            "3.1.2.7 brackets around the Request-URI",
            invite("").replace("sip:weekly@example.org SIP", "<sip:weekly@example.org> SIP"),
            Answered(400),
        ),
        (
            "3.1.2.8 spaces within the Request-URI",
            invite("").replace("sip:weekly@example.org SIP", "sip:weekly@example.org; lr SIP"),
            Answered(400),
        ),
        (
            "3.1.2.9 several spaces in the request line",
            invite("").replace("sip:weekly@example.org SIP", " sip:weekly@example.org  SIP"),
            Answered(400),
        ),
        (
            "3.1.2.10 spaces at the end of the request line",
            options("").replace("SIP/2.0\r\nVia", "SIP/2.0  \r\nVia"),
            Answered(400),
        ),
        (
            "3.1.2.11 headers in the Request-URI",
            invite("").replace(
                "sip:weekly@example.org SIP",
                "sip:weekly@example.org?Route=%3Csip:example.com%3E SIP",
            ),
            Answered(400),
        ),
        (
            "3.1.2.12 a date of another zone, which says nothing to us",
            options("Date: Fri, 01 Jan 2010 16:00:00 EST\r\n"),
            Answered(200),
        ),
        (
            "3.1.2.13 a Contact without brackets that needs them: its headers are not obeyed",
            invite("").replace(
                "<sip:anna@127.0.0.1:5070>",
                "sip:anna@127.0.0.1?Route=%3Csip:sip.example.com%3E",
            ),
            Call,
        ),
        (
            "3.1.2.14 spaces within an address",
            options("")
                .replace("<sip:weekly@example.org>", "\"Watson\" < sip:weekly@example.org >"),
            Answered(400),
        ),
        (
            "3.1.2.15 a name that needs quotes",
            options("").replace("From: <", "From: Bell, Alexander <"),
            Answered(200),
        ),
        (
            "3.1.2.16 an unknown version",
            options("").replace(" SIP/2.0\r\n", " SIP/7.0\r\n"),
            Answered(505),
        ),
        (
            "3.1.2.17 a CSeq of another method",
            options("").replace("8 OPTIONS", "8 INVITE"),
            Answered(400),
        ),
        (
            "3.1.2.18 an unknown method and a CSeq of another",
            options("").replace("OPTIONS sip", "NEWMETHOD sip"),
            Answered(400),
        ),
        (
            "3.1.2.19 a status too large",
            options("")
                .replace("OPTIONS sip:weekly@example.org SIP/2.0", "SIP/2.0 4294967301 better not"),
            Dropped,
        ),
    ];
    for (section, text, fate) in cases {
        check(section, &text, Access::Open, fate);
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn messages_are_judged_by_transaction_and_application() {
    let cases = [
        ("3.2.1 no transaction", options("").replace("z9hG4bKtorture", "z9hG4bK"), Answered(400)),
        (
            "3.3.1 headers missing",
            "INVITE sip:weekly@example.org SIP/2.0\r\nCSeq: 193942 INVITE\r\n\
             Via: SIP/2.0/UDP 192.0.2.95;branch=z9hG4bKkdj.insuf\r\nContent-Type: application/sdp\r\n\r\n"
                .to_owned(),
            Answered(400),
        ),
        (
            "3.3.2 an unknown scheme",
            options("").replace("OPTIONS sip:", "OPTIONS nobodyKnowsThisScheme:"),
            Answered(416),
        ),
        (
            "3.3.3 a known scheme of another world",
            options("").replace("OPTIONS sip:weekly@example.org", "OPTIONS soap.beep://192.0.2.103:3002"),
            Answered(416),
        ),
        (
            "3.3.4 unknown schemes in headers",
            options("").replace("<sip:weekly@", "<isbn:2983792873;x@"),
            Answered(200),
        ),
        (
            "3.3.5 extensions that nobody knows",
            options("Proxy-Require: noProxiesSupportThis\r\nRequire: nothingSupportsThis, nothingSupportsThisEither\r\n"),
            Answered(420),
        ),
        (
            "3.3.6 an unknown content type",
            with_offer("Content-Type: application/unknownformat\r\n", "<audio/>"),
            Answered(415),
        ),
        (
            "3.3.8 several values where one must be",
            invite("CSeq: 59 INVITE\r\nTo: <sip:x@example.org>\r\nFrom: <sip:y@example.org>;tag=1\r\n"),
            Answered(400),
        ),
        (
            "3.3.9 several Content-Lengths",
            options("Content-Length: 0\r\nContent-Length: 5\r\n"),
            Answered(400),
        ),
        (
            "3.3.10 a reply that was not asked for",
            options("")
                .replace("OPTIONS sip:weekly@example.org SIP/2.0", "SIP/2.0 200 OK")
                .replace("127.0.0.1:5070;", "255.255.255.255;"),
            Reply,
        ),
        ("3.3.11 no hops left", options("").replace("Max-Forwards: 70", "Max-Forwards: 0"), Answered(483)),
        (
            "3.3.15 a caller that takes no description",
            invite("Accept: text/nobodyKnowsThis\r\n"),
            Answered(406),
        ),
        (
            "3.4.1 a caller of RFC 2543",
            format!(
                "INVITE sip:weekly@example.org SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5070\r\n\
                 From: sip:anna@example.org\r\nTo: sip:weekly@example.org\r\n\
                 Call-ID: inv2543.1\r\nCSeq: 56 INVITE\r\nContact: sip:anna@127.0.0.1:5070\r\n\
                 Content-Type: application/sdp\r\n\r\n{OFFER}"
            ),
            Call,
        ),
    ];
    for (section, text, fate) in cases {
        check(section, &text, Access::Open, fate);
    }
}

#[test]
fn registrations_are_challenged_whatever_their_content() {
    let register = |rest: &str, contact: &str| {
        let text = message("REGISTER sip:example.org SIP/2.0", rest, "");
        text.replace("Contact: <sip:anna@127.0.0.1:5070>", contact)
    };
    let plain = "Contact: <sip:anna@127.0.0.1:5070>";
    for (section, text) in [
        (
            "3.3.7 an unknown way to authenticate",
            register("Authorization: NoOneKnowsThisScheme opaque-data=here\r\n", plain),
        ),
        (
            "3.3.12 a Contact with a parameter",
            register("", "Contact: <sip:anna@127.0.0.1>;unknownparam"),
        ),
        ("3.3.13 a parameter of the URI", register("", "Contact: sip:anna@127.0.0.1;unknownparam")),
        (
            "3.3.14 a Contact with headers",
            register("", "Contact: <sip:anna@127.0.0.1?Route=%3Csip:sip.example.com%3E>"),
        ),
        ("3.1.2.13 a Contact without brackets", register("", "Contact: sip:a@b?Route=%3Csip:c%3E")),
    ] {
        check(section, &text, Access::Closed, Answered(401));
    }
}
