//! The media port.

mod router;
