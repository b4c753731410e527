//! Call flows: XML documents that say what a call does, one element after the other.
//!
//! [`Flow::parse`] reads a whole document before any of it runs. A [`Run`] is a flow under way on
//! one call: events and the time go in, effects come out; it waits for nothing and reads no clock.

mod attrs;
mod branch;
mod cause;
pub mod check;
mod continuation;
mod digits;
mod element;
mod error;
mod field;
mod forecast;
mod position;
pub mod reference;
mod run;
mod url;
mod variable;
pub mod verbs;
mod xml;

use std::{fmt, sync::Arc, time::Duration};

pub(crate) use self::variable::has_variables;
use self::{attrs::ElementReader, element::XmlElement, position::PositionCounter, verbs::RESPONSE};
pub use self::{
    attrs::{Attr, AttrKind},
    branch::{Branch, Branches, ID},
    cause::{AfterExit, Cause, Exit},
    continuation::DialectFlows,
    error::{FlowError, FlowErrorKind, FlowWarning, FlowWarningKind},
    forecast::Forecast,
    position::TextPosition,
    run::Run,
    url::{is_audio, is_target},
    variable::{Variable, VariableValues},
    verbs::Verb,
};
use crate::{
    base::ids::{ConferenceName, Dialect},
    group::{GroupId, Rank},
    media::{Ending, Program, Sound},
};

/// A parsed flow, and what its author may want to know about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Flow {
    /// Whose defaults hold.
    pub dialect: Dialect,
    /// Its elements in the order in which they run; those inside `<PreAnswer>` follow it.
    pub steps: Vec<FlowStep>,
    /// What is odd in it, in the order of the document.
    pub warnings: Vec<FlowWarning>,
}

/// One element, and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct FlowStep {
    /// The place of its `<`.
    pub at: TextPosition,
    /// It stands in `<PreAnswer>`: it does not answer the call.
    pub is_early: bool,
    /// Its name, unique in the flow.
    pub id: Option<Arc<str>>,
    /// Where it leads, but for the next element.
    pub branches: Branches,
    /// What it does.
    pub verb: Verb,
}

/// What happens to a call while its flow runs.
#[derive(Clone, Debug, PartialEq)]
pub enum FlowEvent {
    /// The far end pressed a key.
    Digit(char),
    /// The document that was asked for is here, or cannot be had.
    Fetched(Fetched),
    /// The call is out of its conference, or was not let in, and is up.
    Left(Exit),
    /// What was to be played or sent is over.
    Over,
    /// The far end began (true) or ceased to talk.
    Talk(bool),
    /// A [`Run::deadline`] has passed.
    Tick,
}

/// What a flow asks of the world, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// An element begins: its number within the flow, from zero.
    Begin {
        /// The number.
        step: u32,
    },
    /// Picks up the call, unless that has been done.
    Answer,
    /// Opens early media, unless the call is answered.
    EarlyMedia,
    /// Plays a program; [`FlowEvent::Over`] says that it is over.
    Play(Program),
    /// Says what will be played, if nothing comes between.
    Prepare(Program),
    /// Stops what is played; no event follows.
    Stop,
    /// Sends key presses.
    SendDigits {
        /// Of `0-9*#`, `w` and `W`.
        digits: Arc<str>,
        /// Whether [`FlowEvent::Over`] is awaited.
        awaits: bool,
    },
    /// These keys have been entered; none, if they belong into no log.
    Entered(Arc<str>),
    /// Moves the call into a conference; [`FlowEvent::Left`] says that it is out again.
    Join {
        /// Which.
        room: ConferenceName,
        /// On what terms.
        options: Arc<JoinOptions>,
    },
    /// Asks for a document; [`FlowEvent::Fetched`] brings it.
    Fetch(DocumentRequest),
    /// Tells a URL, and lets the answer be.
    Notify(DocumentRequest),
    /// Ends the call after so long, whatever it does then.
    Schedule(Duration),
    /// Ends the call. Nothing follows.
    End(Ending),
}

