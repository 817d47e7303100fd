//! The trait that decides what may live in a pool.
//!
//! A pool outlives the process, the program and the compiler that wrote it. So a persistent type has a layout that
//! the language promises, owns nothing outside its pool, and can tell from raw bytes whether they are a value of
//! it. `#[derive(Persistent)]` writes the implementation and refuses, with advice, what cannot have one.
//!
//! **Families.** A type that holds persistent pointers carries the lifetime `'p` of the transaction that looks at
//! it. Each transaction has a fresh `'p`, so the type that is stored is really a family of types that differ in
//! this lifetime only; [`Persistent::At`] names the member for one lifetime. Constructors such as `PBox::new` ask
//! for `T: Persistent<At<'p> = T>`, which is how a box of another pool or of another transaction is refused.

use std::marker::PhantomData;

use super::schema::{SchemaBuilder, TypeIndex};
use super::view::View;
use super::visit::{Invalid, Visit};

/// A type whose values may live in a pool. Write `#[derive(Persistent)]`; do not implement it by hand.
///
/// # Safety
///
/// The implementer promises:
/// 1. The layout of `Self` is one that the language fixes (primitive, array, `repr(C)`, `repr(transparent)`, or an
///    enum with an explicit integer representation), and it does not depend on the lifetime: `Self` and
///    `Self::At<'q>` have the same layout and the same valid bytes for every `'q`.
/// 2. `Self` holds no pointer to anything outside its pool, no reference and no interior mutability that bypasses
///    the transaction, and has no `Drop` of the user.
/// 3. [`validate`](Self::validate) returns `Ok` only if the bytes in the view are a valid value of `Self`, given that
///    everything it passed to the [`Visit`] turns out to be valid too.
/// 4. [`PLAIN`](Self::PLAIN) is true only if every sequence of `size_of::<Self>()` bytes is a valid value, without
///    any pointer in it.
/// 5. [`describe`](Self::describe) reports the real size, alignment, offsets and targets.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be stored in a pool",
    label = "`{Self}` is not `Persistent`",
    note = "for a struct or enum of your own: add `#[derive(Persistent)]` and `#[repr(C)]` (enum: `#[repr(u8)]`) to it",
    note = "instead of `String` use `PString<'p>`, of `Vec<T>` `PVec<'p, T>`, of `Box<T>` `PBox<'p, T>`, of `HashMap<K, V>` `PHashMap<'p, K, V>`",
    note = "instead of `usize` use `u64`, of `isize` `i64`, of a tuple a `#[repr(C)]` struct, of a reference or raw pointer `PBox<'p, T>`",
    note = "instead of `Rc<T>` use `PRc<'p, T>`, of `Arc<T>` `PArc<'p, T>`, of a cell `PCell<'p, T>` or `PRefCell<'p, T>`",
    note = "instead of a lock or an atomic store the plain value and change it through the `&mut` of a transaction (`get_mut(tx)`)"
)]
pub unsafe trait Persistent: Sized {
    /// The same type with the lifetime `'q` in the place of its own.
    type At<'q>: Persistent<At<'q> = Self::At<'q>>;

    /// True if every bit pattern is a valid value and none of it is a pointer: validation skips such values.
    const PLAIN: bool = false;

    /// The fields, of all variants for an enum, as the derive lists them. The derive mentions each field's type only
    /// here, so that a type that is not persistent is one error and not one for each use.
    #[doc(hidden)]
    const MEMBERS: &'static [Member] = &[];

    /// Adds this type, and every type reachable from it, to the schema.
    fn describe(schema: &mut SchemaBuilder) -> TypeIndex;

    /// Checks that the bytes in `view` are a value of this type; hands pointers that it owns to `visit`.
    ///
    /// `view` covers exactly `size_of::<Self>()` bytes, aligned for `Self`.
    ///
    /// # Errors
    ///
    /// [`Invalid`] names the first byte that no value of this type has.
    fn validate(view: View<'_>, visit: &mut Visit<'_>) -> Result<(), Invalid>;
}

/// A persistent type `T` for which the language promises that `Option<T>` has the size of `T` and that `None` is all
/// zero bytes: the owning pointers and the `NonZero` integers.
///
/// # Safety
///
/// `Option<Self>` has the size and alignment of `Self`, its `None` is all zero bytes, every other bytes are `Some` of
/// the same bytes, and no value of `Self` is all zero.
#[diagnostic::on_unimplemented(
    message = "`Option<{Self}>` has no layout that a pool could rely on",
    label = "the language fixes the layout of `Option` only for pointers and `NonZero` integers",
    note = "use `POption<{Self}>`, `Option<PBox<'p, {Self}>>`, or a `NonZero` integer"
)]
pub unsafe trait Niche: Persistent {
    /// [`Persistent::At`] of the same type, which has a niche as well: always `Self::At<'q>`.
    type NicheAt<'q>: Niche<NicheAt<'q> = Self::NicheAt<'q>> + Persistent<At<'q> = Self::NicheAt<'q>>;
}

/// What the derive needs to know of a field, without its type.
#[doc(hidden)]
#[derive(Clone, Copy)]
pub struct Member {
    pub(super) name: &'static str,
    pub(super) offset: u64,
    size: u64,
    plain: bool,
    pub(super) describe: fn(&mut SchemaBuilder) -> TypeIndex,
    validate: fn(View<'_>, &mut Visit<'_>) -> Result<(), Invalid>,
}

/// From a whole `S` to its field `F`, both at the same lifetime. Such a function exists only if re-branding `S`
/// re-brands `F`; a field that stays `'static` has none.
#[doc(hidden)]
pub type Project<F, S> = for<'x, 'q> fn(
    &'x mut <S as Persistent>::At<'q>,
    PhantomData<&'q ()>,
) -> &'x mut <F as Persistent>::At<'q>;

impl Member {
    /// The field `name` of type `T`, `offset` bytes from the start of its struct or enum. The caller vouches that
    /// re-branding the whole re-brands the field.
    pub(crate) const fn of<T: Persistent>(name: &'static str, offset: usize) -> Self {
        Self {
            name,
            offset: offset as u64,
            size: size_of::<T>() as u64,
            plain: T::PLAIN,
            describe: T::describe,
            validate: T::validate,
        }
    }

    /// The field `name` of type `T` in the struct or enum `S`, with the proof that both re-brand together.
    #[must_use]
    pub const fn derived<T: Persistent, S: Persistent>(
        name: &'static str,
        offset: usize,
        _project: Project<T, S>,
    ) -> Self {
        Self::of::<T>(name, offset)
    }

    /// [`Persistent::PLAIN`] of a struct with these fields: padding between them may hold anything.
    #[must_use]
    pub const fn all_plain(members: &[Self]) -> bool {
        let mut index = 0;
        while index < members.len() {
            if !members[index].plain {
                return false;
            }
            index += 1;
        }
        true
    }

    /// Checks this field of the object in `view`.
    ///
    /// # Errors
    ///
    /// Those of the field's own check.
    #[inline(always)]
    pub fn validate(&self, view: View<'_>, visit: &mut Visit<'_>) -> Result<(), Invalid> {
        if self.plain {
            return Ok(());
        }
        (self.validate)(view.field(self.offset, self.size)?, visit)
    }
}
