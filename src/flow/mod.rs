//! Call flows: XML documents whose elements a call runs one after the other.
//!
//! [`Flow::parse`] reads a whole document before any of it runs. A [`Run`] is the execution of a
//! flow on one call: events and the time go in, effects come out. It never waits and reads no
//! clock.

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
mod source;
mod url;
mod variable;
pub mod verbs;
mod xml;

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;

pub(crate) use self::variable::has_variables;
use self::{attrs::ElementReader, element::XmlElement, verbs::RESPONSE};
pub use self::{
    attrs::{Attr, AttrKind},
    branch::{Branch, Branches, ID},
    cause::{AfterExit, Cause, Exit},
    continuation::DialectFlows,
    error::{FlowError, FlowErrorKind, FlowWarning, FlowWarningKind},
    forecast::Forecast,
    position::TextPosition,
    run::Run,
    source::{FlowOrigin, FlowText, SourceDocument, WeakFlowText},
    url::{is_audio, is_target},
    variable::{Variable, VariableValues},
    verbs::Verb,
};
use crate::{
    base::ids::{ConferenceName, Dialect},
    group::{GroupId, Rank},
    media::{Ending, Program, Sound},
};

/// A parsed flow, with the warnings for its author.
#[derive(Clone, Debug, PartialEq)]
pub struct Flow {
    /// Selects the defaults of attributes.
    pub dialect: Dialect,
    /// Elements in the order in which they run; children of `<PreAnswer>` come after it.
    pub steps: Arc<[FlowStep]>,
    /// Warnings for the author, sorted by position.
    pub warnings: Arc<[FlowWarning]>,
    /// The document it was parsed from: text, hash and origin.
    pub source: SourceDocument,
}

/// One element of a flow.
#[derive(Clone, Debug, PartialEq)]
pub struct FlowStep {
    /// Position of its `<`.
    pub at: TextPosition,
    /// Whether it is inside `<PreAnswer>` and so does not answer the call.
    pub is_early: bool,
    /// The `id` attribute, unique in the flow; None without one.
    pub id: Option<Arc<str>>,
    /// Targets of its `on…` attributes; empty if it always continues at the next element.
    pub branches: Branches,
    /// The element with its attributes.
    pub verb: Verb,
}

/// An event of a call that its flow handles.
#[derive(Clone, Debug, PartialEq)]
pub enum FlowEvent {
    /// The caller pressed a key.
    Digit(char),
    /// The requested document has arrived, or the request has failed.
    Fetched(Fetched),
    /// The call has left its conference or was not admitted, and is still up.
    Left(Exit),
    /// The sound or the keys that the flow sent have ended.
    Over,
    /// The caller began (true) or stopped (false) talking.
    Talk(bool),
    /// The deadline of [`Run::deadline`] has passed.
    Tick,
}

/// An instruction of a flow to the engine. The order of effects matters.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// An element of the flow begins.
    Begin {
        /// Index of the element within the flow, from zero.
        step: u32,
    },
    /// Answers the call, unless it is answered.
    Answer,
    /// Opens early media, unless the call is answered.
    EarlyMedia,
    /// Plays a program; [`FlowEvent::Over`] follows at its end.
    Play(Program),
    /// Announces a program that will probably be played next, so that it can be loaded.
    Prepare(Program),
    /// Stops playback; no event follows.
    Stop,
    /// Sends key presses to the caller.
    SendDigits {
        /// Keys of `0-9*#`, and pauses: `w` is 0.5 s, `W` is 1 s.
        digits: Arc<str>,
        /// Whether the flow waits for [`FlowEvent::Over`].
        awaits: bool,
    },
    /// The caller entered these keys; empty if they must not be logged.
    Entered(Arc<str>),
    /// Moves the call into a conference; [`FlowEvent::Left`] follows when it leaves.
    Join {
        /// Name within the call's account.
        room: ConferenceName,
        /// From the attributes of `<Conference>`.
        options: Arc<JoinOptions>,
    },
    /// Requests a document; [`FlowEvent::Fetched`] follows.
    Fetch(DocumentRequest),
    /// Sends a request and ignores the response.
    Notify(DocumentRequest),
    /// Ends the call after this time, whatever it does then.
    Schedule(Duration),
    /// Ends the call. No effect follows.
    End(Ending),
}

