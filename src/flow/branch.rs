//! Exit branches: where a flow goes on, by the way in which an element has ended.

use std::sync::Arc;

use super::{
    AttrKind, Cause, FlowWarning, FlowWarningKind, attr::Attr, element::XmlElement, error::clip,
    field::AttrValue,
};

/// A way out of an element that can lead elsewhere than to the next one.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Branch {
    /// `onAlone`
    Alone,
    /// `onBan`
    Ban,
    /// `onEnd`
    End,
    /// `onError`: a document that is asked for cannot be had.
    Error,
    /// `onFull`
    Full,
    /// `onKick`
    Kick,
    /// `onStar`
    Star,
    /// `onTimeUp`
    TimeUp,
}

impl Branch {
    /// Every branch.
    pub const ALL: &[Self] = &[
        Self::Alone,
        Self::Ban,
        Self::End,
        Self::Error,
        Self::Full,
        Self::Kick,
        Self::Star,
        Self::TimeUp,
    ];

    /// The attribute that names the element where it leads.
    pub fn attribute(self) -> &'static str {
        match self {
            Self::Alone => "onAlone",
            Self::Ban => "onBan",
            Self::End => "onEnd",
            Self::Error => "onError",
            Self::Full => "onFull",
            Self::Kick => "onKick",
            Self::Star => "onStar",
            Self::TimeUp => "onTimeUp",
        }
    }

    /// The one that a call takes which is out of its conference; None if none is meant for that.
    pub fn of(cause: Cause) -> Option<Self> {
        match cause {
            Cause::Alone => Some(Self::Alone),
            Cause::Banned => Some(Self::Ban),
            Cause::Drained | Cause::Ended => Some(Self::End),
            Cause::Full => Some(Self::Full),
            Cause::GroupKicked | Cause::Kicked => Some(Self::Kick),
            Cause::NotMember => Some(Self::Ban),
            Cause::Starred => Some(Self::Star),
            Cause::TimeUp => Some(Self::TimeUp),
            Cause::CallTimeUp | Cause::CallerLeft | Cause::HungUpByApi | Cause::MediaLost => None,
            Cause::Fault | Cause::Transferred => None,
        }
    }
}

/// Where the ways out of one element lead: the numbers of elements, all of them further on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Branches(pub(super) Box<[(Branch, u32)]>);

impl Branches {
    /// Where one leads, if the author has said so.
    pub fn find(&self, branch: Branch) -> Option<u32> {
        self.iter().find(|(it, _)| *it == branch).map(|(_, step)| step)
    }

    /// All that the author has stated.
    pub fn iter(&self) -> impl Iterator<Item = (Branch, u32)> {
        self.0.iter().copied()
    }
}

/// What any element of `<Response>` may have.
pub const ID: Attr = Attr {
    name: "id",
    doc: " A name for the element, so that a branch, or a kick, can lead there.",
    kind: AttrKind::Id,
    plivo: None,
    vobiz: None,
    example: "kicked",
    idle: None,
};

