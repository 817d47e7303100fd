//! [`PBuf`]: a growing run of values in one block, on which the collections are built.
//!
//! Sixteen bytes: address and count. The capacity is the block's length, which the heap knows. All methods that
//! take `&mut self` rely on I1: whoever holds it has logged these sixteen bytes.
//!
//! Bytes of the block beyond the count are nobody's: home and image may differ there. So a value that enters goes
//! through `log_new`, which records it whole, and a value that leaves just falls behind the count.

use std::marker::PhantomData;
use std::ops::Range;
use std::ptr::{with_exposed_provenance, with_exposed_provenance_mut};
use std::slice::GetDisjointMutError;

use super::{StaysOnItsThread, glue};
use crate::ground::error::{Error, Result};
use crate::layout::prefetch::prefetch;
use crate::layout::{Invalid, Persistent, SchemaBuilder, TypeIndex, View, Visit};
use crate::tx::{Brand, Contents, Tx, running};

/// Growth asks for half as much again; the heap's class rounds up.
const GROWTH_NUMERATOR: u64 = 3;
const GROWTH_DENOMINATOR: u64 = 2;
/// The first block has room for this many bytes at least.
const FIRST_LEN: u64 = 16;

/// A growing run of `T`.
#[repr(C)]
pub(crate) struct PBuf<'p, T> {
    /// 0 while there is no block.
    addr: u64,
    count: u64,
    brand: Brand<'p>,
    owns: PhantomData<T>,
    not_send: StaysOnItsThread,
}

