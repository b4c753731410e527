//! `<Dial>`: who is connected, who ends, and what becomes of the two (contract of calling, 14).
//!
//! The caller is call and member 1; the callees are 2, 3 and so on.

use std::{
    collections::VecDeque,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, SystemTime},
};

use conflow::{
    base::ids::{CallId, Dialect, Incarnation, MemberId, RoomId},
    call::{Call, CallDirection, CallSession, Party},
    conference::{Command, Conference, DialEvent, DialStep, LegTransfer, NewCallee, Settings},
    flow::{Cause, DialOptions, DocumentRequest, Flow, Purpose, RequestMethod, Verb},
    media::{DialFailure, DialFailureSource, Ending, HangupCause, HangupSource, LegEvent},
};

use super::{Ask, Bench, n};

pub(super) fn brief_event(event: &DialEvent) -> String {
    let call = n(event.callee.call);
    match &event.step {
        DialStep::Answered => format!("tell answer {call}"),
        DialStep::Connected => format!("tell connected {call}"),
        DialStep::Digits { digits, by_caller } => format!("tell digits {digits} {by_caller}"),
        DialStep::Ended { ending, seconds: (all, talked) } => {
            format!("tell hangup {call} {} {all}s {talked}s", ending.cause.code())
        }
    }
}

fn options(attributes: &str, destination: &str, destinations: usize) -> Arc<DialOptions> {
    let numbers = format!("<Number {destination}>1</Number>").repeat(destinations);
    let document = format!("<Response><Dial {attributes}>{numbers}</Dial></Response>");
    let flow = Flow::parse(&document, Dialect::Plivo).unwrap();
    let Verb::Dial(verb) = &flow.steps[0].verb else { panic!("no dial") };
    verb.options.clone()
}

fn call(bench: &Bench, id: u64, direction: CallDirection) -> Box<Call> {
    let party = Party {
        from: "14155550100".into(),
        to: format!("to{id}").into(),
        caller_name: "Anna".into(),
        direction,
        dialect: Dialect::Plivo,
        trusted: None,
        session: CallSession::at(SystemTime::UNIX_EPOCH),
    };
    let (id, limit) = (CallId::of(id.into()), Duration::from_secs(14_400));
    Call::new(bench.now, id, "MA1".parse().unwrap(), Arc::new(party), limit)
}

/// A caller who dials; and the effects of that.
fn dial(attributes: &str, callees: u64) -> (Bench, Vec<String>) {
    let mut bench = Bench::new();
    let command = command(&bench, attributes, callees);
    let effects = bench.handle(command);
    (bench, effects)
}

fn command(bench: &Bench, attributes: &str, callees: u64) -> Command {
    command_to(bench, attributes, "", callees)
}

fn command_to(bench: &Bench, attributes: &str, destination: &str, callees: u64) -> Command {
    let options = options(attributes, destination, callees as usize);
    let callee = |id: u64| NewCallee {
        member: MemberId(id),
        call: call(bench, id, CallDirection::Outbound),
        digits: options.destinations[0].digits.clone(),
        sends_early: options.destinations[0].sends_early,
        no_route: None,
    };
    let callees = (2..callees + 2).map(callee).collect();
    let caller = call(bench, 1, CallDirection::Inbound);
    Command::Dial { member: MemberId(1), call: caller, options, callees }
}

/// A callee whose call and member have this id.
pub(super) fn callee(bench: &Bench, id: u64) -> NewCallee {
    let call = call(bench, id, CallDirection::Outbound);
    NewCallee { member: MemberId(id), call, digits: None, sends_early: false, no_route: None }
}

/// A caller who is connected with the callee 2.
fn connected(attributes: &str) -> Bench {
    let (mut bench, _) = dial(attributes, 1);
    bench.heard(2, LegEvent::Answered);
    bench
}

