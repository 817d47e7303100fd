//! Stories that several threads tell at once, with the background thread's checkpoints in between.
//!
//! Which thread comes to a step is left to the system, so the order of events is another each time; what each step does
//! is not, and neither is what must hold.

use std::sync::Arc;

use pobj::Durability::{Eventual, Immediate};
use pobj::media::sim::SimMedia;

use super::{MAX_SIZE, Story, options, random_script};
use crate::crash::explore::Deed;
use crate::crash::{Mark, Mode, acknowledged};
use crate::workload::every::{Change, Every, Picture};

const THREADS: usize = 3;

/// The changes of a random script, each in a transaction of whichever thread comes to it: one thread's are durable when
/// they are acknowledged, the others' follow.
///
/// # Panics
///
/// If there is no memory, or a transaction fails.
#[must_use]
pub fn tell_from_threads(mode: Mode, seed: u64, steps: usize) -> Story {
    let media = SimMedia::with_domain(MAX_SIZE, mode.domain()).expect("memory for the simulator");
    media.allow_background();
    let change = |deed| if let Deed::Write(change, _) = deed { Some(change) } else { None };
    let changes: Vec<Change> = random_script(seed, steps).into_iter().filter_map(change).collect();
    let mut pictures = vec![Picture::default()];
    for change in &changes {
        let mut picture = pictures[pictures.len() - 1].clone();
        change.apply_to_picture(&mut picture);
        pictures.push(picture);
    }
    let pool =
        options(mode).create_on(Arc::new(media.clone()), |_| Ok(Every::default())).expect("a new pool");
    media.mark(Mark::Created.encode());
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (pool, media, changes) = (&pool, &media, &changes);
            let durability = if thread == 0 { Immediate } else { Eventual };
            scope.spawn(move || {
                loop {
                    let step = pool.write(|root, tx| {
                        tx.set_durability(durability);
                        let step = root.steps() + 1;
                        let Some(change) = changes.get(step as usize - 1) else { return Ok(None) };
                        // Under the pool's lock, so before anything of this transaction happens.
                        media.mark(Mark::Started(step).encode());
                        change.apply(root, tx)?;
                        Ok(Some(step))
                    });
                    let Some(step) = step.expect("a transaction") else { break };
                    media.mark(acknowledged(mode, step, durability));
                }
            });
        }
    });
    let error = pool.close().err().map(|error| format!("close: {error}"));
    media.mark(Mark::Durable(changes.len() as u64).encode());
    Story { mode, media, pictures, first: 0, error }
}
