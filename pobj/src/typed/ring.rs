//! [`PRing`]: a growing run of values in one block that can begin anywhere in it.
//!
//! Thirty-two bytes: address, count, the place of the first value, and how many places the block has; the values follow
//! each other, and after the last place comes place 0. So both ends grow and shrink without moving anything.
//!
//! What holds of [`PBuf`](super::PBuf) holds here: methods that take `&mut self` rely on I1 for the thirty-two bytes;
//! places without a value are nobody's, so a value that enters goes through `log_new` and one that leaves just falls
//! out. And **R1**: the block has room for `places` values; `first` is below `places`; `count` is at most `places`; the
//! `count` places from `first` on hold values. Values without bytes have no block and no places.

use std::marker::PhantomData;
use std::ops::Range;
use std::ptr::{with_exposed_provenance, with_exposed_provenance_mut};

use super::{StaysOnItsThread, glue};
use crate::ground::error::{Error, Result};
use crate::layout::{Invalid, Persistent, SchemaBuilder, TypeIndex, View, Visit};
use crate::tx::{Brand, Contents, Tx, running};

/// The first block has room for this many bytes at least.
const FIRST_LEN: u64 = 64;

/// A growing ring of `T`.
#[repr(C)]
pub(crate) struct PRing<'p, T> {
    /// 0 while there is no block.
    addr: u64,
    count: u64,
    first: u64,
    places: u64,
    brand: Brand<'p>,
    owns: PhantomData<T>,
    not_send: StaysOnItsThread,
}

static_assertions::assert_eq_size!(PRing<'static, u64>, [u64; 4]);

// SAFETY: a shared `PRing` gives shared values and nothing else (I4).
unsafe impl<T: Sync> Sync for PRing<'_, T> {}

impl<T> PRing<'_, T> {
    const SIZE: u64 = size_of::<T>() as u64;

    pub(crate) const fn new() -> Self {
        Self {
            addr: 0,
            count: 0,
            first: 0,
            places: 0,
            brand: PhantomData,
            owns: PhantomData,
            not_send: StaysOnItsThread::HERE,
        }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.count as usize
    }

    /// Values that fit before the block must be replaced.
    pub(crate) fn capacity(&self) -> u64 {
        if Self::SIZE == 0 { u64::MAX } else { self.places }
    }

    /// Address of a place. One without bytes has any aligned address.
    #[inline]
    fn at(&self, place: u64) -> u64 {
        if Self::SIZE == 0 || self.addr == 0 {
            align_of::<T>() as u64
        } else {
            self.addr + place * Self::SIZE
        }
    }

    /// The place of the value at `index`, or of the one that would come there.
    #[inline]
    fn place(&self, index: u64) -> u64 {
        let places_to_the_end = self.places - self.first;
        if index < places_to_the_end { self.first + index } else { index - places_to_the_end }
    }

    /// The values in `range`, which is within the count, as places and counts: up to the block's end, and from its
    /// start.
    #[inline]
    fn parts(&self, range: Range<usize>) -> [(u64, u64); 2] {
        let (start, count) = (range.start as u64, range.len() as u64);
        if Self::SIZE == 0 || count == 0 {
            return [(0, count), (0, 0)];
        }
        let place = self.place(start);
        let front = count.min(self.places - place);
        [(place, front), (0, count - front)]
    }

    /// The values in `range`: up to the block's end, and from its start. `None` if it leaves the count.
    #[inline]
    pub(crate) fn range(&self, range: Range<usize>) -> Option<(&[T], &[T])> {
        if range.start > range.end || range.end > self.len() {
            return None;
        }
        let [front, back] = self.parts(range);
        let front_first = with_exposed_provenance(self.at(front.0) as usize);
        let back_first = with_exposed_provenance(self.at(back.0) as usize);
        // SAFETY: T1 for these values by R1; T2, T3.
        let front = unsafe { std::slice::from_raw_parts(front_first, front.1 as usize) };
        // SAFETY: as above.
        let back = unsafe { std::slice::from_raw_parts(back_first, back.1 as usize) };
        Some((front, back))
    }
}

