//! What the scenarios use: each facility of pobj with a model of what it should hold.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use pobj::blk::Blocks;
use pobj::kv::{self, Engine, Hash, Ordered, Store};
use pobj::log::Log;
use pobj::media::sim::SimMedia;
use pobj::media::{Domain, ImageMode};
use pobj::pmem::MappedFile;
use pobj::{Durability, Error, Options, PMutex, Persistent, Pool, ReadOnlyPool, Result};

use crate::support::zoo::{self, Zoo};
use crate::workload::{KillMode, Model, Op, Root, kill_options, word};

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

fn text(error: &Error) -> String {
    error.to_string()
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
        kill_options(mode).open(path)
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
        kill_options(mode).open_read_only(path).map(|pool| Self(Some(pool)))
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
    let options = zoo::options();
    match mode {
        KillMode::Immediate => options.force_domain(Domain::Page),
        KillMode::Eventual => options.force_domain(Domain::Page).durability(Durability::Eventual),
        KillMode::Line => options.force_domain(Domain::CacheLine),
        KillMode::InPlace => options.force_domain(Domain::CacheLine).image(ImageMode::InPlace),
    }
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

/// What is done with a key-value store.
#[derive(Clone, Copy, Debug)]
pub enum KvAct {
    /// Puts this many records, from this key on, each in its own transaction.
    Put(u8),
    /// Removes a record.
    Remove(u8),
    /// Puts and removes in one transaction.
    Batch(u8),
    /// Removes all.
    Clear,
    /// A snapshot that must show what the store shows.
    Snapshot,
    /// `Store::sync`
    Sync,
}

/// A key-value store.
pub struct Records<E: Engine>(Store<E>);

fn kv_options<E: Engine>(mode: KillMode) -> kv::Options<E> {
    let options = Store::<E>::options().size(64 << 10).max_size(8 << 20).ring_size(64 << 10);
    match mode {
        KillMode::Line => options.force_domain(Domain::CacheLine),
        _ => options.force_domain(Domain::Page),
    }
}

fn record(number: u8) -> Vec<u8> {
    (0..u64::from(number) * 29 % 700 + 8).map(|at| word(u64::from(number), at, 0) as u8).collect()
}

impl<E: Engine> Records<E> {
    fn all(&self) -> Result<BTreeMap<Vec<u8>, Vec<u8>>> {
        let now = self.0.read()?;
        Ok(now.iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect())
    }
}

impl Machine for Records<Hash> {
    type Act = KvAct;
    type Model = BTreeMap<Vec<u8>, Vec<u8>>;

    fn create(path: &Path, mode: KillMode) -> Result<Self> {
        kv_options(mode).create_store(path).map(Self)
    }

    fn open(path: &Path, mode: KillMode) -> Result<Self> {
        kv_options(mode).open_store(path).map(Self)
    }

    fn close(self) -> Result<()> {
        self.0.close()
    }

    fn act(&mut self, act: KvAct) -> Result<()> {
        kv_act(&self.0, act)
    }

    fn expect(act: KvAct, model: &mut Self::Model) {
        kv_expect(act, model);
    }

    fn observe(&self) -> std::result::Result<Self::Model, String> {
        self.all().map_err(|error| text(&error))
    }

    fn one_more() -> KvAct {
        KvAct::Put(200)
    }
}

impl Machine for Records<Ordered> {
    type Act = KvAct;
    type Model = BTreeMap<Vec<u8>, Vec<u8>>;

    fn create(path: &Path, mode: KillMode) -> Result<Self> {
        kv_options(mode).create_store(path).map(Self)
    }

    fn open(path: &Path, mode: KillMode) -> Result<Self> {
        kv_options(mode).open_store(path).map(Self)
    }

    fn close(self) -> Result<()> {
        self.0.close()
    }

    fn act(&mut self, act: KvAct) -> Result<()> {
        kv_act(&self.0, act)
    }

    fn expect(act: KvAct, model: &mut Self::Model) {
        kv_expect(act, model);
    }

    fn observe(&self) -> std::result::Result<Self::Model, String> {
        self.all().map_err(|error| text(&error))
    }

    fn one_more() -> KvAct {
        KvAct::Put(200)
    }
}

fn kv_act<E: Engine>(store: &Store<E>, act: KvAct) -> Result<()> {
    match act {
        KvAct::Put(number) => store.put(&[number], &record(number)).map(drop),
        KvAct::Remove(number) => store.remove(&[number]).map(drop),
        KvAct::Batch(first) => {
            let mut batch = kv::Batch::default();
            (first..first + 20).for_each(|number| _ = batch.put(&[number], &record(number)));
            batch.remove(&[first / 2]);
            store.apply(&batch)
        }
        KvAct::Clear => store.clear(),
        KvAct::Snapshot => {
            let now = store.read()?;
            if now.iter().count() == now.count() { Ok(()) } else { Err(Error::abort("a snapshot miscounts")) }
        }
        KvAct::Sync => store.sync(),
    }
}

fn kv_expect(act: KvAct, model: &mut BTreeMap<Vec<u8>, Vec<u8>>) {
    match act {
        KvAct::Put(number) => _ = model.insert(vec![number], record(number)),
        KvAct::Remove(number) => drop(model.remove([number].as_slice())),
        KvAct::Batch(first) => {
            model.extend((first..first + 20).map(|number| (vec![number], record(number))));
            model.remove([first / 2].as_slice());
        }
        KvAct::Clear => model.clear(),
        KvAct::Snapshot | KvAct::Sync => {}
    }
}

/// What is done with a log.
#[derive(Clone, Copy, Debug)]
pub enum LogAct {
    /// Appends an entry of this length.
    Append(u16),
    /// Appends three at once.
    Several(u16),
    /// `Log::sync`
    Sync,
    /// `Log::rewind`
    Rewind,
}

impl Machine for Log {
    type Act = LogAct;
    type Model = Vec<Vec<u8>>;

    fn create(path: &Path, mode: KillMode) -> Result<Self> {
        log_options(mode).create(path, 256 << 10)
    }

    fn open(path: &Path, mode: KillMode) -> Result<Self> {
        log_options(mode).open(path)
    }

    fn close(self) -> Result<()> {
        Log::close(self)
    }

    fn act(&mut self, act: LogAct) -> Result<()> {
        match act {
            LogAct::Append(len) => self.append(&entry(len)).map(|_| ()),
            LogAct::Several(len) => self.append_all([0, 1, 2].map(|more| entry(len + more))).map(|_| ()),
            LogAct::Sync => self.sync(),
            LogAct::Rewind => self.rewind(),
        }
    }

    fn expect(act: LogAct, model: &mut Self::Model) {
        match act {
            LogAct::Append(len) => model.push(entry(len)),
            LogAct::Several(len) => model.extend([0, 1, 2].map(|more| entry(len + more))),
            LogAct::Sync => {}
            LogAct::Rewind => model.clear(),
        }
    }

    fn observe(&self) -> std::result::Result<Self::Model, String> {
        let all: Result<Vec<_>> = self.entries().map(|entry| entry.map(|(_, bytes)| bytes)).collect();
        all.map_err(|error| text(&error))
    }

    fn one_more() -> LogAct {
        LogAct::Append(77)
    }
}

fn entry(len: u16) -> Vec<u8> {
    (0..usize::from(len)).map(|at| word(u64::from(len), 5, at) as u8).collect()
}

fn log_options(mode: KillMode) -> pobj::log::Options {
    let options = pobj::log::Options::new();
    match mode {
        KillMode::Immediate => options.force_domain(Domain::Page),
        KillMode::Eventual => options.force_domain(Domain::Page).durability(Durability::Eventual),
        KillMode::Line | KillMode::InPlace => options.force_domain(Domain::CacheLine),
    }
}

const BLOCK: usize = 4096;
const BLOCKS: u64 = 24;

/// What is done with an array of blocks: to this block.
#[derive(Clone, Copy, Debug)]
pub enum BlkAct {
    /// Writes it.
    Write(u64),
    /// Writes it and the next two, at once.
    Many(u64),
    /// Sets it to zero.
    Zero(u64),
    /// `Blocks::checkpoint`
    Checkpoint,
}

impl Machine for Blocks {
    type Act = BlkAct;
    type Model = BTreeMap<u64, u8>;

    fn create(path: &Path, mode: KillMode) -> Result<Self> {
        blk_options(mode).create(path, BLOCK, BLOCKS)
    }

    fn open(path: &Path, mode: KillMode) -> Result<Self> {
        blk_options(mode).open(path, Some(BLOCK))
    }

    fn close(self) -> Result<()> {
        Blocks::close(self)
    }

    fn act(&mut self, act: BlkAct) -> Result<()> {
        match act {
            BlkAct::Write(number) => self.write(number, &[number as u8 + 1; BLOCK]),
            BlkAct::Many(number) => {
                let writes = [0, 1, 2].map(|more| (number + more, [(number + more) as u8 + 101; BLOCK]));
                self.write_many(&writes)
            }
            BlkAct::Zero(number) => self.set_zero(number),
            BlkAct::Checkpoint => self.checkpoint(),
        }
    }

    fn expect(act: BlkAct, model: &mut Self::Model) {
        match act {
            BlkAct::Write(number) => _ = model.insert(number, number as u8 + 1),
            BlkAct::Many(number) => {
                model.extend([0, 1, 2].map(|more| (number + more, (number + more) as u8 + 101)));
            }
            BlkAct::Zero(number) => _ = model.remove(&number),
            BlkAct::Checkpoint => {}
        }
    }

    fn observe(&self) -> std::result::Result<Self::Model, String> {
        let (mut model, mut block) = (BTreeMap::new(), [0; BLOCK]);
        for number in 0..BLOCKS {
            self.read(number, &mut block).map_err(|error| text(&error))?;
            match block[0] {
                found if block != [found; BLOCK] => return Err(format!("block {number} is torn")),
                0 => {}
                found => _ = model.insert(number, found),
            }
        }
        Ok(model)
    }

    fn one_more() -> BlkAct {
        BlkAct::Write(7)
    }
}

fn blk_options(mode: KillMode) -> pobj::blk::Options {
    let options = Blocks::options().size(64 << 10).ring_size(64 << 10).max_size(2 << 20);
    match mode {
        KillMode::Line => options.force_domain(Domain::CacheLine),
        _ => options.force_domain(Domain::Page),
    }
}

const MAPPED: u64 = 32 << 10;

impl Machine for MappedFile {
    /// Sets this page to this byte, and waits until the medium has it.
    type Act = (usize, u8);
    type Model = [u8; 8];

    const STORES: bool = true;

    fn create(path: &Path, mode: KillMode) -> Result<Self> {
        mapped_options(mode).size(MAPPED).create(path)
    }

    fn open(path: &Path, mode: KillMode) -> Result<Self> {
        mapped_options(mode).open(path)
    }

    fn close(self) -> Result<()> {
        Ok(())
    }

    fn act(&mut self, (page, byte): (usize, u8)) -> Result<()> {
        let range = page * 4096..(page + 1) * 4096;
        self.slice_mut(range.clone())?.fill(byte);
        self.persist(range.clone())?;
        self.deep_persist(range)
    }

    fn expect((page, byte): (usize, u8), model: &mut [u8; 8]) {
        model[page] = byte;
    }

    fn observe(&self) -> std::result::Result<[u8; 8], String> {
        let mut model = [0; 8];
        for (page, bytes) in self.as_slice().chunks(4096).enumerate() {
            model[page] = bytes[0];
            if bytes.iter().any(|byte| *byte != bytes[0]) {
                return Err(format!("page {page} is torn"));
            }
        }
        Ok(model)
    }

    fn one_more() -> (usize, u8) {
        (7, 77)
    }
}

fn mapped_options(mode: KillMode) -> pobj::pmem::MapOptions {
    let options = pobj::pmem::MapOptions::new();
    match mode {
        KillMode::Line => options.force_domain(Domain::CacheLine),
        _ => options.force_domain(Domain::Page),
    }
}
