//! Causes of an error, for the log and the terminal.

use std::iter;

/// The text of an error with its causes; none is there twice.
pub fn causes(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in iter::chain([error.to_string()], error.chain().skip(1).map(ToString::to_string)) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text += &format!(": {cause}");
        }
    }
    text
}
