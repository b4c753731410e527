//! The configuration: what was typed, over the environment, over a file, over the defaults.

mod file;
mod groups;
mod phones;

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use serde::Serialize;

use self::file::{Source, read};
pub use self::{
    groups::{Bungie, Capillary, Groups, Kirimin, RocketChat},
    phones::{Endpoint, Sip, Speech, Trunk},
};
use crate::{
    cli::{
        serve::Serve,
        settings::{self, Address, Count, Secret, Settings},
    },
    ids::{AccountId, Dialect},
};

/// Everything that can be set, as it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Config {
    /// Where HTTP is served.
    pub http: Address,
    /// The data folder.
    pub data: PathBuf,
    /// The flows folder.
    pub flows: PathBuf,
    /// In seconds: how long calls may go on when the engine is to end.
    pub drain: Count<0, 86_400>,
    /// Requests of an account within 5 seconds; 0 is no limit.
    pub rate_limit: Count<0, 1_000_000>,
    /// In seconds: how long a call may last from its answer.
    pub call_time_limit: Count<1, 86_400>,
    /// Members of a conference.
    pub members_max: Count<1, 100_000>,
    /// The log.
    pub log: Log,
    /// The voice API.
    pub voice: Voice,
    /// Requests that the engine makes.
    pub fetch: Fetch,
    /// Simulated phones.
    pub sim: Sim,
    /// Real phones.
    pub sip: Sip,
    /// Speech for them.
    pub speech: Speech,
    /// Groups, and how the four dialects have them.
    pub groups: Groups,
    /// Bungie.
    pub bungie: Bungie,
    /// Rocket.Chat.
    pub rocketchat: RocketChat,
    /// Kirimin.
    pub kirimin: Kirimin,
    /// Capillary.
    pub capillary: Capillary,
    /// Phones that register.
    #[serde(rename = "endpoint", skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<Endpoint>,
    /// Gateways.
    #[serde(rename = "trunk", skip_serializing_if = "Vec::is_empty")]
    pub trunks: Vec<Trunk>,
    /// The accounts. That of development mode has no token unless the environment gives it one.
    #[serde(rename = "account")]
    pub accounts: Vec<Account>,
    /// The called numbers.
    #[serde(rename = "number", skip_serializing_if = "Vec::is_empty")]
    pub numbers: Vec<Number>,
    /// The file; none in development mode.
    #[serde(skip)]
    pub file: Option<PathBuf>,
}

/// `[log]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Log {
    /// For eyes or for machines.
    pub format: settings::LogFormat,
    /// How much.
    pub level: settings::LogLevel,
}

/// `[voice]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Voice {
    /// How Plivo answers have member ids.
    pub plivo: settings::PlivoMembers,
    /// How Vobiz answers.
    pub vobiz: settings::VobizAnswers,
}

/// `[fetch]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fetch {
    /// Addresses that may be asked beside the public ones.
    pub allow: Vec<settings::Network>,
}

/// `[sim]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Sim {
    /// Whether there are simulated phones.
    pub on: bool,
    /// How long speech lasts.
    pub speech_ms_per_char: Count<0, 60_000>,
    /// How long a beep lasts.
    pub beep_ms: Count<0, 3_600_000>,
    /// How long any other sound lasts.
    pub sound_ms: Count<0, 3_600_000>,
}

/// `[[account]]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Account {
    /// `MA…` or `SA…`.
    pub id: AccountId,
    /// One or two.
    pub tokens: Vec<Secret>,
    /// Of its inbound calls.
    pub dialect: Dialect,
}

/// `[[number]]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Number {
    /// The number, or the user.
    pub called: String,
    /// Whose it is.
    pub account: AccountId,
    /// The name of a flow of that account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flow: Option<String>,
    /// What its calls ask for their first document, if there is no flow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer_url: Option<String>,
    /// How.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer_method: Option<settings::HttpMethod>,
    /// What is asked when that has brought none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback_url: Option<String>,
    /// What is told when a call is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hangup_url: Option<String>,
    /// The dialect of its calls; the account's, if it says nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dialect: Option<Dialect>,
}

