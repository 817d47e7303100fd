//! `persistent_struct!`: what the derive writes for a user's struct, for the structs of the collections floor.
//!
//! Those hold crate-private parts, check more than their fields when a pool is opened, and are to contain no
//! `unsafe`; so its one line is here. The macro relies on what the derive checks for users: the struct is `repr(C)` or
//! `repr(transparent)`, lists all of its fields, and has no `Drop` of its own. The list is checked by a pattern
//! that names every field; the rest is the reviewer's.

/// Implements [`Persistent`](crate::layout::Persistent) for a `repr(C)` struct.
///
/// `check` is a function of the whole object's view; it must do at least what the fields' own checks do.
macro_rules! persistent_struct {
    (
        impl[$($generics:tt)*] $name:ident[$($of:tt)*] called $label:literal[$($argument:ty),*];
        at<$q:lifetime> = $at:ty;
        fields { $($field:ident: $ty:ty),+ $(,)? }
        check = $check:expr;
    ) => {
        // SAFETY: `repr(C)` or `repr(transparent)`, the same at every lifetime because the fields are; all fields are
        // persistent; `check` does at least what the fields' own checks do; plain if all fields are.
        unsafe impl<$($generics)*> $crate::layout::Persistent for $name<$($of)*> {
            type At<$q> = $at;
            const PLAIN: bool = $crate::layout::persistent::Member::all_plain(Self::MEMBERS);
            const MEMBERS: &'static [$crate::layout::persistent::Member] = &[$(
                $crate::layout::persistent::Member::of::<$ty>(stringify!($field), std::mem::offset_of!(Self, $field)),
            )+];

            fn describe(schema: &mut $crate::layout::SchemaBuilder) -> $crate::layout::TypeIndex {
                let _every_field_is_listed = |value: &Self| {
                    let $name { $($field: _),+ } = value;
                };
                schema.structure::<Self>($label, Self::MEMBERS, |_arguments| {
                    $(_arguments.of_type::<$argument>();)*
                })
            }

            #[inline]
            fn validate(
                view: $crate::layout::View<'_>,
                visit: &mut $crate::layout::Visit<'_>,
            ) -> Result<(), $crate::layout::Invalid> {
                if Self::PLAIN {
                    return Ok(());
                }
                $check(view, visit)
            }
        }
    };
}

/// Implements [`Persistent`](crate::layout::Persistent) for a `repr(transparent)` wrapper of a
/// [`PBuf`](super::PBuf): a schema's slice under the wrapper's own name.
macro_rules! persistent_slice {
    (impl[$($generics:tt)*] $name:ident[$($of:tt)*] called $label:literal; at<$q:lifetime> = $at:ty; of $item:ty;) => {
        // SAFETY: transparent over a `PBuf`, which checks itself; the same at every lifetime.
        unsafe impl<$($generics)*> $crate::layout::Persistent for $name<$($of)*> {
            type At<$q> = $at;

            fn describe(schema: &mut $crate::layout::SchemaBuilder) -> $crate::layout::TypeIndex {
                schema.slice::<Self, $item>($label)
            }

            #[inline]
            fn validate(
                view: $crate::layout::View<'_>,
                visit: &mut $crate::layout::Visit<'_>,
            ) -> Result<(), $crate::layout::Invalid> {
                <$crate::typed::PBuf<'p, $item> as $crate::layout::Persistent>::validate(view, visit)
            }
        }
    };
}

pub(crate) use {persistent_slice, persistent_struct};
