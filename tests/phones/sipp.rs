//! sipp calls: what is built into it, and scenarios of our own.

use std::{
    fs,
    net::{SocketAddr, UdpSocket},
    process::{Command, Stdio},
};

use tempfile::tempdir;

use crate::program::{self, Conflow, alone, beside_others, eventually};

/// Callers stay until they hang up, press `*`, or are tired of ringing.
const FLOWS: [(&str, &str); 3] = [
    (
        "stay",
        "<Response><Conference stayAlone=\"true\" hangupOnStar=\"true\">stay</Conference>\
         <Speak>Goodbye</Speak></Response>",
    ),
    ("ring", "<Response><PreAnswer><Wait length=\"60\"/></PreAnswer></Response>"),
    ("music", "<Response><Play loop=\"0\">sound:hold</Play></Response>"),
];

const SCENARIOS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/phones/sipp");

/// What became of a run, by the statistics of sipp.
#[derive(Debug, Eq, PartialEq)]
struct Tally {
    successful: u64,
    failed: u64,
    retransmissions: u64,
}

/// Runs sipp against conflow until it ends by itself: `-sn uac -m 3`.
#[track_caller]
fn sipp(server: SocketAddr, arguments: &str) -> Tally {
    let home = tempdir().unwrap();
    // By itself it would take 5060.
    let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let run = Command::new("sipp")
        .args(arguments.split_whitespace())
        .args(["-i", "127.0.0.1", "-p", &port, "-timeout", "30s", "-timeout_error", "-nostdin"])
        .args(["-trace_stat", "-stf", "stat.csv", "-fd", "1s", "-trace_err"])
        .args(["-error_file", "errors.log", &server.to_string()])
        .current_dir(home.path())
        .stdin(Stdio::null())
        .output()
        .expect("sipp is installed (sip-tester)");
    let errors = fs::read_to_string(home.path().join("errors.log")).unwrap_or_default();
    let told = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "sipp {arguments}: {}\n{errors}\n{told}", run.status);
    let statistics = fs::read_to_string(home.path().join("stat.csv")).unwrap();
    let columns = statistics.lines().next().unwrap().split(';');
    let last = statistics.lines().last().unwrap().split(';').collect::<Vec<_>>();
    let total = |name: &str| {
        let at = columns.clone().position(|it| it == name).unwrap();
        last[at].parse().unwrap()
    };
    Tally {
        successful: total("SuccessfulCall(C)"),
        failed: total("FailedCall(C)"),
        retransmissions: total("Retransmissions(C)"),
    }
}

#[track_caller]
fn check(conflow: &Conflow, arguments: &str, calls: u64) {
    let tally = sipp(conflow.sip, &format!("{arguments} -m {calls}"));
    let expected = Tally { successful: calls, failed: 0, retransmissions: 0 };
    assert_eq!(tally, expected, "{arguments}");
    eventually("an empty room", || conflow.members("stay").is_empty().then_some(()));
}

#[test]
fn the_built_in_caller_comes_and_goes_over_udp_and_tcp() {
    let _share = beside_others();
    let conflow = Conflow::start(&FLOWS);
    check(&conflow, "-sn uac -s stay -d 500 -r 5", 5);
    check(&conflow, "-sn uac -s stay -d 500 -r 5 -t t1", 5);
    check(&conflow, "-sn uac -s stay -d 500 -r 5 -t tn -max_socket 20", 5);
}

#[test]
fn callers_of_every_kind_get_the_answers_that_the_rfcs_ask_for() {
    let _share = beside_others();
    let conflow = Conflow::start(&FLOWS);
    for transport in ["u1", "t1"] {
        let scenario = |name: &str| format!("-t {transport} -sf {SCENARIOS}/{name}.xml");
        check(&conflow, &format!("{} -s ring", scenario("cancel")), 2);
        for name in ["hold", "star", "late", "timer"] {
            check(&conflow, &format!("{} -s stay", scenario(name)), 2);
        }
    }
    for cause in ["caller-left", "starred"] {
        conflow.wait_for(&format!("cause=\"{cause}\""));
    }
}

#[test]
fn where_not_anybody_may_call_a_password_lets_in_and_a_wrong_one_does_not() {
    let _share = beside_others();
    let endpoint = format!(
        "[sip]\nopen = false\n[[endpoint]]\nuser = \"anna\"\npassword = \"hush\"\n\
         account = \"{}\"\n",
        program::ID
    );
    let conflow = Conflow::configured(&FLOWS, &endpoint);
    let scenario = |name: &str| format!("-sf {SCENARIOS}/{name}.xml -s stay");
    check(&conflow, &format!("{} -au anna -ap hush", scenario("digest")), 1);
    check(&conflow, &format!("{} -au anna -ap rush", scenario("refused")), 1);
    check(&conflow, &format!("{} -au otto -ap hush", scenario("refused")), 1);
    conflow.wait_for_lines("the call has ended", 1);
    conflow.wait_for_lines("a call comes in", 1);
    assert!(!conflow.log().contains("hush"), "passwords are nobody's business");
}

/// As fast as a build for tests can be expected to be.
const CALLS_PER_SECOND: usize = 200;

#[test]
fn many_callers_at_once_are_answered_before_they_ask_again() {
    let _machine = alone();
    let conflow = Conflow::start(&FLOWS);
    let calls = CALLS_PER_SECOND * 4;
    check(&conflow, &format!("-sn uac -s music -d 200 -r {CALLS_PER_SECOND}"), calls as u64);
    conflow.wait_for_lines("the call has ended", calls);
}
