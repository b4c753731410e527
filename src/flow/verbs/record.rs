//! `<Record>`: records what the caller says, or the whole call.

use std::{sync::Arc, time::Duration};

use super::{Vendors, VerbStart};
use crate::{
    flow::{
        AttrKind, CallbackTarget, FlowError, RecordKind, RecordOptions, RecordingFormat,
        RequestMethod,
        attr::METHOD,
        attrs::{ElementReader, verb},
        field::FinishKeys,
        recorder::RecordSettings,
    },
    media::RecordingChannels,
};

/// The longest recording: a day.
const SECONDS_MAX: u32 = 86_400;

verb! {
    /// Records what the caller says, as a voicemail does: a beep, then the recording, which is one
    /// channel of what is said. A key, a silence or `maxLength` ends it.
    ///
    /// Then `action` is requested with the recording's URL and length and the key, or the flow
    /// continues at the next element. If the caller hangs up, `action` is told as well, and its
    /// response is ignored. A transfer ends the recording without `action`.
    ///
    /// With `recordSession`, the call is recorded until it ends: the next element runs at once,
    /// and `action` is requested at once, with lengths of -1.
    ///
    /// Inside `<Dial>` it records the conversation.
    ///
    /// ```xml
    /// <Speak>Please leave a message, and press the hash key.</Speak>
    /// <Record action="flow:recorded" timeout="5" maxLength="120" finishOnKey="#"/>
    /// ```
    pub struct RecordVerb {
        /// Shared with every call that runs this element.
        pub(in crate::flow) settings: Arc<RecordSettings>,
    }
    "Record", Vendors::Both, text None, holds &[], answers true;

    /// Requested when the recording has ended; with `recordSession`, when it begins.
    action: Option<Arc<str>> = "action" [AttrKind::Target], like "https://example.com/recorded";
    /// HTTP method for `action`.
    method: RequestMethod = "method" [METHOD] or "POST", like "GET";
    /// The response of `action` is the next document. If false, it is ignored.
    redirects: bool = "redirect" [AttrKind::Bool] or true / false, like "false";
    /// File format of the recording. MP3 needs an encoder on the server.
    format: RecordingFormat = "fileFormat" [AttrKind::Choice(&["mp3", "wav"])] or "mp3", like "wav";
    /// Seconds of silence that end the recording.
    silence: Duration = "timeout" [AttrKind::Seconds(1, SECONDS_MAX)] or 15 / 60, like "5";
    /// Longest recording in seconds. With `recordSession` there is no limit unless it is stated.
    length: Duration = "maxLength" [AttrKind::Seconds(1, SECONDS_MAX)] or 60, like "120";
    /// Beeps before the recording begins. The beep is not recorded.
    beeps: bool = "playBeep" [AttrKind::Bool] or true, like "false";
    /// Keys that end the recording, or `none`.
    finish: FinishKeys = "finishOnKey" [AttrKind::KeysOrNone] or "#" / "1234567890*#", like "#";
    /// Records the call from now on while the flow continues.
    is_session: bool = "recordSession" [AttrKind::Bool] or false, like "true";
    /// With `recordSession`: the recording begins when the next `<Dial>` connects the caller.
    on_dial: bool = "startOnDialAnswer" [AttrKind::Bool] or false, like "true";
    /// With `recordSession`: both sides mixed, or what the call says on the left and what it hears
    /// on the right.
    channels: Arc<str> = "recordChannelType" [AttrKind::Choice(&["mono", "stereo"])]
        or "stereo" / "mono", like "mono";
    /// Requested when the file is complete.
    callback_url: Option<Arc<str>> = "callbackUrl" [AttrKind::Web], like "https://example.com/file";
    /// HTTP method for `callbackUrl`.
    callback_method: RequestMethod = "callbackMethod" [METHOD] or "POST", like "GET";

    idle {
        /// How the recording is transcribed.
        "transcriptionType" [AttrKind::Choice(&["auto", "hybrid", "manual"])], like "auto":
            "nothing is transcribed";
        /// URL that receives the transcription.
        "transcriptionUrl" [AttrKind::Web], like "https://example.com/text":
            "nothing is transcribed";
        /// HTTP method for `transcriptionUrl`.
        "transcriptionMethod" [METHOD] or "POST", like "GET": "nothing is transcribed";
        /// Parts of the transcription that are reported.
        "transcriptionReportType" [AttrKind::Text], like "text": "nothing is transcribed";
    }

    branches {
        /// Id of a later element at which the flow continues if the document of `action` cannot be
        /// fetched. Without it, the call ends.
        "onError", like "sorry";
    }
}