/// An element's name, if it has one. An element inside of others cannot have one.
pub(super) fn id(element: &XmlElement<'_>, warnings: &mut Vec<FlowWarning>) -> Option<Arc<str>> {
    let attribute = element.attributes.iter().find(|it| it.name == ID.name)?;
    let id = <Arc<str>>::read(&attribute.value, ID.kind);
    if id.is_none() {
        let (value, wanted) = (clip(&attribute.value), ID.kind);
        let warning =
            FlowWarningKind::AttributeValue { name: ID.name, value, wanted, default: None };
        warnings.push(FlowWarning { at: attribute.at, warning });
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::ids::Dialect,
        flow::{Flow, FlowStep},
    };

    /// What a document's branches are, an element a line, or what is wrong; then the warnings.
    #[track_caller]
    fn check(elements: &str, expected: &str) {
        let document = format!("<Response>{elements}</Response>");
        let shown = match Flow::parse(&document, Dialect::Plivo) {
            Err(error) => error.to_string(),
            Ok(flow) => {
                let branch = |(it, to): (Branch, u32)| format!(" {}={to}", it.attribute());
                let line = |step: &FlowStep| {
                    let id = step.id.as_ref().map_or_else(String::new, |id| format!(" #{id}"));
                    let branches: String = step.branches.iter().map(branch).collect();
                    format!("{}{id}{branches}", step.verb.info().tag)
                };
                let warnings = flow.warnings.iter().map(ToString::to_string);
                flow.steps.iter().map(line).chain(warnings).collect::<Vec<_>>().join("\n")
            }
        };
        assert_eq!(shown, expected, "{elements}");
    }

    #[test]
    fn a_branch_leads_to_the_element_of_that_id() {
        check(
            "<Conference onKick='k' onEnd='e' onTimeUp='e' onAlone='k' onStar='k' onFull='k' \
             onBan='e' onError='k'>a</Conference><Hangup/><Speak id='k'>b</Speak><Wait id='e'/>",
            "Conference onKick=2 onEnd=3 onTimeUp=3 onAlone=2 onStar=2 onFull=2 onBan=3 onError=2\n\
             Hangup\nSpeak #k\nWait #e",
        );
        check(
            "<GetDigits onError='e'/><GetInput action='flow:a' inputType='dtmf' onError='e'/>\
             <Redirect onError='e'>flow:a</Redirect><Wait id='e'/>",
            "GetDigits onError=3\nGetInput onError=3\nRedirect onError=3\nWait #e",
        );
        check(
            "<PreAnswer id='p'><GetDigits onError='e'/></PreAnswer><Wait id='e'/>",
            "PreAnswer #p\nGetDigits onError=2\nWait #e",
        );
        check("<Conference onKick=''>a</Conference>", "Conference");
    }

    #[test]
    fn a_branch_that_leads_back_or_nowhere_is_an_error() {
        check(
            "<Wait id='here'/>\n<Conference onKick='here'>a</Conference>",
            "2:13: onKick=\"here\" leads back to 1:11, and a branch leads forwards only: name an \
             element further on, or go to one with <Redirect>",
        );
        check(
            "<Conference id='here' onEnd='here'>a</Conference>",
            "1:33: onEnd=\"here\" leads back to 1:11, and a branch leads forwards only: name an \
             element further on, or go to one with <Redirect>",
        );
        check(
            "<Conference onStar='kickd'>a</Conference><Wait id='kicked'/>",
            "1:23: onStar=\"kickd\" leads nowhere (did you mean kicked?): give an element further \
             on that id",
        );
        check(
            "<Redirect onError='x'>flow:a</Redirect><GetDigits><Wait id='x'/></GetDigits>",
            "1:21: onError=\"x\" leads nowhere: give an element further on that id",
        );
    }

    #[test]
    fn an_id_is_unique() {
        check(
            "<Wait id='a'/>\n<Wait length='2' id='a'/>",
            "2:18: the id \"a\" is taken by the element at 1:11: give each element its own",
        );
    }

    #[test]
    fn an_id_is_a_name_of_an_element_of_its_own() {
        let wanted = "1 to 64 of the letters A to Z, digits, and . _ -";
        check("<Wait id='a b'/>", &format!("Wait\n1:17: id=\"a b\" is ignored: write {wanted}"));
        check("<Wait id=''/>", &format!("Wait\n1:17: id=\"\" is ignored: write {wanted}"));
        check(
            "<GetDigits><Wait id='a'/></GetDigits>",
            "GetDigits\n1:28: <Wait> has no attribute \"id\"; it is ignored",
        );
        check(
            "<Wait onKick='a'/><Wait id='a'/>",
            "Wait\nWait #a\n1:17: <Wait> has no attribute \"onKick\"; it is ignored",
        );
    }
}
