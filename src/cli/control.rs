//! Commands that look at the conferences and calls of a running server, and act on them: their arguments
//! and help.

use std::str::FromStr;

use clap::Args;
use serde_json::{Value, json};

use super::{login::ServerArgs, values::Count};
use crate::base::ids::{CallId, ConferenceName};

/// Server, account and form of the output of a command that acts.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct ControlOptions {
    /// Server and account that the command is for.
    #[command(flatten)]
    pub server: ServerArgs,
    /// Print the API's JSON response; of a list, one object per line.
    #[arg(long)]
    pub json: bool,
}

/// Members of a conference, as arguments name them.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct MembersOfRoom {
    /// Name of the conference.
    #[arg(value_name = "CONFERENCE")]
    pub conference: ConferenceName,
    /// Member ids with commas between them, or `all`.
    #[arg(value_name = "MEMBERS")]
    pub members: String,
}

/// Arguments of `conflow rooms`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct RoomsArgs {
    /// Server, account and output.
    #[command(flatten)]
    pub options: ControlOptions,
}

/// Arguments of `conflow members`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct MembersArgs {
    /// Name of the conference.
    #[arg(value_name = "CONFERENCE")]
    pub conference: ConferenceName,
    /// Server, account and output.
    #[command(flatten)]
    pub options: ControlOptions,
}

/// Arguments of `conflow kick`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct KickArgs {
    /// Members that leave the conference.
    #[command(flatten)]
    pub members: MembersOfRoom,
    /// Only print what each of them would run next.
    #[arg(long)]
    pub dry_run: bool,
    /// Where they continue: `hangup`, the id of an element of their flow, a document (it begins with
    /// `<`), or the URL of one [default: as their flow says].
    #[arg(long, value_name = "TARGET")]
    pub then: Option<KickThen>,
    /// Text for their flow (`${kick.reason}`), events and traces.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Keep them out of the conference for this many seconds.
    #[arg(long, value_name = "SECONDS")]
    pub ban: Option<Count<1, { u32::MAX }>>,
    /// Server, account and output.
    #[command(flatten)]
    pub options: ControlOptions,
}

/// The target of a kick, as the API's `then` has it.
#[derive(Clone, Debug, PartialEq)]
pub struct KickThen(pub Value);

impl FromStr for KickThen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        Ok(Self(match text {
            "" => return Err("name a target, or leave --then out".to_owned()),
            "hangup" => json!("hangup"),
            _ if text.starts_with('<') => json!({ "xml": text }),
            _ if text.contains("://") || text.starts_with("flow:") => json!({ "url": text }),
            _ => json!({ "element": text }),
        }))
    }
}

/// Arguments of `conflow mute`, `deaf` and `hold`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct SwitchArgs {
    /// Members that it is done to.
    #[command(flatten)]
    pub members: MembersOfRoom,
    /// Undo it instead of doing it.
    #[arg(long)]
    pub off: bool,
    /// Server, account and output.
    #[command(flatten)]
    pub options: ControlOptions,
}

/// Arguments of `conflow say`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct SayArgs {
    /// Members that hear it.
    #[command(flatten)]
    pub members: MembersOfRoom,
    /// Text that is spoken.
    #[arg(value_name = "TEXT")]
    pub text: String,
    /// Language of the text, such as en-GB [default: the server's].
    #[arg(long, value_name = "TAG")]
    pub language: Option<String>,
    /// Server, account and output.
    #[command(flatten)]
    pub options: ControlOptions,
}

/// Arguments of `conflow play`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct PlayArgs {
    /// Members that hear it.
    #[command(flatten)]
    pub members: MembersOfRoom,
    /// URL of the sound, flow:NAME for a sound document, or sound:beep, sound:ring or sound:hold.
    #[arg(value_name = "SOUND", required_unless_present = "stop")]
    pub sound: Option<String>,
    /// Stop what is played.
    #[arg(long, conflicts_with = "sound")]
    pub stop: bool,
    /// Server, account and output.
    #[command(flatten)]
    pub options: ControlOptions,
}

