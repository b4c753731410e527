//! `<Conference>`: puts the call into a room.

use std::sync::Arc;

use super::{Start, Vendors};
use crate::{
    base::ids::{ConferenceName, Dialect},
    flow::{
        Callback, Cue, Entry, Fault, FlowError, Guard, Kind, Method, Oddity, RecordFormat,
        attrs::{METHOD, Reading, verb},
        error::clip,
        field::{Patterns, Said},
    },
    group::Rank,
};

/// More calls than this are in no room, whatever its members say.
const MEMBERS_MAX: u32 = 10_000;
/// The longest a call can last (contract 7) many times over; a limit beyond it is none.
const TIME_LIMIT_MAX: u32 = 10_000_000;

verb! {
    /// Puts the call into the room that its text names, and holds the flow there for as long as
    /// the call is in it.
    ///
    /// However the call gets out, if it is still up the flow goes on: at the element that the
    /// branch for that names (`onKick`, …), else with the answer of `action`, if there is one,
    /// else at the next element.
    ///
    /// ```xml
    /// <Response>
    ///   <Conference endConferenceOnExit="true">weekly</Conference>
    ///   <Speak>You have left the meeting.</Speak>
    /// </Response>
    /// ```
    pub struct Conference {
        /// Which room.
        pub room: ConferenceName,
        /// On what terms.
        pub entry: Arc<Entry>,
    }
    "Conference", Vendors::Both, text Room, holds &[], answers true;

    /// Enters unable to speak.
    muted: bool = "muted" [Kind::Bool] or false, like "true";
    /// Heard by the room when this call enters. Empty is no sound, and no beep.
    enter_sound: Said<Option<Cue>> = "enterSound" [Kind::Sound(true)], like "beep:1";
    /// Heard by those who remain when this call leaves. Empty is no sound, and no beep.
    exit_sound: Said<Option<Cue>> = "exitSound" [Kind::Sound(true)], like "beep:2";
    /// Beeps when this call enters and leaves, where `enterSound` or `exitSound` does not say
    /// otherwise.
    beep: bool = "beep" [Kind::Bool] or false / true, like "false";
    /// The room starts when this call enters. Until it starts, members wait.
    starts: bool = "startConferenceOnEnter" [Kind::Bool] or true, like "false";
    /// The room ends when this call leaves.
    ends: bool = "endConferenceOnExit" [Kind::Bool] or false, like "true";
    /// Stays when all others have left.
    stays_alone: bool = "stayAlone" [Kind::Bool] or true / false, like "true";
    /// Heard by this call while it waits or is alone, over and over.
    wait_sound: Option<Cue> = "waitSound" [Kind::Sound(false)], like "sound:hold";
    /// How many calls the room holds: the first that a member states. Plivo's name.
    members_max: Option<u32> = "maxMembers" [Kind::Number(1, MEMBERS_MAX)], like "20";
    /// How many calls the room holds: the first that a member states. Vobiz' name.
    participants_max: Option<u32> = "maxParticipants" [Kind::Number(1, MEMBERS_MAX)], like "20";
    /// Records the room.
    records: bool = "record" [Kind::Bool] or false, like "true", idle "nothing is recorded";
    /// The recording's format.
    record_format: RecordFormat = "recordFileFormat" [Kind::Choice(&["mp3", "wav"])] or "mp3",
        like "wav", idle "nothing is recorded";
    /// The room ends this long after it was made; of several, the earliest holds. 0 is never.
    time_limit: Said<u32> = "timeLimit" [Kind::Seconds(0, TIME_LIMIT_MAX)] or 86400 / 14400,
        like "3600";
    /// The key `*` takes this call out of the room.
    leaves_on_star: bool = "hangupOnStar" [Kind::Bool] or false, like "true";
    /// Asked when this call has left.
    action: Option<Arc<str>> = "action" [Kind::Target], like "https://example.com/left";
    /// How `action` is asked.
    method: Method = "method" [METHOD] or "POST", like "GET";
    /// The answer of `action` is the next document; else it is only told.
    redirects: bool = "redirect" [Kind::Bool] or true, like "false";
    /// Told of this call's entering, leaving, digits and floor.
    callback_url: Option<Arc<str>> = "callbackUrl" [Kind::Web],
        like "https://example.com/conference";
    /// How `callbackUrl` is told.
    callback_method: Method = "callbackMethod" [METHOD] or "POST", like "GET";
    /// In what order `callbackUrl` is told: that of the room, one at a time, or that of each call,
    /// several at a time. An extension.
    callback_order: Arc<str> = "callbackOrder" [Kind::Choice(&["room", "call"])] or "room",
        like "call";
    /// Keys that `callbackUrl` is told of, with commas between the patterns.
    digits_match: Patterns = "digitsMatch" [Kind::Patterns], like "1,2,99#";
    /// `callbackUrl` is told when this call gets the floor.
    tells_floor: bool = "floorEvent" [Kind::Bool] or false, like "true";
    /// The others hear the keys that this call presses.
    relays_digits: bool = "relayDTMF" [Kind::Bool] or true / false, like "true";
    /// Only members of this group come in, as whom the engine trusts them to be; who is removed
    /// from it is taken out. The first call in a room says which group guards it, if any, and one
    /// that says otherwise is not let in. An extension.
    group: Said<Arc<str>> = "group" [Kind::Text], like "6000001";
    /// With `group`: its members of this rank or above start the room, in place of
    /// `startConferenceOnEnter`, and the room ends when the last of them leaves. A rank is
    /// that of the moment of entering. An extension.
    moderators: Option<Rank> = "moderators" [Kind::Choice(&Rank::NAMES)], like "admin";

    idle {
        /// How `waitSound` is asked.
        "waitMethod" [METHOD] or "POST", like "GET": "it is asked by POST";
        /// Records on while one call is left.
        "recordWhenAlone" [Kind::Bool] or false, like "true": "nothing is recorded";
        /// Keys to press on entering.
        "sendDigits" [Kind::Text], like "1234": "no vendor documents it";
        /// How the recording is transcribed.
        "transcriptionType" [Kind::Choice(&["auto", "hybrid", "manual"])], like "auto":
            "nothing is transcribed";
        /// Where the transcription goes.
        "transcriptionUrl" [Kind::Web], like "https://example.com/text": "nothing is transcribed";
        /// How the transcription is told.
        "transcriptionMethod" [METHOD] or "POST", like "GET": "nothing is transcribed";
    }

    branches {
        /// Where this call goes on when it was kicked: the id of an element further on.
        "onKick", like "kicked";
        /// … when the room has ended because somebody else left, or the engine shuts down.
        "onEnd", like "goodbye";
        /// … when the room's time is up.
        "onTimeUp", like "goodbye";
        /// … when all others have left.
        "onAlone", like "goodbye";
        /// … when it has pressed `*` with `hangupOnStar`.
        "onStar", like "menu";
        /// … when the room is full.
        "onFull", like "later";
        /// … when it may not come in: it is banned, or not a member of the room's group.
        "onBan", like "sorry";
        /// … when the document of `action` cannot be had. Without it, that ends the call.
        "onError", like "sorry";
    }
}

