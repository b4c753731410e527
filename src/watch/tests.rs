//! Tests of whole screens, as text, and of how events and responses change them.

use std::time::Duration;

use ratatui::{Terminal, backend::TestBackend};
use serde_json::{Value, json};

use super::*;
use crate::base::ids::{CallId, ConferenceName};

const SECOND: Duration = Duration::from_secs(1);

/// A model with a live stream.
fn model(size: (u16, u16)) -> Model {
    Model::new("conflow  MA1 at http://here".to_owned(), FeedState::Live, size, None)
}

fn apply(model: &mut Model, event: &str, fields: Value) {
    let mut fields = fields;
    fields["Event"] = event.into();
    model.apply_event(&serde_json::from_value(fields).unwrap(), SECOND);
}

fn enter(model: &mut Model, room: &str, member: u128, from: &str) {
    let fields = json!({
        "CallUUID": CallId::of(member), "From": from, "To": "kick", "ConferenceName": room,
        "ConferenceMemberID": member.to_string(),
    });
    apply(model, "ConferenceEnter", fields);
}

fn exit(model: &mut Model, room: &str, member: u128, cause: &str) {
    let fields = json!({
        "CallUUID": CallId::of(member), "From": format!("1555000000{member}"), "ConferenceName": room,
        "ConferenceMemberID": member.to_string(), "ConferenceExitCause": cause,
    });
    apply(model, "ConferenceExit", fields);
}

fn member(id: u128, from: &str) -> Value {
    json!({"member_id": id.to_string(), "call_uuid": CallId::of(id), "from": from, "muted": id == 2})
}

/// A phone that heard each sound for 1.2 seconds, and still hears the last.
fn phone(state: &str, heard: &[Value]) -> QueryResult {
    let mut timeline = heard.to_vec();
    for (entry, n) in timeline.iter_mut().zip(1..) {
        entry["from_ms"] = ((n - 1) * 1_200).into();
        entry["to_ms"] = if n == heard.len() { Value::Null } else { (n * 1_200).into() };
    }
    let phone = json!({"state": state, "timeline": timeline});
    QueryResult::Phone(Some(serde_json::from_value(phone).unwrap()))
}

/// Answers all queries of the model until there are no more; returns the queries.
fn answer(model: &mut Model, now: Duration, with: impl Fn(&Query) -> QueryResult) -> Vec<Query> {
    let mut all = Vec::new();
    loop {
        let wants = model.next_queries(now, 8);
        if wants.is_empty() {
            return all;
        }
        for asked in wants {
            all.push(asked.query.clone());
            let answer = with(&asked.query);
            model.take(asked, answer, now);
        }
    }
}

fn rooms(names: &[&str]) -> QueryResult {
    QueryResult::Rooms(serde_json::from_value(json!({ "conferences": names })).unwrap())
}

fn roster(members: &[Value]) -> QueryResult {
    QueryResult::Roster(Some(serde_json::from_value(json!({ "members": members })).unwrap()))
}

/// The screen as ratatui draws it, after a check that it is printed identically.
fn screen(model: &Model) -> String {
    let (columns, rows) = model.size;
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
    terminal.draw(|frame| draw(model, frame.buffer_mut())).unwrap();
    let drawn = terminal.backend().to_string();
    let drawn: Vec<_> = drawn.lines().map(|it| it.trim_matches('"').trim_end()).collect();
    let drawn = drawn.join("\n").trim_end().to_owned() + "\n";
    assert_eq!(drawn, text(model));
    drawn
}

fn rows(screen: &str) -> Vec<&str> {
    screen.lines().collect()
}

/// Two rooms; in the first, one member is muted and one is a real phone.
fn two_rooms(size: (u16, u16)) -> Model {
    let mut model = model(size);
    answer(&mut model, SECOND, |want| match want {
        Query::Rooms => rooms(&["weekly", "MyConference"]),
        Query::Roster(name) if name.as_str() == "weekly" => roster(&[member(9, "15550000009")]),
        Query::Roster(_) => roster(&[
            member(1, "15550000001"),
            member(2, "15550000002"),
            member(3, "sip:anna@192.0.2.17:50601;transport=tcp"),
        ]),
        Query::Phone(call) if *call == CallId::of(3) => QueryResult::Phone(None),
        Query::Phone(_) => phone("in-progress", &[json!({"heard": "beep"}), in_my_conference()]),
    });
    model
}

fn in_my_conference() -> Value {
    json!({"heard": "room", "conference": "MyConference"})
}

/// Two rooms, after the first member was kicked.
fn one_kicked(size: (u16, u16)) -> Model {
    let mut model = two_rooms(size);
    exit(&mut model, "MyConference", 1, "kicked");
    let speech = json!({"heard": "speech", "text": "You have been disconnected"});
    let heard = [json!({"heard": "beep"}), in_my_conference(), speech];
    answer(&mut model, SECOND * 2, |want| match want {
        Query::Phone(call) if *call == CallId::of(1) => phone("in-progress", &heard),
        Query::Phone(_) => phone("in-progress", &[json!({"heard": "beep"}), in_my_conference()]),
        Query::Rooms | Query::Roster(_) => panic!("{want:?} is known"),
    });
    model
}

