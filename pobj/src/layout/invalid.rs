//! What validation says of bytes that are not what they should be.

use std::borrow::Cow;

/// Why some bytes are not a value, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// What was found, in words.
    pub what: Cow<'static, str>,
    /// Address in the image of the object at fault.
    pub addr: u64,
}

impl Invalid {
    /// Built on the way to an error only, hence cold.
    #[cold]
    #[inline(never)]
    pub fn new(what: impl Into<Cow<'static, str>>, addr: u64) -> Self {
        Self { what: what.into(), addr }
    }
}

impl std::fmt::Display for Invalid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (at address {:#x})", self.what, self.addr)
    }
}

impl std::error::Error for Invalid {}
