//! Events files: who does what at which moment, as an author writes it down.

use std::{fmt, ops::Range, sync::Arc, time::Duration};

use serde::Deserialize;
use toml::{Spanned, Table, Value};

pub use super::fields::AT_MAX;
use super::{documents::ScriptDocument, fields::ScriptFields};
use crate::{
    base::ids::{ConferenceName, Dialect},
    conference::{Ask, Kick, KickTarget},
    flow::{DialectFlows, is_audio},
    media::{AnnouncementKind, Sound, SoundKind},
    sim_phones::PressedKeys,
};

/// Who does what, and when.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Script {
    /// Whose defaults hold.
    pub dialect: Dialect,
    /// Who calls, in the order of the file.
    pub callers: Vec<ScriptCaller>,
    /// In order of time; within a moment, of the file.
    pub events: Vec<ScriptEvent>,
    /// What the web has.
    pub documents: Vec<ScriptDocument>,
}

/// Somebody with a phone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScriptCaller {
    /// By which the file knows it.
    pub name: Arc<str>,
    /// Its number; else one is made up.
    pub from: Option<Arc<str>>,
    /// The called number; else the flow's name.
    pub to: Option<Arc<str>>,
    /// Who holds it, for the engine to trust in.
    pub user: Option<Arc<str>>,
    /// The display name.
    pub caller_name: Option<Arc<str>>,
    /// The flow that it runs, beside the main one; else that one.
    pub flow: Option<Arc<str>>,
}

/// Something that happens.
#[derive(Clone, Debug, PartialEq)]
pub struct ScriptEvent {
    /// When, in milliseconds.
    pub at_ms: u64,
    /// In the file.
    pub line: usize,
    /// What.
    pub action: ScriptAction,
}

/// What happens. Callers are named by their place in [`Script::callers`].
#[derive(Clone, Debug, PartialEq)]
pub enum ScriptAction {
    /// A request about members.
    Ask {
        /// Of which conference; else of the one that they are in.
        room: Option<ConferenceName>,
        /// Whom.
        targets: ScriptTargets,
        /// What.
        command: ScriptMemberCommand,
    },
    /// Somebody calls.
    Call(usize),
    /// A request to hang up a call.
    Cut(usize),
    /// A request to hang up whoever is in a conference.
    End(ConferenceName),
    /// A phone is used.
    Phone(usize, ScriptPhoneAction),
    /// A request to let a call run another document.
    Transfer(usize, Arc<str>),
}

/// Whom a request is about.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ScriptTargets {
    /// Whoever is in the conference.
    All,
    /// These callers.
    These(Vec<usize>),
}

/// What a phone does.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ScriptPhoneAction {
    /// Hangs up.
    HangUp,
    /// Holds the engine, or is back.
    Hold(bool),
    /// Presses keys.
    Press(PressedKeys),
    /// Talks for so many milliseconds.
    Talk(u32),
}

/// What a request about members wants.
#[derive(Clone, Debug, PartialEq)]
pub enum ScriptMemberCommand {
    /// `kick`, why, and what follows.
    Kick(Kick),
    /// `mute` and `unmute`.
    Mute(bool),
    /// `deaf` and `undeaf`.
    Deafen(bool),
    /// `remove`.
    HangUp,
    /// `play` and `speak`.
    Announce(AnnouncementKind, Sound),
    /// `stop_play` and `stop_speak`.
    Hush(AnnouncementKind),
}

impl ScriptMemberCommand {
    /// What the conference is asked.
    pub(super) fn ask(&self, who: crate::conference::MemberSelector) -> Ask {
        match self.clone() {
            Self::Kick(kick) => Ask::Kick { who, kick },
            Self::Mute(on) => Ask::Mute { who, on },
            Self::Deafen(on) => Ask::Deafen { who, on },
            Self::HangUp => Ask::HangUp { who },
            Self::Announce(kind, sound) => Ask::Announce { who, kind, sound },
            Self::Hush(kind) => Ask::Hush { who, kind },
        }
    }
}