impl RecordVerb {
    pub(super) fn parse(reading: &mut ElementReader<'_, '_>) -> Result<Self, FlowError> {
        let rows = Rows::read(reading);
        let kind = match (rows.is_session, rows.on_dial) {
            (true, true) => RecordKind::OnDial,
            (true, false) => RecordKind::Session,
            (false, _) => RecordKind::Message,
        };
        reading.warn_idle_rows(kind);
        let action = reading.action(rows.action.clone(), rows.method, rows.redirects);
        let (beeps, silence, finish) = (rows.beeps, rows.silence, rows.finish.0);
        let options = Arc::new(rows.options(reading, kind));
        Ok(Self { settings: Arc::new(RecordSettings { options, beeps, silence, finish, action }) })
    }

    /// Inside `<Dial>`: the recording of the conversation.
    pub(super) fn of_dial(reading: &mut ElementReader<'_, '_>) -> RecordOptions {
        let rows = Rows::read(reading);
        reading.warn_idle_rows(RecordKind::Dial);
        rows.options(reading, RecordKind::Dial)
    }

    pub(super) fn begin(&self) -> VerbStart {
        VerbStart::Record(self.settings.clone())
    }

    /// Whether the flow waits for the end of the recording.
    pub(in crate::flow) fn is_message(&self) -> bool {
        self.settings.options.kind == RecordKind::Message
    }
}

impl Rows {
    fn options(self, reading: &ElementReader<'_, '_>, kind: RecordKind) -> RecordOptions {
        let has_limit = kind == RecordKind::Message || reading.is_stated("maxLength");
        RecordOptions {
            kind,
            format: self.format,
            channels: match kind {
                RecordKind::Message => RecordingChannels::Said,
                RecordKind::Session | RecordKind::OnDial | RecordKind::Dial => {
                    channels(&self.channels)
                }
            },
            length: has_limit.then_some(self.length),
            callback: target(self.callback_url, self.callback_method),
        }
    }
}

impl ElementReader<'_, '_> {
    /// Warns of what is stated and has no effect on a recording of this kind.
    fn warn_idle_rows(&mut self, kind: RecordKind) {
        let (names, note): (&[_], _) = match kind {
            RecordKind::Message => (&["startOnDialAnswer"], "recordSession is not true"),
            RecordKind::Session | RecordKind::OnDial => {
                (&["timeout", "finishOnKey", "playBeep"], "the flow goes on while it records")
            }
            RecordKind::Dial => (
                &["action", "redirect", "timeout", "finishOnKey", "playBeep", "onError"],
                "the conversation of <Dial> is recorded",
            ),
        };
        for &name in names {
            self.warn_without_effect(name, note);
        }
    }
}

/// The channels of a recording of a call, from `recordChannelType`.
pub(super) fn channels(text: &str) -> RecordingChannels {
    match text {
        "stereo" => RecordingChannels::Stereo,
        _ => RecordingChannels::Mono,
    }
}