/// Why there is no configuration to go by.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// No line of a file is at fault, but the whole is.
    #[error("{0}")]
    Incomplete(String),
    /// A line of the file.
    #[error("{}, line {line}: {key}: {why}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// From one.
        line: usize,
        /// What stands before the `=` there. The value might be a secret.
        key: String,
        /// What is wrong, and what is allowed.
        why: String,
    },
    /// The file is not to be had.
    #[error("cannot read the configuration file {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// The account of development mode; 20 characters, as Plivo's SDK wants it.
pub const DEVELOPMENT_ACCOUNT: &str = "MACONFLOWDEV00000000";
/// Nobody but this machine reaches it until somebody says so.
const HTTP: Address = Address(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080));
/// Read from the working directory if no other file is named.
const FILE: &str = "conflow.toml";
/// What the vendors state (contract 7): so many requests of an account within 5 seconds.
const RATE_LIMIT: Count<0, 1_000_000> = Count::new(300);
impl Config {
    /// Puts the layers together. `token` is what the environment gives the development account;
    /// `here` is where a file is looked for that nobody has named.
    ///
    /// # Errors
    ///
    /// [`ConfigError`]: what is wrong, where, and what is allowed.
    pub fn load(flags: Serve, token: Option<String>, here: &Path) -> Result<Self, ConfigError> {
        let file = flags.config.or_else(|| {
            let path = here.join(FILE);
            path.exists().then_some(path)
        });
        let Some(path) = file else {
            return Ok(Self::new(flags.settings, development(token), None));
        };
        if token.is_some() {
            let why = "CONFLOW_AUTH_TOKEN is for development mode, which has no configuration \
                file: put the token into its [[account]], and unset the variable";
            return Err(ConfigError::Incomplete(why.to_owned()));
        }

        let text = read(&path)?;
        let source = Source { path: &path, text: &text };
        let layer = source.settings()?;
        let accounts = source.accounts(&layer.accounts)?;
        let numbers = source.numbers(&layer.numbers, &accounts)?;
        let endpoints = source.endpoints(&layer.endpoints, &accounts)?;
        let trunks = source.trunks(&layer.trunks)?;
        let networks = layer.sip.local_networks.as_deref().unwrap_or_default();
        let local_networks = source.networks(networks)?;
        let mut config = Self::new(flags.settings.over(layer), accounts, Some(path.clone()));
        config.sip.local_networks = local_networks;
        Ok(Self { numbers, endpoints, trunks, ..config })
    }

    /// As a configuration file that can be read again, but for the secrets.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("names, numbers and words are TOML")
    }

    /// Whether calls could be made: a file that was printed, secrets hidden, lacks them.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Incomplete`].
    pub fn check_complete(&self) -> Result<(), ConfigError> {
        let Some(path) = &self.file else { return Ok(()) };
        let path = path.display();
        if self.accounts.is_empty() {
            let why = format!(
                "{path} has no [[account]], so nobody could use the API: add one, with an id and \
                tokens (conflow.example.toml shows how); or start without a file, to try conflow"
            );
            return Err(ConfigError::Incomplete(why));
        }
        for account in &self.accounts {
            if account.tokens.iter().any(|it| it.0 == Secret::HIDDEN) {
                let why = format!(
                    "{path}: a token of {} is hidden: put the token itself where it has \"{}\"",
                    account.id,
                    Secret::HIDDEN
                );
                return Err(ConfigError::Incomplete(why));
            }
        }
        Ok(())
    }

    fn new(layer: Settings, accounts: Vec<Account>, file: Option<PathBuf>) -> Self {
        let is_development = file.is_none();
        let rate_limit = if is_development { Count::new(0) } else { RATE_LIMIT };
        Self {
            groups: Groups::new(&layer, is_development),
            bungie: Bungie::new(&layer),
            rocketchat: RocketChat::new(&layer),
            kirimin: Kirimin::new(&layer),
            capillary: Capillary::new(&layer),
            http: layer.http.unwrap_or(HTTP),
            data: layer.data.unwrap_or_else(|| "data".into()),
            flows: layer.flows.unwrap_or_else(|| "flows".into()),
            drain: layer.drain.unwrap_or(Count::new(0)),
            rate_limit: layer.rate_limit.unwrap_or(rate_limit),
            call_time_limit: layer.call_time_limit.unwrap_or(Count::new(14_400)),
            members_max: layer.members_max.unwrap_or(Count::new(10_000)),
            log: Log {
                format: layer.log.format.unwrap_or_default(),
                level: layer.log.level.unwrap_or_default(),
            },
            voice: Voice {
                plivo: layer.voice.plivo.unwrap_or_default(),
                vobiz: layer.voice.vobiz.unwrap_or_default(),
            },
            fetch: Fetch { allow: layer.fetch.allow.unwrap_or_default() },
            sim: Sim {
                on: layer.sim.on.unwrap_or(is_development),
                speech_ms_per_char: layer.sim.speech_ms_per_char.unwrap_or(Count::new(60)),
                beep_ms: layer.sim.beep_ms.unwrap_or(Count::new(200)),
                sound_ms: layer.sim.sound_ms.unwrap_or(Count::new(1_000)),
            },
            sip: Sip::new(&layer.sip, Vec::new()),
            speech: Speech { command: layer.speech.command.unwrap_or_default() },
            endpoints: Vec::new(),
            trunks: Vec::new(),
            accounts,
            numbers: Vec::new(),
            file,
        }
    }
}