#[test]
fn a_screen_shows_rooms_callers_and_what_each_hears() {
    assert_eq!(
        rows(&screen(&one_kicked((80, 16)))),
        [
            "conflow  MA1 at http://here                                                 live",
            "  2 rooms                 │     MyConference                 hears",
            "> MyConference          2 │>  1 15550000001  kicked          “You have been di…",
            "  weekly                1 │   2 15550000002  muted           the room",
            "                          │   3 sip:anna@19…                 (a real phone)",
            "                          │",
            "                          │",
            "                          │",
            "                          │",
            "                          │",
            "── 15550000001 has heard ───────────────────────────────────────────────────────",
            "      0.0 to     1.2 s  a beep",
            "      1.2 to     2.4 s  the room MyConference",
            "      2.4     …     s  “You have been disconnected”",
            "",
            "15550000001 leaves MyConference: kicked         arrows or hjkl: select   q: quit",
        ]
    );
}

#[test]
fn a_small_screen_shows_what_is_looked_at() {
    let mut model = one_kicked((36, 8));
    assert_eq!(
        rows(&screen(&model)),
        [
            "conflow  MA1 at http://here     live",
            "  2 rooms",
            "> MyConference                    2",
            "  weekly                          1",
            "",
            "",
            "",
            "15550000001 leaves MyConference: k…",
        ]
    );
    model.press(WatchKey::Right);
    model.press(WatchKey::Down);
    assert_eq!(
        rows(&screen(&model)),
        [
            "conflow  MA1 at http://here     live",
            "     MyConference         hears",
            "   1 15550000001 kicked   “You hav…",
            ">  2 15550000002 muted    …",
            "   3 sip:anna@1…          …",
            "",
            "",
            "15550000001 leaves MyConference: k…",
        ]
    );
}

#[test]
fn no_screen_is_too_small_and_no_name_too_wide() {
    for name in
        ["會議室會議室會議室會議室會議室", "e\u{301}e\u{301}", "👩‍👩‍👧‍👦👩‍👩‍👧‍👦", "a\u{202e}\u{1b}[2Jb"]
    {
        for columns in (0..24).chain([59, 60, 61]) {
            for rows in 0..16 {
                let mut model = model((columns, rows));
                model.set_feed_state(FeedState::Lost(name.to_owned()));
                for (member, is_in_room) in [(1, false), (2, true)] {
                    enter(&mut model, &name.replace('\u{1b}', ""), member, name);
                    let key = if is_in_room { WatchKey::Right } else { WatchKey::Left };
                    model.press(key);
                    let text = text(&model);
                    assert!(text.lines().count() <= usize::from(rows.max(1)));
                    assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text}");
                }
            }
        }
    }
}

#[test]
fn wide_characters_have_two_cells_and_are_not_cut_in_half() {
    let mut model = model((60, 6));
    enter(&mut model, "會議室會議室會議室", 1, "張偉張偉張偉張偉");
    assert_eq!(
        rows(&text(&model)),
        [
            "conflow  MA1 at http://here                             live",
            "  1 room            │     會議室會議室會議室     hears",
            "> 會議室會議…     1 │>  1 張偉張偉張…            …",
            "                    │",
            "                    │",
            "張偉張偉張偉張偉 enters 會議室會議室會議室",
        ]
    );
}

#[test]
fn a_lost_server_is_shown_and_everything_is_asked_again_when_it_is_back() {
    let mut model = two_rooms((80, 6));
    model.set_feed_state(FeedState::Lost("127.0.0.1:8080 does not take a connection".to_owned()));
    let text = text(&model);
    let first = text.lines().next().unwrap();
    assert!(first.contains("NO CONNECTION, trying again: 127.0.0.1:8080"), "{first}");
    assert!(text.contains("MyConference"), "what was known stays: {text}");
    assert_eq!(model.next_queries(SECOND * 99, 8), [], "nobody is there to ask");

    model.set_feed_state(FeedState::Live);
    model.events_missed();
    let wants = answer(&mut model, SECOND, |want| match want {
        Query::Rooms => rooms(&["weekly"]),
        Query::Roster(_) => roster(&[member(10, "15550000010")]),
        Query::Phone(_) => QueryResult::Phone(None),
    });
    assert_eq!(wants[0], Query::Rooms);
    let text = super::text(&model);
    assert!(!text.contains("MyConference") && !text.contains("15550000009"), "{text}");
    assert!(text.contains("15550000010"), "{text}");
}

