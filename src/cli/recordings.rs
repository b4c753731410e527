//! Recordings: the settings of the table `[recordings]`, and the command `conflow recordings`.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    str::FromStr,
};

use clap::{ArgGroup, Args, Subcommand};
use serde::{Deserialize, Serialize, Serializer};
use url::Url;

use super::{events::OutputFormat, values::Count};
use crate::base::ids::AccountId;

/// One layer of the table `[recordings]`.
#[derive(Args, Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct RecordingSettings {
    /// Free space below which no recording begins, in megabytes; 0 for any [default: 512].
    #[arg(
        id = "recordings_free_min_mb",
        long = "recordings-free-min-mb",
        env = "CONFLOW_RECORDINGS_FREE_MIN_MB",
        value_name = "MB",
        help_heading = "Recordings"
    )]
    pub free_min_mb: Option<Count<0, 1_000_000>>,
    /// Free space below which running recordings end, the newest first, in megabytes [default: 128].
    #[arg(
        id = "recordings_free_stop_mb",
        long = "recordings-free-stop-mb",
        env = "CONFLOW_RECORDINGS_FREE_STOP_MB",
        value_name = "MB",
        help_heading = "Recordings"
    )]
    pub free_stop_mb: Option<Count<0, 1_000_000>>,
    /// Recordings at a time [default: 1000].
    #[arg(
        id = "recordings_max",
        long = "recordings-max",
        env = "CONFLOW_RECORDINGS_MAX",
        value_name = "N",
        help_heading = "Recordings"
    )]
    pub max: Option<Count<0, 100_000>>,
    /// Days after which recordings are deleted, 0 for never [default: 0].
    #[arg(
        id = "recordings_keep_days",
        long = "recordings-keep-days",
        env = "CONFLOW_RECORDINGS_KEEP_DAYS",
        value_name = "DAYS",
        help_heading = "Recordings"
    )]
    pub keep_days: Option<Count<0, 36_500>>,
    /// Gigabytes of an account's recordings beyond which the oldest are deleted, 0 for no limit
    /// [default: 0].
    #[arg(
        id = "recordings_keep_gb",
        long = "recordings-keep-gb",
        env = "CONFLOW_RECORDINGS_KEEP_GB",
        value_name = "GB",
        help_heading = "Recordings"
    )]
    pub keep_gb: Option<Count<0, 1_000_000>>,
    /// Scheme and host in the URLs of recordings, by which clients reach this server [default: the
    /// address of the HTTP server].
    #[arg(
        id = "recordings_url",
        long = "recordings-url",
        env = "CONFLOW_RECORDINGS_URL",
        value_name = "URL",
        help_heading = "Recordings"
    )]
    pub url: Option<PublicUrl>,
    /// Seconds for which such a URL opens the audio without credentials [default: 3600].
    #[arg(
        id = "recordings_url_ttl",
        long = "recordings-url-ttl",
        env = "CONFLOW_RECORDINGS_URL_TTL",
        value_name = "SECONDS",
        help_heading = "Recordings"
    )]
    pub url_ttl: Option<Count<1, 31_536_000>>,
    /// Program that makes MP3 files: auto (lame, else ffmpeg, if one is installed), off, or a path
    /// [default: auto].
    #[arg(
        id = "recordings_mp3",
        long = "recordings-mp3",
        env = "CONFLOW_RECORDINGS_MP3",
        value_name = "auto|off|PATH",
        help_heading = "Recordings"
    )]
    pub mp3: Option<Mp3Setting>,
    /// What single accounts keep; in a file only.
    #[arg(skip)]
    pub accounts: BTreeMap<AccountId, KeepSettings>,
}

/// What one account keeps, in `[recordings.accounts]`.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct KeepSettings {
    /// Days after which its recordings are deleted; None: as for all accounts.
    pub keep_days: Option<Count<0, 36_500>>,
    /// Gigabytes beyond which the oldest are deleted; None: as for all accounts.
    pub keep_gb: Option<Count<0, 1_000_000>>,
}

