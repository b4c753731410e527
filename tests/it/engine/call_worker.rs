//! Calls on their own share an actor: what one of them meets is no other's business.

use std::sync::{Arc, OnceLock, Weak};

use conflow::{
    engine::registry::Registry,
    media::{
        AudioEngine, AudioOrder, LegEvent, Report, SignallingBackend, SignallingOrder, SoundKind,
    },
};

use crate::harness::{Bench, settings};

/// More than there are workers.
const CALLS: usize = 40;

#[tokio::test(start_paused = true)]
async fn what_is_reported_before_an_order_returns_is_not_lost() {
    let mut bench = bench();
    for _ in 0..CALLS {
        bench.run("<Speak>one</Speak><Speak>two</Speak>");
    }
    bench.settle().await;
    assert_eq!(bench.registry.calls(), [], "nobody waits for what is over");
}

#[tokio::test(start_paused = true)]
async fn a_panic_costs_one_call_its_life_and_no_other() {
    let mut bench = bench();
    let last = "<Wait length='9'/><Speak>two</Speak>";
    for n in 0..CALLS {
        let second = if n % 10 == 0 { "<Speak>boom</Speak>" } else { last };
        bench.run(&format!("<Speak>one</Speak>{second}"));
    }
    bench.settle().await;
    assert_eq!(bench.registry.calls().len(), CALLS - CALLS / 10, "the others wait");
    tokio::time::sleep(std::time::Duration::from_secs(10)).await;
    assert_eq!(bench.registry.calls(), [], "and go on");
}

/// What is played is over at once; and who is to hear "boom" brings the registry down.
#[derive(Default)]
struct InstantBackend(OnceLock<Weak<Registry>>);

impl SignallingBackend for InstantBackend {
    fn signal(&self, _: SignallingOrder) {}
}

impl AudioEngine for InstantBackend {
    fn send(&self, order: AudioOrder) {
        let AudioOrder::Play { call, number, program } = order else { return };
        let is_boom =
            |what: &SoundKind| matches!(what, SoundKind::Speech { text, .. } if &**text == "boom");
        assert!(!program.iter().any(|it| is_boom(&it.what)), "as it was told to");
        let registry = self.0.get().and_then(Weak::upgrade).expect("a registry");
        registry.report(Report { call, event: LegEvent::Finished(number) });
    }
}

fn bench() -> Bench {
    let backend = Arc::new(InstantBackend::default());
    let bench = Bench::with(settings(), |_| backend.clone());
    drop(backend.0.set(Arc::downgrade(&bench.registry)));
    bench
}
