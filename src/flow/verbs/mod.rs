//! Verbs: one file for each element, and the table of all elements.

mod conference;
mod dial;
mod dtmf;
mod gather;
mod get_digits;
mod get_input;
mod hangup;
mod play;
mod pre_answer;
mod record;
mod redirect;
mod skipped;
mod speak;
mod start;
mod wait;

use super::{
    FlowError, FlowErrorKind, FlowWarning, FlowWarningKind,
    attrs::ElementReader,
    element::XmlElement,
    error::{clip, nearest},
    twiml,
};
use crate::{
    base::ids::Dialect,
    media::{Program, Sound},
};

pub use self::dial::{NumberPart, UserPart};
pub(super) use self::{speak::spoken, start::VerbStart};
pub use super::verb_info::{TextKind, Vendors, VerbInfo};

verbs! {
    Conference: conference::ConferenceVerb,
    Dial: dial::DialVerb,
    Dtmf: dtmf::DtmfVerb,
    Gather: gather::GatherVerb,
    GetDigits: get_digits::GetDigitsVerb,
    GetInput: get_input::GetInputVerb,
    Hangup: hangup::HangupVerb,
    Message: skipped::MessageVerb,
    MultiPartyCall: skipped::MultiPartyCallVerb,
    Play: play::PlayVerb,
    PreAnswer: pre_answer::PreAnswerVerb,
    Record: record::RecordVerb,
    Redirect: redirect::RedirectVerb,
    Speak: speak::SpeakVerb,
    Stream: skipped::StreamVerb,
    Wait: wait::WaitVerb,
}

/// The root element, which holds the verbs.
pub const RESPONSE: VerbInfo = VerbInfo {
    tag: "Response",
    doc: " Holds the elements, which run one after the other.",
    vendors: Vendors::Both,
    text: TextKind::None,
    children: Verb::TAGS,
    answers: false,
    is_run: true,
    attrs: &[],
};

/// All verbs, and all elements that occur only inside verbs, for the reference.
pub static ALL: &[VerbInfo] = {
    const LEN: usize = Verb::INFOS.len() + dial::PARTS.len();
    let mut all = [RESPONSE; LEN];
    let mut i = 0;
    while i < LEN {
        all[i] = match i < Verb::INFOS.len() {
            true => Verb::INFOS[i],
            false => dial::PARTS[i - Verb::INFOS.len()],
        };
        i += 1;
    }
    &{ all }
};

impl VerbInfo {
    /// Finds an element by its tag.
    pub fn of(tag: &str) -> Option<&'static Self> {
        ALL.iter().find(|info| info.tag == tag)
    }

    /// Tags of the elements that may hold it.
    pub fn parents(&self) -> impl Iterator<Item = &'static str> {
        let all = [&RESPONSE].into_iter().chain(ALL);
        all.filter(|info| info.children.contains(&self.tag)).map(|info| info.tag)
    }

    /// Refuses a child that the parent may not hold.
    pub(super) fn check_child(&self, child: &XmlElement<'_>) -> Result<(), FlowError> {
        if self.children.contains(&child.tag) {
            return Ok(());
        }

        let error = match (self.tag == RESPONSE.tag, Self::of(child.tag)) {
            (false, _) => {
                let (tag, allowed) = (clip(child.tag), self.children);
                let near = near(child.tag, allowed.iter().copied());
                FlowErrorKind::Child { parent: self.tag, tag, near, allowed }
            }
            (true, Some(info)) => {
                FlowErrorKind::Nested { tag: info.tag, parents: info.parents().collect() }
            }
            (true, None) => {
                let near = near(child.tag, ALL.iter().map(|info| info.tag));
                let allowed = self.children;
                FlowErrorKind::Unknown { tag: clip(child.tag), near, allowed }
            }
        };
        Err(FlowError { at: child.at, error })
    }
}

