//! Sound: sounds from the web.

mod web;
