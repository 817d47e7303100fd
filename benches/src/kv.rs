//! What the key-value rows ask of a store, and the records that they put in.
//!
//! A [`Contender`] opens a new store for one kind of durability; a [`Store`] does the work. All get the same records, in
//! the same order, through the same calls. What a contender cannot do on this machine, or in this build, it says by giving no
//! store: its rows are printed without figures.

use std::io::Read;
use std::ops::Range;
use std::path::Path;

use rand::RngCore;
use rand::seq::SliceRandom;

use crate::Result;
use crate::bench::{random, shuffled};

/// Length of a key.
pub const KEY_LEN: usize = 16;
/// Length of a value.
pub const VALUE_LEN: usize = 100;

/// A key-value store under measurement. Threads may share it.
pub trait Store: Send + Sync {
    /// Puts a record in, in a transaction of its own, as durable as the store was opened for.
    ///
    /// # Errors
    ///
    /// Those of the store.
    fn put(&self, key: &[u8], value: &[u8]) -> Result<()>;

    /// Shows `visit` the value where the store keeps it, or as close to that as it can. Gives whether there is one.
    ///
    /// # Errors
    ///
    /// Those of the store.
    fn get(&self, key: &[u8], visit: &mut dyn FnMut(&[u8])) -> Result<bool>;

    /// Number of records.
    ///
    /// # Errors
    ///
    /// Those of the store.
    fn count(&self) -> Result<u64>;

    /// Returns when everything that was put survives a power failure, and nothing of it waits for a background thread
    /// that the store can be asked to wait for.
    ///
    /// # Errors
    ///
    /// Those of the store.
    fn settle(&self) -> Result<()>;

    /// Bytes of the live objects as the store counts them, if it does.
    fn live_bytes(&self) -> Option<u64> {
        None
    }
}

/// A record.
pub type Pair = ([u8; KEY_LEN], [u8; VALUE_LEN]);

/// What the comparison over several kinds of transactions asks of a store besides.
pub trait Batches: Store {
    /// Puts records in, all in one transaction, as durable as the store was opened for.
    ///
    /// # Errors
    ///
    /// Those of the store.
    fn put_all(&self, records: &[Pair]) -> Result<()>;

    /// Shows `visit` every record, in the store's own order.
    ///
    /// # Errors
    ///
    /// Those of the store.
    fn scan(&self, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<()>;
}

/// Opens a store at a path, or makes it where nothing is, with room for so many records.
pub type OpenBatches = fn(&Path, usize) -> Result<Option<Box<dyn Batches>>>;

/// Opens a new store at a path where nothing is, with room for so many records.
pub type Open = fn(&Path, usize) -> Result<Option<Box<dyn Store>>>;

/// A store that can be measured, and how it is opened.
#[derive(Clone, Copy, Debug)]
pub struct Contender {
    /// Its name in the rows.
    pub name: &'static str,
    /// A new one; `None` where there is no such store in this build.
    pub open: Open,
}

/// The store that is not in this build.
///
/// # Errors
///
/// None.
pub fn absent(_path: &Path, _records: usize) -> Result<Option<Box<dyn Store>>> {
    Ok(None)
}

/// As [`absent`].
///
/// # Errors
///
/// None.
pub fn absent_batches(_path: &Path, _records: usize) -> Result<Option<Box<dyn Batches>>> {
    Ok(None)
}

/// The records: 16-byte keys in the order in which they are put, which is random, and values of 100 bytes that nobody
/// can compress.
#[derive(Debug)]
pub struct Records {
    keys: Vec<[u8; KEY_LEN]>,
    noise: Vec<u8>,
    lookups: Vec<u32>,
}

/// A power of two, for the sake of speed.
const NOISE_LEN: usize = 1 << 16;

impl Records {
    /// So many records, the same in each run.
    #[must_use]
    pub fn new(count: usize) -> Self {
        let mut random = random();
        let mut noise = vec![0; NOISE_LEN + VALUE_LEN];
        random.fill_bytes(&mut noise);
        let keys = shuffled(count).into_iter().map(|number| {
            let mut key = [0; KEY_LEN];
            key.copy_from_slice(format!("{:016}", u64::from(number) * 7919).as_bytes());
            key
        });
        let keys = keys.collect();
        let mut lookups: Vec<u32> = (0..count as u32).collect();
        lookups.shuffle(&mut random);
        Self { keys, noise, lookups }
    }

    /// Number of records.
    #[must_use]
    pub fn count(&self) -> usize {
        self.keys.len()
    }

    /// A record's key.
    #[inline]
    #[must_use]
    pub fn key(&self, index: usize) -> &[u8; KEY_LEN] {
        &self.keys[index]
    }

    /// A record's value: it begins with its number.
    #[inline]
    #[must_use]
    pub fn value(&self, index: usize) -> [u8; VALUE_LEN] {
        let mut value = [0; VALUE_LEN];
        let at = index.wrapping_mul(101) % NOISE_LEN;
        value.copy_from_slice(&self.noise[at..at + VALUE_LEN]);
        value[..8].copy_from_slice(&(index as u64).to_le_bytes());
        value
    }

