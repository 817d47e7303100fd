//! What the code that `#[derive(Persistent)]` and `tx!` emit refers to. Not part of the API.

pub use crate::layout::persistent::{Member, Niche, Persistent, Project};
pub use crate::layout::schema::{Arguments, SchemaBuilder, TypeIndex};
pub use crate::layout::view::View;
pub use crate::layout::visit::{Invalid, Visit};

/// The value, if its type may be stored in a pool: `tx!` wraps the right side of each assignment in it.
#[inline(always)]
pub fn stored<T: Persistent>(value: T) -> T {
    value
}

/// A type through which `tx!` may name a field: one without `DerefMut`, whose code would run on bytes that are not
/// logged yet. A type with it implements this twice, so that the call cannot be resolved.
pub trait PlainPlace<MustNotImplementDerefMut> {
    /// Checks at compile time; never called.
    fn check(_: *const Self) {}
}

impl<T: ?Sized> PlainPlace<()> for T {}

impl<T: ?Sized + std::ops::DerefMut> PlainPlace<u8> for T {}

/// A type in which `tx!` may name an element: an array, whose indexing runs no code.
#[diagnostic::on_unimplemented(
    message = "elements of `{Self}` cannot be assigned by index",
    label = "not an array",
    note = "borrow the element for changing: `if let Some(element) = list.get_mut(index, tx) {{ *element = value }}`"
)]
pub trait IndexedPlace {}

impl<T, const N: usize> IndexedPlace for [T; N] {}

/// Checks at compile time; never called.
pub fn indexed_place<T: IndexedPlace + ?Sized>(_: *const T) {}
