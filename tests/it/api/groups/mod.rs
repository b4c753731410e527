//! The groups' APIs: four vendors' dialects, the admin API, sockets.

mod access;
mod credentials;
pub(super) mod dialects;
mod golden;
mod guarded;
mod kicks;
mod kill;
mod routes;
mod sockets;