/// A request for a document.
#[derive(Clone, Eq, PartialEq)]
pub struct DocumentRequest {
    /// `http(s)://…` or `flow:NAME`, as written.
    pub url: Arc<str>,
    /// Sends the fields in the query (GET) or in the body (POST).
    pub method: RequestMethod,
    /// Decides how a failure ends the call.
    pub purpose: Purpose,
    /// Fields in addition to the standard ones, in order (`Digits`, `ConferenceName`, …).
    pub fields: Vec<(&'static str, String)>,
    /// Keeps the fields' values out of logs, traces and Debug output (`log="false"`).
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

/// HTTP method of a request.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum RequestMethod {
    /// Sends the fields in the query.
    Get,
    /// Sends the fields in the body.
    #[default]
    Post,
}

/// What a document is fetched for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Purpose {
    /// Response of an element's `action`.
    Action,
    /// First document of the call.
    Answer,
    /// Document named by a kick; if it fails, the flow continues at the next element.
    Kick,
    /// Document named by a `<Redirect>`.
    Redirect,
    /// Sound of a conference; if it fails, there is silence, and the call continues.
    Sound,
    /// Document named by a REST transfer.
    Transfer,
}

/// A fetched document, or the reason for the failure.
pub type Fetched = Result<Arc<Flow>, DocumentError>;

/// Why a document is not available.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DocumentError {
    /// The response is not a flow.
    #[error("{0}")]
    Invalid(Arc<FlowError>),
    /// The URL is neither `http(s)://…` nor `flow:NAME`.
    #[error("{0:?} is not a URL that conflow can fetch: write http://, https:// or flow:NAME")]
    NotUrl(Arc<str>),
    /// The request failed; the text says why.
    #[error("{0}")]
    Unreachable(Arc<str>),
}

/// Options of a call in a conference: the attributes of `<Conference>` (contract 3.3), with the
/// defaults of the document's dialect.
#[derive(Clone, Debug, PartialEq)]
pub struct JoinOptions {
    /// `muted`: the member enters muted, so the others do not hear it.
    pub muted: bool,
    /// `startConferenceOnEnter`: the room starts when this call enters.
    pub starts: bool,
    /// `endConferenceOnExit`: the room ends when this call leaves.
    pub ends: bool,
    /// `stayAlone`: the member stays when all others have left.
    pub stays_alone: bool,
    /// `hangupOnStar`: the key `*` takes the call out of the room.
    pub leaves_on_star: bool,
    /// `relayDTMF`: the others hear this member's key presses.
    pub relays_digits: bool,
    /// `floorEvent`: the callback URL is told when this member gets the floor.
    pub reports_floor: bool,
    /// `timeLimit` in seconds from the creation of the room, if stated; 0 is no limit.
    pub time_limit: Option<u32>,
    /// Limit in seconds if no member states one.
    pub time_limit_default: u32,
    /// `maxMembers` or `maxParticipants`, if stated: the size limit of the room.
    pub members_max: Option<u32>,
    /// Played to the room when this member enters (`enterSound`, `beep`).
    pub enter_sound: Option<ConferenceSound>,
    /// Played to the remaining members when this one leaves (`exitSound`, `beep`).
    pub exit_sound: Option<ConferenceSound>,
    /// Played to this member while it waits or is alone (`waitSound`).
    pub wait_sound: Option<ConferenceSound>,
    /// `digitsMatch`: patterns of keys, none of them empty.
    pub digits_match: Vec<Arc<str>>,
    /// `callbackUrl`, `callbackMethod`, `callbackOrder`: receiver of this member's events.
    pub callback: Option<CallbackTarget>,
    /// `action`, `method`, `redirect`: the request when this member has left.
    pub action: Option<Action>,
    /// `group`, `moderators`: restricts the room to a group.
    pub guard: Option<RoomGuard>,
    /// `record`: the room is recorded.
    pub records: bool,
    /// `recordFileFormat`: the format that the recording will have.
    pub recording_format: RecordingFormat,
}

