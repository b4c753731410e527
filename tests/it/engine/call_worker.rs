//! Call workers: calls share an actor, and none affects the others.

use std::sync::{Arc, OnceLock, Weak};

use conflow::{
    engine::registry::Registry,
    media::{
        AudioEngine, AudioOrder, LegEvent, Report, SignallingBackend, SignallingOrder, SoundKind,
    },
};

use crate::harness::{Bench, settings};

/// More calls than workers.
const CALLS: usize = 40;

#[tokio::test(start_paused = true)]
async fn a_report_that_arrives_before_its_order_returns_is_not_lost() {
    let mut bench = bench();
    for _ in 0..CALLS {
        bench.run("<Speak>one</Speak><Speak>two</Speak>");
    }
    bench.settle().await;
    assert_eq!(bench.registry.calls(), [], "no call waits for a sound that is over");
}

#[tokio::test(start_paused = true)]
async fn a_panic_ends_one_call_and_no_other() {
    let mut bench = bench();
    let last = "<Wait length='9'/><Speak>two</Speak>";
    for n in 0..CALLS {
        let second = if n % 10 == 0 { "<Speak>boom</Speak>" } else { last };
        bench.run(&format!("<Speak>one</Speak>{second}"));
    }
    bench.settle().await;
    assert_eq!(bench.registry.calls().len(), CALLS - CALLS / 10, "the other calls wait");
    tokio::time::sleep(std::time::Duration::from_secs(10)).await;
    assert_eq!(bench.registry.calls(), [], "and continue");
}

/// Reports each program as over at once, and panics when it is to play "boom".
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
        assert!(!program.iter().any(|it| is_boom(&it.what)), "boom");
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
