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
mod wait;

use std::{fmt, sync::Arc, time::Duration};

use super::{
    Entry, Fault, FlowError, Oddity, Remark, Request,
    attrs::{Attr, Reading},
    digits::Collect,
    element::Element,
    error::{clip, nearest},
};
use crate::{
    base::ids::{ConferenceName, Dialect},
    media::{HangupCause, Program, Sound},
};

verbs! {
    conference::Conference,
    skipped::Dial,
    dtmf::Dtmf,
    gather::Gather,
    get_digits::GetDigits,
    get_input::GetInput,
    hangup::Hangup,
    skipped::Message,
    skipped::MultiPartyCall,
    play::Play,
    pre_answer::PreAnswer,
    skipped::Record,
    redirect::Redirect,
    speak::Speak,
    skipped::Stream,
    wait::Wait,
}

/// What the reference says of a verb; the parser goes by it, too.
#[derive(Clone, Copy, PartialEq)]
pub struct VerbInfo {
    /// Its name; case counts.
    pub tag: &'static str,
    /// What it does, in Markdown, with an example.
    pub doc: &'static str,
    /// Whose it is. It works in documents of both.
    pub vendors: Vendors,
    /// What its text is.
    pub text: Text,
    /// The elements that it may hold.
    pub children: &'static [&'static str],
    /// An unanswered call is answered by it, unless it stands in `<PreAnswer>`.
    pub answers: bool,
    /// False: it is passed over.
    pub is_run: bool,
    /// Its attributes.
    pub attrs: &'static [Attr],
}

/// Who has a verb.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Vendors {
    /// Plivo and Vobiz.
    Both,
    /// Plivo; Vobiz has this instead.
    Plivo(&'static str),
    /// Vobiz; Plivo has this instead.
    Vobiz(&'static str),
}

/// What a verb's text is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Text {
    /// Keys to press: `0-9*#`, `w` (half a second) and `W` (a second).
    Digits,
    /// Nothing.
    None,
    /// A conference's name.
    Room,
    /// A URL.
    Url,
    /// Words.
    Words,
}

/// What an element does when it begins.
#[derive(Debug)]
pub(super) enum Start {
    Collect(Arc<Collect>),
    EarlyMedia,
    Fetch(Request),
    /// The cause is that of a call which is not answered.
    HangUp(HangupCause),
    Join {
        room: ConferenceName,
        entry: Arc<Entry>,
    },
    /// Nothing, and the next element is its.
    Next,
    Pause {
        length: Duration,
        silence: Option<Duration>,
    },
    Play(Program),
    Schedule(Duration),
    Send {
        digits: Arc<str>,
        awaits: bool,
    },
}

/// The root: not a verb, but the place of verbs.
pub const RESPONSE: VerbInfo = VerbInfo {
    tag: "Response",
    doc: " Holds the elements, which run one after the other.",
    vendors: Vendors::Both,
    text: Text::None,
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

impl fmt::Debug for VerbInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VerbInfo").field(&self.tag).finish()
    }
}

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
}

impl Verb {
    /// Whether it answers an unanswered call (contract 3.3, "Answering").
    pub fn answers(&self) -> bool {
        self.info().answers
    }

