//! What sets the limit of a key-value store on persistent memory: `std`'s map under a lock, and for each put as many lines
//! past the cache as hold its record, and a fence. Nothing is ever read from those lines, so nothing survives.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::sync::{Mutex, PoisonError, RwLock};

use crate::Result;
use crate::bare_memory::BareMemory;
use crate::kv::{Contender, KEY_LEN, Store, VALUE_LEN};

/// The map, and the lines.
pub const MEMORY: Contender = Contender { name: "bare: std's HashMap, lines and a fence", open };

/// Lines of a record: lengths, key and value.
const LINES: usize = (8 + KEY_LEN + VALUE_LEN).div_ceil(64);
const RING_LEN: usize = 2 << 20;

struct BareMap {
    map: RwLock<HashMap<[u8; KEY_LEN], Box<[u8]>>>,
    lines: Mutex<BareMemory>,
}

fn open(path: &Path, _records: usize) -> Result<Option<Box<dyn Store>>> {
    // What is left at the store's own path holds nothing.
    File::create_new(path)?;
    let lines = Mutex::new(BareMemory::new(&path.with_extension("lines"), RING_LEN)?);
    std::fs::remove_file(path.with_extension("lines"))?;
    Ok(Some(Box::new(BareMap { map: RwLock::default(), lines })))
}

impl Store for BareMap {
    #[inline]
    fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        let key = *key.first_chunk().ok_or("a key is short")?;
        self.map.write().unwrap_or_else(PoisonError::into_inner).insert(key, value.into());
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).write_lines(LINES, u64::from(key[0]));
        Ok(())
    }

    #[inline]
    fn get(&self, key: &[u8], visit: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let Some(key) = key.first_chunk() else { return Ok(false) };
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        Ok(map.get(key).map(|value| visit(value)).is_some())
    }

    fn count(&self) -> Result<u64> {
        Ok(self.map.read().unwrap_or_else(PoisonError::into_inner).len() as u64)
    }

    fn settle(&self) -> Result<()> {
        Ok(())
    }
}
