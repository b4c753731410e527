//! Events files: the callers, events and documents of a simulation.

use std::{fmt, ops::Range, sync::Arc, time::Duration};

use serde::Deserialize;
use toml::{Spanned, Table, Value};

pub use super::fields::AT_MAX;
use super::{ScriptInvitation, ScriptRecording, documents::ScriptDocument, fields::ScriptFields};
use crate::{
    base::ids::{ConferenceName, Dialect},
    conference::{Ask, Kick, KickTarget},
    flow::{ConferenceSound, DialectFlows, is_audio, is_audio_name, is_target},
    media::{AnnouncementKind, Sound, SoundKind},
    sim_phones::PressedKeys,
};

/// A parsed events file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Script {
    /// Dialect of all calls: it selects the defaults of flows.
    pub dialect: Dialect,
    /// All callers, in the order of the file.
    pub callers: Vec<ScriptCaller>,
    /// All events, by time; events of one moment in the order of the file.
    pub events: Vec<ScriptEvent>,
    /// Documents of the simulated web.
    pub documents: Vec<ScriptDocument>,
}

/// A caller of the simulation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScriptCaller {
    /// Name in the events file and in the report.
    pub name: Arc<str>,
    /// Number of the caller; None picks one.
    pub from: Option<Arc<str>>,
    /// Number that is called; None is the name of the flow that the call runs.
    pub to: Option<Arc<str>>,
    /// Trusted user of the phone, for groups and bans.
    pub user: Option<Arc<str>>,
    /// Display name of the caller, if any.
    pub caller_name: Option<Arc<str>>,
    /// Name of the flow that the call runs; None is the main flow.
    pub flow: Option<Arc<str>>,
    /// Whether they do not call, but are called into a conference.
    pub is_dialled: bool,
}

/// An event of the script.
#[derive(Clone, Debug, PartialEq)]
pub struct ScriptEvent {
    /// Time in milliseconds from the beginning.
    pub at_ms: u64,
    /// Line in the events file, from one.
    pub line: usize,
    /// Action of a caller, or request to the API.
    pub action: ScriptAction,
}

/// Kind of an event. Callers are indexes of [`Script::callers`].
#[derive(Clone, Debug, PartialEq)]
pub enum ScriptAction {
    /// A request to the conference API.
    Ask {
        /// Conference of the request; None is the one that the targets are in.
        room: Option<ConferenceName>,
        /// Members that the request names.
        targets: ScriptTargets,
        /// Command for these members.
        command: ScriptMemberCommand,
    },
    /// The caller with this index calls.
    Call(usize),
    /// A REST request hangs up a call.
    Cut(usize),
    /// A REST request calls somebody into a conference.
    Dial(Box<ScriptInvitation>),
    /// A REST request hangs up all members of a conference.
    End(ConferenceName),
    /// The caller uses their phone.
    Phone(usize, ScriptPhoneAction),
    /// A REST request about recordings.
    Record(Box<ScriptRecording>),
    /// A REST request transfers a call to the document at this URL.
    Transfer(usize, Arc<str>),
}

/// Targets of a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ScriptTargets {
    /// All members of the conference.
    All,
    /// The callers with these indexes.
    These(Vec<usize>),
}

/// Action of a caller's phone.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ScriptPhoneAction {
    /// Ends the call from the caller's side.
    HangUp,
    /// Puts the engine on hold (true) or resumes (false).
    Hold(bool),
    /// Presses these keys in sequence.
    Press(PressedKeys),
    /// Talks for this many milliseconds.
    Talk(u32),
}

/// Command of a request about members.
#[derive(Clone, Debug, PartialEq)]
pub enum ScriptMemberCommand {
    /// `kick` with its reason and its continuation.
    Kick(Kick),
    /// `mute` (true) or `unmute`.
    Mute(bool),
    /// `deaf` (true) or `undeaf`.
    Deafen(bool),
    /// `remove`: hangs up the members.
    HangUp,
    /// `play` and `speak`: a sound for the members.
    Announce(AnnouncementKind, Sound),
    /// `stop_play` and `stop_speak`: ends such sounds.
    Hush(AnnouncementKind),
    /// `put_on_hold`, with what they hear; None is each member's wait sound.
    Hold(Option<ConferenceSound>),
    /// `take_off_hold`: lets them back.
    Unhold,
}

impl ScriptMemberCommand {
    /// The ask to the conference's actor.
    pub(super) fn ask(&self, who: crate::conference::MemberSelector) -> Ask {
        match self.clone() {
            Self::Kick(kick) => Ask::Kick { who, kick },
            Self::Mute(on) => Ask::Mute { who, on },
            Self::Deafen(on) => Ask::Deafen { who, on },
            Self::HangUp => Ask::HangUp { who },
            Self::Announce(kind, sound) => Ask::Announce { who, kind, sound },
            Self::Hush(kind) => Ask::Hush { who, kind },
            Self::Hold(sound) => Ask::Hold { who, on: true, sound },
            Self::Unhold => Ask::Hold { who, on: false, sound: None },
        }
    }
}