/// The element that was meant by an unknown one: the counterpart of TwiML's, or the most similar.
fn near(tag: &str, names: impl Iterator<Item = &'static str> + Clone) -> Option<&'static str> {
    twiml::element(tag, names.clone()).or_else(|| nearest(tag, names))
}

impl Verb {
    /// Whether it answers an unanswered call (contract 3.3, "Answering").
    pub fn answers(&self) -> bool {
        self.info().answers
    }

    /// The program of an element that only plays; None for other elements.
    pub(super) fn program(&self) -> Option<&Program> {
        match self {
            Self::Play(verb) => verb.program.as_ref(),
            Self::Speak(verb) => verb.program.as_ref(),
            Self::Conference(_) | Self::Dial(_) | Self::Dtmf(_) | Self::Gather(_) => None,
            Self::GetDigits(_) | Self::GetInput(_) | Self::Hangup(_) | Self::Message(_) => None,
            Self::MultiPartyCall(_) | Self::PreAnswer(_) | Self::Record(_) => None,
            Self::Redirect(_) | Self::Stream(_) | Self::Wait(_) => None,
        }
    }

    /// Its contribution to a sound document or to prompts; None if it adds no sound.
    pub fn sound(&self) -> Option<Sound> {
        match self {
            Self::Play(verb) => verb.program.as_ref()?.first().cloned(),
            Self::Speak(verb) => verb.program.as_ref()?.first().cloned(),
            Self::Wait(verb) => Some(verb.sound()),
            Self::Conference(_) | Self::Dial(_) | Self::Dtmf(_) | Self::Gather(_) => None,
            Self::GetDigits(_) | Self::GetInput(_) | Self::Hangup(_) | Self::Message(_) => None,
            Self::MultiPartyCall(_) | Self::PreAnswer(_) | Self::Record(_) => None,
            Self::Redirect(_) | Self::Stream(_) => None,
        }
    }
}

impl ElementReader<'_, '_> {
    /// Checks attributes, children and text against the table of the element.
    pub(super) fn check_element(&mut self) -> Result<(), FlowError> {
        for child in self.children() {
            self.info.check_child(child)?;
        }
        self.check_self();
        Ok(())
    }

    /// The checks that can only cause warnings.
    pub(super) fn check_self(&mut self) {
        self.warn_unknown_attributes();
        if self.info.text == TextKind::None {
            for &at in &self.element.text_at {
                self.warn(at, FlowWarningKind::StrayText { tag: self.info.tag });
            }
        }
    }

    fn warn_verb(&mut self) {
        let (tag, dialect) = (self.info.tag, self.dialect);
        let warning = match (self.info.is_run, self.info.vendors, dialect) {
            (false, _, _) => FlowWarningKind::Skipped { tag },
            (true, Vendors::Plivo(instead), Dialect::Vobiz)
            | (true, Vendors::Vobiz(instead), Dialect::Plivo) => {
                FlowWarningKind::Foreign { tag, dialect, instead }
            }
            (true, Vendors::Both | Vendors::Plivo(_) | Vendors::Vobiz(_), _) => return,
        };
        self.warn(self.element.at, warning);
    }

    /// The sounds of the Play, Speak and Wait in an element.
    fn prompts(&mut self) -> Result<Vec<Sound>, FlowError> {
        let mut sounds = Vec::new();
        for child in self.children() {
            sounds.extend(Verb::parse(self.info, child, self.dialect, self.warnings)?.sound());
        }
        Ok(sounds)
    }

    /// Checks children of which only the attributes are known.
    fn check_parts(&mut self) -> Result<(), FlowError> {
        for element in self.children() {
            let info = VerbInfo::of(element.tag).expect("what has a place here has a table");
            let (dialect, warnings) = (self.dialect, &mut *self.warnings);
            ElementReader { dialect, info, element, is_top: false, warnings }.check_element()?;
        }
        Ok(())
    }
}

macro_rules! verbs {
    ($($name:ident: $module:ident::$verb:ident),* $(,)?) => {
        $( pub use self::$module::$verb; )*

        /// A parsed element of a flow.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Verb {
            $( #[doc = concat!("See [`", stringify!($verb), "`].")] $name($verb), )*
        }

        /// A verb without its attributes: a byte, for those who note many.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub enum VerbKind {
            $( #[doc = concat!("See [`", stringify!($verb), "`].")] $name, )*
        }

        impl VerbKind {
            /// Of an element by its name; None if it is part of a verb, or none.
            pub fn of(tag: &str) -> Option<Self> {
                $( if tag == $verb::INFO.tag { return Some(Self::$name); } )*
                None
            }

            /// What the reference says of it.
            pub fn info(self) -> &'static VerbInfo {
                match self { $( Self::$name => const { &$verb::INFO }, )* }
            }
        }

        impl Verb {
            const INFOS: &[VerbInfo] = &[ $( $verb::INFO, )* ];
            const TAGS: &[&str] = &[ $( $verb::INFO.tag, )* ];

            /// Parses one element with its children.
            pub(super) fn parse(
                parent: &VerbInfo,
                element: &XmlElement<'_>,
                dialect: Dialect,
                warnings: &mut Vec<FlowWarning>,
            ) -> Result<Self, FlowError> {
                parent.check_child(element)?;
                $(
                    if element.tag == $verb::INFO.tag {
                        let info = const { &$verb::INFO };
                        let is_top = parent.tag == RESPONSE.tag;
                        let mut reading = ElementReader { dialect, info, element, is_top, warnings };
                        reading.warn_verb();
                        reading.check_element()?;
                        return $verb::parse(&mut reading).map(Self::$name);
                    }
                )*
                // Known but not a verb: a part of one, which only its parent reads.
                let (tag, near, allowed) = (clip(element.tag), None, RESPONSE.children);
                let error = FlowErrorKind::Unknown { tag, near, allowed };
                Err(FlowError { at: element.at, error })
            }

            /// Description of the element's tag.
            pub fn info(&self) -> &'static VerbInfo {
                self.kind().info()
            }

            /// Which verb it is.
            pub fn kind(&self) -> VerbKind {
                match self { $( Self::$name(_) => VerbKind::$name, )* }
            }

            /// First action when the flow reaches it.
            pub(super) fn begin(&self) -> VerbStart {
                match self { $( Self::$name(verb) => verb.begin(), )* }
            }
        }
    };
}
use verbs;

/// Parses one element; returns its Debug form and its warnings, one per line.
#[cfg(test)]
fn read(dialect: Dialect, element: &str) -> String {
    let flow = match super::Flow::parse(&format!("<Response>{element}</Response>"), dialect) {
        Ok(flow) => flow,
        Err(error) => return error.to_string(),
    };
    let steps = flow.steps.iter().map(|step| format!("{:?}", step.verb));
    let warnings = flow.warnings.iter().map(ToString::to_string);
    steps.chain(warnings).collect::<Vec<_>>().join("\n")
}

/// Parses one element of a Vobiz document.
#[cfg(test)]
#[track_caller]
fn check(element: &str, expected: &str) {
    assert_eq!(read(Dialect::Vobiz, element), expected, "{element}");
}
