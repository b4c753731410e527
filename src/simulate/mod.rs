//! Simulation: runs a flow with the callers of an events file on a virtual clock.
//!
//! The machines and actors are those of the engine, the phones are simulated, and the clock jumps
//! to the next due time: an hour of conference takes milliseconds. Ids are counted, and turns have
//! a fixed order, so the same events give the same report, line by line. A seed shuffles the order
//! within a moment; [`explore()`] finds races that way.

mod answers;
pub mod command;
mod dial;
mod documents;
mod explore;
mod fields;
mod invitation;
mod note;
mod print;
mod record;
mod recorded;
mod recordings;
mod report;
mod run;
mod run_recordings;
mod schedule;
mod script;
mod world;

pub use self::{
    documents::{ScriptDocument, SimulatedFlows},
    explore::{Endings, Explored, FoundEnding, explore},
    invitation::ScriptInvitation,
    recorded::{ScriptRecorded, ScriptRecording, ScriptRecordingCommand},
    report::{CallerReport, Note, SimulationReport},
    run::{Endless, TURNS_MAX, run},
    schedule::Schedule,
    script::{
        AT_MAX, CALLERS_MAX, EVENTS_MAX, Script, ScriptAction, ScriptCaller, ScriptError,
        ScriptEvent, ScriptMemberCommand, ScriptPhoneAction, ScriptTargets,
    },
};