/// Why an events file cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ScriptError {
    /// The text is not TOML, or has unknown tables.
    #[error("{0}")]
    Toml(String),
    /// A row of the file is invalid.
    #[error("line {line}: {why}")]
    Row {
        /// Line of the row, from one.
        line: usize,
        /// Says what is wrong, and what is expected.
        why: String,
    },
}

/// Limit of events; nobody writes a longer file.
pub const EVENTS_MAX: usize = 10_000;
/// Limit of callers; nobody tries out a larger conference by hand.
pub const CALLERS_MAX: usize = 1_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScriptFile {
    #[serde(default)]
    dialect: Dialect,
    #[serde(default)]
    events: Vec<Spanned<Table>>,
    #[serde(default)]
    documents: Vec<Spanned<Table>>,
}

impl Script {
    /// A script with one caller who listens.
    pub fn one_call() -> Self {
        let caller = ScriptCaller { name: "caller".into(), ..ScriptCaller::default() };
        let event = ScriptEvent { at_ms: 0, line: 0, action: ScriptAction::Call(0) };
        Self { callers: vec![caller], events: vec![event], ..Self::default() }
    }

    /// Parses an events file. `read` returns the text of a file that a document names.
    ///
    /// # Errors
    ///
    /// The line, what is wrong, and what is expected.
    pub fn parse(
        text: &str,
        read: &dyn Fn(&str) -> Result<String, String>,
    ) -> Result<Self, ScriptError> {
        let file: ScriptFile =
            toml::from_str(text).map_err(|it| ScriptError::Toml(it.to_string()))?;
        let ScriptFile { dialect, events, documents } = file;
        let line = |span: Range<usize>| text[..span.start].matches('\n').count() + 1;
        let mut script = Self { dialect, ..Self::default() };
        for row in events {
            let line = line(row.span());
            let added = script.add(line, row.into_inner());
            added.map_err(|why| ScriptError::Row { line, why })?;
        }
        for row in documents {
            let line = line(row.span());
            let document = ScriptDocument::read(ScriptFields::new(row.into_inner()), dialect, read);
            script.documents.push(document.map_err(|why| ScriptError::Row { line, why })?);
        }
        script.events.sort_by_key(|event| event.at_ms);
        Ok(script)
    }

    fn add(&mut self, line: usize, row: Table) -> Result<(), String> {
        if self.events.len() == EVENTS_MAX {
            return Err(format!("more than {EVENTS_MAX} events are too many"));
        }
        let (verb, mut fields) = ScriptFields::of_event(row)?;
        let at_ms = fields.time("at", AT_MAX)?.ok_or("at: say when: 0, 1500 (ms) or \"1m 30s\"")?;
        let action = self.action(verb, &mut fields)?;
        fields.finish_event(verb)?;
        self.events.push(ScriptEvent { at_ms, line, action });
        Ok(())
    }

    fn action(&mut self, verb: &str, fields: &mut ScriptFields) -> Result<ScriptAction, String> {
        Ok(match verb {
            "call" => self.call(fields)?,
            "dial" => self.dial(fields)?,
            "press" => {
                let who = self.caller(fields, verb)?;
                let keys = fields.needed("keys")?.parse().map_err(|it| format!("keys: {it}"))?;
                ScriptAction::Phone(who, ScriptPhoneAction::Press(keys))
            }
            "talk" => {
                let who = self.caller(fields, verb)?;
                let ms = fields.time("for", AT_MAX)?.ok_or("for: say how long: 500 or \"2s\"")?;
                ScriptAction::Phone(
                    who,
                    ScriptPhoneAction::Talk(u32::try_from(ms).unwrap_or(u32::MAX)),
                )
            }
            "hold" => {
                ScriptAction::Phone(self.caller(fields, verb)?, ScriptPhoneAction::Hold(true))
            }
            "resume" => {
                ScriptAction::Phone(self.caller(fields, verb)?, ScriptPhoneAction::Hold(false))
            }
            "hang_up" => ScriptAction::Phone(self.caller(fields, verb)?, ScriptPhoneAction::HangUp),
            "cut" => ScriptAction::Cut(self.caller(fields, verb)?),
            "transfer" => {
                ScriptAction::Transfer(self.caller(fields, verb)?, fields.needed("url")?.into())
            }
            "record" => self.record(fields)?,
            "end" => ScriptAction::End(fields.room(verb)?.ok_or("end: name a conference")?),
            _ => {
                let targets = self.targets(fields, verb)?;
                let command = member_command(verb, fields)?;
                ScriptAction::Ask { room: fields.room("room")?, targets, command }
            }
        })
    }

