//! Call flows: XML documents that say what a call does, one element after the other.
//!
//! [`Flow::parse`] reads a whole document before any of it runs. A [`Run`] is a flow under way on
//! one call: events and the time go in, effects come out; it waits for nothing and reads no clock.

mod attr;
mod attrs;
mod branch;
mod cause;
pub mod check;
mod continuation;
mod digits;
mod effect;
mod element;
mod error;
mod event;
mod exit;
mod field;
mod forecast;
mod links;
mod options;
mod position;
pub mod reference;
mod run;
mod url;
mod variable;
mod verb_info;
pub mod verbs;
mod xml;

use std::sync::Arc;

pub(crate) use self::variable::has_variables;
pub use self::{
    attr::{Attr, AttrKind},
    branch::{Branch, Branches, ID},
    cause::Cause,
    continuation::DialectFlows,
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
    run::Run,
    url::{is_audio, is_target},
    variable::{Variable, VariableValues},
    verbs::Verb,
};
use self::{attrs::ElementReader, element::XmlElement, position::PositionCounter, verbs::RESPONSE};
use crate::{base::ids::Dialect, media::Sound};

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
        Self::link(&elements, &mut steps)?;
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
