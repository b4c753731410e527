//! Thousands of seeded lives of a house, checked against what must hold in every one.
//!
//! Rooms and calls are the real actors on the real queues, without a runtime: the seed picks
//! who gets the next turn, what phones do, what is asked, and when documents come. A failure
//! prints its seed; `SEED=7 cargo test simulation` plays that life again, and
//! `LIVES=100000` plays more of them.

mod flows;
mod groups;
mod world;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
    panic,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use conflow::{
    base::ids::{CallId, Dialect, MemberId, RoomId, RoomKey, Trusted},
    call::{Answer, Call, Direction, Hook, Outgoing, Party, Session},
    conference::{Ask, FUSE, Outcome, Settings, Who},
    documents::{Done, Fetch},
    engine::{
        ban_list::Doors,
        registry::{AskError, House, Links, Transferring},
        scheduler::Turns,
    },
    flow::{Cause, Fetched, Method, Purpose, Request},
    group::PersonId,
    media::{AnnouncementKind, HangupCause, Heard, Report, What},
};
use fastrand::Rng;
use parking_lot::Mutex;
use tokio::sync::oneshot::{Receiver, error::TryRecvError};

use self::world::{Eyes, World};
use crate::{harness::Counter, lives};

const LIVES: RangeInclusive<u64> = 3_000..=6_000;
const STEPS: usize = 150;
/// Many times what the longest flow needs.
const LAST_STEPS_MAX: usize = 50_000;
const ROOMS: usize = 3;

#[test]
fn every_life_keeps_the_promises() {
    mute_fuses();
    let mut tally = BTreeMap::new();
    let is_whole = lives::play("engine", LIVES, |seed| {
        let lived = Life::new(seed).play();
        lived.into_iter().for_each(|what| *tally.entry(what).or_insert(0) += 1);
    });
    // A world in which nothing happens keeps every promise.
    if is_whole {
        let others = [
            "answered",
            "busy",
            "digits",
            "floor",
            "passed on",
            "fetched",
            "missing",
            "branched",
            "moved",
            "spared",
            "done",
            "not done",
            "unwritten",
            "back",
            "back in the room",
        ];
        let causes = Cause::ALL.iter().map(|cause| cause.text()).chain(others);
        causes.for_each(|it| assert!(tally.get(it).is_some_and(|n| 10 < *n), "{it}: {tally:?}"));
    }
}

/// Fuses blow by the thousand; other panics are still heard of.
fn mute_fuses() {
    let loud = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        let payload = panic.payload();
        if payload.downcast_ref::<String>().is_none_or(|text| text != FUSE) {
            loud(panic);
        }
    }));
}

/// One life: the house, who may act in it, and what has been seen.
struct Life {
    rng: Rng,
    now: Instant,
    house: Arc<House>,
    document: Fetched,
    turns: Turns,
    asked: Vec<(Ask, Receiver<Outcome>)>,
    transferring: Vec<(CallId, Transferring)>,
    call_last: u128,
    groups: groups::Office,
    world: Arc<Mutex<World>>,
}

impl Life {
    #[expect(clippy::disallowed_methods, reason = "a place to start; any will do")]
    fn new(seed: u64) -> Self {
        let (mut rng, now) = (Rng::with_seed(seed), Instant::now());
        let world = Arc::new(Mutex::new(World::default()));
        let (turns, room_last) = (Turns::default(), AtomicU64::new(0));
        let links = Links {
            media: Arc::new(Eyes(world.clone())),
            library: Arc::new(Eyes(world.clone())),
            doors: Arc::new(Doors::in_memory(now, SystemTime::UNIX_EPOCH)),
            member_ids: Arc::new(Counter::default()),
            room_id: Box::new(move || {
                RoomId::of((room_last.fetch_add(1, Ordering::Relaxed) + 1).into())
            }),
            trace: Box::new({
                let world = world.clone();
                move |trace| world.lock().see(trace)
            }),
            stage: Box::new(turns.door()),
        };
        let settings = Settings {
            members_max: rng.usize(1..6),
            asks_max: rng.usize(1..5),
            fuse: rng.bool().then(|| rng.u32(0..60)),
        };
        world.lock().has_fuse = settings.fuse.is_some();
        let house = House::new(settings, links);
        let document = Ok(Arc::new(flows::flow(&mut rng)));
        let asked = Vec::new();
        let transferring = Vec::new();
        let groups = groups::Office::new(house.clone());
        Self { rng, groups, now, house, document, turns, asked, transferring, call_last: 0, world }
    }

