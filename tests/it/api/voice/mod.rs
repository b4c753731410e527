//! The voice API: conferences, members, kicks, bans, calls, traces, events.

mod bans;
mod calls;
mod events;
mod kick;
mod rooms;
mod trace;
