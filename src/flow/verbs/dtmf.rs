//! `<DTMF>`: sends key presses.

use std::sync::Arc;

use super::{Vendors, VerbStart};
use crate::flow::{
    AttrKind, FlowError,
    attrs::{ElementReader, verb},
};

verb! {
    /// Sends the keys in its text to the caller.
    ///
    /// ```xml
    /// <DTMF async="false">1W23#</DTMF>
    /// ```
    pub struct DtmfVerb {
        /// Keys and pauses; None if the text is invalid.
        pub digits: Option<Arc<str>>,
        /// Whether the flow waits until they are sent.
        pub awaits: bool,
    }
    "DTMF", Vendors::Both, text Digits, holds &[], answers true;

    /// The flow continues at once. If false, it continues when the keys are sent.
    is_async: bool = "async" [AttrKind::Bool] or true, like "false";
}

impl DtmfVerb {
    pub(super) fn parse(reading: &mut ElementReader<'_, '_>) -> Result<Self, FlowError> {
        let Rows { is_async } = Rows::read(reading);
        let digits: String = reading.element.text.split_whitespace().collect();
        let fits = |char| matches!(char, '0'..='9' | '*' | '#' | 'w' | 'W');
        let digits = (!digits.is_empty() && digits.chars().all(fits)).then(|| digits.into());
        if digits.is_none() {
            reading.warn_idle_element(
                "write keys out of 0123456789*#, w for a pause of 0.5 s or W for 1 s",
            );
        }
        Ok(Self { digits, awaits: !is_async })
    }

    pub(super) fn begin(&self) -> VerbStart {
        match &self.digits {
            Some(digits) => VerbStart::Send { digits: digits.clone(), awaits: self.awaits },
            None => VerbStart::Next,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::flow::verbs::check;

    #[test]
    fn reads_keys() {
        check(
            "<DTMF>1 2*#wW</DTMF>",
            r#"Dtmf(DtmfVerb { digits: Some("12*#wW"), awaits: false })"#,
        );
        let awaited = r#"Dtmf(DtmfVerb { digits: Some("1"), awaits: true })"#;
        check("<DTMF async='false'>1</DTMF>", awaited);
    }

    #[test]
    fn passes_over_what_is_no_key() {
        let expected = "Dtmf(DtmfVerb { digits: None, awaits: false })\n1:11: <DTMF> is skipped: \
                        write keys out of 0123456789*#, w for a pause of 0.5 s or W for 1 s";
        check("<DTMF>1x</DTMF>", expected);
        check("<DTMF/>", expected);
    }
}
