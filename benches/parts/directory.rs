//! The directory's tables when they are large: the place of a call, and the room of a name.

use std::hint::black_box;

use conflow::{
    base::ids::{CallId, RoomId},
    engine::directory::{CallDirectory, RoomDirectory},
};
use criterion::Criterion;

use crate::registry::key;

const CALLS: u64 = 1_000_000;
const ROOMS: u64 = 100_000;
/// A prime, so that neighbours in a table are not accessed one after another.
const STRIDE: u64 = 611_953;

pub(crate) fn bench(criterion: &mut Criterion) {
    let (mut places, mut names) = (CallDirectory::default(), RoomDirectory::default());
    for n in 0..CALLS {
        places.register(call(n));
        places.move_to(call(n), n).expect("it is up");
    }
    let keys: Vec<_> = (0..ROOMS).map(|n| key(&format!("room-{n}"))).collect();
    for (n, key) in (0..).zip(&keys) {
        names.open(key.clone(), RoomId::of(n), None, n);
    }

    let mut group = criterion.benchmark_group("directory");
    let mut at = 0;
    let mut next = move || {
        at = (at + STRIDE) % CALLS;
        at
    };
    group.bench_function("find one of 1,000,000 calls", |bencher| {
        bencher.iter(|| black_box(places.find(call(next()))).copied());
    });
    group.bench_function("move one of 1,000,000 calls", |bencher| {
        bencher.iter(|| {
            let n = next();
            places.move_to(call(n), black_box(n))
        });
    });
    group.bench_function("admit, settle and remove a call among 1,000,000", |bencher| {
        bencher.iter(|| {
            let new = call(next() + CALLS);
            places.register(new);
            places.move_to(new, black_box(7)).expect("it is up");
            places.remove(new);
        });
    });
    group.bench_function("find one of 100,000 rooms by its name", |bencher| {
        bencher.iter(|| names.find(&keys[(next() % ROOMS) as usize]).copied());
    });
    group.finish();
}

/// Ids are random, so that neighbours in the table were created at different times.
fn call(n: u64) -> CallId {
    CallId::of(u128::from(n.wrapping_mul(0x9E37_79B9_7F4A_7C15)) << 64 | u128::from(n))
}
