//! Parameters that many operations share.

use serde_json::{Value, json};

/// A host name or an IP address, without user and password.
const HOST: &str = "([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?[.])*[A-Za-z]([A-Za-z0-9-]*[A-Za-z0-9])?\
                    |(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])([.](25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])){3}\
                    |\\[::1\\]|\\[[0-9A-Fa-f]{1,4}(:[0-9A-Fa-f]{1,4}){7}\\]";

/// The part after the host: port, path and query.
const REST: &str = "(:[1-9][0-9]{0,3})?([/?#][!-~]*)?";

/// An HTTP URL that conflow requests.
pub(super) fn url(about: &str) -> Value {
    let pattern = format!("^https?://({HOST}){REST}$");
    json!({ "type": "string", "maxLength": 2_000, "pattern": pattern, "description": about })
}

/// The URL of a document, or a local flow.
pub(super) fn document(about: &str) -> Value {
    let pattern = format!("^(flow:[!-~]+|https?://({HOST}){REST})$");
    json!({ "type": "string", "maxLength": 2_000, "pattern": pattern, "description": about })
}

/// A sound that is heard when a member enters or leaves.
pub(super) fn cue(about: &str) -> Value {
    let rest = format!("flow:[!-~]+|sound:(beep|hold|ring)|https?://({HOST}){REST}");
    let pattern = format!("^(beep:[12]|{rest})$");
    json!({ "type": "string", "maxLength": 2_000, "pattern": pattern, "description": about })
}

/// The HTTP method for a URL.
pub(super) fn method() -> Value {
    json!({ "enum": ["POST", "GET"], "default": "POST" })
}

/// The pattern of a sound URL, from the characters that may follow `//` first and later.
pub(super) fn sound(first: &str, later: &str) -> String {
    format!("(https?://{first}{later}*|flow:{later}+|sound:(beep|hold|ring))")
}

/// A boolean with a default.
pub(super) fn flag(default: bool, about: &str) -> Value {
    json!({ "type": "boolean", "default": default, "description": about })
}

/// An integer in a range.
pub(super) fn number(min: u32, max: u32, about: &str) -> Value {
    json!({ "type": "integer", "minimum": min, "maximum": max, "description": about })
}

/// The legs of a call.
pub(super) fn legs() -> Value {
    let about = "`bleg` is the callee that the call's `<Dial>` has connected: 404 without one.";
    json!({ "enum": ["aleg", "bleg", "both"], "default": "aleg", "description": about })
}

/// A UTC time such as `2026-08-31 20:08:21`.
pub(super) fn time() -> Value {
    let date = "(19[7-9]|20[0-9])[0-9]-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])";
    let time = "([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]([.][0-9]{1,6})?)?";
    json!({ "type": "string", "pattern": format!("^{date}( {time})?$") })
}

/// The direction of a call.
pub(super) fn direction() -> Value {
    json!({ "enum": ["inbound", "outbound"] })
}

/// The parameters of a Speak (contracts 2.8 and 5.1).
pub(super) fn speak(chars_max: usize) -> [(&'static str, Value); 3] {
    let text = json!({ "type": "string", "maxLength": chars_max, "pattern": "\\S" });
    let language = json!({
        "type": "string",
        "maxLength": 35,
        "pattern": "^[A-Za-z0-9]{1,8}(-[A-Za-z0-9]{1,8})*$",
        "default": "en-US",
    });
    let voice = json!({ "enum": ["MAN", "WOMAN"], "default": "WOMAN" });
    [("text", text), ("voice", voice), ("language", language)]
}