/// Arguments of `conflow calls`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct CallsArgs {
    /// List at most this many.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub limit: usize,
    /// Server, account and output.
    #[command(flatten)]
    pub options: ControlOptions,
}

/// Arguments of `conflow call`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct CallArgs {
    /// Number or SIP URI that is called; sim:NAME is a simulated phone.
    #[arg(value_name = "TO")]
    pub to: String,
    /// Number that the call shows.
    #[arg(long, value_name = "NUMBER")]
    pub from: String,
    /// URL of the document that runs when it is answered; flow:NAME is a file of the flows folder.
    #[arg(long, value_name = "URL")]
    pub answer_url: String,
    /// Server, account and output.
    #[command(flatten)]
    pub options: ControlOptions,
}

/// Arguments of `conflow hangup`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct HangupArgs {
    /// The call_uuid of a live call.
    #[arg(value_name = "CALL_UUID")]
    pub call: CallId,
    /// Server, account and output.
    #[command(flatten)]
    pub options: ControlOptions,
}

/// Text below the help of `conflow kick`.
pub const KICK_AFTER_HELP: &str = "\
Examples:
  conflow kick weekly 3 --dry-run               what would member 3 run next?
  conflow kick weekly 3,4 --reason \"The room is closed.\"
  conflow kick weekly all --then goodbye        all continue at the element with this id
  conflow kick weekly 3 --then '<Response><Speak>Goodbye.</Speak></Response>'
  conflow kick weekly 3 --ban 600               and they do not come back for ten minutes

The members have left when the command returns. Without --then each continues as its own flow says.";

/// Text below the help of `conflow rooms`.
pub const ROOMS_AFTER_HELP: &str = "\
Examples:
  conflow rooms                                 then: members, kick, mute, deaf, hold, say, play
  CONFLOW_AUTH_TOKEN=… conflow rooms --url https://conflow.example --account MA…

Each conference is a line: its name, the number of its members, and how many seconds it has lasted.";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::Command, super::parse, *};

    #[test]
    fn what_is_done_and_to_which_members_is_read() {
        let check = |line: &str, expected: bool| {
            let parsed = parse(line.split_whitespace().map(Into::into));
            assert_eq!(parsed.is_ok(), expected, "{line}: {parsed:?}");
        };
        check("conflow rooms --json --url http://a --account MA1", true);
        check("conflow members weekly", true);
        check("conflow members", false);
        check("conflow kick weekly 3,4 --dry-run --ban 60 --reason late", true);
        check("conflow kick weekly", false);
        check("conflow kick weekly 3 --ban 0", false);
        check("conflow mute weekly all --off", true);
        check("conflow deaf weekly 3", true);
        check("conflow hold weekly 3", true);
        check("conflow say weekly all hello --language de-DE", true);
        check("conflow say weekly all", false);
        check("conflow play weekly all sound:beep", true);
        check("conflow play weekly all --stop", true);
        check("conflow play weekly all", false);
        check("conflow calls --limit 3", true);
        check("conflow call sim:anna --from 1 --answer-url flow:kick", true);
        check("conflow call sim:anna", false);
        check("conflow hangup x", false);
        check("conflow completions bash", true);
        check("conflow completions basic", false);
    }

    #[test]
    fn a_target_has_the_form_of_the_api() {
        let check = |text: &str, expected| {
            let line = ["conflow", "kick", "weekly", "3", "--then", text];
            match parse(line.map(Into::into)) {
                Ok(Command::Kick(it)) => assert_eq!(it.then, Some(KickThen(expected))),
                other => panic!("{text}: {other:?}"),
            }
        };
        check("hangup", json!("hangup"));
        check("bye", json!({ "element": "bye" }));
        check(" <Response/>", json!({ "xml": "<Response/>" }));
        check("https://a.example/x", json!({ "url": "https://a.example/x" }));
        check("flow:kick", json!({ "url": "flow:kick" }));
        assert!("".parse::<KickThen>().is_err());
    }
}
