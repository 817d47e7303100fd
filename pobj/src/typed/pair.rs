//! [`Pair`]: a key and its value, both bytes, in one block.
//!
//! ```text
//! 0  key_len    u32
//! 4  value_len  u32
//! 8  key        key_len bytes
//!    value      value_len bytes, right behind
//! ```
//!
//! Eight bytes where it is held, one block, one cache line for a small one: what the key-value stores are made of.
//!
//! - **K1** A pair's block is its own, and has both lengths and as many bytes as they say, all of them written.
//! - **K2** A key does not change as long as its pair lives. So a store may keep what it has derived from it.
//! - **K3** Words with bytes of the key or of the value are in home as they are in the image. What is behind them is
//!   nobody's: home may hold other bytes there, so words that the value grows into are recorded whole.

use std::marker::PhantomData;
use std::num::NonZeroU64;
use std::ops::Range;
use std::ptr::{with_exposed_provenance, with_exposed_provenance_mut};

use super::{PBuf, StaysOnItsThread};
use crate::ground::error::{Error, Result};
use crate::layout::prefetch::prefetch;
use crate::layout::visit::Block;
use crate::layout::{Invalid, Niche, Persistent, SchemaBuilder, TypeIndex, View, Visit};
use crate::tx::{Brand, Contents, Tx, running};

/// What a block begins with.
#[repr(C)]
#[derive(Clone, Copy)]
struct Lens {
    key: u32,
    value: u32,
}

/// Bytes of [`Lens`].
const HEADER_LEN: u64 = 8;
/// Blocks up to this length are never exchanged for a smaller one.
const SMALL_MAX: u64 = 64;

static_assertions::const_assert_eq!(size_of::<Lens>() as u64, HEADER_LEN);
static_assertions::const_assert_eq!(std::mem::offset_of!(Lens, value), 4);

/// A key and its value, in a block that belongs to this. Public in name only: nobody outside can name it.
#[repr(transparent)]
pub struct Pair<'p> {
    addr: NonZeroU64,
    brand: Brand<'p>,
    /// I4: a drop on another thread would miss the transaction.
    not_send: StaysOnItsThread,
}