/// An HTTP URL of this server as others reach it: without a path, a query or credentials.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "String")]
pub struct PublicUrl(pub String);

/// The program that makes MP3 files.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(try_from = "String")]
pub enum Mp3Setting {
    /// `lame`, else `ffmpeg`, if one is in PATH.
    #[default]
    Auto,
    /// None: all recordings are WAV files.
    Off,
    /// The program at this path.
    Path(PathBuf),
}

impl RecordingSettings {
    /// These settings; where they are None, those of `below`. Accounts come from `below`.
    pub fn over(self, below: Self) -> Self {
        Self {
            free_min_mb: self.free_min_mb.or(below.free_min_mb),
            free_stop_mb: self.free_stop_mb.or(below.free_stop_mb),
            max: self.max.or(below.max),
            keep_days: self.keep_days.or(below.keep_days),
            keep_gb: self.keep_gb.or(below.keep_gb),
            url: self.url.or(below.url),
            url_ttl: self.url_ttl.or(below.url_ttl),
            mp3: self.mp3.or(below.mp3),
            accounts: below.accounts,
        }
    }
}

impl FromStr for PublicUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted =
            || format!("write scheme and host, such as https://voice.example.com, not {text:?}");
        let url = Url::parse(text).map_err(|_| wanted())?;
        let is_bare = ["http", "https"].contains(&url.scheme())
            && url.has_host()
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        match is_bare {
            true => Ok(Self(text.trim_end_matches('/').to_owned())),
            false => Err(wanted()),
        }
    }
}

impl TryFrom<String> for PublicUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl FromStr for Mp3Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "off" => Ok(Self::Off),
            path if path.contains('/') => Ok(Self::Path(path.into())),
            _ => Err(format!("write auto, off, or a path such as /usr/bin/lame, not {text:?}")),
        }
    }
}

impl TryFrom<String> for Mp3Setting {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl Serialize for Mp3Setting {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::Off => serializer.serialize_str("off"),
            Self::Path(path) => serializer.serialize_str(&path.to_string_lossy()),
        }
    }
}

/// Subcommands of `conflow recordings`.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum RecordingsCommand {
    /// List the recordings of a data folder, oldest first; an engine may be running on it.
    List(ListRecordings),
    /// Compare rows and files: sizes, headers, files without a row. Exit code 1 if one is wrong.
    #[command(after_help = AFTER_VERIFY)]
    Verify(VerifyRecordings),
    /// Delete old recordings, by age or by size; an engine may be running on the folder.
    #[command(after_help = AFTER_PRUNE)]
    Prune(PruneRecordings),
}

/// Arguments of `recordings list`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct ListRecordings {
    /// Only those of this account.
    #[arg(long, value_name = "ID")]
    pub account: Option<AccountId>,
    /// Form of the output.
    #[arg(long, value_enum, default_value_t)]
    pub format: OutputFormat,
    /// Data folder of the engine.
    #[arg(long, value_name = "DIR", default_value = "data", env = "CONFLOW_DATA")]
    pub data: PathBuf,
}

/// Arguments of `recordings verify`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct VerifyRecordings {
    /// Data folder of the engine.
    #[arg(long, value_name = "DIR", default_value = "data", env = "CONFLOW_DATA")]
    pub data: PathBuf,
}

/// Arguments of `recordings prune`.
#[derive(Args, Clone, Debug, PartialEq)]
#[command(group = ArgGroup::new("limit").required(true).multiple(true))]
pub struct PruneRecordings {
    /// Delete those that began so many days ago or earlier; 0 for all that have ended.
    #[arg(long, value_name = "DAYS", group = "limit")]
    pub older_than: Option<Count<0, 36_500>>,
    /// Delete the oldest of each account until its files have so many gigabytes at most.
    #[arg(long, value_name = "GB", group = "limit")]
    pub keep_gb: Option<Count<0, 1_000_000>>,
    /// Only those of this account.
    #[arg(long, value_name = "ID")]
    pub account: Option<AccountId>,
    /// Print what would be deleted, and delete nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Data folder of the engine.
    #[arg(long, value_name = "DIR", default_value = "data", env = "CONFLOW_DATA")]
    pub data: PathBuf,
}

