//! Sound: files and sounds from the web.

mod web;
