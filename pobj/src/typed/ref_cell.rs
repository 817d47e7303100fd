//! [`PRefCell`]: a value that is borrowed for changing through `&`, one borrower at a time.
//!
//! The state of the borrows is never in the file. It is kept beside the running transaction, by the cell's address and
//! type ([`running::with_borrows`]), and goes with it; so a guard that was forgotten blocks the cell until then, and
//! no longer. A cell does not move while a guard of it lives, because the guard borrows it. Where no transaction runs
//! on the thread nobody can borrow for changing, and nothing is kept.
//!
//! - **C4** A guard exists only while the state of its cell says so, or where no guard for changing can exist.

use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use super::{StaysOnItsThread, cell_type};
use crate::ground::error::{Error, Result};
use crate::layout::Persistent;
use crate::layout::schema::erased_type_id;
use crate::tx::running::{self, Borrows, CellKey};
use crate::tx::{Brand, Tx};

/// A value that is borrowed for changing through a shared reference: `RefCell` for persistent data.
///
/// The rules of `&` and `&mut` hold at run time: many borrows, or one that may change. [`borrow_mut`](Self::borrow_mut)
/// remembers the whole value. Not `Sync`: while a transaction may change it, only that transaction's thread sees it.
///
/// ```
/// # use pobj::{PRc, PRefCell, PVec, Persistent, Pool};
/// #[derive(Persistent, Default)]
/// #[repr(C)]
/// struct App<'p> {
///     list: Option<PRc<'p, PRefCell<'p, PVec<'p, u64>>>>,
/// }
/// # let dir = tempfile::tempdir()?;
/// let pool = Pool::<App>::create(dir.path().join("app.pobj"))?;
/// pool.write(|app, tx| {
///     let list = PRc::new(tx, PRefCell::new(PVec::new()))?;
///     app.list = Some(list.clone(tx));
///     list.borrow_mut(tx).push(tx, 7)?;
///     assert_eq!(list.borrow().len(), 1);
///     Ok(())
/// })?;
/// assert_eq!(pool.read().list.as_ref().map(|list| list.borrow()[0]), Some(7));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[repr(C, align(8))]
pub struct PRefCell<'p, T> {
    value: UnsafeCell<T>,
    brand: Brand<'p>,
}

static_assertions::assert_eq_size!(PRefCell<'static, u8>, u64);
static_assertions::assert_not_impl_any!(PRefCell<'static, u8>: Sync);

cell_type!(PRefCell);

/// A borrow of a [`PRefCell`]'s value: [`PRefCell::borrow`].
pub struct PRef<'b, T> {
    /// Not a `&T`: that would have to stay true until the end of a function that drops the guard.
    value: NonNull<T>,
    /// Present if the borrow is counted.
    counted: Option<CellKey>,
    borrow: PhantomData<&'b T>,
    _stays: StaysOnItsThread,
}

/// A borrow of a [`PRefCell`]'s value that may change it: [`PRefCell::borrow_mut`].
pub struct PRefMut<'b, T> {
    value: NonNull<T>,
    key: CellKey,
    borrow: PhantomData<&'b mut T>,
    _stays: StaysOnItsThread,
}

impl<'p, T> PRefCell<'p, T> {
    /// A cell that holds `value`.
    pub const fn new(value: T) -> Self {
        Self { value: UnsafeCell::new(value), brand: PhantomData }
    }

    /// The value, for changing. Whoever has the `&mut` has remembered the bytes (I1), and no guard exists.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// The value, without the cell.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }

    fn key(&self) -> CellKey {
        (std::ptr::from_ref(self).addr(), erased_type_id::<Self>())
    }

    fn value(&self) -> NonNull<T> {
        // SAFETY: the address of a part of `self`.
        unsafe { NonNull::new_unchecked(self.value.get()) }
    }

