//! Tests of the call machine: events and exits go in, effects and moves come out.

use std::{sync::Arc, time::SystemTime};

use super::*;
use crate::{
    base::ids::{Dialect, MemberId, RecordingId, RoomId},
    flow::{Cause, Flow, RecordReport, RecordedFacts, RequestMethod},
};

/// The id of every recording.
const ID: Option<RecordingId> = Some(RecordingId(uuid::Uuid::from_u128(5)));

struct Bench {
    call: Option<Box<Call>>,
    now: Instant,
}

impl Bench {
    /// A call that has begun, and its first effects.
    #[expect(clippy::disallowed_methods, reason = "any start time does")]
    fn new(elements: &str) -> (Self, String) {
        let now = Instant::now();
        let party = Party {
            from: "100".into(),
            to: "200".into(),
            caller_name: "".into(),
            direction: CallDirection::Inbound,
            dialect: Dialect::Vobiz,
            trusted: None,
            session: CallSession::at(SystemTime::UNIX_EPOCH),
        };
        let (id, account) = (CallId::of(1), "MA1".parse().unwrap());
        let limit = Duration::from_secs(14_400);
        let call = Call::new(now, id, account, Arc::new(party), limit);
        let document = format!("<Response>{elements}</Response>");
        let flow = Flow::parse(&document, Dialect::Vobiz).unwrap();
        let mut bench = Self { call: Some(call), now };
        let first = bench.does(|call, now, effects| call.begin(now, Ok(flow.into()), effects));
        (bench, first)
    }

    fn does(
        &mut self,
        what: impl FnOnce(&mut Call, Instant, &mut Vec<Effect>) -> CallAct,
    ) -> String {
        let mut effects = Vec::new();
        let act = what(self.call.as_mut().unwrap(), self.now, &mut effects);
        let mut lines: Vec<_> = effects.into_iter().filter_map(brief).collect();
        match act {
            CallAct::End(ending) => lines.push(format!("end {}", ending.cause.code())),
            CallAct::Dial(options) => lines.push(format!("dial {}", options.destinations[0].to)),
            CallAct::Join { room, .. } => lines.push(format!("join {room}")),
            CallAct::Stay => (),
        }
        lines.join(", ")
    }

    fn heard(&mut self, heard: LegEvent) -> String {
        self.does(|call, now, effects| call.heard(now, heard, effects))
    }

    fn begun(&mut self, number: u32) -> String {
        let report = RecordReport::Begun(RecordedFacts { id: ID, ..RecordedFacts::nothing() });
        self.does(|call, now, effects| call.recorded(now, number, report, effects))
    }

    fn recorded(&mut self, number: u32) -> String {
        let report = RecordReport::Over(RecordedFacts::nothing());
        self.does(|call, now, effects| call.recorded(now, number, report, effects))
    }

    fn left(&mut self, cause: Cause) -> String {
        let membership =
            Some(PastMembership { room: RoomId::of(7), member: MemberId(3), sequence: 9 });
        self.does(|call, now, effects| call.left(now, &cause.into(), membership, effects))
    }

    fn advance(&mut self, seconds: u64) -> String {
        self.now += Duration::from_secs(seconds);
        self.does(Call::tick)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if let Some(call) = self.call.take() {
            call.end();
        }
    }
}

fn brief(effect: Effect) -> Option<String> {
    match effect {
        Effect::Begin { .. } | Effect::Publish(_) => None,
        Effect::Fetch { number, request } => {
            let field = |(name, value): &(&str, String)| format!("{name}={value}");
            let fields: Vec<_> = request.fields.iter().map(field).collect();
            Some(format!("fetch {number} {} {}", request.url, fields.join("&")))
        }
        Effect::Record { number, options } => Some(format!("record {number} {:?}", options.kind)),
        Effect::StopRecording { number, why } => Some(format!("stop recording {number} {why:?}")),
        Effect::Notify(request) => Some(format!("notify {}", request.url)),
        Effect::Audio(AudioOrder::Play { number, .. }) => Some(format!("play {number}")),
        Effect::Signal(SignallingOrder::Answer { .. }) => Some("answer".to_owned()),
        Effect::Audio(AudioOrder::Prepare { .. }) => None,
        Effect::Audio(order) => Some(format!("{order:?}")),
        Effect::Signal(order) => Some(format!("{order:?}")),
    }
}

