//! What the scenarios use: pools of several kinds, each with a model of what it should hold. See also `stores`.

use std::fmt::Debug;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use pobj::media::Domain;
use pobj::media::sim::SimMedia;
use pobj::{Durability, Error, Options, PMutex, Persistent, Pool, ReadOnlyPool, Result};

use crate::support::zoo::{self, Zoo};
use crate::workload::{KillMode, Model, Op, Root, in_mode, kill_options};

/// A facility of pobj, open.
pub trait Machine: Sized {
    /// What can be done with it.
    type Act: Copy + Debug;
    /// What it should hold. The default is what it holds when it was made.
    type Model: Clone + Default + PartialEq + Debug;

    /// What is changed by stores may be there whatever was returned.
    const STORES: bool = false;

    /// Makes a new one.
    fn create(path: &Path, mode: KillMode) -> Result<Self>;
    /// Opens it, with validation.
    fn open(path: &Path, mode: KillMode) -> Result<Self>;
    /// Closes it.
    fn close(self) -> Result<()>;
    /// Does something.
    fn act(&mut self, act: Self::Act) -> Result<()>;
    /// What the same does to the model.
    fn expect(act: Self::Act, model: &mut Self::Model);
    /// What it holds, or what of it is not whole.
    fn observe(&self) -> std::result::Result<Self::Model, String>;
    /// Something that can be done with it at any time.
    fn one_more() -> Self::Act;
    /// Called before any child is made: what children would find out again and again.
    fn warm() {}
    /// What it may hold where an act was not acknowledged.
    fn partial(act: Self::Act, model: &Self::Model) -> Vec<Self::Model> {
        let mut after = model.clone();
        Self::expect(act, &mut after);
        vec![model.clone(), after]
    }
}

/// A transaction that is to fail with an error of its own.
fn aborted(outcome: Result<()>) -> Result<()> {
    match outcome {
        Err(Error::Aborted(_)) => Ok(()),
        Err(error) => Err(error),
        Ok(()) => Err(Error::abort("it was to fail")),
    }
}

/// The pool of the workload.
pub type Work = Pool<Root<'static>>;

/// What is done with a pool of the workload.
#[derive(Clone, Copy, Debug)]
pub enum Act {
    /// A durable transaction.
    Write(Op),
    /// An ordered one.
    Eventual(Op),
    /// One that rolls back.
    Abort(Op),
    /// `Pool::sync`
    Sync,
    /// `Pool::checkpoint`
    Checkpoint,
    /// `Pool::grow_ahead`
    GrowAhead,
}

impl Machine for Work {
    type Act = Act;
    type Model = Model;

    fn create(path: &Path, mode: KillMode) -> Result<Self> {
        kill_options(mode).create(path)
    }

    fn open(path: &Path, mode: KillMode) -> Result<Self> {
        kill_options(mode).validation_threads(2).open(path)
    }

    fn close(self) -> Result<()> {
        Pool::close(self)
    }

    fn act(&mut self, act: Act) -> Result<()> {
        let write = |op: Op, durability| {
            self.write(|root, tx| {
                tx.set_durability(durability);
                op.apply(root, tx)
            })
        };
        match act {
            Act::Write(op) => write(op, Durability::Immediate),
            Act::Eventual(op) => write(op, Durability::Eventual),
            Act::Abort(op) => aborted(self.write(|root, tx| {
                op.apply(root, tx)?;
                Err(Error::abort("on purpose"))
            })),
            Act::Sync => self.sync(),
            Act::Checkpoint => self.checkpoint(),
            Act::GrowAhead => self.grow_ahead(),
        }
    }

    fn expect(act: Act, model: &mut Model) {
        if let Act::Write(op) | Act::Eventual(op) = act {
            op.apply_to_model(model);
        }
    }

    fn observe(&self) -> std::result::Result<Model, String> {
        let model = Model::observe(&self.read())?;
        match self.stats().heap.live_blocks {
            found if found == model.blocks() => Ok(model),
            found => Err(format!("{found} blocks instead of {}", model.blocks())),
        }
    }

    fn one_more() -> Act {
        Act::Write(Op::Push(2))
    }
}

/// The same, opened to be read.
pub struct Reading(Option<ReadOnlyPool<Root<'static>>>);

impl Machine for Reading {
    type Act = ();
    type Model = Model;

    fn create(path: &Path, mode: KillMode) -> Result<Self> {
        let mut pool = <Work as Machine>::create(path, mode)?;
        pool.act(Act::Write(Op::Push(3)))?;
        pool.act(Act::Eventual(Op::SetHuge))?;
        // As a kill leaves it.
        std::mem::forget(pool);
        Ok(Self(None))
    }

    fn open(path: &Path, mode: KillMode) -> Result<Self> {
        kill_options(mode).validation_threads(2).open_read_only(path).map(|pool| Self(Some(pool)))
    }

    fn close(self) -> Result<()> {
        Ok(())
    }

    fn act(&mut self, (): ()) -> Result<()> {
        self.0.as_ref().map_or(Ok(()), |pool| pool.try_read().map(drop))
    }

    fn expect((): (), _: &mut Model) {}

    fn observe(&self) -> std::result::Result<Model, String> {
        let Some(pool) = &self.0 else { return Ok(Model::default()) };
        let found = Model::observe(&pool.read())?;
        let mut expected = Model::default();
        [Op::Push(3), Op::SetHuge].iter().for_each(|op| op.apply_to_model(&mut expected));
        if found == expected { Ok(Model::default()) } else { Err(format!("{found:?}")) }
    }

    fn one_more() {}
}

/// One of every structure.
pub type Structures = Pool<Zoo<'static>>;

/// What is done with it.
#[derive(Clone, Copy, Debug)]
pub enum ZooAct {
    /// Something of everything is made, changed and removed.
    Live,
    /// The same, rolled back.
    Abort,
    /// `Pool::collect`
    Collect,
    /// `Pool::checkpoint`
    Checkpoint,
}

fn zoo_options(mode: KillMode) -> Options<Zoo<'static>> {
    in_mode!(zoo::options(), mode).image(mode.image())
}