    fn play(mut self) -> BTreeSet<&'static str> {
        for _ in 0..STEPS {
            match self.rng.u8(0..34) {
                26..29 => self.groups.somebody_asks(&mut self.rng),
                29..34 => self.step_groups(),
                24 => self.transfer(),
                25 => self.far_end(),
                0..2 => self.call(),
                2..5 => self.ask(),
                5 => self.hang_up(),
                6..8 => self.phone(),
                8 => self.over(),
                9 => self.fetched(),
                10 => self.now += Duration::from_millis(self.rng.u64(0..20_000)),
                _ => self.turn(),
            }
            self.look();
        }
        self.house.close();
        for _ in 0..LAST_STEPS_MAX {
            if self.turns.is_empty() && self.groups.is_idle() {
                return self.finish();
            }
            self.turn();
            self.step_groups();
            // Not faster than they are read.
            match self.rng.u8(0..24) {
                0..3 => self.over(),
                3 => self.fetched(),
                4 => self.now += Duration::from_millis(self.rng.u64(0..20_000)),
                _ => (),
            }
            self.look();
        }
        panic!("the house does not come to rest")
    }

    fn step_groups(&mut self) {
        let lived = self.groups.step(&mut self.rng, true);
        self.world.lock().lived.extend(lived);
    }

    fn call(&mut self) {
        self.call_last += 1;
        // Some are nobody in particular, and some nobody whom a group knows.
        let person = match self.rng.u8(0..12) {
            0 => 0,
            1 => groups::PEOPLE + 1,
            _ => self.rng.u64(1..=groups::PEOPLE),
        };
        let trusted = (0 < person).then(|| Trusted::User(format!("user{person}").into()));
        let is_out = self.rng.u8(0..4) == 0;
        let direction = if is_out { Direction::Outbound } else { Direction::Inbound };
        let party = Party {
            from: "100".into(),
            to: "200".into(),
            caller_name: "".into(),
            direction,
            dialect: Dialect::Vobiz,
            trusted: trusted.map(Box::new),
            session: Session::at(SystemTime::UNIX_EPOCH),
        };
        let seconds = if self.rng.bool() { self.rng.u64(1..200) } else { 14_400 };
        let limit = Duration::from_secs(seconds);
        let id = CallId::of(self.call_last);
        let call = Call::new(self.now, id, account(), Arc::new(party), limit);
        let mut world = self.world.lock();
        let seen = world.calls.entry(id).or_default();
        seen.is_out = is_out;
        seen.person = (1..=groups::PEOPLE).contains(&person).then_some(PersonId(person));
        seen.flow = self.document.clone().ok().filter(|_| !is_out);
        drop(world);
        match is_out {
            true => {
                let out = self.outgoing();
                self.house.dial(self.now, call, out);
            }
            false => self.house.begin(self.now, call, self.document.clone()),
        }
    }

    fn outgoing(&mut self) -> Outgoing {
        let mut hook = || Hook { url: flows::url(&mut self.rng).into(), method: Method::Post };
        let answer = Answer { hook: hook(), fallback: Some(hook()) };
        let ring_timeout = Duration::from_secs(self.rng.u64(1..120));
        Outgoing { answer, ring_timeout, ring_max: None, digits: None }
    }

    /// Far ends ring, pick up or do not want to, in no particular order, and more than once.
    fn far_end(&mut self) {
        for _ in 0..3 {
            let call = CallId::of(self.rng.u128(0..=self.call_last));
            let heard = match self.rng.u8(0..8) {
                0..2 => Heard::Ringing,
                2 => Heard::Failed(HangupCause::Busy),
                _ => Heard::Answered,
            };
            if let Some(seen) = self.world.lock().calls.get_mut(&call) {
                seen.picked_up |= heard == Heard::Answered;
            }
            self.house.report(Report { call, heard });
        }
    }

    fn transfer(&mut self) {
        let call = CallId::of(self.rng.u128(0..=self.call_last));
        let is_out = self.world.lock().calls.get(&call).is_none_or(|it| it.is_out);
        if is_out {
            return;
        }
        let request = Request {
            url: flows::url(&mut self.rng).into(),
            method: Method::Post,
            purpose: Purpose::Transfer,
            fields: Vec::new(),
            is_private: false,
        };
        match self.house.transfer(call, request) {
            Ok(transferring) => self.transferring.push((call, transferring)),
            Err(AskError::Busy | AskError::Gone) => (),
            Err(error) => panic!("not at once: {error}"),
        }
    }

    fn ask(&mut self) {
        let member_last = self.world.lock().members.last_key_value().map_or(1, |(id, _)| id.0);
        let who = match self.rng.u8(0..4) {
            0 => Who::All,
            n => Who::These((0..n).map(|_| MemberId(self.rng.u64(0..=member_last))).collect()),
        };
        let on = self.rng.bool();
        let kind = AnnouncementKind::Play;
        let ask = match self.rng.u8(0..10) {
            0..3 => Ask::Kick { who, kick: flows::kick(&mut self.rng) },
            3..5 => Ask::Mute { who, on },
            5 => Ask::Deafen { who, on },
            6 => Ask::Announce { who, kind, sound: What::Beep(1).into() },
            7 => Ask::Hush { who, kind },
            8 => Ask::Roster,
            _ => Ask::HangUp { who },
        };
        let name = format!("room-{}", self.rng.usize(0..ROOMS)).parse().unwrap();
        match self.house.ask(&RoomKey { account: account(), name }, ask.clone()) {
            Ok(answer) => self.asked.push((ask, answer)),
            Err(AskError::Busy) => drop(self.world.lock().lived.insert("busy")),
            Err(AskError::Gone) => (),
            Err(error) => panic!("not at once: {error}"),
        }
    }

    fn hang_up(&mut self) {
        let call = CallId::of(self.rng.u128(0..=self.call_last));
        if self.world.lock().calls.contains_key(&call) {
            self.world.lock().hung_up.insert(call);
        }
        match self.rng.u8(0..4) {
            0 => self.house.hang_up(call, Cause::HungUpByApi),
            1 => self.house.report(Report { call, heard: Heard::Lost }),
            _ => self.house.report(Report { call, heard: Heard::HungUp }),
        }
    }

    /// A phone presses, talks, or holds, whether anybody listens or not.
    fn phone(&mut self) {
        let call = CallId::of(self.rng.u128(0..=self.call_last));
        let on = self.rng.bool();
        let heard = match self.rng.u8(0..6) {
            0..3 => Heard::Digit(self.rng.choice(['1', '2', '*', '#']).unwrap()),
            3..5 => Heard::Talk(on),
            _ => Heard::Hold(on),
        };
        self.house.report(Report { call, heard });
    }

    /// What was played to its end is reported; what is stale, and what never was, too.
    fn over(&mut self) {
        let playing = self.rng.choice(self.world.lock().playing.clone());
        if let Some((call, number)) = playing {
            let stale = [number + 100, number - 1];
            let twice = self.rng.bool().then_some(number);
            self.world.lock().played.insert((call, number));
            for number in stale.into_iter().chain([number]).chain(twice) {
                self.house.report(Report { call, heard: Heard::Over(number) });
            }
        }
    }

    /// A document comes, in no particular order; some come twice, as answers do.
    fn fetched(&mut self) {
        let mut shelf = std::mem::take(&mut self.world.lock().shelf);
        if !shelf.is_empty() {
            let (fetch, done): (Fetch, Done) = shelf.swap_remove(self.rng.usize(0..shelf.len()));
            let document = flows::document(&fetch.request.url);
            self.world.lock().fetched(&fetch, &document);
            done(fetch, document);
        }
        self.world.lock().shelf.append(&mut shelf);
    }

    fn turn(&mut self) {
        if !self.turns.is_empty() {
            let n = self.rng.usize(0..self.turns.len());
            self.turns.turn(n, self.now, || self.rng.usize(1..4));
        }
    }

    /// Takes in the newborn, and checks each reply as soon as it can be seen.
    fn look(&mut self) {
        self.turns.admit();
        let mut world = self.world.lock();
        self.groups.answer(&mut world);
        self.asked.retain_mut(|(ask, answer)| match answer.try_recv() {
            Ok(outcome) => {
                world.check_reply(ask, &outcome);
                false
            }
            Err(TryRecvError::Empty) => true,
            Err(TryRecvError::Closed) => false,
        });
        self.transferring.retain_mut(|(call, transferring)| {
            let answer = match transferring {
                Transferring::Call(answer) => answer.try_recv().map(|()| true),
                Transferring::OnItsWay => return false,
                Transferring::Room(answer) => answer.try_recv().map(|it| it.is_ok()),
            };
            if let Ok(true) = answer {
                world.check_transferred(*call);
            }
            answer == Err(TryRecvError::Empty)
        });
    }

    fn finish(self) -> BTreeSet<&'static str> {
        assert!(self.asked.is_empty(), "no ask is left without an answer: {:?}", self.asked);
        assert!(self.transferring.is_empty(), "no transfer is left: {:?}", self.transferring);
        assert!(self.house.calls().is_empty(), "no call is left: {:?}", self.house.calls());
        assert!(self.house.conferences(&account()).is_empty(), "no name is left");
        let world = self.world.lock();
        assert_eq!(world.calls.len() as u128, self.call_last);
        world.check_end();
        world.lived.clone()
    }
}

fn account() -> conflow::base::ids::AccountId {
    "MA1".parse().unwrap()
}