#[test]
fn a_stale_report_advances_nothing() {
    let (mut bench, first) =
        Bench::new("<Speak>a</Speak><Conference>b</Conference><Speak>c</Speak>");
    assert_eq!(first, "answer, play 1");
    assert_eq!(bench.heard(LegEvent::Finished(0)), "");
    assert_eq!(bench.heard(LegEvent::Finished(1)), "join b");
    assert_eq!(bench.heard(LegEvent::Finished(1)), "");
    assert_eq!(bench.left(Cause::Kicked), "play 2");
    assert_eq!(bench.heard(LegEvent::Finished(1)), "");
    assert_eq!(bench.heard(LegEvent::Finished(2)), "end 4010");
}

#[test]
fn a_report_on_another_recording_advances_nothing() {
    let (mut bench, first) =
        Bench::new("<Record playBeep='false' action='flow:a' redirect='true'/><Speak>c</Speak>");
    assert_eq!(first, "answer, record 1 Message");
    assert_eq!(bench.recorded(0), "");
    assert_eq!(bench.begun(1), "");
    assert_eq!(bench.heard(LegEvent::Finished(1)), "");
    assert_eq!(bench.heard(LegEvent::Digit('7')), "stop recording 1 Key");
    let action = bench.call.as_ref().unwrap().recording_action();
    assert_eq!(action.map(|(number, it)| (number, it.key)), Some((1, Some('7'))));
    assert_eq!(bench.recorded(2), "");
    assert!(bench.recorded(1).starts_with("fetch 2 flow:a RecordUrl="));
    assert_eq!(bench.call.as_ref().unwrap().recording_action(), None, "it is requested");
}

#[test]
fn a_transfer_stops_the_beep_and_the_recording_of_an_element() {
    let other = || DocumentRequest {
        url: "flow:b".into(),
        method: RequestMethod::Post,
        purpose: Purpose::Transfer,
        fields: Vec::new(),
        is_private: false,
    };
    let (mut bench, first) = Bench::new("<Record action='flow:a'/>");
    assert_eq!(first, "answer, play 1");
    let stopped = bench.does(|call, _, effects| call.transfer(other(), effects));
    assert!(stopped.starts_with("Stop { call: ") && stopped.ends_with("fetch 2 flow:b "));
    let (mut bench, _) = Bench::new("<Record action='flow:a'/>");
    assert_eq!(bench.heard(LegEvent::Finished(1)), "record 2 Message");
    let stopped = bench.does(|call, _, effects| call.transfer(other(), effects));
    assert_eq!(stopped, "stop recording 2 Transfer, fetch 3 flow:b ");
    assert_eq!(bench.call.as_ref().unwrap().recording_action(), None);
    assert_eq!([bench.begun(2), bench.recorded(2)], ["", ""]);
}

#[test]
fn a_caller_who_talks_before_the_element_is_not_silent_in_it() {
    let (mut bench, _) = Bench::new("<Speak>a</Speak><Record timeout='2' playBeep='false'/>");
    bench.heard(LegEvent::Talk(true));
    assert_eq!(bench.heard(LegEvent::Finished(1)), "record 2 Message");
    bench.begun(2);
    assert_eq!(bench.advance(5), "");
    bench.heard(LegEvent::Talk(false));
    assert_eq!(bench.advance(2), "stop recording 2 Silence");
    // The room has its own reports.
    let (mut bench, _) =
        Bench::new("<Wait/><Conference>b</Conference><Record timeout='2' playBeep='false'/>");
    bench.heard(LegEvent::Talk(true));
    assert_eq!(bench.advance(1), "answer, join b");
    assert_eq!(bench.left(Cause::Kicked), "record 1 Message");
    bench.begun(1);
    assert_eq!(bench.advance(2), "stop recording 1 Silence");
}