fn development(token: Option<String>) -> Vec<Account> {
    let id = DEVELOPMENT_ACCOUNT.parse().expect("a name");
    let tokens = token.map(Secret).into_iter().collect();
    vec![Account { id, tokens, dialect: Dialect::default() }]
}

#[cfg(test)]
mod tests {
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

    /// A working directory with this configuration file.
    fn here(text: &str) -> TempDir {
        let temp = tempdir().unwrap();
        fs::write(temp.path().join(FILE), text).unwrap();
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
    fn what_is_typed_stands_above_the_file_and_that_above_the_defaults() {
        let temp = here(FILE_GOOD);
        let config = load(temp.path(), "--drain 5 --voice-vobiz live --sim").unwrap();
        assert_eq!(config.file, Some(temp.path().join(FILE)));
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
        let config = Config::load(Serve::default(), token(), temp.path()).unwrap();
        assert_eq!(config.accounts[0].tokens, [Secret("open-sesame".to_owned())]);
        let file = here(FILE_GOOD);
        let refused = Config::load(Serve::default(), token(), file.path()).unwrap_err();
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
        // The one default that is none: a number's dialect is its account's.
        let all =
            lines.filter(|line| *line != "dialect = \"plivo\"").collect::<Vec<_>>().join("\n");
        assert_eq!(load(here(&all).path(), "").unwrap().to_toml(), config.to_toml());
        for line in config.to_toml().lines().filter(|line| !line.is_empty()) {
            assert!(all.contains(line), "{line} is not in the example");
        }
    }

    #[test]
    fn a_fault_is_told_with_file_line_key_and_what_is_allowed() {
        let check = |text: &str, expected: &str| {
            let temp = here(text);
            let refused = load(temp.path(), "").unwrap_err().to_string();
            let expected = format!("{}{expected}", temp.path().join(FILE).display());
            assert!(refused.starts_with(&expected), "{refused}\n{expected}");
        };
        check("htpp = \"x\"", ", line 1: htpp: unknown field `htpp`, expected one of `http`, ");
        check("\nhttp = \"80\"", ", line 2: http: write an IP address and a port, such as");
        check("drain = -1", ", line 1: drain: write a whole number from 0 to 86400");
        check("drain = \"1\"", ", line 1: drain: invalid type: string \"1\", expected i64");
        check(
            "[log]\nlevel = \"loud\"",
            ", line 2: level: unknown variant `loud`, expected one of",
        );
        check(
            "[sim]\nspeech = 1",
            ", line 2: speech: unknown field `speech`, expected one of `on`",
        );
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
    fn a_fault_in_a_token_does_not_show_it() {
        for tokens in ["\"hush-hush\"", "[\"hush-hush\"]", "[\"hush-hush hush-hush\"]", "[1]", "[]"]
        {
            let text = format!("[[account]]\nid = \"MA1\"\ntokens = {tokens}\n");
            let refused = load(here(&text).path(), "").unwrap_err().to_string();
            assert!(refused.contains("line 3: tokens: "), "{refused}");
            assert!(!refused.contains("hush"), "{refused}");
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
        let refused = load(temp.path(), &flags).unwrap().check_complete().unwrap_err().to_string();
        assert!(refused.contains("has no [[account]]"), "{refused}");
    }
}
