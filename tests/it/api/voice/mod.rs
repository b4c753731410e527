//! The voice API: conferences, members, kicks, bans, calls, recordings, traces, events.

mod bans;
mod calls;
mod deliveries;
mod events;
mod kick;
mod provisioning;
mod record;
mod record_element;
mod recorded;
mod recordings;
mod rooms;
mod trace;
