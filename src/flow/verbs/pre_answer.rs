//! `<PreAnswer>`: something to hear before the call is answered.

use super::{Start, Text, Vendors, VerbInfo};
use crate::flow::{FlowError, attrs::Reading};

/// Runs what is in it as early media: the call is not answered yet. What follows answers it.
///
/// What is in it follows it as steps of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct PreAnswer {}

impl PreAnswer {
    /// What the reference says of it.
    pub const INFO: VerbInfo = VerbInfo {
        tag: "PreAnswer",
        doc: r#" Runs what is in it as early media: the call is not answered yet. What follows answers it.

 ```xml
 <Response>
   <PreAnswer><Play>sound:ring</Play></PreAnswer>
   <Conference>weekly</Conference>
 </Response>
 ```
"#,
        vendors: Vendors::Both,
        text: Text::None,
        children: &["Speak", "Play", "Wait", "GetDigits", "Redirect", "Message", "DTMF"],
        answers: false,
        is_run: true,
        attrs: &[],
    };

    pub(super) fn parse(_reading: &mut Reading<'_, '_>) -> Result<Self, FlowError> {
        Ok(Self {})
    }

    pub(super) fn begin(&self) -> Start {
        Start::EarlyMedia
    }
}