    /// What it plays, if playing is all it does.
    pub(super) fn words(&self) -> Option<&Program> {
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

/// Refuses an element where it has no place.
pub(super) fn check_place(parent: &VerbInfo, child: &Element<'_>) -> Result<(), FlowError> {
    if parent.children.contains(&child.tag) {
        return Ok(());
    }

    let fault = match (parent.tag == RESPONSE.tag, VerbInfo::of(child.tag)) {
        (false, _) => {
            let tag = clip(child.tag);
            Fault::Child { parent: parent.tag, tag, allowed: parent.children }
        }
        (true, Some(info)) => Fault::Nested { tag: info.tag, parents: info.parents().collect() },
        (true, None) => {
            let near = nearest(child.tag, ALL.iter().map(|info| info.tag));
            Fault::Unknown { tag: clip(child.tag), near }
        }
    };
    Err(FlowError { at: child.at, fault })
}

impl Reading<'_, '_> {
    /// What holds for every element: its attributes, children and text are as its table says, or
    /// there is a remark or a fault.
    pub(super) fn survey(&mut self) -> Result<(), FlowError> {
        for child in self.children() {
            check_place(self.info, child)?;
        }
        self.survey_self();
        Ok(())
    }

    /// The part of it that is odd at worst.
    pub(super) fn survey_self(&mut self) {
        self.remark_unknown();
        if self.info.text == Text::None {
            for &at in &self.element.text_at {
                self.remark(at, Oddity::StrayText { tag: self.info.tag });
            }
        }
    }

    fn remark_verb(&mut self) {
        let (tag, dialect) = (self.info.tag, self.dialect);
        let oddity = match (self.info.is_run, self.info.vendors, dialect) {
            (false, _, _) => Oddity::Skipped { tag },
            (true, Vendors::Plivo(instead), Dialect::Vobiz)
            | (true, Vendors::Vobiz(instead), Dialect::Plivo) => {
                Oddity::Foreign { tag, dialect, instead }
            }
            (true, Vendors::Both | Vendors::Plivo(_) | Vendors::Vobiz(_), _) => return,
        };
        self.remark(self.element.at, oddity);
    }

    /// The sounds of the Play, Speak and Wait in an element.
    fn prompts(&mut self) -> Result<Vec<Sound>, FlowError> {
        let mut sounds = Vec::new();
        for child in self.children() {
            sounds.extend(Verb::parse(self.info, child, self.dialect, self.remarks)?.sound());
        }
        Ok(sounds)
    }

    /// Elements that are known by name only.
    fn check_parts(&mut self) -> Result<(), FlowError> {
        for element in self.children() {
            let info = VerbInfo::of(element.tag).expect("what has a place here has a table");
            let (dialect, remarks) = (self.dialect, &mut *self.remarks);
            Reading { dialect, info, element, is_top: false, remarks }.survey()?;
        }
        Ok(())
    }
}

macro_rules! verbs {
    ($($module:ident::$verb:ident),* $(,)?) => {
        $( pub use self::$module::$verb; )*

        /// What an element does.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Verb {
            $( #[doc = concat!("See [`", stringify!($verb), "`].")] $verb($verb), )*
        }

        impl Verb {
            const INFOS: &[VerbInfo] = &[ $( $verb::INFO, )* ];
            const TAGS: &[&str] = &[ $( $verb::INFO.tag, )* ];

            /// Reads one element, and what is in it.
            pub(super) fn parse(
                parent: &VerbInfo,
                element: &Element<'_>,
                dialect: Dialect,
                remarks: &mut Vec<Remark>,
            ) -> Result<Self, FlowError> {
                check_place(parent, element)?;
                $(
                    if element.tag == $verb::INFO.tag {
                        let info = const { &$verb::INFO };
                        let is_top = parent.tag == RESPONSE.tag;
                        let mut reading = Reading { dialect, info, element, is_top, remarks };
                        reading.remark_verb();
                        reading.survey()?;
                        return $verb::parse(&mut reading).map(Self::$verb);
                    }
                )*
                // Allowed in its parent, and no verb: a part of one, which its parent reads.
                let (tag, near) = (clip(element.tag), None);
                Err(FlowError { at: element.at, fault: Fault::Unknown { tag, near } })
            }

            /// What the reference says of it.
            pub fn info(&self) -> &'static VerbInfo {
                match self { $( Self::$verb(_) => const { &$verb::INFO }, )* }
            }

            /// What it does when the flow comes to it.
            pub(super) fn begin(&self) -> Start {
                match self { $( Self::$verb(verb) => verb.begin(), )* }
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
    let remarks = flow.remarks.iter().map(ToString::to_string);
    steps.chain(remarks).collect::<Vec<_>>().join("\n")
}

/// Reads one element of a Vobiz document.
#[cfg(test)]
#[track_caller]
fn check(element: &str, expected: &str) {
    assert_eq!(read(Dialect::Vobiz, element), expected, "{element}");
}