    fn call(&mut self, fields: &mut ScriptFields) -> Result<ScriptAction, String> {
        let name = fields.needed("call")?;
        self.check_new(&name, "call")?;
        let mut text = |name| Ok::<_, String>(fields.text(name)?.map(Arc::from));
        let (from, to, user) = (text("from")?, text("to")?, text("user")?);
        let (caller_name, flow) = (text("name")?, text("flow")?);
        let (name, is_dialled) = (name.into(), false);
        self.callers.push(ScriptCaller { name, from, to, user, caller_name, flow, is_dialled });
        Ok(ScriptAction::Call(self.callers.len() - 1))
    }

    /// Checks that a name is new, and that there are not too many.
    pub(super) fn check_new(&self, name: &str, verb: &str) -> Result<(), String> {
        if name == "all" || self.callers.iter().any(|it| *it.name == *name) {
            return Err(format!(
                "{verb}: {name:?} is already the name of a caller: choose another name"
            ));
        }
        match self.callers.len() < CALLERS_MAX {
            true => Ok(()),
            false => Err(format!("more than {CALLERS_MAX} callers are too many")),
        }
    }

    fn caller(&self, fields: &mut ScriptFields, verb: &str) -> Result<usize, String> {
        self.find(verb, &fields.needed(verb)?)
    }

    pub(super) fn find(&self, verb: &str, name: &str) -> Result<usize, String> {
        let found = self.callers.iter().position(|it| *it.name == *name);
        found.ok_or_else(|| {
            let names: Vec<_> = self.callers.iter().map(|it| &*it.name).collect();
            let names = if names.is_empty() { "nobody".to_owned() } else { names.join(", ") };
            format!("{verb}: {name:?} has not called in an earlier line; there are: {names}")
        })
    }

    fn targets(&self, fields: &mut ScriptFields, verb: &str) -> Result<ScriptTargets, String> {
        match fields.take(verb) {
            Some(Value::String(name)) if name == "all" => Ok(ScriptTargets::All),
            Some(Value::String(name)) => Ok(ScriptTargets::These(vec![self.find(verb, &name)?])),
            Some(Value::Array(names)) => {
                let name = |it: &Value| match it.as_str() {
                    Some(name) => self.find(verb, name),
                    None => Err(format!("{verb}: {it} is not the name of a caller")),
                };
                Ok(ScriptTargets::These(names.iter().map(name).collect::<Result<_, _>>()?))
            }
            _ => Err(format!("{verb}: name a caller, [several], or \"all\"")),
        }
    }
}

fn member_command(verb: &str, fields: &mut ScriptFields) -> Result<ScriptMemberCommand, String> {
    Ok(match verb {
        "kick" => ScriptMemberCommand::Kick(kick(fields)?),
        "mute" => ScriptMemberCommand::Mute(true),
        "unmute" => ScriptMemberCommand::Mute(false),
        "deaf" => ScriptMemberCommand::Deafen(true),
        "undeaf" => ScriptMemberCommand::Deafen(false),
        "remove" => ScriptMemberCommand::HangUp,
        "play" => {
            let url = fields.needed("url")?;
            if !is_audio(&url) {
                return Err(format!(
                    "url: {url:?} is not a sound: write http(s)://…, flow:NAME or sound:…"
                ));
            }
            ScriptMemberCommand::Announce(AnnouncementKind::Play, SoundKind::Url(url.into()).into())
        }
        "speak" => {
            let text = fields.needed("text")?.into();
            let (voice, language) = ("WOMAN".into(), "en-US".into());
            let speech = SoundKind::Speech { text, voice, language };
            ScriptMemberCommand::Announce(AnnouncementKind::Speak, speech.into())
        }
        "put_on_hold" => ScriptMemberCommand::Hold(hold_sound(fields)?),
        "take_off_hold" => ScriptMemberCommand::Unhold,
        "stop_play" => ScriptMemberCommand::Hush(AnnouncementKind::Play),
        "stop_speak" => ScriptMemberCommand::Hush(AnnouncementKind::Speak),
        _ => return Err(format!("{verb}: no such command")),
    })
}

/// A sound by its name, or a document of Play, Speak and Wait.
fn hold_sound(fields: &mut ScriptFields) -> Result<Option<ConferenceSound>, String> {
    let Some(url) = fields.text("url")? else { return Ok(None) };
    match () {
        () if !is_audio(&url) => Err(format!(
            "url: {url:?} is neither a sound nor a document: write http(s)://…, flow:NAME or sound:…"
        )),
        () if is_target(&url) && !is_audio_name(&url) => {
            Ok(Some(ConferenceSound::Document(url.into())))
        }
        () => Ok(Some(ConferenceSound::BuiltIn(url.into()))),
    }
}

