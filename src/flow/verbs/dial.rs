//! `<Dial>`: calls somebody and connects the two calls. `<Number>` and `<User>` are inside it.

mod destination;

use std::{sync::Arc, time::Duration};

pub(super) use self::destination::PARTS;
pub use self::destination::{NumberPart, UserPart};
use self::destination::{destination, headers, number};
use super::{
    Vendors, VerbInfo, VerbStart,
    record::{self, RecordVerb},
};
use crate::flow::{
    AttrKind, ConferenceSound, FlowError, FlowErrorKind, FlowWarningKind, RecordKind,
    RecordOptions, RecordingFormat, RequestMethod,
    attr::METHOD,
    attrs::{ElementReader, verb},
    dial::{CalleeTerms, DESTINATIONS_MAX, DialDestination, DialHeaders, DialOptions},
    element::XmlElement,
    error::clip,
    field::Patterns,
    url,
};

verb! {
    /// Calls the numbers and users inside it, all at once. The first to answer is connected with the
    /// caller; the others stop ringing.
    ///
    /// When the two are separated, or nobody answered, `action` is requested with `DialStatus`
    /// (`completed`, `busy`, `no-answer`, `timeout`, `failed`, `cancel`), or the flow continues at
    /// the next element. Bare text is one number.
    ///
    /// ```xml
    /// <Dial timeout="20" callerId="15551234567">
    ///   <User>sip:alice@example.com</User>
    ///   <Number>15557654321</Number>
    /// </Dial>
    /// ```
    pub struct DialVerb {
        /// Shared with every call that runs this element.
        pub options: Arc<DialOptions>,
    }
    "Dial", Vendors::Both, text Words, holds &["Number", "User", "Record"], answers false;

    /// Requested when the two calls are separated, or nobody answered.
    action: Option<Arc<str>> = "action" [AttrKind::Target], like "https://example.com/dialled";
    /// HTTP method for `action`.
    method: RequestMethod = "method" [METHOD] or "POST", like "GET";
    /// The response of `action` is the next document. If false, it is ignored.
    redirects: bool = "redirect" [AttrKind::Bool] or true, like "false";
    /// Seconds from the start of the dial until it is given up.
    ring_timeout: Duration = "timeout" [AttrKind::Seconds(1, 600)] or 120, like "30";
    /// Longest conversation in seconds.
    time_limit: Duration = "timeLimit" [AttrKind::Seconds(1, 86_400)] or 14400, like "3600";
    /// Caller number that the callee sees: a number, or `anonymous`.
    caller_id: Option<Arc<str>> = "callerId" [AttrKind::Text], like "15551234567";
    /// Caller name that the callee sees: up to 50 characters.
    caller_name: Option<Arc<str>> = "callerName" [AttrKind::Text], like "Support";
    /// The caller's `*` ends the other call, and the flow continues.
    leaves_on_star: bool = "hangupOnStar" [AttrKind::Bool] or false, like "true";
    /// Played to the callee before the two calls are connected: a document of Play, Speak and Wait.
    confirm_sound: Option<Arc<str>> = "confirmSound" [AttrKind::Target],
        like "https://example.com/confirm";
    /// The key with which the callee accepts the call.
    confirm_key: Option<Arc<str>> = "confirmKey"
        [AttrKind::Choice(&["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "*", "#"])], like "1";
    /// Seconds from the callee's answer to `confirmKey`.
    confirm_timeout: Duration = "confirmTimeout" [AttrKind::Seconds(1, 600)] or 120, like "10";
    /// Played to the caller while it rings: a sound document, or `real`, the early media of the
    /// destination if there is one alone. Without either, a ringback tone.
    music: Option<Arc<str>> = "dialMusic" [AttrKind::Text], like "https://example.com/music";
    /// URL that receives events: answer, connection, keys and end.
    callback_url: Option<Arc<str>> = "callbackUrl" [AttrKind::Web], like "https://example.com/dial";
    /// HTTP method for `callbackUrl`.
    callback_method: RequestMethod = "callbackMethod" [METHOD] or "POST", like "GET";
    /// The caller's keys that are reported to `callbackUrl`.
    digits_match: Patterns = "digitsMatch" [AttrKind::Patterns], like "1,2,99#";
    /// The callee's keys that are reported to `callbackUrl`.
    callee_digits_match: Patterns = "digitsMatchBLeg" [AttrKind::Patterns], like "1,2,99#";
    /// Records the conversation. `callbackUrl` is told when the file is complete, with the fields of
    /// `<Record>`. A `<Record>` inside says the same in more words.
    record: bool = "record" [AttrKind::Bool] or false, like "true";
    /// File format of the recording.
    record_format: RecordingFormat = "recordFileFormat" [AttrKind::Choice(&["mp3", "wav"])]
        or "mp3", like "wav";
    /// Both sides mixed, or the caller on the left and the callee on the right.
    record_channels: Arc<str> = "recordChannelType" [AttrKind::Choice(&["mono", "stereo"])]
        or "stereo" / "mono", like "mono";
    /// SIP headers to send, as `name=value`, separated by commas.
    headers: Option<Arc<str>> = "sipHeaders" [AttrKind::Text], like "Ticket=42";
    /// Kind of the outgoing call.
    call_type: Option<Arc<str>> = "callType" [AttrKind::Choice(&["voice", "whatsapp"])] or "voice",
        like "whatsapp";

    branches {
        /// Id of a later element at which the call continues when the caller pressed `*` with
        /// `hangupOnStar`.
        "onStar", like "menu";
        /// … when the conversation reached `timeLimit`.
        "onTimeUp", like "goodbye";
        /// … when nobody was connected, or the document of `action` cannot be fetched.
        "onError", like "sorry";
    }
}

impl DialVerb {
    pub(super) fn parse(reading: &mut ElementReader<'_, '_>) -> Result<Self, FlowError> {
        let rows = Rows::read(reading);
        if rows.call_type.as_deref() == Some("whatsapp") {
            let note = "the destinations are called as phone numbers";
            reading.warn_attribute(
                "callType",
                FlowWarningKind::AttributeIdle { name: "callType", note },
            );
        }
        if rows.confirm_key.is_some() && rows.confirm_sound.is_none() {
            let note = "the callee hears silence until it presses the key";
            reading.warn_if_missing("confirmSound", note);
        }
        let is_real = rows.music.as_deref().is_some_and(|it| it.trim() == "real");
        let music = music(reading, rows.music.filter(|_| !is_real));
        let headers = headers(reading, rows.headers);
        let (destinations, recording) = reading.destinations(&headers)?;
        let terms = CalleeTerms {
            ring_timeout: rows.ring_timeout,
            time_limit: rows.time_limit,
            confirm_sound: rows.confirm_sound,
            confirm_key: rows.confirm_key.and_then(|it| it.chars().next()),
            confirm_timeout: rows.confirm_timeout,
            callback: record::target(rows.callback_url, rows.callback_method),
        };
        let own = rows.record.then(|| RecordOptions {
            kind: RecordKind::Dial,
            format: rows.record_format,
            channels: record::channels(&rows.record_channels),
            length: None,
            callback: terms.callback.clone(),
        });
        let options = DialOptions {
            hears_early_media: is_real && destinations.len() == 1,
            destinations,
            terms: Arc::new(terms),
            recording: recording.or(own).map(Arc::new),
            caller_id: rows.caller_id.map(|it| it.trim().into()),
            caller_name: rows.caller_name.map(|it| first_chars(&it, NAME_CHARS_MAX)),
            leaves_on_star: rows.leaves_on_star,
            music,
            digits_match: rows.digits_match.0,
            callee_digits_match: rows.callee_digits_match.0,
            action: reading.action(rows.action, rows.method, rows.redirects),
        };
        Ok(Self { options: Arc::new(options) })
    }

    pub(super) fn begin(&self) -> VerbStart {
        VerbStart::Dial(self.options.clone())
    }
}

/// Plivo's limit of `callerName`.
const NAME_CHARS_MAX: usize = 50;

fn first_chars(text: &str, chars: usize) -> Arc<str> {
    text.chars().take(chars).collect::<String>().into()
}

impl ElementReader<'_, '_> {
    /// The destinations: the text, or the numbers and users; and the recording of a `<Record>`.
    fn destinations(
        &mut self,
        shared: &DialHeaders,
    ) -> Result<(Vec<DialDestination>, Option<RecordOptions>), FlowError> {
        let text = self.element.normalized_text();
        let (mut found, mut recording) = (Vec::new(), None);
        if !text.is_empty() {
            let (to, headers) = (number(&text), shared.clone());
            found.push(DialDestination { to, headers, ..DialDestination::default() });
        }
        for element in self.children() {
            let info = VerbInfo::of(element.tag).expect("what has a place here has a table");
            let (dialect, warnings) = (self.dialect, &mut *self.warnings);
            let mut part = ElementReader { dialect, info, element, is_top: false, warnings };
            part.check_element()?;
            let rows = match element.tag {
                "Number" => NumberPart::read(&mut part).rows,
                "User" => UserPart::read(&mut part).rows,
                _ if recording.is_some() => {
                    part.warn_idle_element("the conversation is recorded once");
                    continue;
                }
                _ => {
                    recording = Some(RecordVerb::of_dial(&mut part));
                    continue;
                }
            };
            found.push(destination(&mut part, rows, shared)?);
        }
        match found.len() {
            0 => Err(self.nobody(self.element)),
            1..=DESTINATIONS_MAX => Ok((found, recording)),
            _ => {
                let (what, max) = ("destinations in a <Dial>", DESTINATIONS_MAX);
                let advice = "dial the others with a second <Dial>";
                let error = FlowErrorKind::Limit { what, max, advice };
                Err(FlowError { at: self.element.at, error })
            }
        }
    }

    fn nobody(&self, element: &XmlElement<'_>) -> FlowError {
        FlowError { at: element.at, error: FlowErrorKind::Nobody { tag: self.info.tag } }
    }
}

/// What the caller hears until somebody is connected.
fn music(reading: &mut ElementReader<'_, '_>, text: Option<Arc<str>>) -> ConferenceSound {
    let ringback = ConferenceSound::BuiltIn("sound:ring".into());
    let Some(text) = text else { return ringback };
    if url::is_built_in(&text) {
        return ConferenceSound::BuiltIn(text);
    }
    if url::is_target(&text) {
        return ConferenceSound::Document(text);
    }
    let (name, value) = ("dialMusic", clip(&text));
    let (wanted, default) = (AttrKind::Sound(false), Some("a ringback tone"));
    reading.warn_attribute(name, FlowWarningKind::AttributeValue { name, value, wanted, default });
    ringback
}

#[cfg(test)]
mod tests {
    use crate::{
        base::ids::Dialect,
        flow::{
            ConferenceSound, Flow, RecordKind, RecordOptions, RecordingFormat, Verb,
            dial::DialOptions,
        },
        media::RecordingChannels,
    };

    #[track_caller]
    fn read(element: &str) -> (DialOptions, Vec<String>) {
        let flow = Flow::parse(&format!("<Response>{element}</Response>"), Dialect::Plivo).unwrap();
        let Verb::Dial(verb) = &flow.steps[0].verb else { panic!("no dial") };
        let warnings = flow.warnings.iter().map(ToString::to_string).collect();
        ((*verb.options).clone(), warnings)
    }

    #[track_caller]
    fn check_error(element: &str, expected: &str) {
        let error = Flow::parse(&format!("<Response>{element}</Response>"), Dialect::Plivo);
        assert_eq!(error.unwrap_err().to_string(), expected, "{element}");
    }

    #[test]
    fn calls_its_text_its_numbers_and_its_users_at_once() {
        let (options, warnings) = read(
            "<Dial sipHeaders='a=1,b=2'>155<Number sendDigits='w1' sipHeaders='A=3'> 1 56 </Number>\
             <User>sip:bob@a.example</User></Dial>",
        );
        assert!(warnings.is_empty(), "{warnings:?}");
        let shown = |to: usize| {
            let it = &options.destinations[to];
            let headers: String = it.headers.iter().map(|(n, v)| format!(" {n}={v}")).collect();
            format!("{} {:?}{headers}", it.to, it.digits.as_deref().unwrap_or_default())
        };
        assert_eq!(shown(0), "155 \"\" a=1 b=2");
        assert_eq!(shown(1), "156 \"w1\" A=3 b=2");
        assert_eq!(shown(2), "sip:bob@a.example \"\" a=1 b=2");
        assert_eq!(options.destinations.len(), 3);
    }

    #[test]
    fn a_user_has_a_password_or_a_warning_that_does_not_show_it() {
        for (rows, is_good) in [
            ("sipAuthUsername='anna' sipAuthPassword='12345678'", true),
            ("sipAuthUsername='anna' sipAuthPassword='1234567'", false),
            ("sipAuthUsername='anna'", false),
            ("sipAuthPassword='12345678'", false),
        ] {
            let (options, warnings) = read(&format!("<Dial><User {rows}>a@b</User></Dial>"));
            assert_eq!(options.destinations[0].credentials.is_some(), is_good, "{warnings:?}");
            assert!(!warnings.concat().contains("1234567"), "{warnings:?}");
        }
    }

    #[test]
    fn somebody_must_be_called() {
        let advice = "names nobody to call: write a number, a SIP URI or the name of an endpoint";
        check_error("<Dial/>", &format!("1:11: <Dial> {advice}"));
        check_error("<Dial><Record/></Dial>", &format!("1:11: <Dial> {advice}"));
        check_error("<Dial><Number> </Number></Dial>", &format!("1:17: <Number> {advice}"));
        check_error("<Dial>1<User/></Dial>", &format!("1:18: <User> {advice}"));
        check_error(
            &format!("<Dial>{}</Dial>", "<Number>1</Number>".repeat(21)),
            "1:11: a flow has at most 20 destinations in a <Dial>: dial the others with a second \
             <Dial>",
        );
    }

    #[test]
    fn what_has_no_effect_is_warned_of() {
        let (_, warnings) = read(
            "<Dial dialMusic='real' callType='whatsapp' confirmKey='1' sipHeaders='a-b=1'>\
             <Number sendDigits='x' sendOnPreanswer='true'>1</Number><Record/><Record/></Dial>",
        );
        let expected = [
            "1:11: <Dial> has no confirmSound: the callee hears silence until it presses the key",
            "1:34: callType is accepted, and has no effect yet: the destinations are called as phone \
             numbers",
            "1:69: sipHeaders=\"a-b=1\" is ignored: write a text",
            "1:96: sendDigits=\"x\" is ignored: write keys out of 0123456789*#",
            "1:153: <Record> is skipped: the conversation is recorded once",
        ];
        assert_eq!(warnings, expected);
    }

    #[test]
    fn a_conversation_is_recorded_as_the_attributes_or_a_record_inside_say() {
        let (options, warnings) = read(
            "<Dial record='true' recordFileFormat='wav' recordChannelType='mono' \
             callbackUrl='http://a'>1</Dial>",
        );
        assert_eq!(warnings, [""; 0]);
        let recording = options.recording.unwrap();
        let (kind, channels) = (RecordKind::Dial, RecordingChannels::Mono);
        let (format, callback) = (RecordingFormat::Wav, options.terms.callback.clone());
        let expected = RecordOptions { kind, format, channels, length: None, callback };
        assert_eq!(*recording, expected);
        assert_eq!(expected.callback.unwrap().url, "http://a".into());
        let (options, warnings) =
            read("<Dial record='true'>1<Record maxLength='7' action='flow:a'/></Dial>");
        let idle = "the conversation of <Dial> is recorded";
        let expected = format!("1:54: action is accepted, and has no effect yet: {idle}");
        assert_eq!(warnings, [expected]);
        let recording = options.recording.unwrap();
        assert_eq!(recording.length, Some(std::time::Duration::from_secs(7)));
        assert_eq!(recording.channels, RecordingChannels::Stereo, "Plivo's default");
        assert_eq!(read("<Dial>1</Dial>").0.recording, None);
    }

    #[test]
    fn early_media_is_heard_of_one_destination_alone() {
        let real = |dial: &str| {
            let (options, warnings) = read(dial);
            assert_eq!(warnings, [""; 0], "{dial}");
            let ringback = ConferenceSound::BuiltIn("sound:ring".into());
            assert_eq!(options.music, ringback, "until it comes, and where it does not");
            options.hears_early_media
        };
        assert!(real("<Dial dialMusic=' real '><User>bob</User></Dial>"));
        assert!(!real("<Dial dialMusic='real'><User>bob</User><User>eve</User></Dial>"));
        assert!(!real("<Dial><User>bob</User></Dial>"));
        let (options, _) = read(
            "<Dial><Number sendOnPreanswer='true'>1</Number>\
            <User sendOnPreanswer='false'>bob</User></Dial>",
        );
        let sends_early: Vec<_> = options.destinations.iter().map(|it| it.sends_early).collect();
        assert_eq!(sends_early, [true, false]);
    }

    #[test]
    fn has_the_contract_s_defaults() {
        let (options, _) = read("<Dial>1</Dial>");
        let terms = &options.terms;
        let seconds = (terms.ring_timeout, terms.time_limit, terms.confirm_timeout);
        assert_eq!([seconds.0, seconds.1, seconds.2].map(|it| it.as_secs()), [120, 14_400, 120]);
        assert_eq!(options.caller_id, None);
    }
}
