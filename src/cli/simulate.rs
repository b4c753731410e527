//! `conflow simulate`: a flow is tried out, with callers who do what an events file says.

use std::path::PathBuf;

use clap::Args;

/// What is to be simulated, and what is to be told of it.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct SimulateArgs {
    /// The flow: a file NAME.xml. flow:OTHER in it leads to OTHER.xml beside it.
    pub flow: PathBuf,
    /// Who does what, and when; without it, one caller calls, and listens.
    #[arg(long, value_name = "FILE")]
    pub events: Option<PathBuf>,
    /// Again whenever a file has been saved, until Ctrl-C.
    #[arg(long, conflicts_with = "update")]
    pub watch: bool,
    /// Tell it as JSON.
    #[arg(long)]
    pub json: bool,
    /// Take turns in the order that this seed shuffles.
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Try so many orders of the same events, and tell whose call does not always go the same
    /// way. Exit code 1 if there is one.
    #[arg(long, value_name = "N", conflicts_with_all = ["seed", "verify", "update"])]
    pub explore: Option<u64>,
    /// Compare with what a file has. Exit code 1 if it differs.
    #[arg(long, value_name = "FILE", conflicts_with = "update")]
    pub verify: Option<PathBuf>,
    /// Write it into a file, for --verify.
    #[arg(long, value_name = "FILE")]
    pub update: Option<PathBuf>,
}

/// Below the help.
pub const AFTER_HELP: &str = "\
Examples:
  conflow simulate weekly.xml
  conflow simulate weekly.xml --events weekly.toml
  conflow simulate weekly.xml --events weekly.toml --update weekly.golden
  conflow simulate weekly.xml --events weekly.toml --verify weekly.golden
  conflow simulate weekly.xml --events weekly.toml --explore 10000

An events file is TOML, one event in a line:

  dialect = \"vobiz\"                                     # or \"plivo\"
  events = [
    { at = 0,      call = \"anna\", from = \"14155550100\", user = \"anna\" },
    { at = \"1s\",   call = \"ben\", flow = \"guest\" },      # runs guest.xml
    { at = \"5s\",   press = \"ben\", keys = \"1#\" },
    { at = \"6s\",   talk = \"anna\", for = \"2.5s\" },
    { at = \"10s\",  kick = \"ben\", reason = \"too loud\" },
    { at = \"1h\",   hang_up = \"anna\" },
  ]
  documents = [                                         # what the web has
    { url = \"https://example.com/pin\", when = { Digits = \"1234\" }, file = \"in.xml\" },
    { url = \"https://example.com/pin\", xml = \"<Response><Hangup/></Response>\", after = \"200ms\" },
    { url = \"https://example.com/down\", fails = \"no answer\" },
  ]

at, for and after are milliseconds, or as \"1h 2m 3.5s\". Events of phones:
  call (from, to, user, name, flow), press (keys), talk (for), hold, resume, hang_up
Requests of the API, about a caller, [several], or \"all\"; room, if there are several:
  kick (reason; then = \"hangup\", { element = \"ID\" }, { xml = \"…\" } or { url = \"…\" }; ban = \"10m\";
  dry_run = true), mute, unmute, deaf, undeaf, play (url), speak (text), stop_play,
  stop_speak, remove (hang up members); end = \"ROOM\" (hang up all of it), cut (hang up a call),
  transfer (url)

Of several documents with one URL, those whose `when` fits go first; each is used once, and the
last for ever. Within a moment, what has begun comes to its end first, and events follow the order
of the file; --seed and --explore shuffle all of that. Recordings, callbacks and outgoing calls are
not simulated.";
