//! Words of TwiML, for people who come from Twilio: what the vendors call the same thing.

/// Elements of TwiML that the vendors lack, and their counterparts.
const ELEMENTS: &[(&str, &str)] = &[
    ("Client", "Dial"),
    ("Connect", "Stream"),
    ("Enqueue", "Conference"),
    ("Leave", "Redirect"),
    ("Number", "Dial"),
    ("Pause", "Wait"),
    ("Queue", "Conference"),
    ("Reject", "Hangup"),
    ("Say", "Speak"),
    ("Sip", "Dial"),
    ("Sms", "Message"),
    ("Start", "Stream"),
];

/// Attributes of TwiML, and their counterparts.
const ATTRIBUTES: &[(&str, &str)] = &[
    ("input", "inputType"),
    ("partialResultCallback", "interimSpeechResultsCallback"),
    ("partialResultCallbackMethod", "interimSpeechResultsCallbackMethod"),
    ("recordingStatusCallback", "callbackUrl"),
    ("recordingStatusCallbackMethod", "callbackMethod"),
    ("speechTimeout", "speechEndTimeout"),
    ("statusCallback", "callbackUrl"),
    ("statusCallbackMethod", "callbackMethod"),
    ("timeout", "executionTimeout"),
    ("waitUrl", "waitSound"),
];

/// The element that stands for this one of TwiML, if it is one of `names`.
pub(super) fn element(
    tag: &str,
    names: impl IntoIterator<Item = &'static str>,
) -> Option<&'static str> {
    counterpart(ELEMENTS, tag, names)
}

/// The attribute that stands for this one of TwiML, if it is one of `names`.
pub(super) fn attribute(
    name: &str,
    names: impl IntoIterator<Item = &'static str>,
) -> Option<&'static str> {
    counterpart(ATTRIBUTES, name, names)
}

fn counterpart(
    table: &[(&str, &str)],
    word: &str,
    names: impl IntoIterator<Item = &'static str>,
) -> Option<&'static str> {
    let (_, wanted) = table.iter().find(|(twiml, _)| twiml.eq_ignore_ascii_case(word))?;
    names.into_iter().find(|it| it == wanted)
}
