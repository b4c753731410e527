//! Endpoints and applications that an account makes by the API, with a SIP phone that uses them.

use std::{
    net::{SocketAddr, TcpListener, UdpSocket},
    sync::mpsc,
    time::Duration,
};

use conflow::sip::{
    SipPassword,
    digest_client::{DigestAccount, DigestClient},
    message::SipMessage,
};

use super::*;
use crate::phone::{OFFER, Phone, SDP, brief, header};

const TOKEN: &str = "0123456789abcdef0123456789abcdef01234567";
const OTHER: &str = "MAOTHER0000000000000";
const OTHER_TOKEN: &str = "fedcba9876543210fedcba9876543210fedcba98";

/// Two accounts, real phones that need a password, and documents from this machine.
fn configured() -> TempDir {
    let home = home();
    let account = |id: &str, token: &str| {
        let flows = home.path().join("flows").join(id);
        fs::create_dir(&flows).unwrap();
        fs::write(flows.join("default.xml"), "<Response><Hangup/></Response>").unwrap();
        format!("[[account]]\nid = \"{id}\"\ntokens = [\"{token}\"]\n")
    };
    let text = format!(
        "sip.bind = \"127.0.0.1:0\"\nsip.open = false\nsip.rtp_ports = \"21200-21299\"\n\
         fetch.allow = [\"127.0.0.0/8\"]\n{}{}",
        account(ID, TOKEN),
        account(OTHER, OTHER_TOKEN)
    );
    fs::write(home.path().join("conflow.toml"), text).unwrap();
    home
}

impl Program {
    /// The address on which it listens for SIP.
    fn sip(&self) -> SocketAddr {
        let at = self.read.find("SIP on 127.0.0.1:").unwrap() + "SIP on ".len();
        self.read[at..].split(',').next().unwrap().parse().unwrap()
    }

    /// The JSON of an answer with this status.
    fn json(&self, method: &str, path: &str, body: &str, expected: u16) -> Value {
        let (status, body) = self.ask(TOKEN, method, &format!("/v1/Account/{ID}/{path}"), body);
        assert_eq!(status, expected, "{method} {path}: {body}");
        serde_json::from_str(&body).unwrap_or_default()
    }

    fn make_endpoint(&self, more: &str) -> (String, String) {
        let body = format!(r#"{{"username":"anna","password":"geheim7","alias":"Anna"{more}}}"#);
        let made = self.json("POST", "Endpoint/", &body, 201);
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        (text("endpoint_id"), text("username"))
    }
}

/// A server whose documents let callers into a conference; it tells what it is asked.
fn documents() -> (String, mpsc::Receiver<String>) {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let root = format!("http://{}", server.local_addr().unwrap());
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        for stream in server.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut first, mut length) = (String::new(), 0);
            reader.read_line(&mut first).unwrap();
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                match line.trim().to_ascii_lowercase().split_once(": ") {
                    Some(("content-length", value)) => length = value.parse().unwrap(),
                    Some(_) => (),
                    None => break,
                }
            }
            reader.read_exact(&mut vec![0; length]).unwrap();
            let length = FLOW.len();
            write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nContent-Length: {length}\r\n\
                 Connection: close\r\n\r\n{FLOW}"
            )
            .unwrap();
            let words = first.split(['?', ' ']).take(2).collect::<Vec<_>>().join(" ");
            drop(tell.send(words));
        }
    });
    (root, told)
}

/// A SIP phone of a user, which knows a password.
struct SipPhone {
    phone: Phone,
    socket: UdpSocket,
    digest: DigestClient,
    uri: String,
}

