//! `<Conference>`: moves the call into a room.

use std::sync::Arc;

use super::{Vendors, VerbStart};
use crate::{
    base::ids::{ConferenceName, Dialect},
    flow::{
        AttrKind, CallbackTarget, ConferenceSound, FlowError, FlowErrorKind, FlowWarningKind,
        JoinOptions, RecordingFormat, RequestMethod, RoomGuard,
        attrs::{ElementReader, METHOD, verb},
        error::clip,
        field::{Patterns, Stated},
    },
    group::Rank,
};

/// Higher values of `maxMembers` are errors: no room of this engine is larger.
const MEMBERS_MAX: u32 = 10_000;
/// Many times the longest call (contract 7).
const TIME_LIMIT_MAX: u32 = 10_000_000;

verb! {
    /// Moves the call into the room that its text names. The flow continues when it leaves.
    ///
    /// If the call is still up then, it continues at the element that the branch for this exit
    /// names (`onKick`, …), otherwise with the response of `action`, otherwise at the next element.
    ///
    /// ```xml
    /// <Response>
    ///   <Conference endConferenceOnExit="true">weekly</Conference>
    ///   <Speak>You have left the meeting.</Speak>
    /// </Response>
    /// ```
    pub struct ConferenceVerb {
        /// Name within the call's account.
        pub room: ConferenceName,
        /// From the attributes and the dialect's defaults.
        pub options: Arc<JoinOptions>,
    }
    "Conference", Vendors::Both, text Room, holds &[], answers true;

    /// The call enters muted: the other members do not hear it.
    muted: bool = "muted" [AttrKind::Bool] or false, like "true";
    /// Played to the room when this call enters. Empty: no sound and no beep.
    enter_sound: Stated<Option<ConferenceSound>> = "enterSound" [AttrKind::Sound(true)], like "beep:1";
    /// Played to the remaining members when this call leaves. Empty: no sound and no beep.
    exit_sound: Stated<Option<ConferenceSound>> = "exitSound" [AttrKind::Sound(true)], like "beep:2";
    /// Beeps when this call enters and leaves, unless `enterSound` or `exitSound` is stated.
    beep: bool = "beep" [AttrKind::Bool] or false / true, like "false";
    /// The room starts when this call enters. Until it starts, members wait.
    starts: bool = "startConferenceOnEnter" [AttrKind::Bool] or true, like "false";
    /// The room ends when this call leaves.
    ends: bool = "endConferenceOnExit" [AttrKind::Bool] or false, like "true";
    /// The call stays in the room when all others have left.
    stays_alone: bool = "stayAlone" [AttrKind::Bool] or true / false, like "true";
    /// Played to this call, repeatedly, while it waits or is alone.
    wait_sound: Option<ConferenceSound> = "waitSound" [AttrKind::Sound(false)], like "sound:hold";
    /// Size limit of the room; the first member that states one decides. Plivo's name.
    members_max: Option<u32> = "maxMembers" [AttrKind::Number(1, MEMBERS_MAX)], like "20";
    /// Size limit of the room; the first member that states one decides. Vobiz' name.
    participants_max: Option<u32> = "maxParticipants" [AttrKind::Number(1, MEMBERS_MAX)], like "20";
    /// Records the conversation in the room.
    records: bool = "record" [AttrKind::Bool] or false, like "true", idle "nothing is recorded";
    /// File format of the recording.
    recording_format: RecordingFormat = "recordFileFormat" [AttrKind::Choice(&["mp3", "wav"])] or "mp3",
        like "wav", idle "nothing is recorded";
    /// The room ends this many seconds after its creation. The earliest limit holds; 0 is none.
    time_limit: Stated<u32> = "timeLimit" [AttrKind::Seconds(0, TIME_LIMIT_MAX)] or 86400 / 14400,
        like "3600";
    /// The key `*` takes this call out of the room.
    leaves_on_star: bool = "hangupOnStar" [AttrKind::Bool] or false, like "true";
    /// Requested when this call has left.
    action: Option<Arc<str>> = "action" [AttrKind::Target], like "https://example.com/left";
    /// HTTP method for `action`.
    method: RequestMethod = "method" [METHOD] or "POST", like "GET";
    /// The response of `action` is the next document. If false, it is ignored.
    redirects: bool = "redirect" [AttrKind::Bool] or true, like "false";
    /// URL that receives events: this call enters, leaves, presses keys, gets the floor.
    callback_url: Option<Arc<str>> = "callbackUrl" [AttrKind::Web],
        like "https://example.com/conference";
    /// HTTP method for `callbackUrl`.
    callback_method: RequestMethod = "callbackMethod" [METHOD] or "POST", like "GET";
    /// Order of callbacks: of the `room`, one at a time, or of each `call`, several at a time. An
    /// extension.
    callback_order: Arc<str> = "callbackOrder" [AttrKind::Choice(&["room", "call"])] or "room",
        like "call";
    /// Keys that are reported to `callbackUrl`: patterns, separated by commas.
    digits_match: Patterns = "digitsMatch" [AttrKind::Patterns], like "1,2,99#";
    /// Reports to `callbackUrl` when this call gets the floor.
    reports_floor: bool = "floorEvent" [AttrKind::Bool] or false, like "true";
    /// The other members hear the keys that this call presses.
    relays_digits: bool = "relayDTMF" [AttrKind::Bool] or true / false, like "true";
    /// Admits only members of this group, by the trusted identity of the caller. A caller who is
    /// removed from the group leaves the room. The first call in a room decides its group; a call
    /// that states another one is not admitted. An extension.
    group: Stated<Arc<str>> = "group" [AttrKind::Text], like "6000001";
    /// With `group`: members of at least this rank start the room (not `startConferenceOnEnter`),
    /// and it ends when the last of them leaves. The rank at entry counts. An extension.
    moderators: Option<Rank> = "moderators" [AttrKind::Choice(&Rank::NAMES)], like "admin";

    idle {
        /// HTTP method for `waitSound`.
        "waitMethod" [METHOD] or "POST", like "GET": "it is requested by POST";
        /// Continues the recording while one call is left.
        "recordWhenAlone" [AttrKind::Bool] or false, like "true": "nothing is recorded";
        /// Keys to press when the call enters.
        "sendDigits" [AttrKind::Text], like "1234": "no vendor documents it";
        /// How the recording is transcribed.
        "transcriptionType" [AttrKind::Choice(&["auto", "hybrid", "manual"])], like "auto":
            "nothing is transcribed";
        /// URL that receives the transcription.
        "transcriptionUrl" [AttrKind::Web], like "https://example.com/text": "nothing is transcribed";
        /// HTTP method for `transcriptionUrl`.
        "transcriptionMethod" [METHOD] or "POST", like "GET": "nothing is transcribed";
    }

    branches {
        /// Id of a later element at which the call continues after a kick.
        "onKick", like "kicked";
        /// … when the room ended because another member left, or the engine shuts down.
        "onEnd", like "goodbye";
        /// … when the room reached its time limit.
        "onTimeUp", like "goodbye";
        /// … when all others have left.
        "onAlone", like "goodbye";
        /// … when the caller pressed `*` with `hangupOnStar`.
        "onStar", like "menu";
        /// … when the room is full.
        "onFull", like "later";
        /// … when the caller is not admitted: banned, or not a member of the room's group.
        "onBan", like "sorry";
        /// … when the document of `action` cannot be fetched. Without it, the call ends.
        "onError", like "sorry";
    }
}

