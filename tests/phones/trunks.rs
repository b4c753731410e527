//! Calls through trunks: sipp as every kind of server, and another conflow as the carrier.

use std::{io::ErrorKind, net::UdpSocket};

use crate::{
    called::{call_address, ending},
    callee::Callee,
    ear,
    leg::{Leg, LegOptions},
    program::{Conflow, ID, beside_others},
    web::{Server, wait_for_tone},
};

const FLOWS: [(&str, &str); 2] = [
    ("short", "<Response><Wait length=\"1\"/></Response>"),
    // Until a session has been refreshed, and refreshed again after a glare.
    ("long", "<Response><Wait length=\"20\"/></Response>"),
];

/// A trunk, a call through it, and how that ends.
struct Row {
    /// Its servers in order: scenario and value. [`UNTOUCHED`] must get nothing.
    servers: &'static [(&'static str, &'static str)],
    flow: &'static str,
    ring_timeout: &'static str,
    /// Seconds without a response after which the next server is tried.
    silence_wait: u32,
    /// Code and source of the cause.
    ends: (&'static str, &'static str),
}

/// A server that is not tried.
const UNTOUCHED: (&str, &str) = ("", "");

/// The cause of a call whose flow has come to its end.
const DONE: (&str, &str) = ("4010", "Vobiz");

const ROW: Row = Row {
    servers: &[],
    flow: "short",
    ring_timeout: "45",
    // Longer than a busy machine takes to answer.
    silence_wait: 15,
    ends: DONE,
};

const ROWS: [Row; 21] = [
    Row { servers: &[("answer", "")], ..ROW },
    Row { servers: &[("early", "")], ..ROW },
    Row { servers: &[("fork", "")], ..ROW },
    Row { servers: &[("refresh", "")], flow: "long", ..ROW },
    Row { servers: &[("glare", "")], flow: "long", ..ROW },
    Row { servers: &[("password", "")], ..ROW },
    Row { servers: &[("stale", "")], ..ROW },
    // The next server is tried after an error, and after silence.
    Row { servers: &[("refuse", "503"), ("answer", ""), UNTOUCHED], ..ROW },
    Row { servers: &[("refuse", "500"), ("refuse", "503")], ends: ("3090", "Carrier"), ..ROW },
    Row { servers: &[("late-ring", ""), ("answer", "")], silence_wait: 1, ..ROW },
    Row { servers: &[("late-answer", ""), ("answer", "")], silence_wait: 1, ..ROW },
    // It is not tried after what the callee has said, nor once anybody has rung.
    Row { servers: &[("refuse", "486"), UNTOUCHED], ends: ("3010", "Carrier"), ..ROW },
    Row { servers: &[("refuse", "480"), UNTOUCHED], ends: ("3000", "Carrier"), ..ROW },
    Row { servers: &[("refuse", "404"), UNTOUCHED], ends: ("3050", "Carrier"), ..ROW },
    Row { servers: &[("refuse", "603"), UNTOUCHED], ends: ("3110", "Carrier"), ..ROW },
    Row { servers: &[("ring-refuse", "503"), UNTOUCHED], ends: ("3090", "Carrier"), ..ROW },
    Row { servers: &[("wrong-password", ""), UNTOUCHED], ends: ("4240", "Carrier"), ..ROW },
    Row { servers: &[("mute", ""), UNTOUCHED], ends: ("5020", "Carrier"), ..ROW },
    Row {
        servers: &[("unanswered", ""), UNTOUCHED],
        ring_timeout: "1",
        ends: ("6010", "Vobiz"),
        ..ROW
    },
    Row {
        servers: &[("crossing", ""), UNTOUCHED],
        ring_timeout: "1",
        ends: ("6010", "Vobiz"),
        ..ROW
    },
    Row { servers: &[("late-ring", "")], ring_timeout: "1", ends: ("6010", "Vobiz"), ..ROW },
];

/// A server of a trunk.
enum TrunkServer {
    Sipp(Callee),
    Untouched(UdpSocket),
}

impl TrunkServer {
    fn start(what: (&str, &str)) -> Self {
        match what {
            UNTOUCHED => Self::Untouched(UdpSocket::bind("127.0.0.1:0").unwrap()),
            (scenario, value) => Self::Sipp(Callee::start(scenario, value)),
        }
    }

    fn target(&self, priority: usize) -> String {
        let address = match self {
            Self::Sipp(it) => it.address,
            Self::Untouched(it) => it.local_addr().unwrap(),
        };
        format!("{{ uri = \"sip:{address}\", priority = {priority} }}")
    }

    #[track_caller]
    fn ends_well(self, name: &str) {
        match self {
            Self::Sipp(it) => it.ends_well(name),
            Self::Untouched(it) => {
                it.set_nonblocking(true).unwrap();
                let mut bytes = [0; 2_048];
                let error = it
                    .recv(&mut bytes)
                    .map(|len| String::from_utf8_lossy(&bytes[..len]).into_owned());
                assert_eq!(error.unwrap_err().kind(), ErrorKind::WouldBlock, "{name}");
            }
        }
    }
}

