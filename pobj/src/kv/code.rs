//! [`Code`]: types as bytes, for [`Typed`](super::Typed).

/// How a type is kept as the key or the value of a record.
///
/// | Type | Bytes |
/// |---|---|
/// | `u8` to `u128` | big-endian, so that the order of the bytes is the order of the numbers |
/// | `i8` to `i128` | big-endian with the sign bit turned, for the same reason |
/// | `bool` | one byte, 0 or 1 |
/// | `str`, `String` | UTF-8 |
/// | `[u8]`, `Vec<u8>`, `[u8; N]` | themselves |
/// | [`Plain<T>`] | the bytes of a `bytemuck::Pod` type as they lie in memory |
///
/// A type of your own implements it: `bytes` and `seen` are each other's inverse. Nothing unsafe rests on that: bytes that are
/// no value of the type are [`Error::Undecodable`](crate::Error::Undecodable).
///
/// ```
/// use pobj::kv::Code;
///
/// struct Celsius(f64);
///
/// impl Code for Celsius {
///     type Bytes<'a> = [u8; 8];
///     type Seen<'a> = Celsius;
///
///     fn bytes(&self) -> [u8; 8] {
///         self.0.to_be_bytes()
///     }
///
///     fn seen(bytes: &[u8]) -> Option<Celsius> {
///         Some(Celsius(f64::from_be_bytes(bytes.try_into().ok()?)))
///     }
/// }
/// assert_eq!(Celsius::seen(&Celsius(21.5).bytes()).unwrap().0, 21.5);
/// ```
pub trait Code {
    /// What [`bytes`](Self::bytes) gives.
    type Bytes<'a>: AsRef<[u8]>
    where
        Self: 'a;

    /// What a look at stored bytes gives: the value itself, or something that borrows from the store.
    type Seen<'a>;

    /// The value as bytes.
    fn bytes(&self) -> Self::Bytes<'_>;

    /// What `bytes` mean; `None` if they are no value of this type.
    fn seen(bytes: &[u8]) -> Option<Self::Seen<'_>>;
}

macro_rules! unsigned {
    ($($ty:ty)*) => {$(
        impl Code for $ty {
            type Bytes<'a> = [u8; size_of::<$ty>()];
            type Seen<'a> = $ty;

            #[inline]
            fn bytes(&self) -> Self::Bytes<'_> {
                self.to_be_bytes()
            }

            #[inline]
            fn seen(bytes: &[u8]) -> Option<$ty> {
                bytes.try_into().ok().map(<$ty>::from_be_bytes)
            }
        }
    )*};
}

macro_rules! signed {
    ($($ty:ty)*) => {$(
        impl Code for $ty {
            type Bytes<'a> = [u8; size_of::<$ty>()];
            type Seen<'a> = $ty;

            #[inline]
            fn bytes(&self) -> Self::Bytes<'_> {
                // The sign bit turned: negative numbers come first.
                (self ^ <$ty>::MIN).to_be_bytes()
            }

            #[inline]
            fn seen(bytes: &[u8]) -> Option<$ty> {
                bytes.try_into().ok().map(|bytes| <$ty>::from_be_bytes(bytes) ^ <$ty>::MIN)
            }
        }
    )*};
}

unsigned!(u8 u16 u32 u64 u128);
signed!(i8 i16 i32 i64 i128);

impl Code for bool {
    type Bytes<'a> = [u8; 1];
    type Seen<'a> = bool;

    fn bytes(&self) -> [u8; 1] {
        [u8::from(*self)]
    }

    fn seen(bytes: &[u8]) -> Option<bool> {
        match bytes {
            [0] => Some(false),
            [1] => Some(true),
            _ => None,
        }
    }
}

impl Code for [u8] {
    type Bytes<'a> = &'a [u8];
    type Seen<'a> = &'a [u8];

    fn bytes(&self) -> &[u8] {
        self
    }

    fn seen(bytes: &[u8]) -> Option<&[u8]> {
        Some(bytes)
    }
}

impl Code for Vec<u8> {
    type Bytes<'a> = &'a [u8];
    type Seen<'a> = Vec<u8>;

