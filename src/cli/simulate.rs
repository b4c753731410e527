//! `conflow simulate`: its arguments and help.

use std::path::PathBuf;

use clap::Args;

/// Arguments of `conflow simulate`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct SimulateArgs {
    /// The flow: a file NAME.xml. In it, flow:OTHER is OTHER.xml in the same folder.
    pub flow: PathBuf,
    /// Events file: who does what, and when. Without it, one caller calls and listens.
    #[arg(long, value_name = "FILE")]
    pub events: Option<PathBuf>,
    /// Simulate again whenever a file is saved, until Ctrl-C.
    #[arg(long, conflicts_with = "update")]
    pub watch: bool,
    /// Print the report as JSON.
    #[arg(long)]
    pub json: bool,
    /// Shuffle the order of turns with this seed.
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Run the same events in N different orders, and print the different ways in which each call
    /// ends. Exit code 1 if a call does not always end in the same way.
    #[arg(long, value_name = "N", conflicts_with_all = ["seed", "verify", "update"])]
    pub explore: Option<u64>,
    /// Compare the report with a file. Exit code 1 if it differs.
    #[arg(long, value_name = "FILE", conflicts_with = "update")]
    pub verify: Option<PathBuf>,
    /// Write the report into a file, for --verify.
    #[arg(long, value_name = "FILE")]
    pub update: Option<PathBuf>,
}

/// Text after the list of arguments in `--help`.
pub const AFTER_HELP: &str = "\
Examples:
  conflow simulate weekly.xml
  conflow simulate weekly.xml --events weekly.toml
  conflow simulate weekly.xml --events weekly.toml --update weekly.golden
  conflow simulate weekly.xml --events weekly.toml --verify weekly.golden
  conflow simulate weekly.xml --events weekly.toml --explore 10000

An events file is TOML, with one event on each line:

  dialect = \"vobiz\"                                     # or \"plivo\"
  events = [
    { at = 0,      call = \"anna\", from = \"14155550100\", user = \"anna\" },
    { at = \"1s\",   call = \"ben\", flow = \"guest\" },      # runs guest.xml
    { at = \"5s\",   press = \"ben\", keys = \"1#\" },
    { at = \"6s\",   talk = \"anna\", for = \"2.5s\" },
    { at = \"10s\",  kick = \"ben\", reason = \"too loud\" },
    { at = \"1h\",   hang_up = \"anna\" },
  ]
  documents = [                                         # documents on the web
    { url = \"https://example.com/pin\", when = { Digits = \"1234\" }, file = \"in.xml\" },
    { url = \"https://example.com/pin\", xml = \"<Response><Hangup/></Response>\", after = \"200ms\" },
    { url = \"https://example.com/down\", fails = \"no answer\" },
  ]

at, for and after are milliseconds, or texts such as \"1h 2m 3.5s\". Events of phones:
  call (from, to, user, name, flow), press (keys), talk (for), hold, resume, hang_up
Requests to the API, for a caller, [several], or \"all\"; room, if there are several:
  kick (reason; then = \"hangup\", { element = \"ID\" }, { xml = \"…\" } or { url = \"…\" }; ban = \"10m\";
  dry_run = true), mute, unmute, deaf, undeaf, play (url), speak (text), stop_play,
  stop_speak, put_on_hold (url), take_off_hold, remove (hang up members); end = \"ROOM\" (hang up all
  of it), cut (hang up a call), transfer (url)
  record = \"start\" (time_limit, callback_url), \"stop\", \"pause\" or \"resume\", of caller = \"NAME\" or
  room = \"ROOM\"
  dial = \"NEW NAME\" or [several] calls somebody into room = \"ROOM\": to (such as \"sim:x?busy\", with <
  between them; by default, they answer after 2 s), from, user, and the parameters of
  POST Conference/{name}/Member/, such as confirm_key, muted, on_exit_action_url

If several documents have one URL, those with a matching `when` come first; each is used once, and
the last one repeatedly. Within a moment, what has begun ends first, and events follow the order of
the file; --seed and --explore shuffle both. Callbacks are not sent; those of recordings are listed.
Calls of POST Call/ are not simulated.";