impl<'p, T: Persistent<At<'p> = T>> PRing<'p, T> {
    /// Makes room for `more` values, twice as much as there is at least.
    pub(crate) fn reserve(&mut self, tx: &Tx<'p>, more: u64) -> Result<()> {
        let needed = self.needed(more)?;
        if needed <= self.capacity() {
            return Ok(());
        }
        self.move_to(tx, needed.max(self.places.saturating_mul(2)).max(FIRST_LEN / Self::SIZE.max(1)))
    }

    /// Makes room for `more` values and little beyond.
    pub(crate) fn reserve_exact(&mut self, tx: &Tx<'p>, more: u64) -> Result<()> {
        let needed = self.needed(more)?;
        if needed <= self.capacity() { Ok(()) } else { self.move_to(tx, needed) }
    }

    fn needed(&self, more: u64) -> Result<u64> {
        self.count.checked_add(more).ok_or(Error::TooLarge { requested: u64::MAX })
    }

    /// Gives room beyond the values back, if a smaller block would do.
    pub(crate) fn shrink_to_fit(&mut self, tx: &Tx<'p>) -> Result<()> {
        if self.addr == 0 {
            return Ok(());
        }
        if self.count == 0 {
            tx.core.free(self.addr);
            (self.addr, self.first, self.places) = (0, 0, 0);
            return Ok(());
        }
        if self.places >= 2 * self.count { self.move_to(tx, self.count) } else { Ok(()) }
    }

    /// Moves the values to the start of a block for `places` of them. Their bytes move; nothing is dropped.
    fn move_to(&mut self, tx: &Tx<'p>, places: u64) -> Result<()> {
        let len = places.checked_mul(Self::SIZE).ok_or(Error::TooLarge { requested: u64::MAX })?;
        let new = tx.core.alloc(len, align_of::<T>() as u64, Contents::Named)?;
        tx.core.log_new(new, self.count * Self::SIZE);
        let mut target = new;
        for (place, count) in self.parts(0..self.len()) {
            let source = with_exposed_provenance::<T>(self.at(place) as usize);
            let first = with_exposed_provenance_mut::<T>(target as usize);
            // SAFETY: the old block holds these values (R1), the new one is fresh and has room for all of them; both are
            // mapped (T2). They move: the old ones are forgotten below.
            unsafe { source.copy_to_nonoverlapping(first, count as usize) };
            target += count * Self::SIZE;
        }
        if self.addr != 0 {
            tx.core.free(self.addr);
        }
        (self.addr, self.first) = (new, 0);
        self.places = tx.core.block_len(new).max(len) / Self::SIZE;
        Ok(())
    }

    pub(crate) fn push_back(&mut self, tx: &Tx<'p>, value: T) -> Result<()> {
        self.reserve(tx, 1)?;
        if Self::SIZE != 0 {
            self.write_new(tx, self.place(self.count), value);
        }
        self.count += 1;
        Ok(())
    }

    pub(crate) fn push_front(&mut self, tx: &Tx<'p>, value: T) -> Result<()> {
        self.reserve(tx, 1)?;
        if Self::SIZE != 0 {
            self.first = if self.first == 0 { self.places - 1 } else { self.first - 1 };
            self.write_new(tx, self.first, value);
        }
        self.count += 1;
        Ok(())
    }

    /// Writes the value at `place`, over bytes that are nobody's.
    #[inline]
    fn write_new(&mut self, tx: &Tx<'p>, place: u64, value: T) {
        let addr = self.at(place);
        tx.core.log_new(addr, Self::SIZE);
        // SAFETY: within the block by the caller, logged (I1), owned by this (I2), mapped (T2).
        unsafe { with_exposed_provenance_mut::<T>(addr as usize).write(value) };
    }

    pub(crate) fn pop_back(&mut self) -> Option<T> {
        let last = self.count.checked_sub(1)?;
        let value = self.take(last);
        self.count = last;
        Some(value)
    }

    pub(crate) fn pop_front(&mut self) -> Option<T> {
        let left = self.count.checked_sub(1)?;
        let value = self.take(0);
        if Self::SIZE != 0 {
            self.first = self.place(1);
        }
        self.count = left;
        Some(value)
    }

    /// Moves the value at `index` out; the caller makes its place nobody's.
    fn take(&self, index: u64) -> T {
        let place = if Self::SIZE == 0 { 0 } else { self.place(index) };
        // SAFETY: T1 by R1; the caller makes sure that the value is not reachable again, so it moves once (I2).
        unsafe { with_exposed_provenance::<T>(self.at(place) as usize).read() }
    }

    /// Appends copies of plain values.
    pub(crate) fn extend_from_slice(&mut self, tx: &Tx<'p>, values: &[T]) -> Result<()>
    where
        T: Copy,
    {
        self.reserve(tx, values.len() as u64)?;
        if Self::SIZE != 0 && !values.is_empty() {
            let place = self.place(self.count);
            let front = (values.len() as u64).min(self.places - place) as usize;
            for (place, values) in [(place, &values[..front]), (0, &values[front..])] {
                let addr = self.at(place);
                tx.core.log_new(addr, values.len() as u64 * Self::SIZE);
                let target = with_exposed_provenance_mut::<T>(addr as usize);
                // SAFETY: places without values, reserved just now, logged (I1), owned by this (I2). `values` cannot
                // overlap them: safe code has no reference to such places.
                unsafe { values.as_ptr().copy_to_nonoverlapping(target, values.len()) };
            }
        }
        self.count += values.len() as u64;
        Ok(())
    }

    /// The values in `range`, for changing. `None` if it leaves the count.
    #[inline]
    pub(crate) fn range_mut(&mut self, range: Range<usize>, tx: &Tx<'p>) -> Option<(&mut [T], &mut [T])> {
        if range.start > range.end || range.end > self.len() {
            return None;
        }
        let [front, back] = self.parts(range);
        let front_first = with_exposed_provenance_mut(self.remember(front, tx));
        let back_first = with_exposed_provenance_mut(self.remember(back, tx));
        // SAFETY: T1 for these values by R1, T2; logged just now (I1); the borrow of the owner makes them unique (I2).
        let front = unsafe { std::slice::from_raw_parts_mut(front_first, front.1 as usize) };
        // SAFETY: as above; the two parts are disjoint.
        let back = unsafe { std::slice::from_raw_parts_mut(back_first, back.1 as usize) };
        Some((front, back))
    }

    /// Remembers the values of a part and gives the address of the first.
    #[inline]
    fn remember(&self, (place, count): (u64, u64), tx: &Tx<'p>) -> usize {
        let addr = self.at(place);
        tx.core.log(addr, count * Self::SIZE);
        addr as usize
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, index: usize, tx: &Tx<'p>) -> Option<&mut T> {
        let end = index.checked_add(1)?;
        self.range_mut(index..end, tx)?.0.first_mut()
    }

    /// Exchanges two values, remembering them and nothing between. False if one of them is beyond the count.
    pub(crate) fn swap(&mut self, a: usize, b: usize, tx: &Tx<'p>) -> bool {
        if a >= self.len() || b >= self.len() {
            return false;
        }
        let [a, b] = [a, b].map(|index| self.remember(self.parts(index..index + 1)[0], tx));
        let first = with_exposed_provenance_mut::<T>(a);
        let second = with_exposed_provenance_mut::<T>(b);
        // SAFETY: T1 (R1) and T2 for both, logged just now (I1), unique by the borrow of the owner (I2); they are equal or
        // disjoint, and `swap` allows both.
        unsafe { first.swap(second) };
        true
    }

    /// Drops the values from `count` on.
    pub(crate) fn truncate(&mut self, count: usize) {
        let len = self.len();
        if count >= len {
            return;
        }
        let dead = self.parts(count..len);
        self.count = count as u64;
        if std::mem::needs_drop::<T>() && Self::SIZE != 0 {
            for (place, count) in dead {
                super::drop_values::<T>(self.at(place), count);
            }
        }
    }

    /// Moves the values so that they lie side by side, in their order, and gives them for changing. All are remembered,
    /// with the places that they move to.
    pub(crate) fn make_contiguous(&mut self, tx: &Tx<'p>) -> &mut [T] {
        let [(front, front_count), (_, back_count)] = self.parts(0..self.len());
        if back_count != 0 {
            // The front part moves down to where the back part ends, then the two change places.
            tx.core.log_new(self.addr, self.count * Self::SIZE);
            let source = with_exposed_provenance::<T>(self.at(front) as usize);
            let target = with_exposed_provenance_mut::<T>(self.at(back_count) as usize);
            // SAFETY: both ranges are within the block, for the count is at most its places (R1); the target is logged
            // (I1) and owned by this (I2); `copy` allows the overlap.
            unsafe { source.copy_to(target, front_count as usize) };
            self.first = 0;
        }
        let values = self.range_mut(0..self.len(), tx).map_or_else(Default::default, |(values, _)| values);
        values.rotate_left(back_count as usize);
        values
    }
}

