//! A whole room driven like by a tick thread, from incoming to outgoing packet; and its heap
//! allocations, which are none once it runs.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use conflow::{
    audio::{
        cursor::{SoundLookup, SoundState},
        dtmf,
        jitter::{Jitter, Pulled},
        mix::{self, Mixer, Slot, TalkChange},
        playout::{self, DtmfMode, OutgoingAudio, Playout},
        tone::{Tones, amplitude, key_in},
    },
    media::{MemberAudio, Sound, SoundKind, TICK},
    rtp::{
        g711::{self, FRAME, Law},
        latching::{PacketOrigin, RtpSource},
        packet::{HEADER, Packet, ReceptionStats, RtpStream},
    },
};

use crate::allocations::{Allocations, counted};

const LEGS: usize = 30;
const EVENTS: u8 = 101;

/// One leg of a tick thread.
struct TickLeg {
    source: RtpSource,
    jitter: Jitter,
    reception: ReceptionStats,
    keys: dtmf::DtmfReceiver,
    slot: Slot,
    playout: Playout,
    stream: RtpStream,
    /// The far end's outgoing stream.
    far: RtpStream,
    address: SocketAddr,
    pressed: Vec<char>,
    sent: [u8; HEADER + FRAME],
}

struct BuiltInSounds(Tones);

impl SoundLookup for BuiltInSounds {
    fn find(&mut self, what: &SoundKind) -> SoundState {
        self.0.of(what).map_or(SoundState::Failed, |it| SoundState::Ready(it.clone()))
    }

    fn key(&mut self, key: char) -> Option<Arc<[i16]>> {
        self.0.key(key).cloned()
    }
}

struct TickRoom {
    legs: Vec<TickLeg>,
    mixer: Mixer,
    sounds: BuiltInSounds,
    talks: Vec<TalkChange>,
    over: Vec<u32>,
    start: Instant,
    ticks: u32,
}

impl TickRoom {
    #[expect(clippy::disallowed_methods, reason = "an origin, from which the ticks count")]
    fn new() -> Self {
        let (start, mut mixer) = (Instant::now(), Mixer::new(mix::Settings::default()));
        let legs = (0..LEGS).map(|number| TickLeg::new(start, &mut mixer, number)).collect();
        Self {
            legs,
            mixer,
            sounds: BuiltInSounds(Tones::new(g711::RATE)),
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

impl TickLeg {
    fn new(start: Instant, mixer: &mut Mixer, number: usize) -> Self {
        let address = SocketAddr::from(([192, 0, 2, 7], 4_000 + number as u16));
        let settings = playout::Settings { rate: g711::RATE, dtmf_mode: DtmfMode::Events };
        let mut leg = Self {
            source: RtpSource::new(start, address, [address.ip(); 2]),
            jitter: Jitter::default(),
            reception: ReceptionStats::default(),
            keys: dtmf::DtmfReceiver::default(),
            slot: mixer.add(),
            playout: Playout::new(settings),
            stream: RtpStream::new(1, 0, 0),
            far: RtpStream::new(2, u16::MAX - 20, u32::MAX - 3_000),
            address,
            pressed: Vec::with_capacity(8),
            sent: [0; HEADER + FRAME],
        };
        let wait = Sound { what: SoundKind::Url("sound:hold".into()), times: 1 };
        // The last one waits; all others are in the room.
        leg.playout.place(match number == LEGS - 1 {
            true => MemberAudio::Wait(Some([wait].into())),
            false => MemberAudio::Room,
        });
        mixer.flags(leg.slot).waiting = number == LEGS - 1;
        leg
    }

    /// The far end sends its own tone for two seconds of five, and loses a packet in 31. One far
    /// end presses a key in the tenth second.
    fn speak(&mut self, now: Instant, number: usize, tick: u32) {
        let mut datagram = [0; HEADER + FRAME];
        let press = tick.wrapping_sub(500);
        if number == 3 && press < 5 {
            let (code, end) = (7, press == 4);
            let event =
                dtmf::DtmfEvent { code, end, volume: 10, duration: (press as u16 + 1) * 160 };
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
        let verdict = self.source.receive(now, self.address, &packet);
        assert_eq!(verdict, PacketOrigin::Known);
        self.reception.count(&packet, tick * 160);
        match packet.payload_type {
            EVENTS => self.pressed.extend(self.keys.receive(&packet)),
            _ => _ = self.jitter.push(&packet, Law::Mu),
        }
    }

    /// Every leg hears A-law.
    fn listen(&mut self, mixer: &mut Mixer, sounds: &mut BuiltInSounds, over: &mut Vec<u32>) {
        let (mut samples, mut wire) = ([0; FRAME], [Law::A.silence(); FRAME]);
        let mut leg_mix = mixer.leg_mix(self.slot);
        let payload = match self.playout.tick(Some(&mut leg_mix), sounds, &mut samples, over) {
            OutgoingAudio::Room => leg_mix.encode(Law::A),
            OutgoingAudio::Samples => {
                Law::A.encode(&samples, &mut wire);
                &wire
            }
            OutgoingAudio::Silence => &wire,
            OutgoingAudio::Event(update) => {
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

/// A frequency with whole periods in a frame.
fn hertz(number: usize) -> f64 {
    300.0 + 50.0 * number as f64
}

#[test]
fn a_running_room_allocates_nothing() {
    let mut room = TickRoom::new();
    // The longest sounds have been played once.
    room.run(Duration::from_secs(12));
    let taken = room.run(Duration::from_secs(12));
    assert_eq!(taken, Allocations::default());
    assert!(room.over.is_empty());
}

#[test]
fn everybody_hears_the_loudest_and_the_waiting_member_hears_music() {
    let mut room = TickRoom::new();
    room.run(Duration::from_millis(500));
    let hears = |leg: &TickLeg| -> Vec<usize> {
        let heard = leg.heard();
        (0..LEGS).filter(|it| 0.02 < amplitude(&heard, 8_000, hertz(*it))).collect()
    };
    let voices = hears(&room.legs[2]);
    assert_eq!(voices.len(), 8, "of twelve who talk: {voices:?}");
    assert!(voices.iter().all(|it| it % 5 < 2), "{voices:?}");
    let others: Vec<_> = voices[1..].to_vec();
    assert_eq!(hears(&room.legs[voices[0]]), others, "and nobody hears themself");
    let heard = room.legs[2].heard();
    let music = room.legs[LEGS - 1].heard();
    assert_ne!(music, heard);
    assert!(g711::level(&music) < g711::level(&heard));
    assert_eq!(key_in(&music, 8_000), None);
}

#[test]
fn a_key_is_heard_once_and_its_leg_continues() {
    let mut room = TickRoom::new();
    room.run(Duration::from_secs(15));
    let pressed: Vec<_> =
        room.legs.iter().map(|it| it.pressed.iter().collect::<String>()).collect();
    assert_eq!(pressed.concat(), "7");
    assert_eq!(pressed[3], "7");
    let quality = room.legs[3].reception.quality();
    assert_eq!((quality.received, quality.lost), (750 - 25, 25), "packets in 31 are lost");
    assert_eq!(room.legs[3].stream.packets(), 750);
}
