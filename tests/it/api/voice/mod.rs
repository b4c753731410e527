//! TODO first line.

mod bans;
mod calls;
mod events;
mod kick;
mod rooms;
mod trace;