#[test]
fn servers_of_every_kind_get_what_the_rfcs_say_and_the_next_one_its_turn() {
    let _share = beside_others();
    let servers: Vec<Vec<TrunkServer>> = ROWS
        .iter()
        .map(|row| row.servers.iter().map(|it| TrunkServer::start(*it)).collect())
        .collect();
    let trunk = |(n, (row, servers)): (usize, (&Row, &Vec<TrunkServer>))| {
        let targets: Vec<_> = servers.iter().enumerate().map(|(n, it)| it.target(n)).collect();
        format!(
            "[[trunk]]\nname = \"trunk-{n}\"\naccounts = [\"{ID}\"]\nallow = [\"49{n:02}\"]\n\
             targets = [{}]\nsilence_wait = {}\noptions_interval = 0\n\
             username = \"acme\"\npassword = \"hush-hush\"\n",
            targets.join(", "),
            row.silence_wait
        )
    };
    let config: String = ROWS.iter().zip(&servers).enumerate().map(trunk).collect();
    let conflow = Conflow::configured(&FLOWS, &config);
    let call = |(n, row): (usize, &Row)| {
        let more = [("ring_timeout", row.ring_timeout)];
        call_address(&conflow, &format!("+49 {n:02} 1234"), row.flow, &more)
    };
    let calls: Vec<_> = ROWS.iter().enumerate().map(call).collect();
    for ((row, servers), call) in ROWS.iter().zip(servers).zip(calls) {
        let name = format!("{:?}", row.servers);
        let (code, source) = ending(&conflow, &call);
        let (_, trace) = conflow.ask("GET", "api/v1", &format!("Call/{call}/Trace/"), "");
        assert_eq!((code.as_str(), source.as_str()), row.ends, "{name}: {trace}");
        let tried = row.servers.iter().filter(|it| **it != UNTOUCHED).count();
        assert_eq!(trace.matches("\"element\":\"attempt\"").count(), tried, "{name}: {trace}");
        servers.into_iter().for_each(|it| it.ends_well(&name));
    }
    assert!(!conflow.log().contains("hush"), "the password is in the log");
}

/// A caller of one conflow is connected by `<Dial>` with the conference of another, is kicked there,
/// hears the next element of the flow there, and then that of the flow here.
#[test]
fn a_caller_is_kicked_from_the_conference_of_another_conflow_and_goes_on_in_both() {
    const ANNA: f64 = 500.0;
    const BERT: f64 = 1_100.0;
    const KICKED: f64 = 1_500.0;
    const LEFT: f64 = 1_900.0;
    let _share = beside_others();
    let web = Server::start();
    let fetch = "[fetch]\nallow = [\"127.0.0.1\"]\n";
    let room = format!(
        "<Response><Conference stayAlone=\"true\" enterSound=\"\" exitSound=\"\">room</Conference>\
         <Play>{}</Play></Response>",
        web.url(&format!("{KICKED}.wav"))
    );
    let there = Conflow::configured(
        &[("room", &room)],
        &format!(
            "{fetch}[[number]]\ncalled = \"49891234\"\naccount = \"{ID}\"\nflow = \"room\"\n\
             [[trunk]]\nname = \"customer\"\naddresses = [\"127.0.0.1\"]\n"
        ),
    );
    let out = format!(
        "<Response><Dial callerId=\"4930555010\"><Number>+49 89 1234</Number></Dial>\
         <Play>{}</Play></Response>",
        web.url(&format!("{LEFT}.wav"))
    );
    let here = Conflow::configured(
        &[("out", &out)],
        &format!(
            "{fetch}[[trunk]]\nname = \"carrier\"\naccounts = [\"{ID}\"]\nallow = [\"49\"]\n\
             targets = [{{ uri = \"sip:{}\" }}]\n",
            there.sip
        ),
    );

    let talking = |tone| LegOptions { tone: Some(tone), ..LegOptions::default() };
    let bert = Leg::call(there.sip, "49891234", "bert", talking(BERT));
    let anna = Leg::call(here.sip, "out", "anna", talking(ANNA));
    let [member, _] = there.wait_members("room", ["4930555010", "bert"]);
    wait_for_tone(&anna, BERT);
    wait_for_tone(&bert, ANNA);

    there.order("POST", "room", &format!("Member/{member}/Kick/"));
    wait_for_tone(&anna, KICKED);
    wait_for_tone(&anna, LEFT);
    anna.wait_for("BYE");
    let heard: Vec<i16> = anna.sounds().into_iter().flat_map(|it| it.samples).collect();
    assert_eq!(ear::tones(&heard, &[BERT, KICKED, LEFT]), [BERT, KICKED, LEFT]);
    let [_] = there.wait_members("room", ["bert"]);
    bert.hear(300);
    assert!(!ear::hears("bert", &bert.hear(600), ANNA), "the kicked caller is not heard");
}
