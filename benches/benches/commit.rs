//! Commits: `Eventual` and `Immediate` of one word, on a file in memory and on the medium.

#![allow(missing_docs, reason = "criterion's macros make public functions")]

use std::time::Duration;

use benches::bench::Bench;
use benches::types::Counter;
use criterion::{Criterion, criterion_group, criterion_main};
use pobj::{Durability, Pool};

fn commits(c: &mut Criterion) {
    let bench = Bench::new(None, None, true).expect("a directory is made");
    let places = [("memory", bench.memory("commit")), ("file", bench.durable("commit"))];
    for (place, path) in places {
        let pool = Pool::<Counter>::create(path).expect("a pool is made");
        for durability in [Durability::Eventual, Durability::Immediate] {
            c.bench_function(&format!("commit, {durability:?}, {place}"), |b| {
                b.iter(|| {
                    pool.write(|root, tx| {
                        tx.set_durability(durability);
                        root.hits += 1;
                        Ok(())
                    })
                });
            });
        }
        c.bench_function(&format!("empty transaction, {place}"), |b| b.iter(|| pool.write(|_, _| Ok(()))));
        c.bench_function(&format!("read guard, {place}"), |b| b.iter(|| pool.read().hits));
    }
}

criterion_group! {
    name = all;
    config = Criterion::default()
        .sample_size(20)
        .measurement_time(Duration::from_secs(1))
        .warm_up_time(Duration::from_millis(300));
    targets = commits
}
criterion_main!(all);
