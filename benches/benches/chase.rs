//! Following pointers, hot and cold, through a pool and raw.

#![allow(missing_docs, reason = "criterion's macros make public functions")]

use benches::bare::RawList;
use benches::bench::Bench;
use benches::fill::shuffled_list;
use benches::rows::chase::chase;
use criterion::{Criterion, criterion_group, criterion_main};

fn benches(c: &mut Criterion) {
    let mut run = || -> benches::Result<()> {
        let bench = Bench::new(None, None, true)?;
        for count in [400, 100_000] {
            let pool = shuffled_list(&bench.memory(&format!("chase-{count}")), count)?;
            let list = pool.read();
            let raw = RawList::new(count)?;
            let mut group = c.benchmark_group(format!("chase {count}"));
            group.bench_function("PBox", |b| b.iter(|| chase(std::hint::black_box(&list))));
            group.bench_function("raw", |b| b.iter(|| std::hint::black_box(&raw).chase()));
        }
        Ok(())
    };
    run().expect("the lists are made");
}

criterion_group! {
    name = chases;
    config = Criterion::default().sample_size(20).measurement_time(std::time::Duration::from_secs(1)).warm_up_time(std::time::Duration::from_millis(300));
    targets = benches
}
criterion_main!(chases);
