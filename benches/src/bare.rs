//! The operations that set the limits, without pobj: raw pointers, raw writes.

use std::fs::{File, OpenOptions};
use std::io::{IoSlice, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::ptr::NonNull;

use memmap2::MmapMut;
use rustix::io::{Errno, ReadWriteFlags};

use crate::Result;
use crate::bench::shuffled;

/// Length of the block that a small commit writes.
pub const BLOCK_LEN: usize = 4096;
/// Length of a pool's ring by default.
pub const RING_LEN: usize = 2 << 20;

/// [`Node`](crate::types::Node) with a raw pointer.
#[derive(Debug)]
#[repr(C)]
struct RawNode {
    next: Option<NonNull<RawNode>>,
    value: u64,
    payload: [u64; 6],
}

/// A list in an anonymous mapping, in the same order as that of [`shuffled_list`](crate::fill::shuffled_list).
#[derive(Debug)]
pub struct RawList {
    head: Option<NonNull<RawNode>>,
    /// Keeps the nodes mapped. Invariant **R1**: every pointer of the list leads to a node within it, and nobody
    /// stores to it once the list is linked.
    _memory: MmapMut,
}

impl RawList {
    /// Lays the list out.
    ///
    /// # Errors
    ///
    /// If the memory cannot be mapped.
    pub fn new(count: usize) -> Result<Self> {
        let mut memory = MmapMut::map_anon(count * size_of::<RawNode>())?;
        let first: *mut RawNode = memory.as_mut_ptr().cast();
        let mut head = None;
        for index in shuffled(count).into_iter().rev() {
            let node = first.wrapping_add(index as usize);
            let value = RawNode { next: head, value: u64::from(index), payload: [0; 6] };
            // SAFETY: within the mapping, for the index is below `count`; a mapping is page-aligned.
            unsafe { node.write(value) };
            head = NonNull::new(node);
        }
        Ok(Self { head, _memory: memory })
    }

    /// Sums the values up by following every pointer.
    #[inline(never)]
    #[must_use]
    pub fn chase(&self) -> u64 {
        self.walk(&mut self.start(), usize::MAX)
    }

    /// Where a walk begins.
    #[must_use]
    pub fn start(&self) -> RawPlace {
        RawPlace(self.head)
    }

    /// Follows at most `count` pointers from `at`, a place in this list, on.
    #[inline(never)]
    #[must_use]
    pub fn walk(&self, at: &mut RawPlace, count: usize) -> u64 {
        let mut sum = 0u64;
        let mut next = at.0;
        for _ in 0..count {
            let Some(node) = next else { break };
            // SAFETY: R1.
            let node = unsafe { node.as_ref() };
            sum = sum.wrapping_add(node.value);
            next = node.next;
        }
        at.0 = next;
        sum
    }
}

/// A place in a [`RawList`].
#[derive(Clone, Copy, Debug)]
pub struct RawPlace(Option<NonNull<RawNode>>);

impl RawPlace {
    /// Whether the walk is over.
    #[must_use]
    pub fn is_at_end(self) -> bool {
        self.0.is_none()
    }
}

/// A file of the ring's length, every block of it written, for bare durable writes.
#[derive(Debug)]
pub struct BareRing {
    file: File,
    block: Vec<u8>,
    position: u64,
    no_dsync: bool,
}

impl BareRing {
    /// Makes the file.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn new(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        file.write_all_at(&vec![0; RING_LEN], 0)?;
        file.sync_all()?;
        Ok(Self { file, block: vec![0x5A; BLOCK_LEN], position: 0, no_dsync: false })
    }

    /// One durable write of the next block.
    ///
    /// # Errors
    ///
    /// If it fails.
    pub fn write_block(&mut self) -> Result<()> {
        let at = self.position % RING_LEN as u64;
        self.position += BLOCK_LEN as u64;
        self.block[..8].copy_from_slice(&self.position.to_le_bytes());
        if !self.no_dsync {
            let pieces = [IoSlice::new(&self.block)];
            match rustix::io::pwritev2(&self.file, &pieces, at, ReadWriteFlags::DSYNC) {
                Ok(BLOCK_LEN) => return Ok(()),
                Ok(_) | Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => self.no_dsync = true,
                Err(error) => return Err(error.into()),
            }
        }
        self.file.write_all_at(&self.block, at)?;
        Ok(self.file.sync_data()?)
    }
}

/// A shared mapping of a written-out file, for stores that only have to survive a kill.
#[derive(Debug)]
pub struct SharedRing {
    memory: MmapMut,
    position: usize,
}

impl SharedRing {
    /// Makes and maps the file.
    ///
    /// # Errors
    ///
    /// If it cannot be written or mapped.
    pub fn new(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        file.write_all_at(&vec![0; RING_LEN], 0)?;
        file.sync_all()?;
        // SAFETY: nobody else knows the file, which is neither shortened nor stored to by others.
        let memory = unsafe { MmapMut::map_mut(&file) }?;
        Ok(Self { memory, position: 0 })
    }

    /// Stores one line.
    #[inline]
    pub fn store_line(&mut self, value: u64) {
        let at = self.position % RING_LEN;
        self.position += 64;
        let line = std::hint::black_box([value.to_le_bytes(); 8]);
        self.memory[at..at + 64].copy_from_slice(line.as_flattened());
    }
}

/// Creates a file the way a pool must be created, without the pool: under another name, with a ring's worth of
/// bytes, synced, renamed, its directory synced.
///
/// # Errors
///
/// If any of it fails.
pub fn create_file(path: &Path) -> Result<()> {
    let temporary = path.with_extension("new");
    let mut file = File::create_new(&temporary)?;
    file.write_all(&vec![0; RING_LEN])?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    let directory = path.parent().ok_or("a file has no directory")?;
    Ok(File::open(directory)?.sync_all()?)
}

/// Maps all of a file privately and reads its first byte: what any open must do.
///
/// # Errors
///
/// If the file cannot be mapped.
pub fn map_file(path: &Path) -> Result<u8> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    // SAFETY: the file belongs to this run; nobody changes it meanwhile.
    let memory = unsafe { memmap2::MmapOptions::new().map_copy(&file) }?;
    Ok(memory.first().copied().unwrap_or(0))
}
