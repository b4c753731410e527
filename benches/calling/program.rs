//! conflow as a process, with a trunk to one server.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    thread,
};

use tempfile::{TempDir, tempdir};

const ID: &str = "MA00000000000000000A";
const TOKEN: &str = "0123456789abcdef0123456789abcdef01234567";

/// A running conflow, which is killed on drop.
pub(crate) struct Program {
    child: Child,
    pub(crate) sip: SocketAddr,
    /// A connection for requests.
    http: BufReader<TcpStream>,
    _home: TempDir,
}

impl Program {
    /// Starts it with this flow, called `out`. Every number is called at `server`.
    pub(crate) fn start(server: SocketAddr, flow: &str) -> Self {
        let home = tempdir().expect("a folder");
        let flows = home.path().join("flows").join(ID);
        fs::create_dir_all(&flows).expect("a folder");
        fs::write(flows.join("out.xml"), flow).expect("a file");
        let config = format!(
            "[[account]]\nid = \"{ID}\"\ntokens = [\"{TOKEN}\"]\n[[trunk]]\nname = \"loopback\"\n\
             accounts = [\"{ID}\"]\nallow = [\"*\"]\ntargets = [{{ uri = \"sip:{server}\" }}]\n\
             options_interval = 0\ncalls_max = 10000\ncalls_per_second = 1000\n"
        );
        fs::write(home.path().join("conflow.toml"), config).expect("a file");
        let arguments = "serve --http 127.0.0.1:0 --sip 127.0.0.1:0 --rate-limit 0 --calls-max 0 \
                         --calls-per-second 0";
        let mut child = Command::new(env!("CARGO_BIN_EXE_conflow"))
            .args(arguments.split_whitespace())
            .current_dir(home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut log = BufReader::new(child.stderr.take().expect("it is piped"));
        let mut read = String::new();
        let mut address = |words: &str| -> SocketAddr {
            loop {
                if let Some((_, rest)) = read.split_once(words) {
                    let address = rest.split([' ', ',', '\n']).next().unwrap_or_default();
                    return address.parse().expect("an address");
                }
                let len = log.read_line(&mut read).expect("text");
                assert!(0 < len, "it serves: {read}");
            }
        };
        let (sip, http) = (address("SIP on "), address("serves http="));
        thread::spawn(move || while log.read(&mut [0; 64 * 1024]).is_ok_and(|it| 0 < it) {});
        let http = BufReader::new(TcpStream::connect(http).expect("it serves"));
        Self { child, sip, http, _home: home }
    }

    /// Calls a number; the call runs the flow when it is answered.
    pub(crate) fn call(&mut self, number: u64) {
        let body =
            format!("{{\"from\":\"4930555010\",\"to\":\"{number}\",\"answer_url\":\"flow:out\"}}");
        let request = format!(
            "POST /api/v1/Account/{ID}/Call/ HTTP/1.1\r\nHost: here\r\nX-Auth-ID: {ID}\r\n\
             X-Auth-Token: {TOKEN}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.http.get_mut().write_all(request.as_bytes()).expect("a connection");
        let (mut head, mut length) = (String::new(), 0);
        while !head.ends_with("\r\n\r\n") {
            let begin = head.len();
            assert!(0 < self.http.read_line(&mut head).expect("text"), "it answers");
            let line = head[begin..].to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().expect("a number");
            }
        }
        let mut body = vec![0; length];
        self.http.read_exact(&mut body).expect("a body");
        assert!(head.starts_with("HTTP/1.1 200"), "{head}{}", String::from_utf8_lossy(&body));
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
