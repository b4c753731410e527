//! Call flows: XML documents whose elements a call runs one after the other.
//!
//! [`Flow::parse`] reads a whole document before any of it runs. A [`Run`] is the execution of a
//! flow on one call: events and the time go in, effects come out. It never waits and reads no
//! clock.

mod attr;
mod attrs;
mod branch;
mod cause;
pub mod check;
mod continuation;
mod dial;
mod digits;
mod document_ending;
mod document_row;
mod effect;
mod element;
pub mod encoding;
mod error;
mod event;
mod exit;
mod field;
mod forecast;
mod links;
mod options;
mod position;
mod record;
mod recorder;
pub mod reference;
mod run;
mod run_row;
mod source;
mod twiml;
mod url;
mod variable;
mod verb_info;
pub mod verbs;
mod xml;

use std::sync::Arc;

use bytes::Bytes;

pub(crate) use self::variable::has_variables;
pub use self::{
    attr::{Attr, AttrKind},
    branch::{Branch, Branches, ID},
    cause::Cause,
    continuation::DialectFlows,
    dial::{
        CalleeTerms, DESTINATIONS_MAX, DialDestination, DialHeaders, DialOptions, DialResult,
        DialStatus,
    },
    effect::Effect,
    error::{FlowError, FlowErrorKind, FlowWarning, FlowWarningKind},
    event::FlowEvent,
    exit::{AfterExit, Exit},
    forecast::Forecast,
    options::{
        Action, CallbackTarget, ConferenceSound, DocumentRequest, JoinOptions, Purpose,
        RecordingFormat, RequestMethod, RoomGuard,
    },
    position::TextPosition,
    record::{
        PendingRecording, RecordAction, RecordKind, RecordOptions, RecordReport, RecordStop,
        RecordedEnd, RecordedFacts,
    },
    run::Run,
    run_row::{RowError, RunRow, write_row},
    source::{FlowOrigin, FlowText, SourceDocument, WeakFlowText, is_audio_file},
    url::{is_audio, is_audio_name, is_target},
    variable::{Variable, VariableValues},
    verbs::Verb,
};
use self::{attrs::ElementReader, element::XmlElement, verbs::RESPONSE};
use crate::{
    base::ids::{ConferenceName, Dialect},
    media::Sound,
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
    /// What of it has no effect; None if all of it has.
    pub passed_over: Option<Arc<PassedOver>>,
    /// Targets of its `on…` attributes; empty if it always continues at the next element.
    pub branches: Branches,
    /// The element with its attributes.
    pub verb: Verb,
}

/// What of an element has no effect: all of it, or some attributes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PassedOver {
    /// Whether the whole element is passed over.
    pub is_all: bool,
    /// What has no effect and why, as the parser's warnings say it.
    pub what: Arc<str>,
}

impl PassedOver {
    /// Of the element at this position, by the warnings about it.
    fn of(at: TextPosition, warnings: &[FlowWarning]) -> Option<Arc<Self>> {
        let has_no_effect = |it: &&FlowWarning| it.warning.is_about_effect();
        let found: Vec<_> = warnings.iter().filter(has_no_effect).collect();
        let texts: Vec<_> = found.iter().map(|it| it.warning.to_string()).collect();
        let is_all = found.iter().any(|it| it.at == at);
        (!found.is_empty()).then(|| Arc::new(Self { is_all, what: texts.join("; ").into() }))
    }
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

impl Flow {
    /// Reads the whole document before any of it runs.
    ///
    /// # Errors
    ///
    /// The document has no meaning: it is not XML, an element is not allowed where it is, or a
    /// limit is exceeded. Lesser mistakes (an unknown attribute, an invalid number, stray text) are
    /// warnings.
    pub fn parse(document: &str, dialect: Dialect) -> Result<Self, FlowError> {
        let (steps, warnings) = read_steps(document, dialect)?;
        let source = SourceDocument { text: Arc::new(document.into()), origin: FlowOrigin::Inline };
        Ok(Self { dialect, steps: steps.into(), warnings: warnings.into(), source })
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

    /// A flow that plays one sound file: what an audio file is where a sound document is expected.
    pub fn playing(url: &str, dialect: Dialect) -> Self {
        let step = FlowStep {
            at: TextPosition::default(),
            is_early: false,
            id: None,
            branches: Branches::default(),
            passed_over: None,
            verb: Verb::Play(verbs::PlayVerb::of(url)),
        };
        let source = SourceDocument { text: Arc::new("".into()), origin: FlowOrigin::Inline };
        Self { dialect, steps: [step].into(), warnings: [].into(), source }
    }

    /// A document of one `<Conference>` with these attributes. Its warnings say which have no effect.
    ///
    /// # Errors
    ///
    /// As [`Flow::parse`]; none for attributes of the element.
    pub fn of_conference(
        room: &ConferenceName,
        attributes: &[(&str, String)],
        dialect: Dialect,
    ) -> Result<Self, FlowError> {
        let written = |(name, value): &(&str, String)| format!(" {name}=\"{}\"", escaped(value));
        let attributes: String = attributes.iter().map(written).collect();
        let name = escaped(room.as_str());
        let document = format!("<Response><Conference{attributes}>{name}</Conference></Response>");
        let mut flow = Self::parse(&document, dialect)?;
        for step in Arc::get_mut(&mut flow.steps).into_iter().flatten() {
            // White space in a name is not that of a text.
            if let Verb::Conference(verb) = &mut step.verb {
                verb.room = room.clone();
            }
        }
        Ok(flow)
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
    let step = |element: &XmlElement<'_>, is_early, id, verb, warnings: &[FlowWarning]| FlowStep {
        at: element.at,
        is_early,
        id,
        passed_over: PassedOver::of(element.at, warnings),
        branches: Branches::default(),
        verb,
    };
    for element in root.children() {
        let before = root.warnings.len();
        let verb = Verb::parse(&RESPONSE, element, dialect, root.warnings)?;
        let is_pre_answer = matches!(verb, Verb::PreAnswer(_));
        let id = branch::id(element, root.warnings);
        steps.push(step(element, false, id, verb, &root.warnings[before..]));
        elements.push(element);
        if !is_pre_answer {
            continue;
        }
        for early in &element.children {
            let before = root.warnings.len();
            let verb = Verb::parse(&verbs::PreAnswerVerb::INFO, early, dialect, root.warnings)?;
            steps.push(step(early, true, None, verb, &root.warnings[before..]));
            elements.push(early);
        }
    }
    Flow::link(&elements, &mut steps)?;
    warnings.sort_by_key(|warning| warning.at);
    Ok((steps, warnings))
}

/// A text as XML writes it.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}