fn hang_up(bench: &mut Bench, member: u64, cause: Cause) -> Vec<String> {
    bench.handle(Command::HangUp { member: MemberId(member), cause })
}

fn request() -> DocumentRequest {
    DocumentRequest {
        url: "flow:x".into(),
        method: RequestMethod::Post,
        purpose: Purpose::Transfer,
        fields: Vec::new(),
        is_private: false,
    }
}

fn transfer(bench: &mut Bench, member: u64) -> Vec<String> {
    bench.ask(Ask::Transfer { member: MemberId(member), legs: request().into() })
}

/// A transfer of the callee of a member, and of the member if `has_own`.
fn transfer_legs(bench: &mut Bench, member: u64, has_own: bool) -> Vec<String> {
    let legs = LegTransfer { own: has_own.then(request), callee: Some(request()) };
    bench.ask(Ask::Transfer { member: MemberId(member), legs })
}

#[test]
fn a_conversation_is_recorded_from_the_connection_to_the_separation() {
    let (mut bench, _) = dial("record='true'", 1);
    let effects = bench.heard(2, LegEvent::Answered);
    let at = |effects: &[String], it: &str| effects.iter().position(|effect| effect == it);
    let begins = at(&effects, "record 1 Dial").expect("it is recorded");
    assert!(at(&effects, "room 1, 2").unwrap_or(0) < begins, "{effects:?}");
    assert!(begins < at(&effects, "tell connected 2").unwrap(), "{effects:?}");
    let effects = hang_up(&mut bench, 2, Cause::CallerLeft);
    assert_eq!(effects.iter().filter(|it| *it == "stop recording 1").count(), 1, "{effects:?}");

    let (mut bench, _) = dial("record='true'", 1);
    let effects = hang_up(&mut bench, 1, Cause::CallerLeft);
    assert_eq!(at(&effects, "stop recording 1"), None, "nothing was connected");
    let mut bench = connected("");
    let effects = hang_up(&mut bench, 2, Cause::CallerLeft);
    assert_eq!(at(&effects, "stop recording 1"), None, "nothing was recorded");
}

#[test]
fn the_first_to_answer_is_connected_and_the_others_lose() {
    let (mut bench, effects) = dial("", 2);
    assert_eq!(effects, ["early 1", "wait 1 sound:ring", "dial 2 to2", "dial 3 to3"]);
    assert_eq!(bench.heard(3, LegEvent::Ringing), ["3 Rang"]);
    assert_eq!(
        bench.heard(3, LegEvent::Answered),
        [
            "3 Answered",
            "tell answer 3",
            "end 2 9000 Plivo",
            "tell hangup 2 9000 0s 0s",
            "answer 1",
            "1 Answered",
            "room 1,3",
            "tell connected 3",
        ]
    );
    bench.advance(5);
    // The callee hangs up: the caller goes on.
    assert_eq!(
        bench.heard(3, LegEvent::HungUp),
        [
            "tell hangup 3 4000 5s 5s",
            "remove 3,1",
            "unname",
            "release 3 caller-left",
            "release 1 dial-ended completed true 4000",
            "stop",
        ]
    );
}

#[test]
fn nobody_answers() {
    let (mut bench, _) = dial("timeout='20'", 2);
    let busy = LegEvent::Failed(DialFailure::new(HangupCause::Busy, DialFailureSource::Carrier));
    assert_eq!(bench.heard(2, busy), ["end 2 3010 Carrier", "tell hangup 2 3010 0s 0s"]);
    assert_eq!(bench.deadline_seconds(), Some(20));
    assert_eq!(
        bench.advance(20),
        [
            "end 3 6010 Plivo",
            "tell hangup 3 6010 20s 0s",
            "remove 1",
            "unname",
            "release 1 dial-failed timeout false 6010",
            "stop",
        ]
    );
    let (mut bench, _) = dial("", 1);
    let effects = bench.heard(2, busy);
    assert!(effects.contains(&"release 1 dial-failed busy false 3010".to_owned()), "{effects:?}");
}

