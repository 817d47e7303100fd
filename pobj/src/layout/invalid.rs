//! [`Invalid`]: why bytes of a pool are not what they should be.

use std::borrow::Cow;

/// Why some bytes are not a value, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// What was found, in words.
    pub what: Cow<'static, str>,
    /// Address in the image of the object at fault.
    pub addr: u64,
    /// The orders that are not the same: the pool's and the program's.
    pub(crate) orders: Option<Box<[String; 2]>>,
}

impl Invalid {
    /// Built on the way to an error only, hence cold.
    #[cold]
    #[inline(never)]
    pub fn new(what: impl Into<Cow<'static, str>>, addr: u64) -> Self {
        Self { what: what.into(), addr, orders: None }
    }

    /// The keys are in another order than the program's.
    pub(crate) fn other_order(found: String, expected: String, addr: u64) -> Self {
        let what = format!("keys are in the order `{found}`, and not `{expected}`");
        Self { what: what.into(), addr, orders: Some(Box::new([found, expected])) }
    }
}

impl std::fmt::Display for Invalid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (at address {:#x})", self.what, self.addr)
    }
}

impl std::error::Error for Invalid {}
