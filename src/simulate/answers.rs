//! Answers: what requests to conferences return, in one line of the log.

use super::world::SimulatedWorld;
use crate::{base::ids::MemberId, conference::Departure, flow::Forecast};

pub(super) fn names(world: &SimulatedWorld, members: &[MemberId]) -> String {
    let seen = world.seen.lock();
    let name = |member: &MemberId| {
        let call = seen.callers.get(member);
        call.map_or_else(|| format!("member {member}"), |it| world.name(*it).to_owned())
    };
    members.iter().map(name).collect::<Vec<_>>().join(", ")
}

pub(super) fn banned(world: &SimulatedWorld, members: &[MemberId], unknown: &[MemberId]) -> String {
    let names_ = names(world, members);
    match unknown.is_empty() {
        true => format!("{names_}; banned"),
        false => format!(
            "{names_}; not banned, because their identity is not trusted: {}",
            names(world, unknown)
        ),
    }
}

pub(super) fn would_leave(world: &SimulatedWorld, departures: &[Departure]) -> String {
    let next = |it: &Departure| {
        let name = world.name(it.call);
        let next = match &it.next {
            Forecast::Element { tag, at, .. } => format!("{tag} {at}"),
            Forecast::End(ending) => ending.cause.name().to_owned(),
            Forecast::Fetch(url) => url.to_string(),
        };
        format!("{name} ({}) to {next}", it.cause.text())
    };
    let would: Vec<_> = departures.iter().map(next).collect();
    format!("would leave: {}", would.join(", "))
}