    /// Puts one of the records.
    ///
    /// # Errors
    ///
    /// Those of the store.
    #[inline]
    pub fn put(&self, store: &dyn Store, index: usize) -> Result<()> {
        store.put(self.key(index), &self.value(index))
    }

    /// Gets the values of a range of the lookups, whose order is random and another than that of the puts, and sums the
    /// numbers in them up.
    ///
    /// # Errors
    ///
    /// If a record is missing.
    pub fn get_some(&self, store: &dyn Store, range: Range<usize>) -> Result<u64> {
        let mut sum = 0u64;
        for index in &self.lookups[range] {
            let mut visit = |value: &[u8]| sum = sum.wrapping_add(number_of(value));
            if !store.get(self.key(*index as usize), &mut visit)? {
                return Err(format!("record {index} is missing").into());
            }
        }
        Ok(sum)
    }

    /// Checks what [`get_some`](Self::get_some) gave for all records together.
    ///
    /// # Errors
    ///
    /// If it is wrong.
    pub fn check_sum(&self, sum: u64) -> Result<()> {
        let count = self.count() as u64;
        if sum == count * count.saturating_sub(1) / 2 { Ok(()) } else { Err("values are wrong".into()) }
    }

    /// Gets every value, and checks their sum.
    ///
    /// # Errors
    ///
    /// If a record is missing, or the sum is wrong.
    pub fn get_all(&self, store: &dyn Store) -> Result<()> {
        self.check_sum(self.get_some(store, 0..self.count())?)
    }

    /// Checks that the first `count` records are all there is in the store, by their number and by a sample.
    ///
    /// # Errors
    ///
    /// If they are not.
    pub fn check(&self, store: &dyn Store, count: usize) -> Result<()> {
        const SAMPLE: usize = 1000;
        let found = store.count()?;
        if found != count as u64 {
            return Err(format!("{found} records of {count}").into());
        }
        for index in (0..count).step_by(count.div_ceil(SAMPLE).max(1)) {
            let mut same = false;
            store.get(self.key(index), &mut |value| same = value == self.value(index))?;
            if !same {
                return Err(format!("record {index} is not what was put").into());
            }
        }
        match store.get(&[b'-'; KEY_LEN], &mut |_| ())? {
            true => Err("a key that nobody put is found".into()),
            false => Ok(()),
        }
    }
}

#[inline]
fn number_of(value: &[u8]) -> u64 {
    value.first_chunk().map_or(u64::MAX, |number| u64::from_le_bytes(*number))
}

/// Bytes of the pages of 4 KiB at `path`, a file or a directory, that hold anything but zeros: what a store has written,
/// whoever it is and however large it made its file beforehand.
///
/// # Errors
///
/// If something cannot be read.
pub fn bytes_on_media(path: &Path) -> Result<u64> {
    const PAGE_LEN: usize = 4096;
    if path.is_dir() {
        let mut bytes = 0;
        for entry in std::fs::read_dir(path)? {
            bytes += bytes_on_media(&entry?.path())?;
        }
        return Ok(bytes);
    }
    let mut file = std::fs::File::open(path)?;
    let mut piece = vec![0; 256 * PAGE_LEN];
    let mut bytes = 0;
    loop {
        let mut filled = 0;
        while filled < piece.len() {
            match file.read(&mut piece[filled..])? {
                0 => break,
                len => filled += len,
            }
        }
        if filled == 0 {
            return Ok(bytes);
        }
        let pages = piece[..filled].chunks(PAGE_LEN).filter(|page| page.iter().any(|byte| *byte != 0));
        bytes += (pages.count() * PAGE_LEN) as u64;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::{Mutex, PoisonError};

    use super::*;

    #[derive(Default)]
    struct Map(Mutex<HashMap<Vec<u8>, Vec<u8>>>);

    impl Store for Map {
        fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key.into(), value.into());
            Ok(())
        }

        fn get(&self, key: &[u8], visit: &mut dyn FnMut(&[u8])) -> Result<bool> {
            let map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(map.get(key).map(|value| visit(value)).is_some())
        }

        fn count(&self) -> Result<u64> {
            Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).len() as u64)
        }

        fn settle(&self) -> Result<()> {
            Ok(())
        }
    }

    /// Catches a check that lets a store pass which loses or mixes up what it was given.
    #[test]
    fn what_is_not_stored_is_found_out() -> Result<()> {
        let records = Records::new(100);
        let map = Map::default();
        (0..100).try_for_each(|index| records.put(&map, index))?;
        records.check(&map, 100)?;
        records.get_all(&map)?;
        map.put(records.key(7), &records.value(8))?;
        assert!(records.check(&map, 100).is_err());
        assert!(records.get_all(&map).is_err());
        records.put(&map, 7)?;
        records.get_all(&map)?;
        map.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&records.key(7)[..]);
        assert!(records.check(&map, 100).is_err());
        assert!(records.get_all(&map).is_err());
        Ok(())
    }

    /// Catches room that was set aside and counts as written.
    #[test]
    fn zeros_are_not_on_media() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let mut bytes = vec![0; 3 * 4096 + 10];
        bytes[4096 + 5] = 1;
        bytes[3 * 4096] = 1;
        std::fs::write(dir.path().join("file"), bytes)?;
        assert_eq!(bytes_on_media(dir.path())?, 2 * 4096);
        Ok(())
    }
}
