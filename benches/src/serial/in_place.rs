//! Files that are used where they lie: rkyv's archive, and records of fixed size, in a mapping.
//!
//! They start at once and change a field at the cost of a page and a sync. What they give up for that is what a
//! transaction is for: **their changes are not atomic.** A crash in the middle of a batch leaves some of it, no names can
//! grow, and nobody can be added.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use memmap2::{Mmap, MmapMut};
use rkyv::collections::swiss_table::ArchivedHashMap;
use rkyv::munge::munge;
use rkyv::rancor;
use rkyv::rend::u64_le;
use rkyv::seal::Seal;

use super::Keeper;
use super::save::{COUNTS, Parts, Record, parts};
use super::state::{ArchivedPerson, ArchivedState, Change, Sum};
use crate::Result;

/// rkyv's archive in a mapping. Invariant **A1**: the bytes are an archive of a `State`, as far as whoever opened it knows.
pub struct Archive {
    bytes: MmapMut,
}

impl Archive {
    /// Maps the archive, and validates it if `check`.
    ///
    /// # Errors
    ///
    /// If there is none, or it is damaged.
    pub fn open(path: &Path, check: bool) -> Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        // SAFETY: the file is this session's alone.
        let bytes = unsafe { MmapMut::map_mut(&file) }?;
        if check {
            rkyv::access::<ArchivedState, rancor::Error>(&bytes)?;
        }
        Ok(Self { bytes })
    }

    fn state(&self) -> &ArchivedState {
        // SAFETY: A1; without a check it rests on this run having made the file.
        unsafe { rkyv::access_unchecked::<ArchivedState>(&self.bytes) }
    }

    /// Changes a balance, and says where in the mapping it is.
    fn change(&mut self, change: &Change) -> Option<usize> {
        let start = self.bytes.as_ptr() as usize;
        // SAFETY: as in `state`.
        let state = unsafe { rkyv::access_unchecked_mut::<ArchivedState>(&mut self.bytes) };
        munge!(let ArchivedState { people, .. } = state);
        let person: Seal<'_, ArchivedPerson> =
            ArchivedHashMap::get_seal(people, &u64_le::from_native(change.number))?;
        munge!(let ArchivedPerson { mut balance, .. } = person);
        *balance = u64_le::from_native(change.balance);
        Some(&raw const *balance as usize - start)
    }
}

impl Keeper for Archive {
    fn balance(&self, number: u64) -> Option<u64> {
        self.state().people.get(&u64_le::from_native(number)).map(|person| person.balance.to_native())
    }

    fn sum(&self) -> Result<Sum> {
        let state = self.state();
        let mut sum = Sum::default();
        for (number, person) in state.people.iter() {
            let (balance, visits) = (person.balance.to_native(), person.visits.to_native());
            sum.person(number.to_native(), &person.name, balance, visits);
        }
        state.ranks.iter().for_each(|(rank, number)| sum.rank(rank.to_native(), number.to_native()));
        state.events.iter().for_each(|number| sum.event(number.to_native()));
        Ok(sum)
    }

    /// Stores, and one `msync`: of a page for one change, of all that is dirty for more.
    fn commit(&mut self, changes: &[Change]) -> Result<()> {
        let mut place = 0;
        for change in changes {
            place = self.change(change).ok_or("nobody has this number")?;
        }
        match changes {
            [_] => Ok(self.bytes.flush_range(place, 8)?),
            _ => Ok(self.bytes.flush()?),
        }
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

/// Records of fixed size: read through a mapping, written with `pwrite`.
pub struct Records {
    file: File,
    bytes: Mmap,
}

impl Records {
    /// Maps the file; only its length is checked.
    ///
    /// # Errors
    ///
    /// If there is none, or it is of another length than it says.
    pub fn open(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        // SAFETY: the file is this session's alone, and `&mut self` changes it.
        let bytes = unsafe { Mmap::map(&file) }?;
        parts(&bytes)?;
        Ok(Self { file, bytes })
    }

    fn parts(&self) -> Result<Parts<'_>> {
        parts(&self.bytes)
    }

    fn place(&self, number: u64) -> Option<usize> {
        self.parts().ok()?.people.binary_search_by_key(&number, |record| record.number).ok()
    }
}

impl Keeper for Records {
    fn balance(&self, number: u64) -> Option<u64> {
        Some(self.parts().ok()?.people.get(self.place(number)?)?.balance)
    }

    fn sum(&self) -> Result<Sum> {
        let parts = self.parts()?;
        let mut sum = Sum::default();
        for record in parts.people {
            sum.person(record.number, record.name()?, record.balance, record.visits);
        }
        parts.ranks.iter().for_each(|[rank, number]| sum.rank(*rank, *number));
        parts.events.iter().for_each(|number| sum.event(*number));
        Ok(sum)
    }

    /// A write for each, and one `fdatasync`.
    fn commit(&mut self, changes: &[Change]) -> Result<()> {
        for change in changes {
            let place = self.place(change.number).ok_or("nobody has this number")?;
            let at = COUNTS * 8 + place * size_of::<Record>() + std::mem::offset_of!(Record, balance);
            self.file.write_all_at(&change.balance.to_ne_bytes(), at as u64)?;
        }
        Ok(self.file.sync_data()?)
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