static_assertions::assert_eq_size!(PBuf<'static, u64>, [u64; 2]);

// SAFETY: a shared `PBuf` gives shared values and nothing else (I4).
unsafe impl<T: Sync> Sync for PBuf<'_, T> {}

impl<T> Default for PBuf<'_, T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> PBuf<'_, T> {
    const SIZE: u64 = size_of::<T>() as u64;

    pub(crate) const fn new() -> Self {
        Self { addr: 0, count: 0, brand: PhantomData, owns: PhantomData, not_send: StaysOnItsThread::HERE }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.count as usize
    }

    #[inline]
    fn at(&self, index: u64) -> u64 {
        self.addr + index * Self::SIZE
    }

    #[inline]
    pub(crate) fn as_slice(&self) -> &[T] {
        if self.addr == 0 && Self::SIZE != 0 {
            return &[];
        }
        let first = if Self::SIZE == 0 { align_of::<T>() } else { self.addr as usize };
        // SAFETY: T1 for `count` values, T2, T3.
        unsafe { std::slice::from_raw_parts(with_exposed_provenance(first), self.count as usize) }
    }
}

impl<'p, T: Persistent<At<'p> = T>> PBuf<'p, T> {
    /// Values that fit before the block must be replaced.
    pub(crate) fn capacity(&self, tx: &Tx<'p>) -> u64 {
        match (Self::SIZE, self.addr) {
            (0, _) => u64::MAX,
            (_, 0) => 0,
            (size, addr) => tx.core.block_len(addr) / size,
        }
    }

    /// Makes room for `more` values, by half as much again at least.
    pub(crate) fn reserve(&mut self, tx: &Tx<'p>, more: u64) -> Result<()> {
        let needed = self.needed(more)?;
        if needed <= self.capacity(tx) {
            return Ok(());
        }
        let grown = (self.count / GROWTH_DENOMINATOR * GROWTH_NUMERATOR).max(FIRST_LEN / Self::SIZE.max(1));
        self.move_to(tx, needed.max(grown))
    }

    /// Makes room for `more` values and little beyond.
    pub(crate) fn reserve_exact(&mut self, tx: &Tx<'p>, more: u64) -> Result<()> {
        let needed = self.needed(more)?;
        if needed <= self.capacity(tx) { Ok(()) } else { self.move_to(tx, needed) }
    }

    fn needed(&self, more: u64) -> Result<u64> {
        self.count.checked_add(more).ok_or(Error::TooLarge { requested: u64::MAX })
    }

    /// Gives room beyond the values back, if a smaller block would do.
    pub(crate) fn shrink_to_fit(&mut self, tx: &Tx<'p>) -> Result<()> {
        if Self::SIZE == 0 || self.addr == 0 {
            return Ok(());
        }
        if self.count == 0 {
            tx.core.free(self.addr);
            self.addr = 0;
            return Ok(());
        }
        if tx.core.block_len(self.addr) >= 2 * self.count * Self::SIZE {
            self.move_to(tx, self.count)
        } else {
            Ok(())
        }
    }

    /// Moves the values into a block for `capacity` of them. Their bytes move; nothing is dropped.
    fn move_to(&mut self, tx: &Tx<'p>, capacity: u64) -> Result<()> {
        let len = capacity.checked_mul(Self::SIZE).ok_or(Error::TooLarge { requested: u64::MAX })?;
        let new = tx.core.alloc(len, align_of::<T>() as u64, Contents::Named)?;
        if self.addr != 0 {
            let used = self.count * Self::SIZE;
            tx.core.log_new(new, used);
            let source = with_exposed_provenance::<u8>(self.addr as usize);
            let target = with_exposed_provenance_mut::<u8>(new as usize);
            // SAFETY: both blocks hold at least `used` bytes (T1), are mapped (T2), and the new one is fresh.
            unsafe { source.copy_to_nonoverlapping(target, used as usize) };
            tx.core.free(self.addr);
        }
        self.addr = new;
        Ok(())
    }

    #[inline]
    pub(crate) fn push(&mut self, tx: &Tx<'p>, value: T) -> Result<()> {
        self.reserve(tx, 1)?;
        if Self::SIZE != 0 {
            self.write_new(tx, self.count, value);
        }
        self.count += 1;
        Ok(())
    }

    /// Writes the value at `index`, within the capacity, over bytes that are nobody's.
    #[inline]
    fn write_new(&mut self, tx: &Tx<'p>, index: u64, value: T) {
        let addr = self.at(index);
        tx.core.log_new(addr, Self::SIZE);
        // SAFETY: within the block by the caller, logged (I1), owned by this (I2), mapped (T2).
        unsafe { with_exposed_provenance_mut::<T>(addr as usize).write(value) };
    }

    pub(crate) fn pop(&mut self) -> Option<T> {
        self.count = self.count.checked_sub(1)?;
        Some(self.take(self.count))
    }

    /// Moves the value at `index` out; the caller moves the count past it or another value over it.
    fn take(&self, index: u64) -> T {
        let addr = if Self::SIZE == 0 { align_of::<T>() as u64 } else { self.at(index) };
        // SAFETY: T1; the caller makes sure that the value is not reachable again, so it moves once (I2).
        unsafe { with_exposed_provenance::<T>(addr as usize).read() }
    }

    /// The values in `range`, for changing. `None` if it leaves the initialised ones.
    #[inline]
    pub(crate) fn range_mut(&mut self, range: Range<usize>, tx: &Tx<'p>) -> Option<&mut [T]> {
        let count = range.len();
        let first = with_exposed_provenance_mut(self.remember(range, tx)?);
        // SAFETY: T1 for the range, T2; logged just now (I1); the borrow of the owner makes it unique (I2).
        Some(unsafe { std::slice::from_raw_parts_mut(first, count) })
    }

    /// Remembers the values in `range` and gives the address of the first. `None` if it leaves the initialised ones.
    #[inline]
    fn remember(&self, range: Range<usize>, tx: &Tx<'p>) -> Option<usize> {
        if range.start > range.end || range.end > self.len() {
            return None;
        }
        if Self::SIZE == 0 || self.addr == 0 {
            return Some(align_of::<T>());
        }
        let addr = self.at(range.start as u64);
        tx.core.log(addr, range.len() as u64 * Self::SIZE);
        Some(addr as usize)
    }

    pub(crate) fn get_mut(&mut self, index: usize, tx: &Tx<'p>) -> Option<&mut T> {
        let end = index.checked_add(1)?;
        self.range_mut(index..end, tx)?.first_mut()
    }

    /// The values at these places, for changing. All are asked from memory before the first is remembered, so that the
    /// waits for far lines overlap.
    pub(crate) fn disjoint_mut<const N: usize>(
        &mut self,
        indices: [usize; N],
        tx: &Tx<'p>,
    ) -> Result<[&mut T; N], GetDisjointMutError> {
        for (number, index) in indices.iter().enumerate() {
            if *index >= self.len() {
                return Err(GetDisjointMutError::IndexOutOfBounds);
            }
            if indices[..number].contains(index) {
                return Err(GetDisjointMutError::OverlappingIndices);
            }
            prefetch(self.at(*index as u64));
        }
        // All before the first of them is given out: what is remembered are whole words, and these may be shared.
        let addrs = indices.map(|index| self.remember(index..index + 1, tx).unwrap_or(align_of::<T>()));
        Ok(addrs.map(|addr| {
            // SAFETY: T1, T2 for a value below the count; logged just now (I1); the borrow of the owner makes it unique
            // (I2), and the places differ. Values without bytes share nothing.
            unsafe { &mut *with_exposed_provenance_mut(addr) }
        }))
    }

    /// Where a part of the value at `index` lies, if all of it lies inside the value.
    #[inline]
    pub(super) fn part_addr<P>(
        &self,
        index: usize,
        part: impl for<'a> FnOnce(&'a T) -> Option<&'a P>,
    ) -> Option<u64> {
        let value = self.as_slice().get(index)?;
        let addr = std::ptr::from_ref(part(value)?).addr();
        let within = addr.checked_sub(std::ptr::from_ref(value).addr())?;
        (size_of::<P>() != 0 && within + size_of::<P>() <= size_of::<T>()).then_some(addr as u64)
    }

    /// Exchanges two values, remembering them and nothing between. False if one of them is beyond the count.
    pub(crate) fn swap(&mut self, a: usize, b: usize, tx: &Tx<'p>) -> bool {
        let (Some(first), Some(second)) = (self.remember_one(a, tx), self.remember_one(b, tx)) else {
            return false;
        };
        let first = with_exposed_provenance_mut::<T>(first);
        let second = with_exposed_provenance_mut::<T>(second);
        // SAFETY: T1 and T2 for both, logged just now (I1), unique by the borrow of the owner (I2); they are equal or
        // disjoint, and `swap` allows both.
        unsafe { first.swap(second) };
        true
    }

    fn remember_one(&self, index: usize, tx: &Tx<'p>) -> Option<usize> {
        self.remember(index..index.checked_add(1)?, tx)
    }

    /// Puts `value` at `index` (at most the count) and moves the rest up.
    pub(crate) fn insert(&mut self, tx: &Tx<'p>, index: usize, value: T) -> Result<()> {
        let index = (index as u64).min(self.count);
        self.reserve(tx, 1)?;
        if Self::SIZE != 0 {
            self.shift(tx, index, index + 1);
            self.write_new(tx, index, value);
        } else {
            std::mem::forget(value);
        }
        self.count += 1;
        Ok(())
    }

    /// Moves the value at `index` out and the rest down.
    pub(crate) fn remove(&mut self, index: usize, tx: &Tx<'p>) -> Option<T> {
        let index = index as u64;
        if index >= self.count {
            return None;
        }
        let value = self.take(index);
        if Self::SIZE != 0 {
            self.shift(tx, index + 1, index);
        }
        self.count -= 1;
        Some(value)
    }

    /// Moves the value at `index` out and the last one into its place.
    pub(crate) fn swap_remove(&mut self, index: usize, tx: &Tx<'p>) -> Option<T> {
        let last = self.count.checked_sub(1)?;
        if index as u64 > last {
            return None;
        }
        let value = self.take(index as u64);
        if (index as u64) < last {
            let moved = self.take(last);
            if Self::SIZE != 0 {
                self.write_new(tx, index as u64, moved);
            }
        }
        self.count = last;
        Some(value)
    }

    /// Moves the bytes of the values from `from` to the end so that they begin at `to`.
    fn shift(&mut self, tx: &Tx<'p>, from: u64, to: u64) {
        let count = self.count - from;
        let (source, target) = (self.at(from), self.at(to));
        tx.core.log_new(target, count * Self::SIZE);
        let source = with_exposed_provenance::<T>(source as usize);
        let target = with_exposed_provenance_mut::<T>(target as usize);
        // SAFETY: both ranges are within the block (the caller reserved), logged (I1), owned by this (I2); `copy`
        // allows the overlap.
        unsafe { source.copy_to(target, count as usize) };
    }

    /// Drops the values from `count` on.
    pub(crate) fn truncate(&mut self, count: usize) {
        let dead = (self.count).saturating_sub(count as u64);
        if dead == 0 {
            return;
        }
        self.count = count as u64;
        if std::mem::needs_drop::<T>() && Self::SIZE != 0 {
            super::drop_values::<T>(self.at(self.count), dead);
        }
    }

    /// Appends copies of plain values.
    pub(crate) fn extend_from_slice(&mut self, tx: &Tx<'p>, values: &[T]) -> Result<()>
    where
        T: Copy,
    {
        let count = values.len() as u64;
        self.reserve(tx, count)?;
        if Self::SIZE != 0 && count != 0 {
            let addr = self.at(self.count);
            tx.core.log_new(addr, count * Self::SIZE);
            let target = with_exposed_provenance_mut::<T>(addr as usize);
            // SAFETY: reserved just now, logged (I1), owned by this (I2). `values` cannot overlap it: safe code has no
            // reference to bytes beyond the count, and `&mut self` excludes the rest.
            unsafe { values.as_ptr().copy_to_nonoverlapping(target, values.len()) };
        }
        self.count += count;
        Ok(())
    }
}

