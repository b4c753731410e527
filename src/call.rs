//! One call: who it is, and the place reached in its flow.
//!
//! A call is a plain value that lives in exactly one place: in its own actor while it speaks, in
//! a conference while it is a member. It cannot be cloned, and a live one must not be dropped:
//! whoever has it last says [`Call::end`].

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    flow::{self, Entry, Event, Exit, Fetched, Request, Run, Then},
    ids::{AccountId, CallId, ConferenceName, Dialect, MemberId, RoomId},
    media::{Ending, HangupCause, HangupSource, Heard, Order},
};

/// A live call.
#[derive(Debug, PartialEq)]
pub struct Call {
    /// Its name, for as long as there is a record of it.
    pub id: CallId,
    /// Whose it is.
    pub account: AccountId,
    /// Who speaks with whom.
    pub party: Arc<Party>,
    /// When the call ends, wherever it is.
    pub ends_at: Instant,
    time_limit: Duration,
    run: Run,
    /// The number of the last order or fetch.
    number_last: u32,
    awaits: Awaits,
    is_answered: bool,
    is_scheduled: bool,
    #[cfg(debug_assertions)]
    is_over: bool,
}

/// What does not change about a call.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Party {
    /// A number without `+`, or a SIP URI.
    pub from: Arc<str>,
    /// As `from`.
    pub to: Arc<str>,
    /// The display name, or nothing.
    pub caller_name: Arc<str>,
    /// Who called whom.
    pub direction: Direction,
    /// Whose defaults and manners hold for the call.
    pub dialect: Dialect,
    /// `X-PH-…` headers of the caller's signalling, which callbacks carry.
    pub headers: Vec<(Arc<str>, Arc<str>)>,
    /// Who the caller is beyond doubt, if anybody vouches for it.
    pub trusted: Option<Arc<str>>,
}

/// Who called whom.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Direction {
    /// The far end called us.
    Inbound,
}

impl Direction {
    /// As the API and callbacks have it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
        }
    }
}

/// What a call asks of the world, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// An element begins: its number within its document, from zero.
    Begin {
        /// The number.
        step: u32,
    },
    /// Asks for a document; [`Call::fetched`] takes it, with this number.
    Fetch {
        /// Good within the call; rises.
        number: u32,
        /// What.
        request: Request,
    },
    /// Tells a URL, and lets the answer be.
    Notify(Request),
    /// Tells the backend.
    Order(Order),
}

/// Where a call goes, once its effects are done.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// The call is over.
    End(Ending),
    /// Into a conference.
    Join {
        /// Which.
        room: ConferenceName,
        /// On what terms.
        entry: Arc<Entry>,
    },
    /// It stays, and waits for what it has asked for.
    Stay,
}

/// What would move the call on. A report with another number is stale.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Awaits {
    Document(u32),
    Nothing,
    Order(u32),
}

/// What one wish of the flow comes to.
enum Wish {
    Effect(Effect),
    Move(Act),
    Nothing,
}

impl Call {
    /// A ringing call, whose first document [`Call::begin`] brings.
    pub fn new(
        now: Instant,
        id: CallId,
        account: AccountId,
        party: Arc<Party>,
        time_limit: Duration,
    ) -> Box<Self> {
        let run = Run::new(party.dialect);
        Box::new(Self {
            id,
            account,
            party,
            ends_at: now + time_limit,
            time_limit,
            run,
            number_last: 0,
            awaits: Awaits::Nothing,
            is_answered: false,
            is_scheduled: false,
            #[cfg(debug_assertions)]
            is_over: false,
        })
    }

    /// The number of the current element, from zero.
    pub fn step(&self) -> u32 {
        self.run.step()
    }

    /// When [`Call::tick`] is next due.
    pub fn deadline(&self) -> Instant {
        self.run.deadline().map_or(self.ends_at, |at| at.min(self.ends_at))
    }

