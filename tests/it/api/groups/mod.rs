//! TODO first line.

mod access;
mod dialects;
mod golden;
mod guarded;
mod kicks;
mod kill;
mod routes;
mod sockets;
