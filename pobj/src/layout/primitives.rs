//! [`Persistent`] for the types that the language itself defines and whose layout it promises.

use std::marker::PhantomData;
use std::num::NonZero;

use super::persistent::{Niche, Persistent};
use super::schema::{Primitive, SchemaBuilder, TypeIndex};
use super::view::View;
use super::visit::{Invalid, Visit};

/// Types without a lifetime of which every bit pattern is a value.
macro_rules! plain {
    ($($ty:ty => $kind:ident),* $(,)?) => {$(
        // SAFETY: a primitive with a promised layout; all of its bit patterns are values and none is a pointer.
        unsafe impl Persistent for $ty {
            type At<'q> = $ty;
            const PLAIN: bool = true;

            fn describe(schema: &mut SchemaBuilder) -> TypeIndex {
                schema.primitive::<$ty>(Primitive::$kind)
            }

            #[inline]
            fn validate(_view: View<'_>, _visit: &mut Visit<'_>) -> Result<(), Invalid> {
                Ok(())
            }
        }
    )*};
}

plain! {
    u8 => U8, u16 => U16, u32 => U32, u64 => U64, u128 => U128,
    i8 => I8, i16 => I16, i32 => I32, i64 => I64, i128 => I128,
    f32 => F32, f64 => F64, () => Unit,
}

/// `NonZero` integers: everything but zero.
macro_rules! non_zero {
    ($($ty:ty => $kind:ident),* $(,)?) => {$(
        // SAFETY: `NonZero<T>` has the layout of `T`, and zero is the one bit pattern that is not a value.
        unsafe impl Persistent for NonZero<$ty> {
            type At<'q> = NonZero<$ty>;

            fn describe(schema: &mut SchemaBuilder) -> TypeIndex {
                schema.primitive::<NonZero<$ty>>(Primitive::$kind)
            }

            #[inline]
            fn validate(view: View<'_>, _visit: &mut Visit<'_>) -> Result<(), Invalid> {
                if view.is_zero() {
                    return Err(Invalid::new("a NonZero integer is zero", view.addr()));
                }
                Ok(())
            }
        }

        // SAFETY: the standard library promises that `Option<NonZero<T>>` has the layout of `T` with `None` as zero.
        unsafe impl Niche for NonZero<$ty> {
            type NicheAt<'q> = NonZero<$ty>;
        }
    )*};
}

non_zero! {
    u8 => NonZeroU8, u16 => NonZeroU16, u32 => NonZeroU32, u64 => NonZeroU64, u128 => NonZeroU128,
    i8 => NonZeroI8, i16 => NonZeroI16, i32 => NonZeroI32, i64 => NonZeroI64, i128 => NonZeroI128,
}

// SAFETY: `bool` is one byte, 0 or 1.
unsafe impl Persistent for bool {
    type At<'q> = bool;

    fn describe(schema: &mut SchemaBuilder) -> TypeIndex {
        schema.primitive::<bool>(Primitive::Bool)
    }

    #[inline]
    fn validate(view: View<'_>, _visit: &mut Visit<'_>) -> Result<(), Invalid> {
        match view.u8(0)? {
            0 | 1 => Ok(()),
            found => Err(Invalid::new(format!("a bool is {found}"), view.addr())),
        }
    }
}

// SAFETY: `char` is four bytes that hold a Unicode scalar value.
unsafe impl Persistent for char {
    type At<'q> = char;

    fn describe(schema: &mut SchemaBuilder) -> TypeIndex {
        schema.primitive::<char>(Primitive::Char)
    }

    #[inline]
    fn validate(view: View<'_>, _visit: &mut Visit<'_>) -> Result<(), Invalid> {
        let found = view.u32(0)?;
        match char::from_u32(found) {
            Some(_) => Ok(()),
            None => {
                Err(Invalid::new(format!("a char is {found:#x}, not a Unicode scalar value"), view.addr()))
            }
        }
    }
}

// SAFETY: an array is `N` values of `T` side by side; it is valid if each of them is.
unsafe impl<T: Persistent, const N: usize> Persistent for [T; N] {
    type At<'q> = [T::At<'q>; N];
    const PLAIN: bool = T::PLAIN || N == 0;

    fn describe(schema: &mut SchemaBuilder) -> TypeIndex {
        schema.array::<Self, T>(N as u64)
    }

    #[inline]
    fn validate(view: View<'_>, visit: &mut Visit<'_>) -> Result<(), Invalid> {
        if Self::PLAIN {
            return Ok(());
        }
        let size = size_of::<T>() as u64;
        for index in 0..N as u64 {
            T::validate(view.field(index * size, size)?, visit)?;
        }
        Ok(())
    }
}

// SAFETY: by the contract of `Niche`, all zero bytes are `None` and all other bytes are those of a `T`.
unsafe impl<T: Niche> Persistent for Option<T> {
    type At<'q> = Option<T::NicheAt<'q>>;

    fn describe(schema: &mut SchemaBuilder) -> TypeIndex {
        schema.option::<Self, T>()
    }

    #[inline]
    fn validate(view: View<'_>, visit: &mut Visit<'_>) -> Result<(), Invalid> {
        if view.is_zero() {
            return Ok(());
        }
        T::validate(view, visit)
    }
}

// SAFETY: no bytes at all.
unsafe impl<T: Persistent> Persistent for PhantomData<T> {
    type At<'q> = PhantomData<T::At<'q>>;
    const PLAIN: bool = true;

    fn describe(schema: &mut SchemaBuilder) -> TypeIndex {
        schema.phantom::<Self, T>()
    }

    #[inline]
    fn validate(_view: View<'_>, _visit: &mut Visit<'_>) -> Result<(), Invalid> {
        Ok(())
    }
}