#[test]
fn where_nobody_can_be_called_the_flow_goes_on_at_once() {
    let mut bench = Bench::new();
    let source = HangupSource::Platform(Dialect::Plivo);
    let callee = NewCallee {
        member: MemberId(2),
        call: call(&bench, 2, CallDirection::Outbound),
        digits: None,
        sends_early: false,
        no_route: Some(Ending { cause: HangupCause::DestinationOut, source }),
    };
    let caller = call(&bench, 1, CallDirection::Inbound);
    let effects = bench.handle(Command::Dial {
        member: MemberId(1),
        call: caller,
        options: options("", "", 1),
        callees: vec![callee],
    });
    let expected = ["end 2 2010 Plivo", "release 1 dial-failed failed false 2010"];
    assert!(expected.iter().all(|it| effects.contains(&(*it).to_owned())), "{effects:?}");
}

/// What becomes of the callee and of the caller: the table of section 14.2.
#[test]
fn who_leaves_decides_what_becomes_of_the_other() {
    let leave = |effects: Vec<String>| {
        let told = effects.into_iter().filter(|it| it.starts_with("end") || it.starts_with("rel"));
        told.collect::<Vec<_>>().join("; ")
    };
    let check = |at: &str, effects: Vec<String>, expected: &str| {
        assert_eq!(leave(effects), expected, "{at}");
    };
    let ringing = || dial("hangupOnStar='true'", 1).0;
    let talking = || connected("hangupOnStar='true' timeLimit='60'");

    let mut it = ringing();
    let expected = "end 2 1000 Caller; release 1 caller-left cancel false 1000";
    check("A hangs up, ringing", hang_up(&mut it, 1, Cause::CallerLeft), expected);
    let mut it = talking();
    let expected = "release 1 caller-left completed false 4000; release 2 caller-left 4000 Caller";
    check("A hangs up, bridged", hang_up(&mut it, 1, Cause::CallerLeft), expected);
    let mut it = ringing();
    let expected = "end 2 1000 API Request; release 1 hung-up-by-api cancel false 1000";
    check("REST hang-up of A, ringing", hang_up(&mut it, 1, Cause::HungUpByApi), expected);
    let mut it = ringing();
    let expected = "end 2 1000 API Request; release 1 dial-failed cancel false 1000";
    check("REST hang-up of B, ringing", hang_up(&mut it, 2, Cause::HungUpByApi), expected);
    let mut it = talking();
    let expected = "release 2 hung-up-by-api; release 1 dial-ended completed false 4000";
    check("REST hang-up of B, bridged", hang_up(&mut it, 2, Cause::HungUpByApi), expected);
    let mut it = ringing();
    let expected = "end 2 1000 API Request; release 1 transferred cancel false 1000";
    check("transfer of A, ringing", transfer(&mut it, 1), expected);
    let mut it = talking();
    let expected =
        "release 1 transferred completed false 4000; release 2 transferred 4000 API Request";
    check("transfer of A, bridged", transfer(&mut it, 1), expected);
    let mut it = talking();
    let expected = "release 2 transferred; release 1 dial-ended completed false 4000";
    check("transfer of B", transfer(&mut it, 2), expected);
    let mut it = ringing();
    let expected = "end 2 1000 Caller; release 1 dial-starred cancel false 1000";
    check("star, ringing", it.press(1, "*"), expected);
    let mut it = talking();
    let expected =
        "release 1 dial-starred completed false 4000; release 2 dial-starred 4000 Caller";
    check("star, bridged", it.press(1, "*"), expected);
    let mut it = talking();
    let expected = "release 1 dial-time-up completed false 6000; release 2 time-up 6000 Plivo";
    check("timeLimit", it.advance(60), expected);
    let mut it = talking();
    let expected = "release 1 media-lost completed false 4000; release 2 media-lost 4000 Plivo";
    check("media of A lost", it.heard(1, LegEvent::MediaLost), expected);
    let mut it = talking();
    let expected = "release 1 drained completed false 4000; release 2 drained 4000 Plivo";
    check("shutdown, bridged", it.handle(Command::Close), expected);
    let mut it = ringing();
    let expected = "end 2 1000 Plivo; release 1 drained cancel false 1000";
    check("shutdown, ringing", it.handle(Command::Close), expected);
}