impl Conference {
    pub(super) fn parse(reading: &mut Reading<'_, '_>) -> Result<Self, FlowError> {
        let text = reading.element.words();
        let room = text.parse::<ConferenceName>();
        let room = room.map_err(|_| reading.fault(Fault::Room { text: clip(&text) }))?;
        let rows = Rows::read(reading);
        let beep = |beep| rows.beep.then_some(Cue::Beep(beep));
        let (own, other) = match reading.dialect {
            Dialect::Plivo => (rows.members_max, rows.participants_max),
            Dialect::Vobiz => (rows.participants_max, rows.members_max),
        };
        let entry = Entry {
            muted: rows.muted,
            starts: rows.starts,
            ends: rows.ends,
            stays_alone: rows.stays_alone,
            leaves_on_star: rows.leaves_on_star,
            relays_digits: rows.relays_digits,
            tells_floor: rows.tells_floor,
            time_limit: rows.time_limit.stated,
            time_limit_default: rows.time_limit.default,
            members_max: own.or(other),
            enter_sound: rows.enter_sound.stated.unwrap_or_else(|| beep(1)),
            exit_sound: rows.exit_sound.stated.unwrap_or_else(|| beep(2)),
            wait_sound: rows.wait_sound,
            digits_match: rows.digits_match.0,
            callback: rows.callback_url.map(|url| Callback {
                url,
                method: rows.callback_method,
                by_call: &*rows.callback_order == "call",
            }),
            action: reading.action(rows.action, rows.method, rows.redirects),
            guard: guard(reading, rows.group.stated, rows.moderators),
            records: rows.records,
            record_format: rows.record_format,
        };
        Ok(Self { room, entry: Arc::new(entry) })
    }

    pub(super) fn begin(&self) -> Start {
        Start::Join { room: self.room.clone(), entry: self.entry.clone() }
    }
}

