//! Order checks: where a kicked caller continues, and which elements no call reaches.

use std::collections::BTreeSet;

use super::{
    Code,
    finding::{Finding, ParsedElement, add},
};
use crate::flow::{Action, AttrKind, Branch, ID, Verb, error::clip, url};

/// The elements of a document without errors, in the order in which they run.
pub(super) struct ElementOrder<'i, 'e, 'd> {
    pub(super) items: &'i [ParsedElement<'e, 'd>],
    /// Ids that a branch names.
    targets: BTreeSet<&'e str>,
    /// Elements that no call reaches.
    dead: Vec<DeadElements>,
}

/// Consecutive elements that no call reaches.
struct DeadElements {
    first: usize,
    end: usize,
    /// Index of the element that leads away.
    after: usize,
    why: &'static str,
}

impl<'i, 'e, 'd> ElementOrder<'i, 'e, 'd> {
    pub(super) fn of(items: &'i [ParsedElement<'e, 'd>]) -> Self {
        let named = |item: &'i ParsedElement<'e, 'd>| {
            let rows = item.verb.info().attrs.iter().filter(|attr| attr.kind == AttrKind::Element);
            rows.filter_map(move |attr| item.attribute(attr.name)).map(|it| it.value.trim())
        };
        let targets = items.iter().flat_map(named).collect();
        let mut order = Self { items, targets, dead: Vec::new() };
        order.dead = order.find_dead();
        order
    }

    /// Elements that a call may reach.
    pub(super) fn reachable(&self) -> impl Iterator<Item = (usize, &'i ParsedElement<'e, 'd>)> {
        let is_dead = |i: usize| self.dead.iter().any(|it| (it.first..it.end).contains(&i));
        self.items.iter().enumerate().filter(move |(i, _)| !is_dead(*i))
    }

    /// Whether an element, branch or action follows for a caller who leaves by this branch.
    pub(super) fn goes_on(&self, i: usize, branch: Branch) -> bool {
        let item = &self.items[i];
        let has_action = action(&item.verb).is_some_and(|it| it.redirects);
        i + 1 < self.items.len() || has_action || leads(item, branch)
    }

    pub(super) fn judge(&self, findings: &mut Vec<Finding>) {
        for dead in &self.dead {
            let (first, after) = (&self.items[dead.first], &self.items[dead.after]);
            let more = match dead.end - dead.first {
                1 => String::new(),
                2 => " and the next element".to_owned(),
                n => format!(" and the next {} elements", n - 1),
            };
            let (tag, other, at) = (first.element.tag, after.element.tag, after.element.at);
            let message =
                format!("no call reaches this <{tag}>{more}: <{other}> at {at} {}", dead.why);
            add(findings, first.element.at, Code::DeadElement, message);
        }
        for (i, item) in self.reachable() {
            self.judge_kick(i, item, findings);
            judge_action(item, findings);
        }
        for item in self.items {
            self.judge_id(item, findings);
        }
    }

    fn judge_kick(&self, i: usize, item: &ParsedElement<'_, '_>, findings: &mut Vec<Finding>) {
        if matches!(item.verb, Verb::Conference(_)) && !self.goes_on(i, Branch::Kick) {
            let message = "a kick here ends the call: no element follows".to_owned();
            add(findings, item.element.at, Code::KickEndsCall, message);
        }
    }

    fn judge_id(&self, item: &ParsedElement<'_, '_>, findings: &mut Vec<Finding>) {
        let (Some(id), Some(attribute)) = (&item.id, item.attribute(ID.name)) else { return };
        if !self.targets.contains(&**id) {
            let message = format!("no branch leads to id={id:?}: only a kick that names it does");
            add(findings, attribute.at, Code::UnusedId, message);
        }
    }

    fn find_dead(&self) -> Vec<DeadElements> {
        let mut rows: Vec<DeadElements> = Vec::new();
        let mut away = None;
        for (i, item) in self.items.iter().enumerate() {
            if item.id.is_some() {
                // A branch or a kick can lead here.
                away = None;
            }
            let Some((after, why)) = away else {
                away = leads_away(&item.verb).map(|why| (i, why));
                continue;
            };
            match rows.last_mut().filter(|it| it.after == after) {
                Some(dead) => dead.end = i + 1,
                None => rows.push(DeadElements { first: i, end: i + 1, after, why }),
            }
        }
        rows
    }
}

