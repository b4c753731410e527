//! SIP signalling.

pub mod admission;
pub mod agent;
pub mod body;
pub mod call;
pub mod dialog;
pub mod digest;
pub mod driver;
pub mod effect;
pub mod ending;
pub mod fault;
pub mod ids;
pub mod info;
pub mod invite;
pub mod legs;
pub mod message;
pub mod name;
pub mod network;
pub mod registrar;
pub mod request;
pub mod session_timer;
pub mod settings;
pub mod stream;
pub mod throttle;
pub mod timers;
pub mod transaction;
pub mod uri;
pub mod value;
pub mod wire;
pub mod within;

pub use driver::{BindError, Driver, Sip};
pub use legs::{LegSummary, Legs, NoPort, Session};
pub use settings::{Endpoint, Password, Settings, Trunk};

/// What we call ourselves.
const SERVER: &str = concat!("conflow/", env!("CARGO_PKG_VERSION"));

/// RFC 3261, 19.1.2.
pub const PORT_DEFAULT: u16 = 5060;