static_assertions::assert_eq_size!(Option<Pair<'static>>, u64);

// SAFETY: `&Pair` gives `&[u8]` and nothing else (I4).
unsafe impl Sync for Pair<'_> {}

/// Bytes of a block, if a pool can have such a pair.
#[inline]
fn block_len(key: usize, value: usize) -> Result<u64> {
    let len = (key as u64).checked_add(value as u64).and_then(|len| len.checked_add(HEADER_LEN));
    match len {
        Some(len) if len <= u64::from(u32::MAX) => Ok(len),
        _ => Err(Error::TooLarge { requested: len.unwrap_or(u64::MAX) }),
    }
}

impl<'p> Pair<'p> {
    /// A pair of copies of `key` and `value`. Cost: one block.
    ///
    /// # Errors
    ///
    /// [`Error::PoolFull`]; [`Error::TooLarge`] where both together have 4 GiB or more; [`Error::Io`].
    #[inline]
    pub(crate) fn new(tx: &Tx<'p>, key: &[u8], value: &[u8]) -> Result<Self> {
        let pair = Self::reserve(tx, key, value.len())?;
        let target = with_exposed_provenance_mut::<u8>(pair.value_addr() as usize);
        // SAFETY: K1; the block was taken just now, so it is recorded whole (I1), and nobody else knows it.
        unsafe { value.as_ptr().copy_to_nonoverlapping(target, value.len()) };
        Ok(pair)
    }

    /// A pair with a value of `len` zeros, to be filled.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    #[inline]
    pub(crate) fn reserve(tx: &Tx<'p>, key: &[u8], len: usize) -> Result<Self> {
        let addr = tx.core.alloc(block_len(key.len(), len)?, HEADER_LEN, Contents::Whole)?;
        let lens = Lens { key: key.len() as u32, value: len as u32 };
        // SAFETY: the block is fresh, aligned, at least as long, and known to nobody else.
        unsafe { with_exposed_provenance_mut::<Lens>(addr as usize).write(lens) };
        let target = with_exposed_provenance_mut::<u8>((addr + HEADER_LEN) as usize);
        // SAFETY: as above; the caller's bytes are not in a block that nobody knows.
        unsafe { key.as_ptr().copy_to_nonoverlapping(target, key.len()) };
        // SAFETY: `alloc` never gives address 0. The block is zeroed, so the value is written as well (K1).
        let addr = unsafe { NonZeroU64::new_unchecked(addr) };
        Ok(Self { addr, brand: PhantomData, not_send: StaysOnItsThread::HERE })
    }

    #[inline]
    fn lens(&self) -> Lens {
        let source = with_exposed_provenance::<Lens>(self.addr.get() as usize);
        // SAFETY: K1, T2, T3.
        unsafe { source.read() }
    }

    #[inline]
    fn value_addr(&self) -> u64 {
        self.addr.get() + HEADER_LEN + u64::from(self.lens().key)
    }

    /// The key.
    #[inline]
    pub(crate) fn key(&self) -> &[u8] {
        let first = with_exposed_provenance((self.addr.get() + HEADER_LEN) as usize);
        // SAFETY: K1, T2, T3.
        unsafe { std::slice::from_raw_parts(first, self.lens().key as usize) }
    }

    /// The value.
    #[inline]
    pub(crate) fn value(&self) -> &[u8] {
        let first = with_exposed_provenance(self.value_addr() as usize);
        // SAFETY: K1, T2, T3.
        unsafe { std::slice::from_raw_parts(first, self.value_len()) }
    }

    /// Bytes of the value.
    #[inline]
    pub(crate) fn value_len(&self) -> usize {
        self.lens().value as usize
    }

    /// Asks the processor for the lines of a small pair, which somebody is about to look at.
    #[inline]
    pub(crate) fn expect(&self) {
        prefetch(self.addr.get());
        prefetch(self.addr.get() + 64);
    }

    /// Bytes of the value, for changing; they alone are remembered. `None` if the range leaves the value.
    #[inline]
    pub(crate) fn value_mut(&mut self, range: Range<usize>, tx: &Tx<'p>) -> Option<&mut [u8]> {
        let addr = self.remember(&range, tx)?;
        let first = with_exposed_provenance_mut(addr as usize);
        // SAFETY: K1 for the range, T2; logged just now (I1); the borrow of the owner makes it unique (I2).
        Some(unsafe { std::slice::from_raw_parts_mut(first, range.len()) })
    }

    /// Remembers bytes of the value and gives the address of the first. `None` if the range leaves the value.
    #[inline]
    fn remember(&self, range: &Range<usize>, tx: &Tx<'p>) -> Option<u64> {
        if range.start > range.end || range.end > self.value_len() {
            return None;
        }
        let addr = self.value_addr() + range.start as u64;
        tx.core.log(addr, range.len() as u64);
        Some(addr)
    }

    /// Replaces the value: in place where the block has the room and is not far too large, else in a new block. On an
    /// error nothing has changed.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub(crate) fn set_value(&mut self, tx: &Tx<'p>, value: &[u8]) -> Result<()> {
        if value.len() != self.value_len() && !self.resize(tx, value.len())? {
            *self = Self::new(tx, self.key(), value)?;
            return Ok(());
        }
        if let Some(target) = self.value_mut(0..value.len(), tx) {
            target.copy_from_slice(value);
        }
        Ok(())
    }

    /// Gives the value another length, if the block should stay. What it grows by is zero.
    fn resize(&mut self, tx: &Tx<'p>, len: usize) -> Result<bool> {
        let lens = self.lens();
        let needed = block_len(lens.key as usize, len)?;
        let room = tx.core.block_len(self.addr.get());
        if needed > room || (room > SMALL_MAX && needed <= room / 2) {
            return Ok(false);
        }
        let end = HEADER_LEN + u64::from(lens.key) + u64::from(lens.value);
        if needed > end {
            // Up to the end of the old value's last word, and the words behind it (K3).
            let known = end.next_multiple_of(8).min(needed);
            tx.core.log(self.addr.get() + end, known - end);
            tx.core.log_new(self.addr.get() + known, needed - known);
            let first = with_exposed_provenance_mut::<u8>((self.addr.get() + end) as usize);
            // SAFETY: within the block, by the room that it has; logged just now (I1), this pair's own (I2).
            unsafe { first.write_bytes(0, (needed - end) as usize) };
        }
        tx.core.log(self.addr.get(), HEADER_LEN);
        let lens = Lens { key: lens.key, value: len as u32 };
        // SAFETY: K1 for the header and, just now, for the new length; logged (I1), this pair's own (I2).
        unsafe { with_exposed_provenance_mut::<Lens>(self.addr.get() as usize).write(lens) };
        Ok(true)
    }
}