impl<'p, T: Persistent<At<'p> = T>> PBuf<'p, T> {
    /// Moves all values of `other` to the end of this run. On an error nothing has moved.
    pub(crate) fn append(&mut self, tx: &Tx<'p>, other: &mut Self) -> Result<()> {
        let count = other.count;
        self.reserve(tx, count)?;
        if Self::SIZE != 0 && count != 0 {
            let addr = self.at(self.count);
            tx.core.log_new(addr, count * Self::SIZE);
            let source = with_exposed_provenance::<T>(other.addr as usize);
            let target = with_exposed_provenance_mut::<T>(addr as usize);
            // SAFETY: T1 and T2 for `count` values of the other run; room reserved and logged here (I1). Two live runs
            // have two blocks (I2).
            unsafe { source.copy_to_nonoverlapping(target, count as usize) };
        }
        other.count = 0;
        self.count += count;
        Ok(())
    }
}

impl<'p, T: Persistent<At<'p> = T>> PBuf<'p, PBuf<'p, T>> {
    /// The values in `range` of the inner run at `index`, for changing. The inner run itself is not remembered, for
    /// nobody can change it through this.
    #[inline]
    pub(crate) fn inner_range_mut(
        &mut self,
        index: usize,
        range: Range<usize>,
        tx: &Tx<'p>,
    ) -> Option<&mut [T]> {
        let count = range.len();
        let first = with_exposed_provenance_mut(self.as_slice().get(index)?.remember(range, tx)?);
        // SAFETY: T1 for the range, T2; logged just now (I1); the borrow of the outer owner makes it unique (I2).
        Some(unsafe { std::slice::from_raw_parts_mut(first, count) })
    }

