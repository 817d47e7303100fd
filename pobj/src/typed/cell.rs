//! [`PCell`]: a value that changes through `&`.
//!
//! - **C1** The content of a cell is read and written through raw pointers from its `UnsafeCell`; nobody has a
//!   reference to it but who borrows the cell itself as `&mut` (or through the guards of
//!   [`PRefCell`](super::PRefCell)).
//! - **C2** A cell takes whole 8-byte words, so remembering its bytes looks at no byte of a neighbour, which somebody
//!   may have borrowed as `&mut`.
//! - **C3** A cell of brand `'p` lies in the pool of `'p` or in ordinary memory of the thread, never in another pool. In
//!   the pool its bytes are remembered before they change (I1); in ordinary memory there is nothing to remember.

use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;

use super::cell_type;
use crate::layout::Persistent;
use crate::tx::{Brand, Tx};

/// A `Copy` value that changes through a shared reference: `Cell` for persistent data.
///
/// For a counter in something that is shared, as through [`PRc`](crate::PRc). Where you have a `&mut`, a plain field does
/// the same at less cost: a cell takes whole 8-byte words, and each change remembers them.
///
/// Not `Sync`: while a transaction may change it, only that transaction's thread sees it.
///
/// ```
/// # use pobj::{PCell, PRc, Persistent, Pool};
/// #[derive(Persistent, Default)]
/// #[repr(C)]
/// struct Page<'p> {
///     visits: PCell<'p, u64>,
/// }
/// #[derive(Persistent, Default)]
/// #[repr(C)]
/// struct App<'p> {
///     page: Option<PRc<'p, Page<'p>>>,
/// }
/// # let dir = tempfile::tempdir()?;
/// let pool = Pool::<App>::create(dir.path().join("app.pobj"))?;
/// pool.write(|app, tx| {
///     let page = PRc::new(tx, Page::default())?;
///     app.page = Some(page.clone(tx));
///     page.visits.set(41, tx);
///     page.visits.update(tx, |visits| visits + 1);
///     Ok(())
/// })?;
/// assert_eq!(pool.read().page.as_ref().map(|page| page.visits.get()), Some(42));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[repr(C, align(8))]
pub struct PCell<'p, T> {
    value: UnsafeCell<T>,
    brand: Brand<'p>,
}

static_assertions::assert_eq_size!(PCell<'static, u8>, u64);
static_assertions::assert_not_impl_any!(PCell<'static, u8>: Sync);

cell_type!(PCell);

impl<'p, T> PCell<'p, T> {
    /// A cell that holds `value`.
    pub const fn new(value: T) -> Self {
        Self { value: UnsafeCell::new(value), brand: PhantomData }
    }

    /// The value, for changing. Whoever has the `&mut` has remembered the bytes (I1).
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// The value, without the cell.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<'p, T: Copy> PCell<'p, T> {
    /// The value.
    #[inline]
    pub fn get(&self) -> T {
        // SAFETY: C1; T3, and the cell is not `Sync`: nobody writes meanwhile.
        unsafe { self.value.get().read() }
    }

    /// Changes the value.
    pub fn set(&self, value: T, tx: &Tx<'p>) {
        super::remember_cell(self, tx);
        // SAFETY: C1, C3; remembered just now (I1). Not `Sync`, and `tx` is the writer's: nobody reads meanwhile. The old
        // value is `Copy`, so nothing is lost.
        unsafe { self.value.get().write(value) };
    }

    /// Changes the value, and gives the old one.
    pub fn replace(&self, value: T, tx: &Tx<'p>) -> T {
        let old = self.get();
        self.set(value, tx);
        old
    }

    /// Exchanges the values of two cells.
    pub fn swap(&self, other: &Self, tx: &Tx<'p>) {
        self.set(other.replace(self.get(), tx), tx);
    }

    /// Changes the value to what `change` makes of it.
    pub fn update(&self, tx: &Tx<'p>, change: impl FnOnce(T) -> T) {
        self.set(change(self.get()), tx);
    }

    /// Takes the value and leaves the default.
    pub fn take(&self, tx: &Tx<'p>) -> T
    where
        T: Default,
    {
        self.replace(T::default(), tx)
    }
}

impl<T: Copy> Clone for PCell<'_, T> {
    fn clone(&self) -> Self {
        Self::new(self.get())
    }
}

impl<T: Default> Default for PCell<'_, T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for PCell<'_, T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: Copy + PartialEq> PartialEq for PCell<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl<T: Copy + Eq> Eq for PCell<'_, T> {}

impl<T: Copy + fmt::Debug> fmt::Debug for PCell<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PCell").field(&self.get()).finish()
    }
}
