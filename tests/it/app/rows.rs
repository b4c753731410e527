//! `conflow endpoint`, `number` and `trunk`, run beside a live engine.

use super::*;

/// What the command prints; it must succeed.
fn done(home: &Path, arguments: &str) -> String {
    let (code, printed, log) = run(command(home, arguments));
    assert_eq!(code, Some(0), "{arguments}: {log}");
    printed.trim().to_owned()
}

/// What the command complains of; it must fail.
fn refused(home: &Path, arguments: &str) -> String {
    let (code, printed, log) = run(command(home, arguments));
    assert_eq!(code, Some(1), "{arguments}: {printed}");
    log
}

impl Program {
    /// Waits until the engine has read the rows again.
    fn follow(&mut self, what: &str) {
        self.wait_for(&format!("the rows of the data folder have changed: {what}"));
    }

    /// The error of a call to an address.
    fn call(&self, token: &str, to: &str) -> String {
        let body =
            format!("{{\"from\":\"1\",\"to\":\"{to}\",\"answer_url\":\"http://127.0.0.1:9/a\"}}");
        self.ask(token, "POST", &format!("/v1/Account/{ID}/Call/"), &body).1
    }
}

const TOKEN: &str = "0123456789abcdef0123456789abcdef01234567";

/// A folder with a configuration, where only endpoints may be called.
fn configured() -> TempDir {
    let home = home();
    let flows = home.path().join("flows").join(ID);
    fs::create_dir(&flows).unwrap();
    fs::write(flows.join("default.xml"), FLOW).unwrap();
    let text = format!(
        "sim.on = true\nsip.bind = \"127.0.0.1:0\"\nsip.open = false\n[[account]]\nid = \"{ID}\"\n\
         tokens = [\"{TOKEN}\"]\n"
    );
    fs::write(home.path().join("conflow.toml"), text).unwrap();
    home
}

#[test]
fn endpoints_and_numbers_come_and_go_while_the_engine_runs() {
    let (home, token) = (configured(), TOKEN);
    let home = home.path();
    let mut program = Program::start(home, "");
    let unknown = "this account has no [[endpoint]]";
    assert!(program.call(token, "sip:anna@localhost").contains(unknown));

    let password = done(home, &format!("endpoint add anna --account {ID}"));
    assert_eq!(password.len(), 20, "{password}");
    program.follow("endpoint");
    let answer = program.call(token, "sip:anna@localhost");
    assert!(!answer.contains(unknown), "{answer}");
    let list = done(home, "endpoint list");
    assert!(list.contains("user = \"anna\"") && !list.contains(&password), "{list}");

    done(home, &format!("number add 4711 --account {ID} --flow default"));
    program.follow("number");
    let phones = format!("/sim/v1/Account/{ID}/Phone/");
    let (status, _) = program.ask(token, "POST", &phones, "{\"to\":\"4711\"}");
    assert_eq!(status, 201);

    program.signal("KILL");
    let (_, _, log) = program.end();
    assert!(!log.contains(&password), "the password is in the log");
    let mut program = Program::start(home, "");
    let answer = program.call(token, "sip:anna@localhost");
    assert!(!answer.contains(unknown), "it survives a restart: {answer}");
    done(home, "endpoint remove anna");
    program.follow("endpoint");
    assert!(program.call(token, "sip:anna@localhost").contains(unknown));
    for file in fs::read_dir(home.join("data")).unwrap() {
        let bytes = fs::read(file.unwrap().path()).unwrap_or_default();
        assert!(!bytes.windows(password.len()).any(|it| it == password.as_bytes()), "in a file");
    }
}

#[test]
fn what_the_file_would_not_allow_is_refused() {
    let home = home();
    let home = home.path();
    let add = format!("endpoint add anna --account {ID}");
    done(home, &add);
    assert!(refused(home, &add).contains("there is an endpoint anna already: --replace"));
    done(home, &format!("{add} --replace"));
    assert_eq!(done(home, "endpoint list").lines().count(), 1);
    assert!(refused(home, &format!("{add} --replace --srtp always")).contains("srtp"));
    assert!(refused(home, "endpoint remove bert").contains("conflow endpoint list"));
    let number = format!("number add 4711 --account {ID} --answer-url ftp://example.com");
    assert!(refused(home, &number).contains("ftp://example.com"));
    fs::write(home.join("bad.toml"), "[[trunk]]\nname = \"carrier\"\naddresses = [\"x\"]\n")
        .unwrap();
    assert!(refused(home, "trunk add bad.toml").contains("trunk carrier: addresses"));
    fs::write(home.join("bad.toml"), "http = \"127.0.0.1:1\"\n").unwrap();
    assert!(refused(home, "trunk add bad.toml").contains("http: only [[trunk]] rows"));
    fs::write(
        home.join("good.toml"),
        "[[trunk]]\nname = \"carrier\"\naddresses = [\"192.0.2.0/24\"]\n",
    )
    .unwrap();
    assert_eq!(done(home, "trunk add good.toml"), "carrier is added");
    let list = done(home, "trunk list");
    assert!(list.contains("name = \"carrier\"") && list.contains("192.0.2.0/24"), "{list}");
    assert!(done(home, "store check").contains("config_rows"), "the check reads them");
}

/// A row whose account is removed is left out; the next account of this id does not have it.
#[test]
fn the_rows_of_a_removed_account_go_with_it() {
    const KEPT: &str = "MAKEPT00000000000000";
    let home = home();
    let home = home.path();
    account(home, &format!("add {KEPT}"));
    let mut program = Program::start(home, "");
    done(home, &format!("number add 4711 --account {KEPT} --flow default"));
    program.follow("number");
    account(home, &format!("remove {KEPT}"));
    program.follow("number");
    account(home, &format!("add {KEPT}"));
    assert_eq!(done(home, "number list"), "");
}

/// Rows of no account are kept under a name that no account can have.
#[test]
fn a_trunk_stays_when_an_account_of_any_id_is_removed() {
    let home = home();
    let home = home.path();
    account(home, "add folder");
    let trunk = "[[trunk]]\nname = \"carrier\"\naddresses = [\"192.0.2.0/24\"]\n";
    fs::write(home.join("carrier.toml"), trunk).unwrap();
    done(home, "trunk add carrier.toml");
    let mut program = Program::start(home, "");
    account(home, "remove folder");
    program.wait_for("the accounts of the data folder have changed");
    assert!(done(home, "trunk list").contains("carrier"));
}