#[test]
fn a_callee_confirms_with_its_key() {
    let (mut bench, _) = dial("confirmSound='flow:ask' confirmKey='1' confirmTimeout='9'", 2);
    assert_eq!(
        bench.heard(2, LegEvent::Answered),
        ["2 Answered", "tell answer 2", "fetch 1 flow:ask for 2"]
    );
    let program = [conflow::media::SoundKind::Beep(1).into()].into();
    assert_eq!(bench.handle(Command::Sounds { number: 1, program }), ["play 2 1 beep:1"]);
    assert!(bench.heard(3, LegEvent::Answered).contains(&"tell answer 3".to_owned()));
    // A wrong key ends that callee alone.
    assert_eq!(bench.press(2, "5"), ["end 2 9110 Plivo", "tell hangup 2 9110 0s 0s"]);
    let effects = bench.press(3, "1");
    assert!(effects.contains(&"tell connected 3".to_owned()), "{effects:?}");

    let (mut bench, _) = dial("confirmKey='1' confirmTimeout='9'", 1);
    bench.heard(2, LegEvent::Answered);
    let effects = bench.advance(9);
    assert!(effects.contains(&"release 1 dial-failed failed false 9110".to_owned()), "{effects:?}");
}

#[test]
fn a_confirm_sound_without_a_key_is_heard_out() {
    let (mut bench, _) = dial("confirmSound='flow:ask'", 1);
    bench.heard(2, LegEvent::Answered);
    let program = [conflow::media::SoundKind::Beep(1).into()].into();
    bench.handle(Command::Sounds { number: 1, program });
    let effects = bench.heard(2, LegEvent::Finished(1));
    assert!(effects.contains(&"tell connected 2".to_owned()), "{effects:?}");
    // One that cannot be fetched keeps nobody waiting.
    let (mut bench, _) = dial("confirmSound='flow:ask'", 1);
    bench.heard(2, LegEvent::Answered);
    let effects = bench.handle(Command::Sounds { number: 1, program: [].into() });
    assert!(effects.contains(&"tell connected 2".to_owned()), "{effects:?}");
}

#[test]
fn real_music_is_the_early_media_of_the_only_callee_which_hears_nothing_yet() {
    let (mut bench, effects) = dial("dialMusic='real'", 1);
    assert_eq!(effects, ["early 1", "wait 1 sound:ring", "dial 2 to2"]);
    assert_eq!(bench.heard(2, LegEvent::Ringing), ["2 Rang"]);
    assert_eq!(bench.heard(2, LegEvent::EarlyMedia), ["room 2", "deafen 2 true", "room 1"]);
    assert_eq!(bench.heard(2, LegEvent::EarlyMedia), [""; 0], "that of another of its phones");
    // The phone that is heard refuses, and the other one goes on ringing.
    let rings_on = ["remove 2", "wait 1 sound:ring"];
    assert_eq!(bench.heard(2, LegEvent::EarlyMediaOver), rings_on);
    assert_eq!(bench.heard(2, LegEvent::EarlyMediaOver), [""; 0]);
    assert_eq!(bench.heard(2, LegEvent::EarlyMedia), ["room 2", "deafen 2 true", "room 1"]);
    assert_eq!(
        bench.heard(2, LegEvent::Answered),
        [
            "2 Answered",
            "tell answer 2",
            "answer 1",
            "1 Answered",
            "deafen 2 false",
            "room 1,2",
            "tell connected 2",
        ]
    );
    for late in [LegEvent::EarlyMedia, LegEvent::EarlyMediaOver] {
        assert_eq!(bench.heard(2, late), [""; 0], "it is late");
    }
    // Without `real`, and with several destinations, the caller hears what was to be played.
    for (attributes, callees) in [("", 1), ("dialMusic='real'", 2)] {
        let (mut bench, _) = dial(attributes, callees);
        assert_eq!(bench.heard(2, LegEvent::EarlyMedia), [""; 0], "{attributes}");
    }
}

