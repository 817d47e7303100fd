//! What the scenarios use beside pools of one's own: key-value stores, logs, arrays of blocks, mapped files.

use std::collections::BTreeMap;
use std::path::Path;

use pobj::blk::Blocks;
use pobj::kv::{self, Engine, Store};
use pobj::log::Log;
use pobj::media::Domain;
use pobj::pmem::MappedFile;
use pobj::{Error, Result};

use super::machine::Machine;
use crate::workload::{KillMode, in_mode, word};

fn text(error: &Error) -> String {
    error.to_string()
}

/// What is done with a key-value store.
#[derive(Clone, Copy, Debug)]
pub enum KvAct {
    /// Puts the record of this number.
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

impl<E: Engine> Machine for Records<E> {
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
    in_mode!(pobj::log::Options::new(), mode)
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