/// Warns if a failing action ends the call. Local files are checked by the folder checks.
fn judge_action(item: &ParsedElement<'_, '_>, findings: &mut Vec<Finding>) {
    let Some(action) = action(&item.verb) else { return };
    let Some(attribute) = item.attribute("action") else { return };
    if action.redirects && url::is_web(&action.url) && !leads(item, Branch::Error) {
        let message = format!(
            "if {:?} cannot be fetched or returns no flow, the call ends (7012, 8012)",
            clip(&action.url)
        );
        add(findings, attribute.at, Code::ActionWithoutOnError, message);
    }
}

/// Whether the element names a target for this branch. An empty attribute does not count.
fn leads(item: &ParsedElement<'_, '_>, branch: Branch) -> bool {
    item.attribute(branch.attribute()).is_some_and(|it| !it.value.trim().is_empty())
}

fn action(verb: &Verb) -> Option<&Action> {
    match verb {
        Verb::Conference(verb) => verb.options.action.as_ref(),
        Verb::Dial(verb) => verb.options.action.as_ref(),
        Verb::Gather(verb) => verb.collect.action.as_ref(),
        Verb::GetDigits(verb) => verb.collect.action.as_ref(),
        Verb::GetInput(verb) => verb.collect.action.as_ref(),
        Verb::Record(verb) => verb.settings.action.as_ref(),
        Verb::Dtmf(_) | Verb::Hangup(_) | Verb::Message(_) => None,
        Verb::MultiPartyCall(_) | Verb::Play(_) | Verb::PreAnswer(_) => None,
        Verb::Redirect(_) | Verb::Speak(_) | Verb::Stream(_) | Verb::Wait(_) => None,
    }
}

/// Why no call continues after this element; None if a call may.
pub(super) fn leads_away(verb: &Verb) -> Option<&'static str> {
    let endless = "plays for as long as the call is up";
    match verb {
        Verb::Conference(_) | Verb::Dial(_) | Verb::Record(_) => action(verb)
            .filter(|action| action.redirects)
            .map(|_| "requests its action, whose response runs instead"),
        Verb::Hangup(verb) => verb.schedule.is_none().then_some("ends the call"),
        Verb::Play(_) | Verb::Speak(_) => {
            verb.sound().is_some_and(|sound| sound.times == 0).then_some(endless)
        }
        Verb::Redirect(_) => Some("leads to another document"),
        Verb::Dtmf(_) | Verb::Gather(_) | Verb::GetDigits(_) => None,
        Verb::GetInput(_) | Verb::Message(_) | Verb::MultiPartyCall(_) => None,
        Verb::PreAnswer(_) | Verb::Stream(_) | Verb::Wait(_) => None,
    }
}

/// Whether the caller hears or waits for something here. The engine does not end a loop
/// through such an element.
pub(super) fn takes_time(verb: &Verb) -> bool {
    match verb {
        Verb::Conference(_) | Verb::Dial(_) | Verb::Wait(_) => true,
        Verb::Gather(_) | Verb::GetDigits(_) | Verb::GetInput(_) => true,
        Verb::Dtmf(verb) => verb.awaits && verb.digits.is_some(),
        Verb::Play(_) | Verb::Speak(_) => verb.sound().is_some(),
        Verb::Record(verb) => verb.is_message(),
        Verb::Hangup(_) | Verb::Message(_) | Verb::MultiPartyCall(_) => false,
        Verb::PreAnswer(_) | Verb::Redirect(_) | Verb::Stream(_) => false,
    }
}

/// Whether a caller or an API request can lead the call elsewhere from here.
pub(super) fn offers_exit(verb: &Verb) -> bool {
    match verb {
        Verb::Conference(_) | Verb::Dial(_) => true,
        Verb::Gather(_) | Verb::GetDigits(_) | Verb::GetInput(_) | Verb::Record(_) => {
            action(verb).is_some_and(|action| action.redirects)
        }
        // A scheduled hang-up ends the call after a while.
        Verb::Hangup(_) => true,
        Verb::Dtmf(_) | Verb::Message(_) | Verb::MultiPartyCall(_) => false,
        Verb::Play(_) | Verb::PreAnswer(_) | Verb::Redirect(_) => false,
        Verb::Speak(_) | Verb::Stream(_) | Verb::Wait(_) => false,
    }
}
