//! Web console: its built files, the origins that it may be opened at, and the sessions of its users.
//!
//! The page is a client of the public API. The only thing of its own is a session, so that a user
//! types a token once and the browser keeps none. `page/` has the source of the page, and `dist/` what
//! `npm run build` makes of it. Both are committed: a build of conflow needs no Node.js.

pub mod files;
pub mod origins;
pub mod sessions;

use self::{origins::ConsoleOrigins, sessions::ConsoleSessions};

/// The console of a server.
#[derive(Debug)]
pub struct Console {
    /// Where it may be opened.
    pub origins: ConsoleOrigins,
    /// Who has signed in.
    pub sessions: ConsoleSessions,
    /// Development mode: the page helps a newcomer.
    pub is_development: bool,
}