/// What the zoo shows after each number of transactions that it counts.
static WALKS: OnceLock<Vec<u64>> = OnceLock::new();

fn walks() -> Vec<u64> {
    let media = SimMedia::new(5 << 19).expect("memory for the simulator");
    let pool = zoo::options().create_on(Arc::new(media), |_| Ok(Zoo::default())).expect("a pool in memory");
    let mut walks = vec![zoo::walk(&pool.read())];
    for number in 0..5 {
        pool.write(|zoo, tx| zoo::live(zoo, tx, number)).expect("a pool in memory");
        walks.push(zoo::walk(&pool.read()));
    }
    walks
}

/// A zoo, and how many transactions it has seen.
pub struct Animals {
    pool: Structures,
    lived: u64,
}

impl Machine for Animals {
    type Act = ZooAct;
    type Model = u64;

    fn create(path: &Path, mode: KillMode) -> Result<Self> {
        Ok(Self { pool: zoo_options(mode).create(path)?, lived: 0 })
    }

    fn open(path: &Path, mode: KillMode) -> Result<Self> {
        let pool = zoo_options(mode).open(path)?;
        let lived = pool.read().lived();
        Ok(Self { pool, lived })
    }

    fn close(self) -> Result<()> {
        self.pool.close()
    }

    fn act(&mut self, act: ZooAct) -> Result<()> {
        let lived = self.lived;
        match act {
            ZooAct::Live => self.pool.write(|zoo, tx| zoo::live(zoo, tx, lived)).map(|()| self.lived += 1),
            ZooAct::Abort => aborted(self.pool.write(|zoo, tx| {
                zoo::live(zoo, tx, lived)?;
                Err(Error::abort("on purpose"))
            })),
            ZooAct::Collect => self.pool.collect().map(drop),
            ZooAct::Checkpoint => self.pool.checkpoint(),
        }
    }

    fn expect(act: ZooAct, model: &mut u64) {
        if let ZooAct::Live = act {
            *model += 1;
        }
    }

    fn observe(&self) -> std::result::Result<u64, String> {
        let root = self.pool.read();
        let lived = root.lived();
        if WALKS.get_or_init(walks).get(lived as usize) == Some(&zoo::walk(&root)) {
            Ok(lived)
        } else {
            Err(format!("not what {lived} transactions make"))
        }
    }

    fn one_more() -> ZooAct {
        ZooAct::Live
    }

    fn warm() {
        WALKS.get_or_init(walks);
    }
}

/// What two threads share.
#[derive(Persistent, Default)]
#[repr(C)]
pub struct Counters<'p> {
    counts: [PMutex<'p, u64>; 2],
}

/// A pool that threads share.
pub struct Shared(Pool<Counters<'static>>);

impl Machine for Shared {
    /// How many transactions each of two threads makes at the same time.
    type Act = u64;
    type Model = [u64; 2];

    fn create(path: &Path, mode: KillMode) -> Result<Self> {
        shared_options(mode).create(path).map(Self)
    }

    fn open(path: &Path, mode: KillMode) -> Result<Self> {
        shared_options(mode).open(path).map(Self)
    }

    fn close(self) -> Result<()> {
        self.0.close()
    }

    fn act(&mut self, act: u64) -> Result<()> {
        let pool = &self.0;
        let count = |lane: usize| {
            (0..act).try_for_each(|_| {
                pool.share(|root, tx| {
                    *root.counts[lane].lock(tx)? += 1;
                    Ok(())
                })
            })
        };
        std::thread::scope(|scope| {
            let spawned = std::thread::Builder::new().spawn_scoped(scope, || count(1));
            let here = count(0);
            let there = spawned.map_err(|error| Error::abort(error.to_string()))?.join();
            there.map_err(|_| Error::abort("a thread panicked"))?.and(here)
        })
    }

    fn expect(act: u64, model: &mut [u64; 2]) {
        model.iter_mut().for_each(|count| *count += act);
    }

    fn observe(&self) -> std::result::Result<[u64; 2], String> {
        let root = self.0.read();
        Ok(root.counts.each_ref().map(|count| *count.get(&root)))
    }

    fn one_more() -> u64 {
        1
    }

    /// Each thread for itself.
    fn partial(act: u64, model: &[u64; 2]) -> Vec<[u64; 2]> {
        let lanes = (0..=act).flat_map(|a| (0..=act).map(move |b| [a, b]));
        lanes.map(|[a, b]| [model[0] + a, model[1] + b]).collect()
    }
}

fn shared_options(mode: KillMode) -> Options<Counters<'static>> {
    let options = crate::support::small(1 << 20);
    match mode {
        KillMode::Line => options.force_domain(Domain::CacheLine),
        _ => options.force_domain(Domain::Page),
    }
}