/// Who is told of a recording.
pub(super) fn target(url: Option<Arc<str>>, method: RequestMethod) -> Option<Arc<CallbackTarget>> {
    let (by_call, reports_floor) = (false, false);
    url.map(|url| Arc::new(CallbackTarget { url, method, by_call, reports_floor }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::Dialect;
    use crate::flow::{
        Action, Flow, Verb,
        field::{AttrValue, KeySet},
    };

    #[track_caller]
    fn read(dialect: Dialect, attributes: &str) -> (RecordSettings, Vec<String>) {
        let document = format!("<Response><Record {attributes}/></Response>");
        let flow = Flow::parse(&document, dialect).unwrap();
        let Verb::Record(verb) = &flow.steps[0].verb else { panic!("no recording") };
        let warnings = flow.warnings.iter().map(|it| it.warning.to_string()).collect();
        ((*verb.settings).clone(), warnings)
    }

    #[track_caller]
    fn changes(attributes: &str, change: impl Fn(&mut RecordSettings, &mut RecordOptions)) {
        let mut expected = read(Dialect::Plivo, "").0;
        let mut options = (*expected.options).clone();
        change(&mut expected, &mut options);
        expected.options = Arc::new(options);
        assert_eq!(read(Dialect::Plivo, attributes), (expected, vec![]), "{attributes}");
    }

    #[test]
    fn has_the_contract_s_defaults() {
        let expected = |seconds, keys| RecordSettings {
            options: Arc::new(RecordOptions {
                kind: RecordKind::Message,
                format: RecordingFormat::Mp3,
                channels: RecordingChannels::Said,
                length: Some(Duration::from_secs(60)),
                callback: None,
            }),
            beeps: true,
            silence: Duration::from_secs(seconds),
            finish: keys,
            action: None,
        };
        assert_eq!(read(Dialect::Plivo, ""), (expected(15, KeySet::of("#")), vec![]));
        let all = KeySet::of("1234567890*#");
        assert_eq!(read(Dialect::Vobiz, ""), (expected(60, all), vec![]));
        let redirects = |dialect| read(dialect, "action='flow:a'").0.action.unwrap().redirects;
        assert_eq!([Dialect::Plivo, Dialect::Vobiz].map(redirects), [true, false]);
    }

    #[test]
    fn reads_its_attributes() {
        changes("action='flow:a' method='GET' redirect='false'", |it, _| {
            let (url, method) = ("flow:a".into(), RequestMethod::Get);
            it.action = Some(Action { url, method, redirects: false });
        });
        changes("fileFormat='wav'", |_, it| it.format = RecordingFormat::Wav);
        changes("timeout='7'", |it, _| it.silence = Duration::from_secs(7));
        changes("maxLength='7'", |_, it| it.length = Some(Duration::from_secs(7)));
        changes("playBeep='false'", |it, _| it.beeps = false);
        changes("finishOnKey='12'", |it, _| it.finish = KeySet::of("12"));
        changes("finishOnKey='none'", |it, _| it.finish = KeySet::NONE);
        changes("finishOnKey=''", |it, _| it.finish = KeySet::NONE);
        changes("callbackUrl='http://a' callbackMethod='GET'", |_, it| {
            it.callback = target(Some("http://a".into()), RequestMethod::Get);
        });
        let session = |it: &mut RecordOptions, kind| {
            (it.kind, it.length, it.channels) = (kind, None, RecordingChannels::Stereo);
        };
        changes("recordSession='true'", |_, it| session(it, RecordKind::Session));
        changes("recordSession='true' startOnDialAnswer='true' maxLength='60'", |_, it| {
            session(it, RecordKind::OnDial);
            it.length = Some(Duration::from_secs(60));
        });
        changes("recordSession='true' recordChannelType='mono'", |_, it| {
            session(it, RecordKind::Session);
            it.channels = RecordingChannels::Mono;
        });
        let vobiz = read(Dialect::Vobiz, "recordSession='true'").0.options.channels;
        assert_eq!(vobiz, RecordingChannels::Mono);
    }

    #[test]
    fn what_has_no_effect_is_warned_of() {
        let check = |attributes: &str, expected: &[&str]| {
            assert_eq!(read(Dialect::Plivo, attributes).1, expected, "{attributes}");
        };
        let idle = "is accepted, and has no effect yet:";
        let goes_on = format!("{idle} the flow goes on while it records");
        check(
            "recordSession='true' timeout='3' playBeep='false' finishOnKey='1' maxLength='5'",
            &["timeout", "playBeep", "finishOnKey"].map(|it| &*format!("{it} {goes_on}").leak()),
        );
        check(
            "startOnDialAnswer='true'",
            &[&format!("startOnDialAnswer {idle} recordSession is not true")],
        );
        check(
            "transcriptionType='auto'",
            &[&format!("transcriptionType {idle} nothing is transcribed")],
        );
        check(
            "finishOnKey='x'",
            &["finishOnKey=\"x\" is ignored, and the default \"#\" holds: write keys out of \
               0123456789*#, or none"],
        );
    }
}
