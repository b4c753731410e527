//! Calls on their own share an actor: what one of them meets is no other's business.

use std::sync::{Arc, OnceLock, Weak};

use conflow::{
    engine::registry::House,
    media::{Backend, Heard, Order, Report, What},
};

use crate::harness::{Bench, settings};

/// More than there are wards.
const CALLS: usize = 40;

#[tokio::test(start_paused = true)]
async fn what_is_reported_before_an_order_returns_is_not_lost() {
    let mut bench = bench();
    for _ in 0..CALLS {
        bench.run("<Speak>one</Speak><Speak>two</Speak>");
    }
    bench.settle().await;
    assert_eq!(bench.house.calls(), [], "nobody waits for what is over");
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
    assert_eq!(bench.house.calls().len(), CALLS - CALLS / 10, "the others wait");
    tokio::time::sleep(std::time::Duration::from_secs(10)).await;
    assert_eq!(bench.house.calls(), [], "and go on");
}

/// What is played is over at once; and who is to hear "boom" brings the house down.
#[derive(Default)]
struct Hasty(OnceLock<Weak<House>>);

impl Backend for Hasty {
    fn send(&self, order: Order) {
        let Order::Play { call, number, program } = order else { return };
        let is_boom = |what: &What| matches!(what, What::Speech { text, .. } if &**text == "boom");
        assert!(!program.iter().any(|it| is_boom(&it.what)), "as it was told to");
        let house = self.0.get().and_then(Weak::upgrade).expect("a house");
        house.report(Report { call, heard: Heard::Over(number) });
    }
}

fn bench() -> Bench {
    let hasty = Arc::new(Hasty::default());
    let bench = Bench::with(settings(), |_| hasty.clone());
    drop(hasty.0.set(Arc::downgrade(&bench.house)));
    bench
}
