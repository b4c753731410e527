//! sipp as a callee: a registered phone, or the server of a trunk.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    process::{Child, Command, Stdio},
};

use tempfile::{TempDir, tempdir};

use crate::{
    program::{Conflow, eventually},
    sipp::{SCENARIOS, free_port},
};

/// sipp with a scenario for one call.
pub(crate) struct Callee {
    pub(crate) address: SocketAddr,
    sipp: Child,
    home: TempDir,
}

impl Callee {
    /// Starts sipp, and waits until it listens. `value` is the status of a refusal, or the port that
    /// early sound comes from.
    pub(crate) fn start(scenario: &str, value: &str) -> Self {
        let home = tempdir().unwrap();
        let text = fs::read_to_string(format!("{SCENARIOS}/uas/{scenario}.xml")).unwrap();
        fs::write(
            home.path().join("scenario.xml"),
            text.replace("[status]", value).replace("[tone_port]", value),
        )
        .unwrap();
        let here = Ipv4Addr::LOCALHOST;
        let port = free_port(here.into());
        let sipp = Command::new("sipp")
            .args(["-sf", "scenario.xml", "-m", "1", "-nostdin"])
            .args(["-i", &here.to_string(), "-p", &port.to_string()])
            .args(["-timeout", "60s", "-timeout_error", "-trace_err", "-error_file", "errors.log"])
            .current_dir(home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("sipp is installed (sip-tester)");
        let it = Self { address: (here, port).into(), sipp, home };
        // A look at the kernel's list does not take the port.
        let own = format!(" 0100007F:{port:04X} ");
        eventually("sipp", || {
            fs::read_to_string("/proc/net/udp").unwrap().contains(&own).then_some(())
        });
        it
    }

    /// [`start`](Self::start), and registers it under a name.
    pub(crate) fn registered(conflow: &Conflow, user: &str, scenario: &str, value: &str) -> Self {
        let it = Self::start(scenario, value);
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.connect(conflow.sip).unwrap();
        let register = format!(
            "REGISTER sip:conflow SIP/2.0\r\nVia: SIP/2.0/UDP {};rport;branch=z9hG4bK{user}\r\n\
             From: <sip:{user}@conflow>;tag=1\r\nTo: <sip:{user}@conflow>\r\nCall-ID: {user}\r\n\
             CSeq: 1 REGISTER\r\nContact: <sip:{user}@{}>\r\nContent-Length: 0\r\n\r\n",
            socket.local_addr().unwrap(),
            it.address,
        );
        socket.send(register.as_bytes()).unwrap();
        let mut reply = [0; 2_048];
        let len = socket.recv(&mut reply).unwrap();
        assert!(reply[..len].starts_with(b"SIP/2.0 200"), "{}", String::from_utf8_lossy(&reply));
        it
    }

    /// Waits until sipp has seen all that its scenario expects.
    #[track_caller]
    pub(crate) fn ends_well(mut self, scenario: &str) {
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
