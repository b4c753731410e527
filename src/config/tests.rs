//! Tests of the configuration: precedence, files and errors.

use std::fs;

use tempfile::{TempDir, tempdir};

use super::*;
use crate::cli::{self, Command};

const FILE_GOOD: &str = r#"
http = "0.0.0.0:80"
drain = 30
[log]
format = "json"
[voice]
plivo = "array"
[sim]
beep_ms = 0
[[account]]
id = "MA00000000000000000A"
tokens = ["0123456789abcdef"]
dialect = "plivo"
[[account]]
id = "MA_B"
tokens = ["fedcba9876543210", "0123456789abcdef"]
[[number]]
called = "+14155550100"
account = "MA_B"
flow = "weekly"
"#;

/// A working directory that contains this configuration file.
fn here(text: &str) -> TempDir {
    let temp = tempdir().unwrap();
    fs::write(temp.path().join(DEFAULT_FILE), text).unwrap();
    temp
}

fn load(here: &Path, flags: &str) -> Result<Config, ConfigError> {
    let line = format!("conflow serve {flags}");
    let command = cli::parse(line.split_whitespace().map(Into::into)).unwrap();
    let Command::Serve(serve) = command else { panic!("{line}") };
    Config::load(*serve, None, here)
}

#[test]
fn without_a_file_it_is_development_whatever_is_typed() {
    let temp = tempdir().unwrap();
    let config = load(temp.path(), "").unwrap();
    assert_eq!(config.http.0.to_string(), "127.0.0.1:8080");
    assert_eq!((config.sim.on, config.rate_limit.get(), config.drain.get()), (true, 0, 0));
    let [account] = &config.accounts[..] else { panic!("one account") };
    assert_eq!((account.id.as_str(), &account.tokens[..]), (DEVELOPMENT_ACCOUNT, &[][..]));
    config.check_complete().unwrap();

    let typed = "--http [::1]:0 --sim=false --rate-limit 10 --flows f --data d";
    let config = load(temp.path(), typed).unwrap();
    assert_eq!(config.file, None);
    assert_eq!(config.http.0.to_string(), "[::1]:0");
    assert_eq!((config.sim.on, config.rate_limit.get()), (false, 10));
    assert_eq!((config.flows, config.data), ("f".into(), "d".into()));
    assert_eq!(config.accounts[0].id.as_str(), DEVELOPMENT_ACCOUNT);
}

#[test]
fn flags_take_precedence_over_the_file_and_the_file_over_the_defaults() {
    let temp = here(FILE_GOOD);
    let config = load(temp.path(), "--drain 5 --voice-vobiz live --sim").unwrap();
    assert_eq!(config.file, Some(temp.path().join(DEFAULT_FILE)));
    assert_eq!((config.drain.get(), config.http.0.port()), (5, 80));
    assert_eq!(config.voice.plivo, settings::PlivoMembers::Array);
    assert_eq!(config.voice.vobiz, settings::VobizAnswers::Live);
    assert_eq!(config.log.format, settings::LogFormat::Json);
    assert_eq!(config.log.level, settings::LogLevel::Info);
    assert_eq!((config.sim.on, config.sim.beep_ms.get()), (true, 0));
    assert_eq!((config.rate_limit, config.sim.sound_ms.get()), (RATE_LIMIT, 1_000));
    let ids = config.accounts.iter().map(|it| (it.id.as_str(), it.dialect, it.tokens.len()));
    let expected = [("MA00000000000000000A", Dialect::Plivo, 1), ("MA_B", Dialect::Vobiz, 2)];
    assert_eq!(ids.collect::<Vec<_>>(), expected);
    let [number] = &config.numbers[..] else { panic!("one number") };
    assert_eq!((number.called.as_str(), number.account.as_str()), ("14155550100", "MA_B"));
    assert!(!load(temp.path(), "").unwrap().sim.on);
}

#[test]
fn the_environment_gives_the_development_account_its_token() {
    let temp = tempdir().unwrap();
    let token = || Some("open-sesame".to_owned());
    let config = Config::load(ServeArgs::default(), token(), temp.path()).unwrap();
    assert_eq!(config.accounts[0].tokens, [Secret("open-sesame".to_owned())]);
    let file = here(FILE_GOOD);
    let refused = Config::load(ServeArgs::default(), token(), file.path()).unwrap_err();
    assert!(refused.to_string().contains("CONFLOW_AUTH_TOKEN is for development"), "{refused}");
}