    /// A part of a value of an inner run, for changing; that part alone is remembered. `index` is the inner run's and the
    /// value's in it. `None` if there is no such value, or `part` gives nothing that lies inside of it.
    #[inline]
    pub(crate) fn inner_part_mut<P>(
        &mut self,
        index: (usize, usize),
        tx: &Tx<'p>,
        part: impl for<'a> FnOnce(&'a T) -> Option<&'a P>,
    ) -> Option<&mut P> {
        let addr = self.as_slice().get(index.0)?.part_addr(index.1, part)?;
        tx.core.log(addr, size_of::<P>() as u64);
        // SAFETY: `part_addr` found a live `P` all of whose bytes lie in a value of the inner run (T1), mapped (T2); logged
        // just now (I1); the borrow of the outer owner makes it unique (I2).
        Some(unsafe { &mut *with_exposed_provenance_mut(addr as usize) })
    }
}

impl<T> Drop for PBuf<'_, T> {
    fn drop(&mut self) {
        if self.addr != 0 && Self::SIZE != 0 {
            running::defer_drop(self.addr, self.count, glue::<T>());
        }
    }
}

impl<T: Persistent> PBuf<'_, T> {
    /// Claims the block of the run whose sixteen bytes `view` shows, puts its values on the walk's list, and gives
    /// a view of them. `None` where there is no block.
    #[inline]
    pub(crate) fn claim<'v>(view: View<'_>, visit: &mut Visit<'v>) -> Result<Option<View<'v>>, Invalid> {
        Self::block(view)?.map(|(addr, count)| visit.own_view::<T>(addr, count)).transpose()
    }

    /// Address and count of the run, if it has a block.
    #[inline]
    fn block(view: View<'_>) -> Result<Option<(u64, u64)>, Invalid> {
        let (addr, count) = (view.u64(0)?, view.u64(8)?);
        if addr == 0 && (count == 0 || Self::SIZE == 0) {
            return Ok(None);
        }
        if Self::SIZE == 0 || count > isize::MAX as u64 / Self::SIZE {
            return Err(Invalid::new("a run of values is longer than any pool", view.addr()));
        }
        Ok(Some((addr, count)))
    }
}

// SAFETY: 16 bytes at any brand; validation claims the block for `count` values and checks them.
unsafe impl<'p, T: Persistent> Persistent for PBuf<'p, T> {
    type At<'q> = PBuf<'q, T::At<'q>>;

    fn describe(schema: &mut SchemaBuilder) -> TypeIndex {
        schema.slice::<Self, T>("PBuf")
    }

    #[inline]
    fn validate(view: View<'_>, visit: &mut Visit<'_>) -> Result<(), Invalid> {
        // Without a view: plain values are not looked at, and need not come from the medium for this.
        Self::block(view)?.map_or(Ok(()), |(addr, count)| visit.own::<T>(addr, count))
    }
}

#[cfg(test)]
crate::ground::book::layout!(book_run: PBuf<'static, u64>, "Runs of values" 0, [addr, count]);