fn kick(fields: &mut ScriptFields) -> Result<Kick, String> {
    let reason = fields.text("reason")?.map(Arc::from);
    let ban = fields.time("ban", AT_MAX)?.map(Duration::from_millis);
    let is_dry = match fields.take("dry_run") {
        None => false,
        Some(Value::Boolean(is_dry)) => is_dry,
        Some(_) => return Err("dry_run: write true or false".to_owned()),
    };
    let target = match fields.take("then") {
        None => KickTarget::Flow,
        Some(Value::String(word)) if word == "hangup" => KickTarget::HangUp,
        Some(Value::Table(then)) => {
            let mut then = ScriptFields::new(then);
            let forms = (then.text("element")?, then.text("xml")?, then.text("url")?);
            then.finish("then", &["element", "xml", "url"])?;
            match forms {
                (Some(id), None, None) => KickTarget::Element(id.into()),
                (None, Some(xml), None) => {
                    let document = DialectFlows::parse(&xml);
                    KickTarget::Document(Box::new(
                        document.map_err(|it| format!("then: xml:{it}"))?,
                    ))
                }
                (None, None, Some(url)) => KickTarget::Fetch(url.into()),
                _ => return Err(THEN.to_owned()),
            }
        }
        Some(_) => return Err(THEN.to_owned()),
    };
    Ok(Kick { reason, target, ban, is_dry_run: is_dry })
}

const THEN: &str =
    "then: write \"hangup\", or { element = \"ID\" }, { xml = \"…\" } or { url = \"…\" }";

/// Describes an event in one line of the log: `kick anna, ben in weekly`.
pub(super) struct EventText<'a>(pub(super) &'a Script, pub(super) &'a ScriptAction);

impl fmt::Display for EventText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(script, action) = self;
        let name = |n: &usize| &*script.callers[*n].name;
        match action {
            ScriptAction::Ask { room, targets, command } => {
                f.write_str(match command {
                    ScriptMemberCommand::Kick(_) => "kick",
                    ScriptMemberCommand::Mute(true) => "mute",
                    ScriptMemberCommand::Mute(false) => "unmute",
                    ScriptMemberCommand::Deafen(true) => "deaf",
                    ScriptMemberCommand::Deafen(false) => "undeaf",
                    ScriptMemberCommand::HangUp => "remove",
                    ScriptMemberCommand::Announce(AnnouncementKind::Play, _) => "play to",
                    ScriptMemberCommand::Announce(AnnouncementKind::Speak, _) => "speak to",
                    ScriptMemberCommand::Hush(AnnouncementKind::Play) => "stop_play to",
                    ScriptMemberCommand::Hush(AnnouncementKind::Speak) => "stop_speak to",
                    ScriptMemberCommand::Hold(_) => "put_on_hold",
                    ScriptMemberCommand::Unhold => "take_off_hold",
                })?;
                match targets {
                    ScriptTargets::All => f.write_str(" all")?,
                    ScriptTargets::These(these) => {
                        let names: Vec<_> = these.iter().map(name).collect();
                        write!(f, " {}", names.join(", "))?;
                    }
                }
                room.iter().try_for_each(|room| write!(f, " in {room}"))
            }
            ScriptAction::Call(who) => write!(f, "{} calls", name(who)),
            ScriptAction::Cut(who) => write!(f, "cut {}", name(who)),
            ScriptAction::Dial(it) => {
                let names: Vec<_> = it.callees.iter().map(name).collect();
                write!(f, "dial {} into {}", names.join(", "), it.room)
            }
            ScriptAction::End(room) => write!(f, "end {room}"),
            ScriptAction::Record(it) => it.text(f, name),
            ScriptAction::Phone(who, ScriptPhoneAction::HangUp) => {
                write!(f, "{} hangs up", name(who))
            }
            ScriptAction::Phone(who, ScriptPhoneAction::Hold(true)) => {
                write!(f, "{} holds", name(who))
            }
            ScriptAction::Phone(who, ScriptPhoneAction::Hold(false)) => {
                write!(f, "{} resumes", name(who))
            }
            ScriptAction::Phone(who, ScriptPhoneAction::Press(keys)) => {
                write!(f, "{} presses {keys}", name(who))
            }
            ScriptAction::Phone(who, ScriptPhoneAction::Talk(ms)) => {
                write!(f, "{} talks for {ms} ms", name(who))
            }
            ScriptAction::Transfer(who, url) => write!(f, "transfer {} to {url}", name(who)),
        }
    }
}