#[test]
fn what_is_printed_can_be_read_again_and_shows_no_secret() {
    let temp = here(FILE_GOOD);
    let config = load(temp.path(), "--drain 5").unwrap();
    let text = config.to_toml();
    assert!(!text.contains("0123456789abcdef") && text.contains('…'), "{text}");
    assert!(!format!("{config:?}").contains("0123456789abcdef"));

    let again = load(here(&text).path(), "").unwrap();
    assert_eq!(again.to_toml(), text);
    let refused = again.check_complete().unwrap_err().to_string();
    assert!(refused.contains("MA00000000000000000A is hidden"), "{refused}");
    config.check_complete().unwrap();
}

#[test]
fn the_example_shows_every_setting_and_its_default() {
    let example = include_str!("../../conflow.example.toml");
    let config = load(here(example).path(), "").unwrap();
    let bare = example.replace("\n# ", "\n");
    let is_setting =
        |line: &&str| line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '));
    let is_table = |line: &&str| line.starts_with('[');
    let lines = bare.lines().filter(|line| is_setting(line) || is_table(line));
    // A number's dialect has no default of its own: it is the account's.
    let all = lines.filter(|line| *line != "dialect = \"plivo\"").collect::<Vec<_>>().join("\n");
    assert_eq!(load(here(&all).path(), "").unwrap().to_toml(), config.to_toml());
    for line in config.to_toml().lines().filter(|line| !line.is_empty()) {
        assert!(all.contains(line), "{line} is not in the example");
    }
}

#[test]
fn every_key_that_a_file_may_have_is_in_the_example() {
    let example = include_str!("../../conflow.example.toml");
    // The error about an unknown key lists all known keys.
    let keys = |table: &str| {
        let refused =
            load(here(&format!("{table}\nzzz = 1\n")).path(), "").unwrap_err().to_string();
        let (_, known) = refused.split_once("expected ").unwrap_or_else(|| panic!("{refused}"));
        known.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()
    };
    let tables = ["log", "recovery", "voice", "fetch", "cors", "console", "sim", "sip", "speech"]
        .map(|it| format!("[{it}]"));
    let rows =
        ["account", "number", "endpoint", "application", "trunk"].map(|it| format!("[[{it}]]"));
    let mut count = 0;
    for table in tables.iter().chain(&rows).map(String::as_str).chain([""]) {
        let is_header = |line: &str| line.trim_start_matches(['#', ' ']).starts_with('[');
        let lines = example.lines().skip_while(|it| !table.is_empty() && !it.ends_with(table));
        let part = lines.skip(usize::from(!table.is_empty())).take_while(|it| !is_header(it));
        let part: Vec<_> = part.map(|it| it.trim_start_matches(['#', ' '])).collect();
        for key in keys(table) {
            let headers = [format!("[{key}]"), format!("[[{key}]]")];
            let is_table =
                example.lines().any(|it| headers.iter().any(|header| it.ends_with(header)));
            let is_there = is_table || part.iter().any(|it| it.starts_with(&format!("{key} = ")));
            assert!(is_there, "{table} {key} is not in the example");
            count += 1;
        }
    }
    assert!(45 < count, "{count} keys");
}

#[test]
fn an_error_names_file_line_key_and_what_is_allowed() {
    let check = |text: &str, expected: &str| {
        let temp = here(text);
        let refused = load(temp.path(), "")
            .and_then(|it| it.check_accounts(&BTreeSet::new()))
            .unwrap_err()
            .to_string();
        let expected = format!("{}{expected}", temp.path().join(DEFAULT_FILE).display());
        assert!(refused.starts_with(&expected), "{refused}\n{expected}");
    };
    check("htpp = \"x\"", ", line 1: htpp: unknown field `htpp`, expected one of `http`, ");
    check("\nhttp = \"80\"", ", line 2: http: write an IP address and a port, such as");
    check("drain = -1", ", line 1: drain: write a whole number from 0 to 86400");
    check("drain = \"1\"", ", line 1: drain: invalid type: string \"1\", expected i64");
    let range = "reinvites_per_second: write a whole number from 1 to 10000";
    check("[recovery]\nreinvites_per_second = 0", &format!(", line 2: {range}"));
    check("[log]\nlevel = \"loud\"", ", line 2: level: unknown variant `loud`, expected one of");
    check("[sim]\nspeech = 1", ", line 2: speech: unknown field `speech`, expected one of `on`");
    check("drain = 1\ndrain = 2", ", line 2: drain: duplicate key");
    check("drain 1", ", line 1: drain 1: ");

    let account =
        |id: &str| format!("[[account]]\nid = \"{id}\"\ntokens = [\"0123456789abcdef\"]\n");
    let (one, bad) = (account("MA1"), account("../MA1"));
    check(&bad, ", line 2: id: write 1 to 64 of A-Z a-z 0-9 _ -");
    check(&(one.clone() + &one), ", line 5: id: MA1 has an [[account]] already, in line 2");
    let number = "[[number]]\naccount = \"MA1\"\ncalled = \"1\"\nflow = \"x\"\n";
    check(number, ", line 2: account: there is no such [[account]]; there are: none");
    let twice = format!("{one}{number}{number}");
    check(&twice, ", line 10: called: 1 has a [[number]] already, in line 6");
}

