//! Persistent types for the unit tests of this floor, written as the derive would write them.

use std::marker::PhantomData;
use std::num::NonZeroU64;

use super::persistent::{Member, Niche, Persistent};
use super::schema::{Schema, SchemaBuilder, TypeIndex};
use super::shared::Hold;
use super::view::View;
use super::visit::{Invalid, Visit};

/// An owning pointer as the typed floor has it.
#[repr(transparent)]
pub(crate) struct Owner<T>(NonZeroU64, PhantomData<T>);

// SAFETY: a test type; eight bytes, never zero, that own what they point to.
unsafe impl<T: Persistent> Persistent for Owner<T> {
    type At<'q> = Owner<T::At<'q>>;
    fn describe(schema: &mut SchemaBuilder) -> TypeIndex {
        schema.owned::<Self, T>("Owner")
    }
    fn validate(view: View<'_>, visit: &mut Visit<'_>) -> Result<(), Invalid> {
        visit.own::<T>(view.u64(0)?, 1)
    }
}

// SAFETY: transparent over `NonZeroU64`.
unsafe impl<T: Persistent> Niche for Owner<T> {
    type NicheAt<'q> = Owner<T::At<'q>>;
}

/// A pointer to a shared block, strong or weak.
macro_rules! sharing {
    ($ty:ident, $shape:ident, $hold:ident) => {
        #[repr(transparent)]
        pub(crate) struct $ty<T>(NonZeroU64, PhantomData<T>);

        // SAFETY: a test type; eight bytes, never zero, that lead to a `SharedBlock`.
        unsafe impl<T: Persistent> Persistent for $ty<T> {
            type At<'q> = $ty<T::At<'q>>;
            fn describe(schema: &mut SchemaBuilder) -> TypeIndex {
                schema.$shape::<Self, T>(stringify!($ty))
            }
            fn validate(view: View<'_>, visit: &mut Visit<'_>) -> Result<(), Invalid> {
                visit.share::<Sharer<T>, T>(view.u64(0)?, Hold::$hold)
            }
        }
    };
}
sharing!(Sharer, shared, Strong);
sharing!(Watcher, weak, Weak);

/// A struct as the derive writes it.
macro_rules! members {
    ($ty:ident { $($field:ident : $kind:ty),* }) => {
        // SAFETY: a test type; `repr(C)`, checked field by field.
        unsafe impl Persistent for $ty {
            type At<'q> = $ty;
            const PLAIN: bool = Member::all_plain(Self::MEMBERS);
            const MEMBERS: &'static [Member] =
                &[$(Member::of::<$kind>(stringify!($field), std::mem::offset_of!($ty, $field))),*];
            fn describe(schema: &mut SchemaBuilder) -> TypeIndex {
                schema.structure::<Self>(stringify!($ty), Self::MEMBERS, |_| {})
            }
            fn validate(view: View<'_>, visit: &mut Visit<'_>) -> Result<(), Invalid> {
                Self::MEMBERS.iter().try_for_each(|member| member.validate(view, visit))
            }
        }
    };
}

#[repr(C)]
pub(crate) struct Root {
    head: Option<Owner<Account>>,
    kind: Kind,
    flags: [bool; 3],
    list: Slice,
    shared: Sharer<Account>,
    weak: Watcher<Account>,
    marker: PhantomData<u8>,
}
members!(Root {
    head: Option<Owner<Account>>,
    kind: Kind,
    flags: [bool; 3],
    list: Slice,
    shared: Sharer<Account>,
    weak: Watcher<Account>,
    marker: PhantomData<u8>
});

#[repr(C)]
struct Account {
    id: u64,
    age: u32,
    next: Option<Owner<Account>>,
}
members!(Account { id: u64, age: u32, next: Option<Owner<Account>> });

#[repr(C)]
struct Slice([u64; 2]);

// SAFETY: a test type.
unsafe impl Persistent for Slice {
    type At<'q> = Slice;
    fn describe(schema: &mut SchemaBuilder) -> TypeIndex {
        schema.slice::<Self, u16>("Slice")
    }
    fn validate(view: View<'_>, visit: &mut Visit<'_>) -> Result<(), Invalid> {
        visit.own::<u16>(view.u64(0)?, view.u64(8)?)
    }
}

#[repr(C)]
struct Kind(u8, u64);

// SAFETY: a test type.
unsafe impl Persistent for Kind {
    type At<'q> = Kind;
    const MEMBERS: &'static [Member] = &[Member::of::<u64>("0", 8)];
    fn describe(schema: &mut SchemaBuilder) -> TypeIndex {
        let variants = [("Empty", 0, 0), ("Full", 7, 1)];
        schema.enumeration::<Self, u8>("Kind", Self::MEMBERS, &variants, |_| {})
    }
    fn validate(view: View<'_>, _: &mut Visit<'_>) -> Result<(), Invalid> {
        view.u8(0).map(|_| ())
    }
}

/// A schema with every shape except the non-owning pointer.
pub(crate) fn sample() -> Schema {
    Schema::of::<Root>()
}
