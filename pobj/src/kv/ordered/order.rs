//! [`Order`]: how keys stand to each other, and the search that follows from it.

use std::cmp::Ordering;

use crate::typed::{Labelled, NodeRef, Pair};

/// The order of an [`Ordered`](super::Ordered) map's keys. Its name is kept in the pool, and a pool whose maps have another
/// order is not opened: [`OrderMismatch`](crate::Error::OrderMismatch) names both. So give an order that changes another name.
///
/// It must be a total order: for any three keys, `a < b` and `b < c` give `a < c`, and `a < b` is `b > a`. Keys that compare as
/// equal are one key, whatever their bytes. An order that breaks its word loses records from sight, or shows them in the wrong
/// places, or makes [`apply`](crate::kv::Map::apply) panic; memory, and the pool's structure, do not rest on it.
///
/// ```
/// use std::cmp::Ordering;
///
/// use pobj::kv::{Order, Ordered, Store};
///
/// /// Short keys before long ones.
/// struct ByLength;
///
/// impl Order for ByLength {
///     const NAME: &'static str = "shop.example/by-length";
///
///     fn compare(a: &[u8], b: &[u8]) -> Ordering {
///         a.len().cmp(&b.len()).then_with(|| a.cmp(b))
///     }
/// }
///
/// # let dir = tempfile::tempdir()?;
/// let store = Store::<Ordered<ByLength>>::create(dir.path().join("words.pobj"))?;
/// for word in ["zebra", "ox", "lion", "ape"] {
///     store.put(word.as_bytes(), b"")?;
/// }
/// let words = store.read()?;
/// let words: Vec<&[u8]> = words.range(..).map(|(word, _)| word).collect();
/// assert_eq!(words, [&b"ox"[..], b"ape", b"lion", b"zebra"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Order: Sized + 'static {
    /// The order's name, of 1 to 48 bytes: one that no other order has.
    const NAME: &'static str;

    /// How `a` stands to `b`.
    fn compare(a: &[u8], b: &[u8]) -> Ordering;

    /// A number for each key, so that a key with a smaller number comes before one with a larger. It is kept beside the key's
    /// place, and where two numbers differ no key is looked at, which saves most waits for memory. The default says nothing.
    /// It is as much a part of the order as `compare`.
    #[must_use]
    fn head(key: &[u8]) -> u64 {
        let _ = key;
        0
    }

    /// How many bytes the keys from `low` up to `high`, without `high`, all begin with, if those that begin alike stand to each
    /// other as what follows does. The numbers of such keys are taken of what follows, and tell them apart although they
    /// begin alike. The default says none, which is always right. As much a part of the order as `compare`.
    #[must_use]
    fn common_len(low: &[u8], high: &[u8]) -> usize {
        let _ = (low, high);
        0
    }
}

/// The order of keys by their bytes, as numbers without a sign; a key comes before those that it is the beginning of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bytewise;

impl Order for Bytewise {
    const NAME: &'static str = "bytewise";

    #[inline]
    fn compare(a: &[u8], b: &[u8]) -> Ordering {
        a.cmp(b)
    }

    #[inline]
    fn head(key: &[u8]) -> u64 {
        match key.first_chunk() {
            Some(first) => u64::from_be_bytes(*first),
            None => {
                let mut first = [0; 8];
                first[..key.len()].copy_from_slice(key);
                u64::from_be_bytes(first)
            }
        }
    }

    fn common_len(low: &[u8], high: &[u8]) -> usize {
        low.iter().zip(high).take_while(|(a, b)| a == b).count()
    }
}

/// The head of a key where keys are known to have their first `skip` bytes in common.
#[inline]
pub(super) fn head_behind<O: Order>(key: &[u8], skip: usize) -> u64 {
    O::head(key.get(skip..).unwrap_or_default())
}

impl<O: Order> Labelled for O {
    const LABEL: &'static str = O::NAME;
}

/// What has a key.
pub(super) trait Keyed {
    fn key(&self) -> &[u8];
}

impl Keyed for Pair<'_> {
    #[inline]
    fn key(&self) -> &[u8] {
        Pair::key(self)
    }
}

/// A key to look for, with its head.
#[derive(Clone, Copy)]
pub(super) struct Probe<'k> {
    pub(super) key: &'k [u8],
    pub(super) head: u64,
}

impl<'k> Probe<'k> {
    #[inline]
    pub(super) fn new<O: Order>(key: &'k [u8]) -> Self {
        Self { key, head: O::head(key) }
    }

    /// In a part, see [`head_behind`].
    #[inline]
    pub(super) fn behind<O: Order>(key: &'k [u8], skip: usize) -> Self {
        Self { key, head: head_behind::<O>(key, skip) }
    }

    /// Where the key is in a node: `Ok` of its place, or `Err` of the place where it belongs.
    #[inline]
    pub(super) fn search<O: Order, V: Keyed>(self, node: NodeRef<'_, u64, V>) -> Result<usize, usize> {
        let heads = node.keys();
        let first = heads.partition_point(|head| *head < self.head);
        if heads.get(first) != Some(&self.head) {
            return Err(first);
        }
        let alike = heads[first..].partition_point(|head| *head == self.head);
        let values = &node.values()[first..first + alike];
        match values.binary_search_by(|value| O::compare(value.key(), self.key)) {
            Ok(place) => Ok(first + place),
            Err(place) => Err(first + place),
        }
    }
}

#[cfg(test)]
mod tests {
    //! Would catch a head that contradicts the order.
    use super::*;

    fn keys() -> Vec<Vec<u8>> {
        let mut keys: Vec<Vec<u8>> =
            vec![vec![], vec![0], vec![0; 8], vec![0; 9], vec![255; 8], vec![255; 9]];
        keys.extend(["a", "a\0", "abcdefgh", "abcdefgi", "b"].map(|key| key.as_bytes().to_vec()));
        keys.extend((0..20).map(|number| format!("a long beginning {number:03}").into_bytes()));
        keys.sort();
        keys
    }

    #[test]
    fn heads_are_in_the_order_of_their_keys() {
        for (a, b) in keys().iter().flat_map(|a| keys().into_iter().map(move |b| (a.clone(), b))) {
            if Bytewise::head(&a) != Bytewise::head(&b) {
                assert_eq!(
                    Bytewise::head(&a).cmp(&Bytewise::head(&b)),
                    Bytewise::compare(&a, &b),
                    "{a:?} {b:?}"
                );
            }
        }
    }

    /// Between any two keys all others begin with what these have in common, and heads behind that are in order.
    #[test]
    fn heads_behind_a_common_beginning_are_in_order() {
        let keys = keys();
        let mut told_apart = 0;
        for low in 0..keys.len() {
            for high in low + 1..keys.len() {
                let skip = Bytewise::common_len(&keys[low], &keys[high]);
                let heads = keys[low..high].iter().map(|key| {
                    assert!(key.starts_with(&keys[low][..skip]), "{key:?}");
                    head_behind::<Bytewise>(key, skip)
                });
                assert!(heads.is_sorted());
                let heads = |low, high| [low, high].map(|at: usize| head_behind::<Bytewise>(&keys[at], skip));
                let [low, last] = heads(low, high - 1);
                told_apart += usize::from(skip > 8 && low < last);
            }
        }
        assert!(told_apart > 100);
        assert_eq!(head_behind::<Bytewise>(b"abc", 5), 0);
    }
}