/// What is no group has no members: to let everybody in would be the worse mistake.
fn guard(
    reading: &mut Reading<'_, '_>,
    group: Option<Arc<str>>,
    moderators: Option<Rank>,
) -> Option<Guard> {
    let Some(text) = group else {
        let (name, needs) = ("moderators", "group");
        reading.remark_on(name, Oddity::AttributeAlone { name, needs });
        return None;
    };
    let group = text.trim().parse().ok().filter(|it| *it != Guard::NOBODY);
    if group.is_none() {
        reading.remark_on("group", Oddity::NoGroup { text: clip(&text) });
    }
    Some(Guard { group: group.unwrap_or(Guard::NOBODY), moderators })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Conference;
    use crate::{
        base::ids::Dialect,
        flow::{
            Action, Callback, Cue, Entry, Flow, Guard, Method, RecordFormat, Verb,
            verbs::{check, read},
        },
        group::{GroupId, Rank},
    };

    fn parse(dialect: Dialect, attributes: &str) -> (Arc<Entry>, Vec<String>) {
        let document = format!("<Response><Conference {attributes}>a</Conference></Response>");
        let flow = Flow::parse(&document, dialect).unwrap();
        let remarks = flow.remarks.iter().map(|it| it.oddity.to_string()).collect();
        let Verb::Conference(Conference { room, entry }) = &flow.steps[0].verb else { panic!() };
        assert_eq!(room.as_str(), "a");
        (entry.clone(), remarks)
    }

    /// An attribute changes one thing, and is odd in no way.
    #[track_caller]
    fn changes(attributes: &str, change: impl Fn(&mut Entry)) {
        for dialect in [Dialect::Plivo, Dialect::Vobiz] {
            let mut expected = (*parse(dialect, "").0).clone();
            change(&mut expected);
            let (entry, remarks) = parse(dialect, attributes);
            assert_eq!((&*entry, remarks), (&expected, vec![]), "{dialect} {attributes}");
        }
    }

    #[track_caller]
    fn remarks(dialect: Dialect, attributes: &str, expected: &[&str]) {
        let (entry, remarks) = parse(dialect, attributes);
        assert_eq!(
            (&*entry, remarks),
            (&*parse(dialect, "").0, expected.iter().map(|&it| it.into()).collect())
        );
    }

    #[test]
    fn has_the_defaults_of_its_dialect() {
        let vobiz = Entry {
            muted: false,
            starts: true,
            ends: false,
            stays_alone: false,
            leaves_on_star: false,
            relays_digits: false,
            tells_floor: false,
            time_limit: None,
            time_limit_default: 14_400,
            members_max: None,
            enter_sound: Some(Cue::Beep(1)),
            exit_sound: Some(Cue::Beep(2)),
            wait_sound: None,
            digits_match: vec![],
            callback: None,
            action: None,
            guard: None,
            records: false,
            record_format: RecordFormat::Mp3,
        };
        let plivo = Entry {
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
        changes("muted='true'", |it| it.muted = true);
        changes("startConferenceOnEnter='false'", |it| it.starts = false);
        changes("endConferenceOnExit='true'", |it| it.ends = true);
        changes("stayAlone='true'", |it| it.stays_alone = true);
        changes("stayAlone='false'", |it| it.stays_alone = false);
        changes("hangupOnStar='true'", |it| it.leaves_on_star = true);
        changes("relayDTMF='true'", |it| it.relays_digits = true);
        changes("relayDTMF='false'", |it| it.relays_digits = false);
        changes("floorEvent='true'", |it| it.tells_floor = true);
        changes("muted='false' record='false'", |_| ());
    }

    #[test]
    fn limits_are_read() {
        changes("timeLimit='60'", |it| it.time_limit = Some(60));
        changes("timeLimit='0'", |it| it.time_limit = Some(0));
        changes("maxMembers='1'", |it| it.members_max = Some(1));
        changes("maxParticipants='10000'", |it| it.members_max = Some(10_000));
        let both = "maxMembers='2' maxParticipants='3'";
        assert_eq!(parse(Dialect::Plivo, both).0.members_max, Some(2));
        assert_eq!(parse(Dialect::Vobiz, both).0.members_max, Some(3));
    }

    #[test]
    fn sounds_are_read() {
        let built_in = || Some(Cue::BuiltIn("sound:hold".into()));
        let document = || Some(Cue::Document("https://a/b".into()));
        changes("waitSound='sound:hold'", |it| it.wait_sound = built_in());
        changes("waitSound='https://a/b'", |it| it.wait_sound = document());
        changes("waitSound=''", |_| ());
        changes("enterSound='beep:2'", |it| it.enter_sound = Some(Cue::Beep(2)));
        changes("exitSound='flow:b'", |it| it.exit_sound = Some(Cue::Document("flow:b".into())));
        changes("enterSound=''", |it| it.enter_sound = None);
        changes("beep='true'", |it| {
            (it.enter_sound, it.exit_sound) = (Some(Cue::Beep(1)), Some(Cue::Beep(2)));
        });
        changes("beep='false'", |it| (it.enter_sound, it.exit_sound) = (None, None));
        changes("beep='true' exitSound=''", |it| {
            (it.enter_sound, it.exit_sound) = (Some(Cue::Beep(1)), None);
        });
        changes("beep='false' exitSound='sound:hold'", |it| {
            (it.enter_sound, it.exit_sound) = (None, built_in());
        });
    }

    #[test]
    fn urls_are_read() {
        let action = |method, redirects| Some(Action { url: "flow:b".into(), method, redirects });
        changes("action='flow:b'", |it| it.action = action(Method::Post, true));
        changes("action='flow:b' method='GET' redirect='false'", |it| {
            it.action = action(Method::Get, false);
        });
        changes("method='GET' redirect='false' action=''", |_| ());
        let callback = |method, by_call| Some(Callback { url: "http://a".into(), method, by_call });
        changes("callbackUrl='http://a'", |it| it.callback = callback(Method::Post, false));
        changes("callbackUrl='http://a' callbackMethod='GET' callbackOrder='call'", |it| {
            it.callback = callback(Method::Get, true);
        });
        changes("callbackMethod='GET'", |_| ());
    }

    #[test]
    fn patterns_are_read() {
        changes("digitsMatch='1, 22 ,*#,,A'", |it| {
            it.digits_match = ["1", "22", "*#", "A"].map(Arc::from).to_vec();
        });
        changes("digitsMatch=' , '", |_| ());
    }

    #[test]
    fn a_group_is_read_and_what_is_none_has_no_members() {
        let guard = |id, moderators| Some(Guard { group: GroupId(id), moderators });
        changes("group='6000001'", |it| it.guard = guard(6_000_001, None));
        changes("group=' 7 ' moderators='admin'", |it| it.guard = guard(7, Some(Rank::Admin)));
        changes("group='7' moderators='owner'", |it| it.guard = guard(7, Some(Rank::Owner)));
        for (attributes, note) in [
            ("group=''", "group=\"\" names no group, and nobody is let in: write its number"),
            ("group='0'", "group=\"0\" names no group, and nobody is let in: write its number"),
            ("group='a'", "group=\"a\" names no group, and nobody is let in: write its number"),
        ] {
            let (entry, remarks) = parse(Dialect::Vobiz, attributes);
            assert_eq!((entry.guard, &*remarks), (guard(0, None), &[note.to_owned()][..]));
        }
        remarks(Dialect::Vobiz, "moderators='admin'", &["moderators has no effect without group"]);
        let (entry, remarks) = parse(Dialect::Vobiz, "group='7' moderators='boss'");
        assert_eq!((entry.guard, remarks.len()), (guard(7, None), 1), "{remarks:?}");
    }

    #[test]
    fn a_recording_is_noted_and_not_made() {
        for (attribute, format) in
            [("", RecordFormat::Mp3), ("recordFileFormat='wav'", RecordFormat::Wav)]
        {
            let (entry, remarks) = parse(Dialect::Vobiz, &format!("record='true' {attribute}"));
            assert_eq!((entry.records, entry.record_format), (true, format));
            let note = "record is accepted, and has no effect yet: nothing is recorded";
            assert!(remarks.contains(&note.to_owned()), "{remarks:?}");
        }
    }

    #[test]
    fn what_has_no_effect_is_remarked_upon_unless_it_changes_nothing() {
        let idle =
            |name: &str, note: &str| format!("{name} is accepted, and has no effect yet: {note}");
        for (attribute, note) in [
            ("waitMethod='GET'", idle("waitMethod", "it is asked by POST")),
            ("recordWhenAlone='true'", idle("recordWhenAlone", "nothing is recorded")),
            ("sendDigits='1'", idle("sendDigits", "no vendor documents it")),
            ("transcriptionType='auto'", idle("transcriptionType", "nothing is transcribed")),
            ("transcriptionUrl='http://a'", idle("transcriptionUrl", "nothing is transcribed")),
            ("transcriptionMethod='GET'", idle("transcriptionMethod", "nothing is transcribed")),
        ] {
            remarks(Dialect::Vobiz, attribute, &[&note]);
        }
        changes("waitMethod='POST' recordWhenAlone='false' recordFileFormat='mp3'", |_| ());
    }

    #[test]
    fn what_makes_no_sense_is_the_default() {
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
            remarks(Dialect::Vobiz, attribute, &[expected]);
        }
    }

    #[test]
    fn an_action_that_cannot_be_asked_is_kept() {
        let (entry, remarks) = parse(Dialect::Vobiz, "action='left.xml'");
        assert_eq!(&*entry.action.as_ref().unwrap().url, "left.xml");
        let expected = "\"left.xml\" cannot be asked, and the call ends where it should be: \
                        write http://, https:// or flow:NAME";
        assert_eq!(remarks, [expected]);
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
            got.starts_with(r#"Conference(Conference { room: ConferenceName("a & <b> é"),"#),
            "{got}"
        );
    }

    #[test]
    fn holds_no_elements() {
        let expected = "1:24: <Conference> holds no elements: close it before <Hangup>";
        check("<Conference>a<Hangup/></Conference>", expected);
    }
}
