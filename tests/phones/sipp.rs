//! sipp calls: what is built into it, and scenarios of our own.

use std::{
    fs,
    net::SocketAddr,
    process::{Command, Stdio},
};

use tempfile::tempdir;

use crate::program::{Conflow, beside_others};

/// A caller stays until it hangs up.
const STAY: &str = "<Response><Conference stayAlone=\"true\">stay</Conference></Response>";

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
    let run = Command::new("sipp")
        .args(arguments.split_whitespace())
        .args(["-i", "127.0.0.1", "-timeout", "30s", "-timeout_error", "-nostdin"])
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
    assert!(conflow.members("stay").is_empty(), "all have hung up");
}

#[test]
fn the_built_in_caller_comes_and_goes_over_udp_and_tcp() {
    let _share = beside_others();
    let conflow = Conflow::start(&[("stay", STAY)]);
    check(&conflow, "-sn uac -s stay -d 500 -r 5", 5);
    check(&conflow, "-sn uac -s stay -d 500 -r 5 -t t1", 5);
    check(&conflow, "-sn uac -s stay -d 500 -r 5 -t tn -max_socket 20", 5);
}
