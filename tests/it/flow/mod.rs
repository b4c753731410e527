//! Flows: parsing, error messages, verbs, runs, exit branches, the gallery.

mod branch;
mod digits;
mod error;
mod error_messages;
mod gallery;
mod loops;
mod mutations;
mod record;
mod reference;
mod run;
mod verbs;
