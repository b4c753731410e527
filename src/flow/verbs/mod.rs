//! The verbs. One file each; the table below is the only list of them.

mod conference;
mod dtmf;
mod gather;
mod get_digits;
mod get_input;
mod hangup;
mod play;
mod pre_answer;
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
};
use crate::{
    base::ids::Dialect,
    media::{Program, Sound},
};

pub(super) use self::start::VerbStart;
pub use super::verb_info::{TextKind, Vendors, VerbInfo};

verbs! {
    Conference: conference::ConferenceVerb,
    Dial: skipped::DialVerb,
    Dtmf: dtmf::DtmfVerb,
    Gather: gather::GatherVerb,
    GetDigits: get_digits::GetDigitsVerb,
    GetInput: get_input::GetInputVerb,
    Hangup: hangup::HangupVerb,
    Message: skipped::MessageVerb,
    MultiPartyCall: skipped::MultiPartyCallVerb,
    Play: play::PlayVerb,
    PreAnswer: pre_answer::PreAnswerVerb,
    Record: skipped::RecordVerb,
    Redirect: redirect::RedirectVerb,
    Speak: speak::SpeakVerb,
    Stream: skipped::StreamVerb,
    Wait: wait::WaitVerb,
}

/// The root: not a verb, but the place of verbs.
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

/// Every verb, and every element that stands in one only, for the reference.
pub static ALL: &[VerbInfo] = {
    const LEN: usize = Verb::INFOS.len() + skipped::PARTS.len();
    let mut all = [RESPONSE; LEN];
    let mut i = 0;
    while i < LEN {
        all[i] = match i < Verb::INFOS.len() {
            true => Verb::INFOS[i],
            false => skipped::PARTS[i - Verb::INFOS.len()],
        };
        i += 1;
    }
    &{ all }
};

impl VerbInfo {
    /// Of an element by its name.
    pub fn of(tag: &str) -> Option<&'static Self> {
        ALL.iter().find(|info| info.tag == tag)
    }

    /// The elements that may hold it.
    pub fn parents(&self) -> impl Iterator<Item = &'static str> {
        let all = [&RESPONSE].into_iter().chain(ALL);
        all.filter(|info| info.children.contains(&self.tag)).map(|info| info.tag)
    }

    /// Refuses an element where it has no place.
    pub(super) fn check_child(&self, child: &XmlElement<'_>) -> Result<(), FlowError> {
        if self.children.contains(&child.tag) {
            return Ok(());
        }

        let error = match (self.tag == RESPONSE.tag, VerbInfo::of(child.tag)) {
            (false, _) => {
                let tag = clip(child.tag);
                FlowErrorKind::Child { parent: self.tag, tag, allowed: self.children }
            }
            (true, Some(info)) => {
                FlowErrorKind::Nested { tag: info.tag, parents: info.parents().collect() }
            }
            (true, None) => {
                let near = nearest(child.tag, ALL.iter().map(|info| info.tag));
                let allowed = self.children;
                FlowErrorKind::Unknown { tag: clip(child.tag), near, allowed }
            }
        };
        Err(FlowError { at: child.at, error })
    }
}

impl Verb {
    /// Whether it answers an unanswered call (contract 3.3, "Answering").
    pub fn answers(&self) -> bool {
        self.info().answers
    }

    /// What it plays, if playing is all it does.
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

    /// What it adds to a sound document, or to the prompts around it.
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
    /// What holds for every element: its attributes, children and text are as its table says, or
    /// there is a warning or an error.
    pub(super) fn check_element(&mut self) -> Result<(), FlowError> {
        for child in self.children() {
            self.info.check_child(child)?;
        }
        self.check_self();
        Ok(())
    }

    /// The part of it that is odd at worst.
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

    /// Elements that are known by name only.
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

        /// What an element does.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Verb {
            $( #[doc = concat!("See [`", stringify!($verb), "`].")] $name($verb), )*
        }

        impl Verb {
            const INFOS: &[VerbInfo] = &[ $( $verb::INFO, )* ];
            const TAGS: &[&str] = &[ $( $verb::INFO.tag, )* ];

            /// Reads one element, and what is in it.
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
                // Allowed in its parent, and no verb: a part of one, which its parent reads.
                let (tag, near, allowed) = (clip(element.tag), None, RESPONSE.children);
                let error = FlowErrorKind::Unknown { tag, near, allowed };
                Err(FlowError { at: element.at, error })
            }

            /// What the reference says of it.
            pub fn info(&self) -> &'static VerbInfo {
                match self { $( Self::$name(_) => const { &$verb::INFO }, )* }
            }

            /// What it does when the flow comes to it.
            pub(super) fn begin(&self) -> VerbStart {
                match self { $( Self::$name(verb) => verb.begin(), )* }
            }
        }
    };
}
use verbs;

/// Reads one element; what it holds, and what is odd about it, a line each.
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

/// Reads one element of a Vobiz document.
#[cfg(test)]
#[track_caller]
fn check(element: &str, expected: &str) {
    assert_eq!(read(Dialect::Vobiz, element), expected, "{element}");
}
