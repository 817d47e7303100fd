//! The crash harness: runs a script over the simulator, then tries what every power cut and kill could leave. On a file
//! and on persistent memory, see [`Mode`].
//!
//! A state passes if the pool opens with validation, holds exactly what the model held after some transaction between
//! the last acknowledged and the last started one, has no block too many (nothing leaks), and can be used: one more
//! transaction, close, reopen. Before its creation was acknowledged a pool may be absent, never broken.
//!
//! Recovery is a script too: from each cut one state is opened over a new simulator, and its trace is cut in turn.
//! A kill leaves what was pending pending, so recovery after a kill is cut separately.

mod checker;
pub mod explore;
mod mode;
pub mod oracle;
mod report;
pub mod scripts;

use std::ops::Range;
use std::sync::Arc;

use pobj::media::sim::{CrashPoint, Fault, Operation, SimMedia};
use pobj::{Durability, Error, Pool};

pub use checker::Checker;
pub use mode::Mode;
pub use report::{Effort, Report};

use crate::workload::{Model, Op, Root};

/// Largest size of the pools under test.
pub const MAX_SIZE: u64 = 1 << 20;

/// What a script does to the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A transaction that commits.
    Write(Op, Durability),
    /// A transaction that does the same and then fails.
    Abort(Op),
    /// `Pool::sync`
    Sync,
    /// `Pool::checkpoint`
    Checkpoint,
    /// `Pool::grow_ahead`
    GrowAhead,
    /// Closes the pool and opens it again.
    Reopen,
}

/// A mark in the trace: the transaction that leads to `step` began.
#[must_use]
pub fn started(step: u64) -> u64 {
    Mark::Started(step).encode()
}

/// A mark in the trace: `step` was acknowledged with this durability. On persistent memory every commit is durable.
#[must_use]
pub fn acknowledged(mode: Mode, step: u64, durability: Durability) -> u64 {
    match durability {
        Durability::Eventual if !mode.domain().is_memory() => Mark::Ordered(step).encode(),
        Durability::Eventual | Durability::Immediate => Mark::Durable(step).encode(),
    }
}

/// A mark in the trace: the pool's creation was acknowledged.
#[must_use]
pub fn created() -> u64 {
    Mark::Created.encode()
}

/// Marks in the trace: what the program knows at that moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    /// The pool's creation returned.
    Created,
    /// A transaction that would lead to this step began.
    Started(u64),
    /// This step survives a kill.
    Ordered(u64),
    /// This step survives a power cut.
    Durable(u64),
}

impl Mark {
    fn encode(self) -> u64 {
        match self {
            Self::Created => 0,
            Self::Started(step) => 1 << 56 | step,
            Self::Ordered(step) => 2 << 56 | step,
            Self::Durable(step) => 3 << 56 | step,
        }
    }

    fn decode(mark: u64) -> Self {
        let step = mark & ((1 << 56) - 1);
        match mark >> 56 {
            0 => Self::Created,
            1 => Self::Started(step),
            2 => Self::Ordered(step),
            _ => Self::Durable(step),
        }
    }
}

/// The steps that a state may show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bounds {
    created: bool,
    started: u64,
    ordered: u64,
    durable: u64,
}

impl Bounds {
    fn at(self, point: &CrashPoint<'_>) -> Self {
        point.marks().map(Mark::decode).fold(self, Self::after)
    }

    fn after(self, mark: Mark) -> Self {
        match mark {
            Mark::Created => Self { created: true, ..self },
            Mark::Started(step) => Self { started: self.started.max(step), ..self },
            Mark::Ordered(step) => Self { ordered: self.ordered.max(step), ..self },
            Mark::Durable(step) => {
                Self { ordered: self.ordered.max(step), durable: self.durable.max(step), ..self }
            }
        }
    }
}

/// A script that was run: what happened to the medium, and what the pool held after each step.
pub struct History {
    /// How the pool was used.
    pub mode: Mode,
    /// The medium, with its trace.
    pub media: SimMedia,
    /// The model after each step.
    pub models: Vec<Model>,
    /// The error that ended the script early.
    pub error: Option<Error>,
    /// Operations of each kind until the pool's creation was acknowledged.
    created: [u64; Operation::COUNT],
}

impl History {
    /// The numbers of the operations of one kind that were done with the pool. (Before it is created there is no pool to
    /// lose.)
    #[must_use]
    pub fn numbers(&self, operation: Operation) -> Range<u64> {
        self.created[operation as usize]..self.media.count(operation)
    }
}

/// Creates a pool and runs `script` over it, with `faults` planted before anything happens.
///
/// # Panics
///
/// If the pool disagrees with the model while it runs: no crash is needed to see that.
#[must_use]
pub fn run(mode: Mode, script: &[Action], faults: &[Fault]) -> History {
    let media = mode.media();
    faults.iter().for_each(|fault| media.plant(*fault));
    let mut models = vec![Model::default()];
    let created = mode.recorded_options().create_on(Arc::new(media.clone()), |_| Ok(Root::default()));
    let counts = Operation::ALL.map(|operation| media.count(operation));
    let error = match created {
        Ok(pool) => {
            media.mark(Mark::Created.encode());
            run_on(mode, pool, &media, script, &mut models).err()
        }
        Err(error) => Some(error),
    };
    History { mode, media, models, error, created: counts }
}

/// Runs `script` on an open pool whose steps so far are in `models`, closes it, and says what failed.
fn run_on(
    mode: Mode,
    mut pool: Pool<Root<'static>>,
    media: &SimMedia,
    script: &[Action],
    models: &mut Vec<Model>,
) -> Result<(), Error> {
    let last = |models: &[Model]| models.last().map_or(0, |model| model.step);
    for action in script {
        match *action {
            Action::Write(op, durability) => {
                let mut model = models.last().cloned().unwrap_or_default();
                op.apply_to_model(&mut model);
                let step = model.step;
                models.push(model);
                media.mark(Mark::Started(step).encode());
                pool.write(|root, tx| {
                    tx.set_durability(durability);
                    op.apply(root, tx)
                })?;
                media.mark(acknowledged(mode, step, durability));
                expect_model(&pool, &models[models.len() - 1]);
            }
            Action::Abort(op) => {
                let outcome = pool.write(|root, tx| {
                    op.apply(root, tx)?;
                    Err::<(), _>(Error::abort("on purpose"))
                });
                match outcome {
                    Err(Error::Aborted(_)) => expect_model(&pool, &models[models.len() - 1]),
                    Err(error) => return Err(error),
                    Ok(()) => panic!("the transaction should have failed"),
                }
            }
            Action::Sync => {
                pool.sync()?;
                media.mark(Mark::Durable(last(models)).encode());
            }
            Action::Checkpoint => {
                pool.checkpoint()?;
                media.mark(Mark::Durable(last(models)).encode());
            }
            Action::GrowAhead => pool.grow_ahead()?,
            Action::Reopen => {
                pool.close()?;
                media.mark(Mark::Durable(last(models)).encode());
                pool = mode.recorded_options().open_on(Arc::new(media.clone()))?;
                expect_model(&pool, &models[models.len() - 1]);
            }
        }
    }
    pool.close()?;
    media.mark(Mark::Durable(last(models)).encode());
    Ok(())
}

fn expect_model(pool: &Pool<Root<'static>>, model: &Model) {
    let found = Model::observe(&pool.read()).expect("a running pool holds what was put there");
    assert_eq!(&found, model, "a running pool disagrees with the model");
    let stats = pool.stats();
    assert_eq!(stats.heap.live_blocks, model.blocks(), "blocks in use after step {}", model.step);
}