impl SipPhone {
    fn new(sip: SocketAddr, user: &str, password: &str, to: &str) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(sip).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let address = socket.local_addr().unwrap();
        let mut phone = Phone::new(&format!("p{}", address.port()), &address.to_string());
        phone.from = user.to_owned().leak();
        phone.to = to.to_owned().leak();
        phone.contact = format!("Contact: <sip:{user}@{address}>\r\n");
        let (username, password) = (user.into(), SipPassword::new(password));
        let digest = DigestClient::new(Some(DigestAccount { username, password, realm: None }));
        Self { phone, socket, digest, uri: format!("sip:{to}@127.0.0.1") }
    }

    fn send(&self, text: &str) {
        self.socket.send(text.as_bytes()).unwrap();
    }

    /// The next message that is no provisional response.
    fn receive(&self) -> String {
        loop {
            let mut bytes = [0; 8_192];
            let length = self.socket.recv(&mut bytes).unwrap();
            let text = String::from_utf8(bytes[..length].to_vec()).unwrap();
            if !brief(&text).starts_with('1') {
                return text;
            }
        }
    }

    /// Sends a request, and again with the password if it is asked for it. Returns the response.
    fn ask(&mut self, method: &str, headers: &str, body: &str) -> String {
        let request = self.phone.request(method, headers, body);
        self.send(&request);
        let reply = self.receive();
        if brief(&reply) != "401" {
            return reply;
        }
        if method == "INVITE" {
            let mut refused = self.phone.clone();
            refused.learn(&reply);
            self.send(&refused.same_branch("ACK"));
        }
        let challenge = SipMessage::parse(reply.as_bytes()).unwrap().unwrap();
        assert!(self.digest.challenged(&challenge), "{reply}");
        let answers = self.digest.answers(method, &self.uri, "0a4f113b");
        let answers = answers.iter().map(|(name, text)| format!("{}: {text}\r\n", name.as_str()));
        let headers = format!("{headers}{}", answers.collect::<String>());
        let request = self.phone.request(method, &headers, body);
        self.send(&request);
        self.receive()
    }

    fn register(&mut self) -> String {
        let headers = format!("{}User-Agent: Testphone 7\r\n", self.phone.contact);
        brief(&self.ask("REGISTER", &headers, ""))
    }

    /// Waits for a call, and is busy.
    fn is_called(&self) {
        let invite = self.receive();
        assert_eq!(brief(&invite), "INVITE", "{invite}");
        let copied = ["Via", "From", "To", "Call-ID", "CSeq"].map(|name| {
            let tag = if name == "To" { ";tag=b" } else { "" };
            format!("{name}: {}{tag}\r\n", header(&invite, name).unwrap())
        });
        let copied = copied.concat();
        self.send(&format!("SIP/2.0 486 Busy Here\r\n{copied}Content-Length: 0\r\n\r\n"));
        assert_eq!(brief(&self.receive()), "ACK");
    }

    /// Calls, and leaves the call up.
    fn call(&mut self) {
        let headers = format!("{}{SDP}", self.phone.contact);
        let reply = self.ask("INVITE", &headers, OFFER);
        assert_eq!(brief(&reply), "200", "{reply}");
        self.phone.learn(&reply);
        let ack = self.phone.ack();
        self.send(&ack);
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_phone_uses_what_its_account_has_made_at_once() {
    let home = configured();
    let mut program = Program::start(home.path(), "");
    let (root, told) = documents();
    let body = format!(
        r#"{{"app_name":"desk","answer_url":"{root}/answer","answer_method":"GET","hangup_url":"{root}/bye"}}"#
    );
    let app = program.json("POST", "Application/", &body, 201);
    let app = app["app_id"].as_str().unwrap().to_owned();
    let (id, user) = program.make_endpoint(&format!(r#","app_id":"{app}""#));
    let mut phone = SipPhone::new(program.sip(), &user, "geheim7", &user);
    assert_eq!(phone.register(), "200");
    let shown = program.json("GET", &format!("Endpoint/{id}/"), "", 200);
    let found = (&shown["sip_registered"], &shown["sip_user_agent"]);
    assert_eq!(found, (&"true".into(), &"Testphone 7".into()));
    let uri = shown["sip_uri"].as_str().unwrap().to_owned();
    assert_eq!(uri, format!("sip:{user}@{}", program.sip()));

    // It is called; nobody else calls it.
    let call = |uri: &str| format!(r#"{{"from":"1","to":"{uri}","answer_url":"{root}/called"}}"#);
    program.json("POST", "Call/", &call(&uri), 201);
    phone.is_called();
    let path = format!("/v1/Account/{OTHER}/Call/");
    let (status, answer) = program.ask_as(OTHER, OTHER_TOKEN, "POST", &path, &call(&uri));
    assert!(status == 400 && answer.contains("this account has no [[endpoint]]"), "{answer}");

    // Its calls run the application, whatever they call, and change with nothing that comes later.
    let mut caller = SipPhone::new(program.sip(), &user, "geheim7", "4711");
    caller.call();
    assert_eq!(told.recv_timeout(10 * SECOND).unwrap(), "GET /answer");
    program.wait_for("entered");
    program.json("DELETE", &format!("Application/{app}/"), "", 204);
    program.json("GET", &format!("Endpoint/{id}/"), "", 404);
    assert_eq!(SipPhone::new(program.sip(), &user, "geheim7", &user).register(), "401");
    let (status, answer) = program.ask(TOKEN, "POST", &path.replace(OTHER, ID), &call(&uri));
    assert!(status == 400 && answer.contains("this account has no [[endpoint]]"), "{answer}");
    program.json("GET", "Conference/weekly/", "", 200);
    let bye = caller.phone.request("BYE", "", "");
    caller.send(&bye);
    assert_eq!(brief(&caller.receive()), "200");
    assert_eq!(told.recv_timeout(10 * SECOND).unwrap(), "POST /bye");
}

#[test]
fn an_endpoint_is_kept_and_its_password_nowhere_to_be_read() {
    let home = configured();
    let home = home.path();
    let program = Program::start(home, "");
    let (id, user) = program.make_endpoint("");
    let register = |program: &Program, password: &str| {
        SipPhone::new(program.sip(), &user, password, &user).register()
    };
    assert_eq!(register(&program, "geheim7"), "200");
    program.json("POST", &format!("Endpoint/{id}/"), r#"{"password":"another7"}"#, 202);
    let shown = program.json("GET", &format!("Endpoint/{id}/"), "", 200);
    assert_eq!(shown["sip_registered"], "false", "it has to register again: {shown}");
    assert_eq!(register(&program, "geheim7"), "401");
    assert_eq!(register(&program, "another7"), "200");

    let list = run(command(home, "endpoint list")).1;
    assert!(list.contains(&user) && list.contains(&id) && !list.contains("another7"), "{list}");
    program.signal("KILL");
    let log = program.end().2;
    assert!(!log.contains("geheim7") && !log.contains("another7"), "{log}");
    let mut program = Program::start(home, "");
    assert_eq!(register(&program, "another7"), "200");
    assert_eq!(run(command(home, &format!("endpoint remove {user}"))).0, Some(0));
    program.wait_for("the rows of the data folder have changed: endpoint");
    program.json("GET", &format!("Endpoint/{id}/"), "", 404);
    assert_eq!(register(&program, "another7"), "401");
    let folders = [home.join("data"), home.join("data/state")];
    for file in folders.iter().flat_map(|it| fs::read_dir(it).unwrap()) {
        let bytes = fs::read(file.unwrap().path()).unwrap_or_default();
        let has = |word: &[u8]| bytes.windows(word.len()).any(|it| it == word);
        assert!(!has(b"another7") && !has(b"geheim7"), "a password is in a file");
    }
}

#[test]
fn the_rows_of_the_api_and_of_the_commands_are_the_same() {
    let home = configured();
    let home = home.path();
    let mut program = Program::start(home, "");
    assert_eq!(run(command(home, &format!("endpoint add bert --account {ID}"))).0, Some(0));
    program.wait_for("the rows of the data folder have changed: endpoint");
    let body = r#"{"app_name":"desk","answer_url":"flow:default"}"#;
    let app = program.json("POST", "Application/", body, 201)["app_id"].clone();
    let change = format!(r#"{{"alias":"Bert","app_id":{app},"password":"geheim7"}}"#);
    program.json("POST", "Endpoint/bert/", &change, 202);
    assert_eq!(SipPhone::new(program.sip(), "bert", "geheim7", "bert").register(), "200");
    let list = run(command(home, "endpoint list")).1;
    assert!(list.contains("alias = \"Bert\""), "{list}");
    let list = run(command(home, "application list")).1;
    assert!(list.contains("name = \"desk\"") && list.contains("flow:default"), "{list}");

    // The other account does not see them, and an account that is removed takes them along.
    let path = format!("/v1/Account/{OTHER}/Application/");
    let (_, list) = program.ask_as(OTHER, OTHER_TOKEN, "GET", &path, "");
    assert!(list.contains("\"objects\":[]"), "{list}");
    assert_eq!(
        run(command(home, &format!("application remove {}", app.as_str().unwrap()))).0,
        Some(0)
    );
    program.wait_for("the endpoint bert names the application");
    let shown = program.json("GET", "Endpoint/bert/", "", 200);
    assert_eq!(shown["application"], Value::Null);
    let (code, _, log) = run(command(home, "application remove 7"));
    assert!(code == Some(1) && log.contains("conflow application list shows them"), "{log}");
}

#[test]
fn applications_of_the_file_are_used_and_not_changed() {
    let home = configured();
    let home = home.path();
    let file = home.join("conflow.toml");
    let rows = format!(
        "[[application]]\nid = \"desk\"\naccount = \"{ID}\"\nanswer_url = \"flow:default\"\n\
         endpoint_default = true\n\
         [[endpoint]]\nuser = \"carl\"\npassword = \"geheim7\"\naccount = \"{ID}\"\n\
         application = \"desk\"\n"
    );
    fs::write(&file, fs::read_to_string(&file).unwrap() + &rows).unwrap();
    let program = Program::start(home, "");
    let (id, _) = program.make_endpoint("");
    let desk = format!("/v1/Account/{ID}/Application/desk/");
    for endpoint in [&*id, "carl"] {
        let shown = program.json("GET", &format!("Endpoint/{endpoint}/"), "", 200);
        assert_eq!(shown["application"], desk, "{endpoint}");
    }
    let refused = program.json("DELETE", "Application/desk/", "", 409);
    assert!(refused["error"].as_str().unwrap().contains("is changed there"), "{refused}");
    let bad = rows.replace("flow:default", "ftp://x");
    fs::write(&file, fs::read_to_string(&file).unwrap().replace(&rows, &bad)).unwrap();
    let (code, _, log) = run(command(home, "serve --http 127.0.0.1:0"));
    assert!(code == Some(1) && log.contains("answer_url: ftp://x"), "{log}");
    let hidden = rows.replace("geheim7", "…");
    fs::write(&file, fs::read_to_string(&file).unwrap().replace(&bad, &hidden)).unwrap();
    let (code, _, log) = run(command(home, "serve --http 127.0.0.1:0"));
    assert!(
        code == Some(1) && log.contains("the password of the endpoint carl is hidden"),
        "{log}"
    );
}
