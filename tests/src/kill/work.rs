//! What children do for each facility, and how what they leave is compared with what they said.

use std::sync::RwLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use pobj::blk::{self, Blocks};
use pobj::kv::{Engine, Hash, Ordered};
use pobj::{Durability, Error, Pool};

use super::{End, Facility, Job, Mark, Marks, Say, THREADS, Word};
use crate::support::pairs;
use crate::workload::kv::{COMMON, key, progress, store_options, value};
use crate::workload::log::{LONGEST, append, log_options, survey};
use crate::workload::shared::{self, ShelfModel, observe, shelf_options};
use crate::workload::{self, KillMode, Model, Op, Root, in_mode, kill_options};

/// Steps of a thread between two calls of `sync`, where commits are not durable by themselves.
const SYNC_EVERY: u64 = 16;
/// Steps of a thread between two looks at all that the pool holds, where that is tried.
const SNAPSHOT_EVERY: u64 = 64;
/// Steps of a thread between two checkpoints that are asked for.
const CHECKPOINT_EVERY: u64 = 256;
const BLOCK: usize = 4096;

/// Says that a step is done, and syncs from time to time where that is needed.
fn done(
    job: &Job,
    say: Say<'_>,
    thread: usize,
    mark: Mark,
    sync: impl FnOnce() -> Result<(), Error>,
) -> Result<(), Error> {
    say(Word::Done, thread, mark);
    if job.mode.durability() == Durability::Eventual && mark.number.is_multiple_of(SYNC_EVERY) {
        sync()?;
        say(Word::Synced, thread, mark);
    }
    Ok(())
}

/// Says how long a step took, if none of this child took longer.
fn timed<T>(say: Say<'_>, step: impl FnOnce() -> T) -> T {
    static SLOWEST: AtomicU64 = AtomicU64::new(0);
    let begun = Instant::now();
    let outcome = step();
    let micros = begun.elapsed().as_micros() as u64;
    if SLOWEST.fetch_max(micros, Ordering::Relaxed) < micros {
        say(Word::Slowest, 0, number(micros));
    }
    outcome
}

fn number(number: u64) -> Mark {
    Mark { generation: 0, number }
}

fn or_create<T>(opened: Result<T, Error>, create: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    match opened {
        Err(Error::NotFound { .. }) => create(),
        other => other,
    }
}

/// Works until it is killed, or until something fails.
///
/// # Errors
///
/// The first error that the facility returned.
pub fn work(job: &Job, say: Say<'_>) -> Result<(), Error> {
    match job.facility {
        Facility::Heap => work_on_heap(job, say),
        Facility::Shared => work_on_shelves(job, say),
        Facility::Hash => work_on_store::<Hash>(job, say),
        Facility::Ordered => work_on_store::<Ordered>(job, say),
        Facility::Log => work_on_log(job, say),
        Facility::Blocks => work_on_blocks(job, say),
    }
}

fn work_on_heap(job: &Job, say: Say<'_>) -> Result<(), Error> {
    let options = kill_options(job.mode);
    let pool: Pool<Root<'static>> = or_create(options.open(&job.path), || options.create(&job.path))?;
    let mut model = Model::observe(&pool.read()).map_err(Error::abort)?;
    loop {
        let op = Op::random(job.seed, &model);
        timed(say, || pool.write(|root, tx| op.apply(root, tx)))?;
        op.apply_to_model(&mut model);
        done(job, say, 0, number(model.step), || pool.sync())?;
    }
}