/// The group that guards a room.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RoomGuard {
    /// `group`: only members of this group are admitted. [`RoomGuard::NOBODY`] has no members.
    pub group: GroupId,
    /// `moderators`: members of this rank or above start the room; it ends when the last one
    /// leaves.
    pub moderators: Option<Rank>,
}

impl RoomGuard {
    /// Group number that stands for an invalid `group` attribute; the group has no members.
    pub const NOBODY: GroupId = GroupId(0);
}

/// A sound of a conference.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ConferenceSound {
    /// `beep:1` or `beep:2`: one beep or two.
    Beep(u8),
    /// A built-in sound: `sound:hold`, `sound:ring` or `sound:beep`.
    BuiltIn(Arc<str>),
    /// URL of a document of Play, Speak and Wait: `http(s)://…` or `flow:NAME`.
    Document(Arc<str>),
}

/// Receiver of a member's events.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CallbackTarget {
    /// `callbackUrl`: `http(s)://…`, as written.
    pub url: Arc<str>,
    /// `callbackMethod`: GET or POST.
    pub method: RequestMethod,
    /// `callbackOrder="call"`: callbacks are in order per call only, and several are sent at a
    /// time.
    pub by_call: bool,
}

/// Request at the end of an element.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Action {
    /// `action`: `http(s)://…` or `flow:NAME`, as written.
    pub url: Arc<str>,
    /// `method`: GET or POST.
    pub method: RequestMethod,
    /// `redirect`: the response is the next document; if false, it is ignored.
    pub redirects: bool,
}

/// `recordFileFormat`: file format of a recording.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum RecordingFormat {
    /// MPEG-1/2 audio layer III.
    #[default]
    Mp3,
    /// Uncompressed samples in a RIFF WAVE file.
    Wav,
}

impl Flow {
    /// Reads the whole document before any of it runs.
    ///
    /// # Errors
    ///
    /// The document has no meaning: it is not XML, an element is not allowed where it is, or a
    /// limit is exceeded. Lesser mistakes (an unknown attribute, an invalid number, stray text) are
    /// warnings.
    pub fn parse(document: &str, dialect: Dialect) -> Result<Self, FlowError> {
        let source = SourceDocument { text: Arc::new(document.into()), origin: FlowOrigin::Inline };
        Self::from_source(source, dialect)
    }

    /// Parses the bytes of a file or an HTTP response; see [`Flow::parse`].
    ///
    /// # Errors
    ///
    /// As [`Flow::parse`]; or the bytes are not valid UTF-8.
    pub fn from_bytes(document: &[u8], dialect: Dialect) -> Result<Self, FlowError> {
        let text = Arc::new(FlowText::new(Bytes::copy_from_slice(document))?);
        Self::from_source(SourceDocument { text, origin: FlowOrigin::Inline }, dialect)
    }

    /// Parses a document whose text is shared.
    ///
    /// # Errors
    ///
    /// As [`Flow::parse`].
    pub fn from_source(source: SourceDocument, dialect: Dialect) -> Result<Self, FlowError> {
        let (steps, warnings) = read_steps(source.text.as_str(), dialect)?;
        Ok(Self { dialect, steps: steps.into(), warnings: warnings.into(), source })
    }

    /// The sounds of a sound document (`waitSound`, `enterSound`, `exitSound`): its Play, Speak and
    /// Wait. Other elements are ignored (contract 3.2).
    pub fn sounds(&self) -> Vec<Sound> {
        self.steps.iter().filter_map(|step| step.verb.sound()).collect()
    }

    /// Warnings about the elements that a sound document ignores.
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

/// The elements in the order in which they run, and the warnings in that of the document.
fn read_steps(
    document: &str,
    dialect: Dialect,
) -> Result<(Vec<FlowStep>, Vec<FlowWarning>), FlowError> {
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
    Ok((steps, warnings))
}