impl<T> Drop for PRing<'_, T> {
    fn drop(&mut self) {
        if self.addr == 0 {
            return;
        }
        running::defer_drop(self.addr, 0, None);
        if let Some(glue) = glue::<T>() {
            for (place, count) in self.parts(0..self.len()) {
                if count != 0 {
                    running::defer_values(self.at(place), count, glue);
                }
            }
        }
    }
}

// SAFETY: 32 bytes at any brand; validation claims the block for its places, checks R1 and the values.
unsafe impl<'p, T: Persistent> Persistent for PRing<'p, T> {
    type At<'q> = PRing<'q, T::At<'q>>;

    fn describe(schema: &mut SchemaBuilder) -> TypeIndex {
        schema.ring::<Self, T>("PRing")
    }

    fn validate(view: View<'_>, visit: &mut Visit<'_>) -> Result<(), Invalid> {
        let (addr, count, first, places) = (view.u64(0)?, view.u64(8)?, view.u64(16)?, view.u64(24)?);
        if addr == 0 && first == 0 && places == 0 && (count == 0 || Self::SIZE == 0) {
            return Ok(());
        }
        if Self::SIZE == 0 || places > isize::MAX as u64 / Self::SIZE {
            return Err(Invalid::new("a ring of values is longer than any pool", view.addr()));
        }
        visit.own_ring::<T>(addr, places, first, count)
    }
}

#[cfg(test)]
crate::ground::book::layout!(book_ring: PRing<'static, u64>, "Runs of values" 1, [addr, count, first, places]);
