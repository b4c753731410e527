//! Handover: each leg has one last row, also one that is on its way to another thread.

use std::{
    sync::{Barrier, mpsc},
    thread,
};

use super::*;
use crate::{
    base::boot_clock::BootClock,
    rtp_engine::{
        engine_state::HandoverGate,
        leg_row::{LegRowMessage, LegRowSink},
    },
};

#[test]
fn each_leg_is_handed_over_once_wherever_it_is_on_its_way() {
    let mut harness = EngineHarness::new(3);
    let calls: Vec<_> = (0..30).map(|_| harness.dial(None)).collect();
    let (sender, rows) = mpsc::channel();
    let clock = BootClock::new(harness.start, 7_000_000_000);
    for mixer_thread in &mut harness.mixer_threads {
        let sink = LegRowSink { clock, sender: sender.clone() };
        assert!(mixer_thread.links.rows.set(sink).is_ok());
        let legs = mixer_thread.legs.iter_mut().flatten();
        legs.for_each(|leg| leg.keep_at("127.0.0.1:20000".parse().unwrap()));
    }
    harness.ticks(2);
    // Some have left their thread and not arrived, some are still to leave.
    // The thread of the first room has its tick before the others.
    harness.send(place(RoomId::of(6 << 64), &calls[..15], MemberAudio::Room));
    harness.ticks(1);
    harness.send(place(ROOM, &calls[15..], MemberAudio::Room));
    rows.try_iter().for_each(drop);

    let (stopped, threads) = mpsc::channel();
    let barrier = Barrier::new(harness.mixer_threads.len());
    let gate = HandoverGate { barrier, give: Box::new(|_| Ok(())), stopped };
    thread::scope(|scope| {
        for mixer_thread in &mut harness.mixer_threads {
            scope.spawn(|| mixer_thread.hand_over_to(&gate));
        }
    });
    drop(gate);
    let next_at = harness.now() + TICK;
    let legs = threads.iter().map(|it| {
        assert_eq!(it.next_at, next_at);
        it.legs
    });
    assert_eq!(legs.sum::<usize>(), calls.len());
    let put = |message| match message {
        LegRowMessage::Put(call, _) => Some(call),
        LegRowMessage::Gone(_) | LegRowMessage::Playing(..) | LegRowMessage::Over(_) => None,
        LegRowMessage::Sync(_) | LegRowMessage::Close => None,
    };
    let mut kept: Vec<_> = rows.try_iter().map(put).collect();
    kept.sort_unstable();
    assert_eq!(kept, calls.into_iter().map(Some).collect::<Vec<_>>());
}
