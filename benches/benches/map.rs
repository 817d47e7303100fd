//! The hash map: insert and get, against `std`.

#![allow(missing_docs, reason = "criterion's macros make public functions")]

use std::hint::black_box;
use std::time::Duration;

use benches::bench::Bench;
use benches::fill::eventual;
use benches::rows::map::{insert, insert_std, keys};
use benches::types::Table;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};

const COUNT: usize = 10_000;

fn maps(c: &mut Criterion) {
    let bench = Bench::new(None, None, true).expect("a directory is made");
    let keys = keys(COUNT);
    let mut number = 0;
    c.bench_function("insert 10,000, 1000 per transaction", |b| {
        b.iter_batched(
            || {
                number += 1;
                eventual::<Table>(&bench.memory(&format!("map-{number}")), 16 << 20).expect("a pool is made")
            },
            |pool| insert(&pool, &keys, 1000).map(|()| pool),
            BatchSize::PerIteration,
        );
    });
    c.bench_function("insert 10,000, std", |b| b.iter(|| insert_std(&keys)));
    let pool = eventual::<Table>(&bench.memory("map"), 16 << 20).expect("a pool is made");
    insert(&pool, &keys, 1000).expect("the keys are inserted");
    let std = insert_std(&keys);
    let table = pool.read();
    c.bench_function("get 10,000", |b| {
        b.iter(|| keys.iter().filter(|key| black_box(table.map.get(*key)).is_some()).count())
    });
    c.bench_function("get 10,000, std", |b| {
        b.iter(|| keys.iter().filter(|key| black_box(std.get(*key)).is_some()).count())
    });
}

criterion_group! {
    name = all;
    config = Criterion::default()
        .sample_size(10)
        .measurement_time(Duration::from_secs(1))
        .warm_up_time(Duration::from_millis(300));
    targets = maps
}
criterion_main!(all);