impl<'p, T: Persistent<At<'p> = T>> PBuf<'p, PBuf<'p, T>> {
    /// Bytes of the value of a pair that lies in a value of an inner run, for changing; they alone are remembered. `index`
    /// is the inner run's and the value's in it. `None` if there is no such value, if `part` gives no pair that lies inside
    /// of it, or if the range leaves the pair's value.
    #[inline]
    pub(crate) fn pair_value_mut(
        &mut self,
        index: (usize, usize),
        range: Range<usize>,
        tx: &Tx<'p>,
        part: impl for<'a> FnOnce(&'a T) -> Option<&'a Pair<'p>>,
    ) -> Option<&mut [u8]> {
        let pair = self.as_slice().get(index.0)?.part_addr(index.1, part)?;
        // SAFETY: `part_addr` found a live `Pair` all of whose bytes lie in a value of the inner run (T1); T2, T3.
        let pair = unsafe { &*with_exposed_provenance::<Pair<'p>>(pair as usize) };
        let addr = pair.remember(&range, tx)?;
        // SAFETY: K1 for the range, T2; logged just now (I1). The pair lies in a value of the inner run, which owns it (I2),
        // and the borrow of the outer owner makes that unique.
        Some(unsafe {
            std::slice::from_raw_parts_mut(with_exposed_provenance_mut(addr as usize), range.len())
        })
    }
}

impl Drop for Pair<'_> {
    fn drop(&mut self) {
        running::defer_drop(self.addr.get(), 1, None);
    }
}

/// The block of a pair, as a check sees it: the header at first, for only that says how long it is.
struct PairBlock;

impl Block for PairBlock {
    const LEN: u64 = HEADER_LEN;
    const ALIGN: u64 = HEADER_LEN;

    fn check(view: View<'_>, visit: &mut Visit<'_>) -> Result<(), Invalid> {
        let (key, value) = (u64::from(view.u32(0)?), u64::from(view.u32(4)?));
        visit.extend(view, HEADER_LEN + key + value)
    }
}

// SAFETY: 8 bytes at any brand; validation claims the block and checks that it is as long as it says (K1).
unsafe impl<'p> Persistent for Pair<'p> {
    type At<'q> = Pair<'q>;

    fn describe(schema: &mut SchemaBuilder) -> TypeIndex {
        schema.pair::<Self>("Pair")
    }

    #[inline]
    fn validate(view: View<'_>, visit: &mut Visit<'_>) -> Result<(), Invalid> {
        visit.own_block::<PairBlock>(view.u64(0)?).map(drop)
    }
}

// SAFETY: transparent over `NonZeroU64`.
unsafe impl<'p> Niche for Pair<'p> {
    type NicheAt<'q> = Pair<'q>;
}

#[cfg(test)]
mod tests {
    //! Would catch a value that a change in place tears, a block that leaks or is freed twice, bytes behind a value that are
    //! recorded as if home had them, lengths of a crafted file that lead out of the block, and two pairs in one block.
    use std::sync::Arc;

    use super::super::persistent_struct;
    use super::*;
    use crate::Pool;
    use crate::media::{Domain, ImageMode, RamMedia};

    const COUNT: usize = 6;
    const ROUNDS: u64 = if cfg!(miri) { 60 } else { 4000 };
    const MAX_SIZE: u64 = 1 << 20;

    #[repr(C)]
    #[derive(Default)]
    struct Root<'p> {
        pairs: [Option<Pair<'p>>; COUNT],
        nested: PBuf<'p, PBuf<'p, Option<Pair<'p>>>>,
    }