#[test]
fn early_media_ends_with_its_callee_and_while_that_confirms() {
    let early = |attributes: &str| {
        let (mut bench, _) = dial(&format!("dialMusic='real' {attributes}"), 1);
        bench.heard(2, LegEvent::EarlyMedia);
        bench
    };
    let mut bench = early("confirmKey='1'");
    let effects = ["2 Answered", "tell answer 2", "remove 2", "wait 1 sound:ring"];
    assert_eq!(bench.heard(2, LegEvent::Answered), effects);
    let effects = bench.press(2, "1");
    assert_eq!(effects, ["answer 1", "1 Answered", "room 1,2", "tell connected 2"]);

    let busy = LegEvent::Failed(DialFailure::new(HangupCause::Busy, DialFailureSource::Carrier));
    let effects = early("").heard(2, busy);
    assert_eq!(effects[..2], ["remove 2", "end 2 3010 Carrier"]);
    assert!(effects.contains(&"remove 1".to_owned()), "{effects:?}");
    let effects = hang_up(&mut early(""), 1, Cause::CallerLeft);
    assert_eq!(effects[..2], ["remove 2", "end 2 1000 Caller"]);
    let effects = early("timeout='20'").advance(20);
    assert_eq!(effects[..2], ["remove 2", "end 2 6010 Plivo"]);
}

#[test]
fn keys_are_sent_at_early_media_or_else_at_the_answer() {
    let begin = |destination: &str| {
        let mut bench = Bench::new();
        let command = command_to(&bench, "", destination, 1);
        bench.handle(command);
        bench
    };
    let mut bench = begin("sendDigits='12' sendOnPreanswer='true'");
    assert_eq!(bench.heard(2, LegEvent::EarlyMedia), ["keys 2 0 12"]);
    let effects = bench.heard(2, LegEvent::Answered);
    assert_eq!(effects[..3], ["2 Answered", "tell answer 2", "answer 1"], "not again");
    let mut bench = begin("sendDigits='12' sendOnPreanswer='true'");
    let at_answer = ["2 Answered", "tell answer 2", "keys 2 1 12"];
    assert_eq!(bench.heard(2, LegEvent::Answered), at_answer);
    let mut bench = begin("sendDigits='12'");
    assert_eq!(bench.heard(2, LegEvent::EarlyMedia), [""; 0]);
    assert_eq!(bench.heard(2, LegEvent::Answered), at_answer);
}

#[test]
fn keys_go_to_the_other_and_patterns_are_reported() {
    let mut bench = connected("digitsMatch='12' digitsMatchBLeg='9'");
    assert_eq!(bench.press(1, "12"), ["keys 2 0 1", "tell digits 12 true"]);
    assert_eq!(bench.press(2, "89"), ["keys 1 0 8", "tell digits 9 false"]);
}

