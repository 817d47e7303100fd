//! [`Label`]: a name in the pool that must be a type parameter's.
//!
//! A parameter that is not stored, such as the order of keys, is not in the schema. Its name is, as 48 bytes; opening the
//! pool with a parameter of another name is an error that tells both.

use std::marker::PhantomData;

use crate::layout::{Invalid, Persistent, SchemaBuilder, TypeIndex, View, Visit};

/// Bytes of a name, at most.
const LEN: usize = 48;

/// What has a name.
pub(crate) trait Labelled: 'static {
    /// At most 48 bytes, the last of which is not zero.
    const LABEL: &'static str;
}

/// The name of `L`.
#[repr(transparent)]
pub(crate) struct Label<L> {
    name: [u8; LEN],
    of: PhantomData<fn() -> L>,
}

static_assertions::assert_eq_size!(Label<()>, [u8; LEN]);

impl<L: Labelled> Label<L> {
    const NAME: [u8; LEN] = {
        let (label, mut name) = (L::LABEL.as_bytes(), [0; LEN]);
        assert!(!label.is_empty() && label.len() <= LEN, "a name that is kept in a pool has 1 to 48 bytes");
        assert!(label[label.len() - 1] != 0, "a name that is kept in a pool does not end with a zero byte");
        let mut index = 0;
        while index < label.len() {
            name[index] = label[index];
            index += 1;
        }
        name
    };
}

impl<L: Labelled> Default for Label<L> {
    fn default() -> Self {
        Self { name: Self::NAME, of: PhantomData }
    }
}

// SAFETY: bytes without a pointer; the parameter has none.
unsafe impl<L: Labelled> Persistent for Label<L> {
    type At<'q> = Self;

    fn describe(schema: &mut SchemaBuilder) -> TypeIndex {
        <[u8; LEN]>::describe(schema)
    }

    fn validate(view: View<'_>, _: &mut Visit<'_>) -> Result<(), Invalid> {
        let mut found = [0; LEN];
        for (offset, byte) in found.iter_mut().enumerate() {
            *byte = view.u8(offset as u64)?;
        }
        if found == Self::NAME {
            return Ok(());
        }
        let len = found.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let found = String::from_utf8_lossy(&found[..len]).into_owned();
        Err(Invalid::other_order(found, L::LABEL.to_owned(), view.addr()))
    }
}
