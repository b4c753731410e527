//! Kicks: whom, what follows for each, and what would follow.

use std::{mem, sync::Arc};

use super::{Answer, Conference, Outcome, Refusal, Who, member::Leaver};
use crate::{
    flow::{Bilingual, Cause, Exit, Next, Then},
    ids::{CallId, MemberId},
};

/// What whoever kicks says of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kick {
    /// In the kicker's words.
    pub reason: Option<Arc<str>>,
    /// Where those go on who are kicked.
    pub course: Course,
    /// Nothing is done; the answer tells what would be.
    pub is_dry: bool,
}

/// Where somebody goes on who is kicked.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Course {
    /// With this document.
    Document(Box<Bilingual>),
    /// At the element of this id, which must lie ahead.
    Element(Arc<str>),
    /// With the document of this URL; if that cannot be had, at the next element.
    Fetch(Arc<str>),
    /// As its flow has it.
    #[default]
    Flow,
    /// Nowhere: the call ends.
    HangUp,
}

/// Somebody who would leave.
#[derive(Clone, Debug, PartialEq)]
pub struct Departure {
    /// The place.
    pub member: MemberId,
    /// The call.
    pub call: CallId,
    /// Why.
    pub cause: Cause,
    /// What the call would do next.
    pub next: Next,
}

impl Conference {
    /// All or none: an element that is not ahead of somebody is a refusal.
    pub(super) fn kick(&mut self, who: Who, kick: &Kick) -> Outcome {
        let exits = self.exits(who, kick)?;
        if kick.is_dry {
            return Ok(Answer::Departures(self.rehearse(&exits)));
        }
        for (id, exit) in &exits {
            self.take_out(*id, exit);
            self.fuse();
        }
        Ok(Answer::Members(exits.into_iter().map(|(id, _)| id).collect()))
    }

    /// How each of those leaves who are here.
    fn exits(&self, who: Who, kick: &Kick) -> Result<Vec<(MemberId, Exit)>, Refusal> {
        let chosen = self.choose(who)?;
        let mut exits = Vec::with_capacity(chosen.len());
        let mut without = Vec::new();
        for id in chosen {
            let then = match &kick.course {
                Course::Document(document) => {
                    let dialect = self.members[&id].call.party.dialect;
                    Then::Document(document.of(dialect).clone())
                }
                Course::Element(element) => match self.members[&id].call.ahead(element) {
                    Some(step) => Then::Element(step),
                    None => {
                        without.push(id);
                        continue;
                    }
                },
                Course::Fetch(url) => Then::Fetch(url.clone()),
                Course::Flow => Then::Onward,
                Course::HangUp => Then::HangUp,
            };
            exits.push((id, Exit { cause: Cause::Kicked, reason: kick.reason.clone(), then }));
        }
        match &kick.course {
            Course::Element(element) if !without.is_empty() => {
                Err(Refusal::NoElement { element: element.clone(), members: without })
            }
            Course::Document(_) | Course::Element(_) | Course::Fetch(_) => Ok(exits),
            Course::Flow | Course::HangUp => Ok(exits),
        }
    }

    /// Does it, with all that follows, and undoes it.
    fn rehearse(&mut self, exits: &[(MemberId, Exit)]) -> Vec<Departure> {
        let before = (self.deadlines.clone(), self.typed.clone(), self.floor.clone());
        exits.iter().for_each(|(id, exit)| self.take_out(*id, exit));
        self.cascade();
        let departure = |it: &Leaver| Departure {
            member: it.id,
            call: it.member.call.id,
            cause: it.exit.cause,
            next: it.member.call.forecast(&it.exit),
        };
        let departures = self.leavers.iter().map(departure).collect();
        for leaver in mem::take(&mut self.leavers) {
            self.members.insert(leaver.id, leaver.member);
        }
        (self.deadlines, self.typed, self.floor) = before;
        departures
    }
}