impl ConferenceVerb {
    pub(super) fn parse(reading: &mut ElementReader<'_, '_>) -> Result<Self, FlowError> {
        let text = reading.element.normalized_text();
        let room = text.parse::<ConferenceName>();
        let room = room.map_err(|_| reading.error(FlowErrorKind::Room { text: clip(&text) }))?;
        let rows = Rows::read(reading);
        let beep = |beep| rows.beep.then_some(ConferenceSound::Beep(beep));
        let (own, other) = match reading.dialect {
            Dialect::Plivo => (rows.members_max, rows.participants_max),
            Dialect::Vobiz => (rows.participants_max, rows.members_max),
        };
        let options = JoinOptions {
            muted: rows.muted,
            starts: rows.starts,
            ends: rows.ends,
            stays_alone: rows.stays_alone,
            leaves_on_star: rows.leaves_on_star,
            relays_digits: rows.relays_digits,
            reports_floor: rows.reports_floor,
            time_limit: rows.time_limit.stated,
            time_limit_default: rows.time_limit.default,
            members_max: own.or(other),
            enter_sound: rows.enter_sound.stated.unwrap_or_else(|| beep(1)),
            exit_sound: rows.exit_sound.stated.unwrap_or_else(|| beep(2)),
            wait_sound: rows.wait_sound,
            digits_match: rows.digits_match.0,
            callback: rows.callback_url.map(|url| CallbackTarget {
                url,
                method: rows.callback_method,
                by_call: &*rows.callback_order == "call",
            }),
            action: reading.action(rows.action, rows.method, rows.redirects),
            guard: guard(reading, rows.group.stated, rows.moderators),
            records: rows.records,
            recording_format: rows.recording_format,
        };
        Ok(Self { room, options: Arc::new(options) })
    }