    /// Takes the answer document, and begins its first element.
    pub fn begin(&mut self, now: Instant, document: Fetched, effects: &mut Vec<Effect>) -> Act {
        self.handle(now, Event::Fetched(document), effects)
    }

    /// Out of its conference, or not let in, the call goes on as its exit says.
    ///
    /// `spot` is where it was a member; a call that was refused at the door had none.
    pub fn left(
        &mut self,
        now: Instant,
        exit: &Exit,
        spot: Option<(RoomId, MemberId)>,
        effects: &mut Vec<Effect>,
    ) -> Act {
        match exit.then {
            Then::HangUp => Act::End(self.ending(exit)),
            Then::Onward => {
                let first = effects.len();
                let act = self.handle(now, Event::Left(exit.clone()), effects);
                effects[first..].iter_mut().for_each(|effect| name_spot(effect, spot));
                act
            }
        }
    }

    /// Takes what its far end did, or what an order has come to.
    pub fn heard(&mut self, now: Instant, heard: Heard, effects: &mut Vec<Effect>) -> Act {
        let event = match heard {
            Heard::Digit(digit) => Event::Digit(digit),
            Heard::Over(number) if self.awaits == Awaits::Order(number) => Event::Over,
            Heard::Talk(on) => Event::Talk(on),
            Heard::Hold(_) | Heard::Over(_) => return Act::Stay,
            Heard::HungUp => return Act::End(self.ending(&flow::Cause::CallerLeft.into())),
            Heard::Lost => return Act::End(self.ending(&flow::Cause::MediaLost.into())),
        };
        self.handle(now, event, effects)
    }

    /// Takes a document. One whose number is not awaited is stale, and changes nothing.
    pub fn fetched(
        &mut self,
        now: Instant,
        number: u32,
        document: Fetched,
        effects: &mut Vec<Effect>,
    ) -> Act {
        if self.awaits != Awaits::Document(number) {
            return Act::Stay;
        }
        self.handle(now, Event::Fetched(document), effects)
    }

    /// A deadline has passed: the call's own, or one of its element.
    pub fn tick(&mut self, now: Instant, effects: &mut Vec<Effect>) -> Act {
        if self.ends_at <= now {
            return Act::End(self.ending(&flow::Cause::CallTimeUp.into()));
        }
        self.handle(now, Event::Tick, effects)
    }

    /// How the call ends by an exit that ends it.
    pub fn ending(&self, exit: &Exit) -> Ending {
        let dialect = self.party.dialect;
        // A cause that lets the flow go on ends it only when we are out of time for goodbyes.
        exit.cause.ending(dialect).unwrap_or(Ending {
            cause: HangupCause::Normal,
            source: HangupSource::Platform(dialect),
        })
    }

    /// The one way to let go of a call.
    #[expect(clippy::boxed_local, reason = "calls are moved as boxes, and here one ends")]
    pub fn end(mut self: Box<Self>) {
        self.awaits = Awaits::Nothing;
        #[cfg(debug_assertions)]
        {
            self.is_over = true;
        }
    }

    fn handle(&mut self, now: Instant, event: Event, effects: &mut Vec<Effect>) -> Act {
        let mut asked = Vec::new();
        self.run.handle(now, event, &mut asked);
        let mut act = Act::Stay;
        for effect in asked {
            debug_assert_eq!(act, Act::Stay, "a move is the last that a flow asks for");
            match self.effect(now, effect) {
                Wish::Effect(effect) => effects.push(effect),
                Wish::Move(wanted) => act = wanted,
                Wish::Nothing => (),
            }
        }
        act
    }