/// Threads that each do their steps, from the one after `begun` on, until one of them fails.
fn in_threads(
    begun: [u64; THREADS],
    step: impl Fn(usize, u64) -> Result<(), Error> + Sync,
) -> Result<(), Error> {
    std::thread::scope(|scope| {
        let step = &step;
        let threads = begun.into_iter().enumerate().map(|(thread, begun)| {
            scope.spawn(move || (begun + 1..).try_for_each(|number| step(thread, number)))
        });
        let threads: Vec<_> = threads.collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

fn work_on_shelves(job: &Job, say: Say<'_>) -> Result<(), Error> {
    let options = shelf_options(job.mode);
    let pool = or_create(options.open(&job.path), || options.create(&job.path))?;
    in_threads(observe(&pool)?.map(|shelf| shelf.step), |thread, step| {
        timed(say, || shared::step(&pool, job.seed, thread, step))?;
        if step.is_multiple_of(SNAPSHOT_EVERY) {
            // One state of all threads, while they go on.
            observe(&pool)?;
        }
        if step.is_multiple_of(CHECKPOINT_EVERY) {
            pool.checkpoint()?;
        }
        done(job, say, thread, number(step), || pool.sync())
    })
}

fn work_on_store<E: Engine>(job: &Job, say: Say<'_>) -> Result<(), Error> {
    let options = store_options::<E>(job.mode);
    let store = or_create(options.open_store(&job.path), || options.create_store(&job.path))?;
    in_threads(progress(&store)?, |thread, step| {
        timed(say, || store.put(&key(thread, step), &value(thread, step)))?;
        done(job, say, thread, number(step), || store.sync())?;
        store.put(COMMON, &value(thread, step)).map(drop)
    })
}

fn work_on_log(job: &Job, say: Say<'_>) -> Result<(), Error> {
    let log = log_options(job.mode).open_or_create(&job.path, workload::log::CAPACITY)?;
    let begun = survey(&log).map_err(Error::abort)?.map(|last| last.unwrap_or(0));
    let rewinding = RwLock::new(());
    in_threads(begun, |thread, step| {
        loop {
            let turn = rewinding.read().unwrap_or_else(|poison| poison.into_inner());
            if let Some(position) = timed(say, || append(&log, thread, step))? {
                let mark = Mark { generation: position.generation(), number: step };
                return done(job, say, thread, mark, || log.sync());
            }
            drop(turn);
            let _alone = rewinding.write().unwrap_or_else(|poison| poison.into_inner());
            if log.remaining() < LONGEST {
                log.rewind()?;
            }
        }
    })
}

fn block_options(mode: KillMode) -> blk::Options {
    let options = Blocks::options().size(64 << 10).max_size(16 << 20).ring_size(64 << 10);
    in_mode!(options, mode).image(mode.image()).validation_threads(1)
}

fn work_on_blocks(job: &Job, say: Say<'_>) -> Result<(), Error> {
    let blocks = block_options(job.mode).open_or_create(&job.path, BLOCK, pairs::COUNT)?;
    in_threads(pairs::steps(&blocks).map_err(Error::abort)?, |thread, step| {
        timed(say, || pairs::write_step(&blocks, thread, step))?;
        done(job, say, thread, number(step), || blocks.sync())
    })
}

/// What is known of a file.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// What has returned.
    pub done: Marks,
    /// What was durable, where that is less.
    pub synced: Marks,
    /// Children since the last look: each may have done a step that it could not say any more.
    pub unsaid: u64,
    /// How long the slowest step took.
    pub slowest_micros: u64,
    /// What the heap held when it was looked at.
    model: Model,
    /// What the shelves held.
    shelves: [ShelfModel; THREADS],
}

impl Known {
    /// Takes over what a child said.
    pub fn hear(&mut self, word: Word, thread: usize, mark: Mark) {
        let known = match word {
            Word::Done => &mut self.done[thread],
            Word::Synced => &mut self.synced[thread],
            Word::Slowest => {
                self.slowest_micros = mark.number.max(self.slowest_micros);
                return;
            }
        };
        *known = mark.max(*known);
    }

    /// What must be there.
    #[must_use]
    pub fn floor(&self, mode: KillMode, end: End) -> Marks {
        if end == End::PowerCut && mode.durability() == Durability::Eventual {
            self.synced
        } else {
            self.done
        }
    }

    /// Opens the file as `opened_as` with validation, compares, and goes on from what is there. `false` if there is no file,
    /// and none has to be.
    ///
    /// # Errors
    ///
    /// What is wrong.
    pub fn check(&mut self, job: &Job, opened_as: KillMode, end: End) -> Result<bool, String> {
        let floor = self.floor(job.mode, end);
        let found = match job.facility {
            Facility::Heap => self.look_at_heap(job, opened_as),
            Facility::Shared => self.look_at_shelves(job, opened_as),
            Facility::Hash => look_at_store::<Hash>(job, opened_as),
            Facility::Ordered => look_at_store::<Ordered>(job, opened_as),
            Facility::Log => look_at_log(job, opened_as),
            Facility::Blocks => look_at_blocks(job, opened_as),
        };
        let found = match found {
            Err(Look::Failed(Error::NotFound { .. })) if floor == Marks::default() => {
                *self = Self::default();
                return Ok(false);
            }
            Err(Look::Failed(error)) => return Err(format!("{error}; {floor:?} was promised")),
            Err(Look::Wrong(wrong)) => return Err(wrong),
            Ok(found) => found,
        };
        for thread in 0..THREADS {
            let (floor, found, said) = (floor[thread], found[thread], self.done[thread]);
            if found.generation < floor.generation {
                return Err(format!("thread {thread}: the rewind to {floor:?} was undone: {found:?}"));
            }
            if found.generation == floor.generation && found.number < floor.number {
                return Err(format!("thread {thread}: {floor:?} was promised, {found:?} is there"));
            }
            // Numbers of a log begin again with a rewind.
            if job.facility != Facility::Log && found.number > said.number + self.unsaid {
                return Err(format!(
                    "thread {thread}: {found:?} is there, nobody came further than {said:?}"
                ));
            }
        }
        // Whoever looked has closed it, so all of it is durable now.
        (self.done, self.synced, self.unsaid) = (found, found, 0);
        Ok(true)
    }

    fn look_at_shelves(&mut self, job: &Job, opened_as: KillMode) -> Result<Marks, Look> {
        let pool = shelf_options(opened_as).open(&job.path)?;
        let found = observe(&pool)?;
        for (thread, (found, model)) in found.iter().zip(&mut self.shelves).enumerate() {
            if found.step < model.step {
                *model = ShelfModel::default();
            }
            model.go_to(job.seed, thread, found.step);
            if found != model {
                return Err(Look::Wrong(format!(
                    "step {} of thread {thread} is not what it did",
                    found.step
                )));
            }
        }
        pool.close()?;
        Ok(found.map(|shelf| number(shelf.step)))
    }

    fn look_at_heap(&mut self, job: &Job, opened_as: KillMode) -> Result<Marks, Look> {
        let pool = kill_options(opened_as).open(&job.path)?;
        let found = Model::observe(&pool.read()).map_err(Look::Wrong)?;
        if found.step < self.model.step {
            self.model = Model::default();
        }
        while self.model.step < found.step {
            Op::random(job.seed, &self.model).apply_to_model(&mut self.model);
        }
        if found != self.model {
            return Err(Look::Wrong(format!("step {} is not what was committed", found.step)));
        }
        let (blocks, expected) = (pool.stats().heap.live_blocks, found.blocks());
        if blocks != expected {
            return Err(Look::Wrong(format!("{blocks} blocks are in use instead of {expected}")));
        }
        pool.close()?;
        let mut marks = Marks::default();
        marks[0] = number(found.step);
        Ok(marks)
    }
}

/// Why a file is not as it should be.
enum Look {
    /// A call failed.
    Failed(Error),
    /// Something else.
    Wrong(String),
}

impl From<Error> for Look {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

fn look_at_store<E: Engine>(job: &Job, opened_as: KillMode) -> Result<Marks, Look> {
    let store = store_options::<E>(opened_as).open_store(&job.path)?;
    let found = progress(&store)?;
    store.close()?;
    Ok(found.map(number))
}

fn look_at_log(job: &Job, opened_as: KillMode) -> Result<Marks, Look> {
    let log = log_options(opened_as).open(&job.path)?;
    let found = survey(&log).map_err(Look::Wrong)?;
    let generation = log.end().generation();
    log.close()?;
    Ok(found.map(|last| Mark { generation, number: last.unwrap_or(0) }))
}

fn look_at_blocks(job: &Job, opened_as: KillMode) -> Result<Marks, Look> {
    let blocks = block_options(opened_as).open(&job.path, Some(BLOCK))?;
    let found = pairs::steps(&blocks).map_err(Look::Wrong)?;
    blocks.close()?;
    Ok(found.map(number))
}