    persistent_struct! {
        impl['p] Root['p] called "Root"[];
        at<'q> = Root<'q>;
        fields { pairs: [Option<Pair<'p>>; COUNT], nested: PBuf<'p, PBuf<'p, Option<Pair<'p>>>> }
        check = |view: View<'_>, visit: &mut Visit<'_>| {
            Root::MEMBERS.iter().try_for_each(|member| member.validate(view, visit))
        };
    }

    fn create(media: &Arc<RamMedia>, mode: ImageMode) -> Pool<Root<'static>> {
        let options = Pool::<Root<'_>>::options().max_size(MAX_SIZE).size(128 << 10).ring_size(64 << 10);
        options.image(mode).create_on(media.clone(), |_| Ok(Root::default())).unwrap()
    }

    fn open(media: &Arc<RamMedia>, mode: ImageMode) -> Result<Pool<Root<'static>>> {
        Pool::<Root<'_>>::options().validation_threads(1).image(mode).open_on(media.clone())
    }

    /// Some are zeros, as fresh blocks are in the image and not in home.
    fn bytes(len: u64, seed: u64) -> Vec<u8> {
        let zeros = seed.is_multiple_of(3);
        (0..len).map(|n| if zeros { 0 } else { (seed.wrapping_mul(31) + n * 7) as u8 }).collect()
    }

    fn change(mode: ImageMode) {
        let media = Arc::new(RamMedia::new(MAX_SIZE).unwrap().with_domain(Domain::CacheLine));
        let mut pool = create(&media, mode);
        let empty = pool.stats().heap.live_blocks;
        let mut model: [Option<(Vec<u8>, Vec<u8>)>; COUNT] = Default::default();
        let mut state = 7u64;
        for round in 0..ROUNDS {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (place, what, fails) =
                ((state >> 33) as usize % COUNT, (state >> 40) % 8, (state >> 50).is_multiple_of(5));
            let value = bytes([0, 1, 7, 8, 9, 60, 100, 400, 5000][(state >> 55) as usize % 9], round);
            let before = model.clone();
            let outcome: Result<()> = pool.write(|root, tx| {
                let (slot, known) = (&mut root.pairs[place], &mut model[place]);
                match (what, slot.as_mut(), known.as_mut()) {
                    (0, ..) => (*slot, *known) = (None, None),
                    (1 | 2, Some(pair), Some((_, old))) if !old.is_empty() => {
                        let range = old.len() / 3..old.len() / 3 + old.len().div_ceil(2);
                        assert!(pair.value_mut(0..old.len() + 1, tx).is_none());
                        pair.value_mut(range.clone(), tx).unwrap().fill(round as u8);
                        old[range].fill(round as u8);
                    }
                    (_, Some(pair), Some((_, old))) => {
                        pair.set_value(tx, &value)?;
                        *old = value.clone();
                    }
                    _ => {
                        let key = bytes(round % 21, state);
                        let mut pair = Pair::reserve(tx, &key, value.len())?;
                        assert!(pair.value().iter().all(|byte| *byte == 0));
                        pair.value_mut(0..value.len(), tx).unwrap().copy_from_slice(&value);
                        (*slot, *known) = (Some(pair), Some((key, value.clone())));
                    }
                }
                if fails { Err(Error::abort("no")) } else { Ok(()) }
            });
            assert_eq!(outcome.is_err(), fails);
            if fails {
                model = before;
            }
            if round % 37 == 36 {
                // What follows sees home, not the image that made it.
                pool.close().unwrap();
                pool = open(&media, mode).unwrap();
            }
            let root = pool.read();
            for (pair, known) in root.pairs.iter().zip(&model) {
                let pair = pair.as_ref().map(|pair| (pair.key().to_vec(), pair.value().to_vec()));
                assert_eq!(pair, *known, "round {round}");
            }
            drop(root);
            let live = model.iter().flatten().count() as u64;
            assert_eq!(pool.stats().heap.live_blocks, empty + live, "round {round}");
        }
    }

    #[test]
    fn values_grow_and_shrink_as_in_a_model() {
        change(ImageMode::Private);
    }

    #[test]
    fn values_grow_and_shrink_in_place() {
        change(ImageMode::InPlace);
    }

    #[test]
    fn a_full_pool_leaves_the_pair_as_it_was() {
        let media = Arc::new(RamMedia::new(MAX_SIZE).unwrap());
        let pool = create(&media, ImageMode::Private);
        pool.write(|root, tx| {
            let mut pair = Pair::new(tx, b"key", b"value")?;
            let full = pair.set_value(tx, &vec![1; MAX_SIZE as usize]);
            assert!(matches!(full, Err(Error::PoolFull { .. })), "{full:?}");
            assert_eq!((pair.key(), pair.value()), (&b"key"[..], &b"value"[..]));
            root.pairs[0] = Some(pair);
            Ok(())
        })
        .unwrap();
        assert_eq!(pool.read().pairs[0].as_ref().unwrap().value(), b"value");
        assert!(matches!(block_len(usize::MAX, 2), Err(Error::TooLarge { .. })));
        assert!(matches!(block_len(u32::MAX as usize, 0), Err(Error::TooLarge { .. })));
        assert_eq!(block_len(u32::MAX as usize - 8, 0).unwrap(), u64::from(u32::MAX));
    }

    #[test]
    fn a_part_of_a_nested_pair_is_changed_alone() {
        let media = Arc::new(RamMedia::new(MAX_SIZE).unwrap());
        let pool = create(&media, ImageMode::Private);
        pool.write(|root, tx| {
            let mut inner = PBuf::new();
            inner.push(tx, Some(Pair::new(tx, b"k", &[5; 3000])?))?;
            root.nested.push(tx, inner)
        })
        .unwrap();
        let change = |index, range: Range<usize>| {
            pool.write(|root, tx| {
                let found = root.nested.pair_value_mut(index, range, tx, |slot| slot.as_ref());
                Ok(found.map(|bytes| bytes.fill(6)).is_some())
            })
            .unwrap()
        };
        assert!(!change((0, 1), 0..1) && !change((1, 0), 0..1) && !change((0, 0), 2999..3001));
        assert!(change((0, 0), 1000..1008));
        let root = pool.read();
        let value = root.nested.as_slice()[0].as_slice()[0].as_ref().unwrap().value();
        assert!(
            value
                .iter()
                .enumerate()
                .all(|(at, byte)| *byte == if (1000..1008).contains(&at) { 6 } else { 5 })
        );
    }

    #[test]
    fn crafted_pairs_are_refused() {
        const KEY: [u8; 16] = *b"a key of sixteen";
        let media = Arc::new(RamMedia::new(MAX_SIZE).unwrap());
        let pool = create(&media, ImageMode::Private);
        pool.write(|root, tx| {
            root.pairs[0] = Some(Pair::new(tx, &KEY, &[1; 72])?);
            root.pairs[1] = Some(Pair::new(tx, b"another", &[2; 30_000])?);
            Ok(())
        })
        .unwrap();
        let addr = pool.read().pairs[0].as_ref().unwrap().addr.get();
        pool.close().unwrap();
        let whole = media.bytes();
        // The last, for the journal has them as well.
        let block = whole.windows(16).rposition(|bytes| bytes == KEY).unwrap() - 8;
        let slot = whole.windows(8).rposition(|bytes| bytes == addr.to_le_bytes()).unwrap();
        let with = |changes: &[(usize, u64)]| {
            let mut bytes = whole.clone();
            for &(at, word) in changes {
                bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
            }
            open(&Arc::new(media.with_bytes(bytes)), ImageMode::Private)
        };
        assert!(with(&[]).is_ok());
        // The block has 96 bytes: all lengths that fit are a pair, and no others.
        for (key, value) in [(88u64, 0u64), (0, 88), (40, 48), (0, 0)] {
            assert!(with(&[(block, key | value << 32)]).is_ok(), "{key} {value}");
        }
        let most = u64::from(u32::MAX);
        for (key, value) in [(89, 0), (0, 89), (45, 44), (most, 0), (0, most), (most, most)] {
            let refused = with(&[(block, key | value << 32)]);
            assert!(matches!(refused, Err(Error::Corrupt { .. })), "{key} {value}");
        }
        let other = u64::from_le_bytes(whole[slot + 8..slot + 16].try_into().unwrap());
        for bad in [addr + 1, addr + 8, addr + 96, other, 8, u64::MAX, addr ^ 1 << 63] {
            assert!(matches!(with(&[(slot, bad)]), Err(Error::Corrupt { .. })), "{bad:#x}");
        }
    }
}