#[test]
fn an_error_in_a_token_does_not_show_it() {
    for tokens in ["\"hush-hush\"", "[\"hush-hush\"]", "[\"hush-hush hush-hush\"]", "[1]", "[]"] {
        let text = format!("[[account]]\nid = \"MA1\"\ntokens = {tokens}\n");
        let refused = load(here(&text).path(), "").unwrap_err().to_string();
        assert!(refused.contains("line 3: tokens: "), "{refused}");
        assert!(!refused.contains("hush"), "{refused}");
    }
}

/// Issue 14, A10.
#[test]
fn an_account_of_the_file_may_have_read_only_tokens() {
    let account = "[[account]]\nid = \"MA1\"\ntokens = [\"0123456789abcdef\"]\n";
    let load =
        |tokens: &str| load(here(&format!("{account}read_only_tokens = [{tokens}]\n")).path(), "");
    let token = |n: usize| format!("\"fedcba987654321{n}\"");
    let eight = (0..8).map(token).collect::<Vec<_>>().join(", ");
    let config = load(&eight).unwrap();
    assert_eq!(config.accounts[0].read_only_tokens.len(), 8);
    assert!(config.to_toml().contains("read_only_tokens = [\"…\", \"…\","), "{}", config.to_toml());
    let hidden = load("\"…\"").unwrap().check_complete().unwrap_err().to_string();
    assert!(hidden.contains("a token of MA1 is hidden"), "{hidden}");
    let refused = |tokens: &str, expected: &str| {
        let refused = load(tokens).unwrap_err().to_string();
        assert!(refused.contains(&format!("line 4: read_only_tokens: {expected}")), "{refused}");
        assert!(!refused.contains("fedcba") && !refused.contains("hush"), "{refused}");
    };
    refused(&format!("{eight}, {}", token(9)), "write 8 tokens at most");
    refused("\"hush-hush\"", "a token has 16 to 256 visible ASCII characters");
    refused("1", "write a list of strings");
    refused("\"0123456789abcdef\"", "a token is full or read-only");
}

#[test]
fn proxies_and_origins_are_networks_and_origins() {
    let config = load(
        here("trusted_proxies = [\"10.0.0.1/8\", \"::1\"]\n[cors]\norigins = [\"https://a.b\"]\n")
            .path(),
        "--cors-origins https://c.d,http://localhost:1",
    );
    let config = config.unwrap();
    let proxies: Vec<_> = config.trusted_proxies.iter().map(ToString::to_string).collect();
    assert_eq!(proxies, ["10.0.0.0/8", "::1/128"]);
    let origins: Vec<_> = config.cors.origins.iter().map(|it| &*it.0).collect();
    assert_eq!(origins, ["https://c.d", "http://localhost:1"]);
    for (text, expected) in [
        ("trusted_proxies = [\"proxy\"]", "line 1: trusted_proxies: write a network"),
        ("[cors]\norigins = [\"*\"]", "line 2: origins: write an origin as a browser sends it"),
    ] {
        let refused = load(here(text).path(), "").unwrap_err().to_string();
        assert!(refused.contains(expected), "{refused}");
    }
}

#[test]
fn a_file_that_is_named_must_be_there_and_accounts_in_it() {
    let temp = tempdir().unwrap();
    let path = temp.path().join("other.toml");
    let flags = format!("--config {}", path.display());
    let refused = load(temp.path(), &flags).unwrap_err().to_string();
    assert!(refused.starts_with("cannot read the configuration file"), "{refused}");
    fs::write(&path, "").unwrap();
    let config = load(temp.path(), &flags).unwrap();
    let refused = config.check_accounts(&BTreeSet::new()).unwrap_err().to_string();
    assert!(refused.contains("has no [[account]]"), "{refused}");
    let kept = BTreeSet::from(["MA1".parse().unwrap()]);
    config.check_accounts(&kept).unwrap();

    let number = "[[number]]\naccount = \"MA1\"\ncalled = \"1\"\nflow = \"x\"\n";
    fs::write(&path, number).unwrap();
    load(temp.path(), &flags).unwrap().check_accounts(&kept).unwrap();
}