    pub(super) fn begin(&self) -> VerbStart {
        VerbStart::Join { room: self.room.clone(), options: self.options.clone() }
    }
}

/// An invalid group has no members: to admit everyone would be the worse mistake.
fn guard(
    reading: &mut ElementReader<'_, '_>,
    group: Option<Arc<str>>,
    moderators: Option<Rank>,
) -> Option<RoomGuard> {
    let Some(text) = group else {
        let (name, needs) = ("moderators", "group");
        reading.warn_attribute(name, FlowWarningKind::AttributeAlone { name, needs });
        return None;
    };
    let group = text.trim().parse().ok().filter(|it| *it != RoomGuard::NOBODY);
    if group.is_none() {
        reading.warn_attribute("group", FlowWarningKind::NoGroup { text: clip(&text) });
    }
    Some(RoomGuard { group: group.unwrap_or(RoomGuard::NOBODY), moderators })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::ConferenceVerb;
    use crate::{
        base::ids::Dialect,
        flow::{
            Action, CallbackTarget, ConferenceSound, Flow, JoinOptions, RecordingFormat,
            RequestMethod, RoomGuard, Verb,
            verbs::{check, read},
        },
        group::{GroupId, Rank},
    };

    fn parse(dialect: Dialect, attributes: &str) -> (Arc<JoinOptions>, Vec<String>) {
        let document = format!("<Response><Conference {attributes}>a</Conference></Response>");
        let flow = Flow::parse(&document, dialect).unwrap();
        let warnings = flow.warnings.iter().map(|it| it.warning.to_string()).collect();
        let Verb::Conference(ConferenceVerb { room, options }) = &flow.steps[0].verb else {
            panic!()
        };
        assert_eq!(room.as_str(), "a");
        (options.clone(), warnings)
    }

    /// Checks that the attributes change one option and cause no warning.
    #[track_caller]
    fn changes_one_option(attributes: &str, change: impl Fn(&mut JoinOptions)) {
        for dialect in [Dialect::Plivo, Dialect::Vobiz] {
            let mut expected = (*parse(dialect, "").0).clone();
            change(&mut expected);
            let (options, warnings) = parse(dialect, attributes);
            assert_eq!((&*options, warnings), (&expected, vec![]), "{dialect} {attributes}");
        }
    }

    #[track_caller]
    fn warns(dialect: Dialect, attributes: &str, expected: &[&str]) {
        let (options, warnings) = parse(dialect, attributes);
        assert_eq!(
            (&*options, warnings),
            (&*parse(dialect, "").0, expected.iter().map(|&it| it.into()).collect())
        );
    }

    #[test]
    fn has_the_defaults_of_its_dialect() {
        let vobiz = JoinOptions {
            muted: false,
            starts: true,
            ends: false,
            stays_alone: false,
            leaves_on_star: false,
            relays_digits: false,
            reports_floor: false,
            time_limit: None,
            time_limit_default: 14_400,
            members_max: None,
            enter_sound: Some(ConferenceSound::Beep(1)),
            exit_sound: Some(ConferenceSound::Beep(2)),
            wait_sound: None,
            digits_match: vec![],
            callback: None,
            action: None,
            guard: None,
            records: false,
            recording_format: RecordingFormat::Mp3,
        };
        let plivo = JoinOptions {
            stays_alone: true,
            relays_digits: true,
            time_limit_default: 86_400,
            enter_sound: None,
            exit_sound: None,
            ..vobiz.clone()
        };
        assert_eq!(*parse(Dialect::Vobiz, "").0, vobiz);
        assert_eq!(*parse(Dialect::Plivo, "").0, plivo);
    }

    #[test]
    fn flags_are_read() {
        changes_one_option("muted='true'", |it| it.muted = true);
        changes_one_option("startConferenceOnEnter='false'", |it| it.starts = false);
        changes_one_option("endConferenceOnExit='true'", |it| it.ends = true);
        changes_one_option("stayAlone='true'", |it| it.stays_alone = true);
        changes_one_option("stayAlone='false'", |it| it.stays_alone = false);
        changes_one_option("hangupOnStar='true'", |it| it.leaves_on_star = true);
        changes_one_option("relayDTMF='true'", |it| it.relays_digits = true);
        changes_one_option("relayDTMF='false'", |it| it.relays_digits = false);
        changes_one_option("floorEvent='true'", |it| it.reports_floor = true);
        changes_one_option("muted='false' record='false'", |_| ());
    }

    #[test]
    fn limits_are_read() {
        changes_one_option("timeLimit='60'", |it| it.time_limit = Some(60));
        changes_one_option("timeLimit='0'", |it| it.time_limit = Some(0));
        changes_one_option("maxMembers='1'", |it| it.members_max = Some(1));
        changes_one_option("maxParticipants='10000'", |it| it.members_max = Some(10_000));
        let both = "maxMembers='2' maxParticipants='3'";
        assert_eq!(parse(Dialect::Plivo, both).0.members_max, Some(2));
        assert_eq!(parse(Dialect::Vobiz, both).0.members_max, Some(3));
    }

    #[test]
    fn sounds_are_read() {
        let built_in = || Some(ConferenceSound::BuiltIn("sound:hold".into()));
        let document = || Some(ConferenceSound::Document("https://a/b".into()));
        changes_one_option("waitSound='sound:hold'", |it| it.wait_sound = built_in());
        changes_one_option("waitSound='https://a/b'", |it| it.wait_sound = document());
        changes_one_option("waitSound=''", |_| ());
        changes_one_option("enterSound='beep:2'", |it| {
            it.enter_sound = Some(ConferenceSound::Beep(2));
        });
        changes_one_option("exitSound='flow:b'", |it| {
            it.exit_sound = Some(ConferenceSound::Document("flow:b".into()));
        });
        changes_one_option("enterSound=''", |it| it.enter_sound = None);
        changes_one_option("beep='true'", |it| {
            (it.enter_sound, it.exit_sound) =
                (Some(ConferenceSound::Beep(1)), Some(ConferenceSound::Beep(2)));
        });
        changes_one_option("beep='false'", |it| (it.enter_sound, it.exit_sound) = (None, None));
        changes_one_option("beep='true' exitSound=''", |it| {
            (it.enter_sound, it.exit_sound) = (Some(ConferenceSound::Beep(1)), None);
        });
        changes_one_option("beep='false' exitSound='sound:hold'", |it| {
            (it.enter_sound, it.exit_sound) = (None, built_in());
        });
    }

    #[test]
    fn urls_are_read() {
        let action = |method, redirects| Some(Action { url: "flow:b".into(), method, redirects });
        changes_one_option("action='flow:b'", |it| it.action = action(RequestMethod::Post, true));
        changes_one_option("action='flow:b' method='GET' redirect='false'", |it| {
            it.action = action(RequestMethod::Get, false);
        });
        changes_one_option("method='GET' redirect='false' action=''", |_| ());
        let callback =
            |method, by_call| Some(CallbackTarget { url: "http://a".into(), method, by_call });
        changes_one_option("callbackUrl='http://a'", |it| {
            it.callback = callback(RequestMethod::Post, false);
        });
        changes_one_option(
            "callbackUrl='http://a' callbackMethod='GET' callbackOrder='call'",
            |it| {
                it.callback = callback(RequestMethod::Get, true);
            },
        );
        changes_one_option("callbackMethod='GET'", |_| ());
    }

    #[test]
    fn patterns_are_read() {
        changes_one_option("digitsMatch='1, 22 ,*#,,A'", |it| {
            it.digits_match = ["1", "22", "*#", "A"].map(Arc::from).to_vec();
        });
        changes_one_option("digitsMatch=' , '", |_| ());
    }

    #[test]
    fn an_invalid_group_has_no_members() {
        let guard = |id, moderators| Some(RoomGuard { group: GroupId(id), moderators });
        changes_one_option("group='6000001'", |it| it.guard = guard(6_000_001, None));
        changes_one_option("group=' 7 ' moderators='admin'", |it| {
            it.guard = guard(7, Some(Rank::Admin));
        });
        changes_one_option("group='7' moderators='owner'", |it| {
            it.guard = guard(7, Some(Rank::Owner));
        });
        for (attributes, note) in [
            ("group=''", "group=\"\" names no group, and nobody is admitted: write its number"),
            ("group='0'", "group=\"0\" names no group, and nobody is admitted: write its number"),
            ("group='a'", "group=\"a\" names no group, and nobody is admitted: write its number"),
        ] {
            let (options, warnings) = parse(Dialect::Vobiz, attributes);
            assert_eq!((options.guard, &*warnings), (guard(0, None), &[note.to_owned()][..]));
        }
        warns(Dialect::Vobiz, "moderators='admin'", &["moderators has no effect without group"]);
        let (options, warnings) = parse(Dialect::Vobiz, "group='7' moderators='boss'");
        assert_eq!((options.guard, warnings.len()), (guard(7, None), 1), "{warnings:?}");
    }

    #[test]
    fn a_recording_is_accepted_and_not_made() {
        for (attribute, format) in
            [("", RecordingFormat::Mp3), ("recordFileFormat='wav'", RecordingFormat::Wav)]
        {
            let (options, warnings) = parse(Dialect::Vobiz, &format!("record='true' {attribute}"));
            assert_eq!((options.records, options.recording_format), (true, format));
            let note = "record is accepted, and has no effect yet: nothing is recorded";
            assert!(warnings.contains(&note.to_owned()), "{warnings:?}");
        }
    }

    #[test]
    fn warns_of_attributes_without_effect_unless_they_state_the_default() {
        let idle =
            |name: &str, note: &str| format!("{name} is accepted, and has no effect yet: {note}");
        for (attribute, note) in [
            ("waitMethod='GET'", idle("waitMethod", "it is requested by POST")),
            ("recordWhenAlone='true'", idle("recordWhenAlone", "nothing is recorded")),
            ("sendDigits='1'", idle("sendDigits", "no vendor documents it")),
            ("transcriptionType='auto'", idle("transcriptionType", "nothing is transcribed")),
            ("transcriptionUrl='http://a'", idle("transcriptionUrl", "nothing is transcribed")),
            ("transcriptionMethod='GET'", idle("transcriptionMethod", "nothing is transcribed")),
        ] {
            warns(Dialect::Vobiz, attribute, &[&note]);
        }
        changes_one_option(
            "waitMethod='POST' recordWhenAlone='false' recordFileFormat='mp3'",
            |_| (),
        );
    }

    #[test]
    fn an_invalid_value_is_replaced_by_the_default() {
        let beeps = "http://, https://, flow:NAME or sound:hold|ring|beep";
        for (attribute, expected) in [
            (
                "muted='yes'",
                r#"muted="yes" is ignored, and the default "false" holds: write true or false"#,
            ),
            (
                "stayAlone='True'",
                r#"stayAlone="True" is ignored, and the default "false" holds: write true or false"#,
            ),
            (
                "timeLimit='-1'",
                r#"timeLimit="-1" is ignored, and the default "14400" holds: write whole seconds from 0 to 10000000"#,
            ),
            (
                "maxMembers='0'",
                r#"maxMembers="0" is ignored: write a whole number from 1 to 10000"#,
            ),
            (
                "maxParticipants='+5'",
                r#"maxParticipants="+5" is ignored: write a whole number from 1 to 10000"#,
            ),
            (
                "method='PUT'",
                r#"method="PUT" is ignored, and the default "POST" holds: write GET or POST"#,
            ),
            (
                "callbackUrl='flow:a'",
                r#"callbackUrl="flow:a" is ignored: write http:// or https://"#,
            ),
            (
                "digitsMatch='1,x'",
                r#"digitsMatch="1,x" is ignored: write keys out of 0123456789*#, such as 1,2,99#"#,
            ),
            (
                "enterSound='beep:3'",
                &format!(r#"enterSound="beep:3" is ignored: write beep:1, beep:2, {beeps}"#),
            ),
            ("waitSound='beep:1'", &format!(r#"waitSound="beep:1" is ignored: write {beeps}"#)),
            (
                "mutd='true'",
                r#"<Conference> has no attribute "mutd" (did you mean muted?); it is ignored"#,
            ),
        ] {
            warns(Dialect::Vobiz, attribute, &[expected]);
        }
    }

    #[test]
    fn an_action_that_cannot_be_asked_is_kept() {
        let (options, warnings) = parse(Dialect::Vobiz, "action='left.xml'");
        assert_eq!(&*options.action.as_ref().unwrap().url, "left.xml");
        let expected = "\"left.xml\" cannot be fetched, and the call ends here: \
                        write http://, https:// or flow:NAME";
        assert_eq!(warnings, [expected]);
    }

    #[test]
    fn needs_a_room() {
        let names = "names no conference: write 1 to 256 characters, none a control character";
        check("<Conference/>", &format!("1:11: \"\" {names}"));
        check("<Conference> \n </Conference>", &format!("1:11: \"\" {names}"));
        let long = "x".repeat(257);
        let clipped = "x".repeat(60);
        check(
            &format!("<Conference>{long}</Conference>"),
            &format!("1:11: \"{clipped}…\" {names}"),
        );
        let got = read(Dialect::Vobiz, "<Conference> a &amp;\n <![CDATA[<b>]]> é </Conference>");
        assert!(
            got.starts_with(r#"Conference(ConferenceVerb { room: ConferenceName("a & <b> é"),"#),
            "{got}"
        );
    }

    #[test]
    fn holds_no_elements() {
        let expected = "1:24: <Conference> holds no elements: close it before <Hangup>";
        check("<Conference>a<Hangup/></Conference>", expected);
    }
}