    /// The value, for reading.
    ///
    /// # Panics
    ///
    /// Where [`try_borrow`](Self::try_borrow) gives an error.
    pub fn borrow(&self) -> PRef<'_, T> {
        match self.try_borrow() {
            Ok(guard) => guard,
            Err(error) => panic!("PRefCell::borrow: {error}"),
        }
    }

    /// The value, for reading.
    ///
    /// # Errors
    ///
    /// [`Error::AlreadyBorrowed`] while it is borrowed for changing.
    pub fn try_borrow(&self) -> Result<PRef<'_, T>> {
        let key = self.key();
        let granted = running::with_borrows(key, |state| {
            let count = match state {
                None => 1,
                Some(Borrows::Shared(count)) => count.checked_add(1)?,
                Some(Borrows::Mutable) => return None,
            };
            *state = Some(Borrows::Shared(count));
            Some(key)
        });
        let counted = match granted {
            Some(None) => return Err(Error::AlreadyBorrowed),
            Some(counted) => counted,
            None => None,
        };
        Ok(PRef { value: self.value(), counted, borrow: PhantomData, _stays: StaysOnItsThread::HERE })
    }

    /// The value, for changing. Its bytes are remembered first (I1).
    ///
    /// # Panics
    ///
    /// Where [`try_borrow_mut`](Self::try_borrow_mut) gives an error.
    pub fn borrow_mut(&self, tx: &Tx<'p>) -> PRefMut<'_, T> {
        match self.try_borrow_mut(tx) {
            Ok(guard) => guard,
            Err(error) => panic!("PRefCell::borrow_mut: {error}"),
        }
    }

    /// The value, for changing. Its bytes are remembered first (I1).
    ///
    /// # Errors
    ///
    /// [`Error::AlreadyBorrowed`] while it is borrowed.
    pub fn try_borrow_mut(&self, tx: &Tx<'p>) -> Result<PRefMut<'_, T>> {
        let key = self.key();
        let granted = running::with_borrows(key, |state| match state {
            None => {
                *state = Some(Borrows::Mutable);
                true
            }
            Some(_) => false,
        });
        if granted != Some(true) {
            return Err(Error::AlreadyBorrowed);
        }
        super::remember_cell(self, tx);
        Ok(PRefMut { value: self.value(), key, borrow: PhantomData, _stays: StaysOnItsThread::HERE })
    }

    /// Changes the value, and gives the old one.
    ///
    /// # Panics
    ///
    /// While it is borrowed.
    pub fn replace(&self, value: T, tx: &Tx<'p>) -> T {
        std::mem::replace(&mut *self.borrow_mut(tx), value)
    }

    /// Takes the value and leaves the default.
    ///
    /// # Panics
    ///
    /// While it is borrowed.
    pub fn take(&self, tx: &Tx<'p>) -> T
    where
        T: Default,
    {
        self.replace(T::default(), tx)
    }
}

impl<T> Deref for PRef<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: C4: nobody changes the value while this guard lives; the guard borrows the cell.
        unsafe { self.value.as_ref() }
    }
}

impl<T> Deref for PRefMut<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: C4: this is the only guard; it borrows the cell.
        unsafe { self.value.as_ref() }
    }
}

impl<T> DerefMut for PRefMut<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: C4: this is the only guard; it borrows the cell. Remembered when it was made (I1).
        unsafe { self.value.as_mut() }
    }
}

impl<T> Drop for PRef<'_, T> {
    fn drop(&mut self) {
        let Some(key) = self.counted else { return };
        running::with_borrows(key, |state| {
            *state = match *state {
                Some(Borrows::Shared(count)) if count > 1 => Some(Borrows::Shared(count - 1)),
                _ => None,
            };
        });
    }
}

impl<T> Drop for PRefMut<'_, T> {
    fn drop(&mut self) {
        running::with_borrows(self.key, |state| *state = None);
    }
}

impl<T: fmt::Debug> fmt::Debug for PRef<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: fmt::Debug> fmt::Debug for PRefMut<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: Default> Default for PRefCell<'_, T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for PRefCell<'_, T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: fmt::Debug> fmt::Debug for PRefCell<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cell = f.debug_tuple("PRefCell");
        match self.try_borrow() {
            Ok(value) => cell.field(&*value).finish(),
            Err(_) => cell.field(&format_args!("<borrowed>")).finish(),
        }
    }
}
