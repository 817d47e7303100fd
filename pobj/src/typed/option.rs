//! [`POption`]: an `Option` whose layout the compiler may not change.

use std::fmt;
use std::ops::{Deref, DerefMut};

use crate::layout::persistent::Member;
use crate::layout::{Invalid, Persistent, SchemaBuilder, TypeIndex, View, Visit};

/// An `Option` for values without a niche: `Option<u64>` for persistent data.
///
/// `Option<PBox<T>>` and `Option<NonZero<u64>>` have a layout that the language promises; `Option<u64>` has not. This one
/// is a byte and, aligned behind it, the value. It becomes a standard `Option` at any time ([`as_ref`](Self::as_ref),
/// [`copied`](Self::copied), [`into_option`](Self::into_option)) and is made from one with `into()`.
///
/// ```
/// # use pobj::{POption, Persistent, Pool};
/// #[derive(Persistent, Default)]
/// #[repr(C)]
/// struct Account {
///     limit: POption<u64>,
/// }
/// # let dir = tempfile::tempdir()?;
/// let pool = Pool::<Account>::create(dir.path().join("account.pobj"))?;
/// pool.write(|account, _| {
///     account.limit = Some(100).into();
///     Ok(())
/// })?;
/// assert_eq!(pool.read().limit.copied(), Some(100));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum POption<T> {
    /// No value.
    #[default]
    None = 0,
    /// A value.
    Some(T) = 1,
}

impl<T> POption<T> {
    /// A value follows its tag of one byte at the next place that is aligned for it: `repr(u8)`.
    const VALUE_OFFSET: usize = align_of::<T>();
    const LAYOUT_HOLDS: () = {
        let end = Self::VALUE_OFFSET + size_of::<T>();
        assert!(size_of::<Self>() == end.next_multiple_of(align_of::<T>()));
    };

    /// As a standard `Option`.
    pub const fn as_ref(&self) -> Option<&T> {
        match self {
            Self::Some(value) => Some(value),
            Self::None => None,
        }
    }

    /// As a standard `Option`, for changing the value.
    pub const fn as_mut(&mut self) -> Option<&mut T> {
        match self {
            Self::Some(value) => Some(value),
            Self::None => None,
        }
    }

    /// As a standard `Option` of what the value derefs to.
    pub fn as_deref(&self) -> Option<&T::Target>
    where
        T: Deref,
    {
        self.as_ref().map(|value| &**value)
    }

    /// As a standard `Option` of what the value derefs to, for changing it.
    pub fn as_deref_mut(&mut self) -> Option<&mut T::Target>
    where
        T: DerefMut,
    {
        self.as_mut().map(|value| &mut **value)
    }

    /// Turns it into a standard `Option`.
    pub fn into_option(self) -> Option<T> {
        match self {
            Self::Some(value) => Some(value),
            Self::None => None,
        }
    }

    /// A copy of the value as a standard `Option`.
    pub const fn copied(&self) -> Option<T>
    where
        T: Copy,
    {
        match self {
            Self::Some(value) => Some(*value),
            Self::None => None,
        }
    }

    /// True if there is a value.
    pub const fn is_some(&self) -> bool {
        matches!(self, Self::Some(_))
    }

    /// True if there is no value.
    pub const fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// True if there is a value and `test` likes it.
    pub fn is_some_and(self, test: impl FnOnce(T) -> bool) -> bool {
        self.into_option().is_some_and(test)
    }

    /// What `change` makes of the value, if there is one.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> POption<U> {
        match self {
            Self::Some(value) => POption::Some(change(value)),
            Self::None => POption::None,
        }
    }

    /// The value, or `default`.
    pub fn unwrap_or(self, default: T) -> T {
        self.into_option().unwrap_or(default)
    }

    /// The value, or the type's default.
    pub fn unwrap_or_default(self) -> T
    where
        T: Default,
    {
        self.into_option().unwrap_or_default()
    }

    /// Takes the value and leaves nothing.
    pub fn take(&mut self) -> Option<T> {
        std::mem::take(self).into_option()
    }

    /// Puts a value in, and gives the old one.
    pub fn replace(&mut self, value: T) -> Option<T> {
        std::mem::replace(self, Self::Some(value)).into_option()
    }

    /// Puts a value in, drops the old one, and gives the new one for changing.
    pub fn insert(&mut self, value: T) -> &mut T {
        *self = Self::None;
        self.get_or_insert(value)
    }

    /// The value for changing; `value` if there is none.
    pub fn get_or_insert(&mut self, value: T) -> &mut T {
        self.get_or_insert_with(|| value)
    }

    /// The value for changing; what `make` gives if there is none.
    pub fn get_or_insert_with(&mut self, make: impl FnOnce() -> T) -> &mut T {
        if self.is_none() {
            *self = Self::Some(make());
        }
        match self {
            Self::Some(value) => value,
            Self::None => unreachable!("it was just put there"),
        }
    }

    /// An iterator over the value, if there is one.
    pub fn iter(&self) -> std::option::IntoIter<&T> {
        self.as_ref().into_iter()
    }
}

impl<T> From<Option<T>> for POption<T> {
    fn from(option: Option<T>) -> Self {
        match option {
            Some(value) => Self::Some(value),
            None => Self::None,
        }
    }
}

impl<T> From<POption<T>> for Option<T> {
    fn from(option: POption<T>) -> Self {
        option.into_option()
    }
}

impl<T> From<T> for POption<T> {
    fn from(value: T) -> Self {
        Self::Some(value)
    }
}

impl<T> IntoIterator for POption<T> {
    type Item = T;
    type IntoIter = std::option::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.into_option().into_iter()
    }
}

impl<T: PartialEq> PartialEq<Option<T>> for POption<T> {
    fn eq(&self, other: &Option<T>) -> bool {
        self.as_ref() == other.as_ref()
    }
}

impl<T: fmt::Display> fmt::Display for POption<T> {
    /// The value, or nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().map_or(Ok(()), |value| value.fmt(f))
    }
}

// SAFETY: `repr(u8)` fixes the layout: a tag of 0 or 1 and, for 1, the value at the next aligned place. Validation checks
// both.
unsafe impl<T: Persistent> Persistent for POption<T> {
    type At<'q> = POption<T::At<'q>>;
    const MEMBERS: &'static [Member] = &[Member::of::<T>("0", Self::VALUE_OFFSET)];

    fn describe(schema: &mut SchemaBuilder) -> TypeIndex {
        let variants = [("None", 0, 0), ("Some", 1, 1)];
        schema.enumeration::<Self, u8>("POption", Self::MEMBERS, &variants, |arguments| {
            arguments.of_type::<T>();
        })
    }

    #[inline]
    fn validate(view: View<'_>, visit: &mut Visit<'_>) -> Result<(), Invalid> {
        const { Self::LAYOUT_HOLDS };
        match view.u8(0)? {
            0 => Ok(()),
            1 => Self::MEMBERS[0].validate(view, visit),
            found => Err(Invalid::new(format!("the tag of a POption is {found}"), view.addr())),
        }
    }
}
