//! Exit branches: the element at which a flow continues, by the way in which an element ended.

use std::sync::Arc;

use super::{
    AttrKind, Cause, FlowWarning, FlowWarningKind, attr::Attr, element::XmlElement, error::clip,
    field::AttrValue,
};

/// A way out of an element that an attribute can lead to a later element.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Branch {
    /// `onAlone`: all other members have left.
    Alone,
    /// `onBan`: the caller is banned, or not a member of the room's group.
    Ban,
    /// `onEnd`: the room ended, or the engine shuts down.
    End,
    /// `onError`: a document cannot be fetched or parsed, or a dial connected nobody.
    Error,
    /// `onFull`: the room has reached its member limit.
    Full,
    /// `onKick`: a REST kick, or removal from the room's group.
    Kick,
    /// `onStar`: the caller pressed `*` with `hangupOnStar`.
    Star,
    /// `onTimeUp`: the room's time limit.
    TimeUp,
}

impl Branch {
    /// All branches, in the order of their names.
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

    /// Name of the attribute that holds the target's id.
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

    /// The branch for an exit cause; None if no branch exists for it.
    pub fn of(cause: Cause) -> Option<Self> {
        match cause {
            Cause::Alone => Some(Self::Alone),
            Cause::Banned => Some(Self::Ban),
            Cause::DialEnded => None,
            Cause::DialFailed => Some(Self::Error),
            Cause::DialStarred => Some(Self::Star),
            Cause::DialTimeUp => Some(Self::TimeUp),
            Cause::Drained | Cause::Ended => Some(Self::End),
            Cause::Full => Some(Self::Full),
            Cause::GroupKicked | Cause::Kicked => Some(Self::Kick),
            Cause::NotMember => Some(Self::Ban),
            Cause::Starred => Some(Self::Star),
            Cause::TimeUp => Some(Self::TimeUp),
            Cause::CallTimeUp | Cause::CallerLeft | Cause::HungUpByApi | Cause::MediaLost => None,
            Cause::Crashed | Cause::Fault | Cause::Transferred => None,
        }
    }
}

/// Targets of one element's branches: indexes of later elements.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Branches(pub(super) Box<[(Branch, u32)]>);

impl Branches {
    /// Index of the target element; None if the attribute is missing.
    pub fn find(&self, branch: Branch) -> Option<u32> {
        self.iter().find(|(it, _)| *it == branch).map(|(_, step)| step)
    }

    /// All stated branches with the indexes of their targets.
    pub fn iter(&self) -> impl Iterator<Item = (Branch, u32)> {
        self.0.iter().copied()
    }
}

/// The `id` attribute, which any element of `<Response>` may have.
pub const ID: Attr = Attr {
    name: "id",
    doc: " A name for the element, so that a branch, or a kick, can lead there.",
    kind: AttrKind::Id,
    plivo: None,
    vobiz: None,
    example: "kicked",
    idle: None,
};

/// The element's id, if it has a valid one. Nested elements cannot have one.
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

    /// Compares the resolved branches, one element per line, or the error; then the warnings.
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
            "2:13: onKick=\"here\" leads back to 1:11: name a later element, or go back with \
             <Redirect>",
        );
        check(
            "<Conference id='here' onEnd='here'>a</Conference>",
            "1:33: onEnd=\"here\" leads back to 1:11: name a later element, or go back with \
             <Redirect>",
        );
        check(
            "<Conference onStar='kickd'>a</Conference><Wait id='kicked'/>",
            "1:23: onStar=\"kickd\" leads nowhere (did you mean kicked?): give a later element \
             that id",
        );
        check(
            "<Redirect onError='x'>flow:a</Redirect><GetDigits><Wait id='x'/></GetDigits>",
            "1:21: onError=\"x\" leads nowhere: give a later element that id",
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
    fn only_a_direct_child_of_the_root_has_an_id() {
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
