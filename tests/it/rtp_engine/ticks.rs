//! A whole room as a tick thread drives it, packet in to packet out; and what that costs: no
//! memory, once it goes.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use conflow::{
    audio::{
        cursor::{Found, Sounds},
        dtmf,
        jitter::{Jitter, Pulled},
        mix::{self, Mixer, Slot, Talk},
        playout::{self, Keys, Outgoing, Playout},
        tone::{Tones, amplitude, key_in},
    },
    media::{Hears, Sound, TICK, What},
    rtp::{
        g711::{self, FRAME, Law},
        latching::{Source, Verdict},
        packet::{HEADER, Packet, Reception, Stream},
    },
};

use crate::allocations::{Allocations, counted};

const LEGS: usize = 30;
const EVENTS: u8 = 101;

/// One leg as a tick thread has it.
struct Leg {
    source: Source,
    jitter: Jitter,
    reception: Reception,
    keys: dtmf::Receiver,
    slot: Slot,
    playout: Playout,
    stream: Stream,
    /// What the far end sends with.
    far: Stream,
    address: SocketAddr,
    pressed: Vec<char>,
    sent: [u8; HEADER + FRAME],
}

struct Built(Tones);

impl Sounds for Built {
    fn find(&mut self, what: &What) -> Found {
        self.0.of(what).map_or(Found::Failed, |it| Found::Ready(it.clone()))
    }

    fn key(&mut self, key: char) -> Option<Arc<[i16]>> {
        self.0.key(key).cloned()
    }
}

struct Shard {
    legs: Vec<Leg>,
    mixer: Mixer,
    sounds: Built,
    talks: Vec<Talk>,
    over: Vec<u32>,
    start: Instant,
    ticks: u32,
}

impl Shard {
    #[expect(clippy::disallowed_methods, reason = "an origin, from which the ticks count")]
    fn new() -> Self {
        let (start, mut mixer) = (Instant::now(), Mixer::new(mix::Settings::default()));
        let legs = (0..LEGS).map(|number| Leg::new(start, &mut mixer, number)).collect();
        Self {
            legs,
            mixer,
            sounds: Built(Tones::new(g711::RATE)),
            talks: Vec::with_capacity(LEGS),
            over: Vec::with_capacity(LEGS),
            start,
            ticks: 0,
        }
    }

    fn tick(&mut self) {
        let now = self.start + self.ticks * TICK;
        for (number, leg) in self.legs.iter_mut().enumerate() {
            leg.speak(now, number, self.ticks);
            if let Pulled::Frame(law, frame) | Pulled::Concealed(law, frame) = leg.jitter.pull() {
                self.mixer.put(leg.slot, law, frame);
            }
        }
        self.talks.clear();
        self.mixer.mix(&mut self.talks);
        for leg in &mut self.legs {
            leg.listen(&mut self.mixer, &mut self.sounds, &mut self.over);
        }
        self.ticks += 1;
    }

    fn run(&mut self, time: Duration) -> Allocations {
        let ticks = time.as_millis() / TICK.as_millis();
        counted(|| (0..ticks).for_each(|_| self.tick())).1
    }
}

impl Leg {
    fn new(start: Instant, mixer: &mut Mixer, number: usize) -> Self {
        let address = SocketAddr::from(([192, 0, 2, 7], 4_000 + number as u16));
        let settings = playout::Settings { rate: g711::RATE, keys: Keys::Events };
        let mut leg = Self {
            source: Source::new(start, address, address.ip()),
            jitter: Jitter::default(),
            reception: Reception::default(),
            keys: dtmf::Receiver::default(),
            slot: mixer.add(),
            playout: Playout::new(settings),
            stream: Stream::new(1, 0, 0),
            far: Stream::new(2, u16::MAX - 20, u32::MAX - 3_000),
            address,
            pressed: Vec::with_capacity(8),
            sent: [0; HEADER + FRAME],
        };
        let wait = Sound { what: What::Url("sound:hold".into()), times: 1 };
        // The last one waits; all others are in the room.
        leg.playout.place(match number == LEGS - 1 {
            true => Hears::Wait(Some([wait].into())),
            false => Hears::Room,
        });
        mixer.flags(leg.slot).waiting = number == LEGS - 1;
        leg
    }