    /// What one wish of the flow means for this call.
    fn effect(&mut self, now: Instant, effect: flow::Effect) -> Wish {
        let call = self.id;
        let order = match effect {
            flow::Effect::Answer if self.is_answered => return Wish::Nothing,
            flow::Effect::Answer => {
                self.is_answered = true;
                // The limit counts from the answer; a hang-up that is scheduled stays where it is.
                if !self.is_scheduled {
                    self.ends_at = now + self.time_limit;
                }
                Order::Answer { call }
            }
            flow::Effect::Begin { step } => {
                self.awaits = Awaits::Nothing;
                return Wish::Effect(Effect::Begin { step });
            }
            flow::Effect::EarlyMedia if self.is_answered => return Wish::Nothing,
            flow::Effect::EarlyMedia => Order::EarlyMedia { call },
            flow::Effect::End(ending) => return Wish::Move(Act::End(ending)),
            flow::Effect::Join { room, entry } => return Wish::Move(Act::Join { room, entry }),
            flow::Effect::Fetch(request) => {
                let number = self.number();
                self.awaits = Awaits::Document(number);
                return Wish::Effect(Effect::Fetch { number, request });
            }
            flow::Effect::Notify(request) => return Wish::Effect(Effect::Notify(request)),
            flow::Effect::Play(program) => {
                let number = self.number();
                self.awaits = Awaits::Order(number);
                Order::Play { call, number, program }
            }
            flow::Effect::Prepare(program) => Order::Prepare { call, program },
            flow::Effect::Schedule(after) => {
                self.is_scheduled = true;
                self.ends_at = self.ends_at.min(now + after);
                return Wish::Nothing;
            }
            flow::Effect::SendDigits { digits, awaits } => {
                let number = self.number();
                if awaits {
                    self.awaits = Awaits::Order(number);
                }
                Order::SendDigits { call, number, digits }
            }
            flow::Effect::Stop => {
                self.awaits = Awaits::Nothing;
                Order::Stop { call }
            }
        };
        Wish::Effect(Effect::Order(order))
    }

    fn number(&mut self) -> u32 {
        self.number_last = self.number_last.wrapping_add(1);
        self.number_last
    }
}

/// A conference's `action` is told which conference it was, and as whom (contract 4.3).
fn name_spot(effect: &mut Effect, spot: Option<(RoomId, MemberId)>) {
    let (Effect::Fetch { request, .. } | Effect::Notify(request)) = effect else { return };
    if !request.fields.iter().any(|(name, _)| *name == "ConferenceName") {
        return;
    }
    let (room, member) = spot.unzip();
    let text = |it: Option<String>| it.unwrap_or_default();
    request.fields.push(("ConferenceUUID", text(room.map(|it| it.to_string()))));
    request.fields.push(("ConferenceMemberID", text(member.map(|it| it.to_string()))));
}

