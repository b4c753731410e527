//! `<PreAnswer>`: elements that run before the call is answered.

use super::{TextKind, Vendors, VerbInfo, VerbStart};
use crate::flow::{FlowError, attrs::ElementReader};

/// Runs its children as early media, before the call is answered. The next element answers it.
///
/// The children follow it as steps of the flow.
#[derive(Clone, Debug, PartialEq)]
pub struct PreAnswerVerb {}

impl PreAnswerVerb {
    /// Tag, children and documentation.
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
        text: TextKind::None,
        children: &["Speak", "Play", "Wait", "GetDigits", "Redirect", "Message", "DTMF"],
        answers: false,
        is_run: true,
        attrs: &[],
    };

    pub(super) fn parse(_reading: &mut ElementReader<'_, '_>) -> Result<Self, FlowError> {
        Ok(Self {})
    }

    pub(super) fn begin(&self) -> VerbStart {
        VerbStart::EarlyMedia
    }
}

#[cfg(test)]
mod tests {
    use crate::flow::verbs::check;

    #[test]
    fn holds_what_needs_no_answer() {
        let only = "only <Speak>, <Play>, <Wait>, <GetDigits>, <Redirect>, <Message> or <DTMF>";
        check(
            "<PreAnswer><Conference>a</Conference></PreAnswer>",
            &format!("1:22: <PreAnswer> holds no <Conference>, {only}"),
        );
        let expected = "1:32: <Wait> holds no elements: close it before <Speak>";
        check("<PreAnswer><DTMF/><Wait><Speak/></Wait></PreAnswer>", &expected.replace("32", "35"));
    }

    #[test]
    fn its_children_follow_it() {
        check(
            "<PreAnswer><DTMF>1</DTMF></PreAnswer><Hangup/>",
            "PreAnswer(PreAnswerVerb)\n\
             Dtmf(DtmfVerb { digits: Some(\"1\"), awaits: false })\n\
             Hangup(HangupVerb { unanswered: Normal, schedule: None })",
        );
    }
}
