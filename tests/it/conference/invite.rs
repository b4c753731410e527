//! Calls into a conference: who becomes a member, and what becomes of the others (contract of calling,
//! 14.3).
//!
//! The callees of the tests have ids from 11 on.

use std::{
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use conflow::{
    base::ids::{ConferenceName, Dialect},
    conference::{LegTransfer, NewCallee},
    flow::{CalleeTerms, Flow},
    media::{DialFailure, DialFailureSource, HangupCause},
};

use super::{dial::callee, *};

fn terms(change: impl FnOnce(&mut CalleeTerms)) -> CalleeTerms {
    let mut terms = CalleeTerms {
        ring_timeout: Duration::from_secs(45),
        time_limit: Duration::from_secs(600),
        confirm_sound: None,
        confirm_key: None,
        confirm_timeout: Duration::from_secs(20),
        callback: None,
    };
    change(&mut terms);
    terms
}

/// The room calls somebody: one callee for each id.
fn invite(bench: &mut Bench, ids: &[u64], terms: CalleeTerms) -> Vec<String> {
    let room: ConferenceName = "weekly".parse().unwrap();
    let flow = Arc::new(Flow::of_conference(&room, &[], Dialect::Plivo).unwrap());
    let callees: Vec<NewCallee> = ids.iter().map(|id| callee(bench, *id)).collect();
    let (ticket, terms) = (AskTicket(1), Arc::new(terms));
    bench.handle(Command::Invite { ticket, callees, terms, flow })
}

fn hang_up(bench: &mut Bench, member: u64, cause: Cause) -> Vec<String> {
    bench.handle(Command::HangUp { member: MemberId(member), cause })
}

#[test]
fn the_first_to_answer_is_let_in_and_the_others_lose() {
    let mut bench = Bench::with(&[plain()]);
    let effects = invite(&mut bench, &[11, 12], terms(|_| ()));
    assert_eq!(effects, ["dial 11 to11", "dial 12 to12", "reply 11,12"]);
    assert_eq!(bench.ask(Ask::Roster), ["roster 0s: 1 0s"]);
    assert_eq!(bench.heard(11, LegEvent::Ringing), ["11 Rang"]);
    let lost = ["end 11 9000 Plivo", "tell hangup 11 9000 0s 0s", "admit 12"];
    let answered = bench.heard(12, LegEvent::Answered);
    assert_eq!(answered, [&["12 Answered", "tell answer 12"][..], &lost].concat());
    // The ring timeout is that of the others.
    assert!(bench.advance(45).is_empty());
}

#[test]
fn two_invitations_are_two_races() {
    let mut bench = Bench::with(&[plain()]);
    invite(&mut bench, &[11, 12], terms(|_| ()));
    bench.advance(5);
    invite(&mut bench, &[13], terms(|_| ()));
    has(&bench.heard(12, LegEvent::Answered), "end 11 9000 Plivo");
    assert_eq!(bench.deadline_seconds(), Some(50));
    let effects = bench.advance(45);
    assert_eq!(effects, ["end 13 6010 Plivo", "tell hangup 13 6010 45s 0s"]);
}

#[test]
fn the_end_of_the_room_ends_those_who_ring() {
    let mut bench = Bench::with(&[plain()]);
    invite(&mut bench, &[11, 12], terms(|it| it.confirm_key = Some('1')));
    bench.heard(12, LegEvent::Answered);
    let effects = bench.kick(MemberSelector::All);
    let expected = ["end 11 1000 Plivo", "end 12 1000 Plivo", "release 1 kicked", "stop"];
    expected.iter().for_each(|it| has(&effects, it));
    // Nobody is called into a room that is empty: the join was refused.
    let mut bench = Bench::new();
    let effects = invite(&mut bench, &[11], terms(|_| ()));
    let expected = ["end 11 1000 Plivo", "reply: member not found", "stop"];
    expected.iter().for_each(|it| has(&effects, it));
    has_not(&effects, "dial 11");
}

#[test]
fn a_callee_confirms_is_cancelled_fails_or_hangs_up() {
    let mut bench = Bench::with(&[plain()]);
    let keyed = || terms(|it| it.confirm_key = Some('1'));
    invite(&mut bench, &[11, 12, 13], keyed());
    bench.heard(11, LegEvent::Answered);
    bench.heard(12, LegEvent::Answered);
    assert_eq!(bench.press(11, "5"), ["end 11 9110 Plivo", "tell hangup 11 9110 0s 0s"]);
    assert_eq!(
        hang_up(&mut bench, 13, Cause::HungUpByApi),
        ["end 13 1000 API Request", "tell hangup 13 1000 0s 0s"]
    );
    assert_eq!(bench.press(12, "1"), ["admit 12"]);
    invite(&mut bench, &[14], keyed());
    bench.heard(14, LegEvent::Answered);
    let late = ["end 14 9110 Plivo", "tell hangup 14 9110 20s 20s"];
    assert_eq!(bench.advance(20), late);
    invite(&mut bench, &[15], keyed());
    let busy = LegEvent::Failed(DialFailure::new(HangupCause::Busy, DialFailureSource::Carrier));
    has(&bench.heard(15, busy), "end 15 3010 Carrier");
    invite(&mut bench, &[16], keyed());
    bench.heard(16, LegEvent::Answered);
    has(&hang_up(&mut bench, 16, Cause::CallerLeft), "end 16 4000 Callee");
    assert_eq!(bench.deadline_seconds(), Some(14_400));
}

/// A callee is no member: nothing is asked of it, and a transfer says that it is not connected.
#[test]
fn a_callee_is_no_member() {
    let mut bench = Bench::with(&[plain()]);
    invite(&mut bench, &[11], terms(|_| ()));
    assert_eq!(bench.kick(these(&[11])), ["reply: member not found"]);
    let legs = LegTransfer::default();
    assert_eq!(
        bench.ask(Ask::Transfer { member: MemberId(11), legs }),
        ["reply: no B leg is connected with this call"]
    );
    // It keeps nobody company.
    let mut bench = Bench::with(&[leaves_alone(), plain()]);
    invite(&mut bench, &[11], terms(|_| ()));
    let effects = bench.kick(these(&[2]));
    has(&effects, "release 1 alone");
    has(&effects, "end 11 1000 Plivo");
}

/// A panic of the room loses no callee.
#[test]
fn a_panic_ends_or_lets_in_every_callee() {
    let mut panics = 0;
    for fault_after in 0..12 {
        let mut bench = Bench::new();
        let settings = Settings { inject_fault_after: Some(fault_after), ..Settings::default() };
        bench.room =
            Conference::new(bench.now, Incarnation::of(RoomId::of(7), "weekly"), &settings);
        let flow = Flow::of_conference(&"weekly".parse().unwrap(), &[], Dialect::Plivo).unwrap();
        let callees = vec![callee(&bench, 11), callee(&bench, 12)];
        let (ticket, terms) = (AskTicket(1), Arc::new(terms(|_| ())));
        let invite = Command::Invite { ticket, callees, terms, flow: Arc::new(flow) };
        let answered = Command::Report { member: MemberId(12), heard: LegEvent::Answered };
        let (mut effects, mut over) = (VecDeque::new(), Vec::new());
        for command in [bench.entry(&plain()), invite, answered, Command::Close] {
            let Bench { room, now, .. } = &mut bench;
            let handle = AssertUnwindSafe(|| room.handle(*now, command, &mut effects));
            if catch_unwind(handle).is_err() {
                panics += 1;
                room.salvage(*now, &mut effects);
            }
            over.extend(bench.finish(mem::take(&mut effects)));
        }
        // It is empty now; what is left of the countdown must not meet the end of the test.
        let incarnation = Incarnation::of(RoomId::of(8), "weekly");
        bench.room = Conference::new(bench.now, incarnation, &Settings::default());
        for out in ["release 1 ", "end 11 ", "end 12 |admit 12"] {
            let is_out = |it: &&String| out.split('|').any(|start| it.starts_with(start));
            assert_eq!(over.iter().filter(is_out).count(), 1, "{fault_after}: {out}: {over:?}");
        }
    }
    assert!(4 < panics, "{panics}");
}
