//! The voice API: conferences, members, kicks, bans, calls, traces, events.

mod bans;
mod calls;
mod deliveries;
mod events;
mod kick;
mod provisioning;
mod rooms;
mod trace;