/// `legs=bleg` and `both` of a transfer, as the table of section 14.2 has them.
#[test]
fn a_transfer_moves_the_legs_that_it_names_in_one_step() {
    let released = |effects: Vec<String>| {
        let out = effects.into_iter().filter(|it| it.starts_with("end") || it.starts_with("rel"));
        out.collect::<Vec<_>>().join("; ")
    };
    let both = released(transfer_legs(&mut connected(""), 1, true));
    assert_eq!(both, "release 2 transferred; release 1 transferred completed false 4000");
    let callee = released(transfer_legs(&mut connected(""), 1, false));
    assert_eq!(callee, "release 2 transferred; release 1 dial-ended completed false 4000");
    for has_own in [false, true] {
        let effects = transfer_legs(&mut dial("", 1).0, 1, has_own);
        assert_eq!(effects, ["reply: no B leg is connected with this call"]);
        let effects = transfer_legs(&mut connected(""), 2, has_own);
        assert_eq!(effects, ["reply: no B leg is connected with this call"], "B has no B");
    }
}

/// `legs=bleg` of an order that no machine decides on asks the room for the call.
#[test]
fn the_caller_s_room_names_the_callee_that_is_connected() {
    let ask = |bench: &mut Bench, member| bench.ask(Ask::Callee { member: MemberId(member) });
    let none = ["reply: no B leg is connected with this call"];
    let (mut bench, _) = dial("confirmKey='1'", 1);
    assert_eq!(ask(&mut bench, 1), none);
    bench.heard(2, LegEvent::Answered);
    assert_eq!(ask(&mut bench, 1), none, "it has not confirmed");
    assert_eq!(ask(&mut bench, 2), none);
    bench.press(2, "1");
    assert_eq!(ask(&mut bench, 1), ["reply callee 2"]);
    assert_eq!(ask(&mut bench, 2), none, "B has no B");
    assert_eq!(ask(&mut bench, 3), ["reply: member not found"]);
}

#[test]
fn a_call_limit_of_the_caller_ends_both() {
    let (mut bench, _) = dial("timeLimit='80000'", 1);
    bench.heard(2, LegEvent::Answered);
    let effects = bench.advance(14_400);
    let is_over = |it: &&String| it.starts_with("release");
    let over: Vec<_> = effects.iter().filter(is_over).collect();
    assert_eq!(
        over,
        ["release 1 call-time-up completed false 4000", "release 2 call-time-up 4000 Plivo"]
    );
}

#[test]
fn two_have_room_where_conferences_are_for_one() {
    let mut bench = Bench::of_size(1);
    let command = command(&bench, "", 1);
    bench.handle(command);
    let effects = bench.heard(2, LegEvent::Answered);
    assert!(effects.contains(&"room 1,2".to_owned()), "{effects:?}");
}

/// A panic of the room costs no call: the caller goes on, and every callee ends.
#[test]
fn a_panic_loses_no_call() {
    let mut panics = 0;
    for fault_after in 0..20 {
        let mut bench = Bench::new();
        let settings = Settings { inject_fault_after: Some(fault_after), ..Settings::default() };
        let incarnation = Incarnation::of(RoomId::of(7), "dial");
        bench.room = Conference::new(bench.now, incarnation, &settings);
        let answered = Command::Report { member: MemberId(2), heard: LegEvent::Answered };
        let (mut effects, mut over) = (VecDeque::new(), Vec::new());
        for command in [command(&bench, "", 2), answered, Command::Close] {
            let Bench { room, now, .. } = &mut bench;
            let handle = AssertUnwindSafe(|| room.handle(*now, command, &mut effects));
            if catch_unwind(handle).is_err() {
                panics += 1;
                room.salvage(*now, &mut effects);
            }
            over.extend(bench.finish(mem::take(&mut effects)));
        }
        // It is empty now; what is left of the countdown must not meet the end of the test.
        let incarnation = Incarnation::of(RoomId::of(8), "dial");
        bench.room = Conference::new(bench.now, incarnation, &Settings::default());
        for call in 1..=3 {
            let is_out = |it: &&String| {
                let out = [format!("end {call} "), format!("release {call} ")];
                out.iter().any(|start| it.starts_with(start))
            };
            assert_eq!(over.iter().filter(is_out).count(), 1, "{fault_after}: {call}: {over:?}");
        }
    }
    assert!(3 < panics, "{panics}");
}