#[test]
fn a_recording_that_waits_for_a_dial_keeps_the_id_that_was_told() {
    let element = "<Record recordSession='true' startOnDialAnswer='true'/>";
    let (mut bench, first) = Bench::new(&format!("{element}{element}<Wait/>"));
    assert_eq!(first, "answer, record 1 OnDial");
    assert_eq!(bench.begun(1), "record 2 OnDial");
    assert_eq!(bench.begun(2), "");
    let call = bench.call.as_mut().unwrap();
    let ids: Vec<_> = call.take_pending_recordings().iter().map(|it| it.id).collect();
    assert_eq!(ids, [ID, ID]);
    assert!(call.take_pending_recordings().is_empty(), "each begins once");
}

#[test]
fn a_call_that_hangs_up_begins_nothing_more() {
    let (mut bench, _) = Bench::new("<Conference>b</Conference><Speak>c</Speak>");
    assert_eq!(bench.left(Cause::CallerLeft), "end 4000");
    assert_eq!(bench.call.as_ref().unwrap().step(), 0);
}

#[test]
fn an_action_gets_the_fields_of_its_conference() {
    let (mut bench, _) = Bench::new("<Conference action='flow:next'>b</Conference>");
    assert_eq!(
        bench.left(Cause::Kicked),
        format!(
            "fetch 1 flow:next ConferenceName=b&ConferenceExitCause=kicked\
             &ConferenceUUID={}&ConferenceMemberID=3&ConferenceSequence=9",
            RoomId::of(7)
        )
    );
    let stale = Ok(Arc::new(Flow::parse("<Response/>", Dialect::Vobiz).unwrap()));
    let next = stale.clone();
    assert_eq!(bench.does(|call, now, effects| call.fetched(now, 9, stale, effects)), "");
    assert_eq!(bench.does(|call, now, effects| call.fetched(now, 1, next, effects)), "end 4010");
}

#[test]
fn the_time_limit_counts_from_the_answer_and_a_scheduled_hangup_from_itself() {
    let (mut bench, first) = Bench::new("<Wait length='10'/><Speak>a</Speak>");
    assert_eq!(first, "");
    assert_eq!(bench.advance(10), "answer, play 1");
    assert_eq!(bench.advance(14_399), "");
    assert_eq!(bench.advance(1), "end 6000");

    let (mut bench, _) = Bench::new("<Hangup schedule='60'/><Speak loop='0'>a</Speak>");
    assert_eq!(bench.advance(59), "");
    assert_eq!(bench.advance(1), "end 6000");
}

#[test]
fn a_fault_of_the_room_is_named_when_nothing_is_left() {
    let (mut bench, _) = Bench::new("<Conference>b</Conference>");
    assert_eq!(bench.left(Cause::Fault), "end 5010");
}

#[test]
#[cfg(debug_assertions)]
#[should_panic(expected = "dropped alive")]
fn a_live_call_is_not_dropped() {
    let (mut bench, _) = Bench::new("<Wait/>");
    drop(bench.call.take());
}

/// The call decides, where its status is: what the journal says may be older.
#[test]
fn only_a_queued_call_can_be_cancelled() {
    let cancel = |bench: &mut Bench| bench.does(|call, _, _| call.cancel());
    let dialled = || {
        let (mut bench, _) = Bench::new("<Wait length=\"60\"/>");
        assert_eq!(cancel(&mut bench), "", "an inbound call is not queued");
        let hook = Hook { url: "flow:a".into(), method: RequestMethod::Post };
        let out = OutgoingCall {
            answer: AnswerUrls { hook, fallback: None },
            ring_timeout: Duration::from_secs(120),
            ring_max: None,
            digits: None,
            sends_early: false,
        };
        bench.does(|call, now, effects| call.dial(now, out, effects));
        bench
    };
    assert_eq!(cancel(&mut dialled()), "end 1000");
    let mut bench = dialled();
    bench.heard(LegEvent::Ringing);
    assert_eq!(cancel(&mut bench), "");
    let mut bench = dialled();
    bench.heard(LegEvent::Answered);
    assert_eq!(cancel(&mut bench), "");
}