impl RecordingsCommand {
    /// The data folder that the command is about.
    pub fn data(&self) -> &Path {
        match self {
            Self::List(it) => &it.data,
            Self::Verify(it) => &it.data,
            Self::Prune(it) => &it.data,
        }
    }
}

/// Text below the help of the command.
pub(super) const AFTER_HELP: &str = "\
Examples:
  conflow recordings list --account MA00000000000000000A
  conflow recordings verify --data /var/lib/conflow
  conflow recordings prune --older-than 90 --dry-run

The files are DATA/recordings/YYYY/MM/DD/ID.wav, their rows are in DATA/conflow.db. While the engine runs,
keep_days and keep_gb in [recordings] delete old ones by themselves.";

const AFTER_VERIFY: &str = "\
Each recording that has ended must have its file, with the size of its row and the header of its format;
each file must have a row. What is wrong is printed, and nothing is changed. Recordings that begin or end
meanwhile are looked at twice.";

const AFTER_PRUNE: &str = "\
Examples:
  conflow recordings prune --older-than 90 --dry-run
  conflow recordings prune --keep-gb 500
  conflow recordings prune --account MA00000000000000000A --older-than 0      all of an account

File and row are deleted for good, the oldest first. Running recordings stay. 1 GB is 1,000,000,000 bytes.";

#[cfg(test)]
mod tests {
    use super::{
        super::{Command, parse},
        *,
    };

    #[test]
    fn a_public_url_is_a_scheme_and_a_host() {
        for text in ["https://voice.example.com", "http://10.0.0.1:8080", "http://[::1]:80"] {
            assert_eq!(text.parse(), Ok(PublicUrl(text.to_owned())));
        }
        assert_eq!("http://a.example/".parse(), Ok(PublicUrl("http://a.example".to_owned())));
        for text in [
            "",
            "voice.example.com",
            "ftp://a.example",
            "https://a.example/path",
            "https://a.example?x",
            "https://a.example#x",
            "https://user@a.example",
            "https://",
        ] {
            let error = text.parse::<PublicUrl>().unwrap_err();
            assert!(error.ends_with(&format!("not {text:?}")), "{error}");
        }
    }

    #[test]
    fn an_encoder_is_one_of_two_words_or_a_path() {
        let parse = |text: &str| text.parse::<Mp3Setting>();
        assert_eq!(parse("auto"), Ok(Mp3Setting::Auto));
        assert_eq!(parse("off"), Ok(Mp3Setting::Off));
        assert_eq!(parse("/usr/bin/lame"), Ok(Mp3Setting::Path("/usr/bin/lame".into())));
        for text in ["", "lame", "Auto"] {
            assert!(parse(text).unwrap_err().contains("auto, off, or a path"));
        }
    }

    #[test]
    fn pruning_needs_a_limit() {
        let check = |line: &str, expected| {
            let line = format!("conflow recordings {line}");
            let parsed = parse(line.split_whitespace().map(Into::into));
            let is_good = matches!(parsed, Ok(Command::Recordings(_)));
            assert_eq!(is_good, expected, "{line}: {parsed:?}");
        };
        check("list", true);
        check("list --account MA1 --format json --data d", true);
        check("verify --data d", true);
        check("prune --older-than 90", true);
        check("prune --keep-gb 5 --older-than 0 --account MA1 --dry-run", true);
        check("prune", false);
        check("prune --dry-run", false);
        check("prune --older-than -1", false);
        check("", false);
    }
}