    /// Its far end sends a tone of its own, for two seconds of five, and loses a packet in 31;
    /// one of them presses a key in the tenth second.
    fn speak(&mut self, now: Instant, number: usize, tick: u32) {
        let mut datagram = [0; HEADER + FRAME];
        let press = tick.wrapping_sub(500);
        if number == 3 && press < 5 {
            let (code, end) = (7, press == 4);
            let event = dtmf::Event { code, end, volume: 10, duration: (press as u16 + 1) * 160 };
            let age = press * 160;
            let len = self.far.write_aged(age, press == 0, EVENTS, &event.bytes(), &mut datagram);
            self.far.skip(160);
            return self.receive(now, tick, &datagram[..len.unwrap()]);
        }
        let talks = (tick / 50 + number as u32) % 5 < 2;
        let sample = |at: usize| {
            let t = (tick as usize * FRAME + at) as f64 / 8_000.0;
            let loud = if talks { 2_000.0 } else { 4.0 };
            Law::Mu.byte(((t * hertz(number) * std::f64::consts::TAU).sin() * loud) as i16)
        };
        let payload: [u8; FRAME] = std::array::from_fn(sample);
        let len = self.far.write(0, &payload, 160, &mut datagram).unwrap();
        if tick % 31 != number as u32 {
            self.receive(now, tick, &datagram[..len]);
        }
    }

    fn receive(&mut self, now: Instant, tick: u32, datagram: &[u8]) {
        let packet = Packet::parse(datagram).unwrap();
        let verdict = self.source.receive(now, self.address, packet.payload_type);
        assert_eq!(verdict, Verdict::Ours);
        self.reception.count(&packet, tick * 160);
        match packet.payload_type {
            EVENTS => self.pressed.extend(self.keys.receive(&packet)),
            _ => _ = self.jitter.push(&packet, Law::Mu),
        }
    }

    /// Everybody hears A-law.
    fn listen(&mut self, mixer: &mut Mixer, sounds: &mut Built, over: &mut Vec<u32>) {
        let (mut samples, mut wire) = ([0; FRAME], [Law::A.silence(); FRAME]);
        let mut ear = mixer.ear(self.slot);
        let payload = match self.playout.tick(Some(&mut ear), sounds, &mut samples, over) {
            Outgoing::Room => ear.wire(Law::A),
            Outgoing::Samples => {
                Law::A.encode(&samples, &mut wire);
                &wire
            }
            Outgoing::Silence => &wire,
            Outgoing::Event(update) => {
                let payload = update.event.bytes();
                let sent = &mut self.sent;
                self.stream.write_aged(update.age, update.marker, EVENTS, &payload, sent).unwrap();
                return self.stream.skip(160);
            }
        };
        self.stream.write(Law::A.payload_type(), payload, 160, &mut self.sent).unwrap();
    }

    fn heard(&self) -> [i16; FRAME] {
        let mut samples = [0; FRAME];
        Law::A.decode(&self.sent[HEADER..], &mut samples);
        samples
    }
}

/// Whole periods in a frame.
fn hertz(number: usize) -> f64 {
    300.0 + 50.0 * number as f64
}

#[test]
fn a_room_in_its_stride_takes_no_memory() {
    let mut shard = Shard::new();
    // The longest sounds have been around once.
    shard.run(Duration::from_secs(12));
    let taken = shard.run(Duration::from_secs(12));
    assert_eq!(taken, Allocations::default());
    assert!(shard.over.is_empty());
}

#[test]
fn everybody_hears_the_loudest_and_the_one_who_waits_hears_music() {
    let mut shard = Shard::new();
    shard.run(Duration::from_millis(500));
    let hears = |leg: &Leg| -> Vec<usize> {
        let heard = leg.heard();
        (0..LEGS).filter(|it| 0.02 < amplitude(&heard, 8_000, hertz(*it))).collect()
    };
    let voices = hears(&shard.legs[2]);
    assert_eq!(voices.len(), 8, "of twelve who talk: {voices:?}");
    assert!(voices.iter().all(|it| it % 5 < 2), "{voices:?}");
    let others: Vec<_> = voices[1..].to_vec();
    assert_eq!(hears(&shard.legs[voices[0]]), others, "and nobody hears himself");
    let heard = shard.legs[2].heard();
    let music = shard.legs[LEGS - 1].heard();
    assert_ne!(music, heard);
    assert!(g711::level(&music) < g711::level(&heard));
    assert_eq!(key_in(&music, 8_000), None);
}

#[test]
fn a_key_is_heard_once_and_its_leg_goes_on() {
    let mut shard = Shard::new();
    shard.run(Duration::from_secs(15));
    let pressed: Vec<_> =
        shard.legs.iter().map(|it| it.pressed.iter().collect::<String>()).collect();
    assert_eq!(pressed.concat(), "7");
    assert_eq!(pressed[3], "7");
    let quality = shard.legs[3].reception.quality();
    assert_eq!((quality.received, quality.lost), (750 - 25, 25), "packets in 31 are lost");
    assert_eq!(shard.legs[3].stream.packets(), 750);
}
