//! Roster: the members of a room as JSON, by a GET through the whole API without sockets.

use criterion::{BenchmarkId, Criterion, Throughput};

use crate::{loaded_engine::LoadedEngine, measure::now, runtime};

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("roster, as JSON");
    for members in [10_u64, 100, 1_000] {
        let mut loaded_engine = LoadedEngine::new(runtime(), 1, members, None);
        loaded_engine.fill();
        group.throughput(Throughput::Elements(members));
        group.bench_function(BenchmarkId::from_parameter(members), |bencher| {
            bencher.iter_custom(|rounds| {
                let begin = now();
                (0..rounds).for_each(|_| drop(loaded_engine.get()));
                begin.elapsed()
            });
        });
        loaded_engine.leave();
    }
    group.finish();
}