/// A request for a document.
#[derive(Clone, Eq, PartialEq)]
pub struct DocumentRequest {
    /// `http(s)://…` or `flow:NAME`; as the author wrote it.
    pub url: Arc<str>,
    /// GET or POST.
    pub method: RequestMethod,
    /// What the document is for: it decides how a failure ends the call.
    pub purpose: Purpose,
    /// Fields beside the standard ones, in order (`Digits`, `ConferenceName`, …).
    pub fields: Vec<(&'static str, String)>,
    /// The fields' values belong into no log and no trace (`log="false"`); Debug leaves them out.
    pub is_private: bool,
}

impl fmt::Debug for DocumentRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, method, purpose, fields, is_private } = self;
        let mut request = f.debug_struct("DocumentRequest");
        request.field("url", url).field("method", method).field("purpose", purpose);
        match is_private {
            true => request.field("fields", &"private"),
            false => request.field("fields", fields),
        };
        request.finish()
    }
}

/// How a URL is requested.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum RequestMethod {
    /// The fields are in the query.
    Get,
    /// The fields are in the body.
    #[default]
    Post,
}

/// What a document is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Purpose {
    /// An element's `action`.
    Action,
    /// The call's first document.
    Answer,
    /// Whoever kicks a call names it; a failure leads to the next element.
    Kick,
    /// `<Redirect>`.
    Redirect,
    /// A conference's sound; a failure is silence, and ends no call.
    Sound,
    /// A REST transfer.
    Transfer,
}

/// A document, or why there is none.
pub type Fetched = Result<Arc<Flow>, DocumentError>;

/// Why a document cannot be had.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DocumentError {
    /// What came is no flow.
    #[error("{0}")]
    Invalid(Arc<FlowError>),
    /// The URL is neither `http(s)://…` nor `flow:NAME`.
    #[error("{0:?} is no URL that can be fetched: write http://, https:// or flow:NAME")]
    NotUrl(Arc<str>),
    /// Nothing came.
    #[error("{0}")]
    Unreachable(Arc<str>),
}

/// On what terms a call is in a conference: `<Conference>`'s attributes (contract 3.3), with the
/// defaults of the document's dialect.
#[derive(Clone, Debug, PartialEq)]
pub struct JoinOptions {
    /// `muted`: enters unable to speak.
    pub muted: bool,
    /// `startConferenceOnEnter`: the room starts when this call enters.
    pub starts: bool,
    /// `endConferenceOnExit`: the room ends when this call leaves.
    pub ends: bool,
    /// `stayAlone`: stays when all others have left.
    pub stays_alone: bool,
    /// `hangupOnStar`: `*` takes the call out.
    pub leaves_on_star: bool,
    /// `relayDTMF`: the others hear this member's key presses.
    pub relays_digits: bool,
    /// `floorEvent`: told when this member gets the floor.
    pub reports_floor: bool,
    /// `timeLimit` in seconds from the room's creation, if stated; 0 is none.
    pub time_limit: Option<u32>,
    /// What holds, in seconds, while no member states a limit.
    pub time_limit_default: u32,
    /// `maxMembers` or `maxParticipants`, if stated.
    pub members_max: Option<u32>,
    /// Heard by the room when this member enters (`enterSound`, `beep`).
    pub enter_sound: Option<ConferenceSound>,
    /// Heard by those who remain when this member leaves (`exitSound`, `beep`).
    pub exit_sound: Option<ConferenceSound>,
    /// Heard by this member while it waits, or is alone (`waitSound`).
    pub wait_sound: Option<ConferenceSound>,
    /// `digitsMatch`: patterns of keys, none empty.
    pub digits_match: Vec<Arc<str>>,
    /// `callbackUrl`, `callbackMethod`, `callbackOrder`: where this member's events go.
    pub callback: Option<CallbackTarget>,
    /// `action`, `method`, `redirect`: what is asked when this member has left.
    pub action: Option<Action>,
    /// `group`, `moderators`: whom the room is for.
    pub guard: Option<RoomGuard>,
    /// `record`: the room is recorded.
    pub records: bool,
    /// `recordFileFormat`.
    pub recording_format: RecordingFormat,
}

/// A group that guards a room.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RoomGuard {
    /// `group`: only its members come in. [`RoomGuard::NOBODY`] has none.
    pub group: GroupId,
    /// `moderators`: those of this rank or above start the room, and the last of them ends it.
    pub moderators: Option<Rank>,
}

