//! What a [`Typed`] view can do beyond the common, where the engine is [`Ordered`].

use std::ops::{Bound, ControlFlow, RangeBounds};

use super::{Order, Ordered, Seek};
use crate::ground::error::Result;
use crate::kv::typed::{each_seen, seen};
use crate::kv::{Code, Typed};

/// A bound in bytes.
fn bound<K: Code + ?Sized>(bound: Bound<&K>) -> Bound<Vec<u8>> {
    bound.map(|key| key.bytes().as_ref().to_vec())
}

/// Ranges and neighbours, in the order of the keys' bytes (or the store's own order). That is the order of the values for
/// numbers and text: see [`Code`].
impl<K: Code + ?Sized, V: Code + ?Sized, O: Order> Typed<'_, K, V, Ordered<O>> {
    /// Shows the records of a range to `each`, until it breaks off; see [`Store::range`](crate::kv::Store::range).
    ///
    /// ```
    /// use std::ops::ControlFlow;
    ///
    /// use pobj::kv::{Ordered, Seek, Store, Typed};
    ///
    /// # let dir = tempfile::tempdir()?;
    /// let store = Store::<Ordered>::create(dir.path().join("heights.pobj"))?;
    /// let places = Typed::<i32, str, Ordered>::new(&store);
    /// for (height, place) in [(4810, "Mont Blanc"), (-430, "Dead Sea"), (260, "Basel")] {
    ///     places.put(&height, place)?;
    /// }
    /// let mut above = Vec::new();
    /// let _: ControlFlow<()> = places.range(0.., |height, place| {
    ///     above.push(format!("{place} {height}"));
    ///     ControlFlow::Continue(())
    /// })?;
    /// assert_eq!(above, ["Basel 260", "Mont Blanc 4810"]);
    /// let lowest = places.seek(Seek::First, |height, place| (height, place.to_owned()))?;
    /// assert_eq!(lowest, Some((-430, "Dead Sea".to_owned())));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Store::range`](crate::kv::Store::range), and [`Undecodable`](crate::Error::Undecodable).
    pub fn range<B>(
        &self,
        range: impl RangeBounds<K>,
        each: impl FnMut(K::Seen<'_>, V::Seen<'_>) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>> {
        let bounds = (bound(range.start_bound()), bound(range.end_bound()));
        let mut each = each_seen::<K, V, B>(each);
        match self.store().range(bounds, |key, value| each(key, value))? {
            ControlFlow::Continue(()) => Ok(ControlFlow::Continue(())),
            ControlFlow::Break(result) => result.map(ControlFlow::Break),
        }
    }

    /// Number of records in a range.
    ///
    /// # Errors
    ///
    /// As [`Store::count_range`](crate::kv::Store::count_range).
    pub fn count_range(&self, range: impl RangeBounds<K>) -> Result<usize> {
        self.store().count_range((bound(range.start_bound()), bound(range.end_bound())))
    }

    /// Lends the record at a place to `look`; see [`Store::seek`](crate::kv::Store::seek).
    ///
    /// # Errors
    ///
    /// As [`Store::seek`](crate::kv::Store::seek), and [`Undecodable`](crate::Error::Undecodable).
    pub fn seek<T>(
        &self,
        place: Seek<'_, K>,
        look: impl FnOnce(K::Seen<'_>, V::Seen<'_>) -> T,
    ) -> Result<Option<T>> {
        let look = |key: &[u8], value: &[u8]| Ok(look(seen::<K>(key)?, seen::<V>(value)?));
        let found = match place {
            Seek::First => self.store().seek(Seek::First, look),
            Seek::Last => self.store().seek(Seek::Last, look),
            Seek::Lower(key) => self.store().seek(Seek::Lower(key.bytes().as_ref()), look),
            Seek::LowerEq(key) => self.store().seek(Seek::LowerEq(key.bytes().as_ref()), look),
            Seek::Higher(key) => self.store().seek(Seek::Higher(key.bytes().as_ref()), look),
            Seek::HigherEq(key) => self.store().seek(Seek::HigherEq(key.bytes().as_ref()), look),
        };
        found?.transpose()
    }
}