#[cfg(debug_assertions)]
impl Drop for Call {
    fn drop(&mut self) {
        // While a panic unwinds, a second one would stop the process.
        assert!(self.is_over || std::thread::panicking(), "call {} is lost alive", self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::flow::{Cause, Flow};

    struct Bench {
        call: Option<Box<Call>>,
        now: Instant,
    }

    impl Bench {
        /// A call that has begun; what it asked for at once.
        #[expect(clippy::disallowed_methods, reason = "a place to start; any will do")]
        fn new(elements: &str) -> (Self, String) {
            let now = Instant::now();
            let party = Party {
                from: "100".into(),
                to: "200".into(),
                caller_name: "".into(),
                direction: Direction::Inbound,
                dialect: Dialect::Vobiz,
                headers: vec![],
                trusted: None,
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
            what: impl FnOnce(&mut Call, Instant, &mut Vec<Effect>) -> Act,
        ) -> String {
            let mut effects = Vec::new();
            let act = what(self.call.as_mut().unwrap(), self.now, &mut effects);
            let mut lines: Vec<_> = effects.into_iter().filter_map(brief).collect();
            match act {
                Act::End(ending) => lines.push(format!("end {}", ending.cause.code())),
                Act::Join { room, .. } => lines.push(format!("join {room}")),
                Act::Stay => (),
            }
            lines.join(", ")
        }

        fn heard(&mut self, heard: Heard) -> String {
            self.does(|call, now, effects| call.heard(now, heard, effects))
        }

        fn left(&mut self, cause: Cause) -> String {
            let spot = Some((RoomId::of(7), MemberId(3)));
            self.does(|call, now, effects| call.left(now, &cause.into(), spot, effects))
        }

        fn pass(&mut self, seconds: u64) -> String {
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
            Effect::Begin { .. } => None,
            Effect::Fetch { number, request } => {
                let field = |(name, value): &(&str, String)| format!("{name}={value}");
                let fields: Vec<_> = request.fields.iter().map(field).collect();
                Some(format!("fetch {number} {} {}", request.url, fields.join("&")))
            }
            Effect::Notify(request) => Some(format!("notify {}", request.url)),
            Effect::Order(Order::Play { number, .. }) => Some(format!("play {number}")),
            Effect::Order(Order::Answer { .. }) => Some("answer".to_owned()),
            Effect::Order(Order::Prepare { .. }) => None,
            Effect::Order(order) => Some(format!("{order:?}")),
        }
    }

    #[test]
    fn a_stale_report_advances_nothing() {
        let (mut bench, first) =
            Bench::new("<Speak>a</Speak><Conference>b</Conference><Speak>c</Speak>");
        assert_eq!(first, "answer, play 1");
        assert_eq!(bench.heard(Heard::Over(0)), "");
        assert_eq!(bench.heard(Heard::Over(1)), "join b");
        assert_eq!(bench.heard(Heard::Over(1)), "");
        assert_eq!(bench.left(Cause::Kicked), "play 2");
        assert_eq!(bench.heard(Heard::Over(1)), "");
        assert_eq!(bench.heard(Heard::Over(2)), "end 4010");
    }

    #[test]
    fn a_call_that_hangs_up_begins_nothing_more() {
        let (mut bench, _) = Bench::new("<Conference>b</Conference><Speak>c</Speak>");
        assert_eq!(bench.left(Cause::CallerLeft), "end 4000");
        assert_eq!(bench.call.as_ref().unwrap().step(), 0);
    }

    #[test]
    fn an_action_is_told_which_conference_it_was() {
        let (mut bench, _) = Bench::new("<Conference action='flow:next'>b</Conference>");
        assert_eq!(
            bench.left(Cause::Kicked),
            format!(
                "fetch 1 flow:next ConferenceName=b&ConferenceExitCause=kicked\
                 &ConferenceUUID={}&ConferenceMemberID=3",
                RoomId::of(7)
            )
        );
        let stale = Ok(Arc::new(Flow::parse("<Response/>", Dialect::Vobiz).unwrap()));
        let next = stale.clone();
        assert_eq!(bench.does(|call, now, effects| call.fetched(now, 9, stale, effects)), "");
        assert_eq!(
            bench.does(|call, now, effects| call.fetched(now, 1, next, effects)),
            "end 4010"
        );
    }

    #[test]
    fn the_time_limit_counts_from_the_answer_and_a_scheduled_hangup_from_itself() {
        let (mut bench, first) = Bench::new("<Wait length='10'/><Speak>a</Speak>");
        assert_eq!(first, "");
        assert_eq!(bench.pass(10), "answer, play 1");
        assert_eq!(bench.pass(14_399), "");
        assert_eq!(bench.pass(1), "end 6000");

        let (mut bench, _) = Bench::new("<Hangup schedule='60'/><Speak loop='0'>a</Speak>");
        assert_eq!(bench.pass(59), "");
        assert_eq!(bench.pass(1), "end 6000");
    }

    #[test]
    fn a_fault_of_the_room_is_named_when_nothing_is_left() {
        let (mut bench, _) = Bench::new("<Conference>b</Conference>");
        assert_eq!(bench.left(Cause::Fault), "end 5010");
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "lost alive")]
    fn a_live_call_is_not_dropped() {
        let (mut bench, _) = Bench::new("<Wait/>");
        drop(bench.call.take());
    }
}