#[test]
fn of_many_rooms_only_those_are_asked_about_that_are_seen() {
    let names: Vec<_> = (0..1_000).map(|n| format!("room{n:03}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let mut model = model((80, 10));
    let with = |want: &Query| match want {
        Query::Rooms => rooms(&names),
        Query::Roster(_) => roster(&[]),
        Query::Phone(_) => QueryResult::Phone(None),
    };
    let mut wants = answer(&mut model, SECOND, with);
    wants.sort();
    let roster = |n: usize| Query::Roster(names[n].parse().unwrap());
    let expected: Vec<_> = [Query::Rooms].into_iter().chain((0..7).map(roster)).collect();
    assert_eq!(wants, expected);

    model.press(WatchKey::Last);
    let mut wants = answer(&mut model, SECOND, with);
    wants.sort();
    assert_eq!(wants, (994..1_000).map(roster).collect::<Vec<_>>());
    let text = text(&model);
    assert!(text.contains("1000 rooms") && text.contains("> room999"), "{text}");
    assert!(!text.contains("room993"), "{text}");
}

#[test]
fn an_answer_that_is_older_than_an_event_takes_nothing_back() {
    let mut model = two_rooms((80, 16));
    let later = SECOND * 60;
    let asked = model.next_queries(later, 8);
    exit(&mut model, "MyConference", 2, "kicked");
    enter(&mut model, "MyConference", 4, "15550000004");
    enter(&mut model, "fresh", 5, "15550000005");
    for asked in asked {
        let answer = match &asked.query {
            Query::Rooms => rooms(&["MyConference"]),
            Query::Roster(name) if name.as_str() == "weekly" => QueryResult::Roster(None),
            Query::Roster(_) => roster(&[1, 2, 3].map(|it| member(it, "late"))),
            Query::Phone(_) => QueryResult::Phone(None),
        };
        model.take(asked, answer, later);
    }
    let state = |it: u128| model.callers.get(&CallId::of(it)).map(|it| it.state);
    assert_eq!(state(2), Some(CallerState::Left));
    let in_room = Some(CallerState::InRoom { muted: false, deaf: false });
    assert_eq!([1, 3, 4, 5].map(state), [in_room; 4]);
    assert_eq!(state(9), None, "the room has ended, and its members with it");
    let names: Vec<_> = model.rooms.keys().flatten().map(ConferenceName::as_str).collect();
    assert_eq!(names, ["MyConference", "fresh"]);
}

#[test]
fn a_hung_up_caller_and_their_ended_room_stay_for_ten_seconds() {
    let mut model = model((80, 16));
    let party = json!({"CallUUID": CallId::of(1), "From": "15550000001", "To": "kick"});
    apply(&mut model, "CallStart", party);
    assert!(text(&model).contains("(in no room)"), "{}", text(&model));
    enter(&mut model, "weekly", 1, "15550000001");
    assert!(!text(&model).contains("(in no room)"), "{}", text(&model));
    exit(&mut model, "weekly", 1, "caller-left");
    apply(&mut model, "ConferenceEnd", json!({"ConferenceName": "weekly"}));
    apply(&mut model, "Hangup", json!({"CallUUID": CallId::of(1), "From": "15550000001"}));
    model.tick(SECOND * 10);
    let seen = text(&model);
    assert!(seen.contains("ended") && seen.contains("over; caller-l…"), "{seen}");
    model.tick(SECOND * 11);
    let seen = text(&model);
    assert!(seen.contains("0 rooms") && !seen.contains("weekly  "), "{seen}");
}

#[test]
fn a_failed_answer_is_shown_and_asked_for_again_after_a_pause() {
    let mut model = model((80, 16));
    let asked = model.next_queries(SECOND, 8).remove(0);
    model.fail(&asked, "too many requests".to_owned(), SECOND);
    assert!(text(&model).contains("too many requests"));
    assert_eq!(model.next_queries(SECOND * 2, 8), []);
    answer(&mut model, SECOND * 3, |_| rooms(&[]));
    assert!(!text(&model).contains("too many requests"));
    assert!(text(&model).contains("nobody is in a room"));
}

#[test]
fn the_selection_stays_while_rooms_come_and_go() {
    let mut model = model((80, 16));
    for (name, n) in ["b", "c", "d"].iter().zip(1..) {
        enter(&mut model, name, n, "x");
    }
    let selected =
        |model: &Model| model.selected_room().cloned().flatten().map(|it| it.to_string());
    let check = |model: &Model, expected: &str| {
        assert_eq!(selected(model).as_deref(), Some(expected));
    };
    check(&model, "b");
    model.press(WatchKey::Down);
    check(&model, "c");
    enter(&mut model, "a", 4, "x");
    check(&model, "c");
    let ended = |name: &str| json!({ "ConferenceName": name });
    let leave = |model: &mut Model, name: &str, n: u128| {
        exit(model, name, n, "kicked");
        apply(model, "Hangup", json!({"CallUUID": CallId::of(n)}));
        apply(model, "ConferenceEnd", ended(name));
        model.tick(SECOND * 60);
    };
    leave(&mut model, "c", 2);
    check(&model, "d");
    leave(&mut model, "d", 3);
    check(&model, "b");
    model.press(WatchKey::Up);
    model.press(WatchKey::Up);
    check(&model, "a");
    model.press(WatchKey::Last);
    check(&model, "b");
}