impl RoomGuard {
    /// The number of no group: what an author has written there is none.
    pub const NOBODY: GroupId = GroupId(0);
}

/// A sound of a conference.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ConferenceSound {
    /// `beep:1` or `beep:2`.
    Beep(u8),
    /// A sound in itself: `sound:hold|ring|beep`.
    BuiltIn(Arc<str>),
    /// A document of Play, Speak and Wait: `http(s)://…` or `flow:NAME`.
    Document(Arc<str>),
}

/// Where a member's events go.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CallbackTarget {
    /// `callbackUrl`.
    pub url: Arc<str>,
    /// `callbackMethod`.
    pub method: RequestMethod,
    /// `callbackOrder="call"`: in order per call only, and more at a time.
    pub by_call: bool,
}

/// What an element asks when it is over.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Action {
    /// `action`.
    pub url: Arc<str>,
    /// `method`.
    pub method: RequestMethod,
    /// `redirect`: the answer is the next document; else it is let be.
    pub redirects: bool,
}

/// `recordFileFormat`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum RecordingFormat {
    /// `mp3`.
    #[default]
    Mp3,
    /// `wav`.
    Wav,
}

impl Flow {
    /// Reads the whole document before any of it runs.
    ///
    /// # Errors
    ///
    /// What leaves the document without a meaning: it is not XML, its elements stand where they
    /// must not, or it goes beyond a limit. What leaves it with one (an attribute that nobody
    /// knows, a number that is none, stray text) is a warning.
    pub fn parse(document: &str, dialect: Dialect) -> Result<Self, FlowError> {
        let root = xml::read(document, RESPONSE.tag)?;
        let mut warnings = Vec::new();
        let (info, warnings_) = (&RESPONSE, &mut warnings);
        let mut root =
            ElementReader { dialect, info, element: &root, is_top: false, warnings: warnings_ };
        root.check_element()?;
        let mut steps = Vec::with_capacity(root.children().len());
        let mut elements = Vec::with_capacity(steps.capacity());
        let step = |element: &XmlElement<'_>, is_early, id, verb| FlowStep {
            at: element.at,
            is_early,
            id,
            branches: Branches::default(),
            verb,
        };
        for element in root.children() {
            let verb = Verb::parse(&RESPONSE, element, dialect, root.warnings)?;
            let is_pre_answer = matches!(verb, Verb::PreAnswer(_));
            let id = branch::id(element, root.warnings);
            steps.push(step(element, false, id, verb));
            elements.push(element);
            if !is_pre_answer {
                continue;
            }
            for early in &element.children {
                let verb = Verb::parse(&verbs::PreAnswerVerb::INFO, early, dialect, root.warnings)?;
                steps.push(step(early, true, None, verb));
                elements.push(early);
            }
        }
        branch::link(&elements, &mut steps)?;
        warnings.sort_by_key(|warning| warning.at);
        Ok(Self { dialect, steps, warnings })
    }

    /// The same, of bytes as they come from a file or a server.
    ///
    /// # Errors
    ///
    /// As [`Flow::parse`]; or the bytes are no UTF-8.
    pub fn from_bytes(document: &[u8], dialect: Dialect) -> Result<Self, FlowError> {
        match str::from_utf8(document) {
            Ok(document) => Self::parse(document, dialect),
            Err(error) => Err(FlowError {
                at: PositionCounter::of(document).position(error.valid_up_to()),
                error: FlowErrorKind::Utf8,
            }),
        }
    }

    /// What a sound document (`waitSound`, `enterSound`, `exitSound`) plays: its Play, Speak and
    /// Wait; others are passed over (contract 3.2).
    pub fn sounds(&self) -> Vec<Sound> {
        self.steps.iter().filter_map(|step| step.verb.sound()).collect()
    }

    /// What a sound document has beside its sounds: for its author.
    pub fn unheard_elements(&self) -> impl Iterator<Item = FlowWarning> {
        let unheard = self.steps.iter().filter(|step| step.verb.sound().is_none());
        unheard.map(|step| {
            let why = "a sound document plays its Play, Speak and Wait only";
            FlowWarning {
                at: step.at,
                warning: FlowWarningKind::Idle { tag: step.verb.info().tag, why },
            }
        })
    }
}
