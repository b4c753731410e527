//! sipp calls: its built-in scenario, and scenarios of our own.

use std::{
    fs,
    net::{IpAddr, SocketAddr, TcpListener, UdpSocket},
    path::Path,
    process::{Command, Output, Stdio},
};

use tempfile::tempdir;

use crate::program::{self, Conflow, alone, beside_others, eventually};

/// Callers stay until they hang up, press `*`, or give up ringing.
const FLOWS: [(&str, &str); 3] = [
    (
        "stay",
        "<Response><Conference stayAlone=\"true\" hangupOnStar=\"true\">stay</Conference>\
         <Speak>Goodbye</Speak></Response>",
    ),
    ("ring", "<Response><Wait length=\"60\"/></Response>"),
    ("music", "<Response><Play loop=\"0\">sound:hold</Play></Response>"),
];

pub(crate) const SCENARIOS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/phones/sipp");

/// The results of a run, from sipp's statistics.
#[derive(Debug, Eq, PartialEq)]
struct SippCounts {
    successful: u64,
    failed: u64,
    retransmissions: u64,
}

/// More failures than this are not bad luck.
const ATTEMPTS: usize = 5;

/// Runs sipp in a folder. Returns its output and its error file.
fn run(home: &Path, server: SocketAddr, arguments: &str) -> (Output, String) {
    // By default it would take 5060.
    let port = free_port(server.ip()).to_string();
    let log = home.join("errors.log");
    drop(fs::remove_file(&log));
    let output = Command::new("sipp")
        .args(arguments.split_whitespace())
        .args(["-i", &server.ip().to_string(), "-p", &port])
        .args(["-timeout", "30s", "-timeout_error", "-nostdin"])
        .args(["-trace_stat", "-stf", "stat.csv", "-fd", "1s", "-trace_err"])
        .args(["-error_file", "errors.log", &server.to_string()])
        .current_dir(home)
        .stdin(Stdio::null())
        .output()
        .expect("sipp is installed (sip-tester)");
    (output, fs::read_to_string(log).unwrap_or_default())
}

/// A port that is free for UDP and for TCP.
pub(crate) fn free_port(ip: IpAddr) -> u16 {
    loop {
        let port = UdpSocket::bind((ip, 0)).unwrap().local_addr().unwrap().port();
        if TcpListener::bind((ip, port)).is_ok() {
            return port;
        }
    }
}

/// Runs sipp against conflow until it ends by itself, with arguments such as `-sn uac -m 3`.
#[track_caller]
fn sipp(server: SocketAddr, arguments: &str) -> SippCounts {
    let home = tempdir().unwrap();
    let (run, errors) = (0..ATTEMPTS)
        .map(|_| run(home.path(), server, arguments))
        // Another process may take the port before sipp does.
        .find(|(_, errors)| !errors.contains("Address already in use"))
        .expect("a port stays free for a moment");
    let output = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "sipp {arguments}: {}\n{errors}\n{output}", run.status);
    let statistics = fs::read_to_string(home.path().join("stat.csv")).unwrap();
    let columns = statistics.lines().next().unwrap().split(';');
    let last = statistics.lines().last().unwrap().split(';').collect::<Vec<_>>();
    let total = |name: &str| {
        let at = columns.clone().position(|it| it == name).unwrap();
        last[at].parse().unwrap()
    };
    SippCounts {
        successful: total("SuccessfulCall(C)"),
        failed: total("FailedCall(C)"),
        retransmissions: total("Retransmissions(C)"),
    }
}

#[track_caller]
fn check(conflow: &Conflow, arguments: &str, calls: u64) {
    let counts = sipp(conflow.sip, &format!("{arguments} -m {calls}"));
    let expected = SippCounts { successful: calls, failed: 0, retransmissions: 0 };
    assert_eq!(counts, expected, "{arguments}");
    eventually("an empty room", || conflow.members("stay").is_empty().then_some(()));
}

#[test]
fn the_built_in_caller_calls_and_hangs_up_over_udp_and_tcp() {
    let _share = beside_others();
    let conflow = Conflow::start(&FLOWS);
    check(&conflow, "-sn uac -s stay -d 500 -r 5", 5);
    check(&conflow, "-sn uac -s stay -d 500 -r 5 -t t1", 5);
    check(&conflow, "-sn uac -s stay -d 500 -r 5 -t tn -max_socket 20", 5);
}

/// An endpoint in a configuration file, with these settings of `[sip]`.
fn with_endpoint(settings: &str) -> Conflow {
    let config = format!(
        "[sip]\n{settings}\n[[endpoint]]\nuser = \"anna\"\npassword = \"secret\"\n\
         account = \"{}\"\n",
        program::ID
    );
    Conflow::configured(&FLOWS, &config)
}

#[track_caller]
fn check_scenario(conflow: &Conflow, name: &str, arguments: &str, calls: u64) {
    let flow = if name == "cancel" { "ring" } else { "stay" };
    check(conflow, &format!("-sf {SCENARIOS}/{name}.xml -s {flow} {arguments}"), calls);
}

#[test]
fn callers_of_every_kind_get_the_replies_of_the_rfcs() {
    let _share = beside_others();
    let conflow = with_endpoint("");
    let names = fs::read_dir(SCENARIOS).unwrap().map(|it| it.unwrap().path());
    let names = names.filter(|it| it.is_file());
    let mut names: Vec<String> =
        names.map(|it| it.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    names.retain(|it| it != "refused");
    names.sort();
    for (name, transport) in names.iter().flat_map(|name| [(name, "u1"), (name, "t1")]) {
        check_scenario(&conflow, name, &format!("-t {transport}"), 2);
    }
    // In the scenarios `star` and `info`.
    conflow.wait_for_lines("cause=starred", 8);
}

#[test]
fn without_anonymous_calls_a_password_is_accepted_and_a_wrong_one_refused() {
    let _share = beside_others();
    let conflow = with_endpoint("open = false");
    check_scenario(&conflow, "register", "", 1);
    check_scenario(&conflow, "digest", "", 1);
    check_scenario(&conflow, "refused", "-au anna -ap terces", 1);
    check_scenario(&conflow, "refused", "-au otto -ap secret", 1);
    conflow.wait_for_lines("the call has ended", 1);
    conflow.wait_for_lines("a call comes in", 1);
    assert!(!conflow.log().contains("secret"), "the log has a password");
}

#[test]
fn ipv6_works_as_well() {
    let _share = beside_others();
    let conflow = Conflow::at("[::1]:0", &FLOWS);
    check(&conflow, "-sn uac -s stay -d 500 -r 5", 5);
    check(&conflow, "-sn uac -s stay -d 500 -r 5 -t t1", 5);
}

/// New calls in a second: more than a build for tests reaches on a busy machine. (How many it answers
/// before they are sent again is measured by `cargo bench --bench sip`.)
const CALLS_PER_SECOND: usize = 200;

#[test]
fn many_callers_at_once_are_all_answered() {
    let _machine = alone();
    let conflow = Conflow::start(&FLOWS);
    let calls = CALLS_PER_SECOND * 4;
    let many = format!("-sn uac -s music -d 200 -r {CALLS_PER_SECOND} -m {calls}");
    let SippCounts { successful, failed, .. } = sipp(conflow.sip, &many);
    assert_eq!((successful, failed), (calls as u64, 0));
    conflow.wait_for_lines("the call has ended", calls);
}