/// An events file cannot be read.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ScriptError {
    /// It is no TOML, or has other tables than it may.
    #[error("{0}")]
    Toml(String),
    /// A row makes no sense.
    #[error("line {line}: {why}")]
    Row {
        /// The row's.
        line: usize,
        /// What is wrong, and what is expected.
        why: String,
    },
}

/// More is no script that anybody has written.
pub const EVENTS_MAX: usize = 10_000;
/// No conference that is tried out by hand is larger.
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
    /// One that has a single call, and nothing else.
    pub fn one_call() -> Self {
        let caller = ScriptCaller { name: "caller".into(), ..ScriptCaller::default() };
        let event = ScriptEvent { at_ms: 0, line: 0, action: ScriptAction::Call(0) };
        Self { callers: vec![caller], events: vec![event], ..Self::default() }
    }

    /// Reads an events file. `read` brings the text of a file that a document names.
    ///
    /// # Errors
    ///
    /// Where it is wrong, and what is expected there.
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
        if name == "all" || self.callers.iter().any(|it| *it.name == *name) {
            return Err(format!("call: {name:?} is taken: give this caller another name"));
        }
        if self.callers.len() == CALLERS_MAX {
            return Err(format!("more than {CALLERS_MAX} callers are too many"));
        }
        let mut text = |name| Ok::<_, String>(fields.text(name)?.map(Arc::from));
        let (from, to, user) = (text("from")?, text("to")?, text("user")?);
        let (caller_name, flow) = (text("name")?, text("flow")?);
        self.callers.push(ScriptCaller { name: name.into(), from, to, user, caller_name, flow });
        Ok(ScriptAction::Call(self.callers.len() - 1))
    }

    fn caller(&self, fields: &mut ScriptFields, verb: &str) -> Result<usize, String> {
        self.find(verb, &fields.needed(verb)?)
    }

    fn find(&self, verb: &str, name: &str) -> Result<usize, String> {
        let found = self.callers.iter().position(|it| *it.name == *name);
        found.ok_or_else(|| {
            let names: Vec<_> = self.callers.iter().map(|it| &*it.name).collect();
            let names = if names.is_empty() { "nobody".to_owned() } else { names.join(", ") };
            format!("{verb}: {name:?} has not called in a line above; there are: {names}")
        })
    }

    fn targets(&self, fields: &mut ScriptFields, verb: &str) -> Result<ScriptTargets, String> {
        match fields.take(verb) {
            Some(Value::String(name)) if name == "all" => Ok(ScriptTargets::All),
            Some(Value::String(name)) => Ok(ScriptTargets::These(vec![self.find(verb, &name)?])),
            Some(Value::Array(names)) => {
                let name = |it: &Value| match it.as_str() {
                    Some(name) => self.find(verb, name),
                    None => Err(format!("{verb}: {it} is no caller's name")),
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
                    "url: {url:?} is no sound: give http(s)://…, flow:NAME or sound:…"
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
        "stop_play" => ScriptMemberCommand::Hush(AnnouncementKind::Play),
        "stop_speak" => ScriptMemberCommand::Hush(AnnouncementKind::Speak),
        _ => return Err(format!("{verb}: nobody does that")),
    })
}

fn kick(fields: &mut ScriptFields) -> Result<Kick, String> {
    let reason = fields.text("reason")?.map(Arc::from);
    let ban = fields.time("ban", AT_MAX)?.map(Duration::from_millis);
    let is_dry = match fields.take("dry_run") {
        None => false,
        Some(Value::Boolean(is_dry)) => is_dry,
        Some(_) => return Err("dry_run: write true or false".to_owned()),
    };
    let course = match fields.take("then") {
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
    Ok(Kick { reason, target: course, ban, is_dry_run: is_dry })
}

const THEN: &str =
    "then: write \"hangup\", or { element = \"ID\" }, { xml = \"…\" } or { url = \"…\" }";

/// What an event says, in one line, for a log: `kick anna, ben in weekly`.
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
            ScriptAction::End(room) => write!(f, "end {room}"),
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
