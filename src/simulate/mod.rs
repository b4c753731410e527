//! Simulation: a flow, callers who do what an events file says, and nobody's real time.
//!
//! The machines and shells are the engine's own, the phones are simulated, and the clock jumps to
//! whatever is due next: an hour of conference takes milliseconds. Ids are counted and every turn
//! is taken in the same order, so the same events tell the same story, line by line; unless a seed
//! shuffles who comes first within a moment, which is how [`explore()`] finds races.

pub mod command;
mod documents;
mod explore;
mod fields;
mod note;
mod print;
mod report;
mod run;
mod schedule;
mod script;
mod world;

pub use self::{
    documents::{ScriptDocument, SimulatedFlows},
    explore::{Endings, Explored, FoundEnding, explore},
    report::{CallerReport, Note, SimulationReport},
    run::{Endless, TURNS_MAX, run},
    schedule::Schedule,
    script::{
        AT_MAX, CALLERS_MAX, EVENTS_MAX, Script, ScriptAction, ScriptCaller, ScriptError,
        ScriptEvent, ScriptMemberCommand, ScriptPhoneAction, ScriptTargets,
    },
};
