//! Taking and giving back 1000 blocks of 64 bytes.

#![allow(missing_docs, reason = "criterion's macros make public functions")]

use std::time::Duration;

use benches::bench::Bench;
use benches::fill::eventual;
use benches::rows::heap::{across_two_transactions, with_malloc, within_one_transaction};
use benches::types::{Blocks, Counter};
use criterion::{Criterion, criterion_group, criterion_main};

fn allocs(c: &mut Criterion) {
    let bench = Bench::new(None, None, true).expect("a directory is made");
    let within = eventual::<Counter>(&bench.memory("within"), 16 << 20).expect("a pool is made");
    let across = eventual::<Blocks>(&bench.memory("across"), 16 << 20).expect("a pool is made");
    c.bench_function("1000 x 64 B, one transaction", |b| b.iter(|| within_one_transaction(&within)));
    c.bench_function("1000 x 64 B, two transactions", |b| b.iter(|| across_two_transactions(&across)));
    c.bench_function("1000 x 64 B, malloc", |b| b.iter(with_malloc));
}

criterion_group! {
    name = all;
    config = Criterion::default()
        .sample_size(20)
        .measurement_time(Duration::from_secs(1))
        .warm_up_time(Duration::from_millis(300));
    targets = allocs
}
criterion_main!(all);