    fn bytes(&self) -> &[u8] {
        self
    }

    fn seen(bytes: &[u8]) -> Option<Vec<u8>> {
        Some(bytes.to_vec())
    }
}

impl<const N: usize> Code for [u8; N] {
    type Bytes<'a> = &'a [u8; N];
    type Seen<'a> = [u8; N];

    fn bytes(&self) -> &[u8; N] {
        self
    }

    fn seen(bytes: &[u8]) -> Option<[u8; N]> {
        bytes.try_into().ok()
    }
}

impl Code for str {
    type Bytes<'a> = &'a str;
    type Seen<'a> = &'a str;

    fn bytes(&self) -> &str {
        self
    }

    fn seen(bytes: &[u8]) -> Option<&str> {
        std::str::from_utf8(bytes).ok()
    }
}

impl Code for String {
    type Bytes<'a> = &'a str;
    type Seen<'a> = String;

    fn bytes(&self) -> &str {
        self
    }

    fn seen(bytes: &[u8]) -> Option<String> {
        std::str::from_utf8(bytes).ok().map(str::to_owned)
    }
}

/// A value of a `bytemuck::Pod` type, kept as it lies in memory: any bytes of the right number are one. As a key of an
/// ordered store it is in the order of its bytes, which is seldom that of its values.
///
/// ```
/// use pobj::kv::{Hash, Plain, Store, Typed};
///
/// # let dir = tempfile::tempdir()?;
/// let store = Store::<Hash>::create(dir.path().join("points.pobj"))?;
/// let points = Typed::<str, Plain<[f32; 2]>, Hash>::new(&store);
/// points.put("origin", &Plain([0.0, 0.0]))?;
/// assert_eq!(points.get_copy("origin")?, Some(Plain([0.0, 0.0])));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Plain<T>(pub T);

impl<T: bytemuck::Pod> Code for Plain<T> {
    type Bytes<'a> = &'a [u8];
    type Seen<'a> = Self;

    fn bytes(&self) -> &[u8] {
        bytemuck::bytes_of(&self.0)
    }

    fn seen(bytes: &[u8]) -> Option<Self> {
        // A record's bytes lie at no alignment.
        bytemuck::try_pod_read_unaligned(bytes).ok().map(Self)
    }
}

#[cfg(test)]
mod tests {
    //! Would catch numbers whose bytes are in another order, and bytes that are believed to be what they are not.
    use super::*;

    fn in_order<T: for<'a> Code<Seen<'a> = T> + Copy + PartialEq + std::fmt::Debug>(values: &[T]) {
        for pair in values.windows(2) {
            assert!(pair[0].bytes().as_ref() < pair[1].bytes().as_ref(), "{pair:?}");
        }
        for value in values {
            assert_eq!(T::seen(value.bytes().as_ref()), Some(*value));
            assert!(T::seen(&value.bytes().as_ref()[1..]).is_none(), "one byte less");
        }
    }

    #[test]
    fn numbers_are_in_the_order_of_their_bytes() {
        in_order(&[0u8, 1, 127, 128, 255]);
        in_order(&[0u64, 1, 255, 256, 1 << 32, u64::MAX - 1, u64::MAX]);
        in_order(&[i32::MIN, -70_000, -256, -1, 0, 1, 255, i32::MAX]);
        in_order(&[i128::MIN, -1, 0, i128::MAX]);
        in_order(&[false, true]);
    }

    #[test]
    fn bytes_that_are_no_value_are_none() {
        assert!(bool::seen(&[2]).is_none());
        assert!(str::seen(&[0xFF]).is_none() && String::seen(&[0xC0, 0x80]).is_none());
        assert!(<[u8; 3]>::seen(&[1, 2]).is_none());
        assert!(Plain::<u32>::seen(&[1, 2, 3]).is_none());
        assert_eq!(Plain::<[u16; 2]>::seen(&[1, 0, 2, 0][..]), Some(Plain([1u16.to_le(), 2u16.to_le()])));
        assert_eq!(<[u8]>::seen(&[]), Some(&[][..]));
    }
}
