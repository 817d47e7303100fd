//! Bytes of the image that are not yet known to be a value.
//!
//! Validation must not make a `&T` before it knows that a `T` is there: a `bool` of 2 behind a reference is already
//! undefined behaviour. A [`View`] reads fixed-width integers, for which every bit pattern is valid, at offsets that
//! it checks against its own length.
//!
//! Invariant **V1**: the bytes `addr .. addr + len` of a view are mapped and readable, their provenance is exposed,
//! and nobody writes them during `'a`. [`View::new`] asks for it, [`View::field`] keeps it, every read rests on it.

use std::marker::PhantomData;

use super::visit::Invalid;

/// A bounds-checked window on the raw bytes of one object in the image.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    addr: u64,
    len: u64,
    bytes: PhantomData<&'a [u8]>,
}

/// Defines one method that reads an integer at an offset.
macro_rules! read {
    ($($name:ident)*) => {$(
        #[doc = concat!("The `", stringify!($name), "` at `offset`, which need not be aligned.")]
        ///
        /// # Errors
        ///
        /// [`Invalid`] if it would reach past the end of the view.
        #[inline]
        pub fn $name(self, offset: u64) -> Result<$name, Invalid> {
            let field = self.field(offset, size_of::<$name>() as u64)?;
            let source = std::ptr::with_exposed_provenance::<$name>(field.addr as usize);
            // SAFETY: V1 for the field, which has exactly this many bytes; an integer has no invalid bytes.
            Ok(unsafe { source.read_unaligned() })
        }
    )*};
}

impl<'a> View<'a> {
    /// A view of `len` bytes at `addr`.
    ///
    /// # Safety
    ///
    /// V1: the bytes are mapped and readable, their provenance is exposed, and nobody writes them during `'a`.
    /// Those that will be read are initialised.
    #[inline]
    #[must_use]
    pub unsafe fn new(addr: u64, len: u64) -> Self {
        Self { addr, len, bytes: PhantomData }
    }

    /// Address of the first byte.
    #[inline]
    #[must_use]
    pub fn addr(self) -> u64 {
        self.addr
    }

    /// Length in bytes.
    #[inline]
    #[must_use]
    pub fn len(self) -> u64 {
        self.len
    }

    /// True for the view of a value without bytes.
    #[inline]
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len == 0
    }

    /// The view of `len` bytes at `offset` in this one.
    ///
    /// # Errors
    ///
    /// [`Invalid`] if they reach past the end of this view.
    #[inline]
    pub fn field(self, offset: u64, len: u64) -> Result<View<'a>, Invalid> {
        match offset.checked_add(len) {
            // V1 holds for the part because it holds for the whole.
            Some(end) if end <= self.len => Ok(View { addr: self.addr + offset, len, bytes: PhantomData }),
            _ => Err(Invalid::new("a field reaches past the end of its object", self.addr)),
        }
    }

    read! { u8 u16 u32 u64 u128 }

    /// True if every byte is zero.
    #[inline]
    #[must_use]
    pub fn is_zero(self) -> bool {
        match self.len {
            8 => self.u64(0) == Ok(0),
            4 => self.u32(0) == Ok(0),
            len => (0..len).all(|offset| self.u8(offset) == Ok(0)),
        }
    }

    /// True if the bytes are UTF-8.
    #[must_use]
    pub fn is_utf8(self) -> bool {
        let first = std::ptr::with_exposed_provenance::<u8>(self.addr as usize);
        // SAFETY: V1; a view of more than `isize::MAX` bytes cannot be mapped.
        let bytes = unsafe { std::slice::from_raw_parts(first, self.len as usize) };
        std::str::from_utf8(bytes).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view_of<T>(value: &T) -> View<'_> {
        let addr = std::ptr::from_ref(value).expose_provenance() as u64;
        // SAFETY: V1: the bytes are those of a live shared reference, which `'a` keeps unwritten.
        unsafe { View::new(addr, size_of::<T>() as u64) }
    }

    #[test]
    fn integers_are_read_at_any_offset() {
        let bytes: [u8; 24] = std::array::from_fn(|i| i as u8);
        let view = view_of(&bytes);
        assert_eq!(view.u8(3), Ok(3));
        assert_eq!(view.u16(1), Ok(u16::from_ne_bytes([1, 2])));
        assert_eq!(view.u32(5), Ok(u32::from_ne_bytes([5, 6, 7, 8])));
        assert_eq!(view.u64(16), Ok(u64::from_ne_bytes(std::array::from_fn(|i| 16 + i as u8))));
        assert_eq!(view.u128(7), Ok(u128::from_ne_bytes(std::array::from_fn(|i| 7 + i as u8))));
    }

    #[test]
    fn reading_past_the_end_is_an_error() {
        let bytes = [0u8; 8];
        let view = view_of(&bytes);
        assert!(view.u64(0).is_ok());
        assert!(view.u64(1).is_err());
        assert!(view.u8(8).is_err());
        assert!(view.field(u64::MAX, 2).is_err());
        assert!(view.field(8, 0).is_ok());
        assert!(view.field(4, 4).and_then(|part| part.u32(1)).is_err());
    }

    #[test]
    fn zero_is_recognised_at_every_length() {
        for len in 0..=16 {
            let mut bytes = [0u8; 16];
            assert!(view_of(&bytes).field(0, len).unwrap().is_zero());
            if len > 0 {
                bytes[len as usize - 1] = 1;
                assert!(!view_of(&bytes).field(0, len).unwrap().is_zero());
            }
        }
    }
}
