//! Tests of `<Conference>`: its attributes, their defaults and their warnings.

use std::sync::Arc;

use super::ConferenceVerb;
use crate::{
    base::ids::Dialect,
    flow::{
        Action, CallbackTarget, ConferenceSound, Flow, JoinOptions, RecordingFormat, RequestMethod,
        RoomGuard, Verb,
        verbs::{check, read},
    },
    group::{GroupId, Rank},
};

fn parse(dialect: Dialect, attributes: &str) -> (Arc<JoinOptions>, Vec<String>) {
    let document = format!("<Response><Conference {attributes}>a</Conference></Response>");
    let flow = Flow::parse(&document, dialect).unwrap();
    let warnings = flow.warnings.iter().map(|it| it.warning.to_string()).collect();
    let Verb::Conference(ConferenceVerb { room, options }) = &flow.steps[0].verb else { panic!() };
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
        records_alone: false,
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
    changes_one_option("floorEvent='true'", |_| ());
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
    let callback = |method, by_call, reports_floor| {
        let url = "http://a".into();
        Some(Arc::new(CallbackTarget { url, method, by_call, reports_floor }))
    };
    changes_one_option("callbackUrl='http://a'", |it| {
        it.callback = callback(RequestMethod::Post, false, false);
    });
    changes_one_option("callbackUrl='http://a' callbackMethod='GET' callbackOrder='call'", |it| {
        it.callback = callback(RequestMethod::Get, true, false);
    });
    changes_one_option("callbackUrl='http://a' floorEvent='true'", |it| {
        it.callback = callback(RequestMethod::Post, false, true);
    });
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
fn a_room_is_recorded_in_a_format() {
    for (attribute, format) in [
        ("", RecordingFormat::Mp3),
        ("recordFileFormat='wav' recordWhenAlone='true'", RecordingFormat::Wav),
    ] {
        let (options, warnings) = parse(Dialect::Vobiz, &format!("record='true' {attribute}"));
        assert_eq!((options.records, options.recording_format), (true, format));
        assert_eq!(options.records_alone, attribute.contains("Alone"));
        assert_eq!(warnings, [""; 0]);
    }
}

#[test]
fn warns_of_attributes_without_effect_unless_they_state_the_default() {
    let idle =
        |name: &str, note: &str| format!("{name} is accepted, and has no effect yet: {note}");
    for (attribute, note) in [
        ("waitMethod='GET'", idle("waitMethod", "it is requested by POST")),
        ("sendDigits='1'", idle("sendDigits", "no vendor documents it")),
        ("transcriptionType='auto'", idle("transcriptionType", "nothing is transcribed")),
        ("transcriptionUrl='http://a'", idle("transcriptionUrl", "nothing is transcribed")),
        ("transcriptionMethod='GET'", idle("transcriptionMethod", "nothing is transcribed")),
    ] {
        warns(Dialect::Vobiz, attribute, &[&note]);
    }
    changes_one_option("waitMethod='POST' recordWhenAlone='false' recordFileFormat='mp3'", |_| ());
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
        ("maxMembers='0'", r#"maxMembers="0" is ignored: write a whole number from 1 to 10000"#),
        (
            "maxParticipants='+5'",
            r#"maxParticipants="+5" is ignored: write a whole number from 1 to 10000"#,
        ),
        (
            "method='PUT'",
            r#"method="PUT" is ignored, and the default "POST" holds: write GET or POST"#,
        ),
        ("callbackUrl='flow:a'", r#"callbackUrl="flow:a" is ignored: write http:// or https://"#),
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
    check(&format!("<Conference>{long}</Conference>"), &format!("1:23: \"{clipped}…\" {names}"));
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
