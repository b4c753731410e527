//! TODO first line.

mod web;
